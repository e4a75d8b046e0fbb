"""Which implementation of the pairs runs: ops.py, or the kernels, which import Numba."""

import functools
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np

from .. import ops


@functools.cache
def numba_or_ops():
    """kernels; where Numba cannot compile, ops, and a warning, once."""
    try:
        from .. import kernels  # Numba is imported only when it is asked for

        kernels.exp_parts(np.float32(0))  # compiled, or loaded: most kernels need it
    except Exception as error:  # a compiler that is broken raises anything
        words = str(error) if isinstance(error, ImportError) else f"Numba cannot compile ({type(error).__name__}: {error})"
        warnings.warn(
            f"{' '.join(words.split())[:300]}; backend 'numba' runs as 'numpy': the same results up to rounding, slower",
            RuntimeWarning, stacklevel=3,
        )  # fmt: skip
        return ops
    return kernels


BACKENDS: dict[str, Callable[[], ModuleType]] = {  # name: what gives the namespace that holds the pairs
    "numba": numba_or_ops,
    "numpy": lambda: ops,
}

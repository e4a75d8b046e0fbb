"""Which implementation of the pairs runs: ops.py, or the kernels, which import Numba."""

import functools
import warnings
from collections.abc import Callable
from types import ModuleType

from .. import ops


@functools.cache
def numba_or_ops():
    """kernels; where Numba cannot compile, ops, and a warning, once."""
    try:
        from .. import kernels  # Numba is imported only when it is asked for
    except ImportError as error:
        warnings.warn(
            f"{error}; backend 'numba' runs as 'numpy': the same results, slower", RuntimeWarning, stacklevel=3
        )
        return ops
    return kernels


BACKENDS: dict[str, Callable[[], ModuleType]] = {  # name: what gives the namespace that holds the pairs
    "numba": numba_or_ops,
    "numpy": lambda: ops,
}

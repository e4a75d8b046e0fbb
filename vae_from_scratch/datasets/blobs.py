"""Gaussian blobs: the toy of Burgess et al. 2018, Figure 2, with two known factors, drawn when asked for."""

import functools
from typing import Literal, overload

import numpy as np

from ..engine import require
from .dataset import SPLITS, Dataset, every_tenth
from .factors import FactorDataset


@overload
def blobs(split: Literal["all"] = "all", size: int = 16, positions: int = 32, width: float = 0.08) -> FactorDataset: ...
@overload
def blobs(split: str, size: int = 16, positions: int = 32, width: float = 0.08) -> Dataset: ...


def blobs(split: str = "all", size: int = 16, positions: int = 32, width: float = 0.08) -> Dataset:
    """One white blob on a black square, at each of positions x positions places; factors are its centre (row, column).

    size: pixels a side; width: the blob's standard deviation as a fraction of the side.  Centres run over
    [0.2, 0.8] of the side.  split "all" (a FactorDataset), or "train" and "test" (every tenth image, which lie in odd columns).
    """
    require.choice("split", split, ("all", *SPLITS))
    size, positions = require.whole("size", size), require.whole("positions", positions)
    width = require.number("width", width, above=0)
    pixels, places = (np.arange(size) + 0.5) / size, np.linspace(0.2, 0.8, positions)
    data = FactorDataset(
        "blobs", functools.partial(_draw, pixels, places, width), ("row", "column"), (positions, positions), (size, size), trusted=True
    )
    return data if split == "all" else every_tenth(data, split)


def _draw(pixels, places, width, factors):
    rows, columns = (np.exp(-((pixels - places[factors[:, [k]]]) ** 2) / (2 * width**2)) for k in (0, 1))
    return (rows[:, :, None] * columns[:, None, :]).reshape(-1, len(pixels) ** 2)

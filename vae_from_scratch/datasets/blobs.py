"""Gaussian blobs: the toy of Burgess et al. 2018, Figure 2, with two known factors, drawn when asked for."""

import numpy as np

from .. import checks
from .dataset import Dataset, every_tenth


def blobs(split="all", size=16, positions=32, width=0.08):
    """One white blob on a black square, at each of positions x positions places; factors are its centre (row, column).

    size: pixels a side; width: the blob's standard deviation as a fraction of the side.  Centres run over
    [0.2, 0.8] of the side.  split "all", or "train" and "test" (every tenth image).
    """
    size, positions = checks.whole("size", size), checks.whole("positions", positions)
    centres = np.linspace(0.2, 0.8, positions)
    factors = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
    data = Dataset("blobs", Drawn(factors, size, checks.number("width", width, above=0)), (size, size), factors=factors)
    return data if split == "all" else every_tenth(data, split)


class Drawn:
    """Rows that exist only while they are looked at."""

    def __init__(self, factors, size, width):
        self.factors, self.size, self.width = factors, size, width

    def __len__(self):
        return len(self.factors)

    def __getitem__(self, indices):
        pixels, centres = (np.arange(self.size) + 0.5) / self.size, self.factors[indices]
        rows, columns = (np.exp(-((pixels - centres[..., [k]]) ** 2) / (2 * self.width**2)) for k in (0, 1))
        return (rows[..., :, None] * columns[..., None, :]).reshape(*centres.shape[:-1], -1)

    def subset(self, rows):
        return Drawn(self.factors[rows], self.size, self.width)

"""Data sets that are drawn from known factors: every combination of them once, and nothing stored."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import require
from .dataset import Dataset


class FactorDataset(Dataset):
    """One image for every combination of factor values; data[indices] -> (N, D) draws them when they are asked for.

    Attributes: factor_names (F of them), sizes (how many values each factor has); n = prod(sizes), the first
    factor changes slowest.  A combination is an integer array (N, F), entry f in 0 .. sizes[f] - 1.
    draw: function from such combinations to images (N, D) in [0, 1]; trusted: whether it keeps to that, so that fit need
    not look at every image first.  At random: images(draw_factors(n, rng)), and
    likewise draw_pairs and draw_fixed.
    """

    trusted = False  # of its images, which anybody's function draws

    def __init__(
        self,
        name: str,
        draw: Callable[[np.ndarray], np.ndarray],
        factor_names: Iterable[str],
        sizes: Iterable[int],
        image_shape: Iterable[int],
        *,
        binary: bool = False,
        trusted: bool = False,
        source: str = "drawn when asked for",
    ) -> None:
        super().__init__(name, None, image_shape, binary=binary, source=source)  # no values: images are drawn
        self.trusted = trusted
        self.draw, self.factor_names = draw, tuple(factor_names)
        self.sizes = tuple(require.whole("each of sizes", size) for size in sizes)
        if len(self.factor_names) != len(self.sizes):
            raise ValueError(f"sizes must have one entry for each of {', '.join(self.factor_names)}, got {self.sizes}")

    def __len__(self) -> int:
        return math.prod(self.sizes)

    def __getitem__(self, indices: Any) -> npt.NDArray[np.float32]:
        if np.ndim(indices) == 0 and not isinstance(indices, slice):
            return self.images(self.factors(np.array([indices])))[0]
        return self.images(self.factors(indices))

    def factors(self, indices: Any) -> npt.NDArray[np.integer]:
        """The combinations (N, F) behind these indices (integers, a slice or a mask)."""
        indices = np.arange(len(self))[indices] if isinstance(indices, slice) else np.asarray(indices)
        if indices.dtype == bool:
            indices = np.arange(len(self))[indices]
        elif indices.size == 0:  # an empty list is an array of floats
            indices = indices.astype(int)
        if ((indices < -len(self)) | (indices >= len(self))).any():
            raise IndexError(f"{self.name} has {len(self)} images; got indices from {indices.min()} to {indices.max()}")
        return np.stack(np.unravel_index(indices % len(self), self.sizes), axis=-1)

    def indices(self, factors: npt.ArrayLike) -> npt.NDArray[np.integer]:
        """The inverse of factors: (N, F) -> (N,).  ValueError if one is out of range."""
        return np.ravel_multi_index(self._combinations(factors).T, self.sizes)

    def images(self, factors: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The images (N, D), float32, of combinations (N, F).  ValueError if one is out of range."""
        combinations = self._combinations(factors)
        with np.errstate(over="ignore"):  # who takes the images says what is too large
            images = np.asarray(self.draw(combinations), np.float32)
        if images.ndim != 2 or len(images) != len(combinations):
            raise ValueError(f"draw must give a row (D,) for each of {len(combinations)} combinations, got {images.shape}")
        return images

    def _combinations(self, factors):
        factors = np.asarray(factors)
        if factors.ndim != 2 or factors.shape[1] != len(self.sizes) or factors.dtype.kind not in "iu":
            raise ValueError(
                f"factors must be whole numbers (N, {len(self.sizes)}) for {', '.join(self.factor_names)}; "
                f"got {factors.dtype} {factors.shape}"
            )
        for name, size, values in zip(self.factor_names, self.sizes, factors.T):
            if ((values < 0) | (values >= size)).any():
                raise ValueError(f"{name} must be 0 .. {size - 1}; got values from {values.min()} to {values.max()}")
        return factors

    def draw_factors(self, n: int, rng: np.random.Generator) -> npt.NDArray[np.integer]:
        """n combinations (n, F), each factor uniform."""
        return require.rng(rng).integers(0, self.sizes, size=(require.whole("n", n), len(self.sizes)))

    def draw_pairs(self, n: int, rng: np.random.Generator, factor: int) -> tuple[np.ndarray, np.ndarray]:
        """Two arrays of n combinations (n, F) that share one factor pair by pair; the others are drawn apart."""
        self._check(factor)
        first, second = self.draw_factors(n, rng), self.draw_factors(n, rng)
        second[:, factor] = first[:, factor]
        return first, second

    def draw_fixed(self, n: int, rng: np.random.Generator, factor: int) -> npt.NDArray[np.integer]:
        """n combinations (n, F) in which one factor has one value, drawn, throughout."""
        self._check(factor)
        factors = self.draw_factors(n, rng)
        factors[:, factor] = factors[0, factor]
        return factors

    def _check(self, factor):
        if require.whole("factor", factor, 0) >= len(self.sizes):
            raise ValueError(f"factor must be 0 .. {len(self.sizes) - 1}, got {factor}")

    def subset(self, rows: Any) -> Dataset:
        """The images of these rows, as a Dataset that draws them too."""
        return Dataset(self.name, Rows(self, np.arange(len(self))[rows]), self.image_shape, binary=self.binary, source=self.source)


class Rows:
    """Some rows of a FactorDataset, drawn when asked for."""

    def __init__(self, data, rows):
        self.data, self.rows, self.trusted = data, rows, data.trusted

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, indices):
        return self.data[self.rows[indices]]

    def subset(self, rows):
        return Rows(self.data, self.rows[rows])

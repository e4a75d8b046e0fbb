"""What every data set here is: rows handed out as floats in [0, 1], and where its files are found."""

import contextlib
import functools
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import files, require
from ..engine.batches import take

SPLITS = ("train", "test")


class Dataset:
    """len(data) examples; data[indices] -> float32 (N, D), data[5] -> (D,).

    values: n rows or n images in what is or becomes an array, or has values[indices], as a memory map or an array of h5py or zarr.
    They stay as and where they are, and are divided by scale when asked for.
    Attributes: name; image_shape (rows, columns), or (rows, columns, 3) in colour, with D their product; labels (n,) or
    None; binary, whether all values are 0 or 1; source, where they are from, in words.
    """

    def __init__(
        self,
        name: str,
        values: Any,
        image_shape: Iterable[int],
        *,
        scale: float | np.floating = 1,
        labels: np.ndarray | None = None,
        binary: bool = False,
        source: str = "",
    ) -> None:
        values = require.array("values", values)
        values = values.reshape(len(values), -1) if isinstance(values, np.ndarray) and values.ndim > 2 else values
        self.name, self.values, self.image_shape = name, values, require.image_shape(image_shape)
        self.scale, self.binary, self.source = np.float32(require.number("scale", scale, above=0)), binary, str(source)
        self.labels = None if labels is None else np.asarray(labels)
        sides = getattr(values, "shape", ())[1:]
        if isinstance(values, np.ndarray) and values.ndim < 2:
            raise ValueError(f"values must be rows or images, one for each example, got shape {values.shape}; one example is values[None]")
        if sides and math.prod(sides) != self.data_dim:
            raise ValueError(f"image_shape is {self.image_shape}, so {self.data_dim} values each; the examples have {math.prod(sides)}")
        if labels is not None and values is not None and len(labels) != len(self):
            raise ValueError(f"labels must be one for each of {len(self)} examples, got {len(labels)}")

    def __len__(self) -> int:
        return len(self.values) if hasattr(self.values, "__len__") else self.values.shape[0]  # as of zarr

    def __getitem__(self, indices: Any) -> npt.NDArray[np.float32]:
        with np.errstate(over="ignore"):  # who takes the rows says what is too large
            rows = np.asarray(take(self.values, indices), np.float32)
            axes = getattr(self.values, "ndim", 2) - 1  # of one example
            rows = rows.reshape(*rows.shape[: rows.ndim - axes], -1) if axes > 1 else rows
            return rows if self.scale == 1 else rows / self.scale

    @functools.cached_property
    def holds_counts(self) -> bool:
        """Whether values are bytes from 0 to scale, so that dynamic binarisation can be exact with a byte a pixel."""
        return bool(
            type(self).__getitem__ is Dataset.__getitem__  # not where a subclass hands out something else
            and isinstance(self.values, np.ndarray)
            and self.values.dtype == np.uint8
            and 2 <= self.scale <= 255
            and self.values.max(initial=0) <= self.scale == int(self.scale)
        )

    @property
    def trusted(self) -> bool:
        """Whether no value can be out of order: bytes from 0 to scale, or images that this package draws by formula."""
        return self.holds_counts or getattr(self.values, "trusted", False)

    @property
    def data_dim(self) -> int:
        """D."""
        return math.prod(self.image_shape)

    def subset(self, rows: Any) -> "Dataset":
        """The examples of these rows (a slice, indices or a mask), as a Dataset."""
        return Dataset(
            self.name,
            self.values.subset(rows) if hasattr(self.values, "subset") else self.values[rows],
            self.image_shape,
            scale=self.scale,
            labels=None if self.labels is None else self.labels[rows],
            binary=self.binary,
            source=self.source,
        )


def every_tenth(data: Dataset, split: str) -> Dataset:
    """A split for data that come without one: rows 9, 19, 29, ... are the test split, the others train."""
    return data.subset(rows_of(len(data), split))


def rows_of(n: int, split: str) -> npt.NDArray[np.integer]:
    """Which of n rows every_tenth gives to a split."""
    is_test = np.arange(n) % 10 == 9
    return np.flatnonzero(is_test if require.choice("split", split, SPLITS) == "test" else ~is_test)


def all_binary(values: np.ndarray, one: int = 1) -> bool:
    """Whether every value is 0 or one; looked at in parts, so that it takes little memory beside them."""
    step = max(1, 2**20 // max(1, values[:1].size))
    parts = (values[start : start + step] for start in range(0, len(values), step))
    return all(((part == 0) | (part == one)).all() for part in parts)


def folders() -> list[Path]:
    """Where data files are looked for: the folder VAE_FROM_SCRATCH_DATA names, if set, then the cache folder.

    A user without a home has no cache folder, unless the environment names one.
    """
    named = os.environ.get("VAE_FROM_SCRATCH_DATA")
    variable, *below = ("LOCALAPPDATA", "AppData", "Local") if os.name == "nt" else ("XDG_CACHE_HOME", ".cache")
    found = [Path(os.path.expanduser(named))] if named else []
    with contextlib.suppress(RuntimeError):  # no home
        cache = Path(os.environ.get(variable) or Path.home().joinpath(*below))
        found.append(cache / "vae_from_scratch")
    return found


def find(name: str, url: str | None = None, checksum: str | None = None, also: Iterable[str] = ()) -> Path:
    """The path of a data file such as "mnist/t10k-labels-idx1-ubyte.gz", from folders() or downloaded to the cache.

    also: other names that it may have there.
    """
    names = (name, *also)
    for folder in folders():
        for path in (folder / each for each in names):
            if path.is_file():
                return path
    places = " or ".join(str(folder) for folder in folders())
    advice = f"put {name} below {places}, or set" * bool(places) or "there is no home folder to look in: set"
    advice += " VAE_FROM_SCRATCH_DATA to the folder that holds it"
    if url is None or not places:
        lacks = ", and it has no public download" * (url is None)
        raise FileNotFoundError(f"{name} was not found{lacks}: {advice}")
    try:
        files.download(url, folders()[-1] / name, checksum)
    except OSError as error:
        raise FileNotFoundError(
            f"{name} was not found, and downloading it from {url} failed ({error}): {advice}"
        ) from error
    return folders()[-1] / name

"""Data sets: digits (bundled), the MNIST family, Frey faces, Gaussian blobs, dSprites, and files of your own."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..engine import files
from .blobs import blobs
from .dataset import SPLITS, Dataset, every_tenth
from .digits import digits
from .dsprites import dsprites
from .factors import FactorDataset
from .frey import frey
from .mnist import fashion_mnist, kmnist, mnist

__all__ = [
    "NAMES",
    "SPLITS",
    "Dataset",
    "FactorDataset",
    "blobs",
    "digits",
    "dsprites",
    "fashion_mnist",
    "frey",
    "from_file",
    "kmnist",
    "load",
    "mnist",
]
NAMES: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "kmnist": kmnist,
    "frey": frey,
    "blobs": blobs,
    "dsprites": dsprites,
}


def load(name: str, split: str = "train") -> Dataset:
    """A data set by its name in NAMES, or from_file if it names an .npy or .npz file."""
    if name in NAMES:
        return NAMES[name](split)
    if Path(name).suffix in (".npy", ".npz"):
        return from_file(name, split)
    raise ValueError(f"data must be one of {', '.join(NAMES)}, or an .npy or .npz file; got {name!r}")


def from_file(path: str | os.PathLike[str], split: str = "train") -> Dataset:
    """Your own images: an array (n, D) or (n, rows, columns), every tenth row of it the test split.

    .npy: the array.  .npz: the array "images" or "x", and "labels" if there are any.  uint8 is divided by
    255, bool becomes 0 and 1, floats are taken as they are.
    """
    arrays = files.read_npz(path) if Path(path).suffix == ".npz" else {"images": files.read_npy(path)}
    images = arrays.get("images", arrays.get("x"))
    if images is None:
        raise ValueError(f"{path} holds {', '.join(arrays) or 'nothing'}; an array called images (or x) is needed")
    if images.ndim not in (2, 3) or images.size == 0 or len(images) < 10:
        raise ValueError(
            f"{path}: images have shape {images.shape}; (n, D) or (n, rows, columns) with n >= 10 is needed"
        )
    if images.dtype.kind not in "fb" and images.dtype != np.uint8:
        raise TypeError(f"{path}: images are {images.dtype}; store floats, uint8 (0..255) or bool")
    labels = arrays.get("labels")
    if labels is not None and labels.shape != images.shape[:1]:
        raise ValueError(f"{path}: {len(images)} images but labels of shape {labels.shape}")
    n, *shape = images.shape
    if len(shape) == 1:  # shown as a picture, as nearly square as it goes
        rows = max(r for r in range(1, math.isqrt(shape[0]) + 1) if shape[0] % r == 0)
        shape = (rows, shape[0] // rows)
    scale = 255 if images.dtype == np.uint8 else 1
    data = Dataset(
        Path(path).stem,
        images.reshape(n, -1),
        shape,
        scale=scale,
        labels=labels,
        binary=bool(np.isin(images, (0, 1)).all()),
    )
    return every_tenth(data, split)

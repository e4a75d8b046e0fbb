"""Data sets: digits (bundled), the MNIST family, Frey faces, Gaussian blobs, dSprites, and files and photos of your own."""

from collections.abc import Callable
from pathlib import Path

from ..engine import require
from .blobs import blobs
from .dataset import SPLITS, Dataset
from .digits import digits
from .dsprites import dsprites
from .factors import FactorDataset
from .frey import frey
from .images import images
from .mnist import fashion_mnist, kmnist, mnist
from .own_file import from_file

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
    "images",
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
    """A data set by its name in NAMES, or from_file of an .npy or .npz file, or images of a folder."""
    name = require.path("data", name)
    if name in NAMES:
        return NAMES[name](split)
    if Path(name).is_dir():
        return images(name, split=split)
    if Path(name).suffix.lower() in (".npy", ".npz"):
        return from_file(name, split)
    raise ValueError(f"data must be one of {', '.join(NAMES)}, an .npy or .npz file, or a folder of images; got {name!r}")

"""Images of your own in an .npy or .npz file."""

import math
import os
import warnings
from pathlib import Path

import numpy as np

from ..engine import files, require
from .dataset import SPLITS, Dataset, all_binary, rows_of

IMAGES, LABELS = ("images", "imgs", "x"), ("labels", "y")
FEW = 100  # bytes that go no higher may not have been meant to be divided by 255


def from_file(path: str | os.PathLike[str], split: str = "train") -> Dataset:
    """Your own images: an array (n, D), (n, rows, columns) or, in colour, (n, rows, columns, 3).

    Parameters
    ----------
    path : .npy: the array.  .npz: the array "images", "imgs" or "x", and "labels" or "y" if there are any; or the same
        with "train" and "test" beside it (x_train, y_train, x_test, y_test; train_images, ...).  Other arrays are left
        alone, and Python objects are never loaded.
    split : {"train", "test"}
        As the file has it; if it has none, every tenth row is the test split.

    Returns
    -------
    Dataset
        uint8 of nothing but 0 and 1 stays as it is, other uint8 is divided by 255, with a note if it goes no higher than
        100; bool becomes 0 and 1; floats are taken as they are, and so are labels, whether numbers or strings.

    Raises
    ------
    ValueError, TypeError, OSError
        If there is no such file, or not one array that is images.
    """
    require.choice("split", split, SPLITS)
    path = require.path("path", path)
    if Path(path).suffix.lower() == ".npz":
        names = _choose(path, {name: dtype for name, (_, dtype) in files.headers(path).items()})
        arrays = files.read_npz(path, only={name for pair in names.values() for name in pair}, unpacked=files.OWN)
    else:
        names, arrays = {"": ("images", None)}, {"images": files.read_npy(path)}
    every = [arrays[name] for name, _ in names.values()]
    for images in every:
        _check(path, images, least=1 if "test" in names else 10)
    if any((images.shape[1:], images.dtype) != (every[0].shape[1:], every[0].dtype) for images in every):
        shapes = " and ".join(f"{images.dtype} {images.shape}" for images in every)
        raise ValueError(f"{path}: images for training and for the test must be alike, they are {shapes}")
    scale = _scale(path, every)
    images_name, labels_name = names.get(split) or next(iter(names.values()))
    images, labels = arrays[images_name], _labels(path, arrays.get(labels_name), len(arrays[images_name]))
    del arrays, every  # so that the file and a split of it are the most that is held
    if "test" not in names:
        rows = rows_of(len(images), split)
        images, labels = _keep(images, rows), None if labels is None else labels[rows]
    shape = images.shape[1:3] if images.shape[3:] == (1,) else images.shape[1:]
    if len(shape) == 1:  # shown as a picture, as nearly square as it goes
        height = max(r for r in range(1, math.isqrt(shape[0]) + 1) if shape[0] % r == 0)
        shape = (height, shape[0] // height)
    binary = all_binary(images, scale)
    return Dataset(Path(path).stem, images, shape, scale=scale, labels=labels, binary=binary, source=str(path))


def _keep(images, rows):
    # images[rows], rows rising; in place where that is possible, so that a split takes no memory beside the file's
    owner = images if images.base is None else images.base
    owned = isinstance(owner, np.ndarray) and owner.flags.owndata and owner.nbytes == images.nbytes
    if not (owned and owner.dtype == images.dtype and images.flags.c_contiguous and images.flags.writeable):
        return images[rows]
    for start in range(0, len(rows), 1000):
        part = rows[start : start + 1000]
        images[start : start + len(part)] = images[part]
    shape = len(rows), *images.shape[1:]  # owner may be images itself
    owner.resize((math.prod(shape),), refcheck=False)  # nobody else has it, and images is given up
    return owner.reshape(shape)


def _choose(path, dtypes):
    # {split, or "" for a file without: (name of its images, name of its labels or None)}
    found = {}
    for name, dtype in dtypes.items():
        part, what = _meaning(name, alone=len(dtypes) == 1)
        if what == "labels" and dtype.hasobject:
            warnings.warn(f"{path}: {name} holds Python objects, which are never loaded; store {name}.astype(str)", stacklevel=3)
        elif what:
            found.setdefault((part, what), []).append(name)
    parts = [part for part in ("", "train", "test") if (part, "images") in found]
    if any(len(names) > 1 for names in found.values()) or parts not in ([""], ["train"], ["train", "test"]):
        raise ValueError(
            f"{path} holds {', '.join(dtypes) or 'nothing'}; one array called images, imgs or x is needed (or train_images, "
            "test_images; x_train, x_test), and labels or y beside it if there are any"
        )
    return {part: (found[part, "images"][0], found.get((part, "labels"), [None])[0]) for part in parts}


def _meaning(name, alone):
    # ("train", "images") for x_train; np.savez calls an array without a name arr_0
    words = name.lower().split("_")
    part = next((words.pop(words.index(each)) for each in SPLITS if each in words), "")
    rest = "_".join(words)
    if rest in IMAGES or (alone and name == "arr_0"):
        return part, "images"
    return part, "labels" if rest in LABELS else None


def _check(path, images, least):
    if images.ndim not in (2, 3, 4) or images.size == 0 or len(images) < least:
        wanted = f"(n, D), (n, rows, columns) or (n, rows, columns, 3) with n >= {least}"
        raise ValueError(f"{path}: images have shape {images.shape}; {wanted} is needed")
    if images.ndim == 4 and images.shape[3] not in (1, 3):
        first = images.shape[1] in (1, 3)
        way = "np.moveaxis(images, 1, 3)" if first else "images[..., :3]" if images.shape[3] == 4 else "three colours"
        raise ValueError(f"{path}: images have shape {images.shape}; (n, rows, columns, 3) is needed in colour: store {way}")
    if images.dtype.kind in "iu" and images.dtype != np.uint8:
        low, high = int(images.min()), int(images.max())
        if 0 <= low and high <= 255 and not 1 < high <= FEW:
            way = f"images.astype({'bool' if high <= 1 else 'np.uint8'})"
        else:
            way = f"images / {high}" if low >= 0 else f"(images.astype('float32') + {-low}) / {max(1, high - low)}"
        raise TypeError(
            f"{path}: images are {images.dtype} from {low} to {high}; floats, uint8 (0..255) or bool are needed: store {way}"
        )
    if images.dtype.kind not in "fb" and images.dtype != np.uint8:
        raise TypeError(f"{path}: images are {images.dtype}; store floats, uint8 (0..255) or bool")
    for start in range(0, len(images), 1000) if images.dtype.kind == "f" else ():
        wrong = ~np.isfinite(images[start : start + 1000]).all(axis=tuple(range(1, images.ndim)))
        if wrong.any():
            raise ValueError(f"{path}: images hold NaN or infinity, first in row {start + int(wrong.argmax())}; remove such rows")


def _scale(path, every):
    # what the images are divided by, from the range that is there
    high = max(int(images.max()) for images in every) if every[0].dtype == np.uint8 else 1
    if 1 < high <= FEW:
        words = f"{path}: images are bytes up to {high}, and are divided by 255"
        warnings.warn(f"{words}; if {high} is white, store images / {high}", stacklevel=3)
    return 255 if high > 1 else 1


def _labels(path, labels, n):
    # one for each of n images; None if there are none
    if labels is None:
        return None
    if labels.ndim == 2 and len(labels) == n and labels.shape[1] != 1:
        warnings.warn(f"{path}: labels of shape {labels.shape} are left out; one for each image is needed", stacklevel=3)
        return None
    if labels.shape not in ((n,), (n, 1)):
        raise ValueError(f"{path}: {n} images but labels of shape {labels.shape}")
    return labels.reshape(n)

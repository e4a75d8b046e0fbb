"""Frey faces: the second data set of Kingma and Welling 2013."""

import numpy as np

from ..engine import files, require
from .dataset import SPLITS, Dataset, find

TEST = 393  # a fifth


def frey(split: str = "train", seed: int | None = 0) -> Dataset:
    """1,965 grey frames, 28 rows of 20, of one face on film (B. Frey, S. Roweis; no licence stated: for experiments).

    Read from frey/frey_faces.npz (images (1965, 28, 20) uint8); pixels 0..255 are divided by 255.  A random
    fifth is the test split (seed says which); neighbouring frames are near-duplicates, so it flatters a model.
    With seed=None the last fifth of the film is.
    """
    require.choice("split", split, SPLITS)
    where = find("frey/frey_faces.npz")
    images = files.read_npz(where).get("images")
    if images is None or images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError("frey_faces.npz should hold images, an array (n, rows, columns) of uint8")
    order = np.arange(len(images))[::-1]
    if seed is not None:
        order = np.random.default_rng(require.seed(seed)).permutation(len(images))
    rows = np.sort(order[TEST:] if split == "train" else order[:TEST])
    return Dataset("frey", images[rows].reshape(len(rows), -1), images.shape[1:], scale=255, source=str(where))

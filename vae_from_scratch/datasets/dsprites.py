"""dSprites (Matthey et al. 2017), drawn when asked for: five known factors, nothing stored."""

import functools
import math
from typing import Literal, overload

import numpy as np

from ..engine import files, require
from ..engine.backends import BACKENDS
from ..engine.threads import for_chunks, in_threads
from .dataset import Dataset, find
from .factors import FactorDataset

FACTORS, SIZES = ("shape", "scale", "orientation", "posX", "posY"), (3, 6, 40, 32, 32)
SPLITS, SOURCES = ("all", "train", "test"), ("drawn", "file")
TEST = 10_000
FILE = "dsprites/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
BLOCK = 256  # images whose outlines are held at once, and which a thread draws at once
MANY = 1024  # images that are worth several threads


@overload
def dsprites(
    split: Literal["all"] = "all", size: int = 64, *, source: str = "drawn", backend: str = "numba"
) -> FactorDataset: ...
@overload
def dsprites(split: str, size: int = 64, *, source: str = "drawn", backend: str = "numba") -> Dataset: ...


def dsprites(split: str = "all", size: int = 64, *, source: str = "drawn", backend: str = "numba") -> Dataset:
    """White sprites on black, 737,280 binary images: 3 shapes, 6 scales, 40 orientations, 32 x 32 positions.

    Parameters
    ----------
    split : {"all", "train", "test"}
        "all": a FactorDataset in the order of the original file, posY the fastest.  "test": 10,000 of them drawn with
        seed 0, "train": the others, both in random order, with the shape as label.  Every tenth would hold only odd
        posY (10 and 32 are both even), and 73,728 images are more than a look after every epoch needs.  Neighbours
        are near-duplicates, and orientations 0 and 39 are the same: the test loss does not tell how a
        model meets what is new.
    size : int
        Pixels a side, 8 or more.  The outlines are scaled: of the 737,280 images 715,706 are distinct at 64,
        643,901 at 32 and 184,991 at 16; below 16 some small sprites hold no pixel's centre, and the image is black.
    source : {"drawn", "file"}
        "file" takes the images from the official file, dsprites/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz, if
        it is in a data folder.  It is read whole: 3 GB of memory for each call, and some seconds.
    backend : {"numba", "numpy"}
        Which fill_polygons draws; both give the same bits.

    Returns
    -------
    FactorDataset, or Dataset for a part

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        On arguments that cannot work, a file that is not the official one, or none.

    Notes
    -----
    The rules below were measured from the originals, whose drawing program was not at hand.  Of 46,080 original
    images (every 4th orientation, every 2nd posX and posY) 46,074 are drawn without a difference and 6 with one in
    one pixel, whose centre is nearer than 1/512 pixel to the outline.  Not proven: the other 691,200, not compared.
    At 64, 32 and 16, no corner is nearer than 1e-9 pixel to where it would be rounded the other way: double precision
    gives the same bits everywhere.

    >>> data = dsprites()
    >>> int(data.images([[2, 5, 0, 0, 0]]).sum())  # the pixels of the largest heart
    222
    """
    require.choice("split", split, SPLITS)
    size = require.whole("size", size, least=8)
    require.choice("backend", backend, BACKENDS)
    if require.choice("source", source, SOURCES) == "file":
        draw = _from_file(size)
    else:
        fill = getattr(BACKENDS[backend](), "fill_polygons", fill_polygons)
        draw = functools.partial(_draw, size, fill, fill is not fill_polygons)  # a kernel lets others run beside it
    where = "the official file" if source == "file" else "drawn when asked for"
    data = FactorDataset("dsprites", draw, FACTORS, SIZES, (size, size), binary=True, trusted=True, source=where)
    if split == "all":
        return data
    order = np.random.default_rng(0).permutation(len(data))
    part = data.subset(order[:TEST] if split == "test" else order[TEST:])
    part.labels = data.factors(part.values.rows)[:, 0]
    return part


def _draw(size, fill, beside, factors):
    images = np.zeros((len(factors), size, size), np.float32)

    def draw(part):
        fill(outlines(factors[part], size), images[part])

    parts = [slice(start, start + BLOCK) for start in range(0, len(factors), BLOCK)]
    for _ in in_threads(draw, parts, for_chunks() if beside and len(factors) >= MANY else 1):
        pass
    return images.reshape(-1, size * size)


def _from_file(size):
    path, n = find(FILE), math.prod(SIZES)
    if size != 64:
        raise ValueError(f"size must be 64 with source 'file', got {size}; other sizes are drawn")
    images = files.read_npz(path, only=("imgs",), unpacked=64 * 64 * n).get("imgs")
    if images is None or images.shape != (n, 64, 64) or images.dtype != np.uint8 or images.max() > 1:
        raise ValueError(f"{path} should hold imgs, an array ({n}, 64, 64) of uint8, each 0 or 1")
    images = images.reshape(n, -1)
    return lambda factors: images[np.ravel_multi_index(factors.T, SIZES)]


# ---- the geometry: x to the right, y down, pixel (column, row) covers [column, column + 1) x [row, row + 1) ------


def _shapes():
    """The outlines (3, V, 2) at scale 1, in pixels of a 64 x 64 canvas; the last corner is repeated up to V = 150."""
    square = 9.6 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    t = 2 * np.pi * np.arange(100) / 100
    ellipse = np.stack([9.6 * 1.33 * np.cos(t), 9.6 / 1.33 * np.sin(t)], axis=1)
    t = 2 * np.pi * np.arange(150) / 150
    height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    heart = np.stack([9.6 * np.sin(t) ** 3, -19.2 * (height / 29 + 0.075)], axis=1)
    padded = (np.pad(each, ((0, 150 - len(each)), (0, 0)), "edge") for each in (square, ellipse, heart))
    return np.stack(list(padded))


SHAPES = _shapes()
SCALE = np.linspace(0.5, 1, 6)
ANGLE = 2 * np.pi * (np.arange(40) % 39) / 39  # both ends included: the last is the first
CENTRE = 16 + 32 * np.linspace(0, 1, 32)  # a step is 32/31 pixel


def outlines(factors, size):
    """The corners of the sprites, turned counter-clockwise, in 1/256 pixel: factors (N, 5) to int64 (N, V, 2)."""
    shape, scale, orientation, pos_x, pos_y = factors.T
    a, b = SHAPES[shape, :, 0], SHAPES[shape, :, 1]
    cos, sin = ((SCALE[scale] * f(ANGLE)[orientation])[:, None] for f in (np.cos, np.sin))
    x = CENTRE[pos_x][:, None] + a * cos + b * sin
    y = CENTRE[pos_y][:, None] - a * sin + b * cos
    return np.rint(256 * size / 64 * np.stack([x, y], axis=-1)).astype(np.int64)


def fill_polygons(vertices, images):
    """Set the pixels whose centre is inside (even-odd): vertices int64 (N, V, 2), images (N, size, size) of zeros.

    In 1/256 pixel, so that centres are whole numbers, 256 k + 128, and nothing is rounded.  An edge from (x1, y1) down
    to (x2, y2) counts in the rows whose centre c has y1 < c <= y2; there it flips every pixel whose centre c' has
    (c' - x1)(y2 - y1) >= (c - y1)(x2 - x1).
    """
    centres = 256 * np.arange(images.shape[1]) + 128
    for corners, image in zip(vertices, images):
        (x1, y1), (x2, y2) = np.roll(corners, 1, axis=0).T, corners.T
        x1, y1, x2, y2 = np.where(y1 < y2, (x1, y1, x2, y2), (x2, y2, x1, y1))
        edge, row = np.nonzero((y1[:, None] < centres) & (centres <= y2[:, None]))
        x1, y1, dx, dy = x1[edge], y1[edge], (x2 - x1)[edge], (y2 - y1)[edge]
        flips = (centres - x1[:, None]) * dy[:, None] >= ((centres[row] - y1) * dx)[:, None]
        np.add.at(image, row, flips)
        image %= 2

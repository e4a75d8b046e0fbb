"""dSprites (Matthey, Higgins, Hassabis and Lerchner 2017), drawn when asked for: five known factors, nothing stored."""

import numpy as np

from .. import checks
from ..base import BACKENDS
from .factors import FactorDataset

FACTORS, SIZES = ("shape", "scale", "orientation", "posX", "posY"), (3, 6, 40, 32, 32)
SPLITS = ("all", "train", "test")
TEST = 10_000
BLOCK = 256  # images whose outlines are held at once


def dsprites(split="all", size=64, *, backend="numba"):
    """All 737,280 images of a white square, ellipse or heart on black: 3 shapes, 6 scales, 40 orientations, 32 x 32 places."""
    checks.choice("split", split, SPLITS)
    size = checks.whole("size", size, least=8)
    fill = getattr(BACKENDS[checks.choice("backend", backend, BACKENDS)](), "fill_polygons", fill_polygons)

    def draw(factors):
        images = np.zeros((len(factors), size, size), np.float32)
        for start in range(0, len(factors), BLOCK):
            part = slice(start, start + BLOCK)
            fill(outlines(factors[part], size), images[part])
        return images.reshape(len(factors), -1)

    data = FactorDataset("dsprites", draw, FACTORS, SIZES, (size, size), binary=True)
    if split == "all":
        return data
    order = np.random.default_rng(0).permutation(len(data))
    return data.subset(order[:TEST] if split == "test" else order[TEST:])


def _shapes():
    # (3, 150, 2), in pixels of a 64 x 64 canvas at scale 1, the second coordinate down; the last corner repeated
    square = 9.6 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    t = 2 * np.pi * np.arange(100) / 100
    ellipse = np.stack([9.6 * 1.33 * np.cos(t), 9.6 / 1.33 * np.sin(t)], axis=1)
    t = 2 * np.pi * np.arange(150) / 150
    height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    heart = np.stack([9.6 * np.sin(t) ** 3, -19.2 * (height / 29 + 0.075)], axis=1)
    return np.stack([np.concatenate([s, np.repeat(s[-1:], 150 - len(s), axis=0)]) for s in (square, ellipse, heart)])


SHAPES = _shapes()
SCALE, POSITION = np.linspace(0.5, 1, 6), 16 + 32 * np.linspace(0, 1, 32)
ANGLE = 2 * np.pi * (np.arange(40) % 39) / 39  # the last class is the first


def outlines(factors, size):
    """The corners (x to the right, y down), in 1/256 of a pixel: factors (N, 5), returns int64 (N, 150, 2)."""
    shape, scale, orientation, pos_x, pos_y = factors.T
    a, b = SHAPES[shape, :, 0], SHAPES[shape, :, 1]
    cos = (SCALE[scale] * np.cos(ANGLE)[orientation])[:, None]
    sin = (SCALE[scale] * np.sin(ANGLE)[orientation])[:, None]
    x = POSITION[pos_x][:, None] + (a * cos + b * sin)
    y = POSITION[pos_y][:, None] + (b * cos - a * sin)
    return np.rint(np.stack([x, y], axis=-1) * (256 * size / 64)).astype(np.int64)


def fill_polygons(vertices, images):
    """Set to 1, in images (N, size, size) of zeros, the pixels whose centre is inside the polygon: vertices (N, V, 2).
    """
    centres = 256 * np.arange(images.shape[1]) + 128
    for points, image in zip(vertices, images):
        (x1, y1), (x2, y2) = np.roll(points, 1, axis=0).T, points.T
        x1, y1, x2, y2 = np.where(y1 < y2, (x1, y1, x2, y2), (x2, y2, x1, y1))
        edge, row = np.nonzero((y1[:, None] < centres) & (centres <= y2[:, None]))
        x1, y1, dx, dy = x1[edge], y1[edge], (x2 - x1)[edge], (y2 - y1)[edge]
        flips = (centres - x1[:, None]) * dy[:, None] >= ((centres[row] - y1) * dx)[:, None]
        np.add.at(image, row, flips)
        image %= 2

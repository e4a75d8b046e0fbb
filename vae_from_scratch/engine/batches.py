"""How rows of data become the batches that a model sees, in training and in evaluation alike."""

import contextlib
import contextvars

import numpy as np

from . import require
from .streams import stream


RESTS = contextvars.ContextVar("rests", default=False)  # whether a batch may be what a data set leaves over, one row too


@contextlib.contextmanager
def rests_allowed():
    """Inside, a loss that compares rows takes a single one as well: the last batch of an epoch, or of an evaluation.

    Not around a yield: a generator that is dropped ends when its memory is collected, and would change RESTS then.
    """
    before = RESTS.get()
    RESTS.set(True)
    try:
        yield
    finally:
        RESTS.set(before)


def fetch(x, indices, how, rng, by_bytes=True):
    """The rows x[indices] (N, D) in [0, 1] as they are ("none"), as x >= 1/2 ("threshold"), or drawn with probability x.

    "dynamic" compares a float with a float32 drawn from [0, 1).  Of a data set that counts (whole numbers up to its
    scale, as bytes do) training draws one byte a pixel instead, and P(pixel = 1) is count / scale exactly.
    """
    if how == "dynamic" and by_bytes and getattr(x, "holds_counts", False) is True:
        return draw_counts(x.values[indices], int(x.scale), rng).astype(np.float32)
    rows = np.asarray(require.array("x[indices]", take(x, indices)))  # a list or a tensor is welcome, too
    require.one_for_each("x", rows, indices)
    if how != "none":
        require.values("x", rows, require.unit_interval(None, how))
    if how == "threshold":
        return (rows >= 0.5).astype(rows.dtype)
    if how == "dynamic":
        return (rng.random(rows.shape, np.float32) < rows).astype(rows.dtype)
    return rows


def take(x, indices):
    """x[indices], also of an x that, as a data set of h5py, takes indices only if they rise and none comes twice."""
    try:
        return x[indices]
    except (TypeError, ValueError, IndexError):
        if np.ndim(indices) != 1 or np.asarray(indices).dtype.kind not in "iu" or (np.diff(indices) > 0).all():
            raise  # the order is not what it minds
    rows, places = np.unique(indices, return_inverse=True)
    return np.asarray(x[rows])[places]


def draw_counts(counts, scale, rng):
    """True with probability counts / scale: counts whole numbers 0 .. scale, scale 2 .. 255.

    A byte has 256 values.  The largest multiple of scale that is not above 256 is used, each count stands for as many
    of them, and a byte beyond is drawn again: for scale 255 that is the byte 255, one in 256.
    """
    each = 256 // scale
    drawn = np.frombuffer(rng.bytes(counts.size), np.uint8).copy()
    beyond = np.flatnonzero(drawn >= each * scale) if each * scale < 256 else np.empty(0, int)
    while beyond.size:
        drawn[beyond] = np.frombuffer(rng.bytes(beyond.size), np.uint8)
        beyond = beyond[drawn[beyond] >= each * scale]
    return (drawn if each == 1 else drawn // each).reshape(counts.shape) < counts


def in_order(n, batch_size):
    """Index arrays that cover 0 .. n - 1, the last as short as it must be."""
    n, batch_size = int(n), int(batch_size)  # of NumPy's integers a sum may overflow
    return (np.arange(start, min(start + batch_size, n)) for start in range(0, n, batch_size))


def batches(model, x, binarize, seed, batch_size):
    """Index arrays and batches of x in order, for evaluations: with one seed the same binary images in each of them.

    Drawn as floats, of which each pixel takes one, so that the images do not depend on the batches.
    """
    x = require.array("x", x)
    rng, within = stream("evaluation images", seed), require.unit_interval(model.likelihood, binarize)
    for indices in in_order(len(x), batch_size):
        rows = require.rows("x", fetch(x, indices, binarize, rng, by_bytes=False), model.data_dim, model.dtype)
        require.values("x", rows, within, int(indices[0]), f" (within rows {indices[0]} to {indices[-1]})")
        yield indices, rows


class FirstRows:
    """The first n rows of x, which was checked, fetched as they are asked for: no copy is held."""

    def __init__(self, x, n):
        self.x, self.n = x, n

    def __len__(self):
        return self.n

    def __getitem__(self, indices):
        return self.x[indices]

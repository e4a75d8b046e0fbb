"""How rows of data become the batches that a model sees, in training and in evaluation alike."""

import numpy as np

BINARIZE = ("none", "threshold", "dynamic")


def binarize_rows(x, how, rng):
    """x (N, D) in [0, 1] as it is ("none"), as x >= 1/2 ("threshold"), or drawn with probability x ("dynamic")."""
    if how == "threshold":
        return (x >= 0.5).astype(x.dtype)
    if how == "dynamic":
        return (rng.random(x.shape, np.float32) < x).astype(x.dtype)
    return x


def in_order(n, batch_size):
    """Index arrays that cover 0 .. n - 1, the last as short as it must be."""
    return (np.arange(start, min(start + batch_size, n)) for start in range(0, n, batch_size))


class FirstRows:
    """The first n rows of x, which was checked, fetched as they are asked for: no copy is held."""

    trusted = True

    def __init__(self, x, n):
        self.x, self.n = x, n

    def __len__(self):
        return self.n

    def __getitem__(self, indices):
        return self.x[indices]

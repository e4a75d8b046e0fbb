"""Representations that learned nothing, to compare a score with: functions from images (N, D) to codes."""

import numpy as np

from ..engine import require


def raw_pixels():
    """The images themselves: Z = D."""
    return lambda images: images


def pca(data, rng, latents=10, images=5_000):
    """The leading principal components of some images, drawn at random, by SVD.  Z = latents, not rescaled."""
    latents = require.whole("latents", latents)
    images = require.whole("images", images, latents + 1)
    sample = data[require.rng(rng).integers(len(data), size=images)].astype(np.float64)
    mean = sample.mean(axis=0)
    directions = np.linalg.svd(sample - mean, full_matrices=False)[2][:latents].T
    if directions.shape[1] < latents:
        raise ValueError(f"latents must be at most {sample.shape[1]}, the number of values in an image, got {latents}")
    return lambda images: (images - mean) @ directions


def random_projection(data_dim, rng, latents=10):
    """Directions drawn from N(0, I / D).  Z = latents."""
    shape = (require.whole("data_dim", data_dim), require.whole("latents", latents))
    directions = require.rng(rng).standard_normal(shape) / np.sqrt(data_dim)
    return lambda images: images @ directions


def untrained(model, seed=None):
    """The encoder of a model as it started (its own seed), or as it would have from another."""
    if "seed" not in model.config:
        raise TypeError(f"the constructor of {type(model).__name__} must take a seed, so that the model can be made as it started")
    config = {**model.config, "seed": model.config["seed"] if seed is None else require.seed(seed)}
    return type(model)(**config).encode

"""Autoencoder, VAE and beta-VAE in NumPy, every backward pass by hand.  Start with ops.py and derivations/."""

from . import datasets, evaluation, gradcheck, ops
from .autoencoder import Autoencoder
from .beta_vae import BetaVAE, CapacityVAE
from .files import load, save
from .likelihoods import Bernoulli, Gaussian
from .optimizers import SGD, Adagrad, Adam
from .training import fit
from .vae import VAE

__all__ = [
    "Adagrad", "Adam", "Autoencoder", "Bernoulli", "BetaVAE", "CapacityVAE", "Gaussian", "SGD", "VAE",
    "datasets", "evaluation", "fit", "gradcheck", "load", "ops", "save",
]  # fmt: skip

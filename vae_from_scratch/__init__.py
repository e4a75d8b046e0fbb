"""Autoencoder, VAE and beta-VAE in NumPy, every backward pass by hand.  Start with ops.py and derivations/."""

from . import datasets, evaluation, gradcheck, ops
from .autoencoder import Autoencoder
from .beta_vae import BetaVAE, CapacityVAE
from .files import load, save
from .likelihoods import Bernoulli, Gaussian
from .optimizers import SGD, Adagrad, Adam
from .training import fit
from .vae import VAE

__all__ = (
    "Autoencoder VAE BetaVAE CapacityVAE Bernoulli Gaussian SGD Adagrad Adam fit load save gradcheck ops datasets evaluation"
).split()

"""Autoencoder, VAE and beta-VAE in NumPy, every backward pass by hand.  Start with ops.py and derivations/."""

import importlib
import typing

from . import datasets, disentanglement, evaluation, exact, gradcheck, objectives, ops
from .autoencoder import Autoencoder
from .beta_vae import BetaVAE
from .engine import printed  # noqa: F401  how results, optimizers and data sets print
from .engine.files import load, save
from .likelihoods import Bernoulli, ContinuousBernoulli, Gaussian, Laplace
from .objectives import *  # noqa: F401, F403  each further objective, by the name in its __all__
from .optimizers import SGD, Adagrad, Adam
from .training import fit
from .vae import VAE

if typing.TYPE_CHECKING:
    from . import plots  # noqa: F401
else:

    def __getattr__(name):
        if name == "plots":  # it imports Matplotlib: not before somebody asks for it
            return importlib.import_module(".plots", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__version__ = "0.1.0"
__all__ = [
    "SGD",
    "VAE",
    "Adagrad",
    "Adam",
    "Autoencoder",
    "Bernoulli",
    "BetaVAE",
    "ContinuousBernoulli",
    "Gaussian",
    "Laplace",
    "datasets",
    "disentanglement",
    "evaluation",
    "exact",
    "fit",
    "gradcheck",
    "load",
    "ops",
    "save",
    *objectives.__all__,
]

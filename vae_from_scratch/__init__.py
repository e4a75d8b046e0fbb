"""Autoencoder, VAE and beta-VAE in NumPy, every backward pass by hand.  Start with ops.py and derivations/."""

import importlib

MODULES = ["datasets", "disentanglement", "evaluation", "exact", "gradcheck", "ops"]
HOMES = {  # name: the module it comes from, imported when the name is first asked for (cli.py sets threads before NumPy)
    "Autoencoder": "autoencoder",
    "VAE": "vae",
    "BetaVAE": "beta_vae",
    "CapacityVAE": "objectives",
    "Bernoulli": "likelihoods",
    "Gaussian": "likelihoods",
    "SGD": "optimizers",
    "Adagrad": "optimizers",
    "Adam": "optimizers",
    "fit": "training",
    "load": "engine.files",
    "save": "engine.files",
}
__all__ = [*HOMES, *MODULES]


def __getattr__(name):
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in HOMES:
        return getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]

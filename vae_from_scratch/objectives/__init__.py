"""One file per further objective, each to be read beside vae.py or beta_vae.py."""

from .capacity_vae import CapacityVAE

__all__ = ["CapacityVAE"]

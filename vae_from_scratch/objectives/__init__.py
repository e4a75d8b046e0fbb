"""One file per further objective, each to be read beside vae.py or beta_vae.py."""

from .capacity_vae import CapacityVAE
from .free_bits_vae import FreeBitsVAE
from .iwae import IWAE

__all__ = ["IWAE", "CapacityVAE", "FreeBitsVAE"]

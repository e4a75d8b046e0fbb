"""One file per further objective, each to be read beside vae.py or beta_vae.py."""

from .beta_tc_vae import BetaTCVAE
from .capacity_vae import CapacityVAE

__all__ = ["BetaTCVAE", "CapacityVAE"]

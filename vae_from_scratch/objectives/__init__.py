"""One file per further objective, each to be read beside vae.py or beta_vae.py."""

from .beta_tc_vae import BetaTCVAE
from .capacity_vae import CapacityVAE
from .dip_vae import DIPVAE
from .factor_vae import FactorVAE
from .free_bits_vae import FreeBitsVAE
from .iwae import IWAE

__all__ = ["DIPVAE", "IWAE", "BetaTCVAE", "CapacityVAE", "FactorVAE", "FreeBitsVAE"]

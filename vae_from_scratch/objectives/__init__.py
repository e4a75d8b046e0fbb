"""One file per further objective, each to be read beside autoencoder.py, vae.py or beta_vae.py."""

from .beta_tc_vae import BetaTCVAE
from .capacity_vae import CapacityVAE
from .contractive_autoencoder import ContractiveAutoencoder
from .denoising_autoencoder import DenoisingAutoencoder
from .dip_vae import DIPVAE
from .factor_vae import FactorVAE
from .free_bits_vae import FreeBitsVAE
from .iwae import IWAE
from .sparse_autoencoder import SparseAutoencoder

__all__ = [
    "DIPVAE", "IWAE", "BetaTCVAE", "CapacityVAE", "ContractiveAutoencoder", "DenoisingAutoencoder", "FactorVAE",
    "FreeBitsVAE", "SparseAutoencoder",
]  # fmt: skip

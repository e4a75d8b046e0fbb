"""One file per further objective, each to be read beside autoencoder.py, vae.py or beta_vae.py."""

from .capacity_vae import CapacityVAE
from .contractive_autoencoder import ContractiveAutoencoder
from .denoising_autoencoder import DenoisingAutoencoder
from .sparse_autoencoder import SparseAutoencoder

__all__ = ["CapacityVAE", "ContractiveAutoencoder", "DenoisingAutoencoder", "SparseAutoencoder"]

"""The capacity form of the beta-VAE (Burgess et al. 2018): hold the KL at C nats.  derivations/10-beta-vae.md."""

from collections.abc import Sequence

import numpy as np

from ..base import Likelihood, PenaltyGrads
from ..beta_vae import PenaltyVAE


class CapacityVAE(PenaltyVAE):
    """loss = mean recon_nll + gamma * |mean kl - capacity| (Burgess et al. 2018, Eq. 8), capacity in nats.

    gamma >= 0, capacity >= 0; the other arguments: see EncoderDecoder.

    >>> CapacityVAE(data_dim=64, hidden=(32,), latent_dim=2, gamma=1000, capacity=5.0).capacity
    5.0
    """

    name = "capacity-vae"
    hyperparameters = {"gamma": 0, "capacity": 0}  # name: smallest legal value
    gamma: float
    capacity: float

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
        *, gamma: float = 1000.0, capacity: float = 0.0,
    ):  # fmt: skip
        networks = (decoder_hidden, decoder_activation, init)
        super().__init__(data_dim, hidden, latent_dim, activation, likelihood, seed, dtype, backend, *networks)
        self.set(gamma=gamma, capacity=capacity)

    def penalty_forward(self, kl, mu, logvar, z):
        """gamma * |mean kl - C|, Eq. (CAP.1)."""
        return self.ops.capacity_forward(self.ops.batch_mean(kl), self.gamma, self.capacity)

    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        """Eq. (CAP.2)."""
        dkl_mean = self.ops.capacity_backward(dpenalty, self.ops.batch_mean(kl), self.gamma, self.capacity)
        return PenaltyGrads(dkl=dkl_mean * (np.ones_like(kl) / len(kl)))  # each kl has a share of 1 / N in the mean

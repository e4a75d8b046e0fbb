"""beta-VAE (Higgins et al. 2017) and its capacity form (Burgess et al. 2018).  derivations/10-beta-vae.md."""

from .engine import require
from .vae import VAE


class BetaVAE(VAE):
    """loss = mean recon_nll + beta * mean kl (Higgins et al. 2017, Eq. 4); beta = 1 is VAE, bit for bit.

    beta >= 0, further arguments: see EncoderDecoder.

    >>> BetaVAE(data_dim=64, hidden=(32,), latent_dim=2, beta=4.0).beta
    4.0
    """

    settings = {"beta": 0}

    def __init__(self, data_dim, *args, beta=4.0, **kwargs):
        super().__init__(data_dim, *args, **kwargs)
        self.beta = require.number("beta", beta, least=0)

    def penalty_forward(self, kl):
        """beta * kl, Eq. (BETA.1)."""
        return self.beta * kl

    def penalty_backward(self, dpenalty, kl):
        """Eq. (BETA.2).  Returns dkl."""
        return self.beta * dpenalty


class CapacityVAE(VAE):
    """loss = mean recon_nll + gamma * |mean kl - capacity| (Burgess et al. 2018, Eq. 8), capacity in nats.

    gamma >= 0, capacity >= 0, further arguments: see EncoderDecoder.

    >>> CapacityVAE(data_dim=64, hidden=(32,), latent_dim=2, gamma=1000, capacity=5.0).capacity
    5.0
    """

    settings = {"gamma": 0, "capacity": 0}

    def __init__(self, data_dim, *args, gamma=1000.0, capacity=0.0, **kwargs):
        super().__init__(data_dim, *args, **kwargs)
        self.gamma = require.number("gamma", gamma, least=0)
        self.capacity = require.number("capacity", capacity, least=0)

    def penalty_forward(self, kl):
        """gamma * |kl - C|, Eq. (CAP.1)."""
        return self.ops.capacity_forward(kl, self.gamma, self.capacity)

    def penalty_backward(self, dpenalty, kl):
        """Eq. (CAP.2).  Returns dkl."""
        return self.ops.capacity_backward(dpenalty, kl, self.gamma, self.capacity)

"""Free bits (Kingma et al. 2016): the first nats of every latent cost nothing.  derivations/17-tighter-bounds.md."""

from collections.abc import Sequence

from ..base import Likelihood, PenaltyGrads
from ..beta_vae import PenaltyVAE
from ..engine import require


class FreeBitsVAE(PenaltyVAE):
    """loss = mean recon_nll + sum_G max(free_bits, mean kl_G) (Kingma et al. 2016), free_bits in nats per group of latents.

    free_bits >= 0; 0 is VAE.  group_size: latents in a group, those that stand side by side; it divides latent_dim.
    terms.kl is the KL itself, so that minus the ELBO is recon_nll + kl, at most loss.  The others: see EncoderDecoder.

    >>> FreeBitsVAE(data_dim=64, hidden=(32,), latent_dim=2, free_bits=0.5).free_bits
    0.5
    """

    name = "free-bits-vae"
    hyperparameters = {"free_bits": 0}  # name: smallest legal value
    free_bits: float

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
        *, free_bits: float = 0.25, group_size: int = 1,
    ):  # fmt: skip
        networks = (decoder_hidden, decoder_activation, init)
        super().__init__(data_dim, hidden, latent_dim, activation, likelihood, seed, dtype, backend, *networks)
        self.set(free_bits=free_bits)
        self.group_size = require.whole("group_size", group_size)
        if self.latent_dim % self.group_size:
            raise ValueError(f"group_size is {group_size}, which does not divide latent_dim, {self.latent_dim}; use one that does")

    def penalty_forward(self, kl, mu, logvar, z):
        """sum_G max(free_bits, mean kl_G), Eq. (FREE.1)."""
        return self.ops.free_bits_forward(mu, logvar, self.free_bits, self.group_size)

    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        """Eq. (FREE.2)."""
        dmu, dlogvar = self.ops.free_bits_backward(dpenalty, mu, logvar, self.free_bits, self.group_size)
        return PenaltyGrads(dmu=dmu, dlogvar=dlogvar)  # by latent, so not through kl, their sum

"""DIP-VAE (Kumar et al. 2018): hold the covariance of the latents at I.  derivations/19-factor-and-dip.md."""

from collections.abc import Sequence

import numpy as np

from ..base import Likelihood, PenaltyGrads
from ..beta_vae import PenaltyVAE
from ..engine import require


class DIPVAE(PenaltyVAE):
    """loss = mean recon_nll + mean kl + lambda_od sum_{i != j} C_ij^2 + lambda_d sum_j (C_jj - 1)^2 (Kumar et al. 2018).

    C is a covariance over the batch: of mu for kind="i" (their Eq. 6), of z for kind="ii" (Eq. 7).  lambda_od >= 0,
    lambda_d >= 0; a batch has at least two rows; the other arguments: see EncoderDecoder.

    >>> DIPVAE(data_dim=64, hidden=(32,), latent_dim=2, kind="i", lambda_od=5.0).lambda_od
    5.0
    """

    name = "dip-vae"
    hyperparameters = {"lambda_od": 0, "lambda_d": 0}  # name: smallest legal value
    lambda_od: float
    lambda_d: float
    choices = {"kind": ("i", "ii")}
    least_rows = 2

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
        *, kind: str = "ii", lambda_od: float = 10.0, lambda_d: float = 10.0,
    ):  # fmt: skip
        networks = (decoder_hidden, decoder_activation, init)
        super().__init__(data_dim, hidden, latent_dim, activation, likelihood, seed, dtype, backend, *networks)
        self.kind = require.choice("kind", kind, self.choices["kind"])
        self.set(lambda_od=lambda_od, lambda_d=lambda_d)

    def covariance(self, mu, logvar):
        """C (Z, Z), Eq. (DIP.1) or (DIP.3)."""
        return self.ops.covariance_forward(mu) if self.kind == "i" else self.ops.marginal_covariance_forward(mu, logvar)

    def penalty_forward(self, kl, mu, logvar, z):
        """mean kl + what C costs, Eq. (DIP.7)."""
        return self.ops.batch_mean(kl) + self.ops.dip_forward(self.covariance(mu, logvar), self.lambda_od, self.lambda_d)

    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        """Eq. (DIP.8)."""
        dkl = dpenalty * (np.ones_like(kl) / len(kl))
        dC = self.ops.dip_backward(dpenalty, self.covariance(mu, logvar), self.lambda_od, self.lambda_d)
        if self.kind == "i":
            return PenaltyGrads(dkl, dmu=self.ops.covariance_backward(dC, mu))
        dmu, dlogvar = self.ops.marginal_covariance_backward(dC, mu, logvar)
        return PenaltyGrads(dkl, dmu, dlogvar)

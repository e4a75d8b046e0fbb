"""The beta-VAE (Higgins et al. 2017): the KL term becomes a penalty.  derivations/10-beta-vae.md.

Compare it with vae.py, by `diff vae.py beta_vae.py`: what differs is mostly what the mathematics adds.
"""

from collections.abc import Sequence

import numpy as np

from .base import Likelihood, PenaltyGrads, Saved, Terms
from .vae import VAE


class PenaltyVAE(VAE):  # encode and the noise are inherited
    """loss = mean recon_nll + penalty(kl, mu, logvar, z); subclasses define the penalty and its gradient.

    penalty_forward(kl, mu, logvar, z), kl (N,), the others (N, Z), returns a number for the whole batch.
    penalty_backward(dpenalty, kl, mu, logvar, z), dpenalty the upstream gradient, returns PenaltyGrads (base.py).
    """

    name: str | None = None  # type: ignore[assignment]

    def forward(self, x, eps):
        """Eq. (PEN.1).  x (N, D), eps (N, Z).  Returns Terms and Saved."""
        ops, params, Z = self.ops, self.params, self.latent_dim
        enc = self.encoder.forward(ops, params, x)
        mu, logvar = enc[-1][:, :Z], enc[-1][:, Z:]
        z = ops.reparameterize_forward(mu, logvar, eps)
        dec = self.decoder.forward(ops, params, z)
        recon_nll = self.likelihood.forward(ops, params, dec[-1], x)
        kl = ops.gaussian_kl_forward(mu, logvar)
        recon_nll_mean, kl_mean = ops.batch_mean(recon_nll), ops.batch_mean(kl)
        loss = recon_nll_mean + self.penalty_forward(kl, mu, logvar, z)
        return Terms(loss, recon_nll_mean, kl_mean, recon_nll, kl), Saved(enc, dec, mu, logvar, z, kl)

    def backward(self, x, eps, saved, grads):
        """Eq. (PEN.2): forward, read from its last line to its first.  Fills grads."""
        ops, params = self.ops, self.params
        # loss = mean recon_nll + penalty(kl, mu, logvar, z)
        drecon_nll = np.ones(len(x), self.dtype) / len(x)
        penalty = self.penalty_backward(1.0, saved.kl, saved.mu, saved.logvar, saved.z)
        # kl = gaussian_kl_forward(mu, logvar)
        dkl = penalty.dkl + np.zeros_like(saved.kl)  # it may be 0
        dmu_kl, dlogvar_kl = ops.gaussian_kl_backward(dkl, saved.mu, saved.logvar)
        # recon_nll = likelihood.forward(dec[-1], x)
        dout = self.likelihood_backward(drecon_nll, saved.dec[-1], x, grads)
        # dec = decoder.forward(z)
        dz = self.decoder.backward(ops, params, dout, saved.dec, grads) + penalty.dz  # z feeds decoder and penalty
        # z = reparameterize_forward(mu, logvar, eps)
        dmu_recon, dlogvar_recon = ops.reparameterize_backward(dz, saved.logvar, eps)
        # enc = encoder.forward(x), whose output is mu and logvar, side by side
        dmu = dmu_recon + dmu_kl + penalty.dmu  # mu feeds z, the KL and the penalty
        dlogvar = dlogvar_recon + dlogvar_kl + penalty.dlogvar  # and so does logvar
        denc = np.concatenate([dmu, dlogvar], axis=1)
        self.encoder.backward(ops, params, denc, saved.enc, grads, need_dx=False)


class BetaVAE(PenaltyVAE):
    """loss = mean recon_nll + beta * mean kl (Higgins et al. 2017, Eq. 4); beta = 1 is VAE, bit for bit.

    beta >= 0; the other arguments: see EncoderDecoder.

    >>> BetaVAE(data_dim=64, hidden=(32,), latent_dim=2, beta=4.0).beta
    4.0
    """

    name = "beta-vae"
    hyperparameters = {"beta": 0}  # name: smallest legal value
    beta: float

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
        *, beta: float = 4.0,
    ):  # fmt: skip
        networks = (decoder_hidden, decoder_activation, init)
        super().__init__(data_dim, hidden, latent_dim, activation, likelihood, seed, dtype, backend, *networks)
        self.set(beta=beta)

    def penalty_forward(self, kl, mu, logvar, z):
        """beta * mean kl, Eq. (BETA.1)."""
        return self.beta * self.ops.batch_mean(kl)

    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        """Eq. (BETA.2)."""
        return PenaltyGrads(dkl=self.beta * dpenalty * (np.ones_like(kl) / len(kl)))

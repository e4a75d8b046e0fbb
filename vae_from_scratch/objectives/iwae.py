"""The importance-weighted autoencoder (Burda et al. 2015): K draws of z for each x, one bound.  derivations/17-tighter-bounds.md.

Compare it with vae.py, by `diff vae.py objectives/iwae.py`: what differs is mostly what the mathematics adds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..base import Likelihood, Terms
from ..engine import require
from ..vae import VAE


class SavedDraws(NamedTuple):
    """What forward saves for backward: the layers of both networks, logvar (N, Z), z (N, K, Z), log_w (N, K)."""

    enc: list
    dec: list
    logvar: np.ndarray
    z: np.ndarray
    log_w: np.ndarray


class IWAE(VAE):  # encode is inherited
    """loss = -mean log (1/K) sum_k w_k, w_k = p(x, z_k) / q(z_k|x), of K = samples draws (Burda et al. 2015, Eq. 8).

    terms.recon_nll (the plain mean over the draws) and terms.kl (in closed form) are those of a VAE: their sum is minus
    the ELBO, and loss is on average at most that.  K = 1 is the VAE with its KL sampled.  samples >= 1.
    doubly: give the encoder the doubly reparameterized gradient (Tucker et al. 2019).  It is the gradient of the loss only
    in the mean over eps, with less noise, so gradcheck rejects it.  The other arguments: see EncoderDecoder.

    >>> IWAE(data_dim=64, hidden=(32,), latent_dim=2, samples=5).noise_shapes(100)
    ((100, 5, 2),)
    """

    name = "iwae"
    rows_apart = True
    hyperparameters = {"samples": 1}  # name: smallest legal value
    samples: int

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
        *, samples: int = 5, doubly: bool = False,
    ):  # fmt: skip
        networks = (decoder_hidden, decoder_activation, init)
        super().__init__(data_dim, hidden, latent_dim, activation, likelihood, seed, dtype, backend, *networks)
        self.set(samples=samples)
        self.doubly = require.flag("doubly", doubly)

    def noise_shapes(self, n):
        """eps ~ N(0, I), (n, K, Z)."""
        return ((n, self.samples, self.latent_dim),)

    def forward(self, x, eps):
        """Eq. (IWAE.1): loss = -mean log (1/K) sum_k w_k.  x (N, D), eps (N, K, Z).  Returns Terms and SavedDraws."""
        ops, params, Z, K = self.ops, self.params, self.latent_dim, self.samples
        enc = self.encoder.forward(ops, params, x)
        mu, logvar = enc[-1][:, :Z], enc[-1][:, Z:]
        z = ops.reparameterize_forward(mu[:, None], logvar[:, None], eps)
        dec = self.decoder.forward(ops, params, z.reshape(-1, Z))
        recon_nll = self.likelihood.forward(ops, params, dec[-1], x.repeat(K, axis=0)).reshape(-1, K)
        log_w = ops.log_weights_forward(recon_nll, z, logvar, eps)
        bound = ops.iwae_bound_forward(log_w)
        loss = -ops.batch_mean(bound)
        recon_nll, kl = recon_nll.mean(axis=1), ops.gaussian_kl_forward(mu, logvar)
        terms = Terms(loss, ops.batch_mean(recon_nll), ops.batch_mean(kl), recon_nll, kl)
        return terms, SavedDraws(enc, dec, logvar, z, log_w)

    def backward(self, x, eps, saved, grads):
        """Eq. (IWAE.6): forward, read from its last line to its first.  Fills grads."""
        ops, params, K = self.ops, self.params, self.samples
        # loss = -mean bound
        dbound = -np.ones(len(x), self.dtype) / len(x)
        # bound = iwae_bound_forward(log_w)
        dlog_w = ops.iwae_bound_backward(dbound, saved.log_w)
        # log_w = log_weights_forward(recon_nll, z, logvar, eps)
        drecon_nll, dz_w, dlogvar_w = ops.log_weights_backward(dlog_w, saved.z)
        # recon_nll = likelihood.forward(dec[-1], x of each draw)
        dout = self.likelihood_backward(drecon_nll.ravel(), saved.dec[-1], x.repeat(K, axis=0), grads)
        # dec = decoder.forward(z)
        dz_recon = self.decoder.backward(ops, params, dout, saved.dec, grads)
        dz = dz_recon.reshape(eps.shape) + dz_w  # z feeds both the decoder and the weights
        if self.doubly:
            dz, dlogvar_w = ops.doubly_reparameterized(dz, saved.log_w, dlog_w, saved.logvar, eps), 0
        # z = reparameterize_forward(mu, logvar, eps)
        dmu, dlogvar = ops.reparameterize_backward(dz, saved.logvar[:, None], eps)
        # enc = encoder.forward(x), whose output is mu and logvar, side by side; every draw sends a gradient back
        dmu, dlogvar = dmu.sum(axis=1), dlogvar.sum(axis=1) + dlogvar_w  # logvar feeds both z and the weights
        denc = np.concatenate([dmu, dlogvar], axis=1)
        self.encoder.backward(ops, params, denc, saved.enc, grads, need_dx=False)

"""The variational autoencoder: x -> q(z|x) -> z -> p(x|z).  derivations/02 to 07.

Diff this file against autoencoder.py: what differs is what the mathematics adds.
"""

import numpy as np

from .engine import require
from .base import EncoderDecoder, Terms


class VAE(EncoderDecoder):
    """q(z|x) = N(mu, diag exp(logvar)) for every x, prior p(z) = N(0, I).  Arguments: see EncoderDecoder.

    >>> model = VAE(data_dim=64, hidden=(32,), latent_dim=2)
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(size=(5, 64))
    >>> terms, grads = model.loss_and_grads(x, *model.draw_noise(5, rng))
    >>> mu, logvar = model.encode(x)
    >>> model.reconstruct(x).shape, model.sample(3, rng).shape
    ((5, 64), (3, 64))
    """

    heads = 2  # the encoder puts out mu and logvar, side by side
    noise_arrays = 1  # eps
    variational = True

    def draw_noise(self, n, rng):
        """(eps,) with eps ~ N(0, I), (n, Z): the only randomness there is."""
        eps = require.rng(rng).standard_normal(
            (n, self.latent_dim), np.float32 if self.dtype == np.float32 else np.float64
        )
        return (eps.astype(self.dtype, copy=False),)

    def forward(self, x, eps):
        """Eq. (VAE.1): loss = mean recon_nll + penalty(mean kl).  x (N, D), eps (N, Z).  Returns Terms and what backward needs."""
        ops, params = self.ops, self.params
        enc = self.encoder.forward(ops, params, x)
        mu, logvar = enc[-1][:, : self.latent_dim], enc[-1][:, self.latent_dim :]
        z = ops.reparameterize_forward(mu, logvar, eps)
        dec = self.decoder.forward(ops, params, z)
        out = dec[-1]
        recon_nll = self.likelihood.forward(ops, params, out, x)
        kl = ops.gaussian_kl_forward(mu, logvar)
        recon_nll_mean, kl_mean = ops.batch_mean(recon_nll), ops.batch_mean(kl)
        loss = recon_nll_mean + self.penalty_forward(kl_mean)
        return Terms(loss, recon_nll_mean, kl_mean, recon_nll, kl), (enc, mu, logvar, dec, kl_mean)

    def backward(self, x, eps, enc, mu, logvar, dec, kl_mean, grads):
        """Eq. (VAE.2): forward, read from its last line to its first.  Fills grads."""
        ops, params = self.ops, self.params
        out = dec[-1]
        share = np.ones(len(x), self.dtype) / len(x)  # each example's, since loss is a batch mean
        drecon_nll, dkl = share, self.penalty_backward(1.0, kl_mean) * share
        dmu_kl, dlogvar_kl = ops.gaussian_kl_backward(dkl, mu, logvar)
        dout = self.likelihood.backward(ops, params, drecon_nll, out, x, grads)
        dz = self.decoder.backward(ops, params, dout, dec, grads)
        dmu_recon, dlogvar_recon = ops.reparameterize_backward(dz, logvar, eps)
        dmu = dmu_recon + dmu_kl  # mu feeds both z and the KL
        dlogvar = dlogvar_recon + dlogvar_kl  # and so does logvar
        denc = np.concatenate([dmu, dlogvar], axis=1)
        self.encoder.backward(ops, params, denc, enc, grads, need_dx=False)

    def penalty_forward(self, kl):
        """What the batch-mean KL costs; here, itself: the loss is minus the ELBO.  beta_vae.py changes these two."""
        return kl

    def penalty_backward(self, dpenalty, kl):
        """Returns dkl."""
        return dpenalty

    def encode(self, x):
        """q(z|x) of x (N, D): mu, logvar, both (N, Z)."""
        x = require.rows("x", x, self.data_dim, self.dtype)
        out = self.encoder.forward(self.ops, self.params, x)[-1]
        return out[:, : self.latent_dim], out[:, self.latent_dim :]

    def reconstruct(self, x):
        """decode(mu of q(z|x)): (N, D)."""
        mu, _ = self.encode(x)
        return self.decode(mu)

    def sample(self, n, rng):
        """E[x|z] for n draws of z from the prior N(0, I): (n, D)."""
        n, rng = require.whole("n", n), require.rng(rng)
        return self.decode(rng.standard_normal((n, self.latent_dim)))

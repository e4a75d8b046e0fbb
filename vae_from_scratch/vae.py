"""The variational autoencoder: x -> q(z|x) -> z -> p(x|z).  derivations/02 to 07.

Compare it with autoencoder.py, by `diff autoencoder.py vae.py`: what differs is mostly what the mathematics adds.
"""

import numpy as np

from .base import EncoderDecoder, Saved, Terms


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

    name = "vae"
    variational = True  # there is a q(z|x): the encoder outputs mu and logvar, side by side

    def noise_shapes(self, n):
        """eps ~ N(0, I), (n, Z)."""
        return ((n, self.latent_dim),)

    def forward(self, x, eps):
        """Eq. (VAE.1): loss = mean recon_nll + mean kl, an estimate of minus the ELBO.  x (N, D), eps (N, Z).  Returns Terms and Saved."""
        ops, params, Z = self.ops, self.params, self.latent_dim
        enc = self.encoder.forward(ops, params, x)
        mu, logvar = enc[-1][:, :Z], enc[-1][:, Z:]
        z = ops.reparameterize_forward(mu, logvar, eps)
        dec = self.decoder.forward(ops, params, z)
        recon_nll = self.likelihood.forward(ops, params, dec[-1], x)
        kl = ops.gaussian_kl_forward(mu, logvar)
        recon_nll_mean, kl_mean = ops.batch_mean(recon_nll), ops.batch_mean(kl)
        loss = recon_nll_mean + kl_mean
        return Terms(loss, recon_nll_mean, kl_mean, recon_nll, kl), Saved(enc, dec, mu, logvar, z, kl)

    def backward(self, x, eps, saved, grads):
        """Eq. (VAE.2): forward, read from its last line to its first.  Fills grads."""
        ops, params = self.ops, self.params
        # loss = mean recon_nll + mean kl
        drecon_nll = dkl = np.ones(len(x), self.dtype) / len(x)
        # kl = gaussian_kl_forward(mu, logvar)
        dmu_kl, dlogvar_kl = ops.gaussian_kl_backward(dkl, saved.mu, saved.logvar)
        # recon_nll = likelihood.forward(dec[-1], x)
        dout = self.likelihood_backward(drecon_nll, saved.dec[-1], x, grads)
        # dec = decoder.forward(z)
        dz = self.decoder.backward(ops, params, dout, saved.dec, grads)
        # z = reparameterize_forward(mu, logvar, eps)
        dmu_recon, dlogvar_recon = ops.reparameterize_backward(dz, saved.logvar, eps)
        # enc = encoder.forward(x), whose output is mu and logvar, side by side
        dmu = dmu_recon + dmu_kl  # mu feeds both z and the KL
        dlogvar = dlogvar_recon + dlogvar_kl  # and so does logvar
        denc = np.concatenate([dmu, dlogvar], axis=1)
        self.encoder.backward(ops, params, denc, saved.enc, grads, need_dx=False)

    def encode(self, x) -> tuple[np.ndarray, np.ndarray]:
        """q(z|x) of x (N, D): mu, logvar, both (N, Z)."""
        out = self.encoder.forward(self.ops, self.params, self.checked(x))[-1]
        return out[:, : self.latent_dim], out[:, self.latent_dim :]

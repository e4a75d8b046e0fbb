"""The autoencoder: x -> z -> a reconstruction of x.  derivations/01-autoencoder.md."""

import numpy as np

from .base import EncoderDecoder, Saved, Terms


class Autoencoder(EncoderDecoder):
    """A deterministic code z for every x.  Arguments: see EncoderDecoder.

    >>> model = Autoencoder(data_dim=64, hidden=(32,), latent_dim=2)
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(size=(5, 64))
    >>> terms, grads = model.loss_and_grads(x)
    >>> model.encode(x).shape, model.reconstruct(x).shape
    ((5, 2), (5, 64))
    """

    name = "autoencoder"

    def forward(self, x):
        """Eq. (AE.1): loss = mean recon_nll.  x (N, D).  Returns Terms and Saved."""
        ops, params = self.ops, self.params
        enc = self.encoder.forward(ops, params, x)
        z = enc[-1]
        dec = self.decoder.forward(ops, params, z)
        recon_nll = self.likelihood.forward(ops, params, dec[-1], x)
        loss = ops.batch_mean(recon_nll)
        no_kl, no_kl_each = self.dtype.type(0), np.zeros_like(recon_nll)
        return Terms(loss, loss, no_kl, recon_nll, no_kl_each), Saved(enc, dec)

    def backward(self, x, saved, grads):
        """Eq. (AE.2): forward, read from its last line to its first.  Fills grads."""
        ops, params = self.ops, self.params
        # loss = mean recon_nll
        drecon_nll = np.ones(len(x), self.dtype) / len(x)
        # recon_nll = likelihood.forward(dec[-1], x)
        dout = self.likelihood_backward(drecon_nll, saved.dec[-1], x, grads)
        # dec = decoder.forward(z)
        dz = self.decoder.backward(ops, params, dout, saved.dec, grads)
        # enc = encoder.forward(x), z = enc[-1]
        self.encoder.backward(ops, params, dz, saved.enc, grads, need_dx=False)

    def encode(self, x) -> np.ndarray:
        """The code of x (N, D): z (N, Z)."""
        return self.encoder.forward(self.ops, self.params, self.checked(x))[-1]

"""The autoencoder: x -> z -> a reconstruction of x.  derivations/01-autoencoder.md."""

import numpy as np

from .engine import require
from .base import EncoderDecoder, Terms


class Autoencoder(EncoderDecoder):
    """A deterministic code z for every x.  Arguments: see EncoderDecoder.

    >>> model = Autoencoder(data_dim=64, hidden=(32,), latent_dim=2)
    >>> x = np.random.default_rng(0).uniform(size=(5, 64))
    >>> terms, grads = model.loss_and_grads(x)
    >>> model.encode(x).shape, model.reconstruct(x).shape
    ((5, 2), (5, 64))
    """

    heads = 1  # the encoder puts out z
    noise_arrays = 0

    def draw_noise(self, n, rng):
        """Nothing is random here: ()."""
        return ()

    def forward(self, x):
        """Eq. (AE.1): loss = mean recon_nll.  x (N, D).  Returns Terms and what backward needs."""
        ops, params = self.ops, self.params
        enc = self.encoder.forward(ops, params, x)
        z = enc[-1]
        dec = self.decoder.forward(ops, params, z)
        out = dec[-1]
        recon_nll = self.likelihood.forward(ops, params, out, x)
        loss = recon_nll_mean = ops.batch_mean(recon_nll)
        return Terms(loss, recon_nll_mean, self.dtype.type(0), recon_nll, np.zeros_like(recon_nll)), (enc, dec)

    def backward(self, x, enc, dec, grads):
        """Eq. (AE.2): forward, read from its last line to its first.  Fills grads."""
        ops, params = self.ops, self.params
        out = dec[-1]
        share = np.ones(len(x), self.dtype) / len(x)  # each example's, since loss is a batch mean
        drecon_nll = share
        dout = self.likelihood.backward(ops, params, drecon_nll, out, x, grads)
        dz = self.decoder.backward(ops, params, dout, dec, grads)
        self.encoder.backward(ops, params, dz, enc, grads, need_dx=False)

    def encode(self, x):
        """The code of x (N, D): z (N, Z)."""
        x = require.rows("x", x, self.data_dim, self.dtype)
        return self.encoder.forward(self.ops, self.params, x)[-1]

    def reconstruct(self, x):
        """decode(encode(x)): (N, D)."""
        return self.decode(self.encode(x))

    def sample(self, n, rng):
        """Refused: an autoencoder has no p(z) to draw from."""
        raise TypeError(
            "an Autoencoder has no prior p(z), so it cannot sample; train a VAE, or decode(z) of your choice"
        )

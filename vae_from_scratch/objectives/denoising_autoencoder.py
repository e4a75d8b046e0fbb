"""The denoising autoencoder (Vincent et al. 2008): from a corrupted x back to x.  derivations/16-autoencoders-with-a-price.md.

Compare it with autoencoder.py, by `diff autoencoder.py objectives/denoising_autoencoder.py`.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from ..autoencoder import Autoencoder
from ..base import Likelihood, Saved, Terms
from ..engine import require


class DenoisingAutoencoder(Autoencoder):
    """The encoder sees a corrupted x, the loss compares with x.  Other arguments: see EncoderDecoder.

    corruption : "masking" (pixels to 0), "salt-and-pepper" (to 0 or 1, half each) or "gaussian" (x + level * eps)
    level : the share of the pixels that is corrupted, in [0, 1), or the standard deviation of the Gaussian noise

    loss is that of the noise it is given; eps = 0 corrupts nothing.  evaluate, encode and reconstruct see x as it is.

    >>> model = DenoisingAutoencoder(data_dim=64, hidden=(32,), latent_dim=2, level=0.5)
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(size=(5, 64))
    >>> terms, grads = model.loss_and_grads(x, *model.draw_noise(5, rng))
    """

    name = "denoising-autoencoder"
    rows_apart = True
    hyperparameters = {"level": 0}  # name: smallest legal value
    level: float
    choices = {"corruption": ("masking", "salt-and-pepper", "gaussian")}

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
        *, corruption: str = "masking", level: float = 0.25,
    ):  # fmt: skip
        networks = (decoder_hidden, decoder_activation, init)
        super().__init__(data_dim, hidden, latent_dim, activation, likelihood, seed, dtype, backend, *networks)
        self.corruption = require.choice("corruption", corruption, self.choices["corruption"])
        self.set(level=level)

    def set(self, **values):
        if "level" in values and self.corruption != "gaussian":
            require.number("level", values["level"], least=0, below=1)
        super().set(**values)

    def noise_shapes(self, n):
        """eps ~ N(0, I), (n, D), whatever the corruption."""
        return ((n, self.data_dim),)

    def evaluation_noise(self, n, rng):
        """Nothing is corrupted outside of training."""
        return (np.zeros((n, self.data_dim), self.dtype),)

    def corrupt(self, x, eps):
        """What the encoder sees of x (N, D); eps (N, D)."""
        if self.corruption == "gaussian":
            return self.ops.gaussian_noise(x, eps, self.level)
        t = -NormalDist().inv_cdf(self.level / 2) if self.level > 0 else np.inf  # P(|eps| > t) = level
        masking = self.corruption == "masking"
        return self.ops.masking_noise(x, eps, t) if masking else self.ops.salt_and_pepper_noise(x, eps, t)

    def forward(self, x, eps):
        """Eq. (DAE.1): loss = mean recon_nll, of x, from a corrupted x.  x, eps (N, D).  Returns Terms and Saved."""
        ops, params = self.ops, self.params
        enc = self.encoder.forward(ops, params, self.corrupt(x, eps))
        z = enc[-1]
        dec = self.decoder.forward(ops, params, z)
        recon_nll = self.likelihood.forward(ops, params, dec[-1], x)
        loss = ops.batch_mean(recon_nll)
        no_kl, no_kl_each = self.dtype.type(0), np.zeros_like(recon_nll)
        return Terms(loss, loss, no_kl, recon_nll, no_kl_each), Saved(enc, dec)

    def backward(self, x, eps, saved, grads):
        """Eq. (DAE.2): as in AE.2; the input of the first layer, enc[0], is the corrupted x.  Fills grads."""
        super().backward(x, saved, grads)

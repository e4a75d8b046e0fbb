"""The sparse autoencoder: few entries of the code are active for an x.  derivations/16-autoencoders-with-a-price.md.

Compare it with autoencoder.py, by `diff autoencoder.py objectives/sparse_autoencoder.py`.
"""

from collections.abc import Sequence

import numpy as np

from ..autoencoder import Autoencoder
from ..base import Likelihood, Saved, Terms
from ..engine import require


class SparseAutoencoder(Autoencoder):
    """loss = mean recon_nll + weight * penalty, on the code z = act(a).  Other arguments: see EncoderDecoder.

    penalty : "kl", the sum over the latents of KL(rho || mean z) (Ng 2011), or "l1", the mean of sum |z|
    code : the activation that gives z; "kl" needs "sigmoid"
    weight, rho : the penalty's weight, >= 0, and for "kl" the mean activation to aim at, in (0, 1)

    "l1" also falls if the code shrinks and the decoder's weights grow, at no cost in reconstruction for a linear or relu
    code (SPARSE.8): train it with weight_decay.

    >>> SparseAutoencoder(data_dim=64, hidden=(), latent_dim=32, weight=0.5).encode(np.zeros((5, 64))).min()
    np.float32(0.5)
    """

    name = "sparse-autoencoder"
    hyperparameters = {"weight": 0, "rho": 0}  # name: smallest legal value
    weight: float
    rho: float
    choices = {"penalty": ("kl", "l1"), "code": ("sigmoid", "relu", "softplus", "tanh", "linear")}

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
        *, penalty: str = "kl", code: str = "sigmoid", weight: float = 1.0, rho: float = 0.05,
    ):  # fmt: skip
        networks = (decoder_hidden, decoder_activation, init)
        super().__init__(data_dim, hidden, latent_dim, activation, likelihood, seed, dtype, backend, *networks)
        self.penalty = require.choice("penalty", penalty, self.choices["penalty"])
        self.code = require.choice("code", code, self.ops.ACTIVATIONS)
        if self.penalty == "kl" and self.code != "sigmoid":
            raise ValueError(f"penalty 'kl' is of means in (0, 1): it needs code 'sigmoid', got {code!r}; or take penalty 'l1'")
        self.set(weight=weight, rho=rho)

    def set(self, **values):
        if "rho" in values:
            require.number("rho", values["rho"], above=0, below=1)
        super().set(**values)

    def penalty_forward(self, a, z):
        """sum_j KL(rho || mean z_j), or mean sum_j |z_j|: a number.  a, z (N, Z)."""
        if self.penalty == "kl":
            return self.ops.sparse_kl_forward(a, self.rho)
        return self.ops.batch_mean(self.ops.l1_forward(z))

    def penalty_backward(self, dpenalty, a, z):
        """Returns da, dz, one of them 0."""
        if self.penalty == "kl":
            return self.ops.sparse_kl_backward(dpenalty, a, self.rho), 0.0
        return 0.0, self.ops.l1_backward(dpenalty * (np.ones(len(z), self.dtype) / len(z)), z)

    def forward(self, x):
        """Eq. (SPARSE.1): loss = mean recon_nll + weight * penalty.  x (N, D).  Returns Terms and Saved."""
        ops, params = self.ops, self.params
        act_forward, _ = ops.ACTIVATIONS[self.code]
        enc = self.encoder.forward(ops, params, x)
        z = act_forward(enc[-1])
        dec = self.decoder.forward(ops, params, z)
        recon_nll = self.likelihood.forward(ops, params, dec[-1], x)
        recon_nll_mean = ops.batch_mean(recon_nll)
        loss = recon_nll_mean + self.weight * self.penalty_forward(enc[-1], z)
        no_kl, no_kl_each = self.dtype.type(0), np.zeros_like(recon_nll)
        return Terms(loss, recon_nll_mean, no_kl, recon_nll, no_kl_each), Saved(enc, dec, z=z)

    def backward(self, x, saved, grads):
        """Eq. (SPARSE.2): forward, read from its last line to its first.  Fills grads."""
        ops, params = self.ops, self.params
        _, act_backward = ops.ACTIVATIONS[self.code]
        # loss = mean recon_nll + weight * penalty(a, z)
        drecon_nll = np.ones(len(x), self.dtype) / len(x)
        da_penalty, dz_penalty = self.penalty_backward(self.weight, saved.enc[-1], saved.z)
        # recon_nll = likelihood.forward(dec[-1], x)
        dout = self.likelihood_backward(drecon_nll, saved.dec[-1], x, grads)
        # dec = decoder.forward(z)
        dz = self.decoder.backward(ops, params, dout, saved.dec, grads) + dz_penalty  # z feeds decoder and penalty
        # z = act(a)
        da = act_backward(dz, saved.z) + da_penalty
        # enc = encoder.forward(x), a = enc[-1]
        self.encoder.backward(ops, params, da, saved.enc, grads, need_dx=False)

    def encode(self, x) -> np.ndarray:
        """The code of x (N, D): z (N, Z)."""
        act_forward, _ = self.ops.ACTIVATIONS[self.code]
        return act_forward(super().encode(x))

"""The contractive autoencoder (Rifai et al. 2011): the code moves little when x does.  derivations/16-autoencoders-with-a-price.md.

Compare it with autoencoder.py, by `diff autoencoder.py objectives/contractive_autoencoder.py`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..autoencoder import Autoencoder
from ..base import Likelihood, Terms
from ..engine import require
from ..mlp import MLP


class Saved(NamedTuple):
    """What forward saves for backward: the layers of both networks, the encoder's slopes and, if there is a u, tangents."""

    enc: list
    dec: list
    p: list
    t: list | None


class TiedMLP(MLP):
    """The layers of another network in reverse, with its weights transposed and biases of their own."""

    def __init__(self, name, other, activation):
        super().__init__(name, other.widths[::-1], activation)
        self.names = [(W, b) for (W, _), (_, b) in zip(other.names[::-1], self.names)]

    def initial_params(self, rng, init, dtype):
        """Of the biases."""
        params = super().initial_params(rng, init, dtype)
        return {b: params[b] for _, b in self.names}

    def turned(self, arrays):
        """Parameters or gradients with these weights seen transposed."""
        return {**arrays, **{W: arrays[W].T for W, _ in self.names}}

    def forward(self, ops, params, x):
        return super().forward(ops, self.turned(params), x)

    def backward(self, ops, params, dy, h, grads, need_dx=True):
        return super().backward(ops, self.turned(params), dy, h, self.turned(grads), need_dx)


class ContractiveAutoencoder(Autoencoder):
    """loss = mean recon_nll + weight * mean ||dz/dx||_F^2, weight >= 0.  Other arguments: see EncoderDecoder.

    The code is a layer with the activation, z = act(a), and the decoder has the encoder's weights, transposed: with
    weights of its own it could undo any contraction.  So the widths are the mirrored ones.  With hidden=() (one
    layer, the model of the paper) the norm is exact; with hidden layers it is ||u dz/dx||^2 for one random u per x,
    which is right on average.

    >>> ContractiveAutoencoder(data_dim=64, hidden=(), latent_dim=32, activation="sigmoid", weight=0.5).noise_shapes(5)
    ()
    """

    name = "contractive-autoencoder"
    hyperparameters = {"weight": 0}  # name: smallest legal value
    weight: float

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
        *, weight: float = 0.1,
    ):  # fmt: skip
        networks = (decoder_hidden, decoder_activation, init)
        super().__init__(data_dim, hidden, latent_dim, activation, likelihood, seed, dtype, backend, *networks)
        self.set(weight=weight)

    def initial_params(self, rng):
        """Fresh parameters of the encoder, of the decoder's biases and of the likelihood."""
        if self.decoder.widths != self.encoder.widths[::-1]:
            raise ValueError(
                f"decoder_hidden must mirror hidden, and the likelihood take one output for each value of x, because the decoder"
                f" has the encoder's weights: expected widths {self.encoder.widths[::-1]}, got {self.decoder.widths}"
            )
        require.choice("activation", self.activation, self.ops.SLOPES)
        self.encoder.activations[-1] = self.activation
        self.decoder = TiedMLP("decoder", self.encoder, self.decoder_activation)
        return super().initial_params(rng)

    def noise_shapes(self, n):
        """The directions u ~ N(0, I), (n, D), of an encoder with hidden layers."""
        return ((n, self.data_dim),) if self.hidden else ()

    def tangents(self, p, u):
        """u and where it is taken by each layer with slopes p: a list of arrays, the last (N, Z)."""
        t = [u]
        for (W, _), slope in zip(self.encoder.names, p):
            t.append(self.ops.tangent_forward(t[-1], self.params[W], slope))
        return t

    def norm_backward(self, dnorm, p, t):
        """Returns dp and dW of each layer."""
        ops, weights = self.ops, [self.params[W] for W, _ in self.encoder.names]
        if t is None:
            return [ops.contraction_backward(dnorm, p[0], weights[0])]
        found, dt = [], ops.squared_norm_backward(dnorm, t[-1])
        for before, W, slope in reversed([*zip(t, weights, p)]):
            dt, dW, dp = ops.tangent_backward(dt, before, W, slope)
            found.insert(0, (dp, dW))
        return found

    def forward(self, x, u=None):
        """Eq. (CAE.1): loss = mean recon_nll + weight * mean norm.  x (N, D), u (N, D) or None.  Returns Terms and Saved."""
        ops, params, act = self.ops, self.params, self.activation
        enc = self.encoder.forward(ops, params, x)
        z = enc[-1]
        dec = self.decoder.forward(ops, params, z)
        recon_nll = self.likelihood.forward(ops, params, dec[-1], x)
        p = [ops.slope_forward(h, act) for h in enc[1:]]
        t = None if u is None else self.tangents(p, u)
        norm = ops.contraction_forward(p[0], params["encoder_W1"]) if u is None else ops.squared_norm_forward(t[-1])
        recon_nll_mean = ops.batch_mean(recon_nll)
        loss = recon_nll_mean + self.weight * ops.batch_mean(norm)
        no_kl, no_kl_each = self.dtype.type(0), np.zeros_like(recon_nll)
        return Terms(loss, recon_nll_mean, no_kl, recon_nll, no_kl_each), Saved(enc, dec, p, t)

    def backward(self, x, *rest):
        """Eq. (CAE.2): forward, read from its last line to its first.  Fills grads."""
        ops, params, act = self.ops, self.params, self.activation
        *_, saved, grads = rest  # u, if there is one, comes first
        # loss = mean recon_nll + weight * mean norm
        drecon_nll = np.ones(len(x), self.dtype) / len(x)
        dnorm = self.weight * drecon_nll
        # norm = ... of the slopes and of the weights
        from_norm = self.norm_backward(dnorm, saved.p, saved.t)
        # recon_nll = likelihood.forward(dec[-1], x)
        dout = self.likelihood_backward(drecon_nll, saved.dec[-1], x, grads)
        # dec = decoder.forward(z)
        dh = self.decoder.backward(ops, params, dout, saved.dec, grads)
        # enc = encoder.forward(x), z = enc[-1]; p = slope_forward(h)
        for l in reversed(range(len(from_norm))):
            (W, b), (h_in, h), (dp, dW_norm) = self.encoder.names[l], saved.enc[l : l + 2], from_norm[l]
            dh = dh + ops.slope_backward(dp, h, act)  # h feeds the next layer, and the slope of its own
            dh, dW, grads[b] = ops.dense_act_backward(dh, h_in, params[W], h, act)
            grads[W] += dW + dW_norm  # W feeds decoder, encoder and norm; the decoder's part is there already

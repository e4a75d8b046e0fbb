"""What the models share: construction, noise, decoding.  engine/plumbing.py has what is not mathematics."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from . import likelihoods, ops
from .engine import require
from .engine.plumbing import MODELS, Plumbing  # noqa: F401
from .engine.streams import stream
from .likelihoods import Likelihood
from .mlp import INITS, MLP, NamedVector


class Terms(NamedTuple):
    """What a batch costs, in nats: loss, recon_nll and kl are batch means, the _each (N,) are per example.

    The squared error is in nats but for a constant, as if sigma were 1.
    """

    loss: np.floating
    recon_nll: np.floating
    kl: np.floating
    recon_nll_each: np.ndarray
    kl_each: np.ndarray


class Saved(NamedTuple):
    """What forward saves for backward: the layers of both networks, inputs first and outputs last; q(z|x), its z and KL."""

    enc: list
    dec: list
    mu: np.ndarray | None = None
    logvar: np.ndarray | None = None
    z: np.ndarray | None = None
    kl: np.ndarray | None = None


class PenaltyGrads(NamedTuple):
    """The gradients of a penalty in everything that it may depend on: dkl (N,), the others (N, Z), each may be 0."""

    dkl: np.ndarray | float = 0.0
    dmu: np.ndarray | float = 0.0
    dlogvar: np.ndarray | float = 0.0
    dz: np.ndarray | float = 0.0


def normal(rng, shape, dtype):
    """An array ~ N(0, 1) of this shape and dtype."""
    drawn = rng.standard_normal(shape, np.float32 if dtype == np.float32 else np.float64)
    return drawn.astype(dtype, copy=False)


class EncoderDecoder(Plumbing):
    """An encoder, a decoder and a likelihood; autoencoder.py and vae.py say how they are joined.

    Parameters
    ----------
    data_dim, latent_dim : D, the number of values in one example, and Z, the number of latents
    hidden : widths of the encoder's hidden layers, such as (500,); () makes a linear model
    activation : of the hidden layers: "tanh", "relu", "leaky-relu", "sigmoid", "softplus", "linear"
    likelihood : p(x|z): a name such as "bernoulli", a config, or an object such as Gaussian(sigma=0.5); an Autoencoder
        also takes "squared-error"
    seed : of the initial parameters
    dtype : of the parameters and of everything computed: "float32", "float64", "longdouble"
    backend : which implementation of the pairs runs: "numba" (kernels.py, fast) or "numpy" (ops.py, the one to read)
    decoder_hidden, decoder_activation : the decoder's, if not the encoder's, its widths reversed
    init : "glorot" (uniform, zero biases); or every weight and bias ~ N(0, 0.01^2) ("normal") or U(-1, 1) / sqrt(fan in) ("uniform")

    Raises ValueError or TypeError, naming the argument, what was expected and how to mend it.
    """

    name: str | None = None
    forward: Callable  # (x, *noise) -> Terms, Saved; these three are defined by subclasses
    backward: Callable  # (x, *noise, saved, grads): fills grads
    encode: Callable  # x -> z, or mu and logvar
    variational = False  # whether the encoder outputs mu and logvar of a q(z|x), and so there is a KL and an ELBO; else z

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
    ):  # fmt: skip
        self.data_dim, self.latent_dim = require.whole("data_dim", data_dim), require.whole("latent_dim", latent_dim)
        self.hidden = require.widths("hidden", hidden)
        mirrored = self.hidden[::-1] if decoder_hidden is None else decoder_hidden
        self.decoder_hidden = require.widths("decoder_hidden", mirrored)
        self.activation = require.choice("activation", activation, ops.ACTIVATIONS)
        same = self.activation if decoder_activation is None else decoder_activation
        self.decoder_activation = require.choice("decoder_activation", same, ops.ACTIVATIONS)
        self.likelihood = likelihoods.from_config(likelihood)
        require.density(self.likelihood, self.variational)
        self.seed, self.dtype = require.seed(seed), require.dtype(dtype)
        self.init = require.choice("init", init, INITS)
        self.backend = backend  # and self.ops with it

        encoder_widths = (self.data_dim, *self.hidden, (2 if self.variational else 1) * self.latent_dim)
        decoder_widths = (self.latent_dim, *self.decoder_hidden, self.likelihood.outputs(self.data_dim))
        self.encoder = MLP("encoder", encoder_widths, self.activation)
        self.decoder = MLP("decoder", decoder_widths, self.decoder_activation)
        self.likelihood_params = require.own_params(self.likelihood, self.dtype, self.encoder, self.decoder)
        self.params = NamedVector(require.of_dtype(self, self.initial_params(stream("weights", self.seed))))

    def initial_params(self, rng):
        """Fresh parameters by name, in the order in which they lie in the vector."""
        encoder, decoder = (network.initial_params(rng, self.init, self.dtype) for network in (self.encoder, self.decoder))
        return {**encoder, **decoder, **self.likelihood.initial_params(self.dtype)}

    @property
    def players(self) -> dict:
        """What is trained: each has params, loss and loss_and_grads.  Here the model alone; a second network would follow."""
        return {"model": self}

    def noise_shapes(self, n):
        """The shapes of the noise that loss takes for n examples: () if nothing is random."""
        return ()

    def draw_noise(self, n: int, rng: np.random.Generator) -> tuple:
        """Arrays ~ N(0, 1) of noise_shapes(n): the only randomness in the loss."""
        return tuple(normal(require.rng(rng), shape, self.dtype) for shape in self.noise_shapes(require.whole("n", n, least=0)))

    def loss(self, x, *noise) -> Terms:
        """Forward only.  x (N, D), noise from draw_noise.  Returns Terms."""
        return self.forward(*self.batch(x, noise))[0]

    def loss_and_grads(self, x, *noise, out: NamedVector | None = None) -> tuple[Terms, NamedVector]:
        """The loss of a batch and its gradient.  x (N, D), noise from draw_noise.

        Returns Terms, and gradients with the names and shapes of params: new arrays, or out, if given; then x is not looked at.
        """
        x, *noise = self.batch(x, noise, looked_at=out is not None)  # fit, which passes out, has looked at all of x
        terms, saved = self.forward(x, *noise)
        grads = self.params.zeros_like() if out is None else out
        self.backward(x, *noise, saved, grads)
        return terms, grads

    def likelihood_backward(self, dnll, out, x, grads):
        """The likelihood's backward: its own gradients go into grads.  dnll (N,), out (N, outputs), x (N, D).  Returns dout."""
        dout, own = self.likelihood.backward(self.ops, self.params, dnll, out, x)
        require.same_names("the likelihood's backward must give the gradients of", self.likelihood_params, own)
        for name, grad in own.items():
            grads[name] = grad
        return dout

    def decode(self, z) -> np.ndarray:
        """E[x|z]: z (N, Z), returns (N, D)."""
        z = require.codes("z", z, self.latent_dim, self.dtype)
        return self.likelihood.mean(self.ops, self.params, self.decoder.forward(self.ops, self.params, z)[-1])

    def reconstruct(self, x) -> np.ndarray:
        """decode of z, or of the mu of q(z|x): (N, D)."""
        code = self.encode(x)
        return self.decode(code[0] if self.variational else code)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """E[x|z] for n draws of z from the prior N(0, I): (n, D).  TypeError for an autoencoder, which has no prior."""
        require.prior(self)
        shape = (require.whole("n", n), self.latent_dim)
        return self.decode(require.rng(rng).standard_normal(shape))

    def recon_nll(self, x, z) -> np.ndarray:
        """-log p(x|z) of each row, in nats: x (N, D), z (N, Z); returns (N,)."""
        x, z = require.pairs(self, x, z)
        out = self.decoder.forward(self.ops, self.params, z)[-1]
        return self.likelihood.forward(self.ops, self.params, out, x)

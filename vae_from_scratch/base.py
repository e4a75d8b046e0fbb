"""What the models share and no mathematics needs repeating: construction, decoding, hyperparameters."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from . import likelihoods, ops
from .engine import require
from .engine.backends import BACKENDS
from .engine.registry import arguments, register
from .engine.streams import stream
from .likelihoods import Likelihood
from .mlp import INITS, MLP, NamedVector

MODELS = {}  # name: class, entered when the class is defined


class Terms(NamedTuple):
    """What a batch costs, in nats: loss, recon_nll and kl are batch means, the _each (N,) are per example."""

    loss: np.floating
    recon_nll: np.floating
    kl: np.floating
    recon_nll_each: np.ndarray
    kl_each: np.ndarray


class Saved(NamedTuple):
    """What forward leaves for backward: the layers of both networks, inputs first and outputs last; q(z|x), its z and KL."""

    enc: list
    dec: list
    mu: np.ndarray | None = None
    logvar: np.ndarray | None = None
    z: np.ndarray | None = None
    kl: np.ndarray | None = None


class PenaltyGrads(NamedTuple):
    """The gradient of a penalty in all that it may be a function of: dkl (N,), the others (N, Z) or 0."""

    dkl: np.ndarray
    dmu: np.ndarray | float = 0.0
    dlogvar: np.ndarray | float = 0.0
    dz: np.ndarray | float = 0.0


def normal(rng, shape, dtype):
    """An array ~ N(0, 1) of this shape and dtype."""
    drawn = rng.standard_normal(shape, np.float32 if dtype == np.float32 else np.float64)
    return drawn.astype(dtype, copy=False)


class EncoderDecoder:
    """An encoder, a decoder and a likelihood; autoencoder.py and vae.py say how they are joined.

    Parameters
    ----------
    data_dim : int
        D, the number of values in one example.
    hidden : sequence of int
        Widths of the encoder's hidden layers; () makes a linear model.
    latent_dim : int
        Z, the number of latents.
    activation : {"tanh", "relu", "sigmoid", "softplus", "linear"}
        Of the hidden layers.
    likelihood : "bernoulli" or Gaussian(...)
        p(x|z); an Autoencoder also takes "squared-error".
    seed : int
        Of the initial parameters.
    dtype : {"float32", "float64", "longdouble"}
        Of the parameters and of everything computed.
    backend : {"numba", "numpy"}
        Which implementation of the pairs runs: kernels.py (fast) or ops.py (the one to read).
    decoder_hidden, decoder_activation
        The decoder's, where they differ from the encoder's mirrored.
    init : {"glorot", "normal"}
        Glorot uniform with zero biases, or every weight and bias ~ N(0, 0.01^2).

    Raises
    ------
    ValueError, TypeError
        Naming the argument, what was expected and how to mend it.
    """

    name: str | None = None  # in files and on the command line
    forward: Callable  # (x, *noise) -> Terms, Saved
    backward: Callable  # (x, *noise, saved, grads): fills grads
    encode: Callable  # x -> z, or mu and logvar
    outputs_per_latent = 1  # what the encoder outputs for each latent: z, or mu and logvar
    variational = False  # whether there is a q(z|x), and so a KL and an ELBO
    hyperparameters: dict = {}  # name: least legal value (None: any); constructor arguments that a schedule may change

    def __init_subclass__(cls):
        register(MODELS, cls)

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
        if self.variational and not self.likelihood.is_density:
            raise ValueError(
                f"likelihood {self.likelihood.name!r} is no density, so there is no ELBO to maximise; "
                "Gaussian(sigma=1.0) is the squared error with its constant"
            )
        self.seed, self.dtype = require.seed(seed), require.dtype(dtype)
        self.init = require.choice("init", init, INITS)
        self.backend = require.choice("backend", backend, BACKENDS)
        self.ops = BACKENDS[self.backend]()

        encoder_widths = (self.data_dim, *self.hidden, self.outputs_per_latent * self.latent_dim)
        decoder_widths = (self.latent_dim, *self.decoder_hidden, self.likelihood.outputs(self.data_dim))
        self.encoder = MLP("encoder", encoder_widths, self.activation)
        self.decoder = MLP("decoder", decoder_widths, self.decoder_activation)
        self.likelihood_params = set(self.likelihood.initial_params(self.dtype))
        self._theta = NamedVector(self.initial_params(stream("weights", self.seed)))

    def initial_params(self, rng):
        """Fresh parameters by name, in the order in which they lie in the vector."""
        networks = (network.initial_params(rng, self.init, self.dtype) for network in (self.encoder, self.decoder))
        return {**next(networks), **next(networks), **self.likelihood.initial_params(self.dtype)}

    @property
    def params(self) -> NamedVector:
        """The parameters by name; what is assigned, item by item or as a whole, is copied into them."""
        return self._theta

    @params.setter
    def params(self, values):
        if values.keys() != self._theta.keys():
            raise ValueError(f"params must have the names {', '.join(self._theta)}; got {', '.join(values)}")
        self._theta.update(values)

    @property
    def players(self) -> dict:
        """What is trained: each has params, loss and loss_and_grads.  Here the model alone; a second network would follow."""
        return {"model": self}

    @property
    def config(self) -> dict:
        """The constructor's arguments, ready for JSON; with params, all that a file needs to hold."""
        found = {name: getattr(self, name) for name in arguments(type(self))}
        plain = {"hidden": list, "decoder_hidden": list, "dtype": require.dtype_name, "likelihood": lambda p: p.config}
        return {name: plain.get(name, lambda value: value)(value) for name, value in found.items()}

    def set(self, **values):
        """Change hyperparameters such as beta, during training too (what fit's schedule does)."""
        for name, value in values.items():
            if name not in self.hyperparameters:
                known = ", ".join(self.hyperparameters) or "none"
                raise ValueError(f"{type(self).__name__} has no hyperparameter {name!r}; it has: {known}")
            setattr(self, name, require.number(name, value, least=self.hyperparameters[name]))

    def noise_shapes(self, n):
        """The shapes of the noise that loss takes for n examples: () if nothing is random."""
        return ()

    def draw_noise(self, n: int, rng: np.random.Generator) -> tuple:
        """Arrays ~ N(0, 1) of noise_shapes(n): the only randomness there is."""
        return tuple(normal(require.rng(rng), shape, self.dtype) for shape in self.noise_shapes(n))

    def loss(self, x, *noise) -> Terms:
        """Forward only.  x (N, D), noise from draw_noise.  Returns Terms."""
        return self.forward(*self._batch(x, noise))[0]

    def loss_and_grads(self, x, *noise, out: NamedVector | None = None) -> tuple[Terms, NamedVector]:
        """The loss of a batch and its gradient.  x (N, D), noise from draw_noise.

        Returns Terms, and gradients with the names and shapes of params: new arrays, unless out says where they go.
        """
        x, *noise = self._batch(x, noise)
        terms, saved = self.forward(x, *noise)
        grads = self._theta.zeros_like() if out is None else out
        self.backward(x, *noise, saved, grads)
        return terms, grads

    def likelihood_backward(self, dnll, out, x, grads):
        """The likelihood's backward: its own gradients go into grads.  Returns dout."""
        dout, own = self.likelihood.backward(self.ops, self._theta, dnll, out, x)
        if own.keys() != self.likelihood_params:
            wanted, got = (", ".join(names) or "none" for names in (self.likelihood_params, own))
            raise ValueError(f"{type(self.likelihood).__name__}.backward must give the gradients of {wanted}; got {got}")
        for name, grad in own.items():
            grads[name] = grad
        return dout

    def decode(self, z) -> np.ndarray:
        """E[x|z]: z (N, Z), returns (N, D)."""
        z = require.rows("z", z, self.latent_dim, self.dtype)
        return self.likelihood.mean(self.ops, self._theta, self.decoder.forward(self.ops, self._theta, z)[-1])

    def reconstruct(self, x) -> np.ndarray:
        """decode of z, or of the mu of q(z|x): (N, D)."""
        code = self.encode(x)
        return self.decode(code[0] if self.variational else code)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """E[x|z] for n draws of z from the prior N(0, I): (n, D)."""
        if not self.variational:
            raise TypeError(f"an {type(self).__name__} has no prior p(z) to sample from; train a VAE, or decode(z) of yours")
        shape = (require.whole("n", n), self.latent_dim)
        return self.decode(require.rng(rng).standard_normal(shape))

    def recon_nll(self, x, z) -> np.ndarray:
        """-log p(x|z) of each row, in nats: x (N, D), z (N, Z); returns (N,)."""
        out = self.decoder.forward(self.ops, self._theta, z)[-1]
        return self.likelihood.forward(self.ops, self._theta, out, x)

    def _batch(self, x, noise):
        x = require.rows("x", x, self.data_dim, self.dtype)
        expected = tuple(self.noise_shapes(len(x)))
        if tuple([np.shape(array) for array in noise]) != expected:
            raise ValueError(
                f"x has {len(x)} examples, so the noise must have the shapes {list(expected)}, got "
                f"{[np.shape(array) for array in noise]}; draw it: noise = model.draw_noise(len(x), rng), pass *noise"
            )
        return (x, *(np.asarray(array, self.dtype) for array in noise))

    def __getstate__(self):  # for copy.deepcopy and pickle: a module cannot be copied, and need not be
        return {name: value for name, value in vars(self).items() if name != "ops"}

    def __setstate__(self, state):
        vars(self).update(state, ops=BACKENDS[state["backend"]]())

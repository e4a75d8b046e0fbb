"""What the models share and no mathematics needs repeating: construction, decoding, settings."""

from typing import NamedTuple

import numpy as np

from . import likelihoods, ops
from .engine import require
from .engine.backends import BACKENDS
from .mlp import INITS, MLP, FlatDict


class Terms(NamedTuple):
    """What a batch costs, in nats: loss, recon_nll and kl are batch means, the _each (N,) are per example."""

    loss: np.floating
    recon_nll: np.floating
    kl: np.floating
    recon_nll_each: np.ndarray
    kl_each: np.ndarray


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

    heads = 1  # how many arrays (N, Z) the encoder puts out, side by side
    noise_arrays = 0  # how many arrays (N, Z) draw_noise gives
    variational = False  # whether there is a q(z|x), and so a KL and an ELBO
    settings = {}  # name: smallest legal value; a schedule may change these during training

    def __init__(
        self,
        data_dim,
        hidden=(500,),
        latent_dim=20,
        activation="tanh",
        likelihood="bernoulli",
        seed=0,
        dtype="float32",
        backend="numba",
        decoder_hidden=None,
        decoder_activation=None,
        init="glorot",
    ):
        self.data_dim = require.whole("data_dim", data_dim)
        self.hidden = require.widths("hidden", hidden)
        self.latent_dim = require.whole("latent_dim", latent_dim)
        self.activation = require.choice("activation", activation, ops.ACTIVATIONS)
        self.likelihood = likelihoods.from_config(likelihood)
        if self.variational and not self.likelihood.is_density:
            raise ValueError(
                f"likelihood {self.likelihood.config['name']!r} is no density, so there is no ELBO to maximise; "
                "Gaussian(sigma=1.0) is the squared error with its constant"
            )
        self.seed = require.seed(seed)
        self.dtype = require.dtype(dtype)
        self.backend = require.choice("backend", backend, BACKENDS)
        self.decoder_hidden = (
            self.hidden[::-1] if decoder_hidden is None else require.widths("decoder_hidden", decoder_hidden)
        )
        self.decoder_activation = (
            self.activation
            if decoder_activation is None
            else require.choice("decoder_activation", decoder_activation, ops.ACTIVATIONS)
        )
        self.init = require.choice("init", init, INITS)

        self.ops = BACKENDS[self.backend]()
        outputs, likelihood_params = self.likelihood.init(self.data_dim, self.dtype)
        self.encoder = MLP("encoder", (self.data_dim, *self.hidden, self.heads * self.latent_dim), self.activation)
        self.decoder = MLP("decoder", (self.latent_dim, *self.decoder_hidden, outputs), self.decoder_activation)
        rng = np.random.default_rng(self.seed)
        encoder_params = self.encoder.init(rng, self.init, self.dtype)
        decoder_params = self.decoder.init(rng, self.init, self.dtype)
        self.params = FlatDict({**encoder_params, **decoder_params, **likelihood_params})

    def __getstate__(self):  # for copy.deepcopy: a module cannot be copied, and need not be
        return {name: value for name, value in self.__dict__.items() if name != "ops"}

    def __setstate__(self, state):
        self.__dict__.update(state, ops=BACKENDS[state["backend"]]())

    @property
    def config(self):
        """The constructor's arguments, ready for JSON; with params, all that a file needs to hold."""
        names = "data_dim latent_dim activation seed backend decoder_activation init".split()
        return {
            **{name: getattr(self, name) for name in [*names, *self.settings]},
            "hidden": list(self.hidden),
            "decoder_hidden": list(self.decoder_hidden),
            "likelihood": self.likelihood.config,
            "dtype": next(name for name in require.DTYPES if np.dtype(name) == self.dtype),
        }

    def set(self, **values):
        """Change settings such as beta during training (what fit's schedule does)."""
        for name, value in values.items():
            if name not in self.settings:
                raise ValueError(
                    f"{type(self).__name__} has no setting {name!r}; it has: {', '.join(self.settings) or 'none'}"
                )
            setattr(self, name, require.number(name, value, least=self.settings[name]))

    def loss(self, x, *noise):
        """Forward only.  x (N, D), noise from draw_noise.  Returns Terms."""
        terms, _ = self.forward(*self._batch(x, noise))
        return terms

    def loss_and_grads(self, x, *noise):
        """The loss of a batch and its gradient.  x (N, D), noise from draw_noise.

        Returns Terms, and a dict with the keys and shapes of params.
        """
        x, *noise = self._batch(x, noise)
        terms, tape = self.forward(x, *noise)
        grads = self.params.empty_like()
        self.backward(x, *noise, *tape, grads)
        return terms, grads

    def decode(self, z):
        """E[x|z]: z (N, Z), returns (N, D)."""
        z = require.rows("z", z, self.latent_dim, self.dtype)
        out = self.decoder.forward(self.ops, self.params, z)[-1]
        return self.likelihood.mean(self.ops, self.params, out)

    def _batch(self, x, noise):
        x = require.rows("x", x, self.data_dim, self.dtype)
        expected = [(len(x), self.latent_dim)] * self.noise_arrays
        if [np.shape(array) for array in noise] != expected:
            raise ValueError(
                f"x has {len(x)} examples, so the noise must have the shapes {expected}, got {[np.shape(array) for array in noise]}; "
                "draw it with noise = model.draw_noise(len(x), rng) and pass *noise"
            )
        return (x, *(np.asarray(array, self.dtype) for array in noise))

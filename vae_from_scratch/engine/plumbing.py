"""What a model needs beside its mathematics: a config, a name in the table of models, parameters that stay put, copies."""

import copy
import inspect

import numpy as np

from . import require
from .backends import BACKENDS
from .batches import RESTS
from .registry import arguments, kept, register

MODELS: dict = {}  # name: class, entered when the class is defined


class WithParams:
    """For what has parameters of its own: a model, or a second player."""

    @property
    def params(self):
        """The parameters by name, views of one vector; what is assigned, singly or as a whole, is copied into them."""
        return self._theta

    @params.setter
    def params(self, values):
        if "_theta" not in vars(self):  # the constructor's own
            self._theta = values
            return
        require.same_names("params must have the names", self._theta, values)
        self._theta.update(values)


class Plumbing(WithParams):
    """For a model with the attributes of EncoderDecoder."""

    name: str | None = None  # in files and on the command line
    rows_apart = False  # whether threads may share this class's own loss, each its rows; then it keeps nothing in self
    least_rows = 1  # that batch_size must be: 2 for a loss that compares rows; the last batch of an epoch may still have one
    hyperparameters: dict = {}  # name: least legal value (None: any); constructor arguments that a schedule may change
    choices: dict = {}  # name: allowed words; further constructor arguments, and options of the command line

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if missing := sorted(set(cls.hyperparameters) - set(arguments(cls))):
            raise TypeError(
                f"{cls.__name__}.hyperparameters names {missing[0]}, so its __init__ must take {missing[0]} and keep it: "
                f"self.set({missing[0]}={missing[0]}), as SmallMeansVAE does in README.md"
            )
        register(MODELS, cls)
        own = inspect.signature(cls.__init__)  # help would show __new__'s on Python 3.10
        cls.__signature__ = own.replace(parameters=[*own.parameters.values()][1:])

    def __new__(cls, *_, **given):
        for name in given:
            takers = [other.__name__ for other in MODELS.values() if name in other.hyperparameters]
            if takers and name not in arguments(cls):
                raise TypeError(f"{cls.__name__} takes no {name}; {' or '.join(takers)} does")
        return super().__new__(cls)

    def __repr__(self):
        own = "".join(f", {name} {getattr(self, name):g}" for name in self.hyperparameters)
        size = sum(value.size for player in self.players.values() for value in player.params.values())
        lines = [f"{type(self).__name__}: {size:,} parameters, {self.dtype}, backend {self.backend}{own}"]
        for name, network in vars(self).items():
            if hasattr(network, "widths"):
                layers = [f"{width} {activation}" for width, activation in zip(network.widths[1:], network.activations)]
                lines.append(f"  {name}: {' -> '.join([str(network.widths[0]), *layers])}")
        likelihood = [value if name == "name" else f"{name} {value}" for name, value in self.likelihood.config.items()]
        return "\n".join([*lines, f"  likelihood: {', '.join(likelihood)}"])

    def trained_on(self, n):
        """fit says on how many examples it is about to train: a loss that depends on it overrides this, and keeps it."""

    @property
    def config(self) -> dict:
        """The constructor's arguments, ready for JSON; with params, all that a file needs to hold."""
        found = kept(self)
        own = {"likelihood": lambda likelihood: copy.deepcopy(likelihood.config)}
        plain = {"hidden": list, "decoder_hidden": list, "dtype": require.dtype_name, **own}
        as_json = lambda value: list(value) if isinstance(value, tuple) else value  # noqa: E731
        return {name: plain.get(name, as_json)(value) for name, value in found.items()}

    def set(self, **values):
        """Change hyperparameters such as beta, during training too (what fit's schedule does)."""
        vars(self).update({name: require.setting(self, name, value) for name, value in values.items()})

    @property
    def backend(self):
        """Which implementation runs: what is assigned brings its ops."""
        return self._backend

    @backend.setter
    def backend(self, name):
        self._backend = require.choice("backend", name, BACKENDS)
        self.ops = BACKENDS[name]()

    def evaluation_noise(self, n, rng):
        """What evaluate gives loss for n examples: noise as in training, unless a model says otherwise."""
        return self.draw_noise(n, rng)

    def checked(self, x):
        """x (N, D) in the model's dtype, finite and in the range of its likelihood.  ValueError or TypeError otherwise."""
        x = require.rows("x", x, self.data_dim, self.dtype)
        require.values("x", x, require.unit_interval(self.likelihood), 0)
        return x

    def batch(self, x, noise, looked_at=False):
        """x (N, D) and its noise in the model's dtype.  ValueError or TypeError if they are not what it takes."""
        x = require.rows("x", x, self.data_dim, self.dtype) if looked_at else self.checked(x)
        require.noise(noise, self.noise_shapes(len(x)), len(x))
        if not RESTS.get():
            require.comparable(self, len(x), "len(x)")
        return (x, *(np.asarray(array, self.dtype) for array in noise))

    def __copy__(self):  # parameters that two models share would be trained twice
        return copy.deepcopy(self)

    def __getstate__(self):  # for copy.deepcopy and pickle: a module cannot be copied, and need not be
        return {name: value for name, value in vars(self).items() if name != "ops"}

    def __setstate__(self, state):
        vars(self).update(state)
        self.backend = self._backend

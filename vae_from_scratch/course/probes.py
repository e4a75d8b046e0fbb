"""What a function does on small input: three plain probes whose axes all differ, and some at the ends of the range.

A student's function, the package's and each mistake of the table run on the same probes; the checker compares what they do.
"""

import copy
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..base import PenaltyGrads, Saved, Terms
from ..beta_vae import BetaVAE
from ..likelihoods import Bernoulli, Gaussian
from ..objectives import CapacityVAE
from ..vae import VAE
from .cut import compiled, returns, source

SIZES = (  # no two axes alike, so that a transpose or a wrong axis shows; N and K first smaller, then larger than the others
    {"N": 3, "D": 7, "H": 6, "I": 7, "O": 5, "Z": 4, "K": 8, "C": 5},
    {"N": 7, "D": 5, "H": 4, "I": 4, "O": 3, "Z": 2, "K": 6, "C": 4},
    {"N": 4, "D": 3, "H": 7, "I": 3, "O": 6, "Z": 5, "K": 2, "C": 7},
)


class Probe(NamedTuple):
    """One call: fresh arguments by name, how the function is called with them, and which of them it may change."""

    arguments: Callable  # () -> dict
    call: Callable | None = None  # (function, arguments) -> what it returns; plain positional call if None
    in_place: tuple = ()
    kind: str = "plain"  # or "digits", "float32", "out", "other": a special one, looked at when the plain ones are right
    about: str = ""  # what a special probe asks, as the end of a sentence
    sizes: dict = {}


class Outcome(NamedTuple):
    """What came of a call: outputs (a tuple), or the exception; and the arguments that changed."""

    outputs: tuple | None
    names: tuple = ()
    error: BaseException | None = None
    mutated: tuple = ()
    returned: str = ""  # how many outputs, in words


class Named(NamedTuple):
    """Outputs that carry their names with them."""

    values: tuple
    names: tuple


def run(target, function, probe):
    """One call of a function on a probe, and what came of it."""
    arguments = probe.arguments()
    before = copy.deepcopy(arguments)
    try:
        with np.errstate(all="ignore"):
            result = (probe.call or positional)(function, arguments)
    except (Exception, SystemExit) as error:
        return Outcome(None, error=error)
    changed = [name for name in arguments if name not in probe.in_place and not _same(arguments[name], before[name])]
    if isinstance(result, Named):
        values, names = result.values, result.names
    elif hasattr(result, "_fields"):
        values, names = tuple(result), result._fields
    else:
        names = tuple(returns(target))
        values = result if isinstance(result, tuple) else () if result is None else (result,)
    returned = "nothing (is there a return?)" if result is None else "a list" if isinstance(result, list) else str(len(values))
    return Outcome(tuple(map(_array, values)), names, mutated=tuple(changed), returned=returned)


def positional(function, arguments):
    return function(*arguments.values())


def _array(value):
    # None if it is no array of numbers: a dict, a function, rows of different lengths
    try:
        array = np.array(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "fiub" else None


def _same(a, b):
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    return True


# ---- arguments: name:axes, drawn ~ N(0, 1) ------------------------------------------------------------


def drawn(spec, sizes, seed, dtype=np.float64):
    """'dkl:N mu:N,Z' -> arrays of these shapes; bits: 0 or 1, share: in (0, 1), probs: rows that sum to one."""
    rng, found = np.random.default_rng(seed), {}
    for word in spec.split():
        name, _, axes = word.partition(":")
        axes, _, kind = axes.partition("/")
        shape = tuple(sizes[axis] for axis in axes.split(",") if axis)
        value = rng.normal(size=shape)
        if kind == "share":
            value = rng.uniform(0.05, 0.95, size=shape)
        elif kind == "bits":
            value = rng.integers(0, 2, size=shape)
        elif kind == "probs":
            value = rng.dirichlet(np.ones(shape[-1]), size=shape[0])
        elif kind == "size":
            value = rng.uniform(0.5, 3, size=shape)
        elif kind == "wide":
            value = 2 * value
        found[name] = np.asarray(value, dtype)
    return found


SPECS = {
    "ops.dense_forward": "x:N,I W:I,O b:O",
    "ops.dense_backward": "dy:N,O x:N,I W:I,O",
    "ops.dense_backward_params": "dy:N,O x:N,I",
    "ops.reparameterize_forward": "mu:N,Z logvar:N,Z eps:N,Z",
    "ops.reparameterize_backward": "dz:N,Z logvar:N,Z eps:N,Z",
    "ops.gaussian_kl_per_latent": "mu:N,Z logvar:N,Z",
    "ops.gaussian_kl_forward": "mu:N,Z logvar:N,Z",
    "ops.gaussian_kl_backward": "dkl:N mu:N,Z logvar:N,Z",
    "ops.bernoulli_nll_forward": "logits:N,D/wide x:N,D/share",
    "ops.bernoulli_nll_backward": "dnll:N logits:N,D/wide x:N,D/share",
    "ops.gaussian_nll_forward": "x_mean:N,D x_logvar:N,D x:N,D",
    "ops.gaussian_nll_backward": "dnll:N x_mean:N,D x_logvar:N,D x:N,D",
    "ops.softmax_cross_entropy_forward": "logits:N,C/wide targets:N,C/probs",
    "ops.softmax_cross_entropy_backward": "dnll:N logits:N,C/wide targets:N,C/probs",
    "ops.capacity_forward": "kl:N/wide gamma: capacity:",
    "ops.capacity_backward": "dout: kl:N/wide gamma: capacity:",
    "ops.log_weight": "recon_nll:N z:N,Z logvar:N,Z eps:N,Z",
    "ops.log_mean_exp": "log_w:N,K/wide",
    "evaluation.effective_samples": "log_w:N,K/wide",
}
FIXED = {"gamma": 2.5, "capacity": 0.75}


def arguments(target, sizes, seed, dtype=np.float64):
    found = drawn(SPECS[target], sizes, seed, dtype)
    return {name: FIXED.get(name, value) if value.ndim else (FIXED.get(name) or float(value)) for name, value in found.items()}


# ---- probes by target ---------------------------------------------------------------------------------


@functools.cache
def probes(target):
    """The three plain probes of a function, then the special ones."""
    make = SPECIAL_CALLS.get(target)
    if make is not None:
        plain = [make(sizes, seed) for seed, sizes in enumerate(SIZES)]
    else:
        plain = [Probe(functools.partial(arguments, target, sizes, seed), sizes=sizes) for seed, sizes in enumerate(SIZES)]
    special = [*EXTREMES.get(target, ())]
    special += [make(SIZES[0], 0, **given)._replace(kind=kind, about=about) for kind, about, given in FURTHER.get(target, ())]
    single = {**SIZES[0], "N": 1}  # np.squeeze would take this axis away
    if target not in WITHOUT_BATCH:
        one = make(single, 0) if make is not None else Probe(functools.partial(arguments, target, single, 0), sizes=single)
        special.append(one._replace(kind="other", about="a batch of one row"))
    if make is None:
        if "backward" in target:
            given, about = functools.partial(_steep, target), "what arrives from above is 1000 times larger"
            special.append(Probe(given, kind="other", about=about, sizes=SIZES[0]))
        given = functools.partial(arguments, target, SIZES[0], 0, np.float32)
        special.append(Probe(given, kind="float32", about="float32 in must be float32 out"))
    return [*plain, *special]


def _steep(target):
    found = arguments(target, SIZES[0], 0)
    upstream = next(iter(found))  # every gradient is linear in it
    return {**found, upstream: 1000 * found[upstream]}


def extreme(kind, about, **values):
    """A special probe on given values, as float64."""
    given = lambda: {name: np.array(v, float) if isinstance(v, (list, float)) else v for name, v in values.items()}
    return Probe(given, kind=kind, about=about)


def _shared(target, shape):
    def given():
        found = arguments(target, SIZES[0], 5)
        found["x_logvar"] = np.random.default_rng(6).normal(size=shape)
        return found

    return Probe(given, kind="other", about=f"one x_logvar of shape {shape} serves many pixels")


def _out(target):
    def given():
        found = arguments(target, SIZES[0], 0)
        return {**found, "out": (np.full((7, 5), 100.0), np.full(5, 100.0))}

    def call(function, given):
        function(*given.values())
        return Named(given["out"], ("out[0]", "out[1]"))

    return Probe(given, call, ("out",), "out", "training hands in out, here of hundreds, and reads dW and db from there")


def _of_axes(shape, about):
    def given():
        rng = np.random.default_rng(8)
        return {"array": np.array(rng.normal(size=shape)), "dout": np.array(rng.normal(size=shape))}

    def call(function, given):
        return function(lambda: np.sin(given["array"]), given["array"], given["dout"], 0.1, {1: (1, 2)})

    return Probe(given, call, kind="other", about=about)


def _log_w(shape, about):
    given = lambda: {"log_w": np.random.default_rng(7).normal(size=shape)}
    return Probe(given, kind="other", about=about)


def _scalar(target):
    given = lambda: {**arguments(target, SIZES[0], 0, np.float32), "x_logvar": 0.3}
    return Probe(given, kind="float32", about="x_logvar may be a plain number, and float32 in must be float32 out")


small, far, large = 1e-6, 40.0, 800.0
EXTREMES = {
    "ops.dense_backward": [_out("ops.dense_backward")],
    "ops.dense_backward_params": [_out("ops.dense_backward_params")],
    **{target: [
        extreme("digits", "the KL at logvar 1e-6", mu=[[0.0, 0.0]], logvar=[[small, -small]]),
        extreme("digits", "the KL at logvar 40 and -40, and at mu 30", mu=[[0.0], [0.0], [30.0]], logvar=[[far], [-far], [0.0]]),
    ] for target in ("ops.gaussian_kl_per_latent", "ops.gaussian_kl_forward")},
    "ops.gaussian_kl_backward": [
        extreme("digits", "the gradient at logvar 1e-13", dkl=[1.0], mu=[[0.0, 0.0]], logvar=[[1e-13, -1e-13]]),
        extreme("digits", "the gradient at logvar 40 and -40, and at mu 30", dkl=[1.0], mu=[[0.0, 0.0, 30.0]], logvar=[[far, -far, 0.0]]),
    ],
    "ops.reparameterize_forward": [
        extreme("digits", "z at logvar 40 and -40, and at mu 30", mu=[[0.0, 0.0, 30.0]], logvar=[[far, -far, 0.0]], eps=[[1.0, 1.0, 9.0]])
    ],
    "ops.reparameterize_backward": [
        extreme("digits", "the gradient at logvar 40 and -40", dz=[[1.0, 1.0]], logvar=[[far, -far]], eps=[[1.0, 1.0]])
    ],
    "ops.bernoulli_nll_forward": [
        extreme("digits", "logits of 800", logits=[[large], [-large], [large], [-large]], x=[[1.0], [0.0], [0.0], [1.0]])
    ],
    "ops.bernoulli_nll_backward": [
        extreme("digits", "logits of 800", dnll=[1.0, 1.0, 1.0, 1.0], logits=[[large], [-large], [large], [-large]],
                x=[[1.0], [0.0], [0.0], [1.0]])
    ],
    **{target: [
        _shared(target, ()), _shared(target, (7,)), _scalar(target),
        extreme("digits", "x_logvar 40 and -40", **given, x_mean=[[0.5]] * 3, x_logvar=[[far], [-far], [-far]],
                x=[[1e9], [1.0], [0.5]]),  # one pixel a row, as a sum would hide the smaller; the first has sigma exp(20), 5e8
    ] for target, given in (("ops.gaussian_nll_forward", {}), ("ops.gaussian_nll_backward", {"dnll": [1.0, 1.0, 1.0]}))},
    "ops.softmax_cross_entropy_forward": [
        extreme("digits", "logits of 1000", logits=[[1000.0, 0.0, -1000.0], [-1000.0, -1000.0, -999.0]],
                targets=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    ],
    "ops.softmax_cross_entropy_backward": [
        extreme("digits", "logits of 1000", dnll=[1.0, 1.0], logits=[[1000.0, 0.0, -1000.0], [-1000.0, -1000.0, -999.0]],
                targets=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    ],
    **{target: [
        extreme("digits", "log weights of +-1000, or far apart",
                log_w=[[1000.0, 999.0, 998.0], [-1000.0, -1001.0, -1002.0], [0.0, -800.0, -1500.0]]),
        _log_w((2, 3, 4), "log_w may have more axes than two, and the last is K"), _log_w((4,), "log_w of one datum is (K,)"),
    ] for target in ("ops.log_mean_exp", "evaluation.effective_samples")},
    "ops.log_weight": [
        extreme("digits", "logvar 40 and -40", recon_nll=[1.0, 1.0], z=[[1.0], [30.0]], logvar=[[far], [-far]], eps=[[0.5], [9.0]])
    ],
    "gradcheck.relative_error": [
        extreme("digits", "two arrays of zeros", analytic=[[0.0, 0.0]], numeric=[[0.0, 0.0]]),
        extreme("digits", "gradients of 1e-10", analytic=[[1e-10, 2e-10]], numeric=[[1e-10, 1e-10]]),
        extreme("digits", "arrays of one axis", analytic=[1.0, 3.0], numeric=[1.0, 4.0]),
        extreme("digits", "single numbers, as arrays of no axes", analytic=3.0, numeric=4.0),
    ],
    "gradcheck.numeric_gradient": [_of_axes((4,), "an array of one axis"), _of_axes((), "a single number, as an array of no axes")],
    "ops.capacity_backward": [
        extreme("digits", "one kl at the capacity, their mean below it", dout=1.0, kl=[0.75, 0.5], gamma=2.5, capacity=0.75)
    ],
}  # fmt: skip


# ---- functions that need more than arrays -------------------------------------------------------------


def small_model(cls, sizes, seed, likelihood, dtype=np.float64, scale=1, **more):
    """A model whose every parameter is ~ N(0, 0.5^2), times scale, in plain NumPy."""
    model = cls(sizes["D"], (sizes["H"],), sizes["Z"], likelihood=likelihood, dtype=dtype, backend="numpy", **more)
    model.params.vector = 0.5 * scale * np.random.default_rng(seed).standard_normal(model.params.vector.size).astype(dtype)
    return model


LIKELIHOODS = (Bernoulli(), Gaussian(0.5), Gaussian("learned"))


def _batch(sizes, seed, dtype=np.float64):
    return drawn("x:N,D/share eps:N,Z", sizes, seed, dtype)


def _typed(value, dtype):
    # a Python number has no dtype of its own: it takes that of whatever it meets
    return dtype(value) if type(value) in (int, float) else value


def _vae_forward(sizes, seed, dtype=np.float64, scale=1):
    model = small_model(VAE, sizes, seed, LIKELIHOODS[seed], dtype, scale)

    def call(function, given):
        result = function(model, given["x"], given["eps"])
        if result is None:
            return None
        if not isinstance(result, tuple) or [type(each) for each in result] != [Terms, Saved]:
            raise TypeError("forward returns Terms(...) and Saved(...), in this order; yours returned something else")
        terms, saved = result
        for name, network in (("enc", model.encoder), ("dec", model.decoder)):
            layers = getattr(saved, name)
            if not isinstance(layers, (list, tuple)) or len(layers) != len(network.names) + 1:
                raise TypeError(f"Saved.{name} is all that self.{name}oder.forward returns, inputs first: backward reads every layer")
        kept = {f"Saved.{name}": getattr(saved, name) for name in ("mu", "logvar", "z", "kl")}
        layers = {f"Saved.{name}[{k}]": layer for name in ("enc", "dec") for k, layer in enumerate(getattr(saved, name))}
        terms = Terms(*(_typed(each, dtype) for each in terms))
        return Named((*terms, *kept.values(), *layers.values()), (*terms._fields, *kept, *layers))

    return Probe(functools.partial(_batch, sizes, seed, dtype), call, sizes=sizes)


def _vae_backward(sizes, seed, scale=1):
    model = small_model(VAE, sizes, seed, LIKELIHOODS[seed], scale=scale)

    def given():
        batch = _batch(sizes, seed)
        _, saved = model.forward(batch["x"], batch["eps"])
        return {**batch, "saved.mu": saved.mu, "saved.logvar": saved.logvar, "saved.z": saved.z, "saved": saved}

    def call(function, given):
        grads = model.params.zeros_like()
        function(model, given["x"], given["eps"], given["saved"], grads)
        return Named(tuple(grads.values()), tuple(f"grads[{name!r}]" for name in grads))

    return Probe(given, call, sizes=sizes)


def _penalty(cls, backward, sizes, seed, dtype=np.float64, kl=None):
    model = small_model(cls, sizes, seed, "bernoulli", dtype, **({"beta": 2.5} if cls is BetaVAE else FIXED))
    spec = "dpenalty:/size " * backward + "kl:N/size mu:N,Z logvar:N,Z z:N,Z"

    def given():
        found = drawn(spec, sizes, seed, dtype)
        if kl is not None:
            found["kl"] = np.array(kl)
        elif seed == 1:
            found["kl"] = found["kl"] / 10  # their mean below the capacity, their sum above it
        return {name: value if value.ndim else float(value) for name, value in found.items()}

    def call(function, given):
        result = function(model, *given.values())
        if backward and result is not None and not hasattr(result, "_fields"):
            raise TypeError(f"penalty_backward returns PenaltyGrads(dkl=...), got a {type(result).__name__}")
        if not isinstance(result, PenaltyGrads):
            return Named(tuple(result), result._fields) if hasattr(result, "_fields") else _typed(result, dtype)
        zeros = (), given["z"].shape  # an array of zeros says what 0 says
        rest = [0.0 if np.shape(part) in zeros and not np.any(part) else part for part in result[1:]]
        return Named((result.dkl, *rest), result._fields)

    return Probe(given, call, sizes=sizes)


def _adam(sizes, seed, scale=1):
    def given():
        found = drawn("param:Z grad:N,Z m:Z/share v:Z/share", sizes, seed)
        return {**found, "grad": scale * found["grad"]}

    def call(function, given):
        param, m, v = given["param"], np.zeros_like(given["m"]), np.zeros_like(given["v"])
        found = {}
        for t, grad in enumerate(given["grad"][:3], 1):
            function(param, grad, m, v, t, 0.1, 0.8, 0.95, 0.05)
            found.update({f"{name} after step {t}": value.copy() for name, value in (("m", m), ("v", v), ("param", param))})
        return Named(tuple(found.values()), tuple(found))

    return Probe(given, call, ("param",), sizes=sizes)


def _numeric_gradient(sizes, seed):
    spec = "array:O,Z W:Z,N dout:O,N"
    W = drawn(spec, sizes, seed)["W"]  # not an argument, so that no message speaks of it

    def given():
        found = drawn(spec, sizes, seed)
        return {name: found[name] for name in ("array", "dout")}

    def call(function, given):
        array = given["array"]
        points = ({1: (1, 2)}, {1: (8, 12), 2: (-1, 12)}, {1: (8, 12), 2: (-1, 12)})[seed]
        return function(lambda: np.sin(array @ W), array, given["dout"], (0.1, 0.1, 0.2)[seed], points)

    return Probe(given, call, sizes=sizes)


def _relative_error(sizes, seed):
    return Probe(functools.partial(drawn, "analytic:N,Z numeric:N,Z", sizes, seed + (0, 1, 3)[seed]), sizes=sizes)


SPECIAL_CALLS = {
    "vae.VAE.forward": _vae_forward,
    "vae.VAE.backward": _vae_backward,
    "beta_vae.BetaVAE.penalty_forward": functools.partial(_penalty, BetaVAE, False),
    "beta_vae.BetaVAE.penalty_backward": functools.partial(_penalty, BetaVAE, True),
    "objectives.capacity_vae.CapacityVAE.penalty_forward": functools.partial(_penalty, CapacityVAE, False),
    "objectives.capacity_vae.CapacityVAE.penalty_backward": functools.partial(_penalty, CapacityVAE, True),
    "optimizers.adam_update": _adam,
    "gradcheck.numeric_gradient": _numeric_gradient,
    "gradcheck.relative_error": _relative_error,
}
WITHOUT_BATCH = ("optimizers.adam_update", "gradcheck.numeric_gradient", "gradcheck.relative_error")
IN_FLOAT32 = "float32", "float32 in must be float32 out", {"dtype": np.float32}
FURTHER = {  # the special probes of those above: kind, about, and what differs from a plain one; a clamp may lie beyond what is common
    **dict.fromkeys(SPECIAL_CALLS, [IN_FLOAT32]),
    **dict.fromkeys(WITHOUT_BATCH, []),
    "optimizers.adam_update": [("other", "a gradient 100 times as large", {"scale": 100})],
    "vae.VAE.backward": [("other", "all parameters 10 times as large", {"scale": 10})],  # it fills grads, which have a dtype
    "vae.VAE.forward": [*(("other", f"all parameters {scale:g} times as large", {"scale": scale}) for scale in (10, 0.01)), IN_FLOAT32],
    "objectives.capacity_vae.CapacityVAE.penalty_backward": [
        ("digits", "the mean kl at the capacity", {"kl": [0.5, 1.0, 0.75]}), IN_FLOAT32
    ],
}  # fmt: skip


@functools.cache
def original(target):
    """The package's own function, from its source: whatever stands in its place at the moment."""
    return compiled(target, source(target))


@functools.cache
def expected(target):
    """What the package's own function does on them."""
    return [run(target, original(target), probe) for probe in probes(target)]

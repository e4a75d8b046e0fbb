"""Everything in the package that has a gradient, one row each: PAIRS, and models().  derivations/08-gradient-check.md."""

import functools
import inspect
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import likelihoods, ops
from ..autoencoder import Autoencoder
from ..beta_vae import BetaVAE
from ..gradcheck import check_model, check_pair
from ..objectives import (
    DIPVAE, IWAE, BetaTCVAE, CapacityVAE, ContractiveAutoencoder, DenoisingAutoencoder, FactorVAE, FreeBitsVAE,
    SparseAutoencoder,
)  # fmt: skip
from ..vae import VAE

# ---- the table of pairs -----------------------------------------------------------------------------


class Pair(NamedTuple):
    """One row: a backward in ops.py, the equations it implements, and small random input to run it on.

    Argument names say the rest: what a backward takes first is the upstream gradient, then inputs of the
    forward by name; a name that is no input (h) is the forward's output.  It returns the gradients of wrt.
    """

    backward: str
    tags: str
    wrt: str
    inputs: Callable  # rng -> {name: array}: axes that differ, N >= 3, away from kinks
    constants: dict = {}  # further arguments, not differentiated
    smooth: bool = True

    @property
    def name(self):
        return " ".join([self.backward, *map(str, self.constants.values())])

    def run_forward(self, namespace, **inputs):
        return getattr(namespace, self.backward.split("_backward")[0] + "_forward")(**inputs, **self.constants)

    def run_backward(self, namespace, dout, out, **inputs):
        _, *parameters = inspect.signature(getattr(ops, self.backward)).parameters.values()
        given = {parameter.name for parameter in parameters if parameter.default is parameter.empty} | set(self.constants)
        names = [parameter.name for parameter in parameters if parameter.name in given]
        arguments = [{"h": out, **inputs, **self.constants}[name] for name in names]
        grads = getattr(namespace, self.backward)(dout, *arguments)
        return dict(zip(self.wrt.split(), grads if isinstance(grads, tuple) else (grads,), strict=True))

    def check(self, dtype=np.float64, namespace=ops, seed=0):
        """check_pair on this row, on any namespace that holds the pair."""
        rng = np.random.default_rng(seed)
        forward, backward = (functools.partial(run, namespace) for run in (self.run_forward, self.run_backward))
        return check_pair(forward, backward, self.inputs(rng), rng, smooth=self.smooth, dtype=dtype)


def _normal(**shapes):
    return lambda rng: {name: rng.normal(size=shape) for name, shape in shapes.items()}


def _away_from_zero(rng):
    return {"a": rng.uniform(0.1, 2, (3, 5)) * rng.choice([-1, 1], (3, 5))}


def _layer(rng):
    while True:  # redrawn until no pre-activation is near relu's kink
        layer = {"x": rng.normal(size=(7, 5)), "W": 0.3 * rng.normal(size=(5, 3)), "b": 0.3 * rng.normal(size=3)}
        if np.abs(ops.dense_forward(**layer)).min() > 1e-2:
            return layer


def _logits(rng):
    return {"logits": _away_from_zero(rng)["a"], "x": rng.uniform(size=(3, 5))}


def _logits_on_both_sides_of_two(rng):
    # where the two forms of the continuous Bernoulli's mean meet
    return {"logits": rng.choice([-1, 1], (3, 5)) * rng.choice([1.5, 1.99, 2.01, 3, 8], (3, 5)), "x": rng.uniform(size=(3, 5))}


def _off_the_mean(shape, rng):
    # x_mean away from the kink at x
    x = rng.normal(size=(3, 5))
    return {"x_mean": x + _away_from_zero(rng)["a"], "log_scale": rng.normal(size=shape), "x": x}


def _classes(rng):
    return {"logits": rng.normal(size=(3, 5)), "targets": rng.dirichlet(np.ones(5), size=3)}


def _kl_off_capacity(rng):
    return {"kl": 3 + _away_from_zero(rng)["a"]}


def _permuted(rng):
    return {"logits": rng.normal(size=5), "logits_perm": rng.normal(size=5)}


KINKED = ("relu", "leaky-relu")
PAIRS = [
    Pair("dense_backward", "DENSE.2 DENSE.3 DENSE.4", "x W b", _layer),
    Pair("dense_backward_params", "DENSE.3 DENSE.4", "W b", _layer),
    Pair("tanh_backward", "TANH.2", "a", _away_from_zero),
    Pair("relu_backward", "RELU.2", "a", _away_from_zero, smooth=False),
    Pair("leaky_relu_backward", "LRELU.2", "a", _away_from_zero, smooth=False),
    Pair("sigmoid_backward", "SIGM.2", "a", _away_from_zero),
    Pair("softplus_backward", "SOFT.2", "a", _away_from_zero),
    *(
        Pair(f"dense_act_backward{ending}", "DACT.2", wrt, _layer, {"activation": act}, smooth=act not in KINKED)
        for act in ops.ACTIVATIONS
        for ending, wrt in (("", "x W b"), ("_params", "W b"))
    ),
    Pair("reparameterize_backward", "REP.2 REP.3", "mu logvar", _normal(mu=(3, 5), logvar=(3, 5), eps=(3, 5))),
    Pair("gaussian_kl_backward", "KL.3 KL.4", "mu logvar", _normal(mu=(3, 5), logvar=(3, 5))),
    Pair("bernoulli_nll_backward", "BERN.2", "logits", _logits),
    *(
        Pair(
            "gaussian_nll_backward",
            "GAUSS.2 GAUSS.3",
            "x_mean x_logvar",
            _normal(x_mean=(3, 5), x_logvar=shape, x=(3, 5)),
        )
        for shape in ((), (5,), (3, 5))
    ),
    *(
        Pair("laplace_nll_backward", "LAPLACE.2 LAPLACE.3", "x_mean log_scale", functools.partial(_off_the_mean, shape), smooth=False)
        for shape in ((), (5,), (3, 5))
    ),
    Pair("continuous_bernoulli_nll_backward", "CB.3", "logits", _logits),
    Pair("continuous_bernoulli_nll_backward", "CB.3", "logits", _logits_on_both_sides_of_two),
    Pair("squared_error_backward", "SE.2", "recon", _normal(recon=(3, 5), x=(3, 5))),
    Pair("softmax_cross_entropy_backward", "SOFTMAX.2", "logits", _classes),
    Pair("capacity_backward", "CAP.2", "kl", _kl_off_capacity, {"gamma": 10.0, "capacity": 3.0}, smooth=False),
    Pair(
        "log_weights_backward",
        "IWAE.5",
        "recon_nll z logvar",
        _normal(recon_nll=(3, 5), z=(3, 5, 7), logvar=(3, 7), eps=(3, 5, 7)),
    ),
    Pair("iwae_bound_backward", "IWAE.4", "log_w", _normal(log_w=(3, 5))),
    Pair("free_bits_backward", "FREE.2", "mu logvar", _normal(mu=(3, 5), logvar=(3, 5)), {"free_bits": 0.4}, smooth=False),
    Pair(
        "free_bits_backward", "FREE.2", "mu logvar", _normal(mu=(3, 6), logvar=(3, 6)), {"free_bits": 1.2, "group_size": 2},
        smooth=False,
    ),
    Pair("discrimination_backward", "FACTOR.3 FACTOR.4", "logits logits_perm", _permuted),
    Pair("covariance_backward", "DIP.2", "mu", _normal(mu=(5, 3))),
    Pair("marginal_covariance_backward", "DIP.2 DIP.4", "mu logvar", _normal(mu=(5, 3), logvar=(5, 3))),
    Pair("dip_backward", "DIP.6", "C", _normal(C=(3, 3)), {"lambda_od": 2.0, "lambda_d": 5.0}),
    *(
        Pair(
            "batch_parts_backward",
            "TC.14 TC.15 TC.16 TC.17",
            "mu logvar z",
            _normal(mu=(5, 3), logvar=(5, 3), z=(5, 3)),
            {"n_train": 40, "stratified": stratified},
        )
        for stratified in (True, False)
    ),
    # derivations/16
    Pair("sparse_kl_backward", "SPARSE.5", "a", _normal(a=(3, 5)), {"rho": 0.05}),
    Pair("l1_backward", "SPARSE.7", "h", lambda rng: {"h": _away_from_zero(rng)["a"]}, smooth=False),
    *(
        Pair("slope_backward", "CAE.4", "h", lambda rng: {"h": _away_from_zero(rng)["a"]}, {"activation": act}, "relu" not in act)
        for act in ops.SLOPES
    ),
    Pair("contraction_backward", "CAE.6 CAE.7", "p W", _normal(p=(3, 5), W=(7, 5))),
    Pair("tangent_backward", "CAE.9 CAE.10 CAE.11", "t W p", _normal(t=(3, 7), W=(7, 5), p=(3, 5))),
    Pair("squared_norm_backward", "CAE.13", "t", _normal(t=(3, 5))),
]


# ---- the table of models ----------------------------------------------------------------------------

LIKELIHOODS = {
    "bernoulli": likelihoods.Bernoulli(),
    "gaussian": likelihoods.Gaussian(sigma=0.7),
    "gaussian sigmoid": likelihoods.Gaussian(sigma=0.7, mean="sigmoid"),
    "gaussian learned": likelihoods.Gaussian(sigma="learned"),
    "gaussian learned sigmoid": likelihoods.Gaussian(sigma="learned", mean="sigmoid"),
    "gaussian per-pixel": likelihoods.Gaussian(sigma="per-pixel"),
    "gaussian per-pixel sigmoid": likelihoods.Gaussian(sigma="per-pixel", mean="sigmoid"),
    "squared-error": likelihoods.SquaredError(),
}
FURTHER = [  # likelihoods with one model and one activation each: what is new in them is a pair above
    (likelihoods.Laplace(scale=0.7), "tanh"),
    (likelihoods.Laplace(scale="learned"), "softplus"),
    (likelihoods.Laplace(scale="per-pixel", mean="sigmoid"), "tanh"),
    (likelihoods.ContinuousBernoulli(), "tanh"),
    (likelihoods.ContinuousBernoulli(), "relu"),
]


class Case(NamedTuple):
    """One row: a small model (three layers a side), a batch, its noise, and the term that is differentiated."""

    name: str
    model: object
    x: np.ndarray
    noise: tuple
    smooth: bool = True
    term: str = "loss"
    without: object = None  # subtract this model's gradients, to see one term apart

    def check(self):
        grads = self.model.loss_and_grads(self.x, *self.noise)[1]
        if self.without is not None:
            rest = self.without.loss_and_grads(self.x, *self.noise)[1]
            grads = {name: grads[name] - rest[name] for name in grads}
        return check_model(self.model, self.x, *self.noise, smooth=self.smooth, term=self.term, grads=grads)


class _NearestKink:
    """A namespace of pairs that notes how near to zero any pre-activation of a relu (leaky or not) or x - x_mean of a Laplace comes."""

    def __init__(self):
        self.distance = np.inf

    def __getattr__(self, name):
        return getattr(ops, name)

    def dense_act_forward(self, x, W, b, activation):
        if activation in KINKED:
            self.distance = min(self.distance, np.abs(ops.dense_forward(x, W, b)).min())
        return ops.dense_act_forward(x, W, b, activation)

    def laplace_nll_forward(self, x_mean, log_scale, x):
        self.distance = min(self.distance, np.abs(x - x_mean).min())
        return ops.laplace_nll_forward(x_mean, log_scale, x)


def small_case(model_class, dtype, activation, likelihood, seed=0, hidden=(4, 3), **settings):
    """A model of parameters +-(0.2 to 0.5) and a batch; redrawn until relu's kinks are 100 h away.

    A sigmoid's slope is at most 1/4, so its parameters are larger: through five of them gradients would
    otherwise vanish under the rounding of the loss.
    """
    gain = 3 if activation == "sigmoid" else 1
    rng = np.random.default_rng(seed)
    model = model_class(
        data_dim=5, hidden=hidden, latent_dim=2, activation=activation, likelihood=likelihood, dtype=dtype, **settings
    )
    while True:
        for player in model.players.values():
            for value in player.params.values():
                value[...] = gain * rng.uniform(0.2, 0.5, value.shape) * rng.choice([-1, 1], value.shape)
        x = rng.uniform(size=(3, 5)).astype(dtype)
        noise = model.draw_noise(3, rng)
        namespace, model.ops = model.ops, _NearestKink()
        for player in model.players.values():
            player.loss(x, *noise)
        distance, model.ops = model.ops.distance, namespace
        if distance > 1e-3:
            return model, x, noise


def models(dtype="float64"):
    """Autoencoder, VAE, BetaVAE and CapacityVAE with each likelihood they take and five activations, then the rest.

    The rest: the terms apart, the capacity's other side, other depths, and a few rows of each further objective.
    """
    everything = (
        ("VAE", VAE, {}),
        ("BetaVAE", BetaVAE, {"beta": 4.0}),
        ("CapacityVAE", CapacityVAE, {"gamma": 10.0, "capacity": 0.0}),
        ("Autoencoder", Autoencoder, {}),
    )
    for model_name, model_class, settings in everything:
        for likelihood_name, likelihood in LIKELIHOODS.items():
            if model_class.variational and not likelihood.is_density:
                continue
            for activation in [name for name in ops.ACTIVATIONS if name != "leaky-relu"]:  # the discriminator's: below
                case = small_case(model_class, dtype, activation, likelihood, **settings)
                yield Case(f"{model_name}, {likelihood_name}, {activation}", *case, smooth=activation != "relu")
    for likelihood_name, likelihood in LIKELIHOODS.items():
        if not likelihood.is_density:
            continue
        case = small_case(BetaVAE, dtype, "tanh", likelihood, beta=1.0)
        without, *_ = small_case(BetaVAE, dtype, "tanh", likelihood, beta=0.0)
        yield Case(f"BetaVAE beta=0, {likelihood_name}, tanh: recon_nll alone", without, *case[1:], term="recon_nll")
        yield Case(f"BetaVAE 1 - 0, {likelihood_name}, tanh: kl alone", *case, term="kl", without=without)
    case = small_case(CapacityVAE, dtype, "tanh", "bernoulli", gamma=10.0, capacity=25.0)
    yield Case("CapacityVAE kl < C, bernoulli, tanh", *case)  # above, kl > C
    for name, hidden in (("no hidden layer", ()), ("one hidden layer", (3,))):
        yield Case(f"VAE, bernoulli, tanh, {name}", *small_case(VAE, dtype, "tanh", "bernoulli", hidden=hidden))
    case = small_case(
        BetaVAE, dtype, "relu", "bernoulli", decoder_hidden=(3, 4, 3), decoder_activation="tanh", beta=4.0
    )
    yield Case("BetaVAE, bernoulli, relu encoder, deeper tanh decoder", *case, smooth=False)
    for settings in ({"samples": 3}, {"samples": 1}):
        case = small_case(IWAE, dtype, "tanh", "bernoulli", **settings)
        yield Case(f"IWAE K={settings['samples']}, bernoulli, tanh", *case)
    for likelihood_name, activation in (("gaussian learned", "tanh"), ("gaussian per-pixel", "softplus"), ("bernoulli", "relu")):
        case = small_case(IWAE, dtype, activation, LIKELIHOODS[likelihood_name], samples=3)
        yield Case(f"IWAE K=3, {likelihood_name}, {activation}", *case, smooth=activation != "relu")
    for free_bits, side in ((0.1, "one of two paid"), (0.0, "all paid"), (5.0, "none paid")):  # the kink's sides
        case = small_case(FreeBitsVAE, dtype, "tanh", "bernoulli", free_bits=free_bits)
        yield Case(f"FreeBitsVAE {side}, bernoulli, tanh", *case)
    for likelihood_name, activation in (("gaussian per-pixel", "softplus"), ("bernoulli", "relu")):
        case = small_case(FreeBitsVAE, dtype, activation, LIKELIHOODS[likelihood_name], free_bits=0.1)
        yield Case(f"FreeBitsVAE one of two paid, {likelihood_name}, {activation}", *case, smooth=activation != "relu")
    for likelihood, activation in FURTHER:
        kinks = activation == "relu" or isinstance(likelihood, likelihoods.Laplace)
        words = " ".join(str(value) for value in likelihood.config.values() if value != "linear")
        yield Case(f"VAE, {words}, {activation}", *small_case(VAE, dtype, activation, likelihood), smooth=not kinks)
    for kind in DIPVAE.choices["kind"]:
        for likelihood, activation in (("bernoulli", "tanh"), ("gaussian per-pixel", "softplus"), ("bernoulli", "relu")):
            case = small_case(DIPVAE, dtype, activation, LIKELIHOODS[likelihood], kind=kind, lambda_od=3.0, lambda_d=5.0)
            yield Case(f"DIPVAE {kind}, {likelihood}, {activation}", *case, smooth=activation != "relu")
    case = small_case(FactorVAE, dtype, "tanh", "bernoulli", discriminator_hidden=())  # no kink, so to more digits
    yield Case("FactorVAE and its discriminator, bernoulli, tanh, no hidden layer in the discriminator", *case)
    for likelihood, activation in (("bernoulli", "tanh"), ("gaussian per-pixel", "softplus"), ("bernoulli", "leaky-relu")):
        case = small_case(FactorVAE, dtype, activation, LIKELIHOODS[likelihood], discriminator_hidden=(4, 3))
        yield Case(f"FactorVAE and its discriminator, {likelihood}, {activation}", *case, smooth=False)
    prices = {"alpha": 0.5, "beta": 6.0, "gamma": 2.0, "n_train": 40}
    for likelihood_name, activation in (("bernoulli", "tanh"), ("gaussian per-pixel", "softplus"), ("bernoulli", "relu")):
        case = small_case(BetaTCVAE, dtype, activation, LIKELIHOODS[likelihood_name], **prices)
        yield Case(f"BetaTCVAE, {likelihood_name}, {activation}", *case, smooth=activation != "relu")
    case = small_case(BetaTCVAE, dtype, "tanh", "bernoulli", **prices, estimator="weighted")
    yield Case("BetaTCVAE, bernoulli, tanh, weighted", *case)
    yield from priced_autoencoders(dtype)


def priced_autoencoders(dtype):
    """The autoencoders of derivations/16: each corruption, each penalty, each depth."""
    for corruption in DenoisingAutoencoder.choices["corruption"]:
        case = small_case(DenoisingAutoencoder, dtype, "tanh", "bernoulli", corruption=corruption, level=0.6)
        yield Case(f"DenoisingAutoencoder, bernoulli, tanh, {corruption}", *case)
    for penalty, code in (("kl", "sigmoid"), ("l1", "sigmoid"), ("l1", "linear")):
        smooth = code == "sigmoid"  # |z| has a kink at 0
        case = small_case(SparseAutoencoder, dtype, "softplus", "squared-error", penalty=penalty, code=code, weight=3.0)
        yield Case(f"SparseAutoencoder, squared-error, softplus, {penalty} of a {code} code", *case, smooth=smooth)
    for activation in ops.SLOPES:
        for hidden in ((), (4, 3)):
            case = small_case(ContractiveAutoencoder, dtype, activation, "bernoulli", hidden=hidden, weight=0.5)
            name = f"ContractiveAutoencoder, bernoulli, {activation}, {len(hidden) or 'no'} hidden layers"
            yield Case(name, *case, smooth="relu" not in activation)
    case = small_case(ContractiveAutoencoder, dtype, "tanh", LIKELIHOODS["gaussian learned sigmoid"], hidden=(4,))
    yield Case("ContractiveAutoencoder, gaussian learned sigmoid, tanh, 1 hidden layer", *case)

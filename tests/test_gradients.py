"""Promise: every gradient in the package agrees with differences of its forward, in double and in extended precision."""

import functools

import numpy as np
import pytest
from helpers import refused

from vae_from_scratch import gradcheck, likelihoods, ops
from vae_from_scratch.base import PenaltyGrads
from vae_from_scratch.beta_vae import PenaltyVAE
from vae_from_scratch.engine import gradient_table
from vae_from_scratch.vae import VAE

DTYPES = [
    "float64",
    pytest.param(
        "longdouble", marks=pytest.mark.skipif(not gradcheck.HAS_EXTENDED, reason="long double is double here")
    ),
]


def failures(checks):
    assert checks, "nothing was checked"
    return [f"{check.worst}, error {check.error:.1e} (limit {check.limit:.0e})" for check in checks if not check.ok]


# ---- pytest -k KL.4 runs the check of equation KL.4 --------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", gradient_table.PAIRS, ids=lambda row: f"{row.name} {row.tags}")
def test_pair(row, dtype):
    assert not failures(row.check(np.dtype(dtype)))


SHARPEST = ["longdouble", pytest.param("float64", marks=pytest.mark.slow)] if gradcheck.HAS_EXTENDED else ["float64"]


@pytest.mark.parametrize("dtype", SHARPEST)
@pytest.mark.parametrize("name", [case.name for case in gradient_table.models()])
def test_model(name, dtype):
    assert not failures(cases(dtype)[name].check())


@functools.cache
def cases(dtype):
    return {case.name: case for case in gradient_table.models(dtype)}


def test_every_likelihood_is_in_the_table():
    checked = [*gradient_table.LIKELIHOODS.values(), *(likelihood for likelihood, _ in gradient_table.FURTHER)]
    assert {likelihood.config["name"] for likelihood in checked} == {
        name for name, cls in likelihoods.LIKELIHOODS.items() if cls.__module__ == likelihoods.__name__
    }


# ---- the checker itself can fail ---------------------------------------------------------------------


def scaled(factor):
    return lambda dout, out, a, W: {"a": factor * (dout @ W.T), "W": a.T @ dout}


WRONG = {
    "off by 0.1 %": scaled(1.001),
    "a sign": scaled(-1),
    "a factor of two": scaled(2),
    "zero": scaled(0),
    "a missing term": lambda dout, out, a, W: {"a": dout @ W.T, "W": a[:-1].T @ dout[:-1]},
    "a transposed matrix": lambda dout, out, a, W: {"a": dout @ W, "W": a.T @ dout},
    "a transposed gradient": lambda dout, out, a, W: {"a": dout @ W.T, "W": dout.T @ a},
    "a sum that lost its axis": lambda dout, out, a, W: {"a": dout @ W.T, "W": (a.T @ dout).sum(axis=0)},
    "not a number": lambda dout, out, a, W: {"a": dout @ W.T * np.nan, "W": a.T @ dout},
}


@pytest.mark.parametrize("mistake", WRONG)
def test_checker_rejects(mistake):
    rng = np.random.default_rng(0)
    inputs = {"a": rng.normal(size=(5, 3)), "W": rng.normal(size=(3, 3))}  # square, so that transposes fit
    checks = gradcheck.check_pair(lambda a, W: a @ W, WRONG[mistake], inputs, rng)
    assert failures(checks)


def test_checker_accepts_the_right_one():
    rng = np.random.default_rng(0)
    inputs = {"a": rng.normal(size=(5, 3)), "W": rng.normal(size=(3, 3))}
    assert not failures(gradcheck.check_pair(lambda a, W: a @ W, scaled(1), inputs, rng))


def test_random_upstream_sees_what_ones_would_not():
    # this backward forgets its upstream gradient: right only where that is one everywhere
    rng = np.random.default_rng(0)
    inputs = {"a": rng.normal(size=(3, 5))}
    assert failures(gradcheck.check_pair(lambda a: a * a, lambda dout, out, a: {"a": 2 * a}, inputs, rng))


@pytest.mark.parametrize("arguments", ["dout", "output", "input"])
def test_what_writes_into_its_arguments_is_judged_by_what_they_were(arguments):
    """dout *= 0 would leave a gradient of zero beside differences weighted with zero."""

    def backward(dout, out, a):
        {"dout": dout, "output": out, "input": a}[arguments][...] *= 0
        return {"a": 2 * a * dout}

    inputs = {"a": np.random.default_rng(0).normal(size=(3, 5))}
    before = inputs["a"].copy()
    (found,) = gradcheck.check_pair(lambda a: a * a, backward, inputs, np.random.default_rng(1))
    assert found.ok is (arguments == "output") and (inputs["a"] == before).all()

    def forward(a):  # right, but in place
        a *= a
        return a

    assert not failures(gradcheck.check_pair(forward, lambda dout, out, a: {"a": 2 * a * dout}, inputs, np.random.default_rng(1)))


def test_a_gradient_of_zero_beside_nan_is_not_right():
    with np.errstate(invalid="ignore"):
        of_nothing = lambda a: np.log(-np.abs(a))  # noqa: E731
        (found,) = gradcheck.check_pair(of_nothing, lambda dout, out, a: {"a": 0 * a}, {"a": np.ones((2, 2))}, np.random.default_rng(0))
    assert not found.ok


def test_a_backward_that_returns_too_little_is_refused():
    row = next(row for row in gradient_table.PAIRS if row.backward == "dense_backward")

    class Forgetful:
        dense_forward = staticmethod(ops.dense_forward)
        dense_backward = staticmethod(lambda dy, x, W: ops.dense_backward(dy, x, W)[:2])

    with pytest.raises(ValueError, match="zip"):
        row.check(namespace=Forgetful)


@pytest.mark.parametrize(
    "inputs, backward, words",
    [
        ({"a": np.ones((2, 3))}, lambda dout, out, a: {}, "backward dict {'x': dx} names a; none"),  # all() of nothing is True
        ({"a": np.ones((0, 3))}, lambda dout, out, a: {"a": dout}, "a empty (0, 3) one"),
        ([np.ones((2, 3))], lambda dout, out, a: {"a": dout}, "inputs dict {'x': x} list"),
    ],
    ids=["no gradient", "no entry", "no names"],
)
def test_a_check_of_nothing_is_refused(inputs, backward, words):
    with refused(words):
        gradcheck.check_pair(lambda a: 1 * a, backward, inputs, np.random.default_rng(0))


def test_float32_is_not_judged():
    with pytest.raises(ValueError, match="checked in float64 or longdouble, got float32"):
        gradcheck.check_model(VAE(5, hidden=(3,), latent_dim=2), np.zeros((3, 5)), np.zeros((3, 2)))


def test_checker_reports_the_worst_entry_by_name():
    rng = np.random.default_rng(0)

    def wrong(dout, out, a):
        grad = dout * 2 * a
        grad[2, 1] += 1
        return {"a": grad}

    (check,) = gradcheck.check_pair(lambda a: a * a, wrong, {"a": rng.normal(size=(3, 5))}, rng)
    assert not check.ok and check.worst.startswith("a[2, 1]")


@pytest.mark.parametrize("name", ["encoder_W1", "encoder_b2", "decoder_W3", "x_logvar"])
def test_model_checker_rejects_one_wrong_parameter(name):
    model, x, noise = gradient_table.small_case(VAE, "float64", "tanh", gradient_table.LIKELIHOODS["gaussian learned"])
    grads = model.loss_and_grads(x, *noise)[1]
    grads[name] = 1.001 * grads[name]
    wrong = [check.name for check in gradcheck.check_model(model, x, *noise, grads=grads) if not check.ok]
    assert wrong == [name]


def test_model_checker_refuses_missing_gradients():
    model, x, noise = gradient_table.small_case(VAE, "float64", "tanh", "bernoulli")
    with pytest.raises(ValueError, match="encoder_W1"):
        gradcheck.check_model(model, x, *noise, grads={})


# ---- kinks -------------------------------------------------------------------------------------------


def test_subgradients_at_the_kinks_are_zero():
    assert ops.relu_backward(np.ones(1), ops.relu_forward(np.zeros(1))) == 0
    assert ops.capacity_backward(1.0, 25.0, 1000.0, 25.0) == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("off, right", [(0, True), (1e-5, False), (1e-2, False)])
def test_a_kink_excuses_no_wrong_backward(off, right, dtype):
    rng = np.random.default_rng(0)
    inputs = {"a": rng.uniform(0.1, 1, (3, 5)) * rng.choice([-1, 1], (3, 5))}
    backward = lambda dout, out, a: {"a": (1 + off) * ops.relu_backward(dout, out)}  # noqa: E731
    (found,) = gradcheck.check_pair(ops.relu_forward, backward, inputs, rng, smooth=False, dtype=np.dtype(dtype))
    assert found.ok is right, found


def test_a_check_that_fails_half_way_puts_the_parameters_back():
    model, x, noise = gradient_table.small_case(VAE, "float64", "tanh", "bernoulli")
    before, calls, loss = model.params.vector.copy(), [], model.loss

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 7:
            raise RuntimeError("interrupted")
        return loss(*arguments)

    model.loss = failing
    with pytest.raises(RuntimeError):
        gradcheck.check_model(model, x, *noise)
    assert np.array_equal(model.params.vector, before)


# ---- a penalty of everything that it may be a function of ----------------------------------------------


class Everything(PenaltyVAE):
    name = None

    def penalty_forward(self, kl, mu, logvar, z):
        return (kl * kl).mean() + (mu * logvar * z).sum() + (mu * mu * mu).sum() / len(mu)

    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        dmu = dpenalty * (logvar * z + 3 * mu * mu / len(mu))
        return PenaltyGrads(dpenalty * 2 * kl / len(kl), dmu, dpenalty * mu * z, dpenalty * mu * logvar)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("equation", ["PEN.1 PEN.2"])
def test_a_penalty_reaches_the_encoder_by_every_way(equation, dtype):
    """Through the KL, through mu and logvar, and through z, all at once."""
    model, x, noise = gradient_table.small_case(Everything, dtype, "tanh", "bernoulli")
    assert not failures(gradcheck.check_model(model, x, *noise))


@pytest.mark.parametrize("way", ["dkl", "dmu", "dlogvar", "dz"])
def test_a_penalty_that_forgets_one_way_is_found_out(way):
    class Forgetful(Everything):
        name = None

        def penalty_backward(self, *arguments):
            found = super().penalty_backward(*arguments)
            return found._replace(**{way: 0 * getattr(found, way)})

    model, x, noise = gradient_table.small_case(Forgetful, "float64", "tanh", "bernoulli")
    assert failures(gradcheck.check_model(model, x, *noise))


@pytest.mark.parametrize("forward, backward", [
    (lambda a: a, lambda dout: dout),
    (lambda a: a.T, lambda dout: dout.T),
    (lambda a: a[:, :2], lambda dout: np.concatenate([dout, 0 * dout], axis=1)),
])  # fmt: skip
def test_a_forward_that_returns_a_view_of_its_input_is_judged_too(forward, backward):
    rng = np.random.default_rng(0)
    for weight, right in ((1, True), (0, False), (1.002, False)):
        (found,) = gradcheck.check_pair(
            forward, lambda dout, out, a: {"a": weight * backward(dout)}, {"a": rng.normal(size=(3, 4))}, rng
        )
        assert found.ok is right, found

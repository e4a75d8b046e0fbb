"""Promise: note 6's likelihoods are normalised where it says so and only there; its optima, numbers and ranges hold."""

import re
from fractions import Fraction

import numpy as np
import pytest
from helpers import joined, note, printed_by

from vae_from_scratch import ops
from vae_from_scratch.likelihoods import Gaussian

NOTE = note(6)
FLAT = joined(NOTE)
LOGITS = np.array([-6.0, -1.3, -0.2, 0.4, 2.0, 9.0])


def bernoulli(logits, x):
    """The loss of every pixel apart."""
    logits, x = np.broadcast_arrays(np.asarray(logits, float), np.asarray(x, float))
    return ops.bernoulli_nll_forward(logits.reshape(-1, 1), x.reshape(-1, 1)).reshape(logits.shape)


def entropy(x):
    return -x * np.log(x) - (1 - x) * np.log(1 - x)


def unit_interval(n=40):
    """Gauss-Legendre nodes on (0, 1): exact to rounding for e^(lambda x) with |lambda| below 10."""
    u, weight = np.polynomial.legendre.leggauss(n)
    return (u + 1) / 2, weight / 2


# ---- Bernoulli ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["LIK.1", "LIK.2", "BERN.1"])
def test_three_forms_of_one_loss(equation):
    x = np.array([0.0, 0.3, 1.0])[:, None]
    p = 1 / (1 + np.exp(-LOGITS))
    cross_entropy = -x * np.log(p) - (1 - x) * np.log(1 - p)
    other = {
        "LIK.1": bernoulli(LOGITS, x),
        "LIK.2": np.log(1 + np.exp(LOGITS)) - x * LOGITS,
        "BERN.1": bernoulli(LOGITS, x),
    }[equation]
    np.testing.assert_allclose(other, cross_entropy, rtol=1e-11)  # log(1 - p) at logit 9 loses 4 digits of 16
    if equation == "LIK.1":  # a probability: sums to one over x = 0 and 1
        np.testing.assert_allclose(np.exp(-bernoulli(LOGITS, 0)) + np.exp(-bernoulli(LOGITS, 1)), 1, rtol=1e-14)
    if equation == "BERN.1":  # summed over pixels, one number per example
        x = np.broadcast_to(x, cross_entropy.shape)
        summed = ops.bernoulli_nll_forward(np.broadcast_to(LOGITS, x.shape), x)
        np.testing.assert_allclose(summed, cross_entropy.sum(axis=1), rtol=1e-11)


@pytest.mark.parametrize("equation", ["BERN.1"])
def test_small_losses_survive_next_to_large_logits(equation):
    logits, x = np.full((1, 1), 20, np.float32), np.ones((1, 1), np.float32)
    loss = ops.bernoulli_nll_forward(logits, x)[0]
    mantissa, exponent = re.search(r"= ([\d.]+) \\cdot 10\^\{(-\d+)\}`\$. Adding", FLAT).groups()
    assert f"{loss:.2e}" == f"{mantissa}e{int(exponent):03d}"
    assert (np.float32(20) + loss) - np.float32(20) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("equation", ["BERN.1", "BERN.2"])
def test_every_finite_logit_is_safe(equation, dtype):
    huge = np.finfo(dtype).max
    logits = np.array([[-huge, -800, -17, 0, 17, 800, huge]], dtype)
    for x in (np.zeros_like(logits), np.full_like(logits, 0.5), np.ones_like(logits)):
        if equation == "BERN.1":  # pixel by pixel: the sum of two losses near the largest float would overflow
            assert np.all(np.isfinite(ops.bernoulli_nll_forward(logits.T, x.T)))
            assert np.all(ops.bernoulli_nll_forward(logits.T, x.T) >= 0)
        else:
            dlogits = ops.bernoulli_nll_backward(np.ones(1, dtype), logits, x)
            assert np.all(np.abs(dlogits) <= 1)
            assert x[0, 0] == 0.5 or np.abs(dlogits).max() == 1  # does not vanish where the model is most wrong


def test_where_probabilities_end():
    threshold = 24 * np.log(2)
    assert f"24 \\log 2 = {threshold:.2f}" in FLAT and f"\\lambda \\le {threshold:.2f}" in FLAT
    # e^-lambda is 5 % off 2^-24 on either side: far more than the rounding of exp
    below, above = ops.sigmoid_forward(np.array([threshold - 0.05, threshold + 0.05], np.float32))
    assert below < 1 and above == 1
    with np.errstate(divide="ignore", invalid="ignore"):
        assert np.isnan((1 - np.float32(1)) * np.log(1 - above))  # x = 1


@pytest.mark.parametrize("equation", ["BERN.2"])
def test_a_clipped_probability_has_no_gradient(equation):
    # what BERN.2 avoids: with p clipped to at least 1e-7 the loss of x = 1 does not change around logit -20
    def clipped(logit):
        return -np.log(np.clip(1 / (1 + np.exp(-logit)), 1e-7, 1 - 1e-7))

    assert clipped(-20.1) == clipped(-19.9)
    dlogits = ops.bernoulli_nll_backward(np.ones(1), np.full((1, 1), -20.0), np.ones((1, 1)))
    assert dlogits == pytest.approx(-1, abs=1e-8)


# ---- grey pixels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["LIK.3"])
def test_the_loss_of_a_grey_pixel_is_at_least_its_entropy(equation):
    x = np.linspace(0.05, 0.95, 19)[:, None]
    p = 1 / (1 + np.exp(-LOGITS))
    divergence = x * np.log(x / p) + (1 - x) * np.log((1 - x) / (1 - p))
    np.testing.assert_allclose(bernoulli(LOGITS, x), entropy(x) + divergence, rtol=1e-11)
    assert divergence.min() >= 0
    best = np.log(x / (1 - x))
    np.testing.assert_allclose(bernoulli(best, x), entropy(x), rtol=1e-13)
    np.testing.assert_allclose(ops.bernoulli_nll_backward(np.ones(19), best, x), 0, atol=1e-15)
    assert np.all(bernoulli(best + 0.1, x) > entropy(x)) and np.all(bernoulli(best - 0.1, x) > entropy(x))
    assert f"costs $`\\log 2 = {entropy(0.5):.3f}`$ nats" in FLAT


@pytest.mark.parametrize("equation", ["LIK.4"])
def test_the_grey_loss_is_the_mean_over_binary_images(equation):
    x = np.array([0.1, 0.5, 0.8])[:, None]
    mean_over_b = x * bernoulli(LOGITS, 1) + (1 - x) * bernoulli(LOGITS, 0)
    np.testing.assert_allclose(bernoulli(LOGITS, x), mean_over_b, rtol=1e-13)


@pytest.mark.parametrize("equation", ["LIK.5"])
def test_grey_pixels_under_a_bernoulli_have_no_density(equation):
    x, weight = unit_interval()
    integral = np.sum(weight * np.exp(-bernoulli(LOGITS[:, None], x)), axis=1)
    p = 1 / (1 + np.exp(-LOGITS))
    np.testing.assert_allclose(integral, np.tanh(LOGITS / 2) / LOGITS, rtol=1e-12)
    np.testing.assert_allclose(integral, (2 * p - 1) / LOGITS, rtol=1e-12)
    assert integral.max() < 0.5
    assert np.sum(weight * np.exp(-bernoulli(0.0, x))) == pytest.approx(0.5)


@pytest.mark.parametrize("equation", ["LIK.6"])
def test_the_continuous_bernoulli_is_a_density_and_another_model(equation):
    x, weight = unit_interval()
    logits = np.concatenate([LOGITS, [1e-3]])
    log_constant = np.log(logits / np.tanh(logits / 2))
    density = np.exp(-bernoulli(logits[:, None], x) + log_constant[:, None])
    np.testing.assert_allclose(np.sum(weight * density, axis=1), 1, rtol=1e-12)
    assert np.all(log_constant >= np.log(2)) and np.ptp(log_constant) > 1  # a bound, and it changes with the logit
    # another optimum: at p = x, where the usual loss is least, the continuous Bernoulli's still falls
    grey, h = 0.25, 1e-4
    best = np.log(grey / (1 - grey))
    cb = [bernoulli(logit, grey) - np.log(logit / np.tanh(logit / 2)) for logit in (best - h, best, best + h)]
    assert cb[0] < cb[1] < cb[2]


# ---- Gaussian ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["GAUSS.1"])
def test_the_gaussian_is_a_density(equation):
    # trapezium rule over 12 standard deviations: decayed to e^-72, so exact to rounding
    for m, r in ((0.3, 0.0), (-2.0, -5.0), (1.0, 2.5)):
        u, step = np.linspace(-12, 12, 2001, retstep=True)
        x = (m + np.exp(r / 2) * u)[:, None]
        density = np.exp(-ops.gaussian_nll_forward(np.full_like(x, m), r, x))
        weight = density * step * np.exp(r / 2)
        assert np.sum(weight) == pytest.approx(1, abs=1e-12)
        assert np.sum(weight * x[:, 0]) == pytest.approx(m, abs=1e-11)
        assert np.sum(weight * (x[:, 0] - m) ** 2) == pytest.approx(np.exp(r), rel=1e-11)


@pytest.mark.parametrize("equation", ["GAUSS.2", "GAUSS.3"])
def test_where_the_gaussian_gradients_vanish(equation):
    rng = np.random.default_rng(0)
    x, x_mean = rng.normal(size=(2, 4, 3))
    if equation == "GAUSS.2":
        dx_mean, _ = ops.gaussian_nll_backward(np.ones(4), x, np.zeros((4, 3)), x)
        assert np.all(dx_mean == 0)
    else:  # squared error equal to the variance, entry by entry
        _, dx_logvar = ops.gaussian_nll_backward(np.ones(4), x_mean, np.log((x - x_mean) ** 2), x)
        np.testing.assert_allclose(dx_logvar, 0, atol=1e-14)


@pytest.mark.parametrize("equation", ["GAUSS.3"])
def test_a_shared_log_variance_collects_its_gradients(equation):
    rng = np.random.default_rng(0)
    x, x_mean = rng.normal(size=(2, 4, 3))
    dnll = rng.normal(size=4)
    _, each = ops.gaussian_nll_backward(dnll, x_mean, np.full((4, 3), -0.3), x)
    _, per_pixel = ops.gaussian_nll_backward(dnll, x_mean, np.full(3, -0.3), x)
    _, one = ops.gaussian_nll_backward(dnll, x_mean, np.float64(-0.3), x)
    np.testing.assert_allclose(per_pixel, each.sum(axis=0), rtol=1e-13)
    np.testing.assert_allclose(one, each.sum(), rtol=1e-12)


@pytest.mark.parametrize("equation", ["LIK.7"])
def test_a_weighted_squared_error_is_a_gaussian(equation):
    rng = np.random.default_rng(0)
    x, x_mean = rng.normal(size=(2, 3, 7))
    for c in (1.0, 0.5, 1 / 7):
        sigma = np.sqrt(1 / (2 * c))
        likelihood = Gaussian(sigma=sigma)
        nll = likelihood.forward(ops, {}, x_mean, x)
        weighted = c * ((x - x_mean) ** 2).sum(axis=1)
        np.testing.assert_allclose(weighted, nll - 7 / 2 * np.log(2 * np.pi * sigma**2), atol=1e-12)
        dout, _ = likelihood.backward(ops, {}, np.ones(3), x_mean, x)
        np.testing.assert_allclose(dout, 2 * c * (x_mean - x), rtol=1e-12)


def test_the_table_of_noise_levels():
    rows = re.findall(r"^\| .* \| ([\d/]+) \| ([\d.]+) \|$", NOTE, re.M)
    assert [c for c, _ in rows] == ["1", "1/2", "1/784", "65025"] and 65025 == 255**2
    for c, printed in rows:
        decimals = len(printed.split(".")[1])
        assert printed == f"{(1 / (2 * float(Fraction(c)))) ** 0.5:.{decimals}f}"


@pytest.mark.parametrize("equation", ["LIK.8", "LIK.9"])
def test_the_best_shared_variance_is_the_mean_squared_error(equation):
    rng = np.random.default_rng(0)
    x, x_mean = rng.normal(size=(2, 6, 5))
    mse = ((x - x_mean) ** 2).mean()
    likelihood = Gaussian(sigma="learned")

    def loss(r):
        return likelihood.forward(ops, {"x_logvar": np.asarray(r)}, x_mean, x).mean()

    if equation == "LIK.8":
        _, grads = likelihood.backward(ops, {"x_logvar": np.asarray(np.log(mse))}, np.ones(6), x_mean, x)
        assert abs(grads["x_logvar"]) < 1e-13
        assert loss(np.log(mse)) < min(loss(np.log(mse) - 0.01), loss(np.log(mse) + 0.01))
    else:
        assert loss(np.log(mse)) == pytest.approx(5 / 2 * (np.log(2 * np.pi) + 1 + np.log(mse)), rel=1e-13)
        # and its gradient in the mean is D / (2 MSE) times that of the MSE
        dout, _ = likelihood.backward(ops, {"x_logvar": np.asarray(np.log(mse))}, np.ones(6) / 6, x_mean, x)
        np.testing.assert_allclose(dout, 5 / (2 * mse) * 2 * (x_mean - x) / 30, rtol=1e-12)


@pytest.mark.parametrize("equation", ["LIK.10"])
def test_a_constant_pixel_has_no_least_loss(equation):
    x = np.full((3, 1), 0.5)
    for r in (0.0, -10.0, -100.0, -600.0):
        out = np.concatenate([x, np.full_like(x, r)], axis=1)
        nll = Gaussian(sigma="per-pixel").forward(ops, {}, out, x)
        np.testing.assert_allclose(nll, (np.log(2 * np.pi) + r) / 2, rtol=1e-14)
        dout, _ = Gaussian(sigma="per-pixel").backward(ops, {}, np.ones(3), out, x)
        assert np.all(dout[:, 1] == 0.5)  # the pull towards smaller r never weakens


@pytest.mark.parametrize("equation", ["LIK.11"])
def test_units_shift_the_loss(equation):
    rng = np.random.default_rng(0)
    x, x_mean, r = rng.normal(size=(3, 4, 6))
    for k in (255.0, 0.1):
        rescaled = ops.gaussian_nll_forward(k * x_mean, r + 2 * np.log(k), k * x)
        np.testing.assert_allclose(rescaled, ops.gaussian_nll_forward(x_mean, r, x) + 6 * np.log(k), rtol=1e-11)
    assert f"784 \\log 255 = {784 * np.log(255):.0f}" in FLAT


def test_where_a_perfect_reconstruction_turns_negative():
    threshold = 1 / np.sqrt(2 * np.pi)
    assert f"1/\\sqrt{{2\\pi}} = {threshold:.3f}" in FLAT
    x = np.zeros((1, 1))
    below, above = (ops.gaussian_nll_forward(x, 2 * np.log(threshold + d), x)[0] for d in (-1e-3, 1e-3))
    assert below < 0 < above


@pytest.mark.parametrize("equation", ["GAUSS.1", "GAUSS.2", "GAUSS.3"])
def test_where_float32_ends(equation):
    x = np.full((1, 1), 0.5, np.float32)

    def evaluate(x_mean, r):
        with np.errstate(over="ignore", invalid="ignore"):
            if equation == "GAUSS.1":
                return ops.gaussian_nll_forward(x_mean, np.full_like(x, r), x)
            grads = ops.gaussian_nll_backward(np.ones(1, np.float32), x_mean, np.full_like(x, r), x)
            return grads[int(equation == "GAUSS.3")]

    limit = float(re.search(r"\$`r > (-[\d.]+)`\$", NOTE).group(1))
    assert limit == round(-float(np.log(np.finfo(np.float32).max.astype(float))), 2)
    assert np.isfinite(evaluate(x, limit)) and np.isnan(evaluate(x, limit - 0.01))
    assert np.isinf(evaluate(x + 1, limit - 0.01))
    assert np.isfinite(evaluate(x + 1, 1e30))
    if equation != "GAUSS.2":  # which squares nothing
        below, above = (evaluate(np.full_like(x, far), 0) for far in (1.8e19, 1.9e19))
        assert np.isfinite(below) and np.isinf(above)


def test_predictions():
    with np.errstate(all="ignore"):
        logit, least, *losses = map(float, re.sub(r"[\[\],]", " ", printed_by(NOTE)).split())
    assert f"\\log(0.25/0.75) = {logit:.3f}`$; the loss there is $`H(0.25) = {least:.3f}`$ nats" in FLAT
    assert f"By LIK.10, $`{losses[0]:.2f}`$, $`{losses[1]:.2f}`$, $`{losses[2]:.2f}`$" in FLAT and np.isnan(losses[3])
    assert least == pytest.approx(entropy(0.25), abs=1e-6)

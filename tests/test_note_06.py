"""Promise: note 6's likelihoods are normalised where it says so and only there; its optima, numbers and ranges hold."""

import re
from fractions import Fraction

import numpy as np
import pytest
from helpers import descend, joined, linear_model, note, printed_by, refused

from vae_from_scratch import SGD, VAE, ContinuousBernoulli, Gaussian, Laplace, exact, fit, ops, optimizers
from vae_from_scratch.engine.backends import BACKENDS
from vae_from_scratch.exact.silent import silent_logits, silent_variance

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
    assert f"24 \\log 2 = {threshold:.2f}" in FLAT and "\\lambda \\le 24 \\log 2" in FLAT
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


# ---- continuous Bernoulli ------------------------------------------------------------------------------

# float32 numbers: 0, tiny, around .01, on both sides of 2 where the two forms meet, and up to 1e4
SIZES = np.array([1e-30, 1e-6, 1e-4, 0.0099, 0.01, 0.5, 1, 1.9999999, 2, 2.0000002, 5, 17, 20, 88, 100, 1e4], np.float32)
SWEEP = np.concatenate([-SIZES[::-1], [0], SIZES]).astype(np.float32)


def continuous(logits, x):
    """The loss of every pixel apart."""
    logits, x = np.broadcast_arrays(logits, np.asarray(x, logits.dtype))
    return ops.continuous_bernoulli_nll_forward(logits.reshape(-1, 1), x.reshape(-1, 1)).reshape(logits.shape)


def K(logits):
    return continuous(np.asarray(logits, float), 0)


@pytest.mark.parametrize("equation", ["CB.1", "CB.2"])
def test_the_continuous_bernoulli_integrates_to_one(equation):
    x, weight = unit_interval(400)
    logits = np.concatenate([LOGITS, [0, 1e-6, -40.0, 100.0]])
    np.testing.assert_allclose(np.exp(-continuous(logits[:, None], x)) @ weight, 1, rtol=1e-11)
    if equation == "CB.1":  # K is the logarithm of the integral, and LIK.6 is the same density
        np.testing.assert_allclose(K(logits), np.log(np.exp(logits[:, None] * x) @ weight), rtol=1e-11, atol=1e-13)
        lik6 = np.log(1 + np.exp(LOGITS)) - 0.3 * LOGITS - np.log(LOGITS / np.tanh(LOGITS / 2))
        np.testing.assert_allclose(continuous(LOGITS, 0.3), lik6, rtol=1e-12)


@pytest.mark.parametrize("equation", ["CB.2", "CB.4"])
def test_values_of_the_continuous_bernoulli_known_beforehand(equation):
    x = np.linspace(0, 1, 5)
    if equation == "CB.2":
        assert np.all(continuous(np.zeros(5), x) == 0)  # uniform
        assert K(2.0) == pytest.approx(1.161439, abs=5e-7)
        np.testing.assert_allclose(K(-SIZES[:-1]), K(SIZES[:-1]) - SIZES[:-1], atol=1e-13)
        for p in (0.1, 0.9):  # log C of the paper: what must be added to the Bernoulli's log
            logit = np.log(p / (1 - p))
            assert bernoulli(logit, 0.3) - continuous(logit, 0.3) == pytest.approx(1.010339, abs=5e-7)
    else:
        assert ops.continuous_bernoulli_mean(np.float64(2)) == pytest.approx(0.656518, abs=5e-7)
        assert "at $`\\lambda = 2`$ it is 0.657 where $`s(2) = 0.881`$" in FLAT
        assert f"{ops.sigmoid_forward(np.float64(2)):.3f}" == "0.881"
        assert ops.continuous_bernoulli_mean(np.float64(100)) == pytest.approx(0.99, abs=1e-12)  # "takes a logit of 100"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("equation", ["CB.2", "CB.4 CB.5"])
def test_the_continuous_bernoulli_is_right_to_rounding_at_every_logit(equation, dtype):
    logits, eps = SWEEP.astype(dtype), np.finfo(dtype).eps
    wide, x = logits.astype(np.longdouble), np.array([0, 0.3, 1], np.float32)[:, None]
    if equation == "CB.2":
        found, exact_value = continuous(logits, x), continuous(wide, x.astype(np.longdouble))
        error = np.abs(found - exact_value) / np.maximum(1, np.abs(exact_value))
    else:
        found, exact_value = ops.continuous_bernoulli_mean(logits), ops.continuous_bernoulli_mean(wide)
        error = np.abs(found - exact_value) / exact_value
    assert found.dtype == dtype and np.isfinite(found).all()
    assert error.max() < 2.5 * eps  # in float32 3e-7
    if equation == "CB.2":  # grey pixels at large logits, where the rounding of x lambda is left: what the note says
        x = np.random.default_rng(0).random((100, 1)).astype(dtype)
        error = np.abs(continuous(logits, x) - continuous(wide, x.astype(np.longdouble)))
        assert np.all(error < 2.5 * eps * np.maximum(1, np.abs(wide)))
        assert np.any(error > 100 * eps)


@pytest.mark.parametrize("equation", ["CB.4 CB.5"])
def test_the_two_forms_of_the_mean_meet_at_two(equation):
    """The cut fraction against one twice as long, exactly; and against CB.4 as it stands, where that is accurate."""
    def fraction(y2, last):
        value = Fraction(last)
        for odd in range(last - 2, 1, -2):
            value = odd + y2 / value
        return 1 / value

    assert 0 < fraction(Fraction(1), 19) - fraction(Fraction(1), 41) < Fraction(1, 10**19)  # half of it enters the mean
    assert "f(y) = \\cfrac{1}{3 +" in NOTE and "cuts the fraction off at 19" in FLAT and "5 \\cdot 10^{-20}" in FLAT
    half = np.longdouble(0.25)
    assert ops._langevin(half) == pytest.approx(float(fraction(Fraction(1, 16), 41)), rel=1e-15)
    logits = np.longdouble([0.7, 1.3, 1.999, 2.001, 3])
    direct = 1 / -np.expm1(-logits) - 1 / logits
    for sign in (1, -1):
        mean = ops.continuous_bernoulli_mean(sign * logits)
        np.testing.assert_allclose(mean, direct if sign > 0 else 1 - direct, rtol=max(1e-17, 64 * np.finfo(np.longdouble).eps))
    tiny = np.float32(1e-6)  # what CB.4 as it stands would give, whatever the processor's float32 exp
    e, less = np.float32(np.exp(-np.float64(tiny))), np.float32(-np.expm1(-np.float64(tiny)))
    assert round(float(1 / (1 - e) - 1 / tiny)) == -13105 and 1 / less - 1 / tiny == 0.4375
    assert "float32 gives -13105 even if $`e^{-\\lambda}`$ is rounded correctly, and with `expm1` 0.4375" in FLAT


@pytest.mark.parametrize("equation", ["CB.3", "CB.4", "CB.6"])
def test_mean_and_variance_are_those_of_the_density(equation):
    x, weight = unit_interval(100)
    logits = np.concatenate([LOGITS, [0, 1e-3, 1.99, 2.01, -30]])
    density = np.exp(-continuous(logits[:, None], x)) * weight
    mean, variance = density @ x, density @ x**2 - (density @ x) ** 2
    if equation == "CB.6":
        np.testing.assert_allclose(ops.continuous_bernoulli_variance(logits), variance, rtol=1e-10)
        assert ops.continuous_bernoulli_variance(np.float64(0)) == pytest.approx(1 / 12, rel=1e-15)
        some = np.longdouble([0.3, 1, 1.9, 2.1, 6, -3])  # all but where it cancels, CB.6 as it stands
        direct = 1 / some**2 - 1 / (4 * np.sinh(some / 2) ** 2)
        np.testing.assert_allclose(ops.continuous_bernoulli_variance(some), direct, rtol=max(1e-16, 64 * np.finfo(np.longdouble).eps))
        return
    found = ops.continuous_bernoulli_mean(logits)
    if equation == "CB.3":  # zero where the mean is x
        found = ops.continuous_bernoulli_nll_backward(np.ones(len(x)), np.tile(logits, (len(x), 1)), np.zeros((len(x), len(logits))))[0]
    np.testing.assert_allclose(found, mean, rtol=1e-12)
    np.testing.assert_allclose(ContinuousBernoulli().mean(ops, {}, logits), mean, rtol=1e-12)  # decode is not the sigmoid
    assert np.abs(ops.sigmoid_forward(logits) - mean).max() > 0.2


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("equation", ["CB.2", "CB.3"])
def test_no_probability_is_clamped(equation, backend):
    """A public implementation clamps p in float32: 1.8 nats off at logit -100, and a gradient without its 1/l."""
    namespace, logits, x = BACKENDS[backend](), np.float32([[-100, -20, 20, 100]]), np.float32([[0, 0, 1, 1]])
    if equation == "CB.2":
        nll = [namespace.continuous_bernoulli_nll_forward(logits[:, [j]], x[:, [j]])[0] for j in range(4)]
        np.testing.assert_allclose(nll, -np.log(np.abs(logits[0])), rtol=1e-6)  # log(1 / a) to e^-20
    else:
        dlogits = namespace.continuous_bernoulli_nll_backward(np.ones(1, np.float32), logits, x)
        np.testing.assert_allclose(dlogits, -1 / logits, rtol=2e-5)


@pytest.mark.parametrize("equation", ["CB.7", "LAPLACE.4"])
def test_draws_invert_the_distribution_function(equation):
    u = (np.arange(20_000) + 0.5) / 20_000  # evenly spaced: the mean over them is an integral
    if equation == "CB.7":
        for logit in (-30.0, -1e-6, 0.0, 0.5, 4.0, 200.0):
            x = ops.continuous_bernoulli_draw(np.full_like(u, logit), u)
            assert x.min() >= 0 and x.max() <= 1 and np.all(np.diff(x) > 0)
            assert x.mean() == pytest.approx(ops.continuous_bernoulli_mean(np.float64(logit)), abs=1e-6)
            assert x.var() == pytest.approx(ops.continuous_bernoulli_variance(np.float64(logit)), abs=1e-6)
            if logit and abs(logit) < 100:
                np.testing.assert_allclose(np.expm1(logit * x) / np.expm1(logit), u, atol=1e-9)
        edges = np.float32([0, 1 - 2**-24])[:, None]  # what rng.random can return at its ends
        out = np.float32([10, 16.25, 1e4])  # at 16.25, rounding of e^-a alone would lead to x = -0.024
        for logits in np.broadcast_arrays(out, edges)[0], np.broadcast_arrays(-out, edges)[0]:
            x = ContinuousBernoulli().draw(ops, {}, logits, edges)
            assert x.dtype == np.float32 and x.min() >= 0 and x.max() <= 1
            np.testing.assert_array_equal(x, ops.continuous_bernoulli_draw(logits, edges))  # and not the mean
    else:
        x = Laplace(scale=0.5).draw(ops, {}, np.full((1, len(u)), 2.0), u[None])[0]
        assert x.mean() == pytest.approx(2, abs=1e-9) and np.abs(x - 2).mean() == pytest.approx(0.5, abs=1e-3)
        below = x < 2
        function = np.where(below, np.exp((x - 2) / 0.5) / 2, 1 - np.exp(-(x - 2) / 0.5) / 2)
        np.testing.assert_allclose(function, u, atol=1e-12)
        ends = np.array([0, 1 - np.finfo(np.float32).epsneg], np.float32)  # what rng.random can return at its ends: both as far out
        x = ops.laplace_draw(np.zeros(2, np.float32), 0.0, ends)
        assert x.dtype == np.float32 and -x[0] == pytest.approx(x[1], abs=0.7) and x[1] == pytest.approx(23 * np.log(2), rel=1e-6)


def test_a_black_pixel_earns_nats_slowly():
    nll = K(np.array([-10.0, -1e3, -1e4]))
    np.testing.assert_allclose(nll, -np.log([10, 1e3, 1e4]), atol=1e-4)


def test_the_logit_of_a_silent_pixel():
    mean = np.array([0, 1e-4, 0.3, 0.5, 0.9, 1])
    logits = silent_logits(mean)
    np.testing.assert_allclose(ops.continuous_bernoulli_mean(logits[1:-1]), mean[1:-1], rtol=1e-12)
    assert logits[0] == -np.inf and logits[-1] == np.inf
    V = silent_variance(ContinuousBernoulli(), mean, None)
    assert V[3] == pytest.approx(1 / 12) and V[0] == V[-1] == 0 and silent_variance(Laplace(), mean, mean) is None


def test_grey_data_out_of_range_are_refused_in_one_line():
    x = np.full((4, 3), 0.5, np.float32)
    for bad in (-0.1, 1.5):
        x[2, 1] = bad
        with refused(f"x {bad} [0, 1] Gaussian"):
            fit(VAE(3, (), 1, likelihood="continuous-bernoulli"), x, batch_size=2, epochs=1, progress=False)
    fit(VAE(3, (), 1, likelihood="laplace"), x, batch_size=2, epochs=1, progress=False)


# ---- Laplace -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["LAPLACE.1"])
def test_the_laplace_is_a_density(equation):
    # Gauss-Laguerre on each side of the kink is exact for polynomials times e^-u: mass 1, E|x - m| = b, E(x - m)^2 = 2 b^2
    u, weight = np.polynomial.laguerre.laggauss(20)
    for m, b in ((0.3, 1.0), (-2.0, 0.05)):
        x = np.concatenate([m - b * u, m + b * u])[:, None]
        mass = np.exp(-ops.laplace_nll_forward(np.full_like(x, m), np.log(b), x)) * np.tile(weight * np.exp(u) * b, 2)
        error = x[:, 0] - m
        assert mass.sum() == pytest.approx(1, rel=1e-11)
        assert mass @ np.abs(error) == pytest.approx(b, rel=1e-11)
        assert mass @ error**2 == pytest.approx(2 * b**2, rel=1e-11)


@pytest.mark.parametrize("equation", ["LAPLACE.1", "LAPLACE.2", "LAPLACE.3"])
def test_laplace_by_hand(equation):
    x_mean, x, log_scale = np.array([[1.0, 2.0, 0.5]]), np.array([[3.0, 1.5, 0.5]]), np.log(2.0)
    if equation == "LAPLACE.1":  # log 2b counts: log 4 for each pixel
        assert ops.laplace_nll_forward(x_mean, log_scale, x) == pytest.approx(3 * np.log(4) + (2 + 0.5 + 0) / 2)
    dx_mean, dlog_scale = ops.laplace_nll_backward(np.array([10.0]), x_mean, log_scale, x)
    if equation == "LAPLACE.2":  # the third pixel is at the kink
        np.testing.assert_allclose(dx_mean, [[-5, 5, 0]])
    if equation == "LAPLACE.3":  # summed over what shares the scale
        assert dlog_scale.shape == () and dlog_scale == pytest.approx(10 * (3 - 1.25))
        _, each = ops.laplace_nll_backward(np.array([10.0]), x_mean, np.full(3, log_scale), x)
        np.testing.assert_allclose(each, [0, 7.5, 10])


def test_a_silent_laplace_finds_median_and_mean_error():
    """Problem 2: a decoder that ignores z, trained on 0, 0, 1, ends at the optimum on paper."""
    x = np.array([[0.0], [0.0], [1.0]])
    model = linear_model(VAE, 1, 1, Laplace(scale="learned"))
    for name, value in model.params.items():
        value[...] = 0.3 * (name == "decoder_b1")
    zero = np.zeros((3, 1))
    for rate in (0.03, 0.003, 0.0003):
        descend(model, SGD(rate), 600, lambda: (x, zero))
    assert model.loss(x, zero).recon_nll == pytest.approx(0.594535, abs=1e-3)
    assert model.params["decoder_b1"] == pytest.approx(0, abs=1e-3)
    assert np.exp(model.params["log_scale"]) == pytest.approx(1 / 3, abs=5e-3)


def test_laplace_scales():
    rng = np.random.default_rng(0)
    x, out = rng.normal(size=(2, 4, 3))
    fixed = Laplace(scale=0.7).forward(ops, {}, out, x)
    np.testing.assert_allclose(fixed, 3 * np.log(1.4) + np.abs(x - out).sum(axis=1) / 0.7)
    learned = Laplace("learned").forward(ops, {"log_scale": np.log(0.7)}, out, x)
    per_pixel = Laplace("per-pixel").forward(ops, {}, np.concatenate([out, np.full_like(out, np.log(0.7))], axis=1), x)
    np.testing.assert_allclose([learned, per_pixel], [fixed, fixed])
    inside = Laplace(0.7, mean="sigmoid").mean(ops, {}, 10 * out)
    assert inside.min() > 0 and inside.max() < 1
    narrow = Laplace(scale=0.7).forward(ops, {}, out.astype(np.float32), x.astype(np.float32))
    assert narrow.dtype == np.float32


def test_problems():
    answer = next(text for text in re.findall(r"Answers</summary>(.*?)</details>", FLAT) if "median" in text)
    logit = np.log(0.1 / 0.9)
    assert f"= {logit:.3f}`$" in answer and f"\\log {logit / np.tanh(logit / 2):.3f} = {np.log(logit / np.tanh(logit / 2)):.4f}" in answer
    for m, b, printed in ((0, 1 / 3, "0.5945"), (1 / 3, 4 / 9, "0.8822")):
        x = np.array([[0.0, 0.0, 1.0]])
        loss = ops.laplace_nll_forward(np.full_like(x, m), np.log(b), x)[0] / 3
        assert f"{loss:.4f}" == printed and printed in answer
        for other in (0.99 * b, 1.01 * b):
            assert ops.laplace_nll_forward(np.full_like(x, m), np.log(other), x)[0] / 3 > loss
    x, x_mean = np.random.default_rng(0).uniform(size=(2, 1, 4096))
    missing = 3 * np.abs(x - x_mean).sum() - ops.laplace_nll_forward(x_mean, -np.log(3), x)[0]
    assert f"{missing:.1f}" == "1660.8" and answer.count("1660.8") == 2
    grey = np.array([0.02, 0.2, 0.4, 0.5, 0.7, 0.98])
    best = continuous(silent_logits(grey), grey)
    assert best.argmax() == 3 and abs(best[3]) < 1e-15 and np.all(np.diff(best[:4]) > 0) and np.all(np.diff(best[3:]) < 0)


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


def test_a_shared_variance_has_no_bound_either():
    """Two data on a line in three dimensions: the best linear VAE of one latent, its exact ELBO, and the note's table."""
    x = np.array([[1.0, 1, 1], [-1, -1, -1]])
    head, row = re.search(r"\| \$`\\sigma`\$ \|(.*)\|\n\|[-|]+\n\| smallest \$`-\\mathrm\{ELBO\}`\$ \|(.*)\|", NOTE).groups()
    for sigma, printed in zip(map(float, head.split("|")), row.split("|"), strict=True):
        used, noise = exact.linear_optimum(np.array([3.0, 0, 0]), 1, 1.0, sigma**2)  # eigenvalues of the covariance
        model = linear_model(VAE, 3, 1, Gaussian(sigma=sigma))
        length2 = used[0] - noise  # of the decoder's row, LIN.4
        row_ = np.ones((1, 3)) * np.sqrt(length2 / 3)
        for name, value in model.params.items():
            value[...] = 0
        model.params["decoder_W1"][...] = row_
        model.params["encoder_W1"][:, :1] = row_.T / used[0]
        model.params["encoder_b1"][1:] = np.log(noise / used[0])
        loss = np.mean([model.loss(x, np.full((2, 1), eps)).loss for eps in (1.0, -1.0)])  # exact: quadratic in eps
        assert loss == pytest.approx((3 * np.log(2 * np.pi) + 1 + np.log(3)) / 2 + 2 * np.log(sigma), abs=1e-4)
        assert f"{loss:.1f}" == printed.strip()


@pytest.mark.parametrize("equation", ["LIK.12"])
def test_noise_of_one_grey_level_bounds_every_density(equation):
    L, (u, weight) = 5, unit_interval(200)
    for v in range(L):
        x = (v + u)[:, None] / L
        for nll in (
            ops.gaussian_nll_forward(np.full_like(x, 0.5), -3.0, x), ops.gaussian_nll_forward(np.full_like(x, 0.1), -6.0, x),
            ops.laplace_nll_forward(np.full_like(x, 0.9), -1.0, x), ops.continuous_bernoulli_nll_forward(np.full_like(x, 9), x),
        ):  # fmt: skip
            P = np.sum(weight * np.exp(-nll)) / L
            assert np.sum(weight * -nll) <= np.log(P) + np.log(L) <= np.log(L) + 1e-9


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


def test_where_the_squares_of_optimizers_end():
    def never_moves_again(rule, gradient):
        param, (m, squares) = np.zeros(1, np.float32), np.zeros((2, 1), np.float32)
        with np.errstate(over="ignore"):
            rule(param, np.float32([gradient]), (m, squares))
            before = param.copy()
            rule(param, np.float32([1e18]), (m, squares))
        assert np.array_equal(param, before) == np.isinf(squares[0])
        return np.isinf(squares[0])

    def adam(update):
        return lambda param, grad, state: update(param, grad, *state, 100_000, 0.1, 0.9, 0.999, 1e-8)

    def adagrad(param, grad, state):
        optimizers.adagrad_update(param, grad, state[1], 0.1, 1e-8)

    rules = [(adagrad, 1.8e19), (adam(optimizers.adam_update), 5.8e20)]
    kernel = getattr(BACKENDS["numba"](), "adam_update", None)  # None where Numba cannot compile
    rules += [(adam(kernel), 1.8e19)] * (kernel is not None)
    for rule, limit in rules:
        assert not never_moves_again(rule, limit) and never_moves_again(rule, 1.05 * limit)
    assert FLAT.count("1.8 \\cdot 10^{19}") == 3 and FLAT.count("5.8 \\cdot 10^{20}") == 1


def test_a_sum_of_finite_losses_can_overflow():
    logits = np.full((1, 4), 1e38, np.float32)
    for forward in (ops.bernoulli_nll_forward, ops.continuous_bernoulli_nll_forward):
        assert np.isfinite(forward(logits[:, :1], 0 * logits[:, :1])).all()
        with np.errstate(over="ignore"):
            assert np.isinf(forward(logits, 0 * logits)).all()


def test_predictions():
    with np.errstate(all="ignore"):
        logit, least, *losses = map(float, re.sub(r"[\[\],]", " ", printed_by(NOTE)).split())
    assert f"\\log(0.25/0.75) = {logit:.3f}`$; the loss there is $`H(0.25) = {least:.3f}`$ nats" in FLAT
    assert f"By LIK.10, $`{losses[0]:.2f}`$, $`{losses[1]:.2f}`$, $`{losses[2]:.2f}`$" in FLAT and np.isnan(losses[3])
    assert least == pytest.approx(entropy(0.25), abs=1e-6)

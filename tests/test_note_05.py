"""Promise: note 5's estimators are unbiased, as noisy as it says, and the reparameterization draws from q."""

import itertools
import math
import re

import numpy as np
import pytest
from helpers import joined, log_normal, note, printed_by

from vae_from_scratch import ops
from vae_from_scratch.vae import VAE

NOTE = note(5)
POINTS = [(1.0, 0.0), (1.0, -1.4), (-0.6, 0.8), (0.0, -3.0)]  # mu, logvar


def nodes(n=60):
    """Gauss-Hermite: sum(weight * f(eps)) is E[f(eps)], exactly for polynomials of degree below 2 n and to
    rounding (1e-13 of the largest term) for the entire functions used here."""
    eps, weight = np.polynomial.hermite_e.hermegauss(n)
    return eps, weight / weight.sum()


def moments(draw, weight):
    mean = np.sum(weight * draw)
    return mean, np.sum(weight * (draw - mean) ** 2)


def sample(mu, logvar, eps):
    return ops.reparameterize_forward(mu, np.full_like(eps, logvar), eps)


def path_gradients(slope, mu, logvar, eps):
    """dmu and dlogvar, one per draw, by the package's backward."""
    z = sample(mu, logvar, eps)
    return ops.reparameterize_backward(slope(z), np.full_like(eps, logvar), eps)


def score_gradients(f, mu, logvar, eps, b=0.0):
    """SF.1 with SF.2."""
    z = sample(mu, logvar, eps)
    return (f(z) - b) * eps / np.exp(logvar / 2), (f(z) - b) * (eps**2 - 1) / 2


def sine_slopes(mu, logvar):
    """E[sin z] = sin(mu) exp(-sigma^2 / 2), differentiated in mu and in logvar."""
    var = np.exp(logvar)
    return np.cos(mu) * np.exp(-var / 2), -np.sin(mu) * np.exp(-var / 2) * var / 2


# ---- unbiasedness ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu, logvar", POINTS)
@pytest.mark.parametrize("equation", ["SF.1", "SF.2", "SF.3"])
def test_score_function_is_unbiased(equation, mu, logvar):
    eps, weight = nodes()
    for b in [0.0] if equation != "SF.3" else [-3.0, 5.0]:
        gradients = score_gradients(np.sin, mu, logvar, eps, b)
        np.testing.assert_allclose([np.sum(weight * g) for g in gradients], sine_slopes(mu, logvar), atol=1e-11)


@pytest.mark.parametrize("mu, logvar", POINTS)
@pytest.mark.parametrize("equation", ["PW.3", "REP.2", "REP.3"])
def test_pathwise_is_unbiased(equation, mu, logvar):
    eps, weight = nodes()
    gradients = path_gradients(np.cos, mu, logvar, eps)
    np.testing.assert_allclose([np.sum(weight * g) for g in gradients], sine_slopes(mu, logvar), atol=1e-11)


@pytest.mark.parametrize("equation", ["SF.2"])
def test_scores_are_the_derivatives_of_log_q(equation):
    # five-point differences, h = 1e-3: error h^4 times a fifth derivative of order 10 / 30, and rounding 1e-16 / h
    z, mu, logvar, h = 0.7, -0.2, 0.6, 1e-3

    def log_q(mu, logvar):
        return log_normal(z, mu, np.exp(logvar))

    def slope(f):
        return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)

    eps = (z - mu) / np.exp(logvar / 2)
    assert slope(lambda s: log_q(mu + s, logvar)) == pytest.approx(eps / np.exp(logvar / 2), abs=1e-10)
    assert slope(lambda s: log_q(mu, logvar + s)) == pytest.approx((eps**2 - 1) / 2, abs=1e-10)


@pytest.mark.parametrize("mu, logvar", POINTS)
@pytest.mark.parametrize("equation", ["PW.4"])
def test_both_estimators_have_one_mean(equation, mu, logvar):
    eps, weight = nodes()
    for f, slope in (
        (lambda z: z**3 - 2 * z, lambda z: 3 * z**2 - 2),
        (lambda z: np.exp(z / 2), lambda z: np.exp(z / 2) / 2),
    ):
        for score, path in zip(score_gradients(f, mu, logvar, eps), path_gradients(slope, mu, logvar, eps)):
            assert np.sum(weight * score) == pytest.approx(np.sum(weight * path), rel=1e-10, abs=1e-10)


def test_a_jump_is_seen_by_the_score_function_only():
    # f = [z > 0]: E[f] = Phi(mu / sigma), whose slope in mu is the standard normal density at mu / sigma, over sigma.
    # The trapezium rule misplaces the jump by at most one step of 2.4e-4, times a density below 0.4 / 0.5
    eps, step = np.linspace(-12, 12, 100_001, retstep=True)
    weight = np.exp(-(eps**2) / 2) / np.sqrt(2 * np.pi) * step
    mu, logvar = 0.3, 2 * np.log(0.5)
    dmu, _ = score_gradients(lambda z: z > 0, mu, logvar, eps)
    assert np.sum(weight * dmu) == pytest.approx(np.exp(-(0.6**2) / 2) / np.sqrt(2 * np.pi) / 0.5, abs=1e-3)


def test_fresh_noise_in_the_backward_averages_to_zero():
    eps, weight = nodes(20)
    logvar = np.full((20, 20), -1.0)
    z = ops.reparameterize_forward(0.5, logvar, eps[:, None] + np.zeros((1, 20)))
    _, dlogvar = ops.reparameterize_backward(3 * z**2, logvar, np.zeros((20, 1)) + eps)
    _, right = ops.reparameterize_backward(3 * z**2, logvar, eps[:, None] + np.zeros((1, 20)))
    assert abs(np.sum(weight[:, None] * weight * dlogvar)) < 1e-13
    d_third_moment = 3 * 0.5 * np.exp(-1)  # d E[z^3] / dl = 3 mu sigma^2 / 2
    assert np.sum(weight[:, None] * weight * right) == pytest.approx(d_third_moment)


# ---- the law of z ------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["PW.1", "REP.1"])
def test_z_has_the_mean_and_variance_of_q(equation):
    n = 400_000
    mu, logvar = np.array([3.0, -1.0, 0.0]), np.array([-2.0, 0.7, 0.0])
    eps = np.random.default_rng(0).standard_normal((n, 3))
    z = ops.reparameterize_forward(mu, np.broadcast_to(logvar, eps.shape), eps)
    # five standard errors: sigma / sqrt(n) for a mean, sigma^2 sqrt(2 / n) for a variance
    assert np.all(np.abs(z.mean(axis=0) - mu) < 5 * np.exp(logvar / 2) / np.sqrt(n))
    assert np.all(np.abs(z.var(axis=0) - np.exp(logvar)) < 5 * np.exp(logvar) * np.sqrt(2 / n))
    # so exp(logvar) as sigma would fail
    assert np.all(np.exp(logvar[:2]) != pytest.approx(np.exp(2 * logvar[:2]), rel=0.5))


@pytest.mark.parametrize("equation", ["PW.2"])
def test_the_way_back_gives_standard_noise(equation):
    rng = np.random.default_rng(0)
    mu, logvar = 3.0, -2.0
    eps = rng.standard_normal((100_000, 1))
    z = sample(mu, logvar, eps)
    np.testing.assert_allclose((z - mu) / np.exp(logvar / 2), eps, atol=1e-14)  # a few roundings of numbers up to 10
    drawn = rng.normal(mu, np.exp(logvar / 2), 100_000)  # z by another route
    back = (drawn - mu) / np.exp(logvar / 2)
    assert abs(back.mean()) < 5 / np.sqrt(100_000) and abs(back.var() - 1) < 5 * np.sqrt(2 / 100_000)


# ---- noise -------------------------------------------------------------------------------------------


def printed_variances(mu, std):
    return mu**4 / std**2 + 14 * mu**2 + 15 * std**2, 8 * mu**2 + 15 * std**2, 4 * std**2


@pytest.mark.parametrize("mu, logvar", POINTS)
@pytest.mark.parametrize("equation", ["SF.4", "SF.5", "PW.5"])
def test_variances_for_the_square(equation, mu, logvar):
    eps, weight = nodes(10)  # exact: the squares are polynomials of degree 6
    std = np.exp(logvar / 2)
    index = ["SF.4", "SF.5", "PW.5"].index(equation)
    draw = [
        score_gradients(np.square, mu, logvar, eps)[0],
        score_gradients(np.square, mu, logvar, eps, b=mu**2)[0],
        path_gradients(lambda z: 2 * z, mu, logvar, eps)[0],
    ][index]
    mean, variance = moments(draw, weight)
    assert mean == pytest.approx(2 * mu, abs=1e-12)
    assert variance == pytest.approx(printed_variances(mu, std)[index], rel=1e-11)


def test_the_table_of_variances():
    rows = re.findall(r"^\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", NOTE, re.M)
    assert len(rows) == 3
    for mu, std, *printed in rows:
        assert printed == [f"{variance:.2f}" for variance in printed_variances(float(mu), float(std))]


@pytest.mark.parametrize("latents", [1, 2, 3, 4])
@pytest.mark.parametrize("equation", ["SF.6"])
def test_variance_against_the_number_of_latents(equation, latents):
    eps, weight = nodes(5)  # exact to degree 9 in each latent; 6 is needed
    grid = np.array(list(itertools.product(eps, repeat=latents)))
    weights = np.array([math.prod(w) for w in itertools.product(weight, repeat=latents)])
    mean, variance = moments((grid**2).sum(axis=1) * grid[:, 0], weights)
    assert mean == pytest.approx(0, abs=1e-12)
    assert variance == pytest.approx((latents + 2) * (latents + 4), rel=1e-11)
    assert "With 20 latents this is 528 against 4." in NOTE and 22 * 24 == 528
    baseline = latents + 2
    _, lower = moments(((grid**2).sum(axis=1) - baseline) * grid[:, 0], weights)
    assert lower == pytest.approx(2 * (latents + 2)) and "$`2(Z + 2) = 44`$" in NOTE and 2 * 22 == 44


@pytest.mark.parametrize("omega", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("equation", ["PW.6"])
def test_where_the_pathwise_estimator_loses(equation, omega):
    eps, weight = nodes(100)
    w2 = omega**2
    path = w2 / 2 * (1 - np.exp(-w2)) ** 2
    score = (1 - (1 - 4 * w2) * np.exp(-2 * w2)) / 2 - w2 * np.exp(-w2)
    dmu_path, _ = path_gradients(lambda z: omega * np.cos(omega * z), 0.0, 0.0, eps)
    dmu_score, _ = score_gradients(lambda z: np.sin(omega * z), 0.0, 0.0, eps)
    for draw, variance in ((dmu_path, path), (dmu_score, score)):
        np.testing.assert_allclose(moments(draw, weight), (omega * np.exp(-w2 / 2), variance), atol=1e-10)
    if omega == 3:
        assert f"these are {path:.2f} and {score:.2f}." in joined(NOTE)


# ---- log variance ------------------------------------------------------------------------------------


def test_gradients_of_the_kl_in_sigma_log_sigma_and_log_variance():
    # by the chain rule from KL.4: d/d sigma = (2 / sigma) d/dl, which is sigma - 1 / sigma
    std = np.geomspace(0.01, 3, 20)[:, None]
    _, dlogvar = ops.gaussian_kl_backward(np.ones(20), np.zeros_like(std), 2 * np.log(std))
    np.testing.assert_allclose(2 / std * dlogvar, std - 1 / std, rtol=1e-12, atol=1e-12)
    assert dlogvar.min() >= -0.5
    rho = np.log(std)
    kl = ops.gaussian_kl_per_latent(np.zeros_like(std), 2 * rho)
    np.testing.assert_allclose(kl, (np.exp(2 * rho) - 1) / 2 - rho, atol=1e-14)


# ---- estimators A and B of the ELBO ------------------------------------------------------------------


def small_vae():
    """A VAE with one latent, and one example repeated for every noise node."""
    model = VAE(data_dim=5, hidden=(3,), latent_dim=1, dtype="float64", seed=3)
    rng = np.random.default_rng(1)
    for value in model.params.values():
        value[...] = rng.normal(size=value.shape)
    return model, rng.integers(0, 2, (1, 5)).astype(float)


def draws_of_a_and_b(model, x, eps):
    """One-draw estimates of the ELBO of one example, for every eps (n, 1)."""
    xs = np.repeat(x, len(eps), axis=0)
    mu, logvar = model.encode(xs)
    z = ops.reparameterize_forward(mu, logvar, eps)
    terms = model.loss(xs, eps)
    log_ratio = (log_normal(z, 0, 1) - log_normal(z, mu, np.exp(logvar))).sum(axis=1)
    return -terms.recon_nll_each + log_ratio, -terms.recon_nll_each - terms.kl_each


@pytest.mark.parametrize("equation", ["EST.1", "EST.2"])
def test_both_estimators_are_unbiased_for_the_elbo(equation):
    model, x = small_vae()
    # the ELBO as log p(x) - KL(q || p(z|x)), from densities on a fine grid of z: neither A nor B
    z, step = np.linspace(-12, 12, 40_001, retstep=True)
    probs = model.decode(z[:, None])
    joint = (x * np.log(probs) + (1 - x) * np.log(1 - probs)).sum(axis=1) + log_normal(z, 0, 1)
    log_px = np.log(np.sum(np.exp(joint)) * step)
    mu, logvar = (value.item() for value in model.encode(x))
    log_q = log_normal(z, mu, np.exp(logvar))
    gap = np.sum(np.exp(log_q) * (log_q - (joint - log_px))) * step
    elbo = log_px - gap
    eps, weight = nodes(100)  # 40 nodes give the same 15 digits; the grid's sums of 40,000 terms round at 1e-11
    index = ["EST.1", "EST.2"].index(equation)
    estimate = draws_of_a_and_b(model, x, eps[:, None])[index]
    assert gap > 0.01
    assert moments(estimate, weight)[1] > 1e-3  # a draw alone is not the ELBO
    assert np.sum(weight * estimate) == pytest.approx(elbo, abs=1e-9)


@pytest.mark.parametrize("equation", ["EST.2"])
def test_the_gradient_of_the_models_loss_is_unbiased(equation):
    # the mean over eps of the gradient, against differences of the mean over eps of B (h^4 / 30, rounding: below 1e-9)
    model, x = small_vae()
    eps, weight = nodes(12)  # any fixed nodes do: both sides use the same
    xs = np.repeat(x, 12, axis=0)
    each = [model.loss_and_grads(x, e[None, None])[1] for e in eps]
    for name in ("encoder_W1", "encoder_b2", "decoder_W1"):
        param, h = model.params[name], 1e-3
        value = param.flat[0]

        def elbo(shift):
            param.flat[0] = value + shift
            b = np.sum(weight * draws_of_a_and_b(model, xs[:1], eps[:, None])[1])
            param.flat[0] = value
            return b

        difference = (8 * (elbo(h) - elbo(-h)) - (elbo(2 * h) - elbo(-2 * h))) / (12 * h)
        mean = sum(w * grads[name].flat[0] for w, grads in zip(weight, each))
        assert abs(difference) > 1e-3
        assert mean == pytest.approx(-difference, abs=1e-8)


@pytest.mark.parametrize("equation", ["REP.2", "REP.3"])
def test_the_upstream_gradient_is_minus_the_slope_of_f_over_the_batch(equation):
    model, x = small_vae()
    eps, h, given = np.array([[0.3], [-1.1], [0.8]]), 1e-3, []
    xs = np.repeat(x, 3, axis=0)

    class Spy:
        def __getattr__(self, name):
            return getattr(ops, name)

        def reparameterize_backward(self, dz, logvar, eps):
            given.append((dz, ops.reparameterize_backward(dz, logvar, eps)))
            return given[-1][1]

    model.ops = Spy()
    model.loss_and_grads(xs, eps)
    model.ops = ops
    ((dz, (dmu, dlogvar)),) = given
    mu, logvar = model.encode(xs)
    z = ops.reparameterize_forward(mu, logvar, eps)

    def f(z):
        return -ops.bernoulli_nll_forward(model.decoder.forward(ops, model.params, z)[-1], xs)[:, None]

    slope = (8 * (f(z + h) - f(z - h)) - (f(z + 2 * h) - f(z - 2 * h))) / (
        12 * h
    )  # h^4 times a fifth derivative: below 1e-9
    assert np.abs(slope).min() > 1e-3
    np.testing.assert_allclose(dz, -slope / 3, rtol=0, atol=1e-9)
    expected = -slope / 3 * {"REP.2": 1, "REP.3": np.exp(logvar / 2) * eps / 2}[equation]
    np.testing.assert_allclose({"REP.2": dmu, "REP.3": dlogvar}[equation], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("equation", ["EST.3"])
def test_the_noise_in_the_sampled_kl(equation):
    eps, weight = nodes(5)
    mu, logvar = np.array([0.7, -1.2]), np.array([-1.0, 0.5])
    grid = np.array(list(itertools.product(eps, repeat=2)))
    weights = np.array([math.prod(w) for w in itertools.product(weight, repeat=2)])
    z = ops.reparameterize_forward(mu, np.broadcast_to(logvar, grid.shape), grid)
    from_densities = (-((z - mu) ** 2) / np.exp(logvar) - logvar + z**2).sum(axis=1) / 2
    np.testing.assert_allclose((z**2 - grid**2 - logvar).sum(axis=1) / 2, from_densities, atol=1e-12)
    mean, variance = moments(from_densities, weights)
    assert mean == pytest.approx(ops.gaussian_kl_forward(mu[None], logvar[None])[0])
    assert variance == pytest.approx(np.sum((np.exp(logvar) - 1) ** 2 / 2 + mu**2 * np.exp(logvar)))


X, X_LOGVAR = 1.5, np.log(0.25)  # the linear model of the figure: p(x|z) = N(z, 1/4)


def linear_draws(mu, logvar, eps):
    """Value and gradient in mu of A and B, one per draw."""
    eps = eps[:, None]
    z, x = sample(mu, logvar, eps), np.full_like(eps, X)
    log_lik = -ops.gaussian_nll_forward(z, X_LOGVAR, x)
    slope = -ops.gaussian_nll_backward(np.ones(len(eps)), z, X_LOGVAR, x)[0]
    log_ratio = ((eps**2 + logvar - z**2) / 2)[:, 0]
    kl = ops.gaussian_kl_forward(np.full_like(eps, mu), np.full_like(eps, logvar))
    dmu, _ = ops.reparameterize_backward(slope, np.full_like(eps, logvar), eps)
    return log_lik + log_ratio, log_lik - kl, (dmu - z)[:, 0], (dmu - mu)[:, 0]


@pytest.mark.parametrize("equation", ["EST.4"])
def test_a_is_exact_at_the_posterior_and_b_is_not(equation):
    eps, weight = nodes(10)
    log_px = log_normal(X, 0, 1.25)
    a, b, *_ = linear_draws(1.2, np.log(0.2), eps)
    np.testing.assert_allclose(a, log_px, atol=1e-12)
    assert moments(b, weight) == pytest.approx((log_px, 8 * 0.2**2 + 16 * 0.3**2 * 0.2))


def test_the_crossings_that_the_figure_shows():
    eps, weight = nodes(10)

    def a_below_b(std):
        a, b, *_ = linear_draws(1.2, 2 * np.log(std), eps)
        return moments(a, weight)[1] < moments(b, weight)[1]

    assert [a_below_b(std) for std in (0.28, 0.30, 1.15, 1.17)] == [False, True, True, False]
    assert "smaller below 0.29 and above 1.16" in NOTE


@pytest.mark.parametrize("equation", ["EST.5", "EST.6"])
def test_gradients_of_a_and_b(equation):
    eps, weight = nodes(10)
    for mu, logvar in [(1.2, np.log(0.2)), *POINTS]:
        *_, a, b = linear_draws(mu, logvar, eps)
        var = np.exp(logvar)
        if equation == "EST.5":
            # A's from the densities: d/dmu of log p(x|z) + log p(z) - log q at fixed eps, by differences
            h = 1e-3  # values are quadratic in mu, so the central difference is exact but for rounding
            difference = (linear_draws(mu + h, logvar, eps)[0] - linear_draws(mu - h, logvar, eps)[0]) / (2 * h)
            np.testing.assert_allclose(difference, b - np.sqrt(var) * eps, atol=1e-9)
            np.testing.assert_allclose(a, difference, atol=1e-9)
        else:
            assert moments(a, weight)[1] - moments(b, weight)[1] == pytest.approx(var * (1 - 2 * -4))
            assert moments(b, weight)[1] / moments(a, weight)[1] == pytest.approx(16 / 25)


@pytest.mark.parametrize("equation", ["EST.6"])
def test_gradients_of_a_and_b_where_f_is_curved_upwards(equation):
    # f = sin: f'' = -sin, so the sign of the difference depends on mu
    eps, weight = nodes()
    signs = []
    for mu in (1.2, -1.2):
        logvar = np.log(0.2)
        z = sample(mu, logvar, eps)
        (dmu, _) = path_gradients(np.cos, mu, logvar, eps)
        difference = moments(dmu - z, weight)[1] - moments(dmu - mu, weight)[1]
        assert difference == pytest.approx(0.2 * (1 + 2 * np.sin(mu) * np.exp(-0.1)), abs=1e-10)
        signs.append(np.sign(difference))
    assert signs == [1, -1]


def test_for_the_log_variance_a_is_quieter_where_q_is_narrow():
    eps, weight = nodes(10)
    h = 1e-3
    form = r"`([\d.]+)\\,\\sigma\^4`\$ in A and \$`([\d.]+)\\,\\sigma\^2 \+ (\d+)\\,\\sigma\^4`\$ in B, so A is quieter"
    found = re.search(form + r" below \$`\\sigma = ([\d.]+)`", joined(NOTE))
    a4, b2, b4, crossing = map(float, found.groups())
    for std in (0.1, 0.25, 0.3, 1.0):
        logvar = 2 * np.log(std)
        draws = [linear_draws(1.2, logvar + s * h, eps)[:2] for s in (2, 1, -1, -2)]
        # values are smooth in logvar: h^4 / 30, and rounding 1e-16 / h
        for i, variance in enumerate((a4 * std**4, b2 * std**2 + b4 * std**4)):
            ahead2, ahead, behind, behind2 = (draw[i] for draw in draws)
            slope = (8 * (ahead - behind) - (ahead2 - behind2)) / (12 * h)
            assert moments(slope, weight)[1] == pytest.approx(variance, rel=1e-8)
        assert (a4 * std**4 < b2 * std**2 + b4 * std**4) == (std < crossing)
    assert crossing == round((b2 / (a4 - b4)) ** 0.5, 2)


def test_predictions():
    right, wrong, mean, spread = map(float, printed_by(NOTE).split())
    flat = joined(NOTE)
    assert f"$`e^{{-1}} = {right:.2f}`$; with the mistake $`e^{{-2}} = {wrong:.2f}`$." in flat
    assert abs(mean) < 5 * spread / 1000
    assert f"with standard deviation $`e^{{-1}}/2 = {spread:.2f}`$." in flat


# ---- with a pencil -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mu, logvar", POINTS)
def test_pencil_1_a_slope_that_is_constant(mu, logvar):
    eps, weight = nodes(10)
    std = np.exp(logvar / 2)
    plain, best = (score_gradients(lambda z: z, mu, logvar, eps, b)[0] for b in (0, mu))
    assert moments(plain, weight) == pytest.approx((1, mu**2 / std**2 + 2))
    assert moments(best, weight) == pytest.approx((1, 2))
    around = [moments(score_gradients(lambda z: z, mu, logvar, eps, mu + s)[0], weight)[1] for s in (-0.1, 0.1)]
    assert min(around) > 2 and np.all(path_gradients(np.ones_like, mu, logvar, eps)[0] == 1)


@pytest.mark.parametrize("mu, logvar", POINTS)
def test_pencil_2_the_best_baseline(mu, logvar):
    eps, weight = nodes(10)
    var = np.exp(logvar)

    def variance(b):
        return moments(score_gradients(np.square, mu, logvar, eps, b)[0], weight)[1]

    best = mu**2 + 3 * var
    assert variance(best) == pytest.approx(8 * mu**2 + 6 * var) and variance(mu**2 + var) == pytest.approx(8 * mu**2 + 10 * var)
    assert variance(best) < min(variance(0.99 * best), variance(1.01 * best))
    assert "6\\sigma^2`$: 14 at $`\\mu = \\sigma = 1`$, against 23 with $`b = \\mu^2`$ and 4 pathwise" in joined(NOTE)
    assert [8 + 6, *printed_variances(1, 1)[1:]] == [14, 23, 4]


def test_pencil_3_both_means_for_the_log_variance():
    eps, weight = nodes(10)
    _, score = score_gradients(lambda z: z**3, 1.0, np.log(4), eps)
    _, path = path_gradients(lambda z: 3 * z**2, 1.0, np.log(4), eps)
    assert [np.sum(weight * g) for g in (score, path)] == pytest.approx([12, 12])
    assert "so both sides are $`3\\mu\\sigma^2 = 12`$" in joined(NOTE)


@pytest.mark.parametrize("mu, logvar", POINTS)
def test_pencil_4_a_draw_and_its_mirror_image(mu, logvar):
    eps, weight = nodes(20)

    def variance(gradient):
        return moments((gradient(eps) + gradient(-eps)) / 2, weight)[1]

    assert variance(lambda e: path_gradients(lambda z: 2 * z, mu, logvar, e)[0]) == pytest.approx(0, abs=1e-24)
    assert variance(lambda e: score_gradients(np.square, mu, logvar, e)[0]) == pytest.approx(8 * mu**2, abs=1e-10)
    cosine = path_gradients(np.cos, 0.0, logvar, eps)[0]  # f = sin z at mu = 0
    assert np.array_equal(cosine, path_gradients(np.cos, 0.0, logvar, -eps)[0])

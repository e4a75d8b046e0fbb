"""Promise: note 2 is right: the bound, its gap, both decompositions, in a linear model and in a nonlinear one."""

import itertools
import re

import numpy as np
import pytest
from helpers import figure, joined, kl_normal, linear_model, linear_posterior, log_normal_joint, note

from vae_from_scratch import ops
from vae_from_scratch import BetaVAE, CapacityVAE
from vae_from_scratch.likelihoods import Gaussian
from vae_from_scratch.vae import VAE

NOTE = note(2)
EXACT = 1e-11  # closed forms and exact rules: some hundred float64 operations on numbers of about 10
D, Z = 3, 2


def linear_case(seed=0):
    """Decoder W, b, r; a datum; its marginal LVM.2 as (mean, cov) and its posterior LVM.3 as (mean, cov)."""
    rng = np.random.default_rng(seed)
    W, b, r, x = rng.normal(size=(Z, D)), rng.normal(size=D), np.log(0.3), rng.normal(size=D)
    return W, b, r, x, (b, W.T @ W + np.exp(r) * np.eye(D)), linear_posterior(x, W, b, r)


def log_joint(z, W, b, r, x):
    return log_normal_joint(x, z @ W + b, np.exp(r) * np.eye(D)) + log_normal_joint(z, 0, np.eye(z.shape[1]))


def some_q(seed):
    """Mean and covariance of a Gaussian q that is neither prior nor posterior."""
    rng = np.random.default_rng(100 + seed)
    factor = rng.normal(size=(Z, Z))
    return rng.normal(size=Z), factor @ factor.T + 0.2 * np.eye(Z)


def nodes(mean, cov, points):
    """Gauss-Hermite nodes and weights for N(mean, cov): exact for polynomials of degree 2 points - 1."""
    t, w = np.polynomial.hermite_e.hermegauss(points)
    grid = np.array(list(itertools.product(t, repeat=len(mean))))
    weights = np.prod(list(itertools.product(w / w.sum(), repeat=len(mean))), axis=1)
    return mean + grid @ np.linalg.cholesky(cov).T, weights


@pytest.mark.parametrize("equation", ["LVM.1 LVM.2"])
@pytest.mark.parametrize("seed", range(3))
def test_the_marginal_is_the_integral(equation, seed):
    W, b, r, x, marginal, _ = linear_case(seed)
    # the integrand is Gaussian, of sd above 0.15 = 3 steps: the rule's error is below exp(-2 pi^2 9)
    axis = np.linspace(-8, 8, 321)
    z = np.array(list(itertools.product(axis, repeat=Z)))
    integral = np.exp(log_joint(z, W, b, r, x)).sum() * (axis[1] - axis[0]) ** 2
    assert np.log(integral) == pytest.approx(log_normal_joint(x, *marginal)[0], abs=EXACT)


@pytest.mark.parametrize("equation", ["LVM.3"])
@pytest.mark.parametrize("seed", range(3))
def test_the_posterior_is_bayes_rule(equation, seed):
    W, b, r, x, marginal, posterior = linear_case(seed)
    z = np.random.default_rng(seed).normal(size=(20, Z))
    by_bayes = log_joint(z, W, b, r, x) - log_normal_joint(x, *marginal)
    np.testing.assert_allclose(log_normal_joint(z, *posterior), by_bayes, rtol=EXACT)


@pytest.mark.parametrize("equation", ["LVM.4"])
def test_the_relative_variance_of_sampling_the_prior(equation):
    z = np.linspace(-12, 12, 24001)
    for var in (0.01, 0.25, 2.0):
        likelihood = np.exp(-(z**2) / (2 * var)) / np.sqrt(2 * np.pi * var)
        prior = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        first, second = (likelihood * prior).sum() * 1e-3, (likelihood**2 * prior).sum() * 1e-3
        assert second / first**2 == pytest.approx((1 + var) / np.sqrt(var * (2 + var)), rel=EXACT)
    for x, var in ((0.3, 0.01), (1.0, 0.25)):  # x = 0 is the most favourable datum
        likelihood = np.exp(-((x - z) ** 2) / (2 * var)) / np.sqrt(2 * np.pi * var)
        first, second = (likelihood * prior).sum() * 1e-3, (likelihood**2 * prior).sum() * 1e-3
        further = np.exp(x**2 / (1 + var) - x**2 / (2 + var))
        assert second / first**2 == pytest.approx(further * (1 + var) / np.sqrt(var * (2 + var)), rel=EXACT)
    latents = re.search(r"^\| \$`Z`\$ \|(.+)\|$", NOTE, re.M)[1].split("|")
    printed = re.search(r"^\| LVM.4 \|(.+)\|$", NOTE, re.M)[1].split("|")
    for power, text in zip(latents, printed, strict=True):
        assert f"{float(text):.1e}" == f"{(1.01 / np.sqrt(0.01 * 2.01)) ** int(power):.1e}"


@pytest.mark.parametrize("equation", ["ELBO.1"])
@pytest.mark.parametrize("seed", range(3))
def test_importance_weights_leave_the_integral_unchanged(equation, seed):
    W, b, r, x, marginal, (nu, Sigma) = linear_case(seed)
    mean, cov = nu + 0.1, 1.5 * Sigma  # not the posterior; wider than it, so that w is bounded
    z, weights = nodes(mean, cov, 40)
    w = np.exp(log_joint(z, W, b, r, x) - log_normal_joint(z, mean, cov))
    assert w.max() / w.min() > 10
    # 1e-8: w is smooth, so 40 points are plenty
    assert np.log(weights @ w) == pytest.approx(log_normal_joint(x, *marginal)[0], abs=1e-8)


def elbo(mean, cov, W, b, r, x):
    z, weights = nodes(mean, cov, 2)  # the log of w is a quadratic in z: two points are exact
    return weights @ (log_joint(z, W, b, r, x) - log_normal_joint(z, mean, cov))


@pytest.mark.parametrize("equation", ["ELBO.2"])
def test_the_elbo_is_a_bound_that_the_posterior_alone_reaches(equation):
    for seed in range(10):
        W, b, r, x, marginal, posterior = linear_case(seed)
        log_p = log_normal_joint(x, *marginal)[0]
        assert elbo(*some_q(seed), W, b, r, x) < log_p - 1e-3
        assert elbo(*posterior, W, b, r, x) == pytest.approx(log_p, abs=EXACT)


def test_jensen_by_the_tangent():
    rng = np.random.default_rng(0)
    w = rng.lognormal(size=1000)
    for c in (0.1, 1.0, w.mean(), 9.0):
        assert (np.log(w) <= np.log(c) + (w - c) / c).all()
    assert np.log(w).mean() < np.log(w.mean())


@pytest.mark.parametrize("equation", ["ELBO.3 ELBO.4"])
@pytest.mark.parametrize("seed", range(5))
def test_both_decompositions_of_the_elbo(equation, seed):
    W, b, r, x, marginal, posterior = linear_case(seed)
    mean, cov = some_q(seed)
    z, weights = nodes(mean, cov, 2)
    reconstruction = weights @ log_normal_joint(x, z @ W + b, np.exp(r) * np.eye(D))
    value = elbo(mean, cov, W, b, r, x)
    assert value == pytest.approx(log_normal_joint(x, *marginal)[0] - kl_normal(mean, cov, *posterior), abs=EXACT * 10)
    assert value == pytest.approx(reconstruction - kl_normal(mean, cov, np.zeros(Z), np.eye(Z)), abs=EXACT * 10)


@pytest.mark.parametrize("equation", ["LVM.1 ELBO.1 ELBO.2 ELBO.3 ELBO.4"])
def test_the_same_with_a_hidden_layer_and_bernoulli_pixels(equation):
    model = VAE(data_dim=5, hidden=(4,), latent_dim=1, dtype="float64", seed=3)
    model.params["decoder_W1"] *= 3  # a decoder that bends
    x = np.array([[1.0, 0.0, 1.0, 1.0, 0.0]])
    mu, logvar = model.encode(x)
    mean, var = float(mu[0, 0]) + 0.5, float(np.exp(logvar[0, 0])) / 2
    z, step = np.linspace(-12, 12, 4801)[:, None], 0.005  # smooth, decaying, of width about 1: exact but for rounding
    nll = ops.bernoulli_nll_forward(model.decoder.forward(ops, model.params, z)[-1], np.repeat(x, len(z), axis=0))
    log_prior, log_q = log_normal_joint(z, 0, np.eye(1)), log_normal_joint(z, mean, var * np.eye(1))
    p_x = np.exp(log_prior - nll).sum() * step
    log_posterior = log_prior - nll - np.log(p_x)
    q = np.exp(log_q) * step
    value = q @ (log_prior - nll - log_q)
    kl_posterior, kl_prior = q @ (log_q - log_posterior), q @ (log_q - log_prior)
    assert q @ np.exp(log_prior - nll - log_q) == pytest.approx(p_x, rel=EXACT)  # ELBO.1
    assert kl_posterior > 0.01 and value < np.log(p_x)  # ELBO.2
    assert value == pytest.approx(np.log(p_x) - kl_posterior, abs=EXACT)  # ELBO.3
    assert value == pytest.approx(-q @ nll - kl_prior, abs=EXACT)  # ELBO.4
    kl = ops.gaussian_kl_forward(np.array([[mean]]), np.log([[var]]))[0]
    assert kl_prior == pytest.approx(kl, abs=EXACT)


def linear_vae(model_class, **settings):
    model = linear_model(model_class, D, Z, Gaussian(sigma=0.7), **settings)
    rng = np.random.default_rng(1)
    for value in model.params.values():
        value[...] = 0.5 * rng.normal(size=value.shape)
    return model, rng.normal(size=(4, D))


def mean_terms(model, x):
    """E[loss] and kl: for a linear decoder nll is quadratic in eps, so the mean over all signs of eps is exact."""
    signs = [np.tile(sign, (len(x), 1)) for sign in itertools.product([-1.0, 1.0], repeat=Z)]
    terms = [model.loss(x, eps) for eps in signs]
    return np.mean([term.loss for term in terms]), terms[0].kl


def mean_elbo(model, x):
    """By ELBO.3, from the parameters alone."""
    W, b, r = model.params["decoder_W1"], model.params["decoder_b1"], 2 * np.log(0.7)
    nu, Sigma = linear_posterior(x, W, b, r)
    marginal = W.T @ W + np.exp(r) * np.eye(D)
    mu, logvar = model.encode(x)
    gaps = [kl_normal(m, np.diag(np.exp(l)), n, Sigma) for m, l, n in zip(mu, logvar, nu)]
    assert min(gaps) > 0.1
    return np.mean(log_normal_joint(x, b, marginal) - gaps)


@pytest.mark.parametrize("equation", ["VAE.1 ELBO.5"])
def test_the_mean_loss_is_minus_the_elbo(equation):
    model, x = linear_vae(VAE)
    assert mean_terms(model, x)[0] == pytest.approx(-mean_elbo(model, x), abs=EXACT * 10)


@pytest.mark.parametrize("equation", ["VAE.1"])
@pytest.mark.parametrize(
    "model_class, settings", [(BetaVAE, {"beta": 4.0}), (CapacityVAE, {"gamma": 10.0, "capacity": 0.5})]
)
def test_with_another_penalty_the_difference_is_added(equation, model_class, settings):
    model, x = linear_vae(model_class, **settings)
    loss, kl = mean_terms(model, x)
    penalty = 4 * kl if model_class is BetaVAE else 10 * abs(kl - 0.5)
    assert loss == pytest.approx(-mean_elbo(model, x) + penalty - kl, abs=EXACT * 10)


def test_the_table_of_four_choices():
    drawn = figure(2)
    rows = re.findall(r"^\| ([a-z ]+): \$`\\mathcal\{N\}\(([\d.]+), ([\d.]+)\)`\$ \|(.+)\|$", NOTE, re.M)
    assert [(name, (float(mean), float(var))) for name, mean, var, _ in rows] == list(drawn.CHOICES.items())
    log_p = log_normal_joint(np.array([1.0]), 0, np.array([[1.25]]))[0]
    for name, mean, var, printed in rows:
        mu, logvar = np.array([[float(mean)]]), np.log([[float(var)]])
        # E[nll] is exact over eps = +-1, as above
        z = mu + np.exp(logvar / 2) * np.array([[-1], [1]])
        nll = ops.gaussian_nll_forward(z, np.log(0.25), np.ones((2, 1))).mean()
        kl = ops.gaussian_kl_forward(mu, logvar)[0]
        gap = kl_normal(mu[0], np.exp(logvar), np.array([0.8]), np.array([[0.2]]))
        expected = [nll, kl, nll + kl, -log_p, gap]
        assert [text.strip() for text in printed.split("|")] == [
            f"{abs(value) if abs(value) < 5e-5 else value:.4f}" for value in expected
        ], name
        assert nll + kl == pytest.approx(-log_p + gap, abs=EXACT)
        (first, second), (third, fourth) = drawn.costs(float(mean), float(var))
        np.testing.assert_allclose([first, second, third, fourth], [nll, kl, -log_p, gap], atol=EXACT)


def test_answers():
    z = np.random.default_rng(0).standard_normal(100_000)
    nll = ops.gaussian_nll_forward(z[:, None], np.log(0.25), np.ones((len(z), 1)))
    bound = np.log(2 * np.pi * 1.25) / 2 + 0.4  # -log p(x)
    reach = np.sqrt((bound - np.log(2 * np.pi * 0.25) / 2) / 2)  # nll is bound at |z - 1| = reach
    below = (nll < bound).mean()
    printed = re.search(
        r"- 1 \\rvert`\$ below ([\d.]+)\. .*?the mean is ([\d.]+), .*?= ([\d.]+)`\$ exactly", joined(NOTE)
    )
    assert printed.groups() == (f"{reach:.2f}", "4.23", f"{bound:.2f}")
    assert 1 / 3 < below < 0.4 and below == pytest.approx((abs(z - 1) < reach).mean(), abs=1e-12)
    assert nll.mean() == pytest.approx(4.2258, abs=5 * nll.std() / len(z) ** 0.5)  # five standard errors


def test_the_mixture_has_two_humps_of_slices_with_one():
    drawn = figure(2)
    z, x = np.linspace(-8, 8, 4001), np.linspace(-6, 6, 241)
    slices = np.exp(-2 * (x[:, None] - drawn.decode(z)) ** 2)
    p = slices @ np.exp(-(z**2) / 2)
    assert (np.diff(np.sign(np.diff(p))) == -2).sum() == 2 and abs(abs(x[p.argmax()]) - 3) < 0.3
    held, hits = re.search(r"circle holds (\d+) % .*?Of 200 draws from the prior, (\d) fall inside", joined(NOTE)).groups()
    assert held == f"{100 * (1 - np.exp(-2)):.0f}"  # a disc of two standard deviations in the plane
    (_, Sigma) = linear_posterior(np.zeros((1, 2)), np.eye(2), 0, 2 * np.log(drawn.NOISE))
    assert drawn.POSTERIOR_SD == pytest.approx(Sigma[0, 0] ** 0.5)
    assert len(drawn.DRAWS) == 200 and int(hits) == (np.hypot(*drawn.DRAWS.T) < 2 * drawn.POSTERIOR_SD).sum()


def test_the_bounds_of_the_figure_touch_where_q_is_the_posterior_and_nowhere_else():
    drawn = figure(2)
    w = np.linspace(0.2, 1.6, 1401)
    log_p = drawn.log_evidence(w)
    assert drawn.log_evidence(1.0) == pytest.approx(log_normal_joint(np.ones(1), 0, np.array([[1.25]]))[0])
    tops = re.search(r"at w of 0\.5 and has its top at ([\d.]+); .*? has its top at ([\d.]+)\.", joined(NOTE)).groups()
    for at, top in zip((0.5, 2 / 3), tops, strict=True):
        assert top == f"{drawn.m_step(*drawn.posterior(at)):.3f}"
        gap = log_p - drawn.bound(w, *drawn.posterior(at))
        assert gap.min() >= -EXACT and abs(w[gap.argmin()] - at) < 1e-3
        assert abs(w[drawn.bound(w, *drawn.posterior(at)).argmax()] - drawn.m_step(*drawn.posterior(at))) < 1e-3
    assert (log_p - drawn.bound(w, *drawn.OTHER)).min() > 0.05
    assert w[log_p.argmax()] == pytest.approx(0.866, abs=1e-3)


def test_pencil_1_and_2_posterior_evidence_gap():
    W, x = np.array([[1.0, 2.0]]), np.ones(2)
    (nu,), Sigma = linear_posterior(x[None], W, 0, 0.0)
    assert (Sigma[0, 0], nu[0]) == pytest.approx((1 / 6, 1 / 2))
    marginal = W.T @ W + np.eye(2)
    inverse = np.linalg.inv(marginal)
    np.testing.assert_allclose(inverse, np.array([[5, -2], [-2, 2]]) / 6)
    log_p, gap = re.search(r"tfrac14 = (-[\d.]+)`.*?log 2\) = ([\d.]+)`\$ nats", joined(NOTE)).groups()
    assert log_p == f"{log_normal_joint(x, 0, marginal)[0]:.4f}" and np.linalg.det(marginal) == pytest.approx(6)
    assert gap == f"{kl_normal(nu, np.array([[1 / 3]]), nu, Sigma):.4f}"


def test_pencil_3_em_climbs_log_p():
    drawn = figure(2)
    assert drawn.posterior(0.5) == pytest.approx((1, 0.5))
    w = drawn.m_step(*drawn.posterior(0.5))
    before, after = re.search(r"rises from \$`(-[\d.]+)`\$ to \$`(-[\d.]+)`", joined(NOTE)).groups()
    assert w == pytest.approx(2 / 3) and (before, after) == (f"{drawn.log_evidence(0.5):.4f}", f"{drawn.log_evidence(w):.4f}")
    var = w**2 + 0.25
    assert drawn.m_step(*drawn.posterior(w)) == pytest.approx(w * var / (w**2 + 0.25 * var))
    for _ in range(300):
        w, last = drawn.m_step(*drawn.posterior(w)), drawn.log_evidence(w)
        assert drawn.log_evidence(w) >= last - EXACT
    assert w**2 == pytest.approx(0.75)


@pytest.mark.slow
def test_the_planes():
    drawn = figure(2)
    printed = re.search(
        r"squared distance is ([\d.]+), that of the VAE ([\d.]+)\. .*?squared distance of (\d+) .*?, against ([\d.]+) in", joined(NOTE)
    ).groups()
    found = {}
    for model_class in (drawn.Autoencoder, drawn.VAE):
        model, digits = drawn.trained(model_class)
        x = digits[:]
        images = model.decode(drawn.grid_of(*drawn.box(model, x)))
        nearest = ((images[:, None] - x) ** 2).sum(axis=2).min(axis=1)
        found[model_class] = ((model.reconstruct(x) - x) ** 2).sum(axis=1).mean(), nearest.max()
    (ae, ae_worst), (vae, vae_worst) = found.values()
    # another machine rounds otherwise, and training amplifies it
    assert [float(text) for text in printed] == pytest.approx([ae, vae, ae_worst, vae_worst], rel=0.25)
    assert ae < vae and ae_worst > 4 * vae_worst

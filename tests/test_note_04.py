"""Promise: note 4's closed form of the KL is the definition's; its numbers and its claims on rounding are right."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from helpers import joined, kl_normal, log_normal, note, printed_by

from vae_from_scratch import VAE, ops

NOTE = note(4)
CASES = [
    (0.0, 0.0, 0.0, 1.0),
    (1.3, -0.7, 0.0, 1.0),
    (-2.0, 0.9, 0.0, 1.0),
    (0.4, -3.0, -1.1, 0.6),
    (0.2, 1.2, 0.5, 2.5),
]  # mu, logvar, mu_p, sigma_p


def mean_under_q(f, mu, logvar):
    """E_q[f(z)] by the trapezium rule over 12 standard deviations: for an analytic integrand that has
    decayed to e^-72 at both ends its error is far below the rounding of 4,000 terms (1e-13)."""
    z, step = np.linspace(-12, 12, 4001, retstep=True)
    z, step = mu + np.exp(logvar / 2) * z, np.exp(logvar / 2) * step
    return np.sum(f(z) * np.exp(log_normal(z, mu, np.exp(logvar)))) * step


def kl_general(mu, logvar, mu_p, sigma_p):
    """KLD.3, as printed."""
    ratio = np.exp(logvar) / sigma_p**2
    return ((mu - mu_p) ** 2 / sigma_p**2 + ratio - 1 - np.log(ratio)) / 2


def kl(mu, logvar):
    mu, logvar = np.broadcast_arrays(np.asarray(mu), np.asarray(logvar))
    return ops.gaussian_kl_per_latent(mu, logvar)


@pytest.mark.parametrize("mu, logvar, mu_p, sigma_p", CASES)
@pytest.mark.parametrize("equation", ["KLD.1"])
def test_mean_of_log_q(equation, mu, logvar, mu_p, sigma_p):
    quadrature = mean_under_q(lambda z: log_normal(z, mu, np.exp(logvar)), mu, logvar)
    assert quadrature == pytest.approx(-(np.log(2 * np.pi) + logvar + 1) / 2, abs=1e-11)


@pytest.mark.parametrize("mu, logvar, mu_p, sigma_p", CASES)
@pytest.mark.parametrize("equation", ["KLD.2"])
def test_mean_of_the_square(equation, mu, logvar, mu_p, sigma_p):
    quadrature = mean_under_q(lambda z: (z - mu_p) ** 2, mu, logvar)
    assert quadrature == pytest.approx(np.exp(logvar) + (mu - mu_p) ** 2, abs=1e-11)


@pytest.mark.parametrize("mu, logvar, mu_p, sigma_p", CASES)
@pytest.mark.parametrize("equation", ["KLD.3"])
def test_closed_form_is_the_definition(equation, mu, logvar, mu_p, sigma_p):
    definition = mean_under_q(lambda z: log_normal(z, mu, np.exp(logvar)) - log_normal(z, mu_p, sigma_p**2), mu, logvar)
    assert kl_general(mu, logvar, mu_p, sigma_p) == pytest.approx(definition, abs=1e-11)


@pytest.mark.parametrize("equation", ["KL.1", "KL.2"])
def test_the_code_is_the_general_form_at_the_prior(equation):
    mu, logvar = np.random.default_rng(0).normal(size=(2, 3, 5))
    general = kl_general(mu, logvar, 0.0, 1.0)
    if equation == "KL.1":  # 1e-13: rounding of a handful of operations
        np.testing.assert_allclose(ops.gaussian_kl_per_latent(mu, logvar), general, rtol=1e-13)
    else:
        np.testing.assert_allclose(ops.gaussian_kl_forward(mu, logvar), general.sum(axis=1), rtol=1e-13)


@pytest.mark.parametrize("equation", ["KL.2"])
def test_the_sum_over_latents_is_the_kl_of_the_product(equation):
    # Monte Carlo with the joint densities: the mean of log q(z) - log p(z) over all latents at once
    rng = np.random.default_rng(0)
    mu, logvar = np.array([0.8, -0.3, 0.1]), np.array([-1.0, 0.4, -2.0])
    z = mu + np.exp(logvar / 2) * rng.standard_normal((200_000, 3))
    draws = (log_normal(z, mu, np.exp(logvar)) - log_normal(z, 0, 1)).sum(axis=1)
    standard_error = draws.std() / np.sqrt(len(draws))
    assert standard_error < 0.01
    assert abs(draws.mean() - ops.gaussian_kl_forward(mu[None], logvar[None])[0]) < 4 * standard_error


@pytest.mark.parametrize("mu, logvar, mu_p, sigma_p", CASES)
@pytest.mark.parametrize("equation", ["KLD.4"])
def test_shift_and_scale_leave_it_alone(equation, mu, logvar, mu_p, sigma_p):
    standardised = kl((mu - mu_p) / sigma_p, logvar - 2 * np.log(sigma_p))
    definition = mean_under_q(lambda z: log_normal(z, mu, np.exp(logvar)) - log_normal(z, mu_p, sigma_p**2), mu, logvar)
    assert standardised == pytest.approx(definition, abs=1e-11)


@pytest.mark.parametrize("equation", ["KL.1"])
def test_zero_at_the_prior_and_positive_elsewhere(equation):
    mu, logvar = np.meshgrid(np.linspace(-3, 3, 61), np.linspace(-6, 3, 91))
    values = kl(mu, logvar)
    at_prior = (np.abs(mu) < 1e-9) & (np.abs(logvar) < 1e-9)
    assert at_prior.sum() == 1 and abs(values[at_prior][0]) < 1e-15
    assert values[~at_prior].min() > 0.002  # the nearest point is 0.1 away: 0.1^2 / 4 = 0.0025, less the cubic term


@pytest.mark.parametrize("equation", ["KL.3", "KL.4"])
def test_second_derivatives_are_those_of_a_bowl(equation):
    # differences of the gradient: error h^2 e^logvar / 12 < 1e-6
    mu, logvar, h = np.linspace(-2, 2, 5)[:, None], np.linspace(-3, 2, 5)[:, None], 1e-3
    up, one = np.ones(5), np.ones((5, 1))
    if equation == "KL.3":
        ahead, behind = (ops.gaussian_kl_backward(up, mu + s, logvar) for s in (h, -h))
        expected = one, 0 * one
    else:
        ahead, behind = (ops.gaussian_kl_backward(up, mu, logvar + s) for s in (h, -h))
        expected = 0 * one, np.exp(logvar) / 2
    for a, b, e in zip(ahead, behind, expected):
        np.testing.assert_allclose((a - b) / (2 * h), e, atol=1e-6)


@pytest.mark.parametrize("equation", ["KL.4"])
def test_the_pull_upwards_is_at_most_one_half(equation):
    logvar = np.linspace(-40, 3, 200)[:, None]
    _, dlogvar = ops.gaussian_kl_backward(np.ones(200), np.zeros_like(logvar), logvar)
    assert -0.5 <= dlogvar.min() < -0.4999 and dlogvar.max() > 9


@pytest.mark.parametrize("equation", ["KLD.5"])
def test_what_a_halving_costs(equation):
    for mu in (0.0, 2.0):
        for logvar in (-9.0, -2.0, 0.0, 1.0):
            cost = kl(mu, logvar - 2 * np.log(2)) - kl(mu, logvar)
            assert cost == pytest.approx(np.log(2) - 3 / 8 * np.exp(logvar), abs=1e-13)
    assert re.search(r"\\log 2 = (0\.6931)`\$ nats, one bit", NOTE).group(1) == f"{np.log(2):.4f}"


def test_the_table():
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (-?\d\S+) \| (\S+) \|$", NOTE, re.M)
    assert len(rows) == 7
    for mu, sigma, logvar, printed in rows:
        exact = 2 * np.log(float(Fraction(sigma)))
        assert logvar == f"{exact:.4f}"
        assert printed == f"{kl(float(mu), exact):.4f}"


@pytest.mark.parametrize("equation", ["KLD.6"])
def test_rounding_near_the_prior(equation):
    # exp and expm1 are computed in double and rounded to float32, so that both are correctly rounded on any machine
    u = 2.0**-24
    magnitude = np.geomspace(1e-4, 1e-2, 2001).astype(np.float32)
    for sign in (1, -1):
        logvar = np.float32(sign) * magnitude
        exact = np.expm1(logvar.astype(np.longdouble)) - logvar
        as_written = np.exp(logvar.astype(np.float64)).astype(np.float32) - np.float32(1) - logvar
        with_expm1 = np.expm1(logvar.astype(np.float64)).astype(np.float32) - logvar
        assert as_written.dtype == with_expm1.dtype == np.float32
        # 1.02: the terms of the series that "about" leaves out are l / 3 and l / 2 of the ones kept, below 1 % here
        assert np.all(np.abs(as_written / exact - 1) <= 1.02 * 2 * u / magnitude**2)
        assert np.all(np.abs(with_expm1 / exact - 1) <= 1.02 * 2 * u / magnitude)
        # and the bounds are not idle: the first form does come within a factor of three of its own
        assert np.max(np.abs(as_written / exact - 1) * magnitude**2) > 2 * u / 3
        assert as_written.min() < 0 <= with_expm1.min()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("equation", ["KL.1", "KL.4"])
def test_the_code_keeps_its_digits_near_the_prior(equation, dtype):
    # KLD.6 with the library's own expm1, granted 4 units in the last place; KL.4 keeps its relative precision
    logvar = np.geomspace(1e-6, 1e-2, 500).astype(dtype)[:, None] * np.array([1, -1], dtype)
    wide = logvar.astype(np.longdouble)
    u = np.finfo(dtype).eps / 2
    if equation == "KL.1":
        exact = sum(wide**k / math.factorial(k) for k in range(2, 12)) / 2
        error = np.abs(ops.gaussian_kl_per_latent(np.zeros_like(logvar), logvar) - exact)
        assert np.all(error <= 5 * u * np.abs(logvar))
    else:
        _, dlogvar = ops.gaussian_kl_backward(np.ones(500, dtype), np.zeros_like(logvar), logvar)
        exact = np.expm1(wide) / 2
        assert dlogvar.dtype == dtype
        assert np.all(np.abs(dlogvar / exact - 1) <= 10 * u)


@pytest.mark.parametrize("dtype, limit", [(np.float32, 88.72), (np.float64, 709.78)])
@pytest.mark.parametrize("equation", ["KL.1", "KL.4"])
def test_where_the_floats_end(equation, dtype, limit):
    assert f"{np.log(np.finfo(dtype).max.astype(np.longdouble)):.2f}" == str(limit) and str(limit) in NOTE

    def evaluate(logvar):
        logvar = np.full((1, 1), logvar, dtype)
        with np.errstate(over="ignore"):
            if equation == "KL.1":
                return ops.gaussian_kl_per_latent(np.zeros_like(logvar), logvar)
            return ops.gaussian_kl_backward(np.ones(1, dtype), np.zeros_like(logvar), logvar)[1]

    assert np.isfinite(evaluate(limit)) and np.isposinf(evaluate(limit + 0.01))
    assert np.isfinite(evaluate(-1e30))


def test_predictions():
    with np.errstate(over="ignore"):
        numbers = re.findall(r"-?\d\S*\d|inf", re.sub(r"[,\]]", " ", printed_by(NOTE)))
    halving, low, high, at_88, at_89 = map(float, numbers)
    assert f"= {halving:.4f}`$ nats, so {halving:.2f}." in NOTE
    assert halving == pytest.approx(np.log(2) - 3 / 512, abs=1e-12)
    assert f"= {high:.3f}`$. At $`\\ell = -10`$ it is $`+{low:.2f}`$" in NOTE
    assert rf"About $`{at_88 / 1e37:.1f} \cdot 10^{{37}}`$, and infinity." in NOTE and at_89 == np.inf


def test_a_prior_with_correlation_is_out_of_reach():
    c = float(re.search(r"correlation ([\d.]+) under the prior", joined(NOTE))[1])
    assert f"below {-np.log(1 - c**2) / 2:.2f} nats (Q.5)" in joined(NOTE)
    cov = np.array([[1, c], [c, 1]])
    variances = np.linspace(0.05, 1, 96)
    gaps = [kl_normal(np.zeros(2), np.diag([a, b]), np.zeros(2), cov) for a in variances for b in variances]
    assert min(gaps) == pytest.approx(-np.log(1 - c**2) / 2, abs=1e-9)


def test_the_averaged_posterior_as_prior_gains_its_divergence_from_the_prior():
    mu, var, z = np.array([-1.5, 0.2, 1.0]), np.array([0.3, 0.1, 0.5]), np.linspace(-12, 12, 24001)
    log_q = log_normal(z[:, None], mu, var)
    log_average, log_prior = np.log(np.exp(log_q).mean(axis=1)), log_normal(z, 0, 1)

    def divergence(log_a, log_b):
        return np.sum(np.exp(log_a) * (log_a - log_b)) * 1e-3

    before = ops.gaussian_kl_forward(mu[:, None], np.log(var)[:, None]).mean()
    after = np.mean([divergence(log_q[:, n], log_average) for n in range(3)])
    assert before - after == pytest.approx(divergence(log_average, log_prior), abs=1e-9)


def test_pencil_1_and_2_numbers():
    first, small, large = re.search(
        r"- 1 \+ 2\) = ([\d.]+)`\$ nats.*?\+ \\log 64\) = ([\d.]+)`.*?- \\log 64\) = ([\d.]+)`", joined(NOTE)
    ).groups()
    assert first == f"{kl(1.0, -2.0):.4f}"
    assert small == f"{kl(0.0, -np.log(64)):.3f}" and large == f"{kl_general(0.0, 0.0, 0.0, 1 / 8):.2f}"


def test_pencil_3_full_covariance():
    rng = np.random.default_rng(0)
    mu, factor = rng.normal(size=3), rng.normal(size=(3, 3))
    Sigma = factor @ factor.T + np.eye(3)
    by_note = (mu @ mu + np.trace(Sigma) - 3 - np.linalg.slogdet(Sigma)[1]) / 2
    assert by_note == pytest.approx(kl_normal(mu, Sigma, np.zeros(3), np.eye(3)), abs=1e-12)
    assert f"(1 - 0.81) = {-np.log(1 - 0.81) / 2:.2f}`$ nats" in joined(NOTE)


def test_pencil_4_the_best_scale_makes_the_second_moment_one():
    rng = np.random.default_rng(0)
    model, x = VAE(6, (5,), 2, dtype="float64", seed=1), rng.uniform(size=(8, 6))
    eps = rng.standard_normal((8, 2))
    before, (mu, logvar) = model.loss(x, eps), model.encode(x)
    moment = (mu**2 + np.exp(logvar)).mean(axis=0)
    c = 1 / np.sqrt(moment)  # the answer's best factor
    model.params["encoder_W2"][:, :2] *= c
    model.params["encoder_b2"][:2] *= c
    model.params["encoder_b2"][2:] += 2 * np.log(c)
    model.params["decoder_W1"][...] /= c[:, None]
    after, (mu, logvar) = model.loss(x, eps), model.encode(x)
    assert after.recon_nll == pytest.approx(before.recon_nll, rel=1e-12)
    assert (mu**2 + np.exp(logvar)).mean(axis=0) == pytest.approx([1, 1])
    assert before.kl - after.kl == pytest.approx(((moment - 1 - np.log(moment)) / 2).sum(), abs=1e-12)
    assert f"(2 - 1 - \\log 2) = {(1 - np.log(2)) / 2:.4f}`$ nats" in joined(NOTE)

"""Promise: every row of note 21 is right: what another convention computes, times its factor, is what ours computes."""

import re

import numpy as np
import pytest
from helpers import joined, kl_normal, log_normal, note, tables

from vae_from_scratch import VAE, BetaVAE, CapacityVAE, ops, optimizers
from vae_from_scratch.likelihoods import Gaussian
from vae_from_scratch.mlp import glorot_uniform

N, D, Z, I, O = 4, 6, 3, 5, 2
RNG = np.random.default_rng(0)
x, recon, logits = RNG.uniform(size=(N, D)), RNG.normal(size=(N, D)), 3 * RNG.normal(size=(N, D))
p = 1 / (1 + np.exp(-logits))
mu, logvar, eps = RNG.normal(size=(3, N, Z))
inputs, W, b, dy = RNG.normal(size=(N, I)), RNG.normal(size=(I, O)), RNG.normal(size=O), RNG.normal(size=(N, O))
grads = RNG.normal(size=(20, 7))
BCE = -(x * np.log(p) + (1 - x) * np.log(1 - p))
CHECKS = {}


def row(number):
    def keep(check):
        CHECKS[number] = check
        return check

    return keep


def equal(theirs, ours):
    np.testing.assert_allclose(theirs, ours, rtol=1e-10, atol=1e-12)


def slope(f, at, h=1e-6):
    """df/dat, entry by entry, for f whose value at an entry depends on that entry alone; errors of about 1e-9."""
    return (f(at + h) - f(at - h)) / (2 * h)


# ---- arrays ------------------------------------------------------------------------------------------


@row(1)
def rows():
    equal([[sum(inputs[n, i] * W[i, o] for i in range(I)) + b[o] for o in range(O)] for n in range(N)], ops.dense_forward(inputs, W, b))


@row(2)
def linear_of_pytorch():
    weight = W.T.copy()  # (out_features, in_features)
    equal(np.einsum("ni,oi->no", inputs, weight) + b, ops.dense_forward(inputs, W, b))
    equal(np.einsum("no,ni->oi", dy, inputs), ops.dense_backward(dy, inputs, W)[1].T)


@row(3)
def columns():
    equal((W.T @ inputs.T + b[:, None]).T, ops.dense_forward(inputs, W, b))


@row(4)
def divided_in_every_layer():
    each = RNG.normal(size=(N, O))  # d nll_n / d y_n, not divided by anything
    dW, db = each.T @ inputs / N, each.T.sum(axis=1) / N
    _, ours_dW, ours_db = ops.dense_backward(each / N, inputs, W)
    equal(dW.T, ours_dW)
    equal(db, ours_db)


@row(5)
def glorot():
    largest = abs(glorot_uniform(np.random.default_rng(0), 300, 200, np.dtype("float64"))).max()
    assert 0.999 < largest / np.sqrt(6 / 500) <= 1


# ---- the spread of q ---------------------------------------------------------------------------------


@row(6)
def log_std():
    log_std = logvar / 2
    equal(mu + np.exp(log_std) * eps, ops.reparameterize_forward(mu, 2 * log_std, eps))
    kl_of = lambda s: (mu**2 + np.exp(2 * s) - 1 - 2 * s) / 2  # noqa: E731
    equal(kl_of(log_std), ops.gaussian_kl_per_latent(mu, 2 * log_std))
    _, dlogvar = ops.gaussian_kl_backward(np.ones(N), mu, 2 * log_std)
    np.testing.assert_allclose(slope(kl_of, log_std), 2 * dlogvar, atol=1e-7)


@row(7)
def variance_by_softplus():
    a = logvar
    variance_of = lambda a: np.log1p(np.exp(a)) + 1e-8  # noqa: E731
    v = variance_of(a)
    equal(mu + np.sqrt(v) * eps, ops.reparameterize_forward(mu, np.log(v), eps))
    _, dlogvar = ops.gaussian_kl_backward(np.ones(N), mu, np.log(v))
    theirs = slope(lambda a: (mu**2 + variance_of(a) - 1 - np.log(variance_of(a))) / 2, a)
    np.testing.assert_allclose(theirs, dlogvar * ops.sigmoid_forward(a) / v, atol=1e-7)


@row(8)
def second_argument():
    draws = np.random.default_rng(0).normal(0, 3, size=100_000)
    assert draws.var() == pytest.approx(9, rel=0.02)  # N(0, 9) here


@row(9)
def kl_of_the_batch():
    theirs = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar))
    equal(theirs, ops.gaussian_kl_forward(mu, logvar).sum())
    equal(theirs, N * ops.batch_mean(ops.gaussian_kl_forward(mu, logvar)))


@row(10)
def mean_over_latents():
    theirs = np.mean(-0.5 * np.mean(1 + logvar - mu**2 - np.exp(logvar), axis=1))
    equal(theirs, ops.gaussian_kl_forward(mu, logvar).mean() / Z)


@row(11)
def means_and_variances():
    qv, pm, pv = np.exp(logvar), RNG.normal(size=(N, Z)), RNG.uniform(0.5, 2, size=(N, Z))

    def theirs(qm, qv, pm, pv):
        return (0.5 * (np.log(pv) - np.log(qv) + qv / pv + (qm - pm) ** 2 / pv - 1)).sum(axis=-1)

    equal(theirs(mu, qv, pm, pv), [kl_normal(mu[n], np.diag(qv[n]), pm[n], np.diag(pv[n])) for n in range(N)])
    equal(theirs(mu, qv, 0 * pm, 1 + 0 * pv), ops.gaussian_kl_forward(mu, np.log(qv)))


@row(12)
def order_of_arguments():
    first, second = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1])

    def kl_div(log_input, target):
        return np.sum(target * (np.log(target) - log_input))

    equal(kl_div(np.log(first), second), np.sum(second * np.log(second / first)))  # KL(second || first)
    assert abs(kl_div(np.log(first), second) - np.sum(first * np.log(first / second))) > 0.01


# ---- reconstruction ----------------------------------------------------------------------------------


@row(13)
def from_probabilities():
    equal(BCE.sum(), N * ops.bernoulli_nll_forward(np.log(p / (1 - p)), x).mean())
    logit = np.array([[-200.0]])
    equal(ops.bernoulli_nll_forward(logit, np.ones((1, 1))), 200)  # where PyTorch's stops at 100


@row(14)
def mean_over_pixels():
    equal(BCE.mean(), ops.bernoulli_nll_forward(logits, x).mean() / D)
    plain, weighted = (model(D, (3,), Z, dtype="float64", seed=1, **given) for model, given in ((VAE, {}), (BetaVAE, {"beta": D})))
    terms = plain.loss(x, eps)
    equal(D * (terms.recon_nll / D + terms.kl), weighted.loss(x, eps).loss)


@row(15)
def from_logits():
    theirs = np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-abs(logits)))
    equal(theirs.sum(), ops.bernoulli_nll_forward(logits, x).sum())
    equal(theirs.mean(), ops.bernoulli_nll_forward(logits, x).mean() / D)


@row(16)
def integer_labels():
    labels = np.array([0, 5, 2, 2])
    theirs = np.mean([np.log(np.exp(logits[n]).sum()) - logits[n, labels[n]] for n in range(N)])
    equal(theirs, ops.softmax_cross_entropy_forward(logits, np.eye(D)[labels]).mean())


@row(17)
def mse():
    equal(((recon - x) ** 2).mean(), 2 / D * ops.squared_error_forward(recon, x).mean())
    equal(((recon - x) ** 2).sum(), 2 * N * ops.squared_error_forward(recon, x).mean())


@row(18)
def half_mse():
    equal(((recon - x) ** 2).mean() / 2, ops.squared_error_forward(recon, x).mean() / D)


@row(19)
def squares_without_half():
    theirs = ((recon - x) ** 2).sum(axis=1)
    equal(theirs, 2 * ops.squared_error_forward(recon, x))
    equal(theirs, ops.gaussian_nll_forward(recon, np.log(1 / 2), x) - D / 2 * np.log(2 * np.pi / 2))


@row(20)
def mse_and_a_kl():
    theirs = ((recon - x) ** 2).mean()
    equal(theirs, (ops.gaussian_nll_forward(recon, np.log(D / 2), x) - D / 2 * np.log(2 * np.pi * D / 2)).mean())


@row(21)
def without_the_constant():
    var = np.exp(RNG.normal(size=(N, D)))
    theirs = 0.5 * (np.log(var) + (recon - x) ** 2 / var)
    equal(theirs.sum(axis=1), ops.gaussian_nll_forward(recon, np.log(var), x) - D / 2 * np.log(2 * np.pi))


@row(22)
def tanh_for_a_sigmoid():
    equal(np.tanh(logits) / 2 + 0.5, ops.sigmoid_forward(2 * logits))


@row(23)
def less_the_entropy():
    entropy = -(x * np.log(x) + (1 - x) * np.log(1 - x)).sum(axis=1)
    equal((BCE.sum(axis=1) - entropy), ops.bernoulli_nll_forward(logits, x) - entropy)
    equal(entropy, ops.bernoulli_nll_forward(np.log(x / (1 - x)), x))  # what a perfect reconstruction costs


@row(24)
def laplace_without_its_scale():
    scale = np.full((), np.log(1 / 3))
    equal(3 * abs(x - recon).sum(axis=1), ops.laplace_nll_forward(recon, scale, x) - D * np.log(2 / 3))


# ---- the objective -----------------------------------------------------------------------------------


@row(25)
def elbo_or_loss():
    model = VAE(D, (3,), Z, likelihood=Gaussian(), dtype="float64", seed=1)
    m, l = model.encode(x)
    z = m + np.exp(l / 2) * eps
    log_p = log_normal(x, model.decode(z), 1).sum(axis=1)
    elbo = 0.5 * (1 + l - m**2 - np.exp(l)).sum(axis=1) + log_p  # their Eq. 10
    equal(elbo.mean(), -model.loss(x, eps).loss)


@row(26)
def estimate_for_the_data_set():
    terms, size = VAE(D, (3,), Z, dtype="float64").loss(x, eps), 1000
    equal(size / N * (terms.recon_nll_each + terms.kl_each).sum(), size * terms.loss)


@row(27)
def normalised_beta():
    beta_norm, model = 0.7, BetaVAE(D, (3,), Z, dtype="float64", beta=0.7 * D / Z)
    terms = model.loss(x, eps)
    equal(D * (terms.recon_nll / D + beta_norm * terms.kl / Z), terms.loss)  # a mean over pixels, and over latents


@row(28)
def with_epsilon():
    terms, epsilon = BetaVAE(D, (3,), Z, dtype="float64", beta=4.0).loss(x, eps), 0.3
    equal(-terms.recon_nll - 4 * (terms.kl - epsilon), -terms.loss + 4 * epsilon)


@row(29)
def capacity():
    for C in (0.5, 50.0):
        terms = CapacityVAE(D, (3,), Z, dtype="float64", gamma=20.0, capacity=C).loss(x, eps)
        equal(terms.recon_nll + 20 * abs(terms.kl_each.mean() - C), terms.loss)


@row(30)
def bits_per_dimension():
    nll = ops.bernoulli_nll_forward(logits, x)
    equal(nll * np.log2(np.exp(1)) / D, nll / (D * np.log(2)))
    equal(ops.bernoulli_nll_forward(np.zeros((1, D)), np.ones((1, D))) / (D * np.log(2)), 1)  # a fair coin: one bit


# ---- optimizers --------------------------------------------------------------------------------------


def path(rule, *state):
    """Parameters after every step of rule(theta, grad, t, *state)."""
    theta, seen = np.ones(7), []
    for t, grad in enumerate(grads, 1):
        theta = rule(theta, grad, t, *state)
        seen.append(theta.copy())
    return np.array(seen)


def ours(name, eps_of=None, **settings):
    """Parameters after every step of our optimizer."""
    optimizer, params, seen = optimizers.OPTIMIZERS[name](**settings), {"theta": np.ones(7)}, []
    state = optimizer.initial_state(params)
    for t, grad in enumerate(grads, 1):
        if eps_of:
            optimizer.adam_eps = eps_of(t)
        optimizer.step(params, {"theta": grad}, state)
        seen.append(params["theta"].copy())
    return np.array(seen)


@row(31)
def momentum_of_pytorch():
    def rule(theta, grad, t, v):
        v[...] = 0.9 * v + grad
        return theta - 0.1 * v

    equal(path(rule, np.zeros(7)), ours("sgd", lr=0.1, momentum=0.9))


@row(32)
def rate_in_the_velocity():
    def rule(theta, grad, t, v):
        v[...] = 0.9 * v - 0.1 * grad
        return theta + v

    equal(path(rule, np.zeros(7)), ours("sgd", lr=0.1, momentum=0.9))


@row(33)
def averaged_velocity():
    def rule(theta, grad, t, v):
        v[...] = 0.9 * v + (1 - 0.9) * grad
        return theta - 0.1 * v

    equal(path(rule, np.zeros(7)), ours("sgd", lr=0.1 * (1 - 0.9), momentum=0.9))


def adam(inside):
    def rule(theta, grad, t, m, v):
        m[...], v[...] = 0.9 * m + 0.1 * grad, 0.99 * v + 0.01 * grad**2
        first, second = 1 - 0.9**t, 1 - 0.99**t
        if inside:
            return theta - 0.1 * np.sqrt(second) / first * m / (np.sqrt(v) + 0.01)
        return theta - 0.1 * (m / first) / (np.sqrt(v / second) + 0.01)

    return path(rule, np.zeros(7), np.zeros(7))


@row(34)
def adam_of_pytorch():
    equal(adam(inside=False), ours("adam", lr=0.1, beta1=0.9, beta2=0.99, adam_eps=0.01))


@row(35)
def adam_with_eps_before_the_correction():
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "adam_eps": 0.01}
    equal(adam(inside=True), ours("adam", lambda t: 0.01 / np.sqrt(1 - 0.99**t), **settings))
    assert abs(adam(inside=True) - ours("adam", **settings)).max() > 1e-3


@row(36)
def weight_decay():
    theta, grad = np.ones(7), {"theta": grads[0].copy()}
    optimizers.prior_gradient({"theta": theta}, grad, 500)
    equal(grads[0] + 1 / 500 * theta, grad["theta"])


@row(37)
def sum_of_squares_in_the_loss():
    reg, N_train = 1e-3, 500.0
    theta, grad = grads[1], {"theta": np.zeros(7)}
    optimizers.prior_gradient({"theta": theta}, grad, N_train)
    np.testing.assert_allclose(slope(lambda w: reg * w * w, theta), 2 * reg * theta, atol=1e-9)
    equal(grad["theta"], 2 * reg * theta)  # since 2 reg = 1 / N_train here


# ---- all of them -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", CHECKS, ids=lambda number: f"row_{number}")
def test_both_sides_of_a_row_agree(number):
    CHECKS[number]()


def test_every_row_has_its_check_and_stands_in_order():
    numbers = [int(cells[0]) for _, rows in tables(note(21)) for cells in rows]
    assert numbers == list(range(1, len(numbers) + 1)) == sorted(CHECKS)


def test_the_worked_translation():
    printed = re.search(
        r"of (\d+) pixels.*?784/2 = (\d+)`.*?has the variance (\d+), a standard deviation of ([\d.]+) ", joined(note(21))
    )
    pixels, factor, variance, spread = map(float, printed.groups())
    assert (pixels / 2, f"{(pixels / 2) ** 0.5:.1f}") == (factor, str(spread)) and variance == factor
    s = logvar / 2
    theirs = ((recon - x) ** 2).mean() + 0.5 * np.mean((mu**2 + np.exp(2 * s) - 1 - 2 * s).sum(axis=1))
    kl = ops.gaussian_kl_forward(mu, 2 * s).mean()
    equal(D / 2 * theirs, ops.squared_error_forward(recon, x).mean() + D / 2 * kl)
    equal(theirs, ops.gaussian_nll_forward(recon, np.log(D / 2), x).mean() - D / 2 * np.log(2 * np.pi * D / 2) + kl)

"""Promise: the linear beta-VAE has the optimum of note 20, and a silent latent is right where the note says so."""

import itertools
import re

import numpy as np
import pytest
from helpers import agrees, descend, figure, joined, log_normal_joint, note, numbers_of, printed_by, table
from linear_case import (
    LAMBDA, NOISE, D, Z, distortion, flat, is_a_minimum, learned_noise, linear, linear_data, put, put_optimum, rates, squared_distance,
    tau_of, with_all_noise,
)  # fmt: skip

from vae_from_scratch import VAE, BetaVAE, ops
from vae_from_scratch.exact.linear import linear_optimum
from vae_from_scratch.exact.silent import silent_logits, silent_variance
from vae_from_scratch.likelihoods import Gaussian
from vae_from_scratch.optimizers import Adam

NOTE = note(20)
numbers = numbers_of(NOTE)
EXACT = 1e-12  # relative: a few hundred operations in double precision (2e-16 each)


# ---- the linear case ---------------------------------------------------------------------------------


def gaussian_mean_nll(x, b, K):
    return -log_normal_joint(x, b, K).mean()


@pytest.mark.parametrize("equation", ["LIN.1 LIN.2 LIN.3"])
def test_the_best_q_of_a_linear_decoder(equation):
    rng = np.random.default_rng(0)
    x, _ = linear_data()
    beta, W, b = 1.7, rng.normal(size=(Z, D)), rng.normal(size=D)
    tau = beta * NOISE
    K = W.T @ W + tau * np.eye(D)

    def cost(M, V):
        """E_q[f] + beta KL for q = N((x - b) M, V), averaged over the data."""
        mu, S_W = (x - b) @ M, W @ W.T
        f = (((x - b - mu @ W) ** 2).sum() / len(x) + np.trace(V @ S_W)) / (2 * NOISE)
        return f + beta * ((mu**2).sum() / len(x) + np.trace(V) - Z - np.linalg.slogdet(V)[1]) / 2

    V = np.linalg.inv(np.eye(Z) + W @ W.T / tau)
    M = W.T @ V / tau
    least = beta * (gaussian_mean_nll(x, b, K) - D / 2 * np.log(2 * np.pi * tau))
    assert cost(M, V) == pytest.approx(least, rel=EXACT)
    for size in np.geomspace(1e-3, 1, 40):
        root = np.linalg.cholesky(V) + size * np.tril(rng.normal(size=(Z, Z)))
        assert cost(M + size * rng.normal(size=M.shape), root @ root.T) > least
    assert cost(M, np.diag(np.diag(V))) > least + 0.01  # a diagonal q does not get there with this W

    k, v = np.linalg.eigh(K)
    S = np.cov(x.T, bias=True)
    by_eigenvalues = beta / 2 * (np.log(k / tau) + np.diag(v.T @ S @ v) / k).sum()
    at_mean = beta * (gaussian_mean_nll(x, x.mean(axis=0), K) - D / 2 * np.log(2 * np.pi * tau))
    assert by_eigenvalues == pytest.approx(at_mean, rel=EXACT) and at_mean < least
    assert sum(abs(k - tau) < 1e-9) == D - Z


@pytest.mark.parametrize("equation", ["LIN.4 LIN.5 LIN.6 LIN.7"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 1.7, 3.0, 6.0, 9.0])
def test_the_linear_optimum_with_fixed_noise(equation, beta):
    x, U = linear_data()
    batch, tau, model = with_all_noise(x), beta * NOISE, linear(beta=beta)
    put_optimum(model, x, U, tau)
    terms, grads = model.loss_and_grads(*batch)
    assert abs(flat(grads)).max() < 1e-11  # every parameter; sums of some hundred terms of size 10
    kl = ops.gaussian_kl_per_latent(*model.encode(x)).mean(axis=0)
    assert kl == pytest.approx(rates(tau), abs=EXACT)
    mu, logvar = model.encode(x)
    assert mu.var(axis=0) + np.exp(logvar).mean(axis=0) == pytest.approx(np.ones(Z), rel=EXACT)  # the prior's variance
    assert (terms.kl, terms.recon_nll) == pytest.approx((rates(tau).sum(), distortion(tau)), abs=10 * EXACT)
    assert is_a_minimum(model, batch)
    for n in range(Z + 1):  # every other choice of eigenvectors
        for kept in itertools.combinations(range(D), n):
            if all(LAMBDA[i] > tau for i in kept) and kept != tuple(i for i in range(Z) if LAMBDA[i] > tau):
                put_optimum(model, x, U, tau, kept)
                assert model.loss(*batch).loss > terms.loss + 1e-3


@pytest.mark.parametrize("equation", ["LIN.8"])
def test_everything_collapses_at_the_threshold_and_not_before(equation):
    x, U = linear_data()
    for beta, minimum in ((LAMBDA[0] / NOISE, True), (0.95 * LAMBDA[0] / NOISE, False)):
        model = linear(beta=beta)
        put_optimum(model, x, U, tau=np.inf)  # all silent
        silent = model.loss(*with_all_noise(x)).loss
        assert abs(flat(model.loss_and_grads(*with_all_noise(x))[1])).max() < 1e-11  # stationary in both cases
        assert is_a_minimum(model, with_all_noise(x)) or not minimum
        put_optimum(model, x, U, beta * NOISE)
        assert bool(model.loss(*with_all_noise(x)).loss < silent - 1e-3) == (not minimum)


def test_worked_example_of_the_linear_case():
    rows = table(NOTE, r"$`\beta`$ |")
    assert [float(row[0]) for row in rows] == [0.5, 1, 3, 6, 8]
    for row in rows:
        beta = float(row[0])
        tau = beta * NOISE
        R, Delta = rates(tau), distortion(tau)
        values = [beta, tau, sum(R > 0), *R, R.sum(), squared_distance(tau), Delta, Delta + beta * R.sum()]
        for number, value in zip(row, values, strict=True):
            assert agrees(number, value), (row, number, value)


@pytest.mark.parametrize("equation", ["LIN.9 LIN.10"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 1.3, 1.8, 2.5])
def test_the_linear_optimum_with_learned_noise(equation, beta):
    x, U = linear_data()
    batch, model, noise = with_all_noise(x), linear(sigma="learned", beta=beta), learned_noise(beta)
    assert beta == pytest.approx(D * beta * noise / squared_distance(beta * noise), rel=EXACT)

    def best_given(noise):
        put_optimum(model, x, U, beta * noise)
        model.params["x_logvar"][...] = np.log(noise)
        return model.loss_and_grads(*batch)

    for other in (0.3 * noise, 3 * noise):  # LIN.9: by the chain rule x_logvar's gradient is sigma_x^2 times it
        expected = (D * other - squared_distance(beta * other)) / (2 * other)
        assert best_given(other)[1]["x_logvar"] == pytest.approx(expected, rel=1e-10)
    profile = [best_given(other)[0].loss for other in noise * np.geomspace(0.2, 5, 9)]
    assert (np.diff(profile[:5]) < 0).all() and (np.diff(profile[4:]) > 0).all()  # one minimum, at noise (the middle)
    terms, grads = best_given(noise)
    assert abs(flat(grads)).max() < 1e-11 and is_a_minimum(model, batch)
    if beta == 1:
        discarded = LAMBDA[Z:].mean()
        ppca = -(D * np.log(2 * np.pi) + np.log(LAMBDA[:Z]).sum() + (D - Z) * np.log(discarded) + D) / 2
        assert noise == pytest.approx(discarded) and terms.loss == pytest.approx(-ppca, rel=EXACT)


@pytest.mark.parametrize("equation", ["LIN.11"])
def test_thresholds_with_learned_noise(equation):
    thresholds = [D * LAMBDA[j] / ((j + 1) * LAMBDA[j] + LAMBDA[j + 1 :].sum()) for j in range(Z)]
    for j, threshold in enumerate(thresholds):
        for beta, active in ((threshold * 0.999, True), (threshold * 1.001, False)):
            assert (rates(beta * learned_noise(beta))[j] > 0) == active
    printed = re.search(r"fall silent at\s+\$`\\beta = ([\d.]+)`\$, \$`([\d.]+)`\$ and \$`([\d.]+)`\$", NOTE).groups()
    assert all(agrees(number, value) for number, value in zip(printed, thresholds, strict=True))


@pytest.mark.parametrize("rank", [2, 3])
def test_without_discarded_variance_learned_noise_has_no_minimum(rank):
    x = linear_data(n=rank + 1)[0] if rank == 3 else linear_data()[0]
    if rank == 2:  # Z = 3: beta Z = 4.5 > 4 = D does not save it, since beta times the rank is 3
        centred = x - x.mean(axis=0)
        vectors = np.linalg.eigh(centred.T @ centred)[1][:, 2:]
        x = centred @ vectors @ vectors.T
    S = np.cov(x.T, bias=True)
    values = np.linalg.eigvalsh(S)[::-1]
    assert (values[rank:] < 1e-12).all() and values[rank - 1] > 0.1

    def best(beta, noise):  # LIN.3 at its minimum
        k = np.maximum(values, beta * noise)
        return D / 2 * np.log(2 * np.pi * noise) + beta / 2 * (np.log(k / (beta * noise)) + values / k).sum()

    for beta in (1.0, 1.5, 2.5):  # where beta * rank < 4 = D the loss falls without end as the noise does; else it rises
        per_decade = np.diff([best(beta, noise) for noise in np.geomspace(1e-1, 1e-8, 8)])
        # the eigenvalue that should be 0 is rounding, 1e-16 of the largest, and is divided by beta * noise = 1e-8
        assert per_decade == pytest.approx(np.full(7, -(D - beta * rank) / 2 * np.log(10)), abs=1e-4)
        found = linear_optimum(np.maximum(values, 0) * (np.arange(D) < rank), Z, beta)
        assert (found is None) == (beta * rank < D)


@pytest.mark.parametrize("equation", ["LIN.13"])
@pytest.mark.parametrize("beta", [0.5, 1.7])
def test_what_turning_the_latents_costs(equation, beta):
    x, U = linear_data()
    tau, model = beta * NOISE, linear(beta=beta)
    put_optimum(model, x, U, tau)
    W, b, best = model.params["decoder_W1"].copy(), x.mean(axis=0), model.loss(*with_all_noise(x)).loss
    for (i, j), degrees in itertools.product(itertools.combinations(range(Z), 2), (0, 17, 45, 73, 90)):
        alpha = np.radians(degrees)
        Q = np.eye(Z)
        Q[[i, i, j, j], [i, j, i, j]] = np.cos(alpha), -np.sin(alpha), np.sin(alpha), np.cos(alpha)
        QW = Q @ W
        A = QW.T @ np.linalg.inv(tau * np.eye(Z) + QW @ QW.T)  # LIN.2, its variances by Q.3
        put(model, QW, b, A, -b @ A, -np.log(1 + (QW**2).sum(axis=1) / tau))
        ratio = (LAMBDA[i] - LAMBDA[j]) ** 2 / (4 * LAMBDA[i] * LAMBDA[j])
        cost = beta / 2 * np.log(1 + ratio * np.sin(2 * alpha) ** 2)
        assert model.loss(*with_all_noise(x)).loss - best == pytest.approx(cost, abs=10 * EXACT)
        if (i, j, degrees) == (0, 1, 45):
            (printed,) = re.search(r"45 degrees, costs \$`([\d.]+) \\, \\beta", NOTE).groups()
            assert agrees(printed, cost / beta)


@pytest.mark.parametrize("start", [0.02, 1.0, 30.0])
def test_learned_noise_has_one_branch(start):
    """From noise far below the optimum and far above it, where all collapses first, training reaches LIN.10."""
    x, _ = linear_data()
    batch, model = with_all_noise(x), linear(sigma="learned", beta=1.3)
    model.params["x_logvar"] = np.log(start)
    # beta2: 0.999 remembers the steep start at 0.02 too long
    adam = Adam(lr=lambda step: 0.03 * (1 - step / 1000), beta2=0.98)
    descend(model, adam, 1000, lambda: batch)
    tau = 1.3 * learned_noise(1.3)
    assert np.exp(model.params["x_logvar"]) == pytest.approx(tau / 1.3, rel=1e-5)
    kl = ops.gaussian_kl_per_latent(*model.encode(x)).mean(axis=0)
    assert np.sort(kl)[::-1] == pytest.approx(rates(tau), abs=1e-5)  # seen: 3e-7 and better


@pytest.mark.parametrize("equation", ["LIN.12"])
def test_latents_wake_one_by_one(equation):
    wake = [np.log(LAMBDA[:j] / LAMBDA[j]).sum() / 2 for j in range(Z)]
    for j, C in enumerate(wake):
        if j:
            assert rates(tau_of(C * 0.999))[j] == 0
        assert rates(tau_of(C * 1.001 + 1e-6))[j] > 0
    printed = re.search(r"In the example \$`([\d.]+)`\$, \$`([\d.]+)`\$ and \$`([\d.]+)`\$ nats", NOTE).groups()
    assert all(agrees(number, value) for number, value in zip(printed, wake, strict=True))


# ---- silent latents ----------------------------------------------------------------------------------


def change_of_loss(model, x, a0, u, delta, beta):
    """Loss with a = a0 + delta z u and the note's q, minus the loss at delta = 0; over z by Gauss-Hermite."""
    eps, weight = np.polynomial.hermite_e.hermegauss(40)
    weight = weight / weight.sum()

    def nll(a):
        return model.likelihood.forward(ops, model.params, a, np.broadcast_to(x, a.shape))

    ones = np.ones((len(x), 1))
    dout, _ = model.likelihood.backward(ops, model.params, np.ones(len(x)), ones * a0, x)
    mu = -delta * dout @ u / beta
    out = [nll(a0 + delta * (mu[:, None] + e) * u) for e in eps]
    return (weight @ out - nll(ones * a0) + beta * mu**2 / 2).mean()


@pytest.mark.parametrize("equation", ["COL.1 COL.2"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", Gaussian(sigma=0.6), Gaussian(sigma="learned")], ids=str)
def test_a_small_use_of_z_pays_by_the_form_of_the_note(equation, likelihood):
    rng, beta = np.random.default_rng(0), 1.3
    hidden = rng.normal(size=(40, 1))
    x = hidden + 0.7 * rng.normal(size=(40, 5))
    x = 1 / (1 + np.exp(-2 * x)) if likelihood == "continuous-bernoulli" else (x > 0).astype(float)
    model = VAE(5, (), 1, likelihood=likelihood, dtype="float64", backend="numpy")
    mean, S = x.mean(axis=0), np.cov(x.T, bias=True)
    V = silent_variance(model.likelihood, mean, np.diag(S))
    binary = likelihood == "bernoulli"
    if isinstance(likelihood, Gaussian) and likelihood.sigma == "learned":
        model.params["x_logvar"][...] = np.log(V[0])
        assert V == pytest.approx(np.full(5, np.trace(S) / 5))
    if binary:
        assert V == pytest.approx(np.diag(S)) and np.trace(S - np.diag(V)) == pytest.approx(0, abs=1e-14)
    a0 = np.log(mean / (1 - mean)) if binary else silent_logits(mean) if likelihood == "continuous-bernoulli" else mean
    values, vectors = np.linalg.eigh(S - beta * np.diag(V))
    assert values[0] < -0.01 and values[-1] > 0.01  # both signs are seen
    for value, direction in zip(values, vectors.T, strict=True):
        u, delta = V * direction if isinstance(likelihood, Gaussian) else direction, 1e-3
        found = change_of_loss(model, x, a0, u, delta, beta)
        assert found == pytest.approx(-(delta**2) * value / (2 * beta), rel=1e-3, abs=1e-12)


def test_at_the_threshold_of_fixed_noise_this_is_the_linear_one():
    x = np.random.default_rng(0).normal(size=(50, 4)) * [2, 1, 1, 0.5]
    S, noise = np.cov(x.T, bias=True), 0.5
    model = BetaVAE(4, (3,), 2, beta=1.0, likelihood=Gaussian(sigma=noise**0.5))
    V = silent_variance(model.likelihood, x.mean(axis=0), np.diag(S))
    beta = np.linalg.eigvalsh(S)[-1] / noise  # LIN.8
    assert np.linalg.eigvalsh(S - beta * np.diag(V))[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("value", [0.8552472866241527, 0.1, 3.7])
def test_rounding_does_not_choose_among_equal_eigenvalues(value):
    """At beta = 1 with learned noise none of them is above the mean of all."""
    used, noise = linear_optimum(np.full(5, value), 2, 1.0)
    assert used.size == 0 and noise == pytest.approx(value, rel=EXACT)


# ---- figure, pencil, predict, then run ---------------------------------------------------------------


def test_the_figure_draws_the_note():
    drawn = figure(20)
    assert (drawn.EIGENVALUES == LAMBDA).all() and (drawn.Z, drawn.NOISE) == (Z, NOISE)
    for beta in (0.5, 3, 9):
        assert drawn.rates(beta) == pytest.approx(rates(beta * NOISE))


def test_pencil_fixed_noise():
    used, noise = linear_optimum(np.array([9.0, 4.0, 1.0]), 2, 2.0, 1.0)
    assert used.tolist() == [9, 4]
    R1, R2, v1, v2, squared, w1, w2 = numbers(
        r"\\log 4.5 = ([\d.]+)`\$ and \$`R_2 = .*?= ([\d.]+)`\$ nats, \$`\\sigma_1\^2 = (\d/\d)`\$ and \$`\\sigma_2\^2 = (\d/\d)`"
        r"\$, \$`\\delta\^2 = 2 \+ 2 \+ 1 = (\d)`.*?= ([\d.]+)`\$ and \$`.*?= ([\d.]+)`"
    )
    for printed, value in ((R1, np.log(9 / 2) / 2), (R2, np.log(4 / 2) / 2), (squared, 2 * 2 + 1), (w1, 7**0.5), (w2, 2**0.5)):
        assert agrees(printed, value)
    assert (v1, v2) == ("2/9", "1/2")  # tau / Lambda_j


def test_pencil_learned_noise():
    used, noise = linear_optimum(np.array([9.0, 4.0, 1.0]), 2, 1.5)
    assert used.tolist() == [9] and 4 < 1.5 * noise < 9
    first, second, printed = numbers(r"27 / 14 = ([\d.]+)`\$, latent 2 below \$`12 / 9 = ([\d.]+)`.*?5 / \(3 - 1.5\) = ([\d.]+)`")
    assert agrees(first, 27 / 14) and agrees(second, 12 / 9) and agrees(printed, noise)
    for threshold, count in ((27 / 14, 0), (12 / 9, 1)):
        assert len(linear_optimum(np.array([9.0, 4.0, 1.0]), 2, threshold * 1.001)[0]) == count
        assert len(linear_optimum(np.array([9.0, 4.0, 1.0]), 2, threshold * 0.999)[0]) == count + 1


def test_pencil_two_binary_pixels():
    x = np.array([[0.0, 0], [0, 0], [1, 1], [1, 1], [0, 1]] + [[1.0, 1], [1, 1], [0, 0], [0, 0], [1, 0]])  # equal in 8 of 10
    S, V = np.cov(x.T, bias=True), silent_variance(VAE(2, (), 1).likelihood, x.mean(axis=0), x.var(axis=0))
    assert S == pytest.approx(np.array([[0.25, 0.15], [0.15, 0.25]])) and V == pytest.approx(np.full(2, 0.25))
    (printed,) = numbers(r"up to \$`\\beta = 0.4 / 0.25 = ([\d.]+)`")
    for beta, pays in ((float(printed) - 0.01, True), (float(printed) + 0.01, False)):
        assert (np.linalg.eigvalsh(S - beta * np.diag(V))[-1] > 0) == pays


def test_pencil_turns():
    cost = {degrees: np.log(1 + 9 / 16 * np.sin(2 * np.radians(degrees)) ** 2) / 2 for degrees in (1, 10, 45)}
    worst, ten, per_cent = numbers(r"\(1 \+ 9/16\) = ([\d.]+) .*?20\^\\circ\) = ([\d.]+) \\, \\beta`\$, (\d+) per cent")
    assert agrees(worst, cost[45]) and agrees(ten, cost[10]) and agrees(per_cent, 100 * cost[10] / cost[45])
    assert cost[1] == pytest.approx(9 / 8 * np.radians(1) ** 2, rel=1e-2) and cost[1] < 0.0005


@pytest.mark.slow
def test_the_command():
    answer = joined(NOTE[NOTE.index("\nLearned: 1.3") :])
    tau = 1.3 * learned_noise(1.3)
    printed_noise, printed_tau = re.search(r"/ \(4 - 2.6\) = ([\d.]+)`\$, \$`\\tau = ([\d.]+)`", answer).groups()
    assert agrees(printed_noise, tau / 1.3) and agrees(printed_tau, tau)
    tau_C, beta_C = re.search(r"= ([\d.]+)`\$, so the KLs are.*?= ([\d.]+)`\$ \(less", answer, re.S).groups()
    assert agrees(tau_C, tau_of(1.0)) and agrees(beta_C, tau_of(1.0) / NOISE)
    pairs = re.findall(r"the KLs are ([\d.]+), ([\d.]+) and 0", answer)
    cases, lines = ((tau, tau / 1.3), (tau_of(1.0), NOISE)), printed_by(NOTE).splitlines()
    for (first, second), (at, noise), line in zip(pairs, cases, lines, strict=True):
        assert agrees(first, rates(at)[0]) and agrees(second, rates(at)[1]) and rates(at)[2] == 0
        measured = [float(number) for number in re.findall(r"[\d.]+", line)]
        # 0.03: what is printed is rounded to 0.005, and 200 draws of noise a step leave the parameters some 0.01 off
        assert measured == pytest.approx([*rates(at), noise], abs=0.03)

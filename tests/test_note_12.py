"""Promise: note 12's claims on the errors of the ELBO, on importance weights, quadrature hold; its pencil answers too."""

import itertools
import re

import numpy as np
import pytest
from helpers import agrees, figure, log_normal, note, numbers_of, printed_by, table, tables

from vae_from_scratch import VAE, Adam, Gaussian, datasets, evaluation, exact, fit, ops
from vae_from_scratch.engine import estimates
from vae_from_scratch.engine.estimates import few

NOTE = note(12)
numbers = numbers_of(NOTE)
LOG_P, POSTERIOR, WIDE, NARROW = log_normal(1, 0, 1.25), (0.8, 0.2), (0.3, 0.3), (0.8, 0.05)


def draws(q, n=1_000_000, seed=0):
    """log p(x|z) at x = 1 and the log weight, for n draws of z from q: the note's example."""
    z = q[0] + np.sqrt(q[1]) * np.random.default_rng(seed).standard_normal(n)
    log_x = log_normal(1.0, z, 0.25)
    return log_x, log_x + log_normal(z, 0, 1) - log_normal(z, *q)


def relative_variance(q, posterior=POSTERIOR):
    """IS.6."""
    (nu, Sigma), (m, variance) = posterior, q
    rest = 2 * variance - Sigma
    return variance / np.sqrt(Sigma * rest) * np.exp((nu - m) ** 2 / rest) - 1


def mean_and_error(each):
    return each.mean(), each.std() / np.sqrt(len(each))


# ---- the two errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["ERR.1 ERR.2"])
def test_the_spread_over_the_data_contains_the_noise_of_the_draws(equation):
    e, s = np.array([-3.0, 1.0, 0.5, 4.0]), np.array([0.3, 2.0, 0.1, 1.0])
    outcomes = e + s * np.array(list(itertools.product([-1, 1], repeat=4)))  # all outcomes of noise +-s_n
    assert outcomes.var(axis=1, ddof=1).mean() == pytest.approx(e.var(ddof=1) + (s**2).mean())
    assert outcomes.mean(axis=1).var() == pytest.approx((s**2).sum() / 4**2)


def test_worked_example_by_hand():
    x, W = np.array([1.0, 2.0, 3.0]), np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 1.0]])
    K = np.eye(3) + W.T @ W
    assert np.linalg.eigvalsh(K) == pytest.approx([1, 3, 4]) and x @ np.linalg.solve(K, x) == pytest.approx(10)
    V = np.linalg.inv(np.eye(2) + W @ W.T)
    assert V == pytest.approx(np.diag([1 / 3, 1 / 4])) and x @ W.T @ V == pytest.approx([1, 0.5])
    log_p, est3 = numbers(r"\\log 12 \+ 10\) = (-[\d.]+)`\$, and EST.3 is.*?= ([\d.]+)`")
    assert agrees(log_p, -(3 * np.log(2 * np.pi) + np.linalg.slogdet(K)[1] + 10) / 2)
    variance, mu = np.diag(V), np.array([1, 0.5])
    assert agrees(est3, ((variance - 1) ** 2 / 2 + mu**2 * variance).sum())


def of_the_example(W, variance):
    """The linear model of the worked example, with another decoder or another order of its latents."""
    model = VAE(3, (), 2, likelihood=Gaussian(sigma=1.0), dtype="float64")
    model.params["decoder_W1"] = W
    model.params["encoder_W1"] = np.concatenate([model.params["decoder_W1"].T * variance, np.zeros((3, 2))], axis=1)
    model.params["encoder_b1"] = np.concatenate([np.zeros(2), np.log(variance)])
    return model


def test_one_seed_is_the_same_noise_for_two_models():
    """So the difference of two ELBOs is known better than each: the numbers below the doctest, from 2000 draws of the noise."""
    W, variance, rng = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 1.0]]), np.array([1 / 3, 1 / 4]), np.random.default_rng(0)
    x = rng.normal(size=(50, 2)) @ W + rng.normal(size=(50, 3))
    eps, rows = rng.normal(size=(2000 * 50, 2)), np.tile(x, (2000, 1))

    def errors(model):
        mu, logvar = model.encode(rows)
        return -model.recon_nll(rows, ops.reparameterize_forward(mu, logvar, eps)).reshape(2000, 50).mean(axis=1)

    model, shrunk = of_the_example(W, variance), of_the_example(W, variance)
    shrunk.params["decoder_W1"] = 0.8 * W
    one = errors(model)
    printed = numbers(r"its correlation with itself is only (\d.\d)\. Change the signs of both instead, and it is (\d.\d)")
    for other, number in zip((of_the_example(W[::-1], variance[::-1]), of_the_example(-W, variance)), printed, strict=True):
        assert agrees(number, np.corrcoef(one, errors(other))[0, 1], 0.02)  # of 2000 draws: 1 / sqrt(2000)
    # evaluate: the same seed, the same draws
    assert evaluation.evaluate(model, x, seed=5).elbo == evaluation.evaluate(of_the_example(W, variance), x, seed=5).elbo
    both = errors(shrunk)
    independent = np.hypot(one.std(), both.std())
    assert (one - both).std() < 0.3 * independent and np.corrcoef(one, both)[0, 1] > 0.9


# ---- importance sampling -----------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["IS.4"])
def test_leaving_one_out(equation):
    w = np.random.default_rng(0).lognormal(size=(1000, 6))
    without = np.stack([np.delete(w, i, axis=1).mean(axis=1) for i in range(6)], axis=1)
    assert without.mean(axis=1) == pytest.approx(w.mean(axis=1))
    assert (np.log(w.mean(axis=1)) >= np.log(without).mean(axis=1)).all()  # for every set of weights
    bounds = [mean_and_error(ops.log_mean_exp(draws(WIDE)[1].reshape(-1, K)))[0] for K in (1, 2, 4, 5, 8, 10)]
    assert (np.diff(bounds) > 0).all() and bounds[-1] < LOG_P


@pytest.mark.parametrize("equation", ["IS.5"])
def test_bias_and_noise_of_the_log_of_a_mean(equation):
    v = relative_variance(WIDE)
    for K in (50, 200):
        each = ops.log_mean_exp(draws(WIDE)[1].reshape(-1, K)) - LOG_P
        assert each.std() == pytest.approx(np.sqrt(v / K), rel=0.05)
        quiet = each - (np.exp(each) - 1)  # E[w] / p - 1 = 0: the same mean, less noise
        assert quiet.mean() == pytest.approx(-v / (2 * K), rel=0.1)


@pytest.mark.parametrize("equation", ["IS.6"])
@pytest.mark.parametrize("q", [WIDE, (0.8, 0.2), (1.5, 0.15), (0.0, 2.0)])
def test_the_variance_of_a_weight(equation, q):
    z = np.linspace(-30, 30, 200_001)
    integral = np.exp(2 * log_normal(z, *POSTERIOR) - log_normal(z, *q)).sum() * (z[1] - z[0])
    assert 1 + relative_variance(q) == pytest.approx(integral, rel=1e-9)


def test_a_narrow_q_has_weights_without_variance():
    for variance, grows in ((0.099, True), (0.101, False)):  # half the posterior's is 0.1
        tails = [2 * log_normal(z, *POSTERIOR) - log_normal(z, 0.8, variance) for z in (20.0, 40.0)]
        assert (tails[1] > tails[0]) == grows


def test_a_mean_that_is_off():
    gap = 4.0
    m = 0.8 - np.sqrt(2 * gap * 0.2)
    assert np.log1p(relative_variance((m, 0.2))) == pytest.approx(2 * gap)
    four, eight = numbers(r"`1 \+ v = e\^8 = (\d+)`\$, at 8 nats \$`e\^\{16\} = ([\d.]+) \\cdot 10\^6`")
    assert agrees(four, np.exp(8)) and agrees(eight, np.exp(16) / 1e6)
    left = numbers(r"these gaps is ([\d.]+) and ([\d.]+) nats")
    rng = np.random.default_rng(0)
    for gap, printed in zip((4.0, 8.0), left, strict=True):
        log_w = (rng.standard_normal((1000, 5000), np.float32) * np.sqrt(2 * gap, dtype=np.float32)) - np.float32(gap)
        each, error = mean_and_error(ops.log_mean_exp(log_w))
        assert agrees(printed, -each, 4 * error)
        if gap == 4:
            printed_median, flat = numbers(r"draws is (\d+), and \$`K / \(1 \+ v\)`\$ is (\d+\.\d+)")
            assert agrees(printed_median, np.median(evaluation.effective_samples(log_w)), 2)  # the median of 1000: +- 1
            assert agrees(flat, 5000 / np.exp(8))


def test_the_table_of_two_encoders():
    assert agrees(*numbers(r"with \$`v = ([\d.]+)`\$\. Narrow"), relative_variance(WIDE))
    rows = {
        name: [cell.strip() for cell in cells.split("|")]
        for name, cells in re.findall(r"^\| (wide|narrow|\$`-v / \(2K\)`\$|\$`K`\$) \| (.*) \|$", NOTE, re.M)
    }
    samples = [int(cell) for cell in rows["$`K`$"]]
    assert samples == [1, 2, 5, 10, 100]
    for name, q in (("wide", WIDE), ("narrow", NARROW)):
        _, log_w = draws(q)
        for K, printed in zip(samples, rows[name], strict=True):
            each, error = mean_and_error(ops.log_mean_exp(log_w.reshape(-1, K)) - LOG_P)
            assert agrees(printed, each, 3 * error), (name, K, each)
    for K, printed in zip(samples, rows["$`-v / (2K)`$"], strict=True):
        assert agrees(printed, -relative_variance(WIDE) / (2 * K))


@pytest.mark.parametrize("equation", ["IS.7 IS.8"])
def test_error_and_effective_samples(equation):
    w = np.random.default_rng(0).lognormal(size=(3, 40))
    error, effective = evaluation.log_mean_exp_error(np.log(w)), evaluation.effective_samples(np.log(w))
    relative = w / w.mean(axis=1, keepdims=True) - 1
    assert error == pytest.approx(np.sqrt((relative**2).sum(axis=1) / (40 * 39)))
    assert effective == pytest.approx(w.sum(axis=1) ** 2 / (w**2).sum(axis=1))
    assert error**2 == pytest.approx((40 / effective - 1) / 39)
    assert evaluation.effective_samples(np.array([0.0, -1000.0])) == pytest.approx(1)
    equal = np.full(7, 800.0)
    assert evaluation.effective_samples(equal) == pytest.approx(7) and evaluation.log_mean_exp_error(equal) == 0


def test_few_effective_samples_miss_by_many_errors():
    log_w = -8 - 4 * np.random.default_rng(0).standard_normal((1000, 5000))  # log w / p = -|delta|^2 / 2 - delta eps
    for K, below, sampling, halving, effective in table(NOTE, "draws $`K`$"):
        part = log_w[:, : int(K.replace(",", ""))]
        first, second = np.split(part, 2, axis=1)
        bound, error = mean_and_error(ops.log_mean_exp(part))
        claimed = np.sqrt((evaluation.log_mean_exp_error(part) ** 2).sum()) / 1000
        assert agrees(below, -bound) and agrees(sampling, claimed) and -bound > 40 * claimed and error < 0.05
        rise = bound - (ops.log_mean_exp(first) + ops.log_mean_exp(second)).mean() / 2
        assert agrees(halving, rise) and 0.2 < rise / -bound < 0.3
        found = evaluation.effective_samples(part)
        assert agrees(effective, np.median(found)) and few(found, 5000).startswith("1000 of 1000 have under 100 effective samples")
    assert few(np.array([100.0, 400.0]), 5000) == "" and few(np.array([99.9, 100.0]), 5000).startswith("1 of 2 ")
    assert few(np.array([2.0, 1.9, 1.0]), 2).startswith("2 of 3 have under 2 effective") and few(np.ones(1), 1)
    assert few(np.array([47.0, 25.0]), 50) == "" and few(np.array([47.0, 24.9]), 50).startswith("1 of 2 have under 25 effective")


@pytest.mark.slow
def test_the_rule_finds_most_of_what_the_bound_misses_beside_quadrature():
    model, x = VAE(64, (128,), 2, likelihood=Gaussian("learned"), seed=0), datasets.digits("test")[np.arange(100)]
    fit(model, datasets.digits(), Adam(2e-3), epochs=100, progress=False)
    exact_, sampled = exact.quadrature(model, x, progress=False), evaluation.log_likelihood(model, x, 200, progress=False)
    missing, flagged = exact_.each - sampled.bound.each, sampled.effective_samples < estimates.FEW
    assert missing.mean() > 3 * sampled.bound.sampling_error
    assert flagged.mean() > 0.5 and missing[flagged].sum() > 0.9 * missing.sum()


@pytest.mark.parametrize("equation", ["IS.9"])
def test_the_closed_form_kl_inside_is_no_bound(equation):
    """The counterexample: it exceeds the exact log p(x), by what the note says."""
    kl = ops.gaussian_kl_forward(np.array([[0.8]]), np.log(np.array([[0.2]]))).item()
    limit = log_normal(1, 0.8, 0.45) - kl
    first, printed_kl, printed, above, at_ten = numbers(
        r"so the limit is \$`(-[\d.]+) - ([\d.]+) = (-[\d.]+)`\$, ([\d.]+) nats above.*?already ([\d.]+) above"
    )
    for number, value in ((first, limit + kl), (printed_kl, kl), (printed, limit), (above, limit - LOG_P)):
        assert agrees(number, value)
    log_x, log_w = draws(POSTERIOR)
    assert np.abs(log_w / LOG_P - 1).max() < 1e-10
    last = -np.inf
    for K in (1, 2, 5, 10, 100):
        wrong, error = mean_and_error(ops.log_mean_exp(log_x.reshape(-1, K)) - kl)
        assert last < wrong < limit + 4 * error
        assert wrong > LOG_P + 50 * error if K > 1 else abs(wrong - LOG_P) < 4 * error
        last = wrong
        if K == 10:
            assert agrees(at_ten, wrong - LOG_P, 3 * error)


@pytest.mark.parametrize("equation", ["IS.10"])
def test_inverse_weights_from_the_posterior_err_upward(equation):
    """The mean of 1/w is 1/p(x); the estimate falls with K and stays above log p(x); v has posterior and q exchanged."""
    rows = next(found for _, found in tables(NOTE) if "IS.10" in found[0][0])
    exchanged = numbers(r"For the example above, \$`v`\$ is ([\d.]+) with the wide \$`q`\$ and ([\d.]+) with")
    z, h = np.linspace(-30, 30, 200_001, retstep=True)
    drawn = 0.8 + np.sqrt(0.2) * np.random.default_rng(0).standard_normal(1_000_000)  # from the posterior
    for q, (name, *cells), printed_v in zip((WIDE, NARROW), rows, exchanged, strict=True):
        posterior, log_q = np.exp(log_normal(z, *POSTERIOR)), log_normal(z, *q)
        inverse = log_q - log_normal(1.0, z, 0.25) - log_normal(z, 0, 1)
        assert np.exp(log_normal(z, *POSTERIOR) + inverse).sum() * h == pytest.approx(np.exp(-LOG_P), rel=1e-9), name
        assert agrees(printed_v, relative_variance(POSTERIOR, q))
        divergence = (posterior * (log_normal(z, *POSTERIOR) - log_q)).sum() * h
        log_w, last = log_normal(1.0, drawn, 0.25) + log_normal(drawn, 0, 1) - log_normal(drawn, *q), np.inf
        for K, printed in zip((1, 2, 5, 10, 100), cells, strict=True):
            above, error = mean_and_error(-ops.log_mean_exp(-log_w.reshape(-1, K)) - LOG_P)
            assert agrees(printed, above, 3 * error) and 0 < above < last, (name, K)
            assert K > 1 or abs(above - divergence) < 4 * error
            last = above


# ---- quadrature --------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["QUAD.2"])
@pytest.mark.parametrize("c", [0.0, 0.2, 0.5])
def test_the_trapezoid_rule_on_a_gaussian(equation, c):
    s, g, k = 0.7, np.arange(-200, 201), np.arange(1, 20)
    for ratio in (0.5, 1.0, 1.5, 3.0):  # h / s
        h = ratio * s
        total = h * np.exp(log_normal(g * h + c * h, 0, s**2)).sum()
        series = 2 * (np.exp(-2 * (np.pi * k * s / h) ** 2) * np.cos(2 * np.pi * k * c)).sum()
        assert total - 1 == pytest.approx(series, abs=1e-14)
    assert 2 * np.exp(-2 * np.pi**2) == pytest.approx(5e-9, rel=0.1) and 2 * np.exp(-8 * np.pi**2) < 1e-16


# ---- figure, and predict, then run -------------------------------------------------------------------


def test_the_figure_draws_the_note():
    drawn = figure(12)
    assert drawn.LOG_P == pytest.approx(LOG_P) and (drawn.WIDE, drawn.NARROW) == (WIDE, NARROW)
    assert drawn.relative_variance(WIDE) == pytest.approx(relative_variance(WIDE))
    assert drawn.relative_variance(NARROW) == np.inf


def test_pencil_two_errors():
    standard, sampling = numbers(r"\\sqrt\{10000\} = ([\d.]+)`\$ and \$`5 / 100 = ([\d.]+)`")
    spread, without = numbers(r"\\sqrt\{144 - 25\} = ([\d.]+)`\$: ([\d.]+)\.")
    assert (float(standard), float(sampling)) == (12 / 100, 5 / 100)
    assert agrees(spread, np.sqrt(12**2 - 5**2)) and agrees(without, np.sqrt(12**2 - 5**2) / 100)


def test_pencil_five_weights():
    w = np.array([4.0, 1, 1, 1, 1])
    effective, square, error, squares = numbers(
        r"8\^2 / \(16 \+ 4\) = ([\d.]+)`\$\. IS.8: .*? / 4 = ([\d.]+)`\$, \$`\\mathrm\{se\} = ([\d.]+)`\$\. .*?add up to ([\d.]+),"
    )
    assert evaluation.effective_samples(np.log(w)) == pytest.approx(float(effective))
    assert evaluation.log_mean_exp_error(np.log(w)) == pytest.approx(float(error))
    assert agrees(square, float(error) ** 2) and float(squares) == ((w / w.mean() - 1) ** 2).sum()


def test_pencil_ten_latents():
    first, second, third = numbers(r"so \$`v`\$ is ([\d.]+), (0) and ([\d.]+)\.")
    for printed, c in ((first, 0.6), (second, 1.0), (third, 2.0)):
        assert agrees(printed, relative_variance((0.8, c * POSTERIOR[1])))
    c = np.linspace(0.51, 4, 1000)
    assert (c / np.sqrt(2 * c - 1) >= 1).all()
    ten, K = numbers(r"\^\{10\} = ([\d.]+)`\$, .*?gives about (\d+) draws")
    total = (1 + relative_variance((0.8, 0.6 * POSTERIOR[1]))) ** 10
    assert agrees(ten, total, 0.05) and float(K) == pytest.approx((total - 1) / 0.2, abs=2)


def test_pencil_two_values_of_a_weight():
    bound = r"\\log \\frac34 = (-[\d.]+)`\$\. "
    found = numbers(bound + "Two weights .*?" + bound + r".*?IS.5 says (-[\d.]+) and (-[\d.]+)\.")
    bounds = [np.mean([np.log(np.mean(w)) for w in itertools.product((0.5, 1.5), repeat=K)]) for K in (1, 2)]
    for printed, value in zip(found, (*bounds, -0.25 / 2, -0.25 / 4), strict=True):
        assert agrees(printed, value)


def test_the_command():
    first, second, third = printed_by(NOTE).splitlines()
    bound, off, claimed, effective = numbers(
        r"becomes about (-[\d.]+) at .*?By \$`-\\log 2 = (-[\d.]+)`.*?claims ([\d.]+), with .*? of ([\d,]+) of 5,000"
    )
    assert agrees("-1.431", float(first.split()[-1])) and agrees(bound, float(second.split()[-1]), 0.01)
    found = [float(number) for number in re.findall(r"-?\d+\.?\d*", third)]
    assert agrees(off, -np.log(2)) and found[0] == pytest.approx(-np.log(2), abs=0.01)
    assert agrees(claimed, found[1]) and found[2] == pytest.approx(float(effective.replace(",", "")), abs=50)

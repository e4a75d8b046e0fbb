"""Promise: note 18's claims on the total correlation from a batch hold: its values, what is biased which way, public mistakes."""

import functools
import inspect
import itertools
import re

import numpy as np
import pytest
from helpers import agrees, log_normal, note, printed_by, table

from vae_from_scratch import BetaTCVAE, ops
from vae_from_scratch.disentanglement.parts import kl_parts

NOTE = note(18)
CORNERS = np.array([[1, 1], [1, -1], [-1, 1], [-1.0, -1.0]])
LINE = np.array([-1.5, -0.5, 0.5, 1.5])
CODES = {  # mu and sigma of four data in two latents
    "aligned": (CORNERS, np.full((4, 2), 0.5)),
    "turned": (CORNERS @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2), np.full((4, 2), 0.5)),
    "line": (np.stack([LINE, 0 * LINE], axis=1), np.tile([0.25, 1.0], (4, 1))),
    "line twice": (np.stack([LINE, LINE], axis=1), np.full((4, 2), 0.25)),
    "far copies": (40 * np.stack([LINE, LINE], axis=1), np.full((4, 2), 0.25)),
}
NODES = np.arange(-4.2, 4.3, 0.6)  # evenly spaced: the logarithm of a mixture is not a polynomial, for which others are better
NOISE = np.stack(np.meshgrid(NODES, NODES), axis=-1).reshape(-1, 2)
NOISE = NOISE[(NOISE**2).sum(axis=1) < 20]
WEIGHTS = np.exp(-(NOISE**2).sum(axis=1) / 2)
WEIGHTS /= WEIGHTS.sum()
QUADRATURE = 5e-4  # nats, as seen against half the step


@functools.cache
def mean_parts(code, size=4, stratified=True, forward=None, orders=None):
    """The estimated parts of a code, averaged over all batches of a size (or over orders) and, by quadrature, over the noise."""
    mu, std = CODES[code]
    forward, total = forward or ops.batch_parts_forward, 0
    batches = [list(rows) for rows in orders or itertools.combinations(range(4), size)]
    for rows in batches:
        for eps, weight in zip(NOISE, WEIGHTS):
            z = mu[rows] + std[rows] * eps
            total = total + weight * forward(mu[rows], 2 * np.log(std[rows]), z, 4, stratified).mean(axis=0)
    return total / len(batches)


def some_code(rng, n=5, latents=3):
    mu, logvar = rng.normal(size=(n, latents)), rng.normal(size=(n, latents)) - 1
    return mu, logvar, rng.normal(size=(n, latents))


def log_weights(n, n_train, stratified):
    own, other = ops.log_batch_weights(n, n_train, stratified, np.dtype(float))
    return np.where(np.eye(n, dtype=bool), own, other)


# ---- values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["TC.21"])
@pytest.mark.parametrize(
    "code, exact",
    [
        ("aligned", (1.2654, 0.0, 0.3709)),
        ("turned", (1.2654, 0.2742, 0.0966)),
        ("line", (1.2957, 0.0, 0.2469)),
        ("line twice", (1.3764, 1.2149, 0.4938)),
        ("far copies", (np.log(4), np.log(4), None)),
    ],
)
def test_with_all_data_in_the_batch_the_parts_are_exact(equation, code, exact):
    found, weighted = mean_parts(code), mean_parts(code, stratified=False)
    split = kl_parts(CODES[code][0], 2 * np.log(CODES[code][1]), np.random.default_rng(0), samples=2000)
    for known, estimate in zip(exact, found):
        assert known is None or estimate == pytest.approx(known, abs=QUADRATURE)
    noise = 4 * split.standard_error + QUADRATURE
    assert found[:2] == pytest.approx([split.mutual_information, split.total_correlation], abs=noise)
    assert found[2] == pytest.approx(split.dimension_wise.sum(), abs=QUADRATURE)
    assert found.sum() == pytest.approx(split.kl, abs=QUADRATURE)
    assert weighted - found == pytest.approx(np.log(4) * np.array([1, 1, -2]), abs=1e-9)  # TC.21 at Z = 2


def test_aligned_has_no_total_correlation_in_any_draw():
    mu, std = CODES["aligned"]
    z = mu + std * np.random.default_rng(0).normal(size=(50, 4, 2))
    assert max(abs(ops.batch_parts_forward(mu, 2 * np.log(std), one, 4, True)[:, 1]).max() for one in z) < 1e-12


def test_the_parts_are_what_their_definition_says():
    """Written once more, with densities and without a log-sum-exp."""
    mu, logvar, z = some_code(np.random.default_rng(0))
    each = np.exp(log_normal(z[:, None], mu, np.exp(logvar)))  # (n, m, j)
    c = np.full((5, 5), 11 / (12 * 4))
    np.fill_diagonal(c, 1 / 12)
    q, q_j = (c * each.prod(axis=2)).sum(axis=1), (c[:, :, None] * each).sum(axis=1)
    own, prior = each[range(5), range(5)].prod(axis=1), np.exp(log_normal(z, 0.0, 1.0)).prod(axis=1)
    expected = np.log([own / q, q / q_j.prod(axis=1), q_j.prod(axis=1) / prior]).T
    np.testing.assert_allclose(ops.batch_parts_forward(mu, logvar, z, 12, True), expected, rtol=1e-12, atol=1e-12)


def test_table_of_estimates():
    rows, exact = table(NOTE, "weights | batch"), CODES["turned"]
    split = kl_parts(exact[0], 2 * np.log(exact[1]), np.random.default_rng(0), samples=8000)
    for weights, batch, *printed in rows:
        if weights == "exact":
            values, error = (split.mutual_information, split.total_correlation, split.dimension_wise.sum()), split.standard_error
        else:
            values, error = mean_parts("turned", int(batch), weights == "stratified"), QUADRATURE
        assert all(agrees(number, value, error) for number, value in zip(printed, values, strict=True)), (weights, batch, values)
    said = re.search(r"estimate says ([\d.]+), ([\d.]+) and ([\d.]+)\. With", NOTE).groups()
    assert all(agrees(number, mean_parts("aligned", size)[1], QUADRATURE) for number, size in zip(said, (2, 3, 4)))


@pytest.mark.parametrize("equation", ["TC.12"])
def test_the_sum_is_the_sampled_kl_whatever_the_weights(equation):
    mu, logvar, _ = some_code(np.random.default_rng(0))
    eps = np.random.default_rng(1).normal(size=mu.shape)
    z = ops.reparameterize_forward(mu, logvar, eps)
    sampled = ops.log_weight(np.zeros(5), z, logvar, eps)  # log p(z) - log q(z|x)
    for n_train, stratified in ((7, True), (7, False), (737_280, True)):
        parts = ops.batch_parts_forward(mu, logvar, z, n_train, stratified)
        np.testing.assert_allclose(parts.sum(axis=1), -sampled, rtol=1e-12)


@pytest.mark.parametrize("equation", ["TC.6"])
def test_the_penalty_is_the_priced_parts_in_the_mean_over_the_noise(equation):
    mu, std = CODES["turned"]
    prices = {"alpha": 0.3, "beta": 5.0, "gamma": 2.0}
    model, logvar, total = BetaTCVAE(7, (), 2, n_train=4, dtype="float64", backend="numpy", **prices), 2 * np.log(std), 0
    for eps, weight in zip(NOISE, WEIGHTS):
        z = mu + std * eps
        total += weight * model.penalty_forward(ops.gaussian_kl_forward(mu, logvar), mu, logvar, z)
    assert total == pytest.approx(np.dot(list(prices.values()), mean_parts("turned")), abs=QUADRATURE)


# ---- unbiased, and biased ------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["TC.9 TC.20"])
@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_mean_over_all_batches(equation, size):
    """The density is right, for the joint and for each latent; its logarithm is too low."""
    mu, logvar, z = some_code(np.random.default_rng(3))
    densities = [log_normal(z[:, None], mu, np.exp(logvar)).sum(axis=2)]
    densities += [log_normal(z[:, None, j], mu[:, j], np.exp(logvar[:, j])) for j in range(3)]
    c = np.exp(log_weights(size, 5, True))
    assert c.sum(axis=1) == pytest.approx(np.ones(size), rel=1e-12)
    for each in map(np.exp, densities):  # (n, m) over the five data
        for n in range(5):
            estimates = [
                c[rows.index(n)] @ each[n, list(rows)] for rows in itertools.combinations(range(5), size) if n in rows
            ]
            assert np.mean(estimates) == pytest.approx(each[n].mean(), rel=1e-12)
            assert np.mean(np.log(estimates)) <= np.log(each[n].mean()) + 1e-12
    if size == 5:
        assert np.ptp(c) < 1e-12  # exact with all of them


def test_information_stays_below_the_logarithm_of_the_data():
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(size=(6, 4)), np.full((6, 4), -9.0)
    z = ops.reparameterize_forward(mu, logvar, rng.normal(size=(6, 4)))
    assert (ops.batch_parts_forward(mu, logvar, z, 50, True)[:, 0] <= np.log(50) + 1e-12).all()


def singled_out(n, n_train):
    """The weights of Chen et al. for one own example, and each choice of the one other that is singled out."""
    M = n - 1
    for one in range(M):
        others = np.full(M, 1 / M)
        others[one] = (n_train - M) / (n_train * M)
        yield np.array([1 / n_train, *others])


def test_our_weights_are_the_mean_of_the_papers():
    for n, n_train in ((2, 9), (4, 10), (4, 4), (6, 1000)):
        ours, theirs = np.exp(log_weights(n, n_train, True))[0], list(singled_out(n, n_train))
        assert np.mean(theirs, axis=0) == pytest.approx(ours, rel=1e-12)
        each = np.random.default_rng(0).gamma(0.5, size=n)
        assert np.mean(np.log(theirs @ each)) <= np.log(ours @ each) + 1e-12
    (theirs, *_), answer = singled_out(4, 10), NOTE[NOTE.index("1. Ours:") :]
    assert agrees(re.search(r"7 / 30 = ([\d.]+)", answer)[1], min(theirs[1:])) and agrees("0.333", max(theirs))
    assert agrees(re.search(r"9 / 30 = ([\d.]+)", answer)[1], np.exp(log_weights(4, 10, True))[0, 1])


def test_training_values_are_no_total_correlations():
    rng = np.random.default_rng(0)
    for sigma, batch, *printed in table(NOTE, r"$`\sigma`$ | batch"):
        sigma, batch = float(sigma), int(batch)
        for number, stratified in zip(printed, (True, False), strict=True):
            found = []
            for _ in range(1200 // batch):
                mu = np.sqrt(1 - sigma**2) * rng.normal(size=(batch, 10))
                z = mu + sigma * rng.normal(size=mu.shape)
                found.append(ops.batch_parts_forward(mu, np.full_like(mu, 2 * np.log(sigma)), z, 737_280, stratified)[:, 1].mean())
            assert agrees(number, np.mean(found), 0.35), (sigma, batch, np.mean(found))  # 2 to 18 batches
    said = re.search(r"5 = ([\d.]+)`\$ nats.*?737280 = ([\d.]+)`\$.*?difference, ([\d.]+) nats", NOTE, re.S)
    each, most, left = map(float, said.groups())
    assert agrees(f"{each}", 10 * np.log(5)) and agrees(f"{most}", np.log(737_280)) and agrees(f"{left}", 10 * np.log(5) - np.log(737_280))


def test_a_set_of_data_has_total_correlation_of_its_own():
    """Third problem, at a size that kl_parts can do: independent latents, and more information in each than all can hold."""
    rng = np.random.default_rng(0)
    mu = np.sqrt(1 - 0.2**2) * rng.normal(size=(100, 10))
    split = kl_parts(mu, np.full_like(mu, 2 * np.log(0.2)), rng, samples=300)
    assert split.information.sum() == pytest.approx(10 * np.log(5), abs=1.5)  # 100 draws are not quite N(0, 1)
    assert split.total_correlation == pytest.approx(split.information.sum() - np.log(100), abs=0.1)
    (answer,) = re.search(r"log 1000 = ([\d.]+)`", NOTE).groups()
    assert agrees(answer, 10 * np.log(5) - np.log(1000))


# ---- gradients -----------------------------------------------------------------------------------------


def whole_gradients(backward, n=6):
    """mu, and the gradients of the mean total correlation in mu and logvar, those through z included."""
    rng = np.random.default_rng(5)
    mu, logvar, eps = rng.normal(size=(3, n, 3))
    z = ops.reparameterize_forward(mu, logvar, eps)
    dparts = np.tile([0, 1 / n, 0], (n, 1))
    dmu, dlogvar, dz = backward(dparts, mu, logvar, z, 50, True)
    of_z = ops.reparameterize_backward(dz, logvar, eps)
    return mu, dmu + of_z[0], dlogvar + of_z[1]


def check_shift_and_stretch(backward):
    mu, dmu, dlogvar = whole_gradients(backward)
    assert abs(dmu).max() > 1e-3 and abs(dmu.sum(axis=0)).max() < 1e-12
    assert abs((mu * dmu + 2 * dlogvar).sum(axis=0)).max() < 1e-12


@pytest.mark.parametrize("equation", ["TC.19"])
def test_shifting_or_stretching_a_latent_changes_no_total_correlation(equation):
    check_shift_and_stretch(ops.batch_parts_backward)


def test_gradients_do_not_see_a_factor_in_the_weights():
    """Of the weighted estimate, n_train is such a factor."""
    mu, logvar, z = some_code(np.random.default_rng(0))
    dparts = np.random.default_rng(1).normal(size=(5, 3))
    few, many = (ops.batch_parts_backward(dparts, mu, logvar, z, n_train, False) for n_train in (5, 10**6))
    for one, other in zip(few, many):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


# ---- what goes wrong in public code --------------------------------------------------------------------


def mutant(function, *edits, **globals_):
    """A function of ops with pieces of its source replaced, and names that it finds."""
    source = inspect.getsource(function)
    for old, new in edits:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    scope = {**vars(ops), **globals_}
    exec(source, scope)
    return scope[function.__name__]


def columns(z, n_train, stratified):
    """The matrix as it was published: a stride of N through its entries, where N + 1 was meant."""
    n = len(z)
    W, other = np.full((n, n), 1 / (n - 1)), (n_train - (n - 1)) / (n_train * (n - 1))
    W.reshape(-1)[::n], W.reshape(-1)[1::n], W[n - 2, 0] = 1 / n_train, other, other
    return np.log(W)


ONCE = ("log_q_z = log_q_z + log_q ", "log_q_z = log_q_z + log_c * (j > 0) + log_q ")
ORDERS = ((0, 3, 1, 2), (0, 1, 3, 2), (0, 1, 2, 3))  # by the symmetry of a square, the mean over all 24 is that over these
MISTAKES = {
    "none": ops.batch_parts_forward,
    "weights in columns, not on the diagonal": mutant(ops.batch_parts_forward, _spread_weights=columns),
    "and counted once for each latent": mutant(ops.batch_parts_forward, ONCE, _spread_weights=columns),
    "no weights at all": mutant(ops.batch_parts_forward, _spread_weights=lambda z, *_: np.zeros((len(z), len(z)))),
}


def test_table_of_mistakes():
    rows = table(NOTE, "mistake |")
    assert [row[0] for row in rows] == list(MISTAKES)
    for mistake, *printed in rows:
        found = mean_parts("turned", forward=MISTAKES[mistake], orders=ORDERS)
        assert all(agrees(number, value, QUADRATURE) for number, value in zip(printed, found, strict=True)), (mistake, found)
        exact = found == pytest.approx((1.2654, 0.2742, 0.0966), abs=QUADRATURE)
        assert exact == (mistake == "none"), f"{mistake}: nothing of it would be seen"
    assert np.exp(columns(np.zeros((4, 2)), 4, True)).sum(axis=1).round(2).tolist() == [1, 1, 0.83, 1]


def check_underflow(forward):
    z = np.random.default_rng(0).normal(size=(4, 200)).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = forward(0 * z, 0 * z, z, 4, True)  # q is the prior everywhere: all parts are 0
    assert abs(parts).max() < 1e-3


def test_densities_too_small_for_float32():
    check_underflow(ops.batch_parts_forward)
    with pytest.raises(AssertionError):
        check_underflow(mutant(ops.batch_parts_forward, _log_sum_exp=lambda a: np.log(np.exp(a).sum(axis=1))))


def test_a_batch_held_constant_is_found_out():
    # detached: mu and logvar get only what flows through their own log q(z_n|x_n), of which total correlation has none
    detached = mutant(
        ops.batch_parts_backward,
        ("dmu[:, j] = (dlog_q * u).sum(axis=0)", "dmu[:, j] = np.diagonal(dinformation * same * u)"),
    )
    with pytest.raises(AssertionError):
        check_shift_and_stretch(detached)


# ---- predict, then run ---------------------------------------------------------------------------------


def test_far_copies():
    stratified, weighted = (np.array(re.findall(r"[\d.]+\d", line), float) for line in printed_by(NOTE).splitlines())
    answer = NOTE[NOTE.index("2. $`z`$ says which") :]
    four, eight = (re.search(rf"\\log {n} = ([\d.]+)", answer)[1] for n in (4, 8))
    assert stratified == pytest.approx([float(four)] * 2) and agrees(four, np.log(4))
    assert weighted == pytest.approx([float(eight)] * 2) and agrees(eight, np.log(8))

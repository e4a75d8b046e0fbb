"""Promise: note 10's claims on rate and distortion, the parts of the KL, overlap, axes and the capacity hold."""

import itertools
import re

import numpy as np
import pytest
from helpers import agrees, figure, kl_normal, log_normal, note, numbers_of, printed_by, table
from linear_case import (
    LAMBDA, NOISE, D, Z, distortion, flat, is_a_minimum, linear, linear_data, perturbed, put, put_optimum, rates, tau_of, with_all_noise,
)  # fmt: skip

from vae_from_scratch import VAE, Autoencoder, BetaVAE, CapacityVAE, ops
from vae_from_scratch.likelihoods import Gaussian

NOTE = note(10)
numbers = numbers_of(NOTE)
EXACT = 1e-12  # relative: a few hundred operations in double precision (2e-16 each)


# ---- rate, distortion, the multiplier ----------------------------------------------------------------


@pytest.mark.parametrize("equation", ["RD.1 BETA.1 CAP.1"])
def test_the_loss_is_distortion_plus_what_the_rate_costs(equation):
    rng = np.random.default_rng(0)
    x, _ = linear_data()
    W, b, A, a, logvar = (rng.normal(size=shape) for shape in ((Z, D), D, (D, Z), Z, Z))
    mu, var = x @ A + a, np.exp(logvar)
    R = (mu**2 + var - 1 - logvar).sum() / 2 / len(x)
    delta2 = ((x - mu @ W - b) ** 2).sum() / len(x) + (var * (W**2).sum(axis=1)).sum()
    Delta = D / 2 * np.log(2 * np.pi * NOISE) + delta2 / (2 * NOISE)
    for model, penalty in (
        (linear(VAE), R),
        (linear(beta=3.7), 3.7 * R),
        (linear(CapacityVAE, gamma=10, capacity=R + 2), 20),
        (linear(CapacityVAE, gamma=10, capacity=R - 2), 20),
    ):
        put(model, W, b, A, a, logvar)
        terms = model.loss(*with_all_noise(x))
        assert (terms.recon_nll, terms.kl, terms.loss) == pytest.approx((Delta, R, Delta + penalty), rel=EXACT)


@pytest.mark.parametrize("equation", ["BETA.2"])
def test_the_gradient_is_linear_in_beta(equation):
    x, eps = np.random.default_rng(0).normal(size=(2, 3, 2))
    same = {"data_dim": 2, "hidden": (5,), "latent_dim": 2, "likelihood": Gaussian(), "dtype": "float64"}
    at = {beta: flat(BetaVAE(**same, beta=beta).loss_and_grads(x, eps)[1]) for beta in (0, 1, 4)}
    assert at[4] == pytest.approx(at[0] + 4 * (at[1] - at[0]), abs=EXACT * abs(at[4]).max())
    assert abs(at[1] - at[0]).max() > 0.01  # the KL does have a gradient here
    assert (at[1] == flat(VAE(**same).loss_and_grads(x, eps)[1])).all()


@pytest.mark.parametrize("equation", ["RD.2"])
def test_gradients_of_rate_and_distortion_oppose_at_the_optimum(equation):
    x, U = linear_data()
    batch, beta = with_all_noise(x), 1.7
    zero, one = linear(beta=0), linear(beta=1)
    for model in (zero, one):
        put_optimum(model, x, U, beta * NOISE)
    terms, grads = zero.loss_and_grads(*batch)
    dDelta = flat(grads)
    dR = flat(one.loss_and_grads(*batch)[1]) - dDelta
    assert np.linalg.norm(dR) > 0.1
    assert dDelta == pytest.approx(-beta * dR, abs=1e-11)  # entries of size 10, with cancellation
    # nothing else within the budget has less distortion
    rng, saved, within = np.random.default_rng(1), dict(zero.params), 0
    for size in np.geomspace(1e-3, 0.3, 200):
        zero.params = perturbed(zero, rng, size)
        other, zero.params = zero.loss(*batch), saved
        if other.kl <= terms.kl:
            within += 1
            assert other.recon_nll > terms.recon_nll
    assert within > 20


@pytest.mark.parametrize("equation", ["RD.3 RD.4"])
def test_beta_is_the_slope_of_the_curve(equation):
    betas = np.geomspace(0.2, 7.9, 40)  # LIN.6 and LIN.7 are checked against the model below
    R, Delta = (np.array([f(beta * NOISE) for beta in betas]) for f in (lambda tau: rates(tau).sum(), distortion))
    assert (np.subtract.outer(betas, betas) * np.subtract.outer(R, R) <= 0).all() and (np.diff(Delta) > 0).all()
    slopes = np.diff(Delta) / np.diff(R)  # each chord lies between the slopes at its ends, as the note derives
    assert (-betas[1:] < slopes).all() and (slopes < -betas[:-1]).all()


# ---- what beta means ---------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["RD.5"])
@pytest.mark.parametrize("mean", ["linear", "sigmoid"])
def test_only_beta_times_the_noise_matters(equation, mean):
    x, eps = np.random.default_rng(0).normal(size=(2, 3, 2))
    scaled = []
    for sigma in (0.5, 1.0, 3.0):
        model = BetaVAE(2, (5,), 2, beta=2 / sigma**2, likelihood=Gaussian(sigma=sigma, mean=mean), dtype="float64")
        terms, grads = model.loss_and_grads(x, eps)
        squared = (2 * ops.squared_error_forward(model.decode(eps_to_z(model, x, eps)), x)).mean()
        rest = sigma**2 * 2 / 2 * np.log(2 * np.pi * sigma**2)  # D = 2
        assert sigma**2 * terms.loss == pytest.approx(squared / 2 + 2 * terms.kl + rest, rel=EXACT)
        scaled.append(sigma**2 * flat(grads))
    for other in scaled[1:]:
        assert other == pytest.approx(scaled[0], abs=EXACT * abs(scaled[0]).max())


def eps_to_z(model, x, eps):
    mu, logvar = model.encode(x)
    return ops.reparameterize_forward(mu, logvar, eps)


@pytest.mark.parametrize("equation", ["RD.6"])
def test_means_over_pixels_and_latents_are_a_beta(equation):
    x, eps = np.random.default_rng(0).normal(size=(2, 6, 5))
    beta_norm = 0.3
    model = BetaVAE(5, (7,), 3, beta=beta_norm * 5 / 3, likelihood=Gaussian(), dtype="float64")
    eps = eps[:, :3]
    x_mean, r = model.decode(eps_to_z(model, x, eps)), np.zeros((6, 5))
    recon_mean = np.mean((np.log(2 * np.pi) + r + (x - x_mean) ** 2) / 2)
    kl_mean = ops.gaussian_kl_per_latent(*model.encode(x)).mean()
    assert model.loss(x, eps).loss / 5 == pytest.approx(recon_mean + beta_norm * kl_mean, rel=EXACT)


@pytest.mark.parametrize("equation", ["RD.7"])
def test_noise_stays_at_beta_zero(equation):
    rng = np.random.default_rng(0)
    x, _ = linear_data()
    W, b, A, a, logvar = (rng.normal(size=shape) for shape in ((Z, D), D, (D, Z), Z, Z))
    silent = linear(Autoencoder)
    for name, value in {"encoder_W1": A, "encoder_b1": a, "decoder_W1": W, "decoder_b1": b}.items():
        silent.params[name][...] = value
    floor = silent.loss(x).loss
    model = linear(beta=0)
    put(model, W, b, A, a, logvar)
    assert model.loss(x, np.zeros((len(x), Z))).loss == pytest.approx(floor, rel=EXACT)  # the autoencoder is eps = 0
    noise_term = (np.exp(logvar) * (W**2).sum(axis=1)).sum() / (2 * NOISE)
    kl = []
    for c in (1, 10, 100):
        put(model, W / c, b, c * A, c * a, logvar)
        terms = model.loss(*with_all_noise(x))
        assert terms.loss == pytest.approx(floor + noise_term / c**2, rel=EXACT)
        kl.append(terms.kl)
    put(model, W, b, A, a, logvar - 20)
    terms = model.loss(*with_all_noise(x))
    assert terms.loss == pytest.approx(floor + noise_term * np.exp(-20), rel=EXACT)
    assert kl[0] < kl[1] < kl[2] and terms.kl > kl[0]  # both ways down cost rate


# ---- the parts of the rate ---------------------------------------------------------------------------

GRID, STEP = np.linspace(-9, 9, 181, retstep=True)
# The trapezium rule on step h errs by exp(-2 (pi sigma / h)^2) for a Gaussian of width sigma: nothing at 2.5 h.  The
# logarithm of a mixture has singularities off the real line, which cost more: at sigma >= 0.25, 1e-10 was seen.
QUADRATURE = 1e-8


def posteriors(mu, std):
    """The density of each latent of each datum on the grid, (N, Z, grid)."""
    return np.exp(log_normal(GRID, mu[:, :, None], std[:, :, None] ** 2))


def kl_on_grid(q, p):
    """sum q log(q / p), with 0 log 0 = 0."""
    inside = q > 1e-250
    return (q[inside] * (np.log(q[inside]) - np.log(p[inside]))).sum()


def parts(mu, std):
    """Rate, mutual information, KL(q(z) || p(z)), total correlation, dimension-wise KL: each from its definition."""
    each = posteriors(mu, std)
    prior = np.exp(log_normal(GRID, 0, 1))
    n, latents = mu.shape
    outer = (lambda a: a[0]) if latents == 1 else (lambda a: np.multiply.outer(a[0], a[1]))
    joint = [outer(q) for q in each]
    q_z, q_j = np.mean(joint, axis=0), each.mean(axis=0)
    cell = STEP**latents
    return {
        "rate": ops.gaussian_kl_forward(mu, 2 * np.log(std)).mean(),
        "mutual information": np.mean([kl_on_grid(q, q_z) for q in joint]) * cell,
        "to prior": kl_on_grid(q_z, outer([prior] * latents)) * cell,
        "total correlation": kl_on_grid(q_z, outer(q_j)) * cell,
        "dimension-wise KL": sum(kl_on_grid(q, prior) for q in q_j) * STEP,
    }


TURN = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)  # by 45 degrees


@pytest.mark.parametrize("equation", ["TC.1 TC.2"])
@pytest.mark.parametrize("latents", [1, 2])
def test_the_rate_splits(equation, latents):
    rng = np.random.default_rng(latents)
    split = parts(rng.normal(size=(5, latents)), rng.uniform(0.25, 1.2, size=(5, latents)))
    rate, information, to_prior, correlation, by_dimension = split.values()
    assert rate == pytest.approx(information + to_prior, abs=QUADRATURE)
    assert to_prior == pytest.approx(correlation + by_dimension, abs=QUADRATURE)
    assert 0 < information < np.log(5) and by_dimension > 0
    assert correlation > 0.01 if latents == 2 else abs(correlation) < QUADRATURE


def test_three_encoders_of_four_data():
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1.0, -1.0]])
    line = np.array([[z, 0] for z in (-1.5, -0.5, 0.5, 1.5)])
    encoders = {
        "aligned": (corners, np.full((4, 2), 0.5)),
        "turned": (corners @ TURN, np.full((4, 2), 0.5)),
        "one line": (line, np.tile([0.25, 1.0], (4, 1))),
    }
    rows = table(NOTE, "encoder |")
    assert [row[0] for row in rows] == list(encoders)
    for name, *printed in rows:
        split = parts(*encoders[name])
        columns = "rate", "mutual information", "total correlation", "dimension-wise KL"
        for column, number in zip(columns, printed, strict=True):
            assert agrees(number, split[column]), (name, column, split[column])


# ---- what the bottleneck does ------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["RD.8 RD.9 IB.1"])
@pytest.mark.parametrize("seed", range(3))
def test_information_lies_between_entropy_minus_distortion_and_rate(equation, seed):
    rng = np.random.default_rng(seed)
    x = np.array(list(itertools.product([0.0, 1.0], repeat=3)))[rng.permutation(8)[:5]]  # 5 of the 8 images of 3 pixels
    mu, std = rng.normal(size=(5, 1)), rng.uniform(0.25, 0.8, size=(5, 1))
    beta, H = 2.5, np.log(5)
    split, each = parts(mu, std), posteriors(mu, std)[:, 0]
    q_z = each.mean(axis=0)
    logits = np.tanh(np.multiply.outer(GRID, rng.normal(size=4))) @ rng.normal(size=(4, 3))  # some decoder: (grid, 3)
    nll = np.array([ops.bernoulli_nll_forward(logits, np.broadcast_to(datum, logits.shape)) for datum in x])
    Delta = (each * nll).sum() * STEP / 5
    guess = each / (5 * np.maximum(q_z, 1e-300))  # q(x_n | z)
    decoder_gap = sum(kl_on_grid(q_z * g, q_z * np.exp(-l)) for g, l in zip(guess, nll)) * STEP
    information, R = split["mutual information"], split["rate"]
    assert Delta == pytest.approx(H - information + decoder_gap, abs=QUADRATURE)  # RD.8
    assert H - Delta < information < R  # RD.9
    total = H + (beta - 1) * information + decoder_gap + beta * split["to prior"]
    assert Delta + beta * R == pytest.approx(total, abs=10 * QUADRATURE)  # IB.1: beta times the error of each part


def test_information_may_rise_with_beta():
    """The family of two: posteriors are the prior restricted to sets of prior probability c, on the grid of quantiles."""
    cells, found = 10_000, {}
    for name, sets, c, right in (("far out", (0, 0, 1, 1), 0.02, 0.5), ("spread", (0, 1, 2, 3), 0.24, 0.02)):
        q = np.zeros((4, cells))  # density relative to the prior, on cells of equal prior probability
        for n, each in enumerate(sets):
            q[n, each * round(c * cells) : (each + 1) * round(c * cells)] = 1 / c
        q_z = q.mean(axis=0)
        assert (q.mean(axis=1) == pytest.approx(1)) and len({*sets}) * c < 1
        inside = q > 0
        R, I = (np.where(inside, q * np.log(np.where(inside, q, 1) / ref), 0).mean() for ref in (1, np.where(q_z > 0, q_z, 1)))
        found[name] = (R, I, -np.log(right))
    rows = table(NOTE, "pair |")
    assert [row[0] for row in rows] == list(found)
    for name, *printed in rows:
        R, I, Delta = found[name]
        for number, value in zip(printed, (R, I, Delta, Delta + R, Delta + 2 * R), strict=True):
            assert agrees(number, value), (name, number, value)
        assert np.log(4) - Delta <= I <= R  # RD.9
    (R1, I1, Delta1), (R2, I2, Delta2) = found.values()
    assert Delta1 + R1 < Delta2 + R2 and Delta1 + 2 * R1 > Delta2 + 2 * R2 and I2 > I1 and R2 < R1
    assert agrees(*numbers(r"nats of the first, ([\d.]+) were mismatch"), R1 - I1)


# ---- why beta aligns latents with factors --------------------------------------------------------------


@pytest.mark.parametrize("equation", ["BETA.3"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_beta_is_a_narrower_prior_and_a_reward_for_entropy(equation, beta):
    rng, latents = np.random.default_rng(0), 3
    mean, root = rng.normal(size=latents), rng.normal(size=(latents, latents))
    cov, eye = root @ root.T, np.eye(latents)  # the note does not need a diagonal q
    entropy = (latents * np.log(2 * np.pi * np.e) + np.linalg.slogdet(cov)[1]) / 2
    log_C = latents / 2 * ((1 - beta) * np.log(2 * np.pi) - np.log(beta))
    narrow = kl_normal(mean, cov, 0 * mean, eye / beta)
    assert beta * kl_normal(mean, cov, 0 * mean, eye) == pytest.approx(narrow - (beta - 1) * entropy - log_C, rel=EXACT)
    assert (np.exp(log_normal(GRID, 0, 1)) ** beta).sum() * STEP == pytest.approx(np.exp(log_C / latents), rel=1e-9)


def missed(x, mu, std):
    """The right side of RD.11 for data x (N,) of one pixel: the mean over q(z) of v(z); v and the best mean on the grid."""
    q = posteriors(mu[:, None], np.full((len(mu), 1), std))[:, 0]
    q_z = q.mean(axis=0)
    r = q / len(x) / np.maximum(q_z, 1e-300)
    v = np.einsum("nz,mz,nm->z", r, r, np.subtract.outer(x, x) ** 2) / 2
    return (q_z * v).sum() * STEP, v, x @ r, q


LINE, ORDERED, SHUFFLED = np.array([-1.5, -0.5, 0.5, 1.5]), np.arange(4.0), np.array([1.0, 3.0, 0.0, 2.0])


@pytest.mark.parametrize("equation", ["RD.11"])
def test_overlap_costs_the_distance_of_what_it_confuses(equation):
    rng = np.random.default_rng(0)
    rows = table(NOTE, r"$`\sigma`$ |")
    assert [float(row[0]) for row in rows] == [0.25, 0.5, 1]
    for sigma, *printed in rows:
        std = float(sigma)
        values = [ops.gaussian_kl_forward(LINE[:, None], np.full((4, 1), 2 * np.log(std))).mean()]
        for x in (ORDERED, SHUFFLED):
            least, _, best, q = missed(x, LINE, std)
            delta2 = [(q * (x[:, None] - m) ** 2).mean(axis=0).sum() * STEP for m in (best, best + 0.1 * np.sin(rng.normal() * GRID))]
            assert delta2[0] == pytest.approx(least, abs=QUADRATURE) and delta2[1] > least  # equality, inequality
            values.append(least)
        for number, value in zip(printed, values, strict=True):
            assert agrees(number, value), (sigma, number, value)
    assert list(map(float, numbers(r"shuffled \(to \$`x = (\d), (\d), (\d), (\d)`"))) == SHUFFLED.tolist()


def test_a_rotation_is_free_and_leaves_the_family():
    rng, beta = np.random.default_rng(0), 3.0
    Q = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    mean, variance, zero, eye = rng.normal(size=2), np.array([0.5, 0.25]) ** 2, np.zeros(2), np.eye(2)
    free = beta * kl_normal(mean, np.diag(variance), zero, eye)
    assert beta * kl_normal(mean @ Q, Q.T @ np.diag(variance) @ Q, zero, eye) == pytest.approx(free, rel=EXACT)
    turned = TURN.T @ np.diag(variance) @ TURN
    assert abs(turned[0, 1]) > 0.05 and abs(TURN.T @ (eye * 0.3) @ TURN - 0.3 * eye).max() < EXACT  # equal ones stay diagonal
    best = np.diag(1 / np.diag(np.linalg.inv(turned)))  # Q.3
    cost = kl_normal(zero, best, zero, turned)
    assert agrees(*numbers(r"by 45 degrees costs \$`([\d.]+) \\, \\beta"), cost)
    for scale in (0.9, 1.1):
        assert kl_normal(zero, scale * best, zero, turned) > cost


# ---- capacity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["CAP.2"])
def test_subgradients_of_the_capacity_penalty(equation):
    t, gamma, C = np.linspace(-3, 9, 25), 10.0, 3.0
    penalty = ops.capacity_forward(t, gamma, C)
    for g in (-gamma, -2.0, ops.capacity_backward(1.0, C, gamma, C), 7.0, gamma):
        assert (penalty >= g * (t - C)).all()
    for g in (-1.01 * gamma, 1.01 * gamma):  # and no other
        assert (penalty < g * (t - C)).any()
    assert ops.capacity_backward(1.0, C, gamma, C) == 0


@pytest.mark.parametrize("equation", ["RD.10"])
@pytest.mark.parametrize("C", [0.2, 1.0, 2.5])
def test_where_the_capacity_objective_has_its_minimum(equation, C):
    x, U = linear_data()
    batch, price = with_all_noise(x), tau_of(C) / NOISE
    assert rates(tau_of(C)).sum() == pytest.approx(C, rel=EXACT)
    model = linear(CapacityVAE, gamma=1.2 * price, capacity=C)  # gamma above the exchange rate at C
    put_optimum(model, x, U, tau_of(C))
    assert model.loss(*batch).kl == pytest.approx(C, rel=EXACT) and is_a_minimum(model, batch)
    model = linear(CapacityVAE, gamma=0.8 * price, capacity=C)  # below it: the beta-VAE with beta = gamma
    put_optimum(model, x, U, 0.8 * tau_of(C))
    terms, grads = model.loss_and_grads(*batch)
    assert terms.kl > C and abs(flat(grads)).max() < 1e-11 and is_a_minimum(model, batch)


# ---- figures, pencil, predict, then run -------------------------------------------------------------------------------


def test_the_figures_draw_the_note():
    drawn = figure(10)
    assert (drawn.EIGENVALUES == LAMBDA).all() and (drawn.Z, drawn.NOISE) == (Z, NOISE)
    for beta in (0.5, 3, 9):
        rate, Delta = drawn.linear_optimum(beta)
        assert rate == pytest.approx(rates(beta * NOISE).sum()) and Delta == pytest.approx(distortion(beta * NOISE))
    assert (drawn.LINE == LINE).all() and (drawn.ORDERED == ORDERED).all() and (drawn.SHUFFLED == SHUFFLED).all()
    _, v, best, _ = missed(SHUFFLED, LINE, drawn.STD)
    z = np.array([-0.7, 0.2])
    for ours, theirs in zip((best, v), drawn.best_mean(z, SHUFFLED)[:2], strict=True):
        assert theirs == pytest.approx(np.interp(z, GRID, ours), abs=1e-9)  # both lie on the grid


def test_which_of_four_models_is_best():
    models = [(25, 80), (15, 90), (13, 101), (10, 110)]
    assert re.search(r"\(25, 80\)`\$, \$`\(15, 90\)`\$, \$`\(13, 101\)`\$ and \$`\(10, 110\)", NOTE)
    for low, high, best in ((0.01, 1, 0), (1, 4, 1), (4, 50, 3)):
        for beta in np.linspace(low, high, 99)[1:-1]:
            assert np.argmin([Delta + beta * R for R, Delta in models]) == best


def test_pencil_batches_have_a_penalty_of_their_own():
    each = [ops.capacity_forward(kl, 1000.0, 25.0) for kl in (20.0, 30.0)]
    assert np.mean(each) == float(*numbers(r"the mean penalty is (\d+)")) and ops.capacity_forward(25.0, 1000.0, 25.0) == 0
    assert [ops.capacity_backward(1.0, kl, 1000.0, 25.0) for kl in (20.0, 30.0)] == [-1000, 1000]  # up, and down


def test_pencil_beta_3():
    kl, doubled, narrow, entropy, log_C, again = numbers(
        r"\\log 4\) = ([\d.]+)`\$, times 2 is ([\d.]+)\. .*?\\log 2\) = ([\d.]+)`\$\. The entropy is "
        r"\$`.*? = ([\d.]+)`\$, and \$`\\log C_2 = .*? = (-[\d.]+)`\$\. Indeed \$`.*? = ([\d.]+)`"
    )
    one, quarter = np.ones(1), np.full((1, 1), 0.25)
    exact = kl_normal(one, quarter, 0 * one, np.eye(1)).item()
    assert agrees(kl, exact) and agrees(doubled, 2 * exact) and agrees(again, 2 * exact)
    assert agrees(narrow, kl_normal(one, quarter, 0 * one, np.eye(1) / 2).item())
    assert agrees(entropy, np.log(2 * np.pi * np.e / 4) / 2) and agrees(log_C, -np.log(4 * np.pi) / 2)


def test_pencil_two_data():
    x = np.array([1.0, -1.0])
    for std in (0.5, 1.0):
        found, v, best, _ = missed(x, std * x, std)
        assert agrees(*numbers(r"At \$`m = \\sigma`\$ it is (\d.\d+)"), found)
        r = 1 / (1 + np.exp(-2 * GRID / std))  # the sigmoid of 2 m z / sigma^2
        assert v == pytest.approx(4 * r * (1 - r), abs=EXACT)
    assert missed(x, 0 * x, 1.0)[0] == pytest.approx(1) and missed(x, 8 * x, 0.9)[0] < 1e-12


def test_the_command():
    for line in printed_by(NOTE).splitlines():
        assert set(line.partition(" ")[2].strip("[] ").split()) == {"4."}

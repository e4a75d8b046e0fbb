"""Promise: note 10's claims on rate and distortion, the parts of the KL, the linear case and the capacity hold."""

import itertools
import re

import numpy as np
import pytest
from helpers import agrees, descend, linear_model, log_normal, log_normal_joint, note, printed_by, table

from vae_from_scratch import ops
from vae_from_scratch.autoencoder import Autoencoder
from vae_from_scratch import BetaVAE, CapacityVAE
from vae_from_scratch.likelihoods import Gaussian
from vae_from_scratch.optimizers import Adam
from vae_from_scratch.vae import VAE

NOTE = note(10)
EXACT = 1e-12  # relative: a few hundred operations in double precision (2e-16 each)

D, Z, LAMBDA, NOISE = 4, 3, np.array([4.0, 2.0, 1.0, 0.5]), 0.5  # the note's linear example


# ---- a linear model without sampling -----------------------------------------------------------------


def linear_data(n=9, seed=0):
    """n data of covariance diag(LAMBDA) in a turned basis, with a mean; and the basis (eigenvectors as columns)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, D))
    x = np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt(n * LAMBDA)
    U = np.linalg.qr(rng.normal(size=(D, D)))[0]
    return x @ U.T + rng.normal(size=D), U


def with_all_noise(x, latents=Z):
    """x repeated and 2Z noise vectors +-sqrt(Z) e_j per datum: mean 0 and covariance I, so the mean over them of
    anything quadratic in eps, such as a linear model's loss, is the expectation under N(0, I)."""
    eps = np.sqrt(latents) * np.concatenate([np.eye(latents), -np.eye(latents)])
    return np.repeat(x, len(eps), axis=0), np.tile(eps, (len(x), 1))


def linear(model_class=BetaVAE, sigma=NOISE**0.5, **settings):
    return linear_model(model_class, D, Z, Gaussian(sigma=sigma), **settings)


def put(model, W, b, A, a, logvar):
    """Decoder zW + b; encoder mu = xA + a and the same logvar for every x."""
    model.params["decoder_W1"][...], model.params["decoder_b1"][...] = W, b
    model.params["encoder_W1"][...] = np.concatenate([A, np.zeros_like(A)], axis=1)
    model.params["encoder_b1"][...] = np.concatenate([a, logvar])


def put_optimum(model, x, U, tau, kept=None):
    """LIN.4 and LIN.5; kept: which eigenvectors are used, in place of the first A."""
    kept = [i for i in range(Z) if LAMBDA[i] > tau] if kept is None else list(kept)
    W, A, logvar = np.zeros((Z, D)), np.zeros((D, Z)), np.zeros(Z)
    for j, i in enumerate(kept):
        W[j] = np.sqrt(LAMBDA[i] - tau) * U[:, i]
        A[:, j] = np.sqrt(LAMBDA[i] - tau) / LAMBDA[i] * U[:, i]
        logvar[j] = np.log(tau / LAMBDA[i])
    put(model, W, x.mean(axis=0), A, -x.mean(axis=0) @ A, logvar)


def rates(tau):
    """LIN.6."""
    return np.array([np.log(LAMBDA[j] / tau) / 2 if LAMBDA[j] > tau else 0 for j in range(Z)])


def squared_distance(tau):
    """LIN.7."""
    active = sum(LAMBDA[:Z] > tau)
    return active * tau + LAMBDA[active:].sum()


def distortion(tau, noise=NOISE):
    return D / 2 * np.log(2 * np.pi * noise) + squared_distance(tau) / (2 * noise)


def learned_noise(beta):
    """LIN.10: sigma_x^2, by trying every A."""
    found = []
    for A in range(Z + 1):
        if D > beta * A:
            noise = LAMBDA[A:].sum() / (D - beta * A)
            if [bool(v > beta * noise) for v in LAMBDA[:Z]] == [i < A for i in range(Z)]:
                found.append(noise)
    assert len(found) == 1  # "the one A"
    return found[0]


def perturbed(model, rng, size):
    """The loss after every parameter moved by size * N(0, 1), through a fresh copy of the values."""
    return {name: value + size * rng.normal(size=value.shape) for name, value in model.params.items()}


def is_a_minimum(model, batch, draws=60):
    """No random step, small or large, lowers the loss."""
    rng, best, saved = np.random.default_rng(7), model.loss(*batch).loss, dict(model.params)
    for size in np.geomspace(1e-3, 3, draws):
        model.params = perturbed(model, rng, size)
        loss, model.params = model.loss(*batch).loss, saved
        if not loss > best:
            return False
    return True


def flat(grads):
    return np.concatenate([grads[name].ravel() for name in sorted(grads)])


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
        "turned": (corners @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2), np.full((4, 2), 0.5)),
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


def test_without_discarded_variance_learned_noise_has_no_minimum():
    x, U = linear_data(n=4)  # 4 data span 3 directions about their mean: nothing is left over for Z = 3
    S = np.cov(x.T, bias=True)
    values = np.linalg.eigvalsh(S)[::-1]
    assert values[3] < 1e-12

    def best(beta, noise):  # LIN.3 at its minimum
        k = np.maximum(values, beta * noise)
        return D / 2 * np.log(2 * np.pi * noise) + beta / 2 * (np.log(k / (beta * noise)) + values / k).sum()

    for beta in (1.0, 1.5):  # beta Z = 3 < 4 = D: the loss falls without end as the noise does; beta Z = 4.5: it rises
        per_decade = np.diff([best(beta, noise) for noise in np.geomspace(1e-1, 1e-8, 8)])
        # the eigenvalue that should be 0 is rounding, 1e-16 of the largest, and is divided by beta * noise = 1e-8
        assert per_decade == pytest.approx(np.full(7, -(D - beta * Z) / 2 * np.log(10)), abs=1e-5)


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


# ---- capacity ----------------------------------------------------------------------------------------


def tau_of(C):
    """The tau whose rate is C, by bisection in its logarithm."""
    low, high = 1e-6, LAMBDA[0]
    for _ in range(100):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if rates(middle).sum() > C else (low, middle)
    return middle


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


@pytest.mark.parametrize("equation", ["LIN.12"])
def test_latents_wake_one_by_one(equation):
    wake = [np.log(LAMBDA[:j] / LAMBDA[j]).sum() / 2 for j in range(Z)]
    for j, C in enumerate(wake):
        if j:
            assert rates(tau_of(C * 0.999))[j] == 0
        assert rates(tau_of(C * 1.001 + 1e-6))[j] > 0
    printed = re.search(r"In the example \$`([\d.]+)`\$, \$`([\d.]+)`\$ and \$`([\d.]+)`\$ nats", NOTE).groups()
    assert all(agrees(number, value) for number, value in zip(printed, wake, strict=True))


# ---- predict, then run -------------------------------------------------------------------------------


def test_first_command():
    for line in printed_by(NOTE).splitlines():
        assert set(line.partition(" ")[2].strip("[] ").split()) == {"4."}


def test_second_command():
    answer = NOTE[NOTE.index("2. Learned:") :]
    tau = 1.3 * learned_noise(1.3)
    printed_noise, printed_tau = re.search(r"/ \(4 - 2.6\) = ([\d.]+)`\$, \$`\\tau = ([\d.]+)`", answer).groups()
    assert agrees(printed_noise, tau / 1.3) and agrees(printed_tau, tau)
    tau_C, beta_C = re.search(r"= ([\d.]+)`\$, so the KLs are.*?= ([\d.]+)`\$ \(less", answer, re.S).groups()
    assert agrees(tau_C, tau_of(1.0)) and agrees(beta_C, tau_of(1.0) / NOISE)
    pairs = re.findall(r"the KLs are ([\d.]+), ([\d.]+) and 0", answer)
    cases, lines = ((tau, tau / 1.3), (tau_of(1.0), NOISE)), printed_by(NOTE, 1).splitlines()
    for (first, second), (at, noise), line in zip(pairs, cases, lines, strict=True):
        assert agrees(first, rates(at)[0]) and agrees(second, rates(at)[1]) and rates(at)[2] == 0
        measured = [float(number) for number in re.findall(r"[\d.]+", line)]
        # 0.03: what is printed is rounded to 0.005, and 200 draws of noise a step leave the parameters some 0.01 off
        assert measured == pytest.approx([*rates(at), noise], abs=0.03)

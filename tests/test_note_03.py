"""Promise: note 3 on the choice of q is right: the mean-field optimum, its gap, the linear case, the figure's gaps."""

import functools
import re

import numpy as np
import pytest
from helpers import figure, joined, kl_normal, linear_model, linear_posterior, log_normal_joint, note

from vae_from_scratch.likelihoods import Gaussian
from vae_from_scratch.vae import VAE

NOTE = note(3)
PROSE = joined(NOTE)
DRAWN = figure(3)
EXACT = 1e-11  # closed forms: some hundred float64 operations on numbers of about 10
Z, D = 3, 5
# all of them, (2^Z, Z): the mean of a quadratic over these is that over N(0, I)
SIGNS = np.array(np.meshgrid(*[[-1.0, 1.0]] * Z)).reshape(Z, -1).T


def posterior(seed):
    """nu, Sigma: a Gaussian with correlations."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(Z, Z))
    return rng.normal(size=Z), factor @ factor.T + 0.3 * np.eye(Z)


def optimum(Sigma):
    """Variances of Q.3 and gap of Q.4."""
    kappa = np.diag(np.linalg.inv(Sigma))
    return 1 / kappa, (np.linalg.slogdet(Sigma)[1] + np.log(kappa).sum()) / 2


@pytest.mark.parametrize("equation", ["Q.1"])
def test_q_factorises_over_latents_and_every_factor_sees_all_of_x(equation):
    model = VAE(data_dim=D, hidden=(7,), latent_dim=Z, dtype="float64")
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(1, D))
    mu, logvar = model.encode(x)
    z = rng.normal(size=(20, Z))
    one_by_one = sum(log_normal_joint(z[:, [j]], mu[0, [j]], np.exp(logvar[:, [j]])) for j in range(Z))
    np.testing.assert_allclose(one_by_one, log_normal_joint(z, mu[0], np.diag(np.exp(logvar[0]))), rtol=EXACT)
    for d in range(D):
        moved = x.copy()
        moved[0, d] += 0.1
        for before, after in zip((mu, logvar), model.encode(moved)):
            assert (abs(after - before) > 1e-6).all()  # every latent, whatever the pixel


@pytest.mark.parametrize("equation", ["Q.2"])
@pytest.mark.parametrize("seed", range(3))
def test_the_divergence_from_a_diagonal_gaussian(equation, seed):
    nu, Sigma = posterior(seed)
    rng = np.random.default_rng(seed)
    mu, var = rng.normal(size=Z), rng.uniform(0.2, 2, Z)
    precision = np.linalg.inv(Sigma)
    by_note = (
        np.linalg.slogdet(Sigma)[1]
        - np.log(var).sum()
        - Z
        + np.diag(precision) @ var
        + (mu - nu) @ precision @ (mu - nu)
    )
    # log q - log p is a quadratic in z, so the mean over z = mu +- sd, all signs, is exact
    z = mu + np.sqrt(var) * SIGNS
    direct = (log_normal_joint(z, mu, np.diag(var)) - log_normal_joint(z, nu, Sigma)).mean()
    assert by_note / 2 == pytest.approx(direct, abs=EXACT)


@pytest.mark.parametrize("equation", ["Q.3 Q.4"])
@pytest.mark.parametrize("seed", range(5))
def test_the_mean_field_optimum_has_inverse_precision_variances(equation, seed):
    nu, Sigma = posterior(seed)
    var, gap = optimum(Sigma)
    assert kl_normal(nu, np.diag(var), nu, Sigma) == pytest.approx(gap, abs=EXACT)
    assert gap > 0.01
    rng = np.random.default_rng(seed)
    for _ in range(50):  # anything else is worse, near or far
        mu, other = nu + 0.1 * rng.normal(size=Z), var * np.exp(0.3 * rng.normal(size=Z))
        assert kl_normal(nu, np.diag(other), nu, Sigma) > gap
        assert kl_normal(mu, np.diag(var), nu, Sigma) > gap
    # 1 / kappa_j is the variance of z_j given the others, and less than its own
    for j in range(Z):
        others = [i for i in range(Z) if i != j]
        given = Sigma[j, j] - Sigma[j, others] @ np.linalg.inv(Sigma[np.ix_(others, others)]) @ Sigma[others, j]
        assert var[j] == pytest.approx(given, rel=EXACT) and given < Sigma[j, j]
    own = np.diag(np.diag(Sigma))
    assert abs(kl_normal(nu, Sigma, nu, own) - gap) > 0.01  # of three latents the other divergence has another minimum
    assert optimum(own)[1] == pytest.approx(0, abs=EXACT)  # nothing to lose without correlation


@pytest.mark.parametrize("equation", ["Q.3"])
def test_descending_the_kl_arrives_at_the_optimum(equation):
    nu, Sigma = posterior(0)
    precision, mu, logvar = np.linalg.inv(Sigma), np.zeros(Z), np.zeros(Z)
    step = 0.5 / np.linalg.eigvalsh(precision).max()
    for _ in range(2000):  # gradients of Q.2 in mu and log variance; converges geometrically
        mu = mu - step * precision @ (mu - nu)
        logvar = logvar - step * (np.diag(precision) * np.exp(logvar) - 1) / 2
    np.testing.assert_allclose(mu, nu, atol=1e-9)
    np.testing.assert_allclose(np.exp(logvar), 1 / np.diag(precision), rtol=1e-9)


@pytest.mark.parametrize("equation", ["Q.5"])
def test_two_latents(equation):
    for c in (-0.5, 0.0, 0.9, 0.99):
        s1, s2 = 0.7, 2.0
        Sigma = np.array([[s1**2, c * s1 * s2], [c * s1 * s2, s2**2]])
        var, gap = optimum(Sigma)
        np.testing.assert_allclose(var, (1 - c**2) * np.diag(Sigma), rtol=EXACT)
        assert gap == pytest.approx(-np.log(1 - c**2) / 2, abs=EXACT)
        # the answers: the other divergence is least at the posterior's own variances, at the same value
        own = np.diag(np.diag(Sigma))
        assert kl_normal(np.zeros(2), Sigma, np.zeros(2), own) == pytest.approx(gap, abs=EXACT)
        for factor in (0.9, 1.1):
            for j in range(2):
                changed = own.copy()
                changed[j, j] *= factor
                assert kl_normal(np.zeros(2), Sigma, np.zeros(2), changed) > gap
    variance, gap = re.search(r"1 - 0\.99\^2 = ([\d.]+)`\$.*?, and .*? = ([\d.]+)`\$ nats", PROSE).groups()
    assert (variance, gap) == (f"{1 - 0.99**2:.4f}", f"{-np.log(1 - 0.99**2) / 2:.2f}")


def test_the_numbers_of_the_mean_field_figure():
    c = DRAWN.CORRELATION
    caption = re.search(
        r"At \$`c = ([\d.]+)`\$ the best .*?, ([\d.]+) against 1, and leaves ([\d.]+) nats\. Keeping .*? leave ([\d.]+)\.",
        PROSE,
    )
    Sigma = np.array([[1, c], [c, 1]])
    var, gap = optimum(Sigma)
    assert caption.groups() == (
        f"{c:g}",
        f"{var[0]:.2f}",
        f"{gap:.2f}",
        f"{kl_normal(np.zeros(2), np.eye(2), np.zeros(2), Sigma):.2f}",
    )
    np.testing.assert_allclose(DRAWN.MEAN_FIELD, np.diag(var), rtol=EXACT)


def test_how_many_numbers_the_encoder_returns():
    rows = re.findall(r"^\| .+ \| (isotropic|diagonal, mean field|full) \| .+ \| (\d+) \|$", NOTE, re.M)
    diagonal = VAE(data_dim=D, hidden=(), latent_dim=20).encoder.widths[-1]
    assert rows == [("isotropic", "21"), ("diagonal, mean field", str(diagonal)), ("full", str(20 + 20 * 21 // 2))]


@pytest.mark.parametrize("equation", ["Q.6"])
def test_mean_field_prefers_orthogonal_rows_among_equally_likely_decoders(equation):
    rng = np.random.default_rng(0)
    W, r = rng.normal(size=(Z, D)), np.log(0.3)

    def gap_by_note(W):
        lengths = (W**2).sum(axis=1)
        return (np.log1p(np.exp(-r) * lengths).sum() - np.linalg.slogdet(np.eye(Z) + np.exp(-r) * W @ W.T)[1]) / 2

    _, vectors = np.linalg.eigh(W @ W.T)
    turned = vectors.T @ W  # the eigenvectors of W W^T as rows of Q
    np.testing.assert_allclose(turned.T @ turned, W.T @ W, atol=EXACT)  # the same density of x
    assert gap_by_note(W) == pytest.approx(optimum(np.linalg.inv(np.eye(Z) + np.exp(-r) * W @ W.T))[1], abs=EXACT)
    assert gap_by_note(turned) == pytest.approx(0, abs=EXACT)
    for _ in range(10):
        orthogonal, _ = np.linalg.qr(rng.normal(size=(Z, Z)))
        assert gap_by_note(orthogonal @ turned) > 0.01


def linear_case():
    """A VAE without hidden layers, its encoder set by Q.8; data; log p(x) and the optimal gap of its decoder."""
    model = linear_model(VAE, D, Z, Gaussian(sigma=0.6))
    rng = np.random.default_rng(2)
    model.params["decoder_W1"][...] = W = rng.normal(size=(Z, D))
    model.params["decoder_b1"][...] = b = rng.normal(size=D)
    r, x = 2 * np.log(0.6), rng.normal(size=(6, D))
    nu, Sigma = linear_posterior(x, W, b, r)
    to_mu = np.exp(-r) * W.T @ Sigma
    logvar = -np.log(1 + np.exp(-r) * (W**2).sum(axis=1))
    model.params["encoder_W1"][...] = np.concatenate([to_mu, np.zeros((D, Z))], axis=1)
    model.params["encoder_b1"][...] = np.concatenate([-b @ to_mu, logvar])
    log_p = log_normal_joint(x, b, W.T @ W + np.exp(r) * np.eye(D))
    return model, x, log_p, Sigma, nu


def elbo_each(model, x):
    """ELBO of every x: nll is quadratic in eps, so the mean over all signs of eps is exact."""
    terms = [model.loss(x, np.tile(sign, (len(x), 1))) for sign in SIGNS]
    return -np.mean([term.recon_nll_each for term in terms], axis=0) - terms[0].kl_each


@pytest.mark.parametrize("equation", ["Q.7 Q.8"])
def test_one_dense_layer_closes_the_amortisation_gap_of_a_linear_model(equation):
    model, x, log_p, Sigma, nu = linear_case()
    approximation = optimum(Sigma)[1]
    assert approximation > 0.1
    np.testing.assert_allclose(log_p - elbo_each(model, x), approximation, rtol=1e-10)  # no amortisation gap, for any x
    grads = [model.loss_and_grads(x, np.tile(sign, (len(x), 1)))[1] for sign in SIGNS]
    for name in ("encoder_W1", "encoder_b1"):  # an optimum: the gradient vanishes in the mean over eps
        mean = np.mean([grad[name] for grad in grads], axis=0)
        assert abs(mean).max() < 1e-10 < max(abs(grad[name]).max() for grad in grads)
    # an encoder that is off pays the difference of two divergences to the posterior
    model.params["encoder_b1"][:Z] += 0.1
    model.params["encoder_W1"][0, Z:] += 0.2
    mu, logvar = model.encode(x)
    divergence = np.array([kl_normal(m, np.diag(np.exp(l)), n, Sigma) for m, l, n in zip(mu, logvar, nu)])
    amortisation = divergence - approximation
    np.testing.assert_allclose(log_p - elbo_each(model, x), approximation + amortisation, rtol=1e-10)
    assert (amortisation > 1e-3).all()


@functools.cache
def gaps():
    return DRAWN.all_gaps()


@pytest.mark.parametrize("equation", ["Q.7"])
def test_both_gaps_in_the_figure(equation):
    weights, approximation, amortisation = gaps()
    assert (approximation > 0).all()
    for gap in amortisation.values():
        assert (gap > -1e-4).all()  # best_elbo is itself found by training, to about this
    approximate, linear = re.search(
        r"approximation gap, ([\d.]+) nats on average.*?A linear encoder loses another ([\d.]+),", PROSE
    ).groups()
    assert (approximate, linear) == (f"{weights @ approximation:.2f}", f"{weights @ amortisation[()]:.1f}")
    assert weights @ amortisation[16,] < 0.01
    # the alternative text
    x = DRAWN.X
    assert 0.11 < approximation.max() < 0.12 and abs(abs(x[approximation.argmax()]) - 2) < 0.3
    assert amortisation[()][abs(x) < 0.01] == pytest.approx(1.2, abs=0.1) and min(amortisation[()][[0, -1]]) > 2
    assert abs(abs(x[weights.argmax()]) - 3) < 0.3


def test_the_gradients_that_the_figure_ascends():
    rng = np.random.default_rng(0)
    size = len(DRAWN.X)
    mu, logvar, direction, h = rng.normal(size=size), rng.normal(size=size) - 1, rng.normal(size=(2, size)), 1e-5
    _, dmu, dlogvar = DRAWN.elbo_and_grads(mu, logvar)
    ahead, behind = (
        DRAWN.elbo_and_grads(mu + s * h * direction[0], logvar + s * h * direction[1])[0] for s in (1, -1)
    )
    # two-point differences: truncation h^2 = 1e-10 times third derivatives of up to about 1e3, rounding 1e-16 / h * 1e2
    np.testing.assert_allclose(
        dmu * direction[0] + dlogvar * direction[1], (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-6
    )


def test_the_quadrature_of_the_figure():
    module = DRAWN
    total = np.exp(module.log_evidence()).sum() * (module.X[1] - module.X[0])
    assert 0.98 < total < 1  # p(x) integrates to one but for what lies beyond the axis


@functools.cache
def pencil():
    """W, the precision matrix and the covariance of the pencil problems."""
    W = np.array([[1.0, 0], [1, 1]])
    precision = np.eye(2) + W @ W.T
    return W, precision, np.linalg.inv(precision)


def test_pencil_1_and_2_diagonal_and_isotropic():
    _, precision, Sigma = pencil()
    np.testing.assert_allclose(precision, [[2, 1], [1, 3]])
    assert np.diag(Sigma) == pytest.approx([3 / 5, 2 / 5])
    var, gap = optimum(Sigma)
    assert var == pytest.approx([1 / 2, 1 / 3])
    diagonal, isotropic = re.search(r"\(6/5\) = ([\d.]+)`\$ nats.*?\(6\.25 / 5\) = ([\d.]+)`", PROSE).groups()
    zero, grid = np.zeros(2), np.linspace(0.3, 0.5, 201)
    gaps = [kl_normal(zero, var * np.eye(2), zero, Sigma) for var in grid]
    assert grid[np.argmin(gaps)] == pytest.approx(2 / 5)
    assert (diagonal, isotropic) == (f"{gap:.4f}", f"{min(gaps):.4f}")


def test_pencil_3_turned():
    W, precision, _ = pencil()
    lengths, Q = np.linalg.eigh(W @ W.T)
    turned = Q.T @ W
    np.testing.assert_allclose((turned**2).sum(axis=1), lengths)
    var, gap = optimum(np.linalg.inv(np.eye(2) + turned @ turned.T))
    assert gap == pytest.approx(0, abs=EXACT)
    printed = re.search(r"which are ([\d.]+) and ([\d.]+)\. .*?= ([\d.]+)`\$ and \$`1/1\.382 = ([\d.]+)`", PROSE).groups()
    assert printed == tuple(f"{value:.3f}" for value in (*lengths[::-1], *var[::-1]))
    for length in lengths:
        assert PROSE.count(f"{1 + length:.3f}") == 2
    assert np.linalg.det(precision) == pytest.approx(5) and np.prod(1 + lengths) == pytest.approx(5)


def test_pencil_4_means_a_tenth_too_short():
    W, precision, Sigma = pencil()
    var, gap = optimum(Sigma)

    def amortisation(nu):
        return kl_normal(0.9 * nu, np.diag(var), nu, Sigma) - gap

    one, mean = re.search(r"0\.005 \\cdot 7 = ([\d.]+)`\$ nats.*?mean gap is ([\d.]+)\.", PROSE).groups()
    assert one == f"{amortisation(np.ones(2)):.3f}"
    # the means of the posteriors are linear in x, so that their covariance is known: of LVM.3, with LVM.2
    to_nu = W.T @ Sigma
    covariance = to_nu.T @ (W.T @ W + np.eye(2)) @ to_nu
    np.testing.assert_allclose(covariance, np.eye(2) - Sigma, atol=EXACT)
    nu = SIGNS[::2, :2] @ np.linalg.cholesky(covariance).T  # of this covariance
    assert mean == f"{np.mean([amortisation(each) for each in nu]):.3f}"

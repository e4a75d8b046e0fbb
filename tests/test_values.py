"""Promise: forwards are right, not only in step with their backwards; a wrong forward passes every gradient check."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vae_from_scratch.engine import gradient_table
from vae_from_scratch import VAE, BetaVAE, Gaussian, gradcheck, ops
from vae_from_scratch.optimizers import Adam

DTYPES = [np.float32, np.float64, np.longdouble]


def quadrature(points=4001, span=40.0):
    """Nodes and weights of the trapezoid rule on (-span, span): exact to rounding for smooth, decaying integrands."""
    nodes = np.linspace(-span, span, points)
    return nodes, np.full(points, nodes[1] - nodes[0])


def log_normal(x, mean, logvar):
    """Written independently of ops: the log density of N(mean, exp(logvar))."""
    return -0.5 * np.log(2 * np.pi * np.exp(logvar)) - 0.5 * (x - mean) ** 2 / np.exp(logvar)


# ---- reparameterization and KL -----------------------------------------------------------------------


def test_z_has_the_mean_and_variance_of_q():
    mu, logvar = np.array([1.5, -2.0, 0.0]), np.array([-3.0, 0.7, 2.0])
    n = 400_000
    eps = np.random.default_rng(0).standard_normal((n, 3))
    z = ops.reparameterize_forward(np.tile(mu, (n, 1)), np.tile(logvar, (n, 1)), eps)
    std = np.exp(logvar / 2)
    assert np.all(np.abs(z.mean(axis=0) - mu) < 5 * std / np.sqrt(n))  # five standard errors
    assert np.all(np.abs(z.var(axis=0) / np.exp(logvar) - 1) < 5 * np.sqrt(2 / n))


@given(st.floats(-4, 4), st.floats(-4, 3))
def test_kl_is_the_integral_it_claims_to_be(mu, logvar):
    z, weight = quadrature()
    log_q = log_normal(z, mu, logvar)
    integral = (weight * np.exp(log_q) * (log_q - log_normal(z, 0, 0))).sum()
    assert ops.gaussian_kl_forward(np.array([[mu]]), np.array([[logvar]]))[0] == pytest.approx(
        integral, rel=1e-9, abs=1e-9
    )


def test_kl_agrees_with_monte_carlo_and_sums_over_latents():
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(size=(1, 5)), rng.normal(size=(1, 5))
    eps = rng.standard_normal((400_000, 5))
    z = ops.reparameterize_forward(mu, logvar, eps)
    draws = (log_normal(z, mu, logvar) - log_normal(z, 0, 0)).sum(axis=1)
    kl = ops.gaussian_kl_forward(mu, logvar)[0]
    assert abs(draws.mean() - kl) < 5 * draws.std() / np.sqrt(len(draws))
    assert kl == pytest.approx(sum(ops.gaussian_kl_forward(mu[:, [j]], logvar[:, [j]])[0] for j in range(5)))


@given(
    hnp.arrays(np.float64, (3, 4), elements=st.floats(-20, 20)),
    hnp.arrays(np.float64, (3, 4), elements=st.floats(-20, 20)),
)
def test_kl_is_never_negative_and_zero_only_at_the_prior(mu, logvar):
    kl = ops.gaussian_kl_forward(mu, logvar)
    assert np.all(kl >= 0)
    assert np.all(ops.gaussian_kl_forward(0 * mu, 0 * logvar) == 0)


def test_kl_keeps_its_digits_near_the_prior():
    # exp(l) - 1 - l is l^2 / 2 + ...; computed naively at l = 1e-6 in double, four digits are left
    assert ops.gaussian_kl_forward(np.zeros((1, 1)), np.full((1, 1), 1e-6))[0] == pytest.approx(0.25e-12, rel=1e-5)


# ---- likelihoods are densities -----------------------------------------------------------------------


def test_bernoulli_sums_to_one_over_all_images():
    logits = np.array([[0.3, -2.0, 4.0, 0.0]])
    images = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    assert np.exp(-ops.bernoulli_nll_forward(np.tile(logits, (16, 1)), images)).sum() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bernoulli_is_exact_at_any_logit(dtype):
    logits = np.array([[800.0], [800.0], [-800.0], [-800.0], [1e4], [0.0], [30.0]], dtype)
    x = np.array([[1.0], [0.0], [0.0], [1.0], [0.0], [1.0], [1.0]], dtype)
    expected = [0, 800, 0, 800, 1e4, np.log(2), np.log1p(np.exp(-30))]
    nll = ops.bernoulli_nll_forward(logits, x)
    assert nll.dtype == dtype
    np.testing.assert_allclose(nll.astype(float), expected, rtol=3e-7)
    np.testing.assert_allclose(
        ops.bernoulli_nll_backward(np.ones(7, dtype), logits, x)[:, 0].astype(float)[:5], [0, 1, 0, -1, 1]
    )


def test_gaussian_integrates_to_one_in_two_dimensions():
    x, weight = quadrature(801, 12)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    ones = np.ones_like(grid)
    density = np.exp(-ops.gaussian_nll_forward(ones * [0.5, -1.0], ones * [0.2, -1.0], grid))
    assert (density * np.outer(weight, weight).ravel()).sum() == pytest.approx(1, rel=1e-10)


@pytest.mark.parametrize("shape", [(), (1,), (4,), (1, 4), (3, 1), (3, 4)])
def test_gaussian_logvar_may_be_shared(shape):
    rng = np.random.default_rng(0)
    x, mean, logvar = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=shape)
    full = np.broadcast_to(logvar, (3, 4))
    np.testing.assert_allclose(ops.gaussian_nll_forward(mean, logvar, x), -log_normal(x, mean, full).sum(axis=1))
    dmean, dlogvar = ops.gaussian_nll_backward(np.ones(3), mean, logvar, x)
    assert np.shape(dlogvar) == shape and dmean.shape == (3, 4)
    assert np.sum(dlogvar) == pytest.approx(np.sum(ops.gaussian_nll_backward(np.ones(3), mean, full, x)[1]))


def test_a_density_can_exceed_one_so_its_nll_can_be_negative():
    assert ops.gaussian_nll_forward(np.zeros((1, 1)), np.array(-10.0), np.zeros((1, 1)))[0] < 0


# ---- numerical range, dtypes, purity -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", gradient_table.PAIRS, ids=lambda row: row.name)
def test_pairs_keep_the_dtype_and_their_arguments(row, dtype):
    inputs = {name: np.asarray(value, dtype) for name, value in row.inputs(np.random.default_rng(0)).items()}
    before = {name: value.copy() for name, value in inputs.items()}
    out = row.run_forward(ops, **inputs)
    grads = row.run_backward(ops, np.ones_like(out), out, **inputs)
    assert out.dtype == dtype and all(grad.dtype == dtype for grad in grads.values())
    assert all(np.shape(grad) == np.shape(inputs[name]) for name, grad in grads.items())
    assert all(np.array_equal(before[name], inputs[name]) for name in inputs)


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_bernoulli_and_activations_are_finite_in_float32(extreme, target):
    logits, x = np.full((3, 5), extreme, np.float32), np.full((3, 5), target, np.float32)
    values = [ops.bernoulli_nll_forward(logits, x), ops.bernoulli_nll_backward(np.ones(3, np.float32), logits, x)]
    values += [forward(logits) for forward, _ in ops.ACTIVATIONS.values()]
    values += [backward(np.ones_like(logits), forward(logits)) for forward, backward in ops.ACTIVATIONS.values()]
    assert all(np.isfinite(value).all() for value in values)


@pytest.mark.parametrize("extreme", [-80, 80])
def test_gaussians_are_finite_in_float32(extreme):
    logvar, one = np.full((3, 5), extreme, np.float32), np.ones((3, 5), np.float32)
    dout = np.ones(3, np.float32)
    values = [ops.gaussian_kl_forward(one, logvar), ops.reparameterize_forward(one, logvar, one)]
    values += [*ops.gaussian_kl_backward(dout, one, logvar), *ops.reparameterize_backward(one, logvar, one)]
    values += [ops.gaussian_nll_forward(0 * one, logvar, one), *ops.gaussian_nll_backward(dout, 0 * one, logvar, one)]
    assert all(np.isfinite(value).all() for value in values)
    exact = 0.5 * (1 + np.expm1(np.float64(extreme)) - extreme) * 5  # no clamp on the way
    np.testing.assert_allclose(values[0], exact, rtol=1e-5)
    np.testing.assert_allclose(values[1], 1 + np.exp(extreme / 2), rtol=1e-5)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_nan_and_infinity_are_not_swallowed(poison):
    bad = np.array([[1.0, poison, 1.0]])
    one = np.ones((1, 3))
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(ops.gaussian_kl_forward(bad, one)).all()
        assert not np.isfinite(ops.bernoulli_nll_forward(bad, 0 * one)).all()
        assert not np.isfinite(ops.gaussian_nll_forward(bad, one, one)).all()
        assert not np.isfinite(ops.reparameterize_forward(bad, one, one)).all()
        assert not np.isfinite(ops.dense_forward(bad, np.ones((3, 2)), np.ones(2))).all()


# ---- whole models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_terms_are_what_the_parts_say_far_from_the_start(beta):
    """A clamp on mu, logvar or logits in forward alone would show here: the heads put out large numbers."""
    model, x, (eps,) = gradient_table.small_case(BetaVAE, "float64", "tanh", "bernoulli", beta=beta)
    model.params["encoder_b3"][...] = [-30.0, 25.0, -30.0, 25.0]
    model.params["decoder_b3"][...] = [-40.0, 60.0, 35.0, -35.0, 100.0]
    mu, logvar = model.encode(x)
    z = mu + np.sqrt(np.exp(logvar)) * eps
    h = z
    for layer in (1, 2):
        h = np.tanh(h @ model.params[f"decoder_W{layer}"] + model.params[f"decoder_b{layer}"])
    logits = h @ model.params["decoder_W3"] + model.params["decoder_b3"]
    nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
    kl = np.sum(np.square(mu) + np.exp(logvar) - logvar - 1, axis=1) / 2
    terms = model.loss(x, eps)
    np.testing.assert_allclose(terms.recon_nll_each, nll)
    np.testing.assert_allclose(terms.kl_each, kl)
    assert terms.loss == pytest.approx(np.mean(nll + beta * kl))
    assert not [
        check.worst for check in gradcheck.check_model(model, x, eps) if not check.error < 1e-4
    ]  # huge against h = 1e-3


def test_elbo_is_below_the_importance_bound_which_is_below_log_p():
    """ELBO <= L_K <= log p(x), the last by quadrature over the one latent."""
    model = VAE(data_dim=6, hidden=(4,), latent_dim=1, dtype="float64", seed=1)
    rng = np.random.default_rng(0)
    for value in model.params.values():
        value[...] = rng.normal(size=value.shape)
    x = (rng.random((1, 6)) < 0.5).astype(float)
    z, weight = quadrature(2001, 12)
    logits = model.decoder.forward(ops, model.params, z[:, None])[-1]
    log_joint = -ops.bernoulli_nll_forward(logits, np.tile(x, (len(z), 1))) + log_normal(z, 0, 0)
    log_p = np.log((weight * np.exp(log_joint)).sum())

    draws = 200_000
    terms = model.loss(np.tile(x, (draws, 1)), *model.draw_noise(draws, rng))
    elbo, elbo_error = -terms.loss, terms.recon_nll_each.std() / np.sqrt(draws)
    mu, logvar = model.encode(x)
    q = rng.normal(mu[0, 0], np.exp(logvar[0, 0] / 2), size=(draws // 10, 10))
    logits = model.decoder.forward(ops, model.params, q.reshape(-1, 1))[-1]
    log_w = -ops.bernoulli_nll_forward(logits, np.tile(x, (draws, 1))).reshape(q.shape)
    log_w = log_w + log_normal(q, 0, 0) - log_normal(q, mu[0, 0], logvar[0, 0])
    bounds = np.log(np.mean(np.exp(log_w), axis=1))
    assert elbo + 5 * elbo_error < bounds.mean() < log_p + 5 * bounds.std() / np.sqrt(len(bounds))
    assert elbo < log_p


def test_linear_vae_reaches_the_ppca_optimum():
    """A linear VAE with learned noise has the pPCA likelihood as its best ELBO (Lucas et al. 2019; Dai et al. 2018)."""
    rng = np.random.default_rng(0)
    n, d, q = 400, 6, 2
    x = rng.normal(size=(n, q)) @ rng.normal(size=(q, d)) + 0.5 * rng.normal(size=(n, d)) + 1.0
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    s2 = eigenvalues[q:].mean()
    optimum = -0.5 * (d * np.log(2 * np.pi) + np.log(eigenvalues[:q]).sum() + (d - q) * np.log(s2) + d)

    steps = 4000
    model = VAE(data_dim=d, hidden=(), latent_dim=q, likelihood=Gaussian(sigma="learned"), dtype="float64")
    optimizer = Adam(lr=lambda step: 0.015 * (1 + np.cos(np.pi * step / steps)))
    state = optimizer.initial_state(model.params)
    for _ in range(steps):
        optimizer.step(model.params, model.loss_and_grads(x, *model.draw_noise(n, rng))[1], state)

    mu, logvar = model.encode(x)
    W, b, noise = model.params["decoder_W1"], model.params["decoder_b1"], np.exp(model.params["x_logvar"])
    distance = ((x - mu @ W - b) ** 2).sum(axis=1) + (np.exp(logvar) @ (W**2)).sum(
        axis=1
    )  # E_q |x - x_mean|^2, exactly
    kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)
    elbo = np.mean(-0.5 * (d * np.log(2 * np.pi * noise) + distance / noise) - kl)
    assert optimum - 0.01 < elbo < optimum + 1e-9
    assert noise == pytest.approx(s2, rel=0.02)

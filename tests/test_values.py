"""Promise: forwards are right, not only in step with their backwards; a wrong forward passes every gradient check."""

import itertools

import numpy as np
import pytest
from helpers import log_normal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vae_from_scratch import VAE, BetaVAE, gradcheck, ops
from vae_from_scratch.engine import gradient_table

DTYPES = [np.float32, np.float64, np.longdouble]


def quadrature(points=4001, span=40.0):
    """Nodes and weights of the trapezoid rule on (-span, span): exact to rounding for smooth, decaying integrands."""
    nodes = np.linspace(-span, span, points)
    return nodes, np.full(points, nodes[1] - nodes[0])


# ---- the KL ---------------------------------------------------------------------------------------------


@given(st.floats(-4, 4), st.floats(-4, 3))
def test_kl_is_the_integral_it_claims_to_be(mu, logvar):
    z, weight = quadrature()
    log_q = log_normal(z, mu, np.exp(logvar))
    integral = (weight * np.exp(log_q) * (log_q - log_normal(z, 0, 1))).sum()
    kl = ops.gaussian_kl_forward(np.array([[mu]]), np.array([[logvar]]))[0]
    assert kl == pytest.approx(integral, rel=1e-9, abs=1e-9)


@given(
    hnp.arrays(np.float64, (3, 4), elements=st.floats(-20, 20)),
    hnp.arrays(np.float64, (3, 4), elements=st.floats(-20, 20)),
)
def test_kl_is_never_negative_and_zero_only_at_the_prior(mu, logvar):
    kl = ops.gaussian_kl_forward(mu, logvar)
    assert np.all(kl >= 0)
    assert np.all(ops.gaussian_kl_forward(0 * mu, 0 * logvar) == 0)


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
    dlogits = ops.bernoulli_nll_backward(np.ones(7, dtype), logits, x)[:, 0]
    np.testing.assert_allclose(dlogits[:5].astype(float), [0, 1, 0, -1, 1])


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
    expected = -log_normal(x, mean, np.exp(full)).sum(axis=1)
    np.testing.assert_allclose(ops.gaussian_nll_forward(mean, logvar, x), expected)
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
    checks = gradcheck.check_model(model, x, eps)
    assert not [check.worst for check in checks if not check.error < 1e-4]  # huge against h = 1e-3


def test_elbo_is_below_the_importance_bound_which_is_below_log_p():
    """ELBO <= L_K <= log p(x), the last by quadrature over the one latent."""
    model = VAE(data_dim=6, hidden=(4,), latent_dim=1, dtype="float64", seed=1)
    rng = np.random.default_rng(0)
    for value in model.params.values():
        value[...] = rng.normal(size=value.shape)
    x = (rng.random((1, 6)) < 0.5).astype(float)
    z, weight = quadrature(2001, 12)
    logits = model.decoder.forward(ops, model.params, z[:, None])[-1]
    log_joint = -ops.bernoulli_nll_forward(logits, np.tile(x, (len(z), 1))) + log_normal(z, 0, 1)
    log_p = np.log((weight * np.exp(log_joint)).sum())

    draws = 200_000
    terms = model.loss(np.tile(x, (draws, 1)), *model.draw_noise(draws, rng))
    elbo, elbo_error = -terms.loss, terms.recon_nll_each.std() / np.sqrt(draws)
    mu, logvar = model.encode(x)
    q = rng.normal(mu[0, 0], np.exp(logvar[0, 0] / 2), size=(draws // 10, 10))
    logits = model.decoder.forward(ops, model.params, q.reshape(-1, 1))[-1]
    log_w = -ops.bernoulli_nll_forward(logits, np.tile(x, (draws, 1))).reshape(q.shape)
    log_w = log_w + log_normal(q, 0, 1) - log_normal(q, mu[0, 0], np.exp(logvar[0, 0]))
    bounds = np.log(np.mean(np.exp(log_w), axis=1))
    assert elbo + 5 * elbo_error < bounds.mean() < log_p + 5 * bounds.std() / np.sqrt(len(bounds))
    assert elbo < log_p

"""Promise: what evaluation says of a model is right: against exact answers, in any chunks, and with honest errors."""

import numpy as np
import pytest

from vae_from_scratch import IWAE, VAE, BetaVAE, CapacityVAE, Gaussian, Laplace, base, ops
from vae_from_scratch import evaluation as ev, exact
from vae_from_scratch.engine import batches

QUIET = {"progress": False}


def small_vae(latent_dim=2, seed=3, scale=2.0, **options):
    """A Bernoulli VAE of 12 pixels whose posterior is far from Gaussian: decoder weights twice as large as usual."""
    options = {"hidden": (9,), "dtype": "float64", "backend": "numpy", **options}
    model = VAE(12, latent_dim=latent_dim, seed=seed, **options)
    for name in ("decoder_W1", "decoder_W2"):
        model.params[name] *= scale
    return model


def binary(n, seed=0):
    return (np.random.default_rng(seed).random((n, 12)) < 0.4).astype(float)


def linear_vae(Z, noise, D=7, orthogonal=False, seed=0):
    """A linear Gaussian VAE, its exact log p, draws of x.  Orthogonal: the encoder is the (diagonal) posterior."""
    rng = np.random.default_rng(seed)
    W, b = rng.normal(size=(Z, D)), rng.normal(size=D)
    model = VAE(D, (), Z, likelihood=Gaussian(sigma=noise**0.5), dtype="float64", backend="numpy")
    if orthogonal:
        W = np.linalg.qr(W.T)[0].T * np.linspace(2, 0.5, Z)[:, None]
        variance = 1 / (1 + (W**2).sum(axis=1) / noise)
        A = W.T * variance / noise
        model.params["encoder_W1"] = np.concatenate([A, 0 * A], axis=1)
        model.params["encoder_b1"] = np.concatenate([-b @ A, np.log(variance)])
    model.params["decoder_W1"], model.params["decoder_b1"] = W, b
    K = W.T @ W + noise * np.eye(D)

    def log_p(x):
        quadratic = ((x - b) * np.linalg.solve(K, (x - b).T).T).sum(axis=1)
        return -(D * np.log(2 * np.pi) + np.linalg.slogdet(K)[1] + quadratic) / 2

    def draw(n):
        return rng.normal(size=(n, Z)) @ W + b + noise**0.5 * rng.normal(size=(n, D))

    return model, log_p, draw


@pytest.fixture
def weights(monkeypatch):
    """All log weights that are computed, in calls."""
    seen, log_weight = [], ops.log_weight
    monkeypatch.setattr(ops, "log_weight", lambda *arrays: seen.append(log_weight(*arrays)) or seen[-1])
    return seen


# ---- the functions of ops ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_log_weight_is_the_quotient_of_the_densities(dtype):
    rng = np.random.default_rng(0)
    nll, (mu, logvar, eps) = rng.normal(size=5).astype(dtype), rng.normal(size=(3, 5, 4)).astype(dtype)
    z = mu + np.exp(logvar / 2) * eps
    log_q = ops.gaussian_nll_forward(mu, logvar, z) * -1
    log_prior = ops.gaussian_nll_forward(0 * z, 0, z) * -1
    found = ops.log_weight(nll, z, logvar, eps)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, -nll + log_prior - log_q, rtol=300 * np.finfo(dtype).eps)
    assert (ops.log_weight(0 * nll, eps, 0 * eps, eps) == 0).all()  # q is the prior: exactly


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("shift", [0, -1e4, 1e4, 300])
def test_log_mean_exp_at_any_size(dtype, shift):
    log_w = np.random.default_rng(0).normal(size=(3, 50)).astype(dtype)
    found, eps = ops.log_mean_exp(log_w + dtype(shift)), np.finfo(dtype).eps
    assert found.dtype == dtype and found.shape == (3,)
    np.testing.assert_allclose(found, np.log(np.exp(log_w).mean(axis=1)) + shift, atol=4 * eps * (1 + abs(shift)))


def test_log_mean_exp_of_nothing_and_of_infinity():
    with np.errstate(divide="ignore"):
        assert ops.log_mean_exp(np.array([-np.inf, -np.inf])) == -np.inf
    assert ops.log_mean_exp(np.array([0.0, np.inf])) == np.inf and np.isnan(ops.log_mean_exp(np.array([0.0, np.nan])))
    assert ops.log_mean_exp(np.array([-np.inf, 0.0])) == pytest.approx(-np.log(2))


# ---- the ELBO ----------------------------------------------------------------------------------------


def test_estimators_a_and_b_agree_in_expectation_with_each_other_and_with_the_exact_elbo():
    x, model = binary(20), small_vae(1)
    result = ev.evaluate(model, x, samples=800)
    (mu, logvar), (eps, weight) = model.encode(x), np.polynomial.hermite_e.hermegauss(120)
    z = np.repeat(mu, 120, axis=0) + np.exp(np.repeat(logvar, 120, axis=0) / 2) * np.tile(eps, 20)[:, None]
    out = model.decoder.forward(ops, model.params, z)[-1]
    nll = ops.bernoulli_nll_forward(out, np.repeat(x, 120, axis=0)).reshape(20, 120) @ (weight / weight.sum())
    integral = -(nll + ops.gaussian_kl_forward(mu, logvar)).mean()  # Gauss-Hermite: exact to far below the noise
    for estimate in (result.elbo_a, result.elbo_b):
        assert abs(estimate.mean - integral) < 4 * estimate.sampling_error < 0.1
    assert result.elbo == result.elbo_b.mean == pytest.approx(-(result.recon_nll + result.kl))


def test_one_sample_is_the_loss_and_says_nothing_of_its_noise():
    model, x = small_vae(), binary(9)
    result = ev.evaluate(model, x)
    assert np.isnan(result.elbo_a.sampling_error) and np.isnan(result.elbo_b.sampling_error)
    assert result.elbo_b.standard_error == result.standard_error and result.elbo_b.mean == pytest.approx(-result.loss)
    assert result.elbo_a.each.shape == result.elbo_b.each.shape == (9,)


@pytest.mark.parametrize("batch_size", [1, 4, 23])
def test_samples_do_not_depend_on_the_batches(batch_size):
    model, x = small_vae(), binary(23)
    whole, parts = (ev.evaluate(model, x, samples=3, batch_size=size) for size in (500, batch_size))
    assert parts.loss == pytest.approx(whole.loss, rel=1e-12) == -parts.elbo
    for one, other in ((whole.elbo_a, parts.elbo_a), (whole.elbo_b, parts.elbo_b)):
        for field, expected in zip(other, one, strict=True):
            np.testing.assert_allclose(field, expected, rtol=1e-10)


def test_the_sampling_error_is_what_another_seed_changes():
    model, x = small_vae(), binary(10)
    runs = [ev.evaluate(model, x, samples=4, seed=seed) for seed in range(200)]
    bounds = [ev.log_likelihood(model, x, 50, seed=seed, **QUIET).bound for seed in range(200)]
    for estimates in ([run.elbo_a for run in runs], [run.elbo_b for run in runs], bounds):
        spread = np.std([estimate.mean for estimate in estimates], ddof=1)
        claimed = np.sqrt(np.mean([estimate.sampling_error**2 for estimate in estimates]))
        assert claimed == pytest.approx(spread, rel=0.2)  # a standard deviation from 200 is off by 5 %


# ---- log p(x) by importance sampling -----------------------------------------------------------------


def test_under_the_exact_posterior_every_weight_is_p(weights):
    """Orthogonal decoder rows: the posterior is diagonal, so an encoder can be it."""
    model, log_p, draw = linear_vae(3, noise=0.3, orthogonal=True)
    x = draw(20)
    result = ev.log_likelihood(model, x, 50, **QUIET)
    log_w = np.concatenate([call.reshape(-1, 50) for call in weights])
    assert log_w.shape == (20, 50)
    np.testing.assert_allclose(log_w, np.repeat(log_p(x)[:, None], 50, axis=1), rtol=1e-10)
    np.testing.assert_allclose(result.bound.each, log_p(x), rtol=1e-10)
    np.testing.assert_allclose(result.effective_samples, 50, rtol=1e-10)
    assert result.bound.sampling_error < 1e-12
    elbo = ev.evaluate(model, x, samples=5)
    assert elbo.elbo_a.mean == pytest.approx(log_p(x).mean(), rel=1e-12) and elbo.elbo_a.sampling_error < 1e-12
    assert elbo.elbo_b.sampling_error > 0.01  # B is right on average only
    assert abs(elbo.elbo_b.mean - log_p(x).mean()) < 4 * elbo.elbo_b.sampling_error


def test_the_bound_rises_to_log_p_and_stays_below_on_average():
    model, log_p, draw = linear_vae(2, noise=0.5, orthogonal=True)
    model.params["encoder_b1"] += [0.4, -0.2, 0.5, 0.3]  # off the posterior, and wider
    x = np.repeat(draw(1), 3000, axis=0)  # each copy has its own stream
    integral, last = log_p(x)[0], -np.inf
    for K in (1, 2, 4, 8, 32, 128):
        bound = ev.log_likelihood(model, x, K, **QUIET).bound
        assert last < bound.mean < integral + 3 * bound.standard_error
        last = bound.mean
    assert last == pytest.approx(integral, abs=0.02)


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_sampler_and_quadrature_agree(latent_dim):
    model, x = small_vae(latent_dim, seed=1), binary(6)
    sampled, integral = ev.log_likelihood(model, x, 20_000, **QUIET), exact.quadrature(model, x, **QUIET)
    assert integral.change < 1e-6 and sampled.bound.sampling_error < 0.01
    assert abs(sampled.bound.mean - integral.mean) < 4 * sampled.bound.sampling_error
    assert sampled.elbo.mean < integral.mean - 0.02  # q is not the posterior, so this could have failed


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
def test_chunks_change_nothing(dtype, tolerance):
    model, x = small_vae(dtype=dtype), binary(5)
    whole = ev.log_likelihood(model, x, 101, pairs=10_000, **QUIET)
    for pairs in (1, 7, 101, 250):
        parts = ev.log_likelihood(model, x, 101, pairs=pairs, **QUIET)
        np.testing.assert_allclose(parts.bound.each, whole.bound.each, rtol=tolerance)
        np.testing.assert_allclose(parts.elbo.each, whole.elbo.each, rtol=tolerance)
        np.testing.assert_allclose(parts.effective_samples, whole.effective_samples, rtol=100 * tolerance)


def test_an_example_has_its_own_draws_and_more_samples_keep_the_first(weights):
    model, x = small_vae(), binary(5)
    ev.log_likelihood(model, x, 6, **QUIET)
    ev.log_likelihood(model, x[:2], 9, **QUIET)
    first, second = weights[0].reshape(5, 6), weights[1].reshape(2, 9)
    np.testing.assert_allclose(second[:, :6], first[:2], rtol=1e-12)
    assert len(np.unique(first)) == 30
    weights.clear()
    ev.log_likelihood(model, x, 6, seed=1, **QUIET)
    assert not np.isin(weights[0], first).any()


def test_one_halving_that_changes_nothing_by_accident_does_not_end_the_quadrature():
    rng = np.random.default_rng(5)  # the tenth of these networks is such a case, at its kinks
    for _ in range(10):
        model = VAE(6, (5,), 1, activation="relu", dtype="float64")
        model.params.vector = rng.normal(size=model.params.vector.size) * 0.3**0.5
        x = (rng.random((1, 6)) < 0.5).astype(float)
    z = np.linspace(-12, 12, 400_001)[:, None]
    log_joint = -model.ops.bernoulli_nll_forward(model.decoder.forward(model.ops, model.params, z)[-1], np.repeat(x, len(z), 0))
    log_joint -= (z[:, 0] ** 2 + np.log(2 * np.pi)) / 2
    assert exact.quadrature(model, x, **QUIET).each[0] == pytest.approx(np.log(np.exp(log_joint).sum() * 24 / 400_000), abs=3e-7)


@pytest.mark.parametrize("samples, pairs", [(1000, 60), (7, 60), (60, 60)])
def test_memory_is_bounded_by_the_pairs(samples, pairs, monkeypatch):
    model, x, rows = small_vae(), binary(30), []
    forward = model.decoder.forward
    monkeypatch.setattr(
        model.decoder, "forward", lambda ops, params, z: rows.append(len(z)) or forward(ops, params, z)
    )
    ev.log_likelihood(model, x, samples, pairs=pairs, **QUIET)
    assert max(rows) <= pairs and sum(rows) == 30 * samples
    assert len(rows) == (-(-samples // pairs) * 30 if samples > pairs else -(-30 // (pairs // samples)))
    rows.clear()
    exact.quadrature(model, x[:1], pairs=pairs, **QUIET)
    assert max(rows) == pairs


def test_every_evaluation_sees_the_same_binary_images(monkeypatch):
    seen, fetch = [], batches.fetch
    monkeypatch.setattr(batches, "fetch", lambda *args, **more: seen.append(fetch(*args, **more)) or seen[-1])
    model, x, same = small_vae(1), np.full((9, 12), 0.5), {"binarize": "dynamic", "seed": 4}
    collected = []
    for call in (
        lambda: ev.evaluate(model, x, batch_size=4, **same),
        lambda: ev.log_likelihood(model, x, 3, pairs=6, **same, **QUIET),
        lambda: exact.quadrature(model, x, **same, **QUIET),
    ):
        seen.clear()
        call()
        collected.append(np.concatenate(seen))
    assert set(np.unique(collected[0])) == {0, 1}
    assert np.array_equal(collected[0], collected[1]) and np.array_equal(collected[0], collected[2])


def test_float32_kernels_give_the_same_bound():
    fast, plain = small_vae(dtype="float32", backend="numba"), small_vae()
    fast.params.vector[...] = plain.params.vector
    integral = exact.quadrature(plain, binary(3), **QUIET)
    np.testing.assert_allclose(exact.quadrature(fast, binary(3), **QUIET).each, integral.each, atol=1e-5)
    bound = ev.log_likelihood(fast, binary(3), 5000, **QUIET).bound
    assert abs(bound.mean - integral.mean) < 4 * bound.sampling_error


# ---- log p(x) by quadrature --------------------------------------------------------------------------


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("noise", [1e-4, 0.3, 50.0])
def test_quadrature_is_exact_for_the_linear_model(latent_dim, noise):
    """The encoder is untrained: quadrature does not ask it.  Two data are far out, the noise narrow or wide."""
    model, log_p, draw = linear_vae(latent_dim, noise)
    x = draw(4)
    x[0] += 30 * model.params["decoder_W1"].sum(axis=0)
    x[1] -= 30 * model.params["decoder_W1"].sum(axis=0)
    result = exact.quadrature(model, x, **QUIET)
    np.testing.assert_allclose(result.each, log_p(x), rtol=1e-10)
    assert abs(result.each - log_p(x)).max() < 1e-6 and result.change < 1e-6
    assert result.mean == pytest.approx(log_p(x).mean()) and result.standard_error == pytest.approx(
        log_p(x).std(ddof=1) / 2
    )


def ridge(sigma, angle, weak):
    """A linear model whose posterior is a ridge across the axes, sigma wide: z turned by an angle, its second axis times weak."""
    model, _, _ = linear_vae(2, sigma**2, D=3)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    W = turn.T @ [[1.0, 0, 0], [0, weak, 0]]
    model.params["decoder_W1"], model.params["decoder_b1"] = W, np.zeros(3)
    root = np.linalg.cholesky(W.T @ W + sigma**2 * np.eye(3))

    def log_p(x):
        return -(np.linalg.solve(root, x.T) ** 2).sum(axis=0) / 2 - np.log(np.diag(root)).sum() - 1.5 * np.log(2 * np.pi)

    rng = np.random.default_rng(0)
    return model, log_p, rng.standard_normal((3, 2)) @ W + sigma * rng.standard_normal((3, 3))


@pytest.mark.slow
@pytest.mark.parametrize("angle", [0, 0.5, np.pi / 4, 1.2])
@pytest.mark.parametrize("sigma", [0.01, 1e-3, 1e-5])
def test_quadrature_of_a_thin_ridge(sigma, angle):
    for weak in (0, sigma, 30 * sigma):
        model, log_p, x = ridge(sigma, angle, weak)
        result = exact.quadrature(model, x, **QUIET)
        assert abs(result.each - log_p(x)).max() < 1e-9 and result.change < 1e-7


def test_a_grid_that_cuts_something_off_says_so(monkeypatch):
    """Without the axes of the ridge, a grid is lost on it."""
    monkeypatch.setattr(exact.integrals, "_frame", lambda *_: (np.zeros(2), np.eye(2)))
    model, log_p, x = ridge(1e-4, 0.5, 0)
    result = exact.quadrature(model, x, **QUIET)
    assert abs(result.each - log_p(x)).max() > 1 and result.change == np.inf


@pytest.mark.parametrize("dimensions", [1, 2])
def test_quadrature_of_a_wide_peak_far_below_the_first(dimensions):
    """The highest peak is narrow; a wide one, eight nats below it and behind a deep valley, holds a part of the mass."""
    model = VAE(6, (8,), 1, likelihood=Laplace(0.05), dtype="float64", seed=2, init="uniform")
    model.params.vector *= 3
    x = np.random.default_rng(0).uniform(size=(11, 6))[10:]
    z = np.linspace(-10, 10, 200_001)[:, None]
    log_joint = -model.recon_nll(np.repeat(x, len(z), axis=0), z) - (z[:, 0] ** 2 + np.log(2 * np.pi)) / 2
    expected = ops.log_mean_exp(log_joint) + np.log(20)
    assert np.log(np.exp(log_joint[z[:, 0] > 2] - expected).sum() * 1e-4) > np.log(1e-3)  # of it, beyond the valley
    if dimensions == 2:  # a second latent that the decoder does not use
        wide = VAE(6, (8,), 2, likelihood=Laplace(0.05), dtype="float64", seed=2, init="uniform")
        for name in wide.params:
            if name.startswith("decoder"):
                wide.params[name][...] = 0
                wide.params[name][tuple(map(slice, model.params[name].shape))] = model.params[name]
        model = wide
    result = exact.quadrature(model, x, **QUIET)
    tolerance = [2e-5, 1e-3][dimensions - 1]  # kinks, and a coarser grid of two
    assert result.mean == pytest.approx(expected, abs=tolerance) and result.change < 5 * tolerance


def test_quadrature_where_nothing_is_probable():
    """log p(x, z) at -inf everywhere has no highest point."""
    model, _, _ = ridge(1e-4, 0.5, 0)
    model.params["decoder_b1"][...] = 1e200
    with pytest.raises(FloatingPointError, match="infinite"), np.errstate(over="ignore"):
        exact.quadrature(model, np.zeros((1, 3)), **QUIET)


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_quadrature_agrees_with_a_finer_grid(latent_dim):
    model, x = small_vae(latent_dim, scale=5.0), binary(3)
    grid = np.linspace(-9, 9, 40_001 if latent_dim == 1 else 601)
    z = np.stack(np.meshgrid(*[grid] * latent_dim), axis=-1).reshape(-1, latent_dim)
    p = model.decode(z)
    log_prior = -(z**2 + np.log(2 * np.pi)).sum(axis=1) / 2
    expected = [
        np.log(np.exp(log_prior + (datum * np.log(p) + (1 - datum) * np.log1p(-p)).sum(axis=1)).sum())
        + latent_dim * np.log(grid[1] - grid[0])
        for datum in x
    ]
    np.testing.assert_allclose(exact.quadrature(model, x, **QUIET).each, expected, atol=1e-6)


def test_quadrature_of_a_model_that_is_broken():
    model = small_vae(1)
    model.params["decoder_b1"][0] = np.nan
    with pytest.raises(FloatingPointError, match="parameters finite"):
        exact.quadrature(model, binary(1), **QUIET)


# ---- silent latents ----------------------------------------------------------------------------------

LAMBDA = np.array([4.0, 2.0, 1.0, 0.5])


def gaussian_data(n=50):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4))
    return np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt(n * LAMBDA) + 100  # covariance diag(LAMBDA), far from 0


def linear_optimum(noise, beta, active, sigma=None, model_class=BetaVAE, **settings):
    """A linear model with three latents that uses the first directions of gaussian_data, by LIN.4 and LIN.5."""
    settings = {"beta": beta} if model_class is BetaVAE else settings
    likelihood = Gaussian(sigma=noise**0.5 if sigma is None else sigma)
    model = model_class(4, (), 3, likelihood=likelihood, dtype="float64", **settings)
    tau = beta * noise
    A, W, logvar = np.zeros((4, 6)), np.zeros((3, 4)), np.zeros(6)
    for j in range(active):
        W[j, j], A[j, j] = (np.sqrt(LAMBDA[j] - tau) / d for d in (1, LAMBDA[j]))
        logvar[3 + j] = np.log(tau / LAMBDA[j])
    model.params["decoder_W1"], model.params["decoder_b1"] = W, np.full(4, 100.0)
    model.params["encoder_W1"], model.params["encoder_b1"] = A, logvar - 100 * A.sum(axis=0)
    return model


@pytest.mark.parametrize(
    "noise, beta, sigma, expected",
    [(0.5, 1, None, 3), (0.5, 3, None, 2), (0.5, 6, None, 1), (0.5, 8.1, None, 0), (1.5 / 1.4, 1.3, "learned", 2)],
)
def test_silent_latents_of_a_linear_model_are_judged_by_the_optimum(noise, beta, sigma, expected):
    x = gaussian_data()
    for active in range(expected + 1):
        report = exact.collapse(linear_optimum(noise, beta, active, sigma), x[::-1], batch_size=7)
        assert report.active == active
        assert report.expected == expected and report.right == (active == expected)
        assert f"uses {expected} of 3" in report.verdict and ("train longer" in report.verdict) != report.right
    rates = np.maximum(np.log(LAMBDA[:3] / (beta * noise)) / 2, 0)
    report = exact.collapse(linear_optimum(noise, beta, expected, sigma), x)
    np.testing.assert_allclose(report.kl_per_latent, rates, atol=1e-12)  # LIN.6


def test_too_many_active_latents_of_a_linear_model_are_a_fault_too():
    model = linear_optimum(0.5, 1, 3)
    model.set(beta=3.0)  # for which the best has two
    report = exact.collapse(model, gaussian_data())
    assert (report.active, report.expected, report.right) == (3, 2, False) and "uses 2 of 3" in report.verdict


def test_the_linear_optimum_without_noise_to_learn_is_not_told():
    assert exact.linear_optimum(np.array([3.0, 1.0, 0, 0]), 2, beta=1.0) is None
    x = gaussian_data() * [1, 1, 0, 0]
    report = exact.collapse(linear_optimum(0.5, 1.0, 2, "learned"), x)
    assert report.right is None and report.expected is None
    rng = np.random.default_rng(19)
    turned = (rng.normal(size=(500, 2)) * [2, 1]) @ np.linalg.qr(rng.normal(size=(8, 8)))[0][:2]  # rank 2, but for rounding
    model = silent(VAE(8, (), 4, likelihood=Gaussian(sigma="learned"), dtype="float64"))
    assert exact.collapse(model, turned).expected is None


def test_another_penalty_than_beta_times_the_kl_is_not_judged_by_its_optimum():
    class FarMeans(BetaVAE):
        name = None

        def penalty_forward(self, kl, mu, logvar, z):
            return super().penalty_forward(kl, mu, logvar, z) + 100 * (mu * mu).sum() / len(mu)

    class Same(BetaVAE):
        name = None

    x, settings = gaussian_data(), {"likelihood": Gaussian(0.5), "dtype": "float64", "beta": 1.0}
    reports = [exact.collapse(silent(cls(x.shape[1], (), 3, **settings)), x) for cls in (FarMeans, Same)]
    assert [report.right for report in reports] == [None, False] and "cannot be told" in reports[0].verdict


def silent(model):
    for name in model.params:
        if name.startswith("encoder"):
            model.params[name][...] = 0
    return model


def test_a_total_collapse_of_other_decoders_is_a_fault_where_a_small_use_pays():
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 2, size=(200, 1))
    x = np.where(rng.random((200, 12)) < 0.1, 1 - corner, corner).astype(float)  # pixels agree: one hidden bit
    S = np.cov(x.T, bias=True)
    threshold = np.linalg.eigvalsh(S / np.outer(*[np.sqrt(np.diag(S))] * 2))[-1]  # of COL.1, S - beta diag(S)
    for beta, right in ((1.0, False), (0.99 * threshold, False), (1.01 * threshold, None)):
        report = exact.collapse(silent(BetaVAE(12, (9,), 2, beta=beta)), x)
        assert report.active == 0 and report.right is right and report.expected is None
        assert ("fault" in report.verdict) == (right is False)
    for sigma in (0.1, "learned", "per-pixel"):
        assert exact.collapse(silent(VAE(12, (9,), 2, likelihood=Gaussian(sigma=sigma))), x).right is False
    assert exact.collapse(silent(VAE(12, (9,), 2, likelihood=Gaussian(sigma=3.0))), x).right is None


def test_the_draws_of_binary_images_are_no_reason_to_use_a_latent():
    """Pixels drawn anew are independent: what one draw of 200 images correlates by chance pays nothing."""
    coins = np.full((200, 12), 0.5)
    report = exact.collapse(silent(BetaVAE(12, (9,), 2, beta=1.001)), coins, binarize="dynamic")
    assert report.right is None and "no small use" in report.verdict
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 2, size=(200, 1))
    grey = np.where(corner == 1, 0.9, 0.1) * np.ones((1, 12))  # one hidden bit
    mean, S = grey.mean(), np.cov(grey.T, bias=True) + np.diag((grey * (1 - grey)).mean(axis=0))
    threshold = np.linalg.eigvalsh(S)[-1] / (mean * (1 - mean))
    for beta, right in ((0.99 * threshold, False), (1.01 * threshold, None)):
        assert exact.collapse(silent(BetaVAE(12, (9,), 2, beta=beta)), grey, binarize="dynamic").right is right


def test_what_the_variance_of_each_pixel_might_gain_is_not_judged():
    """COL.1 is of the decoder's mean; of data whose scale varies, z could tell the variance."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)) * rng.choice([0.3, 2.0], size=(300, 1))
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T  # no direction is better than another
    report = exact.collapse(silent(BetaVAE(4, (9,), 2, likelihood=Gaussian(sigma="per-pixel"), beta=1.001)), x)
    assert report.right is None and "by the decoder's mean" in report.verdict


def test_what_cannot_be_told_is_not_told():
    x, model = binary(30), small_vae()
    model.params["encoder_W2"][:, 1], model.params["encoder_b2"][1] = 0, 0  # one of two latents is silent
    report = exact.collapse(model, x)
    assert (report.active, report.right) == (1, None) and "cannot be told" in report.verdict
    report = exact.collapse(linear_optimum(0.5, 1.0, 1, None, CapacityVAE, gamma=10.0, capacity=1.0), gaussian_data())
    assert report.right is None and report.expected is None


# ---- one z for all objectives ----------------------------------------------------------------------------


VARIATIONAL = [cls for cls in base.MODELS.values() if cls.variational and cls.__module__.startswith("vae_from_scratch.")]


@pytest.mark.parametrize("cls", VARIATIONAL, ids=lambda cls: cls.name)
def test_every_objective_is_judged_by_the_same_draws_of_z_in_batches_of_any_size(cls):
    """So that of two models with the same parameters neither has the higher ELBO, and a difference is not one of luck."""
    vae, x = VAE(12, (9,), 2, dtype="float64", backend="numpy"), binary(23)
    model = cls(12, (9,), 2, dtype="float64", backend="numpy")
    model.params = vae.params
    model.trained_on(23)
    expected = ev.evaluate(vae, x, samples=3)
    for size in (23, 6):
        found = ev.evaluate(model, x, samples=3, batch_size=size)
        np.testing.assert_allclose(found.elbo_a.each, expected.elbo_a.each, rtol=1e-12)
        assert found.elbo == pytest.approx(expected.elbo, rel=1e-12)


class Noisy(VAE):
    """A VAE whose loss takes a second array of noise."""

    name = None

    def noise_shapes(self, n):
        return (n, self.latent_dim), (n, self.data_dim)

    def forward(self, x, eps, more):
        return super().forward(x, eps)


def test_more_noise_in_a_loss_leaves_the_z_of_its_elbo_alone():
    vae, x = VAE(12, (9,), 2, dtype="float64", backend="numpy"), binary(23)
    model = Noisy(12, (9,), 2, dtype="float64", backend="numpy")
    expected = ev.evaluate(vae, x)
    for size in (23, 6):
        np.testing.assert_allclose(ev.evaluate(model, x, batch_size=size).elbo_b.each, expected.elbo_b.each, rtol=1e-12)


def test_the_loss_of_one_draw_is_of_that_z():
    model = IWAE(12, (9,), 2, samples=1, dtype="float64", backend="numpy")
    found = ev.evaluate(model, binary(23), batch_size=6)
    assert found.loss == pytest.approx(-found.elbo_a.mean, rel=1e-12)  # K = 1: the ELBO with its KL sampled


def test_small_integers_of_numpy_do_not_overflow():
    model, x = VAE(784, (5,), 2), np.random.default_rng(0).random((5, 784))
    assert ev.evaluate(model, x, batch_size=np.int16(100)).loss == ev.evaluate(model, x, batch_size=100).loss
    found = (ev.log_likelihood(model, x, 3, pairs=size, progress=False).bound.mean for size in (np.int16(1000), 1000))
    assert len(set(found)) == 1


def test_what_is_wrong_with_a_shape_is_said_of_all_rows():
    model = VAE(64, (5,), 2)
    with pytest.raises(ValueError, match=r"got \(500, 8, 8\); x.reshape\(500, 64\)"):
        ev.evaluate(model, np.zeros((500, 8, 8)))
    with pytest.raises(ValueError, match="at least one example"):
        model.loss(np.zeros((0, 64), "f"), np.zeros((0, 2), "f"))
    with pytest.raises(ValueError, match=r"got \(0, 3, 2\)"):
        model.encode(np.zeros((0, 3, 2), "f"))


def test_the_elbo_does_not_take_its_noise_from_what_a_model_wants_for_its_loss():
    """A loss without noise is not an ELBO: z is drawn all the same, as for a VAE."""

    class Still(VAE):
        name = None

        def evaluation_noise(self, n, rng):
            return (np.zeros((n, self.latent_dim), self.dtype),)

    x = binary(40)
    plain, still = small_vae(), Still(**small_vae().config)
    still.params = plain.params
    found = ev.evaluate(still, x, samples=3)
    assert found.elbo == ev.evaluate(plain, x, samples=3).elbo and found.loss < -found.elbo


def test_a_likelihood_of_ones_own_is_not_judged_by_the_one_it_is_made_of():
    class Tempered(Gaussian):
        name = None

    x = np.random.default_rng(0).normal(size=(100, 8))
    for likelihood, told in ((Gaussian(0.5), True), (Tempered(0.5), False)):
        report = exact.collapse(silent(VAE(8, (), 4, likelihood=likelihood)), x)
        assert (report.expected is not None) is told and (report.right is False) is told

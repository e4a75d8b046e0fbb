"""Promise: note 17's claims on the bound of several draws, the noise of its gradients and free bits hold, and so does the code."""


import numpy as np
import pytest
from helpers import agrees, figure, linear_model, log_normal, note, numbers_of, printed_by, same, table

from vae_from_scratch import IWAE, VAE, BetaVAE, FreeBitsVAE, Gaussian, evaluation, gradcheck, ops
from vae_from_scratch.engine.gradient_table import small_case

NOTE = note(17)
numbers = numbers_of(NOTE)
LOG_P, (M, S2) = log_normal(1, 0, 1.25), (0.3, 0.3)  # note 12's example with the wide q
EPS = np.random.default_rng(0).standard_normal(2**19)


def log_weights(K, eps=EPS):
    """log w, z and eps of the example in groups of K: w by ops, which is given rows of K draws."""
    eps = eps[: len(eps) // K * K].reshape(-1, K, 1)
    logvar = np.full((len(eps), 1), np.log(S2))
    z = ops.reparameterize_forward(np.full((len(eps), 1, 1), M), logvar[:, None], eps)
    nll = -log_normal(1, z[..., 0], 0.25)
    return ops.log_weights_forward(nll, z, logvar, eps), z, eps, logvar


def gradients(K, eps=EPS):
    """d log w_hat in the decoder's shift, in q's mean, and in q's mean doubly reparameterized: one row for each group."""
    log_w, z, eps, logvar = log_weights(K, eps)
    dlog_w = ops.iwae_bound_backward(np.ones(len(log_w)), log_w)
    dnll, dz, _ = ops.log_weights_backward(dlog_w, z)
    dshift = -dnll * (1 - z[..., 0]) / 0.25
    dz = dz + dshift[..., None]
    doubly = ops.doubly_reparameterized(dz, log_w, dlog_w, logvar, eps)
    return dshift.sum(axis=1), dz.sum(axis=(1, 2)), doubly.sum(axis=(1, 2))


def posterior_model(model_class=IWAE, **settings):
    """Note 12's linear model, whose q is the exact posterior, its datum and log p(x)."""
    model = linear_model(model_class, 3, 2, Gaussian(sigma=1.0), **settings)
    W, variance = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 1.0]]), np.array([1 / 3, 1 / 4])
    model.params["decoder_W1"] = W
    model.params["encoder_W1"] = np.concatenate([W.T * variance, np.zeros((3, 2))], axis=1)
    model.params["encoder_b1"] = np.concatenate([np.zeros(2), np.log(variance)])
    return model, np.array([[1.0, 2.0, 3.0]]), -(3 * np.log(2 * np.pi) + np.log(12) + 10) / 2


# ---- the bound ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 4, 7])
def test_with_the_exact_posterior_the_loss_is_minus_log_p_for_every_noise(K):
    """No closed-form KL inside, no mean over pixels, no other eps survives this."""
    model, x, log_p = posterior_model(samples=K)
    x = x.repeat(5, axis=0)
    assert model.loss(x, *model.draw_noise(5, np.random.default_rng(K))).loss == pytest.approx(-log_p, rel=1e-13)


def test_one_draw_is_the_vae_with_its_kl_sampled():
    vae, x, (eps,) = small_case(VAE, "float64", "tanh", "bernoulli")
    iwae, *_ = small_case(IWAE, "float64", "tanh", "bernoulli", samples=1)
    iwae.params = vae.params
    (found, grads), (expected, vae_grads) = iwae.loss_and_grads(x, eps[:, None]), vae.loss_and_grads(x, eps)
    assert found[1:3] == pytest.approx(expected[1:3], rel=1e-14)
    mu, logvar = vae.encode(x)
    z = mu + np.exp(logvar / 2) * eps
    sampled = (log_normal(z, mu, np.exp(logvar)) - log_normal(z, 0, 1)).sum(axis=1).mean()
    assert found.loss == pytest.approx(expected.recon_nll + sampled, rel=1e-13)
    for name in grads:  # the KL has nothing to say to the decoder
        assert name.startswith("encoder") or grads[name] == pytest.approx(vae_grads[name], rel=1e-12)


def test_the_bound_rises_with_the_draws_and_stays_below_log_p():
    model, x, log_p = posterior_model()
    model.params["encoder_b1"] += [0.4, -0.2, 0.5, 0.3]  # off, and too wide
    found = []
    for K in (1, 2, 5, 20):
        model.set(samples=K)
        terms = model.loss(x.repeat(4000, axis=0), *model.draw_noise(4000, np.random.default_rng(K)))
        found.append(-terms.loss)
        assert terms.recon_nll + terms.kl == pytest.approx(-found[0], abs=0.1)  # these report the ELBO for every K
    assert (np.diff(found) > 0.02).all() and log_p - 0.03 < found[-1] < log_p


@pytest.mark.parametrize("equation", ["IWAE.7"])
def test_the_weighted_mean_of_the_log_weights_is_no_bound(equation):
    for K, bound, wrong in table(NOTE, "$`K`$ | $`\\log \\hat w`$"):
        log_w, *_ = log_weights(int(K), EPS[: 2**17])
        shares, each = ops.normalised_weights(log_w), ops.iwae_bound_forward(log_w)
        weighted = (shares * log_w).sum(axis=1)
        surplus = (shares * np.log(shares * int(K))).sum(axis=1)
        assert weighted[:1000] == pytest.approx((each + surplus)[:1000], rel=1e-9, abs=1e-12)
        assert surplus.min() > -1e-12 and surplus.max() < np.log(int(K)) + 1e-12
        for printed, value in ((bound, each), (wrong, weighted)):
            value = value - LOG_P - (np.exp(each - LOG_P) - 1)  # of mean 0: the same mean, less noise
            assert agrees(printed, value.mean(), 4 * value.std() / np.sqrt(len(value)))
    equal = np.full((1, 5), -9.0)  # what the exact posterior gives: there the mistake cannot be seen
    assert (ops.normalised_weights(equal) * equal).sum() == pytest.approx(-9) == ops.iwae_bound_forward(equal).item()


def test_an_iwae_is_evaluated_as_a_vae():
    rng = np.random.default_rng(0)
    x, settings = rng.uniform(size=(30, 7)), {"hidden": (6,), "latent_dim": 3, "dtype": "float64"}
    vae, iwae = VAE(7, **settings), IWAE(7, **settings, samples=4)
    assert same(vae, iwae)
    for model in (vae, iwae):
        model.params["encoder_b2"] += 0.8  # a q that is off
    found, expected = (evaluation.log_likelihood(model, x, 10, progress=False) for model in (iwae, vae))
    assert (found.bound.each == expected.bound.each).all() and (found.elbo.each == expected.elbo.each).all()
    found, expected = (evaluation.evaluate(model, x, samples=200) for model in (iwae, vae))
    assert found.kl == expected.kl and found.elbo == pytest.approx(expected.elbo, abs=0.05)
    assert found.elbo + 0.5 < -found.loss < evaluation.log_likelihood(vae, x, 200, progress=False).bound.mean - 0.1


def test_which_q_the_bound_asks_for():
    drawn, printed = figure(17), numbers(
        r"at ([\d.]+) with standard deviation ([\d.]+), and .*? is ([\d.]+) nats below .*? only ([\d.]+) below"
    )
    z = np.linspace(-4, 4, 8001)
    log_p = np.log(np.exp(drawn.log_joint(z)).sum() * (z[1] - z[0]))
    mean, std = drawn.best_q(1)
    assert agrees(printed[0], mean) and agrees(printed[1], std)
    m, s = (grid.ravel() for grid in np.meshgrid(np.arange(0.8, 1.1, 0.002), np.arange(0.08, 0.2, 0.002)))  # L_1 in closed form:
    squares, fourths = m**2 + s**2, m**4 + 6 * m**2 * s**2 + 3 * s**4
    joint = -np.log(2 * np.pi) - np.log(1 / 16) / 2 - 8 * (1 - 2 * squares + fourths) - squares / 2
    elbo = joint + np.log(2 * np.pi) / 2 + np.log(s) + 1 / 2
    best = elbo.argmax()
    assert agrees(printed[0], m[best], 0.002) and agrees(printed[1], s[best], 0.002) and agrees(printed[2], log_p - elbo[best])
    eps = np.random.default_rng(0).standard_normal((4000, 50))
    narrow, wide = (drawn.bound(mean, std, eps.reshape(-1, 1)), drawn.bound(0, 1.0, eps))
    assert narrow == pytest.approx(elbo[best], abs=0.005) and agrees(printed[3], log_p - wide, 0.015)
    assert drawn.bound(0, 1.0, eps.reshape(-1, 1)) < narrow - 5  # the ELBO of the wide one
    for K, better in ((2, False), (5, True), (50, True)):
        few = eps[:, :K]
        assert (drawn.bound(0, 1.0, few) > max(drawn.bound(1, s, few) for s in (0.12, 0.14, 0.2))) == better


# ---- the noise of the gradients ----------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["SNR.1 SNR.2"])
def test_signal_to_noise(equation):
    v = S2 / np.sqrt(0.2 * 0.4) * np.exp(0.25 / 0.4) - 1  # IS.6
    slope = -2 * (1 + v) * 0.5 / 0.4
    ratios = []
    for K, *cells in table(NOTE, "$`K`$ | encoder"):
        decoder, encoder, doubly = gradients(int(K))
        n = len(encoder)
        ratios.append([abs(each.mean()) / each.std() for each in (encoder, decoder, doubly)])
        assert agrees(cells[0], doubly.mean(), 4 * doubly.std() / np.sqrt(n))
        assert agrees(cells[1], encoder.std(), 0.02 * encoder.std())
        for printed, ratio in zip(cells[2:], ratios[-1], strict=True):
            assert agrees(printed, ratio, 0.02 * ratio + 3 / np.sqrt(n))
    assert doubly.mean() == pytest.approx(-slope / (2 * int(K)), rel=0.02)  # SNR.1, at the last K
    encoder, decoder, doubly = np.array(ratios[-1]) / ratios[-2]  # four times the draws
    assert encoder == pytest.approx(1 / 2, abs=0.1) and doubly > decoder > 1.7
    printed, mean = numbers(r"= (-[\d.]+)`\$, so the mean is .*? = ([\d.]+)`")
    assert agrees(printed, slope) and agrees(mean, -slope / 128)


def quadrature(points=40):
    """Gauss-Hermite nodes for the noise of two draws (points^2, 2), and their weights."""
    node, weight = np.polynomial.hermite_e.hermegauss(points)
    pairs = np.stack(np.meshgrid(node, node), axis=-1).reshape(-1, 2)
    return pairs, np.outer(weight, weight).ravel() / weight.sum() ** 2


@pytest.mark.parametrize("equation", ["DREG.1 DREG.2"])
def test_the_score_function_of_the_weights(equation):
    """Two draws of the example, over all their noise: DREG.2, and the three gradients of one bound."""
    pairs, weight = quadrature(80)
    log_w, z, eps, _ = log_weights(2, pairs.ravel())
    shares, eps = ops.normalised_weights(log_w), eps[..., 0]
    at_fixed_q = (1 - z[..., 0]) / 0.25 - z[..., 0] + eps / np.sqrt(S2)
    score = eps / np.sqrt(S2)
    assert weight @ (shares * score) == pytest.approx(weight @ (shares * (1 - shares) * at_fixed_q), rel=1e-6)
    _, encoder, doubly = gradients(2, pairs.ravel())
    assert (shares * (at_fixed_q - score)).sum(axis=1) == pytest.approx(encoder, rel=1e-9, abs=1e-9)  # DREG.1
    assert weight @ encoder == pytest.approx(weight @ doubly, rel=1e-6)
    assert weight @ (doubly - weight @ doubly) ** 2 < weight @ (encoder - weight @ encoder) ** 2 / 8


def test_doubly_reparameterized_has_the_same_mean_and_less_noise():
    """A whole model with one latent: mean and variance over all the noise, parameter by parameter."""
    settings = {"hidden": (3,), "latent_dim": 1, "samples": 2, "dtype": "float64", "likelihood": Gaussian(0.5), "seed": 2}
    pairs, weight = quadrature(24)
    x, found = np.array([[0.3, -0.5, 0.8]]), []
    for doubly in (False, True):
        model = IWAE(3, **settings, doubly=doubly)
        model.params["encoder_b2"] = [0.3, -1.0]
        found.append([model.loss_and_grads(x, pair.reshape(1, 2, 1))[1] for pair in pairs])
    noise = [0.0, 0.0]
    for name in found[0][0]:
        once, twice = (np.array([grads[name].ravel() for grads in each]) for each in found)
        if name.startswith("decoder"):
            assert np.array_equal(once, twice)
        else:
            assert weight @ once == pytest.approx(weight @ twice, rel=1e-5, abs=1e-7)
            noise = [total + (weight @ (each - weight @ each) ** 2).sum() for total, each in zip(noise, (once, twice))]
    assert noise[1] < 0.5 * noise[0]


def test_doubly_reparameterized_has_no_noise_at_the_exact_posterior():
    model, x, _ = posterior_model(samples=3, doubly=True)
    grads = model.loss_and_grads(x, *model.draw_noise(1, np.random.default_rng(0)))[1]
    assert max(abs(grads[name]).max() for name in grads if name.startswith("encoder")) < 1e-13
    model.doubly = False
    grads = model.loss_and_grads(x, *model.draw_noise(1, np.random.default_rng(0)))[1]
    assert abs(grads["encoder_W1"]).max() > 0.01


# ---- free bits ---------------------------------------------------------------------------------------


def test_no_free_bits_is_the_vae_and_enough_of_them_no_kl_at_all():
    at = {bits: small_case(FreeBitsVAE, "float64", "tanh", "bernoulli", free_bits=bits) for bits in (0, 10)}
    for bits, beta in ((0, 1.0), (10, 0.0)):
        other, x, noise = small_case(BetaVAE, "float64", "tanh", "bernoulli", beta=beta)
        (terms, grads), (expected, expected_grads) = (model.loss_and_grads(x, *noise) for model in (at[bits][0], other))
        assert terms.loss == pytest.approx(expected.loss + 2 * bits, rel=1e-14)
        assert terms.kl == expected.kl and terms.recon_nll == expected.recon_nll  # the KL itself, not what it costs
        for name in grads:
            assert grads[name] == pytest.approx(expected_grads[name], rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("equation", ["FREE.3"])
@pytest.mark.parametrize("free_bits, variance", [(0.2, 2.0), (0.5, 0.8), (0.3, 0.2)])
def test_a_linear_latent_has_the_larger_of_its_rate_and_the_free_bits(equation, free_bits, variance):
    noise, L = 0.5, variance
    rate = max(free_bits, np.log(L / noise) / 2)
    grid = np.linspace(0, 3, 300_001)
    assert grid[np.argmin(L * np.exp(-2 * grid) / (2 * noise) + np.maximum(free_bits, grid))] == pytest.approx(rate, abs=1e-5)
    tau = L * np.exp(-2 * rate)
    x = np.sqrt(L) * np.array([[1.0], [-1.0], [1.0], [-1.0]])
    eps = np.array([[1.0], [1.0], [-1.0], [-1.0]])  # mean 0, variance 1: all that a loss quadratic in eps sees
    beta = linear_model(BetaVAE, 1, 1, Gaussian(noise**0.5), beta=tau / noise)
    model = linear_model(FreeBitsVAE, 1, 1, Gaussian(noise**0.5), free_bits=free_bits)
    w = np.sqrt(L - tau)
    beta.params = {
        "encoder_W1": [[w / L, 0]], "encoder_b1": [0, np.log(tau / L)], "decoder_W1": [[w]], "decoder_b1": [0],
    }  # LIN.4, LIN.5  # fmt: skip
    model.params = beta.params
    # a minimum in the kink: some slope of the KL between 0 and 1, tau / noise, balances the distortion
    assert tau / noise <= 1 + 1e-12 and max(abs(grad).max() for grad in beta.loss_and_grads(x, eps)[1].values()) < 1e-12
    best, start, rng = model.loss(x, eps), model.params.vector.copy(), np.random.default_rng(0)
    assert best.kl == pytest.approx(rate, rel=1e-12)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(10):
            model.params.vector = start + size * rng.standard_normal(len(start))
            assert model.loss(x, eps).loss > best.loss


@pytest.mark.parametrize("equation", ["FREE.4"])
def test_the_mean_comes_before_the_maximum(equation):
    mu, logvar = np.random.default_rng(0).normal(size=(2, 5, 4))
    each = ops.gaussian_kl_per_latent(mu, logvar)
    for bits in (0.1, 0.6, 2.0):
        price = ops.free_bits_forward(mu, logvar, bits)
        assert price == pytest.approx(sum(max(bits, kl) for kl in each.mean(axis=0)), rel=1e-13)
        assert 0 <= price - each.sum(axis=1).mean() + 1e-12 and price <= each.sum(axis=1).mean() + 4 * bits
        assert price < np.maximum(each, bits).sum(axis=1).mean() - 1e-3


def test_the_slope_in_the_kink_is_zero():
    mu = np.array([[1.0], [-1.0]])
    bits = ops.free_bits_forward(mu, 0 * mu, 0.0)
    dmu, dlogvar = ops.free_bits_backward(1.0, mu, 0 * mu, bits)
    assert not dmu.any() and not dlogvar.any() and ops.free_bits_backward(1.0, mu, 0 * mu, bits - 1e-12)[0].all()


# ---- predict, then run -------------------------------------------------------------------------------


def test_the_command():
    first, second, third = printed_by(NOTE).splitlines()
    assert first == "bound 0.693, shares 0.25 0.75, sum 0.824"
    assert second == "P 1.10, kl 0.90, dmu [[0.  1.1 0. ]]" and third == "P 0.250, inside the mean 0.375"
    bound, weighted, surplus = numbers(r"\\log 2 = ([\d.]+)`.*?\\log 3 = ([\d.]+)`\$, too high by ([\d.]+)")
    assert agrees(bound, np.log(2)) and agrees(weighted, 0.75 * np.log(3))
    assert agrees(surplus, 0.75 * np.log(3) - np.log(2)) and numbers(r"P = 0.25 \+ 0.6 \+ 0.25 = (1.10)`\$, the KL is 0.90")


@pytest.mark.parametrize("equation", ["FREE.1"])
def test_a_group_of_latents_shares_its_free_nats(equation):
    mu, logvar = np.array([[2.0, 0.0, 0.4, 0.0], [0.0, 0.0, 0.0, 0.4]]), np.zeros((2, 4))
    kl = (mu**2 / 2).mean(axis=0)  # 1, 0, 0.04, 0.04: a pair of 1 nat, and one of 0.08
    assert np.isclose(ops.free_bits_forward(mu, logvar, 0.5, 2), kl[:2].sum() + 0.5)
    dmu, _ = ops.free_bits_backward(1.0, mu, logvar, 0.5, 2)
    np.testing.assert_allclose(dmu, mu / 2 * [1, 1, 0, 0])
    with pytest.raises(ValueError, match="group_size is 3.*latent_dim, 4"):
        FreeBitsVAE(5, (4,), 4, group_size=3)
    model = FreeBitsVAE(5, (4,), 4, group_size=2, free_bits=0.1, dtype="float64")
    x = np.random.default_rng(0).uniform(size=(3, 5))
    assert all(check.ok for check in gradcheck.check_model(model, x, *model.draw_noise(3, np.random.default_rng(1))))

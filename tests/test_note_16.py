"""Promise: note 16 is right: what denoising learns, the linear optima, the slopes of penalties, its numbers."""

import re
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from helpers import agrees, figure, joined, linear_model, note, table

from vae_from_scratch import ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder, ops

NOTE = note(16)
FLAT = joined(NOTE)
LAMBDA = np.array([4.0, 2, 1, 0.5])
HADAMARD = np.array([[1 - 2 * ((i & j).bit_count() % 2) for j in range(16)] for i in range(16)], float)


def answers():
    """The numbers of the folded answers, as printed."""
    return re.findall(r"-?\d+\.\d+", FLAT[FLAT.index("Answers") : FLAT.index("## In the code")])


def with_moments():
    """x (16, 4) with mean 0 and covariance diag(LAMBDA), and eps (16, 4) with mean 0, covariance I, uncorrelated with x."""
    return HADAMARD[:, 1:5] * np.sqrt(LAMBDA), HADAMARD[:, 5:9]


def denoiser(Z, A, corruption, level, D=4):
    """A linear denoising autoencoder whose reconstruction is x~ A, with A of rank Z."""
    model = linear_model(DenoisingAutoencoder, D, Z, "squared-error", corruption=corruption, level=level)
    U, s, V = np.linalg.svd(A)
    model.params.update(encoder_W1=U[:, :Z] * s[:Z], decoder_W1=V[:Z], encoder_b1=0 * s[:Z], decoder_b1=np.zeros(D))
    return model


def largest(grads):
    return max(abs(grad).max() for grad in grads.values())


# ---- denoising ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["DAE.5"])
def test_salt_is_white_and_pepper_is_black(equation):
    x, eps = np.array([[0.2, 0.3, 0.4, 0.6, 0.7]]), np.array([[1.1, -1.1, 0.9, 1.0, -1.0]])
    np.testing.assert_array_equal(ops.salt_and_pepper_noise(x, eps, 1.0), [[1, 0, 0.4, 0.6, 0.7]])


@pytest.mark.parametrize("equation", ["DAE.6"])
@pytest.mark.parametrize("level", [0.1, 0.25, 0.9])
def test_the_share_that_is_corrupted_is_the_level(equation, level):
    model = DenoisingAutoencoder(4, (), 2, level=level)
    (eps,) = model.draw_noise(50_000, np.random.default_rng(0))
    x = np.full(eps.shape, 0.5, np.float32)
    error = 4 * np.sqrt(level * (1 - level) / eps.size)
    assert (model.corrupt(x, eps) == 0).mean() == pytest.approx(level, abs=error)
    model.corruption = "salt-and-pepper"
    for end in (0, 1):
        assert (model.corrupt(x, eps) == end).mean() == pytest.approx(level / 2, abs=error)
    assert 2 * (1 - NormalDist().cdf(NormalDist().inv_cdf(1 - level / 2))) == pytest.approx(level)


@pytest.mark.parametrize("equation", ["DAE.7"])
def test_no_function_of_the_corrupted_datum_beats_the_posterior_mean(equation):
    rng = np.random.default_rng(0)
    x, points = rng.normal(size=(6, 2)), rng.normal(size=(9, 2))  # data; the corrupted points that there are
    joint = rng.dirichlet(np.ones(54)).reshape(9, 6)  # the probability of each pair
    mean = joint @ x / joint.sum(axis=1, keepdims=True)

    def cost(f):
        return (joint * ((f[:, None] - x) ** 2).sum(axis=2)).sum()

    f = points @ rng.normal(size=(2, 2))
    beyond = (joint.sum(axis=1) * ((f - mean) ** 2).sum(axis=1)).sum()
    assert cost(f) == pytest.approx(beyond + cost(mean)) and beyond > 0.1


@pytest.mark.parametrize("equation", ["DAE.8"])
def test_the_posterior_mean_lies_along_the_score_of_the_blurred_data(equation):
    drawn = figure(16)
    x, sigma, h = drawn.data(30), 0.4, 1e-5
    points = np.random.default_rng(0).normal(size=(5, 2))

    def log_density(at):  # up to a constant
        return np.log(np.exp(-((at[:, None] - x) ** 2).sum(axis=2) / (2 * sigma**2)).mean(axis=1))

    score = np.stack([(log_density(points + h * e) - log_density(points - h * e)) / (2 * h) for e in np.eye(2)], axis=1)
    np.testing.assert_allclose(drawn.posterior_mean(points, x, sigma) - points, sigma**2 * score, rtol=1e-6)


@pytest.mark.parametrize("equation", ["DAE.9 DAE.10"])
@pytest.mark.parametrize("Z, printed", [(4, "1.15"), (3, "1.2333")])
def test_linear_denoising_has_the_loss_on_paper(equation, Z, printed):
    """A target that is the corrupted x, noise that never reaches the encoder, a mean over pixels: each gives another loss."""
    x, eps = with_moments()
    best = LAMBDA * (np.arange(4) < Z) / (LAMBDA + 1)
    model = denoiser(Z, np.diag(best), "gaussian", 1.0)
    terms, grads = model.loss_and_grads(x, eps)
    A = np.diag(best)
    on_paper = (np.trace((np.eye(4) - A).T @ np.diag(LAMBDA) @ (np.eye(4) - A)) + (A**2).sum()) / 2  # DAE.9
    minimum = ((LAMBDA / (LAMBDA + 1))[:Z].sum() + LAMBDA[Z:].sum()) / 2  # DAE.10
    assert terms.loss == pytest.approx(on_paper, rel=1e-12) and on_paper == pytest.approx(minimum, rel=1e-12)
    assert largest(grads) < 1e-12
    assert agrees(printed, minimum) and printed in answers()
    rng = np.random.default_rng(0)
    for _ in range(20):  # others are worse
        other = denoiser(Z, A + 0.1 * rng.normal(size=(4, 4)), "gaussian", 1.0)
        assert other.loss(x, eps).loss > minimum


@pytest.mark.parametrize("equation", ["DAE.11"])
def test_linear_masking_has_the_optimum_on_paper(equation):
    """Pixels that are scaled up by 1 / (1 - v), as dropout does it, have another."""
    rng, v, D = np.random.default_rng(0), 0.25, 3
    x = rng.normal(size=(5, D)) @ rng.normal(size=(D, D))
    x = x - x.mean(axis=0)
    S = x.T @ x / len(x)
    A = np.linalg.inv((1 - v) * S + v * np.diag(np.diag(S))) @ S
    masks = np.array([*product((0.0, 0.0, 0.0, 9.0), repeat=D)])  # each pixel is masked in a quarter of them
    model = denoiser(D, A, "masking", v, D)
    everywhere = np.repeat(x, len(masks), axis=0), np.tile(masks, (len(x), 1))
    assert largest(model.loss_and_grads(*everywhere)[1]) < 1e-12
    assert largest(denoiser(D, (1 - v) * A, "masking", v, D).loss_and_grads(*everywhere)[1]) > 0.1
    uncorrelated = np.diag(np.diag(S))
    np.testing.assert_allclose(np.linalg.inv((1 - v) * uncorrelated + v * uncorrelated) @ uncorrelated, np.eye(D))


# ---- sparse codes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["SPARSE.4"])
def test_kl_of_the_mean_activation_and_its_slope(equation):
    """Known values; the reverse KL, a sum over data, a mean over latents have others."""
    a = np.array([[np.log(0.1 / 0.9)], [np.log(0.3 / 0.7)]])  # activations 0.1 and 0.3: the mean is 0.2
    kl, slope = ops.sparse_kl_forward(a, 0.05), ops.sparse_kl_backward(1.0, a, 0.05)
    value, rise, reverse = "0.093943", "0.9375", "0.139779"
    assert agrees(value, kl) and {value, rise, reverse} <= set(answers())
    np.testing.assert_allclose(slope[:, 0], float(rise) * np.array([0.09, 0.21]) / 2, rtol=1e-12)
    assert agrees(reverse, 0.2 * np.log(0.2 / 0.05) + 0.8 * np.log(0.8 / 0.95))
    assert ops.sparse_kl_forward(np.tile(a, (3, 4)), 0.05) == pytest.approx(4 * kl)  # a sum over latents, no sum over data
    assert (ops.sparse_kl_backward(1.0, np.full((3, 2), np.log(0.05 / 0.95)), 0.05) < 1e-16).all()


@pytest.mark.parametrize("equation", ["SPARSE.9"])
@pytest.mark.parametrize("at", [16.7, 76.7, 100, 104, 1e4, -92, -102, -104, -1e4])
def test_the_kl_keeps_its_digits_where_all_units_are_active_or_none_is(equation, at):
    a = np.array([[at, at + 1], [at + 0.5, at], [at, at - 0.5]], np.float32)
    assert (1 - ops.sigmoid_forward(np.float32(16.7)) == 0) and "a_{nj} > 16.7" in NOTE
    wide, dtype = a.astype(np.float64), np.float32
    h_hat, c = ops.scaled_sigmoid(wide)
    np.testing.assert_allclose(np.log(h_hat) + c, -np.logaddexp(0, -wide), rtol=1e-12, atol=1e-15)
    log_r, log_not_r = ops.log_mean_exp(-np.logaddexp(0, -wide).T), ops.log_mean_exp(-np.logaddexp(0, wide).T)
    kl = (0.05 * (np.log(0.05) - log_r) + 0.95 * (np.log(0.95) - log_not_r)).sum()
    assert ops.sparse_kl_forward(a, 0.05) == pytest.approx(kl, rel=1e-5) and ops.sparse_kl_forward(a, 0.05).dtype == dtype
    da = ops.sparse_kl_backward(1.0, a, 0.05)
    np.testing.assert_allclose(da, ops.sparse_kl_backward(1.0, wide, 0.05), rtol=1e-5, atol=1e-8)
    assert da.dtype == dtype and da.sum() == pytest.approx(2 * (0.95 if at > 0 else -0.05), rel=1e-4)  # its slope in a shift of all


@pytest.mark.parametrize("equation", ["SPARSE.8"])
@pytest.mark.parametrize("code", ["linear", "relu"])
def test_l1_is_evaded_by_a_small_code_and_a_large_decoder(equation, code):
    x = np.random.default_rng(0).uniform(size=(6, 5))
    model = SparseAutoencoder(5, (4,), 3, penalty="l1", code=code, weight=2.0, dtype="float64")
    before = model.loss(x)
    model.params.update(
        encoder_W2=model.params["encoder_W2"] / 10, encoder_b2=model.params["encoder_b2"] / 10,
        decoder_W1=model.params["decoder_W1"] * 10,
    )  # fmt: skip
    after = model.loss(x)
    assert after.recon_nll == pytest.approx(before.recon_nll, rel=1e-12) and before.loss - before.recon_nll > 0.1
    assert after.loss - after.recon_nll == pytest.approx((before.loss - before.recon_nll) / 10, rel=1e-9)


def test_the_kl_is_evaded_by_codes_close_to_rho():
    x = np.random.default_rng(0).uniform(size=(20, 6))
    model, logit, prices = SparseAutoencoder(6, (), 6, likelihood="squared-error", rho=0.05, dtype="float64"), np.log(0.05 / 0.95), []
    for scale in (0.1, 0.01):
        model.params.update(
            encoder_W1=scale * np.eye(6), encoder_b1=np.full(6, logit), decoder_W1=np.eye(6) / (scale * 0.05 * 0.95),
            decoder_b1=np.full(6, -1 / (scale * 0.95)),
        )  # fmt: skip
        terms = model.loss(x)
        prices.append((terms.loss - terms.recon_nll, terms.recon_nll))
    (price, nll), (less, better) = prices
    assert less < price / 100 < 1e-5 and better < nll / 10 and better < 1e-3


# ---- contraction -------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["CAE.3 CAE.4"])
@pytest.mark.parametrize("activation", ops.SLOPES)
def test_slopes_of_the_activations(equation, activation):
    """h (1 - h) on every activation, a public mistake, is right on one."""
    a, h = np.array([[-1.3, -0.2, 0.4, 2.1]]), 1e-5
    act_forward, act_backward = ops.ACTIVATIONS[activation]
    out = act_forward(a)
    p = ops.slope_forward(out, activation)
    np.testing.assert_allclose(p, (act_forward(a + h) - act_forward(a - h)) / (2 * h), rtol=1e-8)
    np.testing.assert_allclose(p, act_backward(np.ones_like(out), out), rtol=1e-14)
    second = (ops.slope_forward(act_forward(a + h), activation) - ops.slope_forward(act_forward(a - h), activation)) / (2 * h)
    np.testing.assert_allclose(ops.slope_backward(p, out, activation), second, atol=1e-8)
    assert activation in [row[0] for row in table(NOTE, "activation")]


@pytest.mark.parametrize("equation", ["CAE.14"])
def test_a_random_direction_is_right_on_average(equation):
    J = np.random.default_rng(0).normal(size=(7, 3))
    square = (J**2).sum()
    by_axes = sum(ops.squared_norm_forward(e[None] @ J)[0] for e in np.eye(7))  # mean of u u^T over these: I / 7
    assert by_axes == pytest.approx(square)
    u = np.random.default_rng(1).normal(size=(100_000, 7))
    drawn = ops.squared_norm_forward(u @ J)
    assert drawn.mean() == pytest.approx(square, abs=4 * drawn.std() / np.sqrt(len(u)))
    assert abs(ops.squared_norm_forward(np.ones((1, 7)) @ J)[0] - square) > 1


@pytest.mark.parametrize("equation", ["CAE.15 CAE.16"])
@pytest.mark.parametrize("weight, printed, left", [(0.3, "1.03125", 4), (1.5, "2.90625", 2)])
def test_linear_contraction_has_the_loss_on_paper(equation, weight, printed, left):
    """Untied weights, the mean over entries in place of the sum, a gradient that misses either use of W: none gets here."""
    x, _ = with_moments()
    m = np.maximum(0, 1 - weight / LAMBDA)
    minimum = np.where(weight < LAMBDA, weight - weight**2 / (2 * LAMBDA), LAMBDA / 2).sum()
    assert agrees(printed, minimum) and printed in answers() and (m > 0).sum() == left
    model = linear_model(ContractiveAutoencoder, 4, 4, "squared-error", activation="linear", weight=weight)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    model.params["encoder_W1"] = np.diag(np.sqrt(m)) @ rotation
    terms, grads = model.loss_and_grads(x)
    M = model.params["encoder_W1"] @ model.params["encoder_W1"].T
    on_paper = np.trace((np.eye(4) - M) @ np.diag(LAMBDA) @ (np.eye(4) - M)) / 2 + weight * np.trace(M)
    assert terms.loss == pytest.approx(on_paper) and terms.loss == pytest.approx(minimum, rel=1e-12)
    assert largest(grads) < 1e-12
    rng, best = np.random.default_rng(1), model.params["encoder_W1"].copy()
    for _ in range(20):
        model.params["encoder_W1"] = best + 0.1 * rng.normal(size=(4, 4))
        assert model.loss(x).loss > minimum


@pytest.mark.parametrize("equation", ["CAE.17"])
def test_denoising_with_little_noise_contracts_the_reconstruction(equation):
    """The limit in the note's session, from derivatives of the reconstruction."""
    kinds = {"likelihood": "squared-error", "corruption": "gaussian", "dtype": "float64"}
    model, x, h = DenoisingAutoencoder(2, (3,), 2, "tanh", **kinds), np.array([[0.3, -0.5]]), 1e-4
    f, ahead, behind = (model.reconstruct(x + step * np.eye(2)) for step in (0, h, -h))
    F, traces = (ahead - behind) / (2 * h), ((ahead - 2 * f + behind) / h**2).sum(axis=0)
    limit = (F**2).sum() + ((f[0] - x[0]) * traces).sum()
    session = re.search(r"\(0\.4, 0\.2, 0\.1, 0\.05\)\]\n\[(.*)\]", NOTE).group(1)
    gaps = limit - np.array(session.split(", "), float)
    np.testing.assert_allclose(gaps[:-1] / gaps[1:], 4, rtol=0.05)
    assert abs((F**2).sum() - limit) > 0.01  # the term with the second derivatives counts here


def test_a_saturated_unit():
    p = ops.slope_forward(np.array([[0.9]]), "sigmoid")
    dp, _ = ops.contraction_backward(np.ones(1), p, np.array([[2.0]]))
    slope = ops.sigmoid_backward(ops.slope_backward(dp, np.array([[0.9]]), "sigmoid"), np.array([[0.9]]))
    assert agrees("0.0324", ops.contraction_forward(p, np.array([[2.0]]))[0]) and agrees("-0.05184", slope[0, 0])
    assert {"0.0324", "-0.05184"} <= set(answers())

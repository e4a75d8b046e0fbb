"""Promise: the autoencoder note is right: its loss, the freedom of its codes, and the linear autoencoder as PCA."""

import re

import numpy as np
import pytest
from helpers import descend, figure, joined, linear_model, note

from vae_from_scratch import ops
from vae_from_scratch.autoencoder import Autoencoder
from vae_from_scratch.optimizers import Adam

ROUNDING = 1e-12  # float64 on well-conditioned matrices of at most 7 rows: some hundred operations at 1e-16 each
D, Z, N = 5, 2, 40


def data(seed=0):
    """Correlated data (N, D) far from the origin; covariance, eigenvalues (falling) and eigenvectors."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(D, D)))
    x = rng.normal(size=(N, D)) * [3, 2, 1, 0.7, 0.5] @ axes.T + 10 * axes[:, 4]  # the mean lies along the weakest axis
    S = np.cov(x.T, bias=True)
    eigenvalues, U = np.linalg.eigh(S)
    return x, S, eigenvalues[::-1], U[:, ::-1]


def linear(**settings):
    return linear_model(Autoencoder, D, Z, "squared-error", **settings)


def subspace(rng):
    return np.linalg.qr(rng.normal(size=(D, Z)))[0]


def projection(rows):
    """Orthogonal projection (D, D) onto the span of the rows."""
    V = np.linalg.qr(rows.T)[0]
    return V @ V.T


@pytest.mark.parametrize("equation", ["PCA.1"])
def test_the_loss_does_not_see_an_invertible_map_of_the_codes(equation):
    rng = np.random.default_rng(0)
    x, *_ = data()
    model = Autoencoder(data_dim=D, hidden=(7,), latent_dim=Z, likelihood="squared-error", dtype="float64")
    before, codes, T = model.loss(x).loss, model.encode(x), rng.normal(size=(Z, Z))
    model.params["encoder_W2"][...] = model.params["encoder_W2"] @ T
    model.params["encoder_b2"][...] = model.params["encoder_b2"] @ T
    model.params["decoder_W1"][...] = np.linalg.inv(T) @ model.params["decoder_W1"]
    assert model.loss(x).loss == pytest.approx(before, rel=ROUNDING)
    assert abs(model.encode(x) - codes).max() > 0.1  # the codes did move


@pytest.mark.parametrize("equation", ["PCA.2 PCA.3"])
@pytest.mark.parametrize("seed", range(5))
def test_best_code_and_offset_for_a_given_decoder(equation, seed):
    rng = np.random.default_rng(seed)
    x, S, *_ = data(seed)
    V = subspace(rng)
    P = V @ V.T
    floor = (((x - x.mean(axis=0)) @ (np.eye(D) - P)) ** 2).sum() / (2 * N)
    assert floor == pytest.approx((np.trace(S) - np.trace(P @ S)) / 2, rel=1e-10)  # PCA.3; a difference costs digits

    W2 = rng.normal(size=(Z, Z)) @ V.T  # any decoder with this subspace

    def best_codes_given(b2):  # least squares: no encoder can do better
        z = np.linalg.lstsq(W2.T, (x - b2).T, rcond=None)[0].T
        return ops.squared_error_forward(z @ W2 + b2, x).mean()

    assert best_codes_given(x.mean(axis=0)) == pytest.approx(floor, rel=1e-10)  # PCA.2 with equality
    for _ in range(20):
        assert best_codes_given(x.mean(axis=0) + rng.normal(size=D)) > floor


@pytest.mark.parametrize("equation", ["PCA.4"])
def test_no_subspace_keeps_more_variance_than_the_principal_one(equation):
    rng = np.random.default_rng(0)
    _, S, L, U = data()
    for _ in range(50):
        V = subspace(rng)
        w = ((V.T @ U) ** 2).sum(axis=0)
        lost = L[:Z].sum() - np.trace(V @ V.T @ S)
        by_weights = ((L[:Z] - L[Z - 1]) * (1 - w[:Z])).sum() + ((L[Z - 1] - L[Z:]) * w[Z:]).sum()
        assert lost == pytest.approx(by_weights, abs=ROUNDING * L.sum())
        assert lost > 0 and (w >= 0).all() and (w <= 1 + ROUNDING).all() and w.sum() == pytest.approx(Z)
    assert np.trace(U[:, :Z] @ U[:, :Z].T @ S) == pytest.approx(L[:Z].sum())


@pytest.mark.parametrize("equation", ["PCA.5 PCA.6"])
def test_the_solution_reaches_the_minimum_and_its_gradient_vanishes(equation):
    x, _, L, U = data()
    R = np.random.default_rng(1).normal(size=(Z, Z))
    model, mean = linear(), x.mean(axis=0)
    W1 = U[:, :Z] @ np.linalg.inv(R)
    solution = {"encoder_W1": W1, "encoder_b1": -mean @ W1, "decoder_W1": R @ U[:, :Z].T, "decoder_b1": mean}
    for name, value in solution.items():
        model.params[name][...] = value
    terms, grads = model.loss_and_grads(x)
    assert terms.loss == pytest.approx(L[Z:].sum() / 2, rel=1e-10)
    for grad in grads.values():
        assert abs(grad).max() < 1e-10  # of terms up to about 100
    right = np.linalg.svd(x - mean)  # the columns of V, as rows, and s: how PCA is computed
    np.testing.assert_allclose(right.S**2 / N, L, rtol=1e-10)
    np.testing.assert_allclose(projection(right.Vh[:Z]), U[:, :Z] @ U[:, :Z].T, atol=1e-10)
    c = np.array([0.7, -1.2])  # a constant added to every code is free, too
    model.params["encoder_b1"] += c
    model.params["decoder_b1"] -= c @ model.params["decoder_W1"]
    assert model.loss(x).loss == pytest.approx(terms.loss, rel=1e-10)
    # neither axes, nor orthogonal: R is free
    assert abs(model.params["decoder_W1"][0] @ model.params["decoder_W1"][1]) > 0.1


@pytest.mark.parametrize("equation", ["PCA.5 PCA.6"])
@pytest.mark.parametrize("seed", [0, 1])
def test_training_finds_the_principal_subspace(equation, seed):
    x, _, L, U = data()
    x = x - x.mean(axis=0) + 1  # a mean of 10 would be learned too, but more slowly
    model, steps = linear(seed=seed), 2000
    descend(model, Adam(lr=lambda step: 0.1 * (1 - step / steps)), steps, lambda: (x,))
    excess = model.loss(x).loss - L[Z:].sum() / 2
    assert -ROUNDING < excess < 1e-5
    # by PCA.4, sum_{i>Z} w_i <= 2 excess / (L_Z - L_{Z+1}); the squared distance of two projections is twice that sum
    distance = np.linalg.norm(projection(model.params["decoder_W1"]) - U[:, :Z] @ U[:, :Z].T)
    assert distance**2 <= 4 * max(excess, 0) / (L[Z - 1] - L[Z]) + ROUNDING


def test_without_biases_the_subspace_is_that_of_the_uncentred_moments():
    x, _, L, U = data()
    moment, E = np.linalg.eigh(x.T @ x / N)
    V = E[:, ::-1][:, :Z]

    def loss_without_biases(V):
        return ops.squared_error_forward(x @ V @ V.T, x).mean()

    assert loss_without_biases(V) == pytest.approx(moment[: D - Z].sum() / 2, rel=1e-10)
    assert loss_without_biases(V) > L[Z:].sum() / 2 * 1.1  # worse than PCA ...
    assert loss_without_biases(U[:, :Z]) > loss_without_biases(V) * 1.1  # ... and another subspace:
    mean = x.mean(axis=0)
    assert np.linalg.norm(mean @ V @ V.T) > 0.9 * np.linalg.norm(mean)  # a direction is spent on the mean


def test_one_fixed_sigma_is_squared_error_scaled_and_shifted():
    rng = np.random.default_rng(0)
    recon, x = rng.normal(size=(2, N, D))
    for r in (0.0, 2 * np.log(0.3)):
        nll = ops.gaussian_nll_forward(recon, np.float64(r), x)
        expected = ops.squared_error_forward(recon, x) * np.exp(-r) + D * (np.log(2 * np.pi) + r) / 2
        np.testing.assert_allclose(nll, expected, rtol=ROUNDING)


def test_the_numbers_by_hand():
    printed = re.search(
        r"`S`\$ with ([\d.]+) on the diagonal and ([\d.]+) off it.*?Lambda_1 = ([\d.]+)`.*?"
        r"Lambda_2 = ([\d.]+)`.*?loss of \$`([\d.]+)`",
        joined(note(1)),
    )
    S = np.cov([[2, 1, -2, -1], [1, 2, -1, -2]], bias=True)
    second, first = np.linalg.eigvalsh(S)
    assert list(map(float, printed.groups())) == pytest.approx([S[0, 0], S[0, 1], first, second, second / 2])


@pytest.mark.parametrize("seed", [1, 2])
def test_answer_a_moved_mean_changes_nothing(seed):
    x = 10 + np.array([[2.0, 1], [1, 2], [-2, -1], [-1, -2]])
    model = linear_model(Autoencoder, 2, 1, "squared-error", seed=seed)
    descend(model, Adam(lr=lambda step: 0.1 * (1 - step / 5000)), 5000, lambda: (x,))
    assert 0.25 - ROUNDING < model.loss(x).loss < 0.25 + 1e-5  # seed 1 is the slowest, at 5e-10 on one machine
    ((first, second),) = model.params["decoder_W1"]
    assert first == pytest.approx(second, rel=1e-2) and abs(first - 1) > 0.05 and abs(first - 2**-0.5) > 0.05


def test_pencil_1_two_subspaces():
    eigenvalues, rotated = np.diag([5.0, 3, 1, 1]), np.array([[1, 0, 0, 0], [0, 0.5**0.5, 0.5**0.5, 0]]).T
    best = (np.trace(eigenvalues) - 5 - 3) / 2
    kept = np.trace(rotated @ rotated.T @ eigenvalues)
    printed = re.search(r"1 \+ 1\) = (\d)`.*?0\.5 = (\d)`.*?\(10 - 7\) = ([\d.]+)`", joined(note(1)))
    assert list(map(float, printed.groups())) == pytest.approx([best, kept, (10 - kept) / 2])


def test_pencil_2_tied_weights_leave_a_turn():
    rng = np.random.default_rng(0)
    *_, U = data()
    R, turn = rng.normal(size=(Z, Z)), np.linalg.qr(rng.normal(size=(Z, Z)))[0]
    for matrix, tied in ((R, False), (turn, True)):
        W1, W2 = U[:, :Z] @ np.linalg.inv(matrix), matrix @ U[:, :Z].T
        assert np.allclose(W2, W1.T, atol=ROUNDING) == tied
    assert abs(turn[0, 0]) < 0.99  # and it is no axis


def test_pencil_3_weight_decay_fixes_the_scale():
    variance, decay = 4.0, 1.0
    x = np.array([[2.0], [-2.0]])

    def loss(w1, w2):
        return ops.squared_error_forward(x * w1 * w2, x).mean() + decay * (w1**2 + w2**2) / 2

    printed = re.search(
        r"Here \$`w_1\^2 = ([\d.]+)`\$, and the loss is ([\d.]+), against (\d) .*?`([\d.]+) \\, x`", joined(note(1))
    )
    square, best, at_zero, shrunk = map(float, printed.groups())
    assert (square, best, at_zero) == (1 - decay / variance, loss(square**0.5, square**0.5), loss(0, 0))
    assert shrunk == square and loss(-(square**0.5), -(square**0.5)) == best
    grid = np.linspace(-2, 2, 81)
    assert min(loss(w1, w2) for w1 in grid for w2 in grid) >= best - ROUNDING


def test_the_figure_shows_what_its_caption_says():
    drawn = figure(1)
    x, _ = drawn.blobs(90)
    model, loss = drawn.trained(x, drawn.STARTS[0])
    assert loss < 0.05 < 0.1 * ops.squared_error_forward(x.mean(axis=0), x).mean()
    codes = model.encode(x)
    gaps = np.linalg.norm(codes - np.roll(codes, 1, axis=0), axis=1)
    assert gaps.max() > 2 * gaps.min()  # not equally spaced
    dots = np.linspace(codes[0], codes[45], 9)[1:-1]
    assert np.linalg.norm(dots[:, None] - codes, axis=2).min() > gaps.mean()  # the line is not on the curve
    assert ops.squared_error_forward(model.decode(dots[[3]]), x).min() > 10 * loss  # nothing in the data looks like it

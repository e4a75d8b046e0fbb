"""Promise: the denoising, sparse and contractive autoencoders compute what note 16 says, where a consistent pair could be wrong."""

import numpy as np
import pytest

from vae_from_scratch import (
    Adam, Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder, datasets, evaluation, fit, ops,
)  # fmt: skip
from vae_from_scratch.engine import gradient_table
from vae_from_scratch.gradcheck import check_model

SMALL = {"data_dim": 7, "hidden": (5, 4), "latent_dim": 3, "dtype": "float64"}
X = np.random.default_rng(0).uniform(size=(9, 7))


def moved(model, seed=0):
    """The model, with parameters away from zero."""
    rng = np.random.default_rng(seed)
    for value in model.params.values():
        value[...] = rng.normal(size=value.shape) * 0.7
    return model


def step(encode, x, direction, h=1e-5):
    """How fast the code moves when x goes in a direction: (N, Z)."""
    return (encode(x + h * direction) - encode(x - h * direction)) / (2 * h)


# ---- denoising ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("corruption", DenoisingAutoencoder.choices["corruption"])
def test_the_encoder_sees_the_corrupted_x_and_the_cost_the_clean_one(corruption):
    model = moved(DenoisingAutoencoder(**SMALL, likelihood="squared-error", corruption=corruption, level=0.4))
    eps = np.random.default_rng(1).normal(size=X.shape)
    corrupted, terms = model.corrupt(X, eps), model.loss(X, eps)
    np.testing.assert_array_equal(terms.recon_nll_each, model.recon_nll(X, model.encode(corrupted)))
    for target, seen in ((corrupted, corrupted), (X, X), (corrupted, X)):
        assert not np.allclose(terms.recon_nll_each, model.recon_nll(target, model.encode(seen)))
    assert terms.loss == terms.recon_nll == terms.recon_nll_each.mean() and terms.kl == 0


def test_kept_pixels_stay_and_the_others_go_to_zero_or_one():
    """Scaling what is kept, as dropout does, would change the former."""
    eps = np.random.default_rng(1).normal(size=X.shape)
    for corruption, ends in (("masking", {0.0}), ("salt-and-pepper", {0.0, 1.0})):
        model = DenoisingAutoencoder(**SMALL, corruption=corruption, level=0.4)
        corrupted = model.corrupt(X, eps)
        gone = corrupted != X
        assert {*corrupted[gone]} == ends and 0.2 < gone.mean() < 0.6
        np.testing.assert_array_equal(model.corrupt(X, np.zeros_like(X)), X)
        model.set(level=0.0)
        np.testing.assert_array_equal(model.corrupt(X, eps), X)
    np.testing.assert_allclose(DenoisingAutoencoder(**SMALL, corruption="gaussian", level=2).corrupt(X, eps), X + 2 * eps)


def test_every_step_of_training_draws_its_corruption(monkeypatch):
    """A mask that is drawn once is a fixed smaller data set."""
    seen, model = [], DenoisingAutoencoder(**{**SMALL, "dtype": "float32"})
    original = DenoisingAutoencoder.corrupt
    monkeypatch.setattr(DenoisingAutoencoder, "corrupt", lambda self, x, eps: seen.append(eps) or original(self, x, eps))
    fit(model, X, batch_size=9, epochs=3, progress=False)
    drawn = [eps for eps in seen if eps.any()]
    assert len(drawn) == 3 and not np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[1], drawn[2])


def test_outside_of_training_nothing_is_corrupted():
    model, plain = moved(DenoisingAutoencoder(**SMALL)), Autoencoder(**SMALL)
    plain.params = model.params
    seen, expected = evaluation.evaluate(model, X, seed=3), evaluation.evaluate(plain, X)
    assert seen.loss == seen.recon_nll == expected.recon_nll
    np.testing.assert_array_equal(model.encode(X), plain.encode(X))
    np.testing.assert_array_equal(model.reconstruct(X), plain.reconstruct(X))
    history = fit(model, X, batch_size=9, epochs=1, x_valid=X, progress=False)
    plain.params = model.params
    assert history["valid_loss"][0] == pytest.approx(evaluation.evaluate(plain, X).loss, rel=1e-12)


def test_level_zero_is_the_plain_autoencoder_bit_for_bit():
    model, plain = DenoisingAutoencoder(**SMALL, level=0.0), Autoencoder(**SMALL)
    noise = model.draw_noise(9, np.random.default_rng(0))
    (terms, grads), (expected, same) = model.loss_and_grads(X, *noise), plain.loss_and_grads(X)
    assert terms.loss == expected.loss and np.array_equal(grads.vector, same.vector)


# ---- sparse ------------------------------------------------------------------------------------------


def test_the_kl_is_of_the_mean_over_the_batch():
    """A KL for every datum, a mean over the latents, a softmax of the code, KL(r || rho): each has another value."""
    model = moved(SparseAutoencoder(**SMALL, weight=2.0, rho=0.1))
    terms, r = model.loss(X), model.encode(X).mean(axis=0)
    kl = (0.1 * np.log(0.1 / r) + 0.9 * np.log(0.9 / (1 - r))).sum()
    assert terms.loss - terms.recon_nll == pytest.approx(2 * kl, rel=1e-12) and kl > 0.1
    halves = [model.loss(part) for part in (X[:4], X[4:])]
    apart = sum(n * (half.loss - half.recon_nll) for n, half in zip((4, 5), halves)) / 9
    assert apart - 2 * kl > 1e-3 and not model.rows_apart  # convex: the parts cost more
    assert model.loss(np.tile(X, (3, 1))).loss == pytest.approx(terms.loss)


def test_the_gradient_of_the_kl_lowers_a_mean_that_is_too_high():
    """A wrong sign would raise it."""
    a = np.array([[2.0, -4.0], [1.0, -5.0], [0.5, -6.0]])  # means above and below rho
    da = ops.sparse_kl_backward(1.0, a, 0.05)
    assert (da[:, 0] > 0).all() and (da[:, 1] < 0).all()


@pytest.mark.parametrize("code", SparseAutoencoder.choices["code"])
def test_l1_is_the_mean_over_data_of_the_sum_over_latents(code):
    model = moved(SparseAutoencoder(**SMALL, penalty="l1", code=code, weight=2.0))
    terms = model.loss(X)
    assert terms.loss - terms.recon_nll == pytest.approx(2 * np.abs(model.encode(X)).sum() / 9, rel=1e-12)
    assert model.encode(X).min() >= {"tanh": -1, "linear": -np.inf}.get(code, 0)


def test_a_sparse_code_is_active_as_often_as_asked():
    model = SparseAutoencoder(64, (), 40, likelihood="squared-error", weight=3.0, rho=0.1)
    fit(model, datasets.digits(), Adam(lr=3e-3), epochs=10, progress=False)
    np.testing.assert_allclose(model.encode(datasets.digits()[:]).mean(axis=0), 0.1, atol=0.04)


# ---- contractive -------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ops.SLOPES)
def test_the_norm_is_that_of_the_jacobian(activation):
    """h (1 - h) on every activation, the gradient of the sum of the code, a mean over entries: each has another value."""
    model = moved(ContractiveAutoencoder(**{**SMALL, "hidden": ()}, activation=activation, weight=0.5))
    terms = model.loss(X)
    squares = sum((step(model.encode, X, axis) ** 2).sum() for axis in np.eye(7))
    assert terms.loss - terms.recon_nll == pytest.approx(0.5 * squares / 9, rel=1e-8)


@pytest.mark.parametrize("activation", ops.SLOPES)
def test_of_a_deeper_encoder_a_direction_is_taken_through_all_layers(activation):
    model = moved(ContractiveAutoencoder(**SMALL, activation=activation, weight=0.5))
    (u,) = model.draw_noise(9, np.random.default_rng(0))
    terms = model.loss(X, u)
    assert terms.loss - terms.recon_nll == pytest.approx(0.5 * (step(model.encode, X, u) ** 2).sum() / 9, rel=1e-7)
    exact = sum((step(model.encode, X, axis) ** 2).sum() for axis in np.eye(7)) / 9
    along_axes = [model.loss(X, np.tile(axis, (9, 1))) for axis in np.eye(7)]
    assert sum(each.loss - each.recon_nll for each in along_axes) == pytest.approx(0.5 * exact, rel=1e-7)


@pytest.mark.parametrize("activation", ops.SLOPES)
def test_one_layer_along_all_axes_is_the_exact_form_gradient_included(activation):
    """The pairs of deeper encoders, run on one layer."""
    rng = np.random.default_rng(0)
    p, W, dnorm = rng.normal(size=(4, 3)), rng.normal(size=(7, 3)), rng.normal(size=4)
    exact, by_axes = ops.contraction_backward(dnorm, p, W), [0, 0]
    for axis in np.eye(7):
        t = np.tile(axis, (4, 1))
        _, dW, dp = ops.tangent_backward(ops.squared_norm_backward(dnorm, ops.tangent_forward(t, W, p)), t, W, p)
        by_axes = [by_axes[0] + dp, by_axes[1] + dW]
    for one, other in zip(by_axes, exact):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_weights_are_tied():
    model = moved(ContractiveAutoencoder(**SMALL, likelihood="squared-error"))
    assert [name for name in model.params if "decoder" in name] == ["decoder_b1", "decoder_b2", "decoder_b3"]
    z, p = model.encode(X), model.params
    h = np.tanh(np.tanh(z @ p["encoder_W3"].T + p["decoder_b1"]) @ p["encoder_W2"].T + p["decoder_b2"])
    np.testing.assert_allclose(model.decode(z), h @ p["encoder_W1"].T + p["decoder_b3"], rtol=1e-12)


def test_gradients_written_over_old_ones_are_the_same():
    for hidden in ((), (5, 4)):
        model = moved(ContractiveAutoencoder(**{**SMALL, "hidden": hidden}))
        noise, out = model.draw_noise(9, np.random.default_rng(0)), model.params.copy()
        _, grads = model.loss_and_grads(X, *noise)
        model.loss_and_grads(X, *noise, out=out)
        assert np.array_equal(out.vector, grads.vector)


def test_a_weight_moves_the_jacobian_down():
    norms = []
    for weight in (0.0, 1.0):
        model = ContractiveAutoencoder(64, (), 40, "sigmoid", likelihood="squared-error", weight=weight)
        fit(model, datasets.digits(), Adam(lr=3e-3), epochs=10, progress=False)
        p = ops.slope_forward(model.encode(datasets.digits("test")[:]), "sigmoid")
        norms.append(ops.contraction_forward(p, model.params["encoder_W1"]).mean())
    assert norms[1] < 0.5 * norms[0]


# ---- all three ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda **how: DenoisingAutoencoder(7, (5,), 3, **how),
        lambda **how: SparseAutoencoder(7, (5,), 3, **how),
        lambda **how: ContractiveAutoencoder(7, (), 3, **how),
        lambda **how: ContractiveAutoencoder(7, (5, 4), 3, **how),
    ],
)
def test_both_backends_agree(make):
    fast, plain = (make(backend=backend) for backend in ("numba", "numpy"))
    noise = fast.draw_noise(9, np.random.default_rng(0))
    (terms, grads), (expected, others) = fast.loss_and_grads(X, *noise), plain.loss_and_grads(X, *noise)
    assert terms.loss == pytest.approx(expected.loss, rel=1e-5) and terms.loss.dtype == np.float32
    np.testing.assert_allclose(grads.vector, others.vector, rtol=1e-4, atol=1e-6)


HALVES = {  # the halves of a gradient that public versions leave out: what to put in the pair's place
    "slopes constant": ("slope_backward", lambda dp, h, activation: 0 * dp),
    "weights constant": ("contraction_backward", lambda dnorm, p, W: (ops_contraction(dnorm, p, W)[0], 0 * W)),
    "slope of the sigmoid": ("slope_backward", lambda dp, h, activation: dp * (1 - 2 * h)),
}
ops_contraction = ops.contraction_backward


@pytest.mark.parametrize("name, mistake", HALVES.values(), ids=HALVES)
def test_half_a_gradient_is_no_gradient(name, mistake, monkeypatch):
    model, x, noise = gradient_table.small_case(ContractiveAutoencoder, "float64", "tanh", "bernoulli", hidden=(), weight=5.0)
    assert all(check.ok for check in check_model(model, x, *noise))
    monkeypatch.setattr(ops, name, mistake)
    assert max(check.error for check in check_model(model, x, *noise)) > 0.1

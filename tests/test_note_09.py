"""Promise: note 9's statements on steps, on the prior and on initial weights hold for the package's optimizers."""

import numpy as np
import pytest
from helpers import descend, figure, joined, note, table

from vae_from_scratch.engine import gradient_table
from vae_from_scratch import gradcheck, mlp, ops, optimizers
from vae_from_scratch.vae import VAE

NOTE = joined(note(9))
BETA1, BETA2 = 0.9, 0.999


def steps(update, slots, gradients):
    """The steps of update(param, grad, *slots, t) over the gradients, and the slots after the last."""
    taken, arrays = [], [np.zeros_like(gradients[0]) for _ in range(slots)]
    for t, grad in enumerate(gradients, start=1):
        param = np.zeros_like(grad)
        update(param, grad, *arrays, t)
        taken.append(param)
    return np.array(taken), arrays


def adam(lr=1.0, eps=1e-8):
    return lambda param, grad, m, v, t: optimizers.adam_update(param, grad, m, v, t, lr, BETA1, BETA2, eps)


# ---- batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["OPT.1"])
def test_batch_gradients_average_to_the_full_gradient(equation):
    rng = np.random.default_rng(0)
    model = VAE(data_dim=5, hidden=(4,), latent_dim=2, dtype="float64")
    x, (eps,) = rng.uniform(size=(12, 5)), model.draw_noise(12, rng)
    _, full = model.loss_and_grads(x, eps)
    batches = [model.loss_and_grads(x[batch], eps[batch])[1] for batch in rng.permutation(12).reshape(3, 4)]
    for name, grad in full.items():
        # sums of at most 12 products of order one in another order: some tens of roundings of 1.1e-16
        np.testing.assert_allclose(np.mean([batch[name] for batch in batches], axis=0), grad, rtol=0, atol=1e-14)


# ---- step lengths ------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["OPT.2", "SGD.1", "SGD.2"])
def test_momentum_multiplies_the_learning_rate(equation):
    g, lr, rho = np.array([0.5, -3.0]), 0.1, 0.9
    taken, (v,) = steps(lambda param, grad, v, t: optimizers.sgd_update(param, grad, v, lr, rho), 1, [g] * 500)
    powers = rho ** np.arange(1, 501)[:, None]
    # 1e-13: 500 steps whose errors decay like rho^t
    np.testing.assert_allclose(taken, -lr * g * (1 - powers) / (1 - rho), rtol=1e-13)
    np.testing.assert_allclose(taken[-1], -g, rtol=1e-13)  # lr / (1 - rho) = 1, and 0.9^500 = 1e-23
    assert f"{1 - rho**10:.0%}".replace("%", " %") + " of that after ten steps" in NOTE


@pytest.mark.parametrize("equation", ["OPT.3", "ADAGRAD.1", "ADAGRAD.2"])
def test_adagrad_on_a_constant_gradient(equation):
    g, lr = np.array([1e-4, -3.0, 200.0]), 0.1
    taken, (g2,) = steps(lambda param, grad, g2, t: optimizers.adagrad_update(param, grad, g2, lr, 0.0), 1, [g] * 100)
    np.testing.assert_allclose(g2, 100 * g * g, rtol=1e-13)  # a hundred additions
    np.testing.assert_allclose(taken, -lr / np.sqrt(np.arange(1, 101))[:, None] * np.sign(g), rtol=1e-13)
    small, _ = steps(lambda param, grad, g2, t: optimizers.adagrad_update(param, grad, g2, lr, 1e-4), 1, [g])
    assert small[0, 0] == pytest.approx(-lr / 2)  # |g| = epsilon halves the step


@pytest.mark.parametrize("equation", ["OPT.4", "OPT.5", "ADAM.1", "ADAM.2", "ADAM.3", "ADAM.4", "ADAM.5"])
def test_adam_is_the_weighted_sums_of_its_past(equation):
    rng = np.random.default_rng(0)
    g = rng.normal(0.3, 1, size=(20, 50_000))
    taken, (m, v) = steps(adam(lr=0.1), 2, list(g))
    age = np.arange(20)[::-1, None]  # t - i
    unrolled_m, unrolled_v = ((1 - b) * (b**age * power).sum(axis=0) for b, power in ((BETA1, g), (BETA2, g**2)))
    np.testing.assert_allclose(m, unrolled_m, rtol=0, atol=1e-14)
    np.testing.assert_allclose(v, unrolled_v, rtol=1e-12)
    missing1, missing2 = 1 - BETA1**20, 1 - BETA2**20
    last = -0.1 * (unrolled_m / missing1) / (np.sqrt(unrolled_v / missing2) + 1e-8)
    np.testing.assert_allclose(taken[-1], last, rtol=0, atol=1e-12)
    # E[m] = (1 - beta1^t) E[g] over 50,000 draws, within five standard errors; the missing 12 % are 24 of them
    for moment, missing, mean in ((m, missing1, 0.3), (v, missing2, 1.09)):
        error = moment.std() / np.sqrt(moment.size)
        assert abs(moment.mean() - missing * mean) < 5 * error < abs(moment.mean() - mean)


@pytest.mark.parametrize("equation", ["OPT.6"])
def test_first_step_of_adam(equation):
    g = np.array([1e-8, 1e-6, 3.0, -200.0])
    (first,), _ = steps(adam(lr=1e-3), 2, [g])
    np.testing.assert_allclose(first, -1e-3 * g / (np.abs(g) + 1e-8), rtol=1e-12)
    np.testing.assert_allclose(first[2:], [-1e-3, 1e-3], rtol=1e-8)
    assert f"({-first[1] / 1e-3:.3f}, 1, -1)" in NOTE and f"= {1e-6 / (1e-6 + 1e-8):.3f}`$" in NOTE


@pytest.mark.parametrize("equation", ["OPT.7"])
def test_adam_without_correction(equation):
    never = 10**6  # beta^t = 0: nothing is corrected
    g = np.array([0.5, -3.0])
    taken, _ = steps(lambda p, g, m, v, t: adam(eps=0.0)(p, g, m, v, never), 2, [g] * 100)
    t = np.arange(1, 101)
    lengths = (1 - BETA1**t) / np.sqrt(1 - BETA2**t)
    np.testing.assert_allclose(taken, -lengths[:, None] * np.sign(g), rtol=1e-12)
    assert lengths.argmax() == 11
    assert f"= {lengths[0]:.2f}`$ times as long as it should be and the twelfth {lengths[11]:.2f} times" in NOTE


@pytest.mark.parametrize("equation", ["OPT.8"])
def test_adam_with_t_in_epochs(equation):
    g = np.array([0.5, -3.0])
    taken, _ = steps(lambda p, g, m, v, t: adam(eps=0.0)(p, g, m, v, 1), 2, [g] * 500)
    k = np.arange(1, 501)
    lengths = (1 - BETA1**k) / (1 - BETA1) * np.sqrt((1 - BETA2) / (1 - BETA2**k))
    np.testing.assert_allclose(taken, -lengths[:, None] * np.sign(g), rtol=1e-12)
    assert lengths.argmax() == 11 and lengths.argmin() == 499
    assert f"rises to {lengths[11]:.2f} times" in NOTE and f"fallen to {lengths[499]:.2f} at the five-hundredth" in NOTE
    right, _ = steps(adam(eps=0.0), 2, [g] * 500)
    np.testing.assert_allclose(right, np.tile(-np.sign(g), (500, 1)), rtol=1e-12)  # counted in updates: always lr


# ---- the prior ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["OPT.9", "PRIOR.1"])
def test_weight_decay_is_the_gradient_of_the_log_prior(equation):
    model, x, noise = gradient_table.small_case(VAE, "float64", "tanh", "bernoulli")
    n_train = len(x)  # the batch is the whole training set

    def objective():  # -(log p(theta) + sum of ELBOs) / n_train, without the prior's constant
        log_prior = -sum((value**2).sum() for value in model.params.values()) / 2
        terms = model.loss(x, *noise)
        return -(log_prior - (terms.recon_nll_each + terms.kl_each).sum()) / n_train

    terms, grads = model.loss_and_grads(x, *noise)
    optimizers.prior_gradient(model.params, grads, n_train)
    for name in ("encoder_W1", "encoder_b2", "decoder_W3", "decoder_b1"):
        numeric = gradcheck.numeric_gradient(objective, model.params[name], 1.0, 1e-3, gradcheck.FIVE_POINTS)
        assert gradcheck.relative_error(grads[name], numeric) < 1e-9
    squares = sum((value**2).sum() for value in model.params.values())
    assert objective() - terms.loss == pytest.approx(squares / (2 * n_train))


# ---- initial weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["GLOROT.1"])
def test_glorot_range_and_variance(equation):
    W = mlp.glorot_uniform(np.random.default_rng(0), 300, 200, np.float64)
    r = np.sqrt(6 / 500)
    assert W.shape == (300, 200) and 0.999 * r < np.abs(W).max() <= r
    # a uniform's kurtosis is 9/5: the variance of 60,000 draws errs by sqrt(0.8 / 60000) = 0.37 %; five of these
    assert W.var() == pytest.approx(2 / 500, rel=0.0183)


@pytest.mark.parametrize("equation", ["UNIFORM.1"])
def test_uniform_start_passes_on_a_third(equation):
    network = mlp.MLP("net", (300, 200, 50), "tanh")
    params = network.initial_params(np.random.default_rng(0), "uniform", np.float64)
    for (W, b), fan_in in zip(network.names, (300, 200)):
        r = 1 / np.sqrt(fan_in)
        assert 0.99 * r < np.abs(params[W]).max() <= r and 0.9 * r < np.abs(params[b]).max() <= r
        # of n draws the variance errs by sqrt(0.8 / n); five of these
        assert params[W].var() == pytest.approx(r**2 / 3, rel=5 * np.sqrt(0.8 / params[W].size))
    x = np.random.default_rng(1).normal(size=(2000, 300))
    a = ops.dense_forward(x, params["net_W1"], np.zeros(200))
    assert (a**2).mean() == pytest.approx(1 / 3, rel=0.03)


@pytest.mark.parametrize("equation", ["OPT.10", "OPT.11"])
def test_variance_through_a_layer(equation):
    rng = np.random.default_rng(0)
    trials, fan_in, fan_out = 20_000, 7, 5
    W = rng.uniform(-1, 1, size=(trials, fan_in, fan_out))  # variance 1/3
    x = rng.normal(1.0, 0.5, size=(trials, 1, fan_in))  # E[x^2] = 1.25, mean not zero
    da = rng.normal(0.0, 2.0, size=(trials, 1, fan_out))  # E[da^2] = 4
    b = np.zeros(fan_out)
    a = np.stack([ops.dense_forward(x[i], W[i], b) for i in range(trials)])
    dx = np.stack([ops.dense_backward(da[i], x[i], W[i])[0] for i in range(trials)])
    for value, expected in ((a, fan_in / 3 * 1.25), (dx, fan_out / 3 * 4)):
        square = (value**2).mean(axis=(1, 2))  # entries of one trial share x: one number per trial
        assert abs(square.mean() - expected) < 5 * square.std() / np.sqrt(trials)


def test_equal_hidden_units_stay_equal():
    rng = np.random.default_rng(0)
    model = VAE(data_dim=5, hidden=(3,), latent_dim=2, dtype="float64")
    for name, value in model.params.items():
        value[...] = 0.1 if name != "encoder_W1" else 0.1 * np.arange(1, 6)[:, None]
    x = rng.uniform(size=(4, 5))
    descend(model, optimizers.Adam(lr=0.1), 5, lambda: (x, *model.draw_noise(4, rng)))
    W = model.params["encoder_W1"]
    # equal up to the order in which BLAS sums; Adam divides by |g|, so an ulp of the gradient is an ulp of the step
    np.testing.assert_allclose(W, W[:, :1] * np.ones(3), rtol=0, atol=1e-9)
    assert np.abs(W - 0.1 * np.arange(1, 6)[:, None]).min() > 0.01  # though they moved


def test_signal_through_small_weights():
    assert f"which is {0.01 * np.sqrt(500):.2f} for $`I = 500`$" in NOTE
    rng, rows = np.random.default_rng(0), np.random.default_rng(1).normal(size=(200, 300))
    final = {}
    for scheme, draw in (
        ("glorot", lambda: mlp.glorot_uniform(rng, 300, 300, np.float64)),
        ("0.01", lambda: 0.01 * rng.normal(size=(300, 300))),
    ):
        h = rows
        for _ in range(8):
            h = ops.dense_act_forward(h, draw(), np.zeros(300), "tanh")
        final[scheme] = h.std()
    assert 0.2 < final["glorot"] < 0.35 and final["0.01"] < 1e-6  # what the figure's description says


@pytest.mark.parametrize("equation", ["OPT.12"])
def test_relu_keeps_half_of_the_square(equation):
    rng = np.random.default_rng(0)
    trials, fan_in, fan_out = 20_000, 7, 5
    x = rng.normal(1.0, 0.5, size=fan_in)  # all positive or not: only the weights must be symmetric
    W = rng.uniform(-1, 1, size=(trials, fan_in, fan_out)) * np.sqrt(3 * 2 / fan_in)  # variance 2 / I
    a = x @ W
    kept = (ops.relu_forward(a) ** 2).mean(axis=1)  # entries of one trial share nothing but x
    assert abs((kept - (a**2).mean(axis=1) / 2).mean()) < 5 * (kept - (a**2).mean(axis=1) / 2).std() / np.sqrt(trials)
    assert abs(kept.mean() - (x**2).mean()) < 5 * kept.std() / np.sqrt(trials)  # the size of the input
    assert "a factor of 16 after eight" in NOTE and np.sqrt(2) ** 8 == pytest.approx(16)


# ---- a narrow valley -----------------------------------------------------------------------------------


def test_losses_in_the_valley():
    pictures = figure(9)
    printed = {row[0]: row[1:] for row in table(note(9), "loss after 100 steps")}
    assert len(printed) == len(pictures.RULES) == 4
    for (update, slots, *_), row in zip(pictures.RULES.values(), printed.values()):
        ends = [pictures.path(update, slots, angle, 100)[1] for angle in (0, np.pi / 4)]
        assert row == [f"{losses[-1]:.1e}" for losses in ends] and ends[0][0] == pytest.approx(62.5)
    for name, same in (("SGD", True), ("SGD, momentum 0.9", True), ("Adagrad", False), ("Adam", False)):
        straight, turned = (pictures.path(*pictures.RULES[name][:2], angle, 20)[1] for angle in (0, np.pi / 4))
        assert np.allclose(straight, turned, rtol=1e-9) == same
    matrix, _ = pictures.valley(np.pi / 4)
    scales = np.exp(np.linspace(-2, 2, 81))  # 1 is in the middle
    assert np.argmin([np.linalg.cond(matrix * np.outer([1, s], [1, s])) for s in scales]) == 40


# ---- with a pencil -------------------------------------------------------------------------------------


def test_pencil_1_descent_on_a_quadratic():
    def factor(lr):
        return max(abs(1 - lr), abs(1 - 100 * lr))

    rates = np.linspace(0.001, 0.021, 20_001)
    assert rates[np.argmin([factor(lr) for lr in rates])] == pytest.approx(2 / 101, abs=1e-6)
    assert factor(2 / 101) == pytest.approx(99 / 101) and factor(0.0201) > 1
    needed = int(np.ceil(np.log(1000) / np.log(101 / 99)))
    assert f"steps, so {needed}." in NOTE
    theta, v = np.ones(2), np.zeros(2)
    for _ in range(needed):
        optimizers.sgd_update(theta, np.array([1.0, 100.0]) * theta, v, 2 / 101, 0.0)
    assert np.all(np.abs(theta) < 1e-3) and np.all(np.abs(theta) > 0.98e-3)


def test_pencil_2_when_the_start_is_forgotten():
    first, second = (next(t for t in range(1, 10_000) if beta**t < 0.01) for beta in (BETA1, BETA2))
    assert f"so {first}; with 0.999, {second}." in NOTE


def test_pencil_3_leaky_relu():
    assert f"that is {2 / (1 + 0.2**2):.2f} divided by" in NOTE
    a = np.random.default_rng(0).normal(size=100_000)
    h2 = ops.leaky_relu_forward(a) ** 2
    slope = ops.leaky_relu_forward(np.array([-1.0]))[0] * -1
    assert abs(h2.mean() - (1 + slope**2) / 2) < 5 * h2.std() / np.sqrt(len(a))


def test_pencil_4_an_alternating_gradient():
    g = np.array([3.0])
    signs = [g * (-1) ** t for t in range(400)]
    shorter = (1 - 0.9) / (1 + 0.9)
    alternating, _ = steps(lambda p, g, v, t: optimizers.sgd_update(p, g, v, 1.0, 0.9), 1, signs)
    assert abs(alternating[-1]) == pytest.approx(shorter * g / (1 - 0.9), rel=1e-9)
    assert abs(steps(adam(eps=0.0), 2, signs)[0][-1]) == pytest.approx(shorter, rel=1e-6)
    assert f"$`0.1/1.9 = {shorter:.3f}`$" in NOTE

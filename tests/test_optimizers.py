"""Promise: the update rules are those of their equations, step for step."""

import numpy as np
import pytest

from vae_from_scratch.mlp import NamedVector
from vae_from_scratch import SGD, Adagrad, Adam
from vae_from_scratch.optimizers import prior_gradient

START = np.array([1.0, -2.0, 3.0])
GRADS = np.array([[0.5, -1e-3, 20.0], [0.1, 2.0, -4.0], [-0.7, 0.3, 0.0]])


def run(optimizer, grads=GRADS):
    """The parameter after every step."""
    params, path = {"w": START.copy()}, []
    state = optimizer.initial_state(params)
    for grad in grads:
        optimizer.step(params, {"w": grad}, state)
        path.append(params["w"].copy())
    return np.array(path)


def test_sgd_goes_against_the_gradient():
    np.testing.assert_allclose(run(SGD(lr=0.1)), START - 0.1 * np.cumsum(GRADS, axis=0))


def test_momentum_remembers():
    velocity, w, path = 0.0, START, []
    for grad in GRADS:
        velocity = 0.9 * velocity + grad
        w = w - 0.1 * velocity
        path.append(w)
    np.testing.assert_allclose(run(SGD(lr=0.1, momentum=0.9)), path)


def test_adagrad_divides_by_the_root_of_the_sum_of_squares():
    steps = 0.1 * GRADS / (np.sqrt(0.5 + np.cumsum(GRADS**2, axis=0)) + 1e-6)
    np.testing.assert_allclose(run(Adagrad(lr=0.1, adagrad_eps=1e-6, initial=0.5)), START - np.cumsum(steps, axis=0))


def test_adam_is_bias_corrected_at_every_step():
    # the moments as weighted means written out, a form that never mentions a correction
    w, path = START, []
    for t in range(1, 4):
        ages = np.arange(t - 1, -1, -1)[:, None]
        m_hat = (0.9**ages * GRADS[:t]).sum(axis=0) / (0.9**ages).sum()
        v_hat = (0.999**ages * GRADS[:t] ** 2).sum(axis=0) / (0.999**ages).sum()
        w = w - 0.1 * m_hat / (np.sqrt(v_hat) + 1e-8)
        path.append(w)
    np.testing.assert_allclose(run(Adam(lr=0.1)), path)


@pytest.mark.parametrize("make", [SGD, Adagrad, Adam])
def test_lr_may_be_a_function_of_the_step(make):
    seen = []

    def lr(step):
        seen.append(step)
        return 0.1

    np.testing.assert_array_equal(run(make(lr=lr)), run(make(lr=0.1)))
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("make", [SGD, Adagrad, Adam])
def test_settings_hold_no_state(make):
    optimizer = make(lr=0.1)
    np.testing.assert_array_equal(run(optimizer), run(optimizer))


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adagrad(lr=2.0), Adam(lr=0.1)])
def test_a_bowl_is_descended(optimizer):
    params, scales = {"w": START.copy()}, np.array([1.0, 3.0, 0.3])
    state = optimizer.initial_state(params)
    for _ in range(600):
        optimizer.step(params, {"w": scales * params["w"]}, state)
    assert np.abs(params["w"]).max() < 1e-3


def test_the_prior_pulls_every_parameter_toward_zero():
    grads = {"w": GRADS[0].copy()}
    prior_gradient({"w": START}, grads, n_train=50)
    np.testing.assert_allclose(grads["w"], GRADS[0] + START / 50)


@pytest.mark.parametrize("optimizer", [Adam(adam_eps=1e-46), Adagrad(adagrad_eps=1e-60)], ids=["Adam", "Adagrad"])
def test_an_eps_that_is_zero_in_the_dtype_is_refused(optimizer):
    params = {"W": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match="eps is 1e-.*, which is 0 in float32; use 1e-30 or more"):
        optimizer.initial_state(params)
    wide = {"W": np.zeros(3)}
    state = optimizer.initial_state(wide)
    for _ in range(3):
        optimizer.step(wide, {"W": np.array([0.0, 1.0, -1.0])}, state)
    assert np.isfinite(wide["W"]).all()


def test_gradients_in_another_order_move_the_right_parameters():
    rng = np.random.default_rng(0)
    start = {"W": rng.normal(size=(2, 3)), "b": rng.normal(size=3), "A": rng.normal(size=(3, 2))}
    grads = {name: rng.normal(size=value.shape) for name, value in start.items()}
    moved = []
    for order in (list(start), sorted(start)):
        params = NamedVector(start)
        adam = Adam(0.1)
        adam.step(params, NamedVector({name: grads[name] for name in order}), adam.initial_state(params))
        moved.append(dict(params))
    assert all(np.array_equal(moved[0][name], moved[1][name]) for name in start)

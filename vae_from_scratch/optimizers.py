"""SGD with momentum, Adagrad, Adam: update rules that descend a loss.  derivations/09-optimizers.md.

An optimizer holds its arguments only; what it remembers is in a state that initial_state returns and step updates, so
one optimizer may serve many models and a state can be saved.  Updates happen in place.
"""

import numpy as np

from .engine import require


def sgd_update(param, grad, velocity, lr, momentum):
    """Eqs. (SGD.1), (SGD.2), in place on param and velocity, which have grad's shape."""
    velocity[...] = momentum * velocity + grad
    param -= lr * velocity


def adagrad_update(param, grad, g2, lr, adagrad_eps):
    """Eqs. (ADAGRAD.1), (ADAGRAD.2) (Duchi et al. 2011), in place on param and g2, the sum of squared gradients."""
    g2 += grad * grad
    param -= lr * grad / (np.sqrt(g2) + adagrad_eps)


def adam_update(param, grad, m, v, t, lr, beta1, beta2, adam_eps):
    """Eqs. (ADAM.1), (ADAM.2), (ADAM.3), (ADAM.4), (ADAM.5) (Kingma and Ba 2015, Algorithm 1), in place on param, m, v.

    t counts steps from 1: it corrects the bias of moments that started at zero.
    """
    m[...] = beta1 * m + (1 - beta1) * grad
    v[...] = beta2 * v + (1 - beta2) * grad * grad
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    param -= lr * m_hat / (np.sqrt(v_hat) + adam_eps)


def prior_gradient(params, grads, n_train):
    """Weight decay as the prior N(0, I) on every parameter, Eq. (PRIOR.1): adds param / n_train to grads, in place."""
    for name, grad in grads.items():
        grad += params[name] / n_train


class Optimizer:
    """What the rules share; lr is a number > 0 or a function of the step (0, 1, ...)."""

    slots = {}  # what is remembered per parameter: name -> starting value
    denominator: str | None = None  # the name of what is added to a denominator

    def initial_state(self, params):
        """The state before the first step: t, the steps taken, and one array per slot and parameter."""
        _rate(self.lr)  # which may have been changed
        if self.denominator is not None:  # or a gradient of 0 would be divided by 0
            require.nonzero(self.denominator, getattr(self, self.denominator), params)
        state = {"t": 0}
        for slot, start in self.slots.items():
            state[slot] = type(params)({name: np.full_like(value, start) for name, value in params.items()})
        return state

    def step(self, params, grads, state, kernels=None):
        """One update of every parameter, in place on params and state; by the rule's twin if kernels has one."""
        lr = self.lr
        if callable(lr):  # the first step asks for lr(0)
            lr = require.number(f"lr({state['t']})", lr(state["t"]), least=0)
        state["t"] += 1
        stores = [params, grads, *(state[slot] for slot in self.slots)]
        names = [getattr(store, "names", None) for store in stores]
        if names[0] is not None and names.count(names[0]) == len(names):  # vectors in one order, so all at once
            self.update(*(store.vector for store in stores), state["t"], lr, kernels)
        else:
            for name in params:
                self.update(*(store[name] for store in stores), state["t"], lr, kernels)


class SGD(Optimizer):
    """Eqs. SGD.1, SGD.2.  lr > 0 or a function of the step (0, 1, ...); momentum in [0, 1), 0 for plain descent."""

    slots = {"velocity": 0.0}

    def __init__(self, lr=0.01, momentum: float = 0.0):
        self.lr, self.momentum = _rate(lr), require.number("momentum", momentum, least=0, below=1)

    def update(self, param, grad, velocity, t, lr, kernels):
        sgd_update(param, grad, velocity, lr, self.momentum)


class Adagrad(Optimizer):
    """Eqs. ADAGRAD.1, ADAGRAD.2.  lr > 0 or a function of the step; adagrad_eps > 0; initial: where the sum of squares starts."""

    denominator = "adagrad_eps"

    def __init__(self, lr=0.01, adagrad_eps: float = 1e-10, initial: float = 0.0):
        self.lr, self.adagrad_eps = _rate(lr), require.number("adagrad_eps", adagrad_eps, above=0)
        self.slots = {"g2": require.number("initial", initial, least=0)}

    def update(self, param, grad, g2, t, lr, kernels):
        getattr(kernels, "adagrad_update", adagrad_update)(param, grad, g2, lr, self.adagrad_eps)


class Adam(Optimizer):
    """Eqs. ADAM.1 to ADAM.5.  lr > 0 or a function of the step (0, 1, ...); beta1, beta2 in [0, 1); adam_eps > 0."""

    slots = {"m": 0.0, "v": 0.0}
    denominator = "adam_eps"

    def __init__(self, lr=1e-3, beta1: float = 0.9, beta2: float = 0.999, adam_eps: float = 1e-8):
        self.lr, self.adam_eps = _rate(lr), require.number("adam_eps", adam_eps, above=0)
        self.beta1 = require.number("beta1", beta1, least=0, below=1)
        self.beta2 = require.number("beta2", beta2, least=0, below=1)

    def update(self, param, grad, m, v, t, lr, kernels):
        rule = getattr(kernels, "adam_update", adam_update)
        rule(param, grad, m, v, t, lr, self.beta1, self.beta2, self.adam_eps)


def _rate(lr):
    return lr if callable(lr) else require.number("lr", lr, above=0)


OPTIMIZERS = {"adam": Adam, "adagrad": Adagrad, "sgd": SGD}

"""The linear beta-VAE of notes 10 and 20: data, a model put at its optimum, and its loss without sampling."""

import numpy as np
from helpers import linear_model

from vae_from_scratch import BetaVAE
from vae_from_scratch.likelihoods import Gaussian

D, Z, LAMBDA, NOISE = 4, 3, np.array([4.0, 2.0, 1.0, 0.5]), 0.5  # the example of notes 10 and 20


def linear_data(n=9, seed=0, values=LAMBDA):
    """n data whose covariance has these eigenvalues, in a turned basis, with a mean; and the basis (eigenvectors as columns)."""
    D = len(values)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, D))
    x = np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt(n * values)
    U = np.linalg.qr(rng.normal(size=(D, D)))[0]
    return x @ U.T + rng.normal(size=D), U


def with_all_noise(x, latents=Z):
    """x repeated and 2Z noise vectors +-sqrt(Z) e_j per datum: mean 0 and covariance I, so the mean over them of
    anything quadratic in eps, such as a linear model's loss, is the expectation under N(0, I)."""
    eps = np.sqrt(latents) * np.concatenate([np.eye(latents), -np.eye(latents)])
    return np.repeat(x, len(eps), axis=0), np.tile(eps, (len(x), 1))


def linear(model_class=BetaVAE, sigma=NOISE**0.5, **settings):
    return linear_model(model_class, D, Z, Gaussian(sigma=sigma), **settings)


def put(model, W, b, A, a, logvar):
    """Decoder zW + b; encoder mu = xA + a and the same logvar for every x."""
    model.params["decoder_W1"][...], model.params["decoder_b1"][...] = W, b
    model.params["encoder_W1"][...] = np.concatenate([A, np.zeros_like(A)], axis=1)
    model.params["encoder_b1"][...] = np.concatenate([a, logvar])


def put_optimum(model, x, U, tau, kept=None):
    """LIN.4 and LIN.5; kept: which eigenvectors are used, in place of the first A."""
    kept = [i for i in range(Z) if LAMBDA[i] > tau] if kept is None else list(kept)
    W, A, logvar = np.zeros((Z, D)), np.zeros((D, Z)), np.zeros(Z)
    for j, i in enumerate(kept):
        W[j] = np.sqrt(LAMBDA[i] - tau) * U[:, i]
        A[:, j] = np.sqrt(LAMBDA[i] - tau) / LAMBDA[i] * U[:, i]
        logvar[j] = np.log(tau / LAMBDA[i])
    put(model, W, x.mean(axis=0), A, -x.mean(axis=0) @ A, logvar)


def rates(tau):
    """LIN.6."""
    return np.array([np.log(LAMBDA[j] / tau) / 2 if LAMBDA[j] > tau else 0 for j in range(Z)])


def squared_distance(tau):
    """LIN.7."""
    active = sum(LAMBDA[:Z] > tau)
    return active * tau + LAMBDA[active:].sum()


def distortion(tau, noise=NOISE):
    return D / 2 * np.log(2 * np.pi * noise) + squared_distance(tau) / (2 * noise)


def learned_noise(beta):
    """LIN.10: sigma_x^2, by trying every A."""
    found = []
    for A in range(Z + 1):
        if D > beta * A:
            noise = LAMBDA[A:].sum() / (D - beta * A)
            if [bool(v > beta * noise) for v in LAMBDA[:Z]] == [i < A for i in range(Z)]:
                found.append(noise)
    assert len(found) == 1  # "the one A"
    return found[0]


def perturbed(model, rng, size):
    """The loss after every parameter moved by size * N(0, 1), through a fresh copy of the values."""
    return {name: value + size * rng.normal(size=value.shape) for name, value in model.params.items()}


def is_a_minimum(model, batch, draws=60):
    """No random step, small or large, lowers the loss."""
    rng, best, saved = np.random.default_rng(7), model.loss(*batch).loss, dict(model.params)
    for size in np.geomspace(1e-3, 3, draws):
        model.params = perturbed(model, rng, size)
        loss, model.params = model.loss(*batch).loss, saved
        if not loss > best:
            return False
    return True


def flat(grads):
    return np.concatenate([grads[name].ravel() for name in sorted(grads)])


def tau_of(C):
    """The tau whose rate is C, by bisection in its logarithm."""
    low, high = 1e-6, LAMBDA[0]
    for _ in range(100):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if rates(middle).sum() > C else (low, middle)
    return middle

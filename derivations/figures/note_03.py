"""The figures of note 3.  Run from the repository: python derivations/figures/note_03.py (a few seconds)."""

from pathlib import Path

import numpy as np

from vae_from_scratch import ops
from vae_from_scratch.mlp import MLP
from vae_from_scratch.optimizers import Adam

# ---- mean field: a correlated Gaussian posterior and what a factorised q makes of it --------------------

CORRELATION = 0.9
POSTERIOR = np.array([[1, CORRELATION], [CORRELATION, 1]])
MEAN_FIELD = np.diag(1 / np.diag(np.linalg.inv(POSTERIOR)))  # Eq. Q.3


def gap(q_cov, cov):
    """KL(N(0, q_cov) || N(0, cov)) in nats."""
    return (np.trace(np.linalg.inv(cov) @ q_cov) - len(cov) + np.linalg.slogdet(cov)[1] - np.linalg.slogdet(q_cov)[1]) / 2


def mean_field():
    """Contours of the posterior, of the best diagonal Gaussian, and of the product of the marginals."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 12})
    figure, axis = plt.subplots(figsize=(8, 4.6), layout="constrained")
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    curves = [
        ("posterior, correlation 0.9", POSTERIOR, "#555555", "-", 0.25),
        (
            f"best mean-field q: variances {MEAN_FIELD[0, 0]:.2f}, gap {gap(MEAN_FIELD, POSTERIOR):.2f} nats",
            MEAN_FIELD, "#0072B2", "-", 0.25,
        ),
        (f"the posterior's own variances, 1: gap {gap(np.eye(2), POSTERIOR):.2f} nats", np.eye(2), "#D55E00", "--", 0),
    ]
    for label, cov, colour, style, alpha in curves:
        ellipses = [radius * np.linalg.cholesky(cov) @ circle for radius in (1, 2)]
        axis.fill(*ellipses[1], color=colour, alpha=alpha, linewidth=0)
        axis.plot(*ellipses[0], color=colour, linestyle=style)
        axis.plot(*ellipses[1], color=colour, linestyle=style, label=label)
    axis.set(xlabel="latent 1", ylabel="latent 2", aspect="equal", xlim=(-4.2, 4.2), ylim=(-2.3, 3.6), yticks=[-2, -1, 0, 1, 2])
    axis.legend(loc="upper center", frameon=False, fontsize=11)
    return figure


# ---- amortisation: one latent, one pixel, everything by quadrature --------------------------------------

X = np.linspace(-5, 5, 81)  # the data: a grid, weighted by p(x)
R = 2 * np.log(0.5)  # the decoder's log variance
T, T_WEIGHTS = np.polynomial.hermite_e.hermegauss(30)  # an expectation over eps ~ N(0, 1) is a weighted sum over T
T_WEIGHTS = T_WEIGHTS / T_WEIGHTS.sum()


def decode(z):
    """The mean of p(x|z): steep near z = 0."""
    return z + 2 * np.tanh(3 * z)


def decode_backward(dx_mean, z):
    return dx_mean * (1 + 6 * (1 - np.tanh(3 * z) ** 2))


def log_evidence():
    """log p(x) for every x of the grid, by summing over a fine grid of z."""
    z = np.linspace(-7, 7, 2801)
    log_joint = -(np.log(2 * np.pi) + R + (X[:, None] - decode(z)) ** 2 * np.exp(-R)) / 2 - (np.log(2 * np.pi) + z**2) / 2
    top = log_joint.max(axis=1)
    return top + np.log(np.exp(log_joint - top[:, None]).sum(axis=1) * (z[1] - z[0]))


def elbo_and_grads(mu, logvar):
    """ELBO of q = N(mu, exp(logvar)) for every x, and its derivatives; mu, logvar (len(X),)."""
    ones, spread = np.ones(len(X) * len(T)), (len(X), len(T))
    mu_each, logvar_each, eps = (np.broadcast_to(a, spread).ravel() for a in (mu[:, None], logvar[:, None], T))
    z = ops.reparameterize_forward(mu_each, logvar_each, eps)
    x_mean, x = decode(z)[:, None], np.repeat(X, len(T))[:, None]
    nll = ops.gaussian_nll_forward(x_mean, R, x).reshape(spread) @ T_WEIGHTS
    dx_mean, _ = ops.gaussian_nll_backward(ones, x_mean, R, x)
    dmu, dlogvar = ops.reparameterize_backward(decode_backward(dx_mean[:, 0], z), logvar_each, eps)
    kl = ops.gaussian_kl_forward(mu[:, None], logvar[:, None])
    dmu_kl, dlogvar_kl = ops.gaussian_kl_backward(np.ones(len(X)), mu[:, None], logvar[:, None])
    return -nll - kl, -dmu.reshape(spread) @ T_WEIGHTS - dmu_kl[:, 0], -dlogvar.reshape(spread) @ T_WEIGHTS - dlogvar_kl[:, 0]


def fitted(params, q_of, backward, weights, steps, lr):
    """Maximise the weighted ELBO over params with Adam; returns the ELBO of every x."""
    adam = Adam(lr=lambda step: lr * (1 - step / steps))
    state = adam.initial_state(params)
    for _ in range(steps):
        mu, logvar = q_of()
        _, dmu, dlogvar = elbo_and_grads(mu, logvar)
        adam.step(params, backward(-weights * dmu, -weights * dlogvar), state)
    return elbo_and_grads(*q_of())[0]


def best_elbo(steps=400):
    """A mu and a logvar of its own for every x: no amortisation."""
    params = {"mu": X / 3, "logvar": np.full(len(X), -2.0)}
    return fitted(params, lambda: (params["mu"], params["logvar"]), lambda dmu, dlogvar: {"mu": dmu, "logvar": dlogvar}, 1, steps, 0.1)


def amortised_elbo(hidden, weights, steps=1500):
    """mu and logvar of every x from one network."""
    network = MLP("encoder", (1, *hidden, 2), "tanh")
    params = network.initial_params(np.random.default_rng(0), "glorot", np.dtype("float64"))
    tape = []

    def q_of():
        tape[:] = network.forward(ops, params, X[:, None])
        return tape[-1].T

    def backward(dmu, dlogvar):
        grads = {name: np.empty_like(value) for name, value in params.items()}
        network.backward(ops, params, np.stack([dmu, dlogvar], axis=1), tape, grads, need_dx=False)
        return grads

    return fitted(params, q_of, backward, weights, steps, 0.03)


def all_gaps():
    """weights of the data, approximation gap, and the amortisation gap of two encoders: arrays of len(X), in nats."""
    log_p = log_evidence()
    weights = np.exp(log_p) / np.exp(log_p).sum()
    best = best_elbo()
    return weights, log_p - best, {hidden: best - amortised_elbo(hidden, weights) for hidden in ((), (16,))}


def gaps():
    """Approximation and amortisation gap against x; below, how often such an x occurs."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 12})
    weights, approximation, amortisation = all_gaps()
    figure, (axis, below) = plt.subplots(2, 1, figsize=(8, 5.2), height_ratios=[3, 1], sharex=True, layout="constrained")
    for values, colour, style, label in (
        (amortisation[()], "#D55E00", "--", "amortisation gap, linear encoder"),
        (amortisation[16,], "#E69F00", "-.", "amortisation gap, 16 hidden units"),
        (approximation, "#0072B2", "-", "approximation gap (no encoder can close it)"),
    ):
        axis.plot(X, values, color=colour, linestyle=style, linewidth=2.2, label=f"{label}: mean {weights @ values:.3f}")
    axis.set(ylabel="gap (nats)", ylim=(-0.05, 2.0))
    axis.legend(loc="upper center", frameon=False, fontsize=11)
    below.fill_between(X, weights / (X[1] - X[0]), color="0.75")
    below.set(xlabel="datum x", ylabel="p(x)", ylim=(0, None), xlim=(X[0], X[-1]))
    return figure


if __name__ == "__main__":
    folder = Path(__file__).parent
    mean_field().savefig(folder / "03-mean-field.png", dpi=110)
    gaps().savefig(folder / "03-gaps.png", dpi=110)

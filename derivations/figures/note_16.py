"""The figure of note 16.  Run from the repository: python derivations/figures/note_16.py (three seconds)."""

from pathlib import Path

import numpy as np

from vae_from_scratch import Adam, DenoisingAutoencoder

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#555555"  # Okabe and Ito: told apart by colour-blind readers
SIGMA, WEIGHT = 0.3, 0.5


def data(n=400):
    """n points (n, 2) of an S-shaped curve."""
    s = np.linspace(-1, 1, n)
    return np.stack([1.6 * s, np.sin(np.pi * s)], axis=1)


def posterior_mean(corrupted, x, sigma=SIGMA):
    """E[x | corrupted] where x is one of the rows of x and the noise is Gaussian, DAE.7: (n, 2)."""
    log_w = -((corrupted[:, None] - x) ** 2).sum(axis=2) / (2 * sigma**2)
    w = np.exp(log_w - log_w.max(axis=1, keepdims=True))
    return w @ x / w.sum(axis=1, keepdims=True)


def trained(x, steps=1500):
    """A denoising autoencoder with more than enough latents, fitted to all of x with fresh noise at every step."""
    kinds = {"likelihood": "squared-error", "corruption": "gaussian", "level": SIGMA, "backend": "numpy"}
    model = DenoisingAutoencoder(2, (48,), 4, "tanh", dtype="float64", **kinds)
    rng, optimizer = np.random.default_rng(0), Adam(lr=lambda step: 0.02 * (1 - step / steps))
    state = optimizer.initial_state(model.params)
    for _ in range(steps):
        optimizer.step(model.params, model.loss_and_grads(x, *model.draw_noise(len(x), rng))[1], state)
    return model


def prices():
    """Where a trained denoising autoencoder sends a point, where the posterior mean is; what is kept of a direction."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    x = data()
    model = trained(x)
    grid = np.stack(np.meshgrid(np.linspace(-2.1, 2.1, 16), np.linspace(-1.5, 1.5, 13)), axis=2).reshape(-1, 2)
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.6, 3.4), layout="constrained")
    for axis, ends, title in (
        (left, model.reconstruct(grid), "reconstruction, trained"),
        (middle, posterior_mean(grid, x), "posterior mean, exact"),
    ):
        axis.plot(*x.T, color=ORANGE, linewidth=2.5, zorder=1)
        step = (ends - grid) / 2
        axis.quiver(*grid.T, *step.T, angles="xy", scale_units="xy", scale=1, color=BLUE, width=0.004, zorder=2)
        axis.set(xticks=[], yticks=[], aspect="equal", xlim=(-2.3, 2.3))
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("arrows: half of the way from a point")
    variance = np.linspace(0.01, 4, 400)
    right.plot(variance, variance / (variance + 2 * WEIGHT), color=BLUE, label="denoising, $\\sigma^2 = 1$", linewidth=2)
    right.plot(variance, np.maximum(0, 1 - WEIGHT / variance), "--", color=ORANGE, label="contractive, $\\lambda = 0.5$", linewidth=2)
    right.axhline(1, color=GREY, linestyle=":", linewidth=1.5)
    right.text(4, 0.985, "plain", ha="right", va="top", color=GREY)
    right.set(xlabel="variance $\\Lambda_i$ of the data in a direction", ylabel="factor in the reconstruction", ylim=(-0.03, 1.05))
    right.set_title("linear models", fontsize=11)
    right.legend(frameon=False, loc="lower right")
    right.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    prices().savefig(Path(__file__).parent / "16-prices.png", dpi=110)

"""The figure of note 17.  Run from the repository: python derivations/figures/note_17.py (a second)."""

from pathlib import Path

import numpy as np

BLUE, GREEN, ORANGE, GREY = "#0072B2", "#009E73", "#D55E00", "#555555"  # Okabe and Ito: told apart by colour-blind readers

HUMPS = 1 / 16  # the variance of p(x|z) = N(z^2, 1/16), whose posterior at x = 1 has two humps
NOISE, WIDE = 0.25, (0.3, 0.3)  # note 12's example: the variance of p(x|z) = N(z, 1/4), mean and variance of q, at x = 1
LAMBDA, SIGMA2 = 1.0, 0.5  # free bits: variance of the data along one direction, variance of the noise
SAMPLES = np.array([1, 4, 16, 64])


def log_normal(value, mean, variance):
    return -(np.log(2 * np.pi * variance) + (value - mean) ** 2 / variance) / 2


def normalised(log_w):
    w = np.exp(log_w - log_w.max(axis=1, keepdims=True))
    return w / w.sum(axis=1, keepdims=True)


def log_joint(z):
    """log p(x, z) at x = 1, with two humps."""
    return log_normal(1, z * z, HUMPS) + log_normal(z, 0, 1)


def bound(mean, std, eps):
    """L_K of q = N(mean, std^2) and two humps, from the noise of many times K draws."""
    log_w = log_joint(mean + std * eps) + (np.log(2 * np.pi) + 2 * np.log(std) + eps**2) / 2
    top = log_w.max(axis=1)
    return (top + np.log(np.exp(log_w - top[:, None]).mean(axis=1))).mean()


def best_q(K, draws=1000, seed=0):
    """The mean and standard deviation of the Gaussian q with the highest L_K: on a grid, then on a finer one around its best."""
    eps = np.random.default_rng(seed).standard_normal((draws, K))
    eps = np.concatenate([eps, -eps])
    eps /= eps.std()  # mean 0 and variance 1
    grid = [(mean, std) for mean in np.arange(0, 1.21, 0.2) for std in np.arange(0.1, 1.41, 0.02)]
    mean, std = max(grid, key=lambda q: bound(*q, eps))
    grid = [(mean + a, std + b) for a in np.arange(-0.1, 0.11, 0.02) for b in (-0.01, 0, 0.01)]
    return max(grid, key=lambda q: bound(*q, eps))


def gradients(K, draws, seed=0):
    """One-draw gradients of L_K in the decoder's shift, in q's mean, and in q's mean doubly reparameterized; each (draws,)."""
    mean, variance = WIDE
    eps = np.random.default_rng(seed).standard_normal((draws, K))
    z = mean + np.sqrt(variance) * eps
    w = normalised(log_normal(1, z, NOISE) + log_normal(z, 0, 1) - log_normal(z, mean, variance))
    slope = (1 - z) / NOISE  # of log p(x|z) in z, and in a shift of the decoder's mean
    return (w * slope).sum(axis=1), (w * (slope - z)).sum(axis=1), (w * w * (slope - z + eps / np.sqrt(variance))).sum(axis=1)


def distortion(rate):
    """Of a linear latent, but for what no rate changes: FREE.3."""
    return LAMBDA * np.exp(-2 * rate) / (2 * SIGMA2)


def three():
    """Which q the bound asks for; signal to noise of its gradients; what free bits do to a linear latent."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.6, 3.8), layout="constrained", width_ratios=(1, 1.3, 1))
    z = np.linspace(-3, 3, 601)
    posterior = np.exp(log_joint(z))
    left.fill_between(z, posterior / posterior.sum() / (z[1] - z[0]), color="0.88", label="posterior")
    for K, colour, line in ((1, BLUE, "-"), (50, ORANGE, "-"), (5, GREEN, "--")):  # the dashes over the line they nearly share
        mean, std = best_q(K)
        left.plot(z, np.exp(log_normal(z, mean, std**2)), line, color=colour, linewidth=1.8, label=f"best $q$, $K = {K}$")
    left.set(xlabel="$z$", ylabel="density", ylim=(0, 5.4), xlim=(-3, 3))
    left.set_title("which $q$ the bound asks for", fontsize=11)
    left.legend(frameon=False, loc="upper left")

    found = [[abs(each.mean()) / each.std() for each in gradients(K, 2**20 // K)] for K in SAMPLES]
    names = ("decoder", "o-", BLUE), ("encoder", "s-", ORANGE), ("encoder, doubly reparameterized", "^-", GREEN)
    for ratios, (name, line, colour) in zip(zip(*found), names):
        middle.plot(SAMPLES, ratios, line, color=colour, markersize=5, linewidth=1.8, label=name)
    middle.set(xscale="log", yscale="log", xlabel="samples $K$", ylabel="|mean| / standard deviation", ylim=(0.05, 60))
    middle.set_xticks([1, 10, 100], ["1", "10", "100"])
    middle.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    middle.set_title("signal to noise of one gradient, wide $q$", fontsize=11)
    middle.legend(frameon=False, loc="upper left", fontsize=9)

    rate, top = np.linspace(0, 1.6, 400), np.log(LAMBDA / SIGMA2) / 2
    for free, colour, line in ((0.0, BLUE, "-"), (0.25, GREEN, "--"), (0.75, ORANGE, "-")):
        loss, best = distortion(rate) + np.maximum(free, rate), max(free, top)
        right.plot(rate, loss, line, color=colour, linewidth=1.8, label=f"$\\lambda = {free:g}$")
        right.plot(best, distortion(best) + best, "o", color=colour, markersize=8 if free else 5)
    right.set(xlabel="rate $R$ of the latent (nats)", ylabel="$\\Delta(R) + \\max(\\lambda, R)$ (nats)", ylim=(0.8, 2.1))
    right.set_title("free bits: a kink at $\\lambda$", fontsize=11)
    right.legend(frameon=False, loc="upper center")
    for axis in (left, middle, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    three().savefig(Path(__file__).parent / "17-tighter-bounds.png", dpi=110)

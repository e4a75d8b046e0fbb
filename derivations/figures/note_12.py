"""The figure of note 12.  Run from the repository: python derivations/figures/note_12.py (two seconds)."""

from pathlib import Path

import numpy as np

BLUE, GREEN, ORANGE, GREY = "#0072B2", "#009E73", "#D55E00", "#555555"  # Okabe and Ito: told apart by colour-blind readers

X, NOISE, PRIOR = 1.0, 0.25, 1.0  # the datum, the variance of p(x|z), that of p(z)
POSTERIOR, WIDE, NARROW = (0.8, 0.2), (0.3, 0.3), (0.8, 0.05)  # mean and variance of q
SAMPLES, DRAWS = np.array([1, 2, 3, 5, 10, 20, 50, 100]), 1_000_000


def log_normal(value, mean, variance):
    return -(np.log(2 * np.pi * variance) + (value - mean) ** 2 / variance) / 2


LOG_P = log_normal(X, 0, PRIOR + NOISE)
KL = (0.8**2 + 0.2 - 1 - np.log(0.2)) / 2  # of the posterior to the prior


def log_weights(q, seed=0):
    """log p(x|z) of draws of z from q, and the log weights: IS.1."""
    mean, variance = q
    z = mean + np.sqrt(variance) * np.random.default_rng(seed).standard_normal(DRAWS)
    log_x = log_normal(X, z, NOISE)
    return log_x, log_x + log_normal(z, 0, PRIOR) - log_normal(z, mean, variance)


def mean_of_log_means(log_w, K, quiet=False):
    """L_K, from the draws in groups of K.  quiet: with mean(w) / p - 1, whose mean is 0, subtracted: the same mean, less noise."""
    w = np.exp(log_w[: len(log_w) // K * K].reshape(-1, K)).mean(axis=1)
    return (np.log(w) - quiet * (w / np.exp(LOG_P) - 1)).mean()


def relative_variance(q):
    """v, from IS.6."""
    (nu, Sigma), (m, variance) = POSTERIOR, q
    rest = 2 * variance - Sigma
    return variance / np.sqrt(Sigma * rest) * np.exp((nu - m) ** 2 / rest) - 1 if rest > 0 else np.inf


def bounds():
    """Two encoders' bounds against K, and the mistake: the closed-form KL inside."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.1), layout="constrained")
    for q, name, colour, marker in (
        (WIDE, "wide $q$, off in its mean", BLUE, "o-"),
        (NARROW, "narrow $q$, mean right", ORANGE, "s-"),
    ):
        _, log_w = log_weights(q)
        gaps = [LOG_P - mean_of_log_means(log_w, K, quiet=relative_variance(q) < np.inf) for K in SAMPLES]
        left.plot(SAMPLES, gaps, marker, color=colour, markersize=5, linewidth=1.8, label=name)
    left.plot(SAMPLES, relative_variance(WIDE) / 2 / SAMPLES, "--", color=GREY, linewidth=1.5, label="$v / 2K$ of the wide $q$")
    left.set(xscale="log", yscale="log", xlabel="samples $K$", ylabel="$\\log p(x) - \\mathcal{L}_K$ (nats)", ylim=(3e-3, 1.2))
    left.set_title("how far the bound lies below", fontsize=11)
    left.set_yticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
    left.legend(frameon=False, loc="lower left")

    log_x, log_w = log_weights(POSTERIOR)
    right.axhspan(0, 0.2, color=ORANGE, alpha=0.12, linewidth=0)
    right.text(98, 0.178, "above $\\log p(x)$: not a bound", ha="right", color=ORANGE)
    look = {"markersize": 5, "linewidth": 1.8}
    gaps = [mean_of_log_means(log_x, K) - KL - LOG_P for K in SAMPLES]
    right.plot(SAMPLES, gaps, "s-", color=ORANGE, label="closed-form KL inside", **look)
    limit = log_normal(X, POSTERIOR[0], POSTERIOR[1] + NOISE) - KL - LOG_P
    right.axhline(limit, color=GREY, linestyle=":", linewidth=1.5)
    right.text(1, limit + 0.004, "its limit", color=GREY)
    gaps = [mean_of_log_means(log_w, K) - LOG_P for K in SAMPLES]
    right.plot(SAMPLES, gaps, "o-", color=BLUE, label="weights $w$", **look)
    right.set(xscale="log", xlabel="samples $K$", ylabel="estimate minus $\\log p(x)$ (nats)", ylim=(-0.05, 0.2))
    right.set_title("$q$ is the exact posterior", fontsize=11)
    right.legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.42))
    for axis in (left, right):
        axis.set_xticks([1, 10, 100], ["1", "10", "100"])
        axis.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    bounds().savefig(Path(__file__).parent / "12-bounds.png", dpi=110)

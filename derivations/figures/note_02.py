"""The figure of note 2.  Run from the repository: python derivations/figures/note_02.py (about a second)."""

from pathlib import Path

import numpy as np

X, R = 1.0, np.log(0.25)  # the datum, and the decoder's log variance: z ~ N(0, 1), x ~ N(z, exp(R))
CHOICES = {"prior": (0.0, 1.0), "posterior": (0.8, 0.2), "too wide": (0.8, 1.0), "too narrow": (1.0, 0.01)}  # mean, variance of q


def gaussian_kl(mean, var, mean_p, var_p):
    """KL(N(mean, var) || N(mean_p, var_p)) in nats."""
    return ((mean - mean_p) ** 2 / var_p + var / var_p - 1 - np.log(var / var_p)) / 2


def costs(mean, var):
    """(expected nll, KL to the prior) and (-log p(x), KL to the posterior) of q = N(mean, var): equal sums, in nats."""
    expected_nll = (np.log(2 * np.pi) + R + ((X - mean) ** 2 + var) * np.exp(-R)) / 2
    var_x, var_post = 1 + np.exp(R), 1 / (1 + np.exp(-R))
    mean_post = X * np.exp(-R) * var_post
    nll_x = (np.log(2 * np.pi * var_x) + X**2 / var_x) / 2
    return (expected_nll, gaussian_kl(mean, var, 0, 1)), (nll_x, gaussian_kl(mean, var, mean_post, var_post))


def two_decompositions():
    """Minus the ELBO for four choices of q, cut in the two ways."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 12})
    figure, axis = plt.subplots(figsize=(8, 4.6), layout="constrained")
    names = ["reconstruction: mean of $-\\log p(x|z)$ under q", "KL from q to the prior $p(z)$", "$-\\log p(x)$"]
    names.append("gap: KL from q to the posterior $p(z|x)$")
    colours = ["#0072B2", "#9BD1F0", "#999999", "#E69F00"]
    hatches = [None, "//", None, "//"]
    for group, (mean, var) in enumerate(CHOICES.values()):
        for side, (lower, upper) in enumerate(costs(mean, var)):
            place = group + 0.2 * (2 * side - 1)
            for part, (height, bottom) in enumerate(((lower, 0), (upper, lower))):
                kind = 2 * side + part
                label = names[kind] if group == 0 else None
                look = {"color": colours[kind], "hatch": hatches[kind], "edgecolor": "0.25", "linewidth": 0.8}
                axis.bar(place, height, 0.36, bottom, label=label, **look)
        axis.text(group, sum(costs(mean, var)[0]) + 0.1, f"{sum(costs(mean, var)[0]):.2f}", ha="center")
    axis.axhline(costs(0, 1)[1][0], color="0.25", linestyle=":", linewidth=1.5)
    axis.set_xticks(range(len(CHOICES)), [f"{name}\nq = N({mean:g}, {var:g})" for name, (mean, var) in CHOICES.items()])
    axis.set(ylabel="minus ELBO (nats)", ylim=(0, 6.3))
    axis.legend(loc="upper right", ncols=1, frameon=False, fontsize=11)
    return figure


if __name__ == "__main__":
    two_decompositions().savefig(Path(__file__).parent / "02-two-decompositions.png", dpi=110)
    for name, choice in CHOICES.items():
        print(name, *(f"{value:.4f}" for pair in costs(*choice) for value in (*pair, sum(pair))))

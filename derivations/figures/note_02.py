"""The figures of note 2.  Run from the repository: python derivations/figures/note_02.py (three seconds)."""

from pathlib import Path

import numpy as np

from vae_from_scratch import VAE, Autoencoder, datasets, fit, plots
from vae_from_scratch.optimizers import Adam

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


# ---- the mixture, and draws from the prior ---------------------------------------------------------------

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
NOISE, POSTERIOR_SD = 0.1, 0.1 / np.sqrt(1.01)  # Z = 2, decoder N(z, NOISE^2 I), datum 0: LVM.3
DRAWS = np.random.default_rng(0).standard_normal((200, 2))


def decode(z):
    """The mean of p(x|z), one latent, one pixel, with noise of 0.5: that of note 3."""
    return z + 2 * np.tanh(3 * z)


def mixture():
    """p(x) as a sum of one Gaussian per z; and 200 draws from the prior beside one posterior."""
    import matplotlib.pyplot as plt
    from statistics import NormalDist

    plt.rcParams.update({"font.size": 11})
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 4.2), layout="constrained", width_ratios=(1.3, 1))
    z, x = np.linspace(-2.4, 2.4, 2001), np.linspace(-6, 6, 601)
    density = np.exp(-2 * (x[:, None] - decode(z)) ** 2) * np.sqrt(2 / np.pi) @ np.exp(-(z**2) / 2) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
    left.plot(z, decode(z), color=GREY)
    for at in map(NormalDist().inv_cdf, (np.arange(9) + 0.5) / 9):
        slice_ = np.exp(-2 * (x - decode(at)) ** 2)
        near = slice_ > 0.01
        left.fill_betweenx(x[near], at, at + 0.3 * slice_[near], color=BLUE, alpha=0.45, linewidth=0)
        left.plot(at, decode(at), "o", color=BLUE, markersize=3)
    left.fill_betweenx(x, 2.6, 2.6 + 4 * density, color=ORANGE, alpha=0.6, linewidth=0)
    left.text(3.0, 4.9, "p(x)", color=ORANGE, ha="center")
    left.set(xlabel="latent z", ylabel="x", xlim=(-2.5, 3.6), ylim=(-5.6, 5.6), title="each z adds one Gaussian")
    left.spines[["top", "right"]].set_visible(False)
    right.plot(*DRAWS.T, ".", color=GREY, markersize=5, zorder=3, label="draws from the prior")
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = 2 * POSTERIOR_SD * np.stack([np.cos(angle), np.sin(angle)])
    right.fill(*circle, color=ORANGE, alpha=0.9, label="posterior, two sd")
    right.set(xlabel="latent 1", ylabel="latent 2", aspect="equal", xlim=(-3.4, 3.4), ylim=(-3.2, 4.2), title="draws that miss")
    right.legend(frameon=False, loc="upper center", ncols=1, fontsize=10)
    right.spines[["top", "right"]].set_visible(False)
    return figure


# ---- log p(x) and bounds that touch it -------------------------------------------------------------------


OTHER = 0.6, 0.5  # mean and variance of a q that is the posterior of no w


def log_evidence(w):
    """log p(X) of the decoder N(w z, exp(R))."""
    var = w**2 + np.exp(R)
    return -(np.log(2 * np.pi * var) + X**2 / var) / 2


def posterior(w):
    """Mean and variance of p(z|X) under the weight w, LVM.3."""
    var = w**2 + np.exp(R)
    return X * w / var, np.exp(R) / var


def bound(w, mean, var):
    """The ELBO of q = N(mean, var) as a function of w."""
    return -(np.log(2 * np.pi) + R + ((X - w * mean) ** 2 + w**2 * var) * np.exp(-R)) / 2 - gaussian_kl(mean, var, 0, 1)


def m_step(mean, var):
    """The w with the highest bound."""
    return X * mean / (mean**2 + var)


def touched_from_below():
    """log p(x) against w, two bounds of EM, and one of a q that is nobody's posterior."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 12})
    figure, axis = plt.subplots(figsize=(8, 4.3), layout="constrained")
    w = np.linspace(0.2, 1.6, 400)
    axis.plot(w, log_evidence(w), color="0.15", linewidth=2.4, label="$\\log p(x)$")
    at = 0.5
    for colour, style, name in ((BLUE, "-", "ELBO, q: posterior at w = 0.5"), ("#009E73", "-.", "ELBO, q: posterior at w = 0.667")):
        q = posterior(at)
        top = m_step(*q)
        axis.plot(w, bound(w, *q), style, color=colour, label=name)
        axis.plot(at, bound(at, *q), "o", color=colour)
        arrow = {"arrowstyle": "->", "color": colour, "linewidth": 1.5}
        axis.annotate("", (top, bound(top, *q)), (at, bound(at, *q)), arrowprops=arrow)
        at = top
    axis.plot(w, bound(w, *OTHER), "--", color=ORANGE, label="ELBO, q = N(0.6, 0.5)")
    axis.axvline(np.sqrt(X**2 - np.exp(R)), color="0.6", linestyle=":", linewidth=1.2)
    axis.set(xlabel="weight w of the decoder", ylabel="nats", ylim=(-2.05, -1.2), xlim=(0.25, 1.35))
    axis.legend(frameon=False, fontsize=11, loc="upper right", ncols=2)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


# ---- the plane of an autoencoder beside that of a VAE ----------------------------------------------------

GRID = 9


def trained(model_class, epochs=60):
    """A model with two latents of the bundled digits."""
    data = datasets.digits()
    model = model_class(64, hidden=(64,), latent_dim=2, seed=0)
    fit(model, data, Adam(lr=4e-3), batch_size=100, epochs=epochs, progress=False)
    return model, data


def centres(model, x):
    """The codes, or the means of q(z|x)."""
    codes = model.encode(x)
    return codes if isinstance(model, Autoencoder) else codes[0]


def grid_of(low, high):
    """GRID x GRID points of a box, rows from the top."""
    across, down = np.linspace(low[0], high[0], GRID), np.linspace(high[1], low[1], GRID)
    return np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2).astype(np.float32)


def box(model, x):
    """The box to look into, (low, high): two standard deviations of the prior, or what holds 96 % of the codes."""
    if isinstance(model, VAE):
        return (-2, -2), (2, 2)
    return tuple(np.quantile(centres(model, x), [0.02, 0.98], axis=0))


def planes():
    """Codes of the digits in both planes, and below what each decodes on a grid."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, axes = plt.subplots(2, 2, figsize=(8, 8), layout="constrained")
    for (top, below), model_class in zip(axes.T, (Autoencoder, VAE)):
        model, data = trained(model_class)
        z, labels = centres(model, data[:]), data.labels
        low, high = box(model, data[:])
        for digit in range(10):
            mine, colour = z[labels == digit], plots.COLOURS[digit]
            top.scatter(*mine.T, s=4, color=colour, linewidths=0)
            apart = np.linalg.norm(mine[:, None] - mine, axis=-1)
            place = mine[np.sort(apart)[:, 10].argmin()]  # where its codes are densest: ten others are nearest to it
            top.text(*place, str(digit), weight="bold", ha="center", va="center", fontsize=9,
                     bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": colour, "linewidth": 1.8})  # fmt: skip
        if model_class is VAE:
            angle = np.linspace(0, 2 * np.pi, 200)
            for radius in (1, 2):
                top.plot(radius * np.cos(angle), radius * np.sin(angle), "--", color="0.3", linewidth=1)
        title = {VAE: "VAE: means, circles of the prior", Autoencoder: "autoencoder: codes"}[model_class]
        top.set(title=title, aspect="equal", adjustable="datalim", xlabel="latent 1", ylabel="latent 2")
        corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1]), (low[0], low[1])]
        top.plot(*zip(*corners), color="0.3", linewidth=0.8)
        plots.show_grid(below, model.decode(grid_of(low, high)).reshape(GRID, GRID, 64), (8, 8), (0, 1))
        below.set(title="decoded inside the box")
    return figure


if __name__ == "__main__":
    for draw, dpi in ((mixture, 110), (touched_from_below, 110), (planes, 90)):
        draw().savefig(Path(__file__).parent / f"02-{draw.__name__.replace('_', '-')}.png", dpi=dpi)
    two_decompositions().savefig(Path(__file__).parent / "02-two-decompositions.png", dpi=110)
    for name, choice in CHOICES.items():
        print(name, *(f"{value:.4f}" for pair in costs(*choice) for value in (*pair, sum(pair))))

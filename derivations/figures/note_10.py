"""The figures of note 10.  Run from the repository: python derivations/figures/note_10.py (a second)."""

from pathlib import Path

import numpy as np

BLUE, GREEN, ORANGE, GREY = "#0072B2", "#009E73", "#D55E00", "#555555"  # Okabe and Ito: told apart by colour-blind readers

MU = np.array([[1, 1], [1, -1], [-1, 1], [-1.0, -1.0]])  # the means of q(z|x_n) for the four data of the note
TURN = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)  # by 45 degrees
STD = 0.5

EIGENVALUES, Z, NOISE = np.array([4.0, 2.0, 1.0, 0.5]), 3, 0.5  # the linear example: eigenvalues, latents, decoder variance

LINE, ORDERED, SHUFFLED = np.array([-1.5, -0.5, 0.5, 1.5]), np.arange(4.0), np.array([1.0, 3.0, 0.0, 2.0])  # codes, and their data


def normal(z, mean, std):
    return np.exp(-(((z - mean) / std) ** 2) / 2) / (np.sqrt(2 * np.pi) * std)


def averaged_posteriors():
    """Two encoders of the same rate: their q(z), the product of its marginals, and each marginal beside the prior."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from mpl_toolkits.axes_grid1 import make_axes_locatable

    plt.rcParams.update({"font.size": 11})
    grid = np.linspace(-2.7, 2.7, 181)
    figure, axes = plt.subplots(1, 2, figsize=(7.7, 4.8))
    for axis, mu, title in (
        (axes[0], MU, "aligned: $q(z) = q(z_1)\\,q(z_2)$"),
        (axes[1], MU @ TURN, "turned by 45°: $q(z) \\neq q(z_1)\\,q(z_2)$"),
    ):
        q1, q2 = (normal(grid, mu[:, [j]], STD) for j in (0, 1))
        joint, q1, q2 = (q1[:, :, None] * q2[:, None, :]).mean(axis=0), q1.mean(axis=0), q2.mean(axis=0)
        axis.contourf(grid, grid, joint.T, levels=6, cmap="Blues")
        axis.contour(grid, grid, np.outer(q1, q2).T, levels=[0.03, 0.07, 0.11], colors=ORANGE, linewidths=[0.8, 1.8, 3.2])
        axis.plot(*mu.T, "k+", markersize=9, markeredgewidth=1.8)
        axis.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal", xticks=[-2, 0, 2], yticks=[-2, 0, 2])
        divider = make_axes_locatable(axis)
        top = divider.append_axes("top", size="22%", pad=0.05, sharex=axis)
        side = divider.append_axes("right", size="22%", pad=0.05, sharey=axis)
        top.plot(grid, normal(grid, 0, 1), ":", grid, q1, "-", linewidth=1.8)
        side.plot(normal(grid, 0, 1), grid, ":", q2, grid, "-", linewidth=1.8)
        for panel in (top, side):
            for line, colour in zip(panel.lines, (GREY, BLUE)):
                line.set_color(colour)
            panel.axis("off")
        top.set_title(title, fontsize=11)
    handles = [
        Line2D([], [], color="black", marker="+", markersize=9, markeredgewidth=1.8, linestyle="", label="mean of $q(z|x_n)$"),
        Line2D([], [], color="#4a98c9", linewidth=8, label="$q(z)$"),
        Line2D([], [], color=ORANGE, linewidth=1.8, label="$q(z_1)\\,q(z_2)$, thicker: higher"),
        Line2D([], [], color=BLUE, linewidth=1.8, label="$q(z_j)$"),
        Line2D([], [], color=GREY, linestyle=":", linewidth=1.8, label="prior"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=5, frameon=False, columnspacing=1.1, handlelength=1.6)
    figure.subplots_adjust(left=0.07, right=0.99, top=0.93, bottom=0.19, wspace=0.26)
    return figure


def linear_optimum(beta):
    """Rate and distortion, in nats, of the linear beta-VAE at its optimum: LIN.6 and LIN.7."""
    tau = beta * NOISE
    rate = np.maximum(np.log(EIGENVALUES[:Z] / tau) / 2, 0).sum()
    squared = np.minimum(EIGENVALUES[:Z], tau).sum() + EIGENVALUES[Z:].sum()
    return rate, len(EIGENVALUES) / 2 * np.log(2 * np.pi * NOISE) + squared / (2 * NOISE)


def rate_distortion():
    """The curve of the best points, the region that no model reaches, and the lines of equal loss that touch it."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    rates, distortions = (np.array(column) for column in zip(*map(linear_optimum, np.geomspace(0.1, 12, 800))))
    figure, axis = plt.subplots(figsize=(6.6, 4.4), layout="constrained")
    axis.fill_between(rates, 0, distortions, color="0.92")
    axis.plot(rates, distortions, color=BLUE, linewidth=2.2)
    rng = np.random.default_rng(3)
    above = rng.uniform(0.3, 4.8, size=14)
    axis.plot(above, np.interp(above, rates[::-1], distortions[::-1]) + rng.uniform(0.3, 4, size=14), "o", color="0.72", markersize=4.5)
    for beta, colour, run, where in ((1, GREEN, (-1.9, 1.6), (2.35, 4.55)), (4, ORANGE, (-0.5, 1.15), (0.85, 8.1))):
        rate, distortion = linear_optimum(beta)
        run = np.array(run)
        axis.plot(rate + run, distortion - beta * run, color=colour, linewidth=1.6)
        axis.plot(rate, distortion, "o", color=colour, markersize=7)
        axis.text(*where, f"$\\beta$ = {beta}: slope $-{beta}$", color=colour)
    axis.annotate("more $\\beta$", (0.45, 9.9), (1.5, 9.9), color=GREY, va="center", arrowprops={"arrowstyle": "->", "color": GREY})
    axis.text(0.35, 3.6, "no model here", color=GREY)
    axis.text(3.1, 8.0, "other models", color="0.5")
    axis.set(xlabel="rate R (nats through the code)", ylabel="distortion Δ (nats missing)", xlim=(-0.1, 5), ylim=(2.5, 10.6))
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def best_mean(z, x):
    """E[x|z] and Var[x|z] at each z for data x (4,) whose codes lie on LINE, RD.11; and the posteriors (4, z)."""
    posteriors = normal(z, LINE[:, None], STD)
    r = posteriors / posteriors.sum(axis=0)
    return x @ r, x**2 @ r - (x @ r) ** 2, posteriors


def data_locality():
    """The same four posteriors given to four data in order and shuffled: what the best decoder says, and how far off it is."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    z = np.linspace(-2.6, 2.6, 401)
    figure, axes = plt.subplots(1, 2, figsize=(7.7, 3.7), layout="constrained", sharey=True)
    for axis, x, title in ((axes[0], ORDERED, "codes in order"), (axes[1], SHUFFLED, "codes shuffled")):
        mean, variance, posteriors = best_mean(z, x)
        for each in posteriors:
            axis.fill_between(z, -2, -2 + 1.1 * each, color=GREY, alpha=0.22, linewidth=0)
        axis.fill_between(z, mean - np.sqrt(variance), mean + np.sqrt(variance), color=BLUE, alpha=0.2, linewidth=0)
        axis.plot(z, mean, color=BLUE, linewidth=2)
        axis.plot(LINE, x, "o", color=ORANGE)
        axis.set(xlabel="$z$", xlim=(-2.6, 2.6), ylim=(-2, 4.1), yticks=range(4))
        axis.set_title(title, fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("pixel $x$", y=0.6)
    axes[0].text(-2.5, -1.0, "$q(z|x_n)$", color=GREY)
    axes[0].text(-2.45, 2.9, "datum", color=ORANGE)
    axes[0].text(-2.45, 2.4, "best mean, $\\pm \\sqrt{v(z)}$", color=BLUE)
    return figure


if __name__ == "__main__":
    for name, figure in (
        ("rate-distortion", rate_distortion()), ("averaged-posteriors", averaged_posteriors()), ("data-locality", data_locality()),
    ):  # fmt: skip
        figure.savefig(Path(__file__).parent / f"10-{name}.png", dpi=110)

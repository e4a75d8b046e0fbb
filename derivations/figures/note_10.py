"""The figures of note 10.  Run from the repository: python derivations/figures/note_10.py (a second)."""

from pathlib import Path

import numpy as np

BLUE, GREEN, ORANGE, GREY = "#0072B2", "#009E73", "#D55E00", "#555555"  # Okabe and Ito: told apart by colour-blind readers

MU = np.array([[1, 1], [1, -1], [-1, 1], [-1.0, -1.0]])  # the means of q(z|x_n) for the four data of the note
TURN = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)  # by 45 degrees
STD = 0.5

EIGENVALUES, Z, NOISE = np.array([4.0, 2.0, 1.0, 0.5]), 3, 0.5  # the note's linear example: eigenvalues, latents, decoder variance


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
    """Rate of each latent and distortion, in nats, of the linear beta-VAE at its optimum: LIN.6 and LIN.7."""
    tau = beta * NOISE
    rates = np.maximum(np.log(EIGENVALUES[:Z] / tau) / 2, 0)
    squared = np.minimum(EIGENVALUES[:Z], tau).sum() + EIGENVALUES[Z:].sum()
    return rates, len(EIGENVALUES) / 2 * np.log(2 * np.pi * NOISE) + squared / (2 * NOISE)


def rate_distortion():
    """The curve along which beta moves the model, and the KL of each latent against beta: latents fall silent one by one."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    betas = np.geomspace(0.1, 12, 800)
    rates, distortions = (np.array(column) for column in zip(*map(linear_optimum, betas)))
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 4.2), layout="constrained")

    left.plot(rates.sum(axis=1), distortions, color=BLUE, linewidth=2)
    for beta, where in ((0.5, (0, 12)), (1, (4, 12)), (2, (8, 8)), (4, (8, 6)), (8, (10, -4))):
        rate, distortion = linear_optimum(beta)
        left.plot(rate.sum(), distortion, "o", color=BLUE if beta < 2 else "black")
        left.annotate(f"$\\beta$ = {beta:g}", (rate.sum(), distortion), where, textcoords="offset points")
    rate, distortion = linear_optimum(1)
    run = np.array([-1.1, 1.1])
    left.plot(rate.sum() + run, distortion - run, color=GREY, linestyle="--", linewidth=1.4)
    left.text(2.05, 3.6, "slope $-\\beta = -1$", color=GREY, ha="right")
    left.text(2.1, 8.9, "black dots: here a\nlatent falls silent")
    left.set(xlabel="rate R (nats)", ylabel="distortion Δ (nats)", xlim=(-0.15, 5), ylim=(2.5, 10.6))

    for j, colour, style in ((0, BLUE, "-"), (1, GREEN, "--"), (2, ORANGE, "-.")):
        label = f"latent {j + 1}: $\\Lambda_{j + 1}$ = {EIGENVALUES[j]:g}"
        right.plot(betas, rates[:, j], color=colour, linestyle=style, linewidth=2, label=label)
        right.axvline(EIGENVALUES[j] / NOISE, ymax=0.92, color=GREY, linestyle=":", linewidth=1)
    for beta, count in ((0.45, "3 active"), (2.83, "2"), (5.66, "1"), (9.8, "0")):
        right.text(beta, 2.52, count, ha="center")
    right.set(xlabel="$\\beta$ (logarithmic axis)", ylabel="KL of one latent (nats)", xscale="log", xlim=(0.1, 12), ylim=(-0.05, 2.7))
    right.set_xticks([0.1, 0.5, 1, 2, 4, 8], ["0.1", "0.5", "1", "2", "4", "8"])
    right.minorticks_off()
    right.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.0), frameon=False, fontsize=9.5, handlelength=1.8, labelspacing=0.3)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    for name, figure in (("averaged-posteriors", averaged_posteriors()), ("rate-distortion", rate_distortion())):
        figure.savefig(Path(__file__).parent / f"10-{name}.png", dpi=110)

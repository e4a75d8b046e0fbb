"""The figure of note 19.  Run from the repository: python derivations/figures/note_19.py (a second)."""

from pathlib import Path

import numpy as np

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#555555"  # Okabe and Ito: told apart by colour-blind readers

RHO = 0.8
TURNED, STD = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]) * np.sqrt(2), 0.5  # note 10's square, turned by 45 degrees


def best_logit(z, rho=RHO):
    """FACTOR.10, z (..., 2): the logarithm of the density over the product of its marginals."""
    square, product = (z**2).sum(axis=-1), z.prod(axis=-1)
    return -np.log(1 - rho**2) / 2 - (rho**2 * square - 2 * rho * product) / (2 * (1 - rho**2))


def two_views_of_dependence():
    """Codes and permuted codes over the best logit; and a code that is uncorrelated, but not independent."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap

    plt.rcParams.update({"font.size": 11})
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(400, 2)) @ np.linalg.cholesky([[1, RHO], [RHO, 1]]).T
    permuted = np.stack([rng.permutation(column) for column in codes.T], axis=1)
    grid = np.linspace(-3, 3, 181)
    points = np.stack(np.meshgrid(grid, grid), axis=-1)
    colours = LinearSegmentedColormap.from_list("logit", [ORANGE, "white", BLUE])

    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.6), layout="constrained", sharey=True)
    for axis, drawn, title in ((axes[0], codes, "codes: $q(z)$"), (axes[1], permuted, "permuted: $q(z_1)\\,q(z_2)$")):
        # beyond these levels one colour: what counts is the sign
        axis.contourf(grid, grid, best_logit(points), np.linspace(-3, 3, 13), cmap=colours, alpha=0.55, extend="both")
        axis.contour(grid, grid, best_logit(points), [0], colors="black", linewidths=1.4)
        axis.plot(*drawn.T, "o", color="black", markersize=2.2, markeredgewidth=0)
        axis.set_title(title, fontsize=11)
    density = np.exp(-((points[None] - TURNED[:, None, None]) ** 2).sum(axis=-1) / (2 * STD**2)).mean(axis=0)
    axes[2].contourf(grid, grid, density, levels=6, cmap="Blues")
    axes[2].plot(*TURNED.T, "k+", markersize=9, markeredgewidth=1.8)
    axes[2].set_title("covariance 0, TC = 0.274", fontsize=11)
    for axis in axes:
        axis.set(xlabel="$z_1$", aspect="equal", xlim=(-3, 3), ylim=(-3, 3), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
    axes[0].set_ylabel("$z_2$")
    return figure


if __name__ == "__main__":
    two_views_of_dependence().savefig(Path(__file__).parent / "19-two-views-of-dependence.png", dpi=110)

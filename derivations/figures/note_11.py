"""The figures of note 11.  Run from the repository: python derivations/figures/note_11.py (a second)."""

from pathlib import Path
from statistics import NormalDist

import numpy as np

BLUE, GREEN, ORANGE, GREY = "#0072B2", "#009E73", "#D55E00", "#555555"  # Okabe and Ito: told apart by colour-blind readers


def rotation():
    """Codes drawn from the prior, aligned with a factor and turned: the same distribution, another meaning."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    codes = np.random.default_rng(0).normal(size=(900, 2))
    pos_x = 32 * np.array([NormalDist().cdf(z) for z in codes[:, 0]])  # uniform, as the factor is
    turned = codes @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 4.0), layout="constrained")
    for axis, z, title in ((axes[0], codes, "$z_1$ is posX"), (axes[1], turned, "turned by 45°: each is a bit of both")):
        shown = axis.scatter(*z.T, c=pos_x, cmap="viridis", s=16)
        axis.set(xlabel="$z_1$", ylabel="$z_2$", title=title, aspect="equal", xlim=(-3.3, 3.3), ylim=(-3.3, 3.3))
        axis.spines[["top", "right"]].set_visible(False)
    figure.colorbar(shown, ax=axes, label="posX (0 to 32)", shrink=0.85)
    return figure


def told(values, bins=20):
    """I / H of an evenly spaced code with so many values, in bins of one width: MIG.2."""
    bin_of = np.minimum(np.arange(values) * bins // (values - 1), bins - 1)
    counts = np.bincount(bin_of)
    counts = counts[counts > 0]
    return 1 - (counts * np.log(counts)).sum() / (values * np.log(values))


def twenty_bins():
    """What 20 bins leave of a perfect code, against its number of values."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    values = np.arange(2, 65)
    axis.plot(values, [told(k) for k in values], color=BLUE, linewidth=2)
    words = ((3, "3 shapes", (0, -17)), (6, "6 scales", (4, -31)), (32, "32 places", (8, 8)), (40, "40 orientations", (8, 8)))
    for k, name, where in words:
        axis.plot(k, told(k), "o", color=ORANGE)
        axis.annotate(f"{name}: {told(k):.2f}", (k, told(k)), where, textcoords="offset points")
    axis.axvline(20, color=GREY, linestyle=":", linewidth=1.2)
    axis.text(20.6, 0.64, "20 bins", color=GREY)
    axis.set(xlabel="values of the factor, evenly spaced in the code", ylabel="information / entropy", ylim=(0.6, 1.05), xlim=(0, 65))
    axis.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    for name, figure in (("rotation", rotation()), ("bins", twenty_bins())):
        figure.savefig(Path(__file__).parent / f"11-{name}.png", dpi=110)

"""The figure of note 20.  Run from the repository: python derivations/figures/note_20.py (a second)."""

from pathlib import Path

import numpy as np

BLUE, GREEN, ORANGE, GREY = "#0072B2", "#009E73", "#D55E00", "#555555"  # Okabe and Ito: told apart by colour-blind readers

EIGENVALUES, Z, NOISE = np.array([4.0, 2.0, 1.0, 0.5]), 3, 0.5  # the note's example: eigenvalues, latents, decoder variance
SHOWN = 3  # the beta of the left panel


def rates(beta):
    """The KL of each latent at the optimum, in nats: LIN.6."""
    return np.maximum(np.log(EIGENVALUES[:Z] / (beta * NOISE)) / 2, 0)


def water_level():
    """The eigenvalues under a water level, and the KL of each latent against beta: latents fall silent one by one."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 4.0), layout="constrained", width_ratios=(1, 1.25))
    tau, D = SHOWN * NOISE, len(EIGENVALUES)
    left.bar(range(1, D + 1), np.minimum(EIGENVALUES, tau), color="0.82", width=0.6)
    left.bar(range(1, D + 1), np.maximum(EIGENVALUES - tau, 0), bottom=np.minimum(EIGENVALUES, tau), color=BLUE, width=0.6)
    left.axhline(tau, color=ORANGE, linewidth=1.8)
    left.text(D + 0.45, tau + 0.08, f"water level $\\tau$ = {tau:g}", color=ORANGE, ha="right")
    for j, rate in enumerate(rates(SHOWN)[:2]):
        left.text(j + 1, EIGENVALUES[j] + 0.08, f"{rate:.2f} nats", ha="center", color=BLUE)
    for j in (2, 3):
        left.text(j + 1, EIGENVALUES[j] - 0.06, "silent" if j < Z else "lost", ha="center", va="top", color=GREY)
    left.set(xlabel="principal direction $i$", ylabel="variance $\\Lambda_i$", xticks=range(1, D + 1), ylim=(0, 4.5))
    left.set_title(f"$\\beta$ = {SHOWN}", fontsize=11)

    betas = np.geomspace(0.1, 12, 800)
    found = np.array([rates(beta) for beta in betas])
    for j, colour, style in ((0, BLUE, "-"), (1, GREEN, "--"), (2, ORANGE, "-.")):
        label = f"latent {j + 1}: $\\Lambda_{j + 1}$ = {EIGENVALUES[j]:g}"
        right.plot(betas, found[:, j], color=colour, linestyle=style, linewidth=2, label=label)
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
    water_level().savefig(Path(__file__).parent / "20-water-level.png", dpi=110)

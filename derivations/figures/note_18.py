"""The figure of note 18.  Run from the repository: python derivations/figures/note_18.py (two seconds)."""

import itertools
from pathlib import Path

import numpy as np

from vae_from_scratch import ops

BLUE, GREEN, ORANGE, GREY = "#0072B2", "#009E73", "#D55E00", "#555555"  # Okabe and Ito: told apart by colour-blind readers

CORNERS, STD = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1.0]]), 0.5
N_TRAIN, Z, SIGMA, SIZES = 737_280, 10, 0.5, (8, 16, 32, 64, 128, 256, 512)


def correlation(degrees, size):
    """The estimated total correlation of the turned code, averaged over all batches of a size and over the noise."""
    angle, logvar = np.radians(degrees), np.full((size, 2), 2 * np.log(STD))
    mu = CORNERS @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(10)
    noise, weights = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2), np.outer(weights, weights).ravel()
    batches = [mu[list(rows)] for rows in itertools.combinations(range(4), size)]
    found = [
        weight * ops.batch_parts_forward(batch, logvar, batch + STD * eps, 4, True)[:, 1].mean()
        for batch in batches
        for eps, weight in zip(noise, weights / weights.sum())
    ]
    return sum(found) / len(batches)


def errors(rng):
    """The mean error of each estimated part, for batches of SIZES."""
    truth, found = np.array([-Z * np.log(SIGMA), 0, 0]), []
    for n in SIZES:
        parts = []
        for _ in range(max(2, 1200 // n)):
            mu = np.sqrt(1 - SIGMA**2) * rng.normal(size=(n, Z))
            logvar, z = np.full_like(mu, 2 * np.log(SIGMA)), mu + SIGMA * rng.normal(size=(n, Z))
            parts.append(ops.batch_parts_forward(mu, logvar, z, N_TRAIN, True).mean(axis=0))
        found.append(np.mean(parts, axis=0) - truth)
    return np.array(found)


def total_correlation():
    """Total correlation against a turn of the code, by batches and exactly; the errors of the three parts against the batch."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 4.2), layout="constrained", width_ratios=(1, 1.15))
    half = np.linspace(0, 45, 7)
    turned = np.concatenate([half, 90 - half[-2::-1]])  # beyond 45 degrees it is the other way round
    for size, colour, style in ((2, GREEN, "--"), (3, BLUE, "-."), (4, ORANGE, "-")):
        up = [correlation(degrees, size) for degrees in half]
        name = "all 4 data: exact" if size == 4 else f"batches of {size}"
        left.plot(turned, up + up[-2::-1], style, color=colour, linewidth=2, label=name)
    left.text(45, 0.14, "the rate is 1.636\nat every angle", color=GREY, ha="center")
    left.set(xlabel="the code, turned by (degrees)", ylabel="total correlation (nats)", xticks=[0, 45, 90], ylim=(-0.03, 0.74))
    left.set_title("four data, two latents")
    left.legend(frameon=False, loc="upper center", ncols=2, fontsize=9, columnspacing=1, handlelength=1.8)
    left.spines[["top", "right"]].set_visible(False)
    looks = ("MI", GREEN, "--"), ("TC", ORANGE, "-"), ("DW", BLUE, "-.")
    for column, (name, colour, style) in zip(errors(np.random.default_rng(0)).T, looks):
        right.plot(SIZES, column, style, color=colour, linewidth=2, marker="o", markersize=4, label=name)
    right.axhline(0, color=GREY, linestyle=":", linewidth=1.2)
    right.set(xlabel="batch (logarithmic axis)", ylabel="estimate minus truth (nats)", xscale="log")
    right.set_title("10 independent latents, stratified")
    right.set_xticks(SIZES, [str(n) for n in SIZES])
    right.minorticks_off()
    right.legend(frameon=False, loc="lower right")
    right.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    total_correlation().savefig(Path(__file__).parent / "18-total-correlation.png", dpi=110)

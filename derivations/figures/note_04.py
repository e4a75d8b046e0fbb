"""The figure of note 4.  Run from the repository: python derivations/figures/note_04.py (two seconds)."""

from pathlib import Path

import numpy as np

from vae_from_scratch import ops


def kl_shape():
    """The KL of one latent: against the log variance, and as contours over mean and log variance."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, (curves, bowl) = plt.subplots(1, 2, figsize=(8, 3.9), layout="constrained")

    logvar = np.linspace(-8, 3, 300)
    for mean, colour, style in ((2, "#D55E00", "-."), (1, "#009E73", "--"), (0, "#0072B2", "-")):
        kl = ops.gaussian_kl_per_latent(np.full_like(logvar, mean), logvar)
        curves.plot(logvar, kl, color=colour, linestyle=style, label=rf"$\mu$ = {mean}")
        curves.plot(0, mean**2 / 2, "o", color=colour)
    curves.plot(logvar[logvar < 0], (-1 - logvar[logvar < 0]) / 2, color="0.5", linestyle=":", label=r"$(-1 - \ell)/2$")
    curves.set(xlabel=r"log variance $\ell$", ylabel="KL (nats)", title="One latent", ylim=(-0.2, 8))
    curves.grid(color="0.9")
    curves.legend(fontsize=10)

    mu, logvar = np.meshgrid(np.linspace(-4, 4, 161), np.linspace(-6, 3, 181))
    kl = ops.gaussian_kl_per_latent(mu, logvar)
    levels = [0.1, 0.5, 1, 2, 4, 8]
    lines = bowl.contour(mu, logvar, kl, levels=levels, colors="#0072B2")
    below = [(0, -0.6), (0, -1.85), (0, -2.95), (0, -5), (-2.3, -4.2), (3.7, -3.2)]
    for text in bowl.clabel(lines, fmt="%g", fontsize=10, manual=below, colors="black"):
        text.set(rotation=0, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    at_mu, at_logvar = (grid.ravel() for grid in np.meshgrid(np.linspace(-3.25, 3.25, 6), np.linspace(-5.5, 2.5, 6)))
    dmu, dlogvar = ops.gaussian_kl_backward(np.ones(len(at_mu)), at_mu[:, None], at_logvar[:, None])
    length = np.hypot(dmu, dlogvar).ravel()
    arrows = -dmu.ravel() / length, -dlogvar.ravel() / length
    bowl.quiver(at_mu, at_logvar, *arrows, color="0.5", width=0.004, scale=18, pivot="mid", angles="xy")
    bowl.plot(0, 0, "k*", markersize=11, label="q is the prior")
    bowl.legend(loc="lower left", fontsize=10)
    bowl.set(xlabel=r"mean $\mu$", ylabel=r"log variance $\ell$", title="KL in nats; arrows: descent")
    return figure


if __name__ == "__main__":
    kl_shape().savefig(Path(__file__).parent / "04-gaussian-kl.png", dpi=110)

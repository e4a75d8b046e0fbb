"""The figures of note 5.  Run from the repository: python derivations/figures/note_05.py (two seconds)."""

from pathlib import Path

import numpy as np

from vae_from_scratch import ops

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"  # told apart by the colour-blind, too


def graph():
    """The draw in the way of the gradient, and moved aside.  Boxes are computed, circles are drawn."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, panels = plt.subplots(1, 2, figsize=(8, 4.9), layout="constrained")
    titles = ("the draw is in the way", "the draw stands aside")
    middles = (r"$z \sim \mathcal{N}(\mu, \sigma^2)$", r"$z = \mu + \sigma\epsilon$")
    for axes, title, middle, aside in zip(panels, titles, middles, (False, True)):
        names = {4.5: "$x$", 3.0: r"$\mu, \ell$", 1.5: middle, 0.0: "$f(z)$"}
        for y, name in names.items():
            shape = "round,pad=0.9,rounding_size=1.5" if y == 1.5 and not aside else "square,pad=0.6"
            look = {"boxstyle": shape, "facecolor": "0.88" if "round" in shape else "white", "edgecolor": "0.3"}
            axes.text(0, y, name, ha="center", va="center", fontsize=14, bbox=look)
        for y in (4.5, 3.0, 1.5):
            arrow = {"arrowstyle": "-|>", "mutation_scale": 15, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", (-0.12, y - 1.1), (-0.12, y - 0.42), arrowprops=arrow | {"color": BLUE})
            if y == 1.5 or aside and y == 3.0:
                backward = arrow | {"color": ORANGE, "linestyle": (0, (3, 1.5))}
                axes.annotate("", (0.12, y - 0.42), (0.12, y - 1.1), arrowprops=backward)
        axes.text(0.3, 0.75, r"$\mathrm{d}z = f'(z)$", color=ORANGE, va="center", fontsize=13)
        axes.text(-0.3, 3.75, "encoder", color=BLUE, va="center", ha="right")
        axes.text(-0.3, 0.75, "decoder", color=BLUE, va="center", ha="right")
        if aside:
            axes.text(-1.95, 1.5, r"$\epsilon \sim \mathcal{N}(0, 1)$", ha="center", va="center", fontsize=13,
                      bbox={"boxstyle": "round,pad=0.7,rounding_size=1.3", "facecolor": "0.88", "edgecolor": "0.3"})
            axes.annotate("", (-0.74, 1.5), (-1.17, 1.5), arrowprops=arrow | {"color": BLUE})
            axes.text(0.3, 2.25, r"$\mathrm{d}\mu = \mathrm{d}z$" + "\n" + r"$\mathrm{d}\ell = \frac{1}{2}\mathrm{d}z\,\sigma\epsilon$",
                      color=ORANGE, va="center", fontsize=13)
            axes.annotate("", (0.12, 4.08), (0.12, 3.4), arrowprops=arrow | {"color": ORANGE, "linestyle": (0, (3, 1.5))})
            axes.text(0.3, 3.75, "to the encoder's weights", color=ORANGE, va="center")
        else:
            axes.plot(0.12, 2.28, "x", color=ORANGE, markersize=13, markeredgewidth=3)
            axes.text(0.3, 2.25, "a draw has no\nderivative", color=ORANGE, va="center")
        axes.set(xlim=(-2.75, 1.9), ylim=(-0.5, 5.0), title=title)
        axes.axis("off")
    return figure


def draws(mu, std, n=200_000):
    """n single-draw estimates of d E[z^2] / d mu: score function, with baseline mu^2, pathwise."""
    eps = np.random.default_rng(0).standard_normal(n)
    z = ops.reparameterize_forward(mu, np.full_like(eps, 2 * np.log(std)), eps)
    return z**2 * eps / std, (z**2 - mu**2) * eps / std, 2 * z


def gradient_noise():
    """Single-draw estimates of the slope of E[z^2], and their variance against the width of q."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, (histogram, variance) = plt.subplots(1, 2, figsize=(8, 3.9), layout="constrained")

    score, _, path = draws(1.0, 0.5)
    bins = np.arange(-8, 25.01, 0.25)
    histogram.hist(score, bins, density=True, color=ORANGE, alpha=0.75, label="score function")
    histogram.hist(path, bins, density=True, histtype="step", linewidth=2, color=BLUE, label="pathwise")
    histogram.axvline(2, color="black", linestyle=":", label="the slope, 2")
    histogram.set(xlabel=r"estimate from one draw", ylabel="density", xlim=(-4, 22), ylim=(0, 0.6))
    histogram.set_title(r"$f(z) = z^2$, $\mu = 1$, $\sigma = 0.5$")
    histogram.legend(fontsize=10)

    std = np.geomspace(0.05, 2, 100)
    lines = (
        (1 / std**2 + 14 + 15 * std**2, "score function", ORANGE, "--"),
        (8 + 15 * std**2, r"with baseline $\mu^2$", GREEN, "-."),
        (4 * std**2, "pathwise", BLUE, "-"),
    )
    at = np.geomspace(0.06, 1.8, 7)
    measured = np.array([[estimate.var() for estimate in draws(1.0, s)] for s in at]).T
    for (value, label, colour, style), dots in zip(lines, measured):
        variance.loglog(std, value, color=colour, linestyle=style, label=label)
        variance.loglog(at, dots, "o", color=colour, markersize=4)
    variance.set(xlabel=r"$\sigma$ of q", ylabel="variance of one draw", title=r"$\mu = 1$; dots: simulated")
    variance.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2], ["0.05", "0.1", "0.2", "0.5", "1", "2"])
    variance.minorticks_off()
    variance.grid(color="0.9")
    variance.legend(fontsize=10)
    return figure


def estimators():
    """Variance of estimators A and B in p(x|z) = N(z, 1/4), x = 1.5, against the width of q: value, and gradient in mu."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    x, mu, x_logvar = 1.5, 1.2, np.log(0.25)  # posterior: precision 1 + 4, mean 4 x / 5

    def simulated(std, n=200_000):
        eps = np.random.default_rng(0).standard_normal((n, 1))
        z = ops.reparameterize_forward(mu, np.full_like(eps, 2 * np.log(std)), eps)
        log_lik = -ops.gaussian_nll_forward(z, x_logvar, np.full_like(z, x))
        minus_log_ratio = ((eps**2 - z**2) / 2).sum(axis=1)  # log p(z) - log q(z), but for a constant
        slope = -ops.gaussian_nll_backward(np.ones(n), z, x_logvar, np.full_like(z, x))[0]
        return (log_lik + minus_log_ratio).var(), log_lik.var(), (slope - z).var(), slope.var()

    s2 = np.geomspace(0.1, 2, 400) ** 2
    at = np.geomspace(0.12, 1.8, 9)
    dots = np.array([simulated(std) for std in at]).T
    a_value, b_value = (1 - 5 * s2) ** 2 / 2, 8 * s2**2 + 16 * (x - mu) ** 2 * s2

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.9), layout="constrained")
    panels = ("Value of the ELBO", (a_value, b_value), dots[:2]), (r"Its gradient in $\mu$", (25 * s2, 16 * s2), dots[2:])
    for axis, (title, lines, measured) in zip(axes, panels):
        axis.axvline(np.sqrt(0.2), color="0.6", linestyle=":", label="exact posterior")
        for value, simulation, label, colour, style in zip(lines, measured, ("estimator A", "estimator B"), (ORANGE, BLUE), ("--", "-")):
            axis.loglog(np.sqrt(s2), value, color=colour, linestyle=style, label=label)
            axis.loglog(at, simulation, "o", color=colour, markersize=4)
        axis.set(xlabel=r"$\sigma$ of q", ylabel="variance of one draw", title=title, ylim=(1e-3, 2e2))
        axis.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
        axis.minorticks_off()
        axis.grid(color="0.9")
        axis.legend(fontsize=10, loc="upper left")
    return figure


if __name__ == "__main__":
    graph().savefig(Path(__file__).parent / "05-graph.png", dpi=110)
    gradient_noise().savefig(Path(__file__).parent / "05-gradient-noise.png", dpi=110)
    estimators().savefig(Path(__file__).parent / "05-estimators.png", dpi=110)

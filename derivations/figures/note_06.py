"""The figures of note 6.  Run from the repository: python derivations/figures/note_06.py (two seconds)."""

from pathlib import Path

import numpy as np

from vae_from_scratch import ops

COLOURS = "#0072B2", "#D55E00", "#009E73", "#000000"  # told apart by the colour-blind, too
STYLES = "-", "--", "-.", ":"


def grey_pixels():
    """The Bernoulli loss of grey pixels, and the integral of what it would take for a density."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, (loss, integral) = plt.subplots(1, 2, figsize=(8, 3.9), layout="constrained")

    logits = np.linspace(-300, 300, 30_000)[:, None]  # to p = 1e-130; an even number misses 0, where the integral is 0/0
    probs = ops.sigmoid_forward(logits)[:, 0]
    entropy = ops.bernoulli_nll_forward(logits, probs[:, None])
    for grey, colour, style in zip((0, 0.25, 0.5, 1), COLOURS, STYLES):
        nll = ops.bernoulli_nll_forward(logits, np.full_like(logits, grey))
        loss.plot(probs, nll, color=colour, linestyle=style, label=f"x = {grey:g}")
        least = np.clip(grey, 1e-9, 1 - 1e-9)
        loss.plot(grey, -least * np.log(least) - (1 - least) * np.log(1 - least), "o", color=colour, clip_on=False, zorder=5)
    loss.plot(probs, entropy, color="0.6", linewidth=4, alpha=0.6, zorder=0, label="entropy H(p)")
    loss.set(xlabel="probability p", ylabel="loss of one pixel (nats)", xlim=(0, 1), ylim=(0, 2.5))
    loss.set_title("Grey level x; dots: the least loss, H(x)")
    loss.legend(fontsize=10, loc="upper center")

    integral.axhline(1, color="0.4", linestyle="--", label="a density")
    integral.plot(probs, np.tanh(logits / 2) / logits, color=COLOURS[0], label=r"$\int_0^1 p^x (1-p)^{1-x}\,\mathrm{d}x$")
    integral.set(xlabel="probability p", ylabel="integral over the grey level x", title="Not a density", xlim=(0, 1), ylim=(0, 1.1))
    integral.grid(color="0.9")
    integral.legend(fontsize=10, loc="center", bbox_to_anchor=(0.5, 0.72))
    return figure


def grey_densities():
    """Densities and means of the continuous Bernoulli, and the Laplace loss beside the Gaussian."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, (density, mean, error) = plt.subplots(1, 3, figsize=(9.5, 3.6), layout="constrained")

    x = np.linspace(0, 1, 201)[:, None]
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, 5))
    for logit, colour, style in zip((-6, -2, 0, 2, 6), colours, (*STYLES, (0, (5, 1, 1, 1, 1, 1)))):
        nll = ops.continuous_bernoulli_nll_forward(np.full_like(x, logit), x)
        density.plot(x, np.exp(-nll), color=colour, linestyle=style, label=f"{logit}")
    density.set(xlabel="grey level x", ylabel="density", title="Continuous Bernoulli", xlim=(0, 1), ylim=(0, 6.3))
    density.legend(title=r"logit $\lambda$", fontsize=9, loc="upper center")

    logits = np.linspace(-12, 12, 400)
    mean.plot(logits, ops.continuous_bernoulli_mean(logits), color=COLOURS[0], label="E[x] = K'(λ)")
    mean.plot(logits, ops.sigmoid_forward(logits), color=COLOURS[1], linestyle="--", label="sigmoid s(λ)")
    mean.set(xlabel=r"logit $\lambda$", title="Its mean is not the sigmoid", xlim=(-12, 12), ylim=(0, 1))
    mean.grid(color="0.9")
    mean.legend(fontsize=9, loc="upper left")

    m = np.linspace(-4, 4, 401)[:, None]
    error.plot(m, ops.laplace_nll_forward(m, np.log(0.5) / 2, 0 * m), color=COLOURS[0], label="Laplace")
    error.plot(m, ops.gaussian_nll_forward(m, 0, 0 * m), color=COLOURS[1], linestyle="--", label="Gaussian")
    error.set(xlabel=r"error $m - x$", ylabel="loss of one pixel (nats)", title="Variance 1", xlim=(-4, 4), ylim=(0, 9))
    error.grid(color="0.9")
    error.legend(fontsize=9, loc="upper center")
    return figure


def gaussian_loss():
    """The Gaussian loss of one pixel against sigma, for several errors."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    figure, axis = plt.subplots(figsize=(8, 3.9), layout="constrained")
    std = np.geomspace(0.01, 3, 400)
    for error, colour, style in zip((1, 0.2, 0.05, 0), COLOURS, STYLES):
        x_mean = np.zeros((len(std), 1))
        nll = ops.gaussian_nll_forward(x_mean, 2 * np.log(std)[:, None], x_mean + error)
        axis.semilogx(std, nll, color=colour, linestyle=style, label=f"{error:g}")
        if error:
            axis.plot(error, (np.log(2 * np.pi) + 1) / 2 + np.log(error), "o", color=colour)
    axis.axhline(0, color="0.6", linewidth=1)
    axis.set(xlabel=r"standard deviation $\sigma$ of the pixel", ylabel="loss of one pixel (nats)", xlim=(0.01, 3), ylim=(-4, 5))
    axis.set_xticks([0.01, 0.05, 0.2, 1, 3], ["0.01", "0.05", "0.2", "1", "3"])
    axis.minorticks_off()
    axis.grid(color="0.9")
    axis.legend(title=r"error $|x - m|$", loc="lower right")
    return figure


if __name__ == "__main__":
    grey_pixels().savefig(Path(__file__).parent / "06-grey-pixels.png", dpi=110)
    grey_densities().savefig(Path(__file__).parent / "06-grey-densities.png", dpi=110)
    gaussian_loss().savefig(Path(__file__).parent / "06-gaussian-loss.png", dpi=110)

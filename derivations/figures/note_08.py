"""Draws figures/08-error-against-h.png: the error of central differences against their step."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from vae_from_scratch import gradcheck

DTYPES = {"float32": (np.float32, "#D55E00", "o"), "float64": (np.float64, "#0072B2", "s"), "long double": (np.longdouble, "#009E73", "^")}


def worst_error(dtype, h, points):
    """The largest relative error of d e^u / du over 21 points u."""
    worst = 0.0
    for u in np.linspace(0.5, 1.5, 21):
        u = np.array([u], dtype)
        exact = np.exp(u.astype(np.longdouble))
        numeric = gradcheck.numeric_gradient(lambda: np.exp(u), u, np.ones(1, dtype), h, points)
        worst = max(worst, gradcheck.relative_error(exact, numeric.astype(np.longdouble)))
    return worst


def error_against_h():
    """Measured error, the bound of STEP.1 to STEP.3, and rings where the checker works."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 4.6), sharex=True, sharey=True, layout="constrained")
    steps = 10 ** np.linspace(-10, -0.5, 58)
    for axes, title, points, factor, power, divisor in (
        (panels[0], "two points, FD.1", gradcheck.TWO_POINTS, 1.0, 2, 6),
        (panels[1], "five points, FD.2", gradcheck.FIVE_POINTS, 1.5, 4, 30),
    ):
        for name, (dtype, color, marker) in DTYPES.items():
            error = [worst_error(dtype, h, points) for h in steps]
            axes.loglog(steps, error, marker, markersize=3.5, color=color, label=name)
            if dtype != np.float32:
                h, _ = gradcheck.step_and_limit(dtype, smooth=power == 4, model=False)
                ring = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": 1.4}
                axes.loglog(h, worst_error(dtype, h, points), "o", **ring)
            delta = float(np.finfo(dtype).eps) / 2
            kappa = 1 + 1.5  # (|f| + |u f'|) / |f'| at the largest u
            axes.loglog(steps, factor * delta * kappa / steps + steps**power / divisor, "--", color=color, linewidth=1.2)
        axes.set_title(title, fontsize=13)
        axes.set_xlabel("step h", fontsize=12)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=11)
    panels[0].set_ylim(3e-17, 3)
    panels[0].set_ylabel("relative error of the derivative", fontsize=12)
    handles, labels = panels[0].get_legend_handles_labels()
    handles.append(plt.Line2D([], [], color="black", linestyle="--", linewidth=1.2))
    handles.append(plt.Line2D([], [], color="none", marker="o", markersize=11, markeredgecolor="black", markeredgewidth=1.4))
    labels += ["predicted bound", "used by gradcheck"]
    spacing = {"columnspacing": 1.2, "handletextpad": 0.4}
    figure.legend(handles, labels, fontsize=11, loc="outside lower center", ncols=5, **spacing)
    return figure


if __name__ == "__main__":
    error_against_h().savefig(Path(__file__).parent / "08-error-against-h.png", dpi=110)

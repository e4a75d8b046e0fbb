"""Draws figures/13-bytes.png and figures/13-errors.png: what a step moves through memory, and how far off exp and tanh are."""

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from vae_from_scratch import kernels

HERE = Path(__file__).parent
NUMPY, KERNEL = "#D55E00", "#0072B2"


def bytes_per_part():
    """The table of note 13, whose numbers its test counts."""
    note = (HERE.parent / "13-faster.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", note, re.M)
    names = [name.replace(", two layers", "") for name, *_ in rows]
    flops, plain, fused = (np.array(column, float) for column in list(zip(*rows))[1:])
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    places = np.arange(len(rows))[::-1]
    axes.hlines(places, fused, plain, color="#bbbbbb", linewidth=3, zorder=1)
    for values, color, marker, size, label in ((plain, NUMPY, "s", 11, "NumPy"), (fused, KERNEL, "o", 8, "kernel")):
        axes.plot(values, places, marker, color=color, markersize=size, label=label)
        for place, value, other in zip(places, values, fused if values is plain else plain):
            side = 1 if values is plain else -1  # the kernel never moves more
            if value != other or values is plain:
                look = {"textcoords": "offset points", "va": "center", "ha": "left" if side > 0 else "right"}
                axes.annotate(f"{value:.1f}", (value, place), xytext=(9 * side, 0), fontsize=11, **look)
    share = 100 * flops / flops.sum()
    axes.set_yticks(places, [f"{name}\n" for name in names], fontsize=12, va="center")
    for place, percent in zip(places, share):
        look = {"ha": "right", "va": "center", "fontsize": 10.5, "color": "#666666"}
        axes.text(-0.02, place - 0.22, f"{percent:.2g} % of the flops", transform=axes.get_yaxis_transform(), **look)
    axes.set_xscale("log")
    axes.set_xlim(0.3, 300)
    axes.set_ylim(-0.6, len(rows) - 0.5)
    axes.set_xticks([1, 10, 100], ["1", "10", "100"], fontsize=11)
    axes.set_xlabel("MB read and written per step of 784-500-20-500-784, batch 100", fontsize=12)
    axes.legend(fontsize=12, loc="center right")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    return figure


@njit
def kernel_exp(x, out):
    for i in range(x.size):
        q, s = kernels.exp_parts(x[i])
        out[i] = s * q + s


def worst(found, exact, groups):
    """The largest relative error of each group, in units of 1e-7."""
    return np.abs(found / exact - 1).reshape(groups, -1).max(axis=1) * 1e7


def errors():
    """exp and tanh in float32, by kernel and by NumPy, against float64."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
    groups, each = 160, 200
    x = np.linspace(-80, 80, groups * each).astype(np.float32)
    v = np.geomspace(1e-4, 10, groups * each).astype(np.float32)
    e, t = np.empty_like(x), v[None].copy()
    kernel_exp(x, e)
    kernels.add_bias_tanh(t, np.zeros_like(v))
    for axes, u, by_kernel, function, bound, name in (
        (panels[0], x, e, np.exp, 3.4, "exp(x)"),
        (panels[1], v, t[0], np.tanh, 9.1, "tanh(v)"),
    ):
        exact = function(u.astype(float))
        middle = u.reshape(groups, -1)[:, each // 2]
        axes.plot(middle, worst(by_kernel, exact, groups), "o", markersize=4, color=KERNEL, label="kernel")
        axes.plot(middle, worst(function(u), exact, groups), "^", markersize=4, color=NUMPY, label="NumPy")
        axes.axhline(bound, color="black", linestyle="--", linewidth=1.2, label="bound for the kernel")
        axes.set_title(name, fontsize=13)
        axes.set_ylim(0, 10)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=11)
    panels[0].set_xlabel("x", fontsize=12)
    panels[1].set_xlabel("v", fontsize=12)
    panels[1].set_xscale("log")
    panels[0].set_ylabel(r"largest relative error, $10^{-7}$", fontsize=12)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=12, loc="outside lower center", ncols=3)
    return figure


if __name__ == "__main__":
    bytes_per_part().savefig(HERE / "13-bytes.png", dpi=110)
    errors().savefig(HERE / "13-errors.png", dpi=110)

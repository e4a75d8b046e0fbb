"""Draws figures/09-*.png: step lengths on a constant gradient, paths in a narrow valley, signals through layers."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from vae_from_scratch import mlp, ops, optimizers

BLUE, ORANGE, GREEN, PURPLE, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000"


def steps_taken(update, slots, n=5000):
    """The lengths of n steps on the gradient 1 with lr 1; update(param, grad, *slots, t)."""
    lengths, arrays = [], [np.zeros(1) for _ in range(slots)]
    for t in range(1, n + 1):
        param = np.zeros(1)
        update(param, np.ones(1), *arrays, t)
        lengths.append(-param[0])
    return lengths


def uncorrected(param, grad, m, v, t):
    optimizers.adam_update(param, grad, m, v, 10**6, 1.0, 0.9, 0.999, 1e-8)  # beta^t = 0: nothing is corrected


def step_lengths():
    """Momentum, Adagrad, and Adam done in three ways."""
    epoch = 500
    curves = {
        "SGD, momentum 0.9": (lambda p, g, v, t: optimizers.sgd_update(p, g, v, 1.0, 0.9), 1, GREEN, "-"),
        "Adam, not corrected": (uncorrected, 2, ORANGE, "--"),
        f"Adam, t counts epochs of {epoch}": (
            lambda p, g, m, v, t: optimizers.adam_update(p, g, m, v, 1 + (t - 1) // epoch, 1.0, 0.9, 0.999, 1e-8), 2, PURPLE, "-."
        ),
        "Adam": (lambda p, g, m, v, t: optimizers.adam_update(p, g, m, v, t, 1.0, 0.9, 0.999, 1e-8), 2, BLUE, "-"),
        "Adagrad": (lambda p, g, g2, t: optimizers.adagrad_update(p, g, g2, 1.0, 1e-10), 1, BLACK, ":"),
    }
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for name, (update, slots, color, style) in curves.items():
        lengths = steps_taken(update, slots)
        axes.loglog(range(1, len(lengths) + 1), lengths, style, color=color, linewidth=2.2, label=name)
    axes.set_xlabel("update t", fontsize=12)
    axes.set_ylabel("step length / learning rate", fontsize=12)
    axes.set_yticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize=11)
    axes.legend(fontsize=11, loc="lower left")
    return figure


RULES = {  # on the valley: the update of param by grad and slots, the number of slots
    "SGD": (lambda p, g, v, t: optimizers.sgd_update(p, g, v, 0.019, 0.0), 1, BLACK, ":"),
    "SGD, momentum 0.9": (lambda p, g, v, t: optimizers.sgd_update(p, g, v, 0.01, 0.9), 1, GREEN, "-"),
    "Adagrad": (lambda p, g, g2, t: optimizers.adagrad_update(p, g, g2, 1.0, 1e-10), 1, ORANGE, "--"),
    "Adam": (lambda p, g, m, v, t: optimizers.adam_update(p, g, m, v, t, 0.3, 0.9, 0.999, 1e-8), 2, BLUE, "-"),
}


def valley(angle):
    """Curvature 1 along the valley and 100 across it, turned by an angle: the matrix, and the start (-5, 1) turned."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([1.0, 100.0]) @ turn.T, turn @ [-5.0, 1.0]


def path(update, slots, angle, n):
    """The places after 0 to n steps, (n + 1, 2), and the loss at each."""
    matrix, place = valley(angle)
    arrays, places = [np.zeros(2) for _ in range(slots)], [place.copy()]
    for t in range(1, n + 1):
        update(place, matrix @ place, *arrays, t)
        places.append(place.copy())
    places = np.array(places)
    return places, (places @ matrix * places).sum(axis=1) / 2


def paths():
    """Four optimizers in the valley, along an axis of the parameters and at 45 degrees to it, seen along and across."""
    figure, panels = plt.subplots(2, 1, figsize=(8, 6.4), sharex=True, layout="constrained")
    along, across = np.meshgrid(np.linspace(-5.6, 1.8, 186), np.linspace(-1.35, 1.35, 136))
    titles = ("valley along one parameter", "the same valley at 45° to the parameters")
    for axes, angle, title in zip(panels, (0, np.pi / 4), titles):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        height = np.sqrt((along**2 + 100 * across**2) / 2)
        axes.contour(along, across, height, levels=np.arange(0.5, 10, 1), colors="0.85", linewidths=0.8)
        for name, (update, slots, color, style) in RULES.items():
            places = path(update, slots, angle, 60)[0] @ turn
            axes.plot(*places.T, style, color=color, linewidth=1.6, marker="o", markersize=2.6, label=name)
        axes.plot(-5, 1, "s", color="0.3", markersize=7)
        axes.plot(0, 0, "*", color="0.3", markersize=14)
        axes.set(xlim=(-5.6, 1.8), ylim=(-1.35, 1.35))
        axes.set_ylabel("across the valley", fontsize=12)
        axes.set_title(title, fontsize=13)
        axes.tick_params(labelsize=11)
    panels[1].set_xlabel("along the valley", fontsize=12)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=11, loc="outside lower center", ncols=4)
    return figure


def initialisation():
    """Standard deviations of h_l forward and dh_l backward through eight tanh layers."""
    width, layers, rng = 300, 8, np.random.default_rng(0)
    schemes = {
        "Glorot": (lambda: mlp.glorot_uniform(rng, width, width, np.float64), BLUE, "o-"),
        "standard deviation 0.01": (lambda: 0.01 * rng.normal(size=(width, width)), ORANGE, "s--"),
        "standard deviation 0.2": (lambda: 0.2 * rng.normal(size=(width, width)), GREEN, "^-."),
    }
    figure, panels = plt.subplots(1, 2, figsize=(8, 4.4), sharey=True, layout="constrained")
    for name, (draw, color, style) in schemes.items():
        weights = [draw() for _ in range(layers)]
        h = [rng.normal(size=(200, width))]
        for W in weights:
            h.append(ops.dense_act_forward(h[-1], W, np.zeros(width), "tanh"))
        dh = [rng.normal(size=(200, width))]
        for l in reversed(range(layers)):
            dh.append(ops.dense_act_backward(dh[-1], h[l], weights[l], h[l + 1], "tanh")[0])
        panels[0].semilogy(range(layers + 1), [a.std() for a in h], style, color=color, label=name)
        panels[1].semilogy(range(layers + 1), [a.std() for a in dh[::-1]], style, color=color)
    for axes, title in zip(panels, ("forward: activations", "backward: gradients")):
        axes.set_title(title, fontsize=13)
        axes.set_xlabel("layer (0 is the input)", fontsize=12)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=11)
    panels[0].set_ylabel("standard deviation", fontsize=12)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=11, loc="outside lower center", ncols=3)
    return figure


if __name__ == "__main__":
    here = Path(__file__).parent
    for name, figure in {"09-step-lengths": step_lengths(), "09-paths": paths(), "09-initialisation": initialisation()}.items():
        figure.savefig(here / f"{name}.png", dpi=110)
    drawn = Image.open(here / "09-paths.png").convert("RGB")
    drawn.quantize(32).save(here / "09-paths.png", optimize=True)  # 32 colours: a small file

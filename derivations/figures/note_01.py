"""The figure of note 1.  Run from the repository: python derivations/figures/note_01.py (a few seconds)."""

from pathlib import Path

import numpy as np

from vae_from_scratch.autoencoder import Autoencoder
from vae_from_scratch.optimizers import Adam

SIDE = 12  # pixels
STARTS = (2, 4)  # seeds; with these the line from A to B keeps clear of the curve


def blobs(n):
    """n images (n, SIDE * SIDE) of one bright blob, at n equally spaced angles of a circle; and the angles in degrees."""
    angle = 2 * np.pi * np.arange(n) / n
    centre = SIDE / 2 - 0.5 + 3.5 * np.stack([-np.sin(angle), np.cos(angle)], axis=1)  # row, column
    pixel = np.arange(SIDE)
    row, column = (np.exp(-((pixel - centre[:, [i]]) ** 2) / 2) for i in (0, 1))
    return (row[:, :, None] * column[:, None, :]).reshape(n, -1), np.degrees(angle)


def trained(x, seed, steps=1500):
    """An autoencoder with two latents, fitted to all of x at every step; and its loss."""
    model = Autoencoder(data_dim=x.shape[1], hidden=(32,), latent_dim=2, likelihood="squared-error", seed=seed, dtype="float64")
    optimizer = Adam(lr=lambda step: 0.01 * (1 - step / steps))
    state = optimizer.initial_state(model.params)
    for _ in range(steps):
        optimizer.step(model.params, model.loss_and_grads(x)[1], state)
    return model, model.loss(x).loss


def latent_space():
    """Codes of the same images in two trained autoencoders, and what the first decodes along a straight line."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11})
    x, angle = blobs(90)
    figure = plt.figure(figsize=(8, 6.2), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[3.2, 1])
    axes = top.subplots(1, 2)
    for number, (axis, seed) in enumerate(zip(axes, STARTS)):
        model, loss = trained(x, seed)
        z = model.encode(x)
        points = axis.scatter(*z.T, c=angle, cmap="twilight_shifted", s=26, edgecolors="0.5", linewidths=0.4, zorder=2)
        axis.set(title=f"Start {seed}: loss {loss:.3f}", xlabel="latent 1", ylabel="latent 2", aspect="equal", adjustable="datalim")
        axis.grid(color="0.9", zorder=0)
        if number == 0:
            line = np.linspace(z[0], z[45], 9)
            axis.plot(*line.T, "k--o", markersize=4, linewidth=1, zorder=3)
            for name, end in (("A", line[0]), ("B", line[-1])):
                axis.annotate(name, end, xytext=(6, 6), textcoords="offset points", weight="bold", zorder=4)
            images = model.decode(line)
    bar = top.colorbar(points, ax=axes, shrink=0.8, ticks=[0, 90, 180, 270])
    bar.set_label("angle of the blob (degrees)")
    bottom.suptitle(f"Start {STARTS[0]}, decoded at the nine dots from A to B", fontsize=11)
    for number, (axis, image) in enumerate(zip(bottom.subplots(1, 9), images)):
        axis.imshow(image.reshape(SIDE, SIDE), cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[], xlabel={0: "A", 8: "B"}.get(number, ""))
    return figure


if __name__ == "__main__":
    latent_space().savefig(Path(__file__).parent / "01-latent-space.png", dpi=110)

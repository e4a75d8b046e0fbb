"""Every figure, each a function that returns a Matplotlib figure; none needs a display."""

import numpy as np
from matplotlib.figure import Figure

# Ten colours that stay apart for the colour-blind (Petroff 2021, arXiv 2107.02270)
COLOURS = "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd".split()
TRAIN, VALID = COLOURS[0], COLOURS[2]


def learning_curves(history):
    """Loss, reconstruction and KL against the epoch, and the KL of every latent.  history: what fit returned."""
    latent = "kl_per_latent" in history
    panels = [("loss", "loss"), ("recon_nll", "reconstruction: -log p(x|z)")] + [("kl", "KL(q(z|x) || p(z))")] * latent
    figure = Figure(figsize=(3.4 * (len(panels) + latent), 3.2), layout="constrained")
    axes = figure.subplots(1, len(panels) + latent)
    marker = "." if len(history["epoch"]) == 1 else "-"  # one epoch is a point, not a line
    for ax, (name, title) in zip(axes, panels):
        ax.plot(history["epoch"], history[name], marker, color=TRAIN, label="train, while learning")
        if f"valid_{name}" in history:
            ax.plot(history["epoch"], history[f"valid_{name}"], marker, color=VALID, label="test, after the epoch")
        ax.set(title=title, xlabel="epoch", ylabel="nats per example")
    axes[0].legend(frameon=False)
    if latent:
        show_kl_per_latent(axes[-1], history["epoch"], history["kl_per_latent"])
        axes[-1].set(xlabel="epoch")
    return figure


def show_kl_per_latent(ax, at, kl_per_latent, names=None):
    """Draw the KL of every latent, in nats, on an axes.  at (T,); kl_per_latent (T, Z); names: "z0", "z1", ... unless given.

    The six largest at the end have a colour and a name each, the others are thin and grey.
    """
    kl = np.array(kl_per_latent)
    order = np.argsort(-kl[-1])
    named = [j for j in order[:6] if kl[-1, j] > 0.01]
    marker = "." if len(kl) == 1 else "-"
    for j, colour in zip(named, COLOURS):
        ax.plot(at, kl[:, j], marker, color=colour, label=names[j] if names else f"z{j}")
    for rank, j in enumerate(order[len(named) :]):
        label = None if rank else "others"
        ax.plot(at, kl[:, j], marker, color="0.75", linewidth=0.8, zorder=1, label=label)
    ax.set(title="KL of each latent", ylabel="nats", ylim=(0, 1.4 * kl.max() + 1e-3))
    if kl[-1].max() > 0.01:
        ax.legend(frameon=False, loc="upper right", ncols=1 if names else 3, handlelength=1.5)


def show_grid(ax, rows, image_shape):
    """Draw images side by side on an axes.  rows: a list of arrays (columns, D) in [0, 1]; image_shape: (height, width)."""
    height, width = image_shape
    count = max(len(row) for row in rows)
    canvas = np.full((len(rows) * (height + 1) + 1, count * (width + 1) + 1), 0.5)  # one grey pixel between images
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            top, left = r * (height + 1) + 1, c * (width + 1) + 1
            canvas[top : top + height, left : left + width] = np.reshape(image, image_shape)
    ax.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def image_grid(rows, image_shape, *, row_labels=(), column_labels=(), title="", cell=0.55):
    """show_grid as a figure, cell inches an image, with labels at the left and below."""
    height, width = image_shape
    count = max(len(row) for row in rows)
    side = cell * max(1.0, (10 / count) ** 0.5)
    across, down = side * count * min(1, width / height), side * len(rows) * min(1, height / width)
    figure = Figure(figsize=(across + 1.7 * bool(len(row_labels)), down + 0.6), layout="constrained")
    ax = figure.subplots()
    show_grid(ax, rows, image_shape)
    ax.set_title(title, fontsize="medium")
    ax.set_yticks([r * (height + 1) + height / 2 for r in range(len(row_labels))], row_labels)
    ax.set_xticks([c * (width + 1) + width / 2 for c in range(len(column_labels))], column_labels)
    ax.tick_params(length=0)
    return figure


def reconstructions(model, x, image_shape):
    """Originals above their reconstructions.  x (n, D)."""
    return image_grid([x, model.reconstruct(x)], image_shape, row_labels=("original", "reconstruction"))


def samples(images, image_shape, columns=10):
    """A square of samples: E[x|z] for z drawn from the prior.  images (n, D)."""
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    return image_grid(rows, image_shape, title="samples: E[x|z], z ~ N(0, I)")


def latent_scatter(codes, labels=None, axes=(0, 1), ax=None, title=""):
    """Two coordinates of the codes (n, Z), coloured by label; each label stands at the median of its codes."""
    figure = None
    if ax is None:
        figure = Figure(figsize=(5, 4.6), layout="constrained")
        ax = figure.subplots()
    horizontal, vertical = codes[:, axes[0]], codes[:, axes[1]]
    if labels is None:
        ax.scatter(horizontal, vertical, s=6, color=COLOURS[0], alpha=0.6, linewidths=0)
    else:
        for k, label in enumerate(np.unique(labels)):
            mine = labels == label
            colour = COLOURS[k % 10]
            ax.scatter(horizontal[mine], vertical[mine], s=6, color=colour, alpha=0.6, linewidths=0)
            place = np.median(horizontal[mine]), np.median(vertical[mine])
            ax.annotate(
                str(label), place, ha="center", va="center", weight="bold",
                bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": colour, "linewidth": 2},
            )  # fmt: skip
    ax.set(xlabel=f"z{axes[0]}", ylabel=f"z{axes[1]}", title=title)
    return figure


def manifold(model, image_shape, span=2.5, steps=15):
    """E[x|z] over a grid of two latents, z0 to the right and z1 upward, each from -span to span."""
    return image_grid(
        manifold_rows(model, span, steps),
        image_shape,
        title=f"E[x|z], z0 (right) and z1 (up) from -{span:g} to {span:g}",
        cell=0.45,
    )


def manifold_rows(model, span, steps):
    """The rows of manifold, the largest z1 first: a list of arrays (steps, D)."""
    ticks = np.linspace(-span, span, steps)
    return [model.decode(np.stack([ticks, np.full(steps, z1)], axis=1)) for z1 in ticks[::-1]]


def traversals(model, z, kl_per_latent, image_shape, span=3.0, steps=11, most=10):
    """A row for each latent, the largest KL first: it goes from -span to span while the others stay as in z (Z,).

    Of the latents that say nothing (below 0.01 nats), whose rows do not change, the first stands for all.
    """
    speaking = int((kl_per_latent > 0.01).sum())
    latents = np.argsort(-kl_per_latent)[: min(most, speaking + 1)]
    labels = [f"{tick:.1f}" if k % 5 == 0 else "" for k, tick in enumerate(np.linspace(-span, span, steps))]
    return image_grid(
        traversal_rows(model, z, latents, span, steps),
        image_shape,
        row_labels=[f"z{j}: {kl_per_latent[j]:.2f} nats" for j in latents],
        column_labels=labels,
        title=f"one latent at a time from {-span:g} to {span:g}, the others as encoded from one image",
    )


def traversal_rows(model, z, latents, span=3.0, steps=11):
    """The rows of traversals for these latents: a list of arrays (steps, D)."""
    codes = np.tile(z, (len(latents), steps, 1))
    for row, j in zip(codes, latents):
        row[:, j] = np.linspace(-span, span, steps)
    return [model.decode(row) for row in codes]


def factor_matrices(panels):
    """Factors against latents, one panel each.  panels: (title, matrix (K, Z), factor names, what the colour means).

    Values are written into the cells where there is room.
    """
    figure = Figure(figsize=(max(5.2, 0.5 * max(len(panel[1][0]) for panel in panels) + 2.2), 2.9 * len(panels)), layout="constrained")
    for ax, (title, matrix, names, meaning) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels):
        shown = ax.imshow(matrix, cmap="Blues", vmin=0, vmax=max(1, np.nanmax(matrix)), aspect="auto")
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel="latent", yticks=range(len(names)), yticklabels=names)
        if matrix.shape[1] <= 20:
            ax.set_xticks(range(matrix.shape[1]), [f"z{j}" for j in range(matrix.shape[1])])
            for (k, j), value in np.ndenumerate(matrix):
                if np.isfinite(value):
                    dark = value > 0.6 * max(1, np.nanmax(matrix))
                    ax.text(j, k, f"{round(value, 2) + 0:.2f}", ha="center", va="center", fontsize=7, color="white" if dark else "black")
        figure.colorbar(shown, ax=ax, label=meaning)
    return figure

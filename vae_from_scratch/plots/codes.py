"""What the codes hold: two of them as a plane, and factors against latents."""

import numpy as np
from matplotlib.patches import Rectangle

from .style import COLOURS, GREY, Figure, plain, style

MOST = 20  # labels with more values are a scale, not names


def latent_scatter(codes, labels=None, axes=(0, 1), ax=None, title=""):
    """Two coordinates of the codes (n, Z), coloured by label; each label stands at the median of its codes.

    Labels of more than 20 values are drawn on a scale; those that are NaN in grey.
    """
    if np.ndim(codes) != 2 or not all(0 <= j < np.shape(codes)[1] for j in axes):
        raise ValueError(f"codes must be (n, Z) with latents {axes[0]} and {axes[1]} among them, got shape {np.shape(codes)}")
    if labels is not None and np.shape(labels) != (len(codes),):
        shape = np.shape(labels)
        way = "; labels[:, 0] if they are a column, labels.argmax(axis=1) if each row has a single 1" if len(shape) == 2 else ""
        raise ValueError(f"labels must be one for each of {len(codes)} codes, ({len(codes)},), got shape {shape}{way}")
    if ax is None:
        with style():
            figure = Figure(figsize=(5.4, 4.6), layout="constrained")
            latent_scatter(codes, labels, axes, figure.subplots(), title)
        return figure
    codes = np.asarray(codes)
    horizontal, vertical = codes[:, axes[0]], codes[:, axes[1]]
    dots = {"s": 6 * min(3, max(1, (2000 / max(1, len(codes))) ** 0.5)), "alpha": 0.6, "linewidths": 0}
    ax.set(xlabel=f"z{axes[0]}", ylabel=f"z{axes[1]}", title=title)
    if labels is None:
        ax.scatter(horizontal, vertical, color=COLOURS[0], **dots)
        return None
    labels = np.asarray(labels)
    if labels.dtype.kind not in "biuf":
        labels = labels.astype(str)
    known = ~np.isnan(labels) if labels.dtype.kind == "f" else np.full(len(labels), True)
    if not known.all():
        ax.scatter(horizontal[~known], vertical[~known], color=GREY, label="no label", **dots)
        ax.legend(loc="upper right", markerscale=2)
    values, number = np.unique(labels[known], return_inverse=True)
    if len(values) > MOST:
        _on_a_scale(ax, horizontal[known], vertical[known], values, number, dots)
        return None
    for k, label in enumerate(values):
        mine = labels == label
        colour = COLOURS[k % 10]
        ax.scatter(horizontal[mine], vertical[mine], color=colour, marker="ox"[k // 10], **dots | {"linewidths": k // 10})
        place, words = (np.median(horizontal[mine]), np.median(vertical[mine])), plain(label)
        shape, size = ("circle", "medium") if len(words) <= 2 else ("round", "x-small")  # a circle round a word would hide the codes
        ax.annotate(
            words, place, ha="center", va="center", weight="bold", fontsize=size,
            bbox={"boxstyle": f"{shape},pad=0.15", "facecolor": "white", "edgecolor": colour, "linewidth": 2},
        )  # fmt: skip
    return None


def _on_a_scale(ax, horizontal, vertical, values, number, dots):
    numeric = values.dtype.kind in "biuf"
    shown = ax.scatter(horizontal, vertical, c=values[number] if numeric else number, cmap="viridis", **dots)
    bar = ax.get_figure().colorbar(shown, ax=ax, label=f"label ({len(values)} values)")
    bar.solids.set_alpha(1)
    if not numeric:
        at = np.linspace(0, len(values) - 1, 5).round().astype(int)
        bar.set_ticks(at, labels=[plain(str(value)[:12]) for value in values[at]])


@style()
def factor_matrices(panels, silent=None):
    """Factors against latents, one panel each.  panels: (title, matrix (K, Z), factor names, what the colour means).

    Values are written into the cells where there is room.  Latents that say nothing are hatched: those in silent (Z,), or
    unless it is given those with no number.
    """
    latents = max(panel[1].shape[1] for panel in panels)
    width = min(12, max(5.8, (0.5 if latents <= 20 else 0.15) * latents + 2.4))
    heights = [1.5 + 0.28 * len(panel[2]) for panel in panels]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    hatched = False
    for ax, (title, matrix, names, meaning) in zip(figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0], panels):
        top = max(1, np.nanmax(matrix)) if np.isfinite(matrix).any() else 1
        shown = ax.imshow(matrix, cmap="Blues", vmin=0, vmax=top, aspect="auto")
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel="latent", yticks=range(len(names)), yticklabels=list(map(plain, names)))
        ax.xaxis.get_major_locator().set_params(integer=True)
        mute = np.flatnonzero(np.isnan(matrix).all(axis=0) if silent is None else silent)
        hatched = hatched or len(mute) > 0
        for j in mute:
            box = (j - 0.5, -0.5), 1, len(names)
            ax.add_patch(Rectangle(*box, facecolor="0.93", edgecolor="0.7", hatch="///", linewidth=0))
        if matrix.shape[1] <= 20:
            ax.set_xticks(range(matrix.shape[1]), [f"z{j}" for j in range(matrix.shape[1])])
            for (k, j), value in np.ndenumerate(matrix):
                if np.isfinite(value) and j not in mute:
                    colour = "white" if value > 0.6 * top else "black"
                    ax.text(j, k, f"{round(value, 2) + 0:.2f}", ha="center", va="center", fontsize=7, color=colour)
        figure.colorbar(shown, ax=ax, label=meaning)
    if hatched:
        figure.supxlabel("hatched: silent latents, whose mean hardly changes with x", fontsize=8, color="0.35")
    return figure

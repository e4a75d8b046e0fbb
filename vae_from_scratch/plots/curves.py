"""Training as curves: losses and gradients against the epoch, and what each latent says."""

import numpy as np

from .style import COLOURS, GREY, TRAIN, VALID, Figure, style

NAMED = [colour for colour in COLOURS if colour != COLOURS[3]][:8]  # without the grey: grey lines are those without a name
SILENT = 0.01  # nats: a latent with less says nothing


def _check(history):
    if not hasattr(history, "keys") or "epoch" not in history:
        raise TypeError(f"history must be the dict that fit returned, with a list epoch; got {type(history).__name__}")
    if len(history["epoch"]) == 0:
        raise ValueError("the history has no epoch yet, for training was stopped within the first; train for one whole epoch, or more")


@style()
def learning_curves(history):
    """Loss, reconstruction and KL against the epoch, and the KL of every latent.  history: what fit returned.

    The first epochs, a twentieth of all, are left out if they would flatten the rest; the axis says how far they went.
    """
    _check(history)
    variational = "kl_per_latent" in history
    panels = {"loss": "loss"}
    if variational:
        panels |= {"recon_nll": "reconstruction: -log p(x|z)", "kl": "KL(q(z|x) || p(z))"}
    figure = Figure(figsize=(8, 5.8) if variational else (5.2, 3.6), layout="constrained")
    axes = figure.subplots(2, 2).ravel() if variational else [figure.subplots()]
    epochs, marker = history["epoch"], "." if len(history["epoch"]) == 1 else "-"  # one epoch is a point, not a line
    for ax, (name, title) in zip(axes, panels.items()):
        ax.plot(epochs, history[name], marker, color=TRAIN, label="train, while learning")
        if f"valid_{name}" in history:
            ax.plot(epochs, history[f"valid_{name}"], marker, color=VALID, label="test, after the epoch")
        ax.set(title=title, xlabel="epoch", ylabel="nats per example")
        _leave_out_the_start(ax)
    axes[0].legend(frameon=False)
    if variational:
        show_kl_per_latent(axes[-1], epochs, history["kl_per_latent"])
        axes[-1].set(xlabel="epoch")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _leave_out_the_start(ax):
    lines = [np.asarray(line.get_ydata()) for line in ax.lines]
    start = max(1, len(lines[0]) // 20)
    first, rest = (np.concatenate([line[part] for line in lines]) for part in (slice(start), slice(start, None)))
    if len(lines[0]) < 3 or not np.isfinite([*first, *rest]).all():
        return
    low, high = rest.min(), rest.max()
    margin = 0.08 * (high - low) or 1e-3
    for end, above in ((first.max(), True), (first.min(), False)):
        if (end - high if above else low - end) > high - low + margin:  # or it would not flatten the others
            ax.set_ylim(low - margin, high + margin)
            ax.set_xlabel(f"{ax.get_xlabel()} (not drawn: the start, {'up' if above else 'down'} to {end:.4g})")


def show_kl_per_latent(ax, at, kl_per_latent, names=None):
    """Draw the KL of every latent, in nats, on an axes.  at (T,); kl_per_latent (T, Z); names: "z0", "z1", ... unless given.

    The eight largest at the end have a colour each, and a name unless they say nothing; the others are grey.
    """
    kl = np.array(kl_per_latent)
    if kl.ndim != 2 or len(kl) != len(at) or kl.size == 0:
        raise ValueError(f"kl_per_latent must be (T, Z), a row for each of the {len(at)} in at, one or more; got shape {kl.shape}")
    for rank, j in enumerate(np.argsort(-kl[-1], kind="stable")):
        look = {"color": GREY, "linewidth": 0.8, "zorder": 1.5}
        if rank < len(NAMED) and kl[-1, j] > SILENT:
            look = {"color": NAMED[rank], "label": names[j] if names else f"z{j}"}
        ax.plot(at, kl[:, j], "." if len(kl) == 1 else "-", **look)
    silent = int((kl[-1] <= SILENT).sum())
    named = min(len(NAMED), kl.shape[1] - silent)
    counts = [f"{n} {what}" for n, what in ((kl.shape[1] - named - silent, "smaller"), (silent, "silent")) if n]
    words = ["grey: " + ", ".join(counts)] if counts else []
    start = max(1, len(kl) // 20)
    top, first = (part[np.isfinite(part)].max(initial=0) for part in (kl[start:], kl[:start]))
    if len(kl) < 3 or first <= 2 * top:  # or it would flatten the others
        top = max(top, first)
    else:
        words.append(f"at the start up to {first:.3g}")
    ax.set(title="KL of each latent", ylabel="nats", ylim=(0, 1.4 * top + 1e-3))
    if named or words:
        shown = () if named else ([], [])  # or Matplotlib would miss them
        ax.legend(
            *shown, frameon=False, loc="upper right", ncols=1 if names else 4, fontsize="small", title="; ".join(words) or None,
            title_fontsize="small", handlelength=1.2, columnspacing=1,
        )  # fmt: skip


@style()
def gradient_norms(history):
    """The norm of every layer's gradient against the epoch, on a logarithmic scale.  history: of fit(..., gradient_norms=True).

    Eight colours, then the same dashed; what is zero throughout has no line.
    """
    _check(history)
    if "gradient_norms" not in history:
        raise ValueError("the history holds no gradient_norms: train with fit(..., gradient_norms=True), or --gradient-norms")
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    ax = figure.subplots()
    epochs = history["epoch"]
    looks = (".", "x") if len(epochs) == 1 else ("-", "--")
    for number, layer in enumerate(history["gradient_norms"][0]):
        norms = np.array([row[layer] for row in history["gradient_norms"]])
        if norms.any():
            look = looks[number // len(NAMED) % 2]
            ax.plot(epochs, np.where(norms > 0, norms, np.nan), look, color=NAMED[number % len(NAMED)], label=layer)
    if ax.lines:
        ax.set_yscale("log")
        figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    ax.set(title="norm of the gradient, layer by layer", xlabel="epoch", ylabel="mean over an epoch")
    ax.xaxis.get_major_locator().set_params(integer=True)
    return figure

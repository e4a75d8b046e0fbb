"""Images side by side: reconstructions, samples, the latent plane, traversals.

Each image has a whole number of screen pixels, so that the lines between images are all there, and the grey of an
image is where its value stands in a range that the caption names.
"""

import math

import numpy as np
from matplotlib.textpath import TextPath
from matplotlib.transforms import Bbox

from ..engine import require
from .curves import SILENT
from .style import Figure, style

DPI = 100


def image_range(*images):
    """(low, high) of values in arrays: 0 to 1 if none is outside and they reach at least 0.1, else what is there."""
    ends = [(values[finite].min(), values[finite].max()) for values in map(np.asarray, images) if (finite := np.isfinite(values)).any()]
    if not ends:
        return 0.0, 1.0
    low, high = float(min(low for low, _ in ends)), float(max(high for _, high in ends))
    if low >= 0 and high <= 1 and (high >= 0.1 or high == 0):
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _black_and_white(value_range, *images):
    # a range as two different numbers; image_range of the images unless given
    if value_range is None:
        return image_range(*images)
    try:
        low, high = (require.number("value_range", end) for end in value_range)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if low > high:
        raise ValueError(f"value_range must be two numbers, black and white, such as (0, 1), the lower one first; got {value_range!r}")
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _columns(rows):
    # images in the longest row
    count = max(map(len, rows), default=0)
    if count == 0:
        raise ValueError("there is no image to draw: at least one is needed")
    return count


def show_grid(ax, rows, image_shape, value_range=None):
    """Draw images side by side on an axes.

    rows: a list of arrays (columns, D); image_shape: (height, width), or (height, width, 3) for colour; value_range:
    what is black and what is white, image_range of what is drawn unless given.
    """
    image_shape = require.image_shape(image_shape)
    height, width = image_shape[:2]
    if wrong := {np.size(image) for row in rows for image in row} - {math.prod(image_shape)}:
        raise ValueError(f"image_shape is {image_shape}, but an image has {wrong.pop()} values; name the shape of those")
    count = _columns(rows)
    low, high = _black_and_white(value_range, *rows)
    colour = image_shape[2:] == (3,)
    canvas = np.full((len(rows) * (height + 1) + 1, count * (width + 1) + 1) + (3,) * colour, high, float)
    for r, row in enumerate(rows):
        across = len(row) * (width + 1) + 1
        canvas[r * (height + 1) : (r + 1) * (height + 1) + 1, :across] = (low + high) / 2  # one grey pixel between images
        for c, image in enumerate(row):
            top, left = r * (height + 1) + 1, c * (width + 1) + 1
            canvas[top : top + height, left : left + width] = np.reshape(image, (height, width) + (3,) * colour)
    if colour:
        canvas = np.clip((canvas - low) / (high - low), 0, 1)
    shown = ax.imshow(canvas, cmap="gray", vmin=low, vmax=high, aspect="auto")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_axes_locator(lambda ax, renderer: _whole_pixels(ax, shown, canvas.shape, renderer))


def _whole_pixels(ax, shown, canvas_shape, renderer):
    # the place of ax when it is drawn: the largest in its box that gives each value a whole number of pixels
    whole, box = ax.figure.bbox, ax.get_position(original=True)  # of a subfigure its part of the figure
    size = whole.size
    (left, bottom), (width, height) = whole.p0 + box.p0 * size, box.size * size
    scale = min(width / canvas_shape[1], height / canvas_shape[0]) + 1e-6
    free = renderer is not None and renderer.option_scale_image()  # PDF and SVG have no pixels
    if not free and scale >= 1:
        scale = int(scale)
    shown.set_interpolation("none" if free or scale >= 1 else "auto")  # where values must share a pixel: their mean
    across, down = scale * canvas_shape[1], scale * canvas_shape[0]
    left, bottom = np.rint([left + (width - across) / 2, bottom + (height - down) / 2])
    inside = 1e-6  # of a pixel, or a rounding error would make Matplotlib take one pixel more
    left, bottom, across, down = left + inside, bottom + inside, across - 2 * inside, down - 2 * inside
    return Bbox.from_bounds((left - whole.x0) / size[0], (bottom - whole.y0) / size[1], across / size[0], down / size[1])


@style()
def image_grid(
    rows, image_shape, *, row_labels=(), column_labels=(), title="", cell=0.55, value_range=None, xlabel="", ylabel="", note=""
):
    """show_grid as a figure with words around it; each image is cell inches wide, or what whole pixels make of that."""
    image_shape = require.image_shape(image_shape)
    height, width = image_shape[:2]
    count = _columns(rows)
    value_range = _black_and_white(value_range, *rows)
    side = cell * max(1.0, (10 / count) ** 0.5) * DPI
    scale = max(1, round(side / max(height, width)))
    across, down = (scale * (n * (side + 1) + 1) / DPI for n, side in ((count, width), (len(rows), height)))
    shades = ("no colour", "full colour") if image_shape[2:] == (3,) else ("black", "white")
    caption = ", ".join(f"{shade} is {value:.3g}" for shade, value in zip(shades, value_range))
    lines = title.split("\n") if title else []
    below = [*note.split("\n"), caption] if note else [caption]

    left = 0.15 + max([_inches(label, 10) for label in row_labels], default=0) + 0.25 * bool(ylabel)
    bottom = 0.12 + 0.16 * len(below) + 0.2 * any(column_labels) + 0.22 * bool(xlabel)
    wanted = max([_inches(line, 10) for line in lines] + [_inches(line, 8) for line in below]) + 0.2
    total = np.ceil(DPI * np.array([max(left + across + 0.15, wanted), bottom + down + 0.1 + 0.2 * len(lines)])) / DPI
    left += max(0.0, (total[0] - left - across - 0.15) / 2)  # in the middle where words need more room
    figure = Figure(figsize=tuple(total), dpi=DPI)
    ax = figure.add_axes((left / total[0], bottom / total[1], across / total[0], down / total[1]))
    show_grid(ax, rows, image_shape, value_range)
    ax.set_yticks([r * (height + 1) + height / 2 for r in range(len(row_labels))], row_labels)
    ax.set_xticks([c * (width + 1) + width / 2 for c in range(len(column_labels))], column_labels)
    ax.tick_params(length=0, pad=2)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    figure.text(0.5, 1 - 0.06 / total[1], title, ha="center", va="top", fontsize=10)
    figure.text(0.5, 0.06 / total[1], "\n".join(below), ha="center", va="bottom", fontsize=8, color="0.35")
    return figure


def _inches(text, size):
    return TextPath((0, 0), text, size=size).get_extents().width / 72 if text.strip() else 0.0


def reconstructions(model, x, image_shape, value_range=None):
    """Originals above their reconstructions.  x (n, D), whose range is shown unless another is given."""
    rows, labels = [x, model.reconstruct(x)], ("original", "reconstruction")
    return image_grid(rows, image_shape, row_labels=labels, value_range=_black_and_white(value_range, x))


def samples(images, image_shape, columns=10, value_range=None):
    """A square of samples: E[x|z] for z drawn from the prior.  images (n, D)."""
    rows = [images[start : start + columns] for start in range(0, len(images), require.whole("columns", columns))]
    return image_grid(rows, image_shape, title=f"sample{'s' * (len(images) > 1)}: E[x|z], z ~ N(0, I)", value_range=value_range)


def manifold(model, image_shape, span=None, steps=15, *, codes=None, value_range=None):
    """E[x|z] over a grid of two latents, z0 to the right and z1 upward.

    span: each goes from -span to span.  Unless given, it is where the codes (n, 2) are, all but one in a hundred at
    either end; 2.5 without codes.
    """
    if model.latent_dim != 2:
        raise ValueError(f"the plane of a model with {model.latent_dim} latents cannot be drawn, two are needed; try traversals")
    steps = require.whole("steps", steps)
    if codes is not None and len(codes := require.codes("codes", codes, 2, model.dtype)) == 0:
        raise ValueError("codes is empty: at least one is needed, or codes=None")
    if span is None:
        span = 2.5 if codes is None else np.quantile(codes, (0.01, 0.99), axis=0).T
    ranges = np.broadcast_to(_ends(span), (2, 2))
    step = next(d for d in range(1, steps + 1) if d >= steps - 1 or (steps - 1) % d == 0 and (steps - 1) // d <= 7)
    columns, rows = (
        [tick if k % step == 0 else "" for k, tick in enumerate(_told_apart(np.linspace(*ends, steps), step))] for ends in ranges
    )
    return image_grid(
        manifold_rows(model, span, steps), image_shape, row_labels=rows[::-1], column_labels=columns, xlabel="z0", ylabel="z1",
        title=f"the latent plane{', where the codes are' * (codes is not None)}: E[x|z] at each place", cell=0.45, value_range=value_range,
    )  # fmt: skip


def _told_apart(ticks, step):
    # as texts with so many digits, one at least, that those shown differ
    apart = abs(ticks[-1] - ticks[0]) / max(1, len(ticks) - 1) * step
    digits = max(1, math.ceil(-math.log10(apart))) if apart > 0 else 1
    return [f"{0 if abs(tick) < 0.5 / 10**digits else tick:.{digits}f}" for tick in ticks]


def _ends(span):
    return np.array([-span, span]) if np.ndim(span) == 0 else np.asarray(span)


def manifold_rows(model, span, steps):
    """The rows of manifold, the largest z1 first: a list of arrays (steps, D).  span: a number, or two (low, high)."""
    z0, z1 = (np.linspace(low, high, steps) for low, high in np.broadcast_to(_ends(span), (2, 2)))
    return [model.decode(np.stack([z0, np.full(steps, up)], axis=1)) for up in z1[::-1]]


def readable(model, x):
    """The row of x (n, D) whose reconstruction leaves the least of its difference from the mean image unexplained."""
    left = ((x - model.reconstruct(x)) ** 2).sum(axis=1)
    return int(np.argmin(left / np.maximum(((x - x.mean(axis=0)) ** 2).sum(axis=1), 1e-12)))


def traversals(model, z, kl_per_latent, image_shape, span=3.0, steps=11, most=10, *, x=None, value_range=None):
    """A row for each latent, the largest KL (Z,) first: it goes from -span to span while the others stay as in z (Z,).

    Of the latents that say nothing (below 0.01 nats), whose rows do not change, the first stands for all.
    x (D,): the image that z was encoded from, shown above.
    """
    z, Z, steps = _one_code(model, z), model.latent_dim, require.whole("steps", steps)
    if np.shape(kl_per_latent) != (Z,):
        got = "None, as of an Autoencoder" if kl_per_latent is None else f"shape {np.shape(kl_per_latent)}"
        wanted = f"the KL of each latent, ({Z},), as a VAE has in evaluate(model, x).kl_per_latent"
        raise ValueError(f"kl_per_latent must be {wanted}, got {got}; traversal_rows needs none")
    if x is not None and np.shape(x) != (model.data_dim,):
        raise ValueError(f"x must be the one image that z was encoded from, ({model.data_dim},), such as x[0]; got shape {np.shape(x)}")
    kl_per_latent = np.asarray(kl_per_latent)
    speaking = int((kl_per_latent > SILENT).sum())
    order = np.argsort(-kl_per_latent, kind="stable")
    latents = order[: min(most, speaking + 1)]
    rows = traversal_rows(model, z, latents, span, steps)
    labels = [f"z{j}: {kl_per_latent[j]:.2f} nats" for j in latents]
    if x is not None:
        rows = [np.stack([x, *model.decode(z[None])]), *rows]
        labels = ["image, E[x|z]", *labels]
    return image_grid(
        rows,
        image_shape,
        row_labels=labels,
        column_labels=[f"{tick:.1f}" if k % 5 == 0 else "" for k, tick in enumerate(np.linspace(-span, span, steps))],
        title=f"one latent at a time from {-span:g} to {span:g}, the others {'fixed' if x is None else 'as encoded from one image'}",
        note=_left_out(kl_per_latent[order], speaking, len(latents)),
        value_range=value_range,
    )


def _left_out(kl, speaking, shown):
    # why the latents behind the first ones have no row; kl from the largest down
    small, silent = max(0, speaking - shown), len(kl) - max(speaking, shown)
    words = []
    if small:
        words.append(f"{small} with less KL ({kl[shown]:.2f} nats or less), for want of room")
    if silent:
        words.append(f"{silent}{' more' * (shown > speaking)} below {SILENT} nats: moving them changes nothing")
    return "latents left out: " + "\nand ".join(words) if words else ""


def _one_code(model, z):
    # z (Z,) as a row that the model can decode
    Z = model.latent_dim
    if np.shape(z) != (Z,):
        got = f"{type(z).__name__}, shape {np.shape(z)}"
        raise ValueError(f"z must be the code of one image, ({Z},), as mu[0] is after mu, logvar = model.encode(x); got {got}")
    return require.codes("z", np.asarray(z)[None], Z, model.dtype)[0]


def traversal_rows(model, z, latents, span=3.0, steps=11):
    """The rows of traversals for these latents: a list of arrays (steps, D)."""
    codes = np.tile(_one_code(model, z), (len(latents), steps, 1))
    for row, j in zip(codes, latents):
        row[:, j] = np.linspace(-span, span, steps)
    return [model.decode(row) for row in codes]

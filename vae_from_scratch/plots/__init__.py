"""Every figure, each a function that returns a Matplotlib figure, which a notebook shows; none needs a display."""

from . import without_display  # noqa: F401  first: it imports Matplotlib
from .animation import Frames, animate, animation_path, read_frames
from .codes import factor_matrices, latent_scatter
from .curves import gradient_norms, learning_curves, show_kl_per_latent
from .images import (
    image_grid,
    image_range,
    manifold,
    manifold_rows,
    readable,
    reconstructions,
    samples,
    show_grid,
    traversal_rows,
    traversals,
)
from .style import COLOURS, TRAIN, VALID, check_path, plain, save
from .sweeps import sweep

__all__ = [
    "COLOURS",
    "Frames",
    "TRAIN",
    "VALID",
    "animate",
    "animation_path",
    "check_path",
    "factor_matrices",
    "gradient_norms",
    "image_grid",
    "image_range",
    "latent_scatter",
    "learning_curves",
    "manifold",
    "manifold_rows",
    "plain",
    "read_frames",
    "readable",
    "reconstructions",
    "samples",
    "save",
    "show_grid",
    "show_kl_per_latent",
    "sweep",
    "traversal_rows",
    "traversals",
]

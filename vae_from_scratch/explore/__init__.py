"""A trained model as one page for a browser: weights, images and the arithmetic in a file that needs nothing else."""

from .pack import PRECISIONS, checked_alike, ends, pack_images, pack_model, rounded
from .page import build

__all__ = ["PRECISIONS", "build", "checked_alike", "ends", "pack_images", "pack_model", "rounded"]

"""What all figures share: colours, a figure that shows itself in a notebook, and one look on every machine."""

import contextlib
import io
import os
from pathlib import Path

import matplotlib
import matplotlib.figure

from ..engine import files, require

# Ten colours that stay apart for the colour-blind: Petroff 2021, arXiv 2107.02270, but for the second of its two greys
COLOURS = "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #14142b #92dadd".split()
TRAIN, VALID, GREY = COLOURS[0], COLOURS[2], "0.75"
FORMATS = ("png", "pdf", "svg")


@contextlib.contextmanager
def style():
    """Matplotlib's defaults, whatever a matplotlibrc, a notebook or another library has set; given back at the end."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["svg.hashsalt"] = "vae-from-scratch"  # or no two files would be the same
        yield


class Figure(matplotlib.figure.Figure):
    """A Matplotlib figure that a notebook shows without a magic line, and whose files do not depend on settings."""

    @style()
    def savefig(self, *arguments, **settings):
        super().savefig(*arguments, **settings)

    def _repr_png_(self):
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def plain(text):
    """A name or a label as Matplotlib shows it letter by letter: $ does not begin a formula, and a byte that is no text is \\xe9."""
    return str(text).encode("utf-8", "backslashreplace").decode().replace("$", r"\$")


def check_path(path):
    """The format that a path's ending asks for; png where a pipe or a device has none.  ValueError for another."""
    path = require.path("path", path)
    ending = (Path(path).suffix or Path(os.path.realpath(path)).suffix)[1:].lower()
    if not ending and files.passes_on(path):
        return "png"
    if ending not in FORMATS or Path(path).is_dir():
        raise ValueError(f"a figure is written to a file whose name ends in .png, .pdf or .svg, got {path}")
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {Path(path).parent}; make it first")
    return ending


def save(figure, path):
    """Write a figure as its ending says; what was at path is replaced whole (engine/files.py)."""
    if not hasattr(figure, "savefig"):
        raise TypeError(f"figure must be a Matplotlib figure, as plots return them, got {type(figure).__name__}; write save(figure, path)")
    path = require.path("path", path)
    kind, content = check_path(path), io.BytesIO()
    undated = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[kind]
    figure.savefig(content, format=kind, dpi=figure.dpi, metadata=undated)
    files.write(path, lambda file: file.write(content.getbuffer()))

"""Pictures that move: the codes and the reconstructions while a model learns, then what its latents do.

    frames = plots.Frames("frames.npz", test[:300], test.labels[:300], image_shape=(8, 8), n_train=len(train))
    fit(model, train, epochs=30, callback=frames, callback_at=frames.at(40, epochs=30))
    plots.animate(model, frames.kept, "learning.gif")
"""

import contextlib
import json
import math
import tempfile
import weakref
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.patches import Circle

from ..engine import files, require
from ..engine.bars import tqdm
from ..engine.registry import whence
from ..evaluation import evaluate
from .codes import latent_scatter
from .curves import SILENT
from .images import image_range, readable, show_grid
from .style import Figure, save, style

PAIRS, ACROSS = 8, 4  # images beside the plane, and how many in a row
SPAN, LATENTS = 3.0, 3  # a traversal goes from -SPAN to SPAN, in so many latents
STEPS = 12  # frames of one latent's way, or of the way from one code to the next
PER_SECOND, HOLD = 10, 8  # frames in a second; the last of training and of all stay for so many
SIZE, DPI = (6.0, 3.4), 100


class Frames:
    """A callback of fit that keeps what an animation of training shows.

    path : of the .npz file that is written anew at each call; what a stopped run of the same model left there is kept, and
        the frames of another model are not.  None: in memory alone
    x, labels : test images (n, D), some hundreds; (n,) or None.  Their codes are kept, and the first 8 reconstructions
    image_shape : (rows, columns), or (rows, columns, 3); n_train : examples in an epoch; binarize, seed : as in evaluate
    kept : name -> array, of T frames: examples, elbo (T,); kl (T, Z); codes (T, n, Z); images (T, 8, D) as bytes.  The same
        for all: x, labels, image_shape, value_range, n_train; variational, without which elbo is minus the loss; of, whose they are.

    Raises ValueError or OSError if there is something else at path, or frames of other images.
    """

    def __init__(self, path, x, labels=None, *, image_shape, n_train, binarize="none", seed=0):
        x = require.array("x", x)
        if np.ndim(x[:1]) != 2 or len(x) == 0:
            raise ValueError(f"x must be images (n, D), one in each row, got shape {np.shape(x)}")
        path = None if path is None else Path(require.path("path", path)).absolute()  # wherever the working folder is later
        self.path, self.x, self.binarize, self.seed = path, np.asarray(x[np.arange(len(x))]), binarize, seed
        image_shape = require.image_shape(image_shape)
        if math.prod(image_shape) != self.x.shape[1]:
            wanted = f"(rows, columns) or (rows, columns, 3) of {self.x.shape[1]} values, those of each image"
            raise ValueError(f"image_shape must be {wanted}, got {image_shape}")
        self.same = {
            "x": self.x[:PAIRS],
            "image_shape": np.array(image_shape),
            "value_range": np.array(image_range(self.x)),
            "n_train": np.array(require.whole("n_train", n_train)),
        }
        if labels is not None:
            labels = np.asarray(labels)
            if len(labels) != len(self.x):
                raise ValueError(f"labels must be one for each of {len(self.x)} images, got {len(labels)}")
            self.same["labels"] = labels if labels.dtype.kind in "biufU" else labels.astype(str)
        self.model = None  # whose frames they are, once it has been called
        self.kept = read_frames(path) if path is not None and Path(path).is_file() else {}
        n = self.kept["codes"].shape[1] if self.kept else len(self.x)
        if n != len(self.x) or (self.kept and not np.array_equal(self.kept["x"], self.same["x"])):
            raise ValueError(f"{path} holds frames of {n} images, and not of these {len(self.x)}; name another file")

    def at(self, count, epochs, batch_size=100):
        """callback_at for so many frames, close together at the start; fewer if there are fewer steps."""
        n, batch_size = int(self.same["n_train"]), require.whole("batch_size", batch_size)
        each = -(-n // batch_size)  # steps of an epoch
        steps = each * require.whole("epochs", epochs)
        count = require.whole("count", count)
        way = np.arange(count) / (count - 1) if 1 < count < steps else np.ones(1)
        chosen = np.arange(1, steps + 1) if count >= steps else np.unique(np.maximum(1, np.rint(steps * way**2).astype(int)))
        return (chosen // each * n + chosen % each * batch_size).tolist()

    def __call__(self, model, examples):
        """Keep one more frame; those of as many examples or more, of a run that was taken up again, are gone."""
        found = evaluate(model, self.x, binarize=self.binarize, seed=self.seed)
        low, high = self.same["value_range"]
        levels = np.rint(255 * np.clip((model.reconstruct(self.x[:PAIRS]) - low) / (high - low), 0, 1))
        codes = model.encode(self.x)[0] if model.variational else model.encode(self.x)
        frame = {
            "examples": examples,
            "elbo": found.elbo if model.variational else -found.loss,
            "kl": np.full(model.latent_dim, np.nan) if found.kl_per_latent is None else found.kl_per_latent,
            "codes": codes.astype(np.float32),
            "images": levels.astype(np.uint8),
        }
        of = self.described(model)
        went_on = self.kept.get("of", of) == of if self.model is None else self.model() is model
        if not went_on:  # the frames of another training
            self.kept = {}
        self.model = weakref.ref(model)
        earlier = self.kept["examples"] < examples if self.kept else []
        for name, value in frame.items():
            before = self.kept[name][earlier] if self.kept else np.empty((0, *np.shape(value)), np.asarray(value).dtype)
            frame[name] = np.concatenate([before, [value]])
        self.kept = frame | self.same | {"variational": np.array(model.variational), "of": np.array(of)}
        if self.path is not None:
            files.write_npz(self.path, self.kept)

    def __getstate__(self):  # for copy.deepcopy and pickle, which take no weak reference; the next call compares "of"
        return vars(self) | {"model": None}

    def described(self, model):
        """A checksum of what a run that goes on has in common with its start: no hyperparameters, which a schedule may change."""
        config = {}
        with contextlib.suppress(TypeError):  # of a class that does not keep its arguments nothing more is known
            config = {name: value for name, value in model.config.items() if name not in model.hyperparameters}
        told = [whence(type(model)), config, int(self.same["n_train"]), self.binarize, self.seed]
        return zlib.crc32(json.dumps(told, default=lambda value: type(value).__name__).encode())


def read_frames(path):
    """What Frames has kept in a file.  ValueError if it is anything else."""
    path = require.path("path", path)
    kept = files.read_npz(path)
    try:
        T, n, Z = kept["codes"].shape
        P, D = kept["x"].shape
        wanted = {"examples": (T,), "elbo": (T,), "kl": (T, Z), "images": (T, P, D), "value_range": (2,), "n_train": (), "variational": ()}
        wanted |= {name: shape for name, shape in {"labels": (n,), "of": ()}.items() if name in kept}
        whole = T > 0 and all(kept[name].shape == shape for name, shape in wanted.items())
        if not whole or np.prod(kept["image_shape"]) != D or P > n:
            raise ValueError("their shapes do not belong together")
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} does not hold frames of training: {error}; remove it") from error
    return kept


class Scene(NamedTuple):
    """One frame: codes (n, Z); rows of images (columns, D); a title for the plane and one for the images; z (Z,), marked, or None."""

    codes: np.ndarray
    rows: list
    of_plane: str
    of_images: str
    z: np.ndarray | None = None


def training_scenes(kept):
    """A scene for each frame that was kept: the codes, and images above their reconstructions."""
    low, high = kept["value_range"]
    for examples, elbo, codes, images in zip(kept["examples"], kept["elbo"], kept["codes"], kept["images"]):
        shown = low + (high - low) * (images / 255)
        rows = [part[first : first + ACROSS] for first in range(0, len(shown), ACROSS) for part in (kept["x"], shown)]
        epoch, worth = examples / kept["n_train"], f"ELBO {elbo:.2f}" if kept["variational"] else f"loss {-elbo:.2f}"
        seen = f"epoch {epoch:{'.2g' if epoch < 1 else '.1f' if epoch < 10 else '.0f'}}: {examples:,} examples seen"
        yield Scene(codes, rows, f"{seen}\n{worth} nats per test image", "test images,\nbelow each row their reconstructions")


def traversal_scenes(model, kept, steps=STEPS):
    """A cross on its way through the codes, and what is decoded there.

    One latent at a time goes up, down and back, the largest KL first; the others stay as encoded from one image.  An
    autoencoder's latents have no common scale: there the way leads from the code of one image to the next.
    """
    codes, x = kept["codes"][-1], kept["x"]
    if kept["variational"]:
        kl = kept["kl"][-1]
        home = model.encode(x)[0][readable(model, x)]
        order = np.argsort(-kl, kind="stable")[: max(1, min(LATENTS, int((kl > SILENT).sum())))]
        for rank, j in enumerate(order):
            turns = np.array([home[j], SPAN, -SPAN, home[j]])
            passed = np.cumsum([0, *np.abs(np.diff(turns))])
            for value in np.interp(np.linspace(0, passed[-1], steps, endpoint=False), passed, turns):
                z = np.where(np.arange(len(home)) == j, value, home).astype(home.dtype)
                words = f"z{j} = {value:+.1f} (KL {kl[j]:.2f} nats)" + ", off this plane" * (rank > 1)
                words += ",\nthe others as encoded from one image" * (len(home) > 1)
                yield Scene(codes, [model.decode(z[None])], words, "E[x|z] at the cross", z)
        return
    ends = model.encode(x[:4])
    for k, (first, second) in enumerate(zip(ends, [*ends[1:], ends[0]])):
        for t in np.linspace(0, 1, steps, endpoint=False):
            z = ((1 - t) * first + t * second).astype(ends.dtype)
            words = f"from the code of image {k}\nto that of image {(k + 1) % len(ends)}"
            yield Scene(codes, [model.decode(z[None])], words, "the decoder's image at the cross", z)


class Plane:
    """Where codes are drawn, the same in every frame: two latents with the most KL at the end (variance, of an autoencoder).

    A single latent is drawn along, and the number of its label, or of its row, up.
    """

    def __init__(self, kept):
        codes, self.labels, self.prior = kept["codes"], kept.get("labels"), bool(kept["variational"])
        size = kept["kl"][-1] if self.prior else codes[-1].var(axis=0)
        self.axes = tuple(sorted(np.argsort(-size, kind="stable")[:2].tolist()))
        n = codes.shape[1]
        self.up = np.arange(n) if self.labels is None else np.unique(self.labels, return_inverse=True)[1].astype(float)
        places = np.stack([self.place(each) for each in codes])
        self.limits = [_ends(places[..., 0]), _ends(places[..., 1])]
        if self.prior:  # room for the cross, and both axes alike, so that the prior is round
            reach = max(SPAN + 0.3, *np.abs(self.limits if len(self.axes) == 2 else self.limits[0]).ravel())
            self.limits = [(-reach, reach), (-reach, reach) if len(self.axes) == 2 else self.limits[1]]

    def place(self, codes):
        """codes (n, Z) -> (n, 2)."""
        if len(self.axes) == 2:
            return codes[:, self.axes]
        up = self.up if len(codes) == len(self.up) else np.full(len(codes), self.up.mean())
        return np.stack([codes[:, self.axes[0]], up], axis=1)

    def show(self, ax, scene):
        """Draw the codes of a scene, the prior's circles and a cross at z."""
        latent_scatter(self.place(scene.codes), self.labels, ax=ax)
        horizontal, vertical = self.axes if len(self.axes) == 2 else (self.axes[0], None)
        up = "row" if self.labels is None else "label"
        ax.set(xlabel=f"z{horizontal}", ylabel=up if vertical is None else f"z{vertical}", xlim=self.limits[0], ylim=self.limits[1])
        if self.prior and vertical is not None:
            ax.set_aspect("equal")  # beside a colour bar as well
            for radius in (1, 2):
                ax.add_patch(Circle((0, 0), radius, fill=False, edgecolor="0.75", linewidth=0.8, zorder=0.5))
        if vertical is None:
            ax.set_yticks([])
        if scene.z is not None:
            ax.plot(*self.place(scene.z[None])[0], "X", zorder=5, markersize=13, color="black", markeredgecolor="white")


def _ends(values):
    # all but one in two hundred at either end, in any frame, with a margin
    low, high = np.quantile(values[np.isfinite(values)], (0.005, 0.995)) if np.isfinite(values).any() else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def animation_path(path):
    """A path, and whether it is a file that ends in .gif; if not, a folder, new or empty, for PNG files.

    ValueError, FileNotFoundError if neither can be written there.
    """
    path = Path(require.path("path", path))
    if path.suffix.lower() == ".gif" and not path.is_dir():
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}; make it first")
        return path, True
    if path.is_file() or (path.suffix and not path.is_dir()):
        raise ValueError(f"an animation is a file whose name ends in .gif, or a new folder for PNG files, got {path}")
    if path.is_dir() and any(path.iterdir()):
        raise ValueError(f"{path} is a folder that holds other things; name a new one, or an empty one")
    return path, False


def animate(model, kept, out, *, training=True, steps=STEPS, progress=True):
    """Draw the frames that Frames kept and a traversal as one GIF, or as PNG files in a folder.  Returns how many frames.

    training : whether to draw the frames of training, or the traversal alone; steps : frames for each latent's way;
    progress : whether to show a progress bar
    """
    path, gif = animation_path(out)
    if not isinstance(kept, dict) or "codes" not in kept:
        raise ValueError(f"kept must be what Frames has kept, from one call or more: frames.kept, got {kept!r:.100}")
    of, its = (kept["codes"].shape[2], kept["x"].shape[1], bool(kept["variational"])), (model.latent_dim, model.data_dim, model.variational)
    if of != its:
        raise ValueError(f"kept holds frames of another model: latents, values, has a q(z|x): {of}, and of this one {its}")
    learning = list(training_scenes(kept)) if training else []
    scenes = [*learning, *traversal_scenes(model, kept, require.whole("steps", steps))]
    bar = {"unit": "frame", "disable": not require.flag("progress", progress)}  # begun once there is a place to write to
    if gif:
        with tempfile.TemporaryDirectory() as folder, style():
            figure, writer = Figure(figsize=SIZE, dpi=DPI), PillowWriter(fps=PER_SECOND)
            with writer.saving(figure, str(Path(folder) / "a.gif"), DPI):
                for number, _ in enumerate(_drawn(figure, tqdm(scenes, **bar), kept), 1):
                    for _ in range(HOLD if number in (len(learning), len(scenes)) else 1):
                        writer.grab_frame()
            content = (Path(folder) / "a.gif").read_bytes()
        files.write(path, lambda file: file.write(content))
        return len(scenes)
    with files.whole_folder(path) as place:
        for number, figure in enumerate(_drawn(Figure(figsize=SIZE, dpi=DPI), tqdm(scenes, **bar), kept)):
            save(figure, place / f"frame-{number:0{len(str(len(scenes) - 1))}d}.png")
    return len(scenes)


def _drawn(figure, scenes, kept):
    plane, shape, ends = Plane(kept), tuple(kept["image_shape"].tolist()), tuple(kept["value_range"].tolist())
    for scene in scenes:
        with style():
            _draw(figure, scene, plane, shape, ends)
        yield figure


def _draw(figure, scene, plane, shape, ends):
    figure.clear()
    plane.show(figure.add_axes((0.11, 0.135, 0.395, 0.71)), scene)
    rows = scene.rows
    if np.size(rows[0]) == math.prod(shape):  # a single image: larger, or the line around it would be as wide as one of its pixels
        pixels = np.reshape(rows[0], (*shape[:2], -1)).repeat(ACROSS, axis=0).repeat(ACROSS, axis=1)
        rows, shape = [pixels.reshape(1, -1)], (ACROSS * shape[0], ACROSS * shape[1], *shape[2:])
    show_grid(figure.add_axes((0.555, 0.06, 0.42, 0.785)), rows, shape, ends)
    for left, words in ((0.11, scene.of_plane), (0.555, scene.of_images)):
        figure.text(left, 0.98, words, ha="left", va="top", fontsize=9)

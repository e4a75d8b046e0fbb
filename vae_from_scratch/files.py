"""The one place that reads and writes files: models, runs, IDX, .npy, .npz, downloads.  No pickle."""

import csv
import gzip
import hashlib
import io
import json
import math
import os
import urllib.request
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .autoencoder import Autoencoder
from .beta_vae import BetaVAE, CapacityVAE
from .vae import VAE

MODELS = {"autoencoder": Autoencoder, "vae": VAE, "beta-vae": BetaVAE, "capacity-vae": CapacityVAE}
FORMAT = 1


def write(path, writer):
    """Call writer(binary file) and put the result at path in one move: a reader never sees half a file."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            writer(file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


# ---- models -----------------------------------------------------------------------------------------


def save(model, path):
    """Write a model to an .npz file: its parameters and its configuration, nothing executable."""
    name = next(name for name, cls in MODELS.items() if type(model) is cls)
    config = json.dumps({"format": FORMAT, "model": name, **model.config})
    write(path, lambda file: np.savez(file, config=np.array(config), **model.params))


def load(path):
    """Read a model that save wrote.  Raises ValueError if the file is not one, FileNotFoundError if there is none."""
    arrays = read_npz(path)
    try:
        config = json.loads(str(arrays.pop("config")))
        version, name = config.pop("format"), config.pop("model")
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a model file: write one with save(model, path)") from error
    if version != FORMAT:
        raise ValueError(f"{path} has format {version}, this version reads format {FORMAT}")
    try:
        model = MODELS[name](**config)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} describes no model of this package: {error}") from error
    for key, value in model.params.items():
        stored = arrays.get(key)
        if (
            stored is None
            or stored.shape != value.shape
            or stored.dtype != value.dtype
            or not np.isfinite(stored).all()
        ):
            raise ValueError(
                f"{path}: parameter {key} is missing, not finite, or not {value.dtype} of shape {value.shape}"
            )
        value[...] = stored
    return model


# ---- runs: what one training leaves behind ----------------------------------------------------------


def write_json(path, content):
    write(path, lambda file: file.write((json.dumps(content, indent=2) + "\n").encode()))


def read_json(path):
    """A dict from a JSON file; ValueError if it holds anything else."""
    try:
        content = json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} should hold a JSON object, it holds a {type(content).__name__}")
    return content


def write_history(path, history):
    """fit's history as CSV: one row per epoch, kl_per_latent spread over columns kl_0, kl_1, ..."""
    columns = {name: values for name, values in history.items() if name != "kl_per_latent"}
    if "kl_per_latent" in history:
        columns.update({f"kl_{j}": values for j, values in enumerate(np.transpose(history["kl_per_latent"]))})
    rows = [list(columns), *([f"{value:.7g}" for value in row] for row in zip(*columns.values()))]

    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    write(path, lambda file: file.write(text.getvalue().encode()))


# ---- data -------------------------------------------------------------------------------------------


def read_npz(path):
    """All arrays of an .npz file as a dict; no pickled objects."""
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single array")
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError) as error:
        raise ValueError(f"{path} is not a readable .npz file: {error}") from error


def read_npy(path):
    """The array of an .npy file; no pickled objects."""
    try:
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
            if isinstance(array, np.ndarray):
                return array
            raise ValueError("it is an .npz archive; give it that name")
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a readable .npy file: {error}") from error


def read_idx(path):
    """The uint8 array of an IDX file (the MNIST format), gzipped or not."""
    try:
        raw = Path(path).read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path} is a damaged gzip file: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    start = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    if len(raw) - start != math.prod(shape):
        raise ValueError(
            f"{path}: the header promises {math.prod(shape)} bytes of shape {shape}, the file holds {len(raw) - start}"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def sha256(path):
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def download(url, path, checksum):
    """Fetch url to path if its SHA-256 is checksum; nothing is left at path otherwise."""
    with urllib.request.urlopen(url, timeout=60) as response:
        content = response.read()
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ValueError(f"{url} does not have the expected SHA-256 {checksum}; nothing was kept")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write(path, lambda file: file.write(content))

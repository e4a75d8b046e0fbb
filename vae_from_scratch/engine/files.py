"""The one place that reads and writes files: models, runs, checkpoints, IDX, .npy, .npz, downloads.  No pickle.

A reader raises ValueError for a file that is not what it should be, and OSError if there is none; it takes no memory
for what a header promises before it has compared the promise with the size of the file.
"""

import contextlib
import csv
import gzip
import hashlib
import http.client
import io
import json
import math
import os
import re
import secrets
import struct
import urllib.request
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..autoencoder import Autoencoder
from ..beta_vae import BetaVAE, CapacityVAE
from ..vae import VAE
from . import require

MODELS = {"autoencoder": Autoencoder, "vae": VAE, "beta-vae": BetaVAE, "capacity-vae": CapacityVAE}
FORMAT = 1
CHECKPOINT, PREVIOUS, DAMAGED = "checkpoint.npz", "checkpoint.previous.npz", "checkpoint.damaged.npz"
UNPACKED, RATIO = 2**26, 200  # a compressed file of n bytes may unpack to UNPACKED + RATIO * n bytes
DOWNLOAD = 2**28  # the most bytes fetched for one file
CHUNK = 2**20
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, gzip.BadGzipFile)


def write(path, writer, previous=None):
    """Call writer(binary file) and put the result at path in one move: a reader never sees half a file.

    It reaches the disk before it gets its name.  What was at path is moved to previous, if that is given.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")  # nobody else's
    try:
        with open(temporary, "xb") as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        _sync(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:  # a full disk does not say where
            raise OSError(error.errno, f"could not be written: {error.strerror}", str(path)) from error
        raise


def _sync(folder):
    # the new name must reach the disk, too; where a folder cannot be opened (Windows), the system sees to it
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_leftover(path):
    """Whether this is what a killed writer leaves: a file with a name that write gives."""
    return re.fullmatch(r"\..+\.\d+-[0-9a-f]{8}\.part", path.name) is not None


def sweep(folder):
    """Remove leftovers from folder and the folders in it."""
    for part in [*Path(folder).glob(".*.part"), *Path(folder).glob("*/.*.part")]:
        if is_leftover(part):
            part.unlink(missing_ok=True)


def write_npz(path, arrays, previous=None):
    """Arrays by name to an .npz file."""
    content = io.BytesIO()  # packed in memory, so that a full disk meets one plain write
    np.savez(content, **arrays)
    write(path, lambda file: file.write(content.getbuffer()), previous)


# ---- models -----------------------------------------------------------------------------------------


def save(model, path):
    """Write a model to an .npz file: its parameters and its configuration, nothing executable."""
    name = next((name for name, cls in MODELS.items() if type(model) is cls), None)
    if name is None:
        raise TypeError(f"model must be an {', '.join(cls.__name__ for cls in MODELS.values())}, got {model!r}")
    config = json.dumps({"format": FORMAT, "model": name, **model.config})
    write_npz(path, {"config": np.array(config), **model.params})


def load(path):
    """Read a model that save wrote.  Raises ValueError if the file is not one, FileNotFoundError if there is none."""
    arrays = read_npz(path)
    config = parse_json(str(arrays.pop("config", "")), f"{path} is not a model file: its config")
    version, name = config.pop("format", None), config.pop("model", None)
    if version != FORMAT:
        raise ValueError(f"{path} has format {version}, this version reads models of format {FORMAT}")
    try:
        widths = [config["data_dim"], *config["hidden"], config["latent_dim"], *config["decoder_hidden"]]
        weights = sum(a * b for a, b in zip(widths, [*widths[1:], config["data_dim"]]))  # there are at least so many
        if weights * require.dtype(config["dtype"]).itemsize > sum(array.nbytes for array in arrays.values()):
            raise ValueError(f"it has {weights} weights or more, the file holds less")
        model = MODELS[name](**config)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} describes no model of this package: {error}") from error
    for key, stored in fitting(path, model.params, arrays).items():
        model.params[key][...] = stored
    return model


def fitting(path, wanted, arrays):
    """arrays, if they are those of wanted: the same names, shapes and dtypes, and finite.  ValueError otherwise."""
    for key, value in wanted.items():
        stored = arrays.get(key)
        if (
            stored is None
            or (stored.shape, stored.dtype) != (value.shape, value.dtype)
            or not np.isfinite(stored).all()
        ):
            raise ValueError(f"{path}: {key} is missing, not finite, or not {value.dtype} of shape {value.shape}")
    if unknown := sorted(set(arrays) - set(wanted)):
        raise ValueError(f"{path} holds {unknown[0]!r}, which does not belong there")
    return arrays


# ---- runs: what one training leaves behind ----------------------------------------------------------


def write_json(path, content):
    write(path, lambda file: file.write((json.dumps(content, indent=2) + "\n").encode()))


def read_json(path):
    """A dict from a JSON file; ValueError if it holds anything else."""
    with open(path, "rb") as file:
        text = file.read(CHUNK + 1)
    if len(text) > CHUNK:
        raise ValueError(f"{path} is not valid JSON of this package: it is longer than {CHUNK} bytes")
    return parse_json(text, path)


def parse_json(text, name):
    """A dict from JSON; ValueError, which begins with name, if it is anything else."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name} should hold a JSON object, it holds a {type(content).__name__}")
    return content


def write_checkpoint(folder, about, arrays, last=False):
    """about (what JSON can hold) and arrays to checkpoint.npz; the one before is kept unless the run ends with this."""
    folder, about = Path(folder), np.array(json.dumps({"format": FORMAT, **about}))
    folder.mkdir(parents=True, exist_ok=True)
    write_npz(folder / CHECKPOINT, {"about": about, **arrays}, folder / PREVIOUS)
    if last:
        (folder / PREVIOUS).unlink(missing_ok=True)


def read_checkpoint(folder):
    """The newest checkpoint in folder that is whole: its path, about and arrays.  What they say is not checked here.

    If checkpoint.npz is missing or damaged, the one before is taken and a warning says so; the damaged file gets
    another name.  Raises FileNotFoundError if there is none, ValueError if none is whole.
    """
    problems = []
    for path in (Path(folder) / CHECKPOINT, Path(folder) / PREVIOUS):
        try:
            arrays = read_npz(path)
            about = parse_json(str(arrays.pop("about", "")), f"{path} is not a checkpoint: what it says about itself")
        except FileNotFoundError:
            problems.append(f"{path} is missing")
        except ValueError as error:
            problems.append(str(error))
        else:
            if about.pop("format", None) != FORMAT:
                raise ValueError(f"{path} is of another version; this one reads checkpoints of format {FORMAT}")
            if problems:
                warnings.warn(f"{problems[0]}; the one before it is taken, {path}", stacklevel=2)
                with contextlib.suppress(FileNotFoundError):
                    os.replace(Path(folder) / CHECKPOINT, Path(folder) / DAMAGED)  # or it would push out the good one
            return path, about, arrays
    if has_checkpoint(folder):
        raise ValueError("; ".join(problems))
    raise FileNotFoundError(f"{folder} holds no {CHECKPOINT}; there is nothing to resume")


def take_back_checkpoint(folder):
    """Put the checkpoint before the newest in its place, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(Path(folder) / PREVIOUS, Path(folder) / CHECKPOINT)


def has_checkpoint(folder):
    """Whether there is a checkpoint in folder, whole or not."""
    return any((Path(folder) / name).exists() for name in (CHECKPOINT, PREVIOUS))


def write_history(path, history):
    """fit's history as CSV: one row per epoch, kl_per_latent spread over columns kl_0, kl_1, ..."""
    columns = {name: values for name, values in history.items() if name != "kl_per_latent"}
    if "kl_per_latent" in history:
        columns.update({f"kl_{j}": values for j, values in enumerate(np.transpose(history["kl_per_latent"]))})
    rows = [list(columns)]
    for row in zip(*columns.values()):
        rows.append([f"{value:.7g}" if isinstance(value, float) else str(value) for value in row])
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    write(path, lambda file: file.write(text.getvalue().encode()))


# ---- data -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _refusing(path, kind):
    # whatever a parser stumbles over in a file reaches the caller as one kind of error
    try:
        yield
    except (ValueError, TypeError, KeyError, EOFError, OSError, OverflowError, RuntimeError, *BROKEN) as error:
        raise ValueError(f"{path} is not a readable {kind} file: {error}") from error


def _size(file):
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _read(file, count):
    """count bytes, taken in steps: a file that ends before it should costs no more than it holds."""
    content = bytearray()
    while len(content) < count and (chunk := file.read(min(CHUNK, count - len(content)))):
        content += chunk
    return content


NPY_HEADER = re.compile(
    r"\s*\{\s*'descr'\s*:\s*'([<>|=]?[biufUO]\d*)'\s*,\s*'fortran_order'\s*:\s*(True|False)\s*,"
    r"\s*'shape'\s*:\s*\(([\d\s,]*)\)\s*,?\s*\}\s*"
)


def _read_array(file, size):
    # the .npy format (numpy.lib.format), numbers and text only: nothing is evaluated, nothing is unpickled
    start = file.read(12)
    if start[:6] != b"\x93NUMPY" or start[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("it does not begin as an .npy file does")
    width = 2 if start[6] == 1 else 4  # of the number that says how long the header is
    length = int.from_bytes(start[8 : 8 + width], "little")
    text = start[8 + width :] + file.read(length + width - 4 if 4 < length < 10_000 else 0)
    header = NPY_HEADER.fullmatch(text.decode("latin1"))
    if header is None:
        raise ValueError("its header is not that of an array of numbers or text")
    kind, fortran, shape = header[1], header[2] == "True", tuple(int(n) for n in re.findall(r"\d+", header[3]))
    if "O" in kind:
        raise ValueError("Object arrays are never loaded, for they would have to be unpickled")
    dtype = np.dtype(kind)
    promised, present = math.prod(shape) * dtype.itemsize, size - 8 - width - length
    if promised != present:
        raise ValueError(f"its header promises {promised} bytes of shape {shape}, it holds {present}")
    content = _read(file, promised)
    if len(content) < promised:
        raise ValueError(f"it ends after {len(content)} of {promised} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def read_npz(path, only=None, unpacked=UNPACKED):
    """All arrays, or only those named, of an .npz file of up to 4 GB as a dict, each compared with its checksum.

    No pickled objects, and no more than unpacked + RATIO * n bytes from a file of n bytes.
    """
    with open(path, "rb") as file, _refusing(path, ".npz"):
        size, arrays = _size(file), {}
        if size < 22:
            raise ValueError(f"it is only {size} bytes long")
        file.seek(size - 22)  # the archive's last record says where the list of members is, and how long
        mark, *_, count, length, offset, _ = struct.unpack("<4s4H2LH", file.read(22))
        file.seek(0)
        if file.read(4) != b"PK\x03\x04" or mark != b"PK\x05\x06" or offset + length + 22 != size:
            raise ValueError("it does not begin and end as a zip archive does")
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) != count:
                raise ValueError(f"it lists {len(members)} of {count} members")
            claimed = sum(member.file_size for member in members)
            if claimed > unpacked + RATIO * size:
                raise ValueError(f"its {size} bytes claim to unpack to {claimed}")
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name == member.filename or name in arrays or member.compress_type not in (0, zipfile.ZIP_DEFLATED):
                    raise ValueError(f"{member.filename!r} is not an array, not alone in its name, or not plain zip")
                if only is not None and name not in only:
                    continue
                with archive.open(member) as stream:
                    arrays[name] = _read_array(stream, member.file_size)
        return arrays


def read_npy(path):
    """The array of an .npy file; no pickled objects."""
    with open(path, "rb") as file, _refusing(path, ".npy"):
        return _read_array(file, _size(file))


def read_idx(path):
    """The uint8 array of an IDX file (the MNIST format), gzipped or not."""
    with open(path, "rb") as file:
        size, zipped = _size(file), file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if zipped else file
        try:
            start = stream.read(4)
            if len(start) < 4 or start[:3] != b"\x00\x00\x08" or start[3] > 8:
                raise ValueError(f"{path} is not an IDX file of unsigned bytes")
            sizes = _read(stream, 4 * start[3])
            if len(sizes) < 4 * start[3]:
                raise ValueError(f"{path}: the header promises {start[3]} sizes, the file ends among them")
            shape = struct.unpack(f">{start[3]}I", sizes)
            promised = math.prod(shape)
            bounded = promised <= (UNPACKED + RATIO * size if zipped else size)
            content = _read(stream, promised) if bounded else b""
            if not bounded or len(content) < promised or stream.read(1):
                held = f"holds {len(content)}" if len(content) < promised else "holds more"
                raise ValueError(f"{path}: the header promises {promised} bytes of shape {shape}, the file {held}")
        except (EOFError, *BROKEN) as error:
            raise ValueError(f"{path} is a damaged gzip file: {error}") from error
    return np.frombuffer(content, np.uint8).reshape(shape)


def sha256(path):
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def download(url, path, checksum):
    """Fetch url to path if its SHA-256 is checksum; nothing is left at path otherwise.  Raises ValueError, OSError."""
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            content = _read(response, DOWNLOAD)
    except http.client.HTTPException as error:  # such as IncompleteRead
        raise OSError(f"the transfer broke off: {error!r}") from error
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ValueError(
            f"{url} sent {len(content)} bytes that do not have the expected SHA-256 {checksum}; nothing was kept, "
            "the next call starts again"
        )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write(path, lambda file: file.write(content))

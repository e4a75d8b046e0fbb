"""The one place that reads and writes files: models, runs, checkpoints, IDX, .npy, .npz, downloads.  No pickle.

A reader raises ValueError for a file that is not what it should be, and OSError if there is none; it takes no memory
for what a header promises before it has compared the promise with the size of the file.  Locks tell a live writer's
file from a dead one's, and keep a run's folder for one run.
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
import stat
import struct
import tempfile
import time
import urllib.request
import warnings
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from .. import base
from . import locks, require
from .registry import whence

FORMAT, CHECKPOINT_FORMAT = 1, 2
LOCK = ".lock"  # of a run's folder
CHECKPOINT, PREVIOUS, DAMAGED = "checkpoint.npz", "checkpoint.previous.npz", "checkpoint.damaged.npz"
UNPACKED, RATIO = 2**26, 200  # a compressed file of n bytes may unpack to UNPACKED + RATIO * n bytes
OWN = 2**30  # in place of UNPACKED for a user's own data: a few white pixels on black are packed to a thousandth
DEFLATE = 1032  # bytes that one of a compressed file can stand for, at most
DOWNLOAD = 2**28  # the most bytes fetched for one file
CHUNK = 2**20
NPY_HEADER = 10_012  # the longest beginning of an .npy file of which NumPy reads the header


def write(path, writer, previous=None):
    """Call writer(binary file) and put the result at path in one move: a reader never sees half a file.

    It reaches the disk before it gets its name.  What was at path is moved to previous, if that is given.  A link stays,
    and a pipe or a device is written through.
    """
    path, file = Path(path), None
    if passes_on(path):
        content = io.BytesIO()
        writer(content)
        path.write_bytes(content.getbuffer())
        return
    path = path.resolve() if path.is_symlink() else path
    try:
        with _open_part(path) as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())
            locks.close_to_move(file)
            if previous is not None and path.exists():
                _move(path, previous)
            _move(file.name, path)
        _sync(path.parent)
    except BaseException as error:
        if file is not None:
            with contextlib.suppress(OSError):
                os.unlink(file.name)
        if isinstance(error, OSError) and error.errno is not None:  # a full disk does not say where
            raise OSError(error.errno, f"could not be written: {error.strerror}", str(path)) from error
        raise


def passes_on(path):
    """Whether path is there, and neither a file to replace nor a folder."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _open_part(path):
    # a new file beside path with a name that is nobody else's, locked so that no sweep takes it for a leftover
    while True:
        file = open(path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part"), "xb")
        with contextlib.suppress(BlockingIOError):
            if not locks.take(file) or locks.has_its_name(file):
                return file
        file.close()  # a sweep saw it before it was locked


def _move(path, target):
    # an indexer or a virus scanner may hold a file for a moment (Windows)
    for pause in (0.01, 0.03, 0.1, 0.3):
        with contextlib.suppress(PermissionError):
            return os.replace(path, target)
        time.sleep(pause)
    return os.replace(path, target)


def _sync(folder):
    # the new name must reach the disk, too; where a folder cannot be opened (Windows), the system sees to it
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_leftover(path):
    """Whether this is what a killed process leaves: a file with a name that write or lock gives."""
    return path.name == LOCK or re.fullmatch(r"\..+\.\d+-[0-9a-f]{8}\.part", path.name) is not None


def sweep(folder):
    """Remove what killed writers left in folder and the folders in it, and nothing that one still writes."""
    for part in [*Path(folder).glob(".*.part"), *Path(folder).glob("*/.*.part")]:
        if is_leftover(part):
            with contextlib.suppress(OSError), open(part, "rb+") as file:
                if locks.take(file):  # where there are no locks, nobody knows
                    locks.remove(file)


@contextlib.contextmanager
def making(folder, exist_ok=True):
    """Make folder and those above it; what was made and is still empty at the end is gone again."""
    made = [folder for folder in (folder, *folder.parents) if not folder.exists()]
    folder.mkdir(parents=True, exist_ok=exist_ok)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # it is not empty
            for folder in made:
                folder.rmdir()


@contextlib.contextmanager
def lock(folder):
    """Hold folder, which is made if it is missing, for one run alone.  ValueError if another holds it.

    What a dead process held is free.  Where nothing can be locked, as on a read-only disk, all may go on.
    """
    path = Path(folder) / LOCK
    with making(path.parent), _open_lock(path) as file:
        try:
            yield
        finally:
            if file is not None:
                locks.remove(file)


def _open_lock(path):
    while True:
        try:
            file = open(path, "ab")
        except OSError:
            return contextlib.nullcontext()
        try:
            if not locks.take(file) or locks.has_its_name(file):
                return file
        except BlockingIOError as error:
            file.close()
            raise ValueError(
                f"{path} is held by another run in {path.parent}; wait until that has ended, or name another folder"
            ) from error
        file.close()  # its holder removed it just before it was locked


@contextlib.contextmanager
def whole_folder(folder):
    """A place to write in that becomes this folder at the end: until then, and after an error, there is nothing.

    folder may exist if it is empty: it stays, for it may be the working folder, a link or a mounted disk, and is filled.
    """
    folder = Path(folder)
    there = folder.is_dir()
    beside = folder if there else folder.parent
    with making(beside), contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(tempfile.TemporaryDirectory(dir=beside, prefix=f".{folder.name}."))
        except OSError as error:  # which would name a place that nobody has asked for
            raise OSError(error.errno, f"could not be written: {error.strerror}", str(folder)) from error
        inside = Path(place) / "inside"
        inside.mkdir()
        yield inside
        if there:
            for each in inside.iterdir():
                each.rename(folder / each.name)
        else:
            inside.rename(folder)


def write_npz(path, arrays, previous=None):
    """Arrays by name to an .npz file."""
    content = io.BytesIO()  # packed in memory, so that a full disk meets one plain write
    try:
        np.savez(content, **arrays)
    except ValueError as error:  # closing what could not be packed hides why
        if isinstance(error.__context__, MemoryError):
            raise MemoryError(f"not enough memory to pack {path}") from error
        raise
    write(path, lambda file: file.write(content.getbuffer()), previous)


# ---- models -----------------------------------------------------------------------------------------


def save(model: base.EncoderDecoder, path: str | os.PathLike) -> None:
    """Write a model to an .npz file: its parameters and its configuration, nothing executable.

    Raises TypeError or ValueError, and writes nothing, if load could not read it.
    """
    path = require.path("path", path)
    if Path(path).is_dir():
        raise ValueError(f"path must be the name of a file such as model.npz, {path} is a folder")
    known = base.MODELS.get(getattr(model, "name", None))
    named = type(model).__name__ if isinstance(model, base.EncoderDecoder) else model  # as text it has several lines
    if known is None or whence(known) != whence(type(model)):  # a class that was defined again is still the same
        raise TypeError(f"model must be an Autoencoder, VAE, BetaVAE or another EncoderDecoder, got {named!r}")
    content = io.BytesIO()
    try:
        np.savez(content, config=np.array(json.dumps(description(model))), **_parameters(model))
        content.seek(0)
        kept, again = description(model), read_model(content, path).config
        if wrong := next((name for name in again if again[name] != kept[name]), None):
            raise ValueError(f"its {wrong} would be {again[wrong]!r} and is {model.config.get(wrong)!r}")
    except (TypeError, ValueError) as error:
        raise type(error)(f"{type(model).__name__} was not saved, because it could not be loaded again: {error}") from error
    write(path, lambda file: file.write(content.getbuffer()))


def as_json(name, value):
    """value as it comes back from JSON: lists for tuples, Python's numbers for NumPy's.  TypeError if it does not come back."""

    def plain(part):
        if isinstance(part, np.generic):
            return part.item()
        if isinstance(part, (list, tuple)):
            return [plain(each) for each in part]
        return {key: plain(each) for key, each in part.items()} if isinstance(part, dict) else part

    found = plain(value)
    with contextlib.suppress(TypeError, ValueError):
        again = json.loads(json.dumps(found))
        if again == found or found != found:
            return again
    raise TypeError(f"{name} is {value!r:.80}, which no file here can hold: numbers, words, and lists and dicts of them are kept")


def description(model):
    """What builds a model of this kind again, ready for JSON."""
    config = {name: as_json(f"its {name}", value) for name, value in model.config.items()}
    return {"format": FORMAT, "model": getattr(model, "name", None), "class": whence(type(model)), **config}


def load(path: str | os.PathLike) -> base.EncoderDecoder:
    """Read a model that save wrote, or the one in a checkpoint of fit, as it was then.

    Raises ValueError if the file is neither, FileNotFoundError if there is none, IsADirectoryError of a folder.
    """
    path = require.path("path", path)
    if Path(path).is_dir():
        held = "checkpoint.npz" if has_checkpoint(path) and not (Path(path) / "model.npz").is_file() else "model.npz"
        raise IsADirectoryError(f"{path} is a folder, and load reads a file: name {Path(path) / held}")
    return read_model(path, path)


def read_model(source, path):
    """load from a path or from a file in memory; path: what errors call it."""
    arrays = read_npz(source) if source is path else dict(np.load(source))
    of_checkpoint = "about" in arrays and "config" not in arrays
    if of_checkpoint:
        config = parse_about(arrays, path).get("model")
        if not isinstance(config, dict):
            raise ValueError(f"{path} does not say what its model is, as older checkpoints do not; resume its run with fit")
    else:
        config = parse_json(str(arrays.pop("config", "")), f"{path} is not a model file: its config")
    version, name, home = (config.pop(key, None) for key in ("format", "model", "class"))
    if version != FORMAT:
        raise ValueError(f"{path} has format {version}, this version reads models of format {FORMAT}")
    if isinstance(home, str) and isinstance(name, str) and name not in base.MODELS:
        module = home.rpartition(".")[0]
        way = f"import {module} first, then load"
        if module == "__main__":  # of a script or a notebook: no import brings it back
            way = "define that class here, as the program did that saved it; with a name of its own, name = '...', it can be imported"
        raise ValueError(f"{path} holds a {home}, which is not known here: {way}")
    try:
        if {"data_dim", "hidden", "latent_dim", "decoder_hidden"} <= set(config):  # a user's own may fix some
            widths = [config["data_dim"], *config["hidden"], config["latent_dim"], *config["decoder_hidden"]]
            weights = sum(a * b for a, b in zip(widths, widths[1:])) // 2  # or more: a decoder may have the encoder's
            if weights * 4 > sum(array.nbytes for array in arrays.values()):
                raise ValueError(f"it has {weights} weights or more, the file holds less")
        model = base.MODELS[name](**config)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        own = "; a likelihood or an activation of your own must be imported first" if "must be one of" in str(error) else ""
        raise ValueError(f"{path} describes no model that is known here: {error}{own}") from error
    parameters = _parameters(model, of_checkpoint)
    if of_checkpoint:  # which holds the optimizer's state and the history as well
        arrays = {key: arrays[key] for key in parameters if key in arrays}
    for key, stored in fitting(path, parameters, arrays).items():
        parameters[key][...] = stored
    return model


def _parameters(model, of_checkpoint=False):
    # by name; those of players beside the model itself, and all in a checkpoint, behind the player's name
    return {
        f"players/{label}/params/{name}" if of_checkpoint else name if player is model else f"{label}/{name}": value
        for label, player in model.players.items()
        for name, value in player.params.items()
    }


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
    folder, about = Path(folder), json.dumps({"format": CHECKPOINT_FORMAT, **about}, default=lambda value: value.item())
    folder.mkdir(parents=True, exist_ok=True)
    write_npz(folder / CHECKPOINT, {"about": np.array(about), **arrays}, folder / PREVIOUS)
    if last:
        (folder / PREVIOUS).unlink(missing_ok=True)


def parse_about(arrays, path):
    """What a checkpoint says about itself, taken out of its arrays; ValueError if that cannot be read here."""
    about = parse_json(str(arrays.pop("about", "")), f"{path} is not a checkpoint: what it says about itself")
    if about.pop("format", None) != CHECKPOINT_FORMAT:
        raise OtherVersion(f"{path} is of another version; this one reads checkpoints of format {CHECKPOINT_FORMAT}")
    return about


class OtherVersion(ValueError):
    """A file that is whole, but not one of this version's."""


def read_checkpoint(folder):
    """The newest checkpoint in folder that is whole: its path, about and arrays.  What they say is not checked here.

    If checkpoint.npz is missing or damaged, the one before is taken and a warning says so; the damaged file gets
    another name.  Raises FileNotFoundError if there is none, ValueError if none is whole.
    """
    problems = []
    for path in (Path(folder) / CHECKPOINT, Path(folder) / PREVIOUS):
        try:
            arrays = read_npz(path)
            about = parse_about(arrays, path)
        except FileNotFoundError:
            problems.append(f"{path} is missing")
        except OtherVersion:
            raise
        except ValueError as error:
            problems.append(str(error))
        else:
            if problems:
                warnings.warn(f"{problems[0]}; the one before it is taken, {path}", stacklevel=2)
                with contextlib.suppress(FileNotFoundError):
                    _move(Path(folder) / CHECKPOINT, Path(folder) / DAMAGED)  # or it would push out the good one
            return path, about, arrays
    if has_checkpoint(folder):
        raise ValueError("; ".join(problems))
    raise FileNotFoundError(f"{folder} holds no {CHECKPOINT}; there is nothing to resume")


def take_back_checkpoint(folder):
    """Put the checkpoint before the newest in its place, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        _move(Path(folder) / PREVIOUS, Path(folder) / CHECKPOINT)


def newest_checkpoint(folder, read):
    """read(path) of the newest checkpoint in folder of which that works; nothing is moved, for a run may be under way.

    None if there is none, ValueError if none is whole.
    """
    problems = []
    for name in (CHECKPOINT, PREVIOUS):
        try:
            return read(Path(folder) / name)
        except FileNotFoundError:
            continue
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(problems))
    return None


def has_checkpoint(folder):
    """Whether there is a checkpoint in folder, whole or not."""
    return any((Path(folder) / name).exists() for name in (CHECKPOINT, PREVIOUS))


def write_history(path, history):
    """fit's history as CSV: one row per epoch, kl_per_latent spread over columns kl_0, kl_1, ..., norms over gradient_encoder_1, ..."""
    columns = {name: values for name, values in history.items() if name not in ("kl_per_latent", "gradient_norms")}
    if "kl_per_latent" in history:
        columns.update({f"kl_{j}": values for j, values in enumerate(np.transpose(history["kl_per_latent"]))})
    for layer in next(iter(history.get("gradient_norms", [])), {}):  # none if not even one epoch was done
        columns[f"gradient_{layer}"] = [norms[layer] for norms in history["gradient_norms"]]
    rows = [list(columns)]
    for row in zip(*columns.values()):
        rows.append([f"{value:.7g}" if isinstance(value, float) else str(value) for value in row])
    write_csv(path, rows)


def write_csv(path, rows):
    """Rows of values as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    write(path, lambda file: file.write(text.getvalue().encode("utf-8", "backslashreplace")))


# ---- data -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _refusing(path, kind):
    # whatever a parser stumbles over in a file, and what it warns of, reaches the caller as one error of one line
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is not a readable {kind} file: {words[:200]}") from error


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


def _header(stream):
    """The shape and the dtype that an .npy file promises, and how long its header is."""
    start = io.BytesIO(stream.read(NPY_HEADER))  # however long the header says it is
    version = npy.read_magic(start)
    # version 3.0 is 2.0 but for the encoding of names, which have no part in this
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(start)
    return shape, dtype, start.tell()


def _compare_header(stream, size):
    """ValueError if the header of an .npy file promises another array than size bytes in all can hold."""
    shape, dtype, length = _header(stream)
    if dtype.hasobject:
        raise ValueError("Object arrays are never loaded, because they would have to be unpickled")
    promised, present = math.prod(shape) * dtype.itemsize, size - length
    if promised != present:
        raise ValueError(f"its header promises {promised} bytes of shape {shape}, it holds {present}")


def _most(size, unpacked):
    # the bytes that a compressed file of this size may unpack to: beyond RATIO, no more than unpacked and than it can
    return RATIO * size + min(unpacked, DEFLATE * size)


@contextlib.contextmanager
def _archive(path, unpacked):
    """The zip archive in an .npz file and its members by the names of their arrays; ValueError if it is not whole."""
    with open(path, "rb") as file, _refusing(path, ".npz"), zipfile.ZipFile(file) as archive:
        size, members = _size(file), archive.infolist()
        # zipfile takes a list of members that was cut or moved for a shorter one; the archive's last record tells
        file.seek(size - 22 - len(archive.comment))
        *_, count, length, offset, _ = struct.unpack("<4s4H2LH", file.read(22))
        if (count, offset + length) != (len(members), size - 22 - len(archive.comment)):
            raise ValueError("its list of members is not whole, or there is more than a zip archive in the file")
        claimed = sum(member.file_size for member in members)
        if claimed > _most(size, unpacked):
            way = "if they do, store the arrays with np.savez, which does not compress them"
            raise ValueError(f"its {size} bytes claim to unpack to {claimed}; {way}")
        named = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name == member.filename or name in named or member.compress_type not in (0, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{member.filename!r} is not an array, not alone in its name, or not plain zip")
            named[name] = member
        yield archive, named


def read_npz(path, only=None, unpacked=UNPACKED):
    """All arrays, or only those named, of an .npz file of up to 4 GB as a dict, each compared with its checksum.

    No pickled objects, and no more than unpacked + RATIO * n bytes from a file of n bytes.
    """
    with _archive(path, unpacked) as (archive, members):
        arrays = {}
        for name, member in members.items():
            if only is not None and name not in only:
                continue
            with archive.open(member) as stream:
                _compare_header(stream, member.file_size)
            with archive.open(member) as stream:  # anew, for zipfile checks no checksum after a step back
                arrays[name] = npy.read_array(stream, allow_pickle=False)
        return arrays


def headers(path):
    """The shape and the dtype of each array in an .npy or .npz file, by name, from its header alone; of pickled objects, too."""
    if Path(path).suffix.lower() == ".npy":
        with open(path, "rb") as file, _refusing(path, ".npy"):
            return {"": _header(file)[:2]}
    found = {}
    with _archive(path, OWN) as (archive, members):
        for name, member in members.items():
            with archive.open(member) as stream:
                found[name] = _header(stream)[:2]
    return found


def read_npy(path):
    """The array of an .npy file; no pickled objects."""
    with open(path, "rb") as file, _refusing(path, ".npy"):
        _compare_header(file, _size(file))
        file.seek(0)
        return npy.read_array(file, allow_pickle=False)


def read_idx(path):
    """The uint8 array of an IDX file (the MNIST format), gzipped or not."""
    with open(path, "rb") as file, _refusing(path, "IDX"):
        size, zipped = _size(file), file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if zipped else file
        start = stream.read(4)
        if start[:3] != b"\x00\x00\x08" or len(start) < 4:
            raise ValueError("it does not begin as an IDX file of unsigned bytes does")
        sizes = stream.read(4 * start[3])
        if len(sizes) < 4 * start[3]:
            raise ValueError(f"its header promises {start[3]} sizes, it ends among them")
        shape = struct.unpack(f">{start[3]}I", sizes)
        promised = math.prod(shape)
        bounded = promised <= (_most(size, OWN) if zipped else size)
        content = _read(stream, promised) if bounded else b""
        if not bounded or len(content) < promised or stream.read(1):
            held = f"holds {len(content)}" if len(content) < promised else "holds more"
            raise ValueError(f"its header promises {promised} bytes of shape {shape}, it {held}")
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

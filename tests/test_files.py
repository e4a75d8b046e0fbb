"""Promise: a model comes back from its file bit for bit, a bad file is refused, and nothing is left half-written."""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vae_from_scratch import (
    IWAE, VAE, Autoencoder, BetaVAE, CapacityVAE, ContractiveAutoencoder, DenoisingAutoencoder, FreeBitsVAE, Gaussian, Laplace,
    SparseAutoencoder, load, save,
)  # fmt: skip
from vae_from_scratch.engine import files, locks

MODELS = [
    Autoencoder(7, hidden=(), latent_dim=2, likelihood="squared-error"),
    VAE(
        7,
        hidden=(5, 4),
        latent_dim=2,
        likelihood=Gaussian("learned", "sigmoid"),
        dtype="float64",
        init="normal",
        seed=3,
    ),
    BetaVAE(7, hidden=(5,), latent_dim=2, beta=2.5, decoder_hidden=(3, 3), decoder_activation="relu"),
    CapacityVAE(7, hidden=(5,), latent_dim=2, likelihood=Gaussian("per-pixel"), gamma=10, capacity=3),
    IWAE(7, hidden=(5,), latent_dim=2, samples=3, doubly=True),
    FreeBitsVAE(7, hidden=(5,), latent_dim=2, free_bits=0.5),
    VAE(7, hidden=(5,), latent_dim=2, likelihood=Laplace("learned", "sigmoid")),
    VAE(7, hidden=(5,), latent_dim=2, likelihood="continuous-bernoulli"),
    DenoisingAutoencoder(7, hidden=(5,), latent_dim=2, corruption="gaussian", level=0.5),
    SparseAutoencoder(7, hidden=(5,), latent_dim=9, penalty="l1", code="relu", weight=0.5),
    ContractiveAutoencoder(7, hidden=(), latent_dim=9, activation="softplus", weight=0.5),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_round_trip(model, tmp_path):
    for value in model.params.values():
        value += np.random.default_rng(0).normal(size=value.shape).astype(value.dtype)
    save(model, tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    assert type(again) is type(model) and again.config == model.config
    assert all(
        np.array_equal(again.params[name], value) and again.params[name].dtype == value.dtype
        for name, value in model.params.items()
    )
    x = np.random.default_rng(0).uniform(size=(3, 7))
    np.testing.assert_array_equal(again.reconstruct(x), model.reconstruct(x))


def test_a_setting_changed_by_a_schedule_is_saved(tmp_path):
    model = BetaVAE(7, hidden=(5,), latent_dim=2)
    model.set(beta=0.25)
    save(model, tmp_path / "m.npz")
    assert load(tmp_path / "m.npz").beta == 0.25


def stored(tmp_path):
    save(MODELS[2], tmp_path / "m.npz")
    return files.read_npz(tmp_path / "m.npz")


def with_config(arrays, **changes):
    return {**arrays, "config": np.array(json.dumps({**json.loads(str(arrays["config"])), **changes}))}


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda a: {k: v for k, v in a.items() if k != "config"}, "not a model file"),
        (lambda a: {**a, "config": np.array("not json")}, "not a model file"),
        (lambda a: {**a, "config": np.array("[1]")}, "not a model file"),
        (lambda a: with_config(a, format=99), "format 99"),
        (lambda a: with_config(a, model="gan"), "not known here: import"),
        (lambda a: with_config(a, latent_dim=-1), "latent_dim"),
        (lambda a: with_config(a, colour="red"), "colour"),
        (lambda a: with_config(a, latent_dim=3), "encoder_W2"),
        (lambda a: {k: v for k, v in a.items() if k != "decoder_b1"}, "decoder_b1"),
        (lambda a: {**a, "decoder_b1": a["decoder_b1"] * np.nan}, "decoder_b1"),
        (lambda a: {**a, "decoder_b1": a["decoder_b1"].astype(np.float64)}, "decoder_b1"),
        (lambda a: {**a, "stowaway": np.zeros(3)}, "stowaway"),
        (lambda a: with_config(a, data_dim=10**9, hidden=[10**6]), "it has .* weights or more, the file holds less"),
        (lambda a: with_config(a, hidden=[10**30]), "it has .* weights or more"),
        (lambda a: with_config(a, hidden="abc"), "describes no model"),
        (lambda a: with_config(a, model=["vae"]), "describes no model"),
        (lambda a: {**a, "config": np.array("[" * 100_000)}, "not a model file"),
    ],
)
def test_a_wrong_model_file_is_refused(damage, words, tmp_path):
    np.savez(tmp_path / "bad.npz", **damage(stored(tmp_path)))
    with pytest.raises(ValueError, match=words):
        load(tmp_path / "bad.npz")


def test_pickles_are_never_opened(tmp_path):
    np.savez(tmp_path / "bad.npz", config=np.array([{"a": 1}], dtype=object))
    np.save(tmp_path / "bad.npy", np.array([{"a": 1}], dtype=object))
    for read, name in ((load, "bad.npz"), (files.read_npy, "bad.npy")):
        with pytest.raises(ValueError, match="Object arrays|allow_pickle"):
            read(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and then nothing", b"\x93NUMPY\x01\x00", b"hello"])
def test_what_is_no_npz_is_refused(content, tmp_path):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(ValueError, match="bad.npz is not a readable"):
        load(tmp_path / "bad.npz")


def npy(header, content=b"", version=1):
    header = header.encode()
    return (
        b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2 if version == 1 else 4, "little") + header + content
    )


def archive(compression=zipfile.ZIP_STORED, comment=b"", **members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as file:
        file.comment = comment
        for name, content in members.items():
            file.writestr(name.replace("_npy", ".npy"), content)
    return packed.getvalue()


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"


def test_npy_files_of_every_kind_come_back(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("<f4", ">f8", "<i2", "|u1", "|b1", "<U5"):
        for array in (
            rng.integers(0, 2, size=(4, 3)).astype(kind),
            np.zeros((0, 5), kind),
            np.array(1, kind),
            rng.integers(0, 9, (3, 4)).astype(kind).T,
        ):
            np.save(tmp_path / "a.npy", array)
            np.savez_compressed(tmp_path / "a.npz", a=array)
            for again in (files.read_npy(tmp_path / "a.npy"), files.read_npz(tmp_path / "a.npz")["a"]):
                assert np.array_equal(again, array) and again.dtype == array.dtype


@pytest.mark.parametrize(
    "content, words",
    [
        (npy(HEADER, bytes(23)), "promises 24 bytes of shape .2, 3., it holds 23"),
        (npy(HEADER, bytes(25)), "promises 24 bytes of shape .2, 3., it holds 25"),
        (npy(HEADER)[:40], "EOF: reading array header"),
        (npy(HEADER.replace("(2, 3)", "(2000000000, 3)"), bytes(24)), "promises 24000000000 bytes"),
        (npy(HEADER.replace("(2, 3)", f"({10**200},)"), bytes(24)), "promises"),
        (npy(HEADER.replace("<f4", "|O"), bytes(48)), "Object arrays are never loaded"),
        (npy(HEADER.replace("'<f4'", "[('a', '<f4'), ('b', '|O')]"), bytes(72)), "Object arrays are never loaded"),
        (npy(HEADER.replace("<f4", "T"), bytes(96)), "Object arrays are never loaded"),  # NumPy's strings of any length
        (npy(HEADER.replace("(2, 3)", "__import__('os').getcwd()"), bytes(24)), "malformed node or string"),
        (npy(HEADER.replace("<f4", "<f3"), bytes(24)), "not a valid dtype"),
        (npy(HEADER.replace("<f4", "a4"), bytes(23)), "promises 24 bytes|not a valid dtype"),  # an old name
        (npy(HEADER.replace("(2, 3)", "(-2, -3)"), bytes(24)), "only specify one unknown|reshape"),
        (npy(HEADER.replace("(2, 3)", f"({10**30}, 0)")), "too large"),
        (npy(" " * 9_000 + HEADER.replace("2", "(" * 900), bytes(24)), "EOF in multi-line|nested"),
        (npy("-" * 9_000 + "1"), "MemoryError|too complex|recursion"),
        (npy(" " * 20_000 + HEADER, bytes(24)), "EOF: reading array header"),
        (npy(HEADER, bytes(24), version=9), "version"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "EOF: reading array header"),
        (b"not an array", "magic string is not correct"),
    ],
)  # fmt: skip
def test_a_damaged_npy_file_is_refused(content, words, tmp_path):
    (tmp_path / "bad.npy").write_bytes(content)
    (tmp_path / "bad.npz").write_bytes(archive(a_npy=content))
    for read, name in ((files.read_npy, "bad.npy"), (files.read_npz, "bad.npz")):
        with pytest.raises(ValueError, match=f"{name} is not a readable .* file: .*({words})") as caught:
            read(tmp_path / name)
        assert type(caught.value) is ValueError and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        "{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}",
        HEADER.replace("'", '"'),
        HEADER.replace(" ", "") + "\n",
        HEADER.replace("2, 3", "2L, 3L"),  # Python 2; NumPy warns
        HEADER.replace("<f4", "=f4"),
        HEADER.replace("'<f4'", "('<f4', ())"),
    ],
)
def test_headers_as_other_programs_write_them_are_read(header, tmp_path):
    for version in (1, 2) if "L" in header else (1, 2, 3):
        content = npy(header, np.arange(6, dtype="<f4").tobytes(), version)
        (tmp_path / "a.npy").write_bytes(content)
        (tmp_path / "a.npz").write_bytes(archive(a_npy=content))
        for again in (files.read_npy(tmp_path / "a.npy"), files.read_npz(tmp_path / "a.npz")["a"]):
            assert again.tolist() == [[0, 1, 2], [3, 4, 5]] and again.flags.writeable


def test_a_hostile_header_costs_no_memory(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy(HEADER.replace("(2, 3)", "(2000000000, 3)"), bytes(24)))
    (tmp_path / "a.npz").write_bytes(archive(a_npy=(tmp_path / "a.npy").read_bytes()))
    (tmp_path / "long.npy").write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + bytes(2000))
    reads = [(files.read_npy, "a.npy"), (files.read_npz, "a.npz"), (files.read_npy, "long.npy")]
    tracemalloc.start()
    for read, name in reads:
        with pytest.raises(ValueError, match=name):
            read(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def damaged_inside(packed):
    """A deflated archive of one member whose checksum is that of other content."""
    right = zipfile.ZipFile(io.BytesIO(packed)).infolist()[0].CRC.to_bytes(4, "little")
    return packed.replace(right, b"1234")


EMPTY = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }")
GOOD = archive(a_npy=npy(HEADER, bytes(24)), b_npy=npy(HEADER, bytes(24)))


@pytest.mark.parametrize(
    "content, words",
    [
        (GOOD[:-1], "not a zip file"),
        (GOOD + b"trailing", "more than a zip archive"),
        (b"leading" + GOOD, "more than a zip archive"),
        (GOOD.replace(bytes(24), bytes(23) + b"\x01", 1), "Bad CRC-32"),
        (archive(a_npy=EMPTY).replace(b"(0,)", b"(0,0", 1).replace(b"), }", b"),} ", 1), "Bad CRC-32"),
        (damaged_inside(archive(zipfile.ZIP_DEFLATED, a_npy=npy(HEADER, bytes(range(24))))), "Bad CRC-32"),
        (GOOD[:-22] + b"PK\x05\x06" + bytes(18), "list of members is not whole"),  # an archive that lists nothing
        (GOOD.replace(b"PK\x05\x06\0\0\0\0\2\0\2", b"PK\x05\x06\0\0\0\0\3\0\3"), "members is not whole"),
        (archive(a_npy=npy(HEADER, bytes(23))), "promises 24 bytes"),
        (archive(a_npy=npy(HEADER, bytes(25))), "promises 24 bytes"),
        (archive(a=npy(HEADER, bytes(24))), "'a' is not an array"),
        (archive(zipfile.ZIP_BZIP2, a_npy=npy(HEADER, bytes(24))), "plain zip"),
        (archive(zipfile.ZIP_DEFLATED, a_npy=bytes(10**8)), r"its \d+ bytes claim to unpack to 100000000"),
        (npy(HEADER, bytes(24)), "not a zip file"),
    ],
)
def test_a_damaged_npz_file_is_refused(content, words, tmp_path):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(ValueError, match=f"bad.npz is not a readable .npz file: .*{words}"):
        files.read_npz(tmp_path / "bad.npz")


def test_an_archive_may_have_a_comment(tmp_path):
    for comment in (b"made by hand", bytes(65535)):
        (tmp_path / "a.npz").write_bytes(archive(comment=comment, a_npy=npy(HEADER, bytes(24)), b_npy=EMPTY))
        assert [array.shape for array in files.read_npz(tmp_path / "a.npz").values()] == [(2, 3), (0,)]


def test_only_models_are_saved_as_models(tmp_path):
    with pytest.raises(TypeError, match="model must be an Autoencoder, VAE.*got 'm'"):
        save("m", tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, '{"a": "\xff"}', " " * (2**20 + 2), "null"], ids=repr)
def test_what_is_no_json_object_is_refused(text, tmp_path):
    (tmp_path / "c.json").write_text(text, "latin1")
    with pytest.raises(ValueError, match="c.json (is not valid JSON|should hold a JSON object)") as caught:
        files.read_json(tmp_path / "c.json")
    assert "\n" not in str(caught.value)


def test_missing_files_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        load(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("held", ["model.npz", "checkpoint.npz"])
def test_load_of_a_run_folder_names_the_file_in_it(held, tmp_path):
    save(MODELS[2], tmp_path / held)
    with pytest.raises(IsADirectoryError, match=f"is a folder.*{held}"):
        load(tmp_path)


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "m.npz"
    save(MODELS[2], path)
    before = path.read_bytes()

    def broken(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write(path, broken)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["m.npz"]


def test_a_file_reaches_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    seen, path = [], tmp_path / "m.npz"
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda handle: seen.append("flush") or fsync(handle))
    monkeypatch.setattr(files.os, "replace", lambda *names: seen.append("move") or replace(*names))
    files.write(path, lambda file: file.write(b"content"))
    assert seen[:2] == ["flush", "move"] and path.read_bytes() == b"content"


def test_two_writers_never_share_a_temporary_file(tmp_path):
    def outer(file):
        files.write(tmp_path / "a", lambda inner: inner.write(b"inner"))
        file.write(b"outer")

    files.write(tmp_path / "a", outer)
    assert (tmp_path / "a").read_bytes() == b"outer" and len(list(tmp_path.iterdir())) == 1


def test_a_file_that_is_held_for_a_moment_is_moved_after_it(tmp_path, monkeypatch):
    replace, pauses, refusals = os.replace, [], [PermissionError(13, "in use")] * 2
    (tmp_path / "a").write_bytes(b"before")

    def held(*names):
        if refusals:
            raise refusals.pop()
        replace(*names)

    monkeypatch.setattr(files.os, "replace", held)
    monkeypatch.setattr(files.time, "sleep", pauses.append)
    files.write(tmp_path / "a", lambda file: file.write(b"after"), previous=tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == b"after" and (tmp_path / "b").read_bytes() == b"before" and len(pauses) == 2
    refusals.extend([PermissionError(13, "in use")] * 100)
    with pytest.raises(PermissionError, match="could not be written: in use.*a'"):
        files.write(tmp_path / "a", lambda file: file.write(b"never"))
    assert sum(pauses) < 1 and sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_only_what_a_killed_writer_left_is_swept(tmp_path, system):
    (tmp_path / "figures").mkdir()
    kept = [".a.npz.12-0123abcd.parts", ".movie.part", "a.part", "figures"]
    for name in (".a.npz.12-0123abcd.part", "figures/.b.png.1-00000000.part", *kept[:3]):
        (tmp_path / name).touch()
    files.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == kept


@contextlib.contextmanager
def process(code, folder):
    """Another Python process in folder, once it has printed a line; it goes on when a line is sent to it."""
    code = "import sys, pathlib; from vae_from_scratch.engine import files\n" + code
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment, **pipes) as other:
        try:
            assert other.stdout.readline() == "ready\n"
            yield other
        finally:
            other.kill()


WRITE = """
def writer(file):
    file.write(b"half")
    print("ready", flush=True)
    sys.stdin.readline()
files.write("a", writer)
"""
HOLD = """
with files.lock("run"):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_sweep_leaves_the_file_of_a_live_writer(tmp_path):
    with process(WRITE, tmp_path) as other:
        files.sweep(tmp_path)
        other.communicate("go on\n")
    assert other.returncode == 0 and [path.name for path in tmp_path.iterdir()] == ["a"]
    with process(WRITE, tmp_path) as other:
        other.kill()
        other.wait()
        assert len(list(tmp_path.iterdir())) == 2
        files.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_sweep_between_opening_and_locking_costs_the_writer_nothing(tmp_path, monkeypatch):
    take, sweeps = locks.take, [files.sweep, files.sweep]

    def late(file):
        if sweeps and file.mode == "xb":
            sweeps.pop()(tmp_path)
        return take(file)

    monkeypatch.setattr(locks, "take", late)
    files.write(tmp_path / "a", lambda file: file.write(b"content"))
    assert not sweeps and [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.skipif(locks.fcntl is None, reason="Windows moves only what is closed, and so unlocked")
def test_a_sweep_during_a_move_costs_the_writer_nothing(tmp_path, monkeypatch):
    replace = os.replace
    monkeypatch.setattr(files.os, "replace", lambda *names: files.sweep(tmp_path) or replace(*names))
    files.write(tmp_path / "a", lambda file: file.write(b"content"))
    assert (tmp_path / "a").read_bytes() == b"content"


class Msvcrt:
    """Windows' locks, made of ours."""

    LK_NBLCK, flock = 2, staticmethod(getattr(locks.fcntl, "flock", None))

    def locking(self, handle, mode, count):
        assert (mode, count) == (self.LK_NBLCK, 1)
        try:
            self.flock(handle, 6)  # exclusive, without waiting
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error


@pytest.fixture(params=["this", "windows"])
def system(request, monkeypatch):
    """This system as it is, and its locks as Windows has them."""
    if request.param == "windows":
        if sys.platform == "win32":
            pytest.skip("this is Windows")
        monkeypatch.setattr(locks, "fcntl", None)
        monkeypatch.setattr(locks, "msvcrt", Msvcrt(), raising=False)


def test_a_folder_is_held_for_one_run(tmp_path, system):
    with files.lock(tmp_path / "deep" / "run"):
        words = r"run.\.lock is held by another run in .*run; wait until that has ended, or name another folder"
        with pytest.raises(ValueError, match=words), files.lock(tmp_path / "deep" / "run"):
            pass
        with files.lock(tmp_path / "other"):
            (tmp_path / "other" / "model").touch()
        files.write(tmp_path / "deep" / "a", lambda file: file.write(b"content"))
        files.sweep(tmp_path / "deep" / "run")
        with pytest.raises(ValueError), files.lock(tmp_path / "deep" / "run"):
            pass
        (tmp_path / "deep" / "a").unlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["model", "other"]  # what is empty is gone again


def test_what_a_dead_process_held_is_free(tmp_path):
    with process(HOLD, tmp_path) as other:
        with pytest.raises(ValueError, match="is held by another run"), files.lock(tmp_path / "run"):
            pass
        other.kill()
        other.wait()
        assert (tmp_path / "run" / ".lock").exists()
        with files.lock(tmp_path / "run"):
            pass
        assert not list((tmp_path / "run").iterdir())


@pytest.mark.skipif(locks.fcntl is None, reason="Windows removes and moves only what is closed")
def test_a_lock_is_given_back_without_a_gap_and_only_by_its_holder(tmp_path, monkeypatch):
    unlink, refused = os.unlink, []

    def watched(name):
        with pytest.raises(ValueError, match="is held"), files.lock(tmp_path):
            pass
        refused.append(name)
        unlink(name)

    with monkeypatch.context() as patch:
        patch.setattr(locks.os, "unlink", watched)
        with files.lock(tmp_path):
            pass
    assert [str(name) for name in refused] == [str(tmp_path / ".lock")]
    with contextlib.ExitStack() as later:
        with files.lock(tmp_path / "run"):
            os.rename(tmp_path / "run", tmp_path / "moved")
            later.enter_context(files.lock(tmp_path / "run"))
        assert (tmp_path / "run" / ".lock").exists()


def test_two_never_hold_a_folder_at_once(tmp_path):
    inside, most, times = [], [], []

    def hold():
        for _ in range(300):
            with contextlib.suppress(ValueError), files.lock(tmp_path):
                inside.append(1)
                most.append(len(inside))
                os.stat(tmp_path)  # lets another thread go on
                inside.pop()
        times.append(1)

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 4 and max(most) == 1 and not list(tmp_path.iterdir())


def test_without_locks_all_may_go_on(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(37, "No locks available")

    left = tmp_path / ".a.npz.12-0123abcd.part"
    left.touch()
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "msvcrt", Msvcrt(), raising=False)
    monkeypatch.setattr(Msvcrt, "locking", none)
    with files.lock(tmp_path), files.lock(tmp_path):
        files.write(tmp_path / "a", lambda file: file.write(b"content"))
        files.sweep(tmp_path)
    assert left.exists() and (tmp_path / "a").read_bytes() == b"content"


def test_a_disk_that_cannot_be_written_needs_no_lock(tmp_path, monkeypatch):
    def read_only(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files, "open", read_only, raising=False)
    with files.lock(tmp_path), files.lock(tmp_path):
        pass


def test_history_as_csv(tmp_path):
    history = {
        "epoch": [1, 2],
        "loss": [3.25, 2.5],
        "kl_per_latent": [np.array([0.1, 0.2]), np.array([0.3, 0.4])],
        "seconds": [0.5, 1.0],
    }
    files.write_history(tmp_path / "h.csv", history)
    assert (tmp_path / "h.csv").read_text() == "epoch,loss,seconds,kl_0,kl_1\n1,3.25,0.5,0.1,0.2\n2,2.5,1,0.3,0.4\n"


def test_a_history_of_no_epoch_is_a_row_of_names(tmp_path):
    files.write_history(tmp_path / "h.csv", {"epoch": [], "loss": [], "kl_per_latent": [], "gradient_norms": []})
    assert (tmp_path / "h.csv").read_text() == "epoch,loss\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_folder_of_files_is_there_whole_or_not_at_all(error, tmp_path, monkeypatch):
    def fill(folder, fails):
        with pytest.raises(error) if fails else contextlib.nullcontext(), files.whole_folder(folder) as place:
            (place / "one").write_text("1")
            if fails:
                raise error

    def there():
        return sorted(each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("*"))

    fill(tmp_path / "new" / "a", fails=True)
    assert there() == []
    (tmp_path / "a").mkdir()  # an empty one may be there
    monkeypatch.chdir(tmp_path / "a")  # even this one
    for folder in (Path("."), tmp_path / "a"):
        fill(folder, fails=True)
        assert there() == ["a"]
    fill(Path("."), fails=False)
    assert there() == ["a", "a/one"] and [*Path(".").iterdir()] == [Path("one")]
    fill(tmp_path / "new" / "b", fails=False)
    assert there() == ["a", "a/one", "new", "new/b", "new/b/one"]


def test_too_little_memory_to_pack_is_said_to_be_that(tmp_path, monkeypatch):
    def savez(*_, **__):
        try:
            raise MemoryError
        finally:
            raise ValueError("I/O operation on closed file.")

    monkeypatch.setattr(files.np, "savez", savez)
    with pytest.raises(MemoryError, match="memory to pack"):
        files.write_npz(tmp_path / "a.npz", {"a": np.zeros(3)})

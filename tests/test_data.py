"""Promise: data sets hand out float32 rows in [0, 1], are what they say, and are found or fetched safely."""

import contextlib
import gzip
import hashlib
import http.server
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from vae_from_scratch import VAE, datasets, fit
from vae_from_scratch.engine import files
from vae_from_scratch.datasets.dataset import find, folders
from vae_from_scratch.datasets.factors import FactorDataset


def need(name):
    """The path of a file that is not bundled, or a skip that says why."""
    found = [folder / name for folder in folders() if (folder / name).is_file()]
    if not found:
        pytest.skip(f"{name} is not below {' or '.join(map(str, folders()))}; set VAE_FROM_SCRATCH_DATA to run this")
    return found[0]


def test_digits_are_bundled_and_split():
    train, test = datasets.digits(), datasets.digits("test")
    assert (len(train), len(test), train.data_dim, train.image_shape) == (1500, 297, 64, (8, 8))
    x = train[np.arange(1500)]
    assert x.dtype == np.float32 and x.min() == 0 and x.max() == 1
    assert np.bincount(train.labels).sum() == 1500 and set(test.labels) == set(range(10))
    assert train.labels[:10].tolist() == list(range(10))  # the set begins 0, 1, 2, ...
    assert x[0].reshape(8, 8)[1, 2] == 13 / 16  # second row, third pixel of the first zero


def test_rows_by_slice_mask_and_subset():
    data = datasets.digits()
    np.testing.assert_array_equal(data[2:4], data[np.array([2, 3])])
    fours = data.subset(data.labels == 4)
    assert set(fours.labels) == {4} and np.array_equal(fours[:1], data[np.flatnonzero(data.labels == 4)[:1]])


@pytest.mark.parametrize("split, n, first", [("train", 60000, [5, 0, 4, 1, 9]), ("test", 10000, [7, 2, 1, 0, 4])])
def test_mnist_is_mnist(split, n, first):
    need("mnist/train-images-idx3-ubyte.gz")
    data = datasets.mnist(split)
    assert (len(data), data.data_dim, data.labels[:5].tolist()) == (n, 784, first)
    x = data[np.arange(1000)]
    assert x.dtype == np.float32 and x.min() == 0 and x.max() == 1 and 0.12 < x.mean() < 0.14
    assert data.values.dtype == np.uint8  # kept small


@pytest.mark.parametrize("number", range(4))
def test_mnist_checksums_are_those_of_the_files(number):
    name = list(datasets.mnist.__globals__["FILES"].values())[number]
    path = need(f"mnist/{name}")
    assert files.sha256(path) == datasets.mnist.__globals__["FAMILY"]["mnist"][1 + number]


def test_frey_split_covers_every_frame_once():
    need("frey/frey_faces.npz")
    train, test = datasets.frey(), datasets.frey("test")
    assert (len(train), len(test), train.image_shape, train.data_dim) == (1572, 393, (28, 20), 560)
    together = np.sort(np.concatenate([train.values, test.values]).sum(axis=1, dtype=int))
    np.testing.assert_array_equal(
        together, np.sort(np.concatenate([d.values for d in (test, train)]).sum(axis=1, dtype=int))
    )
    assert not np.array_equal(datasets.frey("test", seed=1).values, test.values)


def test_blobs_are_where_their_factors_say():
    data = datasets.blobs(size=16, positions=8)
    assert len(data) == 64 and data.sizes == (8, 8) and data.data_dim == 256
    images = data[np.arange(64)].reshape(64, 16, 16)
    centres = (np.arange(16) + 0.5) / 16
    weights = images / images.sum(axis=(1, 2), keepdims=True)
    found = np.stack([weights.sum(axis=2) @ centres, weights.sum(axis=1) @ centres], axis=1)
    np.testing.assert_allclose(found, np.linspace(0.2, 0.8, 8)[data.factors(np.arange(64))], atol=0.01)
    assert images.max() <= 1 and images.min() >= 0
    train, test = datasets.blobs("train", positions=8), datasets.blobs("test", positions=8)
    assert len(train) == 58 and len(test) == 6
    np.testing.assert_array_equal(test[[0]], datasets.blobs(positions=8)[[9]])
    assert data[:10].shape == (10, 256) and data[3].shape == (256,) and len(data.subset(slice(0, 5))) == 5
    np.testing.assert_array_equal(data[3], data[3:4][0])
    fit(VAE(256, hidden=(8,), latent_dim=2), train, batch_size=8, epochs=1, progress=False)


def test_factors_and_indices_are_two_names_of_an_image():
    data = FactorDataset("codes", lambda factors: factors / 10, ("a", "b", "c"), (3, 4, 5), (1, 3))
    assert len(data) == 60 and data.factors([0, 59, -1]).tolist() == [[0, 0, 0], [2, 3, 4], [2, 3, 4]]
    np.testing.assert_array_equal(data.indices(data.factors(slice(None))), np.arange(60))
    np.testing.assert_allclose(data[7], [0, 0.1, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(data.subset(slice(5, None)).subset([1, 2])[:], data[6:8])
    rng = np.random.default_rng(0)
    first, second = data.draw_pairs(200, rng, 1)
    assert (first[:, 1] == second[:, 1]).all() and (first[:, 0] != second[:, 0]).any() and len(set(first[:, 1])) == 4
    fixed = data.draw_fixed(200, rng, 2)
    assert len(set(fixed[:, 2])) == 1 and len(set(fixed[:, 0])) == 3 and len(set(fixed[:, 1])) == 4
    assert (fixed < data.sizes).all() and (data.draw_factors(500, rng).max(axis=0) == (2, 3, 4)).all()


@pytest.mark.parametrize("data", [datasets.blobs("train"), datasets.dsprites(size=16)], ids=["blobs", "dsprites"])
def test_drawn_data_can_be_sent_to_another_process(data):
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data))[40:50], data[40:50])


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda data: data[[64]], IndexError, "has 64 images"),
        (lambda data: data[np.ones(10, bool)], IndexError, "boolean"),
        (lambda data: data.images(np.zeros((1, 3), int)), ValueError, "whole numbers \\(N, 2\\) for row, column"),
        (lambda data: data.images(np.zeros((1, 2))), ValueError, "whole numbers"),
        (lambda data: data.images(np.array([[0, 8]])), ValueError, "column must be 0 .. 7; got values from 8 to 8"),
        (lambda data: data.draw_pairs(5, np.random.default_rng(0), 2), ValueError, "factor must be 0 .. 1"),
        (lambda data: data.draw_factors(0, np.random.default_rng(0)), ValueError, "n must be at least 1"),
        (lambda data: data.draw_factors(5, 0), TypeError, "rng must be"),
    ],
)
def test_factors_that_no_image_has_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(datasets.blobs(positions=8))


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_your_own_images(kind, tmp_path):
    images = np.arange(20 * 6, dtype=np.uint8).reshape(20, 2, 3)
    path = tmp_path / f"mine.{kind}"
    np.save(path, images) if kind == "npy" else np.savez(path, images=images, labels=np.arange(20))
    train, test = datasets.load(str(path)), datasets.load(str(path), "test")
    assert len(train) == 18 and len(test) == 2 and train.image_shape == (2, 3) and train.name == "mine"
    np.testing.assert_allclose(test[:], images[[9, 19]].reshape(2, 6) / 255, rtol=1e-6)
    assert kind == "npy" or test.labels.tolist() == [9, 19]


def test_floats_are_taken_as_they_are_and_bools_become_zero_and_one(tmp_path):
    np.save(tmp_path / "f.npy", np.full((10, 5), -2.5))
    np.save(tmp_path / "b.npy", np.eye(10, 9, dtype=bool))
    assert datasets.load(str(tmp_path / "f.npy"))[:1].tolist() == [[-2.5] * 5]
    data = datasets.load(str(tmp_path / "b.npy"))
    assert data.binary and data.image_shape == (3, 3) and data[:].max() == 1
    np.save(tmp_path / "v.npy", np.zeros((10, 20)))
    assert datasets.load(str(tmp_path / "v.npy")).image_shape == (4, 5)


def idx(shape, content):
    header = b"\x00\x00\x08" + bytes([len(shape)]) + np.array(shape, ">u4").tobytes()
    return header + content


def test_idx_with_and_without_gzip(tmp_path):
    raw = idx((2, 3), bytes(range(6)))
    for name, content in (("plain", raw), ("zipped", gzip.compress(raw))):
        (tmp_path / name).write_bytes(content)
        assert files.read_idx(tmp_path / name).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "does not begin as an IDX file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "does not begin as an IDX file of unsigned bytes"),
        (idx((2, 3), bytes(5)), "promises 6 bytes"),
        (idx((2, 3), bytes(7)), "promises 6 bytes"),
        (idx((2**31, 2**31, 2**31), b""), "promises"),
        (b"\x00\x00\x08\x03\x00\x00", "promises 3 sizes"),
        (gzip.compress(idx((2, 3), bytes(6)), mtime=0)[:-9], "ended before the end-of-stream marker"),
        (b"\x1f\x8b nonsense", "Unknown compression method"),
        (gzip.compress(idx((2, 3), bytes(6)), mtime=0)[:-8] + bytes(8), "CRC check failed"),
        (gzip.compress(idx((2, 3), bytes(6)), mtime=0) + b"more", "Not a gzipped file"),
        (gzip.compress(idx((2, 3), bytes(7)), mtime=0), "promises 6 bytes of shape .2, 3., it holds more"),
        (gzip.compress(idx((2**31, 2**31), b""), mtime=0), "promises"),
        (idx((2**31,), b""), "promises 2147483648 bytes"),
        (gzip.compress(idx((2**30,), bytes(2**20)), mtime=0), "promises 1073741824 bytes"),
    ],
)
def test_damaged_idx_is_refused(content, words, tmp_path):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(ValueError, match=f"bad is not a readable IDX file: .*{words}"):
        files.read_idx(tmp_path / "bad")


def test_files_are_found_in_the_named_folder_then_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setenv("VAE_FROM_SCRATCH_DATA", str(tmp_path / "named"))
    named, cached = tmp_path / "named" / "f" / "a", tmp_path / "cache" / "vae_from_scratch" / "f" / "a"
    with pytest.raises(FileNotFoundError, match="set VAE_FROM_SCRATCH_DATA"):
        find("f/a")
    for path in (cached, named):
        path.parent.mkdir(parents=True)
        path.write_text("here")
        assert find("f/a") == path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.delenv("VAE_FROM_SCRATCH_DATA", raising=False)
    return tmp_path / "cache" / "vae_from_scratch"


def test_downloads_are_kept_only_if_the_checksum_fits(tmp_path, cache):
    source = tmp_path / "source"
    source.write_bytes(b"content")
    url, right = source.as_uri(), hashlib.sha256(b"content").hexdigest()
    with pytest.raises(ValueError, match="SHA-256"):
        find("f/a", url, "0" * 64)
    assert not cache.exists()
    assert find("f/a", url, right).read_bytes() == b"content"
    source.unlink()
    assert find("f/a", url, right).read_bytes() == b"content"  # from the cache now
    with pytest.raises(FileNotFoundError, match="downloading it from"):
        find("f/b", url, right)


@contextlib.contextmanager
def server(send):
    """A web server on this machine that answers as send(handler) says."""

    class Handler(http.server.BaseHTTPRequestHandler):
        do_GET = send

        def log_message(self, *_):
            pass

    web = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{web.server_port}/file"
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


def test_an_interrupted_download_is_not_kept_and_the_next_call_starts_again(cache, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    content, visits = bytes(range(256)) * 1000, []

    def send(handler):
        visits.append(1)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // (2 if len(visits) == 1 else 1)])  # the first visitor gets half

    with server(send) as url:
        checksum = hashlib.sha256(content).hexdigest()
        with pytest.raises((ValueError, FileNotFoundError), match="starts again|broke off"):
            find("f/a", url, checksum)
        assert not cache.exists()
        assert find("f/a", url, checksum).read_bytes() == content
    assert len(visits) == 2 and [path.name for path in (cache / "f").iterdir()] == ["a"]


def test_a_download_without_end_is_given_up(cache, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(files, "DOWNLOAD", 2**22)

    def send(handler):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(bytes(2**16))

    with server(send) as url, pytest.raises(ValueError, match="sent 4194304 bytes"):
        find("f/a", url, "0" * 64)


def test_two_processes_may_fill_the_cache_at_once(tmp_path, cache):
    content = bytes(range(256)) * 4096
    (tmp_path / "source").write_bytes(content)
    code = "import sys; from vae_from_scratch.engine import files; [files.download(*sys.argv[1:]) for _ in range(20)]"
    arguments = [(tmp_path / "source").as_uri(), str(cache / "f" / "a"), hashlib.sha256(content).hexdigest()]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
        for _ in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert [path.name for path in (cache / "f").iterdir()] == ["a"] and (cache / "f" / "a").read_bytes() == content

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
import tracemalloc

import numpy as np
import pytest
from helpers import refused, run, timeless
from PIL import Image

from vae_from_scratch import VAE, cli, datasets, evaluation, fit
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


@pytest.mark.parametrize("seed", [0, 1, None])
def test_frey_split_covers_every_frame_once(seed):
    film = files.read_npz(need("frey/frey_faces.npz"))["images"].reshape(1965, 560)
    train, test = datasets.frey(seed=seed), datasets.frey("test", seed=seed)
    assert (len(train), len(test), train.image_shape, train.data_dim) == (1572, 393, (28, 20), 560)
    together = np.concatenate([train.values, test.values])
    np.testing.assert_array_equal(np.unique(together, axis=0), np.unique(film, axis=0))


def test_frey_splits_by_seed_and_the_end_of_the_film_without():
    film = files.read_npz(need("frey/frey_faces.npz"))["images"].reshape(1965, 560)
    np.testing.assert_array_equal(datasets.frey("test", seed=None).values, film[-393:])
    assert not np.array_equal(datasets.frey("test", seed=1).values, datasets.frey("test").values)


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


ZERO_ONE = np.eye(64, dtype=np.uint8)
SCALES = {  # what is in a file: what comes of its largest value
    "bytes of 0 and 1": (ZERO_ONE, 1),
    "bytes, all 0": (0 * ZERO_ONE, 0),
    "bytes up to 255": (255 * ZERO_ONE, 1),
    "bytes up to 101": (101 * ZERO_ONE, 101 / 255),
    "bool": (ZERO_ONE.astype(bool), 1),
    "floats up to 255": (255.0 * ZERO_ONE, 255),
    "floats of 0 and 1, columns first": (np.asfortranarray(ZERO_ONE.astype(float)), 1),
}


@pytest.mark.parametrize("kind", ["npy", "npz"])
@pytest.mark.parametrize("case", SCALES)
def test_the_scale_is_that_of_what_is_there(case, kind, tmp_path):
    images, highest = SCALES[case]
    path = tmp_path / f"mine.{kind}"
    np.save(path, images) if kind == "npy" else np.savez(path, images)
    data = datasets.load(str(path))
    assert data[:].max() == np.float32(highest) and data[:].shape == (58, 64)
    assert data.binary == (highest in (0, 1)) == bool(np.isin(data[:], (0, 1)).all())


def test_bytes_that_go_no_higher_than_16_are_divided_by_255_and_a_note_says_so(tmp_path):
    np.save(tmp_path / "grey.npy", 16 * ZERO_ONE)
    with pytest.warns(UserWarning, match="grey.npy: images are bytes up to 16, .* by 255; .* store images / 16"):
        assert datasets.from_file(tmp_path / "grey.npy")[:].max() == np.float32(16) / 255


@pytest.mark.parametrize(
    "images, error, words",
    [
        (ZERO_ONE.astype(int), TypeError, "int64|int32 from 0 to 1 store images.astype(bool)"),
        (ZERO_ONE.astype(np.int16) * 255, TypeError, "int16 from 0 to 255 images.astype(np.uint8)"),
        (ZERO_ONE.astype(np.uint16) * 65535, TypeError, "uint16 from 0 to 65535 images / 65535"),
        (ZERO_ONE.astype(np.int8) - 1, TypeError, "int8 from -1 to 0 (images.astype('float32') + 1) / 1"),
        (ZERO_ONE.astype(complex), TypeError, "complex128 floats"),
        (np.zeros((12, 3, 8, 8)), ValueError, "(12, 3, 8, 8) (n, rows, columns, 3) np.moveaxis(images, 1, 3)"),
        (np.zeros((12, 8, 8, 4)), ValueError, "(12, 8, 8, 4) (n, rows, columns, 3) images[..., :3]"),
        (np.zeros((12, 1, 8, 8, 3)), ValueError, "(12, 1, 8, 8, 3) (n, rows, columns, 3)"),
        (np.zeros((9, 8)), ValueError, "(9, 8) 10"),
    ],
)
def test_the_cure_for_an_array_fits_what_is_in_it(images, error, words, tmp_path):
    np.save(tmp_path / "mine.npy", images)
    with refused(f"mine.npy {words}", error):
        datasets.from_file(tmp_path / "mine.npy")
    cures = [words[words.index(start) :] for start in ("images", "(images", "np.moveaxis") if f" {start}" in words]
    for cure in cures:  # tried as it is written
        np.save(tmp_path / "mine.npy", eval(cure, {"np": np, "images": images}))
        x = datasets.from_file(tmp_path / "mine.npy")[:]
        assert x.min() >= 0 and x.max() == (1 if images.any() else 0)


def test_colour_images_have_three_numbers_of_shape(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "colour.npy", images)
    data = datasets.from_file(tmp_path / "colour.npy", "test")
    assert data.image_shape == (4, 5, 3) and data.data_dim == 60 and data.subset([1]).image_shape == (4, 5, 3)
    np.testing.assert_allclose(data[1].reshape(4, 5, 3), images[19] / 255, rtol=1e-6)
    fit(VAE(60, (4,), 2), data, batch_size=2, epochs=1, binarize="dynamic", progress=False)
    np.save(tmp_path / "grey.npy", images[..., :1])  # as Keras keeps grey images
    assert datasets.from_file(tmp_path / "grey.npy").image_shape == (4, 5)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_file_of_binary_values_takes_at_most_twice_its_size(dtype, order, tmp_path):
    images = np.random.default_rng(0).integers(0, 2, (20_000, 28, 28), dtype=np.uint8).astype(dtype)
    np.save(tmp_path / "large.npy", np.asarray(images, order=order))
    size = images.nbytes
    del images
    tracemalloc.start()
    data = datasets.from_file(tmp_path / "large.npy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.binary and peak <= 2 * size, peak / size


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_run_on_a_file_takes_at_most_twice_its_size(ending, tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 2, (60_000, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "f.npy", images) if ending == "npy" else np.savez(tmp_path / "f.npz", images=images)
    size, line = images.nbytes, f"--epochs 1 --hidden 4 --latent-dim 2 --batch-size 500 --quiet --out {tmp_path / 'r'}"
    del images
    monkeypatch.setattr(cli.train, "draw_figures", lambda *_: None)
    tracemalloc.start()
    run(f"train --data {tmp_path / 'f'}.{ending} {line}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 2 * size, peak / size


A, B = (np.random.default_rng(seed).integers(0, 256, (20, 6), dtype=np.uint8) for seed in (0, 1))
ONES, OBJECTS = np.arange(20), np.array([{"never": "loaded"}] * 20, dtype=object)
ARCHIVES = {  # what is in an .npz file: its images and labels (train, then test)
    "as Keras has it": (dict(x_train=A, y_train=ONES, x_test=B[:5], y_test=ONES[:5]), (A, ONES), (B[:5], ONES[:5])),
    "as MedMNIST has it": (
        dict(train_images=A, val_images=B[:3], test_images=B, train_labels=ONES[:, None], test_labels=ONES[:, None]),
        (A, ONES),
        (B, ONES),
    ),
    "in capitals": (dict(X_train=A, X_test=B), (A, None), (B, None)),
    "no test part": (dict(x_train=A, y_train=ONES), (A[ONES % 10 < 9], ONES[ONES % 10 < 9]), (A[9::10], ONES[9::10])),
    "as dSprites has it": (
        dict(metadata=OBJECTS[0], imgs=A, latents_classes=np.ones((20, 6)), latents_values=np.ones((20, 6))),
        (A[ONES % 10 < 9], None),
        (A[9::10], None),
    ),
    "labels of floats": (dict(x=A, y=ONES / 3), (A[ONES % 10 < 9], (ONES / 3)[ONES % 10 < 9]), (A[9::10], (ONES / 3)[9::10])),
    "labels of strings": (
        dict(images=A, labels=ONES.astype(str)), (A[ONES % 10 < 9], ONES[ONES % 10 < 9].astype(str)), (A[9::10], ONES[9::10].astype(str))
    ),
    "one without a name": (dict(arr_0=A), (A[ONES % 10 < 9], None), (A[9::10], None)),
}  # fmt: skip


@pytest.mark.parametrize("case", ARCHIVES)
def test_arrays_are_found_by_the_names_that_others_give_them(case, tmp_path):
    arrays, *parts = ARCHIVES[case]
    np.savez_compressed(tmp_path / "their.npz", **arrays)
    for split, (images, labels) in zip(datasets.SPLITS, parts):
        data = datasets.load(str(tmp_path / "their.npz"), split)
        np.testing.assert_array_equal(data.values, images)
        assert data.labels is labels is None or (data.labels.dtype == labels.dtype and (data.labels == labels).all())


@pytest.mark.parametrize(
    "arrays, words",
    [
        (dict(images=A, x=B), "images x one"),
        (dict(images=A, x_train=B), "images x_train one"),
        (dict(x_train=A, train_images=B), "x_train train_images"),
        (dict(x_test=A), "x_test x_train"),
        (dict(faces=A, names=ONES), "faces names images imgs x"),
        (dict(x=A, y=ONES, labels=ONES), "x y labels one"),
        (dict(arr_0=A, arr_1=ONES), "arr_0 arr_1 images"),
        (dict(x_train=A, x_test=B[:, :5]), "alike (20, 6) (20, 5)"),
        (dict(x_train=A, x_test=B / 255), "alike uint8 float64"),
        (dict(x_train=A, x_test=B, y_test=ONES[:3]), "20 images labels (3,)"),
        (dict(images=OBJECTS), "unpickled"),
    ],
)
def test_what_could_be_meant_in_two_ways_is_listed(arrays, words, tmp_path):
    np.savez(tmp_path / "their.npz", **arrays)
    with refused(f"their.npz {words}"):
        datasets.from_file(tmp_path / "their.npz", "test")


@pytest.mark.parametrize(
    "labels, words",
    [(OBJECTS, "labels holds Python objects.*labels.astype\\(str\\)"), (np.eye(20), "labels of shape .20, 20. are left out")],
)
def test_labels_that_cannot_be_used_are_left_out_and_a_note_says_so(labels, words, tmp_path):
    np.savez(tmp_path / "their.npz", images=A, labels=labels)
    with pytest.warns(UserWarning, match=f"their.npz: {words}"):
        assert datasets.from_file(tmp_path / "their.npz").labels is None


@pytest.mark.slow
def test_sparse_images_that_pack_to_a_thousandth_are_read(tmp_path):
    images = np.zeros((30_000, 64, 64), np.uint8)
    images[::100, 30, 30] = 255
    np.savez_compressed(tmp_path / "sparse.npz", images=images)
    assert len(datasets.from_file(tmp_path / "sparse.npz")) == 27_000
    assert (tmp_path / "sparse.npz").stat().st_size < images.nbytes / 900
    (tmp_path / "idx.gz").write_bytes(gzip.compress(idx(images.shape, images.tobytes()), 6))
    assert files.read_idx(tmp_path / "idx.gz").shape == images.shape


def test_an_archive_beyond_the_bound_names_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "OWN", 2**19)
    np.savez_compressed(tmp_path / "sparse.npz", images=np.zeros((3_000, 28, 28), np.uint8))
    with refused("sparse.npz claim unpack np.savez"):
        datasets.from_file(tmp_path / "sparse.npz")
    np.savez(tmp_path / "sparse.npz", images=np.zeros((3_000, 28, 28), np.uint8))
    assert len(datasets.from_file(tmp_path / "sparse.npz")) == 2_700


class Unsized:
    """Rows on a disk as zarr has them, without len(); but indices must rise, and none may come twice."""

    def __init__(self, rows):
        self.rows, self.ndim, self.shape, self.dtype = rows, rows.ndim, rows.shape, rows.dtype

    def __getitem__(self, indices):
        if np.ndim(indices) == 1 and not (np.diff(indices) > 0).all():
            raise TypeError("Indexing elements must be in increasing order")
        return self.rows[indices]


class Rising(Unsized):
    """As h5py has them."""

    def __len__(self):
        return len(self.rows)


def on_disk(x, folder):
    """Each kind of thing that keeps its rows elsewhere, of the rows x (n, 64) in 0..1: name -> what fit takes."""
    np.save(folder / "x.npy", x)
    counts = np.rint(16 * x).astype(np.uint8).reshape(-1, 8, 8)
    return {
        "h5py": Rising(x),
        "memory map": np.load(folder / "x.npy", mmap_mode="r"),
        "images of h5py": datasets.Dataset("mine", Rising(counts), (8, 8), scale=16),
        "images of zarr": datasets.Dataset("mine", Unsized(counts), (8, 8), scale=16),
        "images": datasets.Dataset("mine", counts, (8, 8), scale=16),
    }


@pytest.mark.parametrize("name", ["h5py", "memory map", "images of h5py", "images of zarr", "images"])
def test_rows_on_a_disk_train_as_rows_in_memory_do(name, tmp_path):
    x = datasets.digits()[:200]
    histories = []
    for data in (x, on_disk(x, tmp_path)[name]):
        folder = tmp_path / str(len(histories))
        model = VAE(64, (8,), 2)
        histories.append(timeless(fit(model, data, batch_size=32, epochs=2, x_valid=data, checkpoint=folder, progress=False)))
        assert evaluation.evaluate(model, data).n == 200
    assert histories[0] == histories[1]


def test_indices_in_any_order_reach_rows_that_must_rise():
    data = datasets.Dataset("mine", Rising(np.arange(12.0).reshape(4, 3)), (1, 3))
    np.testing.assert_array_equal(data[[3, 0, 3]], [[9, 10, 11], [0, 1, 2], [9, 10, 11]])
    assert data[2].tolist() == [6, 7, 8] and data[1:3].shape == (2, 3)
    with pytest.raises(IndexError):
        data[[2, 9, 1]]


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


PLACES = [
    "mnist/{}.gz", "mnist/{}", "mnist/raw/{}", "MNIST/raw/{}", "MNIST/raw/{}.gz", "fashion-mnist/{}", "FashionMNIST/raw/{}.gz",
    "KMNIST/raw/{}",
]  # fmt: skip


@pytest.fixture
def family(monkeypatch, tmp_path):
    """The four files of an MNIST of 20 and 10 images: a function that puts them in a place; their checksums are the known ones."""
    module = sys.modules["vae_from_scratch.datasets.mnist"]
    monkeypatch.setenv("VAE_FROM_SCRATCH_DATA", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    images = np.random.default_rng(0).integers(0, 256, (30, 2, 3), dtype=np.uint8)
    raw = [idx((20, 2, 3), images[:20].tobytes()), idx((20,), bytes(range(20)))]
    raw += [idx((10, 2, 3), images[20:].tobytes()), idx((10,), bytes(range(10)))]
    zipped = [gzip.compress(content, mtime=0) for content in raw]
    known, plain = (tuple(hashlib.sha256(content).hexdigest() for content in each) for each in (zipped, raw))
    monkeypatch.setattr(module, "FAMILY", {name: ("no://where/", *known) for name in module.FAMILY})
    monkeypatch.setattr(module, "UNZIPPED", {"mnist": plain})

    def put(place, dotted=False, damage=b""):
        for name, *contents in zip(module.FILES.values(), raw, zipped):
            name = name.removesuffix(".gz")
            path = tmp_path / place.format(name.replace("-idx", ".idx") if dotted else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            content = contents[path.suffix == ".gz"]
            path.write_bytes(content[:-1] + damage if damage else content)
        return images

    return put


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_the_mnist_family_is_found_as_other_programs_leave_it(place, dotted, family):
    images = family(place, dotted)
    name = {"MNIST": "mnist", "FashionMNIST": "fashion-mnist", "KMNIST": "kmnist"}.get(place.split("/")[0], place.split("/")[0])
    train, test = datasets.load(name), datasets.load(name, "test")  # no note: warnings are errors here
    np.testing.assert_array_equal(np.concatenate([train.values, test.values]), images.reshape(30, 6))
    assert train.labels.tolist() == list(range(20)) and test.labels.tolist() == list(range(10))


def test_a_folder_with_the_name_of_a_file_is_no_file(family, tmp_path):
    family("mnist/{}")
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").mkdir()
    assert len(datasets.mnist()) == 20


def test_a_file_that_is_not_the_known_one_is_named(family):
    family("mnist/{}", damage=b"!")
    with pytest.warns(UserWarning, match="is not the file of mnist that is known, .* SHA-256") as notes:
        assert len(datasets.mnist()) == 20
    images, labels = (str(note.message) for note in notes)
    assert "mnist/train-images-idx3-ubyte is not" in images and "mnist/train-labels-idx1-ubyte is not" in labels


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


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch, tmp_path):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", homeless)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "VAE_FROM_SCRATCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    assert folders() == [] and len(datasets.load("digits")) == 1500
    with refused("mnist/train-images-idx3-ubyte.gz home set VAE_FROM_SCRATCH_DATA", errors=FileNotFoundError):
        datasets.mnist()
    monkeypatch.setenv("VAE_FROM_SCRATCH_DATA", str(tmp_path))
    assert folders() == [tmp_path]


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


# ---- photos ----------------------------------------------------------------------------------------------


def photo(rows, columns, seed=0):
    """Smooth random colours, which a JPEG keeps to a few parts in 255."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize((columns, rows), Image.Resampling.BILINEAR)


@pytest.fixture
def album(tmp_path):
    """A folder of 20 pictures, those of cats PNG, those of dogs JPEG, all 8 x 8; and the bytes of the PNG files."""
    for k in range(10):
        for kind, name in (("cats", f"{k}.png"), ("dogs", f"{k}.JPG")):
            (tmp_path / "album" / kind).mkdir(parents=True, exist_ok=True)
            photo(8, 8, seed=k).save(tmp_path / "album" / kind / name, "PNG" if kind == "cats" else "JPEG", quality=100, subsampling=0)
    (tmp_path / "album" / "notes.txt").write_text("no picture")
    (tmp_path / "album" / "cats" / "._0.png").write_text("what another system leaves")
    return tmp_path / "album"


def test_photos_of_a_folder_in_colour_and_in_grey(album):
    train, test = (datasets.images(album, (8, 8), gray=False, split=split) for split in datasets.SPLITS)
    assert (len(train), len(test), train.image_shape, train.data_dim, train.name) == (18, 2, (8, 8, 3), 192, "album")
    assert train.labels.tolist() == ["cats"] * 9 + ["dogs"] * 9 and test.labels.tolist() == ["cats", "dogs"]
    np.testing.assert_allclose(test[0].reshape(8, 8, 3), np.asarray(photo(8, 8, 9)) / 255, rtol=1e-6)  # PNG keeps the bytes
    np.testing.assert_allclose(test[1], test[0], atol=0.02)  # JPEG nearly
    grey = datasets.images(album, (8, 8), split="test")
    assert grey.image_shape == (8, 8) and len(datasets.load(str(album))) == 18
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey[0].reshape(8, 8), test[0].reshape(8, 8, 3) @ weights, atol=1 / 255)
    fit(VAE(64, (4,), 2), grey, batch_size=2, epochs=1, binarize="dynamic", progress=False)


def test_a_picture_is_cropped_to_the_middle_and_resized(tmp_path):
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:30] = 255  # of the middle square, columns 20 to 40, the left half
    for k in range(10):
        Image.fromarray(wide if k % 2 else wide.T).save(tmp_path / f"{k}.png")
    data = datasets.images(tmp_path, (4, 4))
    assert data.labels is None
    upright, lying = data[:2].reshape(2, 4, 4)
    np.testing.assert_allclose(lying, [[1, 1, 0, 0]] * 4, atol=0.15)
    np.testing.assert_allclose(upright, lying.T)
    assert datasets.images(tmp_path, (2, 6))[1].reshape(2, 6).round().tolist() == [[0, 0, 1, 0, 0, 0]] * 2


PICTURES = {  # what is saved: the one grey value that is read
    "16 bits": (lambda path: Image.fromarray(np.full((8, 8), 257 * 140, np.uint16)).save(path), 140),
    "one bit": (lambda path: Image.new("1", (8, 8), 1).save(path), 255),
    "a palette": (lambda path: Image.new("L", (8, 8), 40).convert("P").save(path), 40),
    "transparent": (lambda path: Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(path), 255),
    "half transparent grey": (lambda path: Image.new("LA", (8, 8), (0, 128)).save(path), 127),
    "one colour transparent": (lambda path: Image.new("RGB", (8, 8)).save(path, transparency=(0, 0, 0)), 255),
    "CMYK": (lambda path: Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(path, "JPEG"), 255),
}


@pytest.mark.parametrize("case", PICTURES)
def test_pictures_of_every_kind_are_converted(case, tmp_path):
    save, value = PICTURES[case]
    for k in range(10):
        save(tmp_path / f"{k}.png")
    for gray in (True, False):
        values = datasets.images(tmp_path, (8, 8), gray).values
        assert abs(values.astype(int) - value).max() <= 1, values


def test_pictures_of_12_bits_in_16_are_nearly_black_and_a_note_says_so(tmp_path):
    for k in range(10):
        Image.fromarray(np.full((8, 8), 4095 - k, np.uint16)).save(tmp_path / f"{k}.png")
    words = r"16-bit pictures go no higher than 4095 of 65535, .* nearly black; if 4095 is white, store them times 16$"
    with pytest.warns(UserWarning, match=words):
        assert datasets.images(tmp_path, (8, 8)).values.max() == 15
    datasets.images(tmp_path, (8, 8), split="test")  # once is enough: warnings are errors here
    Image.fromarray(np.full((8, 8), 60_000, np.uint16)).save(tmp_path / "5.png")
    datasets.images(tmp_path, (8, 8))


def test_a_photo_is_turned_as_its_camera_says_and_a_large_one_is_read_small(tmp_path):
    scene = photo(640, 960)
    turned, exif = scene.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: to be shown turned clockwise
    for k in range(5):
        scene.save(tmp_path / f"a{k}.jpg", quality=95)
        turned.save(tmp_path / f"b{k}.jpg", quality=95, exif=exif)
    first, *_, last = datasets.images(tmp_path, (16, 24), gray=False)[:]
    np.testing.assert_allclose(last, first, atol=0.02)
    np.testing.assert_allclose(first.reshape(16, 24, 3), np.asarray(scene.resize((24, 16))) / 255, atol=0.02)


def test_pictures_that_cannot_be_read_are_named_and_counted(album):
    whole = (album / "cats" / "0.png").read_bytes()
    (album / "cats" / "0.png").write_bytes(whole[: len(whole) // 2])
    (album / "cats" / "1.png").write_text("no picture")
    (album / "dogs" / "2.JPG").write_bytes(b"")
    photo(8, 8).save(album / "dogs" / "z.gif")
    words = "album: 4 of 19 pictures for the train split are left out, .* PNG or JPEG: dogs/z.gif, cats/0.png, cats/1.png, ...$"
    with pytest.warns(UserWarning, match=words) as notes:
        data = datasets.images(album, (8, 8))
    assert len(notes) == 1 and len(data) == 15 == len(data.labels) and data.labels.tolist() == ["cats"] * 7 + ["dogs"] * 8
    assert len(datasets.images(album, (8, 8), split="test")) == 2


def test_sub_folders_train_and_test_are_the_split_and_those_in_them_the_labels(album):
    for part, some in (("Train", range(7)), ("test", range(7, 9))):
        for kind, ending in (("cats", "png"), ("dogs", "JPG")):
            (album / part / kind).mkdir(parents=True)
            for k in some:
                (album / kind / f"{k}.{ending}").rename(album / part / kind / f"{k}.{ending}")
    photo(8, 8).save(album / "test" / "z.gif")
    with pytest.warns(UserWarning, match=r"album: pictures beside train and test are left out \(2\): cats/9.png, dogs/9.JPG$"):
        train = datasets.images(album, (8, 8))
    with pytest.warns(UserWarning, match="1 of 5 pictures for the test split are left out, .*: test/z.gif$"):
        test = datasets.images(album, (8, 8), split="test")
    assert train.labels.tolist() == ["cats"] * 7 + ["dogs"] * 7 and test.labels.tolist() == ["cats"] * 2 + ["dogs"] * 2
    np.testing.assert_allclose(test[0].reshape(8, 8), np.asarray(photo(8, 8, 7).convert("L")) / 255, rtol=1e-6)


def test_a_split_without_labels_may_be_small(tmp_path):
    for name in ("train/a", "train/b", "test/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        photo(8, 8).save(tmp_path / f"{name}.png")
    train, test = (datasets.images(tmp_path, (8, 8), split=split) for split in datasets.SPLITS)
    assert (len(train), len(test), train.labels, test.labels) == (2, 1, None, None)


def test_folders_behind_links_are_looked_into_once(album, tmp_path):
    (album / "dogs").rename(tmp_path / "elsewhere")
    (album / "dogs").symlink_to(tmp_path / "elsewhere")
    (album / "dogs" / "again").symlink_to(album)  # leads back
    (album / "cats" / "self").symlink_to(album / "cats")
    data = datasets.images(album, (8, 8))
    assert len(data) == 18 and data.labels.tolist() == ["cats"] * 9 + ["dogs"] * 9
    (album / "cats" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.warns(UserWarning, match="1 of 19 pictures .* left out, .*: cats/gone.png$"):
        datasets.images(album, (8, 8))


def test_folders_that_cannot_be_read_are_named_and_counted(album, monkeypatch):
    def refuse(path, shut):
        if path.name in shut:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: refuse(path, ["dogs"]))
    with pytest.warns(UserWarning, match=r"album: folders that cannot be read are left out \(1\): dogs$"):
        assert len(datasets.images(album, (8, 8))) == 9
    assert len(datasets.images(album, (8, 8), split="test")) == 1
    monkeypatch.setattr(os, "listdir", lambda path: refuse(path, ["dogs", "cats"]))
    with refused("album 0 10 cats, dogs"):
        datasets.images(album, (8, 8))
    monkeypatch.setattr(os, "listdir", lambda path: refuse(path, ["album"]))
    with pytest.raises(PermissionError, match="album"):
        datasets.images(album, (8, 8))


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda album: datasets.images(album / "birds"), FileNotFoundError, "birds folder PNG JPEG"),
        (lambda album: datasets.images(album / "cats" / "0.png"), FileNotFoundError, "0.png folder"),
        (lambda album: datasets.images(album.parent / "few"), ValueError, "few 3 PNG JPEG 4 .heic 10"),
        (lambda album: datasets.images(album, 64), TypeError, "size (rows, columns) 64"),
        (lambda album: datasets.images(album, (64, 0)), ValueError, "size 1 0"),
        (lambda album: datasets.images(album, gray="no"), TypeError, "gray True False 'no'"),
        (lambda album: datasets.images(album, split="valid"), ValueError, "split train test 'valid'"),
        (lambda album: datasets.load(str(album.parent / "nowhere")), ValueError, "nowhere .npz folder"),
    ],
)
def test_a_folder_without_pictures_is_refused_in_one_line(call, error, words, album):
    (album.parent / "few").mkdir()
    for name in ("a.png", "b.jpeg", "c.jpg", "d.heic", "e.heic", "f.heic", "g.heic"):
        (album.parent / "few" / name).write_bytes(b"")
    with refused(words, error):
        call(album)


def test_a_folder_of_nothing_but_damaged_pictures_is_refused(album):
    for path in album.glob("*/*"):
        path.write_bytes(b"\x89PNG")
    with pytest.warns(UserWarning, match="18 of 18"), refused("album none 18 train cats/0.png"):
        datasets.images(album)


@pytest.mark.slow
def test_a_run_on_a_folder_of_photos(album, tmp_path, capsys):
    run(f"train --data {album} --hidden 4 --latent-dim 2 --batch-size 6 --epochs 2 --quiet --out {tmp_path / 'run'}")
    run(f"evaluate {tmp_path / 'run'}")
    run(f"sample {tmp_path / 'run'} --n 4")
    assert "18 examples of 4096 values" in capsys.readouterr().out
    assert {"latents.png", "reconstructions.png", "samples.png"} <= {path.name for path in (tmp_path / "run" / "figures").iterdir()}


def test_a_run_takes_photos_in_the_size_that_it_is_told(album, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli.train, "draw_figures", lambda *_: None)
    line = f"train --data {album} --hidden 4 --latent-dim 2 --batch-size 6 --epochs 1 --quiet --backend numpy --out {tmp_path}"
    run(f"{line}/colour --image-shape 6 5 3")
    run(f"{line}/grey --image-shape 6,5")
    assert ("18 examples of 90 values" in (said := capsys.readouterr().out)) and "18 examples of 30 values" in said
    run(f"evaluate {tmp_path / 'colour'}")  # as the run remembers it
    assert cli.main(f"{line}/none --image-shape 6,5,2".split()) == 2
    assert "rows,columns or rows,columns,3 to resize photos to, got 6,5,2" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_row_that_holds_nan_is_that_of_the_file(tmp_path):
    x = np.random.default_rng(0).uniform(size=(300, 4)).astype(np.float32)
    for row in (123, 129):  # in the training split, and in the test split
        x[row, 1] = np.nan
        np.save(tmp_path / "a.npy", x)
        with pytest.raises(ValueError, match=rf"a\.npy: .* first in row {row};"):
            datasets.from_file(tmp_path / "a.npy")
        x[row, 1] = 0


def test_what_is_advised_for_whole_numbers_keeps_white_white(tmp_path):
    for top, way in ((1, "astype(bool)"), (16, "images / 16"), (255, "astype(np.uint8)"), (1000, "images / 1000")):
        np.save(tmp_path / "a.npy", np.arange(40).reshape(20, 2) % 2 * top)
        with pytest.raises(TypeError) as error:
            datasets.from_file(tmp_path / "a.npy")
        assert f"store images.{way}" in str(error.value) or f"store {way}" in str(error.value)

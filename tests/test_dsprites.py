"""Promise: dSprites is drawn as the originals are, by both forms to the bit, at any size, from factors or by index."""

import sys
import tracemalloc

import numpy as np
import pytest
from helpers import refused
from test_data import need

from vae_from_scratch import VAE, datasets, fit
from vae_from_scratch.engine import files

try:
    from vae_from_scratch import kernels
except ImportError:
    kernels = None

module = sys.modules["vae_from_scratch.datasets.dsprites"]
needs_numba = pytest.mark.skipif(kernels is None, reason="Numba cannot compile here")
BACKENDS = ["numpy", pytest.param("numba", marks=needs_numba)]
VECTORS = {  # measured from the originals; factors: pixels on, first and last row, first and last column
    (0, 0, 0, 0, 0): (100, 11, 20, 11, 20),
    (0, 5, 4, 16, 16): (368, 19, 45, 19, 45),
    (1, 5, 0, 0, 0): (288, 9, 22, 3, 28),
    (1, 0, 12, 30, 30): (72, 41, 52, 43, 50),
    (2, 5, 0, 0, 0): (222, 7, 23, 6, 25),
    (2, 5, 12, 30, 30): (226, 39, 57, 36, 54),
}


def some(n, seed=0):
    return np.random.default_rng(seed).integers(3 * 6 * 40 * 32 * 32, size=n)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("factors", VECTORS, ids=str)
def test_images_measured_from_the_originals(factors, backend):
    image = datasets.dsprites(backend=backend).images([factors])[0].reshape(64, 64)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert (image.sum(), rows[0], rows[-1], columns[0], columns[-1]) == VECTORS[factors]


def test_every_original_at_hand_is_drawn_or_differs_in_one_pixel():
    """46,074 of 46,080 are equal, 6 differ in one pixel."""
    stored = files.read_npz(need("dsprites/dsprites_grid_46080.npz"))
    data, differing = datasets.dsprites(), []
    np.testing.assert_array_equal(data.factors(stored["index"]), stored["latents_classes"][:, 1:])
    for start in range(0, 46080, 2048):
        part = slice(start, start + 2048)
        original = np.unpackbits(stored["imgs_packed"][part], axis=1)
        differing.append((data[stored["index"][part]] != original).sum(axis=1))
    differing = np.concatenate(differing)
    assert len(differing) == 46080 and differing.max() <= 1 and differing.sum() <= 6


@needs_numba
@pytest.mark.parametrize("size", [64, 32, 16, 8, 61])
def test_both_forms_draw_the_same_bits(size):
    rows = some(300, seed=size)
    plain, fast = (datasets.dsprites(size=size, backend=backend)[rows] for backend in ("numpy", "numba"))
    assert plain.dtype == fast.dtype == np.float32 and plain.shape == fast.shape == (300, size * size)
    assert set(np.unique(plain)) == {0, 1} and (size == 8 or plain.any(axis=1).all())
    np.testing.assert_array_equal(plain, fast)


@needs_numba
def test_both_forms_fill_any_polygon():
    """Crossing themselves, reaching beyond the canvas, corners and edges on pixel centres: the rule, pixel by pixel."""
    rng = np.random.default_rng(0)
    corners = rng.integers(-1000, 4000, size=(60, 7, 2))
    corners[30:] = 256 * rng.integers(-2, 14, size=(30, 7, 2)) + 128
    plain, fast = np.zeros((2, 60, 11, 11), np.float32)
    module.fill_polygons(corners, plain)
    kernels.fill_polygons(corners, fast)
    np.testing.assert_array_equal(plain, fast)
    for polygon, image in zip(corners.tolist(), plain):
        for row in range(11):
            for column in range(11):
                inside = False
                for corner, following in zip(polygon, polygon[1:] + polygon[:1]):
                    (x1, y1), (x2, y2) = sorted((corner, following), key=lambda point: point[1])
                    if y1 < 256 * row + 128 <= y2:
                        inside ^= (256 * column + 128 - x1) * (y2 - y1) >= (256 * row + 128 - y1) * (x2 - x1)
                assert image[row, column] == inside


@pytest.mark.parametrize("size", [64, 32, 16])
def test_a_full_turn_is_no_turn(size):
    data = datasets.dsprites(size=size)
    factors = data.factors(some(500))
    first, last = (np.where(np.arange(5) == 2, turn, factors) for turn in (0, 39))
    np.testing.assert_array_equal(data.images(first), data.images(last))


def test_mean_ink_is_that_of_the_originals():
    """0.0425 over all 737,280; the mean over 20,000 at random has a standard error of 0.00015."""
    data, rows = datasets.dsprites(), some(20_000)
    assert abs(np.mean([data[rows[k : k + 1000]].mean() for k in range(0, 20_000, 1000)]) - 0.0425) < 0.0005


@pytest.mark.parametrize("size", [32, 16])
def test_smaller_canvases_show_the_same_outlines(size):
    """Where every fine pixel of a coarse one is on, its centre is inside, as squares and ellipses are convex."""
    fine, coarse, rows = datasets.dsprites(), datasets.dsprites(size=size), some(3000)
    step = 64 // size
    blocks = fine[rows].reshape(-1, size, step, size, step).mean(axis=(2, 4)).reshape(len(rows), -1)
    convex = fine.factors(rows)[:, 0] < 2
    assert (coarse[rows][convex][blocks[convex] == 1] == 1).all()
    assert np.abs(blocks - coarse[rows]).mean() < 0.5 * blocks.mean()
    assert abs(coarse[rows].mean() / blocks.mean() - 1) < 0.01


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_index_by_factors_and_from_parts(backend):
    data = datasets.dsprites(size=16, backend=backend)
    assert len(data) == 737_280 and data.sizes == (3, 6, 40, 32, 32) and data.binary and data.data_dim == 256
    assert data.factors([737_279, 33]).tolist() == [[2, 5, 39, 31, 31], [0, 0, 0, 1, 1]]
    rows = some(20)
    np.testing.assert_array_equal(data.images(data.factors(rows)), data[rows])
    np.testing.assert_array_equal(data.subset(rows)[5:9], data[rows[5:9]])
    assert data[7].shape == (256,) and data[5:5].shape == (0, 256) and data[-600:].shape == (600, 256)


def test_splits_cover_all_and_look_alike():
    train, test = datasets.dsprites("train", 16), datasets.dsprites("test", 16)
    assert (len(train), len(test)) == (727_280, 10_000)
    rows = np.concatenate([train.values.rows, test.values.rows])
    assert (np.bincount(rows) == 1).all() and len(rows) == 737_280
    every = datasets.dsprites(size=16)
    for part in (train, test):  # each value of each factor as often as it should be, from the beginning on
        factors = every.factors(part.values.rows[:5000])
        for f, size in enumerate(every.sizes):
            counts = np.bincount(factors[:, f], minlength=size)
            np.testing.assert_allclose(counts, 5000 / size, atol=5 * (5000 / size) ** 0.5)
        np.testing.assert_array_equal(part.labels[:5000], factors[:, 0])
        np.testing.assert_array_equal(part[:50], every.images(factors[:50]))
    np.testing.assert_array_equal(test.values.rows, datasets.dsprites("test", 32).values.rows)


def test_pairs_and_batches_share_what_they_should():
    data, rng = datasets.dsprites(size=16), np.random.default_rng(0)
    first, second = data.draw_pairs(500, rng, 1)
    assert (first[:, 1] == second[:, 1]).all() and ((first != second).mean(axis=0)[[0, 2, 3, 4]] > 0.5).all()
    fixed = data.draw_fixed(64, rng, 3)
    columns = data.images(fixed).reshape(64, 16, 16).sum(axis=1) @ (np.arange(16) + 0.5)
    centres = columns / data.images(fixed).sum(axis=1)
    round_ones = fixed[:, 0] < 2  # a heart's middle is not its centre
    np.testing.assert_allclose(centres[round_ones], 4 + 8 * fixed[0, 3] / 31, atol=0.35)


def test_nothing_is_stored():
    datasets.dsprites()[[0]]
    tracemalloc.start()
    data = datasets.dsprites()
    data[some(100)]
    assert tracemalloc.get_traced_memory()[0] < 100_000  # an image is 16,384 bytes
    tracemalloc.stop()


def test_a_model_trains_on_them():
    train = datasets.load("dsprites").subset(slice(0, 512))
    history = fit(VAE(4096, hidden=(16,), latent_dim=2), train, batch_size=64, epochs=2, progress=False)
    assert history["loss"][1] < history["loss"][0]


@pytest.fixture
def official(tmp_path, monkeypatch):
    """A file with the layout of the official one, of 24 images."""
    monkeypatch.setenv("VAE_FROM_SCRATCH_DATA", str(tmp_path))
    monkeypatch.setattr(module, "SIZES", (3, 1, 2, 2, 2))
    monkeypatch.setattr(module, "TEST", 4)
    images = np.random.default_rng(0).integers(0, 2, size=(24, 64, 64), dtype=np.uint8)

    def write(images=images, name="imgs"):
        (tmp_path / module.FILE).parent.mkdir(exist_ok=True)
        metadata = np.array({"title": "pickled, and never read"}, dtype=object)
        np.savez(tmp_path / module.FILE, metadata=metadata, **{name: images})
        return images

    return write


def test_the_official_file_is_read_if_there_is_one(official):
    images = official().reshape(24, -1)
    data = datasets.dsprites(source="file")
    np.testing.assert_array_equal(data[:], images)
    np.testing.assert_array_equal(data.images([[1, 0, 1, 0, 1]]), images[[13]])
    assert data[:].dtype == np.float32
    with refused("size 64 'file' 32 drawn"):
        datasets.dsprites(size=32, source="file")
    test = datasets.dsprites("test", source="file")
    assert len(test) == 4 and np.array_equal(test[:], images[test.values.rows])


@pytest.mark.parametrize(
    "images", [np.zeros((23, 64, 64), np.uint8), np.zeros((24, 64, 64)), np.full((24, 64, 64), 255, np.uint8)]
)
def test_a_file_of_another_kind_is_refused(images, official):
    official(images)
    with refused("imgs (24, 64, 64) uint8 0 1"):
        datasets.dsprites(source="file")
    official(name="images")
    with refused("imgs (24, 64, 64)"):
        datasets.dsprites(source="file")


def test_a_missing_file_says_where_to_put_it(monkeypatch, tmp_path):
    monkeypatch.setenv("VAE_FROM_SCRATCH_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    with refused(f"{module.FILE} {tmp_path}", FileNotFoundError):
        datasets.dsprites(source="file")


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: datasets.dsprites("valid"), ValueError, "split all train test 'valid'"),
        (lambda: datasets.dsprites(size=7), ValueError, "size 8 7"),
        (lambda: datasets.dsprites(size=32.0), TypeError, "size whole|integer 32.0"),
        (lambda: datasets.dsprites(source="web"), ValueError, "source drawn file 'web'"),
        (lambda: datasets.dsprites(backend="cuda"), ValueError, "backend numba numpy 'cuda'"),
        (lambda: datasets.dsprites().images([[3, 0, 0, 0, 0]]), ValueError, "shape 0 2 3"),
        (lambda: datasets.dsprites().indices([[0, 0, 0, 0, 32]]), ValueError, "posY 0 31 32"),
        (lambda: datasets.dsprites().images([0, 0, 0, 0, 0]), ValueError, "whole|integer (N, 5) shape scale posY"),
        (lambda: datasets.dsprites()[[737_280]], IndexError, "737280 images"),
        (lambda: fit(VAE(64), datasets.dsprites("test")), ValueError, "x (N, 64) 4096)"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(call, error, words):
    with refused(words, error):
        call()

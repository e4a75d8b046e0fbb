"""Promise: every figure shows its data, in colours that the colour-blind can tell apart, and needs no display."""

import numpy as np
import pytest
from helpers import python
from matplotlib.figure import Figure

from vae_from_scratch import VAE, datasets, fit, plots


@pytest.fixture(scope="module")
def trained():
    model, test = VAE(64, hidden=(16,), latent_dim=2), datasets.digits("test")
    return model, test, fit(model, datasets.digits(), epochs=2, x_valid=test, progress=False)


def test_learning_curves_keep_reconstruction_and_kl_apart(trained):
    _, _, history = trained
    axes = plots.learning_curves(history).axes
    titles = ["loss", "reconstruction: -log p(x|z)", "KL(q(z|x) || p(z))", "KL of each latent"]
    assert [ax.get_title() for ax in axes] == titles
    for ax, name in zip(axes, ("loss", "recon_nll", "kl")):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), history[name])
        np.testing.assert_array_equal(ax.lines[1].get_ydata(), history[f"valid_{name}"])
    assert len(axes[3].lines) == 2


def test_image_grid_puts_every_image_in_its_place():
    rows = [np.full((3, 6), 0.1 * (r + 1)) + 0.01 * np.arange(3)[:, None] for r in range(2)]
    canvas = plots.image_grid(rows, (2, 3)).axes[0].images[0].get_array()
    assert canvas.shape == (7, 13)
    for r in range(2):
        for c in range(3):
            np.testing.assert_allclose(canvas[3 * r + 1 : 3 * r + 3, 4 * c + 1 : 4 * c + 4], 0.1 * (r + 1) + 0.01 * c)


def test_scatter_and_traversals_name_what_they_show(trained):
    model, test, _ = trained
    mu, _ = model.encode(test[:])
    ax = plots.latent_scatter(mu, test.labels).axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z0", "z1")
    assert [text.get_text() for text in ax.texts] == list("0123456789")
    ax = plots.traversals(model, mu[0], np.array([0.5, 2.0]), (8, 8)).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["z1: 2.00 nats", "z0: 0.50 nats"]


def test_latents_are_drawn_by_rank_and_those_that_say_nothing_have_no_name():
    kl = np.array([[0.0, 1.0, 3.0], [0.0, 2.0, 1.0]])
    ax = Figure().subplots()
    plots.show_kl_per_latent(ax, [10, 20], kl, names=["first", "second", "third"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["second", "third", "others"]
    assert [line.get_color() for line in ax.lines] == [*plots.COLOURS[:2], "0.75"]
    for line, j in zip(ax.lines, (1, 2, 0), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), kl[:, j])


def test_a_traversal_row_moves_one_latent_from_minus_span_to_span():
    model = VAE(2, hidden=(), latent_dim=2, likelihood="gaussian", dtype="float64")
    model.params["decoder_W1"][...] = np.eye(2)
    (row,) = plots.traversal_rows(model, np.array([5.0, 7.0]), [1], span=2, steps=3)
    np.testing.assert_allclose(row, [[5, -2], [5, 0], [5, 2]])


def test_manifold_has_z0_to_the_right_and_z1_upward():
    model = VAE(2, hidden=(), latent_dim=2, likelihood="gaussian", dtype="float64")
    model.params["decoder_W1"][...] = np.eye(2)
    top, *_, bottom = plots.manifold_rows(model, span=2, steps=5)
    np.testing.assert_allclose(top, [[-2, 2], [-1, 2], [0, 2], [1, 2], [2, 2]])
    np.testing.assert_allclose(bottom[:, 1], -2)


def lightness_and_hue(colour, blindness):
    """CIELAB of an sRGB colour as a dichromat sees it (Vienot et al. 1999, one matrix on linear RGB)."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = {
        "none": np.eye(3),
        "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    }[blindness]
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(seen @ linear, 0, 1)
    f = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 0.008856))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("blindness", ["none", "protan", "deutan"])
def test_colours_can_be_told_apart(blindness):
    seen = np.array([lightness_and_hue(colour, blindness) for colour in plots.COLOURS])
    distances = np.linalg.norm(seen[:, None] - seen, axis=2)[np.triu_indices(len(seen), 1)]
    assert distances.min() > 9 and np.linalg.norm(seen[0] - seen[2]) > 40  # train and test lines


def test_neither_matplotlib_nor_numba_is_imported_before_it_is_needed():
    code = "import sys, vae_from_scratch.cli; print(*{'matplotlib', 'numba'} & {*sys.modules})"
    assert python("-c", code) == "\n"

"""Promise: every figure shows its data, in colours that the colour-blind can tell apart, and needs no display."""

import importlib
import io
import os
import signal
import sys
import threading
import xml.etree.ElementTree as xml

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from helpers import ROOT, python, refused, run
from matplotlib.figure import Figure

from vae_from_scratch import VAE, Autoencoder, cli, datasets, fit, plots
from vae_from_scratch.cli import compare
from vae_from_scratch.engine import files


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


def test_an_autoencoder_has_one_panel_without_a_kl():
    history = fit(Autoencoder(64, (5,), 2), datasets.digits()[:200], epochs=2, progress=False)
    assert [ax.get_title() for ax in plots.learning_curves(history).axes] == ["loss"]


def test_the_first_epoch_does_not_flatten_the_others_and_it_is_said():
    history = {"epoch": [*range(1, 11)], "loss": [900.0, *np.linspace(30, 20, 9)], "valid_loss": [*np.linspace(31, 21, 10)]}
    (ax,) = plots.learning_curves(history).axes
    low, high = ax.get_ylim()
    assert 19 < low < 20 and 30 < high < 32
    assert "epoch (not drawn: the start, up to 900)" == ax.get_xlabel()
    (ax,) = plots.learning_curves(history | {"loss": [35.0, *history["loss"][1:]]}).axes  # not far above the others
    assert ax.get_ylim()[1] > 35 and ax.get_xlabel() == "epoch"


def test_a_history_without_an_epoch_has_no_curves_and_this_is_said():
    def stop(model, examples):
        signal.raise_signal(signal.SIGINT)  # Ctrl-C

    model, how = VAE(64, (4,), 2, backend="numpy"), {"progress": False, "gradient_norms": True}
    history = fit(model, datasets.digits()[:200], **how, callback=stop, callback_at=[100])
    assert history["epoch"] == []
    for draw in (plots.learning_curves, plots.gradient_norms):
        with refused("history no epoch first train"):
            draw(history)
        for wrong in (model, {}):
            with refused(f"history fit epoch {type(wrong).__name__}"):
                draw(wrong)
    with refused("kl_per_latent (T, Z) 0 (0,)"):
        plots.show_kl_per_latent(Figure().subplots(), history["epoch"], history["kl_per_latent"])


def image_of(figure):
    """The pixels of a figure, as they are written, (rows, columns, 3) from 0 to 1."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    content.seek(0)
    return matplotlib.image.imread(content)[:, :, :3]


@pytest.mark.parametrize("columns, image_shape", [(1, (8, 8)), (11, (8, 8)), (15, (28, 28)), (10, (64, 64)), (10, (28, 20)), (3, (5, 40))])
def test_every_line_between_images_is_there_and_all_are_of_one_width(columns, image_shape):
    figure = plots.image_grid(np.ones((4, columns, image_shape[0] * image_shape[1])), image_shape, title="t", value_range=(0, 1))
    grey = np.abs(image_of(figure) - 128 / 255).max(axis=2) < 0.01
    for axis, size, count in ((1, image_shape[1], columns), (0, image_shape[0], 4)):
        along = grey.sum(axis=1 - axis) > 0.8 * grey.sum(axis=1 - axis).max()  # rows or columns of pixels that are lines
        starts, ends = (np.flatnonzero(np.diff(np.pad(along.astype(int), 1)) == step) for step in (1, -1))
        scale = {*(ends - starts)}
        assert len(starts) == count + 1 and len(scale) == 1
        assert {*np.diff(starts)} == {scale.pop() * (size + 1)}


@pytest.mark.parametrize("dpi, within", [(60, False), (90, False), (100, False), (137, False), (100, True)])
def test_lines_are_there_in_a_figure_of_ones_own_at_any_resolution(dpi, within):
    figure = Figure(figsize=(5, 4), dpi=dpi, layout="constrained")
    part = figure.subfigures(2, 1, height_ratios=(1, 2))[1] if within else figure
    plots.show_grid(part.subplots(2, 1)[1], np.ones((2, 9, 64)), (8, 8), (0, 1))
    grey = np.abs(image_of(figure) - 128 / 255).max(axis=2) < 0.01
    row = grey[np.flatnonzero(grey.any(axis=1))[-1] - int(dpi / 8)]  # through the last row of images
    starts, ends = (np.flatnonzero(np.diff(np.pad(row.astype(int), 1)) == step) for step in (1, -1))
    assert len(starts) == 10 and {*np.diff(starts)} == {9 * (ends - starts)[0]}
    outer = np.flatnonzero(np.diff(np.pad(grey[:, starts[0]].astype(int), 1)))[-2:]  # the line at the left
    assert np.diff(outer) == 19 * (ends - starts)[0]  # the images are square


@pytest.mark.parametrize("title", ["", "many words " * 9, "\n".join(["three lines"] * 3)])
def test_the_words_of_a_small_figure_are_not_cut(title):
    figure = plots.image_grid([np.ones((1, 64))], (8, 8), title=title, note=title) if title else plots.samples(np.ones((1, 64)), (8, 8))
    figure.savefig(io.BytesIO(), format="png")
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1, text


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0, 0.5], (0, 1)), ([0, 1], (0, 1)), ([-1, 0.5, 1], (-1, 1)), ([0, 255], (0, 255)), ([0, 0.004], (0, 0.004)),
        ([-1, np.nan, np.inf, 3], (-1, 3)), ([7, 7], (6.5, 7.5)), ([np.nan], (0, 1)), ([0, 0], (0, 1)),
    ],
)  # fmt: skip
def test_the_range_is_that_of_the_data(values, expected):
    assert plots.image_range(np.array(values)) == pytest.approx(expected)


def test_images_from_minus_one_to_one_are_not_clipped_and_the_figure_says_so():
    x = np.linspace(-1, 1, 6).reshape(1, 6)
    figure = plots.samples(x, (1, 6))
    assert figure.axes[0].images[0].get_clim() == (-1, 1) and figure.texts[-1].get_text() == "black is -1, white is 1"
    shades, counts = np.unique(np.rint(image_of(figure)[:, :, 0] * 255), return_counts=True)
    assert {0, 51, 102, 153, 204, 255} <= {*shades[counts >= 80]}  # six values, six greys
    assert plots.samples(x, (1, 6), value_range=(-2, 2)).axes[0].images[0].get_clim() == (-2, 2)


def test_colour_is_shown_in_colour():
    x = np.zeros((2, 2, 3, 3))
    x[0, :, :, 0], x[1, :, :, 2] = 1, 1
    figure = plots.image_grid([2 * x.reshape(2, 18) - 1], (2, 3, 3))
    canvas = figure.axes[0].images[0].get_array()
    assert canvas.shape == (4, 9, 3)
    np.testing.assert_allclose(canvas[1:3, 1:4], np.broadcast_to([1, 0, 0], (2, 3, 3)))
    np.testing.assert_allclose(canvas[1:3, 5:8], np.broadcast_to([0, 0, 1], (2, 3, 3)))
    assert figure.texts[-1].get_text() == "no colour is -1, full colour is 1"
    with refused("image_shape rows columns (2, 3, 4)"):
        plots.image_grid([np.zeros((1, 24))], (2, 3, 4))


def test_shapes_and_ranges_may_be_arrays_as_frames_have_them():
    x = np.linspace(0, 1, 24).reshape(2, 12)
    for shape in ((3, 4), (2, 2, 3)):
        known, given = (plots.samples(x, kind(shape), value_range=kind((0, 2))) for kind in (tuple, np.array))
        np.testing.assert_array_equal(*(figure.axes[0].images[0].get_array() for figure in (known, given)))
        one = plots.samples(x, shape, value_range=[1, 1]).axes[0].images[0]  # both ends alike, as of constant data
        assert np.isfinite(one.get_array()).all() and one.get_clim() in ((0.5, 1.5), (0, 1))


@pytest.mark.parametrize("wrong", [(1, 0), 1, "01", (0, 1, 2), (0, np.nan), (None, 1), (0, "1"), np.zeros((2, 2))[:1]])
def test_a_range_is_two_numbers_the_lower_one_first(wrong, trained):
    model, test, _ = trained
    for call in (
        lambda: plots.samples(test[:2], (8, 8), value_range=wrong),
        lambda: plots.reconstructions(model, test[:2], (8, 8), wrong),
        lambda: plots.show_grid(Figure().subplots(), [test[:2]], (8, 8), wrong),
    ):
        with refused("value_range two numbers (0, 1) lower first"):
            call()


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


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda model, x: {"z": model.encode(x[:1])}, "z mu[0] encode (2,) tuple (2, 1, 2)"),
        (lambda model, x: {"z": model.encode(x)[0]}, "z one (2,) mu[0] (9, 2)"),
        (lambda model, x: {"z": np.zeros(3)}, "z (2,) (3,)"),
        (lambda model, x: {"z": None}, "z (2,) NoneType"),
        (lambda model, x: {"z": np.zeros(2, int)}, "z int64 floats astype"),
        (lambda model, x: {"kl_per_latent": None}, "kl_per_latent (2,) evaluate None Autoencoder traversal_rows"),
        (lambda model, x: {"kl_per_latent": np.ones(3)}, "kl_per_latent (2,) (3,)"),
        (lambda model, x: {"x": x[:1]}, "x one (64,) x[0] (1, 64)"),
        (lambda model, x: {"steps": 0}, "steps 1 0"),
    ],
)
def test_traversals_are_of_one_code(make, words, trained):
    model, test, _ = trained
    with refused(words):
        plots.traversals(**{"model": model, "z": np.zeros(2), "kl_per_latent": np.ones(2), "image_shape": (8, 8)} | make(model, test[:9]))


def test_rows_of_a_traversal_are_of_one_code(trained):
    model, test, _ = trained
    with refused("z one (2,) mu[0] (2, 1, 2)"):
        plots.traversal_rows(model, model.encode(test[:1]), [0])


def test_traversals_say_which_latents_are_left_out_and_why():
    def drawn(kl):
        model = VAE(4, (3,), len(kl))
        figure = plots.traversals(model, np.zeros(len(kl), np.float32), np.array(kl), (2, 2), most=3, x=np.ones(4))
        return [label.get_text() for label in figure.axes[0].get_yticklabels()], figure.texts[-1].get_text().split("\n")[:-1]

    labels, words = drawn([0.5, 0, 2, 1, 0.3, 0])
    assert labels == ["image, E[x|z]", "z2: 2.00 nats", "z3: 1.00 nats", "z0: 0.50 nats"]
    assert words == [
        "latents left out: 1 with less KL (0.30 nats or less), for want of room", "and 2 below 0.01 nats: moving them changes nothing",
    ]  # fmt: skip
    labels, words = drawn([0.5, 0, 0, 0])
    assert labels[1:] == ["z0: 0.50 nats", "z1: 0.00 nats"]
    assert words == ["latents left out: 2 more below 0.01 nats: moving them changes nothing"]
    assert drawn([0.5, 2])[1] == []


def test_the_readable_image_is_the_one_that_comes_back_best():
    model = Autoencoder(2, (), 1, likelihood="gaussian", dtype="float64")
    model.params["encoder_W1"][...], model.params["decoder_W1"][...] = [[1], [0]], [[1, 0]]  # keeps the first coordinate
    assert plots.readable(model, np.array([[0.1, 3.0], [4.0, 0.5], [-3.0, -2.0], [0.0, 0.1]])) == 1


NATURAL_MISTAKES = {  # what is done: (call, words of the one line)
    "no image": (lambda model, x, shape: plots.reconstructions(model, x[:0], shape), "no image one"),
    "no sample": (lambda model, x, shape: plots.samples(x[:0], shape), "no image one"),
    "no row": (lambda model, x, shape: plots.show_grid(Figure().subplots(), [], shape), "no image one"),
    "a side for a shape": (lambda model, x, shape: plots.reconstructions(model, x, 8), "image_shape rows columns 8"),
    "no shape": (lambda model, x, shape: plots.samples(x, None), "image_shape rows columns None"),
    "no column": (lambda model, x, shape: plots.samples(x, shape, columns=0), "columns 1 0"),
    "the pair of encode": (lambda model, x, shape: plots.manifold(model, shape, codes=model.encode(x)), "codes pair mu logvar"),
    "no code": (lambda model, x, shape: plots.manifold(model, shape, codes=x[:0, :2]), "codes empty one None"),
    "codes of one latent": (lambda model, x, shape: plots.manifold(model, shape, codes=x[:, :1]), "codes 2 (9, 1)"),
    "no step": (lambda model, x, shape: plots.manifold(model, shape, steps=0), "steps 1 0"),
    "labels as rows": (lambda model, x, shape: plots.latent_scatter(x, np.eye(9)), "labels (9,) (9, 9) argmax"),
    "labels in a column": (lambda model, x, shape: plots.latent_scatter(x, np.ones((9, 1))), "labels (9,) (9, 1) labels[:, 0]"),
    "a label for all": (lambda model, x, shape: plots.latent_scatter(x, 3), "labels (9,) shape ()"),
    "swapped": (lambda model, x, shape: plots.save("a.png", plots.samples(x, shape)), "figure str save(figure, path)"),
    "no name": (lambda model, x, shape: plots.save(plots.samples(x, shape), None), "path file None"),
    "no run": (lambda model, x, shape: plots.sweep([], "elbo", "beta"), "rows empty one"),
}


@pytest.mark.parametrize("call, words", NATURAL_MISTAKES.values(), ids=NATURAL_MISTAKES)
def test_a_natural_mistake_is_answered_in_its_own_words(call, words, trained):
    model, test, _ = trained
    with refused(words):
        call(model, test[:9], (8, 8))


# ---- labels ------------------------------------------------------------------------------------------


def test_labels_of_many_values_are_one_scatter_on_a_scale():
    codes, labels = np.random.default_rng(0).normal(size=(5000, 2)), np.linspace(0, 1, 5000)
    figure = plots.latent_scatter(codes, labels)
    ax, bar = figure.axes
    assert len(ax.collections) == 1 and not ax.texts and bar.get_ylabel() == "label (5000 values)"
    np.testing.assert_array_equal(ax.collections[0].get_array(), labels)
    bar = plots.latent_scatter(codes[:42], np.array([f"name {k:02}" for k in range(42)])).axes[1]
    assert [label.get_text() for label in bar.get_yticklabels()][::4] == ["name 00", "name 41"]


def test_a_dollar_in_a_name_is_a_dollar(tmp_path):
    """Two of them would begin and end a formula, here a broken one, which is an error when the figure is saved."""
    name = r"$\nix$"
    codes = np.random.default_rng(0).normal(size=(42, 2))
    names = np.array([f"{name}{k:02}" for k in range(42)])
    rows = [{"elbo": k, "data": name + str(k % 2), "lr": k // 2, "seed": 0} for k in range(4)]
    figures = [plots.latent_scatter(codes, names), plots.latent_scatter(codes, names[np.arange(42) % 3])]
    figures += [plots.factor_matrices([("a", np.eye(2), [name, name], "b")])]
    figures += [plots.sweep(rows, "elbo", "data"), plots.sweep(rows, "elbo", "lr", ["data"])]
    for number, figure in enumerate(figures):
        plots.save(figure, tmp_path / f"{number}.svg")


@pytest.mark.parametrize("many", [False, True])
def test_examples_without_a_label_are_grey(many):
    codes, labels = np.arange(120.0).reshape(60, 2), np.arange(60.0) if many else np.arange(60.0) % 3
    labels[:7] = np.nan
    ax = plots.latent_scatter(codes, labels).axes[0]
    assert len(ax.collections) == (2 if many else 4) and [text.get_text() for text in ax.texts] == ["0.0", "1.0", "2.0"] * (not many)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), codes[:7])
    assert ax.collections[0].get_facecolor()[0, :3] == pytest.approx(0.75)
    assert sum(len(points.get_offsets()) for points in ax.collections) == 60


def test_no_two_colours_are_grey():
    spread = [np.ptp([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) for colour in plots.COLOURS]
    assert sum(width < 20 for width in spread) == 1, spread


def test_at_most_eight_latents_have_a_name_and_the_others_are_one_grey():
    kl = np.outer([1, 2], np.arange(50) / 10)
    ax = Figure().subplots()
    plots.show_kl_per_latent(ax, [1, 2], kl)
    legend, colours = ax.get_legend(), [line.get_color() for line in ax.lines]
    assert [text.get_text() for text in legend.get_texts()] == [f"z{j}" for j in range(49, 41, -1)]
    assert legend.get_title().get_text() == "grey: 41 smaller, 1 silent"
    assert len({*colours[:8]}) == 8 and {*colours[8:]} == {"0.75"}


def test_silent_latents_are_hatched_in_a_matrix():
    panel = ("t", np.array([[0.2, 0.0, 0.9], [0.1, 0.3, 0.4]]), ("row", "column"), "what")
    figure = plots.factor_matrices([panel], silent=np.array([False, True, False]))
    (ax, _), (box,) = figure.axes, figure.axes[0].patches
    assert box.get_hatch() and box.get_x() == 0.5 and [text.get_text() for text in ax.texts] == ["0.20", "0.90", "0.10", "0.40"]
    assert "hatched" in figure.get_supxlabel()
    assert not plots.factor_matrices([panel]).axes[0].patches
    blank = ("t", np.where([True, False, True], panel[1], np.nan), *panel[2:])
    assert plots.factor_matrices([blank]).axes[0].patches[0].get_x() == 0.5


def test_latents_are_drawn_by_rank_and_those_that_say_nothing_have_no_name():
    kl = np.array([[0.0, 1.0, 3.0], [0.0, 2.0, 1.0]])
    ax = Figure().subplots()
    plots.show_kl_per_latent(ax, [10, 20], kl, names=["first", "second", "third"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["second", "third"]
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


def test_manifold_is_where_the_codes_are_and_has_ticks():
    model = VAE(2, hidden=(), latent_dim=2, likelihood="gaussian", dtype="float64")
    codes = np.stack([np.linspace(3, 5, 101), np.linspace(-1, 1, 101)], axis=1)
    ax = plots.manifold(model, (1, 2), codes=codes).axes[0]
    words = [[label.get_text() for label in labels if label.get_text()] for labels in (ax.get_xticklabels(), ax.get_yticklabels())]
    assert words[0][0] == "3.0" and words[0][-1] == "5.0" and words[1][0] == "1.0" and words[1][-1] == "-1.0"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z0", "z1") and len(words[0]) == 8


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


def test_plots_is_there_after_import_and_still_imports_nothing_before():
    code = "import sys, vae_from_scratch as v; print('matplotlib' in sys.modules, v.plots.COLOURS[0], 'matplotlib' in sys.modules)"
    assert python("-c", code) == f"False {plots.COLOURS[0]} True\n"
    with pytest.raises(AttributeError, match="has no attribute 'plot'"):
        __import__("vae_from_scratch").plot


# ---- files -------------------------------------------------------------------------------------------


def small():
    return plots.samples(np.ones((2, 4)), (2, 2))


STARTS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.mark.parametrize("ending", ["png", "pdf", "svg", "PDF"])
def test_a_file_holds_what_its_ending_says_and_the_same_bits_each_time(ending, tmp_path):
    for name in ("a", "b"):
        plots.save(small(), tmp_path / f"{name}.{ending}")
    content = (tmp_path / f"a.{ending}").read_bytes()
    assert content.startswith(STARTS[ending.lower()]) and content == (tmp_path / f"b.{ending}").read_bytes()
    if ending == "svg":
        assert xml.fromstring(content).tag.endswith("svg")


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.gz", "folder.png"])
def test_other_endings_are_refused_and_nothing_is_written(name, tmp_path):
    (tmp_path / "folder.png").mkdir()
    with refused(f".png .pdf .svg got {name}"):
        plots.save(small(), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.pdf").write_text("old")
    try:
        (tmp_path / "a.pdf").symlink_to(tmp_path / "there" / "a.pdf")
    except OSError:
        pytest.skip("no links here")
    plots.save(small(), tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").is_symlink() and (tmp_path / "there" / "a.pdf").read_bytes().startswith(STARTS["pdf"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_whatever_is_saved_goes_through_a_pipe(tmp_path):
    """As with a device, which would otherwise be replaced by a file."""
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    files.write(tmp_path / "pipe", lambda file: file.write(b"all of it"))
    reader.join(30)
    assert got == [b"all of it"] and [each.name for each in tmp_path.iterdir()] == ["pipe"] and (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name, kind", [("pipe", "png"), ("pipe.svg", "svg")])
def test_a_pipe_is_written_through(name, kind, tmp_path):
    os.mkfifo(tmp_path / name)
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / name).read_bytes()), daemon=True)
    reader.start()
    plots.save(small(), tmp_path / name)
    reader.join(30)
    assert got[0].startswith(STARTS[kind]) and (tmp_path / name).is_fifo()


# ---- machines ----------------------------------------------------------------------------------------

DRAW = """
import sys, hashlib, numpy as np, vae_from_scratch as v
codes = np.random.default_rng(0).normal(size=(60, 2))
history = {"epoch": [1, 2], "loss": [3.0, 2.0]}
panel = ("t", np.eye(2), ("row", "column"), "what")
for figure in (
    v.plots.samples(codes, (1, 2)), v.plots.latent_scatter(codes, codes[:, 0] > 0), v.plots.learning_curves(history),
    v.plots.factor_matrices([panel]),
):
    print(hashlib.sha256(figure._repr_png_()).hexdigest())
"""
SETTINGS = """backend: tkagg
font.size: 30
figure.facecolor: black
savefig.dpi: 20
savefig.bbox: tight
text.usetex: True
axes.grid: True
"""


@pytest.fixture(scope="module")
def hashes():
    return python("-c", DRAW, MPLBACKEND="")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no such backend", "tkagg"])
def test_figures_do_not_depend_on_a_backend_that_was_left_over(backend, hashes):
    assert python("-c", DRAW, MPLBACKEND=backend) == hashes


@pytest.mark.slow
def test_figures_do_not_depend_on_a_matplotlibrc(hashes, tmp_path):
    (tmp_path / "matplotlibrc").write_text(SETTINGS)
    assert python("-c", DRAW, MATPLOTLIBRC=tmp_path / "matplotlibrc") == hashes


def test_the_settings_and_the_backend_of_the_user_are_left_as_they_were():
    code = "import os, vae_from_scratch.plots, matplotlib as m; print(m.rcParams['backend'], os.environ['MPLBACKEND'])"
    assert python("-c", code, MPLBACKEND="svg") == "svg svg\n"
    with matplotlib.rc_context({"font.size": 31}):
        small()._repr_png_()
        assert matplotlib.rcParams["font.size"] == 31


def test_a_notebook_shows_a_figure():
    assert small()._repr_png_().startswith(STARTS["png"])


# ---- runs --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_numbers_are_printed_and_saved_before_anything_is_drawn(folder, monkeypatch, capsys):
    def look(*arguments):
        assert "ELBO" in capsys.readouterr().out
        assert {"model.npz", "history.csv", "config.json"} <= {path.name for path in (folder / "r").iterdir()}
        looked.append(arguments)

    looked = []
    monkeypatch.setattr(cli.train, "draw_figures", look)
    run("train --epochs 1 --quiet --out r")
    assert len(looked) == 1


def test_a_figure_that_fails_is_a_note(folder, monkeypatch, capsys):
    monkeypatch.setattr(plots, "latent_scatter", lambda *arguments, **settings: 1 / 0)
    run("train --epochs 1 --quiet --out r")
    printed, notes = capsys.readouterr()
    assert "note: latents.png was not drawn: division by zero\n" in notes and "ELBO" in printed
    drawn = ["learning_curves.png", "reconstructions.png", "samples.png", "traversals.png"]
    assert sorted(path.name for path in (folder / "r" / "figures").iterdir()) == drawn
    monkeypatch.setattr(plots, "image_range", lambda *arguments: 1 / 0)
    run("train --epochs 1 --quiet --out s")
    printed, notes = capsys.readouterr()
    assert "note: figures were not drawn: division by zero\n" in notes and "figures:" not in printed


def test_a_run_says_which_of_many_latents_its_codes_are_shown_in(folder, monkeypatch):
    saved = {}
    monkeypatch.setattr(plots, "save", lambda figure, path: saved.update({path.stem: figure}))
    run("train --epochs 1 --quiet --out r --model autoencoder --latent-dim 4")
    (ax,) = saved["latents"].axes
    assert ax.get_title() == "codes of the test images\nin the two latents with the most variance"
    image_of(saved["latents"])
    box = ax.title.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= saved["latents"].bbox.x1


def test_one_sample_is_one():
    assert [plots.samples(np.ones((n, 4)), (2, 2)).texts[0].get_text().split(":")[0] for n in (1, 2)] == ["sample", "samples"]


def test_a_run_on_data_of_any_range_has_figures_of_that_range(folder, monkeypatch):
    saved, save = {}, plots.save
    monkeypatch.setattr(plots, "save", lambda figure, path: (saved.update({path.stem: figure}), save(figure, path)))
    np.save("mine.npy", (2 * datasets.digits()[:200] - 1).reshape(-1, 8, 8))
    run("train --epochs 1 --quiet --out r --data mine.npy --likelihood gaussian --latent-dim 2")
    for name in ("samples", "manifold", "traversals", "reconstructions"):
        assert saved[name].axes[0].images[0].get_clim() == (-1, 1), name
        assert saved[name].texts[-1].get_text().endswith("black is -1, white is 1")
    monkeypatch.setattr(plots, "save", lambda figure, path: saved.update(last=figure))
    for command in ("sample r --n 3 --out a.png", "traverse r --out a.png"):
        run(command)
        assert saved["last"].axes[0].images[0].get_clim() == (-1, 1), command


def test_out_is_written_as_it_ends_and_refused_before_anything_is_computed(folder, monkeypatch, capsys):
    monkeypatch.setattr(cli.train, "draw_figures", lambda *arguments: None)
    run("train --epochs 1 --quiet --out r --data blobs --latent-dim 3")
    run("sample r --n 1 --out a.pdf")
    run("traverse r --out a.svg")
    run("score r --score mig --points 100 --repeats 1 --quiet")  # there is no r/figures yet
    for path, kind in (("a.pdf", "pdf"), ("a.svg", "svg"), ("r/figures/scores.png", "png")):
        assert (folder / path).read_bytes().startswith(STARTS[kind])
    monkeypatch.setattr(VAE, "sample", lambda *arguments: 1 / 0)
    monkeypatch.setattr(cli.look, "evaluate", lambda *arguments, **settings: 1 / 0)
    for command in ("sample", "traverse"):
        for path, words in (("a.jpg", "ends in .png, .pdf or .svg, got a.jpg"), ("no/a.png", "there is no folder no")):
            assert cli.main([command, "r", "--out", path]) == 2
            assert words in capsys.readouterr().err


# ---- the figures of README, the examples and the notes ---------------------------------------------------

WIDE = {"explorer.png": 1200}  # what a browser shows


@pytest.mark.parametrize("folder, most, kilobytes", [("examples", 900, 500), ("derivations", 1060, 300)])  # a column has some 840
def test_no_figure_of_a_page_is_wider_than_a_column_can_show_or_slow_to_load(folder, most, kilobytes):
    found = sorted((ROOT / folder / "figures").glob("*.png"))
    assert len(found) > 20
    for path in found:
        content = path.read_bytes()
        width, size = int.from_bytes(content[16:20], "big"), len(content)
        assert width <= WIDE.get(path.name, most) and size <= 1000 * kilobytes, path.name


@pytest.fixture
def example(monkeypatch):
    """Import an example by name, with what it shares beside it."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    yield importlib.import_module
    for path in (ROOT / "examples").glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_the_colours_of_beta_blobs_have_a_bar(example):
    data = datasets.blobs(size=8, positions=8)
    models = {beta: VAE(data.data_dim, (3,), 5, backend="numpy") for beta in (1, 150)}
    figure = example("beta_blobs").draw(models, data, [np.arange(5.0)] * 2)
    bars = [ax for ax in figure.axes if ax.get_ylabel() == "mean of q"]
    assert [[tick for tick in ax.get_yticks() if abs(tick) <= 3] for ax in bars] == [[-3, 0, 3]] * 2
    maps = [image for ax in figure.axes for image in ax.images if image.get_cmap().name == "RdBu"]
    assert len(maps) == 8 and {image.get_clim() for image in maps} == {(-3, 3)}


def test_a_colour_of_beta_capacity_is_one_factor_and_small_latents_have_no_name(example, tmp_path):
    data, latents = datasets.dsprites(size=16), example("latents")
    watch = latents.Watch(tmp_path / "results.csv", data, n=2)
    nats, follows = [9.0, 0.09, 5.0, 4.0, 0.2], [3, 4, 3, 4, None]
    for images in (1, 2):
        shares = {f"share_{j}_{f}": 0.9 if f == mine else 0.01 for j, mine in enumerate(follows) for f in range(5)}
        row = {f"kl_{j}": value * images / 2 for j, value in enumerate(nats)}
        watch.results.add(images=images, kl=sum(nats), capacity=float(images), **row, **shares)
    each, results = {f"alone_{name}": 1.0 for name in data.factor_names} | {"kl": 9.0}, example("runner").Results(tmp_path / "r.csv", ())
    results.rows = [{"seed": seed, "capacity": capacity, **each} for seed in (0, 1) for capacity in (1, 2)]
    left, right = example("beta_capacity").draw(results, watch, data.factor_names).axes
    of = {line.get_label(): line.get_color() for line in right.lines if line.get_label() in data.factor_names}
    assert len({*of.values()}) == 5
    named = {text.get_text(): line for text, line in zip(left.get_legend().get_texts(), left.lines)}
    assert [*named] == ["z0: posX 90 %", "z2: posX 90 %", "z3: posY 90 %", "z4: none alone"]
    colours = [line.get_color() for line in named.values()]
    assert colours[:3] == [of["posX"], of["posX"], of["posY"]] and colours[3] not in of.values()
    assert [line.get_linestyle() for line in named.values()] == ["-", "--", "-", "-"]
    assert left.lines[-1].get_color() == "0.75" and left.get_legend().get_title().get_text() == "grey: 1 below 0.1 nats"


def test_a_kl_that_is_not_finite_is_left_out_of_the_limits():
    ax, kl = Figure().subplots(), np.ones((6, 3))
    kl[0, 0], kl[3, 1] = np.inf, np.nan
    plots.curves.show_kl_per_latent(ax, np.arange(6), kl)
    assert np.isfinite(ax.get_ylim()).all()


@pytest.mark.parametrize("width", [1e-5, 0.03, 0.6, 5, 100])
def test_the_ticks_of_a_narrow_plane_differ(width):
    model = VAE(2, (3,), 2)
    ax = plots.manifold(model, (1, 2), codes=np.random.default_rng(0).uniform(-width, 0.4 * width, size=(200, 2)) - 0.2).axes[0]
    for ticks in (ax.get_xticklabels(), ax.get_yticklabels()):
        shown = [label.get_text() for label in ticks if label.get_text()]
        assert len(shown) == len(set(shown)) > 3 and all("." in text for text in shown)


def test_a_word_as_a_label_is_small_and_no_circle_that_hides_the_codes():
    codes = np.random.default_rng(0).normal(size=(40, 2))
    (ax,) = plots.latent_scatter(codes, np.where(codes[:, 0] > 0, "ankle boot", "7")).axes
    short, long = sorted(ax.texts, key=lambda text: len(text.get_text()))
    assert long.get_fontsize() < short.get_fontsize()
    shapes = [type(text.get_bbox_patch().get_boxstyle()).__name__ for text in (short, long)]
    assert shapes == ["Circle", "Round"]


def test_twelve_combinations_of_a_sweep_look_different():
    rows = [{"beta": beta, "seed": 0, "latent_dim": z, "elbo": -z - beta} for z in range(1, 13) for beta in (1, 2)]
    (ax,) = plots.sweep(rows, "elbo", "beta", ["latent_dim"]).axes
    means = [line for line in ax.lines if line.get_label().startswith("latent dim")]
    assert len({(line.get_color(), line.get_linestyle()) for line in means}) == 12


@pytest.mark.parametrize("tested", [True, False])
def test_compare_draws_all_runs_on_one_kind_of_data_and_names_it(tested):
    one = {name: np.array([3.0, 2.0]) for name in ("epoch", "loss", "recon_nll", "kl")}
    both = one | {f"valid_{name}": value + 1 for name, value in one.items()}
    figure = compare.draw({"a": both, "b": both if tested else one})
    assert ("test" if tested else "training") in figure.axes[0].get_ylabel()
    for line in figure.axes[0].lines:
        np.testing.assert_array_equal(line.get_ydata(), one["loss"] + tested)

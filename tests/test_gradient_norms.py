"""Promise: on request a run keeps the norm of every layer's gradient, which is what the gradients say, through a resume too."""

import csv

import numpy as np
import pytest
import user_file
from helpers import refused, timeless

from vae_from_scratch import SGD, VAE, BetaVAE, fit, plots
from vae_from_scratch.cli import main, train
from vae_from_scratch.engine.checkpoints import square_norm
from vae_from_scratch.engine.files import has_checkpoint

X = np.random.default_rng(0).uniform(size=(10, 6))
SETTINGS = dict(batch_size=4, epochs=3, progress=False)
LAYERS = ["encoder_1", "encoder_2", "decoder_1", "decoder_2"]


def model(kind=VAE):
    return kind(6, (5,), 2, dtype="float64", backend="numpy")


class Recorder(SGD):
    """Keeps the gradients that it is handed."""

    def __init__(self):
        super().__init__(lr=0.1)

    def step(self, params, grads, state, kernels=None):
        taken.append({name: grad.copy() for name, grad in grads.items()})
        super().step(params, grads, state, kernels)


taken: list = []


def test_they_are_the_means_of_the_norms_of_what_the_steps_took():
    taken.clear()
    history = fit(model(), X, Recorder(), gradient_norms=True, **SETTINGS)
    assert [list(row) for row in history["gradient_norms"]] == 3 * [LAYERS]
    first = [np.sqrt((grads["encoder_W1"] ** 2).sum() + (grads["encoder_b1"] ** 2).sum()) for grads in taken]
    for epoch in range(3):  # batches of 4, 4 and 2
        expected = np.average(first[3 * epoch : 3 * epoch + 3], weights=[4, 4, 2])
        assert history["gradient_norms"][epoch]["encoder_1"] == pytest.approx(expected, rel=1e-12)


def test_nothing_is_kept_or_computed_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setattr("vae_from_scratch.engine.checkpoints.square_norm", lambda array: 1 / 0)
    assert "gradient_norms" not in fit(model(), X, **SETTINGS)


def test_looking_at_gradients_changes_nothing():
    with_norms, without = (fit(model(), X, gradient_norms=norms, **SETTINGS) for norms in (True, False))
    assert with_norms["loss"] == without["loss"]


def test_a_stopped_run_has_the_norms_of_the_unbroken_one(tmp_path):
    def stop(model, examples):
        raise KeyboardInterrupt

    whole = fit(model(), X, checkpoint=tmp_path / "whole", gradient_norms=True, **SETTINGS)
    stopped = dict(checkpoint=tmp_path / "r", checkpoint_seconds=0, gradient_norms=True, **SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        fit(model(), X, callback=stop, callback_at=[18], **stopped)  # in the second epoch
    assert has_checkpoint(tmp_path / "r")
    assert timeless(fit(model(), X, resume=True, **stopped)) == timeless(whole)
    with pytest.raises(ValueError, match="gradient_norms is False, but was True"):
        fit(model(), X, resume=True, **stopped | {"gradient_norms": False})


def test_a_run_stopped_in_its_first_epoch_has_all_the_norms(tmp_path):
    def stop(model, examples):
        raise KeyboardInterrupt

    whole = fit(model(), X, gradient_norms=True, **SETTINGS)
    stopped = dict(checkpoint=tmp_path / "r", checkpoint_seconds=0, gradient_norms=True, **SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        fit(model(), X, callback=stop, callback_at=[8], **stopped)  # of ten
    assert fit(model(), X, resume=True, **stopped)["gradient_norms"] == whole["gradient_norms"]


def test_every_player_has_its_layers():
    rows = fit(model(user_file.CriticVAE), X, gradient_norms=True, **SETTINGS)["gradient_norms"]
    assert list(rows[0]) == [*LAYERS, "critic_1", "critic_2"] and min(rows[-1].values()) > 0


def test_squares_that_overflow_do_not_make_a_norm_infinite():
    assert square_norm(np.full(4, 1e30, np.float32)) == pytest.approx(4e60, rel=1e-6)


def test_a_word_for_a_number_is_refused():
    with refused("gradient_norms True False 'yes'"):
        fit(model(), X, gradient_norms="yes", **SETTINGS)


def test_the_figure_has_a_line_for_each_layer_on_a_logarithmic_scale():
    history = fit(model(BetaVAE), X, gradient_norms=True, **SETTINGS)
    (ax,) = plots.gradient_norms(history).axes
    assert [line.get_label() for line in ax.lines] == LAYERS and ax.get_yscale() == "log"
    for line in ax.lines:
        np.testing.assert_array_equal(line.get_ydata(), [row[line.get_label()] for row in history["gradient_norms"]])
    many = {"epoch": [1], "gradient_norms": [{f"layer_{j}": float(j) for j in range(12)}]}
    (ax,) = plots.gradient_norms(many).axes
    assert [line.get_label() for line in ax.lines] == [f"layer_{j}" for j in range(1, 12)]  # the one that is zero has no line
    assert len({(line.get_color(), line.get_marker()) for line in ax.lines}) == 11
    with refused("gradient_norms fit(..., gradient_norms=True)"):
        plots.gradient_norms({"epoch": [1]})


def test_the_command_keeps_and_draws_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawings = train._drawings
    monkeypatch.setattr(train, "_drawings", lambda *about: {"gradient_norms": drawings(*about)["gradient_norms"]})
    line = "train --out r --epochs 2 --hidden 4 --latent-dim 2 --gradient-norms --quiet --backend numpy"
    assert main(line.split()) == 0
    with open("r/history.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 2 and all(float(row[f"gradient_{layer}"]) > 0 for row in rows for layer in LAYERS)
    assert (tmp_path / "r" / "figures" / "gradient_norms.png").is_file()
    assert main("train --resume r --epochs 3 --quiet".split()) == 0
    assert (tmp_path / "r" / "history.csv").read_text().count("\n") == 4

"""Promise: a run that diverges stops at once, says where, in which term and what to try, and nothing good is lost."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import refused, same, unsaid

from vae_from_scratch import SGD, VAE, Adagrad, Adam, Autoencoder, BetaVAE, Gaussian, cli, datasets, fit
from vae_from_scratch.datasets.dataset import folders
from vae_from_scratch.engine import files
from vae_from_scratch.engine.checkpoints import Run

X = np.random.default_rng(0).uniform(size=(40, 7))


def diverges(words):
    return refused(words, FloatingPointError)


def test_kingma_and_wellings_setting_at_step_size_one_half(tmp_path):
    # 20 latents, 500 tanh units, Adagrad, weight decay, weights and biases from N(0, 0.01^2); they used 0.01 to 0.1
    model, data = VAE(64, (500,), 20, init="normal"), datasets.digits()
    with pytest.raises(FloatingPointError) as stop:
        fit(model, data, Adagrad(0.5), binarize="dynamic", weight_decay=True, progress=False, checkpoint=tmp_path)
    message = str(stop.value)
    assert "\n" not in message and not unsaid(message, f"kl smaller learning rate checkpoint {tmp_path}")
    assert 2 <= int(re.search(r"step (\d+)", message)[1]) <= 10
    logvar = float(re.search(r"logvar ([\d.]+\d)", message)[1])
    assert logvar > 40  # a KL of 1e17 nats and more; at 88.72 e^logvar leaves float32, note 4
    _, about, arrays = files.read_checkpoint(tmp_path)
    assert about["position"] == 0 and all(np.isfinite(value).all() for value in arrays.values())
    assert all(np.isfinite(value).all() for value in model.params.values())  # as before the step that failed
    gentle = VAE(64, (500,), 20, init="normal")  # 0.02, which they did use, trains
    history = fit(gentle, data, Adagrad(0.02), epochs=3, binarize="dynamic", weight_decay=True, progress=False)
    assert history["loss"][2] < history["loss"][0]


def test_the_same_on_mnist():
    if not any((folder / "mnist" / "train-images-idx3-ubyte.gz").is_file() for folder in folders()):
        pytest.skip("mnist is not there; set VAE_FROM_SCRATCH_DATA to run this")
    data = datasets.mnist().subset(np.arange(2000))
    model = VAE(784, (500,), 20, init="normal")
    with diverges("step 2|3|4|5|6|7|8|9 kl logvar"):
        fit(model, data, Adagrad(0.5), binarize="dynamic", weight_decay=True, progress=False)


def test_the_last_good_checkpoint_is_one_to_go_on_from(tmp_path):
    def rate(t):
        return 1e-3 if t < 6 else 1e6  # ruins step 7, which only shows in step 8

    options = {"batch_size": 10, "epochs": 5, "progress": False}
    with diverges("step 8"):
        fit(VAE(7, (6,), 3), X, SGD(rate), **options, checkpoint=tmp_path, checkpoint_seconds=0)
    model, expected = VAE(7, (6,), 3), VAE(7, (6,), 3)
    fit(model, X, SGD(lambda t: 1e-3), **options, checkpoint=tmp_path, resume=True)
    fit(expected, X, SGD(lambda t: 1e-3), **options)
    assert same(model, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_pixel_that_never_changes_has_no_bound_under_a_variance_of_its_own(dtype):
    x = X.repeat(5, axis=0).copy()
    x[:, :4] = 0
    model = VAE(7, (50,), 3, likelihood=Gaussian("per-pixel", "sigmoid"), dtype=dtype)
    with diverges("recon_nll|thousand pixel derivations/06-likelihoods.md"):
        fit(model, x, Adam(0.05), epochs=2000, progress=False)


class Broken(VAE):
    """A VAE whose gradient fails in step 5, or whose loss is multiplied in step 5."""

    calls, wrong, factor = 0, None, 1.0

    def loss_and_grads(self, x, *noise):
        terms, grads = super().loss_and_grads(x, *noise)
        self.calls += 1
        if self.calls == 5:
            terms = terms._replace(loss=terms.loss * self.factor, recon_nll=terms.recon_nll * self.factor)
            if self.wrong is not None:
                grads["decoder_W1"] = grads["decoder_W1"].copy()
                grads["decoder_W1"][0, 0] = self.wrong
        return terms, grads


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_stops_before_the_step(wrong):
    model, reference = Broken(7, (6,), 3), VAE(7, (6,), 3)
    model.wrong = wrong
    with diverges("step 5 gradient decoder_W1 finite"):
        fit(model, X, batch_size=10, progress=False)
    fit(reference, X, batch_size=10, epochs=1, progress=False)
    assert same(model, reference)


def test_gradients_whose_squares_overflow_are_finite():
    model = Broken(7, (6,), 3, dtype="float64")
    model.wrong = 1e200
    fit(model, X, SGD(1e-200), batch_size=10, epochs=2, progress=False)
    assert model.calls == 8


@pytest.mark.parametrize("factor, stops", [(900, False), (1100, True), (-1e9, False)])
def test_a_thousand_times_worse_than_at_the_start(factor, stops):
    model = Broken(7, (6,), 3)
    model.factor = factor
    if not stops:
        fit(model, X, SGD(1e-9), batch_size=10, epochs=2, progress=False)
        return
    with diverges("step 5 thousand|1000 recon_nll"):
        fit(model, X, SGD(1e-9), batch_size=10, epochs=2, progress=False)


@pytest.mark.parametrize("start, limit", [(5.0, 5000.0), (-5.0, 4990.0), (0.0, 3496.5), (1e-9, 3496.5), (-0.1, 3496.4)])
def test_worse_is_counted_from_the_start_and_never_in_units_of_almost_nothing(start, limit):
    run = Run(VAE(7, (6,), 3), {"model": Adam()}, 40, 10, 0)
    run.expect(SimpleNamespace(loss=start, recon_nll=0.0))
    assert run.limit == pytest.approx(limit)  # 3496.5 = 999 * 7 / 2: half a nat for each of seven values


@pytest.mark.parametrize("x_valid", [None, X])
def test_parameters_that_overflow_in_the_last_step_are_not_returned_as_trained(x_valid, tmp_path):
    model = Autoencoder(7, (6,), 3, likelihood="squared-error")
    with diverges("step 1 recon_nll finite"):
        fit(model, X, SGD(1e308), batch_size=40, epochs=1, progress=False, checkpoint=tmp_path, x_valid=x_valid)
    assert files.read_checkpoint(tmp_path)[1]["position"] == 0


def test_an_optimizer_that_overflows_is_not_kept(tmp_path):
    model = Broken(7, (6,), 3)
    model.wrong = 1e30  # its square leaves float32, so Adam would never move that weight again
    with diverges("step 5 parameters optimizer finite"):
        fit(model, X, Adam(), batch_size=10, epochs=5, progress=False, checkpoint=tmp_path, checkpoint_seconds=0)
    assert files.read_checkpoint(tmp_path)[1]["position"] == 40


def test_the_command_line_says_it_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = "train --model vae --hidden 500 --latent-dim 20 --init normal --optimizer adagrad --lr 0.5 --quiet --out run"
    assert cli.main(line.split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and not unsaid(error, "logvar checkpoint run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint.npz", "config.json"]


def test_beta_zero_and_a_far_off_start_do_not_stop_a_run():
    fit(BetaVAE(7, (6,), 3, beta=0), X, batch_size=1, epochs=3, progress=False)
    far = np.where(np.arange(40)[:, None] % 10, 0, 10 * X)
    fit(VAE(7, (6,), 3, likelihood=Gaussian(0.1)), far, batch_size=1, epochs=3, progress=False)


def test_a_callback_that_changes_a_hyperparameter_changes_the_limit():
    def heavier(model, examples):
        model.set(beta=1e9)

    def ruin(model, examples):
        model.params["decoder_b2"] = 1e13

    settings = {"batch_size": 10, "epochs": 3, "progress": False}
    model = BetaVAE(7, (6,), 3)
    history = fit(model, X, SGD(1e-12), **settings, callback=heavier, callback_at=[40])
    assert history["loss"][1] > 1000 * history["loss"][0] and len(history["epoch"]) == 3
    with diverges("step 7 thousand|1000 recon_nll"):  # and the new one is one
        both = [heavier, ruin]
        fit(BetaVAE(7, (6,), 3, beta=0), X, SGD(1e-12), **settings, callback=lambda *of: both.pop(0)(*of), callback_at=[40, 60])


def test_under_a_schedule_the_reconstruction_alone_is_judged():
    def ruin(model, examples):
        model.params["decoder_b2"] = 1e13

    settings = {"batch_size": 10, "epochs": 2, "progress": False, "schedule": lambda step: {"beta": 1.0 if step < 4 else 1e9}}
    history = fit(BetaVAE(7, (6,), 3), X, SGD(1e-12), **settings)
    assert history["loss"][1] > 1000 * history["loss"][0] and len(history["epoch"]) == 2
    with diverges("step 7 thousand|1000 recon_nll"):
        fit(BetaVAE(7, (6,), 3), X, SGD(1e-12), **settings, callback=ruin, callback_at=[60])


def test_a_small_last_batch_is_named_where_a_run_stops():
    class Spread(BetaVAE):
        name, least_rows = None, 2

        def penalty_forward(self, kl, mu, logvar, z):
            return kl.mean() + np.square(z - z.mean(axis=0)).sum() / np.float32(len(z) - 1)

    x = np.random.default_rng(0).uniform(size=(1001, 6))
    with diverges("step 11 batch of 1 not finite"):
        fit(Spread(6, (5,), 2), x, batch_size=100, progress=False)


def test_a_loss_that_is_not_finite_before_training_is_not_said_to_be_large():
    class Counts(Gaussian):
        """Not a number for rows that hold a 1."""

        name = None

        def forward(self, ops, params, out, x):
            return super().forward(ops, params, out, x) + np.where((x == 1).any(axis=1), np.nan, 0)

    x = np.zeros((20, 7))
    x[19] = 1
    with diverges("before step 1 not finite recon_nll nan"):
        fit(VAE(7, (4,), 2, likelihood=Counts()), x, batch_size=2, progress=False)

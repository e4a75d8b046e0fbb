"""Promise: every command does what its help says, and a run folder can be used again."""

import contextlib
import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from helpers import python, run, same

from vae_from_scratch import VAE, Adam, BetaVAE, Gaussian, __version__, cli, datasets, fit, load, ops, plots, save
from vae_from_scratch.cli import compare
from vae_from_scratch.cli.sweep import sweep
from vae_from_scratch.datasets.dataset import folders
from vae_from_scratch.engine import files, gradient_table
from vae_from_scratch.engine.streams import stream
from vae_from_scratch.evaluation import evaluate

TRAIN = "train --epochs 2 --quiet"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def undrawn(monkeypatch):
    """Training leaves its folder of figures empty, for tests that look at something else."""
    monkeypatch.setattr(cli.train, "draw_figures", lambda model, test, history, result, folder, seed: folder.mkdir())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A working folder where train was run without options, and what that printed; not to be written to."""
    folder, printed = tmp_path_factory.mktemp("trained"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        run(TRAIN)
    return folder, printed.getvalue()


def figures(folder):
    return sorted(path.stem for path in (folder / "figures").iterdir())


def test_train_with_no_options_is_a_beta_vae_on_digits(trained):
    here, printed = trained
    folder, left = here / "runs" / "001", ["checkpoint.npz", "config.json", "figures", "history.csv", "model.npz"]
    assert sorted(path.name for path in folder.iterdir()) == left
    assert figures(folder) == ["latents", "learning_curves", "reconstructions", "samples", "traversals"]
    config = json.loads((folder / "config.json").read_text())
    assert list(config) == [option.name for option in cli.options.OPTIONS]
    chosen = [config[name] for name in ("model", "data", "likelihood", "binarize")]
    assert chosen == ["beta-vae", "digits", "bernoulli", "dynamic"]
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"loss", "recon_nll", "kl", "kl_9", "valid_loss"} <= set(rows[0])
    assert re.search(r"ELBO -\d+\.\d\d \+- \d\.\d\d nats", printed)
    assert str(folder.relative_to(here) / "figures") in printed
    assert load(folder / "model.npz").beta == config["beta"]


def test_runs_are_numbered(here, undrawn):
    for _ in range(2):
        run("train --epochs 1 --quiet")
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["001", "002"]


def starts(path):
    """What eight starts at once get: a folder, or None if they are refused."""
    folders, end = [], threading.Barrier(8, timeout=60)

    def start(number):
        try:
            with cli.train.new_folder(path, {"start": number}) as folder:
                folders.append(folder)
                end.wait()
                assert json.loads((folder / "config.json").read_text()) == {"start": number}
                (folder / "done").touch()
        except ValueError as error:
            assert re.search(r"is not an empty folder|\.lock is held by another run", str(error))
            folders.append(None)
            end.wait()

    threads = [threading.Thread(target=start, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return folders


def test_starts_at_once_get_a_number_each(here, monkeypatch):
    (here / "runs" / "007").mkdir(parents=True)
    making, looked, seen = files.making, threading.Barrier(8, timeout=60), set()

    def late(folder, **options):  # when all have looked which numbers are free
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            looked.wait()
        return making(folder, **options)

    monkeypatch.setattr(files, "making", late)
    assert sorted(map(str, starts(None))) == [str(Path("runs") / f"{number:03d}") for number in range(8, 16)]
    assert all((here / "runs" / f"{number:03d}" / "done").exists() for number in range(8, 16))


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("slow", [True, False])
def test_of_starts_at_once_one_gets_a_folder(there, slow, here, monkeypatch):
    lock, looked, turn = files.lock, threading.Barrier(8, timeout=60), threading.Lock()

    @contextlib.contextmanager
    def late(folder):  # when all have seen that it is empty, one after the other
        looked.wait()
        with turn, lock(folder):
            yield

    if slow:
        monkeypatch.setattr(files, "lock", late)
    if there:
        (here / "r").mkdir()
    assert sorted(starts("r"), key=str) == [None] * 7 + [Path("r")]
    assert sorted(path.name for path in (here / "r").iterdir()) == ["config.json", "done"]


def test_a_run_of_which_nothing_comes_leaves_nothing(here):
    for path in (None, "a/b"):
        with pytest.raises(FloatingPointError), cli.train.new_folder(path, {}) as folder:
            assert (folder / "config.json").exists()
            raise FloatingPointError
        assert not list(here.iterdir())


def test_a_folder_with_nothing_but_leftovers_is_empty(here):
    (here / "r").mkdir()
    for name in (".lock", ".config.json.77-0123abcd.part"):
        (here / "r" / name).touch()
    with cli.train.new_folder("r", {}) as folder:
        assert [path.name for path in folder.iterdir()] == ["config.json"]
    (here / "r" / ".mine").touch()
    with pytest.raises(ValueError, match="r is not an empty folder"), cli.train.new_folder("r", {}):
        pass


def test_a_run_under_way_is_not_resumed(here, capsys):
    run(f"{TRAIN} --out r")
    capsys.readouterr()
    with files.lock("r"):
        assert cli.main(["train", "--resume", "r", "--epochs", "3"]) == 2
    assert "error: " + str(Path("r") / ".lock") + " is held by another run in r" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line, expected",
    [
        ("--model autoencoder", "latents learning_curves reconstructions"),
        ("--model autoencoder --likelihood squared-error --latent-dim 1", "learning_curves reconstructions"),
        (
            "--model vae --latent-dim 2 --hidden none",
            "latents learning_curves manifold reconstructions samples traversals",
        ),
        ("--model vae --latent-dim 1", "learning_curves reconstructions samples traversals"),
        ("--model denoising-autoencoder --corruption gaussian --level 0.5", "latents learning_curves reconstructions"),
        ("--model sparse-autoencoder --penalty l1 --code relu --weight 0.1", "latents learning_curves reconstructions"),
        ("--model contractive-autoencoder --hidden none --weight 0.5", "latents learning_curves reconstructions"),
        pytest.param(
            "--model capacity-vae --gamma 10 --capacity 2",
            "latents learning_curves reconstructions samples traversals",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_model(line, expected, here):
    run(f"{TRAIN} --out r {line}")
    assert figures(here / "r") == expected.split()


def test_every_option_reaches_the_model(undrawn):
    line = (
        "--model beta-vae --hidden 9,8 --activation relu --decoder-hidden 7,6,5 --decoder-activation softplus "
        "--latent-dim 4 --likelihood gaussian --sigma per-pixel --mean sigmoid --beta 0.5 --batch-size 64 "
        "--optimizer adagrad --lr 0.01 --weight-decay --gradient-norms --init normal --binarize threshold --seed 3 --dtype float64 "
        "--backend numpy"
    )
    run(f"{TRAIN} --out r {line}")
    config = load("r/model.npz").config
    assert config == {
        "data_dim": 64, "hidden": [9, 8], "activation": "relu", "decoder_hidden": [7, 6, 5],
        "decoder_activation": "softplus", "latent_dim": 4, "beta": 0.5, "init": "normal", "seed": 3, "dtype": "float64",
        "likelihood": {"name": "gaussian", "sigma": "per-pixel", "mean": "sigmoid"}, "backend": "numpy",
    }  # fmt: skip


@pytest.mark.parametrize("line, own", [("iwae --samples 2", {"samples": 2}), ("free-bits-vae --free-bits 2", {"free_bits": 2.0})])
def test_a_bound_of_several_draws_and_free_bits_are_trained_resumed_and_evaluated(line, own, undrawn, capsys):
    run(f"{TRAIN} --out r --model {line}")
    shutil.rmtree("r/figures")
    run("train --resume r --epochs 3 --quiet")
    run("evaluate r --importance-samples 2 --quiet")
    model = load("r/model.npz")
    assert own.items() <= model.config.items() and type(model.config[min(own)]) is type(own[min(own)])
    assert "trained for 45 steps" in (said := capsys.readouterr().out) and "log p(x) >=" in said


@pytest.mark.parametrize(
    "line, expected",
    [
        ("laplace --scale per-pixel --mean sigmoid", {"name": "laplace", "scale": "per-pixel", "mean": "sigmoid"}),
        ("laplace", {"name": "laplace", "scale": "learned", "mean": "linear"}),
        ("continuous-bernoulli", {"name": "continuous-bernoulli"}),
    ],
)
def test_a_likelihoods_own_options_reach_it_and_grey_pixels_stay_grey(line, expected, undrawn, capsys):
    run(f"{TRAIN} --out r --likelihood {line}")
    assert load("r/model.npz").config["likelihood"] == expected
    assert cli.train.read_config(Path("r"))["binarize"] == "none"
    run("evaluate r")
    assert "ELBO" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line, expected",
    [
        ("--model dip-vae --kind i --lambda-od 3", {"kind": "i", "lambda_od": 3.0, "lambda_d": 10.0}),
        ("--model factor-vae --discriminator-hidden 6 5", {"gamma": 6.4, "discriminator_hidden": [6, 5]}),
        ("--model factor-vae --discriminator-hidden none", {"gamma": 6.4, "discriminator_hidden": []}),
    ],
)
def test_words_and_widths_that_only_one_model_takes_are_options(line, expected, undrawn):
    run(f"{TRAIN} --out r {line}")
    assert expected.items() <= load("r/model.npz").config.items()
    shutil.rmtree("r/figures")
    run("train --resume r --epochs 2 --quiet")
    assert expected.items() <= load("r/model.npz").config.items()


def test_same_command_same_bits(trained, undrawn):
    run(f"{TRAIN} --out again")
    assert same(load(trained[0] / "runs" / "001" / "model.npz"), load("again/model.npz"))


def test_a_run_can_be_used_again_and_moved(trained, here, capsys):
    shutil.copytree(trained[0] / "runs" / "001", here / "moved")
    run("evaluate moved")
    found = [re.findall(r"^(?:ELBO|active).*", text, re.M) for text in (trained[1], capsys.readouterr().out)]
    assert found[0] == found[1] != []
    run("evaluate moved --split train")
    assert "1500 digits train examples" in capsys.readouterr().out
    run("sample moved --n 7 --seed 3 --out s.png")
    run("traverse moved --out t.png")
    assert (here / "s.png").read_bytes()[:4] == (here / "t.png").read_bytes()[:4] == b"\x89PNG"


def test_evaluate_estimates_log_p_and_judges_silent_latents(undrawn, capsys, monkeypatch):
    line = "--model vae --latent-dim 1 --hidden none --likelihood gaussian --sigma 3 --dtype float64 --lr 0.02"
    run(f"train --quiet --epochs 20 --out r {line}")
    capsys.readouterr()
    run("evaluate r --samples 3 --importance-samples 40 --quadrature --quiet")
    printed, progress = capsys.readouterr()
    elbo, bound, exact = (
        float(re.search(rf"^{re.escape(words)} (-[\d.]+) \+- [\d.]+ nats per example", printed, re.M)[1])
        for words in ("ELBO", "log p(x) >=", "log p(x) =")
    )
    gap, sampling = map(float, re.search(r"the ELBO is (-?[\d.]+) below it \(other samples of z: \+- ([\d.]+)\)", printed).groups())
    assert gap == pytest.approx(exact - elbo, abs=0.01) and gap > -4 * sampling and 0 < sampling < 0.5
    assert elbo <= bound + 0.05 and bound == pytest.approx(exact, abs=0.02) and not progress
    assert "from 3 samples of z per example" in printed and "with the KL sampled too: -" in printed
    assert re.search(r"from 40 importance samples .* effective: [\d.]+ in the median, [\d.]+ at the least", printed)
    assert "warning" not in printed  # nearly all of the 40 are effective
    # noise of variance 9 is more than the data have in any direction: the latent should be silent
    assert re.search(r"silent latents, on the training data: .*: the best model of these data, .* uses 0 of 1", printed)
    run("evaluate r --quadrature --quiet")
    assert "from 20 samples of z per example" in capsys.readouterr().out
    monkeypatch.setattr(cli.look, "few", lambda effective, K: f"{len(effective)} of {K}")
    run("evaluate r --importance-samples 2")
    printed, progress = capsys.readouterr()
    assert "warning: 297 of 2; take more samples, or --quadrature" in printed and "example" in progress  # a progress bar


def test_threads_is_what_training_uses(undrawn):
    run("train --quiet --epochs 1 --batch-size 500 --threads 2 --out r")
    about = json.loads(str(files.read_npz(Path("r") / files.CHECKPOINT, only=("about",))["about"]))
    assert about["settings"]["threads"] == 2
    shutil.rmtree("r/figures")
    run("train --quiet --resume r --epochs 2")


def test_your_own_images_and_the_note_about_grey_pixels(undrawn, capsys):
    np.save("mine.npy", np.random.default_rng(0).uniform(size=(150, 5, 4)))
    run(f"{TRAIN} --data mine.npy --out r --binarize none")
    assert capsys.readouterr().out.count("grey pixels") == 1
    run(f"{TRAIN} --data mine.npy --out g --likelihood gaussian")
    assert "grey pixels" not in capsys.readouterr().out


def test_a_run_on_your_own_file_can_be_looked_at_from_anywhere(here, undrawn, monkeypatch, capsys):
    np.save("mine.npy", np.random.default_rng(0).uniform(size=(150, 5, 4)))
    run(f"{TRAIN} --data mine.npy --out r")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    run("evaluate ../r")
    run("sample ../r --n 3")
    assert "15 mine test examples" in capsys.readouterr().out and (here / "r" / "figures" / "sample.png").is_file()


# ---- a run stopped early, moved data, shapes ------------------------------------------------------------


@pytest.fixture
def stopped(here, undrawn, monkeypatch, capsys):
    """A run of 3 epochs, 15 steps each, on a file of one's own, stopped by Ctrl-C in step 20."""
    np.save("mine.npy", np.random.default_rng(0).uniform(size=(1500, 6)))
    step, count = Adam.step, []

    def pressing(*arguments):
        step(*arguments)
        count.append(1)
        if len(count) == 20:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Adam, "step", pressing)
        assert cli.main("train --quiet --epochs 3 --data mine.npy --image-shape 3,2 --out r --batch-size 90".split()) == 130
    said = "train --resume r, or end it here with the same and --epochs 1\n"
    assert capsys.readouterr().err.endswith(said) and not (here / "r" / "model.npz").exists()
    return here / "r"


def test_a_run_ended_within_an_epoch_says_so(stopped, capsys):
    run("train --resume r --quiet --epochs 1")
    assert "trained for 15 steps" in (said := capsys.readouterr().out) and "450 examples of the next epoch" in said
    shutil.rmtree(stopped / "figures")
    run("train --resume r --quiet --epochs 3")
    assert "next epoch" not in capsys.readouterr().out


def test_a_name_that_the_output_cannot_encode_is_no_error(here, undrawn, monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    run("train --quiet --epochs 1 --out \u043f")
    assert b"\\u043f" in sys.stdout.buffer.getvalue() and (here / "\u043f" / "model.npz").is_file()


def test_without_standard_error_there_are_no_bars(here, undrawn, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    run("train --epochs 1 --out r")
    run("evaluate r --importance-samples 5")


def test_a_standard_error_that_takes_nothing_ends_no_training(here, undrawn, monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    np.save("low.npy", np.arange(200, dtype=np.uint8).reshape(20, 10) % 16)  # of which there is a note
    monkeypatch.setattr(sys, "stderr", Full())
    run("train --data low.npy --batch-size 9 --epochs 1 --out r")
    run("evaluate r --importance-samples 5")
    assert Path("r/model.npz").is_file()


def test_other_libraries_warnings_are_no_notes_of_ours(monkeypatch, capsys):
    class Theirs(UserWarning):
        pass

    def command(options):
        warnings.warn("mine", stacklevel=1)
        warnings.warn("theirs", Theirs, stacklevel=1)
        raise RuntimeError("can't start new thread")

    elsewhere = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, category, *_, **__: elsewhere.append(category))
    monkeypatch.setitem(cli.COMMANDS, "gradcheck", command)
    assert cli.main(["gradcheck"]) == 2 and elsewhere == [Theirs]
    assert capsys.readouterr().err == "note: mine\nvae-from-scratch gradcheck: error: can't start new thread\n"


def test_ctrl_c_while_figures_are_drawn_says_that_the_run_is_whole(here, monkeypatch, capsys):
    def pressed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cli.train, "draw_figures", pressed)
        assert cli.main("train --quiet --epochs 1 --out r".split()) == 130
    assert "whole" in (said := capsys.readouterr().err) and "train --resume r draws" in said
    run("train --resume r --quiet")
    assert any((here / "r" / "figures").iterdir())


@pytest.mark.parametrize("line", ["score r", "animate r", "sample r"])
def test_a_run_that_cannot_be_written_to_is_known_before_anything_is_computed(line, here, undrawn, monkeypatch, capsys):
    run("train --quiet --epochs 1 --data blobs --hidden 5 --out r")
    monkeypatch.setattr(cli.look.os, "access", lambda *_: False)
    monkeypatch.setattr(cli.look.disentanglement, "all_scores", None)
    assert cli.main(line.split()) == 2 and "cannot be written" in capsys.readouterr().err


def test_scores_of_a_run_that_cannot_be_written_to_are_drawn_where_out_says(here, undrawn, monkeypatch):
    run("train --quiet --epochs 1 --model autoencoder --data blobs --hidden 5 --out r")
    monkeypatch.setattr(cli.look.os, "access", lambda *_: False)
    monkeypatch.setattr(cli.look.disentanglement, "all_scores", lambda *_, **__: {})
    monkeypatch.setattr(plots, "factor_matrices", lambda *_: plots.samples(np.ones((1, 4)), (2, 2)))
    run("score r --quiet --out s.png")
    assert (here / "s.png").is_file()


@pytest.mark.parametrize("line", ["evaluate r", "sample r --n 3", "traverse r", "traverse r --between 0 9"])
def test_a_stopped_run_is_looked_at_as_it_is(line, stopped, capsys):
    run(line)
    assert capsys.readouterr().out.startswith("r has not ended: this is its checkpoint in epoch 2 of 3 (1 done)\n")


def test_a_stopped_run_with_known_factors_is_scored(here, undrawn, capsys):
    run(f"{TRAIN} --data blobs --hidden 9 --out r")
    (here / "r" / "model.npz").unlink()
    capsys.readouterr()
    run("score r --score mig --repeats 1 --quiet")
    assert "in epoch 2 of 2 (2 done)" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_passed_over(stopped, capsys):
    path = stopped / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-100])
    run("evaluate r")
    assert "in epoch 1 of 3 (0 done)" in capsys.readouterr().out and path.exists()
    (stopped / "checkpoint.previous.npz").unlink()
    assert cli.main(["evaluate", "r"]) == 2
    assert "checkpoint.npz is not a readable .npz file" in capsys.readouterr().err


def test_fewer_epochs_end_a_run(stopped, capsys):
    then = load(stopped / "checkpoint.npz")
    assert cli.main("train --resume r --epochs 0 --quiet".split()) == 2
    run("train --resume r --epochs 1 --quiet")
    assert same(load(stopped / "model.npz"), then)
    assert len((stopped / "history.csv").read_text().splitlines()) == 2 and (stopped / "figures").is_dir()
    capsys.readouterr()
    run("evaluate r")
    assert "not ended" not in capsys.readouterr().out
    shutil.rmtree(stopped / "figures")
    run("train --resume r --epochs 4 --quiet")
    assert json.loads((stopped / "config.json").read_text())["epochs"] == 4


def test_more_epochs_that_were_stopped_are_newer_than_the_model(here, undrawn, monkeypatch, capsys):
    run("train --quiet --epochs 1 --out r")
    shutil.rmtree(here / "r" / "figures")
    monkeypatch.setattr(Adam, "step", lambda *_: signal.raise_signal(signal.SIGINT))
    assert cli.main("train --quiet --resume r --epochs 3".split()) == 130
    capsys.readouterr()
    run("evaluate r")
    assert capsys.readouterr().out.startswith("r has not ended: this is its checkpoint in epoch 2 of 3 (1 done)\n")


def test_a_run_goes_on_where_its_data_are_now(stopped, capsys):
    Path("mine.npy").rename("moved.npy")
    capsys.readouterr()
    assert cli.main("train --resume r --quiet".split()) == 2
    moved = r"error: \S*mine.npy is not there; if it was moved, say where it is with --data; train --resume RUN --data FILE keeps that\n$"
    assert re.search(moved, capsys.readouterr().err)
    np.save("others.npy", np.random.default_rng(1).uniform(size=(1500, 6)))
    before = (stopped / "config.json").read_bytes()
    assert cli.main("train --resume r --quiet --data others.npy".split()) == 2
    assert "x is '1350 examples of 6 values with checksum" in capsys.readouterr().err
    assert (stopped / "config.json").read_bytes() == before
    run("train --resume r --quiet --data moved.npy")
    run("evaluate r")
    assert json.loads((stopped / "config.json").read_text())["data"] == str(Path("moved.npy").absolute())


def test_runs_whose_data_moved_are_compared_where_they_are_now(stopped, capsys):
    shutil.copytree("r", "again")
    Path("mine.npy").rename("moved.npy")
    capsys.readouterr()
    assert cli.main("compare r again --out c.png".split()) == 2
    said = capsys.readouterr()
    assert "mine.npy is not there; if it was moved, say where it is with --data" in said.err and "settings" not in said.out
    run("compare r again --data moved.npy --out c.png")
    assert "none" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["typo.npy", "typo.npz"])
def test_data_that_were_just_named_and_are_not_there_have_not_moved(name, stopped, here, capsys):
    before = sorted(here.rglob("*"))
    for line in ("train", "train --resume r", "evaluate r", "sample r", "traverse r", "compare r r/."):
        capsys.readouterr()
        assert cli.main([*line.split(), "--data", name]) == 2
        said = capsys.readouterr().err
        assert f"--data {here / name} is not there; name a file" in said and "moved" not in said
    with pytest.raises(FileNotFoundError, match=f"{name} is not there; name a file"):
        sweep([{"data": name}], "s", progress=False)
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("epochs", "600", "epochs must be a whole number, got '600'"),
        ("seed", 1.5, "seed must be a whole number, got 1.5"),
        ("lr", "0.1", "lr must be a number, got '0.1'"),
        ("beta", [2], "beta must be a number, got [2]"),
        ("weight_decay", "yes", "weight_decay must be True or False, got 'yes'"),
        ("hidden", 64, "hidden must be a sequence of layer widths such as (500,) or (), got 64"),
        ("hidden", None, "hidden must be a sequence of layer widths such as (500,) or (), got None"),
        ("epochs", None, "epochs must be a whole number, got None"),
        ("binarize", None, "binarize must be one of none, threshold, dynamic; got None"),
    ],
)
def test_a_setting_of_another_kind_in_an_edited_config_is_named(name, value, words, stopped, capsys):
    path = stopped / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    for line in ("train --resume r --quiet", "evaluate r", "explore r"):
        capsys.readouterr()
        assert cli.main(line.split()) == 2
        assert f"config.json: {words}\n" in capsys.readouterr().err


def test_a_note_about_a_file_is_said_once_for_both_of_its_parts(here, undrawn, capsys):
    np.savez("own.npz", images=np.random.default_rng(0).uniform(size=(150, 3, 4)), labels=np.ones((150, 2)), y=np.array([{}] * 150))
    run(f"{TRAIN} --data own.npz")
    said = capsys.readouterr().err
    assert said.count("labels of shape (150, 2) are left out") == 1 == said.count("y holds Python objects")


def test_pictures_need_no_data_of_a_run_that_knows_its_shape(stopped, capsys):
    Path("mine.npy").unlink()
    run("sample r --n 3 --out s.png")
    run("traverse r --out t.png")
    assert "from z = 0 instead" in capsys.readouterr().out and Path("s.png").exists() and Path("t.png").exists()
    config = json.loads((stopped / "config.json").read_text())
    (stopped / "config.json").write_text(json.dumps({**config, "image_shape": None}))  # as of a run before it was kept
    for line in ("sample r", "traverse r"):
        assert cli.main(line.split()) == 2 and "say where it is with --data" in capsys.readouterr().err


def test_a_guessed_rectangle_is_said_and_a_given_one_is_kept(here, undrawn, capsys):
    x = np.random.default_rng(0).uniform(size=(150, 12))
    np.save("flat.npy", x)
    np.savez("flat.npz", images=x, labels=np.zeros(150))
    np.save("square.npy", x.reshape(150, 3, 4))
    for number, (data, guessed) in enumerate([("flat.npy", True), ("flat.npz", True), ("square.npy", False), ("digits", False)]):
        run(f"{TRAIN} --data {data} --out {number}")
        said = "note: 3 x 4 is a guess at the shape of 12 values; give it with --image-shape H,W\n"
        assert (said in capsys.readouterr().out) == guessed
    run(f"{TRAIN} --data flat.npy --image-shape 6 2 --out given")
    assert "is a guess" not in capsys.readouterr().out
    assert json.loads(Path("given/config.json").read_text())["image_shape"] == [6, 2]
    assert cli.train.open_data(cli.train.read_config(Path("given")), "test").image_shape == (6, 2)
    assert cli.main("sample given --image-shape 5,2".split()) == 2
    assert "--image-shape must be rows,columns or rows,columns,3 whose product is 12, got 5,2" in capsys.readouterr().err


def test_other_data_are_refused_by_their_width_not_by_the_shape_of_the_runs(trained, here, capsys):
    np.save("flat.npy", np.random.default_rng(0).uniform(size=(150, 12)))
    assert cli.main(["evaluate", str(trained[0] / "runs" / "001"), "--data", "flat.npy"]) == 2
    assert "x must have shape (N, 64)" in capsys.readouterr().err


@pytest.mark.parametrize("shape", ["5,2", "12", "0,12", "3,2,2", "2,2,3,1"])
def test_a_shape_that_cannot_be_is_refused_before_anything_is_written(shape, here, capsys):
    np.save("flat.npy", np.random.default_rng(0).uniform(size=(150, 12)))
    assert cli.main(f"{TRAIN} --data flat.npy --out r --image-shape {shape}".split()) == 2
    assert f"whose product is 12, got {shape}" in capsys.readouterr().err and not (here / "r").exists()


@pytest.mark.slow
def test_the_numpy_backend_never_imports_numba(here):
    code = """
import sys
from vae_from_scratch import cli
from vae_from_scratch.datasets import factors
subset = factors.FactorDataset.subset
factors.FactorDataset.subset = lambda data, rows: subset(data, rows[:200])
line = "--data dsprites --backend numpy --quiet --epochs 1 --hidden 9"
for each in [f"train {line} --out r", "evaluate r", "sample r --n 1", "traverse r"]:
    assert cli.main(each.split()) == 0
assert "vae_from_scratch.kernels" not in sys.modules and "numba" not in sys.modules
"""
    python("-c", code)


def test_a_model_prints_as_a_few_lines():
    model = BetaVAE(7, hidden=(6, 5), latent_dim=2, activation="relu", beta=3, likelihood=Gaussian(sigma=2.0))
    size = sum(value.size for value in model.params.values())
    assert repr(model).splitlines() == [
        f"BetaVAE: {size} parameters, float32, backend numba, beta 3",
        "  encoder: 7 -> 6 relu -> 5 relu -> 4 linear",
        "  decoder: 2 -> 5 relu -> 6 relu -> 7 linear",
        "  likelihood: gaussian, sigma 2.0, mean linear",
    ]


@pytest.mark.parametrize("before, module", [("", "tqdm.std"), ("sys.modules['ipykernel'] = sys;", "tqdm.asyncio|tqdm.notebook")])
def test_the_bar_is_a_notebooks_own_only_in_a_notebook(before, module):
    code = f"import sys; {before} from vae_from_scratch.engine import bars; print(bars.any_tqdm.__module__)"
    assert python("-W", "error", "-c", code).strip() in module.split("|")


# ---- side by side ------------------------------------------------------------------------------------------


def test_compare_sets_runs_side_by_side(undrawn, capsys):
    for name, line in {"a": "", "b": "--model vae --hidden 9 8", "c": "--model autoencoder", "d": "--split train"}.items():
        run(f"{TRAIN} --out {name} {line}")
    capsys.readouterr()
    run("compare a b c d --out side.png")
    out = capsys.readouterr().out
    rows = {cells[0]: cells[1:] for cells in (re.split(r"  +", line) for line in out.splitlines())}
    assert rows["hidden"] == ["128", "9,8", "128", "128"] and rows["model"][:3] == ["beta-vae", "vae", "autoencoder"]
    assert "lr" not in rows and "seed" not in rows
    a, b = (evaluate(load(f"{name}/model.npz"), datasets.digits("test"), binarize="dynamic") for name in "ab")
    assert rows["ELBO"][:3] == [f"{a.elbo:.2f} +- {a.standard_error:.2f}", f"{b.elbo:.2f} +- {b.standard_error:.2f}", "none"]
    each = b.elbo_b.each - a.elbo_b.each
    error = each.std(ddof=1) / np.sqrt(len(each))
    assert rows["ELBO - that of the first"] == [f"{each.mean():+.2f} +- {error:.2f}", "none", "other data"]
    assert Path("side.png").read_bytes()[:4] == b"\x89PNG"
    assert cli.main(["compare", "a"]) == 2
    assert "two runs or more, got a alone" in capsys.readouterr().err
    assert cli.main(["compare", "a", "b", "a"]) == 2
    assert "each run once, got a b a" in capsys.readouterr().err
    assert cli.main(["compare", "a", "b/../a/"]) == 2
    assert "each run once, got a b/../a/" in capsys.readouterr().err
    run(f"{TRAIN} --out e --likelihood gaussian --binarize dynamic --epochs 1")
    run("compare a e --out side.png")
    assert "a probability and a density" in capsys.readouterr().out


def test_compare_tells_the_seeds_of_the_runs_and_names_every_curve(undrawn, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr("vae_from_scratch.cli.compare._write_figure", lambda figure, _: drawn.append(figure))
    for name, line in {"a": "--seed 3", "b": "--model autoencoder --seed 4"}.items():
        run(f"{TRAIN} --out {name} {line}")
    capsys.readouterr()
    run("compare a b --seed 7")
    assert re.search(r"^seed +3 +4$", capsys.readouterr().out, re.M)  # --seed is that of the comparison
    assert [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()] == ["a", "b"]
    for damaged in ("epoch,loss,recon_nll,kl\n1,2,3\n", "a,b\n1,2\n", "epoch,loss,recon_nll,kl\n1,x,3,4\n"):
        Path("b/history.csv").write_text(damaged)
        assert cli.main(["compare", "a", "b"]) == 2
        assert "b/history.csv is not the history" in capsys.readouterr().err.replace("\\", "/")
        run("evaluate b --quiet")  # which does not need it


def test_an_advice_with_a_space_in_a_path_can_be_typed():
    for path in ("my runs/a", "runs", "it's", "$b c", "a&b", "-dash"):
        (typed,) = shlex.split(cli.options.typed(Path(path)), posix=os.name != "nt")
        assert Path(typed.strip('"')) == Path(path) and not typed.startswith("-")


@pytest.mark.slow
def test_a_tilde_is_the_users_home_wherever_a_path_is_taken(here, undrawn, monkeypatch):
    home = here / "home"
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("VAE_FROM_SCRATCH_DATA", "~/data")
    (home / "photos").mkdir(parents=True)
    x = np.random.default_rng(0).uniform(size=(150, 12)).astype(np.float32)
    np.save(home / "x.npy", x)
    for k in range(10):
        matplotlib.image.imsave(home / "photos" / f"{k}.png", x[:9])
    assert len(datasets.load("~/x.npy")) == 135 == len(datasets.from_file(Path("~/x.npy")))
    assert len(datasets.load("~/photos")) == 9 == len(datasets.images("~/photos")) and folders()[0] == home / "data"
    model = VAE(12, (4,), 2, backend="numpy")
    frames = plots.Frames("~/frames.npz", x, image_shape=(3, 4), n_train=150)
    fit(model, x, epochs=1, checkpoint="~/kept", callback=frames, callback_at=[150], progress=False)
    fit(model, x, epochs=2, checkpoint="~/kept", resume=True, progress=False)
    save(model, "~/m.npz")
    assert same(load("~/m.npz"), load("~/kept/checkpoint.npz")) and len(plots.read_frames("~/frames.npz")["examples"]) == 1
    plots.save(plots.samples(x, (3, 4)), "~/x.png")
    assert plots.animate(model, frames.kept, "~/a.gif", steps=2, progress=False) and plots.check_path("~/x.svg") == "svg"
    tiny = "--epochs 1 --hidden 4 --latent-dim 2 --quiet --backend numpy"
    for out in ("r", "s"):
        run(f"train --data=~/x.npy --out=~/{out} {tiny}")
    shutil.rmtree(home / "r" / "figures")
    run("train --resume=~/r --epochs 2 --quiet --data=~/x.npy")
    run("evaluate ~/r --data=~/x.npy --quiet")
    run("sample ~/r --n 3 --separate=~/each --out=~/sample.pdf")
    run("explore ~/r ~/s --out=~/page.html")
    run("compare ~/r ~/s --out=~/two.png")
    run("course start 3 --folder=~/exercises")
    sweep([{"data": "~/x.npy", "epochs": 1, "hidden": (4,), "latent_dim": 2}], "~/sweep", executor=ThreadPoolExecutor(1), progress=False)
    assert {path.name for path in home.iterdir()} == {
        "photos", "x.npy", "frames.npz", "kept", "m.npz", "x.png", "a.gif", "r", "s", "each", "sample.pdf", "page.html", "two.png",
        "exercises", "sweep",
    }  # fmt: skip
    assert {path.name for path in here.iterdir()} == {"home"}


def test_compare_takes_photos_of_other_sizes_for_other_data():
    shapes = ((8, 8), (4, 16))
    same_for_all = {"split": "test", "binarize": "none", "likelihood": "bernoulli"}
    configs = [same_for_all | {"data": data, "image_shape": shape} for data in (".", "digits") for shape in shapes]
    model = VAE(64, (5,), 2, backend="numpy")
    for pair, words in ((configs[:2], "other data"), (configs[2:], "+0.00")):
        result = evaluate(model, datasets.digits("test"))
        found = {row[0]: row[1:] for row in compare.result_rows(dict(enumerate((model, c) for c in pair)), [result, result])}
        assert found["ELBO - that of the first"][1].startswith(words)


@pytest.mark.parametrize("line", ["train", "sample r", "traverse r", "explore r"])
def test_an_image_shape_is_shown_as_one_is_typed(line, capsys):
    with pytest.raises(SystemExit):
        cli.main([*line.split(), "--image-shape", "8x8"])
    assert "--image-shape: takes whole numbers with commas, such as 28,28, got '8x8'" in capsys.readouterr().err


def test_widths_with_spaces_are_those_with_commas(undrawn):
    run(f"{TRAIN} --hidden 9 8 --decoder-hidden 7,6 5 --out r")
    config = load("r/model.npz").config
    assert (config["hidden"], config["decoder_hidden"]) == ([9, 8], [7, 6, 5])


@pytest.mark.parametrize("flag", ["--hidden", "--decoder-hidden"])
def test_no_hidden_layer_beside_others_is_refused_as_in_a_sweep(flag, here, capsys):
    for widths in ("4 none", "none none"):
        with pytest.raises(SystemExit) as stop:
            cli.main(["train", flag, *widths.split()])
        assert stop.value.code == 2 and f"{flag}: none stands alone, for no hidden layer; got {widths}" in capsys.readouterr().err
    assert not list(here.iterdir())


@pytest.mark.parametrize("line", ["--epochs 0", "--batch-size 1501", "--batch-size 0", "--threads 0", "--checkpoint-seconds -1"])
def test_a_number_that_cannot_be_is_refused_before_training_is_announced(line, here, capsys):
    assert cli.main(["train", *line.split()]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and not list(here.iterdir())


def test_single_images_and_the_way_between_two(trained, here, capsys):
    shutil.copytree(trained[0] / "runs" / "001", here / "r")
    run("sample r --n 3 --separate one/each")
    Path("file").write_text("mine")
    assert cli.main("sample r --n 3 --separate file".split()) == 2
    assert "--separate file is a file; name a folder, new or empty" in capsys.readouterr().err
    images = [matplotlib.image.imread(path)[..., 0] for path in sorted(Path("one/each").iterdir())]
    drawn = load("r/model.npz").sample(3, stream("samples", 0)).reshape(3, 8, 8)
    assert np.abs(np.array(images) - drawn).max() <= 1 / 255 and not Path("r/figures/sample.png").exists()
    model, data = load("r/model.npz"), datasets.digits("test")
    figure = cli.look.between(model, data, 3, 5)
    pixels = figure.axes[0].images[0].get_array()
    assert np.array_equal(pixels[1:9, 1:9].ravel(), data[3]) and np.array_equal(pixels[1:9, -9:-1].ravel(), data[5])
    middle = model.decode(model.encode(data[[3, 5]])[0].mean(axis=0, keepdims=True))[0]
    assert np.allclose(pixels[1:9, 55:63].ravel(), middle, atol=1e-6)
    run("traverse r --between 3 5 --out t.png")
    assert cli.main("traverse r --between 3 297".split()) == 2


def test_stopped_while_writing_single_images_leaves_nothing_in_the_way(trained, here, monkeypatch, capsys):
    shutil.copytree(trained[0] / "runs" / "001", here / "r")
    write, written = files.write, []

    def stopped(path, writer):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(write(path, writer))

    monkeypatch.setattr(files, "write", stopped)
    assert cli.main("sample r --n 3 --separate images".split()) == 130
    assert sorted(path.name for path in here.iterdir()) == ["r"]
    monkeypatch.setattr(files, "write", write)
    run("sample r --n 3 --separate images")
    assert len([*Path("images").iterdir()]) == 3


def test_single_images_have_the_range_of_the_data(here, undrawn, capsys):
    np.save("far.npy", 255 * datasets.digits()[:60])
    run("train --data far.npy --likelihood gaussian --batch-size 9 --epochs 1 --hidden 4 --latent-dim 2 --quiet --out r")
    drawn = load("r/model.npz").sample(3, stream("samples", 0))
    for name, (low, high) in {"with": (0, 255), "without": (drawn.min(), drawn.max())}.items():
        capsys.readouterr()
        run(f"sample r --n 3 --separate {name}")
        said = capsys.readouterr().out
        assert f"wrote 3 images to {name}: black is {low:.3g}, white is {high:.3g}" in said
        assert ("the range of these images, for the data of the run cannot be found" in said) == (name == "without")
        images = [matplotlib.image.imread(path)[..., 0].ravel() for path in sorted(Path(name).iterdir())]
        assert np.abs(np.array(images) - np.clip((drawn - low) / (high - low), 0, 1)).max() <= 1 / 255
        Path("far.npy").unlink(missing_ok=True)


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "--help"])
    words = capsys.readouterr().out
    assert stop.value.code == 0 and all("--" + option.name.replace("_", "-") in words for option in cli.options.OPTIONS)


def test_gradcheck_prints_a_row_for_everything(capsys, monkeypatch):
    few = [case for case in gradient_table.models() if "CapacityVAE" in case.name][:3]  # test_gradients.py has them all
    monkeypatch.setattr(gradient_table, "models", lambda dtype: few)
    run("gradcheck")
    printed = capsys.readouterr().out
    assert all(row.name in printed for row in [*gradient_table.PAIRS, *few]) and "WRONG" not in printed


def test_gradcheck_fails_on_a_wrong_gradient(capsys, monkeypatch):
    monkeypatch.setattr(gradient_table, "models", lambda dtype: [])
    monkeypatch.setattr(ops, "tanh_backward", lambda dh, h: dh * (1 - h))
    assert cli.main(["gradcheck"]) == 1
    assert len(re.findall("WRONG: a.*backward .* differences", capsys.readouterr().out)) == 1


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"vae-from-scratch {__version__}\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
@pytest.mark.parametrize("flushed", [False, True])
def test_nobody_reading_on_ends_a_command_in_silence(flushed, monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "gradcheck", lambda options: print("a line", flush=flushed))
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        assert cli.main(["gradcheck"]) == 141
        monkeypatch.undo()  # and closing the pipe says nothing either
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "gradcheck", lambda options: print("a line"))
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert cli.main(["gradcheck"]) == 2
        monkeypatch.undo()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "No space left" in said


def test_one_example_has_no_error_and_no_active_latents_to_count(here, undrawn, capsys):
    np.save("ten.npy", np.random.default_rng(0).uniform(size=(10, 6)).round())
    run("train --data ten.npy --batch-size 9 --epochs 1 --latent-dim 2 --out r")
    run("evaluate r --importance-samples 1")
    out = capsys.readouterr().out
    assert "nan" not in out and "the one ten test example (the error is unknown)" in out
    assert out.count("unknown from one example") == 2 and "1 of 1 have under 2 effective samples" in out
    shutil.copytree("r", "again", ignore=shutil.ignore_patterns("history.csv"))
    run("compare r again")
    rows = {cells[0]: cells[1:] for cells in (re.split(r"  +", line) for line in capsys.readouterr().out.splitlines())}
    assert rows["active latents"] == ["unknown from one example"] * 2 and "nan" not in str(rows)
    assert re.fullmatch(r"-\d+\.\d\d \(error unknown\)", rows["ELBO"][0]) and rows["ELBO - that of the first"] == ["+0.00 (error unknown)"]


def test_notes_are_notes_whatever_python_is_told_about_warnings(here, undrawn, capsys):
    np.save("low.npy", np.arange(200, dtype=np.uint8).reshape(20, 10) % 16)
    for action in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            run(f"train --data low.npy --batch-size 9 --epochs 1 --quiet --out {action}")
        assert "note: " in capsys.readouterr().err


def test_a_name_that_is_no_text_spoils_no_file(here):
    odd = os.fsdecode(b"caf\xe9")
    files.write_csv("t.csv", [["run"], [odd]])
    assert Path("t.csv").read_text("utf-8") == "run\ncaf\\udce9\n" and plots.plain(f"{odd}$") == "caf\\udce9\\$"

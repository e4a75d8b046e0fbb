"""Promise: every command does what its help says, and a run folder can be used again."""

import csv
import json
import re

import numpy as np
import pytest

from vae_from_scratch import __version__, cli, load, ops
from vae_from_scratch.engine import gradient_table

QUICK = ["--epochs", "2", "--quiet"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    assert cli.main(list(arguments)) == 0


def figures(folder):
    return sorted(path.stem for path in (folder / "figures").iterdir())


def test_train_with_no_options_is_a_beta_vae_on_digits(here, capsys):
    run("train", *QUICK)
    folder = here / "runs" / "001"
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.npz",
        "config.json",
        "figures",
        "history.csv",
        "model.npz",
    ]
    assert figures(folder) == ["latents", "learning_curves", "reconstructions", "samples", "traversals"]
    config = json.loads((folder / "config.json").read_text())
    assert list(config) == [option.name for option in cli.options.OPTIONS]
    assert (config["model"], config["data"], config["likelihood"], config["binarize"]) == (
        "beta-vae",
        "digits",
        "bernoulli",
        "dynamic",
    )
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"] and {"loss", "recon_nll", "kl", "kl_9", "valid_loss"} <= set(
        rows[0]
    )
    printed = capsys.readouterr().out
    assert (
        re.search(r"ELBO -\d+\.\d\d \+- \d\.\d\d nats", printed)
        and str(folder.relative_to(here) / "figures") in printed
    )
    assert load(folder / "model.npz").beta == config["beta"]


def test_runs_are_numbered(here):
    for _ in range(2):
        run("train", *QUICK, "--epochs", "1")
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["001", "002"]


@pytest.mark.parametrize(
    "line, expected",
    [
        ("--model autoencoder", ["latents", "learning_curves", "reconstructions"]),
        ("--model autoencoder --likelihood squared-error --latent-dim 1", ["learning_curves", "reconstructions"]),
        (
            "--model vae --latent-dim 2 --hidden none",
            ["latents", "learning_curves", "manifold", "reconstructions", "samples", "traversals"],
        ),
        ("--model vae --latent-dim 1", ["learning_curves", "reconstructions", "samples", "traversals"]),
        (
            "--model capacity-vae --gamma 10 --capacity 2",
            ["latents", "learning_curves", "reconstructions", "samples", "traversals"],
        ),
    ],
)
def test_every_model(line, expected, here):
    run("train", *QUICK, "--out", "r", *line.split())
    assert figures(here / "r") == expected


def test_every_option_reaches_the_model(here):
    line = (
        "--model beta-vae --hidden 9,8 --activation relu --decoder-hidden 7,6,5 --decoder-activation softplus "
        "--latent-dim 4 --likelihood gaussian --sigma per-pixel --mean sigmoid --beta 0.5 --batch-size 64 "
        "--optimizer adagrad --lr 0.01 --weight-decay --init normal --binarize threshold --seed 3 --dtype float64 --backend numpy"
    )
    run("train", *QUICK, "--out", "r", *line.split())
    config = load("r/model.npz").config
    assert config == {
        "data_dim": 64, "hidden": [9, 8], "activation": "relu", "decoder_hidden": [7, 6, 5], "decoder_activation": "softplus",
        "latent_dim": 4, "likelihood": {"name": "gaussian", "sigma": "per-pixel", "mean": "sigmoid"}, "beta": 0.5, "init": "normal",
        "seed": 3, "dtype": "float64", "backend": "numpy",
    }  # fmt: skip


def test_same_command_same_bits(here):
    for out in ("a", "b"):
        run("train", *QUICK, "--out", out)
    a, b = load("a/model.npz"), load("b/model.npz")
    assert all(np.array_equal(a.params[name], b.params[name]) for name in a.params)


def test_a_run_can_be_used_again_and_moved(here, capsys):
    run("train", *QUICK, "--out", "first", "--seed", "3")
    trained = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("ELBO", "active"))]
    (here / "first").rename(here / "second")
    run("evaluate", "second")
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith(("ELBO", "active"))] == trained
    run("evaluate", "second", "--split", "train")
    assert "1500 digits train examples" in capsys.readouterr().out
    run("sample", "second", "--n", "7", "--seed", "3", "--out", "s.png")
    run("traverse", "second", "--out", "t.png")
    assert (here / "s.png").read_bytes()[:4] == (here / "t.png").read_bytes()[:4] == b"\x89PNG"


def test_evaluate_estimates_log_p_and_judges_silent_latents(here, capsys):
    line = "--model vae --latent-dim 1 --hidden none --likelihood gaussian --sigma 3 --dtype float64 --lr 0.02"
    run("train", *QUICK, "--out", "r", *line.split(), "--epochs", "20")
    capsys.readouterr()
    run("evaluate", "r", "--samples", "3", "--importance-samples", "40", "--quadrature", "--quiet")
    printed, progress = capsys.readouterr()
    elbo, bound, exact = (
        float(re.search(rf"^{re.escape(words)} (-[\d.]+) \+- [\d.]+ nats per example", printed, re.M)[1])
        for words in ("ELBO", "log p(x) >=", "log p(x) =")
    )
    assert elbo <= bound + 0.05 and bound == pytest.approx(exact, abs=0.02) and not progress
    assert "from 3 samples of z per example" in printed and "with the KL sampled too: -" in printed
    assert re.search(r"from 40 importance samples .* effective: [\d.]+ in the median, [\d.]+ at the least", printed)
    # noise of variance 9 is more than the data have in any direction: the latent should be silent
    assert re.search(r"silent latents, on the training data: .*: the best model of these data, .* uses 0 of 1", printed)
    run("evaluate", "r", "--importance-samples", "2")
    assert "example" in capsys.readouterr().err  # a progress bar


def test_your_own_images_and_the_note_about_grey_pixels(here, capsys):
    np.save("mine.npy", np.random.default_rng(0).uniform(size=(150, 5, 4)))
    run("train", *QUICK, "--data", "mine.npy", "--out", "r", "--binarize", "none")
    assert capsys.readouterr().out.count("grey pixels") == 1
    run("train", *QUICK, "--data", "mine.npy", "--out", "g", "--likelihood", "gaussian")
    assert "grey pixels" not in capsys.readouterr().out


def test_a_run_on_your_own_file_can_be_looked_at_from_anywhere(here, monkeypatch, capsys):
    np.save("mine.npy", np.random.default_rng(0).uniform(size=(150, 5, 4)))
    run("train", *QUICK, "--data", "mine.npy", "--out", "r")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    run("evaluate", "../r")
    run("sample", "../r", "--n", "3")
    assert "15 mine test examples" in capsys.readouterr().out and (here / "r" / "figures" / "sample.png").is_file()


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "--help"])
    words = capsys.readouterr().out
    assert stop.value.code == 0 and all("--" + option.name.replace("_", "-") in words for option in cli.options.OPTIONS)


def test_gradcheck_prints_a_row_for_everything(capsys, monkeypatch):
    few = [case for case in gradient_table.models() if "CapacityVAE" in case.name]
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

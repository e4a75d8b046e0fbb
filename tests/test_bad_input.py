"""Promise: bad input gets one clear error that names the value, what was expected and the way out; nothing is written."""

import os

import numpy as np
import pytest

from vae_from_scratch import SGD, VAE, Adagrad, Adam, Autoencoder, BetaVAE, CapacityVAE, Gaussian, datasets, evaluation, fit
from vae_from_scratch.cli import main

X = np.random.default_rng(0).uniform(size=(9, 7))
RNG = np.random.default_rng(0)


def model(**options):
    return VAE(**{"data_dim": 7, "hidden": (4,), "latent_dim": 2, **options})


def with_value(value):
    x = X.copy()
    x[3, 2] = value
    return x


CALLS = {  # what is done: (call, telling words)
    "data_dim zero": (lambda: VAE(0), "data_dim must be at least 1, got 0"),
    "data_dim float": (lambda: VAE(7.5), "data_dim must be a whole number, got 7.5"),
    "width zero": (lambda: model(hidden=(5, 0)), "each width in hidden must be at least 1, got 0"),
    "width a number": (lambda: model(hidden=500), r"hidden must be a sequence of layer widths such as \(500,\)"),
    "latent_dim negative": (lambda: model(latent_dim=-3), "latent_dim must be at least 1, got -3"),
    "latent_dim bool": (lambda: model(latent_dim=True), "latent_dim must be a whole number, got True"),
    "activation": (lambda: model(activation="swish"), "activation must be one of linear, tanh, .*got 'swish'"),
    "decoder_activation": (lambda: model(decoder_activation="elu"), "decoder_activation must be one of"),
    "likelihood name": (lambda: model(likelihood="poisson"), "likelihood must be one of bernoulli, gaussian"),
    "likelihood object": (lambda: model(likelihood=3), "likelihood must be one of"),
    "no density": (lambda: model(likelihood="squared-error"), "no density.*Gaussian"),
    "sigma zero": (lambda: Gaussian(sigma=0), "sigma must be a finite number > 0, got 0"),
    "sigma name": (lambda: Gaussian(sigma="big"), "sigma must be one of learned, per-pixel"),
    "mean name": (lambda: Gaussian(mean="tanh"), "mean must be one of linear, sigmoid"),
    "dtype": (lambda: model(dtype="float16"), "dtype must be one of float32, float64, longdouble; got 'float16'"),
    "backend": (lambda: model(backend="cuda"), "backend must be one of numba, numpy; got 'cuda'"),
    "init": (lambda: model(init="zeros"), "init must be one of glorot, normal"),
    "seed": (lambda: model(seed=-1), "seed must be at least 0, got -1"),
    "beta negative": (lambda: BetaVAE(7, beta=-1), "beta must be a finite number >= 0, got -1"),
    "beta nan": (lambda: BetaVAE(7, beta=float("nan")), "beta must be a finite number >= 0, got nan"),
    "gamma": (lambda: CapacityVAE(7, gamma="x"), "gamma must be a number, got 'x'"),
    "capacity": (lambda: CapacityVAE(7, capacity=-2), "capacity must be a finite number >= 0"),
    "lr zero": (lambda: Adam(lr=0), "lr must be a finite number > 0, got 0"),
    "momentum one": (lambda: SGD(momentum=1), "momentum must be a finite number >= 0 and < 1"),
    "beta2 one": (lambda: Adam(beta2=1.0), "beta2 must be"),
    "adagrad_eps": (lambda: Adagrad(adagrad_eps=-1), "adagrad_eps must be"),
    "x one row": (lambda: model().encode(X[0]), r"x must have shape \(N, 7\), got \(7,\); one example is x\[None, :\]"),
    "x wrong width": (lambda: model().loss(X[:, :5], np.zeros((9, 2))), r"x must have shape \(N, 7\), got \(9, 5\)"),
    "x integers": (lambda: model().encode(np.zeros((3, 7), np.uint8)), "x holds uint8 values.*x / 255"),
    "z wrong width": (lambda: model().decode(np.zeros((3, 5))), r"z must have shape \(N, 2\)"),
    "noise missing": (lambda: model().loss_and_grads(X), "draw it with noise = model.draw_noise"),
    "noise of another batch": (lambda: model().loss(X, np.zeros((4, 2))), r"x has 9 examples.*\[\(9, 2\)\], got \[\(4, 2\)\]"),
    "noise for an autoencoder": (lambda: Autoencoder(7).loss(X, np.zeros((9, 2))), "the noise must have the shapes"),
    "rng a seed": (lambda: model().draw_noise(3, 0), r"rng must be a numpy.random.Generator.*got 0"),
    "sample none": (lambda: model().sample(0, RNG), "n must be at least 1"),
    "unknown setting": (lambda: model().set(beta=1.0), "VAE has no setting 'beta'; it has: none"),
    "fit: NaN": (lambda: fit(model(), with_value(np.nan)), r"x holds NaN or infinity \(within rows 0 to 8\)"),
    "fit: infinity": (lambda: fit(model(likelihood="gaussian"), with_value(np.inf)), "x holds NaN or infinity"),
    "fit: above one": (lambda: fit(model(), with_value(1.5)), r"to 1.5, but a Bernoulli likelihood needs \[0, 1\]; rescale"),
    "fit: below zero": (lambda: fit(model(), with_value(-0.5)), "x has values from -0.5"),
    "fit: binarize wants [0, 1]": (lambda: fit(model(likelihood="gaussian"), with_value(2.0), binarize="dynamic"), "values from"),
    "fit: integers": (lambda: fit(model(), np.ones((9, 7), int)), "floats were expected; images of integers"),
    "fit: strings": (lambda: fit(model(), np.array([["a"] * 7])), "floats were expected"),
    "fit: empty": (lambda: fit(model(), X[:0]), "x is empty"),
    "fit: wrong width": (lambda: fit(model(), X[:, :3]), r"x must have shape \(N, 7\)"),
    "fit: a list": (lambda: fit(model(), X.tolist()), r"x must have len\(x\) and x\[indices\]"),
    "fit: a number": (lambda: fit(model(), 3), r"x must have len\(x\) and x\[indices\]"),
    "fit: batch too large": (lambda: fit(model(), X), "batch_size is 100, but x has only 9 examples; use at most 9"),
    "fit: batch zero": (lambda: fit(model(), X, batch_size=0), "batch_size must be at least 1"),
    "fit: epochs": (lambda: fit(model(), X, batch_size=3, epochs=1.5), "epochs must be a whole number"),
    "fit: binarize": (lambda: fit(model(), X, batch_size=3, binarize="yes"), "binarize must be one of none, threshold, dynamic"),
    "fit: optimizer": (lambda: fit(model(), X, optimizer="adam", batch_size=3), r"optimizer must be SGD\(...\)"),
    "fit: x_valid": (lambda: fit(model(), X, batch_size=3, x_valid=with_value(np.nan)), "x_valid holds NaN"),
    "fit: callback_at alone": (lambda: fit(model(), X, batch_size=3, callback_at=[5]), "callback and callback_at go together"),
    "evaluate: empty": (lambda: evaluation.evaluate(model(), X[:0]), "x is empty"),
    "evaluate: NaN": (lambda: evaluation.evaluate(model(), with_value(np.nan)), "x holds NaN"),
    "data: name": (lambda: datasets.load("cifar"), "data must be one of digits, mnist.*or an .npy or .npz file; got 'cifar'"),
    "data: split": (lambda: datasets.digits("valid"), "split must be one of train, test; got 'valid'"),
}


@pytest.mark.parametrize("call, words", CALLS.values(), ids=CALLS)
def test_bad_call(call, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_refused_fit_changes_nothing():
    m = model()
    before = {name: value.copy() for name, value in m.params.items()}
    with pytest.raises(ValueError):
        fit(m, with_value(np.nan), batch_size=3)
    assert all(np.array_equal(before[name], value) for name, value in m.params.items())


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with some files that are no good."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_FROM_SCRATCH_DATA", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    np.save("nan.npy", np.full((200, 4), np.nan))
    np.save("wide.npy", np.full((200, 4), 7.0))
    np.save("ints.npy", np.ones((200, 4), np.int64))
    np.save("flat.npy", np.ones(200))
    np.savez("other.npz", pictures=np.ones((200, 4)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("keep me")
    (tmp_path / "noise.npz").write_bytes(b"not an archive")
    return tmp_path


COMMANDS = {  # command line: telling words of the one line on stderr
    "train --data cifar": "data must be one of",
    "train --data missing.npy": "missing.npy",
    "train --data noise.npz": "noise.npz is not a readable .npz file",
    "train --data nan.npy": "NaN or infinity",
    "train --data wide.npy": "needs [0, 1]; rescale it",
    "train --data ints.npy": "store floats, uint8 (0..255) or bool",
    "train --data flat.npy": "(n, D) or (n, rows, columns)",
    "train --data other.npz": "an array called images (or x) is needed",
    "train --data frey": "set VAE_FROM_SCRATCH_DATA",
    "train --latent-dim 0": "latent_dim must be at least 1",
    "train --hidden 5,0": "each width in hidden must be at least 1",
    "train --hidden five": "--hidden",
    "train --model gan": "--model",
    "train --epochs 0": "epochs must be at least 1",
    "train --batch-size 100000": "batch_size is 100000, but x has only 1500 examples",
    "train --lr -1": "lr must be",
    "train --lr nan": "lr must be",
    "train --beta -1": "beta must be",
    "train --model vae --beta 3": "--beta 3.0 has no effect without --model beta-vae",
    "train --capacity 3": "--capacity 3.0 has no effect without --model capacity-vae",
    "train --sigma 0.5": "--sigma 0.5 has no effect without --likelihood gaussian",
    "train --likelihood gaussian --sigma wide": "--sigma",
    "train --likelihood squared-error": "no density",
    "train --seed -1": "seed must be",
    "train --out full": "full is not an empty folder",
    "train --out noise.npz": "noise.npz is not an empty folder",
    "train --out noise.npz/run": "noise.npz",
    "train --colour red": "--colour",
    "evaluate nowhere": "nowhere holds no model.npz",
    "sample full": "full holds no model.npz",
    "traverse": "RUN",
    "dream": "dream",
    "": "COMMAND",
}


@pytest.mark.parametrize("line", COMMANDS)
def test_bad_command_line(line, here, capsys):
    before = sorted(str(path) for path in here.rglob("*"))
    try:
        code = main(line.split())
    except SystemExit as stop:  # argparse's own
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2 and COMMANDS[line] in error.splitlines()[-1] and "Traceback" not in error
    assert sorted(str(path) for path in here.rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user who can be refused")
def test_a_folder_that_cannot_be_written(here, capsys):
    locked = here / "locked"
    locked.mkdir(mode=0o500)
    assert main(["train", "--out", str(locked)]) == 2
    assert "locked" in capsys.readouterr().err

"""Promise: bad input gets one clear error that names the value, what was expected and the way out; nothing is written."""

import json
import os

import numpy as np
import pytest

from vae_from_scratch import (
    SGD, VAE, Adagrad, Adam, Autoencoder, BetaVAE, CapacityVAE, Gaussian, datasets, evaluation, exact, fit, save,
)  # fmt: skip
from vae_from_scratch.engine import files
from vae_from_scratch.cli import main
from vae_from_scratch.cli.options import OPTIONS

X = np.random.default_rng(0).uniform(size=(9, 7))
RNG = np.random.default_rng(0)


class Lazy:
    """Rows that are fetched when they are asked for, as of a memory map."""

    def __init__(self, x):
        self.values = x

    def __len__(self):
        return len(self.values)

    def __getitem__(self, indices):
        return self.values[indices]


def model(**options):
    return VAE(**{"data_dim": 7, "hidden": (4,), "latent_dim": 2, **options})


def with_value(value):
    x = X.copy()
    x[3, 2] = value
    return x


class FarDown:
    """A data set, not an array, with one bad value."""

    def __init__(self, value):
        self.x = np.zeros((5000, 7))
        self.x[4321, 3] = value

    def __len__(self):
        return 5000

    def __getitem__(self, indices):
        return self.x[indices]


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
    "noise missing": (lambda: model().loss_and_grads(X), "noise = model.draw_noise"),
    "noise of another batch": (
        lambda: model().loss(X, np.zeros((4, 2))),
        r"x has 9 examples.*\[\(9, 2\)\], got \[\(4, 2\)\]",
    ),
    "noise for an autoencoder": (lambda: Autoencoder(7).loss(X, np.zeros((9, 2))), "the noise must have the shapes"),
    "rng a seed": (lambda: model().draw_noise(3, 0), r"rng must be a numpy.random.Generator.*got 0"),
    "sample none": (lambda: model().sample(0, RNG), "n must be at least 1"),
    "unknown setting": (lambda: model().set(beta=1.0), "VAE has no hyperparameter 'beta'; it has: none"),
    "fit: NaN": (lambda: fit(model(), with_value(np.nan)), r"x holds NaN or infinity \(within rows 0 to 8\)"),
    "fit: NaN far down": (
        lambda: fit(model(), FarDown(np.nan)),
        r"x holds NaN or infinity \(within rows 4000 to 4999\)",
    ),
    "fit: above one far down": (lambda: fit(model(), FarDown(7.0)), "x has values from 0 to 7"),
    "fit: lr below zero": (
        lambda: fit(model(), X, Adam(lr=lambda step: -step), batch_size=3),
        r"lr\(1\) must be a finite number >= 0, got -1",
    ),
    "fit: weight_decay": (lambda: fit(model(), X, weight_decay=1e-4, batch_size=3), "weight_decay must be True or False"),
    "fit: infinity": (lambda: fit(model(likelihood="gaussian"), with_value(np.inf)), "x holds NaN or infinity"),
    "fit: above one": (
        lambda: fit(model(), with_value(1.5)),
        r"to 1.5 .*Bernoulli likelihood needs \[0, 1\]; rescale",
    ),
    "fit: below zero": (lambda: fit(model(), with_value(-0.5)), "x has values from -0.5"),
    "fit: binarize wants [0, 1]": (
        lambda: fit(model(likelihood="gaussian"), with_value(2.0), binarize="dynamic"),
        "values from",
    ),
    "fit: integers": (lambda: fit(model(), np.ones((9, 7), int)), "floats were expected; images of integers"),
    "fit: strings": (lambda: fit(model(), np.array([["a"] * 7])), "floats were expected"),
    "fit: empty": (lambda: fit(model(), X[:0]), "x is empty"),
    "fit: wrong width": (lambda: fit(model(), X[:, :3]), r"x must have shape \(N, 7\)"),
    "fit: a list": (lambda: fit(model(), X.tolist()), r"x must have len\(x\) and x\[indices\]"),
    "fit: a number": (lambda: fit(model(), 3), r"x must have len\(x\) and x\[indices\]"),
    "fit: batch too large": (lambda: fit(model(), X), "batch_size is 100, but x has only 9 examples; use at most 9"),
    "fit: batch zero": (lambda: fit(model(), X, batch_size=0), "batch_size must be at least 1"),
    "fit: epochs": (lambda: fit(model(), X, batch_size=3, epochs=1.5), "epochs must be a whole number"),
    "fit: binarize": (
        lambda: fit(model(), X, batch_size=3, binarize="yes"),
        "binarize must be one of none, threshold, dynamic",
    ),
    "fit: optimizer": (lambda: fit(model(), X, optimizer="adam", batch_size=3), r"optimizer must be SGD\(...\)"),
    "fit: x_valid": (lambda: fit(model(), X, batch_size=3, x_valid=with_value(np.nan)), "x_valid holds NaN"),
    "fit: callback_at alone": (
        lambda: fit(model(), X, batch_size=3, callback_at=[5]),
        "callback and callback_at go together",
    ),
    "fit: no model": (lambda: fit("vae", X), r"model must be an Autoencoder\(...\), VAE.*got 'vae'"),
    "fit: a class": (lambda: fit(VAE, X, batch_size=3), r"model must be an Autoencoder.*got <class"),
    "fit: an optimizer's class": (
        lambda: fit(model(), X, Adam, batch_size=3),
        r"optimizer must be SGD\(...\).*got <class",
    ),
    "evaluate: no model": (lambda: evaluation.evaluate(None, X), "model must be an Autoencoder.*got None"),
    "fit: minus infinity": (lambda: fit(model(likelihood="gaussian"), with_value(-np.inf)), "x holds NaN or infinity"),
    "fit: x_valid infinity": (
        lambda: fit(model(), X, batch_size=3, x_valid=with_value(np.inf)),
        "x_valid holds NaN or infinity",
    ),
    "fit: x_valid empty": (lambda: fit(model(), X, batch_size=3, x_valid=X[:0]), "x_valid is empty"),
    "fit: x_valid width": (
        lambda: fit(model(), X, batch_size=3, x_valid=X[:, :3]),
        r"x_valid must have shape \(N, 7\)",
    ),
    "fit: x_valid integers": (
        lambda: fit(model(), X, batch_size=3, x_valid=np.ones((9, 7), int)),
        "x_valid holds int64.*x / 255",
    ),
    "fit: one example": (
        lambda: fit(model(), X[0], batch_size=1),
        r"x must have shape \(N, 7\), got \(7,\); one example is x\[None",
    ),
    "fit: callback_at an array": (
        lambda: fit(model(), X, batch_size=3, callback=print, callback_at=np.arange(3)),
        "each number in callback_at must be at least 1, got 0",
    ),
    "fit: callback_at is missing": (lambda: fit(model(), X, batch_size=3, callback=print), "go together"),
    "lr beyond all floats": (lambda: Adam(lr=10**400), "lr must be a finite number > 0, got inf"),
    "epochs beyond all integers": (lambda: fit(model(), X, batch_size=3, epochs=10**400), "epochs must be below .*, got"),
    "adagrad_eps zero": (lambda: Adagrad(adagrad_eps=0), "adagrad_eps must be a finite number > 0, got 0"),
    "a seed too long": (lambda: model(seed=2**128), "seed must be below 3402.*, got"),
    "bytes as they are": (
        lambda: fit(model(), datasets.dataset.Dataset("b", np.full((20, 7), 200, np.uint8), (1, 7)), batch_size=3),
        "x has values from 200 to 200.*rescale",
    ),
    "bytes beyond the scale": (
        lambda: fit(model(), datasets.dataset.Dataset("b", np.full((20, 7), 17, np.uint8), (1, 7), scale=16), batch_size=3),
        "x has values from 1.0625 to 1.0625",
    ),
    "NaN behind a lazy array": (lambda: fit(model(), Lazy(with_value(np.nan)), batch_size=3), "x holds NaN or infinity"),
    "fit: seed": (lambda: fit(model(), X, batch_size=3, seed=-1), "seed must be at least 0, got -1"),
    "fit: seed None": (lambda: fit(model(), X, batch_size=3, seed=None), "seed must be a whole number, got None"),
    "fit: epochs None": (lambda: fit(model(), X, batch_size=3, epochs=None), "epochs must be a whole number, got None"),
    "fit: schedule": (lambda: fit(model(), X, batch_size=3, schedule={"beta": 1}), "schedule must be a function, got"),
    "fit: schedule's answer": (
        lambda: fit(BetaVAE(7), X, batch_size=3, schedule=lambda step: 2.0),
        "must return a dict of hyper.*got 2.0",
    ),
    "fit: schedule's value": (
        lambda: fit(BetaVAE(7), X, batch_size=3, schedule=lambda step: {"beta": np.nan}),
        "beta must be a finite",
    ),
    "fit: schedule's name": (
        lambda: fit(BetaVAE(7), X, batch_size=3, schedule=lambda step: {"gamma": 1}),
        "no hyperparameter 'gamma'; it has: beta",
    ),
    "fit: callback": (
        lambda: fit(model(), X, batch_size=3, callback=3, callback_at=[1]),
        "callback must be a function, got 3",
    ),
    "fit: callback_at": (
        lambda: fit(model(), X, batch_size=3, callback=print, callback_at=[0]),
        "each number in callback_at must be at least 1",
    ),
    "fit: checkpoint": (
        lambda: fit(model(), X, batch_size=3, checkpoint=3),
        "checkpoint must be the name of a folder, got 3",
    ),
    "fit: checkpoint_seconds": (
        lambda: fit(model(), X, batch_size=3, checkpoint="c", checkpoint_seconds=-1),
        "checkpoint_seconds must be .* >= 0, got -1",
    ),
    "fit: checkpoint_seconds a string": (
        lambda: fit(model(), X, batch_size=3, checkpoint="c", checkpoint_seconds="1"),
        "checkpoint_seconds must be a number, got '1'",
    ),
    "fit: nowhere to keep": (lambda: fit(model(), X, batch_size=3, checkpoint_seconds=1), "need checkpoint=FOLDER"),
    "fit: nowhere to resume": (lambda: fit(model(), X, batch_size=3, resume=True), "need checkpoint=FOLDER"),
    "fit: nothing kept of bad data": (
        lambda: fit(model(), with_value(np.nan), batch_size=3, checkpoint="c"),
        "x holds NaN",
    ),
    "save: no model": (lambda: save({"a": 1}, "m.npz"), "model must be an Autoencoder, VAE.*got"),
    "encode: integers": (
        lambda: model().encode(np.ones((2, 7), int)),
        "x holds int64 values, floats were expected; images of integers",
    ),
    "encode: a string": (lambda: model().encode("x"), r"x must have shape \(N, 7\), got \(\)"),
    "one latent, noise of two": (
        lambda: model(latent_dim=1).loss(X, np.zeros((9, 2))),
        r"shapes \[\(9, 1\)\], got \[\(9, 2\)\]",
    ),
    "sigma NaN": (lambda: Gaussian(sigma=float("nan")), "sigma must be a finite number > 0, got nan"),
    "adam_eps zero": (lambda: Adam(adam_eps=0), "adam_eps must be a finite number > 0, got 0"),
    "lr a string": (lambda: Adam(lr="fast"), "lr must be a number, got 'fast'"),
    "evaluate: batch_size": (lambda: evaluation.evaluate(model(), X, batch_size=0), "batch_size must be at least 1"),
    "evaluate: binarize": (lambda: evaluation.evaluate(model(), X, binarize="no"), "binarize must be one of"),
    "blobs: size": (lambda: datasets.blobs(size=0), "size must be at least 1"),
    "evaluate: empty": (lambda: evaluation.evaluate(model(), X[:0]), "x is empty"),
    "evaluate: NaN": (lambda: evaluation.evaluate(model(), with_value(np.nan)), "x holds NaN"),
    "evaluate: samples": (lambda: evaluation.evaluate(model(), X, samples=0), "samples must be at least 1, got 0"),
    "evaluate: samples of an autoencoder": (
        lambda: evaluation.evaluate(Autoencoder(7, (4,), 2), X, samples=2),
        r"an Autoencoder has no prior p\(z\), so no ELBO and no log p\(x\); train a VAE",
    ),
    "log p(x): samples": (lambda: evaluation.log_likelihood(model(), X, 0), "samples must be at least 1, got 0"),
    "log p(x): samples not whole": (
        lambda: evaluation.log_likelihood(model(), X, 1e3),
        "samples must be a whole number, got 1000.0",
    ),
    "log p(x): pairs": (lambda: evaluation.log_likelihood(model(), X, pairs=0), "pairs must be at least 1, got 0"),
    "log p(x): seed": (lambda: evaluation.log_likelihood(model(), X, seed=-1), "seed must be at least 0, got -1"),
    "log p(x): progress": (
        lambda: evaluation.log_likelihood(model(), X, progress=1),
        "progress must be True or False, got 1",
    ),
    "log p(x): range": (lambda: evaluation.log_likelihood(model(), X + 1), r"a Bernoulli likelihood needs \[0, 1\]"),
    "log p(x): autoencoder": (lambda: evaluation.log_likelihood(Autoencoder(7, (4,), 2), X), "has no prior"),
    "quadrature: autoencoder": (lambda: exact.quadrature(Autoencoder(7, (4,), 2), X), "has no prior"),
    "quadrature: three latents": (
        lambda: exact.quadrature(model(latent_dim=3), X),
        "a grid over 3 latents is too large, quadrature is for one or two; use importance",
    ),
    "collapse: autoencoder": (lambda: exact.collapse(Autoencoder(7, (4,), 2), X), "has no prior"),
    "collapse: shape": (lambda: exact.collapse(model(), X[:, :3]), r"x must have shape \(N, 7\)"),
    "data: name": (
        lambda: datasets.load("cifar"),
        "data must be one of digits, mnist.*or an .npy or .npz file; got 'cifar'",
    ),
    "data: split": (lambda: datasets.digits("valid"), "split must be one of train, test; got 'valid'"),
}


@pytest.mark.parametrize("call, words", CALLS.values(), ids=CALLS)
def test_bad_call(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_smallest_of_everything_works():
    m = VAE(1, hidden=(1,), latent_dim=1)
    history = fit(m, np.ones((1, 1)), batch_size=1, epochs=2, progress=False)
    assert np.isfinite(history["loss"]).all() and m.sample(1, RNG).shape == (1, 1)


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
    np.save("empty.npy", np.ones((0, 4)))
    np.save("inf.npy", np.full((200, 4), np.inf))
    np.save("objects.npy", np.array([{}] * 20, dtype=object))
    np.save("small.npy", np.full((20, 4), 0.5))
    np.savez("labels.npz", images=np.full((20, 4), 0.5), labels=np.ones(3))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "small.npy").read_bytes()[:-1])
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text('{"model": "vae"')
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"colour": "red"}')
    options = {option.name: option.default for option in OPTIONS} | {"epochs": 2, "beta": 2.0, "binarize": "dynamic"}
    for name, change in {
        "begun": {},
        "edited": {"optimizer": "lbfgs"},
        "typed": {"hidden": "wide"},
        "damaged": {},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(options | change))
    for name, trained in {"done": VAE(64, (4,), 3), "codes": Autoencoder(64, (4,), 3)}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(options))
        save(trained, tmp_path / name / "model.npz")
    (tmp_path / "damaged" / "checkpoint.npz").write_bytes(b"PK\x03\x04")
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
    "train --data empty.npy": "with n >= 10 is needed",
    "train --data inf.npy --likelihood gaussian": "NaN or infinity",
    "train --data objects.npy": "Object arrays are never loaded",
    "train --data cut.npy": "promises 640 bytes",
    "train --data labels.npz": "20 images but labels of shape (3,)",
    "train --data small.npy": "batch_size is 100, but x has only 18 examples; use at most 18",
    "train --latent-dim two": "argument --latent-dim: invalid int value: 'two'",
    "train --hidden 99999999999": "Unable to allocate",
    "train --epochs 1.5": "argument --epochs: invalid int value: '1.5'",
    "train --optimizer lbfgs": "argument --optimizer: invalid choice: 'lbfgs'",
    "train --dtype float16": "argument --dtype: invalid choice: 'float16'",
    "train --checkpoint-seconds -2": "checkpoint_seconds must be a finite number >= 0, got -2",
    "train --likelihood gaussian --sigma -1": "sigma must be a finite number > 0, got -1.0",
    "train --resume": "argument --resume: expected one argument",
    "train --resume nowhere": "nowhere holds no config.json; name a folder that vae-from-scratch train has left",
    "train --resume full": "full holds no config.json",
    "train --resume half": "config.json is not valid JSON",
    "train --resume odd": "does not hold the options of this version",
    "train --resume edited": "optimizer must be one of adam, adagrad, sgd; got 'lbfgs'",
    "train --resume typed": "hidden must be a sequence of layer widths",
    "train --resume damaged": "damaged/checkpoint.npz is not a readable .npz file",
    "train --resume begun --lr 0.1": "--resume takes everything but --epochs from begun; leave out --lr",
    "train --resume begun --out other --latent-dim 3": "leave out --latent-dim, --out",
    "train --resume begun --epochs 0": "epochs must be at least 1",
    "evaluate begun": "begun holds no model.npz",
    "sample nowhere --n many": "argument --n: invalid int value: 'many'",
    "evaluate nowhere": "nowhere holds no model.npz",
    "evaluate done --samples 0": "samples must be at least 1, got 0",
    "evaluate done --importance-samples 0": "importance_samples must be at least 1, got 0",
    "evaluate done --importance-samples 1e3": "argument --importance-samples: invalid int value: '1e3'",
    "evaluate done --quadrature": "a grid over 3 latents is too large, quadrature is for one or two",
    "evaluate codes --samples 5": "an Autoencoder has no prior p(z), so no ELBO",
    "evaluate codes --importance-samples 10": "an Autoencoder has no prior p(z), so no ELBO",
    "evaluate codes --quadrature": "an Autoencoder has no prior p(z), so no ELBO",
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
    error = capsys.readouterr().err.replace("\\", "/")
    assert code == 2 and COMMANDS[line] in error and error.startswith("vae-from-scratch") and error.count("\n") == 1
    assert sorted(str(path) for path in here.rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user who can be refused")
def test_a_folder_that_cannot_be_written(here, capsys):
    locked = here / "locked"
    locked.mkdir(mode=0o500)
    assert main(["train", "--out", str(locked)]) == 2
    assert "locked" in capsys.readouterr().err


def test_a_folder_that_refuses_is_one_line(here, capsys, monkeypatch):
    # the same for a user whom nothing refuses, as in a container
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "open", refuse, raising=False)
    before = sorted(here.rglob("*"))
    assert main(["train", "--data", "blobs", "--out", "new"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Permission denied: 'new/" in error.replace("\\", "/")
    assert sorted(here.rglob("*")) == before

"""Promise: bad input gets one clear error: the value, what was expected, the way out; nothing is written."""

import json
import os

import numpy as np
import pytest
from helpers import ROOT, refused, same, unsaid

from vae_from_scratch import (
    IWAE, SGD, VAE, Adagrad, Adam, Autoencoder, BetaVAE, CapacityVAE, ContractiveAutoencoder, DenoisingAutoencoder, FreeBitsVAE,
    Gaussian, Laplace, SparseAutoencoder, datasets, evaluation, exact, fit, gradcheck, load, plots, save,
)  # fmt: skip
from vae_from_scratch.cli import main
from vae_from_scratch.cli.options import OPTIONS
from vae_from_scratch.disentanglement import baselines
from vae_from_scratch.engine import files

X = np.random.default_rng(0).uniform(size=(9, 7))
RNG = np.random.default_rng(0)


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


class Stepping:
    """An optimizer that lacks initial_state."""

    def step(self, params, grads, state):
        pass


def check(backward, generator=RNG):
    return gradcheck.check_pair(lambda a: 2 * a, backward, {"a": X}, generator)


class Kept(VAE):
    """An argument that no file can hold, if it is a function."""

    def __init__(self, *args, kept=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.kept = kept


def assigned(thing, name, value):
    setattr(thing, name, value)
    return thing


def parameters(value):
    class Own(VAE):
        name = None

        def initial_params(self, rng):
            return {**super().initial_params(rng), "own": value}

    return Own(7, (4,), 2)


def noises(shapes):
    class Own(VAE):
        name = None

        def noise_shapes(self, n):
            return shapes

    return Own(7, (4,), 2)


def without_the_parents():
    class Own(BetaVAE):
        name, hyperparameters = None, {"weight": 0}

        def __init__(self, *args, weight=1.0, **kwargs):
            super().__init__(*args, **kwargs)

    return Own(7, (4,), 2)


def fixed():
    class Own(VAE):
        name = None

        def __init__(self, data_dim):
            super().__init__(data_dim, (4,), 2)

    return Own(7)


def remembers(value):
    class Own(SGD):
        def initial_state(self, params):
            return super().initial_state(params) | {"previous": value}

    return Own()


def images_that_are_no_rows():
    return datasets.FactorDataset("squares", lambda factors: np.zeros((len(factors), 2, 2)), ["size"], [3], (2, 2))


def with_nan(model):
    model.params["encoder_b1"] = np.nan
    return model


def names_what_it_does_not_take():
    class Takes(VAE):
        hyperparameters = {"gamma": 0}


class Lazy:
    """Rows that are fetched when they are asked for, as of a memory map."""

    def __init__(self, x):
        self.values = x

    def __len__(self):
        return len(self.values)

    def __getitem__(self, indices):
        return self.values[indices]


class Filtering(Lazy):
    """A data set that keeps rows back."""

    def __getitem__(self, indices):
        return self.values[indices][:-1]


class WithLabels(Lazy):
    """A data set that gives labels as well."""

    def __getitem__(self, indices):
        return self.values[indices], np.zeros(len(indices))


class Sparse:
    """What a sparse matrix has."""

    def toarray(self):
        return X


def stored(value, scale):
    """A data set of bytes that are all this value."""
    return datasets.dataset.Dataset("bytes", np.full((20, 7), value, np.uint8), (1, 7), scale=scale)


# What is done: (call, words that any good message holds: the name, the value, what was expected or the way out)
CALLS = {
    "data_dim zero": (lambda: VAE(0), "data_dim 0 1"),
    "fit: a little above one": (lambda: fit(model(), X.clip(0, 0.5) * 2.000002, batch_size=3, progress=False), "x 1.000001 [0, 1]"),
    "encode: beyond float32": (lambda: model(likelihood="gaussian").encode(X * 1e300), "x too large for float32"),
    "initial_params: dtype": (lambda: parameters(np.zeros(3)), "Own.initial_params float32 own float64"),
    "initial_params: a number": (lambda: parameters(0.0), "Own.initial_params float32 own float"),
    "noise_shapes: one shape": (lambda: fit(noises((9, 2)), X, batch_size=9, progress=False), "noise_shapes ((n, Z),) (9, 2)"),
    "hyperparameters: the parent's": (without_the_parents, "Own 'beta' weight {**BetaVAE.hyperparameters"),
    "untrained: no seed": (lambda: baselines.untrained(fixed()), "Own constructor seed"),
    "optimizer: its state": (lambda: fit(model(), X, remembers(None), batch_size=3, progress=False), "state previous number array None"),
    "optimizer: a growing state": (lambda: fit(model(), X, remembers([]), batch_size=3, progress=False), "state previous array []"),
    "factors: images": (lambda: images_that_are_no_rows()[:], "draw (D,) 3 (3, 2, 2)"),
    "data_dim float": (lambda: VAE(7.5), "data_dim whole|integer 7.5"),
    "width zero": (lambda: model(hidden=(5, 0)), "hidden 0 1"),
    "width a number": (lambda: model(hidden=500), "hidden (500,)"),
    "latent_dim negative": (lambda: model(latent_dim=-3), "latent_dim -3 1"),
    "latent_dim bool": (lambda: model(latent_dim=True), "latent_dim whole|integer True"),
    "activation": (lambda: model(activation="swish"), "activation linear tanh relu sigmoid softplus 'swish'"),
    "decoder_activation": (lambda: model(decoder_activation="swish"), "decoder_activation tanh 'swish'"),
    "likelihood name": (lambda: model(likelihood="bernouli"), "likelihood bernoulli gaussian 'bernouli'"),
    "likelihood object": (lambda: model(likelihood=3), "likelihood bernoulli 3"),
    "no density": (lambda: model(likelihood="squared-error"), "squared-error density Gaussian"),
    "sigma zero": (lambda: Gaussian(sigma=0), "sigma 0"),
    "sigma name": (lambda: Gaussian(sigma="big"), "sigma learned per-pixel 'big'"),
    "mean name": (lambda: Gaussian(mean="tanh"), "mean linear sigmoid 'tanh'"),
    "scale zero": (lambda: Laplace(scale=0), "scale 0"),
    "scale name": (lambda: Laplace(scale="big"), "scale learned per-pixel 'big'"),
    "dtype": (lambda: model(dtype="float16"), "dtype float32 float64 'float16'"),
    "backend": (lambda: model(backend="cuda"), "backend numba numpy 'cuda'"),
    "init": (lambda: model(init="zeros"), "init glorot normal 'zeros'"),
    "seed": (lambda: model(seed=-1), "seed 0 -1"),
    "beta for a VAE": (lambda: model(beta=4), "VAE beta BetaVAE"),
    "no argument at all": (lambda: model(colour=4), "colour"),
    "beta negative": (lambda: BetaVAE(7, beta=-1), "beta 0 -1"),
    "beta nan": (lambda: BetaVAE(7, beta=float("nan")), "beta 0 nan"),
    "gamma": (lambda: CapacityVAE(7, gamma="x"), "gamma number|float 'x'"),
    "capacity": (lambda: CapacityVAE(7, capacity=-2), "capacity 0 -2"),
    "samples": (lambda: IWAE(7, samples=0), "samples at least 1 0"),
    "samples half": (lambda: IWAE(7).set(samples=1.5), "samples whole|integer 1.5"),
    "samples of a VAE": (lambda: VAE(7, samples=3), "VAE samples IWAE"),
    "doubly": (lambda: IWAE(7, doubly="yes"), "doubly True False 'yes'"),
    "free_bits": (lambda: FreeBitsVAE(7, free_bits=-1), "free_bits 0 -1"),
    "corruption": (lambda: DenoisingAutoencoder(7, corruption="dropout"), "corruption masking gaussian 'dropout'"),
    "level of masking": (lambda: DenoisingAutoencoder(7, level=1.0), "level 0 1.0"),
    "level, later": (lambda: DenoisingAutoencoder(7).set(level=1.5), "level 0 1 1.5"),
    "penalty": (lambda: SparseAutoencoder(7, penalty="l2"), "penalty kl l1 'l2'"),
    "weight": (lambda: SparseAutoencoder(7, weight=-1), "weight 0 -1"),
    "rho": (lambda: SparseAutoencoder(7, rho=0), "rho 0 1"),
    "KL of a relu code": (lambda: SparseAutoencoder(7, code="relu"), "kl sigmoid 'relu' l1"),
    "another decoder": (lambda: ContractiveAutoencoder(7, (5,), 2, decoder_hidden=(4,)), "decoder_hidden mirror (2, 5, 7) (2, 4, 7)"),
    "two outputs a pixel": (
        lambda: ContractiveAutoencoder(7, (), 2, likelihood=Gaussian("per-pixel")), "likelihood one (2, 7) (2, 14)",
    ),
    "lr zero": (lambda: Adam(lr=0), "lr 0"),
    "momentum one": (lambda: SGD(momentum=1), "momentum 0 1"),
    "beta2 one": (lambda: Adam(beta2=1.0), "beta2 1"),
    "adagrad_eps": (lambda: Adagrad(adagrad_eps=-1), "adagrad_eps 0 -1"),
    "x one row": (lambda: model().encode(X[0]), "x (N, 7) (7,) x[None, :]"),
    "x wrong width": (lambda: model().loss(X[:, :5], np.zeros((9, 2))), "x (N, 7) (9, 5)"),
    "x integers": (lambda: model().encode(np.zeros((3, 7), np.uint8)), "x uint8 floats|float x.astype('float32')"),
    "z wrong width": (lambda: model().decode(np.zeros((3, 5))), "z (N, 2) (3, 5)"),
    "noise missing": (lambda: model().loss_and_grads(X), "noise model.draw_noise"),
    "noise of another batch": (lambda: model().loss(X, np.zeros((4, 2))), "x 9 (9, 2) (4, 2)"),
    "noise for an autoencoder": (lambda: Autoencoder(7).loss(X, np.zeros((9, 2))), "noise (9, 2)"),
    "rng a seed": (lambda: model().draw_noise(3, 0), "rng numpy.random.Generator numpy.random.default_rng(0) 0"),
    "sample none": (lambda: model().sample(0, RNG), "n 0 1"),
    "unknown setting": (lambda: model().set(beta=1.0), "VAE 'beta' none"),
    "fit: NaN": (lambda: fit(model(), with_value(np.nan)), "x NaN row 3"),
    "fit: NaN far down": (lambda: fit(model(), FarDown(np.nan)), "x NaN row 4321"),
    "fit: above one far down": (lambda: fit(model(), FarDown(7.0)), "x 0 7 Bernoulli [0, 1]"),
    "fit: lr below zero": (lambda: fit(model(), X, Adam(lr=lambda step: -step), batch_size=3), "lr(1) 0 -1"),
    "fit: weight_decay": (lambda: fit(model(), X, weight_decay=1e-4, batch_size=3), "weight_decay True False 0.0001"),
    "fit: infinity": (lambda: fit(model(likelihood="gaussian"), with_value(np.inf)), "x infinity row 3"),
    "fit: above one": (lambda: fit(model(), with_value(1.5)), "x 1.5 Bernoulli [0, 1] / 255 Gaussian"),
    "fit: below zero": (lambda: fit(model(), with_value(-0.5)), "x -0.5 Bernoulli [0, 1]"),
    "fit: binarize wants [0, 1]": (
        lambda: fit(model(likelihood="gaussian"), with_value(2.0), binarize="dynamic"),
        "x 2 [0, 1]",
    ),
    "fit: integers": (lambda: fit(model(), np.full((9, 7), 200)), "x int64 floats|float / 255"),
    "fit: integers 0 and 1": (lambda: fit(model(), np.ones((9, 7), int)), "x int64 floats|float x.astype('float32')"),
    "fit: integers to 16": (lambda: fit(model(), np.full((9, 7), 16)), "x int64 floats|float / 16"),
    "fit: images": (lambda: fit(VAE(784), np.zeros((9, 28, 28))), "x (N, 784) (9, 28, 28) x.reshape(9, 784)"),
    "fit: sparse": (lambda: fit(model(), Sparse()), "x sparse Sparse x.toarray()"),
    "fit: masked": (lambda: fit(model(), np.ma.masked_less(X, 0.5)), "x masked x.filled(0.0)"),
    "fit: ragged": (lambda: fit(model(), [[0.5] * 7, [0.5] * 6]), "x list"),
    "encode: bytes as floats": (lambda: model().encode(200 * X), "x Bernoulli [0, 1] / 255"),
    "encode: masked": (lambda: model().encode(np.ma.masked_less(X, 0.5)), "x masked x.filled(0.0)"),
    "fit: binarize beyond [0, 1]": (
        lambda: fit(model(likelihood="gaussian"), 3 * X, batch_size=3, binarize="dynamic"), "x binarize='dynamic' [0, 1] / 255 leave"),
    "evaluate: binarize beyond [0, 1]": (
        lambda: evaluation.evaluate(model(likelihood="gaussian"), 3 * X, binarize="threshold"), "x binarize='threshold' [0, 1] leave"),
    "encode: NaN": (lambda: model().encode(with_value(np.nan)), "x NaN row 3"),
    "loss: NaN": (lambda: model().loss(with_value(np.nan), np.zeros((9, 2))), "x NaN"),
    "loss_and_grads: bytes as floats": (lambda: model().loss_and_grads(200 * X, np.zeros((9, 2))), "x [0, 1] / 255"),
    "recon_nll: another x": (lambda: model().recon_nll(X[:, :4], np.zeros((3, 2))), "x (N, 7) 4"),
    "recon_nll: another z": (lambda: model().recon_nll(X, np.zeros((len(X), 3))), "z (N, 2) 3"),
    "recon_nll: one x": (lambda: model().recon_nll(X[:1], np.zeros((5, 2))), "x z rows 1 5 repeat"),
    "decode: NaN": (lambda: model().decode(np.full((3, 2), np.nan)), "z NaN"),
    "fit: strings": (lambda: fit(model(), np.array([["a"] * 7])), "x <U1 floats|float"),
    "fit: empty": (lambda: fit(model(), X[:0]), "x empty|examples"),
    "fit: wrong width": (lambda: fit(model(), X[:, :3]), "x (N, 7) 3)"),
    "fit: a number": (lambda: fit(model(), 3), "x len(x) x[indices] int"),
    "fit: batch too large": (lambda: fit(model(), X), "batch_size 100 9"),
    "fit: batch zero": (lambda: fit(model(), X, batch_size=0), "batch_size 0 1"),
    "fit: epochs": (lambda: fit(model(), X, batch_size=3, epochs=1.5), "epochs whole|integer 1.5"),
    "fit: binarize": (lambda: fit(model(), X, batch_size=3, binarize="yes"), "binarize none threshold dynamic 'yes'"),
    "fit: optimizer": (lambda: fit(model(), X, optimizer="adam", batch_size=3), "optimizer SGD(...) Adam(...) 'adam'"),
    "fit: x_valid": (lambda: fit(model(), X, batch_size=3, x_valid=with_value(np.nan)), "x_valid NaN"),
    "fit: callback_at alone": (lambda: fit(model(), X, batch_size=3, callback_at=[5]), "callback callback_at"),
    "fit: no model": (lambda: fit("vae", X), "model Autoencoder(...) VAE(...) BetaVAE(...) 'vae'"),
    "fit: a class": (lambda: fit(VAE, X, batch_size=3), "model VAE(...) <class"),
    "fit: an optimizer's class": (lambda: fit(model(), X, Adam, batch_size=3), "optimizer Adam(...) <class"),
    "evaluate: no model": (lambda: evaluation.evaluate(None, X), "model VAE(...) None"),
    "fit: minus infinity": (lambda: fit(model(likelihood="gaussian"), with_value(-np.inf)), "x infinity row 3"),
    "fit: x_valid infinity": (lambda: fit(model(), X, batch_size=3, x_valid=with_value(np.inf)), "x_valid infinity"),
    "fit: x_valid empty": (lambda: fit(model(), X, batch_size=3, x_valid=X[:0]), "x_valid empty|examples"),
    "fit: x_valid width": (lambda: fit(model(), X, batch_size=3, x_valid=X[:, :3]), "x_valid (N, 7) 3)"),
    "fit: x_valid integers": (
        lambda: fit(model(), X, batch_size=3, x_valid=np.ones((9, 7), int)),
        "x_valid int64 floats|float x_valid.astype('float32')",
    ),
    "fit: one example": (lambda: fit(model(), X[0], batch_size=1), "x (N, 7) (7,) x[None, :]"),
    "fit: seed": (lambda: fit(model(), X, batch_size=3, seed=-1), "seed 0 -1"),
    "fit: seed None": (lambda: fit(model(), X, batch_size=3, seed=None), "seed whole|integer None"),
    "fit: epochs None": (lambda: fit(model(), X, batch_size=3, epochs=None), "epochs whole|integer None"),
    "fit: schedule": (lambda: fit(model(), X, batch_size=3, schedule=3), "schedule function|callable 3"),
    "fit: schedule's answer": (
        lambda: fit(BetaVAE(7), X, batch_size=3, schedule=lambda step: 2.0),
        "schedule dict|mapping 2.0",
    ),
    "fit: schedule's value": (
        lambda: fit(BetaVAE(7), X, batch_size=3, schedule=lambda step: {"beta": np.nan}),
        "beta 0 nan",
    ),
    "fit: schedule's name": (
        lambda: fit(BetaVAE(7), X, batch_size=3, schedule=lambda step: {"gamma": 1}),
        "BetaVAE 'gamma' beta",
    ),
    "fit: callback": (lambda: fit(model(), X, batch_size=3, callback=3, callback_at=[1]), "callback function 3"),
    "fit: callback_at": (lambda: fit(model(), X, batch_size=3, callback=print, callback_at=[0]), "callback_at 0 1"),
    "fit: checkpoint": (lambda: fit(model(), X, batch_size=3, checkpoint=3), "checkpoint folder|directory 3"),
    "fit: checkpoint_seconds": (
        lambda: fit(model(), X, batch_size=3, checkpoint="c", checkpoint_seconds=-1),
        "checkpoint_seconds 0 -1",
    ),
    "fit: checkpoint_seconds a string": (
        lambda: fit(model(), X, batch_size=3, checkpoint="c", checkpoint_seconds="1"),
        "checkpoint_seconds number|float '1'",
    ),
    "fit: nowhere to keep": (lambda: fit(model(), X, batch_size=3, checkpoint_seconds=1), "checkpoint_seconds checkpoint="),
    "fit: callback_at an array": (
        lambda: fit(model(), X, batch_size=3, callback=print, callback_at=np.arange(3)),
        "callback_at 0 1",
    ),
    "fit: callback_at is missing": (lambda: fit(model(), X, batch_size=3, callback=print), "callback callback_at"),
    "fit: callback_at a number": (lambda: fit(model(), X, batch_size=3, callback=print, callback_at=5), "callback_at list 5"),
    "hidden nothing": (lambda: model(hidden=None), "hidden (500,) None"),
    "lr beyond all floats": (lambda: Adam(lr=10**400), "lr 0 inf"),
    "epochs beyond all integers": (lambda: fit(model(), X, batch_size=3, epochs=10**400), f"epochs {2**63} digits"),
    "adagrad_eps zero": (lambda: Adagrad(adagrad_eps=0), "adagrad_eps 0"),
    "a seed too long": (lambda: model(seed=2**128), f"seed {2**128} digits"),
    "bytes as they are": (lambda: fit(model(), stored(200, 1), batch_size=3), "x 200 [0, 1] / 255"),
    "bytes beyond the scale": (lambda: fit(model(), stored(17, 16), batch_size=3), "x 1.0625 [0, 1]"),
    "NaN behind a lazy array": (lambda: fit(model(), Lazy(with_value(np.nan)), batch_size=3), "x NaN"),
    "fit: nowhere to resume": (lambda: fit(model(), X, batch_size=3, resume=True), "resume checkpoint="),
    "fit: nothing kept of bad data": (
        lambda: fit(model(), with_value(np.nan), batch_size=3, checkpoint="c"),
        "x NaN row 3",
    ),
    "save: no model": (lambda: save({"a": 1}, "m.npz"), "model Autoencoder VAE BetaVAE {'a'"),
    "encode: integers": (lambda: model().encode(np.full((2, 7), 255)), "x int64 floats|float / 255"),
    "encode: a string": (lambda: model().encode("x"), "x (N, 7) ()"),
    "one latent, noise of two": (lambda: model(latent_dim=1).loss(X, np.zeros((9, 2))), "noise (9, 1) (9, 2)"),
    "sigma NaN": (lambda: Gaussian(sigma=float("nan")), "sigma 0 nan"),
    "adam_eps zero": (lambda: Adam(adam_eps=0), "adam_eps 0"),
    "lr a string": (lambda: Adam(lr="fast"), "lr number|float 'fast'"),
    "evaluate: batch_size": (lambda: evaluation.evaluate(model(), X, batch_size=0), "batch_size 0 1"),
    "evaluate: binarize": (lambda: evaluation.evaluate(model(), X, binarize="no"), "binarize none dynamic 'no'"),
    "blobs: size": (lambda: datasets.blobs(size=0), "size 0 1"),
    "evaluate: empty": (lambda: evaluation.evaluate(model(), X[:0]), "x empty|examples"),
    "evaluate: NaN": (lambda: evaluation.evaluate(model(), with_value(np.nan)), "x NaN row 3"),
    "evaluate: samples": (lambda: evaluation.evaluate(model(), X, samples=0), "samples 0 1"),
    "evaluate: samples of an autoencoder": (
        lambda: evaluation.evaluate(Autoencoder(7, (4,), 2), X, samples=2),
        "Autoencoder p(z) ELBO VAE",
    ),
    "log p(x): samples": (lambda: evaluation.log_likelihood(model(), X, 0), "samples 0 1"),
    "log p(x): samples as 1e3": (lambda: evaluation.log_likelihood(model(), X, 1e3), "samples whole|integer 1000.0"),
    "log p(x): pairs": (lambda: evaluation.log_likelihood(model(), X, pairs=0), "pairs 0 1"),
    "log p(x): seed": (lambda: evaluation.log_likelihood(model(), X, seed=-1), "seed 0 -1"),
    "log p(x): progress": (lambda: evaluation.log_likelihood(model(), X, progress=1), "progress True False 1"),
    "log p(x): range": (lambda: evaluation.log_likelihood(model(), X + 1), "x Bernoulli [0, 1] Gaussian"),
    "log p(x): autoencoder": (lambda: evaluation.log_likelihood(Autoencoder(7, (4,), 2), X), "Autoencoder p(z) VAE"),
    "quadrature: autoencoder": (lambda: exact.quadrature(Autoencoder(7, (4,), 2), X), "Autoencoder p(z) VAE"),
    "quadrature: three latents": (lambda: exact.quadrature(model(latent_dim=3), X), "3 latents one|1 two|2 importance"),
    "collapse: autoencoder": (lambda: exact.collapse(Autoencoder(7, (4,), 2), X), "Autoencoder p(z) VAE"),
    "collapse: shape": (lambda: exact.collapse(model(), X[:, :3]), "x (N, 7) 3)"),
    "fit: rows kept back": (lambda: fit(model(), Filtering(X), batch_size=3, progress=False), "x[indices] one row 9 (8, 7)"),
    "evaluate: rows kept back": (lambda: evaluation.evaluate(model(), Filtering(X)), "x[indices] one row 9 (8, 7)"),
    "decode: whole numbers": (lambda: model().decode(np.array([[0, 3]])), "z int64|int32 floats z.astype('float32')"),
    "decode: a list of whole numbers": (lambda: model().decode([[3, 0]]), "z int64|int32 floats np.asarray(z).astype('float32') leaves"),
    "recon_nll: whole numbers": (lambda: model().recon_nll(X, np.ones((9, 2), int)), "z int64|int32 floats z.astype('float32') leaves"),
    "fit: a list of whole numbers": (lambda: fit(model(), [[200] * 7] * 9, batch_size=3), "x int64|int32 floats np.asarray(x) / 255"),
    "decode: what encode returns": (lambda: model().decode(model().encode(X)), "z pair mu, logvar = model.encode(x)"),
    "decode: another depth": (lambda: model().decode(np.zeros((2, 2, 2, 2))), "z (N, 2) (2, 2, 2, 2) row each example"),
    "draw_noise: n": (lambda: model().draw_noise(1.5, np.random.default_rng(0)), "n whole 1.5"),
    "params: a new name": (lambda: assigned(model(), "params", {"x": 0}), "params names x"),
    "fit: parameters": (lambda: fit(with_nan(model()), X, batch_size=3, progress=False), "parameters NaN before the first step"),
    "fit: with labels": (lambda: fit(model(), WithLabels(X), batch_size=3, progress=False), "x[indices] (N, 7) array WithLabels"),
    "backend assigned": (lambda: assigned(model(), "backend", "cuda"), "backend numba numpy 'cuda'"),
    "beta assigned": (lambda: fit(assigned(BetaVAE(7, (4,), 2), "beta", -3), X, batch_size=3), "beta 0 -3"),
    "lr assigned": (lambda: fit(model(), X, assigned(Adam(), "lr", -1), batch_size=3), "lr 0 -1"),
    "lr nan": (lambda: fit(model(), X, assigned(SGD(), "lr", np.nan), batch_size=3), "lr finite nan"),
    "an optimizer without a state": (lambda: fit(model(), X, Stepping(), batch_size=3), "optimizer Adam Stepping"),
    "progress a word": (lambda: fit(model(), X, batch_size=3, progress="no"), "progress True False 'no'"),
    "checkpoint: no name": (lambda: fit(model(), X, batch_size=3, checkpoint=""), "checkpoint folder ''"),
    "checkpoint: an argument": (lambda: fit(Kept(7, (4,), 2, kept=np.tanh), X, batch_size=3, checkpoint="c"), "model's kept tanh numbers"),
    "save: an argument": (lambda: save(Kept(7, (4,), 2, kept=np.ones(3)), "a.npz"), "Kept kept array numbers"),
    "save: keys that change": (lambda: save(Kept(7, (4,), 2, kept={1: 2}), "a.npz"), "Kept kept {1: 2}"),
    "save: no name": (lambda: save(model(), ""), "path file ''"),
    "save: a folder": (lambda: save(model(), "."), "path . folder model.npz"),
    "a hyperparameter that is not taken": (names_what_it_does_not_take, "Takes gamma __init__ self.set(gamma=gamma)"),
    "eigenvalues that rise": (lambda: exact.linear_optimum(np.array([1.0, 2.0]), 1, 1.0), "eigenvalues largest [1. 2.] [::-1]"),
    "one image as a data set": (lambda: datasets.Dataset("own", X[0], (1, 7)), "values (7,) [None]"),
    "a data set of scale zero": (lambda: datasets.Dataset("own", X, (1, 7), scale=0), "scale > 0"),
    "names and sizes": (lambda: datasets.FactorDataset("own", len, ("a", "b"), (2, 3, 4), (1, 7)), "sizes a, b (2, 3, 4)"),
    "images for some": (
        lambda: datasets.FactorDataset("own", lambda factors: X[:2], ("a",), (9,), (1, 7))[[0, 3, 5]], "draw 3 combinations (2, 7)"
    ),
    "gradcheck: a tuple": (lambda: check(lambda d, o, a: (d,)), "backward dict {'x': dx} a tuple"),
    "gradcheck: another name": (lambda: check(lambda d, o, a: {"b": d}), "backward dict names a; b"),
    "gradcheck: a seed": (lambda: check(lambda d, o, a: {"a": d}, 0), "rng default_rng(0) 0"),
    "gradcheck: a term": (lambda: gradcheck.check_model(model(dtype="float64"), X, np.ones((9, 2)), term="elbo"), "term kl 'elbo'"),
    "gradcheck: grads": (lambda: gradcheck.check_model(model(dtype="float64"), X, np.ones((9, 2)), term="kl"), "term 'kl' grads"),
    "data: name": (lambda: datasets.load("cifar"), "data digits mnist .npy .npz 'cifar'"),
    "data: split": (lambda: datasets.digits("valid"), "split train test 'valid'"),
}


@pytest.mark.parametrize("call, words", CALLS.values(), ids=CALLS)
def test_bad_call(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused(words):
        call()
    assert list(tmp_path.iterdir()) == []


def test_the_smallest_of_everything_works():
    m = VAE(1, hidden=(1,), latent_dim=1)
    history = fit(m, np.ones((1, 1)), batch_size=1, epochs=2, progress=False)
    assert np.isfinite(history["loss"]).all() and m.sample(1, RNG).shape == (1, 1)


def test_a_refused_fit_changes_nothing():
    m = model()
    with pytest.raises(ValueError):
        fit(m, with_value(np.nan), batch_size=3)
    assert same(m, model())


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


COMMANDS = {  # command line: words of the one line on stderr
    "train --data cifar": "data digits mnist .npz cifar",
    "train --data missing.npy": "missing.npy",
    "train --data noise.npz": "noise.npz .npz",
    "train --data nan.npy": "NaN",
    "train --data wide.npy": "7 Bernoulli [0, 1] / 255",
    "train --data ints.npy": "ints.npy int64 floats|float uint8 (0..255) bool",
    "train --data flat.npy": "flat.npy (200,) (n, D) (n, rows, columns)",
    "train --data other.npz": "other.npz images x pictures",
    "train --data frey": "frey_faces.npz VAE_FROM_SCRATCH_DATA",
    "train --latent-dim 0": "latent_dim 0 1",
    "train --hidden 5,0": "hidden 0 1",
    "train --hidden five": "--hidden 'five' 500,500",
    "train --hidden 8,x": "--hidden '8,x' 500,500",
    "train --model gan": "--model 'gan' vae beta-vae",
    "train --epochs 0": "epochs 0 1",
    "train --batch-size 100000": "batch_size 100000 1500",
    "train --lr -1": "lr -1.0 0",
    "train --lr nan": "lr nan",
    "train --beta -1": "beta -1.0 0",
    "train --model vae --beta 3": "--beta 3.0 --model beta-vae",
    "train --kind ii": "--kind ii --model dip-vae",
    "train --discriminator-hidden 3,4": "--discriminator-hidden 3,4 --model factor-vae",
    "train --model dip-vae --kind iii": "--kind iii 'i' 'ii'",
    "train --capacity 3": "--capacity 3.0 --model capacity-vae",
    "train --samples 3": "--samples 3 --model iwae",
    "train --model iwae --samples 0": "samples at least 1 0",
    "train --model iwae --samples 1.5": "--samples int '1.5'",
    "train --model free-bits-vae --free-bits -1": "free_bits 0 -1.0",
    "train --model vae --level 0.5": "--level 0.5 --model denoising-autoencoder",
    "train --model autoencoder --corruption gaussian": "--corruption gaussian --model denoising-autoencoder",
    "train --model sparse-autoencoder --penalty l2": "--penalty 'l2' kl l1",
    "train --hidden none --decoder-activation relu": "--decoder-activation relu no effect hidden layers",
    "train --model sparse-autoencoder --penalty l1 --code relu --rho 0.3": "--rho 0.3 --penalty l1 kl",
    "train --sigma 0.5": "--sigma 0.5 --likelihood gaussian",
    "train --likelihood gaussian --sigma wide": "--sigma 'wide' number learned per-pixel",
    "train --likelihood squared-error": "--likelihood squared-error density --model beta-vae autoencoder gaussian --sigma",
    "train --image-shape 5,5": "--image-shape rows,columns 64 5,5",
    "train --seed -1": "seed -1 0",
    "train --out full": "full empty --out",
    "train --out noise.npz": "noise.npz folder|directory --out",
    "train --out noise.npz/run": "noise.npz",
    "train --colour red": "--colour",
    "train --data empty.npy": "empty.npy 10",
    "train --data inf.npy --likelihood gaussian": "infinity",
    "train --data objects.npy": "objects.npy",
    "train --data cut.npy": "cut.npy 640",
    "train --data labels.npz": "labels.npz 20 labels (3,)",
    "train --data small.npy": "batch_size 100 18",
    "train --latent-dim two": "--latent-dim int 'two'",
    "train --hidden 99999999999": "allocate|memory",
    "train --epochs 1.5": "--epochs int '1.5'",
    "train --optimizer lbfgs": "--optimizer 'lbfgs' adam adagrad sgd",
    "train --dtype float16": "--dtype 'float16' float32 float64",
    "train --checkpoint-seconds -2": "checkpoint_seconds -2.0 0",
    "train --likelihood gaussian --sigma -1": "sigma -1.0 0",
    "train --likelihood laplace --sigma 0.5": "--sigma 0.5 --likelihood gaussian",
    "train --scale 0.5": "--scale 0.5 --likelihood laplace",
    "train --mean sigmoid": "--mean sigmoid --likelihood gaussian laplace",
    "train --data wide.npy --likelihood continuous-bernoulli": "7 [0, 1] / 255",
    "train --resume": "--resume one",
    "train --resume nowhere": "nowhere config.json vae-from-scratch train",
    "train --resume full": "full config.json",
    "train --resume half": "half/config.json JSON",
    "train --resume odd": "odd/config.json options colour",
    "train --resume edited": "edited/config.json optimizer adam adagrad sgd 'lbfgs'",
    "train --resume typed": "hidden (500,) 'wide'",
    "train --resume done": "done model.npz no checkpoint new folder",
    "train --out=": "--out file folder ''",
    "train --resume=": "--resume file folder ''",
    "sample done --separate=": "--separate file folder ''",
    "sample done --n 2 --separate half": "--separate half other things",
    "train --resume damaged": "damaged/checkpoint.npz .npz",
    "train --resume begun --lr 0.1": "--resume --epochs begun --lr",
    "train --resume begun --out other --latent-dim 3": "--resume begun --latent-dim --out",
    "train --resume begun --epochs 0": "epochs 0 1",
    "evaluate begun": "begun model.npz",
    "sample nowhere --n many": "--n int 'many'",
    "evaluate nowhere": "nowhere model.npz",
    "evaluate done --samples 0": "samples 0 1",
    "evaluate done --importance-samples 0": "importance_samples 0 1",
    "evaluate done --importance-samples 1e3": "--importance-samples int '1e3'",
    "evaluate done --quadrature": "3 latents one|1 two|2 importance",
    "evaluate done --data blobs": "(N, 64) 256 64 others",
    "evaluate codes --samples 5": "Autoencoder p(z) ELBO",
    "evaluate codes --importance-samples 10": "Autoencoder p(z) p(x)",
    "evaluate codes --quadrature": "Autoencoder p(z) p(x)",
    "sample full": "full model.npz",
    "sample done --image-shape 8,9": "--image-shape 8,9 rows,columns",
    "traverse done --between 0 100000": "--between 0 296 100000",
    "traverse codes": "autoencoder --between vae",
    "compare done": "done two",
    "compare done nowhere": "nowhere model.npz",
    "compare done done/config.json": "done/config.json file done",
    "compare done cut.npy": "cut.npy file begun",
    "traverse": "RUN",
    "dream": "'dream' train evaluate",
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
    assert code == 2 and error.startswith("vae-from-scratch") and error.count("\n") == 1
    assert not unsaid(error, COMMANDS[line]), error
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
    error = capsys.readouterr().err.replace("\\", "/")
    assert error.count("\n") == 1 and not unsaid(error, "denied 'new/"), error
    assert sorted(here.rglob("*")) == before


def test_readme_counts_what_is_refused_here():
    number = len(CALLS) + len(COMMANDS)
    assert f"| {number} of {number} refused in one line" in (ROOT / "README.md").read_text("utf-8")


FIRST_DAYS = {  # what is done: (call, words of the one line)
    "load: a number": (lambda: load(3), "path file 3"),
    "from_file: a number": (lambda: datasets.from_file(3), "path file 3"),
    "images: nothing": (lambda: datasets.images(""), "folder ''"),
    "load: no name": (lambda: datasets.load(""), "data ''"),
    "a shape that is not the images'": (lambda: datasets.Dataset("own", X, (2, 2)), "image_shape (2, 2) 4 7"),
    "a shape of one number": (lambda: datasets.Dataset("own", X[:, :4], 4), "image_shape (rows, columns) 4"),
    "a shape of letters": (lambda: datasets.Dataset("own", X[:, :4], "22"), "image_shape (rows, columns) whole '2'"),
    "a shape of floats": (lambda: datasets.Dataset("own", X[:, :4], (2.0, 2.0)), "image_shape whole (2.0, 2.0)"),
    "a shape of four colours": (lambda: datasets.Dataset("own", X[:, :4], (1, 1, 4)), "image_shape (rows, columns, 3) (1, 1, 4)"),
    "a drawn data set's shape": (lambda: datasets.FactorDataset("own", len, ("a", "b"), (2, 2), (1.0, 3)), "image_shape whole (1.0, 3)"),
    "a part of the blobs that there is not": (lambda: datasets.blobs("tset"), "split all, train, test 'tset'"),
    "a width in an array": (lambda: model(hidden=np.array(5)), "hidden (500,) array(5)"),
    "labels too few": (lambda: datasets.Dataset("own", X, (1, 7), labels=np.arange(3)), "labels 9 3"),
    "a figure of another shape": (lambda: plots.samples(X, (4, 4)), "image_shape (4, 4) 7"),
    "images and labels": (lambda: fit(model(), (X, np.arange(9))), "x tuple labels not taken first alone"),
    "images and labels to evaluate": (lambda: evaluation.evaluate(model(), (X, np.eye(9, 3))), "x tuple labels not taken first alone"),
    "images and labels row by row": (lambda: fit(model(), WithLabels(X)), "x[indices] WithLabels tuple labels not taken first alone"),
    "images and labels in a data set": (lambda: datasets.Dataset("own", (X, np.arange(9)), (1, 7)), "values tuple labels not taken"),
    "a checkpoint that is a file": (
        lambda: fit(model(), X, batch_size=3, checkpoint=__file__, progress=False), "checkpoint folder test_bad_input.py file"
    ),
    "codes of one latent": (lambda: plots.latent_scatter(X[:, :1]), "codes (9, 1) 0 1"),
    "labels for other codes": (lambda: plots.latent_scatter(X, np.arange(3)), "labels 9 3"),
    "the plane of three latents": (lambda: plots.manifold(VAE(7, (4,), 3), (1, 7)), "3 two traversals"),
}


@pytest.mark.parametrize("name", FIRST_DAYS)
def test_a_first_day_mistake(name):
    call, words = FIRST_DAYS[name]
    with refused(words):
        call()


def test_a_list_of_rows_is_a_data_set():
    data = datasets.Dataset("own", X.tolist(), (1, 7), labels=np.array(list("abcabcabc")))
    assert len(data) == 9 and data[[0, 2]].shape == (2, 7) and len(data.subset([1]).labels) == 1
    fit(model(), data, batch_size=3, epochs=1, progress=False)


def test_names_with_spaces_umlauts_and_capitals(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vae_from_scratch.cli.train.draw_figures", lambda *_: None)
    (tmp_path / "Größe 1").mkdir()
    np.save("x.npy", np.random.default_rng(0).uniform(size=(40, 12)))
    os.rename("x.npy", "Größe 1/Übung eins.NPY")
    line = ["--batch-size", "4", "--epochs", "1", "--hidden", "4", "--latent-dim", "2", "--quiet", "--backend", "numpy"]
    assert main(["train", "--data", "Größe 1/Übung eins.NPY", "--out", "läufe/der erste", *line]) == 0
    assert main(["evaluate", "läufe/der erste"]) == 0 and "Übung eins" in capsys.readouterr().out
    assert main(["sample", "läufe/der erste", "--n", "1", "--out", "Größe 1/bild ü.svg"]) == 0
    for wrong, words in ((["evaluate", "läufe/der erste/model.npz"], "is a file läufe/der erste"), (["train", "--data", ""], "data ''")):
        capsys.readouterr()
        assert main(wrong) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and not unsaid(said, words)
    assert not (tmp_path / "runs").exists()


def test_a_run_on_images_that_are_all_the_same_says_nothing_of_legends():
    history = {"epoch": [1, 2], "kl_per_latent": [np.zeros(3), np.zeros(3)], **{name: [1.0, 1.0] for name in ("loss", "recon_nll", "kl")}}
    assert plots.learning_curves(history)  # warnings are errors here

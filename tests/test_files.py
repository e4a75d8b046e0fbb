"""Promise: a model comes back from its file bit for bit, a bad file is refused, and nothing is left half-written."""

import json

import numpy as np
import pytest

from vae_from_scratch import VAE, Autoencoder, BetaVAE, CapacityVAE, Gaussian, files, load, save

MODELS = [
    Autoencoder(7, hidden=(), latent_dim=2, likelihood="squared-error"),
    VAE(7, hidden=(5, 4), latent_dim=2, likelihood=Gaussian("learned", "sigmoid"), dtype="float64", init="normal", seed=3),
    BetaVAE(7, hidden=(5,), latent_dim=2, beta=2.5, decoder_hidden=(3, 3), decoder_activation="relu"),
    CapacityVAE(7, hidden=(5,), latent_dim=2, likelihood=Gaussian("per-pixel"), gamma=10, capacity=3),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_round_trip(model, tmp_path):
    for value in model.params.values():
        value += np.random.default_rng(0).normal(size=value.shape).astype(value.dtype)
    save(model, tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    assert type(again) is type(model) and again.config == model.config
    assert all(np.array_equal(again.params[name], value) and again.params[name].dtype == value.dtype for name, value in model.params.items())
    x = np.random.default_rng(0).uniform(size=(3, 7))
    np.testing.assert_array_equal(again.reconstruct(x), model.reconstruct(x))


def test_a_setting_changed_by_a_schedule_is_saved(tmp_path):
    model = BetaVAE(7, hidden=(5,), latent_dim=2)
    model.set(beta=0.25)
    save(model, tmp_path / "m.npz")
    assert load(tmp_path / "m.npz").beta == 0.25


def stored(tmp_path):
    save(MODELS[2], tmp_path / "m.npz")
    return files.read_npz(tmp_path / "m.npz")


def with_config(arrays, **changes):
    return {**arrays, "config": np.array(json.dumps({**json.loads(str(arrays["config"])), **changes}))}


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda a: {k: v for k, v in a.items() if k != "config"}, "not a model file"),
        (lambda a: {**a, "config": np.array("not json")}, "not a model file"),
        (lambda a: {**a, "config": np.array("[1]")}, "not a model file"),
        (lambda a: with_config(a, format=99), "format 99"),
        (lambda a: with_config(a, model="gan"), "no model of this package"),
        (lambda a: with_config(a, latent_dim=-1), "latent_dim"),
        (lambda a: with_config(a, colour="red"), "colour"),
        (lambda a: with_config(a, latent_dim=3), "encoder_W2"),
        (lambda a: {k: v for k, v in a.items() if k != "decoder_b1"}, "decoder_b1"),
        (lambda a: {**a, "decoder_b1": a["decoder_b1"] * np.nan}, "decoder_b1"),
        (lambda a: {**a, "decoder_b1": a["decoder_b1"].astype(np.float64)}, "decoder_b1"),
    ],
)
def test_a_wrong_model_file_is_refused(damage, words, tmp_path):
    np.savez(tmp_path / "bad.npz", **damage(stored(tmp_path)))
    with pytest.raises(ValueError, match=words):
        load(tmp_path / "bad.npz")


def test_pickles_are_never_opened(tmp_path):
    np.savez(tmp_path / "bad.npz", config=np.array([{"a": 1}], dtype=object))
    np.save(tmp_path / "bad.npy", np.array([{"a": 1}], dtype=object))
    for read, name in ((load, "bad.npz"), (files.read_npy, "bad.npy")):
        with pytest.raises(ValueError, match="Object arrays|allow_pickle"):
            read(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and then nothing", b"\x93NUMPY\x01\x00", b"hello"])
def test_what_is_no_npz_is_refused(content, tmp_path):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(ValueError, match="bad.npz is not a readable"):
        load(tmp_path / "bad.npz")


def test_missing_files_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        load(tmp_path / "nowhere.npz")


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "m.npz"
    save(MODELS[2], path)
    before = path.read_bytes()

    def broken(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write(path, broken)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["m.npz"]


def test_history_as_csv(tmp_path):
    history = {"epoch": [1, 2], "loss": [3.25, 2.5], "kl_per_latent": [np.array([0.1, 0.2]), np.array([0.3, 0.4])], "seconds": [0.5, 1.0]}
    files.write_history(tmp_path / "h.csv", history)
    assert (tmp_path / "h.csv").read_text() == "epoch,loss,seconds,kl_0,kl_1\n1,3.25,0.5,0.1,0.2\n2,2.5,1,0.3,0.4\n"

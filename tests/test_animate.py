"""Promise: a moving picture shows training as it was, whatever stopped it, and its axes stand still."""

import copy
import pickle

import matplotlib.image
import numpy as np
import pytest
from helpers import ROOT, refused, run, same, unsaid
from matplotlib.figure import Figure
from PIL import Image

from vae_from_scratch import VAE, Adam, Autoencoder, BetaTCVAE, BetaVAE, cli, datasets, fit, load, plots
from vae_from_scratch.engine import files
from vae_from_scratch.plots import Frames, animate, animation, animation_path, read_frames

DIGITS, TEST = datasets.digits(), datasets.digits("test")
X, SOME, LABELS = DIGITS[:200], TEST[:30], TEST.labels[:30]
HOW = {"image_shape": (8, 8), "n_train": 200}
LINE = "train --quiet --hidden 4 --latent-dim 2 --epochs 2 --batch-size 500 --backend numpy"


def learned(model, count=3, epochs=2, labels=LABELS, path=None, **fitting):
    """A model that was trained on X, and what its frames have kept."""
    frames = Frames(path, SOME, labels, **HOW)
    fit(model, X, epochs=epochs, batch_size=50, callback=frames, callback_at=frames.at(count, epochs, 50), progress=False, **fitting)
    return model, frames.kept


def small(cls=VAE, latent_dim=3, **settings):
    return cls(64, (8,), latent_dim, backend="numpy", **settings)


KINDS = {
    "a VAE": lambda: (small(), {}),
    "an autoencoder": lambda: (small(Autoencoder), {}),
    "one latent": lambda: (small(latent_dim=1), {}),
    "one latent, no labels": lambda: (small(latent_dim=1), {"labels": None}),
    "an autoencoder of one latent": lambda: (small(Autoencoder, latent_dim=1), {}),
    "labels that are words": lambda: (small(), {"labels": np.array([f"digit {label}" for label in LABELS], object)}),
    "labels of many values": lambda: (small(), {"labels": np.linspace(0, 1, 30)}),
    "a loss that depends on how many there are": lambda: (small(BetaTCVAE), {}),
}


# ---- what is kept --------------------------------------------------------------------------------------


def test_frames_are_close_together_at_the_start_and_end_at_the_end():
    frames = Frames(None, SOME, **HOW)
    at = frames.at(5, 10, 50)  # 40 steps: the squares of 0, 1/4, ... 1 of them
    assert at == [50, 100, 500, 1100, 2000]
    assert frames.at(1, 10, 50) == [2000] and frames.at(10**9, 1, 50) == [50, 100, 150, 200]
    assert Frames(None, SOME, image_shape=(8, 8), n_train=70).at(9, 2, 30) == [30, 60, 70, 100, 130, 140]  # 70 = 30 + 30 + 10


def test_a_frame_holds_the_codes_the_images_and_the_elbo_of_its_moment():
    model, kept = learned(small())
    assert kept["examples"].tolist() == [50, 100, 400] and kept["codes"].shape == (3, 30, 3)
    np.testing.assert_array_equal(kept["codes"][-1], model.encode(SOME)[0])
    np.testing.assert_allclose(kept["images"][-1] / 255, model.reconstruct(SOME[:8]), atol=0.5 / 255 + 1e-6)
    assert kept["elbo"][-1] > kept["elbo"][0] and kept["kl"].shape == (3, 3) and np.ptp(kept["codes"][:, 0, 0]) > 0
    fields = {"examples", "elbo", "kl", "codes", "images", "x", "labels", "image_shape", "value_range", "n_train", "variational"}
    assert set(kept) == fields | {"of"}


def test_looking_changes_no_bit():
    assert same(learned(small())[0], learned(small(), count=8)[0])
    unseen = small()
    fit(unseen, X, epochs=2, batch_size=50, progress=False)
    assert same(unseen, learned(small())[0])


def test_a_run_that_was_stopped_and_goes_on_has_the_frames_of_one_that_was_not(tmp_path):
    _, whole = learned(small(), count=6, epochs=4, path=tmp_path / "whole.npz")

    class Pulled(BaseException):
        pass

    class Pulls(Frames):  # a plug, after a frame and before the checkpoint of that step
        def __call__(self, model, examples):
            super().__call__(model, examples)
            if examples > 250:
                raise Pulled

    keeping = {"checkpoint": tmp_path / "run", "epochs": 4, "batch_size": 50, "progress": False, "checkpoint_seconds": 0}
    frames = Pulls(tmp_path / "run.npz", SOME, LABELS, **HOW)
    with pytest.raises(Pulled):
        fit(small(), X, **keeping, callback=frames, callback_at=frames.at(6, 4, 50))
    before = read_frames(tmp_path / "run.npz")["examples"].tolist()
    assert 1 < len(before) < len(whole["examples"]) and before[-1] > 250
    learned(small(), count=6, epochs=4, path=tmp_path / "run.npz", checkpoint=tmp_path / "run", resume=True)
    again = read_frames(tmp_path / "run.npz")
    assert set(again) == set(whole) and all(np.array_equal(again[name], whole[name], equal_nan=True) for name in whole)


def test_killed_while_writing_leaves_the_frames_before(tmp_path, monkeypatch):
    model, path = small(latent_dim=1), tmp_path / "frames.npz"
    frames = Frames(path, SOME, LABELS, **HOW)
    frames(model, 1)
    before = path.read_bytes()
    monkeypatch.setattr(files, "_move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(animation, "HOLD", 1)
    how = {"training": False, "steps": 1, "progress": False}
    for write in (lambda: frames(model, 2), lambda: animate(model, frames.kept, tmp_path / "a.gif", **how)):
        with pytest.raises(KeyboardInterrupt):
            write()
        assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["frames.npz"]


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda kept: {"a": np.zeros(3)}, "frames codes remove"),
        (lambda kept: kept | {"elbo": kept["elbo"][1:]}, "frames shapes remove"),
        (lambda kept: kept | {"image_shape": np.array([3, 3])}, "frames shapes remove"),
        (lambda kept: {name: value for name, value in kept.items() if name != "kl"}, "frames kl remove"),
        (lambda kept: kept | {"codes": kept["codes"][:, :-1], "labels": kept["labels"][:-1]}, "29 30 another"),
        (lambda kept: kept | {"x": 1 - kept["x"]}, "30 images another"),
    ],
)
def test_another_file_in_their_place_is_refused_before_training(spoil, words, tmp_path):
    frames = Frames(None, SOME, LABELS, **HOW)
    frames(small(), 1)
    np.savez(tmp_path / "frames.npz", **spoil(frames.kept))
    with refused(words):
        Frames(tmp_path / "frames.npz", SOME, LABELS, **HOW)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: Frames(None, SOME, image_shape=(8, 9), n_train=9), "image_shape (8, 9) 64"),
        (lambda: Frames(None, SOME, image_shape=64, n_train=9), "image_shape rows columns 64"),
        (lambda: Frames(None, SOME, image_shape=(8.0, 8.0), n_train=9), "image_shape whole (8.0, 8.0)"),
        (lambda: Frames(None, SOME, LABELS[:3], **HOW), "labels 30 3"),
        (lambda: Frames(None, SOME[0], **HOW), "x 64"),
        (lambda: Frames(None, SOME, image_shape=(8, 8), n_train=0), "n_train 1 0"),
        (lambda: Frames(None, SOME, **HOW).at(0, 1), "count 1 0"),
        (lambda: Frames(None, SOME, **HOW).at(3, 1.5), "epochs 1.5"),
        (lambda: animate(small(), {}, "a.gif"), "kept Frames"),
    ],
)
def test_bad_call(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused(words):
        call()
    assert not list(tmp_path.iterdir())


def test_frames_are_of_one_model(tmp_path):
    frames = Frames(None, SOME, **HOW)
    for seed in (1, 2):
        frames(small(seed=seed), 5 * seed)
        assert frames.kept["examples"].tolist() == [5 * seed]
    for other in (small(latent_dim=2), small(Autoencoder)):
        with refused("kept another model 3 64"):
            animate(other, frames.kept, tmp_path / "a.gif", progress=False)


@pytest.mark.parametrize(
    "first, second",
    [
        (small(), small(seed=1)),
        (small(), small(activation="relu")),
        (small(), small(latent_dim=2)),
        (small(), small(Autoencoder)),
        (small(BetaVAE, beta=2.0), small(BetaVAE, beta=3.0)),  # one run: a schedule may have raised it
    ],
    ids=["seed", "activation", "latents", "class", "beta"],
)
def test_a_file_holds_the_frames_of_one_model(first, second, tmp_path):
    for examples, model in ((5, first), (10, second)):
        frames = Frames(tmp_path / "frames.npz", SOME, **HOW)  # as in a process of its own
        frames(model, examples)
    same_run = isinstance(first, BetaVAE)
    assert read_frames(tmp_path / "frames.npz")["examples"].tolist() == ([5, 10] if same_run else [10])


def test_frames_are_kept_of_a_class_that_keeps_not_its_arguments(tmp_path):
    class Forgetful(VAE):
        def __init__(self, extra):
            super().__init__(64, (4,), 2, backend="numpy")

    for examples in (5, 10):
        Frames(tmp_path / "frames.npz", SOME, **HOW)(Forgetful(1), examples)
    assert read_frames(tmp_path / "frames.npz")["examples"].tolist() == [5, 10]


def test_a_data_set_is_taken_for_its_images():
    as_data, as_array = (Frames(None, x, TEST.labels, **HOW) for x in (TEST, TEST[:]))
    for frames in (as_data, as_array):
        frames(small(), 1)
    assert as_data.kept["codes"].shape == (1, 297, 3) and same(as_data.kept, as_array.kept)


# ---- what is drawn -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_axes_stand_still_and_hold_the_codes_and_the_cross(kind):
    model, how = KINDS[kind]()
    model, kept = learned(model, **how)
    plane = animation.Plane(kept)
    learning, moving = [*animation.training_scenes(kept)], [*animation.traversal_scenes(model, kept, 4)]
    assert len(learning) == 3 and len(moving) in (4, 8, 12, 16)
    (left, right), (low, high) = plane.limits
    for scene in learning:
        places = plane.place(scene.codes)
        inside = (places > (left, low)) & (places < (right, high))
        assert places.shape == (30, 2) and inside.mean() > 0.9 and [len(row) for row in scene.rows] == [4] * 4
    for scene in moving:
        z = scene.z
        ((across, up),) = plane.place(z[None])
        assert left <= across <= right and low <= up <= high
        np.testing.assert_array_equal(scene.rows[0], model.decode(z[None]))
    ways = np.array([scene.z for scene in moving])
    assert np.abs(ways[:, plane.axes[0]]).max() > (2 if model.variational else 0)


def test_the_title_has_the_epoch_and_the_elbo_and_one_latent_moves_at_a_time():
    model, kept = learned(small(), epochs=30)
    first, *_, last = (scene.of_plane for scene in animation.training_scenes(kept))
    assert not unsaid(first, f"epoch 0.25: 50 examples ELBO {kept['elbo'][0]:.2f}")
    assert not unsaid(last, f"epoch 30: 6,000 examples ELBO {kept['elbo'][-1]:.2f}")
    _, lossy = learned(small(Autoencoder))
    assert f"loss {-lossy['elbo'][0]:.2f}" in next(animation.training_scenes(lossy)).of_plane
    ways = np.array([scene.z for scene in animation.traversal_scenes(model, kept, 12)]).reshape(-1, 12, 3)
    moving = [np.flatnonzero(np.ptp(way, axis=0)).tolist() for way in ways]
    assert moving == [[j] for j in np.argsort(-kept["kl"][-1])[: len(ways)]]
    assert np.abs(ways).max() <= 3 and np.ptp(ways[0]) > 4.9


def test_a_gif_has_every_frame_in_one_size_and_stands_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "HOLD", 2)
    model, kept = learned(small(latent_dim=1), count=2)
    drawn = []
    monkeypatch.setattr(animation.Plane, "show", lambda plane, ax, scene: drawn.append(ax.plot(*plane.place(scene.codes).T, "o")))
    assert animate(model, kept, tmp_path / "a.gif", steps=2, progress=False) == 4 == len(drawn)
    with Image.open(tmp_path / "a.gif") as gif:
        durations = []
        for number in range(gif.n_frames):
            gif.seek(number)
            durations.append(gif.info["duration"])
        assert gif.size == (600, 340) and durations == [100, 200, 100, 200] and gif.info["loop"] == 0
    assert [each.name for each in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn(kind, tmp_path, monkeypatch):
    model, how = KINDS[kind]()
    model, kept = learned(model, **how)
    boxes, show = [], animation.Plane.show

    def look(plane, ax, scene):
        show(plane, ax, scene)
        boxes.append((ax.get_xlim(), ax.get_ylim(), ax.get_position().bounds))

    monkeypatch.setattr(animation.Plane, "show", look)
    assert animate(model, kept, tmp_path / "pngs", steps=1, progress=False) == len(boxes) == len(list((tmp_path / "pngs").iterdir()))
    assert len(set(boxes)) == 1
    pixels = [matplotlib.image.imread(path) for path in sorted((tmp_path / "pngs").iterdir())]
    assert {each.shape for each in pixels} == {(340, 600, 4)} and not np.array_equal(pixels[0], pixels[-1])


def test_colour_images_are_shown_in_colour():
    x = np.tile(np.array([1.0, 0.0, 0.0], np.float32), (9, 16))  # 4 x 4, red
    model = VAE(48, (4,), 2, backend="numpy")
    frames = Frames(None, x, image_shape=(4, 4, 3), n_train=9)
    fit(model, x, Adam(0.1), epochs=20, batch_size=9, callback=frames, callback_at=[180], progress=False)
    for scenes in (animation.training_scenes(frames.kept), animation.traversal_scenes(model, frames.kept, 1)):
        (figure,) = animation._drawn(Figure(), [next(scenes)], frames.kept)
        (shown,) = figure.axes[1].images
        assert (np.abs(np.asarray(shown.get_array()) - (1, 0, 0)).max(axis=2) < 0.2).mean() > 0.3


def test_the_animation_of_readme_is_small():
    path = ROOT / "examples" / "figures" / "animation.gif"
    with Image.open(path) as gif:
        assert gif.n_frames == 48 and gif.size == (600, 340)
    assert path.stat().st_size < 1e6 and "![" in (ROOT / "README.md").read_text("utf-8").partition("animation.gif")[0]


# ---- the command ---------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.train, "draw_figures", lambda *_: None)  # they are test_cli.py's
    return tmp_path


def test_the_command_draws_what_the_run_has_kept(here, monkeypatch, capsys):
    calls = []

    def looked(model, kept, out, training, progress):
        calls.append((model, kept, str(out), training))
        out.write_bytes(b"GIF")
        return 7

    monkeypatch.setattr(plots, "animate", looked)
    run(f"{LINE} --frames 3 --out r")
    run("animate r")
    model, kept, out, training = calls.pop()
    assert same(model, load("r/model.npz")) and kept["examples"].tolist() == [500, 1000, 3000] and training
    assert kept["codes"].shape == (3, 297, 2) and "labels" in kept and out == str(cli.animate.Path("r/figures/animation.gif"))
    assert "7 frames" in capsys.readouterr().out
    run(f"{LINE} --out plain")
    run("animate plain --out a.gif")
    _, kept, out, training = calls.pop()
    assert out == "a.gif" and not training and kept["codes"].shape == (1, 297, 2)
    (note,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("note: a trav"))
    assert "train with --frames" in note
    run("train --quiet --resume r --epochs 3")  # what is there stays, and the new end is one
    assert read_frames("r/frames.npz")["examples"].tolist() == [500, 1000, 3000, 4500]


@pytest.mark.parametrize(
    "line, words",
    [
        ("animate nowhere", "nowhere holds no model.npz"),
        ("animate r --out a.mp4", ".gif folder a.mp4"),
        ("animate r --out a.png", ".gif folder a.png"),
        ("animate r --out file", ".gif folder file"),
        ("animate r --out no/a.gif", "no folder no"),
        ("animate r --out r", "r folder new"),
        ("animate other", "frames another model remove"),
        ("animate other --data blobs", "--data blobs no effect frames"),
        ("train --frames -1 --quiet --out s", "frames 0 -1"),
        ("train --resume r --frames 3 --quiet", "--resume leave out --frames"),
    ],
)
def test_bad_command_line(line, words, here, capsys):
    (here / "file").write_text("mine")
    files.save(small(latent_dim=2), "model.npz")
    for name in ("r", "other"):
        config = {option.name: option.default for option in cli.options.OPTIONS}
        (here / name).mkdir()
        files.write_json(here / name / "config.json", config | {"epochs": 1, "binarize": "none", "image_shape": [8, 8]})
        files.save(small(latent_dim=2), here / name / "model.npz")
    Frames(here / "other" / "frames.npz", SOME, **HOW)(small(latent_dim=3), 1)
    before = sorted(here.rglob("*"))
    assert cli.main(line.split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and not unsaid(error, words), error
    assert [path for path in sorted(here.rglob("*")) if path.name != "figures"] == before


def test_a_path_is_a_gif_or_a_new_folder(tmp_path):
    assert animation_path(tmp_path / "a.GIF") == (tmp_path / "a.GIF", True)
    assert animation_path(tmp_path / "new") == (tmp_path / "new", False) and animation_path(tmp_path) == (tmp_path, False)
    (tmp_path / "a.gif").mkdir()
    assert animation_path(tmp_path / "a.gif") == (tmp_path / "a.gif", False)


def test_stopped_while_drawing_leaves_no_half_folder_of_pictures(tmp_path, monkeypatch):
    model, kept = learned(small(latent_dim=1), count=1)
    for folder, error in ((tmp_path / "new", KeyboardInterrupt), (tmp_path, OSError)):
        before, saved = sorted(tmp_path.rglob("*")), []

        def stopped(figure, path):
            if saved:
                raise error
            saved.append(path.write_text("a picture"))

        monkeypatch.setattr(animation, "save", stopped)
        with pytest.raises(error):
            animate(model, kept, folder, steps=1, progress=False)
        assert saved and sorted(tmp_path.rglob("*")) == before
    monkeypatch.setattr(animation, "save", lambda figure, path: path.write_text("a picture"))
    assert animate(model, kept, tmp_path / "new", steps=1, progress=False) == len([*(tmp_path / "new").iterdir()])


def test_a_folder_that_cannot_be_made_is_named_before_a_bar_begins(tmp_path, monkeypatch, capsys):
    def refuse(*arguments, dir, prefix):
        raise PermissionError(13, "Permission denied", f"{dir}/{prefix}hidden")

    model, kept = learned(small(latent_dim=1), count=1)
    monkeypatch.setattr(files.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(PermissionError) as caught:
        animate(model, kept, tmp_path / "new", steps=1)
    assert caught.value.filename == str(tmp_path / "new") and "hidden" not in str(caught.value) and capsys.readouterr().err == ""


@pytest.mark.parametrize("again", [copy.deepcopy, lambda frames: pickle.loads(pickle.dumps(frames))], ids=["copied", "pickled"])
def test_frames_that_were_called_can_be_copied_and_go_on(again):
    model, frames = small(), Frames(None, SOME, LABELS, **HOW)
    frames(model, 1)
    other = again(frames)
    other(model, 2)
    assert frames.kept["examples"].tolist() == [1] and other.kept["examples"].tolist() == [1, 2]
    frames(model, 3)  # the first one still knows its model
    assert frames.kept["examples"].tolist() == [1, 3]


def test_frames_stay_where_they_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = Frames("frames.npz", SOME, **HOW)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    frames(small(), 1)
    assert (tmp_path / "frames.npz").is_file() and not [*(tmp_path / "elsewhere").iterdir()]

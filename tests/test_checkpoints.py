"""Promise: a run that was stopped anywhere goes on as if it had not been, bit for bit; what it keeps is never half."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers import same, timeless

from vae_from_scratch import (
    IWAE, SGD, VAE, Adagrad, Adam, Autoencoder, BetaVAE, CapacityVAE, ContractiveAutoencoder, DenoisingAutoencoder, FactorVAE,
    FreeBitsVAE, Gaussian, cli, fit, load, training,
)  # fmt: skip
from vae_from_scratch.engine import checkpoints, files

X = np.random.default_rng(0).uniform(size=(23, 7))


class Killed(BaseException):
    """What a test raises in place of a SIGKILL."""


def kill_at(step):
    """A schedule or learning rate of that dies when asked for this step."""

    def rate(t):
        if t == step:
            raise Killed
        return 0.01 / (1 + t)

    return rate


CASES = {  # name: (model, optimizer from a learning rate, further arguments of fit)
    "vae adam": (lambda: VAE(7, (6,), 3, seed=1), Adam, {"binarize": "dynamic"}),
    "beta-vae adagrad": (
        lambda: BetaVAE(7, (6,), 3, beta=2.0, dtype="float64"),
        Adagrad,
        {"weight_decay": True, "x_valid": X[:9]},
    ),
    "beta-vae scheduled": (
        lambda: BetaVAE(7, (6,), 3),
        Adam,
        {"schedule": lambda step: {"beta": 0.1 * step}, "x_valid": X[:9]},
    ),
    "capacity momentum": (
        lambda: CapacityVAE(7, (6,), 3, gamma=3.0),
        lambda lr: SGD(lr, momentum=0.9),
        {"x_valid": X[:9]},
    ),
    "iwae scheduled": (lambda: IWAE(7, (6,), 3), Adam, {"schedule": lambda step: {"samples": 1 + step // 4}}),
    "free bits": (lambda: FreeBitsVAE(7, (6,), 3, free_bits=0.05), Adam, {}),
    "autoencoder": (lambda: Autoencoder(7, (6,), 3, likelihood="squared-error"), Adam, {}),
    "denoising": (lambda: DenoisingAutoencoder(7, (6,), 3), Adam, {"x_valid": X[:9]}),
    "contractive": (lambda: ContractiveAutoencoder(7, (6,), 3), Adam, {}),
    "learned variance": (lambda: VAE(7, (6,), 3, likelihood=Gaussian("learned")), Adam, {"binarize": "threshold"}),
}


@pytest.mark.parametrize("make, rule, options", CASES.values(), ids=CASES)
@pytest.mark.parametrize(  # every: after every step; at the start only.  An epoch has five steps: within, at its end, in the last one
    "every, step",
    [
        (0, 4), (1e9, 7),
        *(pytest.param(*both, marks=pytest.mark.slow) for both in [(0, n) for n in (1, 5, 7, 14)] + [(1e9, n) for n in (1, 4, 5, 14)]),
    ],
)  # fmt: skip
def test_a_run_that_died_at_any_step_goes_on_as_if_it_had_not(make, rule, options, step, every, tmp_path):
    options = {"batch_size": 5, "epochs": 3, "seed": 4, "progress": False, **options}
    whole, model = make(), make()
    expected = fit(whole, X, rule(kill_at(-1)), **options)
    with pytest.raises(Killed):
        fit(model, X, rule(kill_at(step)), **options, checkpoint=tmp_path, checkpoint_seconds=every)
    again = make()
    history = fit(again, X, rule(kill_at(-1)), **options, checkpoint=tmp_path, checkpoint_seconds=0, resume=True)
    assert timeless(history) == timeless(expected) and list(history) == list(expected)
    assert all(np.array_equal(again.params[name], value) for name, value in whole.params.items())
    assert again.config == whole.config
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


def plain(folder=None, epochs=3, model=None, **options):
    model = VAE(7, (6,), 3) if model is None else model
    history = fit(
        model, X, **{"optimizer": Adam(0.01), "batch_size": 5, "epochs": epochs, "progress": False, "checkpoint": folder, **options}
    )  # fmt: skip
    return model, history


def test_checkpoints_and_looking_at_the_run_change_nothing(tmp_path):
    def look(model, examples):
        model.loss(X, *model.draw_noise(23, np.random.default_rng(examples)))
        model.sample(3, np.random.default_rng(examples))

    looked = plain(tmp_path, checkpoint_seconds=0, x_valid=X[:4], callback=look, callback_at=[5, 9])
    bare = plain()
    assert same(looked[0], bare[0]) and looked[1]["loss"] == bare[1]["loss"]


def test_a_finished_run_takes_more_epochs_and_equals_the_longer_one(tmp_path):
    short, _ = plain(tmp_path / "a", epochs=2)
    assert same(plain(tmp_path / "a", epochs=None, resume=True)[0], short)  # nothing was left to do
    shutil.move(tmp_path / "a", tmp_path / "b")  # a folder can be moved
    longer, history = plain(tmp_path / "b", epochs=5, resume=True)
    expected, straight = plain(epochs=5)
    assert same(longer, expected) and timeless(history) == timeless(straight)
    with pytest.raises(ValueError, match=r"epochs is 4, but the run of .* has done 5; end it with 5, or go on with more"):
        plain(tmp_path / "b", epochs=4, resume=True)


def test_a_larger_number_of_epochs_is_kept_at_once(tmp_path):
    fit(VAE(7, (6,), 3), X, Adam(kill_at(-1)), 5, 2, progress=False, checkpoint=tmp_path)
    with pytest.raises(Killed):
        fit(VAE(7, (6,), 3), X, Adam(kill_at(11)), 5, 4, progress=False, checkpoint=tmp_path, resume=True)
    history = fit(VAE(7, (6,), 3), X, Adam(kill_at(-1)), 5, None, progress=False, checkpoint=tmp_path, resume=True)
    assert history["epoch"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"batch_size": 6}, "batch_size is 6, but was 5 when"),
        ({"seed": 1}, "seed is 1, but was 0"),
        ({"binarize": "threshold"}, "binarize is 'threshold', but was 'none'"),
        ({"weight_decay": True}, "weight_decay is True, but was False"),
        ({"optimizer": Adam(0.02)}, "the optimizer's lr is 0.02, but was 0.01"),
        ({"optimizer": Adam(0.01, beta2=0.99)}, "the optimizer's beta2"),
        ({"optimizer": SGD(0.01)}, "the optimizer is 'SGD', but was 'Adam'"),
        ({"optimizer": Adam(lambda step: 0.01)}, "the optimizer's lr is 'a function', but was 0.01"),
        ({"model": VAE(7, (5,), 3)}, r"the model's hidden is \[5\], but was \[6\]"),
        ({"model": VAE(7, (6,), 3, seed=1)}, "the model's seed is 1, but was 0"),
        ({"model": BetaVAE(7, (6,), 3, beta=1)}, "the model is 'BetaVAE', but was 'VAE'"),
        ({"schedule": lambda step: {}}, "schedule is 'a function', but was None"),
        ({"x_valid": X[:3]}, "x_valid is '3 examples of 7 values with checksum .*', but was None"),
    ],
)  # fmt: skip
def test_a_resume_says_which_setting_differs_and_changes_nothing(changed, words, tmp_path):
    plain(tmp_path)
    before, model = (tmp_path / "checkpoint.npz").read_bytes(), changed.get("model", VAE(7, (6,), 3))
    start = {name: value.copy() for name, value in model.params.items()}
    with pytest.raises(ValueError, match=words):
        plain(tmp_path, **{"epochs": 4, "model": model, **changed}, resume=True)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before
    assert all(np.array_equal(model.params[name], value) for name, value in start.items())


@pytest.mark.parametrize(
    "begun, changed, words",
    [
        ({"model": BetaVAE(7, (6,), 3)}, {"model": VAE(7, (6,), 3)}, "the model is 'VAE', but was 'BetaVAE'"),
        ({"model": VAE(7, (6,), 3)}, {"model": FactorVAE(7, (6,), 3)}, "the model is 'FactorVAE', but was 'VAE'"),
        ({"schedule": lambda step: {"beta": 2.0}}, {"schedule": None}, "schedule is None, but was 'a function'"),
        ({"gradient_norms": True}, {"model": BetaVAE(7, (6, 6), 3)}, "the model's hidden is"),
    ],
)
def test_a_resume_names_the_difference_and_not_what_follows_from_it(begun, changed, words, tmp_path):
    begun = {"model": BetaVAE(7, (6,), 3), "batch_size": 5, "epochs": 2, "progress": False, "checkpoint": tmp_path} | begun
    fit(x=X, **begun)
    with pytest.raises(ValueError, match=words):
        fit(x=X, resume=True, **begun | {"model": BetaVAE(7, (6,), 3)} | changed)


def test_a_resume_refuses_other_data(tmp_path):
    plain(tmp_path)
    for x in (X[:-1], X[::-1], np.where(np.arange(23)[:, None] == 11, 0.5, X)):
        with pytest.raises(ValueError, match="x is '.* examples of 7 values with checksum"):
            fit(VAE(7, (6,), 3), x, Adam(0.01), 5, 3, checkpoint=tmp_path, resume=True)


def test_another_run_is_never_written_over(tmp_path):
    plain(tmp_path)
    with pytest.raises(ValueError, match="holds the checkpoint of a run: resume it"):
        plain(tmp_path)


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no checkpoint.npz"):
        plain(tmp_path, resume=True)
    assert list(tmp_path.iterdir()) == []


def stopped(folder):
    """A run that died in step 8 with two checkpoints; and the arguments to go on with."""
    options = {"batch_size": 5, "epochs": 3, "progress": False, "checkpoint": folder, "checkpoint_seconds": 0}
    with pytest.raises(Killed):
        fit(VAE(7, (6,), 3), X, Adam(kill_at(8)), **options)
    return {**options, "optimizer": Adam(kill_at(-1)), "resume": True}


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, tmp_path):
    options, path = stopped(tmp_path), tmp_path / "checkpoint.npz"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.npz", "checkpoint.previous.npz"]
    content = bytearray(path.read_bytes())
    weights = files.read_npz(path)["players/model/params/encoder_W1"].tobytes()
    content[content.index(weights) + 5] ^= 4
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": content[:-100], "flipped": content, "empty": b""}[damage])
    model, whole = VAE(7, (6,), 3), VAE(7, (6,), 3)
    with pytest.warns(UserWarning, match="checkpoint.npz is .*; the one before it is taken, .*checkpoint.previous.npz"):
        fit(model, X, **options)
    fit(whole, X, Adam(kill_at(-1)), batch_size=5, epochs=3, progress=False)
    assert same(model, whole)
    assert (tmp_path / "checkpoint.damaged.npz").exists() == (damage != "gone")


def test_two_damaged_checkpoints_are_refused(tmp_path):
    options = stopped(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=r"checkpoint.npz is not a readable .*; .*checkpoint.previous.npz is not a readable"
    ):
        fit(VAE(7, (6,), 3), X, **options)
    assert len(list(tmp_path.iterdir())) == 2


def change(path, changes):
    """Write about or arrays of a checkpoint anew, with right checksums."""
    arrays = files.read_npz(path)
    about = json.loads(str(arrays["about"]))
    for name, value in changes.items():
        (arrays if name in arrays else about)[name] = value
    np.savez(path, **{**arrays, "about": np.array(json.dumps(about))})


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"format": 99}, "is of another version"),
        ({"epoch": "two"}, "epoch must be a whole number"),
        ({"epoch": 3}, "not one of 2 epochs"),
        ({"position": 4}, "stands at 4 of 23"),
        ({"position": 24}, "stands at 24 of 23"),
        ({"settings": [1]}, "is not a checkpoint of fit"),
        ({"rngs": {}}, "is not a checkpoint of fit"),
        ({"rngs": {"order": {"bit_generator": "MT19937"}}}, "is not a checkpoint of fit"),
        ({"of_model": {"beta": 3}}, "is not a checkpoint of fit"),
        ({"players/model/params/encoder_W1": np.full((7, 6), np.nan, np.float32)}, "encoder_W1 is missing, not finite"),
        ({"players/model/params/encoder_W1": np.zeros((7, 5), np.float32)}, r"not float32 of shape \(7, 6\)"),
        ({"players/model/params/encoder_W1": np.zeros((7, 6))}, r"not float32 of shape \(7, 6\)"),
        ({"players/model/optimizer/t": np.array(1.5)}, "players/model/optimizer/t"),
        ({"sums": np.zeros(4)}, "sums"),
        ({"history/loss": np.array(["a"])}, "the history is not one"),
        ({"history/loss": np.zeros(2)}, "the history is not one"),
        ({"limit": None}, "the limit of the loss"),
        ({"limit": "high"}, "is not a checkpoint of fit"),
    ],
)  # fmt: skip
def test_what_fit_did_not_write_is_refused_and_nothing_changes(changes, words, tmp_path):
    options = stopped(tmp_path)
    change(tmp_path / "checkpoint.npz", changes)
    model = VAE(7, (6,), 3)
    with pytest.raises(ValueError, match=words) as caught:
        fit(model, X, **options)
    assert "\n" not in str(caught.value) and same(model, VAE(7, (6,), 3))


def test_states_of_either_kind_of_optimizer_survive():
    rng = np.random.default_rng(0)
    for state in (
        {"t": 3, "m": {"a": rng.random(4), "b": rng.random((2, 3))}},
        {"t": 3, "m": rng.random(10)},
        {"t": 3},
    ):
        flat = checkpoints._flatten({"optimizer": state})

        def zeros(value):
            return {name: zeros(v) for name, v in value.items()} if isinstance(value, dict) else 0 * value

        blank = {"optimizer": zeros(state)}
        checkpoints._unflatten(blank, flat)
        assert checkpoints._flatten(blank).keys() == flat.keys() and type(blank["optimizer"]["t"]) is int
        assert all(np.array_equal(value, flat[name]) for name, value in checkpoints._flatten(blank).items())


# ---- when they are written ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, epochs_and_positions",
    [
        (
            {"checkpoint_seconds": 0, "epochs": 2},
            [(1, 0), *((epoch, seen) for epoch in (1, 2) for seen in (5, 10, 15, 20, 23)), (3, 0)],
        ),
        ({"epochs": 5}, [(1, 0), (6, 0)]),
    ],
)
def test_checkpoints_come_when_they_are_due(options, epochs_and_positions, tmp_path, monkeypatch):
    seen, save = [], checkpoints.Run.save
    monkeypatch.setattr(
        checkpoints.Run, "save", lambda run, *rest: seen.append((run.epoch, run.position)) or save(run, *rest)
    )
    plain(tmp_path, **options)
    assert seen == epochs_and_positions


def test_without_further_word_they_come_once_a_minute(tmp_path, monkeypatch):
    clock = iter(range(0, 10_000, 25))  # 25 seconds go by whenever somebody looks
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: next(clock))
    seen, save = [], checkpoints.Run.save
    monkeypatch.setattr(checkpoints.Run, "save", lambda run, *rest: seen.append(run.step) or save(run, *rest))
    plain(tmp_path, epochs=3)
    assert seen == [0, 3, 6, 9, 12, 15, 15]  # the last one is that of the end


# ---- Ctrl-C -------------------------------------------------------------------------------------------


def test_ctrl_c_is_held_back_to_the_end_of_the_step_and_saved(tmp_path):
    def press(model, examples):
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="interrupted after step 7, which is kept in"):
        plain(tmp_path, callback=press, callback_at=[33])
    assert signal.getsignal(signal.SIGINT) is before
    model, history = plain(tmp_path, resume=True)
    expected, straight = plain()
    assert same(model, expected) and timeless(history) == timeless(straight)


def test_ctrl_c_while_the_last_epoch_is_looked_at_stops_as_well(tmp_path, monkeypatch):
    evaluate, calls = training.evaluate, []

    def press(*arguments, **options):
        calls.append(1)
        if len(calls) == 4:  # before training, and after each of three epochs
            signal.raise_signal(signal.SIGINT)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(training, "evaluate", press)
    with pytest.raises(KeyboardInterrupt, match="after step 15"):
        plain(tmp_path)
    monkeypatch.undo()
    assert timeless(plain(tmp_path, resume=True)[1]) == timeless(plain()[1])


def test_processor_time_counts_no_sleep_and_adds_up(tmp_path):
    _, history = plain(tmp_path, epochs=2, callback=lambda model, n: time.sleep(0.3), callback_at=[5])
    wall, cpu = np.array(history["seconds"]), np.array(history["cpu_seconds"])
    assert 0 < cpu[0] <= cpu[1] < wall[1] - 0.2
    _, longer = plain(tmp_path, epochs=3, resume=True)
    assert longer["cpu_seconds"][:2] == history["cpu_seconds"] and longer["cpu_seconds"][2] >= cpu[1]


def test_a_checkpoint_from_before_processor_time_goes_on(tmp_path):
    plain(tmp_path, epochs=2)
    path = tmp_path / files.CHECKPOINT
    arrays = files.read_npz(path)
    about = json.loads(str(arrays.pop("about")))
    del about["cpu_seconds"], arrays["history/cpu_seconds"]
    np.savez(path, about=np.array(json.dumps(about)), **arrays)
    model, history = plain(tmp_path, resume=True)
    expected = plain()
    assert same(model, expected[0]) and timeless(history) == timeless(expected[1])
    assert np.isnan(history["cpu_seconds"]).all() and len(history["cpu_seconds"]) == 3
    assert np.isnan(plain(tmp_path, epochs=4, resume=True)[1]["cpu_seconds"]).all()  # what was unknown stays so


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    def press(model, examples):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt, match="twice"):
        plain(tmp_path, callback=press, callback_at=[33])
    assert same(plain(tmp_path, resume=True)[0], plain()[0])


@pytest.mark.parametrize("at, done", [(5, 0), (33, 1)])
def test_ctrl_c_without_a_checkpoint_returns_what_there_is(at, done, capsys):
    before = signal.getsignal(signal.SIGINT)
    looks = {"x_valid": X[:5], "gradient_norms": True}
    model, history = plain(callback=lambda model, n: signal.raise_signal(signal.SIGINT), callback_at=[at], **looks)
    said = f"interrupted after step {-(-at // 5)} of 15: the parameters are whole, the history has {done} of 3 epochs\n"
    assert capsys.readouterr().err == said and signal.getsignal(signal.SIGINT) is before
    straight = timeless(plain(**looks)[1])
    assert timeless(history) == {name: straight[name][:done] for name in straight}
    seen = []
    plain(callback=lambda model, n: seen.append(model.params.vector.copy()), callback_at=[at])
    assert np.array_equal(model.params.vector, seen[0])  # as that step left them


def test_a_second_ctrl_c_without_a_checkpoint_does_not_wait():
    def press(model, examples):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="twice.*half a step"):
        plain(callback=press, callback_at=[5])


# ---- a run stopped early is a run ----------------------------------------------------------------------


def interrupted(folder, at=33, **options):
    """A run with the checkpoint at which Ctrl-C left it, and the model as it was then."""
    model = VAE(7, (6,), 3)
    with pytest.raises(KeyboardInterrupt):
        plain(folder, model=model, callback=lambda model, n: signal.raise_signal(signal.SIGINT), callback_at=[at], **options)
    return model


def test_load_takes_a_checkpoint_for_the_model_as_it_was_then(tmp_path):
    model = interrupted(tmp_path)
    found = load(tmp_path / "checkpoint.npz")
    assert same(found, model) and found.config == model.config


def test_load_gives_the_hyperparameters_of_that_moment(tmp_path):
    model = BetaVAE(7, (5,), 2, beta=1.0)
    fit(model, X, epochs=2, batch_size=5, progress=False, checkpoint=tmp_path, schedule=lambda step: {"beta": 2.0 + step})
    assert load(tmp_path / "checkpoint.npz").beta == model.beta == 11.0


def test_load_refuses_checkpoints_that_do_not_tell(tmp_path):
    interrupted(tmp_path)
    path = tmp_path / "checkpoint.npz"
    arrays = files.read_npz(path)
    about = json.loads(str(arrays["about"]))
    for change, words in [
        ({"model": None}, "does not say what its model is"),
        ({"model": {**about["model"], "latent_dim": 10**9}}, "weights or more, the file holds less"),
        ({"model": {**about["model"], "hidden": [5]}}, "encoder.W1 is missing|is missing, not finite"),
        ({"format": 1}, "is of another version"),
    ]:
        np.savez(path, **{**arrays, "about": np.array(json.dumps({**about, **change}))})
        with pytest.raises(ValueError, match=words):
            load(path)


def test_a_run_can_be_ended_at_fewer_epochs_and_taken_further_again(tmp_path):
    expected = interrupted(tmp_path)
    model, history = plain(tmp_path, epochs=1, resume=True)
    assert same(model, expected) and history["epoch"] == [1]  # one epoch was done, and a part of the second
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        plain(tmp_path, epochs=0, resume=True)
    model, history = plain(tmp_path, epochs=2, resume=True)
    assert timeless(history) == {name: values[:2] for name, values in timeless(plain()[1]).items()}
    with pytest.raises(ValueError, match="epochs is 1, but the run of .* has done 2"):
        plain(tmp_path, epochs=1, resume=True)
    assert same(plain(tmp_path, epochs=3, resume=True)[0], plain()[0])


def test_fit_runs_in_a_thread_too(tmp_path):
    thread = threading.Thread(target=plain, args=(tmp_path,))
    thread.start()
    thread.join()
    assert (tmp_path / "checkpoint.npz").exists()


# ---- full disks ---------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    plain(tmp_path / "a", epochs=2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"could not be written: No space left on device: '.*checkpoint.npz'") as caught:
        plain(tmp_path / "a", epochs=4, resume=True)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_file_that_may_not_grow_is_one_line_on_the_command_line(tmp_path):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
        "from vae_from_scratch.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--quiet", "--epochs", "1", "--out", "run"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (
        done.returncode == 2
        and done.stderr.count("\n") == 1
        and "could not be written: File too large" in done.stderr
        and "checkpoint.npz" in done.stderr
    )
    assert list(tmp_path.iterdir()) == []  # nothing had been learned, so nothing is left


# ---- the command line ---------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.train, "draw_figures", lambda *args: args[4].mkdir(exist_ok=True))  # others look at them
    return tmp_path


def run(line):
    return cli.main([*line.split(), "--quiet"])


def outcome(folder):
    rows = (folder / "history.csv").read_text().splitlines()
    kept = [j for j, name in enumerate(rows[0].split(",")) if not name.endswith("seconds")]
    return [[row.split(",")[j] for j in kept] for row in rows], (
        folder / "config.json"
    ).read_text()


SLOW = "train --epochs 3 --batch-size 500 --checkpoint-seconds 0 --beta 1.5 --out"


def test_ctrl_c_on_the_command_line_says_how_to_go_on(here, capsys, monkeypatch):
    assert run(f"{SLOW} whole") == 0
    count, step = [0], Adam.step

    def pressing(*arguments):
        step(*arguments)
        count[0] += 1
        if count[0] == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Adam, "step", pressing)
    capsys.readouterr()
    assert run(f"{SLOW} run") == 130
    error = capsys.readouterr().err
    way = "go on with: vae-from-scratch train --resume run, or end it here with the same and --epochs 1"
    assert error == f"interrupted after step 5, which is kept in run; {way}\n"
    (here / "run").rename(here / "moved")
    (here / "moved" / ".checkpoint.npz.77-0123abcd.part").write_text("what a killed writer left")
    assert run("train --resume moved") == 0
    assert outcome(here / "moved") == outcome(here / "whole")
    assert sorted(p.name for p in (here / "moved").iterdir()) == [
        "checkpoint.npz",
        "config.json",
        "figures",
        "history.csv",
        "model.npz",
    ]
    one, other = (files.read_npz(here / name / "model.npz") for name in ("moved", "whole"))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_more_epochs_on_the_command_line(here, capsys):
    assert run("train --epochs 1 --batch-size 500 --out a") == run("train --epochs 2 --batch-size 500 --out b") == 0
    assert run("train --resume a --epochs 2") == 0
    assert outcome(here / "a") == outcome(here / "b")
    capsys.readouterr()
    assert run("train --resume a --epochs 1") == 2
    assert "epochs is 1, but the run of a" in capsys.readouterr().err


def test_the_first_file_of_a_run_is_its_config_so_that_a_kill_leaves_nothing_or_a_run_to_resume(here, monkeypatch):
    (here / "run").mkdir()
    (here / "run" / ".config.json.77-0123abcd.part").write_text("what a killed writer left")
    named, replace = [], os.replace
    monkeypatch.setattr(files.os, "replace", lambda *names: named.append(names[1].name) or replace(*names))
    assert run(f"{SLOW} run") == 0
    assert named[:2] == ["config.json", "checkpoint.npz"]


def test_a_run_killed_before_its_first_checkpoint_begins_again(here):
    assert run(f"{SLOW} run") == 0
    expected = outcome(here / "run")
    for name in ("checkpoint.npz", "model.npz", "history.csv"):
        (here / "run" / name).unlink()
    assert run("train --resume run") == 0
    assert outcome(here / "run") == expected


def test_a_hyperparameter_below_zero_is_kept_by_its_own_bound(tmp_path):
    class Reward(BetaVAE):
        hyperparameters = {"beta": -2}

    options = {"batch_size": 5, "progress": False, "checkpoint": tmp_path, "schedule": lambda step: {"beta": -0.5}}
    fit(Reward(7, (6,), 3), X, epochs=1, **options)
    again = Reward(7, (6,), 3)
    fit(again, X, epochs=2, **options, resume=True)
    assert again.beta == -0.5


def test_what_a_model_counts_is_kept_if_it_is_a_hyperparameter(tmp_path):
    class Cyclic(BetaVAE):
        name, hyperparameters = None, {**BetaVAE.hyperparameters, "seen": 0}

        def __init__(self, *args, seen=0, **kwargs):
            super().__init__(*args, **kwargs)
            self.set(seen=seen)

        def backward(self, *given):
            super().backward(*given)
            self.set(seen=self.seen + 1, beta=(self.seen + 1) % 4 / 2)

    def stop(model, examples):
        raise KeyboardInterrupt

    whole, parts = (Cyclic(7, (6,), 3) for _ in range(2))
    settings = {"batch_size": 5, "epochs": 3, "progress": False}
    fit(whole, X, **settings)
    kept = {**settings, "checkpoint": tmp_path, "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        fit(parts, X, callback=stop, callback_at=[33], **kept)
    again = Cyclic(7, (6,), 3)
    fit(again, X, resume=True, **kept)
    assert (again.params.vector == whole.params.vector).all() and again.seen == whole.seen == 15


def test_an_optimizer_of_ones_own_is_compared_by_all_that_a_file_can_hold(tmp_path):
    class Decayed(Adam):
        def __init__(self, betas, power=np.float32(1)):
            super().__init__(beta1=betas[0], beta2=betas[1])
            self.betas, self.power = betas, power

    settings = {"batch_size": 5, "progress": False, "checkpoint": tmp_path}
    fit(VAE(7, (6,), 3), X, Decayed((0.9, 0.99)), epochs=1, **settings)
    others = {"betas": Decayed((0.9, 0.99)), "power": Decayed((0.9, 0.99), np.float32(2)), "Decayed": Adam(beta2=0.99)}
    others["betas"].betas = (0.9, 0.9)
    for word, other in others.items():
        with pytest.raises(ValueError, match=word):
            fit(VAE(7, (6,), 3), X, other, epochs=2, resume=True, **settings)

    class Adam_(SGD):
        pass

    Adam_.__name__ = "Adam"  # bears the name of another
    with pytest.raises(ValueError, match="optimizer"):
        fit(VAE(7, (6,), 3), X, Adam_(), epochs=2, resume=True, **settings)
    fit(VAE(7, (6,), 3), X, Decayed((0.9, 0.99)), epochs=2, resume=True, **settings)

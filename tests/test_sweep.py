"""Promise: a sweep trains every combination of settings once, whatever dies in between, and its table holds them all."""

import concurrent.futures
import contextlib
import csv
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
from helpers import ROOT, refused, same, unsaid

from vae_from_scratch import cli, load, plots
from vae_from_scratch.cli import sweep as sweeping
from vae_from_scratch.cli.sweep import complete, grid, sweep, values
from vae_from_scratch.engine import files, sweeps

TINY = {"hidden": (4,), "latent_dim": 2, "epochs": 1, "batch_size": 500, "backend": "numpy"}
LINE = "--hidden 4 --latent-dim 2 --epochs 1 --batch-size 500 --backend numpy"


class Now:
    """An executor that does a task when it is handed over, or fails as it is told."""

    def __init__(self, *errors):
        self.errors, self.done = list(errors), []

    def submit(self, task, *item):
        future = concurrent.futures.Future()
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            future.set_exception(error)
            return future
        try:
            future.set_result(task(*item))
            self.done.append(item[0])
        except Exception as failed:
            future.set_exception(failed)
        return future


def rows_of(folder):
    with open(folder / "sweep.csv", newline="") as file:
        return list(csv.DictReader(file))


def quiet(configs, folder, executor):
    return sweep(configs, folder, executor=executor, progress=False)


def option(name):
    return sweeping.BY_NAME[name]


# ---- lists and ranges --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, texts, expected",
    [
        ("seed", ["0-3"], [0, 1, 2, 3]),
        ("seed", ["0-1,5,7-8"], [0, 1, 5, 7, 8]),
        ("latent_dim", ["2", "4-5"], [2, 4, 5]),
        ("lr", ["1e-3,2e-3"], [0.001, 0.002]),
        ("beta", ["1,2,4"], [1.0, 2.0, 4.0]),
        ("sigma", ["learned,0.5"], ["learned", 0.5]),
        ("activation", ["tanh,relu"], ["tanh", "relu"]),
        ("hidden", [["500,500"]], [(500, 500)]),
        ("hidden", [["500", "500"], ["none"]], [(500, 500), ()]),  # with spaces, as train takes them
        ("image_shape", [["4,16"]], [(4, 16)]),
        ("data", ["a,b.npy", "digits"], ["a,b.npy", "digits"]),
        ("weight_decay", ["yes"], [True]),
        ("doubly", ["no,yes"], [False, True]),
        ("model", ["vae, beta-vae"], ["vae", "beta-vae"]),  # in quotes, as a list is written elsewhere
        ("seed", ["0-1, 5"], [0, 1, 5]),
        ("weight_decay", ["no, yes"], [False, True]),
    ],
)
def test_what_a_list_is(name, texts, expected):
    assert values(option(name), texts) == expected


def test_every_option_of_train_can_be_listed():
    parser = cli.options.build_parser()
    for each in cli.options.OPTIONS:
        texts = {bool: ["yes", "no"], int: ["3", "4"], float: ["0.5", "2"]}
        texts |= {cli.options.widths: ["3,3", "none"], cli.options.shape: ["3,3", "4,4"]}
        one, two = texts.get(each.kind) or (each.choices or ["0.5", "learned"])[:2]
        flag = "--" + each.name.replace("_", "-")
        parsed = parser.parse_args(["sweep", flag, one, flag, two])
        expected = [True, False] if each.kind is bool else [each.kind(one), each.kind(two)]
        assert values(each, getattr(parsed, each.name)) == expected


def test_what_a_model_does_not_take_is_left_out_and_nothing_is_trained_twice():
    configs = grid(model=["vae", "beta-vae", "iwae"], beta=[1.0, 4.0], samples=[2, 5], seed=range(2))
    assert len(configs) == 2 * (1 + 2 + 2) and {"model": "vae", "seed": 1} in configs
    assert all("samples" not in config for config in configs if config["model"] != "iwae")
    both = grid(model="sparse-autoencoder", penalty=["kl", "l1"], rho=[0.1, 0.3])
    assert [config.get("rho") for config in both] == [0.1, 0.3, None] and [complete(each)["penalty"] for each in both] == ["kl", "kl", "l1"]
    assert complete(complete(both[-1])) == complete(both[-1])
    assert [config["hidden"] for config in grid(hidden=[(3, 3), ()])] == [(3, 3), ()] and len(grid(hidden=(3, 3))) == 1
    assert complete({"beta": 4}) == complete({"beta": np.float64(4)}) and complete({})["threads"] == 1
    widths = [complete({"hidden": kind, "image_shape": (np.int32(8), 8)}) for kind in ((np.int64(4),), (4,), [np.uint8(4)])]
    assert len({json.dumps(config) for config in widths}) == 1  # NumPy's numbers are no JSON


# ---- the runs ----------------------------------------------------------------------------------------


def test_two_runs_beside_each_other_their_table_and_never_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        first = sweep(grid(seed=range(2), **TINY), "s", executor=threads)
    bar = capsys.readouterr().err
    assert "2/2" in bar and "<00:00" in bar  # with the time left
    assert [row["run"] for row in first] == ["seed-0", "seed-1"] and {row["status"] for row in first} == {"done"}
    table = rows_of(tmp_path / "s")
    assert [row["elbo"] for row in table] == [str(row["elbo"]) for row in first]
    assert (table[0]["hidden"], table[0]["threads"]) == ("4", "1")
    assert all(table[0][name] for name in ("standard_error", "recon_nll", "kl", "active_units", "seconds", "cpu_seconds", "version"))
    # the same bits as train gives
    monkeypatch.setattr(cli.train, "draw_figures", lambda *_: None)  # they are test_cli.py's
    assert cli.main(f"train --quiet --seed 1 --threads 1 --out t {LINE}".split()) == 0
    assert same(load("s/seed-1/model.npz"), load("t/model.npz"))
    assert json.loads((tmp_path / "s/seed-1/config.json").read_text()) == json.loads((tmp_path / "t/config.json").read_text())
    # once more: nothing is trained, more runs are added, and the table keeps them all
    executor = Now()
    again = quiet([*grid(seed=[1, 2], **TINY), {**TINY, "seed": 2, "image_shape": (8, 8)}], "s", executor)  # the last is one of them
    assert [os.path.basename(path) for path in executor.done] == ["seed-2"] and again[0] == first[1]
    assert [row["run"] for row in rows_of(tmp_path / "s")] == ["seed-1", "seed-2", "seed-0"]
    # the command finds them, and draws
    assert cli.main(f"sweep --seed 0-2 --out s --quiet --result kl --jobs 1 {LINE}".split()) == 0
    printed = capsys.readouterr().out
    assert "runs" in printed and " +- " in printed and (tmp_path / "s/sweep.png").read_bytes()[:4] == b"\x89PNG"


def test_a_run_that_train_goes_on_with_is_no_longer_what_the_table_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.train, "draw_figures", lambda *_: None)
    quiet(grid(seed=range(2), **TINY), "s", Now())
    assert cli.main("train --quiet --resume s/seed-1 --epochs 2".split()) == 0
    (again,) = quiet(grid(seed=0, **TINY), "s", Now())
    (row,) = [row for row in rows_of(tmp_path / "s") if row["run"] == "seed-1"]
    assert again["status"] == "done" and row["status"] == "changed" and row["elbo"] == "" and "after epoch 1" in row["words"]


def test_two_files_of_one_name_are_two_lines(capsys):
    row = {**complete({}), "status": "done", "run": "r", **dict.fromkeys(sweeping.RESULTS, 1.0)}
    for paths, words in ((("a/x.npy", "b/x.npy"), ["a/x.npy", "b/x.npy"]), (("a/x.npy", "b/y.npy"), ["x", "y"])):
        sweeping.print_summary([{**row, "data": path} for path in paths], ["data"])
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:3]] == words


def test_a_run_that_diverges_is_a_row_and_what_fails_is_tried_again(tmp_path, monkeypatch, capsys):
    configs = [{**TINY, "seed": 0}, {**TINY, "optimizer": "sgd", "lr": 1e9, "epochs": 9}]
    executor = Now(OSError(28, "No space left on device"))
    failed, diverged = quiet(configs, tmp_path / "s", executor)
    assert failed["status"] == "failed" and "No space left" in failed["words"] and failed["elbo"] is None
    assert diverged["status"] == "diverged" and not unsaid(diverged["words"], "smaller learning rate") and "\n" not in diverged["words"]
    executor = Now()
    after = quiet(configs, tmp_path / "s", executor)
    assert [row["status"] for row in after] == ["done", "diverged"] and len(executor.done) == 1
    assert [row["status"] for row in rows_of(tmp_path / "s")] == ["done", "diverged"]
    figure = plots.sweep(after, "elbo", "lr")
    assert "1 of 2 runs without it" in figure.axes[0].get_title()
    sweeping.print_summary(after, ["lr"])
    assert "0, 1 diverged" in capsys.readouterr().out


def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    config = {**TINY, "epochs": 4, "checkpoint_seconds": 0.0}

    class Killed(BaseException):
        pass

    def die(*arguments, **settings):
        raise Killed

    (whole,) = quiet([config], tmp_path / "whole", Now())
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_history", die)  # it has trained, and left nothing but its checkpoint
        with pytest.raises(Killed):
            quiet([config], tmp_path / "s", Now())
    assert rows_of(tmp_path / "s")[0]["status"] == "waiting"
    steps, step = [], cli.train.OPTIMIZERS["adam"].step
    monkeypatch.setattr(cli.train.OPTIMIZERS["adam"], "step", lambda *arguments: steps.append(step(*arguments)))
    (row,) = quiet([config], tmp_path / "s", Now())
    assert row["elbo"] == whole["elbo"] and not steps


def test_a_worker_without_the_folder_sends_its_files(tmp_path):
    there = tmp_path / "there"
    (row,) = quiet([{**TINY, "seed": 3}], there, Now())

    class Elsewhere(Now):
        """A machine on which no folder of the sweep is found."""

        def submit(self, task, folder, config):
            return super().submit(task, str(tmp_path / "not" / "here"), config)

    (sent,) = quiet([{**TINY, "seed": 3}], tmp_path / "here", Elsewhere())
    assert sent["status"] == "done" and sent["elbo"] == row["elbo"] and not (tmp_path / "not").exists()
    names = [sorted(path.name for path in (folder / "run").iterdir()) for folder in (there, tmp_path / "here")]
    assert names[0] == names[1] and same(load(there / "run/model.npz"), load(tmp_path / "here/run/model.npz"))


def test_ctrl_c_cancels_what_has_not_begun_and_says_how_to_go_on(tmp_path, monkeypatch):
    handed = []

    class Waiting:
        def submit(self, task, *item):
            handed.append(concurrent.futures.Future())
            return handed[-1]

    def press(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeps, "wait", press)
    with pytest.raises(KeyboardInterrupt, match="2 of 2 runs are left; the same call goes on"):
        quiet(grid(seed=[0, 1], **TINY), tmp_path / "s", Waiting())
    assert len(handed) == 2 and all(future.cancelled() for future in handed)


def test_runs_that_go_down_with_a_process_are_tried_in_another(monkeypatch):
    lost = concurrent.futures.BrokenExecutor("killed")
    pools = [Now(lost, lost), Now(lost), Now(lost)]
    monkeypatch.setattr(sweeps, "processes", lambda jobs: contextlib.nullcontext(pools.pop(0)))
    found = {item: (result, error) for item, result, error in sweeps.run_in_processes(max, [(1, 2), (3, 4), (5, 6)], 2)}
    assert found == {(5, 6): (6, None), (3, 4): (4, None), (1, 2): (None, lost)} and not pools


def test_what_has_no_effect_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "processes", lambda jobs: contextlib.nullcontext(Now()))
    line = f"sweep --quiet --hidden none --latent-dim 2 --epochs 1 --batch-size 500 --backend numpy --out {tmp_path}"
    assert cli.main(f"{line} --activation tanh,relu --checkpoint-seconds 0,60".split()) == 0
    notes = [each for each in capsys.readouterr().out.splitlines() if each.startswith("note")]
    assert len(notes) == 2 and len(rows_of(tmp_path)) == 2 and not unsaid(notes[0], "checkpoint_seconds nothing 2 4")
    assert not unsaid(notes[1], "activation-tanh activation-relu same bit effect") and "seed" not in notes[1]
    assert cli.main(f"{line} --activation tanh".split()) == 0
    (note,) = (each for each in capsys.readouterr().out.splitlines() if each.startswith("note"))
    assert not unsaid(note, "no figure one value")


def test_a_sweep_without_what_is_to_be_drawn_says_what_it_has(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "processes", lambda jobs: contextlib.nullcontext(Now()))
    line = f"sweep --quiet --model autoencoder {LINE} --seed 0,1 --out {tmp_path / 's'}"
    assert cli.main(line.split()) == 0
    (note,) = (each for each in capsys.readouterr().out.splitlines() if each.startswith("note"))
    assert not unsaid(note, "no figure elbo --result recon_nll loss") and not (tmp_path / "s/sweep.png").exists()
    assert cli.main([*line.split(), "--result", "loss"]) == 0
    assert "note" not in capsys.readouterr().out and (tmp_path / "s/sweep.png").is_file()


# ---- the figure --------------------------------------------------------------------------------------


def test_every_seed_is_thin_and_their_mean_bold():
    rows = [
        {"beta": beta, "seed": seed, "model": model, "elbo": -beta - seed}
        for beta in (4.0, 1.0, 16.0) for seed in (0, 2) for model in ("vae", "beta-vae")
    ]  # fmt: skip
    ax = plots.sweep(rows, "elbo", "beta", ["model"]).axes[0]
    thin, bold = ([line for line in ax.lines if (line.get_linewidth() < 1) == narrow] for narrow in (True, False))
    assert len(thin) == 4 and [line.get_label() for line in bold] == ["model vae", "model beta-vae"]
    assert list(bold[0].get_xdata()) == [1, 4, 16] and list(bold[0].get_ydata()) == [-2, -5, -17]
    assert ax.get_xscale() == "log" and "2 seeds" in ax.get_title()
    rows = [{"hidden": hidden, "seed": 0, "elbo": 1.0} for hidden in ([], [500, 500])]
    assert [tick.get_text() for tick in plots.sweep(rows, "elbo", "hidden").axes[0].get_xticklabels()] == ["500,500", "none"]
    assert plots.sweep(rows, "elbo", "hidden", "seed").axes[0].lines[-1].get_label() == "seed 0"  # one name, not its letters
    against_seed = plots.sweep([{"seed": seed, "elbo": seed} for seed in range(3)], "elbo", "seed").axes[0]
    assert list(against_seed.lines[0].get_ydata()) == [0, 1, 2]


def test_a_figure_of_what_the_rows_do_not_have_is_refused():
    rows = [{"beta": beta, "model": "vae", "seed": 0, "status": "done", "elbo": -beta, "kl": 1.0} for beta in (1.0, 4.0)]
    rows.append({"beta": 8.0, "model": "vae", "seed": 0, "status": "diverged", "elbo": None})  # and no kl
    assert "1 of 3 runs without it" in plots.sweep(rows, "kl", "beta").axes[0].get_title()
    for words, arguments in {
        "result beta elbo kl 'elboo'": ("elboo", "beta"),
        "result beta elbo kl 'model'": ("model", "beta"),  # words
        "against beta model seed 'betta'": ("elbo", "betta"),
        "against 'kl'": ("elbo", "kl"),
        "each of others beta model 'betta'": ("elbo", "beta", ["betta"]),
    }.items():
        with refused(words):
            plots.sweep(rows, *arguments)


# ---- refusals ----------------------------------------------------------------------------------------

LINES = {  # of a sweep: words of its one line
    "--seed 9-0": "--seed 9-0 up 0-9",
    "--seed 1.5": "--seed whole numbers 0-9 '1.5'",
    "--seed 1,": "--seed whole '1,'",
    "--seed 0-999999": "--seed 1000000 values 100000",
    "--beta 1;2": "--beta numbers commas '1;2'",
    "--hidden a": "--hidden whole numbers commas 500,500 'a'",
    "--image-shape 8x8": "--image-shape whole numbers commas 28,28 '8x8'",
    "--weight-decay maybe": "--weight-decay yes no 'maybe'",
    "--model vae,gan": "--model beta-vae 'gan'",
    "--model vae --beta 1,2": "--beta no effect beta-vae",
    "--latent-dim 0,2": "latent_dim least 1 0",
    "--seed -1": "seed",
    "--lr 0.1,-1": "lr -1.0",
    "--batch-size 100,9999": "batch_size 9999 1500",
    "--epochs 0": "epochs least 1",
    "--data nowhere.npy": "nowhere.npy",
    "--jobs 0": "jobs least 1",
    "--jobs 2 --scheduler tcp://a:1": "--jobs --scheduler one",
    "--result nats": "--result elbo kl 'nats'",
    "--beta 1,2 --against seed": "--against seed one value beta",
    "--beta 1,2 --out file": "file folder",
    "--beta 1,2 --out things": "things sweep.csv new folder",
    "--threads 0": "threads least 1",
    "--image-shape 3,3": "--image-shape 64 3,3",
    # one of several combinations, by its name
    "--model vae,autoencoder --likelihood bernoulli,squared-error --seed 0-3": "run model vae likelihood squared-error density same folder",
    "--latent-dim 2,3 --lr 0.1,-1 --seed 3-5": "run latent_dim 2 lr -1",
    "--batch-size 100,9999 --beta 1,2": "run batch_size 9999 beta 1 1500",
}


@pytest.mark.parametrize("line", LINES)
def test_bad_command_line(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "mine").write_text("mine")
    monkeypatch.setattr(sweeps, "processes", lambda jobs: pytest.fail("nothing may be trained"))
    try:
        code = cli.main(["sweep", *line.split(), "--quiet"])
    except SystemExit as stop:  # of the parser
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2 and error.count("\n") == 1 and error.startswith("vae-from-scratch sweep: error"), error
    assert not unsaid(error, LINES[line]), error
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "mine", "things"]


def test_bad_calls(tmp_path):
    for words, call in {
        "configs dict 3": lambda: sweep([3], tmp_path / "s"),
        "no option 'betta' beta": lambda: sweep([{"betta": 3}], tmp_path / "s"),
        "configs empty": lambda: sweep([], tmp_path / "s"),
        "seed empty": lambda: grid(seed=[]),
        "executor ProcessPoolExecutor(2) 2": lambda: sweep([{}], tmp_path / "s", executor=2),
        "executor ThreadPoolExecutor class": lambda: sweep([{}], tmp_path / "s", executor=concurrent.futures.ThreadPoolExecutor),
        "configs list dicts None": lambda: sweep(None, tmp_path / "s"),
        "configs list dicts {'seed': 0}": lambda: sweep({"seed": 0}, tmp_path / "s"),
        "hidden tuple 64 several one hidden=[(500, 500)]": lambda: sweep(grid(hidden=[64, 32]), tmp_path / "s"),
        "discriminator_hidden tuple 9": lambda: sweep([{"model": "factor-vae", "discriminator_hidden": 9}], tmp_path / "s"),
        "image_shape tuple 8 image_shape=[(28, 28)]": lambda: sweep(grid(image_shape=[8, 8]), tmp_path / "s"),
        "beta number 'x'": lambda: sweep([{"beta": "x"}], tmp_path / "s"),
    }.items():
        with refused(words):
            call()
    assert not list(tmp_path.iterdir())


def test_a_sweep_under_way_keeps_its_folder(tmp_path):
    with files.lock(tmp_path / "s"), refused("held another s"):
        quiet([{**TINY}], tmp_path / "s", Now())


def test_a_scheduler_without_dask(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    assert cli.main(f"sweep --scheduler tcp://127.0.0.1:1 --out {tmp_path / 's'} {LINE}".split()) == 2
    assert not unsaid(capsys.readouterr().err, "--scheduler dask.distributed .[cluster]")


# ---- processes, and a cluster ------------------------------------------------------------------------

KILLED = "--hidden 64 --epochs 60 --checkpoint-seconds 0.1 --seed 0-3 --quiet"


def command(*arguments, **settings):
    settings["env"] = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return [sys.executable, "-m", "vae_from_scratch", "sweep", *arguments], settings


def wait_for(found, seconds=120):
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
    return value


def elbos(folder):
    return {row["run"]: row["elbo"] for row in rows_of(folder)}


@pytest.fixture
def whole(tmp_path):
    """The runs of KILLED in this process, undisturbed."""
    quiet(grid(hidden=(64,), epochs=60, checkpoint_seconds=0.1, seed=range(4)), tmp_path / "whole", Now())
    return elbos(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_sweep_of_processes_is_killed_and_goes_on(tmp_path, whole):
    arguments, settings = command(*KILLED.split(), "--jobs", "2", "--out", str(tmp_path / "s"))
    killed = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, **settings)
    wait_for(lambda: list((tmp_path / "s").glob("*/result.json")))
    killed.kill()
    killed.wait()
    wait_for(lambda: not list((tmp_path / "s").glob("*/.lock")) or free(tmp_path / "s"))  # its processes end with it
    before = {path.parent.name: path.stat().st_mtime_ns for path in (tmp_path / "s").glob("*/result.json")}
    assert 0 < len(before) < 4
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, timeout=200, **settings)
    assert elbos(tmp_path / "s") == whole
    assert all((tmp_path / "s" / run / "result.json").stat().st_mtime_ns == at for run, at in before.items())


def free(folder):
    """Can every run in a sweep's folder be locked?"""
    try:
        for run in folder.glob("*/config.json"):
            with files.lock(run.parent):
                pass
    except ValueError:
        return False
    return True


@pytest.mark.slow
def test_processes_have_one_blas_thread_and_a_dead_one_is_replaced(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with sweeps.processes(1) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == pool.submit(os.getenv, "OPENBLAS_NUM_THREADS").result() == "1"
    assert "OMP_NUM_THREADS" not in os.environ
    ((_, _, error),) = sweeps.run_in_processes(os._exit, [(1,)], 1)
    assert isinstance(error, concurrent.futures.BrokenExecutor)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Dask itself
def test_a_cluster_loses_a_worker_and_no_run(tmp_path, whole):
    distributed = pytest.importorskip("dask.distributed", reason="Dask is not installed: pip install -e '.[cluster]'")
    where = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**where) as cluster, distributed.Client(cluster) as client:
        workers = list(client.run(os.getpid).values())

        def kill():
            wait_for(lambda: len(list((tmp_path / "s").glob("*/checkpoint.npz"))) == 2)
            os.kill(workers[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        assert cli.main([*f"sweep {KILLED} --scheduler {cluster.scheduler_address} --out".split(), str(tmp_path / "s")]) == 0
        killer.join()
        assert workers[0] not in client.run(os.getpid).values()
    assert elbos(tmp_path / "s") == whole
    shutil.rmtree(tmp_path / "s")


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be held back here")
def test_ctrl_c_waits_while_a_process_is_started():
    """A process inherits that, and says nothing of its own if it is pressed before it has begun."""
    reached = []
    with pytest.raises(KeyboardInterrupt), sweeps.ctrl_c_waits():
        signal.raise_signal(signal.SIGINT)
        reached.append("the end")
    assert reached == ["the end"]

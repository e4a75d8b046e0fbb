"""Promise: every example runs, at small size, and leaves a figure; the README's Python runs as printed."""

import doctest
import importlib
import os
import re
import runpy
import shutil
import signal
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import ROOT, load, python

from vae_from_scratch import base, datasets, fit, gradcheck
from vae_from_scratch.cli import COMMANDS
from vae_from_scratch.cli.course import ACTIONS, TEACHERS
from vae_from_scratch.engine import gradient_table

SMALL = {  # example: what makes it small
    "beta_latent_space": ["--quick"],
    "benchmark": ["--quick"],
}
REPRODUCTIONS = [  # they share the runner
    "autoencoders", "beta_blobs", "beta_capacity", "beta_dsprites", "beta_sprites", "burda_2015", "compare_objectives", "disentangle",
    "exact_answers",
    "gradient_variance", "grey_digits", "kingma_welling_2013", "marginal_likelihood", "own_photos", "tighter_bounds",
]  # fmt: skip
SLOW = (  # one to six seconds each
    "autoencoders", "benchmark", "beta_blobs", "beta_capacity", "beta_dsprites", "beta_sprites", "burda_2015",
    "compare_objectives", "disentangle", "exact_answers", "gradient_variance", "grey_digits", "kingma_welling_2013",
    "marginal_likelihood", "tighter_bounds",
)  # fmt: skip
HELPERS = ("latents", "runner")  # imported by examples, none itself


def marked(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


def test_every_example_is_listed_here():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == {*SMALL, *REPRODUCTIONS, *HELPERS}


@pytest.mark.parametrize("name", marked(SMALL))
def test_example(name, tmp_path, capsys):
    load(ROOT / "examples" / f"{name}.py").main([*SMALL[name], "--out", str(tmp_path / "figure.png")])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG" and "wrote" in capsys.readouterr().out


@pytest.mark.parametrize("name", marked(REPRODUCTIONS))
def test_reproduction(name, tmp_path, capsys, monkeypatch):
    """Its quick form leaves results and figures; called again it finds its runs done, and the numbers stay."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    arguments = ["--quick", "--out", str(tmp_path)]
    load(ROOT / "examples" / f"{name}.py").main(arguments)
    results, figures = (tmp_path / "results.csv").read_bytes(), sorted(tmp_path.glob("*.png"))
    assert figures and capsys.readouterr().out.count("wrote") >= len(figures)
    load(ROOT / "examples" / f"{name}.py").main(arguments)
    assert (tmp_path / "results.csv").read_bytes() == results


@pytest.mark.slow
def test_own_photos_trains_anew_on_another_album_and_with_another_seed(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "examples")
    example, line = load(ROOT / "examples" / "own_photos.py"), ["--quick", "--out", str(tmp_path / "out")]
    example.draw_album(tmp_path / "mine", 20, np.random.default_rng(1))
    for more in ([], ["--seed", "1"], ["--album", str(tmp_path / "mine")], ["--album", str(tmp_path / "mine")]):
        example.main([*line, *more])
    rows = (tmp_path / "out" / "results.csv").read_text("utf-8").splitlines()
    assert len(rows) == 4 and [row.split(",")[1:3] for row in rows[1:]] == [["0", "36"], ["1", "36"], ["0", "18"]]


@pytest.mark.slow
def test_autoencoders_are_trained_anew_on_other_data(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    digits = datasets.digits()
    np.savez(tmp_path / "half.npz", x=digits[:200], y=digits.labels[:200])
    for data in ("digits", str(tmp_path / "half.npz")):
        load(ROOT / "examples" / "autoencoders.py").main(["--quick", "--out", str(tmp_path / "out"), "--data", data])
    assert len((tmp_path / "out" / "results.csv").read_text("utf-8").splitlines()) == 11


@pytest.mark.parametrize("name", HELPERS)
def test_what_examples_share_does_what_its_docstring_shows(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed


def one_run(folder, seed):
    """A run that seed 1 diverges in, and that takes its process with it when seed 2 tries it first."""
    with open(folder / "tried", "a") as file:
        file.write("x")
    if seed == 1:
        raise FloatingPointError("the loss is nan at step 3")
    if seed == 2 and os.environ.get("MAY_DIE") and (folder / "tried").read_text() == "x":
        os.kill(os.getpid(), signal.SIGTERM)
    return [{"mark": mark, "elbo": seed + mark / 3} for mark in (1, 2)]


@pytest.fixture
def runner(monkeypatch):
    """examples/runner.py."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    return importlib.import_module("runner")


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_runs_of_many_seeds_end_once_each_whatever_happens_to_one(jobs, runner, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MAY_DIE", "yes" * (jobs > 1))
    settings = [{"seed": seed} for seed in range(4)]
    for _ in range(2):
        results = runner.Results(tmp_path / "results.csv", keys=("seed", "mark"))
        runner.run_each(one_run, settings, results, jobs)
        assert [(row["mark"], row["elbo"]) for row in results.where(seed=3)] == [(1, 3.33333), (2, 3.66667)]
        assert [row["seed"] for row in runner.read(results.path)] == [0, 0, 1, 2, 2, 3, 3]  # seed 2 may have ended last
        (row,) = results.where(seed=1)
        assert "nan" in row["words"] and row["threads"] == 1 and results.where(**row) == [row]
        _, curves = runner.curves(results.rows, "mark", "elbo")
        assert curves.shape == (3, 2)  # of those that did not diverge
    assert capsys.readouterr().out.count("4 of 4") == 1
    tried = [len((tmp_path / f"seed-{seed}" / "tried").read_text()) for seed in range(4)]
    assert tried[:2] == [1, 1] and tried[3] <= 2 and tried[2] == (2 if jobs > 1 else 1)


def test_a_fault_of_one_run_is_no_row_and_the_rows_before_it_stay(runner, tmp_path):
    results = runner.Results(tmp_path / "results.csv", keys=("seed", "mark"))
    with pytest.raises(TypeError, match="other"):
        runner.run_each(one_run, [{"seed": 0}, {"seed": 3, "other": 1}], results)
    assert [row["seed"] for row in runner.read(tmp_path / "results.csv")] == [0, 0]


def test_seeds_are_typed_as_a_range_or_a_list_and_quick_takes_one(runner, tmp_path, capsys):
    for typed, seeds in ([], (0, 1, 2)), (["--seeds", "0-1,5"], (0, 1, 5)), (["--quick"], (0,)), (["--quick", "--seeds", "2"], (2,)):
        assert runner.options("x.py", "x", ["--out", str(tmp_path), *typed], seeds=(0, 1, 2)).seeds == seeds
    with pytest.raises(SystemExit):
        runner.options("x.py", "x", ["--seeds", "some"], seeds=(0, 1, 2))
    assert "whole numbers" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "derivations" / "figures").glob("*.py")), ids=lambda path: path.stem)
def test_figures_of_a_note_can_be_drawn_again(path, tmp_path):
    number = path.stem.removeprefix("note_")
    (tmp_path / "figures").mkdir()
    for source in (path, *path.parent.parent.glob(f"{number}-*.md")):
        shutil.copy(source, tmp_path / source.relative_to(path.parent.parent))
    runpy.run_path(str(tmp_path / "figures" / path.name), run_name="__main__")
    plt.close("all")  # or Matplotlib warns of the twenty-first
    folders = (tmp_path / "figures", path.parent)
    drawn, kept = (sorted(png.name for png in folder.glob(f"{number}-*.png")) for folder in folders)
    assert drawn == kept != []


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)


def test_readme_quickstart_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    assert len(code.splitlines()) <= 15
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert list(tmp_path.iterdir())


def test_readme_begins_with_two_one_line_commands():
    first, second, *_ = blocks("sh")
    for block in (first, second):
        assert len(block.splitlines()) == 1 and "python3 -m venv .venv" in block and "pip install" in block
    assert first.rstrip().endswith("vae-from-scratch train") and second.rstrip().endswith("-m pytest")


def test_every_command_that_a_page_names_is_there():
    pages = [ROOT / "README.md", *ROOT.glob("derivations/*.md"), *ROOT.glob("examples/*.md")]
    named = [pair for page in pages for pair in re.findall(r"vae-from-scratch ([a-z]+)(?: ([a-z]+))?", page.read_text("utf-8"))]
    assert len(named) > 30 and {command for command, _ in named} <= set(COMMANDS)
    assert {action for command, action in named if command == "course"} <= {*ACTIONS, *TEACHERS}


def test_readme_counts_the_lines_of_the_book():
    readme, package = (ROOT / "README.md").read_text("utf-8"), ROOT / "vae_from_scratch"
    book = set(re.findall(r"^\| `(\w+\.py)` \|", readme, re.M))
    (claimed,) = re.findall(r"The book has (\d,\d+) lines", readme)
    first_reading = [(package / name).read_text("utf-8").split("\n\n# ==== ")[0] for name in book]
    lines = sum(len(text.rstrip().splitlines()) for text in first_reading)
    assert lines == int(claimed.replace(",", ""))
    files, folders = ({path.name for path in package.iterdir() if test(path)} for test in (Path.is_file, Path.is_dir))
    assert files == book | {"__init__.py", "__main__.py", "kernels.py", "py.typed"}  # files are the book
    assert folders - {"__pycache__"} <= set(re.findall(r"`(\w+)/`", readme))


def test_readme_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "examples" / "README.md", *(ROOT / "derivations").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", re.sub(r"`[^`]*`", "", page.read_text("utf-8"))):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_objective_is_right_and_trains():
    (code,) = blocks("py")
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    model = names["SmallMeansVAE"](7, (6,), 3, strength=2.0, dtype="float64")
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(5, 7))
    assert all(check.ok for check in gradcheck.check_model(model, x, *model.draw_noise(5, rng)))
    fit(model, x, batch_size=5, epochs=2, schedule=lambda step: {"strength": step}, progress=False)
    assert model.config["strength"] == 1


def test_every_objective_of_the_package_is_in_the_table_of_gradients():
    checked = {type(case.model) for case in gradient_table.models()}
    ours = {cls for cls in base.MODELS.values() if cls.__module__.startswith("vae_from_scratch.")}
    assert ours <= checked


@pytest.mark.slow
@pytest.mark.parametrize("name", ["beta_latent_space", "beta_blobs"])
def test_a_script_needs_no_docstrings(name):
    assert "--quick" in python("-OO", ROOT / "examples" / f"{name}.py", "--help")

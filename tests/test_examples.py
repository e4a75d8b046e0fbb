"""Promise: every example runs, at small size, and leaves a figure; the README's Python runs as printed."""

import importlib.util
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = {  # example: what makes it small
    "beta_latent_space": ["--data", "digits", "--epochs", "1"],
    "benchmark": ["--quick"],
}


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_example(path, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([*SMALL[path.stem], "--out", str(tmp_path / "figure.png")])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG" and "wrote" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted((ROOT / "derivations" / "figures").glob("*.py")), ids=lambda path: path.stem)
def test_figures_of_a_note_can_be_drawn_again(path, tmp_path):
    copy = tmp_path / path.name
    copy.write_text(path.read_text("utf-8"), "utf-8")
    runpy.run_path(str(copy), run_name="__main__")
    number = path.stem.removeprefix("note_")
    drawn, kept = (sorted(png.name for png in folder.glob(f"{number}-*.png")) for folder in (tmp_path, path.parent))
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


def test_readme_counts_the_core_as_it_is():
    readme = (ROOT / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+\.py)` \|.*\| (\d+) \|$", readme, re.M)
    assert len(rows) >= 10
    for name, lines in rows:
        assert len((ROOT / "vae_from_scratch" / name).read_text("utf-8").splitlines()) == int(lines), name
    (total,) = re.findall(r"(\d,\d+) lines in all", readme)
    assert sum(int(lines) for _, lines in rows) == int(total.replace(",", ""))


def test_readme_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "derivations").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", re.sub(r"`[^`]*`", "", page.read_text("utf-8"))):
            assert (page.parent / target).exists(), f"{page.name}: {target}"

"""Promise: the notebook runs from top to bottom, is valid, shows what its cells give, stays small, agrees with the notes."""

import base64
import json
import re

import pytest
from helpers import ROOT, joined, load, python

PATH = ROOT / "examples" / "notebooks" / "first_hour.ipynb"
CELLS = json.loads(PATH.read_text("utf-8"))["cells"]
TEXT = "\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
RUNNER = ROOT / "tests" / "long" / "run_notebook.py"
FIELDS = {  # what nbformat 4.5 asks of each kind of cell and output; it allows no other
    "markdown": {"cell_type", "id", "metadata", "source"},
    "code": {"cell_type", "id", "metadata", "source", "execution_count", "outputs"},
    "stream": {"output_type", "name", "text"},
    "execute_result": {"output_type", "data", "metadata", "execution_count"},
}


@pytest.mark.slow
def test_it_runs():
    count = sum(cell["cell_type"] == "code" for cell in CELLS)
    last = python(RUNNER, OPENBLAS_NUM_THREADS="1").splitlines()[-1]
    assert last.startswith(f"{count} cells ran in ") and float(last.split()[-2]) < 60


def test_it_is_valid_nbformat_4():
    notebook = json.loads(PATH.read_text("utf-8"))
    assert notebook.keys() == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"].keys() == {"display_name", "language", "name"}
    names = [cell["id"] for cell in CELLS]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[\w-]{1,64}", name) for name in names)
    for each in [*CELLS, *outputs()]:
        assert each.keys() == FIELDS[each.get("cell_type") or each["output_type"]]
        for text in ("source", "text"):
            assert all(isinstance(line, str) for line in each.get(text, []))


def outputs():
    return [output for cell in CELLS for output in cell.get("outputs", [])]


def test_what_its_cells_give_is_there_and_small():
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    assert {cell["id"] for cell in code if not cell["outputs"]} == {"imports"}
    images = [base64.b64decode(output["data"]["image/png"]) for output in outputs() if "image/png" in output.get("data", {})]
    assert len(images) == 5 and all(image[:4] == b"\x89PNG" for image in images)
    assert PATH.stat().st_size < 400_000
    said = "".join(line for output in outputs() for line in output.get("text", []))
    assert "ops.gaussian_kl_backward was changed: its kernel is set aside\n" in said
    assert said.count("WRONG") == 1 + 4  # dlogvar of the pair; the four arrays of the encoder
    assert " at 0x" not in PATH.read_text("utf-8")  # an object without a printed form


def test_it_asks_three_questions_and_folds_the_answers():
    assert len(re.findall(r"^### Question \d", TEXT, re.M)) == 3
    assert len(re.findall(r"^<details><summary>Answer.*?</summary>\n\n.+?\n\n</details>$", TEXT, re.M | re.S)) == 3


def test_its_equations_are_those_of_the_notes():
    notes = joined("\n".join(path.read_text("utf-8") for path in sorted((ROOT / "derivations").glob("*.md"))))
    equations = re.findall(r"^\$\$(.*?)\$\$$", TEXT, re.M | re.S)
    assert len(equations) == TEXT.count(r"\tag") >= 5
    assert [equation for equation in equations if joined(equation) not in notes] == []


def test_its_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert targets and all((PATH.parent / target).exists() for target in targets)


def test_the_runner_keeps_what_jupyter_would_show(tmp_path):
    runner = load(RUNNER)
    cells = [
        "import sys\nfrom vae_from_scratch import plots\nn = 2",
        "print(n)\nprint('\\r1 of 2\\r2 of 2', file=sys.stderr)\nn + 1",
        "plots.style.Figure(figsize=(1, 1))",
    ]
    path = tmp_path / "some.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": [cell]} for cell in cells]}))
    before = path.read_text()
    runner.main([str(path)])
    assert path.read_text() == before
    runner.main([str(path), "--write"])
    nothing, texts, (figure,) = (cell["outputs"] for cell in json.loads(path.read_text())["cells"])
    assert nothing == []
    assert [output.get("text") for output in texts] == [["2\n"], ["2 of 2\n"], None]
    assert texts[2]["data"] == {"text/plain": ["3"]} and texts[2]["execution_count"] == 2
    assert base64.b64decode(figure["data"]["image/png"])[:4] == b"\x89PNG"


def test_the_runner_fails_where_a_cell_does(tmp_path):
    path = tmp_path / "some.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": ["1 / 0"]}]}))
    before = path.read_text()
    with pytest.raises(ZeroDivisionError):
        load(RUNNER).main([str(path), "--write"])
    assert path.read_text() == before

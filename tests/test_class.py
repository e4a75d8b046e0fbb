"""Promise: what is exported has the fields that each service publishes, and a class is counted as it was."""

import ast
import json
import os
import stat
import types

import pytest
from helpers import python, unsaid

from vae_from_scratch.course import export, grade, report

ROWS = [
    {"exercise": 3, "passed": True, "mistakes": [], "title": "3. the KL", "output": "passed"},
    {"exercise": 4, "passed": False, "mistakes": ["no-half"], "title": "4. a draw", "output": "dlogvar lacks a half"},
]


@pytest.fixture
def twelve():
    return pytest.importorskip("vae_from_scratch.course.exercises").EXERCISES


def exported(service, folder):
    assert export.export([service, str(folder)]) == 0
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}


def test_gradescope(tmp_path):
    texts = exported("gradescope", tmp_path / "out")
    assert {*texts} == {"setup.sh", "run_autograder", "README.md"}
    for name in ("setup.sh", "run_autograder"):
        assert texts[name].startswith("#!/usr/bin/env bash\n") and b"\r" not in (tmp_path / "out" / name).read_bytes()
        assert os.name == "nt" or (tmp_path / "out" / name).stat().st_mode & stat.S_IXUSR
    assert "/autograder/submission" in texts["run_autograder"] and "/autograder/results/results.json" in texts["run_autograder"]
    found = json.loads(json.dumps(grade.gradescope(ROWS)))
    assert {*found} <= {"score", "execution_time", "output", "output_format", "visibility", "stdout_visibility", "extra_data", "tests"}
    shown = {"hidden", "after_due_date", "after_published", "visible"}
    assert found["visibility"] in shown and found["stdout_visibility"] in shown
    for test, row in zip(found["tests"], ROWS, strict=True):
        fields = {"score": float, "max_score": float, "name": str, "output": str, "visibility": str}
        assert {name: type(value) for name, value in test.items()} == fields and test["visibility"] in shown
        assert test["score"] == test["max_score"] * row["passed"] and row["output"] == test["output"]


def test_a_score_stands_where_nothing_was_handed_in(tmp_path, capsys):
    assert grade.grade(["plain", "nobody", str(tmp_path / "a.json")]) == 2 and not unsaid(capsys.readouterr().err, "nobody folder")
    assert not (tmp_path / "a.json").exists()
    assert grade.gradescope([])["score"] == 0 and "no exercise" in grade.gradescope([])["output"]
    assert grade.classroom50([])["score"] == grade.classroom50([])["max-score"] == 0 and "score" not in grade.gradescope(ROWS)


def test_classroom50(tmp_path, monkeypatch):
    texts = exported("classroom50", tmp_path / "out")
    compile(texts["autograder.py"], "autograder.py", "exec")
    assert '"--target", place' in texts["autograder.py"]  # pip refuses --user in a virtual environment
    assert not unsaid(texts["autograder.py"], '"classroom50" Path("exercises").absolute() Path("result.json").absolute() cwd=place')
    for name in ("CLASSROOM", "ASSIGNMENT", "SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL"):
        monkeypatch.setenv(name, name.lower())
    found = grade.classroom50(ROWS)
    strings = {"schema", "classroom", "assignment", "submission", "commit", "release", "review", "datetime"}
    assert {*found} == strings | {"score", "max-score", "tests"} and all(isinstance(found[name], str) for name in strings)
    assert found["schema"] == "classroom50/result/v1" and found["review"] == found["commit"] == "commit_url"
    assert found["score"] == 1 and found["max-score"] == 2
    for test in found["tests"]:
        assert type(test["test-name"]) is str and type(test["passed"]) is bool
        assert type(test["score"]) is type(test["max-score"]) is int and test["score"] == test["passed"]


def test_otter(tmp_path, twelve, monkeypatch):
    texts = exported("otter", tmp_path / "out")
    assert len(texts) == len(twelve) + 1
    decorated = []

    def test_case(**options):
        assert {*options} <= {"name", "points", "hidden", "success_message", "failure_message"}
        return lambda function: decorated.append(function) or function

    stand_in = types.SimpleNamespace(test_case=test_case)
    monkeypatch.setitem(__import__("sys").modules, "otter", types.SimpleNamespace(test_files=stand_in))
    monkeypatch.setitem(__import__("sys").modules, "otter.test_files", stand_in)
    for each in twelve:
        names = {}
        exec(texts[f"tests/q{each.number}.py"], names)
        assert names["OK_FORMAT"] is False and names["name"] == f"q{each.number}" and names["points"] == 1
    assert len(decorated) == len(twelve)


def test_nbgrader(tmp_path, twelve):
    notebook = json.loads(exported("nbgrader", tmp_path / "out")["source/course/course.ipynb"])
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names, points = [], 0
    for cell in notebook["cells"]:
        own = cell["metadata"]["nbgrader"]
        assert own["schema_version"] == 3 and own["cell_type"] == cell["cell_type"] and own["task"] is False
        assert all(type(own[name]) is bool for name in ("grade", "solution", "locked")) and ("points" in own) == own["grade"]
        assert own["grade_id"] and (own["solution"] or own["locked"])
        if cell["cell_type"] == "markdown":  # graded and to be filled in, or neither
            assert own["grade"] == own["solution"]
        else:
            source = "".join(cell["source"])
            ast.parse(source.partition("\n")[2] if source.startswith("%%") else source)
        names.append(own["grade_id"])
        points += own.get("points", 0)
    assert len(set(names)) == len(names) and points == 2 * len(twelve)


@pytest.mark.slow
def test_a_folder_is_graded(tmp_path, twelve, capsys):
    from vae_from_scratch.course.cut import exercise_file, source

    kl = next(each for each in twelve if each.number == 3)
    text = "import numpy as np\n\n" + "\n\n".join(source(target) for target in kl.functions)
    (tmp_path / kl.filename).write_text(text, "utf-8")
    (tmp_path / twelve[3].filename).write_text(exercise_file(twelve[3]), "utf-8")
    (tmp_path / twelve[4].filename).write_text("def bernoulli(:\n", "utf-8")
    rows = grade.results(tmp_path)
    assert [(row["exercise"], row["passed"]) for row in rows] == [(3, True), (4, False), (5, False)]
    grade.must_pass(3, tmp_path)
    with pytest.raises(AssertionError, match="exercise 6"):
        grade.must_pass(6, tmp_path)
    (tmp_path / "above").mkdir()
    (tmp_path / "exercises").mkdir()
    assert grade.grade(["plain", str(tmp_path / "above"), str(tmp_path / "none.json")]) == 0  # nothing handed in is a result
    assert not unsaid(capsys.readouterr().err, "no exercise above course start")
    assert json.loads((tmp_path / "none.json").read_text("utf-8")) == []
    for path in tmp_path.glob("*.py"):
        path.rename(tmp_path / "exercises" / path.name)  # handed in with their folder
    assert grade.grade(["plain", str(tmp_path), str(tmp_path / "one.json")]) == 0
    assert json.loads((tmp_path / "one.json").read_text("utf-8")) == grade.plain(rows)


# ---- the report ------------------------------------------------------------------------------------------


def test_a_class_is_counted(tmp_path, capsys):
    one = [(3, False, ["no-minus-one"]), (3, True, []), (4, False, [])]
    two = [(3, False, ["no-minus-one"]), (4, False, ["no-half"]), (4, False, ["no-half"])]
    for name, rows in (("ann a", one), ("bob", two)):
        content = [dict(zip(("exercise", "passed", "mistakes"), row)) for row in rows]
        (tmp_path / f"{name}.json").write_text(json.dumps(content), "utf-8")
    exercises, mistakes = report.statistics(report.read(tmp_path))
    assert exercises == {3: (2, 1), 4: (2, 0)}
    assert list(mistakes.items()) == [((3, "no-minus-one"), 2), ((4, "no-half"), 1)]  # students, not tries
    assert report.report([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 students") and not unsaid(out, "no-minus-one no-half report.png")
    (tmp_path / "bob.json").write_text(json.dumps([{"exercise": 3, "passed": False, "mistakes": ["kl-no-half"]}]), "utf-8")
    assert report.report([str(tmp_path)]) == 0 and not unsaid(capsys.readouterr().out, "kl-no-half lacks half")
    assert (tmp_path / "report.png").stat().st_size > 5000


@pytest.mark.parametrize(
    "command, arguments, words",
    [
        (report.report, [], "folder"),
        (report.report, ["."], "json student"),
        (report.report, ["nowhere"], "nowhere not a folder"),
        (export.export, [], "gradescope nbgrader nothing"),
        (export.export, ["moodle"], "moodle gradescope"),
        (export.export, ["gradescope", "here"], "here another"),
        (grade.grade, ["gradescope"], "gradescope plain folder file"),
    ],
)
def test_a_wrong_command_is_refused_in_one_line(command, arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").write_text("a file")
    assert command(arguments) == 2
    out, error = capsys.readouterr()
    assert not out and error.count("\n") == 1 and not unsaid(error, words), error


@pytest.mark.parametrize(
    "content, words",
    [
        ("{", ""),
        ("[1]", ""),
        ('[{"passed": true}]', ""),
        ('[{"exercise": 3, "passed": false, "mistakes": "kl-no-half"}]', "mistakes list 'kl-no-half'"),
        ('[{"exercise": 3, "passed": false, "mistakes": [7]}]', "mistakes list [7]"),
        ('[{"exercise": 3, "passed": "true", "mistakes": []}]', "passed True 'true'"),
        ('[{"exercise": 3.7, "passed": true, "mistakes": []}]', "exercise whole 3.7"),
    ],
)
def test_a_file_that_is_no_result_is_named(content, words, tmp_path):
    (tmp_path / "eve.json").write_text(content, "utf-8")
    with pytest.raises(ValueError, match="eve.json") as error:
        report.read(tmp_path)
    assert not unsaid(str(error.value), words)


def test_python_without_asserts_passes_nothing(tmp_path):
    code = "from vae_from_scratch.course.grade import must_pass\ntry:\n    must_pass(3, 'nowhere')\nexcept AssertionError:\n    print('no')"
    assert python("-O", "-c", code).strip() == "no"

"""Promise: each case of the zoo is an edit that still applies, passes the checks it claims to pass and is caught by the one named."""

import difflib
import importlib
import json
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from helpers import unsaid

from vae_from_scratch.course import cut, edited, zoo, zoo_checks
from vae_from_scratch.course.cases import CASES, CHECKS
from vae_from_scratch.course.exercises import EXERCISES
from vae_from_scratch.course.mistakes import MISTAKES
from vae_from_scratch.engine import gradient_table

IDS = [case.id for case in CASES]
BUGS = [case for case in CASES if case.edits]
CORE = ("ops.py", "mlp.py", "likelihoods.py", "optimizers.py", "vae.py", "beta_vae.py")  # the rest is imported for seconds


def changed(case):
    """The functions of ops.py that an edit changes."""
    before = (edited.ROOT / "ops.py").read_text("utf-8")
    after = edited.apply(before, case.edits if case.file == "ops.py" else (), "ops.py")
    found, function = set(), None
    for line in difflib.ndiff(before.splitlines(), after.splitlines()):
        function = (re.findall(r"^. def (\w+)", line) or [function])[0]
        if line[0] in "+-":
            found.add(function)
    return found


def pairs_agree(case, ops):
    """Whether the pairs that an edit of ops.py touches agree with differences."""
    names = {re.sub(r"_(forward|backward|backward_params|per_latent)$", "", name) for name in changed(case) - {None}}
    rows = [row for row in gradient_table.PAIRS if row.backward.split("_backward")[0] in names]
    return all(check.ok for row in rows for check in row.check(namespace=ops))


def test_there_are_enough_and_each_says_where_it_is_from():
    assert len(BUGS) >= 20 and len(set(IDS)) == len(CASES) and len(CASES) > len(BUGS)
    for case in CASES:
        assert re.search(r"^[\w.-]+/[\w.-]+, (issue|pull request) \d+|^[\w.-]+/[\w.-]+, [\w/]+\.py", case.source), case.id
        assert sorted(case.passes + case.fails) == sorted(CHECKS), case.id
        assert bool(case.fails) == bool(case.edits) == bool(case.caught) == (case.equations != ("none",)), case.id
        assert all((case.symptom, case.question, case.answer)), case.id


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_edit_still_applies(case):
    before = (edited.ROOT / case.file).read_text("utf-8")
    after = edited.apply(before, case.edits, case.file)
    compile(after, case.file, "exec")
    assert (after != before) == bool(case.edits)


def test_what_a_student_can_do_too_is_a_row_of_the_table_of_mistakes():
    """One description of a bug: the checker names it in an exercise, the zoo ships it."""
    rows = {row.id: row.edit.function for row in MISTAKES}
    bodies = {}  # of the exercises' functions, by file
    for target in (target for each in EXERCISES for target in each.functions):
        bodies.setdefault(Path(cut.home(target)[0].__file__).relative_to(edited.ROOT).as_posix(), []).append(cut.source(target))
    for case in BUGS:
        for bug in case.bugs:
            if isinstance(bug, str):
                assert cut.source(rows[bug]) in bodies[case.file], (case.id, bug)
            elif case.id != "capacity-stays":  # its edits read an attribute that another of them sets
                assert not any(textwrap.dedent(bug[0]).strip() in body for body in bodies.get(case.file, ())), (case.id, bug)


def test_an_edit_whose_text_is_gone_or_there_twice_is_refused():
    for old in ("not there", "same"):
        with pytest.raises(ValueError, match=r"ops.py: .* once"):
            edited.apply("same same", [(old, "")], "ops.py")


@pytest.mark.parametrize(
    "case", [case for case in BUGS if case.caught in zoo_checks.VALUES and case.file in CORE], ids=lambda case: case.id
)
def test_a_known_value_catches_it(case):
    """And the package itself has that value; the pairs that the edit touches agree as claimed."""
    with edited.package(case.file, case.edits) as get, np.errstate(all="ignore"):
        assert [row.ok for row in zoo_checks.values(get, [case.caught])] == [False]
        assert pairs_agree(case, get("ops")) or "pair" in case.fails
    assert [row.ok for row in zoo_checks.values(zoo.right, [case.caught])] == [True]


@pytest.mark.parametrize("case", [case for case in BUGS if case.caught.endswith("_backward")], ids=lambda case: case.id)
def test_a_pair_catches_it(case):
    with edited.package(case.file, case.edits) as get:
        assert not pairs_agree(case, get("ops"))


@pytest.mark.slow
def test_a_model_catches_what_no_pair_sees():
    (case,) = [case for case in CASES if case.id == "discriminator-pulls-the-encoder"]
    with edited.package(case.file, case.edits) as get:
        assert [row.ok for row in zoo_checks.model(get, case)] == [False]


def test_an_edited_package_leaves_nothing_behind():
    with edited.package("ops.py", CASES[0].edits) as get:
        assert get("ops").reparameterize_forward(0, 2.0, 1) == pytest.approx(np.exp(2))
    assert zoo.right("ops").reparameterize_forward(0, 2.0, 1) == pytest.approx(np.exp(1))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("edited_vae_from_scratch.ops")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_every_claim(case):
    with np.errstate(all="ignore"):
        found = {kind: [row.name for row in zoo.run_check(case, kind) if not row.ok] for kind in CHECKS}
    assert {kind for kind, bad in found.items() if bad} == set(case.fails), found
    assert not case.caught or case.caught in sum(found.values(), [])


# ---- the game ------------------------------------------------------------------------------------------


@pytest.fixture
def play(tmp_path, monkeypatch, capsys):
    """Runs one command in an empty folder: play("next") -> code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        code = zoo.zoo(line.split())
        return (code, *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    "line, words",
    [
        ("", "next check patch"),
        ("feed", "feed next"),
        ("check", "check one word"),
        ("check gradient", "gradient pair training"),
        ("check pair", "next"),
        ("name KL", "KL.2 KL none"),
        ("next --seed", "--seed whole number"),
        ("next --sed 1", "--sed --seed"),
        ("next --case cat", "cat beta-unused"),
        ("exam --cases 99", "99 1 --cases"),
        ("patch now", "patch nothing now"),
    ],
)
def test_a_wrong_command_is_refused_in_one_line(play, line, words):
    code, out, error = play(line)
    assert code == 2 and not out and error.count("\n") == 1 and not unsaid(error, words), error


def test_points_and_what_is_accepted_as_a_name(play, monkeypatch):
    monkeypatch.setattr(zoo, "show", lambda *_: ["numbers"])
    monkeypatch.setattr(zoo, "run_check", lambda *_: [zoo_checks.Found("a", "a: b", False)])
    seed = next(seed for seed in range(100) if zoo._order(seed)[0].id == "kl-mean-over-latents")
    assert play(f"next --seed {seed}")[0] == 0
    assert "WRONG a: b" in play("check value")[1] and play("check value")[0] == 0  # asked twice, it counts once
    assert "Not REP.1" in play("name rep.1")[1]
    assert "Not none" in play("name none")[1]
    assert "2 of 5 points" in play("name KL.4")[1]  # 5, less one check and two names; the family is enough
    assert "solved" in play("name KL.2")[2]
    assert "podgorskiy/VAE, issue 1" in play("patch")[1]
    assert play("next")[0] == 0
    play("patch")  # seen before it is named: no points
    assert "2 points of 10" in play("score")[1]
    assert "A program" in play("next --case beta-unused")[1] and "4 of 5" not in play("name BETA.1")[1]
    assert "beta-unused: 5 of 5" in play("score")[1]
    assert json.loads(Path("zoo/state.json").read_text("utf-8"))["place"] == 1


def test_a_tag_of_no_equation_is_refused_and_costs_nothing(play, monkeypatch):
    monkeypatch.setattr(zoo, "show", lambda *_: ["numbers"])
    play("next --case kl-mean-over-latents")
    for tag, near in (("ADAN.5", "ADAM.5"), ("KL.77", "KL.2"), ("?", "KL.2")):
        code, out, error = play(f"name {tag}")
        assert code == 2 and not out and not unsaid(error, f"equation {near} none '{tag}'"), error
    assert "5 of 5" in play("name KL.2")[1]
    assert {tag for case in CASES for tag in case.equations} - {"none"} <= zoo.equations()


def test_points_and_pictures_stay_when_another_seed_begins(play, monkeypatch):
    monkeypatch.setattr(zoo, "show", lambda case, path, title: [str(path.write_bytes(b"a"))])
    for seed in (0, 4):
        assert play(f"next --seed {seed}")[0] == 0
        play(f"name {zoo._order(seed)[0].equations[0]}")
    assert not unsaid(play("score")[1], "program 1 of seed 0: program 1 of seed 4: 10 points")
    assert sorted(path.name for path in Path("zoo").glob("*.png")) == ["case-0-01.png", "case-4-01.png"]
    assert "Program 1" not in play("next")[1]


def test_a_state_that_cannot_be_read_is_named(play):
    Path("zoo").mkdir()
    Path("zoo/state.json").write_text("{")
    code, _, error = play("check pair")
    assert code == 2 and error.count("\n") == 1 and not unsaid(error, "state.json delete"), error


def test_only_none_names_a_right_program():
    right, wrong = (next(case for case in CASES if bool(case.edits) is edits) for edits in (False, True))
    assert zoo.judge(right, "none") and not zoo.judge(right, "KL.2")
    assert not zoo.judge(wrong, "none") and zoo.judge(wrong, wrong.equations[0])


@pytest.mark.slow
def test_what_next_and_an_exam_show(play, tmp_path):
    code, out, _ = play("next --seed 3")
    assert code == 0 and (tmp_path / "zoo" / "case-3-01.png").stat().st_size > 5000
    assert zoo._order(3)[0].id not in out and "ops.py" not in out and "a right one" in out
    assert play("exam --seed 3 --cases 2 --folder e")[0] == 0
    code, _, err = play("exam --seed 4 --cases 2 --folder e")
    assert code == 2 and not unsaid(err, "e not empty --folder")
    sheet, reveal = ((tmp_path / "e" / name).read_text("utf-8") for name in ("exam.md", "reveal.md"))
    for number, case in enumerate(zoo._order(3)[:2], 1):
        assert case.id not in sheet and case.source not in sheet and case.symptom in sheet
        assert case.id in reveal and case.source in reveal and (tmp_path / "e" / f"program-{number}.png").is_file()


@pytest.mark.slow
def test_the_score_of_a_code_is_shown_without_training(play):
    (case,) = [case for case in CASES if case.model[0] == "mig"]
    numbers, _ = zoo.look(zoo.right, case)
    assert numbers["MIG of a code that is the factors"] == pytest.approx(1)


def test_an_interrupted_training_gives_no_numbers_and_no_exam(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vae_from_scratch.training.fit", lambda *_, **__: {"epoch": [1]})
    with pytest.raises(KeyboardInterrupt):
        zoo.exam(0, 1, "e")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("state", ["{}", "[]", '{"seed": 0, "place": 99, "done": []}', '{"seed": 0, "place": 0, "done": 1}', "{"])
def test_a_state_of_another_shape_is_refused(state, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "state.json").write_text(state)
    assert zoo.zoo(["score"]) == 2 and not unsaid(capsys.readouterr().err, "state.json delete begin again")

"""Promise: the plan of note 22 names what is there, and its numbers are measured."""

import re

import numpy as np
import pytest
from helpers import ROOT, agrees, joined, note, table

from vae_from_scratch.course import edited, zoo, zoo_checks
from vae_from_scratch.course.cases import CASES
from vae_from_scratch.course.mistakes import MISTAKES

BY_ID = {case.id: case for case in CASES}
BUGS = [case for case in CASES if case.edits]


def test_thirteen_sessions_cover_the_exercises_and_name_what_is_there():
    rows = table(note(22), "session")
    assert [row[0].partition(".")[0] for row in rows] == [str(number) for number in range(1, 14)]
    assert [row[3] for row in rows] == [*map(str, range(1, 13)), ""]
    for row in rows:
        for link in re.findall(r"\]\(([^)]+)\)", " ".join(row[1:3])):
            assert (ROOT / "derivations" / link).is_file(), link
    assert {name for row in rows[:12] for name in re.findall(r"`([\w-]+)`", row[5])} <= set(BY_ID)
    assert len(set(row[5] for row in rows)) == 13
    questions = re.findall(r"^(\d+)\. ", note(22).partition("What students can do")[2].partition("## What cannot")[0], re.M)
    assert questions == [str(number) for number in range(1, 14)]


def test_the_minutes_are_those_of_the_exercises():
    exercises = pytest.importorskip("vae_from_scratch.course.exercises").EXERCISES
    assert [row[4] for row in table(note(22), "session")][:12] == [str(each.minutes) for each in exercises]


def test_the_parts_of_a_grade_add_up():
    assert sum(map(int, re.findall(r"^- \*\*[^*]+\*\* \((\d+)", note(22), re.M))) == 100


def test_how_many_mistakes_are_known():
    assert f"It knows {len(MISTAKES)} mistakes" in joined(note(22))


def test_how_many_bugs_pass_what():
    blind = sum({"pair", "model"} <= set(case.passes) for case in BUGS)
    trained = sum("training" in case.passes for case in BUGS)
    words = f"Of the {len(BUGS)} bugs {blind} pass every gradient check, and {trained} train parameters as good as a right program's."
    assert words in joined(note(22))


def test_the_table_has_every_bug_that_is_trained():
    assert [row[0] for row in table(note(22), "case")] == [case.id for case in BUGS if case.model[0] != "mig"]


# Another machine rounds otherwise, and 600 steps make that larger.  Where every tanh is saturated its slope is what rounding
# leaves of 1 - h^2, so rounding decides where training goes: with four sets of OpenBLAS kernels (OPENBLAS_CORETYPE) the loss
# ends at 88.7 to 101.4, where that of the right program, 17.7, keeps nine digits.
ROUNDING = {"glorot-without-brackets": 0.2}


@pytest.mark.slow
@pytest.mark.parametrize("row", table(note(22), "case"), ids=lambda row: row[0])
def test_what_each_bug_reports_and_costs(row):
    """2 % and 0.3 nats are allowed, of a bug in ROUNDING more; of the right program never."""
    case = BY_ID[row[0]]
    with edited.package(case.file, case.edits) as get, np.errstate(all="ignore"):
        trained, history = zoo_checks.train(get, case)
    model, right_history = zoo_checks.train(zoo.right, case)
    right_loss = zoo_checks.true_loss(zoo.right, model)
    model.params = {name: np.array(value) for name, value in trained.params.items()}
    found = history["loss"][-1], zoo_checks.true_loss(zoo.right, model), right_history["loss"][-1], right_loss
    theirs = ROUNDING.get(case.id, 0.02)
    for printed, value, share in zip(row[1:], found, (theirs, theirs, 0.02, 0.02), strict=True):
        assert agrees(printed, value, 0.3 + share * abs(value)), (printed, value)

"""Promise: every question of note 14 has an answer with a check that runs (the checks themselves run as doctests)."""

import re

import pytest
from helpers import note

QUESTIONS = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", note(14), re.M | re.S)


@pytest.mark.parametrize("question, answer", QUESTIONS, ids=[question for question, _ in QUESTIONS])
def test_a_question_is_answered_and_checked(question, answer):
    assert question.endswith("?")
    prose, *sessions = re.split(r"^```pycon\n", answer, flags=re.M)
    assert len(prose.split()) > 20, "no answer before the check"
    assert sessions and all(session.startswith((">>> import ", ">>> from ")) for session in sessions)
    prints = [re.search(r"^(?!>>>|\.\.\.)\S", session.split("```")[0], re.M) for session in sessions]
    assert all(prints), "a check that prints nothing"

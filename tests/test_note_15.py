"""Promise: eleven points each lead to a note, seven of them mend the text; works cited are listed, works listed are cited."""

import re

import pytest
from helpers import ROOT, note

NOTES = sorted((ROOT / "derivations").glob("*.md"))
CORRECTIONS, REFERENCES = note(15).split("## References")
AUTHORS = r"[A-Z][\w-]+(?: and [A-Z][\w-]+| et al\.)?"
LISTED = {(authors, year) for authors, year in re.findall(rf"^- \*\*({AUTHORS}) (\d{{4}})\.\*\*", REFERENCES, re.M)}


def citing():
    """Every file that may cite a work, with its text on one line."""
    for path in [*NOTES, *sorted((ROOT / "vae_from_scratch").rglob("*.py"))]:
        text = path.read_text("utf-8") if path.name != "15-corrections.md" else CORRECTIONS
        yield path, re.sub(r"\s+", " ", text)


def citations():
    """(file, authors, year): "Lucas et al. 2019", "Higgins et al. (ICLR 2017)", "Williams 1992"."""
    for path, text in citing():
        for authors, year in re.findall(rf"\b({AUTHORS}),? \(?(?:ICLR )?((?:19|20)\d\d)\b", text):
            if " " in authors or (authors, year) in LISTED:  # a lone name may be a conference: "NeurIPS 2019"
                yield path.name, authors, year


def test_there_are_eleven_corrections_in_order_each_with_its_note():
    sections = re.findall(r"^## (\d+)\. .+?\n(.*?)(?=^## |\Z)", CORRECTIONS, re.M | re.S)
    assert [int(number) for number, _ in sections] == list(range(1, 12))
    assert [text.lstrip().startswith(("The text: ", "Easily ")) for _, text in sections] == [True] * 11
    assert [int(n) for n, text in sections if text.lstrip().startswith("The text: ")] == [1, 2, 3, 4, 5, 6, 11]  # seven
    assert all("**Right:**" in text and re.search(r"\]\(\d\d-[\w-]+\.md\)", text) for _, text in sections)


@pytest.mark.parametrize("file, authors, year", sorted(set(citations())))
def test_a_cited_work_is_listed(file, authors, year):
    assert (authors, year) in LISTED


@pytest.mark.parametrize("authors, year", sorted(LISTED))
def test_a_listed_work_is_cited(authors, year):
    assert any(authors in text for _, text in citing())


def test_references_are_in_alphabetical_order():
    names = re.findall(r"^- \*\*(.+?)\.\*\*", REFERENCES, re.M)
    assert names == sorted(names) and len(names) == len(LISTED)

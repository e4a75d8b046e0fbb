"""Promise: the book holds every equation, figure, answer and listing of the notes, and no reference in it leads nowhere."""

import inspect
import re
import sys

import pytest
from helpers import ROOT, load, refused

from vae_from_scratch.evaluation import evaluate

book = load(ROOT / "derivations" / "book.py")
PATHS = sorted((ROOT / "derivations").glob("[0-9][0-9]-*.md"))


def display(tex):
    return book.para({"t": "Math", "c": [{"t": "DisplayMath"}, tex]})


def tag_line(tag, *functions):
    bold = {"t": "Strong", "c": [book.text(f"({tag})")]}
    return book.para(bold, book.SPACE, book.text("->"), book.SPACE, *map(book.code, functions))


def raw(html):
    return {"t": "RawBlock", "c": ["html", html]}


def picture():
    return book.para({"t": "Image", "c": [book.attr(), [book.text("a graph")], ["figures/07-graph.png", ""]]})


def italics(string):
    return book.para({"t": "Emph", "c": [book.text(string)]})


def test_an_equation_takes_its_tag_and_the_line_above():
    blocks = [tag_line("KL.3", "ops.f", "ops.g"), display("a = b \\tag{KL.3}"), display("c")]
    blocks += [tag_line("KL.4", "ops.h"), display("d\\tag{KL.5}")]
    first, second, line, third = book.equations(blocks)
    assert first["c"][0] == book.attr("eq-KL.3", ["equation"], tag="KL.3", functions="ops.f ops.g")
    assert book.words(first) == "a = b" and second["c"][0] == book.attr("", ["equation"])
    assert book.tag_line(line) == ["KL.4", "ops.h"], "the line of another equation stays"
    assert third["c"][0] == book.attr("eq-KL.5", ["equation"], tag="KL.5", functions="")


@pytest.mark.parametrize("opening", ["<details><summary>Answers</summary>\n", "<details>\n<summary>\nAnswers</summary>\n"])
def test_what_is_folded_goes_to_the_end_and_leaves_a_mark(opening):
    found = []
    inside = [raw(opening), book.para(book.text("42")), raw("</details>\n")]
    blocks = [book.header(2, "p", book.text("Problems")), *inside, display("x")]
    heading, mark, rest = book.folds(blocks, "note-04", found)
    assert found == [["note-04-fold-1", "Problems", "Answers", [book.para(book.text("42"))]]]
    assert mark == book.div("note-04-fold-1-from", "fold", [book.para(book.text("Answers"))], to="note-04-fold-1")
    assert (heading, rest) == (blocks[0], blocks[-1])


def test_a_picture_takes_the_italics_below_it_as_its_caption():
    below = book.para(book.code("x"))
    with_caption, text, without, code = book.figures([picture(), italics("blue"), italics("no caption"), picture(), below])
    assert book.words(with_caption["c"][1]) == "blue" and text == italics("no caption")
    assert without["t"] == "Figure" and without["c"][1] == [None, []] and code == below


@pytest.mark.parametrize(
    "address, target",
    [
        ("07-backpropagation.md", "note-07"),
        ("07-backpropagation.md#a-worked-example", "note-07--a-worked-example"),
        ("#its-shape", "note-04--its-shape"),
        ("../vae_from_scratch/ops.py", "code-ops"),
        ("../vae_from_scratch/exact/linear.py", None),
        ("../tests/test_note_04.py", None),
    ],
)
def test_links_stay_within_the_book(address, target):
    change = book.references("note-04", {}, {"ops": []})
    inside = [book.text("there")]
    found = book.mapped([{"t": "Link", "c": [book.attr(), inside, [address, ""]]}], change)
    assert found == ([book.link(inside, target)] if target else inside)


def test_a_tag_in_the_text_is_a_reference():
    change = book.references("note-04", {"KL.3": 4}, set())
    (found,) = book.mapped([book.para(*map(book.text, ["(KL.3,", "XKL.3", "KL.3x", "Q.9"]), book.code("KL.3"))], change)
    reference = book.link([book.text("KL.3")], "eq-KL.3")
    others = [*map(book.text, ["XKL.3", "KL.3x", "Q.9"]), book.code("KL.3")]
    assert found == book.para(book.text("("), reference, book.text(","), *others)


def test_a_listing_has_forward_and_backward():
    assert book.pair("ops.gaussian_kl_backward") == ["ops.gaussian_kl_forward", "ops.gaussian_kl_backward"]
    assert book.pair("vae.VAE.forward") == ["vae.VAE.forward", "vae.VAE.backward"]
    assert book.pair("gradcheck.relative_error") == ["gradcheck.relative_error"]
    tags = {"KL.4": (4, ["ops.gaussian_kl_backward"]), "KL.2": (4, ["ops.gaussian_kl_forward"]), "Q.1": (14, [])}
    assert book.listings(tags) == {"ops": [["ops.gaussian_kl_forward", "ops.gaussian_kl_backward"]]}


def test_an_index_of_notes_joins_neighbours():
    assert book.words(book.runs([0, 1, 2, 4, 6, 7])) == "0–2, 4, 6–7"
    assert [each["c"][2][0] for each in book.elements(book.runs([1, 2, 3, 5]), "Link")] == ["#note-01", "#note-03", "#note-05"]


def test_slides_have_figures_lists_and_equations_with_their_code():
    step = book.para({"t": "Strong", "c": [book.text("First.")]})
    listed = {"t": "OrderedList", "c": [[1, {"t": "Decimal"}, {"t": "Period"}], [[book.para(book.text("Why?"))]]]}
    blocks = book.figures([book.header(2, "g", book.text("Gradients")), step, picture(), book.para(book.text("prose")), listed])
    lines = [(tag_line(f"KL.{n}", "ops.gaussian_kl_backward"), display(f"a \\tag{{KL.{n}}}")) for n in (3, 4)]
    blocks += book.equations([*lines[0], *lines[1], display("b"), display("c"), display("d")])
    opening = book.para(book.text("You need"))
    found = book.slides([book.header(1, "n", book.text("4. KL")), opening, *blocks])
    shown = [(book.words(title), [book.words(block) for block in blocks], len(code)) for title, blocks, code in found]
    first = "Gradients: First"
    assert shown[:3] == [("4. KL", ["You need"], 0), ("Gradients", ["a graph"], 0), ("Gradients", ["Why?"], 0)]
    assert shown[3:] == [(first, ["a", "a"], 1), (first, ["b", "c"], 0), (first, ["d"], 0)]
    assert book.words(found[3][2]).splitlines()[:2] == ["def gaussian_kl_backward(dkl, mu, logvar):", "    dmu = dkl[:, None] * mu"]


def test_a_long_function_is_cut_on_its_slide():
    lines = book.words(book.bare("evaluation.evaluate")).splitlines()
    left = re.fullmatch(r"    \.\.\.  # (\d+) more lines in evaluation\.py", lines.pop())
    docstring = len(inspect.getdoc(evaluate).splitlines())
    assert len(lines) == book.LONGEST - 1
    assert len(lines) + int(left[1]) + docstring + 1 == len(book.cut.source("evaluation.evaluate").splitlines())  # and the closing quotes


def test_what_is_too_long_for_a_slide_goes_on_another_before_its_letters_are_too_small():
    typst = pytest.importorskip("typst", reason="needs the extra 'book'")
    formula, code = "$ a / b \\\\ c / d $", lambda lines: "```python\n" + "a = b\n" * lines + "```"
    for shown, below, pages in ((formula, code(3), 1), (formula, code(20), 2), ("+ a\n" * 12, "", 1), ("+ a\n" * 30, "", 2)):
        source = f'{book.HERE.joinpath("book.typ").read_text("utf-8")}\n#show: slides.with("n")\n#slide("")[T][\n{shown}\n][\n{below}\n]'
        made = typst.compile(source.encode(), format="png", ppi=10)
        assert len([made] if isinstance(made, bytes) else made) == pages, (shown, below)


@pytest.mark.parametrize("wrong", ["40", "-1", "four"])
def test_a_note_that_is_not_there_is_refused_with_those_that_are(wrong, capsys):
    with pytest.raises(SystemExit):
        book.main(["--slides", "4", wrong] if wrong != "-1" else ["--slides=-1"])
    said = capsys.readouterr().err
    assert f"no note {wrong}" in said and f"0 to {len(PATHS) - 1}" in said


@pytest.mark.parametrize("missing", ["pypandoc", "typst"])
def test_a_missing_tool_names_the_extra(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with refused(f"{missing} pip install book", SystemExit):
        book.need(missing)


@pytest.mark.slow
def test_the_book_is_whole(tmp_path):
    for module in ("pypandoc", "typst"):
        pytest.importorskip(module, reason="needs the extra 'book'")
    book.main(["--out", str(tmp_path)])
    notes = "".join(path.read_text("utf-8") for path in PATHS)
    page = (tmp_path / "book.html").read_text("utf-8")
    names, targets = re.findall(r'\sid="([^"]+)"', page), re.findall(r'\shref="#([^"]+)"', page)
    assert len(names) == len(set(names)) and set(targets) <= set(names)
    tags = set(re.findall(r"\\tag\{([A-Z]+\.\d+)\}", notes))
    assert {name[3:] for name in names if name.startswith("eq-")} == tags and "\\tag" not in page
    linked = set(re.findall(r"`([\w.]+)`", "".join(re.findall(rf"^\*\*\({book.TAG}\)\*\* -> (.+)\n\n```math", notes, re.M))))
    assert {f"code-{name}" for name in linked} <= set(targets)
    assert page.count('src="data:image/png') == len(re.findall(r"^!\[", notes, re.M))
    assert "<script" not in page and not re.search(r'\ssrc="(?!data:)|\shref="(?!#|https:)', page)
    assert len(re.findall("<details", notes)) == len([name for name in names if re.fullmatch(r"note-\d\d-fold-\d+", name)])
    book.main(["--out", str(tmp_path), "--slides", "4"])
    assert (tmp_path / "slides-04.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "book.pdf").read_bytes().startswith(b"%PDF")  # Typst refuses a reference that leads nowhere

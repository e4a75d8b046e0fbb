"""Promise: an equation, the function that implements it and the check of its gradient are one thread."""

import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
from pathlib import Path

import pytest

import vae_from_scratch
from vae_from_scratch.engine import gradient_table
from vae_from_scratch import ops

NOTES = Path(__file__).parents[1] / "derivations"
TAG = r"[A-Z]+\.\d+"


def links():
    """(tag, function, note) for every line **(TAG)** -> `function`, `function` above an equation."""
    for note in sorted(NOTES.glob("*.md")):
        for tag, functions in re.findall(rf"^\*\*\(({TAG})\)\*\* -> (.+)$", note.read_text("utf-8"), re.M):
            for function in re.findall(r"`([\w.]+)`", functions):
                yield tag, function, note.name


def tagged():
    """Every \\tag{TAG} of the notes, in order."""
    return [
        tag
        for note in sorted(NOTES.glob("*.md"))
        for tag in re.findall(rf"\\tag\{{({TAG})\}}", note.read_text("utf-8"))
    ]


def load(module):
    """vae_from_scratch.module; where Numba cannot compile the kernels, a skip."""
    try:
        return importlib.import_module(f"vae_from_scratch.{module}")
    except ImportError as error:
        if module != "kernels":
            raise
        pytest.skip(f"Numba cannot compile here: {error}")


def resolve(function):
    module, *path = function.split(".")
    return functools.reduce(getattr, path, load(module))


def citations():
    """(module.qualname, tag) for every tag cited in a docstring of the package."""
    for info in pkgutil.walk_packages(vae_from_scratch.__path__, "vae_from_scratch."):
        module = load(info.name.removeprefix("vae_from_scratch."))
        owned = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
        owned = [getattr(value, "py_func", value) for value in owned]  # what Numba compiled, as it was written
        methods = [
            value for cls in owned if inspect.isclass(cls) for value in vars(cls).values() if inspect.isfunction(value)
        ]
        for function in filter(inspect.isfunction, owned + methods):
            for tag in re.findall(rf"\(({TAG})\)", function.__doc__ or ""):
                yield f"{info.name.removeprefix('vae_from_scratch.')}.{function.__qualname__}", tag


@pytest.mark.parametrize("tag, function, note", list(links()))
def test_linked_function_exists_and_cites_its_equation(tag, function, note):
    assert f"({tag})" in (resolve(function).__doc__ or ""), f"{note}: {function} does not cite {tag}"


def test_every_citation_is_linked_from_its_equation():
    assert set(citations()) == {(function, tag) for tag, function, _ in links()}


def test_every_link_stands_right_above_the_one_equation_with_its_tag():
    assert len(tagged()) == len(set(tagged())), "a tag stands on two equations"
    for note in sorted(NOTES.glob("*.md")):
        for tag, below in re.findall(
            rf"^\*\*\(({TAG})\)\*\* -> [^\n]+\n\n```math\n(.*?)^```", note.read_text("utf-8"), re.M | re.S
        ):
            assert f"\\tag{{{tag}}}" in below, f"{note.name}: the equation below the link of {tag} carries another tag"
    assert {tag for tag, *_ in links()} <= set(tagged())


def test_every_equation_is_code_or_is_checked_by_a_test_of_its_note():
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_note_*.py"))
    cited = {tag for ids in re.findall(rf'"({TAG}(?: {TAG})*)"', tests) for tag in ids.split()}
    assert set(tagged()) - {tag for tag, *_ in links()} <= cited, "a tag without a function or a test"
    assert cited <= set(tagged()), "a test cites a tag that no note has"


def test_code_quoted_in_a_note_is_in_the_source():
    sources = [path.read_text("utf-8") for path in Path(vae_from_scratch.__file__).parent.rglob("*.py")]
    for note in sorted(NOTES.glob("*.md")):
        for quote in re.findall(r"^```python\n(.*?)^```", note.read_text("utf-8"), re.M | re.S):
            spaces = [quote, *(textwrap.indent(quote, " " * n) for n in (4, 8, 12))]
            assert any(text in source for text in spaces for source in sources), (
                f"{note.name} quotes what is not there:\n{quote}"
            )


def test_every_backward_is_checked_under_its_own_tags():
    backwards = {
        name: function for name, function in vars(ops).items() if re.fullmatch(r"[a-z]\w*_backward(_params)?", name)
    }
    cited = {(name, tag) for name, function in backwards.items() for tag in re.findall(TAG, function.__doc__)}
    checked = {(row.backward, tag) for row in gradient_table.PAIRS for tag in row.tags.split()}
    assert cited == checked

"""A student's functions, in the place of the package's own, for as long as a with block lasts."""

import contextlib
import linecache
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from .cut import PACKAGE, compiled, defined, home, in_file, is_blank, parse, source, with_globals
from .edited import apply


class StudentFile(NamedTuple):
    """One exercise's file: its functions by target, those that are still blank or absent, and what else it defines."""

    path: Path
    written: dict
    unwritten: list
    helpers: dict


def read(path, targets):
    """Executes a file in the namespace of the modules that its functions belong to.  Raises what the file raises."""
    path = Path(path).resolve()
    _, tree = parse(path)
    linecache.checkcache(str(path))
    nodes = defined(tree)
    written = [target for target in targets if in_file(target) in nodes and not is_blank(nodes[in_file(target)])]
    before = {}
    for target in targets:
        before.update(vars(home(target)[0]))
    after = dict(before)
    exec(compile(tree, str(path), "exec"), after)
    skipped = {in_file(target).partition(".")[0] for target in targets} | {"__builtins__", "__annotations__"}
    helpers = {name: value for name, value in after.items() if value is not before.get(name) and name not in skipped}
    functions = {}
    for target in written:
        module, owner, name = home(target)
        found = after.get(name) if owner is module else vars(after[owner.__name__]).get(name)
        functions[target] = with_globals(found, vars(module))
    return StudentFile(path, functions, [target for target in targets if target not in written], helpers)


def clashes(student):
    """The names of a file's helpers that something else has in a module that they would be put into: a list."""
    modules = [vars(home(target)[0]) for target in student.written]
    return [
        name for name, value in student.helpers.items()
        if any(callable(value) and name in module and module[name] is not value for module in modules)
    ]  # fmt: skip


def is_from(path, target):
    """Whether what the package runs for target is code of this file."""
    _, owner, name = home(target)
    code = getattr(vars(owner)[name], "__code__", None)
    return code is not None and Path(code.co_filename).resolve() == path


@contextlib.contextmanager
def implanted(functions, helpers=()):
    """The package with these functions (by target) in it, wherever it holds the old ones: in modules, classes and tables."""
    undo = []

    def put(owner, name, value):
        undo.append((owner, name, vars(owner)[name]) if name in vars(owner) else (owner, name))
        setattr(owner, name, value)

    try:
        for module in dict.fromkeys(home(target)[0] for target in functions):
            for name, value in dict(helpers).items():
                own = getattr(value, "__code__", None) is not None
                put(module, name, with_globals(value, vars(module)) if own else value)
        for target, function in functions.items():
            _, owner, name = home(target)
            old = vars(owner)[name]
            for module in [module for key, module in sys.modules.items() if key.partition(".")[0] == PACKAGE]:
                if module.__name__ == f"{PACKAGE}.kernels" or "course" in module.__name__.split("."):
                    continue  # kernels.py hears of it when the name in ops.py is set
                for key, value in list(vars(module).items()):
                    if isinstance(value, dict) and key[:2] != "__":
                        _refresh(value, old, function, undo)
                    elif value is old and module is not owner:
                        put(module, key, function)
            put(owner, name, function)
        yield
    finally:
        for owner, name, *old in reversed(undo):
            if isinstance(owner, dict):
                owner[name] = old[0]
            elif old:
                setattr(owner, name, old[0])
            else:
                delattr(owner, name)


@contextlib.contextmanager
def calls(functions):
    """Inside, functions (by target) that were not called yet: a dict, code object -> target."""
    left = {function.__code__: target for target, function in functions.items()}

    def see(frame, event, _):
        if event == "call" and left.pop(frame.f_code, None) and not left:
            sys.setprofile(None)  # nothing more to see

    before = sys.getprofile(), threading.getprofile()
    sys.setprofile(see)
    threading.setprofile(see)
    try:
        yield left
    finally:
        sys.setprofile(before[0])
        threading.setprofile(before[1])


def _refresh(table, old, new, undo):
    # a table such as ACTIVATIONS: name -> function, or a tuple of functions
    for key, value in list(table.items()):
        if value is old or type(value) is tuple and any(each is old for each in value):
            undo.append((table, key, value))
            table[key] = tuple(new if each is old else each for each in value) if type(value) is tuple else new


def mistaken(*rows):
    """The package's function with the edits of rows of the table of mistakes, all of one function.

    ValueError if one edit takes away the text of the other, or if it matters which comes first.
    """
    target, texts = rows[0].edit.function, set()
    for order in dict.fromkeys((rows, rows[::-1])):
        with contextlib.suppress(ValueError):
            texts.add(apply(source(target), [row.edit[1:] for row in order], target))
    if len(texts) != 1:
        raise ValueError(f"the edits of {' and '.join(row.id for row in rows)} do not apply to {target}")
    return compiled(target, *texts)

"""A student's functions, in the place of the package's own, for as long as a with block lasts."""

import ast
import builtins
import contextlib
import linecache
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .cut import PACKAGE, compiled, defined, home, in_file, is_blank, parse, source, with_globals
from .edited import apply


class StudentFile(NamedTuple):
    """One exercise's file: its functions by target, those that are still blank or absent, and what else it defines.

    A helper's key is its name, or, of a method beside those asked for, where it would stand: "vae.VAE._split".
    """

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
    after = {**before, "__file__": str(path), "__package__": ""}
    exec(compile(tree, str(path), "exec"), after)
    skipped = {in_file(target).partition(".")[0] for target in targets}
    own = {name for name, value in after.items() if value is not before.get(name)} | imported(tree)
    helpers = {name: after[name] for name in own if name in after and name not in skipped and name[:2] != "__"}
    functions = {}
    for target in written:
        module, owner, name = home(target)
        functions[target] = after.get(name) if owner is module else vars(after[owner.__name__]).get(name)
    student = StudentFile(path, functions, [target for target in targets if target not in written], helpers)
    spaces = {module: _space(module, student) for module in {home(target)[0] for target in written}}
    functions |= {target: with_globals(found, spaces[home(target)[0]]) for target, found in functions.items()}
    for target in [target for target in targets if home(target)[0] is not home(target)[1]]:
        place, cls = target.rpartition(".")[0], vars(after.get(home(target)[1].__name__, object))
        helpers |= {f"{place}.{name}": value for name, value in cls.items() if name[:2] != "__" and f"{place}.{name}" not in targets}
    return student


class Space(dict):
    """What functions of a file look their names up in if it has names that the module has: theirs first, then the module's."""

    def __init__(self, module):
        self.module = module

    def __missing__(self, name):
        return vars(self.module)[name]


def _space(module, student):
    taken = clashes(student)
    if not taken:
        return vars(module)
    space = Space(module)
    space.update({name: _moved(student.helpers[name], space, {str(student.path)}) for name in taken})
    return space


def _moved(value, namespace, files):
    # what the file defines looks its names up in namespace, what it imports where it is from
    if isinstance(value, (staticmethod, classmethod)):
        return type(value)(_moved(value.__func__, namespace, files))
    return with_globals(value, namespace) if getattr(getattr(value, "__code__", None), "co_filename", None) in files else value


def imported(tree):
    """The names that a module's imports at the margin bind."""
    found = [each for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) for each in node.names]
    return {(each.asname or each.name).partition(".")[0] for each in found}


def clashes(student):
    """The names of a file's helpers that something else has in a module that they would be put into, or in Python: a list."""
    modules = [{**vars(builtins), **vars(home(target)[0])} for target in student.written]
    return [
        name for name, value in student.helpers.items()
        if any(name in module and not _equal(module[name], value) for module in modules)
    ]  # fmt: skip


def _equal(a, b):
    try:
        return a is b or type(a) is type(b) and bool(np.all(a == b))
    except (TypeError, ValueError):
        return False


def is_from(path, target):
    """Whether what the package runs for target is code of this file."""
    _, owner, name = home(target)
    code = getattr(vars(owner)[name], "__code__", None)
    return code is not None and Path(code.co_filename).resolve() == path


@contextlib.contextmanager
def implanted(functions, helpers=(), written=()):
    """The package with these functions (by target) in it, wherever it holds the old ones: in modules, classes and tables.

    helpers : what else the file defines; written : all its functions, which those of another module may call by name
    """
    undo = []

    def put(owner, name, value):
        undo.append((owner, name, vars(owner)[name]) if name in vars(owner) else (owner, name))
        setattr(owner, name, value)

    files = {function.__code__.co_filename for function in functions.values() if hasattr(function, "__code__")}
    all_written = {**dict(written), **functions}
    spaces = {home(target)[0]: getattr(function, "__globals__", None) for target, function in all_written.items()}
    spaces = {module: space if isinstance(space, Space) else vars(module) for module, space in spaces.items()}
    try:
        for key, value in dict(helpers).items():
            if "." in key:
                module, owner, name = home(key)
                put(owner, name, _moved(value, spaces.get(module, vars(module)), files))
        for module, space in spaces.items():
            for name, value in dict(helpers).items():
                if "." not in name and (space is vars(module) or name not in space):  # what is in a Space is not for the package
                    put(module, name, _moved(value, space, files))
            for target, function in all_written.items():
                place, owner, name = home(target)
                if owner is place and name not in vars(module):
                    put(module, name, function)
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

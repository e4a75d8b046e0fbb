"""Exercises are cut from the package's own source: signature and docstring stay, the body goes.  Nothing is written twice."""

import ast
import importlib
import re
import textwrap
import types
from functools import cache
from pathlib import Path


PACKAGE = __package__.rpartition(".")[0]


def home(target):
    """'vae.VAE.forward' -> its module, the module or class that holds it, its name."""
    *path, name = target.split(".")
    owners = [part for part in path if part[0].isupper()]
    module = importlib.import_module(".".join([PACKAGE, *path[: len(path) - len(owners)]]))
    return module, getattr(module, owners[0]) if owners else module, name


def in_file(target):
    """'vae.VAE.forward' -> 'VAE.forward': what the function is called in an exercise's file."""
    module, owner, name = home(target)
    return name if owner is module else f"{owner.__name__}.{name}"


def defined(tree):
    """The functions of a module by the names that in_file gives, those of its classes as well."""
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef):
            found.update({f"{cls.name}.{node.name}": node for node in cls.body if isinstance(node, ast.FunctionDef)})
    return found


@cache
def _module(name):
    text = Path(importlib.import_module(name).__file__ or "").read_text("utf-8")
    return text.splitlines(), defined(ast.parse(text))


@cache
def node(target):
    """The function's syntax tree, as the package's file has it on disk."""
    module, _, _ = home(target)
    return _module(module.__name__)[1][in_file(target)]


@cache
def source(target):
    """The function as the package wrote it, at the margin."""
    module, _, _ = home(target)
    lines, at = _module(module.__name__)[0], node(target)
    return textwrap.dedent("\n".join(lines[at.lineno - 1 : at.end_lineno])) + "\n"


def tags(target):
    """The equations that the docstring names: ['KL.3', 'KL.4']."""
    return re.findall(r"\(([A-Z]+\.\d+)\)", ast.get_docstring(node(target)) or "")


def returns(target):
    """The names of what it returns, as the docstring or the return says; ['the result'] if neither does."""
    words = re.search(r"Returns ((?:d\w+(?:, | and )?)+)", ast.get_docstring(node(target)) or "")
    return re.findall(r"d\w+", words[1]) if words else ["the result"]


def compiled(target, text, path="<edited>"):
    """A function from its text, with the globals of the module that it belongs to."""
    module, _, name = home(target)
    found = {}
    exec(compile(text, path, "exec"), {**vars(module)}, found)
    return with_globals(found[name], vars(module))


def with_globals(function, namespace):
    """The same function, which looks its names up in another namespace."""
    if not isinstance(function, types.FunctionType):
        return function
    code, defaults, closure = function.__code__, function.__defaults__, function.__closure__
    found = types.FunctionType(code, namespace, function.__name__, defaults, closure)
    found.__kwdefaults__, found.__doc__ = function.__kwdefaults__, function.__doc__
    vars(found).update(vars(function))  # functools.wraps says there which arguments it takes
    return found


# ---- the blank ----------------------------------------------------------------------------------------


def trimmed(docstring):
    """A docstring without its give-aways.

    The rule: before a tag, of an equation the left side stays, and a formula without words goes; after "Eq. (tag): " likewise.
    What is left says what comes in, what goes out, and which equation of the notes to open.
    """
    docstring = re.sub(r"^(\w[\w ]*?) = [^.]*?, (Eqs?\. \()", r"\1, \2", docstring)
    formula = r"(?:(?! by | over | for |Eq)[^.])*"
    docstring = re.sub(rf"^{formula}[*/^|]{formula}, (Eqs?\. \()", r"\1", docstring)
    docstring = re.sub(r"(\)): (\w+) = [^.,]*", r"\1: \2", docstring)
    docstring = re.sub(r", with the subgradient [^.]*|: the derivative [^.]*", "", docstring)
    return docstring


def signature(target):
    """The function's first lines, its docstring without give-aways among them."""
    at = node(target)
    text = trimmed(ast.get_docstring(at) or "")
    quotes = f'"""{text}\n"""' if "\n" in text else f'"""{text}"""'
    return "\n".join([*source(target).splitlines()[: at.body[0].lineno - at.lineno], textwrap.indent(quotes, "    ")]) + "\n"


def blank(target, note):
    """The function with its body replaced by a line that says what to implement."""
    found = tags(target)
    what = f"Eq. ({found[0]})" if len(found) == 1 else "Eqs. " + ", ".join(f"({tag})" for tag in found)
    return f'{signature(target)}    raise NotImplementedError("implement {what}: {note}")\n'


def quoted(target, exercise):
    """A function as comments: in full if it is of the class that the exercise is about, or else what calls it must know."""
    whole = any(home(target)[1] is home(each)[1] for each in exercise.functions)
    text = source(target) if whole else signature(target)
    return "\n".join(f"# {line}".rstrip() for line in [f"{target}:", *text.splitlines()]) + "\n"


def imports(targets):
    """The import lines that the bodies of these functions need; the functions themselves are in the file."""
    own = {in_file(target) for target in targets}
    found = {}
    for target in targets:
        module, _, _ = home(target)
        for name in sorted({each.id for each in ast.walk(node(target)) if isinstance(each, ast.Name)}):
            if name in vars(module) and name not in own:
                value = vars(module)[name]
                if not isinstance(value, types.ModuleType):  # NumPy, which all of them have
                    where = getattr(value, "__module__", None) or module.__name__
                    found.setdefault(where if where.startswith(PACKAGE) else module.__name__, set()).add(name)
    lines = [f"from {where} import {', '.join(sorted(names))}" for where, names in sorted(found.items())]
    return ["import numpy as np", *([""] if lines else []), *lines]


def exercise_file(exercise, body=None):
    """The text of an exercise's file; body: target -> the text of a function, blank unless given."""
    body = body or (lambda target: blank(target, exercise.note))
    head = f'"""Exercise {exercise.number}: {exercise.title}.  About {exercise.minutes} minutes; read {exercise.note} first.\n\n'
    gradients = any(name.startswith("d") for target in exercise.functions for name in returns(target))
    task = exercise.task + " A gradient has the shape of what it is the gradient of: dmu that of mu." * gradients
    head += f'{textwrap.fill(task, 110)}\n\nThen: vae-from-scratch course check {exercise.number}\n"""\n\n'
    parts, classes = [head + "\n".join(imports(exercise.functions)) + "\n"], {}
    if exercise.shown:
        parts.append("#\n".join(quoted(target, exercise) for target in exercise.shown))
    for target in exercise.functions:
        module, owner, _ = home(target)
        if owner is module:
            parts.append(body(target))
        else:
            classes.setdefault(owner, []).append(textwrap.indent(body(target), "    "))
    for owner, methods in classes.items():
        words = f'    """Methods of {owner.__module__}.{owner.__name__}: check sets them on that class."""\n\n'
        parts.append(f"class {owner.__name__}:\n" + words + "\n".join(methods))
    return "\n\n".join(parts)


def solved_file(exercise, edits=()):
    """The same file with the package's own functions in it, after edits of their text: for tests, and for a teacher."""

    def body(target):
        text = source(target)
        for function, old, new in edits:
            text = text.replace(old, new) if function == target else text
        return text

    return exercise_file(exercise, body)


# ---- a student's file ---------------------------------------------------------------------------------


def parse(path, otherwise="vae-from-scratch course start writes it"):
    """Its text and its syntax tree; ValueError, in one line, if it does not parse; otherwise: where a file would come from."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is {'a folder: move it away' if path.is_dir() else 'not there'}; {otherwise}")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text: byte {error.start} is not UTF-8.  Is it a Python file, saved as UTF-8?") from None
    try:
        return text, ast.parse(text, str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        words = f"line {line}: {getattr(error, 'msg', error)}" if line else str(error)
        raise ValueError(f"{path} does not parse: {words}") from None
    except (RecursionError, MemoryError) as error:
        words = "an expression in it is too long or too deep for Python"
        raise ValueError(f"{path} does not parse: {words} ({type(error).__name__})") from None


def is_blank(function):
    """Whether nobody has written its body: a docstring, then pass, ... or raise NotImplementedError."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return True
    first = body[0]
    empty = isinstance(first, ast.Pass) or isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    raised = first.exc if isinstance(first, ast.Raise) else None
    name = raised.func if isinstance(raised, ast.Call) else raised
    return len(body) == 1 and (empty or isinstance(name, ast.Name) and name.id == "NotImplementedError")

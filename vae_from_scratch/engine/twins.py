"""What a student changes is what runs: a kernel serves as long as the functions it stands for are as they were.

Each twin carries the checksums of those functions.  They are compared once, when the kernels are imported; later a
module says so itself when one of its names is set.  A call costs nothing more.
"""

import ast
import functools
import linecache
import sys
import types
import zlib


def checksum(function):
    """Of the code of a function; docstring, comments and layout do not count.  None where its source is not at hand.

    What Python makes of it, bytecode or ast.dump, would depend on Python's version.
    """
    code = function.__code__
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, function.__globals__)
    found = [_text(node) for node in _written_at(lines, code.co_firstlineno) if _named(node) == _named(code)]
    return zlib.crc32("".join(found).encode()) if lines else None


def _written_at(lines, line):
    """The functions whose first line is this one, in a file or in a cell of a notebook."""
    end = line  # most stand at the margin and end where something else does: the rest need not be parsed
    while end < len(lines) and lines[end][0] in " \t\n)#":
        end += 1
    for first, last in ((line, end), (1, len(lines))):
        try:
            tree = ast.parse("".join(lines[first - 1 : last]))
        except SyntaxError:  # a line in the middle of something; or the file was edited since it was imported
            continue
        for statement in tree.body:
            if _first_line(statement) <= line - first + 1 <= statement.end_lineno:
                nodes = [statement] if isinstance(statement, ast.FunctionDef) else ast.walk(statement)
                functions = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.Lambda))]
                return [node for node in functions if _first_line(node) == line - first + 1]
    return []


def _first_line(node):
    return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])


def _named(function):
    """Name and arguments, of a node or of code: a line may hold several lambdas."""
    if isinstance(function, types.CodeType):
        return function.co_name, function.co_varnames[: function.co_argcount]
    arguments = function.args.posonlyargs + function.args.args
    return getattr(function, "name", "<lambda>"), tuple(each.arg for each in arguments)


def _text(node):
    """A syntax tree as text, without docstrings and without what is empty, which depends on the version of Python."""
    if isinstance(node, list):
        return f"[{' '.join(map(_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: getattr(node, name) for name in node._fields if name != "ctx" and hasattr(node, name)}
    if isinstance(node, ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    text = " ".join([f"{name}={_text(value)}" for name, value in fields.items() if value is not None and value != []])
    return f"{type(node).__name__}({text})"


def _tell(module, told):
    """Calls told(module, name) whenever a name of the module is set or deleted."""

    class Telling(type(module)):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            told(self, name)

        def __delattr__(self, name):
            super().__delattr__(name)
            told(self, name)

    module.__class__ = Telling


class Twins:
    """The twins in a namespace, the globals of their module, and what each of them stands for."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.twins = {}  # (module, name): the twin, and the keys of what it stands for
        self.checksums = {}  # (module, name): of the function as it was when its twin was written
        self.known = set()  # (checksum, code that has it)
        self.changed = set()  # the keys of what has not

    def of(self, module, **checksums):
        """Makes a function the twin of the one of its name in the module; checksums: of all that it stands for."""

        def register(twin):
            keys = [(module, name) for name in checksums]
            self.twins[module, twin.__name__] = twin, keys
            self.checksums.update(zip(keys, checksums.values()))
            return twin

        return register

    def watch(self, follow):
        """From now on the namespace holds what may run: a twin, or what stands in its place, and the rest of follow."""
        self.follow = follow
        self.own = {name for name, value in self.namespace.items() if value is not vars(follow).get(name)}
        self.own |= {name for name, value in vars(follow).items() if isinstance(value, types.ModuleType)}
        self.modules = {module for module, _ in self.twins}
        for module in self.modules:
            _tell(module, self.told)
        for key in self.checksums:
            self.told(*key)

    def is_as_written(self, module, function, written):
        """Whether a function of the module has this checksum.  Without source: whether it is the module's own."""
        if not isinstance(function, types.FunctionType) or function.__globals__ is not vars(module):
            return False
        known = written, function.__code__
        if known not in self.known and checksum(function) in (written, None):
            self.known.add(known)
        return known in self.known

    def told(self, module, name):
        """module.name was set or deleted."""
        if name == "__spec__":  # importlib.reload sets it, and then runs the file behind our back
            return self.look_again_at_the_next_call()
        key = module, name
        if key in self.checksums:
            if self.is_as_written(module, vars(module).get(name), self.checksums[key]):
                self.changed.discard(key)
            elif key not in self.changed:
                self.changed.add(key)
                self.say(module, name)
            for (home, twin_name), (twin, keys) in self.twins.items():
                if key in keys:
                    self.put(twin_name, vars(home) if self.changed.intersection(keys) else {twin_name: twin})
        if module is self.follow and name[0] != "_" and name not in self.own:
            self.put(name, vars(module))

    def put(self, name, source):
        if name in source:
            self.namespace[name] = source[name]
        else:
            self.namespace.pop(name, None)

    def say(self, module, name):
        users = [twin for (_, twin), (_, keys) in self.twins.items() if (module, name) in keys]
        kernel = "its kernel" if users == [name] else f"the kernel of {', '.join(users)}"
        short, now = module.__name__.rpartition(".")[2], vars(module).get(name)
        pairs = [pair for pair in vars(module).get("ACTIVATIONS", {}).values() if isinstance(pair, tuple)]
        stale = any(getattr(each, "__name__", "") == name and each is not now for pair in pairs for each in pair)
        note = f" ({short}.ACTIVATIONS still holds the old one)" if stale else ""
        print(f"{short}.{name} was changed: {kernel} is set aside{note}", file=sys.stderr)

    def look_again_at_the_next_call(self):
        names = {name for module, name in self.twins}
        names |= {name for name in vars(self.follow) if name[0] != "_" and name not in self.own}
        for name in names:
            if isinstance(self.namespace.get(name), (types.FunctionType, functools.partial)):
                self.namespace[name] = functools.partial(self.first_call, name)

    def first_call(self, name, *arguments, **keywords):
        for module in self.modules:
            for each in list(vars(module)):
                if each[:2] != "__":
                    self.told(module, each)
        return self.namespace[name](*arguments, **keywords)

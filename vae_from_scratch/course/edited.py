"""The package with an edit in one of its files, imported under another name: the files themselves stay as they are."""

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def apply(text, edits, where):
    """text with every (old, new) of edits in place.  ValueError unless each old text stands in it exactly once."""
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(f"{where}: the text to replace must be there once, and is there {text.count(old)} times: {old!r}")
        text = text.replace(old, new)
    return text


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports name.x from vae_from_scratch/x.py, and the one file that is edited from its edited text."""

    def __init__(self, name, file, edits):
        self.name, self.edited = name, ROOT / file
        self.text = apply(self.edited.read_text("utf-8"), edits, file)

    def find_spec(self, name, path=None, target=None):
        package, _, rest = name.partition(".")
        if package != self.name:
            return None
        place = ROOT.joinpath(*rest.split(".")) if rest else ROOT
        if rest and place.is_dir():
            place = place / "__init__.py"
        elif rest:
            place = place.with_suffix(".py")
        if not rest:  # empty: only what is asked for is imported
            return importlib.util.spec_from_loader(name, self, is_package=True)
        if not place.is_file():
            return None
        if place == self.edited:
            return importlib.util.spec_from_loader(name, self, origin=f"{place} (edited)")
        return importlib.util.spec_from_file_location(name, place)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        if module.__name__ == self.name:
            module.__path__ = [str(ROOT)]
        else:
            exec(compile(self.text, module.__spec__.origin, "exec"), module.__dict__)


@contextlib.contextmanager
def package(file, edits):
    """Inside, a function that imports a module of the edited package, such as "ops"; afterwards nothing of it is left."""
    name = "edited_vae_from_scratch"
    finder = Finder(name, file, edits)
    sys.meta_path.insert(0, finder)
    try:
        yield lambda module: importlib.import_module(f"{name}.{module}")
    finally:
        sys.meta_path.remove(finder)
        for each in [each for each in sys.modules if each.partition(".")[0] == name]:
            del sys.modules[each]

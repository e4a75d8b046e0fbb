"""Do type checkers accept README's Python, and find what it imports?

    python tests/long/types_of_readme.py            # with mypy and pyright, or with those of them that are installed
    python tests/long/types_of_readme.py mypy

Checks the code as a user would write it, in a folder of its own.  pyright fetches Node.js when it first runs, unless
there is one and PYRIGHT_PYTHON_GLOBAL_NODE=1 says to use it.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
CHECKERS = {
    "mypy": ["--python-executable", sys.executable, "--config-file=", "--cache-dir=.mypy_cache", "--check-untyped-defs"],
    "pyright": ["--pythonpath", sys.executable],
}


def code_of_readme():
    blocks = re.findall(r"^```py(?:thon)?\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    return "\n\n".join(blocks)


def check(checker, code):
    """What the checker says of code, or "" if nothing."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "readme.py").write_text(code, "utf-8")
        command = [sys.executable, "-m", checker, *CHECKERS[checker], "readme.py"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def main(chosen):
    found = [checker for checker in chosen or CHECKERS if importlib.util.find_spec(checker)]
    if not found:
        sys.exit("neither mypy nor pyright is installed: pip install -e '.[dev]'")
    answers = {checker: check(checker, code_of_readme()) for checker in found}
    for checker, words in answers.items():
        print(f"{checker}: {words or 'no error'}")
    sys.exit(any(answers.values()))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Files for four grading services, as their pages describe them; nothing is sent, and nothing of theirs is needed here."""

import json
import sys
from pathlib import Path

from ..engine import files
from .command import command
from .grade import PRACTICE

READ_ME = """# {service}

{what}

Put the wheel of vae_from_scratch (python .ci/package writes it) beside these files.  Students hand in their folder
exercises.  A pass is {practice}.  derivations/22-course.md says what can be graded.
"""

SETUP = """#!/usr/bin/env bash
set -euo pipefail
python3 -m pip --version || { apt-get update; apt-get install -y python3 python3-pip; }
PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install /autograder/source/*.whl  # the container is for this alone
"""

RUN = """#!/usr/bin/env bash
set -euo pipefail
folder=/autograder/submission
if [ -d "$folder/exercises" ]; then folder="$folder/exercises"; fi
python3 -m vae_from_scratch.course.grade gradescope "$folder" /autograder/results/results.json
"""

AUTOGRADER = '''"""Runs in the student's checkout, with the wheel beside this file; leaves result.json, and imports nothing from it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

(wheel,) = Path(__file__).parent.glob("*.whl")
with tempfile.TemporaryDirectory() as place:  # an environment of any kind lets pip write there
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", place, str(wheel)], check=True)
    exercises, result = Path("exercises").absolute(), Path("result.json").absolute()
    grade = [sys.executable, "-m", "vae_from_scratch.course.grade", "classroom50", str(exercises), str(result)]
    subprocess.run(grade, cwd=place, env={**os.environ, "PYTHONPATH": place}, check=True)
'''

OTTER = '''"""{title}"""

from otter.test_files import test_case

OK_FORMAT = False

name = "q{number}"
points = 1


@test_case(points=1, hidden=False)
def test_exercise_{number}():
    from vae_from_scratch.course.grade import must_pass

    must_pass({number})
'''


def gradescope():
    """File names and texts of a Gradescope autograder: setup.sh, run_autograder."""
    return {"setup.sh": SETUP, "run_autograder": RUN}


def classroom50():
    """The autograder.py of an assignment of Classroom 50."""
    return {"autograder.py": AUTOGRADER}


def otter():
    """One exception-based test file of Otter for each exercise."""
    from .exercises import EXERCISES

    return {f"tests/q{each.number}.py": OTTER.format(number=each.number, title=each.title) for each in EXERCISES}


def nbgrader():
    """A notebook with the cells of nbgrader: for each exercise a task, a blank to fill in, a test, a paragraph."""
    from .cut import exercise_file
    from .exercises import EXERCISES

    cells = []
    for each in EXERCISES:
        name, source = f"exercise-{each.number}", f"%%writefile exercises/{each.filename}\n{exercise_file(each)}"
        test = f"from vae_from_scratch.course.grade import must_pass\n\nmust_pass({each.number})"
        cells += [
            _cell("markdown", f"## {each.number}. {each.title}\n\n{each.task}\n\nRead {each.note} first.", f"{name}-task", locked=True),
            _cell("code", source, f"{name}-answer", solution=True),
            _cell("code", test, f"{name}-test", locked=True, points=1),
            _cell("markdown", "In your own words: why does it have this form?", f"{name}-words", solution=True, points=1),
        ]
    first = 'from pathlib import Path\n\nPath("exercises").mkdir(exist_ok=True)'
    cells.insert(0, _cell("code", first, "folder", locked=True))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return {"source/course/course.ipynb": json.dumps(notebook, indent=1)}


def _cell(kind, source, name, *, locked=False, solution=False, points=None):
    grade = points is not None
    own = {"schema_version": 3, "grade_id": name, "grade": grade, "solution": solution, "locked": locked, "task": False, "cell_type": kind}
    if grade:
        own["points"] = points
    cell = {"cell_type": kind, "id": name, "metadata": {"nbgrader": own}, "source": source.splitlines(keepends=True)}
    return cell | ({"outputs": [], "execution_count": None} if kind == "code" else {})


SERVICES = {  # name: what makes its files, and what to do with them
    "gradescope": (gradescope, "Zip this folder and upload it as the autograder of a programming assignment."),
    "classroom50": (classroom50, "Put this folder below autograders/ASSIGNMENT of the classroom."),
    "otter": (
        otter,
        "Give tests/ to otter generate or otter check.  Beside the notebook lies exercises/, or its cells write it, as nbgrader's do.",
    ),
    "nbgrader": (nbgrader, "Put source/ into the course folder, then run nbgrader generate_assignment course."),
}


@command
def export(arguments):
    """SERVICE [FOLDER]: writes its files."""
    if not 1 <= len(arguments) <= 2 or arguments[0] not in SERVICES:
        raise ValueError(f"export takes one of {', '.join(SERVICES)} and a folder, got {' '.join(arguments) or 'nothing'}")
    make, what = SERVICES[arguments[0]]
    folder = Path(arguments[1] if len(arguments) == 2 else f"export-{arguments[0]}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already and holds something; name another folder")
    texts = make() | {"README.md": READ_ME.format(service=arguments[0], what=what, practice=PRACTICE)}
    with files.whole_folder(folder) as place:
        for name, text in texts.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")  # on Windows too: Bash does not take its line ends
            if text.startswith("#!"):
                path.chmod(0o755)
    print(f"{folder}: {', '.join(sorted(texts))}")


if __name__ == "__main__":
    sys.exit(export(sys.argv[1:]))

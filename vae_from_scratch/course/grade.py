"""A folder of exercises as the results that a grading service reads.  python -m vae_from_scratch.course.grade FORMAT FOLDER FILE"""

import datetime
import json
import os
import sys
from pathlib import Path

from ..engine import files
from .command import command

PRACTICE = "practice, without a grade: the solutions are public"


def results(folder, numbers=None):
    """One dict for each exercise in folder, or for some: exercise, passed, mistakes (their names), title, output (text)."""
    from . import checker, child, exercises

    folder, found = Path(folder), []
    if (folder / "exercises").is_dir():  # handed in with the folder that course start made
        folder = folder / "exercises"
    for exercise in exercises.EXERCISES:
        path = folder / exercise.filename
        if not path.is_file() or numbers is not None and exercise.number not in numbers:
            continue
        try:
            report, _ = child.check_apart(exercise, path)
        except ValueError as error:  # it does not parse
            found.append(_row(exercise, False, [], str(error).replace(str(path), path.name)))
            continue
        mistakes = [*dict.fromkeys(finding.mistake for finding in report.findings if finding.mistake)]
        output = checker.text(report._replace(path=path.name), exercise, solution=False)
        tried = any(finding.kind != "unwritten" for finding in report.findings) or bool(report.replaced)
        found.append(_row(exercise, report.passed, mistakes, output) | {"tried": tried})
    return found


def _row(exercise, passed, mistakes, output):
    title = f"{exercise.number}. {exercise.title}"
    return {"exercise": exercise.number, "passed": passed, "mistakes": mistakes, "title": title, "output": output}


def must_pass(number, folder="exercises"):
    """For a test: AssertionError, with what the check says, unless exercise number in folder is passed."""
    rows = results(folder, [number])
    if not rows or not rows[0]["passed"]:  # no assert: python -O leaves those out
        raise AssertionError(rows[0]["output"] if rows else f"exercise {number} is not in {folder}")


def plain(rows):
    """A list of exercise, passed, mistakes: what report reads.  A file as it was handed out is no try."""
    return [{name: row[name] for name in ("exercise", "passed", "mistakes")} for row in rows if row.get("tried", True)]


def gradescope(rows):
    """results.json of a Gradescope autograder."""
    tests = [
        {"name": row["title"], "score": float(row["passed"]), "max_score": 1.0, "output": row["output"], "visibility": "visible"}
        for row in rows
    ]
    found = {"output": PRACTICE, "visibility": "visible", "stdout_visibility": "hidden", "tests": tests}
    return found if rows else found | {"score": 0.0, "output": "no exercise was handed in: the folder exercises belongs there"}


def classroom50(rows):
    """result.json of Classroom 50, schema classroom50/result/v1; what a run is comes from the runner's environment."""
    tests = [
        {"test-name": row["title"], "passed": row["passed"], "score": int(row["passed"]), "max-score": 1, "output": row["output"]}
        for row in rows
    ]
    names = {"classroom": "CLASSROOM", "assignment": "ASSIGNMENT", "submission": "SUBMISSION_TAG", "commit": "COMMIT_URL"}
    names |= {"release": "RELEASE_URL", "review": "REVIEW_URL"}
    run = {field: os.environ.get(name, "") for field, name in names.items()}
    run["review"] = run["review"] or run["commit"]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    score = sum(test["score"] for test in tests)
    return {"schema": "classroom50/result/v1", **run, "datetime": now, "score": score, "max-score": len(tests), "tests": tests}


FORMATS = {"plain": plain, "gradescope": gradescope, "classroom50": classroom50}


@command
def grade(arguments):
    """FORMAT FOLDER FILE: writes the results of the exercises in FOLDER."""
    if len(arguments) != 3 or arguments[0] not in FORMATS:
        given = " ".join(arguments) or "nothing"
        raise ValueError(f"grade takes {'|'.join(FORMATS)}, a folder of exercises and a file to write, got {given}")
    name, folder, file = arguments
    if name == "plain" and not Path(folder).is_dir():
        raise ValueError(f"{folder} is not a folder: name the one that holds a student's exercises")
    rows = results(folder)
    if not rows:
        print(f"no exercise is in {folder}: files are looked for by the names that course start gives them", file=sys.stderr)
    content = json.dumps(FORMATS[name](rows), indent=1).encode()
    files.write(file, lambda out: out.write(content))


if __name__ == "__main__":
    sys.exit(grade(sys.argv[1:]))

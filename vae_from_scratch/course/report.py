"""What a class has done: per exercise who tried and who passed, per mistake how many made it.  derivations/22-course.md."""

import collections
import json
import re
import sys
from pathlib import Path

import numpy as np

from ..engine import require
from ..plots.style import COLOURS, GREY, Figure, save, style
from .command import command
from .mistakes import MISTAKES


def read(folder):
    """The results of a class, file name -> rows (exercise, passed, mistakes).  ValueError names a file that is none."""
    if not Path(folder).is_dir():
        raise ValueError(f"{folder} is not a folder: name the one that holds a class's results")
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise ValueError(f"{folder} holds no result: one .json file per student is expected")
    found = {}
    for path in paths:
        try:
            rows = json.loads(path.read_text("utf-8"))
            rows = rows if isinstance(rows, list) else [rows]
            found[path.stem] = [_checked(row) for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            wanted = '[{"exercise": 3, "passed": false, "mistakes": ["kl-no-half"]}, ...]'
            raise ValueError(f"{path} is no list of results such as {wanted} ({type(error).__name__}: {error})") from error
    return found


def _checked(row):
    mistakes = row["mistakes"]
    if not isinstance(mistakes, list) or not all(isinstance(each, str) for each in mistakes):
        raise TypeError(f"mistakes must be a list of names, got {mistakes!r}")
    return require.whole("exercise", row["exercise"]), require.flag("passed", row["passed"]), mistakes


def statistics(results):
    """Exercise -> (students who tried, who passed), and (exercise, mistake) -> students who made it."""
    tried, passed, made = collections.defaultdict(set), collections.defaultdict(set), collections.defaultdict(set)
    for student, rows in results.items():
        for exercise, ok, named in rows:
            tried[exercise].add(student)
            if ok:
                passed[exercise].add(student)
            for mistake in named:
                made[exercise, mistake].add(student)
    exercises = {number: (len(tried[number]), len(passed[number])) for number in sorted(tried)}
    mistakes = {key: len(made[key]) for key in sorted(made, key=lambda key: (-len(made[key]), key))}
    return exercises, mistakes


@style()
def draw(exercises, mistakes, students):
    """Bars per exercise, and of the ten most frequent mistakes."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    places = range(len(exercises))
    tried, passed = np.reshape(list(exercises.values()), (-1, 2)).T
    left.bar(places, passed, color=COLOURS[0], label="passed")
    left.bar(places, tried - passed, bottom=passed, color=GREY, label="tried, not passed")
    left.set_xticks(places, [str(number) for number in exercises])
    left.set(xlabel="exercise", ylabel="students", ylim=(0, students * 1.25))
    left.legend(frameon=False, ncols=2, loc="upper right")
    shown = list(mistakes.items())[:10][::-1]
    right.barh(range(len(shown)), [count for _, count in shown], color=COLOURS[2])
    right.set_yticks(range(len(shown)), [f"{number}: {name}" for (number, name), _ in shown])
    of_all = f"the {len(shown)} most frequent of {len(mistakes)} mistakes" if len(mistakes) > len(shown) else "mistakes"
    right.set(xlabel="students who made it", title=of_all if shown else "no mistake was named")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    left.yaxis.get_major_locator().set_params(integer=True)
    right.xaxis.get_major_locator().set_params(integer=True)
    return figure


@command
def report(arguments):
    """FOLDER: prints the table of a class and writes report.png there."""
    if len(arguments) != 1:
        raise ValueError(f"report takes the folder of a class, got {' '.join(arguments) or 'nothing'}")
    results = read(arguments[0])
    exercises, mistakes = statistics(results)
    picture = Path(arguments[0]) / "report.png"
    save(draw(exercises, mistakes, len(results)), picture)
    print(f"{len(results)} student{'s' * (len(results) > 1)}\n\nexercise  tried  passed")
    for number, (tried, passed) in exercises.items():
        print(f"{number:8}{tried:7}{passed:8}")
    print("\nmistake                                   exercise  students")
    says = {row.id: re.split(r"(?<! al)\. ", row.says)[0].rstrip(".") for row in MISTAKES}
    for (number, mistake), count in mistakes.items():
        print(f"{mistake:42}{number:8}{count:10}" + (f"\n    {says[mistake]}" if mistake in says else ""))
    print(f"\n{picture}")


if __name__ == "__main__":
    sys.exit(report(sys.argv[1:]))

"""vae-from-scratch course: start, check, hint, run and solution of the exercises; what a teacher needs besides."""

import argparse
import contextlib
import importlib
from pathlib import Path

from ..engine import files

README = """# Exercises

Each file holds functions of the package without their bodies.  Write them, in any order: what is not written stays the
package's own.

    vae-from-scratch course list          what there is
    vae-from-scratch course start 4       writes the file of exercise 4 here
    vae-from-scratch course check 4       says what is wrong, and why it matters
    vae-from-scratch course hint 4        three hints: hint 4, hint 4 2, hint 4 3
    vae-from-scratch course run train     trains on your functions and says which it did not call; any command
    vae-from-scratch course solution 4    how the package wrote it, after a try

A file of yours is never overwritten.  It stands alone: it may import what is installed, and no other file of yours.  What
comes in as float32 must go out as float32.  check is practice and gives no grade: the solutions are public.
"""
FOLDER = "exercises"
ELSEWHERE = """
The commands look for your files in a folder named exercises.  These are in another, so name it, as in

    {}
"""


def add_course(commands):
    """The parser of course, below that of the command line."""
    words = "exercises: write the package's functions yourself, have them checked, train on them"
    course = commands.add_parser("course", help=words, description=words[0].upper() + words[1:] + ".")
    actions = course.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name, words, number=None):
        action = actions.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        action.add_argument("--folder", default=FOLDER, help="where your files are (default: %(default)s)")
        if number is not None:
            action.add_argument("number", metavar="N", nargs=None if number else "?", help="the exercise, from 1")
        return action

    add("list", "name the exercises")
    add("start", "write the file of exercise N, or of the next one, without overwriting anything", False)
    add("check", "check exercise N, or all that are started, in a process of its own", False)
    hint = add("hint", "give a hint", True)
    hint.add_argument("step", metavar="STEP", nargs="?", type=int, default=1, choices=(1, 2, 3), help="1, 2 or 3; 3 says nearly all")
    run = add("run", "run a command, such as train, on your functions")
    run.add_argument("line", nargs=argparse.REMAINDER, metavar="COMMAND ...", help="a command of vae-from-scratch and its options")
    add("solution", "show how the package wrote exercise N, once you have tried", True)
    for name, (_, _, words, _) in TEACHERS.items():  # each reads its own words, those that begin with -- as well
        action = actions.add_parser(name, help=words, prefix_chars="\0", add_help=False)
        action.add_argument("words", nargs=argparse.REMAINDER)


def run_course(options):
    """One action of course."""
    if options.action in TEACHERS:
        module, function, words, usage = TEACHERS[options.action]
        module = importlib.import_module(f"{__package__.partition('.')[0]}.course.{module}")
        if {"-h", "--help"} & set(options.words):
            print(f"usage: vae-from-scratch course {options.action} {usage or module.USAGE}\n\n{words[0].upper() + words[1:]}.")
            return 0
        return getattr(module, function)(options.words)
    return ACTIONS[options.action](options)


def list_exercises(options):
    from ..course.exercises import EXERCISES

    for each in EXERCISES:
        path = Path(options.folder) / each.filename
        print(f"{each.number:3}  {each.title:46} {each.minutes:3} min  {_state(each, path)}")
    print(f"\n{_command(options, 'start')} writes the next one; the README beside it says the rest.")


def _command(options, action, *words):
    """A command of the course as it would be typed, for the folder that is in use."""
    from .options import typed  # which imports this module

    elsewhere = [] if options.folder == FOLDER else ["--folder", typed(options.folder)]
    return " ".join(["vae-from-scratch course", action, *elsewhere, *words])


def _state(exercise, path):
    if not path.exists():
        return exercise.note
    try:
        written = _written(exercise, path)
    except ValueError:
        return f"{path}: does not parse"
    return f"{path}: {len(written)} of {len(exercise.functions)} functions written"


def _written(exercise, path):
    from ..course.cut import defined, in_file, is_blank, parse

    nodes = defined(parse(path)[1])
    return [target for target in exercise.functions if in_file(target) in nodes and not is_blank(nodes[in_file(target)])]


def start(options):
    from ..course.cut import exercise_file
    from ..course.exercises import EXERCISES, exercise

    folder = Path(options.folder)
    fresh = [each for each in EXERCISES if not (folder / each.filename).exists()]
    if options.number is None and not fresh:
        raise ValueError(f"all {len(EXERCISES)} exercises are in {folder} already; {_command(options, 'check')} looks at them")
    chosen = fresh[0] if options.number is None else exercise(options.number)
    path = folder / chosen.filename
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"{folder} is a file: name a folder with --folder") from None
    if path.exists():
        raise ValueError(f"{path} is there already, and is yours: move it away to start again")
    readme = README if options.folder == FOLDER else README + ELSEWHERE.format(_command(options, "check", "4"))
    for at, text in ((path, exercise_file(chosen)), (folder / "README.md", readme)):
        if not at.exists():
            files.write(at, lambda file, text=text: file.write(text.encode("utf-8", "backslashreplace")))
    print(f"{path}: {chosen.title}, about {chosen.minutes} minutes.  Read {chosen.note}, write the functions, then:")
    print(_command(options, "check", str(chosen.number)))


def check(options):
    """Exit code 1 unless all that was checked is passed."""
    from ..course.checker import text
    from ..course.child import check_apart
    from ..course.exercises import EXERCISES, exercise

    folder = Path(options.folder)
    chosen = [each for each in EXERCISES if (folder / each.filename).exists()] if options.number is None else [exercise(options.number)]
    if not chosen:
        raise ValueError(f"no exercise is started in {folder}; {_command(options, 'start')} writes the first")
    passed = []
    for each in chosen:
        if not (folder / each.filename).exists():
            raise ValueError(f"{folder / each.filename} is not there; {_command(options, 'start', str(each.number))} writes it")
        try:
            report, printed = check_apart(each, folder / each.filename)
        except ValueError as error:  # it does not parse: the others may
            if options.number is not None:
                raise
            print(f"  {error}")
            passed.append(False)
            continue
        print(text(report._replace(path=str(folder / each.filename)), each, solution=options.number is not None))
        if printed.strip():
            print(f"  your file printed:\n{printed.rstrip()}")
        passed.append(report.passed)
    if len(chosen) > 1:
        print(f"{sum(passed)} of {len(passed)} exercises are passed.")
    return 0 if all(passed) else 1


def hint(options):
    from ..course.exercises import exercise

    chosen = exercise(options.number)
    print(f"hint {options.step} of 3: {chosen.hints[options.step - 1]}")
    if options.step < 3:
        print(f"the next: vae-from-scratch course hint {chosen.number} {options.step + 1}")


def run_on(options):
    from .. import cli
    from ..course.exercises import EXERCISES
    from ..course.implant import calls, implanted, read

    folder = Path(options.folder)
    if not options.line:
        raise ValueError("run needs a command, such as: vae-from-scratch course run train --epochs 10")
    if options.line[0] == "sweep":
        raise ValueError("a sweep trains in processes of its own, where your functions are not: take run train, once for each setting")
    with contextlib.ExitStack() as stack:
        written = {}
        for each in EXERCISES:
            path = folder / each.filename
            if not path.exists() or not _written(each, path):
                continue
            student = read(path, each.functions)
            stack.enter_context(implanted(student.written, student.helpers))
            written |= student.written
            print(f"your file: {path}, {len(student.written)} function{'s' * (len(student.written) != 1)} replaced", flush=True)
        if not written:
            raise ValueError(f"no function is written in {folder}; {_command(options, 'start')} writes a file to begin with")
        with calls(written) as left:
            code = cli.run(options.line)
        if left:
            advice = (
                "; what is called depends on the options, such as --model vae; where a function is written just as the package's, "
                "its kernel runs, and --backend numpy calls yours"
            ) * (options.line[0] == "train")
            print(f"not called by this command: {', '.join(sorted(left.values()))}{advice}")
        return code


def solution(options):
    from ..course.cut import source
    from ..course.exercises import exercise

    chosen = exercise(options.number)
    path = Path(options.folder) / chosen.filename
    if not path.exists():
        raise ValueError(f"a solution comes after a try: {_command(options, 'start', str(chosen.number))} writes {path}")
    if not _written(chosen, path):
        raise ValueError(f"a solution comes after a try: write a function of {path} first, then check it; course hint helps")
    print("\n\n".join(source(target) for target in chosen.functions))


ACTIONS = {"list": list_exercises, "start": start, "check": check, "hint": hint, "run": run_on, "solution": solution}
TEACHERS = {  # name: module of course/, its function of a list of words, which returns the exit code; what it does; usage or None
    "zoo": ("zoo", "zoo", "find a real bug in a program by what it shows: next, check, name, patch, score, exam", None),
    "variant": ("variants", "variants", "a task whose gradient is nowhere, drawn by --seed S; with a file, check it", "--seed S [FILE]"),
    "export": ("export", "export", "write the files of a grading service: gradescope, classroom50, otter or nbgrader", "SERVICE [FOLDER]"),
    "report": ("report", "report", "what a class stumbled over, from a folder of results", "FOLDER"),
}

"""A check in a process of its own: a time limit, output captured, no writing outside of its folder, no other programs.

The guard is Python's audit hook: it stops what a student's file does by accident and most of what it does on purpose,
not somebody who is out to break it (ctypes reaches around it).  Who grades strangers' code runs it in a container.
"""

import faulthandler
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 30  # the longest check takes one; a slow machine has room
SHOWN = 2000  # characters of what a file prints


def check_apart(exercise, path, seconds=SECONDS):
    """check_file in a process of its own.  Returns the Report, and what the student's file printed."""
    from .checker import Finding, Report
    from .cut import parse

    parse(path)  # its error names the path as it was given
    fields, printed, ended = apart("exercise", exercise.number, path, seconds)
    if fields is None:
        findings = (Finding("", "time" if ended.startswith("stopped") else "exception", None, ended),)
        return Report(exercise.number, str(Path(path).resolve()), (), findings, ()), printed
    fields["findings"] = tuple(Finding(*each) for each in fields["findings"])
    return Report(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}), printed


def apart(job, argument, path, seconds):
    """One of JOBS on a student's file, in a process of its own, under the guard.

    Returns what the job returned, what the file printed, and "". If the process ended before: None, what it printed, and why.
    """
    path = Path(path).resolve()
    home = str(Path(__file__).parents[2])
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / "run"
        here.mkdir()
        paths = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        quiet = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        result, printed = Path(folder) / "result.json", Path(folder) / "printed"
        command = [sys.executable, "-m", __name__, job, str(argument), str(path), str(result), str(seconds)]
        with printed.open("wb") as out:
            settings = {"cwd": here, "env": {**os.environ, **quiet, "PYTHONPATH": paths}, "stdin": subprocess.DEVNULL}
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **settings)
            try:
                code = process.wait(seconds + 10)  # it ends by itself after seconds, and says at which line it was
            except subprocess.TimeoutExpired:
                code = None
            finally:
                process.kill()
                process.wait()
        words = printed.read_text("utf-8", "replace")
        try:
            found = json.loads(result.read_text("utf-8"))
        except (ValueError, OSError):  # it never got there, or not even to opening the file
            return None, _shown(words.partition("Timeout (")[0]), _ended(path, code, words, seconds)
    return found, _shown(words), ""


def _shown(words):
    return words[:SHOWN] + ("\n..." if len(words) > SHOWN else "")


def _ended(path, code, words, seconds):
    if code is None or "Timeout (" in words:
        line = re.search(rf'File "{re.escape(str(path))}", line (\d+) in (\S+)', words)
        where = f", at line {line[1]} of {path.name}, in {line[2]}" if line else ""
        return f"stopped after {seconds:g} s{where}: is there a loop that never ends?"
    last = words.strip().splitlines()[-1:] or ["it said nothing"]
    return f"the process ended while it ran your file (exit code {code}): {last[0][:300]}"


# ---- in the child -------------------------------------------------------------------------------------

REFUSED = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.kill",
           "pty.spawn", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo")  # fmt: skip
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime",
           "shutil.rmtree", "shutil.move")  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def guard(folder):
    """From now on this process writes below folder only, and starts nothing."""
    folder = os.path.realpath(folder) + os.sep
    allowed = {os.devnull}
    busy = []

    def outside(path):
        if not isinstance(path, (str, bytes, os.PathLike)) or os.fsdecode(path) in allowed:
            return False
        return not (os.path.realpath(os.fsdecode(path)) + os.sep).startswith(folder)

    def hook(event, arguments):
        if busy or event != "open" and event not in CHANGES and event not in REFUSED:
            return
        busy.append(event)  # realpath may raise events of its own
        try:
            if event in REFUSED:
                raise PermissionError(f"while it is checked, a file may not start programs or use the network ({event})")
            paths = arguments[:1] if event == "open" else arguments
            writes = event != "open" or bool((arguments[2] or 0) & WRITES)
            wrong = [path for path in paths if writes and outside(path)]
            if wrong:
                raise PermissionError(f"while it is checked, a file may not write outside of its own folder: {os.fsdecode(wrong[0])}")
        finally:
            busy.pop()

    sys.addaudithook(hook)


def check_exercise(number, path):
    """A job: the Report of an exercise, as a dict."""
    from . import checker, exercises

    exercise = exercises.exercise(number)
    for target in exercise.functions:
        checker.expected(target)
    yield  # the guard is set here
    yield checker.check_file(exercise, path)._asdict()


def check_variant(seed, path):
    """A job: the rows of a variant's check, or the error of a file that cannot be checked."""
    from . import variants

    variants.variant(int(seed))
    yield
    try:
        yield {"rows": variants.check_file(int(seed), path)}
    except ValueError as error:
        yield {"error": str(error)}


JOBS = {"exercise": check_exercise, "variant": check_variant}  # each imports what it needs, then yields, then yields what it found


def main(job, argument, path, result, seconds):
    """Does a job, and writes what it found to result."""
    steps = JOBS[job](argument, path)
    next(steps)
    try:
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000_000, 50_000_000))  # of what a file prints or writes
    except (ImportError, ValueError, OSError):
        pass
    with open(result, "w", encoding="utf-8") as out:  # opened before the guard stands
        faulthandler.dump_traceback_later(float(seconds), exit=True)
        guard(os.getcwd())
        found = next(steps)
        faulthandler.cancel_dump_traceback_later()
        json.dump(found, out)


if __name__ == "__main__":
    main(*sys.argv[1:])

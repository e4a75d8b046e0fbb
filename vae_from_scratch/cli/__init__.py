"""vae-from-scratch train | evaluate | sample | traverse | animate | explore | score | compare | sweep | gradcheck | course."""

import contextlib
import os
import sys
import warnings

from ..engine import require, threads
from .animate import animate_run
from .compare import compare_runs
from .course import run_course
from .derivatives import run_gradcheck
from .explore import explore_run
from .look import evaluate_run, sample_run, score_run, traverse_run
from .options import build_parser
from .sweep import sweep_run
from .train import train_run


def main(arguments=None):
    """Run one command; returns 0, 1 (a gradient is wrong), 2 (an error, said in one line) or 130 (interrupted).

    141, in silence, where nobody reads on, as with | head -1.
    """
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that it cannot encode is no reason to fail
    try:
        code = run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except OSError as error:  # of the flush, or of a pipe
        for stream in (sys.stdout, sys.stderr):
            _forget(stream)
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"vae-from-scratch: error: {error}", file=sys.stderr)
        return 2


def _forget(stream):
    # what a stream still holds, if it cannot be written: or Python would say so again at its end
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def run(arguments):
    """What main does, but for flushing the output and for what a closed pipe needs."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest:
        command = f"vae-from-scratch {options.command}"
        parser.exit(2, f"{command}: error: unrecognized arguments: {' '.join(rest)} (see {command} --help)\n")
    with threads.one_blas_thread(), warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)  # notes, whatever -W says
        others, said = warnings.showwarning, set()

        def note(message, category, *where, **how):
            if category is UserWarning:
                if str(message) not in said:  # a file is read for training and for the test
                    with contextlib.suppress(OSError):  # where it cannot be written, the command goes on without it
                        print(f"note: {message}", file=sys.stderr)
                said.add(str(message))
            else:
                others(message, category, *where, **how)

        warnings.showwarning = note
        try:
            for name in ("out", "resume", "separate", "folder"):  # "" is a variable of the shell that is not set
                if getattr(options, name, None) is not None:
                    setattr(options, name, require.path(f"--{name}", getattr(options, name)))
            if hasattr(options, "run"):
                options.run = require.path("RUN", options.run)
            if hasattr(options, "runs"):
                options.runs = [require.path("RUN", run) for run in options.runs]
            return COMMANDS[options.command](options) or 0
        except BrokenPipeError:
            raise
        except (ValueError, TypeError, OSError, FloatingPointError, OverflowError, MemoryError, RuntimeError) as error:
            words = str(error) or "not enough memory"
            print(f"vae-from-scratch {options.command}: error: {words}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as stop:
            print(str(stop) or "interrupted", file=sys.stderr)
            return 130


COMMANDS = {
    "train": train_run,
    "evaluate": evaluate_run,
    "sample": sample_run,
    "traverse": traverse_run,
    "animate": animate_run,
    "explore": explore_run,
    "score": score_run,
    "compare": compare_runs,
    "sweep": sweep_run,
    "gradcheck": run_gradcheck,
    "course": run_course,
}

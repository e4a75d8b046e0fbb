"""What the course's commands share: an error is said in one line, and the exit code tells."""

import functools
import os
import sys


def command(function):
    """A function of a list of words, as a command: returns its exit code, or 2 after an error, said in one line."""

    @functools.wraps(function)
    def run(arguments):
        try:
            return function([os.path.expanduser(each) for each in arguments]) or 0
        except BrokenPipeError:  # nobody reads on: the command line's own answer to that
            raise
        except (ValueError, TypeError, OSError, FloatingPointError) as error:
            print(f"{function.__name__}: error: {error}", file=sys.stderr)
            return 2

    return run

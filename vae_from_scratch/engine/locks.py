"""The operating system's lock on an open file: it ends when the file is closed or its process dies, however it dies."""

import contextlib
import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt


def take(file):
    """Lock an open file: True, or False where the file system has no locks.  BlockingIOError if another holds it."""
    held = PermissionError if fcntl is None else BlockingIOError  # as the system says it
    try:
        if fcntl is None:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except held as error:
        raise BlockingIOError(error.errno, "locked by another", file.name) from error
    except OSError:
        return False
    return True


def has_its_name(file):
    """Whether an open file is still there under its name, not removed by whoever held it before (never on Windows)."""
    try:
        return fcntl is None or os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except OSError:
        return False


def close_to_move(file):
    """Close a file on Windows, which moves and removes nothing that is open; elsewhere it stays locked meanwhile."""
    if fcntl is None:
        file.close()


def remove(file):
    """Remove a file that is open and locked."""
    if has_its_name(file):
        close_to_move(file)  # if another opens it now, it stays
        with contextlib.suppress(OSError):
            os.unlink(file.name)

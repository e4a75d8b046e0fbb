"""BLAS gets one thread, and the package starts its own: a second BLAS thread mostly waits, on a busy machine for long."""

import collections
import concurrent.futures
import contextlib
import contextvars
import os
import threading
from pathlib import Path

from threadpoolctl import ThreadpoolController

VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)


def named_by_the_environment():
    """Whether the environment says how many threads to use: then that is BLAS's, and a run has one of its own."""
    return any(os.environ.get(name) for name in VARIABLES)


def cores():
    """How many cores this process may use: those that it is tied to, and its share of them in a container."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # "max 100000", or microseconds of a core in each period
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        found = min(found, max(1, int(quota) // int(period)))
    return found


ASKED = contextvars.ContextVar("threads", default=None)  # how many in_threads takes, if somebody said
END = object()


@contextlib.contextmanager
def asked(threads):
    """Inside, in_threads takes so many; None changes nothing."""
    before = ASKED.get()
    ASKED.set(before if threads is None else threads)
    try:
        yield
    finally:
        ASKED.set(before)


def for_chunks():
    """How many threads share out chunks: as asked, or one for each core, or one if the environment gives BLAS a number.

    No core is left free, as in fit: each thread takes the next chunk when it is ready, so none waits for a slow one.
    """
    return ASKED.get() or (1 if named_by_the_environment() else cores())


def in_threads(function, items, threads):
    """function(item) for each item, in order, in so many threads: the items say what is computed, so the bits are the same.

    Items are made in the caller's thread, one more than are being worked on.  An error is raised where its result would
    come, with its own traceback, when what is being computed has ended.  No thread is left behind.
    """
    items = iter(items)

    def next_item():
        context = contextvars.copy_context()  # its own: what is asked and allowed for this item is not left behind
        context.run(ASKED.set, threads)  # images may be drawn for it
        return context, context.run(next, items, END)

    if threads == 1:
        while (each := next_item())[1] is not END:
            yield each[0].run(function, each[1])
        return
    pool, waiting = concurrent.futures.ThreadPoolExecutor(threads, "chunk", one_here_too), collections.deque()
    try:
        while True:
            while len(waiting) <= threads and (each := next_item())[1] is not END:
                waiting.append(pool.submit(each[0].run, function, each[1]))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def stay_on_core(i):
    """Keep this thread on the i-th core: of two that wake each other Linux may leave both on one, at half the speed."""
    if hasattr(os, "sched_setaffinity"):
        free = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {free[i % len(free)]})


_lock, _inside, _shared = threading.Lock(), 0, []  # how many are inside, and what the first of them found


@contextlib.contextmanager
def one_blas_thread():
    """Inside, BLAS uses one thread; then as many as before.  If the environment names a number, that one stays.

    May be nested, and entered by several threads at once: the last to leave gives back.  Accelerate (macOS) keeps its
    own number, which no library can set.
    """
    if named_by_the_environment():
        yield
        return
    found = _enter()
    try:
        yield
    finally:
        _leave(found)


def _enter():
    global _inside, _shared
    with _lock:
        libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        found = [(library, library.num_threads) for library in libraries]
        for library in libraries:
            library.set_num_threads(1)
        _shared = _shared if _inside else found
        _inside += 1
    return found


def _leave(found):
    global _inside
    with _lock:
        _inside -= 1
        for library, number in found:
            if _per_thread(library):
                library.set_num_threads(number)
            _let_go(library)
        for library, number in [] if _inside else _shared:
            if not _per_thread(library):
                library.set_num_threads(number)
            _let_go(library)


def one_here_too():
    """In a new thread inside of one_blas_thread: one as well, where each thread has a number of its own."""
    with _lock:
        for library, _ in _shared if _inside else []:
            if _per_thread(library):
                library.set_num_threads(1)
                _let_go(library)


def _per_thread(library):
    """Whether each thread has a number of its own; otherwise the process has one."""
    return getattr(library, "threading_layer", None) == "openmp"


def _let_go(library):
    """Let another thread set the number: from threadpoolctl 3.7 on, OpenBLAS obeys the first that did until it lets go."""
    getattr(library, "clear_controlling_thread", lambda: None)()

"""Many tasks on an executor of concurrent.futures: what each came to, in the order in which they end."""

import contextlib
import os
import signal
import threading
import time
import warnings
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, ProcessPoolExecutor, wait
from multiprocessing import active_children, get_context, parent_process

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # BLAS reads them when it is loaded
GRACE = 10  # seconds
ATTEMPTS = 3  # a process that dies, as of a full memory, takes the tasks of all others in its pool with it


@contextlib.contextmanager
def environment(**values):
    """These variables where there are none yet, for the processes started inside."""
    missing = {name: value for name, value in values.items() if not os.environ.get(name)}
    before = {name: os.environ.get(name) for name in missing}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def processes(jobs):
    """A pool of so many new processes (spawned: nothing is inherited), with one BLAS thread each.

    After an error or Ctrl-C they have GRACE seconds to end, as they do by themselves if Ctrl-C has reached them, too.
    """
    others = set(active_children())
    with environment(**ONE_THREAD):
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=start_process) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                end = time.monotonic() + GRACE
                for child in set(active_children()) - others:
                    child.join(max(0, end - time.monotonic()))
                    child.terminate()
                raise


@contextlib.contextmanager
def ctrl_c_waits():
    """Inside, Ctrl-C waits, also in a process that is started there, until start_process lets it through."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_process():
    """In a process of the pool: it ends with the one that started it, however that ends; its warnings were given there."""
    warnings.simplefilter("ignore")
    try:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    except KeyboardInterrupt:  # pressed while it was being started
        os._exit(130)
    threading.Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(parent):
    parent.join()
    os._exit(1)


def run_all(executor: Executor, task, items, window):
    """(item, result, error) of task(*item) for all items, at most window of them handed over at once."""
    waiting, running = list(items), {}
    try:
        while waiting or running:
            while waiting and len(running) < window:
                item = waiting.pop(0)
                try:
                    with ctrl_c_waits():
                        running[executor.submit(task, *item)] = item
                except BrokenExecutor as broken:
                    yield item, None, broken
            ended = wait(running, return_when=FIRST_COMPLETED).done if running else set()
            for future in [future for future in running if future in ended]:
                item = running.pop(future)
                error = future.exception()
                yield item, None if error else future.result(), error
    finally:
        for future in running:
            future.cancel()


def run_in_processes(task, items, jobs):
    """run_all in processes of its own; the tasks that went down with one are tried again in others."""
    items, attempt = list(items), 0
    while items:
        attempt, lost = attempt + 1, []
        with processes(min(jobs, len(items))) as pool:
            for item, result, error in run_all(pool, task, items, window=jobs):
                if isinstance(error, BrokenExecutor) and attempt < ATTEMPTS:
                    lost.append(item)
                else:
                    yield item, result, error
        items = lost

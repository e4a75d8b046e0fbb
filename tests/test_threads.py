"""Promise: BLAS uses one thread inside one_blas_thread and what it had after, and a number in the environment stays."""

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from vae_from_scratch import cli, datasets, disentanglement
from vae_from_scratch.engine import threads


def blas():
    """How many threads BLAS may use."""
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


pytestmark = pytest.mark.skipif(not blas(), reason="no BLAS here whose threads a library can set, as with Accelerate")


@pytest.fixture(autouse=True)
def three(monkeypatch):
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with threadpool_limits(3, user_api="blas"):
        assert set(blas()) == {3}
        yield


def test_one_inside_and_as_before_after():
    with threads.one_blas_thread():
        assert set(blas()) == {1}
        with threads.one_blas_thread():
            assert set(blas()) == {1}
        assert set(blas()) == {1}
    assert set(blas()) == {3}


def test_as_before_after_an_error():
    with pytest.raises(ZeroDivisionError), threads.one_blas_thread():
        1 / 0
    assert set(blas()) == {3}


def test_the_last_of_several_threads_gives_back():
    entered, leave, seen = threading.Event(), threading.Event(), []

    def other():
        with threads.one_blas_thread():
            entered.set()
            leave.wait(60)
            seen.append(blas())

    thread = threading.Thread(target=other)
    with threads.one_blas_thread():
        thread.start()
        assert entered.wait(60)
    leave.set()
    thread.join()
    assert set(seen[0]) == {1} and set(blas()) == {3}


class CountsPerThread(threading.local):
    """What an OpenBLAS on top of OpenMP is: each thread has its own number."""

    threading_layer, user_api, num_threads = "openmp", "blas", 3

    def set_num_threads(self, number):
        self.num_threads = number


def test_a_library_that_counts_per_thread_is_set_in_each(monkeypatch):
    library, seen = CountsPerThread(), []
    found = SimpleNamespace(select=lambda user_api: SimpleNamespace(lib_controllers=[library]))
    monkeypatch.setattr(threads, "ThreadpoolController", lambda: found)

    def other():
        with threads.one_blas_thread():
            seen.append(library.num_threads)
        seen.append(library.num_threads)

    with threads.one_blas_thread():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        seen.append(library.num_threads)
    assert seen == [1, 3, 1] and library.num_threads == 3
    with threads.one_blas_thread():
        assert list(threads.in_threads(lambda _: library.num_threads, range(3), 2)) == [1, 1, 1]
    assert list(threads.in_threads(lambda _: library.num_threads, range(3), 2)) == [3, 3, 3] == [library.num_threads] * 3


@pytest.mark.parametrize("name", threads.VARIABLES)
def test_a_number_in_the_environment_stays(name, monkeypatch):
    monkeypatch.setenv(name, "3")
    with threads.one_blas_thread():
        assert set(blas()) == {3}


@pytest.mark.parametrize("given", [None, "2"])
def test_omp_num_threads_alone_is_enough(given):
    code = (
        "from vae_from_scratch.engine.threads import one_blas_thread; from threadpoolctl import threadpool_info\n"
        "def blas(): return {each['num_threads'] for each in threadpool_info() if each['user_api'] == 'blas'}\n"
        "before = blas()\n"
        "with one_blas_thread(): print(*before, *blas())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **({"OMP_NUM_THREADS": given} if given else {})}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    before, inside = run.stdout.split()
    assert inside == (before if given else "1")  # before: what was given, or as many as there are cores if those are fewer


def test_every_command_runs_in_it(monkeypatch):
    seen = []
    monkeypatch.setitem(cli.COMMANDS, "gradcheck", lambda options: seen.append(blas()))
    assert cli.main(["gradcheck"]) == 0
    assert set(seen[0]) == {1} and set(blas()) == {3}


def test_scores_are_computed_in_it():
    seen = []

    def encode(x):
        seen.extend(blas())
        return x[:, :2]

    disentanglement.all_scores(encode, datasets.blobs(), ["mig"], repeats=1, progress=False)
    assert set(seen) == {1} and set(blas()) == {3}

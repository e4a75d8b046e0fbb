"""Promise: same seed, machine, backend and threads, same bits; other thread counts, the same step to rounding."""

import numpy as np
import pytest
from helpers import python, same

STEP = """
import sys
import numpy as np
from vae_from_scratch import VAE, Adam, fit
x = np.random.default_rng(0).uniform(size=(200, 784)).astype(np.float32)
model = VAE(784, hidden=(500,), latent_dim=20)
terms, grads = model.loss_and_grads(x[:100], *model.draw_noise(100, np.random.default_rng(1)))
fit(model, x, Adam(1e-3), epochs=1, progress=False)
arrays = {"grads/" + name: value for name, value in grads.items()} | {"params/" + k: v for k, v in model.params.items()}
np.savez(sys.argv[1], loss=terms.loss, **arrays)
"""


def step(path, threads):
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    python("-c", STEP, path, **dict.fromkeys(names, str(threads)))
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps")
    return {(threads, k): step(folder / f"{threads}-{k}.npz", threads) for threads, k in [(1, 0), (1, 1), (2, 0)]}


def test_another_process_gets_the_same_bits(steps):
    assert same(steps[1, 0], steps[1, 1])


def test_another_thread_count_gets_the_same_step_to_rounding(steps):
    one, other = steps[1, 0], steps[2, 0]
    assert abs(one["loss"] - other["loss"]) <= 1e-6 * abs(one["loss"])
    for name in one:
        if name.startswith("grads/"):  # relative to the largest entry of the array, as everywhere
            assert np.abs(one[name] - other[name]).max() <= 1e-5 * np.abs(one[name]).max(), name

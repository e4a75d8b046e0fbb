"""What a run costs before its first step, and what it costs in memory.

    OPENBLAS_NUM_THREADS=1 python tests/long/start.py       # under a minute

Prints seconds of CPU time (user and system, so that a busy machine does not matter), medians of 5 processes, and for
784-500-20 at batch 100 and 4096-1200-1200-10 at batch 64 (float32, Adam) page faults per step.
"""

import resource
import statistics
import subprocess
import sys
import tempfile

import numpy as np

from vae_from_scratch import VAE, Adam

JOB = """
import numpy as np
from vae_from_scratch import VAE, fit
fit(VAE(784), np.zeros((200, 784), np.float32), epochs=1, binarize="dynamic", progress=False)
"""


def cpu(code, cache=None):
    """Seconds of CPU time of a Python process that runs code, its compiled kernels kept in the folder cache."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    setting = f"import os; os.environ['NUMBA_CACHE_DIR'] = {cache!r}\n" if cache else ""
    subprocess.run([sys.executable, "-c", setting + code], check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def faults(data_dim, n, steps=20, **options):
    """Page faults per step of training, once warm."""
    model, rng, adam = VAE(data_dim, **options), np.random.default_rng(0), Adam()
    state, x, grads = adam.initial_state(model.params), rng.random((n, data_dim), np.float32), None
    for step in range(4 + steps):
        if step == 4:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        _, grads = model.loss_and_grads(x, *model.draw_noise(n, rng), out=grads)
        adam.step(model.params, grads, state, model.ops)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / steps


def main():
    with tempfile.TemporaryDirectory() as cache:
        print(f"the job below with nothing compiled yet: {cpu(JOB, cache):.2f} s")
        for name, code in {
            "import numpy": "import numpy",
            "import vae_from_scratch": "import vae_from_scratch",
            "from vae_from_scratch import VAE, fit, datasets": "from vae_from_scratch import VAE, fit, datasets",
            "build a VAE, train two steps, evaluate": JOB,
        }.items():
            print(f"{name}: {statistics.median(cpu(code, cache) for _ in range(5)):.2f} s")
    large = dict(hidden=(1200,) * 2, latent_dim=10, activation="relu", decoder_hidden=(1200,) * 3)
    print(f"page faults per step: {faults(784, 100):.1f} and {faults(4096, 64, **large):.1f}")


if __name__ == "__main__":
    main()

"""What looking for trouble costs in every step, and what one checkpoint costs.

    OPENBLAS_NUM_THREADS=1 python tests/long/costs.py       # under a minute

Prints medians over 200 steps of 100 examples in float32 with Adam, and over 20 checkpoints in a temporary folder.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from vae_from_scratch import VAE, Adam
from vae_from_scratch.engine.checkpoints import Keeper, Run


def clock(call):
    """Milliseconds that call() takes, and what it returns."""
    since = time.perf_counter()
    result = call()
    return 1000 * (time.perf_counter() - since), result


def main():
    for widths in ((784, 500, 20), (64, 128, 10)):
        model, optimizer, rng = VAE(widths[0], (widths[1],), widths[2]), Adam(), np.random.default_rng(0)
        run = Run(model, {"model": optimizer}, 1000, 100, 0)
        run.limit = 1e6
        keeper, times = Keeper(run, None, 60, {"epochs": 1}, False), []
        for _ in range(200):
            batch = rng.random((100, widths[0]), np.float32)
            forward, (terms, grads) = clock(lambda: model.loss_and_grads(batch, *model.draw_noise(100, rng)))
            look, _ = clock(lambda: (keeper.judge(batch, {"model": (terms, grads)}), keeper.after_step()))
            update, _ = clock(lambda: optimizer.step(model.params, grads, run.states["model"], model.ops))
            times.append((forward + update, look))
        step, look = np.median(times, axis=0)
        with tempfile.TemporaryDirectory() as folder:
            saves = [clock(lambda: run.save(folder, {"epochs": 1}))[0] for _ in range(20)]
            size = (Path(folder) / "checkpoint.npz").stat().st_size
        print(
            f"{'-'.join(map(str, widths))}: step {step:.2f} ms, looking {look:.3f} ms ({100 * look / step:.1f} %), "
            f"checkpoint of {size / 1e6:.1f} MB {np.median(saves):.0f} ms"
        )


if __name__ == "__main__":
    main()

"""Higgins et al. 2017, Figure 6: the dense network on dSprites, beta = 1 and 4.  Two hours.

Run: python examples/beta_dsprites.py             (--quick: seconds, 16 x 16 sprites and a small network)
"""

import numpy as np
from latents import Watch
from runner import options, train

from vae_from_scratch import Adam, BetaVAE, datasets

FULL = {"size": 64, "hidden": (1200, 1200), "decoder_hidden": (1200, 1200, 1200), "batch": 128, "look": 25_600, "watched": 2000}
QUICK = {"size": 16, "hidden": (32,), "decoder_hidden": (32,), "batch": 64, "look": 640, "watched": 500}


def run(beta, data, setting, options, seed=0):
    """Train one model, watching its latents every so many images; returns it and what was seen."""
    model = BetaVAE(
        data.data_dim, setting["hidden"], 10, "relu", beta=beta, seed=seed, decoder_hidden=setting["decoder_hidden"],
        decoder_activation="tanh",
    )  # fmt: skip
    x = data.subset(np.random.default_rng(0).permutation(len(data))[:2000]) if options.quick else data
    folder = options.out / f"beta-{beta:g}"
    folder.mkdir(exist_ok=True)
    watch = Watch(folder / "watch.csv", data, setting["watched"])
    marks = range(setting["look"], options.epochs * len(x) + 1, setting["look"])
    train(
        folder, model, x, Adam(lr=5e-4), setting["batch"], options.epochs, seed, watch.some, callback=watch,
        callback_at=list(marks), checkpoint_steps=500, progress=False,
    )  # fmt: skip
    return model, watch


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, betas="1,4", epochs=7)
    setting = QUICK if chosen.quick else FULL
    data = datasets.dsprites(size=setting["size"])
    for beta in map(float, chosen.betas.split(",")):
        run(beta, data, setting, chosen)


if __name__ == "__main__":
    main()

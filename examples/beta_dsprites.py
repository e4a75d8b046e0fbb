"""Higgins et al. 2017, Figure 6: the dense network on dSprites, beta = 1 and 4.  Two hours.

Run: python examples/beta_dsprites.py             (--quick: seconds, 16 x 16 sprites and a small network)
"""

import numpy as np
from runner import Results, options, train

from vae_from_scratch import Adam, BetaVAE, datasets, evaluation

FULL = {"size": 64, "hidden": (1200, 1200), "decoder_hidden": (1200, 1200, 1200), "batch": 512, "look": 51_200}
QUICK = {"size": 16, "hidden": (32,), "decoder_hidden": (32,), "batch": 64, "look": 640}


def run(beta, data, setting, options, seed=0):
    """Train one model, keeping the KL of its latents every so many images; returns it and those rows."""
    model = BetaVAE(
        data.data_dim, setting["hidden"], 10, "relu", beta=beta, seed=seed, decoder_hidden=setting["decoder_hidden"],
        decoder_activation="tanh",
    )  # fmt: skip
    x = data.subset(np.random.default_rng(0).permutation(len(data))[:2000]) if options.quick else data
    some = data.subset(np.random.default_rng(1).permutation(len(data))[:1000])  # the first ones are all squares
    folder = options.out / f"beta-{beta:g}"
    folder.mkdir(exist_ok=True)
    seen = Results(folder / "kl.csv", keys=("images",))

    def look(model, images):
        result = evaluation.evaluate(model, some, seed=seed)
        kls = {f"kl_{j}": kl for j, kl in enumerate(result.kl_per_latent)}
        seen.add(images=images, recon_nll=result.recon_nll, kl=result.kl, **kls)

    marks = range(setting["look"], options.epochs * len(x) + 1, setting["look"])
    train(
        folder, model, x, Adam(lr=5e-4), setting["batch"], options.epochs, seed, some, callback=look,
        callback_at=list(marks), checkpoint_steps=500, progress=False,
    )  # fmt: skip
    return model, seen.rows


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, betas="1,4", epochs=7)
    setting = QUICK if chosen.quick else FULL
    data = datasets.dsprites(size=setting["size"])
    for beta in map(float, chosen.betas.split(",")):
        run(beta, data, setting, chosen)


if __name__ == "__main__":
    main()

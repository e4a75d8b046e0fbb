"""Objectives that ask for independent latents, side by side on one blob at 16 x 16 places.  Under half a minute.

For each objective the exact parts of the KL over all 256 images (none of them an estimate from batches), what they cost
in reconstruction, and the two latents with the most KL by the place of the blob.  Three seeds each; the figure shows the last.
Run: python examples/disentangle.py                 (--quick: seconds, on 8 x 8 images)
"""

import numpy as np
from matplotlib.figure import Figure
from runner import Results, options, save_figure, train

from vae_from_scratch import DIPVAE, VAE, Adam, BetaTCVAE, BetaVAE, FactorVAE, datasets, disentanglement, evaluation, ops

OBJECTIVES = [  # name, model, its hyperparameters
    ("VAE", VAE, {}),
    ("beta-VAE", BetaVAE, {"beta": 8.0}),
    ("beta-TCVAE", BetaTCVAE, {"beta": 8.0}),
    ("FactorVAE", FactorVAE, {"gamma": 20.0}),
    ("DIP-VAE", DIPVAE, {"kind": "ii", "lambda_od": 50.0, "lambda_d": 50.0}),
]
SEEDS = (0, 1, 2)
FULL = {"size": 16, "hidden": (100, 100), "latents": 6, "epochs": 300}
QUICK = {"size": 8, "hidden": (20,), "latents": 3, "epochs": 30}
PARTS = ("mutual information", "total correlation", "dimension-wise KL")
COLOURS = ("#3f90da", "#bd1f01", "#94a4a2")  # of the parts
ROW, COLUMN = "#832db6", "#e76300"  # a line of places in one row of the image, or in one column


def draw(models, data, results):
    """Above, the means of q for all places, as a net whose lines are rows and columns; below, the parts and the distortion."""
    figure = Figure(figsize=(8.3, 4.2), layout="constrained")
    nets, bars = figure.subplots(2, len(models), height_ratios=(1.5, 1), squeeze=False)
    for name, net, bar in zip(models, nets, bars):
        model, seed = models[name]
        mu, logvar = model.encode(data[:])
        kl = ops.gaussian_kl_per_latent(mu, logvar).mean(axis=0)
        one, two = np.argsort(-kl)[:2]
        places = mu[:, [one, two]].reshape(*data.sizes, 2)
        for line in places:
            net.plot(*line.T, color=ROW, linewidth=0.8)
        for line in places.swapaxes(0, 1):
            net.plot(*line.T, color=COLUMN, linewidth=0.8)
        net.set(title=name, box_aspect=1, xlim=(-3, 3), ylim=(-3, 3), xticks=(-2, 0, 2), yticks=(-2, 0, 2))
        net.tick_params(labelleft=net is nets[0])
        net.set_xlabel(f"$\\mu$ of latent {one}", fontsize="small")
        net.set_ylabel(f"$\\mu$ of latent {two}", fontsize="small")
        (row,) = results.where(objective=name, seed=seed)
        values = [row[part] for part in PARTS]
        bar.barh(range(3), values, color=COLOURS)
        for k, value in enumerate(values):
            bar.text(value + 0.1, k, f"{value:.2f}", va="center", fontsize="small")
        labels = [part.replace(" ", "\n") for part in PARTS] if bar is bars[0] else []
        bar.set(xlim=(0, 6.5), xticks=(0, 2, 4, 6), xlabel="nats")
        bar.set_title(f"distortion {row['distortion']:.1f}", fontsize="small")
        bar.set_yticks(range(3), labels or [""] * 3, fontsize="small")
        bar.invert_yaxis()
        bar.spines[["top", "right"]].set_visible(False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments)
    setting = QUICK if chosen.quick else FULL
    data = datasets.blobs(size=setting["size"], positions=setting["size"], width=0.15)
    images = data[:]  # drawn once: they fit in memory
    results, models = Results(chosen.out / "results.csv", keys=("objective", "seed")), {}
    for name, model_class, prices in OBJECTIVES:
        for seed in SEEDS[: 1 if chosen.quick else None]:
            model = model_class(data.data_dim, setting["hidden"], setting["latents"], "relu", seed=seed, **prices)
            folder = chosen.out / f"{name}-{seed}"
            train(folder, model, images, Adam(lr=2e-3), 64, setting["epochs"], seed, progress=False)
            models[name] = model, seed
            seen = evaluation.evaluate(model, images, seed=seed, samples=10)
            split = disentanglement.kl_parts(*model.encode(images), np.random.default_rng(seed))
            parts = split.mutual_information, split.total_correlation, split.dimension_wise.sum()
            mig = disentanglement.mig_histogram(model.encode, data, np.random.default_rng(seed), points=None, progress=False)
            results.add(
                objective=name, seed=seed, distortion=seen.recon_nll, **dict(zip(PARTS, parts)), MIG=mig.score,
                active_units=seen.active_units,
            )  # fmt: skip
            print(
                f"{name}, seed {seed}: distortion {seen.recon_nll:.1f}, information {parts[0]:.2f},",
                f"total correlation {parts[1]:.3f}, dimension-wise KL {parts[2]:.2f} nats; MIG {mig.score:.2f}",
            )
    save_figure(draw(models, data, results), chosen.out / "disentangle.png")


if __name__ == "__main__":
    main()

"""Objectives that ask for independent latents, side by side on one blob at 16 x 16 places.  About a minute.

For each objective the exact parts of the KL over all 256 images (none of them an estimate from batches), what they cost
in reconstruction, and for one seed the two latents with the most KL by the place of the blob.  Five seeds each.
Run: python examples/disentangle.py                 (--quick: seconds, on 8 x 8 images; --jobs 2: two at a time)
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from runner import Results, folder_of, options, run_each, save_figure, summarize, train

from vae_from_scratch import DIPVAE, VAE, Adam, BetaTCVAE, BetaVAE, FactorVAE, datasets, disentanglement, evaluation, ops

OBJECTIVES = {  # name: model, its hyperparameters
    "VAE": (VAE, {}),
    "beta-VAE": (BetaVAE, {"beta": 8.0}),
    "beta-TCVAE": (BetaTCVAE, {"beta": 8.0}),
    "FactorVAE": (FactorVAE, {"gamma": 20.0}),
    "DIP-VAE": (DIPVAE, {"kind": "ii", "lambda_od": 50.0, "lambda_d": 50.0}),
}
SEEDS = (0, 1, 2, 3, 4)
FULL = {"size": 16, "hidden": (100, 100), "latents": 6, "epochs": 300}
QUICK = {"size": 8, "hidden": (20,), "latents": 3, "epochs": 30}
PARTS = ("mutual information", "total correlation", "dimension-wise KL")
COLOURS = ("#3f90da", "#bd1f01", "#94a4a2")  # of the parts
ROW, COLUMN = "#832db6", "#e76300"  # a line of places in one row of the image, or in one column


def learn(folder, objective, seed, how):
    """The data, their images, the trained model, and the processor's seconds that it took."""
    data = datasets.blobs(size=how["size"], positions=how["size"], width=0.15)
    images = data[:]  # drawn once: they fit in memory
    model_class, prices = OBJECTIVES[objective]
    model = model_class(data.data_dim, how["hidden"], how["latents"], "relu", seed=seed, **prices)
    history = train(folder, model, images, Adam(lr=2e-3), 64, how["epochs"], seed, progress=False)
    return data, images, model, history["cpu_seconds"][-1]


def measure(folder, objective, seed, how):
    """Train one model.  Its row: the parts of the KL over all images, what they cost, and the MIG."""
    data, images, model, seconds = learn(folder, objective, seed, how)
    seen = evaluation.evaluate(model, images, seed=seed, samples=10)
    split = disentanglement.kl_parts(*model.encode(images), np.random.default_rng(seed))
    parts = split.mutual_information, split.total_correlation, split.dimension_wise.sum()
    mig = disentanglement.mig_histogram(model.encode, data, np.random.default_rng(seed), points=None, progress=False)
    row = {"distortion": seen.recon_nll, **dict(zip(PARTS, parts)), "MIG": mig.score, "active_units": seen.active_units}
    return [row | {"cpu_seconds": seconds}]


def draw(models, data, results):
    """Above, the means of q for all places, as a net whose lines are rows and columns; below, the parts, a dot for each seed."""
    figure = Figure(figsize=(8.3, 4.2), layout="constrained")
    nets, bars = figure.subplots(2, len(models), height_ratios=(1.5, 1), squeeze=False)
    for (name, model), net, bar in zip(models.items(), nets, bars):
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
        rows = results.finished(objective=name)
        values = np.array([[row[part] for part in PARTS] for row in rows])
        bar.barh(range(3), values.mean(axis=0), color=COLOURS, alpha=0.6)
        for k, of_seeds in enumerate(values.T):
            bar.plot(of_seeds, np.full(len(of_seeds), k), "o", color=COLOURS[k], markersize=3, clip_on=False)
            bar.text(of_seeds.max() + 0.25, k, f"{of_seeds.mean():.2f}", va="center", fontsize="small")
        labels = [part.replace(" ", "\n") for part in PARTS] if bar is bars[0] else []
        bar.set(xlim=(0, 6.5), xticks=(0, 2, 4, 6), xlabel="nats")
        bar.set_title(f"distortion {np.mean([row['distortion'] for row in rows]):.1f}", fontsize="small")
        bar.set_yticks(range(3), labels or [""] * 3, fontsize="small")
        bar.invert_yaxis()
        bar.spines[["top", "right"]].set_visible(False)
    lines = [nets[0].lines[0], nets[0].lines[-1]]
    figure.legend(lines, ["blob in one row", "blob in one column"], loc="outside upper center", ncols=2, frameon=False, fontsize="small")
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, jobs=1, seeds=SEEDS)
    how = QUICK if chosen.quick else FULL
    settings = [{"objective": name, "seed": seed} for name in OBJECTIVES for seed in chosen.seeds]
    results = Results(chosen.out / "results.csv", keys=("objective", "seed"))
    run_each(partial(measure, how=how), settings, results, chosen.jobs)
    summarize(results.rows, ["objective"], ["distortion", *PARTS, "MIG", "active_units"])
    shown = {}
    for name in OBJECTIVES:
        one = {"objective": name, "seed": chosen.seeds[-1]}
        data, _, shown[name], _ = learn(folder_of(results, one), **one, how=how)
    save_figure(draw(shown, data, results), chosen.out / "disentangle.png")


if __name__ == "__main__":
    main()

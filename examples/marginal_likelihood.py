"""Kingma and Welling 2013, Figure 3: log p(x) of MNIST with three latents, for 1,000 and 50,000 images.  About three hours.

784-100-3-100-784, tanh, the rest as in Figure 2 (kingma_welling_2013.py), to 6 * 10^7 samples: each of the paper's three
steps, from both readings of its start, on images drawn anew for every batch; and one run on grey images and one on
images drawn once, either of which the paper may have used.  log p(x) by importance sampling, which errs downward; the
paper's estimator errs upward (derivations/12-log-likelihood.md, IS.10).
Run: python examples/marginal_likelihood.py           (--quick: bundled digits, seconds; --jobs 2: two at a time)
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from runner import RESULTS, Results, options, read, run_each, save_figure, summarize, train

from vae_from_scratch import VAE, Adagrad, datasets, evaluation, plots

STEPS, SEEDS, BATCH = (0.02, 0.1, 0.01), (0,), 100
SDS = (0.01, 0.1)  # of the first parameters: the 0.01 of N(0, 0.01) as a standard deviation, and as a variance
MNIST_IMAGES = 50_000  # for which the paper's end points are in published.csv
FULL = {
    "data": "mnist", "hidden": 100, "images": (MNIST_IMAGES, 1000), "looked_at": 2000, "draws": 500, "last_draws": 5000,
    "marks": [m * 10**6 for m in (1, 2, 3, 5, 10, 20, 30, 40, 50, 60)], "many": 10_000,
}  # fmt: skip
QUICK = FULL | {
    "data": "digits", "hidden": 20, "images": (1000, 100), "looked_at": 50, "draws": 10, "last_draws": 20,
    "marks": [1000, 2000], "many": 100,
}  # fmt: skip


def drawn_once(data, rng):
    """Binary images, each pixel drawn once with its grey value as the probability."""
    grey = data[:]
    return datasets.Dataset(data.name, (rng.random(grey.shape) < grey).astype(np.uint8), data.image_shape, binary=True)


def measure(folder, images, binarize, lr, sd, seed, how):
    """Train one model, its first parameters of standard deviation sd.  Its rows: log p(x) of test and training images at every mark.

    At the last mark from more draws; and there once more of the first thousand images, as in the paper, and of many.
    """
    train_x, test_x = datasets.load(how["data"]).subset(slice(images)), datasets.load(how["data"], "test")
    if binarize == "once":
        train_x, test_x = drawn_once(train_x, rng := np.random.default_rng(seed)), drawn_once(test_x, rng)
    some, test_some = train_x.subset(slice(how["looked_at"])), test_x.subset(slice(how["looked_at"]))
    many = {"test": test_x.subset(slice(how["many"])), "train": train_x.subset(slice(how["many"]))}
    model = VAE(train_x.data_dim, (how["hidden"],), 3, seed=seed, init="normal")
    model.params.vector *= sd / 0.01  # "normal" has 0.01
    curve = Results(folder / "curve.csv", keys=("samples",))

    def look(model, seen):
        last = seen == how["marks"][-1]
        draws = how["last_draws" if last else "draws"]
        log_p = partial(evaluation.log_likelihood, model, samples=draws, seed=seed, progress=False)
        binarised = log_p(x=test_some, binarize="dynamic").bound.mean
        test = log_p(x=test_some)
        row = {"test": test.bound.mean, "train": log_p(x=some).bound.mean, "test_binarised": binarised, "elbo": test.elbo.mean}
        for split, x in many.items() if last else ():
            each = log_p(x=x, samples=how["draws"]).bound.each
            row |= {f"{split}_1000": each[:1000].mean(), f"{split}_many": each.mean()}
        curve.add(samples=seen, **row, effective=np.median(test.effective_samples), error=test.bound.standard_error)

    history = train(
        folder, model, train_x, Adagrad(lr=lr), BATCH, -(-how["marks"][-1] // images), seed, weight_decay=True,
        binarize="dynamic" if binarize == "dynamic" else "none", x_valid=test_x.subset(slice(10)),
        callback=look, callback_at=how["marks"], progress=False,
    )  # fmt: skip
    return [*curve.rows[:-1], curve.rows[-1] | {"cpu_minutes": history["cpu_seconds"][-1] / 60}]


def draw(results):
    """log p(x) against the samples seen: a row of panels for each start, one for each number of images, a colour for each step."""
    sizes, starts = (sorted({row[name] for row in results.rows}) for name in ("images", "sd"))
    figure = Figure(figsize=(2.2 + 3.3 * len(sizes), 0.8 + 3 * len(starts)), layout="constrained")
    panels = figure.subplots(len(starts), len(sizes), sharex=True, sharey=True, squeeze=False)
    theirs = [row for row in read(RESULTS / "published.csv") if row["quantity"] == "log p(x)"]
    for (sd, images), ax in zip([(sd, images) for sd in starts for images in sizes], panels.flat):
        for lr, colour in zip(sorted(STEPS), plots.COLOURS):
            rows = results.finished(images=images, binarize="dynamic", lr=lr, sd=sd)
            for seed in {row["seed"] for row in rows}:
                mine = [row for row in rows if row["seed"] == seed]
                for split, line in (("test", "-"), ("train", ":")):
                    label = f"step {lr}, {split}" if seed == rows[0]["seed"] else None
                    ax.plot([row["samples"] for row in mine], [row[split] for row in mine], line, color=colour, label=label)
        for row in theirs if images == MNIST_IMAGES else []:
            marker = {"test": "o", "train": "x"}[row["split"]]
            ax.plot(row["samples"], row["value"], marker, color="black", label=f"the paper, {row['split']}")
        ax.set(xscale="log", title=f"{images:,} training images,\nstandard deviation {sd} at the start")
    for ax in panels[:, 0]:
        ax.set(ylabel="log p(x), nats per image")
    for ax in panels[-1]:
        ax.set(xlabel="training samples seen")
    figure.legend(*panels[0, -1].get_legend_handles_labels(), frameon=False, loc="outside right center")
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, jobs=1, seeds=SEEDS)
    how = QUICK if chosen.quick else FULL
    results = Results(chosen.out / "results.csv", keys=("images", "binarize", "lr", "sd", "seed", "samples"))
    names, (many, _) = ("images", "binarize", "lr", "sd"), how["images"]
    kinds = [(n, "dynamic", lr, sd) for sd in SDS for n in how["images"] for lr in STEPS]
    kinds += [(many, "none", STEPS[0], SDS[0]), (many, "once", STEPS[-1], SDS[0])]
    settings = [dict(zip(names, kind)) | {"seed": seed} for seed in chosen.seeds for kind in kinds]
    run_each(partial(measure, how=how), settings, results, chosen.jobs)
    summarize(results.rows, ["images", "binarize", "lr", "sd", "samples"], ["test", "train", "test_binarised"])
    save_figure(draw(results), chosen.out / "marginal_likelihood.png")


if __name__ == "__main__":
    main()

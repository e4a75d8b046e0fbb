"""Kingma and Welling 2013, Figures 2, 4 and 5: MNIST and Frey faces to 10^7 training samples.  About an hour.

The lower bound on test and training images against the number of samples seen, beside the vertices of the paper's
curves; the manifolds of two latents; samples from 2, 5, 10 and 20.  The paper's setting where it states one, README.md
says what it leaves open.
Run: python examples/kingma_welling_2013.py                 (or --data mnist, 40 minutes, or --data frey, 15)
     python examples/kingma_welling_2013.py --quick         (bundled digits and drawn blobs instead, seconds)
"""

from statistics import NormalDist

import numpy as np
from matplotlib.figure import Figure
from runner import RESULTS, Results, options, read, save_figure, train

from vae_from_scratch import VAE, Adagrad, Gaussian, datasets, evaluation, plots

MNIST = {"hidden": (500,), "likelihood": "bernoulli"}
FREY = {"hidden": (200,), "likelihood": Gaussian(sigma="per-pixel", mean="sigmoid")}
MOST, PICTURES, OTHERS = 10**7, 5 * 10**6, 10**6  # samples: for curves; for Figures 4 and 5; for other seeds and steps
BATCH = 100
MARKS = sorted(int(m) * 10**k for m in (1, 2, 3, 5, 7) for k in (5, 6, 7) if m * 10**k <= MOST)  # samples seen
DRAWN = ((3, 0.1), (20, 0.02), (10, 0.02))  # MNIST's curves: latents, Adagrad's step, one of the paper's three
FURTHER = ((20, 0.01), (3, 0.02))  # on the paper's other side
RUNS = {  # data: (latents, step, seed, samples); the first of each number of latents is drawn
    "mnist": [(latents, lr, 0, MOST) for latents, lr in DRAWN]
    + [(latents, lr, seed, OTHERS) for latents, lr in DRAWN for seed in (1, 2)]
    + [(2, 0.02, 0, PICTURES), (5, 0.02, 0, PICTURES)]
    + [(latents, lr, 0, MOST) for latents, lr in FURTHER]
    + [(latents, lr, 0, OTHERS) for latents in (20, 10, 3) for lr in (0.01, 0.02, 0.1)
       if (latents, lr) not in DRAWN + FURTHER],
    "frey": [(20, 0.01, 0, MOST), (10, 0.01, 0, MOST), (2, 0.01, 0, MOST), (20, 0.02, 0, OTHERS)],
}  # fmt: skip
SHOWN = {"mnist": (3, 10, 20), "frey": (2, 10, 20)}  # in Figure 2
QUICK = {"mnist": "digits", "frey": "blobs"}


def load(name, quick):
    """The training images, those to evaluate the training curve on, the test images."""
    if quick:
        train_x = datasets.load(QUICK[name])
        return train_x, train_x, datasets.load(QUICK[name], "test")
    train_x = datasets.load(name)
    if name == "mnist":
        train_x = train_x.subset(slice(50_000))  # the last 10,000 are left for validation, as was usual
    return train_x, train_x.subset(slice(10_000)), datasets.load(name, "test")


def run(name, latents, lr, seed, samples, results, chosen):
    """One curve, added to results at every mark; returns the trained model."""
    train_x, train_some, test_x = load(name, chosen.quick)
    setting = (MNIST if name == "mnist" else FREY) | ({"hidden": (20,)} if chosen.quick else {})
    marks = [1000, 3000] if chosen.quick else [mark for mark in MARKS if mark <= samples]
    model = VAE(train_x.data_dim, latent_dim=latents, seed=seed, init="normal", **setting)

    def look(model, seen):
        row = {"data": name, "latents": latents, "lr": lr, "seed": seed, "samples": seen}
        for split, x in {"test": test_x, "train": train_some}.items():
            row[split] = evaluation.evaluate(model, x, seed=seed).elbo  # the images as they are, grey
        if name == "mnist":
            row["test_binarised"] = evaluation.evaluate(model, test_x, binarize="dynamic", seed=seed).elbo
        results.add(**row)
        who = f"{name}, {latents} latents, step {lr}, seed {seed}"
        print(f"{who}: {seen} samples, test bound {row['test']:.2f} nats", flush=True)

    history = train(
        chosen.out / f"{name}-{latents}-{lr}-{seed}", model, train_x, Adagrad(lr=lr), BATCH,
        -(-marks[-1] // len(train_x)), seed, binarize="dynamic" if name == "mnist" else "none", weight_decay=True,
        callback=look, callback_at=marks,
        x_valid=test_x.subset(slice(100)) if name == "frey" else None,  # not much to look at after each of 6,362 epochs
        progress=False,
    )  # fmt: skip
    (last,) = results.where(data=name, latents=latents, lr=lr, seed=seed, samples=marks[-1])
    results.add(**last | {"minutes": history["seconds"][-1] / 60})
    return model


def figure_2(results, name):
    """The curves of one seed, the paper's vertices beside them."""
    published, drawn = read(RESULTS / "published.csv"), {latents: lr for latents, lr, *_ in reversed(RUNS[name])}
    figure = Figure(figsize=(8.3, 3.4), layout="constrained")
    for ax, latents in zip(figure.subplots(1, 3, sharey=True), SHOWN[name]):
        for split, colour, marker in (("train", plots.TRAIN, "x"), ("test", plots.VALID, "o")):
            ours = [row for row in results.where(data=name, latents=latents, seed=0) if row["lr"] == drawn[latents]]
            ax.plot(*([row[key] for row in ours] for key in ("samples", split)), color=colour, label=f"{split}, ours")
            theirs = [r for r in published if (r["data"], r["latent_dim"], r["split"]) == (name, latents, split)]
            ax.plot(
                *([row[key] for row in theirs] for key in ("samples", "value")), marker, color=colour,
                markerfacecolor="none", label=f"{split}, the paper's",
            )  # fmt: skip
        ax.set(xscale="log", xlabel="training samples seen", title=f"{name}, {latents} latents")
    figure.axes[0].set(ylabel="lower bound, nats per image")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=4)
    return figure


def figure_4(model, image_shape, steps):
    """E[x|z] over the unit square, mapped to z by the inverse of the normal distribution function: equal prior mass."""
    ticks = [NormalDist().inv_cdf((k + 0.5) / steps) for k in range(steps)]
    rows = [model.decode(np.array([(z0, z1) for z0 in ticks])) for z1 in ticks[::-1]]
    return plots.image_grid(rows, image_shape, title="E[x|z] over the prior's quantiles", cell=5.6 / steps)


def figure_5(models, image_shape):
    """A hundred samples for each number of latents."""
    figure = Figure(figsize=(6.2, 3.3 * ((len(models) + 1) // 2)), layout="constrained")
    for ax, (latents, model) in zip(figure.subplots((len(models) + 1) // 2, 2).ravel(), sorted(models.items())):
        images = model.sample(100, np.random.default_rng(0))
        plots.show_grid(ax, images.reshape(10, 10, -1), image_shape)
        ax.set_title(f"{latents} latents")
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, data="mnist,frey")
    results = Results(chosen.out / "results.csv", keys=("data", "latents", "lr", "seed", "samples"))
    for name in chosen.data.split(","):
        image_shape = load(name, chosen.quick)[0].image_shape
        models = {}
        for latents, lr, seed, samples in RUNS[name]:
            if chosen.quick and latents in models:
                continue
            try:
                model = run(name, latents, lr, seed, samples, results, chosen)
            except FloatingPointError as error:  # what a step of 0.1 does to 5 latents or more
                print(f"{name}, {latents} latents, step {lr}, seed {seed}: {error}", flush=True)
            else:
                models.setdefault(latents, model)
        save_figure(figure_2(results, name), chosen.out / f"{name}_figure_2.png")
        steps = {"mnist": 15, "frey": 10}[name]
        save_figure(figure_4(models[2], image_shape, steps), chosen.out / f"{name}_figure_4.png")
        if name == "mnist":
            four = {latents: models[latents] for latents in (2, 5, 10, 20)}
            save_figure(figure_5(four, image_shape), chosen.out / "mnist_figure_5.png")


if __name__ == "__main__":
    main()

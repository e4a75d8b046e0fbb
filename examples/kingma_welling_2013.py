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
LR = {"mnist": 0.02, "frey": 0.02}  # the paper: one of 0.01, 0.02, 0.1
MOST, SEEDS_TO, BATCH = 10**7, 10**6, 100
MARKS = sorted(int(m) * 10**k for m in (1, 2, 3, 5, 7) for k in (5, 6, 7) if m * 10**k <= MOST)  # samples seen
RUNS = {  # data: (latents, seed, samples), the most wanted first
    "mnist": [(20, 0, MOST), (10, 0, MOST), (3, 0, MOST), (2, 0, MOST), (5, 0, MOST)]
    + [(latents, seed, SEEDS_TO) for latents in (20, 10, 3) for seed in (1, 2)],
    "frey": [(20, 0, MOST), (10, 0, MOST), (2, 0, MOST)],
}
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


def run(name, latents, seed, samples, results, options):
    """One curve, added to results at every mark; returns the trained model."""
    train_x, train_some, test_x = load(name, options.quick)
    setting = (MNIST if name == "mnist" else FREY) | ({"hidden": (20,)} if options.quick else {})
    marks = [1000, 3000] if options.quick else [mark for mark in MARKS if mark <= samples]
    model = VAE(train_x.data_dim, latent_dim=latents, seed=seed, init="normal", **setting)

    def look(model, seen, **more):
        row = {"data": name, "latents": latents, "seed": seed, "samples": seen}
        for split, x in {"test": test_x, "train": train_some}.items():
            row[split] = evaluation.evaluate(model, x, seed=seed).elbo  # the images as they are, grey
        if name == "mnist":
            row["test_binarised"] = evaluation.evaluate(model, test_x, binarize="dynamic", seed=seed).elbo
        results.add(**row, **more)
        print(f"{name}, {latents} latents, seed {seed}: {seen} samples, test bound {row['test']:.2f} nats", flush=True)

    history = train(
        options.out / f"{name}-{latents}-{seed}", model, train_x, Adagrad(lr=LR[name]), BATCH, -(-marks[-1] // len(train_x)),
        seed, binarize="dynamic" if name == "mnist" else "none", weight_decay=True, callback=look, callback_at=marks,
        progress=False,
    )  # fmt: skip
    (last,) = results.where(data=name, latents=latents, seed=seed, samples=marks[-1])
    results.add(**last | {"minutes": history["seconds"][-1] / 60})
    return model


def figure_2(results, name):
    """The curves of one seed, the paper's vertices beside them."""
    published = read(RESULTS / "published.csv")
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for ax, latents in zip(figure.subplots(1, 3, sharey=True), SHOWN[name]):
        for split, colour, marker in (("train", plots.TRAIN, "x"), ("test", plots.VALID, "o")):
            ours = sorted(results.where(data=name, latents=latents, seed=0), key=lambda row: row["samples"])
            ax.plot(*([row[key] for row in ours] for key in ("samples", split)), color=colour, label=f"{split}, ours")
            theirs = [r for r in published if (r["data"], r["latent_dim"], r["split"]) == (name, latents, split)]
            ax.plot(
                *([row[key] for row in theirs] for key in ("samples", "value")), marker, color=colour,
                markerfacecolor="none", label=f"{split}, the paper's",
            )  # fmt: skip
        ax.set(xscale="log", xlabel="training samples seen", title=f"{name}, {latents} latents")
    figure.axes[0].set(ylabel="lower bound, nats per image")
    figure.axes[0].legend(frameon=False, loc="lower right")
    return figure


def figure_4(model, image_shape, name, steps=20):
    """E[x|z] over the unit square, mapped to z by the inverse of the normal distribution function: equal prior mass."""
    ticks = [NormalDist().inv_cdf((k + 0.5) / steps) for k in range(steps)]
    rows = [model.decode(np.array([(z0, z1) for z0 in ticks])) for z1 in ticks[::-1]]
    title = f"{name}: E[x|z], equal steps of prior probability in z0 (right) and z1 (up)"
    return plots.image_grid(rows, image_shape, title=title, cell=0.4)


def figure_5(models, image_shape):
    """A hundred samples for each number of latents."""
    figure = Figure(figsize=(10, 2.9), layout="constrained")
    for ax, (latents, model) in zip(figure.subplots(1, len(models)), sorted(models.items())):
        images = model.sample(100, np.random.default_rng(0))
        plots.show_grid(ax, images.reshape(10, 10, -1), image_shape)
        ax.set_title(f"{latents} latents")
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, data="mnist,frey")
    results = Results(chosen.out / "results.csv", keys=("data", "latents", "seed", "samples"))
    for name in chosen.data.split(","):
        image_shape = load(name, chosen.quick)[0].image_shape
        models = {}
        for latents, seed, samples in RUNS[name]:
            model = run(name, latents, seed, samples, results, chosen)
            if seed == 0:
                models[latents] = model
        save_figure(figure_2(results, name), chosen.out / f"{name}_figure_2.png")
        save_figure(figure_4(models[2], image_shape, name), chosen.out / f"{name}_figure_4.png")
        if name == "mnist":
            four = {latents: models[latents] for latents in (2, 5, 10, 20)}
            save_figure(figure_5(four, image_shape), chosen.out / "mnist_figure_5.png")


if __name__ == "__main__":
    main()

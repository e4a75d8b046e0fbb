"""Kingma and Welling 2013, Figures 2, 4 and 5: MNIST and Frey faces to 10^7 training samples and beyond.  About eight hours.

The lower bound on test and training images against the number of samples seen, beside the vertices of the paper's
curves; the manifolds of two latents; samples from 2, 5, 10 and 20.  The paper's setting where it states one, README.md
says what it leaves open.
Run: python examples/kingma_welling_2013.py                 (or --data mnist, or --data frey; --seeds 0: three hours)
     python examples/kingma_welling_2013.py --quick         (bundled digits and drawn blobs instead, seconds)
"""

from functools import partial
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from runner import RESULTS, Results, folder_of, options, read, run_each, save_figure, train

from vae_from_scratch import VAE, Adagrad, Gaussian, datasets, evaluation, plots

MNIST = {"hidden": (500,), "likelihood": "bernoulli"}
FREY = {"hidden": (200,), "likelihood": Gaussian(sigma="per-pixel", mean="sigmoid")}
MOST, PICTURES, OTHERS = 10**7, 5 * 10**6, 10**6  # samples: for curves; for Figures 4 and 5; for other seeds and steps
LONG = 5 * 10**7  # of Frey faces: for one seed, with 20 latents for three
BATCH = 100
MARKS = [m * 10**k for k in (3, 5, 6, 7) for m in (1, 2, 3, 5, 7)]  # samples seen; the curves are measured there
SHOWN = {"mnist": (3, 10, 20), "frey": (2, 10, 20)}  # in Figure 2
STEP = {"mnist": 0.02, "frey": 0.01}  # of the paper's 0.01, 0.02 and 0.1; README.md says why
SMALL = {"mnist": 100.0, "frey": 3e4}  # where Adagrad's sums start for small steps at first; README.md says how they were found
SEEDS = (0, 1, 2, 3, 4)


class Run(NamedTuple):
    """One curve; data frey-end tests on the last fifth of the film.

    initial: where Adagrad's sums of squares start; sd: the standard deviation of the first parameters.
    """

    data: str
    latents: int
    lr: float
    initial: float = 0.0
    seed: int = 0
    samples: int = MOST
    sd: float = 0.1


def runs(data, seeds=SEEDS):
    """Every run of one data set, those that the figures need first."""
    first = [Run(data, latents, STEP[data], seed=seeds[0]) for latents in SHOWN[data][::-1]]
    if data == "mnist":
        pictures = [Run(data, latents, STEP[data], seed=seeds[0], samples=PICTURES) for latents in (2, 5)]
        more = [run._replace(seed=seed) for seed in seeds[1:] for run in first]
        smaller = [run._replace(lr=0.01) for run in first]
        too_large = [run._replace(lr=0.1, seed=seed, samples=OTHERS) for run in first for seed in seeds[:2]]
        narrow = [Run(data, latents, 0.02, seed=seed, sd=0.01) for seed in seeds for latents in SHOWN[data]]
        narrow += [Run(data, 3, 0.01, seed=seed, sd=0.01) for seed in seeds]
        narrow += [run._replace(lr=0.1, seed=seed, samples=OTHERS, sd=0.01) for run in first for seed in seeds]
        narrow += [Run(data, 3, 0.1, 1.0, seed, sd=0.01) for seed in seeds[:3]]
        small = [first[0]._replace(initial=SMALL[data])]
        return first + pictures + more + smaller + too_large + narrow + small
    more = [run._replace(seed=seed) for seed in seeds[1:3] for run in first]
    larger = [first[0]._replace(lr=lr, samples=OTHERS) for lr in (0.02, 0.1)]
    arms = [(data, 0.0), (data, 0.1), ("frey-end", 0.0)]
    narrow = [Run(split, 20, STEP[data], start, seed, sd=0.01) for seed in seeds[:3] for split, start in arms]
    narrow += [run._replace(seed=seed, sd=0.01) for seed in seeds[:3] for run in first[1:]]
    longer = [run._replace(samples=LONG) for run in [*first, *(first[0]._replace(seed=seed) for seed in seeds[1:3])]]
    small = [run._replace(initial=SMALL[data], seed=seed) for seed in seeds[:3] for run in first]
    return first + more + larger + narrow + longer + small


QUICK = {"mnist": "digits", "frey": "blobs", "frey-end": "blobs"}


def load(name, quick):
    """The training images, those to evaluate the training curve on, the test images."""
    if quick:
        train_x = datasets.load(QUICK[name])
        return train_x, train_x, datasets.load(QUICK[name], "test")
    if name == "frey-end":
        return datasets.frey(seed=None), datasets.frey(seed=None), datasets.frey("test", seed=None)
    train_x = datasets.load(name)
    if name == "mnist":
        train_x = train_x.subset(slice(50_000))  # the last 10,000 are left for validation, as was usual
    return train_x, train_x.subset(slice(10_000)), datasets.load(name, "test")


def learn(folder, data, latents, lr, initial, seed, samples, sd, quick):
    """Train to so many samples: the model, the rows of its curve, one at every mark, and the processor's seconds."""
    train_x, train_some, test_x = load(data, quick)
    mnist = data == "mnist"
    setting = (MNIST if mnist else FREY) | ({"hidden": (20,)} if quick else {})
    model = VAE(train_x.data_dim, latent_dim=latents, seed=seed, init="normal", **setting)
    model.params.vector *= sd / 0.01  # "normal" has 0.01
    curve = Results(folder / "curve.csv", keys=("samples",))

    def look(model, seen):
        row = {"samples": seen}
        for split, x in {"test": test_x, "train": train_some}.items():
            row[split] = evaluation.evaluate(model, x, seed=seed).elbo  # the images as they are, grey
        if mnist:
            row["test_binarised"] = evaluation.evaluate(model, test_x, binarize="dynamic", seed=seed).elbo
        curve.add(**row)

    history = train(
        folder, model, train_x, Adagrad(lr=lr, initial=initial), BATCH, -(-samples // len(train_x)), seed,
        binarize="dynamic" if mnist else "none", weight_decay=True, callback=look,
        callback_at=[mark for mark in MARKS if (quick or mark >= 10**5) and mark <= samples],
        x_valid=None if mnist else test_x.subset(slice(100)),  # not much to look at after each of 6,362 epochs
        progress=False,
    )  # fmt: skip
    return model, curve.rows, history["cpu_seconds"][-1]


def measure(folder, quick, **run):
    """The rows of one curve; the last says what it took."""
    _, rows, seconds = learn(folder, **run, quick=quick)
    rows = [row for row in rows if run["samples"] <= MOST or row["samples"] > MOST]  # a shorter run has the others
    return [*rows[:-1], rows[-1] | {"cpu_minutes": seconds / 60}]


def figure_2(results, name):
    """The curves of every seed, thin, and their mean, dashed if with small steps at first; the paper's vertices beside them."""
    published = read(RESULTS / "published.csv")
    figure = Figure(figsize=(8.3, 3.4), layout="constrained")
    for ax, latents in zip(figure.subplots(1, 3, sharey=True), SHOWN[name]):
        for split, colour, marker in (("train", plots.TRAIN, "x"), ("test", plots.VALID, "o")):
            for initial, style, words in ((0, "-", "ours"), (SMALL[name], "--", "small steps at first")):
                curves = {}
                for row in results.finished(data=name, latents=latents, lr=STEP[name], initial=initial, sd=0.1):
                    curves.setdefault(row["seed"], {})[row["samples"]] = row[split]
                for curve in curves.values():
                    ax.plot(*zip(*sorted(curve.items())), style, color=colour, linewidth=0.5, alpha=0.6)
                if curves:
                    marks = sorted(set.intersection(*map(set, curves.values())))
                    mean = [sum(curve[mark] for curve in curves.values()) / len(curves) for mark in marks]
                    ax.plot(marks, mean, style, color=colour, linewidth=1.5 if initial == 0 else 1, label=f"{split}, {words}")
            this = {"data": name, "latent_dim": latents, "split": split, "quantity": "bound"}
            theirs = [row for row in published if this.items() <= row.items()]
            ax.plot(
                *([row[key] for row in theirs] for key in ("samples", "value")), marker, color=colour,
                markerfacecolor="none", label=f"{split}, the paper's",
            )  # fmt: skip
        ax.set(xscale="log", xlabel="training samples seen", title=f"{name}, {latents} latents")
    figure.axes[0].set(ylabel="lower bound, nats per image")
    figure.legend(*figure.axes[-1].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
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
    chosen = options(__file__, __doc__, arguments, data="mnist,frey", jobs=1, seeds=SEEDS)
    results = Results(chosen.out / "results.csv", keys=Run._fields)
    for name in chosen.data.split(","):
        asked = runs(name, chosen.seeds)
        if chosen.quick:
            asked = [run._replace(samples=3000) for run in asked[:5]]
        run_each(partial(measure, quick=chosen.quick), [run._asdict() for run in asked], results, chosen.jobs)
        models = {}
        for run in asked[:5]:
            if run.latents not in models:
                models[run.latents], *_ = learn(folder_of(results, run._asdict()), **run._asdict(), quick=chosen.quick)
        image_shape = load(name, chosen.quick)[0].image_shape
        save_figure(figure_2(results, name), chosen.out / f"{name}_figure_2.png")
        steps = {"mnist": 15, "frey": 10}[name]
        save_figure(figure_4(models[2], image_shape, steps), chosen.out / f"{name}_figure_4.png")
        if name == "mnist":
            four = {latents: models[latents] for latents in (2, 5, 10, 20)}
            save_figure(figure_5(four, image_shape), chosen.out / "mnist_figure_5.png")


if __name__ == "__main__":
    main()

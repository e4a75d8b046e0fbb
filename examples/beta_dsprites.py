"""Higgins et al. 2017, Figure 6: the dense network on all of dSprites, beta = 1 and 4, trained and scored.  About two hours.

The network of the paper (ReLU 4096-1200-1200-10, tanh 10-1200-1200-1200-4096, Bernoulli), Adam 5e-4, batches of 128 (the
paper: Adagrad 0.01 until convergence), four epochs: beta = 1; beta = 4; and a third network, beta = 1 for two epochs, then 4
for one.  Then the scores (one draw after every epoch, three at the end) of these, of the untrained network, and for the
first seed of PCA, a random projection and raw pixels (one draw); traversals, the KL of each latent during training, and
the factors it follows.
Run: python examples/beta_dsprites.py             (--seeds 0-4 --jobs 2: five networks each, two at a time, five hours)
     python examples/beta_dsprites.py --quick     (seconds, few sprites of 16 x 16 and a small network)
"""

from functools import partial

import numpy as np
from latents import Watch
from matplotlib.figure import Figure
from runner import Results, curves, folder_of, options, run_each, save_figure, seeds_and_mean, summarize, train

from vae_from_scratch import Adagrad, Adam, BetaVAE, datasets, ops, plots
from vae_from_scratch.engine import files
from vae_from_scratch.datasets.factors import FactorDataset
from vae_from_scratch.disentanglement import (
    baselines, beta_vae_scores, encode_all, factor_vae_score, mig_chen, mig_histogram
)  # fmt: skip
from vae_from_scratch.disentanglement.beta_vae import linear_classifier
from vae_from_scratch.disentanglement.explicitness import classifier as penalised

SEEDS = (0,)
RAISED_AFTER = 2  # epochs of the third network at beta = 1
PUBLISHED = {"raw pixels": 0.4575, "PCA": 0.849, "untrained": 0.4414, "beta = 1": 0.6158, "beta = 4": 0.9923}  # Figure 6
FULL = {
    "size": 64, "hidden": (1200, 1200), "decoder_hidden": (1200, 1200, 1200), "batch": 128, "look": 25_600,
    "watched": 2000, "points": 10_000, "votes": 800, "draws": 3, "quick": False,
}  # fmt: skip
QUICK = {
    "size": 16, "hidden": (32,), "decoder_hidden": (32,), "batch": 64, "look": 1900, "watched": 500, "points": 100,
    "votes": 50, "draws": 1, "quick": True,
}  # fmt: skip


def sprites(setting):
    """All sprites; for a quick look every second scale, every eighth orientation, every fourth place."""
    data = datasets.dsprites(size=setting["size"])
    if not setting["quick"]:
        return data
    steps = np.array([1, 2, 8, 4, 4])
    sizes = tuple(int(n) for n in data.sizes // steps)
    return FactorDataset(data.name, lambda factors: data.images(factors * steps), data.factor_names, sizes, data.image_shape)


def run(name, beta, data, setting, epochs, folder, seed, scores, start=None, until=None):
    """Train one model, watching its latents every so many images and scoring it after every epoch but the last.

    start: its first params; until: stop there, to go on later.  Returns the model and what was seen.
    """
    model = BetaVAE(
        data.data_dim, setting["hidden"], 10, "relu", beta=beta, seed=seed, decoder_hidden=setting["decoder_hidden"],
        decoder_activation="tanh",
    )  # fmt: skip
    if start is not None:
        model.params.vector[...] = start.params.vector
    folder = folder / name
    folder.mkdir(exist_ok=True)
    watch = Watch(folder / "watch.csv", data, setting["watched"])
    looks = range(setting["look"], epochs * len(data) + 1, setting["look"])
    ends = [epoch * len(data) for epoch in range(1, epochs)]

    def look(model, images):
        if images in looks:
            watch(model, images)
        if images in ends:
            score(scores, f"beta = {beta}", model.encode, data, setting, seed, 1, **about(watch, data))

    train(
        folder, model, data, Adam(lr=5e-4), setting["batch"], until or epochs, seed, watch.some, callback=look,
        callback_at=sorted({*looks, *ends}), checkpoint_seconds=300, progress=False,
    )  # fmt: skip
    return model, watch


def adagrad(x, labels, classes, passes=100, batch=10):
    """W, b of the classifier as Higgins et al. train it, a step of 0.01 and x as it comes; passes and batches are ours."""
    params, rule, rng = {"W": np.zeros((x.shape[1], classes)), "b": np.zeros(classes)}, Adagrad(lr=0.01), np.random.default_rng(0)
    state, targets, share = rule.initial_state(params), np.eye(classes)[labels], np.full(batch, 1 / batch)
    for _ in range(passes):
        for rows in rng.permutation(len(x)).reshape(-1, batch):
            dlogits = ops.softmax_cross_entropy_backward(share, ops.dense_forward(x[rows], **params), targets[rows])
            rule.step(params, dict(zip(params, ops.dense_backward_params(dlogits, x[rows]))), state)
    return params["W"], params["b"]


CLASSIFIERS = {"": linear_classifier, "_penalised": penalised, "_adagrad": adagrad}  # of the beta-VAE score


def score(results, code, encode, data, setting, seed, draws, **about):
    """Score a function from images to codes, and add a row for each of so many draws to results, unless they are there."""
    points = setting["points"]
    variational = isinstance(encode(data[:1]), tuple)
    for_factor = {"votes": setting["votes"], "test_votes": setting["votes"], "progress": False}
    for_factor |= {} if variational else {"least_variance": 0}  # codes on a scale of their own
    if len(results.where(code=code, **about)) == draws:
        return
    if code != "raw pixels":  # a table of 4,096 codes an image takes 12 GB
        encode, data = encode_all(encode, data, progress=False)
    for draw in range(draws):
        row = {"published": PUBLISHED[code]} if code in PUBLISHED else {}
        sets = [data.factor_names, data.factor_names[1:]]  # with the shape, and without
        options = {"points": points, "test_points": points // 2, "progress": False}
        judges = {"": linear_classifier} if code == "raw pixels" else CLASSIFIERS  # the others take long over 4,096 columns
        for name, classifier in judges.items():
            rng = np.random.default_rng([seed, draw])  # all see the same points
            five, four = beta_vae_scores(encode, data, rng, sets, classifier=classifier, **options)
            row |= {f"beta_vae_5{name}": five.score, f"beta_vae_4{name}": four.score}
        row["factor_vae"] = factor_vae_score(encode, data, rng, **for_factor).score
        row["mig_histogram"] = mig_histogram(encode, data, rng, points=points, progress=False).score
        if variational and draw == 0:  # over all images: no draw about it
            row["mig_chen"] = mig_chen(encode, data, rng, progress=False).score
        results.add(code=code, draw=draw, **about, **row)
        print(f"{code}, draw {draw}:", ", ".join(f"{name} {value:.4f}" for name, value in row.items()), flush=True)


def about(watch, data):
    """What a row says of a trained model beside its scores: on the images watched, after the last look."""
    last = watch.results.rows[-1]
    return {name: last[name] for name in ("beta", "images", "recon_nll", "kl", "active_units")} | watch.best(data.factor_names)


def active_alone(model, watch):
    """encode, with the latents of less than 0.01 nats at zero: a classifier that scales its columns reads these as well."""
    active = watch.kl_per_latent()[-1] > 0.01
    return lambda x: tuple(active * part for part in model.encode(x))


def draw_kl(watches, factor_names):
    """The KL of each latent against the images seen, one panel for each model."""
    figure = Figure(figsize=(8.3, 3.8), layout="constrained")
    for ax, (code, watch) in zip(figure.subplots(1, len(watches), sharey=True), watches.items()):
        watch.draw(ax, watch.column("images") / 1000, factor_names)
        ax.set(title=code, xlabel=f"thousand images{' at beta = 4' * ('then' in code)}")
        ax.label_outer()
    figure.suptitle("KL of each latent while training, in the colour of the factor it follows at the end", fontsize="medium")
    top = max(watch.kl_per_latent().max() for watch in watches.values())
    ax.set(ylim=(0, 1.9 * top))  # of both: room for the legends
    return figure


def networks(rows):
    """The rows of trained networks, those of several draws of the score as one, their mean: a list of dicts."""
    groups = {}
    for row in rows:
        if "images" in row:
            groups.setdefault((row["code"], row["seed"], row["images"]), []).append(row)
    return [draws[0] | {"beta_vae_4": np.mean([row["beta_vae_4"] for row in draws])} for draws in groups.values()]


def draw_scores(rows, per_epoch):
    """Left: the score without shape after each epoch.  Right: at the end, against the loss of beta = 4.  A point a network."""
    figure = Figure(figsize=(8.3, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for color, code in zip(np.array(plots.COLOURS)[[0, 1, 2]], ("beta = 1", "beta = 4", "beta = 1, then 4")):
        mine = networks(row for row in rows if row["code"] == code)
        longer = networks(row for row in rows if row["code"] == f"{code}, longer")  # in the kept results
        images, each = curves(mine + longer, "images", lambda row: 100 * row["beta_vae_4"])
        if len(images) > 1:
            epochs, each = np.array(images) / per_epoch, each[np.isfinite(each[:, 0])]  # of those scored on the way
            all_there = np.isfinite(each).all(axis=0)
            seeds_and_mean(left, epochs[all_there], each[:, all_there], color, code)
            for curve in each[:, all_there.sum() - 1 :]:
                left.plot(epochs[all_there.sum() - 1 :], curve, ".-", color=color, linewidth=0.7, markersize=4, alpha=0.6)
        if code in PUBLISHED:
            left.axhline(100 * PUBLISHED[code], color=color, linestyle=":", label=f"{code}, the paper")
        ended = [row for row in mine if row["images"] == max(row["images"] for row in mine)]
        earlier = networks(row for row in rows if row["code"] == f"{code} †")  # in the kept results: hollow
        for points, face, label in ((ended, color, code), (earlier, "none", f"{code} †")):
            loss = [row["recon_nll"] + 4 * row["kl"] for row in points]
            if points:
                right.plot(loss, [100 * row["beta_vae_4"] for row in points], "o", color=color, markerfacecolor=face, label=label)
    pca = np.mean([row["beta_vae_4"] for row in rows if row["code"] == "PCA"])
    for ax in (left, right):
        ax.axhline(100 * pca, color="grey", linestyle="--", label="PCA, here")
    left.set(title="while training", xlabel="epochs", ylabel="beta-VAE score without shape, per cent", ylim=(20, 101))
    left_out = any("longer" in row["code"] for row in rows)
    left.xaxis.get_major_locator().set_params(integer=True)
    right.set(title=f"at the end{', the longer runs left out' * left_out}", xlabel="loss at beta = 4, nats per image")
    for ax in (left, right):
        ax.legend(fontsize="small", loc="lower left" if ax is left else "best")
    return figure


def train_all(folder, data, seed, setting, epochs):
    """The networks of one seed, what was seen of them, by name: (model, Watch), and their scores on the way: Results."""
    scores, start, raised = Results(folder / "scores.csv", keys=("code", "images", "draw")), None, "beta-1-then-4"
    if not files.has_checkpoint(folder / raised):
        start, _ = run("beta-1", 1, data, setting, epochs, folder, seed, scores, until=min(RAISED_AFTER, epochs))
    then = run(raised, 4, data, setting, 1, folder, seed, scores, start)
    runs = {f"beta = {beta}": run(f"beta-{beta}", beta, data, setting, epochs, folder, seed, scores) for beta in (1, 4)}
    return {**runs, "beta = 1, then 4": then}, scores


def measure(folder, seed, setting, epochs, first):
    """Train and score the networks of one seed; for the first seed the codes that need no training too.  Their rows."""
    data, rng, draws = sprites(setting), np.random.default_rng(seed), setting["draws"]
    trained, scores = train_all(folder, data, seed, setting, epochs)
    if seed == first:
        score(scores, "PCA", baselines.pca(data, rng), data, setting, seed, draws)
        score(scores, "random projection", baselines.random_projection(data.data_dim, rng), data, setting, seed, draws)
        score(scores, "raw pixels", baselines.raw_pixels(), data, setting, seed, 1)
    score(scores, "untrained", baselines.untrained(trained["beta = 1"][0]), data, setting, seed, draws)
    for code, (model, watch) in trained.items():
        score(scores, code, model.encode, data, setting, seed, draws, **about(watch, data))
    model, watch = trained["beta = 4"]
    score(scores, "beta = 4, active latents", active_alone(model, watch), data, setting, seed, draws, **about(watch, data))
    return scores.rows


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, epochs=4, jobs=1, seeds=SEEDS)
    setting, first = QUICK if chosen.quick else FULL, chosen.seeds[0]
    results = Results(chosen.out / "results.csv", keys=("code", "seed", "images", "draw"))
    one_seed = partial(measure, setting=setting, epochs=chosen.epochs, first=first)
    run_each(one_seed, [{"seed": seed} for seed in chosen.seeds], results, chosen.jobs)
    summarize(results.rows, ["code", "images"], ["beta_vae_5", "beta_vae_4", "factor_vae", "mig_histogram", "mig_chen"], digits=3)
    data = sprites(setting)
    save_figure(draw_scores(results.rows, len(data)), chosen.out / "beta_dsprites_scores.png")
    trained, _ = train_all(folder_of(results, {"seed": first}), data, first, setting, chosen.epochs)
    watches = {code: watch for code, (_, watch) in trained.items()}
    save_figure(draw_kl(watches, data.factor_names), chosen.out / "beta_dsprites_kl.png")
    panels = []
    for code, watch in watches.items():
        says = watch.kl_per_latent()[-1] > 0.01  # of the others' means there is nothing to explain
        shares = np.where(says[:, None], watch.shares()[-1].round(2) + 0, np.nan)
        panels.append((f"{code}: what each factor explains of each latent's mean", shares.T, data.factor_names, "share of variance"))
    save_figure(plots.factor_matrices(panels), chosen.out / "beta_dsprites_factors.png")
    places = np.array([[2, data.sizes[1] - 1, 0, data.sizes[3] // 2, data.sizes[4] // 2]])
    (heart,) = data.images(places)  # large, upright, in the middle
    for (model, watch), name in zip(trained.values(), ("1", "4", "1_then_4")):
        start = model.encode(heart[None])[0][0]
        figure = plots.traversals(model, start, watch.kl_per_latent()[-1], data.image_shape, x=heart)
        save_figure(figure, chosen.out / f"beta_dsprites_traversals_{name}.png")


if __name__ == "__main__":
    main()

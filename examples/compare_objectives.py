"""What the family does: all objectives at three strengths and ten seeds on 32 x 32 sprites, every score.  About three hours.

Of each network rate, distortion and all disentanglement scores.  Then, over the networks: how the scores agree on which
is better, and how much of each score's variance is the objective's, how much its strength's, and how much the seed's
(Locatello et al. 2019 asked it with other networks).
Run: python examples/compare_objectives.py           (--quick: seconds, on 8 x 8 blobs; --jobs 2: two at a time)
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from runner import Results, options, run_each, save_figure, summarize, train

from vae_from_scratch import DIPVAE, VAE, Adam, BetaTCVAE, BetaVAE, CapacityVAE, FactorVAE, datasets, disentanglement, evaluation, plots

OBJECTIVES = {  # name: model, what is the same for all strengths, the hyperparameter that is the strength, and its values
    "VAE": (VAE, {}, None, (1,)),
    "beta-VAE": (BetaVAE, {}, "beta", (2, 4, 8)),
    "capacity": (CapacityVAE, {"gamma": 100.0}, "capacity", (4, 8, 12)),
    "beta-TCVAE": (BetaTCVAE, {}, "beta", (2, 4, 8)),
    "FactorVAE": (FactorVAE, {}, "gamma", (5, 10, 20)),
    "DIP-VAE i": (DIPVAE, {"kind": "i"}, "lambda_od", (2, 5, 10)),
    "DIP-VAE ii": (DIPVAE, {"kind": "ii"}, "lambda_od", (2, 5, 10)),
}
SEEDS = tuple(range(10))
FULL = {"size": 32, "hidden": (256, 256), "images": 737_280, "batch": 128, "watched": 5000, "points": 5000, "strengths": 3}
QUICK = FULL | {"size": 8, "hidden": (16,), "images": 100, "batch": 50, "points": 100, "strengths": 1}
SETTING = ("objective", "strength", "seed")
AGAIN, DRAWS = (("VAE", 1), ("beta-VAE", 4), ("FactorVAE", 10)), 4  # scored several times, from the first seed
SHOWN = ("FactorVAE score", "MIG, samples of q(z|x)")  # drawn against distortion
BESIDE = ("active_units", "cpu_seconds", "threads")  # numbers of a row that are neither scores nor rate and distortion


def make(objective, strength, seed, data_dim, hidden):
    """The model; lambda_d follows lambda_od as the paper has it, ten times as large for kind i and the same for kind ii."""
    model_class, same, name, _ = OBJECTIVES[objective]
    own = dict(same) if name is None else same | {name: float(strength)}
    if name == "lambda_od":
        own["lambda_d"] = own["lambda_od"] * (10 if own["kind"] == "i" else 1)
    return model_class(data_dim, hidden, 10, "relu", seed=seed, **own)


def learn(folder, objective, strength, seed, how):
    """The data, some of it to look at, the trained model, and the processor's seconds that it took."""
    data = datasets.dsprites(size=how["size"]) if how["size"] > 8 else datasets.blobs(size=8, positions=16, width=0.15)
    x = data.subset(np.random.default_rng(0).permutation(len(data))[: how["images"]])
    model = make(objective, strength, seed, data.data_dim, how["hidden"])
    history = train(folder, model, x, Adam(lr=1e-3), how["batch"], 1, seed, progress=False)
    return data, x[: how["watched"]], model, history["cpu_seconds"][-1]


def score(model, data, seed, how, repeats=1):
    """Every score of one model: a dict for each draw of the points that it is computed from, if points are drawn for it."""
    found = disentanglement.all_scores(model.encode, data, seed=seed, repeats=repeats, points=how["points"], progress=False)
    return [{title: drawn[draw].score for title, drawn in found.items() if draw < len(drawn)} for draw in range(repeats)]


def measure(folder, objective, strength, seed, how):
    """Train one model.  Its row: rate, distortion, and every score once."""
    data, some, model, seconds = learn(folder, objective, strength, seed, how)
    seen = evaluation.evaluate(model, some, seed=seed)
    row = {"distortion": seen.recon_nll, "rate": seen.kl, "active_units": seen.active_units}
    return [row | scores | {"cpu_seconds": seconds} for scores in score(model, data, seed, how)]


def score_again(folder, objective, strength, seed, how):
    """The scores of one model from several draws of the points, a row each: how much of the seed's share is measuring."""
    data, _, model, _ = learn(folder, objective, strength, seed, how)
    return [{"draw": draw} | scores for draw, scores in enumerate(score(model, data, seed, how, DRAWS))]


def columns(rows):
    """The columns to compare: distortion, rate, and the scores."""
    return [name for name, value in rows[0].items() if name not in SETTING + BESIDE and not isinstance(value, str)]


def short(name):
    """A column's name without its source.

    >>> short("beta-VAE score (scale, posX)"), short("MIG, samples of q(z|x) (Chen et al.)")
    ('beta-VAE score, 2 factors', 'MIG, samples of q(z|x)')
    """
    head, _, rest = name.partition(" (")
    return f"{head}, {rest.count(',') + 1} factors" if head == "beta-VAE score" else head


def ranks(values):
    """The rank of each value (N,), equal ones sharing theirs.

    >>> ranks(np.array([3.0, 1.0, 3.0]))
    array([1.5, 0. , 1.5])
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]


def agreement(rows):
    """Spearman's rank correlation of every two columns over the networks: (C, C).  NaN for a column of one value."""
    of = np.array([ranks(np.array([row[name] for row in rows])) for name in columns(rows)])
    with np.errstate(invalid="ignore"):
        return np.corrcoef(of)


def shares(rows, name):
    """Of the variance of a column over the networks: the share of the objective, of the strength within it, of the seed.

    Each sum of squares is divided by its degrees of freedom (adjusted R^2): else random numbers would seem to depend on
    the groups, the more so the fewer seeds there are.  A share may then fall below 0 by chance.  NaN from a single seed.

    >>> rows = [{"objective": "ab"[k // 2], "strength": 1, "v": 2 * k} for k in range(4)]
    >>> shares(rows, "v").round(2)
    array([0.7, 0. , 0.3])
    """
    values, left = np.array([row[name] for row in rows], dtype=float), []
    for group in ((), ("objective",), ("objective", "strength")):
        keys = [tuple(row[part] for part in group) for row in rows]
        inside = [values[[other == key for other in keys]] for key in set(keys)]
        with np.errstate(invalid="ignore"):
            left.append(np.divide(sum(((each - each.mean()) ** 2).sum() for each in inside), len(rows) - len(inside)))
    whole, within_objective, within_cell = left
    return np.array([whole - within_objective, within_objective - within_cell, within_cell]) / max(whole, 1e-300)


def draw(rows):
    """Above: two scores against distortion.  Below: how the columns agree in rank, and whose the variance of each is."""
    names = columns(rows)
    figure = Figure(figsize=(9, 8.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    for ax, shown in zip(above.subplots(1, 2), SHOWN):
        (name,) = (name for name in names if short(name) == shown)
        for objective, colour, marker in zip(OBJECTIVES, plots.COLOURS, "oDsv^<>"):
            strengths = OBJECTIVES[objective][-1]
            for size, strength in zip((3, 5, 7), strengths):
                mine = [row for row in rows if (row["objective"], row["strength"]) == (objective, strength)]
                where = [row["distortion"] for row in mine], [row[name] for row in mine]
                ax.plot(*where, marker, color=colour, markersize=size, label=None if strength != strengths[0] else objective)
        ax.set(title=shown, xlabel="distortion: mean of -log p(x|z), nats per image")
    title = "larger mark:\nlarger strength"
    above.legend(*ax.get_legend_handles_labels(), loc="outside right center", frameon=False, markerscale=1.7, title=title)
    left, right = below.subplots(1, 2, sharey=True)
    image = left.imshow(agreement(rows), vmin=-1, vmax=1, cmap="RdBu", aspect="auto")
    left.set(title="rank correlation")
    left.set_xticks(range(len(names)), range(1, len(names) + 1))
    left.set_yticks(range(len(names)), [f"{short(name)}  {number}" for number, name in enumerate(names, 1)])
    below.colorbar(image, ax=left, location="bottom", aspect=40)
    start, of = 0, np.array([shares(rows, name) for name in names])
    for share, label, colour in zip(of.clip(min=0).T, SETTING, plots.COLOURS[:6:-1]):  # none of those above
        right.barh(range(len(names)), share, left=start, color=colour, label=label)
        start = start + share
    right.set(title="share of the variance" + (" (takes several seeds)" if np.isnan(of).any() else ""), xlim=(0, 1))
    right.tick_params(axis="y", left=False)
    below.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=3, frameon=False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, jobs=1, seeds=SEEDS)
    how = QUICK if chosen.quick else FULL
    settings = [
        {"objective": name, "strength": strength, "seed": seed}
        for seed in chosen.seeds for name, (*_, strengths) in OBJECTIVES.items() for strength in strengths[: how["strengths"]]
    ]  # fmt: skip
    results = Results(chosen.out / "results.csv", keys=SETTING)
    run_each(partial(measure, how=how), settings, results, chosen.jobs)
    again = Results(chosen.out / "again.csv", keys=(*SETTING, "draw"))
    those = [each for each in settings if (each["objective"], each["strength"]) in AGAIN and each["seed"] == chosen.seeds[0]]
    run_each(partial(score_again, how=how), those, again, chosen.jobs)
    rows = results.finished()
    summarize(results.rows, ["objective", "strength"], ["distortion", "rate", *columns(rows)[2:]])
    save_figure(draw(rows), chosen.out / "compare_objectives.png")


if __name__ == "__main__":
    main()

"""The capacity schedule of Burgess et al. 2018, Figure 3, on 32 x 32 sprites: which factor comes when.  40 minutes.

loss = recon_nll + 1000 |KL - C| while C grows from 0 to 25 nats in 100,000 steps: the nats that follow one factor alone, as
C grows, for five seeds; for the first of them the KL of each latent, and the traversals at the end.  A dense network; the
paper's was convolutional.
Run: python examples/beta_capacity.py                 (--quick: seconds, on 16 x 16 sprites; --jobs 2: two at a time)
"""

from functools import partial

import numpy as np
from latents import FACTORS, NAMED, Watch
from matplotlib.figure import Figure
from runner import Results, curves, folder_of, options, run_each, save_figure, summarize, train

from vae_from_scratch import Adam, CapacityVAE, datasets, plots

MOST, BATCH, MARKS, SEEDS = 25.0, 64, 50, (0, 1, 2, 3, 4)
FULL = {"size": 32, "hidden": (256, 256), "steps": 100_000, "images": 737_280, "watched": 5000}
QUICK = {"size": 16, "hidden": (32,), "steps": 250, "images": 4000, "watched": 1000}


def learn(folder, seed, how):
    """The data, the trained model, what was seen while training, and the processor's seconds that it took."""
    data = datasets.dsprites(size=how["size"])
    x = data.subset(np.random.default_rng(0).permutation(len(data))[: how["images"]])
    model = CapacityVAE(data.data_dim, how["hidden"], 10, "relu", gamma=1000, seed=seed)
    watch, images = Watch(folder / "watch.csv", data, how["watched"]), how["steps"] * BATCH
    history = train(
        folder, model, x, Adam(lr=5e-4), BATCH, -(-images // len(x)), seed, x_valid=watch.some,
        schedule=lambda step: {"capacity": min(MOST, MOST * step / how["steps"])}, callback=watch,
        callback_at=[images * k // MARKS for k in range(1, MARKS + 1)], progress=False,
    )  # fmt: skip
    return data, model, watch, history["cpu_seconds"][-1]


def measure(folder, seed, how):
    """Train one model.  Its rows, as C grows: rate, distortion, the latents' KL, the largest first, and nats of each factor alone."""
    data, _, watch, seconds = learn(folder, seed, how)
    rows = []
    for seen, kl, shares in zip(watch.results.rows, watch.kl_per_latent(), watch.shares()):
        row = {name: seen[name] for name in ("images", "capacity", "recon_nll", "kl")} | {"named": int((kl > NAMED).sum())}
        row |= dict(zip((f"alone_{name}" for name in data.factor_names), kl @ shares))
        rows.append(row | {f"kl_{rank}": value for rank, value in enumerate(np.sort(kl)[::-1])})
    return [*rows[:-1], rows[-1] | {"cpu_seconds": seconds}]


def draw(results, watch, factor_names):
    """Against C: the KL of each latent of one seed; nats that follow one factor alone, every seed and the mean."""
    figure = Figure(figsize=(8.3, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    watch.draw(left, watch.column("capacity"), factor_names)
    left.set(title="KL of each latent and the factor\nit follows at the end, one seed", xlabel="capacity C, nats")
    colours = {f"alone_{name}": FACTORS[name] for name in factor_names} | {"kl": "black"}
    for column, colour in colours.items():
        capacity, each = curves(results.rows, "capacity", column)
        right.plot(capacity, each.T, color=colour, linewidth=0.5, alpha=0.6)
        name = "KL, all" if column == "kl" else column.removeprefix("alone_")
        right.plot(capacity, each.mean(axis=0), color=colour, linewidth=2, label=name)
    right.set(title="nats that follow one factor alone,\nevery seed and the mean", xlabel="capacity C, nats", ylabel="nats", ylim=(0, None))
    right.legend(frameon=False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, jobs=1, seeds=SEEDS)
    how = QUICK if chosen.quick else FULL
    results = Results(chosen.out / "results.csv", keys=("seed", "images"))
    run_each(partial(measure, how=how), [{"seed": seed} for seed in chosen.seeds], results, chosen.jobs)
    at_the_end = results.where(images=max(row.get("images", 0) for row in results.rows))
    summarize(at_the_end, ["capacity"], ["recon_nll", "kl", "named", *(f"alone_{name}" for name in FACTORS)])
    one = {"seed": chosen.seeds[0]}
    data, model, watch, _ = learn(folder_of(results, one), **one, how=how)
    save_figure(draw(results, watch, data.factor_names), chosen.out / "beta_capacity.png")
    kl = watch.kl_per_latent()[-1]
    (heart,) = data.images(np.array([[2, 5, 0, 16, 16]]))  # the largest, upright, in the middle
    figure = plots.traversals(model, model.encode(heart[None])[0][0], kl, data.image_shape, most=5, x=heart)
    save_figure(figure, chosen.out / "beta_capacity_traversals.png")
    for name, nats in zip(watch.names(data.factor_names), kl):
        print(f"{nats:.2f} nats, {name}")


if __name__ == "__main__":
    main()

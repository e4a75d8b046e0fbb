"""Rate against distortion as beta grows, and what the latents hold, on 32 x 32 sprites.  About a minute a run.

Ten latents, beta from 1 to 16, every image seen once: rate, distortion, active units and how well one latent follows each
factor at the end; for one beta and the first seed the KL of each latent during training, the factors it follows, and its
traversal.
Run: python examples/beta_sprites.py                 (--quick: seconds, on 16 x 16 sprites; --jobs 2: two at a time)
"""

from functools import partial

import numpy as np
from latents import Watch
from matplotlib.figure import Figure
from runner import Results, curves, folder_of, options, run_each, save_figure, summarize, train

from vae_from_scratch import Adam, BetaVAE, datasets, plots

BETAS, SHOWN, SEEDS = (1, 2, 4, 8, 16), 4, tuple(range(10))
FACTORS = "shape", "scale", "orientation", "posX", "posY"
FULL = {"size": 32, "hidden": (256, 256), "images": 737_280, "batch": 128, "watched": 5000, "marks": 40}
QUICK = {"size": 16, "hidden": (32,), "images": 2000, "batch": 64, "watched": 500, "marks": 5}


def learn(folder, beta, seed, how):
    """The trained model, what was seen while training, and the processor's seconds that it took."""
    data = datasets.dsprites(size=how["size"])
    x = data.subset(np.random.default_rng(0).permutation(len(data))[: how["images"]])
    model = BetaVAE(data.data_dim, how["hidden"], 10, "relu", beta=beta, seed=seed)
    watch = Watch(folder / "watch.csv", data, how["watched"])
    history = train(
        folder, model, x, Adam(lr=1e-3), how["batch"], 1, seed, x_valid=watch.some, callback=watch,
        callback_at=[len(x) * k // how["marks"] for k in range(1, how["marks"] + 1)], progress=False,
    )  # fmt: skip
    return model, watch, history["cpu_seconds"][-1]


def measure(folder, beta, seed, how):
    """Train one model.  Its row: rate, distortion, and for each factor how well a latent that says something follows it."""
    _, watch, seconds = learn(folder, beta, seed, how)
    seen, kl = watch.results.rows[-1], watch.kl_per_latent()[-1]
    row = {name: seen[name] for name in ("recon_nll", "kl", "active_units")} | {"cpu_seconds": seconds}
    row |= watch.best(FACTORS)
    return [row | {f"kl_{rank}": value for rank, value in enumerate(np.sort(kl)[::-1])}]


def chords(rows):
    """Nats of distortion that a nat of rate saves between neighbours in beta, for each seed (S, B - 1): RD.4's slope, coarsely."""
    betas, rates = curves(rows, "beta", "kl")
    _, distortions = curves(rows, "beta", "recon_nll")
    return betas, -np.diff(distortions) / np.diff(rates)


def draw(results, watch, factor_names):
    """Distortion against rate for every seed; KL per latent against images seen, for the beta shown."""
    figure = Figure(figsize=(8.3, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    betas, rates = curves(results.rows, "beta", "kl")
    _, distortions = curves(results.rows, "beta", "recon_nll")
    for rate, distortion in zip(rates, distortions):
        left.plot(rate, distortion, ".-", color=plots.COLOURS[0], linewidth=0.5, markersize=4, alpha=0.6)
    rate, distortion = (np.ma.masked_invalid(each).mean(axis=0) for each in (rates, distortions))
    left.plot(rate, distortion, "o-", color=plots.COLOURS[0], linewidth=2.2)
    for beta, *place in zip(betas, rate, distortion):
        left.annotate(f"beta {beta}", place, xytext=(9, 5), textcoords="offset points")
    left.set(
        title="rate and distortion" + (f", {len(rates)} seeds and their mean" if len(rates) > 1 else ""), xlabel="rate: KL, nats per image",
        ylabel="distortion: -log p(x|z), nats per image",
    )  # fmt: skip
    left.margins(x=0.2, y=0.08)  # room for the last label
    watch.draw(right, watch.column("images") / 1000, factor_names)
    right.set(title=f"beta = {SHOWN}: KL of each latent and\nthe factor it follows at the end", xlabel="thousand images seen")
    right.set(ylim=(0, 1.9 * watch.kl_per_latent().max()))  # room for the legend
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, jobs=1, seeds=SEEDS)
    how = QUICK if chosen.quick else FULL
    results = Results(chosen.out / "results.csv", keys=("beta", "seed"))
    settings = [{"beta": beta, "seed": seed} for seed in chosen.seeds for beta in BETAS]
    run_each(partial(measure, how=how), settings, results, chosen.jobs)
    summarize(results.rows, ["beta"], ["recon_nll", "kl", "active_units", *(f"best_{name}" for name in FACTORS)])
    betas, slopes = chords(results.rows)
    for low, high, found in zip(betas, betas[1:], slopes.T):
        print(f"chord from beta {low} to {high}: {found.mean():.2f} nats a nat, {found.min():.2f} to {found.max():.2f}")
    one = {"beta": SHOWN, "seed": chosen.seeds[0]}
    model, watch, _ = learn(folder_of(results, one), **one, how=how)
    data, kl = datasets.dsprites(size=how["size"]), watch.kl_per_latent()[-1]
    print(*(f"  {name}" for name, nats in zip(watch.names(data.factor_names), kl) if nats > 0.01), sep="\n")
    save_figure(draw(results, watch, data.factor_names), chosen.out / "beta_sprites.png")
    (heart,) = data.images(np.array([[2, 5, 0, 16, 16]]))  # the largest, upright, in the middle
    figure = plots.traversals(model, model.encode(heart[None])[0][0], kl, data.image_shape, x=heart)
    save_figure(figure, chosen.out / "beta_sprites_traversals.png")


if __name__ == "__main__":
    main()

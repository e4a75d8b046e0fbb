"""Rate against distortion as beta grows, and what the latents hold, on 32 x 32 sprites.  About two minutes.

Ten latents, beta from 1 to 16, every image seen once: rate, distortion, active units and how well one latent follows each
factor at the end; for one beta the KL of each latent during training, the factors it follows, and its traversal.
Run: python examples/beta_sprites.py                 (--quick: seconds, on 16 x 16 sprites)
"""

import numpy as np
from latents import Watch
from matplotlib.figure import Figure
from runner import Results, options, save_figure, train

from vae_from_scratch import Adam, BetaVAE, datasets, plots

BETAS, SHOWN = (1, 2, 4, 8, 16), 4
FULL = {"size": 32, "hidden": (256, 256), "images": 737_280, "batch": 128, "watched": 5000, "marks": 40}
QUICK = {"size": 16, "hidden": (32,), "images": 2000, "batch": 64, "watched": 500, "marks": 5}


def draw(results, watch, factor_names):
    """Rate and distortion with their exchange rate; KL per latent against images seen, for the beta shown."""
    figure = Figure(figsize=(8.3, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = [results.where(beta=beta)[0] for beta in BETAS]
    rates, distortions = np.array([(row["kl"], row["recon_nll"]) for row in rows]).T
    left.plot(rates, distortions, "o", color=plots.COLOURS[0])
    step = 0.06 * (np.ptp(rates) + 1e-9)
    for row, rate, distortion in zip(rows, rates, distortions):
        beta = row["beta"]
        half = min(step, 0.06 * np.ptp(distortions) / beta)  # RD.4: at the best points the slope is -beta
        left.plot([rate - half, rate + half], [distortion + beta * half, distortion - beta * half], color=plots.COLOURS[2])
        left.annotate(
            f"beta {beta}: {row['active_units']} active", (rate, distortion), xytext=(9, 5), textcoords="offset points"
        )
    left.set(
        title="rate and distortion\nred: slope -beta", xlabel="rate: KL, nats per image",
        ylabel="distortion: -log p(x|z), nats per image", xlim=(None, rates.max() + 0.65 * np.ptp(rates)),
    )  # fmt: skip
    watch.draw(right, watch.column("images") / 1000, factor_names)
    right.set(title=f"beta = {SHOWN}: KL of each latent and\nthe factor it follows at the end", xlabel="thousand images seen")
    right.set(ylim=(0, 1.9 * watch.kl_per_latent().max()))  # room for the legend
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments)
    setting = QUICK if chosen.quick else FULL
    data = datasets.dsprites(size=setting["size"])
    x = data.subset(np.random.default_rng(0).permutation(len(data))[: setting["images"]])
    results = Results(chosen.out / "results.csv", keys=("beta",))
    for beta in BETAS:
        model = BetaVAE(data.data_dim, setting["hidden"], 10, "relu", beta=beta)
        folder = chosen.out / f"beta-{beta}"
        folder.mkdir(exist_ok=True)
        watch = Watch(folder / "watch.csv", data, setting["watched"])
        train(
            folder, model, x, Adam(lr=1e-3), setting["batch"], 1, x_valid=watch.some, callback=watch,
            callback_at=[len(x) * k // setting["marks"] for k in range(1, setting["marks"] + 1)], progress=False,
        )  # fmt: skip
        row = watch.results.rows[-1]
        kl = watch.kl_per_latent()[-1]
        best = watch.shares()[-1][kl > 0.01].max(axis=0, initial=0)  # of the latents that say something
        results.add(
            **{name: row[name] for name in ("beta", "recon_nll", "kl", "active_units")},
            **{f"best_{name}": share for name, share in zip(data.factor_names, best)},
            **{f"kl_{rank}": value for rank, value in enumerate(np.sort(kl)[::-1])},
        )  # fmt: skip
        print(f"beta {beta}: reconstruction {row['recon_nll']:.1f}, KL {row['kl']:.2f} nats, {row['active_units']} active")
        if beta == SHOWN:
            shown, model_shown = watch, model
            print(*(f"  {name}" for name, nats in zip(watch.names(data.factor_names), kl) if nats > 0.01), sep="\n")
    save_figure(draw(results, shown, data.factor_names), chosen.out / "beta_sprites.png")
    (heart,) = data.images(np.array([[2, 5, 0, 16, 16]]))  # the largest, upright, in the middle
    start = model_shown.encode(heart[None])[0][0]
    figure = plots.traversals(model_shown, start, shown.kl_per_latent()[-1], data.image_shape, x=heart)
    save_figure(figure, chosen.out / "beta_sprites_traversals.png")


if __name__ == "__main__":
    main()

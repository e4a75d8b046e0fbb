"""What a large beta does to two factors: the Gaussian blobs of Burgess et al. 2018, Figure 2.  Twenty minutes.

One blob at 32 x 32 places, ten latents, three widths of the blob.  With beta = 1 place is spread over more latents than
it has coordinates; with beta = 150 the paper has two latents carry it.  Five seeds each.
Run: python examples/beta_blobs.py                 (--quick: seconds, on 8 x 8 images; --jobs 2: two at a time)
"""

from functools import partial

import numpy as np
from latents import explained
from matplotlib.figure import Figure
from runner import Results, folder_of, options, run_each, save_figure, seeds_and_mean, summarize, train

from vae_from_scratch import Adam, BetaVAE, datasets, evaluation, plots

BETAS, WIDTHS, SEEDS = (1, 150), (0.15, 0.1, 0.2), (0, 1, 2, 3, 4)  # WIDTHS: of the blob, as a fraction of the side
SHOWN = 4  # how many latents the figure has for each beta
FULL = {"size": 64, "positions": 32, "hidden": (200, 200), "epochs": 150}
QUICK = {"size": 8, "positions": 8, "hidden": (20,), "epochs": 30}


def learn(folder, width, beta, seed, how):
    """The data, their images, the trained model, and the processor's seconds that it took."""
    data = datasets.blobs(size=how["size"], positions=how["positions"], width=width)
    images = data[:]  # drawn once: they fit in memory
    model = BetaVAE(data.data_dim, how["hidden"], 10, "relu", beta=beta, seed=seed)
    history = train(folder, model, images, Adam(lr=1e-3), 64, how["epochs"], seed, progress=False)
    return data, images, model, history["cpu_seconds"][-1]


def measure(folder, width, beta, seed, how):
    """Train one model.  Its row: reconstruction, the KL of its latents, the largest first, and how many say something.

    Of the two largest, too: how much of the variance of their mean the row explains, and how much the column.
    """
    data, images, model, seconds = learn(folder, width, beta, seed, how)
    seen = evaluation.evaluate(model, images, seed=seed)
    row = {"recon_nll": seen.recon_nll, "kl": seen.kl, "loss": seen.recon_nll + beta * seen.kl, "active_units": seen.active_units}
    row |= {"above_tenth_nat": int((seen.kl_per_latent > 0.1).sum()), "cpu_seconds": seconds}
    largest = np.argsort(-seen.kl_per_latent, kind="stable")
    row |= {f"kl_{rank}": seen.kl_per_latent[j] for rank, j in enumerate(largest)}
    mu, places = model.encode(images)[0][:, largest[:2]], data.factors(np.arange(len(data)))
    for name, place in zip(data.factor_names, places.T):
        row |= {f"{name}_{rank}": share for rank, share in enumerate(explained(mu, place))}
    return [row]


def draw(models, data, kls):
    """For each beta the latents with most KL: where the blob must be for which mean of q, and the traversal."""
    places = data.sizes
    figure = Figure(figsize=(8.6, 7.8), layout="constrained")
    for part, (beta, model), kl in zip(figure.subfigures(len(models), 1, hspace=0.05), models.items(), kls):
        most = np.argsort(-kl)[:SHOWN]
        mu, _ = model.encode(data[:])
        centre, _ = model.encode(data.images(np.array([[places[0] // 2, places[1] // 2]])))
        rows = plots.traversal_rows(model, centre[0], most, steps=9)
        part.suptitle(f"beta = {beta}: KL {kl.sum():.2f} nats")
        axes = part.subplots(SHOWN, 2, width_ratios=(1, 8))
        for (left, right), j, row in zip(axes, most, rows):
            shown = left.imshow(mu[:, j].reshape(places), cmap="RdBu", vmin=-3, vmax=3)
            left.set(xticks=[], yticks=[])
            left.set_ylabel(f"z{j}: {kl[j]:.2f} nats", rotation=0, ha="right", va="center")
            plots.show_grid(right, [row], data.image_shape)
        axes[0, 0].set_title("mean of q\nby place", fontsize="medium")
        axes[0, 1].set_title("E[x|z], this latent from -3 to 3, the others as for a blob in the middle", fontsize="medium")
        part.colorbar(shown, ax=axes[:, 0], location="left", ticks=(-3, 0, 3), label="mean of q", shrink=0.6)
    return figure


def draw_seeds(results):
    """For each width the KL of the latents by rank: every seed, and the mean."""
    widths = sorted({row["width"] for row in results.rows})
    figure = Figure(figsize=(1 + 2.6 * len(widths), 3), layout="constrained")
    for ax, width in zip(figure.subplots(1, len(widths), sharey=True, squeeze=False).flat, widths):
        for beta, colour in zip(BETAS, plots.COLOURS):
            each = [[row[f"kl_{rank}"] for rank in range(6)] for row in results.finished(width=width, beta=beta)]
            seeds_and_mean(ax, range(1, 7), each, colour, f"beta = {beta}")
        ax.set(title=f"blobs of width {width}", xlabel="latents, by their KL")
    figure.axes[0].set(ylabel="KL, nats", ylim=(-0.1, None))
    figure.axes[-1].legend(frameon=False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, jobs=1, seeds=SEEDS)
    how, widths = (QUICK, WIDTHS[:1]) if chosen.quick else (FULL, WIDTHS)
    settings = [{"width": width, "beta": beta, "seed": seed} for width in widths for seed in chosen.seeds for beta in BETAS]
    results = Results(chosen.out / "results.csv", keys=("width", "beta", "seed"))
    run_each(partial(measure, how=how), settings, results, chosen.jobs)
    summarize(results.rows, ["width", "beta"], ["recon_nll", "kl", "loss", "above_tenth_nat"])
    models, kls = {}, []
    for one in settings[: len(BETAS)]:  # of the first width and the first seed
        data, images, models[one["beta"]], _ = learn(folder_of(results, one), **one, how=how)
        kls.append(evaluation.evaluate(models[one["beta"]], images, seed=one["seed"]).kl_per_latent)
    save_figure(draw(models, data, kls), chosen.out / "beta_blobs.png")
    save_figure(draw_seeds(results), chosen.out / "beta_blobs_seeds.png")


if __name__ == "__main__":
    main()

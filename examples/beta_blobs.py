"""What a large beta does to two factors: the Gaussian blobs of Burgess et al. 2018, Figure 2.  About two minutes.

One blob at 32 x 32 places, ten latents.  With beta = 1 place is spread over more latents than it has coordinates;
with beta = 150 two latents carry it.  Three seeds each; the figure shows seed 0.
Run: python examples/beta_blobs.py                 (--quick: seconds, on 8 x 8 images)
"""

import numpy as np
from matplotlib.figure import Figure
from runner import Results, options, save_figure, train

from vae_from_scratch import Adam, BetaVAE, datasets, evaluation, plots

BETAS, SEEDS, SHOWN = (1, 150), (0, 1, 2), 4  # SHOWN: how many latents the figure has for each beta
FULL = {"size": 64, "positions": 32, "hidden": (200, 200), "epochs": 150}
QUICK = {"size": 8, "positions": 8, "hidden": (20,), "epochs": 30}


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


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments)
    setting = QUICK if chosen.quick else FULL
    data = datasets.blobs(size=setting["size"], positions=setting["positions"], width=0.15)
    images = data[:]  # drawn once: they fit in memory
    results, models, kls = Results(chosen.out / "results.csv", keys=("beta", "seed")), {}, []
    for seed in SEEDS[: 1 if chosen.quick else None]:
        for beta in BETAS:
            model = BetaVAE(data.data_dim, setting["hidden"], 10, "relu", beta=beta, seed=seed)
            train(
                chosen.out / f"beta-{beta}-{seed}", model, images, Adam(lr=1e-3), 64, setting["epochs"], seed,
                progress=False,
            )  # fmt: skip
            seen = evaluation.evaluate(model, images, seed=seed)
            results.add(
                beta=beta, seed=seed, recon_nll=seen.recon_nll, kl=seen.kl, active_units=seen.active_units,
                above_tenth_nat=int((seen.kl_per_latent > 0.1).sum()),
                **{f"kl_{rank}": kl for rank, kl in enumerate(np.sort(seen.kl_per_latent)[::-1])},
            )  # fmt: skip
            print(
                f"beta {beta}, seed {seed}: reconstruction {seen.recon_nll:.1f}, KL {seen.kl:.2f} nats,",
                f"{(seen.kl_per_latent > 0.1).sum()} latents above 0.1 nats, {seen.active_units} active",
            )
            if seed == SEEDS[0]:
                models[beta] = model
                kls.append(seen.kl_per_latent)
    save_figure(draw(models, data, kls), chosen.out / "beta_blobs.png")


if __name__ == "__main__":
    main()

"""The capacity schedule of Burgess et al. 2018, Figure 3, on 32 x 32 sprites: which factor comes when.  About two minutes.

loss = recon_nll + 1000 |KL - C| while C grows from 0 to 25 nats: the KL of each latent, and the nats that follow one
factor alone, as C grows; at the end the traversals.  A dense network and 34,560 steps; the paper's was convolutional and
took 100,000.
Run: python examples/beta_capacity.py                 (--quick: seconds, on 16 x 16 sprites)
"""

import numpy as np
from latents import FACTORS, Watch
from matplotlib.figure import Figure
from runner import options, save_figure, train

from vae_from_scratch import Adam, CapacityVAE, datasets, plots

MOST, BATCH, MARKS = 25.0, 64, 48
FULL = {"size": 32, "hidden": (256, 256), "epochs": 3, "images": 737_280, "watched": 5000}
QUICK = {"size": 16, "hidden": (32,), "epochs": 4, "images": 4000, "watched": 1000}


def draw(watch, data):
    """KL of each latent, and KL by factor, against C."""
    capacity, kl, shares = watch.column("capacity"), watch.kl_per_latent(), watch.shares()
    figure = Figure(figsize=(8.3, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    watch.draw(left, capacity, data.factor_names)
    left.set(title="KL of each latent and\nthe factor it follows at the end", xlabel="capacity C, nats")
    for f, name in enumerate(data.factor_names):
        right.plot(capacity, (kl * shares[:, :, f]).sum(axis=1), color=FACTORS[name], label=name)
    right.plot(capacity, watch.column("kl"), color="black", linewidth=1, linestyle=":", label="KL, all")
    right.set(title="nats that follow one factor alone:\nKL times share", xlabel="capacity C, nats", ylabel="nats", ylim=(0, None))
    right.legend(frameon=False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments)
    setting = QUICK if chosen.quick else FULL
    data = datasets.dsprites(size=setting["size"])
    x = data.subset(np.random.default_rng(0).permutation(len(data))[: setting["images"]])
    model = CapacityVAE(data.data_dim, setting["hidden"], 10, "relu", gamma=1000)
    watch = Watch(chosen.out / "results.csv", data, setting["watched"])
    steps = setting["epochs"] * -(-len(x) // BATCH)
    every = setting["epochs"] * len(x) // MARKS
    train(
        chosen.out / "capacity", model, x, Adam(lr=5e-4), BATCH, setting["epochs"], x_valid=watch.some,
        schedule=lambda step: {"capacity": MOST * step / steps}, callback=watch,
        callback_at=[every * k for k in range(1, MARKS + 1)], progress=False,
    )  # fmt: skip
    save_figure(draw(watch, data), chosen.out / "beta_capacity.png")
    (heart,) = data.images(np.array([[2, 5, 0, 16, 16]]))  # the largest, upright, in the middle
    start = model.encode(heart[None])[0][0]
    figure = plots.traversals(model, start, watch.kl_per_latent()[-1], data.image_shape, most=5, x=heart)
    save_figure(figure, chosen.out / "beta_capacity_traversals.png")
    for name, kl in zip(watch.names(data.factor_names), watch.kl_per_latent()[-1]):
        print(f"{kl:.2f} nats, {name}")


if __name__ == "__main__":
    main()

"""What beta does to a latent space you can see: two latents, two digits that look alike.  About a minute on MNIST.

For beta = 0, 1 and 5 a row: the codes of the test images, and the decoder's picture of the plane from -4 to 4.
Run: python examples/beta_latent_space.py            (MNIST, found or downloaded)
     python examples/beta_latent_space.py --data digits --epochs 60      (bundled, seconds)
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from vae_from_scratch import Adam, BetaVAE, datasets, evaluation, fit, plots

PAIR = (4, 9)
SPAN, STEPS = 4, 11
SQUARE = SPAN * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)])


def train_and_draw(data_name, epochs, betas=(0, 1, 5), seed=0):
    """One row of two panels per beta; returns the figure and a table of (beta, reconstruction, KL)."""
    train, test = (d.subset(np.isin(d.labels, PAIR)) for d in map(datasets.load, [data_name] * 2, ("train", "test")))
    figure, table = Figure(figsize=(8.3, 4 * len(betas)), layout="constrained"), []
    for row, beta in zip(figure.subplots(len(betas), 2, squeeze=False, width_ratios=(1, 1.1)), betas):
        model = BetaVAE(train.data_dim, hidden=(500,), latent_dim=2, activation="relu", beta=beta, seed=seed)
        batch_size = min(256, len(train))
        history = fit(model, train, Adam(lr=1e-3), batch_size, epochs, seed, binarize="dynamic", progress=False)
        if len(history["epoch"]) < epochs:
            raise KeyboardInterrupt("interrupted; no figure is written")
        result = evaluation.evaluate(model, test, binarize="dynamic", seed=seed)
        table.append((beta, result.recon_nll, result.kl))
        mu, _ = model.encode(test[np.arange(len(test))])
        plots.latent_scatter(mu, test.labels, ax=row[0], title=f"beta = {beta}: codes, KL {result.kl:.2f} nats")
        row[0].plot(SQUARE[:, 0], SQUARE[:, 1], color="black", linewidth=1)
        row[0].annotate(
            "shown at the right", (-SPAN, SPAN), xytext=(3, -3), textcoords="offset points", va="top", fontsize="small",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip
        plots.show_grid(row[1], plots.manifold_rows(model, SPAN, STEPS), test.image_shape)
        row[1].set(title=f"beta = {beta}: E[x|z], z0 and z1 from -{SPAN} to {SPAN}", xlabel="z0", ylabel="z1")
        for name, side in zip("yx", test.image_shape):
            places = (side + 1) * np.linspace(0, STEPS - 1, 3) + side / 2
            row[1].set(**{f"{name}ticks": places, f"{name}ticklabels": (-SPAN, 0, SPAN)[:: -1 if name == "y" else 1]})
    return figure, table


def main(arguments=None):
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="mnist", help="mnist, fashion-mnist, kmnist or digits")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="one epoch on the bundled digits: shows that it runs")
    parser.add_argument("--out", help="the figure to write (default: runs/beta_latent_space.png)")
    options = parser.parse_args(arguments)
    if options.out is None:
        Path("runs").mkdir(exist_ok=True)
        options.out = "runs/beta_latent_space.png"
    figure, table = train_and_draw(*(("digits", 1) if options.quick else (options.data, options.epochs)))
    for beta, recon_nll, kl in table:
        print(f"beta {beta}: reconstruction {recon_nll:.2f}, KL {kl:.2f} nats per test example")
    plots.save(figure, options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()

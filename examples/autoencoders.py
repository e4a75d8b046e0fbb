"""Filters of four autoencoders with one sigmoid layer each: plain, denoising, sparse, contractive.  About three minutes.

Each price is measured on all four: what is lost of a whole and of a masked image, how active a unit is on average, how
far the layer moves with x.  And a read-out: how many test digits a linear classifier tells by the layer, by the layer
before training, and by the pixels.  Five seeds each; the figure shows the first.
Run: python examples/autoencoders.py                 (--data mnist: larger images; --quick: seconds; --jobs 2: two at a time)
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from runner import Results, folder_of, options, run_each, save_figure, summarize, train

from vae_from_scratch import Adam, Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder, datasets, ops, plots
from vae_from_scratch.disentanglement.codes import standardise
from vae_from_scratch.disentanglement.explicitness import classifier

UNITS, SHOWN, MASKED = 100, 36, 0.5
READ = 10_000  # training images that the read-out learns from
# a linear code as wide as the layer and a linear decoder are together one linear map of the layer
NETWORK = {"hidden": (UNITS,), "latent_dim": UNITS, "decoder_hidden": (), "activation": "sigmoid"}
LAYER = {"hidden": (), "latent_dim": UNITS, "activation": "sigmoid"}
MODELS = {  # name: what makes it for D pixels and a seed
    "plain": lambda D, seed: Autoencoder(D, **NETWORK, seed=seed),
    "denoising": lambda D, seed: DenoisingAutoencoder(D, **NETWORK, corruption="masking", level=MASKED, seed=seed),
    "sparse": lambda D, seed: SparseAutoencoder(D, **LAYER, rho=0.05, weight=3.0, seed=seed),
    "contractive": lambda D, seed: ContractiveAutoencoder(D, **LAYER, weight=1.0, seed=seed),
}
EPOCHS, SEEDS = {"digits": 300, "mnist": 6}, (0, 1, 2, 3, 4)


def learn(folder, model, seed, data, epochs):
    """The trained model, and the processor's seconds that it took."""
    images = datasets.load(data)
    trained = MODELS[model](images.data_dim, seed)
    history = train(folder, trained, images, Adam(lr=2e-3), 100, epochs, seed, progress=False)
    return trained, history["cpu_seconds"][-1]


def layer_of(model, x):
    """The units of the encoder's one layer: (N, UNITS)."""
    return ops.dense_act_forward(x, model.params["encoder_W1"], model.params["encoder_b1"], "sigmoid")


def read_out(data, codes):
    """The percentage of test digits that logistic regression on codes(x) tells; its columns have variance 1."""
    images, test = datasets.load(data)[:READ], datasets.load(data, "test")
    labels = datasets.load(data).labels[:READ]
    x = standardise(codes(np.concatenate([images, test[:]])), len(images))
    W, b = classifier(x[: len(images)], labels, 10)
    return 100 * ((x[len(images) :] @ W + b).argmax(axis=1) == test.labels).mean()


def measure(folder, model, seed, data, epochs):
    """Train one model.  Its row: the five measures on the test images.  "pixels" is no model, and has the last one alone."""
    if model == "pixels":
        return [{"read_out": read_out(data, lambda x: x)}]
    x = datasets.load(data, "test")[:]
    before = MODELS[model](x.shape[1], seed)
    model, seconds = learn(folder, model, seed, data, epochs)
    masked = x * (np.random.default_rng(0).random(x.shape, np.float32) >= MASKED)
    layer = layer_of(model, x)
    norm = ops.contraction_forward(ops.slope_forward(layer, "sigmoid"), model.params["encoder_W1"])
    costs = [model.recon_nll(x, model.encode(seen)).mean() for seen in (x, masked)]
    told = [read_out(data, partial(layer_of, each)) for each in (model, before)]
    return [{"whole": costs[0], "masked": costs[1], "activation": layer.mean(), "norm": norm.mean(), "read_out": told[0],
             "read_out_before": told[1], "cpu_seconds": seconds}]  # fmt: skip


def draw(models, rows, image_shape):
    """The weights into the first units of each, each scaled to its own largest."""
    figure = Figure(figsize=(7.6, 8.4), layout="constrained")
    side = int(SHOWN**0.5)
    for axis, (name, model), row in zip(figure.subplots(2, 2).flat, models.items(), rows):
        filters = model.params["encoder_W1"].T[:SHOWN]
        filters = filters / np.abs(filters).max(axis=1, keepdims=True)
        plots.show_grid(axis, filters.reshape(side, side, -1), image_shape, (-1, 1))
        axis.set_title(name)
        axis.set_xlabel(f"mean activation {row['activation']:.2f}\nsquared Jacobian norm {row['norm']:.3g}", fontsize="small")
    figure.suptitle(f"weights of {SHOWN} units, each scaled to its own largest; grey is 0", fontsize="medium")
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, data="digits", jobs=1, seeds=SEEDS)
    data, how = chosen.data, {"epochs": 2 if chosen.quick else EPOCHS.get(chosen.data, 20)}
    settings = [{"data": data, "model": name, "seed": seed} for seed in chosen.seeds for name in MODELS]
    pixels = {"data": data, "model": "pixels", "seed": chosen.seeds[0]}
    results = Results(chosen.out / "results.csv", keys=("data", "model", "seed"))
    run_each(partial(measure, **how), [*settings, pixels], results, chosen.jobs)
    summarize(results.where(data=data), ["model"], ["whole", "masked", "activation", "norm", "read_out", "read_out_before"])
    shown = [each for each in settings if each["seed"] == chosen.seeds[0]]
    models = {each["model"]: learn(folder_of(results, each), **each, **how)[0] for each in shown}
    rows = [row for each in shown for row in results.where(**each)]
    save_figure(draw(models, rows, datasets.load(data).image_shape), chosen.out / "autoencoders.png")


if __name__ == "__main__":
    main()

"""Filters of four autoencoders with one sigmoid layer each: plain, denoising, sparse, contractive.  Under a minute.

Each price is measured on all four: what is lost of a whole and of a masked image, how active a unit is on average, how
far the layer moves with x.
Run: python examples/autoencoders.py                 (--data mnist: larger images; --quick: seconds)
"""

import numpy as np
from matplotlib.figure import Figure
from runner import Results, options, save_figure, train

from vae_from_scratch import Adam, Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder, datasets, ops, plots

UNITS, SHOWN, MASKED = 100, 36, 0.5
# a linear code as wide as the layer and a linear decoder are together one linear map of the layer
NETWORK = {"hidden": (UNITS,), "latent_dim": UNITS, "decoder_hidden": (), "activation": "sigmoid"}
LAYER = {"hidden": (), "latent_dim": UNITS, "activation": "sigmoid"}
MODELS = {  # name: what makes it for D pixels
    "plain": lambda D: Autoencoder(D, **NETWORK),
    "denoising": lambda D: DenoisingAutoencoder(D, **NETWORK, corruption="masking", level=MASKED),
    "sparse": lambda D: SparseAutoencoder(D, **LAYER, rho=0.05, weight=3.0),
    "contractive": lambda D: ContractiveAutoencoder(D, **LAYER, weight=1.0),
}
EPOCHS = {"digits": 300, "mnist": 6}


def measure(model, x, masked):
    """The four measures on images x (n, D)."""
    layer = ops.dense_act_forward(x, model.params["encoder_W1"], model.params["encoder_b1"], "sigmoid")
    norm = ops.contraction_forward(ops.slope_forward(layer, "sigmoid"), model.params["encoder_W1"])
    costs = [model.recon_nll(x, model.encode(seen)).mean() for seen in (x, masked)]
    return {"whole": costs[0], "masked": costs[1], "activation": layer.mean(), "norm": norm.mean()}


def draw(models, rows, image_shape):
    """The weights into the first units of each, each scaled to its own largest."""
    figure = Figure(figsize=(7.6, 8.4), layout="constrained")
    side = int(SHOWN**0.5)
    for axis, (name, model), row in zip(figure.subplots(2, 2).flat, models.items(), rows):
        filters = model.params["encoder_W1"].T[:SHOWN]
        filters = filters / np.abs(filters).max(axis=1, keepdims=True)
        plots.show_grid(axis, filters.reshape(side, side, -1), image_shape, (-1, 1))
        axis.set_title(name)
        axis.set_xlabel(f"mean activation {row['activation']:.2f}\nsquared Jacobian norm {row['norm']:.2g}", fontsize="small")
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, data="digits")
    data, test = (datasets.load(chosen.data, split) for split in ("train", "test"))
    epochs = 2 if chosen.quick else EPOCHS.get(chosen.data, 20)
    x = test[:]
    masked = x * (np.random.default_rng(0).random(x.shape, np.float32) >= MASKED)
    results, models, rows = Results(chosen.out / "results.csv", keys=("model",)), {}, []
    for name, make in MODELS.items():
        models[name] = make(data.data_dim)
        train(chosen.out / name, models[name], data, Adam(lr=2e-3), 100, epochs, progress=False)
        rows.append(measure(models[name], x, masked))
        results.add(model=name, **rows[-1])
        print(f"{name}: " + ", ".join(f"{what} {value:.3g}" for what, value in rows[-1].items()))
    save_figure(draw(models, rows, data.image_shape), chosen.out / "autoencoders.png")


if __name__ == "__main__":
    main()

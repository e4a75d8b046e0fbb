"""A VAE and IWAEs of 5 and 50 draws on the bundled digits, and the noise of their gradients.  About five minutes.

Burda et al. 2015 train on a bound that is tighter the more draws it has; Rainforth et al. 2018 see the encoder's
gradient vanish in its noise as it tightens; Tucker et al. 2019 mend that.  derivations/17-tighter-bounds.md derives it.
Five seeds each.
Run: python examples/tighter_bounds.py                 (--quick: seconds; --jobs 2: two at a time)
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from runner import Results, curves, options, run_each, save_figure, seeds_and_mean, summarize, train

from vae_from_scratch import IWAE, VAE, Adam, datasets, evaluation, plots

MODELS = {  # name: its class and what it has beside a VAE's settings
    "VAE": (VAE, {}),
    "IWAE, 5 draws": (IWAE, {"samples": 5}),
    "IWAE, 50 draws": (IWAE, {"samples": 50}),
    "the same, doubly reparameterized": (IWAE, {"samples": 50, "doubly": True}),
}
SEEDS = (0, 1, 2, 3, 4)
# draws in the bound that is evaluated, draws in the gradient, and how often that one is drawn
FULL = {"epochs": 100, "samples": (1, 5, 50, 500, 2000), "draws": (1, 2, 5, 10, 20, 50, 100), "repeats": 200}
QUICK = {"epochs": 1, "samples": (1, 5), "draws": (1, 2), "repeats": 5}
GRADIENTS = {"decoder": plots.COLOURS[0], "encoder": plots.COLOURS[2], "encoder, doubly": plots.COLOURS[1]}


def learn(folder, model, seed, how):
    """The trained model, and the processor's seconds that it took."""
    data, (model_class, own) = datasets.digits()[:], MODELS[model]
    trained = model_class(data.shape[1], (128,), 10, seed=seed, **own)
    history = train(folder, trained, data, Adam(lr=2e-3), epochs=how["epochs"], seed=seed, binarize="dynamic", progress=False)
    return trained, history["cpu_seconds"][-1]


def measure_bounds(folder, model, seed, how):
    """Train one model.  Its rows: the bound on the test images from more and more draws."""
    model, seconds = learn(folder, model, seed, how)
    test = datasets.digits("test")[:]
    seen = evaluation.evaluate(model, test, binarize="dynamic", samples=10)
    same = {"elbo": seen.elbo, "kl": seen.kl, "active_units": seen.active_units, "cpu_seconds": seconds}
    rows = []
    for K in how["samples"]:
        bound = evaluation.log_likelihood(model, test, K, binarize="dynamic", progress=False).bound
        rows.append({"samples": K, "bound": bound.mean, "standard_error": bound.standard_error} | same)
    return rows


def measure_noise(folder, model, seed, how):
    """Rows of signal to noise of the gradients at the parameters of a VAE that has been trained."""
    vae, _ = learn(folder, model, seed, how)
    batch = (datasets.digits("test")[:][:100] > 0.5).astype(np.float32)
    rows = []
    for doubly in (False, True):
        for K in how["draws"]:
            model = IWAE(batch.shape[1], (128,), 10, samples=K, doubly=doubly)
            model.params = vae.params
            ratios = signal_to_noise(model, batch, how["repeats"], np.random.default_rng([seed, K]))
            rows.append({"gradient": "encoder, doubly" if doubly else "encoder", "samples": K, "snr": ratios["encoder"]})
            if not doubly:
                rows.append({"gradient": "decoder", "samples": K, "snr": ratios["decoder"]})
    return rows


def signal_to_noise(model, x, draws, rng):
    """Length of the mean gradient over the standard deviation of one draw, for encoder and decoder."""
    found = {}
    for _ in range(draws):
        grads = model.loss_and_grads(x, *model.draw_noise(len(x), rng))[1]
        for name, network in {"encoder": model.encoder, "decoder": model.decoder}.items():
            whole = np.concatenate([grads[key].ravel() for pair in network.names for key in pair])
            found.setdefault(name, []).append(whole)
    ratios = {}
    for name, each in found.items():
        mean, variance = np.mean(each, axis=0, dtype=np.float64), np.var(each, axis=0, ddof=1, dtype=np.float64)
        signal = (mean**2 - variance / draws).sum()  # unbiased
        ratios[name] = np.sqrt(max(signal, 0) / variance.sum())
    return ratios


def draw(bounds, noise):
    """Left: the bound of each model against the draws in it.  Right: signal to noise of the gradients at the VAEs."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in zip(MODELS, (plots.COLOURS[i] for i in (3, 4, 2, 1))):
        seeds_and_mean(left, *curves(bounds.where(model=name), "samples", "bound"), colour, name)
    left.set(xscale="log", xlabel="draws in the bound", ylabel="nats per image", title="bound on log p(x), test digits")
    for name, colour in GRADIENTS.items():
        seeds_and_mean(right, *curves(noise.where(gradient=name), "samples", "snr"), colour, name)
    right.set(
        xscale="log", yscale="log", xlabel="draws K in the loss", ylabel="mean gradient / noise of one draw",
        title="gradients at the trained VAEs' parameters",
    )  # fmt: skip
    left.legend(frameon=False, loc="lower right", fontsize="small")
    right.legend(frameon=False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, jobs=1, seeds=SEEDS)
    how = QUICK if chosen.quick else FULL
    bounds = Results(chosen.out / "results.csv", keys=("model", "seed", "samples"))
    settings = [{"model": name, "seed": seed} for seed in chosen.seeds for name in MODELS]
    run_each(partial(measure_bounds, how=how), settings, bounds, chosen.jobs)
    summarize(bounds.rows, ["model", "samples"], ["bound", "elbo"])
    noise = Results(chosen.out / "noise.csv", keys=("model", "seed", "gradient", "samples"))
    run_each(partial(measure_noise, how=how), [each for each in settings if each["model"] == "VAE"], noise, chosen.jobs)
    summarize(noise.rows, ["gradient", "samples"], ["snr"])
    save_figure(draw(bounds, noise), chosen.out / "tighter_bounds.png")


if __name__ == "__main__":
    main()

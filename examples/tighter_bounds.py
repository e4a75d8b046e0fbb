"""A VAE and IWAEs of 5 and 50 draws on the bundled digits, and the noise of their gradients.  Less than a minute.

Burda et al. 2015 train on a bound that is tighter the more draws it has; Rainforth et al. 2018 see the encoder's
gradient vanish in its noise as it tightens; Tucker et al. 2019 mend that.  derivations/17-tighter-bounds.md derives it.
Run: python examples/tighter_bounds.py                 (--quick: seconds)
"""

import numpy as np
from matplotlib.figure import Figure
from runner import Results, options, save_figure, train

from vae_from_scratch import IWAE, VAE, Adam, datasets, evaluation, plots

MODELS = {  # name: its class and what it has beside a VAE's settings
    "VAE": (VAE, {}),
    "IWAE, 5 draws": (IWAE, {"samples": 5}),
    "IWAE, 50 draws": (IWAE, {"samples": 50}),
    "the same, doubly reparameterized": (IWAE, {"samples": 50, "doubly": True}),
}
SAMPLES, DRAWS = (1, 5, 50, 500, 2000), (1, 2, 5, 10, 20, 50, 100)  # in the bound that is evaluated; in the gradient
GRADIENTS = {"decoder": plots.COLOURS[0], "encoder": plots.COLOURS[2], "encoder, doubly": plots.COLOURS[1]}


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
    """Left: the bound of each model against the draws in it.  Right: signal to noise of the gradients of one model."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in zip(MODELS, (plots.COLOURS[i] for i in (3, 4, 2, 1))):
        rows = bounds.where(model=name)
        left.plot([row["samples"] for row in rows], [row["bound"] for row in rows], "o-", color=colour, label=name)
    left.set(xscale="log", xlabel="draws in the bound", ylabel="nats per image", title="bound on log p(x), test digits")
    for name, colour in GRADIENTS.items():
        rows = noise.where(gradient=name)
        right.plot([row["samples"] for row in rows], [row["snr"] for row in rows], "o-", color=colour, label=name)
    right.set(
        xscale="log", yscale="log", xlabel="draws K in the loss", ylabel="mean gradient / noise of one draw",
        title="gradients of the trained VAE's parameters",
    )  # fmt: skip
    left.legend(frameon=False, loc="lower right", fontsize="small")
    right.legend(frameon=False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments)
    epochs, repeats, samples, draws = (1, 5, SAMPLES[:2], DRAWS[:2]) if chosen.quick else (100, 200, SAMPLES, DRAWS)
    data, test = datasets.digits()[:], datasets.digits("test")[:]
    bounds = Results(chosen.out / "results.csv", keys=("model", "samples"))
    noise = Results(chosen.out / "noise.csv", keys=("gradient", "samples"))
    trained = {}
    for number, (name, (model_class, own)) in enumerate(MODELS.items()):
        model = trained[name] = model_class(data.shape[1], (128,), 10, **own)
        history = train(
            chosen.out / f"model-{number}", model, data, Adam(lr=2e-3), epochs=epochs, binarize="dynamic", progress=False
        )
        seen = evaluation.evaluate(model, test, binarize="dynamic", samples=10)
        for K in samples:
            bound = evaluation.log_likelihood(model, test, K, binarize="dynamic", progress=False).bound
            bounds.add(
                model=name, samples=K, bound=bound.mean, standard_error=bound.standard_error, elbo=seen.elbo, kl=seen.kl,
                active_units=seen.active_units,
            )  # fmt: skip
        print(f"{name}: ELBO {seen.elbo:.2f}, {K} draws {bound.mean:.2f} nats ({history['seconds'][-1]:.0f} s)", flush=True)
    batch = (test[:100] > 0.5).astype(np.float32)
    for doubly in (False, True):
        for K in draws:
            model = IWAE(data.shape[1], (128,), 10, samples=K, doubly=doubly)
            model.params = trained["VAE"].params
            ratios = signal_to_noise(model, batch, repeats, np.random.default_rng(K))
            noise.add(gradient="encoder, doubly" if doubly else "encoder", samples=K, snr=ratios["encoder"])
            if not doubly:
                noise.add(gradient="decoder", samples=K, snr=ratios["decoder"])
    save_figure(draw(bounds, noise), chosen.out / "tighter_bounds.png")


if __name__ == "__main__":
    main()

"""How noisy the score-function and the pathwise gradient of one VAE are, measured on MNIST.  Ten minutes.

Both estimate the same thing: the gradient of E_q[-log p(x|z)] in the encoder's parameters, for a fixed batch (the
KL's gradient is exact and needs no estimate).  derivations/05-reparameterization.md derives them: (SF.1), (SF.2), the
baseline (SF.3), and (REP.2), (REP.3).  Five seeds each: of the network, its training, and the draws.
Run: python examples/gradient_variance.py               (--quick: bundled digits, seconds; --jobs 2: two at a time)
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from runner import Results, curves, options, run_each, save_figure, seeds_and_mean, train

from vae_from_scratch import VAE, datasets, plots

ESTIMATORS = {"score function": plots.COLOURS[2], "with a baseline": plots.COLOURS[1], "pathwise": plots.COLOURS[0]}
LATENTS, SHOWN = (2, 5, 10, 20, 50), 20  # the left panel follows the training of SHOWN latents
SEEDS = (0, 1, 2, 3, 4)
FULL = {"data": "mnist", "marks": [100, 1000, 10_000, 100_000, 300_000], "draws": 300}
QUICK = {"data": "digits", "marks": [100, 1000], "draws": 10}


def gradients(model, x, rng, baseline):
    """One draw of each estimator for the mean over x (N, D): name -> {parameter of the encoder: its gradient}."""
    ops, params, d = model.ops, model.params, model.latent_dim
    enc = model.encoder.forward(ops, params, x)
    mu, logvar = enc[-1][:, :d], enc[-1][:, d:]
    (eps,) = model.draw_noise(len(x), rng)
    dec = model.decoder.forward(ops, params, ops.reparameterize_forward(mu, logvar, eps))
    recon_nll = model.likelihood.forward(ops, params, dec[-1], x)

    grads, share = params.zeros_like(), np.ones(len(x), model.dtype) / len(x)
    dout = model.likelihood_backward(share, dec[-1], x, grads)
    dz = model.decoder.backward(ops, params, dout, dec, grads)
    at_heads = {"pathwise": ops.reparameterize_backward(dz, logvar, eps)}
    dlogq_dmu, dlogq_dlogvar = eps * np.exp(-logvar / 2), (eps * eps - 1) / 2  # (SF.2)
    for name, f in {"score function": recon_nll, "with a baseline": recon_nll - baseline}.items():
        weight = (share * f)[:, None]  # (SF.1), (SF.3)
        at_heads[name] = weight * dlogq_dmu, weight * dlogq_dlogvar
    found = {}
    for name, heads in at_heads.items():
        model.encoder.backward(ops, params, np.concatenate(heads, axis=1), enc, grads, need_dx=False)
        found[name] = {key: grads[key].astype(np.float64) for pair in model.encoder.names for key in pair}
    return found


def measure(model, x, draws, seed=0):
    """Mean and variance of every estimator over many draws: name -> {parameter: (mean, variance of one draw)}."""
    rng = np.random.default_rng([seed, 2013])
    baseline = np.mean([model.loss(x, *model.draw_noise(len(x), rng)).recon_nll_each for _ in range(20)], axis=0)
    sums = {}
    for _ in range(draws):
        for name, grads in gradients(model, x, rng, baseline).items():
            for key, grad in grads.items():
                total, squares = sums.setdefault(name, {}).setdefault(key, (np.zeros_like(grad), np.zeros_like(grad)))
                total += grad
                squares += grad * grad
    return {
        name: {key: (s / draws, (q - s * s / draws) / (draws - 1)) for key, (s, q) in by_key.items()}
        for name, by_key in sums.items()
    }


def look_at(model, x, draws, seed, seen):
    """Rows: the variance of a draw, summed over the entries of each parameter, and the squared signal."""
    found, rows = measure(model, x, draws, seed), []
    signal = sum((mean**2 - variance / draws).sum() for mean, variance in found["pathwise"].values())  # unbiased
    for name, by_key in found.items():
        noise = {key: variance.sum() for key, (_, variance) in by_key.items()}
        rows.append({"samples": seen, "estimator": name, "variance": sum(noise.values()), "signal": signal, **noise})
    return rows


def follow(folder, latents, seed, how):
    """Train one model.  Its rows: look_at at every mark for SHOWN latents, at the last for the others."""
    data = datasets.load(how["data"])
    x, seen_at = datasets.load(how["data"], "test")[np.arange(100)], Results(folder / "seen.csv", keys=("samples", "estimator"))

    def look(model, seen):
        if latents == SHOWN or seen == how["marks"][-1]:
            seen_at.add_all(look_at(model, x, how["draws"], seed, seen))

    model = VAE(data.data_dim, hidden=(200,), latent_dim=latents, seed=seed)
    train(
        folder, model, data, epochs=-(-how["marks"][-1] // len(data)), seed=seed, binarize="dynamic", callback=look,
        callback_at=how["marks"], progress=False,
    )  # fmt: skip
    return seen_at.rows


def over_signal(row):
    """Noise against signal."""
    return row["variance"] / row["signal"]


def over_pathwise(results, row):
    """How much noisier than the pathwise estimator on the same model."""
    same = {name: row[name] for name in ("latents", "seed", "samples")}
    return row["variance"] / results.where(**same, estimator="pathwise")[0]["variance"]


def draw(results):
    """Left: noise against signal in training.  Right: how much noisier the score function is, by latents."""
    figure = Figure(figsize=(8.3, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    last = max(row["samples"] for row in results.finished())
    for name, colour in ESTIMATORS.items():
        seeds_and_mean(left, *curves(results.where(latents=SHOWN, estimator=name), "samples", over_signal), colour, name)
        if name != "pathwise":
            rows = results.where(estimator=name, samples=last)
            seeds_and_mean(right, *curves(rows, "latents", partial(over_pathwise, results)), colour, name)
    left.set(
        xscale="log", yscale="log", xlabel="training samples seen", ylabel="variance of a draw / squared gradient",
        title=f"during training, {SHOWN} latents",
    )  # fmt: skip
    right.set(
        xscale="log", yscale="log", xlabel="latents", ylabel="variance / the pathwise variance", ylim=(1, None),
        title=f"after {last:,} samples", xticks=LATENTS, xticklabels=LATENTS,
    )  # fmt: skip
    right.minorticks_off()
    left.legend(frameon=False, loc=(0.02, 0.4))
    right.legend(frameon=False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, jobs=1, seeds=SEEDS)
    how = QUICK if chosen.quick else FULL
    results = Results(chosen.out / "results.csv", keys=("latents", "seed", "samples", "estimator"))
    settings = [{"latents": latents, "seed": seed} for seed in chosen.seeds for latents in LATENTS]
    run_each(partial(follow, how=how), settings, results, chosen.jobs)
    for name in ("score function", "with a baseline"):
        rows = results.where(estimator=name, samples=how["marks"][-1])
        at, each = curves(rows, "latents", partial(over_pathwise, results))
        for latents, found in zip(at, each.T):
            print(f"{latents} latents, {name}: {found.mean():.4g} of the pathwise variance, {found.min():.4g} to {found.max():.4g}")
    save_figure(draw(results), chosen.out / "gradient_variance.png")


if __name__ == "__main__":
    main()

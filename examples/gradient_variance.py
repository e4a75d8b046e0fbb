"""How noisy the score-function and the pathwise gradient of one VAE are, measured on MNIST.  Half a minute.

Both estimate the same thing: the gradient of E_q[-log p(x|z)] in the encoder's parameters, for a fixed batch (the
KL's gradient is exact and needs no estimate).  derivations/05-reparameterization.md derives them: (SF.1), (SF.2), the
baseline (SF.3), and (REP.2), (REP.3).
Run: python examples/gradient_variance.py               (--quick: bundled digits, seconds)
"""

import numpy as np
from matplotlib.figure import Figure
from runner import Results, options, save_figure, train

from vae_from_scratch import VAE, datasets, plots

ESTIMATORS = {"score function": plots.COLOURS[2], "with a baseline": plots.COLOURS[1], "pathwise": plots.COLOURS[0]}
LATENTS, SHOWN = (2, 5, 10, 20, 50), 20  # the left panel follows the training of SHOWN latents


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


def look_at(model, x, draws, results, latents, seen):
    """Add to results: the variance of a draw, summed over the entries of each parameter, and the squared signal."""
    found = measure(model, x, draws)
    signal = sum((mean**2 - variance / draws).sum() for mean, variance in found["pathwise"].values())  # unbiased
    for name, by_key in found.items():
        noise = {key: variance.sum() for key, (_, variance) in by_key.items()}
        results.add(
            latents=latents, samples=seen, estimator=name, variance=sum(noise.values()), signal=signal, **noise
        )


def draw(results):
    """Left: noise against signal in training.  Right: how much noisier the score function is, by latents."""
    figure = Figure(figsize=(8.3, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    last = max(row["samples"] for row in results.rows)
    for name, colour in ESTIMATORS.items():
        rows = results.where(latents=SHOWN, estimator=name)
        ratio = [row["variance"] / row["signal"] for row in rows]
        left.plot([row["samples"] for row in rows], ratio, "o-", color=colour, label=name)
        if name != "pathwise":
            pairs = [
                (row, results.where(latents=row["latents"], estimator="pathwise", samples=last)[0])
                for row in results.where(estimator=name, samples=last)
            ]
            ratio = [row["variance"] / pathwise["variance"] for row, pathwise in pairs]
            right.plot([row["latents"] for row, _ in pairs], ratio, "o-", color=colour, label=name)
    left.set(
        xscale="log", yscale="log", xlabel="training samples seen", ylabel="variance of a draw / squared gradient",
        title=f"during training, {SHOWN} latents",
    )  # fmt: skip
    right.set(
        xscale="log", yscale="log", xlabel="latents", ylabel="variance / the pathwise variance", ylim=(1, None),
        title=f"after {last:,} samples", xticks=LATENTS, xticklabels=LATENTS,
    )  # fmt: skip
    right.minorticks_off()
    left.legend(frameon=False)
    right.legend(frameon=False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments)
    data = datasets.load("digits" if chosen.quick else "mnist")
    marks, draws = ([100, 1000], 10) if chosen.quick else ([100, 1000, 10_000, 100_000, 300_000], 300)
    x = datasets.load(data.name, "test")[np.arange(100)]
    results = Results(chosen.out / "results.csv", keys=("latents", "samples", "estimator"))
    for latents in LATENTS:
        model = VAE(data.data_dim, hidden=(200,), latent_dim=latents, seed=0)

        def look(model, seen, latents=latents):
            if latents == SHOWN or seen == marks[-1]:
                look_at(model, x, draws, results, latents, seen)

        epochs = -(-marks[-1] // len(data))
        train(
            chosen.out / f"latents-{latents}", model, data, epochs=epochs, binarize="dynamic",
            callback=look, callback_at=marks, progress=False,
        )  # fmt: skip
    for row in results.rows:
        print(f"{row['latents']} latents, {row['samples']} samples, {row['estimator']}: {row['variance']:.3g}")
    save_figure(draw(results), chosen.out / "gradient_variance.png")


if __name__ == "__main__":
    main()

"""Exact answers: linear VAEs beside the optima that are known on paper.  About twenty minutes.

Three experiments, everything measured without sampling: the VAE against probabilistic PCA on MNIST, its latents turned,
and the beta-VAE across beta on the bundled fours, noise fixed and learned.  Three seeds each.  Formulas and proofs:
derivations/03 and 20.
Run: python examples/exact_answers.py            (--quick: the bundled digits in the place of MNIST, seconds)
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from runner import Results, folder_of, options, run_each, save_figure, summarize, train

from vae_from_scratch import Adam, BetaVAE, Gaussian, datasets, ops, plots
from vae_from_scratch.engine.batches import in_order
from vae_from_scratch.evaluation import ACTIVE_VARIANCE
from vae_from_scratch.exact import linear_optimum

FIXED, LATENTS = 0.05, 3  # of the beta-VAEs: sigma_x^2 where it is fixed, and Z
BETAS = (0.5, 1.0, 2.0, 3.5, 5.0, 7.0, 9.0, 10.3, 11.5, 14.0, 16.0, 18.0)
SEEDS, LR = (0, 1, 2), 4e-3  # LR: the largest step of the VAEs
FULL = {"data": "mnist", "latents": (2, 10, 20), "partners": (2, 10, 20), "batch_size": 200, "epochs": 200, "betas": BETAS, "steps": 8000}
QUICK = {"data": "digits", "latents": (2, 5), "partners": (2, 3, 5), "batch_size": 100, "epochs": 40, "betas": BETAS[::5], "steps": 300}


# ---- what is known on paper -------------------------------------------------------------------------


class Moments(NamedTuple):
    """All of a data set that a linear VAE's optimum depends on: (D,), (D, D); values fall, vectors are columns."""

    mean: np.ndarray
    covariance: np.ndarray
    values: np.ndarray
    vectors: np.ndarray


def moments(x):
    """Moments of every row of x, with 1/N in the covariance."""
    first, second = 0.0, 0.0
    for rows in in_order(len(x), 5000):
        batch = x[rows].astype(np.float64)
        first, second = first + batch.sum(axis=0) / len(x), second + batch.T @ batch / len(x)
    covariance = second - np.outer(first, first)
    values, vectors = np.linalg.eigh(covariance)
    return Moments(first, covariance, values[::-1].clip(0), vectors[:, ::-1])


def ppca(values, Z):
    """The largest mean log likelihood of probabilistic PCA (note 20, after LIN.11), which the best ELBO equals."""
    D, noise = len(values), values[Z:].mean()
    return -(D * np.log(2 * np.pi) + np.log(values[:Z]).sum() + (D - Z) * np.log(noise) + D) / 2


def on_paper(values, Z, beta, noise=None):
    """The beta-VAE's optimum: sigma_x^2 (learned if None), then LIN.5's variances of q and LIN.6's KLs, both (Z,)."""
    _, noise = linear_optimum(values, Z, beta, noise)
    variance = np.minimum(1, beta * noise / values[:Z])
    return noise, variance, -np.log(variance) / 2


def turning_costs(a, b, degrees):
    """LIN.13: nats of ELBO lost when the latents of eigenvalues a and b turn in their plane."""
    return np.log1p((a - b) ** 2 / (4 * a * b) * np.sin(2 * np.radians(degrees)) ** 2) / 2


# ---- a linear model measured, and put where we want it ------------------------------------------------


def noise_of(model):
    """sigma_x^2."""
    return float(np.exp(model.params["x_logvar"])) if "x_logvar" in model.params else model.likelihood.sigma**2


def exact(model, x):
    """Means over every row of x, without sampling: -log p(x|z) in nats, then KL, variance of q and of its mean (Z,)."""
    lengths, nll, sums = (model.params["decoder_W1"] ** 2).sum(axis=1), 0.0, 0.0
    for rows in in_order(len(x), 1000):
        mu, logvar = model.encode(x[rows])
        at_mean = model.loss(x[rows], np.zeros_like(mu)).recon_nll_each  # at z = mu; noise adds the last term of RD.7
        nll += (at_mean + np.exp(logvar) @ lengths / (2 * noise_of(model))).sum() / len(x)
        each = ops.gaussian_kl_per_latent(mu, logvar), np.exp(logvar), mu, mu**2
        sums = sums + np.sum(each, axis=1) / len(x)
    kl, variance, mean, square = sums
    return nll, kl, variance, square - mean**2


def elbo(model, x):
    """The mean ELBO in nats, without sampling."""
    nll, kl, *_ = exact(model, x)
    return -nll - kl.sum()


def log_likelihood(model, data):
    """The mean of log p(x) in nats: LVM.2, averaged over data of these Moments."""
    W, off = model.params["decoder_W1"], data.mean - model.params["decoder_b1"]
    K = W.T @ W + noise_of(model) * np.eye(len(off))
    spread = np.linalg.solve(K, data.covariance + np.outer(off, off))
    return -(len(off) * np.log(2 * np.pi) + np.linalg.slogdet(K)[1] + np.trace(spread)) / 2


def put_decoder(model, W, b, noise):
    """Set the decoder, and the encoder to the best there is for it at beta = 1 with a diagonal q: Q.8."""
    to_mu = W.T @ np.linalg.inv(noise * np.eye(len(W)) + W @ W.T)
    logvar = -np.log1p((W**2).sum(axis=1) / noise)
    model.params["decoder_W1"], model.params["decoder_b1"] = W, b
    model.params["encoder_W1"] = np.concatenate([to_mu, np.zeros_like(to_mu)], axis=1)
    model.params["encoder_b1"] = np.concatenate([-b @ to_mu, logvar])
    model.params["x_logvar"] = np.log(noise)


def turned(W, i, j, degrees):
    """W with its rows i and j turned in their plane: W^T W, and so the density of x, stays."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    W = W.copy()
    W[[i, j]] = np.array([[cos, -sin], [sin, cos]]) @ W[[i, j]]
    return W


def largest_angle(W, U):
    """The largest principal angle in degrees between the span of W's rows and that of U's orthonormal columns."""
    Q = np.linalg.qr(W.T)[0]
    sine = np.linalg.norm(Q - U @ (U.T @ Q), 2)  # not the cosine, of which a small angle has no digits
    return np.degrees(np.arcsin(min(1, sine)))


# ---- the experiments ----------------------------------------------------------------------------------


def linear(D, Z, sigma="learned", beta=1.0, dtype="float64", seed=0):
    """The model of all experiments; at beta = 1 it is the VAE."""
    return BetaVAE(D, (), Z, likelihood=Gaussian(sigma=sigma), beta=beta, dtype=dtype, seed=seed)


def falling(lr, steps, beta2=0.999):
    """Adam whose step size falls from lr to 0 along half a cosine."""
    return Adam(lr=lambda step: lr * (1 + np.cos(np.pi * step / steps)) / 2, beta2=beta2)


def learn(folder, model, x, lr, batch_size, epochs, seed=0):
    """Train by mini-batches and drawn noise.  Returns the model in float64, and the processor's seconds that it took."""
    steps = epochs * -(-len(x) // batch_size)
    history = train(folder, model, x, falling(lr, steps), batch_size, epochs, seed, progress=False)
    trained = type(model)(**model.config | {"dtype": "float64"})
    trained.params = model.params
    return trained, history["cpu_seconds"][-1]


def learn_exactly(model, x, lr, steps):
    """Train a linear model on the gradient itself: all of x, and a mean over noise that is no draw."""
    Z = model.latent_dim
    eps = np.sqrt(Z) * np.concatenate([np.eye(Z), -np.eye(Z)])  # mean 0, covariance I: the loss is quadratic in eps
    batch = np.repeat(x, len(eps), axis=0).astype(model.dtype), np.tile(eps, (len(x), 1)).astype(model.dtype)
    adam = falling(lr, steps, beta2=0.98)  # nothing is drawn, so there is nothing to average over 1000 steps
    state = adam.initial_state(model.params)
    for _ in range(steps):
        adam.step(model.params, model.loss_and_grads(*batch)[1], state, model.ops)


def sorted_decoder(model):
    """The rows of W, the longest first."""
    W = model.params["decoder_W1"]
    return W[np.argsort(-np.linalg.norm(W, axis=1))]


def learn_images(folder, latents, seed, how):
    """The images, the trained VAE, and the processor's seconds that it took."""
    x = datasets.load(how["data"])
    model = linear(x.data_dim, latents, dtype="float32", seed=seed)
    return x, *learn(folder, model, x, LR, how["batch_size"], how["epochs"], seed)


def reach_optimum(folder, latents, seed, how):
    """Train one VAE.  Its row: see against_ppca."""
    x, model, seconds = learn_images(folder, latents, seed, how)
    return [against_ppca(model, x, moments(x)) | {"cpu_seconds": seconds}]


def against_ppca(model, x, data):
    """A trained VAE beside the optimum; the gap is split as in note 3, with what the decoder itself lacks before it."""
    Z, noise, W = model.latent_dim, noise_of(model), sorted_decoder(model)
    best_encoder = linear(len(data.mean), Z)
    put_decoder(best_encoder, model.params["decoder_W1"], model.params["decoder_b1"], noise)
    best, likelihood, reachable, trained = (
        ppca(data.values, Z), log_likelihood(model, data), elbo(best_encoder, x), elbo(model, x)
    )  # fmt: skip
    to_logvar = model.params["encoder_W1"][:, Z:]
    cosines = abs(W @ data.vectors[:, :Z]).max(axis=1) / np.linalg.norm(W, axis=1)
    return {
        "optimum": best,
        "elbo": trained,
        "gap": best - trained,
        "decoder_gap": best - likelihood,
        "approximation_gap": likelihood - reachable,
        "amortisation_gap": reachable - trained,
        "subspace_degrees": largest_angle(W, data.vectors[:, :Z]),
        "axis_degrees": np.degrees(np.arccos(min(1, cosines.min()))),  # of the row furthest from an eigenvector
        "logvar_sd": np.sqrt(np.diag(to_logvar.T @ data.covariance @ to_logvar).max()),  # over x; at the optimum 0
        "noise": noise,
        "noise_formula": data.values[Z:].mean(),
    }


def turn(folder, latents, seed, how):
    """Rows: latent 1 of a trained VAE turned with each partner, the encoder at its best answer, and what that costs."""
    x, model, _ = learn_images(folder, latents, seed, how)
    data, b, noise, W = moments(x), model.params["decoder_b1"], noise_of(model), sorted_decoder(model)
    other, before, rows = linear(len(b), latents), None, []
    for partner in how["partners"]:
        for degrees in (0, 15, 30, 45, 60, 75, 90):
            put_decoder(other, turned(W, 0, partner - 1, degrees), b, noise)
            now = np.array([log_likelihood(other, data), elbo(other, x)])
            before = now if before is None else before  # at no degrees
            change, loss = now[0] - before[0], before[1] - now[1]
            formula = turning_costs(data.values[0], data.values[partner - 1], degrees)
            costs = {"log_likelihood_change": change, "elbo_drop": loss, "elbo_drop_formula": formula}
            rows.append({"partner": partner, "degrees": degrees} | costs)
    return rows


def fours():
    """The fours among the bundled training digits, centred, which changes no optimum but b, and lets Adam arrive sooner."""
    digits = datasets.digits("train")
    x = digits[np.flatnonzero(digits.labels == 4)].astype(np.float64)
    return x - x.mean(axis=0)


def across_beta(folder, noise, beta, seed, how):
    """Train one beta-VAE.  Its rows, beside the formulas: one for each latent, the largest KL first."""
    x = fours()
    model = linear(x.shape[1], LATENTS, FIXED**0.5 if noise == "fixed" else "learned", beta, seed=seed)
    learn_exactly(model, x, lr=3e-2, steps=how["steps"])
    _, kl, variance, mean_variance = exact(model, x)
    sigma2, variance_formula, kl_formula = on_paper(moments(x).values, LATENTS, beta, FIXED if noise == "fixed" else None)
    return [
        {
            "latent": rank + 1,
            "active": int(mean_variance[j] > ACTIVE_VARIANCE), "active_formula": int(kl_formula[rank] > 0),
            "kl": kl[j], "kl_formula": kl_formula[rank],
            "variance": variance[j], "variance_formula": variance_formula[rank],
            "sigma2": noise_of(model), "sigma2_formula": sigma2,
        }
        for rank, j in enumerate(np.argsort(-kl))
    ]  # fmt: skip


# ---- the figures ----------------------------------------------------------------------------------------


def figure_of_axes(model, data, image_shape, gaps, costs):
    """Above: eigenvectors and the trained decoder's rows.  Below: the gap to the optimum, and what turning costs."""
    figure = Figure(figsize=(9, 5.8), layout="constrained")
    mosaic = [["images", "images"], ["gap", "turned"]]
    axes = figure.subplot_mosaic(mosaic, height_ratios=(1, 1.9), width_ratios=(1, 1.5))
    count = min(10, model.latent_dim)
    W, U = sorted_decoder(model)[:count], data.vectors.T[:count]
    W = W / np.linalg.norm(W, axis=1, keepdims=True) * np.sign(np.sum(W * U, axis=1, keepdims=True))
    scale = 2 * abs(U).max(axis=1, keepdims=True)
    plots.show_grid(axes["images"], [0.5 + U / scale, 0.5 + W / scale], image_shape)
    height = image_shape[0] + 1
    axes["images"].set_yticks([height / 2, 1.5 * height], ["eigenvectors", "decoder rows"], fontsize="small")
    Z = model.latent_dim
    axes["images"].set_title(f"the first {count} principal axes; the longest {count} of the decoder's {Z} rows")

    sizes = sorted({row["latents"] for row in gaps})
    bottom, mine = np.zeros(len(sizes)), [[row for row in gaps if row["latents"] == Z] for Z in sizes]
    for colour, part in zip(plots.COLOURS, ("decoder_gap", "approximation_gap", "amortisation_gap")):
        heights = np.array([np.mean([row[part] for row in rows]) for rows in mine])
        axes["gap"].bar(list(map(str, sizes)), heights, bottom=bottom, color=colour, label=part.replace("_gap", ""))
        bottom += heights
    for at, rows in enumerate(mine):
        label = None if at else "the whole, each seed"
        axes["gap"].plot([at] * len(rows), [row["gap"] for row in rows], "o", color="black", markersize=4, label=label)
    axes["gap"].set(title="what the trained ELBO lacks", xlabel="latents", ylabel="nats per image")
    axes["gap"].set(ylim=(0, 1.4 * bottom.max()))  # room for the legend
    axes["gap"].legend(frameon=False, loc="upper left")

    ax, fine = axes["turned"], np.linspace(0, 90, 181)
    for colour, partner in zip(plots.COLOURS, sorted({row["partner"] for row in costs})):
        mine = [row for row in costs if row["partner"] == partner]
        degrees = [row["degrees"] for row in mine]
        ax.plot(fine, turning_costs(data.values[0], data.values[partner - 1], fine), color=colour)
        drops = [row["elbo_drop"] for row in mine]
        ax.plot(degrees, drops, "o", color=colour, markersize=4, label=f"ELBO, latents 1 and {partner}")
    lost = [-row["log_likelihood_change"] for row in costs]
    ax.plot([row["degrees"] for row in costs], lost, "x", color="black", label="log likelihood, each of them")
    ax.set(xlabel="degrees by which two latents are turned in their plane", ylabel="nats lost per image")
    ax.set(title="what a turn costs (lines: the formula)", ylim=(None, 1.4 * ax.get_ylim()[1]))
    ax.set_xticks(range(0, 91, 15))
    ax.legend(frameon=False, ncols=2, fontsize="small", loc="upper center")
    return figure


def figure_of_betas(data, rows):
    """Against beta, lines from the formulas and points from training: active latents, KLs, variances, noise."""
    figure = Figure(figsize=(8.8, 5), layout="constrained")
    figure.suptitle("a linear beta-VAE: lines are the formulas, points are trained")
    fine, Z = np.geomspace(0.4, 22, 800), max(row["latent"] for row in rows)
    titles = "active latents", "KL of each latent, nats", "variance of q", r"the decoder's noise $\sigma_x^2$"
    for axes, kind in zip(figure.subplots(2, 4, sharex=True), ("fixed", "learned")):
        optima = [on_paper(data.values, Z, beta, FIXED if kind == "fixed" else None) for beta in fine]
        noise, variance, kl = map(np.array, zip(*optima))
        for latent in range(1, Z + 1):
            own = [row for row in rows if (row["noise"], row["latent"]) == (kind, latent)]
            betas, colour = [row["beta"] for row in own], plots.COLOURS[latent - 1]
            axes[1].plot(fine, kl[:, latent - 1], color=colour, label=f"latent {latent}")
            axes[1].plot(betas, [row["kl"] for row in own], "o", color=colour)
            axes[2].plot(fine, variance[:, latent - 1], color=colour)
            axes[2].plot(betas, [row["variance"] for row in own], "o", color=colour)
        same = [[row["active"] for row in rows if all(row[k] == one[k] for k in ("noise", "beta", "seed"))] for one in own]
        count = list(map(sum, same))
        for ax, line, points in ((axes[0], (kl > 0).sum(axis=1), count), (axes[3], noise, [r["sigma2"] for r in own])):
            ax.plot(fine, line, color="black")
            ax.plot(betas, points, "o", color="black")
            ax.set_ylim(0 - 0.05 * max(points), 1.3 * max(points))
        for ax, title in zip(axes, titles):
            ax.set(xscale="log")
            ax.set_title(title, fontsize="medium")
            ax.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
            ax.minorticks_off()
        axes[0].set(ylabel=f"noise {kind}", yticks=range(Z + 1))
    for ax in axes:
        ax.set(xlabel="beta")
    figure.axes[1].legend(frameon=False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, jobs=1, seeds=SEEDS)
    out, how = chosen.out, QUICK if chosen.quick else FULL
    optimum = Results(out / "results.csv", keys=("latents", "seed"))
    settings = [{"latents": Z, "seed": seed} for seed in chosen.seeds for Z in how["latents"]]
    run_each(partial(reach_optimum, how=how), settings, optimum, chosen.jobs)
    summarize(optimum.rows, ["latents"], ["elbo", "optimum", "gap", "subspace_degrees"], digits=4)

    costs = Results(out / "turned.csv", keys=("latents", "seed", "partner", "degrees"))
    run_each(partial(turn, how=how), [each for each in settings if each["latents"] == how["latents"][-1]], costs, chosen.jobs)
    last = settings[len(how["latents"]) - 1]  # of the first seed
    x, model, _ = learn_images(folder_of(optimum, last), **last, how=how)
    save_figure(figure_of_axes(model, moments(x), x.image_shape, optimum.rows, costs.rows), out / "axes.png")

    rows = Results(out / "beta.csv", keys=("noise", "beta", "seed", "latent"))
    settings = [
        {"noise": noise, "beta": beta, "seed": seed} for seed in chosen.seeds for noise in ("fixed", "learned") for beta in how["betas"]
    ]
    run_each(partial(across_beta, how=how), settings, rows, chosen.jobs)
    save_figure(figure_of_betas(moments(fours()), rows.rows), out / "beta.png")


if __name__ == "__main__":
    main()

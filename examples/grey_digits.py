"""Four likelihoods for grey pixels: Bernoulli, continuous Bernoulli, Laplace and Gaussian on the bundled digits.  A minute and a half.

Each pixel's 17 grey levels are spread over [0, 1] by noise of one level, so that densities are bounded and can be compared
((LIK.12) in derivations/06-likelihoods.md).  The Bernoulli loss is no density; its network, read as a continuous Bernoulli, is.
Five seeds each, of the network and of training; the noise is the same for all.
Run: python examples/grey_digits.py                     (--quick: fewer steps; --jobs 2: two at a time)
"""

from functools import partial

import numpy as np
from runner import Results, folder_of, options, run_each, save_figure, summarize, train

from vae_from_scratch import VAE, Adam, ContinuousBernoulli, Gaussian, Laplace, datasets, evaluation, plots

LEVELS, LATENTS = 17, 8
LIKELIHOODS = {
    "Bernoulli": "bernoulli",
    "continuous Bernoulli": ContinuousBernoulli(),
    "Laplace": Laplace("learned", "sigmoid"),
    "Laplace, per pixel": Laplace("per-pixel", "sigmoid"),
    "Gaussian": Gaussian("learned", "sigmoid"),
    "Gaussian, per pixel": Gaussian("per-pixel", "sigmoid"),
}
READ_AS = "Bernoulli, read as continuous"
SHOWN = ("Bernoulli", "continuous Bernoulli", "Laplace", "Gaussian")
SEEDS = (0, 1, 2, 3, 4)
FULL = {"copies": 4, "epochs": 60, "draws": 200}
QUICK = {"copies": 1, "epochs": 2, "draws": 5}


def spread(split, copies, rng):
    """The images of a split with x = (v + u) / 17 for the grey level v, u uniform on [0, 1): copies of each, (n, 64)."""
    v = np.tile(np.rint(datasets.digits(split)[:] * (LEVELS - 1)), (copies, 1))
    return ((v + rng.random(v.shape)) / LEVELS).astype(np.float32)


def make(likelihood, seed):
    """The model that all have in common."""
    return VAE(64, (200,), LATENTS, "tanh", likelihood, seed=seed)


def learn(folder, likelihood, seed, how):
    """The trained model, the test images, and the processor's seconds that it took."""
    rng = np.random.default_rng(0)
    x, x_test = spread("train", how["copies"], rng), spread("test", 1, rng)
    model = make(LIKELIHOODS[likelihood], seed)
    history = train(folder, model, x, Adam(lr=1e-3), 100, how["epochs"], seed, progress=False)
    return model, x_test, history["cpu_seconds"][-1]


def measure(folder, likelihood, seed, how):
    """Train one model.  Its row, and for the Bernoulli one more: the same network, read as a continuous Bernoulli."""
    model, x_test, seconds = learn(folder, likelihood, seed, how)
    models = {likelihood: model}
    if likelihood == "Bernoulli":
        models[READ_AS] = make(ContinuousBernoulli(), seed)
        models[READ_AS].params = model.params
    rows = []
    for name, model in models.items():
        seen = evaluation.evaluate(model, x_test)
        log_p = evaluation.log_likelihood(model, x_test, how["draws"], progress=False).bound
        error = np.sqrt(((model.reconstruct(x_test) - x_test) ** 2).mean())
        row = {"model": name, "density": str(name != "Bernoulli"), "log_p": log_p.mean, "standard_error": log_p.standard_error}
        rows.append(row | {"elbo": seen.elbo, "kl": seen.kl, "rms_error": error, "cpu_seconds": seconds})
    return rows


def draw_x(model, z, u, eps):
    """A draw of x ~ p(x|z) for each z, from uniform u or normal eps, both (n, D)."""
    likelihood, out = model.likelihood, model.decoder.forward(model.ops, model.params, z)[-1]
    if hasattr(likelihood, "draw"):
        return likelihood.draw(model.ops, model.params, out, u)
    if isinstance(likelihood, Gaussian):
        x_mean, x_logvar = likelihood.mean_and_logvar(model.ops, model.params, out)
        return x_mean + np.exp(x_logvar / 2) * eps
    return (u < likelihood.mean(model.ops, model.params, out)).astype(np.float32)


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, jobs=1, seeds=SEEDS)
    how = QUICK if chosen.quick else FULL
    settings = [{"likelihood": name, "seed": seed} for name in LIKELIHOODS for seed in chosen.seeds]
    results = Results(chosen.out / "results.csv", keys=("likelihood", "seed", "model"))
    run_each(partial(measure, how=how), settings, results, chosen.jobs)
    summarize(results.rows, ["model"], ["log_p", "kl", "rms_error"])
    print(f"(nats; no density of these data exceeds {64 * np.log(LEVELS):.2f} on average, and the Bernoulli's loss is no density)")
    models = {}
    for name in SHOWN:
        one = {"likelihood": name, "seed": chosen.seeds[0]}
        models[name], *_ = learn(folder_of(results, one), **one, how=how)
    rng = np.random.default_rng(1)
    z = rng.standard_normal((10, LATENTS)).astype(np.float32)
    u, eps = rng.random((10, 64), dtype=np.float32), rng.standard_normal((10, 64), dtype=np.float32)
    rows = [pixels for name in SHOWN for pixels in (models[name].decode(z), draw_x(models[name], z, u, eps))]
    labels = [f"{name}: {what}" for name in SHOWN for what in ("E[x|z]", "x ~ p(x|z)")]
    title = "samples from four likelihoods, the same ten z for each"
    save_figure(plots.image_grid(rows, (8, 8), row_labels=labels, title=title, value_range=(0, 1)), chosen.out / "grey_digits.png")


if __name__ == "__main__":
    main()

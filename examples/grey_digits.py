"""Four likelihoods for grey pixels: Bernoulli, continuous Bernoulli, Laplace and Gaussian on the bundled digits.  Half a minute.

Each pixel's 17 grey levels are spread over [0, 1] by noise of one level, so that densities are bounded and can be compared
((LIK.12) in derivations/06-likelihoods.md).  The Bernoulli loss is no density; its network, read as a continuous Bernoulli, is.
Run: python examples/grey_digits.py                     (--quick: fewer steps)
"""

import numpy as np
from runner import Results, options, save_figure, train

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


def spread(split, copies, rng):
    """The images of a split with x = (v + u) / 17 for the grey level v, u uniform on [0, 1): copies of each, (n, 64)."""
    v = np.tile(np.rint(datasets.digits(split)[:] * (LEVELS - 1)), (copies, 1))
    return ((v + rng.random(v.shape)) / LEVELS).astype(np.float32)


def make(likelihood):
    """The model that all have in common."""
    return VAE(64, (200,), LATENTS, "tanh", likelihood, seed=0)


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
    chosen = options(__file__, __doc__, arguments)
    copies, epochs, draws = (1, 2, 5) if chosen.quick else (4, 60, 200)
    rng = np.random.default_rng(0)
    x, x_test = spread("train", copies, rng), spread("test", 1, rng)
    results, models = Results(chosen.out / "results.csv", keys=("model",)), {}
    for name, likelihood in LIKELIHOODS.items():
        models[name] = make(likelihood)
        folder = chosen.out / name.replace(", ", "-").replace(" ", "-").lower()
        train(folder, models[name], x, Adam(lr=1e-3), 100, epochs, 0, progress=False)
    models[READ_AS] = make(ContinuousBernoulli())
    for name, value in models["Bernoulli"].params.items():
        models[READ_AS].params[name][...] = value
    for name, model in models.items():
        seen = evaluation.evaluate(model, x_test)
        log_p = evaluation.log_likelihood(model, x_test, draws, progress=False).bound
        error = np.sqrt(((model.reconstruct(x_test) - x_test) ** 2).mean())
        row = {"log_p": log_p.mean, "standard_error": log_p.standard_error, "elbo": seen.elbo, "kl": seen.kl}
        results.add(model=name, density=str(name != "Bernoulli"), **row, rms_error=error)
        words = "log density" if name != "Bernoulli" else "minus the loss, no density"
        print(f"{name}: {words} {log_p.mean:.2f} +- {log_p.standard_error:.2f} nats, KL {seen.kl:.2f}, rms error {error:.4f}")
    bound = 64 * np.log(LEVELS)
    print(f"no density of these data exceeds {bound:.2f} nats on average")
    z = rng.standard_normal((10, LATENTS)).astype(np.float32)
    u, eps = rng.random((10, 64), dtype=np.float32), rng.standard_normal((10, 64), dtype=np.float32)
    rows = [pixels for name in SHOWN for pixels in (models[name].decode(z), draw_x(models[name], z, u, eps))]
    labels = [f"{name}: {what}" for name in SHOWN for what in ("E[x|z]", "x ~ p(x|z)")]
    title = "samples from four likelihoods, the same ten z for each"
    save_figure(plots.image_grid(rows, (8, 8), row_labels=labels, title=title, value_range=(0, 1)), chosen.out / "grey_digits.png")


if __name__ == "__main__":
    main()

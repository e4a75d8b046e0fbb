"""vae-from-scratch evaluate, sample, traverse, score: what a finished run is worth."""

import sys
from pathlib import Path

import numpy as np

from .. import datasets, disentanglement, evaluation, exact
from ..engine import files, require
from ..engine.streams import stream
from ..evaluation import evaluate
from .train import read_config, report

SOME = 200  # images, of which the most readable is traversed and the range is taken


def open_run(options):
    """The model of a run folder, its config with what the command line says instead, and the data set to look at."""
    folder = Path(options.run)
    if not (folder / "model.npz").is_file():
        raise FileNotFoundError(f"{folder} holds no model.npz; name a folder that vae-from-scratch train has left")
    model, config = files.load(folder / "model.npz"), read_config(folder)
    config.update({name: value for name, value in vars(options).items() if name in config and value is not None})
    require.seed(config["seed"])
    return model, config, datasets.load(config["data"], config["split"])


def evaluate_run(options):
    model, config, data = open_run(options)
    K, same = options.importance_samples, {"binarize": config["binarize"], "seed": config["seed"]}
    if K is not None:
        require.whole("importance_samples", K)
    require.whole("samples", options.samples)
    integral = exact.quadrature(model, data, **same, progress=not options.quiet) if options.quadrature else None
    sampled = None if K is None else evaluation.log_likelihood(model, data, K, **same, progress=not options.quiet)
    result = evaluate(model, data, **same, samples=options.samples)
    report(model, result, f"{data.name} {config['split']}", options.samples)
    if sampled is not None:
        bound, effective = sampled.bound, sampled.effective_samples
        print(f"log p(x) >= {bound.mean:.2f} +- {bound.standard_error:.2f} nats per example, in expectation")
        print(
            f"     from {K} importance samples of z per example (other samples: +- {bound.sampling_error:.3f}), "
            f"effective: {np.median(effective):.1f} in the median, {effective.min():.1f} at the least"
        )
    if integral is not None:
        print(f"log p(x) = {integral.mean:.4f} +- {integral.standard_error:.2f} nats per example, by quadrature")
        print(f"     (the last halving of its steps changed no example by more than {integral.change:.0e})")
    if model.variational and result.active_units < model.latent_dim:
        train = datasets.load(config["data"], "train")
        if len(train) > 100_000:  # drawn images: a part of them, at random, tells as much
            train = train[stream("silent latents", config["seed"]).choice(len(train), 20_000, replace=False)]
        print(f"silent latents, on the training data: {exact.collapse(model, train, **same).verdict}")


def sample_run(options):
    model, config, data = open_run(options)
    path = _figure_path(options, "sample")
    from .. import plots

    images = model.sample(options.n, stream("samples", config["seed"]))
    shown = plots.image_range(data[np.arange(min(SOME, len(data)))])
    _write_figure(plots.samples(images, data.image_shape, value_range=shown), path)


def traverse_run(options):
    model, config, data = open_run(options)
    path = _figure_path(options, "traverse")
    from .. import plots

    if not model.variational:
        raise ValueError("an autoencoder's latents have no common scale to traverse; train a vae or beta-vae")
    result = evaluate(model, data, binarize=config["binarize"], seed=config["seed"])
    some = data[stream("traversals", config["seed"]).integers(len(data), size=SOME)]
    x = some[plots.readable(model, some)]
    mu, _ = model.encode(x[None])
    figure = plots.traversals(
        model, mu[0], result.kl_per_latent, data.image_shape, x=x, value_range=plots.image_range(some)
    )
    _write_figure(figure, path)


def score_run(options):
    model, config, data = open_run(options)
    path, silent = _figure_path(options, "scores"), None
    draw = {"seed": config["seed"], "repeats": options.repeats, "points": options.points, "progress": not options.quiet}
    own = {} if model.variational else {"least_variance": 0.0}  # of an autoencoder: on no prior's scale
    names = options.score.split(",")
    results = disentanglement.all_scores(model.encode, data, names, **draw, **own)
    for title, drawn in results.items():
        print(f"{title}\n    {spread(drawn)}, chance {drawn[-1].chance:.3f}")
        each = zip(drawn[-1].factor_names, np.mean([result.per_factor for result in drawn], axis=0), drawn[-1].latents)
        print("    " + ", ".join(f"{name} {value:.3f} (z{j})" for name, value, j in each))
    rng = stream("parts of the KL", config["seed"])
    if model.variational:
        some = data[rng.integers(len(data), size=2000)]
        mu, logvar = model.encode(some)
        parts, silent = disentanglement.kl_parts(mu, logvar, rng), mu.var(axis=0) <= evaluation.ACTIVE_VARIANCE
        print(
            f"KL {parts.kl:.2f} nats over 2000 images = information {parts.mutual_information:.2f}"
            f" + total correlation {parts.total_correlation:.2f} (+- {parts.standard_error:.2f} between these two)"
            f" + dimension-wise KL {parts.dimension_wise.sum():.2f}"
        )
    if options.baselines:
        others = disentanglement.baselines
        for name, encode in {
            "untrained network": others.untrained(model),
            f"PCA, {model.latent_dim} components": others.pca(data, rng, model.latent_dim),
            f"random projection to {model.latent_dim}": others.random_projection(data.data_dim, rng, model.latent_dim),
            "pixels": others.raw_pixels(),
        }.items():
            print(name)
            scale = own if name.startswith("untrained") else {"least_variance": 0.0}  # not that of the prior
            for title, drawn in disentanglement.all_scores(encode, data, names, **draw, **scale).items():
                print(f"    {title}: {spread(drawn)}")
    from .. import plots

    panels = [disentanglement.panel(title, drawn[-1]) for title, drawn in results.items()]
    _write_figure(plots.factor_matrices(panels, silent), path)


def spread(drawn):
    """The mean score of some draws, and their standard deviation."""
    scores = [result.score for result in drawn]
    error = f"+- {np.std(scores, ddof=1):.3f} over {len(scores)} draws" if len(scores) > 1 else "from one draw"
    return f"{np.mean(scores):.3f} {error}"


def _figure_path(options, name):
    """Where a command's figure goes, refused before anything is computed if nothing can be written there."""
    if out := getattr(options, "out", None):
        from .. import plots

        plots.check_path(out)
        return out
    path = Path(options.run) / "figures" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    return path


def _write_figure(figure, path):
    from .. import plots

    plots.save(figure, path)
    print(f"wrote {path}", file=sys.stdout if Path(path).is_file() else sys.stderr)  # standard output may be the path

"""vae-from-scratch evaluate, sample, traverse, score: what a run is worth, finished or stopped."""

import csv
import os
import sys
from pathlib import Path

import numpy as np

from .. import disentanglement, evaluation, exact
from ..engine import checkpoints, files, require
from ..engine.estimates import few
from ..engine.streams import stream
from ..engine.threads import asked
from ..evaluation import evaluate
from .options import typed
from .train import absolute, check_shape, fits, open_data, present, read_config, report

SOME = 200  # images, of which the most readable is traversed and the range is taken


def open_run(folder, options):
    """The newest model of a run folder, its config with what the command line says instead, and the KL of each latent.

    Of a run that was stopped, or goes on, that is its newest checkpoint, and a line says how far it is.
    """
    folder = Path(folder)
    final = folder / "model.npz"
    if folder.is_file():
        inside = sorted(path.parent for path in folder.parent.glob("*/config.json"))  # of a sweep
        such = next(iter(inside), folder.parent)
        raise ValueError(f"{folder} is a file; name the folder that train has left, such as {typed(such)}")
    if not final.is_file() and not files.has_checkpoint(folder):
        raise FileNotFoundError(f"{folder} holds no model.npz and no checkpoint; name a folder that vae-from-scratch train has left")
    config = read_config(folder)

    def newer(path):
        epoch, done, epochs, _ = checkpoints.progress(path)
        if final.is_file() and epochs <= config["epochs"]:  # training ended with it
            return None
        kl = files.read_npz(path, only=("history/kl_per_latent",)).get("history/kl_per_latent", [None])
        stopped = f"{folder} has not ended: this is its checkpoint in epoch {epoch} of {epochs} ({done} done)"
        return files.load(path), kl[-1], stopped

    try:
        found = files.newest_checkpoint(folder, newer)
    except ValueError:
        if not final.is_file():
            raise
        found = None
    model, kl, stopped = found or (files.load(final), last_kl(folder / "history.csv"), "")
    if stopped:
        print(stopped)
    config.update({name: value for name, value in vars(options).items() if name in config and value is not None})
    require.seed(config["seed"])
    config["data"] = absolute(config["data"]) if getattr(options, "data", None) is None else present(config["data"])
    if getattr(options, "image_shape", None) is not None:
        check_shape(config["image_shape"], model.data_dim)
    elif not fits(config["image_shape"], model.data_dim):
        config["image_shape"] = None
    return model, config, kl


def last_kl(path):
    """The KL of each latent in the last row of a history; None where that cannot be read."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            *_, row = csv.DictReader(file)
        return np.array([float(value) for name, value in row.items() if name.startswith("kl_")])
    except (OSError, TypeError, ValueError, AttributeError):
        return None


def evaluate_run(options):
    model, config, _ = open_run(options.run, options)
    data = open_data(config, config["split"])
    K, same = options.importance_samples, {"binarize": config["binarize"], "seed": config["seed"]}
    if K is not None:
        require.whole("importance_samples", K)
    samples = (20 if options.quadrature else 1) if options.samples is None else require.whole("samples", options.samples)
    integral = exact.quadrature(model, data, **same, progress=not options.quiet) if options.quadrature else None
    sampled = None if K is None else evaluation.log_likelihood(model, data, K, **same, threads=options.threads, progress=not options.quiet)
    result = evaluate(model, data, **same, samples=samples, threads=options.threads)
    report(model, result, f"{data.name} {config['split']}", samples)
    if sampled is not None:
        bound, effective = sampled.bound, sampled.effective_samples
        print(f"log p(x) >= {bound.mean:.2f}{_error(bound)} nats per example, in expectation")
        others = "unknown from one" if K == 1 else f"+- {bound.sampling_error:.3f}"
        print(
            f"     from {K} importance samples of z per example (other samples: {others}), "
            f"effective: {np.median(effective):.1f} in the median, {effective.min():.1f} at the least"
        )
        if words := few(effective, K):
            print(f"     warning: {words}; take more samples{', or --quadrature' * (model.latent_dim <= 2 and integral is None)}")
    if integral is not None:
        print(f"log p(x) = {integral.mean:.4f}{_error(integral)} nats per example, by quadrature")
        if np.isfinite(integral.change):
            print(f"     (the last halving of its steps changed no example by more than {integral.change:.0e})")
        else:
            print("     warning: of some example the grid cuts p(x, z) off; its value is not to be trusted, nor is the mean")
        gap, error = integral.mean - result.elbo, result.elbo_b.sampling_error
        error = "unknown from one sample" if samples == 1 else f"+- {error:.4f}"
        print(f"     the ELBO is {gap:.4f} below it (other samples of z: {error}): KL(q(z|x) || p(z|x)), never negative")
    if model.variational and result.active_units < model.latent_dim:
        train = open_data(config, "train")
        if len(train) > 100_000:  # drawn images: a part of them, at random, tells as much
            train = train[stream("silent latents", config["seed"]).choice(len(train), 20_000, replace=False)]
        with asked(options.threads):
            print(f"silent latents, on the training data: {exact.collapse(model, train, **same).verdict}")


def _error(found):
    return "" if len(found.each) == 1 else f" +- {found.standard_error:.2f}"  # one example tells no error


def sample_run(options):
    model, config, _ = open_run(options.run, options)
    path = None if options.separate and not options.out else _figure_path(options, "sample")
    from .. import plots

    shape = config["image_shape"] or open_data(config, config["split"]).image_shape
    images = model.sample(options.n, stream("samples", config["seed"]))
    ends = known_range(config)
    if options.separate:
        write_separate(images, shape, Path(options.separate), ends)
    if path is not None:
        _write_figure(plots.samples(images, shape, value_range=ends), path)


def known_range(config):
    """The range of values in the run's data, from its first images; None if the data cannot be found."""
    from .. import plots

    try:
        data = open_data(config, config["split"])
    except FileNotFoundError:
        return None
    return plots.image_range(data[np.arange(min(SOME, len(data)))])


def write_separate(images, shape, folder, ends):
    """Each image as a PNG file of its own, one pixel per value; ends: what is black and what is white, of the images if None."""
    from matplotlib.image import imsave

    from .. import plots

    low, high = plots.image_range(images) if ends is None else ends
    colours = shape[2] if len(shape) == 3 else 1
    levels = np.rint(255 * np.clip((images - low) / (high - low), 0, 1)).astype(np.uint8).reshape(-1, *shape[:2], colours)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--separate {folder} is a file; name a folder, new or empty")
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"--separate {folder} is a folder that holds other things; name a new one, or an empty one")
    with files.whole_folder(folder) as place:
        for number, pixels in enumerate(np.repeat(levels, 3 // colours, axis=3)):
            path = place / f"sample-{number:0{len(str(len(images) - 1))}d}.png"
            files.write(path, lambda file, pixels=pixels: imsave(file, pixels, format="png"))
    words = f": black is {low:.3g}, white is {high:.3g}" if ends != (0, 1) else ""
    whose = ", the range of these images, for the data of the run cannot be found" if ends is None else ""
    print(f"wrote {len(images)} images to {folder}{words}{whose}")


def traverse_run(options):
    model, config, kl = open_run(options.run, options)
    path = _figure_path(options, "traverse")
    if options.between:
        data = open_data(config, config["split"])
        for number in options.between:
            if not 0 <= number < len(data):
                raise ValueError(f"--between takes rows from 0 to {len(data) - 1} of {data.name} {config['split']}, got {number}")
        return _write_figure(between(model, data, *options.between), path)
    if not model.variational:
        raise ValueError("an autoencoder's latents have no common scale to traverse; train a vae or beta-vae, or give --between I J")
    from .. import plots

    try:
        data = open_data(config, config["split"])
    except FileNotFoundError as error:
        if kl is None or config["image_shape"] is None:
            raise
        print(f"note: from z = 0 instead of an image's code, with the KL of the last epoch: {error}")
        figure = plots.traversals(model, np.zeros(model.latent_dim), kl, config["image_shape"])
        return _write_figure(figure, path)
    kl = evaluate(model, data, binarize=config["binarize"], seed=config["seed"]).kl_per_latent
    some = data[stream("traversals", config["seed"]).integers(len(data), size=SOME)]
    x = some[plots.readable(model, some)]
    mu, _ = model.encode(x[None])
    shown = plots.image_range(some)
    _write_figure(plots.traversals(model, mu[0], kl, data.image_shape, x=x, value_range=shown), path)


def between(model, data, i, j, steps=11):
    """A figure: image i, the decoder's way from its code to that of image j in a straight line, image j."""
    from .. import plots

    ends = data[[i, j]]
    codes = model.encode(ends)[0] if model.variational else model.encode(ends)
    way = np.linspace(codes[0], codes[1], steps, dtype=codes.dtype)
    row = np.concatenate([ends[:1], model.decode(way), ends[1:]])
    labels = [f"image {i}", *(f"{t:.1f}" for t in np.linspace(0, 1, steps)), f"image {j}"]
    title = "E[x|z] on the straight line between two codes"
    return plots.image_grid([row], data.image_shape, column_labels=labels, title=title, value_range=plots.image_range(ends))


def score_run(options):
    model, config, _ = open_run(options.run, options)
    data = open_data(config, config["split"])
    path, silent = _figure_path(options, "scores"), None
    draw = {"seed": config["seed"], "repeats": options.repeats, "points": options.points, "progress": not options.quiet}
    draw["threads"] = options.threads
    own = {} if model.variational else {"least_variance": 0.0}  # of an autoencoder: on no prior's scale
    names = [name.strip() for name in options.score.split(",")]
    results = disentanglement.all_scores(model.encode, data, names, **draw, **own)
    for title, drawn in results.items():
        print(f"{title}\n    {spread(drawn)}, chance {drawn[-1].chance:.3f}")
        each = zip(drawn[-1].factor_names, np.mean([result.per_factor for result in drawn], axis=0), drawn[-1].latents)
        print("    " + ", ".join(f"{name} {value:.3f} (z{j})" for name, value, j in each))
        if remark := getattr(drawn[-1], "remark", ""):
            print(f"    {remark}")
    rng = stream("parts of the KL", config["seed"])
    if model.variational:
        some = data[rng.integers(len(data), size=2000)]
        mu, logvar = model.encode(some)
        parts, silent = disentanglement.kl_parts(mu, logvar, rng), mu.var(axis=0) <= evaluation.ACTIVE_VARIANCE
        print(
            f"KL {parts.kl:.2f} nats over 2000 images = information {parts.mutual_information:.2f}"
            f" + total correlation {parts.total_correlation:.2f} (+- {parts.standard_error:.2f} between these two)"
            f" + dimension-wise KL {parts.dimension_wise.sum():.2f}"
            + f"; the grid is off by {parts.error:.2g}" * (parts.error >= 0.01)
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
                remark = getattr(drawn[-1], "remark", "")
                print(f"    {title}: {spread(drawn)}" + (remark and f"; {remark}"))
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
    _writable(path.parent if path.parent.is_dir() else path.parent.parent)
    return path


def _writable(folder):
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written, where the figure of this run goes; name a file with --out, or copy the run")


def _write_figure(figure, path):
    from .. import plots

    if Path(path).parent.name == "figures":  # of a run; one that was stopped has none yet
        Path(path).parent.mkdir(exist_ok=True)
    plots.save(figure, path)
    print(f"wrote {path}", file=sys.stdout if Path(path).is_file() else sys.stderr)  # standard output may be the path

"""vae-from-scratch train | evaluate | sample | traverse | score | gradcheck.

OPTIONS feeds the parser, the help and config.json.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):  # read when NumPy is imported, below
    os.environ.setdefault(name, "1")  # the matrices are small: on a busy machine a second thread is mostly waited for

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import base, batches, checks, datasets, disentanglement, evaluation, files, gradcheck, likelihoods, mlp, ops
from .evaluation import evaluate
from .optimizers import OPTIMIZERS
from .training import fit


class Option(NamedTuple):
    """One row of the table: its name with underscores, its default, how its text is read, and its help."""

    name: str
    default: object
    kind: Callable
    help: str
    choices: tuple | None = None


def widths(text):
    """'500,500' -> (500, 500); 'none' -> ()."""
    return () if text == "none" else tuple(int(width) for width in text.split(","))


def sigma(text):
    """A number, or one of the names that Gaussian takes."""
    return text if text in ("learned", "per-pixel") else float(text)


OPTIONS = [
    Option("model", "beta-vae", str, "what to train", tuple(files.MODELS)),
    Option("data", "digits", str, f"a data set ({', '.join(datasets.NAMES)}), or an .npy or .npz file of your images"),
    Option("split", "test", str, "the part of the data that the run is judged on", datasets.SPLITS),
    Option("latent_dim", 10, int, "how many latents, Z; 2 draws the whole latent plane"),
    Option("hidden", (128,), widths, "widths of the encoder's hidden layers, such as 500,500; none for a linear model"),
    Option("activation", "tanh", str, "of the hidden layers", tuple(ops.ACTIVATIONS)),
    Option("decoder_hidden", None, widths, "the decoder's widths, if they are not the encoder's mirrored"),
    Option(
        "decoder_activation", None, str, "the decoder's activation, if it is not the encoder's", tuple(ops.ACTIVATIONS)
    ),
    Option("likelihood", "bernoulli", str, "p(x|z); squared-error is for the autoencoder", tuple(likelihoods.NAMES)),
    Option("sigma", None, sigma, "noise of the gaussian likelihood: a number, learned, or per-pixel (learned if not given)"),
    Option("mean", None, str, "mean of the gaussian likelihood (linear if not given)", ("linear", "sigmoid")),
    Option("beta", None, float, "weight of the KL in a beta-vae (1.5 if not given; 1 is the VAE)"),
    Option("gamma", None, float, "capacity-vae: weight of |KL - capacity| (1000 if not given)"),
    Option("capacity", None, float, "capacity-vae: the KL to hold, in nats (5 if not given)"),
    Option("epochs", None, int, "passes over the training data (300 on digits, 20 elsewhere, if not given)"),
    Option("batch_size", 100, int, "examples per step"),
    Option("optimizer", "adam", str, "the update rule", tuple(OPTIMIZERS)),
    Option("lr", 0.002, float, "learning rate"),
    Option("weight_decay", False, bool, "put the prior N(0, I) on every parameter"),
    Option("init", "glorot", str, "how weights start", mlp.INITS),
    Option(
        "binarize",
        None,
        str,
        "grey pixels to 0 and 1 (dynamic for bernoulli, none elsewhere, if not given)",
        batches.BINARIZE,
    ),
    Option("seed", 0, int, "of everything random: the same seed gives the same bits"),
    Option(
        "checkpoint_every",
        None,
        int,
        "epochs between checkpoints (if neither this nor the next is given: one a minute)",
    ),
    Option("checkpoint_steps", None, int, "steps between checkpoints, for long epochs"),
    Option("dtype", "float32", str, "precision", ("float32", "float64")),
    Option("backend", "numba", str, "the fast implementation of the pairs, or the one to read", tuple(base.BACKENDS)),
]
SETTINGS = {"beta-vae": {"beta": 1.5}, "capacity-vae": {"gamma": 1000.0, "capacity": 5.0}}  # model: its own options


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser():
    """The parser; train's options come from OPTIONS, and are absent from what it returns unless they were given."""
    parser = Parser(
        prog="vae-from-scratch",
        description="Train and look at autoencoders, VAEs and beta-VAEs written in NumPy, every backward pass by hand.",
        epilog="Start with: vae-from-scratch train.  Then open the figures it names, and derivations/ for the mathematics.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser(
        "train",
        help="train a model; with no options, a beta-VAE on the bundled digits, in under a minute",
        description="Train a model and leave model.npz, history.csv, config.json, checkpoint.npz and figures/ in a "
        "new folder.  All losses are in nats per example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  vae-from-scratch train\n"
        "  vae-from-scratch train --latent-dim 2 --beta 1\n"
        "  vae-from-scratch train --model vae --data mnist --hidden 500 --latent-dim 20 --epochs 10\n"
        "  vae-from-scratch train --data faces.npy --likelihood gaussian --sigma learned\n"
        "  vae-from-scratch train --resume runs/001",
    )
    for option in OPTIONS:
        flag = "--" + option.name.replace("_", "-")
        if option.kind is bool:
            train.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=option.help)
            continue
        shown = ",".join(map(str, option.default)) if isinstance(option.default, tuple) else option.default
        train.add_argument(
            flag,
            type=option.kind,
            default=argparse.SUPPRESS,
            choices=option.choices,
            metavar=None if option.choices else option.name.upper(),
            help=option.help if option.default is None else f"{option.help} (default: {shown})",
        )
    train.add_argument(
        "--out", metavar="DIR", help="folder to write, new or empty (default: the next free number below runs/)"
    )
    words = "go on with the run in DIR, interrupted or finished; of all options only a larger --epochs may be added"
    train.add_argument("--resume", metavar="DIR", help=words)
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    for name, words in (
        ("evaluate", "print the ELBO, the KL of each latent, the active units and log p(x) of a trained model"),
        ("sample", "draw images from a trained model's prior"),
        ("traverse", "draw what each latent of a trained model does"),
    ):
        command = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        command.add_argument("run", metavar="RUN", help="the folder that train left, such as runs/001")
        command.add_argument("--seed", type=int, help="of the random draws (default: the run's)")
        command.add_argument("--data", help="instead of the run's own data")
        if name == "evaluate":
            command.add_argument(
                "--samples", type=int, default=1, metavar="L", help="draws of z per example for the ELBO (default: 1)"
            )
            words = "also estimate log p(x) from K draws of z per example (Burda et al. 2015: 5000)"
            command.add_argument("--importance-samples", type=int, metavar="K", help=words)
            words = "also integrate log p(x) over a grid of z, for one or two latents"
            command.add_argument("--quadrature", action="store_true", help=words)
            command.add_argument("--quiet", action="store_true", help="no progress bar")
        if name == "sample":
            command.add_argument("--n", type=int, default=100, help="how many images (default: 100)")
        else:
            command.add_argument("--split", choices=datasets.SPLITS, help="(default: the run's, which is test)")
        if name != "evaluate":
            command.add_argument("--out", metavar="FILE", help=f"the picture to write (default: RUN/figures/{name}.png)")
    words = "score a trained model's codes against the known factors of its data"
    score = commands.add_parser("score", help=words, description=words[0].upper() + words[1:] + ".")
    score.add_argument("run", metavar="RUN", help="the folder that train left, trained on data with known factors")
    score.add_argument("--score", default=",".join(disentanglement.NAMES), help="which, with commas (default: %(default)s)")
    score.add_argument("--seed", type=int, help="of the random draws (default: the run's)")
    score.add_argument("--repeats", type=int, default=3, help="draws of each score, for its spread (default: 3)")
    words = "for the classifier of the beta-VAE score to learn from (default: 10000)"
    score.add_argument("--points", type=int, default=10_000, help=words)
    words = "score the pixels, PCA, a random projection and the network before training as well"
    score.add_argument("--baselines", action="store_true", help=words)
    score.add_argument("--quiet", action="store_true", help="no progress bar")
    words = "check every hand-written derivative against differences of its forward"
    commands.add_parser("gradcheck", help=words, description=words[0].upper() + words[1:] + ", and print the table.")
    return parser


def main(arguments=None):
    """Run one command; returns 0, 1 (a gradient is wrong), 2 (an error, said in one line) or 130 (interrupted)."""
    options = build_parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
        try:
            return COMMANDS[options.command](options) or 0
        except (ValueError, TypeError, OSError, FloatingPointError, OverflowError, MemoryError) as error:
            words = str(error) or "not enough memory"
            print(f"vae-from-scratch {options.command}: error: {words}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as stop:
            print(str(stop) or "interrupted", file=sys.stderr)
            return 130


# ---- train ------------------------------------------------------------------------------------------


def train(options):
    given = {option.name: getattr(options, option.name) for option in OPTIONS if hasattr(options, option.name)}
    if options.resume is None:
        config = resolve({option.name: given.get(option.name, option.default) for option in OPTIONS})
        folder, resume = new_folder(options.out), False
    else:
        config, resume = config_to_resume(options, given)
        folder = contextlib.nullcontext(Path(options.resume))
    data, test = datasets.load(config["data"], "train"), datasets.load(config["data"], config["split"])
    model = build(config, data.data_dim)
    optimizer = OPTIMIZERS[config["optimizer"]](lr=config["lr"])
    if isinstance(model.likelihood, likelihoods.Bernoulli) and config["binarize"] == "none" and not data.binary:
        print("note: a Bernoulli likelihood on grey pixels trains, but is no density of grey values (derivations/06)")
    with folder as out:
        if not resume:
            files.write_json(out / "config.json", config)
        print(
            f"{'going on with' if resume else 'training'} a {config['model']} on {config['data']}: "
            f"{len(data)} examples of {data.data_dim} values, {config['epochs'] or 'the remaining'} epochs"
        )
        try:
            history = fit(
                model,
                data,
                optimizer,
                batch_size=config["batch_size"],
                epochs=config["epochs"],
                seed=config["seed"],
                x_valid=test,
                binarize=config["binarize"],
                progress=not options.quiet,
                weight_decay=config["weight_decay"],
                checkpoint=out,
                checkpoint_every=config["checkpoint_every"],
                checkpoint_steps=config["checkpoint_steps"],
                resume=resume,
            )
        except KeyboardInterrupt as stop:
            way = f"; go on with: vae-from-scratch train --resume {out}" if files.has_checkpoint(out) else ""
            raise KeyboardInterrupt((str(stop) or "interrupted") + way) from stop
        config["epochs"] = history["epoch"][-1]
        files.save(model, out / "model.npz")
        files.write_history(out / "history.csv", history)
        files.write_json(out / "config.json", config)
        result = evaluate(model, test, binarize=config["binarize"], seed=config["seed"])
        draw_figures(model, test, history, result, out / "figures", config["seed"])
    print(f"trained for {history['steps'][-1]} steps in {history['seconds'][-1]:.1f} s")
    report(model, result, f"{data.name} {config['split']}")
    print(f"figures: {out / 'figures'}")


def config_to_resume(options, given):
    """The config of the run to go on with, and whether it has a checkpoint yet (if not, it begins again)."""
    others = sorted(set(given) - {"epochs"} | ({"out"} if options.out else set()))
    if others:
        flags = ", ".join("--" + name.replace("_", "-") for name in others)
        raise ValueError(f"--resume takes everything but --epochs from {options.resume}; leave out {flags}")
    folder = Path(options.resume)
    config, resume = read_config(folder), files.has_checkpoint(folder)
    config["epochs"] = given.get("epochs", None if resume else config["epochs"])  # None: as many as its checkpoint says
    files.sweep(folder)
    return config, resume


def read_config(folder):
    """config.json of a run folder: the options of this version, those with choices one of them."""
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no config.json; name a folder that vae-from-scratch train has left")
    config = {**{option.name: None for option in OPTIONS if option.default is None}, **files.read_json(path)}
    if wrong := {option.name for option in OPTIONS} ^ set(config):
        raise ValueError(f"{path} does not hold the options of this version: {', '.join(sorted(wrong))}")
    for option in OPTIONS:
        if option.choices and (config[option.name] is not None or option.default is not None):
            checks.choice(f"{path}: {option.name}", config[option.name], option.choices)
    return {option.name: config[option.name] for option in OPTIONS}


def resolve(config):
    """config with every default that depends on another option filled in; refuses options that would do nothing."""
    model, gaussian = config["model"], config["likelihood"] == "gaussian"
    for name, value in {"sigma": "learned", "mean": "linear"}.items():
        config[name] = _dependent(config, name, value, gaussian, "--likelihood gaussian")
    for owner, settings in SETTINGS.items():
        for name, value in settings.items():
            config[name] = _dependent(config, name, value, model == owner, f"--model {owner}")
    if config["data"] not in datasets.NAMES:
        config["data"] = str(Path(config["data"]).absolute())  # the run can then be looked at from anywhere
    if config["epochs"] is None:
        config["epochs"] = 300 if config["data"] == "digits" else 20
    if config["binarize"] is None:
        config["binarize"] = "dynamic" if config["likelihood"] == "bernoulli" else "none"
    return config


def _dependent(config, name, default, applies, condition):
    if not applies and config[name] is not None:
        raise ValueError(f"--{name} {config[name]} has no effect without {condition}; leave it out, or add that")
    return default if applies and config[name] is None else config[name]


def build(config, data_dim):
    """The model that a config describes."""
    likelihood = {"name": config["likelihood"]}
    if config["likelihood"] == "gaussian":
        likelihood.update(sigma=config["sigma"], mean=config["mean"])
    names = "hidden latent_dim activation seed dtype backend decoder_hidden decoder_activation init".split()
    settings = SETTINGS.get(config["model"], {})
    return files.MODELS[config["model"]](
        data_dim, likelihood=likelihood, **{name: config[name] for name in [*names, *settings]}
    )


@contextlib.contextmanager
def new_folder(path):
    """The empty folder to write to: path, or the next free number below runs/.  Gone again if nothing came of it."""
    if path is None:
        taken = [int(folder.name) for folder in Path("runs").glob("*") if folder.name.isdigit()]
        path = Path("runs") / f"{max(taken, default=0) + 1:03d}"
    path = Path(path)
    if path.is_dir() and all(map(files.is_leftover, path.iterdir())):
        files.sweep(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is not an empty folder; name another with --out, so that nothing is overwritten")
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    except BaseException:
        if not files.has_checkpoint(path):
            (path / "config.json").unlink(missing_ok=True)
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


def draw_figures(model, test, history, result, folder, seed):
    """The figures of a run, on test images."""
    from . import plots  # Matplotlib is imported only when something is drawn

    shape, few = test.image_shape, test[np.arange(min(10, len(test)))]
    figures = {
        "learning_curves": plots.learning_curves(history),
        "reconstructions": plots.reconstructions(model, few, shape),
    }
    many = test[np.arange(min(5000, len(test)))]
    labels = None if test.labels is None else test.labels[: len(many)]
    if model.variational:
        codes, _ = model.encode(many)
        order = np.argsort(-result.kl_per_latent)
        figures["samples"] = plots.samples(model.sample(100, np.random.default_rng(seed)), shape)
        figures["traversals"] = plots.traversals(model, codes[0], result.kl_per_latent, shape)
    else:
        codes = model.encode(many)
        order = np.argsort(-codes.var(axis=0))
    if model.latent_dim >= 2:
        pair = (0, 1) if model.latent_dim == 2 else tuple(int(j) for j in order[:2])
        figures["latents"] = plots.latent_scatter(codes, labels, pair, title="codes of the test images")
    if model.latent_dim == 2 and model.variational:
        figures["manifold"] = plots.manifold(model, shape)
    folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        files.write(folder / f"{name}.png", lambda file, figure=figure: figure.savefig(file, format="png", dpi=110))


# ---- evaluate, sample, traverse, score, gradcheck ------------------------------------------------------------


def report(model, result, where, samples=1):
    """What a model is worth, in sentences."""
    error = f"+- {result.standard_error:.2f} nats per example (standard error over {result.n} {where} examples)"
    if result.elbo is None:
        print(f"reconstruction loss {result.recon_nll:.2f} {error}")
        return
    print(f"ELBO {result.elbo:.2f} {error}")
    drawn = "one sample" if samples == 1 else f"{samples} samples"
    print(f"     = -(reconstruction {result.recon_nll:.2f} + KL {result.kl:.2f}), from {drawn} of z per example")
    if samples > 1:
        a, b = result.elbo_a, result.elbo_b
        also = f"with the KL sampled too: {a.mean:.2f} +- {a.sampling_error:.3f}"
        print(f"     other samples: +- {b.sampling_error:.3f}; {also}")
    kl = ", ".join(f"z{j} {result.kl_per_latent[j]:.2f}" for j in np.argsort(-result.kl_per_latent)[:10])
    print(
        f"active latents: {result.active_units} of {model.latent_dim}; KL in nats: {kl}{', ...' * (model.latent_dim > 10)}"
    )


def open_run(options):
    """The model of a run folder, its config with what the command line says instead, and the data set to look at."""
    folder = Path(options.run)
    if not (folder / "model.npz").is_file():
        raise FileNotFoundError(f"{folder} holds no model.npz; name a folder that vae-from-scratch train has left")
    model, config = files.load(folder / "model.npz"), read_config(folder)
    config.update({name: value for name, value in vars(options).items() if name in config and value is not None})
    checks.seed(config["seed"])
    return model, config, datasets.load(config["data"], config["split"])


def evaluate_run(options):
    model, config, data = open_run(options)
    K, same = options.importance_samples, {"binarize": config["binarize"], "seed": config["seed"]}
    if K is not None:
        checks.whole("importance_samples", K)
    checks.whole("samples", options.samples)
    exact = evaluation.quadrature(model, data, **same, progress=not options.quiet) if options.quadrature else None
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
    if exact is not None:
        print(f"log p(x) = {exact.mean:.4f} +- {exact.standard_error:.2f} nats per example, by quadrature")
        print(f"     (the last halving of its steps changed no example by more than {exact.change:.0e})")
    if model.variational and result.active_units < model.latent_dim:
        train = datasets.load(config["data"], "train")
        if len(train) > 100_000:  # drawn images: a part of them, at random, tells as much
            train = train[np.random.default_rng(config["seed"]).choice(len(train), 20_000, replace=False)]
        print(f"silent latents, on the training data: {evaluation.collapse(model, train, **same).verdict}")


def sample_run(options):
    model, config, data = open_run(options)
    from . import plots

    images = model.sample(options.n, np.random.default_rng(config["seed"]))
    _write_figure(plots.samples(images, data.image_shape), options.out or Path(options.run) / "figures" / "sample.png")


def traverse_run(options):
    model, config, data = open_run(options)
    from . import plots

    if not model.variational:
        raise ValueError("an autoencoder's latents have no common scale to traverse; train a vae or beta-vae")
    result = evaluate(model, data, binarize=config["binarize"], seed=config["seed"])
    chosen = np.random.default_rng(config["seed"]).integers(len(data), size=1)
    mu, _ = model.encode(data[chosen])
    figure = plots.traversals(model, mu[0], result.kl_per_latent, data.image_shape)
    _write_figure(figure, options.out or Path(options.run) / "figures" / "traverse.png")


def score_run(options):
    model, config, data = open_run(options)
    draw = {"seed": config["seed"], "repeats": options.repeats, "points": options.points, "progress": not options.quiet}
    own = {} if model.variational else {"least_variance": 0.0}  # of an autoencoder: on no prior's scale
    names = options.score.split(",")
    results = disentanglement.all_scores(model.encode, data, names, **draw, **own)
    for title, drawn in results.items():
        print(f"{title}\n    {spread(drawn)}, chance {drawn[-1].chance:.3f}")
        each = zip(drawn[-1].factor_names, np.mean([result.per_factor for result in drawn], axis=0), drawn[-1].latents)
        print("    " + ", ".join(f"{name} {value:.3f} (z{j})" for name, value, j in each))
    rng = np.random.default_rng(config["seed"])
    if model.variational:
        some = data[rng.integers(len(data), size=2000)]
        parts = disentanglement.kl_parts(*model.encode(some), rng)
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
    from . import plots

    figure = plots.factor_matrices([disentanglement.panel(title, drawn[-1]) for title, drawn in results.items()])
    _write_figure(figure, Path(options.run) / "figures" / "scores.png")


def spread(drawn):
    """The mean score of some draws, and their standard deviation."""
    scores = [result.score for result in drawn]
    error = f"+- {np.std(scores, ddof=1):.3f} over {len(scores)} draws" if len(scores) > 1 else "from one draw"
    return f"{np.mean(scores):.3f} {error}"


def _write_figure(figure, path):
    files.write(path, lambda file: figure.savefig(file, format="png", dpi=110))
    print(f"wrote {path}")


def run_gradcheck(options):
    """Every pair and every model; exit code 1 if one gradient is wrong."""
    wide = gradcheck.HAS_EXTENDED
    print("Relative error of each hand-written gradient, max |a - n| / max(|a|, |n|), the worst array of each row.")
    print(
        "A row passes when every array is below its limit in double"
        + (" and in extended precision." if wide else " precision.")
    )
    print(f"\n{'':66} {'double':>18}   {'extended':>18}\n{'':66} {'error':>9}{'limit':>9}   {'error':>9}{'limit':>9}")
    wrong = 0
    doubles = [*gradcheck.PAIRS, *gradcheck.models("float64")]
    extended = [*gradcheck.PAIRS, *gradcheck.models("longdouble")]
    for row, wide_row in zip(doubles, extended):
        is_pair = isinstance(row, gradcheck.Pair)
        results = [row.check(np.float64) if is_pair else row.check()]
        if wide:
            results.append(wide_row.check(np.longdouble) if is_pair else wide_row.check())
        worst = [max(result, key=lambda check: check.error / check.limit) for result in results]
        bad = [check for result in results for check in result if not check.ok]
        wrong += bool(bad)
        name = f"{row.name} ({row.tags})" if is_pair else row.name
        cells = "   ".join(f"{check.error:9.1e}{check.limit:9.0e}" for check in worst)
        print(f"{name:66} {cells}   {'ok' if not bad else 'WRONG: ' + bad[0].worst}", flush=True)
    print(f"\n{len(doubles) - wrong} of {len(doubles)} rows pass.")
    return 1 if wrong else 0


COMMANDS = {
    "train": train,
    "evaluate": evaluate_run,
    "sample": sample_run,
    "traverse": traverse_run,
    "score": score_run,
    "gradcheck": run_gradcheck,
}

if __name__ == "__main__":
    sys.exit(main())

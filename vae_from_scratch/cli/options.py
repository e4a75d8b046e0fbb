"""The command line's options: one table feeds the parser, the help and config.json.

Its defaults are those of the first run, the bundled digits in a few seconds; the classes' are those of MNIST.
"""

import argparse
import inspect
import os
import shlex
from collections.abc import Callable
from typing import NamedTuple

from .. import __version__, base, datasets, disentanglement, likelihoods, mlp, ops
from ..engine import backends, require
from ..optimizers import OPTIMIZERS
from .course import add_course

TABLES = (base.MODELS, likelihoods.LIKELIHOODS, disentanglement.SCORES)
PACKAGE = __package__.partition(".")[0] + "."  # a user's own have a name too, if they are defined before this is imported
MODELS, LIKELIHOODS, SCORES = (
    tuple(name for name, cls in table.items() if cls.__module__.startswith(PACKAGE)) for table in TABLES
)


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


def shape(text):
    """'28,28' -> (28, 28)."""
    return tuple(int(side) for side in text.split(","))


def sigma(text):
    """A number, or one of the names that Gaussian and Laplace take."""
    return text if text in ("learned", "per-pixel") else float(text)


COMMAS = {widths: "500,500", shape: "28,28"}  # what is several numbers and one value, and an example
EXPECTED = {kind: f"whole numbers with commas, such as {such}" for kind, such in COMMAS.items()}
EXPECTED[sigma] = "a number, learned or per-pixel"


def reading(kind):
    """kind as argparse takes it: a text that it cannot read is an error that says what was expected."""

    def read(text):
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"takes {EXPECTED[kind]}, got {text!r}") from None

    return read if kind in EXPECTED else kind


def defaults(model):
    """What a model takes that not all do, its arguments by keyword alone: what the first run needs, or else its defaults."""
    cls = base.MODELS[model]
    parameters = inspect.signature(cls).parameters.values()
    own = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY or p.name in cls.hyperparameters}
    return {name: PRESETS.get((model, name), default) for name, default in own.items() if type(default) in KINDS}


def own_option(name):
    """The row of the table for an argument that only some models take: its kind is that of its default."""
    values = {model: defaults(model)[name] for model in OWNERS[name]}
    shown = ", ".join(f"{model}: {as_text(value)}" for model, value in values.items())
    choices = base.MODELS[OWNERS[name][0]].choices.get(name)
    kind = KINDS[type(next(iter(values.values())))]
    return Option(name, None, kind, f"{WORDS.get(name, 'a hyperparameter')} ({shown}, if not given)", choices)


def as_text(value):
    """A default as it would be typed."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def typed(path):
    """A path as it would be typed: in quotes where the shell needs them, and no option."""
    path = f"./{path}" if str(path).startswith("-") else str(path)
    return (f'"{path}"' if " " in path else path) if os.name == "nt" else shlex.quote(path)


LIKELIHOOD_OPTIONS = {  # likelihood: its options, and what they are if not given
    "gaussian": {"sigma": "learned", "mean": "linear"},
    "laplace": {"scale": "learned", "mean": "linear"},
}
# at the classes' own values, 4 and 0, the codes of 8 x 8 digits nearly collapse
PRESETS = {("beta-vae", "beta"): 1.5, ("capacity-vae", "capacity"): 5.0}
WORDS = {
    "alpha": "weight of the mutual information; 1 is the VAE's",
    "beta": "weight of the KL, or of its total correlation; 1 is the VAE's",
    "gamma": "weight of |KL - capacity|, of the dimension-wise KL, or of the discriminator's total correlation",
    "capacity": "the KL to hold, in nats",
    "samples": "draws of z per example in the loss",
    "free_bits": "nats of each latent, or group of them, that cost nothing",
    "group_size": "latents in a group, those side by side",
    "doubly": "give the encoder the doubly reparameterized gradient",
    "estimator": "of log q(z) from a batch",
    "discriminator_hidden": "widths of the discriminator's hidden layers",
    "kind": "whose covariance is held: of mu (i) or of z (ii)",
    "lambda_od": "weight of the covariances between latents",
    "lambda_d": "weight of how far their variances are from 1",
    "corruption": "what is done to the encoder's input in training",
    "level": "how much is corrupted: the share of the pixels, or the noise's sigma",
    "weight": "weight of the penalty",
    "penalty": "what makes the code sparse",
    "code": "activation of the code; kl needs sigmoid",
    "rho": "the mean activation to aim at",
}
KINDS = {float: float, int: int, bool: bool, str: str, tuple: widths}  # of a default: how an option is read
OWNERS: dict = {}  # name: the models whose constructor takes it
for owner in MODELS:
    for argument in defaults(owner):
        OWNERS.setdefault(argument, []).append(owner)
OPTIONS = [
    Option("model", "beta-vae", str, "what to train", MODELS),
    Option(
        "data",
        "digits",
        str,
        f"a data set ({', '.join(datasets.NAMES)}), an .npy or .npz file of your images, or a folder of PNG and JPEG photos",
    ),
    Option(
        "image_shape",
        None,
        shape,
        "how an example is shown: rows,columns or rows,columns,3 (as the data say, if not given); photos are resized to it, "
        "the 3 for colour (64,64 if not given)",
    ),
    Option("split", "test", str, "the part of the data that the run is judged on", datasets.SPLITS),
    Option("latent_dim", 10, int, "how many latents, Z; 2 draws the whole latent plane"),
    Option("hidden", (128,), widths, "widths of the encoder's hidden layers, such as 500,500; none for a linear model"),
    Option("activation", "tanh", str, "of the hidden layers", tuple(ops.ACTIVATIONS)),
    Option("decoder_hidden", None, widths, "the decoder's widths, if they are not the encoder's mirrored"),
    Option(
        "decoder_activation", None, str, "the decoder's activation, if it is not the encoder's", tuple(ops.ACTIVATIONS)
    ),
    Option(
        "likelihood", "bernoulli", str,
        "p(x|z): bernoulli for black and white, continuous-bernoulli for grey pixels in [0, 1], gaussian or laplace for real numbers; "
        "squared-error is for the autoencoder",
        LIKELIHOODS,
    ),
    Option("sigma", None, sigma, "noise of the gaussian likelihood: a number, learned, or per-pixel (learned if not given)"),
    Option("scale", None, sigma, "noise of the laplace likelihood, b: a number, learned, or per-pixel (learned if not given)"),
    Option("mean", None, str, "mean of the gaussian or laplace likelihood (linear if not given)", ("linear", "sigmoid")),
    *map(own_option, OWNERS),
    Option("epochs", None, int, "passes over the training data (300 on digits, 20 elsewhere, if not given)"),
    Option("batch_size", 100, int, "examples per step"),
    Option("optimizer", "adam", str, "the update rule", tuple(OPTIMIZERS)),
    Option("lr", 0.002, float, "learning rate"),
    Option("weight_decay", False, bool, "put the prior N(0, I) on every parameter"),
    Option("gradient_norms", False, bool, "keep the norm of every layer's gradient in history.csv, and draw them"),
    Option("frames", 0, int, "keep this many snapshots of training in frames.npz, for animate; 40 is a good number"),
    Option("init", "glorot", str, "how weights start", mlp.INITS),
    Option(
        "binarize",
        None,
        str,
        "grey pixels to 0 and 1 (dynamic for bernoulli, none elsewhere, if not given)",
        require.BINARIZE,
    ),
    Option("seed", 0, int, "of everything random: the same seed gives the same bits"),
    Option("checkpoint_seconds", 60.0, float, "seconds between checkpoints; 0 for one after every step"),
    Option("threads", None, int, "parts of each batch, computed side by side (as many as pay, if not given)"),
    Option("dtype", "float32", str, "precision", ("float32", "float64")),
    Option("backend", "numba", str, "the fast implementation of the pairs, or the one to read", tuple(backends.BACKENDS)),
]


THREADS = "batches computed side by side, with the same result for any number (default: one on each core, if that pays)"


class Joined(argparse.Action):
    """Widths with commas, with spaces, or with both: 500,500 and 500 500 are the same."""

    def __call__(self, parser, namespace, values, option_string=None):
        if len(values) > 1 and () in values:
            raise argparse.ArgumentError(self, f"none stands alone, for no hidden layer; got {' '.join(map(as_text, values))}")
        setattr(namespace, self.dest, sum(values, ()))


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def add_sweep(commands):
    """The parser of sweep: every option of train, as texts that cli/sweep.py reads."""
    sweep = commands.add_parser(
        "sweep",
        help="train every combination of settings, side by side: one table, one figure",
        description="Train and evaluate a run for every combination of settings.  Every option of train takes lists: 1,2,4, and of\n"
        "whole numbers 0-9 as well; an option given twice has the values of both.  --hidden 500,500 is one value, as are other\n"
        "widths, image shapes and the names of data: for several, give the option several times.\n"
        "Called again with the same --out, finished runs are only read, and others go on from their checkpoints.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  vae-from-scratch sweep --beta 1,2,4,8 --seed 0-9 --jobs 2 --out runs/sweep\n"
        "  vae-from-scratch sweep --model vae,beta-vae --beta 4 --hidden 500 --hidden 300,300 --seed 0-2",
    )
    for option in OPTIONS:
        one = option.kind in COMMAS or option.name == "data"
        how = {"nargs": "+"} if option.kind in COMMAS else {"nargs": "?", "const": "yes"} if option.kind is bool else {}
        words = f"{option.help}: {', '.join(option.choices)}" if option.choices else option.help
        words = "parts of each batch, computed side by side (1 unless given)" if option.name == "threads" else words
        sweep.add_argument(
            "--" + option.name.replace("_", "-"), action="append", default=argparse.SUPPRESS, help=words,
            metavar="yes,no" if option.kind is bool else option.name.upper() if one else "LIST", **how,
        )  # fmt: skip
    sweep.add_argument("--out", metavar="DIR", default="runs/sweep", help="folder for the runs, new or of a sweep (default: %(default)s)")
    sweep.add_argument("--jobs", type=int, help="processes side by side, with one thread each (default: one for each core)")
    words = "run on the workers of the Dask scheduler at this address (extra: cluster)"
    sweep.add_argument("--scheduler", metavar="ADDRESS", help=words)
    sweep.add_argument("--result", default="elbo", help="what the figure shows: elbo, recon_nll, kl, active_units, ... (default: elbo)")
    sweep.add_argument("--against", metavar="SETTING", help="the setting on its axis (default: the first that varies, a seed last)")
    sweep.add_argument("--quiet", action="store_true", help="no progress bar")


def build_parser():
    """The parser; train's options come from OPTIONS, and are absent from what it returns unless they were given."""
    parser = Parser(
        prog="vae-from-scratch",
        description="Train and look at autoencoders, VAEs and beta-VAEs written in NumPy, every backward pass by hand.",
        epilog="Start with: vae-from-scratch train.  Then open the figures it names, and derivations/ for the mathematics.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser(
        "train",
        help="train a model; with no options, a beta-VAE on the bundled digits, in a few seconds",
        description="Train a model and leave model.npz, history.csv, config.json, checkpoint.npz and figures/ in a "
        "new folder.  All losses are in nats per example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  vae-from-scratch train\n"
        "  vae-from-scratch train --latent-dim 2 --beta 1\n"
        "  vae-from-scratch train --model vae --data mnist --hidden 500 --latent-dim 20 --epochs 10\n"
        "  vae-from-scratch train --data faces.npy --likelihood gaussian --sigma learned\n"
        "  vae-from-scratch train --data photos --image-shape 32,32,3 --likelihood gaussian\n"
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
            type=reading(option.kind),
            default=argparse.SUPPRESS,
            choices=option.choices,
            metavar=None if option.choices else option.name.upper(),
            **({"nargs": "+", "action": Joined} if option.kind in COMMAS else {}),
            help=option.help if option.default is None else f"{option.help} (default: {shown})",
        )
    train.add_argument(
        "--out", metavar="DIR", help="folder to write, new or empty (default: the next free number below runs/)"
    )
    words = "go on with the run in DIR, interrupted or finished; --epochs (more, or fewer to end it) and --data may be added"
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
        if name != "evaluate":
            words = "rows,columns or rows,columns,3 (default: the run's)"
            command.add_argument("--image-shape", type=reading(shape), nargs="+", action=Joined, help=words)
        if name == "evaluate":
            command.add_argument(
                "--samples", type=int, metavar="L", help="draws of z per example for the ELBO (default: 1; 20 with --quadrature)"
            )
            words = "also estimate log p(x) from K draws of z per example (Burda et al. 2015: 5000)"
            command.add_argument("--importance-samples", type=int, metavar="K", help=words)
            words = "also integrate log p(x) over a grid of z, for one or two latents"
            command.add_argument("--quadrature", action="store_true", help=words)
            command.add_argument("--threads", type=int, help=THREADS)
            command.add_argument("--quiet", action="store_true", help="no progress bar")
        if name == "sample":
            command.add_argument("--n", type=int, default=100, help="how many images (default: 100)")
            words = "write each image into a file of its own in DIR, one pixel per value"
            command.add_argument("--separate", metavar="DIR", help=words)
        else:
            command.add_argument("--split", choices=datasets.SPLITS, help="(default: the run's, which is test)")
        if name == "traverse":
            words = "go from the code of image I to that of image J instead (row numbers in the split, from 0)"
            command.add_argument("--between", type=int, nargs=2, metavar=("I", "J"), help=words)
        if name != "evaluate":
            command.add_argument("--out", metavar="FILE", help=f"the picture to write (default: RUN/figures/{name}.png)")
    words = "make one HTML file in which to explore a trained model's latent space, or those of several similar models"
    explore = commands.add_parser("explore", help=words, description=words[0].upper() + words[1:] + ".")
    explore.add_argument("runs", metavar="RUN", nargs="+", help="a folder that train left, or several, such as runs of several beta")
    explore.add_argument("--out", metavar="FILE", help="the page to write (default: explore.html in the first run's folder)")
    explore.add_argument("--images", type=int, default=300, help="how many, at most (default: %(default)s)")
    explore.add_argument("--float16", action="store_true", help="keep more digits of each weight: 16 bits instead of 8")
    explore.add_argument("--seed", type=int, help="of the draw of images (default: the run's)")
    explore.add_argument("--data", help="instead of the run's own data")
    explore.add_argument("--split", choices=datasets.SPLITS, help="(default: the run's, which is test)")
    words = "rows,columns or rows,columns,3 (default: the run's)"
    explore.add_argument("--image-shape", type=reading(shape), nargs="+", action=Joined, help=words)
    words = "make a moving picture of a run: its codes and reconstructions while it learned (train --frames N), and a traversal"
    animate = commands.add_parser("animate", help=words, description=words[0].upper() + words[1:] + ".")
    animate.add_argument("run", metavar="RUN", help="the folder that train left, such as runs/001")
    words = "a file that ends in .gif, or a new folder for a PNG file of each frame (default: RUN/figures/animation.gif)"
    animate.add_argument("--out", metavar="FILE", help=words)
    animate.add_argument("--data", help="instead of the run's own data, for a run without snapshots")
    animate.add_argument("--quiet", action="store_true", help="no progress bar")
    words = "score a trained model's codes against the known factors of its data"
    score = commands.add_parser("score", help=words, description=words[0].upper() + words[1:] + ".")
    score.add_argument("run", metavar="RUN", help="the folder that train left, trained on data with known factors")
    score.add_argument("--score", default=",".join(SCORES), help="which scores, separated by commas (default: %(default)s)")
    score.add_argument("--seed", type=int, help="of the random draws (default: the run's)")
    score.add_argument("--data", help="instead of the run's own data")
    score.add_argument("--out", metavar="FILE", help="the picture to write (default: RUN/figures/scores.png)")
    score.add_argument("--repeats", type=int, default=3, help="draws of each score, for its spread (default: 3)")
    words = "examples that the classifiers of beta-vae, dci, explicitness and sap (SVM) learn from (default: 10000)"
    score.add_argument("--points", type=int, default=10_000, help=words)
    words = "score the pixels, PCA, a random projection and the network before training as well"
    score.add_argument("--baselines", action="store_true", help=words)
    score.add_argument("--threads", type=int, help=THREADS)
    score.add_argument("--quiet", action="store_true", help="no progress bar")
    words = "set runs side by side: the settings that differ, what the runs are worth, their curves in one figure"
    compare = commands.add_parser("compare", help=words, description=words[0].upper() + words[1:] + ".")
    compare.add_argument("runs", metavar="RUN", nargs="+", help="two folders or more that train left")
    compare.add_argument("--seed", type=int, help="of the random draws, the same for all (default: the first run's)")
    compare.add_argument("--data", help="for all, instead of the runs' own data")
    compare.add_argument("--out", metavar="FILE", default="compare.png", help="the picture to write (default: %(default)s)")
    add_sweep(commands)
    words = "check every hand-written derivative against differences of its forward"
    commands.add_parser("gradcheck", help=words, description=words[0].upper() + words[1:] + ", and print the table.")
    add_course(commands)
    return parser

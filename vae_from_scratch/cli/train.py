"""vae-from-scratch train: a run folder from its options to its figures."""

import contextlib
import functools
import inspect
import math
import sys
from pathlib import Path

import numpy as np

from .. import base, datasets, likelihoods
from ..engine import checkpoints, files, require
from ..engine.streams import stream
from ..evaluation import evaluate
from ..optimizers import OPTIMIZERS
from ..training import fit
from .options import LIKELIHOOD_OPTIONS, OPTIONS, OWNERS, as_text, defaults, typed, widths

CHECKS = {  # of an option: what it must be in config.json; models and likelihoods look at the others, and at the ranges
    int: functools.partial(require.whole, least=-(2**128), below=2**128),
    float: require.number,
    bool: require.flag,
    widths: require.widths,
}
FRAMES, IN_FRAMES = "frames.npz", 300  # what an animation needs of training, and of how many test images


def train_run(options):
    given = {option.name: getattr(options, option.name) for option in OPTIONS if hasattr(options, option.name)}
    if options.resume is None:
        config = resolve({option.name: given.get(option.name, option.default) for option in OPTIONS})
        folder, resume = new_folder(options.out, config), False
    else:
        config, resume = config_to_resume(options, given)
        folder = contextlib.nullcontext(Path(options.resume))
    guessed = config["image_shape"] is None
    parts = data, test, model, _ = prepare(config)
    if guessed and is_flat(config["data"], data.image_shape):
        shown = " x ".join(map(str, data.image_shape))
        print(f"note: {shown} is a guess at the shape of {math.prod(data.image_shape)} values; give it with --image-shape H,W")
    if isinstance(model.likelihood, likelihoods.Bernoulli) and config["binarize"] == "none" and not data.binary:
        print(
            "note: a Bernoulli likelihood on grey pixels trains, but is no density of grey values; "
            "--likelihood continuous-bernoulli is (derivations/06)"
        )
    with folder as out:
        article = "an" if config["model"][0] in "aeiou" else "a"
        print(
            f"{'going on with' if resume else 'training'} {article} {config['model']} on {config['data']}: "
            f"{len(data)} examples of {model.data_dim} values, {config['epochs'] or 'the remaining'} epochs"
        )
        try:
            history, result = learn(config, parts, out, resume, progress=not options.quiet)
        except KeyboardInterrupt as stop:
            if resume:  # the data are those of the run, wherever they are now
                files.write_json(out / "config.json", {**config, "epochs": read_config(out)["epochs"]})
            way = ""
            if files.has_checkpoint(out):
                _, done, _, _ = checkpoints.progress(out / files.CHECKPOINT)
                here = "end it here" if done else "end it after one epoch"
                way = f"; go on with: vae-from-scratch train --resume {typed(out)}, or {here} with the same and --epochs {max(1, done)}"
            raise KeyboardInterrupt((str(stop) or "interrupted") + way) from stop
    further = checkpoints.progress(out / files.CHECKPOINT)[3] if files.has_checkpoint(out) else 0  # of a run ended within an epoch
    also = f", and on {further} examples of the next epoch" * (further > 0)
    print(f"trained for {history['steps'][-1]} steps in {history['seconds'][-1]:.1f} s{also}")
    report(model, result, f"{data.name} {config['split']}")
    try:
        draw_figures(model, test, history, result, out / "figures", config["seed"])
    except KeyboardInterrupt as stop:
        words = f"interrupted while figures were drawn; the run is whole, and vae-from-scratch train --resume {typed(out)} draws them"
        raise KeyboardInterrupt(words) from stop
    if (out / "figures").is_dir():
        print(f"figures: {out / 'figures'}")


def prepare(config):
    """The data, those that the run is judged on, the model and the optimizer of a config, whose image_shape is filled in."""
    for name in ("frames", "batch_size", "epochs", "threads"):
        if config[name] is not None:
            require.whole(name, config[name], least=0 if name == "frames" else 1)
    require.number("checkpoint_seconds", config["checkpoint_seconds"], 0)
    data, test = open_data(config, "train", strict=True), open_data(config, config["split"], strict=True)
    config["image_shape"] = list(data.image_shape)
    model = build(config, math.prod(data.image_shape))
    require.batch(model, config["batch_size"], len(data))
    return data, test, model, OPTIMIZERS[config["optimizer"]](lr=config["lr"])


def learn(config, parts, out, resume, progress):
    """Train what prepare made and leave the run in the folder out.  Returns the history and the evaluation."""
    data, test, model, optimizer = parts
    history = fit(
        model,
        data,
        optimizer,
        batch_size=config["batch_size"],
        epochs=config["epochs"],
        seed=config["seed"],
        x_valid=test,
        binarize=config["binarize"],
        progress=progress,
        weight_decay=config["weight_decay"],
        checkpoint=out,
        checkpoint_seconds=config["checkpoint_seconds"],
        resume=resume,
        gradient_norms=config["gradient_norms"],
        threads=None if resume else config["threads"],  # a run goes on with as many as it began with
        **frames_of_training(config, data, test, out),
    )
    config["epochs"] = history["epoch"][-1]
    files.save(model, out / "model.npz")
    files.write_history(out / "history.csv", history)
    files.write_json(out / "config.json", config)
    return history, evaluate(model, test, binarize=config["binarize"], seed=config["seed"], threads=config["threads"])


def frames_of_training(config, data, test, out):
    """The callback of fit that --frames asks for; nothing without it."""
    if not config["frames"]:
        return {}
    from ..plots import Frames

    how = {"image_shape": test.image_shape, "n_train": len(data), "binarize": config["binarize"], "seed": config["seed"]}
    some = test[np.arange(min(IN_FRAMES, len(test)))]
    frames = Frames(out / FRAMES, some, None if test.labels is None else test.labels[: len(some)], **how)
    epochs = config["epochs"] or files.newest_checkpoint(out, lambda path: checkpoints.progress(path)[2])  # of a run that goes on
    return {"callback": frames, "callback_at": frames.at(config["frames"], epochs, config["batch_size"])}


def config_to_resume(options, given):
    """The config of the run to go on with, and whether it has a checkpoint yet (if not, it begins again)."""
    others = sorted(set(given) - {"epochs", "data", "image_shape"} | ({"out"} if options.out else set()))
    if others:
        flags = ", ".join("--" + name.replace("_", "-") for name in others)
        raise ValueError(f"--resume takes everything but --epochs and --data from {options.resume}; leave out {flags}")
    folder = Path(options.resume)
    config, resume = read_config(folder), files.has_checkpoint(folder)
    if not resume and (folder / "model.npz").is_file():
        raise ValueError(f"{folder} holds a trained model.npz and no checkpoint to go on from; train into a new folder")
    config.update({name: given[name] for name in ("data", "image_shape") if name in given})
    config["data"] = present(config["data"]) if "data" in given else absolute(config["data"])
    config["epochs"] = given.get("epochs", None if resume else config["epochs"])  # None: as many as its checkpoint says
    with files.lock(folder):
        files.sweep(folder)
    return config, resume


def read_config(folder):
    """config.json of a run folder: the options of this version, each of its kind, those with choices one of them."""
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no config.json; name a folder that vae-from-scratch train has left")
    may_lack = {option.name: option.default for option in OPTIONS if option.default is None or option.name in ("gradient_norms", "frames")}
    config = {**may_lack, **files.read_json(path)}
    if wrong := {option.name for option in OPTIONS} ^ set(config):
        raise ValueError(f"{path} does not hold the options of this version: {', '.join(sorted(wrong))}")
    for option in OPTIONS:
        name, value = f"{path}: {option.name}", config[option.name]
        if value is None and option.default is None and option.name not in ("epochs", "binarize"):  # which resolve fills in
            continue
        if option.choices:
            require.choice(name, value, option.choices)
        try:
            CHECKS.get(option.kind, lambda *_: None)(name, value)
        except TypeError as error:  # somebody has written "600" for 600
            raise ValueError(str(error)) from error
    return {option.name: config[option.name] for option in OPTIONS}


def resolve(config):
    """config with every default that depends on another option filled in; refuses options that would do nothing."""
    model, ours = config["model"], LIKELIHOOD_OPTIONS.get(config["likelihood"], {})
    for name in sorted({name for values in LIKELIHOOD_OPTIONS.values() for name in values}):
        owners = [likelihood for likelihood, values in LIKELIHOOD_OPTIONS.items() if name in values]
        config[name] = _dependent(config, name, ours.get(name), name in ours, f"--likelihood {' or '.join(owners)}")
    own = defaults(model)
    if config["penalty"] == "l1" and config["rho"] not in (None, own.get("rho")):
        raise ValueError(f"--rho {config['rho']:g} has no effect with --penalty l1; leave it out, or take --penalty kl")
    for name, owners in OWNERS.items():
        config[name] = _dependent(config, name, own.get(name), name in own, f"--model {' or '.join(owners)}")
    layers = config["hidden"] if config["decoder_hidden"] is None else config["decoder_hidden"]
    _dependent(config, "decoder_activation", None, len(layers) > 0, "hidden layers in the decoder")
    cls, likelihood = base.MODELS[model], likelihoods.LIKELIHOODS[config["likelihood"]]
    if cls.variational and not likelihood.is_density:
        raise ValueError(
            f"--likelihood {config['likelihood']} is no density, so --model {model} has no ELBO to maximise with it; take "
            "--model autoencoder, or --likelihood gaussian --sigma 1, the squared error with its constant"
        )
    config["data"] = present(config["data"])
    if config["epochs"] is None:
        config["epochs"] = 300 if config["data"] == "digits" else 20
    if config["binarize"] is None:
        config["binarize"] = "dynamic" if config["likelihood"] == "bernoulli" else "none"
    return config


def _dependent(config, name, default, applies, condition):
    if not applies and config[name] is not None:
        shown = as_text(config[name]) if isinstance(config[name], tuple) else config[name]
        flag = "--" + name.replace("_", "-")
        raise ValueError(f"{flag} {shown} has no effect without {condition}; leave it out, or add that")
    return default if applies and config[name] is None else config[name]


def absolute(data):
    """A data set's name, or the whole path of a file: the run can then be looked at from anywhere."""
    data = require.path("data", data)
    return data if data in datasets.NAMES else str(Path(data).absolute())


def present(data):
    """absolute of what was just named: that a file was moved is no answer if it is not there."""
    data = absolute(data)
    if Path(data).suffix.lower() in (".npy", ".npz") and not Path(data).exists():
        raise FileNotFoundError(f"--data {data} is not there; name a file that is")
    return data


def open_data(config, split, strict=False):
    """A part of the data that a config names, with the backend and the image shape that it says.

    A shape of other data is passed over unless strict.
    """
    make = datasets.NAMES.get(config["data"])
    try:
        if make is not None and "backend" in inspect.signature(make).parameters:  # it is drawn
            data = make(split, backend=config["backend"])
        elif make is None and config["image_shape"] is not None and Path(config["data"]).is_dir():
            check_shape(config["image_shape"])
            rows, columns, *colours = config["image_shape"]
            data = datasets.images(config["data"], (rows, columns), gray=colours != [3], split=split)
        else:
            data = datasets.load(config["data"], split)
    except FileNotFoundError as error:
        if make is not None:
            raise
        advice = "if it was moved, say where it is with --data; train --resume RUN --data FILE keeps that"
        raise FileNotFoundError(f"{config['data']} is not there; {advice}") from error
    shape = config["image_shape"]
    if shape is not None and (strict or fits(shape, math.prod(data.image_shape))):
        check_shape(shape, math.prod(data.image_shape))
        data.image_shape = tuple(shape)
    return data


def fits(shape, data_dim):
    """Whether this is (rows, columns) or (rows, columns, 3), of so many values."""
    return is_shape(shape) and math.prod(shape) == data_dim


def is_shape(shape):
    """Whether this is (rows, columns) or (rows, columns, 3), whole numbers."""
    whole = isinstance(shape, (list, tuple)) and all(isinstance(side, int) and side >= 1 for side in shape)
    return whole and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)))


def check_shape(shape, data_dim=None):
    """ValueError unless it fits; without data_dim, unless photos can be resized to it."""
    if not (is_shape(shape) if data_dim is None else fits(shape, data_dim)):
        shown = ",".join(map(str, shape)) if isinstance(shape, (list, tuple)) else shape
        wanted = "to resize photos to" if data_dim is None else f"whose product is {data_dim}"
        raise ValueError(f"--image-shape must be rows,columns or rows,columns,3 {wanted}, got {shown}")


def is_flat(data, image_shape):
    """Whether a data file has its examples as rows of numbers, so that nobody knows the rectangle they came from."""
    if not Path(data).is_file() or Path(data).suffix.lower() not in (".npy", ".npz"):
        return False
    return any(shape[1:] == (math.prod(image_shape),) for shape, _ in files.headers(data).values())


def build(config, data_dim):
    """The model that a config describes."""
    likelihood = {"name": config["likelihood"]}
    likelihood |= {name: config[name] for name in LIKELIHOOD_OPTIONS.get(config["likelihood"], {})}
    names = "hidden latent_dim activation seed dtype backend decoder_hidden decoder_activation init".split()
    model = base.MODELS[config["model"]]
    return model(data_dim, likelihood=likelihood, **{name: config[name] for name in [*names, *defaults(config["model"])]})


@contextlib.contextmanager
def new_folder(path, config):
    """The empty folder to write to, path or the next free number below runs/, with config.json in it, which claims it.

    Gone again if nothing came of it.
    """
    taken = [int(folder.name) for folder in Path("runs").glob("*") if folder.name.isdecimal()]
    folder = Path(path or f"runs/{max(taken, default=0) + 1:03d}")
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(files.making(folder, exist_ok=path is not None))
                break
            except FileExistsError:
                if path is not None or not folder.parent.is_dir():
                    check_empty(folder)
                folder = folder.with_name(f"{int(folder.name) + 1:03d}")  # another start was quicker
        check_empty(folder)
        with files.lock(folder):
            check_empty(folder)  # nobody came between
            files.sweep(folder)
            files.write_json(folder / "config.json", config)
        try:
            yield folder
        except BaseException:
            if not files.has_checkpoint(folder):
                (folder / "config.json").unlink(missing_ok=True)
            raise


def check_empty(folder):
    """ValueError unless folder is one that holds nothing but what killed processes left."""
    if not folder.is_dir() or not all(map(files.is_leftover, folder.iterdir())):
        raise ValueError(f"{folder} is not an empty folder; name another with --out, so that nothing is overwritten")


def draw_figures(model, test, history, result, folder, seed):
    """The figures of a run, on test images.  One that cannot be drawn is a note: the run is saved by then."""
    try:
        from .. import plots  # Matplotlib is imported only when something is drawn

        drawings = _drawings(plots, model, test, history, result, seed)
        folder.mkdir(exist_ok=True)
    except Exception as error:
        return _not_drawn("figures were", error)
    for name, draw in drawings.items():
        try:
            plots.save(draw(), folder / f"{name}.png")
        except Exception as error:
            _not_drawn(f"{name}.png was", error)
    return None


def _not_drawn(what, error):
    print(f"note: {what} not drawn: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)


def _drawings(plots, model, test, history, result, seed):
    # name: what draws it
    shape, many = test.image_shape, test[np.arange(min(5000, len(test)))]
    labels, shown = None if test.labels is None else test.labels[: len(many)], {"value_range": plots.image_range(many)}
    codes = model.encode(many)[0] if model.variational else model.encode(many)

    def traversals():
        chosen = plots.readable(model, many[:200])
        return plots.traversals(model, codes[chosen], result.kl_per_latent, shape, x=many[chosen], **shown)

    def latents():
        order = np.argsort(-result.kl_per_latent if model.variational else -codes.var(axis=0))
        pair = (0, 1) if model.latent_dim == 2 else tuple(int(j) for j in order[:2])
        largest = "" if model.latent_dim == 2 else f"\nin the two latents with the most {'KL' if model.variational else 'variance'}"
        return plots.latent_scatter(codes, labels, pair, title="codes of the test images" + largest)

    drawings = {
        "learning_curves": lambda: plots.learning_curves(history),
        "reconstructions": lambda: plots.reconstructions(model, many[:10], shape, **shown),
    }
    if "gradient_norms" in history:
        drawings["gradient_norms"] = lambda: plots.gradient_norms(history)
    if model.variational:
        drawings["samples"] = lambda: plots.samples(model.sample(100, stream("samples", seed)), shape, **shown)
        drawings["traversals"] = traversals
    if model.latent_dim >= 2:
        drawings["latents"] = latents
    if model.latent_dim == 2 and model.variational:
        drawings["manifold"] = lambda: plots.manifold(model, shape, codes=codes, **shown)
    return drawings


def report(model, result, where, samples=1):
    """What a model is worth, in sentences."""
    error = f"+- {result.standard_error:.2f} nats per example (standard error over {result.n} {where} examples)"
    active = f"{result.active_units} of {model.latent_dim}"
    if result.n == 1:
        error, active = f"nats for the one {where} example (the error is unknown)", "unknown from one example"
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
        f"active latents: {active}; KL in nats: {kl}{', ...' * (model.latent_dim > 10)}"
    )

"""vae-from-scratch explore: one run, or several that are alike, as a page for a browser."""

from pathlib import Path

from .. import explore
from ..engine import files
from .look import open_run
from .train import open_data

NOTICED = 0.1  # nats that rounding may change without a hint


def explore_run(options):
    """One self-contained HTML file from the models of some runs and images of the first."""
    folders = {Path(folder).resolve(): folder for folder in options.runs}.values()  # each once, however it is written
    opened = {folder: open_run(folder, options)[:2] for folder in folders}
    precision = "float16" if options.float16 else "int8"
    models = explore.checked_alike({folder: model for folder, (model, _) in opened.items()}, precision)
    path = page_path(options.out or Path(options.runs[0]) / "explore.html")
    config = next(iter(opened.values()))[1]
    data = open_data(config, config["split"])
    images, x = explore.pack_images(data, config["binarize"], options.images, config["seed"])
    images |= {"name": f"{data.name} {config['split']}", "ends": explore.ends(next(iter(models.values())), x, images)}
    runs = [explore.pack_model(name, model, x, precision) for name, model in zip(names_of(models), models.values())]
    notes = list(sentences(runs, images, config))
    text = explore.build(f"{data.name}: the latent space of {one_or(len(runs), words(models))}", runs, images, notes)
    files.write(path, lambda file: file.write(text.encode("utf-8", "backslashreplace")))
    for note in notes:
        print(note)
    if not options.float16 and any(abs(run["error"]["nats"]) > NOTICED for run in runs):
        print("--float16 keeps more digits of each weight, in a page nearly twice as large")
    print(f"wrote {path} ({len(text) / 1e6:.2f} MB); open it in a browser")


def one_or(count, what):
    """What the title says of so many: a vae, an iwae, 3 vaes."""
    return f"{count} {what}" if count > 1 else f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def words(models):
    """What the title calls the models."""
    kinds = {model.name for model in models.values()}
    return (kinds.pop() if len(kinds) == 1 else "model") + ("s" if len(models) > 1 else "")


def names_of(models):
    """What the switch calls each run: its folder, by its last name if these differ, and what its objective can be set to."""
    folders, last = list(models), [Path(folder).resolve().name for folder in models]
    own = ["".join(f", {name} {getattr(model, name):g}" for name in model.hyperparameters) for model in models.values()]
    return [str(folder) + words for folder, words in zip(last if len(set(last)) == len(last) else folders, own)]


def page_path(path):
    """A path that an HTML file can be written to; ValueError or FileNotFoundError otherwise."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise ValueError(f"a page is written to a file whose name ends in .html, got {path}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}; make it first")
    return path


def sentences(runs, images, config):
    """What the page, and the command, say about what was rounded and left out."""
    if images["count"] < images["of"]:
        yield f"{images['count']} of {images['of']:,} images are in this page, drawn at random."
    for run in runs:
        pixel = 255 * run["error"]["pixel"] / (images["high"] - images["low"])
        moved = f"moves a decoded pixel of these images by at most {pixel:.1f} of 255 grey levels"
        cost = f"changes their mean cost by {run['error']['nats']:+.3f} nats"
        yield f"{run['name']}: weights are rounded to {run['precision']}, which {moved} and {cost}."
    if images["grey"] and config["binarize"] == "dynamic":
        yield (
            "The model was trained on black and white images drawn from grey ones. Here it sees the grey image, and the "
            "reconstruction is its mean over such draws at this z."
        )
    if len(runs) > 1:
        yield "Models that were trained apart need not give a latent the same meaning: z is kept as numbers."

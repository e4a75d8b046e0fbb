"""vae-from-scratch compare: runs side by side."""

import csv
import json
from pathlib import Path

import numpy as np

from ..engine.estimates import spread
from ..evaluation import evaluate
from .look import _write_figure, open_run
from .options import OPTIONS, typed
from .train import open_data, read_config

SAME_IMAGES = ("data", "split", "binarize")  # runs that agree in these are judged on the same images, but for photos' sizes
OPENED = ("data", "split", "image_shape", "backend")  # runs that agree in these are judged on one data set in memory
PANELS = {"loss": "loss", "recon_nll": "reconstruction: -log p(x|z)", "kl": "KL(q(z|x) || p(z))"}


def compare_runs(options):
    """Settings that differ, then what each run is worth, then the curves of all in one figure."""
    if len(options.runs) < 2:
        raise ValueError(f"compare takes two runs or more, got {options.runs[0]} alone; evaluate looks at one")
    runs = {folder: open_run(folder, options)[:2] for folder in options.runs}
    if len({Path(folder).resolve() for folder in options.runs}) < len(options.runs):
        raise ValueError(f"compare takes each run once, got {' '.join(options.runs)}")
    names = [option.name for option in OPTIONS if option.name not in ("checkpoint_seconds", "image_shape")]
    configs = [config | {"seed": read_config(Path(folder))["seed"]} for folder, (_, config) in runs.items()]  # --seed is of the comparison
    differ = [name for name in names if any(config[name] != configs[0][name] for config in configs)]
    which = [json.dumps([c[name] for name in OPENED]) for _, c in runs.values()]
    data = {each: open_data(c, c["split"]) for each, (_, c) in dict(zip(which, runs.values())).items()}  # before anything is printed
    rows = [[name, *(_shown(config[name]) for config in configs)] for name in differ]
    print_table([["settings that differ", *runs], *(rows or [["none", *([""] * len(runs))]])])
    seed = configs[0]["seed"] if options.seed is None else options.seed
    results = [evaluate(model, data[each], binarize=c["binarize"], seed=seed) for each, (model, c) in zip(which, runs.values())]
    print()
    print_table([["nats per example", *runs], *result_rows(runs, results)])
    print("(+- the standard error over the examples; of a difference: over the examples, which both runs were shown)")
    curves = {folder: read_history(folder) for folder in runs}
    if all(curves.values()):
        _write_figure(draw(curves), options.out)
    else:
        missing = next(folder for folder, curve in curves.items() if not curve)
        print(f"note: no figure, for {missing} has no history.csv yet; train --resume {typed(missing)} leaves one at its end")


def result_rows(runs, results):
    """What the table says of each run."""
    configs, first = [config for _, config in runs.values()], results[0]
    names = [*SAME_IMAGES, *["image_shape"] * Path(configs[0]["data"]).is_dir()]
    same = [all(config[name] == configs[0][name] for name in names) for config in configs]
    alike = [(config["likelihood"] == "bernoulli") == (configs[0]["likelihood"] == "bernoulli") for config in configs]  # else a density
    yield ["data", *(f"{config['data']} {config['split']}" for config in configs)]
    yield ["examples", *(str(result.n) for result in results)]
    sizes = [sum(each.params.vector.size for each in model.players.values()) for model, _ in runs.values()]
    yield ["parameters", *(f"{size:,}" for size in sizes)]
    yield ["ELBO", *("none" if r.elbo is None else f"{r.elbo:.2f}{_error(r.standard_error)}" for r in results)]
    if first.elbo is not None:
        cells = ["" if ok and like else "a probability and a density" if ok else "other data" for ok, like in zip(same, alike)]
        found = ("none" if r.elbo is None else why or difference(first, r) for r, why in zip(results[1:], cells[1:]))
        yield ["ELBO - that of the first", "", *found]
    yield ["reconstruction", *(f"{r.recon_nll:.2f}" for r in results)]
    yield ["KL", *("none" if r.elbo is None else f"{r.kl:.2f}" for r in results)]
    latents = [model.latent_dim for model, _ in runs.values()]
    active = ["unknown from one example" if r.n == 1 else f"{r.active_units} of {Z}" for r, Z in zip(results, latents)]
    yield ["active latents", *("none" if r.elbo is None else words for r, words in zip(results, active))]


def difference(first, other):
    """The difference of two ELBOs, with the error of a difference seen on the same images."""
    each = other.elbo_b.each - first.elbo_b.each
    return f"{each.mean():+.2f}{_error(spread(each))}"


def _error(error):
    return " (error unknown)" if np.isnan(error) else f" +- {error:.2f}"  # of one example


def _shown(value):
    return ",".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else "-" if value is None else str(value)


def print_table(rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def read_history(folder):
    """history.csv by columns, or an empty dict."""
    path = Path(folder) / "history.csv"
    if not path.is_file():
        return {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        curves = {name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else ())}
        if rows and not {"epoch", *PANELS} <= set(curves):
            raise ValueError(f"it has the columns {', '.join(map(str, curves))}")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not the history that train left: {error}; remove it, and compare goes without the figure") from error
    return curves


def draw(curves):
    """Loss, reconstruction and KL of each run against the epoch, on its test data if all have them."""
    from ..plots.style import COLOURS, Figure, plain, style

    tested = all(f"valid_{name}" in curve for curve in curves.values() for name in PANELS)
    prefix, of = ("valid_", "test example, after the epoch") if tested else ("", "training example, while learning")
    with style():
        figure = Figure(figsize=(10.2, 3.2), layout="constrained")
        for ax, (name, title) in zip(figure.subplots(1, 3), PANELS.items()):
            for number, (folder, curve) in enumerate(curves.items()):
                if not np.any(curve[name]):  # an autoencoder has no KL
                    continue
                look = {"color": COLOURS[number % len(COLOURS)], "ls": "-" if number < len(COLOURS) else "--"}
                marker = "." if len(curve["epoch"]) == 1 else None
                ax.plot(curve["epoch"], curve[prefix + name], marker=marker, label=plain(folder), **look)
            ax.set(title=title, xlabel="epoch")
        figure.axes[0].set(ylabel=f"nats per {of}")
        figure.axes[0].legend(frameon=False)  # all have a loss, an autoencoder no KL
    return figure

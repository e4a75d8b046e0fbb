"""What the reproductions share, no example itself: options, many runs side by side, results as CSV.

Everything a reproduction makes lies in one folder, --out: a folder for each run with its checkpoint, results.csv, and
the figures.  Call the script again and it goes on; remove the folder to start afresh.
"""

import argparse
import contextlib
import csv
import platform
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from vae_from_scratch import __version__, fit, plots
from vae_from_scratch.cli.compare import print_table
from vae_from_scratch.cli.sweep import BY_NAME, values
from vae_from_scratch.engine import files, sweeps, threads

RESULTS = Path(__file__).with_name("results")  # the numbers that examples/README.md shows, and the published ones
HELP = {
    "seeds": "one network or more for each, such as 0-4 or 0,2", "seed": "of everything random", "jobs": "runs side by side",
    "data": "which data", "epochs": "passes over the data", "stages": "how far into the paper's schedule", "k": "draws in the loss",
    "album": "a folder of photos",
}  # fmt: skip


def options(script, doc, arguments=None, **extra):
    """The options of a script (its __file__ and __doc__): quick, out (a folder that exists), and extra name=default.

    A default that is a tuple is of whole numbers, typed as 0-4 or 0,1,2; of those --quick takes the first alone.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the same on few data for few steps: shows that it runs")
    parser.add_argument("--out", type=Path, help="folder for all that it makes; runs/NAME of the script unless given")
    for name, default in extra.items():
        kind = whole_numbers if isinstance(default, tuple) else type(default)
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else "none" if default == "" else default
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{HELP[name]}; {shown} unless given")
    chosen = parser.parse_args(arguments)
    for name, default in extra.items():
        if chosen.quick and isinstance(default, tuple) and getattr(chosen, name) is default:
            setattr(chosen, name, default[:1])
    if chosen.out is None:
        chosen.out = Path("runs", Path(script).stem + "-quick" * chosen.quick)
    chosen.out = chosen.out.expanduser()
    chosen.out.mkdir(parents=True, exist_ok=True)
    return chosen


def whole_numbers(text):
    """'0-2,7' -> (0, 1, 2, 7)."""
    try:
        return tuple(values(BY_NAME["seed"], [text]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be whole numbers such as 0-4 or 0,1,2, got {text!r}") from error


def train(folder, model, x, *arguments, **settings):
    """fit with its checkpoint in folder: begun, gone on with, or, when it is done, only read.  Returns the history."""
    return fit(model, x, *arguments, checkpoint=folder, resume=files.has_checkpoint(folder), **settings)


def run_each(function, settings, results, jobs=1):
    """Add to results the rows (a list of dicts) that function(folder, **setting) returns, for each of many settings.

    A setting that results have a row of is not run again; the others have a folder each, named after the setting, and go
    on from what is there if function trains by train.  A run that diverges becomes a row with its message as words.  With
    jobs above 1 they run side by side in processes of one BLAS thread, and function must be importable (or a partial).
    """
    waiting = [(function, folder_of(results, each), each) for each in settings if not results.where(**each)]
    side_by_side = jobs > 1 and len(waiting) > 1
    ending = sweeps.run_in_processes(run_one, waiting, jobs) if side_by_side else ((each, run_one(*each), None) for each in waiting)
    with contextlib.closing(ending):
        for number, ((_, _, setting), rows, error) in enumerate(ending, 1):
            if error is not None:
                raise error
            results.add_all([setting | row | origin() for row in rows])
            which = ", ".join(f"{name} {value}" for name, value in setting.items())
            diverged = "".join(f": {row['words']}" for row in rows if "words" in row)
            print(f"{number} of {len(waiting)}: {which}{diverged}", flush=True)
    if waiting:  # in the order of the settings, whichever ended first; what others have added stays before them
        results.rows.sort(key=lambda row: next((n for n, each in enumerate(settings) if each.items() <= row.items()), -1))
        results.add_all([])


def run_one(function, folder, setting):
    """The rows of one run: in a process of its own, or in this one."""
    folder.mkdir(exist_ok=True)
    try:
        return function(folder, **setting)
    except FloatingPointError as error:
        return [{"words": str(error).partition(";")[0]}]  # what happened, without advice and folder


def folder_of(results, setting):
    """The folder of one run, beside the results: beta-4_seed-0."""
    name = "_".join(f"{name}-{value}" for name, value in setting.items())
    return results.path.parent / "".join(c if c.isalnum() or c in "-_.+" else "-" for c in name)


def origin():
    """Columns that say where a number is from: version, machine class (cores, and whose kernels BLAS takes), BLAS threads."""
    with threads.one_blas_thread():
        blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    kernels = "".join(f" {library['architecture']}" for library in blas[:1] if "architecture" in library)
    machine = f"{platform.machine()}{kernels}, {threads.cores()} cores"
    return {"version": __version__, "machine": machine, "threads": max((library["num_threads"] for library in blas), default=1)}


class Results:
    """The rows of a CSV file, one for each combination of the columns in keys; on disk as soon as they are added.

    >>> import tempfile
    >>> results = Results(Path(tempfile.mkdtemp(), "results.csv"), keys=("seed",))
    >>> results.add(seed=0, elbo=-101.23456789)
    >>> results.add(seed=0, elbo=-100.0)
    >>> results.add(seed=1, words="stopped in step 4")
    >>> Results(results.path, keys=("seed",)).finished()
    [{'seed': 0, 'elbo': -100}]
    """

    def __init__(self, path, keys):
        self.path, self.keys = Path(path), keys
        self.rows = read(path) if self.path.exists() else []

    def add(self, **row):
        """Add a row, or replace the one with the same keys.  Floats keep six digits."""
        self.add_all([row])

    def add_all(self, rows):
        """Add several rows at once, on disk all or none of them."""
        for row in rows:
            row = {name: _value(f"{v:.6g}" if isinstance(v, (float, np.floating)) else str(v)) for name, v in row.items()}
            same = self.where(**{key: row[key] for key in self.keys if key in row})
            if same:
                self.rows[self.rows.index(same[0])] = row
            else:
                self.rows.append(row)
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        files.write_csv(self.path, [names, *([row.get(name, "") for name in names] for row in self.rows)])

    def where(self, **values):
        """The rows with these values: a list of dicts, empty if there are none, so a finished stage can be told."""
        return [row for row in self.rows if values.items() <= row.items()]

    def finished(self, **values):
        """The rows with these values without those of runs that diverged, which hold words and no results."""
        return [row for row in self.where(**values) if "words" not in row]


def read(path):
    """The rows of a CSV file as dicts, whole numbers and floats as such, empty places left out."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: _value(text) for name, text in row.items() if text} for row in csv.DictReader(file)]


def _value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def save_figure(figure, path):
    """Write a Matplotlib figure at its own resolution, in which images have whole pixels, and say so."""
    plots.save(figure, path)
    print(f"wrote {path}")


def summarize(rows, by, columns, digits=2):
    """Print a line for each combination of the columns by: how many seeds, and mean +- standard deviation of the columns."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name, "-") for name in by), []).append(row)
    lines = [[*by, "seeds", *columns]]
    for key, mine in groups.items():
        lines.append([*map(str, key), str(len({row["seed"] for row in mine}))])
        for found in ([row[name] for row in mine if name in row] for name in columns):
            spread = f" +- {np.std(found, ddof=1):.{digits}f}" if len(found) > 1 else ""
            lines[-1].append(f"{np.mean(found):.{digits}f}{spread}" if found else "-")
    print_table(lines)


def curves(rows, along, value):
    """The values of the column along (T,), and for each seed those of value, a column or a function of a row: (S, T)."""
    rows = [row for row in rows if "words" not in row]  # those did not diverge
    seeds, at = (sorted({row[name] for row in rows}) for name in ("seed", along))
    found = {(row["seed"], row[along]): value(row) if callable(value) else row[value] for row in rows}
    return at, np.array([[found.get((seed, place), np.nan) for place in at] for seed in seeds])


def seeds_and_mean(ax, at, each, color, label=None):
    """The curve of each seed (S, T) thin, their mean thick; NaN where a seed has none."""
    for curve in each:
        ax.plot(at, curve, ".-", color=color, linewidth=0.7, markersize=4, alpha=0.6)
    ax.plot(at, np.ma.masked_invalid(each).mean(axis=0), "o-", color=color, linewidth=2.2, label=label)

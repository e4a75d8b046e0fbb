"""What the reproductions share, no example itself: options, runs that are taken up where they stopped, results as CSV.

Everything a reproduction makes lies in one folder, --out: a folder for each run with its checkpoint, results.csv, and
the figures.  Call the script again and it goes on; remove the folder to start afresh.
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np

from vae_from_scratch import fit, plots
from vae_from_scratch.engine import files

RESULTS = Path(__file__).with_name("results")  # the numbers that examples/README.md shows, and the published ones


def options(script, doc, arguments=None, **extra):
    """The options of a script (its __file__ and __doc__): quick, out (a folder that exists), and extra name=default."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the same on few data for few steps: shows that it runs")
    parser.add_argument("--out", type=Path, help="folder for all that it makes; runs/NAME of the script unless given")
    for name, default in extra.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{default} unless given")
    chosen = parser.parse_args(arguments)
    if chosen.out is None:
        chosen.out = Path("runs", Path(script).stem + "-quick" * chosen.quick)
    chosen.out.mkdir(parents=True, exist_ok=True)
    return chosen


def train(folder, model, x, *arguments, **settings):
    """fit with its checkpoint in folder: begun, gone on with, or, when it is done, only read.  Returns the history."""
    return fit(model, x, *arguments, checkpoint=folder, resume=files.has_checkpoint(folder), **settings)


class Results:
    """The rows of a CSV file, one for each combination of the columns in keys; on disk as soon as they are added.

    >>> import tempfile
    >>> results = Results(Path(tempfile.mkdtemp(), "results.csv"), keys=("seed",))
    >>> results.add(seed=0, elbo=-101.23456789)
    >>> results.add(seed=0, elbo=-100.0)
    >>> Results(results.path, keys=("seed",)).where(seed=0)
    [{'seed': 0, 'elbo': -100}]
    """

    def __init__(self, path, keys):
        self.path, self.keys = Path(path), keys
        self.rows = read(path) if self.path.exists() else []

    def add(self, **row):
        """Add a row, or replace the one with the same keys.  Floats keep six digits."""
        row = {name: _value(f"{v:.6g}" if isinstance(v, (float, np.floating)) else str(v)) for name, v in row.items()}
        same = self.where(**{key: row[key] for key in self.keys})
        if same:
            self.rows[self.rows.index(same[0])] = row
        else:
            self.rows.append(row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(dict.fromkeys(name for r in self.rows for name in r)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        files.write(self.path, lambda file: file.write(text.getvalue().encode()))

    def where(self, **values):
        """The rows with these values: a list of dicts, empty if there are none, so a finished stage can be told."""
        return [row for row in self.rows if values.items() <= row.items()]


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

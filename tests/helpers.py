"""What several tests share: command lines and processes, refusals, notes and their tables, densities, comparisons."""

import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

# ---- command lines, processes, files that are no modules ----------------------------------------------


def run(line):
    """One command line of the package, in this process; it must succeed."""
    from vae_from_scratch import cli  # sets the number of BLAS threads where nobody has

    assert cli.main(line.split()) == 0


def python(*arguments, **environment):
    """What Python prints in a process of its own, which imports what this one can; it must succeed."""
    path = os.pathsep.join([str(ROOT), *sys.path])
    settings = {"env": {**os.environ, "PYTHONPATH": path, **environment}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, *map(str, arguments)], timeout=300, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def load(path):
    """The module in a file that belongs to no package: an example, a figure of a note."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- refusals ------------------------------------------------------------------------------------------


def unsaid(message, words):
    """Those of these words that a message does not hold.  whole|integer: either; 1 is not held by 10, 1.5 or -1.

    >>> unsaid("n must be a whole number, got 1.5", "n whole|integer 1.5 1")
    ['1']
    """
    return [word for word in words.split() if not any(re.search(_pattern(each), message) for each in word.split("|"))]


def _pattern(word):
    before = r"(?<![\w.-])" if word[0].isdigit() else r"(?<!\w)" * (word[0] != "-" and word[0].isalpha())
    after = r"(?!\w|\.\d)" if word[-1].isdigit() else r"(?!\w)" * word[-1].isalpha()
    return before + re.escape(word) + after


@contextlib.contextmanager
def refused(words, errors=(ValueError, TypeError)):
    """The block must raise one of these errors, in one line that holds these words."""
    with pytest.raises(errors) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message and not unsaid(message, words), (message, unsaid(message, words))


# ---- the notes -----------------------------------------------------------------------------------------


def note(number):
    """The text of a note."""
    (path,) = (ROOT / "derivations").glob(f"{number:02}-*.md")
    return path.read_text("utf-8")


def figure(number):
    """The script that draws the figures of a note."""
    return load(ROOT / "derivations" / "figures" / f"note_{number:02}.py")


def joined(text):
    """The text on one line, for what may stand on either side of a break."""
    return " ".join(text.split())


def numbers_of(text):
    """A function that takes the groups of a pattern from the text, on one line; they must be there."""

    def numbers(pattern):
        found = re.search(pattern, joined(text))
        assert found, pattern
        return found.groups()

    return numbers


def tables(text):
    """(head, rows) of every table: the row of headers as it stands, the others as lists of cells."""
    found = re.findall(r"^(\|.*)\n\|[-:| ]+\n((?:\|.*(?:\n|\Z))+)", text, re.M)
    return [(head, [[*map(str.strip, row[1:-1].split("|"))] for row in rows.splitlines()]) for head, rows in found]


def table(text, head=""):
    """The rows of the first table whose headers begin like this."""
    return next(rows for headers, rows in tables(text) if headers.startswith(f"| {head}"))


def agrees(printed, value, error=0.0):
    """Is value what is printed, to the digits printed and the error of value?"""
    mantissa, _, exponent = printed.partition("e")
    step = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(float(printed) - value) <= 0.5 * step + min(1e-9, 1e-3 * step) + error


def printed_by(text, number=0):
    """What a program prints that a note hands to python -c."""
    program = re.findall(r"python (?:-W ignore )?-c (['\"])\n(.*?)\n?\1\n", text, re.S)[number][1]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(program, {})
    return out.getvalue()


# ---- densities -----------------------------------------------------------------------------------------


def log_normal(value, mean, variance):
    """The log density of N(mean, variance), entry by entry; written independently of ops."""
    return -(np.log(2 * np.pi * variance) + (value - mean) ** 2 / variance) / 2


def log_normal_joint(value, mean, cov):
    """log N(value; mean, cov), rows of value and mean."""
    y = np.atleast_2d(value - mean)
    return -(len(cov) * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + (y @ np.linalg.inv(cov) * y).sum(axis=1)) / 2


def kl_normal(mean, cov, mean_p, cov_p):
    """KL(N(mean, cov) || N(mean_p, cov_p))."""
    inverse, y = np.linalg.inv(cov_p), mean - mean_p
    logdets = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov)[1]
    return (np.trace(inverse @ cov) + y @ inverse @ y - len(cov) + logdets) / 2


def linear_posterior(x, W, b, r):
    """p(z|x) of the decoder zW + b with log variance r, LVM.3: means (one row per x), covariance."""
    Sigma = np.linalg.inv(np.eye(len(W)) + np.exp(-r) * W @ W.T)
    return np.exp(-r) * (x - b) @ W.T @ Sigma, Sigma


# ---- models --------------------------------------------------------------------------------------------


def linear_model(model_class, data_dim, latent_dim, likelihood, **settings):
    """A model without hidden layers, in float64."""
    return model_class(data_dim, (), latent_dim, likelihood=likelihood, dtype="float64", **settings)


def descend(model, optimizer, steps, batch):
    """Steps of an optimizer on batch(), x and its noise."""
    state = optimizer.initial_state(model.params)
    for _ in range(steps):
        optimizer.step(model.params, model.loss_and_grads(*batch())[1], state)


def same(one, other):
    """Are two models, or two dicts of arrays, equal to the bit?"""
    one, other = (getattr(each, "params", each) for each in (one, other))
    return {*one} == {*other} and all(np.array_equal(one[name], other[name]) for name in other)


def timeless(history):
    """A history without its times, seconds and cpu_seconds."""
    return {name: np.array(values).tolist() for name, values in history.items() if not name.endswith("seconds")}

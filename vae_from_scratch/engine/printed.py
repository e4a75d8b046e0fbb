"""How results, optimizers and data sets print: a few lines of plain numbers; in a notebook, results are a table."""

import html

import numpy as np

from ..base import Terms
from ..datasets.dataset import Dataset
from ..evaluation import Evaluation, LogLikelihood
from ..optimizers import Optimizer
from .estimates import Estimate, few
from .registry import arguments

SOME = 1000  # rows of a data set that are read for its range


def number(value):
    """43.21, 0.00123, -1.234e+06: a number of any type in four or more digits."""
    value = float(value)
    return f"{value:.2f}" if 1 <= abs(value) < 1e6 or value == 0 else f"{value:.4g}"


def plus_minus(mean, error):
    """A number and its error; alone if the error is unknown."""
    return number(mean) if np.isnan(error) else f"{number(mean)} +- {number(error)}"


def count(n):
    return f"{n:,} example{'s' * (n != 1)}"


def other_samples(error):
    return "unknown from one draw" if np.isnan(error) else f"+- {number(error)}"


def evaluation(result):
    heading = f"Evaluation of {count(result.n)}, in nats per example"
    rows = {"loss": number(result.loss), "reconstruction": number(result.recon_nll)}
    if result.elbo is None:
        rows["reconstruction"] = plus_minus(result.recon_nll, result.standard_error)
        return heading, rows
    rows = {"ELBO": plus_minus(result.elbo, result.standard_error), **rows, "KL": number(result.kl)}
    kl = result.kl_per_latent
    rows["active units"] = "unknown from one example" if result.n == 1 else f"{result.active_units} of {len(kl)}"
    most = np.argsort(-kl, kind="stable")[:5]
    rows["most active"] = ", ".join(f"z{j} {kl[j]:.2f}" for j in most) + ", ..." * (len(kl) > len(most))
    return heading, rows


def terms(value):
    sizes = {name: np.shape(getattr(value, f"{name}_each")) for name in ("recon_nll", "kl")}
    rows = {name: f"{number(getattr(value, name))}, each {sizes[name]}" for name in sizes}
    return "Terms, in nats per example", {"loss": number(value.loss), **rows}


def estimate(value):
    rows = {"mean": plus_minus(value.mean, value.standard_error), "other samples": other_samples(value.sampling_error)}
    return f"Estimate over {count(len(value.each))}, in nats per example", rows


def log_likelihood(result):
    bound, effective = result.bound, result.effective_samples
    rows = {"log p(x) at least": plus_minus(bound.mean, bound.standard_error)}
    rows["other samples"] = other_samples(bound.sampling_error)
    rows["ELBO"] = plus_minus(result.elbo.mean, result.elbo.standard_error)
    rows["effective samples"] = f"{np.median(effective):.1f} in the median, {effective.min():.1f} at the least"
    if words := few(effective, result.samples):
        rows["warning"] = words
    return f"LogLikelihood of {count(len(effective))}, in nats per example", rows


def dataset(data):
    rows = {"from": data.source} if getattr(data, "source", "") else {}
    if hasattr(data, "factor_names"):
        rows["factors"] = ", ".join(f"{name} {size}" for name, size in zip(data.factor_names, data.sizes))
    rows["range"] = "0 and 1 alone" if data.binary else "0 to 1" if data.trusted else value_range(data)
    if data.labels is not None:
        rows["labels"] = labels(data.labels)
    shape = " x ".join(map(str, data.image_shape))
    return f"{type(data).__name__} {data.name}: {count(len(data))} of {data.data_dim:,} values, {shape}", rows


def value_range(data):
    """The least and the largest value of some rows."""
    n = min(SOME, len(data))
    some = data[np.unique(np.linspace(0, len(data) - 1, n).astype(int))] if n else np.zeros(0)
    if not some.size:
        return "none"
    return f"{some.min():.4g} to {some.max():.4g}" + f" in {n:,} of them" * (n < len(data))


def labels(found):
    """How many labels are different, and which."""
    found = np.asarray(found)
    try:
        different = np.unique(found)
    except TypeError:  # of several types, which have no order
        return f"{len(found):,}"
    shown = ", ".join(map(str, different[:4])) + (f", ..., {different[-1]}" if len(different) > 4 else "")
    return f"{len(different):,} different: {shown}"


def as_text(describe):
    def text(self):
        title, rows = describe(self)
        return "\n".join([title, *(f"  {name}: {value}" for name, value in rows.items())])

    return text


def as_html(describe):
    def table(self):
        title, rows = describe(self)
        cells = "".join(
            f'<tr><td style="text-align:left">{html.escape(name)}</td><td style="text-align:left">{html.escape(value)}</td></tr>'
            for name, value in rows.items()
        )
        return f"<table><caption>{html.escape(title)}</caption>{cells}</table>"

    return table


def optimizer(self):
    """Its arguments, as they would be written: Adam(lr=0.001, ...)."""
    found = vars(self) | {"initial": self.slots.get("g2")}  # where Adagrad keeps it
    shown = {name: found[name] for name in arguments(type(self)) if found.get(name) is not None}
    words = [f"{name}={getattr(value, '__name__', value)}" for name, value in shown.items()]
    return f"{type(self).__name__}({', '.join(words)})"


for kind, describe in {
    Evaluation: evaluation, Terms: terms, Estimate: estimate, LogLikelihood: log_likelihood, Dataset: dataset,
}.items():  # fmt: skip
    setattr(kind, "__repr__", as_text(describe))
    setattr(kind, "_repr_html_", as_html(describe))
setattr(Optimizer, "__repr__", optimizer)

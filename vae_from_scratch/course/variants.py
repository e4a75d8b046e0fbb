"""Derivations that are in nobody's file: a task drawn by a seed, checked like the package's own pairs.  derivations/22-course.md."""

import linecache
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..gradcheck import check_pair
from .checker import told, told_apart
from .child import apart
from .command import command
from .cut import parse
from .zoo_checks import Found

SECONDS = 30  # for a student's file
SHAPES = ((3, 4), (5, 2))  # (N, K) of the inputs


class Variant(NamedTuple):
    """A pair to derive: its task in words, its arguments, small inputs, and the right forward, from which all is checked."""

    name: str
    task: str
    upstream: str  # the first argument of backward
    wrt: tuple  # what it returns gradients of, in order
    inputs: Any  # rng, shape -> {name: array of this shape}
    forward: Any
    smooth: bool = True


def _two_gaussians(rng, shape):
    return {name: rng.normal(size=shape) for name in ("mu", "logvar", "m", "r")}


def _kl_of_two_gaussians(mu, logvar, m, r):
    return ((np.exp(logvar - r) + (mu - m) ** 2 * np.exp(-r) - 1 + r - logvar) / 2).sum(axis=1)


def _laplace_prior(scale):
    task = (
        f"The prior of each latent is a Laplace distribution with mean 0 and scale {scale}: p(z) = exp(-|z| / {scale}) / {2 * scale:g}."
        "  Its KL needs the error function, so it is sampled: log_q_over_p_forward(z, logvar, eps) returns, for every row,"
        " log q(z|x) - log p(z) at z = mu + exp(logvar / 2) eps, summed over the latents.  Take z and logvar as two separate"
        " inputs, and eps as a constant."
    )

    def inputs(rng, shape):
        z = rng.uniform(0.2, 2, shape) * rng.choice([-1, 1], shape)  # away from the kink
        return {"z": z, "logvar": rng.normal(size=shape), "eps": rng.normal(size=shape)}

    def forward(z, logvar, eps):
        log_q = -(ops.LOG_2PI.astype(z.dtype) + logvar + eps * eps) / 2
        return (log_q + np.abs(z) / scale + np.log(2 * scale)).sum(axis=1)

    return Variant("log_q_over_p", task, "dkl", ("z", "logvar"), inputs, forward, smooth=False)


def _counts(offset):
    task = (
        f"The data are counts x = 0, 1, 2, ..., drawn from a Poisson distribution of rate exp(a) + {offset}, where a is what the"
        " decoder outputs.  poisson_nll_forward(a, x) returns -log p(x) of each row, summed over the pixels, without log x!."
    )

    def inputs(rng, shape):
        return {"a": rng.normal(size=shape), "x": rng.poisson(2.0, size=shape).astype(float)}

    def forward(a, x):
        rate = np.exp(a) + offset
        return (rate - x * np.log(rate)).sum(axis=1)

    return Variant("poisson_nll", task, "dnll", ("a",), inputs, forward)


def _gaussians(power):
    tilt = f", times {power:g}" * (power != 1)
    task = (
        "q is N(mu, exp(logvar)) and p is N(m, exp(r)), both diagonal, and both of them learn."
        f"  kl_forward(mu, logvar, m, r) returns KL(q || p) of each row, summed over the latents{tilt}."
    )

    def forward(mu, logvar, m, r):
        return power * _kl_of_two_gaussians(mu, logvar, m, r)

    return Variant("kl", task, "dkl", ("mu", "logvar", "m", "r"), _two_gaussians, forward)


def variant(seed):
    """The Variant of a seed."""
    rng = np.random.default_rng(seed)
    kinds = (_gaussians, (0.5, 2.0, 3.0)), (_laplace_prior, (0.5, 1.5, 2.5)), (_counts, (0.1, 0.25, 0.5))
    make, numbers = kinds[rng.integers(len(kinds))]
    return make(float(rng.choice(numbers)))


def sheet(seed):
    """The task as text: what to derive, what to write."""
    of = variant(seed)
    arguments = ", ".join(of.inputs(np.random.default_rng(0), SHAPES[0]))
    gradients = ", ".join(f"d{name}" for name in of.wrt)
    return (
        f"Variant {seed}.\n\n{of.task}\n\nDerive its gradient{'s' * (len(of.wrt) > 1)} with a pencil, then write, in a file of yours:\n\n"
        f"    def {of.name}_forward({arguments}): ...\n    def {of.name}_backward({of.upstream}, {arguments}): ...\n\n"
        f"All arrays are (N, K); {of.upstream} is (N,).  backward returns {gradients}, in this order, each (N, K).  Use NumPy alone.\n"
    )


def check(seed, forward, backward):
    """A student's pair against the right forward, and its backward against differences of the right forward, at two sizes."""
    of, rng = variant(seed), np.random.default_rng(1)
    drawn = [of.inputs(rng, shape) for shape in SHAPES]

    def grads(dout, out, **given):
        before = {name: value.copy() for name, value in given.items()}
        returned = backward(dout, *given.values())
        returned = tuple(returned) if isinstance(returned, (tuple, list)) else (returned,)
        if len(returned) != len(of.wrt):
            raise ValueError(f"{of.name}_backward must return {len(of.wrt)} gradients ({', '.join(of.wrt)}), got {len(returned)}")
        _unchanged(f"{of.name}_backward", before, given)
        return dict(zip(of.wrt, returned))

    words, right = "", True
    for inputs in drawn:
        given = {name: value.copy() for name, value in inputs.items()}
        wanted, found = of.forward(**inputs), np.asarray(forward(*given.values()))
        _unchanged(f"{of.name}_forward", inputs, given)
        if found.shape != wanted.shape:
            right, words = False, f"shape {found.shape}, should be {wanted.shape}"
        elif not np.allclose(found, wanted, rtol=1e-9, atol=1e-9):
            row = int(np.argmax(~np.isclose(found, wanted, rtol=1e-9, atol=1e-9)))
            theirs, ours = told_apart(found[row], wanted[row])
            right, words = False, f"row {row} is {theirs}, should be {ours}"
        if not right:
            break
    yield Found("forward", f"{of.name}_forward: {words or 'right'}", right)
    rows: dict[str, Found] = {}
    for inputs in drawn:
        for each in check_pair(of.forward, grads, inputs, rng, smooth=of.smooth):
            if rows.get(each.name) is None or rows[each.name].ok:
                says = f"d{each.name} agrees with differences" if each.ok else f"{of.name}_backward, {each.worst}"
                rows[each.name] = Found(each.name, says, each.ok)
    yield from rows.values()


def _unchanged(function, before, after):
    for name, value in before.items():
        if not np.array_equal(value, after[name]):
            raise ValueError(f"{function} changes its argument {name}: whoever called it still needs that array")


def check_file(seed, path):
    """The rows of check for a student's file, run in this process: for code that is trusted; variants uses another.

    ValueError, in a few lines, if the file does not parse or run, or does not hold the pair.
    """
    of, path = variant(seed), Path(path).resolve()
    found: dict[str, Any] = {"__name__": "variant_of_a_student"}
    _, tree = parse(path, "name the file that holds your pair")
    linecache.checkcache(str(path))
    try:
        exec(compile(tree, str(path), "exec"), found)
        missing = [each for each in (f"{of.name}_forward", f"{of.name}_backward") if not callable(found.get(each))]
        if missing:
            raise ValueError(f"{path} must define {' and '.join(missing)}")
        return list(check(seed, found[f"{of.name}_forward"], found[f"{of.name}_backward"]))
    except Exception as error:
        theirs = any(Path(frame.filename) == path for frame in traceback.extract_tb(error.__traceback__))
        raise ValueError(told(error, path) if theirs else str(error)) from error


@command
def variants(arguments):
    """--seed S prints a task; --seed S FILE checks it, in a process of its own.  Returns 1 if something is wrong."""
    if len(arguments) not in (2, 3) or arguments[0] != "--seed" or not arguments[1].isdecimal():
        raise ValueError(f"variant takes --seed S, and the file to check if there is one; got {' '.join(arguments) or 'nothing'}")
    if len(arguments) == 2:
        print(sheet(int(arguments[1])))
        return 0
    parse(arguments[2], "name the file that holds your pair")
    found, printed, ended = apart("variant", arguments[1], arguments[2], SECONDS)
    print(printed, end="")
    if found is None or "error" in found:
        raise ValueError(f"{arguments[2]}: {ended or found['error']}")
    for row in (rows := [Found(*each) for each in found["rows"]]):
        print(f"{'ok   ' if row.ok else 'WRONG'} {row.words}")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(variants(sys.argv[1:]))

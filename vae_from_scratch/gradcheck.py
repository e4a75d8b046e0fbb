"""Is a hand-written backward right?  Compare it with differences of its forward.  derivations/08-gradient-check.md.

check_pair takes one forward and its backward, check_model a whole model; engine/gradient_table.py lists all there are.
"""

from typing import NamedTuple

import numpy as np

from .engine import require
from .engine.explained import refuse_faults

TWO_POINTS = {1: (1, 2)}  # (f(h) - f(-h)) / 2h, Eq. (FD.1), error h^2: reaches less far across a kink
FIVE_POINTS = {1: (8, 12), 2: (-1, 12)}  # Eq. (FD.2), error h^4; the fifth point, f(0), has weight zero
HAS_EXTENDED = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps  # not so on Windows and on Apple silicon


class Check(NamedTuple):
    """The verdict on one gradient array: its relative error, the limit, and the entry that is furthest off."""

    name: str
    error: float
    limit: float
    worst: str

    @property
    def ok(self):
        return self.error < self.limit  # NaN is not ok


def step_and_limit(dtype, smooth, model):
    """The step h, and the largest relative error that passes, both from derivations/08.  ValueError for float32.

    smooth: no kinks, so five points, else two; model: a whole model, not a pair.
    """
    require.checked_dtype(dtype)
    if dtype == np.float64:
        return (1e-3, 1e-7 if model else 1e-9) if smooth else (1e-5, 1e-6)
    return (1e-4, 1e-10) if smooth else (1e-7, 1e-6)


def numeric_gradient(outputs, array, dout, h, points):
    """d sum(dout * outputs()) / d array by central differences, Eqs. (FD.1), (FD.2).

    One entry of array at a time is shifted by multiples of h, in place, and put back.  Differences are taken output by
    output and summed after: what does not depend on the entry cancels exactly.  dout has the shape of outputs().
    """
    grad = np.empty_like(array)
    for index in np.ndindex(array.shape):
        value, derivative = array[index], 0
        try:
            for steps, (weight, divisor) in points.items():
                array[index] = value + steps * h
                ahead = np.array(outputs())  # a copy: outputs may be a view of array
                array[index] = value - steps * h
                behind = outputs()
                derivative = derivative + weight * (ahead - behind) / (divisor * array.dtype.type(h))
        finally:
            array[index] = value
        grad[index] = np.sum(dout * derivative)
    return grad


def relative_error(analytic, numeric):
    """max |a - n| / max(max |a|, max |n|), Eq. (FD.3): one number per array; 0 when both vanish."""
    scale = max(np.abs(analytic).max(), np.abs(numeric).max())
    return float(np.abs(analytic - numeric).max() / scale) if scale != 0 else 0.0


def compare(name, analytic, numeric, limit):
    """A Check of one gradient against its differences."""
    analytic = np.asarray(analytic)
    if analytic.shape != numeric.shape:
        return Check(name, np.inf, limit, f"{name}: shape {analytic.shape}, expected {numeric.shape}")
    worst = np.unravel_index(np.abs(analytic - numeric).argmax(), numeric.shape)
    entry = f"{name}{[int(i) for i in worst]}: backward {analytic[worst]:.6g}, differences {numeric[worst]:.6g}"
    error = relative_error(analytic, numeric) if np.isfinite(numeric).all() else np.nan  # max of Python may drop a NaN
    return Check(name, error, limit, entry)


def check_pair(forward, backward, inputs, rng, *, smooth=True, dtype=np.float64) -> list[Check]:
    """Check every gradient that a backward returns, in every entry.  Returns one Check per gradient.

    Parameters
    ----------
    forward : inputs by name -> output array
    backward : (dout, output, inputs by name) -> {input name: gradient}
    inputs : dict of name -> array
    rng : draws the upstream gradient dout.  Random, never ones: under ones, mistakes that sum to zero pass
    smooth : False where the forward has kinks (inputs should stay 100 h away from them)
    dtype : float64 or longdouble

    Both get copies, so neither can change what it is judged by.  The step and the limit are made for inputs, outputs and
    gradients that are not far from 1; a gradient that vanishes everywhere leaves only rounding to be compared with.

    >>> rng = np.random.default_rng(0)
    >>> square = lambda a: a * a
    >>> wrong = lambda dout, out, a: {"a": dout * 2.002 * a}
    >>> [check.ok for check in check_pair(square, wrong, {"a": rng.normal(size=(3, 2))}, rng)]
    [False]
    """
    h, limit = step_and_limit(np.dtype(dtype), smooth, model=False)
    require.rng(rng)
    inputs = {name: np.array(value, dtype) for name, value in require.inputs(inputs).items()}
    fresh = lambda: {name: value.copy() for name, value in inputs.items()}  # noqa: E731
    out = np.asarray(forward(**fresh()))
    dout = rng.normal(size=out.shape).astype(dtype)
    points, found = FIVE_POINTS if smooth else TWO_POINTS, []
    for name, analytic in require.gradients(backward(dout.copy(), out.copy(), **fresh()), inputs).items():
        numeric = numeric_gradient(lambda: forward(**fresh()), inputs[name], dout, h, points)
        found.append(compare(name, analytic, numeric, limit))
    return found


def check_model(model, x, *noise, smooth=True, term="loss", grads=None) -> list[Check]:
    """Check loss_and_grads of a whole model, in every entry of every parameter.  Returns one Check per parameter.

    Parameters
    ----------
    model : a model of dtype float64 or longdouble, with all its players
    x, noise : a batch, of the order of 1 (differences of large losses are rough), and what model.draw_noise gave for it
    smooth : False where relu's kinks matter; keep pre-activations 100 h away from zero
    term, grads : a field of Terms and its gradients, to be checked instead of loss and those of loss_and_grads
    """
    dtype = next(iter(model.params.values())).dtype
    h, limit = step_and_limit(dtype, smooth, model=True)
    others = [player for player in getattr(model, "players", {}).values() if player is not model and grads is None]
    refuse_faults(model)
    require.term(term, grads)
    grads = model.loss_and_grads(x, *noise)[1] if grads is None else grads
    require.same_names("grads must have the names", model.params, grads)

    def outputs():  # per example where there are such; a penalty is of the whole batch, so it is one number
        terms = model.loss(x, *noise)
        if term != "loss":
            return getattr(terms, f"{term}_each")
        if not hasattr(terms, "recon_nll_each"):
            return np.atleast_1d(terms.loss)
        return np.append(terms.recon_nll_each, terms.loss - terms.recon_nll)

    dout = np.ones(len(outputs()), dtype)
    examples = dout[:-1] if term == "loss" else dout  # the last entry of a loss is of the whole batch
    examples /= len(x)
    found = []
    for name, value in model.params.items():
        numeric = numeric_gradient(outputs, value, dout, h, FIVE_POINTS if smooth else TWO_POINTS)
        found.append(compare(name, grads[name], numeric, limit))
    return sum((check_model(player, x, *noise, smooth=smooth) for player in others), found)

"""log p(x) as an integral over one or two latents.  derivations/12-log-likelihood.md."""

from typing import NamedTuple

import numpy as np

from .. import ops
from ..engine import require
from ..engine.bars import tqdm
from ..engine.batches import batches, in_order
from ..engine.estimates import spread
from ..engine.threads import one_blas_thread

FIRST_GRID, GRID, FINEST_GRID = {1: 1025, 2: 129}, {1: 129, 2: 65}, {1: 2**17, 2: 2**10}  # points along each latent
REACH = 10.0  # where the prior is: a grid begins with [-REACH, REACH] along each axis
DEPTH = 45  # nats below the highest point where a grid may end: what lies outside is beyond double precision
TOLERANCE = 1e-7  # nats that halving the steps may still change


class Integral(NamedTuple):
    """log p(x) by quadrature, in nats."""

    each: np.ndarray  # (n,)
    mean: float
    standard_error: float  # over the data
    change: float  # the largest change of an entry of each by the last halving of its steps; inf: a grid cuts something off


@one_blas_thread()
def quadrature(model, x, *, binarize="none", seed=0, pairs=1000, progress=True):
    """log p(x) of every example by a sum over a grid of z, Eq. (QUAD.1); for one or two latents.

    The grid covers what coarser ones have found of p(x, z), wherever and however it lies; the encoder is not used.  Its
    steps are halved until that changes nothing (with one latent: twice running), to 1e-7 nats or float32's rounding,
    which a decoder with kinks (relu) may not reach.  What is left beside it is integrated on a grid over the prior, so
    of several narrow peaks of p(x, z) one may be missed.

    Parameters
    ----------
    model, x, binarize, seed, pairs, progress
        As in log_likelihood.

    Returns
    -------
    Integral

    Raises
    ------
    ValueError, TypeError
        On a model without p(x) or with more than two latents, on data of the wrong shape, kind or range.
    """
    n, each, changes = require.evaluation(model, x, binarize, pairs=pairs, variational=True), [], []
    if model.latent_dim > 2:
        raise ValueError(
            f"a grid over {model.latent_dim} latents is too large, quadrature is for one or two; use importance samples"
        )
    with tqdm(total=n, unit="example", disable=not require.flag("progress", progress)) as bar:
        for _, batch in batches(model, x, binarize, seed, 500):
            for row in batch:
                value, change = _integrate(model, row[None], pairs)
                each.append(value)
                changes.append(change)
                bar.update()
    each = np.array(each)
    return Integral(each, each.mean(), spread(each), max(changes))


def _integrate(model, x, pairs):
    """log p(x) of one example x (1, D), and what the last halving of the steps changed: inf if its grid cuts something off."""
    frame = _frame(model, x, pairs)
    low, high = np.full((2, model.latent_dim), [[-REACH], [REACH]])  # the loop goes on from there
    points = FIRST_GRID[model.latent_dim]
    for _ in range(100):
        ticks, _, log_joint = _on_grid(model, x, frame, low, high, points, pairs)
        first, last = _ends(log_joint)
        width, each = high - low, np.arange(model.latent_dim)
        # out where the grid has cut something off, in to one step beyond what there is
        low = np.where(first == 0, low - width, ticks[each, np.maximum(first - 1, 0)])
        high = np.where(last == points - 1, high + width, ticks[each, np.minimum(last + 1, points - 1)])
        points = GRID[model.latent_dim]
        kept = (high - low) / width
        if (kept <= 1).all() and (kept >= 0.7).all():  # neither out nor much further in
            break
    value, change, earlier = np.inf, np.inf, np.inf
    rounding, finest = 2 * np.finfo(model.dtype).eps, FINEST_GRID[model.latent_dim]
    # two halvings that change nothing: at the kinks of relu one may do so by accident (seen with one latent, not with two)
    while not max(change, earlier) < TOLERANCE + rounding * abs(value) and points < finest:
        _, cell, log_joint = _on_grid(model, x, frame, low, high, points, pairs)
        before, value = value, log_integral(log_joint.ravel(), cell)
        earlier, change, points = change if model.latent_dim == 1 else 0, abs(value - before), 2 * points - 1
    first, last = _ends(log_joint, DEPTH - 5)
    rest, rest_change = _elsewhere(model, x, frame, low, high, value, pairs)
    cut_off = (first == 0).any() or (last == len(log_joint) - 1).any()
    return np.logaddexp(value, rest), np.inf if cut_off else change + rest_change


def _elsewhere(model, x, frame, low, high, value, pairs):
    """log of what is beyond a box of the frame, and what the last halving of the steps changed: a lower peak may be there.

    It is wide, if it has a share worth naming: the grid is the first one of all, and is made finer only then.
    """
    (centre, axes), Z, points = frame, model.latent_dim, FIRST_GRID[model.latent_dim]
    whole, rest, change = (np.zeros(Z), np.eye(Z)), -np.inf, np.inf
    while not change < TOLERANCE and points < FINEST_GRID[Z]:
        ticks, cell, log_joint = _on_grid(model, x, whole, np.full(Z, -REACH), np.full(Z, REACH), points, pairs)
        u = np.linalg.solve(axes, (_points(ticks) - centre).T).T
        outside = ((u < low) | (u > high)).any(axis=1)
        found = log_integral(log_joint.ravel()[outside], cell) if outside.any() else -np.inf
        if found < value + np.log(TOLERANCE):
            return found, 0.0
        change, rest, points = abs(np.exp(found - value) - np.exp(rest - value)), found, 2 * points - 1
    return rest, change


def _frame(model, x, pairs):
    """Where p(x, z) is and how it lies: a centre (Z,) and axes (Z, Z), for z = centre + axes u.

    A peak between the points of a grid, or beyond it, is found by tempering: p(x, z)^(1/T) is wide if the temperature T is
    large.  Each grid lies over the mean and the covariance of the one before, and T falls to a quarter once the grid
    resolves that power.
    """
    Z = model.latent_dim
    centre, axes, reach, points, temperature = np.zeros(Z), np.eye(Z), REACH, FIRST_GRID[Z], None
    for _ in range(200):
        ticks, _, log_joint = _on_grid(model, x, (centre, axes), np.full(Z, -reach), np.full(Z, reach), points, pairs)
        u, log_joint, step = _points(ticks), log_joint.ravel(), 2 * reach / (points - 1)
        if temperature is None:
            temperature = next((T for T in 4.0 ** np.arange(500) if _moments(u, log_joint, T, reach, step)[2]), 1.0)
        mean, covariance, resolved = _moments(u, log_joint, temperature, reach, step)
        centre, axes = centre + axes @ mean, axes @ np.linalg.cholesky(covariance + step**2 * np.eye(Z))
        if resolved and temperature == 1:
            break
        temperature /= 4 if resolved else 1
        reach, points = 6.0, GRID[Z]
    return centre, axes


def _moments(u, log_joint, temperature, reach, step):
    # mean and covariance of p(x, z)^(1/T) on a grid of u (G, Z); whether it is wider than the step and inside the grid
    w = np.exp((log_joint - log_joint.max()) / temperature)
    mean = w @ u / w.sum()
    covariance = (w * (u - mean).T) @ (u - mean) / w.sum()
    return mean, covariance, np.linalg.eigvalsh(covariance)[0] >= step**2 and abs(mean).max() <= reach / 2


def _points(ticks):
    # all points (G, Z) of the grid with these ticks along each axis
    return np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, len(ticks))


def _ends(log_joint, depth=DEPTH):
    """The first and the last index (Z,) of the grid points that are no further than this below the highest."""
    inside = np.argwhere(log_joint > log_joint.max() - depth)
    return inside.min(axis=0), inside.max(axis=0)


def _on_grid(model, x, frame, low, high, points, pairs):
    """Ticks along each axis of a frame, the volume of a cell, and log p(x, z) on the grid, (points,) * Z, in float64."""
    centre, axes = frame
    ticks = np.linspace(low, high, points, axis=1)  # (Z, points)
    z = (centre + _points(ticks) @ axes.T).astype(model.dtype)
    log_joint = np.empty(len(z))
    for rows in in_order(len(z), pairs):
        part = z[rows]
        prior_nll = model.ops.gaussian_nll_forward(np.zeros_like(part), 0, part)
        log_joint[rows] = -prior_nll - model.recon_nll(np.repeat(x, len(part), axis=0), part)
    if not np.isfinite(log_joint.max()):
        raise FloatingPointError("log p(x, z) is NaN or infinite on the grid; are the model's parameters finite?")
    cell = np.prod((high - low) / (points - 1)) * abs(np.linalg.det(axes))
    return ticks, cell, log_joint.reshape((points,) * model.latent_dim)


def log_integral(log_f, cell):
    """log of the integral of exp(log_f), given on a grid of this cell volume, Eq. (QUAD.1).  (..., G) -> (...)."""
    return ops.log_mean_exp(log_f) + np.log(log_f.dtype.type(cell * log_f.shape[-1]))

"""log p(x) as an integral over one or two latents.  derivations/12-log-likelihood.md."""

from typing import NamedTuple

import numpy as np

from ..engine import require
from ..engine.bars import tqdm
from ..engine.batches import batches, in_order
from ..engine.estimates import spread
from ..engine.threads import one_blas_thread
from ..ops import log_mean_exp

FIRST_GRID, GRID, FINEST_GRID = {1: 1025, 2: 129}, {1: 129, 2: 65}, {1: 2**17, 2: 2**10}  # points along each latent
DEPTH = 45  # nats below the highest point where a grid may end: what lies outside is beyond double precision
TOLERANCE = 1e-7  # nats that halving the steps may still change


class Integral(NamedTuple):
    """log p(x) by quadrature, in nats."""

    each: np.ndarray  # (n,)
    mean: float
    standard_error: float  # over the data
    change: float  # the largest change of an entry of each by the last halving of its steps


@one_blas_thread()
def quadrature(model, x, *, binarize="none", seed=0, pairs=1000, progress=True):
    """log p(x) of every example by a sum over a grid of z, Eq. (QUAD.1); for one or two latents.

    The grid covers what a coarse one has found of p(x, z), wherever that is; the encoder is not used.  Its
    steps are halved until that changes nothing, to 1e-7 nats or float32's rounding, which a decoder with kinks (relu)
    may not reach.  A peak of p(x, z) that the coarse grid steps over is missed.

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
    """log p(x) of one example x (1, D), and what the last halving of the steps changed."""
    low, high = np.full((2, model.latent_dim), [[-10.0], [10.0]])  # where the prior is; the loop goes on from there
    points = FIRST_GRID[model.latent_dim]
    for _ in range(100):
        ticks, _, log_joint = _on_grid(model, x, low, high, points, pairs)
        if not log_joint.max() < np.inf:
            raise FloatingPointError("log p(x, z) is NaN or infinite on the grid; are the model's parameters finite?")
        inside, width = np.argwhere(log_joint > log_joint.max() - DEPTH), high - low
        first, last, each = inside.min(axis=0), inside.max(axis=0), np.arange(model.latent_dim)
        # out where the grid has cut something off, in to one step beyond what there is
        low = np.where(first == 0, low - width, ticks[each, np.maximum(first - 1, 0)])
        high = np.where(last == points - 1, high + width, ticks[each, np.minimum(last + 1, points - 1)])
        points = GRID[model.latent_dim]
        kept = (high - low) / width
        if (kept <= 1).all() and (kept >= 0.7).all():  # neither out nor much further in
            break
    value, change = np.inf, np.inf
    rounding, finest = 2 * np.finfo(model.dtype).eps, FINEST_GRID[model.latent_dim]
    while not change < TOLERANCE + rounding * abs(value) and points < finest:
        _, cell, log_joint = _on_grid(model, x, low, high, points, pairs)
        before, value = value, log_integral(log_joint.ravel(), cell)
        change, points = abs(value - before), 2 * points - 1
    return value, change


def _on_grid(model, x, low, high, points, pairs):
    """Ticks along each latent, the volume of a cell, and log p(x, z) on the grid, (points,) * Z, in float64."""
    ticks = np.linspace(low, high, points, axis=1)  # (Z, points)
    z = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, model.latent_dim).astype(model.dtype)
    log_joint = np.empty(len(z))
    for rows in in_order(len(z), pairs):
        part = z[rows]
        prior_nll = model.ops.gaussian_nll_forward(np.zeros_like(part), 0, part)
        log_joint[rows] = -prior_nll - model.recon_nll(np.repeat(x, len(part), axis=0), part)
    return ticks, np.prod((high - low) / (points - 1)), log_joint.reshape((points,) * model.latent_dim)


def log_integral(log_f, cell):
    """log of the integral of exp(log_f), given on a grid of this cell volume, Eq. (QUAD.1).  (..., G) -> (...)."""
    return log_mean_exp(log_f) + np.log(log_f.dtype.type(cell * log_f.shape[-1]))

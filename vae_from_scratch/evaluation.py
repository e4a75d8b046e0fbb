"""What a trained model is worth on a data set: ELBO, KL per latent, active units, log p(x).  derivations/12."""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from . import checks
from .batches import BINARIZE, binarize_rows, in_order
from .likelihoods import Gaussian

DATA_STREAM, NOISE_STREAM, WEIGHT_STREAM = 100, 101, 102  # apart from training's 0, 1, 2, whatever the seed
FIRST_GRID, GRID, FINEST_GRID = {1: 1025, 2: 129}, {1: 129, 2: 65}, {1: 2**17, 2: 2**10}  # points along each latent
DEPTH = 45  # nats below the highest point where a grid may end: what lies outside is beyond double precision
TOLERANCE = 1e-7  # nats that halving the steps may still change
ACTIVE_VARIANCE = 0.01  # a unit is active if Var_x[mu] exceeds this (Burda et al. 2015, section 5.2)


class Estimate(NamedTuple):
    """An estimate for every datum and its mean, in nats, with the two ways in which the mean may be off.

    standard_error: other data (the spread of each over the data, the noise of the draws included).
    sampling_error: other draws for the same data; NaN if there was one draw per datum.
    """

    each: np.ndarray  # (n,)
    mean: float
    standard_error: float
    sampling_error: float


class Evaluation(NamedTuple):
    """Means over n examples, in nats; elbo and what follows it are None for an autoencoder."""

    n: int
    loss: float
    recon_nll: float
    kl: float
    standard_error: float  # of the mean of recon_nll + kl over the data
    elbo: float | None  # elbo_b.mean
    kl_per_latent: np.ndarray | None  # (Z,)
    mu_variance: np.ndarray | None  # (Z,), over the data
    elbo_a: Estimate | None  # the KL sampled as well
    elbo_b: Estimate | None  # the KL in closed form: the quieter one, unless q is close to the posterior

    @property
    def active_units(self):
        """How many latents the encoder uses, by the rule of Burda et al. 2015."""
        return None if self.mu_variance is None else int((self.mu_variance > ACTIVE_VARIANCE).sum())


class LogLikelihood(NamedTuple):
    """log p(x) by importance sampling: in expectation, a lower bound that rises with the number of samples."""

    bound: Estimate  # L_K
    elbo: Estimate  # the mean of the same log weights: estimator A
    effective_samples: np.ndarray  # (n,), between 1 and K; a few only: the bound may be far below log p(x)


class Integral(NamedTuple):
    """log p(x) by quadrature, in nats."""

    each: np.ndarray  # (n,)
    mean: float
    standard_error: float  # over the data
    change: float  # the largest change of an entry of each by the last halving of its steps


class Collapse(NamedTuple):
    """Which latents are silent, and whether that is right."""

    kl_per_latent: np.ndarray  # (Z,) in nats
    mu_variance: np.ndarray  # (Z,)
    active: int  # latents with mu_variance above 0.01
    expected: int | None  # how many the optimum uses, where that is known
    right: bool | None  # None: cannot be told
    verdict: str  # the same in words, with what to try


def evaluate(model, x, *, binarize="none", seed=0, batch_size=500, samples=1):
    """Evaluate a model on every example of x, each counted once: the ELBO by Eqs. (EST.1), (EST.2), KL, activity.

    Parameters
    ----------
    model : Autoencoder, VAE, BetaVAE or CapacityVAE
    x : array (n, D), or a data set with len and x[indices] -> (N, D)
    binarize : {"none", "threshold", "dynamic"}
    seed : int
        Of the noise (samples of z) and of dynamic binarisation; a stream of its own.
    batch_size : int
        Examples at once; bounds the memory, and the result depends on it only by rounding
        (and by the batch-mean KL inside a CapacityVAE's loss).
    samples : int
        Draws of z per example, over which recon_nll and both estimates of the ELBO are averaged; 1 for an Autoencoder.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError, TypeError
        On data of the wrong shape, kind or range.
    """
    samples = checks.whole("samples", samples)
    n = _check(model, x, binarize, batch_size, variational=samples > 1)
    noise_rngs = [_rng(seed, NOISE_STREAM, draw) for draw in range(samples)]  # one per draw: batches change nothing
    total, recon_each, kl_each, a_each, errors, mus, kl_per_latent = 0.0, [], [], [], [], [], 0.0
    for _, batch in _batches(model, x, binarize, seed, batch_size):
        recon, log_w = np.empty((2, samples, len(batch)))
        if model.variational:
            mu, logvar = model.encode(batch)
            mus.append(mu)
            kl_per_latent = (
                kl_per_latent + model.ops.gaussian_kl_per_latent(mu, logvar).sum(axis=0, dtype=np.float64) / n
            )
        for draw, rng in enumerate(noise_rngs):
            noise = model.draw_noise(len(batch), rng)
            terms = model.loss(batch, *noise)
            total += float(terms.loss) * len(batch) / samples  # weighted: the last batch may be shorter
            recon[draw] = terms.recon_nll_each
            if model.variational:
                z = model.ops.reparameterize_forward(mu, logvar, *noise)
                log_w[draw] = model.ops.log_weight(terms.recon_nll_each, z, logvar, *noise)
        recon_each.append(recon.mean(axis=0))
        kl_each.append(terms.kl_each)
        if model.variational:
            a_each.append(log_w.mean(axis=0))
            errors.append([_mean_error(log_w), _mean_error(recon)])
    recon_each, kl_each = np.concatenate(recon_each), np.concatenate(kl_each).astype(np.float64)
    nll_each, elbo_a, elbo_b = recon_each + kl_each, None, None
    if model.variational:
        a_error, b_error = np.concatenate(errors, axis=1)
        elbo_a, elbo_b = _estimate(np.concatenate(a_each), a_error), _estimate(-nll_each, b_error)
    return Evaluation(
        n=n,
        loss=total / n,
        recon_nll=recon_each.mean(),
        kl=kl_each.mean(),
        standard_error=_spread(nll_each),
        elbo=elbo_b.mean if elbo_b else None,
        kl_per_latent=kl_per_latent if mus else None,
        mu_variance=np.concatenate(mus).var(axis=0, dtype=np.float64) if mus else None,
        elbo_a=elbo_a,
        elbo_b=elbo_b,
    )


def log_likelihood(model, x, samples=5000, *, binarize="none", seed=0, pairs=1000, progress=True):
    """log p(x) of every example by importance sampling from q(z|x), Eq. (IS.3) (Burda et al. 2015, Eq. 8).

    Parameters
    ----------
    model, x, binarize
        As in evaluate, whose binary images these are; an Autoencoder is refused, as it has no p(x).
    samples : int
        K, the draws of z per example.
    seed : int
        Example number i has its own stream (seed, i): its draws depend neither on the other examples nor on pairs,
        and with a larger K the first ones stay.
    pairs : int
        How many (x, z) go through the decoder at once; bounds the memory, changes the result by rounding only.
    progress : bool
        Show a progress bar.

    Returns
    -------
    LogLikelihood

    Raises
    ------
    ValueError, TypeError
        On a model without p(x), on data of the wrong shape, kind or range.

    >>> from vae_from_scratch import VAE, datasets
    >>> result = log_likelihood(VAE(64, latent_dim=2), datasets.digits("test"), 20, progress=False)
    >>> bool(result.elbo.mean < result.bound.mean)
    True
    """
    n = _check(model, x, binarize, pairs, "pairs", variational=True)
    K, ops, found = checks.whole("samples", samples), model.ops, []
    with tqdm(total=n, unit="example", disable=not checks.flag("progress", progress)) as bar:
        for indices, batch in _batches(model, x, binarize, seed, max(1, pairs // K)):
            rngs = [_rng(seed, WEIGHT_STREAM, i) for i in indices]
            q, parts = model.encode(batch), []
            for part in in_order(K, pairs):
                eps = np.concatenate([model.draw_noise(len(part), rng)[0] for rng in rngs])
                repeated, mu, logvar = (np.repeat(array, len(part), axis=0) for array in (batch, *q))
                z = ops.reparameterize_forward(mu, logvar, eps)
                log_w = ops.log_weight(_recon_nll(model, repeated, z), z, logvar, eps)
                parts.append(log_w.reshape(len(batch), len(part)).astype(np.float64))
            log_w = np.concatenate(parts, axis=1)
            bound = ops.log_mean_exp(log_w), ops.log_mean_exp_error(log_w)
            found.append([*bound, log_w.mean(axis=1), _mean_error(log_w.T), ops.effective_samples(log_w)])
            bar.update(len(batch))
    found = np.concatenate(found, axis=1)
    return LogLikelihood(_estimate(*found[:2]), _estimate(*found[2:4]), found[4])


def quadrature(model, x, *, binarize="none", seed=0, pairs=1000, progress=True):
    """log p(x) of every example by a sum over a grid of z, Eq. (QUAD.1); for one or two latents.

    The grid covers what a coarse one has found of p(x, z), wherever that is; the encoder is not asked.  Its
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
    n, each, changes = _check(model, x, binarize, pairs, "pairs", variational=True), [], []
    if model.latent_dim > 2:
        raise ValueError(
            f"a grid over {model.latent_dim} latents is too large, quadrature is for one or two; use importance samples"
        )
    with tqdm(total=n, unit="example", disable=not checks.flag("progress", progress)) as bar:
        for _, batch in _batches(model, x, binarize, seed, 500):
            for row in batch:
                value, change = _integrate(model, row[None], pairs)
                each.append(value)
                changes.append(change)
                bar.update()
    each = np.array(each)
    return Integral(each, each.mean(), _spread(each), max(changes))


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
        before, value = value, model.ops.log_integral(log_joint.ravel(), cell)
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
        log_joint[rows] = -prior_nll - _recon_nll(model, np.repeat(x, len(part), axis=0), part)
    return ticks, np.prod((high - low) / (points - 1)), log_joint.reshape((points,) * model.latent_dim)


def collapse(model, x, *, binarize="none", seed=0, batch_size=500):
    """Which latents are silent, and whether that is right or a fault of training.

    It is known for a Gaussian decoder without hidden layers: the optimum then follows from the eigenvalues of the
    data's covariance.  For other decoders a total collapse can be found to be a fault, by Eq. (COL.1).

    Parameters
    ----------
    model, x, binarize, seed, batch_size
        As in evaluate; x should be the data that the model was trained on.

    Returns
    -------
    Collapse

    Raises
    ------
    ValueError, TypeError
        On a model without latents of this kind (an Autoencoder), on data of the wrong shape, kind or range.
    """
    _check(model, x, binarize, batch_size, variational=True)
    result = evaluate(model, x, binarize=binarize, seed=seed, batch_size=batch_size)
    active, Z, likelihood, expected = result.active_units, model.latent_dim, model.likelihood, None
    beta = getattr(model, "beta", None if model.settings else 1.0)  # None: a capacity, no price for a nat
    gaussian = isinstance(likelihood, Gaussian) and likelihood.sigma != "per-pixel"
    linear = gaussian and likelihood.mean_activation == "linear" and not model.decoder_hidden
    right, verdict = None, (
        "cannot be told for this model: train again from another seed, or with beta rising from 0, and keep the "
        "model with the higher ELBO"
    )
    if active == Z:
        right, verdict = True, "no latent is silent"
    elif beta is not None and (linear or active == 0):
        mean, S = _moments(model, x, binarize, seed, batch_size)
        silent = likelihood.silent_variance(mean, np.diag(S))
        if linear:
            noise = None if likelihood.sigma == "learned" else likelihood.sigma**2
            best = linear_optimum(np.maximum(np.linalg.eigvalsh(S)[::-1], 0), Z, beta, noise)
            if best is not None:
                used, noise = best
                expected = int((1 - beta * noise / used > ACTIVE_VARIANCE).sum())  # Var[mu], by LIN.5
                right = active == expected
                verdict = (
                    f"{'right' if right else 'a fault of training'}: the best model of these data, at beta {beta:g} "
                    f"with noise variance {noise:.3g}, uses {expected} of {Z} latents"
                ) + "; train longer, with a learning rate that decays" * (not right)
        elif silent is not None:
            gain = np.linalg.eigvalsh(S - beta * np.diag(silent))  # COL.1
            paying = int((gain > 1e-9 * np.trace(S)).sum())
            right, verdict = None, (
                f"no small use of z would pay at beta {beta:g}; whether a large one would, cannot be told; lower beta"
            )
            if paying:
                right, verdict = False, (
                    f"a fault of training: even a small use of z would pay at beta {beta:g}, in {paying} directions; "
                    "try another seed, a smaller learning rate, or beta rising from 0"
                )
    return Collapse(result.kl_per_latent, result.mu_variance, active, expected, right, verdict)


def linear_optimum(eigenvalues, latent_dim, beta, noise=None):
    """The best beta-VAE with a linear decoder, for data whose covariance has these eigenvalues (D,), largest first.

    noise: sigma_x^2 of the decoder, None if it is learned.  Returns the eigenvalues of the active directions,
    Eq. (LIN.4), and sigma_x^2, Eq. (LIN.10); None if learned noise has no optimum.
    """
    D, Z, learned = len(eigenvalues), min(latent_dim, len(eigenvalues)), noise is None
    for A in range(Z + 1):
        if learned:
            noise = eigenvalues[A:].sum() / (D - beta * A) if D > beta * A else 0
        if noise > 0 and (eigenvalues[A:Z] <= beta * noise).all():  # the first such A: its eigenvalues are above
            return eigenvalues[:A], noise
    return None


def _moments(model, x, binarize, seed, batch_size):
    # mean (D,) and covariance (D, D) of the data, in float64
    start, total, products = None, 0.0, 0.0
    for _, batch in _batches(model, x, binarize, seed, batch_size):
        start = batch.mean(axis=0, dtype=np.float64) if start is None else start
        shifted = (batch - start).astype(np.float64)  # near the mean, so that the difference below does not cancel
        total, products = total + shifted.sum(axis=0), products + shifted.T @ shifted
    shift = total / len(x)
    return start + shift, products / len(x) - np.outer(shift, shift)


def _recon_nll(model, x, z):
    out = model.decoder.forward(model.ops, model.params, z)[-1]
    return model.likelihood.forward(model.ops, model.params, out, x)


def _check(model, x, binarize, size, name="batch_size", variational=False):
    # what all evaluations ask of their arguments; returns len(x)
    checks.model(model)
    if variational and not model.variational:
        raise TypeError(
            f"an {type(model).__name__} has no prior p(z), so no ELBO and no log p(x); train a VAE to have them"
        )
    checks.choice("binarize", binarize, BINARIZE)
    checks.whole(name, size)
    return len(checks.data("x", x, model.data_dim, model.likelihood.unit_interval or binarize != "none"))


def _rng(seed, stream, number=0):
    return np.random.default_rng([checks.seed(seed), stream, number])  # a last 0 changes nothing, as if it were absent


def _batches(model, x, binarize, seed, batch_size):
    # the same binary images in every evaluation with this seed, whatever the batches
    rng = _rng(seed, DATA_STREAM)
    for indices in in_order(len(x), batch_size):
        yield indices, checks.rows("x", binarize_rows(x[indices], binarize, rng), model.data_dim, model.dtype)


def _spread(each):
    return each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else float("nan")


def _mean_error(draws):
    # standard error of the mean over the first axis, (L, n) -> (n,)
    return np.sqrt(draws.var(axis=0, ddof=1) / len(draws)) if len(draws) > 1 else np.full(draws.shape[1:], np.nan)


def _estimate(each, error):
    # independent draws for each datum: the variances of their means add
    return Estimate(each, each.mean(), _spread(each), np.sqrt((error**2).sum()) / len(each))

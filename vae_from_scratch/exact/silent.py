"""Which latents are silent, and whether that is right.  derivations/20-linear-beta-vae.md."""

from typing import NamedTuple

import numpy as np

from .. import ops
from ..beta_vae import BetaVAE
from ..engine import require
from ..engine.batches import batches
from ..engine.parts import has_penalty_of_the_batch
from ..evaluation import ACTIVE_VARIANCE, evaluate
from ..likelihoods import Bernoulli, ContinuousBernoulli, Gaussian
from ..vae import VAE
from .linear import linear_optimum


class Collapse(NamedTuple):
    """Which latents are silent, and whether that is right."""

    kl_per_latent: np.ndarray  # (Z,) in nats
    mu_variance: np.ndarray  # (Z,)
    active: int  # latents with mu_variance above 0.01
    expected: int | None  # how many the optimum uses, where that is known
    right: bool | None  # None: cannot be told
    verdict: str  # the same in words, with what to try


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
    require.evaluation(model, x, binarize, batch_size=batch_size, variational=True)
    result = evaluate(model, x, binarize=binarize, seed=seed, batch_size=batch_size)
    active, Z, likelihood, expected = result.active_units, model.latent_dim, model.likelihood, None
    as_it_was = type(model).forward is BetaVAE.forward and not has_penalty_of_the_batch(model)  # a subclass may have another
    beta = 1.0 if type(model) is VAE else None  # what a nat of the KL costs; None where that is not known
    if isinstance(model, BetaVAE) and as_it_was:
        beta = model.beta
    gaussian = type(likelihood) is Gaussian and likelihood.sigma != "per-pixel"
    linear = gaussian and likelihood.mean_activation == "linear" and not model.decoder_hidden
    right, verdict = None, (
        "cannot be told for this model: train again from another seed, or with beta rising from 0, and keep the "
        "model with the higher ELBO"
    )
    if active == Z:
        right, verdict = True, "no latent is silent"
    if beta is not None and (linear or active == 0):
        mean, S = _moments(model, x, binarize, seed, batch_size)
        silent = silent_variance(likelihood, mean, np.diag(S))
        if linear:
            noise = None if likelihood.sigma == "learned" else likelihood.sigma**2
            variances = np.linalg.eigvalsh(S)[::-1]
            best = linear_optimum(np.where(variances > 1e-12 * variances[0], variances, 0), Z, beta, noise)  # less is rounding
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
            by_mean = " by the decoder's mean" * isinstance(likelihood, Gaussian)  # it may learn a variance for each pixel
            right, verdict = None, (
                f"no small use of z{by_mean} would pay at beta {beta:g}; whether another would, cannot be told; lower beta"
            )
            if paying:
                right, verdict = False, (
                    f"a fault of training: even a small use of z would pay at beta {beta:g}, in {paying} directions; "
                    "try another seed, a smaller learning rate, or beta rising from 0"
                )
    return Collapse(result.kl_per_latent, result.mu_variance, active, expected, right, verdict)


def _moments(model, x, binarize, seed, batch_size):
    # mean (D,) and covariance (D, D) of the data, in float64; of binary images drawn anew, those of all draws
    anew, drawn = binarize == "dynamic", np.zeros(model.data_dim)
    start, total, products = None, 0.0, 0.0
    for _, batch in batches(model, x, "none" if anew else binarize, seed, batch_size):
        start = batch.mean(axis=0, dtype=np.float64) if start is None else start
        shifted = (batch - start).astype(np.float64)  # near the mean, so that the difference below does not cancel
        total, products = total + shifted.sum(axis=0), products + shifted.T @ shifted
        drawn += anew * (batch * (1 - batch)).sum(axis=0, dtype=np.float64)  # the variance that drawing adds
    shift = total / len(x)
    return start + shift, products / len(x) - np.outer(shift, shift) + np.diag(drawn / len(x))


def silent_variance(likelihood, mean, variance):
    """Var[x|z] (D,) of the best decoder that ignores z, Eq. (COL.2), from the data's mean and variance (D,); None: unknown."""
    if type(likelihood) is Bernoulli:  # a subclass may have another optimum
        return mean * (1 - mean)
    if type(likelihood) is ContinuousBernoulli:
        return ops.continuous_bernoulli_variance(silent_logits(mean))
    if type(likelihood) is not Gaussian:
        return None
    if likelihood.sigma == "per-pixel":
        return variance
    return np.full_like(variance, variance.mean() if likelihood.sigma == "learned" else likelihood.sigma**2)


def silent_logits(mean):
    """The logits (D,) whose continuous Bernoulli has this mean (D,): K'(logit) = mean, solved by halving."""
    inside = (mean > 0) & (mean < 1)
    wanted = np.where(inside, mean, 0.5)
    low, high = -1 / wanted, 1 / (1 - wanted)  # a negative logit has a mean below -1 / logit
    for _ in range(100):
        middle = (low + high) / 2
        above = ops.continuous_bernoulli_mean(middle) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where(inside, (low + high) / 2, np.where(mean < 0.5, -np.inf, np.inf))

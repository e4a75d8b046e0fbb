"""How good a trained model is on a data set: ELBO, KL per latent, active units, log p(x).  derivations/12."""

from typing import NamedTuple

import numpy as np

from .base import normal
from .engine import require
from .engine.bars import counting
from .engine.batches import batches, in_order, rests_allowed
from .engine.estimates import Estimate, estimate, mean_error
from .engine.parts import by_draws, evaluation_threads
from .engine.streams import stream
from .engine.threads import in_threads, one_blas_thread
from .ops import log_mean_exp

ACTIVE_VARIANCE = 0.01  # a unit is active if Var_x[mu] exceeds this (Burda et al. 2015, section 5.2)


class Evaluation(NamedTuple):
    """Means over n examples, in nats; elbo and what follows it are None for an autoencoder."""

    n: int
    loss: float
    recon_nll: float
    kl: float
    standard_error: float  # of the mean of recon_nll + kl over the data
    elbo: float | None = None  # elbo_b.mean
    kl_per_latent: np.ndarray | None = None  # (Z,)
    mu_variance: np.ndarray | None = None  # (Z,), over the data
    elbo_a: Estimate | None = None  # the KL sampled as well
    elbo_b: Estimate | None = None  # the KL in closed form; either may be the quieter one (derivations/05)

    @property
    def active_units(self):
        """How many latents the encoder uses, by the rule of Burda et al. 2015."""
        return None if self.mu_variance is None else int((self.mu_variance > ACTIVE_VARIANCE).sum())


class LogLikelihood(NamedTuple):
    """log p(x) by importance sampling: in expectation, a lower bound that rises with the number of samples."""

    bound: Estimate  # L_K
    elbo: Estimate  # the mean of the same log weights: estimator A
    effective_samples: np.ndarray  # (n,), between 1 and K; where it is small, the bound may be far below log p(x)
    samples: int  # K


@one_blas_thread()
def evaluate(
    model, x, *, binarize: str = "none", seed: int = 0, batch_size: int = 500, samples: int = 1, threads: int | None = None
) -> Evaluation:
    """Evaluate a model on every example of x, each counted once: the ELBO by Eqs. (EST.1), (EST.2), KL, activity.

    The prior is N(0, I), here and in log_likelihood, whatever KL a model of one's own trains with.

    Parameters
    ----------
    model : Autoencoder, VAE, BetaVAE or another
    x : array (n, D), or a data set with len and x[indices] -> (N, D)
    binarize : {"none", "threshold", "dynamic"}; as in fit, with the same images for the same seed
    seed : of the samples of z, the same for every objective, and of dynamic binarisation; streams of their own
    batch_size : examples at once; bounds the memory, changes the result by rounding only, except the loss of a model that has a
        penalty on the whole batch or draws several arrays of noise
    samples : draws of z per example, over which recon_nll and both estimates of the ELBO are averaged; 1 for an Autoencoder
    threads : how many batches are computed at a time; one per core, if that pays, unless given; the bits are the same

    Raises ValueError or TypeError on data of the wrong shape, kind or range.
    """
    n = require.evaluation(model, x, binarize, batch_size=batch_size, variational=require.whole("samples", samples) > 1)
    batch_size, samples = int(batch_size), int(samples)  # NumPy's small integers would overflow

    def measure(batch, q, noise, eps):  # of one draw: the loss, recon_nll, the log weight, the KL
        with rests_allowed():
            terms = model.loss(batch, *noise)
        loss = float(terms.loss) * len(batch) / samples  # weighted: the last batch may be shorter
        if not model.variational:
            return loss, terms.recon_nll_each, terms.recon_nll_each, terms.kl_each
        z = model.ops.reparameterize_forward(*q, eps)
        recon = model.recon_nll(batch, z).astype(np.float64)
        return loss, recon, model.ops.log_weight(recon, z, q[1], eps), model.ops.gaussian_kl_forward(*q)

    total, kl_per_latent, found, mus = 0.0, np.zeros(model.latent_dim), [], []
    for q, losses, recon, log_w, kl in by_draws(measure, model, x, binarize, seed, batch_size, samples, threads):
        total = sum(losses.tolist(), start=total)
        if model.variational:
            mus.append(q[0])
            kl_per_latent += model.ops.gaussian_kl_per_latent(*q).sum(axis=0, dtype=np.float64) / n
        found.append([recon.mean(axis=0), kl[-1], log_w.mean(axis=0), mean_error(log_w), mean_error(recon)])
    recon, kl, a_each, a_error, b_error = np.concatenate(found, axis=1, dtype=np.float64)
    elbo_a, elbo_b = estimate(a_each, a_error), estimate(-(recon + kl), b_error)
    means = n, total / n, float(recon.mean()), float(kl.mean()), elbo_b.standard_error
    if not model.variational:
        return Evaluation(*means)
    mu_variance = np.concatenate(mus).var(axis=0, dtype=np.float64)
    return Evaluation(*means, elbo_b.mean, kl_per_latent, mu_variance, elbo_a, elbo_b)


@one_blas_thread()
def log_likelihood(
    model, x, samples: int = 5000, *, binarize: str = "none", seed: int = 0, pairs: int = 1000, progress: bool = True,
    threads: int | None = None,
) -> LogLikelihood:
    """log p(x) of every example by importance sampling from q(z|x), Eq. (IS.3) (Burda et al. 2015, Eq. 8).

    Parameters
    ----------
    model, x, binarize : as in evaluate, whose binary images these are; an Autoencoder is refused, as it has no p(x)
    samples : K, the draws of z per example
    seed : every example has its own stream: its draws do not depend on the others, and with a larger K the first ones stay
    pairs : how many (x, z) go through the decoder at once; bounds the memory, changes the result by rounding only
    progress : whether to show a progress bar
    threads : as in evaluate; each takes a few examples at a time

    >>> from vae_from_scratch import VAE, datasets
    >>> result = log_likelihood(VAE(64, latent_dim=2), datasets.digits("test"), 20, progress=False)
    >>> bool(result.elbo.mean < result.bound.mean)
    True
    """
    n, K = require.evaluation(model, x, binarize, pairs=pairs, variational=True), int(require.whole("samples", samples))
    pairs = int(pairs)

    def measure(drawn):
        indices, batch = drawn
        rngs = [stream("importance", seed, int(i)) for i in indices]
        q, parts = model.encode(batch), []
        for part in in_order(K, pairs):
            eps = np.concatenate([normal(rng, (len(part), model.latent_dim), model.dtype) for rng in rngs])
            repeated, mu, logvar = (np.repeat(array, len(part), axis=0) for array in (batch, *q))
            z = model.ops.reparameterize_forward(mu, logvar, eps)
            log_w = model.ops.log_weight(model.recon_nll(repeated, z), z, logvar, eps).reshape(len(batch), len(part))
            parts.append(log_w.astype(np.float64))
        log_w = np.concatenate(parts, axis=1)
        return model.ops.log_mean_exp(log_w), log_mean_exp_error(log_w), log_w.mean(axis=1), mean_error(log_w.T), effective_samples(log_w)

    parts = in_threads(measure, batches(model, x, binarize, seed, max(1, pairs // K)), evaluation_threads(model, pairs, threads))
    found = list(counting(parts, n, not require.flag("progress", progress)))
    columns = np.concatenate(found, axis=1)
    return LogLikelihood(estimate(*columns[:2]), estimate(*columns[2:4]), columns[4], K)


def effective_samples(log_w):
    """(sum w)^2 / sum w^2, Eq. (IS.8): K if all weights are equal, 1 if one has it all.  log_w (..., K); returns (...)."""
    return log_w.shape[-1] * np.exp(2 * log_mean_exp(log_w) - log_mean_exp(2 * log_w))


def log_mean_exp_error(log_w):
    """Standard error of log_mean_exp from its K draws, Eq. (IS.7).  (..., K) -> (...); NaN from one draw."""
    K = log_w.shape[-1]
    if K == 1:
        return np.full_like(log_w[..., 0], np.nan)
    return np.exp(log_w - log_mean_exp(log_w)[..., None]).std(axis=-1, ddof=1) / np.sqrt(log_w.dtype.type(K))

"""What a trained model is worth on a data set: ELBO, KL per latent, active units."""

from typing import NamedTuple

import numpy as np

from . import checks
from .batches import BINARIZE, binarize_rows, in_order

EVALUATION_STREAMS = 100, 101  # apart from training's 0, 1, 2, whatever the seed
ACTIVE_VARIANCE = 0.01  # a unit is active if Var_x[mu] exceeds this (Burda et al. 2015, section 5.2)


class Evaluation(NamedTuple):
    """Means over n examples, in nats; elbo and the per-latent arrays are None for an autoencoder."""

    n: int
    loss: float
    recon_nll: float
    kl: float
    standard_error: float  # of the mean of recon_nll + kl over the data
    elbo: float | None
    kl_per_latent: np.ndarray | None  # (Z,)
    mu_variance: np.ndarray | None  # (Z,), over the data

    @property
    def active_units(self):
        """How many latents the encoder uses, by the rule of Burda et al. 2015."""
        return None if self.mu_variance is None else int((self.mu_variance > ACTIVE_VARIANCE).sum())


def evaluate(model, x, *, binarize="none", seed=0, batch_size=500):
    """Evaluate a model on every example of x, each counted once.

    Parameters
    ----------
    model : Autoencoder, VAE, BetaVAE or CapacityVAE
    x : array (n, D), or a data set with len and x[indices] -> (N, D)
    binarize : {"none", "threshold", "dynamic"}
    seed : int
        Of the noise (one sample of z per example) and of dynamic binarisation; a stream of its own.
    batch_size : int
        Examples at once; bounds the memory, and the result depends on it only by rounding
        (and by the batch-mean KL inside a CapacityVAE's loss).

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError, TypeError
        On data of the wrong shape, kind or range.
    """
    checks.model(model)
    checks.choice("binarize", binarize, BINARIZE)
    checks.whole("batch_size", batch_size)
    data_rng, noise_rng = (np.random.default_rng([checks.seed(seed), stream]) for stream in EVALUATION_STREAMS)
    checks.data("x", x, model.data_dim, model.likelihood.unit_interval or binarize != "none")
    n, total, recon_each, kl_each, mus, kl_per_latent = len(x), 0.0, [], [], [], 0.0
    for indices in in_order(n, batch_size):
        batch = binarize_rows(x[indices], binarize, data_rng)
        terms = model.loss(batch, *model.draw_noise(len(batch), noise_rng))
        total += float(terms.loss) * len(batch)  # weighted: the last batch may be shorter
        recon_each.append(terms.recon_nll_each)
        kl_each.append(terms.kl_each)
        if model.variational:
            mu, logvar = model.encode(batch)
            mus.append(mu)
            kl_per_latent = (
                kl_per_latent + model.ops.gaussian_kl_per_latent(mu, logvar).sum(axis=0, dtype=np.float64) / n
            )
    recon_each, kl_each = np.concatenate(recon_each).astype(np.float64), np.concatenate(kl_each).astype(np.float64)
    nll_each = recon_each + kl_each
    latent = model.variational
    return Evaluation(
        n=n,
        loss=total / n,
        recon_nll=recon_each.mean(),
        kl=kl_each.mean(),
        standard_error=nll_each.std(ddof=1) / np.sqrt(n) if n > 1 else float("nan"),
        elbo=-nll_each.mean() if latent else None,
        kl_per_latent=kl_per_latent if latent else None,
        mu_variance=np.concatenate(mus).var(axis=0, dtype=np.float64) if latent else None,
    )

"""The three parts of the averaged KL: mutual information, total correlation, dimension-wise KL (Eqs. TC.1, TC.2)."""

from typing import NamedTuple

import numpy as np

from .. import ops
from ..engine import require
from .mixtures import cells, grid, kl_rows


class KLParts(NamedTuple):
    """Nats; kl = mutual_information + total_correlation + dimension_wise.sum(), and no part is negative."""

    kl: float  # the mean over n of KL(q(z|x_n) || p(z)), in closed form
    mutual_information: float  # I(n; z), at most log N, but for error
    total_correlation: float  # KL(q(z) || prod_j q(z_j))
    dimension_wise: np.ndarray  # (Z,): KL(q(z_j) || p(z_j))
    standard_error: float  # of mutual_information and of total_correlation, which err against each other
    information: np.ndarray  # (Z,): I(n; z_j); their sum is mutual_information + total_correlation, but for error
    error: float  # of the grid: rounding, unless a std is below 1 / 2000 of the range of its latent.  It does not see
    # errors of the sums over log q(z_j), which cancel in it: 2e-6 nats for two posteriors 5.5 std apart


def kl_parts(mu, logvar, rng, *, samples=1000):
    """Split the KL of N posteriors q(z|x_n) = N(mu_n, exp(logvar_n)), mu and logvar (N, Z).  A KLParts.

    q(z) is the mixture of all N, not of a batch: nothing is extrapolated, and the parts are those of these N data (a
    subset of a data set has parts of its own: its information is at most log N).  Integrals over one latent are sums
    over a grid, so kl, dimension_wise and information carry no noise.  How information's sum divides into mutual
    information and total correlation is a mean over samples of z, Eqs. (TC.3), (TC.4), each >= 0.
    Takes N * samples * 8 bytes; raises ValueError on shapes that differ or on NaN.
    """
    mu, logvar = np.asarray(mu, np.float64), np.asarray(logvar, np.float64)
    if mu.ndim != 2 or mu.shape != logvar.shape or mu.size == 0:
        raise ValueError(f"mu and logvar must both have shape (N, Z), got {mu.shape} and {logvar.shape}")
    if not require.finite([mu, logvar]):
        raise ValueError("mu or logvar holds NaN or infinity")
    rng, samples, n = require.rng(rng), require.whole("samples", samples, 2), len(mu)
    std, kl = np.exp(logvar / 2), float(ops.gaussian_kl_forward(mu, logvar).mean())
    origin = rng.integers(n, size=samples)
    z = ops.reparameterize_forward(mu[origin], logvar[origin], rng.standard_normal((samples, mu.shape[1])))

    information, dimension_wise = np.zeros(mu.shape[1]), np.zeros(mu.shape[1])
    log_weights = np.zeros((samples, n))  # log q(z_1 .. z_{j-1} | n) of each sample, up to a constant of each
    correlation, both = np.zeros(samples), np.zeros(samples)
    for j in range(mu.shape[1]):
        points = grid(mu[:, j], std[:, j])
        masses = cells(points, mu[:, j], std[:, j])
        marginal = masses.mean(axis=0)
        each = kl_rows(masses, marginal)
        information[j] = each.mean()
        inside = marginal > 0
        log_prior = np.log(points[1] - points[0]) - (points**2 + float(ops.LOG_2PI)) / 2
        dimension_wise[j] = (marginal[inside] * (np.log(marginal[inside]) - log_prior[inside])).sum()
        for rows in np.array_split(np.arange(samples), -(-samples * n // 2**21)):
            weights = np.exp(log_weights[rows] - log_weights[rows].max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            correlation[rows] += kl_rows(weights @ masses, marginal)
            both[rows] += weights @ each
            log_weights[rows] -= ((z[rows, j, None] - mu[:, j]) / std[:, j]) ** 2 / 2 + logvar[:, j] / 2

    known = kl - dimension_wise.sum()  # mutual information and total correlation together, without noise
    share = correlation.mean() / both.mean() if both.mean() > 0 else 0.0
    noise = (correlation - share * both).std(ddof=1) / np.sqrt(samples)
    return KLParts(
        kl=kl,
        mutual_information=float(known * (1 - share)),
        total_correlation=float(known * share),
        dimension_wise=dimension_wise,
        standard_error=float(noise * known / both.mean()) if both.mean() > 0 else 0.0,
        information=information,
        error=float(abs(known - information.sum())),
    )

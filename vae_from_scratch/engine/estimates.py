"""Means and their standard errors.  derivations/12-log-likelihood.md."""

from typing import NamedTuple

import numpy as np


FEW = 100  # effective samples, or half of those drawn: with fewer, the bound may miss log p(x) by many of its own standard errors


class Estimate(NamedTuple):
    """An estimate for every datum and its mean, in nats, with the two ways in which the mean may be off.

    standard_error: other data (the spread of each over the data, the noise of the draws included).
    sampling_error: other draws for the same data; NaN if there was one draw per datum.
    """

    each: np.ndarray  # (n,)
    mean: float
    standard_error: float
    sampling_error: float


def spread(each):
    """Standard error of the mean over the data."""
    return float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")


def mean_error(draws):
    """Standard error of the mean over the first axis, (L, n) -> (n,); NaN from one draw."""
    return np.sqrt(draws.var(axis=0, ddof=1) / len(draws)) if len(draws) > 1 else np.full(draws.shape[1:], np.nan)


def few(effective, samples):
    """Words on the data whose bound rests on few effective samples (n,) of so many drawn; empty if there are none.

    Few are under FEW, or under half of the samples if that is less, and under 2 (derivations/12-log-likelihood.md, after IS.8).
    """
    limit = max(2, min(FEW, samples / 2))
    n = int((effective < limit).sum())
    if not n:
        return ""
    return f"{n} of {len(effective)} have under {limit:g} effective samples: their bound may be nats too low"


def estimate(each, error):
    """An Estimate from independent draws for each datum: the variances of their means add."""
    return Estimate(each, float(each.mean()), spread(each), float(np.sqrt((error**2).sum()) / len(each)))

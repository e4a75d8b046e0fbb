"""All scores by name, each drawn several times: what the command line prints."""

import numpy as np

from ..engine import require, threads
from ..evaluation import ACTIVE_VARIANCE
from .beta_vae import beta_vae_scores
from .codes import encode_all, encode_checked, known_factors, table_fits
from .factor_vae import factor_vae_score
from .mig import mig_chen, mig_histogram

NAMES = ("beta-vae", "factor-vae", "mig")


@threads.one_blas_thread()
def all_scores(
    encode, data, names=NAMES, *, seed=0, repeats=3, points=10_000, least_variance=ACTIVE_VARIANCE, progress=True
):
    """{title: [result, ...]} of these scores, one result for each of repeats draws.

    encode : function from images (N, D) to codes (N, Z), or to mu and logvar; each image is encoded once if the
        codes of all can be kept
    names : of NAMES.  seed : of the first draw; each draw has a stream of its own.
    points : for the beta-VAE score's classifier to learn from; half as many for it to be judged on
    least_variance : what a latent needs to vote in the FactorVAE score
    MIG of Chen et al. needs mu and logvar; it is taken over all images, so it is computed once.
    Raises ValueError or TypeError if a name is unknown, data has no known factors, or encode gives NaN or no (N, Z).
    """
    names = [require.choice("each score", name, NAMES) for name in names]
    data, points = known_factors(data), require.whole("points", points, 100)
    require.seed(seed), require.whole("repeats", repeats)
    variational = len(encode_checked(encode, data[np.arange(1)])) == 2
    if table_fits(encode, data):
        encode, data = encode_all(encode, data, progress)
    without_shape = tuple(name for name in data.factor_names if name != "shape")
    sets = [data.factor_names] + [without_shape] * (1 < len(without_shape) < len(data.factor_names))
    results = {}
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        if "beta-vae" in names:
            drawn = {"points": points, "test_points": points // 2, "progress": progress}
            for chosen, result in zip(sets, beta_vae_scores(encode, data, rng, sets, **drawn)):
                results.setdefault(f"beta-VAE score ({', '.join(chosen)})", []).append(result)
        if "factor-vae" in names:
            result = factor_vae_score(encode, data, rng, least_variance=least_variance, progress=progress)
            results.setdefault("FactorVAE score", []).append(result)
        if "mig" in names:
            result = mig_histogram(encode, data, rng, progress=progress)
            results.setdefault("MIG, 20-bin histogram of means (Locatello et al.)", []).append(result)
            if variational and repeat == 0 and len(without_shape) > 1:
                result = mig_chen(encode, data, rng, progress=progress)
                results[f"MIG, samples of q(z|x) (Chen et al.; {', '.join(result.factor_names)})"] = [result]
    return results


def panel(title, result):
    """What plots.factor_matrices draws of a result: (title, matrix (K, Z), factor names, what large values mean)."""
    if hasattr(result, "differences"):
        return title, 1 - result.differences, result.factor_names, "fall of |difference|\nwhere shared"
    if hasattr(result, "votes"):
        shares = result.votes / np.maximum(result.votes.sum(axis=1, keepdims=True), 1)
        return title, shares, result.factor_names, "share of votes"
    return title, result.information, result.factor_names, "information (nats)"

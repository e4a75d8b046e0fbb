"""All scores by name, each drawn several times: what the command line prints."""

import zlib

import numpy as np

from ..engine import require
from ..engine.streams import stream
from ..engine.threads import asked, one_blas_thread
from ..evaluation import ACTIVE_VARIANCE
from .codes import encode_all, encode_checked, known_factors, table_fits
from .score import SCORES, Drawing


@one_blas_thread()
def all_scores(
    encode, data, names=None, *, seed=0, repeats=3, points=10_000, least_variance=ACTIVE_VARIANCE, progress=True, threads=None
):
    """{title: [result, ...]} of these scores, one result for each of repeats draws.

    encode : function from images (N, D) to codes (N, Z), or to mu and logvar; each image is encoded once if the
        codes of all can be kept
    data : FactorDataset, of which scores draw any combination; a subset stands for the whole
    names : of SCORES; all of them if None.  seed : of the first draw; each draw has a stream of its own.
    points : for a classifier to learn from; half as many for it to be judged on
    least_variance : a latent with less neither votes in the FactorVAE score nor counts in modularity
    threads : as in encode_all
    Raises ValueError or TypeError if a name is unknown, data has no known factors, or encode gives NaN or no (N, Z).
    """
    names = [names] if isinstance(names, str) else dict.fromkeys(SCORES if names is None else names)  # each once
    names = [require.choice("each score", name, SCORES) for name in names]
    data, points = known_factors(data), require.whole("points", points, 100)
    require.seed(seed), require.whole("repeats", repeats)
    variational = len(encode_checked(encode, data[np.arange(1)])) == 2
    without_shape = tuple(name for name in data.factor_names if name != "shape")
    results: dict = {}
    with asked(None if threads is None else require.whole("threads", threads)):
        if table_fits(encode, data):
            encode, data = encode_all(encode, data, progress)
        for repeat in range(repeats):
            drawing = Drawing(repeat, variational, points, least_variance, progress, without_shape)
            for name in names:
                rng = stream("scores", seed, repeat, zlib.crc32(name.encode()))  # whichever others are drawn
                for title, result in SCORES[name]().draw(encode, data, rng, drawing):
                    results.setdefault(title, []).append(result)
    return results


def panel(title, result):
    """What plots.factor_matrices draws of a result: (title, matrix (K, Z), factor names, what large values mean)."""
    matrix, meaning = result.panel
    return title, matrix, result.factor_names, meaning

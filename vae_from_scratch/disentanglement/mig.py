"""The mutual information gap, in its two published forms, which are not comparable."""

from typing import NamedTuple

import numpy as np

from ..engine import require
from ..engine.bars import tqdm
from ..engine.batches import in_order
from ..engine.threads import for_chunks, in_threads, one_blas_thread
from .codes import BATCH, encode_batches, known_factors, named_factors
from .mixtures import cells, grid, kl_rows
from .score import Score


class MIGScore(NamedTuple):
    """K factors, Z latents; information and entropies in nats."""

    score: float  # the mean of per_factor
    chance: float  # 0
    factor_names: tuple
    per_factor: np.ndarray  # (K,): the largest information less the second largest, over the factor's entropy
    information: np.ndarray  # (K, Z): I(z_j; factor k)
    entropies: np.ndarray  # (K,): H(factor k)
    error: float  # nats: what noise alone would show (histogram), or the change on a grid twice as coarse (Chen)

    @property
    def latents(self):
        """(K,): the latent that says most about factor k."""
        return self.information.argmax(axis=1)

    @property
    def panel(self):
        """(K, Z), and what large values mean."""
        return self.information, "information (nats)"


def mig_histogram(encode, data, rng, *, factors=None, points=10_000, bins=20, progress=True):
    """Eq. (MIG.1) as in Locatello et al. 2019: codes are put into 20 bins of equal width, and counted.  A MIGScore.

    encode : function from images (N, D) to codes (N, Z), such as a model's encode (whose mu is taken)
    data : FactorDataset, or a split of one (the whole is used)
    factors : names; all if None.  points : images drawn; None for every image once.
    A perfect code need not reach 1: with 40 values in 20 bins, two values share each bin.
    error: what noise would seem to say, about (bins - 1) (values - 1) / (2 points) nats, the largest of the factors; that
        is too much where there are fewer points than bins times values.
    Raises ValueError or TypeError if data has no known factors, or encode gives NaN or another shape.
    """
    data, rng, bins = known_factors(data), require.rng(rng), require.whole("bins", bins, 2)
    chosen = named_factors(data, factors)
    values, outputs = _encode(encode, data, rng, points, progress)
    codes, values = outputs[0], values[:, chosen]
    sizes = [data.sizes[k] for k in chosen]
    information = binned_information(codes, values, sizes, bins)
    entropies = np.array([_entropy(np.bincount(v, minlength=size)) for v, size in zip(values.T, sizes)])
    noise = max((bins - 1) * (data.sizes[factor] - 1) for factor in chosen) / (2 * len(codes))
    return _gaps(data, chosen, information, entropies, noise)


@one_blas_thread()
def mig_chen(encode, data, rng, *, factors=None, points=None, progress=True):
    """Eq. (MIG.1) as in Chen et al. 2018: z drawn from q(z|x), under the averaged posterior of the data.  A MIGScore.

    encode : function from images (N, D) to mu and logvar, both (N, Z), such as a VAE's encode
    data : FactorDataset, or a split of one (the whole is used)
    factors : names; if None, all but "shape", as in the paper.
    points : None for the mixture over every image, or how many to draw.  Fewer overlap less: information comes out larger.
    I(z_j; factor) is the mean over z; Chen et al. draw 10,000, here the integral in one dimension is a sum over a
    grid, which is the limit of ever more samples and cannot become negative.
    Raises ValueError or TypeError if data has no known factors, or encode gives NaN or another shape.
    """
    data, rng = known_factors(data), require.rng(rng)
    factors = tuple(name for name in data.factor_names if name != "shape") if factors is None else factors
    chosen = named_factors(data, factors)
    values, outputs = _encode(encode, data, rng, points, progress)
    if len(outputs) != 2:
        raise ValueError("mig_chen needs q(z|x): encode must return mu and logvar, both (N, Z), as a VAE's does")
    mu, std = outputs[0], np.exp(outputs[1] / 2)
    sizes = [data.sizes[k] for k in chosen]
    starts = np.cumsum([0, *sizes])
    places = values[:, chosen] + starts[:-1]  # all values of all factors side by side: which ones a row has

    def of_latent(j):
        points_j = grid(mu[:, j], std[:, j])
        sums = np.zeros((starts[-1], len(points_j)))
        for rows in in_order(len(mu), BATCH):
            has = np.zeros((len(rows), starts[-1]))
            np.put_along_axis(has, places[rows], 1, axis=1)
            sums += has.T @ cells(points_j, mu[rows, j], std[rows, j])
        joints = [sums[starts[k] : starts[k + 1]] for k in range(len(chosen))]
        return [[_information(joint[:, :: 1 + coarse]) for joint in joints] for coarse in range(2)]

    Z = mu.shape[1]
    latents = in_threads(of_latent, range(Z), for_chunks())
    latents = tqdm(latents, desc="MIG (Chen)", total=Z, disable=not progress, leave=False)
    information = np.stack(list(latents), axis=-1)  # (2, K, Z): on the grid, and on every second point of it
    entropies = np.array([_entropy(np.bincount(values[:, k], minlength=data.sizes[k])) for k in chosen])
    return _gaps(data, chosen, information[0], entropies, abs(information[0] - information[1]).max())


def _encode(encode, data, rng, points, progress):
    # the factors (N, F) of all images, or of some that are drawn, and what encode makes of them
    if points is None:
        factors = data.factors(np.arange(len(data)))
    else:
        factors = data.draw_factors(require.whole("points", points, 100), rng)
    images = lambda rows: data.images(factors[rows])  # noqa: E731
    outputs = encode_batches(encode, images, len(factors), list, "MIG: encoding", progress)
    return factors, [np.concatenate(part) for part in zip(*outputs)]


def binned_information(codes, values, sizes, bins):
    """I(z_j; factor k) in nats (K, Z), counted: codes (N, Z) in bins of one width from least to largest, values (N, K)."""
    low, high = codes.min(axis=0), codes.max(axis=0)
    varies = high - low > 1e-6 * (high - low).max()  # what is left of a constant is float32's rounding
    width = np.where(varies, (high - low) / bins, np.inf)  # a constant has one bin
    # the largest belongs to the last bin, and a value on an edge to the upper one, whatever rounding makes of it
    bin_of = np.minimum((codes - low) / width + 1e-5, bins - 1).astype(int)
    information = np.zeros((len(sizes), codes.shape[1]))
    for k, j in np.ndindex(information.shape):
        together = np.bincount(values[:, k] * bins + bin_of[:, j], minlength=sizes[k] * bins)
        information[k, j] = _information(together.reshape(sizes[k], bins))
    return information


def _information(joint):
    # of a table of counts or masses (values, bins): the mean over values of KL(row || all rows), which is >= 0
    rows = joint.sum(axis=1)
    present = rows > 0
    rows, joint = rows[present], joint[present]
    return (kl_rows(joint / rows[:, None], joint.sum(axis=0) / joint.sum()) * rows).sum() / rows.sum()


def _entropy(counts):
    p = counts[counts > 0] / counts.sum()
    return -(p * np.log(p)).sum()


def _gaps(data, chosen, information, entropies, error):
    ranked = np.sort(np.pad(information, ((0, 0), (1, 0))), axis=1)  # one latent alone has 0 as its rival
    gaps = (ranked[:, -1] - ranked[:, -2]) / entropies
    names = tuple(data.factor_names[k] for k in chosen)
    return MIGScore(float(gaps.mean()), 0.0, names, gaps, information, entropies, float(error))


class MIG(Score):
    name = "mig"

    def draw(self, encode, data, rng, drawing):
        """Both forms; that of Chen et al. needs mu and logvar, and is taken over all images, so it is computed once."""
        result = mig_histogram(encode, data, rng, progress=drawing.progress)
        yield "MIG, 20-bin histogram of means (Locatello et al.)", result
        if drawing.variational and drawing.repeat == 0 and len(drawing.without_shape) > 1:
            result = mig_chen(encode, data, rng, progress=drawing.progress)
            yield f"MIG, samples of q(z|x) (Chen et al.; {', '.join(result.factor_names)})", result

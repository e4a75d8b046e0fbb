"""Ridgeway and Mozer 2018, first half: does each latent have information on one factor only?"""

from typing import NamedTuple

import numpy as np

from ..engine import require
from ..evaluation import ACTIVE_VARIANCE
from .codes import sample
from .mig import binned_information
from .score import Score


class ModularityScore(NamedTuple):
    """K factors, Z latents; information in nats."""

    score: float  # the mean of modularity over active latents; 0 if none is
    chance: float  # the score of pure noise, from the bias of counting: not 0, and often close to that of good codes
    factor_names: tuple
    modularity: np.ndarray  # (Z,): 1 if z_j says something of one factor only, 0 if of all alike or of none
    information: np.ndarray  # (K, Z): I(z_j; factor k)
    bias: np.ndarray  # (K,): what noise seems to say of factor k
    active: np.ndarray  # (Z,): which latents count

    @property
    def per_factor(self):
        """(K,): modularity of the latent that stands for factor k."""
        return self.modularity[self.latents]

    @property
    def latents(self):
        """(K,): the active latent that says most about factor k."""
        return np.where(self.active, self.information, -1).argmax(axis=1)

    @property
    def panel(self):
        """(K, Z), and what large values mean."""
        return self.information, "information (nats)"

    @property
    def remark(self):
        """Which latents are left out, and which say no more than noise would: their modularity is the bias's."""
        empty = self.active & (self.information < 2 * self.bias[:, None]).all(axis=0)
        parts = []
        for words, which in (("left out as inactive", ~self.active), ("no more than noise", empty)):
            if which.sum() > 10:
                parts.append(f"{words}: {which.sum()} latents of {len(which)}")
            elif which.any():
                parts.append(f"{words}: " + ", ".join(f"z{j}" for j in np.flatnonzero(which)))
        return "; ".join(parts)


def modularity_score(
    encode, data, rng, *, factors=None, points=10_000, bins=20, least_variance=ACTIVE_VARIANCE, progress=True
):
    """Eq. (MOD.1) over these factors, by name; all of them if None.  A ModularityScore.

    encode : function from images (N, D) to codes (N, Z), such as a model's encode (whose mu is taken)
    points : images drawn.  bins : of equal width, in which codes are counted, as for MIG.  With fewer points than bins
        times the values of a factor, bias and chance come out too large, and remark may call a good latent noise.
    least_variance : a latent whose variance is not above this is left out, as in factor_vae_score: of a collapsed
        latent the bias of counting is all there is, which looks modular.  The paper has no such rule, nor has
        disentanglement_lib (Locatello et al. 2019), whose numbers these are for codes that have no inactive latent.
    Raises ValueError or TypeError if data has no known factors, or encode gives NaN or another shape.
    """
    points, bins = require.whole("points", points, 100), require.whole("bins", bins, 2)
    require.number("least_variance", least_variance, least=0)
    names, sizes, values, codes = sample(encode, data, rng, points, factors, progress)
    variance = codes.var(axis=0)
    active = variance > np.maximum(least_variance, np.maximum(1e-12 * variance.max(), 1e-14 * codes.mean(axis=0) ** 2))
    information = binned_information(codes, values, sizes, bins)
    bias = (bins - 1) * (np.array(sizes) - 1) / (2 * points)
    each = modularity(information)
    chance = float(modularity(bias[:, None])[0])
    return ModularityScore(float(each[active].mean()) if active.any() else 0.0, chance, names, each, information, bias, active)


def modularity(information):
    """Eq. (MOD.1) of each column of I (K, Z): 1 less the squares of all but the largest over (K - 1) times its square."""
    squares = information**2
    largest = squares.max(axis=0)
    others = (squares.sum(axis=0) - largest) / (np.where(largest > 0, largest, 1) * (len(squares) - 1))
    return np.where(largest > 0, 1 - others, 0.0)


class Modularity(Score):
    name = "modularity"

    def draw(self, encode, data, rng, drawing):
        options = {"least_variance": drawing.least_variance, "progress": drawing.progress}
        yield "Modularity (Ridgeway and Mozer)", modularity_score(encode, data, rng, **options)

"""The score of Kim and Mnih 2018 (section 4): which latent stays still when one factor does?"""

from typing import NamedTuple

import numpy as np

from ..engine import require
from ..engine.bars import tqdm
from ..evaluation import ACTIVE_VARIANCE
from .codes import codes_of, known_factors, named_factors
from .score import Score


class FactorVAEScore(NamedTuple):
    """score, chance and train_score are fractions of votes; K factors, Z latents."""

    score: float  # of the test votes
    chance: float  # 1 / K
    standard_error: float  # of score, over the drawing of the test votes
    train_score: float
    factor_names: tuple
    votes: np.ndarray  # (K, Z): how often latent j varied least when factor k was fixed, in training
    variances: np.ndarray  # (K, Z): mean variance of latent j with factor k fixed, over its variance in the data
    active: np.ndarray  # (Z,): which latents may win a vote

    @property
    def per_factor(self):
        """(K,): of the training votes for factor k, the fraction by latents that stand for it."""
        right = self.votes.argmax(axis=0) == np.arange(len(self.votes))[:, None]
        return (self.votes * right).sum(axis=1) / np.maximum(self.votes.sum(axis=1), 1)

    @property
    def latents(self):
        """(K,): the latent that wins most votes when factor k is fixed."""
        return self.votes.argmax(axis=1)

    @property
    def panel(self):
        """(K, Z), and what large values mean."""
        return self.votes / np.maximum(self.votes.sum(axis=1, keepdims=True), 1), "share of votes"


def factor_vae_score(
    encode, data, rng, *, factors=None, votes=800, test_votes=800, L=200, least_variance=ACTIVE_VARIANCE, progress=True
):
    """Eq. (FVAE.1), the score of Kim and Mnih 2018 over these factors, by name; all of them if None.  A FactorVAEScore.

    Parameters
    ----------
    encode : function from images (N, D) to codes (N, Z), such as a model's encode (whose mu is taken)
    data : FactorDataset, or a split of one (the whole is used)
    rng : numpy.random.Generator
    factors : sequence of str, optional
    votes, test_votes : int
        Batches that the classifier learns from, and is judged on.
    L : int
        Images in a batch.
    least_variance : float
        A latent whose variance over 10,000 images is not above this has collapsed and cannot win: the active units of
        Burda et al. 2015, for codes on the scale of N(0, I).  On other scales, 0 leaves out constant latents alone.
        disentanglement_lib has a threshold on the standard deviation, 0 unless it is set, which leaves out none.
        If none is left, every vote is for no latent, and the classifier names the most frequent factor.

    Raises
    ------
    ValueError, TypeError
        If data has no known factors, or encode gives NaN or another shape.
    """
    data, rng = known_factors(data), require.rng(rng)
    chosen = named_factors(data, factors)
    votes, test_votes = require.whole("votes", votes, 10), require.whole("test_votes", test_votes, 10)
    require.whole("L", L, 2)
    require.number("least_variance", least_variance, least=0)
    codes = codes_of(encode, data, L * (votes + test_votes), progress)
    scale = codes(data.draw_factors(10_000, rng)).var(axis=0, ddof=1)
    active = scale > np.maximum(least_variance, 1e-12 * scale.max())  # a constant's variance is rounding, or 0
    fixed, relative = rng.integers(len(chosen), size=votes + test_votes), []
    for k in tqdm(fixed, desc="FactorVAE score", disable=not progress, leave=False):
        spread = codes(data.draw_fixed(L, rng, chosen[k])).var(axis=0, ddof=1)
        relative.append(np.where(active, spread / np.where(active, scale, 1), np.inf))
    relative = np.array(relative)
    still = relative.argmin(axis=1)  # where no latent is active, 0 for every vote
    table = np.zeros((2, len(chosen), len(scale)), int)
    for part, rows in enumerate((slice(votes), slice(votes, None))):
        np.add.at(table[part], (fixed[rows], still[rows]), 1)
    says = table[0].argmax(axis=0)  # (Z,): the factor that each latent's votes came from most often
    train_score, score = (part[says, np.arange(len(scale))].sum() / part.sum() for part in table)
    return FactorVAEScore(
        score=float(score),
        chance=1 / len(chosen),
        standard_error=float(np.sqrt(score * (1 - score) / test_votes)),
        train_score=float(train_score),
        factor_names=tuple(data.factor_names[k] for k in chosen),
        votes=table[0],
        variances=np.array([np.where(active, relative[fixed == k].mean(axis=0), np.nan) for k in range(len(chosen))]),
        active=active,
    )


class FactorVAEMetric(Score):
    name = "factor-vae"

    def draw(self, encode, data, rng, drawing):
        options = {"least_variance": drawing.least_variance, "progress": drawing.progress}
        yield "FactorVAE score", factor_vae_score(encode, data, rng, **options)

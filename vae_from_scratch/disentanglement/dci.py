"""Eastwood and Williams 2018: disentanglement, completeness, informativeness, from the weights of a lasso."""

from typing import NamedTuple

import numpy as np

from ..engine import require
from .codes import sample, standardise
from .score import Score

ALPHA = 0.02  # the lasso's price, as in the authors' code
SWEEPS, TOLERANCE = 1000, 1e-12  # of the descent: how many at most, and the largest change in the last


class DCIScore(NamedTuple):
    """K factors, Z latents."""

    score: float  # D: disentanglement's mean, each latent weighing as much as its row of importance
    chance: float  # 0, but for spurious weights: see remark
    factor_names: tuple
    per_factor: np.ndarray  # (K,): disentanglement of the latent that stands for factor k
    completeness: float  # C: the mean of complete
    importance: np.ndarray  # (K, Z): |weight| of z_j in the regression of factor k, both with variance 1
    disentanglement: np.ndarray  # (Z,): 1 if z_j serves one factor, 0 if it serves all alike or none
    complete: np.ndarray  # (K,): 1 if factor k is read from one latent, 0 if from all alike or from none
    nrmse: np.ndarray  # (K,): informativeness: the error on test points over the factor's standard deviation
    unsettled: float  # by how much the weights miss the lasso's conditions, Eq. (DCI.2): rounding, but for pixels

    @property
    def latents(self):
        """(K,): the latent with the largest weight for factor k."""
        return self.importance.argmax(axis=1)

    @property
    def panel(self):
        """(K, Z), and what large values mean."""
        return self.importance, "|weight| in the lasso"

    @property
    def spurious(self):
        """(K,): whether factor k has weights that predict less than 2 % of its variance on test points."""
        return (self.importance > 0).any(axis=1) & (self.nrmse > 0.99)

    @property
    def remark(self):
        """NRMSE, without which D and C mean little: one spurious weight alone has D = 1."""
        doubt = [name for name, spurious in zip(self.factor_names, self.spurious) if spurious]
        words = f"; weights that predict nothing: {', '.join(doubt)}" if doubt else ""
        if self.unsettled > 1e-6:
            words += f"; the lasso has not settled, its conditions are missed by {self.unsettled:.1g}"
        return f"NRMSE {self.nrmse.mean():.3f} (0 all told, 1 nothing)" + words


def dci_score(encode, data, rng, *, factors=None, alpha=ALPHA, points=10_000, test_points=5_000, progress=True):
    """Eqs. (DCI.3) and (DCI.4) over these factors, by name; all of them if None.  A DCIScore.

    Codes and factors are brought to mean 0 and variance 1, each factor is regressed on the codes by a lasso, and D, C
    are read from its weights.  As in the authors' code (qedr), but a latent or factor without a weight has 0 there,
    not 0/0, and alpha is one for all, not chosen factor by factor.  disentanglement_lib (Locatello et al. 2019) takes
    the importances of gradient-boosted trees, weighs C by columns, and gives accuracies: other numbers.
    encode : function from images (N, D) to codes (N, Z), such as a model's encode (whose mu is taken)
    points : images to learn from; test_points : to be judged on (nrmse).
    Raises ValueError or TypeError if data has no known factors, or encode gives NaN or another shape.
    """
    points, test_points = require.whole("points", points, 10), require.whole("test_points", test_points, 10)
    require.number("alpha", alpha, above=0)
    names, _, values, x = sample(encode, data, rng, points + test_points, factors, progress)
    x, y = standardise(x, points), standardise(values, points)
    W = lasso(x[:points], y[:points], alpha)
    R = np.abs(W)  # (Z, K), as in the paper
    D, C = concentration(R), concentration(R.T)
    left = y - x @ W
    missed, std = left[points:], y[points:].std(axis=0)
    return DCIScore(
        score=float(D @ R.sum(axis=1) / R.sum()) if R.any() else 0.0,
        chance=0.0,
        factor_names=names,
        per_factor=D[R.argmax(axis=0)],
        completeness=float(C.mean()),
        importance=R.T,
        disentanglement=D,
        complete=C,
        nrmse=np.sqrt((missed**2).mean(axis=0)) / np.where(std > 0, std, 1),
        unsettled=float(violation(W, x[:points].T @ left[:points] / points, alpha).max()),
    )


def lasso(x, y, alpha=ALPHA):
    """W (Z, K), the minimum of |y - x W|^2 / (2 N) + alpha |W|_1, Eq. (DCI.1): x (N, Z), y (N, K), columns of mean 0.

    Coordinate descent: one latent after another takes the weight that is best given the others, Eq. (DCI.2).  Between
    sweeps over all, those with a weight are swept until they settle.  Of equal columns the first takes all.
    """
    gram, c = x.T @ x / len(x), x.T @ y / len(x)
    W, varies = np.zeros_like(c), np.flatnonzero(np.diag(gram) > 0)
    turn = varies
    for _ in range(SWEEPS):
        change = 0.0
        for j in turn:
            before, size = W[j].copy(), gram[j, j]
            W[j] = soft(c[j] - gram[j] @ W + size * before, alpha) / size  # z_j times what the others leave of y
            change = max(change, np.abs(W[j] - before).max())
        if change < TOLERANCE and turn is varies:
            break
        turn = varies if change < TOLERANCE else np.flatnonzero(W.any(axis=1))
    return W


def violation(W, pull, alpha):
    """How far W (Z, K) is from the minimum: pull = z_j times what is left of y is alpha sign W, or within alpha at 0."""
    return np.where(W != 0, np.abs(pull - alpha * np.sign(W)), np.maximum(np.abs(pull) - alpha, 0))


def soft(r, alpha):
    """r brought nearer to 0 by alpha, and 0 where it is nearer than that, Eq. (DCI.2)."""
    return np.sign(r) * np.maximum(np.abs(r) - alpha, 0)


def concentration(weights):
    """1 - H(row) / log(columns) of weights >= 0, Eq. (DCI.3): 1 if one entry holds all; of a row of zeros 0."""
    total = weights.sum(axis=1)
    p = weights / np.where(total > 0, total, 1)[:, None]
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)
    return np.where(total > 0, 1 - entropy / max(np.log(weights.shape[1]), 1e-300), 0.0)  # one column: nothing to share


class DCI(Score):
    name = "dci"

    def draw(self, encode, data, rng, drawing):
        """D and C from one regression, each with NRMSE beside it."""
        options = {"points": drawing.points, "test_points": drawing.points // 2, "progress": drawing.progress}
        result = dci_score(encode, data, rng, **options)
        yield "DCI disentanglement, lasso (Eastwood and Williams)", result
        yield "DCI completeness, lasso", result._replace(score=result.completeness, per_factor=result.complete)

"""Kumar et al. 2018 (section 3): by how much does the best single latent predict a factor better than the next?"""

from typing import NamedTuple

import numpy as np

from ..engine import require
from .codes import sample, standardise
from .score import Score

C = 0.01  # of the support vector machine in disentanglement_lib


class SAPScore(NamedTuple):
    """K factors, Z latents."""

    score: float  # the mean of per_factor
    chance: float  # 0
    factor_names: tuple
    per_factor: np.ndarray  # (K,): the largest entry of the factor's row less the second largest
    predicts: np.ndarray  # (K, Z): R^2, or the accuracy, of factor k from z_j alone

    @property
    def latents(self):
        """(K,): the latent that predicts factor k best."""
        return self.predicts.argmax(axis=1)

    @property
    def panel(self):
        """(K, Z), and what large values mean."""
        return self.predicts, "R$^2$ or accuracy\nof one latent"


def sap_score(encode, data, rng, *, factors=None, classes=(), points=10_000, progress=True):
    """Eq. (SAP.1), as published, over these factors, by name; all of them if None.  An SAPScore.

    encode : function from images (N, D) to codes (N, Z), such as a model's encode (whose mu is taken)
    classes : names of the factors whose values have no order, such as "shape"; they are told by the best thresholds
        on a latent, and the balanced accuracy takes the place of R^2, Eq. (SAP.2).
    points : images drawn, on which both are fitted and judged.
    Raises ValueError or TypeError if data has no known factors, or encode gives NaN or another shape.
    """
    points = require.whole("points", points, 100)
    names, sizes, values, codes = sample(encode, data, rng, points, factors, progress)
    codes, Z = _with_a_rival(codes)
    for name in classes:
        require.choice("each of classes", name, names)
    predicts = (standardise(values, points).T @ standardise(codes, points) / points) ** 2
    for k in (names.index(name) for name in classes):
        predicts[k] = [balanced_accuracy(z, values[:, k], sizes[k]) for z in codes.T]
    return _gaps(names, predicts, Z)


def sap_svm(encode, data, rng, *, factors=None, points=10_000, test_points=5_000, progress=True):
    """Eq. (SAP.1) as in disentanglement_lib (Locatello et al. 2019): each factor told by a linear SVM.  An SAPScore.

    Its accuracy is not balanced and is that on test_points further images.  One plane for each value against the rest
    never names the values in the middle of a long range: a perfect code has 0.25 on dSprites.  It depends on the scale
    of codes, which are taken as they come.
    """
    points, test_points = require.whole("points", points, 100), require.whole("test_points", test_points, 10)
    names, sizes, values, codes = sample(encode, data, rng, points + test_points, factors, progress)
    codes, Z = _with_a_rival(codes)
    predicts = np.zeros((len(names), codes.shape[1]))
    for k, j in np.ndindex(predicts.shape):
        w, b = svm(codes[:points, j], values[:points, k], sizes[k])
        said = (codes[points:, j, None] * w + b).argmax(axis=1)
        predicts[k, j] = (said == values[points:, k]).mean()
    return _gaps(names, predicts, Z)


def balanced_accuracy(z, labels, classes):
    """The largest mean over classes of the fraction told by thresholds on z (N,), an interval for each, Eq. (SAP.2).

    The intervals follow the order of the classes' means, and one may be empty.  Exact: best[i] is the most that the
    first points can give to the classes so far, up to place i in order of z; where points tie no threshold can stand.
    """
    order, counts = np.argsort(z, kind="stable"), np.bincount(labels, minlength=classes)
    cuts = np.append(np.flatnonzero(np.diff(z[order], prepend=-np.inf)), len(z))
    means = np.bincount(labels, z, classes) / np.maximum(counts, 1)
    best, present = np.zeros(len(cuts)), counts > 0
    for c in [c for c in np.argsort(means) if present[c]]:
        told = np.append(0, np.cumsum(labels[order] == c))[cuts] / counts[c]  # of class c among the first i
        best = np.maximum.accumulate(best - told) + told
    return best[-1] / present.sum()


def svm(z, labels, classes):
    """w, b (K,) of one latent z (N,): squared hinge, b penalised as w is, positives weighted C N / (n_k N_c).

    Eq. (SAP.3), by Newton's method.  With z sorted, the points within the margin are a first or a last stretch, so sums
    over them come from running sums.  With two classes both sides are weighted.
    """
    n, (z, place) = len(z), np.unique(z, return_inverse=True)
    mine = np.bincount(place * classes + labels, minlength=len(z) * classes).reshape(len(z), classes)
    powers = z[:, None, None] ** np.arange(3)
    running = np.zeros((2, len(z) + 1, classes, 3))  # of 1, z, z^2 over the first values: those in the class, the others
    np.cumsum(mine[:, :, None] * powers, axis=0, out=running[0, 1:])
    np.cumsum((mine.sum(axis=1, keepdims=True) - mine)[:, :, None] * powers, axis=0, out=running[1, 1:])
    counts = np.maximum(mine.sum(axis=0), 1)
    cost = np.stack([C * n / (classes * counts), np.full(classes, C)])
    cost[1] = cost[0, ::-1] if classes == 2 else cost[1]
    every, sign = np.arange(classes), np.array([[1.0], [-1.0]])

    def value_slope_curvature(wb):
        w, b = wb
        inside = np.zeros((2, classes, 3))  # moments of the points with sign (w z + b) < 1
        for side in range(2):
            limit = np.where(w == 0, np.inf, (sign[side] - b) / np.where(w == 0, 1, w))
            below = np.searchsorted(z, limit)  # z < limit
            upto = running[side, below, every]
            first = w * sign[side] > 0  # else the last
            flat = sign[side] * b < 1  # of w = 0: all or none
            some = np.where(first[:, None], upto, running[side, -1] - upto)
            inside[side] = np.where((w == 0)[:, None], running[side, -1] * flat[:, None], some)
        s0, s1, s2 = (cost * inside[:, :, power] for power in range(3))
        value = (w * w + b * b) / 2 + (s0 * (1 - sign * b) ** 2 - 2 * (sign - b) * w * s1 + w * w * s2).sum(axis=0)
        slope = np.stack([w + 2 * (w * s2 - (sign - b) * s1).sum(axis=0), b + 2 * (w * s1 - (sign - b) * s0).sum(axis=0)])
        return value, slope, (1 + 2 * s2.sum(axis=0), 2 * s1.sum(axis=0), 1 + 2 * s0.sum(axis=0))

    wb = np.zeros((2, classes))
    value, slope, (ww, cross, bb) = value_slope_curvature(wb)
    for _ in range(100):
        step = -np.stack([bb * slope[0] - cross * slope[1], ww * slope[1] - cross * slope[0]]) / (ww * bb - cross**2)
        for _ in range(30):
            found = value_slope_curvature(wb + step)
            worse = found[0] > value + 1e-14 * (1 + value)
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
        wb = wb + step
        value, slope, (ww, cross, bb) = found
        if np.abs(step).max() < 1e-10:
            break
    return wb


def _with_a_rival(codes):
    """codes (N, Z) and Z; one latent alone gets a constant beside it, which knows nothing."""
    Z = codes.shape[1]
    return (np.pad(codes, ((0, 0), (0, 1))) if Z == 1 else codes), Z


def _gaps(names, predicts, Z):
    ranked = np.sort(predicts, axis=1)
    gaps = ranked[:, -1] - ranked[:, -2]
    return SAPScore(float(gaps.mean()), 0.0, names, gaps, predicts[:, :Z])


class SAP(Score):
    name = "sap"

    def draw(self, encode, data, rng, drawing):
        """As published, the shape being told by thresholds; and with the SVM of disentanglement_lib."""
        classes = tuple(name for name in data.factor_names if name not in drawing.without_shape)
        words = f"R^2, {', '.join(classes)} by thresholds" if classes else "R^2"
        yield f"SAP, {words} (Kumar et al.)", sap_score(encode, data, rng, classes=classes, progress=drawing.progress)
        options = {"points": drawing.points, "test_points": drawing.points // 2, "progress": drawing.progress}
        yield "SAP, linear SVM (Locatello et al.)", sap_svm(encode, data, rng, **options)

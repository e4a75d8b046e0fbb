"""Ridgeway and Mozer 2018, second half: can the values of a factor be read from the code by a linear classifier?"""

from typing import NamedTuple

import numpy as np

from .. import ops
from ..engine import require
from ..engine.bars import tqdm
from .codes import sample, standardise
from .score import Score

KINDS = ("softmax", "ovr")
STEPS, MEMORY, TOLERANCE = 200, 10, 1e-8  # of the minimiser: steps at most, pairs kept, least gradient per point


class ExplicitnessScore(NamedTuple):
    """K factors, Z latents."""

    score: float  # the mean of per_factor
    chance: float  # 1/2
    factor_names: tuple
    per_factor: np.ndarray  # (K,): the mean of the areas of factor k
    areas: tuple  # K arrays, an entry for each value: the area under its ROC curve on test points; NaN if none shows it
    weights: np.ndarray  # (K, Z): mean |weight| of z_j in the classifier of factor k, codes with variance 1

    @property
    def latents(self):
        """(K,): the latent with the largest weights for factor k."""
        return self.weights.argmax(axis=1)

    @property
    def panel(self):
        """(K, Z), and what large values mean."""
        return self.weights / np.maximum(self.weights.sum(axis=1, keepdims=True), 1e-300), "share of the weights"


def explicitness_score(
    encode, data, rng, *, kind="softmax", C=1.0, factors=None, points=10_000, test_points=5_000, progress=True
):
    """Eq. (EXPL.1) over these factors, by name; all of them if None.  An ExplicitnessScore.

    encode : function from images (N, D) to codes (N, Z), such as a model's encode (whose mu is taken)
    kind : "softmax", one classifier for all values of a factor; "ovr", one for each value against the rest, whose
        probabilities are then divided by their sum over values.  The paper has one against the rest and does not say
        that it divides; without that no value in the middle of a range can be told, see note 11.  disentanglement_lib
        (Locatello et al. 2019) takes scikit-learn's LogisticRegression, which is "ovr" up to its version 0.21, and
        then "softmax".
    C : how much the loss of a point weighs against |W|^2 / 2, as there.  Codes are brought to variance 1.
    points : images to learn from; test_points : to be judged on.
    Raises ValueError or TypeError if data has no known factors, or encode gives NaN or another shape.
    """
    points, test_points = require.whole("points", points, 10), require.whole("test_points", test_points, 10)
    require.choice("kind", kind, KINDS), require.number("C", C, above=0)
    names, sizes, values, x = sample(encode, data, rng, points + test_points, factors, progress)
    x, areas, weights = standardise(x, points), [], []
    for v, size in zip(tqdm(values.T, desc="explicitness", disable=not progress, leave=False), sizes):
        W, b = classifier(x[:points], v[:points], size, kind, C)
        said = probabilities(ops.dense_forward(x[points:], W, b), kind)
        areas.append(np.array([area(said[:, value], v[points:] == value) for value in range(size)]))
        weights.append(np.abs(W).mean(axis=1))
    each = np.array([found[~np.isnan(found)].mean() for found in areas])
    return ExplicitnessScore(float(each.mean()), 0.5, names, each, tuple(areas), np.array(weights))


def area(scores, positive):
    """The area under the ROC curve, Eq. (EXPL.2): the share of pairs that scores (N,) order rightly, ties counted half."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]  # 1 to N; those that tie share their mean
    n, others = positive.sum(), (~positive).sum()
    return (rank[positive].sum() - n * (n + 1) / 2) / (n * others) if n and others else np.nan


def probabilities(logits, kind):
    """Of each value, rows of sum one: the softmax of logits, or their sigmoids over the sum of these."""
    logs = logits if kind == "softmax" else -np.logaddexp(0, -logits)
    p = np.exp(logs - logs.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def classifier(x, labels, classes, kind="softmax", C=1.0):
    """W (Z, K), b (K,) that minimise C times the sum of cross-entropies + |W|^2 / 2: convex.

    "ovr" adds |b|^2 / 2, as the solver of scikit-learn's old default does.
    """
    targets, shape = np.eye(classes)[labels], (x.shape[1] + 1, classes)
    dnll, priced = np.full(len(x), C), np.ones(shape)
    priced[-1] = kind == "ovr"
    pair = (ops.bernoulli_nll_forward, ops.bernoulli_nll_backward)
    if kind == "softmax":
        pair = (ops.softmax_cross_entropy_forward, ops.softmax_cross_entropy_backward)

    def loss_and_gradient(params):
        both = params.reshape(shape)
        logits = ops.dense_forward(x, both[:-1], both[-1])
        loss = C * pair[0](logits, targets).sum() + (priced * both**2).sum() / 2
        dW, db = ops.dense_backward_params(pair[1](dnll, logits, targets), x)
        return loss, (np.vstack([dW, db]) + priced * both).ravel()

    found = lbfgs(loss_and_gradient, np.zeros(shape[0] * classes), TOLERANCE * C * len(x)).reshape(shape)
    return found[:-1], found[-1]


def lbfgs(loss_and_gradient, params, tolerance):
    """The minimum of a smooth convex function: L-BFGS with halved steps (Nocedal and Wright, Algorithm 7.4)."""
    loss, gradient = loss_and_gradient(params)
    pairs: list = []  # of (change of params, change of gradient), the last MEMORY
    for _ in range(STEPS):
        if np.abs(gradient).max() <= tolerance:
            break
        step = -gradient / (1 if pairs else np.abs(gradient).sum())
        kept = []
        for s, y in reversed(pairs):
            kept.append((s @ step) / (s @ y))
            step = step - kept[-1] * y
        if pairs:
            s, y = pairs[-1]
            step = step * (s @ y) / (y @ y)
        for (s, y), a in zip(pairs, reversed(kept)):
            step = step + (a - (y @ step) / (s @ y)) * s
        slope = gradient @ step
        new_loss, new_gradient = loss_and_gradient(params + step)
        while new_loss > loss + 1e-4 * slope and np.abs(slope) > 1e-12 * (1 + abs(loss)):
            step, slope = step / 2, slope / 2
            new_loss, new_gradient = loss_and_gradient(params + step)
        if not new_loss < loss:
            break  # what is left is rounding
        if step @ (new_gradient - gradient) > 0:
            pairs = [*pairs, (step, new_gradient - gradient)][-MEMORY:]
        params, loss, gradient = params + step, new_loss, new_gradient
    return params


class Explicitness(Score):
    name = "explicitness"

    def draw(self, encode, data, rng, drawing):
        options = {"points": drawing.points, "test_points": drawing.points // 2, "progress": drawing.progress}
        yield "Explicitness, softmax (Ridgeway and Mozer)", explicitness_score(encode, data, rng, **options)

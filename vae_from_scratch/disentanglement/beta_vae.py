"""The score of Higgins et al. 2017 (section 3): can a linear classifier say which factor two images share?"""

from typing import NamedTuple

import numpy as np

from .. import ops
from ..engine import require
from ..engine.bars import tqdm
from ..engine.batches import in_order
from ..optimizers import Adam
from .codes import codes_of, known_factors, named_factors
from .score import Score

STEPS, LR = 2000, 0.1  # of the classifier


class BetaVAEScore(NamedTuple):
    """score, chance and train_score are fractions of points; K factors, Z latents."""

    score: float  # of the test points
    chance: float  # 1 / K
    standard_error: float  # of score, over the drawing of the test points
    train_score: float
    factor_names: tuple
    confusion: np.ndarray  # (K, K): of the test points that share factor k, the fraction said to share each
    differences: np.ndarray  # (K, Z): mean |difference| where factor k is shared, over that of all points; 0 at a match

    @property
    def per_factor(self):
        """(K,): of the test points that share factor k, the fraction that are told."""
        return np.diag(self.confusion)

    @property
    def latents(self):
        """(K,): the latent that differs least where factor k is shared."""
        return self.differences.argmin(axis=1)

    @property
    def panel(self):
        """(K, Z), and what large values mean."""
        return 1 - self.differences, "fall of |difference|\nwhere shared"


def linear_classifier(x, labels, classes, steps=STEPS):
    """W (Z, K), b (K,) of the linear classifier x W + b that minimises the mean softmax cross-entropy of labels (N,).

    The loss is convex, so no start and no optimizer is better than another once it has converged, and the scale of a
    column of x changes nothing but how soon: here the columns are brought to mean 0 and variance 1.  Higgins et al. used
    Adagrad 0.01 until convergence; here Adam takes the whole set in each step, its rate falling linearly to 0.  On
    dSprites through an untrained network, 10,000 points, 500 steps and 10,000 ended at the same loss to five digits.
    Where a plane tells classes apart without an error the weights grow for ever, and only the fraction told settles.
    """
    mean, std = x.mean(axis=0), x.std(axis=0)
    std = np.where(np.ptp(x, axis=0) > 0, std, 1)  # of a constant rounding may leave more than 0
    x = (x - mean) / std
    params = {"W": np.zeros((x.shape[1], classes)), "b": np.zeros(classes)}
    adam = Adam(lr=lambda step: LR * (1 - step / steps))
    state, targets, share = adam.initial_state(params), np.eye(classes)[labels], np.full(len(x), 1 / len(x))
    for _ in range(steps):
        logits = ops.dense_forward(x, params["W"], params["b"])
        dlogits = ops.softmax_cross_entropy_backward(share, logits, targets)
        dW, db = ops.dense_backward_params(dlogits, x)
        adam.step(params, {"W": dW, "b": db}, state)
    W = params["W"] / std[:, None]
    return W, params["b"] - mean @ W


def beta_vae_score(
    encode, data, rng, *, factors=None, points=10_000, test_points=5_000, L=64, classifier=linear_classifier, progress=True
):
    """The score of Higgins et al. 2017; factors by name, all if None.  A BetaVAEScore.

    Parameters
    ----------
    encode : function from images (N, D) to codes (N, Z), such as a model's encode (whose mu is taken)
    data : FactorDataset, or a split of one (the whole is used)
    rng : numpy.random.Generator
    factors : sequence of str, optional
    points, test_points : int
        z_diff for the classifier to learn from, and to be judged on; these numbers and L are disentanglement_lib's.
    L : int
        Pairs averaged in one z_diff.  2 L (points + test_points) images are encoded, or all there are if fewer.
    classifier : function from z_diff (N, Z), labels (N,) and the number of classes K to W (Z, K) and b (K,)
        For a comparison with scores that came from another one.

    Raises
    ------
    ValueError, TypeError
        If data has no known factors, encode gives NaN, or it or the classifier another shape.

    >>> from vae_from_scratch import datasets
    >>> from vae_from_scratch.datasets.factors import FactorDataset
    >>> truth = FactorDataset("truth", lambda factors: factors / [3.0, 5.0], ("a", "b"), (4, 6), (1, 2))
    >>> rng = np.random.default_rng(0)
    >>> beta_vae_score(lambda images: images, truth, rng, points=50, test_points=50, progress=False).score
    1.0
    """
    options = {"points": points, "test_points": test_points, "L": L, "classifier": classifier, "progress": progress}
    return beta_vae_scores(encode, data, rng, [factors], **options)[0]


def beta_vae_scores(
    encode, data, rng, factor_sets, *, points=10_000, test_points=5_000, L=64, classifier=linear_classifier, progress=True
):
    """beta_vae_score for several sets of factors from one drawing: a list of BetaVAEScore.

    Factors are drawn from the union of the sets until each set has its points.  Those of a set are what drawing from
    it alone would have given: uniform over it, independent.
    """
    data, rng = known_factors(data), require.rng(rng)
    sets = [named_factors(data, names) for names in factor_sets]
    wanted = require.whole("points", points, 10) + require.whole("test_points", test_points, 10)
    union, shared = sorted(set().union(*sets)), np.empty(0, int)
    while any(np.isin(shared, chosen).sum() < wanted for chosen in sets):
        shared = np.append(shared, rng.choice(union, size=wanted))
    shared = shared[: max(np.flatnonzero(np.isin(shared, chosen))[wanted - 1] for chosen in sets) + 1]
    z_diff = differences(encode, data, rng, shared, require.whole("L", L), progress)
    results = []
    for chosen in sets:
        mine = np.flatnonzero(np.isin(shared, chosen))[:wanted]
        labels = np.searchsorted(sorted(chosen), shared[mine])
        names = tuple(data.factor_names[k] for k in sorted(chosen))
        results.append(judge(z_diff[mine], labels, points, names, classifier))
    return results


def differences(encode, data, rng, shared, L, progress):
    """z_diff (N, Z), Eq. (BETAVAE.1): each row the mean over L pairs that have in common the factor of shared (N,)."""
    codes = codes_of(encode, data, 2 * L * len(shared), progress)
    together = max(1, 2048 // L)
    z_diff = []
    for rows in tqdm(list(in_order(len(shared), together)), desc="beta-VAE score", disable=not progress, leave=False):
        pairs = [data.draw_pairs(L, rng, int(k)) for k in shared[rows]]
        first, second = (codes(np.concatenate(side)) for side in zip(*pairs))
        z_diff.append(np.abs(first - second).reshape(len(rows), L, -1).mean(axis=1))
    return np.concatenate(z_diff)


def judge(z_diff, labels, points, factor_names, classifier=linear_classifier):
    """Train the classifier on the first points rows, judge it on the others."""
    classes = len(factor_names)
    found = classifier(z_diff[:points], labels[:points], classes)
    shapes = [np.shape(part) for part in found] if isinstance(found, tuple) else type(found).__name__
    if shapes != [(z_diff.shape[1], classes), (classes,)]:
        raise ValueError(f"classifier must return W {(z_diff.shape[1], classes)} and b {(classes,)}, got {shapes}")
    W, b = found
    said = ops.dense_forward(z_diff, W, b).argmax(axis=1)
    right, test = said == labels, slice(points, None)
    score = right[test].mean()
    each = [labels == k for k in range(classes)]
    tested = np.array([np.bincount(said[test][mine[test]], minlength=classes) for mine in each])
    mean = z_diff.mean(axis=0)
    shared = np.array([z_diff[mine].mean(axis=0) if mine.any() else 0 * mean for mine in each])
    return BetaVAEScore(
        score=float(score),
        chance=1 / classes,
        standard_error=float(np.sqrt(score * (1 - score) / len(right[test]))),
        train_score=float(right[:points].mean()),
        factor_names=factor_names,
        confusion=tested / np.maximum(tested.sum(axis=1, keepdims=True), 1),
        differences=np.where(mean > 0, shared / np.where(mean > 0, mean, 1), 1),  # a constant latent matches nothing: 1
    )


class BetaVAEMetric(Score):
    name = "beta-vae"

    def draw(self, encode, data, rng, drawing):
        """Over all factors, and over all but the shape, from one drawing."""
        sets = [data.factor_names]
        if 1 < len(drawing.without_shape) < len(data.factor_names):
            sets.append(drawing.without_shape)
        options = {"points": drawing.points, "test_points": drawing.points // 2, "progress": drawing.progress}
        for chosen, result in zip(sets, beta_vae_scores(encode, data, rng, sets, **options)):
            yield f"beta-VAE score ({', '.join(chosen)})", result

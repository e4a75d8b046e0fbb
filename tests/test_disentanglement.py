"""Promise: each score is what its paper defines, exact where it can be, shows why, and refuses what it cannot score."""

import re

import numpy as np
import pytest
from helpers import refused, run, unsaid
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_from_scratch import VAE, Autoencoder, cli, datasets, ops, plots
from vae_from_scratch import disentanglement as d
from vae_from_scratch.cli import main
from vae_from_scratch.datasets.factors import FactorDataset
from vae_from_scratch.disentanglement import beta_vae, codes, dci, explicitness, mixtures, modularity, sap

NAMES, SIZES = ("shape", "size", "place"), (3, 4, 5)
SCORES = ("beta-vae", "factor-vae", "mig")  # those of this package; another test defines one of its own
QUIET = {"progress": False}


def itself(images):
    return images


def posterior(images):
    return images, np.full_like(images, -9)


def dataset(code=lambda factors: factors / np.array(SIZES), names=NAMES, sizes=SIZES):
    """A data set whose images are codes made of the factors."""
    return FactorDataset("codes", lambda factors: np.asarray(code(factors), float), names, sizes, (1, 1))


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- drawing and encoding ----------------------------------------------------------------------------


def test_z_diff_is_the_mean_difference_of_pairs_that_share_the_factor():
    data = dataset(lambda factors: factors * [1.0, 10.0, 100.0])
    z_diff = beta_vae.differences(itself, data, rng(), np.array([0, 1, 2, 2]), 400, False)
    assert z_diff[0, 0] == z_diff[1, 1] == z_diff[2, 2] == z_diff[3, 2] == 0
    uniform = [np.abs(np.subtract.outer(np.arange(n), np.arange(n))).mean() for n in SIZES]  # E|i - j|, drawn apart
    assert z_diff[0, 1:] == pytest.approx([10 * uniform[1], 100 * uniform[2]], rel=0.1)  # 400 pairs: 4 % each


def test_a_table_of_codes_changes_nothing():
    data, model = datasets.blobs("all", size=6, positions=9), VAE(36, (8,), 3, dtype="float64", seed=1)
    encode, table = d.encode_all(model.encode, data, progress=False)
    mu, logvar = encode(table[[3, 80]])
    np.testing.assert_allclose((mu, logvar), model.encode(data[[3, 80]]), rtol=1e-6)
    few, many = (codes.codes_of(model.encode, data, draws, False) for draws in (10, 1000))
    chosen = data.factors(np.array([5, 60, 7]))
    np.testing.assert_allclose(few(chosen), many(chosen), rtol=1e-6)
    np.testing.assert_allclose(few(chosen), model.encode(data[[5, 60, 7]])[0])


def test_a_split_is_scored_as_the_whole():
    whole, half = datasets.blobs("all", positions=4), datasets.blobs("train", positions=4)
    assert codes.known_factors(half).sizes == whole.sizes and len(codes.known_factors(half)) == 16


# ---- the beta-VAE score ------------------------------------------------------------------------------


def test_sets_of_factors_share_one_drawing_and_each_has_its_points(monkeypatch):
    seen = []
    judge = beta_vae.judge
    monkeypatch.setattr(beta_vae, "judge", lambda *args: seen.append(args[:4]) or judge(*args))
    sets = [NAMES, ("place", "size")]
    results = d.beta_vae_scores(itself, dataset(), rng(), sets, points=60, test_points=40, L=8, **QUIET)
    assert [result.factor_names for result in results] == [NAMES, ("size", "place")]
    assert [result.chance for result in results] == [1 / 3, 1 / 2]
    for (z_diff, labels, points, names), classes in zip(seen, (3, 2)):
        assert len(z_diff) == len(labels) == 100 and points == 60 and set(labels) == set(range(classes))
        for k, name in enumerate(names):
            assert (z_diff[labels == k, NAMES.index(name)] == 0).all()  # labels are those of the factor that is shared


def test_the_result_says_which_latent_is_which_factor():
    data = dataset(lambda factors: np.stack([factors[:, 2], factors[:, 0], factors[:, 1]], axis=1))
    result = d.beta_vae_score(itself, data, rng(), points=100, test_points=100, **QUIET)
    assert result.score == result.train_score == 1 and result.standard_error == 0
    assert list(result.latents) == [1, 2, 0] and list(result.per_factor) == [1, 1, 1]
    assert (result.differences[[0, 1, 2], [1, 2, 0]] == 0).all() and (result.confusion == np.eye(3)).all()


def test_the_classifier_has_converged():
    x = 3 + rng(1).normal(size=(150, 4)) * [1, 1, 0.2, 1e-3]
    labels = ((x - 3) @ rng(2).normal(size=(4, 3)) + rng(3).gumbel(size=(150, 3))).argmax(axis=1)  # noisy: one minimum
    W, b = beta_vae.linear_classifier(x, labels, 3)
    dlogits = ops.softmax_cross_entropy_backward(np.full(150, 1 / 150), x @ W + b, np.eye(3)[labels])
    assert np.abs(x.T @ dlogits).max() < 1e-6 and np.abs(dlogits.sum(axis=0)).max() < 1e-6
    assert 0.4 < ((x @ W + b).argmax(axis=1) == labels).mean() < 0.9


def test_the_classifier_leaves_a_constant_alone():
    x = rng(1).normal(size=(150, 2))
    labels = (x @ rng(2).normal(size=(2, 3)) + rng(3).gumbel(size=(150, 3))).argmax(axis=1)
    W, b = beta_vae.linear_classifier(x, labels, 3, steps=300)
    beside, _ = beta_vae.linear_classifier(np.column_stack([x, np.full(150, 0.3)]), labels, 3, steps=300)
    np.testing.assert_allclose(beside, np.vstack([W, np.zeros(3)]), atol=1e-8)


# ---- the FactorVAE score -----------------------------------------------------------------------------


def mostly_still(factors):
    # a first latent that says one thing of one image in sixty and nothing otherwise, beside the three factors
    return np.column_stack([1e-2 * (factors == 0).all(axis=1), factors / np.array(SIZES)])


def test_a_collapsed_latent_cannot_win_a_vote():
    data = dataset(mostly_still)
    pruned = d.factor_vae_score(itself, data, rng(), votes=200, test_votes=200, L=20, **QUIET)
    assert list(pruned.active) == [False, True, True, True] and pruned.score == 1 and (pruned.votes[:, 0] == 0).all()
    assert np.isnan(pruned.variances[:, 0]).all() and list(pruned.latents) == [1, 2, 3]
    kept = d.factor_vae_score(itself, data, rng(), votes=200, test_votes=200, L=20, least_variance=0, **QUIET)
    assert kept.active.all() and kept.votes[:, 0].sum() > 100 and kept.score < 0.8


def test_the_variance_of_a_latent_is_relative_to_its_own():
    data = dataset(lambda factors: factors * [1e3, 1.0, 0.2])
    result = d.factor_vae_score(itself, data, rng(), votes=200, test_votes=100, L=500, **QUIET)
    assert result.score == 1 and result.per_factor == pytest.approx(np.ones(3))
    assert result.variances == pytest.approx(1 - np.eye(3), abs=0.05)


# ---- the mutual information gap ----------------------------------------------------------------------


def test_histogram_information_against_its_definition():
    code = rng(5).normal(size=60)
    data = dataset(lambda factors: code[np.ravel_multi_index(factors.T, SIZES)][:, None] + np.zeros((1, 2)))
    result = d.mig_histogram(itself, data, rng(), points=None, bins=4, **QUIET)
    image = np.float32(code)  # images are float32
    bins = np.digitize(image, np.linspace(image.min(), image.max(), 5)[1:-1])
    factors = data.factors(np.arange(60))
    for k in range(3):
        joint = np.array([[((factors[:, k] == v) & (bins == b)).mean() for b in range(4)] for v in range(SIZES[k])])
        outer = np.outer(joint.sum(axis=1), joint.sum(axis=0))
        there = joint > 0
        assert result.information[k] == pytest.approx((joint[there] * np.log(joint[there] / outer[there])).sum())
    assert result.entropies == pytest.approx(np.log(SIZES)) and result.per_factor == pytest.approx(0)  # two latents alike


def test_chens_information_is_the_limit_of_many_samples():
    mu, logvar = rng(1).normal(size=(60, 2)), rng(2).uniform(-3, 0, size=(60, 2))
    data = dataset(lambda factors: np.ravel_multi_index(factors.T, SIZES)[:, None])

    def encode(images):
        rows = np.rint(images[:, 0]).astype(int)
        return mu[rows], logvar[rows]

    result = d.mig_chen(encode, data, rng(), **QUIET)
    assert result.factor_names == ("size", "place") and result.error < 1e-6
    n, draws = 60, 20_000
    origin, factors = rng(3).integers(n, size=draws), data.factors(np.arange(n))
    z = mu[origin] + np.exp(logvar[origin] / 2) * rng(4).standard_normal((draws, 2))
    for j in range(2):
        density = np.exp(-((z[:, j, None] - mu[:, j]) ** 2) / (2 * np.exp(logvar[:, j]))) / np.exp(logvar[:, j] / 2)
        for k, name in enumerate(("size", "place"), start=1):
            alike = factors[origin][:, [k]] == factors[:, k]
            ratios = np.log((density * alike).sum(axis=1) / alike.sum(axis=1) / density.mean(axis=1))
            found = result.information[k - 1, j]
            assert abs(ratios.mean() - found) < 4 * ratios.std() / np.sqrt(draws), name


def test_a_single_latent_has_nobody_to_rival_it():
    data = dataset(lambda factors: factors[:, [2]])
    result = d.mig_histogram(itself, data, rng(), points=None, **QUIET)
    assert result.per_factor == pytest.approx([0, 0, 1])


# ---- DCI: the lasso and what is read from its weights --------------------------------------------------


def correlated(n=300, latents=6, factors=3):
    x = rng(1).normal(size=(n, latents)) @ rng(2).normal(size=(latents, latents))
    y = x @ rng(3).normal(size=(latents, factors)) + rng(4).normal(size=(n, factors))
    return codes.standardise(x, n), codes.standardise(y, n)


@pytest.mark.parametrize("alpha", [1e-3, 0.02, 0.3])
def test_the_lasso_is_where_its_conditions_say(alpha):
    x, y = correlated()
    W = dci.lasso(x, y, alpha)
    pull = x.T @ (y - x @ W) / len(x)  # = alpha sign w where there is a weight, within alpha elsewhere
    assert pull[W != 0] == pytest.approx(alpha * np.sign(W[W != 0]), abs=1e-10)
    assert (np.abs(pull) <= alpha + 1e-10).all() and (W != 0).any()
    assert dci.violation(W, pull, alpha).max() < 1e-10 < dci.violation(1.01 * W, pull, 1.1 * alpha).max()
    if alpha == 0.3:
        assert (W == 0).any()

    def loss(W):
        return ((y - x @ W) ** 2).sum() / (2 * len(x)) + alpha * np.abs(W).sum()

    assert all(loss(W) < loss(W + 1e-3 * rng(seed).normal(size=W.shape)) for seed in range(20))


def test_orthogonal_columns_are_brought_nearer_to_0_by_alpha():
    x = np.linalg.qr(rng().normal(size=(50, 4)))[0] * np.sqrt(50)
    y = rng(1).normal(size=(50, 3))
    c = x.T @ y / 50
    assert dci.lasso(x, y, 0.1) == pytest.approx(np.where(np.abs(c) > 0.1, c - 0.1 * np.sign(c), 0), abs=1e-12)


def test_rows_are_latents_and_columns_are_factors():
    assert dci.concentration(np.array([[1, 1, 0.0, 0.0], [0, 0, 0, 3.0], [0, 0, 0, 0], [2, 2, 2, 2]])) == pytest.approx(
        [0.5, 1, 0, 0]
    )
    assert dci.concentration(np.array([[2.0], [0.0]])).tolist() == [1, 0]  # one column has it all
    data = dataset(lambda f: np.stack([f[:, 0] + 0.5 * f[:, 1] + f[:, 2], 0 * f[:, 0]], axis=1))
    shared = d.dci_score(itself, data, rng(), points=2000, test_points=100, **QUIET)
    assert shared.score < 0.3 and shared.completeness == 1  # one latent has all factors: bad for D, good for C
    two = dataset(lambda f: np.stack([f[:, 2] // 3, f[:, 2] % 3, f[:, 0], f[:, 1]], axis=1))
    spread = d.dci_score(itself, two, rng(), points=2000, test_points=100, alpha=0.05, **QUIET)
    assert spread.score > 0.99 and spread.complete[2] < 0.7 and spread.complete[:2] == pytest.approx([1, 1])
    assert spread.importance.shape == (3, 4) and list(spread.latents[:2]) == [2, 3] and spread.latents[2] in (0, 1)


def test_latents_without_a_weight_count_for_nothing():
    data = dataset(lambda f: np.stack([f[:, 2], np.ones(len(f)), f[:, 0] + 4 * f[:, 1]], axis=1))
    found = d.dci_score(itself, data, rng(), points=2000, test_points=100, alpha=0.1, **QUIET)
    assert found.disentanglement[1] == 0 and found.disentanglement[0] == 1
    weight = found.importance.sum(axis=0)
    assert weight[1] == 0 and found.score == pytest.approx(weight @ found.disentanglement / weight.sum())
    constant = d.dci_score(lambda x: 0 * x + 0.1, data, rng(), points=200, test_points=100, **QUIET)
    assert constant.score == constant.completeness == 0 and constant.nrmse == pytest.approx(np.ones(3), abs=0.03)


def test_informativeness_is_of_test_points():
    x, y = np.zeros((130, 2)), rng(1).normal(size=(130, 2))
    x[:100], x[100:] = y[:100], -y[100:]  # what was learned is wrong for the others
    values = np.digitize(y, [-0.5, 0.5])
    table = FactorDataset("t", lambda f: f, ("a", "b"), (3, 3), (1, 2))
    found = d.dci_score(lambda f: f - 1, table, rng(), points=1000, test_points=10, **QUIET)
    assert found.nrmse == pytest.approx([0.02, 0.02], abs=0.005) and found.unsettled < 1e-12
    W = dci.lasso(codes.standardise(x, 100)[:100], codes.standardise(values, 100)[:100])
    assert (np.diag(W) > 0.8).all()


def test_scale_order_and_sign_change_nothing():
    data, few = dataset(), {"points": 500, "test_points": 250, **QUIET}
    for score in (d.dci_score, d.explicitness_score):
        plain, other = (score(lambda x: x[:, order] * scale + move, data, rng(), **few) for order, scale, move in MOVES)
        assert other.score == pytest.approx(plain.score, abs=1e-6)
        assert list(np.array([1, 2, 0])[plain.latents]) == list(other.latents)
    for score in (d.sap_score, d.modularity_score):
        plain, other = (
            score(lambda x: x[:, order] * scale + move, data, rng(), points=500, **QUIET) for order, scale, move in MOVES
        )
        assert other.score == pytest.approx(plain.score, abs=1e-6)


MOVES = (([0, 1, 2], 4.0, 0.0), ([2, 0, 1], np.array([-2.0, 64.0, 8.0]), 3.0))


# ---- SAP ---------------------------------------------------------------------------------------------


def test_sap_is_the_gap_to_the_second():
    data = dataset(lambda f: np.stack([f[:, 2], f[:, 2] + f[:, 1], f[:, 0], f[:, 2] + 4 * f[:, 1]], axis=1))
    found = d.sap_score(itself, data, rng(), points=5000, **QUIET)
    variance = (np.array(SIZES) ** 2 - 1) / 12  # of size and place: 15/12, 24/12
    by_hand = np.array([1, variance[2] / variance[1:].sum(), 0, variance[2] / (variance[2] + 16 * variance[1])])
    assert found.predicts[2] == pytest.approx(by_hand, abs=0.03)
    assert found.per_factor[2] == pytest.approx(1 - by_hand[1], abs=0.03) and found.per_factor[0] == pytest.approx(1, abs=0.01)
    assert found.score == pytest.approx(found.per_factor.mean()) and found.latents.tolist() == [2, 3, 0]


def test_a_constant_latent_changes_no_sap_and_has_none_itself():
    codes = {1: lambda f: f[:, :1] * 1.0, 0: lambda f: 0.0 * f[:, :1]}
    for said, code in codes.items():
        alone, beside = (dataset(lambda f, more=more: np.hstack([code(f), 0 * code(f)])[:, :more]) for more in (1, 2))
        for score, options in ((d.sap_score, {"classes": NAMES[:1]}), (d.sap_svm, {"points": 200, "test_points": 100})):
            found = [score(itself, data, rng(), **options, **QUIET) for data in (alone, beside)]
            assert found[0].score == found[1].score and (found[0].score > 0.1) == bool(said), score
            assert found[0].predicts.shape == (3, 1) and found[1].predicts.shape == (3, 2)


def brute(z, labels, classes):
    """balanced_accuracy by trying every pair of thresholds, three classes."""
    cuts = np.append(np.unique(z) - 0.5, z.max() + 0.5)
    order = np.argsort([z[labels == c].mean() for c in range(classes)])
    found = 0
    for low in cuts:
        for high in cuts[cuts >= low]:
            said = order[(z > low).astype(int) + (z > high)]
            found = max(found, np.mean([(said[labels == c] == c).mean() for c in range(classes)]))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_are_the_best(seed):
    z, labels = rng(seed).integers(12, size=60).astype(float), rng(seed + 50).integers(3, size=60)
    z[labels == 1] += 4
    assert sap.balanced_accuracy(z, labels, 3) == pytest.approx(brute(z, labels, 3), abs=1e-12)


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    labels = np.repeat([0, 1], [90, 10])
    assert sap.balanced_accuracy(np.ones(100), labels, 2) == 0.5  # not 0.9
    z = np.repeat([0.0, 1.0, 2.0], [45, 45 + 5, 5])  # half of the frequent ties with half of the rare
    assert sap.balanced_accuracy(z, labels, 2) == pytest.approx(0.75)
    assert sap.balanced_accuracy(np.arange(100.0), labels, 4) == 1  # classes that do not occur are no matter


def test_the_svm_is_where_its_gradient_is_0():
    z, labels = rng().normal(size=80), rng(1).integers(4, size=80)
    z += labels
    wb = sap.svm(z, labels, 4)

    def loss(w, b, c):
        t = np.where(labels == c, 1, -1)
        cost = np.where(labels == c, sap.C * 80 / (4 * (labels == c).sum()), sap.C)
        return (w * w + b * b) / 2 + (cost * np.maximum(0, 1 - t * (w * z + b)) ** 2).sum()

    for c in range(4):
        w, b = wb[:, c]
        assert abs(loss(w + 1e-5, b, c) - loss(w - 1e-5, b, c)) / 2e-5 < 1e-8
        assert abs(loss(w, b + 1e-5, c) - loss(w, b - 1e-5, c)) / 2e-5 < 1e-8
    assert sap.svm(z, labels % 2, 2)[:, 0] == pytest.approx(-sap.svm(z, labels % 2, 2)[:, 1])  # one plane for two


def test_the_accuracy_of_the_svm_is_of_test_points():
    data = dataset(sizes=(2, 2, 2))
    assert d.sap_svm(lambda x: 40 * x, data, rng(), points=400, test_points=200, **QUIET).predicts.max() == 1
    one = d.sap_svm(lambda x: 0 * x, data, rng(), points=400, test_points=200, **QUIET)
    assert one.score == 0 and one.predicts == pytest.approx(0.5, abs=0.1)


# ---- modularity and explicitness -----------------------------------------------------------------------


def test_modularity_squares_and_divides_by_the_other_factors():
    information = np.array([[2.0, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 3]])
    assert modularity.modularity(information) == pytest.approx([1 - 1 / 8, 0, 0, 1])


def test_modularity_is_the_mean_over_active_latents():
    data = dataset(lambda f: np.stack([f[:, 2], f[:, 0] + 3 * f[:, 1], 0.01 * f[:, 1]], axis=1))
    found = d.modularity_score(itself, data, rng(), points=4000, **QUIET)
    H = np.log(SIZES)
    assert found.active.tolist() == [True, True, False]
    assert found.modularity[:2] == pytest.approx([1, 1 - H[0] ** 2 / (2 * H[1] ** 2)], abs=0.01)
    assert found.score == pytest.approx(found.modularity[:2].mean()) and found.latents.tolist() == [1, 1, 0]
    assert d.modularity_score(lambda x: 0 * x + 0.1, data, rng(), least_variance=0, points=100, **QUIET).score == 0


def test_the_area_counts_pairs_and_halves_ties():
    scores, positive = np.array([1.0, 2, 2, 3, 3, 3, 0]), np.array([0, 1, 0, 1, 0, 1, 0], bool)
    by_hand = np.mean([(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]])
    assert explicitness.area(scores, positive) == pytest.approx(by_hand) and by_hand not in (0.5, 1)
    assert explicitness.area(np.zeros(9), np.arange(9) < 3) == 0.5
    assert np.isnan(explicitness.area(scores, positive & False))


@pytest.mark.parametrize("kind", explicitness.KINDS)
def test_the_classifier_of_explicitness_has_converged(kind):
    x, labels = rng(1).normal(size=(90, 3)), rng(2).integers(4, size=90)
    x[:, 0] += labels
    W, b = explicitness.classifier(x, labels, 4, kind, C=2.0)

    def loss(W, b):
        logits, targets = x @ W + b, np.eye(4)[labels]
        if kind == "softmax":
            return 2 * (np.log(np.exp(logits).sum(axis=1)) - (logits * targets).sum(axis=1)).sum() + (W**2).sum() / 2
        return 2 * (np.logaddexp(0, logits) - logits * targets).sum() + (W**2).sum() / 2 + (b**2).sum() / 2

    for j, c in np.ndindex(4, 4):
        move = 1e-4 * (np.arange(16).reshape(4, 4) == 4 * j + c)
        slope = (loss(W + move[:3], b + move[3]) - loss(W - move[:3], b - move[3])) / 2e-4
        assert abs(slope) < 1e-4  # of sums over 90 points


def test_explicitness_divides_what_each_value_says_by_their_sum():
    data = dataset(sizes=(9, 9, 9))
    ovr = d.explicitness_score(itself, data, rng(), kind="ovr", points=900, test_points=300, **QUIET).score
    softmax = d.explicitness_score(itself, data, rng(), points=900, test_points=300, **QUIET).score
    assert 0.9 < ovr < softmax <= 1  # as they come, one against the rest: 0.78


def test_explicitness_of_nothing():
    few = {"points": 400, "test_points": 200, **QUIET}
    constant = d.explicitness_score(lambda x: 0 * x + 0.1, dataset(), rng(), **few)
    assert constant.score == 0.5 and (constant.panel[0] == 0).all()
    two = d.explicitness_score(lambda x: x[:, :2], dataset(), rng(), **few)
    assert two.per_factor[:2] == pytest.approx([1, 1]) and two.per_factor[2] == pytest.approx(0.5, abs=0.06)
    rare = d.explicitness_score(itself, dataset(sizes=(2, 2, 60)), rng(), points=60, test_points=30, **QUIET)
    assert np.isnan(rare.areas[2]).any() and np.isfinite(rare.score)  # values that no test image has


# ---- the parts of the KL -----------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 10_000))
def test_parts_sum_to_the_kl_and_none_is_negative(n, latents, seed):
    draw = rng(seed)
    mu, logvar = 2 * draw.normal(size=(n, latents)), draw.uniform(-8, 2, size=(n, latents))
    parts = d.kl_parts(mu, logvar, draw, samples=20)
    whole = parts.mutual_information + parts.total_correlation + parts.dimension_wise.sum()
    assert whole == pytest.approx(parts.kl, rel=1e-12)
    rounding = 1e-10 * (1 + parts.kl)
    assert min(parts.mutual_information, parts.total_correlation, *parts.dimension_wise, *parts.information) > -rounding
    assert parts.information.sum() == pytest.approx(parts.mutual_information + parts.total_correlation, abs=1e-6)
    assert parts.error < 1e-6


def test_a_std_too_small_for_the_grid_is_said():
    mu = rng().normal(size=(20, 2))
    assert d.kl_parts(mu, np.full_like(mu, -8.0), rng(), samples=20).error < 1e-6
    assert d.kl_parts(mu, np.full_like(mu, -20.0), rng(), samples=20).error > 1


def test_independent_latents_have_no_total_correlation():
    one = np.linspace(-1.5, 1.5, 12)
    mu = np.stack(np.meshgrid(one, one), axis=-1).reshape(-1, 2)
    parts = d.kl_parts(mu, np.full_like(mu, -3.0), rng(), samples=50)
    assert abs(parts.total_correlation) < 1e-12 and parts.standard_error < 1e-12
    assert parts.mutual_information == pytest.approx(parts.information.sum())


def test_a_latent_said_twice():
    one = np.linspace(-1.5, 1.5, 12)
    mu = np.stack([one, one], axis=1)
    parts = d.kl_parts(mu, np.full_like(mu, -3.0), rng(), samples=4000)
    # on a grid in two dimensions
    z = mixtures.grid(one, np.full(12, np.exp(-1.5)))
    each = mixtures.cells(z, one, np.full(12, np.exp(-1.5)))
    joint, marginal = np.einsum("na,nb->ab", each, each) / 12, each.mean(axis=0)
    correlation = mixtures.kl_rows(joint.reshape(1, -1), np.outer(marginal, marginal).reshape(1, -1))[0]
    assert abs(parts.total_correlation - correlation) < 4 * parts.standard_error < 0.1
    assert correlation > 1


def test_total_correlation_of_a_gaussian():
    n, rho = 1500, 0.8
    mu = rng().normal(size=(n, 2))
    mu = np.linalg.qr(mu - mu.mean(axis=0))[0] * np.sqrt(n)  # covariance exactly I
    mu = mu @ np.linalg.cholesky([[1, rho], [rho, 1]]).T * np.sqrt(0.5)
    parts = d.kl_parts(mu, np.full_like(mu, np.log(0.5)), rng(1), samples=1500)  # q(z) near N(0, [[1, .4], [.4, 1]])
    exact = -np.log(1 - (0.5 * rho) ** 2) / 2
    assert abs(parts.total_correlation - exact) < 4 * parts.standard_error + 0.005  # 1,500 data are no Gaussian
    assert parts.dimension_wise.sum() < 0.01


def test_the_standard_error_is_the_spread_over_seeds():
    mu = np.vstack([np.full((1, 3), 6.0), 0.3 * rng().normal(size=(30, 3))])  # one datum far away: draws differ much
    logvar = np.full_like(mu, -1.0)
    drawn = [d.kl_parts(mu, logvar, rng(seed), samples=400) for seed in range(80)]
    spread = np.std([parts.total_correlation for parts in drawn], ddof=1)
    assert 0.8 < spread / np.mean([parts.standard_error for parts in drawn]) < 1.25
    exact = d.kl_parts(mu, logvar, rng(99), samples=40_000)
    mean = np.mean([parts.total_correlation for parts in drawn])
    assert abs(mean - exact.total_correlation) < 4 * spread / np.sqrt(80)


# ---- representations that learned nothing -------------------------------------------------------------


def test_pca_finds_the_directions_of_largest_variance():
    basis = np.linalg.qr(rng().normal(size=(4, 4)))[0]
    data = dataset(lambda factors: (factors * [1.0, 2.0, 8.0]) @ basis[:3] + 5)
    z = d.baselines.pca(data, rng(), latents=2, images=400)(data[:])
    centred = data[:] - data[:].mean(axis=0)
    largest = np.linalg.eigvalsh(centred.T @ centred / len(data))[::-1][:2]
    assert z.var(axis=0) == pytest.approx(largest, rel=0.02)  # directions of a sample, not of all


def test_the_other_baselines():
    images = rng().uniform(size=(5, 7))
    assert d.baselines.raw_pixels()(images) is images
    z = d.baselines.random_projection(7, rng(), latents=3)
    assert z(images).shape == (5, 3) and z(2 * images) == pytest.approx(2 * z(images))
    model = VAE(7, (4,), 2, dtype="float64", seed=3)
    start = model.encode(images)[0].copy()
    for value in model.params.values():
        value += 1
    assert (d.baselines.untrained(model)(images)[0] == start).all()
    assert (d.baselines.untrained(model, seed=4)(images)[0] != start).any()


# ---- all of them -------------------------------------------------------------------------------------


def test_all_scores_and_their_figure():
    results = d.all_scores(posterior, dataset(), SCORES, repeats=2, points=100, progress=False)
    assert [len(drawn) for drawn in results.values()] == [2, 2, 2, 2, 1]  # Chen's is over all images: nothing is drawn
    again = d.all_scores(posterior, dataset(), ["mig", "mig"], repeats=2, seed=1, points=100, progress=False)
    assert [len(drawn) for drawn in again.values()] == [2, 1]
    assert list(d.all_scores(posterior, dataset(), "mig", repeats=1, points=100, progress=False)) == list(again)
    titles = [title for title in results if title.startswith("MIG")]
    first, second = (result.score for result in results[titles[0]])
    assert list(again) == titles and first != second and again[titles[0]][0].score not in (first, second)
    figure = plots.factor_matrices([d.panel(title, drawn[-1]) for title, drawn in results.items()])
    panels = figure.axes[:5]
    assert [ax.get_title() for ax in panels] == list(results)
    for ax, drawn in zip(panels, results.values()):
        assert [label.get_text() for label in ax.get_yticklabels()] == list(drawn[-1].factor_names)
        ks = [NAMES.index(name) for name in drawn[-1].factor_names]
        assert (ax.images[0].get_array().argmax(axis=1) == ks).all()  # dark where a latent is the factor
        assert (drawn[-1].latents == ks).all()


def test_an_autoencoder_has_no_posterior_to_draw_from():
    data = datasets.blobs("all", size=6, positions=6)
    results = d.all_scores(Autoencoder(36, (5,), 2).encode, data, ["mig"], repeats=1, points=100, progress=False)
    assert len(results) == 1


@pytest.mark.slow  # test_cli.py scores a run in the quick ones
def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.train, "draw_figures", lambda *args: args[4].mkdir())  # they are test_cli.py's
    run("train --data blobs --epochs 1 --latent-dim 3 --out run --quiet")
    run("score run --points 100 --repeats 2 --quiet")
    printed = capsys.readouterr().out
    for title in ("beta-VAE score (row, column)", "FactorVAE score", "MIG, 20-bin", "MIG, samples of q(z|x)"):
        assert title in printed
    for title in ("DCI disentanglement", "DCI completeness", "SAP, R^2 (", "SAP, linear SVM", "Modularity", "Explicitness"):
        assert title in printed
    assert len(re.findall(r"-?[01]\.\d{3} \+- 0\.\d{3} over 2 draws, chance 0\.\d{3}", printed)) == 9
    assert len(re.findall(r"^    NRMSE \d\.\d{3}", printed, re.M)) == 2  # beside D and beside C
    assert "from one draw" in printed and re.search(r"row -?\d\.\d{3} \(z\d\), column", printed)
    line = next(line for line in printed.splitlines() if line.startswith("KL "))
    numbers = re.match(r"KL (\S+) nats .*information (\S+) .*correlation (\S+) .*dimension-wise KL (\S+)", line)
    kl, information, correlation, dimension_wise = map(float, numbers.groups())
    assert information + correlation + dimension_wise == pytest.approx(kl, abs=0.02)
    assert (tmp_path / "run" / "figures" / "scores.png").exists()
    assert cli.main([*"score run --points 100 --repeats 1 --baselines --quiet --score".split(), "mig, dci"]) == 0  # as a list is written
    printed = capsys.readouterr().out
    assert re.search(r"^    DCI completeness, lasso: \d\.\d{3} from one draw; NRMSE \d", printed, re.M)
    assert all(f"\n{name}\n    MIG, 20-bin" in printed for name in ("untrained network", "PCA, 3 components", "pixels"))
    before = sorted(tmp_path.rglob("*"))
    for line, words in {
        "score run --score irs": "score beta-vae dci factor-vae mig 'irs'",
        "score run --points 5": "points 100 5",
        "score run --repeats 0": "repeats 1 0",
        "score run --seed -1": "seed 0 -1",
        "score nowhere": "nowhere model.npz",
    }.items():
        assert main(line.split()) == 2
        error = capsys.readouterr().err
        assert not unsaid(error, words) and error.count("\n") == 1, error
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace('"blobs"', '"digits"'))
    assert main("score run --quiet".split()) == 2
    assert not unsaid(capsys.readouterr().err, "'digits' factors")
    assert sorted(tmp_path.rglob("*")) == before


BAD = {  # what is done: (call, telling words)
    "no factors": (lambda: d.beta_vae_score(itself, datasets.digits(), rng()), "'digits' factors"),
    "an array": (lambda: d.factor_vae_score(itself, np.ones((9, 3)), rng()), "'ndarray' factors"),
    "one factor": (lambda: d.mig_histogram(itself, dataset(), rng(), factors=["size"]), "factors two|2 size"),
    "unknown factor": (lambda: d.beta_vae_score(itself, dataset(), rng(), factors=["size", "hue"]), "'hue' place"),
    "a factor twice": (lambda: d.mig_chen(posterior, dataset(), rng(), factors=["size"] * 2), "once|twice 'size'"),
    "encode no function": (lambda: d.mig_histogram(3, dataset(), rng()), "encode function|callable 3"),
    "one dimension": (
        lambda: d.mig_histogram(lambda images: images[:, 0], dataset(), rng(), **QUIET),
        "encode (N, Z) 3) float32",
    ),
    "too few rows": (lambda: d.beta_vae_score(lambda x: x[:-1], dataset(), rng(), **QUIET), "encode (N, Z)"),
    "no latent": (lambda: d.mig_histogram(lambda x: x[:, :0], dataset(), rng(), **QUIET), "encode (N, Z) 0)"),
    "integers": (lambda: d.factor_vae_score(lambda x: x.astype(int), dataset(), rng(), **QUIET), "encode floats int64"),
    "three arrays": (lambda: d.mig_chen(lambda x: (x, x, x), dataset(), rng(), **QUIET), "encode (N, Z) float32"),
    "NaN": (lambda: d.beta_vae_score(lambda x: x * np.nan, dataset(), rng(), **QUIET), "encode NaN"),
    "no posterior": (lambda: d.mig_chen(itself, dataset(), rng(), **QUIET), "mig_chen q(z|x)"),
    "rng a seed": (lambda: d.beta_vae_score(itself, dataset(), 0), "rng numpy.random.Generator 0"),
    "few points": (lambda: d.beta_vae_score(itself, dataset(), rng(), points=3), "points 10 3"),
    "few test points": (lambda: d.beta_vae_score(itself, dataset(), rng(), test_points=0), "test_points 10 0"),
    "a classifier of one array": (
        lambda: d.beta_vae_score(itself, dataset(), rng(), classifier=lambda x, *_: x, **QUIET),
        "classifier W (3, 3) b (3,) ndarray",
    ),
    "a classifier the other way round": (
        lambda: d.beta_vae_score(itself, dataset(), rng(), classifier=lambda x, *_: (x[0], x[:3]), **QUIET),
        "classifier W (3, 3) b (3,) [(3,), (3, 3)]",
    ),
    "no pairs": (lambda: d.beta_vae_score(itself, dataset(), rng(), L=0), "L 1 0"),
    "a batch of one": (lambda: d.factor_vae_score(itself, dataset(), rng(), L=1), "L 2 1"),
    "few votes": (lambda: d.factor_vae_score(itself, dataset(), rng(), votes=1), "votes 10 1"),
    "few images": (lambda: d.mig_histogram(itself, dataset(), rng(), points=7), "points 100 7"),
    "one bin": (lambda: d.mig_histogram(itself, dataset(), rng(), bins=1), "bins 2 1"),
    "variance": (lambda: d.factor_vae_score(itself, dataset(), rng(), least_variance=-1), "least_variance 0 -1"),
    "unknown score": (lambda: d.all_scores(itself, dataset(), ["irs"]), "score beta-vae factor-vae mig 'irs'"),
    "no price": (lambda: d.dci_score(itself, dataset(), rng(), alpha=0), "alpha > 0 0"),
    "few to regress": (lambda: d.dci_score(itself, dataset(), rng(), points=2), "points 10 2"),
    "none to judge on": (lambda: d.dci_score(itself, dataset(), rng(), test_points=0), "test_points 10 0"),
    "NaN in DCI": (lambda: d.dci_score(lambda x: x * np.nan, dataset(), rng(), **QUIET), "encode NaN"),
    "unknown class": (lambda: d.sap_score(itself, dataset(), rng(), classes=["hue"], **QUIET), "classes 'hue' shape"),
    "few for R^2": (lambda: d.sap_score(itself, dataset(), rng(), points=50), "points 100 50"),
    "no test of the SVM": (lambda: d.sap_svm(itself, dataset(), rng(), test_points=1), "test_points 10 1"),
    "one bin of modularity": (lambda: d.modularity_score(itself, dataset(), rng(), bins=1), "bins 2 1"),
    "negative variance": (lambda: d.modularity_score(itself, dataset(), rng(), least_variance=-1), "least_variance 0 -1"),
    "unknown classifier": (lambda: d.explicitness_score(itself, dataset(), rng(), kind="svm"), "kind softmax ovr 'svm'"),
    "no data": (lambda: d.explicitness_score(itself, dataset(), rng(), C=0), "C > 0 0"),
    "no factors to explicate": (lambda: d.explicitness_score(itself, datasets.digits(), rng()), "'digits' factors"),
    "shapes differ": (lambda: d.kl_parts(np.ones((3, 2)), np.ones((3, 1)), rng()), "mu logvar (3, 2) (3, 1)"),
    "NaN in logvar": (lambda: d.kl_parts(np.ones((3, 2)), np.full((3, 2), np.nan), rng()), "logvar NaN"),
    "pca of too few": (lambda: d.baselines.pca(dataset(), rng(), latents=10, images=5), "images 11 5"),
    "more than there are": (lambda: d.baselines.pca(dataset(), rng(), latents=10), "latents 3 10"),
    "one value": (lambda: d.mig_histogram(itself, dataset(sizes=(1, 4, 5)), rng()), "shape one|1 value"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input(what):
    call, words = BAD[what]
    with refused(words):
        call()


TRUTH = FactorDataset("truth", lambda factors: factors / [3.0, 5.0], ("shape", "x"), (4, 6), (1, 2))


def test_a_constant_latent_is_nobodys_match():
    """Up to rounding: it names no factor, wins no vote and takes nothing from the gap."""
    rng, few = np.random.default_rng(0), {"points": 50, "test_points": 50, "progress": False}
    zero_first = d.beta_vae_score(lambda x: np.hstack([0 * x[:, :1], x]), TRUTH, rng, **few)
    assert zero_first.latents.tolist() == [1, 2]

    def nearly(x):
        return np.hstack([x, 1e-8 * rng.random((len(x), 1))])

    plain, more = (d.mig_histogram(e, TRUTH, np.random.default_rng(0)).score for e in (lambda x: x, nearly))
    assert more == plain
    votes = d.factor_vae_score(nearly, TRUTH, rng, least_variance=0.0, progress=False)
    assert votes.active.tolist() == [True, True, False]


def test_shape_and_one_other_factor_can_be_scored():
    found = d.all_scores(lambda x: (x, x - 5), TRUTH, SCORES, repeats=1, points=100, progress=False)
    expected = ["beta-VAE score", "FactorVAE score", "MIG, 20-bin histogram of means"]
    assert [name.split(" (")[0] for name in found] == expected


def test_a_latent_that_holds_every_factor_has_a_full_gap():
    """What note 11 says of one line: MIG does not ask whether a latent speaks of one factor, FactorVAE's score does."""
    line = FactorDataset("line", lambda f: 2.0 * f[:, :1] + f[:, 1:] - 1.5, ("a", "b"), (2, 2), (1, 1))

    def encode(x):
        return np.hstack([x, 0 * x]), np.tile(2 * np.log([0.25, 1.0]), (len(x), 1))

    assert d.mig_histogram(encode, line, np.random.default_rng(0), **QUIET).score == pytest.approx(1, abs=0.005)
    assert d.mig_chen(encode, line, np.random.default_rng(0), **QUIET).score == pytest.approx(0.91, abs=0.005)
    assert d.factor_vae_score(encode, line, np.random.default_rng(0), **QUIET).score == pytest.approx(0.5, abs=0.06)

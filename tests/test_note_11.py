"""Promise: note 11's claims on turned latents, the classifier, the scores and the parts of the KL hold."""

import re
from statistics import NormalDist

import numpy as np
import pytest
from helpers import joined, note, printed_by, table, tables

from vae_from_scratch import VAE, ops
from vae_from_scratch import disentanglement as d
from vae_from_scratch.datasets.factors import FactorDataset
from vae_from_scratch.disentanglement import beta_vae, mixtures

NOTE = note(11)
FLAT = joined(NOTE)
EXACT = 1e-12  # relative: a few hundred operations in double precision (2e-16 each)


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- turned latents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["DIS.1"])
def test_a_turn_of_the_latents_is_not_seen_by_the_data(equation):
    x = rng(1).uniform(size=(3, 4)).round()
    angle = 0.7
    U = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    models = [VAE(4, (), 2, decoder_hidden=(6,), dtype="float64", seed=2) for _ in range(2)]
    W = models[0].params["decoder_W1"].copy()
    models[0].params["decoder_W1"], models[1].params["decoder_W1"] = 3 * W, U.T @ (3 * W)
    grid = np.linspace(-7, 7, 141)
    z = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    prior = np.exp(-(z**2).sum(axis=1) / 2) / (2 * np.pi) * (grid[1] - grid[0]) ** 2
    likelihoods = []
    for model in models:
        out = model.decoder.forward(ops, model.params, z)[-1]
        each = [np.exp(-ops.bernoulli_nll_forward(out, np.tile(row, (len(z), 1)))) for row in x]
        likelihoods.append(np.array(each) @ prior)
    assert likelihoods[1] == pytest.approx(likelihoods[0], rel=1e-9)  # quadrature
    codes = rng(3).normal(size=(5, 2))
    np.testing.assert_allclose(models[1].decode(codes @ U), models[0].decode(codes), rtol=EXACT)
    assert np.abs(models[1].decode(codes) - models[0].decode(codes)).max() > 0.1  # yet they are two models


# ---- softmax cross-entropy ---------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["SOFTMAX.3"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_cross_entropy_is_minus_the_log_of_the_softmax(equation, dtype):
    logits, targets = rng().normal(size=(6, 4)).astype(dtype), rng(1).dirichlet(np.ones(4), size=6).astype(dtype)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    nll = ops.softmax_cross_entropy_forward(logits, targets)
    assert nll.dtype == dtype
    drawn = np.float64 if dtype == np.longdouble else dtype  # targets sum to one in double
    np.testing.assert_allclose(nll, -(targets * np.log(probs)).sum(axis=1), rtol=100 * np.finfo(drawn).eps)
    moved = ops.softmax_cross_entropy_forward(logits + dtype(8), targets)
    np.testing.assert_allclose(moved, nll, rtol=1e-5 if dtype == np.float32 else EXACT)


def test_cross_entropy_is_exact_at_any_logit():
    logits = np.array([[800.0, -800.0, 0.0], [800.0, -800.0, 0.0], [40.0, 0.0, 0.0], [-1e4, -1e4, -1e4]])
    nll = ops.softmax_cross_entropy_forward(logits, np.eye(3)[[0, 1, 0, 2]])
    np.testing.assert_allclose(nll, [0, 1600, 2 * np.exp(-40), np.log(3)], rtol=1e-12)
    dlogits = ops.softmax_cross_entropy_backward(np.ones(4), logits, np.eye(3)[[0, 1, 0, 2]])
    np.testing.assert_allclose(dlogits[:2], [[0, 0, 0], [1, -1, 0]], atol=1e-300)


def test_two_classes_are_the_bernoulli():
    logit, x = rng().normal(size=(5, 1)), rng(1).uniform(size=(5, 1))
    pair = ops.softmax_cross_entropy_forward(np.hstack([logit, 0 * logit]), np.hstack([x, 1 - x]))
    np.testing.assert_allclose(pair, ops.bernoulli_nll_forward(logit, x), rtol=EXACT)


def test_the_loss_of_a_linear_classifier_is_convex():
    x, targets = rng().normal(size=(20, 3)), np.eye(4)[rng(1).integers(4, size=20)]
    for seed in range(20):
        one, two = rng(seed).normal(size=(2, 3, 4)) * 3
        loss = [ops.softmax_cross_entropy_forward(x @ W, targets).mean() for W in (one, (one + two) / 2, two)]
        assert loss[1] <= (loss[0] + loss[2]) / 2


# ---- calibration: the note's table -------------------------------------------------------------------

NAMES = ("shape", "scale", "orientation", "posX", "posY")
SIZES, SMALL = np.array([3, 6, 40, 32, 32]), np.array([3, 4, 5, 6, 6])
MIX, NOISE = rng(3).normal(size=(5, 10)), rng(4).normal(size=(np.prod(SIZES), 5))
POSITIONS = [3, 4]


def even(factors, sizes):
    """Each factor's values evenly spaced, mean 0 and variance 1."""
    return (factors - (sizes - 1) / 2) / np.sqrt((sizes**2 - 1) / 12)


def turned(factors, sizes):
    z = even(factors, sizes)
    z[:, POSITIONS] = z[:, POSITIONS] @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    return z


CODES = {
    "the factors": even,
    "permuted and rescaled": lambda f, sizes: even(f, sizes)[:, [4, 2, 0, 3, 1]] * [0.5, 3, -1, 2, -0.5],
    "posX and posY turned by 45 degrees": turned,
    "posX twice": lambda f, sizes: np.column_stack([even(f, sizes), even(f, sizes)[:, 3]]),
    "posX missing": lambda f, sizes: even(f, sizes)[:, [0, 1, 2, 4]],
    "noise": lambda f, sizes: NOISE[np.ravel_multi_index(f.T, sizes)],
    "a constant": lambda f, sizes: np.ones((len(f), 5)),
    "tanh of a random mixture": lambda f, sizes: np.tanh(even(f, sizes) @ MIX / 2),
}


def calibrate(code):
    """The five scores of a code, as the note says."""
    large, small = (FactorDataset("codes", lambda f, s=s: code(f, s), NAMES, tuple(s), (1, 1)) for s in (SIZES, SMALL))
    quiet, draws = {"progress": False}, rng()
    five, four = d.beta_vae_scores(lambda x: x, large, draws, [NAMES, NAMES[1:]], points=600, test_points=400, **quiet)
    factor_vae = d.factor_vae_score(lambda x: x, large, draws, votes=400, test_votes=400, L=100, **quiet)
    histogram = d.mig_histogram(lambda x: x, large, draws, **quiet)
    chen = d.mig_chen(lambda x: (x, np.full_like(x, -10)), small, draws, **quiet)
    return five, four, factor_vae, histogram, chen


def test_the_table_names_every_code():
    for head in ("code | beta-VAE", "code | DCI"):
        assert [row[0] for row in table(NOTE, head)] == list(CODES)


SOON = ("posX and posY turned by 45 degrees", "posX missing")  # the others with the slow tests


@pytest.mark.parametrize(
    "name, cells",
    [
        pytest.param(name, cells, marks=[] if name in SOON else pytest.mark.slow)
        for name, *cells in table(NOTE, "code | beta-VAE")
    ],
)
def test_calibration(name, cells):
    for cell, result in zip(cells, calibrate(CODES[name]), strict=True):
        expected, measured = cell.split(" / ")
        assert abs(result.score - float(measured)) < 0.011  # other processors round otherwise: a vote or two
        if expected != "?":
            noise = np.sqrt(result.chance * (1 - result.chance) / 400) if result.chance else 0.0025
            assert abs(result.score - float(expected)) < 4 * noise, (name, cell)


@pytest.mark.parametrize("equation", ["MIG.2"])
def test_twenty_bins_cannot_tell_forty_values(equation):
    expected = []
    for k in SIZES:
        bin_of = np.digitize(np.arange(k), np.linspace(0, k - 1, 21)[1:-1])
        counts = np.bincount(bin_of)
        counts = counts[counts > 0]
        expected.append(1 - (counts * np.log(counts)).sum() / k / np.log(k))
    assert expected == pytest.approx([1, 1, np.log(20) / np.log(40), 0.85, 0.85])
    assert np.mean(expected) == pytest.approx(0.902, abs=5e-4)
    data = FactorDataset("codes", lambda f: even(f, SIZES[2:4]), ("a", "b"), (40, 32), (1, 2))
    result = d.mig_histogram(lambda x: x, data, rng(), points=None, progress=False)
    assert result.per_factor == pytest.approx(expected[2:4], rel=1e-9)
    printed = re.search(r"I / H = \\log 20 / \\log 40 = ([\d.]+)", FLAT)[1]
    assert float(printed) == pytest.approx(expected[2], abs=5e-4)
    # all values but one in one bin
    far = FactorDataset("codes", lambda f: np.where(f == 5, 1000.0, f), ("a", "b"), (6, 6), (1, 2))
    assert d.mig_histogram(lambda x: x, far, rng(), points=None, progress=False).score < 0.3


@pytest.mark.parametrize("size", [21, 41])
def test_a_value_on_the_edge_of_two_bins_counts_alike_whatever_the_scale(size):
    data = FactorDataset("codes", lambda f: f, ("a", "b"), (size, 2), (1, 2))
    scales = (lambda x: x, lambda x: 0.1 * x, lambda x: x / 7 + 0.3, lambda x: np.float32(0.7) * x, lambda x: -x)
    scores = [d.mig_histogram(scale, data, rng(), points=None, progress=False).information for scale in scales]
    assert np.ptp(scores, axis=0).max() < 1e-12


def test_noise_seems_to_say_what_the_error_says():
    data = FactorDataset("codes", lambda f: CODES["noise"](f, SIZES), NAMES, tuple(SIZES), (1, 5))
    result = d.mig_histogram(lambda x: x, data, rng(), progress=False)
    printed = re.search(r"= ([\d.]+)`\$ nats for noise and orientation", FLAT)[1]
    assert float(printed) == pytest.approx(result.error, abs=5e-4)
    said = result.information[2]  # of the orientation; Gaussian codes leave the outer bins nearly empty
    assert 0.5 * result.error < said.mean() < 1.1 * result.error


# ---- calibration: regressions and classifiers ---------------------------------------------------------

ITSELF, QUIET = lambda x: x, {"progress": False}


def codes_of(code, sizes=SIZES):
    return FactorDataset("codes", lambda f: code(f, np.array(sizes)), NAMES[: len(sizes)], tuple(sizes), (1, 1))


def regressions(code):
    """What the note's second table gives of a code, but for the classifiers."""
    data = codes_of(code)
    dci = d.dci_score(ITSELF, data, rng(), **QUIET)
    sap, modularity = (score(ITSELF, data, rng(), **QUIET).score for score in (d.sap_score, d.modularity_score))
    return {"DCI, D": dci.score, "C": dci.completeness, "NRMSE": dci.nrmse.mean(), "SAP, R²": sap, "modularity": modularity}


def classifiers(code):
    """The other columns."""
    data, score = codes_of(code), d.explicitness_score
    kinds = {f"explicitness, {kind}": score(ITSELF, data, rng(), kind=kind, **QUIET).score for kind in ("softmax", "ovr")}
    return {"SAP, SVM": d.sap_svm(ITSELF, data, rng(), **QUIET).score, **kinds}


def second_table():
    (head, rows) = next((head, rows) for head, rows in tables(NOTE) if head.startswith("| code | DCI"))
    names = [*map(str.strip, head.strip("|").split("|"))][1:]
    return [(code, dict(zip(names, cells, strict=True))) for code, *cells in rows]


def check_row(found, printed):
    for column, value in found.items():
        expected, measured = printed[column].split(" / ")
        assert abs(value - float(measured)) < 0.0015, (column, value, measured)  # other processors round otherwise
        assert expected == "?" or abs(value - float(expected)) < 0.01, (column, value, expected)  # 10,000 images


@pytest.mark.parametrize("name, printed", second_table())
def test_calibration_of_regressions(name, printed):
    check_row(regressions(CODES[name]), printed)


@pytest.mark.slow
@pytest.mark.parametrize("name, printed", second_table())
def test_calibration_of_classifiers(name, printed):
    check_row(classifiers(CODES[name]), printed)


KNOWN = {  # of other implementations, other draws of 10,000 + 5,000 points: D, C, NRMSE, R^2, SVM, modularity, softmax, OvR
    "the factors": (1, 1, 0.02, 1, 0.250, 1, 0.988, 0.940),
    "posX and posY turned by 45 degrees": (0.792, 0.828, 0.023, 0.6, 0.239, 0.9, 0.987, 0.940),
    "posX twice": (1, 1, 0.02, 0.8, 0.244, 1, 0.989, 0.940),
    "posX missing": (1, 0.8, 0.216, 0.8, 0.244, 1, 0.893, 0.863),
    "noise": (None, None, 1, 0, 0.004, 0.680, 0.5, 0.5),
    "a constant": (0, 0, 1, 0, 0, 0, 0.5, 0.5),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_table_is_what_others_found(name):
    """Lasso, SVM and logistic regression of scikit-learn, and the formulas by hand."""
    printed = dict(second_table())[name]
    columns = ("DCI, D", "C", "NRMSE", "SAP, R²", "SAP, SVM", "modularity", "explicitness, softmax", "explicitness, ovr")
    for column, known in zip(columns, KNOWN[name]):
        if known is not None:
            far = 0.01 if name == "noise" else 0.006
            assert float(printed[column].split(" / ")[1]) == pytest.approx(known, abs=far), column


def test_turned_by_hand():
    weight = 1 / np.sqrt(2) - 0.02
    spread = 1 - np.log(2) / np.log(5)
    D = (3 * 0.98 + 2 * 2 * weight * spread) / (3 * 0.98 + 2 * 2 * weight)
    found = regressions(turned)
    assert found["DCI, D"] == pytest.approx(D, abs=2e-3) and D == pytest.approx(0.792, abs=5e-4)
    assert found["C"] == pytest.approx((3 + 2 * spread) / 5, abs=2e-3)
    assert (2 * weight, spread) == pytest.approx((1.374, 0.569), abs=5e-4)
    assert all(number in FLAT for number in ("1.374", "= 0.569", "D = 0.792, C = 0.828"))


def test_the_shape_as_a_class():
    found = d.sap_score(ITSELF, codes_of(even), rng(), classes=["shape"], **QUIET).score
    assert found == pytest.approx((4 + 2 / 3) / 5, abs=0.006) and "factors have 0.93" in FLAT


@pytest.mark.parametrize("equation", ["MOD.2"])
def test_noise_looks_modular(equation):
    counted = (SIZES - 1) * 19 / 20_000
    predicted = 1 - (np.sort(counted**2)[:-1]).sum() / (4 * counted.max() ** 2)
    assert predicted == pytest.approx(0.679, abs=5e-4) and "= 0.679`$" in FLAT
    found = d.modularity_score(ITSELF, codes_of(CODES["noise"]), rng(), **QUIET)
    assert found.chance == pytest.approx(predicted) and found.bias == pytest.approx(counted)
    assert found.score == pytest.approx(predicted, abs=0.02)
    assert found.information.mean(axis=1) == pytest.approx(counted, rel=0.4)  # Gaussian codes leave outer bins empty
    assert "no more than noise: z0, z1, z2, z3, z4" in found.remark
    collapsed = codes_of(lambda f, sizes: np.column_stack([even(f, sizes), 0.05 * CODES["noise"](f, sizes)]))
    left = d.modularity_score(ITSELF, collapsed, rng(), **QUIET)
    assert left.active.tolist() == 5 * [True] + 5 * [False] and left.score > 0.999
    assert "left out as inactive: z5" in left.remark
    assert d.modularity_score(ITSELF, collapsed, rng(), least_variance=0, **QUIET).score == pytest.approx(0.84, abs=0.02)


@pytest.mark.parametrize("equation", ["EXPL.3"])
def test_one_line_against_the_rest_cannot_tell_the_middle(equation):
    from vae_from_scratch.disentanglement.explicitness import area, classifier, probabilities

    best = [np.mean([max(c, n - 1 - c) / (n - 1) for c in range(n)]) for n in SIZES]
    assert np.mean(best) == pytest.approx(0.781, abs=5e-4) and "0.78 for a perfect code" in FLAT
    labels = np.tile(np.arange(6), 200)
    x = even(labels[:, None], np.array([6]))
    W, b = classifier(x, labels, 6, "ovr")
    logits = x @ W + b
    raw, divided = (
        np.mean([area(scores[:, c], labels == c) for c in range(6)]) for scores in (logits, probabilities(logits, "ovr"))
    )
    assert raw == pytest.approx(best[1], abs=0.01) and divided > 0.95
    softmax = classifier(x, labels, 6, "softmax")
    assert np.mean([area(probabilities(x @ softmax[0] + softmax[1], "softmax")[:, c], labels == c) for c in range(6)]) == 1


def test_a_spurious_weight():
    beyond = 2 * NormalDist().cdf(-2)
    assert beyond == pytest.approx(0.046, abs=6e-4) and 1 - (1 - beyond) ** 25 == pytest.approx(0.69, abs=0.005)
    assert "in 69 of 100 drawings" in FLAT and "probability 0.046" in FLAT
    noise = codes_of(CODES["noise"])
    found = d.dci_score(ITSELF, noise, rng(4), **QUIET)
    assert found.score == 1 and found.completeness == pytest.approx(0.2) and (found.importance > 0).sum() == 1
    assert found.nrmse.mean() > 0.99 and "predict nothing: posY" in found.remark and "NRMSE 1.00" in found.remark


def test_sap_of_the_library_depends_on_scale():
    whole, tenth = (d.sap_svm(lambda x: x * scale, codes_of(even), rng(), **QUIET) for scale in (1, 0.1))
    assert tenth.score == pytest.approx(0.18, abs=0.005) and "0.18 after a division by 10" in FLAT
    assert whole.predicts[2].max() == pytest.approx(0.05, abs=0.005) and "0.05 for the 40 orientations" in FLAT


@pytest.mark.slow
def test_a_penalty_makes_the_scale_matter():
    from vae_from_scratch.disentanglement.explicitness import classifier

    shared = rng().integers(5, size=1000)
    z_diff = beta_vae.differences(ITSELF, codes_of(CODES["tanh of a random mixture"]), rng(1), shared, 64, False)
    for scale, printed in ((1, 0.99), (0.03, 0.19)):
        penalised, free = (beta_vae.judge(scale * z_diff, shared, 600, NAMES, *by) for by in ([classifier], []))
        assert penalised.score == pytest.approx(printed, abs=0.006) and free.score == 1
    words = "classified 99 % correctly, and after multiplying its codes by 0.03, 19 %"
    assert words in FLAT and "Both codes then get 100 %" in FLAT


def test_a_classifier_has_one_minimum_or_none():
    from vae_from_scratch.disentanglement.explicitness import lbfgs

    x = rng(5).normal(size=(60, 2))
    noisy = (x @ rng(6).normal(size=(2, 3)) + rng(7).gumbel(size=(60, 3))).argmax(axis=1)

    def loss(params, labels):
        W, b = params.reshape(3, 3)[:2], params.reshape(3, 3)[2]
        nll = ops.softmax_cross_entropy_forward(x @ W + b, np.eye(3)[labels])
        dlogits = ops.softmax_cross_entropy_backward(np.full(60, 1 / 60), x @ W + b, np.eye(3)[labels])
        return nll.mean(), np.vstack([x.T @ dlogits, dlogits.sum(axis=0)]).ravel()

    ends = [lbfgs(lambda p: loss(p, noisy), rng(seed).normal(size=9), 1e-10).reshape(3, 3) for seed in (1, 2)]
    centred = [end - end.mean(axis=1, keepdims=True) for end in ends]
    assert centred[0] == pytest.approx(centred[1], abs=1e-6) and np.abs(ends[0] - ends[1]).max() > 0.1
    apart = (x[:, 0] > 0).astype(int) + (x[:, 0] > 0.8)
    one, two = (lbfgs(lambda p: loss(p, apart), np.zeros(9), tolerance).reshape(3, 3) for tolerance in (1e-4, 1e-6))
    for W in (one, two):
        assert ((x @ W[:2] + W[2]).argmax(axis=1) == apart).all()
    assert np.abs(two).max() > 1.5 * np.abs(one).max()


# ---- which demand does each score see ------------------------------------------------------------------

PLACES, HAZE = rng(7).permutation(32), rng(8).normal(size=np.prod(SIZES))


def in_digits(f, sizes):
    base = 8 if sizes[3] == 32 else 3
    digits = np.stack([f[:, 3] // base, f[:, 3] % base], axis=1)
    return np.column_stack([even(f, sizes)[:, [0, 1, 2, 4]], even(digits, np.array([sizes[3] // base, base]))])


def scrambled(f, sizes):
    places = PLACES if sizes[3] == 32 else np.argsort(PLACES[:6])
    return even(np.column_stack([f[:, :3], places[f[:, 3]], f[:, 4]]), sizes)


def noisy(f, sizes):
    z = even(f, sizes)
    z[:, 3] = (z[:, 3] + HAZE[np.ravel_multi_index(f.T, sizes)]) / np.sqrt(2)
    return z


def one_line(f, sizes):
    return np.column_stack([2.0 * f[:, 0] + f[:, 1] - 1.5, 0 * f[:, 0]])


FAULTS = {
    "the factors": even,
    "one line": one_line,
    "posX twice": CODES["posX twice"],
    "posX in two digits": in_digits,
    "posX and posY turned": turned,
    "posX missing": CODES["posX missing"],
    "posX scrambled": scrambled,
    "posX noisy": noisy,
}
WORSE_IF_LARGE = "NRMSE"


def scores_of_fault(code):
    """The columns of the note's third table."""
    large, small, logvar = codes_of(code), codes_of(code, SMALL), np.full(6, -10.0)
    if code is one_line:
        large = small = codes_of(code, (2, 2))
        logvar = 2 * np.log([0.25, 1.0])
    few = {"points": 3000, "test_points": 2000}
    dci = d.dci_score(ITSELF, large, rng(), **QUIET)
    shapeless = small.factor_names[code is not one_line :]
    return {
        "beta-VAE": d.beta_vae_score(ITSELF, large, rng(), points=600, test_points=400, **QUIET).score,
        "FactorVAE": d.factor_vae_score(ITSELF, large, rng(), votes=400, test_votes=400, L=100, **QUIET).score,
        "MIG, histogram": d.mig_histogram(ITSELF, large, rng(), **QUIET).score,
        "MIG, Chen et al.": d.mig_chen(
            lambda x: (x, 0 * x + logvar[: x.shape[1]]), small, rng(), factors=shapeless, **QUIET
        ).score,
        "D": dci.score,
        "C": dci.completeness,
        "NRMSE": dci.nrmse.mean(),
        "SAP, R²": d.sap_score(ITSELF, large, rng(), **QUIET).score,
        "modularity": d.modularity_score(ITSELF, large, rng(), **QUIET).score,
        "explicitness": d.explicitness_score(ITSELF, large, rng(), **few, **QUIET).score,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_which_demand_each_score_sees(name):
    head, rows = next((head, rows) for head, rows in tables(NOTE) if head.startswith("| code | fails in"))
    columns = [*map(str.strip, head.strip("|").split("|"))][2:]
    assert [row[0] for row in rows] == list(FAULTS)
    printed = dict(zip(columns, next(row for row in rows if row[0] == name)[2:], strict=True))
    perfect = dict(zip(columns, rows[0][2:], strict=True))
    for column, value in scores_of_fault(FAULTS[name]).items():
        cell = printed[column]
        assert abs(value - float(cell.strip("*"))) < 0.011, (column, value, cell)
        fall = float(perfect[column]) - float(cell.strip("*"))
        if name == "one line":  # whose factors have two values: all else in place, MIG has 1 there
            fall = (0.02 if column == WORSE_IF_LARGE else 1) - float(cell.strip("*"))
        seen = (-fall if column == WORSE_IF_LARGE else fall) > 0.0299
        assert cell.startswith("**") == seen, (column, cell)


# ---- with a pencil -------------------------------------------------------------------------------------


def test_one_line_by_hand():
    data = codes_of(one_line, (2, 2))
    f = data.factors(np.arange(4))
    z = one_line(f, None)[:, 0]
    share = [np.corrcoef(z, f[:, k])[0, 1] ** 2 for k in range(2)]
    assert share == pytest.approx([0.8, 0.2])
    assert d.sap_score(ITSELF, data, rng(), **QUIET).score == pytest.approx(0.5, abs=0.02)
    dci = d.dci_score(ITSELF, data, rng(), alpha=1e-9, points=100_000, test_points=10, **QUIET)
    by_hand = 1 + (2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)) / np.log(2)
    assert by_hand == pytest.approx(0.082, abs=5e-4) and dci.score == pytest.approx(by_hand, abs=0.01)
    assert dci.completeness == 1
    assert d.modularity_score(ITSELF, data, rng(), **QUIET).score < 1e-4
    areas = d.explicitness_score(ITSELF, data, rng(), points=2000, test_points=2000, **QUIET).per_factor
    assert areas == pytest.approx([1, 0.75], abs=0.02)


def test_turned_for_any_number_of_factors():
    spread, root = 1 - np.log(2) / np.log(5), 2 * np.sqrt(2)
    assert (3 + root * spread) / (3 + root) == pytest.approx(0.791, abs=5e-4)
    found = d.dci_score(ITSELF, codes_of(turned), rng(), alpha=1e-9, **QUIET)
    assert found.score == pytest.approx(0.791, abs=0.05)  # at no price each chance correlation has its weight
    assert 3 / 5 + 2 / 5 * (1 - 1 / 4) == pytest.approx(0.9)


def test_areas_averaged():
    def mean(n):
        return np.mean([max(c, n - 1 - c) / (n - 1) for c in range(n)])

    assert mean(3) == pytest.approx(5 / 6)
    for n, printed in ((6, 0.8), (40, 0.756)):
        assert mean(n) == pytest.approx((3 * n / 2 - 1) / (2 * n - 2)) and mean(n) == pytest.approx(printed, abs=5e-4)
    assert (3 + 7 * 0.679) / 10 == pytest.approx(0.775, abs=5e-4)


# ---- scale and convergence of the first score -----------------------------------------------------------


@pytest.mark.parametrize("equation", ["BETAVAE.1"])
def test_scale_does_not_decide_the_beta_vae_score(equation):
    data = FactorDataset("codes", lambda f: CODES["tanh of a random mixture"](f, SIZES), NAMES, tuple(SIZES), (1, 10))
    scores = [
        d.beta_vae_score(lambda x: scale * x, data, rng(), points=200, test_points=200, L=16, progress=False).score
        for scale in (1, 1 / 1024)
    ]
    assert scores[0] == scores[1] > 0.8


def test_adagrad_on_small_differences_goes_nowhere():
    from vae_from_scratch import Adagrad

    data = FactorDataset("codes", lambda f: even(f, SIZES) / 1024, NAMES, tuple(SIZES), (1, 5))
    shared = rng().integers(5, size=400)
    z_diff = beta_vae.differences(lambda x: x, data, rng(1), shared, 16, False)
    params, adagrad = {"W": np.zeros((5, 5)), "b": np.zeros(5)}, Adagrad(lr=0.01)
    state = adagrad.initial_state(params)
    for rows in np.tile(np.arange(400).reshape(40, 10), (10, 1)):
        logits = z_diff[rows] @ params["W"] + params["b"]
        dlogits = ops.softmax_cross_entropy_backward(np.full(10, 0.1), logits, np.eye(5)[shared[rows]])
        dW, db = ops.dense_backward_params(dlogits, z_diff[rows])
        adagrad.step(params, {"W": dW, "b": db}, state)
    told = ((z_diff @ params["W"] + params["b"]).argmax(axis=1) == shared).mean()
    W, b = beta_vae.linear_classifier(z_diff, shared, 5, steps=300)
    assert told < 0.5 and ((z_diff @ W + b).argmax(axis=1) == shared).all()


# ---- the parts of the KL -----------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["TC.3 TC.4"])
def test_total_correlation_by_conditionals(equation):
    mu, std = rng().normal(size=(4, 2)), np.array([[0.3, 0.5], [1.5, 0.3], [0.4, 1.2], [1.8, 1.1]])
    points = [mixtures.grid(mu[:, j], std[:, j]) for j in range(2)]
    first, second = (mixtures.cells(points[j], mu[:, j], std[:, j]) for j in range(2))
    joint = np.einsum("na,nb->ab", first, second) / 4  # q(z), on the product of the two grids
    q1, q2 = first.mean(axis=0), second.mean(axis=0)
    direct = mixtures.kl_rows(joint.reshape(1, -1), np.outer(q1, q2).reshape(1, -1))[0]
    weights = first / first.sum(axis=0)  # w_n for each value of z_1
    conditional = mixtures.kl_rows(weights.T @ second, q2)
    assert (conditional > -1e-14).all() and q1 @ conditional == pytest.approx(direct, rel=1e-9)
    said = [mixtures.kl_rows(each, each.mean(axis=0)).mean() for each in (first, second)]
    both = np.einsum("na,nb->nab", first, second).reshape(4, -1)
    information = mixtures.kl_rows(both, both.mean(axis=0)).mean()
    assert sum(said) == pytest.approx(information + direct, rel=1e-9)
    parts = d.kl_parts(mu, 2 * np.log(std), rng(2), samples=40_000)
    assert parts.information == pytest.approx(said, rel=1e-9)
    assert abs(parts.total_correlation - direct) < 4 * parts.standard_error
    assert parts.kl == pytest.approx(parts.information.sum() + parts.dimension_wise.sum(), rel=1e-6)


def test_what_the_error_of_the_grid_does_not_see():
    mu = np.array([[0.0], [5.5]])
    parts = d.kl_parts(mu, np.zeros((2, 1)), rng(), samples=10)
    points = np.linspace(-12, 17.5, 2951)  # 100 to a sigma
    masses = mixtures.cells(points, mu[:, 0], np.ones(2))
    missed = abs(mixtures.kl_rows(masses, masses.mean(axis=0)).mean() - parts.information[0])
    assert missed == pytest.approx(2e-6, rel=0.1) and parts.error < 1e-13
    assert "2 \\cdot 10^{-6}" in FLAT and "5.5 $`\\sigma`$ apart" in FLAT


@pytest.mark.parametrize("equation", ["TC.5"])
def test_a_weight_counted_for_every_latent(equation):
    M, Z = 63, 10
    log_density = rng().normal(size=(M, Z))  # log q(z_j | x_m) at one z
    right = np.log(np.exp(log_density.sum(axis=1)).sum() / M)
    wrong = np.log(np.exp((log_density - np.log(M)).sum(axis=1)).sum())
    assert wrong == pytest.approx(right - (Z - 1) * np.log(M), rel=EXACT)
    shift = float(re.search(r"nearly all 1/63, this is ([\d.]+) nats", FLAT)[1])
    assert shift == pytest.approx((Z - 1) * np.log(M), abs=0.05)
    correlation, information, true_correlation, true_information = map(
        float, re.search(r"ends at (-[\d.]+) and ([\d.]+), which is about\s([\d.]+)\sand\s([\d.]+)\.", FLAT).groups()
    )
    assert true_correlation == pytest.approx(correlation + (Z - 1) * np.log(M), abs=0.05)
    assert true_information == pytest.approx(information - (Z - 1) * np.log(M), abs=0.05)


@pytest.mark.parametrize("name", ["aligned", "turned", "one line"])
def test_the_four_data_of_note_10(name):
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1.0, -1.0]])
    line = np.array([[z, 0] for z in (-1.5, -0.5, 0.5, 1.5)])
    mu, std, information, correlation, dimension_wise = {
        "aligned": (corners, [0.5, 0.5], 1.265, 0, 0.371),
        "turned": (corners @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2), [0.5, 0.5], 1.265, 0.274, 0.097),
        "one line": (line, [0.25, 1.0], 1.296, 0, 0.247),
    }[name]
    parts = d.kl_parts(mu, np.tile(2 * np.log(std), (4, 1)), rng(), samples=20_000)
    noise = 4 * parts.standard_error + 5e-4
    assert parts.mutual_information == pytest.approx(information, abs=noise)
    assert parts.total_correlation == pytest.approx(correlation, abs=noise)
    assert parts.dimension_wise.sum() == pytest.approx(dimension_wise, abs=5e-4)


# ---- predict, then run -------------------------------------------------------------------------------


@pytest.mark.parametrize("number, printed", [(0, "20 0.85, 32 1.0"), (1, "1.3 0.0 0.2, 1.4 1.2 0.5")])
def test_the_commands(number, printed):
    assert printed_by(NOTE, number).splitlines() == printed.split(", ")
    answer = NOTE[NOTE.index("Answers</summary>") :]
    for figure in ("0.85",) if number == 0 else ("1.3, 0.0, 0.2", "1.4, 1.2, 0.5"):
        assert figure in answer

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
from vae_from_scratch.disentanglement import beta_vae, codes, mixtures

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
    monkeypatch.setattr(beta_vae, "judge", lambda *args: seen.append(args) or judge(*args))
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
    x = rng(1).normal(size=(150, 4)) * [1, 1, 0.2, 0.05]  # conditioned worse than standardised columns
    labels = (x @ rng(2).normal(size=(4, 3)) + rng(3).gumbel(size=(150, 3))).argmax(axis=1)  # noisy: one minimum
    W, b = beta_vae.linear_classifier(x, labels, 3)
    dlogits = ops.softmax_cross_entropy_backward(np.full(150, 1 / 150), x @ W + b, np.eye(3)[labels])
    assert np.abs(x.T @ dlogits).max() < 1e-6 and np.abs(dlogits.sum(axis=0)).max() < 1e-6
    assert 0.4 < ((x @ W + b).argmax(axis=1) == labels).mean() < 0.9


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
    assert result.entropies == pytest.approx(np.log(SIZES)) and result.gaps == pytest.approx(0)  # two latents alike


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
    assert result.gaps == pytest.approx([0, 0, 1])


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
    again = d.all_scores(posterior, dataset(), ["mig"], repeats=2, seed=1, points=100, progress=False)
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


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.train, "draw_figures", lambda *args: args[4].mkdir())  # they are test_cli.py's
    run("train --data blobs --epochs 1 --latent-dim 3 --out run --quiet")
    run("score run --points 100 --repeats 2 --quiet")
    printed = capsys.readouterr().out
    for title in ("beta-VAE score (row, column)", "FactorVAE score", "MIG, 20-bin", "MIG, samples of q(z|x)"):
        assert title in printed
    assert len(re.findall(r"[01]\.\d{3} \+- 0\.\d{3} over 2 draws, chance 0\.\d{3}", printed)) == 3
    assert "from one draw" in printed and re.search(r"row -?\d\.\d{3} \(z\d\), column", printed)
    line = next(line for line in printed.splitlines() if line.startswith("KL "))
    numbers = re.match(r"KL (\S+) nats .*information (\S+) .*correlation (\S+) .*dimension-wise KL (\S+)", line)
    kl, information, correlation, dimension_wise = map(float, numbers.groups())
    assert information + correlation + dimension_wise == pytest.approx(kl, abs=0.02)
    assert (tmp_path / "run" / "figures" / "scores.png").exists()
    run("score run --score mig --points 100 --repeats 1 --baselines --quiet")
    printed = capsys.readouterr().out
    assert all(f"\n{name}\n    MIG, 20-bin" in printed for name in ("untrained network", "PCA, 3 components", "pixels"))
    before = sorted(tmp_path.rglob("*"))
    for line, words in {
        "score run --score dci": "score beta-vae factor-vae mig 'dci'",
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
    "no pairs": (lambda: d.beta_vae_score(itself, dataset(), rng(), L=0), "L 1 0"),
    "a batch of one": (lambda: d.factor_vae_score(itself, dataset(), rng(), L=1), "L 2 1"),
    "few votes": (lambda: d.factor_vae_score(itself, dataset(), rng(), votes=1), "votes 10 1"),
    "few images": (lambda: d.mig_histogram(itself, dataset(), rng(), points=7), "points 100 7"),
    "one bin": (lambda: d.mig_histogram(itself, dataset(), rng(), bins=1), "bins 2 1"),
    "variance": (lambda: d.factor_vae_score(itself, dataset(), rng(), least_variance=-1), "least_variance 0 -1"),
    "unknown score": (lambda: d.all_scores(itself, dataset(), ["sap"]), "score beta-vae factor-vae mig 'sap'"),
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

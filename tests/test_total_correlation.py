"""Promise: BetaTCVAE is the VAE with each part of the KL at its price, knows its data, and is not stopped by a row left over."""

import tracemalloc

import numpy as np
import pytest
from helpers import refused, same, timeless

from vae_from_scratch import VAE, Adam, BetaTCVAE, fit, load, ops, save
from vae_from_scratch.engine import files
from vae_from_scratch.engine.backends import BACKENDS
from vae_from_scratch.engine.batches import RESTS, batches, rests_allowed
from vae_from_scratch.evaluation import evaluate

X = np.random.default_rng(0).random((21, 7))  # batches of 5 leave one row over
SMALL = {"data_dim": 7, "hidden": (6,), "latent_dim": 3}


def batch(model, n=8):
    return X[:n], *model.draw_noise(n, np.random.default_rng(1))


# ---- prices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("estimator", ["stratified", "weighted"])
def test_all_prices_at_one_are_the_vae_bit_for_bit(backend, estimator):
    vae = VAE(**SMALL, backend=backend)
    model = BetaTCVAE(**SMALL, backend=backend, beta=1.0, n_train=100, estimator=estimator)
    (terms, grads), (expected, wanted) = (each.loss_and_grads(*batch(vae)) for each in (model, vae))
    assert terms.loss == expected.loss and terms.loss.dtype == np.float32 and same(grads, wanted)


def test_beyond_one_a_part_costs_its_estimate():
    model = BetaTCVAE(**SMALL, dtype="float64", beta=1.0, n_train=100)
    x, eps = batch(model)
    mu, logvar = model.encode(x)
    z = ops.reparameterize_forward(mu, logvar, eps)
    parts, plain = ops.batch_parts_forward(mu, logvar, z, 100, True).mean(axis=0), model.loss(x, eps).loss
    for name, part in zip(("alpha", "beta", "gamma"), parts):
        model.set(**{name: 3.0})
        assert model.loss(x, eps).loss - plain == pytest.approx(2 * part, rel=1e-10)
        model.set(**{name: 1.0})
    assert ops.batch_parts_forward(mu, logvar, z, 100, False).mean(axis=0)[1] > parts[1] + 2  # estimator is passed on
    weighted = BetaTCVAE(**SMALL, dtype="float64", beta=3.0, n_train=100, estimator="weighted").loss(x, eps).loss
    assert weighted - plain > 2 * parts[1] + 4


@pytest.mark.slow
def test_beta_buys_total_correlation_and_not_the_reconstruction():
    from vae_from_scratch import BetaVAE, datasets, disentanglement

    data = datasets.blobs(size=16, positions=16, width=0.15)
    found = {}
    for model_class, price in ((VAE, {}), (BetaVAE, {"beta": 8.0}), (BetaTCVAE, {"beta": 8.0})):
        model = model_class(256, (100, 100), 6, "relu", **price)
        fit(model, data[:], Adam(lr=2e-3), 64, 300, progress=False)
        split = disentanglement.kl_parts(*model.encode(data[:]), np.random.default_rng(0), samples=500)
        found[model.name] = split.total_correlation, evaluate(model, data[:]).recon_nll
    assert found["beta-tc-vae"][0] < 0.2 * found["vae"][0] and found["beta-tc-vae"][1] < found["vae"][1] + 2
    assert found["beta-vae"][1] > found["vae"][1] + 5  # seen: 7.8


# ---- how many data there are -----------------------------------------------------------------------------


def test_fit_fills_in_how_many_data_there_are():
    model = BetaTCVAE(**SMALL)
    with refused("BetaTCVAE n_train None fit n_train=len(x)"):
        model.loss(*batch(model))
    with refused("BetaTCVAE n_train None"):
        evaluate(model, X)
    fit(model, X, batch_size=5, epochs=1, progress=False)
    assert model.n_train == 21 and np.isfinite(model.loss(*batch(model)).loss)
    fit(model, X[:12], batch_size=5, epochs=1, progress=False)
    assert model.n_train == 12


def test_a_refused_fit_leaves_a_model_as_it_was(tmp_path):
    settings = {"batch_size": 5, "epochs": 1, "progress": False, "checkpoint": tmp_path / "run"}
    fit(BetaTCVAE(**SMALL), X, **settings)
    model = BetaTCVAE(**SMALL, n_train=100)
    before = model.config
    with refused("resume it"):
        fit(model, X, **settings)
    with refused("seed 3 0"):
        fit(model, X, seed=3, resume=True, **settings)
    with refused("12 21"):
        fit(model, X[:12], resume=True, **settings)
    with files.lock(tmp_path / "run"), refused("held"):
        fit(model, X, resume=True, **settings)
    assert model.config == before and same(model, BetaTCVAE(**SMALL))
    fit(model, X, resume=True, **settings)  # what it is given counts for nothing, as in an unbroken run
    assert model.n_train == 21


def test_how_many_there_are_is_kept_in_files_and_over_a_resume(tmp_path):
    def train(epochs, **keeping):
        model = BetaTCVAE(**SMALL)
        settings = {"batch_size": 5, "seed": 3, "x_valid": X[:6], "progress": False}
        return model, fit(model, X, Adam(lr=0.01), epochs=epochs, **settings, **keeping)

    unbroken, history = train(4)
    train(2, checkpoint=tmp_path / "run")
    assert load(tmp_path / "run" / "checkpoint.npz").n_train == 21
    model, resumed = train(4, checkpoint=tmp_path / "run", resume=True)
    assert same(model, unbroken) and timeless(resumed) == timeless(history) and model.config == unbroken.config
    save(model, tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    assert again.config == model.config and again.loss(*batch(model)).loss == model.loss(*batch(model)).loss
    save(BetaTCVAE(**SMALL), tmp_path / "untrained.npz")
    assert load(tmp_path / "untrained.npz").n_train is None


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"n_train": 1}, "n_train 2 1"),
        ({"n_train": 2.5}, "n_train whole|integer 2.5"),
        ({"estimator": "mss"}, "estimator stratified weighted 'mss'"),
        ({"beta": -1}, "beta 0 -1"),
        ({"capacity": 1}, "BetaTCVAE capacity CapacityVAE"),
    ],
)
def test_a_wrong_argument_is_one_line(settings, words):
    with refused(words):
        BetaTCVAE(**SMALL, **settings)


# ---- a row alone -----------------------------------------------------------------------------------------


def test_a_batch_of_one_is_refused_in_one_line():
    model, one = BetaTCVAE(**SMALL, n_train=21), "1 BetaTCVAE compares 2"
    for call in (model.loss, model.loss_and_grads):
        with refused(f"len(x) {one}"):
            call(*batch(model, 1))
    for call in (lambda: fit(model, X, batch_size=1, progress=False), lambda: evaluate(model, X, batch_size=1)):
        with refused(f"batch_size {one}"):
            call()
    with refused(f"batch_size {one}"):
        fit(model, X[:1], batch_size=1, progress=False)
    assert not RESTS.get()


def test_a_row_left_over_stops_nothing_and_is_taken_as_a_vaes():
    trained = []
    for n in (20, 21):
        model = BetaTCVAE(**SMALL)
        history = fit(model, X[:n], Adam(lr=0.01), batch_size=5, epochs=2, x_valid=X[:6], progress=False)
        trained.append(model)
        assert history["steps"] == [-(-n // 5), 2 * -(-n // 5)] and np.isfinite(history["loss"]).all()
    assert not same(*trained) and not RESTS.get()
    model, vae = trained[1], VAE(**SMALL)
    vae.params.update(model.params)
    assert evaluate(model, X[:1]).loss == evaluate(vae, X[:1]).loss
    whole, part, rest = (evaluate(model, x, batch_size=20).loss * len(x) for x in (X, X[:20], X[20:]))
    assert whole == pytest.approx(part + evaluate(vae, X[20:]).loss, rel=0.1) and np.isfinite(rest)


def test_a_row_alone_has_no_information_and_no_pull():
    mu, logvar, z = np.random.default_rng(0).normal(size=(3, 1, 4))
    parts = ops.batch_parts_forward(mu, logvar, z, 100, True)
    assert parts[0, 0] == parts[0, 1] == 0
    for one in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]):
        assert not any(grad.any() for grad in ops.batch_parts_backward(np.array([one]), mu, logvar, z, 100, True))


def test_a_loop_that_breaks_off_leaves_no_permission_behind():
    class Dies(BetaTCVAE):
        name = None

        def forward(self, x, eps):
            raise RuntimeError("no forward")

    with pytest.raises(RuntimeError):
        evaluate(Dies(**SMALL, n_train=21), X)
    assert not RESTS.get()


# ---- range -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stratified", [True, False])
def test_the_parts_in_float32_over_the_whole_range(backend, stratified):
    """Log variances to +-80, the same in all rows or, of one row and latent, apart; to float32's rounding of their sums."""
    rng, logvars = np.random.default_rng(0), np.array([-80, -40, -1, -1e-4, 0, 1e-4, 1, 40, 80]) * np.ones((5, 1))
    one = np.zeros((5, 9))
    for value in (-80, 80):
        one[2, 4] = value
        for logvar in (logvars, one):
            mu, eps = rng.uniform(-1, 1, (2, 5, 9))
            z = ops.reparameterize_forward(mu, logvar, eps)
            narrow = [array.astype(np.float32) for array in (np.ones((5, 3)), mu, logvar, z)]
            wide, namespace = [array.astype(np.longdouble) for array in narrow], BACKENDS[backend]()
            parts = namespace.batch_parts_forward(*narrow[1:], 737_280, stratified)
            exact = ops.batch_parts_forward(*wide[1:], 737_280, stratified)
            # the prior's z^2 may be 1e34, in the dimension-wise KL alone; the others are differences of logarithms
            np.testing.assert_allclose(parts[:, :2].astype(float), exact[:, :2].astype(float), rtol=1e-5, atol=2e-4)
            np.testing.assert_allclose(parts[:, 2].astype(float), exact[:, 2].astype(float), rtol=1e-5, atol=2e-4)
            grads = namespace.batch_parts_backward(*narrow, 737_280, stratified)
            for grad, known in zip(grads, ops.batch_parts_backward(*wide, 737_280, stratified)):
                assert grad.dtype == np.float32 and np.isfinite(grad).all()
                np.testing.assert_allclose(grad.astype(float), known.astype(float), rtol=1e-4, atol=1e-4 * float(abs(known).max()))


# ---- memory ----------------------------------------------------------------------------------------------


def peak(function, *arguments):
    function(*arguments)  # what is compiled or cached by the first call is not counted
    tracemalloc.start()
    function(*arguments)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_nothing_is_stored_for_each_pair_of_rows_and_latent():
    n, latents = 120, 60
    mu, logvar, z = np.random.default_rng(0).normal(size=(3, n, latents)).astype(np.float32)
    dparts = np.ones((n, 3), np.float32)
    pairs, rows = 4 * n * n, 4 * n * latents
    namespaces = [(ops, 14 * pairs)]
    try:
        from vae_from_scratch import kernels

        namespaces.append((kernels, 10 * rows))
    except ImportError:  # test_kernels.py says so
        pass
    for namespace, most in namespaces:
        assert most < pairs * latents / 4
        assert peak(namespace.batch_parts_forward, mu, logvar, z, 500, True) < most
        assert peak(namespace.batch_parts_backward, dparts, mu, logvar, z, 500, True) < most


def test_a_loop_that_is_dropped_takes_no_permission_away():
    """It ends when its memory is collected, which may be in the middle of a fit."""
    left = batches(BetaTCVAE(**SMALL), X, "none", 0, 5)
    next(left)
    assert not RESTS.get()
    with rests_allowed():
        left.close()
        assert RESTS.get()

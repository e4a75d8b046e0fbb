"""Promise: the loop weights every example alike, repeats bit for bit, and looking never changes what it does."""

import gc
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import refused, same, timeless

from vae_from_scratch import SGD, VAE, Adam, BetaVAE, CapacityVAE, FactorVAE, datasets, exact, fit, ops, optimizers, training
from vae_from_scratch.engine.batches import fetch
from vae_from_scratch.engine.streams import stream
from vae_from_scratch.datasets.factors import FactorDataset
from vae_from_scratch.evaluation import evaluate
from vae_from_scratch.mlp import NamedVector


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(size=(23, 7))


def model(**options):
    return VAE(**{"data_dim": 7, "hidden": (6,), "latent_dim": 3, "dtype": "float64", **options})


def test_same_seed_same_bits(x):
    runs = []
    for seed in (5, 5, 6):
        m = model()
        runs.append((m, fit(m, x, epochs=3, batch_size=5, seed=seed, binarize="dynamic", progress=False)))
    assert same(runs[0][0], runs[1][0]) and timeless(runs[0][1]) == timeless(runs[1][1])
    assert not same(runs[0][0], runs[2][0])


def test_looking_never_changes_training(x, monkeypatch):
    plain, watched = model(), model()
    with monkeypatch.context() as patch:  # a loop that evaluates nothing at all
        patch.setattr(
            training,
            "evaluate",
            lambda *args, **options: SimpleNamespace(kl_per_latent=None, loss=1.0, recon_nll=1.0, kl=0.0),
        )
        fit(plain, x, epochs=3, batch_size=5, binarize="dynamic", progress=False)
    history = fit(
        watched, x, epochs=3, batch_size=5, binarize="dynamic", x_valid=x[:11], progress=True,
        callback=lambda m, examples: evaluate(m, x), callback_at=[1, 20, 40],
    )  # fmt: skip
    assert same(plain, watched)
    assert len(history["valid_loss"]) == len(history["valid_recon_nll"]) == len(history["valid_kl"]) == 3


def test_validation_has_streams_of_its_own(x, monkeypatch):
    drawn = []

    class Watched(VAE):
        def draw_noise(self, n, rng):
            drawn.append(super().draw_noise(n, rng))
            return drawn[-1]

    fit(Watched(7, hidden=(6,), latent_dim=3), x, epochs=1, batch_size=23, x_valid=x, progress=False)
    before, train_eps, valid_eps, after = (eps for (eps,) in drawn)  # the losses before and after tell a divergence
    assert (before == after).all()
    assert not np.isin(train_eps, before).any() and not np.isin(train_eps, valid_eps).any()


@pytest.mark.parametrize("binarize", ["threshold", "dynamic"])
def test_validation_is_of_binary_images_and_of_the_runs_seed(binarize, x):
    m = model()
    history = fit(m, x, epochs=1, batch_size=5, seed=5, binarize=binarize, x_valid=x[:11], progress=False)
    seen = evaluate(m, x[:11], binarize=binarize, seed=5, batch_size=5)
    assert [history[f"valid_{name}"][0] for name in ("loss", "recon_nll", "kl")] == [seen.loss, seen.recon_nll, seen.kl]
    for other in ({"seed": 5}, {"binarize": binarize}):
        assert evaluate(m, x[:11], batch_size=5, **other).recon_nll != seen.recon_nll


class Recorder(VAE):
    """A VAE that notes what the loop hands it."""

    def loss_and_grads(self, x, *noise):
        terms, grads = super().loss_and_grads(x, *noise)
        self.seen.append((x.copy(), noise[0].copy(), terms, {name: g.copy() for name, g in grads.items()}))
        return terms, grads


def recorded(x, **options):
    m = Recorder(data_dim=7, hidden=(6,), latent_dim=3, dtype="float64")
    m.seen = []
    history = fit(m, x, **{"batch_size": 5, "epochs": 2, "progress": False, "optimizer": SGD(lr=1e-2), **options})
    return m, history


def test_every_example_is_seen_once_an_epoch_in_a_fresh_order(x):
    m, history = recorded(x)
    epochs = [np.concatenate([batch for batch, *_ in m.seen[k : k + 5]]) for k in (0, 5)]
    for epoch in epochs:
        assert sorted(map(tuple, epoch)) == sorted(map(tuple, x))
    assert not np.array_equal(*epochs)
    assert [len(batch) for batch, *_ in m.seen[:5]] == [5, 5, 5, 5, 3]
    assert history["steps"] == [5, 10] and history["examples"] == [23, 46] and history["epoch"] == [1, 2]


def test_history_weights_by_count_and_a_partial_batch_is_its_own_mean(x):
    m, history = recorded(x, epochs=1)
    for name in ("loss", "recon_nll", "kl"):
        weighted = sum(getattr(terms, name) * len(batch) for batch, _, terms, _ in m.seen) / 23
        assert history[name][0] == pytest.approx(weighted, rel=1e-12)
    batch, eps, terms, _ = m.seen[-1]
    assert len(batch) == 3 and terms.loss == pytest.approx((terms.recon_nll_each + terms.kl_each).sum() / 3)


def test_noise_is_fresh_for_every_batch(x):
    m, _ = recorded(x)
    noises = np.concatenate([eps for _, eps, *_ in m.seen])
    assert len(np.unique(noises[:, 0])) == len(noises)


def test_sgd_steps_are_what_the_gradients_say(x):
    start = model().params
    m, _ = recorded(x, epochs=1)
    for name, value in m.params.items():
        np.testing.assert_allclose(
            value, start[name] - 1e-2 * sum(grads[name] for *_, grads in m.seen), rtol=1e-9, atol=1e-12
        )


def test_weight_decay_is_in_the_gradient_and_never_in_the_loss(x):
    plain, decayed = model(), model()
    histories = [
        fit(m, x, SGD(lr=0.5), 23, 1, weight_decay=decay, progress=False)
        for m, decay in ((plain, False), (decayed, True))
    ]
    start = model().params
    assert histories[0]["loss"] == histories[1]["loss"]
    for name in start:
        np.testing.assert_allclose(
            decayed.params[name], plain.params[name] - 0.5 * start[name] / 23, rtol=1e-9, atol=1e-12
        )


def test_weight_decay_divides_by_the_training_set_not_by_the_batch(x):
    twins = np.tile(x[:1], (2, 1))  # two examples, one a batch: two steps of lr / 2 toward zero
    models = [model(), model()]
    for m, decay in zip(models, (False, True)):
        fit(m, twins, SGD(lr=1e-3), 1, 1, weight_decay=decay, progress=False)
    pull = models[0].params["encoder_W1"] - models[1].params["encoder_W1"]
    np.testing.assert_allclose(pull, 2 * 1e-3 / 2 * model().params["encoder_W1"], rtol=0.1, atol=1e-6)


def test_weight_decay_is_a_prior_on_every_parameter_of_every_player(x):
    start, plain, decayed = (FactorVAE(7, (6,), 3, dtype="float64", discriminator_hidden=(5,)) for _ in range(3))
    for m, decay in ((plain, False), (decayed, True)):
        fit(m, x, SGD(lr=0.5), 23, 1, weight_decay=decay, progress=False)
    for player, of in start.players.items():
        for name, value in of.params.items():
            expected = plain.players[player].params[name] - 0.5 * value / 23
            np.testing.assert_allclose(decayed.players[player].params[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)


def test_schedule_is_asked_at_every_step(x):
    steps = []
    m = BetaVAE(7, hidden=(6,), latent_dim=3, beta=4.0)
    fit(m, x, batch_size=5, epochs=2, schedule=lambda step: steps.append(step) or {"beta": step / 9}, progress=False)
    assert steps == list(range(10)) and m.beta == 1.0
    with pytest.raises(ValueError, match="no hyperparameter 'beta'"):
        fit(CapacityVAE(7, latent_dim=3), x, batch_size=5, schedule=lambda step: {"beta": 1}, progress=False)


def test_callback_comes_at_the_given_numbers_of_examples(x):
    calls = []
    fit(
        model(),
        x,
        batch_size=5,
        epochs=2,
        callback=lambda m, examples: calls.append(examples),
        callback_at=[30, 7, 46, 99],
        progress=False,
    )
    assert calls == [7, 30, 46]


def test_dynamic_binarisation_is_fresh_and_has_the_right_mean():
    p, rng = np.array([[0.0, 0.25, 1.0, 0.9]] * 40_000, np.float32), np.random.default_rng(0)
    first, second = (fetch(p, np.arange(len(p)), "dynamic", rng) for _ in range(2))
    assert set(np.unique(first)) == {0, 1} and not np.array_equal(first, second)
    np.testing.assert_allclose(first.mean(axis=0), p[0], atol=0.012)  # five standard errors
    assert not first[:, 0].any() and first[:, 2].all()
    assert fetch(np.array([[0.49, 0.5]]), [0], "threshold", rng).tolist() == [[0, 1]]


def test_training_draws_binary_images_anew_for_every_batch():
    m, _ = recorded(np.full((23, 7), 0.5), binarize="dynamic", batch_size=23)
    first, second = (batch for batch, *_ in m.seen)
    assert set(np.unique(first)) == {0, 1} and not np.array_equal(first, second)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 22, 23, 500])
def test_evaluation_does_not_depend_on_the_batches(batch_size, x):
    whole, parts = evaluate(model(), x, batch_size=23), evaluate(model(), x, batch_size=batch_size)
    for name in ("loss", "recon_nll", "kl", "elbo", "standard_error", "kl_per_latent", "mu_variance"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)


def test_evaluation_says_what_it_says(x):
    m = model()
    m.params["encoder_W2"][:, 1] = 0  # latent 1: mu = 0 for every x
    result = evaluate(m, x)
    mu, logvar = m.encode(x)
    assert result.elbo == pytest.approx(-(result.recon_nll + result.kl)) == -result.loss
    np.testing.assert_allclose(result.kl_per_latent, (0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)).mean(axis=0))
    assert result.kl_per_latent.sum() == pytest.approx(result.kl)
    np.testing.assert_allclose(result.mu_variance, mu.var(axis=0))
    terms = m.loss(x, *m.draw_noise(23, stream("evaluation noise", 0, 0)))
    each = terms.recon_nll_each + terms.kl_each
    assert result.standard_error == pytest.approx(each.std(ddof=1) / np.sqrt(23))
    assert result.mu_variance[1] == 0 and result.active_units == (mu.var(axis=0) > 0.01).sum()


def test_beta_leaves_the_elbo_alone(x):
    results = [evaluate(BetaVAE(7, hidden=(6,), latent_dim=3, beta=beta), x) for beta in (1, 4)]
    assert results[0].elbo == results[1].elbo and results[1].loss > results[0].loss


def test_a_loss_that_is_not_finite_stops_the_run():
    x = datasets.digits()[np.arange(200)]
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(FloatingPointError, match="step .* learning rate"):
        fit(VAE(64, hidden=(20,), latent_dim=2, likelihood="gaussian"), x, SGD(lr=1e3), epochs=5, progress=False)


def test_training_lowers_the_loss_on_data_it_has_not_seen():
    m = VAE(64, hidden=(64,), latent_dim=8)
    history = fit(
        m,
        datasets.digits(),
        Adam(lr=2e-3),
        epochs=10,
        x_valid=datasets.digits("test"),
        binarize="dynamic",
        progress=False,
    )
    assert history["valid_loss"][-1] < history["valid_loss"][0] - 3


def test_a_run_asks_for_no_more_memory_than_its_arrays():
    """Parameters, gradients, Adam's two moments, one forward pass, and at most a fifth more; the images stay bytes."""
    n, widths = 100, (784, 500, 40, 20, 500, 784, 784)  # x, then what the layers, eps and the likelihood see
    images = np.random.default_rng(0).integers(0, 256, (3000, 784), np.uint8)
    data = datasets.dataset.Dataset("noise", images, (28, 28), scale=255)
    run = dict(batch_size=n, epochs=1, binarize="dynamic", progress=False)
    if (warm := VAE(784)).ops is ops:
        pytest.skip("NumPy's Adam needs arrays of its own")
    fit(warm, data.subset(slice(n)), Adam(), **run)  # kernels are compiled or read
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        m = VAE(784)
        tracemalloc.reset_peak()
        fit(m, data, Adam(), **run)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 1.2 * (4 * m.params.vector.nbytes + 4 * n * sum(widths))


def logged(kept):
    """Everything by which somebody could keep gradients: a name for each, and what makes a model and an optimizer of it."""

    def keep(function, which):
        def kept_too(*arguments, **options):
            result = function(*arguments, **options)
            kept.append(which(arguments, result))
            return result

        return kept_too

    def on_the_instance(name, which):
        model = VAE(64, hidden=(8,), latent_dim=2)
        setattr(model, name, keep(getattr(model, name), which))
        return model, Adam()

    class Overridden(VAE):
        def loss_and_grads(self, x, *noise):
            terms, grads = super().loss_and_grads(x, *noise)
            kept.append(grads)
            return terms, {name: np.clip(grad, -1, 1).astype(np.float64) for name, grad in grads.items()}

    def wrapped_step():
        adam = Adam()
        adam.step = keep(adam.step, lambda arguments, _: arguments[1])
        return VAE(64, hidden=(8,), latent_dim=2), adam

    def inherited_step():
        class Watching(Adam):
            def step(self, params, grads, *rest):
                kept.append(grads)
                super().step(params, grads, *rest)

        return VAE(64, hidden=(8,), latent_dim=2), Watching()

    def on_a_network():
        model = VAE(64, hidden=(8,), latent_dim=2)
        model.decoder.backward = keep(model.decoder.backward, lambda arguments, _: arguments[-1])
        return model, Adam()

    return {
        "backward of a network": on_a_network,
        "loss_and_grads on the instance": lambda: on_the_instance("loss_and_grads", lambda _, result: result[1]),
        "backward on the instance": lambda: on_the_instance("backward", lambda arguments, _: arguments[-1]),
        "a subclass": lambda: (Overridden(64, hidden=(8,), latent_dim=2), Adam()),
        "step on the instance": wrapped_step,
        "a subclass of Adam": inherited_step,
    }


@pytest.mark.parametrize("name", logged([]))
def test_nobody_who_holds_a_gradient_sees_it_change(name):
    kept = []
    model, optimizer = logged(kept)[name]()
    fit(model, datasets.digits(), optimizer, epochs=1, progress=False)
    assert len({id(grads.vector) for grads in kept}) == len(kept) == 15


def test_a_logger_that_comes_with_an_update_rule_or_a_pair_sees_no_change_either(monkeypatch):
    for module, name in ((optimizers, "adam_update"), (ops, "dense_backward_params")):
        kept, plain = [], getattr(module, name)
        with monkeypatch.context() as patch:
            patch.setattr(
                module, name, lambda *arguments, **more: kept.append(arguments[1]) or plain(*arguments, **more)
            )
            fit(VAE(64, hidden=(8,), latent_dim=2, backend="numpy"), datasets.digits(), epochs=1, progress=False)
        assert len({array.__array_interface__["data"][0] for array in kept}) == len(kept)


def test_what_nothing_writes_holds_no_gradient_of_the_step_before():
    class More(VAE):
        name = None

        def initial_params(self, rng):
            return {**super().initial_params(rng), "unused": np.ones(3, np.float32)}

    m = More(64, hidden=(8,), latent_dim=2)
    fit(m, datasets.digits(), SGD(0.1), epochs=1, weight_decay=True, progress=False)
    np.testing.assert_allclose(m.params["unused"], (1 - 0.1 / 1500) ** 15, rtol=1e-5)  # decay alone, once a step


def test_what_a_callback_puts_in_place_sees_no_change_and_holds():
    kept = []

    def listen(model, examples):
        plain = model.loss_and_grads

        def logged(*arguments, **options):
            terms, grads = plain(*arguments, **options)
            kept.append(grads)
            return terms, grads

        model.loss_and_grads = logged

    m = VAE(64, hidden=(8,), latent_dim=2)
    fit(m, datasets.digits(), epochs=1, callback=listen, callback_at=[500], progress=False)
    assert len({id(grads.vector) for grads in kept}) == len(kept) == 10

    def freeze(model, examples):
        before.append(model.params.copy())
        model.encoder.backward = lambda *arguments, **options: None

    m, before = VAE(64, hidden=(8,), latent_dim=2), []
    fit(m, datasets.digits(), SGD(0.1), epochs=1, callback=freeze, callback_at=[500], progress=False)
    assert np.array_equal(m.params["encoder_W1"], before[0]["encoder_W1"])
    assert not np.array_equal(m.params["decoder_W1"], before[0]["decoder_W1"])


def test_no_gradient_stays_in_memory_after_a_run():
    def vectors():
        return [thing for thing in gc.get_objects() if isinstance(thing, NamedVector)]

    m = model()
    gc.collect()
    before = len(vectors())
    fit(m, np.full((8, 7), 0.5), batch_size=4, epochs=1, progress=False)
    gc.collect()
    assert len(vectors()) == before


class Counting:
    """Rows that count how often they are read."""

    def __init__(self, x):
        self.x, self.read = x, 0

    def __len__(self):
        return len(self.x)

    def __getitem__(self, indices):
        rows = self.x[indices]
        self.read += len(rows)
        return rows


def test_data_are_read_once_before_training_and_once_in_each_epoch():
    train, valid, epochs = Counting(np.random.default_rng(0).random((3000, 7))), Counting(np.full((2000, 7), 0.5)), 4
    fit(model(), train, epochs=epochs, x_valid=valid, progress=False)
    few = 100 * (epochs + 3)  # a look at a hundred rows: whether they can be fetched, a fingerprint
    assert train.read <= (1 + epochs) * 3000 + 2 * training.GLIMPSE + few  # before, and after the last step
    assert valid.read <= (1 + epochs) * 2000 + few
    train.read = 0
    exact.collapse(model(), train)
    assert train.read <= 2 * 3000 + few


def test_a_drawn_data_set_is_looked_at_from_end_to_end():
    bright = FactorDataset("bright", lambda f: np.repeat(f[:, :1] * 1.0, 9, axis=1), ("brightness", "x"), (4, 200), (3, 3))
    with pytest.raises(ValueError, match="from 0 to 3"):
        fit(VAE(9, hidden=(8,), latent_dim=2), bright, epochs=1, progress=False)


class Frame:
    """What a DataFrame does: its items are columns, and it can become an array."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, columns):
        return self.x[:, columns]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.x, dtype)


@pytest.mark.parametrize(
    "kind", [Frame, lambda x: x.tolist(), tuple, np.ma.masked_invalid, lambda x: np.asfortranarray(x)],
    ids=["DataFrame", "list", "tuple", "masked array without masked values", "Fortran order"],
)  # fmt: skip
def test_whatever_holds_an_array_trains_as_the_array(kind):
    x = np.random.default_rng(0).uniform(size=(7, 7))  # square, so that a column could be taken for a row
    models = [model(), model()]
    for m, data in zip(models, (x, kind(x))):
        fit(m, data, batch_size=3, epochs=2, x_valid=data, progress=False)
        evaluate(m, data)
    assert same(*models)


@pytest.mark.parametrize("binarize", ["none", "threshold", "dynamic"])
@pytest.mark.parametrize("kind", [Frame, lambda rows: rows.tolist()], ids=["only __array__", "list"])
def test_a_data_set_may_give_its_rows_as_whatever_holds_an_array(kind, binarize, tmp_path):
    class Own:
        def __len__(self):
            return len(x)

        def __getitem__(self, indices):
            return kind(x[indices])

    x, models = np.random.default_rng(0).uniform(size=(9, 7)), [model(), model()]
    for m, data in zip(models, (x, Own())):
        fit(m, data, batch_size=4, epochs=2, x_valid=data, binarize=binarize, progress=False, checkpoint=tmp_path / type(data).__name__)
    found = [evaluate(m, data, binarize=binarize) for m, data in zip(models, (x, Own()))]
    assert same(*models) and found[0].loss == found[1].loss


def test_a_data_set_of_a_dataframe_serves_its_rows():
    x = np.random.default_rng(0).uniform(size=(9, 9)).astype(np.float32)
    data = datasets.Dataset("own", Frame(x), (3, 3))
    np.testing.assert_array_equal(data[[2, 5]], x[[2, 5]])
    np.testing.assert_array_equal(data.subset([4])[0], x[4])
    with pytest.raises(ValueError, match="values .* masked .* values.filled"):
        datasets.Dataset("own", np.ma.masked_less(x, 0.5), (3, 3))


@pytest.mark.parametrize(
    "data",
    [
        datasets.Dataset("large", np.full((12, 7), 1e300), (1, 7)),
        datasets.Dataset("scaled", np.full((12, 7), 1e30), (1, 7), scale=1e-30),
        FactorDataset("drawn", lambda factors: np.full((len(factors), 7), 1e300), ("a",), (12,), (1, 7)),
    ],
    ids=lambda data: data.name,
)
def test_values_beyond_float32_are_one_error_and_no_warning(data):  # warnings are errors here
    with refused("x too large for float32 row 0"):
        fit(model(likelihood="gaussian"), data, batch_size=4, progress=False)


def test_bytes_as_floats_under_a_gaussian_are_told_to_be_rescaled():
    x = 255 * np.random.default_rng(0).uniform(size=(12, 7))
    with pytest.warns(UserWarning, match="values up to 25.*x / 255") as told:
        fit(model(likelihood="gaussian"), x, batch_size=4, epochs=1, progress=False)
    assert told[0].filename == __file__


def test_binary_images_of_bytes_do_not_depend_on_the_batches():
    data = datasets.dataset.Dataset("b", np.random.default_rng(0).integers(0, 256, (90, 49), np.uint8), (7, 7), scale=255)
    m = model(data_dim=49)
    whole = evaluate(m, data, binarize="dynamic", batch_size=90)
    for batch_size in (1, 7, 50):
        assert evaluate(m, data, binarize="dynamic", batch_size=batch_size).recon_nll == pytest.approx(whole.recon_nll)


@pytest.mark.parametrize("how", ["threshold", "dynamic"])
@pytest.mark.parametrize("bad", [255.0, np.nan, -0.5])
def test_binarisation_hides_no_bad_value(how, bad):
    x = np.full((20, 7), 0.5)
    x[11, 3] = bad
    with pytest.raises(ValueError, match="NaN|values from"):
        evaluate(model(), x, binarize=how)
    with pytest.raises(ValueError, match="NaN|values from"):
        fit(model(), x, batch_size=5, epochs=1, binarize=how, progress=False)


def test_a_data_set_that_changes_what_it_hands_out_is_asked_for_it():
    class Inverted(datasets.dataset.Dataset):
        def __getitem__(self, indices):
            return 1 - super().__getitem__(indices)

    m, _ = recorded(Inverted("i", np.full((40, 7), 250, np.uint8), (1, 7), scale=255), binarize="dynamic", epochs=1)
    assert np.concatenate([batch for batch, *_ in m.seen]).mean() < 0.1


def test_validation_data_cannot_end_a_run():
    x = np.random.default_rng(0).uniform(size=(20, 7))
    history = fit(model(likelihood="gaussian"), x, batch_size=5, epochs=2, x_valid=25 * x, progress=False)
    assert len(history["valid_loss"]) == 2


def test_without_a_checkpoint_a_model_need_not_keep_its_arguments(tmp_path):
    class Mine(VAE):
        name = None

        def __init__(self, example):
            super().__init__(example.shape[1], (6,), 3)

    x = np.random.default_rng(0).uniform(size=(20, 7))
    fit(Mine(x), x, batch_size=5, epochs=1, progress=False)
    with pytest.raises(TypeError, match="Mine must keep its argument example as self.example"):
        fit(Mine(x), x, batch_size=5, epochs=1, progress=False, checkpoint=tmp_path / "c")

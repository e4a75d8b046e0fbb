"""Promise: the models keep their public face, learn, and differ from each other only by what the mathematics adds."""

import copy
import inspect
import pickle

import numpy as np
import pytest

from vae_from_scratch import (
    SGD,
    IWAE,
    VAE,
    Adam,
    Autoencoder,
    Bernoulli,
    BetaVAE,
    CapacityVAE,
    FreeBitsVAE,
    Gaussian,
    datasets,
    fit,
    ops,
)
from vae_from_scratch.evaluation import evaluate

SMALL = {"data_dim": 7, "hidden": (6, 5), "latent_dim": 3}


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(size=(9, 7)).astype(np.float32)


@pytest.mark.parametrize("model_class", [VAE, BetaVAE, CapacityVAE, FreeBitsVAE])
@pytest.mark.parametrize(
    "likelihood", ["bernoulli", "gaussian", Bernoulli(), Gaussian(sigma="learned"), Gaussian("per-pixel", "sigmoid")]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_public_face_of_the_vaes(model_class, likelihood, dtype, x):
    model, rng = model_class(**SMALL, likelihood=likelihood, dtype=dtype), np.random.default_rng(0)
    noise = model.draw_noise(9, rng)
    terms, grads = model.loss_and_grads(x, *noise)
    assert [a.shape for a in noise] == [(9, 3)] and noise[0].dtype == dtype
    assert {name: (g.shape, g.dtype) for name, g in grads.items()} == {
        name: (p.shape, p.dtype) for name, p in model.params.items()
    }
    assert terms.loss.dtype == dtype and terms.loss == model.loss(x, *noise).loss
    assert terms.recon_nll == terms.recon_nll_each.sum() / 9 and terms.kl == terms.kl_each.sum() / 9
    mu, logvar = model.encode(x)
    assert mu.shape == logvar.shape == (9, 3) and mu.dtype == dtype
    np.testing.assert_array_equal(model.reconstruct(x), model.decode(mu))
    assert model.reconstruct(x).shape == (9, 7) and model.sample(4, rng).shape == (4, 7)


@pytest.mark.parametrize("likelihood", ["bernoulli", Gaussian("per-pixel", "sigmoid")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_public_face_of_an_iwae(likelihood, dtype, x):
    """As that of a VAE but for the noise; the terms are means over the draws."""
    model, rng = IWAE(**SMALL, likelihood=likelihood, dtype=dtype, samples=4), np.random.default_rng(0)
    (eps,) = model.draw_noise(9, rng)
    terms, grads = model.loss_and_grads(x, eps)
    assert eps.shape == (9, 4, 3) and {each.dtype for each in (eps, *terms, *grads.values())} == {np.dtype(dtype)}
    assert terms.recon_nll_each.shape == terms.kl_each.shape == (9,) and terms.recon_nll == terms.recon_nll_each.sum() / 9
    of_each = [VAE(**SMALL, likelihood=likelihood, dtype=dtype).loss(x, eps[:, k]) for k in range(4)]
    assert terms.recon_nll == pytest.approx(np.mean([vae.recon_nll for vae in of_each]), rel=1e-5)
    assert terms.kl == of_each[0].kl and model.sample(4, rng).shape == (4, 7)
    np.testing.assert_array_equal(model.reconstruct(x), model.decode(model.encode(x)[0]))
    fit(model, x, batch_size=4, epochs=2, schedule=lambda step: {"samples": 1 + step}, progress=False)
    assert model.config["samples"] == 6 and not model.config["doubly"]


def test_public_face_of_the_autoencoder(x):
    model = Autoencoder(**SMALL, likelihood="squared-error")
    terms, grads = model.loss_and_grads(x)
    assert model.draw_noise(9, np.random.default_rng(0)) == () and grads.keys() == model.params.keys()
    assert terms.kl == 0 and terms.loss == terms.recon_nll == pytest.approx(
        0.5 * ((x - model.reconstruct(x)) ** 2).sum(axis=1).mean()
    )
    np.testing.assert_array_equal(model.reconstruct(x), model.decode(model.encode(x)))
    with pytest.raises(TypeError, match="no prior"):
        model.sample(3, np.random.default_rng(0))


def test_a_backend_that_is_assigned_runs():
    model = VAE(7, (4,), 2)
    model.backend = "numpy"
    assert model.ops is ops and copy.deepcopy(model).ops is ops and model.config["backend"] == "numpy"


def test_beta_one_is_the_vae_bit_for_bit(x):
    for likelihood in ("bernoulli", Gaussian(sigma="learned")):
        vae, beta = VAE(**SMALL, likelihood=likelihood), BetaVAE(**SMALL, likelihood=likelihood, beta=1)
        histories = [fit(model, x, epochs=5, batch_size=4, progress=False) for model in (vae, beta)]
        assert histories[0]["loss"] == histories[1]["loss"]
        assert all(np.array_equal(vae.params[name], beta.params[name]) for name in vae.params)


def test_losses_differ_only_in_what_the_kl_costs(x):
    noise = VAE(**SMALL).draw_noise(9, np.random.default_rng(0))
    vae = VAE(**SMALL, dtype="float64").loss(x, *noise)
    beta = BetaVAE(**SMALL, dtype="float64", beta=4.0).loss(x, *noise)
    capacity = CapacityVAE(**SMALL, dtype="float64", gamma=10.0, capacity=25.0).loss(x, *noise)
    assert vae.recon_nll == beta.recon_nll == capacity.recon_nll and vae.kl == beta.kl == capacity.kl
    assert vae.loss == vae.recon_nll + vae.kl
    assert beta.loss == pytest.approx(vae.recon_nll + 4 * vae.kl)
    assert capacity.loss == pytest.approx(vae.recon_nll + 10 * abs(vae.kl - 25))


def test_encoder_and_decoder_may_differ():
    model = BetaVAE(
        data_dim=4096,
        hidden=(12, 12),
        latent_dim=10,
        activation="relu",
        decoder_hidden=(12, 12, 12),
        decoder_activation="tanh",
    )
    shapes = {name: value.shape for name, value in model.params.items() if "_W" in name}
    assert list(shapes.values()) == [(4096, 12), (12, 12), (12, 20), (10, 12), (12, 12), (12, 12), (12, 4096)]
    assert model.encoder.activations == ["relu", "relu", "linear"] and model.decoder.activations == ["tanh"] * 3 + [
        "linear"
    ]
    mirrored = VAE(data_dim=8, hidden=(6, 4), latent_dim=2)
    assert mirrored.decoder.widths == (2, 4, 6, 8)


def test_no_hidden_layer_is_a_linear_model(x):
    model = VAE(data_dim=7, hidden=(), latent_dim=3, likelihood="gaussian", dtype="float64")
    mu, _ = model.encode(x)
    np.testing.assert_allclose(mu, (x @ model.params["encoder_W1"] + model.params["encoder_b1"])[:, :3])
    np.testing.assert_allclose(model.decode(mu), mu @ model.params["decoder_W1"] + model.params["decoder_b1"])


def test_initialisations():
    glorot, normal = VAE(784, hidden=(500,), init="glorot"), VAE(784, hidden=(500,), init="normal")
    W = glorot.params["encoder_W1"]
    r = np.sqrt(6 / (784 + 500))
    assert np.abs(W).max() <= r and W.std() == pytest.approx(r / np.sqrt(3), rel=0.01)
    assert not glorot.params["encoder_b1"].any()
    uniform = VAE(784, hidden=(500,), init="uniform").params
    for name in ("encoder_W1", "encoder_b1"):
        assert normal.params[name].std() == pytest.approx(0.01, rel=0.1)
        r, values = 784**-0.5, uniform[name]  # a uniform's kurtosis is 9/5: 500 draws err by 0.02 of the deviation
        assert 0.98 * r < np.abs(values).max() <= r and values.std() == pytest.approx(r / np.sqrt(3), rel=0.1)
    assert 0.98 * 500**-0.5 < np.abs(uniform["decoder_W2"]).max() <= 500**-0.5  # its own fan-in, not the data's


def test_seed_decides_the_parameters():
    first, again, other = (VAE(**SMALL, seed=seed).params for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["encoder_W1"], other["encoder_W1"])


def test_mlp_equations_by_hand(x):
    """(MLP.1): the encoder of a VAE is act(x W1 + b1), and so on, then a linear layer."""
    model = VAE(**SMALL, activation="softplus", dtype="float64")
    h = x.astype(float)
    for layer, act in ((1, lambda a: np.log1p(np.exp(a))), (2, lambda a: np.log1p(np.exp(a))), (3, lambda a: a)):
        h = act(h @ model.params[f"encoder_W{layer}"] + model.params[f"encoder_b{layer}"])
    np.testing.assert_allclose(np.concatenate(model.encode(x), axis=1), h)


def test_decoded_means_are_the_likelihoods_means():
    z = np.random.default_rng(0).normal(size=(4, 3))
    for likelihood, mean in (("bernoulli", lambda a: 1 / (1 + np.exp(-a))), (Gaussian(0.5), lambda a: a)):
        model = VAE(**SMALL, likelihood=likelihood, dtype="float64")
        out = model.decoder.forward(ops, model.params, z)[-1]
        np.testing.assert_allclose(model.decode(z), mean(out))
    model = VAE(**SMALL, likelihood=Gaussian("per-pixel", "sigmoid"), dtype="float64")
    out = model.decoder.forward(ops, model.params, z)[-1]
    np.testing.assert_allclose(model.decode(z), 1 / (1 + np.exp(-out[:, :7])))
    assert out.shape == (4, 14)


def test_samples_come_from_the_prior():
    """A decoder that hands z on shows what sample draws: mean 0, variance 1."""
    model = VAE(data_dim=3, hidden=(), latent_dim=3, likelihood="gaussian", dtype="float64")
    model.params["decoder_W1"][...], model.params["decoder_b1"][...] = np.eye(3), 0
    z = model.sample(100_000, np.random.default_rng(0))
    assert np.abs(z.mean(axis=0)).max() < 0.02 and np.abs(z.var(axis=0) - 1).max() < 0.03


@pytest.mark.parametrize(
    "model",
    [
        Autoencoder(64, hidden=(64,), latent_dim=16),
        VAE(64, hidden=(64,), latent_dim=16),
        pytest.param(BetaVAE(64, hidden=(64,), latent_dim=16, beta=0.1), marks=pytest.mark.slow),
        pytest.param(CapacityVAE(64, hidden=(64,), latent_dim=16, gamma=10, capacity=40), marks=pytest.mark.slow),
        VAE(64, hidden=(64,), latent_dim=16, likelihood=Gaussian(0.1)),
    ],
    ids=lambda model: f"{type(model).__name__} {model.likelihood.config['name']}",
)
def test_one_small_batch_can_be_overfitted(model):
    x = (datasets.digits()[np.arange(10)] > 0.5).astype(np.float32)
    error_before = np.abs(model.reconstruct(x) - x).mean()
    history = fit(model, x, Adam(lr=3e-3), batch_size=10, epochs=600, progress=False)
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert np.abs(model.reconstruct(x) - x).mean() < 0.1 * error_before


def test_capacity_is_met():
    model = CapacityVAE(64, hidden=(64,), latent_dim=8, gamma=100, capacity=3.0)
    data = datasets.digits()
    fit(model, data, Adam(lr=1e-3), epochs=20, progress=False)
    assert evaluate(model, data).kl == pytest.approx(3.0, abs=0.3)


def test_more_beta_means_less_kl():
    kls = []
    for beta in (0.5, 1.0, 4.0):
        model = BetaVAE(64, hidden=(32,), latent_dim=4, beta=beta)
        fit(model, datasets.digits(), Adam(lr=3e-3), epochs=15, progress=False)
        kls.append(evaluate(model, datasets.digits("test")).kl)
    assert kls[0] > kls[1] > kls[2]


def test_a_float32_model_stays_float32_on_float64_input(x):
    model = VAE(**SMALL)
    terms, grads = model.loss_and_grads(x.astype(np.float64), np.ones((9, 3)))
    assert terms.loss.dtype == np.float32 and {g.dtype for g in grads.values()} == {np.dtype(np.float32)}
    before = {name: value.copy() for name, value in model.params.items()}
    optimizer = SGD(lr=0.1)
    optimizer.step(model.params, grads, optimizer.initial_state(model.params))
    assert all(
        value.dtype == np.float32 and not np.array_equal(value, before[name]) for name, value in model.params.items()
    )


@pytest.mark.parametrize("model_class", [Autoencoder, VAE, BetaVAE, CapacityVAE, IWAE, FreeBitsVAE])
def test_models_can_be_copied_and_trained_apart(model_class, x):
    model = model_class(**SMALL)
    twin, again = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    fit(model, x, batch_size=3, epochs=2, progress=False)
    fit(twin, x, batch_size=3, epochs=2, progress=False)
    assert np.array_equal(model.params.vector, twin.params.vector)
    assert not np.array_equal(model.params.vector, again.params.vector)
    twin.params["encoder_b1"] = 7.0
    assert twin.params.vector.max() == 7.0 and model.params["encoder_b1"].max() < 7.0


@pytest.mark.parametrize("model_class", [Autoencoder, BetaVAE])
def test_a_shallow_copy_is_a_whole_one(model_class, x):
    model = model_class(**SMALL)
    twin, before = copy.copy(model), model.params.vector.copy()
    assert type(twin) is model_class and not np.shares_memory(twin.params.vector, before)
    fit(twin, x, batch_size=3, epochs=1, progress=False)
    assert np.array_equal(model.params.vector, before) and not np.array_equal(twin.params.vector, before)


# ---- parameters are one vector with named views ---------------------------------------------------------

WAYS = {
    "an item": lambda model, values: [model.params.__setitem__(name, value) for name, value in values.items()],
    "update": lambda model, values: model.params.update(values),
    "|=": lambda model, values: model.params.__ior__(values),
    "the whole mapping": lambda model, values: setattr(model, "params", values),
    "another model's": lambda model, values: setattr(model, "params", OTHER.params),
}
OTHER = VAE(**SMALL, seed=5)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_of_changing_the_parameters_copies_into_their_vector(way, x):
    model, start = VAE(**SMALL), OTHER.params.vector.copy()
    vector = model.params.vector
    way(model, dict(OTHER.params))
    assert model.params.vector is vector and np.array_equal(vector, start)
    fit(model, x, SGD(0.1), batch_size=3, epochs=1, progress=False)
    assert not np.array_equal(vector, start) and np.array_equal(OTHER.params.vector, start)  # it alone has moved
    assert all(np.shares_memory(value, vector) for value in model.params.values())


def test_names_and_shapes_of_the_parameters_stay():
    model = VAE(**SMALL)
    for change in (
        lambda: model.params.pop("encoder_b1"), lambda: model.params.__delitem__("encoder_b1"), model.params.clear,
        model.params.popitem, lambda: model.params.setdefault("more", np.zeros(3)),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="cannot be added or removed"):
            change()
    with pytest.raises(KeyError, match="encoder_w1"):
        model.params["encoder_w1"] = 0
    with pytest.raises(ValueError, match="shape"):
        model.params["encoder_b1"] = np.zeros(4)
    with pytest.raises(ValueError, match="params must have the names encoder_W1.*; got W"):
        model.params = {"W": 1}
    assert list(model.params) == list(VAE(**SMALL).params)


def test_a_likelihood_that_forgets_its_own_gradient_is_told(x):
    class Forgetful(Gaussian):
        def backward(self, *arguments):
            return super().backward(*arguments)[0], {}

    model = VAE(**SMALL, likelihood=Forgetful("learned"))
    with pytest.raises(ValueError, match="must give the gradients of x_logvar; got nothing"):
        model.loss_and_grads(x, *model.draw_noise(9, np.random.default_rng(0)))


def test_what_a_backward_leaves_out_is_zero_and_not_what_memory_held(x):
    class Frozen(VAE):
        def backward(self, x, eps, saved, grads):
            pass

    for _ in range(3):  # memory that was used before comes back
        np.full(10_000, 7.0)
        model = Frozen(**SMALL)
        assert not model.loss_and_grads(x, *model.draw_noise(9, np.random.default_rng(0)))[1].vector.any()


def test_editing_a_config_changes_no_model():
    model = VAE(**SMALL)
    model.config["likelihood"]["name"] = "gaussian"
    model.config["hidden"].append(3)
    model.likelihood.config["name"] = "gaussian"
    assert VAE(**SMALL).config["likelihood"] == model.config["likelihood"] == {"name": "bernoulli"}
    assert model.config["hidden"] == [6, 5]


def test_help_shows_every_argument_of_a_constructor():
    for model_class, own in ((VAE, []), (BetaVAE, ["beta"]), (CapacityVAE, ["gamma", "capacity"]), (IWAE, ["samples", "doubly"])):
        names = list(inspect.signature(model_class).parameters)
        assert names[:5] == ["data_dim", "hidden", "latent_dim", "activation", "likelihood"] and names[11:] == own


def test_the_vector_itself_may_be_assigned_and_a_copy_is_apart(x):
    model, average = VAE(**SMALL), (VAE(**SMALL).params.vector + OTHER.params.vector) / 2
    vector, snapshot = model.params.vector, model.params.copy()
    model.params.vector = average
    assert model.params.vector is vector and np.array_equal(vector, average)
    for count in (7, 8):  # an attribute of one's own is no vector
        model.params.seen = count
    assert model.params.seen == 8 and np.array_equal(vector, average)
    fit(model, x, SGD(0.1), batch_size=3, epochs=1, progress=False)
    assert not np.array_equal(model.params["encoder_W1"], snapshot["encoder_W1"])
    assert np.array_equal(snapshot.vector, VAE(**SMALL).params.vector)


def test_a_wrong_shape_among_many_changes_nothing():
    model = VAE(**SMALL)
    wrong = {**{name: value + 1 for name, value in model.params.items()}, "decoder_b3": np.zeros(6)}
    with pytest.raises(ValueError, match=r"decoder_b3 has the shape \(7,\).*\(6,\)"):
        model.params = wrong
    assert np.array_equal(model.params.vector, VAE(**SMALL).params.vector)
    with pytest.raises(ValueError, match="names encoder_W1.*; got None"):
        model.params = None


def test_hyperparameters_change_together_or_not_at_all():
    model = CapacityVAE(**SMALL, gamma=2.0, capacity=1.0)
    with pytest.raises(ValueError, match="capacity"):
        model.set(gamma=5, capacity=-1)
    assert (model.gamma, model.capacity) == (2.0, 1.0)


@pytest.mark.parametrize(
    "given, words", [({"encoder_W1": np.zeros((), np.float32)}, "encoder_W1"), ({"s": 0.0}, "s is 0.0"), ({"s": np.zeros(())}, "float32")]
)  # fmt: skip
def test_a_likelihoods_own_parameters_have_names_and_dtype_of_the_model(given, words):
    class Odd(Bernoulli):
        name = None

        def initial_params(self, dtype):
            return given

    with pytest.raises(ValueError, match=f"Odd.initial_params.*{words}|{words}"):
        VAE(**SMALL, likelihood=Odd())


def test_an_empty_batch_is_no_error():
    model = VAE(**SMALL)
    assert model.encode(np.zeros((0, 7)))[0].shape == (0, 3)


def test_parameters_can_be_exchanged_and_a_bad_value_changes_none():
    params = VAE(6, (2,), 1, init="normal").params
    first, second = params["encoder_b1"].copy(), params["decoder_b1"].copy()
    params.update(encoder_b1=params["decoder_b1"], decoder_b1=params["encoder_b1"])
    assert (params["encoder_b1"] == second).all() and (params["decoder_b1"] == first).all()
    with pytest.raises((ValueError, TypeError)):
        params.update(encoder_b1=first, decoder_b1=["a", "b"])
    assert (params["encoder_b1"] == second).all()

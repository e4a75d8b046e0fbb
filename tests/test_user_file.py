"""Promise: what a user defines in a file of their own works everywhere, without an edit to the package."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import user_file
from helpers import refused, unsaid

from vae_from_scratch import SGD, VAE, Adam, BetaVAE, Gaussian, base, cli, datasets, fit, gradcheck, load, ops, save
from vae_from_scratch.base import PenaltyGrads
from vae_from_scratch.beta_vae import PenaltyVAE
from vae_from_scratch.datasets.dataset import every_tenth
from vae_from_scratch.evaluation import evaluate, log_likelihood
from vae_from_scratch.likelihoods import Likelihood
from vae_from_scratch.optimizers import Optimizer

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(24, 7))
MODELS = {
    "a likelihood": lambda **more: VAE(7, (6,), 3, likelihood=user_file.Cauchy(), **more),
    "an activation": lambda **more: VAE(7, (6,), 3, activation="elu", **more),
    "a layer": lambda **more: user_file.NormVAE(7, (6, 5), 3, **more),
    "a penalty of the batch": lambda **more: user_file.TotalCorrelationVAE(7, (6,), 3, gamma=1.5, **more),
    "two draws of z": lambda **more: user_file.TwoDraws(7, (6,), 3, likelihood=user_file.Cauchy(), **more),
    "a second network": lambda **more: user_file.CriticVAE(7, (6,), 3, **more),
}
each = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
SETTINGS = {"batch_size": 6, "epochs": 3, "binarize": "none", "progress": False}


def vectors(model):
    return [player.params.vector for player in model.players.values()]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(vectors(one), vectors(other), strict=True))


def nll(out, x):
    return (out - x) ** 2


def likelihood_of(**wrong):
    methods = {
        "name": None, "forward": lambda self, ops, params, out, x: nll(out, x).sum(axis=1),
        "backward": lambda self, ops, params, dnll, out, x: (dnll[:, None] * 2 * (out - x), {}), "mean": lambda self, ops, params, out: out,
    }  # fmt: skip
    return lambda **more: VAE(7, (6,), 3, likelihood=type("Mine", (Likelihood,), methods | wrong)(), **more)


def penalty_of(**wrong):
    methods = {
        "name": None, "penalty_forward": lambda self, kl, *_: kl.mean(),
        "penalty_backward": lambda self, dpenalty, kl, *_: PenaltyGrads(dkl=dpenalty * np.ones_like(kl) / len(kl)),
    }  # fmt: skip
    methods = {name: method for name, method in (methods | wrong).items() if method is not ...}
    return lambda **more: type("Mine", (PenaltyVAE,), methods)(7, (6,), 3, **more)


def model_of(**methods):
    return lambda **more: type("Mine", (VAE,), {"name": None} | methods)(7, (6,), 3, **more)


def not_a_pair(**more):
    return VAE(7, (6,), 3, activation="square", **more)


def returns_nothing(**more):
    return VAE(7, (6,), 3, activation="nothing", **more)


MISTAKES = {  # what a class of the user's own does wrong, and words of the error
    "no sum over pixels": (likelihood_of(forward=lambda self, ops, params, out, x: nll(out, x)), "Mine.forward each example (3, 7)"),
    "a batch mean": (likelihood_of(forward=lambda self, ops, params, out, x: nll(out, x).sum(axis=1).mean()), "Mine.forward each shape ()"),
    "no dict": (likelihood_of(backward=lambda self, ops, params, dnll, out, x: 2 * (out - x)), "Mine.backward two dict ndarray"),
    "dout of rows": (likelihood_of(backward=lambda self, ops, params, dnll, out, x: (dnll, {})), "Mine.backward dout (N, 7) (3,)"),
    "a penalty per example": (penalty_of(penalty_forward=lambda self, kl, *_: kl), "Mine.penalty_forward one number mean (3,)"),
    "an array for PenaltyGrads": (penalty_of(penalty_backward=lambda self, d, kl, *_: kl), "Mine.penalty_backward PenaltyGrads ndarray"),
    "dmu of latents": (
        penalty_of(penalty_backward=lambda self, d, kl, *_: PenaltyGrads(dmu=np.ones(5))), "Mine.penalty_backward dmu (N, 3) (5,)",
    ),
    "no penalty_backward": (penalty_of(penalty_backward=...), "Mine penalty_backward PenaltyGrads"),
    "a likelihood without return": (likelihood_of(forward=lambda self, *_: None), "Mine.forward each example (N,) returned None"),
    "its backward without return": (likelihood_of(backward=lambda self, *_: None), "Mine.backward two dict got NoneType"),
    "no dout": (likelihood_of(backward=lambda self, *_: (None, {})), "Mine.backward dout (N, 7) is None"),
    "a penalty without return": (penalty_of(penalty_forward=lambda self, kl, *_: None), "Mine.penalty_forward one number returned None"),
    "its gradients without return": (penalty_of(penalty_backward=lambda *_: None), "Mine.penalty_backward PenaltyGrads NoneType"),
    "dmu without return": (penalty_of(penalty_backward=lambda *_: PenaltyGrads(dmu=None)), "Mine.penalty_backward dmu (N, 3) None"),
    "an activation without return": (returns_nothing, "ACTIVATIONS 'nothing' forward shape (3, 2) returned None"),
    "a loss for Terms": (model_of(forward=lambda self, x, eps: np.float32(1)), "Mine.forward Terms Saved(...) got float32"),
    "a loss and Saved": (model_of(forward=lambda self, x, eps: (np.float32(1), base.Saved([], []))), "forward Terms float32 and Saved"),
    "Terms alone": (model_of(forward=lambda self, x, eps: VAE.forward(self, x, eps)[0]), "Mine.forward Terms and Saved(...) got Terms"),
    "nothing": (model_of(forward=lambda self, x, eps: None), "Mine.forward Terms Saved(...) NoneType"),
    "a number": (model_of(loss=lambda self, x, eps: VAE.loss(self, x, eps).loss), "Mine.loss Terms kl_each float32|float64"),
    "no gradients": (
        model_of(loss_and_grads=lambda self, x, eps, out=None: VAE.loss(self, x, eps)), "Mine.loss_and_grads Terms grads got Terms",
    ),
    "an activation alone": (not_a_pair, "ACTIVATIONS 'square' pair forward backward"),
}  # fmt: skip


@pytest.mark.parametrize("make, words", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_it_is_named_with_what_is_needed(make, words, monkeypatch):
    monkeypatch.setitem(ops.ACTIVATIONS, "square", np.square)
    monkeypatch.setitem(ops.ACTIVATIONS, "nothing", (lambda a: None, lambda dh, h: None))
    with pytest.raises(TypeError) as caught:
        fit(make(), X.astype("float32"), **SETTINGS)
    assert not unsaid(str(caught.value), words), caught.value
    model = make(dtype="float64")
    with pytest.raises(TypeError) as caught:
        gradcheck.check_model(model, X[:4], *model.draw_noise(4, RNG))
    assert not unsaid(str(caught.value), words), caught.value


def test_an_error_of_its_own_is_left_as_it_is():
    def forward(self, ops, params, out, x):
        raise ValueError("the flux capacitor is empty")

    with pytest.raises(ValueError, match="^the flux capacitor"):
        fit(likelihood_of(forward=forward)(), X.astype("float32"), **SETTINGS)


def test_a_likelihood_without_its_mean_is_refused_at_once():
    with pytest.raises(TypeError, match="Half needs a method mean"):
        type("Half", (Likelihood,), {"name": None, "forward": nll, "backward": nll})


def test_a_penalty_may_leave_out_the_kl():
    norm = {
        "penalty_forward": lambda self, kl, mu, logvar, z: (z * z).sum() / len(z),
        "penalty_backward": lambda self, dpenalty, kl, mu, logvar, z: PenaltyGrads(dz=2 * dpenalty * z / len(z)),
    }
    model = penalty_of(**norm)(dtype="float64")
    assert all(check.ok for check in gradcheck.check_model(model, X[:4], *model.draw_noise(4, RNG)))


def test_a_class_of_a_script_is_asked_for_where_it_was_saved(tmp_path, monkeypatch):
    mine = type("Mine", (VAE,), {"__module__": "__main__"})
    save(mine(7, (6,), 3), tmp_path / "mine.npz")
    assert isinstance(load(tmp_path / "mine.npz"), mine)
    monkeypatch.delitem(base.MODELS, mine.name)
    with pytest.raises(ValueError) as caught:
        load(tmp_path / "mine.npz")
    assert not unsaid(str(caught.value), "mine.npz __main__.Mine define name") and "import __main__" not in str(caught.value)


@each
def test_its_gradients_are_checked(make):
    model, rng = make(dtype="float64"), np.random.default_rng(0)  # the same numbers whatever was drawn before
    for vector in vectors(model):
        vector[...] = rng.uniform(0.2, 0.5, vector.shape) * rng.choice([-1, 1], vector.shape)
    checks = gradcheck.check_model(model, X[:4], *model.draw_noise(4, rng))
    assert len(checks) == sum(len(player.params) for player in model.players.values())
    assert not [check.worst for check in checks if not check.ok]


@each
def test_it_learns_and_is_evaluated(make):
    model, digits = make(), datasets.digits().subset(slice(200))
    model = type(model)(64, (20,), 3, likelihood=model.likelihood, activation=model.activation)
    before = evaluate(model, digits)
    history = fit(model, digits, Adam(3e-3), epochs=15, batch_size=20, progress=False)
    after, bound = evaluate(model, digits, samples=2), log_likelihood(model, digits, 5, progress=False).bound
    assert history["loss"][-1] < history["loss"][0] and after.elbo > before.elbo + 2
    assert after.kl_per_latent.sum() == pytest.approx(after.kl) and bound.mean > after.elbo_a.mean
    assert ("critic_loss" in history) == ("critic" in model.players)


@each
def test_it_is_saved_and_loaded(make, tmp_path):
    model = make(seed=3)
    fit(model, X, **SETTINGS)
    save(model, tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    assert type(again) is type(model) and again.config == model.config and same(again, model)


@each
def test_it_stops_and_goes_on(make, tmp_path):
    class Stop(BaseException):
        pass

    def rate(stop):
        def lr(t):
            if t == stop:
                raise Stop
            return 0.01 / (1 + t)

        return lr

    whole, broken, again = make(), make(), make()
    expected = fit(whole, X, SGD(rate(-1), momentum=0.5), **SETTINGS)
    with pytest.raises(Stop):
        fit(broken, X, SGD(rate(7), momentum=0.5), **SETTINGS, checkpoint=tmp_path, checkpoint_seconds=0)
    history = fit(again, X, SGD(rate(-1), momentum=0.5), **SETTINGS, checkpoint=tmp_path, resume=True)
    assert same(again, whole) and history["loss"] == expected["loss"] and list(history) == list(expected)


def test_the_players_learn_by_rules_of_their_own():
    model, frozen = MODELS["a second network"](), MODELS["a second network"]()
    fit(model, X, {"model": Adam(1e-2), "critic": SGD(1e-30)}, **SETTINGS)
    moved = [np.abs(a - b).max() for a, b in zip(vectors(model), vectors(frozen))]
    assert moved[0] > 1e-3 and moved[1] < 1e-20
    with pytest.raises(ValueError, match="one for each of model, critic; got model"):
        fit(model, X, {"model": Adam()}, **SETTINGS)


def test_the_model_is_the_first_of_its_players():
    class Swapped(user_file.CriticVAE):
        name, players = None, property(lambda self: {"critic": self.critic, "model": self})

    with refused("players begin model Swapped 'critic'"):
        fit(Swapped(7, (6,), 3), X, **SETTINGS)


def test_a_parameter_of_ones_own_learns_with_two_threads_as_with_one():
    class LearnedScale(VAE):
        name, rows_apart = None, True

        def initial_params(self, rng):
            return super().initial_params(rng) | {"scale": np.ones(3, self.dtype)}

        def forward(self, x, eps):
            return super().forward(x, eps)

        def backward(self, x, eps, saved, grads):
            super().backward(x, eps, saved, grads)
            grads["scale"] = np.full(3, 0.5, self.dtype)

    moved = []
    for threads in (1, 2):
        model = LearnedScale(7, (6,), 3, backend="numba")
        fit(model, X, SGD(0.1), **SETTINGS, threads=threads)
        moved.append(model.params["scale"].copy())
    assert (moved[0] < 1).all() and np.array_equal(*moved)


def test_a_state_that_grows_in_a_step_is_refused_before_a_run_is_lost(tmp_path):
    def step(self, params, grads, state, kernels=None):
        state.setdefault("best", 0.0)
        Optimizer.step(self, params, grads, state, kernels)

    with refused("optimizer step added best initial_state slots", TypeError):
        fit(VAE(7, (6,), 3), X, optimizer_of(step=step, update=lambda *_: None), **SETTINGS, checkpoint=tmp_path)


def test_a_likelihood_of_ones_own_keeps_the_dtype():
    model = VAE(7, (6,), 3, likelihood=user_file.Cauchy(), dtype="float32")
    terms = model.loss(X[:5].astype(np.float32), *model.draw_noise(5, np.random.default_rng(0)))
    assert terms.recon_nll_each.dtype == terms.loss.dtype == np.float32


def optimizer_of(**methods):
    return type("Mine", (Optimizer,), {"lr": 0.1} | methods)()


def lost(self, param, grad, t, lr, kernels):
    param = param - lr * grad
    return param


@pytest.mark.parametrize(
    "optimizer, words",
    [
        (optimizer_of(), "optimizer Mine update param in place Adam"),
        (type("Mine", (Optimizer,), {"update": lost})(), "optimizer Mine lr number > 0 Adam"),
        (optimizer_of(update=lost, slots=["v"]), "optimizer's slots dict {'velocity': 0.0} Mine ['v']"),
        (optimizer_of(update=lost, slots={"v": None}), "optimizer's slots number starts Mine {'v': None}"),
    ],
    ids=["without update", "without lr", "slots in a list", "a slot that starts nowhere"],
)
def test_an_optimizer_without_its_parts_is_refused(optimizer, words):
    with pytest.raises(TypeError) as error:
        fit(VAE(7, (6,), 3), X, optimizer, **SETTINGS)
    assert not unsaid(str(error.value), words), error.value


def test_an_optimizer_that_moves_nothing_is_noticed():
    with pytest.warns(UserWarning) as warned:
        fit(VAE(7, (6,), 3), X, optimizer_of(update=lost), **SETTINGS)
    assert len(warned) == 1 and not unsaid(str(warned[0].message), "parameter changed epoch 1 param in place -=")


def test_an_optimizer_may_add_up_the_gradients_of_several_steps():
    class Fourth(SGD):
        def update(self, param, grad, velocity, t, lr, kernels):
            velocity += grad
            param -= lr * velocity * (t % 4 == 0)

    model, start = VAE(7, (6,), 3), VAE(7, (6,), 3)
    fit(model, X, Fourth(0.01), **SETTINGS)
    assert not same(model, start)


@pytest.mark.slow
def test_load_names_what_must_be_imported_first(tmp_path):
    save(MODELS["two draws of z"](), tmp_path / "m.npz")
    line = "from vae_from_scratch import load; load('m.npz'); print('loaded')"
    run = [sys.executable, "-c"]
    options = {"cwd": tmp_path, "capture_output": True, "text": True}
    ignorant = subprocess.run([*run, line], **options)
    assert "holds a user_file.TwoDraws" in ignorant.stderr and "import user_file first" in ignorant.stderr
    path = f"import sys; sys.path.insert(0, {str(Path(user_file.__file__).parent)!r}); import user_file;"
    assert subprocess.run([*run, path + line], **options).stdout == "loaded\n"


def test_save_refuses_what_load_could_not_read(tmp_path):
    class Forgetful(VAE):
        def __init__(self, data_dim, extra=1):
            super().__init__(data_dim, (6,), 3)
            self.extra = [extra, object()]

    broken = VAE(7, (6,), 3)
    broken.params["encoder_b1"] = np.nan
    for model, words in ((Forgetful(7), "extra is .* no file"), (broken, "encoder_b1 is missing, not finite")):
        with pytest.raises((TypeError, ValueError), match=words):
            save(model, tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


def test_two_classes_cannot_have_one_name():
    with pytest.raises(ValueError, match="'vae' is the name of vae_from_scratch.vae.VAE; give .*Mine another"):

        class Mine(VAE):
            name = "vae"


def test_the_command_line_offers_what_the_package_has_whatever_was_imported_before_it():
    from vae_from_scratch.cli import options  # by now: user_file is imported above

    offered = {*options.MODELS, *options.LIKELIHOODS, *options.SCORES}
    assert {"vae", "bernoulli", "mig"} <= offered and not {"cauchy", "correlation"} & offered
    assert user_file.Cauchy.name == "cauchy" and user_file.CorrelationScore.name == "correlation"


@pytest.mark.slow
def test_a_score_of_ones_own_is_drawn_and_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main("train --data blobs --latent-dim 2 --epochs 1 --out r --quiet".split()) == 0
    assert cli.main("score r --score correlation --repeats 2 --points 200 --quiet".split()) == 0
    printed = capsys.readouterr().out
    assert "largest correlation" in printed and "row" in printed and (tmp_path / "r/figures/scores.png").exists()


def test_a_data_set_of_ones_own_trains_from_python_and_from_the_command_line(tmp_path, monkeypatch):
    def stripes(split="train"):
        bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
        images = np.concatenate([np.repeat(bits, 8, axis=1), np.tile(bits, 8)]).astype(np.uint8)
        return every_tenth(datasets.Dataset("stripes", images, (8, 8), binary=True, source="drawn"), split)

    assert len(fit(VAE(64, (6,), 3), stripes(), epochs=2, progress=False)["loss"]) == 2
    assert "stripes: 461 examples of 64 values, 8 x 8\n  from: drawn" in repr(stripes())
    monkeypatch.setitem(datasets.NAMES, "stripes", stripes)
    monkeypatch.setattr(cli.train, "draw_figures", lambda *_: None)
    assert cli.main(f"train --data stripes --epochs 1 --hidden 6 --out {tmp_path / 'r'} --quiet".split()) == 0
    assert cli.main(["evaluate", str(tmp_path / "r")]) == 0


def test_arguments_of_every_parent_are_kept(tmp_path):
    class Loud(VAE):
        def __init__(self, *args, loud=1, **kwargs):
            super().__init__(*args, **kwargs)
            self.loud = loud

    class Both(Loud, BetaVAE):
        pass

    class Shifted(Gaussian):
        name = "shifted"

        def __init__(self, sigma=1.0, mean="linear", shift=1.0):
            super().__init__(sigma, mean)
            self.shift = shift

    model = Both(7, (6,), 3, beta=7.0, loud=3, likelihood=Shifted("learned", "sigmoid", shift=3.0))
    save(model, tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    assert (again.beta, again.loud, again.likelihood.shift, again.likelihood.sigma) == (7.0, 3, 3.0, "learned")


def test_save_refuses_what_load_would_change(tmp_path):
    class Doubled(VAE):
        def __init__(self, data_dim, strength=1.0):
            super().__init__(data_dim, (6,), 3)
            self.strength = 2 * strength

    with pytest.raises(ValueError, match="strength would be 4.0 and is 2.0"):
        save(Doubled(7), tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_model_with_two_players_can_be_copied():
    model = MODELS["a second network"]()
    twin = copy.deepcopy(model)
    fit(model, X, **SETTINGS)
    assert not same(model, twin)
    fit(twin, X, **SETTINGS)
    assert same(model, twin)


def test_tuples_and_numpys_numbers_among_the_arguments_are_resumed(tmp_path):
    class Scaled(Gaussian):
        name = "scaled"

        def __init__(self, scales=(1.0, 3.0)):
            super().__init__()
            self.scales = scales

    options = {**SETTINGS, "checkpoint": tmp_path}
    fit(BetaVAE(7, (6,), 3, likelihood=Scaled(), beta=np.float32(2)), X, **options)
    fit(BetaVAE(7, (6,), 3, likelihood=Scaled(), beta=2.0), X, **{**options, "epochs": 4}, resume=True)

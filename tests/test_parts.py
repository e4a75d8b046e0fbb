"""Promise: a batch cut into parts for threads gives the gradient of the whole, chunks the same bits, and nothing hangs."""

import importlib
import itertools
import os
import pickle
import signal
import threading

import numpy as np
import pytest

from user_file import TwoDraws
from vae_from_scratch import IWAE, VAE, Adam, Autoencoder, BetaVAE, CapacityVAE, DenoisingAutoencoder, FreeBitsVAE, Gaussian, SGD, fit
from vae_from_scratch import datasets, disentanglement, evaluation
from vae_from_scratch.base import PenaltyGrads
from vae_from_scratch.engine.backends import BACKENDS
from vae_from_scratch.beta_vae import PenaltyVAE
from vae_from_scratch.datasets.factors import FactorDataset
from vae_from_scratch.disentanglement import codes, mig
from vae_from_scratch.engine import gradient_table, parts, threads as threads_module
from vae_from_scratch.engine.threads import ASKED, asked, in_threads

sprites = importlib.import_module("vae_from_scratch.datasets.dsprites")  # the attribute of that name is a function

pytestmark = pytest.mark.skipif(not hasattr(BACKENDS["numba"](), "twins"), reason="Numba cannot compile here")
CASES = {
    "vae": (VAE, {}),
    "float64": (VAE, {"dtype": "float64"}),
    "sigmoid, no kernel": (VAE, {"activation": "sigmoid"}),
    "relu, no hidden layer": (VAE, {"hidden": (), "activation": "relu", "likelihood": Gaussian("per-pixel")}),
    "learned variance": (VAE, {"likelihood": Gaussian("learned")}),
    "beta": (BetaVAE, {"beta": 3.0}),
    "capacity": (CapacityVAE, {"gamma": 10.0, "capacity": 0.1}),
    "iwae": (IWAE, {"samples": 3}),
    "free bits": (FreeBitsVAE, {"free_bits": 0.05}),
    "autoencoder": (Autoencoder, {"likelihood": "squared-error"}),
}


class FarMeans(PenaltyVAE):
    """The square of the batch's mean of mu and z: no mean over rows, and each row's gradient depends on all."""

    name = None
    rows_apart = True  # its pair keeps nothing, so that each part may call it

    def penalty_forward(self, kl, mu, logvar, z):
        return kl.mean() + ((mu + z).mean(axis=0) ** 2).sum()

    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        dmean = 2 * dpenalty * (mu + z).mean(axis=0) / len(mu)
        every = np.repeat(dmean[None], len(mu), axis=0)
        return PenaltyGrads(np.full_like(kl, dpenalty / len(kl)), every, 0.0, every)


def small(model_class, **settings):
    return model_class(**{"data_dim": 9, "hidden": (8, 6), "latent_dim": 3, **settings})


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", [*CASES, "a penalty of the whole batch"])
def test_the_parts_give_the_gradient_of_the_batch(name, threads):
    model_class, settings = CASES.get(name, (FarMeans, {}))
    model, rng = small(model_class, **settings), np.random.default_rng(0)
    x = rng.uniform(size=(7, 9)).astype(model.dtype)  # 7 rows: the parts are not alike
    noise = model.draw_noise(7, rng)
    assert parts.can_be_cut(model)
    with parts.Crew(threads, model.players, {"model": Adam()}) as crew:
        for _ in range(2):  # the second time into the memory of the first
            terms, grads = crew.loss_and_grads("model", x, noise)
        assert crew.cuts
    whole_terms, whole = model.loss_and_grads(x, *noise)
    tolerance = 1e-12 if model.dtype == np.float64 else 2e-6
    for got, wanted in [*zip(terms, whole_terms), *((grads[key], whole[key]) for key in whole)]:
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max(), strict=True)


TABLE = {type(case.model).__name__: case for case in gradient_table.models()}  # one row for each model


@pytest.mark.parametrize("case", [case for case in TABLE.values() if case.model.rows_apart], ids=lambda case: case.name)
def test_every_objective_whose_rows_are_apart_is_cut_right(case):
    model = case.model.__class__(**{**case.model.config, "backend": "numba"})
    model.params.vector = case.model.params.vector
    assert parts.can_be_cut(model)
    with parts.Crew(2, model.players, {"model": Adam()}) as crew:
        _, grads = crew.loss_and_grads("model", case.x, case.noise)
    whole = model.loss_and_grads(case.x, *case.noise)[1]
    np.testing.assert_allclose(grads.vector, whole.vector, rtol=1e-10, atol=1e-12)


def test_the_work_of_an_iwae_is_counted_with_its_draws(monkeypatch):
    """One draw of this model is too little for two threads, the decoder's work for fifty is enough."""
    monkeypatch.setattr(parts, "named_by_the_environment", lambda: False)
    monkeypatch.setattr(parts, "cores", lambda: 3)
    widths = {"data_dim": 300, "hidden": (200,), "latent_dim": 5}  # 7e7 flops a step of 100 rows
    assert parts.count(None, VAE(**widths), 100) == parts.count(None, IWAE(**widths, samples=1), 100) == 1
    assert parts.count(None, DenoisingAutoencoder(**widths), 100) == 1  # noise for each pixel is no draw of z
    assert parts.count(None, IWAE(**widths, samples=50), 100) == 2


def trained(threads, optimizer, **how):
    model = small(VAE, seed=1)
    history = fit(model, data(), optimizer, batch_size=7, epochs=2, threads=threads, progress=False, **how)
    return model, history


def left_behind():
    """Threads of ours that do not end; one that Ctrl-C met as it started takes a moment."""
    found = [each for each in threading.enumerate() if each.name.startswith(("part", "chunk"))]
    for each in found:
        each.join(60)
    return [each for each in found if each.is_alive()]


def data():
    return np.random.default_rng(0).uniform(size=(40, 9)).astype("float32")


@pytest.mark.parametrize("optimizer", [Adam(), SGD(0.1, momentum=0.5)], ids=["Adam", "SGD"])
def test_a_number_of_threads_gives_the_same_bits_each_time_and_one_the_same_as_ever(optimizer):
    one, two, again = (trained(threads, optimizer)[0].params.vector for threads in (1, 2, 2))
    assert (two == again).all()
    np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-5)
    assert (one == trained(None, optimizer)[0].params.vector).all()  # so little work that one thread is chosen
    assert not left_behind()


def test_what_is_not_known_to_be_a_mean_over_rows_stays_whole():
    class Logged(VAE):
        name = None

        def backward(self, x, eps, saved, grads):
            seen.append(len(x))
            super().backward(x, eps, saved, grads)

    seen, model = [], small(Logged)
    fit(model, data(), batch_size=20, epochs=1, threads=2, progress=False)
    assert seen == [20, 20] and not parts.can_be_cut(model)
    assert not parts.can_be_cut(small(TwoDraws))
    assert not parts.can_be_cut(small(VAE, backend="numpy"))
    patched = small(VAE)
    patched.forward = lambda *given: VAE.forward(patched, *given)
    assert not parts.can_be_cut(patched)
    for patch in ("penalty_forward", "encoder.forward", "likelihood.forward"):
        model = small(CapacityVAE)
        assert parts.can_be_cut(model)
        *path, name = patch.split(".")
        setattr(getattr(model, path[0]) if path else model, name, lambda *given: None)
        assert not parts.can_be_cut(model), patch

    class OtherNoise(DenoisingAutoencoder):
        name = None

        def corrupt(self, x, eps):
            return x - x.mean(axis=0)

    assert parts.can_be_cut(small(DenoisingAutoencoder)) and not parts.can_be_cut(small(OtherNoise))

    class LoggedRows(Logged):
        name = None
        rows_apart = True  # said of its own loss, not of an inherited one

    assert not parts.can_be_cut(small(LoggedRows))


def test_a_penalty_of_the_user_may_write_to_its_model():
    """It sees the model itself, one call at a time, whatever number of threads was asked for."""

    class Controlled(PenaltyVAE):
        name = None

        def penalty_forward(self, kl, mu, logvar, z):
            callers.add(threading.current_thread())
            return self.weight * kl.mean()

        def penalty_backward(self, dpenalty, kl, mu, logvar, z):
            self.weight *= 0.9
            return PenaltyGrads(dkl=np.full_like(kl, dpenalty * self.weight / 0.9 / len(kl)))

    weights, callers = [], set()
    for threads in (1, 2):
        model = small(Controlled)
        model.weight = 1.0
        fit(model, data(), batch_size=10, epochs=1, threads=threads, progress=False)
        evaluation.evaluate(model, data(), batch_size=10, threads=threads)
        weights.append(model.weight)
    assert weights == pytest.approx([0.9**4] * 2) and not parts.can_be_cut(model)
    assert callers == {threading.current_thread()}


def test_an_update_rule_may_ask_for_any_pair_and_update_single_numbers():
    class Clipped(Adam):
        def step(self, params, grads, state, kernels=None):
            asked.append(kernels.tanh_forward(np.ones(2)))
            super().step(params, dict(grads), state, kernels)  # not vectors in one order: parameter by parameter

    asked, model = [], small(VAE, likelihood=Gaussian("learned"), seed=1)
    fit(model, data(), Clipped(), batch_size=7, epochs=1, threads=2, progress=False)
    assert np.allclose(asked, np.tanh(1)) and model.params["x_logvar"] != 0


def test_a_pair_that_was_changed_runs_in_whole_batches(monkeypatch):
    from vae_from_scratch import ops

    seen, original = [], ops.dense_act_backward
    mine = lambda dh, *rest, out: seen.append(len(dh)) or original(dh, *rest, out=out)  # noqa: E731
    monkeypatch.setattr(ops, "dense_act_backward", mine)
    trained(2, Adam())
    assert set(seen) == {7, 5}


@pytest.mark.parametrize("penalty", [False, True])
def test_an_error_in_a_part_is_raised_with_its_own_traceback(penalty):
    class Picky(FarMeans if penalty else VAE):
        name = None
        rows_apart = True

        def forward(self, x, eps):
            if x[0, 0] == 7:
                raise RuntimeError("row 7 is bad")
            return super().forward(x, eps)

        def backward(self, *given):
            return super().backward(*given)

    model, x = small(Picky, likelihood=Gaussian()), data()[:8]
    x[4, 0] = 7  # the first row of the second part
    with parts.Crew(2, model.players, {"model": Adam()}) as crew:
        with pytest.raises(RuntimeError, match="row 7") as failure:
            crew.loss_and_grads("model", x, model.draw_noise(8, np.random.default_rng(0)))
        assert failure.traceback[-1].name == "forward"
        x[4, 0] = 0
        crew.loss_and_grads("model", x, model.draw_noise(8, np.random.default_rng(0)))  # the crew goes on


def test_a_resumed_run_has_the_threads_it_began_with(tmp_path):
    whole, _ = trained(2, Adam())
    model = small(VAE, seed=1)
    settings = dict(batch_size=7, checkpoint=tmp_path, progress=False)
    fit(model, data(), Adam(), epochs=1, threads=2, **settings)
    with pytest.raises(ValueError, match="threads is 1, but was 2"):
        fit(small(VAE, seed=1), data(), Adam(), epochs=2, threads=1, resume=True, **settings)
    model = small(VAE, seed=1)
    fit(model, data(), Adam(), epochs=2, resume=True, **settings)
    assert (model.params.vector == whole.params.vector).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_from_within_a_run_with_threads_can_train():
    def fork(model, examples):
        child = os.fork()
        if child == 0:
            trained(2, Adam())
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    trained(2, Adam(), callback=fork, callback_at=[10])


@pytest.mark.parametrize("threads, words", [(0, "threads"), (1.5, "threads"), ("two", "threads")])
def test_bad_numbers_of_threads_are_refused(threads, words):
    with pytest.raises((ValueError, TypeError), match=words):
        trained(threads, Adam())


def test_as_many_threads_as_pay(monkeypatch):
    for variable in parts.named_by_the_environment.__globals__["VARIABLES"]:
        monkeypatch.delenv(variable, raising=False)
    mnist = VAE(784)
    for cores, batch_size, threads in ((1, 100, 1), (2, 100, 1), (4, 100, 2), (64, 100, 2), (2, 2000, 2), (8, 4000, 8)):
        monkeypatch.setattr(parts, "cores", lambda cores=cores: cores)
        assert parts.count(None, mnist, batch_size) == threads, (cores, batch_size)
    assert parts.count(None, small(VAE), 100) == 1
    monkeypatch.setattr(parts, "cores", lambda: 2)  # the table of note 13: "one for the first two rows, two for the last two"
    wide = VAE(4096, (1200, 1200), 10, decoder_hidden=(1200,) * 3)
    rows = [(VAE(64, (64,), 2), 64), (VAE(784, (500,), 20), 100), (wide, 64), (wide, 512)]
    assert [parts.count(None, *row) for row in rows] == [1, 1, 2, 2]
    assert parts.count(None, VAE(784, backend="numpy"), 4000) == 1
    assert parts.count(3, small(TwoDraws), 100) == 1
    assert parts.count(3, mnist, 100) == 3 and parts.count(None, mnist, 100, resume=True) is None
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert parts.count(None, mnist, 4000) == 1


# ---- outside of fit: chunks that are computed side by side ------------------------------------------------


@pytest.mark.parametrize("case", TABLE.values(), ids=lambda case: type(case.model).__name__)
def test_every_objective_is_evaluated_to_the_same_bits(case):
    model = case.model.__class__(**{**case.model.config, "backend": "numba", "dtype": "float32"})
    model.trained_on(40)
    assert parts.by_several(model)
    x = np.random.default_rng(0).uniform(size=(23, model.data_dim)).astype("float32")
    samples = 17 if model.variational else 1  # more than are drawn at once
    one, three = (evaluation.evaluate(model, x, batch_size=5, samples=samples, binarize="dynamic", threads=n) for n in (1, 3))
    assert pickle.dumps(tuple(one)) == pickle.dumps(tuple(three))
    if model.variational:
        one, three = (evaluation.log_likelihood(model, x, 7, pairs=20, threads=n, progress=False) for n in (1, 3))
        assert pickle.dumps(tuple(one)) == pickle.dumps(tuple(three))


@pytest.mark.parametrize("encode", ["a model's own", "any other function"])
def test_codes_scores_and_sprites_are_the_same_bits(encode, monkeypatch):
    for module, name, small_enough in ((codes, "BATCH", 200), (mig, "BATCH", 200), (sprites, "MANY", 300), (parts, "CHUNK", 0)):
        monkeypatch.setattr(module, name, small_enough)
    data = FactorDataset("sprites", datasets.dsprites(size=8).draw, datasets.dsprites().factor_names, (2, 3, 4, 5, 6), (8, 8))
    model, threads = small(VAE, data_dim=64, seed=1), []

    def other(x):
        threads.append(threading.current_thread())
        return model.encode(x)

    found = []
    for n in (1, 3):
        encoder, table = disentanglement.encode_all(model.encode if encode[0:2] == "a " else other, data, False, threads=n)
        scores = disentanglement.all_scores(encoder, table, ["mig"], repeats=1, points=300, progress=False, threads=n)
        with asked(n):
            drawn = data[:]
        found.append(pickle.dumps((table[:], scores, drawn)))
    assert found[0] == found[1]
    assert set(threads) <= {threading.main_thread()}  # it may not bear more


@pytest.mark.parametrize("threads", [1, 3])
def test_chunks_run_side_by_side_in_order_and_an_error_is_raised_with_its_own_traceback(threads):
    together, taken = threading.Barrier(threads), []

    def items():
        for i in range(9):
            taken.append((i, ASKED.get(), threading.current_thread()))
            yield i

    def slow_first(i):
        if i < threads:
            together.wait(60)
        if i == 5:
            raise RuntimeError("chunk 5 is bad")
        return i

    done = in_threads(slow_first, items(), threads)
    assert [next(done) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="chunk 5") as failure:
        next(done)
    assert failure.traceback[-1].name == "slow_first"
    assert len(taken) < 9 + (threads == 3) and {each[1:] for each in taken} == {(threads, threading.main_thread())}
    assert ASKED.get() is None and not left_behind()


def test_ctrl_c_ends_what_is_computed_side_by_side():
    def press(i):
        if i == 1:
            signal.raise_signal(signal.SIGINT)
        return i

    with pytest.raises(KeyboardInterrupt):
        list(in_threads(press, itertools.count(), 2))
    assert not left_behind()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_between_chunks_can_evaluate():
    model, done = small(VAE), in_threads(abs, range(9), 2)
    assert next(done) == 0
    child = os.fork()
    if child == 0:
        evaluation.evaluate(model, data(), batch_size=7, threads=2)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7 and list(done) == list(range(1, 9))


def test_how_many_threads_evaluate(monkeypatch):
    for variable in parts.named_by_the_environment.__globals__["VARIABLES"]:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(threads_module, "cores", lambda: 4)
    count, mnist = parts.evaluation_threads, VAE(784)
    assert (count(mnist, 500), count(mnist, 500, 3), count(mnist, 50), count(small(VAE), 500)) == (4, 3, 1, 1)
    assert count(small(TwoDraws), 500, 3) == count(VAE(784, backend="numpy"), 500, 3) == 1
    mnist.recon_nll = lambda *given: VAE.recon_nll(mnist, *given)
    assert count(mnist, 500, 3) == 1
    with asked(2), asked(None):
        assert count(VAE(784), 500) == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert count(VAE(784), 500) == 1
    with pytest.raises(ValueError, match="threads"):
        evaluation.evaluate(mnist, np.zeros((2, 784)), threads=0)


def test_a_run_with_one_thread_evaluates_with_one(monkeypatch):
    seen = []
    monkeypatch.setattr(parts, "CHUNK", 0)
    monkeypatch.setattr(parts, "in_threads", lambda *given: seen.append(given[-1]) or in_threads(*given))
    trained(1, Adam())
    assert set(seen) == {1}
    trained(2, Adam())
    assert set(seen) == {1, 2}

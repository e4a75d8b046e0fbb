"""Promise: the benchmark times nothing that is not the same training step; --quick runs among the examples."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import ROOT, load

from vae_from_scratch import ops

benchmark = load(ROOT / "examples" / "benchmark.py")

_, ARGUMENTS, N = benchmark.WORKLOADS["tiny"]
RNG = np.random.default_rng(0)
X = (RNG.random((3, N, 64)) < 0.3).astype(np.float32)
EPS = RNG.standard_normal((3, N, 2), np.float32)


def ours(dtype):
    return benchmark.Ours(ARGUMENTS, N, "numpy", dtype)


def test_the_same_step_is_accepted():
    report = benchmark.validate(ours("float32"), ours("float64"), X, EPS)
    assert report["loss_error"] < 1e-6 and report["step_error"] < 1e-4


def half_the_kl(contender):
    halved = {
        "gaussian_kl_forward": lambda *q: ops.gaussian_kl_forward(*q) / 2,
        "gaussian_kl_backward": lambda dkl, *q: ops.gaussian_kl_backward(dkl / 2, *q),
    }
    contender.model.ops = SimpleNamespace(**{**vars(ops), **halved})


def five_percent_slower(contender):
    contender.adam.lr *= 0.95


def no_bias_correction(contender):
    contender.state["t"] = 10_000


def other_start(contender):
    contender.model.params["decoder_W1"] *= 1.01


@pytest.mark.parametrize("mistake", [half_the_kl, five_percent_slower, no_bias_correction, other_start])
def test_another_step_is_refused(mistake):
    contender = ours("float32")
    mistake(contender)
    with pytest.raises(RuntimeError, match="not the same step"):
        benchmark.validate(contender, ours("float64"), X, EPS)


def test_another_precision_is_refused():
    with pytest.raises(RuntimeError, match="parameters are float64"):
        benchmark.validate(ours("float64"), ours("float64"), X, EPS)


@pytest.mark.parametrize("workload", benchmark.WORKLOADS)
def test_floor_holds_the_products_of_the_step(workload):
    _, arguments, n = benchmark.WORKLOADS[workload]
    weights = [W.size for W in benchmark.model_of(arguments).params.values() if W.ndim == 2]
    made = sum(a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in benchmark.Floor(arguments, n).products)
    assert made == n * (3 * sum(weights) - weights[0])


def test_ratios_are_taken_within_a_round():
    noisy = np.array([1.0, 7.0, 2.0])
    seconds = {benchmark.FLOOR: noisy, benchmark.REFERENCE: 2 * noisy, "peer": 3 * noisy}
    _, times_ours, times_floor = benchmark.summarise(seconds)["peer"]
    assert times_ours == [1.5] * 3 and times_floor == [3.0] * 3


def test_installed_peers_take_the_same_step():
    peers = [name for name in benchmark.CONTENDERS if not benchmark.skipped(name)]
    if not {"PyTorch eager", "torch.compile", "JAX jit", "autograd"} & set(peers):
        pytest.skip("no peer is installed")
    seconds, _ = benchmark.measure("tiny", "1", peers, 1)
    assert list(seconds) == peers and all(len(own) == 1 and own[0] > 0 for own in seconds.values())

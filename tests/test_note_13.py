"""Promise: note 13's counts are counted, its bounds hold and are nearly reached, its formulas are the kernels'."""

import inspect
import re
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from helpers import joined, note, table

from vae_from_scratch import VAE, Adam, ops, optimizers

try:
    from vae_from_scratch import kernels
except ImportError as error:
    pytest.skip(f"Numba cannot compile here: {error}", allow_module_level=True)

NOTE = note(13)
F32 = np.float32
DELTA, DELTA_64 = 2.0**-24, 2.0**-53
RHO = np.log(2) / 2
HIGH, LOW = float(kernels.LN2_HIGH), float(kernels.LN2_LOW)


# ---- where a step's time goes ---------------------------------------------------------------------------


class Counted(np.ndarray):
    """An array that counts what NumPy does with it: calls, bytes read and written, flops; matrix products apart."""

    tally = Counter()

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **kwargs):
        arrays = {id(a): a for a in inputs if isinstance(a, np.ndarray) and a.ndim}.values()  # h * h reads h once
        result = np.asarray(
            getattr(ufunc, method)(*map(plain, inputs), **({"out": tuple(map(plain, out))} if out else {}), **kwargs)
        )
        kind = "product" if ufunc is np.matmul else "other"
        flops = (
            2 * inputs[0].size * result.shape[-1]
            if kind == "product"
            else max([result.size, *(a.size for a in arrays)])
        )
        self.tally.update(
            {
                f"{kind} calls": 1,
                "new arrays": not out,
                f"{kind} flops": flops,
                f"{kind} bytes": sum(a.nbytes for a in arrays) + result.nbytes,
            }
        )
        return result.view(Counted)

    def __array_function__(self, function, types, args, kwargs):
        if function is np.sum:  # ends in a ufunc
            return super().__array_function__(function, types, args, kwargs)
        arrays = [
            a for arg in args for a in (arg if isinstance(arg, (list, tuple)) else [arg]) if isinstance(a, np.ndarray)
        ]
        result = function(
            *([plain(a) for a in arg] if isinstance(arg, (list, tuple)) else plain(arg) for arg in args), **kwargs
        )
        if isinstance(result, np.ndarray):
            self.tally.update(
                {
                    "other calls": 1,
                    "other flops": result.size,
                    "other bytes": sum(a.nbytes for a in arrays) + result.nbytes,
                }
            )
            result = result.view(Counted)
        return result

    def __setitem__(self, index, value):
        self.tally.update({"other calls": 1, "other bytes": self.nbytes + value.nbytes})
        super().__setitem__(index, value)


def plain(a):
    return a.view(np.ndarray) if isinstance(a, Counted) else a


def counted(*shape):
    return np.ones(shape, F32).view(Counted)


def count(function, *args):
    Counted.tally.clear()
    function(*args)
    return Counter(Counted.tally)


def step(data_dim, hidden, latent_dim, n):
    """The count of one forward and backward of a VAE in plain NumPy, and the model."""
    model = VAE(data_dim, hidden=(hidden,), latent_dim=latent_dim, backend="numpy")
    model._theta = {name: value.view(Counted) for name, value in model.params.items()}
    grads = {name: np.empty(value.shape, F32).view(Counted) for name, value in model.params.items()}
    x, eps = counted(n, data_dim), counted(n, latent_dim)

    def both():
        _, saved = model.forward(x, eps)
        model.backward(x, eps, saved, grads)

    return count(both), model


N, D, H, PARAMETERS = 100, 784, 500, 815_824
ADAM = [counted(PARAMETERS) for _ in range(4)]


def bias_and_tanh(h, b):
    ops.tanh_forward(h + b)


def tanh_and_bias_gradient(dh, h):
    np.sum(ops.tanh_backward(dh, h), axis=0)


def adam(param, grad, m, v):
    optimizers.adam_update(param, grad, m, v, 1, 1e-3, 0.9, 0.999, 1e-8)


# row of the table: the NumPy calls, how often in a step, what a kernel reads, what it writes (shapes)
PARTS = {
    "bias and tanh, two layers": (bias_and_tanh, 2, [(N, H), (H,)], [(N, H)]),
    "gradients of tanh and bias, two layers": (tanh_and_bias_gradient, 2, [(N, H), (N, H)], [(N, H), (H,)]),
    "Bernoulli loss": (ops.bernoulli_nll_forward, 1, [(N, D), (N, D)], [(N,)]),
    "its gradient": (ops.bernoulli_nll_backward, 1, [(N,), (N, D), (N, D)], [(N, D)]),
    "Adam": (adam, 1, [(PARAMETERS,)] * 4, [(PARAMETERS,)] * 3),
}


def cells(name, *counts):
    """A row of the table, in millions."""
    return f"| {name} | {' | '.join(f'{count / 1e6:.1f}' for count in counts)} |"


@pytest.mark.parametrize("part", PARTS)
def test_row_of_the_table(part):
    function, times, reads, writes = PARTS[part]
    found = count(function, *(ADAM if part == "Adam" else [counted(*shape) for shape in reads]))
    fused = times * 4 * sum(int(np.prod(shape)) for shape in reads + writes)
    row = cells(part, times * found["other flops"], times * found["other bytes"], fused)
    assert row in NOTE, row


def test_products_of_a_step():
    found, model = step(D, H, 20, N)
    assert found["product calls"] == 11 and found["product flops"] == 410_000_000 == 2 * N * (3 * 814_000 - 392_000)
    assert sum(value.size for name, value in model.params.items() if "W" in name) == 814_000
    assert sum(value.size for value in model.params.values()) == PARAMETERS
    row = cells("the 11 matrix products", found["product flops"], found["product bytes"], found["product bytes"])
    assert row in NOTE, row
    assert f"{found['product flops'] / found['product bytes']:.0f} flops per byte" in NOTE


def test_what_the_table_of_times_says_is_said():
    """The times were measured; that the figures beside them follow from them is checked."""
    rows = re.findall(r"^\| ([^|]+) \|(.+µs.+)$", NOTE, re.M)
    times = {name: [float(t) for t in re.findall(r"([\d.]+) µs", row)] for name, row in rows}
    large = VAE(4096, (1200, 1200), 10, decoder_hidden=(1200,) * 3).params.vector.nbytes
    rates = [7 * nbytes / (1e3 * t) for nbytes, t in zip((4 * PARAMETERS, large), times["Adam"][1:])]
    assert f"make {rates[0]:.0f} GB/s in the middle" in NOTE and f"and {rates[1]:.0f} GB/s in the large" in NOTE, rates
    moved = [f"({28 * parameters / 1e6:.0f} MB" for parameters in (PARAMETERS, large // 4)]
    assert all(words in NOTE for words in moved) and f"are {large / 1e6:.0f} MB" in joined(NOTE)
    assert round(410 / times["products"][1] * 1e3, -1) == 240 and "240 billion flops per second" in NOTE
    assert round(56 - sum(row[0] for row in times.values())) == 19 and "56 µs, 19 of them" in NOTE


def test_calls_of_a_step_do_not_depend_on_its_size():
    (large, _), (tiny, model) = step(D, H, 20, N), step(64, 64, 2, 64)
    assert large["other calls"] == tiny["other calls"] == 61 and "more than 60 calls" in NOTE
    assert 2.7e6 < tiny["product flops"] < 2.8e6 and 147 < large["product flops"] / tiny["product flops"] < 149
    assert "2.8 million flops" in NOTE and "148 times fewer" in NOTE
    each = count(adam, *(counted(7) for _ in range(4)))["other calls"]
    assert (len(model.params), each) == (8, 16) and "8 times 16" in joined(NOTE)
    assert count(adam, *ADAM)["new arrays"] == 13 and "13 intermediate results" in joined(NOTE) and -(-4 * PARAMETERS // 4096) == 797


def test_kernel_calls_of_a_step(monkeypatch):
    """Adam is one of them, because the parameters are views of one buffer."""
    calls = Counter()
    python = [f for f in vars(kernels).values() if inspect.isfunction(f) and f.__module__ == kernels.__name__]
    names = {name for f in python for name in f.__code__.co_names if hasattr(getattr(kernels, name, None), "py_func")}

    def wrap(kernel):
        def counting(*args):
            calls[kernel.py_func.__name__] += 1
            return kernel(*args)

        return counting

    for name in names:
        monkeypatch.setattr(kernels, name, wrap(getattr(kernels, name)))
    pairs = {name: tuple(map(wrap, pair)) for name, pair in kernels.ACT_KERNELS.items()}
    monkeypatch.setattr(kernels, "ACT_KERNELS", pairs)
    model, optimizer = VAE(64, hidden=(64,), latent_dim=2), Adam()
    _, grads = model.loss_and_grads(np.full((64, 64), 0.5, F32), np.ones((64, 2), F32))
    optimizer.step(model.params, grads, optimizer.initial_state(model.params), model.ops)
    assert calls["adam_entries"] == 1 and f"{calls.total()} kernels" in NOTE, calls


# ---- exp ------------------------------------------------------------------------------------------------


def exp_parts(x):
    """The kernel's q and s at every x, float32."""
    q, s = zip(*map(kernels.exp_parts, x.astype(F32)))
    return np.array(q, F32), np.array(s, F32)


def hard_points(limit):
    """x in [-limit, limit]: evenly spread, and both sides of every point where k changes."""
    k = np.arange(-int(limit / np.log(2)), int(limit / np.log(2)))
    seams = (k + 0.5) * np.log(2)
    x = np.concatenate([np.linspace(-limit, limit, 8000), seams * (1 - 1e-6), seams * (1 + 1e-6)]).astype(F32)
    return x[np.abs(x) <= limit]


@pytest.mark.parametrize("equation", ["FAST.1"])
def test_exp_in_two_parts(equation):
    x = hard_points(87.0)
    q, s = exp_parts(x)
    mantissa, _ = np.frexp(s)
    assert np.all(mantissa == 0.5), "s is a power of two"
    r = x.astype(float) - np.log(2) * np.log2(s.astype(float))
    assert np.all(np.abs(r) <= RHO + 7e-6)  # the note's 7e-6: rounding of x / log 2 + 1/2
    np.testing.assert_allclose(q, np.expm1(r), rtol=0, atol=5 * DELTA)
    beyond = exp_parts(np.array([-1e30, -88, 88, np.inf], F32)), exp_parts(np.array([-87, -87, 87, 87], F32))
    assert np.array_equal(*beyond)


def test_powers_of_two_are_written_into_the_exponent():
    k = np.arange(-126, 127, dtype=np.int32)
    assert np.array_equal(((k + 127) << 23).view(F32), np.ldexp(F32(1), k))


@pytest.mark.parametrize("equation", ["FAST.7"])
def test_remainder_of_the_polynomial(equation):
    r = np.linspace(-RHO, RHO, 2001)
    polynomial = sum(r**i / float(np.prod(np.arange(1.0, i + 1))) for i in range(1, 7))
    relative = np.abs(np.expm1(r) - polynomial) / np.exp(r)
    bound = np.sqrt(2) * RHO**7 / 5040
    # the computed remainder carries float64's own 1e-16; the seventh term alone leaves out a factor 1 - rho / 8 at -rho
    assert 0.9 * bound < relative.max() < bound and f"{bound / DELTA:.2f}" == "2.83"


@pytest.mark.parametrize("equation", ["FAST.8"])
def test_log_2_in_two_parts(equation):
    assert Fraction(HIGH) == Fraction(355, 512) and HIGH + LOW - np.log(2) == pytest.approx(-1.65e-12, rel=0.01)
    k = np.arange(-126, 127)
    assert np.array_equal((F32(HIGH) * k.astype(F32)).astype(float), HIGH * k), "k H is exact"
    x = hard_points(87.0)
    k = np.floor(x * kernels.LOG2_E + F32(0.5))
    first = x - k * F32(HIGH)
    assert np.array_equal(first.astype(float), x.astype(float) - HIGH * k), "x - k H is exact"
    two = (first - k * F32(LOW)).astype(float)
    one = (x - k * F32(np.log(2))).astype(float)
    # float64 knows x - k log 2 to 87 * 2^-53, 2e-7 DELTA
    exact = x.astype(float) - k * np.log(2)
    worst_two, worst_one = (np.abs(r - exact).max() / DELTA for r in (two, one))
    assert 0.2 < worst_two < RHO + 0.031 < 0.38
    assert 50 < worst_one < 69


def test_one_constant_and_one_rounding_still_loses():
    """... as with a fused multiply-add: only the rounding of log 2 itself remains, 126 * 1.9e-9."""
    assert 3.9 < 126 * abs(float(F32(np.log(2))) - np.log(2)) / DELTA < 4.1


@pytest.mark.parametrize("equation", ["FAST.9"])
def test_error_of_exp(equation):
    x = hard_points(80.0)
    q, s = exp_parts(x)
    error = np.abs((s * q + s) / np.exp(x.astype(float)) - 1) / DELTA
    assert 2.5 < error.max() < 2.83 + 0.38 + 1.40 + 1 < 5.7
    horner = 2 * np.sqrt(2) * RHO + np.sqrt(2) - 1 - RHO - RHO**2 / 2
    assert f"{horner:.3f}" == "0.988" and f"{np.sqrt(2) * horner:.2f}" == "1.40"


# ---- built from the two parts ---------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["FAST.4"])
def test_tanh_from_expm1(equation):
    v = np.array([1e-30, 1e-8, 0.1, 0.7, 3.0, 40.0])
    m = np.expm1(-2 * v)
    np.testing.assert_allclose(-m / (2 + m), np.tanh(v), rtol=1e-14)
    a = np.concatenate([v, -v, [np.nan]]).astype(F32)[None]
    b = np.zeros(a.shape[1], F32)
    kernels.add_bias_tanh(a, b)
    np.testing.assert_allclose(a[0, :-1], np.tanh(np.concatenate([v, -v])), rtol=1e-6)
    assert np.isnan(a[0, -1])


def kernel_tanh(v):
    a = v[None].copy()
    kernels.add_bias_tanh(a, np.zeros(len(v), F32))
    return a[0]


@pytest.mark.parametrize("equation", ["FAST.10"])
def test_error_of_tanh(equation):
    v = np.concatenate([np.geomspace(1e-30, 20, 40_000), np.linspace(0.1, 0.4, 20_000)]).astype(F32)
    exact = np.tanh(v.astype(float))
    error = np.abs(kernel_tanh(v) / exact - 1) / DELTA
    assert 7 < error.max() < 15.2  # 7: the truncation is real
    e = np.exp(-2 * v)  # as written, 1 - e cancels
    assert np.abs((1 - e) / (1 + e) / exact - 1)[(v > 1e-6)].max() > 1e-3
    share = (RHO**6 / 5040) / (1 - RHO / 2) / DELTA
    assert f"{share:.2f}" == "6.98" and f"{0.988 / (1 - np.sqrt(0.5)):.2f}" == "3.37"
    assert f"{2 / (1 + np.sqrt(0.5)):.3f}" == "1.172"
    assert (6.98 + 3.37) * 1.172 + 3 < 15.2
    x = -np.linspace(RHO * (1 + 1e-9), 40, 20_000)  # -2 |v| beyond the first range
    m, s = np.expm1(x), 2.0 ** np.floor(x / np.log(2) + 0.5)
    of_m = s * (2.83 + 0.38 * np.sqrt(2) + 0.99) / -m + 1
    assert f"{of_m.max() - 1:.1f}" == "7.4" and (of_m * 2 / (2 + m)).argmax() == 0 and of_m[0] * 1.172 + 3 < 13


@pytest.mark.parametrize("equation", ["FAST.5", "FAST.6"])
def test_squares_overflow_where_the_result_does(equation):
    function, plain_function, argument = {
        "FAST.5": (kernels.exp_half, lambda x: np.exp(x / 2), 2.0),
        "FAST.6": (kernels.expm1, np.expm1, 1.0),
    }[equation]
    edge = argument * np.log(float(np.finfo(F32).max))  # where the result reaches the largest float32
    for share in (-3.9, -2.0, -1.1, -0.5, -1e-3, 1e-3, 0.5, 1 - 1e-6):
        x = F32(share * edge)
        with np.errstate(all="ignore"):
            expected = plain_function(x)
        # 2e-6 relative at most (squares double FAST.9); below the normal numbers, one step of 1.4e-45
        assert np.isfinite(expected) and abs(F32(function(x)) - expected) <= max(2e-6 * abs(expected), 3e-45), share
    for share in (1 + 1e-6, 1.1, 5.0):
        assert function(F32(share * edge)) == np.inf
    # one of the two factors instead of the square: exp(x / 4), m = expm1(x / 2)
    x = np.linspace(-3, 3, 13)
    m = np.expm1(x / 2)
    np.testing.assert_allclose(m * (m + 2), np.expm1(x), rtol=1e-14)


def test_the_budget_adds_up_and_its_worst_arguments_are_as_bad_as_it_says():
    rows = {row[0]: [float(cell) for cell in row[1:]] for row in table(NOTE, "part | exp |")}
    parts = np.array([rows[name] for name in list(rows)[:4]])
    np.testing.assert_allclose(parts.sum(axis=0), rows["sum"], atol=0.06)
    root, far, near = np.sqrt(2), 1 - np.sqrt(0.5), np.sqrt(2) - 1  # e^rho; |m| at -rho with s = 1; m at -rho with s = 2
    up, down = (2 * near + 2) / (near + 2), 2 / (2 - far)  # how errors of m grow in m (m + 2) and -m / (2 + m)
    exact = np.array([2.83, 0.38, 1.40, 1])
    of_expm1 = np.array([2.83 / root, 0.38 / root, 0.988]) * 2 / near * up
    expected = [exact, [*2 * exact[:3], 3], [*of_expm1, up + 2], [6.98 * down, 0, 3.37 * down, 3]]
    np.testing.assert_allclose(parts, np.transpose(expected), atol=0.06)

    def exp(x):
        q, s = map(F32, kernels.exp_parts(x))
        return s * q + s

    twins = exp, kernels.exp_half, kernels.expm1, lambda x: kernel_tanh(np.array([x]))[0]
    functions = np.exp, lambda x: np.exp(x / 2), np.expm1, np.tanh
    numbers = (rows[name] for name in ("at this argument", "largest error found", "sum"))
    for twin, function, argument, found, bound in zip(twins, functions, *numbers):
        x = F32(argument) + np.spacing(F32(abs(argument))) * np.arange(-200, 201, dtype=F32)
        error = max(abs(float(twin(value)) / function(float(value)) - 1) for value in x) / DELTA
        assert 0.95 * found < error < min(bound, found + 0.01), (argument, error)


# ---- sums of logarithms ---------------------------------------------------------------------------------


def loss_of_equal(logits, n):
    """Kernel and exact loss of rows of n equal logits with x = 0: the sum of n equal log(1 + e)."""
    logits = np.asarray(logits, F32)
    rows = np.repeat(logits[:, None], n, axis=1)
    return kernels.bernoulli_nll_forward(rows, np.zeros_like(rows)), n * np.log1p(np.exp(logits.astype(float)))


@pytest.mark.parametrize("equation", ["FAST.2"])
def test_one_log_for_a_block(equation):
    e = np.random.default_rng(0).uniform(size=512)
    assert np.log(np.prod(1 + e)) == pytest.approx(np.log1p(e).sum(), rel=1e-13)
    assert kernels.BLOCK == 512 and np.isfinite(np.prod(np.full(1023, 2.0)))
    with np.errstate(over="ignore"):
        assert np.prod(np.full(1024, 2.0)) == np.inf
    found, exact = loss_of_equal([0.0], 4 * 512 + 7)  # every factor is 2
    np.testing.assert_allclose(found, exact, rtol=2 * DELTA)


@pytest.mark.parametrize("equation", ["FAST.3"])
def test_the_sum_stands_in_for_the_log(equation):
    rng = np.random.default_rng(0)
    one = np.append(np.zeros(511), 9.9e-9)
    for e in (rng.uniform(0, 2e-11, 512), np.full(512, 1.9e-11), one, np.full(3, 0.3), np.full(512, 1e-3)):
        S, exact = e.sum(), np.log1p(e).sum()
        # S^2 / 2 and the rounding of 512 additions in float64
        assert -1e-13 * S <= S - exact <= S**2 / 2 + 1e-13 * S
    found, exact = loss_of_equal([-40.0, -60.0, -80.0], 784)  # 1 + e rounds to 1: the product is 1 and its logarithm 0
    assert np.prod(1 + np.exp(np.full(784, -40.0))) == 1
    np.testing.assert_allclose(found, exact, rtol=5.7 * DELTA + 2e-7 + DELTA)  # FAST.9, FAST.3, float32 of the result


@pytest.mark.parametrize("equation", ["FAST.11"])
def test_error_of_the_product(equation):
    worst = 0.0
    for e in 4e-7 / 512 * np.geomspace(1.001, 100, 150):  # equal factors round the same way
        e = (np.floor(e / 2**-52) + 0.5 - 1e-3) * 2.0**-52  # and by nearly half a unit
        error = abs(np.log(np.prod(np.full(512, 1 + e))) - 512 * np.log1p(e))
        assert error < 1023 * DELTA_64 * (1 + 1e-6)
        worst = max(worst, error / (512 * e))
    assert 2.85e-7 / 2 < worst < 2.85e-7
    # in the kernel, with the error of e itself (FAST.9, for -e in place of e: the same) and the float32 of the result
    found, exact = loss_of_equal(np.linspace(-26, -14, 4001), 512)
    share = np.abs(found / exact - 1)
    assert np.all(share <= 7 * DELTA + np.where(exact < 4e-7, 2e-7, 1023 * DELTA_64 / exact))
    assert f"{np.sqrt(2 * 1023 * DELTA_64):.1e}" == "4.8e-07" and "4.8 \\cdot 10^{-7}" in NOTE


# ---- scalars, flags, sums -------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", ["FAST.12"])
def test_one_minus_beta(equation):
    for beta in (0.5, 0.9, 0.99, 0.999, 0.9999):
        rounded = float(F32(1) - F32(beta))  # exact, by Sterbenz: the subtraction loses nothing more
        assert abs(rounded / (1 - beta) - 1) <= 2.0**-25 / (1 - beta) * (1 + 1e-9)
    loss = float(F32(1) - F32(0.999)) / (1 - 0.999) - 1
    assert f"{abs(loss):.1e}" == "1.3e-05" and "1.3 \\cdot 10^{-5}" in NOTE
    # it reaches v undiminished, and the kernel avoids it
    v, one = np.zeros(1, F32), np.ones(1, F32)
    kernels.adam_update(one.copy(), one, np.zeros(1, F32), v, 1, 1e-3, 0.9, 0.999, 1e-8)
    assert abs(float(v[0]) / (1 - 0.999) - 1) < 2 * DELTA


def dispatchers():
    return {name: value for name, value in vars(kernels).items() if hasattr(value, "py_func")}


def test_no_kernel_may_forget_nan_or_infinity_and_exp_keeps_its_order():
    flags = {name: kernel.targetoptions.get("fastmath", set()) for name, kernel in dispatchers().items()}
    assert all(isinstance(each, set) and each <= {"contract", "reassoc", "nsz", "arcp"} for each in flags.values())
    assert all(flags[name] == {"contract"} for name in ("exp_parts", "expm1_parts", "bernoulli_linear"))


def test_what_cancels_meets_before_it_is_added():
    rng = np.random.default_rng(0)
    logits, x = rng.normal(size=(9, 784)).astype(F32), rng.random((9, 784)).astype(F32)
    sure = rng.random(x.shape) < 0.5
    logits[sure], x[sure] = 1e6, 1  # max(l, 0) - x l = 0
    exact = ops.bernoulli_nll_forward(logits.astype(float), x.astype(float))
    # 5.7 DELTA of each exp and the rounding of 784 float32 additions: below 1e-5; added one by one, 1e6 leaves 1e-3
    np.testing.assert_allclose(kernels.bernoulli_nll_forward(logits, x), exact, rtol=1e-5)


def test_division_by_zero_is_numpys():
    assert all(kernel.targetoptions["error_model"] == "numpy" for kernel in dispatchers().values())
    param, zero = np.ones(3, F32), np.zeros(3, F32)
    kernels.adagrad_update(param, zero, zero.copy(), 0.1, 0.0)  # 0 / 0
    assert np.all(np.isnan(param))


def test_order_of_a_sum_changes_bits_within_the_bound():
    values = np.random.default_rng(0).normal(size=4096).astype(F32)
    one, sixteen = F32(0), np.zeros(16, F32)
    for value in values:
        one += value
    for start in range(0, 4096, 16):
        sixteen += values[start : start + 16]
    exact, scale = values.astype(float).sum(), np.abs(values.astype(float)).sum()
    total = sixteen.sum(dtype=F32)
    assert one != total
    assert abs(one - exact) <= 4095 * DELTA * scale and abs(total - exact) <= (255 + 15) * DELTA * scale


# ---- parts of a batch: what the threads do with them is tested in test_parts.py --------------------------


@pytest.mark.parametrize("equation", ["PARTS.1", "PARTS.2"])
def test_the_mean_of_the_parts_and_the_rows_of_dW(equation):
    rng = np.random.default_rng(0)
    x, da = rng.normal(size=(7, 5)), rng.normal(size=(7, 3))
    if equation == "PARTS.2":
        found = np.concatenate([ops.dense_backward_params(da, x[:, rows])[0] for rows in (slice(0, 2), slice(2, 5))])
        np.testing.assert_allclose(found, ops.dense_backward_params(da, x)[0], rtol=1e-14)
        return
    whole = ops.dense_backward_params(da / 7, x)
    parts = [(rows, rows.stop - rows.start) for rows in (slice(0, 3), slice(3, 7))]
    means = [[n / 7 * each for each in ops.dense_backward_params(da[rows] / n, x[rows])] for rows, n in parts]
    for got, wanted in zip(map(sum, zip(*means)), whole):
        np.testing.assert_allclose(got, wanted, rtol=1e-13)

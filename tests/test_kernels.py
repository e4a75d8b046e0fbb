"""Promise: the kernels are twins of the plain pairs: same names, same signatures, same results, one test body for both."""

import inspect
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tqdm import tqdm

from vae_from_scratch.engine import gradient_table
from vae_from_scratch import VAE, Adagrad, Adam, BetaVAE, fit, ops, optimizers
from vae_from_scratch.engine.backends import BACKENDS

try:
    from vae_from_scratch import kernels
except ImportError as error:
    pytest.skip(f"Numba cannot compile here: {error}", allow_module_level=True)

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}  # of the array's scale
TWINS = [name for _, name in kernels.twins.twins]
SIZES = {"as in the table": None, "one example": 1, "many": 37}
CASES = {  # the rows of the table, and those with twins of their own at other sizes
    f"{row.name}, {size}": (row, n)
    for row in gradient_table.PAIRS
    for size, n in SIZES.items()
    if n is None or row.backward in TWINS
}


def assert_close(found, expected, dtype):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype == dtype and found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0) <= TOLERANCE[dtype] * np.abs(expected).max(initial=0)


def spread(array):
    """The same values in memory that is not contiguous."""
    if array.ndim == 0:
        return array
    wide = np.zeros([2 * n for n in array.shape], array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def resized(inputs, n):
    """Inputs of a row of the table with n examples and awkward widths, by repeating and perturbing."""
    rng = np.random.default_rng(1)
    out = {}
    for name, value in inputs.items():
        shape = list(np.shape(value))
        if name not in ("W", "b") and shape:
            shape[0] = n
        if shape and name not in ("x_logvar",):
            shape = [
                {5: 531, 3: 67}.get(size, size) if axis or name in ("W", "b") else size
                for axis, size in enumerate(shape)
            ]
        out[name] = rng.uniform(size=shape) if name == "x" else rng.normal(size=shape)
    return out


def run_both(row, inputs):
    results = []
    for namespace in (ops, kernels):
        before = {name: value.copy() for name, value in inputs.items()}
        out = row.run_forward(namespace, **inputs)
        dout = np.random.default_rng(2).normal(size=out.shape).astype(out.dtype)
        grads = row.run_backward(namespace, dout, out, **inputs)
        assert all(np.array_equal(before[name], value, equal_nan=True) for name, value in inputs.items()), (
            "an argument was changed"
        )
        results.append({"out": out, **grads})
    return results


@pytest.mark.parametrize("contiguous", [True, False], ids=["contiguous", "not contiguous"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("row, n", CASES.values(), ids=CASES)
def test_twins_agree(row, n, dtype, contiguous):
    inputs = row.inputs(np.random.default_rng(0))
    inputs = inputs if n is None else resized(inputs, n)
    inputs = {name: np.asarray(value, dtype) for name, value in inputs.items()}
    if not contiguous:
        inputs = {name: spread(value) for name, value in inputs.items()}
    plain, twin = run_both(row, inputs)
    for name in plain:
        assert_close(twin[name], plain[name], dtype)


@pytest.mark.parametrize("row", [row for row in gradient_table.PAIRS if row.backward in TWINS], ids=lambda row: row.name)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 88.3, 200, 800, -800, 0.0])
def test_twins_agree_at_the_edges_of_float32(row, poison):
    inputs = {name: np.array(value, np.float32) for name, value in row.inputs(np.random.default_rng(0)).items()}
    for name in inputs:
        changed = {**inputs, name: inputs[name].copy()}
        changed[name].flat[1] = poison
        with np.errstate(all="ignore"):
            plain, twin = run_both(row, changed)
        for key in plain:
            np.testing.assert_array_equal(np.isnan(twin[key]), np.isnan(plain[key]))
            np.testing.assert_allclose(twin[key], plain[key], rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("row", gradient_table.PAIRS, ids=lambda row: row.name)
def test_gradients_of_the_kernels_namespace(row):
    assert all(check.ok for check in row.check(np.float64, namespace=kernels))


@pytest.mark.parametrize("scale", [1e-4, 0.01, 1, 10, 100])
def test_one_log_for_a_block_keeps_its_digits(scale):
    """(FAST.2), (FAST.3): right also where every 1 + e rounds to 1, as with logits that agree with x."""
    rng = np.random.default_rng(0)
    logits = (scale * rng.normal(size=(9, 1300))).astype(np.float32)
    for x in (rng.random(logits.shape).astype(np.float32), (logits > 0).astype(np.float32)):
        exact = ops.bernoulli_nll_forward(logits.astype(np.float64), x.astype(np.float64))
        np.testing.assert_allclose(kernels.bernoulli_nll_forward(logits, x), exact, rtol=1e-5)


def test_every_twin_has_the_signature_of_its_original():
    assert {"dense_act_forward", "bernoulli_nll_backward", "adam_update"} <= set(TWINS)
    for name in TWINS:
        original = getattr(ops, name, None) or getattr(optimizers, name, None) or getattr(kernels.dsprites, name)
        assert inspect.signature(getattr(kernels, name)) == inspect.signature(original), name
    assert {name for name in vars(ops) if name[0] != "_"} <= set(vars(kernels)), (
        "kernels is a drop-in namespace for ops"
    )


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("optimizer", [Adam(lr=0.01), Adagrad(lr=0.01)], ids=["Adam", "Adagrad"])
def test_update_rules_agree(optimizer, dtype):
    rng = np.random.default_rng(0)
    start = {"vector": np.linspace(-1, 1, 1003), "matrix": np.eye(7, 5), "scalar": np.array(0.3), "spread": np.eye(6)}
    runs = []
    for _ in range(2):  # a plain dict: arrays of any shape, one of them not contiguous
        params = {name: value.astype(dtype) for name, value in start.items()}
        runs.append({**params, "spread": spread(params["spread"])})
    states = [optimizer.initial_state(params) for params in runs]
    for _ in range(5):
        grads = {name: np.asarray(rng.normal(size=value.shape), dtype) for name, value in start.items()}
        for params, state, namespace in zip(runs, states, (None, kernels)):
            optimizer.step(params, grads, state, namespace)
    for name in start:
        assert_close(runs[1][name], runs[0][name], dtype)
        for slot in optimizer.slots:
            assert_close(states[1][slot][name], states[0][slot][name], dtype)


@pytest.mark.parametrize("name", ["adam", "adagrad"])
def test_update_rules_have_a_kernel_for_both_precisions_and_not_for_a_mixture(name, monkeypatch):
    seen, numbers = [], {"adam": (1, 0.1, 0.9, 0.99, 1e-8), "adagrad": (0.1, 1e-8)}[name]
    monkeypatch.setattr(kernels, f"{name}_entries", lambda param, *_: seen.append(param.dtype))
    for dtypes in (["f4"] * 4, ["f8"] * 4, ["f4", "f4", "f8", "f4"], ["f8", "f4", "f8", "f8"], [">f8"] * 4):
        arrays = [np.ones(3, dtype) for dtype in dtypes[: 4 if name == "adam" else 3]]
        getattr(kernels, f"{name}_update")(*arrays, *numbers)
    assert seen == [np.float32, np.float64]


def test_shapes_that_numpy_would_stretch_or_refuse_are_left_to_numpy():
    one, many = np.full((1, 5), 0.3, np.float32), np.full((7, 5), 0.7, np.float32)
    for name, arguments in (
        ("reparameterize_forward", (one, one, many)),
        ("reparameterize_forward", (0.3, -0.5, many)),
        ("reparameterize_backward", (many, one, many)),
        ("gaussian_kl_forward", (many, one)),
        ("bernoulli_nll_forward", (one, many)),
        ("bernoulli_nll_backward", (np.ones(1, np.float32), many, many)),
        ("gaussian_kl_backward", (np.ones(1, np.float32), many, many)),
        ("dense_act_forward", (many, np.ones((5, 3), np.float32), np.ones(1, np.float32), "tanh")),
    ):
        expected, found = getattr(ops, name)(*arguments), getattr(kernels, name)(*arguments)
        for a, b in zip(*(value if isinstance(value, tuple) else (value,) for value in (found, expected))):
            np.testing.assert_array_equal(a, b)
    for name, arguments in (
        ("bernoulli_nll_forward", (many, many[:3])),
        ("gaussian_kl_backward", (np.ones(3, np.float32), many, many)),
        ("dense_act_forward", (many, np.ones((5, 3), np.float32), np.ones(2, np.float32), "relu")),
    ):
        with pytest.raises(ValueError, match="broadcast"):
            getattr(kernels, name)(*arguments)


def call_anything(examples, **environment):
    """tests/any_call.py in a process of its own: what ends that process is a failure here, and no more."""
    script = Path(__file__).with_name("any_call.py")
    done = subprocess.run(
        [sys.executable, str(script), str(examples)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0 and done.stdout.endswith("all agree\n"), done.stdout + done.stderr
    assert set(TWINS) == set(done.stdout.split()) - {"all", "agree"}, "a twin is not called"


def test_twins_take_and_refuse_what_the_plain_forms_do():
    call_anything(100)


@pytest.mark.slow
def test_kernels_stay_within_their_arrays(tmp_path):
    """The same with Numba's own check of every index, which kernels compiled without it must not be mixed with."""
    call_anything(60, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))


@pytest.mark.parametrize("activation", ops.ACTIVATIONS)
def test_a_training_step_agrees_across_backends(activation):
    x = np.random.default_rng(0).uniform(size=(32, 70)).astype(np.float32)
    models = [
        BetaVAE(70, hidden=(40, 30), latent_dim=3, activation=activation, backend=backend, beta=3.0)
        for backend in ("numpy", "numba")
    ]
    noise = models[0].draw_noise(32, np.random.default_rng(1))
    (plain, plain_grads), (fast, fast_grads) = (model.loss_and_grads(x, *noise) for model in models)
    for name in ("loss", "recon_nll", "kl", "recon_nll_each", "kl_each"):
        assert_close(getattr(fast, name), getattr(plain, name), np.float32)
    for name in plain_grads:
        assert_close(fast_grads[name], plain_grads[name], np.float32)


def test_every_call_returns_gradients_of_its_own_unless_some_are_given_back():
    model, rng = VAE(7, hidden=(5,), latent_dim=2), np.random.default_rng(0)
    batches = [(rng.uniform(size=(4, 7)), *model.draw_noise(4, rng)) for _ in range(2)]
    _, first = model.loss_and_grads(*batches[0])
    kept = first.vector.copy()
    _, second = model.loss_and_grads(*batches[1])
    assert np.array_equal(first.vector, kept) and not np.shares_memory(first.vector, second.vector)
    _, third = model.loss_and_grads(*batches[1], out=first)
    _, fourth = model.loss_and_grads(*batches[1])
    assert third is first and fourth is not first
    assert np.array_equal(third.vector, second.vector) and np.array_equal(fourth.vector, second.vector)


# ---- where Numba cannot compile, and while it does ------------------------------------------------------

TRAIN = (
    "import warnings, numpy as np; warnings.simplefilter('always');"
    "from vae_from_scratch import VAE, fit;"
    "[fit(VAE(7, hidden=(5,), latent_dim=2), np.full((8, 7), 0.5), batch_size=4, epochs=1, progress=False) for _ in range(2)];"
    "print('trained')"
)


BROKEN = """
import sys
class Broken:
    def find_spec(self, name, *_):
        if name == "llvmlite.binding":
            raise {}
sys.meta_path.insert(0, Broken())
"""


CANNOT_COMPILE = """
from numba.core import dispatcher, errors
def fail(*_):
    raise {}
dispatcher.Dispatcher.compile = fail
"""


@pytest.mark.parametrize(
    "code, disabled",
    [
        ("import sys; sys.modules['numba'] = None\n" + TRAIN, "0"),
        (TRAIN, "1"),
        *((BROKEN.format(error) + TRAIN, "0") for error in ("OSError('libllvm:\\n not found')", "RuntimeError", "AttributeError('x')")),
        (CANNOT_COMPILE.format("errors.TypingError('first line\\nand more')") + TRAIN, "0"),
    ],
    ids=["missing", "disabled", "library broken", "RuntimeError", "AttributeError", "no first compile"],
)
def test_without_numba_it_says_so_once_and_works(code, disabled, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", disabled)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = [line for line in result.stderr.splitlines() if not line.startswith(" ")]  # beside the line it points to
    assert result.stdout == "trained\n" and len(said) == 1 and "runs as 'numpy'" in said[0]


def compiles(folder, code=TRAIN):
    """How many kernels a run compiles that keeps them in a folder."""
    count = "from numba.core import event; heard = event.RecordingListener(); event.register('numba:compile', heard)\n"
    code = count + code + "; print(len(heard.buffer) // 2)"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "NUMBA_DISABLE_JIT": "0"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    trained, number = result.stdout.split()
    assert trained == "trained" and "Error" not in result.stderr
    return int(number)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with compiled kernels, and how many they are."""
    folder = tmp_path_factory.mktemp("kept")
    return folder, compiles(folder)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blank(path):
    path.write_bytes(bytes(path.stat().st_size))  # what a computer leaves that loses its power


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [cut, blank, lambda path: path.write_bytes(b""), lambda path: (path.unlink(), path.mkdir())])
def test_a_damaged_kernel_is_compiled_again_and_kept(ending, damage, kept, tmp_path):
    folder, number = kept
    shutil.copytree(folder, tmp_path / "kept")
    assert compiles(tmp_path / "kept") == 0 < number
    for path in (tmp_path / "kept").rglob(f"*.{ending}"):
        damage(path)
    assert compiles(tmp_path / "kept") == number
    assert compiles(tmp_path / "kept") == (number if (next((tmp_path / "kept").rglob(f"*.{ending}"))).is_dir() else 0)


@pytest.mark.slow
def test_where_nothing_can_be_kept_kernels_are_compiled_all_the_same(kept, tmp_path):
    nowhere = "import tempfile\ndef refuse(**_): raise PermissionError('read-only')\ntempfile.TemporaryFile = refuse\n"
    assert compiles(tmp_path, nowhere + TRAIN) == kept[1] and not list(tmp_path.rglob("*.nb?"))


def test_backends_are_values_not_a_global():
    slow, fast = VAE(7, backend="numpy"), VAE(7)
    assert slow.ops is ops and fast.ops is kernels is BACKENDS["numba"]()


def test_same_seed_same_bits_with_kernels():
    x = np.random.default_rng(0).uniform(size=(40, 7))
    models = [VAE(7, hidden=(6,), latent_dim=2) for _ in range(2)]
    for model in models:
        fit(model, x, epochs=3, batch_size=8, progress=False)
    assert np.array_equal(*(model.params.vector for model in models))


def test_the_announcement_does_not_break_a_bar(capsys):
    with tqdm(total=3, file=sys.stderr):
        kernels.SayCompiling.say(SimpleNamespace(said=False))
    assert "\rcompiling kernels, once\n" in capsys.readouterr().err


def test_long_compilation_is_announced_once(capsys):
    listener = kernels.SayCompiling(patience=0.01)
    try:
        for _ in range(3):
            listener.on_start(None)
            time.sleep(0.05)
            listener.on_end(None)
        assert capsys.readouterr().err == "compiling kernels, once\n"
        quick = kernels.SayCompiling(patience=60)
        quick.on_start(None)
        quick.on_end(None)
        assert not quick.said and quick.timer is None and quick.patience < 60
    finally:
        for registered in (listener, quick):
            kernels.event.unregister("numba:compile", registered)

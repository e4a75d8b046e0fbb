"""Promise: what a student changes is what runs: the kernel of an edited or replaced pair is set aside, and says so."""

import importlib
import inspect
import linecache
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vae_from_scratch import VAE, Adagrad, Adam, evaluation, exact, fit, ops, optimizers
from vae_from_scratch.engine import twins

try:
    from vae_from_scratch import kernels
except ImportError as error:
    pytest.skip(f"Numba cannot compile here: {error}", allow_module_level=True)

dsprites = importlib.import_module("vae_from_scratch.datasets.dsprites")
PACKAGE = Path(ops.__file__).parent
TABLE = {key[1]: (key[0], written) for key, written in kernels.twins.checksums.items()}
ENTRIES = {(name, way): each for name, pair in kernels.ACT_WRITTEN.items() for way, each in enumerate(pair)}


def of_batch(model):
    x, eps = np.random.default_rng(0).random((8, 7), np.float32), np.ones((8, 2), np.float32)
    terms, grads = model.loss_and_grads(x, eps)
    return terms.loss, grads.vector.copy()


@pytest.fixture
def model():
    return VAE(7, hidden=(5,), latent_dim=2)


@pytest.fixture
def said(capsys):
    capsys.readouterr()
    return lambda: capsys.readouterr().err.replace("compiling kernels, once\n", "")


# ---- what a twin stands for ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLE)
def test_a_pair_is_what_its_kernel_was_written_for(name):
    module, written = TABLE[name]
    now = twins.checksum(getattr(module, name))
    assert now == written, (
        f"{module.__name__}.{name} was changed: bring its twin in kernels.py up to date, see test_kernels.py agree, "
        f"then write {name}=0x{now:08x} wherever kernels.py has {name}=0x{written:08x}"
    )


@pytest.mark.parametrize("name, way", ENTRIES)
def test_an_activation_is_what_its_kernel_was_written_for(name, way):
    now = twins.checksum(ops.ACTIVATIONS[name][way])
    assert now == ENTRIES[name, way], f"{name} of ops.ACTIVATIONS was changed: its new checksum is 0x{now:08x}"


def called_by(module, name):
    """The functions of the module that a function runs, itself among them; of the activations, those with kernels."""
    names, found = [name], set()
    while names:
        name = names.pop()
        function = getattr(module, name, None)
        if inspect.isfunction(function) and function.__module__ == module.__name__ and name not in found:
            found.add(name)
            names += function.__code__.co_names
    for name in [each for each in found if each.startswith("dense_act")]:
        way = "_backward" if "_backward" in name else "_forward"
        found |= {activation + way for activation in kernels.ACT_KERNELS if hasattr(ops, activation + way)}
    return found


def test_a_twin_stands_for_all_that_its_plain_form_runs():
    for (module, name), (_, keys) in kernels.twins.twins.items():
        assert called_by(module, name) == {key[1] for key in keys}, name
    assert called_by(ops, "bernoulli_nll_backward") == {"bernoulli_nll_backward", "sigmoid_forward"}


def checksum_of(text, tmp_path, name="f"):
    path = tmp_path / f"a{len(list(tmp_path.iterdir()))}.py"
    path.write_text(text, "utf-8")
    scope = {}
    exec(compile(text, str(path), "exec"), scope)
    return twins.checksum(scope[name])


def test_the_checksum_is_of_the_code_alone(tmp_path):
    plain = checksum_of('def f(a, b=1):\n    """Doc."""\n    if a:\n        b = -b * 2\n    return a + b\n', tmp_path)
    same = "# above\n\n\ndef f(\n    a,\n    b=1,  # why\n):\n    if a:\n# at the margin\n        b = - b*2\n\n"
    same += "    return (a +\n b)\nx = 1\n"
    assert checksum_of(same, tmp_path) == plain == 0x69569580, "it must be the same on every Python"
    for other in (same.replace("- b", "b"), same.replace("b=1", "b=2"), same.replace("    return", "        return")):
        assert checksum_of(other, tmp_path) != plain
    lambdas = "g, f = (lambda a: a), (lambda b: 2 * b)\n"
    assert len({checksum_of(each, tmp_path) for each in (lambdas, lambdas.replace("a: a", "a: 2"))}) == 1
    assert checksum_of(lambdas.replace("2 * b", "3 * b"), tmp_path) != checksum_of(lambdas, tmp_path)


# ---- replaced at run time -----------------------------------------------------------------------------------


def test_a_replaced_backward_runs_in_a_model_that_exists(model, monkeypatch, said):
    loss, before = of_batch(model)
    original, twin = ops.gaussian_kl_backward, kernels.gaussian_kl_backward
    for _ in range(2):
        for factor in (3, -1):  # in a notebook, one cell after the other
            mine = lambda *args: tuple(factor * each for each in original(*args))
            monkeypatch.setattr(ops, "gaussian_kl_backward", mine)
        changed = [of_batch(model)[1] for _ in range(3)][-1]
        assert not np.allclose(changed, before) and of_batch(VAE(7, hidden=(5,), latent_dim=2, backend="numpy"))[0]
        assert said() == "ops.gaussian_kl_backward was changed: its kernel is set aside\n"
        monkeypatch.undo()
        assert kernels.gaussian_kl_backward is twin and np.array_equal(of_batch(model)[1], before) and said() == ""


def test_a_function_that_others_call_sets_their_kernels_aside(model, monkeypatch, said):
    _, before = of_batch(model)
    monkeypatch.setattr(ops, "sigmoid_forward", lambda a: 0 * a)
    assert kernels.sigmoid_forward is ops.sigmoid_forward
    assert not np.allclose(of_batch(model)[1], before)
    assert said().startswith("ops.sigmoid_forward was changed: the kernel of bernoulli_nll_backward is set aside (")
    monkeypatch.undo()
    assert np.array_equal(of_batch(model)[1], before) and kernels.sigmoid_forward is ops.sigmoid_forward


def test_formulas_that_other_files_call_follow(model, monkeypatch):
    """IS.2 and PRIOR.1 are called from evaluation, exact and training: a version of one's own runs there, too."""
    x, called = np.random.default_rng(0).random((8, 7), np.float32), []
    for module, name in ((ops, "log_mean_exp"), (optimizers, "prior_gradient")):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, name=name, original=original: called.append(name) or original(*args))
    evaluation.log_likelihood(model, x, 3, progress=False)
    assert set(called) == {"log_mean_exp"} and not called.clear()
    exact.quadrature(model, x[:1], progress=False)
    assert set(called) == {"log_mean_exp"} and not called.clear()
    fit(model, x, batch_size=8, epochs=1, weight_decay=True, progress=False)
    assert set(called) == {"prior_gradient"}


def test_names_without_a_twin_follow(model, monkeypatch, said):
    loss, _ = of_batch(model)
    monkeypatch.setattr(ops, "batch_mean", lambda each: each.sum())
    monkeypatch.setattr(ops, "brand_new", len, raising=False)
    monkeypatch.setattr(ops, "expm1", len, raising=False)  # a name that kernels.py uses for itself
    assert of_batch(model)[0] == pytest.approx(8 * loss) and kernels.brand_new is len and kernels.expm1 is not len
    monkeypatch.undo()
    assert of_batch(model)[0] == loss and not hasattr(kernels, "brand_new") and said() == ""


def test_one_name_given_to_another_is_a_change(monkeypatch, said):
    monkeypatch.setattr(ops, "gaussian_kl_forward", ops.bernoulli_nll_forward)
    assert kernels.gaussian_kl_forward is ops.bernoulli_nll_forward and said().count("set aside") == 1
    monkeypatch.delattr(ops, "gaussian_kl_forward")
    assert not hasattr(kernels, "gaussian_kl_forward")


@pytest.mark.parametrize("activation", ["tanh", "linear"])
def test_a_replaced_activation_runs_in_a_model_that_exists(activation, model, monkeypatch, said):
    _, before = of_batch(model)
    forward, backward = ops.ACTIVATIONS[activation]
    monkeypatch.setitem(ops.ACTIVATIONS, activation, (forward, lambda dh, h: -backward(dh, h)))
    plain = VAE(7, hidden=(5,), latent_dim=2, backend="numpy")
    for _ in range(2):
        np.testing.assert_allclose(of_batch(model)[1], of_batch(plain)[1], rtol=1e-4, atol=1e-6)
    assert not np.allclose(of_batch(model)[1], before)
    assert said() == f"ops.ACTIVATIONS['{activation}'] was changed: its kernel is set aside\n"
    ops.ACTIVATIONS[activation] = (forward, backward)  # put back, in a tuple of its own
    assert np.array_equal(of_batch(model)[1], before) and kernels._has_kernel(activation) and said() == ""


def test_another_table_of_activations(model, monkeypatch, said):
    _, before = of_batch(model)
    monkeypatch.setattr(ops, "ACTIVATIONS", {**ops.ACTIVATIONS, "tanh": ops.ACTIVATIONS["relu"]})
    assert not np.allclose(of_batch(model)[1], before) and said().count("\n") == 1
    monkeypatch.undo()
    assert np.array_equal(of_batch(model)[1], before)


def test_a_function_that_activations_still_hold_is_named(monkeypatch, said):
    monkeypatch.setattr(ops, "tanh_forward", lambda a: a)
    line = "ops.tanh_forward was changed: the kernel of dense_act_forward is set aside"
    assert said() == f"{line} (ops.ACTIVATIONS still holds the old one)\n"


@pytest.mark.parametrize("optimizer, rule", [(Adam(), "adam_update"), (Adagrad(), "adagrad_update")], ids=str)
def test_a_replaced_update_rule_runs(optimizer, rule, model, monkeypatch, said):
    def step():
        copy = {name: value.copy() for name, value in model.params.items()}
        optimizer.step(copy, copy, optimizer.initial_state(copy), model.ops)
        return copy["encoder_W1"]

    before = step()
    monkeypatch.setattr(optimizers, rule, lambda param, *others: param.fill(3))
    assert np.all(step() == 3) and said() == f"optimizers.{rule} was changed: its kernel is set aside\n"
    monkeypatch.undo()
    assert np.array_equal(step(), before)


def test_a_replaced_drawing_runs(monkeypatch, said):
    monkeypatch.setattr(dsprites, "fill_polygons", lambda vertices, images: images.fill(1))
    assert dsprites.dsprites(size=8)[:3].min() == 1
    assert said() == "dsprites.fill_polygons was changed: its kernel is set aside\n"
    monkeypatch.undo()
    assert dsprites.dsprites(size=8)[:3].min() == 0


def test_without_source_the_kernels_stay(monkeypatch):
    """In a zip file or a frozen program; what somebody else wrote is still a change."""
    monkeypatch.setattr(linecache, "getlines", lambda *args: [])
    fresh = twins.Twins({})
    assert twins.checksum(ops.tanh_forward) is None
    assert fresh.is_as_written(ops, ops.tanh_forward, 1) and not fresh.is_as_written(ops, lambda a: a, 1)


# ---- edited on the disk -------------------------------------------------------------------------------------

STEP = """
import importlib, sys
import numpy as np
from vae_from_scratch import VAE, Adam, ops
model, adam = VAE(7, hidden=(5,), latent_dim=2), Adam(lr=0.1)
def step():
    _, grads = model.loss_and_grads(np.full((8, 7), 0.5, np.float32), np.ones((8, 2), np.float32))
    print(float(np.abs(grads.vector).sum()), model.ops.gaussian_kl_backward.__module__)
"""


@pytest.fixture(scope="module")
def run_edited(tmp_path_factory):
    """Standard output and error of code, run with a copy of the package whose ops.py was edited."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "vae_from_scratch")
    path, environment = folder / "vae_from_scratch" / "ops.py", {**os.environ, "PYTHONPATH": str(folder)}
    plain = path.read_text("utf-8")

    def run(code, edit):
        path.write_text(edit(plain), "utf-8")
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split(), done.stderr.replace("compiling kernels, once\n", "")

    return run


def flip(source):
    assert source.count("dmu = dkl[:, None] * mu") == 1
    return source.replace("dmu = dkl[:, None] * mu", "dmu = -dkl[:, None] * mu")


def test_an_edited_pair_runs_and_one_line_says_so(run_edited):
    code = STEP + "step(); step(); VAE(9)"
    plain, silent = run_edited(code, lambda source: source)
    edited, line = run_edited(code, flip)
    assert (silent, line) == ("", "ops.gaussian_kl_backward was changed: its kernel is set aside\n")
    assert plain[1::2] == ["vae_from_scratch.kernels"] * 2 and edited[1::2] == ["vae_from_scratch.ops"] * 2
    assert abs(float(edited[0]) / float(plain[0]) - 1) > 1e-4


@pytest.mark.slow
def test_a_comment_or_a_docstring_is_no_change(run_edited):
    edited = lambda source: source.replace("    dmu = dkl", "    # why\n\n    dmu = dkl").replace("(KL.4).", "(KL.4)!")
    printed, line = run_edited(STEP + "step()", edited)
    assert printed[1] == "vae_from_scratch.kernels" and line == ""


@pytest.mark.slow
def test_a_reloaded_file_runs(run_edited):
    """importlib.reload, and so %autoreload in a notebook."""
    code = STEP + (
        "step(); path = ops.__file__; text = open(path).read();"
        "open(path, 'w').write('# moves every line\\n' + text.replace('dmu = dkl', 'dmu = -dkl'));"
        "importlib.reload(ops); step(); step();"
        "open(path, 'w').write(text + '\\n# longer'); importlib.reload(ops); step()"
    )
    printed, line = run_edited(code, lambda source: source)
    (first, second, third, fourth), homes = map(float, printed[::2]), printed[1::2]
    assert first == fourth and second == third and abs(second / first - 1) > 1e-4, printed
    assert line == "ops.gaussian_kl_backward was changed: its kernel is set aside\n"
    assert homes[2] == "vae_from_scratch.ops"


def test_every_note_of_the_course_says_what_runs():
    first, *others = sorted((PACKAGE.parent / "derivations").glob("0[0-8]-*.md"))
    pages = [PACKAGE.parent / "README.md", first]
    found = [re.findall(r"^\*\*What runs:.*?pdb`, use\s`backend=.numpy.`", page.read_text("utf-8"), re.M | re.S) for page in pages]
    assert len({" ".join(each.replace("../", "").split()) for (each,) in found}) == 1
    assert len(others) == 8 and all("What runs when you call these functions: [note 0](" in each.read_text("utf-8") for each in others)

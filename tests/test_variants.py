"""Promise: a variant's own forward is right, a right pair passes, and a wrong one is told where."""

import json
import math

import numpy as np
import pytest
from helpers import kl_normal, log_normal, unsaid

from vae_from_scratch.course import child, variants

KINDS = {"kl": "KL", "log_q_over_p": "Laplace", "poisson_nll": "Poisson"}
SEEDS = {name: next(seed for seed in range(50) if variants.variant(seed).name == name) for name in KINDS}


def number(seed):
    """What the seed put into the task."""
    return float(variants.variant(seed).forward.__closure__[0].cell_contents)


def backward(name, factor):
    """The right backward, but for a factor."""

    def kl(dkl, mu, logvar, m, r):
        d, v = dkl[:, None] * factor, np.exp(-r)
        squares = np.exp(logvar - r) + (mu - m) ** 2 * v
        return d * (mu - m) * v, d * np.expm1(logvar - r) / 2, d * (m - mu) * v, d * (1 - squares) / 2

    def log_q_over_p(dkl, z, logvar, eps):
        return dkl[:, None] * np.sign(z) / number(SEEDS[name]) * factor, -np.ones_like(z) * dkl[:, None] / 2

    def poisson_nll(dnll, a, x):
        rate = np.exp(a) + number(SEEDS[name])
        return dnll[:, None] * factor * (1 - x / rate) * np.exp(a)

    return {"kl": kl, "log_q_over_p": log_q_over_p, "poisson_nll": poisson_nll}[name]


def factor(name):
    return number(SEEDS[name]) if name == "kl" else 1.0


@pytest.mark.parametrize("name", KINDS)
def test_a_right_pair_passes_and_a_factor_is_seen(name):
    of = variants.variant(SEEDS[name])
    assert all(row.ok for row in variants.check(SEEDS[name], of.forward, backward(name, factor(name))))
    wrong = {row.name for row in variants.check(SEEDS[name], of.forward, backward(name, 1.01 * factor(name))) if not row.ok}
    assert wrong and "forward" not in wrong
    rows = list(variants.check(SEEDS[name], lambda *given: of.forward(*given) + 1e-6, backward(name, factor(name))))
    assert [row.name for row in rows if not row.ok] == ["forward"]


@pytest.mark.parametrize("name", KINDS)
def test_names_of_ones_own_are_as_good(name):
    of, right = variants.variant(SEEDS[name]), backward(name, factor(name))
    assert all(row.ok for row in variants.check(SEEDS[name], lambda *mine: of.forward(*mine), lambda *mine: right(*mine)))


@pytest.mark.parametrize("name", KINDS)
def test_the_forward_that_all_is_measured_by_is_right(name):
    seed = SEEDS[name]
    of = variants.variant(seed)
    inputs = of.inputs(np.random.default_rng(3), (3, 4))
    first = {key: value[0] for key, value in inputs.items()}
    if name == "kl":
        wanted = number(seed) * kl_normal(first["mu"], np.diag(np.exp(first["logvar"])), first["m"], np.diag(np.exp(first["r"])))
    elif name == "log_q_over_p":
        mu, b = first["z"] - np.exp(first["logvar"] / 2) * first["eps"], number(seed)
        log_p = -np.abs(first["z"]) / b - np.log(2 * b)
        wanted = (log_normal(first["z"], mu, np.exp(first["logvar"])) - log_p).sum()
    else:
        rate = np.exp(first["a"]) + number(seed)
        p = [r**k * np.exp(-r) / math.factorial(int(k)) for r, k in zip(rate, first["x"])]
        wanted = -np.log(p).sum() - sum(math.lgamma(k + 1) for k in first["x"])
    assert of.forward(**inputs)[0] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("name, word", KINDS.items())
def test_the_sheet_names_what_to_write_and_holds_the_number(name, word):
    text = variants.sheet(SEEDS[name])
    assert not unsaid(text, f"{word} {name}_forward {name}_backward NumPy")
    assert f"{number(SEEDS[name]):g}" in text and text == variants.sheet(SEEDS[name])


@pytest.fixture
def checked(tmp_path, capsys, monkeypatch):
    """Runs the command on a file of this text, in this process; returns its exit code and what it printed."""
    monkeypatch.setattr(variants, "apart", lambda job, seed, path, _: (json.loads(json.dumps([*child.JOBS[job](seed, path)][1])), "", ""))

    def of(text):
        path = tmp_path / "mine.py"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return variants.variants(["--seed", str(SEEDS["poisson_nll"]), str(path)]), *capsys.readouterr()

    return of


def test_a_file_is_checked(checked):
    rate = f"import numpy as np\nr = lambda a: np.exp(a) + {number(SEEDS['poisson_nll'])}\n"
    forward = "def poisson_nll_forward(a, x): return (r(a) - x * np.log(r(a))).sum(axis=1)\n"
    assert checked(rate + forward + "def poisson_nll_backward(d, a, x): return d[:, None] * (1 - x / r(a)) * np.exp(a)\n")[0] == 0
    code, out, _ = checked(rate + forward + "def poisson_nll_backward(d, a, x): return d[:, None] * (1 - x / r(a))\n")
    assert code == 1 and "WRONG poisson_nll_backward, a[" in out


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "mine.py not there"),
        ("def (", "mine.py does not parse line 1"),
        (b"\xff\x00", "mine.py no text UTF-8"),
        ("", "mine.py poisson_nll_forward poisson_nll_backward"),
        ("def poisson_nll_forward(a, x): return a[:, 0]\ndef poisson_nll_backward(d, a, x): return a, x", "1 2 return"),
    ],
)
def test_a_file_that_cannot_be_checked_is_refused_in_one_line(content, words, checked):
    code, _, error = checked(content)
    assert code == 2 and error.count("\n") == 1 and not unsaid(error, words), error


def test_an_exception_is_told_in_the_students_line(checked):
    code, _, error = checked("def poisson_nll_forward(a, x):\n    return (a @ x).sum(axis=1)\ndef poisson_nll_backward(d, a, x): return a")
    assert code == 2 and not unsaid(error, "mine.py line 2 poisson_nll_forward not go together a (3, 4) x (3, 4)"), error


def test_a_command_without_a_seed_is_refused(capsys):
    assert variants.variants([]) == 2 and not unsaid(capsys.readouterr().err, "--seed nothing")


@pytest.mark.slow
def test_a_file_runs_in_a_process_of_its_own_under_the_guard(tmp_path, capsys, monkeypatch):
    path, line = tmp_path / "mine.py", ["--seed", str(SEEDS["poisson_nll"]), str(tmp_path / "mine.py")]
    path.write_text("print('here')\nimport sys\nsys.modules['numpy'].left = 1")
    assert variants.variants(line) == 2
    out, error = capsys.readouterr()
    assert "here" in out and not unsaid(error, "mine.py poisson_nll_forward") and not hasattr(np, "left")
    mine = tmp_path / "mine.txt"
    mine.write_text("kept")
    path.write_text(f"open({str(mine)!r}, 'w')")
    assert variants.variants(line) == 2 and not unsaid(capsys.readouterr().err, "line 1 PermissionError write outside")
    path.write_text("import subprocess\nsubprocess.run(['ls'])")
    assert variants.variants(line) == 2 and not unsaid(capsys.readouterr().err, "line 2 PermissionError programs")
    assert mine.read_text() == "kept" and {each.name for each in tmp_path.iterdir()} == {"mine.py", "mine.txt"}
    path.write_text("while True: pass")
    monkeypatch.setattr(variants, "SECONDS", 3)
    assert variants.variants(line) == 2 and not unsaid(capsys.readouterr().err, "mine.py 3 loop")


@pytest.mark.parametrize("name", KINDS)
def test_right_at_one_size_only_is_not_right(name):
    seed, right = SEEDS[name], backward(name, factor(name))

    def fixed(*given):
        return tuple(np.resize(each, (3, 4)) if each.shape != (3, 4) else each for each in as_tuple(right(*given)))

    assert not all(row.ok for row in variants.check(seed, variants.variant(seed).forward, fixed))
    listed = variants.check(seed, variants.variant(seed).forward, lambda *given: list(as_tuple(right(*given))))
    assert all(row.ok for row in listed)


def test_an_argument_that_is_changed_is_named():
    of, seed = variants.variant(SEEDS["kl"]), SEEDS["kl"]

    def forward(mu, logvar, m, r):
        found = of.forward(mu, logvar, m, r)
        mu -= m
        return found

    with pytest.raises(ValueError, match="kl_forward changes its argument mu"):
        list(variants.check(seed, forward, backward("kl", factor("kl"))))


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)

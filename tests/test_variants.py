"""Promise: a variant's own forward is right, a right pair passes, and a wrong one is told where."""

import math

import numpy as np
import pytest
from helpers import kl_normal, log_normal, unsaid

from vae_from_scratch.course import variants

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
    rows = list(variants.check(SEEDS[name], lambda **given: of.forward(**given) + 1e-6, backward(name, factor(name))))
    assert [row.name for row in rows if not row.ok] == ["forward"]


@pytest.mark.parametrize("name", KINDS)
def test_the_forward_that_all_is_measured_by_is_right(name):
    seed = SEEDS[name]
    of = variants.variant(seed)
    inputs = of.inputs(np.random.default_rng(3))
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


def test_a_file_is_checked(tmp_path, capsys):
    path = tmp_path / "mine.py"
    seed = str(SEEDS["poisson_nll"])
    rate = f"import numpy as np\nr = lambda a: np.exp(a) + {number(SEEDS['poisson_nll'])}\n"
    forward = "def poisson_nll_forward(a, x): return (r(a) - x * np.log(r(a))).sum(axis=1)\n"
    path.write_text(rate + forward + "def poisson_nll_backward(d, a, x): return d[:, None] * (1 - x / r(a)) * np.exp(a)\n")
    assert variants.check_here([seed, str(path)]) == 0
    path.write_text(rate + forward + "def poisson_nll_backward(d, a, x): return d[:, None] * (1 - x / r(a))\n")
    assert variants.check_here([seed, str(path)]) == 1
    assert "WRONG poisson_nll_backward, a[" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "mine.py file"),
        ("def (", "mine.py SyntaxError"),
        ("x = 1", "mine.py poisson_nll_forward poisson_nll_backward"),
        ("def poisson_nll_forward(a, x): return a[:, 0]\ndef poisson_nll_backward(d, a, x): return a, x", "1 2 return"),
    ],
)
def test_a_file_that_cannot_be_checked_is_refused_in_one_line(content, words, tmp_path, capsys):
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    assert variants.check_here([str(SEEDS["poisson_nll"]), str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and not unsaid(error, words), error


def test_a_command_without_a_seed_is_refused(capsys):
    assert variants.variants([]) == 2 and not unsaid(capsys.readouterr().err, "--seed nothing")


@pytest.mark.slow
def test_a_file_runs_in_a_process_of_its_own_with_a_time_limit(tmp_path, capsys, monkeypatch):
    path, line = tmp_path / "mine.py", ["--seed", str(SEEDS["poisson_nll"]), str(tmp_path / "mine.py")]
    path.write_text("print('here')\nimport sys\nsys.modules['numpy'].left = 1")
    assert variants.variants(line) == 2
    out, error = capsys.readouterr()
    assert "here" in out and not unsaid(error, "mine.py poisson_nll_forward") and not hasattr(np, "left")
    path.write_text("while True: pass")
    monkeypatch.setattr(variants, "SECONDS", 3)
    assert variants.variants(line) == 2 and not unsaid(capsys.readouterr().err, "mine.py 3 loop")

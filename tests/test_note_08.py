"""Promise: what note 8 says of central differences, of their errors and of the checker's blind spots is so."""

import re
from fractions import Fraction

import numpy as np
import pytest
from helpers import joined, note

from vae_from_scratch import gradcheck, ops
from vae_from_scratch.engine import gradient_table
from vae_from_scratch.objectives import CapacityVAE

NOTE = note(8)
STENCILS = {"two": gradcheck.TWO_POINTS, "five": gradcheck.FIVE_POINTS}


def difference(f, u, h, points):
    """numeric_gradient of one number, in the arithmetic of u."""
    array = np.array([u])  # of dtype object for a Fraction
    return gradcheck.numeric_gradient(lambda: f(array), array, 1, h, points)[0]


# ---- truncation, in exact arithmetic: a polynomial of degree 6 has no further terms -------------------

COEFFICIENTS = [Fraction(n, 7) for n in (3, -2, 5, 1, -4, 2, 6)]


def polynomial(u, derivative=0):
    c = COEFFICIENTS
    for _ in range(derivative):
        c = [k * c[k] for k in range(1, len(c))]
    return sum(c[k] * u**k for k in range(len(c)))


@pytest.mark.parametrize("equation", ["STEP.1", "FD.1"])
def test_truncation_of_two_points(equation):
    u, h = Fraction(2, 3), Fraction(1, 5)
    expected = h**2 / 6 * polynomial(u, 3) + h**4 / 120 * polynomial(u, 5)
    assert difference(polynomial, u, h, gradcheck.TWO_POINTS) - polynomial(u, 1) == expected
    assert difference(polynomial, u, h, gradcheck.TWO_POINTS) == (polynomial(u + h) - polynomial(u - h)) / (2 * h)


@pytest.mark.parametrize("equation", ["STEP.2", "FD.2"])
def test_truncation_of_five_points(equation):
    u, h = Fraction(2, 3), Fraction(1, 5)
    assert difference(polynomial, u, h, gradcheck.FIVE_POINTS) - polynomial(u, 1) == -(h**4) / 30 * polynomial(u, 5)
    two = {step: difference(polynomial, u, step, gradcheck.TWO_POINTS) for step in (h, 2 * h)}
    assert difference(polynomial, u, h, gradcheck.FIVE_POINTS) == (4 * two[h] - two[2 * h]) / 3


# ---- rounding: u^2 has no truncation error, and u * u is rounded once ---------------------------------


@pytest.mark.parametrize("equation", ["STEP.3"])
@pytest.mark.parametrize("stencil, factor", [("two", 1.0), ("five", 1.5)])
def test_rounding_stays_below_its_bound(stencil, factor, equation):
    delta, h = 2.0**-53, 1e-6
    shares = []
    for u in np.random.default_rng(0).uniform(1, 2, 300):
        error = Fraction(float(difference(lambda a: a * a, u, h, STENCILS[stencil]))) - 2 * Fraction(float(u))
        shares.append(abs(float(error)) / (factor * delta * 3 * u * u / h))  # kappa = u^2 + u * 2u
    # 1e-5: kappa at u + 2h instead of u, and the roundings of the division, which are not divided by h
    assert 0.2 < max(shares) < 1 + 1e-5


def best(delta, kappa, derivative, stencil):
    """h* and E(h*) by STEP.4."""
    (A, B, p) = (delta * kappa, derivative / 6, 2) if stencil == "two" else (1.5 * delta * kappa, derivative / 30, 4)
    h = (A / (p * B)) ** (1 / (p + 1))
    return h, (1 + 1 / p) * A / h, (A, B, p)


@pytest.mark.parametrize("equation", ["STEP.4"])
@pytest.mark.parametrize("stencil", STENCILS)
def test_best_step(stencil, equation):
    h, error, (A, B, p) = best(2.0**-53, 2.0, 1.0, stencil)
    grid = h * np.exp(np.linspace(-2, 2, 4001))
    total = A / grid + B * grid**p
    assert abs(np.log(grid[total.argmin()] / h)) < 0.0011  # the grid's spacing
    assert total.min() == pytest.approx(error, rel=1e-12)


ROWS = {"float32": 2.0**-24, "float64": 2.0**-53, "long double": 2.0**-64}


@pytest.mark.parametrize("name", ROWS)
def test_table_of_best_steps(name):
    (row,) = [line for line in NOTE.split("\n") if line.startswith(f"| {name} |")]
    two, five = (best(ROWS[name], 2.0, 1.0, stencil) for stencil in STENCILS)
    assert row == f"| {name} | {two[0]:.1e} | {two[1]:.1e} | {five[0]:.1e} | {five[1]:.1e} |"


extended = pytest.mark.skipif(not gradcheck.HAS_EXTENDED, reason="not extended here")


@pytest.mark.parametrize("name", ["float64", pytest.param("longdouble", marks=extended)])
def test_the_checker_works_near_the_best_steps(name):
    delta = float(np.finfo(name).eps) / 2
    for stencil, smooth in (("five", True), ("two", False)):
        h, error, _ = best(delta, 2.0, 1.0, stencil)
        for model in (False, True):
            used, limit = gradcheck.step_and_limit(np.dtype(name), smooth, model)
            assert 0.1 < used / h < 10 and limit > 1000 * error
    float32_error = min(best(2.0**-24, 2.0, 1.0, stencil)[1] for stencil in STENCILS)
    assert float32_error > gradcheck.step_and_limit(np.dtype(name), True, True)[1]


def test_differences_before_sums():
    u = np.array([0.7])
    outputs = lambda: np.append(np.full(1000, 1e3), u * u)  # a thousand outputs that do not depend on u
    each = gradcheck.numeric_gradient(outputs, u, np.ones(1001), 1e-3, gradcheck.FIVE_POINTS)
    summed = gradcheck.numeric_gradient(lambda: outputs().sum(), u, 1.0, 1e-3, gradcheck.FIVE_POINTS)
    # rounding by STEP.3: 1.5 * 1.1e-16 * 1.5 / 1e-3 = 2.5e-13 against 1.5 * 1.1e-16 * 1e6 / 1e-3 = 1.7e-7 at most
    assert abs(each[0] - 1.4) < 1e-12 and 1e-10 < abs(summed[0] - 1.4) < 1e-6


# ---- relative error, kinks, upstream gradients, blind spots --------------------------------------------


@pytest.mark.parametrize("equation", ["FD.3"])
def test_relative_error(equation):
    a, n = np.array([[3.0, 1e-9], [-4.0, 0.0]]), np.array([[3.0, 2e-9], [-5.0, 0.0]])
    assert gradcheck.relative_error(a, n) == 1 / 5
    assert gradcheck.relative_error(1e-8 * a, 0 * a) == 1  # small, and wrong altogether
    assert gradcheck.relative_error(0 * a, 0 * a) == 0


@pytest.mark.parametrize("equation", ["STEP.5"])
def test_two_points_across_a_kink(equation):
    h = 2.0**-10  # sums with h are exact
    for u in (-h, -h / 2, 0.0, h / 4, h):
        assert difference(ops.relu_forward, u, h, gradcheck.TWO_POINTS) == (u + h) / (2 * h)
    for u in (-2 * h, -h, h, 2 * h):  # exact from |u| = h on
        assert difference(ops.relu_forward, u, h, gradcheck.TWO_POINTS) == (u > 0)
    # five points reach twice as far
    assert abs(difference(ops.relu_forward, 1.5 * h, h, gradcheck.FIVE_POINTS) - 1) > 0.01


def test_a_wrong_matrix_hides_from_ones_and_not_from_random():
    rng = np.random.default_rng(0)
    A, a = rng.normal(size=(4, 3)), rng.normal(size=4)
    wrong = A + np.outer(rng.normal(size=4), [1, -2, 1])  # J' - J has ones in its kernel
    for dout, passes in ((np.ones(3), True), (rng.normal(size=3), False)):
        numeric = gradcheck.numeric_gradient(lambda: a @ A, a, dout, 1e-3, gradcheck.FIVE_POINTS)
        assert (gradcheck.relative_error(dout @ wrong.T, numeric) < 1e-9) == passes


def test_a_wrong_forward_with_its_own_backward_passes_and_sampling_finds_it():
    rng = np.random.default_rng(0)
    wrong = lambda mu, logvar, eps: mu + np.exp(logvar) * eps
    inputs = {name: rng.normal(size=(3, 5)) for name in ("mu", "logvar", "eps")}
    checks = gradcheck.check_pair(
        wrong, lambda dz, z, mu, logvar, eps: {"mu": dz, "logvar": dz * eps * np.exp(logvar)}, inputs, rng
    )
    assert len(checks) == 2 and all(check.ok for check in checks)
    eps = rng.normal(size=100_000)
    # the standard error of a variance estimate is variance * sqrt(2 / n): 0.45 %; five of them
    assert np.var(ops.reparameterize_forward(0.3, -1.0, eps)) == pytest.approx(np.exp(-1), rel=0.0225)
    assert np.var(wrong(0.3, -1.0, eps)) == pytest.approx(np.exp(-2), rel=0.0225)


# ---- reading an error, what the table of models holds ----------------------------------------------------


def test_usual_mistakes_have_errors_of_their_own():
    numeric = np.random.default_rng(0).normal(size=(3, 5))
    for factor, error in ((2, 0.5), (0.5, 0.5), (0, 1), (-1, 2), (100, 0.99), (0.01, 0.99)):
        assert gradcheck.relative_error(factor * numeric, numeric) == pytest.approx(error)
    assert all(f"\n| {printed} |" in NOTE for printed in ("0.5", "1", "2", "$`1 - 1/N`$"))


def test_limits_against_the_best_errors():
    ratios = [
        gradcheck.step_and_limit(np.dtype(name), True, model)[1] / best(delta, 2.0, 1.0, "five")[1]
        for name, delta in (("float64", 2.0**-53), ("longdouble", 2.0**-64))
        for model in (False, True)
        if name == "float64" or gradcheck.HAS_EXTENDED
    ]
    low, high = (f"{float(f'{ratio:.0e}'):,.0f}" for ratio in (min(ratios), max(ratios)))
    assert f"These limits are {low} to {high} times" in joined(NOTE)


def test_capacity_is_checked_above_its_kink_and_once_below(monkeypatch):
    build = gradient_table.small_case  # of the other models only the names are needed
    monkeypatch.setattr(gradient_table, "small_case", lambda cls, *a, **k: build(cls, *a, **k) if cls is CapacityVAE else (None,) * 3)
    for activation, (forward, _) in list(ops.ACTIVATIONS.items()):
        if forward.__module__ != ops.__name__:  # another test's own
            monkeypatch.delitem(ops.ACTIVATIONS, activation)
    cases = [case for case in gradient_table.models() if case.model is not None]
    above = [case.model.loss(case.x, *case.noise).kl > case.model.capacity for case in cases]
    assert f"The {sum(above)} combinations of `CapacityVAE` lie above" in joined(NOTE)
    assert "; one more lies below" in joined(NOTE) and len(above) - sum(above) == 1


# ---- with a pencil -----------------------------------------------------------------------------------


def test_pencil_1_factors_of_an_error():
    for factor, error in ((4, 0.75), (1 / 4, 0.75), (-1e-3, 1.001)):
        assert gradcheck.relative_error(np.array([factor]), np.ones(1)) == pytest.approx(error)


def test_pencil_2_a_one_sided_difference_loses_half_the_digits():
    A, B, best_h = 4 * 2.0**-53, 1 / 2, 2.0**-25  # relative to f'
    assert (A / B) ** 0.5 == best_h and 2 * A / best_h == 2.0**-25
    assert rf"= 2^{{-25}} = {best_h * 1e8:.1f} \cdot 10^{{-8}}`$" in NOTE
    u = 1 + np.arange(200) / 1e4
    errors = {h: np.abs((np.exp(u + h) - np.exp(u)) / h / np.exp(u) - 1).max() for h in (best_h / 64, best_h, 64 * best_h)}
    assert min(errors, key=errors.get) == best_h and errors[best_h] < 2 * 2.0**-25


def test_pencil_3_the_complex_step():
    assert abs(np.exp(1 + 1e-20j).imag / 1e-20 / np.e - 1) < 1e-15
    h = 1e-3  # large enough to see the truncation; the next term is h^4 / 120
    assert (np.exp(1 + 1j * h).imag / h - np.e) / np.e == pytest.approx(-(h**2) / 6, rel=1e-6)


def test_every_entry_of_a_large_network_takes_half_an_hour():
    milliseconds = float(re.search(r"is half an hour at ([\d.]+) ms per loss", joined(NOTE))[1])  # measured; four losses each
    assert 4 * 815824 * milliseconds / 60_000 == pytest.approx(30, abs=5)


def test_pencil_4_one_wrong_entry_of_many():
    assert f"= {815824**-0.5:.4f}`$" in NOTE
    rng = np.random.default_rng(0)
    n = rng.choice([-1.0, 1.0], 100)
    a = n.copy()
    a[17] = 0
    v = rng.normal(size=(5000, 100))
    # the mean of squares over 5,000 directions: standard error sqrt(2 / 5000) = 2 % of it; five of these
    assert np.mean((v @ (a - n)) ** 2) / np.mean((v @ n) ** 2) == pytest.approx(1 / 100, rel=0.1)

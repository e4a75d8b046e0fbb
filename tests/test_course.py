"""The exercises are cut from the package's source and solved by it; the checker names what is wrong."""

import ast
import collections
import functools
import random
import re
import sys

import numpy as np
import pytest
from helpers import ROOT, joined, note, unsaid

from vae_from_scratch import VAE, Adam, cli, evaluation, ops
from vae_from_scratch.course import checker, cut, grade, mistakes, probes, variants
from vae_from_scratch.course import report as class_report
from vae_from_scratch.course.child import check_apart
from vae_from_scratch.course.exercises import EXERCISES, exercise
from vae_from_scratch.course.implant import StudentFile, clashes, implanted, mistaken, read
from vae_from_scratch.engine.registry import ours

CAPACITY = "objectives.capacity_vae.CapacityVAE.penalty_backward"
TARGETS = [target for each in EXERCISES for target in each.functions]


@pytest.fixture
def report(tmp_path):
    """The report on exercise number whose file is the package's own functions after these edits."""

    def of(number, *edits):
        path = tmp_path / exercise(number).filename
        path.write_text(cut.solved_file(exercise(number), edits), "utf-8")
        return checker.check_file(exercise(number), path)

    return of


@pytest.fixture
def course(tmp_path, monkeypatch, capsys):
    """Runs an action of course in an empty folder; returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def of(line):
        code = cli.main(["course", *line.split()])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return of


# ---- the blanks ---------------------------------------------------------------------------------------


def test_a_blank_has_the_signature_and_no_body():
    for each in EXERCISES:
        nodes = cut.defined(ast.parse(cut.exercise_file(each)))
        for target in each.functions:
            blank = nodes[cut.in_file(target)]
            assert cut.is_blank(blank) and ast.unparse(blank.args) == ast.unparse(cut.node(target).args), target
            assert not cut.tags(target) or all(f"({tag})" in ast.unparse(blank.body[-1]) for tag in cut.tags(target))
            assert each.note in ast.unparse(blank.body[-1])


def test_a_blank_says_the_shape_of_everything_that_comes_in():
    for each in EXERCISES:
        nodes = cut.defined(ast.parse(cut.exercise_file(each)))
        for target in each.functions:
            blank = nodes[cut.in_file(target)]
            text = " ".join(f"{each.task} {ast.get_docstring(blank)}".split())
            for name in [given.arg for given in blank.args.args if given.arg != "self"]:
                said = rf"\b({name}|All|the rest|the others)\b[^.;]*(\([NDZKIOC2., ]+\)|number|shape|as in forward)"
                assert re.search(said, text) or name == "out", (target, name)


@pytest.mark.parametrize(
    "docstring, left",
    [
        ("z = mu + exp(logvar / 2) * eps, Eq. (REP.1).  All (N, Z).", "z, Eq. (REP.1).  All (N, Z)."),
        ("beta * mean kl, Eq. (BETA.1).", "Eq. (BETA.1)."),
        ("Eq. (VAE.1): loss = a + b, minus the ELBO.", "Eq. (VAE.1): loss, minus the ELBO."),
        ("KL of each latent in nats, Eq. (KL.1).", "KL of each latent in nats, Eq. (KL.1)."),
    ],
)
def test_a_docstring_loses_its_formula_and_keeps_its_words(docstring, left):
    assert cut.trimmed(docstring) == left


def test_a_blank_file_runs_and_nothing_in_it_is_written(tmp_path):
    for each in EXERCISES:
        path = tmp_path / each.filename
        path.write_text(cut.exercise_file(each), "utf-8")
        student = read(path, each.functions)
        assert not student.written and student.unwritten == list(each.functions)


def test_notes_of_the_exercises_exist():
    for each in EXERCISES:
        assert (ROOT / each.note).exists() and len(each.hints) == 3
        for target in each.functions:
            for tag in cut.tags(target):
                assert f"tag{{{tag}}}" in (ROOT / each.note).read_text("utf-8"), (tag, each.note)


def test_the_note_of_an_exercise_folds_its_finished_code():
    code = lambda text: {line.partition("#")[0].strip() for line in text.splitlines()} - {""}  # noqa: E731
    folded = 0
    for each in EXERCISES:
        parts = re.split(r"^(</?details>.*)\n", (ROOT / each.note).read_text("utf-8"), flags=re.M)
        for target in each.functions:
            body = code(cut.source(target).partition('"""\n')[2])
            for before, part in zip(["", *parts], parts):
                for block in re.findall(r"^```python\n(.*?)^```", part, re.M | re.S):
                    if len(code(block) & body) >= len(code(block)) / 2 and len(code(block) & body) >= len(body) / 3:
                        assert before.startswith(f"<details><summary>Exercise {each.number} "), (each.note, target)
                        assert part.startswith("\n```") and part.endswith("```\n\n")  # or the page shows it as text
                        folded += 1
    assert folded >= 7


# ---- right and wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, len(EXERCISES) + 1))
def test_the_package_solves_its_exercises(number, report):
    found = report(number)
    assert found.passed and found.replaced == exercise(number).functions, found.findings
    assert len(found.evidence) == len(exercise(number).checks)
    words = checker.text(found, exercise(number))
    assert f"{len(found.replaced)} function" in words and cut.source(found.replaced[0]) in words


def test_the_table_of_mistakes_is_large_and_each_row_explains():
    assert len(mistakes.MISTAKES) >= 40 and {row.exercise for row in mistakes.MISTAKES} == set(range(1, 13))
    assert len({row.id for row in mistakes.MISTAKES}) == len(mistakes.MISTAKES)
    for row in mistakes.MISTAKES:
        assert row.edit.function in exercise(row.exercise).functions
        assert len(row.says.split()) >= 6 and "incorrect" not in row.says


@pytest.mark.parametrize("target", dict.fromkeys(row.edit.function for row in mistakes.MISTAKES))
def test_every_mistake_is_named_exactly(target):
    probes.expected(target)
    for row in mistakes.MISTAKES:
        if row.edit.function == target:
            assert [found.mistake for found in checker.diagnose(target, mistaken(row))] == [row.id]


def test_mistakes_are_named_in_a_file_with_others(report):
    for each in EXERCISES:  # a row of each function in one file; all of them: the slow one
        rows = [[row for row in mistakes.MISTAKES if row.edit.function == target] for target in each.functions]
        for i in range(0, max(map(len, rows)), 12):
            chosen = [of[(i + 3 * k) % len(of)] for k, of in enumerate(rows)]
            found = report(each.number, *(row.edit for row in chosen))
            assert [finding.mistake for finding in found.findings] == [row.id for row in chosen]


@pytest.mark.slow
def test_every_mistake_is_named_in_a_file_with_another(report):
    for each in EXERCISES:
        rows = [[row for row in mistakes.MISTAKES if row.edit.function == target] for target in each.functions]
        for i in range(max(map(len, rows))):
            chosen = [of[(i + k) % len(of)] for k, of in enumerate(rows)]
            found = report(each.number, *(row.edit for row in chosen))
            assert [finding.mistake for finding in found.findings] == [row.id for row in chosen]


@pytest.mark.parametrize(
    "number, ids",
    [
        (3, "kl-dmu-twice kl-dlogvar-no-minus-one"),
        (3, "kl-dmu-upstream kl-dlogvar-sigma"),
        (4, "rep-dmu-eps rep-dlogvar-no-half"),
        (6, "gauss-dmean-sign gauss-dlogvar-no-one"),
        (1, "dense-dW-mean dense-db-mean"),
        (9, "adam-m-rebound adam-v-rebound"),
        (3, "kl-dlogvar-no-half kl-dlogvar-no-minus-one"),
        (3, "kl-dlogvar-sign kl-swapped"),
        (7, "vae-b-dmu-no-kl vae-b-halves"),
    ],
)
def test_two_mistakes_in_one_function_are_both_named(number, ids, report):
    rows = {row.id: row for row in mistakes.MISTAKES}
    found = report(number, *(rows[each].edit for each in ids.split()))
    assert {finding.mistake for finding in found.findings} == set(ids.split())


@pytest.mark.parametrize(
    "number, text",
    [
        (1, """
def dense_backward(dy, x, W, out=(None, None)):
    return (dy @ W.T, *dense_backward_params(dy, x, out))
def dense_backward_params(dy, x, out=(None, None)):
    dW, db = np.einsum("ni,no->io", x, dy), dy.sum(0)
    for given, value in zip(out, (dW, db)):
        if given is not None:
            given[...] = value
    return dW, db
"""),
        (2, """
class VAE:
    def forward(self, x, eps):
        h = self.encoder.forward(self.ops, self.params, x)
        mu, logvar = np.split(h[-1], 2, axis=1)
        z = self.ops.reparameterize_forward(mu, logvar, eps)
        out = self.decoder.forward(self.ops, self.params, z)
        nll = self.likelihood.forward(self.ops, self.params, out[-1], x)
        kl = self.ops.gaussian_kl_forward(mu, logvar)
        return Terms((nll + kl).mean(), nll.mean(), kl.mean(), nll, kl), Saved(h, out, mu, logvar, z, kl)
"""),
        (3, """
def per(a, b):
    return 0.5 * (a ** 2 + np.expm1(b) - b)
def gaussian_kl_per_latent(mu, logvar):
    return per(mu, logvar)
def gaussian_kl_forward(mu, logvar):
    return np.sum(per(mu, logvar), axis=-1)
def gaussian_kl_backward(dkl, mu, logvar):
    dkl = dkl.reshape(-1, 1)
    return dkl * mu, 0.5 * dkl * np.expm1(logvar)
"""),
        (2, """
from vae_from_scratch.ops import gaussian_kl_forward
class VAE:
    @staticmethod
    def _halves(h):
        return np.split(h, 2, axis=1)
    def _means(self, nll, kl):
        return nll.mean() + kl.mean(), nll.mean(), kl.mean()
    def forward(self, x, eps):
        enc = self.encoder.forward(self.ops, self.params, x)
        mu, logvar = self._halves(enc[-1])
        z = self.ops.reparameterize_forward(mu, logvar, eps)
        dec = self.decoder.forward(self.ops, self.params, z)
        nll, kl = self.likelihood.forward(self.ops, self.params, dec[-1], x), gaussian_kl_forward(mu, logvar)
        return Terms(*self._means(nll, kl), nll, kl), Saved(enc, dec, mu, logvar, z, kl)
"""),
        (4, """
def std(logvar):
    return np.sqrt(np.exp(logvar))
def reparameterize_forward(mu, logvar, eps):
    return mu + eps * std(logvar)
def reparameterize_backward(dz, logvar, eps):
    return dz.copy(), 0.5 * dz * std(logvar) * eps
"""),
        (5, """
def bernoulli_nll_forward(logits, x):
    return np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
def bernoulli_nll_backward(dnll, logits, x):
    return np.reshape(dnll, (-1, 1)) * (0.5 * (1 + np.tanh(logits / 2)) - x)
"""),
        (7, """
class VAE:
    def backward(self, x, eps, saved, grads):
        n = np.full(len(x), 1 / len(x))
        dout = self.likelihood_backward(n, saved.dec[-1], x, grads)
        dz = self.decoder.backward(self.ops, self.params, dout, saved.dec, grads)
        first = self.ops.reparameterize_backward(dz, saved.logvar, eps)
        second = self.ops.gaussian_kl_backward(n, saved.mu, saved.logvar)
        self.encoder.backward(self.ops, self.params, np.hstack([a + b for a, b in zip(first, second)]), saved.enc, grads)
"""),
        (8, """
from copy import deepcopy
def numeric_gradient(outputs, array, dout, h, points):
    grad, before = np.zeros_like(array), deepcopy(array)
    for index in np.ndindex(*array.shape):
        for steps, (weight, divisor) in points.items():
            ends = []
            for sign in (1, -1):
                array[...] = before
                array[index] += sign * steps * h
                ends.append(deepcopy(outputs()))
            grad[index] += (dout * (ends[0] - ends[1])).sum() * weight / (divisor * h)
        array[...] = before
    return grad
def relative_error(analytic, numeric):
    scale = max(abs(analytic).max(), abs(numeric).max())
    return 0.0 if scale == 0 else abs(analytic - numeric).max() / scale
"""),
        (8, """
from numpy import *
def compare(a):
    return a * 1.0
def require(outputs):
    return compare(array(outputs()))
def numeric_gradient(outputs, array, dout, h, points):
    grad = empty_like(array)
    for index in ndindex(array.shape):
        value, total = array[index], 0.0
        for steps, (weight, divisor) in points.items():
            array[index] = value + steps * h
            ahead = require(outputs)
            array[index] = value - steps * h
            total = total + weight * (ahead - require(outputs)) / (divisor * h)
        array[index], grad[index] = value, sum(dout * total)
    return grad
def relative_error(analytic, numeric):
    scale = maximum(abs(analytic).max(), abs(numeric).max())
    return 0.0 if scale == 0 else abs(analytic - numeric).max() / scale
"""),
        (1, """
def dense_forward(W, x, b):
    return x @ W + b
def dense_backward(dy, x, W, out=(None, None)):
    return (dense_forward(W.T, dy, 0), *dense_backward_params(dy, x, out))
def dense_backward_params(dy, x, out=(None, None)):
    return np.matmul(x.T, dy, out=out[0]), np.sum(dy, 0, out=out[1])
"""),
        (9, """
def adam_update(param, grad, m, v, t, lr, beta1, beta2, adam_eps):
    m += (1 - beta1) * (grad - m)
    v += (1 - beta2) * (grad ** 2 - v)
    param -= lr * (m / (1 - beta1 ** t)) / (np.sqrt(v / (1 - beta2 ** t)) + adam_eps)
"""),
        (10, """
def capacity_forward(kl, gamma, capacity):
    return gamma * np.abs(kl - capacity)
def capacity_backward(dout, kl, gamma, capacity):
    return dout * gamma * np.sign(kl - capacity)
class BetaVAE:
    def penalty_forward(self, kl, mu, logvar, z):
        return self.beta * np.mean(kl)
    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        return PenaltyGrads(np.full_like(kl, self.beta * dpenalty / len(kl)), np.zeros_like(mu), np.zeros_like(logvar), np.zeros_like(z))
class CapacityVAE:
    def penalty_forward(self, kl, mu, logvar, z):
        return self.ops.capacity_forward(np.mean(kl), self.gamma, self.capacity)
    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        slope = self.ops.capacity_backward(dpenalty, np.mean(kl), self.gamma, self.capacity)
        return PenaltyGrads(dkl=np.full_like(kl, slope / len(kl)), dz=np.zeros_like(z))
"""),
        (10, """
from vae_from_scratch.ops import batch_mean, capacity_forward as theirs
def capacity_forward(kl, gamma, capacity):
    return theirs(kl, gamma, capacity)
def capacity_backward(dout, kl, gamma, capacity):
    return dout * (gamma * np.sign(kl - capacity))
class BetaVAE:
    def penalty_forward(self, kl, mu, logvar, z):
        return self.beta * batch_mean(kl)
    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        return PenaltyGrads(dkl=np.full_like(kl, self.beta * dpenalty / len(kl)))
class CapacityVAE:
    def penalty_forward(self, kl, mu, logvar, z):
        return capacity_forward(batch_mean(kl), self.gamma, self.capacity)
    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        return PenaltyGrads(dkl=np.full_like(kl, capacity_backward(dpenalty, batch_mean(kl), self.gamma, self.capacity) / len(kl)))
"""),
        (12, """
def softmax_cross_entropy_forward(logits, targets):
    top = logits.max(1)
    return top + np.log(np.exp(logits - top[:, None]).sum(1)) - (targets * logits).sum(1)
def softmax_cross_entropy_backward(dnll, logits, targets):
    e = np.exp(logits - logits.max(1)[:, None])
    return dnll[:, None] * (e / e.sum(1)[:, None] - targets)
def softmax_cross_entropy_forward_twin(logits, targets):
    return softmax_cross_entropy_forward(logits, targets)
"""),
    ],
)  # fmt: skip
def test_other_ways_to_be_right_pass(number, text, tmp_path):
    each = exercise(number)
    path = tmp_path / each.filename
    path.write_text("\n".join(cut.imports(each.functions)) + text, "utf-8")
    found = checker.check_file(each, path)
    assert found.passed and len(found.replaced) == len(each.functions), found.findings


def test_numbers_of_python_are_of_every_dtype(report):
    forward = "self.beta * self.ops.batch_mean(kl)"
    number = mistakes.Edit("beta_vae.BetaVAE.penalty_forward", forward, f"float({forward})")
    assert report(10, number, mistakes.Edit(CAPACITY, "PenaltyGrads(dkl=", "PenaltyGrads(dmu=0, dlogvar=0 * mu, dkl=")).passed
    means = "loss, recon_nll_mean, kl_mean"
    assert report(2, mistakes.Edit("vae.VAE.forward", f"Terms({means}", f"Terms(*map(float, ({means}))")).passed


@pytest.mark.parametrize(
    "number, function, old, new",
    [
        (2, "vae.VAE.forward", "Saved(enc, dec", "Saved(dec, dec"),
        (2, "vae.VAE.forward", "Saved(enc, dec", "Saved([0 * h for h in enc], dec"),
        (6, "ops.gaussian_nll_forward", "x_logvar = x_mean.dtype.type(LOG_2PI), np.asarray(x_logvar, x_mean.dtype)",
         "x_logvar = x_mean.dtype.type(LOG_2PI), np.clip(np.asarray(x_logvar, x_mean.dtype), -6, 10)"),
        (6, "ops.gaussian_nll_forward", "return (", "return np.maximum(0, "),
        (6, "ops.gaussian_nll_backward", "np.exp(-x_logvar)", "np.exp(-np.clip(x_logvar, -10, 10))"),
        (6, "ops.gaussian_nll_forward", "np.exp(-x_logvar)", "np.exp(-np.maximum(x_logvar, -6))"),
        (6, "ops.gaussian_nll_forward", "np.exp(-x_logvar)", "np.exp(-np.minimum(x_logvar, 12))"),
        (6, "ops.gaussian_nll_backward", "np.exp(-x_logvar)", "1 / np.maximum(np.exp(x_logvar), 1e-3)"),
        (6, "ops.gaussian_nll_backward", "np.exp(-x_logvar)", "1 / (np.exp(x_logvar) + 1e-12)"),
        (11, "ops.log_weight", "- logvar)", "- np.clip(logvar, -12, 12))"),
        (5, "ops.bernoulli_nll_forward", ".sum(axis=1)", ".sum(axis=1).squeeze()"),
        (11, "evaluation.effective_samples", "return log_w.shape[-1] * np.exp(2 * log_mean_exp(log_w) - log_mean_exp(2 * log_w))",
         "return np.squeeze(log_w.shape[-1] * np.exp(2 * log_mean_exp(log_w) - log_mean_exp(2 * log_w)))"),
        (11, "ops.log_mean_exp", "return np.log(np.exp(log_w - top).mean(axis=-1)) + top[..., 0]",
         "return np.squeeze(np.log(np.exp(log_w - top).mean(axis=-1, keepdims=True)) + top)"),
        (11, "ops.log_mean_exp", "    top = log_w.max", "    if log_w.ndim == 1:\n        return np.zeros(3)\n    top = log_w.max"),
        (10, CAPACITY, "self.ops.capacity_backward(dpenalty, self.ops.batch_mean(kl), self.gamma, self.capacity)",
         "dpenalty * self.gamma * (1.0 if kl.mean() >= self.capacity else -1.0)"),
        (10, CAPACITY, "self.ops.capacity_backward(dpenalty, self.ops.batch_mean(kl), self.gamma, self.capacity)",
         "dpenalty * self.gamma * (kl.mean() - self.capacity) / np.abs(kl.mean() - self.capacity)"),
        (10, "beta_vae.BetaVAE.penalty_backward", "np.ones_like(kl)", "np.ones(len(kl))"),
        (2, "vae.VAE.forward", "ops.gaussian_kl_forward(mu, logvar)", "ops.gaussian_kl_forward(mu.astype(float), logvar)"),
        (2, "vae.VAE.forward", "enc[-1][:, Z:]", "np.clip(enc[-1][:, Z:], -2, 2)"),
        (2, "vae.VAE.forward", "ops.gaussian_kl_forward(mu, logvar)", "np.maximum(ops.gaussian_kl_forward(mu, logvar), 0.01)"),
        (7, "vae.VAE.backward", "[dmu, dlogvar]", "[np.clip(dmu, -5, 5), dlogvar]"),
        (9, "optimizers.adam_update", "    m[...]", "    grad = np.clip(grad, -5, 5)\n    m[...]"),
        (1, "ops.dense_backward_params", "np.matmul(x.T, dy, out=out[0])", "np.matmul(x.T, np.clip(dy, -10, 10), out=out[0])"),
        (3, "ops.gaussian_kl_per_latent", "mu * mu", "np.clip(mu, -10, 10) ** 2"),
        (4, "ops.reparameterize_forward", "return mu", "return np.clip(mu, -10, 10)"),
        (7, "vae.VAE.backward", "drecon_nll = dkl", "saved.dec[-1] *= 2\n    drecon_nll = dkl"),
        (8, "gradcheck.relative_error", "scale = max(", "scale = max(1.0, "),
        (8, "gradcheck.relative_error", "return float(", "return 0.0 if np.allclose(analytic, numeric) else float("),
        (8, "gradcheck.numeric_gradient", "np.ndindex(array.shape)", "np.ndindex(array.shape[0], array.shape[1])"),
        (10, CAPACITY, "self.ops.batch_mean(kl)", "np.sum(kl)"),
        (11, "ops.log_mean_exp", "log_w.max(", "log_w.min("),
        (11, "ops.log_mean_exp", "log_w.max(", "log_w.mean("),
    ],
)  # fmt: skip
def test_right_on_common_numbers_only_is_not_right(number, function, old, new, report):
    found = report(number, mistakes.Edit(function, old, new)).findings
    assert {finding.function for finding in found} == {function} and {finding.kind for finding in found} != {"evidence"}, found


def test_a_twin_that_overflows_is_told(tmp_path):
    twin = "\ndef softmax_cross_entropy_forward_twin(logits, targets):\n    return {} - (targets * logits).sum(axis=1)\n"
    safe = "np.log(np.exp(logits - logits.max(axis=1)[:, None]).sum(axis=1)) + logits.max(axis=1)"
    path = tmp_path / exercise(12).filename
    for top, passed in ((safe, True), ("np.log(np.exp(logits).sum(axis=1))", False)):
        path.write_text(cut.solved_file(exercise(12)) + twin.format(top), "utf-8")
        found = checker.check_file(exercise(12), path)
        assert found.passed == passed and (passed or "exp overflows" in found.findings[0].says), found


@pytest.mark.parametrize(
    "number, function, old, new, words, not_said",
    [
        (1, "ops.dense_backward", "dW, db = dense_backward_params(dy, x, out)", "dW, db = x.T @ dy, dy.sum(0)",
         "dW out[0] weights never move db out[1] biases", "DENSE.2"),
        (1, "ops.dense_backward", "x, out)", "x)\n    for a, d in zip(out, (dW, db)):\n        if a is not None:\n            a += d",
         "out[0] DENSE.3 out[1] DENSE.4 training hands", "DENSE.2"),
        (8, "gradcheck.numeric_gradient", "np.sum(dout * derivative)", "np.cos(np.sum(dout * derivative))", "FD.1 FD.2", "NaN"),
        (2, "vae.VAE.forward", "recon_nll, kl), Saved", "kl, recon_nll), Saved", "in each other's place", "likelihood"),
        (8, "gradcheck.relative_error", "scale = max(", "scale = 1 + max(", "FD.3", "not at all"),
        (9, "optimizers.adam_update", "m[...] = beta1 * m", "m[...] = np.random.normal() * m", "another answer kept", "enters"),
        (10, CAPACITY, "return PenaltyGrads(dkl=", "return (", "PenaltyGrads(dkl=...) ndarray", "dmu"),
        (10, CAPACITY, "self.ops.capacity_backward(dpenalty, self.ops.batch_mean(kl), self.gamma, self.capacity)",
         "dpenalty * self.gamma * (1.0 if kl.mean() >= self.capacity else -1.0)", "CAP.2 gives 0 the mean kl at the capacity", "twice"),
        (3, "ops.gaussian_kl_per_latent", ") / 2", ") / 2 + 1e-13", "3.5e-13 KL.1 gives 2.5e-13 logvar 1e-6", "digits"),
        (3, "ops.gaussian_kl_backward", "np.expm1(logvar)", "np.maximum(np.expm1(logvar), -1e-14)", "KL.4", "digits"),
        (3, "ops.gaussian_kl_per_latent", "np.expm1(logvar)", "np.expm1(np.clip(logvar, -5, 5))", "clamped", "digits"),
        (4, "ops.reparameterize_forward", "np.exp(logvar / 2) * eps", "(np.exp(logvar / 2) + 1e-10) * eps", "[0, 1] 1 of 3", "nearly"),
        (8, "gradcheck.numeric_gradient", "derivative + weight", "0 * weight", "is 0 in every entry FD.1", "takes"),
        (6, "ops.gaussian_nll_backward", "_sum_to(x_logvar.shape, dx_logvar)", "float(dx_logvar.sum()) if x_logvar.ndim == 0 else "
         "_sum_to(x_logvar.shape, dx_logvar)", "dtype float64 number of Python x.dtype.type(...)", "float(...)"),
        (2, "vae.VAE.forward", "Terms(loss, recon_nll_mean, kl_mean", "Terms(loss, kl_mean, recon_nll_mean",
         "each other's place: loss, recon_nll, kl, recon_nll_each, kl_each is the order", "Saved"),
        (2, "vae.VAE.forward", "Saved(enc, dec, mu, logvar", "Saved(enc, dec, logvar, mu",
         "Saved.logvar each other's place: Saved.enc, Saved.dec, Saved.mu, Saved.logvar, Saved.z, Saved.kl is the order", "kl_each"),
        (2, "vae.VAE.forward", "kl = ops.gaussian_kl_forward", "kl = -ops.gaussian_kl_forward", "Saved.kl is minus", "not all"),
        (7, "vae.VAE.backward", "[dmu, dlogvar]", "[np.clip(dmu, -5, 5), dlogvar]", "look at dmu 10 times as large", "dlogvar"),
    ],
)  # fmt: skip
def test_what_is_said_is_so(number, function, old, new, words, not_said, report):
    text = cut.source(function)
    if text.count(old) != 1:  # the first alone
        old, new = text[: text.index(old) + len(old)], text[: text.index(old)] + new
    says = " ".join(finding.says for finding in report(number, mistakes.Edit(function, old, new)).findings)
    assert not unsaid(says, words) and not_said not in says, says


def test_a_name_that_two_files_give_different_values_clashes():
    target = EXERCISES[2].functions[0]
    mine = lambda C: StudentFile(None, {target: None}, [], {"C": C})  # noqa: E731
    with implanted({target: ops.gaussian_kl_per_latent}, {"C": 0.5}):
        assert clashes(mine(1.0)) == ["C"] and not clashes(mine(0.5))


BACKWARD, MEAN = "vae.VAE.backward", "drecon_nll = dkl = np.ones(len(x), self.dtype) / len(x)\n"


@pytest.mark.parametrize(
    "shares, ids",
    [
        ("1 {1/N}", ["vae-b-recon-not-mean"]),
        ("{1/N} 1", ["vae-b-kl-not-mean"]),
        ("1 1", ["vae-b-sum-batch"]),
        ("{1/N}/len(x) {1/N}", ["vae-b-recon-mean-twice"]),
        ("{1/N} {1/N}/len(x)", ["vae-b-kl-mean-twice"]),
        ("{1/N}/len(x) {1/N}/len(x)", ["vae-b-mean-twice"]),
        ("3*{1/N} {1/N}", [None]),
    ],
)
def test_each_half_of_the_loss_has_a_mean_of_its_own(shares, ids, report):
    """What is said of all gradients is said only where it is true of all."""
    recon_nll, kl = (each.replace("{1/N}", "one/len(x)").replace("1", "one", each == "1") for each in shares.split())
    edit = mistakes.Edit(BACKWARD, MEAN, f"one = np.ones(len(x))\n    drecon_nll, dkl = {recon_nll}, {kl}\n")
    found = report(7, edit).findings
    assert [finding.mistake for finding in found] == ids and ("All gradients" in found[0].says) == (len(set(shares.split())) == 1), found


def test_a_row_is_named_for_one_output_only_if_it_speaks_of_no_other(report):
    half_swapped = mistakes.Edit(KL, "return dmu, dlogvar", "return dlogvar, dlogvar")  # dmu alone is as in kl-swapped
    both = mistakes.Edit(KL, "dmu = dkl[:, None] * mu", "dmu = dkl[:, None] * mu / len(mu)")  # dmu alone as in kl-mean-twice
    for edit, words in ((half_swapped, "gaussian_kl_backward: dmu"), (both, "1/N times")):
        (found,) = report(3, edit).findings
        assert found.mistake is None and words in found.says and "Both" not in found.says and "each other" not in found.says


def test_an_exception_is_a_rows_only_if_the_same_shapes_met(report):
    for new, mistake in (("dkl * mu", "kl-dkl-row"), ("mu * dkl", "kl-dkl-row"), ("dkl[:, None] * mu.T", None), ("mu @ mu", None)):
        assert [found.mistake for found in report(3, mistakes.Edit(KL, DMU, f"dmu = {new}\n")).findings] == [mistake]


@pytest.mark.slow
@pytest.mark.parametrize("target", dict.fromkeys(row.edit.function for row in mistakes.MISTAKES))
def test_two_mistakes_at_once_are_named_or_others_that_give_the_same_numbers(target):
    for pair in checker._pairs([row for row in mistakes.MISTAKES if row.edit.function == target]):
        ids = {finding.mistake for finding in checker.diagnose(target, mistaken(*pair))}
        named = tuple(row for row in mistakes.MISTAKES if row.id in ids)
        if named and {*named} != {*pair}:
            assert all(checker._alike(target, i, checker._outcome(named, i), checker._outcome(pair, i)) for i in range(3)), (pair, ids)


KL = "ops.gaussian_kl_backward"
DMU = "dmu = dkl[:, None] * mu\n"


@pytest.mark.parametrize(
    "number, function, old, new, kind, words",
    [
        (3, KL, DMU, "dmu = dkl[:, None] * mean\n", "exception", "03_gaussian_kl.py line NameError mean"),
        (3, KL, DMU, "dmu = dkl[:, None] * mu.T\n", "exception", "not go together dkl[:, None] (3, 1) (N, 1) mu.T (4, 3) (Z, N) KL.3"),
        (3, KL, DMU, "dmu = (\n        dkl[:, None]\n        * mu.T)\n", "exception", "not go together dkl[:, None] (3, 1) mu.T (4, 3)"),
        (3, KL, DMU, "dmu = dkl.sum(axis=1) * mu\n", "exception", "AxisError dkl (3,) (N,)"),
        (7, BACKWARD, "[dmu, dlogvar], axis=1", "[dmu, dlogvar], axis=0", "exception", "not go together denc (6, 4) dense_backward (8, 6)"),
        (3, KL, DMU, "dmu = dkl[:, None] * mu\n    mu *= 2\n", "mutated", "gaussian_kl_backward changes mu"),
        (3, KL, "return dmu, dlogvar", "return dmu", "shape", "returns 1 expected 2 dmu dlogvar"),
        (3, KL, "return dmu, dlogvar", "pass", "shape", "nothing return"),
        (3, KL, "return dmu, dlogvar", "return {}, dlogvar", "shape", "dmu no array of numbers"),
        (3, KL, "return dmu, dlogvar", "return (row for row in dmu), dlogvar", "shape", "dmu no array of numbers"),
        (3, KL, "return dmu, dlogvar", "return dmu.astype('f').astype(float), dlogvar", "value", "dmu nearly KL.3 float32 between"),
        (2, "vae.VAE.forward", "Saved(enc, dec", "Saved(enc[-1:], dec", "exception", "TypeError Saved.enc encoder.forward every layer"),
        (2, "vae.VAE.forward", "Saved(enc, dec", "Saved(enc, dec[-1:]", "exception", "TypeError Saved.dec decoder.forward every layer"),
        (10, CAPACITY, "self.ops.batch_mean", "batch_mean", "exception", "NameError ops self.ops.batch_mean"),
        (3, KL, "return dmu, dlogvar", "return [dmu, dlogvar]", "shape", "returns a list expected 2 dmu dlogvar"),
        (2, "vae.VAE.forward", "return Terms(", "Terms(", "shape", "nothing return Terms(...) Saved(...)"),
        (4, "ops.reparameterize_forward", "np.exp(logvar / 2)", "np.log(logvar)", "value", "REP.1 8 are NaN logarithm"),
        (7, BACKWARD, "saved.dec, grads)", "saved.dec, grads, need_dx=False)", "exception", "dz None logvar (3, 4) (N, Z)"),
        (3, KL, DMU, "dmu = (dkl[:, None] * mu).T\n", "shape", "dmu (4, (3, N Z transposed"),
        (3, KL, DMU, "dmu = 3 * dkl[:, None] * mu\n", "factor", "dmu 3 times KL.3"),
        (3, KL, DMU, "dmu = dkl[:, None] * mu * len(mu)\n", "factor", "dmu N times batch sum"),
        (3, KL, DMU, "dmu = dkl[:, None] * mu + (mu > 1)\n", "value", "dmu KL.3 gives entries"),
        (3, KL, DMU, "dmu = dkl[:, None] * mu.astype(float)\n", "shape", "dtype float64 float32"),
        (3, "ops.gaussian_kl_forward", "return gau", "return np.random.normal() * gau", "random", "another answer each time"),
        (3, "ops.gaussian_kl_forward", "return gau", "return 0 * gau", "value", "gaussian_kl_forward KL.2 gives"),
        (3, "ops.gaussian_kl_per_latent", "np.expm1(logvar)", "np.expm1(mu)", "value", "KL.1 gives"),
        (3, "ops.gaussian_kl_per_latent", "(mu * mu", "(3 * mu * mu", "argument", "part mu 3 times"),
        (4, "ops.reparameterize_backward", "dz * eps *", "dz * logvar *", "argument", "dlogvar logvar where REP.3 has eps"),
        (5, "ops.bernoulli_nll_backward", "- x)", "- x + 2)", "argument", "dlogits off by +2 times dnll BERN.2"),
        (5, "ops.bernoulli_nll_forward", ".sum(axis=1)", ".sum(axis=1) + 2", "argument", "off by +2 constant"),
        (7, "vae.VAE.backward", "dlogvar = dlogvar_recon", "dlogvar = 3 * dlogvar_recon", "stage", "decoder's right look at dlogvar."),
        (9, "optimizers.adam_update", "beta2 * v +", "beta2 * v + grad + ", "stage", "m is right, v is not ADAM.2"),
    ],
)
def test_what_is_in_no_table_is_told_in_this_order(number, function, old, new, kind, words, report):
    found = report(number, mistakes.Edit(function, old, new)).findings
    says = " ".join(finding.says for finding in found)
    assert [finding.kind for finding in found] == [kind] and all(word in says for word in words.split()), found


@pytest.mark.parametrize("value", ["'a'", "[[1, 2], [3]]", "np.array([None, {}])", "(1j, 2)", "(np.ones(0), None)", "(np.inf, np.nan)"])
def test_whatever_comes_back_is_told_and_not_passed(value, tmp_path):
    path = tmp_path / exercise(3).filename
    path.write_text(cut.exercise_file(exercise(3), lambda target: cut.signature(target) + f"    return {value}\n"), "utf-8")
    found = checker.check_file(exercise(3), path)
    assert {finding.function for finding in found.findings} == set(exercise(3).functions)
    assert checker.text(found, exercise(3)).startswith(f"your file: {path}, 3 functions replaced\n")


# ---- the student's code in the package ----------------------------------------------------------------


def test_student_code_stands_wherever_the_package_holds_the_old(tmp_path, monkeypatch):
    path = tmp_path / "e.py"
    path.write_text("HALF = 0.5\ndef helper(a):\n    return HALF * a\ndef log_mean_exp(log_w):\n    return helper(log_w)\n")
    student = read(path, ("ops.log_mean_exp",))
    before = ops.log_mean_exp
    with implanted(student.written, student.helpers):
        assert evaluation.log_mean_exp is ops.log_mean_exp and ops.log_mean_exp(4) == 2
        assert ops.log_mean_exp.__globals__ is vars(ops)
        assert float(ops.iwae_bound_forward(3.0)) == 1.5
    assert evaluation.log_mean_exp is ops.log_mean_exp is before and not hasattr(ops, "HALF")
    mine = lambda dh, h: 7 * dh  # noqa: E731
    pair = ops.ACTIVATIONS["tanh"]
    with implanted({"ops.tanh_backward": mine}):
        assert ops.ACTIVATIONS["tanh"][1] is mine
    assert ops.ACTIVATIONS["tanh"] == pair


def test_a_helper_that_has_a_name_of_the_package_is_the_files_alone(tmp_path):
    path = tmp_path / "e.py"
    path.write_text(
        "from numpy import *\ndef sigmoid_forward(a):\n    return later(a)\ndef later(a):\n    return tanh_forward(a) + max(a)\n"
        "def log_mean_exp(log_w):\n    return sigmoid_forward(log_w)\n"
    )
    student, before = read(path, ("ops.log_mean_exp",)), ops.sigmoid_forward
    with implanted(student.written, student.helpers):
        assert ops.sigmoid_forward is before and "max" not in vars(ops) and ops.later.__code__.co_filename == str(path)
        with implanted({"ops.tanh_forward": lambda a: a}):  # what the package holds now, not what it held at first
            assert ops.log_mean_exp(np.array([1.0, 2.0])).tolist() == [3, 4]
    assert not hasattr(ops, "later")


def test_two_files_may_have_a_helper_of_one_name(course, tmp_path, monkeypatch):
    (tmp_path / "exercises").mkdir()
    for number, name, half in ((3, "gaussian_kl_per_latent", 2), (5, "bernoulli_nll_forward", 5)):
        text = f"def half(a):\n    return {half}\ndef {name}(a, b):\n    return half(a)\n"
        (tmp_path / "exercises" / exercise(number).filename).write_text(text)
    found, both = [], lambda _: found.extend([ops.gaussian_kl_per_latent(0, 0), ops.bernoulli_nll_forward(0, 0)])
    monkeypatch.setitem(cli.COMMANDS, "gradcheck", both)
    assert course("run gradcheck")[0] == 0 and found == [2, 5]


def test_a_star_hides_nothing_of_the_package_from_the_checker(tmp_path):
    row = next(row for row in mistakes.MISTAKES if row.edit.function == "gradcheck.numeric_gradient")
    path = tmp_path / exercise(8).filename
    path.write_text(cut.solved_file(exercise(8), [row.edit]).replace("import numpy as np", "from numpy import *\nimport numpy as np"))
    numeric, relative = checker.check_file(exercise(8), path).findings  # NumPy's max takes an axis as its second argument
    assert numeric.mistake == row.id and relative.kind == "exception" and "line" in relative.says and "e_error" in relative.says


def test_a_decorated_function_keeps_its_arguments(tmp_path):
    loud = "from functools import wraps\ndef loud(f):\n    @wraps(f)\n    def g(*given):\n        return f(*given)\n    return g\n\n"
    path = tmp_path / exercise(3).filename
    path.write_text(cut.solved_file(exercise(3)).replace("\ndef ", f"\n{loud}@loud\ndef ", 1), "utf-8")
    assert checker.check_file(exercise(3), path).passed


def test_gradients_that_a_student_adds_to_start_from_zero():
    model, adam = VAE(4, (3,), 2, backend="numpy"), Adam()
    assert ours(model, adam)  # so that their memory may serve again
    with implanted({"vae.VAE.backward": cut.compiled("vae.VAE.backward", cut.source("vae.VAE.backward"))}):
        assert not ours(model, adam)


def test_a_function_that_is_somebody_elses_is_not_taken_for_the_students(tmp_path):
    path = tmp_path / "e.py"
    path.write_text("def adam_update(param):\n    1\n    1\nfrom math import sqrt as adam_update\n")
    found = checker.check_file(exercise(9), path)
    assert not found.passed and "not a function of your file" in found.findings[0].says


@pytest.mark.parametrize(
    "body, words",
    [("def f(:\n", "does not parse line 1"), ("x = 1\n\nx = 1 / 0\n", "line 3 ZeroDivisionError"), ("\0", "does not parse")],
)
def test_a_file_that_cannot_run(body, words, tmp_path):
    path = tmp_path / exercise(9).filename
    path.write_text(body)
    try:
        says = checker.check_file(exercise(9), path).findings[0].says
    except ValueError as error:
        says = str(error)
        assert "\n" not in says
    assert all(word in says for word in words.split()), says


def test_a_check_runs_apart_and_cannot_write_elsewhere(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("kept")
    body = f"    print('hello')\n    open('x', 'w').close()\n    open({str(mine)!r}, 'w')\n    m[...]"
    edit = mistakes.Edit("optimizers.adam_update", "    m[...]", body)
    path = tmp_path / exercise(9).filename
    path.write_text(cut.solved_file(exercise(9), [edit]), "utf-8")
    found, printed = check_apart(exercise(9), path)
    assert "hello" in printed and mine.read_text() == "kept"
    assert "PermissionError" in found.findings[0].says and "write outside" in found.findings[0].says
    assert found.replaced == exercise(9).functions and sorted(each.name for each in tmp_path.iterdir()) == [path.name, "mine.txt"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "body, kind, words",
    [
        ("while True:\n        pass", "time", "stopped after 3 s line adam_update"),
        ("import os; os._exit(3)", "exception", "exit code 3"),
        ("import subprocess; subprocess.run(['ls'])", "exception", "may not start programs"),
        ("import socket; socket.create_connection(('localhost', 1))", "exception", "network"),
        ("import os; os.remove(__file__)", "exception", "write outside"),
        ("import shutil; shutil.rmtree('..')", "exception", "write outside"),
    ],
)
def test_what_a_file_may_not_do(body, kind, words, tmp_path):
    path = tmp_path / exercise(9).filename
    edit = mistakes.Edit("optimizers.adam_update", "    m[...]", f"    {body}\n    m[...]")
    path.write_text(cut.solved_file(exercise(9), [edit]), "utf-8")
    (finding,) = check_apart(exercise(9), path, seconds=3)[0].findings
    assert finding.kind == kind and all(word in finding.says for word in words.split()), finding


# ---- the command line ---------------------------------------------------------------------------------


def test_numbers_that_differ_are_told_with_digits_that_differ():
    assert checker.told_apart(0.25, 0.5) == ("0.25", "0.5") and checker.told_apart(1.0, np.float64(1 + 1e-8)) == ("1", "1.00000001")
    assert checker.told_apart(np.nan, np.nan) == ("nan", "nan")
    of = variants.variant(2)
    off = lambda *given: of.forward(*given) * (1 + 1e-8)  # noqa: E731
    found, right = re.search("is (.*), should be (.*)", next(variants.check(2, off, None)).words).groups()
    assert found != right


@pytest.mark.parametrize("expression", ["+".join("1" * 100_000), "-" * 100_000 + "1"])
def test_an_expression_that_exhausts_python_is_told(expression, tmp_path, course):
    (tmp_path / "exercises").mkdir()
    path = tmp_path / "exercises" / exercise(9).filename
    path.write_text(f"x = {expression}\n")
    (row,) = grade.results(tmp_path)
    for said in (course("check 9")[1], row["output"]):  # Python 3.10 parses the first, and cannot compile it
        assert not unsaid(said, "RecursionError|MemoryError") and (sys.version_info < (3, 11) or "too long or too deep" in said)
    assert not row["passed"] and grade.plain([row])


def test_what_was_only_handed_out_is_no_try(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_from_scratch.course.child.check_apart", lambda each, path: (checker.check_file(each, path), ""))
    files = {1: "", 3: cut.exercise_file(exercise(3)), 4: "def reparameterize_forward(mu, logvar, eps):\n    return mu\n", 5: "x = 1 / 0\n"}
    for number, text in files.items():
        (tmp_path / exercise(number).filename).write_text(text, "utf-8")
    rows = grade.results(tmp_path)
    assert [row["exercise"] for row in rows] == [1, 3, 4, 5] and [row["exercise"] for row in grade.plain(rows)] == [4, 5]
    assert len(grade.gradescope(rows)["tests"]) == 4  # a service gives them no point


def test_a_class_reads_whole_sentences(tmp_path, capsys):
    (tmp_path / "a.json").write_text('[{"exercise": 10, "passed": false, "mistakes": ["cap-squared", "kl-mean-twice"]}]')
    assert class_report.report([str(tmp_path)]) == 0
    assert not unsaid(capsys.readouterr().out, "Burgess et al. take its absolute value are divided by N\n")


def test_the_names_of_the_arguments_must_stay(report):
    found = report(10, mistakes.Edit("ops.capacity_backward", "(dout, kl, gamma, capacity)", "(dout, kl, gamma, C)"))
    assert found.findings[0].kind == "argument"
    assert not unsaid(found.findings[0].says, "capacity_backward names dout kl gamma capacity C")


@pytest.mark.parametrize(
    "slope", ["np.where(kl > capacity, 1, np.where(kl < capacity, -1, 0))", "((kl > capacity) * 1.0 - (kl < capacity) * 1.0)"]
)
def test_another_dtype_is_not_taken_for_a_mistake_of_the_table(slope, report):
    """Both are right, but for a float64 of a float32 kl, as in the mistake that is right but at kl = C."""
    found = report(10, mistakes.Edit("ops.capacity_backward", "np.sign(kl - capacity)", slope))
    assert [(each.kind, each.mistake) for each in found.findings] == [("shape", None)]
    assert not unsaid(found.findings[0].says, "dtype float64 float32 astype")


def test_a_float32_inside_is_said_to_be_one(report):
    found = report(3, mistakes.Edit("ops.gaussian_kl_forward", "per_latent(mu,", "per_latent(mu.astype(np.float32),"))
    assert not unsaid(" ".join(each.says for each in found.findings), "nearly float32 between")


def test_start_hint_solution(course, tmp_path):
    assert course("start")[0] == 0
    path = tmp_path / "exercises" / exercise(1).filename
    assert path.exists() and "course check" in (tmp_path / "exercises" / "README.md").read_text()
    assert "comes after a try" in course("solution 1")[1]
    path.write_text(cut.solved_file(exercise(1)), "utf-8")
    code, said = course("start 1")
    assert code == 2 and "is yours" in said and path.read_text("utf-8") == cut.solved_file(exercise(1))
    assert cut.source("ops.dense_backward") in course("solution 1")[1]
    assert exercise(1).hints[1] in course("hint 1 2")[1]
    assert "2 of 2 functions written" in course("list")[1]
    (tmp_path / "exercises" / exercise(5).filename).write_bytes(b"\xff\xfe\0")
    (tmp_path / "exercises" / exercise(6).filename).mkdir()
    (tmp_path / "exercises" / exercise(7).filename).write_text("")
    assert course("check 7")[1].count("not written yet") == 1
    assert "no text" in course("check 5")[1] and "a folder" in course("check 6")[1] and "course start 2" in course("solution 2")[1]
    lines = ["check 13", "start zero", "hint 0", "check 2", "run", "solution 2", "run --folder nowhere train"]
    for line in [*lines, "check 5", "check 6", "solution 6", "solution 7", f"start 8 --folder {path}"]:
        code, said = course(line)
        assert code == 2 and said.count("\n") == 1 and said.startswith("vae-from-scratch course: error: "), said


def test_commands_that_are_printed_name_the_folder_that_is_in_use(course, tmp_path):
    code, said = course("start 3 --folder other")
    assert code == 0 and said.splitlines()[-1] == "vae-from-scratch course check --folder other 3"
    assert "course check --folder other 4" in (tmp_path / "other" / "README.md").read_text()
    assert "course start --folder other" in course("list --folder other")[1]
    for line in ("check 5", "check 5 --folder other", "solution 5 --folder other"):
        folder = " --folder other" * ("other" in line)
        assert f"vae-from-scratch course start{folder} 5 writes" in course(line)[1]
    assert "vae-from-scratch course start --folder other writes a file" in course("run --folder other train")[1]
    assert course("check --folder other 3")[1].count("not written yet")


@pytest.mark.parametrize(
    "action, words", [("zoo", "next [--seed S"), ("variant", "--seed S [FILE]"), ("export", "SERVICE"), ("report", "FOLDER")]
)
def test_help_of_what_is_for_teachers(action, words, course):
    for flag in ("--help", "-h"):
        code, said = course(f"{action} {flag}")
        assert code == 0 and said.startswith(f"usage: vae-from-scratch course {action} ") and words in said


def test_check_of_all_goes_on_after_a_file_that_does_not_parse(course, tmp_path, monkeypatch):
    monkeypatch.setattr("vae_from_scratch.course.child.check_apart", lambda each, path: (checker.check_file(each, path), "a word"))
    assert course("check")[1].count("\n") == 1  # nothing is started
    (tmp_path / "exercises").mkdir()
    for number, text in ((3, "def f(:"), (9, cut.solved_file(exercise(9))), (11, cut.exercise_file(exercise(11)))):
        (tmp_path / "exercises" / exercise(number).filename).write_text(text, "utf-8")
    code, said = course("check")
    assert code == 1 and "03_gaussian_kl.py does not parse: line 1" in said and "exercise 9 is passed" in said
    assert "log_weight is not written yet" in said and "1 of 3 exercises are passed" in said and "printed:\na word" in said
    code, said = course("check 9")
    assert code == 0 and cut.source("optimizers.adam_update") in said
    assert course("check 3")[0] == 2 and course("check 11")[0] == 1


def test_run_trains_on_the_students_functions(course, tmp_path, monkeypatch):
    (tmp_path / "exercises").mkdir()
    seen = []
    monkeypatch.setitem(cli.COMMANDS, "gradcheck", lambda options: seen.append(ops.dense_backward.__code__.co_filename))
    path = tmp_path / "exercises" / exercise(1).filename
    path.write_text(cut.solved_file(exercise(1)), "utf-8")
    code, said = course("run gradcheck")
    assert code == 0 and seen == [str(path.resolve())] and "2 functions replaced" in said
    assert "not called by this command: ops.dense_backward, ops.dense_backward_params\n" in said


def test_run_says_what_the_command_never_called(course, tmp_path, monkeypatch):
    """The default model has a forward pass of its own, so an exercise on the VAE's would seem to train."""
    monkeypatch.setattr(cli.train, "draw_figures", lambda *_: None)
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / exercise(2).filename).write_text(cut.solved_file(exercise(2)), "utf-8")
    line = "run train --quiet --epochs 1 --latent-dim 2 --hidden 5 --backend numpy --out "
    code, said = course(line + "a")
    assert code == 0 and "not called by this command: vae.VAE.forward; what is called depends" in said and "--model vae" in said
    code, said = course(line + "b --model vae")
    assert code == 0 and "replaced" in said and "not called" not in said


@pytest.mark.parametrize(
    "line, code, words",
    [("variant --seed 3", 0, "forward"), ("report", 2, "takes"), ("export --none", 2, "takes one of"), ("zoo --none", 2, "takes")],
)
def test_what_a_teacher_calls_reads_its_own_words(line, code, words, course):
    got, said = course(line)
    assert got == code and words in said


# ---- random edits -------------------------------------------------------------------------------------


class Sites(ast.NodeVisitor):
    """The places of a function where one small edit can be made: (what, node, how)."""

    def __init__(self, function):
        self.found, self.names = [], [each.arg for each in function.args.args if each.arg != "self"]
        for statement in function.body[1:]:
            self.visit(statement)

    def visit_BinOp(self, node):
        turned = {ast.Add: ast.Sub, ast.Sub: ast.Add}.get(type(node.op))
        if turned:
            self.found.append(("sign", node, lambda: setattr(node, "op", turned())))
        if isinstance(node.op, (ast.Mult, ast.Div)):
            two = lambda: setattr(node, "left", ast.BinOp(ast.Constant(2), ast.Mult(), node.left))  # noqa: E731
            self.found.append(("factor", node, two))
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.USub):
            self.found.append(("sign", node, lambda: setattr(node, "op", ast.UAdd())))
        self.generic_visit(node)

    def visit_keyword(self, node):
        if node.arg == "axis" and isinstance(node.value, ast.Constant):
            self.found.append(("axis", node, lambda: setattr(node.value, "value", 1 - abs(node.value.value))))
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, int) and not isinstance(node.value, bool):
            self.found.append(("factor", node, lambda: setattr(node, "value", 2 * node.value + (node.value == 0))))

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load) and node.id in self.names:
            for name in self.names:
                if name != node.id:
                    self.found.append(("name", node, functools.partial(setattr, node, "id", name)))


def edits():
    """Every edit there is, as (target, number of the site)."""
    return [(target, i) for target in TARGETS for i in range(len(Sites(ast.parse(cut.source(target)).body[0]).found))]


def changed(target, i):
    """The function's text after edit i, and of what kind the edit is."""
    tree = ast.parse(cut.source(target))
    kind, _, change = Sites(tree.body[0]).found[i]
    change()
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n", kind


def is_equivalent(target, text):
    """Whether the edit changes nothing, on other shapes and numbers than those of the checker, some of them large."""
    function, original = cut.compiled(target, text), cut.compiled(target, cut.source(target))
    make = probes.SPECIAL_CALLS.get(target)
    for seed in range(3):
        sizes = {axis: n + 2 for axis, n in probes.SIZES[seed].items()}
        for size in (1, 3) if make is None else (1,):
            given = lambda: {  # noqa: E731
                name: size * value if isinstance(value, np.ndarray) and name not in ("x", "targets") else value
                for name, value in probes.arguments(target, sizes, seed + 50).items()  # noqa: B023
            }
            deep = target in ("ops.log_mean_exp", "evaluation.effective_samples") and size == 3
            more_axes = lambda: {"log_w": given()["log_w"][None]}  # noqa: B023, E731
            probe = make(sizes, seed) if make is not None else probes.Probe(more_axes if deep else given)
            a, b = (probes.run(target, each, probe) for each in (function, original))
            if a.error is not None or a.mutated != b.mutated or len(a.outputs) != len(b.outputs):
                return False
            for x, y in zip(a.outputs, b.outputs):
                if x.shape != y.shape or not np.allclose(x, y, rtol=1e-8, atol=1e-11, equal_nan=True):
                    return False
    return True


@pytest.mark.slow
def test_random_edits_are_rejected_unless_they_change_nothing(tmp_path, capsys):
    by_kind: dict = {}
    for edit in edits():
        by_kind.setdefault(changed(*edit)[1], []).append(edit)
    rng, n_axes = random.Random(0), len(by_kind["axis"])  # all the axes there are, and as many names as fill up 200
    numbers = {"axis": n_axes, "sign": 50, "factor": 70, "name": 80 - n_axes}
    chosen = [each for kind, n in numbers.items() for each in rng.sample(by_kind[kind], n)]
    counts, kinds, let_through = collections.Counter(), collections.Counter(), []
    for target, i in chosen:
        text, kind = changed(target, i)
        each = next(each for each in EXERCISES if target in each.functions)
        path = tmp_path / each.filename
        path.write_text(cut.exercise_file(each, lambda t: text if t == target else cut.source(t)), "utf-8")  # noqa: B023
        found = checker.check_file(each, path)
        kinds[kind] += 1
        if found.passed:
            assert is_equivalent(target, text), (target, text)
            let_through.append((target, i))
        else:
            counts[found.findings[0].kind] += 1
    specific = 1 - counts["value"] / sum(counts.values())
    rejected = sum(counts.values())
    words = f"of {len(chosen)} random edits of the right functions (a sign, a factor, an axis, a name) {rejected} were rejected"
    assert words in joined(note(22)) and f"{100 * specific:.0f} % of the rejected got" in joined(note(22)), (rejected, specific)
    with capsys.disabled():
        print(f"\n{dict(kinds)}: {len(let_through)} change nothing, {rejected} rejected, {specific:.0%} specific: {dict(counts)}")
    assert len(kinds) == 4 and len(let_through) < 10 and specific > 0.8


def test_a_helper_of_a_name_of_the_package_clashes():
    own = {"sigmoid_forward": lambda a: a, "mine": lambda a: a, "np": np, "LIMIT": 3}
    target = EXERCISES[4].functions[0]
    assert clashes(StudentFile(None, {target: None}, [], own)) == ["sigmoid_forward"]


def test_a_check_that_had_no_time_to_begin_says_so(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("import numpy as np\n")
    (finding,) = check_apart(exercise(5), path, seconds=-9.99)[0].findings
    assert "stopped" in str(finding)


def test_a_sweep_on_a_students_functions_is_refused(capsys):
    assert cli.main(["course", "run", "sweep", "--beta", "1"]) == 2
    assert "run train" in capsys.readouterr().err

"""What is wrong with a student's functions, and why it matters: the diagnosis, and the report of one exercise.

Each function is looked at alone, with the package's own around it.  Order: not written; an exception; an argument that
was changed; how many outputs, of which shape; returned in each other's place; a constant factor; the worst entry with
its equation.  At each of these a row of the table of mistakes that does exactly the same comes first, and before the numbers
two rows at once.  A row is named for some of the outputs only if it explains every output that it changes: what it says
may speak of them all.
"""

import ast
import contextlib
import functools
import inspect
import itertools
import linecache
import re
import sys
import traceback
import types
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import ops
from ..base import Saved
from . import evidence
from .cut import PACKAGE, home, in_file, parse, returns, source, tags
from .implant import implanted, is_from, mistaken, read
from .mistakes import MISTAKES
from .probes import SPECS, expected, original, probes, run

WITHIN = 1e-9  # of an array's largest entry; at the ends of the range, and in float32, WITHIN_SPECIAL of each entry
WITHIN_SPECIAL = {"digits": 1e-6, "float32": 1e-3}


class Finding(NamedTuple):
    """One thing that is wrong: in which function, of what kind, the mistake of the table if it is one, what to say."""

    function: str
    kind: str  # unwritten, exception, time, mutated, shape, mistake, random, swapped, factor, argument, value, stage, evidence
    mistake: str | None
    says: str


class Report(NamedTuple):
    """The check of one exercise; findings is empty if it is passed."""

    exercise: int
    path: str
    replaced: tuple
    findings: tuple
    evidence: tuple  # of what was seen beside the values, one sentence each

    @property
    def passed(self):
        return not self.findings and bool(self.replaced)


def check_file(exercise, path):
    """Checks an exercise's file in this process: for code that is trusted; course check uses a process of its own.

    ValueError, in one line, if the file is not there or does not parse.
    """
    for target in exercise.functions:
        expected(target)
    path = Path(path)
    parse(path)
    try:
        student = read(path, exercise.functions)
    except (Exception, SystemExit) as error:  # whatever its first lines do
        says = told(error, path.resolve())
        return Report(exercise.number, str(path), (), (Finding("", "exception", None, says),), ())
    findings = []
    for target in exercise.functions:
        if target in student.unwritten:
            words = f"{in_file(target)} is not written yet (with def, where it stood); the package's own is used."
            findings.append(Finding(target, "unwritten", None, words))
            continue
        function = student.written[target]
        with implanted({target: function}, student.helpers, student.written):
            if not isinstance(function, types.FunctionType) or not is_from(student.path, target):
                words = f"{in_file(target)} is not a function of your file: write it there with def."
                findings.append(Finding(target, "exception", None, words))
                continue
            names, given = (list(inspect.signature(each).parameters) for each in (original(target), function))
            if given[: len(names)] != names:
                takes, called = ", ".join(given), ", ".join(names)
                words = f"{in_file(target)} takes ({takes}): keep the arguments' names, ({called}), by which it is called."
                findings.append(Finding(target, "argument", None, words))
                continue
            findings += diagnose(target, function, student.path)
    seen = []
    if not findings:
        with implanted(student.written, student.helpers):
            for name in exercise.checks:
                ok, words = _evidence(name, exercise, student.path)
                seen.append(words)
                if not ok:
                    findings.append(Finding(exercise.functions[0], "evidence", None, words))
    return Report(exercise.number, str(path), tuple(student.written), tuple(findings), tuple(seen))


def _evidence(name, exercise, path):
    try:
        return getattr(evidence, name)(exercise)
    except Exception as error:
        return False, told(error, path)


# ---- diagnosis ----------------------------------------------------------------------------------------


def diagnose(target, function, path=None):
    """Findings for one function: none if it does on every probe what the package's does."""
    wanted = expected(target)
    got = [run(target, function, probe) for probe in probes(target)]
    if path is not None and not ran(function, path, target):
        return [Finding(target, "exception", None, f"{in_file(target)} was called, but no line of your file ran.")]
    for special in (False, True):
        at = [i for i, probe in enumerate(probes(target)) if (probe.kind != "plain") == special]
        for group in [at] if not special else [[i] for i in at]:
            if not all(_right(target, i, got[i], wanted[i]) for i in group):
                again = run(target, function, probes(target)[group[0]])
                varies = not _alike(target, group[0], got[group[0]], again)
                return _findings(target, group, got, wanted, path, varies, function.__code__.co_names)
    return []


def _findings(target, group, got, wanted, path, varies, names_used):
    rows = [row for row in MISTAKES if row.edit.function == target]
    if probes(target)[group[0]].kind != "plain":  # then the plain probes came out right
        rows = [row for row in rows if all(_right(target, i, _outcome((row,), i), wanted[i]) for i in range(3))]
        if "expm1" in names_used:  # whatever is wrong then, it is not what these say
            rows = [row for row in rows if "np.expm1" not in row.says]
        if probes(target)[group[0]].kind == "float32":  # a mistake may be of another dtype by the way: no row is about that
            rows = [row for row in rows if not _other_dtype(_outcome((row,), group[0]), wanted[group[0]])]
    if varies:
        fresh = [row for row in rows if _varies(row) and _varies_alike(target, row, got[0], wanted[0])]
        another = f"{in_file(target)} gives another answer each time: is something drawn, or kept from call to call?"
        says = fresh[0].says if fresh else another
        return [Finding(target, "mistake" if fresh else "random", fresh[0].id if fresh else None, says)]
    for row in rows:
        if not _varies(row) and all(_alike(target, i, _outcome((row,), i), got[i]) for i in group):
            return [Finding(target, "mistake", row.id, row.says)]
    probe = probes(target)[group[0]]
    about = f" ({probe.about})" if probe.about else ""
    for i in group:
        if got[i].error is not None:
            return [Finding(target, "exception", None, told(got[i].error, path, target, probes(target)[i].sizes) + about)]
    for i in group:
        if got[i].mutated:
            words = f"{in_file(target)} changes its argument {' and '.join(got[i].mutated)}: whoever called it still needs that array."
            return [Finding(target, "mutated", None, words)]
    names = wanted[group[-1]].names  # the last probe of a model's backward has one more gradient
    for i in group:
        if len(got[i].outputs) != len(wanted[i].outputs):
            expects = f"{len(wanted[i].outputs)}: {', '.join(names)}" if target != "vae.VAE.forward" else "2: Terms(...), Saved(...)"
            words = f"{in_file(target)} returns {got[i].returned}, expected {expects}."
            return [Finding(target, "shape", None, words)]
    wrong = {which for which in range(len(wanted[group[-1]].outputs)) if not _same_in(target, group, which, got, wanted, wanted)}
    explained = {}  # a wrong output -> the rows that give exactly it
    for row in rows:
        for which in () if _varies(row) else _explains(target, group, row, got, wanted):
            explained.setdefault(which, (row,))
    if not wrong <= {*explained} and probe.kind == "plain":
        for pair in _pairs(rows):
            if all(_alike(target, i, _outcome(pair, i), got[i]) for i in group):
                explained = dict.fromkeys(wrong, pair)
                break
    if target == "vae.VAE.forward" and [*explained.values()].count(explained.get(0)) == 1 and _adds_up(got, group):
        del explained[0]  # a row that says how the loss is made of its terms, while it is made of them as it should be
    findings = []
    swapped = _swapped(target, group, got, wanted)
    for which in sorted(wrong):
        if which in explained:
            found = _named(explained[which])
        elif swapped is not None and which in swapped[0]:
            saved = [f"Saved.{field}" for field in Saved._fields]
            order = saved if names[which] in saved else [name for name in names if not name.startswith("Saved.")]
            found = [Finding(target, "swapped", None, f"{in_file(target)} returns {swapped[1]}: {', '.join(order)} is the order.")]
        else:
            found = [_by_numbers(target, [i for i in group if which < len(wanted[i].outputs)], got, wanted, which)]
        findings += [each for each in found if each not in findings]
    if target in STAGES:  # one output is computed from another: what is wrong after a mistake is wrong because of it
        named = [finding for finding in findings if finding.kind == "mistake"]
        alone = wrong <= {*explained} and len({*explained.values()}) == 1
        if not alone:  # then what follows from a mistake may be another thing
            short = {row.id: f"{_what(row)}; this is not all that is wrong." for rows in explained.values() for row in rows}
            named = [finding._replace(says=short[finding.mistake]) for finding in named]
        first, words = _first_stage(target, group, got, wanted, findings)
        return named if first in explained else [*named, words]
    return findings


def _adds_up(got, group):
    terms = [got[i].outputs[:3] for i in group]
    return all(all(_finite(part) and part.ndim == 0 for part in each) and np.isclose(each[0], each[1] + each[2]) for each in terms)


def _other_dtype(outcome, wanted):
    """Whether the outputs have the right values in another dtype."""
    pairs = list(zip(outcome.outputs, wanted.outputs))
    if outcome.error is not None or outcome.mutated or len(outcome.outputs) != len(wanted.outputs) or any(a is None for a, _ in pairs):
        return False
    same = all(a.shape == b.shape and np.allclose(a, b, rtol=WITHIN_SPECIAL["float32"], equal_nan=True) for a, b in pairs)
    return same and any(a.dtype != b.dtype for a, b in pairs)


def _named(rows):
    if len(rows) == 1:
        return [Finding(rows[0].edit.function, "mistake", rows[0].id, rows[0].says)]
    openings = "Two mistakes at once give exactly your numbers. One:", "The other:"
    return [Finding(row.edit.function, "mistake", row.id, f"{opening} {_what(row)}.") for row, opening in zip(rows, openings)]


def _what(row):
    """What was done, without what follows from it: that is another thing if there is a second mistake."""
    return re.split(r"[:;] |(?<! al)\. |\.$", row.says)[0]


STAGES = {  # what is computed from what, in order: outputs whose names begin so, and what to say where they are the first to be wrong
    "vae.VAE.forward": (
        ("Saved.enc", "the encoder's layers are wrong: all that self.encoder.forward(ops, params, x) returns, inputs first"),
        ("Saved.mu", "mu is the first to be wrong: the first Z columns of the encoder's output, the last of its layers"),
        ("Saved.logvar", "mu is right, logvar is not: the last Z columns of the encoder's output"),
        ("Saved.z", "mu and logvar are right, z is not: ops.reparameterize_forward(mu, logvar, eps)"),
        ("Saved.dec", "z is right, the decoder's output is not: self.decoder.forward(ops, params, z)"),
        ("recon_nll_each", "the decoder's output is right, recon_nll is not: self.likelihood.forward(ops, params, dec[-1], x)"),
        ("Saved.kl", "z is right, the kl that is saved is not: ops.gaussian_kl_forward(mu, logvar)"),
        ("kl_each", "the kl saved is right, the one in Terms is not: Terms(loss, two means, recon_nll, kl)"),
        ("recon_nll", "recon_nll of each datum is right, its batch mean is not"),
        ("kl", "the kl of each datum is right, its batch mean is not"),
        ("loss", "both means are right, the loss is not: it is their sum"),
    ),
    "vae.VAE.backward": (
        ("grads['x_logvar']", "the likelihood's own gradient is wrong already: look at drecon_nll, and at what likelihood_backward gets"),
        ("grads['decoder", "the decoder's gradients are wrong: they need dout and saved.dec alone, so look at drecon_nll and dout"),
        ("grads['encoder_b2']", "the decoder's gradients are right, the encoder's are not: look at {half}"),
        ("grads['encoder", "over the batch dmu and dlogvar add up to the right sums, the encoder's other gradients are wrong: which arrays "
                           "does its backward get?"),
    ),
    "optimizers.adam_update": (
        ("m after", "m is wrong: a running mean of grad, written into m (m[...] = ..., see ADAM.1)"),
        ("v after", "m is right, v is not: a running mean of the square of grad, written into v (see ADAM.2)"),
        ("param after step 1", "m and v are right, the step is not: ADAM.3 and ADAM.4, then ADAM.5, with lr and adam_eps as they come in"),
        ("param after", "the first step is right, a later one is not: look at t in ADAM.3 and ADAM.4"),
    ),
}  # fmt: skip


def _first_stage(target, group, got, wanted, findings):
    """The first output of STAGES that is wrong, and what to say of it."""
    names = wanted[group[-1]].names
    for prefix, words in STAGES[target]:
        for which, name in enumerate(names):
            values = [(i, got[i].outputs[which], wanted[i].outputs[which]) for i in group if which < len(wanted[i].outputs)]
            if not name.startswith(prefix) or all(_agree(target, i, a, b) for i, a, b in values):
                continue
            exact = [f for f in findings if f.kind == "swapped" or f.kind in ("shape", "factor") and f": {name} " in f.says]
            if exact:
                return which, exact[0]
            if "{half}" in words:
                off = [[not np.allclose(*halves) for halves in zip(np.split(a, 2), np.split(b, 2))] for _, a, b in values]
                off = np.any(off, axis=0)
                words = words.format(half=" and ".join(np.array(["dmu", "dlogvar"])[off]))
            about = probes(target)[group[0]].about
            return which, Finding(target, "stage", None, f"{in_file(target)}: {words}{f' ({about})' * bool(about)}.")
    return None, findings[0]


@functools.cache
def _varies(row):
    function, probe = mistaken(row), probes(row.edit.function)[0]
    return not _alike(row.edit.function, 0, run(row.edit.function, function, probe), run(row.edit.function, function, probe))


def _varies_alike(target, row, got, wanted):
    """Whether what a row that draws leaves right is right: of a random answer nothing else can be compared."""
    theirs = run(target, mistaken(row), probes(target)[0])
    if got.error is not None or len(got.outputs) != len(wanted.outputs):
        return False
    left = [which for which in range(len(wanted.outputs)) if _agree(target, 0, theirs.outputs[which], wanted.outputs[which])]
    return all(_agree(target, 0, got.outputs[which], wanted.outputs[which]) for which in left)


@functools.cache
def _edited(rows):
    return mistaken(*rows)


@functools.cache
def _outcome(rows, i):
    """What comes of one row's edit, or of the edits of two, on probe i."""
    return run(rows[0].edit.function, _edited(rows), probes(rows[0].edit.function)[i])


def _pairs(rows):
    """Two rows at once, wherever both edits can be made and numbers come of it: what is not finite hides what else is wrong."""
    for a, b in itertools.combinations([row for row in rows if not _varies(row)], 2):
        with contextlib.suppress(ValueError):  # one edit takes away the text of the other
            _edited((a, b))
            if _outcome((a, b), 0).error is None and all(map(_finite, _outcome((a, b), 0).outputs)):
                yield a, b


def _finite(value):
    return value is not None and value.dtype.kind in "fiub" and bool(np.isfinite(value).all())


def _same_in(target, group, which, a, b, wanted):
    seen = [i for i in group if which < len(wanted[i].outputs)]
    return all(_agree(target, i, a[i].outputs[which], b[i].outputs[which], wanted[i].outputs[which]) for i in seen)


def _explains(target, group, row, got, wanted):
    """The outputs that a mistake changes, if got is the same in every one of them; else none."""
    theirs = {i: _outcome((row,), i) for i in group}
    if any(theirs[i].error or theirs[i].mutated or len(theirs[i].outputs) != len(wanted[i].outputs) for i in group):
        return ()
    changed = [which for which in range(len(wanted[group[-1]].outputs)) if not _same_in(target, group, which, theirs, wanted, wanted)]
    return changed if all(_same_in(target, group, which, theirs, got, wanted) for which in changed) else ()


def _right(target, i, got, wanted):
    return got.error is None and not got.mutated and _alike(target, i, got, wanted)


def _alike(target, i, a, b):
    """Whether two outcomes are the same: exception, changed arguments, outputs."""
    if a.error is not None or b.error is not None:
        return type(a.error) is type(b.error) and _words(a.error) == _words(b.error)
    if a.mutated != b.mutated or len(a.outputs) != len(b.outputs):
        return False
    wanted = expected(target)[i].outputs
    compared = wanted if len(wanted) == len(a.outputs) else a.outputs
    return all(map(functools.partial(_agree, target, i), a.outputs, b.outputs, compared))


def _words(error):
    """An exception's message and the function that raised it; of shapes that do not fit, which ones, in either order."""
    shapes = re.findall(r"\([\d, ]*\)|(?<=size )\d+|(?<=from )\d+", str(error))
    where = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
    return str(error).partition("(")[0], sorted(shapes), where


def _agree(target, i, a, b, right=None):
    """Whether two outputs agree on probe i; at the ends of the range also if both are wrong there in the same way."""
    if a is None or b is None:
        return a is b
    if a.shape != b.shape or a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        return False
    kind = probes(target)[i].kind
    if kind == "float32" and a.dtype != b.dtype:
        return False
    within = WITHIN_SPECIAL.get(kind)
    if within is None:
        finite = b[np.isfinite(b)]
        scale = np.abs(finite).max() if finite.size else 1.0
        return bool(np.allclose(a, b, rtol=WITHIN, atol=WITHIN * scale, equal_nan=True))
    if np.allclose(a, b, rtol=within, atol=within if kind == "float32" else 0, equal_nan=True):
        return True
    if right is None or right.shape != a.shape or kind != "digits":
        return False
    return bool((_way(a, right, within) == _way(b, right, within)).all())


def _way(a, right, within):
    # of each entry: right (0), finite and wrong (1), NaN (2), infinite (3)
    wrong = ~np.isclose(a, right, rtol=within, atol=0)
    return np.where(np.isnan(a), 2, np.where(np.isinf(a), 3, 1)) * wrong


def _swapped(target, group, got, wanted):
    """Two outputs in each other's place: which, and as words."""
    names, count = wanted[group[0]].names, len(wanted[group[0]].outputs)
    for a in range(count):
        for b in range(a):
            pairs = [(got[i].outputs[one], wanted[i].outputs[other]) for i in group for one, other in ((a, b), (b, a))]
            same = all(_agree(target, group[0], x, y) for x, y in pairs)
            if same and not all(_agree(target, i, wanted[i].outputs[a], wanted[i].outputs[b]) for i in group):
                return (a, b), f"{names[b]} and {names[a]} in each other's place"
    return None


def _by_numbers(target, group, got, wanted, which):
    """A shape, a dtype, a transpose, a factor; or else the worst entry."""
    first, name = group[0], wanted[group[0]].names[which]
    where, equation = in_file(target), _equation(target, wanted[first], which)
    about = f" ({probes(target)[first].about})" if probes(target)[first].about else ""
    for i in group:
        a, b = got[i].outputs[which], wanted[i].outputs[which]
        if a is None:
            return Finding(target, "shape", None, f"{where}: {name} is no array of numbers{about}.")
        if a.shape != b.shape:
            turned = ": it is transposed" if a.T.shape == b.shape and _agree(target, i, a.T, b) else ""
            axes = _axes(target, i, b.shape)
            words = f"{where}: {name} has shape {a.shape}, expected {b.shape}{axes}{turned}{about}."
            return Finding(target, "shape", None, words)
        if a.dtype != b.dtype and (probes(target)[i].kind == "float32" or a.dtype.kind not in "fiub"):
            words = f"{where}: {name} has dtype {a.dtype}, expected {b.dtype}: an array or a NumPy number of another type was mixed in"
            mends = "float(...) or .astype(x.dtype) mends it" if a.ndim else "or it is a number of Python; x.dtype.type(...) mends it"
            return Finding(target, "shape", None, f"{words}; {mends}{about}.")
    enough = sum(wanted[i].outputs[which].size for i in group) > 2 and probes(target)[first].kind != "digits"  # or all are multiples
    ratios = [_ratio(got[i].outputs[which], wanted[i].outputs[which]) for i in group]
    if enough and all(_near(got[i].outputs[which], wanted[i].outputs[which]) for i in group):
        words = f"{where}: {name} is nearly what {equation} says, but not to {WITHIN:g}: is a float32 in between, or a small constant?"
        return Finding(target, "value", None, f"{words}{about}")
    if enough and None not in ratios and probes(target)[first].kind == "plain":
        words = _factor([float(r) for r in ratios], [probes(target)[i].sizes for i in group])
        if words:
            return Finding(target, "factor", None, f"{where}: {name} is {words} what {equation} says, in every entry{about}.")
    words = enough and (_by_arguments(target, group, got, which) or _by_shift(target, group, got, wanted, which))
    if words:
        return Finding(target, "argument", None, f"{where}: {name} {words.format(equation=equation)}{about}.")
    off = [i for i in group if not _agree(target, i, got[i].outputs[which], wanted[i].outputs[which])][0]
    a, b = got[off].outputs[which], wanted[off].outputs[which]
    with np.errstate(all="ignore"):
        distance = np.abs(np.asarray(a, float) - np.asarray(b, float))
    same = np.isclose(a, b, rtol=WITHIN_SPECIAL.get(probes(target)[off].kind, WITHIN), atol=0, equal_nan=True)
    distance = np.where(same, 0, np.where(np.isfinite(distance), distance, np.inf))  # a large entry that is right may be further off
    worst = np.unravel_index(distance.argmax(), distance.shape)
    entry = f"{' at ' * (name == 'the result')}[{', '.join(str(int(i)) for i in worst)}]" if worst else ""
    found, right = told_apart(a[worst], b[worst])
    words = f"{where}: {name}{entry} is {found}; {equation} gives {right}{about}.  {int((~same).sum())} of {a.size} entries differ."
    if np.isnan(a).any() and not np.isnan(b).any():
        words += f"  {int(np.isnan(a).sum())} are NaN: the root or the logarithm of a negative number, 0 / 0, or infinity less infinity."
    return Finding(target, "value", None, words)


def told_apart(a, b):
    """Two numbers as text, with as many digits as it takes to see that they differ."""
    return next((pair for n in (6, 9, 12, 17) if (pair := (f"{a:.{n}g}", f"{b:.{n}g}"))[0] != pair[1]), (f"{a:.6g}", f"{b:.6g}"))


def _near(a, b):
    return bool(np.isfinite(a).all() and np.isfinite(b).all() and np.allclose(a, b, rtol=1e-6, atol=1e-6 * np.abs(b).max(initial=0)))


def _ratio(a, b):
    """a / b if that is one number in all entries."""
    if a.size == 0 or not np.isfinite(a).all() or not np.abs(b).max() or not np.isfinite(b).all():
        return None
    ratio = np.sum(a * b, dtype=float) / np.sum(b * b, dtype=float)
    return ratio if ratio and np.allclose(a, ratio * b, rtol=1e-7, atol=1e-9 * np.abs(a).max()) else None


def _by_arguments(target, group, got, which):
    """Whether it is what the package's function gives for other arguments; or whether it does not hear of one."""
    function, all_probes = original(target), probes(target)

    def given(i):
        return {name: value for name, value in all_probes[i].arguments().items() if isinstance(value, (np.ndarray, float))}

    def alike(change):  # is it what the right function gives after this change of the arguments?
        for i in group:
            changed = run(target, function, all_probes[i]._replace(arguments=lambda: {**all_probes[i].arguments(), **change(given(i))}))
            if changed.error is not None or not _agree(target, i, changed.outputs[which], got[i].outputs[which]):
                return False
        return True

    def ignores(name):  # whether the student's own function never looks at it
        theirs = vars(home(target)[1])[home(target)[2]]
        for i in group:
            changed = run(target, theirs, all_probes[i]._replace(arguments=lambda: {**all_probes[i].arguments(), name: 0 * given(i)[name]}))
            if changed.error is not None or not _agree(target, i, changed.outputs[which], got[i].outputs[which]):
                return False
        return True

    names = list(given(group[0]))
    shapes = {name: np.shape(value) for name, value in given(group[0]).items()}
    for a in names:
        for b in names:
            if a < b and shapes[a] == shapes[b] and alike(lambda g: {a: g[b], b: g[a]}):  # noqa: B023
                return f"is right for {a} and {b} in each other's place"
            if a != b and shapes[a] == shapes[b] and alike(lambda g: {a: g[b]}) and ignores(a):  # noqa: B023
                return f"has {b} where {{equation}} has {a}"
        for factor, words in ((-1, "with the wrong sign"), (2, "twice"), (0.5, "with a factor of 1/2 too much"), (0, "not at all")):
            if alike(lambda g: {a: factor * g[a]}) and (factor or ignores(a)):  # noqa: B023
                if not any(got[i].outputs[which].any() for i in group):
                    return "is 0 in every entry ({equation})"
                return f"takes {a} {words} ({{equation}})"
    return ""


def _by_shift(target, group, got, wanted, which):
    """A constant that is missing or too much; the right size with the wrong sign; a multiple of an argument too much."""
    pairs = [(np.asarray(got[i].outputs[which], float), np.asarray(wanted[i].outputs[which], float)) for i in group]
    if not all(np.isfinite(a).all() and np.isfinite(b).all() for a, b in pairs):
        return ""
    if all(np.allclose(np.abs(a), np.abs(b), rtol=WITHIN) for a, b in pairs):
        return "has the right size everywhere, but in some entries the wrong sign ({equation})"
    shifts = [a - b for a, b in pairs]
    words = _by_part(target, group, shifts, which)
    if words:
        return words
    if all(np.allclose(shift, shifts[0].flat[0], rtol=1e-7) for shift in shifts):
        return f"is off by {shifts[0].flat[0]:+.6g} in every entry: a constant is missing from {{equation}}, or too much"
    for name in probes(target)[group[0]].arguments():
        terms = [_spread(probes(target)[i].arguments()[name], shift.shape) for i, shift in zip(group, shifts)]
        ratios = [None if term is None else _ratio(shift, term) for shift, term in zip(shifts, terms)]
        if None not in ratios and np.allclose(ratios, ratios[0], rtol=1e-7):
            return f"is off by {ratios[0]:+.6g} times {name} (a term of {{equation}})"
    return ""


def _by_part(target, group, shifts, which):
    """Whether the part of the result that an argument is in, or the part that it is not in, is taken several times."""
    function, all_probes = original(target), probes(target)
    for name, first in all_probes[group[0]].arguments().items():
        if not isinstance(first, np.ndarray):
            continue
        for inside in (True, False):
            ratios = []
            for i, shift in zip(group, shifts):
                given = all_probes[i].arguments()
                whole = run(target, function, all_probes[i])
                without = run(target, function, all_probes[i]._replace(arguments=lambda: {**given, name: 0 * given[name]}))  # noqa: B023
                if whole.error or without.error or np.shape(without.outputs[which]) != shift.shape:
                    break
                ratios.append(_ratio(shift, whole.outputs[which] - without.outputs[which] if inside else without.outputs[which]))
            if len(ratios) == len(group) and None not in ratios and np.allclose(ratios, ratios[0], rtol=1e-7):
                times = {-1.0: "with the wrong sign"}.get(round(1 + ratios[0], 9), f"{1 + ratios[0]:.6g} times")
                return f"takes the part that {name} is {'' if inside else 'not '}in {times} ({{equation}})"
    return ""


def _spread(value, shape):
    """An argument in the shape of an output: (N,) as a column of (N, Z), and (N, Z) summed to (N,); None if it does not fit."""
    if not isinstance(value, np.ndarray) or value.ndim not in (1, 2) or not shape:
        return None
    if len(shape) == 2 and value.shape == shape[:1]:
        value = value[:, None]
    elif len(shape) == 1 and value.ndim == 2:
        value = value.sum(axis=1)
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        return None


AXES = {"N": "the batch size", "D": "the number of pixels", "Z": "the number of latents", "K": "the number of draws",
        "O": "the number of outputs", "I": "the number of inputs", "C": "the number of classes"}  # fmt: skip


def _factor(ratios, sizes):
    first = ratios[0]
    if np.allclose(ratios, -1):
        return "minus"
    if np.allclose(ratios, first, rtol=1e-7):
        return f"{first:.6g} times"
    for axis, words in AXES.items():
        lengths = [float(size.get(axis, np.nan)) for size in sizes]
        if np.allclose(ratios, lengths):
            return f"{axis} times ({words}: a sum in place of a mean, or a missing 1/{axis})"
        if np.allclose(ratios, 1 / np.array(lengths)):
            return f"1/{axis} times ({words}: a mean in place of a sum, or a mean taken twice)"
    return ""


def _axes(target, i, shape):
    sizes = probes(target)[i].sizes
    names = [_letters(target, sizes).get(n, str(n)) for n in shape]
    return f", ({', '.join(names)}{',' if len(names) == 1 else ''})" if names and sizes else ""


def _equation(target, outcome, which):
    found = tags(target)
    if not found:
        return "the package"
    if target == "optimizers.adam_update":
        of = {"m": "ADAM.1", "v": "ADAM.2", "param": "ADAM.5"}
        return f"Eq. ({of[outcome.names[which].split()[0]]})"
    outputs = len(outcome.outputs)
    if len(found) == len(returns(target)) >= outputs:  # one for each; out holds the last of them, dW and db
        found = [found[which - outputs]]
    return f"Eq. ({') or ('.join(found)})"


def told(error, path=None, target=None, sizes=None):
    """An exception in the student's words and line: the last place in the file that it went through.

    Where shapes do not go together, or a number stands for an array: what stands in that line, and its shape.
    """
    kind, words = type(error).__name__, " ".join(str(error).split())
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    theirs = [frame for frame in frames if path is None or Path(frame.f_code.co_filename) == path]
    places = traceback.extract_tb(error.__traceback__)
    if not theirs:
        return f"{kind}: {words}"
    frame, place = theirs[-1], places[frames.index(theirs[-1])]
    line = _line(place)
    said = f"{kind}: {words}"
    if isinstance(error, NameError) and hasattr(ops, error.name or ""):
        said += f"; it is in ops, so in a method write self.ops.{error.name}"
    arrays = _arrays_in(frame, place, _letters(target, sizes))
    if arrays and isinstance(error, (ValueError, IndexError, TypeError)):
        of_shapes = isinstance(error, ValueError) and not isinstance(error, IndexError)
        if of_shapes and re.search(r"broadcast|matmul|mismatch|dimension|align", words):
            said = f"these shapes do not go together: {', '.join(arrays)}{_see(target, line)}"
        else:
            said += f"; in this line: {', '.join(arrays)}"
        inside = _arrays_in(frames[-1], places[-1], {})
        if frame is not frames[-1] and frames[-1].f_globals.get("__name__", "").startswith(PACKAGE) and inside:
            said += f"; inside of {places[-1].name}: {', '.join(inside)}"
    return f"{Path(place.filename).name}, line {place.lineno}, in {place.name}: {line}\n    {said}"


def _line(place):
    return (linecache.getline(place.filename, place.lineno or 0) or place.line or "").strip()


def _arrays_in(frame, place, letters):
    """Every array and number that a line of code names, with its shape in numbers and in letters: 'dkl (3,) = (N,)'."""
    found = {}

    def look(node):
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
            value, known = None, False
            with contextlib.suppress(Exception):
                value, known = eval(compile(ast.Expression(node), "<shape>", "eval"), frame.f_globals, frame.f_locals), True
            if isinstance(value, np.ndarray):
                axes = [letters.get(n, str(n)) for n in value.shape]
                named = f" = ({', '.join(axes)}{',' * (len(axes) == 1)})" if any(n in letters for n in value.shape) else ""
                found[ast.unparse(node)] = f"{ast.unparse(node)} {value.shape}{named}"
                return
            if known and (value is None or type(value) in (int, float, list, tuple) or isinstance(value, np.number)):
                what = f"a {type(value).__name__} of {len(value)}" if isinstance(value, (list, tuple)) else "a number"
                found[ast.unparse(node)] = f"{ast.unparse(node)} {'None' if value is None else what}"
                return
        for child in ast.iter_child_nodes(node):
            look(child)

    statement = None
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.walk(ast.parse("".join(linecache.getlines(place.filename)))):
            if isinstance(node, ast.stmt) and not hasattr(node, "body") and node.lineno <= place.lineno <= node.end_lineno:
                statement = node
    if statement is not None:
        with contextlib.suppress(RecursionError):  # of a sum of a thousand terms
            look(getattr(statement, "value", None) or statement)
    return list(found.values())


def _letters(target, sizes):
    """Length -> letter, of the axes that the exercise's arrays have; a layer of mu and logvar side by side is 2 Z."""
    letters = "".join(re.findall(r":([\w,]*)", SPECS.get(target, ":N,D,Z")))
    found = {n: axis for axis, n in (sizes or {}).items() if axis in letters}
    return found if target in SPECS or not sizes else {2 * sizes["Z"]: "2 Z", **found}


def _see(target, line):
    """' (see KL.3)': the equation of the name that a line gives a value to, or all of the function's."""
    if target is None or not tags(target):
        return ""
    named = dict(zip(returns(target), tags(target))) if len(returns(target)) == len(tags(target)) else {}
    return f" (see {named.get(line.partition('=')[0].strip()) or ', '.join(tags(target))})"


def ran(function, path, target):
    """Whether a call of what the package holds for target runs code of this file: asked of the interpreter, by location."""
    seen, before = set(), sys.getprofile()
    sys.setprofile(lambda frame, event, _: seen.add(frame.f_code.co_filename) if event == "call" else None)
    try:
        run(target, vars(home(target)[1])[home(target)[2]], probes(target)[0])
    finally:
        sys.setprofile(before if callable(before) else None)
    return function.__code__.co_filename in seen and Path(function.__code__.co_filename).resolve() == path


# ---- the report as text -------------------------------------------------------------------------------


def text(report, exercise, solution=True):
    """What check prints; solution: whether the package's own source follows when the exercise is passed."""
    n = len(report.replaced)
    lines = [f"your file: {report.path}, {n} function{'s' * (n != 1)} replaced"]
    unwritten = [finding for finding in report.findings if finding.kind == "unwritten"]
    wrong = [finding for finding in report.findings if finding.kind != "unwritten"]
    for target in report.replaced:
        found = [finding for finding in wrong if finding.function == target and finding.kind != "evidence"]
        says = [finding.says.removeprefix(f"{in_file(target)}: ") for finding in found] or ["right"]
        lines += [f"  {in_file(target)}: {says[0]}", *(f"  {' ' * len(in_file(target))}  {each}" for each in says[1:])]
    lines += [f"  {finding.says}" for finding in wrong if finding.function not in report.replaced or finding.kind == "evidence"]
    lines += [f"  {finding.says}" for finding in unwritten]
    if report.passed:
        lines += [f"  seen: {words}" for words in report.evidence]
        lines.append(f"exercise {report.exercise} is passed." + "  How the package wrote it, comments say why:\n" * solution)
        lines += [source(target) for target in exercise.functions if solution]
    elif wrong:
        lines.append(f"  for a hint: vae-from-scratch course hint {report.exercise}")
    return "\n".join(lines)

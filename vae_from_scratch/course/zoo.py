"""The zoo as a game: a program with a bug is seen from outside, one check at a time.  python -m vae_from_scratch.course.zoo next"""

import difflib
import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np

from ..engine import files
from ..plots.images import show_grid
from ..plots.style import TRAIN, VALID, Figure, save, style
from . import edited, zoo_checks
from .cases import CASES, CHECKS
from .command import command

FOLDER = Path("zoo")  # in the folder where the command runs
POINTS = 5  # for a case; each check and each wrong name takes one
USAGE = (
    "next [--seed S | --case ID] | check pair|model|value|training | name TAG|none | patch | score"
    " | exam --seed S [--cases N] [--folder F]"
)


def right(module):
    """A module of this package as it is."""
    return importlib.import_module(f"{__package__.partition('.')[0]}.{module}")


# ---- what is seen --------------------------------------------------------------------------------------


def look(get, case):
    """A program of the case from outside.  Returns numbers by name, and a function that draws on a figure."""
    if case.model[0] == "mig":
        return _look_at_a_score(get)
    model, history = zoo_checks.train(get, case)
    test = get("datasets.digits").digits("test")
    found = get("evaluation").evaluate(model, test)
    numbers = {
        "training loss, first epoch": history["loss"][0],
        "training loss, last epoch": history["loss"][-1],
        "  of it reconstruction": history["recon_nll"][-1],
        **({"  of it KL": history["kl"][-1]} if model.variational else {}),
        "validation loss, last epoch": history["valid_loss"][-1],
        "loss on the test digits": found.loss,
    }
    rows = {"test digits": test[np.arange(8)], "their reconstructions": model.reconstruct(test[np.arange(8)])}
    if model.variational:
        bound = get("evaluation").log_likelihood(model, test, 50, progress=False).bound.mean
        numbers |= {
            "active units of 8": found.active_units,
            "ELBO, KL in closed form": found.elbo_b.mean,
            "ELBO, KL sampled": found.elbo_a.mean,
            "bound on log p(x), 50 samples": bound,
        }
        rows["samples"] = model.sample(8, np.random.default_rng(0))

    def draw(figure):
        curve, images = figure.subplots(1, 2, width_ratios=(1, 1.4))
        curve.plot(history["epoch"], history["loss"], color=TRAIN, label="training")
        curve.plot(history["epoch"], history["valid_loss"], color=VALID, label="validation")
        curve.set(xlabel="epoch", ylabel="loss (nats)")
        curve.legend(frameon=False)
        show_grid(images, list(rows.values()), (8, 8))
        images.set_title(" / ".join(rows), fontsize=10)

    return numbers, draw


def _look_at_a_score(get):
    # a code that is the two factors of the blobs, a latent for each
    names, sizes = (blobs := get("datasets.blobs").blobs(positions=10)).factor_names, blobs.sizes
    codes = get("datasets.factors").FactorDataset("codes", lambda f: f.astype(np.float32), names, sizes, (1, 2))
    score = get("disentanglement.mig").mig_histogram(lambda x: x, codes, np.random.default_rng(0), points=None, progress=False)
    numbers = {"MIG of a code that is the factors": score.score}
    numbers |= {f"gap of {name}": gap for name, gap in zip(score.factor_names, score.per_factor)}

    def draw(figure):
        panel = figure.subplots()
        shown = panel.imshow(score.information, cmap="gray", vmin=0)
        panel.set(xlabel="latent", ylabel="factor", xticks=range(2), yticks=range(2), yticklabels=score.factor_names)
        figure.colorbar(shown, label="information (nats)")

    return numbers, draw


def show(case, path, title):
    """Draws a case's figure at path.  Returns a table of its numbers beside those of a right program, as lines."""
    with edited.package(case.file, case.edits) as get:
        numbers, draw = look(get, case)
    beside, _ = look(right, case)
    with style():
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        draw(figure)
        figure.suptitle(title)
        save(figure, path)
    kind = case.model[0].rsplit(".", 1)[-1]
    words = lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else value  # noqa: E731
    settings = "".join(f", {name} {words(value)}" for name, value in ({"hidden": (64,)} | case.model[1]).items())
    what = "A score of disentanglement." if kind == "mig" else f"{kind}{settings}, on the digits, with 8 latents and Adam."
    head = f"{what}\n{'':40}{'this program':>14}{'a right one':>14}"
    return [head, *(f"{name:40}{value:14.2f}{beside[name]:14.2f}" for name, value in numbers.items())]


def run_check(case, kind):
    """The rows of one of the four checks on a case's program."""
    with edited.package(case.file, case.edits) as get, np.errstate(all="ignore"):
        if kind == "pair":
            return list(zoo_checks.pairs(get))
        if kind == "model":
            return list(zoo_checks.model(get, case))
        return list(zoo_checks.values(get) if kind == "value" else zoo_checks.training(get, right, case))


def patch(case):
    """The edit as a difference of files, the report and what is to be learnt from it, as text."""
    before = (edited.ROOT / case.file).read_text("utf-8")
    after = edited.apply(before, case.edits, case.file)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), case.file, f"{case.file}, as shipped", lineterm="")
    words = [
        "\n".join(lines) or "no edit: the program is right",
        f"Reported: {case.source}.",
        f"Seen: {case.symptom}",
        f"Passes: {', '.join(case.passes) or 'no check'}.  Fails: {', '.join(case.fails) or 'no check'}"
        + (f".  The row that says where: {case.caught}." if case.caught else "."),
        f"{case.question}  {case.answer}",
    ]
    return "\n\n".join(words)


def equations():
    """The tags of the equations that the package's functions compute, as their docstrings say."""
    return {tag for path in edited.ROOT.rglob("*.py") for tag in re.findall(r"\(([A-Z]+\.\d+)\)", path.read_text("utf-8"))}


def judge(case, tag):
    """Whether a suspect is the place: one of the case's equations, or another of the same family."""
    if "none" in (tag, *case.equations):
        return tag in case.equations
    return tag.partition(".")[0] in {each.partition(".")[0] for each in case.equations}


# ---- the game ------------------------------------------------------------------------------------------


def _load():
    path = FOLDER / "state.json"
    try:
        state = json.loads(path.read_text("utf-8"))
        if not -1 <= state["place"] < len(CASES) or state["seed"] < 0 or not isinstance(state["done"], list):
            raise ValueError("it is not what zoo writes")
        return state
    except FileNotFoundError:
        return {"seed": 0, "place": -1, "done": []}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} cannot be read ({error!r}); delete it to begin again") from error


def _store(state):
    FOLDER.mkdir(exist_ok=True)
    files.write(FOLDER / "state.json", lambda file: file.write(json.dumps(state, indent=1).encode()))


def _order(seed):
    return [CASES[i] for i in np.random.default_rng(seed).permutation(len(CASES))]


def _current(state):
    if "checks" not in state:
        raise ValueError("no program is on the table; begin with: next")
    return _named(state["case"]) if state["case"] else _order(state["seed"])[state["place"]]


def _named(name):
    for case in CASES:
        if case.id == name:
            return case
    raise ValueError(f"no case is called {name!r}; there are {', '.join(sorted(case.id for case in CASES))}")


def _next(options):
    state = _load()
    seed = options.get("seed", state["seed"])
    if seed != state["seed"]:  # another order; the points stay
        state |= {"seed": seed, "place": -1}
    if "case" in options:
        case, title, name = _named(options["case"]), "A program", options["case"]
    elif state["place"] + 1 == len(CASES):
        raise ValueError(f"all {len(CASES)} programs are seen; begin again with: next --seed {seed + 1}")
    else:
        state["place"] += 1
        case, number = _order(seed)[state["place"]], state["place"] + 1
        title, name = f"Program {number} of {len(CASES)}", f"{seed}-{number:02}"
    state |= {"case": options.get("case"), "checks": [], "wrong": [], "solved": False}
    FOLDER.mkdir(exist_ok=True)
    picture = FOLDER / f"case-{name}.png"
    print(f"{title}.  " + "\n".join(show(case, picture, title)))
    print(f"\nCurve and images: {picture}\nWhat a user said: {case.symptom}\n")
    print("Name the equation that you suspect (name KL.2; or name none), after as few checks as you can (check value).")
    _store(state)


def _check(kind):
    if kind not in CHECKS:
        raise ValueError(f"check takes one of {', '.join(CHECKS)}, got {kind!r}")
    state = _load()
    case = _current(state)
    rows = run_check(case, kind)
    bad = [row for row in rows if not row.ok]
    print(f"{kind}: {len(rows) - len(bad)} of {len(rows)} rows agree")
    for row in bad or (rows if len(rows) == 1 else ()):
        print(f"  {'' if row.ok else 'WRONG '}{row.words}")
    if kind not in state["checks"] and not state["solved"]:
        state["checks"].append(kind)
        _store(state)


def _name(tag):
    tag = tag.lower() if tag.lower() == "none" else tag.upper()
    if tag != "none" and tag not in (known := sorted(equations())):
        near = ", ".join(difflib.get_close_matches(tag, known, 4)) or "KL.2"
        raise ValueError(f"name takes the tag of an equation that a function computes, such as {near}, or none; got {tag!r}")
    state = _load()
    case = _current(state)
    if state["solved"]:
        raise ValueError("this program is solved; go on with: next")
    if not judge(case, tag):
        state["wrong"].append(tag)
        _store(state)
        print(f"Not {tag}.  {case.question}")
        return
    points = max(1, POINTS - len(state["checks"]) - len(state["wrong"]))
    _finish(state, points)
    print(f"Right: {', '.join(case.equations)}.  {points} of {POINTS} points.  See the edit and the report with: patch")


def _patch():
    state = _load()
    case = _current(state)
    if not state["solved"]:
        _finish(state, 0)
    print(patch(case))


def _finish(state, points):
    title = state["case"] or f"program {state['place'] + 1} of seed {state['seed']}"
    state["solved"] = True
    state["done"].append({"title": title, "checks": state["checks"], "wrong": state["wrong"], "points": points})
    _store(state)


def _score():
    done = _load()["done"]
    for each in done:
        print(f"{each['title']}: {each['points']} of {POINTS}, checks: {', '.join(each['checks']) or 'none'}")
    print(f"{sum(each['points'] for each in done)} points of {POINTS * len(done)}")


def exam(seed, cases, folder):
    """Programs for a class, drawn by the seed: exam.md and its pictures for students, reveal.md for the teacher."""
    if not 1 <= cases <= len(CASES):
        raise ValueError(f"--cases must be from 1 to {len(CASES)}, got {cases}")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty, and may hold another exam: name a new folder with --folder")
    with files.whole_folder(folder) as place:
        _write_exam(seed, cases, place)


def _write_exam(seed, cases, folder):
    sheet = ["# What is wrong with these programs?", "", "For each program: (a) the equation that you suspect, or none;"]
    sheet += ["(b) the one check, of pair, model, value and training, that you would run first, and what it will show;"]
    sheet += ["(c) in three sentences, why a user sees what is seen here.  One of the programs may be right."]
    reveal = [f"# Reveal sheet of exam {seed}"]
    for number, case in enumerate(_order(seed)[:cases], 1):
        lines = show(case, folder / f"program-{number}.png", f"Program {number}")
        sheet += ["", f"## Program {number}", "", f"What a user said: {case.symptom}", "", "```text", *lines, "```", ""]
        sheet += [f"![curve and images of program {number}](program-{number}.png)"]
        reveal += ["", f"## Program {number}: {case.id}", "", f"Equation: {', '.join(case.equations)}.", "", "```text", patch(case), "```"]
    for name, text in (("exam.md", sheet), ("reveal.md", reveal)):
        (folder / name).write_text("\n".join(text) + "\n", "utf-8")


def _exam(options):
    folder = options.get("folder", "exam")
    exam(options.get("seed", 0), options.get("cases", 4), folder)
    print(f"For the class: {Path(folder) / 'exam.md'}.  For the teacher alone: {Path(folder) / 'reveal.md'}")


def _options(words, known):
    found = {}
    for name, value in zip(words[::2], [*words[1::2], None]):
        if name not in known:
            raise ValueError(f"{name!r} is not known here; there are {', '.join(known)}")
        if value is None or known[name] is int and not value.isdecimal():
            raise ValueError(f"{name} needs a {'whole number' if known[name] is int else 'name'}, got {value!r}")
        found[name[2:]] = known[name](value)
    return found


@command
def zoo(arguments):
    """One command of USAGE, as a list of words; prints what there is to see."""
    name, *words = arguments or [""]
    takes = {"check": 1, "name": 1, "patch": 0, "score": 0}
    if name not in ("next", "exam", *takes):
        raise ValueError(f"zoo takes {USAGE}; got {name!r}")
    if len(words) != takes.get(name, len(words)):
        raise ValueError(f"{name} takes {'one word' if takes[name] else 'nothing'} after it, got {' '.join(words) or 'none'}")
    if name == "next":
        _next(_options(words, {"--seed": int, "--case": str}))
    elif name == "exam":
        _exam(_options(words, {"--seed": int, "--cases": int, "--folder": str}))
    else:
        {"check": _check, "name": _name, "patch": _patch, "score": _score}[name](*words)


if __name__ == "__main__":
    sys.exit(zoo(sys.argv[1:]))

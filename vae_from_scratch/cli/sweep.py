"""vae-from-scratch sweep: many runs side by side, one table, one figure.

    from vae_from_scratch.cli.sweep import grid, sweep
    rows = sweep(grid(model="beta-vae", beta=[1, 2, 4, 8], seed=range(10)), "runs/sweep", jobs=2)
"""

import contextlib
import itertools
import json
import math
import platform
import re
import tempfile
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from .. import __version__
from ..engine import files, require, sweeps, threads
from ..engine.bars import tqdm
from .compare import print_table
from .options import COMMAS, EXPECTED, LIKELIHOOD_OPTIONS, OPTIONS, OWNERS, as_text, defaults, sigma
from .train import learn, prepare, read_config, resolve

TABLE, FIGURE, RESULT = "sweep.csv", "sweep.png", "result.json"
RESULTS = {  # column: its name in words
    "elbo": "ELBO",
    "standard_error": "standard error of the ELBO over the data",
    "recon_nll": "reconstruction: -log p(x|z)",
    "kl": "KL(q(z|x) || p(z))",
    "active_units": "active latents",
    "loss": "loss",
    "examples": "examples",
    "steps": "steps",
    "seconds": "seconds",
    "cpu_seconds": "seconds of processor time",
}
DRAWN = [name for name in RESULTS if name not in ("standard_error", "examples")]
BY_NAME = {option.name: option for option in OPTIONS}
SAME_BITS = {"checkpoint_seconds"}  # what changes nothing of a result


def sweep_run(options):
    given = {name: values(BY_NAME[name], text) for name, text in vars(options).items() if name in BY_NAME}
    every = completed(grid(**given))
    configs, out = distinct(every), Path(options.out)
    if len(configs) < len(every):
        print(f"note: {', '.join(SAME_BITS)} changes nothing of a result; {len(configs)} of {len(every)} combinations are left")
    varied = varying(configs)
    require.choice("--result", options.result, DRAWN)
    against = axis(varied, options.against)
    if options.jobs is not None and options.scheduler is not None:
        raise ValueError("--jobs counts processes on this machine, and --scheduler names another's; give one of them")
    with contextlib.nullcontext() if options.scheduler is None else cluster(options.scheduler) as executor:
        rows = sweep(configs, out, executor=executor, jobs=options.jobs, progress=not options.quiet)
    print_summary(rows, varied)
    for note in without_effect(rows):
        print(note)
    print(f"wrote {out / TABLE}")
    drawable = [name for name in DRAWN if any(row.get(name) is not None for row in rows)]
    if against is None:
        print("note: no figure, since every setting has one value in this sweep")
    elif options.result not in drawable:
        others = f"; --result takes what they have: {', '.join(drawable)}" if drawable else ""
        print(f"note: no figure, since no run has a value of {options.result}{others}")
    else:
        from .. import plots

        label = RESULTS[options.result] + (", nats per example" if options.result in ("elbo", "recon_nll", "kl", "loss") else "")
        others = [name for name in varied if name not in (against, "seed")]
        figure = plots.sweep(rows, options.result, against, others, label)
        plots.save(figure, out / FIGURE)
        print(f"wrote {out / FIGURE}")
    if failed := [row for row in rows if row["status"] == "failed"]:
        n = f"{len(failed)} of {len(rows)} runs failed, which the same command tries again"
        raise ValueError(f"{n}; {failed[0]['run']}: {failed[0]['words']}")


# ---- which runs --------------------------------------------------------------------------------------


def values(option, texts):
    """The values that an option's texts name: 1,2,4 and 0-9 (whole numbers), and one more for each time it is given.

    Where a value may itself hold commas (widths, an image's shape, the name of a file) each text is one value.
    """
    flag, whole = "--" + option.name.replace("_", "-"), option.kind in COMMAS or option.name == "data"
    found = []
    for text in texts:
        text = text if isinstance(text, str) else ",".join(text)
        for part in [text] if whole else map(str.strip, text.split(",")):
            ends = re.fullmatch(r"(\d+)-(\d+)", part) if option.kind is int else None
            if ends:
                first, last = map(int, ends.groups())
                if first > last:
                    raise ValueError(f"{flag} {part} must go up; write {last}-{first}, or a list")
                if last - first >= 100_000:
                    raise ValueError(f"{flag} {part} are {last - first + 1} values; a range takes up to 100000")
                found += range(first, last + 1)
                continue
            try:
                found.append({"yes": True, "no": False}[part] if option.kind is bool else option.kind(part))
            except (ValueError, KeyError) as error:
                lists = ", a list such as 1,2,4 or a range such as 0-9" * (option.kind is int)
                kind = {bool: "yes, no or yes,no", int: f"whole numbers{lists}", float: "numbers with commas"}.get(option.kind)
                wanted = kind or (EXPECTED[option.kind] if option.kind in COMMAS else "numbers or names with commas")
                raise ValueError(f"{flag} takes {wanted}, got {text!r}") from error
            if option.choices:
                require.choice(flag, found[-1], option.choices)
    return found


def grid(**settings):
    """A config for every combination of settings of train: a list or a range is several values, a tuple is one (widths).

    A setting that only some models or likelihoods take is left out for the others; what is then the same is one config.

    >>> grid(model=["vae", "beta-vae"], beta=[1.0, 4.0])
    [{'model': 'vae'}, {'model': 'beta-vae', 'beta': 1.0}, {'model': 'beta-vae', 'beta': 4.0}]
    """
    several = {name: list(value) if isinstance(value, (list, range, np.ndarray)) else [value] for name, value in settings.items()}
    for name, found in several.items():
        if not found:
            raise ValueError(f"{name} is an empty list; name a value, or leave it out")
    configs = [dict(zip(several, chosen)) for chosen in itertools.product(*several.values())]
    used = {name for config in configs for name in config if applies(name, config)}
    kept = [{name: value for name, value in config.items() if name not in used or applies(name, config)} for config in configs]
    return list({json.dumps(config, default=str): config for config in kept}.values())


def applies(name, config):
    """Whether the model, the likelihood and the penalty of a config take this option."""
    model, likelihood = (config.get(kind, BY_NAME[kind].default) for kind in ("model", "likelihood"))
    if name in OWNERS:
        return model in BY_NAME["model"].choices and name in defaults(model) and not (name == "rho" and config.get("penalty") == "l1")
    if any(name in own for own in LIKELIHOOD_OPTIONS.values()):
        return name in LIKELIHOOD_OPTIONS.get(likelihood, {})
    return True


def complete(config):
    """A config with all options of train, as config.json holds it.  ValueError if it holds others, or what they do not take."""
    if not isinstance(config, dict):
        raise TypeError(f"each of configs must be a dict of options of train such as {{'beta': 4.0, 'seed': 0}}, got {config!r:.100}")
    if unknown := set(config) - set(BY_NAME):
        raise ValueError(f"train has no option {sorted(map(str, unknown))[0]!r}; it has {', '.join(BY_NAME)}")
    config = {name: config.get(name, option.default) for name, option in BY_NAME.items()}
    config = {name: plain(value) for name, value in config.items()}
    for name, option in BY_NAME.items():
        if option.kind in COMMAS and not isinstance(config[name], (tuple, list, type(option.default))):
            way = f"in grid a list is several values and a tuple is one, such as {name}=[({COMMAS[option.kind].replace(',', ', ')})]"
            raise TypeError(f"{name} must be a tuple, got {config[name]!r}; {way}")
    for name, option in BY_NAME.items():
        if option.choices and (config[name] is not None or option.default is not None):
            require.choice(name, config[name], option.choices)
        if option.kind in (float, sigma) and isinstance(config[name], int) and not isinstance(config[name], bool):
            config[name] = float(config[name])  # one run, whether it was asked for with 4 or with 4.0
    config = resolve(config)
    config["threads"] = 1 if config["threads"] is None else config["threads"]
    return config


def plain(value):
    """Python's numbers for NumPy's, also in a tuple or a list."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def completed(configs):
    """complete of each."""
    each = [config for config in configs if isinstance(config, dict)]  # complete refuses others
    several = [name for name in BY_NAME if len({json.dumps(config.get(name), default=str) for config in each}) > 1]
    found = []
    for config in configs:
        with named(config, several):
            found.append(complete(config))
    return found


def check(configs):
    """Refuse here and now what the first step of a run would refuse; image shapes are filled in."""
    seen, several = {}, varying(configs)
    for config in configs:
        require.seed(config["seed"])
        require.whole("threads", config["threads"])
        require.number("checkpoint_seconds", config["checkpoint_seconds"], 0)
        alike = identity({**config, "seed": 0})
        if alike not in seen:
            with named(config, several):
                data, test, model, optimizer = prepare(config)
                how = (config["batch_size"], config["epochs"], config["binarize"], config["weight_decay"], False)
                require.fitting(model, data, test, optimizer, *how)
            seen[alike] = config["image_shape"]
        config["image_shape"] = seen[alike]


@contextlib.contextmanager
def named(config, several):
    """An error within says which of the combinations it refuses; several: the settings that have more than one value."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        own = [f"{name} {shown(config[name])}" for name in several if name != "seed" and config.get(name) is not None]
        if len(own) < 2:  # then the error names it
            raise
        kind = next(kind for kind in (TypeError, OSError, ValueError) if isinstance(error, kind))
        way = "without it, sweep the others bit by bit into the same folder"
        raise kind(f"the run with {', '.join(own)} cannot be trained: {error}; {way}") from error


def distinct(configs):
    """The configs of which no other is the same run."""
    return list({identity(config): config for config in configs}.values())


def identity(config):
    """What tells one run from another."""
    return json.dumps({name: value for name, value in config.items() if name not in SAME_BITS}, default=str)


def varying(configs):
    """The names of the settings that differ, among the runs that have them."""
    having = {name: [config for config in configs if applies(name, config)] for name in BY_NAME}
    return [name for name in BY_NAME if len({json.dumps(config[name], default=str) for config in having[name]}) > 1]


def axis(varied, against):
    """The setting to draw against: as asked, or the first that varies, the seed last of all; None if nothing does."""
    if against is None:
        return next((name for name in varied if name != "seed"), "seed" if varied else None)
    name = against.removeprefix("--").replace("-", "_")
    require.choice("--against", name, tuple(BY_NAME))
    if name not in varied:
        raise ValueError(f"--against {against} has one value in this sweep; those with several: {', '.join(varied) or 'none'}")
    return name


# ---- the runs ----------------------------------------------------------------------------------------


def sweep(configs, out="runs/sweep", *, executor: Executor | None = None, jobs: int | None = None, progress: bool = True) -> list[dict]:
    """Train and evaluate a run for each config, in folders of their own below out, and keep one table, out/sweep.csv.

    Parameters
    ----------
    configs : dicts of options of train, with underscores (what is left out has train's default); see grid
    out : folder; called again with it, finished runs are only read, and others go on from their checkpoints
    executor : any of concurrent.futures, also Dask's client.get_executor(); it stays open.  Without one, jobs new
        processes on this machine (all cores unless given): a script that calls this must do so below
        if __name__ == "__main__".  Each run has one thread, unless its config says otherwise.
    progress : whether to show a progress bar

    Returns
    -------
    list of dicts, one for each config that is not a repetition: run, status, the settings, the results, words.
        A run that diverged has the status "diverged" and says how in words; one that could not run is "failed"; one
        that train --resume has trained on is "changed".

    Raises ValueError, TypeError or OSError before anything is written if a config cannot be trained.
    """
    if isinstance(configs, (str, dict)) or not np.iterable(configs):
        raise TypeError(f"configs must be a list of dicts of options of train, such as grid(beta=[1, 4]), got {configs!r:.100}")
    configs, hidden = completed(list(configs)), not require.flag("progress", progress)
    out = Path(require.path("out", out))
    jobs = require.whole("jobs", threads.cores() if jobs is None else jobs)
    if executor is not None and (isinstance(executor, type) or not hasattr(executor, "submit")):
        raise TypeError(f"executor must be one of concurrent.futures, such as ProcessPoolExecutor(2), got {executor!r:.100}")
    if not configs:
        raise ValueError("configs is empty: name at least one run")
    check(configs)
    configs = distinct(configs)
    with files.lock(open_sweep(out)):
        folders = claim(out, configs)
        own = dict(zip(folders, configs))
        others = {folder: config for folder, config in known(out).values() if folder not in own}
        rows = {folder: row_of(folder, config) for folder, config in {**own, **others}.items()}
        waiting = [folder for folder in folders if rows[folder]["status"] == "waiting"]
        write_table(out / TABLE, rows.values())
        tasks = {(str(folder.absolute()), json.dumps(own[folder])): folder for folder in waiting}
        if executor is None:
            ending = sweeps.run_in_processes(run_one, tasks, jobs)
        else:
            ending = sweeps.run_all(executor, run_one, tasks, len(tasks))
        done = len(folders) - len(tasks)
        with tqdm(total=len(folders), initial=done, unit="run", disable=hidden) as bar, contextlib.closing(ending):
            try:
                for task, result, error in ending:
                    folder = tasks[task]
                    rows[folder] = collect(folder, own[folder], result, error)
                    write_table(out / TABLE, rows.values())
                    bar.set_postfix_str(count([rows[folder] for folder in folders]), refresh=False)
                    bar.update()
            except KeyboardInterrupt:
                left = sum(rows[folder]["status"] in ("waiting", "failed") for folder in folders)
                raise KeyboardInterrupt(f"interrupted, {left} of {len(folders)} runs are left; the same call goes on with them") from None
    return [rows[folder] for folder in folders]


def count(rows):
    """How many runs did not end well, in words."""
    each = [row["status"] for row in rows]
    return ", ".join(f"{each.count(status)} {status}" for status in ("diverged", "failed") if status in each)


def open_sweep(out):
    """The folder of a sweep, new, empty, or one that a sweep has left.  ValueError if it is anything else."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; name a folder with out")
    inside = [path for path in out.iterdir() if not files.is_leftover(path)] if out.is_dir() else []
    if inside and not (out / TABLE).is_file():
        raise ValueError(f"{out} holds other things and no {TABLE}; name a new folder, or one that a sweep has left")
    return out


def known(out):
    """identity: (folder, config) of every run in the folder of a sweep."""
    found = {}
    for path in sorted(out.glob("*/config.json")):
        config = read_config(path.parent)
        found[identity(config)] = path.parent, config
    return found


def claim(out, configs):
    """A folder for each config: that of its run, or a new one, called after the settings that vary, with its config.json."""
    varied, there, folders = varying(configs), known(out), []
    if not (out / TABLE).exists():  # before the first run, so that a killed sweep is known for one
        write_table(out / TABLE, [])
    for config in configs:
        folder, _ = there.get(identity(config), (None, None))
        if folder is None:
            words = [f"{name}-{shown(config[name])}" for name in varied if name != "image_shape" and applies(name, config)]
            name = re.sub(r"[^\w.+-]+", "-", "_".join(words))[:120] or "run"
            places = (out / (name if n == 1 else f"{name}_{n}") for n in itertools.count(1))
            folder = next(place for place in places if not place.exists() or not any(place.iterdir()))
            folder.mkdir(exist_ok=True)
            files.write_json(folder / "config.json", config)
        folders.append(folder)
    return folders


def shown(value):
    """A setting in a name or a table."""
    if isinstance(value, str) and ("/" in value or "\\" in value):
        return Path(value).stem
    return "none" if value is None else as_text(tuple(value) if isinstance(value, list) else value)


def run_one(folder, config):
    """Train and evaluate one run, config as JSON, from its checkpoint if it has one.  Returns its files by name, if they are elsewhere.

    That is on a machine which does not share the folder: there the run is made in another, and its files are sent back.
    """
    folder, config = Path(folder), json.loads(config)
    if (folder / "config.json").is_file() and identity(read_config(folder)) == identity(config):
        _run(folder, config)
        return {}
    with tempfile.TemporaryDirectory() as own:
        files.write_json(Path(own) / "config.json", config)
        _run(Path(own), config)
        return {path.name: path.read_bytes() for path in Path(own).iterdir() if path.is_file() and not files.is_leftover(path)}


def _run(folder, config):
    if (folder / RESULT).is_file():  # a worker that was given up for lost has done it after all
        return
    with files.lock(folder):
        files.sweep(folder)
    try:
        history, found = learn(config, prepare(config), folder, files.has_checkpoint(folder), progress=False)
        result = {"status": "done"}
        result |= {name: getattr(found, name) for name in ("elbo", "standard_error", "recon_nll", "kl", "active_units", "loss")}
        if found.elbo is None:  # an autoencoder has no KL
            result["kl"] = None
        if found.n == 1:  # no latent varies
            result["active_units"] = None
        result |= {"examples": found.n, **{name: history[name][-1] for name in ("steps", "seconds", "cpu_seconds")}}
    except FloatingPointError as error:
        result = {"status": "diverged", "words": str(error)}
    files.write_json(folder / RESULT, {**result, "epochs": config["epochs"], "version": __version__, "machine": platform.machine()})


def collect(folder, config, result, error):
    """The row of a run that has ended; files that came from elsewhere are put into its folder, the result last."""
    if error is None:
        for name, content in sorted(result.items(), key=lambda item: item[0] == RESULT):
            files.write(folder / name, lambda file, content=content: file.write(content))
        return row_of(folder, config)
    kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
    words = " ".join(f"{kind}{error}".split())
    if isinstance(error, sweeps.BrokenExecutor):
        words += ' (killed, or out of memory; or a script that calls sweep without if __name__ == "__main__")'
    return row_of(folder, config, {"status": "failed", "words": words})


def row_of(folder, config, result=None):
    """run, status, settings, results, words: from the folder's result, if it has one; otherwise it is waiting."""
    if result is None:
        result = files.read_json(folder / RESULT) if (folder / RESULT).is_file() else {"status": "waiting"}
        if result.get("epochs", config["epochs"]) != config["epochs"]:  # train --resume went on with it
            result = {"status": "changed", "words": f"trained on after epoch {result['epochs']}; evaluate tells what it is worth"}
    found = {name: result.get(name) for name in (*RESULTS, "version", "machine", "words")}
    return {"run": folder.name, "status": result.get("status", "failed"), **config, **found}


def write_table(path, rows):
    """The rows as CSV: settings that any of them has, results, words; what is missing or unknown is empty."""
    rows = list(rows)
    settings = [name for name in BY_NAME if any(row[name] is not None for row in rows)]
    columns = ["run", "status", *settings, *RESULTS, "version", "machine", "words"]
    files.write_csv(path, [columns, *([cell(row[name]) for name in columns] for row in rows)])


def cell(value):
    """A value in a CSV file."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return as_text(tuple(value)) if isinstance(value, (list, tuple)) else str(value)


@contextlib.contextmanager
def cluster(address):
    """The executor of the Dask scheduler at an address, which takes a lost worker's runs to another one."""
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ValueError("--scheduler needs dask.distributed: pip install -e '.[cluster]' in the folder of the project") from error
    with Client(address, timeout="10s") as client:
        yield client.get_executor(pure=False)


# ---- what they came to -------------------------------------------------------------------------------


def print_summary(rows, varied):
    """A line for each combination of settings: means over the seeds, with their standard deviation."""
    names, groups = [name for name in varied if name != "seed"], {}
    stems = len({row["data"] for row in rows}) == len({shown(row["data"]) for row in rows})  # or two files of one name are one line
    for row in rows:
        words = {name: row[name] if name == "data" and not stems else shown(row[name]) for name in names}
        groups.setdefault(tuple(words[name] if applies(name, row) else "-" for name in names), []).append(row)
    columns = [name for name in ("elbo", "recon_nll", "kl", "active_units", "seconds") if any(row[name] is not None for row in rows)]
    table = [[*names, "runs", *columns]]
    for key, group in groups.items():
        others = [f"{n} {status}" for status in ("diverged", "failed") if (n := sum(row["status"] == status for row in group))]
        found = [[row[name] for row in group if row[name] is not None] for name in columns]
        table.append([*key, ", ".join([str(sum(row["status"] == "done" for row in group)), *others]), *map(mean_and_spread, found)])
    print_table(table)
    print("(nats per example; means over the runs of a line, +- their standard deviation)")
    for row in rows:
        if row["status"] == "diverged":
            print(f"{row['run']} {row['words']}")


def without_effect(rows):
    """A line for each setting, or several together, by which runs differ that came to the same result, bit for bit."""
    alike, found = {}, {}
    for row in rows:
        if row["status"] == "done":
            alike.setdefault(json.dumps([row[name] for name in ("loss", "recon_nll", "kl", "steps")]), []).append(row)
    for group in alike.values():
        for row in group[1:]:
            if names := varying([group[0], row]):
                found.setdefault(", ".join(names), []).append((group[0]["run"], row["run"]))
    for names, pairs in found.items():
        more = f" ({len(pairs)} such pairs)" if len(pairs) > 1 else ""
        yield f"note: {pairs[0][0]} and {pairs[0][1]} are the same bit for bit: {names} had no effect there{more}"


def mean_and_spread(found):
    """A mean and its standard deviation over seeds."""
    if not found:
        return "-"
    return f"{np.mean(found):.2f}" + (f" +- {np.std(found, ddof=1):.2f}" if len(found) > 1 else "")

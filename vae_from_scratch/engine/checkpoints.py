"""A training run between two steps: all that decides how it goes on, and how that is kept and taken up again."""

import math
import signal
import threading
import time
import zlib

import numpy as np

from ..mlp import FlatDict
from . import files, require

MINUTE = 60  # seconds between checkpoints, if nothing else is asked for
COLUMNS = ("epoch", "steps", "examples", "seconds", "loss", "recon_nll", "kl")  # in the history of every run


class Run:
    """Where a call of fit stands.  With the data and the settings this determines every later bit."""

    def __init__(self, model, optimizer, n, batch_size, seed):
        self.model, self.n, self.batch_size = model, n, batch_size
        self.state = optimizer.init(model.params)
        self.rngs = {name: np.random.default_rng([seed, k]) for k, name in enumerate(("order", "noise", "binarize"))}
        self.order_state = self.rngs["order"].bit_generator.state  # before this epoch's order was drawn from it
        self.epoch, self.position = 1, 0  # the epoch under way, and how many of its examples have been seen
        self.sums = np.zeros(3)  # over those examples: loss, recon_nll, kl
        self.history = {}
        self.limit = None  # a loss above it has diverged; set before the first step
        self.earlier, self.began = 0.0, time.perf_counter()

    @property
    def step(self):
        """Steps taken so far."""
        return (self.epoch - 1) * -(-self.n // self.batch_size) + -(-self.position // self.batch_size)

    @property
    def examples(self):
        """Examples seen so far."""
        return (self.epoch - 1) * self.n + self.position

    @property
    def seconds(self):
        """Time spent so far, that before a resume included."""
        return self.earlier + time.perf_counter() - self.began

    def next_epoch(self, row):
        """Add a row to the history and go on to the next epoch."""
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)
        self.epoch, self.position, self.sums = self.epoch + 1, 0, np.zeros(3)
        self.order_state = self.rngs["order"].bit_generator.state

    def arrays(self):
        """Everything that training changes and arrays can hold: name -> array."""
        return _flatten({"params": self.model.params, "optimizer": self.state, "sums": self.sums})

    def expect(self, loss):
        """Set the limit: a thousand times worse than this loss, the one before training.

        A loss can be negative, and zero means nothing on its scale (derivations/06), so what is counted is the
        distance from the start, in units of the loss itself or of half a nat per value, whichever is larger.
        """
        self.limit = float(loss + 999 * max(abs(loss), self.model.data_dim / 2))

    def save(self, folder, settings, last=False):
        """Write a checkpoint to folder."""
        states = {name: rng.bit_generator.state for name, rng in self.rngs.items()} | {"order": self.order_state}
        about = {name: getattr(self, name) for name in ("epoch", "position", "seconds", "limit")}
        about |= {"rngs": states, "of_model": {name: getattr(self.model, name) for name in self.model.settings}}
        arrays = self.arrays() | _flatten({"history": self.history})
        files.write_checkpoint(folder, {**about, "settings": settings}, arrays, last)

    def resume(self, folder, settings):
        """Stand where the newest checkpoint in folder does; returns its epochs, which None in settings becomes.

        ValueError, and nothing is changed, if it was made with other settings or is not what save writes.
        """
        path, about, arrays = files.read_checkpoint(folder)
        try:
            then, rngs = dict(about["settings"]), {name: np.random.default_rng() for name in self.rngs}
            for name, rng in rngs.items():
                rng.bit_generator.state = about["rngs"][name]
            require.whole("epochs", then["epochs"])
            epoch, position = require.whole("epoch", about["epoch"]), require.whole("position", about["position"], 0)
            earlier, limit = require.number("seconds", about["seconds"], 0), about["limit"] and float(about["limit"])
            of_model = {name: require.number(name, value, 0) for name, value in about["of_model"].items()}
            history = {name: arrays.pop(name) for name in list(arrays) if name.startswith("history/")}
            wrong = [
                name
                for name in history
                if history[name].shape[:1] != (epoch - 1,) or history[name].dtype.kind not in "if"
            ]
            if wrong or (epoch > 1 and not {f"history/{name}" for name in COLUMNS} <= set(history)):
                raise ValueError(f"the history is not one of {epoch - 1} epochs")
            if (limit is None) != (epoch == 1 and position == 0):
                raise ValueError("the limit of the loss is set before the first step")
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path} is not a checkpoint of fit: {error!r}") from error
        _compare(path, then, settings)
        between_steps = position == self.n or (position < self.n and position % self.batch_size == 0)
        if not between_steps or set(of_model) != set(self.model.settings):
            raise ValueError(f"{path} is not a checkpoint of fit: it stands at {position} of {self.n} with {of_model}")
        arrays = files.fitting(path, self.arrays(), arrays)
        _unflatten({"params": self.model.params, "optimizer": self.state}, arrays)
        self.model.set(**of_model)
        self.epoch, self.position, self.sums, self.limit, self.earlier = epoch, position, arrays["sums"], limit, earlier
        self.rngs, self.order_state = rngs, rngs["order"].bit_generator.state
        self.history = {
            name.removeprefix("history/"): list(column) if column.ndim > 1 else column.tolist()
            for name, column in history.items()
        }
        return then["epochs"]


def settings_of(model, optimizer, x, x_valid, schedule, **others):
    """What must be the same when a run is resumed, as far as it can be told: name -> what JSON can hold."""
    config = {name: value for name, value in model.config.items() if schedule is None or name not in model.settings}
    plain = (int, float, str, dict)  # of anything else, such as a function, only the kind can be compared
    rule = {
        name: value if isinstance(value, plain) else f"a {type(value).__name__}"
        for name, value in vars(optimizer).items()
    }
    return {
        "the model": type(model).__name__,
        **{f"the model's {name}": value for name, value in config.items()},
        "the optimizer": type(optimizer).__name__,
        **{f"the optimizer's {name}": value for name, value in rule.items()},
        "x": _fingerprint(x),
        "x_valid": None if x_valid is None else _fingerprint(x_valid),
        "schedule": None if schedule is None else "a function",
        **others,
    }


def _fingerprint(x):
    rows = x[np.unique(np.linspace(0, len(x) - 1, 100).astype(int))]
    checksum = zlib.crc32(np.ascontiguousarray(rows, np.float64))
    return f"{len(x)} examples of {np.shape(rows)[1]} values with checksum {checksum:08x}"


def _compare(path, then, now):
    now["epochs"] = now["epochs"] or then["epochs"]
    if then["epochs"] > now["epochs"]:
        raise ValueError(
            f"epochs is {now['epochs']}, but the run of {path} was to have {then['epochs']}; "
            "resume it with that or more"
        )
    for name in {**now, **then}:
        if name != "epochs" and then.get(name) != now.get(name):
            raise ValueError(
                f"{name} is {now.get(name)!r}, but was {then.get(name)!r} when {path} was written; "
                "a run goes on with what it began with, only epochs may be larger"
            )


def _flatten(tree, prefix=""):
    """{"optimizer": {"t": 3, "m": {"W": array}}} -> {"optimizer/t": array(3), "optimizer/m/W": array}."""
    flat = {}
    for name, value in tree.items():
        flat |= _flatten(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: np.asarray(value)}
    return flat


def _unflatten(tree, arrays, prefix=""):
    """Put arrays, named as _flatten names them, into tree: in place where it holds arrays, else as numbers."""
    for name, value in tree.items():
        if isinstance(value, dict):
            _unflatten(value, arrays, f"{prefix}{name}/")
        elif isinstance(value, np.ndarray):
            value[...] = arrays[prefix + name]
        else:
            tree[name] = arrays[prefix + name].item()


class Keeper:
    """Looks after a run: writes checkpoints, holds Ctrl-C back until a step is done, stops what diverges."""

    def __init__(self, run, folder, every, steps, settings):
        self.run, self.folder, self.every, self.steps, self.settings = run, folder, every, steps, settings
        self.written, self.written_at, self.interrupted = time.monotonic(), None, False

    def start(self, resume):
        """Take the run up again, or write its first checkpoint, never over another run's.  Returns the epochs."""
        if resume:
            if self.run.resume(self.folder, self.settings) < self.settings["epochs"]:
                self.write()  # so that the larger number is kept from now on
        elif self.folder is not None and files.has_checkpoint(self.folder):
            raise ValueError(
                f"{self.folder} holds the checkpoint of a run: resume it, or keep this one in another folder"
            )
        else:
            self.write()
        return self.settings["epochs"]

    def write(self, last=False):
        """Write a checkpoint, unless the run has none, or is no longer worth one."""
        if not require.finite(self.run.arrays().values()):
            raise self.diverged(f"after step {self.run.step}: the parameters or the optimizer's state are not finite")
        if self.folder is not None:
            self.run.save(self.folder, self.settings, last)
        self.written, self.written_at = time.monotonic(), self.run.step

    def judge(self, batch, terms, grads):
        """Stop a run whose loss or gradient (of the next step; {} after an epoch) is not finite or far too large."""
        arrays = [grads.buffer] if isinstance(grads, FlatDict) else grads.values()  # one pass if they lie together
        if math.isfinite(terms.loss) and terms.loss <= self.run.limit and require.finite(arrays):
            return
        model, where = self.run.model, f"in step {self.run.step + 1}" if grads else f"after step {self.run.step}"
        wrong = [name for name in ("recon_nll", "kl", "loss") if not np.isfinite(getattr(terms, name))]
        wrong += [f"the gradient of {name}" for name, grad in grads.items() if not np.isfinite(grad).all()]
        term = "kl" if terms.kl > abs(terms.recon_nll) else "recon_nll"
        worse = f"the loss is a thousand times worse than at the start by its {term}"
        problem, numbers = (
            f"{wrong[0]} is not finite" if wrong else worse,
            f"loss {terms.loss:g}, recon_nll {terms.recon_nll:g}, kl {terms.kl:g}",
        )
        if model.variational:
            numbers += f", largest logvar {model.encode(batch)[1].max():g}"
        advice = getattr(model.likelihood, "advice", "") if (wrong or [term])[0] == "recon_nll" else ""
        raise self.diverged(f"{where}: {problem} ({numbers})", advice)

    def diverged(self, problem, advice=""):
        """What to raise, in one line.  A checkpoint from which no step could be made is taken back."""
        kept = ""
        if self.folder is not None:
            if self.written_at == self.run.step:
                files.take_back_checkpoint(self.folder)
            kept = f"; the last good checkpoint is kept in {self.folder}"
        return FloatingPointError(f"stopped {problem}; try a smaller learning rate{advice}{kept}")

    def after_step(self):
        """Write one if it is due; stop here if Ctrl-C was pressed."""
        if self.every or self.steps:
            self._write_if(self.steps and self.run.step % self.steps == 0)
        else:
            self._write_if(time.monotonic() - self.written > MINUTE)

    def after_epoch(self, last):
        """Write one if it is due, and at the end; stop here if Ctrl-C was pressed."""
        self._write_if(last or (self.every and (self.run.epoch - 1) % self.every == 0), last)

    def _write_if(self, due, last=False):
        if due or self.interrupted:
            self.write(last)
        if self.interrupted:
            raise KeyboardInterrupt(f"interrupted after step {self.run.step}, which is kept in {self.folder}")

    def __enter__(self):
        self.before = None
        if self.folder is not None and threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def _interrupt(self, number, frame):
        if self.interrupted:  # pressed again: do not wait
            raise KeyboardInterrupt("interrupted twice, nothing was saved by that; the last checkpoint stands")
        self.interrupted = True

    def __exit__(self, *_):
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)

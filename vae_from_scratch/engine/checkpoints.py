"""A training run between two steps: all that decides how it goes on, and how that is kept and taken up again."""

import contextlib
import math
import re
import signal
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from . import files, require
from .bars import tqdm
from .batches import rests_allowed
from .registry import bundled, whence
from .streams import stream

COLUMNS = ("epoch", "steps", "examples", "seconds", "cpu_seconds", "loss", "recon_nll", "kl")  # in the history of every run


class Run:
    """Where a call of fit stands.  With the data and the settings this determines every later bit."""

    def __init__(self, model, optimizers, n, batch_size, seed, scheduled=False, valid=False, norms=False):
        self.model, self.n, self.batch_size, self.scheduled, self.valid = model, n, batch_size, scheduled, valid
        states = {name: optimizers[name].initial_state(player.params) for name, player in model.players.items()}
        self.states = require.state("an optimizer's state", states)
        self.rngs = {use: stream(use, seed) for use in ("order", "noise", "binarize")}
        self.order_state = self.rngs["order"].bit_generator.state  # before this epoch's order was drawn from it
        self.epoch, self.position = 1, 0  # the epoch under way, and how many of its examples have been seen
        self.columns = ["loss", "recon_nll", "kl", *(f"{name}_loss" for name in list(model.players)[1:])]
        self.sums = np.zeros(len(self.columns))  # over the examples of this epoch
        self.layers = layers_of(model.players) if require.flag("gradient_norms", norms) else {}
        self.norms = np.zeros(len(self.layers))  # summed like the losses
        self.history = {}
        self.limit = None  # a loss above it has diverged; set before the first step
        self.start = _checksum(model.players)
        self.earlier, self.began = 0.0, time.perf_counter()
        self.cpu_earlier, self.cpu_began = 0.0, time.process_time()

    @property
    def steps_per_epoch(self):
        return -(-self.n // self.batch_size)

    @property
    def step(self):
        """Steps taken so far."""
        return (self.epoch - 1) * self.steps_per_epoch + -(-self.position // self.batch_size)

    @property
    def examples(self):
        """Examples seen so far."""
        return (self.epoch - 1) * self.n + self.position

    @property
    def seconds(self):
        """Time spent so far, that before a resume included."""
        return self.earlier + time.perf_counter() - self.began

    @property
    def cpu_seconds(self):
        """Processor time of this process, all its threads, in the same span: what a suspended or a waiting run does not use."""
        return self.cpu_earlier + time.process_time() - self.cpu_began

    def count(self, examples, terms):
        """A step was taken on so many examples; terms: of each player."""
        first, *others = terms
        found = [first.loss, first.recon_nll, first.kl, *(each.loss for each in others)]
        self.position += examples
        self.sums += np.array(found, np.float64) * examples

    def measure(self, examples, taken):
        """Add the norm of every layer's gradient in a step; taken: terms and gradients of each player."""
        squares = [sum(square_norm(taken[player][1][name]) for name in names) for player, names in self.layers.values()]
        self.norms += np.sqrt(squares) * examples

    def call_back(self, callback, upcoming, look):
        """Call callback(model, examples) for each number that has been reached, taking it away; whether there was one.

        Where that changes a hyperparameter, the loss has another scale: look() says what the limit is counted from now.
        """
        before = self.hyperparameters()
        reached = [at for at in upcoming if at <= self.examples]
        del upcoming[: len(reached)]
        for at in reached:
            callback(self.model, at)
        if self.hyperparameters() != before:
            self.expect(look())
        return bool(reached)

    def hyperparameters(self):
        """The model's, by name, as they are now."""
        return {name: getattr(self.model, name) for name in self.model.hyperparameters}

    def next_epoch(self, seen):
        """Add the epoch to the history and go on to the next; seen: its evaluation, on x_valid if there is one."""
        if self.epoch == 1 and _checksum(self.model.players) == self.start:  # not after a step: a rule may add up several gradients
            warnings.warn(
                "no parameter has changed in epoch 1: lr is 0 or too small, or an optimizer of your own does not change param in place, "
                "as param -= lr * grad does; what param = param - lr * grad makes, and what update returns, is lost",
                stacklevel=2,
            )
        row = {"epoch": self.epoch, "steps": self.step, "examples": self.examples, "seconds": self.seconds}
        row["cpu_seconds"] = self.cpu_seconds
        row |= zip(self.columns, map(float, self.sums / self.n))
        if self.valid:
            row |= {"valid_loss": seen.loss, "valid_recon_nll": seen.recon_nll, "valid_kl": seen.kl}
        if seen.kl_per_latent is not None:
            row["kl_per_latent"] = seen.kl_per_latent
        if self.layers:
            row["gradient_norms"] = dict(zip(self.layers, (self.norms / self.n).tolist()))
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)
        self.epoch, self.position, self.sums = self.epoch + 1, 0, np.zeros(len(self.columns))
        self.norms = np.zeros(len(self.layers))
        self.order_state = self.rngs["order"].bit_generator.state
        return row

    @property
    def promised(self):
        """The names that a history of this run has, as fit says."""
        valid = ("valid_loss", "valid_recon_nll", "valid_kl") if self.valid else ()
        kl = ("kl_per_latent",) if self.model.variational else ()
        return *COLUMNS, *self.columns[3:], *valid, *kl, *(("gradient_norms",) if self.layers else ())

    def arrays(self):
        """Everything that training changes and arrays can hold: name -> array."""
        return _flatten(self._tree() | {"sums": self.sums} | ({"gradient_norms": self.norms} if self.layers else {}))

    def _tree(self):
        players, states = self.model.players, self.states
        return {"players": {name: {"params": players[name].params, "optimizer": states[name]} for name in states}}

    def judged(self, terms):
        """What is compared with the limit: under a schedule the scale of the loss itself moves."""
        return terms.recon_nll if self.scheduled else terms.loss

    def expect(self, terms):
        """Set the limit: a thousand times worse than this, the loss before training.

        A loss can be negative, and zero means nothing on its scale (derivations/06), so what is counted is the
        distance from the start, in units of the loss itself or of half a nat per value, whichever is larger.
        """
        loss = self.judged(terms)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"stopped before step {self.step + 1}: the loss of the first rows of x is not finite "
                f"(loss {terms.loss:g}, recon_nll {terms.recon_nll:g}, kl {terms.kl:g})"
            )
        self.limit = float(loss + 999 * max(abs(loss), self.model.data_dim / 2))

    def save(self, folder, settings, last=False):
        """Write a checkpoint to folder."""
        states = {name: rng.bit_generator.state for name, rng in self.rngs.items()} | {"order": self.order_state}
        about = {name: getattr(self, name) for name in ("epoch", "position", "seconds", "cpu_seconds", "limit")}
        about |= {"rngs": states, "of_model": self.hyperparameters()}
        about["model"] = files.description(self.model)
        kept = {name: [list(norms.values()) for norms in self.history[name]] for name in ("gradient_norms",) if name in self.history}
        arrays = self.arrays() | _flatten({"history": self.history | kept})
        files.write_checkpoint(folder, {**about, "settings": settings}, arrays, last)

    def resume(self, folder, settings):
        """Stand where the newest checkpoint in folder does; returns its epochs, which None in settings becomes.

        ValueError, and nothing is changed, if it was made with other settings or is not what save writes.
        """
        path, about, arrays = files.read_checkpoint(folder)
        with _understood(path):
            then = dict(about["settings"])
            then.setdefault("threads", 1)  # as of a version that had one
            require.whole("epochs", then["epochs"])
            require.whole("threads", then["threads"])
            epoch = require.whole("epoch", about["epoch"])
        _compare(path, then, settings, epoch - 1)  # first: another run's checkpoint holds what this one cannot
        with _understood(path):
            rngs = {name: np.random.default_rng() for name in self.rngs}
            for name, rng in rngs.items():
                rng.bit_generator.state = about["rngs"][name]
            position = require.whole("position", about["position"], 0)
            earlier, limit = require.number("seconds", about["seconds"], 0), about["limit"] and float(about["limit"])
            cpu_earlier = float(about.get("cpu_seconds", "nan"))  # unknown: of a version that did not count them
            of_model = {name: require.setting(self.model, name, value) for name, value in about["of_model"].items()}
            history = {name: arrays.pop(name) for name in list(arrays) if name.startswith("history/")}
            if epoch > 1 and "cpu_seconds" not in about:
                history["history/cpu_seconds"] = np.full(epoch - 1, np.nan)
            kept = all(values.shape[:1] == (epoch - 1,) and values.dtype.kind in "if" for values in history.values())
            if not kept or (epoch > 1 and not {f"history/{name}" for name in (*COLUMNS, *self.columns)} <= set(history)):
                raise ValueError(f"the history is not one of {epoch - 1} epochs")
            norms = history.get("history/gradient_norms")
            if norms is not None and norms.shape[1:] != (len(self.layers),):
                raise ValueError(f"the norms are not those of {', '.join(self.layers) or 'nothing'}")
            if (limit is None) != (epoch == 1 and position == 0):
                raise ValueError("the limit of the loss is set before the first step")
            between_steps = position == self.n or (position < self.n and position % self.batch_size == 0)
            if not between_steps or set(of_model) != set(self.model.hyperparameters):
                raise ValueError(f"it stands at {position} of {self.n} with {of_model}")
        arrays = files.fitting(path, self.arrays(), arrays)
        self.model.trained_on(self.n)
        _unflatten(self._tree(), arrays)
        self.model.set(**of_model)
        self.epoch, self.position, self.limit, self.earlier = epoch, position, limit, earlier
        self.cpu_earlier = cpu_earlier
        self.sums = arrays["sums"].copy()
        self.rngs, self.order_state = rngs, rngs["order"].bit_generator.state
        self.history = {
            name.removeprefix("history/"): list(column) if column.ndim > 1 else column.tolist()
            for name, column in history.items()
        }
        if norms is not None:
            self.history["gradient_norms"] = [dict(zip(self.layers, row)) for row in norms.tolist()]
        if self.layers:
            self.norms = arrays["gradient_norms"].copy()
        return then["epochs"]


def _checksum(players):
    found = 0
    for player in players.values():
        for value in player.params.values():
            found = zlib.crc32(np.ascontiguousarray(value), found)
    return found


def layers_of(players):
    """{"encoder_1": ("model", ["encoder_W1", "encoder_b1"]), ...}: which arrays are one layer; any other is its own."""
    layers = {}
    for player, of in players.items():
        for name in of.params:
            layer = re.sub(r"_[Wb](\d+)$", r"_\1", name)
            layer = layer if layers.get(layer, (player,))[0] == player else f"{player}_{layer}"  # another's has that name
            layers.setdefault(layer, (player, []))[1].append(name)
    return layers


def square_norm(array):
    """The sum of squares, in double precision where the squares overflow in the array's own."""
    found = float(np.vdot(array, array))
    return found if math.isfinite(found) else float(np.square(array, dtype=np.float64).sum())


def settings_of(model, optimizers, x, x_valid, schedule, folder, **others):
    """What must be the same when a run is resumed, as far as it can be told: name -> what JSON can hold.

    Of a run that is not kept in a folder, what it has of its own alone.
    """
    if folder is None:
        return {name: others[name] for name in ("epochs", "threads")}
    told = object.__new__(type(model))  # what the model will be once it is told how many data there are
    vars(told).update(vars(model))
    told.trained_on(len(x))
    config = {name: value for name, value in told.config.items() if schedule is None or name not in model.hyperparameters}
    rules = {}
    for player, optimizer in optimizers.items():
        of = "optimizer" if player == next(iter(optimizers)) else f"optimizer of the {player}"
        kind = type(optimizer)
        rules[f"the {of}"] = kind.__name__ if bundled(kind) else whence(kind)
        for name, value in vars(optimizer).items():
            try:
                rules[f"the {of}'s {name}"] = files.as_json(name, value)
            except TypeError:  # of a function, say, only the kind can be compared
                rules[f"the {of}'s {name}"] = f"a {type(value).__name__}"
    found = {
        "the model": type(model).__name__,
        "schedule": None if schedule is None else "a function",  # under one the model's hyperparameters are its own
        **{f"the model's {name}": value for name, value in config.items()},
        **rules,
        "x": _fingerprint(x),
        "x_valid": None if x_valid is None else _fingerprint(x_valid),
        **others,
    }
    return {name: files.as_json(name, value) for name, value in found.items()}


def _fingerprint(x):
    rows = x[np.unique(np.linspace(0, len(x) - 1, 100).astype(int))]
    checksum = zlib.crc32(np.ascontiguousarray(rows, np.float64))
    return f"{len(x)} examples of {np.shape(rows)[1]} values with checksum {checksum:08x}"


def progress(path):
    """The epoch under way in a checkpoint, the epochs done, how many there are to be, and the examples seen in that under way.

    ValueError if it is not one.
    """
    about = files.parse_about(files.read_npz(path, only=("about",)), path)
    with _understood(path):
        epoch, epochs = require.whole("epoch", about["epoch"]), require.whole("epochs", about["settings"]["epochs"])
        seen = require.whole("position", about["position"], 0)
    return min(epoch, epochs), epoch - 1, epochs, seen


@contextlib.contextmanager
def _understood(path):
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a checkpoint of fit: {error!r}") from error


def _compare(path, then, now, done):
    now["epochs"], now["threads"] = now["epochs"] or then["epochs"], now["threads"] or then["threads"]
    then.setdefault("gradient_norms", False)  # as of a version that kept none
    if now["epochs"] < done:
        raise ValueError(
            f"epochs is {now['epochs']}, but the run of {path} has done {done}; end it with {done}, or go on with more"
        )
    for name in {**now, **then}:
        if name != "epochs" and then.get(name) != now.get(name):
            raise ValueError(
                f"{name} is {now.get(name)!r}, but was {then.get(name)!r} when {path} was written; "
                "a run goes on with what it began with, only epochs may change"
            )


def _flatten(tree, prefix=""):
    """{"optimizer": {"t": 3, "m": {"W": array}}} -> {"optimizer/t": array(3), "optimizer/m/W": array}."""
    flat = {}
    for name, value in tree.items():
        branch = isinstance(value, Mapping)
        flat |= _flatten(value, f"{prefix}{name}/") if branch else {prefix + name: np.asarray(value)}
    return flat


def _unflatten(tree, arrays, prefix=""):
    """Put arrays, named as _flatten names them, into tree: in place where it holds arrays, else as numbers."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _unflatten(value, arrays, f"{prefix}{name}/")
        elif isinstance(value, np.ndarray):
            value[...] = arrays[prefix + name]
        else:
            tree[name] = arrays[prefix + name].item()


class Stopped(KeyboardInterrupt):
    """Ctrl-C in a run without checkpoints: fit returns what there is."""


class Keeper:
    """Looks after a run: writes checkpoints, holds Ctrl-C back until a step is done, stops what diverges.

    Entered, it takes the run up again, or writes its first checkpoint, never over another run's.
    """

    def __init__(self, run, folder, seconds, settings, resume):
        self.run, self.seconds, self.resume, self.names = run, seconds, resume, set(run.arrays())
        self.settings = settings | {"gradient_norms": bool(run.layers)}
        self.folder = folder  # as it was named; where it is stays, whatever the working folder becomes
        self.path = None if folder is None else Path(folder).absolute()
        self.written, self.written_at, self.interrupted = time.monotonic(), None, False
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with self.stack:
            if self.folder is not None:
                self.stack.enter_context(files.lock(self.path))
            self._start()
            main = threading.current_thread() is threading.main_thread()
            self.stack.enter_context(rests_allowed())
            if main and signal.getsignal(signal.SIGINT) is not None:  # None: what is there is not Python's to give back
                self.stack.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, self._interrupt))
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, kind, error, traceback):
        self.stack.close()
        if not isinstance(error, Stopped):
            return False
        run = self.run
        for name in run.promised:
            run.history.setdefault(name, [])  # if not even one epoch was done
        print(
            f"interrupted after step {run.step} of {self.steps}: the parameters are whole, the history has "
            f"{len(run.history['epoch'])} of {self.epochs} epochs",
            file=sys.stderr,
        )
        return True  # fit returns the history

    def _start(self):
        if self.resume:
            if self.run.resume(self.folder, self.settings) != self.settings["epochs"]:
                self.write()  # so that the new number is kept from now on
        elif self.folder is not None and files.has_checkpoint(self.folder):
            raise ValueError(
                f"{self.folder} holds the checkpoint of a run: resume it, or keep this one in another folder"
            )
        else:
            self.run.model.trained_on(self.run.n)  # not before: a model that fit refuses stays as it was
            self.write()

    @property
    def epochs(self):
        return self.settings["epochs"]

    @property
    def threads(self):
        return self.settings["threads"]

    @property
    def steps(self):
        """Of the whole run."""
        return self.epochs * self.run.steps_per_epoch

    def bar(self, progress):
        """The progress bar of what is left to do."""
        how = {"desc": f"{self.threads} threads"} if self.threads > 1 else {}
        return tqdm(total=self.steps, initial=self.run.step, unit="step", disable=not require.flag("progress", progress), **how)

    def write(self, last=False):
        """Write a checkpoint, unless the run has none, or is no longer worth one."""
        if not require.finite(self.run.arrays().values()):
            if self.run.step == 0:
                raise ValueError("the model's parameters hold NaN or infinity before the first step; make the model again")
            raise self.diverged(f"after step {self.run.step}: the parameters or the optimizer's state are not finite")
        if self.folder is not None:
            self.run.save(self.path, self.settings, last)
        self.written, self.written_at = time.monotonic(), self.run.step

    def judge(self, batch, taken):
        """Stop a run before a step whose loss or gradient is not finite or far too large; taken: of each player."""
        (first, _), *_ = taken.values()
        if self.run.layers:
            self.run.measure(len(batch), taken)
        if self.run.judged(first) <= self.run.limit and all(
            math.isfinite(terms.loss) and require.finite([grads.vector] if hasattr(grads, "vector") else grads.values())
            for terms, grads in taken.values()
        ):
            return
        every = [(name, grad) for _, grads in taken.values() for name, grad in grads.items()]
        wrong = [f"the gradient of {name}" for name, grad in every if not np.isfinite(grad).all()]
        self._stop(f"in step {self.run.step + 1}", batch, first, wrong)

    def judge_epoch(self, some, seen):
        """Stop a run whose loss on training rows after an epoch is not finite or far too large."""
        if not self.run.judged(seen) <= self.run.limit:
            batch = some[np.arange(min(self.run.batch_size, len(some)))]
            self._stop(f"after step {self.run.step}", batch, seen, [])

    def _stop(self, where, batch, terms, wrong):
        model = self.run.model
        if not np.isfinite(batch).all():
            raise ValueError(f"x gave NaN or infinity in a row {where}, though it did not when it was looked at first; remove it")
        wrong = [name for name in ("recon_nll", "kl", "loss") if not np.isfinite(getattr(terms, name))] + wrong
        term = "kl" if terms.kl > abs(terms.recon_nll) else "recon_nll"
        if terms.loss - terms.recon_nll > 2 * max(abs(terms.kl), abs(terms.recon_nll)):
            term = "penalty"
        worse = f"the loss is a thousand times worse than at the start by its {term}"
        problem = f"{wrong[0]} is not finite" if wrong else worse
        where += f", a batch of {len(batch)}" * (len(batch) < min(self.run.batch_size, self.run.n))
        numbers = f"loss {terms.loss:g}, recon_nll {terms.recon_nll:g}, kl {terms.kl:g}"
        if model.variational:
            numbers += f", largest logvar {model.encode(batch)[1].max():g}"
        advice = getattr(model.likelihood, "advice", "") if (wrong or [term])[0] == "recon_nll" else ""
        raise self.diverged(f"{where}: {problem} ({numbers})", advice)

    def diverged(self, problem, advice=""):
        """What to raise, in one line.  A checkpoint from which no step could be made is taken back."""
        kept = ""
        if self.folder is not None:
            if self.written_at == self.run.step:
                files.take_back_checkpoint(self.path)
            kept = f"; the last good checkpoint is kept in {self.folder}"
        return FloatingPointError(f"stopped {problem}; try a smaller learning rate{advice}{kept}")

    def after_step(self):
        """Write one if it is due; stop here if Ctrl-C was pressed."""
        if self.run.step == 1 and self.folder is not None and (added := set(self.run.arrays()) - self.names):
            name = min(added)  # a resumed run begins with initial_state, which has no place for it
            raise TypeError(f"an optimizer's step added {name} to its state; initial_state must have it, as it has what slots names")
        self._write_if(self.folder is not None and time.monotonic() - self.written >= self.seconds)

    def after_epoch(self, last):
        """Write one at the end; stop here if Ctrl-C was pressed."""
        self._write_if(last, last)

    def _write_if(self, due, last=False):
        if due or self.interrupted:
            self.write(last)
        if self.interrupted and self.folder is None:
            raise Stopped
        if self.interrupted:
            raise KeyboardInterrupt(f"interrupted after step {self.run.step}, which is kept in {self.folder}")

    def _interrupt(self, number, frame):
        if self.interrupted:  # pressed again: do not wait
            stands = "the parameters may be those of half a step" if self.folder is None else "the last checkpoint stands"
            raise KeyboardInterrupt(f"interrupted twice, nothing was saved by that; {stands}")
        self.interrupted = True

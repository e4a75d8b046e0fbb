"""A part of the batch for each thread.  derivations/13-faster.md.

Each example has its own loss, so a batch may be cut by rows: every thread takes its rows forward and back, down to the
gradient of each layer's pre-activation.  The gradient of a weight is a sum over all rows; there the threads cut by the
rows of W instead, so that each entry is computed once and nothing is added up afterwards, Eq. (PARTS.2).
"""

import contextvars
import functools
import itertools
import threading

import numpy as np

from . import require
from .batches import batches, in_order
from .plumbing import Plumbing
from .registry import bundled, nothing_of_its_own, ours
from .streams import stream
from .threads import cores, for_chunks, in_threads, named_by_the_environment, one_here_too, stay_on_core

WORTH = 2.4e8  # flops of a step for each thread, or waking it costs more than it saves
LARGE = 2e9  # flops of a step for each thread from which a busy neighbour on a core costs little
LOOKS = 400_000  # at a number before sleeping until it changes: 0.1 ms
ROWS = 16  # and examples: the products of fewer are no faster
DRAWS = 16  # per example that are made at once
OF_A_LOSS = ("encode", "forward", "loss", "recon_nll", "penalty_forward", "penalty_backward")  # a user's may write to self
CHUNK = 1e8  # flops of a network for the rows that a thread evaluates at once: of less, most is Python, which is not shared


def count(threads, model, batch_size, resume=False):
    """How many threads fit uses: as asked, or as many as pay; None if a resumed run is to go on as it began.

    One for a model that cannot be cut, whatever was asked.
    """
    if threads is not None:
        threads = require.whole("threads", threads)
        return threads if any(map(can_be_cut, model.players.values())) else 1
    if resume:
        return None
    if named_by_the_environment() or not all(map(can_be_cut, model.players.values())):
        return 1
    draws = max([int(np.prod(shape[1:-1])) for shape in model.noise_shapes(1)], default=1)  # of z for each example, all decoded
    decoder = sum(model.params[name].size for pair in model.decoder.names for name in pair)
    flops = 6 * batch_size * (sum(value.size for value in model.params.values()) + (draws - 1) * decoder)
    free = cores() if flops >= LARGE * cores() else cores() - 1  # one is left to whatever else the machine does
    return max(1, min(free, int(flops / WORTH), batch_size // ROWS))


def can_be_cut(player):
    """Whether the loss of a player is known to be a mean over rows, but for a penalty of the whole batch."""
    from ..base import EncoderDecoder
    from ..beta_vae import PenaltyVAE
    from ..mlp import MLP

    owner = functools.partial(_owner, player)
    return (
        by_several(player)
        and type(player.encoder) is type(player.decoder) is MLP
        and nothing_of_its_own(player)  # whose gradients the parts would not bring back
        and owner("loss_and_grads") is owner("likelihood_backward") is EncoderDecoder
        and owner("forward") is owner("backward")
        and owner("corrupt") in (None, owner("forward"))  # what a denoising autoencoder's forward calls
        and (_apart(owner("forward")) or owner("forward") is PenaltyVAE)
        and all(shape[:1] == (7,) for shape in player.noise_shapes(7))
    )


def by_several(player):
    """Whether several threads may evaluate a player at once: all its code is ours, as it was written, or says rows_apart."""
    parts = [getattr(player, name, None) for name in ("encoder", "decoder", "likelihood")]
    return (
        getattr(getattr(player, "ops", None), "nogil", False)  # the kernels let other threads run beside them, NumPy's small calls do not
        and not player.ops.twins.changed
        and all(_ours(type(part)) for part in parts)
        and all(_ours(_owner(player, name)) for name in OF_A_LOSS if hasattr(player, name))
        and not any(callable(getattr(type(each), name, None)) for each in (player, *parts) for name in vars(each))  # no patches
    )


def _owner(player, name):
    return next((cls for cls in type(player).__mro__ if name in vars(cls)), None) if name not in vars(player) else None


def _apart(cls):
    from ..autoencoder import Autoencoder
    from ..beta_vae import BetaVAE
    from ..vae import VAE

    return cls in (Autoencoder, VAE, BetaVAE) or (cls is not None and vars(cls).get("rows_apart") is True)


def _ours(cls):
    return cls is not None and (bundled(cls) or _apart(cls))


def by_draws(measure, model, x, binarize, seed, batch_size, samples, threads):
    """For each batch of x its q, and what measure(batch, q, noise, eps) returns as arrays (samples, ...); in threads.

    q is mu and logvar of the batch, None without; eps (N, Z) of z.  All that is random is drawn here, in one order.
    """
    from ..base import normal

    as_trained = type(model).evaluation_noise is Plumbing.evaluation_noise
    shared = as_trained and model.noise_shapes(1) == ((1, model.latent_dim),)  # then what the loss takes is that of z
    noise_rngs = [stream("evaluation noise", seed, draw) for draw in range(samples)]  # one per draw: batches change nothing
    z_rngs = [] if shared else [stream("evaluation noise", seed, draw) for draw in range(samples)]  # again: z as of a VAE

    def draw_one(n, draw):
        noise = model.evaluation_noise(n, noise_rngs[draw])
        return noise, noise[0] if shared else normal(z_rngs[draw], (n, model.latent_dim), model.dtype)

    def drawn():
        for _, batch in batches(model, x, binarize, seed, batch_size):
            for draws in in_order(samples, DRAWS):
                yield batch, [draw_one(len(batch), draw) for draw in draws]

    def measure_some(some):
        batch, draws = some
        q = model.encode(batch) if model.variational else None
        return q, [np.array(each, np.float64) for each in zip(*(measure(batch, q, *draw) for draw in draws))]

    parts = in_threads(measure_some, drawn(), evaluation_threads(model, batch_size, threads))
    groups = len(range(0, samples, DRAWS))  # of draws, for each batch
    for of_a_batch in zip(*[parts] * groups):  # one generator several times: zip takes a batch's groups in turn
        (q, *_), measured = zip(*of_a_batch)
        yield q, *(np.concatenate(each) for each in zip(*measured))


def evaluation_threads(model, rows, threads=None):
    """How many threads evaluate a model, so many rows at once: as asked, or as many as there are if the rows are worth it.

    One for a model that may not be used by several, whatever was asked.
    """
    threads = None if threads is None else require.whole("threads", threads)
    if not by_several(model):
        return 1
    if threads is None:
        worth = 2 * rows * sum(value.size for value in model.params.values()) >= CHUNK
        return for_chunks() if worth else 1
    return threads


def has_penalty_of_the_batch(player):
    """Whether the parts must meet for the penalty: beta times the mean KL is a mean over rows, others need not be."""
    from ..beta_vae import BetaVAE

    pair = [getattr(type(player), f"penalty_{way}", None) for way in ("forward", "backward")]
    return pair != [None, None] and pair != [BetaVAE.penalty_forward, BetaVAE.penalty_backward]


class Count:
    """A number that threads raise and wait for: for a moment by looking, which is 20 times as quick, then asleep."""

    def __init__(self, reached):
        self.number, self.changed, self.reached = np.zeros(1, np.int64), threading.Condition(), reached

    def add(self, more=1):
        with self.changed:
            self.number[0] += more
            self.changed.notify_all()

    def wait(self, wanted):
        if not self.reached(self.number, 0, wanted, LOOKS):
            with self.changed:
                self.changed.wait_for(lambda: self.number[0] >= wanted)


class Crew:
    """So many threads, the caller's included, which work on a batch together."""

    def __init__(self, threads, players, optimizers):
        self.threads, self.players, self.optimizers = threads, players, optimizers
        self.look_again()

    def __enter__(self):
        self.others = []
        if self.threads > 1 and any(map(can_be_cut, self.players.values())):
            self.turn, self.work, self.results = 0, None, [None] * self.threads
            self.reached = next(iter(self.players.values())).ops.reached
            self.begun, self.done = Count(self.reached), Count(self.reached)
            for i in range(1, self.threads):
                how = dict(target=contextvars.copy_context().run, args=(self.serve, i), name=f"part {i}", daemon=True)
                self.others.append(threading.Thread(**how))
                self.others[-1].start()
        return self

    def __exit__(self, *_):
        if self.others:
            self.work = None
            self.begun.add()
        for other in self.others:
            other.join()

    def look_again(self):
        """Whose code runs may have changed: find out anew what it allows, and reuse no memory that it may hold."""
        self.private = functools.cache(lambda name: ours(self.players[name], self.optimizers[name]))
        self.divisible = functools.cache(lambda name: can_be_cut(self.players[name]))
        self.grads, self.cuts = {}, {}

    def each(self, work):
        """work(0), work(1), ... at the same time; their results in order.  An error is raised when all have ended."""
        self.turn, self.work = self.turn + 1, work
        self.begun.add()
        try:
            self.take_part(0)
        finally:
            self.done.wait(self.turn * (self.threads - 1))
        errors = [each for each in self.results if isinstance(each, BaseException)]
        if errors:  # that a meeting was called off is no cause
            raise next((each for each in errors if not isinstance(each, threading.BrokenBarrierError)), errors[0])
        return list(self.results)

    def serve(self, i):
        """What the other threads do: wait for the next turn and take part, until there is no more work."""
        stay_on_core(i)
        one_here_too()
        for turn in itertools.count(1):
            self.begun.wait(turn)
            if self.work is None:
                return
            self.take_part(i)
            self.done.add()

    def take_part(self, i):
        try:
            self.results[i] = self.work(i)
        except BaseException as error:
            self.results[i] = error

    def loss_and_grads(self, name, x, noise):
        """loss_and_grads(x, *noise) of a player, in parts if it can be; into the last gradient's memory if only we saw it."""
        player, grads = self.players[name], self.grads.get(name)
        if self.others and self.divisible(name) and len(x) >= self.threads:
            grads = player.params.zeros_like() if grads is None else grads
            cut = self.cuts.get((name, len(x)))
            if cut is None or cut.grads is not grads:
                cut = self.cuts[name, len(x)] = Cut(self, player, len(x), grads)
            terms = cut.loss_and_grads(*player.batch(x, noise, looked_at=True))
        elif grads is not None:
            return player.loss_and_grads(x, *noise, out=grads)
        else:
            terms, grads = player.loss_and_grads(x, *noise)
        if self.private(name):
            self.grads[name] = grads
        return terms, grads

    def rules(self, ops):
        """The namespace of the update rules: their twins update each stretch of the vector on a thread of its own."""
        return Stretches(self, ops) if self.others and self.divisible(next(iter(self.players))) else ops


class Cut:
    """How a batch of n rows is shared out, and what the layers of all parts put together; views made once."""

    def __init__(self, crew, player, n, grads):
        self.crew, self.player, self.n, self.grads = crew, player, n, grads
        self.rows = slices(n, crew.threads)
        self.shares = [player.dtype.type((part.stop - part.start) / n) for part in self.rows]
        self.layers = {}
        for network in (player.encoder, player.decoder):
            for (W, b), fan_in, fan_out in zip(network.names, network.widths, network.widths[1:]):
                self.layers[id(grads[W])] = Layer(grads[W], grads[b], slices(fan_in, crew.threads))
        self.pairs = [Later(self, i) for i in range(crew.threads)]

    def loss_and_grads(self, x, *noise):
        meeting = Meeting(self) if has_penalty_of_the_batch(self.player) else None
        found = self.crew.each(functools.partial(self.part, x, noise, meeting))
        self.crew.each(self.weights)
        terms, own = zip(*found)
        for name in self.player.likelihood_params:
            self.grads[name] = self.mean([each[name] for each in own])
        kind = type(terms[0])
        return kind(*(np.concatenate(each) if np.ndim(each[0]) else self.mean(each) for each in zip(*terms)))

    def part(self, x, noise, meeting, i):
        """The rows of part i forward and back; returns its terms, and gradients of which the likelihood's own count."""
        rows, model = self.rows[i], object.__new__(type(self.player))
        vars(model).update(vars(self.player), ops=self.pairs[i])
        if meeting is not None:
            vars(model).update(meeting.penalty(i, model))
        part, grads = (x[rows], *(array[rows] for array in noise)), dict(self.grads)
        try:
            terms, saved = model.forward(*part)
            model.backward(*part, saved, grads)
        except BaseException:
            if meeting is not None:
                meeting.call_off()
            raise
        return terms, grads

    def weights(self, i):
        """The i-th rows of every dW, Eq. (PARTS.2), and db."""
        ops = self.player.ops
        for layer in self.layers.values():
            rows, db = layer.rows_of_W[i], layer.db if i == 0 else None
            ops.dense_act_backward_params(layer.da, layer.x[:, rows], layer.da, "linear", out=(layer.dW[rows], db))

    def mean(self, values):
        """Of numbers or gradients of the parts, each with its share of the rows, Eq. (PARTS.1)."""
        return sum(share * value for share, value in zip(self.shares, values))


class Layer:
    """One layer's input and the gradient of its pre-activation, of all rows."""

    def __init__(self, dW, db, rows_of_W):
        self.dW, self.db, self.rows_of_W, self.lock = dW, db, rows_of_W, threading.Lock()
        self.x, self.da = np.empty((0, dW.shape[0]), dW.dtype), np.empty((0, dW.shape[1]), dW.dtype)

    def make_room(self, n):
        """For n rows: those of the batch, or K times as many where each has K draws."""
        with self.lock:
            if len(self.x) != n:
                self.x, self.da = (np.empty((n, each.shape[1]), each.dtype) for each in (self.x, self.da))


class Later:
    """The pairs as one part sees them: its layers keep x and da, from which the weights' gradients are made later."""

    def __init__(self, cut, i):
        self.cut, self.rows, self.share, self.ops = cut, cut.rows[i], cut.shares[i], cut.player.ops
        own = {name for name in dir(self) if name[0] != "_"}
        vars(self).update({name: value for name, value in vars(self.ops).items() if name[0] != "_" and name not in own})

    def dense_act_backward(self, dh, x, W, h, activation, out):
        return self.ops.layer_dx(self.keep(dh, x, h, activation, out), W), None, None

    def dense_act_backward_params(self, dh, x, h, activation, out):
        self.keep(dh, x, h, activation, out)
        return None, None

    def keep(self, dh, x, h, activation, out):
        layer, da = self.cut.layers[id(out[0])], self.ops.layer_da(dh, h, activation)
        draws = len(da) // (self.rows.stop - self.rows.start)
        layer.make_room(draws * self.cut.n)
        rows = slice(draws * self.rows.start, draws * self.rows.stop)
        np.multiply(da, self.share, out=layer.da[rows])  # of the mean over all rows, not over these
        layer.x[rows] = x
        return da


class Meeting:
    """Where the parts put together what a penalty of the whole batch is a function of; each takes its own rows away."""

    def __init__(self, cut):
        self.cut, self.brought, self.arrived, self.broken = cut, [()] * cut.crew.threads, Count(cut.crew.reached), False

    def penalty(self, i, model):
        """The penalty's pair as part i sees it: of all rows, whose gradient is that of the mean over its own."""
        pair, whole, rows, share = type(model), [], self.cut.rows[i], self.cut.shares[i]

        def forward(*arrays):
            self.brought[i] = arrays
            self.arrived.add()
            self.arrived.wait(self.cut.crew.threads)
            if self.broken:
                raise threading.BrokenBarrierError
            whole[:] = (np.concatenate(each) for each in zip(*self.brought))
            return pair.penalty_forward(model, *whole)

        def backward(dpenalty, *_):
            grads = pair.penalty_backward(model, dpenalty, *whole)
            return type(grads)(*(each[rows] / share if np.ndim(each) else each for each in grads))

        return {"penalty_forward": forward, "penalty_backward": backward}

    def call_off(self):
        """Part i has failed: the others need not wait for it."""
        self.broken = True
        self.arrived.add(self.cut.crew.threads)


class Stretches:
    """Update rules as ops has them; each thread updates its own stretch of the vectors."""

    def __init__(self, crew, ops):
        self.crew, self.ops = crew, ops

    def __getattr__(self, name):
        rule = getattr(self.ops, name)
        if not name.endswith("_update"):
            return rule

        def in_stretches(*arguments):
            if np.ndim(arguments[0]) == 0:  # one number, where parameters are updated one by one
                return rule(*arguments)

            def stretch(i):
                return rule(*(each[stretches[i]] if isinstance(each, np.ndarray) else each for each in arguments))

            stretches = slices(len(arguments[0]), self.crew.threads)
            self.crew.each(stretch)

        return in_stretches


def slices(n, parts):
    """0 .. n - 1 in so many stretches of nearly the same length."""
    edges = [n * i // parts for i in range(parts + 1)]
    return [slice(first, last) for first, last in zip(edges, edges[1:])]

"""What a likelihood, an activation, a penalty or a model of the user's own must return: said when a step of fit has failed."""

import contextlib

import numpy as np

from .. import ops
from .parts import _ours, _owner

FAILED = object()  # None is what a function returns that has no return


@contextlib.contextmanager
def explained(model):
    """An error within is replaced by what is wrong with the user's own parts of the model, if anything is found to be."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, IndexError):
        refuse_faults(model)
        raise


def refuse_faults(model):
    """TypeError with what is wrong with the user's own parts of the model."""
    for player in getattr(model, "players", {}).values():
        for words in faults(player):
            raise TypeError(words)


def faults(player):
    """In words, what the user's own parts of a model return that they must not, on a batch of three."""
    networks = [getattr(player, name, None) for name in ("encoder", "decoder")]
    for name in {name for network in networks for name in getattr(network, "activations", ())}:
        pair = ops.ACTIVATIONS[name]
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(map(callable, pair))):
            yield f"ACTIVATIONS[{name!r}] must be a pair of functions, its forward and its backward; got {pair!r}"
        else:
            yield from of_activation(f"ACTIVATIONS[{name!r}]", pair, np.full((3, 2), 0.5, player.dtype))
    likelihood = getattr(player, "likelihood", None)
    if likelihood is not None and not _ours(type(likelihood)):
        yield from of_likelihood(type(likelihood).__name__, likelihood, player)
    if hasattr(player, "penalty_forward") and not _ours(_owner(player, "penalty_forward")):
        yield from of_penalty(type(player).__name__, player)
    yield from of_terms(type(player).__name__, player)


def of_activation(name, pair, a):
    """The same of a pair of functions that work entry by entry."""
    h = tried(pair[0], a)
    if np.shape(h) != a.shape:
        yield f"{name}: the forward must return an array of a's shape; for {a.shape} it returned {describe(h)}"
        return
    da = tried(pair[1], np.ones_like(a), h)
    if np.shape(da) != a.shape:
        yield f"{name}: the backward (dh, h) must return da, of h's shape; for {a.shape} it returned {describe(da)}"


def describe(value):
    """What was returned, in a word or two."""
    return "nothing, for it failed" if value is FAILED else "None" if value is None else f"shape {np.shape(value)}"


def of_likelihood(name, likelihood, player):
    """The same of a likelihood's forward and backward."""
    out = np.zeros((3, likelihood.outputs(player.data_dim)), player.dtype)
    given = (player.ops, player.params)
    x = np.full((3, player.data_dim), 0.5, player.dtype)
    nll = tried(likelihood.forward, *given, out, x)
    if nll is not FAILED and np.shape(nll) != (3,):
        yield (
            f"{name}.forward must return -log p(x|z) of each example, (N,), the sum over its pixels; "
            f"for N = 3 it returned {describe(nll)}"
        )
    back = tried(likelihood.backward, *given, np.ones(3, player.dtype), out, x)
    if back is not FAILED and not (isinstance(back, tuple) and len(back) == 2 and isinstance(back[1], dict)):
        yield (
            f"{name}.backward must return two things, dout (N, {out.shape[1]}) and a dict of the gradients of the likelihood's own "
            f"parameters, {{}} if it has none; got {type(back).__name__}"
        )
    elif back is not FAILED and np.shape(back[0]) != out.shape:
        yield f"{name}.backward must return dout of the shape of out, (N, {out.shape[1]}); for N = 3 it is {describe(back[0])}"


def of_penalty(name, player):
    """The same of an objective's penalty."""
    from ..base import PenaltyGrads

    if not hasattr(player, "penalty_backward"):
        yield f"{name} has a penalty_forward and needs its penalty_backward, which returns PenaltyGrads"
        return
    saved = (np.ones(3, player.dtype), *(np.ones((3, player.latent_dim), player.dtype) for _ in range(3)))
    penalty = tried(player.penalty_forward, *saved)
    if penalty is None or np.ndim(penalty) != 0:
        yield (
            f"{name}.penalty_forward must return one number for the batch, such as a mean over its examples; "
            f"for N = 3 it returned {describe(penalty)}"
        )
    grads = tried(player.penalty_backward, 1.0, *saved)
    if grads is FAILED:
        return
    if not isinstance(grads, PenaltyGrads):
        yield f"{name}.penalty_backward must return PenaltyGrads(dkl=..., dmu=..., ...), got {type(grads).__name__}"
        return
    for field, grad, array in zip(PenaltyGrads._fields, grads, saved):
        if grad is None or np.shape(grad) not in ((), array.shape):
            wanted = "(N,)" if array.ndim == 1 else f"(N, {player.latent_dim})"
            yield f"{name}.penalty_backward: {field} must have shape {wanted}, or be 0; for N = 3 it is {describe(grad)}"


def of_terms(name, player):
    """The same of a model's own forward, loss and loss_and_grads."""
    from ..base import EncoderDecoder, Terms

    if not isinstance(player, EncoderDecoder):  # a second player has terms of its own
        return
    x = np.full((3, player.data_dim), 0.5, player.dtype)
    for method, other in {"forward": "Saved(...)", "loss": None, "loss_and_grads": "grads"}.items():
        if _ours(_owner(player, method)):
            continue
        try:
            found = getattr(player, method)(x, *player.draw_noise(3, np.random.default_rng(0)))
        except Exception:  # its own error says more
            continue
        both = isinstance(found, tuple) and len(found) == 2
        terms = found if other is None else found[0] if both else None
        if not all(hasattr(terms, field) for field in Terms._fields):
            wanted = f"Terms({', '.join(Terms._fields)})" + (f" and {other}" if other else "")
            got = " and ".join(type(each).__name__ for each in (found if both else [found]))
            yield f"{name}.{method} must return {wanted}; got {got}"


def tried(function, *arguments):
    """What the function returns; FAILED if it fails, when its own error says more."""
    try:
        return function(*arguments)
    except Exception:
        return FAILED

"""Models, likelihoods and scores enter themselves by name when their class is defined, a user's own as well."""

import functools
import inspect
import sys


def register(table, cls):
    """table[cls.name] = cls; without a name of its own a class is entered by module and class, with name = None not at all.

    Defined again (a notebook's cell), a class takes the place of the one before.  ValueError if another has the name.
    """
    cls.name = vars(cls).get("name", f"{cls.__module__}.{cls.__qualname__}")
    if cls.name is None:
        return
    other = table.get(cls.name)
    if other is not None and whence(other) != whence(cls):
        raise ValueError(f"{cls.name!r} is the name of {whence(other)}; give {whence(cls)} another")
    table[cls.name] = cls


def whence(cls):
    """Where a class comes from, such as "my_models.Cauchy": what to import to have it."""
    return f"{cls.__module__}.{cls.__qualname__}"


def bundled(cls):
    """Whether a class is one of this package."""
    return cls.__module__.partition(".")[0] == __package__.partition(".")[0]


def ours(player, optimizer):
    """Whether only this package's own code sees the gradients of a player, and writes every one of them.

    Then nobody can hold on to them, nothing is left in them of the step before, and their memory serves again.
    """
    if not nothing_of_its_own(player):
        return False
    networks = [player.encoder, player.decoder]
    rules = vars(sys.modules[f"{__package__.partition('.')[0]}.optimizers"])
    seen_by = [getattr(player, name, None) for name in ("loss_and_grads", "backward", "likelihood_backward")]
    seen_by += [network.backward for network in networks] + [optimizer.step, getattr(optimizer, "update", None)]
    seen_by += [value for name, value in vars(player.ops).items() if name.startswith("dense_") and "backward" in name]
    seen_by += [value for name, value in rules.items() if name.endswith("_update") or name == "prior_gradient"]
    return all(_module(function).startswith(__package__.partition(".")[0] + ".") for function in seen_by)


def nothing_of_its_own(player):
    """Whether all its parameters are those of its two networks and of its likelihood."""
    networks = [getattr(player, name, None) for name in ("encoder", "decoder")]
    if None in networks or not hasattr(player, "likelihood_params"):
        return False
    return {name for network in networks for pair in network.names for name in pair} | set(player.likelihood_params) == set(player.params)


def _module(function):
    # where a function was written: its globals, not __module__, which functools.wraps copies; an exercise's stands elsewhere
    function = getattr(function, "__func__", function)
    names, code = getattr(function, "__globals__", {}), getattr(function, "__code__", None)
    return names.get("__name__", "") if code is None or code.co_filename == names.get("__file__") else ""


def arguments(cls):
    """The names of a constructor's arguments; what *args and **kwargs take are those of the classes it inherits from."""
    names = []
    for owner in cls.__mro__:
        if "__init__" not in vars(owner) or owner is object:
            continue
        _, *parameters = inspect.signature(vars(owner)["__init__"]).parameters.values()
        plain = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        names = [*(name for name in plain if name not in names), *names] if names else plain
        if len(plain) == len(parameters):  # nothing is handed on
            break
    return names


@functools.cache
def wholes(cls):
    """The names of the constructor's arguments that are whole numbers, such as samples: int = 5."""
    inits = [inspect.signature(vars(owner)["__init__"]) for owner in cls.__mro__ if "__init__" in vars(owner)]
    return {name for init in inits for name, argument in init.parameters.items() if argument.annotation in (int, "int")}


def kept(thing, **aliases):
    """A constructor's arguments by name, from the attributes of the same names, but for these aliases."""
    found = {}
    for name in arguments(type(thing)):
        attribute = aliases.get(name, name) if hasattr(thing, aliases.get(name, name)) else name
        if not hasattr(thing, attribute):
            raise TypeError(f"{type(thing).__name__} must keep its argument {name} as self.{name}, to be saved or resumed")
        found[name] = getattr(thing, attribute)
    return found

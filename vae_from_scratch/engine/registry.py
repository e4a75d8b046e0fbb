"""Models, likelihoods and scores enter themselves by name when their class is defined, a user's own as well."""

import inspect


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


def ours(player, optimizer):
    """Whether only this package's own code sees the gradients of a player, so that nobody can hold on to them."""
    seen_by = [getattr(player, name, None) for name in ("loss_and_grads", "backward", "likelihood_backward")]
    seen_by += [optimizer.step, getattr(optimizer, "update", None)]
    seen_by += [getattr(player.ops, name) for name in ("dense_act_backward", "dense_act_backward_params")]
    modules = (getattr(getattr(f, "__func__", f), "__globals__", {}).get("__name__", "") for f in seen_by)
    return all(module.startswith(__package__.partition(".")[0] + ".") for module in modules)


def arguments(cls):
    """The names of a constructor's arguments; what *args and **kwargs take are those of the class it inherits from."""
    if cls.__init__ is object.__init__:
        return []
    _, *parameters = inspect.signature(cls.__init__).parameters.values()
    names = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    more = arguments(owner.__mro__[1]) if len(names) < len(parameters) else []
    return [*more, *(name for name in names if name not in more)]

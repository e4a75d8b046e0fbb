"""The one place where arguments are refused: each message names the value, what was expected, and how to mend it."""

import math
import numbers
import os
import warnings
from collections.abc import Mapping

import numpy as np

from .registry import bundled, wholes

BINARIZE = ("none", "threshold", "dynamic")
DTYPES = ("float32", "float64", "longdouble")  # longdouble: for gradient checks in extended precision


def whole(name, value, least=1, below=2**63):
    """An integer of at least `least`, as an int."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    if value >= below:
        raise ValueError(f"{name} must be below {below}, got one of {len(str(int(value)))} digits")
    return int(value)


def number(name, value, least=None, above=None, below=None):
    """A finite real number within the bounds given, as a float."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    bounds = [
        f">= {least}" * (least is not None),
        f"> {above}" * (above is not None),
        f"< {below}" * (below is not None),
    ]
    try:
        found = float(value)
    except OverflowError:  # an integer beyond all floats
        found = value = math.inf
    within = (least is None or found >= least) and (above is None or found > above) and (below is None or found < below)
    if not (math.isfinite(found) and within):
        wanted = f"{name} must be a finite number {' and '.join(filter(None, bounds))}".rstrip()
        raise ValueError(f"{wanted}, got {value}")
    return found


def of_shapes(arrays, values):
    """Numbers, or arrays of the shapes that arrays of these names have."""
    for name, value in values.items():
        if name not in arrays:
            raise KeyError(f"there is no parameter {name!r}, and none can be added; there are {', '.join(arrays)}")
        if np.ndim(value) and np.shape(value) != arrays[name].shape:
            raise ValueError(f"{name} has the shape {arrays[name].shape}; it cannot take an array of shape {np.shape(value)}")
    return values


def nonzero(name, value, arrays):
    """A number that rounds to 0 in no dtype of these arrays."""
    for array in arrays.values():
        if array.dtype.type(value) == 0:
            raise ValueError(f"{name} is {value}, which is 0 in {array.dtype}; use 1e-30 or more")


def choice(name, value, allowed):
    """One of the allowed names."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    return value


def number_or(name, value, names, **bounds):
    """One of these names, or a number within the bounds given."""
    return choice(name, value, names) if isinstance(value, str) else number(name, value, **bounds)


def checked_dtype(value):
    """A dtype in which gradients can be checked."""
    if value not in (np.dtype(np.float64), np.dtype(np.longdouble)):
        raise ValueError(
            f"gradients are checked in float64 or longdouble, got {value}: in float32 rounding hides mistakes"
        )


def named(name, spec, allowed):
    """A name among those allowed and its options, from the name or from a dict that holds both."""
    options = {"name": spec} if isinstance(spec, str) else spec
    if not isinstance(options, dict):
        raise TypeError(f"{name} must be one of {', '.join(allowed)}, or an object such as Gaussian(sigma=1.0); got {spec!r}")
    options = dict(options)
    return choice(name, options.pop("name", None), allowed), options


def path(name, value):
    """The name of a file or folder, with the user's home in place of a ~ at its beginning."""
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise TypeError(f"{name} must be the name of a file or folder, got {value!r:.100}")
    return os.path.expanduser(value)  # no shell does it in --out=~/run, in Python or in a notebook


def flag(name, value):
    """True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def widths(name, value):
    """Hidden widths as a tuple of ints >= 1; () is a linear model."""
    if isinstance(value, str) or not np.iterable(value):
        raise TypeError(f"{name} must be a sequence of layer widths such as (500,) or (), got {value!r}")
    return tuple(whole(f"each width in {name}", width) for width in value)


def image_shape(value):
    """(rows, columns), or (rows, columns, 3), as a tuple of ints."""
    sides = tuple(value) if np.iterable(value) else ()
    whole_numbers = all(isinstance(side, numbers.Integral) and not isinstance(side, bool) and side >= 1 for side in sides)
    if not whole_numbers or len(sides) not in (2, 3) or (*sides, 1)[2] not in (1, 3):
        raise ValueError(f"image_shape must be (rows, columns) or (rows, columns, 3), whole numbers from 1, got {sides or value!r}")
    return tuple(map(int, sides))


def dtype(value):
    """A dtype among DTYPES."""
    names = {np.dtype(name): name for name in reversed(DTYPES)}
    try:
        found = np.dtype(value)
    except TypeError:
        found = None
    if found not in names or value is None:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {value!r}")
    return found


def dtype_name(dtype):
    """The name among DTYPES: longdouble has others on other machines."""
    return next(name for name in DTYPES if np.dtype(name) == dtype)


def seed(value):
    """A seed: a whole number from 0 to 2^128 - 1."""
    return whole("seed", value, least=0, below=2**128)


def rng(value):
    """A numpy.random.Generator."""
    if not isinstance(value, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator such as numpy.random.default_rng(0), got {value!r}")
    return value


def rows(name, x, dim, dtype, n=None, pixels=True):
    """x as floats (N, dim): a batch that a model can take.  n: how many rows there are, if x is some of them."""
    x = np.asarray(array(name, x, pixels))
    if x.ndim != 2 or x.shape[1] != dim:
        shape = (n or len(x), *x.shape[1:]) if x.ndim else ()
        way = f"one example is {name}[None, :]" if x.shape == (dim,) else "one row for each example"
        if x.ndim > 2 and np.prod(shape[1:]) == dim:
            way = f"{name}.reshape({shape[0]}, {dim})"
        elif x.ndim == 2:
            way = f"each row holds {shape[1]} values, and this model takes {dim}: give it others, or make one for these"
        raise ValueError(f"{name} must have shape (N, {dim}), got {shape}; {way}")
    floats(name, x, name, pixels)
    with np.errstate(over="ignore"):  # values says what is too large
        return x.astype(dtype, copy=False)


def codes(name, z, dim, dtype):
    """z as floats (N, dim), finite."""
    if isinstance(z, tuple) and len(z) == 2:
        raise ValueError(f"{name} is a pair, such as encode returns, mu and logvar: give one of them, as in mu, logvar = model.encode(x)")
    z = rows(name, z, dim, dtype, pixels=False)
    values(name, z, first=0)
    return z


def pairs(model, x, z):
    """x (N, D) and z (N, Z) in the model's dtype, a code for each example."""
    x, z = rows("x", x, model.data_dim, model.dtype), rows("z", z, model.latent_dim, model.dtype, pixels=False)
    if len(x) != len(z):
        raise ValueError(f"x and z must have as many rows, got {len(x)} and {len(z)}; x.repeat({len(z)}, axis=0) is one x for all z")
    return x, z


def floats(name, x, expression, pixels):
    """An array of floats; expression: what gives this array from what the caller has."""
    if x.dtype.kind not in "fb":
        raise TypeError(f"{name} holds {x.dtype} values, but floats are needed; {as_floats(expression, x, pixels)}")


def as_floats(name, x, pixels):
    """The expression that turns these integers into floats: pixels into [0, 1], by their range; codes, which have none, as they are."""
    if x.dtype.kind in "iu" and not pixels:
        return f"{name}.astype('float32') leaves them as they are"
    if x.dtype.kind not in "iu" or x.size == 0:
        return f"{name}.astype('float32') if these are numbers"
    top = int(x.max())
    if top <= 1:
        return f"for zeros and ones {name}.astype('float32')"
    return f"for values up to {top} {name} / {255 if 16 < top <= 255 else top}, for counts {name}.astype('float32')"


def unmasked(name, x):
    """x, of which no value is masked."""
    if np.ma.is_masked(x):
        raise ValueError(f"{name} is an array with {np.ma.count_masked(x)} masked values; fill them: {name}.filled(0.0)")
    return x


def array(name, x, pixels=True):
    """x as what fit can take rows of: lists, DataFrames and tensors become arrays, where that is exact and cheap."""
    if hasattr(x, "toarray"):
        raise TypeError(f"{name} is a sparse {type(x).__name__}; {name}.toarray() makes it an array")
    if isinstance(x, np.ma.MaskedArray):
        return np.asarray(unmasked(name, x))
    rows_on_disk = hasattr(x, "chunks")  # of h5py and zarr, which have __array__ as well
    if isinstance(x, (list, tuple)) or (hasattr(x, "__array__") and not rows_on_disk):
        try:
            found = np.asarray(x)
        except ValueError as error:  # rows of several lengths
            why = error
            if isinstance(x, tuple) and len(x) == 2:
                why = "labels are not taken; give the first of the two alone, if it holds the images"
            raise ValueError(f"{name} is a {type(x).__name__} that cannot be made an array: {why}") from error
        if not hasattr(x, "astype"):  # known only here, where a list is still one
            floats(name, found, f"np.asarray({name})", pixels)
        return found
    return x


def examples(name, x, dim):
    """len(x) >= 1 of what fit and evaluate take: x[indices] -> (N, dim), of which some are looked at."""
    x = array(name, x)
    try:
        n, some = len(x), np.unique(np.linspace(0, len(x) - 1, min(100, len(x))).astype(int))
        head = np.asarray(array(f"{name}[indices]", x[some]))
    except (TypeError, IndexError, KeyError, ValueError) as error:
        raise TypeError(
            f"{name} must have len({name}) and {name}[indices] -> (N, {dim}), an array; got {type(x).__name__}: {error}"
        ) from error
    if n == 0:
        raise ValueError(f"{name} is empty: at least one example is needed")
    one_for_each(name, head, some)
    rows(name, head, dim, np.float32, n)
    return n


def one_for_each(name, found, indices):
    """As many rows as there are indices, of a data set of anybody's."""
    if np.shape(found)[:1] != (len(indices),):
        raise ValueError(f"{name}[indices] must give one row for each index, in their order; for {len(indices)} it gave {np.shape(found)}")


def evaluation(model_, x, binarize, variational=False, **sizes):
    """What all evaluations ask of their arguments; returns len(x)."""
    model(model_)
    if variational:
        prior(model_)
    choice("binarize", binarize, BINARIZE)
    for name, value in sizes.items():
        whole(name, value)
    n = examples("x", x, model_.data_dim)
    if n > 1:
        comparable(model_, sizes.get("batch_size", n))
    return n


def noise(arrays, shapes, n):
    """Arrays of these shapes, which a model states for n examples."""
    found = [array.shape if hasattr(array, "shape") else np.shape(array) for array in arrays]
    if not all(isinstance(shape, (tuple, list)) for shape in shapes):
        raise TypeError(f"noise_shapes(n) must return a shape for each array of noise, such as ((n, Z),), got {shapes!r}")
    wanted = [tuple(shape) for shape in shapes]
    if found != wanted:
        raise ValueError(
            f"x has {n} examples, so the noise must have the shapes {wanted}, got {found}; "
            "draw it: noise = model.draw_noise(len(x), rng), pass *noise"
        )


def comparable(model, size, name="batch_size"):
    """Batches with enough rows for a loss that compares them with each other."""
    least = model.least_rows
    if size < 1:
        raise ValueError(f"{name} is {size}: at least one example is needed")
    if size < least:
        raise ValueError(f"{name} is {size}, but {type(model).__name__} compares the rows of a batch; use at least {least}")


def n_train(model):
    """The size of the data set that a model's batches are drawn from."""
    if model.n_train is None:
        raise ValueError(
            f"{type(model).__name__} has n_train = None: its loss depends on the size of the data set that the batches are drawn from; "
            "fit sets it; to compute a loss without fit, give n_train=len(x)"
        )
    return model.n_train


def unit_interval(likelihood, binarize="none"):
    """Why values must lie in [0, 1] and how to mend it, in words; none if they need not."""
    if likelihood is not None and likelihood.unit_interval:
        return f"the {type(likelihood).__name__} likelihood needs [0, 1]; rescale it (pixels 0..255: x / 255) or choose a Gaussian one"
    return f"binarize={binarize!r} needs [0, 1]; rescale it (pixels 0..255: x / 255) or leave binarize out" if binarize != "none" else ""


def values(name, part, within="", first=None, where=""):
    """Finite rows, in [0, 1] if unit_interval says so; first: the number of the first row, where the caller knows it."""
    if not finite([part]):
        row = "" if first is None else f", first in row {first + int((~np.isfinite(part)).any(axis=1).argmax())}"
        raise ValueError(f"{name} holds NaN, infinity or values too large for {part.dtype}{row}; remove such rows")
    if within and part.size and (part.min() < 0 or part.max() > 1):
        raise ValueError(f"{name} has values from {_digits(part.min())} to {_digits(part.max())}{where}, but {within}")


def _digits(value):
    """As few digits as leave a number on its side of 0 and of 1."""
    short = f"{value:g}"
    return short if (0 <= float(short) <= 1) == (0 <= value <= 1) else str(value)


def data(name, x, dim, within, near_one):
    """What fit takes: examples with values.  Every row is read, unless x.trusted says that its values are valid.

    near_one : whether the model is known to suit values near 1
    """
    n, largest = examples(name, x, dim), 0.0
    for start in () if getattr(x, "trusted", False) else range(0, n, 1000):
        part = np.asarray(x[np.arange(start, min(start + 1000, n))])
        values(name, part, within, start, f" (within rows {start} to {start + len(part) - 1})")
        largest = max(largest, float(np.abs(part).max()))
    if largest > 30 and near_one and not within:
        warnings.warn(
            f"{name} has values up to {largest:g}: the decoder and a noise of sigma 1 suit values near 1, so "
            f"rescale them (pixels 0..255: {name} / 255; others: subtract the mean, divide by the standard deviation)",
            stacklevel=5,  # the line that calls fit
        )


def finite(arrays):
    """Whether every number in these arrays is finite."""
    # one pass over memory: a sum of squares is finite only if they are; if it is not, squares may have overflowed
    return all(math.isfinite(np.vdot(array, array)) or np.isfinite(array).all() for array in arrays)


def inputs(value):
    """check_pair's inputs: arrays by name."""
    if not isinstance(value, Mapping):
        raise TypeError(f"inputs must be a dict of name -> array, such as {{'x': x}}, as forward takes them; got a {type(value).__name__}")
    return value


def gradients(found, inputs):
    """What check_pair's backward returns: a dict of gradients, one or more, by the names of inputs, which have entries to vary."""
    if not isinstance(found, dict) or not found or not set(found) <= set(inputs):
        got = ", ".join(map(str, found)) or "none" if isinstance(found, dict) else f"a {type(found).__name__}"
        raise TypeError(f"backward must return a dict of gradients, such as {{'x': dx}}, by the names {', '.join(inputs)}; got {got}")
    for name in found:
        if inputs[name].size == 0:
            raise ValueError(f"{name} is empty, {inputs[name].shape}, so its gradient cannot be checked; give it one entry or more")
    return found


def term(name, grads):
    """check_model's term, a mean of Terms over the batch, which needs its own gradients if it is not the loss."""
    choice("term", name, ("loss", "recon_nll", "kl"))
    if name != "loss" and grads is None:
        raise ValueError(f"term is {name!r}: give the gradients of that term as grads; those of loss_and_grads are of the whole loss")


def model(value):
    """An object with loss_and_grads and the rest of a model."""
    if isinstance(value, type) or not hasattr(value, "loss_and_grads"):
        raise TypeError(f"model must be an Autoencoder(...), VAE(...), BetaVAE(...) or the like, got {value!r}")


def prior(model):
    """A model with a prior p(z), and so with an ELBO."""
    if not model.variational:
        raise TypeError(
            f"{type(model).__name__} has no prior p(z): no samples, no ELBO, no log p(x); train a VAE to have them"
        )


def density(likelihood, variational):
    """A likelihood that is a density, if the model is to have an ELBO."""
    if variational and not likelihood.is_density:
        raise ValueError(
            f"likelihood {likelihood.name!r} is not a density, so there is no ELBO to maximise; "
            "Gaussian(sigma=1.0) is the squared error with its constant"
        )


def own_params(likelihood, dtype, *networks):
    """The names of a likelihood's own parameters: arrays of this dtype, none of them named like one of the networks'."""
    found, taken = likelihood.initial_params(dtype), [name for network in networks for pair in network.names for name in pair]
    for name, value in found.items():
        if getattr(value, "dtype", None) != dtype or name in taken:
            raise ValueError(
                f"{type(likelihood).__name__}.initial_params must give arrays of {dtype} under names of their own; "
                f"{name} is {value!r:.60}"
            )
    return dict.fromkeys(found)


def of_dtype(model, params):
    """Parameters by name, arrays of the model's dtype; one of another would change that of all."""
    for name, value in params.items():
        if getattr(value, "dtype", None) != model.dtype:
            got = getattr(value, "dtype", type(value).__name__)
            raise ValueError(f"{type(model).__name__}.initial_params must give arrays of self.dtype, {model.dtype}; {name} is {got}")
    return params


def setting(model, name, value):
    """The value of a hyperparameter that the model has: within its bound, and an int where the constructor says so."""
    if name not in model.hyperparameters:
        known = ", ".join(model.hyperparameters) or "none"
        parents = [base for base in type(model).__mro__ if name in vars(base).get("hyperparameters", {})]
        lost = "".join(f"; to keep those of {base.__name__}, write {{**{base.__name__}.hyperparameters, ...}}" for base in parents[:1])
        raise ValueError(f"{type(model).__name__} has no hyperparameter {name!r}; it has: {known}{lost}")
    least = model.hyperparameters[name]
    if name in wholes(type(model)):
        return whole(name, value, least=-(2**63) if least is None else least)
    return number(name, value, least=least)


def same_names(words, wanted, got):
    """A mapping with just these names."""
    if not hasattr(got, "keys") or got.keys() != wanted.keys():
        shown = ", ".join(map(str, got)) or "nothing" if hasattr(got, "keys") else f"{got!r:.100}"
        raise ValueError(f"{words} {', '.join(wanted) or 'nothing'}; got {shown}")


def optimizers(value, players):
    """An optimizer for each player, by name: the one given for all, or one each in a dict."""
    chosen = value if isinstance(value, dict) else dict.fromkeys(players, value)
    if chosen.keys() != set(players):
        raise ValueError(f"optimizer must be one, or a dict with one for each of {', '.join(players)}; got {', '.join(map(str, chosen))}")
    from ..optimizers import Optimizer

    for one in chosen.values():
        if isinstance(one, type) or not hasattr(one, "step") or not hasattr(one, "initial_state"):
            raise TypeError(f"optimizer must be SGD(...), Adagrad(...), Adam(...) or of a subclass of Optimizer, got {one!r}")
        if getattr(type(one), "initial_state", None) is Optimizer.initial_state:
            if not isinstance(one.slots, Mapping) or not all(isinstance(start, numbers.Real) for start in one.slots.values()):
                way = "a dict of what it remembers of each parameter and the number where that starts, such as {'velocity': 0.0}"
                raise TypeError(f"optimizer's slots must be {way}; {type(one).__name__} has {one.slots!r}")
        for name, used_by, way in (
            ("lr", Optimizer.initial_state, "sets self.lr, a number > 0 or a function of the step"),
            ("update", Optimizer.step, "defines update(self, param, grad, ..., t, lr, kernels), in place on param"),
        ):
            if not hasattr(one, name) and used_by is getattr(type(one), used_by.__name__):
                raise TypeError(f"optimizer has no {name}: {type(one).__name__} is an optimizer if it {way}, as Adam does")
    return {name: chosen[name] for name in players}


def state(name, value):
    """An optimizer's state as checkpoints hold it: numbers, arrays that keep their shape, and dicts of them; returns it."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            state(f"{name}[{key!r}]", each)
    elif not isinstance(value, (int, float, np.ndarray, np.generic)) or np.asarray(value).dtype.kind not in "biuf":
        raise TypeError(f"{name} must be a number, an array of numbers or a dict of them, got {value!r:.80}")
    return value


def training(schedule, callback, callback_at):
    """The functions that fit is given beside the model; returns callback_at as ints, in order."""
    for name, value in {"schedule": schedule, "callback": callback}.items():
        if value is not None and not callable(value):
            raise TypeError(f"{name} must be a function, got {value!r}")
    if not hasattr(callback_at, "__len__") or np.ndim(callback_at) != 1:
        raise TypeError(f"callback_at must be a list of numbers of examples, got {callback_at!r}")
    if (callback is None) != (len(callback_at) == 0):
        raise ValueError("callback and callback_at go together: what to call, and at which numbers of examples")
    return sorted(whole("each number in callback_at", at) for at in callback_at)


def hyperparameters(value):
    """What a schedule returns: a dict of hyperparameters."""
    if not isinstance(value, dict):
        raise TypeError(f"schedule(step) must return a dict of hyperparameters such as {{'beta': 2.0}}, got {value!r}")
    return value


def fitting(model_, x, x_valid, optimizer, batch_size, epochs, binarize, weight_decay, resume):
    """What fit asks of its arguments; returns the optimizers by player, and batch_size and epochs as ints."""
    model(model_)
    first, player = next(iter(model_.players.items()), (None, None))
    if player is not model_:  # whose terms are those of the history
        raise ValueError(f"players must begin with the model, {{'model': self, ...}}; {type(model_).__name__}'s begin with {first!r}")
    for name in getattr(model_, "hyperparameters", ()):  # one may have been assigned
        setting(model_, name, getattr(model_, name))
    n = examples("x", x, model_.data_dim)
    chosen = optimizers(optimizer, model_.players)
    batch_size = whole("batch_size", batch_size)
    if epochs is not None or not resume:
        epochs = whole("epochs", epochs)
    choice("binarize", binarize, BINARIZE)
    flag("weight_decay", weight_decay)
    for name, rows_ in {"x": x, "x_valid": x_valid}.items():
        if rows_ is not None:
            near_one = bundled(type(model_.likelihood))  # a user's may be one of counts
            data(name, rows_, model_.data_dim, unit_interval(model_.likelihood, binarize), near_one)
    batch(model_, batch_size, n)
    return chosen, batch_size, epochs


def batch(model_, batch_size, n):
    """A batch that n examples can fill, with enough rows for the model's loss."""
    if batch_size > n:
        raise ValueError(f"batch_size is {batch_size}, but x has only {n} examples; use at most {n}")
    comparable(model_, batch_size)


def checkpointing(folder, seconds, resume):
    """fit's checkpoint, checkpoint_seconds and resume; returns the folder and the seconds."""
    folder = None if folder is None else path("checkpoint", folder)
    if folder is not None and os.path.exists(folder) and not os.path.isdir(folder):
        raise ValueError(f"checkpoint must be the name of a folder, and {folder} is a file; name another")
    if folder is None and (seconds is not None or resume):
        raise ValueError("checkpoint_seconds and resume need checkpoint=FOLDER, where checkpoints are kept")
    return folder, 60.0 if seconds is None else number("checkpoint_seconds", seconds, least=0)

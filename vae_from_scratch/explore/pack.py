"""What goes into the page: weights to int8 with one scale per output unit, or to float16; images to bytes; labels to text."""

import base64
import copy

import numpy as np

from .. import evaluation
from ..datasets import FactorDataset
from ..engine import require
from ..engine.batches import fetch
from ..engine.streams import stream

PRECISIONS = ("int8", "float16")
MOST_IMAGES, IMAGE_BYTES, WEIGHT_BYTES = 300, 1_000_000, 16_000_000  # the page's budget, before base64 adds a third
LONGEST = 40  # characters of a label
ACTIVATIONS = ("linear", "tanh", "relu", "leaky-relu", "sigmoid", "softplus")  # these and the next are in ops.js
LIKELIHOODS = ("bernoulli", "continuous-bernoulli", "gaussian", "laplace", "squared-error")


def to_int8(W):
    """Whole numbers q (I, O) from -127 to 127 and one scale per output unit (O,), W = q * scale up to scale / 2."""
    scale = np.abs(W).max(axis=0) / 127
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.rint(W / scale).astype(np.int8), scale


def rounded_weights(W, precision):
    """The float32 weights that the page computes with."""
    if precision == "float16":
        return W.astype(np.float16).astype(np.float32)
    q, scale = to_int8(W)
    return q * scale


def text_of(array):
    """An array's bytes, little-endian, in base64."""
    array = np.ascontiguousarray(array)
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def layers_of(model, network):
    """[(W (I, O), b (O,), activation)] of an MLP, that of a decoder with its encoder's weights included."""
    arrays = network.turned(model.params) if hasattr(network, "turned") else model.params
    activations = list(network.activations)
    if network is model.encoder and not model.variational and hasattr(model, "code"):  # a sparse code has an activation
        activations[-1] = model.code
    return [(arrays[W], arrays[b], activation) for (W, b), activation in zip(network.names, activations)]


def forward(ops, layers, x):
    """The layers in turn, as in mlp.py and in the page.  Returns the output (N, O)."""
    for W, b, activation in layers:
        x = ops.dense_act_forward(x, W, b, activation)
    return x


def require_plain(model, x):
    """ValueError unless encoder and decoder are dense layers that the page can compute, which is tried on x (N, D)."""
    kind = type(model).__name__
    if model.likelihood.name not in LIKELIHOODS:
        raise ValueError(f"the page knows the likelihoods {', '.join(LIKELIHOODS)}; this {kind} has {model.likelihood.name!r}")
    try:
        encoder, decoder = (layers_of(model, network) for network in (model.encoder, model.decoder))
    except (AttributeError, KeyError):  # a network of another kind
        encoder = decoder = []
    for _, _, activation in encoder + decoder:
        if activation not in ACTIVATIONS:
            raise ValueError(f"the page knows the activations {', '.join(ACTIVATIONS)}; this {kind} has {activation!r}")
    if not (encoder and decoder and _computes(model, encoder, decoder, x)):
        raise ValueError(
            f"the page computes encoders and decoders that are stacks of dense layers; those of this {kind} are something else"
        )


def _computes(model, encoder, decoder, x):
    # whether these layers are all that encode and decode do
    code = model.encode(x)
    code, mu = (np.concatenate(code, axis=1), code[0]) if model.variational else (code, code)
    try:
        ours = forward(model.ops, encoder, x.astype(model.dtype))
        mean = model.likelihood.mean(model.ops, model.params, forward(model.ops, decoder, mu))
    except ValueError:  # shapes that do not fit
        return False
    near = {"rtol": 1e-3, "atol": 1e-4}
    return ours.shape == code.shape and np.allclose(ours, code, **near) and np.allclose(mean, model.decode(mu), **near)


def rounded(model, precision="int8"):
    """A copy of a model with the weights that the page will have."""
    twin = copy.deepcopy(model)
    for network in (twin.encoder, twin.decoder):
        for W, _ in [] if hasattr(network, "turned") else network.names:  # those of the encoder, turned, are rounded with it
            twin.params[W] = rounded_weights(twin.params[W], precision)
    return twin


def pack_network(layers, precision, tied):
    """The layers of a network as JSON can hold them."""
    packed = []
    for W, b, activation in layers:
        entry = {"shape": list(W.shape), "b": text_of(b.astype(np.float32)), "activation": activation}
        if tied:
            entry["W"] = None  # the encoder's, transposed
        elif precision == "float16":
            entry["W"] = text_of(W.astype(np.float16))
        else:
            q, scale = to_int8(W)
            entry["W"], entry["scale"] = text_of(q), text_of(scale)
        packed.append(entry)
    return packed


def pack_likelihood(model):
    """Its name, the activation of its mean, and log sigma^2 or log b: a number, or None for one per pixel."""
    config = model.likelihood.config
    packed = {"name": config["name"], "mean": config.get("mean", "linear"), "spread": None}
    value = config.get("sigma", config.get("scale"))
    if value == "learned":
        packed["spread"] = float(model.params["x_logvar" if config["name"] == "gaussian" else "log_scale"])
    elif isinstance(value, float):
        packed["spread"] = float(np.log(value)) * (2 if config["name"] == "gaussian" else 1)
    return packed


def pack_model(name, model, x, precision="int8"):
    """A model as JSON can hold it, with its codes of x (N, D), and what rounding its weights changes on x."""
    require.choice("precision", precision, PRECISIONS)
    require_plain(model, x[:5])
    twin, tied = rounded(model, precision), hasattr(model.decoder, "turned")
    code, exact = twin.encode(x), model.encode(x)
    mu, logvar = code if model.variational else (code, None)
    return {
        "name": name,
        "model": model.name,
        "hyperparameters": {key: getattr(model, key) for key in model.hyperparameters},
        "variational": model.variational,
        "latent_dim": model.latent_dim,
        "data_dim": model.data_dim,
        "precision": precision,
        "likelihood": pack_likelihood(model),
        "encoder": pack_network(layers_of(model, model.encoder), precision, tied=False),
        "decoder": pack_network(layers_of(model, model.decoder), precision, tied),
        "mu": text_of(np.clip(mu, -6e4, 6e4).astype(np.float16)),
        "logvar": None if logvar is None else text_of(np.clip(logvar, -60, 60).astype(np.float16)),
        "kl": None if logvar is None else _short(model.ops.gaussian_kl_per_latent(mu, logvar).mean(axis=0)),
        "variance": _short(mu.var(axis=0)),
        "active": int((mu.var(axis=0) > evaluation.ACTIVE_VARIANCE).sum()),
        "error": rounding_error(model, twin, x, exact),
    }


def rounding_error(model, twin, x, code):
    """The most that rounding moves a pixel of E[x|z] at the same z, and what it adds to the cost of an image, in the mean."""
    exact, near = (code[0], twin.encode(x)[0]) if model.variational else (code, twin.encode(x))
    pixels = float(np.abs(twin.decode(exact) - model.decode(exact)).max())
    costs = [each.recon_nll(x.astype(model.dtype), z) for each, z in ((model, exact), (twin, near))]
    if model.variational:
        costs = [cost + model.ops.gaussian_kl_forward(*each.encode(x)) for cost, each in zip(costs, (model, twin))]
    return {"pixel": float(f"{pixels:.3g}"), "nats": float(f"{float((costs[1] - costs[0]).mean()):.3g}")}


def checked_alike(models, precision="int8"):
    """Models by name, if a switch between them can keep z and x, and one page can hold them.  ValueError otherwise."""
    (first_name, first), *others = models.items()
    for name, model in others:
        for what in ("latent_dim", "data_dim", "variational"):
            if getattr(model, what) != getattr(first, what):
                raise ValueError(
                    f"one page holds runs that are alike, so that its switch can keep z: {what} is {getattr(first, what)} in "
                    f"{first_name} and {getattr(model, what)} in {name}; make a page of each"
                )
    count = sum(model.params.vector.size for model in models.values())
    size = count * (1 if precision == "int8" else 2)
    if size > WEIGHT_BYTES:
        way = "train a narrower model" if len(models) == 1 else "make a page of each"
        way = way if precision == "int8" else f"leave --float16 out, or {way}"
        raise ValueError(f"{', '.join(models)}: {count:,} weights, {size / 1e6:.0f} MB; a page holds {WEIGHT_BYTES / 1e6:.0f} MB: {way}")
    return models


def pack_images(data, binarize="none", most=MOST_IMAGES, seed=0):
    """Some images of a data set as JSON can hold them, and as floats (N, D) equal to what the page will see.

    As many as most and the budget allow, drawn at random; bytes, where 0 is the lowest value there is and 255 the highest,
    or bits if there are no others.
    """
    from .. import plots  # Matplotlib, only when it is needed

    shape = tuple(data.image_shape)
    room = max(10, (8 if data.binary or binarize == "threshold" else 1) * IMAGE_BYTES // int(np.prod(shape)))
    count = min(require.whole("images", most), room, len(data))
    rows = np.arange(len(data))
    if count < len(data):
        rows = np.sort(stream("explorer", seed).choice(len(data), count, replace=False))
    x = np.asarray(fetch(data, rows, "threshold" if binarize == "threshold" else "none", None), np.float32)
    low, high = plots.image_range(x)
    levels = np.rint(255 * np.clip((x - low) / (high - low), 0, 1)).astype(np.uint8)
    grey = bool(((levels > 0) & (levels < 255)).any())
    packed = {
        "name": data.name, "shape": list(shape), "low": low, "high": high, "count": count, "of": len(data), "grey": grey,
        "values": text_of(levels if grey else np.packbits(levels > 0)), "colourings": colourings(data, rows),
    }  # fmt: skip
    return packed, (low + levels * np.float32((high - low) / 255)).astype(np.float32)


def ends(model, x, images):
    """Two of these images to begin with: the one that is reconstructed best, and the best of another class."""
    from .. import plots

    first, others = plots.readable(model, x), np.arange(len(x))
    for colouring in images["colourings"][:1]:
        values = np.array(colouring.get("values", others))
        others = np.flatnonzero(values != values[first])
    others = others if len(others) else np.arange(len(x))
    return [first, int(others[plots.readable(model, x[others])])]


def colourings(data, rows):
    """[{name, values, numbers}]: by what the codes of these rows can be coloured, the labels or the known factors."""
    whole, own = (data.values.data, data.values.rows[rows]) if hasattr(data.values, "rows") else (data, rows)
    found = []
    if isinstance(whole, FactorDataset):
        found += zip(whole.factor_names, whole.factors(own).T)
    elif data.labels is not None:
        found.append(("label", np.asarray(data.labels)[rows]))
    return [_colouring(name, values) for name, values in found]


def _colouring(name, values):
    # classes, each with a colour of its own, or if there are many numbers a scale
    numeric = values.dtype.kind in "iufb"
    if numeric and len(np.unique(values)) > 10:
        numbers = [float(f"{value:.5g}") if np.isfinite(value) else None for value in values.astype(float)]
        return {"name": str(name), "numbers": numbers}
    classes, of = np.unique(values if numeric else np.array([str(value) for value in values]), return_inverse=True)
    exact = [str(value) for value in classes.tolist()]
    short = [f"{value:g}" if values.dtype.kind == "f" else str(value) for value in classes]
    short = [word if len(word) <= LONGEST else word[: LONGEST - 1] + "…" for word in short]
    return {"name": str(name), "classes": short if len(set(short)) == len(short) else exact, "values": of.ravel().tolist()}


def _short(values):
    return [float(f"{value:.4g}") for value in values]

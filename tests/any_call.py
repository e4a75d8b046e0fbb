"""Every twin and its plain form, called with arguments of any shape, type and layout: the same values or refusals.

    python tests/any_call.py [examples for each twin]

test_kernels.py runs it in a process of its own, because a kernel that writes out of bounds takes the process with it.
"""

import importlib
import random
import sys
import warnings

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vae_from_scratch import kernels, ops, optimizers

dsprites = importlib.import_module("vae_from_scratch.datasets.dsprites")  # the package's own name for it is a function
_ = None  # one of SETTINGS
TWINS = {  # twin: what it is a twin of, and its arguments; a letter is an axis
    "dense_act_forward": (ops, dict(x="NI", W="IO", b="O", activation=_)),
    "dense_act_backward": (ops, dict(dh="NO", x="NI", W="IO", h="NO", activation=_, out=("IO", "O"))),
    "dense_act_backward_params": (ops, dict(dh="NO", x="NI", h="NO", activation=_, out=("IO", "O"))),
    "bernoulli_nll_forward": (ops, dict(logits="ND", x="ND")),
    "bernoulli_nll_backward": (ops, dict(dnll="N", logits="ND", x="ND")),
    "continuous_bernoulli_nll_forward": (ops, dict(logits="ND", x="ND")),
    "continuous_bernoulli_nll_backward": (ops, dict(dnll="N", logits="ND", x="ND")),
    "reparameterize_forward": (ops, dict(mu="NZ", logvar="NZ", eps="NZ")),
    "reparameterize_backward": (ops, dict(dz="NZ", logvar="NZ", eps="NZ")),
    "gaussian_kl_forward": (ops, dict(mu="NZ", logvar="NZ")),
    "gaussian_kl_backward": (ops, dict(dkl="N", mu="NZ", logvar="NZ")),
    "batch_parts_forward": (ops, dict(mu="NZ", logvar="NZ", z="NZ", n_train=_, stratified=_)),
    "batch_parts_backward": (ops, dict(dparts="N3", mu="NZ", logvar="NZ", z="NZ", n_train=_, stratified=_)),
    "adam_update": (optimizers, dict(param="IO", grad="IO", m="IO", v="IO", t=_, lr=_, beta1=_, beta2=_, adam_eps=_)),
    "adagrad_update": (optimizers, dict(param="IO", grad="IO", g2="IO", lr=_, adagrad_eps=_)),
    "fill_polygons": (dsprites, dict(vertices="NV2", images="NSS")),
}
NUMPYS = [np.float64(0.1), np.float32(0.1), np.full(3, 0.1)]
SETTINGS = {  # usual ones, and others
    "activation": (["linear", "tanh", "relu"], ["sigmoid", "softplus", "none such", None, 3, ["tanh"]]),
    "n_train": ([2, 3, 737280], [1, 0, -5, 2.5, True, np.int64(7), np.full(3, 7), None]),
    "stratified": ([True, False], [1, 0, np.True_, None, "yes"]),
    "t": ([1, 2, 7], [0, 0, -1, 1.5, np.int64(3)]),
    "lr": ([0.1, 1e-3], [1, *NUMPYS]),
    "beta1": ([0.9, 0.5], [1.0, 1, *NUMPYS, 0.5 + 0.5j, None]),
    "beta2": ([0.999, 0.0], [1.0, 0, *NUMPYS, "0.9"]),
}
SETTINGS["adam_eps"] = SETTINGS["adagrad_eps"] = ([1e-8, 0.1], [0.0, 1, *NUMPYS, None])
WRITTEN = ("dW", "db", "param", "m", "v", "g2", "images")
SIZES = [(n,) for n in (2, 3, 5, 9, 17) * 3 + (1, 0)] + [(), (2, 3)]  # of a letter: one axis, rarely none or two
CHANGES = ["nothing", "axis", "more axes", "fewer axes", "ones", "type", "layout", "not an array", "values"]
DTYPES = ["float32", "float64", "float16", ">f4", "int64", "int32", "longdouble", "bool"]
INSTEAD = ["list", "number", "scalar", "matrix", "masked", "none", "text"]


def arguments(spec, rng):
    """What to build the arguments of: all right, one with an axis that is not, or one or two changed in another way.

    rng: of the standard library.  Drawn by Hypothesis choice by choice, half of a hundred calls were the same ones.
    """
    sizes = {letter: rng.choice(SIZES) for letter in "NIODZVS"} | {"2": (2,), "3": (3,)}
    arrays = {name: axes for name, axes in spec.items() if name not in SETTINGS and name != "out"}
    arrays |= dict(zip(("dW", "db"), spec.get("out", ())))
    layout, whole = rng.choice(["C", "C", "C", "spread"]), rng.choice(["float32", "float32", "float32", "float64"])
    found = {
        name: dict(
            shape=[n for axis in axes for n in sizes[axis]],
            dtype="int64" if name == "vertices" else whole,
            layout="none" if name in ("dW", "db") and rng.random() < 0.5 else layout,
        )
        for name, axes in arrays.items()
    }
    found |= {name: rng.choice(SETTINGS[name][0]) for name in spec if name in SETTINGS}
    settings, written = [name for name in spec if name in SETTINGS], [name for name in arrays if name in WRITTEN]
    kinds = ["right", "axis", "any", "any"] + ["setting"] * min(len(settings), 2) + ["written"] * bool(written)
    kind = rng.choice(kinds)
    if kind == "setting":
        name = rng.choice(settings)
        found[name] = rng.choice(SETTINGS[name][1])
    elif kind == "written":
        one = found[rng.choice(written)]
        one["layout"] = rng.choice(["C", "F", "spread", "read-only", "read-only"])
        change(one, rng.choice(["nothing", "axis", "type"]), rng)
    elif kind != "right":
        for name in rng.sample(list(arrays), k=1 if kind == "axis" else min(2, len(arrays))):
            found[name]["layout"] = layout
            change(found[name], rng.choice(CHANGES) if kind == "any" else "axis", rng)
    return found


def change(one, kind, rng):
    shape = one["shape"]
    if kind == "axis" and shape:
        shape[rng.randrange(len(shape))] = rng.choice([2, 3, 4, 40, 0, 1])
    elif kind == "more axes":
        shape.insert(rng.randrange(len(shape) + 1), rng.choice([1, 2, 4]))
    elif kind == "fewer axes" and shape:
        del shape[rng.randrange(len(shape)) :]
    elif kind == "ones":
        shape[:] = [1] * len(shape)
    elif kind == "type":
        one["dtype"] = rng.choice(DTYPES)
    elif kind == "layout":
        one["layout"] = rng.choice(["F", "spread"])
    elif kind == "not an array":
        one["layout"] = rng.choice(INSTEAD)
    elif kind == "values":
        one["values"] = "unusual"


def build(one, name, seed):
    """The argument that one describes; the same seed, the same values."""
    if not isinstance(one, dict):
        return one.copy() if isinstance(one, np.ndarray) else one
    rng, shape, dtype, layout = np.random.default_rng(seed), one["shape"], np.dtype(one["dtype"]), one["layout"]
    if name == "vertices":
        values = rng.integers(-1000, 4000, shape) * (1 << 40 if "values" in one else 1)
    elif name == "images":
        values = rng.integers(2, size=shape) if "values" in one else np.zeros(shape)
    else:
        values = np.abs(rng.normal(size=shape)) if name in ("v", "g2", "x") else rng.normal(size=shape)
    array = np.asarray(values).astype(dtype)
    if layout == "spread" and shape:
        wide = np.zeros([2 * n for n in shape], dtype)[tuple(slice(None, None, 2) for _ in shape)]
        wide[...] = array
        return wide
    array.flags.writeable = layout != "read-only"
    instead = {
        "F": np.asfortranarray,
        "list": np.ndarray.tolist,
        "number": lambda a: 0.5,
        "scalar": lambda a: dtype.type(0.5),
        "matrix": lambda a: a.view(np.matrix) if a.ndim == 2 else a,
        "masked": lambda a: np.ma.masked_array(a, mask=a > 0.5),
        "none": lambda a: None,
        "text": lambda a: "an array",
    }
    return instead.get(layout, lambda a: a)(array)


def outcome(function, described, seed):
    """What a call returns and leaves in its arguments, or the type of its refusal."""
    built = {name: build(one, name, seed + k) for k, (name, one) in enumerate(described.items())}
    keywords = {name: value for name, value in built.items() if name not in ("dW", "db")}
    if "db" in built:
        keywords["out"] = (built["dW"], built["db"])
    try:
        with np.errstate(all="ignore"):
            returned = function(**keywords)
    except Exception as error:
        return type(error)
    returned = returned if isinstance(returned, tuple) else (returned,)
    return [*returned, *built.values()]


def same(found, expected):
    if isinstance(expected, type) or isinstance(found, type):
        return found is expected
    for a, b in zip(found, expected, strict=True):
        if type(a) is not type(b):
            return False
        if isinstance(a, (np.ndarray, np.generic)):
            if a.dtype != b.dtype or a.shape != b.shape:
                return False
            with np.errstate(all="ignore"):
                a, b = (np.array(np.ma.getdata(each), complex) for each in (a, b))
                scale = np.abs(b[np.isfinite(b)]).max(initial=0)
                if not np.allclose(a, b, rtol=1e-5, atol=1e-5 * scale, equal_nan=True):
                    return False
        elif a != b:
            return False
    return True


def check(name, examples):
    module, spec = TWINS[name]

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def twin_and_plain_form_agree(seed):
        described = arguments(spec, random.Random(seed))
        expected = outcome(getattr(module, name), described, seed)
        found = outcome(getattr(kernels, name), described, seed)
        assert same(found, expected), f"{name} of {described}: the kernel gives {found}, the plain form {expected}"

    twin_and_plain_form_agree()


def main(examples=100):
    warnings.simplefilter("ignore")
    for name in TWINS:
        print(name, flush=True)  # after a crash, the last line says where
        check(name, int(examples))
    print("all agree")


if __name__ == "__main__":
    main(*sys.argv[1:])

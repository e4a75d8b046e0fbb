"""Every twin and its plain form, called with arguments of any shape, type and layout: the same values or refusals.

    python tests/any_call.py [examples for each twin]

test_kernels.py runs it in a process of its own, because a kernel that writes out of bounds takes the process with it.
"""

import importlib
import sys
import warnings

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vae_from_scratch import kernels, ops, optimizers

dsprites = importlib.import_module("vae_from_scratch.datasets.dsprites")  # the package's own name for it is a function
TWINS = {  # twin: what it is a twin of, and its arguments; a letter is an axis
    "dense_act_forward": (ops, dict(x="NI", W="IO", b="O", activation=None)),
    "dense_act_backward": (ops, dict(dh="NO", x="NI", W="IO", h="NO", activation=None, out=("IO", "O"))),
    "dense_act_backward_params": (ops, dict(dh="NO", x="NI", h="NO", activation=None, out=("IO", "O"))),
    "bernoulli_nll_forward": (ops, dict(logits="ND", x="ND")),
    "bernoulli_nll_backward": (ops, dict(dnll="N", logits="ND", x="ND")),
    "reparameterize_forward": (ops, dict(mu="NZ", logvar="NZ", eps="NZ")),
    "reparameterize_backward": (ops, dict(dz="NZ", logvar="NZ", eps="NZ")),
    "gaussian_kl_forward": (ops, dict(mu="NZ", logvar="NZ")),
    "gaussian_kl_backward": (ops, dict(dkl="N", mu="NZ", logvar="NZ")),
    "adam_update": (optimizers, dict(param="IO", grad="IO", m="IO", v="IO", t=0, lr=0, beta1=0, beta2=0, adam_eps=0)),
    "adagrad_update": (optimizers, dict(param="IO", grad="IO", g2="IO", lr=0, adagrad_eps=0)),
    "fill_polygons": (dsprites, dict(vertices="NV2", images="NSS")),
}
ACTIVATIONS = [*ops.ACTIVATIONS, "linear", "tanh", "relu", "none such", None, 3, ["tanh"]]
NUMPYS = [np.float64(0.1), np.float32(0.1), np.full(3, 0.1)]
SETTINGS = {"t": [1, 2, 7, 0, 1.5, np.int64(3)], "lr": [0.1, 1e-3, 1, *NUMPYS]}
BETWEEN_0_AND_1 = [0.9, 0.999, 0.9, 0.999, 0.0, 1.0, 0, 1, *NUMPYS, 0.5 + 0.5j, "0.9", None]
SIZES = [(n,) for n in (0, 1, 2, 3, 5, 9, 17)] + [(), (2, 3)]  # of a letter, which may stand for no axis or for two
CHANGES = ["axis", "axis", "more axes", "fewer axes", "ones", "type", "layout", "not an array"]
DTYPES = ["float64", "float16", ">f4", "int64", "int32", "longdouble", "bool"]
INSTEAD = ["list", "number", "scalar", "matrix", "masked", "none", "text"]


@st.composite
def arguments(draw, spec):
    """What to build the arguments of: most of them right, up to two of them changed in one way."""
    sizes = {letter: draw(st.sampled_from(SIZES)) for letter in "NIODZVS"} | {"2": (2,)}
    layout, shapes = draw(st.sampled_from(["C", "C", "C", "spread"])), []
    for name, axes in spec.items():
        shapes += [(name, axes)] if name != "out" else [("dW", axes[0]), ("db", axes[1])][-len(axes) :]
    changed = draw(st.sets(st.sampled_from([name for name, axes in shapes if isinstance(axes, str)]), max_size=2))
    found = {}
    for name, axes in shapes:
        if name == "activation":
            found[name] = draw(st.sampled_from(ACTIVATIONS))
        elif not isinstance(axes, str):
            found[name] = draw(st.sampled_from(SETTINGS.get(name, BETWEEN_0_AND_1)))
        elif name in ("dW", "db") and draw(st.booleans()):
            found[name] = None
        else:
            right = "int64" if name == "vertices" else "float32"
            found[name] = one = dict(shape=[n for a in axes for n in sizes[a]], dtype=right, layout=layout)
            if name in changed:
                change(draw, name, one)
    return found


def change(draw, name, one):
    kind, shape = draw(st.sampled_from(CHANGES)), one["shape"]
    if kind == "axis" and shape:
        shape[draw(st.integers(0, len(shape) - 1))] = draw(st.sampled_from([0, 1, 2, 4, 300]))
    elif kind == "more axes":
        shape.insert(draw(st.integers(0, len(shape))), draw(st.sampled_from([1, 2, 4])))
    elif kind == "fewer axes" and shape:
        del shape[draw(st.integers(0, len(shape) - 1)) :]
    elif kind == "ones":
        shape[:] = [1] * len(shape)
    elif kind == "type":
        one["dtype"] = draw(st.sampled_from(DTYPES))
    elif kind != "not an array":
        written = name in ("dW", "db", "param", "m", "images")  # a read-only input would only be compiled for once more
        one["layout"] = draw(st.sampled_from(["F", "spread"] + ["read-only"] * written))
    else:
        one["layout"] = draw(st.sampled_from(INSTEAD))


def build(one, name, seed):
    """The argument that one describes; the same seed, the same values."""
    if not isinstance(one, dict):
        return one.copy() if isinstance(one, np.ndarray) else one
    rng, shape, dtype, layout = np.random.default_rng(seed), one["shape"], np.dtype(one["dtype"]), one["layout"]
    if name == "vertices":
        values = rng.integers(-1000, 4000, shape) * (1 if rng.random() < 0.8 else 1 << 40)
    elif name == "images":
        values = np.zeros(shape) if rng.random() < 0.8 else rng.integers(2, size=shape)
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
    @given(arguments(spec), st.integers(0, 1000))
    def twin_and_plain_form_agree(described, seed):
        expected = outcome(getattr(module, name), described, seed)
        found = outcome(getattr(kernels, name), described, seed)
        assert same(found, expected), f"{name}: the kernel gives {found}, the plain form {expected}"

    twin_and_plain_form_agree()


def main(examples=100):
    warnings.simplefilter("ignore")
    for name in TWINS:
        print(name, flush=True)  # after a crash, the last line says where
        check(name, int(examples))
    print("all agree")


if __name__ == "__main__":
    main(*sys.argv[1:])

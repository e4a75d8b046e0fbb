"""A stack of dense layers, forward and backward; how weights start; parameters as one vector with named views."""

import numpy as np

from .engine import require

INITS = ("glorot", "normal", "uniform")


class NamedVector(dict):
    """Arrays by name, each a view of one vector theta, so that an optimizer updates all of them in one call.

    Whatever is assigned is copied into its view: the names, the shapes and the vector stay.
    """

    def __init__(self, arrays, vector=None):
        self.vector = np.concatenate([np.ravel(array) for array in arrays.values()]) if vector is None else vector
        self.names, start = tuple(arrays), 0
        for name, array in arrays.items():
            super().__setitem__(name, self.vector[start : start + array.size].reshape(array.shape))
            start += array.size

    def zeros_like(self):
        """The same names and shapes on a vector of zeros."""
        return NamedVector(self, np.zeros_like(self.vector))

    def copy(self):
        return NamedVector(self)

    def __setattr__(self, name, value):
        if name == "vector" and name in vars(self):  # params.vector = ... fills the vector; nothing takes its place
            self.vector[...] = value
        else:
            super().__setattr__(name, value)

    def __setitem__(self, name, value):
        self.update({name: value})

    def update(self, *arrays, **more):
        given = require.of_shapes(self, dict(*arrays, **more))
        copies = {name: np.array(value, self[name].dtype) for name, value in given.items()}  # one may be a view of another
        for name, value in copies.items():
            self[name][...] = value

    def __ior__(self, arrays):  # type: ignore[misc]
        return self.update(arrays) or self

    def refuse(self, *_):
        raise TypeError("parameters cannot be added or removed: names and shapes stay as they are; assign new values instead")

    __delitem__ = setdefault = pop = popitem = clear = refuse  # what would change the set of names

    def __reduce__(self):
        return NamedVector, (dict(self),)  # a copy is one vector again


def glorot_uniform(rng, fan_in, fan_out, dtype):
    """W ~ U(-r, r) with r = sqrt(6 / (I + O)), Eq. (GLOROT.1) (Glorot and Bengio 2010, Eq. 16).  (I, O)."""
    r = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-r, r, size=(fan_in, fan_out)).astype(dtype)


class MLP:
    """x = h_0 -> h_1 -> ... -> h_L: hidden layers with one activation, then a linear layer.

    Layer l holds h_l = act(h_{l-1} W_l + b_l); its parameters are called {name}_W{l} and {name}_b{l}.
    """

    def __init__(self, name, widths, activation):
        self.widths = widths  # (dim of x, hidden ..., dim of the output)
        self.activations = [activation] * (len(widths) - 2) + ["linear"]
        self.names = [(f"{name}_W{l}", f"{name}_b{l}") for l in range(1, len(widths))]

    def initial_params(self, rng, init, dtype):
        """Weights and biases by name, as init says.

        "glorot": glorot_uniform, zero biases; "normal": all ~ N(0, 0.01^2); "uniform": all ~ U(-1, 1) / sqrt(I), Eq. (UNIFORM.1).
        """
        params = {}
        for (W, b), fan_in, fan_out in zip(self.names, self.widths, self.widths[1:]):
            if init == "glorot":
                params[W], params[b] = glorot_uniform(rng, fan_in, fan_out, dtype), np.zeros(fan_out, dtype)
            for name, shape in (W, (fan_in, fan_out)), (b, (fan_out,)):
                if init == "normal":
                    params[name] = (0.01 * rng.standard_normal(shape)).astype(dtype)
                elif init == "uniform":
                    r = fan_in**-0.5
                    params[name] = (r * rng.uniform(-1, 1, shape)).astype(dtype)
        return params

    def forward(self, ops, params, x):
        """Eq. (MLP.1).  Returns [h_0, ..., h_L]; the output is the last."""
        h = [x]
        for (W, b), activation in zip(self.names, self.activations):
            h.append(ops.dense_act_forward(h[-1], params[W], params[b], activation))
        return h

    def backward(self, ops, params, dy, h, grads, need_dx=True):
        """Eq. (MLP.2): the layers in reverse.  h: forward's list.  Fills the layers' arrays in grads; returns dx (None unless needed)."""
        dh = dy
        for l in reversed(range(1, len(h))):
            (W, b), activation = self.names[l - 1], self.activations[l - 1]
            if l == 1 and not need_dx:  # the first layer: nobody asks for the gradient in x
                ops.dense_act_backward_params(dh, h[0], h[1], activation, out=(grads[W], grads[b]))
                return None
            dh, _, _ = ops.dense_act_backward(dh, h[l - 1], params[W], h[l], activation, out=(grads[W], grads[b]))
        return dh

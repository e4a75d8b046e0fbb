"""p(x|z): how many numbers the decoder puts out, the negative log likelihood of x under them, and the mean of x.

To add one: a pair in ops.py, its equation in derivations/, its row in gradient_table.PAIRS, a Likelihood here with
the four methods of Bernoulli, and its name in NAMES and in gradient_table.LIKELIHOODS.
"""

import numpy as np

from .engine import require


class Likelihood:
    """What may be said of a likelihood beside its four methods."""

    unit_interval = False  # whether data must lie in [0, 1]
    is_density = True  # whether it is normalised over x, so that an ELBO can be built on it
    config = {}  # its name in NAMES, and the arguments of its constructor

    def silent_variance(self, mean, variance):
        """Var[x|z] (D,) of the best decoder that ignores z, from the data's mean and variance (D,); None: unknown."""
        return None


class Bernoulli(Likelihood):
    """Binary pixels, x ~ Bernoulli(sigmoid(logits)): one logit per pixel."""

    unit_interval = True
    config = {"name": "bernoulli"}

    def init(self, data_dim, dtype):
        """Returns the number of decoder outputs and the likelihood's own parameters."""
        return data_dim, {}

    def forward(self, ops, params, out, x):
        """out (N, outputs), x (N, D).  Returns recon_nll (N,) in nats."""
        return ops.bernoulli_nll_forward(out, x)

    def backward(self, ops, params, dnll, out, x, grads):
        """Returns dout; fills the likelihood's own arrays in grads."""
        return ops.bernoulli_nll_backward(dnll, out, x)

    def mean(self, ops, params, out):
        """E[x|z] (N, D)."""
        return ops.sigmoid_forward(out)

    def silent_variance(self, mean, variance):
        """Eq. (COL.2): p (1 - p)."""
        return mean * (1 - mean)


class Gaussian(Likelihood):
    """Real-valued pixels, x ~ N(x_mean, exp(x_logvar)).

    sigma: a number (fixed), "learned" (one for all pixels) or "per-pixel" (a second decoder output).
    mean: "linear", or "sigmoid" to keep x_mean within (0, 1) (Kingma and Welling's Frey faces: per-pixel, sigmoid).
    A per-pixel variance on pixels that never change has no best value, the density grows without bound: note 6.
    """

    def __init__(self, sigma=1.0, mean="linear"):
        self.sigma = (
            require.choice("sigma", sigma, ("learned", "per-pixel"))
            if isinstance(sigma, str)
            else require.number("sigma", sigma, above=0)
        )
        self.mean_activation = require.choice("mean", mean, ("linear", "sigmoid"))

    @property
    def advice(self):
        """What to say when training diverges in this term."""
        if isinstance(self.sigma, str):
            return (
                f" or, as sigma is {self.sigma}: is a pixel the same in all images? its density has no bound"
                " (derivations/06-likelihoods.md); leave such pixels out, add noise of one grey level, or fix sigma"
            )
        return " or a larger sigma, or rescale the data"

    @property
    def config(self):
        return {"name": "gaussian", "sigma": self.sigma, "mean": self.mean_activation}

    def init(self, data_dim, dtype):
        if self.sigma == "per-pixel":
            return 2 * data_dim, {}
        return data_dim, {"x_logvar": np.zeros((), dtype)} if self.sigma == "learned" else {}

    def heads(self, ops, params, out):
        """The two heads of the decoder: x_mean (N, D), and x_logvar (N, D) or a scalar."""
        if self.sigma == "per-pixel":
            a, x_logvar = np.split(out, 2, axis=1)
        elif self.sigma == "learned":
            a, x_logvar = out, params["x_logvar"]
        else:
            a, x_logvar = out, out.dtype.type(2 * np.log(self.sigma))
        return ops.sigmoid_forward(a) if self.mean_activation == "sigmoid" else a, x_logvar

    def forward(self, ops, params, out, x):
        x_mean, x_logvar = self.heads(ops, params, out)
        return ops.gaussian_nll_forward(x_mean, x_logvar, x)

    def backward(self, ops, params, dnll, out, x, grads):
        x_mean, x_logvar = self.heads(ops, params, out)
        dx_mean, dx_logvar = ops.gaussian_nll_backward(dnll, x_mean, x_logvar, x)
        da = ops.sigmoid_backward(dx_mean, x_mean) if self.mean_activation == "sigmoid" else dx_mean
        if self.sigma == "learned":
            grads["x_logvar"] = dx_logvar
        return np.concatenate([da, dx_logvar], axis=1) if self.sigma == "per-pixel" else da

    def mean(self, ops, params, out):
        return self.heads(ops, params, out)[0]

    def silent_variance(self, mean, variance):
        """Eq. (COL.2): sigma^2, the mean variance, or each pixel's."""
        if self.sigma == "per-pixel":
            return variance
        return np.full_like(variance, variance.mean() if self.sigma == "learned" else self.sigma**2)


class SquaredError(Likelihood):
    """Half the squared distance: the plain autoencoder's loss.  Not a density (no constant), so no VAE takes it."""

    is_density = False
    config = {"name": "squared-error"}

    def init(self, data_dim, dtype):
        return data_dim, {}

    def forward(self, ops, params, out, x):
        return ops.squared_error_forward(out, x)

    def backward(self, ops, params, dnll, out, x, grads):
        return ops.squared_error_backward(dnll, out, x)

    def mean(self, ops, params, out):
        return out


NAMES = {"bernoulli": Bernoulli, "gaussian": Gaussian, "squared-error": SquaredError}


def from_config(spec):
    """A likelihood from itself, its name, or its config ({"name": "gaussian", "sigma": 1.0, ...})."""
    if isinstance(spec, str):
        spec = {"name": spec}
    if isinstance(spec, dict):
        options = dict(spec)
        return NAMES[require.choice("likelihood", options.pop("name", None), NAMES)](**options)
    if not isinstance(spec, Likelihood):
        raise TypeError(
            f"likelihood must be one of {', '.join(NAMES)} or an object such as Gaussian(sigma=1.0); got {spec!r}"
        )
    return spec

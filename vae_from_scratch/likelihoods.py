"""p(x|z): how many numbers the decoder outputs, the negative log likelihood of x under them, and the mean of x.

To add one: a pair (in ops.py, or in a file of your own) and a Likelihood with the methods of Bernoulli.
"""

import numpy as np

from .engine import require
from .engine.registry import kept, register

LIKELIHOODS = {}  # name: class; filled in when a class is defined


class Likelihood:
    """Defaults that likelihoods share; each has a forward, a backward and a mean besides."""

    unit_interval = False  # whether data must lie in [0, 1]
    is_density = True  # whether it is normalised over x, so that an ELBO can be built on it
    advice = ""  # what to try when training diverges in this term, after "try a smaller learning rate"

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if missing := [name for name in ("forward", "backward", "mean") if not hasattr(cls, name)]:
            raise TypeError(f"{cls.__name__} needs a method {missing[0]}; Bernoulli, in likelihoods.py, has one to go by")
        register(LIKELIHOODS, cls)

    @property
    def config(self):
        """The name, and the constructor's arguments, which are attributes of the same names."""
        return {"name": self.name, **kept(self, mean="mean_activation")}

    def outputs(self, data_dim):
        """How many numbers the decoder outputs for D pixels."""
        return data_dim

    def initial_params(self, dtype):
        """The likelihood's own parameters."""
        return {}


class Bernoulli(Likelihood):
    """Binary pixels, x ~ Bernoulli(sigmoid(logits)): one logit per pixel.  Eqs. BERN.1, BERN.2."""

    name = "bernoulli"
    unit_interval = True

    def forward(self, ops, params, out, x):
        """out (N, outputs), x (N, D).  Returns recon_nll (N,) in nats."""
        return ops.bernoulli_nll_forward(out, x)

    def backward(self, ops, params, dnll, out, x):
        """dnll (N,).  Returns dout (N, outputs), and the gradients of the likelihood's own parameters by name."""
        return ops.bernoulli_nll_backward(dnll, out, x), {}

    def mean(self, ops, params, out):
        """E[x|z] (N, D)."""
        return ops.sigmoid_forward(out)


class Gaussian(Likelihood):
    """Real-valued pixels, x ~ N(x_mean, exp(x_logvar)).

    sigma: a number (fixed), "learned" (one for all pixels) or "per-pixel" (a second decoder output).
    mean: "linear", or "sigmoid" to keep x_mean within (0, 1) (Kingma and Welling's Frey faces: per-pixel, sigmoid).
    A learned variance may have no optimum: the density can grow without bound (note 6).  Eqs. GAUSS.1 to GAUSS.3.
    """

    name = "gaussian"
    advice = (
        ", a larger sigma or other units for the data; if sigma is learned: do the data hold noise in every pixel? without it"
        " the density has no bound (derivations/06-likelihoods.md), so add noise of one grey level, or fix sigma"
    )

    def __init__(self, sigma: float | str = 1.0, mean: str = "linear"):
        self.sigma = require.number_or("sigma", sigma, ("learned", "per-pixel"), above=0)
        self.mean_activation = require.choice("mean", mean, ("linear", "sigmoid"))

    def outputs(self, data_dim):
        return 2 * data_dim if self.sigma == "per-pixel" else data_dim

    def initial_params(self, dtype):
        return {"x_logvar": np.zeros((), dtype)} if self.sigma == "learned" else {}

    def mean_and_logvar(self, ops, params, out):
        """x_mean (N, D), and x_logvar (N, D) or a scalar."""
        if self.sigma == "per-pixel":
            a, x_logvar = np.split(out, 2, axis=1)
        elif self.sigma == "learned":
            a, x_logvar = out, params["x_logvar"]
        else:
            a, x_logvar = out, out.dtype.type(2 * np.log(self.sigma))
        return ops.sigmoid_forward(a) if self.mean_activation == "sigmoid" else a, x_logvar

    def forward(self, ops, params, out, x):
        x_mean, x_logvar = self.mean_and_logvar(ops, params, out)
        return ops.gaussian_nll_forward(x_mean, x_logvar, x)

    def backward(self, ops, params, dnll, out, x):
        x_mean, x_logvar = self.mean_and_logvar(ops, params, out)
        dx_mean, dx_logvar = ops.gaussian_nll_backward(dnll, x_mean, x_logvar, x)
        da = ops.sigmoid_backward(dx_mean, x_mean) if self.mean_activation == "sigmoid" else dx_mean
        dout = np.concatenate([da, dx_logvar], axis=1) if self.sigma == "per-pixel" else da
        return dout, {"x_logvar": dx_logvar} if self.sigma == "learned" else {}

    def mean(self, ops, params, out):
        return self.mean_and_logvar(ops, params, out)[0]


class SquaredError(Likelihood):
    """Half the squared distance: the plain autoencoder's loss.  Not a density (no constant), so no VAE takes it.  Eqs. SE.1, SE.2."""

    name = "squared-error"
    is_density = False

    def forward(self, ops, params, out, x):
        return ops.squared_error_forward(out, x)

    def backward(self, ops, params, dnll, out, x):
        return ops.squared_error_backward(dnll, out, x), {}

    def mean(self, ops, params, out):
        return out


def from_config(spec):
    """A likelihood from itself, its name, or its config ({"name": "gaussian", "sigma": 1.0, ...})."""
    if isinstance(spec, Likelihood):
        return spec
    name, options = require.named("likelihood", spec, LIKELIHOODS)
    return LIKELIHOODS[name](**options)


# ==== the family, for a second reading: derivations/06 =====================================================


class Laplace(Likelihood):
    """Real-valued pixels with heavier tails than a Gaussian's, x ~ Laplace(x_mean, b): |x - x_mean| / b in place of a square.

    scale: b, a number (fixed), "learned" (one for all pixels) or "per-pixel" (a second decoder output, log b).
    mean: "linear", or "sigmoid" to keep x_mean within (0, 1).
    A learned scale may have no optimum, like Gaussian's sigma.  Eqs. LAPLACE.1 to LAPLACE.4.
    """

    name = "laplace"
    advice = Gaussian.advice.replace("sigma", "scale")

    def __init__(self, scale: float | str = 1.0, mean: str = "linear"):
        self.scale = require.number_or("scale", scale, ("learned", "per-pixel"), above=0)
        self.mean_activation = require.choice("mean", mean, ("linear", "sigmoid"))

    def outputs(self, data_dim):
        return 2 * data_dim if self.scale == "per-pixel" else data_dim

    def initial_params(self, dtype):
        return {"log_scale": np.zeros((), dtype)} if self.scale == "learned" else {}

    def mean_and_log_scale(self, ops, params, out):
        """x_mean (N, D), and log_scale (N, D) or a scalar."""
        if self.scale == "per-pixel":
            a, log_scale = np.split(out, 2, axis=1)
        elif self.scale == "learned":
            a, log_scale = out, params["log_scale"]
        else:
            a, log_scale = out, out.dtype.type(np.log(self.scale))
        return ops.sigmoid_forward(a) if self.mean_activation == "sigmoid" else a, log_scale

    def forward(self, ops, params, out, x):
        x_mean, log_scale = self.mean_and_log_scale(ops, params, out)
        return ops.laplace_nll_forward(x_mean, log_scale, x)

    def backward(self, ops, params, dnll, out, x):
        x_mean, log_scale = self.mean_and_log_scale(ops, params, out)
        dx_mean, dlog_scale = ops.laplace_nll_backward(dnll, x_mean, log_scale, x)
        da = ops.sigmoid_backward(dx_mean, x_mean) if self.mean_activation == "sigmoid" else dx_mean
        dout = np.concatenate([da, dlog_scale], axis=1) if self.scale == "per-pixel" else da
        return dout, {"log_scale": dlog_scale} if self.scale == "learned" else {}

    def mean(self, ops, params, out):
        return self.mean_and_log_scale(ops, params, out)[0]

    def draw(self, ops, params, out, u):
        """x ~ p(x|z) from u (N, D), uniform on [0, 1)."""
        return ops.laplace_draw(*self.mean_and_log_scale(ops, params, out), u)


class ContinuousBernoulli(Likelihood):
    """Grey pixels in [0, 1], density C(logit) p^x (1 - p)^(1 - x) with p = sigmoid(logit) (Loaiza-Ganem and Cunningham 2019).

    The Bernoulli loss with the constant that makes it a density, one logit per pixel.  The mean is not p: Eqs. CB.2 to CB.5, CB.7.
    """

    name = "continuous-bernoulli"
    unit_interval = True

    def forward(self, ops, params, out, x):
        return ops.continuous_bernoulli_nll_forward(out, x)

    def backward(self, ops, params, dnll, out, x):
        return ops.continuous_bernoulli_nll_backward(dnll, out, x), {}

    def mean(self, ops, params, out):
        return ops.continuous_bernoulli_mean(out)

    def draw(self, ops, params, out, u):
        """x ~ p(x|z) from u (N, D), uniform on [0, 1)."""
        return ops.continuous_bernoulli_draw(out, u)

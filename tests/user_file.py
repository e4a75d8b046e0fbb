"""What a user may write in a file of their own: tests/test_user_file.py trains, checks, saves and resumes all of it.

A likelihood (Cauchy), an activation (ELU), a layer (layer normalisation), three objectives: a penalty on the total
correlation of a batch, two draws of z for each example, and a second network that plays along; and a score.
"""

import math
from typing import NamedTuple

import numpy as np

from vae_from_scratch import VAE, ops
from vae_from_scratch.base import PenaltyGrads, Saved, Terms
from vae_from_scratch.beta_vae import PenaltyVAE
from vae_from_scratch.disentanglement import Score
from vae_from_scratch.likelihoods import Likelihood
from vae_from_scratch.mlp import MLP, NamedVector

# ---- a likelihood ------------------------------------------------------------------------------------


def cauchy_nll_forward(location, log_scale, x):
    """-log p(x) of the Cauchy distribution, summed over D: location, x (N, D), log_scale a scalar.  Returns (N,)."""
    scale = np.exp(log_scale)
    return (math.log(math.pi) + log_scale + np.log1p(((x - location) / scale) ** 2)).sum(axis=1)


def cauchy_nll_backward(dnll, location, log_scale, x):
    """Returns dlocation, dlog_scale."""
    u = (x - location) * np.exp(-log_scale)
    dlocation = dnll[:, None] * (-2 * u / (1 + u * u)) * np.exp(-log_scale)
    dlog_scale = (dnll[:, None] * (1 - 2 * u * u / (1 + u * u))).sum()
    return dlocation, dlog_scale


class Cauchy(Likelihood):
    """Real-valued pixels with heavy tails, one learned scale for all."""

    name = "cauchy"

    def initial_params(self, dtype):
        return {"log_scale": np.zeros((), dtype)}

    def forward(self, ops, params, out, x):
        return cauchy_nll_forward(out, params["log_scale"], x)

    def backward(self, ops, params, dnll, out, x):
        dout, dlog_scale = cauchy_nll_backward(dnll, out, params["log_scale"], x)
        return dout, {"log_scale": dlog_scale}

    def mean(self, ops, params, out):
        return out  # the location: a Cauchy has no mean


# ---- an activation: forward from a, backward from the output h -----------------------------------------


def elu_forward(a):
    return np.where(a > 0, a, np.expm1(np.minimum(a, 0)))


def elu_backward(dh, h):
    return dh * np.where(h > 0, 1, h + 1)


ops.ACTIVATIONS["elu"] = (elu_forward, elu_backward)


# ---- a layer with parameters of its own, and a network and a model that use it ---------------------------


def layer_norm_forward(h, gain):
    """y = gain * u, u = (h - mean) / std over the units of each row.  h (N, H), gain (H,); returns y (N, H)."""
    return gain * normalised(h)[0]


def layer_norm_backward(dy, h, gain):
    """Returns dh, dgain."""
    u, std = normalised(h)
    du = dy * gain
    dh = (du - du.mean(axis=1, keepdims=True) - u * (du * u).mean(axis=1, keepdims=True)) / std
    return dh, (dy * u).sum(axis=0)


def normalised(h):
    """u, and the std it was divided by, (N, 1)."""
    centred = h - h.mean(axis=1, keepdims=True)
    std = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + h.dtype.type(1e-3))
    return centred / std, std


class NormMLP(MLP):
    """An MLP whose hidden layers are normalised after their activation: saved is [x, h_1, y_1, h_2, y_2, ..., output]."""

    def __init__(self, name, widths, activation):
        super().__init__(name, widths, activation)
        self.gains = [f"{name}_gain{l}" for l in range(1, len(widths) - 1)]

    def initial_params(self, rng, init, dtype):
        gains = {gain: np.ones(width, dtype) for gain, width in zip(self.gains, self.widths[1:])}
        return {**super().initial_params(rng, init, dtype), **gains}

    def forward(self, ops, params, x):
        saved = [x]
        for l, (W, b) in enumerate(self.names):
            saved.append(ops.dense_act_forward(saved[-1], params[W], params[b], self.activations[l]))
            if l < len(self.gains):
                saved.append(layer_norm_forward(saved[-1], params[self.gains[l]]))
        return saved

    def backward(self, ops, params, dy, saved, grads, need_dx=True):
        for l in reversed(range(len(self.names))):
            (W, b), activation, h = self.names[l], self.activations[l], saved[2 * l + 1]
            if l < len(self.gains):
                dy, grads[self.gains[l]] = layer_norm_backward(dy, h, params[self.gains[l]])
            dy, _, _ = ops.dense_act_backward(dy, saved[2 * l], params[W], h, activation, out=(grads[W], grads[b]))
        return dy


class NormVAE(VAE):
    """The VAE with a normalised encoder, put in place before its parameters are drawn."""

    def initial_params(self, rng):
        self.encoder = NormMLP("encoder", self.encoder.widths, self.activation)
        return super().initial_params(rng)


# ---- a penalty of the whole batch ------------------------------------------------------------------------


class TotalCorrelationVAE(PenaltyVAE):
    """loss = mean recon_nll + mean kl + gamma * TC, TC = sum_j log S_jj / 2 - log det S / 2 of S = z^T z / N + I.

    The total correlation of a Gaussian with the second moments of this batch's z (and a unit more, to be bounded).
    """

    hyperparameters = {"gamma": None}

    def __init__(self, *args, gamma=2.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.set(gamma=gamma)

    def penalty_forward(self, kl, mu, logvar, z):
        S = z.T @ z / len(z) + np.eye(z.shape[1], dtype=z.dtype)
        L = cholesky(S)
        return kl.mean() + self.gamma * (np.log(np.diag(S)) / 2 - np.log(np.diag(L))).sum()

    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        S = z.T @ z / len(z) + np.eye(z.shape[1], dtype=z.dtype)
        dS = dpenalty * self.gamma * (np.diag(1 / np.diag(S)) - inverse(S)) / 2
        return PenaltyGrads(dkl=dpenalty * np.ones_like(kl) / len(kl), dz=(2 * z @ dS / len(z)).astype(z.dtype))


def cholesky(S):
    """Lower L with L L^T = S, in any float (np.linalg has no long double)."""
    L = np.zeros_like(S)
    for i in range(len(S)):
        for j in range(i + 1):
            rest = S[i, j] - L[i, :j] @ L[j, :j]
            L[i, j] = np.sqrt(rest) if i == j else rest / L[j, j]
    return L


def inverse(S):
    """S^-1 by way of its Cholesky factor."""
    L, M = cholesky(S), np.zeros_like(S)
    for i in range(len(S)):
        M[i] = ((np.arange(len(S)) == i) - L[i, :i] @ M[:i]) / L[i, i]
    return M.T @ M


# ---- two draws of z for each example ---------------------------------------------------------------------


class TwoDraws(VAE):
    """The ELBO from the mean of two draws of z: the same loss in expectation, with less noise."""

    def noise_shapes(self, n):
        return ((n, 2, self.latent_dim),)

    def forward(self, x, eps):
        ops, params, Z = self.ops, self.params, self.latent_dim
        enc = self.encoder.forward(ops, params, x)
        mu, logvar = enc[-1][:, :Z], enc[-1][:, Z:]
        decs = []
        for k in range(2):
            z = ops.reparameterize_forward(mu, logvar, np.ascontiguousarray(eps[:, k]))
            decs.append(self.decoder.forward(ops, params, z))
        recon_nll = sum(self.likelihood.forward(ops, params, dec[-1], x) for dec in decs) / 2
        kl = ops.gaussian_kl_forward(mu, logvar)
        recon_nll_mean, kl_mean = ops.batch_mean(recon_nll), ops.batch_mean(kl)
        terms = Terms(recon_nll_mean + kl_mean, recon_nll_mean, kl_mean, recon_nll, kl)
        return terms, Saved(enc, decs, mu, logvar, kl=kl)

    def backward(self, x, eps, saved, grads):
        ops, params = self.ops, self.params
        dkl = np.ones(len(x), self.dtype) / len(x)
        dmu, dlogvar = ops.gaussian_kl_backward(dkl, saved.mu, saved.logvar)
        total = grads.zeros_like()
        for k, dec in enumerate(saved.dec):
            dout = self.likelihood_backward(dkl / 2, dec[-1], x, grads)
            dz = self.decoder.backward(ops, params, dout, dec, grads)
            for name in [*sum(self.decoder.names, ()), *self.likelihood_params]:
                total[name] += grads[name]
            dmu_k, dlogvar_k = ops.reparameterize_backward(dz, saved.logvar, np.ascontiguousarray(eps[:, k]))
            dmu, dlogvar = dmu + dmu_k, dlogvar + dlogvar_k
        grads.update(total)
        self.encoder.backward(ops, params, np.concatenate([dmu, dlogvar], axis=1), saved.enc, grads, need_dx=False)


# ---- a second network --------------------------------------------------------------------------------------


class CriticTerms(NamedTuple):
    loss: np.floating


class Critic:
    """Tells codes z of the model from draws of the prior: cross-entropy over the two kinds.  Has parameters of its own."""

    def __init__(self, model):
        self.model = model
        self.network = MLP("critic", (model.latent_dim, 4, 2), "tanh")
        self.params = NamedVector(self.network.initial_params(np.random.default_rng([model.seed, 1]), "glorot", model.dtype))

    @property
    def ops(self):
        return self.model.ops

    def run(self, z):
        """Layers, and minus log softmax for either kind: (N,), (N,)."""
        h = self.network.forward(self.ops, self.params, z)
        kinds = np.eye(2, dtype=z.dtype)
        return h, [self.ops.softmax_cross_entropy_forward(h[-1], np.tile(kind, (len(z), 1))) for kind in kinds]

    def batch(self, x, eps, prior):
        mu, logvar = self.model.encode(x)
        z = self.ops.reparameterize_forward(mu, logvar, np.asarray(eps, self.model.dtype))
        return np.concatenate([z, np.asarray(prior, self.model.dtype)]), np.repeat(np.eye(2, dtype=self.model.dtype), len(x), axis=0)

    def loss(self, x, eps, prior):
        z, targets = self.batch(x, eps, prior)
        h = self.network.forward(self.ops, self.params, z)
        return CriticTerms(self.ops.batch_mean(self.ops.softmax_cross_entropy_forward(h[-1], targets)))

    def loss_and_grads(self, x, eps, prior, out=None):
        z, targets = self.batch(x, eps, prior)
        h = self.network.forward(self.ops, self.params, z)
        nll = self.ops.softmax_cross_entropy_forward(h[-1], targets)
        grads = self.params.zeros_like() if out is None else out
        dlogits = self.ops.softmax_cross_entropy_backward(np.ones_like(nll) / len(nll), h[-1], targets)
        self.network.backward(self.ops, self.params, dlogits, h, grads, need_dx=False)
        return CriticTerms(self.ops.batch_mean(nll)), grads


class CriticVAE(PenaltyVAE):
    """loss = mean recon_nll + mean kl + mean log ratio of the critic: q(z) against p(z)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.critic = Critic(self)

    @property
    def players(self):
        return {"model": self, "critic": self.critic}

    def noise_shapes(self, n):
        return ((n, self.latent_dim), (n, self.latent_dim))  # eps, and draws of the prior for the critic

    def forward(self, x, eps, prior):
        return super().forward(x, eps)

    def backward(self, x, eps, prior, saved, grads):
        super().backward(x, eps, saved, grads)

    def penalty_forward(self, kl, mu, logvar, z):
        _, (as_code, as_prior) = self.critic.run(z)
        return kl.mean() + (as_prior - as_code).mean()  # log of the ratio of the two kinds

    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        h, _ = self.critic.run(z)
        share = dpenalty * np.ones(len(z), z.dtype) / len(z)
        dlogits = share[:, None] * np.array([1, -1], z.dtype)  # as_prior - as_code = logit of code - logit of prior
        nowhere = self.critic.params.zeros_like()  # the critic learns nothing from this loss
        return PenaltyGrads(dkl=share, dz=self.critic.network.backward(self.ops, self.critic.params, dlogits, h, nowhere))


# ---- a score ---------------------------------------------------------------------------------------------------


class Correlations(NamedTuple):
    """The largest |correlation| of each factor with a latent; score is their mean."""

    score: float
    chance: float
    factor_names: tuple
    matrix: np.ndarray  # (K, Z)

    @property
    def per_factor(self):
        return self.matrix.max(axis=1)

    @property
    def latents(self):
        return self.matrix.argmax(axis=1)

    @property
    def panel(self):
        return self.matrix, "|correlation|"


class CorrelationScore(Score):
    name = "correlation"

    def draw(self, encode, data, rng, drawing):
        factors = data.draw_factors(drawing.points, rng)
        codes = encode(data.images(factors))
        codes = codes[0] if isinstance(codes, tuple) else codes
        both = np.abs(np.corrcoef(factors.T, codes.T)[: len(data.sizes), len(data.sizes) :])
        yield "largest correlation", Correlations(float(both.max(axis=1).mean()), 0.0, data.factor_names, both)

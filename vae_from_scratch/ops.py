"""Every derivative in the package, in plain NumPy: forward and backward side by side.

Axes: N batch, D data, H hidden (I in, O out for one layer), Z latent.  A backward takes the upstream
gradient first, then exactly the arrays its formula uses.  Nothing mutates its arguments, dtype in is
dtype out, NaN and infinity pass through.  Tags such as (KL.4) name equations in derivations/.
"""

import numpy as np

LOG_2PI = np.log(8 * np.arctan(np.longdouble(1)))  # 8 arctan(1) = 2 pi, in the widest float there is


# ---- dense layer ------------------------------------------------------------------------------------
def dense_forward(x, W, b):
    """y = x W + b, Eq. (DENSE.1).  x (N, I), W (I, O), b (O,); returns y (N, O)."""
    return x @ W + b


def dense_backward(dy, x, W, out=(None, None)):
    """Eqs. (DENSE.2), (DENSE.3), (DENSE.4).  out: where dW and db go, new arrays if None.  Returns dx, dW, db."""
    dx = dy @ W.T
    dW, db = dense_backward_params(dy, x, out)
    return dx, dW, db


def dense_backward_params(dy, x, out=(None, None)):
    """Eqs. (DENSE.3), (DENSE.4): the first layer, whose dx nobody needs.  Returns dW, db."""
    dW = np.matmul(x.T, dy, out=out[0])
    db = np.sum(dy, axis=0, out=out[1])  # b is added to every row, so every row sends a gradient back
    return dW, db


# ---- activations: any shape, elementwise ------------------------------------------------------------
def tanh_forward(a):
    """h = tanh(a), Eq. (TANH.1)."""
    return np.tanh(a)


def tanh_backward(dh, h):
    """Eq. (TANH.2): the derivative 1 - h^2 needs the output only.  Returns da."""
    return dh * (1 - h * h)


def relu_forward(a):
    """h = max(a, 0), Eq. (RELU.1)."""
    return np.maximum(a, 0)


def relu_backward(dh, h):
    """Eq. (RELU.2), with the subgradient 0 at a = 0.  Returns da."""
    return dh * (h > 0)


def sigmoid_forward(a):
    """h = 1 / (1 + exp(-a)), Eq. (SIGM.1), for any a."""
    e = np.exp(-np.abs(a))  # in (0, 1]: never overflows
    return np.where(a >= 0, 1, e) / (1 + e)


def sigmoid_backward(dh, h):
    """Eq. (SIGM.2).  Returns da."""
    return dh * h * (1 - h)


def softplus_forward(a):
    """y = log(1 + exp(a)), Eq. (SOFT.1), for any a."""
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))


def softplus_backward(dy, a):
    """Eq. (SOFT.2): the derivative of softplus is the sigmoid.  Returns da."""
    return dy * sigmoid_forward(a)


# ---- a dense layer and its activation, by name: compositions that a kernel may fuse ------------------
def dense_act_forward(x, W, b, activation):
    """h = act(x W + b), Eq. (DACT.1).  activation: a key of ACTIVATIONS.  Returns h (N, O)."""
    act_forward, _ = ACTIVATIONS[activation]
    return act_forward(dense_forward(x, W, b))


def dense_act_backward(dh, x, W, h, activation, out=(None, None)):
    """Eq. (DACT.2), then the dense layer's.  h is what the forward returned.  Returns dx, dW, db."""
    _, act_backward = ACTIVATIONS[activation]
    return dense_backward(act_backward(dh, h), x, W, out)


def dense_act_backward_params(dh, x, h, activation, out=(None, None)):
    """Eq. (DACT.2) for the first layer, whose dx nobody needs.  Returns dW, db."""
    _, act_backward = ACTIVATIONS[activation]
    return dense_backward_params(act_backward(dh, h), x, out)


def _softplus_backward_from_output(dh, h):
    # h = log(1 + e^a) gives sigmoid(a) = 1 - e^-h: the output is enough, as for the other activations
    return -dh * np.expm1(-h)


ACTIVATIONS = {  # name: (forward from a, backward from the output h)
    "linear": (lambda a: a, lambda dh, h: dh),
    "tanh": (tanh_forward, tanh_backward),
    "relu": (relu_forward, relu_backward),
    "sigmoid": (sigmoid_forward, sigmoid_backward),
    "softplus": (softplus_forward, _softplus_backward_from_output),
}


# ---- the reparameterization trick -------------------------------------------------------------------
def reparameterize_forward(mu, logvar, eps):
    """z = mu + exp(logvar / 2) * eps, Eq. (REP.1).  All (N, Z); logvar = log sigma^2, eps ~ N(0, I)."""
    return mu + np.exp(logvar / 2) * eps


def reparameterize_backward(dz, logvar, eps):
    """Eqs. (REP.2), (REP.3), with the eps of the forward.  Returns dmu, dlogvar."""
    dmu = dz
    dlogvar = dz * eps * np.exp(logvar / 2) / 2
    return dmu, dlogvar


# ---- KL(N(mu, exp(logvar)) || N(0, I)) ----------------------------------------------------------------
def gaussian_kl_per_latent(mu, logvar):
    """KL of each latent to N(0, 1) in nats, Eq. (KL.1).  mu, logvar (N, Z); returns (N, Z)."""
    return (mu * mu + (np.expm1(logvar) - logvar)) / 2  # expm1: exp(l) - 1 - l cancels at small l


def gaussian_kl_forward(mu, logvar):
    """kl = sum of KL.1 over the latents, in nats, Eq. (KL.2).  mu, logvar (N, Z); returns (N,)."""
    return gaussian_kl_per_latent(mu, logvar).sum(axis=1)


def gaussian_kl_backward(dkl, mu, logvar):
    """Eqs. (KL.3), (KL.4).  dkl (N,).  Returns dmu, dlogvar."""
    dmu = dkl[:, None] * mu
    dlogvar = dkl[:, None] * np.expm1(logvar) / 2
    return dmu, dlogvar


# ---- losses: what one datum costs, in nats ------------------------------------------------------------
def batch_mean(each):
    """The mean of (N,) values; its gradient is 1 / N to each."""
    return np.add.reduce(each) / len(each)


def bernoulli_nll_forward(logits, x):
    """-log p(x) for p = sigmoid(logits), summed over D, Eq. (BERN.1).  logits, x (N, D); returns (N,)."""
    # max(l, 0) - x l first: where x agrees with a large logit they cancel exactly, and log1p(...) survives
    return (np.maximum(logits, 0) - x * logits + np.log1p(np.exp(-np.abs(logits)))).sum(axis=1)


def bernoulli_nll_backward(dnll, logits, x):
    """Eq. (BERN.2).  dnll (N,).  Returns dlogits."""
    # valid because the loss takes logits: d/dlogits of sigmoid then cross-entropy is p - x
    return dnll[:, None] * (sigmoid_forward(logits) - x)


def softmax_cross_entropy_forward(logits, targets):
    """-sum_c targets_c log softmax(logits)_c in nats, Eq. (SOFTMAX.1).

    logits, targets (N, C); each row of targets sums to one: a label as a row of the identity, or probabilities.
    Returns (N,).
    """
    top = logits.argmax(axis=1)[:, None]
    below = logits - np.take_along_axis(logits, top, axis=1)  # <= 0: exp never overflows
    others = np.exp(below)
    np.put_along_axis(others, top, 0, axis=1)  # exp(0) = 1 of the largest is log1p's: small losses keep their digits
    return np.log1p(others.sum(axis=1)) - (targets * below).sum(axis=1)


def softmax_cross_entropy_backward(dnll, logits, targets):
    """Eq. (SOFTMAX.2).  dnll (N,).  Returns dlogits."""
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = probs / probs.sum(axis=1, keepdims=True)
    # valid because the loss takes logits, and because each row of targets sums to one
    return dnll[:, None] * (probs - targets)


def gaussian_nll_forward(x_mean, x_logvar, x):
    """-log N(x; x_mean, exp(x_logvar)), constants included, summed over D, Eq. (GAUSS.1).

    x_mean, x (N, D); x_logvar a scalar, (D,) or (N, D).  Returns (N,); negative where the density exceeds 1.
    """
    log_2pi, x_logvar = x_mean.dtype.type(LOG_2PI), np.asarray(x_logvar, x_mean.dtype)
    return (log_2pi + x_logvar + (x - x_mean) ** 2 * np.exp(-x_logvar)).sum(axis=1) / 2


def gaussian_nll_backward(dnll, x_mean, x_logvar, x):
    """Eqs. (GAUSS.2), (GAUSS.3).  dnll (N,).  Returns dx_mean and dx_logvar (x_logvar's shape)."""
    x_logvar = np.asarray(x_logvar, x_mean.dtype)
    inv_var = np.exp(-x_logvar)
    dx_mean = dnll[:, None] * (x_mean - x) * inv_var
    dx_logvar = dnll[:, None] * (1 - (x - x_mean) ** 2 * inv_var) / 2
    return dx_mean, _sum_to(x_logvar.shape, dx_logvar)


def _sum_to(shape, grad):
    # an entry that was broadcast to many places collects the gradient of each of them
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1)
    return np.asarray(grad.sum(axis=stretched, keepdims=True) if stretched else grad)


def squared_error_forward(recon, x):
    """Half the squared distance, summed over D, Eq. (SE.1).  recon, x (N, D); returns (N,)."""
    return ((recon - x) ** 2).sum(axis=1) / 2


def squared_error_backward(dout, recon, x):
    """Eq. (SE.2).  dout (N,).  Returns drecon."""
    return dout[:, None] * (recon - x)


# ---- estimating log p(x): forward only, nothing is trained through these --------------------------------
def log_weight(recon_nll, z, logvar, eps):
    """log w = log p(x|z) + log p(z) - log q(z|x) at z = mu + exp(logvar / 2) * eps, Eq. (IS.1).

    recon_nll (N,), the others (N, Z).  Returns (N,) in nats.
    """
    # (z - mu) / sigma is eps, and both densities have the same 2 pi; z^2 - eps^2 as a product is 0 where q is the prior
    return -recon_nll - ((z - eps) * (z + eps) - logvar).sum(axis=1) / 2


def log_mean_exp(log_w):
    """log of the mean of exp(log_w) over the last axis, Eq. (IS.2), whatever the size of log_w.  (..., K) -> (...)."""
    top = log_w.max(axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)  # all weights 0, or one infinite: nothing to scale by
    return np.log(np.exp(log_w - top).mean(axis=-1)) + top[..., 0]


# ---- the capacity objective of Burgess et al. 2018 ---------------------------------------------------
def capacity_forward(kl, gamma, capacity):
    """gamma * |kl - C|, Eq. (CAP.1) (Burgess et al. 2018, Eq. 8).  kl: the batch-mean KL in nats."""
    return gamma * np.abs(kl - capacity)


def capacity_backward(dout, kl, gamma, capacity):
    """Eq. (CAP.2), with sign(0) = 0 at kl = C.  Returns dkl."""
    return dout * gamma * np.sign(kl - capacity)


# ==== the family, for a second reading: pairs of objectives/ and of further likelihoods ====================

# ---- autoencoders with a price: derivations/16 ---------------------------------------------------------
def gaussian_noise(x, eps, sigma):
    """x + sigma * eps, Eq. (DAE.3).  x, eps (N, D), eps ~ N(0, I); eps = 0 leaves x as it is, here and in the next two."""
    return x + sigma * eps


def masking_noise(x, eps, t):
    """x, but 0 where |eps| > t, Eq. (DAE.4).  x, eps (N, D); P(|eps| > t) is the share that is masked."""
    return np.where(np.abs(eps) > t, 0, x)


def salt_and_pepper_noise(x, eps, t):
    """x, but 1 where eps > t and 0 where eps < -t, Eq. (DAE.5).  x, eps (N, D)."""
    return np.where(eps > t, 1, np.where(eps < -t, 0, x))


def sparse_kl_forward(a, rho):
    """sum_j KL(rho || r_j), r_j the batch mean of h_j = sigmoid(a_j), in nats, Eq. (SPARSE.3).  a (N, Z); returns a number."""
    r, s = batch_mean(sigmoid_forward(a)), batch_mean(sigmoid_forward(-a))  # s = 1 - r, with its digits where r is near 1
    return (rho * np.log(rho / r) + (1 - rho) * np.log((1 - rho) / s)).sum()


def sparse_kl_backward(dkl, a, rho):
    """Eq. (SPARSE.5).  dkl a number.  Every row has a share in r_j.  Returns da (N, Z)."""
    h, not_h = sigmoid_forward(a), sigmoid_forward(-a)
    r, s = batch_mean(h), batch_mean(not_h)
    return dkl * ((1 - rho) * (not_h / s) * h - rho * (h / r) * not_h) / len(a)


def l1_forward(h):
    """sum_j |h_j|, Eq. (SPARSE.6).  h (N, Z); returns (N,)."""
    return np.abs(h).sum(axis=1)


def l1_backward(dl1, h):
    """Eq. (SPARSE.7), with sign(0) = 0.  dl1 (N,).  Returns dh."""
    return dl1[:, None] * np.sign(h)


SLOPES = {  # activation: (its derivative p = act'(a) as a function of the output h, the derivative of that in h)
    "linear": (np.ones_like, np.zeros_like),
    "tanh": (lambda h: 1 - h * h, lambda h: -2 * h),
    "relu": (lambda h: (h > 0).astype(h.dtype), np.zeros_like),
    "sigmoid": (lambda h: h * (1 - h), lambda h: 1 - 2 * h),
    "softplus": (lambda h: -np.expm1(-h), lambda h: np.exp(-h)),
}


def slope_forward(h, activation):
    """p = act'(a), from the output h = act(a), Eq. (CAE.3).  activation: a key of SLOPES.  Any shape."""
    return SLOPES[activation][0](h)


def slope_backward(dp, h, activation):
    """Eq. (CAE.4): times p, which the activation's own backward does, this is act''(a).  Returns dh."""
    return dp * SLOPES[activation][1](h)


def contraction_forward(p, W):
    """||dh/dx||_F^2 of one layer h = act(x W + b), Eq. (CAE.5).  p = act'(a) (N, O), W (I, O); returns (N,)."""
    return p * p @ (W * W).sum(axis=0)


def contraction_backward(dnorm, p, W):
    """Eqs. (CAE.6), (CAE.7).  dnorm (N,).  Returns dp, dW."""
    dp = 2 * dnorm[:, None] * p * (W * W).sum(axis=0)
    dW = 2 * W * (dnorm @ (p * p))
    return dp, dW


def tangent_forward(t, W, p):
    """Where a small step t of a layer's input takes its output, Eq. (CAE.8).  t (N, I), W (I, O), p (N, O); returns (N, O)."""
    return t @ W * p


def tangent_backward(dy, t, W, p):
    """Eqs. (CAE.9), (CAE.10), (CAE.11).  dy (N, O).  Returns dt, dW, dp."""
    dt = dy * p @ W.T
    dW = t.T @ (dy * p)
    dp = dy * (t @ W)
    return dt, dW, dp


def squared_norm_forward(t):
    """sum_j t_j^2, Eq. (CAE.12).  t (N, Z); returns (N,)."""
    return (t * t).sum(axis=1)


def squared_norm_backward(dnorm, t):
    """Eq. (CAE.13).  dnorm (N,).  Returns dt."""
    return 2 * dnorm[:, None] * t


# ---- several draws, free bits: derivations/17 ----------------------------------------------------------

# ---- total correlation: derivations/18 -----------------------------------------------------------------

# ---- an adversary, covariances: derivations/19 ---------------------------------------------------------

# ---- further likelihoods: derivations/06 ---------------------------------------------------------------

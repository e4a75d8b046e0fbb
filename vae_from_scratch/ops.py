"""Every derivative in the package, in plain NumPy: forward and backward side by side.

Axes: N batch, D data, H hidden (I in, O out for one layer), Z latent, K draws.  A backward takes the upstream
gradient first, then exactly the arrays its formula uses.  No argument is changed but out, which is there to be
filled.  dtype in is dtype out; NaN and infinity pass where the formula lets them.  Tags such as (KL.4) name equations in derivations/.
"""

import numpy as np

LOG_2PI = np.log(8 * np.arctan(np.longdouble(1)))  # 8 arctan(1) = 2 pi, in the widest float there is


# ---- dense layer ------------------------------------------------------------------------------------
def dense_forward(x, W, b):
    """y = x W + b, Eq. (DENSE.1).  x (N, I), W (I, O), b (O,); returns y (N, O)."""
    return x @ W + b


def dense_backward(dy, x, W, out=(None, None)):
    """Eqs. (DENSE.2), (DENSE.3), (DENSE.4).  dy (N, O), x (N, I), W (I, O); out: where dW and db go, if given.  Returns dx, dW, db."""
    dx = dy @ W.T
    dW, db = dense_backward_params(dy, x, out)
    return dx, dW, db


def dense_backward_params(dy, x, out=(None, None)):
    """Eqs. (DENSE.3), (DENSE.4): the first layer, whose dx nobody needs.  dy (N, O), x (N, I).  Returns dW, db."""
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
    """h = act(x W + b), Eq. (DACT.1).  x (N, I), W (I, O), b (O,), activation: a key of ACTIVATIONS.  Returns (N, O)."""
    act_forward, _ = ACTIVATIONS[activation]
    return act_forward(dense_forward(x, W, b))


def dense_act_backward(dh, x, W, h, activation, out=(None, None)):
    """Eq. (DACT.2), then the dense layer's.  dh, h (N, O), x (N, I), W (I, O), h the output.  Returns dx, dW, db."""
    _, act_backward = ACTIVATIONS[activation]
    return dense_backward(act_backward(dh, h), x, W, out)


def dense_act_backward_params(dh, x, h, activation, out=(None, None)):
    """Eq. (DACT.2) for the first layer, whose dx nobody needs.  dh, h (N, O), x (N, I).  Returns dW, db."""
    _, act_backward = ACTIVATIONS[activation]
    return dense_backward_params(act_backward(dh, h), x, out)


ACTIVATIONS = {  # name: (forward from a, backward from the output h)
    "linear": (lambda a: a, lambda dh, h: dh),
    "tanh": (tanh_forward, tanh_backward),
    "relu": (relu_forward, relu_backward),
    "sigmoid": (sigmoid_forward, sigmoid_backward),
    "softplus": (softplus_forward, lambda dh, h: -dh * np.expm1(-h)),  # sigmoid(a) = 1 - e^-h: the output is enough
}


# ---- the reparameterization trick -------------------------------------------------------------------
def reparameterize_forward(mu, logvar, eps):
    """z = mu + exp(logvar / 2) * eps, Eq. (REP.1).  All (N, Z); logvar = log sigma^2, eps ~ N(0, I)."""
    return mu + np.exp(logvar / 2) * eps


def reparameterize_backward(dz, logvar, eps):
    """Eqs. (REP.2), (REP.3), with the eps of the forward.  All (N, Z).  Returns dmu, dlogvar."""
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
    """Eqs. (KL.3), (KL.4).  dkl (N,), mu, logvar (N, Z).  Returns dmu, dlogvar."""
    dmu = dkl[:, None] * mu
    dlogvar = dkl[:, None] * np.expm1(logvar) / 2
    return dmu, dlogvar


# ---- losses: what one datum costs, in nats ------------------------------------------------------------
def batch_mean(each):
    """The mean over the batch, axis 0: (N,) -> a number, (N, Z) -> (Z,).  Its gradient is 1 / N to each value."""
    return each.sum(axis=0) / len(each)


def bernoulli_nll_forward(logits, x):
    """-log p(x) for p = sigmoid(logits), summed over D, Eq. (BERN.1).  logits, x (N, D); returns (N,)."""
    # max(l, 0) - x l first: where x agrees with a large logit they cancel exactly, and log1p(...) survives
    return (np.maximum(logits, 0) - x * logits + np.log1p(np.exp(-np.abs(logits)))).sum(axis=1)


def bernoulli_nll_backward(dnll, logits, x):
    """Eq. (BERN.2).  dnll (N,), logits, x (N, D).  Returns dlogits."""
    # valid because the loss takes logits: d/dlogits of sigmoid then cross-entropy is p - x
    return dnll[:, None] * (sigmoid_forward(logits) - x)


def gaussian_nll_forward(x_mean, x_logvar, x):
    """-log N(x; x_mean, exp(x_logvar)), constants included, summed over D, Eq. (GAUSS.1).

    x_mean, x (N, D); x_logvar a scalar, (D,) or (N, D).  Returns (N,); negative where the density exceeds 1.
    """
    log_2pi, x_logvar = x_mean.dtype.type(LOG_2PI), np.asarray(x_logvar, x_mean.dtype)
    return (log_2pi + x_logvar + (x - x_mean) ** 2 * np.exp(-x_logvar)).sum(axis=1) / 2


def gaussian_nll_backward(dnll, x_mean, x_logvar, x):
    """Eqs. (GAUSS.2), (GAUSS.3).  dnll (N,), the others as in forward.  Returns dx_mean and dx_logvar (x_logvar's shape)."""
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


def squared_error_backward(dnll, recon, x):
    """Eq. (SE.2).  dnll (N,).  Returns drecon."""
    return dnll[:, None] * (recon - x)


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


# ==== the family, for a second reading: pairs of objectives/, scores and further likelihoods ===============

# ---- a growing capacity: derivations/10 ----------------------------------------------------------------
def capacity_forward(kl, gamma, capacity):
    """gamma * |kl - C|, Eq. (CAP.1) (Burgess et al. 2018, Eq. 8).  kl: the batch-mean KL in nats."""
    return gamma * np.abs(kl - capacity)


def capacity_backward(dout, kl, gamma, capacity):
    """Eq. (CAP.2), with sign(0) = 0 at kl = C.  Returns dkl."""
    return dout * gamma * np.sign(kl - capacity)


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


def scaled_sigmoid(a):
    """h_hat, c with sigmoid(a) = h_hat e^c, so that no column is all 0, Eq. (SPARSE.9).  a (N, Z); returns (N, Z), (Z,)."""
    c = np.minimum(a, 0).max(axis=0)
    return np.exp(np.minimum(a, 0) - c) / (1 + np.exp(-np.abs(a))), c


def sparse_kl_forward(a, rho):
    """sum_j KL(rho || r_j), r_j the batch mean of h_j = sigmoid(a_j), in nats, Eq. (SPARSE.3).  a (N, Z); returns a number."""
    (h_hat, c), (not_h_hat, not_c) = scaled_sigmoid(a), scaled_sigmoid(-a)
    kl = rho * (np.log(rho / batch_mean(h_hat)) - c) + (1 - rho) * (np.log((1 - rho) / batch_mean(not_h_hat)) - not_c)
    return kl.sum()


def sparse_kl_backward(dkl, a, rho):
    """Eq. (SPARSE.5).  dkl a number.  Every row has a share in r_j.  Returns da (N, Z)."""
    h, not_h = sigmoid_forward(a), sigmoid_forward(-a)
    (h_hat, _), (not_h_hat, _) = scaled_sigmoid(a), scaled_sigmoid(-a)  # h / r is h_hat over its mean
    return dkl * ((1 - rho) * (not_h_hat / batch_mean(not_h_hat)) * h - rho * (h_hat / batch_mean(h_hat)) * not_h) / len(a)


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
    "leaky-relu": (lambda h: np.where(h > 0, 1, np.ones_like(h) / 5), np.zeros_like),
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
    """How far a small step t of the input moves a layer's output, Eq. (CAE.8).  t (N, I), W (I, O), p (N, O); returns (N, O)."""
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
def log_weights_forward(recon_nll, z, logvar, eps):
    """log_weight of K draws for each datum, Eq. (IWAE.2).  recon_nll (N, K), z and eps (N, K, Z), logvar (N, Z); returns (N, K)."""
    return -recon_nll - ((z - eps) * (z + eps) - logvar[:, None]).sum(axis=-1) / 2


def log_weights_backward(dlog_w, z):
    """Eq. (IWAE.5): by every draw, with eps held fixed.  dlog_w (N, K), z (N, K, Z).

    Returns drecon_nll (N, K), dz (N, K, Z), dlogvar (N, Z).
    """
    drecon_nll = -dlog_w
    dz = -dlog_w[..., None] * z
    dlogvar = np.ones_like(z[:, 0]) * dlog_w.sum(axis=1, keepdims=True) / 2  # one logvar feeds all K weights
    return drecon_nll, dz, dlogvar


def iwae_bound_forward(log_w):
    """log (1/K) sum_k w_k of each datum, Eq. (IWAE.3) (Burda et al. 2015, Eq. 8).  log_w (N, K); returns (N,) in nats."""
    return log_mean_exp(log_w)


def iwae_bound_backward(dbound, log_w):
    """Eq. (IWAE.4) (Burda et al. 2015, section 3).  dbound (N,).  Returns dlog_w."""
    return dbound[:, None] * normalised_weights(log_w)


def normalised_weights(log_w):
    """w_k / sum w over the last axis: the softmax of the log weights.  (..., K) -> (..., K)."""
    w = np.exp(log_w - log_w.max(axis=-1, keepdims=True))  # <= 1: exp never overflows
    return w / w.sum(axis=-1, keepdims=True)


def doubly_reparameterized(dz, log_w, dlog_w, logvar, eps):
    """Eq. (DREG.3) (Tucker et al. 2019): the dz for the encoder that leaves no score function in dmu and dlogvar.

    dz, eps (N, K, Z), log_w, dlog_w (N, K), logvar (N, Z).  Returns dz (N, K, Z).
    """
    dz = dz + dlog_w[..., None] * eps * np.exp(-logvar / 2)[:, None]  # plus d(-log q(z|x)) / dz at fixed mu and sigma
    return normalised_weights(log_w)[..., None] * dz


def free_bits_forward(mu, logvar, free_bits, group_size=1):
    """sum_G max(free_bits, mean_n KL_nG) in nats, Eq. (FREE.1) (Kingma et al. 2016).  mu, logvar (N, Z); returns a number.

    A group is group_size latents that stand side by side; free_bits counts per group.
    """
    return np.maximum(_kl_of_groups(mu, logvar, group_size), free_bits).sum()


def free_bits_backward(dout, mu, logvar, free_bits, group_size=1):
    """Eq. (FREE.2), with slope 0 at the kink.  dout a number, mu, logvar (N, Z).  Returns dmu, dlogvar (N, Z)."""
    paid = np.repeat(_kl_of_groups(mu, logvar, group_size) > free_bits, group_size)
    dmu, dlogvar = gaussian_kl_backward(dout * (np.ones_like(mu[:, 0]) / len(mu)), mu, logvar)
    return dmu * paid, dlogvar * paid


def _kl_of_groups(mu, logvar, group_size):
    # the mean over the batch comes first, then the maximum
    return batch_mean(gaussian_kl_per_latent(mu, logvar)).reshape(-1, group_size).sum(axis=1)


# ---- total correlation: derivations/18 -----------------------------------------------------------------
def log_batch_weights(n, n_train, stratified, dtype):
    """log c_nm of the example itself, m = n, and of each other one, Eqs. (TC.8), (TC.10).  Returns two numbers.

    n rows of n_train data, dtype a NumPy dtype.  In a stratified batch of one row, that row's weight is 1.
    """
    n_train = dtype.type(n_train)
    if not stratified:
        return -np.log(n_train * n), -np.log(n_train * n)
    if n == 1:
        return dtype.type(0), dtype.type(0)
    return -np.log(n_train), np.log((n_train - 1) / (n_train * (n - 1)))


def batch_parts_forward(mu, logvar, z, n_train, stratified):
    """Mutual information, total correlation, dimension-wise KL of each row, Eqs. (TC.7), (TC.11) (Chen et al. 2018, Eq. 2).

    mu, logvar (N, Z), z (N, Z) drawn from them, of n_train data.  Returns (N, 3) in nats; memory for a few (N, N) arrays.
    """
    log_c = _spread_weights(z, n_train, stratified)  # (N, N): row n of z under q(z|x_m)
    own, log_q_z, marginals = np.zeros_like(z[:, 0]), log_c, np.zeros_like(z[:, 0])
    for j in range(z.shape[1]):
        log_q = _log_density(mu, logvar, z, j)
        own = own + np.diagonal(log_q)
        log_q_z = log_q_z + log_q  # the weight of m is in it once, not once per latent
        marginals = marginals + _log_sum_exp(log_c + log_q)
    log_q_z, log_prior = _log_sum_exp(log_q_z), -(z * z).sum(axis=1) / 2
    return np.stack([own - log_q_z, log_q_z - marginals, marginals - log_prior], axis=1)


def batch_parts_backward(dparts, mu, logvar, z, n_train, stratified):
    """Eqs. (TC.14), (TC.15), (TC.16), (TC.17).  dparts (N, 3).  Returns dmu, dlogvar, dz."""
    log_c, same = _spread_weights(z, n_train, stratified), np.eye(len(z), dtype=z.dtype)
    r = normalised_weights(log_c + sum(_log_density(mu, logvar, z, j) for j in range(z.shape[1])))
    dinformation, dcorrelation, ddimensions = dparts[:, :1], dparts[:, 1:2], dparts[:, 2:]
    dmu, dlogvar, dz = np.empty_like(z), np.empty_like(z), np.empty_like(z)
    for j in range(z.shape[1]):
        t = normalised_weights(log_c + _log_density(mu, logvar, z, j))
        dlog_q = dinformation * (same - r) + dcorrelation * (r - t) + ddimensions * t
        distance = z[:, j, None] - mu[:, j]
        u = distance * np.exp(-logvar[:, j])
        dz[:, j] = ddimensions[:, 0] * z[:, j] - (dlog_q * u).sum(axis=1)
        dmu[:, j] = (dlog_q * u).sum(axis=0)  # every z_n looks at every q(z|x_m), so all of them send a gradient back
        dlogvar[:, j] = (dlog_q * (u * distance - 1)).sum(axis=0) / 2
    return dmu, dlogvar, dz


def _spread_weights(z, n_train, stratified):
    own, other = log_batch_weights(len(z), n_train, stratified, z.dtype)
    log_c = np.full((len(z), len(z)), other)
    np.fill_diagonal(log_c, own)
    return log_c


def _log_density(mu, logvar, z, j):
    # log N(z_nj; mu_mj, exp(logvar_mj)), (N, N), without log(2 pi) / 2: in each part one density is divided by another
    return -((z[:, j, None] - mu[:, j]) ** 2 * np.exp(-logvar[:, j]) + logvar[:, j]) / 2


def _log_sum_exp(a):
    top = a.max(axis=1, keepdims=True)
    return np.log(np.exp(a - top).sum(axis=1)) + top[:, 0]


# ---- an adversary, covariances: derivations/19 ---------------------------------------------------------
def leaky_relu_forward(a):
    """h = max(a, a / 5), Eq. (LRELU.1)."""
    return np.maximum(a, a / 5)


def leaky_relu_backward(dh, h):
    """Eq. (LRELU.2), with the subgradient 1/5 at a = 0: h has the sign of a.  Returns da."""
    return np.where(h > 0, dh, dh / 5)


ACTIVATIONS["leaky-relu"] = (leaky_relu_forward, leaky_relu_backward)


def permute_latents(z, order):
    """Each column of z in an order of its own, Eq. (FACTOR.1): the one that sorts the same column of order.

    z, order (B, Z), order ~ N(0, I).  Returns (B, Z).
    """
    return np.take_along_axis(z, order.argsort(axis=0), axis=0)


def discrimination_forward(logits, logits_perm):
    """Cross-entropy of telling B codes from B permuted ones, in nats, Eq. (FACTOR.2).  Both (B,); returns a number."""
    return (batch_mean(softplus_forward(-logits)) + batch_mean(softplus_forward(logits_perm))) / 2


def discrimination_backward(dnll, logits, logits_perm):
    """Eqs. (FACTOR.3), (FACTOR.4).  dnll a number.  Returns dlogits, dlogits_perm."""
    dlogits = -dnll * sigmoid_forward(-logits) / (2 * len(logits))
    dlogits_perm = dnll * sigmoid_forward(logits_perm) / (2 * len(logits_perm))
    return dlogits, dlogits_perm


def covariance_forward(mu):
    """C = mean over the batch of (mu_n - mean)^T (mu_n - mean), Eq. (DIP.1).  mu (N, Z); returns C (Z, Z)."""
    centred = mu - mu.mean(axis=0)  # over the rows: a latent has a mean, not a datum
    return centred.T @ centred / len(mu)


def covariance_backward(dC, mu):
    """Eq. (DIP.2).  dC (Z, Z), symmetric or not.  Returns dmu."""
    centred = mu - mu.mean(axis=0)
    return centred @ (dC + dC.T) / len(mu)


def marginal_covariance_forward(mu, logvar):
    """The covariance of z itself, cov(mu) + diag(mean variance), Eq. (DIP.3).  mu, logvar (N, Z); returns C (Z, Z)."""
    return covariance_forward(mu) + np.diag(np.exp(logvar).mean(axis=0))


def marginal_covariance_backward(dC, mu, logvar):
    """Eqs. (DIP.2), (DIP.4).  dC (Z, Z).  Returns dmu, dlogvar."""
    dmu = covariance_backward(dC, mu)
    dlogvar = np.exp(logvar) * np.diag(dC) / len(logvar)
    return dmu, dlogvar


def dip_forward(C, lambda_od, lambda_d):
    """How far a covariance is from I, Eq. (DIP.5) (Kumar et al. 2018, Eqs. 6, 7).  C (Z, Z); returns a number."""
    variances = np.diag(C)
    off_diagonal = C - np.diag(variances)
    return lambda_od * (off_diagonal**2).sum() + lambda_d * ((variances - 1) ** 2).sum()


def dip_backward(dout, C, lambda_od, lambda_d):
    """Eq. (DIP.6).  Returns dC."""
    variances = np.diag(C)
    off_diagonal = C - np.diag(variances)
    return 2 * dout * (lambda_od * off_diagonal + lambda_d * np.diag(variances - 1))


# ---- a classifier, for scores: derivations/11 ----------------------------------------------------------
def softmax_cross_entropy_forward(logits, targets):
    """-sum_c targets_c log softmax(logits)_c in nats, Eq. (SOFTMAX.1).

    logits, targets (N, C); each row of targets sums to one: a label as a row of the identity, or probabilities.
    Returns (N,).
    """
    top = logits.argmax(axis=1)[:, None]
    below = logits - np.take_along_axis(logits, top, axis=1)  # <= 0: exp never overflows
    others = np.exp(below)
    np.put_along_axis(others, top, 0, axis=1)  # the largest has exp(0) = 1, which log1p adds: small losses keep their digits
    return np.log1p(others.sum(axis=1)) - (targets * below).sum(axis=1)


def softmax_cross_entropy_backward(dnll, logits, targets):
    """Eq. (SOFTMAX.2).  dnll (N,), logits, targets (N, C).  Returns dlogits."""
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = probs / probs.sum(axis=1, keepdims=True)
    # valid because the loss takes logits, and because each row of targets sums to one
    return dnll[:, None] * (probs - targets)


# ---- further likelihoods: derivations/06 ---------------------------------------------------------------
def laplace_nll_forward(x_mean, log_scale, x):
    """-log p(x) of the Laplace distribution with mean x_mean and scale b = exp(log_scale), summed over D, Eq. (LAPLACE.1).

    x_mean, x (N, D); log_scale a scalar, (D,) or (N, D).  Returns (N,); negative where the density exceeds 1.
    """
    log_2, log_scale = np.log(x_mean.dtype.type(2)), np.asarray(log_scale, x_mean.dtype)
    return (log_2 + log_scale + np.abs(x - x_mean) * np.exp(-log_scale)).sum(axis=1)


def laplace_nll_backward(dnll, x_mean, log_scale, x):
    """Eqs. (LAPLACE.2), (LAPLACE.3), with sign(0) = 0 at x = x_mean.  Returns dx_mean and dlog_scale (log_scale's shape)."""
    log_scale = np.asarray(log_scale, x_mean.dtype)
    inv_scale = np.exp(-log_scale)
    dx_mean = dnll[:, None] * np.sign(x_mean - x) * inv_scale
    dlog_scale = dnll[:, None] * (1 - np.abs(x - x_mean) * inv_scale)
    return dx_mean, _sum_to(log_scale.shape, dlog_scale)


def laplace_draw(x_mean, log_scale, u):
    """The x at which the distribution function is u, Eq. (LAPLACE.4): a draw if u ~ U[0, 1).  u (N, D); returns (N, D)."""
    log_scale, least = np.asarray(log_scale, x_mean.dtype), np.finfo(x_mean.dtype).epsneg / 2  # half a step of the grid of u
    beyond = np.maximum(np.minimum(u, 1 - u), least)  # the probability of what is further out than x
    return x_mean - np.sign(u - 0.5) * np.exp(log_scale) * np.log(2 * beyond)


def continuous_bernoulli_nll_forward(logits, x):
    """-log p(x) = K(logit) - x logit, summed over D, Eq. (CB.2).  logits, x (N, D), x in [0, 1]; returns (N,)."""
    a = np.abs(logits)
    share = np.divide(-np.expm1(-a), a, out=np.ones_like(a), where=a != 0)  # (1 - e^-a) / a, which tends to 1
    # max(l, 0) - x l first, as for the Bernoulli: where x agrees with a large logit they cancel exactly
    return (np.maximum(logits, 0) - x * logits + np.log(share)).sum(axis=1)


def continuous_bernoulli_nll_backward(dnll, logits, x):
    """Eq. (CB.3).  dnll (N,).  Returns dlogits."""
    return dnll[:, None] * (continuous_bernoulli_mean(logits) - x)


def continuous_bernoulli_mean(logits):
    """E[x] = K'(logit), Eqs. (CB.4), (CB.5): near 0 a continued fraction.  Any shape."""
    a = np.abs(logits)
    near, far = np.minimum(a, 2), np.maximum(a, 2)  # the two forms meet at 2
    of_minus_a = np.where(a <= 2, (1 - near / 2 * _langevin(near / 2)) / 2, 1 / far + np.exp(-far) / np.expm1(-far))
    return np.where(logits > 0, 1 - of_minus_a, of_minus_a)  # K'(a) = 1 - K'(-a)


def continuous_bernoulli_variance(logits):
    """Var[x] = K''(logit), Eq. (CB.6), 1/12 at 0.  Any shape."""
    a = np.abs(logits)
    near, far = np.minimum(a, 2), np.maximum(a, 2)
    f, y2 = _langevin(near / 2), near * near / 4
    return np.where(a <= 2, (1 - y2 * f * f - 2 * f) / 4, 1 / (far * far) - np.exp(-far) / np.expm1(-far) ** 2)


def _langevin(y):
    # (coth y - 1/y) / y = 1 / (3 + y^2 / (5 + y^2 / (7 + ...))), cut off at 19: for |y| <= 1 an error below 1e-19
    fraction = 19
    for odd in (17, 15, 13, 11, 9, 7, 5, 3):
        fraction = odd + y * y / fraction
    return 1 / fraction


def continuous_bernoulli_draw(logits, u):
    """The x at which the distribution function is u, Eq. (CB.7): a draw if u ~ U[0, 1).  u (N, D); returns (N, D)."""
    a = np.abs(logits)
    v = np.where(logits > 0, 1 - u, u)  # 1 - x has the logit -l
    inside = np.maximum(v * np.expm1(-a), np.finfo(a.dtype).epsneg - 1)  # log1p(-1) is infinite
    x = np.divide(-np.log1p(inside), a, out=v.astype(a.dtype), where=a != 0)
    x = np.minimum(x, 1)  # rounding
    return np.where(logits > 0, 1 - x, x)

"""Numba twins of the hot pairs of ops.py: same names, same signatures, same results.  derivations/13-faster.md.

A drop-in namespace for ops: what has no twin here is ops' own.  BLAS keeps the matrix products; a kernel does in
one pass over memory what NumPy does in several.  float32 only: other dtypes go to ops.  Single-threaded: loops in
parallel beside a threaded BLAS starve each other.  A row is sliced before it is looped over, so that the compiler
knows its indices to be in range and turns the loop into SIMD instructions.
"""

import sys
import threading
import time

import numpy as np
from numba import config, njit
from numba.core import event

from . import ops, optimizers
from .ops import *  # noqa: F403  the rest of the namespace

if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set")

F32 = np.dtype(np.float32)
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
C6, C5, C4, C3 = np.float32(1 / 720), np.float32(1 / 120), np.float32(1 / 24), np.float32(1 / 6)
LIMIT = np.float32(87)  # where exp is still finite and not yet denormal
BLOCK = 512  # factors 1 + e <= 2 of one product: 2^512 is a float64

# fastmath by name: sums may be reordered and a * b + c fused, NaN and infinity stay what they are.  The range
# reduction below must not be reordered, so it has flags of its own.
exact = njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="never")
fast = njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})


class SayCompiling(event.Listener):
    """Says so, once, if compiling takes longer than two seconds in all: it is not a hang, and the next start has a cache."""

    def __init__(self, patience=2.0):
        self.patience, self.timer, self.said = patience, None, False
        event.register("numba:compile", self)

    def say(self):
        self.said = True
        print("compiling kernels, once", file=sys.stderr)

    def on_start(self, event):
        if not self.said and self.timer is None:
            self.timer, self.started = threading.Timer(self.patience, self.say), time.perf_counter()
            self.timer.daemon = True
            self.timer.start()

    def on_end(self, event):
        if self.timer is not None:
            self.timer.cancel()
            self.timer, self.patience = None, self.patience - (time.perf_counter() - self.started)


say_compiling = SayCompiling()


def _alike(first, *others):
    """Whether these are float32 arrays of one shape: what a kernel, which does not look, may index together."""
    try:
        if first.dtype != F32:
            return False
        for other in others:
            if other.dtype != F32 or other.shape != first.shape:
                return False
    except AttributeError:  # a Python number
        return False
    return True


def _is_rows(each, array):
    """Whether array is (N, something) and each a float32 (N,)."""
    return getattr(each, "dtype", None) == F32 and array.ndim == 2 and each.shape == array.shape[:1]


# ---- exp and what is built on it ----------------------------------------------------------------------


@exact
def exp_parts(x):
    """q, s with exp(x) = s + s q, Eq. (FAST.1): s = 2^k, q = expm1(r), |r| <= log(2) / 2; for |x| <= 87, beyond it as at 87."""
    x = min(max(x, -LIMIT), LIMIT)
    k = np.floor(x * LOG2_E + HALF)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    q = (((((C6 * r + C5) * r + C4) * r + C3) * r + HALF) * r + ONE) * r
    s = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)  # 2^k, written into the exponent bits
    return q, s


@exact
def expm1_parts(q, s):
    """s + s q - 1, without cancellation at s = 1."""
    return s * q + (s - ONE)


@exact
def bernoulli_linear(l, x):
    """max(l, 0) - x l, which must meet before they are added to a sum: where x agrees with a large l they cancel."""
    return (l if l > ZERO else ZERO) - x * l


@fast
def add_bias(a, b):
    for i in range(a.shape[0]):
        row = a[i]
        for j in range(row.size):
            row[j] += b[j]


@fast
def add_bias_tanh(a, b):
    """a becomes tanh(a + b), by Eq. (FAST.4): without cancellation at small a + b."""
    for i in range(a.shape[0]):
        row = a[i]
        for j in range(row.size):
            v = row[j] + b[j]
            q, s = exp_parts(-TWO * abs(v))
            m = expm1_parts(q, s)  # expm1(-2 |v|)
            t = -m / (TWO + m)
            t = t if v > ZERO else -t
            row[j] = t if v == v else v


@fast
def add_bias_relu(a, b):
    for i in range(a.shape[0]):
        row = a[i]
        for j in range(row.size):
            v = row[j] + b[j]
            row[j] = v if not v < ZERO else ZERO  # NaN stays


@fast
def sum_rows(dy, db):
    db[:] = ZERO
    for i in range(dy.shape[0]):
        row = dy[i]
        for j in range(row.size):
            db[j] += row[j]


@fast
def tanh_da(dh, h, da, db):
    db[:] = ZERO
    for i in range(h.shape[0]):
        h_row, dh_row, da_row = h[i], dh[i], da[i]
        for j in range(h_row.size):
            d = dh_row[j] * (ONE - h_row[j] * h_row[j])
            da_row[j] = d
            db[j] += d


@fast
def relu_da(dh, h, da, db):
    db[:] = ZERO
    for i in range(h.shape[0]):
        h_row, dh_row, da_row = h[i], dh[i], da[i]
        for j in range(h_row.size):
            d = dh_row[j] * (ONE if h_row[j] > ZERO else ZERO)
            da_row[j] = d
            db[j] += d


ACT_KERNELS = {"linear": (add_bias, None), "tanh": (add_bias_tanh, tanh_da), "relu": (add_bias_relu, relu_da)}


def dense_act_forward(x, W, b, activation):
    if activation not in ACT_KERNELS or not (x.dtype == W.dtype == b.dtype == F32 and b.shape == W.shape[1:]):
        return ops.dense_act_forward(x, W, b, activation)
    # as x @ W with a shorter way to BLAS, which some NumPys do not take for what is not contiguous: those sum as ops does
    h = x.dot(W) if x.flags.c_contiguous else x @ W
    ACT_KERNELS[activation][0](h, b)
    return h


def dense_act_backward(dh, x, W, h, activation, out=(None, None)):
    if activation not in ACT_KERNELS or not (_alike(dh, h) and x.dtype == W.dtype == F32):
        return ops.dense_act_backward(dh, x, W, h, activation, out)
    da, dW, db = _da_dW_db(dh, x, h, activation, out)
    if 4 * len(da) <= len(W):  # for a batch much smaller than the layer, BLAS is quicker at W da^T, turned back
        return np.ascontiguousarray(W.dot(da.T).T), dW, db
    return da.dot(W.T), dW, db


def dense_act_backward_params(dh, x, h, activation, out=(None, None)):
    if activation not in ACT_KERNELS or not (_alike(dh, h) and x.dtype == F32):
        return ops.dense_act_backward_params(dh, x, h, activation, out)
    return _da_dW_db(dh, x, h, activation, out)[1:]


def _da_dW_db(dh, x, h, activation, out):
    db = np.empty(h.shape[1], F32) if out[1] is None else out[1]
    if activation == "linear":
        da = np.ascontiguousarray(dh)
        sum_rows(da, db)
    else:
        da = np.empty(h.shape, F32)
        ACT_KERNELS[activation][1](np.ascontiguousarray(dh), np.ascontiguousarray(h), da, db)
    dW = x.T.dot(da, out=out[0]) if x.flags.c_contiguous else np.matmul(x.T, da, out=out[0])
    return da, dW, db


# ---- the Bernoulli loss -------------------------------------------------------------------------------


@fast
def bernoulli_rows(logits, x, nll):
    """BERN.1 row by row: one log for a block, Eq. (FAST.2), unless every e is lost beside the 1, Eq. (FAST.3)."""
    for i in range(nll.size):
        total = 0.0
        for start in range(0, logits.shape[1], BLOCK):
            l_part, x_part = logits[i, start : start + BLOCK], x[i, start : start + BLOCK]
            linear, product, small = ZERO, 1.0, 0.0
            for j in range(l_part.size):
                l = l_part[j]
                q, s = exp_parts(-abs(l))
                e = s * q + s if l == l else l
                linear += bernoulli_linear(l, x_part[j])
                product *= 1.0 + np.float64(e)  # one log for the block, Eq. (FAST.2) ...
                small += np.float64(e)  # ... unless every e is lost beside the 1, Eq. (FAST.3)
            total += np.float64(linear) + (small if small < 4e-7 else np.log(product))
        nll[i] = total


@fast
def bernoulli_dlogits(dnll, logits, x, dlogits):
    for i in range(dnll.size):
        l_row, x_row, d_row = logits[i], x[i], dlogits[i]
        for j in range(l_row.size):
            l = l_row[j]
            q, s = exp_parts(-abs(l))
            e = s * q + s
            p = (ONE if l > ZERO else e) / (ONE + e)
            d_row[j] = dnll[i] * ((p if l == l else l) - x_row[j])


def bernoulli_nll_forward(logits, x):
    if not _alike(logits, x):
        return ops.bernoulli_nll_forward(logits, x)
    nll = np.empty(len(x), F32)
    bernoulli_rows(np.ascontiguousarray(logits), np.ascontiguousarray(x), nll)
    return nll


def bernoulli_nll_backward(dnll, logits, x):
    if not (_alike(logits, x) and _is_rows(dnll, x)):
        return ops.bernoulli_nll_backward(dnll, logits, x)
    dlogits = np.empty(logits.shape, F32)
    bernoulli_dlogits(np.ascontiguousarray(dnll), np.ascontiguousarray(logits), np.ascontiguousarray(x), dlogits)
    return dlogits


# ---- reparameterization and KL: small arrays, where the saving is NumPy's calls -------------------------


@fast
def exp_half(x):
    """exp(x / 2) = exp(x / 4)^2, Eq. (FAST.5): where exp(x / 2) overflows the product does, and not before."""
    q, s = exp_parts(x * (HALF * HALF))
    e = s * q + s
    return e * e if x == x else x


@fast
def expm1(x):
    """expm1(x) = m (m + 2) with m = expm1(x / 2), Eq. (FAST.6), likewise."""
    q, s = exp_parts(x * HALF)
    m = expm1_parts(q, s)
    return m * (m + TWO) if x == x else x


@fast
def latent_z(mu, logvar, eps, z):
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = mu[i, j] + exp_half(logvar[i, j]) * eps[i, j]


@fast
def latent_dlogvar(dz, logvar, eps, dlogvar):
    for i in range(dz.shape[0]):
        for j in range(dz.shape[1]):
            dlogvar[i, j] = dz[i, j] * eps[i, j] * exp_half(logvar[i, j]) * HALF


@fast
def kl_rows(mu, logvar, kl):
    for i in range(mu.shape[0]):
        total = ZERO
        for j in range(mu.shape[1]):
            total += (mu[i, j] * mu[i, j] + (expm1(logvar[i, j]) - logvar[i, j])) * HALF
        kl[i] = total


@fast
def kl_dmu_dlogvar(dkl, mu, logvar, dmu, dlogvar):
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            dmu[i, j] = dkl[i] * mu[i, j]
            dlogvar[i, j] = dkl[i] * expm1(logvar[i, j]) * HALF


def reparameterize_forward(mu, logvar, eps):
    if not _alike(mu, logvar, eps):
        return ops.reparameterize_forward(mu, logvar, eps)
    z = np.empty(eps.shape, F32)
    latent_z(mu, logvar, eps, z)
    return z


def reparameterize_backward(dz, logvar, eps):
    if not _alike(dz, logvar, eps):
        return ops.reparameterize_backward(dz, logvar, eps)
    dlogvar = np.empty(dz.shape, F32)
    latent_dlogvar(dz, logvar, eps, dlogvar)
    return dz, dlogvar


def gaussian_kl_forward(mu, logvar):
    if not _alike(mu, logvar):
        return ops.gaussian_kl_forward(mu, logvar)
    kl = np.empty(len(mu), F32)
    kl_rows(mu, logvar, kl)
    return kl


def gaussian_kl_backward(dkl, mu, logvar):
    if not (_alike(mu, logvar) and _is_rows(dkl, mu)):
        return ops.gaussian_kl_backward(dkl, mu, logvar)
    dmu, dlogvar = np.empty(mu.shape, F32), np.empty(mu.shape, F32)
    kl_dmu_dlogvar(dkl, mu, logvar, dmu, dlogvar)
    return dmu, dlogvar


# ---- update rules of optimizers.py ----------------------------------------------------------------------


def _flat(*arrays):
    """Views of the arrays as vectors, or None where a kernel could not write through them."""
    if not (_alike(*arrays) and all(array.flags.c_contiguous for array in arrays)):
        return None
    return [array.reshape(-1) for array in arrays]


@fast
def adam_entries(param, grad, m, v, rate, beta1, rest1, beta2, rest2, v_scale, adam_eps):
    rate, v_scale, adam_eps = np.float32(rate), np.float32(v_scale), np.float32(adam_eps)  # or all became float64
    beta1, rest1, beta2, rest2 = np.float32(beta1), np.float32(rest1), np.float32(beta2), np.float32(rest2)
    for i in range(param.size):
        g = grad[i]
        m_new, v_new = beta1 * m[i] + rest1 * g, beta2 * v[i] + rest2 * g * g
        m[i], v[i] = m_new, v_new
        param[i] -= rate * m_new / (np.sqrt(v_new * v_scale) + adam_eps)


@fast
def adagrad_entries(param, grad, g2, lr, adagrad_eps):
    lr, adagrad_eps = np.float32(lr), np.float32(adagrad_eps)
    for i in range(param.size):
        g = grad[i]
        g2_new = g2[i] + g * g
        g2[i] = g2_new
        param[i] -= lr * g / (np.sqrt(g2_new) + adagrad_eps)


def adam_update(param, grad, m, v, t, lr, beta1, beta2, adam_eps):
    vectors = _flat(param, grad, m, v)
    if vectors is None:
        return optimizers.adam_update(param, grad, m, v, t, lr, beta1, beta2, adam_eps)
    rate, v_scale = lr / (1 - beta1**t), 1 / (1 - beta2**t)
    # 1 - beta2 is taken before rounding: in float32 it is off by 1.3e-5, Eq. FAST.12
    adam_entries(*vectors, rate, beta1, 1 - beta1, beta2, 1 - beta2, v_scale, adam_eps)


def adagrad_update(param, grad, g2, lr, adagrad_eps):
    vectors = _flat(param, grad, g2)
    if vectors is None:
        return optimizers.adagrad_update(param, grad, g2, lr, adagrad_eps)
    adagrad_entries(*vectors, lr, adagrad_eps)


# ---- drawing: the twin of fill_polygons in datasets/dsprites.py ------------------------------------------


@fast
def fill_polygons(vertices, images):
    """The rule of the plain form, edge by edge: an edge marks, in the rows it crosses, the first pixel it flips."""
    size = images.shape[1]
    for i in range(len(images)):
        points, image = vertices[i], images[i]
        top, bottom, left, right = size, -1, size, -1
        for k in range(len(points)):
            x1, y1, x2, y2 = points[k - 1, 0], points[k - 1, 1], points[k, 0], points[k, 1]
            if y1 > y2:
                x1, y1, x2, y2 = x2, y2, x1, y1
            dx, dy = x2 - x1, y2 - y1
            for row in range(max((y1 + 128) >> 8, 0), min((y2 + 128) >> 8, size)):
                # the first column with (256 column + 128 - x1) dy >= (256 row + 128 - y1) dx: a quotient rounded up
                column = max(0, -(((128 - x1) * dy - (256 * row + 128 - y1) * dx) // (256 * dy)))
                if column < size:
                    image[row, column] = ONE - image[row, column]
                top, bottom, left, right = min(top, row), max(bottom, row), min(left, column), max(right, column)
        for row in range(top, bottom + 1):
            line, inside = image[row, left : right + 1], False
            for column in range(line.size):
                inside ^= line[column] != ZERO
                line[column] = ONE if inside else ZERO

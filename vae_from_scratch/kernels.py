"""Numba twins of the hot pairs of ops.py: same names, same signatures, same results up to rounding.

derivations/13-faster.md.  A drop-in namespace for ops: what has no twin here is ops' own.  BLAS keeps the matrix products; a kernel does in
one pass over memory what NumPy does in several.  Single-threaded: loops in parallel beside a threaded BLAS starve
each other.  A row is sliced before it is looped over, so that the compiler knows its indices to be in range and turns
the loop into SIMD instructions.

A compiled loop writes wherever it is told to.  So a twin calls its kernel only with arrays of the type that it was
written for (float32; float64 too in an update rule; int64 vertices in fill_polygons) and of the right number of axes.
Shapes are compared before anything is written, mostly in the kernel, where that costs nothing: it returns False.
Everything else goes to ops, which works with it or refuses it.  What is written to must not overlap what is read.
A twin names, with checksums, all that it stands for: where that was changed, what was changed runs.  engine/twins.py.
"""

import contextlib
import functools
import importlib
import sys
import threading
import time

import numpy as np
from numpy import ndarray

try:
    from numba import config, njit, types
    from numba.core import cgutils, event
    from numba.core.caching import FunctionCache
    from numba.extending import intrinsic
except Exception as error:  # a library that is broken or does not fit raises anything
    raise ImportError(f"Numba cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})") from error

from . import ops, optimizers
from .engine.bars import tqdm
from .engine.twins import Twins
from .ops import *  # noqa: F403  the rest of the namespace
from .ops import ACTIVATIONS

if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set")

dsprites = importlib.import_module(".datasets.dsprites", __package__)  # the attribute of that name is a function
twins = Twins(globals())

F32, INT64 = np.dtype(np.float32), np.dtype(np.int64)
FLOATS = F32, np.dtype(np.float64)
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
QUARTER, THREE, FIVE, SEVEN, NINE, ELEVEN = (np.float32(value) for value in (0.25, 3, 5, 7, 9, 11))
C6, C5, C4, C3 = np.float32(1 / 720), np.float32(1 / 120), np.float32(1 / 24), np.float32(1 / 6)
nogil = True  # the kernels let other threads run beside them: engine/parts.py
LIMIT = np.float32(87)  # where exp is still finite and not yet denormal
FAR = 1 << 28  # a coordinate; a difference of two, times another, is below 2^60
BLOCK = 512  # factors 1 + e <= 2 of one product: 2^512 is a float64
SHARES = 64  # factors of one product, above 1e-290 for logits up to 3e4


class Kept(FunctionCache):
    """What was compiled, on disk: a file that cannot be read is written again, one that cannot be written is done without."""

    def load_overload(self, *of):
        try:
            return super().load_overload(*of)
        except Exception:  # unpickling a damaged file raises anything
            with contextlib.suppress(Exception):
                self.flush()  # or saving would stumble over the same index
            return None

    def save_overload(self, *of):
        with contextlib.suppress(Exception):
            super().save_overload(*of)


def _njit(function, **options):
    """Numba's njit, which keeps what it compiles wherever there is a place for that."""
    dispatcher = njit(nogil=nogil, **options)(function)
    with contextlib.suppress(RuntimeError, OSError):  # no folder can be written to: each start compiles anew
        dispatcher._cache = Kept(function)  # what cache=True does, with Numba's own FunctionCache
    return dispatcher


# fastmath by name: sums may be reordered and a * b + c fused, NaN and infinity stay what they are.  The range
# reduction below must not be reordered, so it has flags of its own.
exact = functools.partial(_njit, error_model="numpy", fastmath={"contract"}, inline="never")
fast = functools.partial(_njit, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
as_written = functools.partial(_njit, error_model="numpy")


class SayCompiling(event.Listener):
    """Says so, once, if compiling takes longer than two seconds in all: it is not a hang, and the next start has a cache."""

    def __init__(self, patience=2.0):
        self.patience, self.timer, self.said = patience, None, False
        event.register("numba:compile", self)

    def say(self):
        self.said = True
        if sys.stderr:
            tqdm.write("compiling kernels, once", file=sys.stderr)  # a bar that is shown makes room for it

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


# ---- waiting: engine/parts.py -------------------------------------------------------------------------------------


@intrinsic
def what_others_wrote(typing, numbers, i):
    """numbers[i], read from memory each time; a plain read in a loop that writes nothing is made once."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(numbers)(context, builder, arguments[0])
        return builder.load_atomic(cgutils.gep(builder, array.data, arguments[1]), "acquire", 8)

    return types.int64(numbers, types.intp), generate


@fast
def reached(numbers, i, wanted, looks):
    """Whether numbers[i] reaches what is wanted within so many looks, some nanoseconds each."""
    for _ in range(looks):
        if what_others_wrote(numbers, i) >= wanted:
            return True
    return False


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
    if b.size != a.shape[1]:
        return False
    for i in range(a.shape[0]):
        row = a[i]
        for j in range(row.size):
            row[j] += b[j]
    return True


@fast
def add_bias_tanh(a, b):
    """a becomes tanh(a + b), by Eq. (FAST.4): without cancellation at small a + b."""
    if b.size != a.shape[1]:
        return False
    for i in range(a.shape[0]):
        row = a[i]
        for j in range(row.size):
            v = row[j] + b[j]
            q, s = exp_parts(-TWO * abs(v))
            m = expm1_parts(q, s)  # expm1(-2 |v|)
            t = -m / (TWO + m)
            t = t if v > ZERO else -t
            row[j] = t if v == v else v
    return True


@fast
def add_bias_relu(a, b):
    if b.size != a.shape[1]:
        return False
    for i in range(a.shape[0]):
        row = a[i]
        for j in range(row.size):
            v = row[j] + b[j]
            row[j] = v if not v < ZERO else ZERO  # NaN stays
    return True


@fast
def sum_rows(dh, h, db):
    if dh.shape != h.shape or db.size != h.shape[1]:
        return False
    db[:] = ZERO
    for i in range(dh.shape[0]):
        row = dh[i]
        for j in range(row.size):
            db[j] += row[j]
    return True


@fast
def tanh_da(dh, h, da, db):
    if dh.shape != h.shape or db.size != h.shape[1]:
        return False
    db[:] = ZERO
    for i in range(h.shape[0]):
        h_row, dh_row, da_row = h[i], dh[i], da[i]
        for j in range(h_row.size):
            d = dh_row[j] * (ONE - h_row[j] * h_row[j])
            da_row[j] = d
            db[j] += d
    return True


@fast
def relu_da(dh, h, da, db):
    if dh.shape != h.shape or db.size != h.shape[1]:
        return False
    db[:] = ZERO
    for i in range(h.shape[0]):
        h_row, dh_row, da_row = h[i], dh[i], da[i]
        for j in range(h_row.size):
            d = dh_row[j] * (ONE if h_row[j] > ZERO else ZERO)
            da_row[j] = d
            db[j] += d
    return True


ACT_KERNELS = {"linear": (add_bias, None), "tanh": (add_bias_tanh, tanh_da), "relu": (add_bias_relu, relu_da)}
ACT_WRITTEN = {  # the checksums of their entries in ACTIVATIONS
    "linear": (0x548a37c3, 0x1c01a27b),
    "tanh": (0x21f2cc61, 0xd20d9164),
    "relu": (0x599b972a, 0xfd9e0920),
}
ACT_PAIRS = {}  # the entries that were found to have them, or CHANGED
CHANGED = object()


def _has_kernel(activation):
    """Whether what ACTIVATIONS holds now is what the kernels stand for; says so, once, where it was replaced."""
    pair = ACTIVATIONS.get(activation)
    if pair is ACT_PAIRS.get(activation, CHANGED):
        return True
    if activation not in ACT_KERNELS:
        return False
    written = ACT_WRITTEN[activation]
    if type(pair) is tuple and len(pair) == 2 and all(map(twins.is_as_written, (ops, ops), pair, written)):
        ACT_PAIRS[activation] = pair
        return True
    by_name = tuple(getattr(ops, f"{activation}_{way}", None) for way in ("forward", "backward"))
    if pair != by_name and ACT_PAIRS.get(activation) is not CHANGED:  # by name, it was said when it was changed
        ACT_PAIRS[activation] = CHANGED
        print(f"ops.ACTIVATIONS[{activation!r}] was changed: its kernel is set aside", file=sys.stderr)
    return False


@twins.of(ops, dense_act_forward=0xb0ea9427, dense_forward=0xd185ab6f, tanh_forward=0x21f2cc61, relu_forward=0x599b972a)
def dense_act_forward(x, W, b, activation):
    if (
        (ACTIVATIONS.get(activation) is ACT_PAIRS.get(activation, CHANGED) or _has_kernel(activation))
        and type(x) is type(W) is type(b) is ndarray
        and x.dtype == W.dtype == b.dtype == F32
        and x.ndim == W.ndim == 2
        and b.ndim == 1
    ):
        try:
            # as x @ W, by a shorter way to BLAS; what is not contiguous some NumPys sum otherwise, so there as ops does
            h = x.dot(W) if x.flags.c_contiguous else x @ W
            if ACT_KERNELS[activation][0](h, b):
                return h
        except ValueError:  # x does not fit W: ops says so
            pass
    return ops.dense_act_forward(x, W, b, activation)


@twins.of(
    ops,
    dense_act_backward=0xfc504017,
    dense_backward=0x7b1c74b7,
    dense_backward_params=0xa429497a,
    tanh_backward=0xd20d9164,
    relu_backward=0xfd9e0920,
)
def dense_act_backward(dh, x, W, h, activation, out=(None, None)):
    if type(W) is ndarray and W.ndim == 2 and W.dtype == F32:
        try:
            da, dW, db = _da_dW_db(dh, x, h, activation, out)
            if da is not None:
                return layer_dx(da, W), dW, db
        except ValueError:  # x or W does not fit dh, or the array for dW is not one that BLAS can fill
            pass
    return ops.dense_act_backward(dh, x, W, h, activation, out)


@twins.of(
    ops,
    dense_act_backward_params=0x3333b098,
    dense_backward_params=0xa429497a,
    tanh_backward=0xd20d9164,
    relu_backward=0xfd9e0920,
)
def dense_act_backward_params(dh, x, h, activation, out=(None, None)):
    try:
        da, dW, db = _da_dW_db(dh, x, h, activation, out)
        if da is not None:
            return dW, db
    except ValueError:
        pass
    return ops.dense_act_backward_params(dh, x, h, activation, out)


def _da_dW_db(dh, x, h, activation, out):
    """None, None, None if no kernel fits the arrays; ValueError, as from NumPy, where x or dW does not fit da."""
    if not (type(x) is ndarray and x.dtype == F32 and x.ndim == 2 and type(out) is tuple and len(out) == 2):
        return None, None, None
    dW, db = out
    if not (db is None or (type(db) is ndarray and db.dtype == F32 and db.ndim == 1 and db.flags.carray)):
        return None, None, None
    da, db = _da_db(dh, h, activation, db)
    if da is None:
        return None, None, None
    dW = x.T.dot(da, out=dW) if x.flags.c_contiguous else np.matmul(x.T, da, out=dW)
    return da, dW, db


def _da_db(dh, h, activation, db):
    """None, None if no kernel fits the arrays."""
    if not (
        (ACTIVATIONS.get(activation) is ACT_PAIRS.get(activation, CHANGED) or _has_kernel(activation))
        and type(dh) is type(h) is ndarray
        and dh.dtype == h.dtype == F32
        and dh.ndim == h.ndim == 2
    ):
        return None, None
    db = np.empty(h.shape[1], F32) if db is None else db
    if activation == "linear":
        da = np.ascontiguousarray(dh)
        done = sum_rows(da, h, db)
    else:
        da = np.empty(h.shape, F32)
        done = ACT_KERNELS[activation][1](np.ascontiguousarray(dh), np.ascontiguousarray(h), da, db)
    return (da, db) if done else (None, None)


# the two halves of dense_act_backward, for the parts of a batch: engine/parts.py
def layer_da(dh, h, activation):
    """da alone."""
    if activation == "linear":
        return dh
    da, _ = _da_db(dh, h, activation, None)
    return ACTIVATIONS[activation][1](dh, h) if da is None else da


def layer_dx(da, W):
    """dx = da W^T."""
    if 4 * len(da) <= len(W):  # a batch much smaller than the layer: BLAS is quicker at W da^T, turned back
        return np.ascontiguousarray(W.dot(da.T).T)
    return da.dot(W.T)


# ---- the Bernoulli loss -------------------------------------------------------------------------------


@fast
def bernoulli_rows(logits, x, nll):
    """BERN.1 row by row, Eqs. (FAST.2), (FAST.3)."""
    if logits.shape != x.shape:
        return False
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
    return True


@fast
def bernoulli_dlogits(dnll, logits, x, dlogits):
    if not (logits.shape == x.shape and dnll.size == x.shape[0]):
        return False
    for i in range(dnll.size):
        l_row, x_row, d_row = logits[i], x[i], dlogits[i]
        for j in range(l_row.size):
            l = l_row[j]
            q, s = exp_parts(-abs(l))
            e = s * q + s
            p = (ONE if l > ZERO else e) / (ONE + e)
            d_row[j] = dnll[i] * ((p if l == l else l) - x_row[j])
    return True


@twins.of(ops, bernoulli_nll_forward=0xd6569f3e)
def bernoulli_nll_forward(logits, x):
    if type(logits) is type(x) is ndarray and logits.dtype == x.dtype == F32 and logits.ndim == x.ndim == 2:
        nll = np.empty(len(logits), F32)
        if bernoulli_rows(np.ascontiguousarray(logits), np.ascontiguousarray(x), nll):
            return nll
    return ops.bernoulli_nll_forward(logits, x)


@twins.of(ops, bernoulli_nll_backward=0xf5a3453f, sigmoid_forward=0x5b12c08c)
def bernoulli_nll_backward(dnll, logits, x):
    if (
        type(dnll) is type(logits) is type(x) is ndarray
        and dnll.dtype == logits.dtype == x.dtype == F32
        and dnll.ndim == 1
        and logits.ndim == x.ndim == 2
    ):
        dlogits, dnll_row = np.empty(logits.shape, F32), np.ascontiguousarray(dnll)
        if bernoulli_dlogits(dnll_row, np.ascontiguousarray(logits), np.ascontiguousarray(x), dlogits):
            return dlogits
    return ops.bernoulli_nll_backward(dnll, logits, x)


# ---- the continuous Bernoulli's loss: what it adds to the Bernoulli's is the logarithm of a share ---------


@fast
def share(l):
    """(1 - e^-a) / a at a = |l|, whose logarithm is CB.2's last term; 1 at 0."""
    a = abs(l)
    q, s = exp_parts(-a)
    return -expm1_parts(q, s) / a if a != ZERO else ONE


@fast
def continuous_bernoulli_rows(logits, x, nll):
    if logits.shape != x.shape:
        return False
    for i in range(nll.size):
        total = 0.0
        for start in range(0, logits.shape[1], SHARES):
            l_part, x_part = logits[i, start : start + SHARES], x[i, start : start + SHARES]
            linear, product = ZERO, 1.0
            for j in range(l_part.size):
                linear += bernoulli_linear(l_part[j], x_part[j])
                product *= np.float64(share(l_part[j]))  # one log for the block, as in Eq. (FAST.2) ...
            if product > 1e-290 or product != product:
                total += np.float64(linear) + np.log(product)
            else:  # ... unless logits beyond 3e4 make the product underflow
                total += np.float64(linear)
                for j in range(l_part.size):
                    total += np.log(np.float64(share(l_part[j])))
        nll[i] = total
    return True


@fast
def continuous_bernoulli_dlogits(dnll, logits, x, dlogits):
    if not (logits.shape == x.shape and dnll.size == x.shape[0]):
        return False
    for i in range(dnll.size):
        l_row, x_row, d_row = logits[i], x[i], dlogits[i]
        for j in range(l_row.size):
            l = l_row[j]
            a = abs(l)
            near, far = min(a, TWO), max(a, TWO)
            q, s = exp_parts(-far)
            e = s * q + s
            x2 = QUARTER * near * near
            f = ONE / (THREE + x2 / (FIVE + x2 / (SEVEN + x2 / (NINE + x2 / ELEVEN))))  # cut off at 11: 6e-10
            m = HALF - QUARTER * near * f if a <= TWO else ONE / far - e / (ONE - e)
            d_row[j] = dnll[i] * (((ONE - m if l > ZERO else m) if l == l else l) - x_row[j])
    return True


@twins.of(ops, continuous_bernoulli_nll_forward=0x2baa115a)
def continuous_bernoulli_nll_forward(logits, x):
    if type(logits) is type(x) is ndarray and logits.dtype == x.dtype == F32 and logits.ndim == x.ndim == 2:
        nll = np.empty(len(logits), F32)
        if continuous_bernoulli_rows(np.ascontiguousarray(logits), np.ascontiguousarray(x), nll):
            return nll
    return ops.continuous_bernoulli_nll_forward(logits, x)


@twins.of(ops, continuous_bernoulli_nll_backward=0x1e5569be, continuous_bernoulli_mean=0xb26afa15, _langevin=0x1930fa4e)
def continuous_bernoulli_nll_backward(dnll, logits, x):
    if (
        type(dnll) is type(logits) is type(x) is ndarray
        and dnll.dtype == logits.dtype == x.dtype == F32
        and dnll.ndim == 1
        and logits.ndim == x.ndim == 2
    ):
        dlogits, dnll_row = np.empty(logits.shape, F32), np.ascontiguousarray(dnll)
        if continuous_bernoulli_dlogits(dnll_row, np.ascontiguousarray(logits), np.ascontiguousarray(x), dlogits):
            return dlogits
    return ops.continuous_bernoulli_nll_backward(dnll, logits, x)


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
    if not mu.shape == logvar.shape == eps.shape:
        return False
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = mu[i, j] + exp_half(logvar[i, j]) * eps[i, j]
    return True


@fast
def latent_dlogvar(dz, logvar, eps, dlogvar):
    if not dz.shape == logvar.shape == eps.shape:
        return False
    for i in range(dz.shape[0]):
        for j in range(dz.shape[1]):
            dlogvar[i, j] = dz[i, j] * eps[i, j] * exp_half(logvar[i, j]) * HALF
    return True


@fast
def kl_rows(mu, logvar, kl):
    if mu.shape != logvar.shape:
        return False
    for i in range(mu.shape[0]):
        total = ZERO
        for j in range(mu.shape[1]):
            total += (mu[i, j] * mu[i, j] + (expm1(logvar[i, j]) - logvar[i, j])) * HALF
        kl[i] = total
    return True


@fast
def kl_dmu_dlogvar(dkl, mu, logvar, dmu, dlogvar):
    if not (mu.shape == logvar.shape and dkl.size == mu.shape[0]):
        return False
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            dmu[i, j] = dkl[i] * mu[i, j]
            dlogvar[i, j] = dkl[i] * expm1(logvar[i, j]) * HALF
    return True


@twins.of(ops, reparameterize_forward=0x057349b1)
def reparameterize_forward(mu, logvar, eps):
    if (
        type(mu) is type(logvar) is type(eps) is ndarray
        and mu.dtype == logvar.dtype == eps.dtype == F32
        and mu.ndim == logvar.ndim == eps.ndim == 2
    ):
        z = np.empty(mu.shape, F32)
        if latent_z(mu, logvar, eps, z):
            return z
    return ops.reparameterize_forward(mu, logvar, eps)


@twins.of(ops, reparameterize_backward=0xebceec87)
def reparameterize_backward(dz, logvar, eps):
    if (
        type(dz) is type(logvar) is type(eps) is ndarray
        and dz.dtype == logvar.dtype == eps.dtype == F32
        and dz.ndim == logvar.ndim == eps.ndim == 2
    ):
        dlogvar = np.empty(dz.shape, F32)
        if latent_dlogvar(dz, logvar, eps, dlogvar):
            return dz, dlogvar
    return ops.reparameterize_backward(dz, logvar, eps)


@twins.of(ops, gaussian_kl_forward=0x78b555ae, gaussian_kl_per_latent=0x0fec93f9)
def gaussian_kl_forward(mu, logvar):
    if type(mu) is type(logvar) is ndarray and mu.dtype == logvar.dtype == F32 and mu.ndim == logvar.ndim == 2:
        kl = np.empty(len(mu), F32)
        if kl_rows(mu, logvar, kl):
            return kl
    return ops.gaussian_kl_forward(mu, logvar)


@twins.of(ops, gaussian_kl_backward=0x7e571b74)
def gaussian_kl_backward(dkl, mu, logvar):
    if (
        type(dkl) is type(mu) is type(logvar) is ndarray
        and dkl.dtype == mu.dtype == logvar.dtype == F32
        and dkl.ndim == 1
        and mu.ndim == logvar.ndim == 2
    ):
        dmu, dlogvar = np.empty(mu.shape, F32), np.empty(mu.shape, F32)
        if kl_dmu_dlogvar(dkl, mu, logvar, dmu, dlogvar):
            return dmu, dlogvar
    return ops.gaussian_kl_backward(dkl, mu, logvar)


# ---- the total correlation: for each row of z a pass over the batch, in which nothing of shape (N, N) is stored --------


@exact
def exp_below(x):
    """exp(x) for x <= 0; 0 where it is below the least normal number."""
    q, s = exp_parts(x)
    e = s * q + s if x > -LIMIT else ZERO
    return e if x == x else x


@fast
def exps(a):
    """a becomes exp(a - top), with top its largest entry.  Returns their sum and top."""
    top, total = a[0], ZERO
    for m in range(a.size):
        top = a[m] if a[m] > top else top
    for m in range(a.size):
        a[m] = exp_below(a[m] - top)
        total += a[m]
    return total, top


@as_written
def log_densities(z, n, mu, precision, logvar, log_own, log_other, log_q, joint):
    """log c_nm + log q(z_nj | x_m) for one n and all j and m into log_q (Z, N); log c_nm and their sum over j into joint (N,).

    mu, precision, logvar (Z, N).  Rounded as ops rounds, for a part is a small difference of sums.  Returns the own sum, without c_nn.
    """
    own = ZERO
    joint[:] = log_other
    joint[n] = log_own
    for j in range(mu.shape[0]):
        z_nj, mu_j, precision_j, logvar_j, log_q_j = z[n, j], mu[j], precision[j], logvar[j], log_q[j]
        for m in range(joint.size):
            distance = z_nj - mu_j[m]
            density = -(distance * distance * precision_j[m] + logvar_j[m]) * HALF
            log_q_j[m] = log_other + density
            joint[m] += density
        distance = z_nj - mu_j[n]
        density = -(distance * distance * precision_j[n] + logvar_j[n]) * HALF
        log_q_j[n] = log_own + density
        own += density
    return own


@as_written
def batch_parts_rows(mu, precision, logvar, z, log_own, log_other, log_q, joint, parts):
    if not (mu.shape == precision.shape == logvar.shape == log_q.shape == (z.shape[1], z.shape[0]) and joint.size == z.shape[0]):
        return False
    for n in range(z.shape[0]):
        own = log_densities(z, n, mu, precision, logvar, log_own, log_other, log_q, joint)
        marginals, log_prior = ZERO, ZERO
        for j in range(z.shape[1]):
            total, top = exps(log_q[j])
            marginals += np.log(total) + top
            log_prior -= z[n, j] * z[n, j] * HALF
        total, top = exps(joint)
        log_q_z = np.log(total) + top
        parts[n, 0], parts[n, 1], parts[n, 2] = own - log_q_z, log_q_z - marginals, marginals - log_prior
    return True


@fast
def batch_parts_grads(dparts, mu, precision, logvar, z, log_own, log_other, log_q, joint, dmu, dlogvar, dz):
    if not (
        mu.shape == precision.shape == logvar.shape == log_q.shape == (z.shape[1], z.shape[0])
        and joint.size == z.shape[0]
        and dparts.shape == (z.shape[0], 3)
    ):
        return False
    dmu[:], dlogvar[:] = ZERO, ZERO
    apart = np.empty_like(joint)
    for n in range(z.shape[0]):
        log_densities(z, n, mu, precision, logvar, log_own, log_other, log_q, joint)
        total, _ = exps(joint)
        dinformation, dcorrelation, ddimensions = dparts[n]
        for m in range(joint.size):
            joint[m] /= total
            apart[m] = -dinformation * joint[m]
        apart[n] = dinformation * (ONE - joint[n])
        for j in range(z.shape[1]):
            z_nj, mu_j, precision_j, t, dmu_j, dlogvar_j = z[n, j], mu[j], precision[j], log_q[j], dmu[j], dlogvar[j]
            total, _ = exps(t)
            back = ZERO
            for m in range(joint.size):
                t_m, distance = t[m] / total, z_nj - mu_j[m]
                dlog_q, u = apart[m] + dcorrelation * (joint[m] - t_m) + ddimensions * t_m, distance * precision_j[m]
                back += dlog_q * u
                dmu_j[m] += dlog_q * u
                dlogvar_j[m] += dlog_q * (u * distance - ONE) * HALF
            dz[n, j] = ddimensions * z_nj - back
    return True


def _latents_first(mu, logvar, z, n_train, stratified):
    """mu, precision and logvar as (Z, N), room for a row, the two log weights; None if no kernel fits the arrays."""
    if not (
        type(mu) is type(logvar) is type(z) is ndarray
        and mu.dtype == logvar.dtype == z.dtype == F32
        and mu.ndim == logvar.ndim == z.ndim == 2
        and z.size
        and type(n_train) is int
        and n_train > 1
        and type(stratified) is bool
    ):
        return None
    turned = [np.ascontiguousarray(array.T) for array in (mu, np.exp(-logvar), logvar)]
    room = np.empty(z.T.shape, F32), np.empty(len(z), F32)
    return turned, room, ops.log_batch_weights(len(z), n_train, stratified, F32)


BATCH_PARTS = {"log_batch_weights": 0x988254ba, "_spread_weights": 0x62bdea35, "_log_density": 0x1b6c2c8d}


@twins.of(ops, batch_parts_forward=0x498fc87f, _log_sum_exp=0x09980f06, **BATCH_PARTS)
def batch_parts_forward(mu, logvar, z, n_train, stratified):
    found = _latents_first(mu, logvar, z, n_train, stratified)
    if found is not None:
        turned, room, weights = found
        parts = np.empty((len(z), 3), F32)
        if batch_parts_rows(*turned, np.ascontiguousarray(z), *weights, *room, parts):
            return parts
    return ops.batch_parts_forward(mu, logvar, z, n_train, stratified)


@twins.of(ops, batch_parts_backward=0x36b399e5, normalised_weights=0xcb4c6c51, **BATCH_PARTS)
def batch_parts_backward(dparts, mu, logvar, z, n_train, stratified):
    found = _latents_first(mu, logvar, z, n_train, stratified)
    if found is not None and type(dparts) is ndarray and dparts.dtype == F32 and dparts.ndim == 2:
        turned, room, weights = found
        dmu, dlogvar, dz = np.empty(z.T.shape, F32), np.empty(z.T.shape, F32), np.empty(z.shape, F32)
        grads = dmu, dlogvar, dz
        if batch_parts_grads(np.ascontiguousarray(dparts), *turned, np.ascontiguousarray(z), *weights, *room, *grads):
            return np.ascontiguousarray(dmu.T), np.ascontiguousarray(dlogvar.T), dz
    return ops.batch_parts_backward(dparts, mu, logvar, z, n_train, stratified)


# ---- update rules of optimizers.py ----------------------------------------------------------------------


def _flat(grad, *changed):
    """Views of the arrays as vectors, or None where a kernel could not read or write through them; float64 as well."""
    if not (type(grad) is ndarray and grad.dtype in FLOATS and grad.flags.c_contiguous):
        return None
    shape, dtype, vectors = grad.shape, grad.dtype, [grad.reshape(-1)]
    for array in changed:
        if not (type(array) is ndarray and array.dtype == dtype and array.flags.carray and array.shape == shape):
            return None
        vectors.append(array.reshape(-1))
    return vectors


@fast
def adam_entries(grad, param, m, v, rate, beta1, rest1, beta2, rest2, v_scale, adam_eps):
    kind = param.dtype.type  # or all became float64
    rate, v_scale, adam_eps = kind(rate), kind(v_scale), kind(adam_eps)
    beta1, rest1, beta2, rest2 = kind(beta1), kind(rest1), kind(beta2), kind(rest2)
    for i in range(param.size):
        g = grad[i]
        m_new, v_new = beta1 * m[i] + rest1 * g, beta2 * v[i] + rest2 * g * g
        m[i], v[i] = m_new, v_new
        param[i] -= rate * m_new / (np.sqrt(v_new * v_scale) + adam_eps)


@fast
def adagrad_entries(grad, param, g2, lr, adagrad_eps):
    lr, adagrad_eps = param.dtype.type(lr), param.dtype.type(adagrad_eps)
    for i in range(param.size):
        g = grad[i]
        g2_new = g2[i] + g * g
        g2[i] = g2_new
        param[i] -= lr * g / (np.sqrt(g2_new) + adagrad_eps)


@twins.of(optimizers, adam_update=0x689e4368)
def adam_update(param, grad, m, v, t, lr, beta1, beta2, adam_eps):
    vectors = _flat(grad, param, m, v)
    # a number of NumPy's, unlike one of Python's, has a precision of its own; (ADAM.4) at t = 0 divides arrays by 0
    numbers = type(t) is int and t > 0 and type(lr) is type(beta1) is type(beta2) is type(adam_eps) is float
    if vectors is None or not numbers or beta1 == 1 or beta2 == 1:
        return optimizers.adam_update(param, grad, m, v, t, lr, beta1, beta2, adam_eps)
    rate, v_scale = lr / (1 - beta1**t), 1 / (1 - beta2**t)
    # 1 - beta2 is taken before rounding: in float32 it is off by 1.3e-5, Eq. FAST.12
    adam_entries(*vectors, rate, beta1, 1 - beta1, beta2, 1 - beta2, v_scale, adam_eps)


@twins.of(optimizers, adagrad_update=0xa812a68e)
def adagrad_update(param, grad, g2, lr, adagrad_eps):
    vectors = _flat(grad, param, g2)
    if vectors is None or not type(lr) is type(adagrad_eps) is float:
        return optimizers.adagrad_update(param, grad, g2, lr, adagrad_eps)
    adagrad_entries(*vectors, lr, adagrad_eps)


# ---- drawing: the twin of fill_polygons in datasets/dsprites.py ------------------------------------------


@fast
def can_fill(vertices, images):
    """Whether products of coordinates fit into 64 bits and the images are empty, as the rule below takes them to be."""
    far, full = False, False
    for i in range(vertices.shape[0]):
        for k in range(vertices.shape[1]):
            x, y = vertices[i, k, 0], vertices[i, k, 1]
            far |= max(x, y) > FAR or min(x, y) < -FAR
    for i in range(images.shape[0]):
        for row in range(images.shape[1]):
            line = images[i, row]
            for column in range(line.size):
                full |= line[column] != ZERO
    return not (far or full)


@fast
def fill_edges(vertices, images):
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


@twins.of(dsprites, fill_polygons=0xdf631515)
def fill_polygons(vertices, images):
    if not (
        type(vertices) is type(images) is ndarray
        and vertices.dtype == INT64
        and images.dtype == F32
        and vertices.ndim == images.ndim == 3
        and vertices.shape[2] == 2
        and images.shape == (len(vertices), images.shape[1], images.shape[1])
        and images.flags.carray
        and can_fill(vertices, images)
    ):
        return dsprites.fill_polygons(vertices, images)
    fill_edges(vertices, images)


twins.watch(ops)

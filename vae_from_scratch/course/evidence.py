"""What is checked beside the values: each returns whether it holds, and a sentence that says what was seen.

They run with the student's functions in the package, once every one of them does on the probes what it should.
"""

import itertools
import timeit

import numpy as np

from .. import evaluation, gradcheck, ops, optimizers
from ..autoencoder import Autoencoder
from ..beta_vae import BetaVAE
from ..datasets import digits
from ..engine import gradient_table
from ..likelihoods import Gaussian
from ..objectives import CapacityVAE
from ..optimizers import Adam
from ..training import fit
from ..vae import VAE
from .cut import compiled, source
from .implant import implanted
from .probes import SIZES, small_model

TINY = {"D": 3, "H": 4, "Z": 2}  # every entry of every parameter is shifted


def gradients(exercise):
    """Every backward of the exercise against differences of its forward."""
    rows = [row for row in gradient_table.PAIRS if f"ops.{row.backward}" in exercise.functions]
    checks = [check for row in rows for check in row.check()]
    bad = [check for check in checks if not check.ok]
    if bad:
        return False, f"differences of the forward disagree: {bad[0].worst}."
    return True, f"the backward agrees with differences of the forward, worst relative error {max(check.error for check in checks):.0e}."


def _models_agree(*models):
    for model in models:
        rng = np.random.default_rng(3)
        x = rng.uniform(size=(3, model.data_dim))
        checks = gradcheck.check_model(model, x, *model.draw_noise(3, rng))
        bad = [check for check in checks if not check.ok]
        if bad:
            return False, f"differences of the loss disagree with {type(model).__name__}'s gradients: {bad[0].worst}."
    return True, "every gradient of the model agrees with differences of its loss."


def model_gradients(exercise):
    """check_model of the VAE."""
    return _models_agree(small_model(VAE, TINY, 1, "bernoulli"), small_model(VAE, TINY, 2, Gaussian("learned")))


def penalty_gradients(exercise):
    """check_model of BetaVAE, and of CapacityVAE on both sides of C."""
    below = small_model(CapacityVAE, TINY, 1, "bernoulli", gamma=3.0, capacity=100.0)
    above = small_model(CapacityVAE, TINY, 1, "bernoulli", gamma=3.0, capacity=0.0)
    return _models_agree(small_model(BetaVAE, TINY, 1, "bernoulli", beta=2.5), below, above)


def linear_autoencoder_reaches_pca(exercise):
    """The best linear code of two numbers keeps the two largest principal components."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(40, 5))
    x = x - x.mean(axis=0)
    best = (np.linalg.svd(x, compute_uv=False)[2:] ** 2).sum() / 2 / len(x)
    model = Autoencoder(5, (), 2, likelihood="squared-error", dtype="float64", backend="numpy", seed=1)
    adam = Adam(lr=0.02)
    state = adam.initial_state(model.params)
    grads = model.params.zeros_like()  # handed in, as training does
    for _ in range(600):
        terms, grads = model.loss_and_grads(x, out=grads)
        adam.step(model.params, grads, state)
    words = f"a linear autoencoder reaches {terms.loss:.4f}, the error of PCA with two components is {best:.4f}."
    return bool(best * (1 - 1e-9) <= terms.loss < best * 1.01), words


def _linear_gaussian(rng, exact):
    """A linear VAE of one latent, data, log p(x), and an encoder that is the posterior or is not."""
    D, sigma = 3, 0.6
    model = VAE(D, (), 1, likelihood=Gaussian(sigma), dtype="float64", backend="numpy")
    W, b, x = rng.normal(size=(1, D)), rng.normal(size=D), rng.normal(size=(4, D))
    variance = 1 / (1 + (W**2).sum() / sigma**2)
    to_mu = variance * W[0] / sigma**2 + (0 if exact else 0.3)
    logvar = np.log(variance) + (0 if exact else 0.5)
    model.params.update(
        decoder_W1=W, decoder_b1=b, encoder_W1=np.stack([to_mu, 0 * to_mu], axis=1), encoder_b1=np.array([-b @ to_mu, logvar])
    )
    covariance = W.T @ W + sigma**2 * np.eye(D)
    away = x - b
    log_p = -((away @ np.linalg.inv(covariance) * away).sum(axis=1) + np.linalg.slogdet(2 * np.pi * covariance)[1]) / 2
    return model, x, log_p


def _exact_elbo(model, x):
    # recon_nll is quadratic in eps, so three points of Gauss and Hermite integrate it
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    total = sum(weight * float(model.loss(x, np.full((len(x), 1), node)).loss) for node, weight in zip(nodes, weights / weights.sum()))
    return -total


def bound_is_below_log_p(exercise):
    """The ELBO of a linear model with some q, against log p(x), which is a Gaussian's."""
    model, x, log_p = _linear_gaussian(np.random.default_rng(2), exact=False)
    elbo = _exact_elbo(model, x)
    return elbo < log_p.mean(), f"of a linear model whose q is off, the ELBO is {elbo:.4f}, below log p(x) = {log_p.mean():.4f}."


def bound_is_tight_at_the_posterior(exercise):
    """The same where q is the posterior."""
    model, x, log_p = _linear_gaussian(np.random.default_rng(2), exact=True)
    elbo = _exact_elbo(model, x)
    words = f"where q is the posterior, the ELBO is {elbo:.10f}, log p(x) = {log_p.mean():.10f}."
    return bool(abs(elbo - log_p.mean()) < 1e-9), words


def kl_is_the_integral(exercise):
    """KL.1 against the integral that it solves."""
    mu, logvar = np.array([[0.7, -1.3]]), np.array([[-0.4, 0.9]])
    std = np.exp(logvar[0] / 2)
    z = np.linspace(-14, 14, 4001)[:, None] * std + mu[0]
    log_q = -(((z - mu[0]) / std) ** 2 + logvar[0] + np.log(2 * np.pi)) / 2
    log_p = -(z**2 + np.log(2 * np.pi)) / 2
    integral = float((np.exp(log_q) * (log_q - log_p) * (z[1] - z[0])).sum())
    kl = float(ops.gaussian_kl_forward(mu, logvar)[0])
    return abs(kl - integral) < 1e-9, f"the KL of two latents is {kl:.10f}, the integral of q (log q - log p) {integral:.10f}."


def kl_is_not_negative(exercise):
    """Zero at the prior, and above it elsewhere."""
    rng = np.random.default_rng(1)
    least = float(ops.gaussian_kl_per_latent(rng.normal(size=(500, 3)), rng.normal(size=(500, 3))).min())
    prior = float(ops.gaussian_kl_per_latent(np.zeros((1, 1)), np.zeros((1, 1)))[0, 0])
    return least > 0 and prior == 0, f"the smallest of 1500 KLs is {least:.1e}, that of the prior {prior}."


def draws_have_the_moments(exercise):
    """Mean and variance of many z against mu and exp(logvar)."""
    n, mu, logvar = 200_000, 0.8, 1.1
    eps = np.random.default_rng(4).standard_normal((n, 1))
    z = ops.reparameterize_forward(np.full((n, 1), mu), np.full((n, 1), logvar), eps)
    mean, variance = float(z.mean()), float(z.var())
    ok = abs(mean - mu) < 5 * np.exp(logvar / 2) / np.sqrt(n) and abs(variance / np.exp(logvar) - 1) < 5 * np.sqrt(2 / n)
    return bool(ok), f"200,000 draws have mean {mean:.3f} and variance {variance:.3f}; mu is {mu}, exp(logvar) {np.exp(logvar):.3f}."


def bernoulli_sums_to_one(exercise):
    """p(x) summed over all images of four pixels."""
    x = np.array([*itertools.product((0.0, 1.0), repeat=4)])
    logits = np.tile(np.random.default_rng(5).normal(size=4), (16, 1))
    total = float(np.exp(-ops.bernoulli_nll_forward(logits, x)).sum())
    return abs(total - 1) < 1e-12, f"p(x) over all 16 images of four pixels sums to {total:.12f}."


def gaussian_integrates_to_one(exercise):
    """p(x) integrated over one pixel."""
    x = np.linspace(-12, 12, 4001)[:, None]
    density = np.exp(-ops.gaussian_nll_forward(np.full_like(x, 0.4), np.full_like(x, -0.7), x))
    total = float(density.sum() * (x[1, 0] - x[0, 0]))
    return abs(total - 1) < 1e-9, f"p(x) of one pixel integrates to {total:.10f}."


def ten_epochs_as_the_package(exercise):
    """Training on digits with the student's backward and with the package's."""
    x = digits()[:200]
    ends = []
    for functions in ({}, {target: compiled(target, source(target)) for target in exercise.functions}):
        with implanted(functions):
            model = VAE(64, (12,), 3, dtype="float64", backend="numpy")
            fit(model, np.asarray(x, float), Adam(lr=3e-3), batch_size=50, epochs=10, progress=False, threads=1)
            ends.append(model.params.vector.copy())
    apart = float(np.abs(ends[0] - ends[1]).max())
    return apart < 1e-8, f"after ten epochs on 200 digits no parameter is more than {apart:.0e} from the package's."


def slopes_of_the_error(exercise):
    """Half the step, a quarter of the error with two points and a sixteenth with five."""
    a, found = np.array([[0.3, -1.2, 0.7]]), []
    for points, h in ((gradcheck.TWO_POINTS, 1e-2), (gradcheck.FIVE_POINTS, 1e-1)):
        slope = lambda step: gradcheck.numeric_gradient(lambda: np.sin(a), a, np.ones((1, 3)), step, points)  # noqa: B023
        errors = [np.abs(slope(step) - np.cos(a)).max() for step in (h, h / 2)]
        found.append(np.log2(errors[0] / errors[1]))
    ok = abs(found[0] - 2) < 0.1 and abs(found[1] - 4) < 0.1
    return bool(ok), f"the error falls as h to the power {found[0]:.2f} with two points, {found[1]:.2f} with five."


def wrong_backwards_are_rejected(exercise):
    """A backward that is off by 0.1 % must be seen, a right one must pass."""
    inputs, seen = {"a": np.random.default_rng(6).normal(size=(3, 5))}, []
    for factor in (1.0, 1.001, -1.0, 0.0):
        backward = lambda dh, h, a: {"a": factor * ops.tanh_backward(dh, h)}  # noqa: B023
        seen.append(gradcheck.check_pair(ops.tanh_forward, backward, inputs, np.random.default_rng(7))[0].ok)
    right, off, sign, zeros = ("passes" if each else "is rejected" for each in seen)
    words = f"a right backward {right}, one off by 0.1 % {off}, a wrong sign {sign}, zeros alone: {zeros.removeprefix('is ')}."
    return seen == [True, False, False, False], words


def first_step_is_lr(exercise):
    """Whatever the gradient's size, the first step is lr times its sign."""
    grad = np.array([3e-4, -0.2, 50.0, -7e3])
    param, m, v = np.zeros((3, 4))
    optimizers.adam_update(param, grad, m, v, 1, 0.01, 0.9, 0.999, 1e-12)
    return bool(np.allclose(param, -0.01 * np.sign(grad))), f"for gradients {grad} the first step at lr 0.01 is {param}."


def beta_one_is_the_vae(exercise):
    """BetaVAE(beta=1) and VAE: the same bits."""
    pair = [small_model(cls, SIZES[0], 3, "bernoulli", **more) for cls, more in ((VAE, {}), (BetaVAE, {"beta": 1.0}))]
    x, eps = np.random.default_rng(8).uniform(size=(3, 7)), np.random.default_rng(9).normal(size=(3, 4))
    (a, a_grads), (b, b_grads) = (model.loss_and_grads(x, eps) for model in pair)
    ok = a.loss == b.loss and np.array_equal(a_grads.vector, b_grads.vector)
    return bool(ok), f"beta = 1 {'is' if ok else 'is not'} the VAE bit for bit, in loss and gradients."


def exact_linear_model(exercise):
    """Where q is the posterior, every draw has the weight p(x), and K draws are worth K."""
    rng = np.random.default_rng(10)
    model, x, log_p = _linear_gaussian(rng, exact=True)
    mu, logvar = model.encode(x)
    draws = []
    for _ in range(5):
        eps = rng.standard_normal(mu.shape)
        z = ops.reparameterize_forward(mu, logvar, eps)
        draws.append(ops.log_weight(model.recon_nll(x, z), z, logvar, eps))
    log_w = np.stack(draws, axis=1)
    found, samples = ops.log_mean_exp(log_w), evaluation.effective_samples(log_w)
    ok = np.allclose(log_w, log_p[:, None], atol=1e-9) and np.allclose(found, log_p, atol=1e-9) and np.allclose(samples, 5)
    words = f"of a linear model with q the posterior, the bound is {found[0]:.10f}, log p(x) {log_p[0]:.10f}; "
    return bool(ok), words + f"5 draws are worth {samples[0]:.6f}."


def one_draw_is_itself(exercise):
    """K = 1: the bound is the log weight, and one draw is worth one."""
    log_w = np.array([[-1000.0], [0.3], [1000.0]])
    ok = np.allclose(ops.log_mean_exp(log_w), log_w[:, 0]) and np.allclose(evaluation.effective_samples(log_w), 1)
    return bool(ok), "of one draw the log mean weight is its log weight, at -1000 and +1000 too, and it is worth one draw."


def softmax_of_two_is_a_sigmoid(exercise):
    """Two classes: the Bernoulli with the difference of the logits."""
    rng = np.random.default_rng(11)
    logits, t = rng.normal(size=(6, 2)), rng.uniform(size=6)
    found = ops.softmax_cross_entropy_forward(logits, np.stack([1 - t, t], axis=1))
    wanted = ops.bernoulli_nll_forward(logits[:, 1:] - logits[:, :1], t[:, None])
    return bool(np.allclose(found, wanted, atol=1e-12)), "with two classes it is the Bernoulli loss of the difference of the logits."


def a_twin_agrees(exercise):
    """An extra: a compiled twin against the NumPy function, in units in the last place; its speed is told, not judged."""
    twin, worst = vars(ops).get("softmax_cross_entropy_forward_twin"), 0.0
    if twin is None:
        return True, "no softmax_cross_entropy_forward_twin in your file: it is for the bold."
    rng = np.random.default_rng(12)
    for dtype in (np.float32, np.float64):
        for shape in ((3, 5), (1, 2), (200, 10)):
            logits = (5 * rng.normal(size=shape)).astype(dtype)
            targets = rng.dirichlet(np.ones(shape[1]), size=shape[0]).astype(dtype)
            wanted, found = ops.softmax_cross_entropy_forward(logits, targets), np.asarray(twin(logits, targets))
            if found.dtype != wanted.dtype or found.shape != wanted.shape:
                return False, f"the twin returns {found.dtype} {found.shape}, the NumPy function {wanted.dtype} {wanted.shape}."
            worst = max(worst, float((np.abs(found - wanted) / np.spacing(np.maximum(np.abs(wanted), 1))).max()))
        far, labels = np.array([[1000, 0, -1000], [-1000, -1000, -999]], dtype), np.eye(3, dtype=dtype)[1:]
        with np.errstate(all="ignore"):
            wanted, found = ops.softmax_cross_entropy_forward(far, labels), twin(far, labels)
        if not np.allclose(found, wanted, rtol=1e-3):
            return False, f"of logits of 1000 and of -1000 the twin makes {found}, the NumPy function {wanted}: exp overflows, or is 0."
    spoilt = logits.copy()
    spoilt[0, 1] = np.nan
    nan = np.isnan(twin(spoilt, targets))
    if not nan[0] or nan[1:].any():
        return False, "a NaN in a row of logits must be a NaN in that row's loss, and in no other: fastmath, or a maximum, may lose it."
    functions = ops.softmax_cross_entropy_forward, twin
    seconds = [min(timeit.repeat(lambda: each(logits, targets), number=20, repeat=5)) for each in functions]  # noqa: B023
    words = f"your twin is within {worst:.0f} units in the last place, keeps NaN, and takes"
    return worst <= 64, f"{words} {seconds[1] / seconds[0]:.2f} of the time of NumPy."

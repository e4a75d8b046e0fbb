"""The twelve exercises, as data: which functions, from which note, what is checked beside their values, three hints."""

from typing import NamedTuple


class Exercise(NamedTuple):
    """functions: module.function or module.Class.method; checks: names in evidence.py; hints: from a nudge to nearly all."""

    number: int
    slug: str
    title: str
    functions: tuple
    minutes: int
    note: str
    task: str
    checks: tuple
    hints: tuple
    shown: tuple = ()  # functions that the file quotes as comments: what the blank will call, and what it reads backward

    @property
    def filename(self):
        return f"{self.number:02}_{self.slug}.py"


EXERCISES = (
    Exercise(
        1, "dense_backward", "the gradients of a dense layer",
        ("ops.dense_backward", "ops.dense_backward_params"), 25, "derivations/07-backpropagation.md",
        "A layer computes y = x W + b: x (N, I), W (I, O), b (O,), y (N, O). Given dy, the gradient of the loss in y, find the gradients "
        "in x, W and b. out says where dW and db go (a new array for None): np.matmul and np.sum take it as their argument out.",
        ("gradients", "linear_autoencoder_reaches_pca"),
        (
            "Write the shapes down: dy (N, O), x (N, I), W (I, O). Each gradient has the shape of its array, and only one product of "
            "the two arrays it is made of has that shape.",
            "Entry (i, o) of W multiplies x[n, i] and is added to y[n, o], for every n. So its gradient is a sum over n.",
            "dx takes dy back through W, turned round; dW is x, turned round, times dy; db is dy summed over the rows.",
        ),
    ),
    Exercise(
        2, "vae_forward", "the ELBO, forward",
        ("vae.VAE.forward",), 25, "derivations/02-latent-variable-models.md",
        "From a batch x and its noise eps to the loss. The encoder's output (N, 2 Z) holds mu and logvar (N, Z) side by side; recon_nll "
        "and kl are (N,), their means and the loss are numbers. Use self.encoder, self.decoder, self.likelihood and the functions in "
        "self.ops; self.params is params, self.latent_dim is Z. Terms (loss, recon_nll, kl, recon_nll_each, kl_each) and Saved (enc, "
        "dec, mu, logvar, z, kl) are named tuples.",
        ("bound_is_below_log_p", "bound_is_tight_at_the_posterior"),
        (
            "Follow the picture: x, encoder, mu and logvar, z, decoder, recon_nll; and a KL from mu and logvar.",
            "self.encoder.forward(ops, params, x) returns all layers, the output last. The first Z columns of it are mu.",
            "loss = the batch mean of recon_nll plus the batch mean of the KL. Return Terms(loss, two means, two arrays (N,)) and "
            "Saved(enc, dec, mu, logvar, z, kl).",
        ),
        ("mlp.MLP.forward", "likelihoods.Bernoulli.forward", "ops.reparameterize_forward", "ops.gaussian_kl_forward", "ops.batch_mean"),
    ),
    Exercise(
        3, "gaussian_kl", "the KL between q and the prior",
        ("ops.gaussian_kl_per_latent", "ops.gaussian_kl_forward", "ops.gaussian_kl_backward"), 30, "derivations/04-gaussian-kl.md",
        "The KL of N(mu, exp(logvar)) to N(0, 1): of each latent, summed over the latents, and its two gradients.",
        ("gradients", "kl_is_the_integral", "kl_is_not_negative"),
        (
            "logvar is the log of the variance, not of the standard deviation: the variance is exp(logvar).",
            "The backward differentiates KL.1 in mu and in logvar, and multiplies each row n by dkl[n]; dkl[:, None] is a column.",
            "At logvar = 1e-6, exp(logvar) - 1 - logvar loses all digits. np.expm1(logvar) is exp(logvar) - 1 with its digits.",
        ),
    ),
    Exercise(
        4, "reparameterize", "a draw of z that lets gradients through",
        ("ops.reparameterize_forward", "ops.reparameterize_backward"), 20, "derivations/05-reparameterization.md",
        "z from mu, logvar and the noise eps that is given; then the gradients in mu and logvar.",
        ("gradients", "draws_have_the_moments"),
        (
            "A draw of N(mu, sigma^2) is the mean plus sigma times a draw of N(0, 1).",
            "sigma^2 = exp(logvar), so sigma = exp(logvar / 2).",
            "eps is a constant. Differentiate sigma in logvar: sigma / 2. Multiply by eps and by dz.",
        ),
    ),
    Exercise(
        5, "bernoulli_nll", "binary pixels, from logits",
        ("ops.bernoulli_nll_forward", "ops.bernoulli_nll_backward"), 30, "derivations/06-likelihoods.md",
        "-log p(x) for pixels with p = sigmoid(logits), summed over the pixels, for logits of any size; and its gradient. x may be "
        "grey, between 0 and 1, where -log p(x) means the cross-entropy.",
        ("gradients", "bernoulli_sums_to_one"),
        (
            "Put p = sigmoid(l) into -x log p - (1 - x) log(1 - p) and simplify before you write code.",
            "It becomes softplus(l) - x l. exp(l) overflows at l = 800; exp(-|l|) never does.",
            "softplus(l) = max(l, 0) + log1p(exp(-|l|)). The derivative in l is sigmoid(l) - x, times dnll of the row.",
        ),
    ),
    Exercise(
        6, "gaussian_nll", "real-valued pixels, and their variance",
        ("ops.gaussian_nll_forward", "ops.gaussian_nll_backward"), 35, "derivations/06-likelihoods.md",
        "-log N(x; x_mean, exp(x_logvar)) with all constants, summed over the pixels. x_logvar may be one number for all pixels, one "
        "per pixel, or one per entry: dx_logvar has its shape, for which _sum_to(shape, grad) helps. It may be a Python number, too: "
        "begin with x_logvar = np.asarray(x_logvar, x.dtype). What is returned has x's dtype, so LOG_2PI.astype(x.dtype).",
        ("gradients", "gaussian_integrates_to_one"),
        (
            "Three terms, half of each: log 2 pi, the log variance, the squared distance over the variance.",
            "1 / variance = exp(-x_logvar): no division. In x_logvar the derivative is (1 - distance^2 / variance) / 2.",
            "A number that serves many pixels collects the gradients of all: _sum_to(x_logvar.shape, dx_logvar).",
        ),
    ),
    Exercise(
        7, "vae_backward", "the whole backward pass",
        ("vae.VAE.backward",), 40, "derivations/07-backpropagation.md",
        "forward of x (N, D) and eps (N, Z), read from its last line to its first. saved holds what forward kept: the layers enc and "
        "dec, mu, logvar and z (N, Z), kl (N,). The gradients in recon_nll and in kl are (N,), that in the encoder's output is "
        "(N, 2 Z). The networks' backward and self.likelihood_backward fill grads, which holds an array of each parameter's shape by "
        "its name; backward returns nothing. self.ops is ops, self.params is params.",
        ("model_gradients", "ten_epochs_as_the_package"),
        (
            "Go through forward line by line from the end: each line y = f(x) becomes dx = f_backward(dy, ...).",
            "The loss is a mean over the batch: drecon_nll and dkl are 1 / N for each row. mu is used twice, and so is logvar.",
            "dmu = its share through z plus its share through the KL. Join dmu and dlogvar as forward split them, and hand them to "
            "self.encoder.backward.",
        ),
        ("vae.VAE.forward", "base.EncoderDecoder.likelihood_backward", "mlp.MLP.backward", "ops.reparameterize_backward",
         "ops.gaussian_kl_backward"),
    ),
    Exercise(
        8, "numeric_gradient", "the gradient checker itself",
        ("gradcheck.numeric_gradient", "gradcheck.relative_error"), 30, "derivations/08-gradient-check.md",
        "Central differences: array, of any shape, is shifted in place, one entry at a time, and put back; outputs() is called after each "
        "shift, and is an array of dout's shape. points maps a number of steps to (weight, divisor), as TWO_POINTS and FIVE_POINTS in "
        "gradcheck.py do: {1: (1, 2)} and {1: (8, 12), 2: (-1, 12)}. h is a number. The gradient has array's shape; analytic and numeric "
        "have one shape, any.",
        ("slopes_of_the_error", "wrong_backwards_are_rejected"),
        (
            "Loop over np.ndindex(array.shape). Keep the old value of the entry, and put it back in the end, whatever happens.",
            "For each steps, (weight, divisor): outputs ahead at + steps * h, behind at - steps * h; add weight * (ahead - behind) / "
            "(divisor * h).",
            "outputs() is an array: multiply the derivative by dout and sum. relative_error: the largest difference over the largest "
            "entry of either array, and 0 if both are 0.",
        ),
    ),
    Exercise(
        9, "adam_update", "Adam",
        ("optimizers.adam_update",), 20, "derivations/09-optimizers.md",
        "One step, in place on param, m and v (m[...] = ... writes into an array); grad, m and v have param's shape, the rest are numbers, "
        "and t counts steps from 1. Returns nothing.",
        ("first_step_is_lr",),
        (
            "Two running means: of the gradient, and of its square.",
            "Both start at zero, so after t steps they are too small by the factor 1 - beta ** t. Divide by it.",
            "param -= lr * m_hat / (sqrt(v_hat) + adam_eps): the root first, then adam_eps.",
        ),
    ),
    Exercise(
        10, "penalties", "beta and capacity",
        ("ops.capacity_forward", "ops.capacity_backward", "beta_vae.BetaVAE.penalty_forward", "beta_vae.BetaVAE.penalty_backward",
         "objectives.capacity_vae.CapacityVAE.penalty_forward", "objectives.capacity_vae.CapacityVAE.penalty_backward"),
        35, "derivations/10-beta-vae.md",
        "What beta-VAE and the capacity objective put in place of the mean KL. kl (N,) holds the KL of each datum; mu, logvar and z (N, Z) "
        "are for other penalties. A penalty is one number for the batch, dpenalty is a number, and backward returns PenaltyGrads(dkl=...), "
        "dkl (N,). The models hold self.beta, or self.gamma and self.capacity; self.ops holds batch_mean and the capacity pair. That "
        "pair takes kl and dout of any shape, entry by entry: the model gives it the batch mean. gamma and capacity are numbers.",
        ("beta_one_is_the_vae", "penalty_gradients"),
        (
            "The mean over the batch comes first (self.ops.batch_mean), then beta or the absolute value.",
            "Each kl[n] has a share of 1 / N in the mean: dkl is an array (N,).",
            "The slope of |kl - C| is the sign of kl - C. Multiply by gamma and by what arrives from above.",
        ),
    ),
    Exercise(
        11, "log_weight", "log p(x) by importance sampling",
        ("ops.log_weight", "ops.log_mean_exp", "evaluation.effective_samples"), 35, "derivations/12-log-likelihood.md",
        "The log weight of a draw, the log of the mean of K weights, and how many draws that is worth, whatever their size. "
        "log_w is (..., K): (K,) of one datum, (N, K) of N.",
        ("exact_linear_model", "one_draw_is_itself"),
        (
            "log p(z) - log q(z|x): both densities have the same 2 pi, and (z - mu) / sigma is eps.",
            "exp(1000) is infinite. Take the largest log weight out first, and add it back after the log.",
            "(sum w)^2 / sum w^2 is K times exp of twice log_mean_exp(log_w) minus log_mean_exp(2 log_w).",
        ),
    ),
    Exercise(
        12, "softmax_cross_entropy", "classes, from logits",
        ("ops.softmax_cross_entropy_forward", "ops.softmax_cross_entropy_backward"), 30, "derivations/11-disentanglement.md",
        "-sum of targets times log softmax(logits), for logits of any size; and its gradient. As an extra: "
        "softmax_cross_entropy_forward_twin(logits, targets), loops under @numba.njit, is compared with your NumPy function.",
        ("gradients", "softmax_of_two_is_a_sigmoid", "a_twin_agrees"),
        (
            "log softmax(l)_c = l_c - log sum exp(l). A constant added to all logits of a row changes nothing.",
            "Take the largest logit of each row out: then exp never overflows.",
            "The backward is softmax minus targets, because each row of targets sums to one; times dnll of the row.",
        ),
    ),
)  # fmt: skip


def exercise(number):
    """The exercise of this number; ValueError, in one line, if there is none."""
    for each in EXERCISES:
        if str(each.number) == str(number).lstrip("0"):
            return each
    raise ValueError(f"exercise must be a number from 1 to {len(EXERCISES)}, got {number}; vae-from-scratch course list names them")

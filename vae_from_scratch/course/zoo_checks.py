"""The zoo's four checks: every pair, one model, values that are known, training.  Each takes get, which imports a module."""

from typing import Any, NamedTuple

import numpy as np

EXACT = 1e-6  # how far a known value may be off, relative to 1 or to itself


class Found(NamedTuple):
    """One row of a check: what was looked at, what was found and wanted, in words, and whether they agree."""

    name: str
    words: str
    ok: bool


# ---- the gradients -----------------------------------------------------------------------------------


def pairs(get, names=None):
    """Rows of the table of pairs, all or those of some backwards, against differences of their forwards."""
    for row in get("engine.gradient_table").PAIRS:
        if names is None or row.backward in names:
            yield _gradients(row.backward, row.name, row.check())


def model(get, case):
    """All gradients of a small model of the case's kind against differences of its loss."""
    kind, settings = model_class(get, case)
    table = get("engine.gradient_table")
    settings = {"likelihood": "bernoulli", "backend": "numpy", **settings}
    smooth = "discriminator_hidden" not in settings  # it has a kink
    if "estimator" in getattr(kind, "choices", {}):
        settings["n_train"] = 40
    hidden = (3,) * len(settings.pop("hidden", (64,)))
    small = table.small_case(kind, "float64", "tanh", settings.pop("likelihood"), hidden=hidden, **settings)
    yield _gradients("model", kind.__name__, table.check_model(*small[:2], *small[2], smooth=smooth))


def _gradients(name, title, found):
    worst = max(found, key=lambda check: check.error / check.limit)
    words = "agrees with differences" if worst.ok else f"differs: {worst.worst}"
    return Found(name, f"{title}: {words} (relative error {worst.error:.0e}, limit {worst.limit:.0e})", all(check.ok for check in found))


def model_class(get, case):
    """The class that a case trains, and its settings; where a score is the case, a VAE's."""
    where, settings = case.model if case.model[0] != "mig" else ("vae.VAE", {})
    module, name = where.rsplit(".", 1)
    return getattr(get(module), name), dict(settings)


# ---- known values ------------------------------------------------------------------------------------


def _kl_at_the_prior(get):
    kl = get("ops").gaussian_kl_forward(np.zeros((3, 5)), np.zeros((3, 5)))
    return "KL of N(0, I) to N(0, I)", kl, np.zeros(3)


def _kl_by_quadrature(get):
    mu, logvar = np.array([[0.7, -1.1, 0.2], [0.0, 0.4, -0.5]]), np.array([[-0.5, 0.3, -1.2], [0.6, -0.9, 0.1]])
    u = np.linspace(-9, 9, 2001)[:, None, None]  # z = mu + sigma u
    log_ratio = -u**2 / 2 - logvar / 2 + (mu + np.exp(logvar / 2) * u) ** 2 / 2
    wanted = (np.exp(-u**2 / 2) / np.sqrt(2 * np.pi) * log_ratio).sum(axis=0) * (u[1] - u[0])
    return "KL of two data with three latents, against quadrature", get("ops").gaussian_kl_forward(mu, logvar), wanted.sum(axis=1)


def _draws(get):
    mu, logvar = np.full((2, 1), 0.5), np.full((2, 1), np.log(4.0))
    z = get("ops").reparameterize_forward(mu, logvar, np.array([[1.0], [-1.0]]))
    return "mean and variance of z for mu = 0.5, variance 4", np.array([z.mean(), z.var()]), np.array([0.5, 4.0])


def _images_sum_to_one(get):
    x = np.array([[i >> k & 1 for k in range(4)] for i in range(16)], float)
    nll = get("ops").bernoulli_nll_forward(np.tile([0.3, -1.2, 2.0, 0.1], (16, 1)), x)
    return "the probabilities of all 16 images of 4 pixels, added", np.exp(-nll).sum(), 1.0


def _mean_is_the_mean(get):
    likelihood, ops = get("likelihoods").Bernoulli(), get("ops")
    out, x = np.full((2, 1), -1.5), np.array([[0.0], [1.0]])
    p = np.exp(-likelihood.forward(ops, {}, out, x))
    return "mean() of the likelihood, and E[x] under its own nll", likelihood.mean(ops, {}, out)[0, 0], (p * x[:, 0]).sum()


def _integrates_to_one(get):
    x = np.linspace(-12, 13, 5001)[:, None]
    nll = get("ops").gaussian_nll_forward(np.full_like(x, 0.5), np.float64(-0.4), x)
    return "exp(-nll) of the Gaussian, integrated over x", np.exp(-nll).sum() * (x[1, 0] - x[0, 0]), 1.0


def _log_weight_at_the_posterior(get):
    ops, x, eps = get("ops"), np.full((5, 1), 1.3), np.linspace(-2, 2, 5)[:, None]
    mu, logvar = x / 2, np.full((5, 1), np.log(0.5))  # the posterior of z ~ N(0, 1), x ~ N(z, 1)
    z = mu + np.sqrt(0.5) * eps
    log_w = ops.log_weight((np.log(2 * np.pi) + (x - z)[:, 0] ** 2) / 2, z, logvar, eps)
    return "log weights at the exact posterior, which are log p(x) for every draw", log_w, np.full(5, -(np.log(4 * np.pi) + 1.3**2 / 2) / 2)


def _log_of_a_mean(get):
    return "log mean exp of log 1 and log 3", get("ops").log_mean_exp(np.log(np.array([[1.0, 3.0]]))), np.log([2.0])


def _iwae_bound(get):
    return "IWAE's bound from the weights 1 and 3", get("ops").iwae_bound_forward(np.log(np.array([[1.0, 3.0]]))), np.log([2.0])


def _adams_first_steps(get):
    adam, vector = get("optimizers").Adam(lr=0.1), get("mlp").NamedVector
    params = vector({"encoder_W1": np.zeros(1), "encoder_b1": np.zeros(1)})
    grads, state = {"encoder_W1": np.array([1e3]), "encoder_b1": np.array([-2e3])}, adam.initial_state(params)
    for _ in range(2):
        adam.step(params, vector(grads), state)
    return "two steps of Adam at lr 0.1 with gradients of one sign", params.vector, np.array([-0.2, 0.2])


def _initial_weights(get):
    W = get("mlp").glorot_uniform(np.random.default_rng(0), 200, 100, np.float64)
    return "the range of initial weights of a layer of 200 to 100", np.abs(W).max(), np.sqrt(6 / 300), 1e-3


def _mig_of_the_factors(get):
    data = get("datasets.factors").FactorDataset("grid", lambda f: f.astype(np.float32), ("a", "b"), (5, 4), (1, 2))
    score = get("disentanglement.mig").mig_histogram(lambda x: x, data, np.random.default_rng(0), points=None, progress=False)
    return "MIG of a code that is the factors themselves", score.score, 1.0


def _q_of_z_over_all_batches(get):
    mu, logvar, z = np.random.default_rng(0).normal(size=(3, 4, 2))
    log_q = -((z[3] - mu) ** 2 * np.exp(-logvar) + logvar).sum(axis=-1) / 2  # of the last datum's z under each q(z|x)
    found = []
    for first in range(3):  # every batch of two of the four data in which the last is second
        batch = [first, 3]
        information = get("ops").batch_parts_forward(mu[batch], logvar[batch], z[batch], 4, True)[1, 0]
        found.append(np.exp(log_q[3] - information))
    return "the estimate of q(z) in batches of two of four data, over all batches", np.mean(found), np.exp(log_q).mean()


def _covariance_ignores_the_mean(get):
    mu, covariance = np.random.default_rng(0).normal(size=(7, 3)), get("ops").covariance_forward
    return "the covariance, after 5 is added to one latent", covariance(mu + [5, 0, 0]), covariance(mu)


def _columns_are_permuted(get):
    z, order = np.random.default_rng(0).normal(size=(2, 7, 3))
    return "the columns of permuted codes, sorted", np.sort(get("ops").permute_latents(z, order), axis=0), np.sort(z, axis=0)


def _mean_activation(get):
    a = np.log(np.array([[0.1], [0.3]]) / np.array([[0.9], [0.7]]))
    return "KL(0.05 || 0.2) of activations 0.1 and 0.3", get("ops").sparse_kl_forward(a, 0.05), 0.093943, 1e-5


def _small(get, where, **settings):
    module, name = where.rsplit(".", 1)
    model = getattr(get(module), name)(4, (), 2, dtype="float64", backend="numpy", seed=0, **settings)
    x = np.random.default_rng(1).uniform(size=(5, 4))
    return model, x, model.draw_noise(5, np.random.default_rng(2))


def _two_heads(get):
    model, x, noise = _small(get, "vae.VAE")
    model.params.vector[...] = 0
    model.params["encoder_b1"] = np.array([0.5, -0.5, 1.0, -1.0])  # mu, then logvar
    wanted = (0.25 + np.exp([1.0, -1.0]) - [1.0, -1.0] - 1).sum() / 2
    return "the KL where the encoder says mu = (0.5, -0.5), logvar = (1, -1)", model.loss(x, *noise).kl, wanted


def _beta_is_a_price(get):
    model, x, noise = _small(get, "beta_vae.BetaVAE", beta=4.0)
    terms = model.loss(x, *noise)
    return "beta 4: the loss less the reconstruction, over the KL", (terms.loss - terms.recon_nll) / terms.kl, 4.0


def _schedule_is_followed(get):
    model, x, noise = _small(get, "objectives.capacity_vae.CapacityVAE", gamma=1.0, capacity=0.0)
    model.set(capacity=100.0)
    terms = model.loss(x, *noise)
    return "the penalty after the capacity was set to 100", terms.loss - terms.recon_nll, 100.0 - terms.kl


def _target_is_clean(get):
    model, x, noise = _small(get, "objectives.denoising_autoencoder.DenoisingAutoencoder", level=0.5)
    model.params.vector[...] = 0  # the output is the same whatever the encoder sees
    model.params["decoder_b1"] = np.ones(4)
    return "a constant output's loss, with noise and without", model.loss(x, *noise).loss, model.loss(x, 0 * noise[0]).loss


def _noise_is_seen(get):
    model, x, noise = _small(get, "objectives.denoising_autoencoder.DenoisingAutoencoder", level=0.5)
    change = abs(model.loss(x, *noise).loss - model.loss(x, 0 * noise[0]).loss)
    return "whether the loss of a denoising autoencoder changes with the noise", float(change > 1e-6), 1.0


def _batches_change_nothing(get):
    model, x, _ = _small(get, "vae.VAE")
    evaluate = get("evaluation").evaluate
    return "the loss of five data, evaluated two at a time and at once", evaluate(model, x, batch_size=2).loss, evaluate(model, x).loss


def _elbo_has_noise(get):
    model, x, _ = _small(get, "vae.VAE", likelihood={"name": "gaussian", "sigma": 1.0})
    model.params.vector[...] = 0
    model.params["decoder_W1"] = np.eye(2, 4)  # z adds its variance, 1, to two pixels: E[nll] is 1 above that of z = 0
    samples = 200
    found = get("evaluation").evaluate(model, x, samples=samples).recon_nll
    return "what the noise in z adds to the nll", found - (4 * np.log(2 * np.pi) + (x**2).sum(axis=1).mean()) / 2, 1.0, 0.15


def _validation_data_are_used(get):
    model, x, _ = _small(get, "vae.VAE")
    history = get("training").fit(model, x, batch_size=5, epochs=1, x_valid=1 - x, progress=False)
    return "the validation loss, and that of evaluate", history["valid_loss"][0], get("evaluation").evaluate(model, 1 - x).loss


VALUES: dict[str, Any] = {  # name: get -> what, found, wanted and, unless EXACT, a tolerance
    "KL at the prior": _kl_at_the_prior,
    "KL against quadrature": _kl_by_quadrature,
    "draws": _draws,
    "two heads": _two_heads,
    "images sum to one": _images_sum_to_one,
    "the mean is the mean": _mean_is_the_mean,
    "a density integrates to one": _integrates_to_one,
    "log weight at the posterior": _log_weight_at_the_posterior,
    "log of a mean": _log_of_a_mean,
    "IWAE's bound": _iwae_bound,
    "beta is a price": _beta_is_a_price,
    "a schedule is followed": _schedule_is_followed,
    "initial weights": _initial_weights,
    "Adam's first steps": _adams_first_steps,
    "the target is clean": _target_is_clean,
    "the noise is seen": _noise_is_seen,
    "the mean activation": _mean_activation,
    "q(z) over all batches": _q_of_z_over_all_batches,
    "a covariance ignores the mean": _covariance_ignores_the_mean,
    "columns are permuted": _columns_are_permuted,
    "MIG of the factors": _mig_of_the_factors,
    "batches change nothing": _batches_change_nothing,
    "the ELBO has noise in it": _elbo_has_noise,
    "the validation data are used": _validation_data_are_used,
}


def values(get, names=None):
    """What is known without this program: closed forms, sums that must be one, what may not change."""
    for name in VALUES if names is None else names:
        what, found, wanted, *tolerance = VALUES[name](get)
        found, wanted = np.asarray(found, float), np.asarray(wanted, float)
        allowed = (tolerance[0] if tolerance else EXACT) * np.maximum(1, np.abs(wanted))
        ok = found.shape == wanted.shape and bool((np.abs(found - wanted) <= allowed).all())
        worst = np.abs(found - wanted).argmax() if found.shape == wanted.shape else 0
        words = f"{found.flat[worst]:.6g}, should be {wanted.flat[worst]:.6g}"
        yield Found(name, f"{what}: {words}", ok)


# ---- training ----------------------------------------------------------------------------------------

WORSE = 0.5  # nats by which a right program may find the trained parameters worse than its own


def train(get, case, seed=0):
    """The case's model after some seconds on the digits.  Returns the model and its history."""
    kind, settings = model_class(get, case)
    digits, how = get("datasets.digits").digits, {"epochs": 20, **case.fit}
    capacity = how.pop("capacity", None)  # reached in 300 steps
    model = kind(64, settings.pop("hidden", (64,)), 8, seed=seed, backend="numpy", **settings)
    schedule = None if capacity is None else lambda step: {"capacity": min(capacity, capacity * step / 300)}
    adam = get("optimizers").Adam(3e-3)
    fit = get("training").fit
    history = fit(model, digits(), adam, 50, seed=seed, x_valid=digits("test"), schedule=schedule, progress=False, threads=1, **how)
    if len(history["epoch"]) < how["epochs"]:
        raise KeyboardInterrupt  # fit returned what there was: no numbers for a case
    return model, history


def true_loss(get, model):
    """What a model costs on the test digits; of FactorVAE, whose loss needs its opponent, minus the ELBO."""
    found = get("evaluation").evaluate(model, get("datasets.digits").digits("test"), samples=10 if model.variational else 1)
    return -found.elbo if model.name == "factor-vae" else found.loss


def training(get, right, case):
    """The parameters that training finds, measured by a right program (imported by right) and compared with its own."""
    if case.model[0] == "mig":
        yield Found("training", "the model was trained elsewhere; here it is only scored", True)
        return
    trained, _ = train(get, case)
    model, _ = train(right, case)
    wanted = true_loss(right, model)
    model.params = {name: np.array(value) for name, value in trained.params.items()}
    found = true_loss(right, model)
    words = f"the trained parameters cost {found:.2f} nats by a right program, and those that it finds itself {wanted:.2f}"
    yield Found("training", words, bool(found - wanted < WORSE))

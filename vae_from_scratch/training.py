"""One training loop for every model; it knows no model's inside and holds no mathematics."""

import time

import numpy as np
from tqdm import tqdm

from . import checks
from .batches import BINARIZE, binarize_rows
from .evaluation import evaluate
from .optimizers import Adam, prior_gradient

GLIMPSE = 1000  # without x_valid, the per-epoch KL per latent is measured on at most this many examples of x


def fit(
    model,
    x,
    optimizer=None,
    batch_size=100,
    epochs=10,
    seed=0,
    x_valid=None,
    binarize="none",
    schedule=None,
    progress=True,
    *,
    weight_decay=False,
    callback=None,
    callback_at=(),
):
    """Minimise model.loss over x by mini-batches; changes model.params in place.

    Parameters
    ----------
    model : Autoencoder, VAE, BetaVAE or CapacityVAE
    x : array (n, D), or a data set with len and x[indices] -> (N, D)
    optimizer : SGD, Adagrad or Adam
        Adam(lr=1e-3) unless given.
    batch_size : int
        The last batch of an epoch may be smaller; its gradient is the mean over that batch.
    epochs : int
        Passes over x, each in a fresh random order.
    seed : int
        Of the order, the noise and the binarisation: the same seed gives the same bits.
    x_valid : like x, optional
        Evaluated after every epoch on a random stream of its own, so that looking never changes training.
    binarize : {"none", "threshold", "dynamic"}
        "dynamic" draws fresh binary images for every batch.
    schedule : function, optional
        step (0, 1, ...) -> settings of the model for that step, such as {"beta": 2.0}.
    progress : bool
        Show a progress bar.
    weight_decay : bool
        The prior N(0, I) on every parameter; part of the gradient, never of the loss reported.
    callback, callback_at : function (model, examples), list of int
        Called once as soon as each of these numbers of examples has been seen.

    Returns
    -------
    dict of lists, one entry per epoch
        epoch, steps, examples, seconds; loss, recon_nll, kl: means over the epoch's examples, in nats, as they
        were met; valid_loss, valid_recon_nll, valid_kl if x_valid is given; kl_per_latent (Z,) on x_valid, or on a
        part of x, at the epoch's end.

    Raises
    ------
    ValueError, TypeError
        On arguments or data that cannot work, before the first step.
    FloatingPointError
        When the loss stops being finite.

    >>> from vae_from_scratch import VAE, datasets
    >>> history = fit(VAE(data_dim=64, latent_dim=2), datasets.digits(), epochs=2, progress=False)
    >>> history["loss"][1] < history["loss"][0]
    True
    """
    optimizer = Adam() if optimizer is None else optimizer
    if not hasattr(optimizer, "step"):
        raise TypeError(f"optimizer must be SGD(...), Adagrad(...) or Adam(...), got {optimizer!r}")
    batch_size, epochs = checks.whole("batch_size", batch_size), checks.whole("epochs", epochs)
    checks.choice("binarize", binarize, BINARIZE)
    if (callback is None) != (not callback_at):
        raise ValueError("callback and callback_at go together: what to call, and at which numbers of examples")
    order_rng, noise_rng, binarize_rng = (np.random.default_rng([checks.seed(seed), stream]) for stream in range(3))
    unit_interval = model.likelihood.unit_interval or binarize != "none"
    checks.data("x", x, model.data_dim, unit_interval)
    if x_valid is not None:
        checks.data("x_valid", x_valid, model.data_dim, unit_interval)
    n = len(x)
    if batch_size > n:
        raise ValueError(f"batch_size is {batch_size}, but x has only {n} examples; use at most {n}")

    state, step, examples, start = optimizer.init(model.params), 0, 0, time.perf_counter()
    upcoming = sorted(checks.whole("each number in callback_at", at) for at in callback_at)
    glimpse = x[np.arange(min(GLIMPSE, n))] if x_valid is None else x_valid
    history, grads = {}, None
    with tqdm(total=epochs * -(-n // batch_size), unit="step", disable=not progress) as bar:
        for epoch in range(1, epochs + 1):
            order, sums = order_rng.permutation(n), np.zeros(3)
            for first in range(0, n, batch_size):
                batch = binarize_rows(x[order[first : first + batch_size]], binarize, binarize_rng)
                if schedule is not None:
                    model.set(**schedule(step))
                terms, grads = model.loss_and_grads(batch, *model.draw_noise(len(batch), noise_rng), out=grads)
                if not np.isfinite(terms.loss):
                    raise FloatingPointError(
                        f"the loss is {terms.loss} at step {step} (recon_nll {terms.recon_nll:g}, kl {terms.kl:g}); try a smaller learning rate"
                    )
                if weight_decay:
                    prior_gradient(model.params, grads, n)
                optimizer.step(model.params, grads, state, model.ops)
                step, examples = step + 1, examples + len(batch)
                sums += np.array([terms.loss, terms.recon_nll, terms.kl], np.float64) * len(batch)
                while upcoming and examples >= upcoming[0]:
                    callback(model, upcoming.pop(0))
                bar.update()
            row = {"epoch": epoch, "steps": step, "examples": examples, "seconds": time.perf_counter() - start}
            row.update(zip(("loss", "recon_nll", "kl"), map(float, sums / n)))
            seen = evaluate(model, glimpse, binarize=binarize, seed=seed)
            if x_valid is not None:
                row.update(valid_loss=seen.loss, valid_recon_nll=seen.recon_nll, valid_kl=seen.kl)
            if seen.kl_per_latent is not None:
                row["kl_per_latent"] = seen.kl_per_latent
            for name, value in row.items():
                history.setdefault(name, []).append(value)
            bar.set_postfix(epoch=epoch, loss=f"{row['loss']:.2f}", kl=f"{row['kl']:.2f}")
    return history

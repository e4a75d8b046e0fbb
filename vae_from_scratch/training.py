"""One training loop for every model; it knows no model's inside and holds no mathematics."""

import functools

import numpy as np
from tqdm import tqdm

from .engine import require
from .base import EncoderDecoder
from .engine.batches import BINARIZE, FirstRows, binarize_rows
from .engine.checkpoints import Keeper, Run, settings_of
from .evaluation import evaluate
from .optimizers import OPTIMIZERS, Adam, prior_gradient

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
    checkpoint=None,
    checkpoint_every=None,
    checkpoint_steps=None,
    resume=False,
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
        Passes over x, each in a fresh random order.  With resume, None is what the run was to have.
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
    checkpoint : folder, optional
        Keep there all that is needed to go on: checkpoint.npz and the one before it.  Written before the first step
        and after the last, and when Ctrl-C is pressed, which then stops the run after the step it is in.
    checkpoint_every, checkpoint_steps : int, optional
        Also after every so many epochs, or steps.  If neither is given: once a minute.
    resume : bool
        Go on from the checkpoint, as if the run had never stopped: call fit again with a model built in the same way
        and the same arguments, of which only epochs may be larger.  What cannot be compared is taken on trust: what
        the functions lr and schedule do, and the rows of x beyond a hundred of them.

    Returns
    -------
    dict of lists, one entry per epoch
        epoch, steps, examples, seconds; loss, recon_nll, kl: means over the epoch's examples, in nats, as they
        were met; valid_loss, valid_recon_nll, valid_kl if x_valid is given; kl_per_latent (Z,) on x_valid, or on a
        part of x, at the epoch's end.

    Raises
    ------
    ValueError, TypeError
        On arguments or data that cannot work, before the first step; on a checkpoint made with other settings.
    FloatingPointError
        When the loss or a gradient is not finite, or the loss is a thousand times worse than before training.  The
        parameters are left as they were before the step that failed; the last checkpoint is from before, too.
    OSError
        When a checkpoint cannot be written.  The one before it stays.

    >>> from vae_from_scratch import VAE, datasets
    >>> history = fit(VAE(data_dim=64, latent_dim=2), datasets.digits(), epochs=2, progress=False)
    >>> history["loss"][1] < history["loss"][0]
    True
    """
    optimizer = Adam() if optimizer is None else optimizer
    require.model(model)
    require.training(optimizer, schedule, callback, callback_at)
    batch_size, seed = require.whole("batch_size", batch_size), require.seed(seed)
    if epochs is not None or not resume:
        epochs = require.whole("epochs", epochs)
    require.choice("binarize", binarize, BINARIZE)
    require.flag("weight_decay", weight_decay)
    require.checkpointing(checkpoint, checkpoint_every, checkpoint_steps, resume)
    unit_interval = model.likelihood.unit_interval or binarize != "none"
    require.data("x", x, model.data_dim, unit_interval)
    if x_valid is not None:
        require.data("x_valid", x_valid, model.data_dim, unit_interval)
    n = len(x)
    if batch_size > n:
        raise ValueError(f"batch_size is {batch_size}, but x has only {n} examples; use at most {n}")

    run = Run(model, optimizer, n, batch_size, seed)
    settings = settings_of(
        model, optimizer, x, x_valid, schedule,
        batch_size=batch_size, seed=seed, binarize=binarize, weight_decay=bool(weight_decay), epochs=epochs,
    )  # fmt: skip
    keeper = Keeper(run, checkpoint, checkpoint_every, checkpoint_steps, settings)
    epochs = keeper.start(resume)
    some = FirstRows(x, min(GLIMPSE, n))
    glimpse = some if x_valid is None else x_valid
    look = functools.partial(evaluate, model, binarize=binarize, seed=seed, batch_size=batch_size)
    # where nothing of the user's own has seen the gradients, nobody can hold them
    own = type(model).loss_and_grads is EncoderDecoder.loss_and_grads and type(optimizer) in OPTIMIZERS.values()
    bar = tqdm(total=epochs * -(-n // batch_size), initial=run.step, unit="step", disable=not progress)
    with bar, keeper, np.errstate(all="ignore"):  # keeper looks for what is not finite, so NumPy need not warn
        upcoming = sorted(at for at in callback_at if at > run.examples)
        while run.epoch <= epochs:
            order = run.rngs["order"].permutation(n)
            for first in range(run.position, n, batch_size):
                batch = binarize_rows(x[order[first : first + batch_size]], binarize, run.rngs["binarize"])
                if schedule is not None:
                    model.set(**require.settings(schedule(run.step)))
                if run.limit is None:
                    run.expect(look(some).loss)
                terms, grads = model.loss_and_grads(batch, *model.draw_noise(len(batch), run.rngs["noise"]))
                keeper.judge(batch, terms, grads)
                if weight_decay:
                    prior_gradient(model.params, grads, n)
                optimizer.step(model.params, grads, run.state, model.ops)
                if own:
                    model.params.recycle(grads)  # for the next step
                del grads  # or there were two sets of them in the next step
                run.position += len(batch)
                run.sums += np.array([terms.loss, terms.recon_nll, terms.kl], np.float64) * len(batch)
                while upcoming and run.examples >= upcoming[0]:
                    callback(model, upcoming.pop(0))
                bar.update()
                keeper.after_step()
            row = {"epoch": run.epoch, "steps": run.step, "examples": run.examples, "seconds": run.seconds}
            row.update(zip(("loss", "recon_nll", "kl"), map(float, run.sums / n)))
            seen = look(glimpse)
            keeper.judge(some[np.arange(min(batch_size, len(some)))], seen, {})
            if x_valid is not None:
                row.update(valid_loss=seen.loss, valid_recon_nll=seen.recon_nll, valid_kl=seen.kl)
            if seen.kl_per_latent is not None:
                row["kl_per_latent"] = seen.kl_per_latent
            run.next_epoch(row)
            bar.set_postfix(epoch=row["epoch"], loss=f"{row['loss']:.2f}", kl=f"{row['kl']:.2f}", refresh=False)
            keeper.after_epoch(last=run.epoch > epochs)
    return run.history

"""One training loop for every model; it knows nothing of a model's internals and holds no mathematics."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from . import optimizers as rules
from .engine import require
from .engine.batches import FirstRows, fetch
from .engine.checkpoints import Keeper, Run, settings_of
from .engine.explained import explained
from .engine.parts import Crew, count
from .engine.threads import asked, one_blas_thread
from .evaluation import evaluate

GLIMPSE = 1000  # the first examples of x, on which divergence is judged and, without x_valid, the KL of each latent measured


@one_blas_thread()
def fit(
    model, x, optimizer=None, batch_size: int = 100, epochs: int | None = 10, seed: int = 0, x_valid=None,
    binarize: str = "none", schedule: Callable | None = None, progress: bool = True, *, weight_decay: bool = False,
    callback: Callable | None = None, callback_at: Sequence[int] = (), checkpoint=None,
    checkpoint_seconds: float | None = None, resume: bool = False, gradient_norms: bool = False, threads: int | None = None,
) -> dict:  # fmt: skip
    """Minimise model.loss over x by mini-batches; changes model.params in place.

    Parameters
    ----------
    model : Autoencoder, VAE, BetaVAE or another
    x, x_valid : array (n, D), or a data set with len and x[indices] -> (N, D)
        x_valid is evaluated after every epoch on random streams of its own, so that looking never changes training.
    optimizer : SGD, Adagrad or Adam
        Adam(lr=1e-3) unless given.  For a model with several players one for all, or a dict with one for each.
    batch_size : the last batch of an epoch may be smaller; its gradient is the mean over that batch
    epochs : passes over x, each in a fresh random order; with resume, None is the number that the run was started with
    seed : of the order, the noise and the binarisation: the same seed gives the same bits
    binarize : {"none", "threshold", "dynamic"}; "threshold" is x >= 1/2, "dynamic" draws 1 with probability x, anew for every batch
    schedule : step (0, 1, ...) -> hyperparameters of the model for that step, such as {"beta": 2.0}
    weight_decay : the prior N(0, I) on every parameter: in the gradient, never in the loss reported
    callback, callback_at : callback(model, seen) is called once for each number of examples in callback_at, after the
        step that reaches it
    checkpoint, checkpoint_seconds : folder, float
        Write to the folder all that is needed to go on, as checkpoint.npz, and keep the one before: at the start and the
        end, every checkpoint_seconds (60 unless given; 0: after every step), and at Ctrl-C, which then raises
        KeyboardInterrupt.
    resume : whether to go on from the checkpoint, as if the run had never stopped: call fit again with a model built in
        the same way and the same arguments, of which only epochs may change: the number already done ends the run where
        it stands.  What cannot be compared is taken on trust: what the functions lr and schedule do, and the rows of x
        beyond a hundred of them.
    gradient_norms : whether history["gradient_norms"] keeps, for each epoch, layer -> norm of its gradient, without weight decay, a mean
        over the steps weighted by their examples
    threads : parts of each batch, computed side by side; as many as pay off unless given.  The same number gives the same bits.
        The evaluations in between use the same number; if none is given, evaluate chooses.

    Returns
    -------
    dict of lists, one entry per epoch done; Ctrl-C waits for the end of a step and, without a checkpoint, returns here
        epoch, steps, examples, seconds, cpu_seconds (the process's); loss, recon_nll, kl: means over the epoch's examples, in nats,
        each at the parameters of its step (and the loss of every other player); valid_loss, valid_recon_nll, valid_kl if x_valid is given;
        kl_per_latent (Z,) on x_valid, or on the first 1,000 of x, at the epoch's end.

    Raises
    ------
    ValueError, TypeError, OSError
        On arguments or data that cannot work, before the first step; on a checkpoint that is not of this run, or that
        cannot be written.
    FloatingPointError
        When the loss or a gradient is not finite, or the loss has risen about a thousandfold (note 6 has the rule).  The
        parameters are left as they were before the step that failed, or, if the loss after an epoch says so, as its last
        step left them; the last checkpoint is from before, too.

    >>> from vae_from_scratch import VAE, datasets
    >>> history = fit(VAE(data_dim=64, latent_dim=2), datasets.digits(), epochs=2, progress=False)
    >>> history["loss"][1] < history["loss"][0]
    True
    """
    upcoming, seed = require.training(schedule, callback, callback_at), require.seed(seed)
    checkpoint, checkpoint_seconds = require.checkpointing(checkpoint, checkpoint_seconds, resume)
    optimizer = rules.Adam() if optimizer is None else optimizer
    x, x_valid = require.array("x", x), require.array("x_valid", x_valid)
    how = binarize, weight_decay, resume
    optimizers, batch_size, epochs = require.fitting(model, x, x_valid, optimizer, batch_size, epochs, *how)
    players, n = model.players, len(x)

    run = Run(model, optimizers, n, batch_size, seed, schedule is not None, x_valid is not None, gradient_norms)
    settings = settings_of(
        model, optimizers, x, x_valid, schedule, checkpoint,
        batch_size=batch_size, seed=seed, binarize=binarize, weight_decay=bool(weight_decay), epochs=epochs,
        threads=count(threads, model, batch_size, resume),
    )  # fmt: skip
    some = FirstRows(x, min(GLIMPSE, n))
    look = functools.partial(evaluate, model, binarize=binarize, seed=seed, batch_size=batch_size)
    keeper = Keeper(run, checkpoint, checkpoint_seconds, settings, resume)
    with (
        explained(model), asked(threads), keeper, np.errstate(all="ignore"),
        Crew(keeper.threads, players, optimizers) as crew, keeper.bar(progress) as bar,
    ):  # fmt: skip
        upcoming = [at for at in upcoming if at > run.examples]
        while run.epoch <= keeper.epochs:
            crew.look_again()  # a student may have changed what runs
            order = run.rngs["order"].permutation(n)
            for first in range(run.position, n, batch_size):
                batch = fetch(x, order[first : first + batch_size], binarize, run.rngs["binarize"])
                if schedule is not None:
                    model.set(**require.hyperparameters(schedule(run.step)))
                if run.limit is None:  # the loss before training, to know divergence by
                    run.expect(look(some))
                noise = model.draw_noise(len(batch), run.rngs["noise"])
                taken = {name: crew.loss_and_grads(name, batch, noise) for name in players}  # all at the same parameters
                keeper.judge(batch, taken)  # raises if something is not finite
                for name, (_, grads) in taken.items():
                    if weight_decay:
                        rules.prior_gradient(players[name].params, grads, n)
                    optimizers[name].step(players[name].params, grads, run.states[name], crew.rules(model.ops))
                run.count(len(batch), [terms for terms, _ in taken.values()])
                del taken, grads  # or two sets of gradients would exist in the next step
                if run.call_back(callback, upcoming, lambda: look(some)):  # it may have put a logger in place
                    crew.look_again()
                bar.update()
                keeper.after_step()
            seen = look(some if x_valid is None else x_valid)
            if x_valid is None or run.epoch == keeper.epochs:  # after the last step no other judges it
                keeper.judge_epoch(some, seen if x_valid is None else look(some))
            row = run.next_epoch(seen)
            bar.set_postfix(epoch=row["epoch"], loss=f"{row['loss']:.2f}", kl=f"{row['kl']:.2f}", refresh=False)
            keeper.after_epoch(last=run.epoch > keeper.epochs)
    return run.history

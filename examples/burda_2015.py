"""Burda et al. 2015, Table 1, one stochastic layer: six of eight stages of its schedule.  A quarter of an hour for the VAE.

784-200-200-50-200-200-784 tanh, Adam with eps 1e-4, batches of 20, binary images drawn afresh for every batch; stage i
takes 3^i passes over the 60,000 training images at the learning rate 0.001 * 10^(-i/7).  After every stage the test
NLL from 100 importance samples, at the end from 5,000, beside the paper's.  k draws in the loss: 1 the VAE, more an IWAE.
Run: python examples/burda_2015.py                     (--stages 8: the whole schedule, nine times as long; --k 5; --seed 1)
     python examples/burda_2015.py --quick             (bundled digits, seconds)
"""

import time

import numpy as np
from matplotlib.figure import Figure
from runner import RESULTS, Results, options, origin, read, save_figure, train

from vae_from_scratch import IWAE, VAE, Adam, datasets, evaluation, plots

BATCH = 20
TEST_SEED = 0  # of the binary test images, the same for every network


def learning_rate(steps_per_pass, ends):
    """The rate as a function of the step, for stages that end after so many passes."""
    return lambda step: 0.001 * 10 ** (-np.searchsorted(ends, step // steps_per_pass, side="right") / 7)


def draw(rows, k, mu_variance):
    """Left: the test NLL after every stage.  Right: which latents are active."""
    source = f"Burda et al. 2015, Table 1, k = {k}"
    published = [r["value"] for r in read(RESULTS / "published.csv") if r["source"] == source and r["quantity"] == "nll"]
    figure = Figure(figsize=(8.3, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = sorted(rows, key=lambda row: (row["passes"], row["importance_samples"]))
    rough = [row for row in rows if row["importance_samples"] == rows[0]["importance_samples"]]
    passes = [row["passes"] for row in rough]
    left.plot(passes, [-row["elbo"] for row in rough], "o-", color=plots.TRAIN, label="minus the ELBO")
    label = f"NLL, {rough[0]['importance_samples']} samples"
    left.plot(passes, [row["nll"] for row in rough], "o-", color=plots.VALID, label=label)
    left.plot(passes[-1], rows[-1]["nll"], "*", color="black", label=f"NLL, {rows[-1]['importance_samples']:,} samples")
    for value in published:  # there is none for another k
        left.axhline(value, color="grey", linestyle="--", label="NLL, the paper, 3,280 passes")
    left.set(title="bound and NLL", xscale="log", xlabel="passes over the training images", ylabel="nats per test image")
    left.legend(frameon=False)
    right.plot(1 + np.arange(len(mu_variance)), np.sort(mu_variance)[::-1], ".", color=plots.COLOURS[4])
    right.axhline(evaluation.ACTIVE_VARIANCE, color="grey", linestyle="--", label="active above 0.01")
    active = int((mu_variance > evaluation.ACTIVE_VARIANCE).sum())
    right.set(yscale="log", xlabel="latent, the most active first", ylabel="variance of mu over test images")
    right.set_title(f"{active} of {len(mu_variance)} latents are active")
    right.legend(frameon=False)
    return figure


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, stages=6, k=1, seed=0)
    stages, hidden, few, many = (3, (20, 20), 5, 20) if chosen.quick else (chosen.stages, (200, 200), 100, 5000)
    train_x, test_x = (datasets.load("digits" if chosen.quick else "mnist", split) for split in datasets.SPLITS)
    results = Results(chosen.out / "results.csv", keys=("k", "seed", "passes", "importance_samples"))
    ends, setting = np.cumsum(3 ** np.arange(stages)), {"hidden": hidden, "latent_dim": 50, "seed": chosen.seed}
    model = VAE(train_x.data_dim, **setting) if chosen.k == 1 else IWAE(train_x.data_dim, samples=chosen.k, **setting)

    def look(model, seen, samples=few, **more):
        result = evaluation.evaluate(model, test_x, binarize="dynamic", seed=TEST_SEED)
        bound = evaluation.log_likelihood(
            model, test_x, samples, binarize="dynamic", seed=TEST_SEED, progress=samples == many
        ).bound
        results.add(
            k=chosen.k, seed=chosen.seed, passes=seen // len(train_x), importance_samples=samples, elbo=result.elbo, nll=-bound.mean,
            standard_error=bound.standard_error, active_units=result.active_units, **origin(), **more,
        )  # fmt: skip
        print(f"{seen // len(train_x)} passes: NLL {-bound.mean:.2f} nats, {result.active_units} active", flush=True)
        return result

    optimizer = Adam(learning_rate(len(train_x) // BATCH, ends), beta1=0.9, beta2=0.999, adam_eps=1e-4)
    history = train(
        chosen.out / f"k-{chosen.k}-seed-{chosen.seed}", model, train_x, optimizer, BATCH, int(ends[-1]), chosen.seed, binarize="dynamic",
        callback=look, callback_at=[int(end) * len(train_x) for end in ends], progress=False,
    )  # fmt: skip
    if not results.where(k=chosen.k, seed=chosen.seed, passes=int(ends[-1]), importance_samples=many):
        began = time.perf_counter()
        look(model, int(ends[-1]) * len(train_x), many, cpu_minutes=history["cpu_seconds"][-1] / 60)
        print(f"{many} importance samples took {(time.perf_counter() - began) / 60:.1f} minutes")
    result = evaluation.evaluate(model, test_x, binarize="dynamic", seed=TEST_SEED)
    save_figure(draw(results.where(k=chosen.k, seed=chosen.seed), chosen.k, result.mu_variance), chosen.out / "burda_2015.png")


if __name__ == "__main__":
    main()

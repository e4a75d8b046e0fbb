"""What the examples on sprites share, no example itself: the KL of each latent while training, and the factor it follows."""

import numpy as np
from runner import Results

from vae_from_scratch import evaluation, plots

FACTORS = dict(zip(("posX", "posY", "scale", "shape", "orientation"), np.array(plots.COLOURS)[[0, 2, 1, 4, 5]]))
ALONE, NAMED = 0.25, 0.1  # share from which a latent follows a factor; nats from which it has a name in a figure


def followed(mu, factors, sizes):
    """How much of the variance of each latent's mean each factor explains, about 0 to 1.  mu (N, Z), factors (N, F): (Z, F).

    The shape comes first: Var over shapes of E[mu_j | shape], divided by Var[mu_j].  Every other factor is counted within
    the shapes, for the same turn makes different pictures of a square and a heart: what shape and factor explain
    together, less what the shape does.  Adjusted for the number of cells (adjusted R^2), so that chance gives about 0.

    >>> factors = np.random.default_rng(0).integers(0, (3, 5, 7), size=(2000, 3))
    >>> mu = np.stack([factors[:, 2], factors[:, 1] + factors[:, 2], np.random.default_rng(1).normal(size=2000)], axis=1)
    >>> followed(mu, factors, (3, 5, 7)).round(1) + 0.0
    array([[0. , 0. , 1. ],
           [0. , 0.3, 0.7],
           [0. , 0. , 0. ]])
    """
    together = np.stack([explained(mu, factors[:, 0] * size + factors[:, f]) for f, size in enumerate(sizes)], axis=1)
    shape = explained(mu, factors[:, 0])[:, None]
    return np.concatenate([shape, together[:, 1:] - shape], axis=1)


def explained(mu, cells):
    """The adjusted R^2 of predicting mu (N, Z) by its mean in each cell, cells (N,) whole numbers: (Z,)."""
    counts = np.bincount(cells)[:, None]
    sums = np.stack([np.bincount(cells, column) for column in mu.T], axis=1)
    between = ((sums / np.maximum(counts, 1)) ** 2 * counts).sum(axis=0) / len(mu) - mu.mean(axis=0) ** 2
    within = 1 - between / np.maximum(mu.var(axis=0), 1e-12)
    return 1 - within * (len(mu) - 1) / (len(mu) - (counts > 0).sum())


class Watch:
    """A callback of fit: after so many images, the KL of each latent and the factor it follows, as rows of a CSV file."""

    def __init__(self, path, data, n, seed=0):
        self.results, self.seed = Results(path, keys=("images",)), seed
        rows = np.random.default_rng(seed).permutation(len(data))[:n]
        self.some, self.factors, self.sizes = data[rows], data.factors(rows), data.sizes

    def __call__(self, model, images):
        seen = evaluation.evaluate(model, self.some, seed=self.seed)
        shares = followed(model.encode(self.some)[0], self.factors, self.sizes)
        row = {"images": images, "recon_nll": seen.recon_nll, "kl": seen.kl, "active_units": seen.active_units}
        row |= {f"kl_{j}": kl for j, kl in enumerate(seen.kl_per_latent)}
        row |= {f"share_{j}_{f}": share for (j, f), share in np.ndenumerate(shares)}
        self.results.add(**row, **{name: getattr(model, name) for name in model.hyperparameters})

    def column(self, name):
        """A column of the rows as an array (T,)."""
        return np.array([row[name] for row in self.results.rows])

    def kl_per_latent(self):
        """(T, Z)."""
        return np.stack([self.column(name) for name in self.results.rows[0] if name.startswith("kl_")], axis=1)

    def shares(self):
        """(T, Z, F)."""
        names = [name for name in self.results.rows[0] if name.startswith("share_")]
        return np.stack([self.column(name) for name in names], axis=1).reshape(len(self.results.rows), -1, len(self.sizes))

    def best(self, factor_names):
        """For each factor the largest share that it explains of the mean of a latent with more than 0.01 nats, at the end."""
        shares = self.shares()[-1][self.kl_per_latent()[-1] > 0.01]
        return {f"best_{name}": share for name, share in zip(factor_names, shares.max(axis=0, initial=0))}

    def names(self, factor_names):
        """For each latent, such as "z3: posX 62 %, posY 31 %": the factors that explain a quarter or more at the end."""
        texts = []
        for j, shares in enumerate(self.shares()[-1]):
            order = [f for f in np.argsort(-shares) if shares[f] > ALONE]
            texts.append(f"z{j}: " + (", ".join(f"{factor_names[f]} {100 * shares[f]:.0f} %" for f in order) or "none alone"))
        return texts

    def draw(self, ax, at, factor_names):
        """The KL of each latent against at (T,), in the colour of the factor that it follows most at the end."""
        kl, names, styles = self.kl_per_latent(), self.names(factor_names), {}
        for j in np.argsort(-kl[-1], kind="stable"):
            look = {"color": "0.75", "linewidth": 0.8, "zorder": 1.5}
            if kl[-1, j] > NAMED:
                most = self.shares()[-1, j].argmax()
                colour = FACTORS[factor_names[most]] if self.shares()[-1, j, most] > ALONE else plots.COLOURS[8]
                style = styles[colour] = styles.get(colour, -1) + 1  # a second latent of one colour is dashed
                look = {"color": colour, "linestyle": ("-", "--", ":", "-.")[style % 4], "label": names[j]}
            ax.plot(at, kl[:, j], **look)
        others = int((kl[-1] <= NAMED).sum())
        ax.set(ylabel="nats", ylim=(0, None))
        shown = () if others < len(kl[-1]) else ([], [])  # or Matplotlib would miss them
        words = f"grey: {others} below {NAMED} nats" if others else None
        ax.legend(*shown, frameon=False, fontsize="small", loc="upper left", title=words)

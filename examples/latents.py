"""What the examples on sprites share, no example itself: the KL of each latent while training, and the factor it follows."""

import numpy as np
from runner import Results

from vae_from_scratch import evaluation


def followed(mu, factors, sizes):
    """How much of the variance of each latent's mean each factor explains, from 0 to 1.  mu (N, Z), factors (N, F): (Z, F).

    Var over the values v of factor f of E[mu_j | v], divided by Var[mu_j].  The first factor is the shape, and the
    others are counted within each shape: the same turn makes different pictures of a square and a heart.  Chance level: about
    (number of values, times shapes) / N.
    """
    shares = np.zeros((mu.shape[1], len(sizes)))
    for f, size in enumerate(sizes):
        cells = factors[:, 0] * size + factors[:, f] if f else factors[:, 0]
        counts = np.bincount(cells, minlength=sizes[0] * size)[:, None]
        sums = np.stack([np.bincount(cells, column, len(counts)) for column in mu.T], axis=1)
        explained = ((sums / np.maximum(counts, 1)) ** 2 * counts).sum(axis=0) / len(mu) - mu.mean(axis=0) ** 2
        shares[:, f] = explained / np.maximum(mu.var(axis=0), 1e-12)
    shares[:, 1:] -= shares[:, :1]  # what the shape explains has been counted
    return shares


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
        self.results.add(**row, **{name: getattr(model, name) for name in model.settings})

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

    def names(self, factor_names):
        """For each latent, such as "z3 posX 95 %": the factor that explains most of its mean's variance at the end."""
        return [f"z{j} {factor_names[np.argmax(s)]} {100 * s.max():.0f} %" for j, s in enumerate(self.shares()[-1])]

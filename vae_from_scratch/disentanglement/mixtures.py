"""One-dimensional Gaussians and their mixtures as masses on a grid: integrals become sums that keep their signs."""

import numpy as np

REACH, FINE, MOST = 8.0, 2.0, 4001  # std beyond the outermost means; points to the least std; points at most


def grid(mu, std):
    """Evenly spaced points (G,) that hold every N(mu_n, std_n^2), mu and std (N,), two or more to the least std.

    At most MOST points: a std much smaller than the spacing becomes a point mass, and information is understated.
    """
    low, high = (mu - REACH * std).min(), (mu + REACH * std).max()
    return np.linspace(low, high, int(min(np.ceil(FINE * (high - low) / std.min()) + 1, MOST)))


def cells(points, mu, std):
    """The mass (N, G) of each N(mu_n, std_n^2) at each point of a grid; rows sum to one."""
    squared = ((points - mu[:, None]) / std[:, None]) ** 2
    mass = np.exp((squared.min(axis=1, keepdims=True) - squared) / 2)  # 1 at the nearest point, however narrow
    return mass / mass.sum(axis=1, keepdims=True)


def kl_rows(p, q):
    """KL(row of p || q) in nats: p (N, G), q (G,) or (N, G); 0 log 0 = 0.  Never negative if the sums are one."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 1e-290)  # below, q may have underflowed to 0
    return (p * np.log(ratio)).sum(axis=1)

"""The best linear beta-VAE, from the eigenvalues of the data's covariance.  derivations/20-linear-beta-vae.md."""

import numpy as np


def linear_optimum(eigenvalues, latent_dim, beta, noise=None):
    """The best beta-VAE with a linear decoder, for data whose covariance has these eigenvalues (D,), largest first.

    noise: sigma_x^2 of the decoder, None if it is learned.  Returns the eigenvalues of the A active directions (A,),
    Eq. (LIN.4), and sigma_x^2, Eq. (LIN.10); of several equally good optima the one with the most noise, and None if
    learned noise has none.  ValueError if eigenvalues rise.
    """
    eigenvalues = np.asarray(eigenvalues)
    if (np.diff(eigenvalues) > 0).any():
        raise ValueError(f"eigenvalues must begin with the largest, got {eigenvalues}; np.linalg.eigvalsh gives them the other way: [::-1]")
    D, Z, learned = len(eigenvalues), min(latent_dim, len(eigenvalues)), noise is None
    for A in range(Z + 1):
        if learned:
            noise = eigenvalues[A:].sum() / (D - beta * A) if D > beta * A else 0
        if noise > 0 and (eigenvalues[A:Z] <= beta * noise * (1 + 1e-12)).all():  # the first such A: its eigenvalues are above
            return eigenvalues[:A], noise
    return None

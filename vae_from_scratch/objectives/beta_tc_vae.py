"""The beta-TCVAE (Chen et al. 2018): the KL's three parts, each at its own price.  derivations/18-total-correlation.md."""

from collections.abc import Sequence

import numpy as np

from ..base import Likelihood, PenaltyGrads
from ..beta_vae import PenaltyVAE
from ..engine import require


class BetaTCVAE(PenaltyVAE):
    """loss = mean recon_nll + alpha MI + beta TC + gamma DW (Chen et al. 2018, Eq. 4); all at 1 is VAE, with one thread bit for bit.

    alpha, beta, gamma >= 0: the prices of mutual information, total correlation and dimension-wise KL.
    n_train : how many data the batches are drawn from, which fit fills in
    estimator : of log q(z) from a batch, "stratified" (note 18, TC.8) or "weighted" (TC.10)
    The other arguments: see EncoderDecoder.  A batch needs two rows.

    >>> BetaTCVAE(data_dim=64, hidden=(32,), latent_dim=2, beta=6.0, n_train=1500).beta
    6.0
    """

    name = "beta-tc-vae"
    hyperparameters = {"alpha": 0, "beta": 0, "gamma": 0}  # name: smallest legal value
    alpha: float
    beta: float
    gamma: float
    choices = {"estimator": ("stratified", "weighted")}
    least_rows = 2

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
        *, alpha: float = 1.0, beta: float = 6.0, gamma: float = 1.0, n_train: int | None = None,
        estimator: str = "stratified",
    ):  # fmt: skip
        networks = (decoder_hidden, decoder_activation, init)
        super().__init__(data_dim, hidden, latent_dim, activation, likelihood, seed, dtype, backend, *networks)
        self.set(alpha=alpha, beta=beta, gamma=gamma)
        self.n_train = None if n_train is None else require.whole("n_train", n_train, least=2)
        self.estimator = require.choice("estimator", estimator, self.choices["estimator"])

    def trained_on(self, n):
        """n is what log q(z) is estimated for."""
        self.n_train = n

    def penalty_forward(self, kl, mu, logvar, z):
        """Eq. (TC.13): the KL at the price 1 in closed form, and what each part costs beyond that as estimated."""
        parts = self.ops.batch_parts_forward(mu, logvar, z, require.n_train(self), self.estimator == "stratified")
        information, correlation, dimensions = self.ops.batch_mean(parts)
        beyond = (self.alpha - 1) * information + (self.beta - 1) * correlation + (self.gamma - 1) * dimensions
        return self.ops.batch_mean(kl) + beyond

    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        """Eq. (TC.18)."""
        each = dpenalty * (np.ones_like(kl) / len(kl))
        dparts = np.stack([(price - 1) * each for price in (self.alpha, self.beta, self.gamma)], axis=1)
        of_parts = self.ops.batch_parts_backward(dparts, mu, logvar, z, require.n_train(self), self.estimator == "stratified")
        return PenaltyGrads(each, *of_parts)

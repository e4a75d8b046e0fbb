"""FactorVAE (Kim and Mnih 2018): a second network estimates the total correlation.  derivations/19-factor-and-dip.md."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..base import Likelihood, PenaltyGrads, normal
from ..beta_vae import PenaltyVAE
from ..engine import require
from ..engine.plumbing import WithParams
from ..engine.streams import stream
from ..mlp import MLP, NamedVector


class DiscriminatorTerms(NamedTuple):
    """What a batch costs the discriminator, in nats: log 2 if it cannot tell."""

    loss: np.floating


class Discriminator(WithParams, MLP):
    """The second player: z (N, Z) -> the logit of "z is a code, not a permuted one".  It has parameters of its own."""

    def __init__(self, model, hidden):
        super().__init__("discriminator", (model.latent_dim, *hidden, 1), "leaky-relu")
        self.model = model
        self.params = NamedVector(self.initial_params(stream("weights", model.seed, 1), model.init, model.dtype))

    def layers(self, x, eps, order):
        """The layers [h_0, ..., h_L] of 2 B rows: B codes, the first half of the batch, then B permuted, the second.

        B = ceil(N / 2): of an odd N the two halves share the middle row.
        """
        ops, B = self.model.ops, len(order)
        z = ops.reparameterize_forward(*self.model.encode(x), eps)
        return self.forward(ops, self.params, np.concatenate([z[:B], ops.permute_latents(z[-B:], order)]))

    def loss(self, x, *noise) -> DiscriminatorTerms:
        """Eq. (FACTOR.2).  x (N, D), the model's noise."""
        h = self.layers(*self.model.batch(x, noise))
        return DiscriminatorTerms(self.model.ops.discrimination_forward(*np.split(h[-1][:, 0], 2)))

    def loss_and_grads(self, x, *noise, out: NamedVector | None = None) -> tuple[DiscriminatorTerms, NamedVector]:
        """Eqs. (FACTOR.3), (FACTOR.4), for its own parameters alone."""
        ops, h = self.model.ops, self.layers(*self.model.batch(x, noise, looked_at=out is not None))
        logits, logits_perm = np.split(h[-1][:, 0], 2)
        grads = self.params.zeros_like() if out is None else out
        dlogits = np.concatenate(ops.discrimination_backward(1.0, logits, logits_perm))
        self.backward(ops, self.params, dlogits[:, None], h, grads, need_dx=False)  # z is data: no gradient leaves here
        return DiscriminatorTerms(ops.discrimination_forward(logits, logits_perm)), grads


class FactorVAE(PenaltyVAE):
    """loss = mean recon_nll + mean kl + gamma * mean logit(z) (Kim and Mnih 2018, Eq. 2); the discriminator is trained beside it.

    gamma >= 0; discriminator_hidden: its widths.  The paper's (1000,) * 6 are 17 times the work of the VAE itself on
    MNIST, the default a quarter of it.  A batch has at least two rows.  Other arguments: see EncoderDecoder.

    >>> list(FactorVAE(data_dim=64, hidden=(32,), latent_dim=2, gamma=6.4).players)
    ['model', 'discriminator']
    """

    name = "factor-vae"
    hyperparameters = {"gamma": 0}  # name: smallest legal value
    gamma: float
    least_rows = 2

    def __init__(
        self, data_dim: int, hidden: Sequence[int] = (500,), latent_dim: int = 20, activation: str = "tanh",
        likelihood: str | dict | Likelihood = "bernoulli", seed: int = 0, dtype: str = "float32", backend: str = "numba",
        decoder_hidden: Sequence[int] | None = None, decoder_activation: str | None = None, init: str = "glorot",
        *, gamma: float = 6.4, discriminator_hidden: Sequence[int] = (256, 256),
    ):  # fmt: skip
        networks = (decoder_hidden, decoder_activation, init)
        super().__init__(data_dim, hidden, latent_dim, activation, likelihood, seed, dtype, backend, *networks)
        self.set(gamma=gamma)
        self.discriminator_hidden = require.widths("discriminator_hidden", discriminator_hidden)
        self.discriminator = Discriminator(self, self.discriminator_hidden)

    @property
    def players(self):
        return {"model": self, "discriminator": self.discriminator}

    def noise_shapes(self, n):
        """eps ~ N(0, I), (n, Z), and what permutes the latents of half a batch."""
        return (n, self.latent_dim), ((n + 1) // 2, self.latent_dim)

    def evaluation_noise(self, n, rng):
        """eps alone is drawn, as of a VAE: its loss permutes nothing."""
        eps, order = self.noise_shapes(n)
        return normal(rng, eps, self.dtype), np.zeros(order, self.dtype)

    def forward(self, x, eps, order):
        """As in PenaltyVAE: nothing is permuted in the loss of the model."""
        return super().forward(x, eps)

    def backward(self, x, eps, order, saved, grads):
        super().backward(x, eps, saved, grads)

    def penalty_forward(self, kl, mu, logvar, z):
        """mean kl + gamma * mean logit, Eq. (FACTOR.5)."""
        h = self.discriminator.forward(self.ops, self.discriminator.params, z)
        return self.ops.batch_mean(kl) + self.gamma * self.ops.batch_mean(h[-1][:, 0])

    def penalty_backward(self, dpenalty, kl, mu, logvar, z):
        """Eq. (FACTOR.6): through the discriminator to z, and past its parameters."""
        share = dpenalty * (np.ones_like(kl) / len(kl))
        network, unused = self.discriminator, self.discriminator.params.zeros_like()
        h = network.forward(self.ops, network.params, z)
        dz = network.backward(self.ops, network.params, self.gamma * share[:, None], h, unused)
        return PenaltyGrads(dkl=share, dz=dz)

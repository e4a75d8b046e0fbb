"""Promise: in float32 every pair is finite and right: logits to +-1e4, log variances to +-80, the rest of order one."""

import numpy as np
import pytest

from vae_from_scratch import (
    DIPVAE, IWAE, VAE, Autoencoder, BetaVAE, CapacityVAE, DenoisingAutoencoder, FactorVAE, FreeBitsVAE, Gaussian, Laplace,
    SparseAutoencoder, ops,
)  # fmt: skip
from vae_from_scratch.engine.backends import BACKENDS

RNG = np.random.default_rng(0)
N, D = 4, 9
UNIT = RNG.uniform(-1, 1, size=(N, D))
X = np.concatenate([np.zeros((1, D)), np.ones((1, D)), RNG.uniform(size=(N - 2, D))])  # all-zero, all-one, grey
LOGITS = np.array([-1e4, -100, -17, -1e-4, 0, 1e-4, 17, 100, 1e4]) * np.ones((N, 1))
LOGVARS = np.array([-80, -40, -1, -1e-4, 0, 1e-4, 1, 40, 80]) * np.ones((N, 1))
TARGETS = (np.eye(D)[[0, 8, 4, 2]] + np.eye(D)[[0, 8, 4, 6]]) / 2  # three labels, and a half each
ONES = np.ones(N)
DRAWS = RNG.uniform(-1, 1, size=(N, D, 3))  # as many draws as there are logits

CASES = {  # pair: calls (name of the function, arguments)
    "tanh": [("tanh_forward", LOGITS), ("tanh_backward", UNIT, np.tanh(LOGITS))],
    "relu": [("relu_forward", LOGITS), ("relu_backward", UNIT, np.maximum(LOGITS, 0))],
    "sigmoid": [("sigmoid_forward", LOGITS), ("sigmoid_backward", UNIT, ops.sigmoid_forward(LOGITS))],
    "softplus": [("softplus_forward", LOGITS), ("softplus_backward", UNIT, LOGITS)],
    "reparameterize": [
        ("reparameterize_forward", UNIT, LOGVARS, UNIT[::-1]), ("reparameterize_backward", UNIT, LOGVARS, UNIT[::-1]),
    ],
    "gaussian_kl": [
        ("gaussian_kl_per_latent", UNIT, LOGVARS), ("gaussian_kl_forward", UNIT, LOGVARS),
        ("gaussian_kl_backward", ONES, UNIT, LOGVARS),
    ],
    "bernoulli_nll": [("bernoulli_nll_forward", LOGITS, X), ("bernoulli_nll_backward", ONES, LOGITS, X)],
    "gaussian_nll": [("gaussian_nll_forward", UNIT, LOGVARS, X), ("gaussian_nll_backward", ONES, UNIT, LOGVARS, X)],
    "laplace_nll": [("laplace_nll_forward", UNIT, LOGVARS, X), ("laplace_nll_backward", ONES, UNIT, LOGVARS, X)],
    "continuous_bernoulli_nll": [
        ("continuous_bernoulli_nll_forward", LOGITS, X), ("continuous_bernoulli_nll_backward", ONES, LOGITS, X),
    ],
    "squared_error": [("squared_error_forward", LOGITS, X), ("squared_error_backward", ONES, LOGITS, X)],
    "softmax_cross_entropy": [
        ("softmax_cross_entropy_forward", LOGITS, TARGETS), ("softmax_cross_entropy_backward", ONES, LOGITS, TARGETS),
    ],
    "capacity": [
        ("capacity_forward", np.float64(1e4), 1000.0, 25.0),
        ("capacity_backward", np.float64(1), np.float64(1e4), 1000.0, 25.0),
    ],
    "log_weights": [
        ("log_weights_forward", LOGITS, DRAWS, LOGVARS[:, :3], DRAWS[::-1]), ("log_weights_backward", UNIT, DRAWS),
    ],
    "iwae_bound": [
        ("iwae_bound_forward", LOGITS), ("iwae_bound_backward", ONES, LOGITS), ("normalised_weights", LOGITS),
        ("doubly_reparameterized", DRAWS, LOGITS, UNIT, LOGVARS[:, 3:6], DRAWS[::-1]),
    ],
    "free_bits": [
        ("free_bits_forward", UNIT, LOGVARS, 0.5), ("free_bits_backward", np.float64(1), UNIT, LOGVARS, 0.5),
    ],
    "leaky_relu": [("leaky_relu_forward", LOGITS), ("leaky_relu_backward", UNIT, np.maximum(LOGITS, LOGITS / 5))],
    "discrimination": [
        ("discrimination_forward", LOGITS[0], LOGITS[1]), ("discrimination_backward", np.float64(1), LOGITS[0], LOGITS[1]),
    ],
    "covariance": [("covariance_forward", UNIT), ("covariance_backward", UNIT[:, :N].T @ UNIT[:, :N], UNIT[:, :N])],
    "marginal_covariance": [
        ("marginal_covariance_forward", UNIT, LOGVARS),
        ("marginal_covariance_backward", UNIT[:, :N] / 9, UNIT[:, :N], LOGVARS[:, 2:6]),
    ],
    "dip": [("dip_forward", UNIT[:, :N], 10.0, 5.0), ("dip_backward", np.float64(1), UNIT[:, :N], 10.0, 5.0)],
    "sparse_kl": [("sparse_kl_forward", LOGITS, 0.05), ("sparse_kl_backward", np.float64(1), LOGITS, 0.05)],
    "l1": [("l1_forward", LOGITS), ("l1_backward", ONES, LOGITS)],
    "slope": [
        call for act in ops.SLOPES for h in [ops.ACTIVATIONS[act][0](LOGITS)]
        for call in (("slope_forward", h, act), ("slope_backward", UNIT, h, act))
    ],
    "squared_norm": [("squared_norm_forward", LOGITS), ("squared_norm_backward", ONES, LOGITS)],
}  # fmt: skip
CALLS = [(name, arguments) for calls in CASES.values() for name, *arguments in calls]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name, arguments", CALLS, ids=[name for name, _ in CALLS])
def test_pairs_in_float32_over_the_whole_range(name, arguments, backend):
    narrow = [value.astype(np.float32) if hasattr(value, "dtype") else value for value in arguments]
    wide = [value.astype(np.longdouble) if hasattr(value, "dtype") else value for value in narrow]
    results, expected = getattr(BACKENDS[backend](), name)(*narrow), getattr(ops, name)(*wide)
    for result, exact in zip(*(value if isinstance(value, tuple) else (value,) for value in (results, expected))):
        assert result.dtype == np.float32 and np.isfinite(result).all()
        # entry by entry: a small value beside a huge one is right, too; absolute where it is a difference of ones
        np.testing.assert_allclose(result.astype(np.longdouble), exact, rtol=2e-6, atol=2e-7)


def test_every_elementwise_pair_is_in_the_table():
    pairs = {name.rsplit("_", 1)[0] for name in vars(ops) if name.endswith("_backward") and not name.startswith("_")}
    # four are sums of products: range is their input's; batch_parts compares rows: test_total_correlation.py
    assert pairs - set(CASES) == {"dense", "dense_act", "contraction", "tangent", "batch_parts"} and set(CASES) <= pairs


@pytest.mark.parametrize("x", [np.zeros((3, 8)), np.ones((3, 8))], ids=["all zero", "all one"])
@pytest.mark.parametrize(
    "likelihood",
    ["bernoulli", Gaussian(0.1), Gaussian("learned"), Gaussian("per-pixel", "sigmoid"), "continuous-bernoulli", Laplace("per-pixel")],
    ids=str,
)
@pytest.mark.parametrize(
    "cls",
    [Autoencoder, VAE, BetaVAE, CapacityVAE, DIPVAE, FactorVAE, IWAE, FreeBitsVAE, DenoisingAutoencoder, SparseAutoencoder],
)
def test_models_on_all_zero_and_all_one_images(cls, likelihood, x):
    model = cls(8, hidden=(6,), latent_dim=2, likelihood=likelihood)
    terms, grads = model.loss_and_grads(x, *model.draw_noise(3, np.random.default_rng(0)))
    assert np.isfinite(terms.loss) and all(np.isfinite(value).all() for value in grads.values())
    assert np.isfinite(model.reconstruct(x)).all()


@pytest.mark.parametrize("latent, logvar", [(0, 80.0), (1, -80.0)])
def test_a_whole_model_with_an_extreme_log_variance(latent, logvar):
    model = VAE(8, hidden=(6,), latent_dim=2)
    model.params["encoder_b2"][2 + latent] = logvar
    terms, grads = model.loss_and_grads(X[:, :8], *model.draw_noise(N, np.random.default_rng(0)))
    assert np.isfinite(terms.loss) and all(np.isfinite(value).all() for value in grads.values())


def test_where_float32_ends():
    # the table of note 6; beyond it the package does not clamp, it says so (test_divergence.py)
    f, zero = np.float32, np.zeros((1, 1), np.float32)

    def kl(logvar):
        return ops.gaussian_kl_forward(zero, zero + f(logvar))[0]

    def z(logvar):
        return ops.reparameterize_forward(f(0), f(logvar), f(1))

    def nll(x_logvar):
        return ops.gaussian_nll_forward(zero, f(x_logvar), zero)[0]

    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isfinite(kl(88.7)) and np.isinf(kl(88.8)) and np.isfinite(kl(-1e30))
        assert np.isfinite(z(177.4)) and np.isinf(z(177.5))
        assert np.isfinite(nll(-88.7)) and np.isnan(nll(-88.8))
        assert np.isfinite(f(1.8e19) ** 2) and np.isinf(f(1.9e19) ** 2)
        assert f(2.7e-23) ** 2 > 0 and f(2.6e-23) ** 2 == 0

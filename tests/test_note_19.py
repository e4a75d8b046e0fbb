"""Promise: note 19's claims on the discriminator and the covariances hold, and the mistakes it names are caught."""

import re

import numpy as np
import pytest
from helpers import agrees, figure, linear_model, note, refused, same

from vae_from_scratch import SGD, VAE, Adam, BetaVAE, DIPVAE, FactorVAE, Gaussian, fit, load, ops, save
from vae_from_scratch.disentanglement.parts import kl_parts
from vae_from_scratch.engine.streams import stream
from vae_from_scratch.evaluation import evaluate
from vae_from_scratch.mlp import MLP, NamedVector

NOTE, FIGURE = note(19), figure(19)
EXACT = 1e-12  # relative: sums of some thousand terms in double precision (2e-16 each)


def rng(seed=0):
    return np.random.default_rng(seed)


def small(model_class=FactorVAE, n=6, **settings):
    """A model in double precision, a batch, its noise; every parameter of every player away from 0."""
    settings = {"discriminator_hidden": (4, 3), **settings} if model_class is FactorVAE else settings
    model, draw = model_class(5, (4,), 3, dtype="float64", **settings), rng(1)
    for player in model.players.values():
        player.params.vector[...] = draw.uniform(0.2, 0.5, player.params.vector.shape) * draw.choice([-1, 1], player.params.vector.shape)
    return model, draw.uniform(size=(n, 5)), model.draw_noise(n, draw)


def gaussian_grid(points=161, reach=8.0):
    """z (points^2, 2) on a grid, and the masses there of q, correlation 0.8, and of the product of its marginals."""
    grid, rho = np.linspace(-reach, reach, points), FIGURE.RHO
    z = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    square, product = (z**2).sum(axis=1), z.prod(axis=1)
    q, r = np.exp(-(square - 2 * rho * product) / (2 * (1 - rho**2))), np.exp(-square / 2)
    return z, q / q.sum(), r / r.sum()


# ---- FactorVAE: permuted columns -----------------------------------------------------------------------


def columns_keep_their_values(permute):
    z = rng().normal(size=(7, 3)) * [1, 10, 100]
    np.testing.assert_array_equal(np.sort(permute(z, rng(1).normal(size=z.shape)), axis=0), np.sort(z, axis=0))


def rows_are_scattered(permute):
    z = np.repeat(rng().normal(size=(1000, 1)), 3, axis=1)  # latents that are copies of each other
    between = np.corrcoef(permute(z, rng(1).normal(size=z.shape)).T)[~np.eye(3, dtype=bool)]
    assert np.abs(between).max() < 0.13  # four standard errors, 1 / sqrt(1000) each


def test_a_permuted_column_keeps_its_values():
    columns_keep_their_values(ops.permute_latents)


def test_each_latent_is_permuted_on_its_own():
    rows_are_scattered(ops.permute_latents)


@pytest.mark.parametrize("equation", ["FACTOR.1"])
def test_every_order_of_a_column_is_as_likely_as_any(equation):
    z = np.repeat(np.arange(3.0)[:, None], 6000, axis=1)
    orders = ops.permute_latents(z, rng().normal(size=z.shape)).T @ [9, 3, 1]
    counts = np.unique(orders, return_counts=True)[1]
    assert len(counts) == 6 and np.abs(counts - 1000).max() < 4.5 * np.sqrt(1000 * 5 / 6)


def test_one_permutation_of_all_columns_can_not_be_told_below_log_2():
    z, network = rng().normal(size=(50, 3)), MLP("d", (3, 8, 1), "leaky-relu")
    logits = network.forward(ops, NamedVector(network.initial_params(rng(2), "glorot", np.dtype("float64"))), 3 * z)[-1][:, 0]
    assert ops.discrimination_forward(logits, rng(1).permutation(logits)) > np.log(2)
    assert ops.discrimination_forward(np.zeros(3), np.zeros(3)) == pytest.approx(np.log(2), rel=EXACT)


def one_half(model, x, noise):
    """The codes that the discriminator of this model is shown, as they are and permuted, found by a network that is the identity."""
    mu, logvar = model.encode(x)
    return np.split(model.discriminator.layers(x, *noise)[0], 2), mu + np.exp(logvar / 2) * noise[0]


@pytest.mark.parametrize("n, B", [(6, 3), (7, 4), (2, 1)])
def test_the_discriminator_compares_two_halves_of_a_batch(n, B):
    model, x, noise = small(n=n)
    (codes, permuted), z = one_half(model, x, noise)
    np.testing.assert_array_equal(codes, z[:B])
    np.testing.assert_array_equal(np.sort(permuted, axis=0), np.sort(z[n - B :], axis=0))


# ---- FactorVAE: the best discriminator --------------------------------------------------------------------


def the_question_is_asked_the_right_way_round(forward):
    z, q, r = gaussian_grid()
    logits = FIGURE.best_logit(z)
    draws = [rng(seed).choice(len(z), 200_000, p=masses) for seed, masses in enumerate((q, r))]
    assert forward(logits[draws[0]], logits[draws[1]]) == pytest.approx(0.559503, abs=0.003)  # four standard errors


def test_codes_are_the_class_of_positive_logits():
    the_question_is_asked_the_right_way_round(ops.discrimination_forward)


@pytest.mark.parametrize("equation", ["FACTOR.7 FACTOR.8 FACTOR.10"])
def test_the_best_logit_and_its_mean_on_a_correlated_gaussian(equation):
    z, q, r = gaussian_grid()
    logits, rho = FIGURE.best_logit(z), FIGURE.RHO
    np.testing.assert_allclose(logits[q > 1e-30], np.log(q / r)[q > 1e-30], atol=1e-9)  # FACTOR.10 is FACTOR.7

    def loss(l):
        return (q * ops.softplus_forward(-l) + r * ops.softplus_forward(l)).sum() / 2

    tc = (q * logits).sum()
    assert tc == pytest.approx(-np.log(1 - rho**2) / 2, rel=1e-9) and agrees("0.510826", tc) and agrees("0.559503", loss(logits))
    for seed in range(20):  # and no other logit does better
        assert loss(logits + 0.1 * rng(seed).normal(size=logits.shape)) > loss(logits)
    printed = re.search(r"total correlation is ([\d.]+) nats, and the best discriminator's loss ([\d.]+),", NOTE).groups()
    assert agrees(printed[0], tc) and agrees(printed[1], loss(logits))


@pytest.mark.parametrize("equation", ["FACTOR.9"])
@pytest.mark.parametrize("rho", [0.3, 0.8])
def test_a_discriminator_held_fixed_gives_the_gradient_of_the_total_correlation(equation, rho):
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    eps = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    mass = np.outer(weights, weights).ravel() / (2 * np.pi)

    def mean_logit(other):  # z_rho with the best logit of this rho
        z = np.stack([eps[:, 0], other * eps[:, 0] + np.sqrt(1 - other**2) * eps[:, 1]], axis=1)
        return mass @ FIGURE.best_logit(z, rho)

    slope = (mean_logit(rho + 1e-4) - mean_logit(rho - 1e-4)) / 2e-4
    assert slope == pytest.approx(rho / (1 - rho**2), rel=1e-6)  # d TC / d rho


@pytest.mark.slow
def test_a_discriminator_in_training_finds_the_total_correlation():
    model, draws = FactorVAE(3, (), 2), rng()
    network, adam = model.discriminator, Adam(1e-3)
    state, mix = adam.initial_state(network.params), np.linalg.cholesky([[1, 0.8], [0.8, 1]]).T
    codes = lambda n: (draws.normal(size=(n, 2)) @ mix).astype(np.float32)  # noqa: E731
    for _ in range(1500):
        z, order = codes(800), draws.normal(size=(400, 2))
        h = network.forward(ops, network.params, np.concatenate([z[:400], ops.permute_latents(z[400:], order)]))
        dlogits = np.concatenate(ops.discrimination_backward(1.0, *np.split(h[-1][:, 0], 2)))
        grads = network.params.zeros_like()
        network.backward(ops, network.params, dlogits[:, None], h, grads, need_dx=False)
        adam.step(network.params, grads, state)
    logits = network.forward(ops, network.params, codes(100_000))[-1]
    assert logits.mean() == pytest.approx(0.5108, abs=0.05)


# ---- FactorVAE: two players -------------------------------------------------------------------------------


def test_the_penalty_is_the_mean_logit_with_a_plus():
    model, x, noise = small(gamma=3.0, discriminator_hidden=())
    model.discriminator.params["discriminator_W1"] = 0.0
    model.discriminator.params["discriminator_b1"] = 1.5  # l = 1.5 wherever z is
    terms = model.loss(x, *noise)
    assert terms.loss == pytest.approx(terms.recon_nll + terms.kl + 3.0 * 1.5, rel=EXACT)


def the_encoder_learns_from_its_own_loss_alone(penalty_backward=None):
    model, x, noise = small(gamma=2.0, discriminator_hidden=())
    if penalty_backward is not None:
        model.penalty_backward = penalty_backward(model, model.penalty_backward, noise)
    plain = VAE(5, (4,), 3, dtype="float64")
    plain.params = model.params
    found, rest = model.loss_and_grads(x, *noise)[1], plain.loss_and_grads(x, noise[0])[1]
    # a linear logit z w + b: the penalty's dz is gamma w / N in every row, and goes the way of note 5 into the encoder
    dz = np.tile(2.0 / len(x) * model.discriminator.params["discriminator_W1"].T, (len(x), 1))
    enc = model.encoder.forward(ops, model.params, x)
    denc = np.concatenate(ops.reparameterize_backward(dz, enc[-1][:, 3:], noise[0]), axis=1)
    expected = model.params.zeros_like()
    model.encoder.backward(ops, model.params, denc, enc, expected, need_dx=False)
    np.testing.assert_allclose(found.vector, rest.vector + expected.vector, rtol=1e-10, atol=1e-14)


def test_the_discriminators_loss_sends_nothing_into_the_encoder():
    the_encoder_learns_from_its_own_loss_alone()
    model, x, noise = small()
    before = model.params.vector.copy()
    _, grads = model.discriminator.loss_and_grads(x, *noise)
    assert set(grads) == set(model.discriminator.params) and not set(grads) & set(model.params)
    assert np.array_equal(model.params.vector, before)
    players = {"model": SGD(1e-30), "discriminator": Adam(1e-2)}
    was = model.discriminator.params.vector.copy()
    fit(model, x, players, batch_size=3, epochs=2, progress=False)
    assert np.abs(model.params.vector - before).max() < 1e-20 and np.abs(model.discriminator.params.vector - was).max() > 1e-3


def test_the_models_loss_changes_no_parameter_of_the_discriminator():
    model, x, noise = small()
    before, was = model.discriminator.params.vector.copy(), model.params.vector.copy()
    _, grads = model.loss_and_grads(x, *noise)
    assert set(grads) == set(model.params) and np.array_equal(model.discriminator.params.vector, before)
    fit(model, x, {"model": Adam(1e-2), "discriminator": SGD(1e-30)}, batch_size=3, epochs=2, progress=False)
    assert np.abs(model.discriminator.params.vector - before).max() < 1e-20 and np.abs(model.params.vector - was).max() > 1e-3


def costs_what_a_vae_does(model, x, noise):
    plain = VAE(5, (4,), 3, dtype="float64")
    plain.params = model.params
    (terms, grads), (expected, gradients) = model.loss_and_grads(x, *noise), plain.loss_and_grads(x, noise[0])
    assert terms.loss == expected.loss and np.array_equal(grads.vector, gradients.vector)


def test_without_gamma_it_is_the_vae():
    model, x, noise = small(gamma=0.0)
    costs_what_a_vae_does(model, x, noise)


# ---- DIP-VAE ----------------------------------------------------------------------------------------------


def covariance_of_pairs(mu):
    """C by the mean of products over all pairs of rows: sum_nm (mu_n - mu_m)^T (mu_n - mu_m) / 2 N^2."""
    apart = mu[:, None] - mu[None]
    return np.einsum("nmi,nmj->ij", apart, apart) / (2 * len(mu) ** 2)


def test_the_covariance_by_hand():
    mu = rng().normal(size=(5, 3))
    np.testing.assert_allclose(ops.covariance_forward(mu), covariance_of_pairs(mu), rtol=EXACT, atol=1e-15)


def a_constant_added_to_a_latent_changes_nothing(covariance):
    mu = rng().normal(size=(5, 3))
    np.testing.assert_allclose(covariance(mu + [1.0, -7.0, 3.0]), covariance(mu), atol=1e-13)


def a_doubled_batch_changes_nothing(covariance):
    mu = rng().normal(size=(5, 3))
    np.testing.assert_allclose(covariance(np.tile(mu, (2, 1))), covariance(mu), rtol=EXACT, atol=1e-15)


def off_the_diagonal_the_kinds_are_equal(marginal):
    mu, logvar = rng().normal(size=(2, 5, 3))
    more = marginal(mu, logvar) - ops.covariance_forward(mu)
    assert np.abs(more[~np.eye(3, dtype=bool)]).max() == 0
    np.testing.assert_allclose(np.diag(more), np.exp(logvar).mean(axis=0), rtol=1e-10)


def it_is_the_covariance_of_draws(marginal):
    mu, logvar = rng().normal(size=(2, 4, 2))
    rows = np.repeat(np.arange(4), 50_000)
    z = ops.reparameterize_forward(mu[rows], logvar[rows], rng(1).standard_normal((len(rows), 2)))
    np.testing.assert_allclose(marginal(mu, logvar), np.cov(z.T), atol=0.05)


def test_a_covariance_is_blind_to_a_constant():
    a_constant_added_to_a_latent_changes_nothing(ops.covariance_forward)


def test_a_covariance_is_a_mean_over_the_batch():
    a_doubled_batch_changes_nothing(ops.covariance_forward)


def test_the_noise_adds_variances_and_no_covariance():
    off_the_diagonal_the_kinds_are_equal(ops.marginal_covariance_forward)


@pytest.mark.parametrize("equation", ["DIP.3"])
def test_the_second_kind_is_the_covariance_of_z(equation):
    it_is_the_covariance_of_draws(ops.marginal_covariance_forward)


def test_each_weight_has_its_part_of_the_price():
    C = np.array([[3.0, 0.5], [0.5, 1.0]])
    assert ops.dip_forward(C, 1.0, 0.0) == 0.5 and ops.dip_forward(C, 0.0, 1.0) == 4.0 and ops.dip_forward(np.eye(3), 2.0, 3.0) == 0


@pytest.mark.parametrize("kind", ["i", "ii"])
def test_without_weights_it_is_the_vae(kind):
    model, x, noise = small(DIPVAE, kind=kind, lambda_od=0, lambda_d=0)
    costs_what_a_vae_does(model, x, noise)


@pytest.mark.parametrize("equation", ["DIP.9"])
@pytest.mark.parametrize("tau", [0.5, 1.5])
def test_what_the_kinds_cost_at_the_optimum_of_the_linear_model(equation, tau):
    eigenvalues = np.array([4.0, 2.0, 1.0])
    x = rng().normal(size=(40, 3))
    x = np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt(40 * eigenvalues)
    kinds = {}
    for kind in DIPVAE.choices["kind"]:
        model = linear_model(DIPVAE, 3, 3, Gaussian(sigma=tau**0.5), kind=kind, lambda_od=1.0, lambda_d=1.0)
        put_linear_optimum(model, x, tau)
        kinds[kind] = model.ops.dip_forward(model.covariance(*model.encode(x)), 1.0, 1.0)
    assert kinds["i"] == pytest.approx((np.minimum(1, tau / eigenvalues) ** 2).sum(), rel=1e-10)
    assert kinds["ii"] == pytest.approx(0, abs=1e-20)
    if tau == 0.5:
        assert agrees(re.search(r"price is\s+\$`([\d.]+) \\, \\lambda", NOTE)[1], kinds["i"])


def put_linear_optimum(model, x, tau):
    """The encoder of LIN.2 for the decoder of LIN.4, written out: along the eigenvectors, here the axes of x."""
    values = (x**2).mean(axis=0)
    active = values > tau
    slopes = np.where(active, np.sqrt(np.maximum(values - tau, 0)) / values, 0)
    logvar = np.where(active, np.log(tau / values), 0)
    model.params["encoder_W1"] = np.concatenate([np.diag(slopes), np.zeros((3, 3))], axis=1)
    model.params["encoder_b1"] = np.concatenate([np.zeros(3), logvar])


@pytest.mark.parametrize("equation", ["DIP.10"])
def test_a_batch_sees_covariance_where_there_is_none(equation):
    N, scales = 5, np.array([2.0, 0.5])
    mu = scales * rng().normal(size=(40_000, N, 2))
    centred = mu - mu.mean(axis=1, keepdims=True)
    C = (centred[..., 0] * centred[..., 1]).mean(axis=1)
    expected = (N - 1) / N**2 * (scales**2).prod()
    assert abs(C.mean()) < 4 * np.sqrt(expected / 40_000) and (C**2).mean() == pytest.approx(expected, rel=0.05)
    pairs, each, total = re.search(r"that is \$`(\d+) \\cdot ([\d.]+) = ([\d.]+)`\$ nats", NOTE).groups()
    assert int(pairs) == 10 * 9 and agrees(each, 99 / 100**2) and agrees(total, 90 * 99 / 100**2)


def test_a_covariance_is_blind_to_what_is_no_covariance():
    C = ops.covariance_forward(FIGURE.TURNED)
    np.testing.assert_allclose(C, np.eye(2), atol=1e-15)
    tc = kl_parts(FIGURE.TURNED, np.full((4, 2), 2 * np.log(FIGURE.STD)), rng(), samples=4000).total_correlation
    assert tc == pytest.approx(0.2742, abs=0.01) and NOTE.count("0.274 nats") == 2


# ---- the mistakes of others, put in and caught --------------------------------------------------------------


def leaking(model, own, noise):
    """penalty_backward with the discriminator's loss sent back into the encoder."""

    def penalty_backward(dpenalty, kl, mu, logvar, z):
        grads, network = own(dpenalty, kl, mu, logvar, z), model.discriminator
        h = network.forward(ops, network.params, z)
        dlogits, _ = ops.discrimination_backward(1.0, h[-1][:, 0], h[-1][:, 0])
        return grads._replace(dz=grads.dz + network.backward(ops, network.params, dlogits[:, None], h, network.params.zeros_like()))

    return penalty_backward


def centred_over_latents(mu):
    centred = mu - mu.mean(axis=1, keepdims=True)
    return centred.T @ centred / len(mu)


def sum_over_rows(mu):
    return ops.covariance_forward(mu) * len(mu)


MISTAKES = {
    "the discriminator's loss leaks into the encoder": (the_encoder_learns_from_its_own_loss_alone, leaking),
    "one permutation for all latents": (rows_are_scattered, lambda z, order: z[order[:, 0].argsort()]),
    "permuted within rows": (columns_keep_their_values, lambda z, order: np.take_along_axis(z, order.argsort(axis=1), axis=1)),
    "both signs of the question": (
        the_question_is_asked_the_right_way_round, lambda l, l_perm: ops.discrimination_forward(-l, -l_perm)),
    "a centred latent axis": (a_constant_added_to_a_latent_changes_nothing, centred_over_latents),
    "no 1/N": (a_doubled_batch_changes_nothing, sum_over_rows),
    "exp(2 logvar)": (
        it_is_the_covariance_of_draws, lambda mu, logvar: ops.marginal_covariance_forward(mu, 2 * logvar)),
    "diag adds one number to every entry": (
        off_the_diagonal_the_kinds_are_equal, lambda mu, logvar: ops.covariance_forward(mu) + np.diag(np.exp(logvar)).mean()),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_that_others_published_is_caught(mistake):
    check, wrong = MISTAKES[mistake]
    with pytest.raises(AssertionError):
        check(wrong)


def test_how_much_a_leak_takes_away():
    l, gamma = -1.0, 2.0
    dlogit, _ = ops.discrimination_backward(1.0, np.array([l]), np.array([l]))
    factor = (gamma + dlogit[0]) / gamma
    assert factor == pytest.approx(1 - ops.sigmoid_forward(-l) / (2 * gamma), rel=EXACT)
    printed = re.search(r"s\(1\) = ([\d.]+)`\$, and \$`1 - [\d.]+ / 4 = ([\d.]+)`", NOTE).groups()
    assert agrees(printed[0], ops.sigmoid_forward(1.0)) and agrees(printed[1], factor)
    at_zero = re.search(r"it is ([\d.]+) for \$`\\gamma = 6.4`\$, hardly to be noticed in a run, and ([\d.]+) for", NOTE).groups()
    assert agrees(at_zero[0], 1 - 0.25 / 6.4) and agrees(at_zero[1], 0.75)


# ---- in use ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_what_goes_in_as_a_dtype_comes_out_as_one(dtype):
    mu, logvar = rng().normal(size=(2, 5, 3)).astype(dtype)
    C = ops.marginal_covariance_forward(mu, logvar)
    found = [C, *ops.marginal_covariance_backward(C, mu, logvar), ops.covariance_backward(C, mu), ops.dip_backward(1.0, C, 2.0, 3.0)]
    found += [ops.dip_forward(C, 2.0, 3.0), ops.leaky_relu_forward(mu), ops.leaky_relu_backward(mu, logvar)]
    found += [ops.discrimination_forward(mu[:, 0], mu[:, 1]), *ops.discrimination_backward(1.0, mu[:, 0], mu[:, 1])]
    found += [ops.permute_latents(mu, logvar)]
    assert {array.dtype for array in found} == {np.dtype(dtype)}


def test_a_leaky_rectifier_lets_a_fifth_through():
    a = np.array([-np.inf, -10.0, 0.0, 10.0, np.inf])
    h = ops.leaky_relu_forward(a)
    np.testing.assert_array_equal(h, [-np.inf, -2, 0, 10, np.inf])
    np.testing.assert_array_equal(ops.leaky_relu_backward(np.full(5, 5.0), h), [1, 1, 1, 5, 5])
    assert np.isnan(ops.leaky_relu_forward(np.array([np.nan])))


MODELS = {
    "FactorVAE": lambda **more: FactorVAE(5, (4,), 3, discriminator_hidden=(6, 5), **more),
    "DIPVAE i": lambda **more: DIPVAE(5, (4,), 3, kind="i", **more),
    "DIPVAE ii": lambda **more: DIPVAE(5, (4,), 3, kind="ii", lambda_od=3.0, lambda_d=2.0, **more),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_batch_of_one_is_refused_but_as_a_remainder(make):
    model, x = make(), rng().uniform(size=(9, 5)).astype(np.float32)
    one = model.draw_noise(1, rng())
    for player in model.players.values():
        for call in (player.loss, player.loss_and_grads):
            with refused(f"len(x) 1 {type(model).__name__} rows 2"):
                call(x[:1], *one)
    with refused(f"batch_size 1 {type(model).__name__} 2"):
        fit(model, x, batch_size=1, epochs=1, progress=False)
    history = fit(model, x, batch_size=4, epochs=2, x_valid=x[:5], progress=False)  # 4 + 4 + 1
    assert np.isfinite(history["loss"]).all() and history["steps"] == [3, 6]
    assert np.isfinite(evaluate(model, x, batch_size=8).loss) and np.isfinite(evaluate(model, x[:1]).elbo)
    with refused("rows 2"):  # the runs are over
        model.loss(x[:1], *one)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_it_is_saved_stopped_and_resumed_with_both_players(make, tmp_path):
    class Stop(BaseException):
        pass

    def stop(model, examples):
        raise Stop

    x, whole, broken, again = rng().uniform(size=(9, 5)).astype(np.float32), make(), make(), make()
    settings = {"optimizer": {name: Adam(1e-2) if name == "model" else SGD(0.1, momentum=0.5) for name in whole.players}}
    settings |= {"batch_size": 4, "epochs": 3, "progress": False}
    expected = fit(whole, x, **settings)
    kept = {"checkpoint": tmp_path / "run", "checkpoint_seconds": 0}
    with pytest.raises(Stop):
        fit(broken, x, **settings, **kept, callback=stop, callback_at=[13])
    history = fit(again, x, **settings, **kept, resume=True)
    assert history["loss"] == expected["loss"] and all(same(again.players[name], whole.players[name]) for name in whole.players)
    save(whole, tmp_path / "m.npz")
    loaded = load(tmp_path / "m.npz")
    assert loaded.config == whole.config and all(same(loaded.players[name], whole.players[name]) for name in whole.players)


@pytest.mark.parametrize("init", ["glorot", "normal", "uniform"])
def test_the_discriminators_start_is_of_the_seed_and_a_stream_of_its_own(init):
    one, two, other = (MODELS["FactorVAE"](seed=seed, init=init) for seed in (1, 1, 2))
    assert same(one.discriminator, two.discriminator) and not same(one.discriminator, other.discriminator)
    plain = BetaVAE(5, (4,), 3, seed=1, init=init)
    assert same(one.params, plain.params)  # the model starts as any other
    network = MLP("discriminator", (3, 6, 5, 1), "leaky-relu")
    assert same(one.discriminator, network.initial_params(stream("weights", 1, 1), init, np.dtype("float32")))


def test_bad_arguments_are_named():
    for words, make in {
        "kind i ii 'iii'": lambda: DIPVAE(5, kind="iii"),
        "lambda_od 0 -1.0": lambda: DIPVAE(5, lambda_od=-1.0),
        "lambda_d 0 nan": lambda: DIPVAE(5, lambda_d=np.nan),
        "gamma 0 -2.0": lambda: FactorVAE(5, gamma=-2.0),
        "discriminator_hidden 0": lambda: FactorVAE(5, discriminator_hidden=(4, 0)),
        "DIPVAE gamma": lambda: DIPVAE(5, gamma=1.0),
    }.items():
        with refused(words):
            make()


# ---- with a pencil --------------------------------------------------------------------------------------------


def test_answers():
    mu = np.array([[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]])
    tc, l = np.log(2), np.log(2)
    loss = (ops.softplus_forward(-l) + ops.softplus_forward(l) / 2) / 2  # half of the permuted ones fall where no code is
    printed = re.search(r"\\log 2 = ([\d.]+)`\$\. At the best", NOTE)[1], re.search(r"\\log 3 = ([\d.]+)`", NOTE)[1]
    assert agrees(printed[0], tc) and agrees(printed[1], loss)
    C = ops.covariance_forward(mu)
    assert (C == 1).all() and ops.dip_forward(C, 1.0, 1.0) == 2
    np.testing.assert_array_equal(ops.covariance_backward(ops.dip_backward(1.0, C, 1.0, 1.0), mu)[0], [1, 1])
    assert agrees(re.search(r"so \$`\\rho = ([\d.]+)`", NOTE)[1], np.sqrt(1 - np.exp(-2)))


def test_what_the_widths_cost():
    def products(widths):
        return sum(a * b for a, b in zip(widths, widths[1:]))

    encoder, decoder = (784, 500, 20), (10, 500, 784)
    step = 3 * (products(encoder) + products(decoder)) - 784 * 500  # nobody asks for the gradient in x
    assert agrees("2.0", step / 1e6) and agrees("0.4", products(encoder) / 1e6)
    for hidden, printed, unit in (((1000,) * 6, "35", 1e6), ((256, 256), "0.5", 1e6)):
        assert agrees(printed, (7 * products((10, *hidden, 1)) - 10 * hidden[0]) / unit)
    assert FactorVAE(5).discriminator_hidden == (256, 256)


def test_the_discriminators_parameters_are_copied_when_they_are_assigned():
    one, two = (FactorVAE(5, (4,), 2, discriminator_hidden=(3,), seed=seed) for seed in (0, 1))
    two.discriminator.params = one.discriminator.params
    two.discriminator.params["discriminator_W1"][...] = 7
    assert not (one.discriminator.params["discriminator_W1"] == 7).any()
    with pytest.raises(ValueError, match="names"):
        two.discriminator.params = {}

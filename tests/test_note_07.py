"""Promise: note 7's identities hold, and every number of its worked example is what the VAE computes."""

import re

import numpy as np
import pytest
from helpers import joined, note, table

from vae_from_scratch import ops
from vae_from_scratch.beta_vae import BetaVAE
from vae_from_scratch.vae import VAE

NOTE = note(7)
FORWARD, BACKWARD = "quantity | computation | value |", "quantity | computation | value | equation"


def named(head):
    """{first cell without backticks: the other cells} of a table of the note."""
    rows = table(NOTE, head)
    assert len({row[0] for row in rows}) == len(rows)
    return {re.search("`(.+?)`", row[0])[1]: row[1:] for row in rows}


# ---- the rules ---------------------------------------------------------------------------------------


def jacobian(f, u, h=1e-6):
    """d f(u)_i / d u_k as a matrix."""
    columns = []
    for k in np.ndindex(u.shape):
        shift = np.zeros_like(u)
        shift[k] = h
        columns.append((f(u + shift) - f(u - shift)).ravel() / (2 * h))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("equation", ["BP.1"])
def test_a_backward_is_the_upstream_gradient_times_the_jacobian(equation):
    rng = np.random.default_rng(0)
    x, W, b, dh = rng.normal(size=(3, 5)), rng.normal(size=(5, 4)), rng.normal(size=4), rng.normal(size=(3, 4))
    h = ops.dense_act_forward(x, W, b, "tanh")
    dx, dW, db = ops.dense_act_backward(dh, x, W, h, "tanh")
    for array, grad, f in (
        (x, dx, lambda x: ops.dense_act_forward(x, W, b, "tanh")),
        (W, dW, lambda W: ops.dense_act_forward(x, W, b, "tanh")),
        (b, db, lambda b: ops.dense_act_forward(x, W, b, "tanh")),
    ):
        # two points, h = 1e-6: truncation h^2 ~ 1e-12, rounding 1e-16 / h ~ 1e-10, a few tens of terms
        np.testing.assert_allclose(dh.ravel() @ jacobian(f, array), grad.ravel(), rtol=0, atol=1e-8)


@pytest.mark.parametrize("equation", ["BP.2", "VAE.2"])
def test_gradients_of_two_uses_add(equation):
    rng = np.random.default_rng(0)
    mu, logvar, eps, dz = (rng.normal(size=(3, 2)) for _ in range(4))
    dkl = rng.normal(size=3)

    def loss(mu, logvar):  # any function of z plus any function of kl; here both linear
        of_z = (dz * ops.reparameterize_forward(mu, logvar, eps)).sum()
        return of_z + (dkl * ops.gaussian_kl_forward(mu, logvar)).sum()

    both = zip(ops.reparameterize_backward(dz, logvar, eps), ops.gaussian_kl_backward(dkl, mu, logvar))
    dmu, dlogvar = (recon + kl for recon, kl in both)
    for array, grad, f in ((mu, dmu, lambda mu: loss(mu, logvar)), (logvar, dlogvar, lambda logvar: loss(mu, logvar))):
        np.testing.assert_allclose(jacobian(f, array).ravel(), grad.ravel(), rtol=0, atol=1e-8)


@pytest.mark.parametrize("equation", ["BP.3"])
def test_the_slope_of_softplus_follows_from_its_output(equation):
    a = np.linspace(-40, 40, 401)
    y = ops.softplus_forward(a)
    # e^-y amplifies the rounding of y by y <= 40: 40 * 1.1e-16, and a few operations
    np.testing.assert_allclose(-np.expm1(-y), ops.sigmoid_forward(a), rtol=1e-14)
    dout, (_, backward) = [[1.0], [-2.0], [0.5]] * np.ones(401), ops.ACTIVATIONS["softplus"]
    np.testing.assert_allclose(backward(dout, y), ops.softplus_backward(dout, a), rtol=1e-14)


# ---- the worked example ------------------------------------------------------------------------------


def numbers(cell):
    r"""The numbers of a cell such as $`\approx (1.386294, 0.000000)`$ or $`0.6 - 2 \log 2`$, and their tolerance.

    Half a unit of the last printed digit after \approx, else 1e-14 (the decimals are exact, float64 rounds).
    """
    tolerance = 0.5000001e-6 if r"\approx" in cell else 1e-14
    values = []
    for entry in cell.strip("$`()").replace(r"\approx", "").strip().strip("()").split(","):
        if r"\approx" in cell:
            assert re.fullmatch(r"-?\d+\.\d{6}", entry.strip()), entry
        terms = re.findall(r"([+-]?)\s*(?:(\d*)\s*\\log 2|([\d.]+))", entry)
        assert re.sub(r"[+-]?\s*(?:\d*\s*\\log 2|[\d.]+)", "", entry).strip() == "", entry
        values.append(
            sum((-1 if s == "-" else 1) * (float(v) if v else float(k or 1) * np.log(2)) for s, k, v in terms)
        )
    return np.array(values), tolerance


class Recorder:
    """The namespace ops that remembers what every function was given and returned."""

    def __init__(self):
        self.calls = {}

    def __getattr__(self, name):
        def call(*args, **out):
            result = getattr(ops, name)(*args, **out)
            self.calls.setdefault(name, []).append((args, result))
            return result

        return call


def example(model_class=VAE, **settings):
    given = named("input or parameter")
    model = model_class(
        data_dim=2, hidden=(1,), latent_dim=1, activation="tanh", likelihood="bernoulli", dtype="float64", **settings
    )
    assert given.keys() - {"x", "eps"} == model.params.keys()
    for name, array in model.params.items():
        array[...] = numbers(given[name][0])[0].reshape(array.shape)
    return model, numbers(given["x"][0])[0][None], numbers(given["eps"][0])[0][None]


def compare(quantities, printed):
    assert list(quantities) == list(printed), "the table has other rows than the pass, or in another order"
    for name, value in quantities.items():
        expected, tolerance = numbers(printed[name][1])
        assert np.size(value) == len(expected), name
        off = np.abs(np.ravel(value) - expected).max()
        assert off <= tolerance, f"{name}: the note prints {printed[name][1]}, it is {value}"


def test_forward_table():
    model, x, eps = example()
    model.ops = recorder = Recorder()
    terms, (enc, dec, mu, logvar, _, kl) = model.forward(x, eps)
    layers = [ops.dense_forward(x, W, b) for (x, W, b, _), _ in recorder.calls["dense_act_forward"]]
    ((_, z),) = recorder.calls["reparameterize_forward"]
    assert np.array_equal(layers[1], np.hstack([mu, logvar])) and np.array_equal(dec[0], z)
    quantities = {
        "encoder a": layers[0],
        "enc[1]": enc[1],
        "mu": mu,
        "logvar": logvar,
        "exp(logvar / 2)": np.exp(logvar / 2),
        "z": dec[0],
        "decoder a": layers[2],
        "dec[1]": dec[1],
        "out": dec[-1],
        "sigmoid(out)": model.decode(dec[0]),
        "recon_nll": terms.recon_nll,
        "kl": terms.kl,
        "loss": terms.loss,
    }
    compare(quantities, named(FORWARD))


@pytest.mark.parametrize("equation", ["VAE.2", "MLP.2"])
def test_backward_table(equation):
    model, x, eps = example()
    model.ops = recorder = Recorder()
    terms, grads = model.loss_and_grads(x, eps)
    calls = recorder.calls
    ((drecon_nll, *_), dout) = calls["bernoulli_nll_backward"][0]
    ((dkl, *_), (dmu_kl, dlogvar_kl)) = calls["gaussian_kl_backward"][0]
    ((dz, *_), (dmu_recon, dlogvar_recon)) = calls["reparameterize_backward"][0]
    decoder_top, decoder_bottom, encoder_top = calls["dense_act_backward"]
    (encoder_bottom,) = calls["dense_act_backward_params"]
    denc = encoder_top[0][0]
    quantities = {
        "drecon_nll": drecon_nll,
        "dkl": dkl,
        "dmu_kl": dmu_kl,
        "dlogvar_kl": dlogvar_kl,
        "dout": dout,
        "decoder_W2": grads["decoder_W2"],
        "decoder_b2": grads["decoder_b2"],
        "d dec[1]": decoder_top[1][0],
        "d decoder a": ops.tanh_backward(decoder_bottom[0][0], decoder_bottom[0][3]),
        "decoder_W1": grads["decoder_W1"],
        "decoder_b1": grads["decoder_b1"],
        "dz": dz,
        "dmu_recon": dmu_recon,
        "dlogvar_recon": dlogvar_recon,
        "dmu": denc[:, :1],
        "dlogvar": denc[:, 1:],
        "encoder_W2": grads["encoder_W2"],
        "encoder_b2": grads["encoder_b2"],
        "d enc[1]": encoder_top[1][0],
        "d encoder a": ops.tanh_backward(encoder_bottom[0][0], encoder_bottom[0][2]),
        "encoder_W1": grads["encoder_W1"],
        "encoder_b1": grads["encoder_b1"],
    }
    assert grads.keys() == {name for name in quantities if "coder_" in name}
    compare(quantities, named(BACKWARD))


PYTHON = [  # LaTeX as the tables use it -> an expression
    (r"\\tfrac(\d)(\d)", lambda match: str(int(match[1]) / int(match[2]))),
    (r"\\log (\d[\d.]*)", r"log(\1)"),
    (r"(\d) log", r"\1 * log"),
    (r"e\^\{(.*?)\}", r"exp(\1)"),
    (r"\\cdot", "*"),
    (r"\\;|\\(?=log|tanh)|[$`]", ""),
    (r"\^2", "**2"),
    (r"([\d.]) \(", r"\1 * ("),
    (r"\(((?:[^()]|\([^()]*\))*,(?:[^()]|\([^()]*\))*)\)", r"array([\1])"),  # (a, b), with one level of brackets inside
]


def test_computations_printed_beside_the_values():
    names = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "array": np.array, "N": 1, "__builtins__": {}}
    checked = 0
    for head in (FORWARD, BACKWARD):
        for name, (computation, value, *_) in named(head).items():
            if computation.endswith(" itself"):  # a copy: the value is compared with the VAE's
                continue
            for text in computation.split("="):
                for pattern, replacement in PYTHON:
                    text = re.sub(pattern, replacement, text)
                expected, tolerance = numbers(value)
                found = np.ravel(eval(text.strip(), names))
                np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=f"{name}: {text}")
                checked += 1
    assert checked > 30


@pytest.mark.parametrize("equation", ["BP.4"])
def test_first_order_fall_of_the_loss(equation):
    model, x, eps = example()
    terms, grads = model.loss_and_grads(x, eps)
    squares = sum((grad**2).sum() for grad in grads.values())
    start = {name: value.copy() for name, value in model.params.items()}
    remainder = []
    for lr in (1e-2, 1e-3):
        for name, value in start.items():
            model.params[name][...] = value - lr * grads[name]
        remainder.append(terms.loss - model.loss(x, eps).loss - lr * squares)
    # O(lr^2): a tenth of the step, a hundredth of the remainder, up to O(lr)
    assert 90 < remainder[0] / remainder[1] < 110


def test_beta_changes_the_encoder_only():
    model, x, eps = example()
    beta, *_ = example(BetaVAE, beta=4.0)
    (_, one), (_, four) = model.loss_and_grads(x, eps), beta.loss_and_grads(x, eps)
    for name in one.keys() - {"encoder_W1"}:
        assert np.array_equal(one[name], four[name]) == name.startswith("decoder"), name
    assert four["encoder_b2"] == pytest.approx([-0.576 + 4 * 0.8, 0.0864 - 4 * 0.375], abs=1e-14)


# ---- with a pencil -----------------------------------------------------------------------------------


def test_pencil_1_small_cases():
    point = np.array([1.0, 4.0, 3.0])
    found = jacobian(lambda p: np.array([(p[0] + p[1]) * max(p[1], p[2])]), point)
    assert found[0] == pytest.approx([4, 9, 0], abs=1e-7)
    assert r"$`f = 20`$" in NOTE and r"$`\mathrm{d}u = 4`$, $`\mathrm{d}w = 0`$" in NOTE and "$`4 + 5 = 9`$" in NOTE


def test_pencil_2_counts_of_multiplications():
    model = VAE(784, (500,), 20)
    sizes = {name: value.size for name, value in model.params.items() if "_W" in name}
    forward = sum(sizes.values())
    backward = 2 * forward - sizes["encoder_W1"]
    assert f"{forward:,} {sizes['encoder_W1']:,}" == "814,000 392,000" and "814{,}000" in NOTE and "the 392,000" in NOTE
    assert f"{backward:,}, or {backward / forward:.2f}" in joined(NOTE)


def test_pencil_3_tied_weights():
    rng = np.random.default_rng(0)
    x, W, dy = rng.normal(size=(7, 5)), rng.normal(size=(5, 3)), rng.normal(size=(7, 5))
    by_note = x.T @ dy @ W + dy.T @ x @ W
    # two points, truncation none (quadratic in W), rounding 1e-16 / h times sums of some tens
    np.testing.assert_allclose(dy.ravel() @ jacobian(lambda W: x @ W @ W.T, W), by_note.ravel(), rtol=0, atol=1e-7)


def test_pencil_4_swish_is_not_monotone():
    a = np.linspace(-6, 6, 12001)
    s = ops.sigmoid_forward(a)
    slope = s + a * s * (1 - s)
    np.testing.assert_allclose(np.gradient(a * s, a)[1:-1], slope[1:-1], atol=1e-6)
    lowest, least = re.search(r"falls until\s+\$`a = (-[\d.]+)`\$, where it is \$`(-[\d.]+)`\$", NOTE).groups()
    assert lowest == f"{a[(a * s).argmin()]:.3f}" and least == f"{(a * s).min():.3f}"
    assert np.all(slope[a < -1.28] < 0) and np.all(slope[a > -1.278] > 0)
    for name in ("tanh", "relu", "sigmoid", "softplus"):
        assert np.all(np.diff(getattr(ops, f"{name}_forward")(a)) >= 0)

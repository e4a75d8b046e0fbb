"""Promise: the page of explore computes what the model computes, runs nothing that a name or a label says, and is one file."""

import html.parser
import inspect
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, python, refused
from user_file import Cauchy, NormVAE

import vae_from_scratch.explore as explore
from vae_from_scratch import VAE, Autoencoder, BetaVAE, ContinuousBernoulli, Gaussian, Laplace, cli, datasets, ops
from vae_from_scratch.datasets.dataset import Dataset
from vae_from_scratch.explore import pack
from vae_from_scratch.objectives import ContractiveAutoencoder, SparseAutoencoder

HERE = Path(explore.__file__).parent
HOSTILE = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\u2028'\"`${alert(1)}", "<!--", "a & b"]
X = np.random.default_rng(0).uniform(size=(20, 12))
OWN = {"dtype": "float64", "backend": "numpy"}
MODELS = {  # each likelihood and each activation at least once
    "bernoulli, tanh": BetaVAE(12, (7, 5), 3, beta=2.0, **OWN),
    "gaussian, relu": VAE(12, (7,), 1, "relu", Gaussian(0.3), **OWN),
    "learned gaussian, linear": VAE(12, (), 2, "linear", Gaussian("learned"), **OWN),
    "gaussian per pixel, softplus": VAE(12, (7,), 2, "softplus", Gaussian("per-pixel", "sigmoid"), **OWN),
    "laplace, sigmoid": VAE(12, (7,), 2, "sigmoid", Laplace(0.4), **OWN),
    "laplace per pixel, leaky relu": VAE(12, (7,), 2, "leaky-relu", Laplace("per-pixel"), **OWN),
    "learned laplace, two activations": VAE(12, (7,), 2, "tanh", Laplace("learned", "sigmoid"), decoder_activation="relu", **OWN),
    "continuous bernoulli, tanh": VAE(12, (7,), 2, "tanh", ContinuousBernoulli(), **OWN),
    "autoencoder": Autoencoder(12, (7,), 2, likelihood="squared-error", **OWN),
    "sparse autoencoder": SparseAutoencoder(12, (), 15, **OWN),
    "contractive autoencoder": ContractiveAutoencoder(12, (7,), 4, "sigmoid", **OWN),
}
for each in MODELS.values():  # weights and biases of some size
    each.params.vector[...] *= 3
    each.params.vector[...] += np.random.default_rng(1).normal(0, 0.3, each.params.vector.size)


def images(labels=None, n=20):
    packed, x = explore.pack_images(Dataset("own", X[:n], (3, 4), labels=labels))
    return packed | {"ends": [0, 1]}, x


# ---- weights -----------------------------------------------------------------------------------------------


def test_int8_weights_are_within_half_a_step_of_their_unit():
    W = np.random.default_rng(2).standard_normal((9, 6)) * [1, 100, 1e-3, 1, 1, 0]
    q, scale = pack.to_int8(W)
    assert q.dtype == np.int8 and (abs(q).max(axis=0)[:5] == 127).all() and not q[:, 5].any()
    assert (abs(q * scale - W) <= scale * 0.5001).all()
    assert abs(pack.rounded_weights(W, "float16") / np.where(W, W, 1) - (W != 0)).max() < 2.0**-10


@pytest.mark.parametrize("name", MODELS)
def test_rounding_moves_what_is_decoded_no_further_than_its_bound(name):
    """Layer by layer |dy| <= |dx| |W'| + |x| half a step, and no activation is steeper than 1."""
    model = MODELS[name]
    twin, z = explore.rounded(model), np.random.default_rng(3).standard_normal((50, model.latent_dim))
    h, moved = z, np.zeros_like(z)
    for (W, b, act), (W_twin, _, _) in zip(pack.layers_of(model, model.decoder), pack.layers_of(twin, twin.decoder)):
        moved = moved @ abs(W_twin) + abs(h) @ abs(W_twin - W)
        h = ops.dense_act_forward(h, W, b, act)
    ours = pack.forward(ops, pack.layers_of(twin, twin.decoder), z)
    assert (abs(ours - h) <= moved + 1e-12).all() and abs(ours - h).max() > 0
    steps = [pack.to_int8(model.params[W])[1] for W, _ in model.encoder.names]
    assert all((abs(twin.params[W] - model.params[W]) <= step * 0.5001).all() for (W, _), step in zip(model.encoder.names, steps))
    error = pack.rounding_error(model, twin, X, model.encode(X))
    assert 0 < error["pixel"] < 2


# ---- the arithmetic ------------------------------------------------------------------------------------------

DRIVER = """
const given = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const vectors = (rows) => rows.map((row) => Float64Array.from(row));
console.log(JSON.stringify(given.map(({ packed, x, z, eps }) => {
  const model = unpack_model(packed), q = vectors(x).map((row) => encode(model, row));
  return {
    decoded: vectors(z).map((row) => [...decode(model, row)]),
    encoded: q.map(({ mu, logvar }) => [...mu, ...(logvar || [])]),
    nll: vectors(x).map((row, n) => recon_nll(model, row, vectors(z)[n])),
    kl: q.map(({ mu, logvar }) => logvar ? gaussian_kl_forward(mu, logvar) : 0),
    drawn: q.map(({ mu, logvar }, n) => logvar ? [...reparameterize_forward(mu, logvar, vectors(eps)[n])] : [...mu]),
    codes: [...halves_of(packed.mu)],
  };
})));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_javascript_computes_what_the_model_computes():
    """decode for 50 random z, encode, the loss, its KL and a draw, for every likelihood and activation, both precisions."""
    given, rng = [], np.random.default_rng(4)
    for model in MODELS.values():
        z, eps = rng.standard_normal((50, model.latent_dim)), rng.standard_normal((20, model.latent_dim))
        for precision in explore.PRECISIONS:
            packed = explore.pack_model("it", model, X, precision)
            given.append({"packed": packed, "x": X.tolist(), "z": z.tolist(), "eps": eps.tolist(), "model": (model, precision)})
    sent = [{key: value for key, value in each.items() if key != "model"} for each in given]
    code = (HERE / "ops.js").read_text("utf-8") + DRIVER
    done = subprocess.run(["node", "-e", code], input=json.dumps(sent), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for each, got in zip(given, json.loads(done.stdout), strict=True):
        model, precision = each["model"]
        twin, z, eps = explore.rounded(model, precision), np.array(each["z"]), np.array(each["eps"])
        for W, b in twin.encoder.names + twin.decoder.names:
            twin.params[b] = twin.params[b].astype(np.float32)
        code, close = twin.encode(X), {"rtol": 1e-6, "atol": 1e-6}
        mu = code[0] if model.variational else code
        np.testing.assert_allclose(got["decoded"], twin.decode(z), **close)
        np.testing.assert_allclose(got["encoded"], np.concatenate(code, axis=1) if model.variational else code, **close)
        np.testing.assert_allclose(got["nll"], twin.recon_nll(X, z[:20]), **close)
        np.testing.assert_allclose(np.reshape(got["codes"], mu.shape), mu, rtol=1e-3, atol=1e-3)
        if model.variational:
            np.testing.assert_allclose(got["kl"], ops.gaussian_kl_forward(*code), **close)
            np.testing.assert_allclose(got["drawn"], ops.reparameterize_forward(*code, eps), **close)


def test_the_scripts_names_and_tags_are_those_of_ops():
    text = (HERE / "ops.js").read_text("utf-8")
    name, tags = r"(?:const|function) (\w+(?:_forward|_per_latent|bernoulli_mean))\b", r"Eqs?\. (\(.*?\)(?:, \(.*?\))*)"
    found = re.findall(name + r"(?:(?!\n(?:const|function|//)).)*?" + tags, text, re.S)
    assert len(found) == 16
    for name, tags in found:
        assert all(tag in inspect.getdoc(getattr(ops, name)) for tag in re.findall(r"\(\w+\.\d+\)", tags)), name
    for table in ("ACTIVATIONS", "LIKELIHOODS"):
        written = re.findall(r'"([\w-]+)": (?:\w|\(|\[)', re.search(rf"const {table} = {{(.*?)\n}};", text, re.S)[1])
        assert sorted(written) == sorted(getattr(pack, table))
    assert set(pack.ACTIVATIONS) <= set(ops.ACTIVATIONS)


# ---- the page -------------------------------------------------------------------------------------------------


class Elements(html.parser.HTMLParser):
    """Every start tag of a page, with its attributes and the text that follows."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data

    def named(self, tag):
        return [(attributes, text) for name, attributes, text in self.found if name == tag]


def test_names_and_labels_are_text_and_nothing_else():
    packed, x = images(np.array(HOSTILE * 4))
    plain = Elements(explore.build("t", [], images()[0], ["note"]))
    text = explore.build(HOSTILE[0], [explore.pack_model(HOSTILE[0], MODELS["bernoulli, tanh"], x)], packed, HOSTILE[1:2])
    page = Elements(text)
    assert [tag for tag, *_ in page.found] == [tag for tag, *_ in plain.found]  # no element more than without them
    assert page.named("title")[0][1].strip() == HOSTILE[0] and HOSTILE[1] in page.named("li")[0][1]
    (attributes, data), (_, code) = page.named("script")
    assert attributes["type"] == "application/json" and not re.search("[<>&\u2028]", data)
    held = json.loads(data)
    assert held["runs"][0]["name"] == HOSTILE[0] and set(held["images"]["colourings"][0]["classes"]) == set(HOSTILE)
    assert "innerHTML" not in code and "eval" not in re.sub(r"\w*interval\w*", "", code)


def test_the_page_asks_for_nothing_and_its_policy_forbids_it():
    text = explore.build("t", [], images()[0])
    rule = next(a["content"] for a, _ in Elements(text).named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert rule.startswith("default-src 'none'") and "unsafe" not in rule
    (style,), (code,) = (re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S) for tag in ("style", "script"))
    assert rule == explore.page.policy(code, style)  # which names the digests of what the browser will see
    assert not re.findall(r"https?:|url\(|@import|src=\"(?!data)|fetch\(|XMLHttp|import\(", text)


def test_every_equation_of_the_page_stands_in_a_note():
    tags = set(re.findall(r"class=\"tag\">\((\w+\.\d+)\)<", (HERE / "template.html").read_text("utf-8")))
    notes = "".join(path.read_text("utf-8") for path in (ROOT / "derivations").glob("*.md"))
    assert len(tags) >= 13 and not [tag for tag in tags if rf"\tag{{{tag}}}" not in notes]


def test_a_browser_that_cannot_run_it_shows_a_line_and_no_dead_buttons():
    page = Elements((HERE / "template.html").read_text("utf-8"))
    (problem,) = (item for item in page.named("p") if item[0].get("id") == "problem")
    assert "hidden" not in problem[0] and "JavaScript" in problem[1] and "hidden" in page.named("main")[0][0]
    assert (HERE / "page.js").read_text("utf-8").rstrip().endswith('$("problem").hidden = true;\n}\n\nstart();')


def test_a_loss_is_stated_only_for_the_models_that_have_it():
    """Capacity, sparse and all others have a loss of their own; a draw from one model's q is none from another's."""
    text, code = ((HERE / name).read_text("utf-8") for name in ("template.html", "page.js"))
    losses = json.loads(re.search(r"const LOSSES = (\[.*?\]);", code)[1])
    stated = re.findall(r'data-only="loss-of-([\w-]+)">.*?\((\w+)\.1\)', text)
    assert dict(stated) == {"vae": "VAE", "beta-vae": "BETA", "autoencoder": "AE"} and sorted(losses) == sorted(dict(stated))
    assert 'data-only="loss-of-another"' in text
    assert "state.noisy = false" in re.search(r"function set_run\(.*?\n}", code, re.S)[0]


def test_every_element_that_the_script_asks_for_is_there():
    text, code = ((HERE / name).read_text("utf-8") for name in ("template.html", "page.js"))
    there = set(re.findall(r'\bid="([\w-]+)"', text))
    assert set(re.findall(r'\$\("([\w-]+)"\)', code)) <= there


# ---- images and labels ---------------------------------------------------------------------------------------------


def test_data_beyond_the_budget_are_thinned(monkeypatch):
    data = datasets.digits("test")
    packed, x = explore.pack_images(data, most=30)
    assert packed["count"] == len(x) == 30 and packed["of"] == 297 and len(np.unique(x, axis=0)) == 30
    again, _ = explore.pack_images(data, most=30, seed=1)
    assert again["values"] != packed["values"]
    assert abs(explore.pack_images(data)[1] - data[:]).max() < 0.501 / 255
    monkeypatch.setattr(pack, "IMAGE_BYTES", 64 * 50)
    assert explore.pack_images(data)[0]["count"] == 50


def test_black_and_white_images_take_a_bit_a_pixel():
    packed, x = explore.pack_images(datasets.digits("test"), "threshold", most=24)
    assert not packed["grey"] and set(np.unique(x)) == {0, 1} and len(packed["values"]) == 24 * 64 // 8 * 4 // 3


def test_any_range_of_values_is_kept():
    packed, x = explore.pack_images(Dataset("own", 6 * X - 3, (3, 4)))
    assert packed["low"] < -2.9 and packed["high"] > 2.9 and abs(x - (6 * X - 3)).max() < 6 / 255


@pytest.mark.parametrize(
    "labels, classes",
    [
        (np.arange(20) % 3, ["0", "1", "2"]),
        (np.array(["b", "a"] * 10), ["a", "b"]),
        (np.array([1.5, np.nan] * 10), ["1.5", "nan"]),
        (np.array(["x" * 300] * 20), ["x" * 39 + "…"]),
        (np.array(["x" * 45 + end for end in "ab"] * 10), ["x" * 45 + "a", "x" * 45 + "b"]),
        (np.array([20240101.0, 20240102.0] * 10), ["20240101.0", "20240102.0"]),
        (np.array([None, 1] * 10, object), ["1", "None"]),
        (np.arange(20.0) * 7, None),
    ],
    ids=["numbers", "words", "NaN", "long", "long and different", "large", "objects", "scale"],
)
def test_labels_of_every_kind(labels, classes):
    (colouring,) = images(labels)[0]["colourings"]
    assert colouring.get("classes") == classes
    if classes:
        assert [classes[value][:39] for value in colouring["values"]] == [str(label)[:39] for label in labels]
    else:
        assert colouring["numbers"] == labels.tolist()
    assert images()[0]["colourings"] == []


def test_known_factors_colour_the_codes():
    packed, _ = explore.pack_images(datasets.blobs("test"), most=10)
    assert [colouring["name"] for colouring in packed["colourings"]] == ["row", "column"]


# ---- refusals --------------------------------------------------------------------------------------------------------


def pack_of(model):
    return lambda: explore.pack_model("runs/001", model, X)


REFUSALS = {  # what is asked for: (call, words of the one line)
    "a likelihood of a user's own": (pack_of(VAE(12, (7,), 2, likelihood=Cauchy(), **OWN)), "page likelihoods bernoulli VAE 'cauchy'"),
    "a layer of a user's own": (pack_of(NormVAE(12, (7,), 2, **OWN)), "dense layers NormVAE"),
    "an activation of a user's own": (pack_of(VAE(12, (7,), 2, "elu", **OWN)), "page activations tanh VAE 'elu'"),
    "two numbers of latents": (
        lambda: explore.checked_alike({"a": VAE(12, (7,), 2, **OWN), "b": VAE(12, (7,), 3, **OWN)}), "latent_dim 2 a 3 b"),
    "a VAE and an autoencoder": (
        lambda: explore.checked_alike({"a": VAE(12, (7,), 2, **OWN), "b": Autoencoder(12, (7,), 2, **OWN)}), "variational a b"),
    "no images": (lambda: explore.pack_images(datasets.digits("test"), most=0), "images at least 1 0"),
    "another precision": (
        lambda: explore.pack_model("a", MODELS["autoencoder"], X, "int4"), "precision int8 float16 'int4'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_the_page_cannot_hold_is_one_clear_line(name):
    call, words = REFUSALS[name]
    with refused(words):
        call()


def test_too_many_weights_are_refused(monkeypatch):
    monkeypatch.setattr(pack, "WEIGHT_BYTES", 5000)
    model = VAE(12, (100,), 6, **OWN)
    assert explore.checked_alike({"runs/001": model})
    with refused("runs/001 4,424 weights MB --float16 narrower"):
        explore.checked_alike({"runs/001": model}, "float16")
    with refused("runs/001 runs/002 8,848 weights MB page each"):
        explore.checked_alike({"runs/001": model, "runs/002": model})


# ---- the command -------------------------------------------------------------------------------------------------------


def test_runs_become_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.train, "draw_figures", lambda *_: None)
    for beta in ("1", "4"):
        settings = f"--beta {beta} --latent-dim 2 --hidden 5 --epochs 1 --backend numpy --out beta{beta}"
        assert cli.main(f"train --quiet {settings}".split()) == 0
    capsys.readouterr()
    assert cli.main("explore beta1 beta4 beta1/ beta4/../beta1 --images 25".split()) == 0  # each once, however it is written
    said, text = capsys.readouterr().out, (tmp_path / "beta1" / "explore.html").read_text("utf-8")
    assert "wrote" in said and "25 of 297 images" in said and "25 of 297 images" in text and "grey levels" in text
    held = json.loads(Elements(text).named("script")[0][1])
    assert [run["name"] for run in held["runs"]] == ["beta1, beta 1", "beta4, beta 4"]
    assert held["images"]["count"] == 25 and held["images"]["name"] == "digits test"
    plain = VAE(12, **OWN)
    assert list(map(cli.explore.names_of, [{"a/x": plain, "b/x": plain}, {"a/x": plain}])) == [["a/x", "b/x"], ["x"]]
    for line, words in {"nowhere": "nowhere", "beta1 --out page.pdf": "page.pdf", "beta1 --out no/page.html": "no"}.items():
        assert cli.main(f"explore {line}".split()) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and words in error


# ---- what is shipped ----------------------------------------------------------------------------------------------------


def test_the_parts_of_the_page_are_packaged():
    parts = {path.name for path in HERE.iterdir() if path.suffix in (".html", ".css", ".js")}
    line = re.search(r"^vae_from_scratch\.explore = (.*)$", (ROOT / "setup.cfg").read_text("utf-8"), re.M)[1]
    assert parts == set(line.split(", ")) and len(parts) == 4


def test_the_ready_page_is_small_and_of_today():
    """After a change of explore/: python tests/long/explore_in_browser.py --renew examples/explorer_digits.html."""
    text = (ROOT / "examples" / "explorer_digits.html").read_text("utf-8")
    assert len(text) < 200_000 and (ROOT / "examples" / "figures" / "explorer.png").stat().st_size < 150_000
    data, notes = json.loads(Elements(text).named("script")[0][1]), re.findall("<li>(.*?)</li>", text)
    title = re.search("<title>(.*?)</title>", text)[1]
    version = r"vae_from_scratch [\d.]+\w*"
    again = explore.build(title, data["runs"], data["images"], map(html.unescape, notes))
    assert re.sub(version, "", text) == re.sub(version, "", again)
    assert [run["hyperparameters"]["beta"] for run in data["runs"]] == [1, 0.5, 2] and data["images"]["count"] == 297


@pytest.mark.slow
def test_the_page_in_a_browser():
    said = python(ROOT / "tests" / "long" / "explore_in_browser.py", OPENBLAS_NUM_THREADS="1").splitlines()
    if said[-1].startswith("skipped"):
        pytest.skip(said[-1])
    assert said[-1].startswith("all pages do what they should") and len(said) > 10

"""Promise: what is installed has its version, its defaults, its types and its licences, and an index can show its README."""

import configparser
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import operator
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import vae_from_scratch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def settings():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", "utf-8")
    return parser


@pytest.fixture(scope="module")
def absolute():
    loader = importlib.machinery.SourceFileLoader("package", str(ROOT / ".ci" / "package"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("package", loader))
    loader.exec_module(module)
    return module.absolute


def test_the_version_is_written_once(settings):
    assert settings["metadata"]["version"] == "attr: vae_from_scratch.__version__"
    assert importlib.metadata.version("vae_from_scratch") == vae_from_scratch.__version__, "install it again"


def test_every_public_name_is_there():
    assert all(hasattr(vae_from_scratch, name) for name in vae_from_scratch.__all__)


OF_EVERY_MODEL = {
    "hidden": (500,), "latent_dim": 20, "activation": "tanh", "likelihood": "bernoulli", "seed": 0, "dtype": "float32",
    "backend": "numba", "decoder_hidden": None, "decoder_activation": None, "init": "glorot",
}  # fmt: skip
DEFAULTS = {
    "Autoencoder": OF_EVERY_MODEL,
    "VAE": OF_EVERY_MODEL,
    "BetaVAE": {**OF_EVERY_MODEL, "beta": 4.0},
    "CapacityVAE": {**OF_EVERY_MODEL, "gamma": 1000.0, "capacity": 0.0},
    "BetaTCVAE": {**OF_EVERY_MODEL, "alpha": 1.0, "beta": 6.0, "gamma": 1.0, "n_train": None, "estimator": "stratified"},
    "FactorVAE": {**OF_EVERY_MODEL, "gamma": 6.4, "discriminator_hidden": (256, 256)},
    "DIPVAE": {**OF_EVERY_MODEL, "kind": "ii", "lambda_od": 10.0, "lambda_d": 10.0},
    "IWAE": {**OF_EVERY_MODEL, "samples": 5, "doubly": False},
    "FreeBitsVAE": {**OF_EVERY_MODEL, "free_bits": 0.25, "group_size": 1},
    "DenoisingAutoencoder": {**OF_EVERY_MODEL, "corruption": "masking", "level": 0.25},
    "SparseAutoencoder": {**OF_EVERY_MODEL, "penalty": "kl", "code": "sigmoid", "weight": 1.0, "rho": 0.05},
    "ContractiveAutoencoder": {**OF_EVERY_MODEL, "weight": 0.1},
    "Bernoulli": {},
    "ContinuousBernoulli": {},
    "Gaussian": {"sigma": 1.0, "mean": "linear"},
    "Laplace": {"scale": 1.0, "mean": "linear"},
    "SGD": {"lr": 1e-2, "momentum": 0.0},
    "Adagrad": {"lr": 1e-2, "adagrad_eps": 1e-10, "initial": 0.0},
    "Adam": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "adam_eps": 1e-8},
    "fit": {
        "optimizer": None, "batch_size": 100, "epochs": 10, "seed": 0, "x_valid": None, "binarize": "none", "schedule": None,
        "progress": True, "weight_decay": False, "callback": None, "callback_at": (), "checkpoint": None,
        "checkpoint_seconds": None, "resume": False, "gradient_norms": False, "threads": None,
    },
    "load": {},
    "save": {},
    "evaluation.evaluate": {"binarize": "none", "seed": 0, "batch_size": 500, "samples": 1, "threads": None},
    "evaluation.log_likelihood": {
        "samples": 5000, "binarize": "none", "seed": 0, "pairs": 1000, "progress": True, "threads": None,
    },
}  # fmt: skip


def test_no_default_of_the_public_face_changes_unnoticed():
    assert {name for name in vae_from_scratch.__all__ if callable(getattr(vae_from_scratch, name))} <= {*DEFAULTS}
    for name, expected in DEFAULTS.items():
        arguments = inspect.signature(operator.attrgetter(name)(vae_from_scratch)).parameters.values()
        assert {each.name: each.default for each in arguments if each.default is not each.empty} == expected, name


def test_types_and_licences_are_packaged(settings):
    data, metadata = settings["options.package_data"], settings["metadata"]
    assert data["vae_from_scratch"] == "py.typed" and metadata["license_expression"] == "MIT AND CC-BY-4.0"
    for name in ["vae_from_scratch/py.typed", *metadata["license_files"].split()]:
        assert (ROOT / name).is_file()
    notice = (ROOT / "vae_from_scratch" / "datasets" / data["vae_from_scratch.datasets"].split(", ")[1]).read_text("utf-8")
    for words in ("E. Alpaydin and C. Kaynak (1998)", "CC BY 4.0", "creativecommons.org/licenses/by/4.0", "0 to 16"):
        assert words in notice


@pytest.mark.parametrize(
    "given, expected",
    [
        ("[note](derivations/a.md#b)", "[note](https://host/me/it/blob/HEAD/derivations/a.md#b)"),
        ("![two\nlines](f/x.png)", "![two\nlines](https://host/me/it/raw/HEAD/f/x.png)"),
        ('<img src="x.svg">', '<img src="https://host/me/it/raw/HEAD/x.svg">'),
        ('<a href="LICENSE">', '<a href="https://host/me/it/blob/HEAD/LICENSE">'),
        ("[`ops.py`](ops.py)", "[`ops.py`](https://host/me/it/blob/HEAD/ops.py)"),
        ("[a](https://else/where) [b](c/)", "[a](https://else/where) [b](https://host/me/it/blob/HEAD/c/)"),
        ("[ref]: a.md", "[ref]: https://host/me/it/blob/HEAD/a.md"),
        ("[a](https://else/where) [b](#part) [c](mailto:me)", None),
        ("`x[0](a.md)` and\n```sh\n[a](b.md)\n```\n", None),
    ],
)
def test_relative_links_become_absolute(given, expected, absolute):
    assert absolute(given, "https://host/me/it/") == (given if expected is None else expected)


def test_no_link_of_readme_stays_relative(absolute):
    code = r"^```.*?^```|`[^`\n]*`"
    before, after = (re.sub(code, "", page, flags=re.M | re.S) for page in (README, absolute(README, "https://host/me/it")))
    target = r"\]\(([^)]+)\)"
    assert len(re.findall(target, before)) == len(re.findall(target, after)) > 20
    assert all(link.startswith(("https://", "#")) for link in re.findall(target, after))


def test_the_workflow_runs_readmes_line():
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    _, line = re.findall(r"^```sh\n(.*?)\n```", README, re.M | re.S)[:2]
    windows = line.replace("python3 -m venv", "python -m venv").replace(".venv/bin/", ".venv\\Scripts\\").replace(" &&", ";")
    assert re.findall(r"run: (.+)", workflow) == [line, windows]


@pytest.mark.slow
def test_what_is_built_holds_what_it_should(tmp_path):
    pytest.importorskip("build", reason="needs: pip install -e '.[dev]'")
    if not (ROOT / ".git").exists():
        pytest.skip("the files to package are those that git tracks")
    subprocess.run([sys.executable, str(ROOT / ".ci" / "package"), str(tmp_path)], check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {f"vae_from_scratch/{name}" for name in ("py.typed", "datasets/digits.npz", "datasets/LICENSE-digits.txt")} <= inside
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"vae_from_scratch"}
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    assert set(filter(None, tracked)) - packed == {".gitignore"}


@pytest.fixture(scope="module")
def check():
    pytest.importorskip("mypy", reason="needs: pip install -e '.[dev]'")
    return runpy.run_path(str(ROOT / "tests" / "long" / "types_of_readme.py"))


@pytest.mark.slow
def test_mypy_accepts_readmes_python(check):
    assert check["check"]("mypy", check["code_of_readme"]()) == ""


@pytest.mark.slow
def test_mypy_knows_what_the_public_names_are(check):
    names = [*vae_from_scratch.__all__, "plots"]  # were they of unknown type, mypy would let anything be asked of them
    asked = "\n".join(["import vae_from_scratch", *(f"vae_from_scratch.{name}.missing" for name in names)])
    assert len(re.findall(r'has no attribute "missing"', check["check"]("mypy", asked))) == len(names)
    assert 'has no attribute "plot"' in check["check"]("mypy", "import vae_from_scratch\nvae_from_scratch.plot")

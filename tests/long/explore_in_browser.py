"""The page of vae-from-scratch explore, in a real browser: what it computes, and what a mouse and a keyboard do to it.

    python tests/long/explore_in_browser.py [--shots DIR]       # under a minute; needs chromium and chromedriver

Trains small models of every likelihood, makes their pages, and drives Chromium through chromedriver's own HTTP interface.
Prints a line for each page, and "skipped: ..." where there is no browser.
"""

import argparse
import base64
import contextlib
import html
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from vae_from_scratch import VAE, Adam, Autoencoder, BetaVAE, datasets, explore, fit
from vae_from_scratch.datasets.dataset import Dataset
from vae_from_scratch.likelihoods import Gaussian, Laplace
from vae_from_scratch.objectives import CapacityVAE, ContractiveAutoencoder, SparseAutoencoder

BROWSERS, DRIVERS = ("chromium", "chromium-browser", "google-chrome", "chrome"), ("chromedriver",)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-dev-shm-usage --hide-scrollbars"
).split()
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # what WebDriver calls a reference to an element


def found(names):
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """A page in Chromium: run(code) returns what JavaScript returns, drag and press act as a user does."""

    def __init__(self, port, profile):
        self.root = f"http://127.0.0.1:{port}"
        chrome = {"binary": found(BROWSERS), "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
        self.root += "/session/" + self.ask("/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def ask(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.root + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"].splitlines()[0]) from None

    def open(self, path):
        self.ask("/url", {"url": Path(path).absolute().as_uri()})

    def run(self, code, *arguments):
        """What a function with this body returns; a promise is waited for."""
        return self.ask("/execute/sync", {"script": code, "args": arguments})

    def frame(self):
        """Wait until what was asked for is drawn."""
        self.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def find(self, selector):
        return self.ask("/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.ask(f"/element/{self.find(selector)}/click", {})
        self.frame()

    def press(self, selector, keys):
        self.ask(f"/element/{self.find(selector)}/value", {"text": keys})
        self.frame()

    def drag(self, selector, *places, kind="mouse"):
        """Press at the first place, move to the others, let go; places in pixels from the middle of the element."""
        origin = {ELEMENT: self.find(selector)}
        at = [{"type": "pointerMove", "duration": 50, "origin": origin, "x": int(x), "y": int(y)} for x, y in places]
        steps = [at[0], {"type": "pointerDown", "button": 0}, *at[1:], {"type": "pointerUp", "button": 0}]
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self.ask("/actions", {"actions": [{"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": steps}]})
        self.frame()

    def cdp(self, command, **parameters):
        return self.ask("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look(self, width, height=900, dark=False, phone=False):
        """The width of the page, and whether the reader likes it dark."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])
        self.frame()

    def shoot(self, path, whole=True):
        height = "scrollHeight" if whole else "clientHeight"
        size = self.run("const d = document.documentElement; return [d.clientWidth, d[arguments[0]]]", height)
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        shot = self.cdp("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def errors(self):
        return [entry["message"] for entry in self.ask("/se/log", {"type": "browser"}) if entry["level"] in ("SEVERE", "WARNING")]


@contextlib.contextmanager
def browser():
    """A Browser with a driver and a profile of its own, both gone at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen([found(DRIVERS), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        page = None
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            page = Browser(port, profile)
            yield page
        finally:
            if page is not None:
                page.ask("", method="DELETE")
            driver.terminate()
            driver.wait()


def check(fact, words):
    if not fact:
        raise SystemExit(f"failed: {words}")


# ---- pages -------------------------------------------------------------------------------------------------

HOSTILE = ["</script><script>window.ran = 1</script>", "<img src=x onerror='window.ran = 1'>", "\u2028`${window.ran = 1}`", "a & b"]


def colour_data(labels=None):
    """Small colour images, a bright spot somewhere."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:6, :7] + 0.5
    places = rng.uniform(1, 5, (60, 2, 1, 1))
    spots = np.exp(-((rows - places[:, 0]) ** 2 + (columns - places[:, 1]) ** 2) / 3)
    return Dataset("spots", spots[..., None] * rng.uniform(0.2, 1, (60, 1, 1, 3)), (6, 7, 3), labels=labels)


def pages():
    """name: (models by name, data)."""
    digits, spots = datasets.digits("test"), colour_data(np.array(HOSTILE * 15))
    net = {"hidden": (24,), "latent_dim": 3}
    yield "digits, three betas", {f"beta {beta}": BetaVAE(64, beta=beta, **net) for beta in (0.5, 1.0, 4.0)}, digits
    yield "two objectives", {"a": VAE(64, **net), "b": CapacityVAE(64, capacity=5.0, **net)}, digits
    yield "one latent, tanh", {"a": VAE(64, (24,), 1)}, digits
    yield "fifty latents, relu", {"a": VAE(64, (24,), 50, "relu")}, digits
    yield "autoencoder, squared error", {"a": Autoencoder(64, likelihood="squared-error", **net)}, digits
    yield "continuous Bernoulli, softplus", {"a": VAE(64, activation="softplus", likelihood="continuous-bernoulli", **net)}, digits
    yield "Gaussian per pixel, colour, hostile labels", {HOSTILE[0]: VAE(126, likelihood=Gaussian("per-pixel", "sigmoid"), **net)}, spots
    yield "Gaussian, learned sigma, linear net", {"a": VAE(126, (), 2, "linear", Gaussian("learned"))}, spots
    yield "Laplace, leaky relu", {"a": VAE(126, activation="leaky-relu", likelihood=Laplace(0.3), **net)}, spots
    yield "contractive, sigmoid", {"a": ContractiveAutoencoder(64, (), 8, "sigmoid")}, digits
    yield "sparse code", {"a": SparseAutoencoder(64, (), 12)}, digits


def make(folder, name, models, data, precision="int8"):
    """Train the models for a moment and write their page.  Returns its path, and the models as the page has them."""
    for model in models.values():
        fit(model, data, Adam(lr=3e-3), batch_size=50, epochs=3, progress=False)
    images, x = explore.pack_images(data)
    images["ends"] = explore.ends(next(iter(models.values())), x, images)
    runs = [explore.pack_model(key, model, x, precision) for key, model in models.items()]
    path = Path(folder) / f"{name.replace(' ', '-').replace(',', '')}.html"
    path.write_text(explore.build(name, runs, images, [HOSTILE[1]]), "utf-8")
    return path, [explore.rounded(model, precision) for model in models.values()], x


# ---- what is checked ------------------------------------------------------------------------------------------


def arithmetic(page, models, x):
    """The greatest differences from decode, encode and the loss in Python, for 50 random z and some images."""
    rng, worst = np.random.default_rng(1), []
    for k, model in enumerate(models):
        z = rng.standard_normal((50, model.latent_dim))
        some = x[:: max(1, len(x) // 20)]
        code = model.encode(some)
        code = np.concatenate(code, axis=1) if model.variational else code
        pixels = page.run("return arguments[1].map((z) => [...decode(models[arguments[0]], Float64Array.from(z))])", k, z.tolist())
        codes = page.run(
            "return arguments[1].map((x) => { const q = encode(models[arguments[0]], Float64Array.from(x));"
            " return [...q.mu, ...(q.logvar || [])] })", k, some.tolist(),
        )  # fmt: skip
        nll = page.run(
            "return arguments[1].map((x, n) => recon_nll(models[arguments[0]], Float64Array.from(x), Float64Array.from(arguments[2][n])))",
            k, some.tolist(), z[: len(some)].tolist(),
        )  # fmt: skip
        expected = model.recon_nll(some.astype(model.dtype), z[: len(some)].astype(model.dtype))
        scale = max(1, np.abs(expected).max())
        worst.append([np.abs(pixels - model.decode(z)).max(), np.abs(codes - code).max(), np.abs(nll - expected).max() / scale])
    return np.max(worst, axis=0)


def what_a_user_does(page, several):
    """Drag, slide, type, draw, pick, walk, switch: z, x and what is shown follow."""
    state = lambda: page.run("return {z: [...state.z], x: [...state.x], run: state.run, picked: state.picked, t: state.t}")  # noqa: E731
    shown = lambda id="decoded": page.run("return document.getElementById(arguments[0]).toDataURL()", id)  # noqa: E731
    variational = page.run("return Boolean(state.q.logvar)")

    before, image = state(), shown()
    page.drag("#plane", (10, 10), (60, -80), (100, -120))
    after = state()
    expected = page.run("const p = from_plane(view.size / 2 + 100, view.size / 2 + -120); return p")
    check(abs(after["z"][page.run("return state.across")] - expected[0]) < 0.1, "z is not where it was dragged to")
    check(shown() != image and after["x"] == before["x"], "the decoded image does not follow")
    said = page.run("return new Promise((done) => setTimeout(() => done($('status').textContent), 700))")
    check("reconstruction" in said, "nothing is said to a screen reader")

    page.press("#plane", "\ue012\ue012")  # arrow left, twice
    check(state()["z"] != after["z"], "arrows do not move z")
    page.press("#plane", "\ue011")  # Home
    check(page.run("return state.z.every((z, j) => z === state.q.mu[j])"), "Home does not go back")
    image = shown()
    page.press("#sliders input", "\ue010")  # End: the largest value
    at_end = page.run("const s = sliders[0]; return s.max - state.z[s.j] < 0.01 * (s.max - s.min)")
    check(at_end and shown() != image, "a slider does not move z")

    while page.run("return !$('earlier').disabled"):
        page.click("#earlier")
    page.click("#gallery button:nth-child(3)")
    check(state()["picked"] == 2, "an image is not picked")
    page.drag("#x", (-20, -20), (20, 20))
    drawn = state()
    check(drawn["picked"] is None and drawn["x"] != before["x"], "drawing does not change x")
    page.drag("#x", (20, -20), (-20, 20), kind="touch")
    check(state()["x"] != drawn["x"], "a finger does not draw")
    image = page.run("return $('x').toDataURL()")
    page.press("#x", "\ue013")  # arrow up
    page.frame()
    check(page.run("return $('x').toDataURL()") != image and page.run("return brush.keyed"), "a brush moved by keys is not shown")
    page.press("#x", " ")
    page.click("#clear")
    check(len(set(state()["x"])) == 1, "clear leaves something")
    page.click("#invert")
    page.run(
        "const c = document.createElement('canvas'); c.width = 90; c.height = 40; const g = c.getContext('2d');"
        "g.fillStyle = '#fff'; g.fillRect(0, 0, 90, 40); g.fillStyle = '#000'; g.fillRect(25, 0, 20, 40);"
        "return new Promise((done) => c.toBlob((blob) => open_file(new File([blob], 'a.png')).then(() => done(true))))"
    )
    dropped = np.array(state()["x"])
    check(dropped.max() > 0.9 and dropped.min() < 0.1, "an image file is not read")
    check("a.png is the image" in page.run("return $('opened').textContent"), "it is not said that an image was read")
    page.run("return open_file(new File(['no image'], 'b.png')).then(() => true)")
    check("b.png cannot be read" in page.run("return $('opened').textContent"), "it is not said that a file is no image")

    if variational:
        page.click("#draw-q")
        check(page.run("return state.noisy && state.z.some((z, j) => z !== state.q.mu[j])"), "nothing is drawn from q")
        check("one draw" in page.run("return $('total').textContent"), "the draw is not named")
        z = state()["z"]
        page.click("#draw-prior")
        check(state()["z"] != z, "nothing is drawn from the prior")
    page.click("#set-from")
    page.click("#gallery button:nth-child(5)")
    page.click("#set-to")
    page.press("#t", "\ue011")
    check(page.run("return state.z.every((z, j) => Math.abs(z - state.from[j]) < 1e-12)"), "the walk does not start at its start")
    check(page.run("return state.walking"), "the line of the walk is not drawn")
    page.press("#plane", "\ue012")
    check(not page.run("return state.walking"), "the line of the walk stays when z has left it")
    page.click("#later") if page.run("return !$('later').disabled") else None

    if several:
        before, image = state(), shown()
        page.click("#switch label:last-child input")
        after = state()
        check((after["z"], after["x"]) == (before["z"], before["x"]) and after["run"] != before["run"], "the switch changes z or x")
        check(shown() != image, "the switch changes nothing that is seen")
        page.click("#draw-q")
        page.frame()
        check("one draw" in page.run("return $('total').textContent"), "a draw after the switch is not named")
        page.click("#switch input")
        page.frame()
        check("one draw" not in page.run("return $('total').textContent"), "z of another model's q is called a draw from this one's")
    slow = page.run("const s = performance.now(); for (let k = 0; k < 20; k++) render(); return (performance.now() - s) / 20")
    check(slow < 16, f"a frame takes {slow:.1f} ms")
    return slow


def loss_is_its_own(page, models):
    """The page states a loss as an equation only for a model that was trained on just that."""
    for k, model in enumerate(models):
        page.run("set_run(arguments[0])", k)
        page.frame()
        stated = page.run(
            "return [...document.querySelectorAll('[data-only^=loss-of]')].filter((e) => !e.hidden).map((e) => e.dataset.only)"
        )
        plain = type(model) in (Autoencoder, VAE, BetaVAE)
        check(stated == [f"loss-of-{model.name if plain else 'another'}"], f"{model.name}: {stated} is stated")
        check(plain or "loss" not in page.run("return $('total').textContent"), f"{model.name}: the total is called a loss")
    page.run("set_run(0)")


def accessible(page):
    """Everything that can be operated has a name, and nothing is wider than the page."""
    nameless = page.run(
        "return [...document.querySelectorAll('button, input, select, canvas[tabindex]')].filter((e) => e.offsetParent &&"
        " !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length))).map((e) => e.outerHTML)"
    )
    check(not nameless, f"without a name: {nameless}")
    for width in (390, 1200):
        page.look(width, phone=width == 390)
        wide = page.run("return document.documentElement.scrollWidth")
        check(wide <= width, f"the page is {wide} pixels wide on a screen of {width}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", metavar="DIR", help="leave screenshots at 1200 and 390 pixels, light and dark, in DIR")
    parser.add_argument("--page", metavar="FILE", help="only take screenshots of this page")
    parser.add_argument("--picture", metavar="FILE", help="only take the picture of --page that README shows")
    parser.add_argument("--renew", metavar="FILE", help="only build this page again, from its own data, with the files of explore/")
    options = parser.parse_args()
    if options.renew:
        return renew(Path(options.renew))
    if not (found(BROWSERS) and found(DRIVERS)):
        return print("skipped: chromium and chromedriver are needed")
    shots = options.shots and Path(options.shots)
    with tempfile.TemporaryDirectory() as folder, browser() as page:
        if options.page:
            page.open(options.page)
            if options.picture:
                return picture(page, options.picture)
            shoot(page, shots, Path(options.page).stem)
            return print("\n".join(page.errors()) or "no console error")
        for name, models, data in pages():
            path, rounded, x = make(folder, name, models, data, "float16" if "Laplace" in name else "int8")
            page.look(1200)
            page.open(path)
            page.frame()
            check(page.run("return $('problem').hidden"), f"{name}: the page did not start: {page.errors()}")
            pixel, code, nll = arithmetic(page, rounded, x)
            check(max(pixel, code, nll) < 2e-4, f"{name}: pixels differ by {pixel:.1e}, codes by {code:.1e}, losses by {nll:.1e}")
            loss_is_its_own(page, models.values())
            slow = what_a_user_does(page, len(models) > 1)
            accessible(page)
            check(page.run("return window.ran === undefined"), f"{name}: a label ran")
            errors = page.errors()
            check(not errors, f"{name}: {errors}")
            print(f"{name}: pixels {pixel:.0e}, codes {code:.0e}, loss {nll:.0e} (relative); {slow:.1f} ms a frame")
            if shots:
                shoot(page, shots, path.stem)
        print("all pages do what they should, without a console error")


def picture(page, path):
    """The upper part of a page, z dragged to the side."""
    from PIL import Image  # comes with Matplotlib

    page.look(1200, 882)
    page.drag("#plane", (10, 10), (30, 20), (145, 2))
    page.run("scrollTo(0, 0)")
    page.frame()
    page.shoot(path, whole=False)
    Image.open(path).convert("RGB").quantize().save(path, optimize=True)  # a third of the size


def renew(path):
    """A page whose data stay, built with the template, style and scripts as they are now."""
    text = path.read_text("utf-8")
    title, notes = re.search("<title>(.*?)</title>", text)[1], re.findall("<li>(.*?)</li>", text)
    data = json.loads(re.search('id="data">(.*?)</script>', text)[1])
    path.write_text(explore.build(html.unescape(title), data["runs"], data["images"], map(html.unescape, notes)), "utf-8")


def shoot(page, shots, name):
    shots.mkdir(exist_ok=True)
    for width, dark in ((1200, False), (1200, True), (390, False), (390, True)):
        page.look(width, 900 if width > 390 else 844, dark, phone=width == 390)
        page.run("scrollTo(0, 0)")
        page.frame()
        page.shoot(shots / f"{name}-{width}-{'dark' if dark else 'light'}.png")


if __name__ == "__main__":
    sys.exit(main())

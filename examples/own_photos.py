"""Photos of your own: a folder of pictures becomes a data set, and a VAE learns to draw more of them.  About ten seconds.

Draws a small album first, so that there is one: suns and hills, PNG and JPEG, of several sizes.  With photos of yours:
python examples/own_photos.py --album FOLDER, or vae-from-scratch train --data FOLDER.
Run: python examples/own_photos.py                 (--quick: fewer and smaller)
"""

from pathlib import Path

import numpy as np
from PIL import Image
from runner import Results, folder_of, options, save_figure, train

from vae_from_scratch import VAE, Adam, Gaussian, datasets, evaluation, plots

FULL = {"photos": 400, "size": (32, 32), "hidden": (200,), "epochs": 60}
QUICK = {"photos": 40, "size": (12, 12), "hidden": (20,), "epochs": 5}


def sun(x, y, rng):
    """A bright disc in a darker sky."""
    column, row, radius = rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4), rng.uniform(0.2, 0.5)
    inside = np.hypot(x - column, y - row) < radius
    return np.where(inside[..., None], (250, 200, 80), (40, 70, 140))


def hills(x, y, rng):
    """A wavy line, with sky above it and grass below."""
    line = rng.uniform(-0.3, 0.3) + 0.25 * np.sin(rng.uniform(2, 5) * x + rng.uniform(0, 2 * np.pi))
    return np.where((y > line)[..., None], (30, 90, 40), (180, 210, 240))


def draw_album(folder, n, rng):
    """n pictures in two sub-folders, which become the labels; the files differ in kind and size, as photos do."""
    for k in range(n):
        scene, ending = (sun, hills)[k % 2], ("png", "jpg")[k // 2 % 2]
        height, width = rng.integers(48, 97, size=2)
        y, x = np.mgrid[:height, :width] * 2 - np.array([height, width]).reshape(2, 1, 1)
        side = min(height, width)
        (folder / scene.__name__).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(scene(x / side, y / side, rng).astype(np.uint8))
        image.save(folder / scene.__name__ / f"{k:04}.{ending}")


def main(arguments=None):
    chosen = options(__file__, __doc__, arguments, album="", seed=0)
    setting = QUICK if chosen.quick else FULL
    album = Path(chosen.album or chosen.out / "album").expanduser()
    if not chosen.album and not album.exists():
        draw_album(album, setting["photos"], np.random.default_rng(chosen.seed))
    photos, test = (datasets.images(album, setting["size"], split=split) for split in datasets.SPLITS)
    model = VAE(photos.data_dim, setting["hidden"], 8, "relu", Gaussian(0.1, "sigmoid"), seed=chosen.seed)
    results = Results(chosen.out / "results.csv", keys=("album", "seed"))
    which = {"album": str(album.absolute()), "seed": chosen.seed}
    train(
        folder_of(results, which), model, photos, Adam(lr=2e-3), min(20, len(photos)), setting["epochs"], chosen.seed,
        x_valid=test, progress=False,
    )  # fmt: skip
    seen = evaluation.evaluate(model, test, seed=chosen.seed)
    results.add(**which, photos=len(photos), elbo=seen.elbo, kl=seen.kl, active_units=seen.active_units)
    print(f"{len(photos)} photos of {album}: test ELBO {seen.elbo:.0f} nats, {seen.active_units} latents active")
    shape = photos.image_shape
    some = test[np.unique(np.linspace(0, len(test) - 1, 10).astype(int))]
    save_figure(plots.reconstructions(model, some, shape), chosen.out / "reconstructions.png")
    drawn = model.sample(40, np.random.default_rng(chosen.seed))
    save_figure(plots.samples(drawn, shape), chosen.out / "samples.png")
    codes, _ = model.encode(photos[:])
    most = tuple(int(j) for j in np.argsort(-seen.kl_per_latent)[:2])
    figure = plots.latent_scatter(codes, photos.labels, most, title="codes, coloured by sub-folder")
    save_figure(figure, chosen.out / "latents.png")


if __name__ == "__main__":
    main()

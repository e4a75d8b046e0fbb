"""Photos of your own: a folder of PNG and JPEG files."""

import os
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from ..engine import require
from .dataset import SPLITS, Dataset, all_binary, rows_of

READ = (".png", ".jpg", ".jpeg")
OTHERS = (".bmp", ".gif", ".heic", ".heif", ".tif", ".tiff", ".webp")  # pictures that are not read, and that a note counts


def images(
    folder: str | os.PathLike[str], size: tuple[int, int] = (64, 64), gray: bool = True, split: str = "train"
) -> Dataset:
    """The PNG and JPEG files in a folder and its sub-folders, in the order of their names.

    Parameters
    ----------
    folder : where they are; those in a sub-folder have its name as their label.  Sub-folders train and test are the split,
        and the folders in them the labels; a note counts the pictures beside them, which are left out
    size : (rows, columns); each is cropped to the middle in this shape, then resized
    gray : False for colour, an image_shape of (rows, columns, 3)
    split : {"train", "test"}; every tenth file is of the test split, unless the folder has the two

    Returns
    -------
    Dataset
        Bytes divided by 255.  Photos are turned as their camera says, and what is transparent becomes white.  Files and
        folders that cannot be read are left out, and a note names and counts them; links are followed.

    Raises
    ------
    ValueError, TypeError, OSError
        If there is no such folder, or it has fewer than 10 pictures and no split, or none of a split can be read.
    """
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise TypeError(f"size must be (rows, columns) such as (64, 64), got {size!r}")
    height, width = (require.whole("each number in size", number) for number in size)
    require.flag("gray", gray)
    require.choice("split", split, SPLITS)
    folder = Path(require.path("folder", folder))
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; name one that holds PNG or JPEG files")
    found, closed = _inside(folder)
    paths = [path for path in found if path.suffix.lower() in READ]
    divided = set(SPLITS) <= {_top(path) for path in paths}
    if not divided and len(paths) < 10:
        kinds = Counter(path.suffix.lower() or "nameless" for path in found if path not in paths)
        rest = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
        shut = f"; it could not be read in {_named(closed)}" if closed else ""
        raise ValueError(
            f"{folder} holds {len(paths)} PNG or JPEG files{f' (and {rest})' if rest else ''}; at least 10 are needed{shut}"
        )
    mine = [path for path in paths if _top(path) == split] if divided else [paths[row] for row in rows_of(len(paths), split)]
    left = [path for path in found if path.suffix.lower() in OTHERS and split == (_top(path) if divided else "train")]
    beside = [path for path in paths if divided and _top(path) not in SPLITS]
    if beside and split == "train":
        warnings.warn(f"{folder}: pictures beside train and test are left out ({len(beside)}): {_named(beside)}", stacklevel=2)
    values, kept, brightest = np.empty((len(mine), height, width, *([] if gray else [3])), np.uint8), [], 0
    for path in mine:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values[len(kept)], top = _read(folder / path, (height, width), gray)
        except Exception:  # whatever a parser stumbles over
            left.append(path)
        else:
            kept.append(path)
            brightest = max(brightest, top)
    few = _named(left)
    if closed and split == "train":
        warnings.warn(f"{folder}: folders that cannot be read are left out ({len(closed)}): {_named(closed)}", stacklevel=2)
    if left:
        words = f"{len(left)} of {len(left) + len(kept)} pictures for the {split} split are left out"
        warnings.warn(f"{folder}: {words}, because they cannot be read as PNG or JPEG: {few}", stacklevel=2)
    if 0 < brightest <= 2**14 and split == "train":  # as 12 bits leave it
        words = f"16-bit pictures go no higher than {brightest} of 65535, and are read as nearly black"
        warnings.warn(f"{folder}: {words}; if {brightest} is white, store them times {65535 // brightest}", stacklevel=2)
    if not kept:
        raise ValueError(f"{folder}: none of the {len(mine)} PNG and JPEG files of the {split} split can be read: {few}")
    labels = np.array([(*path.parts[divided:-1], "")[0] for path in kept])  # the folder, below that of the split if there is one
    values = values[: len(kept)]
    return Dataset(
        folder.resolve().name, values, values.shape[1:], scale=255, labels=labels if any(labels) else None,
        binary=all_binary(values, 255), source=str(folder),
    )  # fmt: skip


def _inside(folder):
    # the paths, below folder and in their order, of the files in it and of the folders in it that cannot be read
    files, closed = [], []

    def look(at, above):
        real = os.path.realpath(at)
        if real in above:  # a link that leads back
            return
        try:
            inside = [at / name for name in os.listdir(at) if not name.startswith(".")]
        except OSError:
            if not above:
                raise
            closed.append(at.relative_to(folder))
            return
        for path in inside:
            if os.path.isdir(path):
                look(path, (*above, real))
            elif os.path.isfile(path) or not os.path.exists(path):  # a link to nothing is a file that cannot be read
                files.append(path.relative_to(folder))

    look(folder, ())
    return sorted(files, key=Path.as_posix), sorted(closed, key=Path.as_posix)


def _top(path):
    # the sub-folder that a file is in
    return path.parts[0].lower() if len(path.parts) > 1 else ""


def _named(paths):
    return ", ".join(path.as_posix() for path in paths[:3]) + ", ..." * (len(paths) > 3)


def _read(path, size, gray):
    # one picture as bytes, (rows, columns) or (rows, columns, 3), and its highest value if that has 16 bits, else 0
    from PIL import Image, ImageOps  # comes with Matplotlib

    with Image.open(path, formats=("PNG", "JPEG")) as picture:
        picture.draft(None, (2 * max(size),) * 2)  # a large JPEG is decoded at a half, a quarter or an eighth
        picture = ImageOps.exif_transpose(picture)
        top = 0
        if picture.mode.startswith("I"):  # 16 bits a pixel
            levels = np.asarray(picture)
            picture, top = Image.fromarray((levels // 257).astype(np.uint8)), int(levels.max())
        if "A" in picture.getbands() or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        return np.asarray(ImageOps.fit(picture.convert("L" if gray else "RGB"), size[::-1], Image.Resampling.LANCZOS)), top

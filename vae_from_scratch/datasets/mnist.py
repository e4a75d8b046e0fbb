"""The MNIST family: 28 x 28 grey images with labels, 60,000 train and 10,000 test, from IDX files.

They may lie in a data folder as NAME/FILE, or as other programs leave them: unzipped, with dots for dashes
(train-images.idx3-ubyte), in NAME/raw, or in MNIST/raw, FashionMNIST/raw and KMNIST/raw.
"""

import warnings

from ..engine import files, require
from .dataset import SPLITS, Dataset, find

FILES = {  # (split, what): name of the file
    ("train", "images"): "train-images-idx3-ubyte.gz",
    ("train", "labels"): "train-labels-idx1-ubyte.gz",
    ("test", "images"): "t10k-images-idx3-ubyte.gz",
    ("test", "labels"): "t10k-labels-idx1-ubyte.gz",
}
FAMILY = {  # name: where to fetch it, and the SHA-256 of the four files in the order of FILES
    "mnist": (
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    "kmnist": (
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
}

UNZIPPED = {  # SHA-256 of the four files without their gzip, where it is known
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
ELSEWHERE = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}  # folders of torchvision


def mnist(split: str = "train") -> Dataset:
    """Handwritten digits (LeCun, Cortes and Burges; no licence stated).  Pixels 0..255 are divided by 255."""
    return _family("mnist", split)


def fashion_mnist(split: str = "train") -> Dataset:
    """Articles of clothing (Xiao et al. 2017; MIT licence).  Pixels 0..255 are divided by 255."""
    return _family("fashion-mnist", split)


def kmnist(split: str = "train") -> Dataset:
    """Cursive Japanese characters (Clanuwat et al. 2018; CC BY-SA 4.0).  Pixels 0..255 are divided by 255."""
    return _family("kmnist", split)


def _family(name, split):
    require.choice("split", split, SPLITS)
    path = _find(name, (split, "images"))
    images, labels = files.read_idx(path), files.read_idx(_find(name, (split, "labels")))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{name}: images of shape {images.shape} and labels of shape {labels.shape} do not belong together"
        )
    return Dataset(name, images.reshape(len(images), -1), images.shape[1:], scale=255, labels=labels, source=str(path))


def _find(name, which):
    # the path of one of FILES; a note if it is not the file that is known
    url, *checksums = FAMILY[name]
    file, k = FILES[which], list(FILES).index(which)
    checksum, unzipped = checksums[k], UNZIPPED.get(name, (None,) * 4)[k]
    plain = file.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")
    places = (name, f"{name}/raw", f"{ELSEWHERE[name]}/raw", ELSEWHERE[name])
    first, *others = (f"{place}/{each}" for place in places for each in (file, plain, f"{dotted}.gz", dotted))
    path = find(first, url + file, checksum, others)
    if (path.suffix == ".gz" or unzipped) and files.sha256(path) not in (checksum, unzipped):
        warnings.warn(
            f"{path} is not the file of {name} that is known, whose SHA-256 begins {checksum[:12]}; it is used as it is, "
            "and if you remove it, the known one is downloaded",
            stacklevel=4,
        )
    return path

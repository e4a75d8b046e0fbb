"""The bundled data set: 8 x 8 handwritten digits."""

from pathlib import Path

from ..engine import files, require
from .dataset import SPLITS, Dataset

TEST = 297  # the last ones, written by other people than the first


def digits(split: str = "train") -> Dataset:
    """1,797 digits of 8 x 8 grey pixels with labels: the first 1,500 train, the last 297 test.

    Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak (1998), UCI Machine Learning
    Repository, test part; CC BY 4.0.  Pixels were counts 0..16 and are divided by 16.
    """
    require.choice("split", split, SPLITS)
    arrays = files.read_npz(Path(__file__).with_name("digits.npz"))
    rows = slice(None, -TEST) if split == "train" else slice(-TEST, None)
    source = "bundled: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository"
    return Dataset("digits", arrays["images"][rows], (8, 8), scale=16, labels=arrays["labels"][rows], source=source)

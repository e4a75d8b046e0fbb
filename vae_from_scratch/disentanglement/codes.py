"""What every score asks for: the codes of images with these factors."""

import numpy as np

from ..engine import require
from ..engine.bars import tqdm
from ..engine.batches import in_order
from ..engine.parts import evaluation_threads
from ..engine.threads import asked, in_threads, one_blas_thread
from ..datasets.factors import FactorDataset

BATCH = 1024  # images encoded at once
TABLE = 2**26  # the most numbers in a table of codes that a score makes by itself


def known_factors(data):
    """The FactorDataset that data is, or whose rows it holds.  ValueError if its factors are not known."""
    whole = getattr(getattr(data, "values", None), "data", data)  # a split of it holds rows of the whole
    if not isinstance(whole, FactorDataset):
        raise ValueError(
            f"{getattr(data, 'name', type(data).__name__)!r} has no known factors, so that nothing can be scored "
            "against them; use datasets.dsprites(), datasets.blobs() or a FactorDataset"
        )
    return whole


def named_factors(data, names):
    """The positions of factors by their names; all if None.  ValueError if one is unknown, or if there are not two."""
    names = data.factor_names if names is None else tuple(names)
    for name in names:
        require.choice("each of factors", name, data.factor_names)
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ValueError(f"factors must be two or more of {', '.join(data.factor_names)}, each once; got {names}")
    fixed = [name for name in names if data.sizes[data.factor_names.index(name)] < 2]
    if fixed:
        raise ValueError(f"{', '.join(fixed)} has only one value, so nothing can follow it; leave it out of factors, or of the data set")
    return [data.factor_names.index(name) for name in names]


def encode_checked(encode, images):
    """What encode makes of images (N, D): a list of float64 arrays (N, Z), one, or mu and logvar."""
    if not callable(encode):
        raise TypeError(f"encode must be a function from images (N, D) to codes (N, Z), got {encode!r}")
    outputs = encode(images)
    outputs = [np.asarray(output) for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
    shape = (len(images), outputs[0].shape[-1] if outputs[0].ndim else 0)
    if len(outputs) > 2 or any(output.shape != shape or output.dtype.kind != "f" for output in outputs) or 0 in shape:
        found = ", ".join(f"{output.dtype} {output.shape}" for output in outputs)
        raise ValueError(
            "encode must return floats (N, Z), or mu and logvar, both (N, Z); "
            f"for images {images.shape} it gave {found}"
        )
    if not require.finite(outputs):
        raise ValueError("encode returned NaN or infinity; a model that makes none is needed for a score")
    return [output.astype(np.float64) for output in outputs]


@one_blas_thread()
def encode_batches(encode, images, n, keep, words="encoding", progress=True):
    """keep(outputs) of each batch of n images, in order, images(rows) being one: side by side if encode is a model's own."""
    model, batches = getattr(encode, "__self__", None), list(in_order(n, BATCH))
    threads = evaluation_threads(model, BATCH) if getattr(model, "encode", None) == encode else 1

    def work(x):
        return keep(encode_checked(encode, x))

    found = in_threads(work, map(images, batches), threads)
    return list(tqdm(found, desc=words, total=len(batches), disable=not progress, leave=False))


def encode_all(encode, data, progress=True, *, threads=None):
    """Encode every image once: encode, data -> the same two for any score, in which codes are looked up.

    A score of dSprites draws up to 1.9 million images out of 737,280, so a table is exact and saves work when
    several scores or seeds follow.  Memory: len(data) times the numbers in a code, in float32.
    threads : for a model's own encode, as in evaluate; any other function may not bear several, and gets one.
    """
    data = known_factors(data)
    two = len(encode_checked(encode, data[np.arange(1)])) == 2
    with asked(None if threads is None else require.whole("threads", threads)):
        keep = lambda outputs: np.hstack(outputs).astype(np.float32)  # noqa: E731
        table = np.concatenate(encode_batches(encode, data.__getitem__, len(data), keep, progress=progress))
    codes = FactorDataset(
        data.name, lambda factors: table[data.indices(factors)], data.factor_names, data.sizes, (1, table.shape[1])
    )
    return (lambda rows: tuple(np.split(rows, 2, axis=1))) if two else (lambda rows: rows), codes


def table_fits(encode, data):
    """Whether the codes of all images are few enough to be kept: those of dSprites, but not its pixels."""
    return len(data) * sum(output.shape[1] for output in encode_checked(encode, data[np.arange(1)])) <= TABLE


def codes_of(encode, data, draws, progress):
    """A function from combinations (N, F) to codes (N, Z); mu is taken where encode gives mu and logvar.

    draws: how many images will be asked for; where there are fewer, each is encoded once, which changes nothing
    but the time, and of codes in float64 the digits beyond float32.
    """
    if draws > len(data) and table_fits(encode, data):
        encode, data = encode_all(encode, data, progress)

    def codes(factors):
        images = lambda rows: data.images(factors[rows])  # noqa: E731
        return np.concatenate(encode_batches(encode, images, len(factors), lambda outputs: outputs[0], progress=False))

    return codes


def sample(encode, data, rng, n, factors=None, progress=True):
    """n images drawn with replacement: names and sizes of these factors, their values (n, K), the codes (n, Z)."""
    data, rng = known_factors(data), require.rng(rng)
    chosen = named_factors(data, factors)
    codes, values = codes_of(encode, data, n, progress), data.draw_factors(n, rng)
    names, sizes = ([table[k] for k in chosen] for table in (data.factor_names, data.sizes))
    return tuple(names), sizes, values[:, chosen], codes(values)


def standardise(x, train):
    """Columns of x (N, Z) with mean 0 and variance 1 over the first train rows; constants, up to float32's rounding, 0."""
    mean, std = x[:train].mean(axis=0), x[:train].std(axis=0)
    varies = std > np.maximum(1e-6 * std.max(), 1e-7 * np.abs(mean))
    x = x - mean
    x /= np.where(varies, std, 1)
    x[:, ~varies] = 0
    return x

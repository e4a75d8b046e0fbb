"""The progress bar: a notebook's own where one runs, plain text elsewhere."""

import sys
import warnings

if "ipykernel" in sys.modules:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets it is plain text there, too
        from tqdm.auto import tqdm
else:
    from tqdm import tqdm

__all__ = ["tqdm", "counting"]


def counting(parts, n, hidden):
    """The parts, while a bar counts examples up to n: a part begins with an array of as many as it has."""
    with tqdm(total=n, unit="example", disable=hidden) as bar:
        for part in parts:
            bar.update(len(part[0]))
            yield part

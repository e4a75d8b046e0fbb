"""The progress bar: a notebook's own where one runs, plain text elsewhere."""

import sys
import warnings

if "ipykernel" in sys.modules:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets it is plain text there, too
        from tqdm.auto import tqdm
else:
    from tqdm import tqdm

__all__ = ["tqdm"]

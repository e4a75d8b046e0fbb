"""The progress bar: a notebook's own where one runs, plain text elsewhere."""

import contextlib
import sys
import warnings

if "ipykernel" in sys.modules:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets it is plain text there, too
        from tqdm.auto import tqdm as any_tqdm
else:
    from tqdm import tqdm as any_tqdm


class tqdm(any_tqdm):
    """A bar; none where there is nothing to draw it on, as under pythonw, or nothing can be written, as on a full disk."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **(settings if sys.stderr else {**settings, "disable": True}))

    def display(self, *arguments, **settings):
        try:
            return super().display(*arguments, **settings)
        except BrokenPipeError:  # nobody reads on
            raise
        except OSError:
            self.disable = True
            return False

    def close(self):
        with contextlib.suppress(OSError):
            super().close()


def counting(parts, n, hidden):
    """The parts, while a bar counts examples up to n: a part begins with an array of as many as it has."""
    with tqdm(total=n, unit="example", disable=hidden) as bar:
        for part in parts:
            bar.update(len(part[0]))
            yield part

"""Imports Matplotlib whatever MPLBACKEND says; to be imported before anything else that does.

A notebook's may be left over, and a name that Matplotlib does not know breaks its import, though nothing here needs any.
"""

import contextlib
import os
import sys

if named := os.environ.get("MPLBACKEND") if "matplotlib" not in sys.modules else None:
    del os.environ["MPLBACKEND"]
    try:
        import matplotlib
    finally:
        os.environ["MPLBACKEND"] = named
    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = named  # for figures of the user's own

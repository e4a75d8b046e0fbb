"""Random streams: no use can repeat the numbers of another, whatever the seeds."""

import numpy as np

from . import require

USES = (  # the place of a use is part of its stream: new ones go to the end; "evaluation z" is no longer taken
    "weights", "order", "noise", "binarize", "evaluation images", "evaluation noise", "evaluation z", "importance",
    "samples", "scores", "traversals", "parts of the KL", "silent latents", "explorer",
)  # fmt: skip


OURS = 0x564145  # so that no stream is one that NumPy's spawn gives, whose keys are 0, 1, 2, ...


def stream(use, seed, *numbers):
    """The generator of one use of a seed; numbers tell its streams apart where it has many, such as one per example.

    A list of numbers as a seed would not do: default_rng([s, 0]) is default_rng(s).  A spawn key is kept apart from the
    seed (numpy.random.SeedSequence), so that no other use, seed or number gives the same stream, nor default_rng(s),
    nor what is spawned from it.
    """
    key = (OURS, USES.index(use), *numbers)
    return np.random.default_rng(np.random.SeedSequence(require.seed(seed), spawn_key=key))

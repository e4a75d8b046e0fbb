"""Scores of a representation against known factors, one file per score.  derivations/11-disentanglement.md.

Each takes any function from images (N, D) to codes (N, Z), a data set with factors, and rng.
"""

from . import baselines
from .beta_vae import beta_vae_score, beta_vae_scores
from .codes import encode_all
from .factor_vae import factor_vae_score
from .mig import mig_chen, mig_histogram
from .parts import kl_parts
from .score import SCORES, Drawing, Score
from .scores import all_scores, panel

__all__ = [
    "SCORES",
    "Drawing",
    "Score",
    "all_scores",
    "baselines",
    "beta_vae_score",
    "beta_vae_scores",
    "encode_all",
    "factor_vae_score",
    "kl_parts",
    "mig_chen",
    "mig_histogram",
    "panel",
]

"""Scores of a representation against known factors, one file per score.  derivations/11-disentanglement.md.

Each takes any function from images (N, D) to codes (N, Z), a data set with factors, and rng; that of mig_chen returns
mu and logvar, and all_scores takes a seed.
"""

from . import baselines
from .beta_vae import beta_vae_score, beta_vae_scores
from .codes import encode_all
from .dci import dci_score
from .explicitness import explicitness_score
from .factor_vae import factor_vae_score
from .mig import mig_chen, mig_histogram
from .modularity import modularity_score
from .parts import kl_parts
from .sap import sap_score, sap_svm
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
    "dci_score",
    "encode_all",
    "explicitness_score",
    "factor_vae_score",
    "kl_parts",
    "mig_chen",
    "mig_histogram",
    "modularity_score",
    "panel",
    "sap_score",
    "sap_svm",
]

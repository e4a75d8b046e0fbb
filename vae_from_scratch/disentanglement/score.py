"""What a score is: a class with a name and one method, known to all_scores (and to cli.main in the same process) once it is defined."""

from typing import NamedTuple

from ..engine.registry import register

SCORES: dict = {}  # name: class, entered when the class is defined


class Drawing(NamedTuple):
    """What one drawing of a score may know beside the codes and its rng."""

    repeat: int  # 0, 1, ...: a score without chance in it need be computed only once
    variational: bool  # whether encode gives mu and logvar
    points: int  # for a classifier to learn from; half as many for it to be judged on
    least_variance: float  # of a latent that is not silent
    progress: bool
    without_shape: tuple  # names of the factors but "shape", which some papers leave out


class Score:
    """To add one: subclass this with a name and a draw; the results that it yields need the attributes named there."""

    name: str | None = None

    def __init_subclass__(cls):
        register(SCORES, cls)

    def draw(self, encode, data, rng, drawing):
        """Yields (title, result), as often as there are variants.

        encode : function from images (N, D) to codes (N, Z), or to mu and logvar; data : FactorDataset
        result : score, chance; factor_names (K of them); per_factor (K,); latents (K,), the one that stands for each
            factor; panel, a matrix (K, Z) to draw and what large values in it mean; if there is something to say
            beside the score, remark, a line
        """
        raise NotImplementedError(f"{type(self).__name__} has no draw")

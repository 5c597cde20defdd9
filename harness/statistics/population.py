"""Where seeds and videos come from: a small model of a method's answers, to plan with and to simulate from.

Video v has a difficulty z[v] ~ N(0, 1), shared by all seeds, and a seed is right on it with probability

    p[s, v] = Phi(sqrt(1 + h^2) Phi^-1(accuracy of seed s) + h z[v])        (probit)

so that a seed's expected top-1 is exactly its accuracy, which varies over seeds with a stated standard
deviation. `h` spreads the videos from easy to hard; two methods share the difficulties wholly or in part.
A better method gains most on videos of middling difficulty: planning needs that, because it gives a planted
difference a spread over videos that a method against itself does not have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from harness.statistics.intervals import Bools, Floats, as_correct, mean_squares

_HEAVY_FREE = 3  # Student's t with 3 degrees of freedom: one seed in 70 lies 3 standard deviations out
_HARDEST = 10.0  # difficulty_sd beyond which seeds agree on all but a few percent of the videos


@dataclass(frozen=True)
class Population:
    """Where a method's seeds and videos come from.

    top1 and seed_sd are in points; difficulty_sd is `h` above; heavy_tails draws seeds from Student's t (3)
    of the same standard deviation; shared is the correlation of the difficulties of two methods (1: videos
    are as hard for the one as for the other, as when a method meets itself).
    """

    top1: float
    seed_sd: float
    difficulty_sd: float
    heavy_tails: bool = False
    shared: float = 1.0


@dataclass(frozen=True)
class Components:
    """Standard deviations, in points, of the parts of one paired difference d[s, v] (see `intervals`).

    seed_sd: a seed's difference around its mean, beyond what the finite test set explains;
    video_sd: a video's own leaning to one method, shared by all seeds (0 for a method against itself);
    residual_sd: the rest of one cell, for a method against itself 100 sqrt(share of answers that differ).
    """

    seed_sd: float
    video_sd: float
    residual_sd: float


def resample_from(correct_SV: ArrayLike) -> Population:
    """The population that one method's records look like: top-1, seed variance and spread of difficulty.

    The seed variance is what the seeds' top-1 vary beyond chance on a finite test set; the spread of
    difficulty is the one at which two seeds agree on a video as often as they did. ValueError with one seed
    or one video.
    """
    x_SV = as_correct(correct_SV, "records").astype(float)
    S, V = x_SV.shape
    if S < 2 or V < 2:
        raise ValueError(f"seed and video variance need at least 2 seeds and 2 videos, got {S} x {V}")
    top1 = float(np.clip(x_SV.mean(), 0.5 / V, 1 - 0.5 / V))
    ms_seed, _, ms_residual = mean_squares(x_SV)
    seed_sd = float(np.sqrt(max(0.0, ms_seed - ms_residual) / V))
    right_V = x_SV.sum(0)
    both_right = float((right_V * (right_V - 1)).mean() / (S * (S - 1)))
    return Population(100 * top1, 100 * seed_sd, _difficulty(top1, both_right))


def simulate_pair(
    rng: np.random.Generator, population: Population, n_seeds: int, n_videos: int, difference: float = 0.0
) -> tuple[Bools, Bools]:
    """(new_SV, base_SV), seeds x videos, where new is `difference` points better in expectation."""
    base_V = rng.standard_normal(n_videos)
    own_V = rng.standard_normal(n_videos)
    new_V = population.shared * base_V + np.sqrt(1 - population.shared**2) * own_V
    new_SV = _answers(rng, population, population.top1 + difference, n_seeds, new_V)
    return new_SV, _answers(rng, population, population.top1, n_seeds, base_V)


def expected_components(population: Population, difference: float = 0.0) -> Components:
    """Components of a comparison in which new is `difference` points better and varies like base."""
    nodes_K, weights_K = np.polynomial.hermite_e.hermegauss(48)
    weights_KK = np.outer(weights_K, weights_K) / (2 * np.pi)
    own_KK = np.sqrt(1 - population.shared**2) * nodes_K[None, :]
    base_KK = _chance(np.array(population.top1 / 100), population.difficulty_sd, nodes_K[:, None])
    new_KK = _chance(
        np.array((population.top1 + difference) / 100),
        population.difficulty_sd,
        population.shared * nodes_K[:, None] + own_KK,
    )
    leaning = (weights_KK * (new_KK - base_KK) ** 2).sum() - (weights_KK * (new_KK - base_KK)).sum() ** 2
    chance = (weights_KK * (new_KK * (1 - new_KK) + base_KK * (1 - base_KK))).sum()
    return Components(
        seed_sd=float(np.sqrt(2) * population.seed_sd),
        video_sd=100 * float(np.sqrt(max(0.0, leaning))),
        residual_sd=100 * float(np.sqrt(chance)),
    )


def _chance(accuracy: Floats, h: float, difficulty: Floats) -> Floats:
    """Probability of a right answer, by the probit model above."""
    return ndtr(np.sqrt(1 + h * h) * ndtri(accuracy) + h * difficulty)


def _answers(
    rng: np.random.Generator, population: Population, top1: float, n_seeds: int, difficulty_V: Floats
) -> Bools:
    """Right/wrong (seeds x videos) of one method with expected top-1 `top1` (points)."""
    scale = np.sqrt((_HEAVY_FREE - 2) / _HEAVY_FREE)
    spread_S = (
        scale * rng.standard_t(_HEAVY_FREE, n_seeds) if population.heavy_tails else rng.normal(size=n_seeds)
    )
    accuracy_S = np.clip((top1 + population.seed_sd * spread_S) / 100, 0.001, 0.999)
    right_SV = _chance(accuracy_S[:, None], population.difficulty_sd, difficulty_V)
    return rng.random(right_SV.shape) < right_SV


def _difficulty(top1: float, both_right: float) -> float:
    """The `h` at which two seeds are both right on a share `both_right` of videos (bivariate normal)."""
    from scipy.optimize import brentq
    from scipy.stats import multivariate_normal  # half a second, for plans alone

    threshold = ndtri(top1)

    def excess(h: float) -> float:
        correlation = h * h / (1 + h * h)
        joint = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
        return float(joint.cdf([threshold, threshold])) - both_right

    if excess(0.0) >= 0:
        return 0.0
    return _HARDEST if excess(_HARDEST) <= 0 else float(brentq(excess, 0.0, _HARDEST, xtol=1e-3))

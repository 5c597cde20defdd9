"""What a comparison can detect: power, the smallest detectable difference.

Uses the variance model and the critical value of `intervals`, so a planned power is the power of the very
test that `paired.compare` runs. Everything is in points (percent of test videos).
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtri, ndtr, stdtrit

from harness.statistics.intervals import Errors, Floats, degrees_of_freedom, rounding_variance
from harness.statistics.population import Components, Population, expected_components

# Midpoints of equally likely slices of the chi-square distribution; more of them move power by < 0.1 point.
_SLICES = (np.arange(200) + 0.5) / 200


def power_at(
    difference: float, components: Components, n_seeds: int, n_videos: int, alpha: float = 0.05
) -> float:
    """Probability (0 to 1) that `paired.compare` finds a true `difference` of this size, in either direction.

    One seed or one video finds nothing: 0.
    """
    if n_seeds < 2 or n_videos < 2:
        return 0.0
    errors = _errors(components, n_seeds, n_videos)
    return _found(difference, _half_widths(errors, alpha), errors.total)


def smallest_detectable_difference(
    population: Population, n_seeds: int, n_videos: int, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """The gain, in points, of a new method that is found with probability `power`: what a plan prints.

    `population` is what the base looks like (`resample_from` its records); the new method is taken to vary
    alike, with normal seeds: where a few seeds stray far (Student's t with 3 degrees of freedom), more is
    found than planned (measured: 84 to 86 % for 80 %, 60 to 62 % for 50 %). None where no gain below 100 %
    top-1 is found that often: always with one seed or one video.
    """
    from scipy.optimize import brentq  # as below: only where a power is asked for

    _check(power, alpha)

    def excess(difference: float) -> float:
        components = expected_components(population, difference)
        return power_at(difference, components, n_seeds, n_videos, alpha) - power

    room = 99.9 - population.top1
    if room <= 0 or excess(room) < 0:
        return None
    return float(brentq(excess, 0.0, room, xtol=1e-3))


def detectable(errors: Errors, alpha: float = 0.05, power: float = 0.8) -> float:
    """The difference, in points, that a comparison with these measured errors finds with this power."""
    from scipy.optimize import brentq  # a quarter of a second, and tables and page ask for no power

    _check(power, alpha)
    half_K = _half_widths(errors, alpha)

    def excess(difference: float) -> float:
        return _found(difference, half_K, errors.total) - power

    # An upper end that is surely found: t with S - 1 degrees of freedom is the largest critical value.
    top = 20 * float(stdtrit(errors.n_seeds - 1, 1 - alpha / 2)) * errors.total
    return float(brentq(excess, 0.0, top, xtol=1e-12 * top))


def _check(power: float, alpha: float) -> None:
    if not alpha < power < 1:
        raise ValueError(f"power must lie between alpha ({alpha:g}) and 1, got {power:g}")


def _errors(components: Components, n_seeds: int, n_videos: int) -> Errors:
    """The standard errors that these components lead to."""
    residual = components.residual_sd**2 / (n_seeds * n_videos)
    seed = components.seed_sd**2 / n_seeds + residual + rounding_variance(n_seeds, n_videos)
    return Errors(seed, components.video_sd**2 / n_videos, residual, n_seeds, n_videos)


def _half_widths(errors: Errors, alpha: float) -> Floats:
    """Half widths of the interval, points, for equally likely seed spreads that a comparison may see.

    Only the spread of the few seeds is uncertain enough to matter; hundreds of videos pin the other parts.
    """
    free = errors.n_seeds - 1
    seed_K = errors.seed * chdtri(free, 1 - _SLICES) / free
    return stdtrit(degrees_of_freedom(errors, seed_K), 1 - alpha / 2) * np.sqrt(seed_K + errors.video)


def _found(difference: float, half_K: Floats, error: float) -> float:
    """Probability that a normal estimate around `difference` falls outside its interval around 0."""
    above_K, below_K = ndtr((difference - half_K) / error), ndtr((-half_K - difference) / error)
    return float((above_K + below_K).mean())

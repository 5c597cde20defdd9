"""Intervals: Student's t over seeds, and the two-level (seeds, then videos) bootstrap of a paired difference.

The variance model of a comparison. d[s, v] is 1 where only the new method is right, -1 where only the base
method is right, else 0, for seed s and test video v. Seeds and videos are crossed, and both are random: the
answer is meant for new seeds and for new videos of the same kind.

    d[s, v] = difference + seed[s] + video[v] + residual[s, v]
    variance of the mean = var_seed / S + var_video / V + var_residual / (S V)

A plain bootstrap of this layout is wrong in two ways. Resampling 3 to 5 seeds shows only (S - 1) / S of
their variance, and ignores that a spread seen in 3 seeds is itself uncertain: an interval of 1.96 such errors
finds a method different from itself in about 15 % (S = 5) to 21 % (S = 3) of comparisons. And resampling rows
and columns of cells counts the residual more than once (Owen 2007, "The pigeonhole bootstrap"). So, after the
random effect bootstrap (Carpenter, Goldstein and Rasbash 2003): draw seeds as seed effects, reflated by
sqrt(S / (S - 1)); draw videos as video effects, shrunk to carry var_video and not the residual (the seed
effects carry that already); take the standard error of the draws; multiply it by Student's t with
Satterthwaite's degrees of freedom. `benchmarks/bench_calibration.py` measures the false alarms of all this.

All results are in points (percent of videos).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from harness.base.errors import UserError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its interval (None where the data allow none); `kind` says how it was made."""

    mean: float
    low: float | None
    high: float | None
    n: int
    kind: str

    @property
    def excludes_zero(self) -> bool:
        """True where the interval exists and 0 lies outside it."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Errors:
    """The squared standard error of a mean difference, in points squared, by its source.

    `seed` is var_seed / S + var_residual / (S V), `video` is var_video / V; their sum is the whole.
    `residual` is var_residual / (S V) alone: how uncertain `video` is depends on it.
    """

    seed: float
    video: float
    residual: float
    n_seeds: int
    n_videos: int

    @property
    def total(self) -> float:
        """The standard error itself, in points."""
        return float(np.sqrt(self.seed + self.video))


@dataclass(frozen=True)
class Crossed:
    """A paired difference taken apart: the effects to draw from (points; shapes (S,), (V,)), its errors."""

    difference: float
    seed_effects: Floats
    video_effects: Floats
    errors: Errors


@dataclass(frozen=True)
class TwoLevel:
    """A difference's interval, two-sided p-value and layout (both None where there is no interval)."""

    interval: Interval
    p_value: float | None
    crossed: Crossed | None


def mean_interval(values: Sequence[float] | Floats, level: float = 0.95) -> Interval:
    """Mean of one number a seed, with Student's t interval over the seeds.

    One value gets no interval, and `kind` says so. UserError for no values, or values that are not finite.
    """
    x_S = np.asarray(values, dtype=float)
    if x_S.size == 0 or not np.isfinite(x_S).all():
        raise UserError(f"an interval needs finite numbers, one a seed; got {list(values)}")
    mean, n = float(x_S.mean()), x_S.size
    if n == 1:
        return Interval(mean, None, None, 1, "one seed: no interval")
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * x_S.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n, f"{100 * level:g} % Student t over {n} seeds")


def as_correct(correct_SV: ArrayLike, name: str) -> Bools:
    """`correct_SV` as a bool array of shape (seeds, test videos), or UserError naming `name`."""
    array = np.asarray(correct_SV)
    if array.ndim != 2 or 0 in array.shape:
        raise UserError(f"{name}: expected a table of seeds x test videos, got shape {array.shape}")
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise UserError(f"{name}: expected right/wrong (1/0) for each seed and video, got other values")
    return array.astype(bool)


def as_pair(correct_new_SV: ArrayLike, correct_base_SV: ArrayLike) -> tuple[Bools, Bools]:
    """Both tables as bool arrays of one shape; UserError where seeds or videos do not match."""
    new_SV, base_SV = as_correct(correct_new_SV, "new"), as_correct(correct_base_SV, "base")
    if new_SV.shape != base_SV.shape:
        raise UserError(
            f"a paired comparison needs the same seeds and test videos: new has {new_SV.shape[0]} seeds x "
            f"{new_SV.shape[1]} videos, base has {base_SV.shape[0]} x {base_SV.shape[1]}"
        )
    return new_SV, base_SV


def mean_squares(x_SV: Floats) -> tuple[float, float, float]:
    """Mean squares (seed, video, residual) of a two-way layout without replication; S and V at least 2."""
    S, V = x_SV.shape
    seed_S = x_SV.mean(1) - x_SV.mean()
    video_V = x_SV.mean(0) - x_SV.mean()
    residual_SV = x_SV - x_SV.mean() - seed_S[:, None] - video_V
    return (
        float(V * (seed_S**2).sum() / (S - 1)),
        float(S * (video_V**2).sum() / (V - 1)),
        float((residual_SV**2).sum() / ((S - 1) * (V - 1))),
    )


def crossed(x_SV: Floats) -> Crossed:
    """Take a layout in points (seeds x videos, at least 2 of both) apart into effects and standard errors."""
    S, V = x_SV.shape
    ms_seed, ms_video, ms_residual = mean_squares(x_SV)
    kept = max(0.0, ms_video - ms_residual) / ms_video if ms_video else 0.0
    seed = ms_seed / (S * V) + rounding_variance(S, V)
    return Crossed(
        difference=float(x_SV.mean()),
        seed_effects=(x_SV.mean(1) - x_SV.mean()) * np.sqrt(S / (S - 1)),
        video_effects=(x_SV.mean(0) - x_SV.mean()) * np.sqrt(kept * V / (V - 1)),
        errors=Errors(seed, kept * ms_video / (S * V), ms_residual / (S * V), S, V),
    )


def rounding_variance(n_seeds: int, n_videos: int) -> float:
    """Squared standard error, in points squared, left by a top-1 that moves in steps of one video (Sheppard).

    It matters only where a few seeds happen to have the very same difference, whose spread is not really 0.
    """
    return (100.0 / n_videos) ** 2 / 12 / n_seeds


def degrees_of_freedom(errors: Errors, seed_K: Floats) -> Floats:
    """Satterthwaite's degrees of freedom for each seed part `seed_K` that may be seen; at least S - 1.

    Two seeds keep 1 degree of freedom: there the approximation gave up to 11 % false alarms.
    """
    lowest = errors.n_seeds - 1
    if lowest == 1:
        return np.ones_like(seed_K)
    spread_K = (
        seed_K**2 / lowest
        + (errors.video + errors.residual) ** 2 / (errors.n_videos - 1)
        + errors.residual**2 / (lowest * (errors.n_videos - 1))
    )
    return np.maximum(lowest, (seed_K + errors.video) ** 2 / spread_K)


def bootstrap_draws(parts: Crossed, n_boot: int, rng: np.random.Generator) -> Floats:
    """(n_boot,) differences in points: seeds drawn with replacement, then videos, as corrected effects."""
    seeds_B = _resampled_means(parts.seed_effects, n_boot, rng)
    return parts.difference + seeds_B + _resampled_means(parts.video_effects, n_boot, rng)


def two_level(
    new_SV: Bools, base_SV: Bools, alpha: float = 0.05, n_boot: int = 10_000, rng_seed: int = 0
) -> TwoLevel:
    """Interval and p-value of the difference in top-1, new minus base; both tables seeds x videos, checked.

    The numbers do not depend on the order of seeds or videos, and change only their sign when new and base
    swap. One seed or one video gives the difference alone.
    """
    d_SV = 100.0 * (new_SV.astype(float) - base_SV)
    S, V = d_SV.shape
    if min(S, V) < 2:
        missing = "one seed" if S < 2 else "one video"
        return TwoLevel(Interval(float(d_SV.mean()), None, None, S, f"{missing}: no interval"), None, None)
    sign = -1.0 if d_SV.sum() < 0 else 1.0  # draw on one side, so that swapping new and base swaps the ends
    parts = crossed(sign * d_SV)
    draws_B = bootstrap_draws(parts, n_boot, np.random.default_rng(rng_seed))
    error = float(np.sqrt(draws_B.var() + rounding_variance(S, V)))
    df = float(degrees_of_freedom(parts.errors, np.array(parts.errors.seed)))
    estimate = sign * parts.difference
    half = float(stats.t.ppf(1 - alpha / 2, df)) * error
    p_value = float(2 * stats.t.sf(abs(estimate) / error, df))
    kind = f"{100 * (1 - alpha):g} % two-level bootstrap, {S} seeds x {V} videos"
    return TwoLevel(Interval(estimate, estimate - half, estimate + half, S, kind), p_value, parts)


def _resampled_means(effects_N: Floats, n_boot: int, rng: np.random.Generator) -> Floats:
    """Means of N draws with replacement, n_boot times: a multinomial over the few distinct values is as exact
    as drawing indices and hundreds of times cheaper, and does not depend on the order of the values."""
    levels, counts = np.unique(effects_N.round(9), return_counts=True)
    weights_BL = rng.multinomial(effects_N.size, counts / effects_N.size, size=n_boot)
    return weights_BL @ levels / effects_N.size

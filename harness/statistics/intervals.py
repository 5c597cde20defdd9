"""Intervals: Student's t over seeds, and a paired difference with crossed random effects, seeds and videos.

The variance model of a comparison. d[s, v] is 1 where only the new method is right, -1 where only the base
method is right, else 0, for seed s and test video v. Seeds and videos are crossed, and both are random: the
answer is meant for new seeds and for new videos of the same kind.

    d[s, v] = difference + seed[s] + video[v] + residual[s, v]
    variance of the mean = var_seed / S + var_video / V + var_residual / (S V)

All three are known in closed form from the mean squares of the two-way layout, so nothing is drawn: the interval is
Student's t with Satterthwaite's degrees of freedom (Searle, Casella and McCulloch 1992, "Variance Components", ch. 4
and 6). A plain bootstrap of the layout would be wrong: it shows only (S - 1) / S of the seeds' variance, ignores that a
spread seen in 3 seeds is itself uncertain, and counts the residual more than once (Owen 2007, "The pigeonhole
bootstrap"); it finds a method different from itself in 15 % (S = 5) to 21 % (S = 3) of comparisons.
`benchmarks/bench_calibration.py` measures the false alarms of both. What is no mean over videos: `resample`.

All results are in points (percent of videos).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A mean of `n` seeds and the ends of its interval; both None where the data allow none."""

    mean: float
    low: float | None
    high: float | None
    n: int

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
class Tested:
    """A difference's interval, two-sided p-value and errors (the last two None where there is no interval)."""

    interval: Interval
    p_value: float | None
    errors: Errors | None


def mean_interval(values: Sequence[float] | Floats, level: float = 0.95) -> Interval:
    """Mean of one number a seed, with Student's t interval over the seeds.

    One value gets no interval, nor do several equal ones: they show no spread to judge by (three dead networks agree
    to the last digit). ValueError for no values, or values that are not finite.
    """
    x_S = np.asarray(values, dtype=float)
    if x_S.size == 0 or not np.isfinite(x_S).all():
        raise ValueError(f"an interval needs finite numbers, one a seed; got {list(values)}")
    mean, n = float(x_S.mean()), x_S.size
    if n == 1 or x_S.min() == x_S.max():
        return Interval(mean, None, None, n)
    half = float(stdtrit(n - 1, (1 + level) / 2) * x_S.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def as_correct(correct_SV: ArrayLike, name: str) -> Bools:
    """`correct_SV` as a bool array of shape (seeds, test videos), or ValueError naming `name`."""
    array = np.asarray(correct_SV)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name}: expected a table of seeds x test videos, got shape {array.shape}")
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name}: expected right/wrong (1/0) for each seed and video, got other values")
    return array.astype(bool)


def as_pair(correct_new_SV: ArrayLike, correct_base_SV: ArrayLike) -> tuple[Bools, Bools]:
    """Both tables as bool arrays of one shape; ValueError where seeds or videos do not match."""
    new_SV, base_SV = as_correct(correct_new_SV, "new"), as_correct(correct_base_SV, "base")
    if new_SV.shape != base_SV.shape:
        raise ValueError(
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


def errors_of(x_SV: Floats) -> Errors:
    """The errors of the mean of a layout in points (seeds x videos, at least 2 of both)."""
    S, V = x_SV.shape
    ms_seed, ms_video, ms_residual = mean_squares(x_SV)
    return Errors(
        seed=ms_seed / (S * V) + rounding_variance(S, V),
        video=max(0.0, ms_video - ms_residual) / (S * V),
        residual=ms_residual / (S * V),
        n_seeds=S,
        n_videos=V,
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


def paired_difference(new_SV: Bools, base_SV: Bools, alpha: float = 0.05) -> Tested:
    """Interval and p-value of the difference in top-1, new minus base; both tables seeds x videos, checked.

    One seed or one video gives the difference alone.
    """
    d_SV = 100.0 * (new_SV.astype(float) - base_SV)
    if min(d_SV.shape) < 2:
        return Tested(Interval(float(d_SV.mean()), None, None, d_SV.shape[0]), None, None)
    return tested(float(d_SV.mean()), errors_of(d_SV), alpha)


def tested(difference: float, errors: Errors, alpha: float) -> Tested:
    """A difference (points) against 0, with these errors: Satterthwaite's t."""
    df = float(degrees_of_freedom(errors, np.array(errors.seed)))
    half = float(stdtrit(df, 1 - alpha / 2)) * errors.total
    p_value = float(2 * stdtr(df, -abs(difference) / errors.total))
    return Tested(Interval(difference, difference - half, difference + half, errors.n_seeds), p_value, errors)

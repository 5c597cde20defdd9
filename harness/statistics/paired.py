"""Is the new method better? One paired comparison, several with Holm's correction, and where they differ.

Both methods are tested on the same videos with the same seeds (a seed fixes data order and shared
initialisation). The answer comes from the crossed random effects of `intervals`; McNemar's exact test per seed
is a second opinion about two trained networks, not about the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr

from harness.statistics.intervals import Bools, Floats, Interval, Tested, as_pair, paired_difference
from harness.statistics.power import detectable
from harness.statistics.resample import Videos, resampled_difference

Verdict = Literal["better", "worse", "no difference", "one seed", "one video"]


@dataclass(frozen=True)
class McNemar:
    """Videos that only one of two trained networks gets right, and the exact two-sided p-value of it."""

    seed: int
    only_new: int
    only_base: int
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """New against base, in points of `metric`. `p_adjusted` (Holm) decides the verdict; alone it is `p_value`.

    `smallest_detectable` is the true difference that this test, with the spread that it saw, finds in 80 % of
    repetitions; None where no spread can be seen (one seed, one video, or `identical` answers).
    `family` is the number of comparisons that Holm's correction is over.
    """

    difference: float
    interval: Interval
    p_value: float | None
    p_adjusted: float | None
    verdict: Verdict
    smallest_detectable: float | None
    mcnemar: tuple[McNemar, ...]
    n_seeds: int
    n_videos: int
    alpha: float
    identical: bool
    family: int = 1
    metric: str = "top-1"


@dataclass(frozen=True)
class Mover:
    """A group of videos (a class, a factor): both methods' top-1 and their difference, in points.

    `low`, `high` and `p_adjusted` (Holm, over all groups) are None where one seed or one video allows none.
    """

    group: Hashable
    n_videos: int
    new: float
    base: float
    difference: float
    low: float | None
    high: float | None
    p_adjusted: float | None


@dataclass(frozen=True)
class Flip:
    """A video whose majority answer flipped: `place` among the videos, seeds that are right on either side."""

    place: int
    flip: Literal["gained", "lost"]
    new_right: int
    base_right: int


def compare(
    correct_new_SV: ArrayLike, correct_base_SV: ArrayLike, seeds: Sequence[int], *, alpha: float = 0.05
) -> Comparison:
    """Compare two methods' right/wrong answers; both tables are (seeds, test videos), rows in `seeds` order.

    Raises ValueError where the shapes differ, a value is not right/wrong, or `seeds` does not fit the rows.
    """
    new_SV, base_SV = as_pair(correct_new_SV, correct_base_SV)
    if len(seeds) != len(new_SV) or len(set(seeds)) != len(seeds):
        raise ValueError(f"{len(new_SV)} rows of answers need as many seeds, each once; got {list(seeds)}")
    result = paired_difference(new_SV, base_SV, alpha)
    tests = tuple(mcnemar_exact(n, b, s) for n, b, s in zip(new_SV, base_SV, seeds, strict=True))
    return _comparison(
        result, new_SV.shape[1], alpha, identical=np.array_equal(new_SV, base_SV), mcnemar=tests
    )


def compare_by(
    metric: str,
    difference_S: Callable[[Videos], Floats],
    n_videos: int,
    *,
    alpha: float = 0.05,
    n_draws: int = 400,
) -> Comparison:
    """As `compare`, by a metric that is no mean over videos (mAP; `resample`): no video is right or wrong."""
    result = resampled_difference(difference_S, n_videos, alpha=alpha, n_draws=n_draws)
    identical = result.errors is None and result.interval.n > 1 and n_videos > 1
    found = _comparison(result, n_videos, alpha, identical=identical, metric=metric)
    return replace(found, verdict="no difference") if identical else found  # rankings that never differ


def _comparison(
    result: Tested,
    n_videos: int,
    alpha: float,
    *,
    identical: bool,
    mcnemar: tuple[McNemar, ...] = (),
    metric: str = "top-1",
) -> Comparison:
    spread = None if identical else result.errors  # no spread to judge by is no test that detects anything
    return Comparison(
        difference=result.interval.mean,
        interval=result.interval,
        p_value=result.p_value,
        p_adjusted=result.p_value,
        verdict=_verdict(result.interval.mean, result.p_value, alpha, result.interval.n),
        smallest_detectable=None if spread is None else detectable(spread, alpha),
        mcnemar=mcnemar,
        n_seeds=result.interval.n,
        n_videos=n_videos,
        alpha=alpha,
        identical=identical,
        metric=metric,
    )


def corrected(alone: Mapping[str, Comparison], *, alpha: float = 0.05) -> dict[str, Comparison]:
    """Holm's correction over those that can be tested; intervals stay as they are, verdicts use `p_adjusted`."""
    family = sum(c.p_value is not None for c in alone.values())
    adjusted = dict(zip(alone, holm([c.p_value for c in alone.values()]), strict=True))
    return {
        name: replace(
            c,
            p_adjusted=adjusted[name],
            verdict=_verdict(c.difference, adjusted[name], alpha, c.n_seeds),
            family=max(1, family),
        )
        for name, c in alone.items()
    }


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment: an adjusted p-value below alpha keeps the family's error rate at alpha.

    None (nothing was tested) stays None and does not count.
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(tested):
        highest = max(highest, p * (len(tested) - rank))
        adjusted[i] = min(1.0, highest)
    return adjusted


def mcnemar_exact(new_V: Bools, base_V: Bools, seed: int) -> McNemar:
    """McNemar's exact test of two trained networks on the same videos (binomial over the disagreements)."""
    only_new, only_base = int((new_V & ~base_V).sum()), int((base_V & ~new_V).sum())
    fewer = min(only_new, only_base)
    p_value = min(1.0, 2 * float(bdtr(fewer, only_new + only_base, 0.5)))
    return McNemar(seed, only_new, only_base, p_value)


def per_class_movers(
    correct_new_SV: ArrayLike,
    correct_base_SV: ArrayLike,
    classes_V: Sequence[Hashable],
    *,
    alpha: float = 0.05,
) -> tuple[Mover, ...]:
    """One mover per class of video, the largest move first. `classes_V` labels each video."""
    new_SV, base_SV = as_pair(correct_new_SV, correct_base_SV)
    if len(classes_V) != new_SV.shape[1]:
        raise ValueError(f"{len(classes_V)} class labels for {new_SV.shape[1]} test videos")
    places: dict[Hashable, list[int]] = {}
    for place, label in enumerate(classes_V):
        places.setdefault(label, []).append(place)
    return _movers({k: (new_SV[:, own], base_SV[:, own]) for k, own in places.items()}, alpha)


def per_factor_movers(
    correct_new: Mapping[str, ArrayLike], correct_base: Mapping[str, ArrayLike], *, alpha: float = 0.05
) -> tuple[Mover, ...]:
    """Per factor (appearance, motion, order, position): as `per_class_movers`.

    Each factor has its own right/wrong table over the videos that it concerns, the same for both methods.
    """
    if set(correct_new) != set(correct_base):
        raise ValueError(f"factors differ: new has {sorted(correct_new)}, base has {sorted(correct_base)}")
    return _movers({k: as_pair(correct_new[k], correct_base[k]) for k in correct_new}, alpha)


def flips(correct_new_SV: ArrayLike, correct_base_SV: ArrayLike) -> tuple[Flip, ...]:
    """Videos whose majority answer flipped: more than half of one method's seeds right, of the other's wrong.

    The most decided flips first. A tie among an even number of seeds is no majority, and no flip.
    """
    new_SV, base_SV = as_pair(correct_new_SV, correct_base_SV)
    S = len(new_SV)
    new_V, base_V = new_SV.sum(0), base_SV.sum(0)
    gained_V, lost_V = (2 * new_V > S) & (2 * base_V < S), (2 * new_V < S) & (2 * base_V > S)
    found = [
        Flip(int(v), "gained" if gained_V[v] else "lost", int(new_V[v]), int(base_V[v]))
        for v in np.flatnonzero(gained_V | lost_V)
    ]
    return tuple(sorted(found, key=lambda flip: (-abs(flip.new_right - flip.base_right), flip.place)))


def _movers(groups: Mapping[Hashable, tuple[Bools, Bools]], alpha: float) -> tuple[Mover, ...]:
    results = {k: paired_difference(new_SV, base_SV, alpha) for k, (new_SV, base_SV) in groups.items()}
    adjusted = holm([result.p_value for result in results.values()])
    movers = [
        Mover(
            group=group,
            n_videos=groups[group][0].shape[1],
            new=100.0 * float(groups[group][0].mean()),
            base=100.0 * float(groups[group][1].mean()),
            difference=result.interval.mean,
            low=result.interval.low,
            high=result.interval.high,
            p_adjusted=p_adjusted,
        )
        for (group, result), p_adjusted in zip(results.items(), adjusted, strict=True)
    ]
    return tuple(sorted(movers, key=lambda mover: -abs(mover.difference)))


def _verdict(difference: float, p_value: float | None, alpha: float, n_seeds: int) -> Verdict:
    if p_value is None:
        return "one seed" if n_seeds == 1 else "one video"
    if p_value >= alpha:
        return "no difference"
    return "better" if difference > 0 else "worse"

"""Is the new method better? One paired comparison, several with Holm's correction, and where they differ.

Both methods are tested on the same videos with the same seeds (a seed fixes data order and shared
initialisation). The answer comes from the two-level bootstrap of `intervals`; McNemar's exact test per seed
is a second opinion about two trained networks, not about the methods.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from harness.base.errors import UserError
from harness.statistics.intervals import Bools, Interval, TwoLevel, as_pair, two_level
from harness.statistics.power import detectable

BETTER = "better"
WORSE = "worse"
NO_DIFFERENCE = "no difference detected"
ONE_SEED = "not decidable with one seed"
ONE_VIDEO = "not decidable with one test video"


@dataclass(frozen=True)
class McNemar:
    """Videos that only one of two trained networks gets right, and the exact two-sided p-value of it."""

    seed: int
    only_new: int
    only_base: int
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """New against base, in points of top-1. `p_adjusted` (Holm) decides the verdict; alone it is `p_value`.

    `smallest_detectable` is the true difference that this test, with the spread that it saw, finds in 80 % of
    repetitions; None where no spread can be seen (one seed, one video, identical answers).
    `notes` are sentences for the reader.
    """

    difference: float
    interval: Interval
    p_value: float | None
    p_adjusted: float | None
    verdict: str
    smallest_detectable: float | None
    mcnemar: tuple[McNemar, ...]
    n_seeds: int
    n_videos: int
    alpha: float
    notes: tuple[str, ...]


def compare(
    correct_new_SV: ArrayLike,
    correct_base_SV: ArrayLike,
    seeds: Sequence[int],
    *,
    alpha: float = 0.05,
    n_boot: int = 10_000,
    rng_seed: int = 0,
) -> Comparison:
    """Compare two methods' right/wrong answers; both tables are (seeds, test videos), rows in `seeds` order.

    Raises UserError where the shapes differ, a value is not right/wrong, or `seeds` does not fit the rows.
    """
    new_SV, base_SV = as_pair(correct_new_SV, correct_base_SV)
    _check_seeds(seeds, new_SV.shape[0])
    result = two_level(new_SV, base_SV, alpha, n_boot, rng_seed)
    return Comparison(
        difference=result.interval.mean,
        interval=result.interval,
        p_value=result.p_value,
        p_adjusted=result.p_value,
        verdict=_verdict(result.interval.mean, result.p_value, alpha, new_SV.shape[0]),
        smallest_detectable=_smallest_detectable(result, new_SV, base_SV, alpha),
        mcnemar=tuple(mcnemar_exact(n, b, s) for n, b, s in zip(new_SV, base_SV, seeds, strict=True)),
        n_seeds=new_SV.shape[0],
        n_videos=new_SV.shape[1],
        alpha=alpha,
        notes=_notes(new_SV, base_SV),
    )


def compare_many(
    rows: Mapping[str, tuple[ArrayLike, ArrayLike, Sequence[int]]], *, alpha: float = 0.05
) -> dict[str, Comparison]:
    """Several rows at once, each (new_SV, base_SV, seeds): Holm's correction over those that can be tested.

    Intervals stay those of each row alone; the verdict uses `p_adjusted`, and a note says where that matters.
    """
    alone = {name: compare(new, base, seeds, alpha=alpha) for name, (new, base, seeds) in rows.items()}
    tested = {name: c.p_value for name, c in alone.items() if c.p_value is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {
        name: _corrected(c, float(adjusted[name]), len(tested)) if name in adjusted else c
        for name, c in alone.items()
    }


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment: an adjusted p-value below alpha keeps the family's error rate at alpha."""
    p_K = np.asarray(p_values, dtype=float)
    order = np.argsort(p_K, kind="stable")
    stepped = np.maximum.accumulate(p_K[order] * np.arange(p_K.size, 0, -1))
    adjusted_K = np.empty_like(p_K)
    adjusted_K[order] = np.minimum(stepped, 1.0)
    return adjusted_K


def mcnemar_exact(new_V: Bools, base_V: Bools, seed: int) -> McNemar:
    """McNemar's exact test of two trained networks on the same videos (binomial over the disagreements)."""
    only_new, only_base = int((new_V & ~base_V).sum()), int((base_V & ~new_V).sum())
    disagreements = only_new + only_base
    p_value = stats.binomtest(only_new, disagreements, 0.5).pvalue if disagreements else 1.0
    return McNemar(seed, only_new, only_base, float(p_value))


def on_common_seeds(
    correct_new_SV: ArrayLike, seeds_new: Sequence[int], correct_base_SV: ArrayLike, seeds_base: Sequence[int]
) -> tuple[Bools, Bools, list[int]]:
    """Cut two methods to the seeds that both ran, in ascending order; UserError where they share none."""
    common = sorted(set(seeds_new) & set(seeds_base))
    if not common:
        raise UserError(
            f"the two methods share no seed: new ran {sorted(seeds_new)}, base ran {sorted(seeds_base)}; "
            "run one of them with the other's seeds"
        )
    new_SV = np.asarray(correct_new_SV)[[list(seeds_new).index(s) for s in common]]
    base_SV = np.asarray(correct_base_SV)[[list(seeds_base).index(s) for s in common]]
    return *as_pair(new_SV, base_SV), common


def per_class_movers(
    correct_new_SV: ArrayLike,
    correct_base_SV: ArrayLike,
    classes_V: Sequence[Hashable],
    *,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Per class of video: both methods' top-1, difference, interval, p-value after Holm; largest move first.

    Columns: group, n_videos, new, base, difference, low, high, p_adjusted. `classes_V` labels each video.
    """
    new_SV, base_SV = as_pair(correct_new_SV, correct_base_SV)
    labels_V = pd.Series(list(classes_V), dtype=object)
    if labels_V.size != new_SV.shape[1]:
        raise UserError(f"{labels_V.size} class labels for {new_SV.shape[1]} test videos")
    members = {label: (labels_V == label).to_numpy() for label in labels_V.unique()}
    return _movers({k: (new_SV[:, m], base_SV[:, m]) for k, m in members.items()}, alpha)


def per_factor_movers(
    correct_new: Mapping[str, ArrayLike], correct_base: Mapping[str, ArrayLike], *, alpha: float = 0.05
) -> pd.DataFrame:
    """Per factor (appearance, motion, order, position): as `per_class_movers`.

    Each factor has its own right/wrong table over the videos that it concerns, the same for both methods.
    """
    if set(correct_new) != set(correct_base):
        raise UserError(f"factors differ: new has {sorted(correct_new)}, base has {sorted(correct_base)}")
    return _movers({k: as_pair(correct_new[k], correct_base[k]) for k in correct_new}, alpha)


def flips(
    correct_new_SV: ArrayLike, correct_base_SV: ArrayLike, video_ids: Sequence[Hashable]
) -> pd.DataFrame:
    """Videos whose majority answer flipped: more than half of one method's seeds right, of the other's wrong.

    Columns: video, flip ("gained" or "lost"), new_right, base_right (counts of seeds), n_seeds; the most
    decided flips first. A tie among an even number of seeds is no majority, and no flip.
    """
    new_SV, base_SV = as_pair(correct_new_SV, correct_base_SV)
    S, V = new_SV.shape
    if len(video_ids) != V:
        raise UserError(f"{len(video_ids)} video ids for {V} test videos")
    new_V, base_V = new_SV.sum(0), base_SV.sum(0)
    gained_V, lost_V = (2 * new_V > S) & (2 * base_V < S), (2 * new_V < S) & (2 * base_V > S)
    frame = pd.DataFrame(
        {"video": list(video_ids), "flip": np.where(gained_V, "gained", "lost"), "new_right": new_V}
    ).assign(base_right=base_V, n_seeds=S)[gained_V | lost_V]
    strength = (frame["new_right"] - frame["base_right"]).abs()
    return frame.loc[strength.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _movers(groups: Mapping[Hashable, tuple[Bools, Bools]], alpha: float) -> pd.DataFrame:
    rows = [_mover(group, new_SV, base_SV, alpha) for group, (new_SV, base_SV) in groups.items()]
    frame = pd.DataFrame(rows)
    tested = frame["p_adjusted"].notna()
    frame.loc[tested, "p_adjusted"] = holm(frame.loc[tested, "p_adjusted"].tolist())
    order = frame["difference"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def _mover(group: Hashable, new_SV: Bools, base_SV: Bools, alpha: float) -> dict[str, object]:
    result: TwoLevel = two_level(new_SV, base_SV, alpha)
    return {
        "group": group,
        "n_videos": new_SV.shape[1],
        "new": 100.0 * float(new_SV.mean()),
        "base": 100.0 * float(base_SV.mean()),
        "difference": result.interval.mean,
        "low": np.nan if result.interval.low is None else result.interval.low,
        "high": np.nan if result.interval.high is None else result.interval.high,
        "p_adjusted": np.nan if result.p_value is None else result.p_value,
    }


def _verdict(difference: float, p_value: float | None, alpha: float, n_seeds: int) -> str:
    if p_value is None:
        return ONE_SEED if n_seeds == 1 else ONE_VIDEO
    if p_value >= alpha:
        return NO_DIFFERENCE
    return BETTER if difference > 0 else WORSE


def _smallest_detectable(result: TwoLevel, new_SV: Bools, base_SV: Bools, alpha: float) -> float | None:
    """Identical answers show no spread to judge by, rather than a test that would detect anything."""
    if result.crossed is None or np.array_equal(new_SV, base_SV):
        return None
    return detectable(result.crossed.errors, alpha)


def _corrected(alone: Comparison, p_adjusted: float, n_tested: int) -> Comparison:
    verdict = _verdict(alone.difference, p_adjusted, alone.alpha, alone.n_seeds)
    notes = alone.notes
    if verdict != alone.verdict:
        notes += (
            f"The interval alone excludes 0, but not after Holm's correction for {n_tested} comparisons.",
        )
    return replace(alone, p_adjusted=p_adjusted, verdict=verdict, notes=notes)


def _check_seeds(seeds: Sequence[int], n_rows: int) -> None:
    if len(seeds) != n_rows:
        raise UserError(f"{len(seeds)} seeds named ({list(seeds)}) for {n_rows} rows of answers")
    if len(set(seeds)) != len(seeds):
        raise UserError(f"a seed appears twice in {list(seeds)}: each seed counts once")


def _notes(new_SV: Bools, base_SV: Bools) -> tuple[str, ...]:
    S, V = new_SV.shape
    notes = []
    if S == 1:
        notes.append(
            "One seed: the spread between seeds is unknown, so nothing can be said about the two methods; "
            "McNemar's test says only whether these two trained networks differ on videos like these."
        )
    if S == 2:
        notes.append("Two seeds: the interval holds, but only a very large difference can be detected.")
    if 1 < V < 30:
        notes.append(f"Only {V} test videos: intervals are rough.")
    if np.array_equal(new_SV, base_SV):
        notes.append("Both are right and wrong on the same videos with every seed: no spread to judge by.")
    return tuple(notes)

"""Does our table tell the paper's story? Order of rows, never differences across datasets.

`paper` maps a row to the paper's top-1 (None where it prints none); `ours` maps a row to its right/wrong
answers (seeds x test videos; left out where there is no result), `seeds` to its seeds in the order of its answers.
All rows share the test videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from harness.statistics.intervals import Bools, Floats, as_correct, errors_of, paired_difference
from harness.statistics.paired import holm

Answers = Mapping[str, ArrayLike]
Seeds = Mapping[str, Sequence[int]]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Two rows on the seeds that both ran: a minus b in points, with the paired interval and p-value.

    The ends and p-values are None where they share fewer than 2 seeds (or there is one video); `p_adjusted` is
    Holm's, over the table. `n_seeds` counts the seeds that both ran.
    """

    row_a: str
    row_b: str
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    p_adjusted: float | None
    n_seeds: int

    @property
    def resolved(self) -> bool:
        """Whether the pair's own interval excludes 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Direction:
    """Two rows in the paper and here: a minus b, each in its own points. `same` is None for a tie in either.

    `paper_resolved`: whether the paper's test set can resolve the paper's own difference.
    """

    row_a: str
    row_b: str
    paper: float
    ours: float
    same: bool | None
    paper_resolved: bool


@dataclass(frozen=True)
class Tau:
    """Kendall's tau-b of our row means with the paper's; None where fewer than 2 rows differ in either."""

    value: float | None
    low: float | None
    high: float | None
    n_rows: int


@dataclass(frozen=True)
class Story:
    """All that is known about the order of a table's rows; `harness.reports.reading` puts it in a sentence."""

    pairs: tuple[Pair, ...]
    directions: tuple[Direction, ...]
    tau: Tau
    paper_videos: int
    missing: tuple[str, ...]


def tell(paper: Mapping[str, float | None], ours: Answers, seeds: Seeds, paper_videos: int = 5000) -> Story:
    """Every fact about a table's order."""
    means = {row: 100.0 * float(as_correct(answers, row).mean()) for row, answers in ours.items()}
    return Story(
        pairs=resolved_pairs(ours, seeds),
        directions=same_direction(paper, means, paper_videos),
        tau=kendall_tau(paper, ours, seeds),
        paper_videos=paper_videos,
        missing=tuple(row for row in paper if row not in ours),
    )


def resolved_pairs(ours: Answers, seeds: Seeds, *, alpha: float = 0.05) -> tuple[Pair, ...]:
    """Every pair of rows on the seeds that both ran."""
    found = [_pair(a, b, ours, seeds, alpha) for a, b in combinations(ours, 2)]
    adjusted = holm([pair.p_value for pair in found])
    return tuple(replace(pair, p_adjusted=p) for pair, p in zip(found, adjusted, strict=True))


def same_direction(
    paper: Mapping[str, float | None], ours: Mapping[str, float], paper_videos: int = 5000
) -> tuple[Direction, ...]:
    """Signs of all pairs of rows that have a number both in the paper and here (top-1, points)."""
    both = {row: value for row, value in paper.items() if value is not None and row in ours}
    return tuple(
        Direction(
            a,
            b,
            both[a] - both[b],
            ours[a] - ours[b],
            same=_same_sign(both[a] - both[b], ours[a] - ours[b]),
            paper_resolved=abs(both[a] - both[b]) >= paper_resolution(paper_videos, (both[a] + both[b]) / 2),
        )
        for a, b in combinations(both, 2)
    )


def paper_resolution(n_videos: int, top1: float, level: float = 0.95) -> float:
    """The smallest difference (points) that two single runs on `n_videos` can resolve at `top1` (points).

    Binomial, unpaired, one run each: the paper prints neither answers nor seeds. Spread between seeds comes
    on top, so this is a lower bound.
    """
    p = top1 / 100
    return 100 * float(ndtri((1 + level) / 2) * np.sqrt(2 * p * (1 - p) / n_videos))


def kendall_tau(
    paper: Mapping[str, float | None],
    ours: Answers,
    seeds: Seeds,
    *,
    alpha: float = 0.05,
    n_draws: int = 2000,
    rng_seed: int = 0,
) -> Tau:
    """Tau-b between the paper's order of rows and ours, with an interval over new seeds and new videos.

    The rows' means are moved by what seeds and videos move them by (jointly for all rows, since they share both),
    and tau is taken of each draw: it has no closed form. The interval is of percentiles, widened to hold the estimate
    where that lies at an end; it is rough for fewer than 5 rows. No interval without 2 seeds common to all.
    ValueError where rows have different test videos.
    """
    rows = [row for row, value in paper.items() if value is not None and row in ours]
    paper_R = np.array([paper[row] for row in rows], dtype=float)
    means_R = np.array([as_correct(ours[row], row).mean() for row in rows])
    value = float(_tau_b(paper_R, means_R[None])[0]) if len(rows) > 1 else np.nan
    if np.isnan(value):
        return Tau(None, None, None, len(rows))
    x_RSV = _on_seeds_of_all(rows, ours, seeds)
    if min(x_RSV.shape[1:]) < 2:
        return Tau(value, None, None, len(rows))
    means_BR = means_R * 100 + _shifts(x_RSV, alpha, n_draws, rng_seed)
    low, high = np.nanquantile(_tau_b(paper_R, means_BR), [alpha / 2, 1 - alpha / 2])
    return Tau(value, min(float(low), value), max(float(high), value), len(rows))


def _pair(a: str, b: str, ours: Answers, seeds: Seeds, alpha: float) -> Pair:
    a_SV, b_SV = as_correct(ours[a], a), as_correct(ours[b], b)
    common = sorted(set(seeds[a]) & set(seeds[b]))
    if not common:
        return Pair(a, b, 100 * float(a_SV.mean() - b_SV.mean()), None, None, None, None, 0)
    result = paired_difference(
        a_SV[[list(seeds[a]).index(s) for s in common]],
        b_SV[[list(seeds[b]).index(s) for s in common]],
        alpha,
    )
    interval = result.interval
    return Pair(a, b, interval.mean, interval.low, interval.high, result.p_value, None, len(common))


def _same_sign(paper: float, ours: float) -> bool | None:
    product = np.sign(round(paper, 9)) * np.sign(round(ours, 9))
    return None if product == 0 else bool(product > 0)


def _on_seeds_of_all(rows: Sequence[str], ours: Answers, seeds: Seeds) -> Bools:
    """(rows, seeds that every row ran, videos)."""
    tables = {row: as_correct(ours[row], row) for row in rows}
    if len({table.shape[1] for table in tables.values()}) > 1:
        sizes = ", ".join(f"{row} {table.shape[1]}" for row, table in tables.items())
        raise ValueError(f"rows of one table need the same test videos; they have {sizes}")
    common = sorted(set.intersection(*(set(seeds[row]) for row in rows)))
    return np.stack([tables[row][[list(seeds[row]).index(s) for s in common]] for row in rows])


def _shifts(x_RSV: Bools, alpha: float, n_draws: int, rng_seed: int) -> Floats:
    """(draws, rows): what new seeds and videos move each row by against the mean row, in points.

    Seeds and videos are drawn with replacement as effects of the right variance: seeds stretched by sqrt(S / (S - 1))
    and, for their small number, by t / z; videos shrunk to carry var_video and not the residual, which the seeds'
    spread holds already (Carpenter, Goldstein and Rasbash 2003).
    """
    _, S, V = x_RSV.shape
    points_RSV = 100.0 * x_RSV.astype(float)
    rest_RSV = points_RSV - points_RSV.mean(0)
    rest_RSV -= rest_RSV.mean((1, 2), keepdims=True)
    share_R = np.array([_video_share(row_SV) for row_SV in rest_RSV])
    stretch = stdtrit(S - 1, 1 - alpha / 2) / ndtri(1 - alpha / 2) * np.sqrt(S / (S - 1))
    seeds_BS, videos_BV = _resampled(S, V, n_draws, rng_seed)
    shift_BR = stretch * seeds_BS @ rest_RSV.mean(2).T / S
    return shift_BR + np.sqrt(share_R * V / (V - 1)) * (videos_BV @ rest_RSV.mean(1).T) / V


@lru_cache(maxsize=4)
def _resampled(S: int, V: int, n_draws: int, rng_seed: int) -> tuple[Counts, Counts]:
    """How often each draw takes each seed (draws, S) and each video (draws, V): the same for all tables."""
    rng = np.random.default_rng(rng_seed)
    return (
        rng.multinomial(S, np.full(S, 1 / S), size=n_draws),
        rng.multinomial(V, np.full(V, 1 / V), size=n_draws),
    )


def _video_share(x_SV: Floats) -> float:
    """How much of the spread between video means is the videos' own; the rest is residual."""
    errors = errors_of(x_SV)
    whole = errors.video + errors.residual
    return errors.video / whole if errors.video else 0.0


def _tau_b(x_R: Floats, y_BR: Floats) -> Floats:
    """Tau-b of one order with each of B others; NaN where either order is one single tie."""
    first, second = np.triu_indices(x_R.size, 1)
    x_P = np.sign((x_R[first] - x_R[second]).round(9))
    y_BP = np.sign((y_BR[:, first] - y_BR[:, second]).round(9))
    untied_B = np.sqrt((x_P != 0).sum() * (y_BP != 0).sum(1))
    with np.errstate(invalid="ignore"):
        return (y_BP @ x_P) / untied_B

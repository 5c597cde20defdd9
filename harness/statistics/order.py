"""Does our table tell the paper's story? Order of rows, never differences across datasets.

`paper` maps a row to the paper's top-1 (None where it prints none); `ours` maps a row to its right/wrong
answers (seeds x test videos; left out where there is no result). All rows share the test videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from harness.base.errors import UserError
from harness.statistics.intervals import Bools, Floats, as_correct, crossed, two_level
from harness.statistics.paired import holm, on_common_seeds

Answers = Mapping[str, ArrayLike]
Seeds = Mapping[str, Sequence[int]]

PAIR_COLUMNS = ["row_a", "row_b", "difference", "low", "high", "p_value", "p_adjusted", "resolved"]


@dataclass(frozen=True)
class Tau:
    """Kendall's tau-b of our row means with the paper's; None where fewer than 2 rows differ in either."""

    value: float | None
    low: float | None
    high: float | None
    n_rows: int


@dataclass(frozen=True)
class Directions:
    """Pairs of rows that point as in the paper, the other way, or nowhere (a tie in either).

    `paper_unresolved` counts the paper's own differences that its test set cannot resolve. `pairs` has the
    columns row_a, row_b, paper, ours (differences, a minus b, each in its own points), same (bool, or None
    for a tie) and paper_resolved.
    """

    same: int
    opposite: int
    tied: int
    paper_unresolved: int
    pairs: pd.DataFrame


@dataclass(frozen=True)
class Story:
    """All that is known about the order of a table's rows; `reading` puts it in a sentence."""

    resolved: pd.DataFrame
    directions: Directions
    tau: Tau
    paper_videos: int
    missing: tuple[str, ...]


def tell(paper: Mapping[str, float | None], ours: Answers, seeds: Seeds, paper_videos: int = 5000) -> Story:
    """Every fact about a table's order. `seeds` names each row's seeds, in the order of its answers."""
    means = {row: 100.0 * float(as_correct(answers, row).mean()) for row, answers in ours.items()}
    return Story(
        resolved=resolved_pairs(ours, seeds),
        directions=same_direction(paper, means, paper_videos),
        tau=kendall_tau(paper, ours, seeds),
        paper_videos=paper_videos,
        missing=tuple(row for row in paper if row not in ours),
    )


def resolved_pairs(ours: Answers, seeds: Seeds, *, alpha: float = 0.05) -> pd.DataFrame:
    """Every pair of rows on the seeds that both ran: the paired difference (a minus b, points) and interval.

    Columns: PAIR_COLUMNS. `resolved` is true where the pair's own interval excludes 0; `p_adjusted` is
    Holm's, over the table. Rows that share fewer than 2 seeds stay unresolved, with NaN ends.
    """
    found = [_pair(a, b, ours, seeds, alpha) for a, b in combinations(ours, 2)]
    frame = pd.DataFrame(found, columns=PAIR_COLUMNS)
    tested = frame["p_value"].notna()
    frame.loc[tested, "p_adjusted"] = holm(frame.loc[tested, "p_value"].tolist())
    return frame.astype({"resolved": bool, "p_adjusted": float})


def same_direction(
    paper: Mapping[str, float | None], ours: Mapping[str, float], paper_videos: int = 5000
) -> Directions:
    """Compare signs of all pairs of rows that have a number both in the paper and here (top-1, points)."""
    both = {row: value for row, value in paper.items() if value is not None and row in ours}
    pairs = [
        {
            "row_a": a,
            "row_b": b,
            "paper": both[a] - both[b],
            "ours": ours[a] - ours[b],
            "same": _same_sign(both[a] - both[b], ours[a] - ours[b]),
            "paper_resolved": abs(both[a] - both[b])
            >= paper_resolution(paper_videos, (both[a] + both[b]) / 2),
        }
        for a, b in combinations(both, 2)
    ]
    same = [pair["same"] for pair in pairs]
    return Directions(
        same=same.count(True),
        opposite=same.count(False),
        tied=same.count(None),
        paper_unresolved=sum(not pair["paper_resolved"] for pair in pairs),
        pairs=pd.DataFrame(pairs, columns=["row_a", "row_b", "paper", "ours", "same", "paper_resolved"]),
    )


def paper_resolution(n_videos: int, top1: float, level: float = 0.95) -> float:
    """The smallest difference (points) that two single runs on `n_videos` can resolve at `top1` (points).

    Binomial, unpaired, one run each: the paper prints neither answers nor seeds. Spread between seeds comes
    on top, so this is a lower bound.
    """
    p = top1 / 100
    return 100 * float(stats.norm.ppf((1 + level) / 2) * np.sqrt(2 * p * (1 - p) / n_videos))


def kendall_tau(
    paper: Mapping[str, float | None],
    ours: Answers,
    seeds: Seeds,
    *,
    alpha: float = 0.05,
    n_boot: int = 2000,
    rng_seed: int = 0,
) -> Tau:
    """Tau-b between the paper's order of rows and ours, with a two-level bootstrap interval.

    Seeds, then videos are drawn jointly for all rows, as corrected effects (see `intervals`), the seeds
    stretched by t / z for their small number. The interval is of percentiles, widened to hold the estimate
    where that lies at an end; it is rough for fewer than 5 rows. No interval without 2 seeds common to all.
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
    means_BR = means_R * 100 + _shifts(x_RSV, alpha, n_boot, np.random.default_rng(rng_seed))
    low, high = np.nanquantile(_tau_b(paper_R, means_BR), [alpha / 2, 1 - alpha / 2])
    return Tau(value, min(float(low), value), max(float(high), value), len(rows))


def reading(story: Story) -> str:
    """One short plain sentence or two about the table, made from `story` alone."""
    parts = [_resolved_text(story.resolved), _direction_text(story), _paper_text(story), _missing_text(story)]
    return " ".join(part for part in parts if part)


def _resolved_text(resolved: pd.DataFrame) -> str:
    n = len(resolved)
    if n == 0:
        return "Fewer than two rows have results: there is nothing to order."
    count = int(resolved["resolved"].sum())
    if n == 1:
        return f"The one pair of rows is {'' if count else 'not '}resolved here."
    return f"{count} of {n} pairs of rows {'is' if count == 1 else 'are'} resolved here."


def _direction_text(story: Story) -> str:
    d = story.directions
    if d.pairs.empty:
        return "" if story.resolved.empty else "The paper gives no two numbers to order these rows by."
    n = len(d.pairs)
    if n == 1:
        way = "points the same way" if d.same else "points the other way" if d.opposite else "meets a tie"
        return f"The paper's difference {way}."
    text = f"{d.same} of the paper's {n} differences {'points' if d.same == 1 else 'point'} the same way"
    if d.tied:
        text += f", {d.tied} {'is' if d.tied == 1 else 'are'} tied"
    return f"{text}{_tau_text(story.tau)}."


def _tau_text(tau: Tau) -> str:
    if tau.value is None or tau.n_rows < 3:
        return ""
    interval = "" if tau.low is None else f", 95 % interval {tau.low:.2f} to {tau.high:.2f}"
    return f" (Kendall's tau {tau.value:.2f}{interval})"


def _paper_text(story: Story) -> str:
    n, unresolved = len(story.directions.pairs), story.directions.paper_unresolved
    if not unresolved:
        return ""
    subject = "It is" if n == 1 else f"{unresolved} of the paper's own differences are"
    if n > 1 and unresolved == 1:
        subject = "1 of the paper's own differences is"
    return f"{subject} smaller than its {story.paper_videos:,} test videos can resolve."


def _missing_text(story: Story) -> str:
    n = len(story.missing)
    return f"{n} row{'s have' if n > 1 else ' has'} no result yet." if n else ""


def _pair(a: str, b: str, ours: Answers, seeds: Seeds, alpha: float) -> list[object]:
    if not set(seeds[a]) & set(seeds[b]):
        difference = 100 * float(as_correct(ours[a], a).mean() - as_correct(ours[b], b).mean())
        return [a, b, difference, np.nan, np.nan, np.nan, np.nan, False]
    a_SV, b_SV, _ = on_common_seeds(ours[a], seeds[a], ours[b], seeds[b])
    result = two_level(a_SV, b_SV, alpha)
    interval = result.interval
    if interval.low is None:
        return [a, b, interval.mean, np.nan, np.nan, np.nan, np.nan, False]
    ends = [interval.low, interval.high, result.p_value, np.nan]
    return [a, b, interval.mean, *ends, interval.excludes_zero]


def _same_sign(paper: float, ours: float) -> bool | None:
    product = np.sign(round(paper, 9)) * np.sign(round(ours, 9))
    return None if product == 0 else bool(product > 0)


def _on_seeds_of_all(rows: Sequence[str], ours: Answers, seeds: Seeds) -> Bools:
    """(rows, seeds that every row ran, videos)."""
    tables = {row: as_correct(ours[row], row) for row in rows}
    if len({table.shape[1] for table in tables.values()}) > 1:
        sizes = ", ".join(f"{row} {table.shape[1]}" for row, table in tables.items())
        raise UserError(f"rows of one table need the same test videos; they have {sizes}")
    common = sorted(set.intersection(*(set(seeds[row]) for row in rows)))
    return np.stack([tables[row][[list(seeds[row]).index(s) for s in common]] for row in rows])


def _shifts(x_RSV: Bools, alpha: float, n_boot: int, rng: np.random.Generator) -> Floats:
    """(n_boot, rows) draws of what seeds and videos move each row by against the mean row, in points."""
    _, S, V = x_RSV.shape
    points_RSV = 100.0 * x_RSV.astype(float)
    parts = [crossed(row_SV) for row_SV in points_RSV - points_RSV.mean(0)]
    stretch = stats.t.ppf(1 - alpha / 2, S - 1) / stats.norm.ppf(1 - alpha / 2)
    seeds_BS = rng.multinomial(S, np.full(S, 1 / S), size=n_boot)
    videos_BV = rng.multinomial(V, np.full(V, 1 / V), size=n_boot)
    seed_SR = np.stack([part.seed_effects for part in parts], axis=1)
    video_VR = np.stack([part.video_effects for part in parts], axis=1)
    return stretch * seeds_BS @ seed_SR / S + videos_BV @ video_VR / V


def _tau_b(x_R: Floats, y_BR: Floats) -> Floats:
    """Tau-b of one order with each of B others; NaN where either order is one single tie."""
    first, second = np.triu_indices(x_R.size, 1)
    x_P = np.sign((x_R[first] - x_R[second]).round(9))
    y_BP = np.sign((y_BR[:, first] - y_BR[:, second]).round(9))
    untied_B = np.sqrt((x_P != 0).sum() * (y_BP != 0).sum(1))
    with np.errstate(invalid="ignore"):
        return (y_BP @ x_P) / untied_B

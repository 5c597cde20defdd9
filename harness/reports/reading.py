"""The sentence under a table, made from statistics of the records and never by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.experiment.paper import PaperTable
from harness.methods.evidence import Evidence, RowEvidence
from harness.results.answers import answers
from harness.statistics.order import Story, reading, tell

Bools = NDArray[np.bool_]


def right_answers(row: RowEvidence) -> Bools:
    """(seeds, videos) right or wrong of a row's records, seeds and videos in ascending order."""
    return np.stack(
        [answers(root, i).right for root, i in zip(row.done["root"], row.done["id"], strict=True)]
    )


def story_of(evidence: Evidence, paper: PaperTable | None) -> Story | None:
    """Every fact about the order of a table's rows; None where no row has a record."""
    rows = [row for row in evidence.rows if len(row.done)]
    if not rows:
        return None
    printed = paper.values("top1") if paper is not None else {}
    return tell(
        {row.row.name: printed.get(row.row.paper_row) for row in evidence.rows},
        {row.row.name: right_answers(row) for row in rows},
        {row.row.name: row.seeds for row in rows},
        paper.test_videos if paper is not None and paper.test_videos else 5000,
    )


def reading_of(story: Story | None) -> str:
    """One or two sentences: pairs resolved, pairs that point as in the paper, tau, the paper's own limits."""
    return "" if story is None else reading(story)


def resolved_note(story: Story | None) -> tuple[str, ...]:
    """The resolved pairs by name and size, the largest first."""
    if story is None or not story.resolved["resolved"].any():
        return ()
    pairs = story.resolved[story.resolved["resolved"]]
    order = pairs["difference"].abs().sort_values(ascending=False).index
    texts = [_pair(*pairs.loc[i, ["row_a", "row_b", "difference", "low", "high"]]) for i in order]
    after_holm = int((story.resolved["p_adjusted"] < 0.05).sum())
    return (
        "Resolved pairs, points of top-1 with the paired 95 % interval "
        f"({after_holm} of {len(texts)} also after Holm's correction over the table): {'; '.join(texts)}.",
    )


def _pair(a: str, b: str, difference: float, low: float, high: float) -> str:
    if difference < 0:
        a, b, difference, low, high = b, a, -difference, -high, -low
    return f"{a} over {b} by {difference:.1f} ({low:.1f} to {high:.1f})"

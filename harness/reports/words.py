"""Words for what `harness.statistics` finds: one place for the report page, the tables and `harness compare`."""

from __future__ import annotations

import json
from collections.abc import Iterable

from harness.statistics.paired import Comparison

VERDICTS: dict[str, str] = {
    "better": "better",
    "worse": "worse",
    "no difference": "no difference detected",
    "one seed": "not decidable with one seed",
    "one video": "not decidable with one test video",
}
CAUTIONS = {
    "one_seed": "One seed: the spread between seeds is unknown, so nothing can be said about the two methods; "
    "McNemar's test says only whether these two trained networks differ on videos like these.",
    "two_seeds": "Two seeds: the interval holds, but only a very large difference can be detected.",
    "few_videos": "Only {n} test videos: intervals are rough.",
    "identical": "Both are right and wrong on the same videos with every seed: no spread to judge by.",
    "identical_map": "Both rank the videos alike with every seed and in every draw: no spread to judge by.",
    "holm": "The interval alone excludes 0, but not after Holm's correction for {n} comparisons.",
}


def cautions(result: Comparison) -> list[str]:
    """Sentences on how far a verdict carries."""
    found = []
    if result.n_seeds == 1:
        found.append(CAUTIONS["one_seed"])
    if result.n_seeds == 2:
        found.append(CAUTIONS["two_seeds"])
    if 1 < result.n_videos < 30:
        found.append(CAUTIONS["few_videos"].format(n=result.n_videos))
    if result.identical:
        found.append(CAUTIONS["identical_map" if result.metric == "mAP" else "identical"])
    if result.verdict == "no difference" and result.interval.excludes_zero:
        found.append(CAUTIONS["holm"].format(n=result.family))
    return found


def left_out(excluded: Iterable[object]) -> str:
    """How many listed videos the numbers stand without, a copy that lost some being another test set; "" for none.

    excluded: what records say (`provenance_excluded_videos`: role -> videos, as JSON); one without a text says nothing
    """
    copies = [json.loads(text) for text in sorted({text for text in excluded if isinstance(text, str)})]
    counts = " or ".join(
        f"{copy.get('report', 0):,} (in training {copy.get('train', 0) + copy.get('select', 0):,})"
        for copy in copies
    )
    return f"listed but missing or broken, and in no number: {counts}" if counts else ""

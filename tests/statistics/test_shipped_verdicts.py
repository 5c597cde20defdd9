"""The closed form gives every pair of the first shipped methods the verdict that 10,000 bootstrap draws gave it.

`tests/golden/verdicts_two_level_bootstrap.csv` was written once by the two-level bootstrap of commit c0ca9e4, at its
default random seed; `verdicts_right.npz` holds which of the 480 test videos each seed of those 26 methods had right
(bits; the first version's baselines). A method is named by its trial of the first seed.
"""

from __future__ import annotations

import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from harness.statistics.paired import compare

GOLDEN = Path(__file__).parents[1] / "golden"


def test_all_pairs_keep_their_verdict() -> None:
    with np.load(GOLDEN / "verdicts_right.npz") as packed:
        right = {first: np.unpackbits(packed[first], axis=1).astype(bool) for first in packed}
    with (GOLDEN / "verdicts_two_level_bootstrap.csv").open(encoding="utf-8") as file:
        old = {frozenset((line["new"], line["base"])): line for line in csv.DictReader(file)}
    assert len(right) == 26 and len(old) == 325
    nearest = 1.0
    for pair in combinations(right, 2):
        line = old[frozenset(pair)]
        new_SV, base_SV = right[line["new"]], right[line["base"]]
        found = compare(new_SV, base_SV, range(len(new_SV)))
        assert found.verdict == line["verdict"], pair
        # The draws knew their own spread to 0.7 %: that is all that moves.
        assert found.p_value == pytest.approx(float(line["p_value"]), rel=0.25, abs=2e-3)
        nearest = min(nearest, abs(found.p_value - 0.05))
    assert nearest == pytest.approx(0.0018, abs=1e-4)  # the pair that one random seed in twenty turned

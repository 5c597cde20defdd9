"""The sentences under a table, from a story told by statistics."""

from __future__ import annotations

import numpy as np
import pytest

from harness.reports.reading import reading_of, resolved_note
from harness.statistics import order
from tests.statistics.test_order import OURS, PAPER, SEEDS


def test_the_reading_states_the_facts() -> None:
    story = order.tell(PAPER | {"I3D 16x1": 73.4}, OURS, SEEDS)
    assert reading_of(story) == (
        "5 of 6 pairs of rows are resolved here. 6 of the paper's 6 differences point the same way "
        f"(Kendall's tau {story.tau.value:.2f}, 95 % interval 0.67 to 1.00). 1 of the paper's own "
        "differences is smaller than its 5,000 test videos can resolve. 1 row has no result yet."
    )


@pytest.mark.parametrize(
    ("paper", "rows", "expected"),
    [
        (
            PAPER,
            [],
            "Fewer than two rows have results: there is nothing to order. 4 rows have no result yet.",
        ),
        (
            {"DSA": 77.3},
            ["DSA"],
            "Fewer than two rows have results: there is nothing to order.",
        ),
        (
            {"I3D": None, "DSA": None},
            ["I3D", "DSA"],
            "The one pair of rows is resolved here. The paper gives no two numbers to order these rows by.",
        ),
        (
            {"V4D": 75.6, "DSA": 75.6},
            ["V4D", "DSA"],
            "The one pair of rows is not resolved here. The paper's difference meets a tie. "
            "It is smaller than its 5,000 test videos can resolve.",
        ),
        (
            {"I3D": 72.2, "DSA": 77.3},
            ["I3D", "DSA"],
            "The one pair of rows is resolved here. The paper's difference points the same way.",
        ),
    ],
)
def test_the_reading_of_poor_tables(paper: dict[str, float | None], rows: list[str], expected: str) -> None:
    assert reading_of(order.tell(paper, {row: OURS[row] for row in rows}, SEEDS)) == expected


def test_resolved_pairs_are_named_the_largest_first() -> None:
    (note,) = resolved_note(order.tell(PAPER, OURS, SEEDS))
    assert note.startswith(
        "Resolved pairs, points of top-1 with the paired 95 % interval (5 of 5 also after Holm"
    )
    first, *others = note.split("): ", 1)[1].split("; ")
    assert first.startswith("DSA over I3D by ") and len(others) == 4
    alike = {"I3D": OURS["I3D"], "TSN": np.roll(OURS["I3D"], 1, axis=1)}
    assert resolved_note(order.tell(PAPER, alike, SEEDS)) == resolved_note(None) == ()

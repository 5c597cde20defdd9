"""Order of a table's rows: resolved pairs, directions, tau, the paper's resolution, and the sentence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.base.errors import UserError
from harness.statistics import order


def answers(top1: float, seed: int, S: int = 5, V: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).random((S, V)) < top1


OURS = {"I3D": answers(0.54, 0), "TSN": answers(0.66, 1), "V4D": answers(0.86, 2), "DSA": answers(0.862, 3)}
SEEDS = {row: list(range(5)) for row in OURS}
# Table (a) of the paper, Mini-Kinetics-200 (method.md), as far as these rows go.
PAPER = {"I3D": 72.2, "TSN": 73.0, "V4D": 75.6, "DSA": 77.3}


def test_pairs_are_resolved_where_the_interval_excludes_zero() -> None:
    frame = order.resolved_pairs(OURS, SEEDS)
    assert list(frame.columns) == order.PAIR_COLUMNS
    assert len(frame) == 6
    by_pair = frame.set_index(["row_a", "row_b"])["resolved"].to_dict()
    assert by_pair.pop(("V4D", "DSA")) is False
    assert all(by_pair.values())
    assert (frame["resolved"] == ((frame["low"] > 0) | (frame["high"] < 0))).all()
    assert (frame["p_adjusted"] >= frame["p_value"]).all()


def test_rows_with_other_seeds_are_paired_on_the_common_ones() -> None:
    ours = {
        "a": answers(0.9, 0),
        "b": answers(0.5, 1)[:3],
        "c": answers(0.5, 2)[:1],
        "d": answers(0.5, 3)[:2],
    }
    seeds = {"a": [0, 1, 2, 3, 4], "b": [4, 2, 0], "c": [1], "d": [8, 9]}
    frame = order.resolved_pairs(ours, seeds).set_index(["row_a", "row_b"])
    kept_a, kept_b = ours["a"][[0, 2, 4]], ours["b"][[2, 1, 0]]
    assert frame.loc[("a", "b"), "difference"] == pytest.approx(100 * (kept_a.mean() - kept_b.mean()))
    assert frame.loc[("a", "b"), "resolved"]
    assert frame.loc[("a", "c"), ["low", "p_value"]].isna().all()  # one common seed
    assert frame.loc[("a", "d"), ["low", "p_value"]].isna().all()  # none
    assert not frame.loc[[("a", "c"), ("a", "d")], "resolved"].any()


def test_one_row_has_no_pair() -> None:
    assert order.resolved_pairs({"a": OURS["DSA"]}, SEEDS | {"a": range(5)}).empty


def test_directions_are_counted_with_ties_and_gaps() -> None:
    paper = {"a": 70.0, "b": 75.0, "c": 75.0, "d": None, "e": 80.0}
    found = order.same_direction(paper, {"a": 50.0, "b": 60.0, "c": 55.0, "d": 1.0})
    assert (found.same, found.opposite, found.tied) == (2, 0, 1)
    assert found.pairs[["row_a", "row_b"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert order.same_direction(paper, {"a": 60.0, "b": 50.0}).opposite == 1


def test_the_papers_resolution_is_binomial() -> None:
    # 1.96 sqrt(2 x .75 x .25 / 5000) = 1.70 points
    assert order.paper_resolution(5000, 75.0) == pytest.approx(1.697, abs=0.001)
    assert order.paper_resolution(20000, 75.0) == pytest.approx(1.697 / 2, abs=0.001)
    found = order.same_direction({"a": 75.0, "b": 76.6, "c": 76.8}, {"a": 1.0, "b": 2.0, "c": 3.0})
    assert found.paper_unresolved == 2  # 1.6 and 0.2; 1.8 is resolved
    assert found.pairs["paper_resolved"].tolist() == [False, True, False]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=8))
def test_tau_b_is_scipys(values: list[tuple[int, int]]) -> None:
    x_R, y_R = np.array(values, dtype=float).T
    found = order._tau_b(x_R, y_R[None])[0]
    assert found == pytest.approx(stats.kendalltau(x_R, y_R).statistic, nan_ok=True)


def test_tau_has_an_interval_that_holds_it_and_knows_what_is_close() -> None:
    tau = order.kendall_tau(PAPER, OURS, SEEDS)
    assert tau.n_rows == 4
    assert tau.low <= tau.value <= tau.high <= 1
    assert tau.low == pytest.approx(2 / 3)  # V4D and DSA may swap, the others may not
    clear = {"I3D": answers(0.2, 0), "TSN": answers(0.5, 1), "DSA": answers(0.9, 2)}
    assert order.kendall_tau(PAPER, clear, SEEDS) == order.Tau(1.0, 1.0, 1.0, 3)


def test_spread_between_seeds_widens_tau() -> None:
    # Equal means from seeds that agree, or from seeds 40 points apart in opposite directions.
    apart = np.linspace(-0.2, 0.2, 5)
    steady = {"TSN": answers(0.6, 0, V=4000), "DSA": answers(0.64, 1, V=4000)}
    spread = {
        "TSN": np.stack([answers(0.6 + a, k, 1, 4000)[0] for k, a in enumerate(apart)]),
        "DSA": np.stack([answers(0.64 - a, 9 + k, 1, 4000)[0] for k, a in enumerate(apart)]),
    }
    assert order.kendall_tau(PAPER, steady, SEEDS).low == 1.0
    assert order.kendall_tau(PAPER, spread, SEEDS).low == -1.0


def test_tau_without_enough_to_go_on() -> None:
    assert order.kendall_tau({"I3D": 70.0}, OURS, SEEDS).value is None
    assert order.kendall_tau({"I3D": 70.0, "TSN": 70.0}, OURS, SEEDS).value is None  # one tie
    one_seed = {row: a[:1] for row, a in OURS.items()}
    tau = order.kendall_tau(PAPER, one_seed, {row: [0] for row in OURS})
    assert (tau.value is not None, tau.low, tau.high) == (True, None, None)
    with pytest.raises(UserError, match="same test videos"):
        order.kendall_tau(PAPER, OURS | {"DSA": answers(0.9, 3, V=100)}, SEEDS)


def test_the_reading_states_the_facts() -> None:
    story = order.tell(PAPER | {"I3D 16x1": 73.4}, OURS, SEEDS)
    assert order.reading(story) == (
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
    assert order.reading(order.tell(paper, {row: OURS[row] for row in rows}, SEEDS)) == expected

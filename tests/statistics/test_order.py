"""Order of a table's rows: resolved pairs, directions, tau, and the paper's resolution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.statistics import order


def answers(top1: float, seed: int, S: int = 5, V: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).random((S, V)) < top1


OURS = {"I3D": answers(0.54, 0), "TSN": answers(0.66, 1), "V4D": answers(0.86, 2), "DSA": answers(0.862, 3)}
SEEDS = {row: list(range(5)) for row in OURS}
# Table (a) of the paper, Mini-Kinetics-200 (method.md), as far as these rows go.
PAPER = {"I3D": 72.2, "TSN": 73.0, "V4D": 75.6, "DSA": 77.3}


def by_rows(pairs: tuple[order.Pair, ...]) -> dict[tuple[str, str], order.Pair]:
    return {(pair.row_a, pair.row_b): pair for pair in pairs}


def test_pairs_are_resolved_where_the_interval_excludes_zero() -> None:
    pairs = order.resolved_pairs(OURS, SEEDS)
    assert len(pairs) == 6
    resolved = {rows: pair.resolved for rows, pair in by_rows(pairs).items()}
    assert resolved.pop(("V4D", "DSA")) is False
    assert all(resolved.values())
    assert all(pair.resolved == (pair.low > 0 or pair.high < 0) for pair in pairs)
    assert all(pair.p_adjusted >= pair.p_value for pair in pairs)


def test_rows_with_other_seeds_are_paired_on_the_common_ones() -> None:
    ours = {
        "a": answers(0.9, 0),
        "b": answers(0.5, 1)[:3],
        "c": answers(0.5, 2)[:1],
        "d": answers(0.5, 3)[:2],
    }
    seeds = {"a": [0, 1, 2, 3, 4], "b": [4, 2, 0], "c": [1], "d": [8, 9]}
    pairs = by_rows(order.resolved_pairs(ours, seeds))
    kept_a, kept_b = ours["a"][[0, 2, 4]], ours["b"][[2, 1, 0]]
    assert pairs["a", "b"].difference == pytest.approx(100 * (kept_a.mean() - kept_b.mean()))
    assert pairs["a", "b"].resolved and pairs["a", "b"].n_seeds == 3
    for rows, n_seeds in {("a", "c"): 1, ("a", "d"): 0}.items():
        pair = pairs[rows]
        assert (pair.n_seeds, pair.low, pair.p_value, pair.resolved) == (n_seeds, None, None, False)


def test_one_row_has_no_pair() -> None:
    assert order.resolved_pairs({"a": OURS["DSA"]}, SEEDS | {"a": range(5)}) == ()


def test_directions_are_counted_with_ties_and_gaps() -> None:
    paper = {"a": 70.0, "b": 75.0, "c": 75.0, "d": None, "e": 80.0}
    found = order.same_direction(paper, {"a": 50.0, "b": 60.0, "c": 55.0, "d": 1.0})
    assert {(d.row_a, d.row_b): d.same for d in found} == {
        ("a", "b"): True,
        ("a", "c"): True,
        ("b", "c"): None,
    }
    assert [d.same for d in order.same_direction(paper, {"a": 60.0, "b": 50.0})] == [False]


def test_the_papers_resolution_is_binomial() -> None:
    # 1.96 sqrt(2 x .75 x .25 / 5000) = 1.70 points
    assert order.paper_resolution(5000, 75.0) == pytest.approx(1.697, abs=0.001)
    assert order.paper_resolution(20000, 75.0) == pytest.approx(1.697 / 2, abs=0.001)
    found = order.same_direction({"a": 75.0, "b": 76.6, "c": 76.8}, {"a": 1.0, "b": 2.0, "c": 3.0})
    assert [d.paper_resolved for d in found] == [False, True, False]  # 1.6, 1.8 and 0.2 points


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
    with pytest.raises(ValueError, match="same test videos"):
        order.kendall_tau(PAPER, OURS | {"DSA": answers(0.9, 3, V=100)}, SEEDS)

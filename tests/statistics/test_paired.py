"""Comparison: properties, known values, verdicts in words, movers and flips."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from harness.statistics import paired
from harness.statistics.paired import compare

Pair = tuple[np.ndarray, np.ndarray]


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Two methods of any accuracy, 2 to 6 seeds, 2 to 60 videos."""
    shape = draw(st.integers(2, 6)), draw(st.integers(2, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    p_new, p_base = draw(st.floats(0, 1)), draw(st.floats(0, 1))
    return rng.random(shape) < p_new, rng.random(shape) < p_base


def run(pair: Pair, **options: float) -> paired.Comparison:
    return compare(*pair, range(pair[0].shape[0]), **options)


def simulated(new: float, base: float, seed: int = 0, S: int = 5, V: int = 480) -> Pair:
    rng = np.random.default_rng(seed)
    return rng.random((S, V)) < new, rng.random((S, V)) < base


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_swapping_the_methods_swaps_the_answer(pair: Pair) -> None:
    there, back = run(pair), run(pair[::-1])
    assert back.difference == pytest.approx(-there.difference)
    assert back.interval.low == pytest.approx(-there.interval.high, rel=1e-9, abs=1e-9)
    assert back.interval.high == pytest.approx(-there.interval.low, rel=1e-9, abs=1e-9)
    assert back.p_value == pytest.approx(there.p_value, rel=1e-9)
    swapped = {"better": "worse", "worse": "better", "no difference": "no difference"}
    assert back.verdict == swapped[there.verdict]


@settings(max_examples=60, deadline=None)
@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_videos_does_not_matter(pair: Pair, shuffle: object) -> None:
    S, V = pair[0].shape
    seeds, videos = list(range(S)), list(range(V))
    shuffle.shuffle(seeds)
    shuffle.shuffle(videos)
    moved = run((pair[0][seeds][:, videos], pair[1][seeds][:, videos]))
    there = run(pair)
    assert moved.verdict == there.verdict
    assert moved.p_value == pytest.approx(there.p_value, rel=1e-6)
    assert moved.interval.low == pytest.approx(there.interval.low, rel=1e-6, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_interval_p_value_and_verdict_agree(pair: Pair) -> None:
    result = run(pair)
    assert result.interval.low <= result.difference <= result.interval.high
    assert result.difference == pytest.approx(100 * (pair[0].mean() - pair[1].mean()))
    assert 0 <= result.p_value <= 1
    assert result.interval.excludes_zero == (result.p_value < 0.05) == (result.verdict != "no difference")
    wider = run(pair, alpha=0.01)
    assert wider.interval.low <= result.interval.low


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_monotone_and_known(p_values: list[float]) -> None:
    adjusted = np.array(paired.holm(p_values))
    assert (adjusted >= np.array(p_values) - 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()
    with mock.patch("gc.collect"):  # which statsmodels calls each time: seconds in a process of this size
        assert adjusted == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_of_nothing_is_nothing() -> None:
    assert paired.holm([]) == []
    assert paired.holm([None, 0.02, None]) == [None, 0.02, None]


@pytest.mark.parametrize("p_base", [0.5, 0.62, 0.8])
def test_mcnemar_is_exact(p_base: float) -> None:
    new_SV, base_SV = simulated(0.6, p_base, S=1, V=200)
    found = paired.mcnemar_exact(new_SV[0], base_SV[0], seed=7)
    table = [[0, found.only_new], [found.only_base, 0]]
    assert found.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert found.only_new - found.only_base == new_SV.sum() - base_SV.sum()
    assert found.seed == 7


def test_a_large_difference_is_found_and_named() -> None:
    result = compare(*simulated(0.85, 0.7), [3, 1, 4, 0, 2])
    assert result.verdict == "better"
    assert [m.seed for m in result.mcnemar] == [3, 1, 4, 0, 2]
    assert all(m.p_value < 0.01 for m in result.mcnemar)
    assert 0 < result.smallest_detectable < result.difference
    assert compare(*simulated(0.7, 0.85), range(5)).verdict == "worse"


def test_no_difference_comes_with_what_could_have_been_found() -> None:
    result = compare(*simulated(0.8, 0.8), range(5))
    assert result.verdict == "no difference"
    # Residual only: sd sqrt(2 x .8 x .2) / sqrt(2400) = 1.15 points; t(4) and 80 % ask for about 3.7 of them.
    assert 1.5 < result.smallest_detectable < 8


def test_one_seed_says_what_cannot_be_said() -> None:
    result = compare(*simulated(0.9, 0.6, S=1), [0])
    assert result.verdict == "one seed"
    assert (result.p_value, result.interval.low, result.smallest_detectable) == (None, None, None)
    assert result.mcnemar[0].p_value < 1e-6


def test_two_seeds_hold_but_find_little() -> None:
    result = compare(*simulated(0.85, 0.8, S=2), [0, 1])
    assert result.verdict == "no difference"


def test_one_video_and_few_videos() -> None:
    assert compare(*simulated(0.9, 0.1, V=1), range(5)).verdict == "one video"
    assert compare(*simulated(0.9, 0.1, V=12), range(5)).verdict == "better"


@pytest.mark.parametrize("level", [0.0, 0.8, 1.0])
def test_identical_answers(level: float) -> None:
    same_SV, _ = simulated(level, level)
    result = compare(same_SV, same_SV, range(5))
    assert (result.difference, result.p_value, result.verdict) == (0.0, 1.0, "no difference")
    assert result.smallest_detectable is None
    assert result.identical and not compare(*simulated(0.8, 0.8), range(5)).identical


@pytest.mark.parametrize(
    ("new", "base", "seeds", "message"),
    [
        (np.ones((3, 9)), np.ones((3, 8)), [0, 1, 2], "3 seeds x 9 videos, base has 3 x 8"),
        (np.ones((3, 9)), np.ones((2, 9)), [0, 1, 2], "same seeds"),
        (np.ones(9), np.ones(9), [0], "seeds x test videos"),
        (np.ones((2, 0)), np.ones((2, 0)), [0, 1], "seeds x test videos"),
        (np.full((2, 9), 0.5), np.ones((2, 9)), [0, 1], "right/wrong"),
        (np.ones((2, 9)), np.ones((2, 9)), [0, 1, 2], "as many seeds"),
        (np.ones((2, 9)), np.ones((2, 9)), [1, 1], "each once"),
    ],
)
def test_bad_input_is_named(new: np.ndarray, base: np.ndarray, seeds: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(new, base, seeds)


def test_several_are_corrected_and_say_so() -> None:
    weak, strong = simulated(0.85, 0.82, seed=0), simulated(0.9, 0.7, seed=1)
    alone = compare(*weak, range(5))
    rows = {
        "weak": (*weak, range(5)),
        "strong": (*strong, range(5)),
        "single": (*simulated(0.9, 0.6, S=1), [0]),
        "null": (*simulated(0.8, 0.8, seed=2), range(5)),
    }
    found = paired.corrected({name: paired.compare(*row) for name, row in rows.items()})
    assert alone.verdict == "better" and 0.02 < alone.p_value < 0.05  # the case this test needs
    assert found["weak"].p_adjusted == pytest.approx(2 * alone.p_value)
    assert found["weak"].verdict == "no difference"
    assert found["weak"].family == 3
    assert found["weak"].interval == alone.interval and alone.interval.excludes_zero
    assert found["strong"].verdict == "better"
    assert found["single"].verdict == "one seed"
    assert paired.corrected({"weak": paired.compare(*rows["weak"])})["weak"] == replace(
        alone, p_adjusted=alone.p_value
    )


def test_per_class_movers() -> None:
    new_SV, base_SV = simulated(0.8, 0.8, V=90)
    classes = ["still"] * 30 + ["up"] * 30 + ["down"] * 30
    new_SV[:, 30:60], base_SV[:, 30:60] = True, False
    movers = paired.per_class_movers(new_SV, base_SV, classes)
    first = movers[0]
    assert (first.group, first.n_videos, first.new, first.base, first.difference) == ("up", 30, 100, 0, 100)
    assert first.p_adjusted < 0.01
    assert {mover.group for mover in movers} == {"still", "up", "down"}
    average = sum(mover.difference * mover.n_videos for mover in movers) / 90
    assert average == pytest.approx(100 * (new_SV.mean() - base_SV.mean()))
    with pytest.raises(ValueError, match="2 class labels for 90"):
        paired.per_class_movers(new_SV, base_SV, ["up", "down"])


def test_movers_with_one_seed_have_no_interval() -> None:
    for mover in paired.per_class_movers(*simulated(0.9, 0.5, S=1, V=40), [0, 1] * 20):
        assert (mover.low, mover.high, mover.p_adjusted) == (None, None, None)
        assert mover.difference != 0


def test_per_factor_movers_need_the_same_factors() -> None:
    order, motion = simulated(0.9, 0.5, V=100), simulated(0.8, 0.8, V=60)
    new, base = {"order": order[0], "motion": motion[0]}, {"order": order[1], "motion": motion[1]}
    movers = paired.per_factor_movers(new, base)
    assert [(mover.group, mover.n_videos) for mover in movers] == [("order", 100), ("motion", 60)]
    with pytest.raises(ValueError, match="factors differ"):
        paired.per_factor_movers(new, {"order": order[1]})


def test_flips_need_a_majority_on_both_sides() -> None:
    # Videos: 3 of 4 against 1 (gained), 2 of 4 against 0 (a tie), 0 against 4 (lost, most decided), equal.
    new_SV = np.array([[1, 1, 0, 1], [1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 1]])
    base_SV = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
    assert paired.flips(new_SV, base_SV) == (paired.Flip(2, "lost", 0, 4), paired.Flip(0, "gained", 3, 1))

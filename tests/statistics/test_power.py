"""Power: against simulation, known limits, and the order of what makes a difference easier to find."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from harness.statistics.calibration import detection_rate
from harness.statistics.intervals import Errors
from harness.statistics.population import Components, Population, expected_components, simulate_pair
from harness.statistics.power import detectable, power_at, smallest_detectable_difference

populations = st.builds(
    Population, st.floats(30, 85), st.floats(0.1, 3), st.floats(0, 3), shared=st.sampled_from([0.5, 1.0])
)


@settings(max_examples=30, deadline=None)
@given(populations, st.integers(3, 10), st.integers(300, 2000), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_smallest_difference_has_its_power(population: Population, S: int, V: int, power: float) -> None:
    smallest = smallest_detectable_difference(population, S, V, power=power)
    if smallest is None:
        best = 99.9 - population.top1
        assert power_at(best, expected_components(population, best), S, V) < power
    else:
        parts = expected_components(population, smallest)
        assert power_at(smallest, parts, S, V) == pytest.approx(power, abs=0.01)
        assert power_at(2 * smallest, parts, S, V) > power > power_at(smallest / 2, parts, S, V)


@settings(max_examples=30, deadline=None)
@given(populations, st.integers(4, 9), st.integers(300, 1000))
def test_more_seeds_and_videos_find_more(population: Population, S: int, V: int) -> None:
    smallest = smallest_detectable_difference(population, S, V)
    assert smallest_detectable_difference(population, S + 2, V) < smallest
    assert smallest_detectable_difference(population, S, 2 * V) < smallest
    strict = smallest_detectable_difference(population, S, V, alpha=0.01)
    assert strict is None or strict > smallest


@pytest.mark.parametrize("n_seeds", [2, 3, 5, 8])
def test_with_seed_spread_alone_it_is_the_power_of_a_t_test(n_seeds: int) -> None:
    parts = Components(seed_sd=2.0, video_sd=0.0, residual_sd=0.0)
    known = TTestPower().power(effect_size=3.0 / 2.0, nobs=n_seeds, alpha=0.05)
    assert power_at(3.0, parts, n_seeds, 5000) == pytest.approx(known, abs=0.005)


def test_with_video_spread_alone_it_is_the_power_of_a_z_test() -> None:
    # An error of 2 points; 2.8 errors are found with 80 %.
    found = detectable(Errors(seed=1e-9, video=4.0, residual=1e-9, n_seeds=5, n_videos=2000))
    assert found == pytest.approx((1.96 + 0.8416) * 2, rel=0.01)


def test_without_a_difference_it_is_the_false_alarm_rate() -> None:
    assert power_at(0.0, Components(2.0, 0.0, 40.0), 5, 480) == pytest.approx(0.05, abs=0.005)


def test_nothing_is_found_with_one_seed_or_one_video_or_no_room() -> None:
    population = Population(80, 1.0, 1.5)
    assert smallest_detectable_difference(population, 1, 480) is None
    assert smallest_detectable_difference(population, 5, 1) is None
    assert power_at(50.0, Components(1.0, 0.0, 40.0), 1, 480) == 0.0
    assert smallest_detectable_difference(Population(99.95, 1.0, 1.5), 5, 480) is None
    assert smallest_detectable_difference(population, 2, 480) is None  # 20 points of room are not enough


def test_impossible_power_is_refused() -> None:
    with pytest.raises(ValueError, match="power must lie"):
        smallest_detectable_difference(Population(80, 1.0, 1.5), 5, 480, power=1.0)


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_planted_differences_are_found_as_predicted(n_seeds: int) -> None:
    # Small form of benchmarks/bench_calibration.py: 250 repetitions scatter by 2.5 points (one sd) at 80 %.
    population = Population(80, 1.5, 1.5)
    planted = smallest_detectable_difference(population, n_seeds, 300)
    draw = partial(simulate_pair, population=population, n_seeds=n_seeds, n_videos=300, difference=planted)
    assert detection_rate(draw, 250).percent == pytest.approx(80, abs=6)

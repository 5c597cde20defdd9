"""Calibration in small (benchmarks/bench_calibration.py is the full one)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from harness.statistics.calibration import binomial_rate, disjoint_pair, false_alarm_rate
from harness.statistics.population import Population, simulate_pair


def test_disjoint_sets_share_no_seed() -> None:
    marked_SV = np.eye(7, dtype=bool)  # video v is right with seed v only
    first, second = disjoint_pair(np.random.default_rng(0), marked_SV, 3)
    assert first.shape == second.shape == (3, 7)
    assert not (first.any(0) & second.any(0)).any()
    with pytest.raises(ValueError, match="need 8, got 7"):
        disjoint_pair(np.random.default_rng(0), marked_SV, 4)


def test_a_rate_has_its_exact_interval() -> None:
    rate = binomial_rate(25, 500)
    assert (rate.percent, rate.n) == (5.0, 500)
    assert (rate.low, rate.high) == pytest.approx((3.26, 7.29), abs=0.01)  # Clopper-Pearson


@pytest.mark.parametrize(
    ("n_seeds", "population"),
    [
        (3, Population(80, 3, 1.5, heavy_tails=True)),
        (5, Population(85, 1.5, 1.5)),
        (8, Population(88, 0.5, 1.5)),
    ],
)
def test_a_method_rarely_beats_itself(n_seeds: int, population: Population) -> None:
    # 500 repetitions of a true 5 % lie in 3 to 7 % with probability 0.96; seeds are fixed, so this is stable.
    draw = partial(simulate_pair, population=population, n_seeds=n_seeds, n_videos=480)
    assert 3 <= false_alarm_rate(draw, 500).percent <= 7


def test_two_disjoint_seed_sets_of_one_model() -> None:
    # A split of one set of records scatters widely, so many models of 10 seeds take one split each.
    def split(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        _, records_SV = simulate_pair(rng, Population(85, 1.5, 1.5), 10, 480)
        return disjoint_pair(rng, records_SV, 5)

    assert 2 <= false_alarm_rate(split, 300).percent <= 8


def test_false_alarms_would_be_noticed() -> None:
    # The rate is able to fail: methods 4 points apart are no self-comparison.
    draw = partial(simulate_pair, population=Population(85, 1, 1.5), n_seeds=5, n_videos=480, difference=4.0)
    assert false_alarm_rate(draw, 60).percent > 30

"""Intervals: known values, the closed form, edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.statistics.intervals import (
    Errors,
    degrees_of_freedom,
    errors_of,
    mean_interval,
    mean_squares,
    paired_difference,
)


def test_mean_interval_is_students_t() -> None:
    # t(0.975, 4) = 2.7764; mean 3, sd sqrt(2.5)
    interval = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.mean == 3.0
    assert interval.high == pytest.approx(3 + 2.7764451 * np.sqrt(2.5 / 5))
    assert interval.low == pytest.approx(3 - 2.7764451 * np.sqrt(2.5 / 5))
    assert interval.n == 5


def test_one_seed_has_no_interval() -> None:
    interval = mean_interval([71.5])
    assert (interval.low, interval.high, interval.n) == (None, None, 1)
    assert not interval.excludes_zero


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_mean_interval_refuses_what_is_no_number(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        mean_interval(values)


def test_mean_squares_by_hand() -> None:
    # Row means 1 and 3, column means 1, 2, 3 around 2; then noise that leaves all means as they are.
    x_SV = np.array([[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]])
    assert mean_squares(x_SV) == pytest.approx((6.0, 2.0, 0.0))
    noise_SV = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])
    assert mean_squares(x_SV + noise_SV) == pytest.approx((6.0, 2.0, 2.0))


def test_seeds_that_agree_to_the_last_digit_show_no_spread() -> None:
    # Three dead networks answer one class: their 8.3 % is no measured certainty.
    interval = mean_interval([100 / 12] * 3)
    assert interval.mean == pytest.approx(100 / 12)
    assert (interval.low, interval.high, interval.n) == (None, None, 3)


def test_the_error_by_hand() -> None:
    # Rows 1, 1, 0, 0 and 1, 0, 0, -1 (x 100): mean squares 5000 (seed), 25000 / 3 (video), 5000 / 3 (residual).
    x_SV = 100 * np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, -1.0]])
    assert mean_squares(x_SV) == pytest.approx((5000.0, 25000 / 3, 5000 / 3))
    errors = errors_of(x_SV)
    assert errors.seed == pytest.approx(5000 / 8 + 25**2 / 12 / 2)
    assert errors.video == pytest.approx((25000 / 3 - 5000 / 3) / 8)
    assert errors.total == pytest.approx(np.sqrt(errors.seed + errors.video))


def test_error_parts_are_unbiased() -> None:
    # True: seed sd 2, video sd 30, residual sd 40 over 4 seeds x 60 videos.
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        x_SV = rng.normal(0, 2, (4, 1)) + rng.normal(0, 30, (1, 60)) + rng.normal(0, 40, (4, 60))
        errors = errors_of(x_SV)
        found.append((errors.seed, errors.video, errors.residual))
    residual = 40**2 / 240
    assert np.mean(found, axis=0) == pytest.approx([4 / 4 + residual, 30**2 / 60, residual], rel=0.08)


def test_degrees_of_freedom_lie_between_seeds_and_videos() -> None:
    def df(seed: float, video: float, n_seeds: int = 5) -> float:
        return float(degrees_of_freedom(Errors(seed, video, 0.1, n_seeds, 480), np.array(seed)))

    assert df(1.0, 0.0) == pytest.approx(4, abs=0.1)
    assert df(1.0, 1.0) == pytest.approx(16, rel=0.1)  # (1 + 1)^2 / (1 / 4), videos being many
    assert df(1e-9, 1.0) > 300
    assert df(1.0, 1.0, n_seeds=2) == 1


def test_without_video_effects_it_is_a_t_test_over_seeds() -> None:
    rng = np.random.default_rng(3)
    new_SV, base_SV = rng.random((5, 480)) < rng.normal(0.7, 0.08, (5, 1)), rng.random((5, 480)) < 0.6
    result = paired_difference(new_SV, base_SV)
    t_test = stats.ttest_1samp((new_SV.mean(1) - base_SV.mean(1)) * 100, 0)
    low, high = t_test.confidence_interval(0.95)
    assert result.interval.low == pytest.approx(low, abs=0.35)
    assert result.interval.high == pytest.approx(high, abs=0.35)


def test_equal_differences_of_all_seeds_are_not_certainty() -> None:
    base_SV = np.zeros((3, 100), dtype=bool)
    new_SV = base_SV.copy()
    new_SV[[0, 1, 2], [10, 20, 30]] = True  # one video better with every seed, each another
    assert paired_difference(new_SV, base_SV).p_value > 0.02


@pytest.mark.parametrize("shape", [(1, 50), (4, 1)])
def test_one_seed_or_one_video_gives_the_difference_alone(shape: tuple[int, int]) -> None:
    result = paired_difference(np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool))
    assert (result.interval.mean, result.interval.low, result.p_value) == (100.0, None, None)
    assert result.errors is None

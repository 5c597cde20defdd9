"""The resampler: a mean's errors are those of the closed form, and mAP gets an honest interval."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from harness.statistics.intervals import Floats, paired_difference
from harness.statistics.population import Population, simulate_pair
from harness.statistics.resample import Videos, resampled_difference


@pytest.mark.parametrize(
    ("population", "difference"),
    [(Population(80, 2.0, 1.5), 0.0), (Population(70, 0.5, 2.0, shared=0.3), 4.0)],
)
def test_a_mean_over_videos_gets_the_errors_of_the_closed_form(
    population: Population, difference: float
) -> None:
    new_SV, base_SV = simulate_pair(np.random.default_rng(0), population, 5, 480, difference)
    d_SV = 100.0 * (new_SV.astype(float) - base_SV)
    found = resampled_difference(lambda videos: d_SV[:, videos].mean(1), 480, n_draws=20_000)
    known = paired_difference(new_SV, base_SV)
    assert found.interval.mean == pytest.approx(known.interval.mean)
    assert found.errors is not None and known.errors is not None
    parts = [found.errors.seed, found.errors.video, found.errors.residual]
    expected = [known.errors.seed, known.errors.video, known.errors.residual]
    assert parts == pytest.approx(expected, rel=0.06, abs=0.03)
    assert found.errors.total == pytest.approx(known.errors.total, rel=0.03)
    assert found.p_value == pytest.approx(known.p_value, rel=0.1)


def mean_average_precision(labels_VK: Floats, scores_VK: Floats) -> float:
    return 100.0 * float(average_precision_score(labels_VK, scores_VK, average="macro"))


def scored(rng: np.random.Generator, labels_VK: Floats, strength: float) -> Floats:
    """(seeds, videos, classes): a score that knows the label with this strength."""
    return strength * labels_VK + rng.normal(size=(4, *labels_VK.shape))


def test_map_finds_the_better_method_and_no_difference_between_equals() -> None:
    rng = np.random.default_rng(1)
    labels_VK = (rng.random((150, 4)) < 0.3).astype(float)

    def difference(new_SVK: Floats, base_SVK: Floats) -> object:
        def on(videos: Videos) -> Floats:
            pairs = zip(new_SVK[:, videos], base_SVK[:, videos], strict=True)
            both = [[mean_average_precision(labels_VK[videos], s) for s in pair] for pair in pairs]
            return np.array([new - base for new, base in both])

        return on

    strong, weak, other = (scored(rng, labels_VK, s) for s in (2.0, 1.0, 1.0))
    better = resampled_difference(difference(strong, weak), 150, n_draws=60)
    alike = resampled_difference(difference(other, weak), 150, n_draws=60)
    assert better.interval.excludes_zero and better.interval.mean > 0 and better.p_value < 0.01
    assert not alike.interval.excludes_zero
    back = resampled_difference(difference(weak, strong), 150, n_draws=60)
    assert (back.interval.low, back.p_value) == pytest.approx((-better.interval.high, better.p_value))


def test_draws_without_a_value_are_left_out() -> None:
    def only_with_video_0(videos: Videos) -> Floats:
        return np.array([1.0, 2.0, 4.0]) + videos.mean() if 0 in videos else np.full(3, np.nan)

    found = resampled_difference(only_with_video_0, 20, n_draws=200)
    assert found.errors is not None and np.isfinite(found.errors.total)


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0]])
def test_one_seed_or_no_spread_at_all_gives_the_difference_alone(values: list[float]) -> None:
    found = resampled_difference(lambda videos: np.array(values), 50, n_draws=20)
    assert (found.interval.low, found.p_value, found.errors) == (None, None, None)
    assert found.interval.mean == values[0]

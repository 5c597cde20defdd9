"""The simulator: what it draws is what it states, and what it measures is what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from harness.statistics.intervals import errors_of, rounding_variance
from harness.statistics.population import Population, expected_components, resample_from, simulate_pair


def test_simulated_answers_have_the_stated_top1_and_spread() -> None:
    rng = np.random.default_rng(0)
    new_SV, base_SV = simulate_pair(rng, Population(80, 2.0, 1.5), 2000, 4000, difference=5.0)
    assert 100 * new_SV.mean() == pytest.approx(85, abs=1.5)
    assert 100 * base_SV.mean() == pytest.approx(80, abs=1.5)
    assert 100 * (new_SV.mean() - base_SV.mean()) == pytest.approx(5, abs=0.4)
    assert 100 * base_SV.mean(1).std() == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(
    "population", [Population(85, 1.5, 1.5), Population(60, 4.0, 0.5), Population(90, 0.5, 3.0)]
)
def test_a_population_is_recovered_from_its_records(population: Population) -> None:
    _, records_SV = simulate_pair(np.random.default_rng(1), population, 150, 3000)
    found = resample_from(records_SV)
    assert found.top1 == pytest.approx(population.top1, abs=2)
    assert found.seed_sd == pytest.approx(population.seed_sd, rel=0.15)
    assert found.difficulty_sd == pytest.approx(population.difficulty_sd, rel=0.1)


def test_records_at_the_ends_still_give_a_population() -> None:
    perfect = resample_from(np.ones((5, 100)))
    assert (perfect.top1, perfect.seed_sd) == (99.5, 0.0)
    same_videos = np.tile(np.arange(100) < 60, (5, 1))
    assert resample_from(same_videos).difficulty_sd == 10.0
    with pytest.raises(ValueError, match="at least 2 seeds"):
        resample_from(np.ones((1, 100)))


@pytest.mark.parametrize("difference", [0.0, 8.0])
@pytest.mark.parametrize("shared", [1.0, 0.3])
def test_expected_components_are_those_of_the_draws(difference: float, shared: float) -> None:
    population = Population(80, 2.0, 1.5, shared=shared)
    expected = expected_components(population, difference)
    S, V = 500, 2500
    new_SV, base_SV = simulate_pair(np.random.default_rng(2), population, S, V, difference)
    found = errors_of(100.0 * (new_SV.astype(float) - base_SV))
    seed_sd = np.sqrt(S * (found.seed - found.residual - rounding_variance(S, V)))
    assert seed_sd == pytest.approx(expected.seed_sd, rel=0.12)
    assert np.sqrt(V * found.video) == pytest.approx(expected.video_sd, rel=0.05, abs=1)
    assert np.sqrt(S * V * found.residual) == pytest.approx(expected.residual_sd, rel=0.03)
    if difference == 0 and shared == 1:
        assert expected.video_sd == pytest.approx(0, abs=1e-6)


def test_heavy_tails_keep_the_standard_deviation_but_stray_further() -> None:
    normal, heavy = (
        simulate_pair(np.random.default_rng(3), Population(60, 3.0, 0.5, heavy_tails=tails), 4000, 400)[1]
        for tails in (False, True)
    )
    assert heavy.mean(1).std() == pytest.approx(normal.mean(1).std(), rel=0.15)
    far = [(np.abs(x.mean(1) - 0.6) > 0.14).mean() for x in (normal, heavy)]
    assert far[1] > 2 * far[0]

"""ActivityNet's mAP against a scorer written again from the official definition, and beside sklearn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from harness.results.average_precision import (
    Rankings,
    average_precision,
    average_precisions,
    hit_at,
    mean_average_precision,
)

Truth = list[tuple[str, str]]
Prediction = list[tuple[str, str, float]]


def official(truth: Truth, predictions: Prediction) -> float:
    """The scorer as its description goes: lists of (video, label) and (video, label, score), loops, names.

    A prediction hits the first time it meets a positive video; a second one for the same video would be a miss.
    """
    areas = []
    for label in sorted({label for _, label in truth}):
        positive = {video for video, own in truth if own == label}
        ranked = sorted((p for p in predictions if p[1] == label), key=lambda p: -p[2])
        taken: set[str] = set()
        precision, recall = [0.0], [0.0]
        for rank, (video, _, _) in enumerate(ranked, start=1):
            if video in positive and video not in taken:
                taken.add(video)
            precision.append(len(taken) / rank)
            recall.append(len(taken) / len(positive))
        precision.append(0.0)
        recall.append(1.0)
        for i in reversed(range(len(precision) - 1)):
            precision[i] = max(precision[i], precision[i + 1])
        areas.append(
            sum(
                (recall[i] - recall[i - 1]) * precision[i]
                for i in range(1, len(recall))
                if recall[i] != recall[i - 1]
            )
        )
    return 100 * sum(areas) / len(areas)


def as_lists(scores_VK: NDArray[np.floating], target_VK: NDArray[np.bool_]) -> tuple[Truth, Prediction]:
    videos, classes = scores_VK.shape
    pairs = [(v, k) for v in range(videos) for k in range(classes)]
    truth = [(f"v{v}", f"c{k:03d}") for v, k in pairs if target_VK[v, k]]
    return truth, [(f"v{v}", f"c{k:03d}", float(scores_VK[v, k])) for v, k in pairs]


def case(
    seed: int, videos: int, classes: int, second: float = 0.2
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores without ties that know a little, one label a video and a second one for some."""
    rng = np.random.default_rng(seed)
    target_VK = np.zeros((videos, classes), bool)
    target_VK[np.arange(videos), rng.integers(classes, size=videos)] = True
    target_VK |= rng.random((videos, classes)) < second / classes
    return rng.normal(size=(videos, classes)) + 1.5 * target_VK, target_VK


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), videos=st.integers(1, 40), classes=st.integers(1, 8))
def test_it_is_the_official_number(seed: int, videos: int, classes: int) -> None:
    scores_VK, target_VK = case(seed, videos, classes)
    assert mean_average_precision(scores_VK, target_VK) == pytest.approx(
        official(*as_lists(scores_VK, target_VK)), abs=1e-9
    )


def test_by_hand() -> None:
    """Ranks: hit, miss, hit, miss. Precision 1, 1/2, 2/3, 1/2; made monotone 1, 2/3, 2/3: (1 + 2/3) / 2."""
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert average_precision(scores, np.array([True, False, True, False])) == pytest.approx((1 + 2 / 3) / 2)


def test_sklearn_does_not_interpolate_and_gives_a_bit_less() -> None:
    """miss, hit, hit: sklearn (1/2 + 2/3) / 2 = 0.583; the area under the monotone curve 2/3."""
    scores, positive = np.array([3.0, 2.0, 1.0]), np.array([False, True, True])
    assert average_precision_score(positive, scores) == pytest.approx(7 / 12)
    assert average_precision(scores, positive) == pytest.approx(2 / 3)
    scores_VK, target_VK = case(3, 300, 10)
    theirs = 100 * np.mean([average_precision_score(target_VK[:, k], scores_VK[:, k]) for k in range(10)])
    ours = mean_average_precision(scores_VK, target_VK)
    assert theirs < ours < theirs + 3


def test_a_class_that_does_not_occur_does_not_count() -> None:
    scores_VK, target_VK = case(1, 30, 4)
    target_VK[:, 2] = False
    precisions_K = average_precisions(scores_VK, target_VK)
    assert np.isnan(precisions_K).tolist() == [False, False, True, False]
    assert mean_average_precision(scores_VK, target_VK) == pytest.approx(100 * np.nanmean(precisions_K))
    with pytest.raises(ValueError, match="no video has a label"):
        mean_average_precision(scores_VK, np.zeros_like(target_VK))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_order_of_videos_and_monotone_changes_of_scores_do_not_matter(seed: int) -> None:
    scores_VK, target_VK = case(seed, 30, 4)
    scores_VK = scores_VK.round(1)  # with ties
    order = np.random.default_rng(seed).permutation(30)
    known = mean_average_precision(scores_VK, target_VK)
    assert mean_average_precision(scores_VK[order], target_VK[order]) == pytest.approx(known)
    assert mean_average_precision(np.exp(scores_VK), target_VK) == pytest.approx(known)
    assert 0 < known <= 100


def test_a_perfect_ranking_is_100_and_all_equal_scores_are_the_share_of_positives() -> None:
    _, target_VK = case(5, 60, 5)
    assert mean_average_precision(target_VK.astype(float), target_VK) == 100
    assert mean_average_precision(np.zeros(target_VK.shape), target_VK) == pytest.approx(
        100 * target_VK[:, target_VK.any(0)].mean()
    )


def test_hit_at_k() -> None:
    scores_VK = np.array([[3.0, 2, 1], [3, 2, 1], [3, 2, 1], [3, 2, 1]])
    target_VK = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]])
    assert hit_at(1, scores_VK, target_VK) == pytest.approx((200 / 3, 50))
    assert hit_at(2, scores_VK, target_VK) == pytest.approx((200 / 3, 50))
    assert hit_at(3, scores_VK, target_VK) == pytest.approx((100, 100))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="scores"):
        average_precisions(np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="not finite"):
        average_precisions(np.full((1, 2), np.nan), np.ones((1, 2)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_rankings_made_once_give_the_map_of_any_sample_of_the_videos(seed: int) -> None:
    rng = np.random.default_rng(seed)
    V, K = int(rng.integers(2, 12)), int(rng.integers(1, 5))
    scores_VK, target_VK = rng.integers(0, 4, (V, K)).astype(float), rng.random((V, K)) < 0.4
    sample = rng.integers(V, size=V)
    found = Rankings(scores_VK, target_VK).mean_average_precision(np.bincount(sample, minlength=V))
    if not target_VK[sample].any():
        assert np.isnan(found)
        return
    assert found == pytest.approx(mean_average_precision(scores_VK[sample], target_VK[sample]), rel=1e-12)

"""Metrics by hand and by property; names that nobody knows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.base.errors import UserError
from harness.results.metrics import COSTS, Truth, list_metrics, metric, register_metric, score_metrics

K = 6
FINITE = st.floats(-1e4, 1e4, width=32)


@given(
    hnp.arrays(np.float32, (7, K), elements=FINITE), st.lists(st.integers(0, K - 1), min_size=7, max_size=7)
)
def test_top_5_holds_top_1_and_of_five_classes_all(scores_VK: np.ndarray, labels: list[int]) -> None:
    found = score_metrics(scores_VK, Truth(np.array(labels)))
    assert found["top1"] == pytest.approx(100 * np.mean(scores_VK.argmax(1) == labels))
    assert found["top1"] <= found["top5"]
    assert score_metrics(scores_VK[:, :5], Truth(np.minimum(labels, 4)))["top5"] == 100


def test_metrics_by_hand() -> None:
    scores_VK = np.array([[3.0, 1, 2, 0, 0, 0], [0, 5, 1, 1, 1, 4], [0, 0, 0, 0, 0, 9], [2, 2, 0, 0, 0, 0]])
    labels = np.array([0, 0, 0, 1])
    found = score_metrics(scores_VK, Truth(labels))
    assert found["top1"] == 25.0, "one of four; of equal scores the lower class counts"
    assert found["top5"] == 75.0, "video 1 has its label last; of video 2's equal zeros, class 0 comes first"
    assert found["mean_class_accuracy"] == pytest.approx((100 / 3 + 0) / 2)
    losses = [np.log(np.exp(s).sum()) - s[label] for s, label in zip(scores_VK, labels, strict=True)]
    assert found["test_loss"] == pytest.approx(np.mean(losses))


def test_mean_class_accuracy_weighs_classes_not_videos() -> None:
    found = score_metrics(np.eye(2)[[0, 0, 0, 0, 0]], Truth(np.array([0, 0, 0, 0, 1])))
    assert (found["mean_class_accuracy"], found["top1"]) == (50.0, 80.0)


def test_a_video_of_several_labels_is_right_with_any_of_them() -> None:
    scores_VK = np.array([[3.0, 1, 0], [0, 1, 3], [1, 3, 0]])
    targets = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    assert score_metrics(scores_VK, Truth(targets.argmax(1), targets))["top1"] == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("name", "near"), [("topp1", "top1"), ("top_5", "top5"), ("val_topp1", ""), ("accuracy", "")]
)
def test_an_unknown_metric_is_refused_with_the_near_match(name: str, near: str) -> None:
    with pytest.raises(UserError, match=f"unknown metric '{name}'.*{near}.*known are top1, top5"):
        metric(name)


def test_names_with_a_prefix_are_metrics_of_their_own() -> None:
    assert metric("factor_order").title == "order"
    assert metric("val_top1").function is None, "val is for choosing, never for a table's test scores"
    assert all(metric(name).direction in ("higher", "lower") for name in list_metrics())


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(UserError, match="metric 'top1' is already registered"):
        register_metric("top1", title="mine")(lambda scores_VK, truth: 0.0)


def test_every_cost_says_of_what() -> None:
    assert all(cost.of and cost.factor > 0 for cost in COSTS.values())

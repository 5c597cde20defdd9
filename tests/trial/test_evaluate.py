"""Testing by the protocol, against the same thing done one video, one group and one crop at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn

from harness.data import snippet_groups
from harness.experiment.spec import Numerics, TestProtocol
from harness.results.predictions import predictions_frame, scores_from_predictions
from harness.trial.evaluate import (
    SCORE_STEP,
    mean_class_accuracy,
    quantize,
    score_metrics,
    top_k_accuracy,
    video_scores,
)
from harness.trial.fit import InputTransform

V, U, T, SIDE, K = 5, 8, 2, 3, 6
TRANSFORM = InputTransform((110, 120, 130), (50, 60, 70), "cpu")
PROTOCOLS = [
    TestProtocol(U=8, crops=crops, grouping=grouping)
    for grouping in ("each", "interleaved", "all", "combinations")
    for crops in (1, 3)
]


class Ordered(nn.Module):
    """Logits that depend on every pixel, on the order of the snippets, and on train or eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3 * T * SIDE * SIDE, K)
        self.dropout = nn.Dropout(0.5)
        nn.init.normal_(self.head.weight, std=0.2)

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        weight_U = torch.arange(1, x_NUCTHW.shape[1] + 1).float()
        logits_NUK = self.head(self.dropout(x_NUCTHW.flatten(2))).tanh() * weight_U[:, None]
        return 3 * logits_NUK.mean(1)


@pytest.fixture(scope="module")
def model() -> Ordered:
    torch.manual_seed(0)
    return Ordered()


def _crops(crops: int) -> Tensor:
    """(crops, V, U, 3, T, SIDE, SIDE) uint8."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (crops, V, U, 3, T, SIDE, SIDE), generator=generator).to(torch.uint8)


def _batches(protocol: TestProtocol, size: int) -> Iterator[tuple[Tensor, np.ndarray, int]]:
    views = _crops(protocol.crops)
    for first in range(0, V, size):
        for crop in range(protocol.crops):
            indices = np.arange(first, min(first + size, V))
            yield views[crop, indices], indices, crop


def _scores(model: Ordered, protocol: TestProtocol, size: int = 2) -> np.ndarray:
    groups = snippet_groups(protocol.U, 4, protocol.grouping)
    return video_scores(
        model.train(),
        _batches(protocol, size),
        groups,
        protocol,
        videos=V,
        transform=TRANSFORM,
        numerics=Numerics(),
    )


def _one_by_one(model: Ordered, protocol: TestProtocol) -> np.ndarray:
    """(V, G, K) by plain loops."""
    views, groups = _crops(protocol.crops), snippet_groups(protocol.U, 4, protocol.grouping)
    mean, std = (np.array(v).reshape(1, 1, 3, 1, 1, 1) for v in (TRANSFORM.mean, TRANSFORM.std))
    found = np.zeros((V, len(groups), protocol.crops, K))
    for v in range(V):
        for g, group in enumerate(groups):
            for c in range(protocol.crops):
                x = (views[c, v, list(group)][None].numpy() - mean) / std
                with torch.no_grad():
                    logits = model.eval()(torch.tensor(x, dtype=torch.float32))[0].double().numpy()
                found[v, g, c] = logits
    if protocol.grouping != "combinations":
        return found.mean(2)
    shares = np.exp(found) / np.exp(found).sum(-1, keepdims=True)
    return np.log(shares.mean((1, 2)))[:, None]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: f"{p.grouping}-{p.crops}")
def test_scores_are_those_of_plain_loops(model: Ordered, protocol: TestProtocol) -> None:
    np.testing.assert_allclose(_scores(model, protocol), _one_by_one(model, protocol), atol=0.51 * SCORE_STEP)


@pytest.mark.parametrize("size", [1, 3, V])
def test_a_video_is_scored_alike_in_any_batch(model: Ordered, size: int) -> None:
    protocol = PROTOCOLS[3]
    np.testing.assert_allclose(
        _scores(model, protocol, size), _scores(model, protocol), atol=1.01 * SCORE_STEP
    )


def test_testing_leaves_the_weights_alone_and_needs_no_gradient(model: Ordered) -> None:
    before = [p.clone() for p in model.parameters()]
    _scores(model, PROTOCOLS[0])
    assert all(map(torch.equal, before, model.parameters()))
    assert all(p.grad is None for p in model.parameters())


FINITE = st.floats(-1e4, 1e4, width=32)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3), elements=FINITE))
def test_quantized_scores_are_near_exact_in_float32_and_fixed(scores: np.ndarray) -> None:
    stored = quantize(scores)
    assert stored.dtype == np.float32
    assert np.abs(stored.astype(float) - scores).max() <= SCORE_STEP / 2
    np.testing.assert_array_equal(quantize(stored), stored)
    np.testing.assert_array_equal(stored / SCORE_STEP, np.round(stored / SCORE_STEP))


@given(
    hnp.arrays(np.float32, (7, K), elements=FINITE), st.lists(st.integers(0, K - 1), min_size=7, max_size=7)
)
def test_top_k_grows_with_k_to_all(scores_VK: np.ndarray, labels: list[int]) -> None:
    accuracies = [top_k_accuracy(scores_VK, np.array(labels), k) for k in range(1, K + 1)]
    assert accuracies == sorted(accuracies)
    assert accuracies[-1] == 100
    assert accuracies[0] == pytest.approx(100 * np.mean(scores_VK.argmax(1) == labels))


def test_metrics_by_hand() -> None:
    scores_VK = np.array([[3.0, 1, 2, 0, 0, 0], [0, 5, 1, 1, 1, 4], [0, 0, 0, 0, 0, 9], [2, 2, 0, 0, 0, 0]])
    labels = np.array([0, 0, 0, 1])
    found = score_metrics(scores_VK[:, None], labels)
    assert found["top1"] == 25.0, "one of four; of equal scores the lower class counts"
    assert found["top5"] == 75.0, "video 1 has its label last; of video 2's equal zeros, class 0 comes first"
    assert found["mean_class_accuracy"] == pytest.approx((100 / 3 + 0) / 2)
    losses = [np.log(np.exp(s).sum()) - s[label] for s, label in zip(scores_VK, labels, strict=True)]
    assert found["test_loss"] == pytest.approx(np.mean(losses))


def test_groups_are_averaged_before_anything_is_counted() -> None:
    scores_VGK = np.array([[[4.0, 0, 0], [0, 1, 0]], [[0, 0, 2], [0, 3, 0]]])
    assert score_metrics(scores_VGK, np.array([0, 1]))["top1"] == 100.0


def test_mean_class_accuracy_weighs_classes_not_videos() -> None:
    scores_VK = np.eye(2)[[0, 0, 0, 0, 0]]
    assert mean_class_accuracy(scores_VK, np.array([0, 0, 0, 0, 1])) == 50.0
    assert top_k_accuracy(scores_VK, np.array([0, 0, 0, 0, 1]), 1) == 80.0


@pytest.mark.parametrize("groups", [1, 3])
def test_predictions_hold_scores_labels_and_videos(groups: int) -> None:
    scores = quantize(np.random.default_rng(0).normal(size=(4, groups, K)))
    labels, videos = np.array([3, 1, 4, 1]), ["d", "b", "c", "a"]
    frame = predictions_frame(scores, labels, videos)
    assert frame["group"].to_list() == list(range(groups)) * 4
    found_scores, found_labels, found_videos = scores_from_predictions(frame)
    np.testing.assert_array_equal(found_scores, scores)
    np.testing.assert_array_equal(found_labels, labels)
    assert found_videos == videos

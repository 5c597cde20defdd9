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

from harness.data import CroppedBatch, snippet_groups
from harness.experiment.sampling import TestProtocol
from harness.experiment.spec import Input, Numerics
from harness.models import Backbone, Head, InputSpec, VideoModel
from harness.results.predictions import predictions_frame, scores_from_predictions
from harness.trial.evaluate import SCORE_STEP, quantize, video_scores
from harness.trial.fit import InputTransform

V, U, T, SIDE, K = 5, 8, 2, 3, 6
INPUT = Input(mean=(110, 120, 130), std=(50, 60, 70))
TRANSFORM = InputTransform(INPUT, "cpu")
PROTOCOLS = [
    TestProtocol(U=8, crops=crops, grouping=grouping)
    for grouping in ("each", "interleaved", "all", "combinations")
    for crops in (1, 3)
]


class Pixels(Backbone):
    """The frames themselves."""

    def steps(self) -> list[nn.Module]:
        return [nn.Identity()]


class Ordered(Head):
    """Logits that depend on every pixel, on the order of the snippets, and on train or eval mode."""

    any_U = False

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * T * SIDE * SIDE, K)
        self.dropout = nn.Dropout(0.5)
        nn.init.normal_(self.fc.weight, std=0.2)

    def forward(self, maps: Tensor, U: int, boxes: Tensor | None = None) -> Tensor:
        logits_NUK: Tensor = self.fc(self.dropout(maps.flatten(1))).tanh().unflatten(0, (-1, U))
        return 3 * logits_NUK * torch.arange(1, U + 1).float()[:, None]


@pytest.fixture(scope="module")
def model() -> VideoModel:
    torch.manual_seed(0)
    built = VideoModel(Pixels(), Ordered(), U=4, input=InputSpec())
    built.any_U = True
    return built


def _crops(crops: int) -> Tensor:
    """(crops, V, U, 3, T, SIDE, SIDE) uint8."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (crops, V, U, 3, T, SIDE, SIDE), generator=generator).to(torch.uint8)


def _batches(protocol: TestProtocol, size: int) -> Iterator[CroppedBatch]:
    views = _crops(protocol.crops)
    for first in range(0, V, size):
        indices = np.arange(first, min(first + size, V))
        crops = tuple(views[crop, indices] for crop in range(protocol.crops))
        yield CroppedBatch(crops, indices, (False,) * protocol.crops, (None,) * protocol.crops)


def _scores(model: VideoModel, protocol: TestProtocol, size: int = 2) -> np.ndarray:
    groups = snippet_groups(protocol.U, 4, protocol.grouping)
    return video_scores(
        model.train(),
        _batches(protocol, size),
        groups,
        protocol,
        videos=V,
        mirrored_labels=np.arange(K),
        transform=TRANSFORM,
        numerics=Numerics(),
    )


def _one_by_one(model: VideoModel, protocol: TestProtocol) -> np.ndarray:
    """(V, G, K) by plain loops."""
    views, groups = _crops(protocol.crops), snippet_groups(protocol.U, 4, protocol.grouping)
    mean, std = (np.array(v).reshape(1, 1, 3, 1, 1, 1) for v in (INPUT.mean, INPUT.std))
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
def test_scores_are_those_of_plain_loops(model: VideoModel, protocol: TestProtocol) -> None:
    np.testing.assert_allclose(_scores(model, protocol), _one_by_one(model, protocol), atol=0.51 * SCORE_STEP)


@pytest.mark.parametrize("size", [1, 3, V])
def test_a_video_is_scored_alike_in_any_batch(model: VideoModel, size: int) -> None:
    protocol = PROTOCOLS[3]
    np.testing.assert_allclose(
        _scores(model, protocol, size), _scores(model, protocol), atol=1.01 * SCORE_STEP
    )


def test_testing_leaves_the_weights_alone_and_needs_no_gradient(model: VideoModel) -> None:
    before = [p.clone() for p in model.parameters()]
    _scores(model, PROTOCOLS[0])
    assert all(map(torch.equal, before, model.parameters()))
    assert all(p.grad is None for p in model.parameters())


def test_a_mirrored_crop_answers_for_the_mirrored_classes(model: VideoModel) -> None:
    protocol = PROTOCOLS[0]
    swapped = np.array([1, 0, 2, 3, 5, 4])

    def mirrored(batch: CroppedBatch) -> CroppedBatch:
        return batch._replace(mirrored=(True,))

    found = video_scores(
        model,
        map(mirrored, _batches(protocol, 2)),
        snippet_groups(protocol.U, 4, protocol.grouping),
        protocol,
        videos=V,
        mirrored_labels=swapped,
        transform=TRANSFORM,
        numerics=Numerics(),
    )
    np.testing.assert_array_equal(found, _scores(model, protocol)[..., swapped])


FINITE = st.floats(-1e4, 1e4, width=32)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3), elements=FINITE))
def test_quantized_scores_are_near_exact_in_float32_and_fixed(scores: np.ndarray) -> None:
    stored = quantize(scores)
    assert stored.dtype == np.float32
    assert np.abs(stored.astype(float) - scores).max() <= SCORE_STEP / 2
    np.testing.assert_array_equal(quantize(stored), stored)
    np.testing.assert_array_equal(stored / SCORE_STEP, np.round(stored / SCORE_STEP))


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

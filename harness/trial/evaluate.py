"""Testing by the protocol: views of a video, their scores, and the metrics that follow from the scores alone.

Every metric can be recomputed from a record's predictions: scores are rounded (`quantize`) before anything is
computed from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.experiment.spec import Numerics, TestProtocol
from harness.trial.fit import InputTransform, autocast

SCORE_STEP = 1 / 64  # of a logit; far below any difference that decides a top-1, and a third of the bytes


def quantize(scores: np.ndarray) -> np.ndarray:
    """Scores as they are stored: multiples of 1/64, float32."""
    return (np.round(scores.astype(np.float64) / SCORE_STEP) * SCORE_STEP).astype(np.float32)


@torch.inference_mode()
def group_scores(
    model: nn.Module,
    x_NUCTHW: Tensor,
    groups: Sequence[tuple[int, ...]],
    transform: InputTransform,
    numerics: Numerics,
) -> Tensor:
    """(N, groups, K) logits: each group of snippets is one view, scored alone."""
    with autocast(numerics):
        return torch.stack(
            [model(transform(x_NUCTHW[:, list(group)])).float() for group in groups], dim=1
        ).cpu()


def video_scores(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, np.ndarray, int]],
    groups: Sequence[tuple[int, ...]],
    protocol: TestProtocol,
    *,
    videos: int,
    transform: InputTransform,
    numerics: Numerics,
) -> np.ndarray:
    """(V, G, K) scores of every video and view group, averaged over the crops.

    Logits are averaged. V4D's protocol (`combinations`) averages the softmax of all its groups instead: there G
    is 1 and the score is the mean probability's logarithm (method.md, "Testing").
    """
    model.eval()
    total: Tensor | None = None
    softmax = protocol.grouping == "combinations"
    for x_NUCTHW, indices, _crop in batches:
        scores = group_scores(model, x_NUCTHW, groups, transform, numerics)
        if softmax:
            scores = F.softmax(scores, dim=-1).mean(1, keepdim=True)
        if total is None:
            total = torch.zeros(videos, scores.shape[1], scores.shape[2], dtype=torch.float64)
        total[torch.as_tensor(indices)] += scores.double() / protocol.crops
    assert total is not None, "a split without videos cannot be prepared"
    mean = torch.log(total.clamp_min(1e-9)) if softmax else total
    return quantize(mean.numpy())


def top_k_accuracy(scores_VK: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of videos, in percent, whose label is among the k best scores (ties broken by class number)."""
    best = np.argsort(-scores_VK, axis=1, kind="stable")[:, :k]
    return float(100 * (best == labels[:, None]).any(1).mean())


def mean_class_accuracy(scores_VK: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 averaged over classes, in percent."""
    right = np.argmax(scores_VK, axis=1) == labels
    return float(100 * pd.Series(right).groupby(labels).mean().mean())


def score_metrics(scores_VGK: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """top1, top5, mean_class_accuracy, test_loss of the mean over view groups."""
    scores_VK = scores_VGK.mean(1)
    loss = F.cross_entropy(torch.tensor(scores_VK, dtype=torch.float64), torch.tensor(labels)).item()
    return {
        "top1": top_k_accuracy(scores_VK, labels, 1),
        "top5": top_k_accuracy(scores_VK, labels, 5),
        "mean_class_accuracy": mean_class_accuracy(scores_VK, labels),
        "test_loss": loss,
    }

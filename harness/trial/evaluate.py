"""Testing by the protocol: views of a video and their scores.

Every metric can be recomputed from a record's predictions: scores are rounded (`quantize`) before anything is
computed from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from harness.experiment.sampling import TestProtocol
from harness.experiment.spec import Numerics
from harness.models import VideoModel
from harness.trial.fit import InputTransform, autocast
from harness.trial.ranks import ALONE, Ranks

SCORE_STEP = 1 / 64  # of a logit; far below any difference that decides a top-1, and a third of the bytes


def quantize(scores: np.ndarray) -> np.ndarray:
    """Scores as they are stored: multiples of 1/64, float32."""
    return (np.round(scores.astype(np.float64) / SCORE_STEP) * SCORE_STEP).astype(np.float32)


@torch.inference_mode()
def video_scores(
    model: VideoModel,
    batches: Iterable[Any],
    groups: Sequence[tuple[int, ...]],
    protocol: TestProtocol,
    *,
    videos: int,
    mirrored_labels: NDArray[np.int64],
    transform: InputTransform,
    numerics: Numerics,
    ranks: Ranks = ALONE,
) -> np.ndarray:
    """(V, G, K) scores of every video and view group, averaged over the crops, on every rank.

    Logits are averaged. V4D's protocol (`combinations`) averages the softmax of all its groups instead: there G
    is 1 and the score is the mean probability's logarithm (docs/method.md, "Testing").
    """
    model.eval()
    softmax = protocol.grouping == "combinations"
    shape = (videos, 1 if softmax else len(groups), len(mirrored_labels))
    total = torch.zeros(shape, dtype=torch.float64)
    for batch in batches:
        for x_NUCTHW, mirrored, boxes in zip(batch.crops, batch.mirrored, batch.boxes, strict=True):
            with autocast(numerics):
                scores = model.forward_groups(transform(x_NUCTHW), groups, boxes).float().cpu()
            if mirrored:
                scores = scores[..., torch.from_numpy(mirrored_labels)]
            if softmax:
                scores = F.softmax(scores, dim=-1).mean(1, keepdim=True)
            total[torch.as_tensor(batch.videos)] += scores.double() / len(batch.crops)
    total = ranks.summed(total)  # each video was one rank's
    mean = torch.log(total.clamp_min(1e-9)) if softmax else total
    return quantize(mean.numpy())

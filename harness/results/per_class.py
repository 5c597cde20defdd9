"""A trial's number of every class, worked out again from its stored scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from harness.results.average_precision import average_precisions
from harness.results.predictions import answers_frame, scores_from_predictions, targets_from_predictions


@dataclass(frozen=True)
class ClassScore:
    """One class. videos: test videos of it; value: in percent, of its `metric`."""

    label: int
    videos: int
    value: float
    metric: Literal["top-1", "average precision"]


def class_scores(predictions: pd.DataFrame) -> tuple[ClassScore, ...]:
    """Every class that a test video has, the worst first: the share of its videos that were answered rightly (their
    mean is `mean_class_accuracy`), or where a video may have several labels its average precision (their mean is mAP).

    predictions: a record's. Empty for a failed trial's.
    """
    targets_VK = targets_from_predictions(predictions)
    if targets_VK is not None:
        scores_VK = scores_from_predictions(predictions)[0].mean(1)
        precisions_K = 100 * average_precisions(scores_VK, targets_VK)
        videos_K = targets_VK.sum(0)
        found = [
            ClassScore(int(k), int(videos_K[k]), float(precisions_K[k]), "average precision")
            for k in np.flatnonzero(videos_K)
        ]
    elif (answers := answers_frame(predictions)) is not None:
        right = (answers["predicted"] == answers["label"]).groupby(answers["label"])
        found = [ClassScore(int(k), len(own), 100 * float(own.mean()), "top-1") for k, own in right]
    else:
        found = []
    return tuple(sorted(found, key=lambda score: (score.value, score.label)))

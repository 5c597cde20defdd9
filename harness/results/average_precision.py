"""ActivityNet's mean average precision, by the definition of the official scorer (`eval_classification.py`).

Per class, all videos are ranked by their score for it. Precision is made to fall monotonically from the right and is
summed at the steps of recall (the area of VOC 2010 and later, not 11 points). A class counts if a video of it occurs.
mAP is the plain mean over those classes. The official code leaves the order of equal scores open; here equal scores
are one step of the ranking.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def average_precision(scores_V: NDArray[np.floating], positive_V: NDArray[np.bool_]) -> float:
    """Area (0-1) below the interpolated precision of one class. NaN where no video is positive.

    Videos of equal score enter the ranking together, so the result does not depend on the order of the videos.
    """
    total = int(positive_V.sum())
    if not total:
        return float("nan")
    order = np.argsort(-scores_V, kind="stable")
    ranked, hits = scores_V[order], np.cumsum(positive_V[order])
    last_of_equals = np.append(ranked[1:] != ranked[:-1], True)
    hits_P, seen_P = hits[last_of_equals], np.flatnonzero(last_of_equals) + 1
    precision_P = np.maximum.accumulate((hits_P / seen_P)[::-1])[::-1]
    recall_P = hits_P / total
    return float((np.diff(recall_P, prepend=0.0) * precision_P).sum())


def average_precisions(
    scores_VK: NDArray[np.floating], target_VK: NDArray[np.floating] | NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Average precision (K,) of every class, NaN for a class without a video.

    scores_VK: comparable across videos (probabilities averaged over views, or logits); all classes, since cutting a
    video's list lowers mAP. target_VK: 1 for each label of a video.

    Raises ValueError where shapes differ or a score is not finite.
    """
    if scores_VK.shape != target_VK.shape or scores_VK.ndim != 2:
        raise ValueError(f"scores {scores_VK.shape} for targets {target_VK.shape}")
    if not np.isfinite(scores_VK).all():
        raise ValueError("a score is not finite")
    positive_VK = np.asarray(target_VK) > 0
    return np.array(
        [average_precision(scores_VK[:, k], positive_VK[:, k]) for k in range(scores_VK.shape[1])]
    )


def mean_average_precision(
    scores_VK: NDArray[np.floating], target_VK: NDArray[np.floating] | NDArray[np.bool_]
) -> float:
    """mAP in percent, the plain mean over the classes that occur. Raises ValueError where none does, and as above."""
    precisions_K = average_precisions(scores_VK, target_VK)
    if np.isnan(precisions_K).all():
        raise ValueError("no video has a label")
    return 100 * float(np.nanmean(precisions_K))


class Rankings:
    """Every class's ranking of the videos, made once: the mAP of many samples of the videos is then a few sums."""

    def __init__(self, scores_VK: NDArray[np.floating], target_VK: NDArray[np.bool_]) -> None:
        self.order_VK = np.argsort(-scores_VK, axis=0, kind="stable")
        ranked_VK = np.take_along_axis(scores_VK, self.order_VK, axis=0)
        self.last_VK = np.ones_like(target_VK, dtype=bool)  # of equal scores
        self.last_VK[:-1] = ranked_VK[1:] != ranked_VK[:-1]
        self.positive_VK = np.take_along_axis(np.asarray(target_VK) > 0, self.order_VK, axis=0)

    def mean_average_precision(self, times_V: NDArray[np.integer]) -> float:
        """mAP in percent where video v occurs `times_V[v]` times, over the classes that occur; NaN where none does."""
        times_VK = times_V[self.order_VK]
        hits_VK, seen_VK = np.cumsum(times_VK * self.positive_VK, axis=0), np.cumsum(times_VK, axis=0)
        precision_VK = np.where(self.last_VK & (seen_VK > 0), hits_VK / np.maximum(seen_VK, 1), 0.0)
        precision_VK = np.maximum.accumulate(precision_VK[::-1], axis=0)[::-1]
        occurs_K = hits_VK[-1] > 0
        if not occurs_K.any():
            return float("nan")
        area_K = (np.diff(hits_VK, axis=0, prepend=0) * precision_VK).sum(0)[occurs_K]
        return 100 * float((area_K / hits_VK[-1][occurs_K]).mean())


def hit_at(
    k: int, scores_VK: NDArray[np.floating], target_VK: NDArray[np.floating] | NDArray[np.bool_]
) -> tuple[float, float]:
    """The scorer's (Hit@k, Avg Hit@k) in percent: share of videos with a label among the k best scores, and the mean
    share of a video's labels that are. A video without a label is left out."""
    positive_VK = np.asarray(target_VK) > 0
    known_V = positive_VK.any(1)
    best_VK = np.argsort(-scores_VK, axis=1, kind="stable")[:, :k]
    found_V = np.take_along_axis(positive_VK, best_VK, axis=1).sum(1)[known_V]
    return 100 * float((found_V > 0).mean()), 100 * float((found_V / positive_VK.sum(1)[known_V]).mean())

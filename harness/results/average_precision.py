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
    """Area (0-1) below the interpolated precision of one class. NaN where no video is positive."""
    return float(Rankings(scores_V[:, None], positive_V[:, None]).average_precisions()[0])


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
    return Rankings(scores_VK, np.asarray(target_VK) > 0).average_precisions()


def mean_average_precision(
    scores_VK: NDArray[np.floating], target_VK: NDArray[np.floating] | NDArray[np.bool_]
) -> float:
    """mAP in percent, the plain mean over the classes that occur. Raises ValueError where none does, and as above."""
    precisions_K = average_precisions(scores_VK, target_VK)
    if np.isnan(precisions_K).all():
        raise ValueError("no video has a label")
    return 100 * float(np.nanmean(precisions_K))


class Rankings:
    """Every class's ranking of the videos, made once: the precisions of many samples of the videos are then a few sums.

    Videos of equal score enter a ranking together, so nothing depends on the order of the videos.
    """

    def __init__(self, scores_VK: NDArray[np.floating], positive_VK: NDArray[np.bool_]) -> None:
        self.order_VK = np.argsort(-scores_VK, axis=0, kind="stable")
        ranked_VK = np.take_along_axis(scores_VK, self.order_VK, axis=0)
        self.last_VK = np.ones_like(positive_VK, dtype=bool)  # of equal scores
        self.last_VK[:-1] = ranked_VK[1:] != ranked_VK[:-1]
        self.positive_VK = np.take_along_axis(positive_VK, self.order_VK, axis=0)

    def average_precisions(self, times_V: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
        """(K,) where video v occurs `times_V[v]` times, by default once; NaN for a class that does not occur."""
        times_VK = np.ones_like(self.order_VK) if times_V is None else times_V[self.order_VK]
        hits_VK, seen_VK = np.cumsum(times_VK * self.positive_VK, axis=0), np.cumsum(times_VK, axis=0)
        precision_VK = np.where(self.last_VK & (seen_VK > 0), hits_VK / np.maximum(seen_VK, 1), 0.0)
        precision_VK = np.maximum.accumulate(precision_VK[::-1], axis=0)[::-1]
        total_K = hits_VK[-1]
        recall_VK = hits_VK / np.maximum(total_K, 1)
        area_K = (np.diff(recall_VK, axis=0, prepend=0.0) * precision_VK).sum(0)
        return np.where(total_K > 0, area_K, np.nan)

    def mean_average_precision(self, times_V: NDArray[np.integer]) -> float:
        """mAP in percent of such a sample, over the classes that occur; NaN where none does."""
        precisions_K = self.average_precisions(times_V)
        occurs_K = ~np.isnan(precisions_K)
        return 100 * float(precisions_K[occurs_K].mean()) if occurs_K.any() else float("nan")


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

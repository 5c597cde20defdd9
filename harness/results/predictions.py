"""Per-video scores as a frame and back, and the answers that follow from them.

Answers are the predicted class of each test video: a hundredth of the scores' bytes, and all that most statistics
ask for.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

SCORES = "scores.list.element"  # the parquet path of the one column of noise


def predictions_frame(
    scores_VGK: np.ndarray, labels: np.ndarray, video_ids: list[str], targets_VK: np.ndarray | None = None
) -> pd.DataFrame:
    """One line a video × view group: video, label, group, scores; with several labels a video (`targets_VK` of 0 and 1)
    also `labels`, all of them."""
    V, G, K = scores_VGK.shape
    columns = {
        "video": np.repeat(np.asarray(video_ids, dtype=object), G),
        "label": np.repeat(labels.astype(np.int32), G),
        "group": np.tile(np.arange(G, dtype=np.int16), V),
        "scores": list(scores_VGK.reshape(V * G, K)),
    }
    if targets_VK is not None:
        columns["labels"] = [np.flatnonzero(row).astype(np.int32) for row in targets_VK for _ in range(G)]
    return pd.DataFrame(columns)


def targets_from_predictions(predictions: pd.DataFrame) -> np.ndarray | None:
    """(V, K) of 0 and 1, in the frame's order of videos; None where a video has one label."""
    if "labels" not in predictions:
        return None
    first = predictions[predictions["group"] == 0]
    targets_VK = np.zeros((len(first), len(first["scores"].iloc[0])), dtype=bool)
    for video, labels in enumerate(first["labels"]):
        targets_VK[video, np.asarray(labels, dtype=np.int64)] = True
    return targets_VK


def scores_from_predictions(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The inverse of `predictions_frame`: (V, G, K) scores, labels, video ids, in the frame's order of videos."""
    groups = int(predictions["group"].max()) + 1
    scores = np.stack(predictions["scores"].to_list())
    first = predictions.iloc[::groups]
    return (
        scores.reshape(-1, groups, scores.shape[1]),
        first["label"].to_numpy(np.int64),
        first["video"].to_list(),
    )


def answers_frame(predictions: pd.DataFrame) -> pd.DataFrame | None:
    """One line a video in sorted order: video, label, predicted (class of the groups' mean, ties: the smaller).

    None for predictions without one label a video: there is no answer that is right or wrong.
    """
    if not {"video", "label", "group", "scores"} <= set(predictions.columns) or not len(predictions):
        return None
    if not pd.api.types.is_integer_dtype(predictions["label"]):
        return None
    scores_VGK, labels, videos = scores_from_predictions(predictions)
    order_V = np.argsort(np.asarray(videos, dtype=str))
    predicted = scores_VGK.mean(1).argmax(1)
    return pd.DataFrame(
        {
            "video": [videos[i] for i in order_V],
            "label": labels[order_V].astype(np.int32),
            "predicted": predicted[order_V].astype(np.int32),
        }
    )

"""A trial's answers to the test videos, read from its stored predictions: the one reader of all statistics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.results.store import Store
from harness.trial.evaluate import scores_from_predictions

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """A trial's answers: video ids in sorted order, their labels, the predicted classes (mean of the groups)."""

    videos: tuple[str, ...]
    labels: Ints
    predicted: Ints

    @property
    def right(self) -> NDArray[np.bool_]:
        """(videos,) whether each was answered rightly."""
        return self.predicted == self.labels


@lru_cache(maxsize=4096)
def answers(root: str, trial_id: str) -> Answers:
    """Read a trial's predictions. Raises UserError where they are missing or damaged."""
    scores_VGK, labels, videos = scores_from_predictions(Store(Path(root)).predictions(trial_id))
    order_V = np.argsort(np.asarray(videos, dtype=str))
    predicted = scores_VGK.mean(1).argmax(1)
    return Answers(tuple(videos[i] for i in order_V), labels[order_V], predicted[order_V])

"""What every trial answered on the test videos: read once, packed small, and which videos tell methods apart."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.base.errors import UserError
from harness.results.answers import answers
from harness.statistics.paired import flips

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class VideoSet:
    """The test videos that trials share: ids in sorted order and their labels; `manifest` names the dataset."""

    manifest: str
    videos: tuple[str, ...]
    labels: tuple[int, ...]


class AnswerBook:
    """All trials' answers by id. `problems` says why a trial has none; `sets` holds each set of videos once."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.sets: list[VideoSet] = []
        self._numbers: dict[VideoSet, int] = {}
        self._known: dict[str, tuple[int, Ints]] = {}  # trial id -> number of its set, predicted classes

    def read(self, root: str, trial_id: str, manifest: str) -> None:
        """Read one trial's predictions, or note why that is not possible."""
        try:
            found = answers(root, trial_id)
        except UserError as error:
            self.problems[trial_id] = str(error)
            return
        videos = VideoSet(manifest, found.videos, tuple(found.labels.tolist()))
        if videos not in self._numbers:
            self._numbers[videos] = len(self.sets)
            self.sets.append(videos)
        self._known[trial_id] = (self._numbers[videos], found.predicted)

    def number(self, trial_id: str) -> int | None:
        """Which of `sets` the trial was tested on; None where its answers are not known."""
        return self._known[trial_id][0] if trial_id in self._known else None

    def right(self, trial_id: str) -> Bools:
        """(videos,) right or wrong; KeyError for a trial whose answers are not known."""
        number, predicted_V = self._known[trial_id]
        return predicted_V == np.asarray(self.sets[number].labels)

    def packed(self, trial_id: str) -> str:
        """Right or wrong as one bit a video, the first video lowest, in base64."""
        return base64.b64encode(np.packbits(self.right(trial_id), bitorder="little").tobytes()).decode()

    def usual(self, trial_ids: Iterable[str], of: int, place: int) -> int | None:
        """The class that most of these trials answer for the video at `place` of set `of`; ties: the smaller."""
        known = [self._known[i] for i in trial_ids if self.number(i) == of]
        votes = Counter(int(predicted_V[place]) for _, predicted_V in known)
        return min(votes, key=lambda label: (-votes[label], label)) if votes else None


Seeds = dict[int, str]  # seed -> trial id
Place = tuple[int, int]  # number of the set, place of the video in it


def most_flipped(pairs: Iterable[tuple[Seeds, Seeds]], book: AnswerBook, limit: int) -> list[Place]:
    """The videos that flip in most of these (new, base) comparisons, the most often flipped first."""
    counts = Counter(place for new, base in pairs for place in _flipped(new, base, book))
    return sorted(counts, key=lambda place: (-counts[place], place))[:limit]


def _flipped(new: Seeds, base: Seeds, book: AnswerBook) -> list[Place]:
    """Places of the videos whose majority answer flips, over the seeds that both ran on the same videos."""
    common = [s for s in new if s in base and None is not book.number(new[s]) == book.number(base[s])]
    numbers = {book.number(new[seed]) for seed in common}
    if len(numbers) != 1:
        return []
    (number,) = numbers
    new_SV, base_SV = (np.stack([book.right(row[seed]) for seed in common]) for row in (new, base))
    return [(number or 0, flip.place) for flip in flips(new_SV, base_SV)]

"""What every trial answered on the test videos: read once, packed small, and which videos tell methods apart."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.results import Store
from harness.statistics.paired import flips, on_common_seeds
from harness.trial.evaluate import scores_from_predictions


@dataclass(frozen=True)
class VideoSet:
    """The test videos that trials share: ids in sorted order and their labels; `manifest` names the dataset."""

    manifest: str
    videos: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Answers:
    """One trial's answers: the predicted class of every video of `of`, in its order."""

    of: VideoSet
    predicted_V: NDArray[np.int64]

    @property
    def right_V(self) -> NDArray[np.bool_]:
        return self.predicted_V == np.asarray(self.of.labels)

    def packed(self) -> str:
        """Right or wrong as one bit a video, the first video lowest, in base64."""
        return base64.b64encode(np.packbits(self.right_V, bitorder="little").tobytes()).decode()


def read_answers(root: Path, trial_id: str, manifest: str) -> Answers:
    """A trial's answers (mean over view groups). UserError where its file of predictions cannot be read."""
    scores_VGK, labels_V, videos = scores_from_predictions(Store(root).predictions(trial_id))
    order_V = np.argsort(np.asarray(videos, dtype=str))
    labels = tuple(int(label) for label in labels_V[order_V])
    names = tuple(str(videos[i]) for i in order_V)
    return Answers(VideoSet(manifest, names, labels), scores_VGK.mean(1).argmax(1)[order_V])


class AnswerBook:
    """All trials' answers by id. `problems` says why a trial has none; equal video sets are one object."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.sets: list[VideoSet] = []
        self._answers: dict[str, Answers] = {}
        self._numbers: dict[VideoSet, int] = {}

    def read(self, root: Path, trial_id: str, manifest: str) -> None:
        """Read one trial, or note why that is not possible."""
        try:
            answers = read_answers(root, trial_id, manifest)
        except UserError as error:
            self.problems[trial_id] = str(error)
            return
        if answers.of not in self._numbers:
            self._numbers[answers.of] = len(self.sets)
            self.sets.append(answers.of)
        shared = self.sets[self._numbers[answers.of]]
        self._answers[trial_id] = Answers(shared, answers.predicted_V)

    def get(self, trial_id: str) -> Answers | None:
        return self._answers.get(trial_id)

    def number(self, trial_id: str) -> int | None:
        """Which of `sets` the trial was tested on."""
        answers = self.get(trial_id)
        return None if answers is None else self._numbers[answers.of]


Seeds = dict[int, str]  # seed -> trial id


def most_flipped(pairs: Iterable[tuple[Seeds, Seeds]], book: AnswerBook, limit: int) -> list[tuple[int, str]]:
    """The videos that flip in most of these (new, base) comparisons: (number of the video set, video id)."""
    counts: Counter[tuple[int, str]] = Counter()
    for new, base in pairs:
        for key in _flipped(new, base, book):
            counts[key] += 1
    return [key for key, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]]


def _flipped(new: Seeds, base: Seeds, book: AnswerBook) -> list[tuple[int, str]]:
    known_new = {s: a for s, i in new.items() if (a := book.get(i)) is not None}
    known_base = {s: a for s, i in base.items() if (a := book.get(i)) is not None}
    sets = {id(a.of): a.of for a in (*known_new.values(), *known_base.values())}
    if len(sets) != 1 or not known_new.keys() & known_base.keys():
        return []
    new_SV, base_SV, _ = on_common_seeds(*_table(known_new), *_table(known_base))
    (videos,) = sets.values()
    return [(book.sets.index(videos), str(v)) for v in flips(new_SV, base_SV, videos.videos)["video"]]


def _table(known: dict[int, Answers]) -> tuple[NDArray[np.bool_], Sequence[int]]:
    return np.stack([a.right_V for a in known.values()]), list(known)


def usual_answer(trial_ids: Iterable[str], video: str, book: AnswerBook) -> int | None:
    """The class that most of these trials answer for a video; of equally frequent ones the smallest number."""
    votes: Counter[int] = Counter()
    for answers in filter(None, map(book.get, trial_ids)):
        if video in answers.of.videos:
            votes[int(answers.predicted_V[answers.of.videos.index(video)])] += 1
    return min(votes, key=lambda label: (-votes[label], label)) if votes else None

"""The contract of a dataset: what it is, its videos by role, and one video as the batches see it.

Nothing outside `harness.data` asks which dataset it is: what another package needs stands here. A dataset's own
file fills in these classes (`digits/` the embedded one, `formats/` one file a published one) and registers itself
under the name of its specification (`harness.data.registry`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from harness.base.errors import UserError, near_match

if TYPE_CHECKING:
    import pandas as pd

Role = Literal["train", "select", "report"]
ROLES: tuple[Role, ...] = ("train", "select", "report")
Flip = Literal["yes", "swap", "no"]
Progress = Callable[[str, int, int], None]
"""Told (stage, done, total)."""
Boxes = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Region boxes of the frames at these places, (F, R, 4) as x1, y1, x2, y2 in pixels of what `read` gives; the
R of every video of a dataset is the same, an absent region is all zeros."""


class Sample(Protocol):
    """One video, opened lazily: cheap to make, safe to pickle. Every size is known without decoding."""

    @property
    def video_id(self) -> str: ...

    @property
    def labels(self) -> tuple[int, ...]:
        """Its label, or several (ActivityNet)."""
        ...

    @property
    def boxes(self) -> Boxes | None:
        """Region boxes for a network on graphs; None where the dataset has none."""
        ...

    def frames(self) -> int:
        """How many frames `read` can give, at least 1."""
        ...

    def fps(self) -> float:
        """Frames a second; 0 where nobody says."""
        ...

    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels of what `read` gives, upright."""
        ...

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The frames at these places, (F, H, W, 3) RGB, upright, in the order asked; a place may be asked twice.

        Raises harness.data.VideoError, which names the file, where a frame cannot be had: nothing is put in its
        place.
        """
        ...


class DatasetInfo(BaseModel):
    """What a dataset is. Shares are 0-1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    manifest_hash: str
    """SHA-256 of all that decides which frames a video shows; no path, host or date. Part of a record."""
    class_names: tuple[str, ...]
    """In label order."""
    splits: dict[Role, str]
    """Role -> the published split (or the part of one) that plays it. Nothing is chosen on `report`."""
    counts: dict[Role, int]
    """Videos that are there and can be read, by role."""
    excluded: dict[Role, dict[str, str]] = {}
    """Role -> video id -> why it is left out; every caption counts them."""
    metrics: tuple[str, ...] = ("top1", "top5")
    """Names of the registered metrics that the dataset is judged by; the first decides."""
    multi_label: bool = False
    facets: tuple[str, ...] = ()
    """What answers can be split up by (the embedded dataset's factors): `facet_metrics` gives `factor_NAME` of each."""
    flip: Flip = "yes"
    """What a mirror does to a class: yes: nothing; swap: turns some into one another (`label_swaps`); no: it must
    not be used."""
    label_swaps: tuple[tuple[int, int], ...] = ()
    """Pairs of labels that are mirror images."""
    order_blind_ceiling: float | None = None
    """Best top-1 of a model that never sees the order of its snippets, where that is known."""
    chance: float | None = None
    """Top-1 of a blind guess, where that is known."""
    facts: dict[str, str | int | float] = {}
    """Whatever else `harness data info` prints: sizes, rates, bytes."""
    directory: Path | None = None
    """Where it lies on this machine."""

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def mirrored_labels(self) -> NDArray[np.int64]:
        """(K,): the label of each class's mirror image, itself where `label_swaps` does not name it.

        Scores of a mirrored view are put in order by it: `scores_NK[:, info.mirrored_labels()]`.
        """
        mirrored_K = np.arange(self.num_classes)
        for one, other in self.label_swaps:
            mirrored_K[[one, other]] = other, one
        return mirrored_K


@dataclass(frozen=True)
class Split:
    """The videos of one role. Video i is row i of `table`, the same i in every list, batch and score.

    table: columns `video_id` and `label` (the first label), and whatever else the dataset knows of a video.
    opener: gives video i as a `Sample`; must be picklable, for it travels to the loader's workers.
    """

    info: DatasetInfo
    role: Role
    table: pd.DataFrame
    opener: Callable[[int], Sample]
    multi_hot: NDArray[np.float32] | None = None
    """(V, K), 1 for each label of a video; None where every video has one label."""
    labels: NDArray[np.int64] = field(init=False)
    """(V,), the first label of each video."""
    video_ids: list[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", self.table.reset_index(drop=True))
        object.__setattr__(self, "labels", self.table["label"].to_numpy(np.int64))
        object.__setattr__(self, "video_ids", self.table["video_id"].tolist())

    @property
    def name(self) -> str:
        """The published split's name."""
        return self.info.splits[self.role]

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, i: int) -> Sample:
        return self.opener(i)


class Dataset(Protocol):
    """A dataset that is ready on disk."""

    @property
    def info(self) -> DatasetInfo: ...

    def split(self, role: Role) -> Split:
        """The videos of one role. Raises UserError for a role that there is not."""
        ...

    def facet_metrics(self, scores_VK: NDArray[np.floating], role: Role) -> dict[str, float]:
        """Why a row wins: metrics in percent by the dataset's own facets, from the scores of every video of a role
        in the split's order; empty where it has none.

        Raises ValueError where the rows of scores are not the videos of the role.
        """
        ...


@dataclass(frozen=True)
class Sizes:
    """What is known of a dataset without preparing it: for estimates of time, memory and cost."""

    videos: dict[Role, int]
    num_classes: int
    frames: float
    """Mean frames a video."""
    fps: float
    size_wh: tuple[int, int]
    """Usual width and height in pixels."""


class Source(Protocol):
    """All that a dataset's name decides, from its specification alone: what `register_dataset` takes.

    of_a_copy: whether its videos are the user's copy, which is checked (`prepare`) before anything is planned
    """

    of_a_copy: bool

    def describe(self, spec: Any) -> Sizes | None:
        """Its size, where that is known without preparing it. Must not import torch, decord or av."""
        ...

    def class_names(self, spec: Any) -> tuple[str, ...]:
        """In label order; empty where they are only known from the user's files."""
        ...

    def facet_answers(
        self, spec: Any, predicted_V: NDArray[np.int64], labels_V: NDArray[np.int64]
    ) -> Mapping[str, tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        """Facet -> (which of these videos it is about, whether each of them is right in it); empty without facets."""
        ...

    def is_ready(self, spec: Any, root: Path) -> bool:
        """Whether `open` would find it; looks at no video."""
        ...

    def pinned(self, spec: Any, root: Path) -> Any:
        """The specification as a trial declares it: with the hash of the user's copy, where it depends on one and that
        was checked. Looks at no video."""
        ...

    def prepare(
        self, spec: Any, root: Path, *, workers: int | None = None, progress: Progress | None = None
    ) -> DatasetInfo:
        """Make or check what `open` needs, unless it is there. Safe to be called by several processes at once."""
        ...

    def open(self, spec: Any, root: Path) -> Dataset:
        """Raises UserError, with the remedy, where it is not prepared or damaged."""
        ...


def check_role(role: str, info: DatasetInfo) -> Role:
    """The role, or a UserError for one that the dataset has not got."""
    for known in info.splits:
        if role == known:
            return known
    raise UserError(
        f"dataset {info.name!r} has no split for the role {role!r}{near_match(role, info.splits)}; "
        f"it has {', '.join(info.splits)}"
    )


def multi_hot(labels: Sequence[tuple[int, ...]], num_classes: int) -> NDArray[np.float32]:
    """(V, K) targets from each video's labels."""
    target_VK = np.zeros((len(labels), num_classes), np.float32)
    for video, own in enumerate(labels):
        target_VK[video, list(own)] = 1
    return target_VK

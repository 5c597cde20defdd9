"""Kinetics-400 and Mini-Kinetics-200: official csv files, copies as CVDF, the crawler and others' scripts leave them.

A label is the class name's place in the sorted official names, never a folder's place: with brackets removed from
the folders' names, sorting them swaps two classes of skiing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.base.errors import UserError
from harness.data.dataset import Sizes
from harness.data.formats.base import (
    Found,
    Listed,
    Listing,
    class_index,
    find_annotation,
    read_csv,
    read_lines,
    refuse_twice,
)
from harness.data.published import PublishedSource
from harness.data.registry import register_dataset
from harness.experiment.datasets_published import Kinetics400, MiniKinetics200, PublishedVideos

_ID = 11  # characters of a YouTube id; it may itself hold "_" and "-", so names are cut by position
_TIMES = re.compile(r"^_(\d+)(?:_(\d+))?$")
_CSV_NAMES = {
    "train": ("kinetics-400_train.csv", "kinetics_train.csv", "k400_train.csv", "train.csv"),
    "report": ("kinetics-400_val.csv", "kinetics_val.csv", "k400_val.csv", "val.csv", "validate.csv"),
}


@dataclass(frozen=True)
class _Clip:
    youtube_id: str
    start: int
    label: str
    where: str
    """File and line."""

    def names(self) -> tuple[str, str]:
        """With its start, and the id alone."""
        return f"{self.youtube_id} {self.start}", self.youtube_id


def keys_of_name(name: str) -> Iterator[str]:
    """`ID_SSSSSS_EEEEEE`, `ID_S` (TSM's folders) and `ID` -> the keys of `_Clip`. A clip of the same video with
    another start (of Kinetics-600 or -700) is another clip."""
    youtube_id, rest = name[:_ID], name[_ID:]
    if not rest:
        yield youtube_id
    elif times := _TIMES.match(rest):
        yield f"{youtube_id} {int(times[1])}"


def read_clips(path: Path) -> list[_Clip]:
    """The clips of an official csv file in any of its variants (by column names). Raises UserError with the line."""
    clips = []
    for line, row in read_csv(path, ("label", "youtube_id", "time_start")):
        try:
            start = int(float(row["time_start"]))
        except ValueError:
            raise UserError(f"{path}:{line}: time_start is {row['time_start']!r}, not a number") from None
        if len(row["youtube_id"]) != _ID:
            raise UserError(f"{path}:{line}: youtube_id {row['youtube_id']!r} has not {_ID} characters")
        label = row["label"].strip().strip('"')
        clips.append(_Clip(row["youtube_id"], start, label, f"{path}:{line}"))
    if not clips:
        raise UserError(f"{path}: no clip is listed")
    return clips


def _official(spec: PublishedVideos) -> dict[str, list[_Clip]]:
    clips = {split: read_clips(find_annotation(spec, names)) for split, names in _CSV_NAMES.items()}
    refuse_twice((clip.youtube_id, clip.where) for own in clips.values() for clip in own)
    return clips


def _listed(spec: PublishedVideos, clips: dict[str, list[_Clip]], names: tuple[str, ...]) -> Iterator[Any]:
    """Every clip with the place where it was found; at the end, how many lie there twice."""
    found = Found(spec, keys_of_name, (key for own in clips.values() for clip in own for key in clip.names()))
    index = class_index(names)
    for split, own in clips.items():
        for clip in own:
            yield Listed(clip.youtube_id, found.path(*clip.names()), (index[clip.label],), split)


@register_dataset("kinetics_400")
class Kinetics400Source(PublishedSource):
    """See `harness.data.dataset.Source`."""

    sizes = Sizes({"train": 246_534, "report": 19_906}, 400, 300, 30, (340, 256))

    def names(self, spec: Kinetics400) -> tuple[str, ...]:
        return _sorted_names(_official(spec))

    def listing(self, spec: Kinetics400) -> Listing:
        clips = _official(spec)
        names = _sorted_names(clips)
        return Listing(
            class_names=names,
            videos=tuple(_listed(spec, clips, names)),
            published={"train": "train", "report": "val"},
        )


@register_dataset("mini_kinetics_200")
class MiniKinetics200Source(PublishedSource):
    """See `harness.data.dataset.Source`. The lists hold ids alone: labels come from the Kinetics csv files."""

    sizes = Sizes({"train": 80_000, "report": 5_000}, 200, 300, 30, (340, 256))

    def names(self, spec: MiniKinetics200) -> tuple[str, ...]:
        return _class_order(spec, _joined(spec))

    def listing(self, spec: MiniKinetics200) -> Listing:
        clips = _joined(spec)
        names = _class_order(spec, clips)
        return Listing(
            class_names=names,
            videos=tuple(_listed(spec, clips, names)),
            published={"train": "train", "report": "val"},
        )


def _sorted_names(clips: dict[str, list[_Clip]]) -> tuple[str, ...]:
    return tuple(sorted({clip.label for own in clips.values() for clip in own}))


def _joined(spec: MiniKinetics200) -> dict[str, list[_Clip]]:
    official = _official(spec)
    clips = {
        split: _join(find_annotation(spec, (name,)), official[split])
        for split, name in (("train", "train_ytid_list.txt"), ("report", "val_ytid_list.txt"))
    }
    refuse_twice((clip.youtube_id, clip.where) for own in clips.values() for clip in own)
    return clips


def _join(id_list: Path, official: list[_Clip]) -> list[_Clip]:
    by_id = {clip.youtube_id: clip for clip in official}
    clips: list[_Clip] = []
    for line, text in read_lines(id_list):
        youtube_id = text.strip()
        if youtube_id not in by_id:
            raise UserError(
                f"{id_list}:{line}: {youtube_id!r} is not in the Kinetics-400 csv of that split; this is not the "
                "id list of Xie et al. (others share the name), or the csv is not whole"
            )
        clips.append(replace(by_id[youtube_id], where=f"{id_list}:{line}"))
    return clips


def _class_order(spec: MiniKinetics200, clips: dict[str, list[_Clip]]) -> tuple[str, ...]:
    """Sorted, or in V4D's order: that of the blocks of the val list, which its label converter follows."""
    names = _sorted_names(clips)
    if spec.label_order == "sorted":
        return names
    blocks = tuple(dict.fromkeys(clip.label for clip in clips["report"]))
    if len(blocks) < len(names):
        raise UserError(
            f"label_order v4d: the val list has {len(blocks)} classes, the train list {len(names)}"
        )
    return blocks

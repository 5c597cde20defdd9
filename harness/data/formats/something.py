"""Something-Something V1 (semicolon csv, folders of frames) and V2 (JSON, videos)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
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
    label_of,
    read_lines,
    read_names,
    refuse_twice,
)
from harness.data.published import PublishedSource
from harness.data.registry import register_dataset
from harness.experiment.datasets_published import PublishedVideos, SomethingV1, SomethingV2

_Rows = dict[str, list[tuple[str, str, str]]]
"""Split -> (video id, class name, file:line) of its videos."""


@register_dataset("something_v1")
class SomethingV1Source(PublishedSource):
    """See `harness.data.dataset.Source`."""

    sizes = Sizes({"train": 86_017, "report": 11_522}, 174, 45, 12, (176, 100))

    def names(self, spec: SomethingV1) -> tuple[str, ...]:
        """Sorted as TSM, TRN and MVFNet sort them; mmaction2 numbers the classes in the order of the file."""
        return tuple(sorted(read_names(find_annotation(spec, ("something-something-v1-labels.csv",)))))

    def listing(self, spec: SomethingV1) -> Listing:
        stem = "something-something-v1-"
        rows = {
            "train": list(_semicolon(find_annotation(spec, (f"{stem}train.csv",)))),
            "report": list(_semicolon(find_annotation(spec, (f"{stem}validation.csv",)))),
        }
        return _listing(spec, self.names(spec), rows)


@register_dataset("something_v2")
class SomethingV2Source(PublishedSource):
    """See `harness.data.dataset.Source`."""

    sizes = Sizes({"train": 168_913, "report": 24_777}, 174, 45, 12, (427, 240))

    def names(self, spec: SomethingV2) -> tuple[str, ...]:
        return _label_file(find_annotation(spec, ("something-something-v2-labels.json", "labels.json")))

    def listing(self, spec: SomethingV2) -> Listing:
        stem = "something-something-v2-"
        rows = {
            "train": list(_templates(find_annotation(spec, (f"{stem}train.json", "train.json")))),
            "report": list(_templates(find_annotation(spec, (f"{stem}validation.json", "validation.json")))),
        }
        return _listing(spec, self.names(spec), rows)


def _semicolon(path: Path) -> Iterator[tuple[str, str, str]]:
    for line, text in read_lines(path):
        video_id, separator, name = text.partition(";")
        if not separator:
            raise UserError(
                f"{path}:{line}: no ';' between id and label (the test list has no labels): {text!r}"
            )
        yield video_id.strip(), name.strip(), f"{path}:{line}"


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: {error}") from None


def _templates(path: Path) -> Iterator[tuple[str, str, str]]:
    """The class is the template without the brackets about its placeholders."""
    rows = _json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a list of videos")
    for number, row in enumerate(rows, start=1):
        where = f"{path}: entry {number}"
        if not isinstance(row, dict) or "id" not in row or "template" not in row:
            raise UserError(f"{where}: no 'id' or 'template' (the test list has no labels)")
        yield str(row["id"]), row["template"].replace("[", "").replace("]", ""), where


def _label_file(path: Path) -> tuple[str, ...]:
    """Name -> index (a number in quotes), checked to be 0 … K-1."""
    table = _json(path)
    try:
        by_label = {int(label): name for name, label in table.items()}
    except (AttributeError, ValueError, TypeError):
        raise UserError(f"{path}: expected a mapping of class names to numbers") from None
    if sorted(by_label) != list(range(len(table))):
        raise UserError(f"{path}: the labels are not 0 to {len(table) - 1}, each once")
    return tuple(by_label[label] for label in range(len(table)))


def mirror_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of labels whose names differ by left and right alone: what a mirror turns into one another."""
    index = class_index(names)
    swapped = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
    mirrored = (" ".join(swapped.get(word, word) for word in name.split(" ")) for name in names)
    pairs = ((label, index.get(mirror, label)) for label, mirror in enumerate(mirrored))
    return tuple((one, other) for one, other in pairs if one < other)


def _listing(spec: PublishedVideos, names: tuple[str, ...], rows: _Rows) -> Listing:
    index = class_index(names)
    refuse_twice((video_id, where) for own in rows.values() for video_id, _, where in own)
    found = Found(spec, lambda name: (name,), (video_id for own in rows.values() for video_id, _, _ in own))
    videos = (
        Listed(video_id, found.path(video_id), (label_of(name, index, where),), split)
        for split, own in rows.items()
        for video_id, name, where in own
    )
    return Listing(
        class_names=names,
        videos=tuple(videos),
        published={"train": "train", "report": "validation"},
        flip="swap",  # TSM and TEA never mirror; mmaction2 mirrors and exchanges labels: a recipe says which
        label_swaps=mirror_pairs(names),
    )

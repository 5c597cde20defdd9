"""ActivityNet 1.3: one JSON file; several labels a video; judged by mAP.

Classes are the leaves of the taxonomy sorted as strings (TSN's order: "BMX" comes ahead of "Baking cookies").
Two other orders are about (sorted in lower case, and mmaction2's); the official scorer goes by names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from harness.base.errors import UserError
from harness.data.dataset import Sizes
from harness.data.formats.base import Found, Listed, Listing, class_index, find_annotation, label_of
from harness.data.published import PublishedSource
from harness.data.registry import register_dataset
from harness.experiment.datasets_published import ActivityNet13

_FILES = ("activity_net.v1-3.min.json", "activity_net.v1-3.json")
_SPLITS = {"training": "train", "validation": "report"}


class _Node(BaseModel):
    nodeName: str
    parentName: str | None = None


class _Annotation(BaseModel):
    label: str


class _Video(BaseModel):
    subset: str
    annotations: list[_Annotation] = []


class _File(BaseModel):
    """What is asked of the official file; it holds more."""

    taxonomy: list[_Node]
    database: dict[str, _Video]


@register_dataset("activitynet_1_3")
class ActivityNetSource(PublishedSource):
    """See `harness.data.dataset.Source`."""

    sizes = Sizes({"train": 10_024, "report": 4_926}, 200, 3_500, 30, (427, 240))

    def names(self, spec: ActivityNet13) -> tuple[str, ...]:
        return leaves(_read(find_annotation(spec, _FILES)).taxonomy)

    def listing(self, spec: ActivityNet13) -> Listing:
        path = find_annotation(spec, _FILES)
        data = _read(path)
        names = leaves(data.taxonomy)
        index = class_index(names)
        database = {k: v for k, v in data.database.items() if v.subset in _SPLITS}
        found = Found(spec, lambda name: (name, f"v_{name}"), (f"v_{video_id}" for video_id in database))
        videos = []
        for video_id, entry in database.items():
            own = dict.fromkeys(a.label for a in entry.annotations)  # distinct, in order
            if not own:
                raise UserError(f"{path}: {video_id} of {entry.subset} has no annotation")
            labels = tuple(label_of(name, index, f"{path}: {video_id}") for name in own)
            videos.append(Listed(video_id, found.path(f"v_{video_id}"), labels, _SPLITS[entry.subset]))
        return Listing(
            class_names=names,
            videos=tuple(videos),
            published={"train": "training", "report": "validation"},
            metrics=("map", "top1", "top5"),
            multi_label=True,
            notes=("trained on every distinct label of a video",),
        )


def leaves(taxonomy: Sequence[_Node]) -> tuple[str, ...]:
    """Names that are nobody's parent, sorted as strings."""
    parents = {node.parentName for node in taxonomy}
    return tuple(sorted({node.nodeName for node in taxonomy} - parents))


def _read(path: Path) -> _File:
    """Raises UserError, with the place of what is amiss."""
    try:
        return _File.model_validate_json(path.read_text(encoding="utf-8-sig"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(
            f"{path}: {where}: {first['msg']}; expected the official file of ActivityNet 1.3"
        ) from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: {error}") from None

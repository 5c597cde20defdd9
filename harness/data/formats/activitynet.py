"""ActivityNet 1.3: one JSON file; several labels a video; judged by mAP.

Classes are the leaves of the taxonomy sorted as strings (TSN's order: "BMX" comes ahead of "Baking cookies").
Two other orders are about (sorted in lower case, and mmaction2's); the official scorer goes by names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.base.errors import UserError
from harness.data.dataset import Sizes
from harness.data.formats.base import Found, Listed, Listing, class_index, find_annotation, label_of
from harness.data.published import PublishedSource
from harness.data.registry import register_dataset
from harness.experiment.datasets_published import ActivityNet13

_FILES = ("activity_net.v1-3.min.json", "activity_net.v1-3.json")
_SPLITS = {"training": "train", "validation": "report"}


@register_dataset("activitynet_1_3")
class ActivityNetSource(PublishedSource):
    """See `harness.data.dataset.Source`."""

    sizes = Sizes({"train": 10_024, "report": 4_926}, 200, 3_500, 30, (427, 240))

    def listing(self, spec: ActivityNet13) -> Listing:
        path = find_annotation(spec, _FILES)
        data = _read(path)
        names = leaves(data["taxonomy"])
        index = class_index(names)
        database = {k: v for k, v in data["database"].items() if v.get("subset") in _SPLITS}
        found = Found(spec, lambda name: (name, f"v_{name}"), (f"v_{video_id}" for video_id in database))
        videos = []
        for video_id, entry in database.items():
            own = dict.fromkeys(a["label"] for a in entry.get("annotations", []))  # distinct, in order
            if not own:
                raise UserError(f"{path}: {video_id} of {entry['subset']} has no annotation")
            labels = tuple(label_of(name, index, f"{path}: {video_id}") for name in own)
            videos.append(Listed(video_id, found.path(f"v_{video_id}"), labels, _SPLITS[entry["subset"]]))
        return Listing(
            class_names=names,
            videos=tuple(videos),
            published={"train": "training", "report": "validation"},
            metrics=("map", "top1", "top5"),
            multi_label=True,
            notes=("trained on every distinct label of a video",),
        )


def leaves(taxonomy: list[dict[str, Any]]) -> tuple[str, ...]:
    """Names that are nobody's parent, sorted as strings."""
    parents = {node.get("parentName") for node in taxonomy}
    return tuple(sorted({node["nodeName"] for node in taxonomy} - parents))


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: {error}") from None
    for key in ("taxonomy", "database"):
        if not isinstance(data, dict) or key not in data:
            raise UserError(f"{path}: no {key!r}; expected version, taxonomy and database")
    return dict(data)

"""What a table, a comparison and the page ask of a dataset: names, facets, pictures; only here is `harness.data` asked.

Whatever a dataset does not have is empty, and whoever asks shows nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.base.errors import UserError

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_TITLES = {
    "scripted_digits": "Scripted Digits",
    "mini_kinetics_200": "Mini-Kinetics-200",
    "kinetics_400": "Kinetics-400",
    "activitynet_1_3": "ActivityNet 1.3",
    "something_v1": "Something-Something V1",
}


def dataset_name(dataset: Any) -> str:
    """A dataset's name in words; of its declaration (a mapping or a typed one) or its key."""
    key = dataset.get("name") if isinstance(dataset, Mapping) else getattr(dataset, "name", dataset)
    return _TITLES.get(str(key), str(key))


def class_names(dataset: Any) -> list[str]:
    """Names of a dataset's classes in label order; none where they are not declared or this code does not know it."""
    from harness.data import ScriptedDigits, dataset_spec
    from harness.data.digits.script import classes

    try:
        spec = dataset_spec(dataset)
    except UserError:
        return []
    return [c.class_name for c in classes(spec)] if isinstance(spec, ScriptedDigits) else []


def right_by_facet(dataset: Any, labels_V: Ints, predicted_SV: Ints) -> dict[str, Bools]:
    """Facet -> (seeds, videos that it concerns) right or wrong; empty for a dataset without facets.

    Scripted Digits: appearance is the right actor in all videos; motion, order and position are the right script in the
    videos that need just that (`harness.data.factor_accuracies`).
    """
    from harness.data import ScriptedDigits, dataset_spec
    from harness.data.digits.script import classes

    try:
        spec = dataset_spec(dataset)
    except UserError:
        return {}
    if not isinstance(spec, ScriptedDigits):
        return {}
    table = classes(spec)
    actor_K, script_K = np.array([c.actor for c in table]), np.array([c.script for c in table])
    family_V = np.array([table[k].family for k in labels_V])
    script_SV = script_K[predicted_SV] == script_K[labels_V]
    return {"appearance": actor_K[predicted_SV] == actor_K[labels_V]} | {
        family: script_SV[:, family_V == family] for family in sorted(set(family_V))
    }


def frames_of(
    dataset: Any, manifest: str, videos: Sequence[str], root: Path | None, count: int
) -> dict[str, list[NDArray[np.uint8]]]:
    """Video id -> `count` small frames of it, for those that the prepared dataset has.

    Raises UserError where the dataset is not there, is another one than the records' (`manifest`), or cannot be read.
    """
    from harness.data import ScriptedDigits, data_root, dataset_spec, open_dataset, thumbnails

    spec = dataset_spec(dataset)
    if not isinstance(spec, ScriptedDigits):
        raise UserError(f"the videos of {spec.name} cannot be read yet")
    prepared = open_dataset(spec, root or data_root())
    if prepared.info.manifest_hash != manifest:
        raise UserError(
            f"the dataset in {prepared.info.directory} is not the one of the records "
            f"(manifest {prepared.info.manifest_hash[:12]} instead of {manifest[:12]})"
        )
    test, wanted = prepared.split("test"), set(videos)
    places = {video: i for i, video in enumerate(test.video_ids) if video in wanted}
    return {video: list(thumbnails(test, i, count)) for video, i in places.items()}

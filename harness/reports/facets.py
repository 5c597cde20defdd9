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
from harness.experiment.datasets import DatasetSpec, parse_dataset

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def class_names(dataset: Mapping[str, Any] | DatasetSpec) -> list[str]:
    """Names of a dataset's classes in label order; none where they are not declared or this code does not know it."""
    from harness.data import class_names as declared

    try:
        return list(declared(_spec(dataset)))
    except UserError:
        return []


def _spec(dataset: Mapping[str, Any] | DatasetSpec) -> DatasetSpec:
    """Its typed declaration. Raises UserError for one that this version does not know."""
    return parse_dataset(dataset) if isinstance(dataset, Mapping) else dataset


def right_by_facet(dataset: DatasetSpec, labels_V: Ints, predicted_SV: Ints) -> dict[str, Bools]:
    """Facet -> (seeds, videos that it concerns) right or wrong; empty for a dataset without facets."""
    from harness.data import facet_answers

    by_seed = [facet_answers(dataset, predicted_V, labels_V) for predicted_V in predicted_SV]
    return {facet: np.stack([found[facet][1] for found in by_seed]) for facet in by_seed[0]}


def frames_of(
    dataset: Mapping[str, Any], manifest: str, videos: Sequence[str], root: Path | None, count: int, px: int
) -> dict[str, list[NDArray[np.uint8]]]:
    """Video id -> `count` small frames of it, no higher than `px`, for those that the prepared dataset has.

    Raises UserError where the dataset is not there, is another one than the records' (`manifest`), or cannot be read.
    """
    from harness.data import data_root, open_dataset, thumbnails

    prepared = open_dataset(_spec(dataset), root or data_root())
    if prepared.info.manifest_hash != manifest:
        raise UserError(
            f"the dataset in {prepared.info.directory} is not the one of the records "
            f"(manifest {prepared.info.manifest_hash[:12]} instead of {manifest[:12]})"
        )
    report, wanted = prepared.split("report"), set(videos)
    places = {video: i for i, video in enumerate(report.video_ids) if video in wanted}
    return {video: list(thumbnails(report.sample(i), count, px)) for video, i in places.items()}

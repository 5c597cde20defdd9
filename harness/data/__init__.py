"""Datasets: one contract, decoding, sampling and views, augmentation, batches.

Names are imported on first use, so that reading an experiment does not pay for torch, decord or pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.data.batches import CroppedBatch, Shard, TestBatches, TrainBatch, TrainBatches
    from harness.data.dataset import Dataset, DatasetInfo, Role, Sample, Sizes, Source, Split
    from harness.data.pictures import contact_sheet_png, thumbnails
    from harness.data.reading import Loading
    from harness.data.registry import (
        class_names,
        data_root,
        describe,
        facet_answers,
        is_ready,
        known_datasets,
        open_dataset,
        pinned,
        prepare,
        register_dataset,
    )
    from harness.data.sampling import test_places, train_places
    from harness.data.video import VideoError, probe, read_frames
    from harness.data.views import crop_offsets, snippet_groups
    from harness.experiment.datasets import ScriptedDigits
    from harness.experiment.datasets import parse_dataset as dataset_spec

_NAMES = {
    "batches": ("Shard", "CroppedBatch", "TestBatches", "TrainBatch", "TrainBatches"),
    "dataset": ("Dataset", "DatasetInfo", "Role", "Sample", "Sizes", "Source", "Split"),
    "pictures": ("contact_sheet_png", "thumbnails"),
    "reading": ("Loading",),
    "registry": (
        "class_names",
        "data_root",
        "describe",
        "facet_answers",
        "is_ready",
        "known_datasets",
        "open_dataset",
        "pinned",
        "prepare",
        "register_dataset",
    ),
    "sampling": ("test_places", "train_places"),
    "video": ("VideoError", "probe", "read_frames"),
    "views": ("crop_offsets", "snippet_groups"),
}
_HOME = {name: f"harness.data.{module}" for module, names in _NAMES.items() for name in names}

__all__ = [
    "CroppedBatch",
    "Dataset",
    "DatasetInfo",
    "Loading",
    "Role",
    "Sample",
    "ScriptedDigits",
    "Shard",
    "Sizes",
    "Source",
    "Split",
    "TestBatches",
    "TrainBatch",
    "TrainBatches",
    "VideoError",
    "class_names",
    "contact_sheet_png",
    "crop_offsets",
    "data_root",
    "dataset_spec",
    "describe",
    "facet_answers",
    "is_ready",
    "known_datasets",
    "open_dataset",
    "pinned",
    "prepare",
    "probe",
    "read_frames",
    "register_dataset",
    "snippet_groups",
    "test_places",
    "thumbnails",
    "train_places",
]


def __getattr__(name: str) -> Any:
    if name in ("ScriptedDigits", "dataset_spec"):  # until profiles parse their dataset themselves
        specifications = importlib.import_module("harness.experiment.datasets")
        return getattr(specifications, "parse_dataset" if name == "dataset_spec" else name)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)

"""Datasets: the embedded one, decoding, sampling, views and the loader.

Names are imported on first use, so that reading an experiment (which needs only `ScriptedDigits`) does not
pay for torch, decord or pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.data.dataset import Dataset, DatasetInfo, Split, factor_accuracies
    from harness.data.digits.cache import open_dataset, prepare, verify
    from harness.data.digits.script import ScriptedDigits, chance, order_blind_ceiling
    from harness.data.loader import TestBatches, TrainBatches
    from harness.data.pictures import contact_sheet_png, thumbnails
    from harness.data.registry import DatasetSpec, PublishedDataset, data_root, dataset_spec
    from harness.data.sampling import test_snippets, train_snippets
    from harness.data.video import VideoError, probe, read_frames
    from harness.data.views import crop_offsets, snippet_groups

_HOME = {
    "Dataset": "dataset",
    "DatasetInfo": "dataset",
    "DatasetSpec": "registry",
    "PublishedDataset": "registry",
    "ScriptedDigits": "digits.script",
    "Split": "dataset",
    "TestBatches": "loader",
    "TrainBatches": "loader",
    "VideoError": "video",
    "chance": "digits.script",
    "contact_sheet_png": "pictures",
    "crop_offsets": "views",
    "data_root": "registry",
    "dataset_spec": "registry",
    "factor_accuracies": "dataset",
    "open_dataset": "digits.cache",
    "order_blind_ceiling": "digits.script",
    "prepare": "digits.cache",
    "probe": "video",
    "read_frames": "video",
    "snippet_groups": "views",
    "test_snippets": "sampling",
    "thumbnails": "pictures",
    "train_snippets": "sampling",
    "verify": "digits.cache",
}

__all__ = [
    "Dataset",
    "DatasetInfo",
    "DatasetSpec",
    "PublishedDataset",
    "ScriptedDigits",
    "Split",
    "TestBatches",
    "TrainBatches",
    "VideoError",
    "chance",
    "contact_sheet_png",
    "crop_offsets",
    "data_root",
    "dataset_spec",
    "factor_accuracies",
    "open_dataset",
    "order_blind_ceiling",
    "prepare",
    "probe",
    "read_frames",
    "snippet_groups",
    "test_snippets",
    "thumbnails",
    "train_snippets",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"harness.data.{_HOME[name]}"), name)

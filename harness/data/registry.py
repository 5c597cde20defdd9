"""Datasets by name: one decorator, and the functions through which every other package reaches them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.base.errors import UserError
from harness.base.files import folder_from
from harness.data.dataset import Dataset, DatasetInfo, Progress, Sizes, Source
from harness.experiment.datasets import DatasetSpec

_SOURCES: dict[str, Source] = {}
_Kind = TypeVar("_Kind", bound=type[Source])


def register_dataset(name: str) -> Callable[[_Kind], _Kind]:
    """Make a `Source` (a class without arguments) the one for specifications of this name.

    Its module lies in `harness/data/formats/` or is `harness.data.digits`, and must import quickly: torch, pandas,
    decord and av belong inside its methods.
    """

    def register(kind: _Kind) -> _Kind:
        _SOURCES[name] = kind()
        return kind

    return register


@functools.cache
def _load_all() -> None:
    importlib.import_module("harness.data.digits")
    try:
        formats = importlib.import_module("harness.data.formats")
    except ModuleNotFoundError:
        return
    for module in pkgutil.iter_modules(formats.__path__):
        importlib.import_module(f"harness.data.formats.{module.name}")


def known_datasets() -> tuple[str, ...]:
    """The names that are registered."""
    _load_all()
    return tuple(_SOURCES)


def _source(spec: DatasetSpec) -> Source:
    _load_all()
    if spec.name not in _SOURCES:
        raise UserError(
            f"the videos of {spec.name!r} cannot be read yet, so nothing runs; "
            "`harness cost` counts its networks, and --profile embedded trains"
        )
    return _SOURCES[spec.name]


def describe(spec: DatasetSpec) -> Sizes | None:
    """Videos a role, classes, frames and their size; None where nobody knows before the user's files are read."""
    _load_all()
    return _SOURCES[spec.name].describe(spec) if spec.name in _SOURCES else None


def class_names(spec: DatasetSpec) -> tuple[str, ...]:
    """In label order; empty where they are not known from the specification."""
    _load_all()
    return _SOURCES[spec.name].class_names(spec) if spec.name in _SOURCES else ()


def facet_answers(
    spec: DatasetSpec, predicted_V: NDArray[np.int64], labels_V: NDArray[np.int64]
) -> Mapping[str, tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Facet -> (places (F,) of the videos it is about, right (F,) in it), from answers alone; empty without facets."""
    _load_all()
    return _SOURCES[spec.name].facet_answers(spec, predicted_V, labels_V) if spec.name in _SOURCES else {}


def pinned(spec: DatasetSpec, root: Path) -> DatasetSpec:
    """The specification as a trial declares it: with the hash of the user's copy, where that was checked."""
    _load_all()
    return _SOURCES[spec.name].pinned(spec, root) if spec.name in _SOURCES else spec


def check_copy(spec: DatasetSpec, root: Path, progress: Progress | None = None) -> None:
    """Look at every video of a user's copy, unless that was done; nothing for a dataset that the harness makes.

    Raises UserError where nobody says where the copy lies.
    """
    source = _source(spec)
    if source.of_a_copy and not source.is_ready(spec, root):
        source.prepare(spec, root, progress=progress)


def is_ready(spec: DatasetSpec, root: Path) -> bool:
    """Whether `open_dataset` would find it."""
    return _source(spec).is_ready(spec, root)


def prepare(
    spec: DatasetSpec, root: Path, *, workers: int | None = None, progress: Progress | None = None
) -> DatasetInfo:
    """Make the dataset, or check the user's copy, unless that is done. Several processes may call it at once.

    workers: processes, all of this process's cores by default. progress: told (stage, done, total).
    Raises UserError where it cannot be had, with the remedy.
    """
    return _source(spec).prepare(spec, root, workers=workers, progress=progress)


def open_dataset(spec: DatasetSpec, root: Path) -> Dataset:
    """The dataset, ready to be read. Raises UserError where it is not prepared, or damaged."""
    return _source(spec).open(spec, root)


def data_root() -> Path:
    """Where prepared datasets live: $HARNESS_DATA, else `data/` beside the package. Never part of an identity."""
    return folder_from("HARNESS_DATA", Path(__file__).resolve().parents[2] / "data")


def source_of(spec: DatasetSpec) -> Source:
    """The source itself, for what only copies of published datasets have (`harness.data.copy_report`)."""
    return _source(spec)

"""The datasets that trials need, made or checked before the first of them runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from harness.base.signals import shield_resource_tracker
from harness.experiment.datasets import DatasetSpec
from harness.plan.expand import Planned

Tell = Callable[[str, int, int], None]


def datasets_of(planned: Iterable[Planned]) -> list[DatasetSpec]:
    """The distinct datasets of these trials, in order."""
    return list(dict.fromkeys(p.trial.dataset for p in planned))


def prepare_datasets(specs: Iterable[DatasetSpec], data_root: Path, tell: Tell) -> None:
    """Prepare each unless it is there; `tell` hears (stage, done, total). Raises UserError with the remedy."""
    from harness import data

    shield_resource_tracker()
    for spec in specs:
        data.prepare(
            spec, data_root, progress=lambda stage, done, total: tell(f"dataset: {stage}", done, total)
        )

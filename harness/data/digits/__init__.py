"""The embedded dataset, Scripted Digits: what it shows, how it is drawn, made and kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Dataset, DatasetInfo, Progress, Sizes
from harness.data.digits.script import SPLIT_OF, classes
from harness.data.registry import register_dataset
from harness.experiment.datasets import ScriptedDigits


@register_dataset("scripted_digits")
class ScriptedDigitsSource:
    """See `harness.data.dataset.Source`."""

    of_a_copy = False

    def describe(self, spec: ScriptedDigits) -> Sizes:
        class_count = len(spec.actors) * len(spec.scripts)
        return Sizes(
            videos={role: class_count * getattr(spec.videos_per_class, s) for role, s in SPLIT_OF.items()},
            num_classes=class_count,
            frames=sum(spec.length) / 2,
            fps=spec.fps,
            size_wh=spec.size_wh,
        )

    def class_names(self, spec: ScriptedDigits) -> tuple[str, ...]:
        return tuple(c.class_name for c in classes(spec))

    def facet_answers(
        self, spec: ScriptedDigits, predicted_V: NDArray[np.int64], labels_V: NDArray[np.int64]
    ) -> Mapping[str, tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        from harness.data.digits.factors import factor_answers

        return factor_answers(spec, predicted_V, labels_V)

    def pinned(self, spec: ScriptedDigits, root: Path) -> ScriptedDigits:
        return spec  # it says all

    def is_ready(self, spec: ScriptedDigits, root: Path) -> bool:
        from harness.data.digits.cache import is_made

        return is_made(spec, root)

    def prepare(
        self,
        spec: ScriptedDigits,
        root: Path,
        *,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> DatasetInfo:
        from harness.data.digits.cache import prepare

        return prepare(spec, root, workers=workers, progress=progress)

    def open(self, spec: ScriptedDigits, root: Path) -> Dataset:
        from harness.data.digits.cache import open_digits

        return open_digits(spec, root)

"""What must be there before the first trial starts: datasets and starting weights.

Made here, once and with progress, so that trials which start together neither wait for one another nor race
(each is safe to make twice at once all the same).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.data import dataset_spec, prepare
from harness.experiment.identity import canonical_json
from harness.experiment.spec import Trial
from harness.trial.pretrain import weights_path
from harness.trial.run import prepare_start

Progress = Callable[[str, int, int], None]


def prepare_datasets(specs: Iterable[dict[str, Any]], root: Path, progress: Progress) -> None:
    """Make every dataset that is not there. Raises UserError for one whose videos cannot be read yet."""
    for spec in map(dataset_spec, specs):
        prepare(spec, root, progress=lambda stage, done, total: progress(f"dataset: {stage}", done, total))


def prepare_trials(trials: Iterable[Trial], root: Path, progress: Progress) -> None:
    """Make the datasets and the starting weights of these trials, telling `progress` (what, done, total)."""
    trials = list(trials)
    starts = {weights_path(t, root): t for t in trials if t.pretraining is not None}
    starts = {path: trial for path, trial in starts.items() if not path.exists()}
    specs = [t.pretraining.dataset for t in starts.values() if t.pretraining] + [t.dataset for t in trials]
    prepare_datasets({canonical_json(spec): spec for spec in specs}.values(), root, progress)
    for trial in starts.values():
        _train_start(trial, root, progress)


def _train_start(trial: Trial, root: Path, progress: Progress) -> None:
    stage = f"starting weights: {trial.network.backbone}"
    assert trial.pretraining is not None
    progress(stage, 0, trial.pretraining.recipe.epochs)
    prepare_start(trial, root, lambda told: progress(stage, told["epoch"], told["epochs"]))

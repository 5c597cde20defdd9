"""The function that runs a trial, by its import path: it reaches a worker as a name and not as a pickle."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.experiment.spec import Profile
from harness.plan.expand import Planned
from harness.trial.record import Record

RUN_TRIAL = "harness.trial.run:run_trial_safely"


@dataclass(frozen=True)
class Job:
    """What an executor is to run: trials in order, the profile's resources, where the data lie, by what."""

    todo: Sequence[Planned]
    profile: Profile
    data_root: Path
    run: str


def import_function(path: str) -> Callable[..., Record]:
    """`package.module:function` as the function: (trial, *, checkpoint_dir, data_root, report) -> Record."""
    module, _, name = path.partition(":")
    function: Callable[..., Record] = getattr(importlib.import_module(module), name)
    return function

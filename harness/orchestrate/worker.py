"""What runs in a trial's own process under Ray Tune: a few lines around a function without Ray."""

from __future__ import annotations

import json
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.experiment.spec import Trial
from harness.orchestrate.entry import import_function
from harness.trial.record import Record

PROGRESS, RECORD, RAISED = "progress", "record", "raised"


def trainable(config: dict[str, Any]) -> None:
    """Run one trial. Its record goes to the driver in the last report: results need no shared disk.

    No exception leaves it, not even of code that cannot be imported: Tune retries lost processes only.
    """
    from ray import tune

    try:
        record = _run(json.loads(config["spec"]), lambda report: tune.report({PROGRESS: report}))
    except Exception as error:
        tune.report({RAISED: [f"{type(error).__name__}: {error}", traceback.format_exc()]})
    else:
        tune.report({RECORD: pickle.dumps(record)})


def _run(spec: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> Record:
    return import_function(spec["run"])(
        Trial.model_validate(spec["trial"]),
        checkpoint_dir=Path(spec["checkpoint_dir"]),
        data_root=Path(spec["data_root"]),
        report=report,
    )

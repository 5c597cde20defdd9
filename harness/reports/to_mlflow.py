"""Trials as runs of an MLflow server: settings, curve, metrics, cost, and where they come from.

A trial is one run of an experiment there, however often this is done: it is known by a tag, and what its run has
already is not sent again. MLflow is imported here alone, and only when somebody asks for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import pandas as pd

from harness.base.errors import UserError
from harness.base.storage import refuse_key
from harness.base.text import first_line
from harness.plan.expand import Planned, distinct
from harness.results import Store
from harness.results.flatten import flat_config
from harness.results.record import Record

TRIAL, SENT = "harness.trial", "harness.sent"  # tags: whose run it is, and of which record all is there
LONGEST_PARAM = 6000  # letters that MLflow keeps
AT_ONCE = 100  # parameters in one request; MLflow takes no more
METRICS_AT_ONCE = 1000
_QUIET = {  # unless the user says otherwise: MLflow reads these when it is imported
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a wrong address is told within seconds
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
T = TypeVar("T")


@dataclass(frozen=True)
class Exported:
    """Ids of trials: made as new runs, completed (a run that lacked something), left as they were, without a record."""

    new: list[str] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    no_record: list[str] = field(default_factory=list)


class Exporter:
    """A client of one server. Raises UserError where MLflow is not installed or the address carries a key."""

    def __init__(self, uri: str) -> None:
        refuse_key(uri, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        try:
            import mlflow
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise UserError(
                f"export mlflow: MLflow is not installed ({first_line(error)}); `pip install mlflow-skinny` (the "
                "client alone is enough), then give the same command again"
            ) from None
        self.uri, self.failure = uri, MlflowException
        self.client = self._asked(lambda: mlflow.MlflowClient(uri))

    def export(self, experiment: str, planned: Sequence[Planned], frame: pd.DataFrame) -> Exported:
        """Send the trials of an experiment that have a record, done or failed.

        frame: `harness.results.load()`. Raises UserError where the server does not answer or refuses something.
        """
        return self._asked(lambda: self._export(experiment, planned, frame))

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except self.failure as error:
            raise UserError(
                f"{self.uri}: MLflow refuses or does not answer ({first_line(error, limit=200)}); mend that and give the same "
                "command again: it goes on where it stopped"
            ) from None

    def _export(self, experiment: str, planned: Sequence[Planned], frame: pd.DataFrame) -> Exported:
        trials = {p.id: p for p in distinct(planned)}
        known = frame[frame["id"].isin(list(trials)) & frame["status"].isin(["done", "failed"])]
        lines = {line["id"]: line for line in known.to_dict("records")}
        there, found = self._runs(where := self._experiment(experiment)), Exported()
        for i, one in trials.items():
            if i not in lines:
                found.no_record.append(i)
                continue
            line, run = lines[i], there.get(i)
            mark = f"{line['status']} {line['provenance_created']}"
            if run is not None and run.data.tags.get(SENT) == mark:
                found.unchanged.append(i)
                continue
            record = Store(line["root"]).record(i, predictions=False)
            self._complete(run or self._new(where, one, record), one, record, mark)
            (found.new if run is None else found.completed).append(i)
        return found

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        return str(self.client.create_experiment(name) if found is None else found.experiment_id)

    def _runs(self, experiment: str) -> dict[str, Any]:
        """Trial id -> its run."""
        found: dict[str, Any] = {}
        token = None
        while True:
            page = self.client.search_runs([experiment], max_results=METRICS_AT_ONCE, page_token=token)
            found |= {run.data.tags[TRIAL]: run for run in page if TRIAL in run.data.tags}
            token = page.token
            if not token:
                return found

    def _new(self, experiment: str, planned: Planned, record: Record) -> Any:
        name = f"{planned.row} · seed {planned.seed}"
        tags = {TRIAL: record.id, "harness.row": planned.row, "harness.seed": str(planned.seed)}
        return self.client.create_run(experiment, _times(record)[0], tags=tags, run_name=name)

    def _complete(self, run: Any, planned: Planned, record: Record, mark: str) -> None:
        """Send what the run lacks; that nothing is lacking any more is said last."""
        from mlflow.entities import Metric, Param

        client, name = self.client, run.info.run_id
        params = {key: str(value)[:LONGEST_PARAM] for key, value in flat_config(record.trial).items()}
        missing = [Param(key, value) for key, value in params.items() if key not in run.data.params]
        for first in range(0, len(missing), AT_ONCE):
            client.log_batch(name, params=missing[first : first + AT_ONCE])
        there = {
            (key, metric.step) for key in run.data.metrics for metric in client.get_metric_history(name, key)
        }
        numbers = [Metric(*number) for number in _numbers(record) if (number[0], number[3]) not in there]
        for first in range(0, len(numbers), METRICS_AT_ONCE):
            client.log_batch(name, metrics=numbers[first : first + METRICS_AT_ONCE])
        for key, value in _tags(planned, record).items():
            client.set_tag(name, key, value)
        client.set_terminated(name, "FINISHED" if record.status == "done" else "FAILED", _times(record)[1])
        client.set_tag(name, SENT, mark)


def _numbers(record: Record) -> list[tuple[str, float, int, int]]:
    """(name, value, milliseconds since 1970, step) of the curve by epoch, and of metrics and cost at the last epoch.

    Called as in TensorBoard's files: `curve/loss`, `metrics/top1`; beside them `cost/params`.
    """
    start, end = _times(record)
    found, at, epoch = [], float(start), 0
    for line in record.curve.to_dict("records"):
        epoch, at = int(line["epoch"]), at + 1000 * line["seconds"]
        found += [(f"curve/{key}", float(value), int(at), epoch) for key, value in line.items() if key != "epoch"]
    for kind, values in (("metrics", record.metrics), ("cost", record.cost)):
        found += [(f"{kind}/{key}", float(value), end, epoch) for key, value in values.items()]
    return found


def _tags(planned: Planned, record: Record) -> dict[str, str]:
    told = {
        "status": record.status,
        "reason": record.reason or "",
        "experiment": planned.experiment,
        "profile": planned.profile,
        "commit": record.provenance.get("commit") or "unknown",
        "host": record.provenance.get("host") or "unknown",
        "torch": record.provenance.get("version_torch") or "unknown",
    }
    return {f"harness.{key}": str(value) for key, value in told.items()}


def _times(record: Record) -> tuple[int, int]:
    """Start and end in milliseconds since 1970, by the clock of the machine that wrote the record."""
    created = record.provenance.get("created")
    end = datetime.fromisoformat(created).timestamp() if created else time.time()
    return int(1000 * (end - record.provenance.get("wall_seconds", 0.0))), int(1000 * end)

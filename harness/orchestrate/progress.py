"""What the executors tell while trials run, and how long the rest will take; `screen` shows it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from harness.plan.expand import Planned

# in a report, beside its epoch's line of the curve
BESIDE_CURVE = {"state", "epochs", "seconds_left", "warning"}


class Progress(Protocol):
    """Told by the executors; `report` is the trial's: state, epochs, seconds_left and the epoch's line of the curve."""

    def begin(self, todo: Sequence[Planned], settled: int) -> None: ...
    def started(self, planned: Planned) -> None: ...
    def reported(self, planned: Planned, report: dict[str, Any]) -> None: ...
    def retried(self, planned: Planned, times: int) -> None: ...
    def done(self, planned: Planned, metrics: Mapping[str, float]) -> None: ...
    def failed(self, planned: Planned, reason: str) -> None: ...
    def say(self, text: str) -> None: ...
    def end(self) -> None: ...


def label(planned: Planned) -> str:
    """How a trial is called on the screen."""
    return f"{planned.experiment} · {planned.row} · seed {planned.seed}"


class Forecast:
    """Time left for the whole, from the share of the work that is finished since the start.

    A running trial counts by its epochs; trials weigh the same: in seed-major order each seed is one mix.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.finished = 0
        self.running: dict[str, float] = {}
        self.started = time.monotonic()

    def report(self, trial_id: str, report: dict[str, Any]) -> None:
        self.running[trial_id] = report.get("epoch", 0) / max(1, report.get("epochs", 1))

    def finish(self, trial_id: str) -> None:
        self.running.pop(trial_id, None)
        self.finished += 1

    @property
    def share(self) -> float:
        """Finished work, 0 to 1."""
        return (self.finished + sum(self.running.values())) / self.total if self.total else 1.0

    @property
    def seconds_left(self) -> float | None:
        """None until there is something to go by."""
        elapsed = time.monotonic() - self.started
        return elapsed * (1 - self.share) / self.share if self.share > 0 else None

"""What is told while trials run: a live table on a terminal, one plain line an event anywhere else.

All of it goes to standard error, so that standard output holds results only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol, TextIO

from harness.base.text import duration
from harness.plan.expand import Planned
from harness.trial.record import Record


class Progress(Protocol):
    """Told by the executors; `report` is the trial's: state, epoch, epochs, loss, val_top1, seconds_left."""

    def begin(self, todo: Sequence[Planned], settled: int) -> None: ...
    def started(self, planned: Planned) -> None: ...
    def reported(self, planned: Planned, report: dict[str, Any]) -> None: ...
    def retried(self, planned: Planned, times: int) -> None: ...
    def done(self, planned: Planned, record: Record) -> None: ...
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


class PlainProgress:
    """One line an event: start, done with its top-1, failed with its reason, lost and tried again."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.forecast = Forecast(0)

    def begin(self, todo: Sequence[Planned], settled: int) -> None:
        self.forecast = Forecast(len(todo))
        self.say(f"{len(todo)} trials to run, {settled} settled before")

    def started(self, planned: Planned) -> None:
        self._line("start", label(planned))

    def reported(self, planned: Planned, report: dict[str, Any]) -> None:
        self.forecast.report(planned.id, report)

    def retried(self, planned: Planned, times: int) -> None:
        self._line("again", f"{label(planned)}: its process was lost ({times}×); goes on from its checkpoint")

    def done(self, planned: Planned, record: Record) -> None:
        self.forecast.finish(planned.id)
        left = self.forecast.seconds_left
        ahead = f", about {duration(left)} left" if left else ""
        self._line("done", f"{label(planned)}: {top1_text(record)}{ahead}")

    def failed(self, planned: Planned, reason: str) -> None:
        self.forecast.finish(planned.id)
        self._line("FAILED", f"{label(planned)}: {reason}")

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def end(self) -> None:
        self.say(f"ran for {duration(time.monotonic() - self.forecast.started)}")

    def _line(self, event: str, text: str) -> None:
        elapsed = time.monotonic() - self.forecast.started
        self.say(f"[{elapsed:6.0f} s  {self.forecast.finished}/{self.forecast.total}] {event:<6} {text}")


def top1_text(record: Record) -> str:
    """`top-1 78.3 %`; a record without one says so."""
    top1 = record.metrics.get("top1")
    return "no top-1" if top1 is None else f"top-1 {top1:.1f} %"


def make_progress() -> Progress:
    """The live table when standard error is a terminal, else plain lines."""
    if sys.stderr.isatty():
        from harness.orchestrate.live import LiveProgress

        return LiveProgress()
    return PlainProgress()

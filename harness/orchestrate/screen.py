"""What is shown while trials run: a live table on a terminal, one plain line an event anywhere else.

All of it goes to standard error, so that standard output holds results only.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress as Progressbars
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.base.text import duration
from harness.orchestrate.progress import Forecast, Progress, label
from harness.plan.expand import Planned

LAST_SHOWN = 6


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

    def done(self, planned: Planned, metrics: Mapping[str, float]) -> None:
        self.forecast.finish(planned.id)
        left = self.forecast.seconds_left
        ahead = f", about {duration(left)} left" if left else ""
        self._line("done", f"{label(planned)}: {top1_text(metrics)}{ahead}")

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


class LiveProgress:
    """Redrawn four times a second by rich; a line that must stay is printed above the table."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.forecast = Forecast(0)
        self.running: dict[str, tuple[Planned, dict[str, Any]]] = {}
        self.last: deque[tuple[Planned, Text]] = deque(maxlen=LAST_SHOWN)
        self.counts = {"done": 0, "failed": 0, "settled": 0}
        self.live = Live(
            console=self.console,
            get_renderable=self.render,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def begin(self, todo: Sequence[Planned], settled: int) -> None:
        self.forecast = Forecast(len(todo))
        self.counts["settled"] = settled
        self.live.start()

    def started(self, planned: Planned) -> None:
        self.running[planned.id] = (planned, {"state": "start"})

    def reported(self, planned: Planned, report: dict[str, Any]) -> None:
        self.forecast.report(planned.id, report)
        previous = self.running.get(planned.id, (planned, {}))[1]
        self.running[planned.id] = (planned, {**previous, **report, "told": time.monotonic()})

    def retried(self, planned: Planned, times: int) -> None:
        self.running[planned.id] = (planned, {"state": "again"})
        self.say(f"{label(planned)}: its process was lost ({times}×); goes on from its checkpoint")

    def done(self, planned: Planned, metrics: Mapping[str, float]) -> None:
        self._finish(planned, "done", Text(top1_text(metrics), style="green"))

    def failed(self, planned: Planned, reason: str) -> None:
        self._finish(planned, "failed", Text(f"failed: {reason}", style="bold red"))

    def _finish(self, planned: Planned, state: str, text: Text) -> None:
        self.counts[state] += 1
        self.running.pop(planned.id, None)
        self.forecast.finish(planned.id)
        self.last.append((planned, text))

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def end(self) -> None:
        self.running.clear()
        self.live.stop()

    def render(self) -> RenderableType:
        """The table, the last ended trials, the bar."""
        return Group(self._table(), *map(self._ended, self.last), self._bar())

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("running", overflow="ellipsis", no_wrap=True, ratio=1)
        for name in ("state", "epoch", "loss", "val top-1", "left"):
            table.add_column(name, justify="right", no_wrap=True)
        for planned, report in list(self.running.values()):
            table.add_row(label(planned), *_cells(report))
        return table

    def _ended(self, entry: tuple[Planned, Text]) -> Text:
        planned, text = entry
        line = Text("  ", overflow="ellipsis", no_wrap=True)
        return line.append(f"{label(planned)}  ", style="dim").append_text(text)

    def _bar(self) -> Table:
        counts, forecast = self.counts, self.forecast
        left = forecast.seconds_left
        waiting = forecast.total - forecast.finished - len(self.running)
        text = f"{forecast.finished}/{forecast.total}"
        text += f", {counts['failed']} failed" if counts["failed"] else ""
        text += f", {waiting} waiting" if waiting > 0 else ""
        text += f", {counts['settled']} settled before" if counts["settled"] else ""
        text += f"   {duration(time.monotonic() - forecast.started)} so far"
        text += f", about {duration(left)} left" if left else ""
        grid = Table.grid(padding=(0, 1))
        grid.add_row(ProgressBar(total=1.0, completed=forecast.share, width=30), text)
        return grid


def _cells(report: dict[str, Any]) -> list[str]:
    """state, epoch, loss, val top-1, time left, as text; a dash where nothing is known yet."""
    epoch = f"{report['epoch']}/{report['epochs']}" if "epoch" in report else "–"
    loss = f"{report['loss']:.3f}" if report.get("loss") is not None else "–"
    val = f"{report['val_top1']:.1f} %" if report.get("val_top1") is not None else "–"
    left = report.get("seconds_left")
    told = report.get("told", 0.0)
    remaining = "–" if left is None else duration(max(0.0, left - (time.monotonic() - told)))
    return [str(report.get("state", "–")), epoch, loss, val, remaining]


def top1_text(metrics: Mapping[str, float]) -> str:
    """`top-1 78.3 %`; a trial without one says so."""
    top1 = metrics.get("top1")
    return "no top-1" if top1 is None else f"top-1 {top1:.1f} %"


def make_progress() -> Progress:
    """The live table when standard error is a terminal, else plain lines."""
    return LiveProgress() if sys.stderr.isatty() else PlainProgress()


class Preparing:
    """How far datasets are: a bar on a terminal, else a line every ten seconds and at the end of each stage."""

    def __init__(self) -> None:
        self._told = 0.0
        self._started = time.monotonic()
        self._stage = ""
        self._bars: Progressbars | None = None

    def __enter__(self) -> Preparing:
        if sys.stderr.isatty():
            self._bars = Progressbars(console=Console(stderr=True), transient=True)
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
        if self._stage and kind is None:
            print(f"ready after {duration(time.monotonic() - self._started)}", file=sys.stderr)

    def tell(self, stage: str, done: int, total: int) -> None:
        now, new = time.monotonic(), stage != self._stage
        if self._bars is not None:
            if new:
                self._task = self._bars.add_task(stage, total=total)
            self._bars.update(self._task, completed=done)
        elif new or done == total or now - self._told > 10:
            print(f"{stage} {done}/{total}", file=sys.stderr, flush=True)
            self._told = now
        self._stage = stage

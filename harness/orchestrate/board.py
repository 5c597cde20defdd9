"""A trial's curve as TensorBoard's event files, while it runs: `tensorboard --logdir DIR` shows one run for each trial.

What is written is what the trial reports and what its record holds; no number is made here. A folder that cannot be
written is a warning: the trial goes on without it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from harness.base.text import first_line
from harness.orchestrate.progress import BESIDE_CURVE
from harness.plan.expand import Planned
from harness.results.flatten import flat_config
from harness.results.record import Record


class Board:
    """The event files of one trial below `root`; without a root nothing is written.

    `curve/NAME` by epoch, then `metrics/NAME` beside the settings (TensorBoard's HPARAMS), or `failed` with the reason.
    The first epoch that is told takes the place of what an earlier attempt wrote from there on. `warning` says why
    nothing can be written any more.
    """

    def __init__(self, root: Path | None, planned: Planned) -> None:
        self.root, self.planned = root, planned
        self.warning: str | None = None
        self._epoch = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with self._spared():
                self._file.close()

    def told(self, report: dict[str, Any]) -> dict[str, Any]:
        """Write the epoch of a report; gives the report, with the warning where there is one."""
        if self.root is not None and report.get("state") == "train":
            self._epoch = report["epoch"]
            self._numbers("curve", {name: report[name] for name in report.keys() - {*BESIDE_CURVE, "epoch"}})
        return report if self.warning is None else {**report, "warning": self.warning}

    def finished(self, record: Record) -> None:
        """Write the metrics and the settings of a trial that is done, the reason of one that failed."""
        if self.root is None:
            return
        from torch.utils.tensorboard import summary

        if record.status == "failed":
            self._epoch += 1  # of that epoch; it goes away when that one is tried again
            self._write(summary.text("failed", record.reason or "no reason given"))
            return
        self._numbers("metrics", record.metrics)
        for part in summary.hparams(flat_config(record.trial), {f"metrics/{n}": 0.0 for n in record.metrics}):
            self._write(part)

    def _numbers(self, kind: str, numbers: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=f"{kind}/{name}", simple_value=value) for name, value in numbers.items()]
        self._write(Summary(value=values))

    def _write(self, summary: Any) -> None:
        """One event, at once: the package's own writer has a thread that dies of a full disk with a traceback."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self._spared():
            events = [Event(wall_time=time.time(), step=self._epoch, summary=summary)]
            if self._file is None:
                begin = Event(step=self._epoch, session_log=SessionLog(status=SessionLog.START))
                events = [Event(file_version="brain.Event:2"), begin, *events]
                self._file = self._open()
            for event in events:
                RecordWriter(self._file).write(event.SerializeToString())
            self._file.flush()

    def _open(self) -> BinaryIO:
        """A file after those of earlier attempts: TensorBoard reads them in the order of their names."""
        assert self.root is not None, "asked before"
        folder = run_folder(self.root, self.planned)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        return (folder / name).open("wb")

    @contextlib.contextmanager
    def _spared(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a full disk, a foreign library: never a verdict about the trial
            why = getattr(error, "strerror", None) or first_line(error)
            self.warning = (
                f"{self.root}: TensorBoard's files cannot be written there ({why}); trials go on without"
            )
            self.root = self._file = None


def run_folder(root: Path, planned: Planned) -> Path:
    """`root/ablation_a/DSA+I3D 4x4/seed_0_f5ab1c75b20c`: no name leaves its folder."""
    name = f"seed_{planned.seed}_{planned.id}"
    return root / _folder_name(planned.experiment) / _folder_name(planned.row) / name


def _folder_name(text: str) -> str:
    kept = "".join(c if c.isalnum() or c in "+-_. " else "_" for c in text)
    return kept.strip(" .")[:80] or "_"

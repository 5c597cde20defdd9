"""What the orchestrator costs beyond the work: no-op trials through Ray with workers that live on.

    python benchmarks/bench_load.py [TRIALS]      (300; 2000 for the whole)

Prints seconds a trial, and the memory of the driver and of the workers, by quarters. Wanted: at most 0.3 s a trial and
flat memory. Memory is what a process has for itself (RssAnon): pages of libraries come and go with the machine's load.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.experiment.spec import Trial
from harness.orchestrate import execute
from harness.orchestrate.cluster import Cluster
from harness.orchestrate.screen import PlainProgress
from harness.plan.expand import Planned
from harness.results import Store
from harness.results.record import Record
from tests.orchestrate import fakes


def own_mb() -> float:
    """Memory of this process alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


def run(trial: Trial, **options: Any) -> Record:
    """In a worker; its memory comes back as a metric."""
    record = fakes.run(trial, **options)
    return dataclasses.replace(record, metrics={**record.metrics, "worker_mb": own_mb()})


class Clock(PlainProgress):
    """Notes when each trial was done, the driver's memory then, and its worker's."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[tuple[float, float, float]] = []

    def started(self, planned: Planned) -> None: ...

    def done(self, planned: Planned, metrics: Mapping[str, float]) -> None:
        self.times.append((time.monotonic(), own_mb(), metrics["worker_mb"]))


def main(trials: int) -> None:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        root, todo = Path(folder), fakes.plan(*range(0, 10 * trials, 10))
        begun = time.monotonic()
        execute(
            todo,
            Store(root / "s"),
            fakes.profile(),
            data_root=root,
            progress=clock,
            cluster=Cluster(live_on=True),
            run=run,
        )
        whole = time.monotonic() - begun
    for start in range(0, trials, max(1, trials // 4)):
        part = clock.times[start : start + trials // 4]
        if len(part) > 1:
            seconds = (part[-1][0] - part[0][0]) / (len(part) - 1)
            print(
                f"trials {start:5d} … {start + len(part):5d}: {seconds:.3f} s a trial, driver {part[-1][1]:.0f} MB, "
                f"worker {part[-1][2]:.0f} MB"
            )
    print(
        f"{len(clock.times)} trials, {whole / trials:.3f} s a trial with the start of Ray; "
        f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)

"""What the orchestrator costs beyond the work: no-op trials through Ray with workers that live on.

    python benchmarks/bench_load.py [TRIALS]      (300; 2000 for the whole)

Prints seconds a trial and the driver's memory by quarters; the wanted figure is at most 0.3 s a trial.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.orchestrate import execute
from harness.orchestrate.cluster import Cluster
from harness.orchestrate.screen import PlainProgress
from harness.plan.expand import Planned
from harness.results import Store
from tests.orchestrate import fakes


class Clock(PlainProgress):
    """Notes when each trial was done, and the driver's memory in MB."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[tuple[float, float]] = []

    def started(self, planned: Planned) -> None: ...

    def done(self, planned: Planned, metrics: Mapping[str, float]) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.times.append((time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE") / 2**20))


def main(trials: int) -> None:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        root, todo = Path(folder), fakes.plan(*range(0, 10 * trials, 10))
        where = Cluster(live_on=True)
        execute(
            todo,
            Store(root / "s"),
            fakes.profile(),
            data_root=root,
            progress=clock,
            cluster=where,
            run=fakes.run,
        )
    for start in range(0, trials, max(1, trials // 4)):
        part = clock.times[start : start + trials // 4]
        if len(part) > 1:
            seconds = (part[-1][0] - part[0][0]) / (len(part) - 1)
            print(
                f"trials {start:5d} … {start + len(part):5d}: {seconds:.3f} s a trial, driver {part[-1][1]:.0f} MB"
            )
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)

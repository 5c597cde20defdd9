"""`python -m tests.orchestrate.driver STORE SEED…`: fakes through Ray, in a process that can be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.orchestrate import execute
from harness.orchestrate.screen import PlainProgress
from harness.plan.pending import pending
from harness.results import Store
from tests.orchestrate import fakes


def drive(root: Path, seeds: list[int], inline: bool = False) -> int:
    """Run what is missing; the exit code is the command line's."""
    store = Store(root)
    todo = pending(fakes.plan(*seeds), store).todo
    outcome = execute(
        todo, store, fakes.profile(), data_root=root, progress=PlainProgress(), inline=inline, run=fakes.run
    )
    return 130 if outcome.interrupted else 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(drive(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]]))

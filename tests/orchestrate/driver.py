"""`python -m tests.orchestrate.driver STORE SEED…`: fakes through Ray, in a process that can be killed."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from harness.orchestrate import execute, ray_tune
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


def _in_small_waves(log: Path) -> None:
    """Waves of two or three trials; as each begins, a line of `log`: trials left, and Tune's that are still there."""
    whole = ray_tune.wave_size

    def size(trials: int, at_once: int) -> int:
        from ray.tune.experiment import Trial

        kept = sum(isinstance(o, Trial) for o in gc.get_objects())
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{trials} {kept}\n")
        return whole(trials, 0)

    ray_tune.WAVE_TRIALS = 2
    ray_tune.wave_size = size


if __name__ == "__main__":
    _in_small_waves(Path(sys.argv[1]).with_name("waves.txt"))
    sys.exit(drive(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]]))

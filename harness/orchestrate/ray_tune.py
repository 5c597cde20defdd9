"""Ray Tune as a plain launcher: an explicit list of trials, first in first out, no search, no early stopping.

A long list is run in waves. Tune keeps about 40 kB of every trial until its run ends (the trial's state twice as JSON,
its last report, its configuration), and offers no way to let go of it; a run of Tune for each wave keeps the driver's
memory flat. At a wave's end slots stand idle until its last trial is done: so a wave is long, and a grid of hundreds of
trials is one.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from harness.base.signals import StopWish
from harness.experiment.spec import Profile
from harness.orchestrate.cluster import Cluster
from harness.orchestrate.ray_start import running_ray
from harness.orchestrate.resources import check_resources, slots
from harness.orchestrate.worker import RunTrial, Task

if TYPE_CHECKING:
    from harness.orchestrate.wave import Listener

WAVE_TRIALS = 500  # at least; a list of fewer than two such waves is one
WAVE_TRIALS_A_SLOT = 50  # at least; equally long trials: a slot idles at most 2 % of a wave


@contextlib.contextmanager
def ray_launcher(
    profile: Profile, listener: Listener, stop: StopWish, run: RunTrial | None, cluster: Cluster
) -> Iterator[Callable[[Sequence[Task]], None]]:
    """A function that runs tasks on a local Ray, or on the cluster that `RAY_ADDRESS` names.

    It returns when all are settled or when `stop` was asked, and raises UserError when the surroundings failed. Raises
    UserError when Ray cannot be had or a trial needs more than a machine of it has.
    """
    with running_ray(profile, stop, cluster) as scratch:
        from harness.orchestrate.wave import run_wave  # imports ray, which reads what running_ray has set

        check_resources(profile)
        numbers = itertools.count()

        def launch(tasks: Sequence[Task]) -> None:
            left = tasks
            while left and stop.asked is None:
                size = wave_size(len(left), slots(profile))
                folder = scratch / "tune" / f"wave-{next(numbers)}"
                run_wave(left[:size], profile, listener, stop, run, cluster, folder)
                left = left[size:]

        # Tune takes SIGINT and SIGUSR1 from `stop`, but in the main thread only
        with ThreadPoolExecutor(1) as thread:
            yield lambda tasks: thread.submit(launch, tasks).result()


def wave_size(trials: int, at_once: int) -> int:
    """How many of the `trials` that are left make the next wave, where `at_once` run: waves of about equal length."""
    least = max(WAVE_TRIALS, WAVE_TRIALS_A_SLOT * at_once)
    return math.ceil(trials / max(1, trials // least))

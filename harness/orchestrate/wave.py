"""One run of Ray Tune: its settings, and the callback that hears of its trials. Importing this imports ray.

What is done is decided by our store and by an answer that arrived, never by Tune: its TERMINATED also covers
Ctrl-C, and its `restore` ignores an enlarged grid (both measured, ray 2.60). Tasks travel pickled: Tune evaluates
nested dicts with the key `eval`; and as text: of what JSON cannot hold Ray keeps the printed form for good.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ray import tune

from harness.base.errors import UserError
from harness.base.signals import StopWish
from harness.experiment.spec import Profile
from harness.orchestrate.cluster import Cluster
from harness.orchestrate.progress import Progress
from harness.orchestrate.resources import bundle, needs
from harness.orchestrate.worker import (
    ANSWER,
    BUG,
    PROGRESS,
    STOP,
    Answer,
    RunTrial,
    Task,
    Told,
    packed,
    trainable,
)

QUIET_SECONDS = 60.0  # without a running trial, before the screen says what is waited for


class Listener(Told, Protocol):
    """What the launcher tells; `harness.orchestrate.execute.Collector` is one."""

    @property
    def progress(self) -> Progress: ...
    def retried(self, trial_id: str, times: int) -> None: ...
    def lost(self, trial_id: str, times: int, traceback: str) -> None: ...


class _Leave(BaseException):
    """Out of Tune's loop at once: not an Exception, so nothing on the way treats it as a trial's failure."""


def run_wave(
    tasks: Sequence[Task],
    profile: Profile,
    listener: Listener,
    stop: StopWish,
    run: RunTrial | None,
    cluster: Cluster,
    folder: Path,
) -> None:
    """Run tasks until all are settled or `stop` is asked; nothing of them stays, in memory or in `folder`.

    Raises UserError where the surroundings failed.
    """
    watcher = Watcher(listener, stop, needs(profile))
    # Tune prints a header even at verbose=0; the progress writes to standard error
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(_Leave):
        _tuner(tasks, profile, watcher, run, cluster, folder).fit()
    if watcher.problem is not None:
        raise watcher.problem
    shutil.rmtree(folder, ignore_errors=True)
    gc.collect()  # Tune's objects refer to each other in circles


def _tuner(
    tasks: Sequence[Task],
    profile: Profile,
    watcher: Watcher,
    run: RunTrial | None,
    cluster: Cluster,
    folder: Path,
) -> tune.Tuner:
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(cluster.queued)
    ones = [{"id": t.planned.id, "attempt": 0, "task": packed(t)} for t in tasks]
    return tune.Tuner(
        tune.with_resources(trainable, tune.PlacementGroupFactory([bundle(profile)])),
        param_space={"one": tune.grid_search(ones), "run": run},
        tune_config=tune.TuneConfig(
            trial_name_creator=_id_of, trial_dirname_creator=_id_of, reuse_actors=cluster.live_on
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            verbose=0,
            callbacks=[watcher],
            failure_config=tune.FailureConfig(max_failures=profile.resources.max_retries),
        ),
    )


def _id_of(trial: Any) -> str:
    return str(trial.config["one"]["id"])


class Watcher(tune.Callback):
    """Runs in the driver, between Tune's steps (about every 0.1 s)."""

    def __init__(self, listener: Listener, stop: StopWish, needed: str) -> None:
        self.listener, self.stop, self.needed = listener, stop, needed
        self.problem: Exception | None = None
        self.running: set[str] = set()
        self.quiet_since = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks into a snapshot; screens and locks cannot be pickled.
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        if self.stop.asked:
            raise _Leave
        if not self.running and time.monotonic() - self.quiet_since > QUIET_SECONDS:
            self.quiet_since = float("inf")  # said once
            self.listener.progress.say(
                f"nothing has started for {QUIET_SECONDS:.0f} s: a trial waits for {self.needed} on one machine; "
                "`ray status` says who has them. Ctrl-C stops; the same command goes on"
            )

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.running.add(_id_of(trial))
        self.listener.started(_id_of(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        if ANSWER in result:
            self._ended(trial)
            self.listener.finished(Answer(**result[ANSWER]))
        elif STOP in result:
            self._stop(UserError(result[STOP]))
        elif BUG in result:
            self._stop(RuntimeError(f"in the process of a trial:\n{result[BUG]}"))
        else:
            self.listener.reported(_id_of(trial), result[PROGRESS])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        # Tune keeps a history of every number that a trial reported until the run ends: 25 kB for four epochs.
        trial.run_metadata.metric_analysis.clear()
        trial.run_metadata.metric_n_steps.clear()
        trial.run_metadata.invalidate_cache()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._ended(trial)
        trial.config["one"]["attempt"] = trial.num_failures
        self.listener.retried(_id_of(trial), trial.num_failures)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._ended(trial)
        try:
            self.listener.lost(_id_of(trial), trial.num_failures, str(trial.get_error()))
        except UserError as error:
            self._stop(error)

    def _ended(self, trial: Any) -> None:
        self.running.discard(_id_of(trial))
        self.quiet_since = time.monotonic()

    def _stop(self, problem: Exception) -> None:
        self.problem = problem
        raise _Leave

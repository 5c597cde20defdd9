"""Ray Tune as a plain launcher: an explicit list of trials, first in first out, no search, no early stopping.

What is done is decided by our store and by a record that arrived, never by Tune: its TERMINATED also covers
Ctrl-C, and its `restore` ignores an enlarged grid (both measured, ray 2.60). Rows travel as JSON strings:
Tune evaluates nested dicts with the key `eval`.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pickle
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.base.errors import UserError
from harness.experiment.load import ROOT
from harness.experiment.spec import Profile
from harness.orchestrate.collect import Collector
from harness.orchestrate.entry import Job
from harness.orchestrate.signals import StopWish
from harness.orchestrate.worker import PROGRESS, RAISED, RECORD, trainable
from harness.plan.cores import available_cores
from harness.plan.expand import Planned

# Read by ray at import: no CSV/JSON/TensorBoard writers (they import torch into the driver: 2 s), no usage
# report, no warnings about snapshots that nobody will restore.
QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_DEDUP_LOGS": "0",
}
OBJECT_STORE_BYTES = 128 * 2**20


class _Leave(BaseException):
    """Out of Tune's loop at once: not an Exception, so nothing on the way treats it as a trial's failure."""


def run_with_ray(job: Job, collector: Collector, stop: StopWish) -> None:
    """Run the trials on a local Ray, or on the cluster that `RAY_ADDRESS` names.

    Returns when all trials are settled or when `stop` was asked. Raises UserError when a trial needs more
    than there is, or when a record cannot be written.
    """
    os.environ.update(QUIET)
    scratch = Path(tempfile.mkdtemp(prefix="harness-ray-", dir=_short_folder()))
    try:
        with _ray(job.profile, scratch):
            check_resources(job.profile)
            _fit(job, collector, stop, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _short_folder() -> str:
    """Ray puts unix sockets below it, whose paths may have 107 bytes."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= 20 else "/tmp"


@contextlib.contextmanager
def _ray(profile: Profile, scratch: Path) -> Iterator[None]:
    address = os.environ.get("RAY_ADDRESS")
    runtime_env = {"env_vars": _worker_environment(profile)}
    with _local_token() if address is None else contextlib.nullcontext():
        import ray  # its native part reads the token's environment when it is loaded

        local: dict[str, Any] = {
            "num_cpus": available_cores(),
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "_temp_dir": str(scratch),
        }
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env=runtime_env,
            **({} if address else local),
        )
        try:
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _local_token() -> Iterator[None]:
    """A token for this run alone; else Ray 2.60 writes ~/.ray/auth_token, which later `ray start`s obey."""
    if "RAY_AUTH_MODE" in os.environ:
        yield
        return
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]


def _worker_environment(profile: Profile) -> dict[str, str]:
    """What decides numbers before Python starts; without the last line a 0-GPU worker sees every GPU."""
    threads = str(profile.numerics.threads)
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "PYTHONHASHSEED": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONPATH": os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    }


def check_resources(profile: Profile) -> None:
    """Tune would wait for ever for what is not there."""
    import ray

    there = ray.cluster_resources()
    for name, wanted in _bundle(profile).items():
        if wanted > there.get(name, 0):
            raise UserError(
                f"profile {profile.name!r}: resources: a trial needs {wanted:g} {name}, but Ray has "
                f"{there.get(name, 0):g} here; change the profile, or name a cluster with RAY_ADDRESS"
            )


def _bundle(profile: Profile) -> dict[str, float]:
    both = {"CPU": profile.resources.cpus, "GPU": profile.resources.gpus}
    return {name: amount for name, amount in both.items() if amount}


def _fit(job: Job, collector: Collector, stop: StopWish, scratch: Path) -> None:
    from ray import tune

    specs = [_spec(planned, job, collector) for planned in job.todo]
    watcher = _watcher(collector, stop)
    tuner = tune.Tuner(
        tune.with_resources(trainable, tune.PlacementGroupFactory([_bundle(job.profile)])),
        param_space={"spec": tune.grid_search(specs)},
        tune_config=tune.TuneConfig(
            trial_name_creator=_id_of, trial_dirname_creator=_id_of, reuse_actors=False
        ),
        run_config=tune.RunConfig(
            name=time.strftime("%Y%m%d-%H%M%S"),
            storage_path=str(scratch / "tune"),
            verbose=0,
            callbacks=[watcher],
            failure_config=tune.FailureConfig(max_failures=job.profile.resources.max_retries),
        ),
    )
    # Tune prints a header even at verbose=0; the progress writes to standard error
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(_Leave):
        tuner.fit()
    if watcher.problem is not None:
        raise watcher.problem


def _spec(planned: Planned, job: Job, collector: Collector) -> str:
    return json.dumps(
        {
            "id": planned.id,
            "run": job.run,
            "trial": planned.trial.model_dump(mode="json"),
            "checkpoint_dir": str(collector.store.checkpoint_dir(planned.id)),
            "data_root": str(job.data_root.resolve()),
        }
    )


def _id_of(trial: Any) -> str:
    return str(json.loads(trial.config["spec"])["id"])


def _watcher(collector: Collector, stop: StopWish) -> Any:
    """Tune's callback, made here so that ray is imported only when something runs."""
    from ray import tune

    class Watcher(tune.Callback):
        """Runs in the driver, between Tune's steps (about every 0.1 s)."""

        def __init__(self, collector: Collector, stop: StopWish) -> None:
            self.collector, self.stop = collector, stop
            self.problem: UserError | None = None

        def __getstate__(self) -> dict[str, Any]:
            # Tune pickles its callbacks into a snapshot; screens and locks cannot be pickled. They are attributes
            # and not closed over, for the class itself travels by value, its closure with it.
            return {}

        def setup(self, *_: Any, **__: Any) -> None:
            self.stop.install()

        def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
            if self.stop.asked:
                raise _Leave

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            self.collector.started(_id_of(trial))

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            record = result.pop(RECORD, None)  # popped, so that Tune keeps no copy in its snapshots
            if record is not None:
                self._settle(self.collector.finished, _id_of(trial), pickle.loads(record), trial.num_failures)
            elif RAISED in result:
                self._settle(self.collector.raised, _id_of(trial), *result[RAISED])
            else:
                self.collector.reported(_id_of(trial), result[PROGRESS])

        def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            self.collector.retried(_id_of(trial), trial.num_failures)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            self._settle(self.collector.lost, _id_of(trial), trial.num_failures, str(trial.get_error()))

        def _settle(self, write: Any, *args: Any) -> None:
            try:
                write(*args)
            except UserError as error:
                self.problem = error
                raise _Leave from None

    return Watcher(collector, stop)

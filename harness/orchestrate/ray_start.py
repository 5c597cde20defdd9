"""A Ray to run on: a local one in a folder of its own, or the cluster that RAY_ADDRESS names.

Whatever keeps it from starting is one message with the address and the remedy, never a traceback.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.base.errors import UserError
from harness.base.locks import process_start, this_machine
from harness.base.signals import StopWish
from harness.base.text import first_line
from harness.experiment.load import ROOT
from harness.experiment.spec import Profile
from harness.orchestrate.cluster import HERE, Cluster
from harness.plan.estimate import available_cores

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
# In .gitignore's words, from the checkout's root. Shipped trunks (results/baselines/pretrained) do travel.
NOT_SHIPPED = (
    "/.git", "/.venv", "/data/", "/results/runs/", "/results/baselines/*/trials/", "/results/baselines/*/curves/",
    "/results/baselines/*/predictions/", "/results/baselines/*/answers/", "/reports/", "/docs/", "/tests/",
    "/benchmarks/", "__pycache__", ".*_cache",
)  # fmt: skip
OBJECT_STORE_BYTES = 128 * 2**20
LONGEST_FOLDER = 107 - len(
    "/session_2026-11-25_05-00-00_123456_1234567/sockets/plasma_store"
)  # a socket's path
ROOM_BYTES = 64 * 2**20  # logs of a long run
OPEN_FILES = 256
PROBE_SECONDS = 40.0
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
NAME = re.compile(r"hray-(\d+)-(\d+)-([0-9a-f]{4})[0-9a-f]{4}")
_PROBE = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level=50)"


@contextlib.contextmanager
def running_ray(profile: Profile, stop: StopWish, cluster: Cluster = HERE) -> Iterator[Path]:
    """Ray, started or joined, until the block ends; gives a folder for what Tune writes.

    Raises UserError where it cannot be had, KeyboardInterrupt where a stop was asked meanwhile.
    """
    os.environ.update(QUIET)
    address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    _allow_open_files()
    remove_dead_folders()
    if address != "local":
        _probe(address, stop)
    with _scratch() as scratch, _local_token() if address == "local" else contextlib.nullcontext():
        ray = _init(address, scratch, _runtime(profile, ship=cluster.ship and address != "local"))
        try:
            if stop.asked:
                raise KeyboardInterrupt
            stop.install()  # ray.init takes SIGTERM for itself
            yield scratch
        finally:
            ray.shutdown()


def _init(address: str, scratch: Path, runtime: dict[str, Any]) -> Any:
    local: dict[str, Any] = {
        "num_cpus": available_cores(),
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
        "_temp_dir": str(scratch),
    }
    try:
        import ray  # its native part reads the token's environment when it is loaded

        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env=runtime,
            **(local if address == "local" else {}),
        )
    except Exception as error:  # ray raises OSError, RuntimeError, TimeoutError, its own and more
        raise UserError(_failure(address, first_line(error))) from error
    return ray


def _failure(address: str, why: str) -> str:
    if address == "local":
        return (
            f"Ray could not be started on this machine ({why}); look at free memory, processes (`ulimit -u`) and open "
            "files (`ulimit -n`), or run without it: --inline"
        )
    return (
        f"RAY_ADDRESS={address}: no Ray cluster answers there ({why}); start one (`ray start --head`), correct the "
        "address (--cluster, RAY_ADDRESS), or unset RAY_ADDRESS to run on this machine alone"
    )


def _probe(address: str, stop: StopWish) -> None:
    """Ask a cluster in a process of its own: inside ray.init a wish to stop would wait for its time limits."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROBE, address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + PROBE_SECONDS
    try:
        while process.poll() is None:
            if stop.asked:
                raise KeyboardInterrupt
            if time.monotonic() > end:
                raise UserError(_failure(address, f"nothing within {PROBE_SECONDS:.0f} s"))
            time.sleep(0.1)
    finally:
        process.kill()
        _, said = process.communicate()
    if process.returncode:
        raise UserError(
            _failure(address, (said.strip().splitlines() or ["it ended without a word"])[-1][:300])
        )


def _allow_open_files() -> None:
    """Raise the soft limit as far as one may. Raises UserError where it stays below what Ray opens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else 65536
    if soft != resource.RLIM_INFINITY and soft < 4096:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), hard))
            soft = min(most, 65536)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        raise UserError(
            f"Ray needs at least {OPEN_FILES} open files, and this shell allows {soft} (`ulimit -n`); raise the limit "
            "(`ulimit -n 4096`), or run without it: --inline"
        )


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


def _runtime(profile: Profile, *, ship: bool) -> dict[str, Any]:
    """The workers' surroundings. Shipped, the package and the declared experiments travel and no path must agree.

    A variant's source travels in its trial. What a run makes (records, data, reports) and tests stay here.
    """
    environment = _worker_environment(profile)
    if not ship:
        return {"env_vars": environment}
    del environment["PYTHONPATH"]  # a path of this machine
    return {"env_vars": environment, "working_dir": str(ROOT), "excludes": list(NOT_SHIPPED)}


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


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """This run's folder, removed at its end; a link to it where TMPDIR is too long for Ray's sockets."""
    folder, target = scratch_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(target, ignore_errors=True)
        if folder != target:
            folder.unlink(missing_ok=True)


def scratch_folder() -> tuple[Path, Path]:
    """A fresh folder with room, under a path short enough for sockets, and where it really lies.

    TMPDIR where that serves (by a short link where it is long), else another short folder that can be written. Its
    name says whose it is: process, its start, this machine. Raises UserError where there is none.
    """
    name = f"hray-{os.getpid()}-{process_start(os.getpid())}-{_machine_mark()}{secrets.token_hex(2)}"
    own, short = _own_folder(), [Path(f) for f in short_folders()]
    if own is not None and _fits(own, name) and _has_room(own):
        return _made(own / name, own / name)
    for link in short if own is not None and _has_room(own) else ():
        with contextlib.suppress(OSError):
            (link / name).symlink_to(own / name)  # type: ignore[operator]  # narrowed in the line above
            return _made(link / name, own / name)  # type: ignore[operator]
    for folder in short:
        if _fits(folder, name) and _has_room(folder):
            return _made(folder / name, folder / name)
    raise UserError(
        f"Ray needs a folder for {ROOM_BYTES // 2**20} MB whose path has at most {LONGEST_FOLDER - len(name) - 1} "
        f"letters, and none can be written among {', '.join(map(str, [*filter(None, [own]), *short]))}; free some "
        "space there, name one with TMPDIR, or run without Ray: --inline"
    )


def short_folders() -> list[str]:
    return [*SHORT_FOLDERS, *filter(None, [os.environ.get("XDG_RUNTIME_DIR")])]


def _own_folder() -> Path | None:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # nothing at all can be written
        return None


def _made(folder: Path, target: Path) -> tuple[Path, Path]:
    target.mkdir(mode=0o700)
    return folder, target


def _fits(folder: Path, name: str) -> bool:
    return len(os.fsencode(folder / name)) <= LONGEST_FOLDER


def _has_room(folder: Path) -> bool:
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"x" * 2**16)
            file.flush()
        free = os.statvfs(folder)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize >= ROOM_BYTES


def _machine_mark() -> str:
    """Process numbers repeat among boots and containers that share a folder."""
    return hashlib.sha256(this_machine().encode()).hexdigest()[:4]


def remove_dead_folders() -> None:
    """Remove what killed drivers of this machine left behind."""
    for path in dead_folders():
        if path.is_symlink():
            shutil.rmtree(path.readlink(), ignore_errors=True)
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=True)


def dead_folders() -> list[Path]:
    """Folders of drivers of this machine and user whose process is gone."""
    found = []
    own = _own_folder()
    for folder in {*map(Path, short_folders()), *([own] if own is not None else [])}:
        for path in folder.glob("hray-*"):
            name = NAME.fullmatch(path.name)
            if (
                name
                and name[3] == _machine_mark()
                and process_start(int(name[1])) != name[2]
                and path.lstat().st_uid == os.getuid()
            ):
                found.append(path)
    return found

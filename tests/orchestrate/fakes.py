"""Trials that cost nothing, chosen by their seed, for the executors' tests.

What happens to a trial is real: it raises, its disk is full, or its process is killed. Where `HARNESS_FAKE_DIR` is
set, every
start is a line of its `log.txt`: seed, process id, the epoch it went on from.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.experiment.identity import trial_id
from harness.experiment.load import load_experiment, load_profile
from harness.experiment.spec import Profile, Trial
from harness.plan.expand import Planned, plan_trials
from harness.results.record import Record

EPOCHS = 4
OK, RAISES, KILLED_ONCE, KILLED_ALWAYS, WAITS, ESCAPES, DISK_FULL = 0, 1, 2, 3, 4, 5, 6


def plan(*seeds: int) -> list[Planned]:
    """One trial a seed: the DSA row of table (a)."""
    trials = plan_trials(load_experiment("ablation_a"), load_profile("embedded"), seeds)
    return [p for p in trials if p.row.startswith("DSA")]


def with_start(seed: int, start_seed: int) -> Planned:
    """A trial whose start (seed `start_seed`) is nowhere yet."""
    (one,) = plan(seed)
    start = one.trial.start.model_copy(update={"seed": start_seed})
    trial = one.trial.model_copy(update={"start": start})
    return Planned(one.experiment, one.row, one.profile, seed, trial, trial_id(trial))


def profile(max_retries: int = 1) -> Profile:
    """The embedded profile; a lost process is tried again once."""
    embedded = load_profile("embedded")
    resources = embedded.resources.model_copy(update={"max_retries": max_retries})
    return embedded.model_copy(update={"resources": resources})


def run(
    trial: Trial,
    *,
    checkpoint_dir: Path,
    data_root: Path,
    report: Any,
    trunk: Path | None = None,
    loaders: int = 0,
) -> Record:
    """Four epochs with a checkpoint each. The curve is the whole history, so a bad resume shows."""
    kind = trial.seed % 10
    history = _history(checkpoint_dir)
    _log(f"seed={trial.seed} pid={os.getpid()} from={len(history)}")
    if kind == ESCAPES:
        raise ImportError("the code of the trial cannot be imported")
    if kind == DISK_FULL and not (data_root / "room").exists():
        raise OSError(errno.ENOSPC, "No space left on device", str(checkpoint_dir / "last.pt"))
    if trunk is not None:
        trunk.parent.mkdir(parents=True, exist_ok=True)
        trunk.write_bytes(b"trunk")
    for epoch in range(len(history) + 1, EPOCHS + 1):
        while kind == WAITS and epoch > 1 and not _may_go_on():
            time.sleep(0.05)
        history.append({"epoch": epoch, "loss": 1.0 / epoch, "seconds": 0.01})
        _save(checkpoint_dir, history)
        report({"state": "train", "epoch": epoch, "epochs": EPOCHS, "loss": 1.0 / epoch, "val_top1": 50.0})
        if kind == KILLED_ALWAYS or (kind == KILLED_ONCE and epoch == 2):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == RAISES:
            raise RuntimeError("the module raises")
    return _record(trial, history)


def _record(trial: Trial, history: list[dict[str, float]]) -> Record:
    """By hand, since `tests.factories` imports torch: a worker would take two seconds of a core for it."""
    videos = range(200)
    scores = [np.float32([v % 7, trial.seed, 1.0] * 10) for v in videos]
    predictions = pd.DataFrame({
        "video": [f"test/{v:04d}" for v in videos], "label": [v % 30 for v in videos], "scores": scores
    })  # fmt: skip
    provenance = {"wall_seconds": 1.0, "cpu_seconds": 1.0}
    return Record(
        trial,
        "done",
        metrics={"top1": 50.0 + trial.seed},
        curve=pd.DataFrame(history),
        predictions=predictions,
        cost={"params": 1e5, "macs_per_view": 1e8, "views": 2.0},
        provenance=provenance,
    )


def starts(folder: Path) -> list[dict[str, int]]:
    """The lines of `log.txt`."""
    path = folder / "log.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [{key: int(value) for key, value in (part.split("=") for part in line.split())} for line in lines]


def _history(checkpoint_dir: Path) -> list[dict[str, float]]:
    last = checkpoint_dir / "last.json"
    found: list[dict[str, float]] = json.loads(last.read_text()) if last.exists() else []
    return found


def _save(checkpoint_dir: Path, history: list[dict[str, float]]) -> None:
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    temporary = checkpoint_dir / "last.tmp"
    temporary.write_text(json.dumps(history))
    temporary.replace(checkpoint_dir / "last.json")


def _may_go_on() -> bool:
    """Whether the test has written `go`: a trial that waits needs no luck with the load of the machine."""
    return (Path(os.environ["HARNESS_FAKE_DIR"]) / "go").exists()


def _log(text: str) -> None:
    folder = os.environ.get("HARNESS_FAKE_DIR")
    if folder:
        with (Path(folder) / "log.txt").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

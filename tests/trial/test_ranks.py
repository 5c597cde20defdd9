"""A trial on several processes (gloo on a CPU; a GPU each on CUDA) against the same trial on one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from harness.experiment.identity import trial_id
from harness.experiment.spec import Numerics, Trial
from harness.results.predictions import scores_from_predictions
from harness.results.record import Record
from harness.trial import run_trial
from harness.trial.failure import SurroundingsError, TrialFailed
from tests.trial.tiny import tiny_trial

ONE, TWO = Numerics(), Numerics(gpus=2, sync_norms=True)


def _trial(numerics: Numerics, **changes: object) -> Trial:
    """Without dropout, whose masks are each rank's own, and with parts of a batch that are equal."""
    trial = tiny_trial(numerics=numerics, **changes)
    options = {**trial.network.options, "dropout": 0.0}
    return trial.model_copy(update={"network": trial.network.model_copy(update={"options": options})})


def _scores(record: Record) -> np.ndarray:
    return np.asarray(scores_from_predictions(record.predictions)[0], np.float64)


@pytest.fixture(scope="module")
def two(data_root: Path) -> Record:
    return run_trial(_trial(TWO), data_root=data_root)


def test_two_with_shared_norms_agree_with_one(two: Record, data_root: Path) -> None:
    """The same means over the same batch, summed in another order: two steps of a stored score (1/64 of a logit)."""
    one = run_trial(_trial(ONE), data_root=data_root)
    assert np.abs(_scores(two) - _scores(one)).max() <= 2 / 64
    for key in ("loss", "train_top1", "val_top1"):
        assert two.curve[key].to_numpy() == pytest.approx(one.curve[key].to_numpy(), rel=5e-3, abs=1e-6), key
    assert two.curve["lr"].tolist() == one.curve["lr"].tolist()
    assert two.predictions["video"].tolist() == one.predictions["video"].tolist(), (
        "each video once, none lost"
    )


def test_the_same_two_give_the_same_bits(two: Record, data_root: Path) -> None:
    again = run_trial(_trial(TWO), data_root=data_root)
    assert np.array_equal(_scores(again), _scores(two))


def test_norms_of_each_rank_are_another_trial_with_other_numbers(two: Record, data_root: Path) -> None:
    own = _trial(Numerics(gpus=2))
    assert len({trial_id(own), trial_id(_trial(TWO)), trial_id(_trial(ONE))}) == 3
    assert not np.array_equal(_scores(run_trial(own, data_root=data_root)), _scores(two))


def _others() -> list[int]:
    """The other ranks of this process."""
    found = subprocess.run(
        ["ps", "-o", "pid,args", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "harness.trial.ranks" in line]


def test_a_rank_that_is_killed_ends_the_trial_without_a_verdict_and_it_goes_on_to_the_same_numbers(
    two: Record, data_root: Path, tmp_path: Path
) -> None:
    def kill_at_the_second_epoch(told: dict[str, object]) -> None:
        if told["epoch"] == 1 and told["state"] == "train":
            for pid in _others():
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(SurroundingsError, match=r"a process of the trial was lost: rank 1 \(SIGKILL\)"):
        run_trial(_trial(TWO), data_root=data_root, checkpoint_dir=tmp_path, report=kill_at_the_second_epoch)
    assert _others() == []
    record = run_trial(_trial(TWO), data_root=data_root, checkpoint_dir=tmp_path)
    assert record.provenance["resumed_from_epoch"] == 1
    assert np.array_equal(_scores(record), _scores(two))


def test_when_rank_0_is_stopped_the_others_end(data_root: Path) -> None:
    def stop(told: dict[str, object]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(_trial(TWO), data_root=data_root, report=stop)
    end = time.monotonic() + 10
    while _others() and time.monotonic() < end:
        time.sleep(0.1)
    assert _others() == [] and threading.active_count() < 50


def test_what_the_trial_does_on_all_ranks_alike_is_its_own_failure(data_root: Path) -> None:
    with pytest.raises(TrialFailed, match="diverged"):
        run_trial(_trial(TWO, lr=1e30, clip_norm=1e30), data_root=data_root)


def test_a_batch_that_cannot_be_shared_is_one_message(data_root: Path) -> None:
    with pytest.raises(Exception, match="batch of 3 videos cannot be shared by 2 processes"):
        run_trial(_trial(TWO, batch_videos=3), data_root=data_root)


def test_a_rank_that_cannot_start_is_named(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr("harness.trial.ranks.PATIENCE", timedelta(seconds=3))
    with pytest.raises(RuntimeError, match="rank 1: "):
        run_trial(_trial(TWO), data_root=data_root)
    monkeypatch.undo()
    monkeypatch.setattr("harness.trial.ranks.PATIENCE", timedelta(seconds=60))
    run_trial(_trial(TWO), data_root=data_root)  # the same process lives on, as Ray's may

"""The live table, drawn on a recording console."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from harness.base.signals import StopWish
from harness.orchestrate.execute import Collector
from harness.orchestrate.screen import LAST_SHOWN, LiveProgress
from harness.results import Store
from tests.orchestrate import fakes


def _screen(progress: LiveProgress) -> list[str]:
    console = Console(record=True, width=110, file=io.StringIO())
    console.print(progress.render())
    return console.export_text().splitlines()


def _progress(trials: int) -> LiveProgress:
    progress = LiveProgress(Console(quiet=True))
    progress.begin(fakes.plan(*range(trials)), settled=3)
    return progress


def test_a_running_trial_shows_state_epoch_loss_accuracy_and_time_left() -> None:
    progress, planned = _progress(4), fakes.plan(0)[0]
    progress.started(planned)
    progress.reported(
        planned,
        {"state": "train", "epoch": 2, "epochs": 10, "loss": 1.25, "val_top1": 45.6, "seconds_left": 300.0},
    )
    line = next(line for line in _screen(progress) if "seed 0" in line)
    assert line.split()[-7:] == ["train", "2/10", "1.250", "45.6", "%", "5", "min"]
    progress.end()


def test_the_table_stays_short_with_hundreds_of_trials() -> None:
    progress = _progress(200)
    for planned in fakes.plan(*range(100)):
        progress.started(planned)
        progress.done(planned, {"top1": 75.0})
    progress.failed(fakes.plan(100)[0], "diverged")
    screen = _screen(progress)
    assert len(screen) <= LAST_SHOWN + 3
    assert "101/200, 1 failed, 99 waiting, 3 settled before" in screen[-1]
    assert any("failed: diverged" in line for line in screen)
    progress.end()


def test_time_left_is_the_unfinished_share_of_what_passed() -> None:
    progress = _progress(4)
    assert progress.forecast.seconds_left is None
    progress.forecast.started -= 60.0
    progress.done(fakes.plan(0)[0], {"top1": 75.0})
    progress.reported(fakes.plan(1)[0], {"epoch": 5, "epochs": 5})
    left = progress.forecast.seconds_left
    assert left is not None
    elapsed = time.monotonic() - progress.forecast.started
    assert left == pytest.approx(elapsed, abs=0.5), "half is done, so the rest takes as long"
    progress.end()


def test_tune_can_pickle_its_callback_while_the_screen_is_live(tmp_path: Path) -> None:
    """Tune snapshots its callbacks; a live screen holds locks (this once ended every run on a terminal)."""
    from ray import cloudpickle

    from harness.orchestrate.wave import Watcher

    progress = LiveProgress(Console(file=io.StringIO(), force_terminal=True))
    progress.begin([], settled=0)
    watcher = Watcher(Collector([], Store(tmp_path), progress), StopWish(progress.say), "1 CPU")
    assert len(cloudpickle.dumps(watcher)) > 0
    progress.live.stop()


def test_what_a_trial_told_is_forgotten_when_it_is_done(tmp_path: Path) -> None:
    """Tune keeps a history of every number of every trial; with thousands of trials the driver grows."""
    from ray.tune.experiment import Trial

    from harness.orchestrate.wave import Watcher

    watcher = Watcher(Collector([], Store(tmp_path), _progress(1)), StopWish(print), "1 CPU")
    trial = Trial("stand-in", stub=True)
    trial.update_last_result({"progress": {"epoch": 1, "loss": 0.5}, "training_iteration": 1})
    assert trial.metric_analysis and trial.metric_n_steps
    watcher.on_trial_complete(iteration=1, trials=[trial], trial=trial)
    assert trial.metric_analysis == trial.metric_n_steps == {}

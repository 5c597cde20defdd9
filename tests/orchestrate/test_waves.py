"""A long list is several runs of Tune: their sizes, their order, what ends them. Ray itself stands aside here.

`test_ray.py` runs real waves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.base.errors import UserError
from harness.base.signals import StopWish
from harness.experiment.identity import trial_id
from harness.experiment.start import start_trial
from harness.orchestrate import Outcome, execute, ray_tune
from harness.orchestrate.cluster import HERE
from harness.orchestrate.execute import Collector
from harness.orchestrate.ray_tune import WAVE_TRIALS, WAVE_TRIALS_A_SLOT, wave_size
from harness.orchestrate.screen import LiveProgress
from harness.orchestrate.worker import Task, packed, run_inline, unpacked
from harness.plan.expand import Planned
from harness.results import Store
from tests.orchestrate import fakes


def _sizes(trials: int, at_once: int) -> list[int]:
    found = []
    while trials:
        found.append(wave_size(trials, at_once))
        trials -= found[-1]
    return found


def test_a_grid_of_hundreds_is_one_wave_and_thousands_are_several_of_one_length() -> None:
    assert _sizes(27 * 5, 2) == [135]
    assert _sizes(2 * WAVE_TRIALS - 1, 2) == [2 * WAVE_TRIALS - 1]
    assert _sizes(4 * WAVE_TRIALS, 2) == [WAVE_TRIALS] * 4
    assert _sizes(2 * WAVE_TRIALS + 11, 2) == [WAVE_TRIALS + 6, WAVE_TRIALS + 5]


def test_waves_are_long_where_many_run_at_once() -> None:
    """The last trial of a wave keeps all the others' slots waiting."""
    assert min(_sizes(20_000, 100)) >= 100 * WAVE_TRIALS_A_SLOT


@dataclass
class Waves:
    """Runs a list through the launcher, each wave in this process; `ran`: the ids of each."""

    root: Path
    ran: list[list[str]] = field(default_factory=list)
    after: Callable[[StopWish], None] = lambda _: None  # what happens at the end of the first

    def run(self, todo: Sequence[Planned]) -> Outcome:
        progress = LiveProgress(Console(quiet=True))
        store = Store(self.root / "store")
        return execute(todo, store, fakes.profile(), data_root=self.root, progress=progress, run=fakes.run)

    def wave(self, tasks: Sequence[Task], _: Any, listener: Any, stop: StopWish, run: Any, *__: Any) -> None:
        self.ran.append([task.planned.id for task in tasks])
        run_inline(tasks, listener, run)
        if len(self.ran) == 1:
            self.after(stop)


@pytest.fixture
def waves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Waves:
    from harness.orchestrate import wave

    found = Waves(tmp_path)
    monkeypatch.setattr(ray_tune, "running_ray", lambda *_: contextlib.nullcontext(tmp_path))
    monkeypatch.setattr(ray_tune, "check_resources", lambda _: None)
    monkeypatch.setattr(ray_tune, "slots", lambda _: 0)
    monkeypatch.setattr(ray_tune, "WAVE_TRIALS", 2)
    monkeypatch.setattr(wave, "run_wave", found.wave)
    return found


def _wish(stop: StopWish, number: signal.Signals) -> None:
    """A signal, which the main thread answers a moment later."""
    os.kill(os.getpid(), number)
    end = time.monotonic() + 60
    while stop.asked is None and time.monotonic() < end:
        time.sleep(0.01)


def _ids(planned: Sequence[Planned]) -> list[str]:
    return [p.id for p in planned]


def test_each_trial_runs_once_in_order_and_a_failure_of_the_first_wave_is_kept(waves: Waves) -> None:
    todo = fakes.plan(fakes.RAISES, 0, 10, 20, 30)
    outcome = waves.run(todo)
    assert waves.ran == [_ids(todo[:3]), _ids(todo[3:])]
    assert outcome.done == _ids(todo[1:])
    assert outcome.failed == {todo[0].id: "RuntimeError: the module raises"}
    assert (outcome.not_run, outcome.interrupted) == ([], False)


def test_starts_come_before_the_waves_of_those_that_need_them(waves: Waves) -> None:
    todo = [
        fakes.with_start(seed, start) for seed, start in ((0, 20), (10, 30), (20, fakes.RAISES), (30, 40))
    ]
    starts = [start_trial(planned.trial) for planned in todo]
    ids = [trial_id(start) for start in starts if start is not None]
    outcome = waves.run(todo)
    assert waves.ran == [ids[:2], ids[2:], [todo[0].id, todo[1].id, todo[3].id]]
    assert outcome.failed == {ids[2]: "RuntimeError: the module raises"}
    assert outcome.not_run == [todo[2].id]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_wish_to_stop_between_two_waves_leaves_the_rest(waves: Waves, number: signal.Signals) -> None:
    waves.after = lambda stop: _wish(stop, number)
    todo = fakes.plan(0, 10, 20, 30)
    outcome = waves.run(todo)
    assert outcome.interrupted
    assert (outcome.done, outcome.not_run) == (_ids(todo[:2]), _ids(todo[2:]))


def test_an_error_of_the_surroundings_ends_all_waves(waves: Waves) -> None:
    todo = fakes.plan(0, fakes.DISK_FULL, 10, 20)
    with pytest.raises(UserError, match="No space left"):
        waves.run(todo)
    assert waves.ran == [_ids(todo[:2])]


def test_tune_never_takes_the_signals(waves: Waves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would as each of its runs begins: a wish of that moment ends one wave and is forgotten."""
    from ray.tune import tune

    def begins(*rest: Any) -> None:
        tune._setup_signal_catching()
        _wish(rest[3], signal.SIGUSR1)

    monkeypatch.setattr("harness.orchestrate.wave.run_wave", begins)
    collector = Collector([], Store(tmp_path), LiveProgress(Console(quiet=True)))
    tasks = [Task(planned, "", tmp_path) for planned in fakes.plan(0, 10, 20, 30)]
    with (
        StopWish(lambda _: None) as stop,
        ray_tune.ray_launcher(fakes.profile(), collector, stop, None, HERE) as launch,
    ):
        launch(tasks)
    assert stop.asked == "SIGUSR1"


def test_a_task_travels_as_text(tmp_path: Path) -> None:
    """Of bytes in a trial's configuration Ray keeps the printed form in the driver for good."""
    (planned,) = fakes.plan(0)
    task = Task(planned, "store", tmp_path, trunk=tmp_path / "trunk.pt", driver="me")
    assert unpacked(packed(task)) == task
    assert isinstance(packed(task), str)

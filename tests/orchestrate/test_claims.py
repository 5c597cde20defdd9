"""Claims: a trial has one runner, whoever dies and whatever clocks and storages do."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from harness.base.errors import StorageError
from harness.base.files import write_atomically
from harness.base.storage import ArrowStorage, LocalStorage, Storage
from harness.experiment.load import ROOT
from harness.experiment.start import trunk_path
from harness.orchestrate import claims as module
from harness.orchestrate import execute, single, worker
from harness.orchestrate.claims import Claims, myself
from harness.orchestrate.screen import PlainProgress
from harness.orchestrate.worker import Task, run_one
from harness.plan.expand import with_starts
from harness.plan.pending import pending
from harness.results import Store
from tests.orchestrate import fakes

TRIAL = "0123456789ab"


@pytest.fixture(params=["local", "arrow"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path)
    return ArrowStorage(pafs.LocalFileSystem(), str(tmp_path), "arrow://here")


def test_one_of_two_has_it_and_after_the_release_the_other(storage: Storage) -> None:
    first = Claims(storage).take(TRIAL, myself("a"))
    assert first is not None and first.held()
    assert Claims(storage).take(TRIAL, myself("b")) is None
    first.release()
    second = Claims(storage).take(TRIAL, myself("b"))
    assert second is not None
    second.release()
    assert storage.listing("claims") == {}


def test_of_many_who_take_at_once_at_most_one_has_it(storage: Storage) -> None:
    for _ in range(20):
        barrier, taken = threading.Barrier(4), []

        def take(barrier: threading.Barrier = barrier, taken: list[object] = taken) -> None:
            barrier.wait()
            taken.append(Claims(storage).take(TRIAL, myself("x")))

        threads = [threading.Thread(target=take) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        held = [claim for claim in taken if claim is not None]
        assert len(held) <= 1
        for claim in held:
            claim.release()  # type: ignore[attr-defined]


def test_a_dead_hosts_claim_is_taken_over_after_the_stated_time(storage: Storage) -> None:
    """Another machine's silence: only watching tells, by this process's own clock."""
    other = replace(myself("a"), machine="another boot:another namespace", host="node7")
    claim = module.Claim(storage, f"claims/{TRIAL}.{'0' * 16}.json", other, None)
    claim.write()
    watching = Claims(storage, dead_seconds=0.5)
    assert watching.take(TRIAL, myself("b")) is None
    time.sleep(0.3)
    claim._beat = 7  # it lives: its file changes
    claim.write()
    assert watching.take(TRIAL, myself("b")) is None
    time.sleep(0.3)
    assert watching.take(TRIAL, myself("b")) is None, "it was alive 0.3 s ago"
    time.sleep(0.6)
    taken = watching.take(TRIAL, myself("b"))
    assert taken is not None
    assert not claim.held(), "the old holder must notice"
    taken.release()


@pytest.mark.parametrize("jump", [-3 * 86400.0, 3 * 86400.0])
def test_a_clock_that_jumps_kills_no_claim(
    jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path)
    other = replace(myself("a"), machine="elsewhere")
    claim = module.Claim(storage, f"claims/{TRIAL}.{'0' * 16}.json", other, None)
    claim.write()
    os.utime(tmp_path / claim.name, (time.time() + jump,) * 2)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - jump)
    watching = Claims(storage)
    assert watching.take(TRIAL, myself("b")) is None
    assert watching.take(TRIAL, myself("b")) is None


def test_a_lost_attempt_of_the_same_driver_is_dead_at_once(storage: Storage) -> None:
    """A node that died under Ray: Tune has said so, nobody waits for a heartbeat."""
    other = replace(myself("driver"), machine="a dead node")
    module.Claim(storage, f"claims/{TRIAL}.{'0' * 16}.json", other, None).write()
    assert Claims(storage).take(TRIAL, myself("driver")) is None
    taken = Claims(storage).take(TRIAL, myself("driver", attempt=1))
    assert taken is not None
    taken.release()


def test_a_torn_ticket_is_watched_like_any_other(storage: Storage) -> None:
    storage.write(f"claims/{TRIAL}.{'0' * 16}.json", b'{"who": {')
    watching = Claims(storage, dead_seconds=0.1)
    assert watching.take(TRIAL, myself("a")) is None
    time.sleep(0.2)
    taken = watching.take(TRIAL, myself("a"))
    assert taken is not None
    taken.release()


def test_the_heart_beats_with_the_last_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.05)
    claims = Claims(LocalStorage(tmp_path))
    claim = claims.take(TRIAL, myself("a"))
    assert claim is not None
    claim.told({"state": "train", "epoch": 3})
    end = time.monotonic() + 30
    while not (found := claims.tickets(TRIAL)) or found[0].report == {}:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert found[0].report["epoch"] == 3
    claim.release()


def test_a_trial_taken_over_in_its_sleep_writes_nothing(tmp_path: Path) -> None:
    store, one = Store(tmp_path / "store"), fakes.plan(0)[0]

    def slept(trial: object, **named: object) -> object:
        for name in store.storage.listing("claims"):
            store.storage.delete(f"claims/{name}")
        return fakes.run(trial, **named)  # type: ignore[arg-type]

    answer = run_one(Task(one, str(store.root), tmp_path), lambda _: None, run=slept)  # type: ignore[arg-type]
    assert answer.status == "elsewhere"
    assert store.done() == set()


def test_a_storage_that_is_away_for_a_while_costs_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    answers: list[object] = [OSError("connection refused"), OSError(116, "Stale file handle"), "there"]

    def ask() -> object:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise StorageError("away") from answer
        return answer

    assert worker.patiently(ask) == "there"
    assert waits == [1.0, 2.0]
    answers[:] = [OSError(28, "No space left on device"), "there"]
    with pytest.raises(StorageError):
        worker.patiently(ask)
    assert answers == ["there"], "a full disk is told at once"


SCRIPT = """
import sys, io, time
from pathlib import Path
from harness.orchestrate import claims, single
from harness.orchestrate.screen import PlainProgress
from harness.plan.pending import pending
from harness.results import Store
from tests.orchestrate import fakes
store, seeds = Store(sys.argv[1]), list(map(int, sys.argv[2].split(",")))
while todo := pending(fakes.plan(*seeds), store).todo:
    for one in todo:
        single.run_single([], one, store, data_root=Path(sys.argv[1]), run=fakes.run,
            progress=PlainProgress(io.StringIO()))
    time.sleep(0.05)
"""


def test_four_processes_share_twelve_trials_and_one_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell loop in four shells. The killed one's trial goes on from its checkpoint; no other runs twice."""
    seeds = [*range(0, 110, 10), fakes.WAITS]
    environment = {**os.environ, "HARNESS_FAKE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    shell = [sys.executable, "-c", SCRIPT, str(tmp_path / "store"), ",".join(map(str, seeds))]
    running = [subprocess.Popen(shell, cwd=ROOT, env=environment, stderr=subprocess.PIPE) for _ in range(4)]
    try:
        end, victim = time.monotonic() + 200, None
        while victim is None:
            assert time.monotonic() < end
            victim = next((s["pid"] for s in fakes.starts(tmp_path) if s["seed"] == fakes.WAITS), None)
            time.sleep(0.05)
        checkpoint = Store(tmp_path / "store").checkpoint_dir(fakes.plan(fakes.WAITS)[0].id) / "last.json"
        while not checkpoint.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        os.kill(victim, signal.SIGKILL)
        (tmp_path / "go").touch()
        for process in running:
            _, said = process.communicate(timeout=200)
            assert process.returncode == (-signal.SIGKILL if process.pid == victim else 0), said
    finally:
        for process in running:
            process.kill()
    store = Store(tmp_path / "store")
    assert len(store.done()) == 12
    starts = [s["seed"] for s in fakes.starts(tmp_path)]
    twice = {seed for seed in starts if starts.count(seed) > 1}
    assert twice == {fakes.WAITS} and starts.count(fakes.WAITS) == 2, "run twice"
    assert [s["from"] for s in fakes.starts(tmp_path) if s["seed"] == fakes.WAITS] == [0, 1]
    assert {s["pid"] for s in fakes.starts(tmp_path)} <= {p.pid for p in running}
    assert not store.storage.listing("claims")


def test_a_start_that_another_process_makes_is_waited_for_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single, "WAIT_SECONDS", 0.05)
    store, stream = Store(tmp_path / "store"), io.StringIO()
    start, one = with_starts([fakes.with_start(0, start_seed=20)])
    held = Claims(store.storage).take(start.id, myself("another"))
    assert held is not None

    def make() -> None:
        write_atomically(trunk_path(start.trial, tmp_path), b"trunk")
        held.release()

    threading.Timer(0.5, make).start()
    answer = single.run_single(
        [start], one, store, data_root=tmp_path, progress=PlainProgress(stream), run=fakes.run
    )
    assert (answer.id, answer.status) == (one.id, "done")
    assert stream.getvalue().count("runs it") == 1
    assert store.done() == {one.id}, "the start was made a second time"


def test_a_second_driver_waits_for_what_the_first_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both end with everything done; each trial has run once."""
    monkeypatch.setenv("HARNESS_FAKE_DIR", str(tmp_path))
    store, seeds = Store(tmp_path / "store"), (fakes.WAITS, 0)
    claim = Claims(store.storage).take(fakes.plan(fakes.WAITS)[0].id, myself("the first driver"))
    assert claim is not None

    def first() -> None:
        time.sleep(1.0)
        (tmp_path / "go").touch()
        trial = fakes.plan(fakes.WAITS)[0]
        store.write(fakes._record(trial.trial, [{"epoch": 1, "loss": 1.0, "seconds": 0.1}]), trial)
        claim.release()

    thread = threading.Thread(target=first)
    thread.start()
    log = io.StringIO()
    outcome = execute(
        pending(fakes.plan(*seeds), store).todo,
        store,
        fakes.profile(),
        data_root=tmp_path,
        progress=PlainProgress(log),
        inline=True,
        run=fakes.run,
    )
    thread.join()
    assert sorted(outcome.done) == sorted(p.id for p in fakes.plan(*seeds))
    assert [s["seed"] for s in fakes.starts(tmp_path)] == [0]
    assert f"process {os.getpid()} on" in log.getvalue()

"""status, logs, retry and clean, on a store in which something runs, something failed and something died."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from harness.cli.main import main
from harness.orchestrate import claims as module
from harness.orchestrate import ray_start
from harness.orchestrate.claims import Claims, myself
from harness.orchestrate.execute import Outcome
from harness.plan.estimate import Estimate, Range
from harness.plan.history import RunNote, note_run
from harness.results import Store
from harness.results.files import write_frame
from tests.factories import make_failed_record, make_record
from tests.orchestrate import fakes


def _harness(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().out


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_status_says_what_runs_where(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = fakes.plan(0)
    claim = Claims(store.storage).take(one.id, replace(myself("a", label="ablation_a · DSA"), host="node7"))
    assert claim is not None
    claim.told({"state": "train", "epoch": 3, "epochs": 12, "seconds_left": 90.0, "loss": 1.25})
    claim.write()
    code, text = _harness(capsys, "status", "ablation_a", "--results", store.root)
    assert code == 0
    assert f"running {one.id} ablation_a · DSA: train epoch 3/12, about" in text
    assert f"process {os.getpid()} on node7, heartbeat" in text
    facts = json.loads(_harness(capsys, "status", "ablation_a", "--results", store.root, "--json")[1])
    (line,) = facts["running"]
    assert (line["host"], line["dead"], line["report"]["epoch"]) == ("node7", False, 3)
    code, text = _harness(capsys, "logs", one.id[:8], "--results", store.root)
    assert (code, "node7" in text, "\nepoch 3  loss 1.25\n" in text) == (0, True, True)
    claim.release()


def test_status_tells_lost_and_silent_claims_from_running_ones(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, silent = fakes.plan(0, 10)
    for one, who in (
        (lost, replace(myself("a"), started="gone")),
        (silent, replace(myself("b"), machine="other", host="node7")),
    ):
        module.Claim(store.storage, f"claims/{one.id}.{'0' * 16}.json", who, None).write()
    monkeypatch.setattr(module, "DEAD_SECONDS", -1.0)
    text = _harness(capsys, "status", "ablation_a", "--results", store.root)[1]
    assert f"lost    {lost.id} : starting; process {os.getpid()} on" in text and "is gone" in text
    assert f"silent  {silent.id} : starting; process {os.getpid()} on node7, no heartbeat for" in text
    assert "running" not in text


def _note(store: Store, **changes: object) -> RunNote:
    expected = Estimate(2, 2, Range(80.0, 100.0, 150.0), None, None, 900.0, 1.0, {})
    note = note_run(store, ["ablation_a"], "embedded", expected)
    note = replace(note, row={**note.row, **changes})
    write_frame(store.storage, note.name, pd.DataFrame([note.row]))
    return note


def test_status_says_how_long_a_run_that_goes_on_will_take(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=10)
    note = _note(store, started=began.isoformat(timespec="seconds"))
    ask = ["status", "ablation_a", "--results", store.root]
    assert f"goes on (process {os.getpid()} on" in _harness(capsys, *ask)[1], "nothing to go by yet"
    done, failed = fakes.plan(0, 1)
    store.write(make_record(done), done)
    assert "goes on, about 10 min left" in _harness(capsys, *ask)[1], "one of two trials took ten minutes"
    store.write(make_failed_record(failed, "diverged"), failed)
    text = _harness(capsys, *ask)[1]
    assert f"failed {failed.id} ablation_a · DSA+I3D 4x4 · seed 1: diverged" in text
    note.finish(Outcome([done.id], {failed.id: "diverged"}, [], False, 80.0))
    assert "took 80 s" in _harness(capsys, *ask)[1]


def test_status_of_many_runs_reads_the_index_as_often_as_of_one(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    index = Store.index
    monkeypatch.setattr(Store, "index", lambda self, columns: asked.append(columns) or index(self, columns))
    (done,) = fakes.plan(0)
    store.write(make_record(done), done)
    counts = []
    for _ in range(2):
        _note(store)
        asked.clear()
        text = _harness(capsys, "status", "ablation_a", "--results", store.root)[1]
        counts.append((text.count("goes on"), len(asked)))
    assert counts == [(1, counts[0][1]), (2, counts[0][1])]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"process_started": "0"}, "did not come to its end (killed)"),
        ({"machine": "another", "host": "node7"}, "no end told yet (process"),
        ({"machine": None}, "did not come to its end (killed)"),
    ],
)
def test_status_of_a_run_without_an_end(
    changes: dict[str, object], told: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=10)
    _note(store, started=began.isoformat(timespec="seconds"), **changes)
    (done,) = fakes.plan(0)
    store.write(make_record(done), done)
    text = _harness(capsys, "status", "ablation_a", "--results", store.root)[1]
    assert told in text and " left" not in text, "nobody is heard of"


def test_watching_ends_with_ctrl_c_and_exit_code_0(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = []

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("harness.cli.status.time.sleep", sleep)
    code, text = _harness(capsys, "status", "ablation_a", "--watch", "--results", store.root)
    assert (code, text.count("DSA+I3D 4x4"), text.count("Ctrl-C ends this")) == (0, 2, 2)


def test_logs_of_a_done_a_failed_and_an_unknown_trial(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    done, failed = fakes.plan(0, 1)
    store.write(make_record(done), done)
    store.write(make_failed_record(failed), failed)
    code, text = _harness(capsys, "logs", done.id, "--results", store.root)
    assert (code, "epoch 1" in text, f"{done.id} done" in text) == (0, True, True)
    record = store.record(failed.id)
    text = _harness(capsys, "logs", failed.id, "--results", store.root)[1]
    assert f"{failed.id} failed: {record.reason}" in text
    assert _harness(capsys, "logs", "nothing", "--results", store.root)[0] == 2


def test_logs_of_a_shipped_trial_and_ones_own_come_first(
    store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = fakes.plan(0)
    shipped = Store(tmp_path / "shipped")
    shipped.write(make_record(one), one)
    monkeypatch.setattr("harness.results.baseline_roots", lambda: [shipped.root])
    code, text = _harness(capsys, "logs", one.id[:8], "--results", store.root)
    assert (code, "epoch 1" in text, f"{one.id} done" in text) == (0, True, True)
    store.write(make_failed_record(one), one)
    facts = json.loads(_harness(capsys, "logs", one.id[:8], "--results", store.root, "--json")[1])
    assert (facts["store"], facts["status"]) == (str(store.root), "failed")


def test_logs_of_two_that_run_asks_for_more_digits(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    held = [Claims(store.storage).take(one.id, myself("a")) for one in fakes.plan(0, 10)]
    assert _harness(capsys, "logs", "", "--results", store.root)[0] == 2
    for claim in held:
        assert claim is not None
        claim.release()


def test_retry_forgets_failures_and_nothing_else(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    done, failed = fakes.plan(0, 1)
    store.write(make_record(done), done)
    store.write(make_failed_record(failed), failed)
    assert _harness(capsys, "retry", "ablation_a", "--results", store.root)[0] == 2
    assert store.failed(), "only on request"
    code, text = _harness(capsys, "retry", "ablation_a", "--failed", "--results", store.root)
    assert (code, "1 failure forgotten" in text) == (0, True)
    assert (store.done(), store.failed()) == ({done.id}, {})


def test_clean_says_first_and_never_touches_records_or_live_trials(
    store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = tmp_path / "tmp"  # not this machine's /tmp: other tests kill drivers of their own
    places.mkdir()
    monkeypatch.setattr(ray_start, "SHORT_FOLDERS", ())
    monkeypatch.setattr("tempfile.tempdir", str(places))
    mine = f"{os.getpid()}-{ray_start.process_start(os.getpid())}"
    left, live_driver = (
        places / f"hray-{whose}-{ray_start._machine_mark()}0000" for whose in ("4194303-1", mine)
    )
    left.mkdir()
    live_driver.mkdir()
    done, running, stopped = fakes.plan(0, 10, 20)
    store.write(make_record(done), done)
    live = Claims(store.storage).take(running.id, myself("a"))
    assert live is not None
    dead = module.Claim(
        store.storage, f"claims/{done.id}.{'0' * 16}.json", replace(myself("b"), started="gone"), None
    )
    dead.write()
    litter = store.root / "trials" / ".x.parquet.0011.tmp"
    litter.write_bytes(b"half")
    os.utime(litter, (0, 0))
    for one in (done, running, stopped):
        (store.checkpoint_dir(one.id)).mkdir(parents=True)
    store.done()  # makes the index
    before = sorted(p for p in store.root.rglob("*"))
    code, text = _harness(capsys, "clean", "--results", store.root)
    assert code == 0
    assert sorted(p for p in store.root.rglob("*")) == before, "without --yes nothing goes"
    gone = {store.root / dead.name, litter, store.checkpoint_dir(done.id)}
    told = (line.removeprefix("would remove ").partition(": ") for line in text.splitlines()[:-1])
    assert {Path(place): why for place, _, why in told} == {
        store.root / dead.name: "a claim whose process is gone",
        litter: "half written",
        store.checkpoint_dir(done.id): "a checkpoint of a trial that is done",
        left: "of a driver that is gone",
    }
    _harness(capsys, "clean", "--yes", "--results", store.root)
    assert set(before) - set(store.root.rglob("*")) == gone
    assert list(places.iterdir()) == [live_driver]
    assert live.held()
    live.release()

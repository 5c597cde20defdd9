"""status, logs, retry and clean, on a store in which something runs, something failed and something died."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.orchestrate import claims as module
from harness.orchestrate.claims import Claims, myself
from harness.results import Store
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
    claim.told({"state": "train", "epoch": 3, "epochs": 12, "seconds_left": 90.0})
    claim.write()
    code, text = _harness(capsys, "status", "ablation_a", "--results", store.root)
    assert code == 0
    assert f"running {one.id} ablation_a · DSA: train epoch 3/12, about" in text
    assert f"process {os.getpid()} on node7, heartbeat" in text
    facts = json.loads(_harness(capsys, "status", "ablation_a", "--results", store.root, "--json")[1])
    (line,) = facts["running"]
    assert (line["host"], line["dead"], line["report"]["epoch"]) == ("node7", False, 3)
    code, text = _harness(capsys, "logs", one.id[:8], "--results", store.root)
    assert (code, "node7" in text) == (0, True)
    claim.release()


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


def test_retry_forgets_failures_and_nothing_else(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    done, failed = fakes.plan(0, 1)
    store.write(make_record(done), done)
    store.write(make_failed_record(failed), failed)
    assert _harness(capsys, "retry", "ablation_a", "--results", store.root)[0] == 2
    assert store.failed(), "only on request"
    code, text = _harness(capsys, "retry", "ablation_a", "--failed", "--results", store.root)
    assert (code, "1 failures forgotten" in text) == (0, True)
    assert (store.done(), store.failed()) == ({done.id}, {})


def test_clean_says_first_and_never_touches_records_or_live_trials(
    store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.orchestrate.ray_start.SHORT_FOLDERS", ())
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
    assert {Path(line.removeprefix("would remove ")) for line in text.splitlines()[:-1]} == gone
    _harness(capsys, "clean", "--yes", "--results", store.root)
    assert set(before) - set(store.root.rglob("*")) == gone
    assert live.held()
    live.release()

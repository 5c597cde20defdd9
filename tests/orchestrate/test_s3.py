"""A store in an object store: moto's server, real HTTP, pyarrow's own S3 client."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.base.errors import StorageError
from harness.base.storage import storage_at
from harness.experiment.load import ROOT
from harness.orchestrate.claims import Claims, myself
from harness.orchestrate.execute import execute
from harness.orchestrate.screen import PlainProgress
from harness.orchestrate.worker import Task, run_one
from harness.results import Store, load
from tests.drills.bucket import ACCESS, served
from tests.orchestrate import fakes
from tests.orchestrate.cable import Cable

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A URI of a fresh bucket; the server lives as long as this module's tests."""
    os.environ.update(ACCESS)
    with served() as uri:
        yield uri


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_FAKE_DIR", str(tmp_path))
    return tmp_path


def _run(store: Store, host: Path, *seeds: int) -> Any:
    return execute(
        fakes.plan(*seeds),
        store,
        fakes.profile(),
        data_root=host / "data",
        progress=PlainProgress(),
        inline=True,
        run=fakes.run,
    )


def test_a_run_into_a_bucket(bucket: str, host: Path) -> None:
    store = Store(bucket.format("runs"))
    outcome = _run(store, host, 0, 10, fakes.RAISES)
    assert len(outcome.done) == 2
    assert store.done() == {p.id for p in fakes.plan(0, 10)}
    assert list(store.failed().values()) == ["RuntimeError: the module raises"]
    record = store.record(fakes.plan(0)[0].id)
    assert record.curve["loss"].tolist() == [1.0, 1 / 2, 1 / 3, 1 / 4]
    assert set(load(store.root)["id"]) >= store.done()
    assert store.storage.listing("claims") == {}


def test_a_run_on_ray_into_a_bucket(bucket: str, host: Path) -> None:
    """Workers write records, curves and scores there themselves; the driver writes none."""
    store = Store(bucket.format("ray"))
    code = (
        "import sys; from pathlib import Path; from harness.orchestrate import execute; "
        "from harness.orchestrate.screen import PlainProgress; from harness.results import Store; "
        "from tests.orchestrate import fakes; "
        "print(execute(fakes.plan(0, 10, fakes.KILLED_ONCE, fakes.RAISES), Store(sys.argv[1]), fakes.profile(), "
        "data_root=Path(sys.argv[2]), progress=PlainProgress(), run=fakes.run))"
    )
    environment = {**os.environ, "HOME": str(host)}
    ran = [sys.executable, "-c", code, str(store.root), str(host / "data")]
    subprocess.run(ran, cwd=ROOT, env=environment, check=True, timeout=300)
    assert store.done() == {p.id for p in fakes.plan(0, 10, fakes.KILLED_ONCE)}
    assert list(store.failed().values()) == ["RuntimeError: the module raises"]
    assert store.record(fakes.plan(fakes.KILLED_ONCE)[0].id).curve["epoch"].tolist() == [1, 2, 3, 4]
    assert store.storage.listing("claims") == {}


def test_a_bucket_that_is_away_when_a_trial_ends_costs_time_only(bucket: str, host: Path) -> None:
    port = int(bucket.partition("127.0.0.1:")[2].partition("&")[0])
    cable = Cable(port)
    store, refused = Store(bucket.replace(str(port), str(cable.port)).format("away")), []

    def run(*trial: Any, **options: Any) -> Any:
        record = fakes.run(*trial, **options)
        cable.pull()
        with pytest.raises(StorageError):
            store.storage.listing("trials")
        refused.append(True)
        threading.Timer(2.0, cable.plug).start()
        return record

    outcome = execute(
        fakes.plan(0),
        store,
        fakes.profile(),
        data_root=host / "data",
        progress=PlainProgress(),
        inline=True,
        run=run,
    )
    assert refused == [True]
    assert store.done() == set(outcome.done) == {fakes.plan(0)[0].id}
    assert store.record(outcome.done[0]).curve["loss"].tolist() == [1.0, 1 / 2, 1 / 3, 1 / 4]


def test_a_second_claim_in_a_bucket_is_refused(bucket: str) -> None:
    storage = storage_at(bucket.format("claims"))
    first = Claims(storage).take("aaa", myself("a"))
    assert first is not None and first.held()
    assert Claims(storage).take("aaa", myself("b")) is None
    first.release()


def test_a_checkpoint_reaches_another_host_through_the_bucket(
    bucket: str, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first host dies after two epochs; the second, with a disk of its own, goes on from the third."""
    from harness.orchestrate.carry import Carrier

    monkeypatch.setattr("harness.orchestrate.carry.LAST", "last.json")
    store, (one,) = Store(bucket.format("moved")), fakes.plan(50)
    for epochs in (1, 2):
        fakes._save(
            store.checkpoint_dir(one.id),
            [{"epoch": e, "loss": 1.0 / e, "seconds": 0.1} for e in range(1, epochs + 1)],
        )
        first = Carrier(store, one, host / "data", None)
        first._sent = None
        first.send()
    monkeypatch.setenv("HARNESS_CACHE", str(host / "the other hosts disk"))
    other = Store(bucket.format("moved"))
    assert not other.checkpoint_dir(one.id).exists()
    answer = run_one(Task(one, str(other.root), host / "data"), lambda _: None, run=fakes.run)
    assert answer.status == "done"
    assert [s["from"] for s in fakes.starts(host) if s["seed"] == 50] == [2]
    assert other.record(one.id).curve["epoch"].tolist() == [1, 2, 3, 4]
    assert other.storage.stamp(f"checkpoints/{one.id}/last.json") is None, "a done trial leaves none"


def test_a_trunk_reaches_another_host_through_the_bucket(bucket: str, host: Path) -> None:
    from harness.experiment.start import start_trial, trunk_path
    from harness.orchestrate.carry import Carrier

    store, one = Store(bucket.format("trunks")), fakes.with_start(0, start_seed=20)
    start = start_trial(one.trial)
    assert start is not None
    there = trunk_path(start, host / "first")
    planned = replace(one, trial=start)
    assert (
        run_one(Task(planned, str(store.root), host / "first", there), lambda _: None, run=fakes.run).status
        == "done"
    )
    Carrier(store, one, host / "second", None).fetch()
    assert trunk_path(start, host / "second").read_bytes() == b"trunk"

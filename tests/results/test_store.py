"""The store: records come back as they were, half-written files never count, damaged ones are kept."""

from __future__ import annotations

import dataclasses
import errno
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness.results.record as record_module
from harness.base.errors import StorageError, UserError
from harness.base.files import write_error
from harness.base.storage import ArrowStorage
from harness.experiment.identity import trial_id
from harness.experiment.load import BASELINES, ROOT
from harness.experiment.migrate import SCHEMA_VERSION
from harness.results import Store, Unreadable, load
from harness.results.answers import answers
from harness.results.files import METADATA_KEY
from harness.results.flatten import FIRST_METRICS as METRICS
from harness.results.flatten import flatten, unflatten
from harness.results.lock import make_room
from harness.results.record import Record
from harness.results.store import Settled
from tests.factories import make_failed_record, make_record
from tests.orchestrate import fakes
from tests.results.writer import write_all

PLANNED = fakes.plan(0, 1, 2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def _assert_same(one: Record, other: Record) -> None:
    assert (one.trial, one.status, one.reason, one.metrics) == (
        other.trial,
        other.status,
        other.reason,
        other.metrics,
    )
    assert (one.cost, one.provenance, one.traceback) == (other.cost, other.provenance, other.traceback)
    pd.testing.assert_frame_equal(one.curve, other.curve)
    pd.testing.assert_frame_equal(
        one.predictions.drop(columns="scores"), other.predictions.drop(columns="scores")
    )
    np.testing.assert_array_equal(np.stack(one.predictions["scores"]), np.stack(other.predictions["scores"]))


def test_a_record_comes_back_exactly(store: Store) -> None:
    written = make_record(PLANNED[0])
    store.write(written, PLANNED[0])
    _assert_same(store.record(written.id), written)
    assert store.trial(written.id) == written.trial
    assert store.done() == {written.id}
    assert store.predictions(written.id)["scores"][0].dtype == np.float32


def test_a_metric_that_is_no_number_comes_back(store: Store) -> None:
    (planned, *_), record = PLANNED, make_record(PLANNED[0])
    store.write(
        dataclasses.replace(record, metrics={**record.metrics, "factor_motion": float("nan")}), planned
    )
    metrics = store.record(planned.id).metrics
    assert metrics.keys() == record.metrics.keys() and np.isnan(metrics["factor_motion"])


def test_a_failed_record_keeps_its_reason_and_gives_way_to_a_done_one(store: Store) -> None:
    failed = make_failed_record(PLANNED[0], "diverged: loss is not a number")
    store.write(failed)
    assert (store.done(), store.failed()) == (set(), {failed.id: "diverged: loss is not a number"})
    assert store.record(failed.id).traceback == failed.traceback
    store.write(make_record(PLANNED[0]))
    assert (store.done(), store.failed()) == ({failed.id}, {})


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(max_examples=25, deadline=None)
@given(
    metrics=st.dictionaries(st.sampled_from([*METRICS, "map", "hit@5", "a metric"]), NUMBERS),
    cost=st.dictionaries(st.sampled_from(["params", "macs_per_view", "latency_ms"]), NUMBERS),
    provenance=st.dictionaries(
        st.sampled_from(["commit", "seeds", "dirty"]), st.text() | st.lists(st.integers()) | st.booleans()
    ),
)
def test_flatten_loses_nothing(metrics: dict, cost: dict, provenance: dict) -> None:
    record = Record(PLANNED[0].trial, "done", metrics=metrics, cost=cost, provenance=provenance)
    back = unflatten(flatten(record, None), record.curve, record.predictions)
    assert (back.trial, back.metrics, back.cost, back.provenance) == (record.trial, metrics, cost, provenance)


def test_a_metric_that_nobody_knows_is_kept(store: Store) -> None:
    record = dataclasses.replace(make_record(PLANNED[0]), metrics={"top1": 50.0, "map": 33.3})
    store.write(record)
    assert store.record(record.id).metrics == {"top1": 50.0, "map": 33.3}
    assert load(store.root)["map"].tolist() == [33.3]


@pytest.mark.parametrize("name", ["seed", "config", "source", "index_file"])
def test_a_metric_cannot_hide_another_column(store: Store, name: str) -> None:
    record = dataclasses.replace(make_record(PLANNED[0]), metrics={name: 1.0})
    with pytest.raises(ValueError, match=f"cannot be called '{name}'"):
        store.write(record)


def test_the_shipped_records_keep_their_nine_metrics() -> None:
    shipped = Store(BASELINES / "embedded")
    record = shipped.record(min(shipped.ids()))
    assert set(record.metrics) == set(METRICS)
    assert record.metrics["top1"] == pytest.approx(load(shipped.root).set_index("id").loc[record.id, "top1"])


def test_the_files_are_plain_parquet_with_a_schema_version(store: Store) -> None:
    for planned in PLANNED:
        store.write(make_record(planned), planned)
    trials = pd.read_parquet(store.root / "trials")  # all files at once, without this project
    assert set(trials["id"]) == {p.id for p in PLANNED}
    assert set(trials["schema_version"]) == {SCHEMA_VERSION}
    assert json.loads(trials["config"][0])["network"]["aggregation"]["name"] == "dsa"
    metadata = pq.read_metadata(store.path("predictions", PLANNED[0].id)).metadata
    assert metadata[METADATA_KEY] == str(SCHEMA_VERSION).encode()


def test_files_of_failed_and_done_trials_agree_on_column_types(store: Store) -> None:
    """`duckdb` and `polars` read a glob of files only if they do."""
    store.write(make_record(PLANNED[0]), PLANNED[0])
    store.write(make_failed_record(PLANNED[1]))
    done = pq.read_schema(store.path("trials", PLANNED[0].id))
    failed = pq.read_schema(store.path("failed", PLANNED[1].id))
    for name in set(done.names) & set(failed.names):
        assert done.field(name).type == failed.field(name).type, name


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_truncate, _flip_a_bit, _empty])
def test_a_damaged_record_is_reported_not_done_and_not_deleted(store: Store, damage: object) -> None:
    for planned in PLANNED:
        store.write(make_record(planned), planned)
    path = store.path("trials", PLANNED[0].id)
    damage(path)  # type: ignore[operator]
    assert store.done() == {p.id for p in PLANNED[1:]}
    assert list(store.settled().unreadable) == [PLANNED[0].id]
    with pytest.raises(UserError, match=f"{path.name}: damaged.*run the experiment again"):
        store.record(PLANNED[0].id)
    with pytest.warns(Unreadable, match=str(path)):
        frame = load(store.root).set_index("id")
    assert frame.loc[PLANNED[0].id, "status"] == "unreadable"
    assert (frame["status"] == "done").sum() == 2
    assert path.exists()


def test_a_newer_schema_is_refused(store: Store, tmp_path: Path) -> None:
    store.write(make_record(PLANNED[0]))
    path = store.path("trials", PLANNED[0].id)
    table = pq.read_table(path).replace_schema_metadata({METADATA_KEY: str(SCHEMA_VERSION + 1).encode()})
    pq.write_table(table, path)
    with pytest.raises(UserError, match="newer version of the harness"):
        store.record(PLANNED[0].id)


def test_a_foreign_file_is_refused(store: Store) -> None:
    path = store.path("trials", "feedfeedfeed")
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(UserError, match="no record of this project"):
        store.record("feedfeedfeed")


def test_an_unknown_id_names_the_near_one(store: Store) -> None:
    store.write(make_record(PLANNED[0]))
    near = PLANNED[0].id[:-1] + "x"
    with pytest.raises(UserError, match=f"did you mean '{PLANNED[0].id}'"):
        store.record(near)


def test_a_folder_that_is_a_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(UserError, match="cannot be written"):
        Store(tmp_path / "runs").write(make_record(PLANNED[0]))


def test_concurrent_writers_lose_nothing(store: Store) -> None:
    """Two processes write, overlapping in half of the trials."""
    records = [make_record(planned) for planned in fakes.plan(*range(12))]
    context = multiprocessing.get_context("spawn")  # not fork: pyarrow has threads by now
    writers = [
        context.Process(target=write_all, args=(store.root, part)) for part in (records[:8], records[4:])
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert store.done() == {record.id for record in records}
    _assert_same(store.record(records[5].id), records[5])
    assert not list(store.root.rglob("*.tmp"))


def test_fifty_writers_at_once_lose_nothing(store: Store) -> None:
    """Four records each; the first trial is written by all of them."""
    records = [make_record(planned, videos=20) for planned in fakes.plan(*range(151))]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["harness.results.store", "tests.results.writer"])
    writers = [
        context.Process(target=write_all, args=(store.root, [records[0], *records[1 + 3 * i : 4 + 3 * i]]))
        for i in range(50)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 50
    settled = store.settled()
    assert settled.done == {record.id for record in records}
    assert (settled.unreadable, settled.incomplete) == ({}, {})
    _assert_same(store.record(records[0].id), records[0])
    assert not list(store.root.rglob("*.tmp"))


def test_a_trials_identity_is_hashed_once_a_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(record_module, "trial_id", lambda trial: asked.append(1) or trial_id(trial))
    store.write(make_record(PLANNED[0]))
    assert len(asked) == 1


def test_reading_and_writing_records_needs_no_torch() -> None:
    names = ("answers", "files", "flatten", "frame", "index", "lock", "predictions", "record", "store")
    code = f"import sys\nfor n in {names}: __import__('harness.results.' + n)\nprint('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert told.stdout == "False\n"


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_writer_that_dies_between_two_files_leaves_a_trial_not_done(store: Store, moment: int) -> None:
    """It ends before the rename number `moment`: curves, predictions, answers, the record; the fifth never comes."""
    code = (
        "import os, pathlib, pickle, sys\n"
        "from harness.results import Store\n"
        "left, replace = [int(sys.argv[2])], pathlib.Path.replace\n"
        "def counted(self, target):\n"
        "    left[0] -= 1\n"
        "    return replace(self, target) if left[0] else os._exit(9)\n"
        "pathlib.Path.replace = counted\n"
        "Store(sys.argv[1]).write(pickle.load(sys.stdin.buffer))"
    )
    record = make_record(PLANNED[0], videos=20)
    command = [sys.executable, "-c", code, str(store.root), str(moment)]
    ended = subprocess.run(command, cwd=ROOT, input=pickle.dumps(record), check=False)
    assert ended.returncode == (9 if moment <= 4 else 0)
    assert store.done() == (set() if moment <= 4 else {record.id})
    assert len(load(store.root)) == len(store.done())
    store.write(record)
    _assert_same(store.record(record.id), record)


def test_a_full_disk_in_the_middle_of_a_record_leaves_it_not_done(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(make_record(PLANNED[1]))
    record = make_record(PLANNED[0])
    monkeypatch.setattr(
        store.storage, "write", _failing_at(store.storage.write, f"trials/{record.id}.parquet", errno.ENOSPC)
    )
    with pytest.raises(StorageError, match=r"disk is full.*Finished records are kept"):
        store.write(record)
    assert Store(store.root).done() == {PLANNED[1].id}


def _failing_at(write: Any, name: str, number: int) -> Any:
    def failing(written: str, content: bytes, **options: Any) -> None:
        if written == name:
            raise write_error(written, OSError(number, os.strerror(number)), **options)
        write(written, content, **options)

    return failing


def test_a_store_of_which_only_the_records_were_copied(store: Store, tmp_path: Path) -> None:
    for planned in PLANNED[:2]:
        store.write(make_record(planned))
    copied = Store(tmp_path / "copied")
    shutil.copytree(store.root / "trials", copied.root / "trials")
    lost = PLANNED[0].id
    assert (load(copied.root)["status"] == "done").all()
    settled = copied.settled()
    assert settled.done == {p.id for p in PLANNED[:2]}
    assert set(settled.incomplete) == settled.done
    for part, read in (
        ("curves", copied.curve),
        ("predictions", copied.predictions),
        ("curves", copied.record),
    ):
        with pytest.raises(
            UserError, match=rf"{part}/{lost}\.parquet: is missing.*delete .*trials/{lost}"
        ) as raised:
            read(lost)
        assert "harness run" in str(raised.value)
    shutil.copytree(store.root / "predictions", copied.root / "predictions")
    assert "curves" in copied.settled().incomplete[lost]
    shutil.copytree(store.root / "curves", copied.root / "curves")
    assert copied.settled().incomplete == {}


def test_only_the_stores_own_names_are_records(store: Store) -> None:
    """A Mac's resource forks, a sync's copies, an editor's backups."""
    store.write(make_record(PLANNED[0]))
    name = PLANNED[0].id
    for foreign in (f"._{name}", f"{name} (1)", f"{name}-conflict", name.upper(), "index", f".{name}"):
        (store.root / "trials" / f"{foreign}.parquet").write_bytes(b"not ours")
    (store.root / "trials" / f"{name}.parquet.unreadable").write_bytes(b"not ours")
    assert store.settled() == Settled({name}, {}, {}, {})
    assert store.ids() == [name]
    assert len(load(store.root)) == 1


def test_a_store_behind_a_uri_is_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow's own local file system stands for any other."""
    remote = ArrowStorage(pafs.LocalFileSystem(), str(tmp_path / "bucket"), "s3://bucket/runs")
    monkeypatch.setattr("harness.results.store.storage_at", lambda root: remote)
    store = Store("s3://bucket/runs")
    record = make_record(PLANNED[0])
    make_room(store)
    store.write(record, PLANNED[0])
    store.write(make_failed_record(PLANNED[1]))
    _assert_same(store.record(record.id), record)
    assert store.settled().done == {record.id}
    frame = load("s3://bucket/runs").set_index("id")
    assert frame.loc[record.id, "root"] == "s3://bucket/runs"
    assert frame.loc[PLANNED[1].id, "status"] == "failed"
    assert (tmp_path / "bucket" / "index.parquet").exists()
    assert answers("s3://bucket/runs", record.id).right.mean() * 100 == pytest.approx(record.metrics["top1"])
    with pytest.raises(UserError, match="s3://bucket/runs: no record 'ffffffffffff'"):
        store.record("ffffffffffff")


def test_load_prefers_the_users_done_records(tmp_path: Path) -> None:
    mine, shipped = Store(tmp_path / "runs"), Store(tmp_path / "baselines" / "embedded")
    first, second, third = PLANNED
    shipped.write(make_record(first, top1=60.0))
    shipped.write(make_record(second, top1=60.0))
    mine.write(make_record(first, top1=80.0))
    mine.write(make_failed_record(second))
    mine.write(make_failed_record(third))
    frame = load(mine.root, shipped.root).set_index("id")
    assert len(frame) == 3
    assert frame.loc[[p.id for p in PLANNED], "source"].tolist() == ["runs", "baselines", "runs"]
    assert frame.loc[[p.id for p in PLANNED], "status"].tolist() == ["done", "done", "failed"]
    assert frame.loc[first.id, "top1"] > 70.0


def test_load_of_nothing_is_an_empty_frame(tmp_path: Path) -> None:
    frame = load(tmp_path / "nowhere")
    assert len(frame) == 0
    assert {"id", "status", "reason", "source"} <= set(frame.columns)


def test_leftovers_of_killed_writers_go_and_young_ones_stay(store: Store) -> None:
    store.write(make_record(PLANNED[0]))
    old, young = (store.root / "trials" / f".{name}.parquet.0011.tmp" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    make_room(store)
    assert not old.exists()
    assert young.exists(), "it may belong to a worker that is writing"
    assert store.done() == {PLANNED[0].id}

"""The store: records come back as they were, half-written files never count, damaged ones are kept."""

from __future__ import annotations

import json
import math
import multiprocessing
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.base.errors import UserError
from harness.results import Store, Unreadable, load
from harness.results.files import METADATA_KEY
from harness.results.flatten import flatten, unflatten
from harness.results.lock import driver_lock
from harness.trial.record import METRICS, SCHEMA_VERSION, Record
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
    metrics=st.dictionaries(st.sampled_from(sorted(METRICS)), NUMBERS),
    cost=st.dictionaries(st.sampled_from(["params", "macs_per_view", "latency_ms"]), NUMBERS),
    provenance=st.dictionaries(
        st.sampled_from(["commit", "seeds", "dirty"]), st.text() | st.lists(st.integers()) | st.booleans()
    ),
)
def test_flatten_loses_nothing(metrics: dict, cost: dict, provenance: dict) -> None:
    record = Record(PLANNED[0].trial, "done", metrics=metrics, cost=cost, provenance=provenance)
    back = unflatten(flatten(record, None), record.curve, record.predictions)
    assert (back.trial, back.cost, back.provenance) == (record.trial, cost, provenance)
    assert {k: v for k, v in back.metrics.items() if not math.isnan(v)} == metrics


def test_the_files_are_plain_parquet_with_a_schema_version(store: Store) -> None:
    for planned in PLANNED:
        store.write(make_record(planned), planned)
    trials = pd.read_parquet(store.root / "trials")  # all files at once, without this project
    assert set(trials["id"]) == {p.id for p in PLANNED}
    assert set(trials["schema_version"]) == {SCHEMA_VERSION}
    assert json.loads(trials["config"][0])["network"]["aggregation"] == "dsa"
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


def test_the_lock_refuses_a_second_driver_and_clears_leftovers(store: Store) -> None:
    store.write(make_record(PLANNED[0]))
    leftover = store.root / "trials" / ".abc.parquet.0011.tmp"
    leftover.write_bytes(b"half")
    with driver_lock(store):
        assert not leftover.exists()
        with pytest.raises(UserError, match=r"another `harness run`.*--results"), driver_lock(store):
            pass
    with warnings.catch_warnings(), driver_lock(store):
        assert store.done() == {PLANNED[0].id}

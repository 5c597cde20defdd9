"""The index says what the files say, whatever happened to either of them."""

from __future__ import annotations

import errno
import math
import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.base.errors import StorageError
from harness.base.files import write_error
from harness.base.storage import LocalStorage
from harness.experiment.load import BASELINES
from harness.results import Store, Unreadable, load
from harness.results import index as index_module
from harness.results.files import parquet_bytes, read_row
from harness.results.index import NAME, PARTS, refreshed
from tests.factories import make_failed_record, make_record
from tests.orchestrate import fakes
from tests.results.writer import write_and_refresh

PLANNED = fakes.plan(0, 1, 2)
STEMS = [f"{i:012x}" for i in range(4)]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text(max_size=5)
)
ROWS = st.fixed_dictionaries({"id": st.sampled_from(STEMS), "a": VALUES}, optional={"b": VALUES, "c": VALUES})
STEPS = st.tuples(
    st.sampled_from(PARTS), st.sampled_from(STEMS), st.none() | st.just("damage") | ROWS, st.booleans()
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=12))
def test_the_index_is_what_the_files_are(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    """Files that come, go, change and break in any order, with a refresh now and then."""
    storage = LocalStorage(tmp_path_factory.mktemp("store"))
    for number, (part, stem, row, look) in enumerate(steps):
        name = f"{part}/{stem}.parquet"
        if row is None:
            storage.delete(name)
        elif row == "damage":
            storage.write(name, b"PAR1 no")
        else:
            storage.write(name, parquet_bytes(pa.Table.from_pylist([row])))
        if storage.stamp(name):  # a clock that has not ticked since the last write is not what is tested here
            os.utime(storage.root / name, ns=(number, number))
        if look:
            _assert_index_is_right(storage)
    _assert_index_is_right(storage)
    _assert_index_is_right(storage)


def _assert_index_is_right(storage: LocalStorage) -> None:
    index = refreshed(storage, storage)
    for part in PARTS:
        stems = sorted(name.removesuffix(".parquet") for name in storage.listing(part))
        broken = [s for s in stems if storage.read(f"{part}/{s}.parquet") == b"PAR1 no"]
        assert sorted(s for p, s in index.unreadable if p == part) == broken
        expected = [read_row(storage, f"{part}/{s}.parquet") for s in stems if s not in broken]
        found = [{k: v for k, v in row.items() if v is not None} for row in index.rows(part)]
        assert found == [{k: v for k, v in row.items() if v is not None} for row in expected]
        assert [_kinds(row) for row in found] == [_kinds(row) for row in expected]
        _assert_frame_is_right(index.frame(part), found)


def test_false_beside_a_number_stays_false(tmp_path: Path) -> None:
    """Found by the property above: pyarrow makes one array of 0.0 and False, in this order."""
    storage = LocalStorage(tmp_path)
    for part, value in (("failed", 0.0), ("trials", False)):
        content = parquet_bytes(pa.Table.from_pylist([{"id": STEMS[0], "a": value}]))
        storage.write(f"{part}/{STEMS[0]}.parquet", content)
    assert refreshed(storage, storage).rows("trials")[0]["a"] is False


def _kinds(row: dict[str, Any]) -> dict[str, type]:
    """Which values are true or false, which are text: numbers of one column may widen."""
    return {name: type(value) for name, value in row.items() if isinstance(value, bool | str)}


def _assert_frame_is_right(frame: Any, rows: list[dict[str, Any]]) -> None:
    assert len(frame) == len(rows)
    for line, row in zip(frame.to_dict("records"), rows, strict=True):
        there = {k: v for k, v in line.items() if v is not None and v == v}  # noqa: PLR0124
        assert there == {k: pytest.approx(v) if isinstance(v, int | float) else v for k, v in row.items()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two trials done, one failed, and an index."""
    store = Store(tmp_path / "runs")
    for planned in PLANNED[:2]:
        store.write(make_record(planned), planned)
    store.write(make_failed_record(PLANNED[2]))
    store.settled()
    assert (store.root / NAME).exists()
    return store


def _reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The record files that are opened from now on."""
    opened: list[str] = []
    read = LocalStorage.read

    def noting(self: LocalStorage, name: str) -> bytes:
        opened.append(name)
        return read(self, name)

    monkeypatch.setattr(LocalStorage, "read", noting)
    return opened


def test_only_new_and_changed_records_are_opened(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = _reads(store, monkeypatch)
    before = load(store.root)
    assert opened == [NAME]
    time.sleep(0.02)  # a coarse clock may give two writes one time
    store.write(make_failed_record(PLANNED[2], "another reason"))
    opened.clear()
    after = load(store.root)
    assert opened == [NAME, f"failed/{PLANNED[2].id}.parquet"]
    assert after.set_index("id").loc[PLANNED[2].id, "reason"] == "another reason"
    assert before["id"].tolist() == after["id"].tolist()


def _cut(content: bytes, at: float) -> bytes:
    return content[: int(len(content) * at)]


def _flip(content: bytes, at: float) -> bytes:
    place = min(len(content) - 1, int(len(content) * at))
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shipped records in a store of their own."""
    root = tmp_path_factory.mktemp("three")
    (root / "trials").mkdir()
    for path in sorted((BASELINES / "embedded" / "trials").glob("*.parquet"))[:3]:
        shutil.copy2(path, root / "trials")
    return root


@settings(max_examples=40, deadline=None)
@given(at=st.floats(0, 1), how=st.sampled_from([_cut, _flip]))
def test_a_damaged_index_is_made_anew(three: Path, at: float, how: Any) -> None:
    whole = load(three)
    path = three / NAME
    path.write_bytes(how(path.read_bytes(), at))
    pd.testing.assert_frame_equal(load(three), whole)
    assert Store(three).done() == set(whole["id"])


def test_an_index_of_another_form_is_made_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "FORM", b"0.1")
    store.settled()
    content = (store.root / NAME).read_bytes()
    monkeypatch.undo()
    opened = _reads(store, monkeypatch)
    assert len(store.settled().done) == 2
    assert len([name for name in opened if name != NAME]) == 3
    assert (store.root / NAME).read_bytes() != content


def test_two_refreshers_and_a_writer_at_once(tmp_path: Path) -> None:
    records = [make_record(planned, videos=20) for planned in fakes.plan(*range(12))]
    context = multiprocessing.get_context("forkserver")
    workers = [context.Process(target=write_and_refresh, args=(tmp_path, records[i::3])) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert Store(tmp_path).done() == {record.id for record in records}
    assert len(load(tmp_path)) == 12


def test_an_index_that_cannot_be_written_costs_time_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store.root / NAME).unlink()
    full = write_error("index", OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(LocalStorage, "write", lambda *_, **__: (_ for _ in ()).throw(full))
    assert len(store.settled().done) == 2
    assert len(load(store.root)) == 3
    assert not (store.root / NAME).exists()


@pytest.fixture
def read_only(store: Store, tmp_path: Path) -> Iterator[Store]:
    """The store on a disk that cannot be written, without an index."""
    (store.root / NAME).unlink()
    mount = ["mount", "--bind", str(store.root), str(store.root)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    subprocess.run(["mount", "-o", "remount,bind,ro", str(store.root)], check=True)
    yield store
    subprocess.run(["umount", str(store.root)], check=True)


def test_a_read_only_store_has_its_index_in_the_cache(
    read_only: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="Read-only file system"):
        read_only.write(make_record(PLANNED[0]))
    assert len(load(read_only.root)) == 3
    opened = _reads(read_only, monkeypatch)
    assert len(Store(read_only.root).settled().done) == 2
    assert opened == [NAME]


def test_the_shipped_records_are_not_touched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    root = BASELINES / "embedded"
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert len(load(root)) == len(list((root / "trials").iterdir()))
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert len(list(tmp_path.rglob(NAME))) == 1


def test_a_shipped_record_that_changes_is_read_again(tmp_path: Path) -> None:
    shipped = Store(tmp_path / "baselines" / "embedded")
    shipped.write(make_record(PLANNED[0], top1=60.0))
    first = load(shipped.root)["top1"][0]
    time.sleep(0.02)
    shipped.write(make_record(PLANNED[0], top1=80.0))
    assert load(shipped.root)["top1"][0] > first + 10
    assert not (shipped.root / NAME).exists()


def test_a_record_whose_id_is_not_its_files_name(store: Store) -> None:
    """An older record keeps its file when its trial is named otherwise today."""
    old, new = PLANNED[0].id, "0123456789ab"
    for part in ("trials", "curves", "predictions", "answers"):
        shutil.move(store.path(part, old), store.path(part, new))
    assert store.settled().done == {p.id for p in PLANNED[:2]}
    assert store.settled().incomplete == {}
    assert sorted(store.ids()) == sorted(p.id for p in PLANNED)
    assert store.record(old).id == old
    assert len(store.predictions(old)) == len(store.predictions(PLANNED[1].id))
    assert store.trial(old) == PLANNED[0].trial


def test_a_failed_record_that_is_damaged_is_named_and_not_done(store: Store) -> None:
    store.path("failed", PLANNED[2].id).write_bytes(b"torn")
    assert store.settled().failed == {}
    with pytest.warns(Unreadable, match=str(store.path("failed", PLANNED[2].id))):
        frame = load(store.root).set_index("id")
    assert frame.loc[PLANNED[2].id, "status"] == "unreadable"


def test_numbers_of_two_kinds_become_one_column(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for stem, value in zip(STEMS, [1, 2.5, None], strict=False):
        row = {"id": stem, "status": "done", "reason": None, "x": value}
        storage.write(f"trials/{stem}.parquet", parquet_bytes(pa.Table.from_pylist([row])))
        refreshed(storage, storage)
    assert load(tmp_path)["x"].tolist()[:2] == [1.0, 2.5]
    assert math.isnan(load(tmp_path)["x"][2])

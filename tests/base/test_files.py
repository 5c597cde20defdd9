"""A file is whole or not there, whatever happens between its first byte and its name."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base import files
from harness.base.errors import StorageError, UserError
from harness.base.files import (
    append_line,
    cache_root,
    expanded,
    folder_from,
    remove_leftovers,
    write_atomically,
)
from harness.experiment.load import ROOT
from tests.disks import small_disk


@given(content=st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_the_last_content_stands_alone(
    tmp_path_factory: pytest.TempPathFactory, content: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("files") / "new" / "folder" / "x.bin"
    for piece in content:
        write_atomically(path, piece)
    assert path.read_bytes() == content[-1]
    assert list(path.parent.iterdir()) == [path]


def test_a_writer_fills_the_file_and_its_error_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomically(path, lambda file: file.write(b"whole"))

    def breaks(file: object) -> None:
        file.write(b"ha")  # type: ignore[attr-defined]
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_atomically(path, breaks)
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_power_cut_before_the_rename_leaves_the_old_file(tmp_path: Path, moment: str) -> None:
    """The process ends at once, without any clean-up, before the flush or before the rename."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    code = (
        "import os, sys, pathlib; from harness.base.files import write_atomically\n"
        "cut = lambda *_: os._exit(9)\n"
        f"{'os.fsync' if moment == 'fsync' else 'pathlib.Path.replace'} = cut\n"
        "write_atomically(pathlib.Path(sys.argv[1]), b'new')"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert ended.returncode == 9
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2, "a young leftover may belong to a living writer"
    remove_leftovers(tmp_path, older_than=-1)
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_flushed_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(descriptor: int) -> None:
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        fsync(descriptor)

    def noting_replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(files.os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    write_atomically(tmp_path / "x", b"1")
    assert events == ["file", "rename", "folder"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_folders_is_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fsync = os.fsync

    def only_files(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", only_files)
    write_atomically(tmp_path / "x", b"1")
    assert (tmp_path / "x").read_bytes() == b"1"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "64k") as disk:
        yield disk


def test_a_full_disk_names_the_file_and_the_remedy(tiny_disk: Path) -> None:
    write_atomically(tiny_disk / "x", b"old")
    with pytest.raises(StorageError, match=r"disk/x: the disk is full .*; drink less"):
        write_atomically(tiny_disk / "x", bytes(100_000), remedy="drink less")
    assert (tiny_disk / "x").read_bytes() == b"old"
    assert [path.name for path in tiny_disk.iterdir()] == ["x"]


def test_a_read_only_disk_names_the_file_and_the_remedy(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with pytest.raises(StorageError, match=r"disk/x: cannot be written: Read-only.*choose another"):
        write_atomically(tiny_disk / "x", b"new")


def test_a_file_in_the_way_of_a_folder_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/x: cannot be written"):
        write_atomically(tmp_path / "file" / "x", b"1")


def test_a_line_after_a_torn_one_stands_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    for line in ("one", "zwölf"):
        append_line(path, line)
    path.write_bytes(path.read_bytes()[:-3])
    append_line(path, "three")
    assert path.read_text(encoding="utf-8").splitlines() == ["one", "zwö", "three"]


def test_a_home_is_expanded_in_every_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.data import data_root
    from harness.reports.write import reports_root
    from harness.results import Store, runs_root

    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RESULTS", "DATA", "REPORTS", "CACHE"):
        monkeypatch.setenv(f"HARNESS_{name}", f"~/{name}")
    assert [runs_root(), data_root(), reports_root(), cache_root()] == [
        tmp_path / name for name in ("RESULTS", "DATA", "REPORTS", "CACHE")
    ]
    assert Store("~/mine").root == tmp_path / "mine"
    monkeypatch.setenv("HARNESS_RESULTS", "s3://bucket/runs")
    assert runs_root() == "s3://bucket/runs"


def test_defaults_and_unknown_homes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_FOLDER", "")
    assert folder_from("SOME_FOLDER", tmp_path) == tmp_path
    with pytest.raises(UserError, match="no such home folder"):
        expanded("~nobody-of-this-name/x")
    monkeypatch.delenv("HARNESS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "video-ablation-harness"


WRITES = re.compile(r'\.write_(text|bytes)\(|\.open\("[wax]|\.to_parquet\(|savefig\(path')
BY_OTHER_MEANS = {
    "harness/base/files.py",  # this very writer
    "harness/base/locks.py",  # who holds a lock; an empty one does as well
    "harness/data/digits/make.py",  # into a folder that is renamed when it is whole
    "harness/data/digits/cache.py",
    "harness/orchestrate/board.py",  # TensorBoard reads them while they grow; losing them fails no trial
}


def test_every_kind_of_file_is_written_by_this_module() -> None:
    """So what a full disk or a power cut does to one file, it does to each kind of file."""
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "harness").rglob("*.py")
        if WRITES.search(path.read_text(encoding="utf-8"))
    }
    assert found == BY_OTHER_MEANS

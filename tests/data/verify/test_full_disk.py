"""A disk that fills up while a copy is looked at or written anew: one message, and what was there stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.base.errors import StorageError
from harness.data.manifest import Entry, Manifest
from harness.data.reencode import reencode
from tests.data.clips import write_clip
from tests.disks import small_disk


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """64 KiB, of which `_fill` leaves nothing."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        yield disk


def _fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(2**20))
    return ballast


def _entry(number: int) -> Entry:
    return Entry(f"v{number}", f"{number}.mp4", 100, 1, "ok", frames=10)


def test_a_manifest_keeps_its_old_answers_and_goes_on(tiny_disk: Path) -> None:
    manifest = Manifest(tiny_disk / "copy")
    manifest.note(_entry(0))
    manifest.save(["0.mp4"])
    ballast = _fill(tiny_disk)
    with pytest.raises(StorageError, match=r"journal\.jsonl: the disk is full"):
        manifest.note(_entry(1))
    with pytest.raises(StorageError, match=r"manifest\.parquet: the disk is full"):
        manifest.save(["0.mp4", "1.mp4"])
    assert Manifest.load(tiny_disk / "copy").entries.keys() == {"0.mp4"}
    ballast.unlink()
    manifest.note(_entry(1))
    manifest.save(["0.mp4", "1.mp4"])
    assert Manifest.load(tiny_disk / "copy").entries.keys() == {"0.mp4", "1.mp4"}
    assert [path.name for path in (tiny_disk / "copy").iterdir()] == ["manifest.parquet"]


def test_a_copy_that_does_not_fit_is_no_fault_of_its_video(tiny_disk: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", shown=range(60))
    _fill(tiny_disk)
    with pytest.raises(StorageError, match=r"disk/a\.mp4: the disk is full"):
        reencode(source, tiny_disk / "a.mp4")
    assert [path.name for path in tiny_disk.iterdir()] == ["ballast"]

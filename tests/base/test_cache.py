"""What is kept on disk: found again, made anew when damaged, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.base import cache
from harness.base.cache import cached_json, source_hash


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    return tmp_path / "things"


class Maker:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, float]:
        self.times += 1
        return {"value": 1 / 3}


def test_a_value_is_made_once_for_a_key(folder: Path) -> None:
    make = Maker()
    assert {cached_json("things", ["a", 1], make)["value"] for _ in range(3)} == {1 / 3}
    assert make.times == 1
    cached_json("things", ["a", 2], make)
    assert make.times == 2
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b"0.33", b"0.34"),
        lambda content: b"[]",
        lambda content: b"\xff\xfe",
    ],
    ids=["empty", "torn", "touched", "another", "no text"],
)
def test_a_damaged_entry_is_made_anew(folder: Path, damage: object) -> None:
    make = Maker()
    cached_json("things", "key", make)
    (entry,) = folder.iterdir()
    entry.write_bytes(damage(entry.read_bytes()))  # type: ignore[operator]
    assert cached_json("things", "key", make) == {"value": 1 / 3}
    assert cached_json("things", "key", make) == {"value": 1 / 3}
    assert make.times == 2, "the new entry serves"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file"))
    assert cached_json("things", "key", Maker()) == {"value": 1 / 3}
    monkeypatch.setenv("HARNESS_CACHE", "~nobody_of_that_name/cache")
    assert cached_json("things", "key", Maker()) == {"value": 1 / 3}


def test_what_making_raises_passes_and_is_not_kept(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        cached_json("things", "key", lambda: 1 / 0)
    assert cached_json("things", "key", lambda: 2.0) == 2.0


def test_the_older_half_goes_when_there_are_too_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT", 10)
    for number in range(11):
        cached_json("things", number, Maker())
        for path in folder.iterdir():
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    assert len(list(folder.iterdir())) == 6
    make = Maker()
    cached_json("things", 10, make)
    assert make.times == 0, "the youngest stayed"


def test_the_hash_of_source_follows_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_PACKAGE", tmp_path)
    (tmp_path / "part").mkdir()
    (tmp_path / "one.py").write_text("x = 1")
    (tmp_path / "part" / "two.py").write_text("y = 1")
    first = source_hash("one.py", "part")
    source_hash.cache_clear()
    (tmp_path / "part" / "two.py").write_text("y = 2")
    assert source_hash("one.py", "part") != first
    source_hash.cache_clear()

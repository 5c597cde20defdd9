"""Every video is looked at; what is broken, hangs or crashes is named; a stop loses only what was in flight."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.base.errors import UserError
from harness.data.examine import examine
from harness.data.manifest import Entry, Manifest, content_hash, stamp
from harness.data.verify import Options, Task, verify
from tests.data.clips import remux, write_clip

ROOT = Path(__file__).resolve().parents[3]


def look(path: Path, try_decord: bool = True, every_frame: bool = False) -> Entry:
    return list(examine("v", path, path.name, try_decord, every_frame))[-1]


def test_a_good_video(tmp_path: Path) -> None:
    entry = look(write_clip(tmp_path / "a.mp4", shown=range(60), gop=12, rotation=90))
    assert (entry.status, entry.frames, entry.fps) == ("ok", 60, 25)
    assert (entry.width, entry.height, entry.rotation, entry.bytes) == (
        64,
        96,
        90,
        (tmp_path / "a.mp4").stat().st_size,
    )
    assert (entry.decoder, entry.decord, entry.whole) == ("pyav", "agrees", True)


def test_decord_is_found_out(tmp_path: Path) -> None:
    """The kinds on which it gives wrong frames without an error."""
    options = {"bf": "3", "g": "10", "x264-params": "open-gop=1:scenecut=0"}
    opened = write_clip(tmp_path / "open.mp4", shown=range(100), options=options)
    source = write_clip(tmp_path / "whole.mp4", shown=range(100), options={"bf": "3", "g": "30"})
    cut = remux(source, tmp_path / "cut.mp4", shift=-5 * 512)
    stream = write_clip(tmp_path / "s.ts", shown=range(100), gop=12)
    avi = write_clip(tmp_path / "b.avi", "mpeg4", shown=range(100), b_frames=2, gop=100)
    verdicts = {path.name: look(path).decord for path in (opened, cut, stream, avi)}
    assert all(verdict not in {"agrees", "untried"} for verdict in verdicts.values()), verdicts
    assert all(look(path).status == "ok" for path in (opened, cut, stream, avi))


def test_a_truncated_video_is_short_and_its_frames_are_counted(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "t.mp4", shown=range(100), gop=10, container_options={"movflags": "faststart"}
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.7)])
    entry = look(path)
    assert entry.status == "short"
    assert 20 < entry.frames < 100
    assert entry.reason == f"{entry.frames} of 100 frames can be decoded"
    from harness.data.decode import open_video

    assert len(open_video(path, entry.decoder).read(range(entry.frames))) == entry.frames


@pytest.mark.parametrize("content", [b"", b"<html></html>" * 100, bytes(5000)])
def test_what_is_no_video_is_broken_with_a_reason(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    entry = look(tmp_path / "x.mp4")
    assert entry.status == "broken"
    assert entry.reason
    assert str(tmp_path) not in entry.reason


def test_every_frame_of_a_long_video_only_where_it_is_asked(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.mp4", shown=[i % 1024 for i in range(1100)], options={"g": "50"})
    assert (look(path, False).whole, look(path, False).frames) == (False, 1100)
    assert look(path, False, every_frame=True).whole


def misbehave(video_id: str, path: Path, name: str, try_decord: bool, every_frame: bool) -> Iterator[Entry]:
    """Stands in for `examine`: some files hang, crash or raise, as decoders do."""
    size, modified = stamp(path)
    entry = Entry(video_id, name, size, modified, "ok", frames=3, decoder="pyav", decord="agrees")
    if "hang" in name:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        while True:
            time.sleep(60)
    if "late" in name:
        yield replace(entry, decord="untried")
        time.sleep(600)
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "raise" in name:
        raise ValueError("a bug")
    yield entry


def tasks(folder: Path, names: list[str]) -> list[Task]:
    for name in names:
        (folder / name).write_bytes(b"x")
    return [Task(name.split(".")[0], folder / name, name) for name in names]


def test_what_hangs_or_crashes_is_killed_and_named(tmp_path: Path) -> None:
    names = ["a.mp4", "hang.mp4", "b.mp4", "crash.mp4", "raise.mp4", "late.mp4", "c.mp4"]
    manifest = Manifest(tmp_path / "m")
    seen: list[tuple[str, int, int]] = []
    verify(
        manifest,
        tasks(tmp_path, names),
        Options(seconds=1, workers=2),
        lambda *told: seen.append(told),
        misbehave,
    )
    got = {name: (entry.status, entry.reason) for name, entry in manifest.entries.items()}
    assert [got[name] for name in ("a.mp4", "b.mp4", "c.mp4")] == [("ok", "")] * 3
    assert got["hang.mp4"] == ("broken", "no answer within 1 s")
    assert got["crash.mp4"] == ("broken", "its process died (SIGSEGV)")
    assert got["raise.mp4"] == ("broken", "ValueError: a bug")
    late = manifest.entries["late.mp4"]  # the reference had answered: only decord is out
    assert (late.status, late.decord) == ("ok", "no answer within 1 s")
    assert seen[0] == ("verify", 0, 7)
    assert seen[-1] == ("verify", 7, 7)
    assert Manifest.load(tmp_path / "m").entries == manifest.entries


def never(video_id: str, path: Path, name: str, try_decord: bool, every_frame: bool) -> Iterator[Entry]:
    raise AssertionError(f"{name} was looked at again")


def test_what_is_known_is_not_looked_at_again(tmp_path: Path) -> None:
    work = tasks(tmp_path, ["a.mp4", "b.mp4"])
    verify(Manifest(tmp_path / "m"), work, Options(workers=1), examine=misbehave)
    again = Manifest.load(tmp_path / "m")
    verify(again, work, Options(workers=1), examine=never)
    assert {e.status for e in again.entries.values()} == {"ok"}
    (tmp_path / "b.mp4").write_bytes(b"another")
    verify(again, work, Options(workers=1), examine=never)
    assert "was looked at again" in again.entries["b.mp4"].reason
    assert again.entries["a.mp4"].status == "ok"


def test_what_was_broken_is_looked_at_again_when_asked(tmp_path: Path) -> None:
    """A permission, a disk that was away or a time limit leaves no trace in the file's size and time."""
    work = tasks(tmp_path, ["a.mp4", "raise.mp4"])
    manifest = Manifest(tmp_path / "m")
    verify(manifest, work, Options(workers=1), examine=misbehave)
    verify(manifest, work, Options(workers=1), examine=well)
    assert manifest.entries["raise.mp4"].status == "broken"
    verify(manifest, work, Options(workers=1, retry_broken=True), examine=well)
    assert {(e.status, e.frames) for e in manifest.entries.values()} == {("ok", 3), ("ok", 4)}


def well(video_id: str, path: Path, name: str, try_decord: bool, every_frame: bool) -> Iterator[Entry]:
    size, modified = stamp(path)
    yield Entry(video_id, name, size, modified, "ok", frames=4, decoder="pyav", decord="agrees")


def test_a_manifest_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a file")
    with pytest.raises(UserError, match=r"data/m/journal\.jsonl: cannot be written: .*\$HARNESS_DATA"):
        verify(Manifest(tmp_path / "data" / "m"), tasks(tmp_path, ["a.mp4"]), Options(), examine=misbehave)


def test_a_killed_check_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """SIGKILL in the middle: all answers that were given are kept, half a line in the journal hurts nobody, and no
    worker stays behind."""
    names = [f"v{i}.mp4" for i in range(6)] + ["hang.mp4"]
    work = tasks(tmp_path, names)
    program = (
        "import sys\nfrom pathlib import Path\nfrom harness.data.manifest import Manifest\n"
        "from harness.data.verify import Options, Task, verify\nfrom tests.data.verify.test_verify import misbehave\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"work = [Task(n.split('.')[0], folder / n, n) for n in {names!r}]\n"
        "if __name__ == '__main__':\n"
        "    verify(Manifest(folder / 'm'), work, Options(seconds=500, workers=1), "
        "lambda *t: print(*t, flush=True), misbehave)\n"
    )
    script = tmp_path / "check.py"
    script.write_text(program)
    child = subprocess.Popen([sys.executable, str(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert child.stdout is not None
    for line in child.stdout:
        if line.split()[1] == "6":
            break
    workers = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    child.kill()
    child.wait()
    deadline = time.monotonic() + 10
    while any(_alive(int(pid)) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(int(pid)) for pid in workers)
    with (tmp_path / "m" / "journal.jsonl").open("a") as file:
        file.write('{"video_id": "hang", "pa')
    manifest = Manifest.load(tmp_path / "m")
    assert len(manifest.entries) == 6
    manifest.note(replace(manifest.entries["v0.mp4"], frames=77))
    assert Manifest.load(tmp_path / "m").entries["v0.mp4"].frames == 77, (
        "the half line takes no other with it"
    )
    (tmp_path / "hang.mp4").rename(tmp_path / "fine.mp4")
    work[-1] = Task("fine", tmp_path / "fine.mp4", "fine.mp4")
    verify(manifest, work, Options(workers=1), examine=misbehave)
    assert len(Manifest.load(tmp_path / "m").entries) == 7
    assert not (tmp_path / "m" / "journal.jsonl").exists()


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def entries() -> list[Entry]:
    blank = Entry("v", "p", 100, 7, "ok", fps=25, decoder="pyav", decord="agrees")
    return [replace(blank, video_id=f"v{i}", path=f"p/{i}.mp4", frames=10 + i) for i in range(3)]


def test_the_hash_knows_content_and_neither_order_nor_place() -> None:
    known = content_hash(entries(), "auto", ["x"])
    moved = [
        replace(e, path=f"elsewhere/{e.path}", modified=9, reason="", whole=True) for e in entries()[::-1]
    ]
    assert content_hash(moved, "auto", ["x"]) == known
    assert content_hash(entries(), "auto", ["y"]) != known
    assert content_hash(entries(), "pyav", ["x"]) != known
    assert content_hash(entries()[:2], "auto", ["x"]) != known
    for change in (
        {"frames": 11},
        {"bytes": 1},
        {"status": "short"},
        {"rotation": 90},
        {"decord": "an error"},
        {"fps": 24.0},
    ):
        assert content_hash([replace(entries()[0], **change), *entries()[1:]], "auto", ["x"]) != known, change  # type: ignore[arg-type]

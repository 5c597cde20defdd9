"""Files as downloads and dead jobs leave them: what can be read is read, the rest is one clear line."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from harness.base.errors import UserError
from harness.data.decode import VideoError, open_video
from tests.data.clips import numbers, write_clip

ROOT = Path(__file__).resolve().parents[3]


def noisy(path: Path, frames: int = 100, **options: object) -> Path:
    """A clip that is large enough to be cut in the middle of its pictures."""
    return write_clip(path, shown=range(frames), options={"g": "10", "crf": "10"}, **options)  # type: ignore[arg-type]


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def decodable(path: Path) -> int:
    """Counted by an independent loop."""
    count = 0
    with av.open(str(path)) as container:
        try:
            for packet in container.demux(video=0):
                try:
                    count += len(packet.decode())
                except av.FFmpegError:
                    continue
        except av.FFmpegError:
            pass
    return count


@pytest.mark.parametrize("share", [0.5, 0.6, 0.95])
def test_a_truncated_mp4_gives_the_frames_that_it_has(tmp_path: Path, share: float) -> None:
    path = cut(noisy(tmp_path / "t.mp4", container_options={"movflags": "faststart"}), share)
    there = decodable(path)
    assert 0 < there < 100
    reader = open_video(path)
    assert numbers(reader.read(range(there - 3))) == list(range(there - 3))
    with pytest.raises(VideoError, match=r"t\.mp4: frame \d+ .*(cannot be decoded|has \d+ frames)"):
        reader.read([0, 99])
    assert numbers(reader.read([5, 1])) == [5, 1]  # an error does not spoil the reader


@pytest.mark.parametrize("ext", ["mkv", "avi", "ts", "flv", "mpg", "webm"])
def test_other_containers_simply_end(tmp_path: Path, ext: str) -> None:
    codec = {"avi": "mpeg4", "mpg": "mpeg2video", "webm": "libvpx"}.get(ext, "libx264")
    path = cut(write_clip(tmp_path / f"t.{ext}", codec, shown=range(100), gop=10), 0.5)
    reader = open_video(path)
    assert 20 < reader.frames < 100
    some = list(range(0, reader.frames - 8, 5))
    assert numbers(reader.read(some)) == some


def test_bit_flips_do_not_shift_frames(tmp_path: Path) -> None:
    """A damaged packet may show anything, but the frames of undamaged groups stay at their places."""
    path = noisy(tmp_path / "f.mp4", container_options={"movflags": "faststart"})
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        victim = packets[33]
        position, size = victim.pos, victim.size
    content = bytearray(path.read_bytes())
    content[position : position + size] = bytes(size)
    path.write_bytes(bytes(content))
    reader = open_video(path)
    sound = [*range(25), *range(45, 100)]
    assert numbers(reader.read(sound)) == sound
    assert [numbers(open_video(path).read([i])) for i in sound] == [[i] for i in sound]


BROKEN = {
    "empty.mp4": b"",
    "html.mp4": b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 50,
    "zeros.mp4": bytes(4096),
    "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://localhost:9/x.ts\n#EXT-X-ENDLIST\n",
}


@pytest.mark.parametrize("decoder", ["pyav", "pyav_sequence", "decord"])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_video_is_named_in_one_line(tmp_path: Path, name: str, decoder: str) -> None:
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(VideoError) as caught:
        open_video(tmp_path / name, decoder)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_moov(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="Invalid data"):
        open_video(cut(noisy(tmp_path / "m.mp4"), 0.7))  # the index stands at the end of an ordinary mp4


def test_sound_only(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        open_video(tmp_path / "a.mp4")


@pytest.mark.parametrize("decoder", ["pyav", "decord", "frames"])
def test_a_file_that_is_not_there(tmp_path: Path, decoder: str) -> None:
    with pytest.raises(VideoError, match="gone"):
        open_video(tmp_path / "gone.mp4", decoder)


def test_an_unknown_decoder_is_named_with_its_near_match(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown decoder 'pyva' \(did you mean 'pyav'\?\); known: "):
        open_video(tmp_path / "x.mp4", "pyva")


def test_the_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(VideoError("a.mp4", "broken")))
    assert (str(error), error.reason) == ("a.mp4: broken", "broken")


def peak_mb(code: str) -> float:
    """The peak memory in MB of a Python process that runs this code, beyond what the imports take."""
    program = (
        "import resource, sys\nfrom harness.data.decode import open_video\nimport harness.data.decode.pyav\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"{code}\nprint((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@pytest.mark.parametrize("decoder", ["pyav", "pyav_sequence"])
def test_only_wanted_frames_are_kept(tmp_path: Path, decoder: str) -> None:
    """200 frames of 1280x720 are 553 MB as RGB; two of them are 6."""
    path = write_clip(tmp_path / "wide.avi", "mpeg4", shown=range(200), size_wh=(1280, 720))
    assert peak_mb(f"open_video({str(path)!r}, {decoder!r}).read([3, 199])") < 120


def test_memory_stays_flat(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "flat.mp4", shown=range(60), size_wh=(320, 240), gop=12)
    loop = f"for _ in range({{}}):\n r = open_video({str(path)!r}); r.read([0, 20, 40, 59]); r.close()"
    assert peak_mb(loop.format(400)) < peak_mb(loop.format(20)) + 12

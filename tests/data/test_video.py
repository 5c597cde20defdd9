"""The video reader on good, odd and broken files."""

from __future__ import annotations

import pickle
from pathlib import Path

import av
import numpy as np
import pytest

from harness.data import VideoError, probe, read_frames
from harness.data.video import encode_mp4
from tests.data.clips import own_priority


def _gradients(frames: int = 20, height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth frames that differ from one another, (L, H, W, 3): easy for a codec."""
    t, y, x = np.ogrid[:frames, :height, :width]
    planes = np.broadcast_arrays(t * 200 / frames + 0 * y, 20 + y * 2.0, 20 + x * 2.0)
    return np.stack(planes, axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "good.mp4"
    path.write_bytes(encode_mp4(_gradients(), fps=16))
    return path


def test_what_was_written_is_read_back(mp4: Path) -> None:
    frames_LHW3 = read_frames(mp4)
    difference = np.abs(frames_LHW3.astype(int) - _gradients())
    assert frames_LHW3.shape == (20, 48, 64, 3) and frames_LHW3.dtype == np.uint8
    assert difference.mean() < 3


def test_probe_reads_the_header(mp4: Path) -> None:
    header = probe(mp4)
    assert (header.frames, header.width, header.height, header.fps) == (20, 64, 48, 16)
    assert header.codec == "h264"


def test_the_same_frames_give_the_same_bytes() -> None:
    assert encode_mp4(_gradients(), 16) == encode_mp4(_gradients(), 16)


def test_indices_pick_frames_in_any_order(mp4: Path) -> None:
    indices = np.array([13, 2, 2, 19, 0])
    assert np.array_equal(read_frames(mp4, indices), read_frames(mp4)[indices])


@pytest.mark.parametrize("indices", [[0, 20], [-1]])
def test_frames_that_are_not_there_are_refused(mp4: Path, indices: list[int]) -> None:
    with pytest.raises(VideoError, match=f"frame {indices[-1]} .* 20 frames"):
        read_frames(mp4, indices)


def test_short_side_keeps_the_aspect_ratio(mp4: Path, tmp_path: Path) -> None:
    assert read_frames(mp4, short_side=24).shape == (20, 24, 32, 3)
    portrait = tmp_path / "portrait.mp4"
    portrait.write_bytes(encode_mp4(_gradients(4, 64, 48), 16))
    assert read_frames(portrait, [1, 3], short_side=96).shape == (2, 128, 96, 3)


@pytest.mark.parametrize("resize", [None, 24])
def test_a_codec_that_decord_lacks_is_read_by_pyav(tmp_path: Path, resize: int | None) -> None:
    path = tmp_path / "av1.mp4"
    frames_LHW3 = _gradients()
    with own_priority(), av.open(str(path), "w") as container:
        stream = container.add_stream("libsvtav1", rate=16)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame_HW3 in frames_LHW3:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame_HW3, format="rgb24")))
        container.mux(stream.encode(None))
    read = read_frames(path, [0, 19], short_side=resize)
    assert read.shape == ((2, 24, 32, 3) if resize else (2, 48, 64, 3))
    assert np.abs(read.mean((1, 2)) - frames_LHW3[[0, 19]].mean((1, 2))).max() < 3


def _spoil(good: bytes, how: str) -> bytes:
    middle = len(good) // 2
    return {
        "empty": b"",
        "text": b"not a video\n" * 100,
        "truncated": good[:middle],
        "overwritten": good[: middle - 300] + b"\xff" * 600 + good[middle + 300 :],
        "zeroed": bytes(len(good)),
    }[how]


@pytest.mark.parametrize("how", ["empty", "text", "truncated", "overwritten", "zeroed"])
def test_a_broken_file_is_named_in_one_line(
    tmp_path: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    path = tmp_path / f"{how}.mp4"
    path.write_bytes(_spoil(encode_mp4(noise, 16), how))
    with pytest.raises(VideoError) as error:
        read_frames(path)
    assert error.value.path == path and error.value.reason in str(error.value)
    assert "\n" not in str(error.value)
    capfd.readouterr()  # decord's own line on stderr


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_frames, probe):
        with pytest.raises(VideoError, match=r"nowhere\.mp4: no such video file"):
            read(tmp_path / "nowhere.mp4")


def test_an_error_comes_back_whole_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(VideoError("a.mp4", "broken")))
    assert (error.path, error.reason, str(error)) == (Path("a.mp4"), "broken", "a.mp4: broken")

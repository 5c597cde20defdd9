"""The frame that is asked for is the frame that comes: every container and codec, every place, every path."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.decode import VideoError, open_video
from tests.data.clips import numbers, remux, write_clip

N = 40
# What goes together in practice, and every codec that users' archives hold. PyAV's wheel may lack an encoder.
LEGAL = {
    "mp4": ["libx264", "libx265", "mpeg4", "mpeg2video", "mpeg1video", "libvpx-vp9", "libsvtav1", "mjpeg", "ffv1"],
    "mov": ["libx264", "libx265", "mpeg4", "mjpeg", "prores", "png", "qtrle"],
    "mkv": ["libx264", "libx265", "mpeg4", "mpeg2video", "libvpx", "libvpx-vp9", "libsvtav1", "mjpeg", "ffv1",
            "huffyuv", "msmpeg4", "rawvideo", "snow"],
    "webm": ["libvpx", "libvpx-vp9", "libsvtav1"],
    "avi": ["libx264", "mpeg4", "mpeg2video", "msmpeg4", "msmpeg4v2", "h263p", "mjpeg", "ffv1", "huffyuv", "rawvideo"],
    "ts": ["libx264", "libx265", "mpeg4", "mpeg2video"],
    "m2ts": ["libx264", "mpeg2video"],
    "mpg": ["mpeg1video", "mpeg2video", "libx264"],
    "vob": ["mpeg2video"],
    "flv": ["libx264", "flv", "flashsv"],
    "wmv": ["wmv1", "wmv2", "msmpeg4"],
    "asf": ["libx264", "mpeg4"],
    "3gp": ["libx264", "mpeg4"],
    "m4v": ["libx264", "mpeg4"],
    "mxf": ["mpeg2video", "libx264", "prores"],
    "nut": ["libx264", "mpeg4", "ffv1"],
    "ivf": ["libvpx", "libvpx-vp9", "libsvtav1"],
    "ogv": ["libvpx"],
    "gif": ["gif"],
    "h264": ["libx264"],
    "hevc": ["libx265"],
    "y4m": ["rawvideo"],
    "swf": ["flv"],
}  # fmt: skip
PIXELS = {"prores": "yuv422p10le", "png": "rgb24", "qtrle": "rgb24", "gif": "rgb8", "flashsv": "bgr24",
          "mjpeg": "yuvj420p", "huffyuv": "yuv422p"}  # fmt: skip
QUIET = {"libx265": {"x265-params": "log-level=none"}}
PAIRS = [(ext, codec) for ext, codecs in LEGAL.items() for codec in codecs]


def assert_exact(path: Path, shown: list[int], **_: object) -> None:
    """In sequence, backwards, sparse, alone and with repeats, each by a reader of its own and by a used one."""
    n = len(shown)
    orders = [
        list(range(n)),
        list(range(n))[::-1],
        [n - 1],
        [n - 1, 0, n - 1, n // 2, 0],
        [n // 3, n // 3 + 1, n // 3 + 2],
        list(range(0, n, 7)),
        list(range(3, n, 11))[::-1],
    ]
    used = open_video(path)
    assert used.frames == n
    for order in orders:
        fresh = open_video(path)
        assert numbers(fresh.read(order)) == [shown[i] for i in order], f"{path.name} fresh {order}"
        assert numbers(used.read(order)) == [shown[i] for i in order], f"{path.name} used {order}"
        fresh.close()
    for place in range(n):
        assert numbers(used.read([place])) == [shown[place]], f"{path.name} place {place}"
    used.close()


def clip(path: Path, codec: str, **changes: object) -> Path:
    """A clip of N frames, or a skip that says which encoder this PyAV lacks."""
    settings_ = {
        "pix_fmt": PIXELS.get(codec, "yuv420p"),
        "options": QUIET.get(codec),
        "shown": range(N),
    } | changes
    try:
        return write_clip(path, codec, **settings_)  # type: ignore[arg-type]
    except (av.FFmpegError, ValueError, RuntimeError) as error:
        pytest.skip(f"PyAV {av.__version__} cannot write {codec} in {path.suffix}: {error}")


@pytest.mark.parametrize(("ext", "codec"), PAIRS)
def test_every_container_and_codec(tmp_path: Path, ext: str, codec: str) -> None:
    assert_exact(clip(tmp_path / f"clip.{ext}", codec, gop=12), list(range(N)))


@pytest.mark.parametrize(
    "codec", ["mpeg4", "mpeg2video", "libvpx", "libvpx-vp9", "mjpeg", "ffv1", "libsvtav1"]
)
def test_odd_sizes(tmp_path: Path, codec: str) -> None:
    path = clip(tmp_path / "odd.mkv", codec, size_wh=(97, 65), gop=12)
    assert open_video(path).size_wh == (97, 65)
    assert_exact(path, list(range(N)))


def test_writing_av1_leaves_this_process_its_priority(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    clip(tmp_path / "clip.mp4", "libsvtav1")
    assert os.sched_getscheduler(0) == before


GROUPS = {
    "b_frames": {"bf": "3", "g": "12"},
    "b_pyramid": {"bf": "4", "g": "24", "b-pyramid": "normal", "b_strategy": "2"},
    "no_b_frames": {"bf": "0", "g": "10"},
    "open_gop": {"bf": "3", "g": "10", "x264-params": "open-gop=1:scenecut=0"},
    "one_key_frame": {"bf": "2", "g": "1000", "sc_threshold": "0"},
    "all_key_frames": {"g": "1", "bf": "0"},
    "intra_refresh": {"bf": "0", "g": "10", "x264-params": "intra-refresh=1"},
    "many_references": {"bf": "2", "g": "20", "refs": "6"},
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("ext", ["mp4", "mkv", "avi", "ts", "flv", "mpg"])
def test_every_group_of_pictures(tmp_path: Path, ext: str, group: str) -> None:
    assert_exact(clip(tmp_path / f"{group}.{ext}", "libx264", options=GROUPS[group]), list(range(N)))


@pytest.mark.parametrize("ext", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(
    "gop", ["open-gop=1:keyint=10:bframes=4", "open-gop=0:keyint=12:bframes=3", "keyint=300"]
)
def test_hevc_groups(tmp_path: Path, ext: str, gop: str) -> None:
    options = {"x265-params": f"log-level=none:{gop}"}
    assert_exact(clip(tmp_path / f"hevc.{ext}", "libx265", options=options), list(range(N)))


@pytest.mark.parametrize("ext", ["avi", "mp4", "mkv", "ts", "mpg"])
@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video"])
def test_old_codecs_with_b_frames(tmp_path: Path, ext: str, codec: str) -> None:
    assert_exact(clip(tmp_path / f"b.{ext}", codec, b_frames=2, gop=15), list(range(N)))


@pytest.mark.parametrize(
    ("ext", "codec"), [("webm", "libvpx"), ("webm", "libvpx-vp9"), ("ivf", "libvpx"), ("mkv", "libvpx")]
)
def test_alternate_references_that_are_never_shown(tmp_path: Path, ext: str, codec: str) -> None:
    """VP8 stores them as packets with a time of their own: counting packets counts them as frames."""
    options = {
        "auto-alt-ref": "1",
        "lag-in-frames": "16",
        "arnr-maxframes": "7",
        "arnr-strength": "5",
        "g": "20",
    }
    path = clip(tmp_path / f"alt.{ext}", codec, options=options | {"b": "200k"})
    assert_exact(path, list(range(N)))


def variable(place: int) -> int:
    return place * 2 + (place % 5 == 0) + 7 * (place > 20)


@pytest.mark.parametrize("ext", ["mp4", "mkv", "webm", "ts", "mov"])
def test_variable_frame_rate(tmp_path: Path, ext: str) -> None:
    codec = "libvpx-vp9" if ext == "webm" else "libx264"
    assert_exact(clip(tmp_path / f"vfr.{ext}", codec, times=variable, gop=12), list(range(N)))


@pytest.mark.parametrize("ext", ["mp4", "mkv", "ts"])
def test_a_start_that_is_not_zero(tmp_path: Path, ext: str) -> None:
    path = clip(tmp_path / f"late.{ext}", "libx264", times=lambda place: place + 500, gop=12)
    assert_exact(path, list(range(N)))


@pytest.mark.parametrize("options", [{"bf": "3", "g": "12"}, {"bf": "0", "g": "12"},
                                     {"bf": "3", "g": "12", "x264-params": "open-gop=1:scenecut=0"}])  # fmt: skip
@pytest.mark.parametrize("lost", [1, 5, 12, 17])
def test_a_cut_without_encoding(tmp_path: Path, options: dict[str, str], lost: int) -> None:
    """`-ss … -c copy`: an mp4 keeps pictures ahead of the cut and hides them by an edit list."""
    source = clip(tmp_path / "whole.mp4", "libx264", options=options, fps=25)
    with av.open(str(source)) as container:
        base = container.streams.video[0].time_base
    cut = remux(source, tmp_path / "cut.mp4", shift=-round(lost / 25 / base))
    with av.open(str(cut)) as container:
        hidden = [p for p in container.demux(container.streams.video[0]) if p.size and p.is_discard]
    assert hidden, "the file has no edit list that hides pictures: the test tests nothing"
    assert_exact(cut, list(range(lost, N)))


@pytest.mark.parametrize("ext", ["mkv", "ts", "mp4"])
@pytest.mark.parametrize("kind", ["open_gop", "b_frames"])
def test_a_cut_that_begins_at_a_later_key_frame(tmp_path: Path, ext: str, kind: str) -> None:
    """With an open group, pictures that lean on what was cut away are lost or damaged at the start: what a full
    decode shows is the truth."""
    source = clip(tmp_path / f"whole.{ext}", "libx264", options=GROUPS[kind])
    with av.open(str(source)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
    first = next(i for i, p in enumerate(packets) if p.is_keyframe and i > 0)
    cut = remux(source, tmp_path / f"cut.{ext}", first_packet=first)
    full = []
    with av.open(str(cut)) as container:
        for packet in container.demux(container.streams.video[0]):
            with contextlib.suppress(
                av.FFmpegError
            ):  # as players do: a packet that leans on what was cut away
                full += [f.to_ndarray(format="rgb24") for f in packet.decode()]
    reader = open_video(cut)
    assert reader.frames == len(full) > 20
    for place in [*range(len(full)), *range(len(full))[::-3]]:
        assert np.array_equal(reader.read([place])[0], full[place]), place


@pytest.mark.parametrize("ext", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
def test_pictures_are_upright(tmp_path: Path, ext: str, rotation: int, hflip: bool) -> None:
    """The stored picture is what a phone's sensor saw; a display matrix says how to show it."""
    if ext == "mkv" and (hflip or rotation):
        pytest.skip("FFmpeg's Matroska writes the rotation as a projection, read back without the mirror")
    shown = [1, 517, 700, 33]
    path = write_clip(tmp_path / f"turned.{ext}", shown=shown, rotation=rotation, hflip=hflip)
    plain = write_clip(tmp_path / f"plain.{ext}", shown=shown)
    stored = open_video(plain).read(range(4))
    reader = open_video(path)
    upright = np.rot90(stored, rotation // 90, axes=(1, 2))
    if hflip:  # mirrored after it is turned
        upright = upright[:, :, ::-1]
    assert reader.size_wh == ((64, 96) if rotation in {90, 270} else (96, 64))
    got = reader.read(range(4))
    assert got.shape == upright.shape
    assert np.array_equal(got, upright)
    assert reader.read([0], short_side=32).shape == (
        (1, 48, 32, 3) if rotation in {90, 270} else (1, 32, 48, 3)
    )


def test_the_rotation_of_a_phone_is_said(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "phone.mp4", rotation=90)
    assert open_video(path).rotation == 90


@pytest.mark.parametrize("decoder", ["pyav", "pyav_sequence"])
@pytest.mark.parametrize("ext", ["mp4", "mkv", "ts"])
def test_the_larger_of_two_video_streams_is_read_all_over(tmp_path: Path, ext: str, decoder: str) -> None:
    path = write_clip(tmp_path / f"two.{ext}", second_stream=True)
    reader = open_video(path, decoder)
    assert reader.size_wh == (96, 64)
    assert numbers(reader.read([59, 3, 30])) == [59, 3, 30]


@pytest.mark.parametrize("ext", ["mp4", "mkv", "mov"])
def test_sound_changes_nothing(tmp_path: Path, ext: str) -> None:
    assert_exact(write_clip(tmp_path / f"loud.{ext}", shown=range(N), audio=True, gop=12), list(range(N)))


def test_a_fragmented_mp4(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "frag.mp4", shown=range(N), gop=10,
                      container_options={"movflags": "frag_keyframe+empty_moov"})  # fmt: skip
    assert_exact(path, list(range(N)))


def test_more_than_eight_bits(tmp_path: Path) -> None:
    assert_exact(clip(tmp_path / "deep.mp4", "libx264", pix_fmt="yuv420p10le", gop=12), list(range(N)))


def test_a_single_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "one.mp4", shown=[7])
    assert numbers(open_video(path).read([0, 0])) == [7, 7]


@pytest.fixture(scope="module")
def long_clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("long")
    makers: list[Callable[[], Path]] = [
        lambda: write_clip(folder / "b.mp4", shown=range(300), options={"bf": "3", "g": "30"}),
        lambda: write_clip(folder / "open.mkv", shown=range(300), options={"x264-params": "open-gop=1:keyint=25"}),
        lambda: write_clip(folder / "b.avi", "mpeg4", shown=range(300), b_frames=2, gop=40),
        lambda: write_clip(folder / "one.ts", shown=range(300), options={"g": "999", "sc_threshold": "0"}),
    ]  # fmt: skip
    return [make() for make in makers]


@settings(max_examples=60, deadline=None)
@given(which=st.integers(0, 3), places=st.lists(st.integers(0, 299), min_size=1, max_size=12))
def test_any_places_in_any_order(long_clips: list[Path], which: int, places: list[int]) -> None:
    assert numbers(open_video(long_clips[which]).read(places)) == places


def test_in_sequence_and_by_index_are_one(long_clips: list[Path]) -> None:
    for path in long_clips:
        by_index, in_sequence = (
            open_video(path).read([3, 150, 299]),
            open_video(path, "pyav_sequence").read([3, 150, 299]),
        )
        assert np.array_equal(by_index, in_sequence), path.name


def test_a_place_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "ten.mp4", shown=range(10))
    for place, decoder in itertools.product((10, -1), ("pyav", "pyav_sequence", "decord")):
        with pytest.raises(
            VideoError, match=rf"ten\.mp4: frame {place} was asked for, but the video has 10 frames"
        ):
            open_video(path, decoder).read([place])


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "plain.mp4", shown=[3, 4])
    (tmp_path / "plain.mp4").rename(tmp_path / "a:b.mp4")
    monkeypatch.chdir(tmp_path)
    for decoder in ("pyav", "decord"):
        assert numbers(open_video("a:b.mp4", decoder).read([1])) == [4]

"""Folders of pictures as videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.decode import VideoError, open_video
from tests.data.clips import draw, numbers


def folder(path: Path, template: str = "img_%05d.jpg", first: int = 1, count: int = 12) -> Path:
    path.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(draw(i)).save(path / (template % (first + i)), quality=95)
    return path


TEMPLATES = [("img_%05d.jpg", 1), ("%05d.jpg", 1), ("%06d.jpg", 1), ("image_%04d.jpg", 1), ("image_%06d.jpg", 0),
             ("img_%05d.png", 1), ("%d.jpg", 0), ("frame%d.JPEG", 95), ("v_a_1_%04d.jpg", 7)]  # fmt: skip


@pytest.mark.parametrize(("template", "first"), TEMPLATES)
def test_every_release_s_names(tmp_path: Path, template: str, first: int) -> None:
    reader = open_video(folder(tmp_path / "v", template, first))
    assert (reader.frames, reader.size_wh, reader.fps, reader.rotation) == (12, (96, 64), 0, 0)
    assert numbers(reader.read([11, 0, 5, 5, 9, 10])) == [11, 0, 5, 5, 9, 10]


def test_numbers_are_numbers(tmp_path: Path) -> None:
    """frame9 comes ahead of frame10, whatever the alphabet says."""
    assert numbers(open_video(folder(tmp_path / "v", "f%d.jpg", 8)).read(range(12))) == list(range(12))


def test_what_is_no_frame_is_not_counted(tmp_path: Path) -> None:
    path = folder(tmp_path / "v")
    for name in (
        "Thumbs.db",
        ".DS_Store",
        "._img_00003.jpg",
        "flow_x_00001.jpg",
        "000001-x_00001.jpg",
        "notes.txt",
    ):
        (path / name).write_bytes(b"no picture")
    assert open_video(path).frames == 12


DEFECTS = {
    "a gap": (lambda p: (p / "img_00005.jpg").unlink(), "picture 5 is missing"),
    "twice": (lambda p: (p / "img_5.jpg").write_bytes(b"x"), "picture 5 stands twice"),
    "two patterns": (lambda p: (p / "frame_00013.jpg").write_bytes(b"x"), "two patterns, frame_… and img_…"),
    "emptied": (lambda p: [f.unlink() for f in p.iterdir()], "no numbered jpg"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_folder_with_a_defect_is_refused(tmp_path: Path, defect: str) -> None:
    spoil, words = DEFECTS[defect]
    path = folder(tmp_path / "v")
    spoil(path)
    with pytest.raises(VideoError, match=words):
        open_video(path)


def test_a_picture_that_ends_early_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "v")
    picture = path / "img_00004.jpg"
    picture.write_bytes(picture.read_bytes()[:400])
    reader = open_video(path)
    assert numbers(reader.read([2, 4])) == [2, 4]
    with pytest.raises(VideoError, match=r"img_00004\.jpg: .*(?i:truncated)"):
        reader.read([2, 3])


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "v")
    Image.fromarray(draw(3, 80, 64)).save(path / "img_00004.jpg")
    with pytest.raises(
        VideoError, match=r"img_00004\.jpg: is \(80, 64\), the folder's first picture is \(96, 64\)"
    ):
        open_video(path).read([3])


def test_grey_pictures_become_rgb_and_are_resized(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    Image.fromarray(draw(9)[..., 0]).save(tmp_path / "v" / "1.jpg")
    frames = open_video(tmp_path / "v").read([0], short_side=100)
    assert frames.shape == (1, 100, 150, 3)
    assert np.array_equal(frames[..., 0], frames[..., 2])
    assert numbers(frames) == [9]

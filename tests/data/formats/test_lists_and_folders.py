"""List files of four projects, and folders of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.base.errors import UserError
from harness.data.formats.class_folders import ClassFoldersSource
from harness.data.formats.video_lists import VideoListsSource
from harness.experiment.datasets_published import ClassFolders, VideoLists


def lists(
    root: Path, layout: str, train: str, report: str = "", classes: Any = 3, **more: Any
) -> list[tuple]:
    (root / "train.txt").write_text(train)
    (root / "val.txt").write_text(report)
    spec = VideoLists(
        root=root, train_list="train.txt", report_list="val.txt", layout=layout, classes=classes, **more
    )  # type: ignore[arg-type]
    return [
        (v.video_id, v.path and v.path.name, v.labels, v.split)
        for v in VideoListsSource().listing(spec).videos
    ]


GOOD = {
    "mmaction2": ("a/x.mp4 2\nb b/y z.mp4 0\n", [("a/x.mp4", (2,)), ("b b/y z.mp4", (0,))]),
    "pyslowfast": ("a/x.mp4 1\n", [("a/x.mp4", (1,))]),
    "pytorchvideo": ("b b/y z.mp4\t1\na/x.mp4   2\n", [("b b/y z.mp4", (1,)), ("a/x.mp4", (2,))]),
    "tsm": ("frames/v1 25 2\nframes/v 2 30 0\n", [("frames/v1", (2,)), ("frames/v 2", (0,))]),
    "mmaction2_rawframes": ("frames/v1 25 2\n", [("frames/v1", (2,))]),
    "mmaction2_rawframes_offset": ("frames/v1 0 25 2\n", [("frames/v1", (2,))]),
}


@pytest.mark.parametrize("layout", GOOD)
def test_every_layout_from_the_right(tmp_path: Path, layout: str) -> None:
    text, expected = GOOD[layout]
    got = lists(tmp_path, layout, text)
    assert [(video, labels) for video, _, labels, _ in got] == expected
    assert {split for *_, split in got} == {"train"}


def test_what_is_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "b b").mkdir()
    (tmp_path / "b b" / "y z.mp4").write_bytes(b"x")
    absolute = tmp_path / "elsewhere.mp4"
    absolute.write_bytes(b"x")
    got = lists(tmp_path, "mmaction2", f"b b/y z.mp4 0\ngone.mp4 1\n{absolute} 2\n")
    assert [path for _, path, _, _ in got] == ["y z.mp4", None, "elsewhere.mp4"]


def test_a_delimiter_of_one_s_own_and_several_labels(tmp_path: Path) -> None:
    assert lists(tmp_path, "mmaction2", "a b.mp4,1\n", delimiter=",")[0][2] == (1,)
    assert lists(tmp_path, "mmaction2", "a b.mp4 1 2 1\n", multi_label=True)[0][::2] == ("a b.mp4", (1, 2))
    assert lists(tmp_path, "tsm", "frames/v 40 1 2\n", multi_label=True)[0][::2] == ("frames/v", (1, 2))


BAD = {
    "no label": ("mmaction2", "a.mp4 0\na.mp4\n", r"train\.txt:2: expected a path and 1 number"),
    "a word": ("pyslowfast", "a.mp4 zero\n", r"train\.txt:1: expected a path"),
    "one missing (#847)": (
        "mmaction2_rawframes",
        "v1 20 1\n/abs/v2 1\n",
        r"train\.txt:2: expected a path and 2 number",
    ),
    "label too large": (
        "mmaction2",
        "a.mp4 3\n",
        r"train\.txt:1: label 3, but there are 3 classes \(0 to 2\)",
    ),
    "negative": ("pytorchvideo", "a.mp4 -1\n", r"train\.txt:1: label -1"),
    "twice": (
        "mmaction2",
        "a.mp4 1\nb.mp4 1\na.mp4 2\n",
        r"train\.txt:3: a\.mp4 already stands in .*train\.txt:1; remove",
    ),
    "offset": ("mmaction2_rawframes_offset", "v 5 20 1\n", r"train\.txt:1: begins at frame 5"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_named(tmp_path: Path, case: str) -> None:
    layout, text, words = BAD[case]
    with pytest.raises(UserError, match=words):
        lists(tmp_path, layout, text)


def test_class_names_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("walk\nrun\n")
    spec = VideoLists(
        root=tmp_path, train_list="t.txt", report_list="t.txt", layout="mmaction2", classes="names.txt"
    )  # type: ignore[arg-type]
    (tmp_path / "t.txt").write_text("a.mp4 1\n")
    listing = VideoListsSource().listing(spec)
    assert listing.class_names == ("walk", "run")
    assert "1 videos stand in both lists" in listing.notes[0]


def test_what_a_profile_forgot_is_named(tmp_path: Path) -> None:
    spec = VideoLists(root=tmp_path, report_list="t.txt", layout="mmaction2", classes=2)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="name the file by `train_list:` in the profile"):
        VideoListsSource().listing(spec)


def test_no_class_at_all(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    with pytest.raises(UserError, match="train: no folder of a class lies in it"):
        ClassFoldersSource().listing(ClassFolders(root=tmp_path))


def folders(root: Path, names: list[str]) -> Path:
    for split in ("train", "val"):
        for name in names:
            (root / split / name).mkdir(parents=True)
            (root / split / name / "x.mp4").write_bytes(b"x")
            (root / split / name / "._x.mp4").write_bytes(b"x")
            (root / split / name / "notes.txt").write_bytes(b"x")
            (root / split / name / "frames").mkdir()
    return root


def test_class_folders(tmp_path: Path) -> None:
    folders(tmp_path, ["run", "walk"])
    listing = ClassFoldersSource().listing(ClassFolders(root=tmp_path))
    assert listing.class_names == ("run", "walk")
    assert [(v.video_id, v.labels, v.split) for v in listing.videos][:2] == [
        ("train/run/frames", (0,), "train"), ("train/run/x.mp4", (0,), "train")]  # fmt: skip
    assert len(listing.videos) == 8


def test_official_names_give_the_order_where_they_are_named(tmp_path: Path) -> None:
    folders(tmp_path, ["skiing_crosscountry", "skiing_not_slalom_or_crosscountry"])
    (tmp_path / "names.txt").write_text("skiing (not slalom or crosscountry)\nskiing crosscountry\n")
    listing = ClassFoldersSource().listing(ClassFolders(root=tmp_path, classes="names.txt"))  # type: ignore[arg-type]
    labels = {v.video_id: v.labels[0] for v in listing.videos}
    assert labels["train/skiing_crosscountry/x.mp4"] == 1
    assert labels["val/skiing_not_slalom_or_crosscountry/x.mp4"] == 0


def test_a_class_that_training_has_not_got(tmp_path: Path) -> None:
    folders(tmp_path, ["run"])
    (tmp_path / "val" / "rum").mkdir()
    with pytest.raises(UserError, match=r"rum: unknown class 'rum' \(did you mean 'run'\?\)"):
        ClassFoldersSource().listing(ClassFolders(root=tmp_path))
    with pytest.raises(UserError, match=r"no folder 'test'"):
        ClassFoldersSource().listing(ClassFolders(root=tmp_path, report_folder="test"))

"""Every format reads its official layout: what is listed, what is found, which label, which role."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.base.errors import UserError
from harness.data.formats.activitynet import ActivityNetSource
from harness.data.formats.base import Found, Listing
from harness.data.formats.kinetics import Kinetics400Source, MiniKinetics200Source
from harness.data.formats.something import SomethingV1Source, SomethingV2Source
from harness.data.published import assign_roles
from harness.data.registry import class_names
from harness.experiment.datasets import parse_dataset
from harness.experiment.datasets_published import (
    ActivityNet13,
    Kinetics400,
    MiniKinetics200,
    SomethingV1,
    SomethingV2,
)
from tests.data import fake_copies


def by_id(listing: Listing) -> dict[str, tuple[int, ...]]:
    return {video.video_id: video.labels for video in listing.videos}


@pytest.mark.parametrize("layout", fake_copies.FOLDERS)
@pytest.mark.parametrize("columns", ["activitynet", "cvdf", "floats"])
def test_kinetics_in_every_layout(tmp_path: Path, layout: str, columns: str) -> None:
    copy = fake_copies.kinetics(tmp_path, layout, train=3, val=2, columns=columns)
    listing = Kinetics400Source().listing(Kinetics400(root=tmp_path))
    assert listing.class_names == copy.classes
    assert by_id(listing) == {video: (label,) for video, label in copy.labels.items()}
    assert {video.video_id for video in listing.missing()} == copy.missing
    assert all(
        v.path is None or (v.path.is_file() and v.path.name.startswith(v.video_id)) for v in listing.videos
    )
    assert [v.split for v in listing.videos] == ["train"] * 15 + ["report"] * 10


def test_a_replacement_wins_and_a_link_is_the_same_video(tmp_path: Path) -> None:
    copy = fake_copies.kinetics(tmp_path, "flat")
    (tmp_path / "by_class" / "abseiling").mkdir(parents=True)
    for video in (tmp_path / "train").glob("*.mp4"):
        (tmp_path / "by_class" / "abseiling" / video.name).symlink_to(video)
    (tmp_path / "loop").symlink_to(tmp_path)
    listing = Kinetics400Source().listing(Kinetics400(root=tmp_path))
    assert {video.video_id for video in listing.missing()} == copy.missing
    replaced = [
        v.path for v in listing.videos if v.path and "replacement" in v.path.relative_to(tmp_path).parts
    ]
    assert len(replaced) == 1
    assert replaced[0].stat().st_size > 0


def test_renamed_files_and_tsm_frame_folders_are_found(tmp_path: Path) -> None:
    """`ID.mp4` (V4D, MVFNet), `ID_S` with the start as written (TSM's folders)."""
    fake_copies.kinetics(tmp_path, "flat", train=2, val=1, defects=False)
    for number, path in enumerate(sorted((tmp_path / "train").glob("*.mp4"))):
        if number % 2:
            path.rename(path.with_name(f"{path.stem[:11]}.mp4"))
        else:
            fake_copies.frame_folder(
                tmp_path / "train" / f"{path.stem[:11]}_{int(path.stem[12:18])}", "img_%05d.jpg"
            )
            path.unlink()
    listing = Kinetics400Source().listing(Kinetics400(root=tmp_path))
    assert not listing.missing()
    assert sum(v.path.is_dir() for v in listing.videos if v.path) == 5


def test_labels_follow_the_official_names_not_the_folders(tmp_path: Path) -> None:
    """Sorted as TSM's folders are called, the two skiing classes change places."""
    fake_copies.kinetics(tmp_path, "tsm", defects=False)
    listing = Kinetics400Source().listing(Kinetics400(root=tmp_path))
    folder_order = sorted(fake_copies.plain(name) for name in listing.class_names)
    assert [fake_copies.plain(name) for name in listing.class_names] != folder_order
    for video in listing.videos:
        assert video.path is not None
        assert video.path.parent.name == fake_copies.plain(listing.class_names[video.labels[0]])


def test_two_files_of_one_clip_the_named_container_order_decides(tmp_path: Path) -> None:
    fake_copies.kinetics(tmp_path, "flat", defects=False)
    first = sorted((tmp_path / "train").glob("*.mp4"))[0]
    first.with_suffix(".webm").write_bytes(b"x")
    listing = Kinetics400Source().listing(Kinetics400(root=tmp_path))
    assert next(v.path for v in listing.videos if v.video_id == first.stem[:11]) == first


BAD_CSV = {
    "no column": ("name,youtube_id,time_start\n", r"train\.csv:1: no column 'label'"),
    "fields": ("label,youtube_id,time_start\na,b\n", r"train\.csv:2: 2 fields, the header has 3"),
    "number": ("label,youtube_id,time_start\na,AAAAAAAAAAA,x\n", r"train\.csv:2: time_start is 'x'"),
    "id": ("label,youtube_id,time_start\na,AAAA,1\n", r"train\.csv:2: youtube_id 'AAAA' has not 11"),
    "empty": ("label,youtube_id,time_start\n", r"train\.csv: no clip is listed"),
    "an open quote": (
        'label,youtube_id,time_start\n"a b,BBBBBBBBBBB,1\n"a b",CCCCCCCCCCC,1\n',
        r"train\.csv:3: ',' expected",
    ),
    "twice": (
        "label,youtube_id,time_start\na,BBBBBBBBBBB,1\na,BBBBBBBBBBB,20\n",
        r"train\.csv:3: BBBBBBBBBBB already stands in .*train\.csv:2",
    ),
    "in both": (
        "label,youtube_id,time_start\na,AAAAAAAAAAA,1\n",
        r"val\.csv:2: AAAAAAAAAAA already stands in .*train\.csv:2",
    ),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_a_bad_csv_is_named_with_its_line(tmp_path: Path, case: str) -> None:
    text, words = BAD_CSV[case]
    (tmp_path / "train.csv").write_text(text)
    (tmp_path / "val.csv").write_text("label,youtube_id,time_start\na,AAAAAAAAAAA,1\n")
    with pytest.raises(UserError, match=words):
        Kinetics400Source().listing(Kinetics400(root=tmp_path))


def test_byte_order_mark_and_crlf_are_no_text(tmp_path: Path) -> None:
    fake_copies.kinetics(tmp_path, "flat", columns="cvdf", defects=False)
    before = Kinetics400Source().listing(Kinetics400(root=tmp_path))
    for path in (tmp_path / "annotations").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert Kinetics400Source().listing(Kinetics400(root=tmp_path)) == before


def test_no_root_and_no_annotations_say_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"`root:` in the profile or \$HARNESS_KINETICS_400"):
        Kinetics400Source().listing(Kinetics400())
    with pytest.raises(UserError, match=r"no kinetics-400_train\.csv .*`annotations:`"):
        Kinetics400Source().listing(Kinetics400(root=tmp_path))
    fake_copies.kinetics(tmp_path / "k", "flat", defects=False)
    monkeypatch.setenv("HARNESS_KINETICS_400", str(tmp_path / "k"))
    assert len(Kinetics400Source().listing(Kinetics400()).videos) == 30
    monkeypatch.setenv("HARNESS_KINETICS_400", str(tmp_path / "misspelt"))
    with pytest.raises(UserError, match=r"\$HARNESS_KINETICS_400 is .*misspelt, and that is no folder"):
        Kinetics400Source().listing(Kinetics400())
    with pytest.raises(UserError, match=r"`copies:` in the profile is .*gone, and that is no folder"):
        Kinetics400Source().listing(Kinetics400(root=tmp_path / "k", copies=tmp_path / "gone"))


def test_mini_kinetics_joins_ids_with_the_csv(tmp_path: Path) -> None:
    copy = fake_copies.mini_kinetics(tmp_path)
    listing = MiniKinetics200Source().listing(MiniKinetics200(root=tmp_path))
    assert listing.class_names == copy.classes
    assert by_id(listing) == {video: (label,) for video, label in copy.labels.items()}
    assert {video.video_id for video in listing.missing()} == copy.missing


def test_mini_kinetics_in_v4d_s_order(tmp_path: Path) -> None:
    """V4D's converter numbers the classes as the blocks of the val list come."""
    copy = fake_copies.mini_kinetics(tmp_path, defects=False)
    listing = MiniKinetics200Source().listing(MiniKinetics200(root=tmp_path, label_order="v4d"))
    assert listing.class_names == copy.classes[::-1]
    assert by_id(listing) == {video: (3 - label,) for video, label in copy.labels.items()}


def test_another_mini_kinetics_is_refused(tmp_path: Path) -> None:
    fake_copies.mini_kinetics(tmp_path, defects=False)
    path = tmp_path / "train_ytid_list.txt"
    path.write_text(path.read_text() + "ZZZZZZZZZZZ\n")
    with pytest.raises(
        UserError, match=r"train_ytid_list\.txt:17: 'ZZZZZZZZZZZ' is not in the Kinetics-400 csv"
    ):
        MiniKinetics200Source().listing(MiniKinetics200(root=tmp_path))


def test_something_v1(tmp_path: Path) -> None:
    copy = fake_copies.something_v1(tmp_path)
    listing = SomethingV1Source().listing(SomethingV1(root=tmp_path))
    assert listing.class_names == tuple(sorted(fake_copies.SOMETHING_CLASSES))
    assert by_id(listing) == {video: (label,) for video, label in copy.labels.items()}
    assert {video.video_id for video in listing.missing()} == copy.missing
    names = listing.class_names
    assert {(names[a], names[b]) for a, b in listing.label_swaps} == {
        ("Pushing something from left to right", "Pushing something from right to left"),
        (
            "Turning the camera left while filming something",
            "Turning the camera right while filming something",
        ),
    }


UNKNOWN = r"train\.csv:1: unknown class 'Holdin something' \(did you mean 'Holding something'\?\)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n", r"train\.csv:1: no ';'"),
        ("1;Holdin something\n", UNKNOWN),
        (
            "99;Holding something\n99;Folding something\n",
            r"train\.csv:2: 99 already stands in .*train\.csv:1",
        ),
    ],
)
def test_something_v1_with_a_bad_line(tmp_path: Path, text: str, words: str) -> None:
    fake_copies.something_v1(tmp_path, train=1, val=1, defects=False)
    (tmp_path / "something-something-v1-train.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        SomethingV1Source().listing(SomethingV1(root=tmp_path))


def test_something_v2(tmp_path: Path) -> None:
    copy = fake_copies.something_v2(tmp_path)
    listing = SomethingV2Source().listing(SomethingV2(root=tmp_path))
    assert by_id(listing) == {video: (label,) for video, label in copy.labels.items()}
    assert not listing.missing()


def test_activitynet(tmp_path: Path) -> None:
    copy = fake_copies.activitynet(tmp_path)
    listing = ActivityNetSource().listing(ActivityNet13(root=tmp_path))
    assert listing.class_names == ("Archery", "BMX", "Baking cookies")  # as strings: capitals first
    assert {v: labels[0] for v, labels in by_id(listing).items()} == copy.labels
    assert {video.video_id for video in listing.missing()} == copy.missing
    assert {len(labels) for labels in by_id(listing).values()} == {1, 2}
    assert listing.multi_label
    assert listing.metrics[0] == "map"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"label": "BMX"', '"lable": "BMX"', r"database\.\S+\.annotations\.0\.label: Field required"),
        ('"label": "BMX"', '"label": "BMXX"', r"unknown class 'BMXX' \(did you mean 'BMX'\?\)"),
        ('"nodeName": "BMX"', '"nodeNam": "BMX"', r"taxonomy\.3\.nodeName|taxonomy\.2\.nodeName"),
        ('"database": {', '"database": [', "Invalid JSON"),
        ('"taxonomy"', '"taxonomie"', r"json: taxonomy: Field required; expected the official file"),
    ],
)
def test_a_bad_activitynet_file_is_named_with_the_place(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    fake_copies.activitynet(tmp_path, train=1, val=1, defects=False)
    path = tmp_path / "activity_net.v1-3.min.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=words):
        ActivityNetSource().listing(ActivityNet13(root=tmp_path))


@pytest.mark.parametrize("name", ["kinetics", "mini_kinetics", "something_v1", "something_v2", "activitynet"])
def test_class_names_without_a_look_at_the_videos(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`show` and `compare` ask for them: a quarter of a million files are not walked for that."""
    copy = getattr(fake_copies, name)(tmp_path)
    monkeypatch.setattr(Found, "_walk", None)
    known = {
        "kinetics": "kinetics_400",
        "mini_kinetics": "mini_kinetics_200",
        "activitynet": "activitynet_1_3",
    }
    assert class_names(parse_dataset({"name": known.get(name, name), "root": str(tmp_path)})) == copy.classes


def test_roles_are_stratified_seeded_and_steady(tmp_path: Path) -> None:
    fake_copies.kinetics(tmp_path, "flat", train=10, val=1, defects=False)
    spec = Kinetics400(root=tmp_path, held_out=0.2)
    listing = Kinetics400Source().listing(spec)
    roles = assign_roles(spec, listing)
    select = {v.video_id for role, v in roles if role == "select"}
    per_class = np.bincount([v.labels[0] for role, v in roles if role == "select"], minlength=5)
    assert per_class.tolist() == [2] * 5
    assert {v.split for role, v in roles if role == "report"} == {"report"}
    other = assign_roles(Kinetics400(root=tmp_path, held_out=0.2, held_out_seed=1), listing)
    assert {v.video_id for role, v in other if role == "select"} != select
    victim = next(v for role, v in roles if role == "train")  # a lost video moves no other
    assert victim.path is not None
    victim.path.unlink()
    again = assign_roles(spec, Kinetics400Source().listing(spec))
    assert {v.video_id for role, v in again if role == "select"} == select
    none = assign_roles(Kinetics400(root=tmp_path, held_out=0), listing)
    assert {role for role, _ in none} == {"train", "report"}

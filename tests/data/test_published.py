"""A copy of a published dataset behind the dataset contract: roles, exclusions, samples, hash."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.base.errors import UserError
from harness.data import Loading, TestBatches, TrainBatches
from harness.data.copy_report import describe_dataset, verify_dataset
from harness.data.published import VideoSample
from harness.data.registry import class_names, describe, is_ready, open_dataset, pinned, prepare
from harness.experiment.datasets import parse_dataset
from harness.experiment.sampling import FrameRule
from tests.data import fake_copies
from tests.data.clips import numbers, write_clip

MAKERS = {
    "kinetics_400": fake_copies.kinetics,
    "mini_kinetics_200": fake_copies.mini_kinetics,
    "something_v1": fake_copies.something_v1,
    "something_v2": fake_copies.something_v2,
    "activitynet_1_3": fake_copies.activitynet,
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_fake_copy_from_describe_to_batches_of_frames(tmp_path: Path, name: str) -> None:
    """Described, checked, opened: what is broken is named and left out, all else gives the frames it is asked for."""
    copy = MAKERS[name](tmp_path / "copy")
    spec = parse_dataset({"name": name, "root": str(copy.root), "held_out": 0.25})
    before = describe_dataset(spec, tmp_path / "data")
    assert sum(split.listed for split in before.splits) == len(copy.labels)
    assert sum(split.found for split in before.splits) == len(copy.labels) - len(copy.missing)
    assert {split.readable for split in before.splits} == {None}
    assert {m.split("/")[1] for m in before.missing} == copy.missing
    assert not is_ready(spec, tmp_path / "data")
    with pytest.raises(UserError, match="run `harness data verify` first"):
        open_dataset(spec, tmp_path / "data")

    after = verify_dataset(spec, tmp_path / "data", workers=2)
    assert {b.split("/")[1] for b in after.broken} == copy.broken.keys()
    assert all(copy.broken[name.split("/")[1]] in reason for name, reason in after.broken.items())
    info = prepare(spec, tmp_path / "data", workers=1)  # nothing is left to look at
    dataset = open_dataset(spec, tmp_path / "data")
    assert dataset.info == info
    assert info.manifest_hash == after.manifest
    left_out = {video for own in info.excluded.values() for video in own}
    assert left_out == copy.missing | copy.broken.keys()
    assert set(info.counts) == {"train", "select", "report"}
    assert sum(info.counts.values()) == len(copy.labels) - len(left_out)
    assert info.class_names == copy.classes
    for role in info.counts:
        split = dataset.split(role)
        assert len(split) == info.counts[role]
        for i, (video, label) in enumerate(zip(split.video_ids, split.labels, strict=True)):
            sample = pickle.loads(pickle.dumps(split.sample(i)))
            assert (sample.video_id, sample.labels[0], copy.labels[video]) == (video, label, label)
            last = sample.frames() - 1
            frames = sample.read(np.array([last, 0, 3, 3]))
            assert numbers(frames) == [last, 0, 3, 3]
            assert frames.shape[1:] == (*sample.size_wh()[::-1], 3)


def kinetics(tmp_path: Path, **more: Any) -> Any:
    return parse_dataset({"name": "kinetics_400", "root": str(tmp_path / "copy"), **more})


@pytest.fixture
def small(tmp_path: Path) -> Path:
    fake_copies.kinetics(tmp_path / "copy", "flat", train=3, val=1, defects=False, classes=("a", "b"))
    return tmp_path


def test_no_root_and_no_annotations_enter_the_identity(small: Path) -> None:
    dumped = kinetics(small, annotations=str(small), copies=str(small)).model_dump(mode="json")
    assert str(small) not in str(dumped)
    assert dumped == parse_dataset(dumped).model_dump(mode="json")


def test_the_hash_is_of_the_copy_not_of_its_place(small: Path) -> None:
    known = prepare(kinetics(small), small / "data", workers=1).manifest_hash
    (small / "copy" / "train").rename(small / "copy" / "other_name")
    (small / "copy").rename(small / "moved")
    moved = parse_dataset({"name": "kinetics_400", "root": str(small / "moved")})
    assert prepare(moved, small / "data2", workers=1).manifest_hash == known
    assert prepare(moved.model_copy(update={"short_side": 32}), small / "data2").manifest_hash != known
    assert prepare(moved.model_copy(update={"held_out": 0.5}), small / "data2").manifest_hash != known
    victim = next((small / "moved" / "val").glob("*.mp4"))
    victim.unlink()
    lost = prepare(moved, small / "data2", workers=1)
    assert lost.manifest_hash != known
    assert lost.excluded == {"report": {victim.stem[:11]: "not found"}}


def test_a_profile_that_names_a_manifest_refuses_another_copy(small: Path) -> None:
    known = prepare(kinetics(small), small / "data", workers=1).manifest_hash
    assert open_dataset(kinetics(small, manifest=known[:12]), small / "data").info.manifest_hash == known
    with pytest.raises(UserError, match=rf"asks for the copy 0123456789ab, this one is {known[:12]}"):
        open_dataset(kinetics(small, manifest="0123456789ab"), small / "data")


def test_a_role_without_a_readable_video_is_refused(small: Path) -> None:
    """No number stands on no video: a role whose videos are all missing, and a share that takes none."""
    for path in (small / "copy" / "val").rglob("*.mp4"):
        path.unlink()
    verify_dataset(kinetics(small), small / "data", workers=1)
    dataset = open_dataset(kinetics(small), small / "data")
    with pytest.raises(UserError, match=r"no video plays report \(val\), 2 are missing or broken"):
        dataset.split("report")
    fake_copies.kinetics(small / "one", "flat", train=1, val=1, defects=False, classes=("a", "b"))
    spec = parse_dataset({"name": "kinetics_400", "root": str(small / "one")})
    prepare(spec, small / "data", workers=1)
    with pytest.raises(UserError, match=r"no video plays select .*`held_out: 0` does without"):
        open_dataset(spec, small / "data").split("select")


def test_a_video_that_changed_since_the_check_is_noticed_when_it_is_prepared(small: Path) -> None:
    before = prepare(kinetics(small), small / "data", workers=1)
    victim = next((small / "copy" / "train").glob("*.mp4"))
    victim.write_bytes(b"")
    after = prepare(kinetics(small), small / "data", workers=1)
    assert after.manifest_hash != before.manifest_hash
    assert sum(after.counts.values()) == sum(before.counts.values()) - 1


@pytest.mark.parametrize(
    ("decoder", "readers"), [("auto", {"decord"}), ("pyav", {"pyav"}), ("decord", {"decord"})]
)
def test_the_decoder_of_the_profile(small: Path, decoder: str, readers: set[str]) -> None:
    report = verify_dataset(kinetics(small, decoder=decoder), small / "data", workers=1)
    assert set(report.decoders) == readers


def test_auto_takes_decord_only_where_it_is_right(small: Path) -> None:
    victim = next((small / "copy" / "train").glob("*.mp4"))
    write_clip(
        victim, shown=range(100), options={"bf": "3", "g": "10", "x264-params": "open-gop=1:scenecut=0"}
    )
    report = verify_dataset(kinetics(small), small / "data", workers=1)
    assert report.decoders == {"decord": 7, "pyav": 1}
    dataset = open_dataset(kinetics(small), small / "data")
    samples = [
        dataset.split(role).sample(i) for role in dataset.info.counts for i in range(len(dataset.split(role)))
    ]
    long = next(sample for sample in samples if sample.frames() == 100)
    assert numbers(long.read(np.array([99, 1, 55, 81]))) == [99, 1, 55, 81]


def test_the_short_side_is_resized_when_it_is_read(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    resized = VideoSample("v", (0,), path, "pyav", 60, 25, (96, 64), short_side=128)
    assert resized.size_wh() == (192, 128)
    frames = resized.read(np.array([7, 9]))
    assert frames.shape == (2, 128, 192, 3)
    assert numbers(frames) == [7, 9]


def test_files_are_written_anew_and_then_win(small: Path) -> None:
    """A truncated and an avi file whose times lie; the record says how, the root stays as it was."""
    first, second = sorted((small / "copy" / "train").glob("*.mp4"))[:2]
    write_clip(first, shown=range(100), gop=10, container_options={"movflags": "faststart"})
    first.write_bytes(first.read_bytes()[: int(first.stat().st_size * 0.7)])
    second.unlink()
    write_clip(second.with_suffix(".avi"), "libx264", shown=range(40))
    report = verify_dataset(kinetics(small), small / "data", workers=1, reencode_to=small / "anew")
    assert len(report.short) == 1
    lines = (small / "anew" / "reencoded.jsonl").read_text().splitlines()
    assert len(lines) == 2
    spec = kinetics(small, copies=str(small / "anew"))
    again = verify_dataset(spec, small / "data", workers=1)
    assert (again.broken, again.short) == ({}, {})
    assert again.decoders == {"decord": 8}
    dataset = open_dataset(spec, small / "data")
    samples = [
        dataset.split(role).sample(i) for role in dataset.info.counts for i in range(len(dataset.split(role)))
    ]
    anew = {s.video_id: s for s in samples if s.path.is_relative_to(small / "anew")}
    assert anew[second.stem[:11]].frames() == 40
    for one in anew.values():
        places = np.arange(one.frames())[::-1]
        assert numbers(one.read(places)) == places.tolist()
    with pytest.raises(UserError, match="lies in the root"):
        verify_dataset(kinetics(small), small / "data", workers=1, reencode_to=small / "copy" / "anew")


def test_folders_of_frames_have_the_rate_that_the_profile_says(tmp_path: Path) -> None:
    copy = fake_copies.something_v1(tmp_path / "copy", defects=False)
    spec = parse_dataset({"name": "something_v1", "root": str(copy.root), "folder_fps": 12})
    prepare(spec, tmp_path / "data", workers=1)
    assert open_dataset(spec, tmp_path / "data").split("report").sample(0).fps() == 12


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_a_fake_copy(tmp_path: Path, workers: int) -> None:
    """The way of a trial: training batches twice the same, every test video once, several labels kept."""
    copy = fake_copies.activitynet(tmp_path / "copy")
    spec = parse_dataset({"name": "activitynet_1_3", "root": str(copy.root), "held_out": 0.25})
    prepare(spec, tmp_path / "data", workers=1)
    dataset = open_dataset(spec, tmp_path / "data")
    loading, rule = Loading(workers=workers), FrameRule(interval=2)
    train = dataset.split("train")
    assert train.multi_hot is not None
    assert train.multi_hot.sum(1).max() == 2
    made = [list(TrainBatches(train, 4, 2, rule, 48, 2, seed=3, loading=loading).epoch(1)) for _ in range(2)]
    assert len(made[0]) == len(train) // 2 > 0
    assert made[0][0].x_NUCTHW.shape == (2, 2, 3, 4, 48, 48)
    assert all(np.array_equal(a.x_NUCTHW, b.x_NUCTHW) for a, b in zip(*made, strict=True))
    report = TestBatches(dataset.split("report"), 4, 2, rule, 64, 3, 2, loading=loading)
    seen = {int(video) for batch in report for video in batch.videos}
    assert seen == set(range(len(dataset.split("report"))))


def test_what_the_harness_makes_has_no_copy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="made by the harness"):
        describe_dataset(parse_dataset({"name": "scripted_digits"}), tmp_path)


def test_sizes_are_known_without_a_copy() -> None:
    sizes = describe(parse_dataset({"name": "something_v1", "held_out": 0.1}))
    assert sizes is not None
    assert sizes.videos == {"train": 77_415, "select": 8_602, "report": 11_522}
    whole = describe(parse_dataset({"name": "kinetics_400", "held_out": 0}))
    assert whole is not None
    assert whole.videos == {"train": 246_534, "report": 19_906}
    assert class_names(parse_dataset({"name": "kinetics_400"})) == ()


def test_a_pinned_specification_carries_the_copy_into_the_identity(small: Path) -> None:
    spec = kinetics(small)
    info = prepare(spec, small / "data", workers=1)
    assert pinned(spec, small / "data").manifest == info.manifest_hash


@pytest.mark.parametrize("asked", [None, 12])
def test_a_plan_counts_the_checked_copy(small: Path, asked: int | None) -> None:
    """Published sizes would call a copy of ten classes days of work; a profile may say the hash's beginning."""
    info = prepare(kinetics(small), small / "data", workers=1)
    spec = kinetics(small, **({"manifest": info.manifest_hash[:asked]} if asked else {}))
    sizes = describe(pinned(spec, small / "data"))
    assert sizes is not None and describe(kinetics(small)) != sizes
    assert (sizes.videos, sizes.num_classes) == (info.counts, 2)
    assert (sizes.frames, sizes.fps, tuple(sizes.size_wh)) == (fake_copies.FRAMES, 25, (96, 64))

"""Batches: right pixels, right labels, and nothing that depends on history, workers, rank or where one begins."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import pickle
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.base.errors import UserError
from harness.data import Loading, Shard, TestBatches, TrainBatches, VideoError, test_places, train_places
from harness.data.augment import test_windows
from harness.data.dataset import Dataset, multi_hot
from harness.experiment.augment import Augment, RandomResized
from harness.experiment.sampling import FrameRule
from tests.data.synthetic import ArrayVideo, golden_split, make_split, mixed_split, noise

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "batches.json").read_text())
RULE = FrameRule(interval=2)
RESIZED = Augment(crop=RandomResized(kind="random_resized"), flip=True)
CROP = 20


def _digest(parts: list[object]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(np.ascontiguousarray(np.asarray(part)).tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.startswith("train")])
@pytest.mark.parametrize("workers", [0, 2])
def test_train_batches_are_those_of_the_shipped_records(name: str, workers: int) -> None:
    T, U, interval, crop_px, batch, seed, flip, epoch = (int(n) for n in name.split() if n.isdigit())
    batches = TrainBatches(
        golden_split(),
        T,
        U,
        FrameRule(interval=interval),
        crop_px,
        batch,
        seed,
        Augment(flip=bool(flip)),
        loading=Loading(workers=workers),
    )
    parts = [part for batch in batches.epoch(epoch) for part in (batch.x_NUCTHW, batch.labels, batch.videos)]
    assert _digest(parts) == GOLDEN[name]


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.startswith("test")])
def test_test_batches_are_those_of_the_shipped_records(name: str) -> None:
    T, U, interval, crop_px, crops, batch = map(int, name.split()[1:])
    batches = TestBatches(golden_split(), T, U, FrameRule(interval=interval), crop_px, crops, batch)
    parts = [
        part
        for batch in batches
        for crop, x_NUCTHW in enumerate(batch.crops)
        for part in (x_NUCTHW, batch.videos, np.int64(crop))
    ]
    assert _digest(parts) == GOLDEN[name]


def _train(**changes: object) -> TrainBatches:
    options = {
        "T": 2,
        "U": 3,
        "rule": RULE,
        "crop_px": CROP,
        "batch_videos": 4,
        "seed": 7,
        "augment": RESIZED,
    }
    split = changes.pop("split", None) or mixed_split()
    return TrainBatches(split, **(options | changes))


def _same(one: object, other: object) -> bool:
    return (
        torch.equal(one.x_NUCTHW, other.x_NUCTHW)
        and torch.equal(one.labels, other.labels)
        and (one.videos.tolist() == other.videos.tolist())
    )


def test_train_batches_have_the_contracts_layout() -> None:
    split = mixed_split()
    batches = list(_train(split=split, batch_videos=5).epoch(0))
    assert len(batches) == len(_train(batch_videos=5)) == 2  # 12 videos, the incomplete batch is left out
    for batch in batches:
        assert batch.x_NUCTHW.shape == (5, 3, 3, 2, CROP, CROP)
        assert batch.x_NUCTHW.dtype == torch.uint8 and batch.x_NUCTHW.is_contiguous()
        assert batch.labels.dtype == torch.int64 and batch.videos.dtype == np.int64
        assert batch.labels.tolist() == split.labels[batch.videos].tolist()
        assert batch.targets_NK is None and batch.boxes_NUTR4 is None
    assert len({int(v) for batch in batches for v in batch.videos}) == 10


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_depends_on_seed_epoch_and_video_alone(workers: int) -> None:
    used = _train(loading=Loading(workers=workers))
    for e in (0, 1):
        list(used.epoch(e))
    next(used.epoch(2))  # left in the middle
    for one, other in zip(used.epoch(3), _train().epoch(3), strict=True):
        assert _same(one, other)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_an_epoch_can_be_entered_at_any_step(workers: int, start: int) -> None:
    late = list(_train(loading=Loading(workers=workers)).epoch(5, start_step=start))
    whole = list(_train().epoch(5))
    assert len(late) == 3 - start
    assert all(_same(one, other) for one, other in zip(late, whole[start:], strict=True))


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_ranks_together_hold_what_one_process_holds(world_size: int) -> None:
    ranks = [list(_train(shard=Shard(rank, world_size)).epoch(1)) for rank in range(world_size)]
    for whole, *shares in zip(_train().epoch(1), *ranks, strict=True):
        assert torch.equal(whole.x_NUCTHW, torch.cat([share.x_NUCTHW for share in shares]))
        assert whole.videos.tolist() == [int(v) for share in shares for v in share.videos]


def test_epochs_and_seeds_differ() -> None:
    orders = [
        np.concatenate([batch.videos for batch in _train(seed=seed).epoch(e)]).tolist()
        for seed, e in [(7, 0), (7, 1), (8, 0)]
    ]
    assert orders[0] != orders[1] and orders[0] != orders[2]


def test_what_a_video_shows_does_not_depend_on_its_batch() -> None:
    shown = {}
    for batch_videos in (4, 6):
        for batch in _train(batch_videos=batch_videos).epoch(2):
            for x_UCTHW, video in zip(batch.x_NUCTHW, batch.videos, strict=True):
                assert torch.equal(shown.setdefault(int(video), x_UCTHW), x_UCTHW)


class _Threaded:
    """Garbage in a circle that must end where it was made, as a scaler with threads of its own."""

    def __init__(self, told: Path) -> None:
        self.told, self.itself = told, self

    def __del__(self) -> None:
        with self.told.open("a") as file:
            file.write(f"{os.getpid()}\n")


def test_a_worker_does_not_collect_what_its_parent_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even before it is ours: torch seeds a worker first, and allocates for that."""
    seed = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda number: (gc.collect(), seed(number))[1])
    gc.disable()
    try:
        _Threaded(tmp_path / "ended")
        list(_train(loading=Loading(workers=2)).epoch(0))
        assert not (tmp_path / "ended").exists()
    finally:
        gc.enable()
    gc.collect()
    assert (tmp_path / "ended").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_leaves_torchs_random_numbers_alone(workers: int) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    list(_train(loading=Loading(workers=workers)).epoch(0))
    assert torch.equal(torch.rand(2), expected)


def test_two_passes_at_once_are_refused() -> None:
    batches = _train()
    first = batches.epoch(0)
    next(first)
    next(batches.epoch(1))
    with pytest.raises(RuntimeError, match="another pass"):
        next(first)


def test_train_pixels_are_one_window_of_the_videos(tiny: Dataset) -> None:
    split = tiny.split("train")
    batch = next(TrainBatches(split, 4, 3, RULE, CROP, 6, seed=7).epoch(5))
    corners = set()
    for x_UCTHW, video in zip(batch.x_NUCTHW.numpy(), batch.videos, strict=True):
        sample = split.sample(int(video))
        rng = np.random.default_rng([7, 5, 1, int(video)])
        places_UT = train_places(sample.frames(), 4, 3, RULE, rng)
        frames_UTHWC = sample.read(places_UT.reshape(-1)).reshape(3, 4, 24, 32, 3)
        found = [
            (x, y)
            for y in range(24 - CROP + 1)
            for x in range(32 - CROP + 1)
            if np.array_equal(
                frames_UTHWC[:, :, y : y + CROP, x : x + CROP], x_UCTHW.transpose(0, 2, 3, 4, 1)
            )
        ]
        assert len(found) == 1
        corners.add(found[0])
    assert len(corners) > 1


def test_flips_mirror_some_videos_whole() -> None:
    plain = next(_train(batch_videos=12, augment=Augment()).epoch(0)).x_NUCTHW.numpy()
    flipped = next(_train(batch_videos=12, augment=Augment(flip=True)).epoch(0)).x_NUCTHW.numpy()
    mirrored = [np.array_equal(f, p[..., ::-1]) for p, f in zip(plain, flipped, strict=True)]
    same = [np.array_equal(f, p) for p, f in zip(plain, flipped, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 2 <= sum(mirrored) <= 10


DIRECTED = {"flip": "swap", "label_swaps": ((0, 3), (4, 5))}


def test_a_swapping_flip_swaps_the_labels_of_the_mirrored_alone() -> None:
    targets_VK = multi_hot([(i % 6, (i + 1) % 6) for i in range(12)], 6)
    split = mixed_split(**DIRECTED)
    split = make_split(list(split.opener.videos), multi_hot=targets_VK, **DIRECTED)
    swapped = next(_train(split=split, batch_videos=12, augment=Augment(flip="swap")).epoch(0))
    plain = next(_train(split=split, batch_videos=12, augment=Augment()).epoch(0))
    other = np.array([3, 1, 2, 0, 5, 4])
    seen = set()
    for n, video in enumerate(swapped.videos):
        mirrored = not torch.equal(swapped.x_NUCTHW[n], plain.x_NUCTHW[n])
        label = split.labels[video]
        assert swapped.labels[n] == (other[label] if mirrored else label)
        expected_K = targets_VK[video][other] if mirrored else targets_VK[video]
        assert swapped.targets_NK[n].tolist() == expected_K.tolist()
        seen.add(mirrored)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("info", "flip", "message"),
    [
        (DIRECTED, True, r"'class 0' and 'class 3'.*flip: swap"),
        ({"flip": "no"}, True, "a mirror changes; set flip: false"),
        ({"flip": "no"}, "swap", "a mirror changes"),
        ({}, "swap", "no classes .* mirror one another"),
    ],
)
def test_a_mirror_that_changes_classes_is_refused(info: dict, flip: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _train(split=mixed_split(**info), augment=Augment(flip=flip))


def _test(**changes: object) -> TestBatches:
    options = {"T": 2, "U": 4, "rule": RULE, "crop_px": 24, "crops": 3, "batch_videos": 5, "short_side": 28}
    split = changes.pop("split", None) or mixed_split()
    return TestBatches(split, **(options | changes))


@pytest.mark.parametrize("crops", [1, 3, 10])
def test_every_video_is_read_once_for_all_its_crops(crops: int) -> None:
    split = mixed_split()
    seen = []
    for batch in _test(split=split, crops=crops):
        assert len(batch.crops) == len(batch.mirrored) == crops
        assert all(x.shape == (len(batch.videos), 4, 3, 2, 24, 24) and x.is_contiguous() for x in batch.crops)
        seen += batch.videos.tolist()
    assert seen == list(range(12))
    assert [video.reads for video in split.opener.videos] == [[8]] * 12


def test_test_pixels_are_the_frames_windows(tiny: Dataset) -> None:
    split = tiny.split("report")
    batches = TestBatches(split, 4, 5, RULE, CROP, 3, batch_videos=4)
    for batch in batches:
        for x_NUCTHW, window in zip(batch.crops, test_windows((32, 24), CROP, 3), strict=True):
            for x_UCTHW, video in zip(x_NUCTHW.numpy(), batch.videos, strict=True):
                sample = split.sample(int(video))
                frames = sample.read(test_places(sample.frames(), 4, 5, RULE).reshape(-1))
                shown = frames.reshape(5, 4, 24, 32, 3)[
                    :, :, window.y : window.y + CROP, window.x : window.x + CROP
                ]
                assert np.array_equal(shown.transpose(0, 4, 1, 2, 3), x_UCTHW)
    assert len(list(batches)) == len(batches) == 3


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_the_ranks_test_every_video_once(workers: int, world_size: int) -> None:
    whole = {}
    for batch in _test():
        whole |= {int(v): [x[n] for x in batch.crops] for n, v in enumerate(batch.videos)}
    seen = []
    for rank in range(world_size):
        batches = _test(shard=Shard(rank, world_size), loading=Loading(workers=workers))
        found = list(batches)
        assert len(found) == len(batches)
        for batch in found:
            for n, video in enumerate(batch.videos):
                seen.append(int(video))
                assert all(torch.equal(x[n], w) for x, w in zip(batch.crops, whole[int(video)], strict=True))
    assert sorted(seen) == list(range(12))


def test_ten_crops_are_five_and_their_mirror_images() -> None:
    (batch,) = _test(crops=10, batch_videos=12)
    assert batch.mirrored == (False,) * 5 + (True,) * 5
    for plain, mirrored in zip(batch.crops[:5], batch.crops[5:], strict=True):
        assert torch.equal(plain.flip(-1), mirrored)
    with pytest.raises(UserError, match="10 crops: half of them are mirrored"):
        _test(split=mixed_split(flip="no"), crops=10)


@pytest.mark.parametrize("make", [_train, _test])
def test_cutting_on_a_device_is_cutting_in_the_workers(make: object) -> None:
    """On the CPU both take the same way; a GPU may differ by a grey level where it resizes."""
    there, here = make(loading=Loading(device="cpu", workers=1)), make()
    pairs = (
        zip(there.epoch(1), here.epoch(1), strict=True) if make is _train else zip(there, here, strict=True)
    )
    for one, other in pairs:
        ours, theirs = (one.crops, other.crops) if make is _test else ([one.x_NUCTHW], [other.x_NUCTHW])
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def _boxes(places: np.ndarray) -> np.ndarray:
    """The left upper quarter of a 40 x 30 frame, and a region that is absent."""
    return np.tile(np.array([[0, 0, 20, 15], [0, 0, 0, 0]], np.float32), (len(places), 1, 1))


def test_boxes_travel_beside_the_pixels() -> None:
    split = make_split([ArrayVideo(f"b{i}", (0,), noise(i, 9, 30, 40), boxes=_boxes) for i in range(3)])
    (batch,) = TestBatches(split, 2, 4, RULE, 20, 3, 3, short_side=60)  # 80 x 60, so twice as large
    left, centre, right = batch.boxes
    assert left.shape == (3, 4, 2, 2, 4)
    # The crops begin at (0, 20), (30, 20) and (60, 20); the box ends at (40, 30).
    assert left[0, 0, 0].tolist() == [[0, 0, 20, 10], [0, 0, 0, 0]]
    assert centre[0, 0, 0].tolist() == [[0, 0, 10, 10], [0, 0, 0, 0]]
    assert right[0, 0, 0, 0, 2] == 0
    train = next(TrainBatches(split, 2, 4, RULE, 20, 3, seed=0).epoch(0))
    assert train.boxes_NUTR4.shape == (3, 4, 2, 2, 4)


@dataclass(frozen=True)
class Spoilt:
    """Videos of which number 3 goes wrong."""

    videos: tuple[ArrayVideo, ...]
    how: str

    def __call__(self, i: int) -> object:
        return Wrong(self.videos[i], self.how) if i == 3 else self.videos[i]


@dataclass(frozen=True)
class Wrong:
    video: ArrayVideo
    how: str
    video_id = "m03"
    boxes = None

    def frames(self) -> int:
        return self.video.frames()

    def fps(self) -> float:
        return 0.0

    def size_wh(self) -> tuple[int, int]:
        return self.video.size_wh()

    def read(self, indices: np.ndarray) -> np.ndarray:
        if self.how == "broken":
            raise VideoError("somewhere/m03.mp4", "moov atom not found")
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "hangs":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as decord's endless loop does
            time.sleep(3600)
        return self.video.read(indices)[:, :-1]


def _spoilt(how: str, rule: FrameRule = RULE, **loading: object) -> TestBatches:
    videos = list(mixed_split().opener.videos)
    return _test(split=make_split(videos, Spoilt(tuple(videos), how)), rule=rule, loading=Loading(**loading))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_video_is_named_and_never_replaced(workers: int) -> None:
    with pytest.raises(VideoError, match=r"^somewhere/m03\.mp4: moov atom not found$"):
        list(_spoilt("broken", workers=workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_frames_of_another_size_than_the_manifest_says_are_refused(workers: int) -> None:
    with pytest.raises(
        UserError, match=r"video m03 of the train split: its frames are \(8, 35, 36, 3\), not"
    ):
        list(_spoilt("smaller", workers=workers))


def test_a_rate_that_nobody_knows_is_named() -> None:
    with pytest.raises(UserError, match=r"video m03 of the train split: sampling at 30 .* fps: null"):
        list(_spoilt("", FrameRule(interval=2, fps=30), workers=0))


def test_a_worker_that_hangs_is_ended_and_its_videos_named() -> None:
    batches = _spoilt("hangs", workers=1, timeout_s=3)
    started = time.monotonic()
    with pytest.raises(UserError, match=r"timed out .* m00, m01, m02, m03, m04.*harness data verify"):
        list(batches)
    assert time.monotonic() - started < 60
    assert not torch.multiprocessing.active_children()


def test_a_worker_that_is_killed_is_no_traceback() -> None:
    with pytest.raises(UserError, match=r"reading stopped .*m03.*memory ran out"):
        list(_spoilt("killed", workers=1))


def test_a_split_travels_to_another_process_without_its_pixels(tiny: Dataset) -> None:
    split = tiny.split("train")
    packed = pickle.dumps(split)
    assert len(packed) < 20_000 < split.sample(0).map.frames_FHW3.nbytes
    again = pickle.loads(packed)
    assert np.array_equal(again.sample(3).read(np.arange(5)), split.sample(3).read(np.arange(5)))


def test_impossible_batches_are_refused(tiny: Dataset) -> None:
    with pytest.raises(UserError, match=r"25 is larger .* 32 x 24 frame of video train_0_RR_000"):
        TrainBatches(tiny.split("train"), 4, 3, RULE, 25, 6, seed=0)
    with pytest.raises(UserError, match=r"37 is larger .* 40 x 30 frame of video m00"):
        _test(crop_px=37, short_side=None)
    with pytest.raises(UserError, match="short_side 23"):
        _test(short_side=23)
    with pytest.raises(UserError, match="short_side 19"):
        _train(augment=Augment(short_side=(19, 30)))
    with pytest.raises(UserError, match="only 12"):
        _train(batch_videos=13)
    with pytest.raises(UserError, match="4 videos cannot be shared by 3"):
        _train(shard=Shard(0, 3))


def test_workers_end_with_their_batches() -> None:
    batches = _train(loading=Loading(workers=2))
    next(batches.epoch(0))
    assert len(torch.multiprocessing.active_children()) == 2
    del batches
    assert not torch.multiprocessing.active_children()

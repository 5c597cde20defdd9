"""Batches: right pixels, right labels, and nothing that depends on history."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.base.errors import UserError
from harness.data import Dataset, TestBatches, TrainBatches, sampling

CROP = 20


def _train(tiny: Dataset, **changes: object) -> TrainBatches:
    options = {"T": 4, "U": 3, "interval": 2, "crop_px": CROP, "batch_videos": 6, "seed": 7} | changes
    return TrainBatches(tiny.split("train"), **options)


def test_train_batches_have_the_contracts_layout(tiny: Dataset) -> None:
    batches = list(_train(tiny).epoch(0))
    assert len(batches) == len(_train(tiny)) == 3  # 20 videos, the incomplete batch is left out
    for x_NUCTHW, labels, videos in batches:
        assert x_NUCTHW.shape == (6, 3, 3, 4, CROP, CROP)
        assert x_NUCTHW.dtype == torch.uint8 and x_NUCTHW.is_contiguous()
        assert labels.dtype == torch.int64
        assert labels.tolist() == tiny.split("train").labels[videos].tolist()
    assert len({int(v) for _, _, videos in batches for v in videos}) == 18


def test_an_epoch_does_not_depend_on_history(tiny: Dataset) -> None:
    used = _train(tiny)
    for e in range(3):
        list(used.epoch(e))
    for (x, y, v), (x_again, y_again, v_again) in zip(used.epoch(3), _train(tiny).epoch(3), strict=True):
        assert torch.equal(x, x_again) and torch.equal(y, y_again) and np.array_equal(v, v_again)


def test_epochs_and_seeds_differ(tiny: Dataset) -> None:
    orders = [
        np.concatenate([videos for _, _, videos in _train(tiny, seed=seed).epoch(e)]).tolist()
        for seed, e in [(7, 0), (7, 1), (8, 0)]
    ]
    assert orders[0] != orders[1] and orders[0] != orders[2]


def test_what_a_video_shows_does_not_depend_on_its_batch(tiny: Dataset) -> None:
    shown = {}
    for batch_videos in (6, 10):
        for x_NUCTHW, _, videos in _train(tiny, batch_videos=batch_videos).epoch(2):
            for x_UCTHW, video in zip(x_NUCTHW, videos, strict=True):
                assert torch.equal(shown.setdefault(int(video), x_UCTHW), x_UCTHW)


def test_train_pixels_are_one_window_of_the_cache(tiny: Dataset) -> None:
    split = tiny.split("train")
    x_NUCTHW, _, videos = next(_train(tiny).epoch(5))
    corners = set()
    for x_UCTHW, video in zip(x_NUCTHW.numpy(), videos, strict=True):
        rng = np.random.default_rng([7, 5, 1, int(video)])
        indices_UT = sampling.train_snippets(int(split.lengths[video]), 4, 3, 2, rng)
        x_UTHWC = x_UCTHW.transpose(0, 2, 3, 4, 1)
        frames_UTHWC = split.frames(int(video))[indices_UT]
        found = [
            (x, y)
            for y in range(24 - CROP + 1)
            for x in range(32 - CROP + 1)
            if np.array_equal(frames_UTHWC[:, :, y : y + CROP, x : x + CROP], x_UTHWC)
        ]
        assert len(found) == 1
        corners.add(found[0])
    assert len(corners) > 1


def test_flips_mirror_some_videos_whole(tiny: Dataset) -> None:
    plain = next(_train(tiny, batch_videos=20).epoch(0))[0].numpy()
    flipped = next(_train(tiny, batch_videos=20, horizontal_flip=True).epoch(0))[0].numpy()
    mirrored = [np.array_equal(f, p[..., ::-1]) for p, f in zip(plain, flipped, strict=True)]
    same = [np.array_equal(f, p) for p, f in zip(plain, flipped, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 3 <= sum(mirrored) <= 17


def test_test_batches_show_every_video_and_crop_once(tiny: Dataset) -> None:
    split = tiny.split("test")
    batches = TestBatches(split, 4, 5, 2, crop_px=CROP, crops=3, batch_videos=4)
    seen = []
    for x_NUCTHW, videos, crop in batches:
        assert x_NUCTHW.shape == (len(videos), 5, 3, 4, CROP, CROP)
        for x_UCTHW, video in zip(x_NUCTHW.numpy(), videos, strict=True):
            indices_UT = sampling.test_snippets(int(split.lengths[video]), 4, 5, 2)
            x, y = batches.corners[crop]
            window = split.frames(int(video))[indices_UT][:, :, y : y + CROP, x : x + CROP]
            assert np.array_equal(window.transpose(0, 4, 1, 2, 3), x_UCTHW)
            seen.append((int(video), crop))
    assert sorted(seen) == [(video, crop) for video in range(10) for crop in range(3)]
    assert len(list(batches)) == len(batches) == 9


def test_impossible_batches_are_refused(tiny: Dataset) -> None:
    with pytest.raises(UserError, match=r"25 is larger .* 32 x 24"):
        _train(tiny, crop_px=25)
    with pytest.raises(UserError, match="only 20"):
        _train(tiny, batch_videos=21)

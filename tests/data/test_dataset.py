"""Splits, factor accuracies and thumbnails."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from harness.base.errors import UserError
from harness.data import Dataset, contact_sheet_png, factor_accuracies, thumbnails


def test_splits_share_nothing(tiny: Dataset) -> None:
    ids = [set(tiny.split(name).video_ids) for name in ("train", "val", "test")]
    drawn = [set(tiny.split(name).table["drawn_sha256"]) for name in ("train", "val", "test")]
    for sets in (ids, drawn):
        assert [len(s) for s in sets] == [20, 10, 10]
        assert len(set.union(*sets)) == 40


def test_a_split_is_its_table(tiny: Dataset) -> None:
    split = tiny.split("train")
    assert len(split) == len(split.table) == len(split.video_ids) == 20
    assert np.bincount(split.labels).tolist() == [2] * 10
    for i in (0, 7, 19):
        assert split.frames(i).shape == (split.lengths[i], 24, 32, 3)
        row = tiny.class_table.loc[split.labels[i]]
        assert split.table.loc[i, ["actor", "script", "family"]].tolist() == [
            row.actor,
            row.script,
            row.family,
        ]


def test_an_unknown_split_is_refused(tiny: Dataset) -> None:
    with pytest.raises(UserError, match=r"no split 'tests' .did you mean 'test'.*train, val, test"):
        tiny.split("tests")


def _accuracies(tiny: Dataset, predicted: np.ndarray) -> dict[str, float]:
    scores_VK = np.eye(tiny.info.num_classes)[predicted]
    return factor_accuracies(scores_VK, tiny.split("test").table, tiny.class_table)


def test_factor_accuracies(tiny: Dataset) -> None:
    truth = tiny.split("test").labels
    assert _accuracies(tiny, truth) == dict.fromkeys(tiny.factor_names, 100.0)
    # The scripts of actor 0, then those of actor 4: five further is the same script of the other actor.
    other_actor = _accuracies(tiny, (truth + 5) % 10)
    assert other_actor == {
        "appearance": 0.0,
        "motion": 100.0,
        "order": 100.0,
        "position": 100.0,
    }
    order_blind = np.array([0, 1, 1, 3, 3, 5, 6, 6, 8, 8])[truth]
    assert _accuracies(tiny, order_blind) == {
        "appearance": 100.0,
        "motion": 100.0,
        "order": 50.0,
        "position": 50.0,
    }


def test_scores_of_other_videos_are_refused(tiny: Dataset) -> None:
    with pytest.raises(ValueError, match=r"scores \(9, 10\) for 10 videos"):
        factor_accuracies(np.zeros((9, 10)), tiny.split("test").table, tiny.class_table)


def test_thumbnails_run_from_first_to_last(tiny: Dataset) -> None:
    split = tiny.split("train")
    strip_nHW3 = thumbnails(split, 3, n=5)
    assert strip_nHW3.shape == (5, 24, 32, 3)
    assert np.array_equal(strip_nHW3[[0, -1]], split.frames(3)[[0, -1]])
    picture = np.asarray(Image.open(io.BytesIO(contact_sheet_png(split, 3, n=5))))
    assert np.array_equal(picture, np.concatenate(list(strip_nHW3), axis=1))

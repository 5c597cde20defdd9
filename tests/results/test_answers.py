"""Answers are those of the scores, wherever they are read from."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.base.errors import UserError
from harness.experiment.load import BASELINES
from harness.results import Store
from harness.results.answers import Answers, answers
from harness.results.predictions import answers_frame, predictions_frame, scores_from_predictions
from tests.factories import make_record
from tests.orchestrate import fakes

PLANNED = fakes.plan(0)[0]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    answers.cache_clear()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.write(make_record(PLANNED))
    return store


def _same(one: Answers, other: Answers) -> bool:
    return (
        one.videos == other.videos
        and np.array_equal(one.labels, other.labels)
        and np.array_equal(one.predicted, other.predicted)
    )


@given(
    scores=hnp.arrays(np.float32, (5, 2, 3), elements=st.integers(-3, 3)),
    labels=hnp.arrays(np.int64, 5, elements=st.integers(0, 2)),
    names=st.lists(st.text(min_size=1), min_size=5, max_size=5, unique=True),
)
def test_scores_come_back_and_answers_are_theirs(
    scores: np.ndarray, labels: np.ndarray, names: list[str]
) -> None:
    frame = predictions_frame(scores, labels, names)
    again, same_labels, same_names = scores_from_predictions(frame)
    np.testing.assert_array_equal(again, scores)
    assert (same_labels.tolist(), same_names) == (labels.tolist(), names)
    found = answers_frame(frame)
    assert found is not None
    assert found["video"].tolist() == sorted(names)
    for video, label, predicted in found.itertuples(index=False):
        place = names.index(video)
        mean = scores[place].mean(0)
        assert label == labels[place]
        assert predicted == int(np.flatnonzero(mean == mean.max())[0]), "ties go to the smaller class"


def test_a_records_answers_lie_in_a_small_file(store: Store) -> None:
    record = make_record(PLANNED)
    found = answers(store.root, PLANNED.id)
    assert found.right.mean() * 100 == pytest.approx(record.metrics["top1"])
    plain = pd.read_parquet(store.path("answers", PLANNED.id))
    assert plain.columns.tolist() == ["video", "label", "predicted"]
    assert plain["predicted"].tolist() == found.predicted.tolist()
    small, large = (store.path(part, PLANNED.id).stat().st_size for part in ("answers", "predictions"))
    assert small * 4 < large
    store.path("predictions", PLANNED.id).unlink()
    answers.cache_clear()
    assert _same(answers(str(store.root), PLANNED.id), found)


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_answers_are_made_from_the_scores_once_and_kept(store: Store, how: str) -> None:
    expected, path = answers(store.root, PLANNED.id), store.path("answers", PLANNED.id)
    path.unlink() if how == "gone" else path.write_bytes(b"torn")
    answers.cache_clear()
    assert _same(answers(store.root, PLANNED.id), expected)
    assert path.exists()
    store.path("predictions", PLANNED.id).unlink()
    answers.cache_clear()
    assert _same(answers(store.root, PLANNED.id), expected)


def test_shipped_answers_are_kept_in_the_cache_and_follow_the_scores(store: Store, tmp_path: Path) -> None:
    shipped = Store(tmp_path / "baselines" / "x")
    for part in ("trials", "predictions", "curves"):
        shutil.copytree(store.root / part, shipped.root / part)
    first = answers(shipped.root, PLANNED.id)
    assert _same(first, answers(store.root, PLANNED.id))
    assert not (shipped.root / "answers").exists()
    assert len(list((shipped.cache.root / "answers").iterdir())) == 1
    time.sleep(0.02)
    shipped.write(make_record(PLANNED, top1=20.0))
    shutil.rmtree(shipped.root / "answers")
    answers.cache_clear()
    assert answers(shipped.root, PLANNED.id).right.mean() < first.right.mean() - 0.3


def test_the_shipped_records_answer_as_they_scored() -> None:
    shipped = Store(BASELINES / "embedded")
    for trial_id in shipped.ids()[::40]:
        found = answers(shipped.root, trial_id)
        assert found.right.mean() * 100 == pytest.approx(shipped.record(trial_id).metrics["top1"])


def test_missing_scores_and_several_labels_are_told(store: Store) -> None:
    store.path("answers", PLANNED.id).unlink()
    frame = store.predictions(PLANNED.id)
    several = frame.assign(label=[[1, 2]] * len(frame))
    assert answers_frame(several) is None
    assert answers_frame(frame.iloc[:0]) is None
    assert answers_frame(frame.drop(columns="group")) is None
    several.to_parquet(store.path("predictions", PLANNED.id))
    with pytest.raises(UserError, match="no record of this project"):
        answers(store.root, PLANNED.id)
    store.path("predictions", PLANNED.id).unlink()
    with pytest.raises(UserError, match=r"predictions/.*is missing.*harness run"):
        answers(store.root, PLANNED.id)

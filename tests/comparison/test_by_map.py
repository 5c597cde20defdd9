"""Methods of a dataset with several labels a video are compared by mAP, the videos drawn again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from harness.base.errors import UserError
from harness.comparison import Method, compare_methods, document, method_of_trials
from harness.comparison.words import as_data, verdict_sentence
from harness.reports.words import cautions
from harness.results import Store, load
from harness.results.average_precision import mean_average_precision
from harness.results.metrics import Truth, score_metrics
from harness.results.predictions import predictions_frame, targets_from_predictions
from harness.statistics.paired import compare_by
from tests.comparison.conftest import DSA, SEEDS, TSN, V4D, planned_row
from tests.factories import make_record

V, K = 120, 6
TARGETS_VK = np.random.default_rng(0).random((V, K)) < 0.25
TARGETS_VK[np.arange(V), np.arange(V) % K] = True


def _scores(skill: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, int(100 * skill)])
    return (TARGETS_VK * skill + rng.normal(0, 1, (V, K))).astype(np.float32)[:, None]


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Method]:
    root = tmp_path_factory.mktemp("map")
    store = Store(root)
    for row, skill in ((DSA, 1.6), (V4D, 0.6), (TSN, 1.6)):
        for planned in planned_row(row, SEEDS):
            scores_VGK = _scores(skill + (0.01 if row == TSN else 0.0), planned.seed)
            labels, ids = np.arange(V) % K, [f"test/{v:03d}" for v in range(V)]
            truth = Truth(labels, TARGETS_VK.astype(np.float32))
            record = dataclasses.replace(
                make_record(planned),
                metrics=score_metrics(scores_VGK.mean(1), truth),
                predictions=predictions_frame(scores_VGK, labels, ids, truth.targets),
            )
            store.write(record, planned)
    frame = load(root)
    return {
        row: method_of_trials(planned_row(row, SEEDS), frame, row, f"ablation_a:{row}")
        for row in (DSA, V4D, TSN)
    }


def test_the_labels_come_back_whatever_the_order(methods: dict[str, Method]) -> None:
    scores_VK, targets_VK, videos = methods[DSA].scores(SEEDS[0])
    assert np.array_equal(targets_VK, TARGETS_VK) and list(videos) == sorted(videos)
    assert np.array_equal(scores_VK, _scores(1.6, SEEDS[0]).mean(1).astype(float))
    one_label = predictions_frame(_scores(1, 0), np.zeros(V, int), [str(v) for v in range(V)])
    assert targets_from_predictions(one_label) is None


def test_the_better_ranking_wins_by_map(methods: dict[str, Method]) -> None:
    (versus,) = compare_methods([methods[DSA]], methods[V4D], "embedded").versus
    assert versus.result is not None and versus.result.metric == "mAP"
    assert versus.verdict == "better" and "points of mAP" in verdict_sentence(versus)
    expected = [methods[DSA].lines.at[s, "map"] - methods[V4D].lines.at[s, "map"] for s in versus.seeds]
    assert versus.result.difference == pytest.approx(np.mean(expected))
    assert versus.result.smallest_detectable is not None and versus.classes == versus.flips == ()


def test_its_report_reads_whole(methods: dict[str, Method]) -> None:
    report = compare_methods([methods[DSA], methods[TSN]], methods[V4D], "embedded")
    headings = [section.heading for section in document(report).sections]
    assert not any("Second opinion" in heading for heading in headings)
    data = as_data(report)
    assert {line["metric"] for line in data["comparisons"]} == {"mAP"}
    assert all(line["mcnemar"] == [] for line in data["comparisons"])


def test_an_average_of_rows_has_the_map_of_the_mean_scores(methods: dict[str, Method]) -> None:
    average = Method.average("both", [methods[DSA], methods[TSN]])
    expected = [
        mean_average_precision((_scores(1.6, s) + _scores(1.61, s)).mean(1), TARGETS_VK) for s in SEEDS
    ]
    assert average.values("map") == pytest.approx(expected)
    (versus,) = compare_methods([average], methods[V4D], "embedded").versus
    assert versus.result is not None and versus.result.metric == "mAP" and versus.verdict == "better"


def test_equal_rankings_have_no_difference() -> None:
    found = compare_by("mAP", lambda videos: np.zeros(3), 50)
    assert (found.difference, found.p_value, found.identical) == (0.0, None, True)
    assert found.verdict == "no difference" and "Both rank the videos alike" in " ".join(cautions(found))
    assert compare_by("mAP", lambda videos: np.zeros(3), 1).verdict == "one video"


def test_a_record_without_all_its_labels_is_refused(tmp_path: Path) -> None:
    (planned,) = planned_row(DSA, (0,))
    Store(tmp_path).write(make_record(planned), planned)
    old = method_of_trials([planned], load(tmp_path), DSA, DSA)
    with pytest.raises(UserError, match="before several labels a video were kept"):
        old.scores(0)

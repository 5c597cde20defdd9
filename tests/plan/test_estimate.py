"""What a plan is said to take: from measured trials, scaled, calibrated; and how it is held against what happened."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from harness.base.errors import UserError
from harness.experiment.load import load_experiment, load_profile
from harness.experiment.spec import Trial
from harness.orchestrate import Outcome
from harness.plan import calibrate, cores, estimate
from harness.plan.estimate import PROCESS_SECONDS, RAY_SECONDS, Range
from harness.plan.expand import Planned, plan_trials
from harness.plan.history import error_percent, note_run, past_runs
from harness.plan.work import passes_of, work_of
from harness.results import Store, load
from tests.factories import make_record
from tests.orchestrate import fakes


def _records(tmp_path: Path, planned: list[Planned], seconds: list[float]) -> pd.DataFrame:
    store = Store(tmp_path / "runs")
    for one, wall in zip(planned, seconds, strict=True):
        store.write(make_record(one, wall_seconds=wall), one)
    return load(store.root)


@pytest.fixture
def two_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "available_cores", lambda: 2)


@pytest.mark.usefixtures("two_slots")
def test_measured_trials_of_the_like_decide(tmp_path: Path) -> None:
    records = _records(tmp_path, fakes.plan(0, 1, 2), [50.0, 60.0, 100.0])
    found = estimate.estimate(fakes.plan(3, 4), fakes.profile(), records)
    assert found.basis == {"measured": 2, "scaled": 0, "calibrated": 0, "unknown": 0}
    waits = PROCESS_SECONDS * 2 / 2 + RAY_SECONDS
    assert found.wall_seconds == Range(50.0 + waits, 60.0 + waits, 100.0 + waits)
    assert found.cpu_hours is not None
    assert found.cpu_hours.middle == pytest.approx(2 * 60 / 3600)
    assert found.gpu_hours is None


@pytest.mark.usefixtures("two_slots")
def test_other_networks_are_scaled_by_their_multiply_adds(tmp_path: Path) -> None:
    measured = fakes.plan(0)
    records = _records(tmp_path, measured, [60.0])
    other = next(
        p
        for p in plan_trials(load_experiment("ablation_a"), load_profile("embedded"), [0])
        if p.row == "I3D 4x1"
    )
    total, basis = estimate.trial_seconds([other.trial], records)
    macs = float(records["cost_macs_per_view"][0])
    ratio = (work_of(other.trial) or math.nan) / (work_of(measured[0].trial, macs) or math.nan)
    assert basis["scaled"] == 1
    assert total is not None
    assert total.middle == pytest.approx(60.0 * ratio)


def test_one_snippet_is_less_work_than_four() -> None:
    rows = {p.row: p.trial for p in plan_trials(load_experiment("ablation_a"), load_profile("embedded"), [0])}
    assert (work_of(rows["I3D 4x1"]) or math.nan) < 0.5 * (work_of(rows["DSA+I3D 4x4"]) or math.nan)


def test_after_the_budget_the_rest_is_scaled_from_what_was_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[str] = []

    def calibrated(trial: Trial) -> float:
        timed.append(trial.network.aggregation)
        return 100.0

    monkeypatch.setattr(estimate, "calibrated_seconds", calibrated)
    monkeypatch.setattr(estimate, "CALIBRATION_SECONDS", 0.0)
    rows = {p.row: p.trial for p in plan_trials(load_experiment("ablation_a"), load_profile("embedded"), [0])}
    trials = [rows["DSA+I3D 4x4"], rows["V4D+I3D 4x4"]]
    total, basis = estimate.trial_seconds(trials, pd.DataFrame())
    assert timed == ["dsa"]
    assert basis["calibrated"] == 2
    assert total is not None
    assert total.middle == pytest.approx(100.0 * (1 + (work_of(trials[1]) or 0) / (work_of(trials[0]) or 1)))


def test_nothing_measured_is_calibrated_with_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "calibrated_seconds", lambda trial: 100.0)
    total, basis = estimate.trial_seconds([p.trial for p in fakes.plan(0, 1)], pd.DataFrame())
    assert basis == {"measured": 0, "scaled": 0, "calibrated": 2, "unknown": 0}
    assert total == Range(120.0, 200.0, 360.0)


def test_what_cannot_be_calibrated_is_unknown_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "calibrated_seconds", lambda trial: None)
    found = estimate.estimate(fakes.plan(0), fakes.profile(), pd.DataFrame())
    assert (found.wall_seconds, found.cpu_hours, found.basis["unknown"]) == (None, None, 1)


def test_calibration_times_the_real_network() -> None:
    trial = fakes.plan(0)[0].trial
    small = trial.model_copy(update={"recipe": trial.recipe.model_copy(update={"batch_videos": 2})})
    seconds = calibrate.calibrated_seconds(small)
    assert seconds is not None
    assert 1.0 < seconds < 3600.0


def test_work_counts_training_validation_and_test_snippets() -> None:
    trial = fakes.plan(0)[0].trial
    passes = passes_of(trial)
    assert passes is not None
    videos = trial.dataset["videos_per_class"]
    classes = len(trial.dataset["actors"]) * len(trial.dataset["scripts"])
    assert passes.train == classes * videos["train"] * trial.train.U * trial.recipe.epochs
    validation = classes * videos["val"] * trial.train.U * trial.recipe.epochs
    assert passes.test == classes * videos["test"] * trial.test.U * trial.test.crops + validation


def test_a_run_is_noted_before_and_after(tmp_path: Path) -> None:
    store = Store(tmp_path)
    expected = estimate.Estimate(3, 2, Range(80.0, 100.0, 150.0), None, None, 900.0, 1.0, {})
    note = note_run(store, ["ablation_a", "ablation_b"], "embedded", expected)
    (killed,) = past_runs(store)
    assert killed.get("actual_seconds") is None
    note.finish(Outcome(["a", "b"], {"c": "why"}, [], False, 80.0))
    (run,) = past_runs(store)
    assert (run["done"], run["failed"], run["experiments"]) == (2, 1, "ablation_a ablation_b")
    assert error_percent(run) == pytest.approx(25.0)
    note.finish(Outcome([], {}, ["a"], True, 10.0))
    assert error_percent(past_runs(store)[0]) is None, "an interrupted run says nothing about its estimate"


def test_a_store_that_is_a_file_cannot_be_noted(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    expected = estimate.Estimate(0, 1, None, None, None, 0.0, 0.0, {})
    with pytest.raises(UserError, match="cannot be written"):
        note_run(Store(tmp_path / "runs"), [], "embedded", expected)


@pytest.mark.parametrize(
    ("content", "expected"), [("max 100000", 4), ("200000 100000", 2), ("50000 100000", 1)]
)
def test_a_containers_quota_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: int
) -> None:
    (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(cores, "CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    assert cores.available_cores() == expected

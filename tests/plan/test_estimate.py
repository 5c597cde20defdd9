"""What a plan is said to take: from measured trials, scaled, calibrated; and how it is held against what happened."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.base.errors import UserError
from harness.experiment.datasets import ScriptedDigits
from harness.experiment.datasets_published import Kinetics400
from harness.experiment.load import load_experiment, load_profile
from harness.experiment.spec import Trial
from harness.orchestrate import Outcome
from harness.plan import counts, estimate
from harness.plan.counts import counted, macs_per_snippet, passes_of
from harness.plan.estimate import PROCESS_SECONDS, RAY_SECONDS, Range
from harness.plan.expand import Planned, plan_trials
from harness.plan.history import error_percent, note_run, past_runs
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


def _rows() -> dict[str, Trial]:
    """Table (a) at the embedded scale: row -> trial."""
    return {p.row: p.trial for p in plan_trials(load_experiment("ablation_a"), load_profile("embedded"), [0])}


def _work(trial: Trial) -> float:
    passes = passes_of(trial)
    assert passes is not None
    return passes.forward_equivalents * macs_per_snippet(trial)


@pytest.mark.usefixtures("two_slots")
def test_other_networks_are_scaled_by_their_multiply_adds(tmp_path: Path) -> None:
    measured, other = fakes.plan(0), _rows()["I3D 4x1"]
    records = _records(tmp_path, measured, [60.0])
    total, basis = estimate.trial_seconds([other], records)
    passes = passes_of(measured[0].trial)
    assert passes is not None
    work = passes.forward_equivalents * float(records["cost_macs_per_view"][0]) / measured[0].trial.train.U
    assert basis["scaled"] == 1
    assert total is not None
    assert total.middle == pytest.approx(60.0 * _work(other) / work)


def test_one_snippet_is_less_work_than_four() -> None:
    rows = _rows()
    assert _work(rows["I3D 4x1"]) < 0.5 * _work(rows["DSA+I3D 4x4"])


def test_after_the_budget_the_rest_is_scaled_from_what_was_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[str] = []

    def calibrated(trial: Trial) -> float:
        timed.append(trial.network.aggregation.name if trial.network.aggregation else "average")
        return 100.0

    monkeypatch.setattr(estimate, "calibrated_seconds", calibrated)
    monkeypatch.setattr(estimate, "CALIBRATION_SECONDS", 0.0)
    trials = [_rows()["DSA+I3D 4x4"], _rows()["V4D+I3D 4x4"]]
    total, basis = estimate.trial_seconds(trials, pd.DataFrame())
    assert timed == ["dsa"]
    assert basis["calibrated"] == 2
    assert total is not None
    assert total.middle == pytest.approx(100.0 * (1 + _work(trials[1]) / _work(trials[0])))


def test_counting_has_a_budget_then_the_like_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of hundreds of networks: those that were not counted take the middle of those that were."""
    asked: list[int] = []

    def slow(trial: Trial) -> float:
        asked.append(trial.train.T)
        return 1e6

    monkeypatch.setattr(estimate, "macs_per_snippet", slow)
    monkeypatch.setattr("harness.plan.estimate.time.monotonic", lambda: 0.02 * len(asked))
    monkeypatch.setattr(estimate, "calibrated_seconds", lambda trial: 10.0)
    monkeypatch.setattr(estimate, "COUNT_SECONDS", 0.03)
    one = fakes.plan(0)[0].trial
    recipes = [one.recipe.model_copy(update={"lr": 0.001 * (1 + i)}) for i in range(20)]
    total, basis = estimate.trial_seconds(
        [one.model_copy(update={"recipe": recipe}) for recipe in recipes], pd.DataFrame()
    )
    assert len(asked) == 2
    assert basis["calibrated"] == 20
    assert total is not None and total.middle == pytest.approx(200.0)


RAISES = """
from torch import nn
from harness.models import register_aggregation
@register_aggregation("test_estimate_raises")
class Raises(nn.Module):
    def __init__(self, channels, U):
        super().__init__()
    def forward(self, x_NUCTHW):
        raise RuntimeError("not for long")
"""


def test_a_network_that_raises_is_unknown_and_the_others_are_still_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "calibrated_seconds", lambda trial: 100.0)
    (tmp_path / "raises.py").write_text(RAISES)
    experiment, profile = load_experiment("ablation_a"), load_profile("embedded")
    dsa = experiment.rows[-1]
    bad = dsa.model_copy(
        update={
            "name": "bad",
            "aggregation": dsa.aggregation.model_copy(update={"name": "test_estimate_raises", "options": {}}),
        }
    )
    both = experiment.model_copy(update={"rows": (dsa, bad)})
    planned = plan_trials(both, profile, [0], variants=[tmp_path / "raises.py"])
    found = estimate.estimate(planned, profile, pd.DataFrame())
    assert found.basis == {"measured": 0, "scaled": 0, "calibrated": 1, "unknown": 1}
    assert found.cpu_hours is not None
    assert found.cpu_hours.middle == pytest.approx(100 / 3600)


def test_a_record_whose_config_nobody_can_read_is_no_evidence_and_no_error(tmp_path: Path) -> None:
    """An older or foreign config made `plan` end in a traceback."""
    records = _records(tmp_path, fakes.plan(0), [60.0])
    records["config"] = '{"network": "of another harness"}'
    total, basis = estimate.trial_seconds([fakes.plan(1)[0].trial], records)
    assert (basis["measured"], total) == (1, Range(60.0, 60.0, 60.0)), "its name is enough"
    _, basis = estimate.trial_seconds([_rows()["I3D 4x1"]], records)
    assert basis["scaled"] == 0


def test_counts_are_kept_on_disk_by_what_they_depend_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    trial, made = _rows()["I3D 4x1"], []
    from harness.models import cost

    whole = cost.model_cost
    monkeypatch.setattr(cost, "model_cost", lambda *a, **k: made.append(1) or whole(*a, **k))
    sizes = {"T": 4, "U": 1, "crop_px": 32}
    first = counted(trial.network, classes=20, **sizes)
    assert counted(trial.network, classes=20, **sizes) == first and len(made) == 1
    assert counted(trial.network, classes=21, **sizes)["params"] > first["params"]
    monkeypatch.setattr(counts, "source_hash", lambda *parts: "the models' source has changed")
    assert counted(trial.network, classes=20, **sizes) == first and len(made) == 3


def test_nothing_measured_is_calibrated_with_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "calibrated_seconds", lambda trial: 100.0)
    total, basis = estimate.trial_seconds([p.trial for p in fakes.plan(0, 1)], pd.DataFrame())
    assert basis == {"measured": 0, "scaled": 0, "calibrated": 2, "unknown": 0}
    assert total == Range(120.0, 200.0, 360.0)


def test_what_cannot_be_calibrated_is_unknown_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "calibrated_seconds", lambda trial: None)
    found = estimate.estimate(fakes.plan(0), fakes.profile(), pd.DataFrame())
    assert (found.wall_seconds, found.cpu_hours, found.basis["unknown"]) == (None, None, 1)
    assert found.memory_mb is None, "small networks' records say nothing of this one"


def test_calibration_times_the_real_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two timed steps of one second each: the trial's passes in units of a step's, times one second."""
    trial = fakes.plan(0)[0].trial
    small = trial.model_copy(update={"recipe": trial.recipe.model_copy(update={"batch_videos": 2})})
    ticks = iter(range(100))
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: float(next(ticks)))
    passes = passes_of(small)
    assert passes is not None
    steps = (passes.train + passes.test / 3) / (2 * small.train.U)
    assert estimate.calibrated_seconds(small) == pytest.approx(steps)


def test_a_network_too_large_for_a_short_calibration_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "SLOWEST_MACS_A_SECOND", 1.0)
    assert estimate.calibrated_seconds(fakes.plan(0)[0].trial) is None


def test_work_counts_training_validation_and_test_snippets() -> None:
    trial = fakes.plan(0)[0].trial
    passes = passes_of(trial)
    assert passes is not None
    assert isinstance(trial.dataset, ScriptedDigits)
    videos = trial.dataset.videos_per_class
    classes = len(trial.dataset.actors) * len(trial.dataset.scripts)
    assert passes.train == classes * videos.train * trial.train.U * trial.recipe.epochs
    validation = classes * videos.val * trial.train.U * trial.recipe.epochs
    assert passes.test == classes * videos.test * trial.test.U * trial.test.crops + validation


def test_nothing_held_out_is_counted_as_well() -> None:
    trial = _rows()["I3D 4x1"].model_copy(update={"dataset": Kinetics400(held_out=0)})
    passes = passes_of(trial)
    assert passes is not None
    assert passes.train == 246_534 * trial.train.U * trial.recipe.epochs


def test_disk_is_for_the_scores_of_every_test_video_and_the_checkpoints() -> None:
    """Kinetics: 19,906 videos of 400 classes a view group; a network of 24 million parameters with Adam's moments."""
    planned = plan_trials(load_experiment("kinetics_400"), load_profile("kinetics_400"), [0])
    (tsm,) = (p for p in planned if p.row == "TSM")
    found = estimate.estimate([tsm], load_profile("kinetics_400"), pd.DataFrame())
    groups = len(counts.groups_of(tsm.trial))
    assert 19_906 * 400 * groups * 1e-6 < found.disk_mb - 24e6 * 12 / 2**20 < 19_906 * 400 * groups * 2e-6


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
    monkeypatch.setattr(estimate, "CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(estimate.os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    assert estimate.available_cores() == expected

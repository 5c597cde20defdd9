"""The table as data: numbers, intervals, trials, and why a cell is empty."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.base.errors import UserError
from harness.experiment import Profile, load_experiment
from harness.plan.expand import plan_trials
from harness.reports import Table, build_table
from harness.results import Store, load
from tests.factories import make_record


@pytest.fixture(scope="module")
def table_a(profile: Profile, frame: pd.DataFrame) -> Table:
    return build_table(load_experiment("ablation_a"), profile, frame)


@pytest.fixture(scope="module")
def table_e(profile: Profile, frame: pd.DataFrame) -> Table:
    return build_table(load_experiment("ablation_e"), profile, frame)


def test_a_cell_is_the_mean_of_its_trials_with_students_interval(table_a: Table, frame: pd.DataFrame) -> None:
    cell = table_a.cell("DSA+I3D 4x4", "top1")
    values = frame.set_index("id").loc[list(cell.trial_ids), "top1"].to_numpy(float)
    half = stats.t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
    assert cell.n == 3 and cell.value == pytest.approx(values.mean())
    assert cell.interval == pytest.approx((values.mean() - half, values.mean() + half))
    assert cell.text == f"{values.mean():.1f} ± {half:.1f}"


def test_papers_numbers_stand_in_columns_of_their_own(table_a: Table) -> None:
    for column in table_a.columns:
        is_paper = column.key.startswith("paper_")
        assert (column.group == "paper") == (column.source == "paper") == is_paper
        assert all((line.cells[column.key].source == "paper") == is_paper for line in table_a.rows)
    assert table_a.cell("DSA+I3D 4x4", "paper_top1").value == 77.3
    assert table_a.cell("DSA+I3D 4x4", "paper_infer").text == "4×8×3"
    assert table_a.cell("DSA+I3D 4x4", "infer").text == "4×8×1"  # ours as run, by the profile


def test_caption_says_what_was_run(table_a: Table) -> None:
    said = ("Scripted Digits", "synthetic", "width 8", "48×48 px", "adamw", "3 seeds", "Student t", "0123456")
    for part in (*said, "2026-11-01", "multiply-adds (MACs)"):
        assert part in table_a.caption


def test_notes_say_what_is_not_the_papers(table_a: Table) -> None:
    notes = " ".join(table_a.notes)
    for part in (
        "ship with the project",
        "Mini-Kinetics-200",
        "Never subtracted",
        "Deviation: synthetic",
        "70 %",
    ):
        assert part in notes
    assert "Test views are the profile's for all rows" in notes


def test_signature_names_every_field(table_a: Table) -> None:
    for part in (
        "dataset scripted_digits@5ca1ab1e",
        "crop 48 px",
        "decoder decord 0.6.0",
        "recipe ",
        "views by row",
    ):
        assert part in table_a.signature


def test_reading_is_made_from_the_records(table_a: Table) -> None:
    assert "of 10 pairs of rows are resolved" in table_a.reading
    assert "9 of the paper's 10 differences point the same way" in table_a.reading
    assert "5,000 test videos" in table_a.reading
    assert any("DSA+I3D 4x4 over I3D 4x1 by" in note for note in table_a.notes)


def test_cost_at_the_papers_scale_is_the_papers(table_a: Table) -> None:
    assert table_a.cell("V4D+I3D 4x4", "full_params").value == pytest.approx(33.0706, abs=1e-4)
    assert table_a.cell("I3D 4x1", "full_gmacs").value == pytest.approx(13.7481, rel=5e-4)


def test_a_row_that_was_not_run_says_so(table_e: Table) -> None:
    cell = table_e.cell("beta 1/2", "top1")
    assert (cell.value, cell.text, cell.why_empty) == (None, "not run", "not run")
    assert table_e.cell("beta 1/2", "n").text == "0 of 3"
    assert any("Not run yet: beta 1/2 (`harness run ablation_e" in note for note in table_e.notes)


def test_a_failed_seed_is_named_with_its_reason(table_e: Table) -> None:
    assert table_e.cell("beta 1/4", "n").text == "2 of 3"
    assert "beta 1/4, seed 1: failed: diverged: loss is not a number at step 12." in table_e.notes


def test_a_row_of_failures_is_empty_with_the_reason(profile: Profile, frame: pd.DataFrame) -> None:
    cell = build_table(load_experiment("ablation_e"), profile, frame, seeds=[1]).cell("beta 1/4", "top1")
    assert cell.text == "failed"
    assert cell.why_empty == "failed: diverged: loss is not a number at step 12"


def test_numbers_the_paper_does_not_print_are_empty(profile: Profile, frame: pd.DataFrame) -> None:
    table = build_table(load_experiment("ablation_h"), profile, frame)
    assert table.cell("SENet+I3D R18", "paper_infer").why_empty == "the paper does not print it"
    assert "paper_top5" not in {c.key for c in table.columns}


def test_one_seed_has_no_interval(profile: Profile, frame: pd.DataFrame) -> None:
    table = build_table(load_experiment("ablation_a"), profile, frame, seeds=[0])
    cell = table.cell("TSN+I3D 4x4", "top1")
    assert cell.interval is None and cell.text.endswith("(1 seed)")
    assert "1 seed a row: no interval" in table.caption


def test_without_records_every_row_waits(profile: Profile, tmp_path: Path) -> None:
    table = build_table(load_experiment("ablation_a"), profile, load(tmp_path))
    assert {line.cells["top1"].text for line in table.rows} == {"not run"}
    assert table.cell("DSA+I3D 4x4", "paper_top1").value == 77.3
    assert table.cell("DSA+I3D 4x4", "n").text == f"0 of {profile.seeds}"
    assert table.reading == "" and table.signature == ""


def test_records_of_another_dataset_do_not_enter_the_column(
    profile: Profile, root: Path, tmp_path: Path
) -> None:
    experiment = load_experiment("ablation_a")
    mine = Store(tmp_path / "runs")
    for planned in plan_trials(experiment, profile, (0, 1, 2)):
        if planned.row == "TSN+I3D 4x4":
            mine.write(make_record(planned, 99.0, dataset_manifest="f00d000000000000"), planned)
    table = build_table(experiment, profile, load(mine.root, root))
    cell = table.cell("TSN+I3D 4x4", "top1")
    assert cell.value is None and cell.text == "not comparable"
    assert "dataset manifest f00d00000000 instead of 5ca1ab1e0000" in (
        cell.why_empty or ""
    )


def test_own_runs_take_precedence_and_are_marked(profile: Profile, root: Path, tmp_path: Path) -> None:
    experiment = load_experiment("ablation_a")
    mine = Store(tmp_path / "runs")
    planned = next(p for p in plan_trials(experiment, profile, (0,)) if p.row == "TSN+I3D 4x4")
    mine.write(make_record(planned, 40.0, seed_sd=0), planned)
    table = build_table(experiment, profile, load(mine.root, root), seeds=[0])
    assert table.cell("TSN+I3D 4x4", "top1").value == pytest.approx(40.0, abs=0.2)
    assert table.cell("TSN+I3D 4x4", "origin").text == "yours"
    assert table.cell("DSA+I3D 4x4", "origin").text == "shipped"
    assert any(note.startswith("Column 'records'") for note in table.notes)


def test_a_damaged_record_is_an_empty_cell(profile: Profile, tmp_path: Path) -> None:
    experiment = load_experiment("ablation_a")
    store = Store(tmp_path / "runs")
    planned = plan_trials(experiment, profile, (0,))[0]
    store.write(make_record(planned), planned)
    store.path("trials", planned.id).write_bytes(b"no parquet")
    with pytest.warns(UserWarning, match="damaged"):
        records = load(store.root)
    cell = build_table(experiment, profile, records, seeds=[0]).cell(planned.row, "top1")
    assert cell.value is None and "damaged" in (cell.why_empty or "")


def test_damaged_scores_cost_the_reading_and_not_the_table(profile: Profile, tmp_path: Path) -> None:
    experiment = load_experiment("ablation_a")
    store = Store(tmp_path / "runs")
    planned = plan_trials(experiment, profile, (0,))[0]
    store.write(make_record(planned), planned)
    store.path("predictions", planned.id).write_bytes(b"no parquet")
    store.path("answers", planned.id).unlink()
    table = build_table(experiment, profile, load(store.root), seeds=[0])
    assert table.cell(planned.row, "top1").value is not None
    assert table.reading.startswith("Not possible:") and f"{planned.id}.parquet" in table.reading


def test_seeds_in_the_records_are_found_without_being_named(profile: Profile, frame: pd.DataFrame) -> None:
    few = profile.model_copy(update={"seeds": 1})
    assert build_table(load_experiment("ablation_a"), few, frame).cell("I3D 4x1", "n").n == 3


def test_an_unknown_paper_table_is_refused(profile: Profile, frame: pd.DataFrame) -> None:
    experiment = load_experiment("ablation_a").model_copy(update={"paper_table": "z"})
    with pytest.raises(UserError, match="no table 'z'"):
        build_table(experiment, profile, frame)


def test_an_experiment_of_the_users_own_has_no_paper_columns(profile: Profile, frame: pd.DataFrame) -> None:
    own = load_experiment("ablation_a").model_copy(update={"paper_table": None})
    table = build_table(own, profile, frame)
    assert not [c for c in table.columns if c.source == "paper"]
    assert table.paper_source == "" and "resolved" in table.reading


def test_a_table_is_plain_data(table_a: Table) -> None:
    assert dataclasses.asdict(table_a)["rows"][0]["cells"]["top1"]["n"] == 3

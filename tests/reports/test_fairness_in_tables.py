"""A table and `harness compare` judge by one rule; what is only noted stands under both."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.experiment import Profile, load_experiment, load_profile
from harness.experiment.load import EXPERIMENTS
from harness.methods import gather, refusals
from harness.methods.fairness import RULES, departures, rule_of, setting_of, trial_facts
from harness.plan.expand import plan_trials
from harness.reports import build_table
from harness.results import Store, load
from tests.factories import make_record

TSN, DSA = "TSN+I3D 4x4", "DSA+I3D 4x4"


def _with(root: Path, profile: Profile, tmp_path: Path, row: str, top1: float, **options: object) -> pd.DataFrame:
    """The shipped-looking store with one row run anew, with this in its provenance."""
    mine = Store(tmp_path / "runs")
    for planned in plan_trials(load_experiment("ablation_a"), profile, (0, 1, 2)):
        if planned.row == row:
            mine.write(make_record(planned, top1, **options), planned)
    return load(mine.root, root)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if path.stem != "paper"))
def test_no_row_of_a_shipped_table_is_refused_beside_the_others(name: str) -> None:
    """Of what is declared alone: a row that would be trained for days and then be shown as not comparable."""
    experiment = load_experiment(name)
    own = (EXPERIMENTS / "profiles" / f"{name}.yaml").exists()
    planned = plan_trials(experiment, load_profile(name if own else "embedded"), [0])
    rows = {p.row: trial_facts(p.trial.model_dump_json()) for p in planned}
    allowed = {*experiment.differ, "views"}
    setting = setting_of(rows.values(), allowed)
    assert {row: found for row, one in rows.items() if (found := departures(one, setting, allowed))} == {}


@pytest.mark.parametrize("options", [{"dataset_manifest": "0ddba11"}, {"version_decord": "0.5.0"}, {}])
def test_a_table_shows_side_by_side_just_what_compare_takes(
    options: dict[str, object], profile: Profile, root: Path, tmp_path: Path
) -> None:
    frame = _with(root, profile, tmp_path, TSN, 70.0, **options)
    table = build_table(load_experiment("ablation_a"), profile, frame)
    rows = {m.label: m for m in gather(load_experiment("ablation_a"), profile, frame).methods}
    shown = table.cell(TSN, "top1").value is not None
    assert shown == (not options)
    if shown:
        assert not refusals(rows[TSN], rows[DSA])
    else:
        assert next(iter(options.values())) in (table.cell(TSN, "top1").why_empty or "")


def test_another_version_of_torch_is_noted_under_the_table(profile: Profile, root: Path, tmp_path: Path) -> None:
    frame = _with(root, profile, tmp_path, TSN, 70.0, version_torch="2.14.0")
    table = build_table(load_experiment("ablation_a"), profile, frame)
    assert table.cell(TSN, "top1").value is not None
    (note,) = (n for n in table.notes if n.startswith("Not all records were made with the same"))
    assert "torch (2.13.0: 12 records; 2.14.0: 3 records)" in note


def test_seeds_that_agree_to_the_last_digit_are_no_certainty(profile: Profile, root: Path, tmp_path: Path) -> None:
    frame = _with(root, profile, tmp_path, TSN, 5.0, seed_sd=0.0)
    table = build_table(load_experiment("ablation_a"), profile, frame)
    assert table.cell(TSN, "top1").text == "5.0 ± –" and table.cell(TSN, "top1").interval is None
    assert any(n == f"All seeds of {TSN} have the very same top-1: no spread to judge by." for n in table.notes)


def test_the_first_rule_that_fits_decides_and_the_unknown_must_agree() -> None:
    assert rule_of("numerics.threads").kind == "noted" and rule_of("numerics.precision").kind == "must"
    assert rule_of("recipe.lr").word == "recipe" and rule_of("something.new").kind == "must"
    prefixes = [rule.prefix for rule in RULES]
    assert len(set(prefixes)) == len(prefixes)
    for place, prefix in enumerate(prefixes):
        hidden = [p for p in prefixes[:place] if prefix.startswith(f"{p}.")]
        assert not hidden, f"{prefix} is never reached behind {hidden}"

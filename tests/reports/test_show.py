"""`harness show EXPERIMENT ROW [COLUMN]`: a number leads to its trials."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.errors import UserError
from harness.experiment import Profile, load_experiment
from harness.reports.show import cell_facts, print_cell
from tests.reports.conftest import SEEDS


def test_a_cell_leads_to_its_trials(
    profile: Profile, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = cell_facts(load_experiment("ablation_a"), profile, frame, "DSA+I3D 4x4", "top1")
    values = [seed.value for seed in facts.seeds]
    assert [seed.seed for seed in facts.seeds] == list(SEEDS)
    assert facts.value == pytest.approx(sum(v or 0 for v in values) / len(SEEDS))
    records = frame.set_index("id")
    assert values == [pytest.approx(records.loc[seed.trial, "top1"]) for seed in facts.seeds]
    print_cell(facts)
    printed = capsys.readouterr().out
    assert facts.text in printed
    for seed in facts.seeds:
        assert seed.trial in printed and str(seed.record) in printed and str(seed.commit) in printed


def test_missing_seeds_say_why(profile: Profile, frame: pd.DataFrame) -> None:
    experiment = load_experiment("ablation_e")
    broken = cell_facts(experiment, profile, frame, "beta 1/4")
    assert [seed.status.split(":")[0] for seed in broken.seeds] == ["done", "failed", "done"]
    empty = cell_facts(experiment, profile, frame, "beta 1/2", "top-1")
    assert (empty.value, empty.why_empty) == (None, "not run")


def test_paper_cost_and_declared_cells(profile: Profile, frame: pd.DataFrame) -> None:
    experiment = load_experiment("ablation_a")
    paper = cell_facts(experiment, profile, frame, "DSA+I3D 4x4", "paper_top1")
    assert (paper.source, paper.seeds) == ("paper", ()) and "arXiv" in str(paper.paper_source)
    macs = cell_facts(experiment, profile, frame, "I3D 16x1", "gmacs")
    assert [seed.value for seed in macs.seeds] == [pytest.approx(macs.value)] * len(SEEDS)
    counted = cell_facts(load_experiment("ablation_i"), profile, frame, "TSN+I3D R50", "gmacs")
    assert counted.seeds == ()


@pytest.mark.parametrize(
    ("row", "column", "near"), [("DSA+I3D", "top1", "DSA+I3D 4x4"), ("DSA+I3D 4x4", "top_1", "top1")]
)
def test_mistakes_get_the_near_match(
    profile: Profile, frame: pd.DataFrame, row: str, column: str, near: str
) -> None:
    with pytest.raises(UserError, match=f"did you mean '{near}'".replace("+", r"\+")):
        cell_facts(load_experiment("ablation_a"), profile, frame, row, column)

"""`harness show EXPERIMENT ROW [COLUMN]`: a number leads to its trials."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from harness.base.errors import UserError
from harness.cli.main import main
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


@pytest.fixture
def profile_file(profile: Profile, tmp_path: Path) -> Path:
    path = tmp_path / "synthetic.yaml"
    path.write_text(yaml.safe_dump(profile.model_dump(mode="json")))
    return path


def _harness(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


def test_show_on_the_command_line(profile_file: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ("show", "ablation_a", "DSA+I3D 4x4", "--profile", profile_file, "--results", root)
    assert _harness(*ask, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert _harness("show", facts["seeds"][0]["trial"], "--results", root) == 0
    assert f"{facts['seeds'][0]['value']:.4g}" in capsys.readouterr().out
    assert _harness(*ask[:2], "DSA", *ask[3:]) == 2
    assert "its rows are" in capsys.readouterr().err
    assert _harness("show", "a", "b", "c", "d") == 2


def test_report_on_the_command_line(profile_file: Path, root: Path, tmp_path: Path) -> None:
    options = ("--profile", profile_file, "--results", root, "--reports", tmp_path / "out")
    assert _harness("report", "ablation_i", *options) == 0
    assert "DSA+I3D R50" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")

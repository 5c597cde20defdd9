"""The paper's numbers, against what the poster prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.base.errors import UserError
from harness.experiment import load_experiment
from harness.experiment.paper import load_paper

LETTERS = "abcdefghi"


def test_top1_of_table_a_is_the_posters() -> None:
    assert load_paper().table("a").values("top1") == {
        "I3D 4x1": 72.2,
        "I3D 16x1": 73.4,
        "TSN+I3D 4x4": 73.0,
        "V4D+I3D 4x4": 75.6,
        "DSA+I3D 4x4": 77.3,
    }


def test_number_of_rows_of_every_table() -> None:
    counts = {name: len(table.rows) for name, table in load_paper().tables.items()}
    benchmarks = {"mini_kinetics_200": 11, "kinetics_400": 16, "activitynet_1_3": 5, "something_v1": 8}
    assert counts == dict(zip(LETTERS, (5, 4, 4, 4, 4, 4, 4, 6, 3), strict=True)) | benchmarks


def test_inference_cost_of_the_poster() -> None:
    rows = load_paper().table("kinetics_400").rows
    printed = {
        "TSM": 990,
        "X3D-L": 744,
        "V4D+I3D": 2146,
        "DSA+I3D 4": 503,
        "DSA+I3D 8": 1006,
        "DSA+I3D 4+8": 1509,
    }
    for name, gflops in printed.items():
        assert rows[name].gflops * rows[name].views == pytest.approx(gflops, abs=0.5)


def test_protocols_as_text() -> None:
    rows = load_paper().table("kinetics_400").rows
    assert rows["DSA+I3D 4+8"].infer_text == "(4+8)×8×3"
    assert load_paper().table("g").rows["TSM R50"].infer_text is None


@pytest.mark.parametrize("letter", LETTERS)
def test_rows_of_an_experiment_are_the_papers_in_its_order(letter: str) -> None:
    experiment = load_experiment(f"ablation_{letter}")
    assert experiment.paper_table == letter
    assert [row.paper_row for row in experiment.rows] == list(load_paper().table(letter).rows)


@pytest.mark.parametrize("letter", LETTERS[:8])
def test_experiments_declare_the_papers_protocol_where_it_prints_one(letter: str) -> None:
    printed = load_paper().table(letter).rows
    for row in load_experiment(f"ablation_{letter}").rows:
        paper = printed[row.paper_row]
        if paper.train_text:
            assert f"{row.train.T}×{row.train.U}" == paper.train_text
        if paper.infer_text:
            assert f"{row.train.T}×{row.test.U}×{row.test.crops}" == paper.infer_text


def test_a_wrong_table_is_named_with_the_near_match() -> None:
    with pytest.raises(UserError, match=r"no table 'kinetics400' \(did you mean 'kinetics_400'\?\)"):
        load_paper().table("kinetics400")


def test_a_wrong_metric_is_named() -> None:
    with pytest.raises(UserError, match=r"top-1.*did you mean 'top1'"):
        load_paper().table("a").values("top-1")


def test_an_accuracy_above_100_is_refused_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "paper.yaml"
    path.write_text(
        "source: s\ntables:\n  a:\n    title: t\n    dataset: none\n    rows:\n"
        "      r: {method: m, backbone: b, top1: 177.3}\n"
    )
    with pytest.raises(UserError, match=r"paper\.yaml:7: tables\.a\.rows\.r\.top1.*not 177\.3"):
        load_paper(path)

"""Every row's cost at the paper's input, against the poster and against numbers measured independently."""

from __future__ import annotations

import pytest

from harness.experiment import Profile, load_experiment
from harness.experiment.paper import load_paper
from harness.reports import Table, cost_table
from harness.reports.cost_table import AGREEMENT

LETTERS = "abcdefghi"
# Params in M (1000 classes in table a, else 200) and GMACs, measured elsewhere (costs.csv).
MEASURED = {
    "a: I3D 4x1": (32.3334, 13.7481),
    "a: I3D 16x1": (32.3334, 54.9922),
    "a: V4D+I3D 4x4": (33.0706, 58.6919),
    "b: Position I": (32.0444, 83.8423),
    "b: Position II": (32.0444, 83.8385),
    "b: Position IV": (32.0444, 83.8423),
    "c: alpha 1": (32.0443, 83.8385),
    "c: alpha 8": (32.0446, 83.8387),
    "d: res{2}": (32.0444, 83.8469),
    "d: res{3}": (32.0444, 83.8470),
    "d: res{4}": (32.0445, 83.8446),
    "e: beta 1/8": (32.0444, 83.8375),
    "f: res{4,5} x4": (32.0446, 83.8384),
    "f: res{3,4} x5": (32.0447, 83.8394),
    "f: res{2,3} x3": (32.0445, 83.8397),
    "g: TSM R50": (23.9178, 16.4395),
    "g: DSA+TSM R50": (23.9182, 65.7601),
    "g: I3D R50": (32.0443, 20.9593),
    "h: SENet+I3D R18": (31.9336, 54.9925),
    "h: SENet+I3D R50": (32.0741, 83.8374),
    "i: TSN+I3D R50": (32.0443, 83.8373),
    "i: V4D+I3D R50": (36.7629, 143.0273),
}


@pytest.fixture(scope="module")
def costs(profile: Profile) -> Table:
    return cost_table([load_experiment(f"ablation_{x}") for x in LETTERS], profile, load_paper())


@pytest.mark.parametrize("row", MEASURED)
def test_cost_agrees_with_an_independent_count(costs: Table, row: str) -> None:
    params, gmacs = MEASURED[row]
    key = "params_1000" if row.startswith("a:") else "params_200"
    assert costs.cell(row, key).value == pytest.approx(params, abs=1.01e-4)
    assert costs.cell(row, "gmacs").value == pytest.approx(gmacs, rel=1e-4)


def test_every_number_that_the_poster_prints_agrees(costs: Table) -> None:
    deviations = {line.name: line.cells["deviation"].value for line in costs.rows}
    printed = {name for name in deviations if name[0] in "ai"}
    assert {name for name, value in deviations.items() if value is not None} == printed
    assert all(abs(deviations[name] or 0) < AGREEMENT for name in printed)


def test_every_row_of_every_table_is_counted(costs: Table) -> None:
    assert len(costs.rows) == 38
    assert all((line.cells["gmacs"].value or 0) > 10 for line in costs.rows)


def test_the_largest_deviation_is_told_and_named(costs: Table) -> None:
    worst = max((line for line in costs.rows if line.cells["deviation"].value), key=_size)
    told = next(note for note in costs.notes if note.startswith("Largest deviation"))
    assert worst.name in told and "within 0.5 %" in told


def _size(line: object) -> float:
    return abs(line.cells["deviation"].value)  # type: ignore[attr-defined]


def test_counters_agree_on_convolutions_and_products(costs: Table) -> None:
    for line in costs.rows:
        ours, second = line.cells["conv_matmul"].value, line.cells["cross_check"].value
        assert ours == pytest.approx(second, rel=0.01)


def test_the_convention_is_stated(costs: Table) -> None:
    assert "multiply-adds" in costs.caption and "BatchNorm" in costs.caption

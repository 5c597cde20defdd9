"""The same network in two tables is the same trial (and so runs once)."""

from __future__ import annotations

import pytest

from harness.experiment import load_experiment
from harness.experiment.recipe import Recipe
from harness.experiment.spec import Profile
from harness.plan.expand import distinct, plan_trials

SAME = [
    ("b:Position II", "c:alpha 2", "d:res{5}", "e:beta 1"),
    ("e:beta 1/8", "f:res{5} x1"),
    ("f:res{3,4} x5", "g:DSA+I3D R50", "h:DSA+I3D R50"),
    ("g:I3D R50", "h:I3D R50"),
    ("a:I3D 4x1", "h:I3D R18"),
    ("a:DSA+I3D 4x4", "h:DSA+I3D R18"),
]


@pytest.fixture(scope="module")
def ids() -> dict[str, str]:
    """`a:I3D 4x1` -> id of its trial with seed 0, at the paper's scale and protocol."""
    recipe = Recipe(
        optimizer="sgd",
        lr=0.015,
        weight_decay=1e-4,
        schedule="steps",
        warmup_epochs=10,
        milestones=(50, 75, 90),
        epochs=100,
        batch_videos=96,
        clip_norm=40,
    )
    profile = Profile.model_validate(
        {"name": "p", "description": "-", "dataset": {"name": "scripted_digits"}, "recipe": recipe}
    )
    found = [
        (letter, p)
        for letter in "abcdefgh"
        for p in plan_trials(load_experiment(f"ablation_{letter}"), profile, [0])
    ]
    assert len(distinct(p for _, p in found)) == len(found) - 9
    return {f"{letter}:{p.row}": p.id for letter, p in found}


@pytest.mark.parametrize("rows", SAME, ids=lambda rows: rows[0])
def test_rows_that_are_one_network_are_one_trial(ids: dict[str, str], rows: tuple[str, ...]) -> None:
    assert len({ids[row] for row in rows}) == 1


def test_all_other_rows_are_trials_of_their_own(ids: dict[str, str]) -> None:
    assert len(set(ids.values())) == len(ids) - sum(len(rows) - 1 for rows in SAME)


def test_a_table_of_costs_plans_no_trial(ids: dict[str, str]) -> None:
    assert not any(row.startswith("i:") for row in ids)

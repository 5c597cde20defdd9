"""Rows × seeds × a profile: order, defaults resolved, the profile's scale and protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.base.errors import UserError
from harness.experiment import load_experiment, load_profile
from harness.experiment.spec import Experiment, Profile, TestProtocol
from harness.plan.expand import Planned, distinct, plan_trials, test_protocol
from tests.experiment.files import EXPERIMENT, PROFILE, spoiled, write

VARIANT = """
from torch import nn
from harness.models import register_aggregation

@register_aggregation("tests_expand")
class Mine(nn.Module):
    any_U = True
    def __init__(self, channels, U, *, gain: float = 1.0):
        super().__init__()
    def forward(self, x_NUCTHW):
        return x_NUCTHW
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return load_experiment(write(tmp_path, "mine", EXPERIMENT))


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return load_profile(write(tmp_path, "small", PROFILE))


def _without_test(profile: Profile) -> Profile:
    return profile.model_copy(update={"test": None})


def test_trials_come_seed_by_seed(experiment: Experiment, profile: Profile) -> None:
    planned = plan_trials(experiment, profile, [0, 1, 5])
    expected = [(seed, row) for seed in (0, 1, 5) for row in ("plain", "module")]
    assert [(p.seed, p.row) for p in planned] == expected
    assert [p.trial.seed for p in planned] == [seed for seed, _ in expected]
    assert len({p.id for p in planned}) == 6
    assert {(p.experiment, p.profile) for p in planned} == {("mine", "small")}


def test_distinct_keeps_the_first_of_each_id(experiment: Experiment, profile: Profile) -> None:
    planned = plan_trials(experiment, profile, [0, 1])
    again = [Planned("other", p.row, p.profile, p.seed, p.trial, p.id) for p in planned]
    assert distinct([*planned, *again]) == planned
    assert distinct([again[1], *planned]) == [again[1], planned[0], *planned[2:]]
    assert distinct([]) == []


def test_every_default_is_resolved(experiment: Experiment, profile: Profile) -> None:
    plain, module = (p.trial for p in plan_trials(experiment, profile, [0]))
    assert plain.network.placement == {}
    assert (plain.network.position, plain.network.beta, plain.network.options) == (None, 1.0, {})
    assert module.network.placement == {"res5": (2,)}
    assert (module.network.position, module.network.beta) == ("II", 1 / 8)
    assert module.dataset["length"] == [72, 88], "the generator's defaults are spelled out"
    assert module.network.inflate == ("res4", "res5")


def test_a_2d_backbone_has_no_inflated_stages(tmp_path: Path, profile: Profile) -> None:
    flat = load_experiment(write(tmp_path, "mine", spoiled(EXPERIMENT, "i3d_r50", "tsm_r50")))
    assert {p.trial.network.inflate for p in plan_trials(flat, profile, [0])} == {()}


def test_the_profiles_protocol_takes_the_rows_place(experiment: Experiment, profile: Profile) -> None:
    row = experiment.rows[0]
    clip = row.model_copy(update={"train": row.train.model_copy(update={"U": 1})})
    assert test_protocol(experiment, row, profile) == TestProtocol(U=8, crops=1, grouping="interleaved")
    assert test_protocol(experiment, clip, profile) == TestProtocol(U=10, crops=1, grouping="each")
    assert test_protocol(experiment, row, _without_test(profile)) == row.test


@pytest.mark.parametrize("grouping", ["each", "interleaved", "all", "combinations"])
def test_a_network_without_a_module_takes_any_groups(
    experiment: Experiment, profile: Profile, grouping: str
) -> None:
    row = experiment.rows[0]
    row = row.model_copy(update={"test": TestProtocol(U=8, grouping=grouping)})
    assert test_protocol(experiment, row, _without_test(profile)) == row.test


@pytest.mark.parametrize("grouping", ["each", "all"])
def test_a_module_built_for_four_snippets_takes_groups_of_four_only(
    experiment: Experiment, profile: Profile, grouping: str
) -> None:
    row = experiment.rows[1]
    row = row.model_copy(update={"test": TestProtocol(U=8, grouping=grouping)})
    with pytest.raises(UserError, match=r"'dsa' takes the 4 of train\.U only"):
        test_protocol(experiment, row, _without_test(profile))
    fitting = row.model_copy(update={"test": TestProtocol(U=4, grouping="all")})
    assert test_protocol(experiment, fitting, _without_test(profile)).U == 4


def test_a_mistake_of_what_was_made_in_python_names_it(experiment: Experiment, profile: Profile) -> None:
    row = experiment.rows[1]
    wrong = row.model_copy(
        update={"aggregation": row.aggregation.model_copy(update={"options": {"alpha": 0}})}
    )
    made = Experiment(name="made", title="t", rows=(wrong,))
    with pytest.raises(UserError, match=r"^experiment 'made': row 'module': alpha 0: "):
        plan_trials(made, profile, [0])
    bare = Profile.model_validate({**profile.model_dump(), "dataset": {"name": "nowhere"}})
    with pytest.raises(UserError, match=r"^profile 'small': dataset: unknown dataset 'nowhere'"):
        plan_trials(experiment, bare, [0])


def test_a_variant_goes_with_the_rows_that_name_it(
    tmp_path: Path, experiment: Experiment, profile: Profile
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(VARIANT)
    row = experiment.rows[1]
    aggregation = row.aggregation.model_copy(update={"name": "tests_expand", "options": {}})
    rows = (*experiment.rows, row.model_copy(update={"name": "new", "aggregation": aggregation}))
    planned = plan_trials(experiment.model_copy(update={"rows": rows}), profile, [0], variant=path)
    assert [p.trial.variant and p.trial.variant.file for p in planned] == [None, None, "mine.py"]
    assert planned[2].trial.variant is not None
    assert planned[2].trial.variant.source == VARIANT
    assert planned[2].trial.network.options == {"gain": 1.0}

"""Rows × seeds × a profile: order, defaults resolved, the profile's scale and protocol."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.base.errors import UserError
from harness.experiment import load_experiment, load_profile
from harness.experiment.datasets import ScriptedDigits
from harness.experiment.identity import trial_id
from harness.experiment.load import ROOT
from harness.experiment.sampling import TestProtocol
from harness.experiment.spec import Experiment, Profile, Scale
from harness.models import unregister
from harness.plan.expand import Planned, distinct, plan_trials, test_protocol, with_starts
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
    assert plain.network.aggregation is None
    placed = module.network.aggregation
    assert placed is not None
    assert (placed.placement, placed.position, placed.beta) == ({"res5": (2,)}, "II", 1 / 8)
    assert isinstance(module.dataset, ScriptedDigits)
    assert module.dataset.length == (72, 88), "the generator's defaults are spelled out"
    assert module.network.options["inflate"] == ("res4", "res5")


def test_a_2d_backbone_has_no_inflated_stages(tmp_path: Path, profile: Profile) -> None:
    flat = load_experiment(write(tmp_path, "mine", spoiled(EXPERIMENT, "i3d_r50", "tsm_r50")))
    assert not any("inflate" in p.trial.network.options for p in plan_trials(flat, profile, [0]))


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


def test_scaled_options_hold_where_the_profile_scales_and_nowhere_else(
    experiment: Experiment, profile: Profile
) -> None:
    first = experiment.rows[0].model_copy(update={"scaled": {"stem_kernel": 3}})
    mine = experiment.model_copy(update={"rows": (first,)})
    small, full = (
        plan_trials(mine, profile.model_copy(update={"scale": scale}), [0])[0].trial.network.options
        for scale in (profile.scale, Scale())
    )
    assert (small["width"], small["stem_kernel"]) == (8, 3)
    assert (full["width"], full["stem_kernel"]) == (64, 7)


def test_an_unknown_scaled_option_is_refused_as_the_rows(tmp_path: Path, profile: Profile) -> None:
    text = spoiled(EXPERIMENT, "- name: plain\n", "- name: plain\n    scaled: {stem_kernle: 3}\n")
    with pytest.raises(
        UserError, match=r"row 'plain': .*no option 'stem_kernle' \(did you mean 'stem_kernel'"
    ):
        plan_trials(load_experiment(write(tmp_path, "mine", text)), profile, [0])


def test_a_mistake_of_what_was_made_in_python_names_it(experiment: Experiment, profile: Profile) -> None:
    row = experiment.rows[1]
    wrong = row.model_copy(
        update={"aggregation": row.aggregation.model_copy(update={"options": {"alpha": 0}})}
    )
    made = Experiment(name="made", title="t", rows=(wrong,))
    with pytest.raises(UserError, match=r"^experiment 'made': row 'module': alpha 0: "):
        plan_trials(made, profile, [0])
    wide = profile.scale.model_copy(update={"options": {"widht": 8}})
    with pytest.raises(UserError, match=r"^profile 'made': unknown key 'scale.widht' \(did you mean 'width'"):
        plan_trials(
            experiment, Profile.model_validate({**profile.model_dump(), "name": "made", "scale": wide}), [0]
        )


def test_a_variant_goes_with_the_rows_that_name_it(
    tmp_path: Path, experiment: Experiment, profile: Profile
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(VARIANT)
    row = experiment.rows[1]
    aggregation = row.aggregation.model_copy(update={"name": "tests_expand", "options": {}})
    rows = (*experiment.rows, row.model_copy(update={"name": "new", "aggregation": aggregation}))
    planned = plan_trials(experiment.model_copy(update={"rows": rows}), profile, [0], variants=[path])
    assert [[v.file for v in p.trial.variants] for p in planned] == [[], [], ["mine.py"]]
    assert planned[2].trial.variants[0].source == VARIANT
    assert planned[2].trial.network.aggregation is not None
    assert planned[2].trial.network.aggregation.options == {"gain": 1.0}


def test_an_experiment_names_its_variants_itself(tmp_path: Path, profile: Profile) -> None:
    """By files beside it; `--variant` then adds nothing."""
    (tmp_path / "own.py").write_text(VARIANT.replace("tests_expand", "tests_expand_own"))
    text = spoiled(EXPERIMENT, "name: dsa", "name: tests_expand_own").replace("      alpha: 2\n", "")
    own = load_experiment(write(tmp_path, "mine", f"{text}variants: [own.py]\n"))
    planned = plan_trials(own, profile, [0])
    assert [len(p.trial.variants) for p in planned] == [0, 1]
    gone = load_experiment(write(tmp_path, "mine", f"{text}variants: [own.py, other.py]\n"))
    with pytest.raises(UserError, match=r"mine.yaml:\d+: variants: .*other.py: there is no such file"):
        plan_trials(gone, profile, [0])


def test_a_second_expansion_needs_no_torch_and_is_the_same(
    tmp_path: Path, experiment: Experiment, profile: Profile
) -> None:
    first = [p.id for p in plan_trials(experiment, profile, [0, 1])]
    code = (
        "import sys; from harness.experiment import load_experiment, load_profile; "
        "from harness.plan.expand import plan_trials; "
        f"e, p = load_experiment({str(experiment.file)!r}), load_profile({str(profile.file)!r}); "
        "print(*[one.id for one in plan_trials(e, p, [0, 1])]); assert 'torch' not in sys.modules"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.split() == first


def _refusal(experiment: Path, profile: Profile, then: str) -> str:
    """What a new process, which ends with the statement `then`, is told of an experiment that cannot be planned."""
    code = (
        "import sys; from harness.base.errors import UserError; "
        "from harness.experiment import load_experiment, load_profile; "
        "from harness.plan.expand import plan_trials\n"
        f"e, p = load_experiment({str(experiment)!r}), load_profile({str(profile.file)!r})\n"
        f"try: plan_trials(e, p, [0])\nexcept UserError as error: print(error)\n{then}"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout


def test_a_refusal_is_kept_with_its_line_and_needs_no_torch_again(tmp_path: Path, profile: Profile) -> None:
    text = spoiled(EXPERIMENT, "alpha: 2", "alpha: 0")
    mine = write(tmp_path, "mine", text)
    first = _refusal(mine, profile, "")
    assert "alpha 0" in first
    assert _refusal(mine, profile, "assert 'torch' not in sys.modules") == first
    write(tmp_path, "mine", f"# a line more\n{text}")
    line = int(first.split("mine.yaml:")[1].split(":")[0])
    assert _refusal(mine, profile, "") == first.replace(f"mine.yaml:{line}:", f"mine.yaml:{line + 1}:")


def test_a_refusal_that_is_kept_does_not_hide_what_a_process_registers(
    tmp_path: Path, profile: Profile
) -> None:
    text = spoiled(EXPERIMENT, "name: dsa", "name: tests_expand_late").replace("      alpha: 2\n", "")
    mine = write(tmp_path, "mine", text)
    assert "unknown aggregation 'tests_expand_late'" in _refusal(mine, profile, "")
    exec(VARIANT.replace("tests_expand", "tests_expand_late"), {"__name__": "late"})
    assert len(plan_trials(load_experiment(mine), profile, [0])) == 2
    unregister("tests_expand_late")


@pytest.mark.parametrize(
    "old, new", [("alpha: 2", "alpha: 4"), ("model: i3d_r50", "model: i3d_r18"), ("1/8", "1/4")]
)
def test_what_a_file_says_now_counts(
    tmp_path: Path, experiment: Experiment, profile: Profile, old: str, new: str
) -> None:
    before = [p.id for p in plan_trials(experiment, profile, [0])]
    changed = load_experiment(write(tmp_path, "mine", spoiled(EXPERIMENT, old, new)))
    assert [p.id for p in plan_trials(changed, profile, [0])] != before


def test_a_changed_recipe_file_counts(tmp_path: Path, profile: Profile) -> None:
    recipe = tmp_path / "slow.yaml"
    fields = {**profile.model_dump(mode="json")["recipe"], "epochs": 5}
    recipe.write_text(
        yaml.safe_dump(
            {"name": "slow", "description": "-", "recipe": fields, "sources": dict.fromkeys(fields, "ours")}
        )
    )
    text = spoiled(EXPERIMENT, "  train: {T: 4, U: 4}\n", f"  train: {{T: 4, U: 4}}\n  recipe: {recipe}\n")
    own = load_experiment(write(tmp_path, "mine", text))
    free = profile.model_copy(update={"recipe": None})
    assert plan_trials(own, free, [0])[0].trial.recipe.epochs == 5
    recipe.write_text(recipe.read_text().replace("epochs: 5", "epochs: 7"))
    assert plan_trials(own, free, [0])[0].trial.recipe.epochs == 7


def test_starts_come_before_the_trials_that_need_them(experiment: Experiment) -> None:
    planned = plan_trials(experiment, load_profile("smoke"), [0, 1])
    ordered = with_starts(planned)
    assert [p.row for p in ordered] == ["start of i3d_r50", "plain", "module", "plain", "module"]
    assert ordered[0].id == trial_id(ordered[0].trial)
    assert with_starts(plan_trials(experiment, load_profile("smoke"), [])) == []

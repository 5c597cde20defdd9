"""Every mistake in a file is one message that names file, line, key and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.base.errors import UserError
from harness.cli import main
from harness.experiment import load_experiment, load_profile, load_recipe
from harness.experiment.load import EXPERIMENTS
from harness.plan.expand import plan_trials
from tests.experiment.files import EXPERIMENT, PROFILE, spoiled, write

Case = tuple[str, str, str]

# (what stands in the file, what a user wrote instead, the message after the file's name)
BAD_EXPERIMENTS: dict[str, Case] = {
    "broken YAML": ("{T: 4, U: 4}", "{T: 4, U: 4", r": not valid YAML: .*\(line \d+, column \d+\)"),
    "a tab": ("  - name: plain", "\t- name: plain", r": not valid YAML: .*\(line 8"),
    "duplicate key": (
        "title:",
        "name: mine\ntitle:",
        r": not valid YAML: the key 'name' stands twice \(line 2",
    ),
    "unhashable key": ("title:", "[a, b]: 1\ntitle:", r": not valid YAML: found unhashable key \(line 2"),
    "control character": ("title:", "title\x01:", r": not valid YAML: unacceptable character"),
    "unknown key at the top": (
        "title:",
        "titel:",
        r":2: unknown key 'titel' \(did you mean 'title'\?\); known keys",
    ),
    "unknown key of a row": (
        "- name: plain",
        "- name: plain\n    tran: 4",
        r":9: row 'plain': unknown key 'tran' \(did you mean 'train'\?\); known keys here: aggregation, average_of",
    ),
    "unknown key of the defaults": (
        "grouping: interleaved",
        "grouping: interleaved, crop: 3",
        r":6: row 'plain': unknown key 'test.crop' \(did you mean 'crops'\?\)",
    ),
    "option that the module has not": (
        "alpha: 2",
        "alhpa: 2",
        r":10: row 'module': aggregation 'dsa' has no option 'alhpa' \(did you mean 'alpha'\?\)",
    ),
    "option of no module": (
        "- name: plain",
        "- name: plain\n    aggregation: {alpha: 2}",
        r":9: row 'plain': .*remove alpha",
    ),
    "alpha 0": (
        "alpha: 2",
        "alpha: 0",
        r":13: row 'module': alpha 0: the hidden layer is a whole multiple of U, 1 or more",
    ),
    "alpha is a list": (
        "alpha: 2",
        "alpha: [1, 2]",
        r":10: row 'module': aggregation 'dsa': option alpha: expected a whole number, not",
    ),
    "position V": (
        "position: II",
        "position: V",
        r":12: row 'module': position 'V' \(did you mean 'IV'\?\): one of I, II, III, IV, after",
    ),
    "position in small letters": (
        "position: II",
        "position: iii",
        r":12: row 'module': position 'iii': one of I",
    ),
    "position that a basic block has not": (
        "stages: [res5]",
        "stages: [res5]\n  - {name: basic, model: i3d_r18, aggregation: {name: dsa, position: IV}}",
        r":16: row 'basic': position 'IV'.*: one of I, II, III, after",
    ),
    "beta above 1": (
        "beta: 1/8",
        "beta: 1.5",
        r":14: row 'module': aggregation.beta: should be less than or equal to 1, not 1.5",
    ),
    "beta 0": (
        "beta: 1/8",
        "beta: 0",
        r":14: row 'module': aggregation.beta: should be greater than 0, not 0",
    ),
    "beta 1/0": (
        "beta: 1/8",
        "beta: 1/0",
        r":14: row 'module': aggregation.beta: expected a share, such as 1/8 .*, not '1/0'",
    ),
    "beta a word": (
        "beta: 1/8",
        "beta: half",
        r":14: row 'module': aggregation.beta: should be a valid number",
    ),
    "beta is no number": ("beta: 1/8", "beta: .nan", r":14: row 'module': aggregation.beta: "),
    "U of the module": ("beta: 1/8", "U: 3", r":9: row 'module': aggregation.U is 3 but train.U is 4"),
    "test U below train U": ("U: 8", "U: 2", r":8: row 'plain': test.U is 2, below train.U 4: no group"),
    "test U no multiple": ("U: 8", "U: 6", r":8: row 'plain': test.U 6 is no multiple of train.U 4"),
    "unknown grouping": (
        "interleaved",
        "interleave",
        r":6: .*'combinations', not 'interleave' \(did you mean 'interleaved'\?\)",
    ),
    "two crops": ("crops: 3", "crops: 2", r":6: row 'plain': test.crops: should be 1, 3 or 10, not 2"),
    "no such stage": (
        "[res5]",
        "[res6]",
        r":15: row 'module': stages: unknown stage 'res6' \(did you mean 'res",
    ),
    "stages is a word": (
        "[res5]",
        "res5",
        r":15: row 'module': aggregation.stages: should be a list, not 'res5'",
    ),
    "no such block": (
        "stages: [res5]",
        "stages: [res5]\n      blocks: [4]",
        r":16: row 'module': blocks: there is no block 4 in res5",
    ),
    "blocks a word": (
        "stages: [res5]",
        "stages: [res5]\n      blocks: every_secnd",
        r":16: .*should be 'every_second' or 'all', or should be a list, not 'every_secnd' \(did you mean",
    ),
    "options no mapping": (
        "alpha: 2",
        "options: 2",
        r":13: row 'module': aggregation.options: should be a mapping",
    ),
    "aggregation no mapping": (
        "- name: plain",
        "- name: plain\n    aggregation: dsa",
        r":9: row 'plain': aggregation: should be a mapping",
    ),
    "unknown module": (
        "name: dsa",
        "name: dsb",
        r":10: row 'module': unknown aggregation 'dsb' \(did you mean 'dsa'\?\)",
    ),
    "unknown model": (
        "i3d_r50",
        "i3d_r5",
        r":4: row 'plain': unknown model 'i3d_r5' \(did you mean 'i3d_r50'\?\)",
    ),
    "rows no list": (
        "rows:\n  - name: plain",
        "rows: plain\nbad:\n  - name: plain",
        r":7: rows: expected a list of mappings, each with a name",
    ),
    "rows of words": ("- name: plain", "- plain", r":7: rows: expected a list of mappings"),
    "defaults no mapping": ("defaults:", "defaults: 3\ntrash:", r":3: defaults: expected a mapping, found 3"),
    "missing key": ("title: A user's own table", "notes: []", r":1: the key 'title' is missing"),
    "row without a name": ("- name: plain", "- {}", r":8: row 1: the key 'name' is missing"),
    "two rows of one name": ("name: plain", "name: module", r":1: rows: the name 'module' stands twice"),
    "baseline that is no row": (
        "title:",
        "baseline: plane\ntitle:",
        r":1: baseline: no row is called 'plane'",
    ),
    "another name than the file's": (
        "name: mine",
        "name: yours",
        r":1: name: is 'yours', but the file is called mine.yaml",
    ),
    "grid no list": (
        "title:",
        "grid: {aggregation.alpha: 2}\ntitle:",
        r":2: grid: aggregation.alpha: expected a list of values",
    ),
    "grid key no text": (
        "title:",
        "grid: {1: [2]}\ntitle:",
        r":2: grid: 1: expected a key such as aggregation.alpha",
    ),
    "grid key below another": (
        "title:",
        "grid: {model: [i3d_r18], model.depth: [18]}\ntitle:",
        r":2: grid: model: expected a key such as aggregation.alpha, and nothing below it",
    ),
    "grid value": (
        "title:",
        "grid:\n  aggregation.position: [II, V]\ntitle:",
        r":3: row 'position II': aggregation 'average' has no module to place or to set: remove position",
    ),
}

BAD_PROFILES: dict[str, Case] = {
    "unknown key at the top": ("test:", "tset:", r":19: unknown key 'tset' \(did you mean 'test'\?\)"),
    "unknown key of the scale": (
        "width:",
        "wdth:",
        r":7: unknown key 'scale.wdth' \(did you mean 'width'\?\)",
    ),
    "unknown key of the recipe": (
        "lr:",
        "learning_rate: 1\n  lr:",
        r":11: unknown key 'recipe.learning_rate'",
    ),
    "unknown key of the test": (
        "clips: 10",
        "clips: 10, crop: 1",
        r":19: unknown key 'test.crop' \(did you mean 'crops'\?\)",
    ),
    "unknown knob of the dataset": (
        "scale: 0.5",
        "scal: 0.5",
        r":5: unknown key 'dataset.scal' \(did you mean 'scale'\?\)",
    ),
    "impossible knob of the dataset": (
        "scale: 0.5",
        "scale: 0",
        r":5: dataset.scale: should be greater than or equal to 0.25, not 0",
    ),
    "unknown dataset": (
        "scripted_digits",
        "scripted_digit",
        r":3: dataset: unknown name 'scripted_digit' \(did you mean 'scripted_digits'",
    ),
    "stem kernel": (
        "width: 8",
        "width: 8\n  stem_kernel: 4",
        r":8: row 'module': stem_kernel 4: 3, 5 or 7",
    ),
    "a leading zero": (
        "batch_videos: 16",
        "batch_videos: 010",
        r": not valid YAML: 010: YAML reads an octal .*line 16",
    ),
    "base sixty": (
        "epochs: 5\n",
        "epochs: 1:30\n",
        r": not valid YAML: 1:30: YAML reads a number to the base 60; .*line 15",
    ),
    "a word for a number": (
        "epochs: 5\n",
        "epochs: yes\n",
        r": not valid YAML: yes: YAML reads true or false.*line 15",
    ),
    "truth for a number": (
        "epochs: 5\n",
        "epochs: true\n",
        r":15: recipe.epochs: should be a valid integer, .*, not 'true'",
    ),
    "more threads than CPUs": (
        "test:",
        "numerics: {threads: 4}\ntest:",
        r":1: numerics.threads is 4 but resources.cpus is 1",
    ),
    "reserved GPUs that stand idle": (
        "test:",
        "numerics: {device: cuda}\nresources: {gpus: 4}\ntest:",
        r":1: resources.gpus is 4 but numerics.gpus is 1",
    ),
    "a key of the first version": (
        "  warmup_epochs: 1",
        "  warmup_epochs: 1\n  mean: [0, 0, 0]",
        r":15: 'recipe.mean' is called",
    ),
    "warm-up": (
        "warmup_epochs: 1",
        "warmup_epochs: 5",
        r":9: recipe: warmup_epochs 5.0 must be below epochs 5",
    ),
    "milestones of no steps": (
        "epochs: 5\n",
        "epochs: 5\n  milestones: [2]\n",
        r":9: recipe: milestones are for schedule 'steps'",
    ),
    "steps without milestones": ("cosine", "steps", r":9: recipe: schedule 'steps' needs milestones"),
    "momentum of adamw": (
        "clip_norm",
        "momentum: 0.8\n  clip_norm",
        r":9: recipe: momentum is for optimizer 'sgd'",
    ),
    "infinite rate": ("2.0e-3", ".inf", r":11: recipe.lr: should be a finite number"),
    "cuda without gpus": (
        "test:",
        "numerics: {device: cuda}\ntest:",
        r":1: numerics.device is 'cuda' but resources.gpus is 0: a cuda profile reserves a \(share of a\) GPU",
    ),
    "gpus without cuda": (
        "test:",
        "resources: {gpus: 1}\ntest:",
        r":1: numerics.device is 'cpu' but resources.gpus is 1",
    ),
    "one and a half GPUs": (
        "test:",
        "numerics: {device: cuda}\nresources: {gpus: 1.5}\ntest:",
        r":20: resources: gpus is 1.5: a share of one GPU",
    ),
    "another name than the file's": (
        "name: small",
        "name: tiny",
        r":1: name: is 'tiny', but the file is called small.yaml",
    ),
    "groups that cannot be formed": (
        "snippets: 8",
        "snippets: 6",
        r":19: test: row 'plain' of 'mine': grouping 'interleaved': 6 test snippets are no multiple .* U = 4",
    ),
    "groups that the module cannot take": (
        "interleaved",
        "all",
        r":19: test: row 'module' of 'mine': grouping 'all' of 8 snippets gives groups of 8, and 'dsa' takes the 4",
    ),
}


@pytest.fixture
def mine(tmp_path: Path) -> tuple[Path, Path]:
    """The experiment and the profile, both sound."""
    return write(tmp_path, "mine", EXPERIMENT), write(tmp_path, "small", PROFILE)


def _plan(mine: tuple[Path, Path]) -> int:
    return len(plan_trials(load_experiment(mine[0]), load_profile(mine[1]), [0]))


def _check(mine: tuple[Path, Path], path: Path, expected: str) -> None:
    """One line that begins with the file and says what is expected."""
    with pytest.raises(UserError) as caught:
        _plan(mine)
    message = str(caught.value)
    assert re.match(re.escape(str(path)) + expected, message), message
    assert "\n" not in message


def test_the_unspoiled_files_are_sound(mine: tuple[Path, Path]) -> None:
    assert _plan(mine) == 2


@pytest.mark.parametrize("case", BAD_EXPERIMENTS.values(), ids=BAD_EXPERIMENTS.keys())
def test_a_mistake_in_an_experiment(mine: tuple[Path, Path], case: Case) -> None:
    mine[0].write_text(spoiled(EXPERIMENT, case[0], case[1]))
    _check(mine, mine[0], case[2])


@pytest.mark.parametrize("case", BAD_PROFILES.values(), ids=BAD_PROFILES.keys())
def test_a_mistake_in_a_profile(mine: tuple[Path, Path], case: Case) -> None:
    mine[1].write_text(spoiled(PROFILE, case[0], case[1]))
    _check(mine, mine[1], case[2])


def test_a_knob_of_the_starts_dataset(mine: tuple[Path, Path]) -> None:
    recipe = re.sub("(?m)^", "  ", PROFILE[PROFILE.index("recipe:") : PROFILE.index("input:")])
    mine[1].write_text(
        f"{PROFILE}start:\n  kind: trunk\n  dataset: {{name: scripted_digits, gapp: [1, 2]}}\n  T: 4\n{recipe}"
    )
    _check(mine, mine[1], r":22: unknown key 'start.dataset.gapp' \(did you mean 'gap'\?\)")


def test_a_knob_of_a_copy(mine: tuple[Path, Path]) -> None:
    own, known = (
        "name: scripted_digits\n  scale: 0.5",
        r"\(did you mean 'root'\?\); known keys here: annotations",
    )
    mine[1].write_text(spoiled(PROFILE, own, "name: kinetics_400\n  rooot: /videos"))
    _check(mine, mine[1], rf":5: unknown key 'dataset.rooot' {known}")


def test_groups_of_the_row_that_its_module_cannot_take(mine: tuple[Path, Path]) -> None:
    mine[0].write_text(EXPERIMENT + "    test: {U: 8, grouping: all}\n")
    mine[1].write_text(PROFILE[: PROFILE.index("test:")])
    _check(
        mine,
        mine[0],
        r":16: test: row 'module' of 'mine': grouping 'all' of 8 snippets gives groups of 8, and 'dsa' takes the 4",
    )


def test_two_mistakes_are_two_lines(mine: tuple[Path, Path]) -> None:
    mine[0].write_text(spoiled(spoiled(EXPERIMENT, "position: II", "position: [II]"), "1/8", "2"))
    with pytest.raises(UserError) as caught:
        _plan(mine)
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        f"{mine[0]}:12",
        f"{mine[0]}:14",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", r": expected a mapping of keys to values at the top, found an empty file"),
        (b"- a\n", r": expected a mapping of keys to values at the top, found list"),
        (b"name: \xff\xfe\n", r": cannot be read: not UTF-8 text \(byte 6\); save it as UTF-8"),
        (b"a: " + 3000 * b"[", r": not valid YAML: "),
        (b"a: &a {b: *a}\n", r": not valid YAML: "),
    ],
    ids=["empty", "list", "latin", "deep", "recursive"],
)
def test_a_file_that_is_no_mapping(mine: tuple[Path, Path], content: bytes, expected: str) -> None:
    mine[0].write_bytes(content)
    _check(mine, mine[0], expected)


def test_a_directory_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UserError, match=r"folder\.yaml: cannot be read: Is a directory"):
        load_experiment(tmp_path / "folder.yaml")
    write(tmp_path, "mine", EXPERIMENT)
    with pytest.raises(UserError, match=r"min\.yaml: no such file \(did you mean 'mine'\?\); there are: "):
        load_experiment(tmp_path / "min.yaml")


def test_a_name_that_is_nearly_right() -> None:
    with pytest.raises(UserError, match=r"no such file \(did you mean 'ablation_a'\?\)"):
        load_experiment("ablation_aa")
    with pytest.raises(
        UserError, match=r"profiles/embeded\.yaml: no such file \(did you mean 'embedded'\?\)"
    ):
        load_profile("embeded")


def test_an_unreadable_file_is_named(mine: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(UserError, match=r"mine\.yaml: cannot be read: Permission denied"):
        load_experiment(mine[0])


def test_yaml_merge_keys_are_read(mine: tuple[Path, Path]) -> None:
    text = spoiled(EXPERIMENT, "train: {T: 4, U: 4}", "train: &t {T: 4, U: 4}")
    mine[0].write_text(text + "  - name: longer\n    train: {<<: *t, T: 8}\n")
    assert [row.train.T for row in load_experiment(mine[0]).rows] == [4, 4, 8]


def test_rows_override_the_defaults_key_by_key(mine: tuple[Path, Path]) -> None:
    mine[0].write_text(
        spoiled(EXPERIMENT, "rows:", "  aggregation: {name: dsa, alpha: 4, stages: [res3]}\nrows:")
        + "  - name: other\n    aggregation: {name: se}\n    test: {U: 4}\n"
    )
    plain, module, other = load_experiment(mine[0]).rows
    assert (plain.aggregation.options, plain.aggregation.stages) == ({"alpha": 4}, ("res3",))
    assert (module.aggregation.options, module.aggregation.stages) == ({"alpha": 2}, ("res5",))
    assert (other.aggregation.options, other.aggregation.stages) == ({}, None), (
        "the default module's own options"
    )
    assert (other.test.U, other.test.crops, other.test.grouping) == (4, 3, "interleaved")


def test_a_grid_is_the_product_of_its_values(mine: tuple[Path, Path]) -> None:
    grid = (
        "grid:\n  aggregation.name: [dsa]\n  aggregation.stages: [[res3, res4], [res5]]\n  train.T: [4, 8]\n"
    )
    mine[0].write_text(EXPERIMENT + grid)
    rows = load_experiment(mine[0]).rows[2:]
    assert [row.name for row in rows] == [
        f"name dsa, stages {stages}, T {T}" for stages in ("{res3,res4}", "{res5}") for T in (4, 8)
    ]
    assert [(row.aggregation.stages, row.train.T, row.train.U) for row in rows] == [
        (stages, T, 4) for stages in (("res3", "res4"), ("res5",)) for T in (4, 8)
    ]


def test_a_grid_without_its_excluded_points(mine: tuple[Path, Path]) -> None:
    grid = (
        "grid: {aggregation.name: [dsa, se], aggregation.stages: [[res4], [res5]], options.width: [4, 8]}\n"
        "exclude:\n  - {aggregation.name: se, options.width: 8}\n  - {aggregation.stages: [res4], options.width: [4]}\n"
    )
    mine[0].write_text(EXPERIMENT + grid)
    rows = [row for row in load_experiment(mine[0]).rows if row.firm]
    assert [(r.aggregation.name, r.aggregation.stages, r.options["width"]) for r in rows] == [
        ("dsa", ("res4",), 8),
        ("dsa", ("res5",), 4),
        ("dsa", ("res5",), 8),
        ("se", ("res5",), 4),
    ]


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        ("[{options.wdth: 4}]", r":18: exclude: 'options.wdth' is no key of the grid \(did you mean"),
        ("{options.width: 4}", r":18: exclude: expected a list of mappings"),
        ("[{options.width: [4, 8]}]", r":18: exclude: leaves nothing of the grid"),
    ],
)
def test_a_mistake_in_what_is_excluded(mine: tuple[Path, Path], exclude: str, expected: str) -> None:
    grid = f"grid:\n  options.width: [4, 8]\nexclude: {exclude}\n"
    mine[0].write_text(EXPERIMENT + grid)
    _check(mine, mine[0], expected)


def test_what_a_grid_varies_holds_against_the_profile(mine: tuple[Path, Path]) -> None:
    grid = "grid: {recipe.lr: [1e-3], options.width: [4], train.crop_px: [16], train.interval: [3], test.U: [4]}\n"
    mine[0].write_text(EXPERIMENT + grid)
    trial = plan_trials(load_experiment(mine[0]), load_profile(mine[1]), [0])[2].trial
    assert (trial.recipe.lr, trial.network.options["width"], trial.test.U) == (1e-3, 4, 4)
    assert (trial.train.crop_px, trial.train.interval) == (16, 3)


def test_what_a_row_declares_gives_way_to_the_profile(mine: tuple[Path, Path]) -> None:
    mine[0].write_text(spoiled(EXPERIMENT, "{T: 4, U: 4}", "{T: 4, U: 4, crop_px: 112, interval: 8}"))
    profile = load_profile(mine[1])
    trial = plan_trials(load_experiment(mine[0]), profile, [0])[0].trial
    assert (trial.train.crop_px, trial.train.interval) == (24, 8)  # the profile says nothing of the interval


def test_options_are_of_the_type_that_the_module_says(mine: tuple[Path, Path], tmp_path: Path) -> None:
    variant = tmp_path / "strength.py"
    variant.write_text(
        "from torch import nn\nfrom harness.models import register_aggregation\n"
        '@register_aggregation("strength_of_a_test", position="II")\n'
        "class Strength(nn.Module):\n"
        "    def __init__(self, channels: int, U: int, *, strength: float = 1.0, kind: str = 'a') -> None:\n"
        "        super().__init__()\n"
    )
    rows = [
        f"  - {{name: r{i}, aggregation: {{name: strength_of_a_test, strength: {value}}}}}\n"
        for i, value in enumerate(("1e-3", "0.001", "1.0e-3", '"1e-3"', "1/1000"))
    ]
    mine[0].write_text(EXPERIMENT + "".join(rows) + "variants: [strength.py]\n")
    trials = plan_trials(load_experiment(mine[0]), load_profile(mine[1]), [0])[2:]
    assert len({planned.id for planned in trials}) == 1
    assert trials[0].trial.network.aggregation is not None
    assert trials[0].trial.network.aggregation.options == {"strength": 0.001, "kind": "a"}
    for value, said in (
        ("fast", "option strength: expected a number"),
        ("true", "option strength: expected a number"),
    ):
        mine[0].write_text(EXPERIMENT + rows[0].replace("1e-3", value) + "variants: [strength.py]\n")
        _check(mine, mine[0], rf":16: row 'r0': aggregation 'strength_of_a_test': {said}, not ")


def test_a_place_for_anchors(mine: tuple[Path, Path]) -> None:
    text = spoiled(EXPERIMENT, "defaults:", "x-common: &module {name: dsa, alpha: 4}\ndefaults:")
    mine[0].write_text(text + "  - {name: other, aggregation: *module}\n")
    assert load_experiment(mine[0]).rows[2].aggregation.options == {"alpha": 4}


def test_a_name_that_yaml_would_read_otherwise_is_refused_with_the_hint_to_quote_it(
    mine: tuple[Path, Path],
) -> None:
    for name in ("no", "1:30", "2024-01-01"):
        mine[0].write_text(spoiled(EXPERIMENT, "name: plain", f"name: {name}"))
        _check(mine, mine[0], rf': not valid YAML: {name}: .*if text is meant, quote it: "{name}" \(line 8')
        mine[0].write_text(spoiled(EXPERIMENT, "name: plain", f'name: "{name}"'))
        assert load_experiment(mine[0]).rows[0].name == name


def test_a_recipe_stands_in_a_file_of_its_own_with_the_source_of_every_value(tmp_path: Path) -> None:
    for path in sorted((EXPERIMENTS / "recipes").glob("*.yaml")):
        found = load_recipe(path)
        assert found.recipe.model_fields_set == set(found.sources)
    text = (EXPERIMENTS / "recipes" / "smoke.yaml").read_text()
    with pytest.raises(UserError, match=r"smoke.yaml:\d+: sources: the recipe's 'lr' has no source"):
        load_recipe(write(tmp_path, "smoke", text.replace('  lr: "ours: a test of the machinery"\n', "")))


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("ablation_?.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("profile", ["smoke", "embedded", "embedded_gpu", "paper"])
def test_every_shipped_experiment_can_be_planned_under_every_profile(path: Path, profile: str) -> None:
    experiment = load_experiment(path.stem)
    expected = 0 if experiment.measure == "cost" else len(experiment.rows)
    assert len(plan_trials(experiment, load_profile(profile), [0])) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("beta: 1/8", "beta: 1/0", "mine.yaml:14: row 'module': aggregation.beta: "),
        ("alpha: 2", "alpha: 0", "mine.yaml:13: row 'module': alpha 0: "),
        ("U: 8", "U: 8: 9", "mine.yaml: not valid YAML: "),
    ],
)
def test_on_the_command_line_a_mistake_is_one_message_and_exit_code_2(
    mine: tuple[Path, Path], capsys: pytest.CaptureFixture[str], old: str, new: str, expected: str
) -> None:
    mine[0].write_text(spoiled(EXPERIMENT, old, new))
    with pytest.raises(SystemExit) as left:
        main.main(["plan", str(mine[0]), "--profile", str(mine[1])])
    told = capsys.readouterr()
    assert left.value.code == 2
    assert expected in told.err
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert told.out == ""

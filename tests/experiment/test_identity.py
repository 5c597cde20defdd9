"""A trial's id: moved by all that can change its numbers, and by nothing else."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.experiment import Trial, canonical_json, load_experiment, load_profile, trial_id
from harness.experiment.datasets import DatasetSpec, parse_dataset
from harness.experiment.identity import _NEWER_OPTIONS
from harness.experiment.load import ROOT
from harness.experiment.migrate import read_trial
from harness.experiment.recipe import Recipe
from harness.experiment.spec import Network
from harness.models import resolve
from harness.plan.expand import plan_trials
from tests.experiment.files import EXPERIMENT, PROFILE, spoiled, write

# A trial spelled out to the last field, in no need of any default or file.
RECIPE: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": 0.015,
    "weight_decay": 0.0001,
    "momentum": 0.9,
    "schedule": "steps",
    "warmup_epochs": 10.0,
    "milestones": [50, 75, 90],
    "epochs": 100,
    "batch_videos": 96,
    "clip_norm": 40.0,
    "augment": {"short_side": None, "crop": {"kind": "window"}, "flip": True},
    "new_layers_lr": 1.0,
    "bias_lr": 1.0,
    "decay_biases": True,
    "decay_norms": True,
    "frozen_norms": False,
    "nesterov": True,
    "lr_batch_videos": None,
}
TRIAL: dict[str, Any] = {
    "network": {
        "model": "i3d_r50",
        "options": {"width": 64, "stem_kernel": 7, "inflate": ["res4", "res5"], "dropout": 0.5},
        "inside": [],
        "aggregation": {
            "name": "dsa",
            "position": "II",
            "beta": 0.125,
            "placement": {"res3": [2, 4], "res4": [2, 4, 6]},
            "options": {"alpha": 2},
        },
    },
    "dataset": {"name": "mini_kinetics_200"},
    "train": {
        "T": 4,
        "U": 4,
        "mode": "snippets",
        "interval": 16,
        "crop_px": 224,
        "fps": None,
        "short": "repeat",
    },
    "test": {"U": 8, "crops": 3, "grouping": "interleaved", "crop_px": 224, "short_side": None},
    "input": {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "order": "rgb"},
    "start": {"kind": "scratch"},
    "recipe": RECIPE,
    "numerics": {
        "device": "cuda",
        "threads": 1,
        "precision": "bfloat16",
        "version": 1,
        "deterministic": True,
        "channels_last": True,
        "compile": False,
        "accumulate": 1,
        "gpus": 1,
        "sync_norms": False,
    },
    "seed": 0,
    "variants": [],
}
GOLDEN = "71b439c422db"  # what the first schema gave the same trial

_PLACED = {"position": "I", "beta": 1.0, "placement": {"res2": [1]}, "options": {}}
CHANGES: dict[str, Any] = {
    "network.model": "i3d_r18",
    "network.options": {"width": 32, "stem_kernel": 7, "inflate": ["res4", "res5"], "dropout": 0.5},
    "network.inside": [{"name": "shift", **_PLACED}],
    "network.aggregation": None,
    "network.aggregation.name": "v4d",
    "network.aggregation.position": "III",
    "network.aggregation.beta": 0.25,
    "network.aggregation.placement": {"res3": [2, 4]},
    "network.aggregation.options": {"alpha": 4},
    "dataset.name": "kinetics_400",
    "dataset.manifest": "0123456789ab",
    "dataset.decoder": "pyav",
    "dataset.folder_fps": 12,
    "dataset.short_side": 128,
    "dataset.held_out": 0.2,
    "dataset.held_out_seed": 1,
    "dataset.label_order": "v4d",
    "train.T": 8,
    "train.U": 8,
    "train.mode": "dense",
    "train.interval": 8,
    "train.crop_px": 112,
    "train.fps": 30,
    "train.short": "loop",
    "test.U": 4,
    "test.crops": 1,
    "test.grouping": "all",
    "test.crop_px": 256,
    "test.short_side": 256,
    "input.mean": [0, 0, 0],
    "input.std": [1, 1, 1],
    "input.order": "bgr",
    "start.kind": {"kind": "trunk", "dataset": {"name": "kinetics_400"}, "T": 4, "recipe": RECIPE, "seed": 0},
    "start#file": {"kind": "file", "sha256": "0" * 64, "source": None, "path": "a.pth"},
    "recipe.optimizer": "adamw",
    "recipe.lr": 0.0150001,
    "recipe.weight_decay": 0.0,
    "recipe.momentum": 0.8,
    "recipe.schedule": "cosine",
    "recipe.warmup_epochs": 9.5,
    "recipe.milestones": [50, 75],
    "recipe.epochs": 101,
    "recipe.batch_videos": 48,
    "recipe.clip_norm": 41.0,
    "recipe.augment": {"flip": False},
    "recipe.augment.flip": "swap",
    "recipe.augment.crop": {"kind": "random_resized"},
    "recipe.augment.crop.kind": "multi_scale",
    "recipe.augment.short_side": [256, 320],
    "recipe.new_layers_lr": 5.0,
    "recipe.bias_lr": 2.0,
    "recipe.decay_biases": False,
    "recipe.decay_norms": False,
    "recipe.frozen_norms": True,
    "recipe.nesterov": False,
    "recipe.lr_batch_videos": 64,
    "numerics.device": "cpu",
    "numerics.threads": 2,
    "numerics.precision": "float32",
    "numerics.version": 2,
    "numerics.deterministic": False,
    "numerics.channels_last": False,
    "numerics.compile": True,
    "numerics.accumulate": 2,
    "numerics.gpus": 2,
    "numerics.sync_norms": True,
    "seed": 1,
    "variants": [{"file": "mine.py", "source": "pass"}],
}


def _id(data: dict[str, Any]) -> str:
    return trial_id(Trial.model_validate(data))


def _changed(dotted: str, value: Any) -> dict[str, Any]:
    data = json.loads(json.dumps(TRIAL))
    if dotted.startswith("start"):
        return {**data, "start": value}
    *parents, leaf = dotted.split(".")
    inner = data
    for parent in parents:
        inner = inner[parent]
    inner[leaf] = value
    if dotted == "recipe.schedule":
        data["recipe"]["milestones"] = []
    return data


def _shuffled(value: Any, rng: random.Random) -> Any:
    """The same data, the keys of every mapping in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: _shuffled(value[key], rng) for key in keys}
    return value


def _leaves(value: dict[str, Any], before: str = "") -> set[str]:
    found: set[str] = set()
    for key, inner in value.items():
        deeper = isinstance(inner, dict) and key not in ("placement", "options")
        found |= _leaves(inner, f"{before}{key}.") if deeper else {f"{before}{key}"}
    return found


def test_the_id_is_what_it_always_was() -> None:
    assert _id(TRIAL) == GOLDEN, "every shipped record would lose its trial: is this change meant?"


def test_every_field_is_tried() -> None:
    assert _leaves(Trial.model_validate(TRIAL).model_dump(mode="json")) <= set(CHANGES)


@pytest.mark.parametrize(
    "name", [kind.model_fields["name"].default for kind in get_args(get_args(DatasetSpec)[0])]
)
def test_a_trial_of_every_dataset_is_read_back(name: str) -> None:
    """A record holds no place on a disk: none is needed to read it, and none is part of the id."""
    own = {"layout": "mmaction2", "train_list": "a.txt", "report_list": "b.txt", "classes": "c.txt"}
    places = {} if name == "scripted_digits" else {"root": "/a", "annotations": "/b", "copies": "/c"}
    spec = parse_dataset({"name": name, **places, **(own if name == "video_lists" else {})})
    trial = Trial.model_validate(TRIAL).model_copy(update={"dataset": spec})
    back = Trial.model_validate_json(trial.model_dump_json())
    assert back.dataset.name == name and trial_id(back) == trial_id(trial)


@pytest.mark.parametrize("dotted", CHANGES)
def test_every_field_that_can_change_numbers_changes_the_id(dotted: str) -> None:
    assert _id(_changed(dotted, CHANGES[dotted])) != GOLDEN


def test_all_these_changes_give_different_ids() -> None:
    assert len({_id(_changed(dotted, value)) for dotted, value in CHANGES.items()}) == len(CHANGES)


@given(st.randoms(use_true_random=False))
def test_key_order_does_not_change_the_id(rng: random.Random) -> None:
    assert _id(_shuffled(TRIAL, rng)) == GOLDEN


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("recipe.clip_norm", 40),
        ("recipe.warmup_epochs", 10),
        ("recipe.weight_decay", 1e-4),
        ("network.aggregation.options", {"alpha": 2.0}),
        ("recipe.epochs", 100.0),
        ("seed", 0.0),
    ],
)
def test_the_spelling_of_a_number_does_not_change_the_id(dotted: str, value: Any) -> None:
    assert _id(_changed(dotted, value)) == GOLDEN


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists)
)
def test_canonical_json_is_json_and_a_fixed_point(value: Any) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


def test_a_variant_counts_by_its_text_and_not_by_its_files_name() -> None:
    ids = [
        _id(_changed("variants", [{"file": file, "source": source}]))
        for file, source in (("a.py", "x = 1"), ("b.py", "x = 1"), ("a.py", "x = 2"))
    ]
    assert ids[0] == ids[1] != ids[2]


def test_the_id_survives_json_and_another_process() -> None:
    trial = Trial.model_validate(TRIAL)
    assert trial_id(Trial.model_validate_json(trial.model_dump_json())) == GOLDEN
    code = (
        "import sys; from harness.experiment import Trial, trial_id; "
        "print(trial_id(Trial.model_validate_json(sys.stdin.read())))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=trial.model_dump_json(),
        cwd=ROOT,
        env={"PYTHONHASHSEED": "7", "LANG": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == GOLDEN


SAME = {
    "a comment": ("alpha: 2", "alpha: 2 # two"),
    "the default left out": ("      alpha: 2\n", ""),
    "the name of the row": ("name: module", "name: another"),
    "the title": ("A user's own table", "T"),
    "the block's number for every second": ("stages: [res5]", "stages: [res5]\n      blocks: [2]"),
    "the share as a number": ("1/8", "0.125"),
    "the module's U": ("alpha: 2", "alpha: 2\n      U: 4"),
    "keys in another order": ("      position: II\n      alpha: 2\n", "      alpha: 2\n      position: II\n"),
    "options spelled out": ("alpha: 2", "options: {alpha: 2}"),
    "the paper's row": ("name: module", "name: module\n    paper: x"),
}
SAME_PROFILE = {
    "the description": ("For the tests.", "Else."),
    "the number of seeds": ("test:", "seeds: 9\ntest:"),
    "the resources": ("test:", "resources: {cpus: 2, max_retries: 0}\ntest:"),
    "the deviations": ("test:", "deviations: [none]\ntest:"),
    "the defaults spelled out": (
        "width: 8",
        "width: 8\n  stem_kernel: 7\n  inflate: [res5, res4]\n  interval: 16",
    ),
    "the dataset's defaults": ("scale: 0.5", "scale: 0.5\n  length: [72, 88]\n  seed: 0"),
    "a number's spelling": ("lr: 2.0e-3", "lr: 0.002"),
    "a rate without a point": ("lr: 2.0e-3", "lr: 2e-3"),
}


def _module_id(folder: Path, experiment: str, profile: str, name: str = "mine") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    loaded = load_experiment(write(folder, name, experiment))
    return plan_trials(loaded, load_profile(write(folder, "small", profile)), [0])[1].id


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_what_cannot_change_the_numbers_of_a_row(tmp_path: Path, change: tuple[str, str]) -> None:
    base = _module_id(tmp_path / "one", EXPERIMENT, PROFILE)
    assert _module_id(tmp_path / "two", spoiled(EXPERIMENT, *change), PROFILE) == base


@pytest.mark.parametrize("change", SAME_PROFILE.values(), ids=SAME_PROFILE.keys())
def test_what_cannot_change_the_numbers_of_a_profile(tmp_path: Path, change: tuple[str, str]) -> None:
    base = _module_id(tmp_path / "one", EXPERIMENT, PROFILE)
    assert _module_id(tmp_path / "two", EXPERIMENT, spoiled(PROFILE, *change)) == base


def test_the_names_of_experiment_and_profile_do_not_count(tmp_path: Path) -> None:
    base = _module_id(tmp_path / "one", EXPERIMENT, PROFILE)
    renamed = spoiled(EXPERIMENT, "name: mine", "name: yours")
    assert _module_id(tmp_path / "two", renamed, PROFILE, "yours") == base
    other = load_profile(write(tmp_path, "large", spoiled(PROFILE, "name: small", "name: large")))
    assert plan_trials(load_experiment(tmp_path / "one" / "mine.yaml"), other, [0])[1].id == base


def test_a_knob_of_the_dataset_changes_the_id(tmp_path: Path) -> None:
    base = _module_id(tmp_path / "one", EXPERIMENT, PROFILE)
    louder = spoiled(PROFILE, "scale: 0.5", "scale: 0.5\n  texture: 23")
    assert _module_id(tmp_path / "two", EXPERIMENT, louder) != base


BASELINES = sorted((ROOT / "results" / "baselines").glob("*/trials/*.parquet"))


def test_every_shipped_record_keeps_its_name() -> None:
    assert BASELINES
    for path in BASELINES:
        row = pq.read_table(path, columns=["config", "schema_version"]).to_pylist()[0]
        trial = read_trial(row["config"], row["schema_version"], str(path))
        assert trial_id(trial) == path.stem


def test_a_defaulted_field_may_be_added_to_a_trial_and_to_its_recipe() -> None:
    class LaterRecipe(Recipe):
        label_smoothing: float = 0.0

    class LaterTrial(Trial):
        recipe: LaterRecipe
        curriculum: str | None = None

    first = BASELINES[0]
    row = pq.read_table(first, columns=["config", "schema_version"]).to_pylist()[0]
    plain = read_trial(row["config"], row["schema_version"], str(first)).model_dump(mode="json")
    assert trial_id(LaterTrial.model_validate(plain)) == first.stem
    plain["recipe"]["label_smoothing"] = 0.1
    assert trial_id(LaterTrial.model_validate(plain)) != first.stem


@pytest.mark.parametrize("model", sorted(_NEWER_OPTIONS))
def test_an_option_newer_than_its_model_stays_out_at_its_default(model: str) -> None:
    resolved = Network.model_validate(asdict(resolve(model, {}, U=1, T=4)))
    newer = _NEWER_OPTIONS[model]
    assert {key: resolved.options[key] for key in newer} == newer, "the model's own default"
    older = {key: value for key, value in resolved.options.items() if key not in newer}
    changed = {**resolved.options, **{key: ("res5",) if key == "fuse" else True for key in newer}}
    ids = [
        trial_id(Trial.model_validate({**TRIAL, "network": {"model": model, "options": options}}))
        for options in (resolved.options, older, changed)
    ]
    assert ids[0] == ids[1] != ids[2]

"""The trial's identity: a hash of all that can change its numbers, and of nothing else.

Paths, hosts, comments, key order and table membership stay outside. A variant counts by its source text, not by its
file's name; the options of a module that is not there do not exist in the first place (`Network` is resolved).

Names outlive the schema. A trial is hashed in the words of the first schema (`_spelled`), and a field that is newer
than it stays out of the hash while it has its default (`_grown`), as does an option that is newer than its model
(`_NEWER_OPTIONS`): so a record keeps its name when a field or option is added, and such a default may never change.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from harness.experiment.datasets import ScriptedDigits, VideosPerClass
from harness.experiment.recipe import Recipe
from harness.experiment.sampling import TestProtocol, TrainSampling
from harness.experiment.spec import File, Numerics, Placed, Trial, Trunk

# The fields of the first schema, by class; in a class that is not here every field is newer.
_FIRST: dict[type[BaseModel], frozenset[str]] = {
    Recipe: frozenset(
        "optimizer lr weight_decay momentum schedule warmup_epochs milestones epochs batch_videos "
        "clip_norm".split()
    ),
    Numerics: frozenset("device threads precision version".split()),
    TrainSampling: frozenset("T U".split()),
    TestProtocol: frozenset("U crops grouping".split()),
    ScriptedDigits: frozenset(
        "name version actors scripts scale frame_width frame_height length fps lead gap unevenness copies cell_px "
        "speed_px jitter_px sprite_gain colour background texture distractors distractor_drift_px contrast brightness "
        "flicker flicker_period noise_sigma videos_per_class seed".split()
    ),
    VideosPerClass: frozenset("train val test".split()),
}
_SPELLED = frozenset("network dataset train test input start recipe numerics seed variants".split())
_HOST = {"path"}  # where something lies on this machine, as fields that no record holds (`exclude`) do
_ALWAYS_THERE: dict[str, Any] = {
    "width": 64,
    "stem_kernel": 7,
    "inflate": (),
    "dropout": 0.5,
}  # in the first schema

# model -> options that came after its first records, and their defaults
_NEWER_OPTIONS: dict[str, dict[str, Any]] = {
    "eco_lite": {"small_input": False},
    "mvfnet_r18": {"fuse": ("res4", "res5")},
    "mvfnet_r50": {"fuse": ("res4", "res5")},
}


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces; integral floats are written as integers, so `1` and `1.0` are one value."""
    return json.dumps(_plain(data), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def trial_id(trial: Trial) -> str:
    """Twelve hex digits, stable across machines, sessions and schemas."""
    return hashlib.sha256(canonical_json(_spelled(trial)).encode()).hexdigest()[:12]


def _spelled(trial: Trial) -> dict[str, Any]:
    """The trial in the words of the first schema, with what is newer beside them."""
    sample, test = _grown(trial.train), _grown(trial.test)
    crop_px, interval = sample.pop("crop_px"), sample.pop("interval", None)
    if test.get("crop_px") == crop_px:
        del test["crop_px"]
    sources = [hashlib.sha256(v.source.encode()).hexdigest() for v in trial.variants]
    trunk = trial.start if isinstance(trial.start, Trunk) else None
    spelled = {
        "network": _network(trial),
        "dataset": _grown(trial.dataset),
        "train": sample,
        "test": test,
        "crop_px": crop_px,
        "interval": interval,
        "pretraining": None if trunk is None else _pretraining(trunk, trial),
        "recipe": _recipe(trial.recipe, trial),
        "numerics": _grown(trial.numerics),
        "seed": trial.seed,
        "variant": {"source": sources[0]} if len(sources) == 1 else None,
    }
    if len(sources) > 1:
        spelled["variants"] = sorted(sources)
    if isinstance(trial.start, File):
        spelled["start"] = _grown(trial.start)
    if trial.input.order != "rgb":
        spelled["order"] = trial.input.order
    newer = {name: value for name, value in _grown(trial).items() if name not in _SPELLED}
    return {**spelled, **newer}


def _network(trial: Trial) -> dict[str, Any]:
    """One flat mapping: the first schema knew one family, whose options stood beside the module's place."""
    network = trial.network
    across = network.aggregation
    placed = Placed(name="average", position="", placement={}, options={}) if across is None else across
    newer = _NEWER_OPTIONS.get(network.model, {})
    spelled: dict[str, Any] = {
        **_ALWAYS_THERE,
        **{key: value for key, value in network.options.items() if newer.get(key, ...) != value},
        "backbone": network.model,
        "aggregation": placed.name,
        "position": placed.position or None,
        "beta": placed.beta,
        "placement": placed.placement,
        "options": placed.options,
    }
    if network.inside:
        spelled["inside"] = [one.model_dump(mode="json") for one in network.inside]
    return spelled


def _pretraining(trunk: Trunk, trial: Trial) -> dict[str, Any]:
    return {
        "dataset": _grown(trunk.dataset),
        "T": trunk.T,
        "recipe": _recipe(trunk.recipe, trial),
        "seed": trunk.seed,
    }


def _recipe(recipe: Recipe, trial: Trial) -> dict[str, Any]:
    """`cosine` was called one_cycle, a flip stood alone, and the input's mean and std were in the recipe."""
    spelled = {**_grown(recipe), "mean": trial.input.mean, "std": trial.input.std}
    augment = _grown(recipe.augment)
    spelled["horizontal_flip"] = augment.pop("flip", False) is True
    if recipe.augment.flip == "swap":
        augment["flip"] = "swap"
    spelled.pop("augment", None)
    if augment:
        spelled["augment"] = augment
    if recipe.schedule == "cosine":
        spelled["schedule"] = "one_cycle"
    return spelled


def _grown(model: BaseModel) -> dict[str, Any]:
    """The fields of the first schema, and of the newer ones those that are not at their default."""
    first = {"name", "kind"}.union(*(fields for kind, fields in _FIRST.items() if isinstance(model, kind)))
    found = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        grown = name in first or field.is_required() or value != field.get_default(call_default_factory=True)
        if grown and name not in _HOST and not field.exclude:
            found[name] = _grown(value) if isinstance(value, BaseModel) else value
    return found

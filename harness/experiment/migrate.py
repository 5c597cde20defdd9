"""Older records: one function a version, each from the config of schema n to that of n + 1.

A record's config is migrated when it is read; its file stays as it is, and so does its name
(`harness.experiment.identity`). Each version has a kept file in tests/experiment/kept/ as its test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from harness.base.errors import UserError
from harness.experiment.spec import Trial

SCHEMA_VERSION = 2
_FAMILY = ("width", "stem_kernel", "inflate", "dropout")  # what the first schema's one family was set by


def _from_1(old: dict[str, Any]) -> dict[str, Any]:
    """Flat network, crop and interval on top, mean and std in the recipe, pretraining, one variant."""
    network, recipe = dict(old["network"]), dict(old["recipe"])
    options = {
        key: network[key] for key in _FAMILY if key != "inflate" or network["backbone"].startswith("i3d")
    }
    across = {key: network[key] for key in ("position", "beta", "placement", "options")}
    average = network["aggregation"] == "average"
    crop_px = old["crop_px"]
    return {
        "network": {
            "model": network["backbone"],
            "options": options,
            "inside": [],
            "aggregation": None if average else {"name": network["aggregation"], **across},
        },
        "dataset": old["dataset"],
        "train": {**old["train"], "interval": old["interval"], "crop_px": crop_px},
        "test": {**old["test"], "crop_px": crop_px},
        "input": {"mean": recipe["mean"], "std": recipe["std"]},
        "start": _start_from_1(old.get("pretraining")),
        "recipe": _recipe_from_1(recipe),
        "numerics": old["numerics"],
        "seed": old["seed"],
        "variants": [old["variant"]] if old.get("variant") else [],
    }


def _start_from_1(pretraining: dict[str, Any] | None) -> dict[str, Any]:
    if pretraining is None:
        return {"kind": "scratch"}
    return {"kind": "trunk", **pretraining, "recipe": _recipe_from_1(pretraining["recipe"])}


def _recipe_from_1(recipe: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in recipe.items() if key not in ("mean", "std", "horizontal_flip")}
    augment = {"flip": recipe["horizontal_flip"]}
    return {
        **kept,
        "augment": augment,
        "schedule": "cosine" if recipe["schedule"] == "one_cycle" else recipe["schedule"],
    }


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}


def read_trial(config: str, version: int, where: str) -> Trial:
    """The trial of a record of schema `version`; `where` names its file in messages.

    Raises UserError for a record of a newer schema, or one that is not what its version says.
    """
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{where}: written by a newer version of the harness (schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); update the harness"
        )
    try:
        data = json.loads(config)
        for older in range(version, SCHEMA_VERSION):
            data = _STEPS[older](data)
        return Trial.model_validate(data)
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{where}: its config is not of schema {version} ({type(error).__name__}: {first}). "
            "Move it away, or run the experiment again: its trial counts as not done"
        ) from None

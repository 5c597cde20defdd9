"""Datasets by name, and where they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.base.errors import UserError, near_match
from harness.base.files import folder_from
from harness.data.digits.script import ScriptedDigits

PUBLISHED = ("mini_kinetics_200", "kinetics_400", "activitynet_1_3", "something_v1")


class PublishedDataset(BaseModel):
    """A dataset of the paper. It can be planned and costed; its videos cannot be read yet (see docs/real_data.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["mini_kinetics_200", "kinetics_400", "activitynet_1_3", "something_v1"]


DatasetSpec = ScriptedDigits | PublishedDataset
_SPECS: dict[str, type[ScriptedDigits] | type[PublishedDataset]] = {
    "scripted_digits": ScriptedDigits,
    **dict.fromkeys(PUBLISHED, PublishedDataset),
}


def dataset_spec(data: Mapping[str, Any]) -> DatasetSpec:
    """A profile's `dataset` mapping as a typed specification. Raises UserError for an unknown name or knob."""
    name = data.get("name")
    if name not in _SPECS:
        raise UserError(
            f"unknown dataset {name!r}{near_match(str(name), _SPECS)}; known: {', '.join(_SPECS)}"
        )
    model = _SPECS[name]
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise UserError("; ".join(_explain(e, model) for e in error.errors(include_url=False))) from None


def _explain(error: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(step) for step in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}{near_match(key, model.model_fields)}"
    return f"{key}: {error['msg'].removeprefix('Value error, ')}"


def data_root() -> Path:
    """Where prepared datasets live: $HARNESS_DATA, else `data/` beside the package. Never part of an identity."""
    return folder_from("HARNESS_DATA", Path(__file__).resolve().parents[2] / "data")

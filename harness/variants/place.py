"""A variant in a baseline's place: the baseline's row, with another module standing where its own stood."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from harness.base.errors import UserError
from harness.experiment.load import aggregation_for_variant
from harness.experiment.spec import Row


def variant_row(base: Row, name: str, options: Mapping[str, Any]) -> Row:
    """`base` with the module `name` at the same position, stages, blocks and share of channels.

    Backbone, snippets and test protocol stay. A base without a module leaves the places to the variant's own
    registered ones.
    """
    aggregation = aggregation_for_variant(base.aggregation, name).model_copy(
        update={"options": dict(options)}
    )
    return base.model_copy(update={"name": label(name, options), "aggregation": aggregation, "paper": None})


def label(name: str, options: Mapping[str, Any]) -> str:
    """`temporal_conv`, or with options `temporal_conv kernel=5`."""
    return " ".join([name, *(f"{key}={value}" for key, value in options.items())])


def option_grid(texts: Sequence[str]) -> list[dict[str, Any]]:
    """`["rank=4,16", "kernel=3"]` as every combination of the values: one dict a row; no text, one empty dict.

    Values are read as YAML scalars (5, 0.5, true, text). Raises UserError for what is not `key=value`.
    """
    values: dict[str, list[Any]] = {}
    for text in texts:
        key, separator, listed = text.partition("=")
        if not (separator and key.isidentifier() and listed):
            raise UserError(f"--option {text!r}: expected key=value, or key=value,value for one row each")
        if key in values:
            raise UserError(f"--option {key}: given twice; write --option {key}=value,value for one row each")
        values[key] = [_scalar(key, value) for value in listed.split(",")]
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


def _scalar(key: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if not isinstance(value, int | float | str | bool):
        raise UserError(f"--option {key}={text}: expected a number, true, false or a word")
    return value

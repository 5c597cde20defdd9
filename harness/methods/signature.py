"""What numbers must have in common to stand in one column.

Test views differ between rows on purpose (the paper's protocol) and have a column of their own; all else must
agree.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from harness.base.text import known
from harness.experiment.identity import canonical_json


@dataclass(frozen=True)
class Signature:
    """The fields that a fair column shares. `recipe` is a hash; `metrics` the version of code and schema."""

    dataset: str
    crop: str
    decoder: str
    recipe: str
    arithmetic: str
    metrics: str

    def text(self) -> str:
        """One line under a table."""
        return ", ".join(f"{name} {value}" for name, value in asdict(self).items())

    def differences(self, other: Signature) -> str:
        """`recipe 3f2a91 instead of 77ab01`, for every field that is not the other's."""
        own, their = asdict(self), asdict(other)
        return ", ".join(
            f"{name} {own[name]} instead of {their[name]}" for name in own if own[name] != their[name]
        )


def signature_of(line: pd.Series) -> Signature:
    """The signature of one line of `harness.results.load()`."""
    config = json.loads(line["config"])
    return Signature(
        dataset=f"{line['dataset']}@{known(line.get('dataset_manifest'))[:12]}",
        crop=f"{config['crop_px']} px",
        decoder=f"decord {known(line.get('provenance_version_decord'))}",
        recipe=short_hash(config["recipe"]),
        arithmetic=f"{config['numerics']['precision']}/{config['numerics']['device']}",
        metrics=f"v{config['numerics']['version']}.{line.get('schema_version', 1):.0f}",
    )


def short_hash(data: Any) -> str:
    """Eight hex digits of a declared thing (a recipe), whatever the order of its keys."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()[:8]


def common_signature(signatures: Iterable[Signature]) -> Signature | None:
    """The signature of most records; of several equally frequent ones the first. None without records."""
    counted = Counter(signatures)
    return counted.most_common(1)[0][0] if counted else None

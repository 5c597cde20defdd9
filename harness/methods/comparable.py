"""May two methods be compared? What must agree, what is only worth a note.

Must agree: dataset and its manifest, test videos, test protocol, recipe, pretraining, scale, decoder, precision,
device and the versions of the arithmetic and of the records. Only noted: what the methods are (backbone, snippets),
and where they ran. Rows that one experiment declares side by side may differ in test views: those are the paper's,
part of the row, and stand in every table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.base.text import known
from harness.experiment.identity import canonical_json
from harness.methods.method import Method
from harness.results.answers import answers

PROTOCOL = "protocol"


@dataclass(frozen=True)
class Difference:
    """One field in which two methods differ, with both values as text."""

    field: str
    new: str
    base: str

    def words(self, new: str, base: str) -> str:
        return f"{self.field} is {self.new} for {new}, {self.base} for {base}"


def refusals(new: Method, base: Method) -> list[Difference]:
    """Every field that forbids the comparison; empty where it is fair. Both need at least one record."""
    found = _differences(map(must_agree, _rows(new)), map(must_agree, _rows(base)))
    if declared_together(new, base):
        found = [d for d in found if d.field != PROTOCOL]
    return found or _test_videos(new, base)


def notes(new: Method, base: Method) -> list[Difference]:
    """What a reader should know though it does not forbid the comparison."""
    found = _differences(map(_worth_knowing, _rows(new)), map(_worth_knowing, _rows(base)))
    views = _differences(map(must_agree, _rows(new)), map(must_agree, _rows(base)))
    return found + [Difference("test views", d.new, d.base) for d in views if d.field == PROTOCOL]


def declared_together(new: Method, base: Method) -> bool:
    """Whether one experiment declares both as rows of one table, in one profile."""
    both_rows = new.trial.variant is None and base.trial.variant is None
    return both_rows and new.table is not None and new.table == base.table


def _rows(method: Method) -> list[pd.Series]:
    return [line for _, line in method.lines.iterrows()]


def _differences(new: Iterable[dict[str, str]], base: Iterable[dict[str, str]]) -> list[Difference]:
    """Fields that do not have one and the same value in all records of both."""
    new_rows, base_rows = list(new), list(base)
    fields = dict.fromkeys(key for facts in (*new_rows, *base_rows) for key in facts)
    found = []
    for name in fields:
        ours, theirs = ({facts.get(name, "absent") for facts in rows} for rows in (new_rows, base_rows))
        if len(ours | theirs) > 1:
            found.append(Difference(name, " and ".join(sorted(ours)), " and ".join(sorted(theirs))))
    return found


def must_agree(line: pd.Series) -> dict[str, str]:
    """The fields of one line of `harness.results.load()` that a fair comparison shares, as text."""
    config = json.loads(line["config"])
    network, test, numerics = config["network"], config["test"], config["numerics"]
    facts = {
        **_flat("dataset", config["dataset"]),
        "dataset manifest": known(line.get("dataset_manifest"))[:12],
        PROTOCOL: f"{test['U']} snippets ({test['grouping']}) × {test['crops']} crop{'s' * (test['crops'] > 1)}",
        **_flat("recipe", config["recipe"]),
        **_flat("pretraining", config.get("pretraining") or {"kind": "none"}),
        **{f"scale.{key}": str(network[key]) for key in ("width", "stem_kernel", "dropout")},
        **{f"scale.{key}": str(config[key]) for key in ("crop_px", "interval")},
        **{f"numerics.{key}": str(numerics[key]) for key in ("precision", "device", "version")},
        "decoder": f"decord {known(line.get('provenance_version_decord'))}",
        "record version": f"{line.get('schema_version', 1):.0f}",
    }
    if network["backbone"].startswith("i3d"):  # the 2D networks have no temporal kernels to place
        facts["scale.inflate"] = ", ".join(network["inflate"]) or "none"
    return facts


def _worth_knowing(line: pd.Series) -> dict[str, str]:
    config = json.loads(line["config"])
    return {
        "backbone": config["network"]["backbone"],
        "training snippets (T × U)": f"{config['train']['T']} × {config['train']['U']}",
        "machine": known(line.get("provenance_processor")),
        "torch": known(line.get("provenance_version_torch")),
        "threads": str(config["numerics"]["threads"]),
        "commit": _commit(line),
    }


def _commit(line: pd.Series) -> str:
    dirty = " with uncommitted changes" if line.get("provenance_dirty") in (True, 1.0) else ""
    return known(line.get("provenance_commit"))[:8] + dirty


def _flat(prefix: str, data: Any) -> dict[str, str]:
    """Nested settings as dotted names."""
    if not isinstance(data, dict):
        return {prefix: canonical_json(data) if isinstance(data, list) else str(data)}
    return {k: v for key, inner in data.items() for k, v in _flat(f"{prefix}.{key}", inner).items()}


def _test_videos(new: Method, base: Method) -> list[Difference]:
    """Records of one manifest have the same test videos; a store that was tampered with does not."""
    every = {
        name: {answers(line["root"], line["id"]).videos for line in _rows(method)}
        for name, method in (("new", new), ("base", base))
    }
    if len(every["new"] | every["base"]) == 1:
        return []
    counts = {name: " and ".join(sorted(f"{len(v)} videos" for v in sets)) for name, sets in every.items()}
    return [Difference("test videos", counts["new"], f"{counts['base']}, not the same ones")]

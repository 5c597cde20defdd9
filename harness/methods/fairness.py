"""May two methods stand side by side? The one rule of tables, of `harness compare` and of the report page.

A trial's settings and its record's surroundings are one flat mapping `dotted field -> text` (`facts`); `RULES` says
what each field is. The first rule whose prefix fits decides, so a new field, a new option or a new family needs no
code: it is part of the section that it stands in.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import pandas as pd

from harness.base.text import dotted, known
from harness.experiment.identity import canonical_json
from harness.methods.method import Method

Kind = Literal["must", "is", "said", "noted"]
Facts = Mapping[str, str]
ABSENT = "absent"
VIEWS, SNIPPETS, WEIGHTS = "test views", "training snippets (T × U)", "starting weights"


@dataclass(frozen=True)
class Rule:
    """What a field is, for the field `prefix` and for all below it.

    must    agrees, or nothing is compared; where an experiment declares `word` under `differ`, its rows may differ, and
            that is noted
    is      what the method is; said  likewise, and worth a word beside a verdict
    noted   where it ran: no reason to refuse, but a reader should know
    shared  asked only of those that have the field at all: the width of all networks, not the option of one of them
    """

    prefix: str
    kind: Kind
    word: str | None = None
    shared: bool = False


RULES = (
    Rule("seed", "is"),
    Rule("variants", "is"),
    Rule("dataset", "must"),
    Rule("dataset manifest", "must"),
    Rule(VIEWS, "must", "views"),
    Rule("test", "must", "crop"),
    Rule("train.crop_px", "must", "crop"),
    Rule(SNIPPETS, "said"),
    Rule("train", "must", "sampling"),
    Rule("input", "must", "input"),
    Rule("start.path", "is"),  # where a file lies; its hash says which it is
    Rule("start", "must", "start"),
    Rule(WEIGHTS, "noted", shared=True),  # of one declaration, made by another machine's rounding
    Rule("recipe", "must", "recipe"),
    Rule("numerics.threads", "noted"),
    Rule("numerics", "must"),
    Rule("network.model", "said"),
    Rule("network.options.dropout", "must", "recipe", shared=True),
    *(
        Rule(f"network.options.{key}", "must", "scale", shared=True)
        for key in ("width", "stem_kernel", "inflate")
    ),
    Rule("network", "is"),
    Rule("decoder", "must"),
    Rule("machine", "noted"),
    Rule("torch", "noted"),
    Rule("commit", "noted"),
)
_NAMES = ("dataset.name", "start.kind", "recipe.optimizer")  # where these differ, what hangs on them does too


@dataclass(frozen=True)
class Difference:
    """One field in which two methods differ, with both values as text."""

    field: str
    new: str
    base: str

    def words(self, new: str, base: str) -> str:
        return f"{self.field} is {self.new} for {new}, {self.base} for {base}"


@cache
def rule_of(field: str) -> Rule:
    """The first rule of a field; one that no rule knows must agree."""
    return next(
        (r for r in RULES if field == r.prefix or field.startswith(f"{r.prefix}.")), Rule(field, "must")
    )


def facts(line: pd.Series | Mapping[Any, Any]) -> dict[str, str]:
    """All that is known of one line of `harness.results.load()`, by dotted field."""
    dirty = " with uncommitted changes" if line.get("provenance_dirty") in (True, 1.0) else ""
    weights = known(line.get("provenance_start_sha256"), "")[:8]
    return {
        **trial_facts(line["config"]),
        "dataset manifest": known(line.get("dataset_manifest"))[:12],
        "decoder": f"decord {known(line.get('provenance_version_decord'))}",
        **({f"{WEIGHTS}.{line['model']}": weights} if weights else {}),
        "machine": known(line.get("provenance_processor")),
        "torch": known(line.get("provenance_version_torch")),
        "commit": known(line.get("provenance_commit"))[:8] + dirty,
    }


def trial_facts(config_json: str) -> dict[str, str]:
    """A trial's own settings by dotted field; its test views and its training snippets are one field each."""
    config = json.loads(config_json)
    test, train = config["test"], config["train"]
    views = (
        f"{test.pop('U')} snippets ({test.pop('grouping')}) × {test['crops']} crop{'s' * (test['crops'] > 1)}"
    )
    if short_side := test.pop("short_side", None):
        views += f", short side {short_side} px"
    test.pop("crops")
    snippets = f"{train.pop('T')} × {train.pop('U')}"
    told = {
        field: canonical_json(value) if isinstance(value, list) else str(value)
        for field, value in dotted(config)
        if value not in (None, [], {})  # they say nothing
    }
    return {**told, VIEWS: views, SNIPPETS: snippets}


def refusals(new: Method, base: Method) -> list[Difference]:
    """Every field that forbids the comparison; empty where it is fair. Both need at least one record."""
    found = [d for d in _differences(new, base) if _forbids(rule_of(d.field), _allowed(new, base))]
    return _told_once(found) or _test_videos(new, base)


def notes(new: Method, base: Method) -> list[Difference]:
    """What a reader should know though it does not forbid the comparison."""
    allowed = _allowed(new, base)
    told = [d for d in _differences(new, base) if _worth_a_word(rule_of(d.field), allowed)]
    return _told_once(sorted(told, key=lambda d: rule_of(d.field).kind == "noted"))


def declared_together(new: Method, base: Method) -> bool:
    """Whether one experiment declares both as rows of one table, in one profile (a variant is no row of it)."""
    return new.is_row and base.is_row and new.table is not None and new.table == base.table


def _allowed(new: Method, base: Method) -> frozenset[str]:
    """What the two may differ in by declaration. Test views stand in a column of every table: they are declared."""
    return new.differ | {"views"} if declared_together(new, base) else frozenset()


def _forbids(rule: Rule, allowed: Collection[str]) -> bool:
    return rule.kind == "must" and rule.word not in allowed


def _worth_a_word(rule: Rule, allowed: Collection[str]) -> bool:
    return rule.kind in ("said", "noted") or (rule.kind == "must" and rule.word in allowed)


def _differences(new: Method, base: Method) -> list[Difference]:
    """Fields that do not have one and the same value in all records of both."""
    sides = [[facts(line) for line in method.records] for method in (new, base)]
    found = []
    for field in dict.fromkeys(field for side in sides for one in side for field in one):
        ours, theirs = (_values(field, side) for side in sides)
        if len(ours | theirs) > 1:
            found.append(Difference(field, *(" and ".join(sorted(v)) or ABSENT for v in (ours, theirs))))
    return found


def _values(field: str, side: Sequence[Facts]) -> set[str]:
    """The values of a field; one that only some networks have is no difference for those that have it not."""
    values = {one.get(field, ABSENT) for one in side}
    return values - {ABSENT} if rule_of(field).shared else values


def _told_once(found: list[Difference]) -> list[Difference]:
    """Of two datasets, say that they are two, not each of their settings."""
    for name in _NAMES:
        if any(d.field == name for d in found):
            found = [d for d in found if d.field == name or not d.field.startswith(name.split(".")[0] + ".")]
    return found


def _test_videos(new: Method, base: Method) -> list[Difference]:
    """Records of one manifest have the same test videos; a store that was tampered with does not."""
    every = {
        side: {method.answers(seed).videos for seed in method.seeds}
        for side, method in (("new", new), ("base", base))
    }
    if len(every["new"] | every["base"]) == 1:
        return []
    counts = {name: " and ".join(sorted(f"{len(v)} videos" for v in sets)) for name, sets in every.items()}
    return [Difference("test videos", counts["new"], f"{counts['base']}, not the same ones")]


def setting_of(records: Iterable[Facts], allowed: Collection[str]) -> dict[str, str]:
    """What the numbers of one table have in common: the setting that most of its records agree with.

    The first of several equally frequent ones. Fields that may differ by declaration are no part of it.
    """
    counted = Counter(
        tuple(sorted((f, v) for f, v in one.items() if _forbids(rule_of(f), allowed))) for one in records
    )
    if not counted:
        return {}
    kinds = [dict(kind) for kind in counted]
    weight = dict(zip(map(id, kinds), counted.values(), strict=True))

    def company(kind: dict[str, str]) -> int:
        return sum(weight[id(other)] for other in kinds if not departures(other, kind, allowed))

    most = max(kinds, key=company)
    setting = dict(most)
    for kind in sorted(kinds, key=lambda kind: -weight[id(kind)]):
        if not departures(kind, setting, allowed):
            setting |= kind  # an option that the first network does not have
    return setting


def departures(one: Facts, setting: Facts, allowed: Collection[str]) -> list[str]:
    """`recipe.lr 0.002 instead of 0.004`, for every field in which a record leaves a table's setting."""
    found = []
    for field in dict.fromkeys((*one, *setting)):
        rule = rule_of(field)
        own, common = one.get(field, ABSENT), setting.get(field, ABSENT)
        if own == common or not _forbids(rule, allowed) or (rule.shared and ABSENT in (own, common)):
            continue
        found.append(Difference(field, own, common))
    return [f"{d.field} {d.new} instead of {d.base}" for d in _told_once(found)]


def table_notes(methods: Sequence[Method], allowed: Collection[str]) -> list[str]:
    """Under a table: in what its rows differ by declaration, and what their records were not all made with."""
    by_method = {m.label: [facts(line) for line in m.records] for m in methods if len(m.lines)}
    every = [one for records in by_method.values() for one in records]
    declared, told = [], []
    for field in dict.fromkeys(field for one in every for field in one):
        rule, values = rule_of(field), Counter(one.get(field, ABSENT) for one in every)
        if rule.shared:
            del values[ABSENT]
        if len(values) == 1:
            continue
        if rule.kind == "must" and rule.word in allowed and rule.word != "views":
            declared.append(f"{field} ({_by_value(field, by_method)})")
        elif rule.kind == "noted" and field != "commit":  # the caption names the commits
            told.append(
                f"{field} ({'; '.join(f'{value}: {n} records' for value, n in values.most_common())})"
            )
    return [
        *([f"Rows differ by declaration in {', '.join(declared)}."] if declared else []),
        *([f"Not all records were made with the same {', '.join(told)}."] if told else []),
    ]


def _by_value(field: str, by_method: Mapping[str, Sequence[Facts]]) -> str:
    rows: dict[str, list[str]] = {}
    for label, records in by_method.items():
        for value in dict.fromkeys(one.get(field, ABSENT) for one in records):
            rows.setdefault(value, []).append(label)
    return "; ".join(f"{value}: {', '.join(labels)}" for value, labels in rows.items())


def short_hash(data: Any) -> str:
    """Eight hex digits of a declared thing (a recipe), whatever the order of its keys."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()[:8]

"""One side of a comparison: its records, seed by seed, and its answers to the test videos."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from harness.base.errors import UserError, near_match
from harness.experiment.identity import canonical_json
from harness.experiment.spec import Trial
from harness.plan.expand import Planned

NOT_RUN = "not run"


@dataclass(frozen=True)
class Method:
    """A network with its records.

    label     how it is called
    origin    where it is declared: `ablation_a:DSA+I3D 4x4`, a variant's file, a selector
    table     the experiment and profile that declare it (None for selected records)
    trial     its trial (of the first seed)
    lines     lines of `harness.results.load()`, done, one a seed, indexed by seed in ascending order
    problems  seed -> why there is no record
    """

    label: str
    origin: str
    table: tuple[str, str] | None
    trial: Trial
    lines: pd.DataFrame
    problems: dict[int, str] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        return [int(seed) for seed in self.lines.index]


def method_of_trials(planned: Sequence[Planned], frame: pd.DataFrame, label: str, origin: str) -> Method:
    """A row's trials (one a seed) with the records that there are."""
    first = planned[0]
    by_id = frame.set_index("id", drop=False) if len(frame) else pd.DataFrame()
    problems = {p.seed: why for p in planned if (why := _problem(p.id, by_id))}
    done = [p.id for p in sorted(planned, key=lambda p: p.seed) if p.seed not in problems]
    lines = by_id.loc[done].set_index("seed", drop=False) if done else pd.DataFrame()
    return Method(label, origin, (first.experiment, first.profile), first.trial, lines, problems)


def _problem(trial_id: str, by_id: pd.DataFrame) -> str | None:
    if trial_id not in by_id.index:
        return NOT_RUN
    line = by_id.loc[trial_id]
    if line["status"] == "done":
        return None
    return f"{line['status']}: {line['reason']}"


def method_of_records(text: str, frame: pd.DataFrame) -> Method:
    """Records by `column=value,column=value`. Raises UserError where they are none, or not one method."""
    done = frame[frame["status"] == "done"] if len(frame) else frame
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key.strip() not in done.columns:
            raise UserError(f"{text!r}: records have no column {key!r}{near_match(key, done.columns)}")
        done = done[[_same(found, value.strip()) for found in done[key.strip()]]]
    if not len(done):
        raise UserError(f"{text!r}: no finished trial is like this; `harness status` lists what is there")
    trials = [Trial.model_validate_json(config) for config in done["config"]]
    _refuse_several(text, trials)
    lines = done.set_index(done["seed"].astype(int), drop=False).sort_index()
    return Method(text, text, None, trials[0], lines)


def _same(found: object, value: str) -> bool:
    if isinstance(found, int | float) and not isinstance(found, bool):
        try:
            return float(found) == float(value)
        except ValueError:
            return False
    return str(found) == value


def _refuse_several(text: str, trials: Sequence[Trial]) -> None:
    """All must be one trial but for the seed; else the message names a column that tells them apart."""
    plain = [trial.model_dump(mode="json", exclude={"seed"}) for trial in trials]
    if len({canonical_json(p) for p in plain}) == 1:
        return
    differing = [key for key in plain[0] if len({canonical_json(p[key]) for p in plain}) > 1]
    if differing[0] == "network":
        networks = [p["network"] for p in plain]
        differing = [k for k in networks[0] if len({canonical_json(n[k]) for n in networks}) > 1]
    values = sorted({json.dumps(_value(p, differing[0])) for p in plain})[:5]
    raise UserError(
        f"{text!r}: these {len(trials)} records are several methods: they differ in {', '.join(differing)} "
        f"({differing[0]}: {', '.join(values)}); narrow it down"
    )


def _value(plain: dict[str, object], key: str) -> object:
    network = plain["network"]
    return network[key] if isinstance(network, dict) and key in network else plain[key]

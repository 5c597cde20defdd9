"""The rows of an experiment as methods, and the setting that their numbers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from harness.experiment.spec import Experiment, Profile
from harness.methods.fairness import departures, facts, setting_of
from harness.methods.method import Method, method_of_trials
from harness.plan.expand import plan_trials


@dataclass(frozen=True)
class Gathered:
    """All rows of an experiment in a profile.

    setting  the fields that all numbers share (`fairness.setting_of`); empty without records
    allowed  what rows may differ in by declaration
    """

    experiment: Experiment
    profile: Profile
    seeds: tuple[int, ...]
    methods: tuple[Method, ...]
    setting: Mapping[str, str]
    allowed: frozenset[str]

    @cached_property
    def done(self) -> pd.DataFrame:
        """Lines of all records that agree, each trial once."""
        leaves = [leaf for method in self.methods for leaf in (method.components or (method,))]
        frames = [leaf.lines for leaf in leaves if len(leaf.lines)]
        return pd.concat(frames).drop_duplicates("id") if frames else pd.DataFrame()


def gather(
    experiment: Experiment,
    profile: Profile,
    frame: pd.DataFrame,
    seeds: Sequence[int] | None = None,
) -> Gathered:
    """Match an experiment's trials with the records of `harness.results.load()`.

    `seeds` None: every seed of which any row has a record (none at all: the profile's own seeds). A record that does
    not agree with the setting of most gives no number, and the seed's problem says in what. Raises UserError for a row
    whose network cannot be built.
    """
    candidates = range(profile.seeds) if seeds is None else seeds
    known = [] if seeds is not None or "seed" not in frame else frame["seed"].dropna().astype(int).tolist()
    planned = plan_trials(experiment, profile, sorted({*candidates, *known}))
    lines = frame[frame["id"].isin({p.id for p in planned})]
    if seeds is None:
        there = set(lines["id"])
        seen = {p.seed for p in planned if p.id in there} or set(candidates)
        planned = [p for p in planned if p.seed in seen]
    allowed = frozenset(experiment.differ) | {"views"}
    methods: dict[str, Method] = {}
    for row in experiment.rows if planned else ():
        own = [p for p in planned if p.row == row.name]
        if own:
            origin = f"{experiment.name}:{row.name}"
            methods[row.name] = method_of_trials(own, lines, row.name, origin, row=row, differ=allowed)
    known_facts = {i: facts(line) for m in methods.values() for i, line in _by_id(m).items()}
    setting = setting_of(known_facts.values(), allowed)
    for name, method in methods.items():
        unfair = {
            int(line["seed"]): f"not comparable: {', '.join(left)}"
            for i, line in _by_id(method).items()
            if (left := departures(known_facts[i], setting, allowed))
        }
        methods[name] = method.without(unfair) if unfair else method
    for row in experiment.rows if planned else ():
        if row.average_of:
            methods[row.name] = Method.average(row.name, [methods[name] for name in row.average_of], row)
    in_order = tuple(methods[row.name] for row in experiment.rows if row.name in methods)
    return Gathered(experiment, profile, tuple(sorted({p.seed for p in planned})), in_order, setting, allowed)


def _by_id(method: Method) -> dict[str, pd.Series]:
    return {str(line["id"]): line for line in method.records}

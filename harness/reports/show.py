"""One number of a table and everything behind it: `harness show ablation_a "DSA+I3D 4x4" top1`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from harness.base.errors import UserError, near_match
from harness.experiment.paper import load_paper
from harness.experiment.spec import Experiment, Profile
from harness.methods import Method, gather
from harness.reports.columns import SHOWN_COSTS, columns_of, line_of
from harness.reports.table import Cell, Column
from harness.reports.cost_table import row_costs
from harness.reports.tables import build_table
from harness.results.metrics import COSTS, FACET, list_metrics


@dataclass(frozen=True)
class SeedFacts:
    """One trial behind a number. `value` in the column's unit; None where `status` is not `done`, or where the
    column is no number of a trial. `record` is the file of the record, beside which its predictions lie."""

    seed: int
    trial: str
    status: str
    value: float | None = None
    commit: str | None = None
    machine: str | None = None
    created: str | None = None
    record: str | None = None


@dataclass(frozen=True)
class CellFacts:
    """A cell, what its column means, and its trials. `source` is ours, paper or config."""

    experiment: str
    profile: str
    row: str
    column: str
    unit: str
    source: str
    text: str
    value: float | None
    interval: tuple[float, float] | None
    why_empty: str | None
    seeds: tuple[SeedFacts, ...]
    paper_source: str | None

    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def cell_facts(
    experiment: Experiment, profile: Profile, frame: pd.DataFrame, row: str, column: str | None = None
) -> CellFacts:
    """The facts of one cell; `column` is a key (`top1`) or a header (`top-1`), by default the table's first metric.

    `frame` is `harness.results.load()`. Raises UserError, with the near match, for a row or column that the
    table does not have.
    """
    if row not in (names := [r.name for r in experiment.rows]):
        raise UserError(
            f"{experiment.name} has no row {row!r}{near_match(row, names)}; its rows are: {', '.join(names)}"
        )
    wanted = column or experiment.columns[0]
    if experiment.measure == "cost":
        return _cost_facts(experiment, profile, frame, row, wanted)
    numbers = load_paper()
    printed = numbers.table(experiment.paper_table) if experiment.paper_table else None
    gathered = gather(experiment, profile, frame)
    costs = row_costs(experiment, profile)
    columns = columns_of(gathered, printed, costs)
    chosen = _find(columns, wanted, experiment)
    (own,) = (method for method in gathered.methods if method.label == row)
    cell = line_of(gathered, own, columns, printed, costs[row]).cells[chosen.key]
    seeds = _seeds(own, chosen) if chosen.source != "paper" else ()
    return _facts((experiment, profile, row), chosen, cell, numbers.source, seeds)


def _cost_facts(
    experiment: Experiment, profile: Profile, frame: pd.DataFrame, row: str, wanted: str
) -> CellFacts:
    """A cell of a table that is counted, not measured: no trials."""
    alone = experiment.model_copy(update={"rows": tuple(r for r in experiment.rows if r.name == row)})
    table = build_table(alone, profile, frame)
    chosen = _find(table.columns, wanted, experiment)
    cell = table.rows[0].cells[chosen.key]
    return _facts((experiment, profile, row), chosen, cell, load_paper().source)


def _find(columns: Sequence[Column], wanted: str, experiment: Experiment) -> Column:
    """By key, else by header; ours before the paper's where both have the header."""
    for column in columns:
        if wanted in (column.key, column.header):
            return column
    keys = [column.key for column in columns]
    raise UserError(
        f"{experiment.name} has no column {wanted!r}{near_match(wanted, keys)}; its columns are: {', '.join(keys)}"
    )


def _facts(
    where: tuple[Experiment, Profile, str],
    column: Column,
    cell: Cell,
    paper_source: str,
    seeds: tuple[SeedFacts, ...] = (),
) -> CellFacts:
    experiment, profile, row = where
    return CellFacts(
        experiment=experiment.name,
        profile=profile.name,
        row=row,
        column=f"{column.group} {column.header}".strip(),
        unit=column.unit,
        source=cell.source,
        text=cell.text,
        value=cell.value,
        interval=cell.interval,
        why_empty=cell.why_empty,
        seeds=seeds,
        paper_source=paper_source if cell.source == "paper" else None,
    )


def _seeds(row: Method, column: Column) -> tuple[SeedFacts, ...]:
    done = {int(line["seed"]): line for line in row.lines.to_dict("records")}
    return tuple(
        _seed(seed, "+".join(ids), done.get(seed), row.problems.get(seed, "done"), column.key)
        for seed, ids in sorted(row.ids.items())
    )


def _seed(seed: int, trial: str, line: dict[Any, Any] | None, status: str, key: str) -> SeedFacts:
    if line is None:
        return SeedFacts(seed, trial, status)
    return SeedFacts(
        seed,
        trial,
        status,
        value=trial_value(line, key),
        commit=_text(line.get("provenance_commit")),
        machine=_text(line.get("provenance_processor")),
        created=_text(line.get("provenance_created")),
        record=f"{line['root']}/trials/{trial}.parquet",
    )


def trial_value(line: dict[Any, Any], key: str) -> float | None:
    """A trial's own number in the unit of the column `key`; None where the column is no number of a trial."""
    field, unit = key, 1.0
    if key in SHOWN_COSTS:
        name, _ = SHOWN_COSTS[key]
        field, unit = f"cost_{name}", COSTS[name].factor
    value = line.get(field) if key in SHOWN_COSTS or key in list_metrics() or key.startswith(FACET) else None
    return None if value is None or pd.isna(value) else float(value) / unit


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def print_cell(facts: CellFacts) -> None:
    """The facts as plain lines, for a terminal."""
    print(f"{facts.experiment}, {facts.row}, {facts.column}: {facts.text} {facts.unit}".rstrip())
    print(f"  profile    {facts.profile}")
    print(f"  source     {facts.paper_source or facts.source}")
    if facts.why_empty:
        print(f"  empty      {facts.why_empty}")
    if facts.interval:
        print(f"  interval   {facts.interval[0]:.2f} to {facts.interval[1]:.2f} (95 %, Student t over seeds)")
    for seed in facts.seeds:
        value = "" if seed.value is None else f"{seed.value:.5g}"
        print(f"  seed {seed.seed:<4}  trial {seed.trial}  {seed.status:<8} {value}")
        if seed.record:
            print(f"             commit {seed.commit}, {seed.created}, {seed.machine}")
            print(f"             {seed.record}")
    if facts.seeds:
        print("  all of one trial: harness show TRIAL")

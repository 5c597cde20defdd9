"""The columns of an accuracy table and how a row's evidence fills them."""

from __future__ import annotations

from typing import cast

import pandas as pd

from harness.experiment.paper import PaperRow, PaperTable
from harness.methods.evidence import Evidence, RowEvidence
from harness.reports.cost_table import paper_number, row_cost
from harness.reports.table import EMPTY, Cell, Column, Direction, Line, empty, significant, word
from harness.statistics.intervals import mean_interval
from harness.trial.record import METRICS

FACTORS = ("appearance", "motion", "order", "position")
PAPER_GROUP = "paper"
FULL_GROUP = "at the paper's scale, counted by us"

_ACCURACY = {"top1": "top-1", "top5": "top-5", "mean_class_accuracy": "mean class"}
_FACTORS = tuple(
    Column(f"factor_{f}", f, "ours, right by factor", unit="%", keep=6, direction="higher", short=f"{f[:3]}.")
    for f in FACTORS
)
_DECLARED = (
    Column("model", "Model", source="config", keep=10, panel="both"),
    Column("train", "T×U train", source="config", keep=7, short="train"),
    Column("infer", "T×U×crops test", source="config", keep=7, short="test"),
    Column("n", "seeds", "ours", keep=8),
    Column("origin", "records", "ours", keep=3),
)
_COST = (
    Column(
        "params", "params, M", "as run", unit="M", keep=5, direction="lower", panel="both", short="par. M"
    ),
    Column(
        "gmacs", "GMACs a view", "as run", unit="G", keep=5, direction="lower", panel="both", short="GMACs"
    ),
    Column("gmacs_inference", "GMACs × views", "as run", unit="G", keep=5, direction="lower", panel="cost"),
    Column(
        "videos_per_s",
        "videos/s in training",
        "as run",
        unit="1/s",
        direction="higher",
        panel="cost",
        short="videos/s",
    ),
    Column("memory_mb", "peak MB", "as run", unit="MB", direction="lower", panel="cost"),
    Column(
        "full_params",
        "params, M (1000 classes)",
        FULL_GROUP,
        unit="M",
        direction="lower",
        panel="cost",
        short="params M",
    ),
    Column("full_gmacs", "GMACs of T×U", FULL_GROUP, unit="G", direction="lower", panel="cost"),
)
COST_FIELDS = {
    "params": ("cost_params", 1e6),
    "gmacs": ("cost_macs_per_view", 1e9),
    "gmacs_inference": ("cost_macs_inference", 1e9),
    "videos_per_s": ("cost_train_videos_per_s", 1.0),
    "memory_mb": ("cost_peak_memory_mb", 1.0),
}
_PAPER = (
    Column("paper_infer", "T×U×crops test", PAPER_GROUP, "paper", keep=2, short="test"),
    Column("paper_top1", "top-1", PAPER_GROUP, "paper", unit="%", keep=8),
    Column("paper_top5", "top-5", PAPER_GROUP, "paper", unit="%", keep=6),
    Column(
        "paper_params_m", "params, M", PAPER_GROUP, "paper", unit="M", keep=4, panel="both", short="par. M"
    ),
)


def columns_of(evidence: Evidence, paper: PaperTable | None) -> tuple[Column, ...]:
    """The poster's columns, the factors, the cost as run and at full scale, and the paper's numbers."""
    accuracy = [
        Column(m, _ACCURACY.get(m, m), "ours", unit="%", keep=9, direction=METRICS[m])
        for m in _metrics(evidence)
    ]
    printed = [c for c in _PAPER if paper is not None and _printed_anywhere(c, paper)]
    return (*_DECLARED, *accuracy, *_FACTORS, *_COST, *printed)


def _metrics(evidence: Evidence) -> tuple[str, ...]:
    return tuple(m for m in evidence.experiment.columns if m in METRICS)


def _printed_anywhere(column: Column, paper: PaperTable) -> bool:
    field = "infer_text" if column.key == "paper_infer" else column.key.removeprefix("paper_")
    return any(getattr(row, field) is not None for row in paper.rows.values())


def line_of(
    evidence: Evidence, row: RowEvidence, columns: tuple[Column, ...], paper: PaperTable | None
) -> Line:
    """One row's cells for `columns`."""
    printed = paper.rows.get(row.row.paper_row) if paper is not None else None
    cells = {
        **_declared(row),
        **{m: accuracy_cell(row, m) for m in _metrics(evidence)},
        **{f"factor_{f}": accuracy_cell(row, f"factor_{f}", spread=False) for f in FACTORS},
        **{key: _cost_cell(row, *field) for key, field in COST_FIELDS.items()},
        **_full_scale(evidence, row),
        **_paper_cells(printed),
    }
    return Line(row.row.name, {c.key: cells[c.key] for c in columns}, row.origin)


def _declared(row: RowEvidence) -> dict[str, Cell]:
    train, test = row.trial.train, row.trial.test
    asked, found = len(row.ids), len(row.done)
    origin = {"baselines": "shipped", "runs": "yours", "both": "both", None: "none"}[row.origin]
    return {
        "model": word(row.row.name),
        "train": word(f"{train.T}×{train.U}"),
        "infer": word(f"{train.T}×{test.U}×{test.crops}"),
        "n": Cell(
            found, str(found) if found == asked else f"{found} of {asked}", trial_ids=row.trial_ids, n=found
        ),
        "origin": word(origin),
    }


def accuracy_cell(row: RowEvidence, metric: str, *, spread: bool = True) -> Cell:
    """Mean over seeds of a percentage; with `spread` the text shows the half width of its 95 % interval."""
    values = _values(row, metric)
    direction = METRICS[metric]
    if not len(values):
        return _no_number(row, loud=spread)
    found = mean_interval(values.tolist())
    ends = None if found.low is None or found.high is None else (found.low, found.high)
    text = f"{found.mean:.1f}"
    if spread:
        text += f" ± {found.mean - ends[0]:.1f}" if ends else " (1 seed)"
    return Cell(found.mean, text, "ours", direction, row.trial_ids, None, ends, found.n)


def _values(row: RowEvidence, column: str) -> pd.Series:
    if column not in row.done:
        return pd.Series(dtype=float)
    return cast(pd.Series, row.done[column].dropna().astype(float))


def _no_number(row: RowEvidence, *, loud: bool = False) -> Cell:
    """An empty cell; a `loud` one says in the table itself that the row was not run, or failed."""
    if len(row.done):
        return empty("its records do not have this number", trial_ids=row.trial_ids)
    why = row.why_empty
    return empty(why, text=why.split(":")[0] if loud else EMPTY, trial_ids=tuple(row.ids.values()))


def _cost_cell(row: RowEvidence, field: str, unit: float) -> Cell:
    values = _values(row, field)
    if not len(values):
        return _no_number(row)
    value = float(values.mean()) / unit
    direction: Direction = "higher" if field.endswith("per_s") else "lower"
    return Cell(value, significant(value), "ours", direction, row.trial_ids, n=len(values))


def _full_scale(evidence: Evidence, row: RowEvidence) -> dict[str, Cell]:
    counted = row_cost(evidence.experiment, row.row, evidence.profile, row.trial.variant)
    params = counted.params_1000 / 1e6
    return {
        "full_params": Cell(params, f"{params:.2f}", direction="lower"),
        "full_gmacs": Cell(counted.gmacs, f"{counted.gmacs:.2f}", direction="lower"),
    }


def _paper_cells(printed: PaperRow | None) -> dict[str, Cell]:
    infer = printed.infer_text if printed is not None else None
    return {
        "paper_infer": word(infer, "paper") if infer else empty("the paper does not print it", "paper"),
        **{f"paper_{m}": paper_number(printed, m) for m in ("top1", "top5", "params_m")},
    }

"""Parameters and multiply-adds of the paper's networks at the paper's input, beside the paper's own numbers.

Nothing is trained for it, so here and only here ours and the paper's are the same quantity and their
deviation is printed. The paper's params count a 1000-class head (docs/systems.md); its GFLOPs do not
depend on the head at the precision that it prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from harness.experiment.paper import PaperNumbers, PaperRow
from harness.experiment.spec import Experiment, Profile, Row, Scale, Trial, Variant
from harness.models import VideoModel
from harness.models.cost import CONVENTION, TOLERANCE, Cost, model_cost
from harness.plan.expand import row_network
from harness.reports.table import Cell, Column, Line, Table, empty, word
from harness.trial.build import build_model

CLASSES, PAPER_PARAM_CLASSES = 200, 1000
AGREEMENT = 0.5  # percent: what a deviation from the paper's cost figures must not exceed


@dataclass(frozen=True)
class RowCost:
    """One row at the paper's scale. `cost` is of one training pass (T × U at 224²), head of 200 classes."""

    row: Row
    cost: Cost
    params_1000: int

    @property
    def gmacs(self) -> float:
        return self.cost.macs / 1e9

    @property
    def disagreement(self) -> float:
        """Percent between the two counters, on convolutions and matrix products."""
        return 100 * (self.cost.macs_conv_matmul / self.cost.macs_cross_check - 1)


def paper_trial(experiment: Experiment, row: Row, profile: Profile, variant: Variant | None = None) -> Trial:
    """The row at the paper's scale; recipe and dataset are the profile's and change no cost."""
    scale = Scale()
    return Trial(
        network=row_network(experiment, row, profile.model_copy(update={"scale": scale})),
        dataset={},
        train=row.train,
        test=row.test,
        crop_px=scale.crop_px,
        interval=scale.interval,
        recipe=profile.recipe,
        numerics=profile.numerics,
        seed=0,
        variant=variant,
    )


def row_cost(experiment: Experiment, row: Row, profile: Profile, variant: Variant | None = None) -> RowCost:
    """Count one row at the paper's scale. Raises CostError when two counters disagree by more than 1 %."""
    trial = paper_trial(experiment, row, profile, variant).model_dump_json()
    return RowCost(row, _count(trial), _params(trial, PAPER_PARAM_CLASSES))


def _ghost(trial: Trial, classes: int) -> VideoModel:
    """The network as shapes without storage."""
    with torch.device("meta"):
        return build_model(trial, classes)


@cache
def _count(trial_json: str) -> Cost:
    trial = Trial.model_validate_json(trial_json)
    return model_cost(_ghost(trial, CLASSES), T=trial.train.T, U=trial.train.U, crop_px=trial.crop_px)


@cache
def _params(trial_json: str, classes: int) -> int:
    return sum(p.numel() for p in _ghost(Trial.model_validate_json(trial_json), classes).parameters())


COLUMNS = (
    Column("model", "Model", source="config", keep=9),
    Column("input", "T×U, px", source="config", keep=8),
    Column("params_200", "params, M (200 classes)", "counted by us", unit="M", keep=7, short="params 200"),
    Column("params_1000", "params, M (1000 classes)", "counted by us", unit="M", keep=8, short="params 1000"),
    Column("gmacs", "GMACs", "counted by us", unit="G", keep=9),
    Column("conv_matmul", "of these conv + matmul", "counted by us", unit="G", keep=4, short="conv+matmul"),
    Column(
        "cross_check",
        "conv + matmul by the 2nd counter",
        "counted by us",
        unit="G",
        keep=3,
        short="2nd counter",
    ),
    Column("paper_params", "params, M", "paper", source="paper", unit="M", keep=8),
    Column("paper_gflops", "GFLOPs", "paper", source="paper", unit="G", keep=8),
    Column("deviation", "largest deviation", "ours against paper", unit="%", keep=8, short="deviation"),
)


def cost_table(
    experiments: Sequence[Experiment], profile: Profile, paper: PaperNumbers, *, name: str = "cost"
) -> Table:
    """Every row of the experiments at the paper's scale; rows of several tables keep their table's letter."""
    rows = [(e, row) for e in experiments for row in e.rows]
    lines = [
        (_line(row_cost(e, row, profile), _printed(e, row, paper), _label(e, row, experiments)))
        for e, row in rows
    ]
    alone = experiments[0] if len(experiments) == 1 else None
    title = titled(alone) if alone else "Cost of every row at the paper's input"
    return Table(
        name=name,
        title=title,
        caption=f"One training pass of the paper's networks at {Scale().crop_px}×{Scale().crop_px} px; "
        f"nothing is trained. GFLOPs and GMACs: {CONVENTION}.",
        columns=COLUMNS,
        rows=tuple(lines),
        notes=(_deviation_note(lines), _counter_note(lines), *_experiment_notes(experiments)),
        profile="paper's scale",
        paper_source=paper.source,
    )


def titled(experiment: Experiment) -> str:
    """`(a) Effectiveness of the DSA module`: the title with the letter of the paper's table."""
    return f"({experiment.paper_table}) {experiment.title}" if experiment.paper_table else experiment.title


def _label(experiment: Experiment, row: Row, experiments: Sequence[Experiment]) -> str:
    return row.name if len(experiments) == 1 else f"{experiment.paper_table or experiment.name}: {row.name}"


def _printed(experiment: Experiment, row: Row, paper: PaperNumbers) -> PaperRow | None:
    if experiment.paper_table is None:
        return None
    return paper.table(experiment.paper_table).rows.get(row.paper_row)


def _line(counted: RowCost, printed: PaperRow | None, label: str) -> Line:
    row, cost = counted.row, counted.cost
    deviation = _deviation(counted, printed)
    cells = {
        "model": word(label),
        "input": word(f"{row.train.T}×{row.train.U}, {Scale().crop_px}"),
        "params_200": _number(cost.params / 1e6, "{:.3f}"),
        "params_1000": _number(counted.params_1000 / 1e6, "{:.3f}"),
        "gmacs": _number(counted.gmacs, "{:.3f}"),
        "conv_matmul": _number(cost.macs_conv_matmul / 1e9, "{:.3f}"),
        "cross_check": _number(cost.macs_cross_check / 1e9, "{:.3f}"),
        "paper_params": paper_number(printed, "params_m"),
        "paper_gflops": paper_number(printed, "gflops"),
        "deviation": empty("the paper prints no cost of this row")
        if deviation is None
        else Cell(deviation, f"{deviation:+.2f} %"),
    }
    return Line(label, cells)


def _number(value: float, form: str) -> Cell:
    return Cell(value, form.format(value), direction="lower")


def paper_number(printed: PaperRow | None, metric: str) -> Cell:
    """A number as the paper prints it: one decimal."""
    value = getattr(printed, metric) if printed is not None else None
    if value is None:
        return empty("the paper does not report it", source="paper")
    return Cell(value, f"{value:.1f}", "paper")


def _deviation(counted: RowCost, printed: PaperRow | None) -> float | None:
    """Percent between ours and the paper's, the larger of params and MACs; None: it prints neither."""
    if printed is None:
        return None
    pairs = [(counted.params_1000 / 1e6, printed.params_m), (counted.gmacs, printed.gflops)]
    found = [100 * (ours / theirs - 1) for ours, theirs in pairs if theirs is not None]
    return max(found, key=abs, default=None)


def _deviation_note(lines: Iterable[Line]) -> str:
    cells = [(line.cells["deviation"].value, line.name) for line in lines]
    known = [(value, name) for value, name in cells if value is not None]
    if not known:
        return "The paper prints no cost for these rows."
    value, name = max(known, key=lambda pair: abs(pair[0]))
    verdict = "within" if abs(value) <= AGREEMENT else "NOT within"
    return (
        f"Largest deviation from the paper's figures: {value:+.2f} % ({name}), {verdict} {AGREEMENT} %; "
        "params are compared with a 1000-class head, as the paper counts them."
    )


def _counter_note(lines: Iterable[Line]) -> str:
    pairs = [(line.cells["conv_matmul"].value, line.cells["cross_check"].value, line.name) for line in lines]
    off, name = max((100 * abs(a / b - 1), name) for a, b, name in pairs if a and b)
    return (
        f"Second counter (torch.utils.flop_counter): at most {off:.3f} % from fvcore on convolutions "
        f"and matrix products ({name}); above {100 * TOLERANCE:g} % would be an error."
    )


def _experiment_notes(experiments: Sequence[Experiment]) -> tuple[str, ...]:
    return experiments[0].notes if len(experiments) == 1 else ()

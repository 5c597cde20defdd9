"""Parameters and multiply-adds of the paper's networks at the paper's input, beside the paper's own numbers.

Nothing is trained for it, so here and only here ours and the paper's are the same quantity and their
deviation is printed. The paper's params count a 1000-class head (docs/systems.md); its GFLOPs do not
depend on the head at the precision that it prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.experiment.load import variant_paths
from harness.experiment.paper import PaperNumbers, PaperRow
from harness.experiment.spec import Experiment, Profile, Row, Scale, Trial
from harness.plan.counts import counted, parameters
from harness.plan.expand import row_trials
from harness.reports.table import Cell, Column, Line, Table, empty, word
from harness.results.metrics import CONVENTION

CLASSES, PAPER_PARAM_CLASSES = 200, 1000
FAIR_CROP_PX = 224  # of the column that is counted in one way for all rows
COUNTS = ("params", "params_1000", "macs", "macs_conv_matmul", "macs_cross_check", "fair_macs")
AGREEMENT = 0.5  # percent: what a deviation from the paper's cost figures must not exceed


@dataclass(frozen=True)
class RowCost:
    """One row at the paper's scale: a view of `train` (T×U) at crop_px², head of 200 classes.

    macs, macs_conv_matmul and macs_cross_check are `harness.models.cost.Cost`'s; fair_macs is `macs` at 224 px. Of an
    average, all are its networks' sums.
    """

    row: Row
    train: str
    crop_px: int
    params: int
    params_1000: int
    macs: int
    macs_conv_matmul: int
    macs_cross_check: int
    fair_macs: int

    @property
    def gmacs(self) -> float:
        """Counted as the paper counts this row."""
        products = self.row.counting.operations == "products"
        return (self.macs_conv_matmul if products else self.macs) / 1e9


def row_costs(experiment: Experiment, profile: Profile) -> dict[str, RowCost]:
    """Every row by name, in the table's order; dataset and recipe are the profile's and change no cost.

    Raises CostError when two counters disagree by more than 1 %.
    """
    full = profile.model_copy(update={"scale": Scale(), "test": None})
    trials = row_trials(experiment, full, variant_paths(experiment))
    counts = {row.name: _row_cost(row, trial) for row, trial in trials}
    return {
        row.name: _together(row, [counts[name] for name in row.average_of])
        if row.average_of
        else counts[row.name]
        for row in experiment.rows
    }


def _together(row: Row, parts: Sequence[RowCost]) -> RowCost:
    """An average of rows runs all of their networks."""
    sums = {name: sum(getattr(part, name) for part in parts) for name in COUNTS}
    return RowCost(row, " + ".join(part.train for part in parts), parts[0].crop_px, **sums)


def _row_cost(row: Row, trial: Trial) -> RowCost:
    train, network, variants = trial.train, trial.network, trial.variants
    shape = {"T": train.T, "U": train.U}
    crop_px = row.counting.crop_px or trial.train_crop
    cost = counted(network, classes=CLASSES, crop_px=crop_px, variants=variants, **shape)
    fair = counted(network, classes=CLASSES, crop_px=FAIR_CROP_PX, variants=variants, **shape)
    return RowCost(
        row=row,
        train=f"{train.T}×{train.U}",
        crop_px=crop_px,
        params=cost["params"],
        params_1000=parameters(network, classes=PAPER_PARAM_CLASSES, variants=variants, **shape),
        macs=cost["macs"],
        macs_conv_matmul=cost["macs_conv_matmul"],
        macs_cross_check=cost["macs_cross_check"],
        fair_macs=fair["macs"],
    )


COLUMNS = (
    Column("model", "Model", source="config", keep=9),
    Column("input", "T×U, px", source="config", keep=8),
    Column("params_200", "params, M (200 classes)", "counted by us", unit="M", keep=7, short="params 200"),
    Column("params_1000", "params, M (1000 classes)", "counted by us", unit="M", keep=8, short="params 1000"),
    Column("gmacs", "GMACs", "counted by us", unit="G", keep=9),
    Column(
        "fair_gmacs",
        "all operations at 224 px",
        "counted by us",
        unit="G",
        keep=7,
        short="at 224 px",
    ),
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
    costs = [
        (_label(e, cost.row, experiments), cost, _printed(e, cost.row, paper))
        for e in experiments
        for cost in row_costs(e, profile).values()
    ]
    lines = [_line(cost, printed, label) for label, cost, printed in costs]
    alone = experiments[0] if len(experiments) == 1 else None
    title = titled(alone) if alone else "Cost of every row at the paper's input"
    return Table(
        name=name,
        title=title,
        caption="One training pass of the paper's networks at the paper's input; nothing is trained. "
        f"GFLOPs and GMACs: {CONVENTION}.",
        columns=tuple(c for c in COLUMNS if c.key != "fair_gmacs" or counted_otherwise([cost for _, cost, _ in costs])),
        rows=tuple(lines),
        notes=(_deviation_note(costs), _counter_note(lines), *_experiment_notes(experiments)),
        profile="paper's scale",
        paper_source=paper.source,
    )


def counted_otherwise(costs: Iterable[RowCost]) -> bool:
    """Whether the count by the paper's rules is for any row another than the fair one, which has one crop and all
    operations: both stand in the table then."""
    return any(cost.crop_px != FAIR_CROP_PX or cost.row.counting.operations != "all" for cost in costs)


def _operations(row: Row) -> str:
    return " (products)" if row.counting.operations == "products" else ""


def titled(experiment: Experiment) -> str:
    """`(a) Effectiveness of the DSA module`: the title with the letter of the paper's table."""
    return f"({experiment.paper_table}) {experiment.title}" if experiment.paper_table else experiment.title


def _label(experiment: Experiment, row: Row, experiments: Sequence[Experiment]) -> str:
    return row.name if len(experiments) == 1 else f"{experiment.paper_table or experiment.name}: {row.name}"


def _printed(experiment: Experiment, row: Row, paper: PaperNumbers) -> PaperRow | None:
    if experiment.paper_table is None:
        return None
    return paper.table(experiment.paper_table).rows.get(row.paper_row)


def _line(cost: RowCost, printed: PaperRow | None, label: str) -> Line:
    deviation = _deviation(cost, printed)
    cells = {
        "model": word(label),
        "input": word(f"{cost.train}, {cost.crop_px}{_operations(cost.row)}"),
        "params_200": _number(cost.params / 1e6, "{:.3f}"),
        "params_1000": _number(cost.params_1000 / 1e6, "{:.3f}"),
        "gmacs": _number(cost.gmacs, "{:.3f}"),
        "fair_gmacs": _number(cost.fair_macs / 1e9, "{:.3f}"),
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


def _deviation(cost: RowCost, printed: PaperRow | None) -> float | None:
    """Percent between ours and the paper's, the larger of params and MACs; None: it prints neither."""
    if printed is None:
        return None
    pairs = [(cost.params_1000 / 1e6, printed.params_m), (cost.gmacs, printed.gflops)]
    found = [100 * (ours / theirs - 1) for ours, theirs in pairs if theirs is not None]
    return max(found, key=abs, default=None)


def _deviation_note(costs: Sequence[tuple[str, RowCost, PaperRow | None]]) -> str:
    """`costs`: each row's label, cost and printed numbers."""
    known = [
        (deviation, label, cost.row.counting.unexplained)
        for label, cost, printed in costs
        if (deviation := _deviation(cost, printed)) is not None
    ]
    explained = [(deviation, label) for deviation, label, unexplained in known if not unexplained]
    if not explained:
        return "The paper prints no cost for these rows."
    value, most = max(explained, key=lambda pair: abs(pair[0]))
    off = [
        label
        for label, cost, printed in costs
        if not cost.row.counting.unexplained and not _agrees(cost, printed)
    ]
    verdict = f"within {AGREEMENT} % or the last digit printed"
    if off:
        verdict = f"NOT within {AGREEMENT} %: {', '.join(off)}"
    apart = [f"{label} {deviation:+.2f} %" for deviation, label, unexplained in known if unexplained]
    return (
        f"Largest deviation from the paper's figures: {value:+.2f} % ({most}), {verdict}; "
        "params are compared with a 1000-class head, as the paper counts them."
        + (f" No counting gives what is printed of {', '.join(apart)}." if apart else "")
    )


def _agrees(cost: RowCost, printed: PaperRow | None) -> bool:
    """Within AGREEMENT, or rounded to the digits that are printed."""
    if printed is None:
        return True
    pairs = [(cost.params_1000 / 1e6, printed.params_m), (cost.gmacs, printed.gflops)]
    return all(
        100 * abs(ours / theirs - 1) <= AGREEMENT or abs(ours - theirs) <= (0.5 if theirs == round(theirs) else 0.05)
        for ours, theirs in pairs
        if theirs is not None
    )


def _counter_note(lines: Iterable[Line]) -> str:
    pairs = [(line.cells["conv_matmul"].value, line.cells["cross_check"].value, line.name) for line in lines]
    off, name = max((100 * abs(a / b - 1), name) for a, b, name in pairs if a and b)
    return (
        f"Second counter (torch.utils.flop_counter): at most {off:.3f} % from fvcore on convolutions "
        f"and matrix products ({name}); where they disagree, the count fails."
    )


def _experiment_notes(experiments: Sequence[Experiment]) -> tuple[str, ...]:
    return experiments[0].notes if len(experiments) == 1 else ()

"""The columns of an accuracy table and how a method's records fill them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.experiment.paper import PaperRow, PaperTable
from harness.methods import Gathered, Method
from harness.reports.cost_table import RowCost, counted_otherwise, paper_number
from harness.reports.table import EMPTY, Cell, Column, Line, Panel, empty, significant, word
from harness.results.metrics import COSTS, FACET, CostKind, metric
from harness.statistics.intervals import mean_interval

PAPER_GROUP = "paper"
FULL_GROUP = "at the paper's scale, counted by us"

_DECLARED = (
    Column("model", "Model", source="config", keep=10, panel="both"),
    Column("train", "T×U train", source="config", keep=7, short="train"),
    Column("infer", "T×U×crops test", source="config", keep=7, short="test"),
    Column("n", "seeds", "ours", keep=8),
    Column("origin", "records", "ours", keep=3),
)
# Column key -> (the cost that it shows, its panel); `params` and the cost of a view stand beside the results, too.
SHOWN_COSTS: dict[str, tuple[str, Panel]] = {
    "params": ("params", "both"),
    "gmacs": ("macs_per_view", "both"),
    "gmacs_inference": ("macs_inference", "cost"),
    "gmacs_run": ("macs_as_run", "cost"),
    "videos_per_s": ("train_videos_per_s", "cost"),
    "memory_mb": ("peak_memory_mb", "cost"),
}
_SHORT = {"params": "par. M", "gmacs": "GMACs", "videos_per_s": "videos/s"}
_FULL = (
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
    Column(
        "counted_gmacs",
        "GMACs, counted as the paper's",
        FULL_GROUP,
        unit="G",
        direction="lower",
        panel="cost",
        short="as paper's",
    ),
)
_PAPER = (
    Column("paper_infer", "T×U×crops test", PAPER_GROUP, "paper", keep=2, short="test"),
    Column("paper_top1", "top-1", PAPER_GROUP, "paper", unit="%", keep=8),
    Column("paper_top5", "top-5", PAPER_GROUP, "paper", unit="%", keep=6),
    Column("paper_map", "mAP", PAPER_GROUP, "paper", unit="%", keep=8),
    Column(
        "paper_params_m", "params, M", PAPER_GROUP, "paper", unit="M", keep=4, panel="both", short="par. M"
    ),
    Column("paper_gflops", "GFLOPs", PAPER_GROUP, "paper", unit="G", keep=5, panel="cost"),
)


def columns_of(
    gathered: Gathered, paper: PaperTable | None, row_costs: Mapping[str, RowCost]
) -> tuple[Column, ...]:
    """The metrics asked for, the dataset's facets, the cost as run and at full scale, and the paper's numbers.

    row_costs  of every row by name; the count by the paper's rules has a column where it is another than the fair one
    """
    accuracy = [
        Column(
            name, metric(name).title, "ours", unit=metric(name).unit, keep=9, direction=metric(name).direction
        )
        for name in gathered.experiment.columns
    ]
    by_facet = [
        Column(
            f"{FACET}{f}", f, "ours, right by factor", unit="%", keep=6, direction="higher", short=f"{f[:3]}."
        )
        for f in facets_of(gathered)
    ]
    costs = [_cost_column(key, gathered) for key in _costs_of(gathered)]
    printed = [c for c in _PAPER if paper is not None and _printed_anywhere(c, paper)]
    several = counted_otherwise(row_costs.values())
    full = [c for c in _FULL if several or c.key != "counted_gmacs"]
    return (*_DECLARED, *accuracy, *by_facet, *costs, *full, *printed)


def facets_of(gathered: Gathered) -> list[str]:
    """The facets of the dataset that any record has a number of."""
    done = gathered.done
    return [str(c).removeprefix(FACET) for c in done if str(c).startswith(FACET) and done[c].notna().any()]


def _costs_of(gathered: Gathered) -> list[str]:
    """Keys of the costs; one that no record has (an older version did not measure it) is left out."""
    done = gathered.done
    known = [key for key, (name, _) in SHOWN_COSTS.items() if f"cost_{name}" in done]
    return known or [key for key in SHOWN_COSTS if key != "gmacs_run"]


def _cost_column(key: str, gathered: Gathered) -> Column:
    name, panel = SHOWN_COSTS[key]
    cost = COSTS[name]
    title = memory_title(cost, gathered.methods) if name == "peak_memory_mb" else cost.title
    keep = 5 if key not in ("videos_per_s", "memory_mb") else 4
    return Column(
        key,
        title,
        "as run",
        unit=cost.unit,
        keep=keep,
        direction=cost.direction,
        panel=panel,
        short=_SHORT.get(key, ""),
    )


def memory_title(cost: CostKind, methods: tuple[Method, ...] | list[Method]) -> str:
    """Peak memory is of the whole process on a CPU, of torch's allocations on CUDA: the heading says which."""
    kinds = {"cpu": "process", "cuda": "CUDA tensors"}
    devices = dict.fromkeys(trial.numerics.device for m in methods for trial in m.trials)
    return f"{cost.title} ({' or '.join(kinds[device] for device in devices)})" if devices else cost.title


def _printed_anywhere(column: Column, paper: PaperTable) -> bool:
    field = "infer_text" if column.key == "paper_infer" else column.key.removeprefix("paper_")
    return any(getattr(row, field) is not None for row in paper.rows.values())


def line_of(
    gathered: Gathered,
    method: Method,
    columns: tuple[Column, ...],
    paper: PaperTable | None,
    cost: RowCost,
) -> Line:
    """One row's cells for `columns`; `cost` is its own at the paper's scale."""
    assert method.row is not None, "the rows of a table are declared"
    printed = paper.rows.get(method.row.paper_row) if paper is not None else None
    cells = {
        **_declared(method),
        **{m: accuracy_cell(method, m) for m in gathered.experiment.columns},
        **{f"{FACET}{f}": accuracy_cell(method, f"{FACET}{f}", spread=False) for f in facets_of(gathered)},
        **{key: _cost_cell(method, COSTS[name]) for key, (name, _) in SHOWN_COSTS.items()},
        **_full_scale(cost),
        **_paper_cells(printed),
    }
    return Line(method.label, {c.key: cells[c.key] for c in columns}, method.source)


def _declared(method: Method) -> dict[str, Cell]:
    trials = method.trials
    train = dict.fromkeys(f"{t.train.T}×{t.train.U}" for t in trials)
    infer = dict.fromkeys(f"{t.train.T}×{t.test.U}×{t.test.crops}" for t in trials)
    asked, found = len(method.ids), len(method.lines)
    origin = {"baselines": "shipped", "runs": "yours", "both": "both", None: "none"}[method.source]
    return {
        "model": word(method.label),
        "train": word(" + ".join(train)),
        "infer": word(" + ".join(infer)),
        "n": Cell(
            found,
            str(found) if found == asked else f"{found} of {asked}",
            trial_ids=method.trial_ids,
            n=found,
        ),
        "origin": word(origin),
    }


def accuracy_cell(method: Method, name: str, *, spread: bool = True) -> Cell:
    """Mean over seeds; with `spread` the text shows the half width of its 95 % interval, or why there is none."""
    values = method.values(name)
    if not len(values):
        return _no_number(method, loud=spread)
    found = mean_interval(values)
    ends = None if found.low is None or found.high is None else (found.low, found.high)
    text = f"{found.mean:.1f}"
    if spread and ends:
        text += f" ± {found.mean - ends[0]:.1f}"
    elif spread:
        text += " (1 seed)" if found.n == 1 else " ± –"  # seeds that all agree show no spread to judge by
    return Cell(found.mean, text, "ours", metric(name).direction, method.trial_ids, None, ends, found.n)


def _no_number(method: Method, *, loud: bool = False) -> Cell:
    """An empty cell; a `loud` one says in the table itself that the row was not run, or failed."""
    if len(method.lines):
        return empty("its records do not have this number", trial_ids=method.trial_ids)
    why, asked = method.why_empty, tuple(i for ids in method.ids.values() for i in ids)
    return empty(why, text=why.split(":")[0] if loud else EMPTY, trial_ids=asked)


def _cost_cell(method: Method, cost: CostKind) -> Cell:
    values = method.values(f"cost_{cost.name}")
    if not len(values):
        return _no_number(method)
    value = float(values.mean()) / cost.factor
    return Cell(value, significant(value), "ours", cost.direction, method.trial_ids, n=len(values))


def _full_scale(cost: RowCost) -> dict[str, Cell]:
    params = cost.params_1000 / 1e6
    return {
        "full_params": Cell(params, f"{params:.2f}", direction="lower"),
        "full_gmacs": Cell(cost.fair_macs / 1e9, f"{cost.fair_macs / 1e9:.2f}", direction="lower"),
        "counted_gmacs": Cell(cost.gmacs, f"{cost.gmacs:.2f}", direction="lower"),
    }


def _paper_cells(printed: PaperRow | None) -> dict[str, Cell]:
    infer = printed.infer_text if printed is not None else None
    return {
        "paper_infer": word(infer, "paper") if infer else empty("the paper does not print it", "paper"),
        **{f"paper_{m}": paper_number(printed, m) for m in ("top1", "top5", "map", "params_m", "gflops")},
    }

"""The figures: accuracy against cost, seeds and intervals, learning curves, factors, and table (i) as bars.

Ours and the paper's numbers never share axes: they are measured on different datasets.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from harness.experiment.datasets import dataset_title
from harness.experiment.paper import PaperNumbers, PaperTable, load_paper
from harness.experiment.spec import Experiment, Profile
from harness.methods import Gathered, Method, gather
from harness.reports import style
from harness.reports.columns import accuracy_cell, facets_of
from harness.reports.cost_table import RowCost, row_costs
from harness.results import Store
from harness.results.metrics import FACET

MANY = 16  # rows beyond which points bear numbers and a key beside the panel tells the names
COST_SPREAD = 1.05  # rows that cost the same within 5 % make no picture of accuracy against cost


def write_figures(
    experiments: Sequence[Experiment],
    profile: Profile,
    frame: pd.DataFrame,
    out: Path,
    *,
    seeds: Sequence[int] | None = None,
    paper: PaperNumbers | None = None,
) -> list[Path]:
    """Draw every figure for which there are records, as SVG and PNG under `out`/figures; the paths.

    `frame` is `harness.results.load()`. Raises UserError where `out` cannot be written.
    """
    numbers, paths = paper or load_paper(), []
    with style.house_style():
        for experiment in experiments:
            if experiment.measure == "cost":
                drawn = {"cost": cost_bars(experiment, profile, numbers)}
            else:
                drawn = accuracy_figures(gather(experiment, profile, frame, seeds), numbers)
            for kind, figure in drawn.items():
                paths += style.save(figure, out / "figures", f"{experiment.name}_{kind}")
    return paths


def accuracy_figures(gathered: Gathered, paper: PaperNumbers, *, curves: bool = True) -> dict[str, Figure]:
    """Kind -> figure, for the rows that have records; nothing at all without any."""
    rows = [row for row in gathered.methods if len(row.lines)]
    if not rows:
        return {}
    figures = {"seeds": seed_spread(gathered, rows)}
    if curves and (trained := [row for row in rows if not row.components]):
        figures["curves"] = learning_curves(gathered, trained)
    facets = facets_of(gathered)
    with_facets = [row for row in rows if all(len(row.values(f"{FACET}{f}")) for f in facets)]
    if facets and with_facets:
        figures["factors"] = factor_map(gathered, with_facets, facets)
    costs = [_inference_gmacs(row) for row in rows]
    if max(costs) > COST_SPREAD * min(costs):
        figures["accuracy_vs_cost"] = accuracy_vs_cost(gathered, rows, paper.table("kinetics_400"))
    return figures


def _where(gathered: Gathered) -> str:
    return f"{dataset_title(gathered.profile.dataset.name)}, {gathered.profile.name}"


def _inference_gmacs(row: Method) -> float:
    """Multiply-adds of a whole test video, in 1e9."""
    return float(row.lines["cost_macs_inference"].astype(float).mean()) / 1e9


def _accuracy_axis(axes: Axes, label: str = "top-1, %") -> None:
    axes.set_ylabel(label)
    axes.margins(y=0.15)


def _family(name: str) -> int:
    """One look for each kind of aggregation: 0 DSA, 1 V4D, 2 any other."""
    return 0 if name.startswith("DSA") else 1 if name.startswith("V4D") else 2


def accuracy_vs_cost(gathered: Gathered, rows: list[Method], paper: PaperTable) -> Figure:
    """Two panels, never one: the paper's points (its benchmark on another dataset) and ours."""
    width, height = (10, 4.2) if len(rows) <= MANY else (13, 7)
    figure, (left, right) = style.new_figure(width, height, 2)
    printed = {n: r for n, r in paper.rows.items() if r.top1 and r.gflops and r.views}
    xs = [r.gflops * r.views for r in printed.values() if r.gflops and r.views]
    _cost_panel(left, xs, [r.top1 or 0.0 for r in printed.values()], list(printed))
    left.set_title(f"paper: {dataset_title(paper.dataset)}")
    cells = [accuracy_cell(row, "top1") for row in rows]
    ys = [cell.value or 0.0 for cell in cells]
    for x, row, cell in zip(map(_inference_gmacs, rows), rows, cells, strict=True):
        if cell.interval:
            right.vlines(x, *np.clip(cell.interval, 0, 100), color=style.COLOURS[_family(row.label)], lw=1.2)
    _cost_panel(right, [_inference_gmacs(row) for row in rows], ys, [row.label for row in rows])
    right.set_title(f"ours: {_where(gathered)}; mean, 95 % interval")
    return figure


def _cost_panel(axes: Axes, xs: list[float], ys: list[float], labels: list[str]) -> None:
    for x, y, label in zip(xs, ys, labels, strict=True):
        axes.plot(x, y, linestyle="none", markersize=7, **style.look(_family(label)))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(_cost_ticks(min(xs), max(xs))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("GMACs × views of one test video")
    axes.margins(x=0.18)
    _accuracy_axis(axes)
    if len(labels) > MANY:
        key = "\n".join(f"{number}  {label}" for number, label in enumerate(labels, start=1))
        axes.annotate(key, (1.02, 1), xycoords="axes fraction", va="top", fontsize=8, linespacing=1.35)
        labels = [str(number) for number in range(1, len(labels) + 1)]
    style.label_points(axes, xs, ys, labels)


def _cost_ticks(low: float, high: float) -> list[float]:
    """At most five places between two costs, two digits each: few enough for their labels to stand apart."""
    places = np.geomspace(low, high, 5 if high > 2 * low else 3)
    return sorted({float(f"{place:.2g}") for place in places})


def seed_spread(gathered: Gathered, rows: list[Method]) -> Figure:
    """Every seed a dot, the mean a bar, its 95 % interval a line; one line a row of the table."""
    figure, (axes,) = style.new_figure(7, 1.1 + 0.42 * len(rows))
    for place, row in enumerate(rows):
        values = row.lines["top1"].to_numpy(float)
        cell = accuracy_cell(row, "top1")
        heights = np.full(len(values), place + 0.14)
        axes.plot(values, heights, "o", color=style.FAINT, mec=style.INK, ms=5, mew=0.6)
        axes.plot(values.mean(), place - 0.14, "|", color=style.INK, ms=11, mew=2.2)
        if cell.interval:
            axes.hlines(place - 0.14, *np.clip(cell.interval, 0, 100), color=style.INK, lw=1.8)
    axes.set_yticks(range(len(rows)), [f"{row.label}  (n = {len(row.lines)})" for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("top-1, %: one dot a seed; mean and its 95 % Student t interval")
    axes.set_title(f"{gathered.experiment.title}\nours: {_where(gathered)}")
    return figure


def learning_curves(gathered: Gathered, rows: list[Method]) -> Figure:
    """Top-1 on the validation split by epoch: mean over seeds, shaded from the lowest to the highest seed."""
    height = max(4, 1 + 0.2 * len(rows))  # inches: a name a row stands beside the curves
    figure, (axes,) = style.new_figure(7, height)
    last_epoch, ends = 1, []
    for place, row in enumerate(rows):
        curves_SE = _curves(row)
        epochs, look = np.arange(1, curves_SE.shape[1] + 1), style.look(place)
        axes.fill_between(epochs, curves_SE.min(0), curves_SE.max(0), color=look["color"], alpha=0.12, lw=0)
        dash = style.DASHES[place % len(style.DASHES)]
        axes.plot(
            epochs,
            curves_SE.mean(0),
            linestyle=dash,
            markersize=4,
            markevery=max(1, len(epochs) // 8),
            **look,
        )
        last_epoch = max(last_epoch, len(epochs))
        ends.append(float(curves_SE[:, -1].mean()))
    _end_labels(axes, last_epoch, ends, [row.label for row in rows], gap=0.22 / height)
    axes.set_xlabel("epoch")
    axes.set_ylabel("top-1 on val, %: mean and range over seeds")
    axes.set_title(f"{gathered.experiment.title}\nours: {_where(gathered)}")
    return figure


def _curves(row: Method) -> NDArray[np.float64]:
    """(seeds, epochs) top-1 on val, in percent."""
    curves = [
        Store(root).curve(i)["val_top1"].to_numpy(float)
        for root, i in zip(row.lines["root"], row.lines["id"], strict=True)
    ]
    return np.stack(curves)


def _end_labels(axes: Axes, x: float, ends: list[float], names: list[str], gap: float) -> None:
    """Names beside the curves' ends instead of a legend, moved apart by `gap` of the axis where ends meet."""
    low, high = axes.get_ylim()
    heights = style.spread_out(ends, (high - low) * gap, (low, high))
    for name, end, height in zip(names, ends, heights, strict=True):
        axes.annotate(
            name,
            (x, end),
            (1.03, height),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=style.INK,
            arrowprops={"arrowstyle": "-", "color": style.FAINT, "lw": 0.8, "relpos": (0, 0.5)},
            annotation_clip=False,
        )
    axes.set_xlim(1, x)


def factor_map(gathered: Gathered, rows: list[Method], facets: list[str]) -> Figure:
    """Rows by factors, the accuracy of each in its field: WHY a row wins."""
    values = np.array([[row.values(f"{FACET}{f}").mean() for f in facets] for row in rows])
    figure, (axes,) = style.new_figure(6.2, 1.3 + 0.4 * len(rows))
    axes.imshow(values, cmap="Greys", vmin=0, vmax=110, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        axes.text(x, y, f"{value:.0f}", ha="center", va="center", color="white" if value > 60 else style.INK)
    axes.set_xticks(range(len(facets)), facets)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_title(f"{gathered.experiment.title}\nours: {_where(gathered)}; test videos right by factor, %")
    return figure


def cost_bars(experiment: Experiment, profile: Profile, paper: PaperNumbers) -> Figure:
    """Multiply-adds of the paper's networks at its input: printed there and counted here, side by side."""
    counted = list(row_costs(experiment, profile).values())
    printed = paper.table(experiment.paper_table).values("gflops") if experiment.paper_table else {}
    figure, (left, right) = style.new_figure(9, 1.1 + 0.45 * len(counted), 2, sharex=True)
    names = [c.row.name for c in counted]
    _bars(left, names, [printed.get(c.row.paper_row) for c in counted], "paper: GFLOPs as printed")
    _bars(right, names, [c.gmacs for c in counted], f"ours: GMACs counted, {_input(counted[0])}")
    right.set_yticklabels([])
    return figure


def _input(counted: RowCost) -> str:
    return f"{counted.train} at the paper's {counted.crop_px} px"


def _bars(axes: Axes, names: list[str], values: list[float | None], title: str) -> None:
    lengths = [value or 0.0 for value in values]
    axes.barh(range(len(names)), lengths, color="#9aa5b8", edgecolor=style.INK, height=0.6)
    for place, value in enumerate(values):
        text = "not printed" if value is None else f"{value:.1f}"
        axes.annotate(text, (value or 0.0, place), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.18)
    axes.set_xlabel("1e9 multiply-adds")
    axes.set_title(title)

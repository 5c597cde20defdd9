"""One style for all figures: legible in grey, labels apart, the same bytes from the same records."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from harness.reports.write import write_bytes

# From dark to light, so that neighbours differ in print without colour; shapes and dashes differ as well.
COLOURS = ("#1d2f5d", "#b2431f", "#3f7f6b", "#8a6fb0", "#d39a2d", "#6fb7d6")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
INK, FAINT = "#222222", "#c8c8c8"
DPI = 160

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "harness",  # element ids in an SVG: fixed, so that equal figures are equal files
    "svg.fonttype": "none",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib in the house style, inside the `with` only, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(cast(Any, _SETTINGS))
        yield


def new_figure(width: float, height: float, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `width` × `height` inches with axes side by side; needs no display."""
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(1, columns, squeeze=False, **options)
    return figure, list(axes[0])


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `name`.svg and `name`.png under `folder`; UserError where it cannot be written."""
    paths = [folder / f"{name}.{kind}" for kind in ("svg", "png")]
    for path, metadata in zip(paths, ({"Date": None, "Creator": None}, {"Software": None}), strict=True):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=path.suffix[1:], dpi=DPI, metadata=metadata)
        write_bytes(path, buffer.getvalue())
    return paths


def look(index: int) -> dict[str, Any]:
    """Colour and marker of the row number `index`."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_ALIGN = {1: "left", 0: "center", -1: "right"}
_VALIGN = {1: "bottom", 0: "center", -1: "top"}


def label_points(axes: Axes, xs: Sequence[float], ys: Sequence[float], labels: Sequence[str]) -> None:
    """Write each label beside its point, where it covers neither another label nor a point.

    Call it last: limits and scales must stand. Labels move outwards until they fit, with a thin line back.
    """
    cast(Figure, axes.get_figure(root=True)).draw_without_rendering()
    points = axes.transData.transform(np.column_stack([xs, ys]))
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in points]
    for x, y, label in sorted(zip(xs, ys, labels, strict=True), key=lambda p: (-p[1], p[0])):
        taken.append(_place(axes, x, y, label, taken))


def _place(axes: Axes, x: float, y: float, label: str, taken: list[Bbox]) -> Bbox:
    """Put one label at the first free place around its point; the box that it takes, in pixels."""
    best: tuple[float, Bbox, Annotation] | None = None
    for distance in (7, 14, 24, 36, 50):
        for dx, dy in _DIRECTIONS:
            note = _annotate(axes, (x, y), label, (dx, dy), distance)
            box = note.get_window_extent().padded(1)
            overlap = _overlap(box, taken) + _outside(box, axes)
            if best is None or overlap < best[0]:
                if best is not None:
                    best[2].remove()
                best = (overlap, box, note)
            else:
                note.remove()
            if best[0] == 0:
                return best[1]
    assert best is not None, "there are distances to try"
    return best[1]


def _annotate(
    axes: Axes, point: tuple[float, float], label: str, side: tuple[int, int], distance: float
) -> Annotation:
    dx, dy = side
    line = (
        {"arrowstyle": "-", "color": FAINT, "lw": 0.8, "shrinkA": 0, "shrinkB": 4} if distance > 7 else None
    )
    diagonal = 0.75 if dx and dy else 1.0
    return axes.annotate(
        label,
        point,
        (dx * distance * diagonal, dy * distance * diagonal),
        textcoords="offset points",
        ha=_ALIGN[dx],
        va=_VALIGN[dy],
        fontsize=8,
        color=INK,
        arrowprops=line,
        annotation_clip=False,
    )


def _overlap(box: Bbox, taken: list[Bbox]) -> float:
    parts = (Bbox.intersection(box, other) for other in taken)
    return sum(float(part.width * part.height) for part in parts if part is not None)


def _outside(box: Bbox, axes: Axes) -> float:
    """Area of the label that lies outside the axes, in pixels squared."""
    inside = Bbox.intersection(box, axes.get_window_extent())
    covered = 0.0 if inside is None else float(inside.width * inside.height)
    return float(box.width * box.height) - covered


def spread_out(
    values: Sequence[float], gap: float, within: tuple[float, float] = (-np.inf, np.inf)
) -> list[float]:
    """The nearest places (least squares) at least `gap` apart in the values' order, all `within` bounds.

    Where the bounds leave no room for that, the upper ones are overstepped.
    """
    from scipy.optimize import isotonic_regression  # a quarter of a second, for learning curves alone

    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    fitted = isotonic_regression(np.asarray(values, dtype=float)[order] - steps).x
    low, high = within
    placed = np.empty(len(values))
    placed[order] = fitted.clip(low, max(low, high - steps[-1])) + steps
    return [float(v) for v in placed]

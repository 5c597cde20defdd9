"""Figures: which are drawn, the same bytes twice, and labels that do not overlap."""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from harness.experiment import Profile, load_experiment
from harness.experiment.paper import load_paper
from harness.methods import Gathered, gather
from harness.reports.figures import write_figures
from harness.reports.figures import accuracy_figures, cost_bars
from harness.reports.style import house_style, label_points, new_figure, spread_out
from harness.results import load


def gathered_of(letter: str, profile: Profile, frame: pd.DataFrame) -> Gathered:
    return gather(load_experiment(f"ablation_{letter}"), profile, frame)


def label_boxes(figure: Figure) -> list[list[Bbox]]:
    """Pixels of the labels, by axes."""
    figure.draw_without_rendering()
    return [[t.get_window_extent() for t in axes.texts if isinstance(t, Annotation)] for axes in figure.axes]


def test_kinds_of_figures(profile: Profile, frame: pd.DataFrame) -> None:
    with house_style():
        a = accuracy_figures(gathered_of("a", profile, frame), load_paper())
        e = accuracy_figures(gathered_of("e", profile, frame), load_paper())
    assert set(a) == {"seeds", "curves", "factors", "accuracy_vs_cost"}
    assert set(e) == {"seeds", "curves", "factors"}  # all its rows cost the same


def test_labels_of_accuracy_against_cost_do_not_overlap(profile: Profile, frame: pd.DataFrame) -> None:
    with house_style():
        figure = accuracy_figures(gathered_of("a", profile, frame), load_paper())["accuracy_vs_cost"]
        by_axes = label_boxes(figure)
    assert [len(boxes) for boxes in by_axes] == [16, 5]
    for boxes in by_axes:
        assert not [pair for pair in itertools.combinations(boxes, 2) if Bbox.intersection(*pair)]


def test_paper_and_ours_never_share_axes(profile: Profile, frame: pd.DataFrame) -> None:
    with house_style():
        figures = {
            **accuracy_figures(gathered_of("a", profile, frame), load_paper()),
            "cost": cost_bars(load_experiment("ablation_i"), profile, load_paper()),
        }
    for figure in figures.values():
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert all(("paper:" in title) != ("ours:" in title) for title in titles)


def test_cost_bars_are_the_printed_and_the_counted_numbers(profile: Profile) -> None:
    with house_style():
        left, right = cost_bars(load_experiment("ablation_i"), profile, load_paper()).axes
    assert [bar.get_width() for bar in left.patches] == [83.8, 143.0, 83.8]
    assert [bar.get_width() for bar in right.patches] == pytest.approx([83.837, 143.027, 83.839], abs=1e-3)


def test_the_same_records_give_the_same_bytes(profile: Profile, frame: pd.DataFrame, tmp_path: Path) -> None:
    experiments = [load_experiment("ablation_i")]
    one = write_figures(experiments, profile, frame, tmp_path / "1")
    two = write_figures(experiments, profile, frame, tmp_path / "2")
    assert [p.name for p in one] == ["ablation_i_cost.svg", "ablation_i_cost.png"]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_no_figure_without_records(profile: Profile, tmp_path: Path) -> None:
    assert write_figures([load_experiment("ablation_a")], profile, load(tmp_path), tmp_path) == []


@given(st.lists(st.floats(0, 100), min_size=1, max_size=7), st.floats(0.1, 5))
def test_spread_out_keeps_order_and_distance(values: list[float], gap: float) -> None:
    placed = spread_out(values, gap)
    order = sorted(range(len(values)), key=lambda i: values[i])
    for low, high in itertools.pairwise(order):
        assert placed[high] - placed[low] >= gap * (1 - 1e-9)
    apart = all(abs(a - b) >= gap for a, b in itertools.combinations(values, 2))
    assert placed == pytest.approx(values) or not apart


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_spread_out_stays_within_its_bounds(values: list[float]) -> None:
    placed = spread_out(values, 5, (0, 100))
    assert min(placed) >= -1e-9 and max(placed) <= 100 + 1e-9
    assert all(b - a >= 5 - 1e-9 for a, b in itertools.pairwise(sorted(placed)))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6, unique=True))
def test_labels_find_room_wherever_the_points_lie(points: list[tuple[float, float]]) -> None:
    with house_style():
        figure, (axes,) = new_figure(6, 4)
        axes.set(xlim=(-0.3, 1.3), ylim=(-0.3, 1.3))
        xs, ys = zip(*points, strict=True)
        label_points(axes, xs, ys, [f"row {i}" for i in range(len(points))])
        (boxes,) = label_boxes(figure)
    assert not [pair for pair in itertools.combinations(boxes, 2) if Bbox.intersection(*pair)]


def test_a_users_matplotlibrc_changes_nothing() -> None:
    with mpl.rc_context({"text.usetex": True, "font.family": "no such font"}):
        with house_style():
            assert mpl.rcParams["text.usetex"] is False
        assert mpl.rcParams["text.usetex"] is True

"""From experiments, profiles and records to one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from harness.experiment.paper import load_paper
from harness.experiment.spec import Experiment, Profile
from harness.methods.evidence import Evidence, gather
from harness.reports import style
from harness.reports.build import build_table
from harness.reports.figures import accuracy_figures, cost_bars
from harness.reports.page.payload import Section, payload_of
from harness.reports.page.pictures import Picture, picture
from harness.reports.page.render import render_page
from harness.reports.write import write_bytes

FIGURE_WORDS = {
    "seeds": "Seeds and intervals",
    "factors": "Accuracy by factor",
    "accuracy_vs_cost": "Accuracy against cost of inference",
    "cost": "Cost of training",
}


def build_page(
    experiments: Sequence[Experiment],
    profiles: Sequence[Profile],
    frame: pd.DataFrame,
    out: Path,
    *,
    data: Path | None = None,
) -> Path:
    """Write the page of every experiment in every profile to the file `out`; returns `out`.

    frame  `harness.results.load()`: every run in it gets a page of its own, in a table or not
    data   where datasets are prepared, for the frames of flipped videos (default: `harness.data.data_root()`)

    Raises UserError for a row whose network cannot be built, and where `out` cannot be written.
    """
    sections = [
        _section(experiment, profile, frame, several=len(profiles) > 1)
        for number, profile in enumerate(profiles)
        for experiment in experiments
        if experiment.measure == "accuracy" or number == 0  # costs at the paper's scale know no profile
    ]
    page = render_page(sections, payload_of(sections, frame, data))
    write_bytes(out, page.encode())
    return out


def _section(experiment: Experiment, profile: Profile, frame: pd.DataFrame, *, several: bool) -> Section:
    table = build_table(experiment, profile, frame)
    if experiment.measure == "cost":
        with style.house_style():
            figure = picture(cost_bars(experiment, profile, load_paper()), FIGURE_WORDS["cost"])
        return Section(table, None, (figure,))
    if several:
        name, title = f"{experiment.name}-{profile.name}", f"{table.title}, profile {profile.name}"
        table = replace(table, name=name, title=title)
    evidence = gather(experiment, profile, frame)
    return Section(table, evidence, _figures(evidence))


def _figures(evidence: Evidence) -> tuple[Picture, ...]:
    """All but the learning curves, which the page draws itself, seed by seed."""
    with style.house_style():
        drawn = accuracy_figures(evidence, load_paper())
        return tuple(picture(f, FIGURE_WORDS[k]) for k, f in drawn.items() if k in FIGURE_WORDS)

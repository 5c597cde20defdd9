"""From experiments, profiles and records to one self-contained HTML file: template, style, scripts and data as JSON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel

from harness.base.code import code_version
from harness.experiment.paper import load_paper
from harness.experiment.spec import Experiment, Profile
from harness.methods import Gathered, gather
from harness.reports.cost_table import row_costs
from harness.reports.page.payload import Section, payload_of
from harness.reports.page.pictures import Picture, pictures_of
from harness.reports.render_html import html
from harness.reports.tables import build_table, table_of
from harness.reports.write import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OTHERS_AT_MOST = 1000  # a second of work and a megabyte of the page for every few hundred
# In the order in which they build on each other.
SCRIPTS = ("core", "statistics", "charts", "tables", "compare", "curves", "runs", "main")


class LeftOut(UserWarning):
    """Runs that the page does not have."""


def build_page(
    experiments: Sequence[Experiment],
    profiles: Sequence[Profile],
    frame: pd.DataFrame,
    out: Path,
    *,
    data: Path | None = None,
) -> Path:
    """Write the page of every experiment in every profile to the file `out`; returns `out`.

    frame  `harness.results.load()`: every run in it gets a page of its own, in a table or not; where more than
           `OTHERS_AT_MOST` stand in none of the tables, those are left out, with a `LeftOut` warning
    data   where datasets are prepared, for the frames of flipped videos (default: `harness.data.data_root()`)

    Raises UserError for a row whose network cannot be built, and where `out` cannot be written.
    """
    sections = [
        _section(experiment, profile, frame, several=len(profiles) > 1)
        for number, profile in enumerate(profiles)
        for experiment in experiments
        if experiment.measure == "accuracy" or number == 0  # costs at the paper's scale know no profile
    ]
    page = render_page(sections, payload_of(sections, _on_the_page(sections, frame), data))
    write_bytes(out, page.encode())
    return out


def _on_the_page(sections: Sequence[Section], frame: pd.DataFrame) -> pd.DataFrame:
    """The runs of the tables, and all others or none: with some of a method's seeds it would look less sure than it is."""
    methods = [method for s in sections if s.gathered is not None for method in s.gathered.methods]
    in_tables = frame["id"].isin({i for method in methods for ids in method.ids.values() for i in ids})
    others = int((~in_tables).sum())
    if others <= OTHERS_AT_MOST:
        return frame
    warnings.warn(
        f"{others} runs that stand in none of these tables are not on the page (it takes {OTHERS_AT_MOST}); "
        "`harness show ID` prints any of them, and `harness report` of their experiment has them",
        LeftOut,
        stacklevel=2,
    )
    return frame[in_tables]


def _section(experiment: Experiment, profile: Profile, frame: pd.DataFrame, *, several: bool) -> Section:
    if experiment.measure == "cost":
        return Section(build_table(experiment, profile, frame), None, _cost_pictures(experiment, profile))
    gathered = gather(experiment, profile, frame)
    table = table_of(gathered, load_paper())
    if several:
        name, title = f"{experiment.name}-{profile.name}", f"{table.title}, profile {profile.name}"
        table = replace(table, name=name, title=title)
    return Section(table, gathered, _accuracy_pictures(gathered))


def _cost_pictures(experiment: Experiment, profile: Profile) -> tuple[Picture, ...]:
    def draw() -> dict[str, Figure]:
        from harness.reports.figures import cost_bars

        return {"cost": cost_bars(experiment, profile, load_paper())}

    costs = [asdict(cost) for cost in row_costs(experiment, profile).values()]
    return pictures_of([_plain(experiment, profile, load_paper()), costs], draw)


def _accuracy_pictures(gathered: Gathered) -> tuple[Picture, ...]:
    """All but the learning curves, which the page draws itself, seed by seed."""

    def draw() -> dict[str, Figure]:
        from harness.reports.figures import accuracy_figures

        return accuracy_figures(gathered, load_paper(), curves=False)

    records = [
        [method.label, [one.lines.to_dict("records") for one in (method, *method.components)]]
        for method in gathered.methods
    ]
    return pictures_of([_plain(gathered.experiment, gathered.profile, load_paper()), records], draw)


def _plain(*declared: BaseModel) -> list[Any]:
    return [one.model_dump(mode="json") for one in declared]


def render_page(sections: Sequence[Section], payload: dict[str, Any]) -> str:
    """The whole file."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_asset("page.html.j2"))
    statuses = [run["status"] for run in payload["runs"]]
    return template.render(
        sections=[(section, Markup(html(section.table))) for section in sections],
        style=Markup(_asset("page.css")),
        script=Markup(script()),
        payload=Markup(embedded_json(payload)),
        done=statuses.count("done"),
        not_done=len(statuses) - statuses.count("done"),
        commit=str(code_version()["commit"])[:7],
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def script() -> str:
    """All scripts as one function that leaves nothing behind but `window.harness`, which tests use."""
    parts = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


def _asset(name: str) -> str:
    return (resources.files("harness.reports.page") / "templates" / name).read_text(encoding="utf-8")


def embedded_json(data: Any) -> str:
    """JSON that cannot end the script element it stands in. ValueError for a number that is not finite."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

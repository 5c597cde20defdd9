"""The page's HTML: a template, one style sheet, a few scripts, and the data as JSON, all in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from harness.reports.page.payload import Section
from harness.reports.render_html import html
from harness.trial.provenance import code_version

# In the order in which they build on each other.
SCRIPTS = ("core", "statistics", "charts", "tables", "compare", "curves", "runs", "main")


def _asset(name: str) -> str:
    return (resources.files("harness.reports.page") / "templates" / name).read_text(encoding="utf-8")


def script() -> str:
    """All scripts as one function that leaves nothing behind but `window.harness`, which tests use."""
    parts = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


def embedded_json(data: Any) -> str:
    """JSON that cannot end the script element it stands in. ValueError for a number that is not finite."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


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

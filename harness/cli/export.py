"""`harness export`: records in the form of other tools."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from harness.base.errors import UserError
from harness.cli.common import (
    DEFAULT_PROFILE,
    Experiments,
    Json,
    ProfileName,
    Results,
    Seeds,
    Variants,
    make_plan,
    own_store,
    print_json,
)

app = typer.Typer(help="Hand records to other tools.")


@app.callback()
def group() -> None:
    """Hand records to other tools."""


@app.command()
def mlflow(
    experiments: Experiments,
    *,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            "--tracking-uri",
            envvar="MLFLOW_TRACKING_URI",
            help="The server, http://host:5000.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileName = DEFAULT_PROFILE,
    seeds: Seeds = None,
    variant: Variants = None,
    results: Results = None,
    json: Json = False,
) -> None:
    """Send trials that have a record to an MLflow server: one run for each, however often this is done.

    They stand in the experiment NAME/PROFILE there: what two profiles say is not to be compared.
    Settings, curve, metrics, cost and origin; a failed trial with its reason. Shipped baselines stand in where you have
    no record of your own. A run that lacks something is completed, one that has all of it is left as it is.
    """
    from harness.reports.to_mlflow import Exporter
    from harness.results import baseline_roots, load

    if tracking_uri is None:
        raise UserError(
            "export mlflow: which server? Say --tracking-uri http://host:5000, or set MLFLOW_TRACKING_URI"
        )
    plan, exporter = make_plan(experiments, profile, seeds, variant), Exporter(tracking_uri)
    frame = load(own_store(results).root, *baseline_roots())
    sent = {
        label: exporter.export(f"{label}/{plan.profile.name}", part, frame)
        for label, part in zip(plan.labels(), plan.parts, strict=True)
    }
    if json:
        print_json({label: asdict(exported) for label, exported in sent.items()})
        return
    for label, one in sent.items():
        print(
            f"{label}: {len(one.new)} new runs, {len(one.completed)} completed, {len(one.unchanged)} as they were, "
            f"{len(one.no_record)} trials without a record"
        )

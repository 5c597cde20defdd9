"""`harness show`, `harness weights`: look closely at one thing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.base.errors import UserError, near_match
from harness.cli.common import DEFAULT_PROFILE, Json, ProfileName, Results, all_experiments, print_json
from harness.experiment.load import load_experiment, load_profile
from harness.results import Store, baseline_roots, load, runs_root
from harness.trial.record import METRICS, Record


def show(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="TRIAL | EXPERIMENT [ROW [COLUMN]]",
            help="A trial's id or its first digits; a table (ablation_a), or a cell of it (ablation_a 'DSA+I3D 4x4' top1).",
            show_default=False,
        ),
    ],
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    results: Results = None,
    json: Json = False,
) -> None:
    """Print what stands behind a number: a whole table with all its notes, a cell with its trials, or one trial.

    A trial: its settings, its numbers, its cost, where it ran, why it failed. A cell: every seed's value, the
    interval, and which commit and machine made each.
    """
    if len(what) == 1 and (what[0].endswith((".yaml", ".yml")) or what[0] in all_experiments()):
        _show_table(what[0], profile, results, as_json=json)
    elif len(what) == 1:
        _show_trial(what[0], [results or runs_root(), *baseline_roots()], as_json=json)
    elif len(what) <= 3:
        _show_cell(what, profile, results, as_json=json)
    else:
        raise UserError(f"show takes a trial, or EXPERIMENT ROW [COLUMN] (quote a row's name), not {what}")


def _show_table(name: str, profile: str, results: Path | None, *, as_json: bool) -> None:
    from harness.reports import build_table, print_table

    table = build_table(
        load_experiment(name), load_profile(profile), load(results or runs_root(), *baseline_roots())
    )
    if as_json:
        print_json(asdict(table))
    else:
        print_table(table, whole=True)


def _show_cell(what: list[str], profile: str, results: Path | None, *, as_json: bool) -> None:
    from harness.reports.show import cell_facts, print_cell

    frame = load(results or runs_root(), *baseline_roots())
    facts = cell_facts(load_experiment(what[0]), load_profile(profile), frame, *what[1:])
    if as_json:
        print_json(facts.as_data())
    else:
        print_cell(facts)


def _show_trial(prefix: str, roots: list[Path], *, as_json: bool) -> None:
    store, trial_id = find_trial(prefix, roots)
    record = store.record(trial_id)
    facts = _facts(record, store)
    if as_json:
        print_json(facts)
        return
    for title, part in facts.items():
        print(f"{title}: {part}" if not isinstance(part, dict) else title)
        for key, value in part.items() if isinstance(part, dict) else ():
            print(f"  {key:<22} {_text(value)}")
    if record.traceback:
        print(record.traceback.rstrip())


def find_trial(prefix: str, roots: list[Path]) -> tuple[Store, str]:
    """The first store that has a trial whose id begins with `prefix`. UserError for none or several."""
    known: list[str] = []
    for store in map(Store, roots):
        ids = store.ids()
        found = [i for i in ids if i.startswith(prefix)]
        if len(found) == 1:
            return store, found[0]
        if found:
            raise UserError(f"{prefix!r} is the beginning of {len(found)} trials: {', '.join(found[:5])} …")
        known += ids
    raise UserError(f"no record of a trial {prefix!r}{near_match(prefix, known)}; see `harness status`")


def _facts(record: Record, store: Store) -> dict[str, Any]:
    metrics = {name: record.metrics[name] for name in METRICS if name in record.metrics}
    return {
        "trial": record.id,
        "status": record.status if record.reason is None else f"{record.status}: {record.reason}",
        "store": str(store.root),
        "metrics": metrics,
        "cost": record.cost,
        "provenance": record.provenance,
        "configuration": record.trial.model_dump(mode="json", exclude={"variant": {"source"}}),
    }


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:.4g}"
    return str(value)


def weights(
    file: Annotated[Path, typer.Argument(help="A published checkpoint.")],
    source: Annotated[str, typer.Option("--source", help="Whose naming it has: see harness.models.weights.")],
    model: Annotated[str, typer.Option("--model", help="The backbone, e.g. i3d_r50.")] = "i3d_r50",
    aggregation: Annotated[
        str, typer.Option("--aggregation", help="The module across snippets.")
    ] = "average",
    classes: Annotated[int, typer.Option("--classes", min=1, help="Classes of its head.")] = 400,
) -> None:
    """Check that a published checkpoint fits a network: every tensor named, none missing, none left over."""
    from harness.models import create_model, load_release, read_checkpoint

    network = create_model(model, classes, aggregation=aggregation)
    load_release(network, read_checkpoint(file), source)
    print(f"{file}: fits {model} with {aggregation}")

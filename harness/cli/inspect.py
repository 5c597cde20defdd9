"""`harness show`: look closely at one thing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.errors import UserError, near_match
from harness.cli.common import (
    DEFAULT_PROFILE,
    Data,
    Json,
    ProfileName,
    Results,
    Variants,
    chosen_experiments,
    print_json,
    profile_of,
)

if TYPE_CHECKING:
    from harness.experiment.spec import Profile
    from harness.results import Store
    from harness.results.record import Record


def show(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="TRIAL | EXPERIMENT [ROW [COLUMN]]",
            help="A trial's id or its first digits; a table (ablation_a); a cell (ablation_a 'DSA+I3D 4x4' top1).",
            show_default=False,
        ),
    ],
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    variant: Variants = None,
    results: Results = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Print what stands behind a number: a whole table with all its notes, a cell with its trials, or one trial.

    A trial: its settings, its numbers, those of its worst classes, its cost, where it ran, why it failed; classes of a
    user's own copy have names where --profile says where it lies. A cell: every seed's value, the interval, and which
    commit and machine made each.
    """
    from harness.experiment.load import experiment_names
    from harness.results import baseline_roots, runs_root

    if len(what) == 1 and (what[0].endswith((".yaml", ".yml")) or what[0] in experiment_names()):
        _show_table(what[0], profile_of(profile, data), variant, results, as_json=json)
    elif len(what) == 1:
        _show_trial(what[0], profile, [results or runs_root(), *baseline_roots()], as_json=json)
    elif len(what) <= 3:
        _show_cell(what, profile_of(profile, data), variant, results, as_json=json)
    else:
        raise UserError(f"show takes a trial, or EXPERIMENT ROW [COLUMN] (quote a row's name), not {what}")


def _show_table(
    name: str, own: Profile, variants: list[Path] | None, results: str | None, *, as_json: bool
) -> None:
    from harness.reports import build_table, print_table
    from harness.results import baseline_roots, load, runs_root

    (experiment,) = chosen_experiments([name], own, variants)
    table = build_table(experiment, own, load(results or runs_root(), *baseline_roots()))
    if as_json:
        print_json(asdict(table))
    else:
        print_table(table, whole=True)


def _show_cell(
    what: list[str], own: Profile, variants: list[Path] | None, results: str | None, *, as_json: bool
) -> None:
    from harness.reports.show import cell_facts, print_cell
    from harness.results import baseline_roots, load, runs_root

    (experiment,) = chosen_experiments(what[:1], own, variants)
    facts = cell_facts(experiment, own, load(results or runs_root(), *baseline_roots()), *what[1:])
    if as_json:
        print_json(facts.as_data())
    else:
        print_cell(facts)


def _show_trial(prefix: str, profile: str, roots: list[Path | str], *, as_json: bool) -> None:
    store, trial_id = find_trial(prefix, roots)
    record = store.record(trial_id)
    classes = _class_lines(record, profile)
    if as_json:
        print_json({**_facts(record, store), "classes": classes})
        return
    for title, part in _facts(record, store).items():
        print(f"{title}: {part}" if not isinstance(part, dict) else title)
        for key, value in part.items() if isinstance(part, dict) else ():
            print(f"  {key:<22} {_text(value)}")
        if title == "metrics" and classes:
            _print_classes(classes)
    if record.traceback:
        print(record.traceback.rstrip())


def _class_lines(record: Record, profile: str) -> list[dict[str, Any]]:
    """Every class's number, the worst first; named by the profile, since a record does not say where a copy lies."""
    from harness.experiment.load import load_profile
    from harness.reports.facets import class_names
    from harness.results.per_class import class_scores

    own, recorded = load_profile(profile).dataset, record.trial.dataset
    names = dict(enumerate(class_names(own if own.name == recorded.name else recorded)))
    return [
        {"class": names.get(score.label, f"class {score.label}"), **asdict(score)}
        for score in class_scores(record.predictions)
    ]


def _print_classes(classes: list[dict[str, Any]], most: int = 10) -> None:
    shown = f", the worst {most} of {len(classes)} (--json: all)" if len(classes) > most else ""
    print(f"classes: {classes[0]['metric']} in percent, the worst first{shown}")
    for line in classes[:most]:
        print(f"  {line['value']:>5.1f}  {line['class']} ({line['videos']} videos)")


def find_trial(prefix: str, roots: Sequence[Path | str], running: Collection[str] = ()) -> tuple[Store, str]:
    """The first store with the trial `prefix`, or one whose id begins so. UserError for none or several.

    running: trials of the first store that have no record yet
    """
    from harness.results import Store

    known: list[str] = []
    for number, store in enumerate(map(Store, roots)):
        ids = sorted({*store.ids(), *running}) if number == 0 else store.ids()
        found = [prefix] if prefix in ids else [i for i in ids if i.startswith(prefix)]
        if len(found) == 1:
            return store, found[0]
        if found:
            raise UserError(f"{prefix!r} is the beginning of {len(found)} trials: {', '.join(found[:5])} …")
        known += ids
    raise UserError(f"no record of a trial {prefix!r}{near_match(prefix, known)}; see `harness status`")


def _facts(record: Record, store: Store) -> dict[str, Any]:
    return {
        "trial": record.id,
        "status": record.status if record.reason is None else f"{record.status}: {record.reason}",
        "store": str(store.root),
        "metrics": record.metrics,
        "cost": record.cost,
        "provenance": record.provenance,
        "configuration": record.trial.model_dump(mode="json", exclude={"variants": {"__all__": {"source"}}}),
    }


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:.4g}"
    return str(value)

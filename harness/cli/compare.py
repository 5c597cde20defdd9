"""`harness compare`: is the new method better? Runs what is missing of a variant, then tests and renders."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.check_variant import Options, print_findings
from harness.cli.common import (
    DEFAULT_PROFILE,
    Data,
    Json,
    ProfileName,
    Reports,
    Results,
    own_store,
    print_json,
    profile_of,
)
from harness.cli.run import exit_code, run_missing

if TYPE_CHECKING:
    import pandas as pd

    from harness.comparison.wanted import Wanted, WantedRow
    from harness.experiment.spec import Profile
    from harness.results import Store


def compare(
    methods: Annotated[
        list[str] | None,
        typer.Argument(
            help="NEW [NEW …] BASE: a row, EXPERIMENT:ROW, a short name (dsa, v4d, tsn, i3d, se), column=value "
            "for records, or for NEW a variant's file. With --baseline all are NEW.",
            show_default=False,
        ),
    ] = None,
    *,
    variant: Annotated[
        list[Path] | None,
        typer.Option(
            "--variant", help="A file with a new module, put in the baseline's place.", show_default=False
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="The row to compare with: dsa, EXPERIMENT:ROW, …")
    ] = None,
    option: Options = None,
    experiment: Annotated[
        str | None, typer.Option("--experiment", help="Where bare row names are looked up.")
    ] = None,
    profile: ProfileName = DEFAULT_PROFILE,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, help="Seeds 0 … N-1; default: those that the baseline has."),
    ] = None,
    run: Annotated[
        bool | None,
        typer.Option(
            "--run/--no-run", help="Train what is missing. Default: only where a variant is compared."
        ),
    ] = None,
    inline: Annotated[bool, typer.Option("--inline", help="Train in this process, without Ray.")] = False,
    results: Results = None,
    reports: Reports = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Compare methods on the same test videos and seeds: difference, interval, verdict, where they differ.

    The verdict is better, worse, no difference detected (with the difference that would have been), or not
    comparable (with the fields that differ). Files: reports/comparisons/NEW_vs_BASE.md and .html.
    """
    from harness.comparison import as_data, compare_methods, document, print_document, write_document
    from harness.comparison.wanted import parse_wanted
    from harness.reports import reports_root
    from harness.results import baseline_roots, load

    own = profile_of(profile, data)
    new, base = parse_wanted(methods or [], variant or [], baseline, option or [], experiment)
    store = own_store(results)
    frame = load(store.root, *baseline_roots())
    numbers = _seeds(base, frame, own, seeds)
    code = 0
    if run or (run is None and any(w.variant for w in new)):
        code = _run([*new, base], own, numbers, frame, store=store, data=data, inline=inline, as_json=json)
        frame = load(store.root, *baseline_roots())
    report = compare_methods(
        [w.method(frame, own, numbers) for w in new], base.method(frame, own, numbers), own.name
    )
    text = document(report)
    paths = write_document(text, reports or reports_root())
    if json:
        print_json(as_data(report))
    else:
        print_document(text)
        print("\nwritten: " + ", ".join(map(str, paths)))
    raise typer.Exit(code)


def _seeds(base: Wanted, frame: pd.DataFrame, profile: Profile, asked: int | None) -> list[int]:
    """The seeds asked for, else the baseline's own, else (it has no record yet) the profile's."""
    if asked is not None:
        return list(range(asked))
    return base.seeds_done(frame, profile) or list(range(profile.seeds))


def _run(
    wanted: Sequence[Wanted],
    profile: Profile,
    seeds: list[int],
    frame: pd.DataFrame,
    *,
    store: Store,
    data: Path | None,
    inline: bool,
    as_json: bool,
) -> int:
    """Train what no store has, seed by seed; returns the exit code so far. Exits where the run is interrupted."""
    from harness.comparison.wanted import WantedRow
    from harness.plan.expand import distinct
    from harness.plan.pending import pending

    rows = [w for w in wanted if isinstance(w, WantedRow)]
    planned = distinct(p for seed in seeds for w in rows for p in w.trials(profile, [seed]))
    done = set(frame["id"][frame["status"] == "done"]) if len(frame) else set()
    split = pending([p for p in planned if p.id not in done], store)
    if not split.todo:
        return 1 if split.failed else 0
    _check_contracts(rows, as_json=as_json)
    print(
        f"{len(planned)} trials: {len(planned) - len(split.todo)} settled, {len(split.todo)} to run",
        file=sys.stderr,
    )
    names = list(dict.fromkeys(w.experiment.name for w in rows))
    outcome = run_missing(split, profile, names, store, data, inline)
    if outcome.interrupted:
        print("stopped; what is finished is kept, and the same command goes on", file=sys.stderr)
        raise typer.Exit(130)
    return exit_code(split, outcome)


def _check_contracts(rows: Sequence[WantedRow], *, as_json: bool) -> None:
    """Seconds of checks before minutes of training; exits with code 1 where a module breaks the contract."""
    from harness.variants import check_variant

    for wanted in rows:
        if wanted.variant is None:
            continue
        report = check_variant(wanted.variant, dict(wanted.options))
        if not report.ok:
            if as_json:
                print_json({"broken_contract": asdict(report)})
            else:
                print_findings(report)
            raise typer.Exit(1)
        print(f"{report.file}: keeps the contract ({len(report.findings)} checks)", file=sys.stderr)

"""From an experiment, a profile and the records to a table as data.

table = build_table(load_experiment("ablation_a"), load_profile("embedded"), harness.results.load())
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.base.errors import UserError
from harness.experiment.paper import PaperNumbers, PaperTable, load_paper
from harness.experiment.spec import Experiment, Profile, Recipe
from harness.methods.evidence import Evidence, gather
from harness.methods.signature import short_hash
from harness.reports.columns import columns_of, line_of
from harness.reports.cost_table import cost_table, titled
from harness.reports.notes import dataset_name, notes_of
from harness.reports.reading import reading_of, resolved_note, story_of
from harness.reports.table import Table


def build_table(
    experiment: Experiment,
    profile: Profile,
    frame: pd.DataFrame,
    *,
    seeds: Sequence[int] | None = None,
    paper: PaperNumbers | None = None,
    variant: Path | None = None,
) -> Table:
    """The table of one experiment in one profile.

    frame    `harness.results.load()`
    seeds    which seeds to show; None: every seed that any row has a record of
    paper    the paper's numbers (default: experiments/paper.yaml)
    variant  the file of the module that rows may name as their aggregation

    Raises UserError for a row whose network cannot be built and for a paper table that does not exist.
    """
    numbers = paper or load_paper()
    if experiment.measure == "cost":
        return cost_table([experiment], profile, numbers, name=experiment.name)
    printed = numbers.table(experiment.paper_table) if experiment.paper_table else None
    evidence = gather(experiment, profile, frame, seeds, variant=variant)
    columns = columns_of(evidence, printed)
    reading, resolved = _reading(evidence, printed)
    return Table(
        name=experiment.name,
        title=titled(experiment),
        caption=_caption(evidence),
        columns=columns,
        rows=tuple(line_of(evidence, row, columns, printed) for row in evidence.rows),
        notes=(*notes_of(evidence, printed, numbers), *resolved),
        reading=reading,
        signature=_signature(evidence),
        profile=profile.name,
        paper_source=numbers.source if printed else "",
    )


def _reading(evidence: Evidence, printed: PaperTable | None) -> tuple[str, tuple[str, ...]]:
    """The reading and the note on resolved pairs; a damaged file of scores costs the table these alone."""
    try:
        story = story_of(evidence, printed)
    except UserError as error:
        return f"Not possible: {error}", ()
    return reading_of(story), resolved_note(story)


def _caption(evidence: Evidence) -> str:
    profile, scale = evidence.profile, evidence.profile.scale
    return (
        f"Ours: {dataset_name(profile.dataset.get('name'))}, profile {profile.name}: networks of width "
        f"{scale.width} (the paper's: 64), {scale.crop_px}×{scale.crop_px} px, frames {scale.interval} "
        f"apart; {_recipe(profile.recipe)}; {_seeds(evidence)}; {_made(evidence)}. "
        "Accuracies in percent of test videos. FLOPs are multiply-adds (MACs)."
    )


def _recipe(recipe: Recipe) -> str:
    schedule = recipe.schedule.replace("_", "-")
    return (
        f"{recipe.optimizer}, {schedule}, lr {recipe.lr:g}, {recipe.epochs} epochs, "
        f"batch {recipe.batch_videos} (recipe {short_hash(recipe.model_dump(mode='json'))})"
    )


def _seeds(evidence: Evidence) -> str:
    """How many seeds a row has, and what ± means (`harness.statistics.intervals.mean_interval`)."""
    counts = sorted({len(row.done) for row in evidence.rows} - {0})
    if not counts:
        return "no seed run yet"
    if counts[-1] == 1:
        return "1 seed a row: no interval"
    count = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"mean ± half of the 95 % Student t interval over {count} seeds"


def _made(evidence: Evidence) -> str:
    """Commit and date of the records."""
    done = evidence.done
    if done.empty:
        return "no records"
    dates = sorted({str(d)[:10] for d in done.get("provenance_created", pd.Series(dtype=str)).dropna()})
    when = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "unknown date"
    return f"records of commit {_commits(done)}, {when}"


def _commits(done: pd.DataFrame) -> str:
    """`0123456`, or several; code with changes that were not committed is marked."""
    lines = done.reindex(columns=["provenance_commit", "provenance_dirty"]).astype(object)
    names = {
        f"{str(commit)[:7] if isinstance(commit, str) else 'unknown'}{' (changed)' if dirty is True else ''}"
        for commit, dirty in lines.itertuples(index=False)
    }
    return ", ".join(sorted(names))


def _signature(evidence: Evidence) -> str:
    if evidence.signature is None:
        return ""
    tests = dict.fromkeys(row.trial.test for row in evidence.rows)
    views = " | ".join(
        f"{t.U} snippets × {t.crops} crop{'s' if t.crops > 1 else ''}, {t.grouping}" for t in tests
    )
    return f"{evidence.signature.text()}; views by row: {views}"

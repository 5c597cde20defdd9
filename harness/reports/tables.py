"""From an experiment, a profile and the records to a table as data.

table = build_table(load_experiment("ablation_a"), load_profile("embedded"), harness.results.load())
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness.base.errors import UserError
from harness.experiment.datasets import dataset_title
from harness.experiment.paper import PaperNumbers, PaperTable, load_paper
from harness.experiment.sampling import TestProtocol
from harness.experiment.spec import Experiment, Profile
from harness.methods import Gathered, gather
from harness.methods.fairness import short_hash, trial_facts
from harness.reports.columns import columns_of, line_of
from harness.reports.cost_table import cost_table, row_costs, titled
from harness.reports.notes import notes_of
from harness.reports.reading import reading_of, resolved_note, story_of
from harness.reports.table import Table
from harness.reports.words import left_out


def build_table(
    experiment: Experiment,
    profile: Profile,
    frame: pd.DataFrame,
    *,
    seeds: Sequence[int] | None = None,
    paper: PaperNumbers | None = None,
) -> Table:
    """The table of one experiment in one profile.

    frame  `harness.results.load()`
    seeds  which seeds to show; None: every seed that any row has a record of
    paper  the paper's numbers (default: experiments/paper.yaml)

    Raises UserError for a row whose network cannot be built and for a paper table that does not exist.
    """
    numbers = paper or load_paper()
    if experiment.measure == "cost":
        return cost_table([experiment], profile, numbers, name=experiment.name)
    return table_of(gather(experiment, profile, frame, seeds), numbers)


def table_of(gathered: Gathered, numbers: PaperNumbers) -> Table:
    """The table of methods that are gathered already."""
    experiment = gathered.experiment
    printed = numbers.table(experiment.paper_table) if experiment.paper_table else None
    costs = row_costs(experiment, gathered.profile)
    columns = columns_of(gathered, printed, costs)
    reading, resolved = _reading(gathered, printed)
    return Table(
        name=experiment.name,
        title=titled(experiment),
        caption=_caption(gathered),
        columns=columns,
        rows=tuple(line_of(gathered, method, columns, printed, costs[method.label]) for method in gathered.methods),
        notes=(*notes_of(gathered, printed, numbers), *resolved),
        reading=reading,
        signature=_signature(gathered),
        profile=gathered.profile.name,
        paper_source=numbers.source if printed else "",
    )


def _reading(gathered: Gathered, printed: PaperTable | None) -> tuple[str, tuple[str, ...]]:
    """The reading and the note on resolved pairs; a damaged file of scores costs the table these alone."""
    try:
        story = story_of(gathered, printed)
    except UserError as error:
        return f"Not possible: {error}", ()
    return reading_of(story), resolved_note(story)


def _caption(gathered: Gathered) -> str:
    every = [trial_facts(trial.model_dump_json()) for m in gathered.methods for trial in m.trials]

    def of(field: str) -> str:
        return " or ".join(dict.fromkeys(one[field] for one in every if field in one)) or "?"

    crop, papers = of("train.crop_px"), " (the paper's: 64)" * (gathered.experiment.paper_table is not None)
    return (
        f"Ours: {dataset_title(gathered.profile.dataset.name)}, profile {gathered.profile.name}: networks of width "
        f"{of('network.options.width')}{papers}, {crop}×{crop} px, frames "
        f"{of('train.interval')} apart; {_recipe(gathered)}; {_seeds(gathered)}; {_made(gathered)}. "
        f"Accuracies in percent of test videos{_left_out(gathered)}. FLOPs are multiply-adds (MACs)."
    )


def _recipe(gathered: Gathered) -> str:
    recipes = dict.fromkeys(trial.recipe for m in gathered.methods for trial in m.trials)
    if len(recipes) > 1:
        return f"{len(recipes)} recipes, by row"
    return ", ".join(
        f"{r.optimizer}, {r.schedule}, lr {r.lr:g}, {r.epochs} epochs, batch {r.batch_videos} "
        f"(recipe {short_hash(r.model_dump(mode='json'))})"
        for r in recipes
    )


def _seeds(gathered: Gathered) -> str:
    """How many seeds a row has, and what ± means (`harness.statistics.intervals.mean_interval`)."""
    counts = sorted({len(method.lines) for method in gathered.methods} - {0})
    if not counts:
        return "no seed run yet"
    if counts[-1] == 1:
        return "1 seed a row: no interval"
    count = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"mean ± half of the 95 % Student t interval over {count} seeds"


def _made(gathered: Gathered) -> str:
    """Commit and date of the records."""
    done = gathered.done
    if done.empty:
        return "no records"
    dates = sorted({str(d)[:10] for d in done.get("provenance_created", pd.Series(dtype=str)).dropna()})
    when = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "unknown date"
    return f"records of commit {_commits(done)}, {when}"


def _left_out(gathered: Gathered) -> str:
    told = left_out(gathered.done.get("provenance_excluded_videos", ()))
    return told and f"; {told}"


def _commits(done: pd.DataFrame) -> str:
    """`0123456`, or several; code with changes that were not committed is marked."""
    lines = done.reindex(columns=["provenance_commit", "provenance_dirty"]).astype(object)
    names = {
        f"{str(commit)[:7] if isinstance(commit, str) else 'unknown'}{' (changed)' if dirty is True else ''}"
        for commit, dirty in lines.itertuples(index=False)
    }
    return ", ".join(sorted(names))


def _signature(gathered: Gathered) -> str:
    """What all numbers of the table share, in one line; a recipe by its hash."""
    setting = gathered.setting
    if not setting:
        return ""
    recipes = {short_hash(t.recipe.model_dump(mode="json")) for m in gathered.methods for t in m.trials}
    crop = setting.get("train.crop_px")
    parts = {
        "dataset": f"{setting.get('dataset.name', '?')}@{setting['dataset manifest']}",
        "crop": f"{crop} px" if crop else "by row",
        "decoder": setting.get("decoder", ""),
        "recipe": recipes.pop() if len(recipes) == 1 else "by row",
        "arithmetic": f"{setting['numerics.precision']}/{setting['numerics.device']}",
        "metrics": f"v{setting['numerics.version']}",
    }
    views = " | ".join(dict.fromkeys(_views(t.test) for m in gathered.methods for t in m.trials))
    return f"{', '.join(f'{name} {text}' for name, text in parts.items() if text)}; views by row: {views}"


def _views(test: TestProtocol) -> str:
    return f"{test.U} snippets × {test.crops} crop{'s' * (test.crops > 1)}, {test.grouping}"

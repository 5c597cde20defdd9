"""Options that several commands share, and how a command line becomes a plan.

Commands import what they need when they run, so that `harness --help` and a mistyped option answer at once.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from harness.base.files import local_folder

if TYPE_CHECKING:
    from harness.experiment.spec import Experiment, Profile
    from harness.plan.expand import Planned

Experiments = Annotated[
    list[str],
    typer.Argument(help="Names (ablation_a) or files (my.yaml) of experiments.", show_default=False),
]
SomeExperiments = Annotated[
    list[str] | None, typer.Argument(help="Names or files of experiments; default: all.", show_default=False)
]
ProfileName = Annotated[
    str, typer.Option("--profile", "-p", help="smoke, embedded, paper, or a file: dataset, scale and recipe.")
]
Seeds = Annotated[
    int | None, typer.Option("--seeds", min=1, help="Seeds 0 … N-1 of every row; default: the profile's.")
]
Results = Annotated[
    str | None, typer.Option("--results", help="Your records. Default: $HARNESS_RESULTS, else results/runs.")
]


def folder_option(name: str, help: str) -> Any:
    """An option that names a folder of this machine."""

    def folder(named: str) -> Path:
        return local_folder(named, name)

    return typer.Option(name, help=help, parser=folder, metavar="PATH")


Reports = Annotated[
    Path | None, folder_option("--reports", "Rendered files. Default: $HARNESS_REPORTS, else reports.")
]
Data = Annotated[
    Path | None, folder_option("--data", "Prepared datasets. Default: $HARNESS_DATA, else data.")
]
Variants = Annotated[
    list[Path] | None,
    typer.Option(
        "--variant",
        help="A file of models or modules that rows name, beside those under the experiment's `variants`; repeatable.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines instead of text.")]
DEFAULT_PROFILE = "embedded"


@dataclass(frozen=True)
class Plan:
    """Experiments × a profile × seeds, with every trial of each (several tables may share one)."""

    experiments: Sequence[Experiment]
    profile: Profile
    seeds: Sequence[int]
    parts: Sequence[Sequence[Planned]]

    @property
    def trials(self) -> list[Planned]:
        """All of them, seed by seed over all experiments."""
        return [p for seed in self.seeds for part in self.parts for p in part if p.seed == seed]

    def labels(self) -> list[str]:
        """What each experiment is called here: its name, or its file where two share a name."""
        names = [e.name for e in self.experiments]
        return [str(e.file) if names.count(e.name) > 1 and e.file else e.name for e in self.experiments]


def profile_of(name: str, data: Path | None = None) -> Profile:
    """The profile, its dataset with the hash of the user's copy where that was checked: the copy is part of a trial.

    `data`: where prepared datasets and manifests lie. Raises UserError.
    """
    from harness.data.registry import data_root, pinned
    from harness.experiment.load import load_profile

    profile = load_profile(name)
    dataset = pinned(profile.dataset, data or data_root())
    return profile.model_copy(update={"dataset": dataset})


def make_plan(
    names: Sequence[str] | None,
    profile_name: str,
    seeds: int | None,
    variants: Sequence[Path] | None = None,
    data: Path | None = None,
) -> Plan:
    """Read everything and expand it; without names all experiments but for broken drafts. Raises UserError."""
    from harness.plan.expand import plan_trials

    profile = profile_of(profile_name, data)
    numbers = list(range(seeds if seeds is not None else profile.seeds))
    experiments = chosen_experiments(names, profile, variants)
    return Plan(experiments, profile, numbers, [plan_trials(e, profile, numbers) for e in experiments])


def chosen_experiments(
    names: Sequence[str] | None,
    profile: Profile,
    variants: Sequence[Path] | None = None,
    *,
    one_a_name: bool = False,
) -> list[Experiment]:
    """The experiments that are named, each file once; without names all that can be planned, drafts left out aloud.

    Files given by --variant count as the experiment's own `variants`. Raises UserError for a broken one that was
    named, and with `one_a_name` for two files of one name, whose rendered tables would be one file.
    """
    from harness.base.errors import UserError
    from harness.base.text import first_line
    from harness.experiment.load import BrokenDraft, load_all_experiments, load_experiment
    from harness.plan.expand import plan_trials

    if names:
        by_file = {e.file.resolve() if e.file else e.name: e for e in map(load_experiment, names)}
        found = [with_variants(e, variants) for e in by_file.values()]
        for experiment in found:
            check_columns(experiment)
    else:
        found = []
        meant = (e for e in load_all_experiments() if e.dataset in (None, profile.dataset.name))
        for experiment in (with_variants(e, variants) for e in meant):
            try:
                check_columns(experiment)
                plan_trials(experiment, profile, [])
            except UserError as error:
                warnings.warn(f"left out: {first_line(error)}", BrokenDraft, stacklevel=2)
            else:
                found.append(experiment)
    twice = [e for e in found if [f.name for f in found].count(e.name) > 1]
    if twice and one_a_name:
        files = " and ".join(str(e.file) for e in twice)
        raise UserError(
            f"{files}: both are called {twice[0].name!r}, and their tables would be one file; rename one, or give "
            "them one at a time with --reports"
        )
    return found


def with_variants(experiment: Experiment, variants: Sequence[Path] | None) -> Experiment:
    """The experiment with these files among its own `variants`."""
    if not variants:
        return experiment
    paths = [str(path.absolute()) for path in variants]
    return experiment.model_copy(update={"variants": (*experiment.variants, *paths)})


def check_columns(experiment: Experiment) -> None:
    """Raise UserError, with the line, for a column that is no metric: a table without it would say nothing."""
    from harness.base.errors import UserError, near_match
    from harness.experiment.explain import place_of
    from harness.results.metrics import COSTS, list_metrics, metric

    costs = (*COSTS, "gflops") if experiment.measure == "cost" else ()  # gflops: the paper's word
    for number, name in enumerate(experiment.columns):
        if name in costs:
            continue
        try:
            metric(name)
        except UserError:
            known = costs or list_metrics()
            raise UserError(
                f"{place_of(experiment, 'columns', number)}: columns: unknown column {name!r}"
                f"{near_match(name, known)}; known are {', '.join(known)}"
            ) from None


def own_store(results: str | None) -> Any:
    """The user's store: --results, else $HARNESS_RESULTS, else results/runs."""
    from harness.results import Store, runs_root

    return Store(results or runs_root())


_ANSWERS: ContextVar[TextIO | None] = ContextVar("answers", default=None)


@contextlib.contextmanager
def answer_alone() -> Iterator[None]:
    """Standard output holds `print_json`'s document and nothing else: what is printed beside it, by a user's variant
    for instance, goes to standard error."""
    token = _ANSWERS.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _ANSWERS.reset(token)


def print_json(data: Any) -> None:
    """One JSON document; a number that JSON does not have (NaN, infinity) is null, a path is text."""
    print(json.dumps(_plain(data), indent=2, default=str, allow_nan=False), file=_ANSWERS.get())


def _plain(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if hasattr(data, "tolist"):  # numpy's
        return _plain(data.tolist())
    return None if isinstance(data, float) and not math.isfinite(data) else data

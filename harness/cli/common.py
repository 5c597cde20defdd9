"""Options that several commands share, and how a command line becomes a plan."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.experiment.load import EXPERIMENTS, load_experiment, load_profile
from harness.experiment.spec import Experiment, Profile
from harness.plan.expand import Planned, plan_trials

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
Reports = Annotated[
    Path | None, typer.Option("--reports", help="Rendered files. Default: $HARNESS_REPORTS, else reports.")
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Prepared datasets. Default: $HARNESS_DATA, else data.")
]
VariantFile = Annotated[
    Path | None, typer.Option("--variant", help="A file whose module the rows name as their aggregation.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
DEFAULT_PROFILE = "embedded"


@dataclass(frozen=True)
class Plan:
    """Experiments × a profile × seeds, with every trial (several tables may share one)."""

    experiments: list[Experiment]
    profile: Profile
    seeds: list[int]
    trials: list[Planned]

    def of(self, experiment: Experiment) -> list[Planned]:
        return [p for p in self.trials if p.experiment == experiment.name]


def make_plan(names: list[str], profile_name: str, seeds: int | None, variant: Path | None = None) -> Plan:
    """Read everything and expand it, seed by seed over all experiments. Raises UserError."""
    profile = load_profile(profile_name)
    experiments = [load_experiment(name) for name in names]
    numbers = list(range(seeds if seeds is not None else profile.seeds))
    trials = [p for s in numbers for e in experiments for p in plan_trials(e, profile, [s], variant=variant)]
    return Plan(experiments, profile, numbers, trials)


def all_experiments() -> list[str]:
    """Every experiment of the project, by name."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if path.stem != "paper")


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, default=str))

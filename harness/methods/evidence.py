"""Which records stand behind the rows of an experiment, and what is missing, failed or not comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from harness.experiment.spec import Experiment, Profile, Row, Trial
from harness.methods.signature import Signature, common_signature, signature_of
from harness.plan.expand import Planned, plan_trials
from harness.reports.table import Origin


@dataclass(frozen=True)
class RowEvidence:
    """One row of an experiment and its trials.

    trial     the row's trial of the first seed (its network and protocol)
    ids       seed -> trial id, for every seed asked for
    done      lines of the results frame, one a seed, comparable with the other rows, in order of seeds
    problems  seed -> why that seed has no number
    """

    row: Row
    trial: Trial
    ids: dict[int, str]
    done: pd.DataFrame
    problems: dict[int, str] = field(default_factory=dict)

    @property
    def trial_ids(self) -> tuple[str, ...]:
        return tuple(self.done["id"]) if len(self.done) else ()

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(int(s) for s in self.done["seed"]) if len(self.done) else ()

    @property
    def origin(self) -> Origin | None:
        """Whose records these are: shipped baselines, the user's runs, or both."""
        sources = set(self.done["source"]) if len(self.done) else set()
        if len(sources) == 2:
            return "both"
        return "baselines" if "baselines" in sources else "runs" if sources else None

    @property
    def why_empty(self) -> str:
        """Why the row has no number: the first failure, else that it was not run."""
        worst = sorted(set(self.problems.values()), key=lambda reason: reason == NOT_RUN)
        return worst[0] if worst else NOT_RUN


NOT_RUN = "not run"


@dataclass(frozen=True)
class Evidence:
    """All rows of an experiment in a profile, and the signature that their numbers share."""

    experiment: Experiment
    profile: Profile
    seeds: tuple[int, ...]
    rows: tuple[RowEvidence, ...]
    signature: Signature | None

    @property
    def done(self) -> pd.DataFrame:
        """Lines of all comparable records, each trial once."""
        frames = [row.done for row in self.rows if len(row.done)]
        return pd.concat(frames).drop_duplicates("id") if frames else pd.DataFrame()


def gather(
    experiment: Experiment,
    profile: Profile,
    frame: pd.DataFrame,
    seeds: Sequence[int] | None = None,
    *,
    variant: Path | None = None,
) -> Evidence:
    """Match an experiment's trials with the records of `harness.results.load()`.

    `seeds` None: every seed of which any row has a record (none at all: the profile's own seeds). Raises
    UserError for a row whose network cannot be built.
    """
    candidates = range(profile.seeds) if seeds is None else seeds
    known = [] if seeds is not None or "seed" not in frame else frame["seed"].dropna().astype(int).tolist()
    planned = plan_trials(experiment, profile, sorted({*candidates, *known}), variant=variant)
    lines = frame[frame["id"].isin({p.id for p in planned})].set_index("id", drop=False)
    if seeds is None:
        planned = _seeds_with_records(planned, lines) or [p for p in planned if p.seed in candidates]
    signatures = {str(i): signature_of(line) for i, line in lines[lines["status"] == "done"].iterrows()}
    common = common_signature(signatures[p.id] for p in planned if p.id in signatures)
    rows = tuple(
        _row_evidence(row, [p for p in planned if p.row == row.name], lines, signatures, common)
        for row in (experiment.rows if planned else ())
    )
    return Evidence(experiment, profile, tuple(sorted({p.seed for p in planned})), rows, common)


def _seeds_with_records(planned: list[Planned], lines: pd.DataFrame) -> list[Planned]:
    seen = {p.seed for p in planned if p.id in lines.index}
    return [p for p in planned if p.seed in seen]


def _row_evidence(
    row: Row,
    planned: list[Planned],
    lines: pd.DataFrame,
    signatures: dict[str, Signature],
    common: Signature | None,
) -> RowEvidence:
    problems = {p.seed: reason for p in planned if (reason := _problem(p.id, lines, signatures, common))}
    good = [p.id for p in planned if p.seed not in problems]
    return RowEvidence(
        row=row,
        trial=planned[0].trial,
        ids={p.seed: p.id for p in planned},
        done=lines.loc[good].reset_index(drop=True),
        problems=problems,
    )


def _problem(
    trial_id: str, lines: pd.DataFrame, signatures: dict[str, Signature], common: Signature | None
) -> str | None:
    """Why this trial gives no number; None where it does."""
    if trial_id not in lines.index:
        return NOT_RUN
    line = lines.loc[trial_id]
    if line["status"] == "failed":
        return f"failed: {line['reason']}"
    if line["status"] != "done":
        return "its record is damaged (`harness status` names the file)"
    own = signatures[trial_id]
    if common is not None and own != common:
        return f"not comparable: {own.differences(common)}"
    return None

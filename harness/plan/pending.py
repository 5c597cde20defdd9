"""What of a plan is done, what failed, and what is left to run: the plan minus the store, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.experiment.start import trunk_path
from harness.plan.expand import Planned, distinct, with_starts
from harness.results.store import Settled, Store


@dataclass(frozen=True)
class Pending:
    """Distinct trials of a plan, in its order; `failed` are not tried again unless asked for.

    unreadable  of `todo`: id -> what is wrong with the record's file
    incomplete  of `done`: id -> which file beside the record is missing, and what to do
    """

    done: list[Planned]
    failed: list[Planned]
    todo: list[Planned]
    unreadable: dict[str, str]
    incomplete: dict[str, str]


def pending(planned: Iterable[Planned], store: Store, *, retry_failed: bool = False) -> Pending:
    """Split a plan by what the store has. A damaged record counts as not done, and is named."""
    return split(planned, store.settled(), retry_failed=retry_failed)


def split(planned: Iterable[Planned], known: Settled, *, retry_failed: bool = False) -> Pending:
    """`pending` for a store that has been read already."""
    trials = distinct(planned)
    skipped = set() if retry_failed else known.failed.keys()
    return Pending(
        done=[p for p in trials if p.id in known.done],
        failed=[p for p in trials if p.id in skipped],
        todo=[p for p in trials if p.id not in known.done and p.id not in skipped],
        unreadable={p.id: known.unreadable[p.id] for p in trials if p.id in known.unreadable},
        incomplete={p.id: known.incomplete[p.id] for p in trials if p.id in known.incomplete},
    )


def missing_starts(todo: Sequence[Planned], data_root: Path) -> list[Planned]:
    """The starts that `todo` needs and whose trunk is nowhere yet; a start is done when its file is there."""
    wanted = {p.id for p in todo}
    starts = [p for p in with_starts(todo) if p.id not in wanted]
    return [p for p in starts if not trunk_path(p.trial, data_root).exists()]

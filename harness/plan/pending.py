"""What of a plan is done, what failed, and what is left to run: the plan minus the store, nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.plan.expand import Planned, distinct
from harness.results import Store
from harness.results.store import Settled


@dataclass(frozen=True)
class Pending:
    """Distinct trials of a plan, in its order; `failed` are not tried again unless asked for."""

    done: list[Planned]
    failed: list[Planned]
    todo: list[Planned]
    unreadable: dict[str, str]


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
    )

"""What of a plan is done, what failed, and what is left to run: the plan minus the store, nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.experiment.expand import Planned, distinct
from harness.results import Store


@dataclass(frozen=True)
class Pending:
    """Distinct trials of a plan, in its order; `failed` are not tried again unless asked for."""

    done: list[Planned]
    failed: list[Planned]
    todo: list[Planned]
    unreadable: dict[str, str]


def pending(planned: Iterable[Planned], store: Store, *, retry_failed: bool = False) -> Pending:
    """Split a plan by what the store has. A damaged record counts as not done, and is named."""
    trials = distinct(planned)
    done_ids, failed_ids = store.done(), store.failed()
    done = [p for p in trials if p.id in done_ids]
    failed = [p for p in trials if p.id in failed_ids and p.id not in done_ids and not retry_failed]
    settled = {p.id for p in (*done, *failed)}
    wanted = {p.id for p in trials}
    unreadable = {i: reason for i, reason in store.unreadable().items() if i in wanted}
    return Pending(done, failed, [p for p in trials if p.id not in settled], unreadable)

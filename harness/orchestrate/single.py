"""One trial in this very process, without Ray: any number of them may share a store, by a claim a trial."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from harness.base.errors import UserError
from harness.experiment.start import trunk_path
from harness.orchestrate.claims import Claims
from harness.orchestrate.execute import WAIT_SECONDS, Collector
from harness.orchestrate.progress import Progress
from harness.orchestrate.worker import Answer, RunTrial, Task, patiently, run_one
from harness.plan.expand import Planned
from harness.results.lock import check_writable
from harness.results.store import Store


def run_single(
    starts: Sequence[Planned],
    planned: Planned | None,
    store: Store,
    *,
    data_root: Path,
    progress: Progress,
    loaders: int = 0,
    tensorboard: Path | None = None,
    run: RunTrial | None = None,
) -> Answer:
    """Run the starts whose trunk is missing, then `planned` (None: the starts alone); gives the last answer.

    Of several processes that need a start one makes it and the rest wait. A trial that is done is not run again, and
    one that a live process has is left to it (`elsewhere`). Raises
    UserError where the surroundings fail, or a start that `planned` needs.
    """
    check_writable(store)
    root, wanted = data_root.resolve(), [*starts, *([planned] if planned else [])]
    told = partial(_told, Collector(wanted, store, progress), run)
    task = partial(
        Task,
        store=str(store.root),
        data_root=root,
        loaders=loaders,
        driver=secrets.token_hex(8),
        tensorboard=tensorboard,
    )
    progress.begin([p for p in wanted if p is planned or not trunk_path(p.trial, root).exists()], 0)
    try:
        for start in starts:
            answer = _made(task(start, trunk=trunk_path(start.trial, root)), told, Claims(store.storage))
            if answer.status == "failed" and planned is not None:
                raise UserError(f"the start {answer.id} that this trial needs failed: {answer.reason}")
        return answer if planned is None else told(task(planned))
    finally:
        progress.end()


def _told(collector: Collector, run: RunTrial | None, task: Task) -> Answer:
    """Run it, and let the screen know."""
    collector.started(task.planned.id)
    answer = run_one(task, lambda report: collector.reported(task.planned.id, report), run=run)
    collector.finished(answer)
    return answer


def _made(start: Task, told: Callable[[Task], Answer], claims: Claims) -> Answer:
    """Run a start, or wait for the process that does, until its trunk is there or it has failed."""
    assert start.trunk is not None, "a start is run for its trunk"
    answer = Answer(start.planned.id, "done", None, {})
    while not start.trunk.exists():
        answer = told(start)
        if answer.status != "elsewhere":
            break
        while patiently(partial(claims.holder, start.planned.id)) is not None:
            time.sleep(WAIT_SECONDS)
    return answer

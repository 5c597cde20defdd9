"""One trial in this very process, without Ray: any number of them may share a store, by a claim a trial."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
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
    collector = Collector([*starts, *([planned] if planned else [])], store, progress)
    root, driver, claims = data_root.resolve(), secrets.token_hex(8), Claims(store.storage)

    def task(one: Planned, trunk: Path | None) -> Task:
        return Task(one, str(store.root), root, trunk, loaders, driver, tensorboard=tensorboard)

    def told(task: Task) -> Answer:
        collector.started(task.planned.id)
        answer = run_one(task, lambda report: collector.reported(task.planned.id, report), run=run)
        collector.finished(answer)
        return answer

    missing = [start for start in starts if not trunk_path(start.trial, root).exists()]
    progress.begin([*missing, *([planned] if planned else [])], 0)
    try:
        for start in starts:
            path = trunk_path(start.trial, root)
            answer = Answer(start.id, "done", None, {})
            while not path.exists():
                answer = told(task(start, path))
                if answer.status != "elsewhere":
                    break
                while patiently(partial(claims.holder, start.id)) is not None:
                    time.sleep(WAIT_SECONDS)
            if answer.status == "failed" and planned is not None:
                raise UserError(f"the start {answer.id} that this trial needs failed: {answer.reason}")
        return answer if planned is None else told(task(planned, None))
    finally:
        progress.end()

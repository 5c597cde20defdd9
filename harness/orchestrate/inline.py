"""One trial after the other in this very process, without Ray: for a debugger, a smoke test, a single GPU."""

from __future__ import annotations

from harness.orchestrate.collect import Collector
from harness.orchestrate.entry import Job, import_function


def run_inline(job: Job, collector: Collector) -> None:
    """Run the trials in order. A KeyboardInterrupt raised by the caller's signal handler passes through."""
    run_trial = import_function(job.run)
    for planned in job.todo:
        collector.started(planned.id)
        record = run_trial(
            planned.trial,
            checkpoint_dir=collector.store.checkpoint_dir(planned.id),
            data_root=job.data_root,
            report=lambda report, trial_id=planned.id: collector.reported(trial_id, report),
        )
        collector.finished(planned.id, record)

"""One trial from start to end, and nothing about Ray: `run_trial(trial) -> Record`.

Imported on first use, so that reading records does not pay for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.trial.run import run_trial

__all__ = ["run_trial"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness.trial import run

    return getattr(run, name)

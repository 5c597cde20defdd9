"""Whose fault an error is: the trial's, which becomes a row with a reason, or its surroundings', which never do.

A full disk, a purged folder, a lost GPU or a broken video say nothing about a method: the run stops in plain words,
finished trials are kept, and the same command goes on.
"""

from __future__ import annotations

import errno
import traceback

import torch

from harness.base.errors import StorageError, UserError
from harness.base.text import first_line
from harness.experiment.spec import Trial
from harness.results.record import Record
from harness.trial.provenance import provenance

_LOST_DEVICE = (
    "device-side assert",
    "unspecified launch failure",
    "ECC error",
    "GPU has fallen off the bus",
    "no CUDA-capable device",
    "driver shutting down",
    "NCCL error",
)


class TrialFailed(Exception):  # noqa: N818 - it is a finding about the trial, reported as its reason
    """A trial that ended by its own fault; the message is the reason that the tables show."""


class SurroundingsError(UserError):
    """The machine, the storage or the data failed, not the trial. The message says what to mend."""


def surroundings(error: BaseException) -> SurroundingsError | None:
    """The error as one of the surroundings; None where it is the trial's own."""
    if isinstance(error, SurroundingsError):
        return error
    if isinstance(error, StorageError | UserError):
        return SurroundingsError(str(error))
    if isinstance(error, OSError) and error.errno not in (None, errno.ENOMEM):
        where = f"{error.filename}: " if error.filename else ""
        return SurroundingsError(
            f"{where}{error.strerror or error}; mend that and give the same command again"
        )
    if isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST_DEVICE):
        return SurroundingsError(
            f"the GPU failed ({first_line(error)}); look at `nvidia-smi`, then give the same command again"
        )
    return None


def failed_record(trial: Trial, error: BaseException) -> Record:
    """The row of a trial that raised: its reason in one line, and the traceback for whoever mends it."""
    return Record(
        trial=trial,
        status="failed",
        reason=failure_reason(error) + (_batch(trial) if _out_of_memory(error) else ""),
        traceback="".join(traceback.format_exception(error)),
        provenance=provenance(trial.numerics.model_copy(update={"device": "cpu"})),
    )


def failure_reason(error: BaseException) -> str:
    """One line that a table cell can show."""
    if isinstance(error, TrialFailed | UserError):
        return first_line(error)
    if _out_of_memory(error):
        what = first_line(error, empty="no message")
        return f"out of memory: {what}; a smaller batch_videos or numerics.accumulate needs less"
    return f"{type(error).__name__}: {first_line(error, empty='no message')}"


def _batch(trial: Trial) -> str:
    """What did not fit; never made smaller silently, since another batch is another trial."""
    return f" (tried: batch_videos {trial.recipe.batch_videos}, accumulate {trial.numerics.accumulate})"


def _out_of_memory(error: BaseException) -> bool:
    """Torch's CPU allocator raises a bare RuntimeError, the kernel an OSError."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(
        error
    )

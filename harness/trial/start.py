"""Where a trial's weights begin: fresh, from a trunk that another trial trained, or from a file known by its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from harness.base.errors import UserError
from harness.base.files import write_atomically
from harness.experiment.spec import File, Trial
from harness.experiment.start import start_trial, trunk_path
from harness.models import VideoModel, load_trunk, read_checkpoint
from harness.trial.failure import SurroundingsError, TrialFailed


def keep_trunk(model: VideoModel, path: Path) -> None:
    """Save a trained backbone for the trials that start with it. Raises StorageError."""
    state = {name: value.cpu() for name, value in model.backbone.state_dict().items()}
    write_atomically(path, lambda file: torch.save(state, file))


def load_start(model: VideoModel, trial: Trial, data_root: Path) -> str | None:
    """Fill a fresh model as its trial's start says; returns the SHA-256 of the file, None for fresh weights.

    Head and placed modules stay as they are. Raises SurroundingsError where the file is not there or another one,
    TrialFailed where it does not fit the network.
    """
    start = start_trial(trial)
    if start is not None:
        path = trunk_path(start, data_root)
        if not path.exists():
            raise SurroundingsError(
                f"{path}: the starting weights are not there; `harness run` trains them before the trials that need "
                "them (was the data folder purged?): give the same command again"
            )
        _load_trunk_file(model, path)
        return _sha256(path)
    if isinstance(trial.start, File):
        return _load_file(model, trial.start)
    return None


def _load_trunk_file(model: VideoModel, path: Path) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        what = str(error).partition("\n")[0][:120]
        raise SurroundingsError(
            f"{path}: the starting weights cannot be read ({what}); delete the file and give the same command again"
        ) from None
    _fill(model, state, path)


def _fill(model: VideoModel, state: dict[str, Tensor], path: Path) -> None:
    try:
        missing, unexpected = model.backbone.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise TrialFailed(
            f"{path}: the starting weights do not fit: {str(error).splitlines()[-1].strip()}"
        ) from None
    foreign = [name for name in missing if ".at." not in name] + list(unexpected)
    if foreign:
        raise TrialFailed(f"{path}: the starting weights do not fit the backbone at {foreign[0]}")


def _load_file(model: VideoModel, start: File) -> str:
    path = Path(start.path).expanduser()
    if not path.is_file():
        raise SurroundingsError(f"{path}: start: there is no such file on this machine")
    if (found := _sha256(path)) != start.sha256:
        raise SurroundingsError(
            f"{path}: start: its SHA-256 is {found[:12]}…, the profile says {start.sha256[:12]}…: another file"
        )
    try:
        load_trunk(model, read_checkpoint(path), start.source)
    except UserError as error:
        raise TrialFailed(str(error)) from None
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

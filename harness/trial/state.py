"""Checkpoints by step, so that a killed trial ends with the very numbers of an undisturbed one.

One holds the model, the optimizer, the curve, the position (epochs done, steps of the next, its sums so far; the
schedule and the data order are pure functions of it) and every random state.
"""

from __future__ import annotations

import random
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.base.files import write_atomically

SECONDS_BETWEEN = 60.0  # an epoch of Kinetics takes an hour: a killed trial loses a minute


@dataclass(frozen=True)
class Position:
    """How far a training is.

    history       one line for each epoch that is done
    step          steps done of the next epoch; `sums`: their (loss·videos, right, videos); `seconds`: their time
    resumed_from  epochs that came from a checkpoint
    """

    history: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    sums: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    seconds: float = 0.0
    resumed_from: int = 0


class Checkpoints:
    """`folder/last.pt` of one trial; `trial` is its name, so that another trial's file is never taken for it."""

    def __init__(self, folder: Path, trial: str) -> None:
        self.path, self.trial = folder / "last.pt", trial
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether the last one is old enough for another within an epoch."""
        return time.monotonic() - self._saved > SECONDS_BETWEEN

    def save(
        self, at: Position, model: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
    ) -> None:
        """Write it whole or not at all. Raises StorageError on a full disk or a folder that is not writable."""
        state = {
            "trial": self.trial,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict(),
            "position": {"history": at.history, "step": at.step, "sums": at.sums, "seconds": at.seconds},
            "random": _random_states(),
        }
        write_atomically(self.path, lambda file: torch.save(state, file))
        self._saved = time.monotonic()

    def restore(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
    ) -> Position:
        """Load it into model, optimizer and random states; the start where there is none.

        A file that cannot be read, of another trial or of another network is not trusted: the trial starts anew,
        with model, optimizer and random states untouched.
        """
        state = _read(self.path)
        if state.get("trial") != self.trial or _shapes(state["model"]) != _shapes(model.state_dict()):
            return Position()
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        _restore_random_states(state["random"])
        return Position(**state["position"], resumed_from=len(state["position"]["history"]))


def _read(path: Path) -> dict[str, Any]:
    """The file's content; nothing where there is none, or where it is torn or foreign."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch.load does not compare the checksums
                return {}
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a foreign file can raise anything, and starting anew is always right
        return {}
    whole = isinstance(state, dict) and {"model", "optimizer", "scaler", "position", "random"} <= state.keys()
    return state if whole else {}


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def _random_states() -> dict[str, Any]:
    """All generators, in types that `torch.load(weights_only=True)` reads: a checkpoint cannot run code."""
    kind, keys, *rest = np.random.get_state()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "python": random.getstate(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _restore_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    random.setstate(states["python"])
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])

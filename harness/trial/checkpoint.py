"""A checkpoint each epoch, so that a killed trial ends with the very numbers of an undisturbed one.

It keeps the model, the optimizer, the history, the position (epochs done; the schedule and the data order are
pure functions of it) and every random state.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


def _random_states() -> dict[str, Any]:
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _restore_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    np.random.set_state(states["numpy"])
    random.setstate(states["python"])
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])


def save_checkpoint(
    folder: Path,
    trial: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: list[dict[str, float]],
) -> None:
    """Write `folder/last.pt` under a temporary name, flush it to the disk, then rename: never a half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "trial": trial,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
        "random": _random_states(),
    }
    temporary = folder / f"last.pt.{os.getpid()}.tmp"
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / "last.pt")
    finally:
        temporary.unlink(missing_ok=True)


def restore_checkpoint(
    folder: Path, trial: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> list[dict[str, float]]:
    """Load `folder/last.pt` into model, optimizer and random states; returns the history (empty: start anew).

    A file that cannot be read, or of another trial, is not trusted: the trial starts anew.
    """
    path = folder / "last.pt"
    try:
        state = torch.load(path, map_location="cpu", weights_only=False)  # our own file, with RNG tuples
    except FileNotFoundError:
        return []
    except Exception:  # a torn or foreign file can raise anything; starting anew is always right
        return []
    if not isinstance(state, dict) or state.get("trial") != trial:
        return []
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    _restore_random_states(state["random"])
    return list(state["history"])

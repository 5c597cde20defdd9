"""A checkpoint each epoch, so that a killed trial ends with the very numbers of an undisturbed one.

It keeps the model, the optimizer, the history, the position (epochs done; the schedule and the data order are
pure functions of it) and every random state.
"""

from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.base.files import write_atomically


def save_atomically(state: Any, path: Path) -> None:
    """`torch.save`, whole or not at all. Raises StorageError on a full disk or a folder that is not writable."""
    write_atomically(path, lambda file: torch.save(state, file))


def save_checkpoint(
    folder: Path,
    trial: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: list[dict[str, float]],
) -> None:
    """Write `folder/last.pt`, whole or not at all."""
    state = {
        "trial": trial,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
        "random": _random_states(),
    }
    save_atomically(state, folder / "last.pt")


def restore_checkpoint(
    folder: Path, trial: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> list[dict[str, float]]:
    """Load `folder/last.pt` into model, optimizer and random states; returns the history (empty: start anew).

    A file that cannot be read, of another trial or of another network is not trusted: the trial starts anew,
    with model, optimizer and random states untouched.
    """
    state = _read(folder / "last.pt")
    if state.get("trial") != trial or _shapes(state["model"]) != _shapes(model.state_dict()):
        return []
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    _restore_random_states(state["random"])
    return list(state["history"])


def _read(path: Path) -> dict[str, Any]:
    """The file's content; nothing where there is none, or where it is torn or foreign."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch.load does not compare the checksums
                return {}
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a foreign file can raise anything, and starting anew is always right
        return {}
    return state if isinstance(state, dict) else {}


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
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

"""Which frames a snippet shows: the rule of TSN and of DSANet's release (paper/method.md, "Training")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def train_snippets(frames: int, T: int, U: int, interval: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Frame indices (U, T) for training: one snippet at a random place in each of U equal parts.

    With span = T * interval and step = (frames - span + 1) // U, snippet u starts at u * step plus a random
    offset below step. Where step is not positive, every snippet starts at 0; frames beyond the end repeat
    the last.
    """
    step = max(0, (frames - T * interval + 1) // U)
    offsets = rng.integers(0, step, U) if step > 0 else np.zeros(U, np.int64)
    return _frames_from(np.arange(U) * step + offsets, frames, T, interval)


def test_snippets(frames: int, T: int, U: int, interval: int) -> NDArray[np.int64]:
    """Frame indices (U, T) for testing, evenly spread.

    Snippet u starts at floor(tick / 2 + tick * u), tick = (frames - span + 1) / U; in whole numbers here, so
    that no rounding error moves a start. A video shorter than the span starts at 0 and repeats its last one.
    """
    room = max(0, frames - T * interval + 1)
    return _frames_from(room * (2 * np.arange(U) + 1) // (2 * U), frames, T, interval)


def _frames_from(starts_U: NDArray[np.int64], frames: int, T: int, interval: int) -> NDArray[np.int64]:
    indices_UT = starts_U[:, None] + np.arange(T) * interval
    return np.minimum(indices_UT, frames - 1).astype(np.int64)

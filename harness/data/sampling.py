"""Which frames a snippet shows (docs/method.md, "Training"; the rules of other systems: `FrameRule`).

All rules count frames of the video at the rule's rate and give native frames; T frames a snippet, U snippets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.base.errors import UserError
from harness.experiment.sampling import FrameRule

Places = NDArray[np.int64]


def train_places(
    frames: int, T: int, U: int, rule: FrameRule, rng: np.random.Generator, fps: float = 0.0
) -> Places:
    """Frame indices (U, T) of a training sample from a video of `frames` frames at `fps` (needed by `rule.fps`).

    dense: U windows, each anywhere; sorted, so that a snippet never lies before its predecessor.
    """
    length = _length(frames, fps, rule)
    if rule.mode == "uniform":
        return _native(_random_of_segments(length, T * U, rng).reshape(U, T), frames, fps, rule)
    assert rule.interval is not None
    if rule.mode == "snippets":
        starts_U = _train_starts(length, T, U, rule.interval, rng)
    else:
        starts_U = np.sort(rng.integers(0, max(0, length - T * rule.interval) + 1, U))
    return _native(_from_starts(starts_U, length, T, rule), frames, fps, rule)


def test_places(
    frames: int, T: int, U: int, rule: FrameRule, fps: float = 0.0, model_U: int | None = None
) -> Places:
    """Frame indices (U, T) of a test sample.

    snippets: evenly spread. dense: U windows at equal distances, the first at the start, the last at the end; one
    alone stands in the middle. uniform: U / model_U sets of model_U snippets, each over the whole video, its frames
    at another place of their segments (one set: the centres); snippet u is part u // sets of set u % sets, so that
    the grouping `interleaved` puts the sets together again. model_U (default: U) is the U of training.

    Raises UserError where U is no multiple of model_U, for `uniform`.
    """
    length = _length(frames, fps, rule)
    if rule.mode == "uniform":
        return _native(_test_segments(length, T, U, model_U or U), frames, fps, rule)
    assert rule.interval is not None
    if rule.mode == "snippets":
        starts_U = _test_starts(length, T, U, rule.interval)
    else:
        last = max(0, length - T * rule.interval)
        starts_U = np.array([last // 2]) if U == 1 else last * np.arange(U) // (U - 1)
    return _native(_from_starts(starts_U, length, T, rule), frames, fps, rule)


test_places.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def _train_starts(frames: int, T: int, U: int, interval: int, rng: np.random.Generator) -> Places:
    """With span = T * interval and step = (frames - span + 1) // U, snippet u starts at u * step plus a random
    offset below step. Where step is not positive, every snippet starts at 0."""
    step = max(0, (frames - T * interval + 1) // U)
    offsets_U = rng.integers(0, step, U) if step > 0 else np.zeros(U, np.int64)
    return np.arange(U) * step + offsets_U


def _test_starts(frames: int, T: int, U: int, interval: int) -> Places:
    """Snippet u starts at floor(tick / 2 + tick * u), tick = (frames - span + 1) / U; in whole numbers here, so
    that no rounding error moves a start. A video shorter than the span starts at 0."""
    room = max(0, frames - T * interval + 1)
    return room * (2 * np.arange(U) + 1) // (2 * U)


def _from_starts(starts_U: Places, frames: int, T: int, rule: FrameRule) -> Places:
    assert rule.interval is not None
    indices_UT = starts_U[:, None] + np.arange(T) * rule.interval
    return indices_UT % frames if rule.short == "loop" else np.minimum(indices_UT, frames - 1)


def _random_of_segments(frames: int, segments: int, rng: np.random.Generator) -> Places:
    """A random frame of each of so many equal segments; a segment shorter than a frame gives the frame it lies in.

    TSN's released loader leaves out the last frames % segments frames and gives frame 0 for a short video; neither
    is meant, so neither is copied.
    """
    edges = np.arange(segments + 1) * frames // segments
    first, end = edges[:-1], np.maximum(edges[1:], edges[:-1] + 1)
    return rng.integers(first, end)


def _test_segments(frames: int, T: int, U: int, model_U: int) -> Places:
    if U % model_U:
        raise UserError(
            f"uniform segments: {U} test snippets are no multiple of the model's U = {model_U}, and every set of "
            f"{model_U} covers the whole video"
        )
    sets, segments = U // model_U, T * model_U
    phase_S1, segment_1G = np.arange(sets)[:, None], np.arange(segments)[None]
    # Frame at segment + (2 phase + 1) / (2 sets) segment lengths, in whole numbers.
    indices_SG = frames * (2 * sets * segment_1G + 2 * phase_S1 + 1) // (2 * sets * segments)
    return indices_SG.reshape(sets, model_U, T).swapaxes(0, 1).reshape(U, T)


def _length(frames: int, fps: float, rule: FrameRule) -> int:
    """Frames of the video at the rule's rate."""
    if rule.fps is None:
        return frames
    if not fps > 0:
        raise UserError(
            f"sampling at {rule.fps:g} frames a second needs the video's own rate, and nothing says it; "
            "set fps: null to count its frames as they come"
        )
    return max(1, round(frames * rule.fps / fps))


def _native(indices: Places, frames: int, fps: float, rule: FrameRule) -> Places:
    """Native frames that stand at these places of the resampled video.

    As `ffmpeg -r`: a native frame moves to the nearest tick of the new rate, and each tick shows the last frame
    that has come.
    """
    if rule.fps is not None:
        indices = np.ceil((indices + 0.5) * (fps / rule.fps)) - 1
    return np.clip(indices, 0, frames - 1).astype(np.int64)

"""The pixels of one Scripted Digits video.

Every video has a generator of its own, seeded by what it is, so videos can be made in any order and in
parallel. All arithmetic is in float64 and is rounded once, at the end: the rounding errors in which machines
differ are then far too small to change a pixel.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.data.digits.script import SPLITS, VideoKey
from harness.experiment.datasets import EVENTS, ScriptedDigits

Floats = NDArray[np.float64]

_DIRECTION_XY = {"R": (1.0, 0.0), "L": (-1.0, 0.0), "U": (0.0, -1.0), "D": (0.0, 1.0), "-": (0.0, 0.0)}
_GREY = 110.0  # the level about which contrast is changed
_CELLS = 8  # a digit is 8 x 8 cells
# A digit's instances are dealt out by their index modulo 4: half to train, a quarter each to val and test.
_INSTANCES = {"train": (0, 2), "val": (1,), "test": (3,)}


def render_video(spec: ScriptedDigits, key: VideoKey) -> NDArray[np.uint8]:
    """The frames of one video, (L, H, W, 3)."""
    rng = np.random.default_rng(_entropy(spec, key))
    frames = int(rng.integers(spec.length[0], spec.length[1] + 1))
    background_HW3 = _background(spec, rng)
    layers = [*_distractors(spec, frames, rng), _actor(spec, key, frames, rng)]
    contrast, brightness = rng.uniform(*spec.contrast), rng.uniform(*spec.brightness)

    def expose(levels: Floats) -> Floats:
        return (levels - _GREY) * contrast + _GREY + brightness

    # Blending is convex, so exposing the background and the colours is exposing the blended picture.
    exposed = [(alpha_LHW, expose(colour)) for alpha_LHW, colour in layers]
    return _compose(
        expose(background_HW3), exposed, _flicker(spec, frames, rng), rng.uniform(*spec.noise_sigma), rng
    )


def instances(actor: int, split: str) -> list[int]:
    """Indices into scikit-learn's digits that may play `actor` in `split`; the splits share none."""
    _, labels = _digits()
    return [int(i) for n, i in enumerate(np.flatnonzero(labels == actor)) if n % 4 in _INSTANCES[split]]


def _entropy(spec: ScriptedDigits, key: VideoKey) -> list[int]:
    """Seeds of one video. The script enters by its text: adding a script leaves the others' videos alone."""
    script = 0
    for event in key.script:
        script = script * 6 + EVENTS.index(event) + 1
    return [spec.seed, SPLITS.index(key.split), key.actor, script, key.k]


@lru_cache(maxsize=1)
def _digits() -> tuple[Floats, NDArray[np.int64]]:
    """Ink (1797, 8, 8) in 0-1 and labels (1797,) of scikit-learn's bundled digits."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images / 16.0, bunch.target.astype(np.int64)


def _background(spec: ScriptedDigits, rng: np.random.Generator) -> Floats:
    """One colour plus a smooth texture: a 5 x 6 grid of random colours, bilinearly enlarged. (H, W, 3)"""
    width, height = spec.size_wh
    grid_yx3 = rng.uniform(-1, 1, (5, 6, 3))
    rows_Hy, columns_Wx = _enlarge(height, 5), _enlarge(width, 6)
    texture_HW3 = np.einsum("hy,yxc,wx->hwc", rows_Hy, grid_yx3, columns_Wx)
    return rng.uniform(*spec.background, 3) + spec.texture * texture_HW3


def _enlarge(pixels: int, knots: int) -> Floats:
    """Weights (pixels, knots) of linear interpolation between evenly spaced knots."""
    return _tent(np.linspace(0, knots - 1, pixels)[:, None] - np.arange(knots))


def _tent(distance: Floats) -> Floats:
    return np.maximum(0.0, 1.0 - np.abs(distance))


def _distractors(spec: ScriptedDigits, frames: int, rng: np.random.Generator) -> list[tuple[Floats, Floats]]:
    """Wandering shapes as (alpha (L, H, W), colour (3,))."""
    layers = []
    for _ in range(rng.integers(spec.distractors[0], spec.distractors[1] + 1)):
        shape = _shapes()[rng.integers(3)]
        start_xy = rng.uniform(0, 1, 2) * spec.size_wh
        steps_L2 = rng.normal(0, spec.distractor_drift_px * spec.scale, (frames, 2))
        alpha_LHW = _stamp(shape, spec.scale, start_xy + np.cumsum(steps_L2, axis=0), spec.size_wh)
        layers.append((alpha_LHW, rng.uniform(*spec.colour, 3)))
    return layers


@lru_cache(maxsize=1)
def _shapes() -> tuple[Floats, Floats, Floats]:
    """Bar, box and cross of 8 x 8 cells."""
    bar, box, cross = np.zeros((3, _CELLS, _CELLS))
    bar[:, 3:5] = 1
    box[:] = 1
    box[2:-2, 2:-2] = 0
    cross[3:5] = 1
    cross[:, 3:5] = 1
    return bar, box, cross


def _actor(
    spec: ScriptedDigits, key: VideoKey, frames: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """The digit's copies as (alpha (L, H, W), colour (3,))."""
    ink, _ = _digits()
    sprite = np.minimum(spec.sprite_gain * ink[rng.choice(instances(key.actor, key.split))], 1.0)
    cell = rng.uniform(*spec.cell_px) * spec.scale
    track_L2 = _track(spec, key.script, frames, rng)
    offsets_c2 = _copies(spec, rng)
    alpha_LHW = np.max(
        [_stamp(sprite, cell, track_L2 + offset, spec.size_wh) for offset in offsets_c2], axis=0
    )
    return alpha_LHW, rng.uniform(*spec.colour, 3)


def _track(spec: ScriptedDigits, script: str, frames: int, rng: np.random.Generator) -> Floats:
    """The actor's position (x, y) in every frame, (L, 2): start anywhere, move as the script says, jitter."""
    velocity_L2 = np.zeros((frames, 2))
    t = np.arange(frames)
    for event, (begin, end) in zip(script, timeline(spec, len(script), frames, rng), strict=True):
        speed = rng.uniform(*spec.speed_px) * spec.scale
        velocity_L2[(t >= begin) & (t < end)] = speed * np.array(_DIRECTION_XY[event])
    start_xy = rng.uniform(0, 1, 2) * spec.size_wh
    sigma = spec.jitter_px if isinstance(spec.jitter_px, float) else rng.uniform(*spec.jitter_px)
    jitter_L2 = rng.normal(0, sigma * spec.scale, (frames, 2))
    return start_xy + np.cumsum(velocity_L2, axis=0) + jitter_L2


def timeline(
    spec: ScriptedDigits, events: int, frames: int, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Begin and end of each event in frames.

    The events' durations are exchangeable (the first is as long as the last, on average), so that a duration
    says nothing about the place of an event in the script.
    """
    head, tail = rng.uniform(*spec.lead, 2)
    gaps = rng.uniform(*spec.gap, events - 1)
    shares = rng.uniform(1 - spec.unevenness, 1 + spec.unevenness, events)
    durations = max(0.0, frames - head - tail - gaps.sum()) * shares / shares.sum()
    ends = head + np.cumsum(durations) + np.concatenate([[0.0], np.cumsum(gaps)])
    return [(float(end - duration), float(end)) for end, duration in zip(ends, durations, strict=True)]


def _copies(spec: ScriptedDigits, rng: np.random.Generator) -> Floats:
    """Offsets (copies, 2) that spread the copies over the torus without a regular pattern."""
    width, height = spec.size_wh
    c = np.arange(spec.copies)
    x = (c + rng.uniform()) / spec.copies * width + rng.uniform(-3, 3, spec.copies) * spec.scale
    y = (0.618 * c % 1) * height
    return np.stack([x, y], axis=1)


def _stamp(sprite: Floats, cell: float, centre_L2: Floats, size_wh: tuple[int, int]) -> Floats:
    """Opacity (L, H, W) of an 8 x 8 sprite, bilinear, centred at sub-pixel places on the torus."""
    x_LWj, y_LHi = (_cell_weights(centre_L2[:, axis], size_wh[axis], cell) for axis in (0, 1))
    return y_LHi @ sprite @ x_LWj.transpose(0, 2, 1)


def _cell_weights(centre_L: Floats, pixels: int, cell: float) -> Floats:
    """Weights (L, pixels, 8) of the sprite's rows or columns at each pixel, wrapped round."""
    offset_Lp = np.arange(pixels) - centre_L[:, None]
    offset_Lp -= pixels * np.rint(offset_Lp / pixels)
    return _tent(offset_Lp[..., None] / cell + (_CELLS - 1) / 2 - np.arange(_CELLS))


def _flicker(spec: ScriptedDigits, frames: int, rng: np.random.Generator) -> Floats:
    """Brightness factor of every frame, (L,)."""
    period, phase = rng.uniform(*spec.flicker_period), rng.uniform(0, 2 * np.pi)
    return 1 + spec.flicker * np.sin(2 * np.pi * np.arange(frames) / period + phase)


def _compose(
    background_HW3: Floats,
    layers: list[tuple[Floats, Floats]],
    flicker_L: Floats,
    sigma: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Blend the layers over the background, then flicker and grey noise; (L, H, W, 3).

    One frame at a time: a frame stays in the CPU's cache, a whole video does not (twice as slow).
    """
    video = np.empty((len(flicker_L), *background_HW3.shape), np.uint8)
    for t, factor in enumerate(flicker_L):
        frame = background_HW3.copy()
        for alpha_LHW, colour in layers:
            frame += alpha_LHW[t][..., None] * (colour - frame)
        frame *= factor
        frame += sigma * rng.standard_normal((*frame.shape[:2], 1))
        video[t] = np.clip(np.rint(frame, out=frame), 0, 255, out=frame)
    return video

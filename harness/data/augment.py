"""Windows of a frame: where they are drawn, and how pixels and boxes get into them.

A window is drawn from the frame's size alone (numpy, on the CPU, from the video's own random numbers) and cut by torch
on whatever device the frames are: in a loader's worker, or on the GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from harness.base.errors import UserError
from harness.data.views import crop_offsets
from harness.experiment.augment import Augment, MultiScale, RandomResized

_TRIES = 10  # of a rectangle that fits, before the largest square stands in for it
# TSN's places in quarters of the free width and height: corners and centre, then those between them.
_PLACES = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)


@dataclass(frozen=True)
class Window:
    """What a view shows: the frame is resized to `resized_wh`, cut to (x, y, width, height), resized to a square.

    Pixels. Where a size is already the right one nothing is resized, so that the pixels are the frame's own.
    """

    resized_wh: tuple[int, int]
    x: int
    y: int
    width: int
    height: int
    out_px: int
    mirrored: bool = False


def train_window(
    size_wh: tuple[int, int], crop_px: int, augment: Augment, rng: np.random.Generator
) -> Window:
    """A training window of a frame of this size, for all frames of one video.

    Raises UserError where the crop does not fit into the frame and nothing resizes it.
    """
    short_side = augment.short_side
    if short_side is not None:
        low, high = short_side
        size_wh = resized(size_wh, int(rng.integers(low, high + 1)) if low < high else low)
    if isinstance(augment.crop, RandomResized):
        x, y, width, height = _random_rectangle(size_wh, augment.crop, rng)
    elif isinstance(augment.crop, MultiScale):
        x, y, width, height = _multi_scale(size_wh, crop_px, augment.crop, rng)
    else:
        x, y, width, height = _square(size_wh, crop_px, rng)
    mirrored = bool(augment.flip) and bool(rng.random() < 0.5)
    return Window(size_wh, x, y, width, height, crop_px, mirrored)


def test_windows(
    size_wh: tuple[int, int], crop_px: int, crops: int, short_side: int | None = None
) -> tuple[Window, ...]:
    """The test windows of a frame of this size: 1, 3 or 10 (see `crop_offsets`; of 10 the last five are mirrored).

    short_side: resize to it first. Raises UserError where the crop does not fit, or for another number of crops.
    """
    width, height = size_wh = resized(size_wh, short_side) if short_side is not None else size_wh
    corners = crop_offsets(width, height, crop_px, 5 if crops == 10 else crops if crops != 5 else 0)
    windows = tuple(Window(size_wh, x, y, crop_px, crop_px, crop_px) for x, y in corners)
    return windows + (tuple(replace(w, mirrored=True) for w in windows) if crops == 10 else ())


test_windows.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def resized(size_wh: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Width and height with so many pixels on the shorter side, the aspect ratio kept to the pixel."""
    factor = short_side / min(size_wh)
    width, height = (max(short_side, round(side * factor)) for side in size_wh)
    return width, height


def _square(size_wh: tuple[int, int], crop_px: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    width, height = size_wh
    if crop_px > min(width, height):
        raise UserError(f"crop_px {crop_px} is larger than the {width} x {height} frame")
    x, y = int(rng.integers(width - crop_px + 1)), int(rng.integers(height - crop_px + 1))
    return x, y, crop_px, crop_px


def _random_rectangle(
    size_wh: tuple[int, int], crop: RandomResized, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """A rectangle of random area and aspect inside the frame; the centred square where none fits."""
    width, height = size_wh
    for _ in range(_TRIES):
        area = rng.uniform(*crop.area) * width * height
        aspect = math.exp(rng.uniform(math.log(crop.aspect[0]), math.log(crop.aspect[1])))
        w, h = max(1, round(math.sqrt(area * aspect))), max(1, round(math.sqrt(area / aspect)))
        if w <= width and h <= height:
            return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def _multi_scale(
    size_wh: tuple[int, int], crop_px: int, crop: MultiScale, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    width, height = size_wh
    sides = [max(1, int(min(size_wh) * scale)) for scale in crop.scales]
    # As released: what is within 3 pixels of the crop's size needs no resizing.
    sides = [crop_px if abs(side - crop_px) < 3 and crop_px <= min(size_wh) else side for side in sides]
    pairs = [(w, h) for i, w in enumerate(sides) for j, h in enumerate(sides) if abs(i - j) <= 1]
    w, h = pairs[rng.integers(len(pairs))]
    quarters_x, quarters_y = _PLACES[rng.integers(crop.places)]
    return quarters_x * (width - w) // 4, quarters_y * (height - h) // 4, w, h


def cut(frames_FHW3: Tensor, windows: Sequence[Window]) -> list[Tensor]:
    """uint8 frames (F, H, W, 3) through each window, (F, 3, out, out) uint8, on the frames' device.

    Bilinear with antialiasing, rounded to whole grey levels; windows that share a size share the resizing.
    """
    whole: dict[tuple[int, int], Tensor] = {}
    shown = []
    for window in windows:
        if window.resized_wh not in whole:
            whole[window.resized_wh] = _resize(frames_FHW3.permute(0, 3, 1, 2), window.resized_wh)
        x, y = window.x, window.y
        part_F3hw = whole[window.resized_wh][:, :, y : y + window.height, x : x + window.width]
        part_F3SS = _resize(part_F3hw, (window.out_px, window.out_px))
        shown.append(part_F3SS.flip(-1) if window.mirrored else part_F3SS)
    return shown


def _resize(frames_F3HW: Tensor, size_wh: tuple[int, int]) -> Tensor:
    width, height = size_wh
    if frames_F3HW.shape[-2:] == (height, width):
        return frames_F3HW
    if frames_F3HW.device.type == "cpu":  # torch's whole-number path: ten times faster, within a grey level
        return F.interpolate(frames_F3HW, (height, width), mode="bilinear", antialias=True)
    return _resize_floats(frames_F3HW, size_wh)


def _resize_floats(frames_F3HW: Tensor, size_wh: tuple[int, int]) -> Tensor:
    width, height = size_wh
    levels = F.interpolate(frames_F3HW.float(), (height, width), mode="bilinear", antialias=True)
    return levels.round_().clamp_(0, 255).to(torch.uint8)


def boxes_through(
    boxes_FR4: NDArray[np.float32], size_wh: tuple[int, int], window: Window
) -> NDArray[np.float32]:
    """Boxes (x1, y1, x2, y2) of a frame of this size in the window's pixels, cut off at its edges."""
    scale_xy = np.divide(window.resized_wh, size_wh)
    origin_xy = np.array([window.x, window.y])
    zoom_xy = window.out_px / np.array([window.width, window.height])
    corners_FRc2 = boxes_FR4.reshape(*boxes_FR4.shape[:-1], 2, 2)
    moved_FRc2 = np.clip((corners_FRc2 * scale_xy - origin_xy) * zoom_xy, 0, window.out_px)
    if window.mirrored:
        moved_FRc2[..., 0] = window.out_px - moved_FRc2[..., ::-1, 0]
    absent_FR = ~boxes_FR4.any(-1)
    moved_FRc2[absent_FR] = 0
    return moved_FRc2.reshape(boxes_FR4.shape).astype(np.float32)

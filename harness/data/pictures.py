"""Small pictures of a video, for the README and the report page."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Sample


def thumbnails(sample: Sample, n: int = 8, height_px: int | None = None) -> NDArray[np.uint8]:
    """n frames of a video from its first to its last, evenly spaced, (n, H, W, 3).

    height_px: made no higher than that (a real video would make a page heavy); as they are by default.
    """
    frames_nHW3 = sample.read(np.linspace(0, sample.frames() - 1, n).round().astype(np.int64))
    width, height = sample.size_wh()
    if height_px is None or height <= height_px:
        return frames_nHW3
    from PIL import Image

    size = max(1, round(width * height_px / height)), height_px
    return np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames_nHW3])


def contact_sheet_png(sample: Sample, n: int = 8, height_px: int | None = None) -> bytes:
    """Those frames side by side as a PNG file of n*W x H pixels."""
    from PIL import Image

    sheet_HW3 = np.concatenate(list(thumbnails(sample, n, height_px)), axis=1)
    buffer = io.BytesIO()
    Image.fromarray(sheet_HW3).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()

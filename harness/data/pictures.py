"""Small pictures of a video, for the README and the report page."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Split


def thumbnails(split: Split, i: int, n: int = 8) -> NDArray[np.uint8]:
    """n frames of video i from its first to its last, evenly spaced, (n, H, W, 3)."""
    frames_LHW3 = split.frames(i)
    return frames_LHW3[np.linspace(0, len(frames_LHW3) - 1, n).round().astype(int)]


def contact_sheet_png(split: Split, i: int, n: int = 8) -> bytes:
    """Those frames side by side as a PNG file of n*W x H pixels."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(thumbnails(split, i, n)), axis=1)).save(
        buffer, format="PNG", optimize=True
    )
    return buffer.getvalue()

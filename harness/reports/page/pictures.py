"""Figures and frames as data URIs: an <img> keeps each SVG's ids to itself and needs no file beside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from harness.base.errors import UserError
from harness.reports.facets import frames_of

FRAMES, GAP_PX = 8, 2
FRAME_PX = 96  # no frame is higher on the page
PX_PER_INCH = 84
JPEG_QUALITY = 70


@dataclass(frozen=True)
class Picture:
    """A figure on the page; `width` in CSS pixels, so that all figures' letters have one size."""

    words: str
    uri: str
    width: int


def picture(figure: Figure, words: str) -> Picture:
    """A figure as a data URI; call it inside `harness.reports.style.house_style`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(
        words, _uri("image/svg+xml", buffer.getvalue()), round(PX_PER_INCH * figure.get_figwidth())
    )


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def strips_of(
    dataset: Mapping[str, Any], manifest: str, videos: Sequence[str], root: Path | None = None
) -> tuple[dict[str, str], str]:
    """Video id -> a strip of its frames as a JPEG data URI, and why there are none ("" where there are)."""
    try:
        found = frames_of(dataset, manifest, videos, root, FRAMES, FRAME_PX)
    except UserError as error:
        return {}, f"No frames are shown: {error}"
    return {video: _strip(frames) for video, frames in found.items()}, ""


def _strip(frames: list[np.ndarray]) -> str:
    """Frames from left to right in one JPEG, a thin white gap after each."""
    from PIL import Image

    apart = [np.pad(frame, ((0, 0), (0, GAP_PX), (0, 0)), constant_values=255) for frame in frames]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(apart, axis=1)[:, :-GAP_PX]).save(
        buffer, format="JPEG", quality=JPEG_QUALITY
    )
    return _uri("image/jpeg", buffer.getvalue())

"""Figures and frames as data URIs: an <img> keeps each SVG's ids to itself and needs no file beside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.base.cache import cached_json, source_hash, versions
from harness.base.errors import UserError
from harness.reports.facets import frames_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_WORDS = {
    "seeds": "Seeds and intervals",
    "factors": "Accuracy by factor",
    "accuracy_vs_cost": "Accuracy against cost of inference",
    "cost": "Cost of training",
}
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


def pictures_of(drawn_from: Any, draw: Callable[[], Mapping[str, Figure]]) -> tuple[Picture, ...]:
    """The figures that `draw` makes, by the kinds of `FIGURE_WORDS`; kept on disk, since matplotlib takes seconds.

    `drawn_from`: every number and word that the figures depend on, as JSON; the code that draws is added here.
    """

    def drawn() -> list[Any]:
        from harness.reports.style import house_style

        with house_style():
            return [[FIGURE_WORDS[kind], *_svg(figure)] for kind, figure in draw().items()]

    code = source_hash("data", "experiment", "methods", "reports", "results", "statistics")
    packages = versions(("matplotlib", "numpy", "pandas", "scipy"))
    return tuple(Picture(*one) for one in cached_json("pictures", [drawn_from, code, packages], drawn))


def _svg(figure: Figure) -> tuple[str, int]:
    """Its data URI and width in CSS pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _uri("image/svg+xml", buffer.getvalue()), round(PX_PER_INCH * figure.get_figwidth())


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

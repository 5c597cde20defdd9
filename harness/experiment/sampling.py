"""Which frames a snippet shows, as an experiment declares it; `harness.data.sampling` draws them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from harness.experiment.base import Frozen


class FrameRule(Frozen):
    """How the U snippets of T frames lie in a video.

    mode snippets: the video in U equal parts, one snippet of T frames `interval` apart in each (DSA, V4D, TSN).
    dense: windows of T frames `interval` apart anywhere; in testing U windows from the first to the last possible
    one (TSM's and TANet's "dense", Non-local, SlowFast). uniform: no interval: the video in U·T equal segments, one
    frame of each (TSN, TRN, ECO, TSM on Something-Something).
    """

    mode: Literal["snippets", "dense", "uniform"] = "snippets"
    interval: PositiveInt | None = None
    """Frames from one frame of a snippet to the next."""
    fps: float | None = Field(default=None, gt=0)
    """Count frames as if every video had been resampled to this rate (DSANet's lists: 30); None: native frames."""
    short: Literal["repeat", "loop"] = "repeat"
    """A video that is too short repeats its last frame, or starts again (TSM, TANet)."""

    @model_validator(mode="after")
    def _nothing_unused(self) -> FrameRule:
        """A setting without effect would give equal trials different ids."""
        if self.mode == "uniform" and self.interval is not None:
            raise ValueError("interval is for the modes 'snippets' and 'dense'; 'uniform' has equal segments")
        if self.mode == "uniform" and self.short != "repeat":
            raise ValueError(
                "short is for the modes 'snippets' and 'dense'; 'uniform' never runs over the end"
            )
        if self.mode != "uniform" and self.interval is None:
            raise ValueError(f"mode {self.mode!r} needs an interval, in frames")
        return self

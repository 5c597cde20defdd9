"""Which snippets and views of a video are taken, as an experiment declares it; `harness.data.sampling` draws them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from harness.experiment.base import Frozen

Grouping = Literal["each", "interleaved", "all", "combinations"]
Crops = Literal[1, 3, 10]


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


class TrainSampling(Frozen):
    """Snippets of a training video: U of T frames each, crops of `crop_px` squared.

    mode, interval, fps, short  which frames a snippet shows (`FrameRule`)
    None in a row means: the profile's, else the paper's (interval 16) or the model's own (crop).
    """

    T: PositiveInt
    U: PositiveInt
    mode: Literal["snippets", "dense", "uniform"] = "snippets"
    interval: PositiveInt | None = None
    crop_px: PositiveInt | None = None
    fps: PositiveFloat | None = None
    short: Literal["repeat", "loop"] = "repeat"

    @property
    def rule(self) -> FrameRule:
        """Raises pydantic's ValidationError where the settings do not go together."""
        return FrameRule(mode=self.mode, interval=self.interval, fps=self.fps, short=self.short)


class TestProtocol(Frozen):
    """Views of a test video: U snippets in groups (`grouping`) × crops of `crop_px` squared (docs/method.md).

    short_side  frames are resized to it before the crop; None: as they are
    """

    __test__ = False  # not a pytest class

    U: PositiveInt
    crops: Crops = 3
    grouping: Grouping
    crop_px: PositiveInt | None = None
    short_side: PositiveInt | None = None


class TestOverride(Frozen):
    """A profile's smaller test protocol, in place of the rows' (the paper's)."""

    __test__ = False

    crops: Crops
    clips: PositiveInt
    snippets: PositiveInt
    grouping: Grouping

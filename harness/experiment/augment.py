"""What is done to a training video's pixels, as a recipe declares it; `harness.data.augment` does it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from harness.experiment.base import Frozen


def _range_of_one(value: Any) -> Any:
    """`256` is the range from 256 to 256, so that equal recipes are equal data."""
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


ShortSides = Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_range_of_one)]


class Window(Frozen):
    """A square of the crop's size anywhere in the frame (PySlowFast after its jitter; the embedded dataset)."""

    kind: Literal["window"] = "window"


class RandomResized(Frozen):
    """A rectangle of random area and aspect, resized to the crop (DSANet, MVFNet, torchvision)."""

    kind: Literal["random_resized"]
    area: tuple[float, float] = (0.08, 1.0)
    """Share of the frame's area, uniform."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Width by height, uniform in its logarithm."""

    @model_validator(mode="after")
    def _ranges(self) -> RandomResized:
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area is (low, high) of shares in (0, 1], got {self.area}")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"aspect is (low, high), both above 0, got {self.aspect}")
        return self


class MultiScale(Frozen):
    """One of a few sizes at one of a few places, resized to the crop (TSN, TSM, V4D).

    Width and height are each one of `scales` times the shorter side and may differ by one place in that list.
    """

    kind: Literal["multi_scale"]
    scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(1, 0.875, 0.75, 0.66), min_length=1
    )
    places: Literal[5, 13] = 13
    """Corners and centre, or also the points between them."""


class Augment(Frozen):
    """All snippets of a video share one window and one side."""

    short_side: ShortSides | None = None
    """Resize so that the shorter side has so many pixels, before the crop: a number, or a range to draw from
    ([256, 320]: PySlowFast's jitter). None: the frame as it is."""
    crop: Annotated[Window | RandomResized | MultiScale, Field(discriminator="kind")] = Window()
    flip: bool | Literal["swap"] = False
    """Mirror half of the videos. `swap` also exchanges the labels that mirror one another (mmaction2 on
    Something-Something)."""

    @model_validator(mode="after")
    def _ordered(self) -> Augment:
        if self.short_side is not None and self.short_side[0] > self.short_side[1]:
            raise ValueError(f"short_side is (low, high), got {self.short_side}")
        return self

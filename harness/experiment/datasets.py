"""The datasets that a profile can name, as typed specifications: a discriminated union on `name`.

Pure data: what a specification leads to (videos, classes, sizes) is asked of `harness.data`, by its name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from harness.base.errors import UserError, near_match
from harness.experiment.base import Frozen
from harness.experiment.datasets_published import (
    ActivityNet13,
    ClassFolders,
    Kinetics400,
    MiniKinetics200,
    SomethingV1,
    SomethingV2,
    VideoLists,
)

# The pixels of a specification never change under its version. 2 differs from 1 in refusing sides that are no whole
# macroblocks of H.264. The encoder does not repeat itself for that (docs/log.md); its memory is zeroed under both.
GENERATOR_VERSIONS = (1, 2)
_MACROBLOCK = 16
EVENTS = "RLUD-"
_MOVING_FRAMES = 4  # the least that an event must last, so that it can be seen


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"a range is (low, high), got {pair}")
    return pair


NonNegative = Annotated[float, Field(ge=0)]
Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
IntRange = Annotated[tuple[int, int], AfterValidator(_ordered)]


class VideosPerClass(Frozen):
    """How many videos each class has in each split."""

    train: int = Field(default=36, ge=1)
    """Videos a class to fit on."""
    val: int = Field(default=8, ge=1)
    """Videos a class to choose recipes on."""
    test: int = Field(default=24, ge=1)
    """Videos a class that tables report."""


class ScriptedDigits(Frozen):
    """Every knob of the generator; part of a trial's identity (as JSON), so no knob may be without effect."""

    title: ClassVar[str] = "Scripted Digits"
    name: Literal["scripted_digits"] = "scripted_digits"
    """Which generator."""
    version: int = 1
    """2: both sides are multiples of 16; 1: any even sides."""
    actors: tuple[int, ...] = Field(default=(0, 4), min_length=1)
    """Digits 0-9 that act; similar ones (3, 5, 8) make appearance harder."""
    scripts: tuple[str, ...] = Field(
        default=("RR", "LL", "UU", "DD", "RU", "UR", "LD", "DL", "R-", "-R"), min_length=1
    )
    """Events in order: R, L, U, D move, - stands still. Two or more events a script."""
    scale: float = Field(default=1.0, ge=0.25, le=8)
    """Multiplies every length in pixels (frame, cell, speed, jitter, distractor): 2.4 for 112-px crops."""
    frame_width: int = Field(default=56, ge=24)
    """Pixels at scale 1."""
    frame_height: int = Field(default=48, ge=24)
    """Pixels at scale 1."""
    length: IntRange = (72, 88)
    """Frames a video, uniform, both ends included."""
    fps: int = Field(default=16, ge=1)
    """Frames a second written to the file."""
    lead: Range = (6, 10)
    """Frames of stand-still before the first and after the last event. As long as the gaps, so that starts
    and stops look alike everywhere and a short snippet does not tell its place in time."""
    gap: Range = (6, 10)
    """Frames of stand-still between two events: no snippet of 4 frames at stride 2 sees two moves."""
    unevenness: float = Field(default=0.12, ge=0, lt=1)
    """The events' shares of the moving time are proportional to U(1 - x, 1 + x)."""
    copies: int = Field(default=3, ge=1)
    """Copies of the sprite that move rigidly together."""
    cell_px: Range = (1.9, 2.3)
    """Pixels a cell of the 8 x 8 digit."""
    speed_px: Range = (1.6, 2.4)
    """Pixels a frame, drawn for each event."""
    jitter_px: NonNegative | Annotated[tuple[NonNegative, NonNegative], AfterValidator(_ordered)] = 0.15
    """Standard deviation of the actor's position noise, per frame; a range: drawn for each video, so that some
    videos are easy and some are not."""
    sprite_gain: float = Field(default=1.3, gt=0)
    """Opacity of a cell = clip(gain x ink, 1)."""
    colour: Range = (150, 255)
    """Grey levels of the actor, drawn for each of R, G and B."""
    background: Range = (70, 110)
    """Grey levels of the background, drawn for each of R, G and B."""
    texture: float = Field(default=22, ge=0)
    """Amplitude in grey levels of the smooth background texture."""
    distractors: IntRange = (0, 1)
    """Number of 8 x 8 px bars, boxes or crosses that wander about."""
    distractor_drift_px: float = Field(default=0.35, ge=0)
    """Standard deviation of a distractor's step, per frame and axis."""
    contrast: Range = (0.8, 1.2)
    """Factor on the distance from grey level 110, drawn for each video."""
    brightness: Range = (-15, 15)
    """Grey levels added, drawn for each video."""
    flicker: float = Field(default=0.05, ge=0, lt=1)
    """Relative amplitude of a slow sine on the brightness."""
    flicker_period: Range = (20, 60)
    """Frames of that sine's period."""
    noise_sigma: Range = (1, 5)
    """Standard deviation of the grey noise of every frame, drawn for each video."""
    videos_per_class: VideosPerClass = VideosPerClass()
    """Videos a class in each split."""
    seed: int = Field(default=0, ge=0)
    """Seed of all the above draws."""

    @field_validator("version")
    @classmethod
    def _current_version(cls, version: int) -> int:
        if version not in GENERATOR_VERSIONS:
            raise ValueError(f"this code makes the versions {GENERATOR_VERSIONS}, not {version}")
        return version

    @field_validator("actors")
    @classmethod
    def _digits(cls, actors: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(actors)) < len(actors) or not all(0 <= a <= 9 for a in actors):
            raise ValueError(f"actors are different digits 0-9, got {actors}")
        return actors

    @field_validator("scripts")
    @classmethod
    def _known_events(cls, scripts: tuple[str, ...]) -> tuple[str, ...]:
        for script in scripts:
            if not 1 <= len(script) <= 8 or set(script) - set(EVENTS):
                raise ValueError(f"a script is 1 to 8 of the events {' '.join(EVENTS)}, got {script!r}")
        if len(set(scripts)) < len(scripts):
            raise ValueError(f"a script is given twice in {scripts}")
        return scripts

    @model_validator(mode="after")
    def _time_to_move(self) -> Self:
        events = max(len(script) for script in self.scripts)
        still = 2 * self.lead[1] + (events - 1) * self.gap[1]
        if self.length[0] < still + _MOVING_FRAMES * events:
            raise ValueError(
                f"length: {self.length[0]} frames are too few for {events} events of {_MOVING_FRAMES} frames "
                f"or more and up to {still:g} frames of lead and gaps"
            )
        return self

    @model_validator(mode="after")
    def _whole_macroblocks(self) -> Self:
        if self.version >= 2 and any(side % _MACROBLOCK for side in self.size_wh):
            raise ValueError(
                f"frames of {self.size_wh[0]}x{self.size_wh[1]} px: from version 2 on both sides are multiples of "
                f"{_MACROBLOCK}; change frame_width, frame_height or scale"
            )
        return self

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the videos in pixels: scaled, and even as yuv420p halves the colour planes."""
        return _even(self.frame_width * self.scale), _even(self.frame_height * self.scale)

    @property
    def identity(self) -> str:
        """12 hexadecimal digits of the SHA-256 of the knobs: names the directory of the prepared dataset."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _even(pixels: float) -> int:
    return 2 * round(pixels / 2)


DatasetSpec = Annotated[
    ScriptedDigits
    | MiniKinetics200
    | Kinetics400
    | ActivityNet13
    | SomethingV1
    | SomethingV2
    | VideoLists
    | ClassFolders,
    Field(discriminator="name"),
]
_KINDS: dict[str, type[BaseModel]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(DatasetSpec)[0])
}
_ADAPTER: TypeAdapter[Any] = TypeAdapter(DatasetSpec)


def dataset_title(name: str) -> str:
    """A dataset's name in words; the name itself of one that is not known."""
    return str(getattr(_KINDS.get(name), "title", name))


def parse_dataset(data: Mapping[str, Any]) -> Any:
    """A mapping as a `DatasetSpec`. Raises UserError, with the near match, for an unknown name or key."""
    name = data.get("name")
    if name not in _KINDS:
        raise UserError(
            f"unknown dataset {name!r}{near_match(str(name), _KINDS)}; known: {', '.join(_KINDS)}"
        )
    try:
        return _ADAPTER.validate_python(dict(data))
    except ValidationError as error:
        raise UserError(
            "; ".join(_explain(e, _KINDS[name]) for e in error.errors(include_url=False))
        ) from None


def _explain(error: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(step) for step in error["loc"][1:])  # the first step is the dataset's name
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}{near_match(key, model.model_fields)}"
    return f"{key}: {error['msg'].removeprefix('Value error, ')}"

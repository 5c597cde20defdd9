"""What an experiment, a row, a profile and a trial are: typed, frozen, unknown keys refused.

An experiment (one table of the paper, or a user's own) lists rows; a profile says on which dataset, at which
scale and by which recipe they run. A row × a seed × a profile is a `Trial`. Names are the field's: T frames a
snippet, U snippets a video, `interval` frames apart (method.md, "Vocabulary").
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    PrivateAttr,
    model_validator,
)

Stage = Literal["res2", "res3", "res4", "res5"]
Position = Literal["I", "II", "III", "IV", "after"]
Grouping = Literal["each", "interleaved", "all", "combinations"]
STAGES: tuple[Stage, ...] = ("res2", "res3", "res4", "res5")


class Frozen(BaseModel):
    """Base of all declared things: immutable, and a key that nobody reads is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _fraction(value: Any) -> Any:
    """Let a YAML file say `1/8`, as the paper does."""
    if not (isinstance(value, str) and "/" in value):
        return value
    try:
        return float(Fraction(value.replace(" ", "")))
    except (ValueError, ZeroDivisionError):
        raise ValueError("expected a share, such as 1/8 or 0.125") from None


Share = Annotated[float, BeforeValidator(_fraction), Field(gt=0, le=1)]


class Aggregation(Frozen):
    """The module across snippets, and where it stands in the network.

    `options` are the module's own (`alpha` of DSA, `reduction` of SE, whatever a variant takes); in YAML they
    are written beside the other keys and are checked by the module's signature. `None` means the module's default.
    """

    name: str = "average"
    position: Position | None = None
    beta: Share | None = None
    stages: tuple[Stage, ...] | None = None
    blocks: Literal["every_second", "all"] | tuple[PositiveInt, ...] = "every_second"
    U: PositiveInt | None = None
    options: dict[str, int | float | str | bool] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        own = {k: v for k, v in data.items() if k in cls.model_fields}
        extra = {k: v for k, v in data.items() if k not in cls.model_fields}
        options = own.get("options", {})
        return {**own, "options": {**options, **extra}} if isinstance(options, dict) else own


class TrainSampling(Frozen):
    """Snippets of a training video: U of T frames each."""

    T: PositiveInt
    U: PositiveInt


class TestProtocol(Frozen):
    """Views of a test video: U snippets in groups (`grouping`) × spatial crops (method.md, "Testing")."""

    __test__ = False  # not a pytest class

    U: PositiveInt
    crops: Literal[1, 3] = 3
    grouping: Grouping


class Row(Frozen):
    """One line of a table: what it changes against the experiment's `defaults`.

    `paper` names the paper's row whose numbers stand beside it (default: the row's own name).
    """

    name: str = Field(min_length=1)
    backbone: str
    train: TrainSampling
    test: TestProtocol
    aggregation: Aggregation = Aggregation()
    paper: str | None = None

    @model_validator(mode="after")
    def _snippets_agree(self) -> Row:
        module_U = self.aggregation.U
        if module_U is not None and module_U != self.train.U:
            raise ValueError(
                f"aggregation.U is {module_U} but train.U is {self.train.U}: a module sees the U it was built for"
            )
        if self.test.U < self.train.U:
            raise ValueError(
                f"test.U is {self.test.U}, below train.U {self.train.U}: no group of snippets can be formed"
            )
        if self.test.grouping == "interleaved" and self.test.U % self.train.U:
            raise ValueError(
                f"test.U {self.test.U} is no multiple of train.U {self.train.U}: "
                f"interleaved groups of {self.train.U} snippets need one"
            )
        return self

    @property
    def paper_row(self) -> str:
        return self.paper or self.name


class Declared(Frozen):
    """Something that has a file of its own, named after it."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    _file: Path | None = PrivateAttr(default=None)  # for messages; no part of what is declared

    @property
    def file(self) -> Path | None:
        return self._file

    def declared_in(self, file: Path) -> Self:
        self._file = file
        return self


class Experiment(Declared):
    """A table: its rows, and which table of the paper it reproduces (`None`: a user's own)."""

    title: str
    rows: tuple[Row, ...] = Field(min_length=1)
    paper_table: str | None = None
    measure: Literal["accuracy", "cost"] = "accuracy"
    columns: tuple[str, ...] = ("top1", "top5")
    baseline: str | None = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _row_names(self) -> Experiment:
        names = [row.name for row in self.rows]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"rows: the name {sorted(twice)[0]!r} stands twice")
        if self.baseline is not None and self.baseline not in names:
            raise ValueError(f"baseline: no row is called {self.baseline!r}; rows are {', '.join(names)}")
        return self


class Scale(Frozen):
    """Size of the network and of its input; the paper's values are the defaults."""

    width: PositiveInt = 64
    stem_kernel: Literal[3, 5, 7] = 7
    inflate: tuple[Stage, ...] = ("res4", "res5")
    dropout: float = Field(default=0.5, ge=0, lt=1)
    crop_px: PositiveInt = 224
    interval: PositiveInt = 16


class Recipe(Frozen):
    """How a network is trained. Epochs and warm-up are counted in epochs; `lr` is the peak.

    Layers without pre-trained weights (the head, and what stands across snippets) learn at `new_layers_lr` times
    that rate at every step (TSM's release: 5 times for the new classifier).
    """

    optimizer: Literal["adamw", "sgd"]
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Literal["one_cycle", "steps"]
    warmup_epochs: float = Field(ge=0)
    milestones: tuple[PositiveInt, ...] = ()
    epochs: PositiveInt
    batch_videos: PositiveInt
    clip_norm: float = Field(gt=0)
    horizontal_flip: bool
    new_layers_lr: float = Field(default=1.0, gt=0)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @model_validator(mode="after")
    def _schedule_fits(self) -> Recipe:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must be below epochs {self.epochs}")
        if self.schedule == "steps" and not self.milestones:
            raise ValueError("schedule 'steps' needs milestones, a list of epochs")
        if any(m >= self.epochs for m in self.milestones):
            raise ValueError(f"milestones {list(self.milestones)} must lie below epochs {self.epochs}")
        return self

    @model_validator(mode="after")
    def _nothing_unused(self) -> Recipe:
        """A setting without effect would give equal trials different ids."""
        if self.schedule != "steps" and self.milestones:
            raise ValueError(f"milestones are for schedule 'steps', and this one is {self.schedule!r}")
        default = type(self).model_fields["momentum"].default
        if self.optimizer != "sgd" and self.momentum != default:
            raise ValueError(f"momentum is for optimizer 'sgd', and this one is {self.optimizer!r}")
        return self


class Pretraining(Frozen):
    """What stands for ImageNet at the embedded scale: the backbone is first trained on single snippets.

    Each row then starts from the same trunk, as the paper's rows all start from one inflated ImageNet ResNet; the
    modules across snippets and the head start from scratch. T frames of one snippet a video, `dataset` its videos.
    """

    dataset: dict[str, Any]
    T: PositiveInt
    recipe: Recipe
    seed: int = Field(default=0, ge=0)


class Numerics(Frozen):
    """What decides the last bits: device, threads, precision; `version` is raised when code changes numbers."""

    device: Literal["cpu", "cuda"] = "cpu"
    threads: PositiveInt = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    version: PositiveInt = 1


class Resources(Frozen):
    """What Ray reserves for one trial, and how often a lost process is started again from its checkpoint."""

    cpus: float = Field(default=1, gt=0)
    gpus: float = Field(default=0, ge=0)
    max_retries: int = Field(default=2, ge=0)

    @model_validator(mode="after")
    def _whole_gpus(self) -> Resources:
        if self.gpus > 1 and not self.gpus.is_integer():
            raise ValueError(f"gpus is {self.gpus:g}: a share of one GPU (such as 0.5), or whole GPUs")
        return self


class TestOverride(Frozen):
    """A profile's smaller test protocol, in place of the rows' (the paper's)."""

    __test__ = False

    crops: Literal[1, 3]
    clips: PositiveInt
    snippets: PositiveInt
    grouping: Grouping


class Profile(Declared):
    """Dataset, scale and recipe under which experiments run."""

    description: str
    dataset: dict[str, Any]
    scale: Scale = Scale()
    pretraining: Pretraining | None = None
    recipe: Recipe
    numerics: Numerics = Numerics()
    resources: Resources = Resources()
    test: TestOverride | None = None
    seeds: PositiveInt = 3
    deviations: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _device_and_gpus(self) -> Profile:
        if (self.numerics.device == "cuda") != (self.resources.gpus > 0):
            raise ValueError(
                f"numerics.device is {self.numerics.device!r} but resources.gpus is {self.resources.gpus:g}: "
                "a cuda profile reserves a (share of a) GPU, a cpu profile none"
            )
        return self


class Network(Frozen):
    """The network of a trial, every default resolved, so that equal networks are equal data."""

    backbone: str
    aggregation: str
    position: Position | None
    beta: float
    placement: dict[str, tuple[int, ...]]
    options: dict[str, int | float | str | bool]
    width: int
    stem_kernel: int
    inflate: tuple[Stage, ...]
    dropout: float


class Variant(Frozen):
    """A module from a file outside the package: its text is part of the trial."""

    file: str
    source: str


class Trial(Frozen):
    """All that can change a trial's numbers, and nothing else: its hash (`harness.experiment.trial_id`) is its name."""

    network: Network
    dataset: dict[str, Any]
    train: TrainSampling
    test: TestProtocol
    crop_px: int
    interval: int
    pretraining: Pretraining | None = None
    recipe: Recipe
    numerics: Numerics
    seed: int = Field(ge=0)
    variant: Variant | None = None

"""Typed declarations: what a row, an experiment, a profile and a trial are.

A row is what the paper's table varies; a profile is the dataset, the scale and the recipe that all rows of a run share;
a trial is a row with one seed under a profile, every default resolved. The trial alone decides the numbers, so its
hash is its name (`harness.experiment.identity`).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from harness.experiment.base import Declared, Frozen
from harness.experiment.datasets import DatasetSpec
from harness.experiment.recipe import Recipe, RecipeChange
from harness.experiment.sampling import TestOverride, TestProtocol, TrainSampling

Scalar = int | float | str | bool | None
Option = Scalar | tuple[Scalar, ...]
Options = dict[str, Option]


def _fraction(value: Any) -> Any:
    """Let a YAML file say `1/8`, as the paper does."""
    if not (isinstance(value, str) and "/" in value):
        return value
    try:
        return float(Fraction(value.replace(" ", "")))
    except (ValueError, ZeroDivisionError):
        raise ValueError("expected a share, such as 1/8 or 0.125") from None


Share = Annotated[float, BeforeValidator(_fraction), Field(gt=0, le=1)]


class _Module(Frozen):
    """A module and where it stands.

    `options` are the module's own (`alpha` of DSA, `reduction` of SE, whatever a variant takes); in YAML they
    are written beside the other keys and are checked by the module's signature. `None` means the module's default.
    """

    name: str
    position: str | None = None
    stages: tuple[str, ...] | None = None
    blocks: Literal["every_second", "all"] | tuple[PositiveInt, ...] | None = None
    options: Options = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        own = {k: v for k, v in data.items() if k in cls.model_fields}
        extra = {k: v for k, v in data.items() if k not in cls.model_fields}
        options = own.get("options", {})
        return {**own, "options": {**options, **extra}} if isinstance(options, dict) else own


class Aggregation(_Module):
    """The module across snippets: `average` is the mean of snippet logits alone."""

    name: str = "average"
    beta: Share | None = None
    U: PositiveInt | None = None


class Inside(_Module):
    """A module inside the snippet (TSM's shift, a non-local block, ...)."""


class Counting(Frozen):
    """How the paper counted the cost that it prints of a row: one view of the row's T × U, in fvcore's multiply-adds.

    crop_px      the crop; default: the row's own in training
    operations   all, or products: convolutions, linear layers and matrix products alone (no BatchNorm)
    unexplained  no counting gives the printed number; a note of the table says what is known
    """

    crop_px: PositiveInt | None = None
    operations: Literal["all", "products"] = "all"
    unexplained: bool = False


class Row(Frozen):
    """One line of a table: what it changes against the experiment's `defaults`.

    scaled      options that hold under a profile that scales networks down (what keeps a family whole at 32 px); the
                paper's network is counted without them
    paper       the paper's row whose numbers stand beside it (default: the row's own name)
    recipe      a recipe's file, or what the row changes of it
    counting    how the printed cost was counted, where that is not a training pass with all operations
    average_of  names of other rows of the table, whose scores this row averages (DSA 4+8); it has no trials of its own
    short       a name for the command line (`compare --baseline dsa`)
    family      rows of one family share a look in figures (default: the model's name up to its depth)
    firm        dotted keys of this row that a profile does not override (a grid's keys are firm by themselves)
    """

    name: str = Field(min_length=1)
    model: str
    options: Options = Field(default_factory=dict)
    scaled: Options = Field(default_factory=dict)
    inside: tuple[Inside, ...] = ()
    aggregation: Aggregation = Aggregation()
    train: TrainSampling
    test: TestProtocol
    recipe: RecipeChange = RecipeChange()
    paper: str | None = None
    counting: Counting = Counting()
    average_of: tuple[str, ...] = ()
    short: str | None = None
    family: str | None = None
    firm: tuple[str, ...] = ()

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


class Experiment(Declared):
    """A table: its rows, and which table of the paper it reproduces (`None`: a user's own).

    variants  files (beside this one, or paths) of models and modules that rows name
    dataset   what its rows are set for: commands without names take it under profiles of this dataset alone
    differ    what its rows may differ in by declaration (a benchmark: recipe, views, crop, sampling, scale)
    """

    also_read: ClassVar[tuple[str, ...]] = ("defaults", "grid", "exclude")  # they are merged into the rows

    title: str
    rows: tuple[Row, ...] = Field(min_length=1)
    paper_table: str | None = None
    measure: Literal["accuracy", "cost"] = "accuracy"
    columns: tuple[str, ...] = ("top1", "top5")
    baseline: str | None = None
    notes: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    dataset: str | None = None
    differ: tuple[Literal["recipe", "views", "crop", "sampling", "input", "start", "scale"], ...] = ()

    @model_validator(mode="after")
    def _row_names(self) -> Experiment:
        names = [row.name for row in self.rows]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"rows: the name {sorted(twice)[0]!r} stands twice")
        if self.baseline is not None and self.baseline not in names:
            raise ValueError(f"baseline: no row is called {self.baseline!r}; rows are {', '.join(names)}")
        for row in self.rows:
            own = [n for n in row.average_of if n not in names or n == row.name]
            if own:
                raise ValueError(
                    f"rows: {row.name!r} averages {own[0]!r}, which is no other row of this table"
                )
        return self


class Scale(Frozen):
    """Size of the networks and of their input, for all rows alike; None: as each row says.

    Every other key is an option of models (`width`, `dropout`, `stem_kernel`, ...): each model that has it takes it.
    """

    crop_px: PositiveInt | None = None
    test_crop_px: PositiveInt | None = None
    test_short_side: PositiveInt | None = None
    interval: PositiveInt | None = None
    options: Options = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "options" in data:
            return data
        own = {k: v for k, v in data.items() if k in cls.model_fields}
        return {**own, "options": {k: v for k, v in data.items() if k not in cls.model_fields}}


class Input(Frozen):
    """What the network is fed: (frame − mean) / std on 0–255 values, in this order of channels."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    order: Literal["rgb", "bgr"] = "rgb"


class Scratch(Frozen):
    """Fresh weights."""

    kind: Literal["scratch"] = "scratch"


class Trunk(Frozen):
    """What stands for ImageNet at the embedded scale: the backbone is first trained on single snippets.

    Each row then starts from the same trunk, as the paper's rows all start from one inflated ImageNet ResNet; the
    modules across snippets and the head start from scratch. T frames of one snippet a video, `dataset` its videos.
    The trunk is a trial of its own (`harness.experiment.start.start_trial`), which the plan puts first.
    """

    kind: Literal["trunk"] = "trunk"
    dataset: DatasetSpec
    T: PositiveInt
    recipe: Recipe
    seed: int = Field(default=0, ge=0)


class File(Frozen):
    """A checkpoint, known by the hash of its bytes; `path` says where it lies and is no part of the identity.

    source  whose names it has (`harness weights` lists them); None: recognised by them
    """

    kind: Literal["file"] = "file"
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    source: str | None = None
    path: str


Start = Annotated[Scratch | Trunk | File, Field(discriminator="kind")]


class Numerics(Frozen):
    """What decides the last bits: device, threads, precision; `version` is raised when code changes numbers.

    deterministic  kernels whose sums do not depend on the moment (CUDA: slower)
    channels_last  layout of the convolutions' weights
    compile        the step runs through torch.compile
    accumulate     a batch is run in so many parts (batch norms see a part at a time)
    gpus           processes that share a trial's batches (DDP), a GPU each; on a CPU they talk by gloo
    sync_norms     their batch norms see all parts; else each its own, and rank 0's running statistics are kept
    """

    device: Literal["cpu", "cuda"] = "cpu"
    threads: PositiveInt = 1
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    version: PositiveInt = 1
    deterministic: bool = True
    channels_last: bool = True
    compile: bool = False
    accumulate: PositiveInt = 1
    gpus: PositiveInt = 1
    sync_norms: bool = False

    @model_validator(mode="after")
    def _scaler_needs_cuda(self) -> Numerics:
        if self.precision == "float16" and self.device == "cpu":
            raise ValueError("precision 'float16' needs device 'cuda'; on a CPU use float32 or bfloat16")
        return self


class Resources(Frozen):
    """What is reserved for one trial, and how often a lost process is started again from its checkpoint.

    loaders  processes that decode and augment; 0: the trial's own
    """

    cpus: float = Field(default=1, gt=0)
    gpus: float = Field(default=0, ge=0)
    loaders: int = Field(default=0, ge=0)
    max_retries: int = Field(default=2, ge=0)

    @model_validator(mode="after")
    def _whole_gpus(self) -> Resources:
        if self.gpus > 1 and not self.gpus.is_integer():
            raise ValueError(f"gpus is {self.gpus:g}: a share of one GPU (such as 0.5), or whole GPUs")
        return self


class Profile(Declared):
    """Dataset, scale, start and recipe under which experiments run; what it sets holds for all rows alike.

    recipe, input  None: each row's own recipe, each model's own input
    """

    description: str
    dataset: DatasetSpec
    scale: Scale = Scale()
    input: Input | None = None
    start: Start = Scratch()
    recipe: Recipe | None = None
    numerics: Numerics = Numerics()
    resources: Resources = Resources()
    test: TestOverride | None = None
    seeds: PositiveInt = 3
    deviations: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _reserves_what_it_uses(self) -> Profile:
        numerics, reserved = self.numerics, self.resources
        if (numerics.device == "cuda") != (reserved.gpus > 0):
            raise ValueError(
                f"numerics.device is {numerics.device!r} but resources.gpus is {reserved.gpus:g}: "
                "a cuda profile reserves a (share of a) GPU, a cpu profile none"
            )
        if numerics.device == "cuda" and max(1, reserved.gpus) != numerics.gpus:
            raise ValueError(
                f"resources.gpus is {reserved.gpus:g} but numerics.gpus is {numerics.gpus}: a trial uses as many "
                "GPUs as it reserves; how many changes its numbers, so numerics says it as well"
            )
        if numerics.sync_norms and numerics.gpus == 1:
            raise ValueError("numerics.sync_norms is for several GPUs a trial (numerics.gpus), and this is 1")
        if numerics.threads > max(1, reserved.cpus):
            raise ValueError(
                f"numerics.threads is {numerics.threads} but resources.cpus is {reserved.cpus:g}: "
                "reserve a CPU for each thread"
            )
        return self


class Placed(Frozen):
    """A module in a trial's network: stage -> block numbers (from 1), every default spelled out."""

    name: str
    position: str
    beta: float = 1.0
    placement: dict[str, tuple[int, ...]]
    options: Options


class Network(Frozen):
    """The network of a trial, every default resolved, so that equal networks are equal data."""

    model: str
    options: Options
    inside: tuple[Placed, ...] = ()
    aggregation: Placed | None = None


class Variant(Frozen):
    """A module or model from a file outside the package: its text is part of the trial."""

    file: str
    source: str


class Trial(Frozen):
    """All that can change a trial's numbers, and nothing else: its hash (`harness.experiment.trial_id`) is its name."""

    network: Network
    dataset: DatasetSpec
    train: TrainSampling
    test: TestProtocol
    input: Input
    start: Start = Scratch()
    recipe: Recipe
    numerics: Numerics
    seed: int = Field(ge=0)
    variants: tuple[Variant, ...] = ()

    @model_validator(mode="after")
    def _resolved(self) -> Trial:
        interval = self.train.interval if self.train.mode != "uniform" else 1
        if None in (interval, self.train.crop_px, self.test.crop_px):
            raise ValueError(
                "a trial's interval and crops are numbers; only a row may leave them to the profile"
            )
        return self

    @property
    def interval(self) -> int:
        return self.train.interval or 1

    @property
    def train_crop(self) -> int:
        return self.train.crop_px or 1

    @property
    def test_crop(self) -> int:
        return self.test.crop_px or 1

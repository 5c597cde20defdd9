"""How a network is trained: one typed recipe, in a file of its own (`experiments/recipes/`), values with sources."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from harness.experiment.augment import Augment
from harness.experiment.base import Declared, Frozen


class Recipe(Frozen):
    """Epochs and warm-up are counted in epochs; `lr` is the peak rate of the trunk.

    lr_batch_videos  the batch that `lr` is stated for: another `batch_videos` scales it linearly (Goyal et al. 2017,
                     arXiv:1706.02677, 2.1); None: `lr` is the rate, whatever the batch
    nesterov         of SGD with momentum
    clip_norm        of all gradients together; None: they are not clipped
    schedule         cosine: linear warm-up from 0.01·lr, then half a cosine to 0; steps: ×0.1 at each milestone
    new_layers_lr    multiple of `lr` for layers without pre-trained weights: the head and every placed module
    bias_lr          multiple for biases (TSM and V4D: 2)
    decay_biases, decay_norms   whether weight decay acts on biases, on batch norms
    frozen_norms     batch norms keep the statistics and the affine part that they start with
    """

    optimizer: Literal["adamw", "sgd"]
    lr: PositiveFloat
    weight_decay: float = Field(ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Literal["cosine", "steps"]
    warmup_epochs: float = Field(ge=0)
    milestones: tuple[PositiveInt, ...] = ()
    epochs: PositiveInt
    batch_videos: PositiveInt
    clip_norm: PositiveFloat | None
    augment: Augment = Augment()
    new_layers_lr: PositiveFloat = 1.0
    bias_lr: PositiveFloat = 1.0
    decay_biases: bool = True
    decay_norms: bool = True
    frozen_norms: bool = False
    nesterov: bool = True
    lr_batch_videos: PositiveInt | None = None

    @property
    def peak_lr(self) -> float:
        """`lr`, scaled to the batch."""
        return self.lr * (self.batch_videos / self.lr_batch_videos if self.lr_batch_videos else 1)

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
        for key in ("momentum", "nesterov"):
            default = type(self).model_fields[key].default
            if self.optimizer != "sgd" and getattr(self, key) != default:
                raise ValueError(f"{key} is for optimizer 'sgd', and this one is {self.optimizer!r}")
        return self


class RecipeFile(Declared):
    """`experiments/recipes/NAME.yaml`: the recipe, and where each of its values comes from.

    `sources`: key of the recipe -> the release or paper that says it, or "ours: why". No value without a source.
    """

    description: str
    recipe: Recipe
    sources: dict[str, str]

    @model_validator(mode="after")
    def _each_with_its_source(self) -> RecipeFile:
        given, sourced = self.recipe.model_fields_set, set(self.sources)
        if given != sourced:
            one = sorted(given ^ sourced)[0]
            what = "has no source" if one in given else "is sourced, but the recipe does not set it"
            raise ValueError(
                f"sources: the recipe's {one!r} {what}; every value that is set has one line there"
            )
        return self


class RecipeChange(Frozen):
    """What a row says of its recipe: the file that it comes from (`recipe: NAME`), and what it changes of it.

    A profile with a recipe replaces `file` for all rows alike; `changes` are the row's own and always hold.
    """

    file: str | None = None
    changes: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"file": data}
        if not isinstance(data, dict) or set(data) <= {"file", "changes"}:
            return data
        return {"file": data.get("file"), "changes": {k: v for k, v in data.items() if k != "file"}}

    @model_validator(mode="after")
    def _known(self) -> RecipeChange:
        unknown = sorted(set(self.changes) - set(Recipe.model_fields))
        if unknown:
            raise ValueError(f"a recipe has no {unknown[0]!r}; it has {', '.join(Recipe.model_fields)}")
        return self

    def applied(self, base: Recipe) -> Recipe:
        """`base` with the row's changes. Raises pydantic's ValidationError where they do not fit."""
        return Recipe.model_validate({**base.model_dump(exclude_unset=True), **self.changes})

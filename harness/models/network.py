"""The contract of a network: a backbone inside each snippet, named places in it, and a head.

A backbone is a chain of steps over the maps of single snippets, (N·U, C, T, H, W), the U snippets of one video
adjacent. It names the places where a module may stand; anything with places can host DSA, V4D, SE or a user's
variant (the paper's "plug-and-play"). A head turns the last maps into logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from harness.base.errors import UserError, near_match
from harness.models.across import AcrossSnippets

Step = Callable[[Any], Any]
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class InputSpec:
    """What a network's weights expect: x = (frame − mean) / std on 0–255 values in this order of channels.

    `train_crop` and `test_crop` are the side in pixels of the release's crops.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    order: Literal["rgb", "bgr"] = "rgb"
    train_crop: int = 224
    test_crop: int = 256


class PlaceName(NamedTuple):
    """Where a place is: a stage's name, the block's number in it (from 1), and the position in the block."""

    stage: str
    block: int
    position: str


class Place(nn.Module):
    """A place in a block: the identity until modules stand there.

    A module across snippets comes before modules inside the snippet, which belong to the next convolution
    (TSM's shift). `U` is set by `VideoModel` before each pass.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.U = 1

    @property
    def looks_across(self) -> bool:
        return any(isinstance(module, AcrossSnippets) for module in self.children())

    def put_across(self, module: AcrossSnippets) -> None:
        """Stand a module across snippets here, before whatever is here already."""
        inside = list(self.named_children())
        for name, _ in inside:
            delattr(self, name)
        self.add_module("across", module)
        for name, child in inside:
            self.add_module(name, child)

    def put_inside(self, module: nn.Module) -> None:
        """Stand a module inside the snippet here, after whatever is here already."""
        self.add_module(f"inside{len(self._modules) or ''}", module)

    def forward(self, x: Tensor) -> Tensor:
        """(N·U, C, T, H, W), the same shape out."""
        for module in self.children():
            x = module(x, self.U) if isinstance(module, AcrossSnippets) else module(x)
        return x


class Backbone(nn.Module):
    """What happens inside a snippet. A family subclasses it and gives `steps`, `places` and `channels`.

    channels   of the maps that leave the last step
    kind       of its blocks, "basic" or "bottleneck": modules may stand elsewhere by default
    analogues  the stages that play the parts of res2..res5, where the family calls them otherwise
    """

    channels: int
    kind: ClassVar[str] = "bottleneck"
    analogues: ClassVar[dict[str, str]] = {}

    def steps(self) -> Sequence[Step]:
        """The chain, each step from maps to maps: (N·U, C, T, H, W), or a tuple of such (two pathways)."""
        raise NotImplementedError

    def places(self) -> dict[PlaceName, Place]:
        """Every place, in the order in which a snippet passes them; empty where the family names none."""
        return {}

    def places_of(self, stages: Iterable[str]) -> dict[PlaceName, Place]:
        """The places (`at`) in the blocks of these submodules."""
        return {
            PlaceName(stage, number, position): place
            for stage in stages
            for number, block in enumerate(self.get_submodule(stage).children(), start=1)
            for position, place in block.at.items()  # type: ignore[union-attr, operator]
        }

    def forward(self, x: Tensor) -> Any:
        """(N·U, 3, T, H, W) to the maps that the head takes."""
        for step in self.steps():
            x = step(x)
        return x


def check_stages(names: Sequence[str], known: Sequence[str], key: str) -> None:
    """Refuse anything but known stages, each once. `key` is the option's name in the message. Raises UserError."""
    for name in names:
        if name not in known:
            raise UserError(
                f"{key}: unknown stage {name!r}{near_match(name, known)}; one of {', '.join(known)}"
            )
    if len(set(names)) != len(names):
        raise UserError(f"{key}: a stage is named twice in {list(names)}")


class Head(nn.Module):
    """From the last maps of a video's snippets to snippet logits."""

    any_U: ClassVar[bool] = True

    def forward(self, maps: Any, U: int, boxes: Tensor | None = None) -> Tensor:
        """(N·U, C, T, H, W) maps to (N, U, num_classes) logits."""
        raise NotImplementedError

    def consensus(self, logits_NUK: Tensor) -> Tensor:
        """(N, K) logits of a video: the mean over its snippets."""
        return logits_NUK.mean(1)


class VideoModel(nn.Module):
    """Video in, class logits out: backbone on every snippet, modules across snippets in it, head, consensus.

    `U` is the number of snippets that it was built for; `any_U` says whether it accepts others.
    """

    def __init__(self, backbone: Backbone, head: Head, *, U: int, input: InputSpec) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.U, self.any_U, self.input = U, head.any_U, input

    def forward(self, x_NUCTHW: Tensor, boxes: Tensor | None = None) -> Tensor:
        """(N, U, 3, T, H, W) float to (N, num_classes). ValueError for another shape or a U not built for."""
        return self.head.consensus(self.forward_snippets(x_NUCTHW, boxes))

    def forward_snippets(self, x_NUCTHW: Tensor, boxes: Tensor | None = None) -> Tensor:
        """(N, U, 3, T, H, W) float to snippet logits (N, U, num_classes)."""
        U = self._check(x_NUCTHW)
        self._tell_places(U)
        return self.head(self.backbone(x_NUCTHW.flatten(0, 1)), U, boxes)

    def forward_groups(
        self, x_NUCTHW: Tensor, groups: Sequence[Sequence[int]], boxes: Tensor | None = None
    ) -> Tensor:
        """(N, G, num_classes): each group of snippets scored alone, as `forward` would score it.

        Groups may overlap (V4D's 36 groups of 10 snippets): the steps before the first module across snippets run
        once a snippet, and a network without such a module runs once altogether.
        """
        shared, rest = self._divided()
        N, U_all = x_NUCTHW.shape[:2]
        maps = _run(shared, x_NUCTHW.flatten(0, 1))
        if not rest and self.head.any_U:
            logits_NUK = self.head(maps, U_all, boxes)
            return torch.stack([self.head.consensus(logits_NUK[:, list(g)]) for g in groups], 1)
        scores = []
        for group in groups:
            self._check(x_NUCTHW[:, list(group)])
            self._tell_places(len(group))
            rows = torch.arange(N)[:, None] * U_all + torch.as_tensor(list(group))
            of_group = pytree.tree_map(lambda m, rows=rows: m[rows.flatten().to(m.device)], maps)
            own = None if boxes is None else boxes[:, list(group)]
            scores.append(self.head.consensus(self.head(_run(rest, of_group), len(group), own)))
        return torch.stack(scores, 1)

    def shared_steps(self) -> Step:
        """The steps before the first one that looks across snippets, as one: (N·U, 3, T, H, W) to maps."""
        steps = self._divided()[0]
        return lambda x: _run(steps, x)

    def _divided(self) -> tuple[list[Step], list[Step]]:
        steps = list(self.backbone.steps())
        first = next((i for i, step in enumerate(steps) if _looks_across(step)), len(steps))
        return steps[:first], steps[first:]

    def _tell_places(self, U: int) -> None:
        for module in self.modules():
            if isinstance(module, Place):
                module.U = U

    def _check(self, x_NUCTHW: Tensor) -> int:
        if x_NUCTHW.ndim != 6 or x_NUCTHW.shape[2] != 3:
            raise ValueError(f"a batch is (N, U, 3, T, H, W), got {tuple(x_NUCTHW.shape)}")
        U = x_NUCTHW.shape[1]
        if U != self.U and not self.any_U:
            raise ValueError(f"this model was built for U={self.U} snippets a video and got U={U}")
        return U


def _run(steps: Sequence[Step], maps: Any) -> Any:
    for step in steps:
        maps = step(maps)
    return maps


def _looks_across(step: Step) -> bool:
    return isinstance(step, nn.Module) and any(
        module.looks_across for module in step.modules() if isinstance(module, Place)
    )


def filled_places(backbone: Backbone) -> Iterator[tuple[PlaceName, Place]]:
    """The places where something stands."""
    yield from ((name, place) for name, place in backbone.places().items() if len(place._modules))

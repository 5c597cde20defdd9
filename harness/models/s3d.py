"""S3D and S3D-G: Inception with its 3D convolutions separated into space and time, and with gates on the features.

Xie et al.: "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification", ECCV 2018,
figures 4 to 6. Two public forms (docs/systems.md): kylemin/S3D (golden s3d_kylemin), whose stem is separated and
whose convolutions along time have a BatchNorm, is `s3d`; the authors' own s3dg.py (tensorflow/models), with a whole
7×7×7 stem and a bias instead, is `s3dg`. Padding is half the kernel on both sides where TensorFlow's "SAME" is uneven.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.layers import (
    AverageHead,
    check_dropout,
    check_sizes,
    conv3d,
    kaiming_convolutions,
    max_pool3d,
)
from harness.models.network import Backbone, Head, InputSpec, Place, PlaceName, Step
from harness.models.registry import register_model
from harness.models.resnet import check_time_strides
from harness.models.weights import register_release

# 1×1 | 1×1 → separable | 1×1 → separable | pool → 1×1, at width 64.
_BLOCKS = {
    "mixed3": ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    "mixed4": (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    "mixed5": ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
}
EPS = 1e-3


@dataclass(frozen=True)
class Form:
    """What the two public forms and S3D-G differ in."""

    gated: bool
    factored_stem: bool
    temporal_norm: bool


def _norm(channels: int) -> nn.BatchNorm3d:
    return nn.BatchNorm3d(channels, eps=EPS)


class Whole(nn.Module):
    """A convolution over space and time at once (or 1×1×1), BatchNorm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int, int], stride_t: int = 1, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv, self.bn = conv3d(inputs, outputs, kernel, stride, stride_t), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _one(inputs: int, outputs: int) -> Whole:
    return Whole(inputs, outputs, (1, 1, 1))


class Separable(nn.Module):
    """1×3×3, BatchNorm, ReLU; 3×1×1, BatchNorm (or a bias), ReLU. `kernel`, `kt`, `stride`: otherwise (the stem)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        form: Form,
        *,
        kernel: int = 3,
        kt: int = 3,
        stride: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        in_time, in_space = stride
        self.conv_s = conv3d(inputs, outputs, (1, kernel, kernel), in_space)
        self.bn_s = _norm(outputs)
        self.conv_t = conv3d(outputs, outputs, (kt, 1, 1), stride_t=in_time)
        self.bn_t = _norm(outputs) if form.temporal_norm else nn.Identity()
        if not form.temporal_norm:
            self.conv_t.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn_s(self.conv_s(x)))
        return F.relu(self.bn_t(self.conv_t(x)))


class Gate(nn.Module):
    """x · sigmoid(W·mean(x)), the mean over T, H, W: S3D-G's feature gating."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels, bias=False)
        nn.init.trunc_normal_(self.fc.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3, 4))).sigmoid()[:, :, None, None, None]


class Mixed(nn.Module):
    """An Inception block of four branches, each with its gate in S3D-G.

    Places: I at its input; II between the 1×1 and the separable convolution of the second branch, the widest one;
    III after that convolution; "after" the concatenation.
    """

    def __init__(self, inputs: int, widths: Sequence[int], form: Form) -> None:
        super().__init__()
        b0, b1_in, b1, b2_in, b2, b3 = widths
        self.branch0 = _one(inputs, b0)
        self.branch1 = nn.ModuleList([_one(inputs, b1_in), Separable(b1_in, b1, form)])
        self.branch2 = nn.ModuleList([_one(inputs, b2_in), Separable(b2_in, b2, form)])
        self.branch3 = _one(inputs, b3)
        self.gates = nn.ModuleList(Gate(c) if form.gated else nn.Identity() for c in (b0, b1, b2, b3))
        self.channels = b0 + b1 + b2 + b3
        at = {"I": inputs, "II": b1_in, "III": b1, "after": self.channels}
        self.at = nn.ModuleDict({position: Place(channels) for position, channels in at.items()})

    def forward(self, x: Tensor) -> Tensor:
        """(N·U, inputs, T, H, W) to (N·U, channels, T, H, W)."""
        x = self.at["I"](x)
        branches = (
            self.branch0(x),
            self.at["III"](self.branch1[1](self.at["II"](self.branch1[0](x)))),
            self.branch2[1](self.branch2[0](x)),
            self.branch3(max_pool3d(x, (3, 3, 3), (1, 1, 1))),
        )
        gated = [gate(branch) for gate, branch in zip(self.gates, branches, strict=True)]
        out: Tensor = self.at["after"](torch.cat(gated, dim=1))
        return out


class S3D(Backbone):
    """Stem, 1×1, separable 3×3×3, then mixed3 (3b, 3c), mixed4 (4b to 4f) and mixed5 (5b, 5c) with pools between.

    time_strides: of the stem, of the pool before mixed4 and of the one before mixed5.
    """

    analogues: ClassVar[dict[str, str]] = {"res3": "mixed3", "res4": "mixed4", "res5": "mixed5"}

    def __init__(self, width: int, stem_kernel: int, time_strides: Sequence[int], form: Form) -> None:
        super().__init__()
        check_sizes(width=width)
        check_time_strides(time_strides)
        if stem_kernel not in (3, 5, 7):
            raise UserError(f"stem_kernel {stem_kernel!r}: 3, 5 or 7")
        stem_t, self.pool4_t, self.pool5_t = time_strides
        if form.factored_stem:
            self.stem: nn.Module = Separable(3, width, form, kernel=stem_kernel, kt=7, stride=(stem_t, 2))
        else:
            self.stem = Whole(3, width, (7, stem_kernel, stem_kernel), stem_t, 2)
        self.conv2 = _one(width, width)
        self.conv3 = Separable(width, 3 * width, form)
        self.gate3: nn.Module = Gate(3 * width) if form.gated else nn.Identity()
        self.channels = 3 * width
        for stage, rows in _BLOCKS.items():
            blocks = nn.ModuleList()
            for row in rows:
                block = Mixed(self.channels, [max(1, c * width // 64) for c in row], form)
                blocks.append(block)
                self.channels = block.channels
            self.add_module(stage, blocks)
        kaiming_convolutions(self)
        if not form.temporal_norm:  # s3dg.py: a convolution along time starts as the identity
            for module in self.modules():
                if isinstance(module, Separable):
                    nn.init.dirac_(module.conv_t.weight)

    def _stage(self, name: str) -> list[Mixed]:
        return list(self.get_submodule(name).children())  # type: ignore[arg-type]

    def _pool3(self, x: Tensor) -> Tensor:
        return max_pool3d(x, (1, 3, 3), (1, 2, 2))

    def _pool4(self, x: Tensor) -> Tensor:
        return max_pool3d(x, (3, 3, 3), (self.pool4_t, 2, 2))

    def _pool5(self, x: Tensor) -> Tensor:
        return max_pool3d(x, (self.pool5_t, 2, 2), (self.pool5_t, 2, 2))

    def steps(self) -> Sequence[Step]:
        start: list[Step] = [self.stem, self._pool3, self.conv2, self.conv3, self.gate3, self._pool3]
        middle: list[Step] = [*self._stage("mixed3"), self._pool4, *self._stage("mixed4"), self._pool5]
        return [*start, *middle, *self._stage("mixed5")]

    def places(self) -> dict[PlaceName, Place]:
        return self.places_of(_BLOCKS)


class S3DHead(AverageHead):
    """Mean over H, W and each two neighbouring frames, dropout, a linear layer, mean over time."""

    def forward(self, maps: Any, U: int, boxes: Tensor | None = None) -> Tensor:
        """(N·U, C, T, H, W) to (N, U, num_classes). All is linear, so the means over time are taken first."""
        of_frames = maps.mean((3, 4))
        pairs = F.avg_pool1d(of_frames, min(2, of_frames.shape[2]), stride=1)
        return self.fc(self.dropout(pairs.mean(2))).unflatten(0, (-1, U))


def _s3d(
    form: Form,
    num_classes: int,
    width: int,
    stem_kernel: int,
    time_strides: Sequence[int],
    dropout: float,
) -> tuple[Backbone, Head]:
    check_dropout(dropout)
    backbone = S3D(width, stem_kernel, time_strides, form)
    return backbone, S3DHead(backbone.channels, num_classes, dropout)


@register_model(InputSpec(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5), test_crop=224))
def s3d(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    factored_stem: bool = True,
    temporal_norm: bool = True,
    time_strides: tuple[int, ...] = (2, 2, 2),
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """64 consecutive frames. The defaults are kylemin's form, both flags off the authors' own.

    time_strides: of the stem and of the pools before 4b and 5b; fewer for short clips.
    """
    form = Form(gated=False, factored_stem=factored_stem, temporal_norm=temporal_norm)
    return _s3d(form, num_classes, width, stem_kernel, time_strides, dropout)


@register_model(InputSpec(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5), test_crop=224))
def s3dg(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    factored_stem: bool = False,
    temporal_norm: bool = False,
    time_strides: tuple[int, ...] = (2, 2, 2),
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """S3D with a gate after the 192-channel convolution and after every branch of every block."""
    form = Form(gated=True, factored_stem=factored_stem, temporal_norm=temporal_norm)
    return _s3d(form, num_classes, width, stem_kernel, time_strides, dropout)


_OWN = {0: "stem", 2: "conv2", 3: "conv3", 5: "mixed3.0", 6: "mixed3.1", 14: "mixed5.0", 15: "mixed5.1"}
_OWN |= {8 + number: f"mixed4.{number}" for number in range(5)}


@register_release("s3d", telling="base.0.conv_s.weight")
def from_kylemin(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """kylemin/S3D: a flat list `base`, pools counted; the classifier is a 1×1×1 convolution."""
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("fc.0."):
            renamed[name.replace("fc.0.", "head.fc.")] = tensor.flatten(1) if tensor.ndim > 1 else tensor
            continue
        own = re.sub(r"^base\.(\d+)\.", lambda match: f"backbone.{_OWN[int(match[1])]}.", name)
        own = own.replace(".branch0.0.", ".branch0.").replace(".branch3.1.", ".branch3.")
        renamed[own] = tensor
    return renamed

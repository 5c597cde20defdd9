"""I3D with pooling along time, and with non-local or compact generalised non-local blocks in it.

Wang, Girshick, Gupta, He: "Non-local Neural Networks", CVPR 2018, tables 1 and 2 (the trunk: kernels along time in
every second block; 5 blocks after every second one of res3 and res4), release facebookresearch/video-nonlocal-net.
Yue et al.: "Compact Generalized Non-local Network", NeurIPS 2018 (the same trunk and places, one scalar a group in
place of the attention map), release KaiyuYue/cgnl-network.pytorch, whose video code was never published
(docs/systems.md). Golden i3d_nln_r50_8x8_pyslowfast, cgnl_block.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.layers import AverageHead, check_dropout, max_pool3d
from harness.models.network import Backbone, Head, PlaceName
from harness.models.pyslowfast import PYSLOWFAST_INPUT
from harness.models.registry import register_inside, register_model
from harness.models.resnet import DEPTHS, Kernels, ResNet3d


def _pointwise(inputs: int, outputs: int, *, bias: bool, groups: int = 1) -> nn.Conv3d:
    """A 1×1×1 convolution, normal 0.01."""
    conv = nn.Conv3d(inputs, outputs, 1, groups=groups, bias=bias)
    nn.init.normal_(conv.weight, std=0.01)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


@register_inside("nonlocal", position="after", stages=("res3", "res4"), blocks="every_second")
class NonLocal(nn.Module):
    """Every position attends to all positions of the clip, keys and values pooled 1×2×2 (embedded Gaussian).

    Starts as the identity: the BatchNorm's scale is 0, or without `norm` (frozen BatchNorms) the last convolution.
    """

    def __init__(self, channels: int, *, norm: bool = True) -> None:
        super().__init__()
        self.inner = max(1, channels // 2)
        self.theta = _pointwise(channels, self.inner, bias=True)
        self.phi = _pointwise(channels, self.inner, bias=True)
        self.g = _pointwise(channels, self.inner, bias=True)
        self.out = _pointwise(self.inner, channels, bias=True)
        self.bn = nn.BatchNorm3d(channels) if norm else nn.Identity()
        nn.init.zeros_(self.bn.weight if isinstance(self.bn, nn.BatchNorm3d) else self.out.weight)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Same shape out."""
        pooled = max_pool3d(x_BCTHW, (1, 2, 2), (1, 2, 2))
        theta_BPC = self.theta(x_BCTHW).flatten(2).transpose(1, 2)
        phi_BCQ, g_BCQ = self.phi(pooled).flatten(2), self.g(pooled).flatten(2)
        attention_BPQ = (torch.bmm(theta_BPC, phi_BCQ) * self.inner**-0.5).softmax(-1)
        y_BPC = torch.bmm(attention_BPQ, g_BCQ.transpose(1, 2))
        y_BCTHW = y_BPC.transpose(1, 2).unflatten(2, x_BCTHW.shape[2:])
        return x_BCTHW + self.bn(self.out(y_BCTHW))


@register_inside("cgnl", position="after", stages=("res3", "res4"), blocks="every_second")
class CGNL(nn.Module):
    """In each group of channels, all (position, channel) pairs together give one scalar that scales the queries.

    The names are the release's: t (θ), p (φ), g, z (back to C), gn. Starts as the identity (GroupNorm's scale 0).
    """

    def __init__(self, channels: int, *, groups: int = 8) -> None:
        super().__init__()
        inner = channels // 2
        if groups < 1 or inner % groups:
            raise UserError(f"groups {groups!r}: must divide half the channels, {inner}")
        self.groups = groups
        self.t = _pointwise(channels, inner, bias=False)
        self.p = _pointwise(channels, inner, bias=False)
        self.g = _pointwise(channels, inner, bias=False)
        self.z = _pointwise(inner, channels, bias=False, groups=groups)
        self.gn = nn.GroupNorm(groups, channels)
        nn.init.zeros_(self.gn.weight)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Same shape out."""
        t_RD, p_RD, g_RD = (self._by_group(layer(x_BCTHW)) for layer in (self.t, self.p, self.g))
        scalar_R11 = torch.bmm(p_RD[:, None], g_RD[:, :, None])
        y_R1D = torch.bmm(scalar_R11, t_RD[:, None])
        return x_BCTHW + self.gn(self.z(y_R1D.view(len(x_BCTHW), -1, *x_BCTHW.shape[2:])))

    def _by_group(self, x_BCTHW: Tensor) -> Tensor:
        """A row for every (clip, group), its channels and positions side by side."""
        return x_BCTHW.reshape(len(x_BCTHW) * self.groups, -1)


def nonlocal_trunk(
    depth: int,
    width: int,
    stem_kernel: int,
    *,
    c2d: bool = False,
    time_strides: tuple[int, ...] = (2, 2, 2),
    strides: tuple[int, ...] = (1, 2, 2, 2),
    pool_padding: bool = True,
    frozen_bn: bool = False,
) -> ResNet3d:
    """The trunk: stem 5×7×7, kernels along time in all blocks of res2, the odd ones of res3 and res4, res5's second.

    c2d           none of them: the paper's other baseline, which is how the text of the CGNL paper reads
    time_strides  of the stem, of the max pool after it and of the one after res2; fewer for short clips
    pool_padding  of the max pool after the stem: the Caffe2 release has none, ports have it
    """
    counts = dict(zip(("res3", "res4"), DEPTHS[depth][1:3], strict=True))
    odd = {stage: [1 if number % 2 else 3 for number in range(count)] for stage, count in counts.items()}
    temporal: Kernels = {"res2": 3, **odd, "res5": [1, 3, 1]}
    return ResNet3d(
        depth,
        width,
        stem_kernel,
        {} if c2d else temporal,
        stem_time=1 if c2d else 5,
        time_strides=time_strides,
        strides=strides,
        pool_padding=pool_padding,
        zero_init=True,
        frozen=frozen_bn,
    )


def put_five(backbone: ResNet3d, make: Callable[[int], nn.Module]) -> None:
    """Stand `make(channels)` after blocks 2 and 4 of res3 and 2, 4, 6 (of 23: 7, 14, 21) of res4."""
    res4 = (7, 14, 21) if len(backbone.stage("res4")) == 23 else (2, 4, 6)
    places = backbone.places()
    for stage, numbers in (("res3", (2, 4)), ("res4", res4)):
        for number in numbers:
            place = places[PlaceName(stage, number, "after")]
            place.put_inside(make(place.channels))


def _with_head(backbone: ResNet3d, num_classes: int, dropout: float) -> tuple[Backbone, Head]:
    check_dropout(dropout)
    return backbone, AverageHead(backbone.channels, num_classes, dropout)


def _i3d(
    depth: int,
    make: Callable[[int], nn.Module] | None,
    num_classes: int,
    width: int,
    stem_kernel: int,
    c2d: bool,
    time_strides: tuple[int, ...],
    pool_padding: bool,
    dropout: float,
) -> tuple[Backbone, Head]:
    backbone = nonlocal_trunk(
        depth, width, stem_kernel, c2d=c2d, time_strides=time_strides, pool_padding=pool_padding
    )
    if make is not None:
        put_five(backbone, make)
    return _with_head(backbone, num_classes, dropout)


@register_model(PYSLOWFAST_INPUT)
def i3d_nl_r50(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    c2d: bool = False,
    time_strides: tuple[int, ...] = (2, 2, 2),
    pool_padding: bool = True,
    frozen_bn: bool = False,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """5 non-local blocks; 32 frames at step 2, or 128 at step 1 with `frozen_bn` (no BatchNorm in the blocks then).

    time_strides: of the stem, of the max pool after it and of the one after res2; fewer for short clips.
    """
    backbone = nonlocal_trunk(
        50,
        width,
        stem_kernel,
        c2d=c2d,
        time_strides=time_strides,
        pool_padding=pool_padding,
        frozen_bn=frozen_bn,
    )
    put_five(backbone, lambda channels: NonLocal(channels, norm=not frozen_bn))
    return _with_head(backbone, num_classes, dropout)


@register_model(PYSLOWFAST_INPUT)
def i3d_nln_r50_8x8(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    time_strides: tuple[int, ...] = (1, 1, 2),
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """PySlowFast's I3D_NLN_8x8_R50: weights of the same shapes, 8 frames at step 8, pooled in time after res2 alone."""
    return _i3d(50, NonLocal, num_classes, width, stem_kernel, False, time_strides, True, dropout)


@register_model(PYSLOWFAST_INPUT)
def i3d_nl_r101(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    c2d: bool = False,
    time_strides: tuple[int, ...] = (2, 2, 2),
    pool_padding: bool = True,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """101 layers with 5 non-local blocks."""
    return _i3d(101, NonLocal, num_classes, width, stem_kernel, c2d, time_strides, pool_padding, dropout)


@register_model(PYSLOWFAST_INPUT)
def i3d_cgnl_r50(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    c2d: bool = False,
    time_strides: tuple[int, ...] = (2, 2, 2),
    pool_padding: bool = True,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """5 compact generalised non-local blocks of 8 groups where `i3d_nl_r50` has its non-local ones."""
    return _i3d(50, CGNL, num_classes, width, stem_kernel, c2d, time_strides, pool_padding, dropout)


@register_model(PYSLOWFAST_INPUT)
def i3d_cgnl_r101(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    c2d: bool = False,
    time_strides: tuple[int, ...] = (2, 2, 2),
    pool_padding: bool = True,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """101 layers with 5 compact generalised non-local blocks."""
    return _i3d(101, CGNL, num_classes, width, stem_kernel, c2d, time_strides, pool_padding, dropout)


@register_model(PYSLOWFAST_INPUT)
def i3d_pooled_r50(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    c2d: bool = False,
    time_strides: tuple[int, ...] = (2, 2, 2),
    pool_padding: bool = True,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """The trunk without such blocks: I3D at 32 frames, as the non-local and the CGNL paper compare with."""
    return _i3d(50, None, num_classes, width, stem_kernel, c2d, time_strides, pool_padding, dropout)


@register_model(PYSLOWFAST_INPUT)
def i3d_pooled_r101(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    c2d: bool = False,
    time_strides: tuple[int, ...] = (2, 2, 2),
    pool_padding: bool = True,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """The trunk with 101 layers, without such blocks."""
    return _i3d(101, None, num_classes, width, stem_kernel, c2d, time_strides, pool_padding, dropout)

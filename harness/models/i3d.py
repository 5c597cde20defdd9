"""I3D of the DSANet paper: ResNet-18/50 whose later stages have kernels along time (the slow pathway's network).

Carreira and Zisserman, CVPR 2017 (inflation); Feichtenhofer et al., ICCV 2019 (where the temporal kernels stand);
cross-checked with the DSANet release's `ResNet_I3D` (golden i3d_r18, i3d_r50).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from harness.models.layers import AverageHead, check_dropout
from harness.models.network import Backbone, Head, InputSpec, check_stages
from harness.models.registry import register_model
from harness.models.resnet import STAGES, ResNet3d, trunk_name
from harness.models.weights import register_release


def _i3d(
    depth: int, num_classes: int, width: int, stem_kernel: int, inflate: Iterable[str], dropout: float
) -> tuple[Backbone, Head]:
    check_stages(sorted(inflate), STAGES, "inflate")
    check_dropout(dropout)
    backbone = ResNet3d(depth, width, stem_kernel, dict.fromkeys(inflate, 3))
    return backbone, AverageHead(backbone.channels, num_classes, dropout)


@register_model(InputSpec())
def i3d_r18(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    inflate: frozenset[str] = frozenset({"res4", "res5"}),
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """Basic blocks; in the inflated stages both convolutions are 3×3×3."""
    return _i3d(18, num_classes, width, stem_kernel, inflate, dropout)


@register_model(InputSpec())
def i3d_r50(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    inflate: frozenset[str] = frozenset({"res4", "res5"}),
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """Bottlenecks; in the inflated stages the first 1×1×1 convolution is 3×1×1."""
    return _i3d(50, num_classes, width, stem_kernel, inflate, dropout)


@register_release("dsanet", telling=("cls_head.fc_cls.weight", "layer1.0.conv1.weight"))
def from_dsanet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """whwu95/DSANet: a block with a module is wrapped, `.block.` holds the block and `.dsa.` the module.

    Which place of the block the module has is not in the names; `load_release` asks the model.
    """
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("cls_head.fc_cls."):
            renamed[name.replace("cls_head.fc_cls.", "head.fc.")] = tensor
        else:
            own = trunk_name(name.removeprefix("backbone.").replace(".block.", "."))
            renamed[own.replace(".dsa.", ".at.*.across.module.")] = tensor
    return renamed

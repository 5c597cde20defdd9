"""TSN on a ResNet: a 2D network on each frame, scores averaged over frames and snippets.

Wang et al., "Temporal Segment Networks", ECCV 2016; golden tsn_r50 (torchvision's names).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from harness.models.layers import AverageHead, check_dropout
from harness.models.network import Backbone, Head, InputSpec
from harness.models.registry import register_model
from harness.models.resnet import ResNet3d, torchvision_names
from harness.models.weights import register_release


def frame_resnet(
    depth: int, num_classes: int, width: int, stem_kernel: int, dropout: float
) -> tuple[ResNet3d, Head]:
    """The 2D ResNet in every frame, kernels 1×k×k, that TSN and its successors start from."""
    check_dropout(dropout)
    backbone = ResNet3d(depth, width, stem_kernel)
    return backbone, AverageHead(backbone.channels, num_classes, dropout)


@register_model(InputSpec())
def tsn_r18(
    num_classes: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.5
) -> tuple[Backbone, Head]:
    """Basic blocks, no kernel along time."""
    return frame_resnet(18, num_classes, width, stem_kernel, dropout)


@register_model(InputSpec())
def tsn_r50(
    num_classes: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.5
) -> tuple[Backbone, Head]:
    """Bottlenecks, no kernel along time."""
    return frame_resnet(50, num_classes, width, stem_kernel, dropout)


@register_release("torchvision", telling="layer1.0.conv1.weight", plain=True)
def from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's ResNets, frame by frame; the TSN family's files wrap them (`base_model.`, `new_fc.`)."""
    plain = {name.removeprefix("base_model.").replace("new_fc.", "fc."): t for name, t in state.items()}
    return torchvision_names(plain)

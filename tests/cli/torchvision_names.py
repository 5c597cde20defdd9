"""A network of ours as a release of torchvision would hold it."""

from __future__ import annotations

from torch import Tensor

from harness.models import VideoModel


def as_torchvision(model: VideoModel) -> dict[str, Tensor]:
    """A frame-wise ResNet's weights under torchvision's names."""
    renamed = {}
    for name, tensor in model.state_dict().items():
        own = name.removeprefix("backbone.").replace("stem.", "conv1.").replace("stem_bn.", "bn1.")
        for stage in range(2, 6):
            own = own.replace(f"res{stage}.", f"layer{stage - 1}.")
        renamed[own.replace("shortcut.", "downsample.").replace("head.fc.", "fc.")] = tensor
    return renamed

"""Checkpoints of PySlowFast, pytorchvideo and mmaction2: each code base has one naming for several families.

facebookresearch/SlowFast and facebookresearch/pytorchvideo hold SlowOnly, SlowFast, X3D and the non-local I3D;
open-mmlab/mmaction2 its SlowOnly. The networks are in slowfast.py, x3d.py and i3d_nl.py. Names as docs/real_data.md
lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from harness.models.network import InputSpec
from harness.models.weights import register_release

# 0.45 and 0.225 on 0–1 RGB, whatever the channel; weights of these releases expect it.
MEAN, STD = (114.75, 114.75, 114.75), (57.375, 57.375, 57.375)
PYSLOWFAST_INPUT = InputSpec(mean=MEAN, std=STD)

_RULES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"\.branch1\.", ".shortcut.0."),
        (r"\.branch1_bn\.", ".shortcut.1."),
        (r"\.branch2\.a\.", ".conv1."),
        (r"\.branch2\.b\.", ".conv2."),
        (r"\.branch2\.c\.", ".conv3."),
        (r"\.branch2\.a_bn\.", ".bn1."),
        (r"\.branch2\.b_bn\.", ".bn2."),
        (r"\.branch2\.c_bn\.", ".bn3."),
        (r"\.branch2\.se\.", ".se."),
        (r"^head\.projection\.", "head.fc."),
        (r"^head\.lin_5\.", "head.lin5."),
        (r"^head\.conv_5\.", "backbone.conv5."),
        (r"^head\.conv_5_bn\.", "backbone.conv5_bn."),
        (r"^s(\d)_fuse\.conv_f2s\.", r"backbone.fuse.\1.conv."),
        (r"^s(\d)_fuse\.bn\.", r"backbone.fuse.\1.bn."),
        (r"^s(\d)\.pathway(\d)_res(\d+)\.", r"backbone.path\2.res\1.\3."),
        (r"^s1\.pathway(\d)_stem\.conv_xy\.", r"backbone.path\1.stem_xy."),
        (r"^s1\.pathway(\d)_stem\.conv\.", r"backbone.path\1.stem."),
        (r"^s1\.pathway(\d)_stem\.bn\.", r"backbone.path\1.stem_bn."),
        (r"^s(\d)\.pathway(\d)_nonlocal(\d+)\.(?:conv_)?", r"backbone.path\2.res\1.\3.at.after.inside."),
    )
)


@register_release("pyslowfast", telling="pathway0_res0.branch2.a.weight")
def from_pyslowfast(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """s1..s5 = stem, res2..res5; pathway0 is the slow path, or the only one."""
    two_paths = any(".pathway1_" in name for name in state)
    paths = {"0": "slow.", "1": "fast."} if two_paths else {"0": ""}
    return {_own_name(name, paths): _flat(name, tensor) for name, tensor in state.items()}


def _own_name(name: str, paths: Mapping[str, str]) -> str:
    for pattern, ours in _RULES:
        name = pattern.sub(ours, name)
    return re.sub(r"\.path(\d)\.", lambda match: "." + paths.get(match[1], f"path{match[1]}."), name)


def _flat(name: str, tensor: Tensor) -> Tensor:
    """X3D's head has a 1×1×1 convolution where ours is a linear layer on the pooled maps."""
    return tensor.flatten(1) if name.startswith("head.lin_5.") else tensor


@register_release("pytorchvideo", telling="res_blocks.0.branch2.conv_a.weight")
def from_pytorchvideo(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The hub's names are PySlowFast's in another order: written as those, then renamed as those.

    X3D's stem has its names crossed: `conv_t` is the spatial convolution (pytorchvideo's x3d.py says so).
    """
    return from_pyslowfast({_pyslowfast_name(name): tensor for name, tensor in state.items()})


def _pyslowfast_name(name: str) -> str:
    match = re.match(r"^blocks\.(\d)\.(.*)$", name)
    if not match:
        return name
    block, rest = int(match[1]), match[2]
    path = re.match(r"^multipathway_blocks\.(\d)\.(.*)$", rest)
    number, rest = (path[1], path[2]) if path else ("0", rest)
    stage = f"s{block + 1}"
    if rest.startswith("multipathway_fusion."):
        fused = {"conv_fast_to_slow": "conv_f2s", "norm": "bn"}
        _, part, leaf = rest.split(".")
        return f"{stage}_fuse.{fused.get(part, part)}.{leaf}"
    if rest.startswith("res_blocks."):
        _, index, rest = rest.split(".", 2)
        return f"{stage}.pathway{number}_res{index}.{_branch_name(rest)}"
    for theirs, ours in (
        ("proj.", "head.projection."),
        ("pool.pre_conv.", "head.conv_5."),
        ("pool.pre_norm.", "head.conv_5_bn."),
        ("pool.post_conv.", "head.lin_5."),
        ("conv.conv_t.", f"{stage}.pathway0_stem.conv_xy."),
        ("conv.conv_xy.", f"{stage}.pathway0_stem.conv."),
        ("conv.", f"{stage}.pathway{number}_stem.conv."),
        ("norm.", f"{stage}.pathway{number}_stem.bn."),
    ):
        if rest.startswith(theirs):
            return ours + rest.removeprefix(theirs)
    return name


def _branch_name(name: str) -> str:
    """branch1_conv, branch2.conv_a, branch2.norm_b.0 (X3D: BatchNorm, then squeeze-excitation) and the like."""
    name = name.replace("branch1_conv.", "branch1.").replace("branch1_norm.", "branch1_bn.")
    name = name.replace("norm_b.1.block.0.", "se.fc1.").replace("norm_b.1.block.2.", "se.fc2.")
    name = name.replace("norm_b.0.", "norm_b.")
    name = re.sub(r"^branch2\.conv_([abc])\.", r"branch2.\1.", name)
    return re.sub(r"^branch2\.norm_([abc])\.", r"branch2.\1_bn.", name)


@register_release("mmaction2", telling="layer1.0.conv1.bn.weight")
def from_mmaction2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """TSN, TSM (its shift wraps a convolution: `conv.net`) and SlowOnly.

    SlowOnly's weights expect ImageNet's mean and standard deviation: load them into `i3d_r50`, the same network.

    mmaction2's SlowFast has no BatchNorm in its lateral connections: another network, refused for its missing names.
    """
    renamed = {}
    for name, tensor in state.items():
        own = name.replace("cls_head.fc_cls.", "head.fc.").replace(".conv.net.", ".conv.")
        own = own.replace(".downsample.conv.", ".shortcut.0.")
        own = own.replace(".downsample.bn.", ".shortcut.1.").replace("backbone.conv1.conv.", "backbone.stem.")
        own = own.replace("backbone.conv1.bn.", "backbone.stem_bn.")
        own = re.sub(r"\.layer(\d)\.", lambda match: f".res{int(match[1]) + 1}.", own)
        own = re.sub(r"\.conv(\d)\.conv\.", r".conv\1.", own)
        renamed[re.sub(r"\.conv(\d)\.bn\.", r".bn\1.", own)] = tensor
    return renamed

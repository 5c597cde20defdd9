"""Importers of published checkpoints: names mapped one to one, nothing missing, nothing left over.

Releases: whwu95/DSANet, MalongTech (msight-tech)/research-v4d, mit-han-lab/temporal-shift-module, and
torchvision's 2D ResNets, which are inflated: every temporal slice is the 2D weight divided by the kernel's
length (docs/systems.md).
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from harness.base.errors import UserError, near_match
from harness.models.video_model import VideoModel

StateDict = Mapping[str, Tensor]
_COUNTER = "num_batches_tracked"  # old checkpoints lack it, and no output depends on it


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, without wrappers ("state_dict", "module."). UserError if it can't be read."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such checkpoint file") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{path}: not a readable checkpoint ({reason})") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict (a dictionary of tensors, or one under 'state_dict')")
    return {name.removeprefix("module."): value for name, value in state.items()}


def load_release(model: VideoModel, state: StateDict, source: str) -> None:
    """Load a release's full state dict (head and modules included) into `model`.

    source: "dsanet", "v4d", "tsm" or "torchvision" (frame-wise, tsn_*). Raises UserError for an unknown
    source, a name missing or left over, or a shape that differs.
    """
    if source not in _RENAMERS:
        known = ", ".join(_RENAMERS)
        raise UserError(
            f"unknown weights source {source!r}{near_match(source, _RENAMERS)}; known are {known}"
        )
    renamed = _RENAMERS[source](state)
    _load(model, {name: _to_3d(tensor, 1) for name, tensor in renamed.items()}, source)


def inflate_2d(state_dict_2d: StateDict, model: VideoModel) -> None:
    """Start `model`'s backbone from a torchvision 2D ResNet; head and modules keep their fresh weights.

    Each temporal slice of a kernel is the 2D weight / kernel length, so a still clip gives the 2D network's
    features. Raises UserError for a name missing or left over, or a shape that differs.
    """
    own = model.state_dict()
    trunk = {name: t for name, t in _from_torchvision(state_dict_2d).items() if not name.startswith("head.")}
    inflated = {
        name: _to_3d(tensor, own[name].shape[2] if name in own and own[name].ndim == 5 else 1)
        for name, tensor in trunk.items()
    }
    fresh = {name: t for name, t in own.items() if name.startswith("head.") or ".across." in name}
    _load(model, {**inflated, **fresh}, "torchvision")


def _to_3d(tensor: Tensor, kt: int) -> Tensor:
    if tensor.ndim != 4:
        return tensor
    return tensor[:, :, None].expand(-1, -1, kt, -1, -1) / kt


def _load(model: VideoModel, state: StateDict, source: str) -> None:
    own = model.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(_COUNTER)]
    left_over = [name for name in state if name not in own]
    differing = [
        f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    for what, names in (("missing", missing), ("left over", left_over), ("of another shape", differing)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UserError(
                f"{source} checkpoint doesn't fit this model: {what}: {', '.join(names[:3])}{more}"
            )
    counters = {name: tensor for name, tensor in own.items() if name not in state}
    model.load_state_dict({**state, **counters})


def _trunk_name(name: str) -> str:
    """torchvision's trunk names to ours: conv1/bn1 = stem, layer1..4 = res2..res5, downsample = shortcut."""
    name = re.sub(r"^conv1\.", "stem.", name)
    name = re.sub(r"^bn1\.", "stem_bn.", name)
    name = re.sub(r"^layer(\d)\.", lambda match: f"res{int(match[1]) + 1}.", name)
    return "backbone." + name.replace(".downsample.", ".shortcut.")


def _from_torchvision(state: StateDict) -> dict[str, Tensor]:
    return {
        name.replace("fc.", "head.") if name.startswith("fc.") else _trunk_name(name): tensor
        for name, tensor in state.items()
    }


def _from_tsm(state: StateDict) -> dict[str, Tensor]:
    """The shift wraps conv1 (conv1.net); the repo's own training wraps the ResNet (base_model, new_fc)."""
    plain = {
        name.removeprefix("base_model.").replace("new_fc.", "fc.").replace(".conv1.net.", ".conv1."): tensor
        for name, tensor in state.items()
    }
    return _from_torchvision(plain)


def _from_dsanet(state: StateDict) -> dict[str, Tensor]:
    """A block with a module is wrapped: `.block.` holds the block, `.dsa.` the module."""
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("cls_head.fc_cls."):
            renamed[name.replace("cls_head.fc_cls.", "head.")] = tensor
        else:
            own = _trunk_name(name.removeprefix("backbone.").replace(".block.", "."))
            renamed[own.replace(".dsa.", ".across.module.")] = tensor
    return renamed


def _from_v4d(state: StateDict) -> dict[str, Tensor]:
    """The 4D blocks are layers of their own between the residual blocks, which shifts the blocks' numbers."""
    prefix = re.compile(r"^(b|base_model)\.")
    plain = {prefix.sub("", name).replace("new_fc.", "fc."): tensor for name, tensor in state.items()}
    extra = [re.sub(r"\.tsa\..*$", "", name) for name in plain if ".tsa." in name]
    return _from_torchvision({_v4d_block(name, extra): tensor for name, tensor in plain.items()})


def _v4d_block(name: str, extra: list[str]) -> str:
    match = re.match(r"^(layer\d)\.(\d+)\.(.*)$", name)
    if not match:
        return name
    layer, index, rest = match[1], int(match[2]), match[3]
    before = sum(f"{layer}.{earlier}" in extra for earlier in range(index))
    if rest.startswith("tsa."):  # belongs to the residual block just before it
        return f"{layer}.{index - before - 1}.across.module.{rest.replace('tsa.', 'conv.')}"
    return f"{layer}.{index - before}.{rest}"


_RENAMERS: dict[str, Callable[[StateDict], dict[str, Tensor]]] = {
    "dsanet": _from_dsanet,
    "v4d": _from_v4d,
    "tsm": _from_tsm,
    "torchvision": _from_torchvision,
}

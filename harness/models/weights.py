"""Published checkpoints: recognised, names mapped one to one, nothing missing, nothing left over.

Each family's file registers the importer of its release beside its network:

    @register_release("tsm", telling="layer1.0.conv1.net.weight")
    def from_tsm(state): return {our name: tensor, ...}
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from harness.base.errors import UserError, near_match
from harness.models.network import VideoModel

StateDict = Mapping[str, Tensor]
Renamer = Callable[[StateDict], dict[str, Tensor]]
_COUNTER = "num_batches_tracked"  # old checkpoints lack it, and no output depends on it
_LEFT_OVER = "left over"
_WRAPPERS = ("state_dict", "model_state", "model")
_PLACE = re.compile(
    r"\.at\.[^.]+\."
)  # a release's names do not say at which place of a block a module stands


@dataclass(frozen=True)
class Release:
    """One public code base's names.

    telling  parts that together only its checkpoints' names have
    plain    others build on these names and have them as well (torchvision's ResNet, BN-Inception), so that this
             release is meant only where no other one fits
    """

    name: str
    telling: tuple[str, ...]
    rename: Renamer
    plain: bool


_RELEASES: dict[str, Release] = {}


def register_release(
    name: str, *, telling: str | tuple[str, ...], plain: bool = False
) -> Callable[[Renamer], Renamer]:
    """Function decorator: an importer, from the release's state dict to our names; see `Release`."""
    parts = (telling,) if isinstance(telling, str) else telling

    def register(rename: Renamer) -> Renamer:
        _RELEASES[name] = Release(name, parts, rename, plain)
        return rename

    return register


def list_releases() -> list[str]:
    """Names for `load_release(source=…)`, sorted."""
    return sorted(_RELEASES)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, without wrappers ("state_dict", "module."). UserError if it can't be read.

    Read with weights_only: a checkpoint from elsewhere cannot run code.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such checkpoint file") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{path}: not a readable checkpoint ({reason})") from error
    state = content
    for wrapper in _WRAPPERS:
        state = state.get(wrapper, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict (a dictionary of tensors, or one under 'state_dict')")
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: value for name, value in state.items()}


def recognise(state: StateDict) -> str:
    """The release whose names these are. Raises UserError where none or several fit."""
    fitting = [
        release
        for release in _RELEASES.values()
        if all(any(part in name for name in state) for part in release.telling)
    ]
    found = [r.name for r in fitting if not r.plain] or [r.name for r in fitting]
    if len(found) != 1:
        which = f"it could be {', '.join(sorted(found))}" if found else "no known release has such names"
        raise UserError(f"not recognised: {which}; name one of {', '.join(list_releases())}")
    return found[0]


def load_release(model: VideoModel, state: StateDict, source: str) -> None:
    """Load a release's full state dict (head and modules included) into `model`.

    source: one of `list_releases()`. Raises UserError for an unknown source, a name missing or left over, or a shape
    that differs.
    """
    _load(model, _in_our_words(model.state_dict(), _release(source).rename(state)), source)


def _release(source: str) -> Release:
    """A release by its name. Raises UserError with the near match where there is none."""
    if source not in _RELEASES:
        known = ", ".join(list_releases())
        raise UserError(
            f"unknown weights source {source!r}{near_match(source, _RELEASES)}; known are {known}"
        )
    return _RELEASES[source]


def _in_our_words(own: StateDict, renamed: StateDict) -> dict[str, Tensor]:
    """A release's renamed tensors at the places and in the shapes that a network has."""
    by_block = {_PLACE.sub(".at.*.", name): name for name in own}
    placed = {by_block.get(name, name): tensor for name, tensor in renamed.items()}
    return {name: _as_shaped(tensor, own.get(name), 1) for name, tensor in placed.items()}


@dataclass(frozen=True)
class Fit:
    """A network that takes a checkpoint whole. T: the frames a snippet that its shapes hold; else what was asked."""

    model: str
    aggregation: str
    T: int
    classes: int


def find_networks(state: StateDict, source: str, *, T: int = 8) -> list[Fit]:
    """The networks at their default placement that take every tensor of a release's checkpoint, with none missing.

    Names and shapes cannot tell apart networks that differ in what has no weights (TSN and TSM): those called like the
    release come first. Raises UserError, with the network that comes nearest and what it lacks, where none fits.
    """
    from harness.models.create import create_model
    from harness.models.registry import AVERAGE, list_aggregations, list_models

    renamed = _release(source).rename(state)
    heads = [t for name, t in renamed.items() if name.startswith("head.") and t.ndim >= 2]
    classes = int(heads[-1].shape[0]) if heads else 1
    found: list[Fit] = []
    trunks, nearest = list_models(), None
    for aggregations in ((AVERAGE,), [name for name in list_aggregations() if name != AVERAGE]):
        tried = [(name, aggregation) for aggregation in aggregations for name in trunks]
        trunks = []  # a module only adds tensors: where the plain network lacks one, no module helps
        for name, aggregation in tried:
            try:
                with torch.device("meta"):
                    own = create_model(name, classes, aggregation=aggregation, T=T).state_dict()
            except UserError:  # this module has no place there
                continue
            wrong = _differences(own, _in_our_words(own, renamed))
            if not wrong:
                found.append(Fit(name, aggregation, T, classes))
                continue
            if {what for what, _ in wrong} == {_LEFT_OVER}:
                trunks.append(name)
            count = sum(len(names) for _, names in wrong)
            if nearest is None or count < nearest[0]:
                called = name if aggregation == AVERAGE else f"{name} with {aggregation}"
                nearest = count, called, _worded(wrong)
        if found:
            return sorted(found, key=lambda fit: not fit.model.startswith(source))
    assert nearest is not None, "there are models"
    raise UserError(f"a {source} checkpoint that fits no network here; nearest is {nearest[1]}: {nearest[2]}")


def load_trunk(model: VideoModel, state: StateDict, source: str | None = None) -> None:
    """Start `model`'s backbone from a release's state dict; its head, and modules that it has not, stay fresh.

    source: one of `list_releases()`; None: recognised by the names. A 2D ResNet (torchvision) is inflated. Raises
    UserError for a name of the backbone that is missing or left over, or a shape that differs.
    """
    source = source or recognise(state)
    if source == "torchvision":
        inflate_2d(state, model)
        return
    own = model.state_dict()
    renamed = _in_our_words(own, _release(source).rename(state))
    trunk = {name: t for name, t in renamed.items() if name.startswith("backbone.")}
    fresh = {n: t for n, t in own.items() if n not in trunk and (n.startswith("head.") or ".at." in n)}
    _load(model, {**fresh, **trunk}, source)


def inflate_2d(state_dict_2d: StateDict, model: VideoModel) -> None:
    """Start `model`'s backbone from a torchvision 2D ResNet; head and modules keep their fresh weights.

    Each temporal slice of a kernel is the 2D weight / kernel length, so a still clip gives the 2D network's
    features. Raises UserError for a name missing or left over, or a shape that differs.
    """
    own = model.state_dict()
    trunk = {
        name: tensor
        for name, tensor in _RELEASES["torchvision"].rename(state_dict_2d).items()
        if not name.startswith("head.")
    }
    inflated = {
        name: _as_shaped(t, own.get(name), own[name].shape[2] if name in own and own[name].ndim == 5 else 1)
        for name, t in trunk.items()
    }
    fresh = {name: t for name, t in own.items() if name.startswith("head.") or ".at." in name}
    _load(model, {**inflated, **fresh}, "torchvision")


def _as_shaped(tensor: Tensor, own: Tensor | None, kt: int) -> Tensor:
    """A 2D kernel where ours has a time axis: each of the `kt` slices is the 2D weight / kt."""
    if own is None or tensor.ndim != 4 or own.ndim != 5:
        return tensor
    return tensor[:, :, None].expand(-1, -1, kt, -1, -1) / kt


def _load(model: VideoModel, state: StateDict, source: str) -> None:
    own = model.state_dict()
    if wrong := _differences(own, state):
        raise UserError(f"{source} checkpoint doesn't fit this model: {_worded(wrong)}")
    counters = {name: tensor for name, tensor in own.items() if name not in state}
    model.load_state_dict({**state, **counters})


def _differences(own: StateDict, state: StateDict) -> list[tuple[str, list[str]]]:
    """What is wrong, the names; empty where a checkpoint fits."""
    missing = [name for name in own if name not in state and not name.endswith(_COUNTER)]
    left_over = [name for name in state if name not in own]
    differing = [
        f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    kinds = (("missing", missing), (_LEFT_OVER, left_over), ("of another shape", differing))
    return [(what, names) for what, names in kinds if names]


def _worded(wrong: list[tuple[str, list[str]]]) -> str:
    what, names = wrong[0]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what}: {', '.join(names[:3])}{more}"

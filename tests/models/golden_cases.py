"""Golden numbers: weights and inputs computed from names, no random generator (the rule of the golden files).

u(name)[i] = frac(crc32(name)/2^32 + (i+1)·φ), i the flat C-order index, in float64; a tensor's values follow
from u by its leaf name and its number of dimensions.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN_RATIO = 0.6180339887498949


def unit(name: str, count: int) -> np.ndarray:
    """`count` numbers in [0, 1)."""
    start = zlib.crc32(name.encode()) / 2**32
    return (start + np.arange(1, count + 1) * GOLDEN_RATIO) % 1.0


def _as_tensor(values: np.ndarray, shape: Sequence[int]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).reshape(tuple(shape))


def weight(name: str, shape: Sequence[int]) -> Tensor:
    """The value of a state dict's tensor, by its full name in the release."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return torch.zeros((), dtype=torch.int64)
    u = unit(name, int(np.prod(shape)))
    centred = u - 0.5
    if len(shape) >= 2:
        return _as_tensor(centred * 2 * np.sqrt(3 / np.prod(shape[1:])), shape)
    positive = leaf in ("running_var", "weight")
    return _as_tensor(0.5 + u if positive else centred * 0.2, shape)


def activation(name: str, shape: Sequence[int]) -> Tensor:
    """An input or a probe."""
    return _as_tensor((unit(name, int(np.prod(shape))) - 0.5) * 2 * np.sqrt(3), shape)


def case(name: str) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """What was run (JSON) and what came out (npz)."""
    return json.loads((FOLDER / f"{name}.json").read_text()), np.load(FOLDER / f"{name}.npz")


def state_dict(description: Mapping[str, Any]) -> dict[str, Tensor]:
    """The release's whole state dict."""
    return {name: weight(name, shape) for name, shape in description["state_dict"].items()}


def relative_error(ours: Tensor, golden: np.ndarray) -> float:
    """‖ours − golden‖ / ‖golden‖."""
    expected = torch.from_numpy(golden).double()
    return float((ours.detach().double() - expected).norm() / expected.norm())

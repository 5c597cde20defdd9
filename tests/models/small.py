"""Registered models at a size that a test can pay for, and which of them can host a module."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from harness.models import VideoModel, create_model
from harness.models.registry import model_entry

U, T, SIDE, CLASSES = 2, 4, 32, 5
LARGEST = 1_500_000  # parameters of a model here: a family without a working `width` shows itself
SMALL: dict[str, Any] = {"width": 8, "stem_kernel": 5, "dropout": 0.0, "small_input": True}
# What a family needs beside SMALL to be whole at 4 frames of 32 px.
OWN: dict[str, dict[str, Any]] = {
    "slowfast": {"fast_share": 4},
    "x3d": {"stem_kernel": 3, "depths": (2, 2, 4, 2)},
    # Pooled thrice along time, one position is left to attend to, and attention to one has no gradient.
    "i3d_nl": {"time_strides": (1, 1, 2)},
    "nl_gcn": {"grid": 2, "time_strides": (1, 1, 1)},  # the graph follows regions through four frames of maps
}


def small_options(name: str) -> dict[str, Any]:
    """SMALL, as far as the model has such options, and what its family needs."""
    known = model_entry(name).options()
    own = {k: v for family, options in OWN.items() if name.startswith(family) for k, v in options.items()}
    return {**{key: value for key, value in SMALL.items() if key in known}, **own}


def small_model(name: str, aggregation: str = "average", *, seed: int = 0, **given: Any) -> VideoModel:
    """Width 8, no dropout, 5 classes, 2 snippets of 4 frames; weights by the seed alone."""
    torch.manual_seed(seed)
    chosen = {"U": U, "T": T, **small_options(name), **given}
    return create_model(name, CLASSES, aggregation=aggregation, **chosen)


def clips(
    N: int = 2, U: int = U, T: int = T, height: int = SIDE, width: int = SIDE, *, seed: int = 1
) -> Tensor:
    """(N, U, 3, T, height, width) of noise."""
    return torch.randn(N, U, 3, T, height, width, generator=torch.Generator().manual_seed(seed))


@functools.cache
def is_host(name: str) -> bool:
    """Whether the model names places."""
    with torch.device("meta"):
        return bool(model_entry(name).build(2, U, T, model_entry(name).check({}))[0].places())


def relative(got: Tensor, expected: Tensor) -> float:
    """‖got − expected‖ / ‖expected‖."""
    difference = (got.double() - expected.double()).norm() / expected.double().norm()
    return float(difference.detach())

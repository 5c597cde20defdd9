"""Operators of our own and what they cost: the file that defines one registers its multiply-adds here.

Both counters of `harness.models.cost` read this list, so that the counting knows no family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

Macs = Callable[[Sequence[int]], int]
_MACS: dict[str, Macs] = {}


def register_operator(name: str, macs: Macs) -> None:
    """`name` is `namespace::operator`; `macs` takes the shape of the operator's first input."""
    _MACS[name] = macs
    namespace, operator = name.split("::")

    def flops(x_shape: Sequence[int], *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
        return 2 * macs(x_shape)

    register_flop_formula(getattr(getattr(torch.ops, namespace), operator))(flops)


def operator_macs() -> dict[str, Macs]:
    """Name -> multiply-adds by the shape of the first input."""
    return dict(_MACS)

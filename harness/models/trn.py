"""MultiScale TRN: what frames in order say together, for every number of frames from T down to 2.

Zhou et al., "Temporal Relational Reasoning in Videos", ECCV 2018, section 3; on BN-Inception as in
metalbubble/TRN-pytorch (golden trn_multiscale_head). It names no places, like its backbone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from harness.models.bninception import CAFFE, BNInception, bninception_name, scaled
from harness.models.layers import check_dropout, check_sizes
from harness.models.network import Backbone, Head
from harness.models.registry import register_model
from harness.models.weights import register_release

TUPLES = 3  # of each scale but the largest, which has one


class MultiScaleRelation(nn.Module):
    """The sum over scales n of g_n(ordered n-tuples of frames), g_n: ReLU, n·F to hidden, ReLU, to classes.

    The names are the release's. A single frame is its own and only tuple.
    """

    def __init__(self, features: int, T: int, num_classes: int, hidden: int) -> None:
        super().__init__()
        self.T = T
        self.scales = list(range(T, min(T, 2) - 1, -1))
        self.fc_fusion_scales = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(), nn.Linear(n * features, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)
            )
            for n in self.scales
        )

    def forward(self, x_BTF: Tensor, tuples: Sequence[Sequence[Sequence[int]]] | None = None) -> Tensor:
        """(B, T, F) to (B, num_classes). `tuples`: of each scale; None draws them (`choose`).

        ValueError for another number of frames than built for.
        """
        if x_BTF.shape[1] != self.T:
            raise ValueError(f"this head was built for T={self.T} frames and got {x_BTF.shape[1]}")
        chosen = self.choose() if tuples is None else tuples
        answers = [
            g(x_BTF[:, list(frames)].flatten(1))
            for g, of_scale in zip(self.fc_fusion_scales, chosen, strict=True)
            for frames in of_scale
        ]
        return torch.stack(answers).sum(0)

    def choose(self) -> list[list[Sequence[int]]]:
        """Tuples of every scale: all where there are at most 3, else 3, at random in training.

        In testing they are fixed and spread over the clip, so that a score can be had again (the release draws there
        too).
        """
        return [self._of_scale(n) for n in self.scales]

    def _of_scale(self, n: int) -> list[Sequence[int]]:
        if math.comb(self.T, n) <= TUPLES:
            return list(combinations(range(self.T), n))
        if self.training:
            return [sorted(torch.randperm(self.T)[:n].tolist()) for _ in range(TUPLES)]
        offsets = [(number + 1) / (TUPLES + 1) for number in range(TUPLES)]
        return [[int((i + offset) * self.T / n) for i in range(n)] for offset in offsets]


class TRNHead(Head):
    """Mean over H, W, dropout, a linear layer to 256 (normal 0.001) for every frame, relations along the clip."""

    def __init__(self, channels: int, num_classes: int, T: int, features: int, dropout: float) -> None:
        super().__init__()
        check_dropout(dropout)
        self.dropout, self.fc = nn.Dropout(dropout), nn.Linear(channels, features)
        nn.init.normal_(self.fc.weight, std=0.001)
        nn.init.zeros_(self.fc.bias)
        self.relation = MultiScaleRelation(features, T, num_classes, features)

    def forward(self, maps: Any, U: int, boxes: Tensor | None = None) -> Tensor:
        """(N·U, C, T, H, W) to (N, U, num_classes)."""
        x_BTF = self.fc(self.dropout(maps.mean((3, 4)).transpose(1, 2)))
        return self.relation(x_BTF).unflatten(0, (-1, U))


@register_model(CAFFE)
def trn_multiscale(
    num_classes: int, T: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.8
) -> tuple[Backbone, Head]:
    """BN-Inception in every frame, 256 features (in proportion to width) and relations of T down to 2 frames."""
    check_sizes(T=T)
    backbone = BNInception(width, stem_kernel)
    return backbone, TRNHead(backbone.channels, num_classes, T, scaled(256, width), dropout)


@register_release("trn", telling="fc_fusion_scales.")
def from_trn(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """metalbubble/TRN-pytorch: `base_model.` (BN-Inception), `new_fc.`, `consensus.fc_fusion_scales.`."""
    renamed = {}
    for name, tensor in state.items():
        own = name.removeprefix("base_model.").removeprefix("consensus.")
        if own.startswith("new_fc."):
            own = own.replace("new_fc.", "head.fc.")
        elif own.startswith("fc_fusion_scales."):
            own = f"head.relation.{own}"
        renamed[bninception_name(own)] = tensor
    return renamed

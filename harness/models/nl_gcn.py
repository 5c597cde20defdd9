"""Non-local I3D with graphs over regions: how regions of a video resemble each other, and how they follow in time.

Wang and Gupta: "Videos as Space-Time Region Graphs", ECCV 2018, sections 3 to 5. No official code; the trunk is the one
that was published with the first author's Kinetics weights (joaanna/something_else), the head follows jd730/STRG
(docs/systems.md). The proposal network is not part of it: boxes are an input, and without boxes the regions are a
fixed grid (`RegionGraphHead.note`), which is not what the paper compares with.

Boxes: (N, U, T, R, 4), R regions in each of a snippet's T frames, as (x0, y0, x1, y1) relative to the frame, 0 to 1.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.models.i3d_nl import NonLocal, nonlocal_trunk, put_five
from harness.models.layers import AverageHead, check_dropout, check_sizes
from harness.models.network import Backbone, Head
from harness.models.pyslowfast import PYSLOWFAST_INPUT
from harness.models.registry import register_model

BINS = 7  # of RoIAlign, each way
LAYERS = 3  # of each graph


def fixed_grid(grid: int) -> Tensor:
    """(grid² + 1, 4): the cells of a grid over the frame, and the frame as a whole."""
    edges = torch.arange(grid + 1) / grid
    y0, x0 = (corner.flatten() for corner in torch.meshgrid(edges[:-1], edges[:-1], indexing="ij"))
    cells = torch.stack([x0, y0, x0 + 1 / grid, y0 + 1 / grid], dim=-1)
    return torch.cat([cells, torch.tensor([[0.0, 0.0, 1.0, 1.0]])])


def roi_align(maps_BCHW: Tensor, boxes_BR4: Tensor) -> Tensor:
    """(B, C, R, 7, 7): each box's 7×7 bins, sampled bilinearly at their centres. Boxes relative to the frame."""
    centres = (torch.arange(BINS, device=boxes_BR4.device, dtype=boxes_BR4.dtype) + 0.5) / BINS
    low, size = boxes_BR4[..., :2], boxes_BR4[..., 2:] - boxes_BR4[..., :2]
    x_BR7, y_BR7 = (low[..., i, None] + size[..., i, None] * centres for i in (0, 1))
    shape = (*x_BR7.shape, BINS)
    points = torch.stack([x_BR7[:, :, None, :].expand(shape), y_BR7[:, :, :, None].expand(shape)], dim=-1)
    grid = (2 * points - 1).flatten(2, 3).to(maps_BCHW.dtype)  # −1 and 1 are the frame's outer edges
    sampled = F.grid_sample(maps_BCHW, grid, padding_mode="border", align_corners=False)
    return sampled.unflatten(3, (BINS, BINS))


def overlap(boxes_BR4: Tensor, others_BS4: Tensor) -> Tensor:
    """(B, R, S): intersection over union."""
    a, b = boxes_BR4[:, :, None], others_BS4[:, None]
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    shared = sides.prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (a, b)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-6)


def following(boxes_BTR4: Tensor) -> Tensor:
    """(B, T·R, T·R): each region to those of the next frame by their overlap; 0 elsewhere."""
    B, T, R, _ = boxes_BTR4.shape
    graph = boxes_BTR4.new_zeros(B, T, R, T, R)
    for t in range(T - 1):
        graph[:, t, :, t + 1] = overlap(boxes_BTR4[:, t], boxes_BTR4[:, t + 1])
    return graph.flatten(3).flatten(1, 2)


def _rows_of_one(graph: Tensor) -> Tensor:
    return graph / graph.sum(-1, keepdim=True).clamp(min=1e-6)


class GraphLayers(nn.Module):
    """Three times relu(A·X·W), no bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weights = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in range(LAYERS))

    def forward(self, graph_BVV: Tensor, nodes_BVC: Tensor) -> Tensor:
        for weight in self.weights:
            nodes_BVC = F.relu(weight(torch.bmm(graph_BVV, nodes_BVC)))
        return nodes_BVC


class RegionGraphHead(AverageHead):
    """Regions of every frame as nodes of three graphs (similarity, forward, backward), beside the clip's mean.

    `note` is what a table has to say of scores that were made without boxes.
    """

    grid_R4: Tensor
    note = "regions are a fixed grid: no boxes were given"

    def __init__(self, channels: int, inner: int, num_classes: int, dropout: float, grid: int) -> None:
        super().__init__(2 * inner, num_classes, dropout)
        self.reduce = nn.Conv3d(channels, inner, 1)
        self.query, self.key = nn.Linear(inner, inner, bias=False), nn.Linear(inner, inner, bias=False)
        self.graphs = nn.ModuleDict({name: GraphLayers(inner) for name in ("similarity", "next", "previous")})
        self.register_buffer("grid_R4", fixed_grid(grid), persistent=False)

    def forward(self, maps: Any, U: int, boxes: Tensor | None = None) -> Tensor:
        """(N·U, C, T', H, W), and boxes (N, U, T, R, 4) or none, to (N, U, num_classes).

        Raises ValueError for boxes of another shape. Of more frames than the maps have, evenly spread ones are used.
        """
        maps_BCTHW = self.reduce(maps)
        boxes_BTR4 = self._boxes(maps_BCTHW, U, boxes)
        nodes_BVC = self._nodes(maps_BCTHW, boxes_BTR4)
        ahead = following(boxes_BTR4).to(nodes_BVC.dtype)
        similarity = torch.bmm(self.query(nodes_BVC), self.key(nodes_BVC).transpose(1, 2)).softmax(-1)
        graphs = {
            "similarity": similarity,
            "next": _rows_of_one(ahead),
            "previous": _rows_of_one(ahead.transpose(1, 2)),
        }
        regions = sum(layers(graphs[name], nodes_BVC) for name, layers in self.graphs.items()).mean(1)
        features = torch.cat([self.dropout(regions), maps_BCTHW.mean((2, 3, 4))], dim=1)
        return self.fc(features).unflatten(0, (-1, U))

    def _boxes(self, maps_BCTHW: Tensor, U: int, boxes: Tensor | None) -> Tensor:
        B, frames = maps_BCTHW.shape[0], maps_BCTHW.shape[2]
        if boxes is None:
            return self.grid_R4.expand(B, frames, -1, -1)
        if boxes.ndim != 5 or boxes.shape[:2] != (B // U, U) or boxes.shape[-1] != 4:
            raise ValueError(f"boxes are (N={B // U}, U={U}, T, R, 4), got {tuple(boxes.shape)}")
        chosen = [t * boxes.shape[2] // frames for t in range(frames)]
        return boxes.flatten(0, 1)[:, chosen]

    def _nodes(self, maps_BCTHW: Tensor, boxes_BTR4: Tensor) -> Tensor:
        """(B, T·R, C): the largest of each region's bins."""
        frames = maps_BCTHW.transpose(1, 2).flatten(0, 1)
        pooled = roi_align(frames, boxes_BTR4.flatten(0, 1)).amax((3, 4))
        return pooled.transpose(1, 2).unflatten(0, (len(maps_BCTHW), -1)).flatten(1, 2)


@register_model(PYSLOWFAST_INPUT)
def nl_gcn_r50(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    time_strides: tuple[int, ...] = (1, 1, 2),
    grid: int = 7,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """32 frames; res5 keeps res4's 14×14. Without boxes, grid² cells and the whole frame: 50 regions, as in the paper.

    The graphs that follow regions in time have three layers: fewer than 4 frames of maps leave them without a signal.
    """
    check_dropout(dropout)
    check_sizes(grid=grid)
    backbone = nonlocal_trunk(
        50, width, stem_kernel, time_strides=time_strides, strides=(1, 2, 2, 1), pool_padding=False
    )
    put_five(backbone, NonLocal)
    return backbone, RegionGraphHead(backbone.channels, 8 * width, num_classes, dropout, grid)

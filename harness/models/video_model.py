"""A backbone inside each snippet, modules across snippets, and a head: one network for one video."""

from __future__ import annotations

from torch import Tensor, nn

from harness.models.resnet3d import ResNet3d


class VideoModel(nn.Module):
    """Video in, class logits out: the mean of the snippets' logits (average consensus).

    `U` is the number of snippets that it was built for; `any_U` says whether it accepts others. The
    2D-in-frame backbones average frames as well: the head is linear, so a mean of features is a mean of frame
    logits.
    """

    def __init__(self, backbone: ResNet3d, num_classes: int, dropout: float, U: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone.channels, num_classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.U, self.any_U = U, True

    def forward_snippets(self, x_NUCTHW: Tensor) -> Tensor:
        """(N, U, 3, T, H, W) float to snippet logits (N, U, num_classes)."""
        self._check(x_NUCTHW)
        U = x_NUCTHW.shape[1]
        maps = self.backbone(x_NUCTHW.flatten(0, 1), U)
        logits = self.head(self.dropout(maps.mean((2, 3, 4))))
        return logits.unflatten(0, (-1, U))

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        """(N, U, 3, T, H, W) float to (N, num_classes)."""
        return self.forward_snippets(x_NUCTHW).mean(1)

    def _check(self, x_NUCTHW: Tensor) -> None:
        if x_NUCTHW.ndim != 6 or x_NUCTHW.shape[2] != 3:
            raise ValueError(f"a batch is (N, U, 3, T, H, W), got {tuple(x_NUCTHW.shape)}")
        U = x_NUCTHW.shape[1]
        if U != self.U and not self.any_U:
            raise ValueError(f"this model was built for U={self.U} snippets a video and got U={U}")

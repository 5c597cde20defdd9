"""Dynamic segment aggregation: one small kernel per video and channel, convolved along the snippets.

Wu et al., "DSANet: Dynamic Segment Aggregation Network for Video-Level Representation Learning", ACM MM 2021,
section 3; checked against the release's numbers (golden dsa_module_*). The operator's multiply-adds are registered
here for both counters of harness.models.cost.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.operators import register_operator
from harness.models.registry import register_aggregation

TAPS = 3  # L, the kernel's size along U


def _shifted_sum(x_NUCTHW: Tensor, kernel_NCL: Tensor) -> Tensor:
    # Taps one after the other: with stride 3 the innermost loop over channels-last maps takes twice the time.
    taps_LNC = kernel_NCL.movedim(-1, 0).contiguous()
    before, here, after = taps_LNC[:, :, None, :, None, None, None].unbind(0)
    y_NUCTHW = x_NUCTHW * here
    y_NUCTHW[:, 1:].addcmul_(x_NUCTHW[:, :-1], before)
    y_NUCTHW[:, :-1].addcmul_(x_NUCTHW[:, 1:], after)
    return y_NUCTHW


@torch.library.custom_op("harness::aggregate_snippets", mutates_args=())
def aggregate_snippets(x_NUCTHW: Tensor, kernel_NCL: Tensor) -> Tensor:
    """Y[n,u,c] = Σ_i K[n,c,i]·X[n,u+i−1,c], zeros beyond both ends; (N,U,C,T,H,W), (N,C,3) to (N,U,C,T,H,W).

    An operator with a name of its own, so that both cost counters see its multiply-adds (`harness.models.cost`).
    """
    return _shifted_sum(x_NUCTHW, kernel_NCL)


aggregate_snippets.register_fake(_shifted_sum)


def _kernel_gradient(grad_NUCTHW: Tensor, x_NUCTHW: Tensor) -> Tensor:
    pairs = (
        (grad_NUCTHW[:, 1:], x_NUCTHW[:, :-1]),
        (grad_NUCTHW, x_NUCTHW),
        (grad_NUCTHW[:, :-1], x_NUCTHW[:, 1:]),
    )
    # Positions first, then snippets: up to four times faster than one sum over all of them (bench_dsa.py).
    return torch.stack([(g * x).sum((3, 4, 5)).sum(1) for g, x in pairs], dim=-1)


def _save(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: torch.autograd.function.FunctionCtx, grad_NUCTHW: Tensor) -> tuple[Tensor, Tensor]:
    x_NUCTHW, kernel_NCL = ctx.saved_tensors  # type: ignore[attr-defined]
    grad_x = aggregate_snippets(grad_NUCTHW, kernel_NCL.flip(-1))
    return grad_x, _kernel_gradient(grad_NUCTHW, x_NUCTHW)


aggregate_snippets.register_autograd(_backward, setup_context=_save)
# 3·C'·U·T·H·W a video, whatever arithmetic the operator uses.
register_operator("harness::aggregate_snippets", lambda x_NUCTHW: TAPS * math.prod(x_NUCTHW))


@register_aggregation("dsa", position="II", stages=("res3", "res4"), beta=1 / 8)
class DSA(nn.Module):
    """The DSA module; the registered places are the released Kinetics-400 config (docs/systems.md).

    `generate` has the release's state-dict layout. One generator serves all channels and videos: its batch
    norm sees N·C rows of αU hidden units. U at test time equals U in training.
    """

    any_U = False

    def __init__(self, channels: int, U: int, *, alpha: int = 2) -> None:
        super().__init__()
        if isinstance(alpha, bool) or not isinstance(alpha, int) or alpha < 1:
            raise UserError(f"alpha {alpha!r}: the hidden layer is a whole multiple of U, 1 or more")
        self.channels, self.U, self.alpha = channels, U, alpha
        self.generate = nn.Sequential(
            nn.Linear(U, alpha * U, bias=False),
            nn.BatchNorm1d(alpha * U),
            nn.ReLU(inplace=True),
            nn.Linear(alpha * U, TAPS, bias=False),
        )

    def kernels(self, x_NUCTHW: Tensor) -> Tensor:
        """(N, C, 3), each row positive with sum 1: softmax(W2·relu(BN(W1·φ))), φ the mean over T, H, W."""
        phi_NCU = x_NUCTHW.mean((3, 4, 5)).transpose(1, 2)
        logits = self.generate(phi_NCU.reshape(-1, self.U))
        return logits.softmax(-1).view(*phi_NCU.shape[:2], TAPS)

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        """Same shape out; no residual, no normalisation after it. ValueError for another U than built for."""
        if x_NUCTHW.shape[1] != self.U:
            raise ValueError(f"DSA was built for U={self.U} snippets and got {x_NUCTHW.shape[1]}")
        return aggregate_snippets(x_NUCTHW, self.kernels(x_NUCTHW).to(x_NUCTHW.dtype))

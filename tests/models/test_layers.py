"""Layers that families share: the convolution's short ways, pools, the consensus."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from small import relative, small_model
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models import create_model
from harness.models.layers import AverageHead, Conv3d, average_3x3, max_3x3_halving

KERNELS = [
    ((3, 1, 1), (1, 1, 1), 1),
    ((3, 1, 1), (2, 1, 1), 1),
    ((3, 1, 1), (1, 2, 2), 1),  # no short way: torch's own
    ((1, 3, 3), (1, 2, 2), 1),
    ((1, 1, 1), (1, 1, 1), 1),
    ((1, 1, 1), (1, 2, 2), 4),
    ((3, 3, 3), (1, 1, 1), 1),
]


def _pair(kernel: tuple[int, ...], stride: tuple[int, ...], groups: int) -> tuple[nn.Module, nn.Module]:
    padding = tuple(k // 2 for k in kernel)
    ours, plain = (c(8, 12, kernel, stride, padding, groups=groups) for c in (Conv3d, nn.Conv3d))
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def _results(module: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = module(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return [y, x.grad, *(p.grad for p in module.parameters())]  # type: ignore[list-item]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(("kernel", "stride", "groups"), KERNELS)
@pytest.mark.parametrize("rows", [1, 4, 15, 16])
def test_short_ways_give_what_torch_gives(
    rows: int, kernel: tuple[int, ...], stride: tuple[int, ...], groups: int, layout: torch.memory_format
) -> None:
    ours, plain = _pair(kernel, stride, groups)
    x = torch.randn(rows, 8, 5, 6, 7).contiguous(memory_format=layout)
    ours, plain = ours.to(memory_format=layout), plain.to(memory_format=layout)
    with torch.inference_mode():
        assert torch.equal(ours(x), plain(x)) if rows >= 16 else relative(ours(x), plain(x)) < 1e-6
    ours, plain = ours.double(), plain.double()
    for got, expected in zip(_results(ours, x.double()), _results(plain, x.double()), strict=True):
        assert got.shape == expected.shape
        assert relative(got, expected) < 1e-12


def test_the_short_ways_are_taken_below_16_rows_alone_and_never_when_traced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    true = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *a, **k: (seen.append(1), true(*a, **k))[1])
    conv = Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0))
    conv(torch.randn(16, 4, 3, 2, 2))
    torch.jit.trace(conv, torch.randn(2, 4, 3, 2, 2), check_trace=False)
    conv.to("meta")(torch.empty(2, 4, 3, 2, 2, device="meta"))
    assert not seen
    Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0))(torch.randn(15, 4, 3, 2, 2))
    assert len(seen) == 1


def test_the_average_of_frames_is_torchs_where_torch_has_one() -> None:
    x = torch.randn(2, 3, 4, 7, 6)
    for stride in (1, 2):
        expected = F.avg_pool3d(x, (1, 3, 3), (1, stride, stride), (0, 1, 1))
        torch.testing.assert_close(average_3x3(x, stride), expected)
    assert average_3x3(x[..., :1, :2]).shape == (2, 3, 4, 1, 2)


@pytest.mark.parametrize(("size", "halved"), [(1, 1), (2, 1), (5, 3), (8, 4), (11, 6), (28, 14)])
def test_halving_pools_agree_with_convolutions_of_stride_2(size: int, halved: int) -> None:
    x = torch.randn(1, 2, 3, size, size)
    pooled = max_3x3_halving(x)
    assert pooled.shape[3:] == (halved, halved)
    assert (
        pooled.shape[3:]
        == F.conv3d(x, torch.zeros(2, 2, 1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)).shape[3:]
    )
    if size % 2 == 0:  # Caffe's: windows from 2i to 2i+2, cut at the edge
        assert torch.equal(pooled[..., -1, -1], x[..., size - 2 :, size - 2 :].amax((-1, -2)))


def test_top3_is_the_mean_of_each_classes_three_best_snippets() -> None:
    logits_NUK = torch.tensor([[[1.0, 9.0], [2.0, 0.0], [3.0, 0.0], [4.0, 3.0], [0.0, 3.0]]])
    head = AverageHead(4, 2, 0.0, consensus="top3")
    assert head.consensus(logits_NUK).tolist() == [[3.0, 5.0]]
    assert head.consensus(logits_NUK[:, :2]).tolist() == [[1.5, 4.5]]
    assert AverageHead(4, 2, 0.0).consensus(logits_NUK).tolist() == [[2.0, 3.0]]


def test_top3_of_a_model_is_over_snippets_and_differs_from_the_mean() -> None:
    mean, top = (small_model("tsn_bninception", U=5, T=1, consensus=rule).eval() for rule in ("mean", "top3"))
    x = torch.randn(2, 5, 3, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(top(x), mean.forward_snippets(x).topk(3, 1).values.mean(1))
        assert torch.equal(mean(x), mean.forward_snippets(x).mean(1))
    with pytest.raises(UserError, match=r"consensus 'top33' \(did you mean 'top3'\?\)"):
        create_model("tsn_bninception", width=8, consensus="top33")

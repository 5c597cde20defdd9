"""The modules against their definitions, and the places they stand in."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from harness.models import create_model
from harness.models.across import AcrossSnippets
from harness.models.dsa import DSA, aggregate_snippets
from harness.models.se import SE
from harness.models.tsm import TemporalShift
from harness.models.v4d import V4D

sizes = st.tuples(*[st.integers(1, 4)] * 6)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _defined_aggregation(x: Tensor, kernel: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    U = x.shape[1]
    for u in range(U):
        for tap in range(3):
            if 0 <= u + tap - 1 < U:
                y[:, u] += kernel[:, :, tap, None, None, None] * x[:, u + tap - 1]
    return y


@settings(deadline=None, max_examples=40)
@given(shape=sizes, seed=st.integers(0, 99), channels_last=st.booleans(), narrow=st.booleans())
def test_aggregation_is_its_definition(
    shape: tuple[int, ...], seed: int, channels_last: bool, narrow: bool
) -> None:
    N, U, C, *THW = shape
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    full = torch.randn(N * U, C + narrow, *THW, dtype=torch.float64, generator=_generator(seed))
    x = full.contiguous(memory_format=layout)[:, :C].unflatten(0, (N, U)).requires_grad_()
    kernel = torch.rand(N, C, 3, dtype=torch.float64, generator=_generator(seed + 1)).requires_grad_()
    ours, defined = aggregate_snippets(x, kernel), _defined_aggregation(x, kernel)
    torch.testing.assert_close(ours, defined)
    probe = torch.randn(ours.shape, dtype=torch.float64, generator=_generator(seed + 2))
    for got, expected in zip(
        torch.autograd.grad(ours, (x, kernel), probe),
        torch.autograd.grad(defined, (x, kernel), probe),
        strict=True,
    ):
        torch.testing.assert_close(got, expected)


def test_aggregation_is_a_sound_operator() -> None:
    x = torch.randn(2, 3, 2, 1, 2, 2, requires_grad=True)
    kernel = torch.rand(2, 2, 3, requires_grad=True)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(aggregate_snippets, (x, kernel), test_utils=checks)


@settings(deadline=None, max_examples=20)
@given(U=st.integers(1, 6), alpha=st.integers(1, 4), seed=st.integers(0, 99))
def test_dsa_kernels_are_a_mixture(U: int, alpha: int, seed: int) -> None:
    torch.manual_seed(seed)
    module = DSA(3, U, alpha=alpha)
    x = torch.randn(2, U, 3, 2, 2, 2)
    kernels = module.kernels(x)
    assert kernels.shape == (2, 3, 3) and (kernels > 0).all()
    torch.testing.assert_close(kernels.sum(-1), torch.ones(2, 3))
    assert sum(p.numel() for p in module.parameters()) == alpha * U * U + 2 * alpha * U + 3 * alpha * U


def test_dsa_leaves_the_middle_of_a_constant_video_alone() -> None:
    x = torch.randn(2, 1, 3, 2, 2, 2).expand(-1, 5, -1, -1, -1, -1)
    y = DSA(3, 5)(x)
    torch.testing.assert_close(y[:, 1:-1], x[:, 1:-1])
    assert (y[:, 0] - x[:, 0]).abs().max() > 0.01  # the ends mix with zeros


def test_dsa_refuses_another_number_of_snippets() -> None:
    with pytest.raises(ValueError, match="built for U=4 snippets and got 3"):
        DSA(2, 4)(torch.zeros(1, 3, 2, 1, 1, 1))


def test_v4d_is_the_residual_4d_convolution() -> None:
    """y[u,t] = x[u,t] + Σ_{i,j} W[:,:,i,j]·x[u+i−1,t+j−1], zeros outside (V4D section 3.2)."""
    module = V4D(3, 4)
    x = torch.randn(2, 4, 3, 5, 2, 3)
    weight = module.conv.weight[..., 0]
    padded = nn.functional.pad(x, (0, 0, 0, 0, 1, 1, 0, 0, 1, 1))
    expected = x.clone()
    for i in range(3):
        for j in range(3):
            shifted = padded[:, i : i + 4, :, j : j + 5]
            expected = expected + torch.einsum("oc,nucthw->nuothw", weight[:, :, i, j], shifted)
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


def test_v4d_reads_channels_last_maps_without_a_copy() -> None:
    x = torch.randn(8, 16, 4, 3, 3).contiguous(memory_format=torch.channels_last_3d).unflatten(0, (2, 4))
    seen: list[Tensor] = []
    module = V4D(16, 4)
    module.conv.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    module(x)
    assert seen[0].data_ptr() == x.data_ptr()
    assert seen[0].is_contiguous(memory_format=torch.channels_last_3d)


def test_se_scales_each_snippet_by_itself() -> None:
    module, x = SE(32, 4), torch.randn(2, 4, 32, 2, 3, 3)
    y = module(x)
    scale = (y / x).flatten(3)
    torch.testing.assert_close(scale, scale[..., :1].expand_as(scale), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(module(x[:, :1]), y[:, :1])


def test_temporal_shift_moves_an_eighth_each_way() -> None:
    x = (
        torch.arange(16.0)[None, :, None, None, None] * 100
        + torch.arange(1.0, 5.0)[None, None, :, None, None]
    )
    y = TemporalShift(16)(x.expand(1, 16, 4, 2, 2))[0, :, :, 0, 0]
    assert y[0].tolist() == [2, 3, 4, 0] and y[1].tolist() == [102, 103, 104, 0]
    assert y[2].tolist() == [0, 201, 202, 203] and y[3].tolist() == [0, 301, 302, 303]
    assert torch.equal(y[4:], x[0, 4:, :, 0, 0])


@settings(deadline=None, max_examples=25)
@given(beta=st.floats(0.01, 1.0), channels=st.integers(1, 16))
def test_untouched_channels_pass_bit_for_bit(beta: float, channels: int) -> None:
    taking_part = max(1, math.floor(beta * channels))
    site = AcrossSnippets(DSA(taking_part, 2), channels, taking_part)
    x = torch.randn(4, channels, 1, 2, 2)
    y = site(x, 2)
    assert torch.equal(y[:, taking_part:], x[:, taking_part:])
    assert not torch.equal(y[:, :taking_part], x[:, :taking_part])


def test_site_refuses_rows_that_are_no_whole_videos_and_modules_that_change_the_shape() -> None:
    with pytest.raises(ValueError, match="no whole number of videos of U=4"):
        AcrossSnippets(DSA(2, 4), 2, 2)(torch.zeros(6, 2, 1, 1, 1), 4)
    with pytest.raises(ValueError, match="Flatten must keep the shape"):
        AcrossSnippets(nn.Flatten(), 2, 2)(torch.zeros(4, 2, 1, 1, 1), 4)


@pytest.mark.parametrize("aggregation", ["average", "se", "dsa", "v4d"])
def test_who_looks_across_snippets(aggregation: str) -> None:
    options = {} if aggregation == "average" else {"stages": "res3"}
    torch.manual_seed(0)
    model = create_model("i3d_r18", 5, aggregation=aggregation, width=8, **options).eval()
    x = torch.randn(1, 4, 3, 2, 32, 32, requires_grad=True)
    model.forward_snippets(x)[0, 0].sum().backward()
    assert x.grad is not None and x.grad[0, 0].abs().max() > 0
    assert bool(x.grad[0, 1].abs().max() > 0) == (aggregation in ("dsa", "v4d"))


def test_aggregation_op_is_differentiable_in_channels_last_training() -> None:
    model = create_model("i3d_r18", 5, aggregation="dsa", width=8).to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x, labels = torch.randn(8, 4, 3, 2, 32, 32), torch.arange(8) % 5
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]

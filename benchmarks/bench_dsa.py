"""Formulations of DSA's aggregation along the snippets, forward and backward, one thread.

    .venv/bin/python benchmarks/bench_dsa.py        # milliseconds and error of each, three sizes, two layouts

The one in use is `harness.models.dsa.aggregate_snippets`; the others stand here so that the choice can be
measured again on another machine. Errors are relative to the grouped convolution in float64.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.models.dsa import aggregate_snippets

Formulation = Callable[[Tensor, Tensor], Tensor]
SIZES = {  # N, U, C, T, H, W
    "paper res3 block (128 ch, 28 px)": (2, 4, 128, 4, 28, 28),
    "embedded res5 block (64 ch, 2 px)": (16, 4, 64, 4, 2, 2),
    "embedded res3 block (16 ch, 6 px)": (16, 4, 16, 4, 6, 6),
}


def grouped_convolution(x_NUCTHW: Tensor, kernel_NCL: Tensor) -> Tensor:
    """The release's form: one group for each of the N·C (video, channel) maps, on a permuted copy."""
    N, U, C = x_NUCTHW.shape[:3]
    maps = x_NUCTHW.flatten(3).permute(0, 2, 1, 3).reshape(1, N * C, U, -1)
    y = F.conv2d(maps, kernel_NCL.reshape(N * C, 1, 3, 1), padding=(1, 0), groups=N * C)
    return y.view(N, C, U, -1).transpose(1, 2).reshape(x_NUCTHW.shape)


def banded_product(x_NUCTHW: Tensor, kernel_NCL: Tensor) -> Tensor:
    """A (U, U) band matrix for every (video, channel), multiplied from the left."""
    U = x_NUCTHW.shape[1]
    rows = torch.arange(U, device=x_NUCTHW.device)
    offset = rows[None, :] - rows[:, None] + 1  # which tap carries snippet v into snippet u
    inside = (offset >= 0) & (offset <= 2)
    band_NCUV = kernel_NCL[:, :, offset.clamp(0, 2)] * inside
    return torch.einsum("ncuv,nvcthw->nucthw", band_NCUV, x_NUCTHW)


def shifted_sums(x_NUCTHW: Tensor, kernel_NCL: Tensor) -> Tensor:
    """Three scaled, shifted copies added up, differentiated by autograd."""
    before, here, after = kernel_NCL[:, None, :, None, None, None, :].unbind(-1)
    padded = F.pad(x_NUCTHW, (0, 0, 0, 0, 0, 0, 0, 0, 1, 1))
    return padded[:, :-2] * before + x_NUCTHW * here + padded[:, 2:] * after


FORMULATIONS: dict[str, Formulation] = {
    "grouped convolution": grouped_convolution,
    "banded product": banded_product,
    "shifted sums, autograd": shifted_sums,
    "aggregate_snippets (in use)": aggregate_snippets,
}


def make_inputs(size: tuple[int, ...], channels_last: bool) -> tuple[Tensor, Tensor]:
    """A leaf map (N, U, C, T, H, W) in either memory layout and a leaf kernel (N, C, 3)."""
    N, U, C, *THW = size
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    x = torch.randn(N * U, C, *THW).contiguous(memory_format=layout).unflatten(0, (N, U))
    return x.requires_grad_(), torch.rand(N, C, 3).softmax(-1).requires_grad_()


def time_one(form: Formulation, x: Tensor, kernel: Tensor, seconds: float = 0.6) -> float:
    """Median seconds of forward and backward."""
    grad = torch.randn_like(x)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 3:
        start = time.perf_counter()
        torch.autograd.grad(form(x, kernel), (x, kernel), grad)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def relative_error(form: Formulation, x: Tensor, kernel: Tensor) -> float:
    """Of output and both gradients against the grouped convolution in float64."""
    got = _results(form, x, kernel)
    expected = _results(grouped_convolution, x.double(), kernel.double())
    return max(float((g - e).norm() / e.norm()) for g, e in zip(got, expected, strict=True))


def _results(form: Formulation, x: Tensor, kernel: Tensor) -> list[Tensor]:
    leaves = [t.detach().requires_grad_() for t in (x, kernel)]
    y = form(*leaves)
    return [y.detach(), *torch.autograd.grad((y * y).sum(), leaves)]


def main() -> None:
    """Print one line per size, layout and formulation."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for title, size in SIZES.items():
        for channels_last in (False, True):
            x, kernel = make_inputs(size, channels_last)
            print(f"{title}, {'channels last' if channels_last else 'contiguous'}, {size}")
            for name, form in FORMULATIONS.items():
                milliseconds = 1000 * time_one(form, x, kernel)
                print(f"  {name:30s} {milliseconds:9.3f} ms   error {relative_error(form, x, kernel):.1e}")


if __name__ == "__main__":
    main()

"""Convolutions of few videos on the CPU: torch's 3D path against harness.models.layers.Conv3d, one thread.

    .venv/bin/python benchmarks/bench_conv.py     # milliseconds forward + backward, ratio, relative difference

Rows (N·U) from 16 on must be equal bit for bit: there both are nn.Conv3d.
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor, nn

from harness.models import create_model
from harness.models.layers import Conv3d

KERNELS = {"1x1x1": (1, 1, 1), "3x1x1": (3, 1, 1), "1x3x3": (1, 3, 3), "3x3x3": (3, 3, 3)}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last_3d}
ROWS = (1, 4, 8, 16, 32)


def pair(kernel: tuple[int, int, int], layout: torch.memory_format) -> tuple[nn.Module, nn.Module]:
    """Ours and torch's with the same weights."""
    padding = tuple(k // 2 for k in kernel)
    ours, plain = (c(128, 128, kernel, padding=padding, bias=False) for c in (Conv3d, nn.Conv3d))
    plain.load_state_dict(ours.state_dict())
    return ours.to(memory_format=layout), plain.to(memory_format=layout)


def step(module: nn.Module, x: Tensor) -> float:
    """Seconds of CPU of one forward and backward pass."""
    start = time.process_time()
    module(x).square().mean().backward()
    return time.process_time() - start


def interleaved(ours: nn.Module, plain: nn.Module, x: Tensor, repeats: int = 5) -> tuple[float, float]:
    """Median seconds of each, in turns."""
    step(ours, x), step(plain, x)
    times = [(step(ours, x), step(plain, x)) for _ in range(repeats)]
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def as_plain(model: nn.Module) -> nn.Module:
    """The same network on torch's own convolutions."""
    for module in model.modules():
        if isinstance(module, Conv3d):
            module.__class__ = nn.Conv3d
    return model


def line(name: str, ours: nn.Module, plain: nn.Module, x: Tensor) -> None:
    with torch.no_grad():  # without dropout
        a, b = ours.eval()(x), plain.eval()(x)
    ours.train(), plain.train()
    mine, theirs = interleaved(ours, plain, x)
    difference = float((a.double() - b.double()).norm() / b.double().norm())
    print(f"{name:42} {mine * 1e3:8.1f} {theirs * 1e3:8.1f} {mine / theirs:6.2f} {difference:9.1e}")


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'':42} {'ours':>8} {'torch':>8} {'ratio':>6} {'differ':>9}")
    for rows in ROWS:
        for layout, memory in LAYOUTS.items():
            for name, kernel in KERNELS.items():
                x = torch.randn(rows, 128, 4, 14, 14).contiguous(memory_format=memory)
                line(f"{name}, {rows} rows, {layout}", *pair(kernel, memory), x)
    for videos in (1, 4):
        for name, aggregation in (("i3d_r50", "dsa"), ("tsm_r50", "average"), ("tea_r50", "average")):
            for layout, memory in LAYOUTS.items():
                models = [
                    create_model(name, 5, aggregation=aggregation).to(memory_format=memory) for _ in "ab"
                ]
                models[1].load_state_dict(models[0].state_dict())
                x = torch.randn(videos, 4, 3, 4, 64, 64)
                line(f"{name} {aggregation}, {videos} video(s), {layout}", models[0], as_plain(models[1]), x)


if __name__ == "__main__":
    main()

"""What one view of a network costs: parameters, multiply-adds by two counters, seconds and memory.

The poster's GFLOPs are fvcore totals at a 224 crop (docs/systems.md); this module counts the same way and
checks the part that no convention can change, convolutions and matrix products, against torch's own counter.
"""

from __future__ import annotations

import copy
import math
import resource
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from harness.models.network import VideoModel
from harness.models.operators import operator_macs

with warnings.catch_warnings():  # fvcore scripts a loss function on import, which torch 2.13 calls deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from fvcore.nn import FlopCountAnalysis
    from fvcore.nn.jit_handles import conv_flop_count, get_shape

Module = TypeVar("Module", bound=nn.Module)
TOLERANCE = 0.01  # of the two counters on convolutions and matrix products
_PRODUCTS = frozenset({"conv", "linear", "addmm", "matmul", "bmm", "baddbmm", "einsum"})


class CostError(Exception):
    """The two counters disagree: one of them doesn't know an operator of this network."""


@dataclass(frozen=True)
class Cost:
    """One view of one video. `macs` is held against the paper's (`harness.results.metrics.CONVENTION`)."""

    params: int
    macs: int
    macs_conv_matmul: int
    macs_by_operator: dict[str, int]
    macs_cross_check: int


@dataclass(frozen=True)
class Measured:
    """Measured on the device of the input.

    peak_memory_kind: "cuda_allocated" = the peak that torch allocated during the passes; "process_peak_rss" =
    the largest resident set of this process so far (torch has no counter for the CPU; data and imports are in
    it).
    """

    latency_s: float
    peak_memory_bytes: int
    peak_memory_kind: str


def _fvcore_convolution(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    x_shape, w_shape, out_shape = get_shape(inputs[0]), get_shape(inputs[1]), get_shape(outputs[0])
    return Counter({"conv": conv_flop_count(x_shape, w_shape, out_shape, transposed=inputs[3].toIValue())})


def _fvcore_norm(inputs: list[Any], outputs: list[Any]) -> int:
    """fvcore's rule for LayerNorm and GroupNorm: 5 an element, 4 without affine. Its own refuses 6-D maps."""
    elements = math.prod(get_shape(inputs[0]))
    return elements * (5 if get_shape(inputs[2]) is not None else 4)


# fvcore traces by torch.jit, and the trace loses convolutions on the meta device. While it traces, each
# convolution is therefore one operator of ours that knows its output's shape, counted by fvcore's formula.
_LIBRARY = torch.library.Library("harness", "FRAGMENT")
_LIBRARY.define("traced_convolution(Tensor x, Tensor w, int[] shape, bool transposed) -> Tensor")
_LIBRARY.impl("traced_convolution", lambda x, w, shape, transposed: x.new_empty(shape), "Meta")
_CONVOLUTIONS: dict[Callable[..., Any], bool] = {
    torch.conv1d: False,
    torch.conv2d: False,
    torch.conv3d: False,
}
_CONVOLUTIONS |= {torch.conv_transpose1d: True, torch.conv_transpose2d: True, torch.conv_transpose3d: True}


class _TraceableConvolutions(TorchFunctionMode):
    def __init__(self, untraced: ThreadPoolExecutor) -> None:
        super().__init__()
        self.untraced = untraced  # tracing is a state of one thread, so another one can still ask for shapes

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _CONVOLUTIONS:
            return func(*args, **kwargs)
        shape = list(self.untraced.submit(func, *args, **kwargs).result().shape)
        return torch.ops.harness.traced_convolution(args[0], args[1], shape, _CONVOLUTIONS[func])


def model_cost(model: nn.Module, *, T: int, U: int, crop_px: int) -> Cost:
    """Cost of one view of U snippets of T frames of crop_px squared, in eval mode.

    Works on a copy without storage (the meta device): a full-size network takes no memory and no arithmetic.
    Raises CostError when the counters differ by more than TOLERANCE.
    """
    ghost = _on_meta(model).eval()
    x_NUCTHW = torch.empty(1, U, 3, T, crop_px, crop_px, device="meta")
    by_operator = _count_fvcore(ghost, x_NUCTHW)
    products = _PRODUCTS | {name.rpartition("::")[2] for name in operator_macs()}
    counted = sum(macs for operator, macs in by_operator.items() if operator in products)
    cross_check = _count_torch(ghost, x_NUCTHW)
    _compare(counted, cross_check, by_operator)
    params = sum(p.numel() for p in model.parameters())
    return Cost(params, sum(by_operator.values()), counted, by_operator, cross_check)


def shared_macs(model: VideoModel, *, T: int, crop_px: int) -> int:
    """Multiply-adds a snippet of the steps that run once however many groups it stands in (`forward_groups`)."""
    ghost = _on_meta(model).eval()
    prefix = _Prefix(ghost)
    return sum(_count_fvcore(prefix, torch.empty(1, 3, T, crop_px, crop_px, device="meta")).values())


class _Prefix(nn.Module):
    """The shared steps as a module of their own, which fvcore can trace."""

    def __init__(self, model: VideoModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        return self.model.shared_steps()(x)


def _on_meta(model: Module) -> Module:
    """A copy whose float tensors are float32 shapes without data; the model itself stays as it is."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(_shape_only(parameter), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = _shape_only(buffer)
    return copy.deepcopy(model, memo)


def _shape_only(tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return torch.empty(tensor.shape, dtype=dtype, device="meta")


def _count_fvcore(model: nn.Module, x_NUCTHW: Tensor) -> dict[str, int]:
    analysis = FlopCountAnalysis(model, x_NUCTHW)
    for name, macs in operator_macs().items():
        analysis.set_op_handle(name, lambda inputs, outputs, macs=macs: macs(get_shape(inputs[0])))
    analysis.set_op_handle("harness::traced_convolution", _fvcore_convolution)
    analysis.set_op_handle("aten::layer_norm", _fvcore_norm, "aten::group_norm", _fvcore_norm)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    with ThreadPoolExecutor(1) as untraced, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit
        with _TraceableConvolutions(untraced):
            counts = analysis.by_operator()
    return {operator: int(macs) for operator, macs in sorted(counts.items())}


def _count_torch(model: nn.Module, x_NUCTHW: Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(x_NUCTHW)
    return counter.get_total_flops() // 2


def _compare(products: int, cross_check: int, by_operator: dict[str, int]) -> None:
    if abs(products - cross_check) > TOLERANCE * max(products, cross_check):
        raise CostError(
            f"multiply-adds of convolutions and matrix products: fvcore counts {products:,},"
            f" torch.utils.flop_counter {cross_check:,}, more than {TOLERANCE:.0%} apart"
            f" (fvcore by operator: {by_operator}); an operator of this network is unknown to one of them"
        )


def latency_and_memory(model: nn.Module, x_NUCTHW: Tensor, repeats: int = 5) -> Measured:
    """Median seconds of a forward pass over x_NUCTHW in eval mode, after one pass to warm up; peak memory."""
    was_training, device = model.training, x_NUCTHW.device
    model.eval()
    try:
        with torch.inference_mode():
            model(x_NUCTHW)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            seconds = [_one_pass(model, x_NUCTHW) for _ in range(repeats)]
    finally:
        model.train(was_training)
    return Measured(statistics.median(seconds), *_peak_memory(device))


def _one_pass(model: nn.Module, x_NUCTHW: Tensor) -> float:
    _synchronize(x_NUCTHW.device)
    start = time.perf_counter()
    model(x_NUCTHW)
    _synchronize(x_NUCTHW.device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_memory(device: torch.device) -> tuple[int, str]:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "cuda_allocated"
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts in KiB
    return kibibytes * 1024, "process_peak_rss"

"""Does everything of this project run on CUDA, with what error and how fast? One call of a few minutes, no network.

    python benchmarks/bench_gpu.py                  # on a machine with a GPU
    python benchmarks/bench_gpu.py --device cpu     # the same code on tiny sizes: is the script itself sound?

Prints, as a table each: the golden networks' relative errors in float32 and bfloat16; DSA's aggregation forward and
backward against copies of its tensor; a training step of TSN, DSA and V4D on I3D R50 at 4×4×224² in bfloat16,
channels-last, compiled and not; one whole trial of the smoke profile against the CPU's. Seconds are medians of warm
repeats; ratios are what to trust.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests" / "models")]

import golden_cases as golden
from test_golden import CASES, _video_batch

from harness import data
from harness.experiment import load_experiment, load_profile
from harness.experiment.spec import Trial
from harness.experiment.start import start_trial
from harness.models import create_model, load_release
from harness.models.dsa import DSA
from harness.plan.expand import plan_trials
from harness.trial.run import channels_last, run_trial
from harness.trial.start import trunk_path

STEPS = {"TSN": "average", "DSA": "dsa", "V4D": "v4d"}


def golden_errors(device: str) -> None:
    """Relative error of every golden network, in float32 and under bfloat16 autocast."""
    print(f"\ngolden networks on {device}: relative error   float32   bfloat16")
    for name, (source, model_name, options) in CASES.items():
        description, outputs = golden.case(name)
        model = create_model(model_name, description["classes"], **options).eval()
        load_release(model, golden.state_dict(description), source)
        model.to(device)
        x = _video_batch(description).to(device)
        found = []
        for half in (False, True):
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=half):
                found.append(golden.relative_error(model(x).float().cpu(), outputs["output"]))
        print(f"  {name:<28} {found[0]:9.1e} {found[1]:10.1e}", flush=True)


def aggregation(device: str, small: bool) -> None:
    """The DSA module, forward and backward, in units of one copy of its input."""
    print(f"\nDSA module on {device}: time of forward + backward, in copies of the tensor")
    for shape in [(2, 4, 16, 2, 8, 8)] if small else [(8, 4, 128, 4, 28, 28), (8, 4, 512, 4, 7, 7)]:
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            x = torch.randn(shape, device=device)
            x = x.flatten(0, 1).contiguous(memory_format=layout).unflatten(0, shape[:2]).requires_grad_()
            module = DSA(shape[2], shape[1]).to(device)

            def both(x: Tensor = x, module: nn.Module = module) -> None:
                module(x).sum().backward()

            plain = seconds(lambda x=x: x.detach().clone(), device)
            print(f"  {shape!s:<26} {str(layout)[6:]:<18} {seconds(both, device) / plain:6.1f}", flush=True)


def training_steps(device: str, small: bool) -> None:
    """A step of 8 videos; each row against TSN's uncompiled step."""
    videos, side, width = (2, 32, 8) if small else (8, 224, 64)
    print(f"\ntraining step on {device}: {videos} videos of 4×4×{side}², bfloat16, channels-last")
    x = torch.randn(videos, 4, 3, 4, side, side, device=device)
    labels = torch.arange(videos, device=device)
    first: float | None = None
    for name, module in STEPS.items():
        model = create_model("i3d_r50", 200, aggregation=module, width=width).train().to(device)
        channels_last(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
        for compiled in (False, True):
            forward: Any = torch.compile(model) if compiled else model

            def step(forward: Any = forward, optimizer: torch.optim.Optimizer = optimizer) -> None:
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast(device, torch.bfloat16):
                    scores = forward(x)
                F.cross_entropy(scores.float(), labels).backward()
                optimizer.step()

            began = time.perf_counter()
            taken = seconds(step, device, repeats=3 if small else 10)
            first = first or taken
            memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device == "cuda" else ""
            print(
                f"  {name:<4} {'compiled' if compiled else 'eager':<9} {1000 * taken:8.1f} ms  {taken / first:5.2f} of "
                f"TSN eager  {memory} (first call and warm-up {time.perf_counter() - began:.0f} s)",
                flush=True,
            )


def whole_trial(device: str) -> None:
    """DSA's trial of table (a) in the smoke profile, here and on the CPU."""
    root = Path(tempfile.mkdtemp(prefix="bench-gpu-"))
    trial = plan_trials(load_experiment("ablation_a"), load_profile("smoke"), [0])[-1].trial
    start = start_trial(trial)
    assert start is not None
    for spec in (start.dataset, trial.dataset):
        data.prepare(spec, root)
    run_trial(start, data_root=root, trunk=trunk_path(start, root))
    print("\none trial of the smoke profile: last loss, top-1, seconds")
    for where in dict.fromkeys(("cpu", device)):
        record = run_trial(_on(trial, where), data_root=root)
        loss, seconds_taken = record.curve["loss"].iloc[-1], record.provenance["wall_seconds"]
        print(f"  {where:<5} {loss:.5f}  {record.metrics['top1']:.1f}  {seconds_taken:.1f}", flush=True)


def _on(trial: Trial, device: str) -> Trial:
    return trial.model_copy(update={"numerics": trial.numerics.model_copy(update={"device": device})})


def seconds(work: Callable[[], object], device: str, repeats: int = 20) -> float:
    """Median of warm repeats."""
    found = []
    for turn in range(repeats + 3):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if turn >= 3:
            found.append(time.perf_counter() - began)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    device = parser.parse_args().device
    if device == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing was measured (--device cpu tries the script itself)")
        return
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        print(torch.cuda.get_device_name(), "torch", torch.__version__)
    small = device == "cpu"
    if not small:
        golden_errors(device)
    aggregation(device, small)
    training_steps(device, small)
    whole_trial(device)


if __name__ == "__main__":
    main()

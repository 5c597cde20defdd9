"""Several processes that train one trial together, one GPU each (or, on a CPU, gloo): `numerics.gpus`.

Rank 0 is the trial's own process; it starts the others on its machine, so that Ray, a job array and a test have them
alike. Each takes its part of every batch and of the test videos; gradients are averaged by DistributedDataParallel. No
Ray Train: it deadlocked and leaked reservations when it was tried (docs/log.md).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import torch
import torch.distributed as dist
from torch import Tensor, nn

from harness.base.ports import free_port
from harness.base.signals import end_with
from harness.base.text import first_line
from harness.data import Shard
from harness.experiment.load import ROOT
from harness.experiment.spec import Numerics, Trial
from harness.trial.failure import SurroundingsError
from harness.trial.seeding import seed_everything

PATIENCE = timedelta(minutes=10)  # a rank that has not answered for so long is lost
END_SECONDS = 10.0  # for the others to end after rank 0 has failed
AGREE_EVERY = 20  # steps: how often the ranks ask rank 0 whether a checkpoint is due
_ECHO = ("gloo", "nccl", "connection", "socket", "timed out", "store")  # of another rank's end


@dataclass(frozen=True)
class Ranks:
    """This process among those of its trial. Alone, every method gives back what it is given."""

    rank: int = 0
    count: int = 1

    @property
    def shard(self) -> Shard:
        return Shard(self.rank, self.count)

    def wrapped(self, model: nn.Module, numerics: Numerics) -> nn.Module:
        """The model whose backward pass averages gradients over the ranks; with `sync_norms` its statistics, too."""
        if self.count == 1:
            return model
        if numerics.sync_norms:
            synchronise_norms(model)
        return nn.parallel.DistributedDataParallel(
            model, forward_sync_buffers=False, gradient_as_bucket_view=True
        )

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over the ranks, on each of them."""
        if self.count > 1:
            on = tensor.to(_device())
            dist.all_reduce(on)
            tensor = on.to(tensor.device)
        return tensor

    def agreed(self, due: bool, step: int) -> bool:
        """Rank 0's answer, asked every few steps: clocks differ, and all must stop at the same step."""
        if self.count == 1:
            return due
        if step % AGREE_EVERY:
            return False
        answer = torch.tensor([float(due)], device=_device())
        dist.broadcast(answer, 0)
        return bool(answer.item())

    def seed_step(self, seed: int, step: int) -> None:
        """Other dropout on each rank, the same after a resume: a checkpoint holds rank 0's random states alone."""
        if self.count > 1:
            seed_everything(seed, f"train, rank {self.rank}, step {step}")

    def share_buffers(self, model: nn.Module) -> None:
        """Rank 0's running statistics on all: one network is tested, and the checkpoint's."""
        for buffer in model.buffers() if self.count > 1 else ():
            dist.broadcast(buffer, 0)


ALONE = Ranks()


class _Sum(torch.autograd.Function):
    """The sum over the ranks; every rank's loss depends on it, so its gradient is summed as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def synchronise_norms(model: nn.Module) -> None:
    """Batch norms take mean and variance over all ranks' parts; names and parameters stay. (Equal parts a rank.)

    torch's own SyncBatchNorm runs on CUDA alone; this one is the same on both, so a CPU can test it.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.forward = _synchronised(module)  # type: ignore[method-assign, assignment]


def _synchronised(norm: nn.modules.batchnorm._BatchNorm) -> Callable[[Tensor], Tensor]:
    alone = norm.forward

    def forward(x: Tensor) -> Tensor:
        if not norm.training:
            return alone(x)
        others, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        ranks = dist.get_world_size()
        mean = _Sum.apply(x.float().mean(others)) / ranks
        centred = x.float() - mean.view(shape)
        variance = _Sum.apply(centred.square().mean(others)) / ranks
        if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
            n = ranks * x.numel() / x.shape[1]
            with torch.no_grad():
                norm.running_mean.lerp_(mean.detach(), norm.momentum or 0.1)
                norm.running_var.lerp_(variance.detach() * (n / (n - 1)), norm.momentum or 0.1)
                if norm.num_batches_tracked is not None:
                    norm.num_batches_tracked += 1
        y = centred * torch.rsqrt(variance + norm.eps).view(shape)
        if norm.affine:
            y = y * norm.weight.view(shape) + norm.bias.view(shape)
        return y.to(x.dtype)

    return forward


@contextlib.contextmanager
def together(
    trial: Trial, known: Ranks | None, *, checkpoint_dir: Path | None, data_root: Path | None, loaders: int
) -> Iterator[Ranks]:
    """All ranks of a trial; in the block this process is rank 0, or the `known` one that another process made it.

    Raises SurroundingsError where another rank was killed, RuntimeError with its last word where one failed alone; what
    the trial raises on all ranks alike passes.
    """
    count = trial.numerics.gpus
    if known is not None or count == 1:
        yield known or ALONE
        return
    port = free_port()
    with tempfile.TemporaryFile() as said:
        paths = {"checkpoint_dir": checkpoint_dir, "data_root": data_root}
        task = {"trial": trial.model_dump(mode="json"), "loaders": loaders}
        task |= {name: path and str(path) for name, path in paths.items()}
        others = [_start(rank, port, task, said) for rank in range(1, count)]
        try:
            _join(0, count, port, trial.numerics)
            # The test is the last that all do together: what the others do after it is not waited for.
            yield Ranks(0, count)
        except Exception as error:
            cause = _cause(others, said, error)
            if cause is error:
                raise
            raise cause from error
        finally:
            for other in others:
                other.kill()
                other.wait()
            if not dist.is_initialized():  # the start failed
                _forget_failed_group()
            dist.destroy_process_group()


def _forget_failed_group() -> None:
    """Make a group of this process alone. torch counts a group that could not be made, and only the end of one that was
    sets the count back: the next trial's ranks would wait for each other under two names."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


def _start(rank: int, port: int, task: dict[str, Any], said: BinaryIO) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.trial.ranks", str(rank), str(port)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=said,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(json.dumps(task).encode())
    return process


def _join(rank: int, count: int, port: int, numerics: Numerics) -> None:
    cuda = numerics.device == "cuda"
    if cuda:
        torch.cuda.set_device(rank)
    dist.init_process_group(
        "nccl" if cuda else "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=count,
        timeout=PATIENCE,
    )


def _cause(others: list[subprocess.Popen[bytes]], said: BinaryIO, error: Exception) -> Exception:
    """What to raise for rank 0's error: it may only be the echo of another rank's end."""
    if not any(word in str(error).lower() for word in _ECHO):
        return error
    for other in others:
        with contextlib.suppress(subprocess.TimeoutExpired):
            other.wait(END_SECONDS)
    ends = {rank: other.poll() for rank, other in enumerate(others, start=1)}
    killed = [
        f"rank {rank} ({signal.Signals(-code).name})" for rank, code in ends.items() if code and code < 0
    ]
    if killed:
        lost = f"a process of the trial was lost: {', '.join(killed)}; give the same command again"
        return SurroundingsError(lost)
    failed = [rank for rank, code in ends.items() if code]
    if not failed:
        return error
    said.seek(0)
    words = said.read().decode(errors="replace").strip().splitlines()
    return RuntimeError(f"rank {failed[0]}: {words[-1] if words else first_line(error)}")


def _device() -> torch.device:
    """Where the ranks' messages must lie."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def main() -> None:
    """Rank N of a trial, told on stdin; it ends with its rank 0, however that ends."""
    from harness.trial.run import run_trial

    end_with(os.getppid())
    rank, port = int(sys.argv[1]), int(sys.argv[2])
    task = json.load(sys.stdin)
    trial = Trial.model_validate(task.pop("trial"))
    _join(rank, trial.numerics.gpus, port, trial.numerics)
    checkpoint_dir, data_root = (task[name] and Path(task[name]) for name in ("checkpoint_dir", "data_root"))
    run_trial(
        trial,
        checkpoint_dir=checkpoint_dir,
        data_root=data_root,
        loaders=task["loaders"],
        known=Ranks(rank, trial.numerics.gpus),
    )
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

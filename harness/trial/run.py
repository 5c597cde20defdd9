"""One trial: build, fit, test, measure, record.

    record = run_trial(trial)

The same function serves the command line, Ray, a debugger and a test.
"""

from __future__ import annotations

import errno
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from harness import data
from harness.base.errors import UserError
from harness.base.text import first_line
from harness.experiment.augment import Augment
from harness.experiment.identity import trial_id
from harness.experiment.sampling import FrameRule
from harness.experiment.spec import TestProtocol, Trial
from harness.models import VideoModel
from harness.models.cost import CONVENTION, latency_and_memory, model_cost
from harness.results.predictions import predictions_frame
from harness.results.record import Record
from harness.trial.build import build_model
from harness.trial.evaluate import score_metrics, top_k_accuracy, video_scores
from harness.trial.fit import Fit, InputTransform, Report, TrialFailed
from harness.trial.pretrain import load_weights, prepare_weights
from harness.trial.provenance import cpu_seconds, provenance
from harness.trial.seeding import seed_everything, seed_for, set_numerics

TEST_BATCH_VIDEOS = 16


@dataclass
class _Bench:
    """The pieces of one trial on its device."""

    trial: Trial
    dataset: data.Dataset
    model: VideoModel
    transform: InputTransform

    def scores(self, role: data.Role, protocol: TestProtocol) -> np.ndarray:
        """(V, G, K) scores of a role's videos under a protocol."""
        trial, videos = self.trial, self.dataset.split(role)
        groups = data.snippet_groups(protocol.U, trial.train.U, protocol.grouping)
        batches = data.TestBatches(
            videos,
            trial.train.T,
            protocol.U,
            FrameRule(interval=trial.interval),
            trial.crop_px,
            protocol.crops,
            TEST_BATCH_VIDEOS,
        )
        return video_scores(
            self.model,
            batches,
            groups,
            protocol,
            videos=len(videos),
            transform=self.transform,
            numerics=trial.numerics,
        )

    def validate(self) -> float:
        """Top-1 on val by one view (U snippets, centre crop): the curve, and what recipes are chosen by."""
        scores_VGK = self.scores("select", TestProtocol(U=self.trial.train.U, crops=1, grouping="all"))
        return top_k_accuracy(scores_VGK.mean(1), self.dataset.split("select").labels, 1)


def _bench(trial: Trial, data_root: Path) -> _Bench:
    set_numerics(trial.numerics)
    device = trial.numerics.device
    if device == "cuda" and not torch.cuda.is_available():
        raise TrialFailed(
            "the profile asks for a GPU (numerics.device: cuda), and torch sees none on this machine"
        )
    dataset = data.open_dataset(data.dataset_spec(trial.dataset), data_root)
    seed_everything(trial.seed, "init")
    model = build_model(trial, dataset.info.num_classes)
    if trial.pretraining is not None:
        load_weights(model, prepare_start(trial, data_root))
    channels_last(model)
    transform = InputTransform(trial.recipe.mean, trial.recipe.std, device)
    return _Bench(trial, dataset, model.to(device), transform)


def channels_last(model: VideoModel) -> None:
    """Convolution weights in channels-last layout (1.3 times faster on a CPU core at the embedded scale)."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)


def prepare_start(trial: Trial, data_root: Path, report: Report | None = None) -> Path:
    """Make the trial's starting weights unless they are there (`harness.trial.pretrain`); returns their file."""

    def fit(start: Trial, tell: Report | None) -> VideoModel:
        bench = _bench(start, data_root)
        _fit(bench, None, tell)
        return bench.model

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        return prepare_weights(trial, data_root, fit, report)


def _fit(bench: _Bench, checkpoint_dir: Path | None, report: Report | None) -> Fit:
    """Train the bench's network to its last epoch."""
    trial = bench.trial
    batches = data.TrainBatches(
        bench.dataset.split("train"),
        trial.train.T,
        trial.train.U,
        FrameRule(interval=trial.interval),
        trial.crop_px,
        trial.recipe.batch_videos,
        seed_for(trial.seed, "data"),
        Augment(flip=trial.recipe.horizontal_flip),
    )
    seed_everything(trial.seed, "train")
    fit = Fit(
        model=bench.model,
        batches=batches,
        recipe=trial.recipe,
        numerics=trial.numerics,
        transform=bench.transform,
        validate=bench.validate,
        trial=trial_id(trial),
        checkpoint_dir=checkpoint_dir,
        report=report,
    )
    fit.run()
    return fit


def _cost(bench: _Bench, curve: list[dict[str, float]]) -> dict[str, float]:
    """Params and MACs of one view at the trial's own input, and what they took on this machine."""
    trial, protocol = bench.trial, bench.trial.test
    groups = data.snippet_groups(protocol.U, trial.train.U, protocol.grouping)
    U = len(groups[0])
    counted = model_cost(
        build_model(trial, bench.dataset.info.num_classes), T=trial.train.T, U=U, crop_px=trial.crop_px
    )
    x_NUCTHW = torch.zeros(1, U, 3, trial.train.T, trial.crop_px, trial.crop_px, device=trial.numerics.device)
    measured = latency_and_memory(bench.model, x_NUCTHW)
    views = len(groups) * protocol.crops
    return {
        "params": counted.params,
        "macs_per_view": counted.macs,
        "views": views,
        "macs_inference": counted.macs * views,
        "latency_ms": 1000 * measured.latency_s,
        "peak_memory_mb": measured.peak_memory_bytes / 2**20,
        "train_videos_per_s": float(np.median([epoch["train_videos_per_s"] for epoch in curve])),
    }


def run_trial(
    trial: Trial,
    *,
    checkpoint_dir: Path | None = None,
    data_root: Path | None = None,
    report: Report | None = None,
) -> Record:
    """Run one trial from start (or its checkpoint) to end.

    `report` is told after every epoch: state, epoch, epochs, loss, val_top1, seconds_left. Raises TrialFailed
    where the trial itself is at fault, UserError where the dataset is not there, whatever the module raises.
    """
    started, cpu_started = time.perf_counter(), cpu_seconds()
    bench = _bench(trial, data_root or data.data_root())
    fit = _fit(bench, checkpoint_dir, report)
    curve = fit.history
    if report is not None:
        report({"state": "test", "epoch": len(curve), "epochs": len(curve), "seconds_left": 0.0})
    split = bench.dataset.split("report")
    scores_VGK = bench.scores("report", trial.test)
    if not np.isfinite(scores_VGK).all():
        raise TrialFailed("diverged: a test score is not a number")
    return Record(
        trial=trial,
        status="done",
        metrics={
            **score_metrics(scores_VGK, split.labels),
            **bench.dataset.facet_metrics(scores_VGK.mean(1), "report"),
            "val_top1": curve[-1]["val_top1"],
        },
        curve=pd.DataFrame(curve),
        predictions=predictions_frame(scores_VGK, split.labels, split.video_ids),
        cost=_cost(bench, curve),
        provenance=_provenance(bench, fit, started, cpu_started),
    )


def _provenance(bench: _Bench, fit: Fit, started: float, cpu_started: float) -> dict[str, Any]:
    """`wall_seconds` counts the epochs of a killed predecessor, too; `cpu_seconds` is this process's alone."""
    info = bench.dataset.info
    before = sum(epoch["seconds"] for epoch in fit.history[: fit.resumed_from])
    return {
        **provenance(bench.trial.numerics),
        "dataset_manifest": info.manifest_hash,
        "order_blind_ceiling": info.order_blind_ceiling,
        "macs_convention": CONVENTION,
        "resumed_from_epoch": fit.resumed_from,
        "wall_seconds": before + time.perf_counter() - started,
        "cpu_seconds": cpu_seconds() - cpu_started,
    }


def failed_record(trial: Trial, error: BaseException) -> Record:
    """The row of a trial that raised: its reason in one line, and the traceback for whoever mends it."""
    return Record(
        trial=trial,
        status="failed",
        reason=failure_reason(error),
        traceback="".join(traceback.format_exception(error)),
        provenance=provenance(trial.numerics.model_copy(update={"device": "cpu"})),
    )


def failure_reason(error: BaseException) -> str:
    """One line that a table cell can show."""
    if isinstance(error, TrialFailed | UserError):
        return first_line(error, empty="no message")
    kind = "out of memory" if _out_of_memory(error) else type(error).__name__
    return f"{kind}: {first_line(error, empty='no message')}"


def _out_of_memory(error: BaseException) -> bool:
    """Torch's CPU allocator raises a bare RuntimeError, the kernel an OSError."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(
        error
    )


def run_trial_safely(trial: Trial, **options: Any) -> Record:
    """`run_trial`, with the trial's own exceptions turned into a failed record."""
    try:
        return run_trial(trial, **options)
    except Exception as error:
        return failed_record(trial, error)

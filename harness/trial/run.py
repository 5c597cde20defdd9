"""One trial: build, start, train, test, record; in one process, or in several that share its batches.

    record = run_trial(trial)

The same function serves the command line, Ray, a job array, a debugger and a test.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from harness import data
from harness.base.errors import UserError
from harness.experiment.identity import trial_id
from harness.experiment.sampling import TestProtocol
from harness.experiment.spec import Trial
from harness.models import VideoModel, build_network, load_release, read_checkpoint
from harness.models.cost import Cost, latency_and_memory, model_cost, shared_macs
from harness.models.variant import load_variant_source
from harness.models.weights import recognise
from harness.results.metrics import CONVENTION, Truth, metric, score_metrics
from harness.results.predictions import predictions_frame
from harness.results.record import Record
from harness.trial.evaluate import video_scores
from harness.trial.failure import SurroundingsError, TrialFailed
from harness.trial.fit import InputTransform, Report, train
from harness.trial.provenance import cpu_seconds, provenance
from harness.trial.ranks import ALONE, Ranks, together
from harness.trial.seeding import seed_everything, seed_for, set_numerics
from harness.trial.start import keep_trunk, load_start
from harness.trial.state import Checkpoints, Position

TEST_BATCH_VIDEOS = 16


def run_trial(
    trial: Trial,
    *,
    checkpoint_dir: Path | None = None,
    data_root: Path | None = None,
    report: Report | None = None,
    trunk: Path | None = None,
    loaders: int = 0,
    known: Ranks | None = None,
) -> Record:
    """Run one trial from start (or its checkpoint) to end.

    `report` is told after every epoch: state, epochs, seconds_left and its line of the curve. `trunk`: keep the trained
    backbone there (a start trial). `loaders`: processes that read ahead. `known`: given where this process is one of
    several that another one started. Raises TrialFailed where the trial itself is at fault, UserError where its
    surroundings are, whatever the module raises.
    """
    started, cpu_started = time.perf_counter(), cpu_seconds()
    _check_device(trial)
    with together(trial, known, checkpoint_dir=checkpoint_dir, data_root=data_root, loaders=loaders) as ranks:
        ready = _build(trial, data_root or data.data_root())
        loading = _loading(trial, loaders)
        batches = train_batches(trial, ready.dataset, loading, ranks)
        test = _Test(trial, ready.dataset, "report", trial.test, loading, ranks)
        seed_everything(trial.seed, "train")
        end = train(
            ready.model,
            batches,
            trial,
            validate=_validation(trial, ready, loading, ranks),
            checkpoints=Checkpoints(checkpoint_dir, trial_id(trial)) if checkpoint_dir else None,
            report=report,
            ranks=ranks,
        )
        if trunk is not None:
            keep_trunk(ready.model, trunk)
        if report is not None:
            done = len(end.history)
            report({"state": "test", "epoch": done, "epochs": done, "seconds_left": 0.0})
        scores_VGK = test.scores(ready.model)
    if not np.isfinite(scores_VGK).all():
        raise TrialFailed("diverged: a test score is not a number")
    wall = _before(end) + time.perf_counter() - started
    seconds = {"wall_seconds": wall, "cpu_seconds": cpu_seconds() - cpu_started}
    return _record(trial, ready, end, test, scores_VGK, seconds)


@dataclass(frozen=True)
class _Built:
    """A trial's dataset and its network, at the start, with what was counted of it. start_sha256: of its weights."""

    dataset: data.Dataset
    model: VideoModel
    start_sha256: str | None
    counted: Cost
    shared_macs: int


def _build(trial: Trial, root: Path) -> _Built:
    set_numerics(trial.numerics)
    dataset = data.open_dataset(trial.dataset, root)
    seed_everything(trial.seed, "init")
    model = build_model(trial, dataset.info.num_classes)
    start_sha256 = load_start(model, trial, root)
    counted = model_cost(model, T=trial.train.T, U=_group_size(trial), crop_px=trial.test_crop)
    shared = shared_macs(model, T=trial.train.T, crop_px=trial.test_crop)
    if trial.numerics.channels_last:
        channels_last(model)
    model.to(trial.numerics.device)
    return _Built(dataset, model, start_sha256, counted, shared)


def train_batches(
    trial: Trial, dataset: data.Dataset, loading: data.Loading, ranks: Ranks = ALONE
) -> data.TrainBatches:
    """A rank's part of the trial's training batches."""
    return data.TrainBatches(
        dataset.split("train"),
        trial.train.T,
        trial.train.U,
        trial.train.rule,
        trial.train_crop,
        trial.recipe.batch_videos,
        seed_for(trial.seed, "data"),
        trial.recipe.augment,
        shard=ranks.shard,
        loading=loading,
    )


def _validation(trial: Trial, ready: _Built, loading: data.Loading, ranks: Ranks) -> Callable[[], float]:
    """What an epoch is judged by: the dataset's first metric, on one view a video of val."""
    first = ready.dataset.info.metrics[0]
    judge = metric(first).function
    assert judge is not None, (
        f"dataset {ready.dataset.info.name} is judged by {first}, which is no function of scores"
    )
    short_side, crop = trial.test.short_side, trial.test_crop
    one_view = TestProtocol(U=trial.train.U, crops=1, grouping="all", crop_px=crop, short_side=short_side)
    val = _Test(trial, ready.dataset, "select", one_view, loading, ranks)
    return lambda: judge(val.scores(ready.model).mean(1), val.truth)


def _record(
    trial: Trial, ready: _Built, end: Position, test: _Test, scores_VGK: np.ndarray, seconds: dict[str, float]
) -> Record:
    info, measured = ready.dataset.info, latency_and_memory(ready.model, _one_input(trial))
    return Record(
        trial=trial,
        status="done",
        metrics={
            **score_metrics(scores_VGK.mean(1), test.truth),
            **ready.dataset.facet_metrics(scores_VGK.mean(1), "report"),
            f"val_{info.metrics[0]}": end.history[-1]["val_top1"],
        },
        curve=pd.DataFrame(end.history),
        predictions=predictions_frame(
            scores_VGK, test.split.labels, test.split.video_ids, test.split.multi_hot
        ),
        cost={
            **_counted(trial, ready.counted, ready.shared_macs),
            "latency_ms": 1000 * measured.latency_s,
            "peak_memory_mb": measured.peak_memory_bytes / 2**20,
            "train_videos_per_s": float(np.median([epoch["train_videos_per_s"] for epoch in end.history])),
        },
        provenance={
            **provenance(trial.numerics),
            **_facts(info, end),
            "start_sha256": ready.start_sha256,
            "peak_memory_kind": measured.peak_memory_kind,
            **seconds,
        },
    )


@dataclass(frozen=True)
class Tested:
    """Published weights under a trial's protocol. excluded: test videos that are missing or broken."""

    source: str
    metrics: dict[str, float]
    videos: int
    excluded: int
    views: int


def evaluate_weights(
    trial: Trial, weights: Path, *, source: str | None = None, data_root: Path | None = None, loaders: int = 0
) -> Tested:
    """Test a release's checkpoint by a trial's protocol, without training; its start and recipe play no part.

    source: whose names the file has; None: recognised by them. Raises UserError where the file is not readable, not
    recognised or does not fit network and classes, TrialFailed where a score is not a number.
    """
    set_numerics(trial.numerics)
    _check_device(trial)
    state = read_checkpoint(weights)
    dataset = data.open_dataset(trial.dataset, data_root or data.data_root())
    model = build_model(trial, dataset.info.num_classes)
    try:
        source = source or recognise(state)
        load_release(model, state, source)
    except UserError as error:
        raise UserError(f"{weights}: {error}") from None
    if trial.numerics.channels_last:
        channels_last(model)
    model.to(trial.numerics.device)
    test = _Test(trial, dataset, "report", trial.test, _loading(trial, loaders))
    scores_VGK = test.scores(model)
    if not np.isfinite(scores_VGK).all():
        raise TrialFailed(f"{weights}: a test score is not a number")
    metrics = {**score_metrics(scores_VGK.mean(1), test.truth)}
    metrics |= dataset.facet_metrics(scores_VGK.mean(1), "report")
    excluded = len(dataset.info.excluded.get("report", {}))
    return Tested(source, metrics, len(test.split), excluded, len(_groups(trial)) * trial.test.crops)


def build_model(trial: Trial, num_classes: int) -> VideoModel:
    """A fresh network by the trial's specification, its weights from torch's global generator.

    Raises TrialFailed for what its model or a module refuses.
    """
    try:
        for variant in trial.variants:
            load_variant_source(variant.source, variant.file)
        return build_network(trial.network, num_classes, U=trial.train.U, T=trial.train.T)
    except UserError as error:
        raise TrialFailed(str(error)) from error


def channels_last(model: torch.nn.Module) -> None:
    """Convolution weights in channels-last layout (1.3 times faster on a CPU core at the embedded scale)."""
    layouts = {torch.nn.Conv3d: torch.channels_last_3d, torch.nn.Conv2d: torch.channels_last}
    for module in model.modules():
        for kind, layout in layouts.items():
            if isinstance(module, kind):
                module.weight.data = module.weight.data.contiguous(memory_format=layout)


@dataclass(frozen=True)
class _Test:
    """The videos of one role under one protocol."""

    trial: Trial
    dataset: data.Dataset
    role: data.Role
    protocol: TestProtocol
    loading: data.Loading
    ranks: Ranks = ALONE

    @property
    def split(self) -> data.Split:
        return self.dataset.split(self.role)

    @property
    def truth(self) -> Truth:
        return Truth(self.split.labels, self.split.multi_hot)

    def scores(self, model: VideoModel) -> np.ndarray:
        """(V, G, K) scores."""
        trial, protocol, split = self.trial, self.protocol, self.split
        batches = data.TestBatches(
            split,
            trial.train.T,
            protocol.U,
            trial.train.rule,
            protocol.crop_px or trial.test_crop,
            protocol.crops,
            TEST_BATCH_VIDEOS,
            protocol.short_side,
            model_U=trial.train.U,
            shard=self.ranks.shard,
            loading=self.loading,
        )
        return video_scores(
            model,
            batches,
            data.snippet_groups(protocol.U, trial.train.U, protocol.grouping),
            protocol,
            videos=len(split),
            mirrored_labels=self.dataset.info.mirrored_labels(),
            transform=InputTransform(trial.input, trial.numerics.device),
            numerics=trial.numerics,
            ranks=self.ranks,
        )


def _check_device(trial: Trial) -> None:
    if trial.numerics.device != "cuda":
        return
    if not torch.cuda.is_available():
        raise SurroundingsError(
            "the profile asks for a GPU (numerics.device: cuda), and torch sees none on this machine"
        )
    if torch.cuda.device_count() < trial.numerics.gpus:
        raise SurroundingsError(
            f"the profile asks for {trial.numerics.gpus} GPUs a trial (numerics.gpus), and torch sees "
            f"{torch.cuda.device_count()} here"
        )


def _loading(trial: Trial, loaders: int) -> data.Loading:
    cuda = trial.numerics.device == "cuda"
    return data.Loading(workers=loaders, device="cuda" if cuda and loaders else None, pin=cuda)


def _groups(trial: Trial) -> tuple[tuple[int, ...], ...]:
    return data.snippet_groups(trial.test.U, trial.train.U, trial.test.grouping)


def _group_size(trial: Trial) -> int:
    return len(_groups(trial)[0])


def _one_input(trial: Trial) -> torch.Tensor:
    shape = (1, _group_size(trial), 3, trial.train.T, trial.test_crop, trial.test_crop)
    return torch.zeros(shape, device=trial.numerics.device)


def _counted(trial: Trial, counted: Cost, shared: int) -> dict[str, float]:
    """Multiply-adds: of a view as papers count it, and of a test video as it was run.

    `shared` are those of the steps that run once a snippet, however many groups it stands in.
    """
    groups, crops = _groups(trial), trial.test.crops
    rest = counted.macs - shared * len(groups[0])
    return {
        "params": counted.params,
        "macs_per_view": counted.macs,
        "views": len(groups) * crops,
        "macs_inference": counted.macs * len(groups) * crops,
        "macs_as_run": (shared * trial.test.U + rest * len(groups)) * crops,
    }


def _facts(info: data.DatasetInfo, end: Position) -> dict[str, Any]:
    excluded = {role: len(videos) for role, videos in info.excluded.items() if videos}
    return {
        "dataset_manifest": info.manifest_hash,
        "order_blind_ceiling": info.order_blind_ceiling,
        "excluded_videos": excluded or None,
        "macs_convention": CONVENTION,
        "resumed_from_epoch": end.resumed_from,
    }


def _before(end: Position) -> float:
    """Seconds of the epochs of a killed predecessor."""
    return sum(line["seconds"] for line in end.history[: end.resumed_from])

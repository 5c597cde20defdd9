"""Synthetic records, for tests that need results but no training.

    record = make_record(planned, top1=78.0)                    # one finished trial, 480 videos x 20 classes
    record = make_failed_record(planned, "diverged: loss is not a number")

All methods see the same videos, each with its own difficulty, so that paired statistics behave as on real
records.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pandas as pd

from harness.experiment.spec import Trial
from harness.results.metrics import Truth, score_metrics
from harness.results.predictions import predictions_frame
from harness.results.record import Record
from harness.trial.evaluate import quantize

VIDEOS, CLASSES, GROUPS = 480, 20, 2
MANIFEST = "5ca1ab1e00000000"
PROVENANCE = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": False,
    "host": "testhost",
    "processor": "Synthetic CPU",
    "cores": 2,
    "version_torch": "2.13.0",
    "version_decord": "0.6.0",
    "version_python": "3.11.0",
    "created": "2026-11-01T12:00:00+00:00",
    "dataset_manifest": MANIFEST,
    "order_blind_ceiling": 70.0,
    "wall_seconds": 61.0,
    "cpu_seconds": 58.0,
}


def trial_of(planned_or_trial: Any) -> Trial:
    return getattr(planned_or_trial, "trial", planned_or_trial)


def _difficulty(videos: int) -> np.ndarray:
    return np.random.default_rng(7).normal(0, 1.2, videos)


def _correct(top1: float, videos: int, rng: np.random.Generator) -> np.ndarray:
    """Which videos are answered rightly: round(top1 %) of them, the easy ones rather than the hard ones."""
    ease = rng.normal(0, 1, videos) - _difficulty(videos)
    right = np.zeros(videos, dtype=bool)
    right[np.argsort(-ease)[: round(videos * top1 / 100)]] = True
    return right


def make_predictions(
    top1: float, rng: np.random.Generator, videos: int = VIDEOS, classes: int = CLASSES, groups: int = GROUPS
) -> tuple[np.ndarray, np.ndarray]:
    """(V, G, K) scores whose mean over groups has about the asked top-1, and (V,) labels."""
    labels = np.arange(videos) % classes
    right = _correct(top1, videos, rng)
    winner = np.where(right, labels, (labels + rng.integers(1, classes, videos)) % classes)
    scores = rng.normal(0, 1, (videos, groups, classes))
    scores[np.arange(videos), :, labels] += 1.0
    best = scores.mean(1).max(1)
    scores[np.arange(videos), :, winner] = best[:, None] + 0.5
    return quantize(scores), labels


def make_record(
    planned: Any, top1: float = 75.0, *, seed_sd: float = 1.0, videos: int = VIDEOS, **provenance: Any
) -> Record:
    """A finished trial whose top-1 is `top1` plus noise of its seed; deterministic in the trial."""
    trial = trial_of(planned)
    rng = np.random.default_rng([trial.seed, zlib.crc32(trial.model_dump_json(exclude={"seed"}).encode())])
    scores, labels = make_predictions(float(np.clip(top1 + rng.normal(0, seed_sd), 5, 100)), rng, videos)
    ids = [f"test/{i:04d}" for i in range(videos)]
    metrics = score_metrics(scores.mean(1), Truth(labels))
    middle = metrics["top1"]
    factors = {"appearance": 96.0, "motion": 88.0, "order": middle - 10, "position": middle - 18}
    return Record(
        trial=trial,
        status="done",
        metrics={
            **metrics,
            **{f"factor_{name}": float(np.clip(v + rng.normal(0, 1), 0, 100)) for name, v in factors.items()},
            "val_top1": middle + 1.0,
        },
        curve=make_curve(trial, middle, rng),
        predictions=predictions_frame(scores, labels, ids),
        cost=make_cost(trial),
        provenance={**PROVENANCE, **provenance},
    )


def make_curve(trial: Trial, top1: float, rng: np.random.Generator) -> pd.DataFrame:
    """One line an epoch: epoch, loss, lr, train_top1, val_top1, seconds."""
    epochs = np.arange(1, trial.recipe.epochs + 1)
    grown = 1 - np.exp(-3 * epochs / len(epochs))
    return pd.DataFrame(
        {
            "epoch": epochs,
            "loss": 3.0 * (1 - 0.8 * grown) + rng.normal(0, 0.02, len(epochs)),
            "lr": np.linspace(trial.recipe.lr, 0, len(epochs)),
            "train_top1": np.clip(top1 * grown + 3, 0, 100),
            "val_top1": np.clip(top1 * grown + rng.normal(0, 1.0, len(epochs)), 0, 100),
            "seconds": 5.0,
            "train_videos_per_s": 120.0,
        }
    )


def make_cost(trial: Trial) -> dict[str, float]:
    """Plausible, not measured: the harness's own counter is tested elsewhere."""
    macs = 20e6 * trial.train.T * trial.train.U
    groups = {
        "each": trial.test.U,
        "interleaved": trial.test.U // trial.train.U,
        "all": 1,
        "combinations": 36,
    }
    views = groups[trial.test.grouping] * trial.test.crops
    return {
        "params": 5.0e5,
        "macs_per_view": macs,
        "views": views,
        "macs_inference": macs * views,
        "latency_ms": 12.0,
        "peak_memory_mb": 410.0,
        "train_videos_per_s": 120.0,
    }


def make_failed_record(planned: Any, reason: str = "diverged: loss is not a number at step 12") -> Record:
    """A trial that raised."""
    return Record(
        trial=trial_of(planned),
        status="failed",
        reason=reason,
        traceback=f"Traceback (most recent call last):\nTrialFailed: {reason}",
        provenance=dict(PROVENANCE),
    )

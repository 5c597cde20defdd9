"""What a plan will cost, before it runs: from measured trials of the like, else scaled from trials of the
same profile by their multiply-adds, else from a short calibration on this machine.

A trial's work is counted in multiply-adds (`harness.plan.work`). They explain the seconds of one
profile on one machine only roughly (small networks are bound by memory), so scaled estimates carry the spread
that the measured trials show around it.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from harness.experiment.identity import canonical_json
from harness.experiment.spec import Profile, Trial
from harness.plan.calibrate import calibrated_seconds
from harness.plan.cores import available_cores
from harness.plan.expand import Planned
from harness.plan.work import work_of

# Measured on 2 cores (Ray 2.60): starting and ending a local Ray; a fresh process with torch for each trial.
RAY_SECONDS = 10.0
PROCESS_SECONDS = 5.0
RAY_MB = 650.0
PROCESS_MB = 500.0
RECORD_MB = 0.06
ADAM_BYTES_PER_PARAM = 12.0
CALIBRATION_SECONDS = 8.0  # then other networks are scaled from those that were timed
CALIBRATION_RANGE = (0.6, 1.8)


@dataclass(frozen=True)
class Range:
    """A number with what it may be at the least and at the most."""

    low: float
    middle: float
    high: float

    def scaled(self, factor: float) -> Range:
        return Range(self.low * factor, self.middle * factor, self.high * factor)

    def plus(self, amount: float) -> Range:
        return Range(self.low + amount, self.middle + amount, self.high + amount)


@dataclass(frozen=True)
class Estimate:
    """For the trials still to run. Hours are of reserved CPUs and GPUs; None where nothing can be known.

    `basis` counts the trials by where their estimate comes from: measured, scaled, calibrated, unknown.
    """

    trials: int
    slots: int
    wall_seconds: Range | None
    cpu_hours: Range | None
    gpu_hours: Range | None
    memory_mb: float
    disk_mb: float
    basis: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(todo: Sequence[Planned], profile: Profile, records: pd.DataFrame) -> Estimate:
    """Estimate `todo` from `records` (`harness.results.load`)."""
    slots = slots_of(profile)
    seconds, basis = trial_seconds([p.trial for p in todo], records)
    wall, cpu, gpu = None, None, None
    if seconds is not None:
        wall = seconds.plus(PROCESS_SECONDS * len(todo)).scaled(1 / slots).plus(RAY_SECONDS if todo else 0.0)
        cpu = seconds.scaled(profile.resources.cpus / 3600)
        gpu = seconds.scaled(profile.resources.gpus / 3600)
    peak, params = _largest(records, "cost_peak_memory_mb", PROCESS_MB), _largest(records, "cost_params", 1e6)
    return Estimate(
        trials=len(todo),
        slots=slots,
        wall_seconds=wall,
        cpu_hours=cpu,
        gpu_hours=gpu if profile.resources.gpus else None,
        memory_mb=RAY_MB + slots * peak,
        disk_mb=RECORD_MB * len(todo) + slots * params * ADAM_BYTES_PER_PARAM / 2**20,
        basis=basis,
    )


def slots_of(profile: Profile) -> int:
    """How many trials run at a time on this machine, at least 1 (GPUs: as many as torch sees)."""
    slots = int(available_cores() / profile.resources.cpus)
    if profile.resources.gpus:
        import torch

        slots = min(slots, int(torch.cuda.device_count() / profile.resources.gpus))
    return max(1, slots)


def trial_seconds(trials: Sequence[Trial], records: pd.DataFrame) -> tuple[Range | None, dict[str, int]]:
    """Seconds of all `trials` one after the other, and where the numbers come from."""
    evidence = _Evidence(records)
    found = [evidence.of(trial) for trial in trials]
    basis = {
        kind: sum(k == kind for k, _ in found) for kind in ("measured", "scaled", "calibrated", "unknown")
    }
    ranges = [r for _, r in found if r is not None]
    if len(ranges) < len(found):
        return None, basis
    total = Range(sum(r.low for r in ranges), sum(r.middle for r in ranges), sum(r.high for r in ranges))
    return total, basis


class _Evidence:
    """Measured seconds by what was trained, with the work of each."""

    def __init__(self, records: pd.DataFrame) -> None:
        self.by_kind: dict[str, list[float]] = {}
        self.rates: dict[str, list[float]] = {}  # scale -> seconds a multiply-add, measured
        self.timed: dict[str, list[tuple[Trial, float]]] = {}  # scale -> what was calibrated
        self.calibration_left = CALIBRATION_SECONDS
        self.estimates: dict[str, tuple[str, Range | None]] = {}
        if "provenance_wall_seconds" in records:
            done = records[(records["status"] == "done") & records["provenance_wall_seconds"].notna()]
            for line in done.to_dict("records"):
                self._add({str(key): value for key, value in line.items()})

    def _add(self, line: dict[str, Any]) -> None:
        trial = Trial.model_validate_json(line["config"])
        seconds = float(line["provenance_wall_seconds"])
        self.by_kind.setdefault(kind_of(trial), []).append(seconds)
        if work := work_of(trial, macs_per_view=line["cost_macs_per_view"]):
            self.rates.setdefault(_scale(trial), []).append(seconds / work)

    def of(self, trial: Trial) -> tuple[str, Range | None]:
        """("measured" | "scaled" | "calibrated" | "unknown", seconds)."""
        kind = kind_of(trial)
        if kind not in self.estimates:
            self.estimates[kind] = self._estimate(trial)
        return self.estimates[kind]

    def _estimate(self, trial: Trial) -> tuple[str, Range | None]:
        measured = self.by_kind.get(kind_of(trial))
        if measured:
            return "measured", _spread(measured)
        if rates := self.rates.get(_scale(trial)):
            return "scaled", _spread(rates).scaled(work_of(trial) or math.nan)
        seconds = self._calibrated(trial)
        if seconds is None:
            return "unknown", None
        low, high = CALIBRATION_RANGE
        return "calibrated", Range(low * seconds, seconds, high * seconds)

    def _calibrated(self, trial: Trial) -> float | None:
        """By timed steps of its own, or of the networks that were timed before the budget was spent."""
        timed = self.timed.setdefault(_scale(trial), [])
        if self.calibration_left <= 0 and timed:
            rates = [seconds / (work_of(one) or math.nan) for one, seconds in timed]
            return statistics.median(rates) * (work_of(trial) or math.nan)
        started = time.monotonic()
        seconds = calibrated_seconds(trial)
        self.calibration_left -= time.monotonic() - started
        if seconds is not None:
            timed.append((trial, seconds))
        return seconds


def _spread(values: list[float]) -> Range:
    return Range(min(values), statistics.median(values), max(values))


def kind_of(trial: Trial) -> str:
    """Trials of one kind differ by their seed alone (a variant by its text, too)."""
    return canonical_json(trial.model_dump(mode="json", exclude={"seed"}))


def _scale(trial: Trial) -> str:
    """Trials whose seconds scale with their work: one dataset, input size, width and machine setting."""
    parts = {"dataset": trial.dataset, "crop": trial.crop_px, "width": trial.network.width}
    return canonical_json({**parts, "numerics": trial.numerics.model_dump(mode="json")})


def _largest(records: pd.DataFrame, column: str, default: float) -> float:
    known = records[column].dropna() if column in records else pd.Series(dtype=float)
    return float(known.max()) if len(known) else default

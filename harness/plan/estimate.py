"""What a plan will cost, before it runs: from measured trials of the like, else scaled from trials of the same
profile by their multiply-adds, else from a short calibration on this machine, else unknown. It never fails.

Multiply-adds explain the seconds of one profile on one machine only roughly (small networks are bound by memory), so
scaled estimates carry the spread that the measured trials show around it.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.base.errors import UserError
from harness.data.registry import describe
from harness.experiment.identity import canonical_json, trial_id
from harness.experiment.migrate import SCHEMA_VERSION, read_trial
from harness.experiment.spec import Profile, Trial
from harness.plan.counts import BACKWARD, classes_of, groups_of, macs_per_snippet, parameters, passes_of
from harness.plan.expand import Planned

# Measured on 2 cores (Ray 2.60): starting and ending a local Ray; a fresh process with torch for each trial.
RAY_SECONDS = 10.0
PROCESS_SECONDS = 5.0
RAY_MB = 650.0
PROCESS_MB = 500.0
RECORD_MB = 0.02  # without its scores
SCORE_BYTES = 1.6  # of one class of one view group, compressed (158 shipped records)
ADAM_BYTES_PER_PARAM = 12.0
COUNT_SECONDS = 5.0  # then networks that are not counted yet take the middle of those that are
CALIBRATION_SECONDS = 8.0  # then other networks are scaled from those that were timed
CALIBRATION_STEPS = 2
CALIBRATION_RANGE = (0.6, 1.8)
SLOWEST_MACS_A_SECOND = (
    5e9  # of one core: no calibration whose steps would take longer than the budget at that rate
)
READ_AT_MOST = 200  # networks among the records that say how seconds scale
_RATED = ("id", "config", "cost_macs_per_view", "provenance_wall_seconds")
BASES = ("measured", "scaled", "calibrated", "unknown")
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
CPU_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


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

    `basis` counts the trials by where their estimate comes from: measured, scaled, calibrated, unknown. Those unknown
    are in no number. `memory_mb` is of the machine, not of a GPU, and None where a trial is unknown: a full-size
    network's activations are many times what small ones took.
    """

    trials: int
    slots: int
    wall_seconds: Range | None
    cpu_hours: Range | None
    gpu_hours: Range | None
    memory_mb: float | None
    disk_mb: float
    basis: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(
    todo: Sequence[Planned],
    profile: Profile,
    records: pd.DataFrame,
    tell: Callable[[str, int, int], None] | None = None,
) -> Estimate:
    """Estimate `todo` from `records` (`harness.results.load`); `tell` hears (stage, done, total)."""
    slots = slots_of(profile)
    seconds, basis = trial_seconds([p.trial for p in todo], records, tell)
    wall, cpu, gpu = None, None, None
    if seconds is not None:
        wall = seconds.plus(PROCESS_SECONDS * len(todo)).scaled(1 / slots).plus(RAY_SECONDS if todo else 0.0)
        cpu = seconds.scaled(profile.resources.cpus / 3600)
        gpu = seconds.scaled(profile.resources.gpus / 3600)
    peak = _largest(records, "cost_peak_memory_mb", PROCESS_MB)
    distinct = {kind_of(p.trial): p.trial for p in todo}
    params = max((_parameters(trial) for trial in distinct.values()), default=0)
    return Estimate(
        trials=len(todo),
        slots=slots,
        wall_seconds=wall,
        cpu_hours=cpu,
        gpu_hours=gpu if profile.resources.gpus else None,
        memory_mb=None if basis["unknown"] else RAY_MB + slots * peak,
        disk_mb=sum(_record_mb(p.trial) for p in todo)
        + min(slots, len(todo)) * params * ADAM_BYTES_PER_PARAM / 2**20,
        basis=basis,
    )


def _parameters(trial: Trial) -> int:
    """Of its network; none of one that cannot be built, which the trial itself will say."""
    with contextlib.suppress(Exception):  # a variant's code may raise anything
        return parameters(
            trial.network,
            classes=classes_of(trial),
            T=trial.train.T,
            U=trial.train.U,
            variants=trial.variants,
        )
    return 0


def _record_mb(trial: Trial) -> float:
    """A record with its scores of every test video."""
    sizes = describe(trial.dataset)
    scores = 0 if sizes is None else sizes.videos["report"] * len(groups_of(trial)) * sizes.num_classes
    return RECORD_MB + scores * SCORE_BYTES / 2**20


def slots_of(profile: Profile) -> int:
    """How many trials run at a time on this machine, at least 1 (GPUs: as many as torch sees)."""
    slots = int(available_cores() / profile.resources.cpus)
    if profile.resources.gpus:
        import torch

        slots = min(slots, int(torch.cuda.device_count() / profile.resources.gpus))
    return max(1, slots)


def available_cores() -> int:
    """Cores that this process may use, at least 1: its affinity, and a container's quota (`docker --cpus 2`)."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = CPU_MAX.read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = CPU_QUOTA.read_text(), CPU_PERIOD.read_text()
        except OSError:
            return cores
    if quota == "max" or int(quota) < 0:
        return cores
    return max(1, min(cores, int(int(quota) / int(period))))


def trial_seconds(
    trials: Sequence[Trial], records: pd.DataFrame, tell: Callable[[str, int, int], None] | None = None
) -> tuple[Range | None, dict[str, int]]:
    """Seconds of all `trials` one after the other, but for the unknown; and where the numbers come from."""
    evidence, by_kind = _Evidence(records), dict[str, tuple[str, Range | None]]()
    kinds = [kind_of(trial) for trial in trials]
    distinct = dict(zip(kinds, trials, strict=True))
    for number, (kind, trial) in enumerate(distinct.items()):
        by_kind[kind] = evidence.of(trial)
        if tell is not None and evidence.slow:
            tell("estimate", number + 1, len(distinct))
    found = [by_kind[kind] for kind in kinds]
    basis = {base: sum(b == base for b, _ in found) for base in BASES}
    ranges = [r for _, r in found if r is not None]
    if not ranges:
        return None, basis
    return Range(*(sum(getattr(r, end) for r in ranges) for end in ("low", "middle", "high"))), basis


class _Evidence:
    """Measured seconds by what was trained, and how seconds scale with the work; within two budgets of time."""

    def __init__(self, records: pd.DataFrame) -> None:
        self.seconds: dict[str, float] = {}
        self.seeds: list[int] = []
        self.networks: list[dict[str, Any]] = []
        self.rates: dict[str, list[float]] = {}  # scale -> seconds a multiply-add
        self.macs: dict[str, list[float]] = {}  # scale -> multiply-adds a snippet of what was counted
        self.timed: dict[str, list[float]] = {}  # scale -> seconds a multiply-add of what was calibrated
        self.count_left, self.calibration_left = COUNT_SECONDS, CALIBRATION_SECONDS
        self.slow = False  # whether anything was counted or timed
        if "provenance_wall_seconds" in records:
            done = records[(records["status"] == "done") & records["provenance_wall_seconds"].notna()]
            self.seconds = dict(zip(done["id"], done["provenance_wall_seconds"].astype(float), strict=True))
            self.seeds = sorted(done["seed"].dropna().astype(int).unique().tolist())
            told = ["model", "options", "placement", "T", "U", "dataset", "crop_px"]
            first = done.drop_duplicates([name for name in told if name in done])
            kept = first[[name for name in (*_RATED, "dataset", "crop_px") if name in first]]
            self.networks = [{str(k): v for k, v in line.items()} for line in kept.to_dict("records")]

    def of(self, trial: Trial) -> tuple[str, Range | None]:
        """("measured" | "scaled" | "calibrated" | "unknown", seconds)."""
        measured = [
            self.seconds[name]
            for seed in self.seeds
            if (name := trial_id(trial.model_copy(update={"seed": seed}))) in self.seconds
        ]
        if measured:
            return "measured", _spread(measured)
        try:
            return self._unlike(trial)
        except (
            Exception
        ):  # a variant's code may raise anything; the trial itself will say it, with its reason
            return "unknown", None

    def _unlike(self, trial: Trial) -> tuple[str, Range | None]:
        """For a network of which there is no record."""
        self.slow = True
        passes, scale = passes_of(trial), _scale(trial)
        if passes is None:
            return "unknown", None
        work = passes.forward_equivalents * self._macs(trial, scale)
        if rates := self._rates(trial, scale):
            return "scaled", _spread(rates).scaled(work)
        timed = self.timed.setdefault(scale, [])
        if self.calibration_left > 0 or not timed:
            begun = time.monotonic()
            try:
                seconds = calibrated_seconds(trial)
            finally:
                self.calibration_left -= time.monotonic() - begun
            if seconds is None:
                return "unknown", None
            timed.append(seconds / work)
        else:
            seconds = statistics.median(timed) * work
        low, high = CALIBRATION_RANGE
        return "calibrated", Range(low * seconds, seconds, high * seconds)

    def _macs(self, trial: Trial, scale: str) -> float:
        """Multiply-adds a snippet; the middle of the like when the time for counting is spent."""
        known = self.macs.setdefault(scale, [])
        if self.count_left <= 0:
            return statistics.median(known)
        begun = time.monotonic()
        try:
            known.append(macs_per_snippet(trial))
        finally:
            self.count_left -= time.monotonic() - begun
        return known[-1]

    def _rates(self, trial: Trial, scale: str) -> list[float]:
        """Seconds a multiply-add of the records of this scale."""
        if scale not in self.rates:
            wanted = {"dataset": trial.dataset.name, "crop_px": trial.train_crop}
            like = [n for n in self.networks if all(n.get(key) == value for key, value in wanted.items())]
            found = (_rate(line, scale) for line in like[:READ_AT_MOST])
            self.rates[scale] = [rate for rate in found if rate is not None]
        return self.rates[scale]


def _rate(line: dict[str, Any], scale: str) -> float | None:
    """Seconds a multiply-add of a record; None for one of another scale, or that does not say."""
    try:
        trial = read_trial(line["config"], SCHEMA_VERSION, line["id"])
    except UserError:
        return None
    passes, macs = passes_of(trial), line.get("cost_macs_per_view")
    if passes is None or not macs or macs != macs or _scale(trial) != scale:  # noqa: PLR0124 - NaN is not itself
        return None
    work = passes.forward_equivalents * float(macs) / len(groups_of(trial)[0])
    return float(line["provenance_wall_seconds"]) / work


def calibrated_seconds(trial: Trial) -> float | None:
    """Seconds of a whole trial from a few timed steps on noise.

    None where the dataset's size or the GPU is missing, or where even the steps would take too long. Reading the data
    is not in it; for the embedded dataset that is below a tenth of a step. Raises what the network raises.
    """
    import torch

    passes = passes_of(trial)
    cuda = trial.numerics.device == "cuda"
    if passes is None or (cuda and not torch.cuda.is_available()):
        return None
    snippets = trial.recipe.batch_videos * trial.train.U
    step_macs = BACKWARD * snippets * macs_per_snippet(trial)
    if not cuda and (1 + CALIBRATION_STEPS) * step_macs > SLOWEST_MACS_A_SECOND * CALIBRATION_SECONDS:
        return None
    threads = torch.get_num_threads()
    torch.set_num_threads(trial.numerics.threads)
    try:
        with torch.random.fork_rng():
            snippet = _seconds_per_step(trial) / snippets
    finally:
        torch.set_num_threads(threads)
    return snippet * (passes.train + passes.test / BACKWARD)


def _seconds_per_step(trial: Trial) -> float:
    """Forward, backward and update of one batch, after one step to warm up."""
    import torch
    from torch.nn.functional import cross_entropy

    from harness.trial.fit import autocast, make_optimizer
    from harness.trial.run import build_model

    device, N, crop = trial.numerics.device, trial.recipe.batch_videos, trial.train_crop
    model = build_model(trial, classes_of(trial)).to(device).train()
    optimizer = make_optimizer(model, trial.recipe)
    x_NUCTHW = torch.randn(N, trial.train.U, 3, trial.train.T, crop, crop, device=device)
    labels = torch.zeros(N, dtype=torch.long, device=device)
    seconds = []
    for _ in range(1 + CALIBRATION_STEPS):
        started = time.perf_counter()
        with autocast(trial.numerics):
            scores_NK = model(x_NUCTHW)
        cross_entropy(scores_NK.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return sum(seconds[1:]) / CALIBRATION_STEPS


def kind_of(trial: Trial) -> str:
    """Trials of one kind differ by their seed alone (a variant by its text, too)."""
    return trial.model_copy(update={"seed": 0}).model_dump_json()


def _scale(trial: Trial) -> str:
    """Trials whose seconds scale with their work: one dataset, input size, width and machine setting."""
    return canonical_json(
        {
            "dataset": trial.dataset.model_dump(mode="json"),
            "crop": trial.train_crop,
            "width": trial.network.options.get("width"),
            "numerics": trial.numerics.model_dump(mode="json"),
        }
    )


def _spread(values: list[float]) -> Range:
    return Range(min(values), statistics.median(values), max(values))


def _largest(records: pd.DataFrame, column: str, default: float) -> float:
    known = records[column].dropna() if column in records else pd.Series(dtype=float)
    return float(known.max()) if len(known) else default

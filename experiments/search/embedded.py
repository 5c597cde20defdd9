"""The search for the setting of `embedded`: measured on val, never on test.

    HARNESS_DATA=data python experiments/search/embedded.py [CANDIDATE ROW[,ROW…] SEED[,SEED…] [TIMES]]

A candidate is the profile `first.yaml` with a few keys replaced (`embedded.yaml`, both here).
TIMES multiplies its epochs (2: has it converged?). Every run appends one line to `embedded.jsonl`; what stands
there is not run again. A candidate's test split has one video a class and is never scored; val has 24 and is
scored once, after the last epoch, by the row's test protocol. Without arguments the log is summed up.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from harness import data
from harness.experiment.datasets import ScriptedDigits
from harness.experiment.load import load_experiment, load_profile
from harness.experiment.spec import Profile, Trial
from harness.experiment.start import start_trial, trunk_path
from harness.plan.expand import plan_trials
from harness.results.metrics import score_metrics
from harness.statistics.population import resample_from
from harness.statistics.power import smallest_detectable_difference
from harness.trial import run
from harness.trial.provenance import cpu_seconds
from harness.trial.seeding import seed_everything, set_numerics
from harness.trial.start import load_start

HERE = Path(__file__).resolve().parent
LOG = HERE / "embedded.jsonl"
ROWS = {  # short name: table, row
    "i3d4": ("ablation_a", "I3D 4x1"),
    "i3d16": ("ablation_a", "I3D 16x1"),
    "tsn": ("ablation_a", "TSN+I3D 4x4"),
    "v4d": ("ablation_a", "V4D+I3D 4x4"),
    "dsa": ("ablation_a", "DSA+I3D 4x4"),
    "final": ("ablation_f", "res{3,4} x5"),
    "res2": ("ablation_d", "res{2}"),
    "res3": ("ablation_d", "res{3}"),
    "res4": ("ablation_d", "res{4}"),
    "res5": ("ablation_d", "res{5}"),
    "res5_8": ("ablation_f", "res{5} x1"),
    "res23_8": ("ablation_f", "res{2,3} x3"),
    "se18": ("ablation_h", "SENet+I3D R18"),
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, mappings merged key by key."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if both else value
    return result


def candidate_profile(name: str, times: int) -> Profile:
    """The first profile, the candidate's changes, and the search's own splits."""
    known = yaml.safe_load((HERE / "embedded.yaml").read_text())
    chain = [known[name]]
    while "like" in chain[-1]:
        chain.append(known[chain[-1]["like"]])
    declared = load_profile(HERE / "first.yaml").model_dump(exclude_unset=True)
    for change in reversed(chain):
        declared = merged(declared, {key: value for key, value in change.items() if key != "like"})
    declared["recipe"]["epochs"] *= times
    declared["recipe"]["warmup_epochs"] *= times
    return Profile.model_validate(merged(declared, {"dataset": {"videos_per_class": {"val": 24, "test": 1}}}))


def planned(row: str, profile: Profile, seed: int) -> Trial:
    """The row's trial under the candidate."""
    table, name = ROWS[row]
    return next(p.trial for p in plan_trials(load_experiment(table), profile, [seed]) if p.row == name)


def prepare(trial: Trial, root: Path) -> None:
    """The trial's dataset, and its start's with the trunk that comes of it."""
    data.prepare(trial.dataset, root)
    start = start_trial(trial)
    if start is not None and not (trunk := trunk_path(start, root)).exists():
        data.prepare(start.dataset, root)
        run.run_trial(start, data_root=root, trunk=trunk)


def measure(trial: Trial, root: Path) -> dict[str, Any]:
    """Train, score val once with the row's views; what the log keeps of it. As `run_trial`, but for the test."""
    set_numerics(trial.numerics)
    began, dataset, loading = cpu_seconds(), data.open_dataset(trial.dataset, root), data.Loading()
    seed_everything(trial.seed, "init")
    model = run.build_model(trial, dataset.info.num_classes)
    load_start(model, trial, root)
    run.channels_last(model)
    batches = run.train_batches(trial, dataset, loading)
    seed_everything(trial.seed, "train")
    end = run.train(model, batches, trial, validate=lambda: float("nan"))
    trained, spec = cpu_seconds(), trial.dataset
    assert isinstance(spec, ScriptedDigits)
    val = run._Test(trial, dataset, "select", trial.test, loading)
    scores_VK = val.scores(model).mean(1)
    curve = [round(epoch["train_top1"], 1) for epoch in end.history]
    facets = dataset.facet_metrics(scores_VK, "select")
    return {
        "top1": round(score_metrics(scores_VK, val.truth)["top1"], 2),
        **{name.removeprefix("factor_"): round(value, 1) for name, value in facets.items()},
        "cpu_s": round(trained - began, 1),
        "score_cpu_s": round(cpu_seconds() - trained, 1),
        "epochs": trial.recipe.epochs,
        "steps": trial.recipe.epochs * len(batches),
        "videos": spec.videos_per_class.train,
        "jitter_px": spec.jitter_px,
        "train_top1": [curve[(len(curve) * part) // 8 - 1] for part in range(1, 9)],
        "right": np.packbits(scores_VK.argmax(1) == val.split.labels).tobytes().hex(),
    }


def main(name: str, rows: str, seeds: str, times: str = "1") -> None:
    """Run what is not in the log yet, one line each."""
    root, profile = data.data_root(), candidate_profile(name, int(times))
    label = name if times == "1" else f"{name} x{times}"
    lines = LOG.read_text().splitlines() if LOG.exists() else []
    done = {tuple(json.loads(line)[key] for key in ("candidate", "row", "seed")) for line in lines}
    for seed in map(int, seeds.split(",")):
        for row in rows.split(","):
            if (label, row, seed) in done:
                continue
            trial = planned(row, profile, seed)
            prepare(trial, root)
            line = {"candidate": label, "row": row, "seed": seed, **measure(trial, root)}
            with LOG.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print({key: value for key, value in line.items() if key != "right"}, flush=True)


def summary() -> None:
    """One line a candidate and row: seeds, mean and standard deviation of top-1, factors, steps, CPU seconds, and the
    smallest difference that five seeds find with 80 % power on 480 (as here) and on 960 videos."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in map(json.loads, LOG.read_text().splitlines()):
        groups.setdefault((line["candidate"], line["row"]), []).append(line)
    for (candidate, row), lines in groups.items():
        top1 = [line["top1"] for line in lines]
        factors = [
            np.mean([line[f] for line in lines]) for f in ("appearance", "motion", "order", "position")
        ]
        spread = f"{np.std(top1, ddof=1):4.1f}" if len(lines) > 1 else "   –"
        print(
            f"{candidate:14s} {row:7s} n {len(lines)}  {np.mean(top1):5.1f} ± {spread}  "
            f"{'/'.join(f'{share:.0f}' for share in factors):>15s}  {lines[0]['steps']:5d} steps  "
            f"{np.mean([line['cpu_s'] for line in lines]):5.1f} CPU s  {_detectable(lines)}"
        )


def _detectable(lines: list[dict[str, Any]]) -> str:
    if len(lines) < 2:
        return ""
    right_SV = np.stack([np.unpackbits(np.frombuffer(bytes.fromhex(n["right"]), np.uint8)) for n in lines])
    population = resample_from(right_SV.astype(bool))
    found = [smallest_detectable_difference(population, 5, videos) for videos in (480, 960)]
    return "detectable " + " / ".join("none" if points is None else f"{points:.1f}" for points in found)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 1 else summary()

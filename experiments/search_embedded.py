"""The search for the `embedded` profile's setting: measured on val, never on test.

    HARNESS_DATA=data python experiments/search_embedded.py CANDIDATE ROW[,ROW…] SEED[,SEED…]

A candidate is the profile `experiments/profiles/embedded.yaml` with a few keys replaced (`CANDIDATES`, in
`search_embedded.yaml` beside this file). Every run appends one line to `search_embedded.jsonl`; a run that stands
there is not run again. The test split of a candidate has one video a class and is never scored; val has 24, and is scored
once, after the last epoch, by the row's test protocol.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from harness import data
from harness.experiment.expand import plan_trials
from harness.experiment.load import load_experiment
from harness.experiment.spec import Profile, Trial
from harness.trial import run
from harness.trial.evaluate import score_metrics
from harness.trial.prepare import prepare_datasets
from harness.trial.provenance import cpu_seconds

HERE = Path(__file__).resolve().parent
LOG = HERE / "search_embedded.jsonl"
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
    "pos4": ("ablation_b", "Position IV"),
    "res5_8": ("ablation_f", "res{5} x1"),
    "res23_8": ("ablation_f", "res{2,3} x3"),
    "i3d4_50": ("ablation_g", "I3D R50"),
    "se18": ("ablation_h", "SENet+I3D R18"),
    "se50": ("ablation_h", "SENet+I3D R50"),
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, mappings merged key by key."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if both else value
    return result


def candidate_profile(name: str) -> Profile:
    """The start profile, this candidate's changes, and the search's own splits."""
    known = yaml.safe_load((HERE / "search_embedded.yaml").read_text())
    changes, chain = {}, [name]
    while "like" in known[chain[-1]]:
        chain.append(known[chain[-1]]["like"])
    for link in [*reversed(chain)]:
        changes = merged(changes, {k: v for k, v in known[link].items() if k != "like"})
    splits = {"dataset": {"videos_per_class": {"val": 24, "test": 1}}}
    return Profile.model_validate(merged(merged(known["start"], changes), splits))


def planned(row: str, profile: Profile, seed: int) -> Trial:
    table, name = ROWS[row]
    trials = plan_trials(load_experiment(table), profile, [seed])
    return next(one.trial for one in trials if one.row == name)


def measure(trial: Trial, root: Path) -> dict[str, Any]:
    """Train, score val once; what the log keeps of it."""
    started = cpu_seconds()
    bench = run._bench(trial, root)
    bench.validate = lambda: float("nan")  # type: ignore[method-assign]  # the curve on val is not wanted
    fit = run._fit(bench, None, None)
    trained = cpu_seconds()
    split = bench.dataset.split("val")
    scores_VGK = bench.scores("val", trial.test)
    factors = data.factor_accuracies(scores_VGK.mean(1), split.table, bench.dataset.class_table)
    right = scores_VGK.mean(1).argmax(1) == split.labels
    curve = [round(epoch["train_top1"], 1) for epoch in fit.history]
    return {
        "top1": round(score_metrics(scores_VGK, split.labels)["top1"], 2),
        **{name: round(value, 1) for name, value in factors.items()},
        "cpu_s": round(trained - started, 1),
        "score_cpu_s": round(cpu_seconds() - trained, 1),
        "epochs": trial.recipe.epochs,
        "steps": trial.recipe.epochs * (len(bench.dataset.split("train")) // trial.recipe.batch_videos),
        "videos": trial.dataset["videos_per_class"]["train"],
        "jitter_px": trial.dataset["jitter_px"],
        "train_top1": [curve[(len(curve) * part) // 8 - 1] for part in range(1, 9)],
        "right": np.packbits(right).tobytes().hex(),
    }


def main(name: str, rows: str, seeds: str) -> None:
    root, profile = data.data_root(), candidate_profile(name)
    done = {tuple(json.loads(line)[k] for k in ("candidate", "row", "seed")) for line in _lines()}
    first = planned("tsn", profile, 0)
    torch.set_num_threads(1)
    specs = [first.dataset, *([first.pretraining.dataset] if first.pretraining else [])]
    prepare_datasets(specs, root, lambda *_: None)
    for seed in map(int, seeds.split(",")):
        for row in rows.split(","):
            if (name, row, seed) in done:
                continue
            trial = planned(row, profile, seed)
            run.prepare_start(trial, root)
            line = {"candidate": name, "row": row, "seed": seed, **measure(trial, root)}
            with LOG.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print({k: v for k, v in line.items() if k != "right"}, flush=True)


def _lines() -> list[str]:
    return LOG.read_text().splitlines() if LOG.exists() else []


if __name__ == "__main__":
    main(*sys.argv[1:])

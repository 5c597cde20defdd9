"""A few training steps on noise: what a trial takes on this machine when nothing like it was measured."""

from __future__ import annotations

import time

from harness.experiment.spec import Trial
from harness.plan.work import BACKWARD, classes_of, passes_of

STEPS = 2


def calibrated_seconds(trial: Trial) -> float | None:
    """Seconds of a whole trial from `STEPS` timed steps; None where dataset size or GPU is missing.

    Reading the data is not in it; for the embedded dataset that is below a tenth of a step.
    """
    import torch

    passes = passes_of(trial)
    if passes is None or (trial.numerics.device == "cuda" and not torch.cuda.is_available()):
        return None
    threads = torch.get_num_threads()
    torch.set_num_threads(trial.numerics.threads)
    try:
        snippet = _seconds_per_step(trial) / (trial.recipe.batch_videos * trial.train.U)
    finally:
        torch.set_num_threads(threads)
    return snippet * (passes.train + passes.test / BACKWARD)


def _seconds_per_step(trial: Trial) -> float:
    """Forward, backward and update of one batch, after one step to warm up."""
    import torch
    from torch.nn.functional import cross_entropy

    from harness.trial.build import build_model
    from harness.trial.fit import autocast, make_optimizer

    device, N = trial.numerics.device, trial.recipe.batch_videos
    model = build_model(trial, classes_of(trial)).to(device).train()
    optimizer = make_optimizer(model, trial.recipe)
    x_NUCTHW = torch.randn(N, trial.train.U, 3, trial.train.T, trial.crop_px, trial.crop_px, device=device)
    labels = torch.zeros(N, dtype=torch.long, device=device)
    seconds = []
    for _ in range(1 + STEPS):
        started = time.perf_counter()
        with autocast(trial.numerics):
            scores_NK = model(x_NUCTHW)
        cross_entropy(scores_NK.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return sum(seconds[1:]) / STEPS

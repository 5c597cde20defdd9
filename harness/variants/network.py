"""The contract of a module or a model as a network, and of a trial that travels to another process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness import models
from harness.experiment.load import ROOT, load_experiment, load_profile
from harness.experiment.spec import Aggregation, Inside, Placed, Scratch, Trial
from harness.models import create_model
from harness.models.cost import Cost, CostError, model_cost
from harness.models.variant import load_variant_source
from harness.plan.expand import plan_trials
from harness.trial.run import build_model
from harness.trial.seeding import seed_everything, set_numerics
from harness.variants.place import variant_row
from harness.variants.subject import Broken, Subject, far

CLASSES, PAPER_CROP = 20, 224
FRESH_SECONDS = 600  # it takes about 5; a machine may be busy with training


def cost(subject: Subject) -> str:
    """Both counters of multiply-adds know its operators; what it adds to I3D R18 (a model: has) at the paper's size."""
    try:
        own, without = _cost(subject), _cost(None)
    except CostError as error:
        raise Broken(
            str(error), "write it with convolutions, linear layers and matrix products, or tell the authors"
        ) from None
    except Exception as error:
        raise Broken(
            f"the network cannot be traced without data ({type(error).__name__}: {str(error).strip()[:160]}"
            f"{subject.line_of(error)})",
            "no .item(), .numpy(), .tolist() or branching on values in forward",
        ) from error
    if subject.kind == "model":
        return (
            f"both counters agree; {own.params:,} params and {own.macs / 1e9:,.1f} G multiply-adds (T=4, U=4, "
            f"{PAPER_CROP} px), I3D R18 {without.params:,} and {without.macs / 1e9:,.1f} G"
        )
    params, macs = own.params - without.params, own.macs - without.macs
    return (
        f"both counters agree; on I3D R18 (T=4, U=4, {PAPER_CROP} px) it adds {params:,} params "
        f"({params / without.params:+.2%}) and {macs / 1e6:,.1f} M multiply-adds ({macs / without.macs:+.2%})"
    )


def _cost(subject: Subject | None) -> Cost:
    """Of I3D R18 alone, with the subject's module, or of the subject's model."""
    name, made = "i3d_r18", dict[str, Any]()
    if subject is not None and subject.kind == "model":
        name, made = subject.name, dict(subject.options)
    elif subject is not None and subject.kind == "inside":
        made = {"inside": [models.Declared(subject.name, options=subject.options)]}
    elif subject is not None:
        made = {"aggregation": subject.name, **subject.options}
    return model_cost(create_model(name, CLASSES, U=4, T=4, **made), T=4, U=4, crop_px=PAPER_CROP)


def scores(subject: Subject) -> str:
    """A model gives one finite score a class and video, trains, and answers each video alone in eval mode."""
    trial = reference_trial(subject)
    torch.manual_seed(0)
    model = build_model(trial, CLASSES)
    x_NUCTHW = torch.randn(3, trial.train.U, 3, trial.train.T, trial.train_crop, trial.train_crop)
    scores_NK = model(x_NUCTHW)
    if scores_NK.shape != (3, CLASSES) or not scores_NK.isfinite().all():
        raise Broken(
            f"a batch of 3 videos and {CLASSES} classes gives {tuple(scores_NK.shape)}",
            "the head gives (N, U, num_classes) logits, all of them finite",
        )
    torch.nn.functional.cross_entropy(scores_NK, torch.arange(3)).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    if idle:
        raise Broken(f"no gradient reaches {', '.join(idle[:5])}", "use every parameter in forward")
    with torch.no_grad():
        together, alone = model.eval()(x_NUCTHW), model(x_NUCTHW[:1])
    if far(together[:1], alone):
        raise Broken(
            "a video alone gets another answer than in a batch", "never mix along dimension 0 (videos)"
        )
    return f"finite, for each of {CLASSES} classes; gradients reach all {sum(1 for _ in model.parameters())} parameters"


def places(subject: Subject) -> str:
    """Where modules may stand in a model: stated, not judged."""
    found = build_model(reference_trial(subject), CLASSES).backbone.places()
    stages = dict.fromkeys(name.stage for name in found)
    return f"{len(found)} places in {', '.join(stages)}" if found else "none: no module can stand in it"


def reference_trial(subject: Subject) -> Trial:
    """The variant in a row of table (a), at the embedded profile's scale, from scratch.

    A module across snippets stands in DSA's place, one inside the snippet where it is registered for, a model alone.
    """
    experiment, profile = load_experiment("ablation_a"), load_profile("embedded")
    dsa = next(row for row in experiment.rows if row.aggregation.name == "dsa")
    plain = dsa.model_copy(update={"name": subject.name, "aggregation": Aggregation(), "paper": None})
    rows = {
        "across": lambda: variant_row(dsa, subject.name, subject.options),
        "inside": lambda: plain.model_copy(
            update={"inside": (Inside(name=subject.name, options=dict(subject.options)),)}
        ),
        "model": lambda: plain.model_copy(update={"model": subject.name, "options": dict(subject.options)}),
    }
    alone = experiment.model_copy(update={"rows": (rows[subject.kind](),), "baseline": None})
    planned = plan_trials(alone, profile, [0], variants=[subject.path])
    return planned[0].trial.model_copy(update={"start": Scratch()})


def placed(trial: Trial, subject: Subject) -> Placed:
    """The subject's module in the trial's network."""
    found = trial.network.inside[0] if subject.kind == "inside" else trial.network.aggregation
    assert found is not None, "reference_trial put it there"
    return found


@dataclass(frozen=True)
class Fingerprint:
    """What a trial's network computes (a hash), and whether loading the variant drew random numbers."""

    digest: str
    drew_at_import: bool


def fingerprint(trial: Trial) -> Fingerprint:
    """Build the trial's network, take one training step, evaluate: all of it hashed, bit by bit."""
    set_numerics(trial.numerics)
    before = _random_states()
    for variant in trial.variants:
        load_variant_source(variant.source, variant.file)
    drew = _random_states() != before
    seed_everything(trial.seed, "init")
    model = build_model(trial, CLASSES)
    side = trial.train_crop // 2  # half the side is enough to see a difference, in a quarter of the time
    x_NUCTHW = torch.randn(2, trial.train.U, 3, trial.train.T, side, side)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    torch.nn.functional.cross_entropy(model(x_NUCTHW), torch.tensor([0, 1])).backward()
    optimizer.step()
    with torch.no_grad():
        answers = model.eval()(x_NUCTHW)
    tensors = [answers, *model.state_dict().values()]
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(t.numpy()).tobytes() for t in tensors))
    return Fingerprint(digest.hexdigest(), drew)


def _random_states() -> tuple[bytes, str]:
    numpy_state = np.random.get_state(legacy=False)
    return torch.get_rng_state().numpy().tobytes(), str(numpy_state)


def start_fresh(subject: Subject) -> subprocess.Popen[str]:
    """The same trial in a process that has never seen the file, as on a Ray worker."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.variants.fresh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None, "asked for above"
    process.stdin.write(reference_trial(subject).model_dump_json())
    process.stdin.close()
    process.stdin = None  # `communicate` must not close it again
    return process


def travels(subject: Subject, process: subprocess.Popen[str]) -> str:
    """Same seed, same numbers: twice here, once in the fresh process, where the file itself is not there."""
    here, again = fingerprint(reference_trial(subject)), fingerprint(reference_trial(subject))
    there = _answer(process)
    if here.digest != again.digest:
        raise Broken(
            "the same seed gives other numbers the second time",
            "keep no state between modules (globals, class attributes) and draw only from torch's generator",
        )
    if there.drew_at_import:
        raise Broken(
            "importing the file draws random numbers, which shifts everything drawn after it",
            "draw in __init__ or forward, never at the top of the file",
        )
    if there.digest != here.digest:
        raise Broken(
            "another process gets other numbers for the same trial",
            "do not depend on the machine, the clock, the process, hash() or the order of a set",
        )
    return "same seed, same numbers: twice in this process and in a fresh one, from the trial's text alone"


def _answer(process: subprocess.Popen[str]) -> Fingerprint:
    try:
        out, err = process.communicate(timeout=FRESH_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Broken(
            f"a fresh process did not answer in {FRESH_SECONDS} s",
            "look for endless loops at import or in forward",
        ) from None
    if process.returncode:
        last = (err.strip().splitlines() or ["no message"])[-1]
        raise Broken(
            f"a fresh process, as Ray starts it, fails: {last}",
            "the file must stand alone: no imports of files beside it, no reading of local files",
        )
    found: dict[str, object] = json.loads(out.strip().splitlines()[-1])
    return Fingerprint(str(found["digest"]), bool(found["drew_at_import"]))

"""One store of synthetic records for all tests of the reports: tables (a), (e) and (h), three seeds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.experiment import Profile, load_experiment
from harness.experiment.datasets import ScriptedDigits
from harness.experiment.recipe import Recipe
from harness.experiment.sampling import TestOverride
from harness.experiment.spec import Input, Scale
from harness.plan.expand import distinct, plan_trials
from harness.reports.page import build_page
from harness.results import Store, load
from tests.factories import make_failed_record, make_record

SEEDS = (0, 1, 2)
TOP1 = {
    "I3D 4x1": 55.0,
    "I3D 16x1": 66.0,
    "TSN+I3D 4x4": 67.0,
    "V4D+I3D 4x4": 84.0,
    "DSA+I3D 4x4": 90.0,
    "SENet+I3D R18": 66.0,
    "SENet+I3D R50": 68.0,
    "I3D R50": 60.0,
}


@pytest.fixture(scope="session")
def profile() -> Profile:
    return Profile(
        name="synthetic",
        description="for tests",
        dataset=ScriptedDigits(),
        scale=Scale(crop_px=48, interval=2, options={"width": 8, "stem_kernel": 5}),
        input=Input(mean=(110, 110, 110), std=(50, 50, 50)),
        recipe=Recipe(
            optimizer="adamw",
            lr=4e-3,
            weight_decay=0.01,
            schedule="cosine",
            warmup_epochs=1,
            epochs=6,
            batch_videos=16,
            clip_norm=5,
        ),
        test=TestOverride(crops=1, clips=10, snippets=8, grouping="interleaved"),
        deviations=("Deviation: synthetic records.",),
    )


@pytest.fixture(scope="session")
def root(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shipped-looking store: in table (e) `beta 1/2` was not run and seed 1 of `beta 1/4` failed."""
    folder = tmp_path_factory.mktemp("store") / "baselines" / "synthetic"
    store = Store(folder)
    names = ("ablation_a", "ablation_e", "ablation_h")
    planned = [p for name in names for p in plan_trials(load_experiment(name), profile, SEEDS)]
    for p in distinct(planned):
        if (p.row, p.seed) == ("beta 1/4", 1):
            store.write(make_failed_record(p), p)
        elif p.row != "beta 1/2":
            store.write(make_record(p, TOP1.get(p.row, 86.0)), p)
    return folder


@pytest.fixture(scope="session")
def frame(root: Path) -> pd.DataFrame:
    return load(root)


@pytest.fixture(scope="session")
def other_profile(profile: Profile) -> Profile:
    """Another recipe: its runs stand in no table of `profile` and may not be compared with those."""
    return profile.model_copy(
        update={"name": "slower", "recipe": profile.recipe.model_copy(update={"lr": 1e-3}) if profile.recipe else None}
    )


@pytest.fixture(scope="session")
def page_frame(root: Path, other_profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """All records of `frame` and, as the user's own, two seeds of table (a) by the other recipe."""
    own = Store(tmp_path_factory.mktemp("own") / "runs")
    for p in plan_trials(load_experiment("ablation_a"), other_profile, SEEDS[:2]):
        own.write(make_record(p, TOP1[p.row] - 3), p)
    return load(root, own.root)


@pytest.fixture(scope="session")
def page(profile: Profile, page_frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report page of tables (a), (e) and (i)."""
    experiments = [load_experiment(f"ablation_{letter}") for letter in "aei"]
    return build_page(experiments, [profile], page_frame, tmp_path_factory.mktemp("page") / "index.html")

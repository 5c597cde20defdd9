"""The systems of the benchmark tables at full size: parameters and multiply-adds of tests/golden/costs_systems.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import golden_cases as golden
import pandas as pd
import pytest
import torch

from harness.models import create_model
from harness.models.cost import model_cost
from harness.models.weights import recognise

TABLE = pd.read_csv(Path(__file__).parents[1] / "golden" / "costs_systems.csv")


@pytest.mark.parametrize(
    "row", list(TABLE.itertuples()), ids=lambda row: f"{row.model}: {row.T} x {row.crop}"
)
def test_a_system_costs_what_was_measured_in_its_release(row: Any) -> None:
    with torch.device("meta"):
        model = create_model(row.model, row.classes, U=1, T=row.T)
    cost = model_cost(model, T=row.T, U=1, crop_px=row.crop)
    print(f"{row.model}: {cost.params / 1e6:.4f} M ({row.params_M}), {cost.macs / 1e9:.4f} G ({row.gmacs})")
    assert cost.params / 1e6 == pytest.approx(row.params_M, rel=5e-4)
    assert cost.macs / 1e9 == pytest.approx(row.gmacs, rel=5e-3)


@pytest.mark.parametrize(
    ("case", "release"),
    [
        ("tsn_r50", "torchvision"),
        ("tsm_r50", "tsm"),
        ("dsanet_i3d_r50_official", "dsanet"),
        ("v4d_i3d_r50", "v4d"),
        ("tea_r50", "tea"),
        ("tanet_r50", "tanet"),
        ("mvfnet_r50", "mvfnet"),
        ("bninception", "bninception"),
        ("eco_lite_8", "eco"),
        ("trn_multiscale_head", "trn"),
    ],
)
def test_a_checkpoint_is_recognised_by_its_names(case: str, release: str) -> None:
    state = dict.fromkeys(golden.case(case)[0]["state_dict"], torch.zeros(1))
    assert recognise(state) == release

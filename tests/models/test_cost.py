"""Costs against the releases' own (tests/golden/costs_a_to_i.csv), and the counters against one another."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.models import create_model, register_aggregation
from harness.models.cost import Cost, CostError, latency_and_memory, model_cost
from harness.models.registry import unregister

TABLE = pd.read_csv(Path(__file__).parents[1] / "golden" / "costs_a_to_i.csv")
DSA_RES5 = {"aggregation": "dsa", "stages": ("res5",), "beta": 1.0}
ROWS: dict[tuple[str, str], dict[str, Any]] = {
    ("a", "I3D R18 4x1"): {"name": "i3d_r18", "num_classes": 1000, "U": 1},
    ("a", "I3D R18 16x1"): {"name": "i3d_r18", "num_classes": 1000, "U": 1, "T": 16},
    ("a", "TSN+I3D R18 4x4"): {"name": "i3d_r18", "num_classes": 1000},
    ("a", "V4D+I3D R18 4x4"): {"name": "i3d_r18", "num_classes": 1000, "aggregation": "v4d"},
    ("a", "DSA+I3D R18 4x4"): {"name": "i3d_r18", "num_classes": 1000, "aggregation": "dsa", "beta": 1.0},
    **{("b", f"Position {p}"): {**DSA_RES5, "position": p} for p in ("I", "II", "III", "IV")},
    **{("c", f"alpha={alpha}"): {**DSA_RES5, "alpha": alpha} for alpha in (1, 2, 4, 8)},
    **{("d", f"res{{{i}}}"): {**DSA_RES5, "stages": (f"res{i}",)} for i in (2, 3, 4, 5)},
    ("e", "beta=1"): DSA_RES5,
    ("e", "beta=1/2"): {**DSA_RES5, "beta": 1 / 2},
    ("e", "beta=1/4"): {**DSA_RES5, "beta": 1 / 4},
    ("e", "beta=1/8"): {**DSA_RES5, "beta": 1 / 8},
    ("f", "res{5} 1"): {"aggregation": "dsa", "stages": ("res5",)},
    ("f", "res{4,5} 4"): {"aggregation": "dsa", "stages": ("res4", "res5")},
    ("f", "res{3,4} 5"): {"aggregation": "dsa"},
    ("f", "res{2,3} 3"): {"aggregation": "dsa", "stages": ("res2", "res3")},
    ("g", "TSM R50"): {"name": "tsm_r50", "U": 1},
    ("g", "DSA+TSM R50"): {"name": "tsm_r50", "aggregation": "dsa"},
    ("g", "I3D R50"): {"U": 1},
    ("g", "DSA+I3D R50"): {"aggregation": "dsa"},
    ("h", "SENet+I3D ResNet18"): {"name": "i3d_r18", "aggregation": "se"},
    ("h", "SENet+I3D ResNet50"): {"aggregation": "se"},
    ("i", "TSN+I3D R50"): {},
    ("i", "V4D+I3D R50"): {"aggregation": "v4d"},
    ("i", "DSA+I3D R50"): {"aggregation": "dsa"},
}


@functools.cache
def _paper_cost(options: tuple[tuple[str, Any], ...]) -> Cost:
    given = {"name": "i3d_r50", "num_classes": 200, "T": 4, "U": 4, **dict(options)}
    with torch.device("meta"):
        model = create_model(**given)
    return model_cost(model, T=given["T"], U=given["U"], crop_px=224)


def _cost(**options: Any) -> Cost:
    return _paper_cost(tuple(sorted(options.items())))


def test_every_row_of_the_table_is_priced() -> None:
    assert set(ROWS) == set(zip(TABLE["table"], TABLE["row"], strict=True))


@pytest.mark.parametrize("row", list(TABLE.itertuples()), ids=lambda row: f"{row.table}: {row.row}")
def test_rows_cost_what_was_measured_in_the_releases(row: Any) -> None:
    cost = _cost(**ROWS[row.table, row.row])
    assert cost.macs / 1e9 == pytest.approx(row.measured_gmacs, rel=5e-4)
    assert round(cost.params / 1e6, 4) == pytest.approx(row.measured_params_M, abs=1.01e-4)
    if row.paper_gflops > 0:
        assert cost.macs / 1e9 == pytest.approx(row.paper_gflops, rel=5e-3)
    if row.paper_params_M > 0:
        assert cost.params / 1e6 == pytest.approx(row.paper_params_M, rel=5e-3)


@pytest.mark.parametrize(
    ("options", "maps", "params"),
    [  # maps: (C', H·W) of each module (docs/systems.md)
        ({**DSA_RES5, "position": "I"}, [(2048, 49)], 72),
        ({**DSA_RES5, "position": "III"}, [(512, 49)], 72),
        ({**DSA_RES5, "position": "IV"}, [(2048, 49)], 72),
        ({**DSA_RES5, "alpha": 8}, [(512, 49)], 288),
        ({**DSA_RES5, "stages": ("res2",)}, [(64, 56 * 56)], 72),
        ({**DSA_RES5, "stages": ("res3",)}, [(128, 28 * 28)] * 2, 144),
        ({**DSA_RES5, "beta": 1 / 4}, [(128, 49)], 72),
        ({"aggregation": "dsa"}, [(16, 28 * 28)] * 2 + [(32, 14 * 14)] * 3, 360),
    ],
)
def test_dsa_costs_its_formula_exactly(
    options: dict[str, Any], maps: list[tuple[int, int]], params: int
) -> None:
    alpha = options.get("alpha", 2)
    expected = sum(3 * C * 4 * 4 * HW + (28 + 8) * alpha * C for C, HW in maps)
    cost, plain = _cost(**options), _cost()
    assert cost.macs - plain.macs == expected
    assert cost.params - plain.params == params
    assert cost.macs_cross_check - plain.macs_cross_check == sum(
        3 * C * 4 * 4 * HW + 28 * alpha * C for C, HW in maps
    )


def test_the_meta_copy_leaves_the_model_as_it_was() -> None:
    model = create_model("i3d_r18", 5, aggregation="dsa", width=8).train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    first = model_cost(model, T=2, U=4, crop_px=32)
    assert model.training and all(t.device.type == "cpu" and t.requires_grad for t in model.parameters())
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert model_cost(model.to(torch.bfloat16), T=2, U=4, crop_px=32) == first


def test_meta_tracing_counts_what_fvcore_counts_by_itself() -> None:
    from fvcore.nn import FlopCountAnalysis

    model = create_model("i3d_r18", 5, aggregation="v4d", width=8).eval()
    analysis = FlopCountAnalysis(model, torch.randn(1, 4, 3, 2, 32, 32))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    assert model_cost(model, T=2, U=4, crop_px=32).macs_by_operator == dict(analysis.by_operator())


class _LayerNorm(nn.Module):
    def __init__(self, channels: int, U: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        return self.norm(x_NUCTHW.movedim(2, -1)).movedim(-1, 2)


class _Unseen(nn.Module):
    """Attention over all positions by the fused operator, which fvcore doesn't count."""

    def __init__(self, channels: int, U: int) -> None:
        super().__init__()

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        tokens = x_NUCTHW.movedim(2, -1).flatten(1, 4)
        mixed = F.scaled_dot_product_attention(tokens, tokens, tokens)
        return mixed.unflatten(1, (*x_NUCTHW.shape[1:2], *x_NUCTHW.shape[3:])).movedim(-1, 2)


@pytest.fixture
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    register_aggregation("under_test", stages=("res3",))(request.param)
    yield "under_test"
    unregister("under_test")


@pytest.mark.parametrize("variant", [_Unseen], indirect=True)
def test_counters_that_disagree_are_an_error(variant: str) -> None:
    model = create_model("i3d_r18", 5, aggregation=variant, width=8)
    with pytest.raises(CostError, match="more than 1% apart"):
        model_cost(model, T=4, U=4, crop_px=64)


@pytest.mark.parametrize("variant", [_LayerNorm], indirect=True)
def test_layer_norm_of_a_six_dimensional_map_is_counted_at_five(variant: str) -> None:
    model = create_model("i3d_r18", 5, aggregation=variant, width=8)
    counts = model_cost(model, T=2, U=4, crop_px=32).macs_by_operator
    assert counts["layer_norm"] == 5 * 4 * 16 * 2 * 4 * 4


def test_latency_and_memory_are_measured_and_the_mode_is_restored() -> None:
    model = create_model("i3d_r18", 5, width=8).train()
    running = model.backbone.stem_bn.running_mean.clone()
    measured = latency_and_memory(model, torch.randn(1, 4, 3, 2, 32, 32), repeats=2)
    assert 0 < measured.latency_s < 10
    assert measured.peak_memory_kind == "process_peak_rss" and measured.peak_memory_bytes > 50e6
    assert model.training and torch.equal(model.backbone.stem_bn.running_mean, running)

"""Models by name: placement, every knob with every module, refusals in one clear message, the registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models import (
    VideoModel,
    create_model,
    list_aggregations,
    list_models,
    register_aggregation,
)
from harness.models.across import AcrossSnippets
from harness.models.network import filled_places
from harness.models.registry import unregister


class Recorder(nn.Module):
    """Passes its map through and remembers it; takes an option and the number of frames."""

    any_U = True

    def __init__(self, channels: int, U: int, T: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.channels, self.T, self.gain = channels, T, gain
        self.seen: list[Tensor] = []

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        self.seen.append(x_NUCTHW)
        return x_NUCTHW * self.gain


@pytest.fixture
def recorder() -> Iterator[str]:
    register_aggregation("recorder", position="III", stages=("res3",), blocks=(1,), beta=0.5)(Recorder)
    yield "recorder"
    unregister("recorder")


def _places(model: VideoModel) -> list[tuple[str, int, str]]:
    return [tuple(name) for name, place in filled_places(model.backbone) if place.looks_across]


def _recorders(model: VideoModel) -> list[Recorder]:
    return [module for module in model.modules() if isinstance(module, Recorder)]


def test_names_are_listed_by_pattern() -> None:
    found = list_models("*r50*")
    assert found == sorted(name for name in list_models() if "r50" in name)
    assert {"i3d_r50", "tsm_r50", "tsn_r50"} <= set(found)
    assert {"average", "dsa", "se", "v4d"} <= set(list_aggregations())
    assert list_aggregations("d?a") == ["dsa"]


@pytest.mark.parametrize(
    ("stages", "blocks"),
    [(("res5",), 1), (("res4", "res5"), 4), (("res3", "res4"), 5), (("res2", "res3"), 3)],
)
def test_every_second_block_gives_the_counts_of_table_f(stages: tuple[str, ...], blocks: int) -> None:
    with torch.device("meta"):
        model = create_model("i3d_r50", aggregation="dsa", stages=stages)
    places = _places(model)
    assert len(places) == blocks
    assert all(number % 2 == 0 and position == "II" for _, number, position in places)


@pytest.mark.parametrize("name", ["i3d_r18", "i3d_r50"])
def test_v4d_stands_where_its_paper_puts_it(name: str) -> None:
    with torch.device("meta"):
        places = _places(create_model(name, aggregation="v4d"))
    r18 = [("res3", 2, "after"), ("res4", 2, "after")]
    r50 = [("res3", 2, "after"), ("res3", 4, "after")]
    assert places == (r50 if name.endswith("r50") else r18)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("i3d_r18", {"I": 8, "II": 16, "III": 16, "after": 16}),
        ("i3d_r50", {"I": 32, "II": 16, "III": 16, "IV": 64, "after": 64}),
    ],
)
def test_positions_see_the_maps_that_the_paper_names(
    name: str, channels: dict[str, int], recorder: str
) -> None:
    for position, expected in channels.items():
        model = create_model(
            name,
            5,
            aggregation=recorder,
            position=position,
            beta=1.0,
            width=8,
            T=2,
            stages="res3",
            blocks=[1],
        )
        (module,) = _recorders(model)
        model(torch.randn(2, 4, 3, 2, 32, 32))
        assert module.seen[0].shape[:3] == (2, 4, expected)
        after_relu = bool((module.seen[0] >= 0).all())
        before_the_sum = "III" if name.endswith("r18") else "IV"
        assert after_relu == (position != before_the_sum)


def test_the_registered_defaults_hold_where_none_is_given(recorder: str) -> None:
    model = create_model("i3d_r18", 5, aggregation=recorder, width=8, T=3, gain=0.5)
    assert _places(model) == [("res3", 1, "III")]
    (module,) = _recorders(model)
    assert (module.channels, module.T, module.gain) == (8, 3, 0.5)
    assert model.any_U


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(["i3d_r18", "i3d_r50", "tsm_r18", "tsm_r50"]),
    aggregation=st.sampled_from(["dsa", "se", "v4d"]),
    position=st.sampled_from(["I", "II", "III", "after"]),
    stages=st.sets(st.sampled_from(["res2", "res3", "res4", "res5"]), min_size=1).map(sorted),
    blocks=st.sampled_from(["every_second", "all", (1,), (2, 1)]),
    beta=st.floats(0.01, 1.0),
)
def test_every_knob_combines_with_every_module(
    name: str, aggregation: str, position: str, stages: list[str], blocks: Any, beta: float
) -> None:
    model = create_model(
        name, 3, aggregation=aggregation, position=position, stages=stages, blocks=blocks, beta=beta, width=8
    )
    assert {stage for stage, _, _ in _places(model)} == set(stages)
    for module in model.modules():
        if isinstance(module, AcrossSnippets):
            taking_part, rest = module.split
            assert taking_part == max(1, int(beta * (taking_part + rest)))
    with torch.inference_mode():
        assert model.eval()(torch.randn(1, 4, 3, 2, 16, 16)).shape == (1, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "i3d_r5"}, "unknown model 'i3d_r5'.*did you mean 'i3d_r50'.*tsn_r18"),
        ({"aggregation": "dsaa"}, r"unknown aggregation 'dsaa' \(did you mean 'dsa'\?\)"),
        ({"aggregation": "dsa", "position": "V"}, "position 'V'.*one of I, II, III, after"),
        ({"aggregation": "dsa", "position": "IV"}, "position 'IV'.*one of I, II, III, after"),
        ({"aggregation": "dsa", "alpha": 0}, "alpha 0.*1 or more"),
        ({"aggregation": "dsa", "alpha": 1.5}, "option alpha: expected a whole number, not 1.5"),
        ({"aggregation": "dsa", "alfa": 2}, r"no option 'alfa' \(did you mean 'alpha'\?\): it takes alpha"),
        ({"aggregation": "v4d", "alpha": 2}, "'v4d' has no option 'alpha': it takes no options"),
        ({"aggregation": "se", "reduction": 0}, "reduction 0"),
        ({"aggregation": "dsa", "beta": 0}, "beta 0: the share"),
        ({"aggregation": "dsa", "beta": 1.5}, "beta 1.5: the share"),
        ({"aggregation": "dsa", "stages": ("res6",)}, "stages: unknown stage 'res6'"),
        ({"aggregation": "dsa", "stages": ("res5", "res5")}, "named twice"),
        ({"aggregation": "dsa", "stages": ()}, "stages: name at least one"),
        ({"aggregation": "dsa", "blocks": (3,)}, "no block 3 in res3, which has blocks 1 to 2"),
        ({"aggregation": "dsa", "blocks": ()}, "at least one block number"),
        ({"aggregation": "dsa", "blocks": "every_secnd"}, "did you mean 'every_second'"),
        ({"position": "II", "alpha": 2}, "'average' has no module.*remove position, alpha"),
        ({"inflate": ("res9",)}, "inflate: unknown stage 'res9'"),
        ({"width": 0}, "width 0"),
        ({"U": 0}, "U 0"),
        ({"num_classes": 2.5}, "num_classes 2.5"),
        ({"stem_kernel": 4}, "stem_kernel 4"),
        ({"dropout": 1.0}, "dropout 1.0"),
    ],
)
def test_bad_input_is_refused_in_one_message(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_model(**{"name": "i3d_r18", "width": 8, **arguments})


def test_a_module_that_needs_the_number_of_frames_says_so(recorder: str) -> None:
    with pytest.raises(UserError, match="'recorder' is built for a number of frames: give T"):
        create_model("i3d_r18", aggregation=recorder, width=8)


def test_a_batch_of_another_layout_is_refused() -> None:
    model = create_model("i3d_r18", 5, width=8)
    with pytest.raises(ValueError, match=r"a batch is \(N, U, 3, T, H, W\), got \(8, 3, 2, 16, 16\)"):
        model(torch.zeros(8, 3, 2, 16, 16))


def test_a_taken_name_is_refused_and_the_same_class_may_come_again(recorder: str) -> None:
    register_aggregation("recorder")(Recorder)
    with pytest.raises(UserError, match="'recorder' is already registered by Recorder"):
        register_aggregation("recorder")(nn.Identity)
    with pytest.raises(UserError, match="reserved"):
        register_aggregation("average")(nn.Identity)


def test_inflated_stages_have_temporal_kernels_and_2d_networks_have_none() -> None:
    inflated = create_model("i3d_r18", 5, width=8, inflate=("res3", "res5"))
    assert [
        inflated.backbone.get_submodule(s)[0].conv1.weight.shape[2] for s in ("res2", "res3", "res4", "res5")
    ] == [
        1,
        3,
        1,
        3,
    ]
    for name in ("tsm_r50", "tsn_r18"):
        convs = [m for m in create_model(name, 5, width=8).modules() if isinstance(m, nn.Conv3d)]
        assert all(conv.weight.shape[2] == 1 for conv in convs)

"""Every 3D system at width 8: it trains, hosts modules across snippets, takes short and odd clips, is saved whole."""

from __future__ import annotations

import itertools
import re
from typing import Any

import golden_cases as golden
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.base.errors import UserError
from harness.models import VideoModel, create_model, inflate_2d, load_release
from harness.models.i3d_nl import CGNL, NonLocal
from harness.models.nl_gcn import fixed_grid, following, overlap, roi_align
from harness.models.slowfast import slow_frames
from harness.models.weights import recognise

SYSTEMS: dict[str, dict[str, Any]] = {
    "slowonly_r50": {},
    "slowfast_r50_4x16": {},
    "slowfast_r50_8x8": {"fast_share": 4},
    "slowfast_r101_8x8": {},
    "x3d_l": {"stem_kernel": 3, "depths": (2, 2, 4, 2)},
    # Pooled thrice along time, 4 frames at 32 px leave one position to attend to, and attention has no gradient.
    "i3d_nl_r50": {"time_strides": (1, 1, 2)},
    "i3d_nl_r101": {"time_strides": (1, 1, 2)},
    "i3d_nln_r50_8x8": {"time_strides": (1, 1, 2)},
    "i3d_cgnl_r50": {},
    "i3d_cgnl_r101": {},
    "i3d_pooled_r50": {},
    "i3d_pooled_r101": {},
    # Three layers of the graph that follows regions in time need four frames of maps.
    "nl_gcn_r50": {"grid": 2, "time_strides": (1, 1, 1)},
    "s3d": {},
    "s3dg": {},
}
# One of each code path: the others differ from one of these in depth, in strides or in a kernel's length alone.
SAME = ("slowfast_r50_8x8", "i3d_nln_r50_8x8", "i3d_pooled_r50")
DISTINCT = [name for name in SYSTEMS if "r101" not in name and name not in SAME]
distinct_system = pytest.mark.parametrize("name", DISTINCT)


def _model(name: str, seed: int = 0, U: int = 2, **options: Any) -> VideoModel:
    torch.manual_seed(seed)
    small = {"width": 8, "stem_kernel": 5, "dropout": 0.0, **SYSTEMS[name], **options}
    return create_model(name, 5, U=U, **small)


def _awake(model: VideoModel) -> VideoModel:
    """Scales that start at 0 set to 1: a residual branch that adds nothing hides what stands in it."""
    for parameter in model.parameters():
        if parameter.ndim == 1 and parameter.abs().max() == 0:
            torch.nn.init.uniform_(parameter, 0.5, 1.0)
    return model


def _clip(N: int = 2, U: int = 2, T: int = 4, height: int = 32, width: int = 32) -> Tensor:
    return torch.randn(N, U, 3, T, height, width, generator=torch.Generator().manual_seed(1))


@distinct_system
def test_hosts_a_module_that_looks_across_the_snippets_of_one_video(name: str) -> None:
    model = _awake(_model(name, aggregation="dsa"))
    across = {n: p for n, p in model.named_parameters() if ".across." in n}
    assert across
    x = _clip(N=3)
    F.cross_entropy(model(x), torch.tensor([0, 3, 1])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.abs().max() > 0 for p in across.values())
    leaf = x[:2].requires_grad_()
    model.eval().forward_snippets(leaf)[0, 0].sum().backward()
    assert leaf.grad[0, 1].abs().max() > 0 and leaf.grad[1].abs().max() == 0


# --- SlowFast


@given(st.integers(1, 70), st.sampled_from([1, 2, 4, 8]))
def test_the_slow_path_sees_evenly_spread_frames(T: int, speed_ratio: int) -> None:
    frames = slow_frames(T, speed_ratio)
    assert len(frames) == -(-T // speed_ratio) and frames[0] == 0
    assert len(frames) == 1 or frames[-1] == T - 1
    steps = {b - a for a, b in itertools.pairwise(frames)}
    assert not steps or max(steps) - min(steps) <= 1


def test_the_slow_paths_frames_of_the_release() -> None:
    assert slow_frames(32, 8) == [0, 10, 20, 31]
    assert slow_frames(32, 4) == [0, 4, 8, 13, 17, 22, 26, 31]


def test_slowfast_places_stand_in_the_slow_path() -> None:
    model = _model("slowfast_r50_4x16", aggregation="dsa", width=16)
    assert all(n.startswith("backbone.slow.") for n in model.state_dict() if ".across." in n)


# --- Non-local


def test_nonlocal_and_cgnl_stand_in_other_networks_and_start_as_the_identity() -> None:
    x = _clip()
    with torch.inference_mode():
        expected = _model("slowonly_r50").eval()(x)
        for inside in ("nonlocal", "cgnl"):
            assert torch.allclose(_model("slowonly_r50", inside=[inside]).eval()(x), expected, atol=1e-6)


def test_a_nonlocal_position_takes_the_mean_that_its_attention_says() -> None:
    block = NonLocal(4, norm=False)
    for layer in (block.theta, block.phi, block.out):
        torch.nn.init.zeros_(layer.weight)  # even attention
    torch.nn.init.dirac_(block.g.weight)
    block.out.weight.data[:2, :2, 0, 0, 0] = torch.eye(2)
    x = _clip(T=2, height=4, width=4)[:, 0].repeat(1, 2, 1, 1, 1)[:, :4]
    pooled = F.max_pool3d(x, (1, 2, 2))
    added = (block(x) - x)[:, :2]
    torch.testing.assert_close(added, pooled.mean((2, 3, 4), keepdim=True)[:, :2].expand_as(added))


def test_cgnl_refuses_groups_that_do_not_divide() -> None:
    with pytest.raises(UserError, match="groups 3: must divide half the channels, 16"):
        CGNL(32, groups=3)


def test_frozen_batch_norms_neither_train_nor_count() -> None:
    model = _model("i3d_nl_r50", frozen_bn=True, aggregation="dsa").train()
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    before = [norm.running_mean.clone() for norm in norms]
    model(_clip()).sum().backward()
    assert all(torch.equal(norm.running_mean, was) for norm, was in zip(norms, before, strict=True))
    assert all(norm.weight.grad is None for norm in norms)
    assert not [n for n in model.state_dict() if ".inside.bn." in n]
    across = [p.grad for n, p in model.named_parameters() if ".across." in n]
    assert across and all(grad is not None for grad in across)


def test_a_3d_network_starts_from_a_2d_one() -> None:
    donor = create_model("tsn_r50", 5, U=1, width=8)
    names = {
        "backbone.stem.": "conv1.",
        "backbone.stem_bn.": "bn1.",
        "head.fc.": "fc.",
        ".shortcut.": ".downsample.",
    }
    names |= {f"backbone.res{stage}.": f"layer{stage - 1}." for stage in range(2, 6)}
    state = {}
    for name, tensor in donor.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        state[name] = tensor[:, :, 0] if tensor.ndim == 5 else tensor
    model = create_model("i3d_nl_r50", 5, U=1, width=8)
    inflate_2d(state, model)
    own = model.state_dict()
    torch.testing.assert_close(own["backbone.stem.weight"].sum(2), state["conv1.weight"])
    torch.testing.assert_close(own["backbone.res2.0.bn3.weight"], state["layer1.0.bn3.weight"])


# --- Regions


def test_boxes_of_the_grid_are_the_grid() -> None:
    model, x = _awake(_model("nl_gcn_r50")).eval(), _clip()
    grid = fixed_grid(2).expand(2, 2, 4, -1, -1)
    with torch.inference_mode():
        torch.testing.assert_close(model(x, grid), model(x))
        moved = model(x, grid.flip(-2) * 0.5)
        assert not torch.allclose(moved, model(x))
        groups = [(0,), (1, 0)]
        alone = torch.stack([model(x[:, list(g)], grid[:, list(g)] * 0.5) for g in groups], 1)
        torch.testing.assert_close(model.forward_groups(x, groups, grid * 0.5), alone, rtol=1e-4, atol=1e-5)
    assert model.head.note == "regions are a fixed grid: no boxes were given"


def test_the_order_of_regions_does_not_matter() -> None:
    model, x = _awake(_model("nl_gcn_r50")).eval(), _clip()
    boxes = torch.rand(2, 2, 4, 5, 4, generator=torch.Generator().manual_seed(2)).sort(-1).values
    with torch.inference_mode():
        torch.testing.assert_close(model(x, boxes.flip(3)), model(x, boxes), rtol=1e-4, atol=1e-5)


def test_boxes_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"boxes are \(N=2, U=2, T, R, 4\), got \(2, 3, 4, 5, 4\)"):
        _model("nl_gcn_r50")(_clip(), torch.zeros(2, 3, 4, 5, 4))


def test_a_region_is_sampled_where_its_box_is() -> None:
    ramp = torch.arange(14.0).expand(14, 14)[None, None] + 0.5  # a map whose value is its x coordinate
    box = torch.tensor([[[0.25, 0.0, 0.75, 1.0]]])
    expected = 14 * (0.25 + 0.5 * (torch.arange(7) + 0.5) / 7)
    torch.testing.assert_close(roi_align(ramp, box)[0, 0, 0], expected.expand(7, 7))


_boxes = st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4).map(
    lambda v: [min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3])]
)


@settings(deadline=None)
@given(st.lists(_boxes, min_size=1, max_size=4), st.lists(_boxes, min_size=1, max_size=4))
def test_overlap_is_a_symmetric_share(first: list[list[float]], second: list[list[float]]) -> None:
    a, b = torch.tensor([first]), torch.tensor([second])
    shares = overlap(a, b)
    assert shares.min() >= 0 and shares.max() <= 1 + 1e-5
    torch.testing.assert_close(shares, overlap(b, a).transpose(1, 2))


def test_regions_follow_into_the_next_frame_alone() -> None:
    graph = following(fixed_grid(2).expand(1, 3, -1, -1))[0].view(3, 5, 3, 5)
    assert all(graph[t, :, s].abs().max() == 0 for t in range(3) for s in range(3) if s != t + 1)
    torch.testing.assert_close(graph[0, :4, 1, :4], torch.eye(4))
    torch.testing.assert_close(graph[0, :4, 1, 4], torch.full((4,), 0.25))


# --- Importers

_HUB_RULES = (
    (r"branch1_bn\.", "branch1_norm."),
    (r"branch1\.", "branch1_conv."),
    (r"branch2\.([abc])_bn\.", r"branch2.norm_\1."),
    (r"branch2\.([abc])\.", r"branch2.conv_\1."),
    (r"branch2\.se\.fc1\.", "branch2.norm_b.1.block.0."),
    (r"branch2\.se\.fc2\.", "branch2.norm_b.1.block.2."),
    (r"pathway(\d)_res(\d+)\.", r"multipathway_blocks.\1.res_blocks.\2."),
    (r"pathway(\d)_stem\.bn\.", r"multipathway_blocks.\1.norm."),
    (r"pathway(\d)_stem\.conv", r"multipathway_blocks.\1.conv"),
    (r"^s(\d)_fuse\.conv_f2s\.", r"s\1.multipathway_fusion.conv_fast_to_slow."),
    (r"^s(\d)_fuse\.bn\.", r"s\1.multipathway_fusion.norm."),
    (r"^s(\d)\.", lambda match: f"blocks.{int(match[1]) - 1}."),
)
_HUB_X3D = (
    (r"norm_b\.(?!1\.block)", "norm_b.0."),
    (r"^blocks\.0\.conv\.", "blocks.0.conv.conv_xy."),
    (r"^blocks\.0\.conv_xy\.", "blocks.0.conv.conv_t."),  # crossed, as the hub has it
    (r"^head\.conv_5\.", "blocks.5.pool.pre_conv."),
    (r"^head\.conv_5_bn\.", "blocks.5.pool.pre_norm."),
    (r"^head\.lin_5\.", "blocks.5.pool.post_conv."),
)


def _hub_name(name: str, case: str) -> str:
    """PySlowFast's name of a tensor to pytorchvideo's, written apart from the importer that goes the other way."""
    for pattern, theirs in _HUB_RULES:
        name = re.sub(pattern, theirs, name)
    two_paths = case.startswith("slowfast")
    name = name if two_paths else name.replace("multipathway_blocks.0.", "")
    if case == "x3d_l":
        for pattern, theirs in _HUB_X3D:
            name = re.sub(pattern, theirs, name)
    return name.replace("head.projection.", f"blocks.{6 if two_paths else 5}.proj.")


@pytest.mark.parametrize("case", ["slow_r50_8x8", "slowfast_r50_4x16", "x3d_l"])
def test_pytorchvideos_names_are_understood(case: str) -> None:
    state = golden.state_dict(golden.case(case)[0])
    hub = {_hub_name(name, case): tensor for name, tensor in state.items()}
    assert len(hub) == len(state) and recognise(hub) == "pytorchvideo"
    model = "slowonly_r50" if case == "slow_r50_8x8" else case
    ours, theirs = (create_model(model, 200, U=1) for _ in range(2))
    load_release(ours, state, "pyslowfast")
    load_release(theirs, hub, "pytorchvideo")
    expected = ours.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in theirs.state_dict().items())


def test_mmactions_slowonly_is_understood_and_its_slowfast_refused() -> None:
    own = _model("slowonly_r50").state_dict()
    names = {"head.fc": "cls_head.fc_cls", ".shortcut.0": ".downsample.conv", ".shortcut.1": ".downsample.bn"}
    names |= {"backbone.stem.": "backbone.conv1.conv.", "backbone.stem_bn.": "backbone.conv1.bn."}
    names |= {f"res{stage}": f"layer{stage - 1}" for stage in range(2, 6)}
    theirs = {}
    for name, tensor in own.items():
        for ours, their in names.items():
            name = name.replace(ours, their)
        name = re.sub(r"(layer\d\.\d\.conv\d)\.", r"\1.conv.", name)
        theirs[re.sub(r"(layer\d\.\d\.)bn(\d)\.", r"\1conv\2.bn.", name)] = tensor
    assert recognise(theirs) == "mmaction2" and "backbone.layer1.0.conv1.conv.weight" in theirs
    for model in ("slowonly_r50", "i3d_r50"):
        other = create_model(model, 5, U=2, width=8, stem_kernel=5)
        load_release(other, theirs, "mmaction2")
        assert all(torch.equal(tensor, own[name]) for name, tensor in other.state_dict().items())
    two_paths = {name.replace("backbone.", "backbone.slow_path."): t for name, t in theirs.items()}
    with pytest.raises(UserError, match="doesn't fit this model: missing"):
        load_release(_model("slowfast_r50_4x16"), two_paths, "mmaction2")

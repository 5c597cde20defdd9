"""The public releases' own outputs, from their own state dicts (names and all)."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import golden_cases as golden
import pytest
import torch

from harness.models import create_model, load_release
from harness.models.across import AcrossSnippets, channels_taking_part
from harness.models.dsa import DSA
from harness.models.trn import MultiScaleRelation, from_trn

TOLERANCE = 1e-5
RES5_LAST = {"aggregation": "dsa", "stages": ("res5",), "blocks": (3,), "beta": 1.0}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "i3d_r18": ("dsanet", "i3d_r18", {}),
    "i3d_r50": ("dsanet", "i3d_r50", {}),
    "dsanet_i3d_r18": ("dsanet", "i3d_r18", {"aggregation": "dsa", "stages": ("res5",), "beta": 1.0}),
    "dsanet_i3d_r50_official": ("dsanet", "i3d_r50", {"aggregation": "dsa"}),
    "dsanet_i3d_r50_pos1": ("dsanet", "i3d_r50", {**RES5_LAST, "position": "I"}),
    "dsanet_i3d_r50_pos3": ("dsanet", "i3d_r50", {**RES5_LAST, "position": "III"}),
    "dsanet_i3d_r50_pos4": ("dsanet", "i3d_r50", {**RES5_LAST, "position": "IV"}),
    "v4d_i3d_r18": ("v4d", "i3d_r18", {"aggregation": "v4d"}),
    "v4d_i3d_r50": ("v4d", "i3d_r50", {"aggregation": "v4d"}),
    "tsm_r50": ("tsm", "tsm_r50", {"U": 1}),
    "tsn_r50": ("torchvision", "tsn_r50", {"U": 1}),
    "tea_r50": ("tea", "tea_r50", {"U": 1}),
    "tanet_r50": ("tanet", "tanet_r50", {"U": 1, "T": 8}),
    "mvfnet_r50": ("mvfnet", "mvfnet_r50", {"U": 1}),
    "bninception": ("bninception", "tsn_bninception", {"U": 1}),
    "eco_lite_8": ("eco", "eco_lite", {"U": 1}),
}


def _video_batch(description: dict[str, Any]) -> torch.Tensor:
    x = golden.activation("input", description["input_shape"])
    frames = {"bninception": 1, "eco_lite_8": 8}.get(description["case"], description.get("T"))
    if frames:  # (N·T, C, H, W): one snippet of T frames
        return x.unflatten(0, (-1, 1, frames)).transpose(2, 3)
    return x.unflatten(0, (-1, description.get("U", 4)))


@pytest.mark.parametrize("name", CASES)
def test_network_gives_the_releases_logits(name: str, record_property: Any) -> None:
    source, model_name, options = CASES[name]
    description, outputs = golden.case(name)
    model = create_model(model_name, description["classes"], **options).eval()
    load_release(model, golden.state_dict(description), source)
    with torch.inference_mode():
        error = golden.relative_error(model(_video_batch(description)), outputs["output"])
    record_property("relative_error", error)
    print(f"{name}: relative error {error:.1e}")
    assert error < TOLERANCE


def test_relations_of_trn_for_the_tuples_that_its_release_drew() -> None:
    description, outputs = golden.case("trn_multiscale_head")
    _, T, features = description["input_shape"]
    head = MultiScaleRelation(features, T, num_classes=11, hidden=256).eval()
    renamed = from_trn(golden.state_dict(description))
    head.load_state_dict({name.removeprefix("head.relation."): t for name, t in renamed.items()})
    drawn = [
        [list(combinations(range(T), n))[index] for index in indices]
        for n, indices in zip((3, 2), description["chosen"], strict=True)
    ]
    x_BTF = golden.activation("input", description["input_shape"])
    with torch.inference_mode():
        ours = head(x_BTF, [[tuple(range(T))], *drawn])
    assert golden.relative_error(ours, outputs["output"]) < TOLERANCE


def _dsa_site(description: dict[str, Any]) -> AcrossSnippets:
    config = description["config"]
    channels = config["in_channels"]
    taking_part = channels_taking_part(channels, config["split_ratio"])
    module = DSA(taking_part, config["U_segment"], alpha=config["alpha"])
    module.load_state_dict(golden.state_dict(description))
    return AcrossSnippets(module, channels, taking_part)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["dsa_module_a1_b1_8", "dsa_module_a2_b1", "dsa_module_a4_b1_4"])
def test_dsa_module_outputs_and_gradients(name: str, mode: str, channels_last: bool) -> None:
    description, outputs = golden.case(name)
    site = _dsa_site(description).train(mode == "train")
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    x = golden.activation("input", description["input_shape"]).contiguous(memory_format=layout)
    y = site(x.requires_grad_(), description["config"]["U_segment"])
    (y * golden.activation("probe", y.shape)).sum().backward()
    errors = {
        "output": golden.relative_error(y, outputs[f"{mode}_output"]),
        "input": golden.relative_error(x.grad, outputs[f"{mode}_grad_input"]),
    }
    for parameter, tensor in site.module.named_parameters():
        if mode == "train":
            errors[parameter] = golden.relative_error(tensor.grad, outputs[f"train_grad.{parameter}"])
    print(f"{name} {mode}: largest relative error {max(errors.values()):.1e}")
    assert max(errors.values()) < TOLERANCE, errors

"""Importers of published checkpoints: inflation, wrappers, and refusal of anything missing or left over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.base.errors import UserError
from harness.models import VideoModel, create_model, inflate_2d, load_release, read_checkpoint


def _image_network() -> tuple[VideoModel, dict[str, Tensor]]:
    """A frame-wise network and its state dict under torchvision's names and 2D shapes."""
    frame_wise = create_model("tsn_r18", 5, width=8, U=1).eval()
    renamed = {}
    for name, tensor in frame_wise.state_dict().items():
        own = name.removeprefix("backbone.").replace("stem.", "conv1.").replace("stem_bn.", "bn1.")
        for stage in range(2, 6):
            own = own.replace(f"res{stage}.", f"layer{stage - 1}.")
        own = own.replace("shortcut.", "downsample.").replace("head.fc.", "fc.")
        renamed[own] = tensor[:, :, 0] if tensor.ndim == 5 else tensor
    return frame_wise, renamed


def test_inflated_network_sees_a_still_clip_as_the_image_network_does() -> None:
    frame_wise, state = _image_network()
    inflated = create_model("i3d_r18", 5, width=8, U=1, inflate=("res2", "res3", "res4", "res5")).eval()
    inflate_2d(state, inflated)
    inflated.head.load_state_dict(frame_wise.head.state_dict())
    still = torch.randn(1, 1, 3, 1, 32, 32)
    with torch.inference_mode():
        image = frame_wise.backbone(still.flatten(0, 1))
        clip = inflated.backbone(still.expand(-1, -1, -1, 21, -1, -1).flatten(0, 1))
    # 8 temporal convolutions of reach 1 stand on either side: only the middle is free of the zero padding.
    torch.testing.assert_close(clip[:, :, 10:11], image, rtol=1e-3, atol=1e-4)


def test_inflation_leaves_head_and_modules_fresh() -> None:
    _, state = _image_network()
    model = create_model("i3d_r18", 7, width=8, aggregation="dsa")
    before = {name: t.clone() for name, t in model.state_dict().items()}
    inflate_2d(state, model)
    after = model.state_dict()
    kept = [name for name in before if name.startswith("head.") or ".across." in name]
    assert kept and all(torch.equal(before[name], after[name]) for name in kept)
    assert torch.equal(after["backbone.stem.weight"][:, :, 0], state["conv1.weight"])
    slice_sum = after["backbone.res5.0.conv1.weight"].sum(2)
    torch.testing.assert_close(slice_sum, state["layer4.0.conv1.weight"])


def test_checkpoints_without_batch_counters_are_accepted() -> None:
    frame_wise, state = _image_network()
    old = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    other = create_model("tsn_r18", 5, width=8, U=1)
    load_release(other, old, "torchvision")
    assert torch.equal(other.head.fc.weight, frame_wise.head.fc.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer3.1.conv2.weight"), "missing: backbone.res4.1.conv2.weight"),
        (lambda state: state.update(extra=torch.zeros(2)), "left over: backbone.extra"),
        (
            lambda state: state.update({"fc.bias": torch.zeros(6)}),
            r"another shape: head.fc.bias \(6,\) for \(5,\)",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(change: object, message: str) -> None:
    _, state = _image_network()
    change(state)  # type: ignore[operator]
    with pytest.raises(UserError, match=message):
        load_release(create_model("tsn_r18", 5, width=8, U=1), state, "torchvision")


def test_unknown_source_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="did you mean 'dsanet'"):
        load_release(create_model("tsn_r18", width=8), {}, "dsnet")


def test_wrapped_checkpoint_file_is_unwrapped(tmp_path: Path) -> None:
    path = tmp_path / "release.pth"
    torch.save({"epoch": 3, "state_dict": {"module.fc.bias": torch.ones(2)}}, path)
    assert list(read_checkpoint(path)) == ["fc.bias"]


@pytest.mark.parametrize("content", [b"not a checkpoint", b""])
def test_unreadable_checkpoint_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.pth: not a readable checkpoint"):
        read_checkpoint(path)


def test_missing_file_and_file_without_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "absent.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        read_checkpoint(tmp_path / "list.pth")

"""`harness weights import` on checkpoints with the releases' own names and shapes (the golden cases)."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.cli.main import main
from tests.models.golden_cases import case, weight

# case -> (release, network, module across)
FITS = {
    "i3d_r50": ("dsanet", "i3d_r50", "average"),
    "dsanet_i3d_r50_official": ("dsanet", "i3d_r50", "dsa"),
    "v4d_i3d_r18": ("v4d", "i3d_r18", "v4d"),
    "tsm_r50": ("tsm", "tsm_r50", "average"),
    "tsn_r50": ("torchvision", "tsn_r50", "average"),
    "tea_r50": ("tea", "tea_r50", "average"),
    "tanet_r50": ("tanet", "tanet_r50", "average"),
    "mvfnet_r50": ("mvfnet", "mvfnet_r50", "average"),
    "slow_r50_8x8": ("pyslowfast", "slowonly_r50", "average"),
    "slowfast_r50_4x16": ("pyslowfast", "slowfast_r50_4x16", "average"),
    "i3d_nln_r50_8x8_pyslowfast": ("pyslowfast", "i3d_nln_r50_8x8", "average"),
    "x3d_l": ("pyslowfast", "x3d_l", "average"),
}
WRAPPER = {"pyslowfast": "model_state"}


def _state(name: str) -> dict[str, Tensor]:
    shapes = case(name)[0]["state_dict"]
    return {
        key: weight(key, shape) if key.endswith("tracked") else torch.zeros(shape)
        for key, shape in shapes.items()
    }


def _import(*words: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["weights", "import", *words])
    return int(exit_.value.code or 0)


@pytest.mark.parametrize("name", FITS)
def test_a_release_is_recognised_and_fits_its_network(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release, model, aggregation = FITS[name]
    state = _state(name)
    torch.save({"epoch": 1, WRAPPER.get(release, "state_dict"): state}, tmp_path / "release.pth")
    assert _import(str(tmp_path / "release.pth"), "--json") == 0, capsys.readouterr().err
    told = json.loads(capsys.readouterr().out)
    assert told["source"] == release
    assert (model, aggregation) in {(fit["model"], fit["aggregation"]) for fit in told["fits"]}
    assert told["fits"][0]["classes"] == case(name)[0]["classes"]
    assert {key: tuple(shape) for key, shape in told["keys"].items()} == {
        k: tuple(t.shape) for k, t in state.items()
    }


def _as_mmaction2(name: str) -> str:
    """Convolution and norm in a ConvModule; TSM's shift wraps the convolution."""
    name = re.sub(r"\bconv(\d)\.(net\.)?weight", r"conv\1.conv.\2weight", name)
    name = re.sub(r"\bbn(\d)\.", r"conv\1.bn.", name)
    name = name.replace("downsample.0.", "downsample.conv.").replace("downsample.1.", "downsample.bn.")
    return f"cls_head.fc_cls.{name.removeprefix('fc.')}" if name.startswith("fc.") else f"backbone.{name}"


def _as_tsn_family(name: str) -> str:
    own = name.removeprefix("b.")  # the case's own wrapper for V4D
    return f"module.new_fc.{own.removeprefix('fc.')}" if own.startswith("fc.") else f"module.base_model.{own}"


def _as_mvfnet(name: str) -> str:
    return f"cls_head.new_fc.{name.removeprefix('fc.')}" if name.startswith("fc.") else f"backbone.{name}"


@pytest.mark.parametrize(
    ("name", "wrap", "release", "model"),
    [
        ("tsm_r50", _as_tsn_family, "tsm", "tsm_r50"),
        ("tsn_r50", _as_tsn_family, "torchvision", "tsn_r50"),
        ("tanet_r50", _as_tsn_family, "tanet", "tanet_r50"),
        ("v4d_i3d_r18", _as_tsn_family, "v4d", "i3d_r18"),
        ("mvfnet_r50", _as_mvfnet, "mvfnet", "mvfnet_r50"),
        ("tsn_r50", _as_mmaction2, "mmaction2", "tsn_r50"),
        ("tsm_r50", _as_mmaction2, "mmaction2", "tsm_r50"),
    ],
)
def test_names_as_the_published_files_wrap_them(
    name: str,
    wrap: Callable[[str], str],
    release: str,
    model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({"state_dict": {wrap(key): t for key, t in _state(name).items()}}, tmp_path / "release.pth")
    assert _import(str(tmp_path / "release.pth"), "--json") == 0, capsys.readouterr().err
    told = json.loads(capsys.readouterr().out)
    assert told["source"] == release and model in {fit["model"] for fit in told["fits"]}


def test_the_network_that_a_release_is_called_after_comes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(_state("tsm_r50"), tmp_path / "tsm.pth")
    assert _import(str(tmp_path / "tsm.pth"), "--keys") == 0
    shown = capsys.readouterr().out
    assert shown.index("fits tsm_r50") < shown.index("fits tsn_r50")
    assert "  layer1.0.conv1.net.weight" in shown and "sha256: " in shown


def test_what_does_not_fit_is_refused_with_the_nearest_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = _state("i3d_r50")
    del state["backbone.layer3.1.bn2.weight"]
    torch.save(state, tmp_path / "cut.pth")
    assert _import(str(tmp_path / "cut.pth")) == 2
    assert "nearest is i3d_r50: missing: backbone.res4.1.bn2.weight" in capsys.readouterr().err


def test_a_file_that_could_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "caffe2.pkl").write_bytes(pickle.dumps({"blobs": Runs()}))
    assert _import(str(tmp_path / "caffe2.pkl")) == 2
    assert "caffe2.pkl: not a readable checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_an_unknown_source_is_named_with_the_near_match(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(_state("tsn_r50"), tmp_path / "file.pth")
    assert _import(str(tmp_path / "file.pth"), "--source", "torchvison") == 2
    assert "unknown weights source 'torchvison' (did you mean 'torchvision'?)" in capsys.readouterr().err

"""Starting weights: trained once by a trial of their own, shared by all rows, without a trace in a trial's draws."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from harness.experiment.identity import trial_id
from harness.experiment.spec import File, Placed, Scratch, Trial
from harness.experiment.start import start_trial, trunk_path
from harness.models import create_model
from harness.plan.expand import Planned
from harness.plan.pending import missing_starts
from harness.trial import run_trial
from harness.trial.failure import SurroundingsError, TrialFailed
from harness.trial.run import build_model
from harness.trial.start import keep_trunk, load_start
from tests.trial.tiny import DSA, V4D, tiny_trial, trunk, weights


@pytest.fixture
def started() -> Trial:
    return tiny_trial(start=trunk())


def _start(trial: Trial) -> Trial:
    start = start_trial(trial)
    assert start is not None
    return start


@pytest.fixture(scope="module")
def prepared(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the dataset and real starting weights, made by their trial."""
    root = Path(shutil.copytree(data_root, tmp_path_factory.mktemp("starts") / "data"))
    start = _start(tiny_trial(start=trunk()))
    record = run_trial(start, data_root=root, trunk=trunk_path(start, root))
    assert record.status == "done"
    return root


def _keep(trial: Trial, root: Path) -> Path:
    """Starting weights without the training."""
    path = trunk_path(_start(trial), root)
    torch.manual_seed(5)
    keep_trunk(build_model(_start(trial), 10), path)
    return path


def test_the_start_is_trained_on_single_snippets_by_a_bare_backbone(started: Trial) -> None:
    start = _start(started)
    assert (start.train.U, start.train.T) == (1, 2)
    assert start.network == tiny_trial(module=None).network
    assert (start.recipe.epochs, start.seed, start.start) == (1, 0, Scratch())
    assert start_trial(tiny_trial()) is None
    assert start_trial(start) is None


def test_all_rows_and_seeds_of_a_backbone_share_one_file(started: Trial, tmp_path: Path) -> None:
    path = trunk_path(_start(started), tmp_path)
    assert path.parent == tmp_path / "pretrained"
    assert path.name == f"i3d_r18-{trial_id(_start(started))}.pt"
    for module in (None, V4D):
        other = tiny_trial(seed=3, module=module, lr=1, start=trunk())
        assert trunk_path(_start(other), tmp_path) == path
    for different in (
        started.model_copy(update={"network": started.network.model_copy(update={"model": "tsm_r18"})}),
        tiny_trial(start=trunk(lr=0.01)),
    ):
        assert trunk_path(_start(different), tmp_path) != path


def test_those_that_are_nowhere_are_missing(started: Trial, tmp_path: Path) -> None:
    todo = [Planned("e", "row", "tiny", started.seed, started, trial_id(started))]
    assert [p.trial for p in missing_starts(todo, tmp_path)] == [_start(started)]
    _keep(started, tmp_path)
    assert missing_starts(todo, tmp_path) == []


@pytest.mark.parametrize("module", [None, DSA, V4D], ids=["average", "dsa", "v4d"])
def test_every_row_starts_from_the_same_trunk(started: Trial, tmp_path: Path, module: Placed | None) -> None:
    path = _keep(started, tmp_path)
    trial = tiny_trial(module=module, start=trunk())
    torch.manual_seed(11)
    model = build_model(trial, 10)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    assert load_start(model, trial, tmp_path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert torch.equal(torch.get_rng_state(), random_state), "the start left a trace in the trial's draws"
    kept = torch.load(path, weights_only=True)
    for name, tensor in model.state_dict().items():
        own = name.removeprefix("backbone.")
        assert torch.equal(tensor, kept[own] if own in kept else fresh[name]), name
    untouched = {name for name in fresh if name.removeprefix("backbone.") not in kept}
    assert all(".at." in name or name.startswith("head.") for name in untouched)
    assert any(".at." in name for name in untouched) == (module is not None)


def test_the_start_is_used_and_its_hash_is_kept(started: Trial, prepared: Path, tmp_path: Path) -> None:
    frozen = started.model_copy(
        update={"recipe": started.recipe.model_copy(update={"lr": 1e-30, "epochs": 2})}
    )
    record = run_trial(frozen, data_root=prepared, checkpoint_dir=tmp_path)
    path = trunk_path(_start(started), prepared)
    kept = torch.load(path, weights_only=True)
    assert torch.allclose(weights(tmp_path)["backbone.stem.weight"], kept["stem.weight"], rtol=1e-5)
    assert record.provenance["start_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_start_that_was_purged_is_no_verdict_about_the_trial(started: Trial, data_root: Path) -> None:
    with pytest.raises(
        SurroundingsError, match=r"starting weights are not there.*give the same command again"
    ):
        run_trial(started, data_root=data_root)


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04torn"])
def test_a_damaged_file_is_named_with_the_remedy(started: Trial, tmp_path: Path, content: bytes) -> None:
    path = _keep(started, tmp_path)
    path.write_bytes(content)
    with pytest.raises(SurroundingsError) as caught:
        load_start(build_model(started, 10), started, tmp_path)
    assert str(caught.value).startswith(f"{path}: the starting weights cannot be read (")
    assert str(caught.value).endswith("); delete the file and give the same command again")


def test_weights_of_another_network_are_refused(started: Trial, tmp_path: Path) -> None:
    path = _keep(started, tmp_path)
    wider = {**started.network.options, "width": 4}
    other = started.model_copy(update={"network": started.network.model_copy(update={"options": wider})})
    path.rename(trunk_path(_start(other), tmp_path))
    with pytest.raises(TrialFailed, match="the starting weights do not fit"):
        load_start(build_model(other, 10), other, tmp_path)
    path = _keep(started, tmp_path)
    torch.save({"stem.weight": torch.load(path, weights_only=True)["stem.weight"]}, path)
    with pytest.raises(TrialFailed, match=r"do not fit the backbone at stem_bn\.weight"):
        load_start(build_model(started, 10), started, tmp_path)


class TestFile:
    """A start from a file that is known by its hash."""

    @pytest.fixture
    def resnet(self, tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
        """A torchvision-like ResNet-18, two channels wide."""
        model = create_model("tsn_r18", 3, width=2, stem_kernel=3)
        names = {}
        for name, tensor in model.state_dict().items():
            plain = name.removeprefix("backbone.").replace("stem_bn.", "bn1.").replace("stem.", "conv1.")
            for stage in (2, 3, 4, 5):
                plain = plain.replace(f"res{stage}.", f"layer{stage - 1}.")
            plain = plain.replace(".shortcut.", ".downsample.").replace("head.fc.", "fc.")
            names[plain] = tensor[:, :, 0] if tensor.ndim == 5 else tensor
        torch.save(names, tmp_path / "resnet.pth")
        return tmp_path / "resnet.pth", names

    def _trial(self, path: Path, sha256: str | None = None) -> Trial:
        found = sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
        return tiny_trial(start=File(sha256=found, path=str(path)))

    def test_a_2d_resnet_is_inflated(
        self, resnet: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
    ) -> None:
        trial = self._trial(resnet[0])
        model = build_model(trial, 10)
        assert load_start(model, trial, tmp_path) == trial.start.sha256  # type: ignore[union-attr]
        inflated = model.state_dict()["backbone.res5.0.conv1.weight"]
        torch.testing.assert_close(inflated[:, :, 1] * 3, resnet[1]["layer4.0.conv1.weight"])

    def test_another_file_is_refused(
        self, resnet: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
    ) -> None:
        with pytest.raises(SurroundingsError, match=r"its SHA-256 is .*another file"):
            load_start(build_model(tiny_trial(), 10), self._trial(resnet[0], "0" * 64), tmp_path)
        with pytest.raises(SurroundingsError, match="there is no such file on this machine"):
            load_start(build_model(tiny_trial(), 10), self._trial(tmp_path / "gone", "0" * 64), tmp_path)

    def test_a_file_that_does_not_fit_is_the_trials_fault(self, tmp_path: Path) -> None:
        torch.save(
            {"conv1.weight": torch.zeros(1), "layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "x.pth"
        )
        trial = self._trial(tmp_path / "x.pth")
        with pytest.raises(TrialFailed, match="torchvision checkpoint doesn't fit this model"):
            load_start(build_model(trial, 10), trial, tmp_path)

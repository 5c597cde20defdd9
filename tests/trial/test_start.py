"""Starting weights: made once, shared by all rows, and without a trace in a trial's own random numbers."""

from __future__ import annotations

import functools
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.trial.build import build_model
from harness.trial.prepare import prepare_trials
from harness.trial.pretrain import load_weights, prepare_weights, pretraining_trial, weights_path
from pandas.testing import assert_frame_equal

from harness.base.errors import UserError
from harness.data import prepare
from harness.experiment.spec import Trial
from harness.models import VideoModel
from harness.trial import prepare as preparation
from harness.trial import run_trial, run_trial_safely
from harness.trial.fit import Report, TrialFailed
from harness.trial.run import prepare_start
from tests.trial.tiny import DSA, PLAIN, SPEC, pretraining, same_tensors, tiny_trial, untimed, weights

V4D: dict[str, Any] = {
    "aggregation": "v4d",
    "position": "after",
    "beta": 1.0,
    "placement": {"res3": (2,)},
    "options": {},
}


class Maker:
    """Stands for the training of the starting weights, and counts how often it is asked."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.trials: list[Trial] = []
        self.seconds = seconds

    def __call__(self, trial: Trial, report: Report | None) -> VideoModel:
        self.trials.append(trial)
        time.sleep(self.seconds)
        torch.manual_seed(5)
        return build_model(trial, 10)


@pytest.fixture
def started() -> Trial:
    return tiny_trial(pretraining=pretraining())


@pytest.fixture(scope="module")
def prepared(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the dataset and real starting weights."""
    root = Path(shutil.copytree(data_root, tmp_path_factory.mktemp("pretrained") / "data"))
    prepare_start(tiny_trial(pretraining=pretraining()), root)
    return root


def test_the_start_is_trained_on_single_snippets_by_a_bare_backbone(started: Trial) -> None:
    start = pretraining_trial(started)
    assert (start.train.U, start.train.T) == (1, 2)
    assert start.network == tiny_trial(module=PLAIN).network
    assert (start.recipe.epochs, start.seed, start.pretraining) == (1, 0, None)
    with pytest.raises(ValueError, match="starts from scratch"):
        pretraining_trial(tiny_trial())


def test_all_rows_and_seeds_of_a_backbone_share_one_file(started: Trial, tmp_path: Path) -> None:
    path = weights_path(started, tmp_path)
    assert path.parent == tmp_path / "pretrained"
    for module in (PLAIN, V4D):
        assert (
            weights_path(tiny_trial(seed=3, module=module, lr=1, pretraining=pretraining()), tmp_path) == path
        )
    other = started.model_copy(update={"network": started.network.model_copy(update={"backbone": "tsm_r18"})})
    assert weights_path(other, tmp_path) != path
    assert weights_path(tiny_trial(pretraining=pretraining(lr=0.01)), tmp_path) != path


def test_they_are_made_once(started: Trial, tmp_path: Path) -> None:
    maker = Maker()
    paths = {prepare_weights(started, tmp_path, maker) for _ in range(3)}
    assert maker.trials == [pretraining_trial(started)]
    assert paths == {weights_path(started, tmp_path)}


def test_two_makers_at_once_make_them_once(started: Trial, tmp_path: Path) -> None:
    maker, found = Maker(seconds=0.3), []
    threads = [
        threading.Thread(target=lambda: found.append(prepare_weights(started, tmp_path, maker)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(maker.trials) == 1
    assert found == [weights_path(started, tmp_path)] * 3


def test_a_maker_that_dies_leaves_nothing_that_could_be_used(started: Trial, tmp_path: Path) -> None:
    def dies(*_: object) -> VideoModel:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_weights(started, tmp_path, dies)
    assert [path.suffix for path in (tmp_path / "pretrained").iterdir()] == [".lock"]
    maker = Maker()
    prepare_weights(started, tmp_path, maker)
    assert len(maker.trials) == 1


@pytest.mark.parametrize("module", [PLAIN, DSA, V4D], ids=lambda m: m["aggregation"])
def test_every_row_starts_from_the_same_trunk(started: Trial, tmp_path: Path, module: dict[str, Any]) -> None:
    path = prepare_weights(started, tmp_path, Maker())
    torch.manual_seed(11)
    model = build_model(tiny_trial(module=module), 10)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_weights(model, path)
    trunk = torch.load(path, weights_only=True)
    for name, tensor in model.state_dict().items():
        own = name.removeprefix("backbone.")
        expected = trunk[own] if own in trunk else fresh[name]
        assert torch.equal(tensor, expected), name
    untouched = {name for name in fresh if name.removeprefix("backbone.") not in trunk}
    assert all(".across." in name or name.startswith("head.") for name in untouched)
    assert any(".across." in name for name in untouched) == (module is not PLAIN)


def test_a_trial_is_the_same_whether_its_start_was_there_or_had_to_be_made(
    started: Trial, prepared: Path, data_root: Path, tmp_path: Path
) -> None:
    bare = Path(shutil.copytree(data_root, tmp_path / "data"))
    made = run_trial(started, data_root=bare, checkpoint_dir=tmp_path / "made")
    there = run_trial(started, data_root=prepared, checkpoint_dir=tmp_path / "there")
    assert weights_path(started, bare).read_bytes() == weights_path(started, prepared).read_bytes()
    assert made.metrics == there.metrics
    assert_frame_equal(untimed(made.curve), untimed(there.curve))
    assert same_tensors(weights(tmp_path / "made"), weights(tmp_path / "there"))


def test_the_start_is_used(started: Trial, prepared: Path, tmp_path: Path) -> None:
    frozen = started.model_copy(
        update={"recipe": started.recipe.model_copy(update={"lr": 1e-30, "epochs": 2})}
    )
    run_trial(frozen, data_root=prepared, checkpoint_dir=tmp_path)
    trunk = torch.load(weights_path(started, prepared), weights_only=True)
    assert torch.allclose(weights(tmp_path)["backbone.stem.weight"], trunk["stem.weight"], rtol=1e-5)


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04torn"])
def test_a_damaged_file_is_named_with_the_remedy(
    started: Trial, prepared: Path, tmp_path: Path, content: bytes
) -> None:
    root = Path(shutil.copytree(prepared, tmp_path / "data"))
    weights_path(started, root).write_bytes(content)
    record = run_trial_safely(started, data_root=root)
    assert record.reason is not None
    assert record.reason.startswith(f"{weights_path(started, root)}: the starting weights cannot be used (")
    assert record.reason.endswith("); delete the file and run again")


def test_weights_of_another_network_are_refused(started: Trial, tmp_path: Path) -> None:
    path = prepare_weights(started, tmp_path, Maker())
    wider = started.model_copy(update={"network": started.network.model_copy(update={"width": 4})})
    with pytest.raises(TrialFailed, match="cannot be used"):
        load_weights(build_model(wider, 10), path)
    torch.save({"stem.weight": torch.load(path, weights_only=True)["stem.weight"]}, path)
    with pytest.raises(TrialFailed, match=r"do not fit the backbone at stem_bn\.weight"):
        load_weights(build_model(started, 10), path)


def test_preparation_makes_all_that_is_missing_and_says_so(
    started: Trial, data_root: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(data_root, tmp_path / "data"))
    told: list[tuple[str, int, int]] = []
    trials = [started, started.model_copy(update={"seed": 1}), tiny_trial()]
    prepare_trials(trials, root, lambda *what: told.append(what))
    assert told == [("starting weights: i3d_r18", 0, 1), ("starting weights: i3d_r18", 1, 1)]
    assert weights_path(started, root).exists()
    told.clear()
    prepare_trials(trials, root, lambda *what: told.append(what))
    assert told == []


def test_preparation_refuses_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'kinetics_400' cannot be read yet.*`harness cost`"):
        prepare_trials([tiny_trial(dataset={"name": "kinetics_400"})], tmp_path, lambda *_: None)


def test_the_dataset_of_the_start_is_made_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "prepare", functools.partial(prepare, workers=1))
    other = SPEC.model_copy(update={"seed": 9, "scripts": ("RR", "LL"), "actors": (1, 2, 3)})
    start = pretraining().model_copy(update={"dataset": other.model_dump(mode="json")})
    told: list[str] = []
    prepare_trials([tiny_trial(pretraining=start)], tmp_path, lambda stage, *_: told.append(stage))
    assert set(told) == {"dataset: videos", "dataset: cache", "starting weights: i3d_r18"}
    assert len(list(tmp_path.glob("scripted_digits-*"))) == 2

"""The contract: roles, splits, facets, pictures, and the registry that leads to them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.base.errors import UserError
from harness.data import (
    Dataset,
    ScriptedDigits,
    Sizes,
    class_names,
    contact_sheet_png,
    describe,
    facet_answers,
    known_datasets,
    open_dataset,
    prepare,
    register_dataset,
    registry,
    thumbnails,
)
from harness.data.dataset import ROLES, DatasetInfo, multi_hot
from harness.experiment.datasets import Kinetics400, parse_dataset
from tests.data.synthetic import ArrayVideo, make_split, noise


def test_roles_share_nothing(tiny: Dataset) -> None:
    ids = [set(tiny.split(role).video_ids) for role in ROLES]
    drawn = [set(tiny.split(role).table["drawn_sha256"]) for role in ROLES]
    for sets in (ids, drawn):
        assert [len(s) for s in sets] == [20, 10, 10]
        assert len(set.union(*sets)) == 40


def test_a_split_is_its_table(tiny: Dataset) -> None:
    split = tiny.split("train")
    assert (split.role, split.name) == ("train", "train")
    assert len(split) == len(split.table) == len(split.video_ids) == 20
    assert np.bincount(split.labels).tolist() == [2] * 10
    for i in (0, 7, 19):
        sample, row = split.sample(i), split.table.loc[i]
        assert (sample.video_id, sample.labels) == (row["video_id"], (row["label"],))
        assert (sample.frames(), sample.fps(), sample.size_wh()) == (row["frames"], 16, (32, 24))
        assert sample.boxes is None
        assert tiny.info.class_names[row["label"]] == f"{row['actor']}:{row['script']}"


def test_a_sample_gives_frames_in_the_order_asked(tiny: Dataset) -> None:
    sample = tiny.split("report").sample(4)
    all_LHW3 = sample.read(np.arange(sample.frames()))
    places = np.array([7, 0, 7, sample.frames() - 1])
    assert np.array_equal(sample.read(places), all_LHW3[places])


@pytest.mark.parametrize("role", ["reports", "test", "val"])
def test_an_unknown_role_is_refused(tiny: Dataset, role: str) -> None:
    with pytest.raises(UserError, match=rf"no split for the role '{role}'.*it has train, select, report"):
        tiny.split(role)


def _by_facet(tiny: Dataset, predicted: np.ndarray) -> dict[str, float]:
    return tiny.facet_metrics(np.eye(tiny.info.num_classes)[predicted], "report")


def test_facet_metrics(tiny: Dataset, tiny_spec: ScriptedDigits) -> None:
    truth = tiny.split("report").labels
    assert _by_facet(tiny, truth) == {f"factor_{facet}": 100.0 for facet in tiny.info.facets}
    # The scripts of actor 0, then those of actor 4: five further is the same script of the other actor.
    scripts_alone = {"factor_motion": 100.0, "factor_order": 100.0, "factor_position": 100.0}
    assert _by_facet(tiny, (truth + 5) % 10) == {"factor_appearance": 0.0, **scripts_alone}
    order_blind = np.array([0, 1, 1, 3, 3, 5, 6, 6, 8, 8])[truth]
    halves = {"factor_motion": 100.0, "factor_order": 50.0, "factor_position": 50.0}
    assert _by_facet(tiny, order_blind) == {"factor_appearance": 100.0, **halves}
    answers = facet_answers(tiny_spec, order_blind, truth)
    assert answers["order"][0].tolist() == [i for i, k in enumerate(truth) if k % 5 in (1, 2)]
    assert set(facet_answers(tiny_spec, truth[:1], truth[:1])) == {"appearance", "motion"}


def test_scores_of_other_videos_are_refused(tiny: Dataset) -> None:
    with pytest.raises(ValueError, match=r"scores \(9, 10\) for 10 videos"):
        tiny.facet_metrics(np.zeros((9, 10)), "report")


def test_mirrored_labels_are_a_permutation_of_two() -> None:
    info = make_split(
        [ArrayVideo("a", (0,), noise(0, 2, 4, 4))], flip="swap", label_swaps=((0, 3), (4, 5))
    ).info
    mirrored_K = info.mirrored_labels()
    assert mirrored_K.tolist() == [3, 1, 2, 0, 5, 4]
    assert mirrored_K[mirrored_K].tolist() == list(range(6))


def test_several_labels_become_targets() -> None:
    assert multi_hot([(0, 2), (1,)], 3).tolist() == [[1, 0, 1], [0, 1, 0]]


def test_sizes_are_known_without_preparing(tiny: Dataset, tiny_spec: ScriptedDigits) -> None:
    sizes = describe(tiny_spec)
    assert sizes == Sizes({"train": 20, "select": 10, "report": 10}, 10, 52.0, 16, (32, 24))
    assert sizes.videos == tiny.info.counts
    assert class_names(tiny_spec) == tiny.info.class_names


def test_asking_for_sizes_imports_nothing_heavy() -> None:
    """A plan asks; it must not wait for torch or decord."""
    code = (
        "import sys; from harness.data import dataset_spec, describe, class_names, snippet_groups\n"
        "spec = dataset_spec({'name': 'scripted_digits'})\n"
        "assert describe(spec).videos['train'] == 720 and len(class_names(spec)) == 20\n"
        "print([m for m in ('torch', 'decord', 'av', 'pandas', 'sklearn') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert run.stdout.strip() == "[]"


class _Elsewhere:
    """A dataset of two videos in the file of a user."""

    def describe(self, spec: object) -> None:
        return None

    def class_names(self, spec: object) -> tuple[str, ...]:
        return ()

    def facet_answers(self, spec: object, predicted_V: object, labels_V: object) -> dict:
        return {}

    def is_ready(self, spec: object, root: Path) -> bool:
        return True

    def prepare(self, spec: object, root: Path, **_: object) -> DatasetInfo:
        return self.open(spec, root).info

    def open(self, spec: object, root: Path) -> object:
        return make_split([ArrayVideo(f"e{i}", (i,), noise(i, 4, 8, 8)) for i in range(2)])


def test_a_dataset_needs_one_decorator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known_datasets()
    monkeypatch.setattr(registry, "_SOURCES", dict(registry._SOURCES))
    register_dataset("kinetics_400")(_Elsewhere)
    assert {"kinetics_400", "scripted_digits"} <= set(known_datasets())
    assert prepare(Kinetics400(), tmp_path).name == "synthetic"
    assert open_dataset(Kinetics400(), tmp_path).sample(1).frames() == 4
    assert describe(Kinetics400()) is None and class_names(Kinetics400()) == ()


def test_thumbnails_run_from_first_to_last(tiny: Dataset) -> None:
    sample = tiny.split("train").sample(3)
    strip_nHW3 = thumbnails(sample, n=5)
    assert strip_nHW3.shape == (5, 24, 32, 3)
    assert np.array_equal(strip_nHW3[[0, -1]], sample.read(np.array([0, sample.frames() - 1])))
    picture = np.asarray(Image.open(io.BytesIO(contact_sheet_png(sample, n=5))))
    assert np.array_equal(picture, np.concatenate(list(strip_nHW3), axis=1))


def test_large_frames_are_made_small() -> None:
    sample = ArrayVideo("large", (0,), noise(0, 3, 60, 100))
    assert thumbnails(sample, 4, height_px=30).shape == (4, 30, 50, 3)
    assert thumbnails(sample, 4, height_px=60).shape == (4, 60, 100, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "kinetics_40"}, r"unknown dataset 'kinetics_40' \(did you mean 'kinetics_400'\?\)"),
        ({}, "unknown dataset None; known: scripted_digits"),
        (
            {"name": "scripted_digits", "jiter_px": 1},
            r"unknown key 'jiter_px' \(did you mean 'jitter_px'\?\)",
        ),
        ({"name": "scripted_digits", "gap": [9, 3]}, r"gap: a range is \(low, high\)"),
        (
            {"name": "scripted_digits", "videos_per_class": {"train": 0}},
            r"videos_per_class.train: Input should be",
        ),
    ],
)
def test_a_wrong_specification_is_named(data: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_dataset(data)

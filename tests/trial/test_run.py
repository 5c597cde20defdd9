"""One trial: the same numbers for the same seed, whatever happened on the way; failures with their reason."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pandas.testing import assert_frame_equal

from harness import data
from harness.base.errors import StorageError, UserError
from harness.experiment.datasets import Kinetics400
from harness.experiment.load import ROOT
from harness.experiment.sampling import TestProtocol
from harness.experiment.spec import Numerics, Placed, Trial, Variant
from harness.results.metrics import Truth, score_metrics
from harness.results.predictions import scores_from_predictions
from harness.results.record import Record
from harness.trial import run_trial
from harness.trial.failure import SurroundingsError, TrialFailed, failed_record, failure_reason, surroundings
from tests.trial.conftest import Undisturbed
from tests.trial.tiny import EPOCHS, SPEC, same_tensors, tiny_trial, untimed, weights


class Killed(BaseException):
    """What a trial does not survive."""


def _failed(trial: Trial, **options: Any) -> Record:
    """The record of a trial that fails by its own fault."""
    with pytest.raises(Exception) as caught:
        run_trial(trial, **options)
    assert surroundings(caught.value) is None, "the trial's own fault was taken for its surroundings'"
    return failed_record(trial, caught.value)


def _assert_same(record: Record, folder: Path, expected: Undisturbed) -> None:
    assert record.metrics == expected.record.metrics
    assert_frame_equal(record.predictions, expected.record.predictions)
    assert_frame_equal(untimed(record.curve), untimed(expected.record.curve))
    assert same_tensors(weights(folder), weights(expected.folder))


def test_the_same_seed_gives_the_same_numbers_bit_for_bit(
    undisturbed: Undisturbed, data_root: Path, tmp_path: Path
) -> None:
    torch.rand(7)  # what another trial of this process may have left behind
    np.random.rand(7)
    again = run_trial(tiny_trial(), data_root=data_root, checkpoint_dir=tmp_path)
    _assert_same(again, tmp_path, undisturbed)


def test_another_seed_gives_other_numbers(undisturbed: Undisturbed, data_root: Path, tmp_path: Path) -> None:
    other = run_trial(tiny_trial(seed=1), data_root=data_root, checkpoint_dir=tmp_path)
    assert not same_tensors(weights(tmp_path), weights(undisturbed.folder))
    assert not untimed(other.curve).equals(untimed(undisturbed.record.curve))


def test_a_trial_killed_after_every_epoch_ends_with_the_same_numbers(
    undisturbed: Undisturbed, data_root: Path, tmp_path: Path
) -> None:
    epochs = []

    def kill(told: dict[str, Any]) -> None:
        epochs.append(told["epoch"])
        raise Killed

    for _ in range(EPOCHS):
        with pytest.raises(Killed):
            run_trial(tiny_trial(), data_root=data_root, checkpoint_dir=tmp_path, report=kill)
    assert epochs == [1, 2, 3], "an epoch was trained twice"
    record = run_trial(tiny_trial(), data_root=data_root, checkpoint_dir=tmp_path)
    _assert_same(record, tmp_path, undisturbed)
    assert record.provenance["resumed_from_epoch"] == EPOCHS
    assert record.provenance["wall_seconds"] > record.curve["seconds"].sum()


def test_kill_9_in_mid_run_and_a_run_in_another_process(
    undisturbed: Undisturbed, data_root: Path, tmp_path: Path
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from harness.trial import run_trial; "
        "from tests.trial.tiny import tiny_trial; kill = lambda told: told['epoch'] == 2 and os.kill(os.getpid(), 9); "
        "run_trial(tiny_trial(), data_root=Path(sys.argv[1]), checkpoint_dir=Path(sys.argv[2]), report=kill)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(data_root), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    record = run_trial(tiny_trial(), data_root=data_root, checkpoint_dir=tmp_path)
    assert record.provenance["resumed_from_epoch"] == 2
    _assert_same(record, tmp_path, undisturbed)


def test_a_damaged_checkpoint_starts_the_trial_anew(
    undisturbed: Undisturbed, data_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "last.pt").write_bytes((undisturbed.folder / "last.pt").read_bytes()[:-2000])
    record = run_trial(tiny_trial(), data_root=data_root, checkpoint_dir=tmp_path)
    assert record.provenance["resumed_from_epoch"] == 0
    _assert_same(record, tmp_path, undisturbed)


def test_reports_tell_every_epoch_and_the_test(undisturbed: Undisturbed) -> None:
    train, test = undisturbed.reports[:-1], undisturbed.reports[-1]
    assert [told["epoch"] for told in train] == [1, 2, 3]
    assert {told["state"] for told in train} == {"train"}
    assert {told["epochs"] for told in undisturbed.reports} == {EPOCHS}
    assert [told["loss"] for told in train] == undisturbed.record.curve["loss"].to_list()
    left = [told["seconds_left"] for told in train]
    assert left[-1] == 0.0 < min(left[:-1])
    assert (test["state"], test["seconds_left"]) == ("test", 0.0)


def test_metrics_follow_from_the_predictions_alone(undisturbed: Undisturbed, data_root: Path) -> None:
    record = undisturbed.record
    scores, labels, videos = scores_from_predictions(record.predictions)
    dataset = data.open_dataset(SPEC, data_root)
    assert videos == dataset.split("report").video_ids
    assert scores.shape == (20, 2, 10)
    factors = dataset.facet_metrics(scores.mean(1), "report")
    assert factors.keys() == {f"factor_{name}" for name in dataset.info.facets}
    recomputed = {**score_metrics(scores.mean(1), Truth(labels)), **factors}
    assert recomputed == {k: v for k, v in record.metrics.items() if k != "val_top1"}
    assert record.metrics["val_top1"] == record.curve["val_top1"].iloc[-1]


def test_cost_of_the_trials_own_input(undisturbed: Undisturbed) -> None:
    cost = undisturbed.record.cost
    assert cost["params"] == sum(
        t.numel() for n, t in weights(undisturbed.folder).items() if not _is_buffer(n)
    )
    assert cost["views"] == 2 * 3
    assert cost["macs_inference"] == cost["macs_per_view"] * cost["views"] > 0
    assert cost["macs_as_run"] == cost["macs_inference"], "each snippet stands in one group"
    assert undisturbed.record.provenance["peak_memory_kind"] == "process_peak_rss"
    assert min(cost["latency_ms"], cost["peak_memory_mb"], cost["train_videos_per_s"]) > 0


def _is_buffer(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def test_provenance_names_code_data_and_machine(undisturbed: Undisturbed, data_root: Path) -> None:
    found = undisturbed.record.provenance
    info = data.open_dataset(SPEC, data_root).info
    assert found["dataset_manifest"] == info.manifest_hash
    assert found["order_blind_ceiling"] == info.order_blind_ceiling
    assert found["version_torch"].startswith(torch.__version__.split("+")[0])
    assert found["wall_seconds"] >= undisturbed.record.curve["seconds"].sum()
    assert found["cpu_seconds"] > 0
    assert {"commit", "dirty", "host", "processor", "cores", "created", "macs_convention"} <= found.keys()


def test_the_test_split_never_influences_training(
    undisturbed: Undisturbed, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = data.open_dataset(SPEC, data_root)

    class Spoiled:
        """Every test video is the first one."""

        info, facet_metrics = real.info, real.facet_metrics

        def split(self, role: data.Role) -> data.Split:
            split = real.split(role)
            if role != "report":
                return split
            table = split.table.copy()
            table["label"] = table["label"].iloc[0]
            return data.Split(split.info, role, table, lambda i: split.sample(0))

    monkeypatch.setattr(data, "open_dataset", lambda *_: Spoiled())
    record = run_trial(tiny_trial(), data_root=data_root, checkpoint_dir=tmp_path)
    assert same_tensors(weights(tmp_path), weights(undisturbed.folder))
    assert_frame_equal(untimed(record.curve), untimed(undisturbed.record.curve))
    assert record.metrics["val_top1"] == undisturbed.record.metrics["val_top1"]
    assert record.metrics["top1"] in (0, 100), "all test videos are one"


def test_a_network_without_a_module_by_combinations(data_root: Path) -> None:
    protocol = TestProtocol(U=4, crops=1, grouping="combinations", crop_px=24)
    record = run_trial(tiny_trial(module=None, test=protocol, epochs=2), data_root=data_root)
    assert record.cost["views"] == 2 * 2
    assert record.cost["macs_as_run"] < record.cost["macs_inference"], "each snippet's layers run once"
    scores, _, _ = scores_from_predictions(record.predictions)
    assert scores.shape == (20, 1, 10)
    assert np.exp(scores.astype(float)).sum(-1) == pytest.approx(1, abs=0.02), "log of a mean probability"


def test_a_missing_dataset_is_no_verdict_about_the_trial(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"this dataset is not prepared; run `harness data prepare`"
    ) as caught:
        run_trial(tiny_trial(), data_root=tmp_path)
    found = surroundings(caught.value)
    assert found is not None
    assert str(found).startswith(str(tmp_path))


@pytest.fixture
def read_only(data_root: Path, tmp_path: Path) -> Iterator[Path]:
    """The same folder, under a mount that cannot be written (root may write what is merely forbidden)."""
    place = tmp_path / "data"
    place.mkdir()
    for options in (["--bind", data_root, place], ["-o", "remount,bind,ro", place]):
        if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a folder")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_prepared_dataset_may_lie_in_a_read_only_folder(
    undisturbed: Undisturbed, read_only: Path, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="Read-only"):
        (read_only / "x").touch()
    data.prepare(SPEC, read_only)
    record = run_trial(tiny_trial(), data_root=read_only, checkpoint_dir=tmp_path / "checkpoint")
    _assert_same(record, tmp_path / "checkpoint", undisturbed)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_rate_that_makes_the_loss_no_number(data_root: Path, tmp_path: Path, optimizer: str) -> None:
    wild = tiny_trial(lr=1e30, optimizer=optimizer)
    record = _failed(wild, data_root=data_root, checkpoint_dir=tmp_path)
    assert record.status == "failed"
    assert record.reason in {f"diverged: the training loss of epoch 1 is {x}" for x in ("nan", "inf")}
    assert record.predictions.empty


VARIANT = """
import torch
from torch import nn
from harness.models import register_aggregation

@register_aggregation("tests_{name}")
class Bad(nn.Module):
    any_U = True
    def __init__(self, channels, U):
        super().__init__()
    def forward(self, x_NUCTHW):
        {body}
"""


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("raises", "raise ValueError('cannot do this\\nand more')", "ValueError: cannot do this"),
        ("asks_too_much", "return torch.empty(1 << 46)", "out of memory: [enforce fail at alloc_cpu.cpp"),
        ("memory_error", "raise MemoryError", "out of memory: no message"),
        ("changes_shape", "return x_NUCTHW[:, :1]", "ValueError: Bad must keep the shape"),
    ],
)
def test_a_module_that_fails_gives_a_failed_record(
    data_root: Path, name: str, body: str, reason: str
) -> None:
    source = VARIANT.format(name=name, body=body)
    module = Placed(name=f"tests_{name}", position="II", placement={"res5": (2,)}, options={})
    trial = tiny_trial(module=module, variants=(Variant(file="bad.py", source=source),))
    record = _failed(trial, data_root=data_root)
    assert record.status == "failed"
    assert record.reason is not None
    assert record.reason.startswith(reason)
    if reason.startswith("out of memory"):
        assert record.reason.endswith(
            "; a smaller batch_videos or numerics.accumulate needs less (tried: batch_videos 4, accumulate 1)"
        )
    assert "\n" not in record.reason
    assert record.traceback is not None
    assert "<variant bad.py>" in record.traceback or name == "changes_shape"
    assert (record.trial, record.metrics) == (trial, {})
    assert record.provenance["version_torch"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there(data_root: Path) -> None:
    with pytest.raises(SurroundingsError, match=r"asks for a GPU \(numerics\.device: cuda\)"):
        run_trial(tiny_trial(numerics=Numerics(device="cuda")), data_root=data_root)


def test_a_published_dataset_that_was_not_prepared(data_root: Path) -> None:
    with pytest.raises(UserError, match="kinetics_400"):
        run_trial(tiny_trial(dataset=Kinetics400()), data_root=data_root)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrialFailed("diverged: so"), "diverged: so"),
        (UserError("file: wrong"), "file: wrong"),
        (MemoryError(), "out of memory: no message"),
        (torch.cuda.OutOfMemoryError("CUDA: tried 2 GiB"), "out of memory: CUDA: tried 2 GiB"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory: [Errno 12] Cannot allocate memory"),
        (KeyError(), "KeyError: no message"),
        (RuntimeError("\n first \n second"), "RuntimeError: first"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 500),
    ],
)
def test_a_reason_is_one_line_that_a_cell_can_show(error: BaseException, reason: str) -> None:
    found = failure_reason(error)
    if reason.startswith("out of memory"):
        assert found.endswith("; a smaller batch_videos or numerics.accumulate needs less")
    assert found.startswith(reason)
    assert "\n" not in found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/a/b"),
            "/a/b: No space left on device; mend that",
        ),
        (OSError(errno.ESTALE, "Stale file handle"), "Stale file handle; mend that"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/data/x"), "/data/x: No such file"),
        (StorageError("/r: the disk is full"), "/r: the disk is full"),
        (
            RuntimeError("CUDA error: unspecified launch failure\nmore"),
            "the GPU failed (CUDA error: unspecified",
        ),
    ],
)
def test_what_the_surroundings_do_is_never_a_verdict(error: BaseException, said: str) -> None:
    found = surroundings(error)
    assert found is not None
    assert str(found).startswith(said)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        MemoryError(),
        RuntimeError("mat1 and mat2"),
        OSError(errno.ENOMEM, "no"),
        TrialFailed("y"),
    ],
)
def test_what_a_trial_does_is_no_fault_of_its_surroundings(error: BaseException) -> None:
    assert surroundings(error) is None


def test_a_batch_larger_than_the_dataset(data_root: Path) -> None:
    with pytest.raises(UserError, match="batch of 1000 videos, but the train split has only 20"):
        run_trial(tiny_trial(batch_videos=1000), data_root=data_root)

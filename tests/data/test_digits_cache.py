"""Making and opening the dataset: whole or not at all, once, the same every time, and damage is named."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.base.errors import UserError
from harness.data import Dataset, ScriptedDigits, is_ready, open_dataset, prepare, read_frames
from harness.data.dataset import Sample
from harness.data.digits.cache import directory, verify
from harness.data.digits.draw import render_video
from harness.data.digits.script import video_keys
from harness.experiment.datasets import VideosPerClass
from harness.experiment.load import load_profile
from tests.disks import small_disk


def test_manifest_and_info(tiny: Dataset, tiny_spec: ScriptedDigits) -> None:
    info, manifest = tiny.info, tiny.manifest
    assert info.counts == {"train": 20, "select": 10, "report": 10}
    assert info.splits == {"train": "train", "select": "val", "report": "test"}
    assert info.num_classes == 10 and info.excluded == {} and not info.multi_label
    assert info.order_blind_ceiling == pytest.approx(0.6) and info.chance == pytest.approx(0.1)
    assert info.facets == ("appearance", "motion", "order", "position")
    size = {"frame_width": 32, "frame_height": 24, "fps": 16}
    assert size.items() <= info.facts.items()
    assert manifest["video_id"].is_unique and manifest["mp4_sha256"].is_unique
    assert info.facts["video_bytes"] + info.facts["cache_bytes"] == sum(
        f.stat().st_size for f in info.directory.rglob("*") if f.suffix in (".mp4", ".npy")
    )
    assert manifest["path"].map(lambda path: (info.directory / path).is_file()).all()


def test_the_cache_is_what_the_reader_reads(tiny: Dataset) -> None:
    split = tiny.split("select")
    for i in (0, 9):
        path = tiny.info.directory / split.table["path"][i]
        assert np.array_equal(_all_frames(split.sample(i)), read_frames(path))


def _all_frames(sample: Sample) -> np.ndarray:
    return sample.read(np.arange(sample.frames()))


def test_the_videos_show_what_was_drawn(tiny: Dataset, tiny_spec: ScriptedDigits) -> None:
    drawn_LHW3 = render_video(tiny_spec, video_keys(tiny_spec)[0])
    cached_LHW3 = _all_frames(tiny.split("train").sample(0))
    assert cached_LHW3.shape == drawn_LHW3.shape
    assert np.abs(cached_LHW3.astype(int) - drawn_LHW3).mean() < 8  # crf 20 and halved colour planes


def test_the_cache_is_read_only(tiny: Dataset) -> None:
    with pytest.raises(ValueError, match="read-only"):
        tiny.map.frames_FHW3[0] = 0
    sample = tiny.split("train").sample(0)
    before = sample.read(np.array([0]))
    sample.read(np.array([0]))[:] = 0
    assert np.array_equal(sample.read(np.array([0])), before)


def test_made_again_by_two_workers_it_is_the_same_to_the_byte(
    tiny: Dataset, tiny_spec: ScriptedDigits, tmp_path: Path
) -> None:
    again = prepare(tiny_spec, tmp_path, workers=2)
    assert again.manifest_hash == tiny.info.manifest_hash
    hashes = ["mp4_sha256", "frames_sha256", "drawn_sha256"]
    assert open_dataset(tiny_spec, tmp_path).manifest[hashes].equals(tiny.manifest[hashes])
    assert (again.directory / "frames.npy").read_bytes() == (tiny.info.directory / "frames.npy").read_bytes()


# Of the frames as drawn, so it is one on every machine; it changes only with the profile's dataset.
CONVERGED_MANIFEST = "99037bc9fdc0ec9ea6b9b7c74f24e55f729200998dfb93b374b3e59a3c5c58ea"


def test_the_profiles_data_made_twice_are_the_same_bytes(tmp_path: Path) -> None:
    """One video a class and split. Without zeroed memory 58 of the 60 differed once, at sides of whole macroblocks."""
    whole = load_profile("embedded").dataset
    few = VideosPerClass(train=1, val=1, test=1)
    spec = whole.model_copy(update={"videos_per_class": few})
    first, second = (prepare(spec, tmp_path / name, workers=1) for name in ("first", "second"))
    assert spec.version == 2 and first.manifest_hash == CONVERGED_MANIFEST
    for file in ("frames.npy", "manifest.parquet"):
        assert (first.directory / file).read_bytes() == (second.directory / file).read_bytes()


def test_a_second_call_makes_nothing(tiny_spec: ScriptedDigits, tiny_root: Path) -> None:
    stages = []
    before = directory(tiny_spec, tiny_root).stat().st_mtime_ns
    prepare(tiny_spec, tiny_root, progress=lambda *stage: stages.append(stage))
    assert stages == [] and directory(tiny_spec, tiny_root).stat().st_mtime_ns == before


def test_progress_counts_both_stages(tiny_spec: ScriptedDigits, tmp_path: Path) -> None:
    stages = []
    prepare(tiny_spec, tmp_path, workers=1, progress=lambda *stage: stages.append(stage))
    assert stages == [(stage, done, 40) for stage in ("videos", "cache") for done in range(41)]


def test_another_spec_is_another_directory(tiny_spec: ScriptedDigits, tiny_root: Path) -> None:
    other = tiny_spec.model_copy(update={"seed": 1})
    assert is_ready(tiny_spec, tiny_root) and not is_ready(other, tiny_root)
    with pytest.raises(UserError, match="not prepared"):
        open_dataset(other, tiny_root)


def _make_between(spec: ScriptedDigits, root: Path, start: object, stages: object) -> None:
    start.wait()
    prepare(spec, root, workers=1, progress=lambda stage, done, total: stages.put((os.getpid(), stage)))


def test_two_makers_at_once_make_one(tiny_spec: ScriptedDigits, tiny: Dataset, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, stages = context.Barrier(2), context.Queue()
    makers = [
        context.Process(target=_make_between, args=(tiny_spec, tmp_path, start, stages)) for _ in range(2)
    ]
    for maker in makers:
        maker.start()
    seen = {
        stages.get(timeout=60) for _ in range(82 + 2)
    }  # all of the one who makes, two of the one who waits
    for maker in makers:
        maker.join(60)
        assert maker.exitcode == 0
    stages_of = [{stage for pid, stage in seen if pid == maker.pid} for maker in makers]
    assert sorted(stages_of, key=len) == [{"waiting"}, {"videos", "cache"}]
    assert open_dataset(tiny_spec, tmp_path).info.manifest_hash == tiny.info.manifest_hash


def _make_with_workers(spec: ScriptedDigits, root: Path) -> None:
    prepare(spec, root, workers=2)


def test_a_maker_killed_midway_leaves_nothing_that_is_used(
    tiny_spec: ScriptedDigits, tiny: Dataset, tmp_path: Path
) -> None:
    maker = multiprocessing.get_context("spawn").Process(
        target=_make_with_workers, args=(tiny_spec, tmp_path)
    )
    maker.start()
    _wait_until(lambda: any(tmp_path.glob(".*.tmp-*/videos/*.mp4")))
    workers = _children(maker.pid)
    os.kill(maker.pid, signal.SIGKILL)
    maker.join()
    assert not directory(tiny_spec, tmp_path).exists()
    _wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert prepare(tiny_spec, tmp_path, workers=1).manifest_hash == tiny.info.manifest_hash
    assert not list(tmp_path.glob(".*.tmp-*"))


def _children(pid: int | None) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True
    )
    return [int(child) for child in listed.stdout.split()]


def _wait_until(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def test_a_directory_without_its_card_is_made_anew(tiny_spec: ScriptedDigits, spoilable: Path) -> None:
    target = directory(tiny_spec, spoilable)
    (target / "dataset.json").unlink()
    (target / "frames.npy").write_bytes(b"half")
    prepare(tiny_spec, spoilable, workers=1)
    verify(open_dataset(tiny_spec, spoilable), target)


def _truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def _overwrite(file: Path) -> None:
    """Other content, same size."""
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("spoil", [_truncate, _overwrite, Path.unlink])
@pytest.mark.parametrize("name", ["frames.npy", "manifest.parquet", "videos/val_4_sR_000.mp4"])
def test_damage_is_named_with_its_remedy(
    tiny_spec: ScriptedDigits, spoilable: Path, name: str, spoil: object
) -> None:
    target = directory(tiny_spec, spoilable)
    spoil(target / name)
    with pytest.raises(UserError) as error:
        prepare(tiny_spec, spoilable)
    assert str(target / name) in str(error.value)
    assert f"delete {target} and run again" in str(error.value)


@pytest.mark.parametrize("content", ["{", "{}", '{"info": {"name": 1}}'])
def test_a_broken_card_is_named(tiny_spec: ScriptedDigits, spoilable: Path, content: str) -> None:
    (directory(tiny_spec, spoilable) / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=r"dataset\.json: is no dataset card"):
        open_dataset(tiny_spec, spoilable)


def test_verify_finds_a_changed_pixel(tiny_spec: ScriptedDigits, spoilable: Path) -> None:
    target = directory(tiny_spec, spoilable)
    verify(open_dataset(tiny_spec, spoilable), target)
    with (directory(tiny_spec, spoilable) / "frames.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(UserError, match=r"frames of test_4_sR_000 have changed; delete"):
        verify(open_dataset(tiny_spec, spoilable), target)


def test_a_video_spoilt_before_the_cache_is_named(tiny_spec: ScriptedDigits, tmp_path: Path) -> None:
    def spoil(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("cache", 0):
            _overwrite(next(tmp_path.glob(".*.tmp-*/videos/train_0_UR_001.mp4")))

    with pytest.raises(UserError, match=r"train_0_UR_001\.mp4: .*run again"):
        prepare(tiny_spec, tmp_path, workers=1, progress=spoil)
    assert [f.suffix for f in tmp_path.iterdir()] == [".lock"]


def test_an_interrupt_leaves_nothing_half_made(tiny_spec: ScriptedDigits, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tiny_spec, tmp_path, workers=1, progress=interrupt)
    assert [f.suffix for f in tmp_path.iterdir()] == [".lock"]


def test_a_root_that_cannot_be_written_is_named(tiny_spec: ScriptedDigits, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file/scripted_digits-.*could not be made.*writable data directory"):
        prepare(tiny_spec, tmp_path / "file", workers=1)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """2 MB: room for the videos, not for the cache."""
    with small_disk(tmp_path, "2m") as disk:
        yield disk


def test_a_full_disk_is_named_and_left_clean(tiny_spec: ScriptedDigits, tiny_disk: Path) -> None:
    with pytest.raises(UserError, match=r"No space left on device.*free some space"):
        prepare(tiny_spec, tiny_disk, workers=2)
    assert [f.suffix for f in tiny_disk.iterdir()] == [".lock"]


def test_the_card_keeps_the_spec(tiny: Dataset, tiny_spec: ScriptedDigits) -> None:
    card = json.loads((tiny.info.directory / "dataset.json").read_text())
    assert ScriptedDigits(**card["spec"]) == tiny_spec
    assert [row["class_name"] for row in card["classes"]] == list(tiny.info.class_names)


def test_a_dataset_made_by_the_first_house_is_still_read(
    tiny: Dataset, tiny_spec: ScriptedDigits, spoilable: Path
) -> None:
    """Its card said more: what follows from the specification is now asked of it."""
    card_file = directory(tiny_spec, spoilable) / "dataset.json"
    card = json.loads(card_file.read_text())
    card["info"] |= {
        "name": "scripted_digits",
        "frame_width": 32,
        "chance": 0.1,
        "factor_names": ["appearance"],
    }
    card_file.write_text(json.dumps(card))
    assert open_dataset(tiny_spec, spoilable).info.manifest_hash == tiny.info.manifest_hash


def test_a_script_without_a_main_guard_ends_with_a_message(tiny_spec: ScriptedDigits, tmp_path: Path) -> None:
    """Its spawned workers import it again and would wait for the lock that their parent holds (once: for ever)."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nfrom harness.data import ScriptedDigits, prepare\n"
        f"spec = ScriptedDigits.model_validate_json({tiny_spec.model_dump_json()!r})\n"
        f"prepare(spec, Path({str(tmp_path / 'data')!r}), workers=2)\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "put it under if __name__ == '__main__':" in run.stderr

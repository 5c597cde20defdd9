"""What a file or a name must not be able to do: run code, leave its folder, show a secret, draw on a page."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

from harness.base.errors import UserError
from harness.base.storage import storage_at
from harness.cli.main import main
from harness.data.formats.base import Listed, Listing
from harness.data.manifest import Entry, Manifest
from harness.data.published import namer
from harness.data.reencode import reencode_all
from harness.experiment import load_experiment, load_profile
from harness.experiment.datasets_published import VideoLists
from harness.orchestrate import ray_start
from harness.plan.expand import plan_trials
from harness.reports import build_table
from harness.reports.write import RENDERERS, write_table
from harness.results import Store, load
from harness.results.files import read_row
from tests.orchestrate import fakes
from tests.orchestrate.driver import drive

SECRET = "s3cr3t-5f1e"
EVIL = "<script>alert(1)</script> \\input{/etc/passwd} ../../up"
ROWS = "rows:\n  - {name: %s, model: i3d_r18, train: {T: 4, U: 1}, test: {U: 2, crops: 1, grouping: all}}\n"


def _code(*words: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(word) for word in words])
    return int(exit_.value.code or 0)


@pytest.mark.parametrize("load_file", [load_experiment, load_profile])
def test_yaml_makes_no_python_objects(load_file: object, tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(f"name: evil\ntitle: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'ran'}]\n")
    with pytest.raises(UserError, match=r"evil\.yaml.*python/object"):
        load_file(path)  # type: ignore[operator]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["../up", "/tmp/up", "a/b", "up\\0", "UP", "", "."])
def test_an_experiments_name_is_no_path(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f'name: "{name}"\ntitle: t\n{ROWS % "one"}')
    with pytest.raises(UserError, match=r"mine\.yaml.*name"):
        load_experiment(path)


def test_a_hostile_row_is_text_in_every_format_and_stays_in_its_folder(tmp_path: Path) -> None:
    path, out = tmp_path / "mine.yaml", tmp_path / "out" / "tables"
    path.write_text(f"name: mine\ntitle: {EVIL!r}\n{ROWS % repr(EVIL)}")
    table = build_table(load_experiment(path), load_profile("smoke"), load(tmp_path / "none"))
    files = write_table(table, out)
    assert {file.parent for file in files} == {out} and len(files) == len(RENDERERS)
    text = {file.suffix: file.read_text(encoding="utf-8") for file in files}
    assert "<script>" not in text[".html"] and "&lt;script&gt;" in text[".html"]
    assert "\\input{" not in text[".tex"]
    assert "<script>" not in text[".md"].replace("\\<", "")
    assert list(tmp_path.parent.glob("up*")) == []


@pytest.mark.parametrize("command", [("show",), ("logs",)])
@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "..", "a" * 5000])
def test_a_trials_name_is_no_path(
    command: tuple[str, ...], name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert _code(*command, name, "--results", tmp_path) == 2
    said = capsys.readouterr()
    assert "root:" not in said.out + said.err and "Traceback" not in said.err


@pytest.mark.parametrize("name", ["../outside.avi", "/elsewhere/outside.avi"])
def test_a_list_cannot_have_a_copy_written_outside_its_folder(name: str, tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "copies" / "deep"
    spec = VideoLists(root=root, train_list=Path("t"), report_list=Path("r"), layout="mmaction2", classes=2)
    root.mkdir()
    video = root / name
    entry = Entry(video_id=name, path=namer(spec)(video), bytes=1, modified=0, status="short", reason="short")
    manifest = Manifest(tmp_path / "manifest")
    manifest.entries[entry.path] = entry
    listing = Listing(class_names=("a", "b"), videos=(Listed(name, video, (0,), "train"),), published={})
    with pytest.raises(UserError, match="would lie outside"):
        reencode_all(spec, listing, manifest, folder, workers=1)


def test_no_secret_of_the_environment_reaches_a_record_or_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "HARNESS_SOMETHING", "MY_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    drive(tmp_path / "store", [fakes.OK, fakes.RAISES], inline=True)
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert SECRET.encode() not in file.read_bytes(), file
    store = Store(tmp_path / "store")
    (done,) = store.done()
    assert SECRET not in str(read_row(store.storage, f"trials/{done}.parquet"))


def test_workers_are_given_six_variables_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    given = ray_start._worker_environment(fakes.profile())
    assert len(given) == 6 and SECRET not in str(given)


def test_a_key_in_a_storages_name_is_refused_without_repeating_it() -> None:
    with pytest.raises(UserError, match="a key does not belong in an address") as caught:
        storage_at(f"s3://AKIA:{SECRET}@bucket/runs")
    assert SECRET not in str(caught.value) and "AKIA" not in str(caught.value)


@pytest.mark.parametrize("option", ["--results", "--tensorboard", "--data"])
def test_a_key_in_an_address_of_a_run_is_refused_without_repeating_it(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["run", "ablation_a", "-p", "smoke", option, f"s3://AKIA:{SECRET}@bucket/runs"])
    said = capsys.readouterr()
    assert ended.value.code == 2 and "error: " in said.err
    assert SECRET not in said.out + said.err and "AKIA" not in said.out + said.err


def test_a_local_ray_has_no_dashboard_and_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setitem(
        sys.modules, "ray", types.SimpleNamespace(init=lambda **options: asked.update(options))
    )
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with ray_start._local_token():
        assert os.environ["RAY_AUTH_MODE"] == "token" and len(os.environ["RAY_AUTH_TOKEN"]) == 64
        ray_start._init("local", tmp_path, {})
    assert asked["include_dashboard"] is False


def test_a_variants_file_runs_only_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "ran"
    evil = tmp_path / "evil.py"
    evil.write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert _code("plan", "ablation_a", "--profile", "smoke") == 0
    assert plan_trials(load_experiment("ablation_a"), load_profile("smoke"), [0])
    assert not mark.exists()
    assert _code("check-variant", evil) == 2
    assert mark.exists()

"""Where a number comes from."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.base import code
from harness.base.code import code_version
from harness.experiment.spec import Numerics
from harness.trial import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A harness in a git repository of its own, committed."""
    for name in ("harness", "experiments", "results"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("1")
    for name in ("HARNESS_COMMIT", "HARNESS_DIRTY"):
        monkeypatch.delenv(name, raising=False)
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "first")
    monkeypatch.setattr(code, "ROOT", tmp_path)
    code_version.cache_clear()
    yield tmp_path
    code_version.cache_clear()


def _git(folder: Path, *args: str) -> str:
    run = subprocess.run(["git", *args], cwd=folder, check=True, capture_output=True, text=True)
    return run.stdout.strip()


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    assert code_version() == {"commit": _git(checkout, "rev-parse", "HEAD"), "dirty": False}


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [("harness/file", True), ("harness/new.py", True), ("experiments/file", True), ("results/file", False)],
)
def test_changed_code_is_dirty_and_changed_results_are_not(checkout: Path, changed: str, dirty: bool) -> None:
    (checkout / changed).write_text("2")
    assert code_version()["dirty"] is dirty


def test_the_repository_of_another_project_is_not_ours(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "ROOT", checkout / "harness")
    assert code_version() == {"commit": "unknown", "dirty": None}


def test_without_git_the_environment_says(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert code_version() == {"commit": "unknown", "dirty": None}
    code_version.cache_clear()
    monkeypatch.setenv("HARNESS_COMMIT", "abc")
    monkeypatch.setenv("HARNESS_DIRTY", "1")
    assert code_version() == {"commit": "abc", "dirty": True}


def test_versions_and_machine_are_named() -> None:
    found = provenance.provenance(Numerics())
    assert all(found[f"version_{name}"] for name in (*provenance.PACKAGES, "python"))
    assert found["cores"] >= 1
    assert found["processor"]
    assert found["created"].endswith("+00:00")
    assert "gpu" not in found


def test_cpu_seconds_count_work() -> None:
    before = provenance.cpu_seconds()
    sum(i * i for i in range(300_000))
    assert 0 < provenance.cpu_seconds() - before < 60

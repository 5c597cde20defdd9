"""What the documents say of the shipped records is what the records say."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from harness.experiment.load import EXPERIMENTS, ROOT
from tests.scripts import script_at

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_at(ROOT / "docs" / "from_records.py")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_texts_from_records_are_up_to_date(script: ModuleType, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert script.renewed(text) == text, "run: python docs/from_records.py"


@pytest.mark.parametrize("name", [*(f"ablation_{letter}" for letter in "abcdefgh"), "benchmark"])
def test_the_expected_numbers_of_a_table_are_those_of_the_records(script: ModuleType, name: str) -> None:
    text = (EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8")
    assert script.with_expected(name, text) == text, "run: python docs/from_records.py"
    assert text.count("# Expected: ") == 1


def test_every_text_stands_in_a_document(script: ModuleType) -> None:
    found = [found["name"] for path in DOCUMENTS for found in script._BLOCK.finditer(path.read_text())]
    assert sorted(found) == sorted(script.BLOCKS)


def test_every_mark_is_closed() -> None:
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        assert text.count("<!-- from records: ") == text.count("<!-- /from records -->"), path


def test_every_test_that_the_table_of_faults_names_exists() -> None:
    named = re.findall(
        r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    )
    assert len(named) > 25
    for path, name in named:
        assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{name}"

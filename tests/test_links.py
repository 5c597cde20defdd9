"""Whatever a reader is sent to is in the repository: links, files and modules in docs, docstrings and notes."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from harness.experiment.load import ROOT

TOP = ("benchmarks", "docs", "experiments", "harness", "tests")
MADE = ("results/", "reports/", "data/")  # what a run makes; it need not be there
LISTED = subprocess.run(
    ["git", "ls-files", "*.md", "*.py", "*.yaml", "Makefile"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
FILES = [ROOT / name for name in LISTED if (ROOT / name).exists()]
TOLD = [
    path for path in FILES if path.relative_to(ROOT).parts[0] != "tests"
]  # tests name files that they make
DOCS = [path for path in FILES if path.suffix == ".md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
DOCUMENT = re.compile(r"(?<![\w./*-])((?:[\w-]+/)*[\w-]+\.md)\b")
PATH = re.compile(rf"`((?:{'|'.join(TOP)})/[\w./-]+)`")
MODULE = re.compile(r"`(harness(?:\.[a-z_0-9]+)+)")


def _exists(name: str, beside: Path) -> bool:
    return any((place / name).exists() for place in (ROOT, beside, ROOT / "docs"))


@pytest.mark.parametrize("path", DOCS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_to_a_file(path: Path) -> None:
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "#")):
            assert _exists(target.partition("#")[0], path.parent), f"{path}: {target}"


@pytest.mark.parametrize("path", TOLD, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_named_document_and_path_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in {*DOCUMENT.findall(text), *PATH.findall(text)}:
        placeholder = re.search(r"[A-Z]{3,}", Path(name).stem) and not (ROOT / name).exists()
        if not placeholder and not name.startswith(MADE) and name != "x.md":
            assert _exists(name, path.parent), f"{path}: {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_named_module_is_there(path: Path) -> None:
    for dotted in set(MODULE.findall(path.read_text(encoding="utf-8"))):
        parts = dotted.split(".")
        found = any(_module(".".join(parts[:n])) for n in (len(parts), len(parts) - 1) if n > 1)
        assert found, f"{path}: {dotted}"


def _module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False

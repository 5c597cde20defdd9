"""What several tests of commands share: trials that cost nothing in place of real ones."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import pytest

from harness.plan import prepare
from harness.results.record import Record
from tests.orchestrate import fakes


@pytest.fixture
def fake_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("harness.orchestrate.execute")  # the package's `execute` is the function

    def run(*arguments: Any, **options: Any) -> Record:
        return fakes.run(*arguments, **options)  # looked up when it runs: a test may replace it

    monkeypatch.setattr(module, "execute", functools.partial(module.execute, run=run))
    monkeypatch.setattr(prepare, "prepare_datasets", lambda *_: None)

"""A script of the project as a module: what is no part of the package is tested like what is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def script_at(path: Path) -> ModuleType:
    """The file's content, run under its own name; its `__main__` part is not."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

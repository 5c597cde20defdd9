"""What a check looks at, and what it finds."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.registry import ModelEntry, ModuleEntry, model_entry, module_entry
from harness.models.variant import load_variant

CHANNELS, U, T = 8, 4, 2  # of a check that is not about sizes


class Broken(Exception):  # noqa: N818 - it is a finding about the module
    """The contract is broken: what was seen, and what to do about it."""

    def __init__(self, seen: str, remedy: str) -> None:
        super().__init__(seen)
        self.seen, self.remedy = seen, remedy


@dataclass(frozen=True)
class Finding:
    """The outcome of one check, in words: what was seen and, where the contract is broken, what to do."""

    check: str
    ok: bool
    seen: str
    remedy: str = ""


class Snippets(nn.Module):
    """A module inside the snippet, given (N, U, C, T, H, W) as one across snippets is."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x_NUCTHW: Tensor) -> Any:
        y = self.inside(x_NUCTHW.flatten(0, 1))
        return y.unflatten(0, x_NUCTHW.shape[:2]) if isinstance(y, Tensor) and y.ndim else y


@dataclass(frozen=True)
class Subject:
    """Something that a variant's file registers, with the options under which it is checked.

    kind: "across" (a module across snippets), "inside" (one inside the snippet) or "model".
    """

    path: Path
    kind: str
    name: str
    options: Mapping[str, Any]

    @property
    def file(self) -> str:
        return self.path.name

    @property
    def entry(self) -> ModuleEntry:
        return module_entry("inside" if self.kind == "inside" else "across", self.name)

    def module(
        self, channels: int = CHANNELS, snippets: int = U, frames: int = T, seed: int = 0
    ) -> nn.Module:
        """A fresh module in training mode, its weights from torch's generator at `seed`."""
        torch.manual_seed(seed)
        built = self.entry.build(channels, snippets, frames, self.entry.check(self.options))
        return Snippets(built) if self.kind == "inside" else built

    def evaluated(self, snippets: int = U) -> nn.Module:
        """A module in eval mode that has seen three batches in training, so that running statistics are not fresh."""
        module = self.module(snippets=snippets)
        with torch.no_grad():
            for seed in range(3):
                module(clip(N=3, U=snippets, seed=100 + seed))
        return module.eval()

    def line_of(self, error: BaseException) -> str:
        """`, line 12 of my_module.py`: where in the variant's file an exception came from, if there."""
        file = f"<variant {self.file}>"
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        return f", line {lines[-1]} of {self.file}" if lines else ""


def load_subjects(path: Path, options: Mapping[str, Any]) -> list[Subject]:
    """All that a variant's file registers. Raises UserError where it does not run, or nothing has such an option."""
    found, _ = load_variant(path)
    subjects = [Subject(path, kind, name, dict(options)) for kind, name in found]
    for subject in subjects:
        checked: ModelEntry | ModuleEntry = (
            model_entry(subject.name) if subject.kind == "model" else subject.entry
        )
        checked.check(options)
    return subjects


def load_subject(path: Path, options: Mapping[str, Any]) -> Subject:
    """The one thing that a variant's file registers. Raises UserError where there are several."""
    subjects = load_subjects(path, options)
    if len(subjects) > 1:
        names = ", ".join(f"{s.kind} {s.name!r}" for s in subjects)
        raise UserError(f"{path}: registers {len(subjects)} things ({names}); one of them must be named")
    return subjects[0]


def clip(
    N: int = 2, U: int = U, C: int = CHANNELS, T: int = T, *, H: int = 5, W: int = 3, seed: int = 0
) -> Tensor:
    """Feature maps (N, U, C, T, H, W) from a generator of their own."""
    return torch.randn(N, U, C, T, H, W, generator=torch.Generator().manual_seed(seed))


def far(got: Tensor, expected: Tensor) -> bool:
    """Whether two results differ by more than the rounding of another summation order."""
    return not torch.allclose(got.float(), expected.float(), rtol=1e-4, atol=1e-5)

"""The two bases of all declared things."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr


class Frozen(BaseModel):
    """Immutable, and a key that nobody reads is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Declared(Frozen):
    """Something that has a file of its own, named after it."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    _file: Path | None = PrivateAttr(default=None)  # for messages; no part of what is declared

    @property
    def file(self) -> Path | None:
        return self._file

    def declared_in(self, file: Path) -> Self:
        self._file = file
        return self

"""The two bases of all declared things."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator


class Frozen(BaseModel):
    """Immutable, and a key that nobody reads is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, data: Any) -> Any:
        """Python's True is a 1; a file that says `epochs: true` means something else, so it is judged as the word."""
        if not isinstance(data, dict):
            return data
        taking = {n for n, field in cls.model_fields.items() if "bool" not in str(field.annotation)}
        return {k: str(v).lower() if isinstance(v, bool) and k in taking else v for k, v in data.items()}


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

"""Small things that several packages put into words, each in one place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def near_match(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'position'?)`, or an empty string where nothing is near."""
    found = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else ""


def dotted(data: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(`recipe.lr`, value) of everything nested in mappings; an empty mapping is a value of its own."""
    if isinstance(data, Mapping) and data:
        for key, inner in data.items():
            yield from dotted(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, data


def duration(seconds: float) -> str:
    """`45 s`, `6 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def p_text(p_value: float | None) -> str:
    """`0.041`, `< 0.001`, or a dash where nothing was tested."""
    if p_value is None:
        return "–"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def known(value: Any, otherwise: str = "unknown") -> str:
    """A value as text; `otherwise` for None and NaN, which is how a table of records says "not there"."""
    return otherwise if value is None or value != value else str(value)  # noqa: PLR0124 - NaN is not itself


def first_line(error: BaseException | str, *, empty: str | None = None, limit: int = 500) -> str:
    """The first line of a message; of an error without one its type, or `empty`."""
    lines = str(error).strip().splitlines()
    if lines:
        return lines[0][:limit]
    return empty if empty is not None else type(error).__name__


def is_uri(place: object) -> bool:
    """Whether a place is named as `s3://bucket/folder`, not as a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(place)) is not None

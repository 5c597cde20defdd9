"""The one error that a user is meant to read.

Everything that bad input can cause is raised as `UserError`: the command line prints its message and exits
with code 2, without a traceback. Anything else that escapes is a bug in the harness.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. The message names the file, the key and the remedy."""


def near_match(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'position'?)`, or an empty string where nothing is near."""
    found = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else ""

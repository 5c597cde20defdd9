"""The errors that a user is meant to read.

Everything that bad input can cause is raised as `UserError`: the command line prints its message and exits
with code 2, without a traceback. Anything else that escapes is a bug in the harness.
"""

from __future__ import annotations

from harness.base.text import near_match

__all__ = ["StorageError", "UserError", "near_match"]


class UserError(Exception):
    """Bad input. The message names the file, the key and the remedy."""


class StorageError(UserError):
    """A disk, a folder or a storage failed: the surroundings, never a verdict about the trial that met it."""

"""A user's file with a module or a model of their own: loaded from its text, so that a trial on another host needs no
such file.

The file is ordinary Python with a class under `@register_aggregation("name")` or `@register_inside("name")`, or an
entry function under `@register_model()`. Its text is part of a trial's identity and is kept with the record. It stands
alone: it imports the standard library, torch, numpy and harness, since a helper beside it would not be in the hash.
"""

from __future__ import annotations

import ast
import hashlib
import io
import linecache
import sys
import tokenize
import types
from pathlib import Path

from harness.base.errors import UserError
from harness.models.registry import registered_in

ALLOWED = frozenset({"torch", "numpy", "harness", *sys.stdlib_module_names})


def read_variant(path: Path) -> str:
    """The file's text, decoded as Python decodes source (a BOM, a coding line). Raises UserError."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise UserError(f"{path}: the variant's file cannot be read: {error}") from None


def load_variant(path: Path) -> tuple[list[tuple[str, str]], str]:
    """Register what a variant's file holds; returns ((kind, name) of each, source text).

    Kinds are "model", "inside" and "across". Raises UserError where the file cannot be read, does not run, imports what
    is not allowed, or registers nothing.
    """
    source = read_variant(path)
    return load_variant_source(source, path.name), source


def load_variant_source(source: str, file: str) -> list[tuple[str, str]]:
    """Run a variant's text as a module of its own and return the (kind, name) of what it registers."""
    module = types.ModuleType(f"harness_variant_{hashlib.sha256(source.encode()).hexdigest()[:12]}")
    module.__file__ = f"<variant {file}>"
    if module.__name__ not in sys.modules:
        _refuse_foreign_imports(source, file)
        _execute(module, source, file)
    found = registered_in(module.__name__)
    if not found:
        raise UserError(
            f"{file}: registers nothing; a variant is a class under "
            '@register_aggregation("its_name") or @register_inside("its_name"), or a function under @register_model()'
        )
    return found


def _refuse_foreign_imports(source: str, file: str) -> None:
    """A helper module could change without the trial's name changing. Raises UserError naming the line."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return  # running it says what is wrong, and where
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        for name in names:
            if name.partition(".")[0] not in ALLOWED:
                raise UserError(
                    f"{file}:{node.lineno}: imports {name!r}: a variant stands alone (the standard library, "
                    "torch, numpy, harness), since only its own text is part of a trial's identity; put the "
                    "helper into the file"
                )


def _execute(module: types.ModuleType, source: str, file: str) -> None:
    sys.modules[module.__name__] = module  # classes must be found by name to be pickled
    lines = io.StringIO(source).readlines()
    linecache.cache[str(module.__file__)] = (len(source), None, lines, str(module.__file__))
    try:
        exec(compile(source, str(module.__file__), "exec"), module.__dict__)  # the user's own code
    except UserError:
        del sys.modules[module.__name__]
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        line = getattr(error, "lineno", None) or _line_in_variant(error, str(module.__file__))
        raise UserError(
            f"{file}:{line}: the variant's file does not run: {type(error).__name__}: {error}"
        ) from error


def _line_in_variant(error: BaseException, file: str) -> int | str:
    trace, found = error.__traceback__, "?"
    line: int | str = found
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line

"""A user's module in a file of its own: loaded from its text, so that a trial on another host needs no such file.

The file is ordinary Python with one class under `@register_aggregation("name")`. Its text is part of a trial's
identity and is kept with the record.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import sys
import tokenize
import types
from pathlib import Path

from harness.base.errors import UserError
from harness.models.registry import aggregation_entry, list_aggregations

ALLOWED = frozenset({"torch", "numpy", "harness", *sys.stdlib_module_names})


def load_variant(path: Path) -> tuple[str, str]:
    """Register the module of a variant's file; returns (aggregation name, source text).

    Raises UserError where the file cannot be read, does not run, or registers not exactly one module.
    """
    try:
        with tokenize.open(path) as file:  # as Python reads source: a BOM, a coding line
            source = file.read()
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise UserError(f"{path}: the variant's file cannot be read: {error}") from None
    return load_variant_source(source, path.name), source


def load_variant_source(source: str, file: str) -> str:
    """Run a variant's text as a module of its own and return the one aggregation name that it registers."""
    module = types.ModuleType(f"harness_variant_{hashlib.sha256(source.encode()).hexdigest()[:12]}")
    module.__file__ = f"<variant {file}>"
    if module.__name__ not in sys.modules:
        _refuse_foreign_imports(source, file)
        _execute(module, source, file)
    names = [name for name in list_aggregations() if _belongs(name, module.__name__)]
    if len(names) != 1:
        raise UserError(
            f"{file}: registers {len(names)} modules {names or ''}; a variant is one class under "
            '@register_aggregation("its_name")'
        )
    return names[0]


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


def _belongs(name: str, module: str) -> bool:
    return name != "average" and aggregation_entry(name).cls.__module__ == module


def _execute(module: types.ModuleType, source: str, file: str) -> None:
    sys.modules[module.__name__] = module  # classes must be found by name to be pickled
    linecache.cache[str(module.__file__)] = (len(source), None, source.splitlines(True), str(module.__file__))
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
    trace, line = error.__traceback__, "?"
    found: int | str = line
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found

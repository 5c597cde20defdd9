"""Parquet files that are either whole or not there: temporary name, fsync, rename; checksums on every page.

Every file is plain parquet (zstd): pandas, duckdb and polars read it without this project. The schema version
stands in the file's metadata (`harness_schema_version`) and, for records, in the column `schema_version`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.base.errors import UserError
from harness.trial.record import SCHEMA_VERSION

METADATA_KEY = b"harness_schema_version"
TEMPORARY = ".tmp"


def write_parquet(frame: pd.DataFrame, path: Path, *, floats: Sequence[str] = ()) -> None:
    """Write `frame` to `path` so that no reader ever sees a part of it.

    `floats` are the parquet paths of columns of float32 noise (scores), which BYTE_STREAM_SPLIT makes small.
    Raises UserError where the disk is full or the folder not writable; the temporary file is removed then.
    """
    table = _typed(pa.Table.from_pandas(frame, preserve_index=False))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_and_sync(table, temporary, list(floats))
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UserError(_write_problem(path, error)) from error


def _typed(table: pa.Table) -> pa.Table:
    """Columns without a value are text, so that many files read together (`trials/*.parquet`) agree on types.

    pandas' own metadata is dropped: it is as large as a record and says nothing that the columns do not.
    """
    fields = [pa.field(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in table.schema]
    return table.cast(pa.schema(fields))


def _write_and_sync(table: pa.Table, path: Path, floats: list[str]) -> None:
    noise = {name.split(".")[0] for name in floats}
    several = table.num_rows > 1
    options = {
        "compression": "zstd",
        "use_dictionary": [name for name in table.column_names if name not in noise] if several else False,
        "use_byte_stream_split": floats or False,
        "write_statistics": several,
        "store_schema": False,
        "write_page_checksum": True,
    }
    with path.open("wb") as file:
        with pq.ParquetWriter(file, table.schema, **options) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({METADATA_KEY: str(SCHEMA_VERSION).encode()})
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_problem(path: Path, error: OSError) -> str:
    # pyarrow wraps the disk's error and keeps its number only in the text
    full = error.errno in {errno.ENOSPC, errno.EDQUOT} or "No space left" in str(error)
    if full:
        return (
            f"{path}: the disk is full, so this record could not be written. Finished records are kept; "
            "free some space and give the same command again: it goes on where it stopped"
        )
    return f"{path}: cannot be written: {error.strerror or error}; finished records are kept"


def read_parquet(path: Path) -> pd.DataFrame:
    """The file as a frame. Raises UserError on a missing, damaged or newer file, naming it and the remedy."""
    return _read_table(path).to_pandas()


def read_row(path: Path) -> dict[str, Any]:
    """The one row of a record's file, as Python values; raises as `read_parquet`."""
    return dict(_read_table(path).to_pylist()[0])


def _read_table(path: Path) -> pa.Table:
    try:
        with path.open("rb") as file:
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            _check_version(parquet.metadata.metadata or {}, path)
            return parquet.read(use_threads=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such record; `harness status` lists what is there") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: damaged or no parquet file ({first_line}). Move it away, or run the experiment again: "
            "its trial counts as not done"
        ) from None


def _check_version(metadata: dict[bytes, bytes], path: Path) -> None:
    found = metadata.get(METADATA_KEY, b"")
    if not found.isdigit():
        raise UserError(f"{path}: no record of this project (its metadata has no {METADATA_KEY.decode()})")
    if int(found) > SCHEMA_VERSION:
        raise UserError(
            f"{path}: written by a newer version of the harness (schema {int(found)}, this one reads up to "
            f"{SCHEMA_VERSION}); update the harness"
        )


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of a writer that was killed. Only for who holds the store's lock."""
    for path in folder.glob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)

"""Frames as parquet files that are either whole or not there, with checksums on every page.

Every file is plain parquet (zstd): pandas, duckdb and polars read it without this project. The schema version
stands in the file's metadata (`harness_schema_version`) and, for records, in the column `schema_version`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.base.errors import UserError
from harness.base.storage import Storage
from harness.base.text import first_line
from harness.experiment.migrate import SCHEMA_VERSION
from harness.results.flatten import migrated

METADATA_KEY = b"harness_schema_version"
REMEDY = "Finished records are kept; mend that and give the same command again: it goes on where it stopped"
LONG_TEXT = 200  # characters, of which compression makes less; below it costs more time than it saves bytes


class DamagedError(UserError):
    """A file is there and cannot be understood: torn, foreign, or of a newer version of the harness."""


def write_frame(storage: Storage, name: str, frame: pd.DataFrame, *, floats: Sequence[str] = ()) -> None:
    """Write `frame` so that no reader ever sees a part of it.

    `floats` are the parquet paths of columns of float32 noise (scores), which BYTE_STREAM_SPLIT makes small.
    Raises StorageError where the disk is full or the folder not writable.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    storage.write(name, parquet_bytes(table, floats=floats), remedy=REMEDY)


def parquet_bytes(
    table: pa.Table, *, floats: Sequence[str] = (), metadata: Mapping[bytes, bytes] | None = None
) -> bytes:
    """The content of a parquet file. `metadata` is written beside the schema version."""
    table, noise = _typed(table), {name.split(".")[0] for name in floats}
    several = table.num_rows > 1
    options = {
        "compression": "zstd"
        if several
        else {name: _compression(table[name]) for name in table.column_names},
        "use_dictionary": [name for name in table.column_names if name not in noise] if several else False,
        "use_byte_stream_split": list(floats) or False,
        "write_statistics": several,
        "store_schema": False,
        "write_page_checksum": True,
    }
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({METADATA_KEY: str(SCHEMA_VERSION).encode(), **(metadata or {})})
    return bytes(sink.getvalue())


def _typed(table: pa.Table) -> pa.Table:
    """Columns without a value are text, so that many files read together (`trials/*.parquet`) agree on types.

    pandas' own metadata is dropped: it is as large as a record and says nothing that the columns do not.
    """
    fields = [pa.field(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in table.schema]
    return table.cast(pa.schema(fields))


def _compression(column: pa.ChunkedArray) -> str:
    """Of one row: only long texts. A record of seventy small pages is then read and written in half the time."""
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return "zstd" if text and len(column) and len(column[0].as_py() or "") > LONG_TEXT else "none"


def read_frame(storage: Storage, name: str) -> pd.DataFrame:
    """The file as a frame. Raises FileNotFoundError, DamagedError, or StorageError where the storage fails."""
    return read_table(storage, name).to_pandas()


def read_row(storage: Storage, name: str) -> dict[str, Any]:
    """The one row of a record's file, as Python values; raises as `read_frame`."""
    return row_of(storage.read(name), storage.place(name))


def read_table(storage: Storage, name: str) -> pa.Table:
    return table_of(storage.read(name), storage.place(name))


def row_of(content: bytes, place: str) -> dict[str, Any]:
    """The one row of a record's content. Raises DamagedError."""
    rows = table_of(content, place).to_pylist()
    if len(rows) != 1:
        raise DamagedError(f"{place}: damaged: {len(rows)} rows instead of one. {_ADVICE}")
    try:
        return migrated(dict(rows[0]), place)
    except UserError as error:
        raise DamagedError(str(error)) from None


def table_of(content: bytes, place: str) -> pa.Table:
    """Parse a file's content; `place` is for the message. Raises DamagedError, naming the remedy."""
    try:
        reader = pa.BufferReader(content)
        parquet = pq.ParquetFile(reader, page_checksum_verification=True, pre_buffer=False)
        _check_version(parquet.metadata.metadata or {}, place)
        return parquet.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedError(f"{place}: damaged or no parquet file ({first_line(error)}). {_ADVICE}") from None


_ADVICE = "Move it away, or run the experiment again: its trial counts as not done"


def _check_version(metadata: dict[bytes, bytes], place: str) -> None:
    found = metadata.get(METADATA_KEY, b"")
    if not found.isdigit():
        raise DamagedError(
            f"{place}: no record of this project (its metadata has no {METADATA_KEY.decode()})"
        )
    if int(found) > SCHEMA_VERSION:
        raise DamagedError(
            f"{place}: written by a newer version of the harness (schema {int(found)}, this one reads up to "
            f"{SCHEMA_VERSION}); update the harness"
        )

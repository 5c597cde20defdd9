"""The index of a store: every record's row in one file, so that a command need not open them all.

What is there is decided by the listing of the folders, never by the index. It is refreshed from files that are new,
gone or written anew (another size or time), and replaced as a whole, so two processes may refresh it at once: each
writes what is true, and what one of them lost the next refresh finds again. A damaged index, or one of another
form, is made anew. It lies in the store; a store that ships with the project, or cannot be written, has it in the
user's cache.
"""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.base.errors import StorageError
from harness.base.storage import Storage
from harness.experiment.migrate import SCHEMA_VERSION
from harness.results.files import DamagedError, parquet_bytes, row_of

PARTS = ("trials", "failed")
NAME = "index.parquet"
KEYS = ("index_part", "index_file", "index_stamp")
FORM_KEY = b"harness_index_form"
FORM = f"1.{SCHEMA_VERSION}".encode()  # raise the first number when the index itself changes
_OWN = re.compile(r"([0-9a-f]{12})\.parquet")  # not a Mac's `._x.parquet`, not a sync's `x (1).parquet`
_SEAL_KEY, _OPEN = b"harness_index_seal", b"seal:00000000"
_JSON = "json:"  # before the name of a column whose values have no common type: each of them is JSON
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Index:
    """The rows of all readable records, and why each other file cannot be read.

    table       the asked columns, with `index_part` (trials, failed) and `index_file` (the file's stem: a record
                that was migrated on reading may have another `id`), in the order of part and file
    unreadable  (part, stem) -> what is wrong with the file
    """

    table: pa.Table
    unreadable: dict[tuple[str, str], str]

    def frame(self, part: str) -> pd.DataFrame:
        """The rows of one part, in order of file names, without the columns of the index itself."""
        mine = self.table.filter(pc.equal(self.table["index_part"], part)).drop_columns(list(KEYS))
        frame = mine.to_pandas()
        for name in [name for name in frame if name.startswith(_JSON)]:
            frame[name] = pd.Series(_values(mine[name]), index=frame.index, dtype=object)
        return frame.rename(columns=lambda name: name.removeprefix(_JSON))

    def rows(self, part: str) -> list[dict[str, Any]]:
        """The same rows as plain values."""
        mine = self.table.filter(pc.equal(self.table["index_part"], part)).drop_columns(list(KEYS))
        columns = {
            name.removeprefix(_JSON): _values(mine[name])
            if name.startswith(_JSON)
            else mine[name].to_pylist()
            for name in mine.column_names
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def files(self, column: str, part: str) -> dict[str, Any]:
        """File stem -> value of one column, of one part."""
        parts, stems, values = (self.table[name].to_pylist() for name in ("index_part", "index_file", column))
        return {stem: v for found, stem, v in zip(parts, stems, values, strict=True) if found == part}


def refreshed(store: Storage, home: Storage, columns: Sequence[str] | None = None) -> Index:
    """The index of `store` as its folders are now; kept in `home` (often the store itself) where it changed.

    `columns`: which of the records' columns are wanted, all of them by default. Raises StorageError where the
    folders or a file cannot be read (what is read and makes no sense is `unreadable` instead).
    """
    listed = {(part, stem, stamp) for part in PARTS for stem, stamp in listing(store, part).items()}
    for content in filter(None, map(_content, [home] if home is store else [home, store])):
        with contextlib.suppress(DamagedError):
            return _refresh(store, home, listed, content, columns)
    return _refresh(store, home, listed, None, columns)


def listing(store: Storage, part: str) -> dict[str, str]:
    """The stems of a part's files, each with its stamp. Names that are not the store's own do not count."""
    found = {name: stamp for name, stamp in store.listing(part).items() if _OWN.fullmatch(name)}
    return {name.removesuffix(".parquet"): stamp for name, stamp in found.items()}


def _content(place: Storage) -> bytes | None:
    """The index as it lies there; it may as well be made anew where it cannot be read."""
    try:
        return place.read(NAME)
    except (FileNotFoundError, StorageError):
        return None


def _refresh(
    store: Storage, home: Storage, listed: set[Key], content: bytes | None, columns: Sequence[str] | None
) -> Index:
    known = [] if content is None else _keys(_parsed(content, KEYS))
    gone = set(known) - listed
    rows, unreadable = _read(store, sorted(listed - set(known)))
    if content is not None and not rows and not gone:
        return Index(_parsed(content, columns and [*KEYS, *columns]), unreadable)
    old = _parsed(content).filter(pa.array([key not in gone for key in known])) if content and known else None
    table = _joined(old, rows)
    with contextlib.suppress(StorageError):  # a full disk: the index is made again next time, nothing is lost
        home.write(NAME, _sealed(parquet_bytes(table, metadata={FORM_KEY: FORM, _SEAL_KEY: _OPEN})))
    return Index(table.select([*KEYS, *columns]) if columns else table, unreadable)


def _parsed(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of an index's content. Raises DamagedError for a torn one, and for one of another form."""
    if not _is_whole(content):
        raise DamagedError(f"{NAME}: damaged (its checksum differs)")
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        if (parquet.metadata.metadata or {}).get(FORM_KEY) != FORM:
            raise DamagedError(f"{NAME}: an index of another form")
        return parquet.read(columns=columns and list(columns))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedError(f"{NAME}: damaged ({error})") from None


def _sealed(content: bytes) -> bytes:
    """The content with a checksum of all its bytes in it: parquet's own checksums leave its footer out."""
    at = content.rindex(_OPEN)
    seal = f"seal:{zlib.crc32(content):08x}".encode()
    return content[:at] + seal + content[at + len(seal) :]


def _is_whole(content: bytes) -> bool:
    at = content.rfind(b"seal:")
    return at >= 0 and _sealed(content[:at] + _OPEN + content[at + len(_OPEN) :]) == content


def _keys(table: pa.Table) -> list[Key]:
    return list(zip(*(table[name].to_pylist() for name in KEYS), strict=True))


def _read(store: Storage, keys: Sequence[Key]) -> tuple[list[dict[str, Any]], dict[tuple[str, str], str]]:
    """The rows of these files with their keys, and what is wrong with the damaged ones."""
    rows: list[dict[str, Any]] = []
    unreadable: dict[tuple[str, str], str] = {}
    for key in keys:
        part, stem, _ = key
        name = f"{part}/{stem}.parquet"
        try:
            rows.append({**dict(zip(KEYS, key, strict=True)), **row_of(store.read(name), store.place(name))})
        except FileNotFoundError:
            continue  # went away since the listing
        except DamagedError as error:
            unreadable[part, stem] = str(error)
    return rows, unreadable


def _joined(old: pa.Table | None, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of an index and of new records as one table, ordered by part and file."""
    had = [] if old is None else [name.removeprefix(_JSON) for name in old.column_names]
    names = dict.fromkeys([*KEYS, "id", "status", "reason", *had, *(name for row in rows for name in row)])
    columns = {}
    for name in names:
        new = [row.get(name) for row in rows]
        label, column = _column(old, name, new)
        columns[label] = column
    table = pa.table(columns)
    return table.take(pc.sort_indices(table, [("index_part", "descending"), ("index_file", "ascending")]))


def _column(old: pa.Table | None, name: str, new: list[Any]) -> tuple[str, pa.Array | pa.ChunkedArray]:
    """One column of old and new values under its label; numbers widen, and what has no common type is JSON."""
    count = 0 if old is None else old.num_rows
    if old is None or f"{_JSON}{name}" not in old.column_names:
        before = pa.nulls(count) if old is None or name not in old.column_names else old[name]
        with contextlib.suppress(pa.ArrowException, OverflowError):
            after = _array(new)
            kind = _common(before.type, after.type)
            chunks = [c.cast(kind) for c in (before, after)]
            return name, pa.chunked_array([part for c in chunks for part in getattr(c, "chunks", [c])], kind)
        values = before.to_pylist()
    else:
        values = _values(old[f"{_JSON}{name}"])
    return f"{_JSON}{name}", pa.array(
        [None if v is None else json.dumps(v, default=str) for v in [*values, *new]], pa.string()
    )


def _array(values: list[Any]) -> pa.Array:
    """Values of one kind, or integers among floats. Raises ArrowTypeError: pyarrow would read False as 0.0."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        raise pa.ArrowTypeError(f"values of {len(kinds)} kinds")
    return pa.array(values)


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Raises ArrowTypeError where two columns cannot be one without changing a value's type."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    raise pa.ArrowTypeError(f"{one} and {other}")


def _values(column: pa.ChunkedArray) -> list[Any]:
    return [None if v is None else json.loads(v) for v in column.to_pylist()]

"""Text and Parquet files of rows (ratings, clicks) as records by column name, whatever program wrote them; flaws by line."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sambench.errors import DataError, message_of, shown
from sambench.files import content
from sambench.text import human_bytes

SHOWN = 20  # problems that an error lists
MOST_BYTES = 256 << 20
MOST_ROWS = 1_000_000  # the paper's study has some hundred thousand

Record = dict[str, str]


@dataclass
class Problems:
    """What is wrong, by line. unit: `line` of a text file, `row` of a Parquet file."""

    path: Path
    unit: str
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, what: str, remedy: str) -> None:
        self.found.append((line, f"{shown(what)}; {shown(remedy)}"))

    @property
    def full(self) -> bool:
        """Whether no more can be shown, so that looking for better advice is of no use."""
        return len(self.found) >= SHOWN

    def raise_if_any(self, message: str) -> None:
        if not self.found:
            return
        self.found.sort(key=lambda f: f[0])
        lines = [f"{self.unit} {n}: {text}" for n, text in self.found[:SHOWN]]
        more = [f"... and {len(self.found) - SHOWN} more"] if len(self.found) > SHOWN else []
        raise DataError(
            message.format(n=len(self.found)),
            where=self.path,
            found="\n    ".join(["", *lines, *more]).rstrip(),
            remedy="mend these lines; nothing was computed",
        )


def read_records(
    path: Path, what: str = "ratings", numbers: Collection[str] = ()
) -> tuple[list[tuple[int, Record]], list[str], str]:
    """((line, record) of every row, notes, what a line is called).

    what: the rows' name, for messages. numbers: columns in which a decimal comma is read as such, where fields are parted by
    something else. Raises DataError: no such file, too large, not text, not CSV, a column twice, rows of another length than the
    header, no rows.
    """
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            expected, found = f"at most {human_bytes(MOST_BYTES)}", human_bytes(size)
            raise DataError(f"a file of {what} is too large", where=path, expected=expected, found=found)
        data = content.read_bytes(path)
    except (OSError, ValueError) as e:  # ValueError: a path that holds a NUL
        found = (e.strerror if isinstance(e, OSError) else None) or message_of(e)
        raise DataError(f"a file of {what} cannot be read", where=shown(path), found=found) from e
    if data[:4] == b"PAR1":
        return _parquet(data, path, what), [], "row"
    if data[:4] == b"PK\x03\x04":
        raise DataError(
            f"a workbook cannot be read as {what}",
            where=path,
            expected="CSV or Parquet",
            found="an Excel or LibreOffice file",
            remedy="save it as `CSV UTF-8`",
        )
    text, notes = _decoded(data, path, what)
    return _csv(text, path, what, numbers, notes), notes, "line"


def _parquet(data: bytes, path: Path, what: str) -> list[tuple[int, Record]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        names = _header(file.schema_arrow.names, str(path))
        n, size = file.metadata.num_rows, sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
        if not (0 <= n <= MOST_ROWS and 0 <= size <= MOST_BYTES):  # a few bytes can stand for any number of rows
            raise _too_many(path, what, f"{n} rows, {size} bytes")
        rows = file.read().to_pydict()
        columns = [list(map(_plain_text, values)) for values in rows.values()]
    except (OSError, ValueError, ArithmeticError, LookupError, MemoryError, pa.ArrowException) as e:
        raise DataError(f"a file of {what} is damaged", where=path, expected="Parquet", found=message_of(e)) from e
    if not columns or not columns[0]:
        raise _empty(path, what)
    return [(n, dict(zip(names, row, strict=True))) for n, row in enumerate(zip(*columns, strict=True), 1)]


def _plain_text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value.decode() if isinstance(value, bytes) else str(value)


def _decoded(data: bytes, path: Path, what: str) -> tuple[str, list[str]]:
    marks = {"utf-32": (b"\xff\xfe\0\0", b"\0\0\xfe\xff"), "utf-16": (b"\xff\xfe", b"\xfe\xff")}
    wide = next((name for name, mark in marks.items() if data.startswith(mark)), "")
    notes = ["a byte order mark was left out (Excel's `CSV UTF-8`)"] if data[:3] == b"\xef\xbb\xbf" else []
    try:
        if wide:
            return data.decode(wide), [f"read as {wide.upper()} (Excel's `Unicode text`)"]
        return data.decode("utf-8-sig"), notes
    except UnicodeDecodeError as e:
        line = data[: e.start].count(b"\n") + 1
        raise DataError(
            f"a file of {what} is not {wide.upper() or 'UTF-8'} text",
            where=f"{path}, line {line}",
            expected=wide.upper() or "UTF-8",
            found=f"the byte {data[e.start]:#04x}" if e.start < len(data) else "its end",
            remedy="save it as `CSV UTF-8`",
        ) from e


def _csv(text: str, path: Path, what: str, numbers: Collection[str], notes: list[str]) -> list[tuple[int, Record]]:
    """Rows by column name; appends to notes."""
    first, skipped = text.partition("\n")[0].strip("\r\n \t"), 0
    if first.lower().startswith("sep=") and len(first) == 5:  # Excel's own way to name the separator
        text, skipped = text.partition("\n")[2], 1
    header = text.partition("\n")[0]
    separator = max((",", ";", "\t"), key=header.count)
    if separator != ",":
        notes.append(
            f"fields are separated by {'semicolons' if separator == ';' else 'tabs'}, not commas; decimal commas are read as such"
        )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names: list[str] = []
    problems = Problems(path, "line")
    out: list[tuple[int, Record]] = []
    line = 1
    for fields in _rows(reader, path, what, skipped):
        if len(out) >= MOST_ROWS:
            raise _too_many(path, what, "more")
        start, line = line + skipped, reader.line_num + 1  # a quoted field may go over several lines
        if not any(f.strip() for f in fields):
            continue
        if not names:
            names = _header(fields, f"{path}, line {start}")
            continue
        if len(fields) != len(names):
            problems.add(start, f"{len(fields)} fields for {len(names)} columns", "quote a field that holds the separator")
            continue
        values = [f.strip() for f in fields]
        if separator != ",":
            values = [_point(v) if n in numbers else v for n, v in zip(names, values, strict=True)]
        out.append((start, dict(zip(names, values, strict=True))))
    problems.raise_if_any("{n} lines have another number of fields than the header")
    if not out:
        raise _empty(path, what)
    return out


def _rows(reader: Any, path: Path, what: str, skipped: int) -> Iterator[list[str]]:
    """The rows of a csv reader. Raises DataError where one cannot be read."""
    try:
        yield from reader
    except csv.Error as e:
        raise DataError(
            f"a file of {what} cannot be read as CSV",
            where=f"{path}, line {reader.line_num + skipped}",
            expected=f"fields of up to {csv.field_size_limit():,} characters, each quote closed",
            found=message_of(e),
            remedy="close the quote, or shorten that field",
        ) from e


def _too_many(path: Path, what: str, found: str) -> DataError:
    return DataError(f"a file holds more {what} than any study", where=path, expected=f"at most {MOST_ROWS:,}", found=found)


def _point(value: str) -> str:
    return value.replace(",", ".") if value.count(",") == 1 and "." not in value else value


def _header(fields: Sequence[str], where: str) -> list[str]:
    names = [f.strip().lower() for f in fields]
    twice = [n for n, count in Counter(names).items() if count > 1]
    if twice:
        found = shown(", ".join(map(repr, twice)))
        raise DataError("a column of a file stands twice", where=where, found=found, remedy="remove one")
    return names


def _empty(path: Path, what: str) -> DataError:
    one = what.removesuffix("s")
    return DataError(f"a file of {what} holds none", where=path, expected=f"a header and a {one} a line", found="no line of data")

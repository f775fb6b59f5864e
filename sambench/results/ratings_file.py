"""Text and Parquet files of ratings as records by column name, whatever program wrote them; flaws by line."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sambench.errors import DataError

SHOWN = 20  # problems that an error lists

Record = dict[str, str]


@dataclass
class Problems:
    """What is wrong, by line. unit: `line` of a text file, `row` of a Parquet file."""

    path: Path
    unit: str
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, what: str, remedy: str) -> None:
        self.found.append((line, f"{what}; {remedy}"))

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


def read_records(path: Path) -> tuple[list[tuple[int, Record]], list[str], str]:
    """((line, record) of every row, notes, what a line is called). Raises DataError; see `results.ratings`."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise DataError("a file of ratings cannot be read", where=path, found=e.strerror or repr(e)) from e
    if data[:4] == b"PAR1":
        return _parquet(path), [], "row"
    if data[:4] == b"PK\x03\x04":
        raise DataError(
            "a workbook cannot be read as ratings",
            where=path,
            expected="CSV or Parquet",
            found="an Excel or LibreOffice file",
            remedy="save it as `CSV UTF-8`",
        )
    text, notes = _decoded(data, path)
    return _csv(text, path, notes), notes, "line"


def _parquet(path: Path) -> list[tuple[int, Record]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as e:
        raise DataError("a file of ratings is damaged", where=path, expected="Parquet", found=str(e)) from e
    if not rows:
        raise _empty(path)
    return [(n, {str(k): _plain_text(v) for k, v in row.items()}) for n, row in enumerate(rows, 1)]


def _plain_text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)


def _decoded(data: bytes, path: Path) -> tuple[str, list[str]]:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace"), ["read as UTF-16 (Excel's `Unicode text`)"]
    notes = ["a byte order mark was left out (Excel's `CSV UTF-8`)"] if data[:3] == b"\xef\xbb\xbf" else []
    try:
        return data.decode("utf-8-sig"), notes
    except UnicodeDecodeError as e:
        line = data[: e.start].count(b"\n") + 1
        raise DataError(
            "a file of ratings is not UTF-8 text",
            where=f"{path}, line {line}",
            expected="UTF-8",
            found=f"the byte {data[e.start]:#04x}",
            remedy="save it as `CSV UTF-8`",
        ) from e


def _csv(text: str, path: Path, notes: list[str]) -> list[tuple[int, Record]]:
    """Rows by column name; appends to notes."""
    first, skipped = text.partition("\n")[0].strip("\r\n \t"), 0
    if first.lower().startswith("sep=") and len(first) == 5:  # Excel's own way to name the separator
        text, skipped = text.partition("\n")[2], 1
    header = text.partition("\n")[0]
    separator = max((",", ";", "\t"), key=header.count)
    if separator != ",":
        notes.append(
            f"fields are parted by {'semicolons' if separator == ';' else 'tabs'}, not commas; decimal commas are read as such"
        )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names: list[str] = []
    problems = Problems(path, "line")
    out: list[tuple[int, Record]] = []
    line = 1
    for fields in _rows(reader, path):
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
            values = [_point(v) if n in ("score", "seconds") else v for n, v in zip(names, values, strict=True)]
        out.append((start, dict(zip(names, values, strict=True))))
    problems.raise_if_any("{n} lines have another number of fields than the header")
    if not out:
        raise _empty(path)
    return out


def _rows(reader: Any, path: Path) -> Iterator[list[str]]:
    """The rows of a csv reader. Raises DataError where one cannot be read."""
    try:
        yield from reader
    except csv.Error as e:
        raise DataError(
            "a file of ratings cannot be read as CSV",
            where=f"{path}, line {reader.line_num}",
            expected=f"fields of up to {csv.field_size_limit():,} characters, each quote closed",
            found=str(e),
            remedy="close the quote, or shorten that field",
        ) from e


def _point(value: str) -> str:
    return value.replace(",", ".") if value.count(",") == 1 and "." not in value else value


def _header(fields: Sequence[str], where: str) -> list[str]:
    names = [f.strip().lower() for f in fields]
    twice = [n for n, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError("a column of a file stands twice", where=where, found=", ".join(map(repr, twice)), remedy="remove one")
    return names


def _empty(path: Path) -> DataError:
    return DataError("a file of ratings holds none", where=path, expected="a header and a rating a line", found="no line of data")

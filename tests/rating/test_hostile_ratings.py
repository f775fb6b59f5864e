"""Files of ratings as no program should write them: read as they are meant, or refused by line, and soon."""

from __future__ import annotations

import io
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sambench.errors import DataError, SambenchError, UsageError
from sambench.files import records as ratings_file
from sambench.metrics import bootstrap
from sambench.metrics.mixed import mixed_difference
from sambench.rating import tables as rating_tables
from sambench.rating.statistics import read_ratings
from sambench.tasks.summary import Bootstrap

HEAD = "rater,model,dataset,item,score,seconds,is_control,comment"


def lines(n: int = 12) -> list[str]:
    return [f"r{i % 3},{m},d{i % 2},i{i},{(i * 7 + len(m)) % 10 + 1},{i}.5,false,fine" for i in range(n) for m in ("one", "other")]


def put(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path, text: str | bytes) -> str:
    with pytest.raises(DataError) as e:
        read_ratings(put(path, text))
    message = str(e.value)
    assert str(path) in message
    assert len(message) < 12_000
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", message)
    return message


def table(*rows: str) -> str:
    return "\n".join((HEAD, *lines(), *rows)) + "\n"


ROWS = {
    "a field beyond Python's limit": ('r9,one,d0,x,5,1,false,"' + "x" * 140_000, "each quote closed"),
    "a long name": (f"r9,{'m' * 2000},d0,x,5,1,false,", "line 26: model has 2000 characters"),
    "NUL": ("r9,o\0ne,d0,x,5,1,false,", "line 26: model is 'o\\x00ne'"),
    "escape": ("r9,one,d0,\x1b[31mx,5,1,false,", "line 26: item is '\\x1b[31mx'"),
    "tab": ("r9,one,d0,a\tb,5,1,false,", "line 26: item is 'a\\tb'"),
    "infinite": ("r9,one,d0,x,inf,1,false,", "line 26: score inf is outside"),
    "overflow": (f"r9,one,d0,x,{'9' * 900},1,false,", "line 26: score 999"),
    "NaN": ("r9,one,d0,x,nan,1,false,", "line 26: score nan is outside"),
    "underscore": ("r9,one,d0,x,1_0,1,false,", "line 26: score '1_0' is not a number"),
    "another script": ("r9,one,d0,x,٥,1,false,", "line 26: score '٥' is not a number"),
    "endless": ("r9,one,d0,x,5,inf,false,", "line 26: seconds is 'inf'"),
    "twice": (lines()[0], "line 26: rater 'r0' has rated this job at line 2 already"),
}


@pytest.mark.parametrize("name", ROWS)
def test_lines_that_cannot_be_used_are_named(tmp_path: Path, name: str) -> None:
    row, says = ROWS[name]
    assert says in refused(tmp_path / "r.csv", table(row))


def test_other_columns_may_hold_anything(tmp_path: Path) -> None:
    rows = [f'r9,{m},d0,x,5,1,false,"a note\nof two lines\t{"x" * 5000}"' for m in ("one", "other")]
    assert len(read_ratings(put(tmp_path / "r.csv", table(*rows))).frame) == 26


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_encodings_with_a_mark_are_read(tmp_path: Path, encoding: str) -> None:
    got = read_ratings(put(tmp_path / "r.csv", table().encode(encoding)))
    assert len(got.frame) == 24
    assert got.notes


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32-be", "latin-1", "cp1252"])
def test_encodings_without_one_are_told(tmp_path: Path, encoding: str) -> None:
    refused(tmp_path / "r.csv", table("r9,müde,d0,x,5,1,false,").encode(encoding))
    refused(tmp_path / "r.csv", table().encode("utf-16")[:-1])


def test_a_column_of_something_else_as_the_models(tmp_path: Path) -> None:
    """Every row a model of its own: near names of thousands would take hours."""
    began = time.monotonic()
    rows = "\n".join(f"r{i % 7},model number {i},d,i{i},5,1,false," for i in range(20_000))
    assert "20000 different models" in refused(tmp_path / "r.csv", f"{HEAD}\n{rows}\n")
    assert time.monotonic() - began < 60


def test_files_that_are_none_or_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "zero", tmp_path, tmp_path / "none", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(DataError, match="cannot be read"):
            read_ratings(path)
    monkeypatch.setattr(ratings_file, "MOST_BYTES", 100)
    assert "too large" in refused(tmp_path / "r.csv", table())
    monkeypatch.undo()
    monkeypatch.setattr(ratings_file, "MOST_ROWS", 20)
    assert "more ratings than any study" in refused(tmp_path / "r.csv", table())


def parquet_of(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out)
    return out.getvalue()


def test_a_parquet_file_of_kilobytes_and_ten_million_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    one = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000_000, np.int8)), ["x"])
    pq.write_table(pa.table(dict.fromkeys(("rater", "model", "dataset", "item", "score"), one)), tmp_path / "r.parquet")
    raw = (tmp_path / "r.parquet").read_bytes()
    assert len(raw) < 200_000
    assert "10000000 rows" in refused(tmp_path / "r.parquet", raw)


@pytest.mark.parametrize("n", [pytest.param(40, id="quick"), pytest.param(1000, id="all", marks=pytest.mark.slow)])
@pytest.mark.parametrize("form", ["csv", "semicolons", "utf-16", "parquet"])
def test_mutated_ratings(tmp_path: Path, form: str, n: int) -> None:
    """Read or refused by name; what is read has tables."""
    forms: dict[str, Callable[[], bytes]] = {
        "csv": lambda: table().encode(),
        "semicolons": lambda: table().replace(",", ";").encode("utf-8-sig"),
        "utf-16": lambda: table().encode("utf-16"),
        "parquet": lambda: parquet_of(pd.read_csv(io.StringIO(table()))),
    }
    rng, whole, good = random.Random(f"{form} {n}"), forms[form](), 0
    pieces = [b"\0", b'"', b",,", b"\n", b"\r", b"nan", b"inf", b"1e999", b"-1", b"\xff", b"\xe2\x80\xae", b"one", b"9" * 400]
    for _ in range(n):
        raw = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            i = rng.randrange(len(raw))
            j = min(len(raw), i + rng.choice((0, 1, 1, 5, 60)))
            raw[i:j] = rng.choice((b"", rng.randbytes(j - i), bytes(raw[i:j]) * 2, rng.choice(pieces)))
        try:
            got = read_ratings(put(tmp_path / "r", bytes(raw)), allow_missing=True)
        except DataError:
            continue
        good += 1
        for make in rating_tables.TABLES.values():
            make(got)
        try:
            rating_tables.differences_table(got, "one", "other", n_resamples=100)
        except UsageError:  # no input has both
            continue
    assert good < n


# --- what is asked of the statistics


@pytest.mark.parametrize(
    ("wanted", "flag"),
    [
        ({"n_resamples": 10**9}, "--resamples"),
        ({"n_resamples": 0}, "--resamples"),
        ({"seed": -1}, "--seed"),
        ({"seed": 1 << 64}, "--seed"),
        ({"level": 1.0}, "--level"),
        ({"level": float("nan")}, "--level"),
    ],
)
def test_a_bootstrap_that_nobody_can_have(tmp_path: Path, wanted: dict[str, float], flag: str) -> None:
    with pytest.raises(UsageError) as e:
        Bootstrap(**wanted)  # type: ignore[arg-type]
    assert e.value.where == flag
    got = read_ratings(put(tmp_path / "r.csv", table()))
    with pytest.raises(UsageError) as e:
        rating_tables.differences_table(got, "one", "other", **wanted)  # type: ignore[arg-type]
    assert e.value.where == flag
    assert isinstance(e.value, SambenchError)
    bootstrap.check_wanted(bootstrap.MOST_RESAMPLES, 0.5, (1 << 63) - 1)


def test_as_many_raters_as_ratings_do_not_take_hours() -> None:
    rng = np.random.default_rng(0)
    n, raters = 4000, 3000
    who = np.concatenate([np.arange(raters), rng.integers(0, raters, 2 * n - raters)])
    began = time.monotonic()
    got = mixed_difference(rng.integers(1, 11, 2 * n).astype(float), np.tile([True, False], n), np.repeat(np.arange(n), 2), who)
    assert not got.fitted
    assert "hours" in got.note
    assert time.monotonic() - began < 20

"""Whether a cell that comes from elsewhere is what it says: counts by its shards, metrics by its rows."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sambench.errors import RunError, SambenchError
from sambench.files.content import regular_bytes
from sambench.layout import is_missing
from sambench.provenance import digest
from sambench.results.rescore import rescore
from sambench.schema import METRIC_COLUMNS
from sambench.store.record import FINISHED, METRIC_FILES
from sambench.store.views import CellView, read_cell
from sambench.text import csv_cell

MAX_SHARD_BYTES = 2 << 30  # unpacked
MAX_SHARD_ROWS = 20_000_000
_TOLERANCE = 1e-9  # another machine's sums


def check_cell(folder: Path) -> None:
    """Raises RunError where the record does not fit the shards, or the metrics are not those of the rows."""
    cell = read_cell(folder)
    _check_folder(cell)
    for n in range(len(cell.store)):
        _check_size(cell.store.path(n))
    _check_counts(cell)
    try:
        found = rescore(cell)
    except SambenchError:
        raise
    except Exception as e:  # values that no model gives, in columns of the right types
        raise RunError("its rows give no metrics", where=folder, found=f"{type(e).__name__}: {e}") from e
    check_metrics(cell, found)


def check_metrics(cell: CellView, found: Sequence[Mapping[str, Any]]) -> None:
    """Raises RunError where the stored metrics are not `found`, those that `rescore` gives."""
    for name, rows in _stored(cell).items():
        _check_rows(name, rows, found, cell.path)


def _check_folder(cell: CellView) -> None:
    """That the cell lies where a run of its identity would look for it. Earlier records do not say their identity."""
    identity = cell.record.identity
    if identity is None:
        return
    run = {k: identity.get(k) for k in ("task", "model")}
    for path, value in ((cell.path.parent, run), (cell.path, identity.get("dataset"))):
        hexes = re.search(r"-([0-9a-f]{8})$", path.name)
        if hexes is None or hexes[1] != digest(value)[:8]:
            raise RunError(
                "it lies in the folder of another identity",
                where=path,
                expected=f"a folder whose name ends in -{digest(value)[:8]}",
                found=f"the folder {path.name}",
                remedy="give the folder its name back",
            )


def _check_size(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return
    try:
        meta = pq.read_metadata(path)
        size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    except (pa.ArrowException, OSError, ValueError) as e:
        raise RunError("a shard cannot be read", where=path, found=str(e)) from e
    if size > MAX_SHARD_BYTES or meta.num_rows > MAX_SHARD_ROWS:
        raise RunError("a shard is too large", where=path, found=f"{meta.num_rows:,} rows, {size:,} bytes unpacked")


def _check_counts(cell: CellView) -> None:
    record, live = cell.record, cell.live
    told = {"status": record.status, **{k: record.counts.given().get(k) for k in ("n_images_done", "n_images_failed", "n_objects")}}
    by_shards = {
        "status": live.status,
        "n_images_done": live.n_done,
        "n_images_failed": live.n_failed,
        "n_objects": live.n_objects,
    }
    wrong = [f"{k} {told[k]}, by the shards {v}" for k, v in by_shards.items() if told[k] is not None and told[k] != v]
    if record.status not in FINISHED:
        wrong.append(f"status {record.status}")
    if wrong:
        raise RunError("its record does not fit its shards", where=cell.path, found="; ".join(wrong))


def _stored(cell: CellView) -> dict[str, list[dict[str, Any]]]:
    """The rows of both files of metrics, as far as there are any."""
    import pandas as pd

    out = {}
    for name in METRIC_FILES:
        path = cell.path / name
        if not path.exists():
            continue
        try:
            raw = io.BytesIO(regular_bytes(path))
            text = name.endswith(".csv")  # as it stands: a group may be called NA
            frame = pd.read_csv(raw, dtype=str, keep_default_na=False) if text else pd.read_parquet(raw)
        except Exception as e:  # parsers have many of their own
            raise RunError("metrics cannot be read", where=path, found=f"{name}: {type(e).__name__}: {e}") from e
        if list(frame.columns) != list(METRIC_COLUMNS):
            raise RunError("metrics cannot be read", where=path, found=f"{name} has other columns")
        out[name] = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    return out


def _check_rows(name: str, told: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], folder: Path) -> None:
    if len(told) != len(found):
        said = f"{len(told)} in {name}, {len(found)} by its rows"
        raise _other_metrics(folder, said)
    for ours, theirs in zip(found, told, strict=True):
        for column in METRIC_COLUMNS:
            if not _same(ours[column], theirs[column]):
                what = " ".join(str(ours[k]) for k in ("metric", "variant", "k") if not is_missing(ours[k]))
                said = f"{what}, {column}: {theirs[column]} in {name}, {ours[column]} by its rows"
                raise _other_metrics(folder, said)


def _other_metrics(folder: Path, found: str) -> RunError:
    remedy = "`sambench rescore` gives those of its rows; remove metrics.csv and issue the run's command again to have them written"
    return RunError("its metrics are not those of its rows", where=folder, found=found, remedy=remedy)


def _same(a: Any, b: Any) -> bool:
    if is_missing(a) or is_missing(b) or "" in (str(a), str(b)):
        return (is_missing(a) or str(a) == "") and (is_missing(b) or str(b) == "")
    try:
        return math.isclose(float(a), float(b), rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    except (TypeError, ValueError):
        return str(b) in (str(a), csv_cell(a))

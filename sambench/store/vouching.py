"""What a finished cell's record vouches for: that metrics, list of images and shards are those that it was written of."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from sambench.errors import RunError
from sambench.files.content import file_sha256, files_sha256
from sambench.files.writing import unreadable
from sambench.store.record import IMAGES, METRIC_FILES, CellRecord
from sambench.store.shards import ShardStore


class Misfit(NamedTuple):
    """A file that is not the one that the record was written of."""

    path: Path
    how: Literal["gone", "changed", "new"]


def vouch(folder: Path, store: ShardStore) -> dict[str, Any]:
    """The `results` of a record (`record.Vouched`): digests of the files as they are now. Raises RunError if one cannot be read."""
    return {
        "shards": shard_digests(store),
        "images": _sha256(folder / IMAGES),
        "metrics": {name: _sha256(folder / name) for name in METRIC_FILES},
    }


def misfits(folder: Path, record: CellRecord, store: ShardStore) -> list[Misfit]:
    """The files that the record does not fit; none where it vouches for nothing. Raises RunError on a damaged file."""
    return file_misfits(folder, record) + shard_misfits(record, store)


def file_misfits(folder: Path, record: CellRecord) -> list[Misfit]:
    """As `misfits`, of the list of images and the metrics alone."""
    told = record.results
    if told is None:
        return []
    metrics = {str(name): digest for name, digest in told.metrics.items()}
    files = {folder / IMAGES: told.images, **{folder / name: metrics.get(name) for name in METRIC_FILES}}
    return [Misfit(path, how) for path, digest in files.items() if (how := _differs(path, digest))]


def shard_misfits(record: CellRecord, store: ShardStore) -> list[Misfit]:
    """As `misfits`, of the shards alone."""
    if record.results is None:
        return []
    told, found = record.results.shards, []
    shards = shard_digests(store)
    for name in sorted({*shards, *told}):
        if shards.get(name) != told.get(name):
            how: Literal["gone", "changed", "new"] = "changed"
            if name not in shards:
                how = "gone"
            elif name not in told:
                how = "new"
            found.append(Misfit(store.folder / f"{name}.parquet", how))
            store.states(int(name))  # a damaged shard has a remedy of its own
    return found


def _differs(path: Path, digest: str | None) -> Literal["gone", "changed"] | None:
    try:
        return None if file_sha256(path) == digest else "changed"
    except FileNotFoundError:
        return "gone"
    except OSError as e:
        raise unreadable("a cell's file cannot be read", path, e) from e


def shard_digests(store: ShardStore) -> dict[str, str]:
    """sha256 of every shard file that there is, by number as in its name. Raises RunError where one cannot be read."""
    try:
        paths = {path.stem: path for path in map(store.path, range(len(store))) if path.exists()}
        return files_sha256(paths, "shards")
    except OSError as e:
        raise unreadable("a shard cannot be read", Path(e.filename or store.folder), e) from e


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as e:
        raise unreadable("a cell's file cannot be read", path, e) from e


def misfit_error(folder: Path, found: list[Misfit]) -> RunError:
    """What is said where a reader meets them."""
    said = {"gone": "is gone", "changed": "is not the one that the record was written of", "new": "came after the record"}
    named = [f"{m.path.relative_to(folder)} {said[m.how]}" for m in found]
    return RunError(
        "a cell's files do not fit its record: its metrics may not be those of its rows",
        where=folder,
        expected="the files that the record has the sha256 of",
        found="; ".join(named[:4]) + (f"; and {len(named) - 4} more" if len(named) > 4 else ""),
        remedy="issue the run's command again: metrics and record are made again from the rows (of an imported cell: move its "
        "folder away and import it again)",
    )

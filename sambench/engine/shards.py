"""Shards: the files in which a cell's rows lie. A shard is whole or it is not there; it can be mended image by image.

A cell's images stand in keyed-hash order in `images.txt`; shard n holds images n * size .. (n + 1) * size - 1 of that order,
whatever the number of workers. Besides its rows a shard keeps, in the file's metadata, one record per image (status, counts,
hash of the image file, error), so that images without objects and failures are known, and a shard that holds some of its images is
completed rather than computed again. That one mechanism serves resuming, retrying failures, and extending `--limit`.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sambench.errors import RunError
from sambench.schema import arrow_schema

META_KEY = b"sambench"
META_VERSION = 2  # 1 had the picture's size instead of its hash


@dataclass(frozen=True)
class ImageState:
    """What is stored of one image.

    picture: sha256 hex of the image file that was evaluated, '' where its pixels were not looked at or come from no file.
    left_out: annotations that are no object, by kind. notes: what was said of its files (`sambench.notes`).
    invocation: the run command that computed it, so that a failure is retried once per command.
    """

    status: Literal["ok", "failed"]
    n_objects: int = 0
    n_dropped: int = 0
    picture: str = ""
    encode_ms: float = 0.0
    seconds: float = 0.0
    error: str = ""
    invocation: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(self.notes))  # JSON has lists


@dataclass
class Shard:
    """The content of one shard file: records by image id, and rows (dicts by column) by image id."""

    images: dict[str, ImageState]
    rows: dict[str, list[dict[str, Any]]]


class ShardStore:
    """The shard files of one cell."""

    def __init__(self, cell: Path, image_ids: Sequence[str], size: int, columns: Mapping[str, str]) -> None:
        self.folder = cell / "shards"
        self.image_ids = tuple(image_ids)
        self.size = size
        self.columns = dict(columns)

    def __len__(self) -> int:
        return -(-len(self.image_ids) // self.size)

    def members(self, n: int, limit: int | None = None) -> tuple[str, ...]:
        """Image ids of shard n, only those among the first `limit` images if given."""
        stop = min((n + 1) * self.size, len(self.image_ids) if limit is None else limit)
        return self.image_ids[n * self.size : stop]

    def path(self, n: int) -> Path:
        return self.folder / f"{n:06d}.parquet"

    def claim_path(self, n: int) -> Path:
        return self.folder / f"{n:06d}.claim"

    def states(self, n: int) -> dict[str, ImageState]:
        """Records of shard n by image id; empty where there is no file. Raises RunError on a file that is not a shard."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path(n)
        try:
            raw = pq.read_metadata(path).metadata or {}
        except FileNotFoundError:
            return {}
        except (pa.ArrowException, OSError) as e:
            raise _not_a_shard(path, e) from e
        if META_KEY not in raw:
            raise _not_a_shard(path, "no sambench record in it")
        meta = json.loads(raw[META_KEY])
        if meta.get("version") not in (1, META_VERSION):
            raise _not_a_shard(path, f"version {meta.get('version')}, this is version {META_VERSION}")
        known = ImageState.__dataclass_fields__
        return {i: ImageState(**{k: v for k, v in state.items() if k in known}) for i, state in meta["images"].items()}

    def all_states(self) -> dict[str, ImageState]:
        """Records of every stored image, in shard order."""
        out: dict[str, ImageState] = {}
        for n in range(len(self)):
            out.update(self.states(n))
        return out

    def read(self, n: int) -> Shard:
        """Rows and records of shard n, empty where there is no file."""
        states = self.states(n)
        shard = Shard(states, {i: [] for i in states})
        for row in self._table(n).to_pylist() if states else ():
            shard.rows[row["image_id"]].append(row)
        return shard

    def write(self, n: int, shard: Shard) -> None:
        """Write shard n aside and rename it into place. Images that are absent from `shard` are kept, and those
        that are stored as `ok` and failed now, unless that was on another picture."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        stored = self.read(n)
        for image_id, state in stored.images.items():
            new = shard.images.get(image_id)
            same = new is not None and (new.picture in ("", state.picture) or not state.picture)
            if new is None or (same and state.status == "ok" and new.status == "failed"):
                shard.images[image_id] = state
                shard.rows[image_id] = stored.rows[image_id]
        order = [i for i in self.members(n) if i in shard.images]
        rows = [{**row, "shard": n} for i in order for row in shard.rows[i]]
        meta = {"version": META_VERSION, "images": {i: asdict(shard.images[i]) for i in order}}
        schema = arrow_schema(self.columns).with_metadata({META_KEY: json.dumps(meta).encode()})
        aside = self.path(n).with_suffix(f".{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
        try:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), aside, compression="zstd")
            with aside.open("rb") as f:
                os.fsync(f.fileno())
            os.replace(aside, self.path(n))
        except OSError as e:
            aside.unlink(missing_ok=True)
            raise storage_error(e, self.path(n)) from e

    def table(
        self,
        image_ids: Iterable[str] | None = None,
        columns: Sequence[str] | None = None,
        where: tuple[str, str] | None = None,
    ) -> Any:
        """pyarrow Table of all stored rows in image order, of `image_ids` alone if given, with `columns` alone if given.

        where: (column, value), the rows that have it alone; the others are let go shard by shard.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        chosen = None if image_ids is None else set(image_ids)
        wanted = None if chosen is None else pa.array(sorted(chosen), pa.string())
        names = list(columns or self.columns)
        parts = []
        for n in range(len(self)):
            if not self.path(n).exists() or (chosen is not None and chosen.isdisjoint(self.members(n))):
                continue
            needed = [*names, *(["image_id"] if wanted is not None else []), *([where[0]] if where else [])]
            part = self._table(n, list(dict.fromkeys(needed)))
            if wanted is not None:
                part = part.filter(pc.is_in(part["image_id"], value_set=wanted))
            if where:
                part = part.filter(pc.equal(part[where[0]], where[1]))
            parts.append(part.select(names))
        schema = arrow_schema({k: self.columns[k] for k in names})
        return pa.concat_tables(parts) if parts else schema.empty_table()

    def _table(self, n: int, columns: Sequence[str] | None = None) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return (
                pq.ParquetFile(self.path(n)).read(columns=None if columns is None else list(columns)).replace_schema_metadata(None)
            )
        except (pa.ArrowException, OSError) as e:
            raise _not_a_shard(self.path(n), e) from e


def storage_error(e: OSError, path: Path) -> RunError:
    """The error for a run directory that cannot be written."""
    import errno

    remedies = {
        errno.ENOSPC: "free some space and issue the same command again: finished shards are kept",
        errno.EDQUOT: "free some of your quota and issue the same command again: finished shards are kept",
        errno.EROFS: "choose a writable directory with --out",
        errno.EEXIST: "that is a file: choose a directory with --out",
        errno.ENOTDIR: "a part of that path is a file: choose a directory with --out",
        errno.EACCES: "choose a writable directory with --out, or mend its permissions",
    }
    return RunError(
        "results cannot be written",
        where=path,
        found=e.strerror or repr(e),
        remedy=remedies.get(e.errno or 0, "mend that, or choose another directory with --out"),
    )


def _not_a_shard(path: Path, why: object) -> RunError:
    return RunError(
        "a file among the shards cannot be read as one",
        where=path,
        expected="a Parquet file written by sambench",
        found=why,
        remedy="delete that file and issue the same command again: only its images are computed anew",
    )

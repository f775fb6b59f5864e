"""Rows of an image that is not whole yet, in a folder beside its shard's lease: of an image that takes minutes little is lost.

A shard holds whole images. Where one takes longer than FLUSH_S the batches that are done are written here, and whoever takes the
image up again (after a kill, a Ctrl-C, a process that died) begins after them. They are of one picture, known by its bytes, and are
gone when the shard that holds the image is written. What cannot be read is computed again.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sambench.files.places import place_of
from sambench.files.writing import replacing, storage_error
from sambench.schema import arrow_schema
from sambench.store.shards import ShardStore

FLUSH_S = 30.0
META_KEY = b"sambench-part"

Rows = list[dict[str, Any]]


class PartialRows:
    """The batches of one image that are done, by number. picture_now: gives the sha256 of its file, '' where it has none."""

    def __init__(self, store: ShardStore, n: int, image_id: str, picture_now: Callable[[], str]) -> None:
        self.store, self.folder, self.stem, self.picture_now = store, _folder(store, n), _stem(image_id), picture_now
        self.began = self.written = time.monotonic()
        self.fresh: dict[int, Rows] = {}
        self.picture: str | None = None  # that of which there were rows
        self.stored: dict[int, Rows] = {}
        for path in _parts(self.folder, self.stem):
            self.picture = self.picture or picture_now()
            self.stored |= _read(path, self.picture)

    def get(self, batch: int) -> Rows | None:
        """The rows of a batch that was done before."""
        return self.stored.get(batch)

    def put(self, batch: int, rows: Rows) -> None:
        """Keep the rows of a batch. Raises RunError where it is time to write them and that cannot be done."""
        self.fresh[batch] = rows
        if time.monotonic() - self.written > FLUSH_S:
            self.flush()

    def interrupted(self) -> None:
        """The image is not gone on with: write what is done, if it was worth a while."""
        if time.monotonic() - self.began > FLUSH_S / 3:
            self.flush()

    def changed(self) -> bool:
        """Whether the rows that were there are not of the picture that was read since."""
        return bool(self.stored) and self.picture_now() != self.picture

    def flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self.fresh:
            return
        path = self.folder / f"{self.stem}.{uuid.uuid4().hex[:8]}.part"
        meta = {"picture": self.picture_now(), "counts": {n: len(rows) for n, rows in self.fresh.items()}}
        schema = arrow_schema(self.store.columns).with_metadata({META_KEY: json.dumps(meta).encode()})
        try:
            rows = [row for batch in self.fresh.values() for row in batch]
            # Named as the part is, so that `forget` also takes what a killed process left.
            self.folder.mkdir(exist_ok=True)
            with replacing(path, aside=path.with_suffix(".tmp"), make_folder=False) as aside:
                pq.write_table(pa.Table.from_pylist(rows, schema=schema), aside, compression="zstd", write_page_checksum=True)
        except OSError as e:
            raise storage_error(e, path) from e
        self.fresh, self.written = {}, time.monotonic()


def forget(store: ShardStore, n: int, image_ids: Iterable[str]) -> None:
    """Remove what was kept of images of shard n, which holds them now."""
    folder = _folder(store, n)
    if not folder.is_dir():
        return
    for image_id in image_ids:
        for path in folder.glob(f"{_stem(image_id)}.*"):
            place_of(path).remove(path)
    with suppress(OSError):  # parts of others are in it
        folder.rmdir()


def _folder(store: ShardStore, n: int) -> Path:
    return store.path(n).with_suffix(".parts")


def _stem(image_id: str) -> str:
    return hashlib.sha256(image_id.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _parts(folder: Path, stem: str) -> list[Path]:
    return sorted(folder.glob(f"{stem}.*.part")) if folder.is_dir() else []


def _read(path: Path, picture: str) -> dict[int, Rows]:
    """The rows of a file by batch; none where they are of another picture, or the file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out, at = {}, 0
    try:
        meta = json.loads((pq.read_metadata(path).metadata or {})[META_KEY])
        rows = pq.ParquetFile(path, page_checksum_verification=True).read().to_pylist()
        if meta["picture"] != picture or sum(meta["counts"].values()) != len(rows):
            return {}
        for batch, n in meta["counts"].items():
            out[int(batch)] = rows[at : at + n]
            at += n
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return out

"""Shards: the files in which a cell's rows lie. A shard is whole or it is not there; it can be mended image by image.

A cell's images stand in keyed-hash order in `images.txt`; shard n holds images n * size .. (n + 1) * size - 1 of that order,
whatever the number of workers. Besides its rows a shard keeps, in the file's metadata, one record per image (status, counts,
hash of the image file, error), so that images without objects and failures are known, and a shard that holds some of its images is
completed rather than computed again. That one mechanism serves resuming, retrying failures, and extending `--limit`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sambench.errors import RunError
from sambench.files.content import regular_bytes
from sambench.files.objects import Changed
from sambench.files.places import place_of
from sambench.files.writing import replacing, storage_error, unreadable, write_synced
from sambench.schema import arrow_schema
from sambench.store import shard_file

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ImageState:
    """What is stored of one image.

    picture: sha256 hex of the image file that was evaluated, '' where its pixels were not looked at or come from no file.
    seconds: from its beginning to its end. device_s: of a device (a GPU, or a core of the CPU), from the end of the worker's last
    image, or its start, to this one's end; 0 in shards of earlier versions, which do not say.
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
    device_s: float = 0.0

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
        self._checked: dict[int, tuple[tuple[int, ...], dict[str, ImageState]]] = {}  # by shard: the file's stamp, its records

    def __len__(self) -> int:
        return -(-len(self.image_ids) // self.size)

    def members(self, n: int, limit: int | None = None) -> tuple[str, ...]:
        """Image ids of shard n, only those among the first `limit` images if given."""
        stop = min((n + 1) * self.size, len(self.image_ids) if limit is None else limit)
        return self.image_ids[n * self.size : stop]

    def path(self, n: int) -> Path:
        return self.folder / f"{n:06d}.parquet"

    def lease_path(self, n: int) -> Path:
        return self.folder / f"{n:06d}.claim"

    def states(self, n: int) -> dict[str, ImageState]:
        """Records of shard n by image id; empty where there is no file. Raises RunError on a file that is not a whole shard."""
        path = self.path(n)
        try:
            at = _stamp(path)
            known = self._checked.get(n)
            if known is None or known[0] != at:
                known = (at, self._states_of(n, shard_file.check(regular_bytes(path))))
                self._checked[n] = known
        except FileNotFoundError:
            return {}
        except OSError as e:
            raise unreadable("a shard cannot be read", path, e) from e
        except shard_file.Damaged as e:
            raise _not_a_shard(path, e) from e
        return dict(known[1])

    def _states_of(self, n: int, meta: bytes) -> dict[str, ImageState]:
        try:
            states: dict[str, ImageState] = _state_types().validate_python(json.loads(meta)["images"])
        except (ValueError, KeyError) as e:  # pydantic's are ValueErrors
            raise shard_file.Damaged(f"its record of images does not fit: {str(e).splitlines()[0]}") from e
        foreign = sorted(states.keys() - set(self.members(n)))
        if foreign:
            raise RunError(
                "a shard holds images that the cell's list does not have there",
                where=self.path(n),
                expected=f"images of {self.folder.parent / 'images.txt'}",
                found=", ".join(map(repr, foreign[:4])),
                remedy="issue the run's command again, which writes that list again; if it says the same, delete the shard: only "
                "its images are computed again",
            )
        return states

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
        for row in self._table(n, list(self.columns)).to_pylist() if states else ():
            if row.get("image_id") not in shard.rows:
                raise _not_a_shard(self.path(n), f"a row of image {row.get('image_id')!r}, of which it has no record")
            shard.rows[row["image_id"]].append(row)
        return shard

    def write(self, n: int, shard: Shard) -> Shard:
        """Write shard n in one step; gives what it holds now. Images that are absent from `shard` are kept, and those that are
        stored as `ok` and failed now, unless that was on another picture.

        In an object store it takes the place of the very version that it was completed from, and what was computed twice stays
        what it was.
        """
        path = self.path(n)
        try:
            version = place_of(path).known(path)
            while True:
                stored = self.read(n)
                whole = _merged(stored, shard, stored_stay=version is not None)
                if version is not None and whole.images == stored.images:
                    return whole
                try:
                    # A cell that somebody removed is not begun anew.
                    with replacing(path, make_folder=False, instead=version) as aside:
                        write_synced(aside, self._encoded(n, whole))
                    return whole
                except Changed:  # somebody wrote since this machine looked: again, with what is there now
                    version = place_of(path).refresh(path)
        except OSError as e:
            raise storage_error(e, path) from e

    def _encoded(self, n: int, shard: Shard) -> bytes:
        order = [i for i in self.members(n) if i in shard.images]
        rows = [{**row, "shard": n} for i in order for row in shard.rows[i]]
        return shard_file.encode(rows, arrow_schema(self.columns), {"images": {i: asdict(shard.images[i]) for i in order}})

    def look(self) -> None:
        """See what others have written: all shards and leases. Raises RunError."""
        try:
            place_of(self.folder).refresh_below(self.folder)
        except OSError as e:
            raise unreadable("shards cannot be read", self.folder, e) from e

    def look_at(self, n: int) -> None:
        """As `look`, of shard n alone, as it is at this moment."""
        try:
            place_of(self.folder).refresh(self.path(n))
        except OSError as e:
            raise unreadable("a shard cannot be read", self.path(n), e) from e

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

        names = list(columns or self.columns)
        parts = list(self.parts(image_ids, names, where))
        schema = arrow_schema({k: self.columns[k] for k in names})
        return pa.concat_tables(parts) if parts else schema.empty_table()

    def parts(
        self, image_ids: Iterable[str] | None, columns: Sequence[str], where: tuple[str, str] | None = None
    ) -> Iterator[Any]:
        """As `table`, shard by shard: one pyarrow Table for each that has rows."""
        import pyarrow as pa
        import pyarrow.compute as pc

        chosen = None if image_ids is None else set(image_ids)
        wanted = None if chosen is None else pa.array(sorted(chosen), pa.string())
        for n in range(len(self)):
            if (chosen is not None and chosen.isdisjoint(self.members(n))) or not self.states(n):
                continue
            needed = [*columns, *(["image_id"] if wanted is not None else []), *([where[0]] if where else [])]
            part = self._table(n, list(dict.fromkeys(needed)))
            if wanted is not None:
                part = part.filter(pc.is_in(part["image_id"], value_set=wanted))
            if where:
                part = part.filter(pc.equal(part[where[0]], where[1]))
            yield part.select(list(columns))

    def _table(self, n: int, columns: list[str]) -> Any:
        try:
            return shard_file.read(self.path(n), columns, arrow_schema(self.columns))
        except OSError as e:
            raise unreadable("a shard cannot be read", self.path(n), e) from e
        except shard_file.Damaged as e:
            raise _not_a_shard(self.path(n), e) from e


def _merged(stored: Shard, new: Shard, *, stored_stay: bool) -> Shard:
    """The new images, and those stored ones that are absent from them, or are `ok` where the new ones failed.

    stored_stay: also those that are `ok` where the new ones are.
    """
    whole = Shard(dict(new.images), dict(new.rows))
    for image_id, state in stored.images.items():
        mine = new.images.get(image_id)
        same = mine is not None and (mine.picture in ("", state.picture) or not state.picture)
        if mine is None or (same and state.status == "ok" and (stored_stay or mine.status == "failed")):
            whole.images[image_id], whole.rows[image_id] = state, stored.rows[image_id]
    return whole


def ok_rows(table: Any, columns: Iterable[str]) -> pd.DataFrame:
    """Columns of the rows with status `ok` of a pyarrow Table that holds `status` too: every integer column is one."""
    import pyarrow.compute as pc

    frame: pd.DataFrame = table.filter(pc.equal(table["status"], "ok")).select(list(columns)).to_pandas(maps_as_pydicts="lossy")
    return frame


@cache
def _state_types() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(dict[str, ImageState])


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file does."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _not_a_shard(path: Path, why: object) -> RunError:
    return RunError(
        "a file among the shards cannot be read as one",
        where=path,
        expected="a Parquet file written by sambench",
        found=why,
        remedy="delete that file and issue the same command again: only its images are computed again",
    )

"""A cell's record (cell.json): what it must hold, how it is read and written, and what of the cell's files it vouches for.

Everything that reads a record reads it here, once, and gets a `CellRecord`. A record is sealed: `digest` is the sha256 of
the rest of it. A record of a finished cell also has `results`: the sha256 of every shard, of the list of images, and of the metrics
that were made of them. So metrics belong to the rows that they stand beside, or it is noticed. Records of an earlier version have
neither; they are read, but nobody takes the metrics beside them for granted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, StringConstraints, ValidationError

from sambench import provenance, tasks
from sambench.errors import RunError, SambenchError
from sambench.files.content import regular_bytes
from sambench.files.writing import unreadable, write_json
from sambench.paths import RECORD

SCHEMA_VERSION = 1
IMAGES = "images.txt"
METRIC_FILES = ("metrics.csv", "metrics.parquet")
FINISHED = ("complete", "partial", "incomplete")
AGAIN = "issue the run's command again: what is stored is kept, and records are written again"
# What records had before they were sealed: more than that without a digest is a record whose digest was damaged.
_UNSEALED = {
    "schema_version", "cell_id", "task", "model", "dataset", "subset", "shard_size", "limit", "status", "counts", "failures",
    "notes", "save_masks", "environment", "timings", "started", "finished",
}  # fmt: skip
_MAX_BYTES = 64 << 20

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# It becomes part of file names.
Name = Annotated[str, StringConstraints(min_length=1, max_length=250, pattern=r"^[^/\\\x00-\x1f\x7f]+$")]


class _Part(BaseModel):
    """A part of a record. Keys that no field names are kept too: those of an identity are the model's and the dataset's own."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    def given(self) -> dict[str, Any]:
        """The part as it stands in the file, by key: no defaults."""
        return self.model_dump(exclude_unset=True)


class TaskRecord(_Part):
    name: Name
    protocol: str
    settings: dict[str, Any]


class ModelRecord(_Part):
    """id, its title, and the identity, whose keys are the model's source's own; those that most have are asked for by name."""

    id: Name
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The options in force; empty where it has none."""
        return self._mapping("options")

    @property
    def proposals(self) -> dict[str, Any]:
        """What identifies a file of proposals; empty of a model that computes."""
        return self._mapping("proposals")

    @property
    def weights_sha256(self) -> str:
        return self._text("weights_sha256")

    @property
    def precision(self) -> str:
        return self._text("precision") or "fp32"

    @property
    def device_kind(self) -> str:
        return self._text("device_kind") or "cpu"

    def _mapping(self, key: str) -> dict[str, Any]:
        value = (self.model_extra or {}).get(key)
        return value if isinstance(value, dict) else {}

    def _text(self, key: str) -> str:
        value = (self.model_extra or {}).get(key)
        return value if isinstance(value, str) else ""


class DatasetRecord(_Part):
    id: Name
    variant: Name | None
    annotation_digest: str
    options: dict[str, Any] | None = None
    source: str | None = None
    root: str | None = None


class SubsetRecord(_Part):
    digest: str
    name: str = ""
    note: str | None = None
    n_images: NonNegativeInt | None = None
    is_paper_size: bool | None = None


class Counts(_Part):
    n_images_failed: NonNegativeInt
    n_images_total: NonNegativeInt = 0
    n_images_done: NonNegativeInt = 0
    n_objects: NonNegativeInt = 0
    n_dropped: NonNegativeInt = 0
    left_out: dict[str, NonNegativeInt] = {}


class Failure(_Part):
    image_id: str
    error: str


class Environment(_Part):
    sambench: str | None = None
    git: str | None = None
    python: str | None = None
    platform: str | None = None
    machine: str | None = None
    cpus: int | None = None
    versions: dict[str, str] = {}
    argv: list[str] = []


class Vouched(_Part):
    """The files that the record was written of, by name. shards: `000000`, ..."""

    shards: dict[Annotated[str, StringConstraints(pattern=r"^\d{6,}$")], Sha256]
    images: Sha256
    metrics: dict[Literal["metrics.csv", "metrics.parquet"], Sha256]


class CellRecord(_Part):
    """cell.json. limit: None where the record speaks of the whole subset. results: None unless the cell is finished.

    notes: of how many images each was said. timings: in seconds and milliseconds, by name. identity: what the cell's id is the
    digest of; None, as are `results` and `digest`, in records of an earlier version.
    """

    schema_version: Literal[1]
    cell_id: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    status: Literal["running", "interrupted", "incomplete", "partial", "complete"]
    shard_size: Annotated[int, Field(ge=1, le=1_000_000)]
    limit: PositiveInt | None = None
    task: TaskRecord
    model: ModelRecord
    dataset: DatasetRecord
    subset: SubsetRecord
    counts: Counts
    failures: list[Failure] = []
    notes: dict[str, NonNegativeInt] = {}
    save_masks: str | None = None
    environment: Environment | None = None
    timings: dict[str, float | int | None] = {}
    started: str | None = None
    finished: str | None = None
    identity: dict[str, Any] | None = None
    results: Vouched | None = None
    digest: Sha256 | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> CellRecord:
        """The record of what is to be written, as it will be read: tuples are lists."""
        return cls.model_validate(json.loads(json.dumps(content)))


def write_record(folder: Path, content: Mapping[str, Any]) -> CellRecord:
    """Seal a record and write it; returns it as it will be read. content: of cell.json, in the file's order."""
    sealed = seal(content)
    record = CellRecord.of(sealed)
    write_json(folder / RECORD, sealed)
    return record


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of cell.json with the digest of the rest of it."""
    body = {k: v for k, v in content.items() if k != "digest"}
    return {**body, "digest": provenance.digest(body)}


def read_record(folder: Path) -> CellRecord:
    """The content of cell.json.

    Raises RunError where it is absent, unreadable, damaged, changed by hand, or of another version.
    """
    file = folder / RECORD
    try:
        raw = regular_bytes(file)
    except OSError as e:
        raise unreadable("a cell's record cannot be read", file, e) from e
    return parse_record(raw, file)


def parse_record(raw: bytes, file: Path) -> CellRecord:
    """As `read_record`, of its bytes. file: for messages."""
    try:
        if len(raw) > _MAX_BYTES:
            raise ValueError(f"{len(raw):,} bytes")
        record = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as e:
        raise damaged("a cell's record is not JSON", file, str(e) or "nested too deeply") from e
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version is None:
        raise damaged("a cell's record is damaged", file, f"JSON without a schema_version, {type(record).__name__}")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise RunError(
            "a cell's record is of another version",
            where=file,
            expected=f"schema_version {SCHEMA_VERSION}",
            found=repr(version)[:80],
            remedy="read it with the version of sambench that wrote it",
        )
    _check_seal(record, file)
    try:
        found = CellRecord.model_validate(record)
    except ValidationError as e:
        errors = e.errors(include_url=False, include_input=False)
        lacking = [".".join(map(str, x["loc"])) for x in errors if x["type"] == "missing"]
        if lacking:
            raise damaged("a cell's record lacks keys", file, f"without {', '.join(lacking)}") from e
        wrong = [f"{'.'.join(map(str, x['loc']))}: {x['msg']}" for x in errors[:3]]
        raise damaged("a cell's record is damaged", file, "; ".join(wrong)) from e
    if found.status == "complete" and found.limit is not None:
        raise damaged("a cell's record is damaged", file, f"complete, and of the first {found.limit} images alone")
    _check_identity(found, record, file)
    _check_settings(found.task, file)
    return found


def _check_identity(found: CellRecord, record: Mapping[str, Any], file: Path) -> None:
    """That the id is the identity's, and model and dataset are those that it was made of."""
    if found.identity is None:
        return
    wrong = [] if provenance.digest(found.identity)[:16] == found.cell_id else ["cell_id"]
    for part, names_alike in (("model", ("id",)), ("dataset", ())):
        held = found.identity.get(part)
        if not isinstance(held, dict) or any(record[part].get(k) != v for k, v in held.items() if k not in names_alike):
            wrong.append(part)
    if wrong:
        raise damaged("a cell's record is damaged", file, f"{', '.join(wrong)}: not those of its identity")


def _no_constant(text: str) -> None:
    raise ValueError(f"{text}, which JSON does not have")


def _check_seal(record: dict[str, Any], file: Path) -> None:
    body = {k: v for k, v in record.items() if k != "digest"}
    try:
        found = provenance.digest(body)
    except (ValueError, TypeError, RecursionError) as e:  # surrogates, nesting
        raise damaged("a cell's record is damaged", file, str(e)) from e
    if "digest" not in record:
        more = sorted(record.keys() - _UNSEALED)
        if more:
            raise damaged("a cell's record is damaged", file, f"no digest, and {', '.join(map(repr, more[:4]))}")
    elif record["digest"] != found:
        raise damaged("a cell's record was changed after it was written", file, f"its sha256 is {found[:12]}..., not what it says")


def _check_settings(task: TaskRecord, file: Path) -> None:
    """That this version knows the task, and that its settings are of their types."""
    try:
        tasks.build(task.name, task.settings, protocol=task.protocol)
    except SambenchError:
        raise
    except Exception as e:  # whatever a task's own checks raise on a value of another type
        raise damaged("a cell's settings do not fit its task", file, f"{type(e).__name__}: {e}") from e


def read_image_ids(folder: Path) -> tuple[str, ...]:
    """The ids of images.txt, in order. Raises RunError where it cannot be read or is no list of ids."""
    file = folder / IMAGES
    try:
        raw = regular_bytes(file)
    except OSError as e:
        raise unreadable("a cell's list of images cannot be read", file, e) from e
    try:
        lines = raw.decode("utf-8").split("\n")
    except ValueError as e:
        raise damaged("a cell's list of images is damaged", file, str(e)) from e
    ids = lines[:-1]
    if lines[-1] or len(set(ids)) < len(ids) or "" in ids:
        what = "no line break at its end" if lines[-1] else "an empty line" if "" in ids else "an image twice"
        raise damaged("a cell's list of images is damaged", file, what)
    return tuple(ids)


def damaged(message: str, where: Path, found: str, remedy: str = AGAIN) -> RunError:
    """The error for a file of a cell that is not what was written."""
    return RunError(message, where=where, found=found[:500], remedy=remedy)

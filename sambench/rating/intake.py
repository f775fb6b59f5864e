"""A study's jobs, as `sambench rate make` writes them, brought into a database: files checked, sizes made alike, raters planned.

The bytes of a picture tell of its mask (an empty one compresses well), so that a browser could tell models apart by size. Every
picture is sent with as many bytes as the largest of the same view among all masks of its input: within an input sizes say nothing,
and every input has every model once.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sambench.errors import DataError, UsageError, message_of, shown
from sambench.files.records import Problems, Record, read_records
from sambench.provenance import keyed_hash
from sambench.rating.database import Database, meta, set_meta
from sambench.rating.drivers import Session
from sambench.rating.statistics import TRUE, read_key
from sambench.rating.views import ALL_VIEWS, VIEWS

TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
MOST_RATERS = 100
_MOST_VIEW = 64 << 20


@dataclass(frozen=True)
class Planned:
    """How many raters a job needs: `raters` where its input is in the overlapping share (0 to 1) of inputs, else one."""

    raters: int = 1
    overlap: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.raters <= MOST_RATERS:
            raise UsageError("so many raters a mask are not possible", expected=f"1 to {MOST_RATERS}", found=str(self.raters))
        if not 0.0 <= self.overlap <= 1.0:
            raise UsageError("that is no share of the masks", expected="a number from 0 to 1", found=str(self.overlap))

    def wanted(self, item: str) -> int:
        """How many raters the masks of an input need; the same inputs whatever the order and the machine."""
        return self.raters if keyed_hash("overlap", item) % 10**6 < self.overlap * 10**6 else 1


@dataclass(frozen=True)
class Folder:
    """What the raters' folder of a study holds: jobs.csv, and views beside it. key: what the jobs stand for, None if not told."""

    root: Path
    key: Path | None
    records: Sequence[Record]


def find_study(place: Path, key: Path | None = None) -> Folder:
    """The study at `place`: the folder of `sambench rate make`, or its part for the raters. Raises DataError, UsageError.

    key: key.csv, by default the one of the study; a study without is served, and what its ratings say needs the key later.
    """
    root = next((f for f in (place / "for_raters", place) if (f / "jobs.csv").is_file()), None)
    if root is None:
        raise DataError(
            "that is no folder of rating jobs",
            where=shown(place),
            expected="for_raters/jobs.csv in it, as `sambench rate make` writes it last",
            found="no such folder" if not place.is_dir() else "another folder, or a study that is not finished",
            remedy="issue `sambench rate make` (again, if it was interrupted)",
        )
    if key is None:
        key = next((f for f in (root / "key.csv", root.parent / "key.csv") if f.is_file()), None)
    records, _, unit = read_records(root / "jobs.csv", "jobs")
    lacking = [c for c in ("job_id", "prompt", *VIEWS) if c not in records[0][1]]
    if lacking:
        expected, found = ", ".join(lacking), ", ".join(records[0][1])
        raise DataError("that is no list of rating jobs", where=root / "jobs.csv", expected=expected, found=shown(found))
    known = read_key(key) if key is not None else {}
    problems = Problems(root / "jobs.csv", unit)
    seen: set[str] = set()
    for line, record in records:
        job = record["job_id"]
        if not job or job in seen:
            problems.add(line, f"job {job!r} stands twice" if job else "no job_id", "make the study again")
        seen.add(job)
        if known and job not in known:
            problems.add(line, f"job {job!r} is not in {key.name if key else ''}", "is the key of another study?")
    problems.raise_if_any("{n} jobs cannot be used")
    return Folder(root, key, [{**known.get(r["job_id"], {}), **r} for _, r in records])


def bring_in(database: Database, folder: Folder, planned: Planned | None = None) -> Planned:
    """Store the jobs; those that are there already keep their ratings. Returns what is planned: `planned`, else what was before.

    Raises DataError where a picture is missing or outside of the folder, UsageError where another study is in the database.
    """
    views = [_views(folder.root, r) for r in folder.records]
    sizes = _alike(folder, views)
    with database.write() as s:
        s.queue_up()
        _refuse_another(s, {r["job_id"] for r in folder.records}, database.shown)
        planned = planned or plan_of(s)
        rows = []
        for position, (record, names, size) in enumerate(zip(folder.records, views, sizes, strict=True), 1):
            told = [record.get(c, "") for c in ("dataset", "model", "image_id", "object_id", "mask_digest")]
            control, wanted = _is_control(record), planned.wanted(_item(record))
            at = [record["job_id"], position, record["prompt"], json.dumps(list(names)), json.dumps(size)]
            rows.append([*at, *told, int(control), _iou(record), 0 if control else wanted])
        s.many(_UPSERT, rows)
        _set_plan(s, planned)
    return planned


def plan(database: Database, planned: Planned) -> None:
    """Change how many raters jobs need; what is rated stays."""
    with database.write() as s:
        s.queue_up()
        _set_plan(s, planned)
        jobs = s.rows("SELECT job_id, dataset, image_id, object_id, prompt FROM jobs WHERE is_control = 0")
        s.many("UPDATE jobs SET wanted = ? WHERE job_id = ?", [(planned.wanted(_item(j)), j["job_id"]) for j in jobs])


def plan_of(s: Session) -> Planned:
    """What is planned: as the database has it, or one rater a job."""
    raters, overlap = meta(s, "raters a job"), meta(s, "overlap")
    return Planned(int(raters), float(overlap)) if raters and overlap else Planned()


_JOB = ("job_id", "position", "prompt", "views", "bytes", "dataset", "model", "image_id", "object_id", "mask_digest", "is_control",
        "iou", "wanted")  # fmt: skip
_UPSERT = (
    f"INSERT INTO jobs ({', '.join(_JOB)}) VALUES ({', '.join('?' * len(_JOB))}) "
    f"ON CONFLICT (job_id) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in _JOB[1:])}"
)


def _set_plan(s: Session, planned: Planned) -> None:
    set_meta(s, "raters a job", str(planned.raters))
    set_meta(s, "overlap", repr(planned.overlap))


def _refuse_another(s: Session, jobs: set[str], place: str) -> None:
    """Raise UsageError if jobs were given to raters that the study does not have; forget others that are gone."""
    gone = {str(r["job_id"]) for r in s.rows("SELECT job_id FROM jobs")} - jobs
    given = gone & {str(r["job_id"]) for r in s.rows("SELECT DISTINCT job_id FROM assignments")}
    if given:
        raise UsageError(
            "another rating study is in that database",
            where=place,
            expected="the jobs that were rated so far, or more",
            found=f"{len(given)} jobs with raters that are not in this study",
            remedy="choose another with --database",
        )
    s.many("DELETE FROM jobs WHERE job_id = ?", [(job,) for job in gone])


def _item(record: Mapping[str, object]) -> str:
    """The input of a job; of one whose key is not known, the job."""
    place = [str(record.get(c, "")) for c in ("dataset", "image_id", "object_id", "prompt")]
    return "\t".join(place) if place[1] else str(record["job_id"])


def _is_control(record: Record) -> bool:
    return record.get("is_control", "").lower() in TRUE


def _iou(record: Record) -> float | None:
    try:
        return float(record["iou"])
    except (KeyError, ValueError):
        return None


# --- pictures


def _views(root: Path, record: Record) -> tuple[str, ...]:
    """Names of a job's pictures below `root`, in the order of ALL_VIEWS, each checked."""
    names = tuple(record[v] for v in ALL_VIEWS if record.get(v))
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or path.suffix not in TYPES:
            raise _bad_view(root, name, f"a path below that folder, ending in {', '.join(TYPES)}")
    return names


def _alike(folder: Folder, views: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """For every job, the bytes with which each of its pictures is sent. Raises DataError on one that cannot be."""
    root = os.path.realpath(folder.root)
    inside: dict[str, bool] = {}
    largest: dict[tuple[str, int], int] = {}
    items = [_item(r) if folder.key is not None else "" for r in folder.records]
    for item, names in zip(items, views, strict=True):
        for n, name in enumerate(names):
            path = os.path.join(root, name)
            parent = os.path.dirname(path)
            if parent not in inside:
                inside[parent] = os.path.realpath(parent).startswith(root + os.sep)
            try:
                found = os.lstat(path)
            except (OSError, ValueError) as e:
                raise _bad_view(folder.root, name, "a picture", message_of(e)) from e
            if not inside[parent] or not stat.S_ISREG(found.st_mode):
                raise _bad_view(folder.root, name, "a file below that folder, not a link")
            if not 0 < found.st_size <= _MOST_VIEW:
                raise _bad_view(folder.root, name, "a picture", f"{found.st_size} bytes")
            largest[item, n] = max(largest.get((item, n), 0), found.st_size)
    return [[largest[item, n] for n in range(len(names))] for item, names in zip(items, views, strict=True)]


def _bad_view(root: Path, name: str, expected: str, found: str | None = None) -> DataError:
    remedy = "issue `sambench rate make` again: what is missing is rendered"
    where, found = shown(root / name), found or shown(name)
    return DataError("a picture of a rating job cannot be used", where=where, expected=expected, found=found, remedy=remedy)

"""The lead's side of a study's database: how far everyone is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sambench.rating.database import Database, first, meta, set_meta
from sambench.rating.drivers import Row
from sambench.rating.intake import Planned, plan_of
from sambench.rating.practice import PRACTICE
from sambench.rating.queue import Rater
from sambench.rating.scale import PASSES

_PAUSE_S = 600.0  # longer is a break, not the time that a mask took

@dataclass(frozen=True)
class RaterStand:
    """How far a rater is. n_rated: masks that were rated, controls among them; control_fails of n_control got more than a wrong
    mask should; seconds: median a mask, None if none is known; practice: answers in the right range, of how many.
    """

    rater: Rater
    n_rated: int
    n_unjudged: int
    n_undone: int
    n_control: int
    control_fails: int
    seconds: float | None
    practice: tuple[int, int]


@dataclass(frozen=True)
class DatasetStand:
    """How far a dataset is; '' where the key is not known. n_wanted: ratings that are planned; n_done: how many of those are given;
    n_rated: all that are given, those beyond the plan too; seconds: median a mask.
    """

    dataset: str
    n_jobs: int
    n_wanted: int
    n_done: int
    n_rated: int
    seconds: float | None


@dataclass(frozen=True)
class Overview:
    """How far a study is, and how it is set."""

    planned: Planned
    is_paused: bool
    raters: Sequence[RaterStand]
    datasets: Sequence[DatasetStand]
    n_controls: int

    @property
    def n_wanted(self) -> int:
        return sum(d.n_wanted for d in self.datasets)

    @property
    def n_done(self) -> int:
        return sum(d.n_done for d in self.datasets)


def overview(database: Database) -> Overview:
    """How far a study is, in one state of the database."""
    with database.read() as s:
        raters = [Rater(**row) for row in s.rows("SELECT * FROM raters ORDER BY rater_id")]
        rated = s.rows(
            "SELECT a.rater_id, a.job_id, r.score, r.seconds, j.is_control, j.dataset, j.wanted "
            "FROM ratings r JOIN assignments a ON a.slot = r.slot JOIN jobs j ON j.job_id = a.job_id"
        )
        undone = s.rows("SELECT a.rater_id FROM undone u JOIN assignments a ON a.slot = u.slot")
        practice = s.rows("SELECT rater_id, item, score FROM practice")
        datasets = s.rows("SELECT dataset, COUNT(*) AS n, SUM(wanted) AS wanted FROM jobs WHERE is_control = 0 GROUP BY dataset")
        controls = first(s, "SELECT COUNT(*) AS n FROM jobs WHERE is_control = 1")
        planned, paused = plan_of(s), meta(s, "paused") == "yes"
    parts = [_by_rater(rows) for rows in (rated, undone, practice)]
    by_dataset: dict[str, list[Row]] = {}
    for row in rated:
        if not row["is_control"]:
            by_dataset.setdefault(row["dataset"], []).append(row)
    return Overview(
        planned,
        paused,
        [_rater(r, *(part.get(r.rater_id, []) for part in parts)) for r in raters],
        [_dataset(d, by_dataset.get(d["dataset"], [])) for d in datasets],
        int(controls["n"]) if controls else 0,
    )


def pause(database: Database, wanted: bool) -> None:
    """Stop giving out jobs, or go on. What is on raters' screens can still be answered."""
    with database.write() as s:
        set_meta(s, "paused", "yes" if wanted else "no")


def progress(database: Database) -> tuple[int, int]:
    """(ratings given, ratings planned) of the whole study, controls and what is beyond the plan apart."""
    with database.read() as s:
        row = first(
            s,
            "SELECT COALESCE(SUM(wanted), 0) AS wanted, "
            "COALESCE(SUM(CASE WHEN taken < wanted THEN taken ELSE wanted END), 0) AS taken FROM jobs WHERE is_control = 0",
        )
        held = first(
            s,
            "SELECT COUNT(*) AS n FROM assignments a JOIN jobs j ON j.job_id = a.job_id "
            "WHERE a.is_rated = 0 AND a.released_at IS NULL AND j.is_control = 0",
        )
    assert row is not None
    assert held is not None
    return max(0, int(row["taken"]) - int(held["n"])), int(row["wanted"])


def _dataset(row: Row, rated: Sequence[Row]) -> DatasetStand:
    given = Counter(r["job_id"] for r in rated)
    wanted = {r["job_id"]: int(r["wanted"]) for r in rated}
    done = sum(min(n, wanted[job]) for job, n in given.items())
    return DatasetStand(row["dataset"], int(row["n"]), int(row["wanted"]), done, len(rated), _median(rated))


def _median(rated: Sequence[Row]) -> float | None:
    seconds = [r["seconds"] for r in rated if r["seconds"] is not None and r["seconds"] <= _PAUSE_S]
    return median(seconds) if seconds else None


def _by_rater(rows: Sequence[Row]) -> dict[int, list[Row]]:
    out: dict[int, list[Row]] = {}
    for row in rows:
        out.setdefault(int(row["rater_id"]), []).append(row)
    return out


def _rater(rater: Rater, rated: Sequence[Row], undone: Sequence[Row], practice: Sequence[Row]) -> RaterStand:
    control = [r for r in rated if r["is_control"] and r["score"] is not None]
    answers = [p for p in practice if p["item"] < len(PRACTICE)]
    right = sum(PRACTICE[p["item"]].low <= p["score"] <= PRACTICE[p["item"]].high for p in answers)
    return RaterStand(
        rater,
        sum(r["score"] is not None for r in rated),
        sum(r["score"] is None for r in rated),
        len(undone),
        len(control),
        sum(r["score"] > PASSES for r in control),
        _median(rated),
        (right, len(answers)),
    )

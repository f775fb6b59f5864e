"""Files of ratings, read and checked: every line that cannot be used is named, with what to do about it.

CSV or Parquet. Needed columns: rater, model, dataset, score, and what was rated: `item`, or image_id and object_id. Known beside
them: job_id, prompt, mask_digest, is_control, shown_order, started_at, seconds. Where the raters' file holds job ids alone (as it
does when the jobs were blinded), a key tells the rest: `key.csv` of `sambench rate make`.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.errors import UNPRINTABLE, DataError, near_names
from sambench.files.records import Problems, Record, read_records
from sambench.metrics.ratings import HIGHEST, LOWEST
from sambench.rating.database import is_database
from sambench.rating.drivers import without_password
from sambench.rating.stored import database_records

if TYPE_CHECKING:
    import pandas as pd

GROUND_TRUTH = "ground_truth"
CONTROL = "control"
RATING_COLUMNS = (
    "job_id", "rater", "dataset", "model", "image_id", "object_id", "prompt", "mask_digest", "is_control", "shown_order",
    "started_at", "seconds", "score",
)  # fmt: skip
KEY_COLUMNS = ("dataset", "model", "image_id", "object_id", "prompt", "mask_digest", "is_control", "shown_order")
TRUE, _FALSE = ("1", "true", "yes", "y"), ("", "0", "false", "no", "n")
_TYPO = 0.8  # likeness of a name that stands in few lines with one that stands in many
_RARE = 0.05
_MOST_MODELS = 500  # more are a column of something else
_MOST_TEXT = 1000  # characters of a name


@dataclass(frozen=True)
class Ratings:
    """frame: a rating a row, in file order, with RATING_COLUMNS, `item` (what was rated, by dataset and prompt), `job` (item and
    model) and `line`; score int, seconds float (NaN where not told), is_control bool, everything else text. notes: what was mended
    or left out in reading.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def scored(self) -> pd.DataFrame:
        """Ratings that count in means: no control items."""
        return self.frame[~self.frame["is_control"]]


def read_ratings(path: Path | str, *, key: Path | None = None, models: Sequence[str] = (), allow_missing: bool = False) -> Ratings:
    """Read and check ratings. Raises DataError that names every unusable line (the first 20) with its remedy.

    path: a file, or the database of a study: an SQLite file, or `postgresql://...`. In a database, inputs whose other masks are not
    rated yet are noted rather than refused. key: what the job ids stand for. models: the only ones that may occur (default: the
    key's, else any; a name that looks like a slip of another is refused). allow_missing: inputs that not all of their dataset's
    models were rated on are noted rather than refused. Excel's semicolons, tabs, decimal commas and byte order mark are read, and
    noted.
    """
    place = Path(path)
    if is_database(path):
        records, notes = database_records(path)
        unit, allow_missing, place = "rating", True, Path(without_password(str(path)))
        if key is None and not all(record["model"] for _, record in records):
            raise _blinded(without_password(str(path)))
        models = models or sorted({record["model"] for _, record in records} - {""})  # as the key has them, so none is a slip
    else:
        records, notes, unit = read_records(place, numbers=("score", "seconds"))
    return _checked_ratings(records, notes, Problems(place, unit), key, models, allow_missing)


def ratings_from(records: Iterable[Record]) -> Ratings:
    """As `read_ratings`, of records that are held already; inputs whose other masks are not rated yet are noted."""
    held = list(enumerate(records, 1))
    models = sorted({record["model"] for _, record in held})
    return _checked_ratings(held, [], Problems(Path("ratings"), "rating"), None, models, allow_missing=True)


def _checked_ratings(
    records: list[tuple[int, Record]],
    notes: list[str],
    problems: Problems,
    key: Path | None,
    models: Sequence[str],
    allow_missing: bool,
) -> Ratings:
    path = problems.path
    if key is not None:
        known = read_key(key)
        if "job_id" not in records[0][1]:
            raise DataError(
                "ratings without job ids cannot be joined with a key",
                where=path,
                expected="a column job_id",
                found=", ".join(records[0][1]),
            )
        records = list(_joined(records, known, problems, key))
        models = models or sorted({k["model"] for k in known.values()})
        rated = {r["job_id"] for _, r in records}
        if len(rated) < len(known):
            notes.append(f"{len(known) - len(rated)} of {len(known)} jobs of the key have no rating yet")
    _need_columns(records, path, key)
    rows = [row for line, record in records if (row := _checked(line, record, problems)) is not None]
    _check_models(rows, models, problems)
    _check_jobs(rows, problems)
    problems.raise_if_any("{n} ratings cannot be used")
    missing = _missing_pairs(rows)
    if missing and not allow_missing:
        for line, text in missing:
            problems.add(line, text, "have the missing masks rated, or leave such inputs out with --incomplete")
        problems.raise_if_any("{n} inputs are not rated for all models")
    if missing:
        notes.append(f"{len(missing)} inputs are not rated for all models, and count in no difference of those that they lack")
    return Ratings(_frame(rows), tuple(notes))


def _blinded(place: str) -> DataError:
    return DataError(
        "the database does not say which mask is of which model",
        where=place,
        remedy="give --key FILE (key.csv of `sambench rate make`), or serve the study once with its key",
    )


# --- the key


def read_key(path: Path) -> dict[str, Record]:
    records, _, unit = read_records(path, numbers=("score", "seconds"))
    lacking = [c for c in ("job_id", "model", "dataset") if c not in records[0][1]]
    if lacking:
        raise DataError(
            "that is not a key of rating jobs",
            where=path,
            expected="key.csv as `sambench rate make` writes it",
            found=f"no column {', '.join(lacking)}",
        )
    out: dict[str, Record] = {}
    problems = Problems(path, unit)
    for line, record in records:
        if flaw := _unreadable(record):
            problems.add(line, flaw, "correct it, or remove the line")
            continue
        if record["job_id"] in out:
            problems.add(line, f"job {record['job_id']!r} stands twice in the key", "remove one")
        out[record["job_id"]] = record
    problems.raise_if_any("{n} lines of a key cannot be used")
    return out


def _joined(
    records: Iterable[tuple[int, Record]], key: Mapping[str, Record], problems: Problems, path: Path
) -> Iterator[tuple[int, Record]]:
    """Records with what the key says of their jobs."""
    for line, record in records:
        job = record.get("job_id", "")
        if job not in key:
            known = key if job and not problems.full else ()  # the search is slow, and only the first are shown
            near = difflib.get_close_matches(job, known, n=1, cutoff=_TYPO)
            hint = f"did you mean {near[0]!r}?" if near else "is it from another study?"
            problems.add(line, f"job {job!r} is not in {path.name}" if job else "no job_id", hint if job else "fill it in")
            continue
        told = {c: v for c, v in key[job].items() if c in (*KEY_COLUMNS, "item") and v}
        wrong = [c for c, v in told.items() if c != "shown_order" and record.get(c, v) not in ("", v)]
        if wrong:
            problems.add(
                line,
                f"{wrong[0]} is {record[wrong[0]]!r}, and {told[wrong[0]]!r} for job {job!r} in {path.name}",
                "mend whichever is wrong",
            )
            continue
        yield line, {**record, **told}


# --- rows


def _need_columns(records: Sequence[tuple[int, Record]], path: Path, key: Path | None) -> None:
    if not records:
        return
    have = records[0][1]
    lacking = [c for c in ("rater", "score", "dataset", "model") if c not in have]
    if "item" not in have and not {"image_id", "object_id"} <= have.keys():
        lacking.append("item (or image_id and object_id)")
    if not lacking:
        return
    hints = {c: near_names(c, [h for h in have if h not in RATING_COLUMNS], n=1) for c in lacking}
    near = [f"is {h[0]!r} meant to be {c!r}?" for c, h in hints.items() if h]
    if key is None and "job_id" in have and {"dataset", "model"} & set(lacking):
        near.append("ratings of blinded jobs need --key FILE (key.csv of `sambench rate make`)")
    raise DataError(
        "a file of ratings lacks columns",
        where=path,
        expected=", ".join(lacking),
        found=", ".join(have),
        remedy="; ".join(near) or "add them to the header and to every line",
    )


def _checked(line: int, record: Record, problems: Problems) -> dict[str, Any] | None:
    """A row of the frame, or None with its problem noted."""
    if flaw := _unreadable(record):
        problems.add(line, flaw, "correct it, or remove the line")
        return None
    for name in ("rater", "model", "dataset"):
        if not record[name]:
            problems.add(line, f"no {name}", "fill it in, or remove the line")
            return None
    item = record.get("item") or "/".join(record.get(c, "") for c in ("image_id", "object_id"))
    if item in ("", "/"):
        problems.add(line, "nothing says what was rated", "fill in item, or image_id and object_id")
        return None
    score = _score(line, record["score"], problems)
    seconds = _seconds(line, record.get("seconds", ""), problems)
    control = record.get("is_control", "").lower()
    if control not in (*TRUE, *_FALSE):
        problems.add(line, f"is_control is {record['is_control']!r}", "write true or false")
    if score is None or seconds is None:
        return None
    prompt = record.get("prompt", "")
    row: dict[str, Any] = {c: record.get(c, "") for c in RATING_COLUMNS}
    row |= {"line": line, "item": f"{item} {prompt}".strip(), "score": score, "seconds": seconds, "is_control": control in TRUE}
    return row | {"job": "\t".join((row["dataset"], row["item"], row["model"], row["job_id"] if control in TRUE else ""))}


def _unreadable(record: Record) -> str | None:
    """What no name or number can be: control characters, or a page of text. Other columns may hold anything."""
    for name in (*RATING_COLUMNS, "item"):
        value = record.get(name, "")
        if len(value) > _MOST_TEXT:
            return f"{name} has {len(value)} characters"
        if UNPRINTABLE.search(value) or not {"\t", "\n", "\r"}.isdisjoint(value):
            return f"{name} is {value!r}, with a character that no name has"
    return None


def _number(text: str) -> float:
    """Raises ValueError for what Python alone takes for a number: 1_0, digits of other scripts."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return float(text)


def _score(line: int, text: str, problems: Problems) -> int | None:
    scale = f"a whole number from {LOWEST} to {HIGHEST}"
    try:
        value = _number(text)
    except ValueError:
        what = f"score {text!r} is not a number" if text else "no score"
        problems.add(line, what, f"write {scale}, or remove the line")
        return None
    if not math.isfinite(value) or not LOWEST <= value <= HIGHEST:
        problems.add(line, f"score {text} is outside {LOWEST} to {HIGHEST}", f"write {scale}")
        return None
    if value != int(value):
        problems.add(line, f"score {text} is not a whole number", f"the scale has steps of one: write {scale}")
        return None
    return int(value)


def _seconds(line: int, text: str, problems: Problems) -> float | None:
    try:
        value = _number(text) if text else math.nan
    except ValueError:
        value = -1.0
    if value < 0 or value == math.inf:
        problems.add(line, f"seconds is {text!r}", "write a number from 0 on, or leave it empty")
        return None
    return value


# --- rows together


def _check_models(rows: Sequence[Mapping[str, Any]], allowed: Sequence[str], problems: Problems) -> None:
    counts = Counter(r["model"] for r in rows if not r["is_control"])
    if len(counts) > _MOST_MODELS:
        problems.add(rows[0]["line"], f"{len(counts)} different models", "put the models' names into the column `model`")
        return

    @cache
    def likely_meant(name: str) -> list[str]:
        close = difflib.get_close_matches(name, counts, n=3, cutoff=_TYPO)
        return [m for m in close if counts[name] <= _RARE * counts[m]]

    for row in rows:
        name = row["model"]
        if allowed:
            if name in allowed or (row["is_control"] and name == CONTROL):
                continue
            near = [] if problems.full else near_names(name, allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(allowed)}"
        else:
            likely = [] if row["is_control"] else likely_meant(name)
            if not likely:
                continue
            hint = f"did you mean {likely[0]!r}? If not, name all models with --models"
        problems.add(row["line"], f"unknown model {name!r}", hint)


def _check_jobs(rows: Sequence[Mapping[str, Any]], problems: Problems) -> None:
    """No rater rates a job twice, and a job id stands for one mask."""
    seen: dict[tuple[str, str], int] = {}
    meaning: dict[str, tuple[str, int]] = {}
    for row in rows:
        job = (row["rater"], row["job"])
        if job in seen:
            what = f"rater {row['rater']!r} has rated this job at {problems.unit} {seen[job]} already"
            problems.add(row["line"], what, "keep the one that counts")
        seen.setdefault(job, row["line"])
        if row["job_id"]:
            before, at = meaning.setdefault(row["job_id"], (row["job"], row["line"]))
            if before != row["job"]:
                what = f"job {row['job_id']!r} is another mask at {problems.unit} {at}"
                problems.add(row["line"], what, "give every mask a job id of its own")


def _missing_pairs(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """(first line, what is missing) of inputs that lack a model of their dataset."""
    models: dict[str, list[str]] = {}
    inputs: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        if row["is_control"]:
            continue
        if row["model"] not in models.setdefault(row["dataset"], []):
            models[row["dataset"]].append(row["model"])
        inputs.setdefault((row["dataset"], row["item"]), {}).setdefault(row["model"], row["line"])
    out = []
    for (dataset, item), have in inputs.items():
        lacking = [m for m in models[dataset] if m not in have]
        if lacking:
            text = f"{item!r} of {dataset} is rated for {', '.join(have)}, not for {', '.join(lacking)}"
            out.append((min(have.values()), text))
    return out


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    columns = [*RATING_COLUMNS, "item", "job", "line"]
    return pd.DataFrame([[r[c] for c in columns] for r in rows], columns=columns)

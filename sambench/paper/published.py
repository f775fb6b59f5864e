"""Published numbers, as values of their own kind: never a metric row, and never mixed with measured ones.

They stand in `reports/published.toml`, by table of the paper, in `reports/published_<id>.toml` for what others published later, and
on the cards of models. Fractions are read as fractions whatever the unit in which they are printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sambench import cards, paths
from sambench.errors import CardError, unknown_name
from sambench.layout import is_missing
from sambench.values import short, toml_file

Kind = Literal["published", "digitised", "reproduced"]
_ROW_KEYS = ("method", "model", "baseline", "year", "dataset", "prompt", "group_by", "group", "reason", "remark")
_SCALES = {"percent": 0.01, "fraction": 1.0, "rating": 1.0, "clicks": 1.0, "fps": 1.0}
PAPER, MODELS = "paper", "models"
SPLIT = "split"  # `group_by` of a mean over a part of a suite


class Split(BaseModel):
    """A part of a suite over which a mean was published. of: the suite. members: its datasets, each with why it is taken for one.
    inferred: how the membership was found, where it was not published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: str
    members: dict[str, str]
    inferred: str = ""

    def __hash__(self) -> int:
        return hash((self.of, *self.members))


class PublishedValue(cards.Quantity):
    """One published number, and what is printed beside it.

    table, column: where it stands in the file; name: the table in the literature. model, baseline: ids of cards, empty where there
    is none; with a baseline the value is model minus baseline. value: fractions in [0, 1], ratings and clicks as they are; None
    where only an interval is printed. low, high, level: the printed interval. tolerance: in the value's unit; n_images: of the
    paper's set, None where unknown. reason: why nobody can measure it. headline: a number with which any other model compares
    itself. split: of a mean over a part of a suite, which that is.
    """

    table: str
    column: str
    name: str
    method: str
    value: float | None
    model: str = ""
    baseline: str = ""
    baseline_method: str = ""
    year: int | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    unit: str = "fraction"
    tolerance: float | None = None
    n_images: int | None = None
    reason: str = ""
    headline: bool = False
    split: Split | None = None

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a metric row measures this, of whatever model. A row of groups fits only a value of that group.

        What is None here may be anything in the row; a variant of "" is that of rows without one.
        """
        same: tuple[tuple[Any, Any], ...] = (
            (row["task"], self.task),
            (dataset_of(row), self.dataset),
            (row["metric"], self.metric),
            (_plain(row["group_by"]), self.group_by),
            (_plain(row["group"]), self.group),
        )
        if any(a != b for a, b in same):
            return False
        optional = ("variant", "prompt", "k", "max_dets", "threshold")
        return all(getattr(self, c) is None or _plain(row[c]) == _plain(getattr(self, c)) for c in optional)


class _Selector(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    variant: str | None = None
    k: int | None = None
    max_dets: int | None = None
    threshold: float | None = None
    group_by: str | None = None
    group: str | None = None
    reason: str = ""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    source: str
    kind: Kind = "published"
    task: str
    dataset: str = ""
    prompt: str | None = None
    k: int | None = None
    max_dets: int | None = None
    unit: Literal["percent", "fraction", "rating", "clicks", "fps"]
    tolerance: float | None = None
    level: float | None = None
    n_images: int | None = None
    method: str = ""
    model: str = ""
    baseline: str = ""
    baseline_method: str = ""
    columns: dict[str, _Selector]
    half_widths: dict[str, str] = {}
    reason: str = ""
    remark: str = ""
    rows: tuple[dict[str, Any], ...]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["published"]
    id: str
    title: str
    headline: tuple[str, ...]
    splits: dict[str, Split] = {}
    tables: tuple[_Table, ...]


def dataset_of(row: Mapping[str, Any]) -> str:
    """A metric row's dataset, with its variant unless that is the default; generated copies are none of the paper's sets."""
    variant = _plain(row["dataset_variant"])
    name = str(row["dataset"]) + (f":{variant}" if variant not in (None, "default") else "")
    return f"{name} (generated)" if row.get("subset") == "generated" else name


def published(table: str | None = None, *, path: Path | None = None) -> tuple[PublishedValue, ...]:
    """All values of the paper's file (or that at `path`), or of one of its tables. Raises CardError on a file that does not fit."""
    values = _read(path or _files()[PAPER])
    return values if table is None else tuple(v for v in values if v.table == table)


def on_cards() -> tuple[PublishedValue, ...]:
    """The values on model cards, tables named `card:<id>`."""
    return tuple(_of_card(card, p) for card in cards.model_cards().values() for p in card.published)


def everything() -> tuple[PublishedValue, ...]:
    """The values of the paper's file, then those of the cards that the file does not have."""
    values = published()
    known = {(v.model, v.task, v.dataset, v.metric, v.value) for v in values}
    return values + tuple(v for v in on_cards() if (v.model, v.task, v.dataset, v.metric, v.value) not in known)


def sources() -> tuple[str, ...]:
    """What `of` takes: `paper`, the ids of the other files, and `models`."""
    return (*_files(), MODELS)


def of(what: str) -> tuple[PublishedValue, ...]:
    """`paper` (Segment Anything's) or the id of another file: its values; `models`: those on model cards. Raises UsageError."""
    if what == MODELS:
        return on_cards()
    files = _files()
    if what not in files:
        raise unknown_name("source of published numbers", what, sources())
    return _read(files[what])


def title(what: str = PAPER) -> str:
    """What a file is of."""
    return _load(_files()[what]).title


def splits(what: str) -> dict[str, Split]:
    """The parts of suites that a source's numbers are of, by name."""
    return {} if what == MODELS else _load(_files()[what]).splits


@lru_cache(maxsize=1)
def _files() -> dict[str, Path]:
    """The files of published numbers by id, the paper's first. Raises CardError where two have one id."""
    found: dict[str, Path] = {}
    for path in sorted(paths.packaged("reports").glob("published*.toml")):
        file = _load(path)
        if file.id in found or file.id == MODELS:
            raise CardError(f"two sources of published numbers have the id {file.id!r}", where=path, remedy="rename one")
        found[file.id] = path
    return found


@lru_cache(maxsize=4)
def _load(path: Path) -> _File:
    try:
        return _File.model_validate(toml_file(path, "the file of published numbers", CardError))
    except ValidationError as e:
        first = e.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise CardError(
            f"the published numbers do not fit at {at!r}", where=path, expected=first["msg"], found=short(first["input"])
        ) from e


@lru_cache(maxsize=4)
def _read(path: Path) -> tuple[PublishedValue, ...]:
    file = _load(path)
    return tuple(value for table in file.tables for row in table.rows for value in _values(file, table, row, path))


def _values(file: _File, table: _Table, row: Mapping[str, Any], path: Path) -> Iterator[PublishedValue]:
    known = {*_ROW_KEYS, *table.columns, *table.half_widths.values()}
    unknown = [k for k in row if k not in known]
    if unknown:
        raise CardError(
            f"a row of table {table.id!r} has an unknown key {unknown[0]!r}",
            where=path,
            expected=f"one of {', '.join(sorted(known))}",
            found=repr(row),
        )
    scale = _SCALES[table.unit]
    shared = {k: row[k] for k in ("year", "prompt", "reason", "remark") if k in row}
    shared = {"prompt": table.prompt, "reason": table.reason, "remark": table.remark, **shared}
    for name, selector in table.columns.items():
        if name not in row:
            continue
        if selector.group_by == SPLIT and selector.group not in file.splits:
            raise CardError(f"column {name!r} of table {table.id!r} is of an unknown split", where=path, found=repr(selector.group))
        value, low, high = _number(row[name], scale)
        why = {"reason": selector.reason} if selector.reason and not shared["reason"] else {}
        half = row.get(table.half_widths.get(name, ""))
        if half is not None and value is not None:
            low, high = value - half * scale, value + half * scale
        yield PublishedValue(
            table=table.id,
            column=name,
            name=table.name,
            source=table.source,
            kind=table.kind,
            task=table.task,
            dataset=row.get("dataset", table.dataset),
            metric=selector.metric,
            method=row.get("method", table.method),
            value=value,
            variant=selector.variant,
            k=selector.k if selector.k is not None else table.k,
            max_dets=selector.max_dets if selector.max_dets is not None else table.max_dets,
            threshold=selector.threshold,
            group_by=row.get("group_by", selector.group_by),
            group=row.get("group", selector.group),
            model=row.get("model", table.model),
            baseline=row.get("baseline", table.baseline),
            baseline_method=table.baseline_method,
            low=low,
            high=high,
            level=table.level if low is not None else None,
            unit="fraction" if table.unit == "percent" else table.unit,
            tolerance=None if table.tolerance is None else table.tolerance * scale,
            n_images=table.n_images,
            headline=table.kind == "published" and row.get("method", table.method) in file.headline,
            split=file.splits.get(selector.group or "") if selector.group_by == SPLIT else None,
            **{**shared, **why},
        )


def _number(given: Any, scale: float) -> tuple[float | None, float | None, float | None]:
    """(value, low, high) of a printed number, or of a printed interval alone."""
    if isinstance(given, list):
        return None, float(given[0]) * scale, float(given[1]) * scale
    return float(given) * scale, None, None


def _of_card(card: cards.ModelCard, p: cards.Published) -> PublishedValue:
    return PublishedValue(
        **p.model_dump(),
        table=f"card:{card.id}",
        column=p.metric,
        name=p.source,
        method=card.name,
        model=card.id,
        unit="clicks" if p.metric == "noc" else "fraction",
    )


def _plain(value: Any) -> Any:
    return None if is_missing(value) or value == "" else value


def best_known(values: Iterable[PublishedValue], method: str, column: str) -> PublishedValue | None:
    """The value of a method in a column, or None."""
    return next((v for v in values if v.method == method and v.column == column), None)

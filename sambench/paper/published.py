"""Published numbers, as values of their own kind: never a metric row, and never mixed with measured ones.

They stand in `reports/published.toml`, by table of the paper, and on the cards of models. Fractions are read as fractions
whatever the unit in which they are printed.
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
_SCALES = {"percent": 0.01, "fraction": 1.0, "rating": 1.0, "clicks": 1.0}


class PublishedValue(cards.Quantity):
    """One published number, and what is printed beside it.

    table, column: where it stands in the file; name: the table in the literature. model, baseline: ids of cards, empty where there
    is none; with a baseline the value is model minus baseline. value: fractions in [0, 1], ratings and clicks as they are; None
    where only an interval is printed. low, high, level: the printed interval. tolerance: in the value's unit; n_images: of the
    paper's set, None where unknown. reason: why nobody can measure it.
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

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a metric row measures this, of whatever model. A row of groups fits only a value of that group."""
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
        return all(getattr(self, c) is None or _plain(row[c]) == getattr(self, c) for c in optional)


class _Selector(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    variant: str | None = None
    k: int | None = None
    max_dets: int | None = None
    threshold: float | None = None
    group_by: str | None = None
    group: str | None = None


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
    unit: Literal["percent", "fraction", "rating", "clicks"]
    tolerance: float | None = None
    level: float | None = None
    n_images: int | None = None
    method: str = ""
    model: str = ""
    baseline: str = ""
    baseline_method: str = ""
    columns: dict[str, _Selector]
    half_widths: dict[str, str] = {}
    rows: tuple[dict[str, Any], ...]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["published"]
    title: str
    tables: tuple[_Table, ...]


def dataset_of(row: Mapping[str, Any]) -> str:
    """A metric row's dataset, with its variant unless that is the default; generated copies are none of the paper's sets."""
    variant = _plain(row["dataset_variant"])
    name = str(row["dataset"]) + (f":{variant}" if variant not in (None, "default") else "")
    return f"{name} (generated)" if row.get("subset") == "generated" else name


def published(table: str | None = None, *, path: Path | None = None) -> tuple[PublishedValue, ...]:
    """All values of the file, or of one of its tables. Raises CardError on a file that does not fit."""
    values = _read(path or paths.packaged("reports") / "published.toml")
    return values if table is None else tuple(v for v in values if v.table == table)


def on_cards() -> tuple[PublishedValue, ...]:
    """The values on model cards, tables named `card:<id>`."""
    return tuple(_of_card(card, p) for card in cards.model_cards().values() for p in card.published)


def everything() -> tuple[PublishedValue, ...]:
    """The file's values, then those of the cards that the file does not have."""
    values = published()
    known = {(v.model, v.task, v.dataset, v.metric, v.value) for v in values}
    return values + tuple(v for v in on_cards() if (v.model, v.task, v.dataset, v.metric, v.value) not in known)


def of(what: str) -> tuple[PublishedValue, ...]:
    """`paper`: the file's values; `models`: those on model cards. Raises UsageError on another name."""
    sources = {"paper": published, "models": on_cards}
    if what not in sources:
        raise unknown_name("source of published numbers", what, sources)
    return sources[what]()


def title() -> str:
    """What the file is of."""
    return str(_load(paths.packaged("reports") / "published.toml").title)


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
    return tuple(value for table in _load(path).tables for row in table.rows for value in _values(table, row, path))


def _values(table: _Table, row: Mapping[str, Any], path: Path) -> Iterator[PublishedValue]:
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
    shared = {"prompt": table.prompt, **shared}
    for name, selector in table.columns.items():
        if name not in row:
            continue
        value, low, high = _number(row[name], scale)
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
            **shared,
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

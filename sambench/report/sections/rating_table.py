"""Table 8: differences of mean ratings with their intervals and tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sambench.errors import UsageError
from sambench.layout import Column, Row, Table, Value
from sambench.paper.published import PublishedValue, published
from sambench.report.definitions import Definition
from sambench.report.document import Section
from sambench.report.inputs import (
    Inputs,
    shown_name,
)
from sambench.report.rated import NO_RATINGS, notes_on, ratings_of
from sambench.results.names import name_of

NOT_RATED = "not among the ratings given"


def rating_table(definition: Definition, inputs: Inputs) -> Section:
    """Table 8: the difference of mean ratings with its 99 % interval and p-value. options: published (a table of published.toml),
    model, baseline, single_output (names in the ratings; --rated gives others)."""
    options = definition.options
    model, *others = inputs.rated or (options["model"], options["baseline"], options["single_output"])
    values = published(options["published"])
    variants = ("baseline", "single_output")
    measured, absent = {}, [] if inputs.ratings else [f"Not measured: {NO_RATINGS}."]
    for variant, other in zip(variants, others, strict=False):
        if inputs.ratings:
            measured[variant], why = _differences(inputs, model, other)
            absent += [f"{model} over {other}: {why}."] if why else []
    columns = [Column("dataset", "dataset")]
    for variant, label in zip(variants, ("the baseline", "the single output"), strict=True):
        columns.append(Column(f"published:{variant}", "99 % CI", "signed_interval", group=f"SAM over {label}, published"))
        columns.append(Column(f"published:{variant}_p", "p", "small_p", group=f"SAM over {label}, published"))
    for variant, other in zip(variants, others, strict=False):
        if measured.get(variant):
            group = f"{name_of(model)} over {name_of(other)}"
            columns.append(Column(f"{variant}:difference", "difference", "signed", group=group))
            columns.append(Column(f"{variant}:ci", "99 % CI", "signed_interval", group=group))
            columns.append(Column(f"{variant}:p", "p", "small_p", group=group))
    datasets = dict.fromkeys([v.dataset for v in values] + [d for by in measured.values() for d in by])
    rows = [_row(d, [v for v in values if v.dataset == d], measured) for d in datasets]
    notes = [
        "p: paired t-test, one-sided in the direction that the first is rated higher.",
        *(notes_on(inputs) if inputs.ratings else ()),
    ]
    table = Table(definition.title, tuple(columns), tuple(rows), tuple(notes), id=definition.id)
    return definition.filled(tables=(table,), absent=tuple(absent))


def _row(dataset: str, held: Sequence[PublishedValue], measured: dict[str, dict[str, Any]]) -> Row:
    row: dict[str, Value | str | None] = {"dataset": shown_name(dataset)}
    for variant in ("baseline", "single_output"):
        spans = [(v.low, v.high) for v in held if v.metric == "rating_difference" and v.variant == variant]
        ps = [v.value for v in held if v.metric == "p_value" and v.variant == variant]
        row[f"published:{variant}"] = Value(spans[0] if spans else None, reason="not published")
        row[f"published:{variant}_p"] = Value(ps[0] if ps else None, reason="not published")
        found = measured.get(variant, {}).get(dataset)
        gap = Value(reason=NOT_RATED)
        row[f"{variant}:difference"] = Value(found.mean_a - found.mean_b, detail=f"{found.n} inputs") if found else gap
        row[f"{variant}:ci"] = Value((found.low, found.high)) if found else gap
        row[f"{variant}:p"] = Value(found.tests.t.p_greater) if found else gap
    return Row(row, "measured" if any(dataset in by for by in measured.values()) else "published")


def _differences(inputs: Inputs, a: str, b: str) -> tuple[dict[str, Any], str]:
    """`metrics.ratings.RatingDifference` by dataset over all files, or why there is none."""
    from sambench.rating.tables import differences

    out: dict[str, Any] = {}
    why = ""
    for ratings in ratings_of(inputs):
        try:
            out |= {dataset: pair for dataset, (pair, _) in differences(ratings, a, b).items()}
        except UsageError as e:
            known = sorted(set(ratings.scored["model"]))
            why = f"{e.message} (rated: {', '.join(known)}; --rated names others)"
    return out, "" if out else why


SECTION = rating_table

"""Figure 9a: the difference of every model to a baseline at one click, by dataset."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sambench.layout import style
from sambench.paper.evidence import Entry, System, paired
from sambench.paper.published import PublishedValue, published
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import (
    Inputs,
    runs_of,
    shown_name,
)
from sambench.report.suite_curves import Systems

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MAX_PICTURES = 6


@dataclass(frozen=True)
class Bar:
    """One dataset's difference, in points; published: the paper's own, for SAM minus its baseline."""

    dataset: str
    difference: float
    low: float
    high: float
    n: int
    partial: bool
    overlap: bool
    published: float | None


def differences(definition: Definition, inputs: Inputs) -> Section:
    """Figure 9a: for every model its difference to the baseline at one click, by dataset, sorted; the paper's own beside it."""
    systems: Systems = inputs.point("center")
    baseline = inputs.baseline or definition.options.get("baseline", "")
    values = {v.dataset: v for v in published(definition.options.get("published", "suite"))}
    its_name, base = next(((s.name, by) for s, by in systems.items() if s.model == baseline), (baseline, None))
    absent: list[str] = []
    if base is None:
        have = ", ".join(dict.fromkeys(s.model for s in systems)) or "none"
        absent.append(
            f"Not measured: no run of the baseline {baseline} is among those given (there are: {have}; --baseline chooses one)."
        )
    drawn: list[tuple[System, list[Bar], tuple[str, ...]]] = []
    for system, by in systems.items():
        if base is None or system.model == baseline or len(drawn) >= MAX_PICTURES:
            continue
        bars, why = _bars(by, base, inputs, values if baseline == next(iter(values.values())).baseline else {})
        absent += why
        if bars:
            drawn.append((system, bars, runs_of([*by.values(), *base.values()])))
    span = _span([bar for _, bars, _ in drawn for bar in bars])
    pictures = [_bar_picture(definition.id, system, its_name, bars, span, runs) for system, bars, runs in drawn]
    others = [s for s in systems if base is not None and s.model != baseline]
    if len(others) > MAX_PICTURES:
        names = ", ".join(s.name for s in others[MAX_PICTURES:])
        absent.append(f"Not drawn, for there are more than {MAX_PICTURES} models: {names}. Name fewer runs for their figures.")
    pictures.append(_published_picture(definition, list(values.values())))
    return definition.filled(pictures=tuple(pictures), absent=tuple(absent))


def _bars(
    by: Mapping[str, Entry], base: Mapping[str, Entry], inputs: Inputs, values: Mapping[str, PublishedValue]
) -> tuple[list[Bar], list[str]]:
    bars, why = [], []
    for dataset, entry in by.items():
        if dataset not in base:
            continue
        found, reason = paired(entry, base[dataset], k=1, bootstrap=inputs.bootstrap)
        if found is None:
            why.append(f"{dataset}: {reason}")
            continue
        partial = bool(entry.partial or base[dataset].partial)
        paper = values.get(dataset)
        target = 100 * paper.value if paper and paper.value is not None else None
        numbers = (100 * found.mean, 100 * found.low, 100 * found.high, found.n)
        bars.append(Bar(dataset, *numbers, partial, entry.overlaps, target))
    return sorted(bars, key=lambda b: -b.difference), why


def _ends(bar: Bar) -> list[float]:
    """All that is drawn of a bar, on its axis."""
    return [0.0, bar.difference, *(v for v in (bar.low, bar.high, bar.published) if v is not None and not math.isnan(v))]


def _span(bars: Sequence[Bar]) -> tuple[float, float]:
    """The range that holds all bars with their numbers: the same in every picture of a figure, so that lengths compare."""
    ends = [end for bar in bars for end in _ends(bar)]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    room = 0.17 * ((high - low) or 1.0)
    return low - room, high + room


def _bar_picture(
    ident: str, system: System, baseline: str, bars: Sequence[Bar], span: tuple[float, float], runs: tuple[str, ...]
) -> Picture:
    n_up = sum(b.difference > 0 for b in bars)
    title = f"{system.name} minus {baseline}: mIoU at one centre click, by dataset ({n_up} of {len(bars)} above zero)"
    notes = []
    if any(b.partial for b in bars):
        notes.append("‡ PARTIAL: a part of the set on either side.")
    if any(b.overlap for b in bars):
        notes.append("† the model was trained on data that overlaps this dataset.")
    notes.append("Bars: mean difference over the objects that both measured; lines: 95 % interval, bootstrap over images.")
    if any(b.published is not None for b in bars):
        notes.append("Diamonds: published.")
    return Picture(
        f"{ident}_{_slug(system.label)}",
        title,
        f"Bar chart of {len(bars)} differences in mIoU, from {bars[0].difference:+.1f} to {bars[-1].difference:+.1f} points",
        lambda figure: _draw_bars(figure, bars, f"{system.name} − {baseline}, mIoU points", span),
        ("dataset", "difference", "ci_low", "ci_high", "n_objects", "partial", "overlap", "published"),
        tuple((b.dataset, b.difference, b.low, b.high, b.n, b.partial, b.overlap, b.published) for b in bars),
        (4.7, 1.0 + 0.21 * len(bars)),
        tuple(notes),
        runs,
    )


def _published_picture(definition: Definition, values: Sequence[PublishedValue]) -> Picture:
    first = values[0]
    bars = [Bar(v.dataset, 100 * (v.value or 0.0), math.nan, math.nan, 0, False, False, None) for v in values]
    label = f"{first.method} − {first.baseline_method}"
    return Picture(
        f"{definition.id}_published",
        f"{label}: mIoU at one centre click, as published",
        f"Bar chart of the {len(bars)} published differences in mIoU",
        lambda figure: _draw_bars(figure, bars, f"{label}, mIoU points", _span(bars), published=True),
        ("dataset", "difference", "source_kind", "source"),
        tuple((b.dataset, b.difference, first.kind, first.source) for b in bars),
        (4.7, 1.0 + 0.21 * len(bars)),
        ("Published numbers, none of them measured here: hatched.",),
        published=True,
    )


def _draw_bars(figure: Figure, bars: Sequence[Bar], label: str, span: tuple[float, float], *, published: bool = False) -> None:
    axes = figure.add_subplot()
    y = np.arange(len(bars))[::-1]
    for at, bar in zip(y, bars, strict=True):
        up = bar.difference >= 0
        shade = style.colour(0 if up else 1)
        if published:
            axes.barh(at, bar.difference, 0.66, facecolor="white", edgecolor=shade, hatch="/////", linewidth=0.7)
        else:
            axes.barh(at, bar.difference, 0.66, color=shade, alpha=0.45 if bar.partial else 0.9)
        if not math.isnan(bar.low):
            axes.plot([bar.low, bar.high], [at, at], color=style.INK, lw=0.9, solid_capstyle="butt")
        if bar.published is not None:
            axes.plot(bar.published, at, "D", ms=4, mfc="white", mec=style.INK, mew=0.9, zorder=5)
        far = max(_ends(bar)) if up else min(_ends(bar))
        away = 8 if far == bar.published else 4  # a diamond reaches to both sides
        axes.annotate(
            f"{bar.difference:+.1f}".replace("-", "−"), (far, at), (away if up else -away, 0), textcoords="offset points",
            ha="left" if up else "right", va="center", fontsize=8,
        )  # fmt: skip
    marks = ["‡" * b.partial + "†" * b.overlap for b in bars]
    axes.set_yticks(y, [f"{shown_name(b.dataset)} {m}".strip() for b, m in zip(bars, marks, strict=True)])
    axes.axvline(0, color=style.INK, lw=0.8)
    axes.set(xlabel=label, xlim=span, ylim=(-0.7, len(bars) - 0.3))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    if any(b.published is not None for b in bars):
        axes.plot([], [], "D", ms=4, mfc="white", mec=style.INK, mew=0.9, label="published")
        style.legend_above(axes)


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text).strip("_").lower()


SECTION = differences

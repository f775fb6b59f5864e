"""Figures of the point task: differences by dataset (9a), mIoU over clicks (9c, 9d), a series of checkpoints (13)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.metrics.bootstrap import resampled_means
from sambench.paper.evidence import Entry, System, paired
from sambench.paper.published import PublishedValue, published
from sambench.report import style
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import Inputs, runs_of, shown_name
from sambench.results.image_sets import labelled, set_names
from sambench.tasks.summary import Bootstrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Systems = Mapping[System, Mapping[str, Entry]]
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
    base = next((by for s, by in systems.items() if s.model == baseline), None)
    absent: list[str] = []
    pictures: list[Picture] = []
    if base is None:
        have = ", ".join(dict.fromkeys(s.model for s in systems)) or "none"
        absent.append(
            f"Not measured: no run of the baseline {baseline} is among those given (there are: {have}; --baseline chooses one)."
        )
    for system, by in systems.items():
        if base is None or system.model == baseline or len(pictures) >= MAX_PICTURES:
            continue
        bars, why = _bars(by, base, inputs, values if baseline == next(iter(values.values())).baseline else {})
        absent += why
        if bars:
            pictures.append(_bar_picture(definition.id, system, baseline, bars, runs_of([*by.values(), *base.values()])))
    others = [s for s in systems if base is not None and s.model != baseline]
    if len(others) > MAX_PICTURES:
        names = ", ".join(s.label for s in others[MAX_PICTURES:])
        absent.append(f"Not drawn, for there are more than {MAX_PICTURES} models: {names}. Name fewer runs for their figures.")
    pictures.append(_published_picture(definition, list(values.values())))
    return Section(definition.id, definition.title, definition.source, definition.text, (), tuple(pictures), tuple(absent))


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


def _bar_picture(ident: str, system: System, baseline: str, bars: Sequence[Bar], runs: tuple[str, ...]) -> Picture:
    n_up = sum(b.difference > 0 for b in bars)
    title = f"{system.label} minus {baseline}: mIoU at one centre click, by dataset ({n_up} of {len(bars)} above zero)"
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
        lambda figure: _draw_bars(figure, bars, f"{system.label} − {baseline}, mIoU points"),
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
        lambda figure: _draw_bars(figure, bars, f"{label}, mIoU points", published=True),
        ("dataset", "difference", "source_kind", "source"),
        tuple((b.dataset, b.difference, first.kind, first.source) for b in bars),
        (4.7, 1.0 + 0.21 * len(bars)),
        ("Published numbers, none of them measured here: hatched.",),
    )


def _draw_bars(figure: Figure, bars: Sequence[Bar], label: str, *, published: bool = False) -> None:
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
        ends = [0.0, bar.difference, *(v for v in (bar.low, bar.high, bar.published) if v is not None and not math.isnan(v))]
        far = max(ends) if up else min(ends)
        axes.annotate(
            f"{bar.difference:+.1f}".replace("-", "−"), (far, at), (4 if up else -4, 0), textcoords="offset points",
            ha="left" if up else "right", va="center", fontsize=8,
        )  # fmt: skip
    marks = ["‡" * b.partial + "†" * b.overlap for b in bars]
    axes.set_yticks(y, [f"{shown_name(b.dataset)} {m}".strip() for b, m in zip(bars, marks, strict=True)])
    axes.axvline(0, color=style.INK, lw=0.8)
    axes.set(xlabel=label, ylim=(-0.7, len(bars) - 0.3))
    axes.margins(x=0.17)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def clicks(definition: Definition, inputs: Inputs) -> Section:
    """Figures 9c and 9d: mIoU over the number of clicks. options: prompt (center or random)."""
    prompt = definition.options["prompt"]
    systems: Systems = inputs.point(prompt)
    measured = {s: by for s, by in systems.items() if any(e.row("miou", variant="top") for e in by.values())}
    if not measured:
        absent = inputs.none("point", f"the point task with {prompt} clicks")
        return Section(definition.id, definition.title, definition.source, definition.text, absent=(absent,))
    datasets, note = _common(measured, inputs)
    if not datasets:
        return Section(definition.id, definition.title, definition.source, definition.text, absent=(note,))
    entries = [[by[d] for d in datasets] for by in measured.values()]
    lines = [(label, *_curve(of, inputs.bootstrap)) for label, of in zip(_labels(entries, measured), entries, strict=True)]
    header = ("model", "clicks", "variant", "miou", "ci_low", "ci_high", "n_datasets")
    rows = [
        (label, k, variant, *(100 * v for v in value), len(datasets))
        for label, top, oracle in lines
        for variant, curve in (("top", top), ("oracle", oracle))
        for k, value in curve.items()
    ]
    picture = Picture(
        definition.id,
        f"mIoU over the number of clicks, first click {'in the centre' if prompt == 'center' else 'at random'}",
        f"Line chart of mIoU over clicks for {', '.join(s.label for s in measured)}",
        lambda figure: _draw_curves(figure, lines),
        header,
        tuple(rows),
        (4.7, 3.5),
        (
            note,
            "Lines: the mask that the model ranks first, bands the 95 % interval. Hollow marks: the best of its masks (oracle).",
        ),
        runs_of(e for of in entries for e in of),
    )
    return Section(definition.id, definition.title, definition.source, definition.text, (), (picture,))


def _common(systems: Systems, inputs: Inputs) -> tuple[list[str], str]:
    """The datasets that every system has complete: of the suite, else of any, else partial ones; and what must be said of them."""
    shared = [d for d in next(iter(systems.values())) if all(d in by for by in systems.values())]
    if not shared:
        return [], "No dataset was measured by all models of the runs given: their curves would not be of the same objects."
    whole = [d for d in shared if not any(by[d].partial for by in systems.values())]
    members = [m for m in inputs.members if m in whole]
    n = len(inputs.members)
    if len(members) == n:
        return members, f"Mean over the {n} datasets of {inputs.suite.id}."
    names = ", ".join(members or whole or shared)
    if members:
        return (
            members,
            f"Mean over {len(members)} of the {n} datasets of {inputs.suite.id}, not comparable with the suite's: {names}.",
        )
    if whole:
        return whole, f"Mean over datasets outside of {inputs.suite.id}: {names}."
    return shared, f"PARTIAL: mean over parts of {names}."


def _labels(entries: Sequence[Sequence[Entry]], systems: Systems) -> list[str]:
    """What stands beside each system's line; which images it is of too, where they are not the same for all."""
    names = set_names([[e.cell for e in of] for of in entries])
    return [labelled(s.label, name) for s, name in zip(systems, names, strict=True)]


Curve = dict[int, tuple[float, float, float]]


def _curve(entries: Sequence[Entry], bootstrap: Bootstrap) -> tuple[Curve, Curve]:
    """(mIoU, low, high) by click count, of the top mask and of the oracle: means over datasets, clusters resampled within each."""
    sums: dict[tuple[str, int], Any] = {}
    means: dict[tuple[str, int], list[float]] = {}
    for i, entry in enumerate(entries):
        frame = entry.cell.scored(["k", "iou_top", "iou_oracle", "n_candidates", "cluster_id"])
        for k, rows in frame.groupby("k", sort=True):
            count = int(str(k))
            columns = ["iou_top", "iou_oracle"] if (rows["n_candidates"] > 1).any() else ["iou_top"]
            values = rows[columns].to_numpy(np.float64)
            clusters = rows["cluster_id"].to_numpy()
            drawn = resampled_means(values, clusters, n_resamples=bootstrap.n_resamples, seed=[bootstrap.seed, i])
            known = len(set(clusters)) > 1
            for j, name in enumerate(columns):
                key = (name, count)
                sums[key] = sums.get(key, 0.0) + (drawn[:, j] if known else np.full(len(drawn), np.nan))
                means.setdefault(key, []).append(math.fsum(values[:, j]) / len(values))
    out: dict[str, Curve] = {"iou_top": {}, "iou_oracle": {}}
    tails = [(1 - bootstrap.level) / 2, (1 + bootstrap.level) / 2]
    for (name, count), held in means.items():
        if len(held) == len(entries):
            low, high = np.quantile(sums[name, count] / len(entries), tails)
            out[name][count] = (math.fsum(held) / len(held), float(low), float(high))
    return out["iou_top"], out["iou_oracle"]


def _draw_curves(figure: Figure, lines: Sequence[tuple[str, Curve, Curve]]) -> None:
    axes = figure.add_subplot()
    counts = sorted({k for _, top, _ in lines for k in top})
    for i, (label, top, oracle) in enumerate(lines):
        ks = sorted(top)
        x = [counts.index(k) for k in ks]
        axes.fill_between(x, [100 * top[k][1] for k in ks], [100 * top[k][2] for k in ks], color=style.colour(i), alpha=0.13, lw=0)
        axes.plot(x, [100 * top[k][0] for k in ks], **style.series(i), label=label, zorder=3)
        hollow: dict[str, Any] = {"mfc": "white", "mec": style.colour(i), "mew": 1.3, "zorder": 4}
        points = [(counts.index(k), 100 * v[0]) for k, v in oracle.items() if k in counts]
        axes.plot(*zip(*points, strict=True), style.MARKERS[i % len(style.MARKERS)], **hollow) if points else None
    axes.set_xticks(range(len(counts)), [str(k) for k in counts])
    axes.set(xlabel="clicks", ylabel="mIoU, percent", xlim=(-0.25, len(counts) - 0.75))
    axes.grid(axis="y")
    style.legend_above(axes)


def checkpoints(definition: Definition, inputs: Inputs) -> Section:
    """Figure 13: a series of checkpoints, mean mIoU at one click with the oracle. options: series (model ids, in order)."""
    series = inputs.series or tuple(definition.options.get("series", ()))
    systems: Systems = inputs.point("center")
    found = {s: by for name in series for s, by in systems.items() if s.model == name}
    if len(found) < 2:
        have = ", ".join(s.model for s in systems) or "none"
        absent = (
            f"Not measured: fewer than two of the series {', '.join(series)} are among the runs given "
            f"(there are: {have}; --series names others, in order)."
        )
        return Section(definition.id, definition.title, definition.source, definition.text, absent=(absent,))
    datasets, note = _common(found, inputs)
    if not datasets:
        return Section(definition.id, definition.title, definition.source, definition.text, absent=(note,))
    points = []
    for label, by in zip(_labels([[by[d] for d in datasets] for by in found.values()], found), found.values(), strict=True):
        top, oracle = _curve([by[d] for d in datasets], inputs.bootstrap)
        points.append((label, top.get(1), oracle.get(1)))
    rows = tuple(
        (label, variant, *(100 * v for v in value), len(datasets))
        for label, top, oracle in points
        for variant, value in (("top", top), ("oracle", oracle))
        if value is not None
    )
    picture = Picture(
        definition.id,
        "mIoU at one centre click over a series of checkpoints",
        f"Chart of mIoU for {', '.join(s.label for s in found)}",
        lambda figure: _draw_series(figure, points),
        ("model", "variant", "miou", "ci_low", "ci_high", "n_datasets"),
        rows,
        (4.7, 3.3),
        (note,),
        runs_of(by[d] for by in found.values() for d in datasets),
    )
    return Section(definition.id, definition.title, definition.source, definition.text, (), (picture,))


def _draw_series(figure: Figure, points: Sequence[tuple[str, Any, Any]]) -> None:
    axes = figure.add_subplot()
    for i, (kind, at) in enumerate((("the model's own choice", 1), ("best of its masks (oracle)", 2))):
        if all(p[at] is None for p in points):
            continue
        x = np.arange(len(points))
        mean, low, high = (np.array([100 * p[at][j] if p[at] is not None else np.nan for p in points]) for j in range(3))
        fill = {} if i == 0 else {"mfc": "white", "mew": 1.3, "linestyle": "--"}
        axes.errorbar(x, mean, [mean - low, high - mean], **(style.series(i) | fill), label=kind, capsize=0, elinewidth=0.9)
    axes.set_xticks(range(len(points)), [p[0].replace(" (", "\n(") for p in points])
    axes.set(ylabel="mIoU, percent", xlim=(-0.4, len(points) - 0.6))
    axes.grid(axis="y")
    style.legend_above(axes)


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text).strip("_").lower()

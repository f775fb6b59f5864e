"""Pictures of concept runs, from stored rows: cgF1 by its two parts, with people where several drew, and the calibration of
scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.files.writing import write_aside, write_csv
from sambench.layout import style
from sambench.metrics.concepts import BINS, Reliability
from sambench.results.image_sets import labelled, set_names
from sambench.results.names import line_names
from sambench.results.rescore import rescore
from sambench.store.views import CellView
from sambench.tasks.concept_scores import PEOPLE, calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ISO = tuple(k / 10 for k in range(1, 10))
_COLUMNS = ["image_id", "object_id", "category", "exhaustive", "n_truth", "scores", "ious"]


def write_parts(cells: Sequence[CellView], folder: Path) -> list[Path]:
    """cgf1_parts.png, pmF1 over IL_MCC with lines of equal cgF1, and cgf1_parts.csv. Returns both paths."""
    found = _parts(cells)
    png = write_aside(folder / "cgf1_parts.png", lambda path: _draw_parts(found, path))
    header = ("model", "run", "dataset", "pmf1", "il_mcc", "cgf1", "cgf1_low", "cgf1_high")
    return [png, write_csv(folder / "cgf1_parts.csv", header, [row for _, row in found])]


def _parts(cells: Sequence[CellView]) -> list[tuple[str, tuple[Any, ...]]]:
    """(name, row) of each cell that has the numbers, and of the people of each dataset."""
    ours, people = [], dict[str, tuple[str, tuple[Any, ...]]]()
    for cell, images, name in zip(cells, set_names([[c] for c in cells]), line_names(cells), strict=True):
        found = {
            (r["metric"], r["variant"]): r for r in rescore(cell) if r.get("threshold") is None and not r.get("group_by")
        }
        partial = ", PARTIAL" if cell.partial_reasons() else ""
        for variant, label in (("", f"{labelled(cell.label, images)}{partial}"), (PEOPLE, PEOPLE)):
            if ("cgf1", variant) not in found:
                continue
            parts = [found[m, variant]["value"] for m in ("pmf1", "il_mcc", "cgf1")]
            interval = [found["cgf1", variant].get(c) for c in ("ci_low", "ci_high")]
            row = (label, cell.run_name if not variant else "", cell.dataset, *parts, *interval)
            if variant:
                people.setdefault(cell.dataset, (PEOPLE, row))
            else:
                ours.append((name, row))
    return [*ours, *people.values()]


def _draw_parts(found: Sequence[tuple[str, tuple[Any, ...]]], path: Path) -> None:
    from matplotlib.figure import Figure

    with style.styled():
        figure = Figure(figsize=(6.0, 5.8), layout="constrained")
        axes = figure.add_subplot()
        x = np.linspace(0.01, 1, 200)
        for value in ISO:
            axes.plot(x, value / x, color="#d9d9d9", lw=0.8, zorder=0)
            axes.text(1.01, value, f"{100 * value:.0f}", color="#8c8c8c", fontsize=7.5, va="center", clip_on=False)
        for i, (label, (_, _, _, pmf1, mcc, cgf1, *_rest)) in enumerate(found):
            marker, colour = ("*", style.INK) if label == PEOPLE else ("o", style.colour(i))
            axes.plot([mcc], [pmf1], marker, ms=11 if label == PEOPLE else 8, color=colour, label=f"{label}: cgF1 {100 * cgf1:.1f}")
        low = min([0.0, *(r[4] - 0.05 for _, r in found)])
        axes.set(xlim=(low, 1), ylim=(0, 1), xlabel="IL_MCC: is it there at all", ylabel="pmF1: all instances, where it is")
        axes.plot([], [], color="#d9d9d9", label="grey lines: equal cgF1")
        axes.set_title(", ".join(dict.fromkeys(str(r[2]) for _, r in found)))
        figure.legend(loc="outside lower left", alignment="left")
        path.write_bytes(style.saved(figure, "png", dpi=160))


def write_reliability(cells: Sequence[CellView], folder: Path) -> list[Path]:
    """reliability.png, the share of masks that are right over their score, and reliability.csv, a row a bin. Returns both paths."""
    found = [(cell, calibration(cell.scored(_COLUMNS))) for cell in cells]
    png = write_aside(folder / "reliability.png", lambda path: _draw_reliability(found, path))
    header = ("model", "run", "dataset", "score_from", "score_to", "masks", "mean_score", "share_right", "ece")
    rows = [
        (cell.label, cell.run_name, cell.dataset, b / BINS, (b + 1) / BINS, int(r.n[b]), *_known(r, b), r.ece)
        for cell, r in found
        for b in range(BINS)
    ]
    return [png, write_csv(folder / "reliability.csv", header, rows)]


def _known(found: Reliability, b: int) -> tuple[float | str, float | str]:
    return (float(found.mean_score[b]), float(found.share_right[b])) if found.n[b] else ("", "")


def _draw_reliability(found: Sequence[tuple[CellView, Reliability]], path: Path) -> None:
    from matplotlib.figure import Figure

    with style.styled():
        figure = Figure(figsize=(6.0, 6.6), layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        above.plot([0, 1], [0, 1], color="#8c8c8c", lw=0.8, label="scores that are the share of masks that are right")
        for i, ((_, r), name) in enumerate(zip(found, line_names([c for c, _ in found]), strict=True)):
            has = r.n > 0
            label = f"{name}: " + ("no masks" if np.isnan(r.ece) else f"ECE {100 * r.ece:.1f}")
            above.plot(r.mean_score[has], r.share_right[has], "o-", color=style.colour(i), label=label)
            _counts(below, r, i, len(found))
        above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share right (IoU .5)")
        below.set(xlabel="score", ylabel="masks")
        above.set_title(", ".join(dict.fromkeys(c.dataset for c, _ in found)))
        figure.legend(loc="outside lower left", alignment="left")
        path.write_bytes(style.saved(figure, "png", dpi=160))


def _counts(axes: Axes, found: Reliability, i: int, n: int) -> None:
    width = 0.9 / BINS / n
    left = np.arange(BINS) / BINS + 0.05 / BINS + i * width
    axes.bar(left, found.n, width, align="edge", color=style.colour(i))

"""A watch to look at: the table of its checkpoints, and the score over steps with intervals (as figure 13, of one's own series)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.files.writing import write_bytes, write_csv
from sambench.layout import Column, Row, Table, Value, style
from sambench.watch.ledger import Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER = ("step", "file", "score", "ci_low", "ci_high", "against", "worse", "error")


@dataclass(frozen=True)
class Band:
    """The reference: its score with its interval, drawn across."""

    name: str
    score: float
    low: float | None
    high: float | None


def table(entries: Sequence[Entry], metric: str) -> Table:
    """A row a checkpoint and dataset of its comparison; without a reference a row a checkpoint."""
    compared = any(e.datasets for e in entries)
    columns = (
        Column("step", "step", "text"),
        Column("file", "checkpoint"),
        Column("score", metric, "percent"),
        Column("ci", "95 % CI", "interval"),
        Column("dataset", "dataset", hidden=not compared),
        Column("difference", "difference", "points", hidden=not compared),
        Column("difference_ci", "95 % CI of it", "points_interval", hidden=not compared),
        Column("p", "p", "p", hidden=not compared),
        Column("against", "to", hidden=not compared),
        Column("verdict", "verdict", hidden=not compared and not any(e.error for e in entries)),
    )
    rows = []
    for e in entries:
        score = Value(e.score, reason=e.error, partial="; ".join(e.warnings) if e.score is not None else "")
        first: dict[str, Any] = {"step": "–" if e.step is None else str(e.step), "file": e.file, "verdict": e.verdict}
        first |= {"score": score, "ci": (e.low, e.high)}
        for i, d in enumerate(e.datasets or (None,)):
            found = {} if d is None else {
                "dataset": d.dataset, "difference": d.difference, "difference_ci": (d.low, d.high), "p": d.p, "against": e.against,
            }  # fmt: skip
            rows.append(Row({**(first if i == 0 else {"step": "", "file": ""}), **found}))
    return Table("checkpoints", columns, tuple(rows), id="watch")


def write(entries: Sequence[Entry], metric: str, band: Band | None, folder: Path) -> list[Path]:
    """`curve.png` and its data, `curve.csv`. Raises RunError where they cannot be written."""
    rows = [[e.step, e.file, e.score, e.low, e.high, e.against, e.worse, e.error] for e in entries]
    data = write_csv(folder / "curve.csv", HEADER, [["" if v is None else v for v in row] for row in rows])
    scored = [e for e in entries if e.score is not None]
    if not scored:
        return [data]
    drawing = _Drawing(scored, metric, band)
    write_bytes(folder / "curve.png", style.render(drawing, ["png"])["png"])
    return [folder / "curve.png", data]


class _Drawing:
    def __init__(self, entries: Sequence[Entry], metric: str, band: Band | None) -> None:
        self.entries, self.metric, self.band = entries, metric, band
        self.size_in = (6.0, 3.4)

    def draw(self, figure: Figure) -> None:
        axes = figure.add_subplot()
        numbered = all(e.step is not None for e in self.entries)
        at = [float(e.step or 0) if numbered else float(i) for i, e in enumerate(self.entries)]
        if self.band is not None:
            name, score, low, high = self.band.name, self.band.score, self.band.low, self.band.high
            axes.axhline(100 * score, color=style.FAINT, linewidth=1, linestyle="--", label=f"reference: {name}")
            if low is not None and high is not None:
                axes.axhspan(100 * low, 100 * high, color=style.GRID, zorder=0)
        scores = [100 * (e.score or 0.0) for e in self.entries]
        below = [s - 100 * e.low if e.low is not None else 0.0 for s, e in zip(scores, self.entries, strict=True)]
        above = [100 * e.high - s if e.high is not None else 0.0 for s, e in zip(scores, self.entries, strict=True)]
        axes.errorbar(at, scores, [below, above], **style.series(0), label="checkpoints", capsize=0, elinewidth=0.9)
        worse = [i for i, e in enumerate(self.entries) if e.worse]
        if worse:
            mark: dict[str, Any] = {"marker": "X", "linestyle": "none", "markersize": 9, "color": style.COLOURS[1], "zorder": 5}
            axes.plot([at[i] for i in worse], [scores[i] for i in worse], label="worse", **mark)
        if not numbered:
            axes.set_xticks(at, [e.file for e in self.entries], rotation=30, ha="right")
        axes.set(xlabel="step" if numbered else "", ylabel=f"{self.metric}, percent")
        axes.grid(axis="y")
        style.legend_above(axes)

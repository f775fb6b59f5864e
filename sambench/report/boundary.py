"""The picture of boundary-IoU curves: mean boundary IoU over the boundary's width, a line a run, and the same as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sambench.files.writing import write_aside, write_csv
from sambench.layout import style
from sambench.results.boundary import RATIOS, BoundaryCurve, boundary_curve
from sambench.results.names import line_names
from sambench.store.views import CellView
from sambench.text import counted

HEADER = ("model", "run", "dataset", "k", "ratio", "mean_boundary_iou", "ci_low", "ci_high", "n_objects", "n_images", "partial")


def write_boundary_curve(
    cells: Sequence[CellView],
    folder: Path,
    *,
    ratios: Sequence[float] = RATIOS,
    k: int | None = None,
    root: Path | None = None,
) -> list[Path]:
    """boundary_curve.png and boundary_curve.csv of runs on one dataset. Returns both paths. Errors: see `boundary_curve`."""
    curves = [boundary_curve(cell, ratios=ratios, k=k, root=root) for cell in cells]
    png = write_aside(folder / "boundary_curve.png", lambda path: _draw(curves, path))
    return [png, write_csv(folder / "boundary_curve.csv", HEADER, _points(curves))]


def _draw(curves: Sequence[BoundaryCurve], path: Path) -> None:
    from matplotlib.figure import Figure

    with style.styled():
        figure = Figure(figsize=(6.4, 4.2 + 0.36 * len(curves)), layout="constrained")
        axes = figure.add_subplot()
        for i, (c, label) in enumerate(zip(curves, _labels(curves), strict=True)):
            widths = [100 * r for r in c.ratios]
            axes.fill_between(widths, 100 * c.low, 100 * c.high, color=style.colour(i), alpha=0.15, lw=0)
            axes.plot(widths, 100 * c.mean, label=label, **style.series(i))
        axes.set(xlabel="width of the boundary, % of the image's diagonal", ylabel="mean boundary IoU, %", ylim=(0, 100))
        axes.set_xlim(left=0)
        axes.grid(axis="y")
        prompts = dict.fromkeys(f"after {counted(c.k, 'click')}" if c.k else "by box" for c in curves)
        datasets = dict.fromkeys(c.cell.dataset for c in curves)
        axes.set_title(f"{', '.join(datasets)}, {', '.join(prompts)}; bands: 95 % intervals")
        figure.legend(loc="outside lower left", alignment="left")
        path.write_bytes(style.saved(figure, "png", dpi=160))


def _labels(curves: Sequence[BoundaryCurve]) -> list[str]:
    """Names and numbers, in two lines."""
    return [f"{name}\n{_numbers(c)}" for name, c in zip(line_names([c.cell for c in curves]), curves, strict=True)]


def _numbers(c: BoundaryCurve) -> str:
    """Values at the usual widths, where they are on the line, and of how many objects."""
    at = dict(zip(c.ratios, c.mean, strict=True))
    named = [f"{100 * at[r]:.1f} % at a width of {100 * r:g} %" for r in (0.01, 0.02) if r in at]
    return ", ".join([*named, counted(c.n_objects, "object")])


def _points(curves: Sequence[BoundaryCurve]) -> Iterator[tuple[object, ...]]:
    for c in curves:
        shared = (c.n_objects, c.n_images, bool(c.cell.partial_reasons()))
        for point in zip(c.ratios, c.mean, c.low, c.high, strict=True):
            yield (c.cell.label, c.cell.run_name, c.cell.dataset, c.k, *map(float, point), *shared)

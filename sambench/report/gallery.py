"""The gallery: best and worst, false positives, largest gaps, and largest disagreements of two runs, as sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sambench import __version__
from sambench.errors import SambenchError, UsageError, unknown_name
from sambench.paper.evidence import Entry
from sambench.report.document import Document, Picture, Section
from sambench.report.galleries import DISAGREEMENT, PLACE, Asked, Pick, View, view_of
from sambench.results.names import model_names
from sambench.store.views import CellView

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gallery(
    cells: Sequence[CellView],
    others: Sequence[CellView] = (),
    *,
    by: Sequence[str] = (),
    k: int | None = None,
    n: int = 12,
    root: Path | None = None,
) -> Document:
    """A section for every cell and criterion, with ground truth and what the model made of it.

    by: criteria, each one that a view of the cells' tasks has (`galleries.View.kinds`); the views' usual ones where empty, and
    disagreements where there is a second run, `others`. k: clicks (default: the first count; 0 by box). Cells without stored masks,
    or whose dataset is not here, have a section that says so. Raises UsageError where no cell is of a task with a gallery, a
    criterion is unknown, or a disagreement is asked for with one run only; RunError for a damaged cell.
    """
    for cell in (*cells, *others):
        cell.check()
    views = [(cell, view) for cell in cells if (view := view_of(cell)) is not None]
    if not views:
        found = ", ".join(dict.fromkeys(f"{c.task.name} on {c.dataset}" for c in cells))
        expected = f"runs of a task with one ({', '.join(PLACE.names())})"
        raise UsageError("no gallery of these results", expected=expected, found=found or "nothing")
    known = dict.fromkeys(kind for _, view in views for kind in view.kinds)
    for kind in by:
        if kind not in known:
            raise unknown_name("criterion", kind, known, where="--by")
    if DISAGREEMENT in by and not others:
        raise UsageError("a disagreement needs a second run", where="--by disagreement", remedy="name two runs")
    partners = {(Entry(c).dataset, c.task.name): c for c in others}
    sections = []
    for cell, view in views:
        for kind in by or (*view.usual, *([DISAGREEMENT] if others else [])):
            if kind in view.kinds:
                partner = partners.get((Entry(cell).dataset, cell.task.name)) if kind == DISAGREEMENT else None
                asked = Asked(kind, n, k, partner, root)
                if by or not view.lacks(cell, asked):
                    sections.append(_section(cell, view, asked))
    title = "Gallery: " + ", ".join(dict.fromkeys(c.run_name for c in [*(c for c, _ in views), *others]))
    return Document("gallery", title, tuple(sections), versions=f"sambench {__version__}")


def _section(cell: CellView, view: View, asked: Asked) -> Section:
    dataset, kind, partner = Entry(cell).dataset, asked.kind, asked.partner
    ident = f"{kind}_{cell.run_name}_{cell.path.resolve().name}".replace("-", "_")
    names = model_names([c for c in (cell, partner) if c])
    versus = f" of {' and '.join(names)}" if partner else f", {names[0]}"
    title = f"{view.kinds[kind]}{versus}: {dataset}"
    if kind == DISAGREEMENT and partner is None:
        return Section(ident, title, absent=(f"The second run has no results on {dataset}.",))
    try:
        picks = view.picks(cell, asked)
    except SambenchError as e:
        return Section(ident, title, absent=(f"No pictures: {e.message}.",))
    if not picks:
        why = view.lacks(cell, asked) or f"The run kept no masks (--save-masks scored), or there are no such {view.what}."
        return Section(ident, title, absent=(why,))
    across = view.across(kind)
    per_row = max(1, 6 // across)
    down = -(-len(picks) // per_row)
    runs = tuple(f"{c.run_name}/{c.path.name}" for c in (cell, partner) if c)
    picture = Picture(
        ident,
        title,
        f"{len(picks)} {view.what} with ground truth and what the model made of them",
        lambda figure: _draw(figure, picks, across, per_row, down),
        view.header,
        tuple(p.data for p in picks),
        (view.panel_in * across * per_row, (view.panel_in + 0.3) * down),
        (view.notes[kind],),
        runs,
        raster=True,
    )
    return Section(ident, title, pictures=(picture,))


def _draw(figure: Figure, picks: Sequence[Pick], across: int, per_row: int, down: int) -> None:
    grid = figure.subplots(down, across * per_row, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for at, pick in enumerate(picks):
        for c, draw in enumerate(pick.panels):
            axes = grid[at // per_row][(at % per_row) * across + c]
            axes.set_axis_on()
            draw(axes)

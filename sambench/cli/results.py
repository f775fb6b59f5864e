"""`sambench table`, `compare`, `plot` and `show run`: what runs left on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from sambench.cli.console import echo, echo_json
from sambench.cli.options import Json, refuse
from sambench.cli.reading import DEFAULT, Run, Runs, for_comparison, of_one_task
from sambench.cli.tables import FORMS, TEXT, DataFormat, Format, chosen, is_json, show, show_all

if TYPE_CHECKING:
    from sambench.store.views import CellView


def table(
    ctx: typer.Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs, by directory or by name under --runs.")],
    form: Format = TEXT,
    as_json: Json = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="Every metric row instead of the summary.")] = False,
    suite: Annotated[list[str], typer.Option("--suite", help="Add a suite's mean.")] = [],  # noqa: B006 - typer copies it
    folder: Runs = DEFAULT,
) -> None:
    """The table of one or several runs, in one of the forms of --format; images and pages as in `-f png > table.png`."""
    from sambench.results.tables import metrics_frame, suites_named, tables
    from sambench.store.lookup import find_cells
    from sambench.text import csv_frame

    form = chosen(form, as_json, (TEXT, "csv", "json") if metrics else FORMS)
    found = [cell for run in runs for cell in find_cells(run, folder, several=True)]
    cells = list({cell.path.resolve(): cell for cell in found}.values())
    if metrics:
        refuse(ctx, ["suite"], "metric rows are of datasets", remedy="leave --metrics out")
        rows = metrics_frame(cells)
        echo(rows.to_json(orient="records", indent=2) + "\n" if form == "json" else csv_frame(rows), nl=False)
        return
    show_all([(t.title, t) for t in tables(cells, suites=suites_named(suite, "--suite"))], form)


_METRIC = "Default: iou_top of clicks, iou of boxes; scores (ODS, OIS, AP, R50) of edges, ap of instances, ar of proposals, cgf1."


def compare(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help="A run.")],
    b: Annotated[
        str, typer.Argument(metavar="B", help="Another run, the difference is A - B; or published numbers: paper, sam2, sam3, ...")
    ],
    metric: Annotated[str, typer.Option("--metric", help=_METRIC)] = "",
    k: Annotated[int | None, typer.Option("-k", help="One click count only.")] = None,
    per: Annotated[str, typer.Option("--per", help="Means over each object, or each image: object, image.")] = "object",
    form: Format = TEXT,
    as_json: Json = False,
    folder: Runs = DEFAULT,
) -> None:
    """Two runs paired by object or image: the difference with its interval and tests; or a run against the published numbers."""
    from sambench.errors import unknown_name
    from sambench.paper.published import sources
    from sambench.results.compare import compare_cells
    from sambench.store.lookup import find_cells

    form = chosen(form, as_json)
    if per not in ("object", "image"):
        raise unknown_name("kind of mean", per, ("object", "image"), where="--per")
    if b in sources():
        refuse(ctx, ["per"], "it is of two runs, and published numbers are none")
        compare_with_published(find_cells(a, folder, several=True), b, form, metric=metric, k=k)
        return
    left, right = for_comparison(a, b, folder)
    show(compare_cells(left, right, metric=metric, k=k, per="image" if per == "image" else "object").table, form)


def compare_with_published(cells: list[CellView], what: str, form: str, *, metric: str, k: int | None) -> None:
    """Print the tables of runs against published numbers. Raises UsageError for options that have no meaning there."""
    from sambench.errors import UsageError
    from sambench.paper.compare import paper_tables

    if metric or k is not None:
        raise UsageError(
            "published numbers have their own metrics and click counts",
            where="--metric" if metric else "-k",
            remedy=f"leave it out: `sambench compare RUN {what}` shows every number that the run measures",
        )
    show_all([(t.title, t) for t in paper_tables(cells, what)], form)


def plot(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs of any task that has plots.")],
    to: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where the files go (default: next to each cell).")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Edges and proposals: images on a sheet.")] = 8,
    ratios: Annotated[
        str | None, typer.Option("--ratios", metavar="R,R", help="Masks: boundary widths, as shares of the diagonal.")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="Point runs: the click count (default: the first).")] = None,
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="The dataset's folder.")] = None,
    folder: Runs = DEFAULT,
) -> None:
    """Pictures with their data, as PNG and CSV.

    Edge runs: curves, per-image scores and sheets of edge maps. Proposal runs: recall by number, area and frequency, and sheets.
    Instance runs: precision over recall, and AP by category with intervals. Box and point runs: boundary IoU over the boundary's
    width, from the stored masks and the dataset's files. Concept runs: cgF1 by its two parts, and whether scores are the share of
    masks that are right.
    """
    from sambench.errors import UsageError

    drawn = {
        "edges": _edge_pictures,
        "recall": _proposal_pictures,
        "boundary": _mask_pictures,
        "detections": _detection_pictures,
        "concepts": _concept_pictures,
    }
    cells = of_one_task(runs, folder)
    for cell in cells:
        if cell.task.plots not in drawn:
            raise UsageError(
                "no plots of this task",
                where=cell.path,
                expected="a run of a task that has some (`sambench.tasks.Task.plots`)",
                found=cell.task.name,
                remedy=f"`sambench table {cell.run_name}` has its numbers",
            )
    asked = _Asked(n, None if ratios is None else _ratios(ratios), k, root)
    datasets = dict.fromkeys(c.dataset for c in cells)
    for dataset in datasets:
        into = (to if len(datasets) == 1 else to / dataset.replace(":", "_")) if to else None
        for draw in dict.fromkeys(drawn.values()):
            group = [c for c in cells if c.dataset == dataset and drawn[c.task.plots] is draw]
            for path in draw(group, into or group[0].path, into, asked) if group else ():
                echo(str(path))


class _Asked(NamedTuple):
    """What the flags of `plot` say of the pictures."""

    n: int
    ratios: tuple[float, ...] | None
    k: int | None
    root: Path | None


def _edge_pictures(cells: list[CellView], shared: Path, to: Path | None, asked: _Asked) -> list[Path]:
    from sambench.report import edges

    written = edges.write_pr_curve(cells, shared)
    for cell in cells:
        written.append(edges.write_image_table(cell, to or cell.path))
        written += _sheet(edges.write_sheet, cell, to or cell.path, asked)
    return written


def _proposal_pictures(cells: list[CellView], shared: Path, to: Path | None, asked: _Asked) -> list[Path]:
    from sambench.report import proposals

    written = [*proposals.write_recall_curve(cells, shared), proposals.write_groups(cells, shared)]
    for cell in cells:
        written += _sheet(proposals.write_sheet, cell, to or cell.path, asked)
    return written


def _detection_pictures(cells: list[CellView], shared: Path, to: Path | None, asked: _Asked) -> list[Path]:
    from sambench.report import detections

    return [*detections.write_curve(cells, shared), *detections.write_categories(cells, shared)]


def _sheet(write: Callable[..., Path], cell: CellView, folder: Path, asked: _Asked) -> list[Path]:
    from sambench.cli.console import err
    from sambench.errors import DataMissingError, UsageError

    try:
        return [write(cell, folder, n=asked.n, root=asked.root)]
    except (DataMissingError, UsageError) as e:  # the numbers need neither images nor maps
        err().print(f"no sheet: {e.one_line()}", soft_wrap=True)
        return []


def _mask_pictures(cells: list[CellView], shared: Path, to: Path | None, asked: _Asked) -> list[Path]:
    from sambench.report.boundary import write_boundary_curve
    from sambench.results.boundary import RATIOS

    return write_boundary_curve(cells, shared, ratios=asked.ratios or RATIOS, k=asked.k, root=asked.root)


def _concept_pictures(cells: list[CellView], shared: Path, to: Path | None, asked: _Asked) -> list[Path]:
    from sambench.report import concepts

    return [*concepts.write_parts(cells, shared), *concepts.write_reliability(cells, shared)]


def _ratios(text: str) -> tuple[float, ...]:
    from sambench.errors import UsageError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as e:
        raise UsageError("boundary ratios are not numbers", where="--ratios", expected="as in 0.005,0.01,0.02", found=text) from e


def show_run(
    run: Run,
    other: Annotated[str, typer.Argument(metavar="[OTHER]", help="Another run: where the two differ.")] = "",
    form: DataFormat = TEXT,
    as_json: Json = False,
    folder: Runs = DEFAULT,
) -> None:
    """What the identity of a run's cells is made of: all that can change a number. With another run, where they differ."""
    from sambench.results import identity
    from sambench.store.lookup import find_cells

    as_json = is_json(form, as_json)
    cells = find_cells(run, folder)
    unlike = identity.differences(cells, find_cells(other, folder)) if other else None
    if as_json:
        echo_json(unlike or [identity.described(c) for c in cells])
        return
    if unlike is not None:
        for found in unlike:
            echo("\n".join(identity.difference_lines(found)))
        return
    for cell in cells:
        echo("\n".join(identity.lines(cell)))
    echo(f"not in it: {identity.NOT_IN_IT}")

"""`sambench status`, `table`, `rescore` and `compare`: what runs left on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sambench.results.layout import Table

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's directory, or its name under --out.")]
Out = Annotated[Path, typer.Option("--out", "-o", envvar="SAMBENCH_OUT", show_envvar=False, help="Where results are.")]
Format = Annotated[str, typer.Option("--format", "-f", help="text, csv, markdown, latex or json.")]
GroupBy = Annotated[str | None, typer.Option("--group-by", help="category, or attribute:NAME.")]


def status(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or nothing for all of --out.")] = "", out: Out = Path("runs")
) -> None:
    """How far runs are: done, failed and missing images, and who computes them now."""
    from rich.table import Table as RichTable

    from sambench.cli.console import err
    from sambench.cli.console import out as console
    from sambench.errors import SambenchError
    from sambench.results.cells import find_cell_paths, read_cell

    table = RichTable(box=None, pad_edge=False)
    for name in ("run", "dataset", "status", "images", "failed", "objects", "computed by"):
        table.add_column(name, justify="right" if name in ("images", "failed", "objects") else "left", overflow="fold")
    failures, damaged = [], []
    for path in find_cell_paths(run or str(out), out):
        try:
            cell = read_cell(path)
            live = cell.live
        except SambenchError as e:  # its neighbours are not hidden by it
            damaged.append(e)
            table.add_row(path.resolve().parent.name, path.name, "damaged", "", "", "", "")
            continue
        images = f"{live.n_done}/{live.n_wanted}" + (f" of {live.n_images}" if live.n_wanted != live.n_images else "")
        table.add_row(
            cell.run_name, cell.dataset, live.status, images, str(live.n_failed), f"{live.n_objects:,}", ", ".join(live.holders)
        )
        failures += [(cell.dataset, i, s.error) for i, s in cell.states().items() if s.status == "failed"]
    console().print(table)
    for dataset, image_id, error in failures[:20]:
        typer.echo(f"failed: {dataset} image {image_id}: {error}")
    if len(failures) > 20:
        typer.echo(f"... and {len(failures) - 20} more failed images")
    for why in damaged:
        err().print(str(why), soft_wrap=True, markup=False)
    if damaged:
        raise typer.Exit(1)


def table(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs, by directory or by name under --out.")],
    form: Format = "text",
    metrics: Annotated[bool, typer.Option("--metrics", help="Every metric row instead of the summary.")] = False,
    suite: Annotated[list[str], typer.Option("--suite", help="Add a suite's mean.")] = [],  # noqa: B006 - typer copies it
    out: Out = Path("runs"),
) -> None:
    """The table of one or several runs, as text, CSV, Markdown, LaTeX or JSON."""
    from sambench import cards
    from sambench.errors import unknown_name
    from sambench.results.cells import find_cells
    from sambench.results.tables import metrics_frame, tables

    cells = [cell for run in runs for cell in find_cells(run, out)]
    if metrics:
        typer.echo(metrics_frame(cells).to_csv(index=False), nl=False)
        return
    suites = []
    for name in suite:
        card = cards.suite_card(name)
        if card is None:
            raise unknown_name("suite", name, cards.suite_cards(), where="--suite")
        suites.append(card)
    for found in tables(cells, suites=suites):
        show(found, form)


def rescore(
    run: Run,
    group_by: GroupBy = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="Bootstrap resamples.")] = 2000,
    level: Annotated[float, typer.Option("--level", min=0.5, max=0.999, help="Level of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 0,
    check_masks: Annotated[bool, typer.Option("--check-masks", help="Compare stored masks with the ground truth again.")] = False,
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="The dataset's folder, for --check-masks.")] = None,
    out: Out = Path("runs"),
) -> None:
    """Compute metrics anew from stored rows, without model or dataset; CSV on standard output."""
    import pandas as pd

    from sambench.results.cells import find_cells
    from sambench.results.rescore import check_masks as check
    from sambench.results.rescore import rescore as score
    from sambench.schema import METRIC_COLUMNS
    from sambench.tasks.summary import Bootstrap

    cells = find_cells(run, out)
    if check_masks:
        wrong = False
        for cell in cells:
            found = check(cell, root=root)
            at = f", largest {found.largest:.3g} at {found.where}" if found.n_differing else ""
            typer.echo(f"{cell.dataset}: {found.n_masks:,} stored masks of {found.n_rows:,} rows, {found.n_differing} differ{at}")
            wrong = wrong or found.n_differing > 0
        raise typer.Exit(1 if wrong else 0)
    bootstrap = Bootstrap(n_resamples=resamples, level=level, seed=seed)
    rows = []
    for cell in cells:
        rows += score(cell, bootstrap=bootstrap, group_by=group_by)
        if cell.task.whole_sets_only and cell.live.n_done < cell.live.n_wanted:
            reasons = "; ".join(cell.partial_reasons())
            typer.echo(f"{cell.dataset}, {cell.model}: no scores of a part of a set ({reasons})", err=True)
    typer.echo(pd.DataFrame(rows, columns=list(METRIC_COLUMNS)).to_csv(index=False), nl=False)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another run; the difference is A minus B.")],
    metric: Annotated[str, typer.Option("--metric", help="Column to compare.")] = "iou_top",
    k: Annotated[int | None, typer.Option("-k", help="One click count only.")] = None,
    form: Format = "text",
    out: Out = Path("runs"),
) -> None:
    """Two runs paired by object: the difference with its 95 % interval and p-value, by dataset."""
    from sambench.results.cells import find_cells
    from sambench.results.compare import compare_cells

    show(compare_cells(find_cells(a, out), find_cells(b, out), metric=metric, k=k).table, form)


def plot(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs of the edge task.")],
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Where files go (default: beside each cell).")] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Images on a sheet.")] = 8,
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="The dataset's folder, for the sheets.")] = None,
    out: Out = Path("runs"),
) -> None:
    """Curves, per-image scores and sheets of edge maps, as PNG and CSV."""
    from sambench.cli.console import err
    from sambench.errors import DataMissingError, UsageError
    from sambench.report import edges
    from sambench.results.cells import find_cells

    cells = [cell for run in runs for cell in find_cells(run, out)]
    for cell in cells:
        if cell.task.name != "edge":
            raise UsageError("no pictures for this task", where=cell.path, expected="a run of the edge task", found=cell.task.name)
    written = []
    datasets = dict.fromkeys(c.dataset for c in cells)
    for dataset in datasets:
        group = [c for c in cells if c.dataset == dataset]
        folder = (to if len(datasets) == 1 else to / dataset.replace(":", "_")) if to else None
        written += edges.write_pr_curve(group, folder or group[0].path)
        for cell in group:
            written.append(edges.write_image_table(cell, folder or cell.path))
            try:
                written.append(edges.write_sheet(cell, folder or cell.path, n=n, root=root))
            except (DataMissingError, UsageError) as e:  # the numbers need neither images nor maps
                err().print(f"no sheet: {e.one_line()}", soft_wrap=True, markup=False)
    for path in written:
        typer.echo(str(path))


def show(found: Table, form: str) -> None:
    """Print a table in one of its forms."""
    from sambench.results.layout import render, render_rich

    if form == "text":
        from sambench.cli.console import out

        out().print(render_rich(found))
    else:
        typer.echo(render(found, form).rstrip("\n"))
